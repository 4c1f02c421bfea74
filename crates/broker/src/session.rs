//! One connected client as the protocol sees it: what it may send next, what it is owed, what waits for it.
//!
//! A session turns packets into [`Step`]s for the house and messages into bytes for the socket. It knows nothing
//! of the socket, of policies or of time; who calls it does.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use mqtt::{
    Ack, Disconnect, EncodeError, Filter, Packet, Publish, PublishFrame, QoS, ReasonCode, Subscribe, Topic,
    Unsubscribe, Version, Will,
};

use crate::Settings;

/// Whether a session may have a message, asked at each delivery.
pub trait Gate: Send + Sync {
    /// May this session receive what is published on `topic`?
    fn may_receive(&self, topic: &str) -> bool;
}

/// Tells the door that a session has bytes to write or has been closed. Called under the session's lock: it
/// must be quick and must not call back.
pub trait Wake: Send + Sync {
    /// There is something to do.
    fn wake(&self);
}

/// What a CONNECT said that matters for as long as the connection lasts.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The client identifier, never empty.
    pub client_id: String,
    /// The version spoken.
    pub version: Version,
    /// Unacknowledged QoS 1 messages the client is ready for.
    pub receive_maximum: u16,
    /// The largest packet the client takes.
    pub maximum_packet_size: usize,
    /// Published when the connection ends badly.
    pub will: Option<Will>,
    /// Whether the client wants reason strings [MQTT-3.1.2-29].
    pub problem_information: bool,
}

/// What a packet asks of the house.
#[derive(Debug)]
pub enum Step {
    /// Nothing: the session dealt with it.
    Nothing,
    /// Publish this; if it has QoS 1, [`Session::acknowledge`] is owed.
    Publish(Publish),
    /// Subscribe, then answer with SUBACK.
    Subscribe(Subscribe),
    /// Unsubscribe, then answer with UNSUBACK.
    Unsubscribe(Unsubscribe),
}

/// How a connection ended. The first reason wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The client said DISCONNECT; whether its will is published all the same (reason 0x04).
    ByClient {
        /// DISCONNECT with Will Message.
        with_will: bool,
    },
    /// The client broke the protocol.
    ClientError {
        /// The reason code told to an MQTT 5 client.
        reason: ReasonCode,
        /// What was wrong, for the log and the reason string.
        message: String,
    },
    /// The connection was lost without a DISCONNECT.
    ConnectionLost,
    /// Silence of one and a half times the keep-alive [MQTT-3.1.2-22].
    KeepAliveTimeout,
    /// Another connection with the same client identifier.
    TakenOver,
    /// A policy denied something that ends the connection, or the identity was withdrawn.
    Forbidden(String),
    /// The client did not read what was sent to it.
    TooSlow,
    /// The server stops.
    ServerStops,
    /// The server failed at something it owed this client; what, for the log.
    ServerFault(String),
}

impl Closed {
    /// The reason code of the DISCONNECT that an MQTT 5 client gets; none when the client closed.
    pub fn reason(&self) -> Option<ReasonCode> {
        match self {
            Self::ByClient { .. } | Self::ConnectionLost => None,
            Self::ClientError { reason, .. } => Some(*reason),
            Self::KeepAliveTimeout => Some(ReasonCode::KeepAliveTimeout),
            Self::TakenOver => Some(ReasonCode::SessionTakenOver),
            Self::Forbidden(_) => Some(ReasonCode::NotAuthorized),
            Self::TooSlow => Some(ReasonCode::QuotaExceeded),
            Self::ServerStops => Some(ReasonCode::ServerShuttingDown),
            Self::ServerFault(_) => Some(ReasonCode::UnspecifiedError),
        }
    }

    /// Whether the will is published: always but after a plain DISCONNECT [MQTT-3.1.2-10].
    pub fn publishes_will(&self) -> bool {
        !matches!(self, Self::ByClient { with_will: false })
    }
}

