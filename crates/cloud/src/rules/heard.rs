//! A message that rules have heard: all that they may ask about it, in memory and as it is written down. What a rule makes of
//! it is unknown here.
//!
//! On disk: the length of the head in four bytes, the head as JSON, the message as sessions keep theirs.

use std::sync::Arc;

use mqtt::Publish;
use serde::{Deserialize, Serialize};
use store::{Fault, Key, Table};

use crate::entropy::uuid;
use crate::origin::Origin;
use crate::scope::{Context, Scope, Write};
use crate::sessions::{read_message, write_message};

/// By number, in the order in which they were accepted. Such a row goes when every action is done.
pub(super) const HEARD: Table<Vec<u8>> = Table::new("rules_heard");

/// A message, and which rules heard it.
pub(crate) struct Heard {
    pub(super) scope: Scope,
    pub(super) message: Publish,
    pub(super) rules: Vec<Arc<str>>,
    pub(super) origin: Arc<Origin>,
    /// When it was published, in milliseconds.
    pub(super) at: i64,
    /// What chance there is in its evaluation: the same however often it is evaluated.
    pub(super) seed: u128,
    /// Its number, if it must not be lost.
    pub(super) number: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    account: String,
    region: String,
    rules: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    principal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_ip: Option<String>,
    #[serde(default)]
    hops: u8,
    /// In two halves, since JSON's numbers are no wider.
    seed: (u64, u64),
}

impl Heard {
    /// A message of this moment.
    pub(crate) fn new(cx: &Context, message: Publish, rules: Vec<Arc<str>>, number: Option<u64>) -> Self {
        let seed = u128::from(cx.entropy.number()) << 64 | u128::from(cx.entropy.number());
        let (scope, origin) = (cx.scope.clone(), Arc::clone(&cx.origin));
        Self { scope, message, rules, origin, at: cx.now, seed, number }
    }

    /// The topic it was published on.
    pub(super) fn topic(&self) -> &str {
        self.message.topic.as_ref().map_or("", mqtt::Topic::as_str)
    }

    /// What all that comes of it is traced with.
    pub(super) fn trace_id(&self) -> String {
        uuid(self.seed)
    }

    /// Bytes it takes while it waits.
    pub(super) fn size(&self) -> usize {
        const REST: usize = 256;
        self.message.weight() + REST
    }

    /// Writes it down, if it must not be lost.
    pub(crate) fn write(&self, db: &mut Write) -> Result<(), Fault> {
        let Some(number) = self.number else { return Ok(()) };
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
        let head = Head {
            account: self.scope.account.to_string(),
            region: self.scope.region.to_string(),
            rules: self.rules.iter().map(ToString::to_string).collect(),
            client_id: self.origin.client_id.clone(),
            principal: self.origin.principal.clone(),
            source_ip: self.origin.source_ip.clone(),
            hops: self.origin.hops,
            seed: (half(self.seed >> 64), half(self.seed)),
        };
        let head = serde_json::to_vec(&head).map_err(|cause| Fault::because("write a heard message", cause))?;
        let length = u32::try_from(head.len()).map_err(|cause| Fault::because("write a heard message", cause))?;
        let mut row = length.to_be_bytes().to_vec();
        row.extend(head);
        row.extend(write_message(&self.message, self.at)?);
        db.put_global(&HEARD, &key(number), &row)
    }

    /// Reads one as it was written down.
    pub(super) fn read(number: u64, row: &[u8]) -> Result<Self, Fault> {
        let torn = || Fault::new("a heard message cannot be read");
        let (length, rest) = row.split_first_chunk::<4>().ok_or_else(torn)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (head, packet) = rest.split_at_checked(length).ok_or_else(torn)?;
        let head: Head = serde_json::from_slice(head).map_err(|cause| Fault::because("read a heard message", cause))?;
        let kept = read_message(packet)?;
        let Head { client_id, principal, source_ip, hops, .. } = head;
        Ok(Self {
            scope: Scope::new(&head.account, &head.region),
            message: kept.message,
            rules: head.rules.into_iter().map(Arc::from).collect(),
            origin: Arc::new(Origin { client_id, principal, source_ip, hops, ..Origin::default() }),
            at: kept.arrived,
            seed: u128::from(head.seed.0) << 64 | u128::from(head.seed.1),
            number: Some(number),
        })
    }
}

pub(super) fn key(number: u64) -> Key {
    Key::all().and_u64(number)
}
