//! One connection of a session: what the client sends becomes [`Step`]s for the house, what it is owed becomes bytes for
//! the socket. It ends with the connection; what outlives it belongs to the session. Knows nothing of sockets or time.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use mqtt::{
    Ack, Disconnect, EncodeError, Packet, Publish, QoS, ReasonCode, Subscribe, Topic, Unsubscribe, Version, Will,
};

use crate::frames::{Alias, Form, Frames};
use crate::memory::Memory;
use crate::session::{Session, Terms};
use crate::{Closed, Offer, Settings};

/// Whether a connection may have a message, asked at each delivery.
pub trait Gate: Send + Sync {
    /// May what is published on `topic` be received here?
    fn may_receive(&self, topic: &str) -> bool;

    /// A number that stands for all answers as long as they stay the same, unlike that of any other gate; zero if they
    /// may change from one moment to the next.
    fn token(&self) -> u64;

    /// A message has gone out here. Called under a lock, for every message: it must be quick and must not call back.
    fn has_passed(&self, message: &Publish) {
        let _ = message;
    }
}

/// Tells the door that there are bytes to write, or that the connection has been closed. Called under a lock: it must
/// be quick and must not call back.
pub trait Wake: Send + Sync {
    /// There is something to do.
    fn wake(&self);
}

/// What a packet asks of the house.
#[derive(Debug)]
pub enum Step {
    /// Nothing: the broker dealt with it.
    Nothing,
    /// Publish this; if it has QoS 1 or 2, [`Link::acknowledge`] is owed.
    Publish(Publish),
    /// Forget that this QoS 2 message was received, then [`Link::complete`].
    Release(NonZeroU16),
    /// What the client has acknowledged is to be written: see [`Session::take_settled`].
    Settle,
    /// Subscribe, then answer with SUBACK.
    Subscribe(Subscribe),
    /// Unsubscribe, then answer with UNSUBACK.
    Unsubscribe(Unsubscribe),
}

/// One connection.
pub struct Link {
    number: u64,
    session: Arc<Session>,
    version: Version,
    /// Unacknowledged messages the client is ready for [MQTT-3.3.4-9].
    window: usize,
    maximum_packet_size: usize,
    problem_information: bool,
    /// Unacknowledged messages we are ready for.
    receive_maximum: isize,
    outgoing_bytes: usize,
    gate: Arc<dyn Gate>,
    wake: Arc<dyn Wake>,
    memory: Arc<Memory>,
    /// Whether the outbox says how it closed; read without its lock.
    is_closed: AtomicBool,
    outbox: Mutex<Outbox>,
    receiving: Mutex<Receiving>,
}

/// What waits for the socket.
struct Outbox {
    bytes: BytesMut,
    /// How much of it the whole broker's memory has been told of.
    counted: usize,
    /// The door will look here again without being woken.
    attended: bool,
    /// More could be sent than is here: see [`Link::wants_more`].
    wants_more: bool,
    closed: Option<Closed>,
    will: Option<Will>,
    /// The topics that have a number on this connection, and how many may [MQTT-3.1.2-26].
    aliases: HashMap<Topic, NonZeroU16>,
    alias_maximum: u16,
}

/// What has been received and not yet answered.
struct Receiving {
    /// Answers owed, in the order of what they answer [MQTT-4.6.0-2], [MQTT-4.6.0-3]; filled as they are decided.
    owed: VecDeque<Owed>,
    /// Messages that are not acknowledged for good, as the client counts them: from nothing with each connection, and
    /// every PUBCOMP makes room, also one for a message of an earlier connection (MQTT 5, 4.9).
    unacknowledged: isize,
    /// What the client's topic aliases stand for; alias 1 is at index 0.
    aliases: Vec<Option<Topic>>,
}

struct Owed {
    packet_id: NonZeroU16,
    qos: QoS,
    decided: Option<Ack>,
}

