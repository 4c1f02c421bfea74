//! What a session owes its client: messages of QoS 1 and 2, in the order they came, each with its place in the exchange.
//!
//! A message's packet identifier follows from its number in the session, so that after a restart the same message has the
//! same identifier without anybody having written one down. Knows nothing of sockets, versions or who else gets a message.

use std::collections::VecDeque;
use std::num::NonZeroU16;

use mqtt::{Filter, Publish, QoS};

/// How many numbers pass before a packet identifier comes again.
const IDENTIFIERS: u64 = 65_535;

/// Bytes of messages that a session with a store keeps at hand; the rest is fetched when its turn comes.
const AT_HAND: usize = 256 * 1024;

/// A message on its way, with what depends on the recipient.
#[derive(Clone, Debug)]
pub struct Held {
    /// The message: QoS, retain flag and subscription identifiers are the recipient's.
    pub message: Publish,
    /// When it came in, in milliseconds; its expiry counts from then [MQTT-3.3.2-6].
    pub arrived: i64,
    /// The shared subscription it came by, if another member could have it instead.
    pub shared: Option<Filter>,
}

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Never sent.
    Waiting,
    /// Found after a restart: it may have been sent, so that the next time counts as a repetition.
    Unknown,
    /// Sent at least once; the next time is a repetition [MQTT-3.3.1-1].
    Published,
    /// The client has it and was told to let go of it: only PUBREL is repeated [MQTT-4.3.3-7].
    Released,
}

/// One message owed.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) size: usize,
    pub(crate) qos: QoS,
    pub(crate) stage: Stage,
    /// The message itself, unless it lies in the store or will never be needed again.
    pub(crate) held: Option<Box<Held>>,
}

/// All that is owed, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    entries: VecDeque<Entry>,
    /// How many of the first entries have been sent on the present connection.
    sent: usize,
    next: u64,
    /// Bytes of all entries, and of those at hand.
    bytes: usize,
    at_hand: usize,
}

/// The bounds of what may be owed to one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// The packet identifier of the message with this number.
pub(crate) fn identifier(seq: u64) -> NonZeroU16 {
    let number = u16::try_from(seq % IDENTIFIERS).unwrap_or_default();
    NonZeroU16::MIN.saturating_add(number)
}

impl Entry {
    pub(crate) fn packet_id(&self) -> NonZeroU16 {
        identifier(self.seq)
    }

    /// Whether it is sent however old it is: the client may be in the midst of it.
    pub(crate) fn outlasts_expiry(&self) -> bool {
        match self.stage {
            Stage::Waiting => false,
            Stage::Unknown => self.qos == QoS::ExactlyOnce,
            Stage::Published | Stage::Released => true,
        }
    }
}

impl Held {
    /// Seconds since it came in.
    pub(crate) fn age(&self, now: i64) -> u32 {
        u32::try_from((now - self.arrived).max(0) / 1000).unwrap_or(u32::MAX)
    }

    /// Whether its time is over.
    pub(crate) fn has_expired(&self, now: i64) -> bool {
        let expiry = self.message.properties.as_deref().and_then(|properties| properties.message_expiry_interval);
        let age = self.age(now);
        expiry.is_some_and(|seconds| seconds <= age && age > 0)
    }

    /// The message as another recipient may have it, if its time is not over.
    pub(crate) fn into_message(mut self, now: i64) -> Option<Publish> {
        if self.has_expired(now) {
            return None;
        }
        let age = self.age(now);
        if let Some(properties) = &mut self.message.properties {
            properties.subscription_identifiers.clear();
            properties.message_expiry_interval = properties.message_expiry_interval.map(|seconds| seconds - age);
        }
        Some(self.message)
    }
}

impl Outbound {
    /// The number of the next message, if there is room for it: within the bounds, and not a whole round of identifiers ahead
    /// of the oldest [MQTT-2.2.1-4].
    pub(crate) fn reserve(&mut self, size: usize, bounds: Bounds) -> Option<u64> {
        let round = self.entries.front().is_some_and(|oldest| self.next - oldest.seq >= IDENTIFIERS - 1);
        if round || self.entries.len() >= bounds.messages || self.bytes + size > bounds.bytes {
            return None;
        }
        let seq = self.next;
        self.next += 1;
        Some(seq)
    }

    /// Files a message under its number, which is higher than all before.
    pub(crate) fn push(&mut self, seq: u64, qos: QoS, stage: Stage, size: usize, held: Option<Box<Held>>) {
        debug_assert!(self.entries.back().is_none_or(|last| last.seq < seq), "numbers grow");
        self.next = self.next.max(seq + 1);
        self.bytes += size;
        if held.is_some() {
            self.at_hand += size;
        }
        self.entries.push_back(Entry { seq, size, qos, stage, held });
    }