/// One connected client.
pub struct Session {
    id: u64,
    client_id: Box<str>,
    version: Version,
    client_receive_maximum: usize,
    client_maximum_packet_size: usize,
    problem_information: bool,
    limits: Limits,
    gate: Arc<dyn Gate>,
    wake: Arc<dyn Wake>,
    state: Mutex<State>,
}

struct Limits {
    receive_maximum: usize,
    outgoing_bytes: usize,
    queued_messages: usize,
    queued_bytes: usize,
}

struct State {
    /// Encoded packets that wait for the socket.
    outgoing: BytesMut,
    /// Identifiers of QoS 1 messages the client has not acknowledged.
    in_flight: BTreeSet<u16>,
    last_packet_id: u16,
    /// QoS 1 messages beyond the client's receive maximum, oldest first.
    queued: VecDeque<Publish>,
    queued_bytes: usize,
    /// PUBACKs owed, in the order of their PUBLISHes [MQTT-4.6.0-2]; filled as they are decided.
    owed: VecDeque<(NonZeroU16, Option<Ack>)>,
    /// What the client's topic aliases stand for; alias 1 is at index 0.
    aliases: Vec<Option<Topic>>,
    subscriptions: HashSet<Filter>,
    will: Option<Will>,
    closed: Option<Closed>,
}

impl Session {
    pub(crate) fn new(id: u64, offer: Offer, settings: &Settings, gate: Arc<dyn Gate>, wake: Arc<dyn Wake>) -> Self {
        Self {
            id,
            client_id: offer.client_id.into(),
            version: offer.version,
            client_receive_maximum: usize::from(offer.receive_maximum),
            client_maximum_packet_size: offer.maximum_packet_size,
            problem_information: offer.problem_information,
            limits: Limits {
                receive_maximum: usize::from(settings.receive_maximum),
                outgoing_bytes: settings.outgoing_bytes,
                queued_messages: settings.queued_messages,
                queued_bytes: settings.queued_bytes,
            },
            gate,
            wake,
            state: Mutex::new(State {
                outgoing: BytesMut::new(),
                in_flight: BTreeSet::new(),
                last_packet_id: 0,
                queued: VecDeque::new(),
                queued_bytes: 0,
                owed: VecDeque::new(),
                aliases: vec![None; usize::from(settings.topic_alias_maximum)],
                subscriptions: HashSet::new(),
                will: offer.will,
                closed: None,
            }),
        }
    }

    /// A number that no other session of this broker ever has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The client identifier.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The version spoken.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Takes one packet from the client. What breaks the protocol closes the session and is [`Step::Nothing`].
    pub fn receive(&self, packet: Packet) -> Step {
        match packet {
            Packet::Publish(publish) => return self.receive_publish(publish),
            Packet::Subscribe(subscribe) => return Step::Subscribe(subscribe),
            Packet::Unsubscribe(unsubscribe) => return Step::Unsubscribe(unsubscribe),
            Packet::PubAck(ack) => self.release(ack.packet_id),
            Packet::PingReq => self.send(Packet::PingResp), // [MQTT-3.12.4-1]
            Packet::Disconnect(disconnect) => {
                let with_will = disconnect.reason == ReasonCode::DisconnectWithWill;
                self.close(Closed::ByClient { with_will });
            }
            // A second CONNECT is a protocol error [MQTT-3.1.0-2]; the rest only a server sends, or belongs to
            // QoS 2 and enhanced authentication, which the CONNACK has declined.
            other => self.close(Closed::ClientError {
                reason: ReasonCode::ProtocolError,
                message: format!("{} is not expected here", other.name()),
            }),
        }
        Step::Nothing
    }