impl Link {
    pub(crate) fn new(
        number: u64,
        session: Arc<Session>,
        offer: Offer,
        settings: &Settings,
        doors: (Arc<dyn Gate>, Arc<dyn Wake>),
        memory: Arc<Memory>,
    ) -> Self {
        Self {
            number,
            session,
            version: offer.version,
            window: usize::from(offer.receive_maximum.min(settings.in_flight)),
            maximum_packet_size: offer.maximum_packet_size,
            problem_information: offer.problem_information,
            receive_maximum: isize::try_from(settings.receive_maximum).unwrap_or(isize::MAX),
            outgoing_bytes: settings.outgoing_bytes,
            gate: doors.0,
            wake: doors.1,
            memory,
            is_closed: AtomicBool::new(false),
            outbox: Mutex::new(Outbox {
                bytes: BytesMut::new(),
                counted: 0,
                attended: true,
                wants_more: false,
                closed: None,
                will: offer.will,
                aliases: HashMap::new(),
                alias_maximum: offer.topic_alias_maximum.min(settings.topic_alias_maximum),
            }),
            receiving: Mutex::new(Receiving {
                owed: VecDeque::new(),
                unacknowledged: 0,
                aliases: vec![None; usize::from(settings.topic_alias_maximum)],
            }),
        }
    }

    /// A number that no other connection to this broker ever has.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The session it belongs to.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The version spoken.
    pub fn version(&self) -> Version {
        self.version
    }

    pub(crate) fn window(&self) -> usize {
        self.window
    }

    pub(crate) fn may_receive(&self, topic: &str) -> bool {
        self.gate.may_receive(topic)
    }

    /// The same, where an earlier answer to the same question may be at hand.
    pub(crate) fn lets_through(&self, topic: &str, cleared: Option<&AtomicU64>) -> bool {
        let Some(cleared) = cleared else { return self.may_receive(topic) };
        // Asked before the question, so that an answer is never filed under a later token.
        let token = self.gate.token();
        if token != 0 && cleared.load(Ordering::Relaxed) == token {
            return true;
        }
        let answer = self.may_receive(topic);
        if answer {
            cleared.store(token, Ordering::Relaxed);
        }
        answer
    }

    /// Takes one packet from the client. What breaks the protocol closes the connection and is [`Step::Nothing`].
    pub fn receive(&self, packet: Packet, now: i64) -> Step {
        match packet {
            Packet::Publish(publish) => return self.receive_publish(publish),
            Packet::Subscribe(subscribe) => return Step::Subscribe(subscribe),
            Packet::Unsubscribe(unsubscribe) => return Step::Unsubscribe(unsubscribe),
            Packet::PubAck(ack) => return self.session.published(&ack, now),
            Packet::PubRec(ack) => return self.session.received(self, &ack, now),
            Packet::PubComp(ack) => return self.session.completed(&ack, now),
            Packet::PubRel(ack) => return self.receive_release(&ack),
            Packet::PingReq => self.send(Packet::PingResp), // [MQTT-3.12.4-1]
            Packet::Disconnect(disconnect) => self.receive_disconnect(&disconnect),
            // Enhanced authentication was declined; a second CONNECT is a protocol error [MQTT-3.1.0-2]; the rest only
            // a server sends.
            other => {
                self.close(client_error(ReasonCode::ProtocolError, &format!("{} is not expected here", other.name())));
            }
        }
        Step::Nothing
    }

