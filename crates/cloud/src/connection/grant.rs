//! What a connection may do, and the answer to whether it may receive a message, which is asked for every one that goes out.
//! A message that it may not receive is told in an event now and then, since its client hears nothing of it. Where the
//! policies come from is unknown here.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use broker::Gate;
use mqtt::Publish;
use policy::{Context as Variables, PolicySet, Request, Resource};

use super::{Peer, Told};
use crate::events::{Event, Kind, Refused, Witness};
use crate::house::{Books, House, Space};
use crate::identity::{self, Granted};
use crate::logging::Level;
use crate::message;
use crate::origin::Origin;
use crate::scope::{Context, Scope};

/// What a connection may do; swapped whole when policies change.
pub(super) struct Grant {
    scope: Scope,
    peer: Arc<Peer>,
    /// Whose it is, and where it is told what goes out.
    origin: Arc<Origin>,
    books: Books,
    /// Messages that went out, and that came in, since this was last brought to the figures.
    pub(super) passed: AtomicUsize,
    pub(super) taken: AtomicUsize,
    pub(super) topics: String,
    pub(super) filters: String,
    granted: RwLock<Arc<Granted>>,
    /// Stands for what is granted, unlike any other of the house; zero while its answers depend on the time.
    token: AtomicU64,
    common: Common,
    unheard: Unheard,
}

/// What all grants of a scope share.
pub(super) struct Common {
    /// Where tokens come from.
    tokens: Arc<AtomicU64>,
    /// The time as last heard.
    clock: Arc<AtomicI64>,
    witness: Arc<dyn Witness>,
    /// Events of the whole scope about messages that are not received.
    unheard: Arc<Told>,
}

impl Common {
    pub(super) fn of(house: &House, space: &Space) -> Self {
        let (witness, unheard) = (Arc::clone(&house.witness), Arc::clone(&space.unheard));
        Self { tokens: house.tokens(), clock: house.clock(), witness, unheard }
    }
}

/// The topics of messages that a connection may not receive, of which it was told lately: each once in a while, and not
/// many of them, since a wide subscription may be denied everything it asks for.
#[derive(Default)]
struct Unheard(Mutex<(i64, Vec<u64>)>);

/// How many topics of a connection are told of in a while, and how long that is, in milliseconds.
const TOPICS: usize = 4;
const WHILE: i64 = 10_000;

impl Unheard {
    /// Whether this topic may be told of at this time.
    fn take(&self, topic: &str, now: i64) -> bool {
        let mut hasher = DefaultHasher::new();
        topic.hash(&mut hasher);
        let hash = hasher.finish();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let while_of = now.div_euclid(WHILE);
        if told.0 != while_of {
            *told = (while_of, Vec::new());
        }
        let is_new = told.1.len() < TOPICS && !told.1.contains(&hash);
        if is_new {
            told.1.push(hash);
        }
        is_new
    }
}

impl Grant {
    pub(super) fn new(cx: &Context, peer: &Arc<Peer>, origin: &Arc<Origin>, granted: Granted, common: Common) -> Self {
        let scope = &cx.scope;
        Self {
            scope: scope.clone(),
            peer: Arc::clone(peer),
            origin: Arc::clone(origin),
            books: cx.books(),
            passed: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            topics: scope.arn(format_args!("topic/")),
            filters: scope.arn(format_args!("topicfilter/")),
            token: AtomicU64::new(token_of(&granted.set, &common.tokens)),
            granted: RwLock::new(Arc::new(granted)),
            common,
            unheard: Unheard::default(),
        }
    }

    /// What is granted now.
    pub(super) fn granted(&self) -> Arc<Granted> {
        Arc::clone(&self.granted.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other rights in place.
    pub(super) fn replace(&self, granted: Granted) {
        let token = token_of(&granted.set, &self.common.tokens);
        // First the token goes, then the rights come: an answer of the old ones is never filed under the new.
        self.token.store(0, Ordering::Release);
        *self.granted.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(granted);
        self.token.store(token, Ordering::Release);
    }

    fn tell_unheard(&self, set: &PolicySet, topic: &str, request: &Request<'_>) {
        let now = request.now_ms;
        if !self.unheard.take(topic, now) || !self.common.unheard.take(now) {
            return;
        }
        let refused = Refused {
            client_id: self.origin.client_id.clone().unwrap_or_default(),
            principal: self.peer.principal.id(),
            action: request.action.to_owned(),
            resource: request.resource.to_string(),
            peer: self.peer.address.clone(),
            given: self.peer.given(&Variables::new()),
            ..Refused::default()
        };
        let refused = identity::explained(refused, set, request, &set.decide(request));
        self.common.witness.event(Event::new(now, &self.scope, Kind::Refusal(refused)));
    }
}

fn token_of(set: &PolicySet, tokens: &AtomicU64) -> u64 {
    if set.is_timeless() { tokens.fetch_add(1, Ordering::Relaxed) + 1 } else { 0 }
}

impl Gate for Grant {
    fn token(&self) -> u64 {
        self.token.load(Ordering::Acquire)
    }

    fn may_receive(&self, topic: &str) -> bool {
        let granted = self.granted.read().unwrap_or_else(PoisonError::into_inner);
        let now = self.common.clock.load(Ordering::Relaxed);
        let request = Request::new("iot:Receive", Resource::new(&self.topics, topic), now);
        let may = granted.set.decide(&request).is_allowed();
        if !may {
            self.tell_unheard(&granted.set, topic, &request);
        }
        may
    }

    fn has_passed(&self, message: &Publish) {
        let now = self.common.clock.load(Ordering::Relaxed);
        self.passed.fetch_add(1, Ordering::Relaxed);
        self.books.logging.note(now, Level::Info, || message::record("Publish-Out", message).of(&self.origin));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_told_of_once_in_a_while_and_few_of_them() {
        let unheard = Unheard::default();
        let told: Vec<&str> =
            ["a", "a", "b", "c", "a", "d", "e", "f"].into_iter().filter(|topic| unheard.take(topic, 5)).collect();
        assert_eq!(told, ["a", "b", "c", "d"]);
        assert!(!unheard.take("e", WHILE - 1));
        assert!(unheard.take("e", WHILE) && unheard.take("a", WHILE));
    }
}
