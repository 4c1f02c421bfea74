//! What happens in the house, told as events: who was refused and why, who came and went, what was published.
//! Who listens (a log, `ombra tail`, a console) is unknown here.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::scope::Scope;

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Milliseconds since the epoch.
    pub at: i64,
    /// The account it happened in; empty when the caller's identity was never known.
    pub account: String,
    /// The region it happened in.
    pub region: String,
    /// What happened.
    #[serde(flatten)]
    pub kind: Kind,
}

/// The kinds of events, with what there is to say about each.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// Something was refused: the answer to "why does my device not connect?".
    Refusal(Refused),
    /// A client connected.
    Connected {
        /// The MQTT client identifier.
        client_id: String,
        /// The certificate's id.
        principal: String,
        /// The peer's address.
        peer: String,
        /// `MQTT 3.1.1` or `MQTT 5`.
        protocol: &'static str,
    },
    /// A connection ended.
    Disconnected {
        /// The MQTT client identifier.
        client_id: String,
        /// The certificate's id.
        principal: String,
        /// AWS's name of the reason, as in its lifecycle events.
        reason: &'static str,
        /// The same in words.
        detail: String,
    },
    /// Several devices connect with one client id, and each throws out the one before; told once in ten seconds.
    TakeoverLoop {
        /// The MQTT client identifier they share.
        client_id: String,
        /// The one that was thrown out last, and the one that came.
        rivals: [Rival; 2],
    },
    /// A message was published; told only while somebody listens.
    Published {
        /// The topic.
        topic: String,
        /// The payload, if it is text and not long.
        payload: Option<String>,
        /// The payload's size in bytes.
        bytes: usize,
        /// How many sessions got it.
        delivered: usize,
    },
    /// A rule came to nothing for a message, or one of its actions did.
    RuleFailed {
        /// The rule's name.
        rule: String,
        /// The topic of the message.
        topic: String,
        /// The action, as in `RepublishAction`; empty when the statement itself failed.
        action: &'static str,
        /// Why.
        reason: String,
    },
    /// A policy that has been written is valid and yet does not do what it seems to, or does more.
    PolicyWarning {
        /// The policy.
        policy: String,
        /// The version that says so.
        version: u64,
        /// The statement's place in it, from 0.
        statement: usize,
        /// The remark in one word.
        code: &'static str,
        /// What is remarked on, as the policy spells it.
        subject: String,
        /// The remark.
        message: String,
    },
    /// AWS would have refused this; with `quotas = warn` it was let through.
    Quota {
        /// Who did it.
        client_id: String,
        /// The limit, in words with its number.
        limit: String,
    },
    /// A log group is as large as it may be: its oldest events go. Told once a day for each group.
    LogFull {
        /// The group.
        group: String,
        /// Bytes of its events.
        bytes: u64,
    },
    /// An alarm of a metric has changed its state.
    Alarm {
        /// The alarm.
        name: String,
        /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
        state: &'static str,
        /// Why.
        reason: String,
    },
    /// Lines of the platform's own logs were lost, because more came than could be written.
    LogsLost {
        /// How many.
        lines: u64,
    },
    /// An event that waited for its function is given up.
    EventDropped {
        /// The function.
        function: String,
        /// The id that the event's invocations have.
        request_id: String,
        /// What became of the last of them.
        why: String,
    },
    /// The house itself failed; the caller saw an internal failure.
    Fault {
        /// What failed, with its causes.
        context: String,
    },
}

/// One of those who fight for a client identifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rival {
    /// The peer's address.
    pub peer: String,
    /// The certificate's id.
    pub principal: String,
}

/// A refusal, with all that explains it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Refused {
    /// The MQTT client identifier, if there was one.
    pub client_id: String,
    /// The certificate's id or the access key's; empty when neither was shown.
    pub principal: String,
    /// What was attempted: `iot:Publish`, or `TLS` and the like where no policy was asked.
    pub action: String,
    /// On what: the whole ARN.
    pub resource: String,
    /// `EXPLICIT_DENY`, `IMPLICIT_DENY`, or why no policy was asked: `UNKNOWN_CERTIFICATE`, `INACTIVE` …
    pub decision: String,
    /// The statement that denied, as `policy#index` with its Sid; empty when none spoke.
    pub statement: String,
    /// Why, for a person: statement by statement.
    pub reason: String,
    /// The peer's address.
    pub peer: String,
    /// What conditions could ask of this request alone, and of its connection beside the principal.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub given: BTreeMap<String, Vec<String>>,
}

/// Hears of events. Called from many threads; must be quick.
pub trait Witness: Send + Sync {
    /// Something happened.
    fn event(&self, event: Event);

    /// Whether somebody wants to hear of every publication, which costs something to tell.
    fn follows_publications(&self) -> bool;
}

impl Event {
    /// An event in a scope.
    pub fn new(at: i64, scope: &Scope, kind: Kind) -> Self {
        Self { at, account: scope.account.to_string(), region: scope.region.to_string(), kind }
    }
}
