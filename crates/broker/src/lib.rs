//! The message broker: who is connected, who subscribed to what, what waits for whom.
//!
//! A [`Broker`] is one topic space. It is synchronous: bytes come and go at the doors, which decode packets,
//! give them to [`Link::receive`], do what the [`Step`] says, and write what [`Link::take_outgoing`] holds. A
//! [`Session`] is what a client has with us whether it is connected or not; a [`Link`] is one connection of it.
//!
//! It knows nothing of sockets, certificates, reserved topics, clocks or how anything is stored. What must be stored it
//! says: a [`Plan`] names the stored sessions that get a message, [`Step::Settle`] that a client has acknowledged.
//! Whether a connection may receive a message is asked of its [`Gate`].

mod attach;
mod closed;
mod frames;
mod link;
mod memory;
mod outbound;
mod route;
mod session;
mod tree;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use mqtt::{Filter, QoS, ReasonCode};

pub use attach::{Attached, Detached, Due, Ended, Offer, Stray};
pub use closed::Closed;
pub use link::{Gate, Link, Step, Wake};
pub use outbound::{Held, Stage};
pub use route::{Plan, Planned, Route};
pub use session::{Confirmed, FOR_EVER, Kept, Restored, Session, Settled};

use memory::Memory;
use route::Subscriber;
use tree::Tree;

/// How a broker deviates from the specification, and its bounds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether `a/#` matches `a` itself: yes says the specification [MQTT-4.7.1-2], no says AWS.
    pub hash_matches_parent: bool,
    /// The highest QoS that is granted to a subscription.
    pub maximum_qos: QoS,
    /// Seconds that a session may outlive its connection.
    pub longest_expiry: u32,
    /// Unacknowledged QoS 1 and 2 messages a client may have on their way to us.
    pub receive_maximum: u16,
    /// The same the other way, where the client does not ask for fewer.
    pub in_flight: u16,
    /// Topic aliases in each direction.
    pub topic_alias_maximum: u16,
    /// Subscriptions of one session.
    pub subscriptions: usize,
    /// Bytes that wait for one socket before QoS 0 is dropped and QoS 1 queues.
    pub outgoing_bytes: usize,
    /// Messages that queue behind a slow client whose session is not stored, before it is disconnected.
    pub queued_messages: usize,
    /// Bytes of payload in that queue, likewise.
    pub queued_bytes: usize,
    /// Seconds a message waits for its client at most; one that was sent before is still sent again.
    pub queued_seconds: u32,
    /// Messages that a stored session may be owed; what comes beyond is not queued.
    pub stored_messages: usize,
    /// Bytes of them, likewise.
    pub stored_bytes: usize,
    /// Bytes of all queues and sockets together, before QoS 0 is dropped and slow clients are disconnected.
    pub buffered_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hash_matches_parent: false,
            maximum_qos: QoS::ExactlyOnce,
            longest_expiry: FOR_EVER,
            receive_maximum: 100,
            in_flight: 100,
            topic_alias_maximum: 8,
            subscriptions: 1_000,
            outgoing_bytes: 1 << 20,
            queued_messages: 1_000,
            queued_bytes: 4 << 20,
            // What AWS keeps a message for at most (mqtt.md §2).
            queued_seconds: 604_800,
            stored_messages: 10_000,
            stored_bytes: 64 << 20,
            buffered_bytes: 512 << 20,
        }
    }
}

/// Sessions by client identifier.
type Sessions = HashMap<Box<str>, Arc<Session>>;

/// One topic space: its sessions and their subscriptions. Shared between threads by reference.
pub struct Broker {
    settings: Settings,
    sessions: Mutex<Sessions>,
    subscriptions: RwLock<Tree<Subscriber>>,
    /// Who hears in the house itself; held shortly, and inside of `subscriptions` if both are.
    listeners: RwLock<Tree<u64>>,
    /// Grows with every change of a subscription: a route that is older may be wrong.
    generation: AtomicU64,
    /// When something of a session without a connection is due: its will, or its end.
    alarms: Mutex<BTreeMap<(i64, u64), Arc<Session>>>,
    next_number: AtomicU64,
    memory: Arc<Memory>,
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
    /// The session has as many subscriptions as it may, or has ended.
    QuotaExceeded,
}

