//! A client's session: what it subscribed to and what it is owed, whether it is connected or not. A session may outlive
//! its connections; then the house keeps it in a store, under the key that the session carries. Knows nothing of time
//! beyond what it is told, nor of how anything is stored.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mqtt::{Ack, Filter, Packet, Publish, QoS, ReasonCode, Subscription, SubscriptionId, Will};

use crate::Closed;
use crate::Settings;
use crate::frames::Frames;
use crate::link::{Link, Put, Step};
use crate::memory::Memory;
use crate::outbound::{Bounds, Entry, Held, Outbound, Stage, identifier};

/// Seconds that mean for ever [MQTT-3.1.2-23].
pub const FOR_EVER: u32 = u32::MAX;

/// One client's session.
pub struct Session {
    number: u64,
    client_id: Box<str>,
    /// The key under which the house stores it, if it may outlive its connection.
    stored: Option<u64>,
    connected: AtomicBool,
    bounds: Bounds,
    /// Seconds a message waits at most.
    oldest: u32,
    longest_expiry: u32,
    memory: Arc<Memory>,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) link: Option<Arc<Link>>,
    /// Seconds it outlives its connection.
    pub(crate) expiry: u32,
    /// When the last connection ended, in milliseconds.
    pub(crate) since: i64,
    pub(crate) ended: bool,
    /// The will of the last connection, while it waits, and when it is due.
    pub(crate) will: Option<(Will, i64)>,
    /// When the broker looks here, if nobody comes before.
    pub(crate) alarm: Option<i64>,
    outbound: Outbound,
    /// QoS 2 messages received and not yet released by the client [MQTT-4.3.3-10].
    received: BTreeSet<u16>,
    subscriptions: HashMap<Filter, Kept>,
    /// What the client acknowledged and the store has not heard of yet.
    settled: Vec<Settled>,
    /// Who waits for the acknowledgement of which message.
    awaited: Vec<(u64, Confirmed)>,
    /// Whether somebody is on the way to write that down.
    settling: bool,
}

/// A subscription as the session remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The filter and its options, with the QoS that was granted.
    pub subscription: Subscription,
    /// The identifier the client gave it.
    pub id: Option<SubscriptionId>,
}

/// Called when a client has acknowledged a message; under a lock, so it must be quick and must not call back. Let go
/// of without a call if the message will never be acknowledged.
pub type Confirmed = Arc<dyn Fn() + Send + Sync>;

/// What a client has said about a stored message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is done with: the record goes.
    Done(u64),
    /// A QoS 2 message has been received: from now on only its release is owed.
    Released(u64),
}

/// What one recipient gets of a message.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    /// The QoS of the delivery.
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) ids: &'a [SubscriptionId],
    pub(crate) shared: Option<&'a Filter>,
    /// Who waits for its acknowledgement, if it has QoS 1.
    pub(crate) confirmed: Option<&'a Confirmed>,
    /// Where it is remembered that the gate has let this topic through.
    pub(crate) cleared: Option<&'a AtomicU64>,
}

/// A message in a stored session, as it was found after a restart.
#[derive(Clone, Copy, Debug)]
pub struct Restored {
    /// Its number in the session.
    pub seq: u64,
    /// QoS 1 or 2.
    pub qos: QoS,
    /// Its size in bytes; zero once it is released.
    pub size: usize,
    /// Whether only its release is owed.
    pub released: bool,
}

impl Session {
    pub(crate) fn new(
        number: u64,
        client_id: &str,
        stored: Option<u64>,
        expiry: u32,
        settings: &Settings,
        memory: Arc<Memory>,
    ) -> Self {
        let bounds = match stored {
            Some(_) => Bounds { messages: settings.stored_messages, bytes: settings.stored_bytes },
            None => Bounds { messages: settings.queued_messages, bytes: settings.queued_bytes },
        };
        Self {
            number,
            client_id: client_id.into(),
            stored,
            connected: AtomicBool::new(false),
            bounds,
            oldest: settings.queued_seconds,
            longest_expiry: settings.longest_expiry,
            memory,
            state: Mutex::new(State {
                link: None,
                expiry,
                since: 0,
                ended: false,
                will: None,
                alarm: None,
                outbound: Outbound::default(),
                received: BTreeSet::new(),
                subscriptions: HashMap::new(),
                settled: Vec::new(),
                awaited: Vec::new(),
                settling: false,
            }),
        }
    }