    fn receive_publish(&self, mut publish: Publish) -> Step {
        if publish.qos == QoS::ExactlyOnce {
            // The CONNACK said Maximum QoS 1 [MQTT-3.2.2-11].
            self.close(client_error(ReasonCode::QoSNotSupported, "QoS 2 is not supported"));
            return Step::Nothing;
        }
        let mut state = self.state();
        if let Err(closed) = resolve_alias(&mut state.aliases, &mut publish) {
            drop(state);
            self.close(closed);
            return Step::Nothing;
        }
        if let Some(packet_id) = publish.packet_id {
            if state.owed.len() >= self.limits.receive_maximum {
                drop(state);
                let message = "more unacknowledged messages than the receive maximum allows";
                self.close(client_error(ReasonCode::ReceiveMaximumExceeded, message)); // [MQTT-3.3.4-9]
                return Step::Nothing;
            }
            state.owed.push_back((packet_id, None));
        }
        Step::Publish(publish)
    }

    /// Decides the answer to a QoS 1 PUBLISH; it is sent when all before it are decided [MQTT-4.6.0-2].
    pub fn acknowledge(&self, ack: Ack) {
        let mut state = self.state();
        let undecided = state.owed.iter_mut().find(|(id, decided)| *id == ack.packet_id && decided.is_none());
        if let Some((_, decided)) = undecided {
            *decided = Some(ack);
        }
        while let Some((_, Some(_))) = state.owed.front() {
            if let Some((_, Some(ack))) = state.owed.pop_front() {
                self.append(&mut state, Packet::PubAck(ack));
            }
        }
        self.wake.wake();
    }

    /// Sends a packet that is not a PUBLISH.
    pub fn send(&self, packet: Packet) {
        let mut state = self.state();
        self.append(&mut state, packet);
        self.wake.wake();
    }

    /// Sends a message to this session alone, whatever it subscribed to: retained messages, direct ones.
    pub fn send_message(&self, message: &Publish, qos: QoS) -> bool {
        self.deliver(&mut Frames::new(message), qos, true)
    }

    /// Takes what waits for the socket; empty when there is nothing.
    pub fn take_outgoing(&self) -> Bytes {
        self.state().outgoing.split().freeze()
    }

    /// Ends the session: an MQTT 5 client is told why, and the door finds [`Session::closed`] when it wakes.
    pub fn close(&self, how: Closed) {
        self.close_locked(&mut self.state(), how);
    }

    fn close_locked(&self, state: &mut State, how: Closed) {
        if state.closed.is_some() {
            return;
        }
        if let Some(reason) = how.reason().filter(|_| self.version == Version::V5) {
            let mut disconnect = Disconnect::new(reason);
            if let Closed::ClientError { message, .. } | Closed::Forbidden(message) = &how {
                disconnect.properties.reason_string = mqtt::Text::try_from(message.as_str()).ok();
            }
            self.append(state, Packet::Disconnect(disconnect));
        }
        state.closed = Some(how);
        self.wake.wake();
    }

    /// Whether the session has ended.
    pub fn is_closed(&self) -> bool {
        self.state().closed.is_some()
    }

    /// How the session ended, once it has.
    pub fn closed(&self) -> Option<Closed> {
        self.state().closed.clone()
    }

    /// The will, if how the session ended calls for it; only once.
    pub fn take_will(&self) -> Option<Will> {
        let mut state = self.state();
        let will = state.will.take();
        will.filter(|_| state.closed.as_ref().is_none_or(Closed::publishes_will))
    }

    /// Hands a message over: whether it was let through and taken.
    pub(crate) fn deliver(&self, frames: &mut Frames<'_>, granted: QoS, retain: bool) -> bool {
        if !self.gate.may_receive(frames.topic()) {
            return false;
        }
        let qos = frames.message.qos.min(granted);
        let retain = retain && frames.message.retain;
        let mut state = self.state();
        if state.closed.is_some() {
            return false;
        }
        let taken = if qos == QoS::AtMostOnce {
            self.deliver_at_most_once(&mut state, frames, retain)
        } else {
            self.deliver_at_least_once(&mut state, frames, retain)
        };
        if taken {
            self.wake.wake();
        }
        taken
    }

    fn deliver_at_most_once(&self, state: &mut State, frames: &mut Frames<'_>, retain: bool) -> bool {
        if state.outgoing.len() > self.limits.outgoing_bytes {
            return false;
        }
        self.put(state, frames, QoS::AtMostOnce, retain, None)
    }