    fn receive_publish(&self, mut publish: Publish) -> Step {
        let mut receiving = self.receiving();
        if let Err(closed) = resolve_alias(&mut receiving.aliases, &mut publish) {
            drop(receiving);
            self.close(closed);
            return Step::Nothing;
        }
        if publish.properties.as_ref().is_some_and(|properties| !properties.subscription_identifiers.is_empty()) {
            drop(receiving);
            let message = "a client's PUBLISH has no subscription identifier";
            self.close(client_error(ReasonCode::ProtocolError, message)); // [MQTT-3.3.4-6]
            return Step::Nothing;
        }
        let Some(packet_id) = publish.packet_id else { return Step::Publish(publish) };
        let qos = publish.qos;
        if receiving.owed.iter().any(|owed| owed.packet_id == packet_id) {
            // A repetition of what is not answered yet: its answer is on the way.
            return Step::Nothing;
        }
        receiving.unacknowledged += 1;
        if qos == QoS::ExactlyOnce && self.session.has_received(packet_id) {
            // The client repeats itself; the message is not published twice [MQTT-4.3.3-10].
            receiving.owed.push_back(Owed { packet_id, qos, decided: Some(Ack::success(packet_id)) });
            self.answer(&mut receiving);
            return Step::Nothing;
        }
        if self.version == Version::V5 && receiving.unacknowledged > self.receive_maximum {
            drop(receiving);
            let message = "more unacknowledged messages than the receive maximum allows";
            self.close(client_error(ReasonCode::ReceiveMaximumExceeded, message)); // [MQTT-3.3.4-9]
            return Step::Nothing;
        }
        receiving.owed.push_back(Owed { packet_id, qos, decided: None });
        Step::Publish(publish)
    }

    fn receive_release(&self, ack: &Ack) -> Step {
        if !self.session.has_received(ack.packet_id) {
            self.finish(Ack::new(ack.packet_id, ReasonCode::PacketIdentifierNotFound));
            return Step::Nothing;
        }
        if self.session.stored().is_some() {
            return Step::Release(ack.packet_id);
        }
        self.complete(ack.packet_id);
        Step::Nothing
    }

    fn receive_disconnect(&self, disconnect: &Disconnect) {
        // The session of a connection that was displaced is another's by now.
        if let Some(seconds) = disconnect.properties.session_expiry_interval.filter(|_| !self.is_closed())
            && !self.session.shorten(seconds)
        {
            let message = "a session that was to end with its connection cannot be kept by DISCONNECT";
            self.close(client_error(ReasonCode::ProtocolError, message)); // [MQTT-3.14.2-2]
            return;
        }
        // Only a normal end takes the will along; every other reason leaves it [MQTT-3.14.4-3].
        let with_will = disconnect.reason != ReasonCode::Success;
        self.close(Closed::ByClient { with_will });
    }

    /// Decides the answer to a QoS 1 or 2 PUBLISH; it is sent when all before it are decided [MQTT-4.6.0-2].
    pub fn acknowledge(&self, ack: Ack) {
        let mut receiving = self.receiving();
        let undecided = |owed: &&mut Owed| owed.packet_id == ack.packet_id && owed.decided.is_none();
        if let Some(owed) = receiving.owed.iter_mut().find(undecided) {
            if owed.qos == QoS::ExactlyOnce && !ack.reason.is_error() {
                // At once, because the connection may end before it is this one's turn to be answered.
                self.session.keep_received(ack.packet_id);
            }
            owed.decided = Some(ack);
        }
        self.answer(&mut receiving);
    }

    /// A QoS 1 or 2 PUBLISH that is never answered: the client is left to repeat it.
    pub fn leave_unanswered(&self, packet_id: NonZeroU16) {
        let mut receiving = self.receiving();
        receiving.owed.retain(|owed| owed.packet_id != packet_id || owed.decided.is_some());
        self.answer(&mut receiving);
    }

    fn answer(&self, receiving: &mut Receiving) {
        while let Some(Owed { decided: Some(_), .. }) = receiving.owed.front() {
            let Some(Owed { qos, decided: Some(ack), .. }) = receiving.owed.pop_front() else { return };
            let is_over = qos == QoS::AtLeastOnce || ack.reason.is_error();
            receiving.unacknowledged -= isize::from(is_over);
            self.send(if qos == QoS::ExactlyOnce { Packet::PubRec(ack) } else { Packet::PubAck(ack) });
        }
    }

    /// The release of a QoS 2 message has been written down: the identifier is free again.
    pub fn complete(&self, packet_id: NonZeroU16) {
        self.session.drop_received(packet_id);
        self.finish(Ack::success(packet_id));
    }

    fn finish(&self, ack: Ack) {
        self.receiving().unacknowledged -= 1;
        self.send(Packet::PubComp(ack));
    }