    /// A number that no other session of this broker ever has.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The client identifier.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The key under which the house stores it; nothing if it ends with its connection.
    pub fn stored(&self) -> Option<u64> {
        self.stored
    }

    /// Whether a client is connected to it.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    /// The present connection.
    pub fn link(&self) -> Option<Arc<Link>> {
        self.state().link.clone()
    }

    /// Seconds it outlives its connection, and when the last one ended if none is there.
    pub fn expiry(&self) -> (u32, Option<i64>) {
        let state = self.state();
        (state.expiry, state.link.is_none().then_some(state.since))
    }

    /// What it subscribed to, in the order of the filters.
    pub fn subscriptions(&self) -> Vec<Kept> {
        let mut all: Vec<Kept> = self.state().subscriptions.values().cloned().collect();
        all.sort_by(|a, b| a.subscription.filter.cmp(&b.subscription.filter));
        all
    }

    /// Whether it has ended: a client that comes finds a new one.
    pub fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// Whether this filter is known, or there is room for one more.
    pub fn has_room_for(&self, filter: &Filter, limit: usize) -> bool {
        let state = self.state();
        state.subscriptions.len() < limit || state.subscriptions.contains_key(filter)
    }

    /// How many messages it is owed.
    pub fn owed(&self) -> usize {
        self.state().outbound.len()
    }

    pub(crate) fn attach(&self, link: &Arc<Link>, expiry: u32) -> Option<Arc<Link>> {
        let mut state = self.state();
        state.expiry = expiry.min(self.longest_expiry);
        state.will = None;
        let displaced = state.link.replace(Arc::clone(link));
        self.park(&mut state);
        self.connected.store(true, Ordering::Release);
        displaced
    }

    pub(crate) fn park(&self, state: &mut State) {
        let before = state.outbound.at_hand();
        state.outbound.park(self.stored.is_some());
        self.memory.give_back(before - state.outbound.at_hand());
    }

    pub(crate) fn set_disconnected(&self) {
        self.connected.store(false, Ordering::Release);
    }

    /// Ends it: nothing is owed any more. What it had subscribed to, to be taken off.
    pub(crate) fn end(&self) -> Vec<Filter> {
        let mut state = self.state();
        state.ended = true;
        state.link = None;
        self.memory.give_back(state.outbound.at_hand());
        state.outbound = Outbound::default();
        state.settled.clear();
        state.awaited.clear();
        self.set_disconnected();
        std::mem::take(&mut state.subscriptions).into_keys().collect()
    }

    /// Messages that another member of a shared subscription could have.
    pub(crate) fn take_shared(&self) -> Vec<Held> {
        let mut state = self.state();
        let before = state.outbound.at_hand();
        let taken = state.outbound.take_shared();
        self.memory.give_back(before - state.outbound.at_hand());
        taken
    }

    /// Sets what DISCONNECT said about the expiry; no if it was zero and should not be any more [MQTT-3.14.2-2].
    pub(crate) fn shorten(&self, seconds: u32) -> bool {
        let mut state = self.state();
        if state.expiry == 0 && seconds > 0 {
            return false;
        }
        state.expiry = seconds.min(self.longest_expiry);
        true
    }

    pub(crate) fn has_received(&self, packet_id: NonZeroU16) -> bool {
        self.state().received.contains(&packet_id.get())
    }

    /// A QoS 2 message has been received: its identifier is taken until the client releases it.
    pub fn keep_received(&self, packet_id: NonZeroU16) {
        self.state().received.insert(packet_id.get());
    }

    pub(crate) fn drop_received(&self, packet_id: NonZeroU16) {
        self.state().received.remove(&packet_id.get());
    }