impl Broker {
    /// A topic space with nobody in it.
    pub fn new(settings: Settings) -> Self {
        let memory = Arc::new(Memory::new(settings.buffered_bytes));
        Self {
            settings,
            sessions: Mutex::default(),
            subscriptions: RwLock::default(),
            listeners: RwLock::default(),
            generation: AtomicU64::new(0),
            alarms: Mutex::default(),
            next_number: AtomicU64::new(1),
            memory,
        }
    }

    /// The session of this client, connected or not.
    pub fn session(&self, client_id: &str) -> Option<Arc<Session>> {
        self.sessions().get(client_id).cloned()
    }

    /// Every session, connected or not.
    pub fn all_sessions(&self) -> Vec<Arc<Session>> {
        self.sessions().values().cloned().collect()
    }

    /// Subscribes a session that was allowed to. What was granted is at most the broker's highest QoS [MQTT-3.8.4-7].
    pub fn subscribe(&self, session: &Arc<Session>, mut kept: Kept) -> Subscribed {
        // Compact, because the filter outlives the read buffer it came in.
        let filter = kept.subscription.filter.compact();
        kept.subscription.filter = filter.clone();
        kept.subscription.qos = kept.subscription.qos.min(self.settings.maximum_qos);
        let Some(replaced) = session.keep_subscription(&kept, self.settings.subscriptions) else {
            return Subscribed::QuotaExceeded;
        };
        let subscriber = Subscriber::new(session, &kept);
        self.change(|tree| tree.insert(filter.share_name(), filter.pattern(), session.number(), subscriber));
        if session.has_ended() {
            // It ended meanwhile, and whoever ended it did not see this one.
            self.change(|tree| tree.remove(filter.share_name(), filter.pattern(), session.number()));
            return Subscribed::QuotaExceeded;
        }
        Subscribed::Granted { qos: kept.subscription.qos, replaced }
    }

    /// Takes a filter off a session; whether it was there [MQTT-3.10.4-1].
    pub fn unsubscribe(&self, session: &Session, filter: &Filter) -> bool {
        session.drop_subscription(filter)
            && self.change(|tree| tree.remove(filter.share_name(), filter.pattern(), session.number()))
    }

    /// Lets somebody in the house hear what is published on a filter, in which `a/#` stands for `a` too. What is heard is told
    /// by [`Route::listeners`]; a listener gets nothing by itself.
    pub fn listen(&self, filter: &Filter, listener: u64) {
        self.change(|_| self.listeners().insert(None, filter.pattern(), listener, listener));
    }

    /// Takes a listener off a filter.
    pub fn unlisten(&self, filter: &Filter, listener: u64) {
        self.change(|_| self.listeners().remove(None, filter.pattern(), listener));
    }

    fn listeners(&self) -> RwLockWriteGuard<'_, Tree<u64>> {
        self.listeners.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Tree<Subscriber>) -> T) -> T {
        let mut tree = self.subscriptions.write().unwrap_or_else(PoisonError::into_inner);
        let answer = change(&mut tree);
        self.generation.fetch_add(1, Ordering::Release);
        answer
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        // Every critical section leaves the map whole, so a poisoned lock is still good.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }
}

/// The reason a SUBACK gives for what was granted.
impl From<Subscribed> for ReasonCode {
    fn from(subscribed: Subscribed) -> Self {
        match subscribed {
            Subscribed::Granted { qos: QoS::AtMostOnce, .. } => Self::Success,
            Subscribed::Granted { qos: QoS::AtLeastOnce, .. } => Self::GrantedQoS1,
            Subscribed::Granted { qos: QoS::ExactlyOnce, .. } => Self::GrantedQoS2,
            Subscribed::QuotaExceeded => Self::QuotaExceeded,
        }
    }
}