    /// Sends a packet that is not a PUBLISH; nothing follows the end of the connection [MQTT-3.14.4-1].
    pub fn send(&self, packet: Packet) {
        let mut outbox = self.outbox();
        if outbox.closed.is_some() {
            return;
        }
        self.append(&mut outbox, packet);
        self.ring(&mut outbox);
    }

    /// Takes what waits for the socket. When nothing does, the door is woken once there is something.
    pub fn take_outgoing(&self) -> Bytes {
        let mut outbox = self.outbox();
        self.memory.give_back(std::mem::take(&mut outbox.counted));
        if outbox.bytes.is_empty() {
            outbox.attended = false;
        }
        outbox.bytes.split().freeze()
    }

    /// The door is about to look here anyway: until it has found nothing, it need not be woken.
    pub fn attend(&self) {
        self.outbox().attended = true;
    }

    /// Whether the session has more to send than it could; asked once, then forgotten.
    pub fn wants_more(&self) -> bool {
        std::mem::take(&mut self.outbox().wants_more)
    }

    /// Whether the door has taken nearly all there was.
    pub fn is_drained(&self) -> bool {
        self.outbox().bytes.len() < self.outgoing_bytes / 4
    }

    /// More is to be sent as soon as there is room, or as soon as it has been fetched.
    pub fn want_more(&self) {
        let mut outbox = self.outbox();
        if outbox.closed.is_none() {
            outbox.wants_more = true;
            self.ring(&mut outbox);
        }
    }

    /// Ends the connection: an MQTT 5 client is told why, and the door finds [`Link::closed`] when it wakes.
    pub fn close(&self, how: Closed) {
        let mut outbox = self.outbox();
        match (&outbox.closed, &how) {
            (None, _) => {}
            (Some(Closed::TakenOver), Closed::ByClient { .. }) => {
                outbox.closed = Some(how);
                return;
            }
            (Some(_), _) => return,
        }
        if let Some(reason) = how.reason().filter(|_| self.version == Version::V5) {
            let mut disconnect = Disconnect::new(reason);
            if let Some(words) = how.words() {
                disconnect.properties.reason_string = mqtt::Text::try_from(words).ok();
            }
            self.append(&mut outbox, Packet::Disconnect(disconnect));
        }
        outbox.closed = Some(how);
        self.is_closed.store(true, Ordering::Release);
        self.wake.wake();
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// How it ended, once it has.
    pub fn closed(&self) -> Option<Closed> {
        self.outbox().closed.clone()
    }

    /// The will, if how the connection ended calls for it; only once [MQTT-3.1.2-10].
    pub(crate) fn take_will(&self) -> Option<Will> {
        let mut outbox = self.outbox();
        let will = outbox.will.take();
        will.filter(|_| outbox.closed.as_ref().is_none_or(Closed::publishes_will))
    }

    /// Whether there is room for a message that must not be lost.
    pub(crate) fn has_room(&self) -> bool {
        let outbox = self.outbox();
        outbox.closed.is_none() && outbox.bytes.len() <= self.outgoing_bytes && self.memory.has_room()
    }

    /// Appends a message in this client's form.
    pub(crate) fn put(
        &self,
        frames: &mut Frames<'_>,
        terms: Terms<'_>,
        packet_id: Option<NonZeroU16>,
        dup: bool,
    ) -> Put {
        let mut outbox = self.outbox();
        if outbox.closed.is_some() {
            return Put::Closed;
        }
        if outbox.bytes.len() > self.outgoing_bytes || !self.memory.has_room() {
            return Put::NoRoom;
        }
        let alias = outbox.alias(frames.message().topic.as_ref());
        let form = Form {
            version: self.version,
            qos: terms.qos,
            retain: terms.retain,
            ids: terms.ids,
            alias,
            packet_id,
            dup,
            at_most: self.maximum_packet_size,
        };
        let put = match frames.write(form, &mut outbox.bytes) {
            Ok(()) => Put::Written,
            // As if it had been sent [MQTT-3.1.2-25].
            Err(EncodeError::TooLarge | EncodeError::NotAllowed(_)) => Put::Unsuited,
        };
        if let (Some(Alias { number, known: false }), Put::Written, Some(topic)) = (alias, put, &frames.message().topic)
        {
            outbox.aliases.insert(topic.compact(), number);
        }
        self.count(&mut outbox);
        self.ring(&mut outbox);
        drop(outbox);
        if put == Put::Written {
            self.gate.has_passed(frames.message());
        }
        put
    }

    fn append(&self, outbox: &mut Outbox, mut packet: Packet) {
        if !self.problem_information {
            packet.strip_diagnostics();
        }
        match mqtt::encode(&packet, self.version, self.maximum_packet_size, &mut outbox.bytes) {
            // What is longer than the client takes is not sent [MQTT-3.1.2-24].
            Ok(()) | Err(EncodeError::TooLarge) => {}
            Err(EncodeError::NotAllowed(why)) => {
                // An answer that is owed and cannot be written would leave the client waiting for ever.
                let fault = || Closed::ServerFault(format!("{} was composed wrongly: {why}", packet.name()));
                outbox.closed.get_or_insert_with(fault);
                self.is_closed.store(true, Ordering::Release);
            }
        }
        self.count(outbox);
    }

    /// Tells the whole broker's memory in big steps, so that small messages cost nothing.
    fn count(&self, outbox: &mut Outbox) {
        const STEP: usize = 16 * 1024;
        let length = outbox.bytes.len();
        if length >= outbox.counted + STEP {
            self.memory.take(length - outbox.counted);
            outbox.counted = length;
        }
    }

    fn ring(&self, outbox: &mut Outbox) {
        if !outbox.attended {
            outbox.attended = true;
            self.wake.wake();
        }
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        // Every critical section leaves the state whole, so a poisoned lock is still good.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receiving(&self) -> MutexGuard<'_, Receiving> {
        self.receiving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.memory.give_back(self.outbox().counted);
    }
}

/// What became of a message for the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Written,
    /// Too much waits already.
    NoRoom,
    /// The client does not take it [MQTT-3.1.2-24].
    Unsuited,
    Closed,
}