    /// Puts back a message that was found in the store after a restart; in the order of their numbers.
    pub fn restore(&self, message: Restored) {
        let stage = if message.released { Stage::Released } else { Stage::Unknown };
        self.state().outbound.push(message.seq, message.qos, stage, message.size, None);
    }

    /// Reserves the number of a message that will be stored before it is delivered; nothing if the session is full.
    pub(crate) fn reserve(&self, message: &Publish) -> Option<u64> {
        let mut state = self.state();
        if state.ended { None } else { state.outbound.reserve(message.weight(), self.bounds) }
    }

    /// Hands a message over: whether it was let through and taken. `seq` is its number if it has been stored.
    pub(crate) fn deliver(&self, frames: &mut Frames<'_>, terms: Terms<'_>, seq: Option<u64>, now: i64) -> bool {
        let mut guard = self.state();
        let state = &mut *guard;
        if terms.qos == QoS::AtMostOnce {
            let Some(link) = &state.link else { return false };
            return link.lets_through(frames.topic(), terms.cleared)
                && link.put(frames, terms, None, false) == Put::Written;
        }
        if state.ended || (self.stored.is_some() && seq.is_none()) {
            return false;
        }
        let size = frames.message().weight();
        let Some(seq) = seq.or_else(|| state.outbound.reserve(size, self.bounds)) else {
            if let Some(link) = &state.link {
                // A client that does not keep up must not take the server's memory.
                link.close(Closed::TooSlow);
            }
            return false;
        };
        if let Some(confirmed) = terms.confirmed {
            state.awaited.push((seq, Arc::clone(confirmed)));
        }
        if let Some(link) = &state.link
            && state.outbound.is_level()
            && state.outbound.in_flight() < link.window()
        {
            let link = Arc::clone(link);
            return self.deliver_at_once(state, &link, frames, terms, (seq, size), now);
        }
        self.queue(state, frames, terms, (seq, size), now)
    }

    fn deliver_at_once(
        &self,
        state: &mut State,
        link: &Link,
        frames: &mut Frames<'_>,
        terms: Terms<'_>,
        (seq, size): (u64, usize),
        now: i64,
    ) -> bool {
        let written = if link.lets_through(frames.topic(), terms.cleared) {
            link.put(frames, terms, Some(identifier(seq)), false)
        } else {
            Put::Unsuited
        };
        match written {
            Put::Written => {
                // Another member could have it instead, as long as it is not acknowledged.
                let again = self.stored.is_none() && terms.shared.is_some();
                let held = again.then(|| Box::new(held(frames, terms, now)));
                if again {
                    self.memory.take(size);
                }
                state.outbound.push(seq, terms.qos, Stage::Waiting, size, held);
                state.outbound.has_been_sent(again);
                true
            }
            Put::NoRoom => self.queue(state, frames, terms, (seq, size), now),
            // The connection is ending: what is not stored ends with it.
            Put::Closed => {
                state.outbound.push(seq, terms.qos, Stage::Waiting, size, None);
                true
            }
            Put::Unsuited => {
                drop(state.take_awaited(seq));
                self.note(state, Settled::Done(seq));
                link.want_more();
                false
            }
        }
    }

    fn queue(
        &self,
        state: &mut State,
        frames: &Frames<'_>,
        terms: Terms<'_>,
        (seq, size): (u64, usize),
        now: i64,
    ) -> bool {
        let online = state.link.is_some();
        let keep = match self.stored {
            None if !online => return false,
            None if !self.memory.has_room() => {
                if let Some(link) = &state.link {
                    link.close(Closed::TooSlow);
                }
                return false;
            }
            None => true,
            Some(_) => online && state.outbound.has_hand_free(size) && self.memory.has_room(),
        };
        let held = keep.then(|| Box::new(held(frames, terms, now)));
        if held.is_some() {
            self.memory.take(size);
        }
        state.outbound.push(seq, terms.qos, Stage::Waiting, size, held);
        if let Some(link) = &state.link {
            link.want_more();
        }
        true
    }

