//! The message broker: who is connected, who subscribed to what, what waits for whom.
//!
//! A [`Broker`] is one topic space. It is synchronous: bytes come and go at the doors, which decode packets,
//! give them to [`Session::receive`], do what the [`Step`] says, and write what [`Session::take_outgoing`] holds.
//! It knows nothing of sockets, certificates, reserved topics, storage or clocks; whether a session may receive a
//! message is asked of the session's [`Gate`].

mod session;
mod tree;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use mqtt::{Filter, Publish, QoS, ReasonCode, Subscription};

use session::Frames;
pub use session::{Closed, Gate, Offer, Session, Step, Wake};
use tree::Tree;

/// How a broker deviates from the specification, and its bounds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether `a/#` matches `a` itself: yes says the specification [MQTT-4.7.1-2], no says AWS.
    pub hash_matches_parent: bool,
    /// Unacknowledged QoS 1 messages a client may have on their way to us.
    pub receive_maximum: u16,
    /// Topic aliases a client may define.
    pub topic_alias_maximum: u16,
    /// Subscriptions of one session.
    pub subscriptions: usize,
    /// Bytes that wait for one socket before QoS 0 is dropped and QoS 1 queues.
    pub outgoing_bytes: usize,
    /// QoS 1 messages that queue behind a slow client before it is disconnected.
    pub queued_messages: usize,
    /// Bytes of payload in that queue, likewise.
    pub queued_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hash_matches_parent: false,
            receive_maximum: 100,
            topic_alias_maximum: 8,
            subscriptions: 1_000,
            outgoing_bytes: 1 << 20,
            queued_messages: 1_000,
            queued_bytes: 4 << 20,
        }
    }
}

/// One topic space: its sessions and their subscriptions. Shared between threads by reference.
pub struct Broker {
    settings: Settings,
    sessions: Mutex<HashMap<Box<str>, Arc<Session>>>,
    subscriptions: RwLock<Tree<Subscriber>>,
    next_id: AtomicU64,
}

/// What hangs on a filter.
struct Subscriber {
    session: Arc<Session>,
    qos: QoS,
    no_local: bool,
    retain_as_published: bool,
}

/// The answer to one filter of a SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribed {
    /// Granted with this QoS; whether it replaced an equal filter.
    Granted {
        /// What was granted.
        qos: QoS,
        /// Whether the filter had been subscribed before [MQTT-3.8.4-3].
        replaced: bool,
    },
    /// The session has as many subscriptions as it may.
    QuotaExceeded,
}

impl Broker {
    /// A topic space with nobody in it.
    pub fn new(settings: Settings) -> Self {
        Self { settings, sessions: Mutex::default(), subscriptions: RwLock::default(), next_id: AtomicU64::new(1) }
    }

