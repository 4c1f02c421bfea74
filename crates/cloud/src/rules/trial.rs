//! For people who write rules: the world that rules see, to try a statement in, and the messages that were published last, to
//! try it on. Statements and what comes of them are the `sql` crate's; nothing is published or done here.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use mqtt::{Filter, Publish, Topic};
use sql::{Call, Reply, World};

use super::world::RuleWorld;
use crate::house::House;
use crate::message;
use crate::origin::Origin;
use crate::scope::{Context, Read, Scope};

/// Bytes of messages that a scope remembers, and how many they are at most.
const REMEMBERED: usize = 1 << 20;
const MOST: usize = 1024;

/// A message that was published.
#[derive(Debug)]
pub struct Published {
    /// The message, with a topic.
    pub message: Publish,
    /// When, in milliseconds since 1970.
    pub at: i64,
    origin: Arc<Origin>,
}

impl Published {
    /// The MQTT client identifier, if a client published it.
    pub fn client_id(&self) -> Option<&str> {
        self.origin.client_id.as_deref()
    }

    /// The id of a certificate, or what stands for another kind of identity.
    pub fn principal(&self) -> Option<&str> {
        self.origin.principal.as_deref()
    }

    /// The address it came from.
    pub fn source_ip(&self) -> Option<&str> {
        self.origin.source_ip.as_deref()
    }

    /// The topic as rules see it: without the prefix of basic ingest.
    fn topic(&self) -> &str {
        let topic = self.message.topic.as_ref().map_or("", Topic::as_str);
        message::ingested(topic).unwrap_or(topic)
    }

    fn size(&self) -> usize {
        const REST: usize = 512;
        self.message.weight() + REST
    }
}

/// The messages of a scope that were published last, of those that somebody heard.
#[derive(Default)]
pub(crate) struct Recent {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    messages: VecDeque<Arc<Published>>,
    bytes: usize,
}

impl Recent {
    /// Remembers a message, which holds no more memory than its size.
    pub(crate) fn keep(&self, message: Publish, origin: &Arc<Origin>, at: i64) {
        let published = Published { message, at, origin: Arc::clone(origin) };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += published.size();
        kept.messages.push_back(Arc::new(published));
        while kept.bytes > REMEMBERED || kept.messages.len() > MOST {
            let Some(oldest) = kept.messages.pop_front() else { break };
            kept.bytes -= oldest.size().min(kept.bytes);
        }
    }

    fn last(&self, filter: Option<&Filter>) -> Option<Arc<Published>> {
        let matches = |published: &&Arc<Published>| {
            filter.is_none_or(|filter| Topic::try_from(published.topic()).is_ok_and(|topic| filter.matches(&topic)))
        };
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.messages.iter().rev().find(matches).cloned()
    }
}

impl House {
    /// The message that was published last to a topic that matches, of those that the scope remembers: what rules have
    /// heard, and whatever was published while somebody followed.
    pub fn last_published(&self, scope: &Scope, filter: Option<&Filter>) -> Option<Arc<Published>> {
        self.space(scope).recent.last(filter)
    }

    /// Shows the world that the rules of a scope see, in which `answers` has been answered before. Beside what is seen it
    /// gives what must be asked outside first.
    pub fn show_rules_world<T>(
        &self,
        scope: &Scope,
        now: i64,
        entropy: u128,
        answers: &HashMap<Call, Reply>,
        see: impl FnOnce(&mut dyn World) -> T,
    ) -> (T, Option<Call>) {
        let view = self.store.read();
        let cx: Context = self.context(scope, now, entropy);
        let mut world = RuleWorld::new(Read::new(&view, &cx), None, answers);
        let seen = see(&mut world);
        (seen, world.into_asked())
    }
}