    /// Sends what is owed while the client is ready for it.
    fn pump(&self, state: &mut State, now: i64) {
        let Some(link) = state.link.clone() else { return };
        let before = state.outbound.at_hand();
        while state.outbound.in_flight() < link.window() {
            let Some(entry) = state.outbound.upcoming() else { break };
            if !link.has_room() {
                link.want_more();
                break;
            }
            let (seq, packet_id) = (entry.seq, entry.packet_id());
            if entry.stage == Stage::Released {
                link.send(Packet::PubRel(Ack::success(packet_id)));
                state.outbound.has_been_sent(true);
                continue;
            }
            let Some(held) = &entry.held else {
                link.want_more();
                break;
            };
            let put = send_held(&link, held, entry, self.oldest, now);
            let again = held.shared.is_some();
            match put {
                Put::Written => state.outbound.has_been_sent(again),
                Put::Closed => break,
                Put::NoRoom | Put::Unsuited => {
                    state.outbound.drop_upcoming();
                    drop(state.take_awaited(seq));
                    self.note(state, Settled::Done(seq));
                }
            }
        }
        self.memory.give_back(before.saturating_sub(state.outbound.at_hand()));
    }

    /// The client has a QoS 1 message.
    pub(crate) fn published(&self, ack: &Ack, now: i64) -> Step {
        let mut state = self.state();
        let before = state.outbound.at_hand();
        let Some(entry) = state.outbound.settle(ack.packet_id, |entry| entry.qos == QoS::AtLeastOnce) else {
            return Step::Nothing;
        };
        self.memory.give_back(before - state.outbound.at_hand());
        if let Some(confirmed) = state.take_awaited(entry.seq) {
            confirmed();
        }
        self.note(&mut state, Settled::Done(entry.seq));
        self.go_on(&mut state, now)
    }

    /// The client has received a QoS 2 message, or will not have it [MQTT-4.3.3-4].
    pub(crate) fn received(&self, link: &Link, ack: &Ack, now: i64) -> Step {
        let mut state = self.state();
        let before = state.outbound.at_hand();
        if ack.reason.is_error() {
            if let Some(entry) = state.outbound.settle(ack.packet_id, |entry| entry.qos == QoS::ExactlyOnce) {
                self.note(&mut state, Settled::Done(entry.seq));
            }
        } else {
            match (state.outbound.release(ack.packet_id), self.stored) {
                (Some(seq), Some(_)) => self.note(&mut state, Settled::Released(seq)),
                (Some(_), None) => link.send(Packet::PubRel(Ack::success(ack.packet_id))),
                (None, _) => {
                    let reason = ReasonCode::PacketIdentifierNotFound;
                    link.send(Packet::PubRel(Ack::new(ack.packet_id, reason)));
                }
            }
        }
        self.memory.give_back(before - state.outbound.at_hand());
        self.go_on(&mut state, now)
    }

    /// The client has let go of a QoS 2 message: the exchange is over.
    pub(crate) fn completed(&self, ack: &Ack, now: i64) -> Step {
        let mut state = self.state();
        let Some(entry) = state.outbound.settle(ack.packet_id, |entry| entry.stage == Stage::Released) else {
            return Step::Nothing;
        };
        self.note(&mut state, Settled::Done(entry.seq));
        self.go_on(&mut state, now)
    }

    /// An acknowledgement makes room for what waits, and may be news for the store.
    fn go_on(&self, state: &mut State, now: i64) -> Step {
        if !state.outbound.is_level() {
            self.pump(state, now);
        }
        if state.is_to_be_settled() { Step::Settle } else { Step::Nothing }
    }

    /// Notes what the store has to hear.
    fn note(&self, state: &mut State, settled: Settled) {
        if self.stored.is_some() {
            state.settled.push(settled);
        }
    }

    /// What the store has to hear. Once this is written, [`Session::has_settled`] is owed.
    pub fn take_settled(&self) -> Vec<Settled> {
        let mut state = self.state();
        state.settling = false;
        std::mem::take(&mut state.settled)
    }