    /// Opens a session. One of the same client identifier that is still open is closed as taken over
    /// [MQTT-3.1.4-3] and returned, so that the caller can name both.
    pub fn connect(
        &self,
        offer: Offer,
        gate: Arc<dyn Gate>,
        wake: Arc<dyn Wake>,
    ) -> (Arc<Session>, Option<Arc<Session>>) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let session = Arc::new(Session::new(id, offer, &self.settings, gate, wake));
        let displaced = self.sessions().insert(session.client_id().into(), Arc::clone(&session));
        if let Some(displaced) = &displaced {
            displaced.close(Closed::TakenOver);
        }
        (session, displaced)
    }

    /// Forgets a session whose connection has ended. A newer session of the same client stays.
    pub fn forget(&self, session: &Session) {
        let filters = session.take_subscriptions();
        if !filters.is_empty() {
            let mut tree = self.subscriptions.write().unwrap_or_else(PoisonError::into_inner);
            for filter in filters {
                tree.remove(filter.share_name(), filter.pattern(), session.id());
            }
        }
        let mut sessions = self.sessions();
        if sessions.get(session.client_id()).is_some_and(|current| current.id() == session.id()) {
            sessions.remove(session.client_id());
        }
    }

    /// The open session of this client.
    pub fn session(&self, client_id: &str) -> Option<Arc<Session>> {
        self.sessions().get(client_id).cloned()
    }

    /// Every open session.
    pub fn all_sessions(&self) -> Vec<Arc<Session>> {
        self.sessions().values().cloned().collect()
    }

    /// How many sessions are open.
    pub fn len(&self) -> usize {
        self.sessions().len()
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Subscribes a session that was allowed to. QoS 2 is granted as QoS 1 [MQTT-3.8.4-7].
    pub fn subscribe(&self, session: &Arc<Session>, subscription: &Subscription) -> Subscribed {
        // Compact, because the filter outlives the read buffer it came in.
        let filter = subscription.filter.compact();
        let Some(replaced) = session.keep_subscription(&filter, self.settings.subscriptions) else {
            return Subscribed::QuotaExceeded;
        };
        let qos = subscription.qos.min(QoS::AtLeastOnce);
        let subscriber = Subscriber {
            session: Arc::clone(session),
            qos,
            no_local: subscription.no_local,
            retain_as_published: subscription.retain_as_published,
        };
        let mut tree = self.subscriptions.write().unwrap_or_else(PoisonError::into_inner);
        tree.insert(filter.share_name(), filter.pattern(), session.id(), subscriber);
        Subscribed::Granted { qos, replaced }
    }

    /// Takes a filter off a session; whether it was there [MQTT-3.10.4-1].
    pub fn unsubscribe(&self, session: &Session, filter: &Filter) -> bool {
        if !session.drop_subscription(filter) {
            return false;
        }
        let mut tree = self.subscriptions.write().unwrap_or_else(PoisonError::into_inner);
        tree.remove(filter.share_name(), filter.pattern(), session.id())
    }

    /// Delivers a message to every session that subscribed to its topic and may receive it, one copy each
    /// with the highest QoS of its matching filters. `from` is the id of the session that published it, for No Local.
    /// Returns how many sessions got it.
    pub fn route(&self, message: &Publish, from: Option<u64>) -> usize {
        let Some(topic) = &message.topic else { return 0 };
        let mut matched: Vec<Match> = Vec::new();
        {
            let tree = self.subscriptions.read().unwrap_or_else(PoisonError::into_inner);
            tree.visit(topic.as_str(), self.settings.hash_matches_parent, &mut |subscriber| {
                let own = from == Some(subscriber.session.id());
                if !(subscriber.no_local && own) {
                    matched.push(Match::new(subscriber));
                }
            });
        }
        if matched.len() > 1 {
            merge_overlapping(&mut matched);
        }
        let mut frames = Frames::new(message);
        matched.iter().filter(|found| found.session.deliver(&mut frames, found.qos, found.retain)).count()
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Session>>> {
        // Every critical section leaves the map whole, so a poisoned lock is still good.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session that gets a message, taken out of the tree so that its lock is not held while delivering.
struct Match {
    session: Arc<Session>,
    qos: QoS,
    retain: bool,
}

impl Match {
    fn new(subscriber: &Subscriber) -> Self {
        Self { session: Arc::clone(&subscriber.session), qos: subscriber.qos, retain: subscriber.retain_as_published }
    }
}

/// One copy per session, with the highest QoS among its filters [MQTT-3.3.4-2].
fn merge_overlapping(matched: &mut Vec<Match>) {
    matched.sort_unstable_by_key(|found| found.session.id());
    matched.dedup_by(|next, kept| {
        let same = next.session.id() == kept.session.id();
        if same {
            kept.qos = kept.qos.max(next.qos);
            kept.retain |= next.retain;
        }
        same
    });
}

/// The reason a SUBACK gives for what was granted.
impl From<Subscribed> for ReasonCode {
    fn from(subscribed: Subscribed) -> Self {
        match subscribed {
            Subscribed::Granted { qos: QoS::AtMostOnce, .. } => Self::Success,
            Subscribed::Granted { .. } => Self::GrantedQoS1,
            Subscribed::QuotaExceeded => Self::QuotaExceeded,
        }
    }
}