    /// Whether a message that lies in the store should be kept at hand as well.
    pub(crate) fn has_hand_free(&self, size: usize) -> bool {
        self.at_hand + size <= AT_HAND
    }

    /// How many messages are unacknowledged on the present connection.
    pub(crate) fn in_flight(&self) -> usize {
        self.sent
    }

    /// Whether everything has been sent that is owed.
    pub(crate) fn is_level(&self) -> bool {
        self.sent == self.entries.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of messages in memory.
    pub(crate) fn at_hand(&self) -> usize {
        self.at_hand
    }

    /// The next to be sent.
    pub(crate) fn upcoming(&mut self) -> Option<&mut Entry> {
        self.entries.get_mut(self.sent)
    }

    /// The next one has been sent. Its message stays at hand only if it may be needed `again`.
    pub(crate) fn has_been_sent(&mut self, again: bool) {
        let Some(entry) = self.entries.get_mut(self.sent) else { return };
        if entry.stage != Stage::Released {
            entry.stage = Stage::Published;
        }
        self.sent += 1;
        if !again && entry.held.take().is_some() {
            self.at_hand -= entry.size;
        }
    }

    /// The next one is not to be sent after all.
    pub(crate) fn drop_upcoming(&mut self) -> Option<Entry> {
        let entry = self.entries.remove(self.sent)?;
        self.forget(&entry);
        Some(entry)
    }

    /// The client has acknowledged this one for good.
    pub(crate) fn settle(&mut self, packet_id: NonZeroU16, as_expected: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let at = self.position(packet_id)?;
        if !as_expected(self.entries.get(at)?) {
            return None;
        }
        let entry = self.entries.remove(at)?;
        self.sent -= 1;
        self.forget(&entry);
        Some(entry)
    }

    /// The client has received this QoS 2 message: from now on only its release is owed. Its number.
    pub(crate) fn release(&mut self, packet_id: NonZeroU16) -> Option<u64> {
        let at = self.position(packet_id)?;
        let entry = self.entries.get_mut(at).filter(|entry| entry.qos == QoS::ExactlyOnce)?;
        entry.stage = Stage::Released;
        if entry.held.take().is_some() {
            self.at_hand -= entry.size;
        }
        Some(entry.seq)
    }

    /// The packet identifier under which the release of this message is owed, if it has been sent on this connection.
    pub(crate) fn released(&self, seq: u64) -> Option<NonZeroU16> {
        let at = self.entries.binary_search_by_key(&seq, |entry| entry.seq).ok()?;
        let entry = self.entries.get(at)?;
        (at < self.sent && entry.stage == Stage::Released).then(|| entry.packet_id())
    }

    fn forget(&mut self, entry: &Entry) {
        self.bytes -= entry.size;
        if entry.held.is_some() {
            self.at_hand -= entry.size;
        }
    }

    /// Where the entry with this identifier stands, if it has been sent on this connection.
    fn position(&self, packet_id: NonZeroU16) -> Option<usize> {
        let first = self.entries.front()?.seq;
        let ahead = (u64::from(packet_id.get() - 1) + IDENTIFIERS - first % IDENTIFIERS) % IDENTIFIERS;
        if ahead == 0 {
            return (self.sent > 0).then_some(0);
        }
        let at = self.entries.binary_search_by_key(&(first + ahead), |entry| entry.seq).ok()?;
        (at < self.sent).then_some(at)
    }

    /// The connection is gone: everything is to be sent again. What lies in the store need not stay in memory.
    pub(crate) fn park(&mut self, stored: bool) {
        self.sent = 0;
        if stored {
            self.entries.iter_mut().for_each(|entry| entry.held = None);
            self.at_hand = 0;
        }
    }

    /// The numbers of the next messages that lie only in the store, as many as fit at hand.
    pub(crate) fn wanted(&self) -> Vec<u64> {
        let mut bytes = self.at_hand;
        let next = self.entries.iter().skip(self.sent);
        next.filter(|entry| entry.held.is_none() && entry.stage != Stage::Released)
            .take_while(|entry| {
                let first = bytes == self.at_hand;
                bytes += entry.size;
                first || bytes <= AT_HAND
            })
            .take(256)
            .map(|entry| entry.seq)
            .collect()
    }

    /// Puts a message in its place; nothing in the store means that there is nothing to be sent.
    pub(crate) fn supply(&mut self, seq: u64, held: Option<Box<Held>>) {
        let Ok(at) = self.entries.binary_search_by_key(&seq, |entry| entry.seq) else { return };
        match (held, self.entries.get_mut(at)) {
            (Some(held), Some(entry)) if entry.held.is_none() => {
                self.at_hand += entry.size;
                entry.held = Some(held);
            }
            (None, Some(_)) => {
                if let Some(entry) = self.entries.remove(at) {
                    self.sent -= usize::from(at < self.sent);
                    self.forget(&entry);
                }
            }
            _ => {}
        }
    }

    /// Takes every message that another member of its shared subscription could have: of QoS 2 only what was never sent
    /// [MQTT-4.8.2-4].
    pub(crate) fn take_shared(&mut self) -> Vec<Held> {
        let all = std::mem::take(&mut self.entries);
        let mut taken = Vec::new();
        for mut entry in all {
            let free = entry.qos == QoS::AtLeastOnce || entry.stage == Stage::Waiting;
            match entry.held.take() {
                Some(held) if free && held.shared.is_some() => {
                    self.bytes -= entry.size;
                    self.at_hand -= entry.size;
                    taken.push(*held);
                }
                held => {
                    entry.held = held;
                    self.entries.push_back(entry);
                }
            }
        }
        self.sent = self.sent.min(self.entries.len());
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt::Topic;

    const BOUNDS: Bounds = Bounds { messages: 100_000, bytes: usize::MAX };

    fn held() -> Held {
        let message = Publish::new(Topic::try_from("t").unwrap(), "x");
        Held { message, arrived: 0, shared: None }
    }

    fn owed(qos: QoS, count: usize) -> Outbound {
        let mut outbound = Outbound::default();
        for _ in 0..count {
            let seq = outbound.reserve(1, BOUNDS).unwrap();
            outbound.push(seq, qos, Stage::Waiting, 1, Some(Box::new(held())));
            outbound.has_been_sent(false);
        }
        outbound
    }

    fn id(number: u16) -> NonZeroU16 {
        NonZeroU16::new(number).unwrap()
    }

    #[test]
    fn identifiers_run_from_1_to_65535_and_start_again() {
        assert_eq!([0, 65_534, 65_535].map(|seq| identifier(seq).get()), [1, 65_535, 1]);
    }

    #[test]
    fn acknowledgements_come_in_any_order_and_count_once() {
        let mut outbound = owed(QoS::AtLeastOnce, 3);
        assert!(outbound.settle(id(2), |_| true).is_some());
        assert!(outbound.settle(id(2), |_| true).is_none());
        assert!(outbound.settle(id(1), |_| true).is_some());
        assert!(outbound.settle(id(9), |_| true).is_none(), "never sent");
        assert_eq!(outbound.in_flight(), 1);
        assert!(outbound.settle(id(3), |_| true).is_some());
        assert_eq!((outbound.len(), outbound.bytes, outbound.at_hand), (0, 0, 0));
    }

    #[test]
    fn an_identifier_in_flight_is_never_given_again() {
        let mut outbound = owed(QoS::AtLeastOnce, 1);
        for _ in 0..65_533 {
            let seq = outbound.reserve(1, BOUNDS).unwrap();
            outbound.push(seq, QoS::AtLeastOnce, Stage::Waiting, 1, None);
            outbound.has_been_sent(false);
            let packet_id = identifier(seq);
            assert!(outbound.settle(packet_id, |_| true).is_some());
        }
        assert_eq!(outbound.reserve(1, BOUNDS), None, "the first one still holds its identifier");
        outbound.settle(id(1), |_| true);
        assert!(outbound.reserve(1, BOUNDS).is_some());
    }

    #[test]
    fn after_a_release_only_the_release_is_owed() {
        let mut outbound = owed(QoS::ExactlyOnce, 2);
        assert_eq!(outbound.release(id(2)), Some(1));
        outbound.park(true);
        assert_eq!(outbound.wanted(), [0], "the released one needs no message");
        assert_eq!(outbound.upcoming().map(|entry| entry.stage), Some(Stage::Published));
    }

    #[test]
    fn the_bounds_hold() {
        let mut outbound = owed(QoS::AtLeastOnce, 2);
        assert_eq!(outbound.reserve(1, Bounds { messages: 2, bytes: 10 }), None);
        assert_eq!(outbound.reserve(9, Bounds { messages: 9, bytes: 10 }), None);
        assert!(outbound.reserve(8, Bounds { messages: 9, bytes: 10 }).is_some());
    }
}