    /// The store could not hear of it: it is to be told again, before anything that came up since.
    pub fn has_not_settled(&self, mut settled: Vec<Settled>) {
        let mut state = self.state();
        state.settling = false;
        if !state.ended {
            settled.append(&mut state.settled);
            state.settled = settled;
        }
    }

    /// Whether something has come up for the store that nobody is on the way to write.
    pub fn is_to_be_settled(&self) -> bool {
        self.state().is_to_be_settled()
    }

    /// The store has heard of it: QoS 2 messages are released.
    pub fn has_settled(&self, settled: &[Settled]) {
        let state = self.state();
        let Some(link) = &state.link else { return };
        for settled in settled {
            if let Settled::Released(seq) = settled
                && let Some(packet_id) = state.outbound.released(*seq)
            {
                link.send(Packet::PubRel(Ack::success(packet_id)));
            }
        }
    }

    /// Sends what is owed and was held back, fetching from the store what is not at hand.
    pub fn refill<E>(
        &self,
        now: i64,
        fetch: impl FnOnce(&[u64]) -> Result<Vec<(u64, Option<Held>)>, E>,
    ) -> Result<(), E> {
        let wanted = match self.stored {
            Some(_) => self.state().outbound.wanted(),
            None => Vec::new(),
        };
        // Without the lock: the store takes its time.
        let found = if wanted.is_empty() { Vec::new() } else { fetch(&wanted)? };
        let mut state = self.state();
        for (seq, held) in found {
            let before = state.outbound.at_hand();
            state.outbound.supply(seq, held.map(Box::new));
            self.memory.take(state.outbound.at_hand().saturating_sub(before));
        }
        self.pump(&mut state, now);
        Ok(())
    }

    pub(crate) fn keep_subscription(&self, kept: &Kept, limit: usize) -> Option<bool> {
        let mut state = self.state();
        let known = state.subscriptions.contains_key(&kept.subscription.filter);
        if state.ended || (!known && state.subscriptions.len() >= limit) {
            return None;
        }
        state.subscriptions.insert(kept.subscription.filter.clone(), kept.clone());
        Some(known)
    }

    pub(crate) fn drop_subscription(&self, filter: &Filter) -> bool {
        self.state().subscriptions.remove(filter).is_some()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole, so a poisoned lock is still good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Who waited for this message.
    fn take_awaited(&mut self, seq: u64) -> Option<Confirmed> {
        let at = self.awaited.iter().position(|(awaited, _)| *awaited == seq)?;
        Some(self.awaited.swap_remove(at).1)
    }

    fn is_to_be_settled(&mut self) -> bool {
        !self.settled.is_empty() && !std::mem::replace(&mut self.settling, true)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let held = self.state().outbound.at_hand();
        self.memory.give_back(held);
    }
}

fn held(frames: &Frames<'_>, terms: Terms<'_>, now: i64) -> Held {
    // Compact, because the message outlives the read buffer it came in.
    let mut message = frames.message().compact();
    (message.qos, message.retain) = (terms.qos, terms.retain);
    if !terms.ids.is_empty() {
        message.properties.get_or_insert_default().subscription_identifiers = terms.ids.to_vec();
    }
    Held { message, arrived: now, shared: terms.shared.cloned() }
}

fn send_held(link: &Link, held: &Held, entry: &Entry, oldest: u32, now: i64) -> Put {
    if (held.has_expired(now) || held.age(now) > oldest) && !entry.outlasts_expiry() {
        return Put::Unsuited; // [MQTT-3.3.2-5]
    }
    let message = &held.message;
    let properties = message.properties.as_deref();
    let ids = properties.map_or(&[][..], |properties| &properties.subscription_identifiers);
    let terms = Terms { qos: entry.qos, retain: message.retain, ids, shared: None, confirmed: None, cleared: None };
    let mut frames = Frames::aged(message, held.age(now));
    if !link.may_receive(frames.topic()) {
        return Put::Unsuited;
    }
    link.put(&mut frames, terms, Some(entry.packet_id()), entry.stage != Stage::Waiting)
}