impl Outbox {
    /// The number of a topic: the first topics of a connection get one, if the client takes any.
    fn alias(&self, topic: Option<&Topic>) -> Option<Alias> {
        if self.alias_maximum == 0 {
            return None;
        }
        let topic = topic?;
        if let Some(number) = self.aliases.get(topic) {
            return Some(Alias { number: *number, known: true });
        }
        let next = u16::try_from(self.aliases.len() + 1).ok().filter(|next| *next <= self.alias_maximum)?;
        Some(Alias { number: NonZeroU16::new(next)?, known: false })
    }
}

pub(crate) fn client_error(reason: ReasonCode, message: &str) -> Closed {
    Closed::ClientError { reason, message: message.to_owned() }
}

/// Gives the message the topic its alias stands for, and remembers a new alias [MQTT-3.3.2-7..12].
fn resolve_alias(aliases: &mut [Option<Topic>], publish: &mut Publish) -> Result<(), Closed> {
    let alias = publish.properties.as_mut().and_then(|properties| properties.topic_alias.take());
    match (alias, &publish.topic) {
        (None, Some(_)) => Ok(()),
        (None, None) => Err(client_error(ReasonCode::ProtocolError, "neither a topic nor an alias")),
        (Some(alias), topic) => {
            let index = usize::from(alias.0.get()) - 1;
            let Some(known) = aliases.get_mut(index) else {
                return Err(client_error(ReasonCode::TopicAliasInvalid, "topic alias above the maximum"));
            };
            match topic {
                Some(topic) => *known = Some(topic.compact()),
                None => publish.topic.clone_from(known),
            }
            match publish.topic {
                Some(_) => Ok(()),
                None => Err(client_error(ReasonCode::ProtocolError, "topic alias that was never defined")),
            }
        }
    }
}