    fn deliver_at_least_once(&self, state: &mut State, frames: &mut Frames<'_>, retain: bool) -> bool {
        let has_room = state.in_flight.len() < self.client_receive_maximum
            && state.outgoing.len() <= self.limits.outgoing_bytes
            && state.queued.is_empty();
        if has_room {
            let packet_id = state.take_packet_id();
            return self.put(state, frames, QoS::AtLeastOnce, retain, Some(packet_id));
        }
        let bytes = state.queued_bytes + frames.message.payload.len();
        if state.queued.len() >= self.limits.queued_messages || bytes > self.limits.queued_bytes {
            // A client that does not keep up must not take the server's memory.
            self.close_locked(state, Closed::TooSlow);
            return false;
        }
        let mut message = frames.message.compact();
        (message.qos, message.retain) = (QoS::AtLeastOnce, retain);
        state.queued_bytes = bytes;
        state.queued.push_back(message);
        true
    }

    fn put(&self, state: &mut State, frames: &mut Frames<'_>, qos: QoS, retain: bool, id: Option<NonZeroU16>) -> bool {
        let Some(frame) = frames.frame(self.version, qos, retain) else { return false };
        if frame.len() > self.client_maximum_packet_size {
            // As if it had been sent [MQTT-3.1.2-25].
            if let Some(id) = id {
                state.in_flight.remove(&id.get());
            }
            return false;
        }
        frame.write(id, false, &mut state.outgoing).is_ok()
    }

    /// The client has a QoS 1 message; the next one may go.
    fn release(&self, packet_id: NonZeroU16) {
        let mut state = self.state();
        state.in_flight.remove(&packet_id.get());
        while state.in_flight.len() < self.client_receive_maximum {
            let Some(message) = state.queued.pop_front() else { break };
            state.queued_bytes = state.queued_bytes.saturating_sub(message.payload.len());
            let packet_id = state.take_packet_id();
            self.put(&mut state, &mut Frames::new(&message), message.qos, message.retain, Some(packet_id));
        }
        self.wake.wake();
    }

    fn append(&self, state: &mut State, mut packet: Packet) {
        if !self.problem_information {
            packet.strip_diagnostics();
        }
        match mqtt::encode(&packet, self.version, self.client_maximum_packet_size, &mut state.outgoing) {
            // What is longer than the client takes is not sent [MQTT-3.1.2-24].
            Ok(()) | Err(EncodeError::TooLarge) => {}
            Err(EncodeError::NotAllowed(why)) => {
                // An answer that is owed and cannot be written would leave the client waiting for ever.
                let fault = || Closed::ServerFault(format!("{} was composed wrongly: {why}", packet.name()));
                state.closed.get_or_insert_with(fault);
            }
        }
    }

    pub(crate) fn keep_subscription(&self, filter: &Filter, limit: usize) -> Option<bool> {
        let mut state = self.state();
        if state.subscriptions.contains(filter) {
            return Some(true);
        }
        if state.subscriptions.len() >= limit {
            return None;
        }
        state.subscriptions.insert(filter.clone());
        Some(false)
    }

    pub(crate) fn drop_subscription(&self, filter: &Filter) -> bool {
        self.state().subscriptions.remove(filter)
    }

    pub(crate) fn take_subscriptions(&self) -> HashSet<Filter> {
        std::mem::take(&mut self.state().subscriptions)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole, so a poisoned lock is still good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next identifier that is not in flight [MQTT-2.2.1-4]; the receive maximum leaves plenty.
    fn take_packet_id(&mut self) -> NonZeroU16 {
        loop {
            self.last_packet_id = self.last_packet_id.wrapping_add(1);
            if let Some(id) = NonZeroU16::new(self.last_packet_id)
                && self.in_flight.insert(id.get())
            {
                return id;
            }
        }
    }
}

fn client_error(reason: ReasonCode, message: &str) -> Closed {
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

/// A message on its way to many: encoded once for each wire form that is asked for.
pub(crate) struct Frames<'m> {
    message: &'m Publish,
    made: [Option<PublishFrame>; 8],
}

impl<'m> Frames<'m> {
    pub(crate) fn new(message: &'m Publish) -> Self {
        Self { message, made: [const { None }; 8] }
    }

    fn topic(&self) -> &str {
        self.message.topic.as_ref().map_or("", Topic::as_str)
    }

    fn frame(&mut self, version: Version, qos: QoS, retain: bool) -> Option<&PublishFrame> {
        let form =
            usize::from(version == Version::V5) | usize::from(qos == QoS::AtLeastOnce) << 1 | usize::from(retain) << 2;
        let slot = self.made.get_mut(form)?;
        if slot.is_none() {
            // Sharing the message's bytes; only what differs from the form at hand is set.
            let form = Publish { qos, retain, ..self.message.clone() };
            *slot = PublishFrame::new(&form, version).ok();
        }
        slot.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::{Broker, Subscribed};

    /// Lets through what does not begin with `secret`, and counts the wakes.
    #[derive(Default)]
    struct Door {
        shut: AtomicBool,
        woken: AtomicUsize,
    }

    impl Gate for Door {
        fn may_receive(&self, topic: &str) -> bool {
            !self.shut.load(Ordering::Relaxed) && !topic.starts_with("secret")
        }
    }

    impl Wake for Door {
        fn wake(&self) {
            self.woken.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn offer(client_id: &str, version: Version) -> Offer {
        Offer {
            client_id: client_id.to_owned(),
            version,
            receive_maximum: 2,
            maximum_packet_size: 1000,
            will: None,
            problem_information: true,
        }
    }

    fn connect(broker: &Broker, client_id: &str, version: Version) -> Arc<Session> {
        let door = Arc::new(Door::default());
        broker.connect(offer(client_id, version), door.clone(), door).0
    }

    fn subscribe(broker: &Broker, session: &Arc<Session>, filter: &str, qos: QoS) -> Subscribed {
        broker.subscribe(session, &mqtt::Subscription::new(Filter::try_from(filter).unwrap(), qos))
    }

    fn message(topic: &str, qos: QoS) -> Publish {
        Publish { qos, ..Publish::new(Topic::try_from(topic).unwrap(), "hello") }
    }

    /// The packets that wait for the socket, decoded as the client would.
    fn received(session: &Session) -> Vec<Packet> {
        let mut bytes = BytesMut::from(&session.take_outgoing()[..]);
        let mut decoder = mqtt::Decoder::for_version(session.version(), 1 << 20);
        std::iter::from_fn(|| decoder.decode(&mut bytes).unwrap()).collect()
    }

    fn published(session: &Session) -> Vec<(String, QoS, Option<u16>)> {
        let publish = |packet| match packet {
            Packet::Publish(p) => (p.topic.unwrap().as_str().to_owned(), p.qos, p.packet_id.map(NonZeroU16::get)),
            other => panic!("a {} instead of a PUBLISH", other.name()),
        };
        received(session).into_iter().map(publish).collect()
    }

    fn id(number: u16) -> NonZeroU16 {
        NonZeroU16::new(number).unwrap()
    }

    fn inbound(topic: &str, packet_id: u16) -> Packet {
        Packet::Publish(Publish { packet_id: Some(id(packet_id)), ..message(topic, QoS::AtLeastOnce) })
    }

    #[test]
    fn a_message_comes_once_however_many_filters_match() {
        let broker = Broker::new(Settings::default());
        let session = connect(&broker, "c", Version::V311);
        subscribe(&broker, &session, "a/+", QoS::AtMostOnce);
        subscribe(&broker, &session, "a/b", QoS::AtLeastOnce);
        assert_eq!(broker.route(&message("a/b", QoS::AtLeastOnce), None), 1);
        assert_eq!(published(&session), [("a/b".to_owned(), QoS::AtLeastOnce, Some(1))]);
    }

    #[test]
    fn the_gate_keeps_a_message_out() {
        let broker = Broker::new(Settings::default());
        let session = connect(&broker, "c", Version::V5);
        subscribe(&broker, &session, "#", QoS::AtMostOnce);
        assert_eq!(broker.route(&message("secret/x", QoS::AtMostOnce), None), 0);
        assert_eq!(broker.route(&message("open/x", QoS::AtMostOnce), None), 1);
    }

    #[test]
    fn qos_1_beyond_the_receive_maximum_waits_for_acknowledgements() {
        let broker = Broker::new(Settings::default());
        let session = connect(&broker, "c", Version::V5);
        subscribe(&broker, &session, "t", QoS::AtLeastOnce);
        for _ in 0..4 {
            broker.route(&message("t", QoS::AtLeastOnce), None);
        }
        assert_eq!(published(&session).len(), 2, "the client said two");
        session.receive(Packet::PubAck(Ack::success(id(1))));
        assert_eq!(published(&session), [("t".to_owned(), QoS::AtLeastOnce, Some(3))]);
    }

    #[test]
    fn a_client_that_never_acknowledges_is_disconnected_before_it_costs_memory() {
        let broker = Broker::new(Settings { queued_messages: 3, ..Settings::default() });
        let session = connect(&broker, "c", Version::V5);
        subscribe(&broker, &session, "t", QoS::AtLeastOnce);
        let taken = (0..10).filter(|_| broker.route(&message("t", QoS::AtLeastOnce), None) == 1).count();
        assert_eq!(taken, 2 + 3);
        assert_eq!(session.closed(), Some(Closed::TooSlow));
    }

    #[test]
    fn qos_0_to_a_client_that_does_not_read_is_dropped() {
        let broker = Broker::new(Settings { outgoing_bytes: 50, ..Settings::default() });
        let session = connect(&broker, "c", Version::V311);
        subscribe(&broker, &session, "t", QoS::AtMostOnce);
        let taken = (0..100).filter(|_| broker.route(&message("t", QoS::AtMostOnce), None) == 1).count();
        assert!((1..10).contains(&taken), "{taken}");
        assert_eq!(session.closed(), None);
    }

    #[test]
    fn acknowledgements_leave_in_the_order_of_their_messages() {
        let broker = Broker::new(Settings::default());
        let session = connect(&broker, "c", Version::V5);
        for packet_id in [7, 3] {
            assert!(matches!(session.receive(inbound("t", packet_id)), Step::Publish(_)));
        }
        session.acknowledge(Ack::success(id(3)));
        assert!(received(&session).is_empty(), "7 came first");
        session.acknowledge(Ack::new(id(7), ReasonCode::NotAuthorized));
        let acks = [Ack::new(id(7), ReasonCode::NotAuthorized), Ack::success(id(3))].map(Packet::PubAck);
        assert_eq!(received(&session), acks);
    }

    #[test]
    fn what_the_protocol_forbids_closes_with_its_reason() {
        let many = || (1..=101).map(|n| inbound("t", n)).collect::<Vec<_>>();
        let alias = |alias| {
            let properties = mqtt::PublishProperties {
                topic_alias: Some(mqtt::TopicAlias(id(alias))),
                ..mqtt::PublishProperties::default()
            };
            let message =
                Publish { topic: None, properties: Some(Box::new(properties)), ..message("t", QoS::AtMostOnce) };
            vec![Packet::Publish(message)]
        };
        let cases = [
            (vec![Packet::PingResp], ReasonCode::ProtocolError),
            (vec![Packet::PubRel(Ack::success(id(1)))], ReasonCode::ProtocolError),
            (
                vec![Packet::Publish(Publish { packet_id: Some(id(1)), ..message("t", QoS::ExactlyOnce) })],
                ReasonCode::QoSNotSupported,
            ),
            (many(), ReasonCode::ReceiveMaximumExceeded),
            (alias(1), ReasonCode::ProtocolError),
            (alias(9), ReasonCode::TopicAliasInvalid),
        ];
        for (packets, expected) in cases {
            let broker = Broker::new(Settings::default());
            let session = connect(&broker, "c", Version::V5);
            for packet in packets {
                session.receive(packet);
            }
            assert_eq!(session.closed().and_then(|closed| closed.reason()), Some(expected));
            let told =
                received(&session).into_iter().any(|p| matches!(p, Packet::Disconnect(d) if d.reason == expected));
            assert!(told, "an MQTT 5 client learns {expected:?}");
        }
    }

    #[test]
    fn an_alias_stands_for_the_topic_it_was_given() {
        let broker = Broker::new(Settings::default());
        let session = connect(&broker, "c", Version::V5);
        let properties = mqtt::PublishProperties {
            topic_alias: Some(mqtt::TopicAlias(id(8))),
            ..mqtt::PublishProperties::default()
        };
        let defining = Publish { properties: Some(Box::new(properties)), ..message("a/long/topic", QoS::AtMostOnce) };
        let using = Publish { topic: None, ..defining.clone() };
        for packet in [defining, using] {
            let Step::Publish(publish) = session.receive(Packet::Publish(packet)) else { panic!("not a publish") };
            assert_eq!(publish.topic.unwrap().as_str(), "a/long/topic");
        }
    }

    #[test]
    fn the_newer_connection_takes_the_client_id_over() {
        let broker = Broker::new(Settings::default());
        let old = connect(&broker, "c", Version::V5);
        subscribe(&broker, &old, "t", QoS::AtMostOnce);
        let door = Arc::new(Door::default());
        let (new, displaced) = broker.connect(offer("c", Version::V311), door.clone(), door);
        assert_eq!(displaced.map(|session| session.id()), Some(old.id()));
        assert_eq!(old.closed(), Some(Closed::TakenOver));
        broker.forget(&old);
        assert_eq!(broker.session("c").map(|session| session.id()), Some(new.id()), "forgetting the old keeps the new");
        assert_eq!(broker.route(&message("t", QoS::AtMostOnce), None), 0, "its subscriptions went with the old one");
    }

    #[test]
    fn a_will_is_for_ends_that_were_not_announced() {
        let will = |how: Closed| {
            let broker = Broker::new(Settings::default());
            let door = Arc::new(Door::default());
            let will = Will {
                topic: Topic::try_from("gone").unwrap(),
                payload: mqtt::Binary::default(),
                qos: QoS::AtMostOnce,
                retain: false,
                properties: mqtt::WillProperties::default(),
            };
            let session = broker.connect(Offer { will: Some(will), ..offer("c", Version::V5) }, door.clone(), door).0;
            session.close(how);
            session.take_will().is_some()
        };
        assert!(!will(Closed::ByClient { with_will: false }));
        assert!(will(Closed::ByClient { with_will: true }));
        assert!(will(Closed::ConnectionLost));
        assert!(will(Closed::TakenOver));
    }

    #[test]
    fn a_shared_subscription_gives_each_message_to_one_member() {
        let broker = Broker::new(Settings::default());
        let members = ["a", "b"].map(|name| connect(&broker, name, Version::V311));
        for member in &members {
            subscribe(&broker, member, "$share/g/t", QoS::AtMostOnce);
        }
        for _ in 0..4 {
            assert_eq!(broker.route(&message("t", QoS::AtMostOnce), None), 1);
        }
        assert_eq!(members.map(|member| published(&member).len()), [2, 2]);
    }

    #[test]
    fn no_local_keeps_a_clients_own_messages_from_it() {
        let broker = Broker::new(Settings::default());
        let session = connect(&broker, "c", Version::V5);
        let own = mqtt::Subscription {
            no_local: true,
            ..mqtt::Subscription::new(Filter::try_from("t").unwrap(), QoS::AtMostOnce)
        };
        broker.subscribe(&session, &own);
        assert_eq!(broker.route(&message("t", QoS::AtMostOnce), Some(session.id())), 0);
        assert_eq!(broker.route(&message("t", QoS::AtMostOnce), None), 1);
    }
}
