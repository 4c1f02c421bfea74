//! The fifteen control packets as values, the same for both versions.
//!
//! A 3.1.1 packet is a packet whose MQTT 5 fields are at their defaults; what 3.1.1 cannot say is left out when
//! it is encoded for 3.1.1. How packets look as bytes is told elsewhere, and what they mean to a session is not
//! known here.

use std::num::NonZeroU16;

use bytes::Bytes;

use crate::property::{
    AckProperties, AuthProperties, ConnAckProperties, ConnectProperties, DisconnectProperties, PublishProperties,
    SubscribeProperties, UnsubscribeProperties, WillProperties,
};
use crate::reason::ReasonCode;
use crate::text::{Binary, Text};
use crate::topic::{Filter, Topic};

/// The versions of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// MQTT 3.1.1, protocol level 4.
    V311,
    /// MQTT 5, protocol level 5.
    V5,
}

/// How hard a message is to be delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum QoS {
    /// QoS 0: without acknowledgement.
    #[default]
    AtMostOnce = 0,
    /// QoS 1: until it is acknowledged.
    AtLeastOnce = 1,
    /// QoS 2: acknowledged twice, delivered once.
    ExactlyOnce = 2,
}

impl QoS {
    /// The QoS with this number; there is no 3 [MQTT-3.3.1-4].
    pub fn from_number(number: u8) -> Option<QoS> {
        match number {
            0 => Some(QoS::AtMostOnce),
            1 => Some(QoS::AtLeastOnce),
            2 => Some(QoS::ExactlyOnce),
            _ => None,
        }
    }

    /// The number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// A control packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// The client asks to connect.
    Connect(Box<Connect>),
    /// The server answers a CONNECT.
    ConnAck(Box<ConnAck>),
    /// A message.
    Publish(Publish),
    /// Answers a QoS 1 message.
    PubAck(Ack),
    /// First answer to a QoS 2 message.
    PubRec(Ack),
    /// The sender of a QoS 2 message lets go of it.
    PubRel(Ack),
    /// Last answer to a QoS 2 message.
    PubComp(Ack),
    /// The client subscribes.
    Subscribe(Subscribe),
    /// Answers a SUBSCRIBE.
    SubAck(SubAck),
    /// The client unsubscribes.
    Unsubscribe(Unsubscribe),
    /// Answers an UNSUBSCRIBE.
    UnsubAck(UnsubAck),
    /// The client is alive.
    PingReq,
    /// The server is alive.
    PingResp,
    /// Either side leaves.
    Disconnect(Disconnect),
    /// A step of an enhanced authentication, in MQTT 5 only.
    Auth(Box<Auth>),
}

/// The client asks to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// The version that the client speaks, which all later packets of the connection use.
    pub version: Version,
    /// Whether the session starts anew (3.1.1: clean session).
    pub clean_start: bool,
    /// Seconds of silence the client promises not to exceed; 0 promises nothing.
    pub keep_alive: u16,
    /// Who connects; empty asks the server for an identifier [MQTT-3.1.3-6].
    pub client_id: Text,
    /// What is published when the connection ends badly.
    pub will: Option<Will>,
    /// The user name.
    pub username: Option<Text>,
    /// The password; 3.1.1 allows it only together with a user name (3.1.1: [MQTT-3.1.2-22]).
    pub password: Option<Binary>,
    /// MQTT 5 properties.
    pub properties: ConnectProperties,
}

/// What is published when a connection ends badly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Where it is published.
    pub topic: Topic,
    /// What is published.
    pub payload: Binary,
    /// With which QoS.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// MQTT 5 properties.
    pub properties: WillProperties,
}

/// The server's answer to a CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server had a session of this client.
    pub session_present: bool,
    /// Success, or why not.
    pub reason: ReasonCode,
    /// MQTT 5 properties.
    pub properties: ConnAckProperties,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Whether this may be a repetition [MQTT-3.3.1-1].
    pub dup: bool,
    /// How hard it is to be delivered.
    pub qos: QoS,
    /// Whether it is to be retained, or was.
    pub retain: bool,
    /// Where it goes; nothing where a topic alias says it.
    pub topic: Option<Topic>,
    /// Its identifier: exactly with QoS 1 and 2 [MQTT-2.2.1-2], [MQTT-2.2.1-3].
    pub packet_id: Option<NonZeroU16>,
    /// MQTT 5 properties; nothing where there are none, so that a plain message allocates nothing.
    pub properties: Option<Box<PublishProperties>>,
    /// The message itself.
    pub payload: Bytes,
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The identifier of the PUBLISH.
    pub packet_id: NonZeroU16,
    /// Success, or why not; always success in 3.1.1.
    pub reason: ReasonCode,
    /// MQTT 5 properties.
    pub properties: AckProperties,
}

/// What a client subscribes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// The identifier that the SUBACK repeats.
    pub packet_id: NonZeroU16,
    /// At least one filter with its options [MQTT-3.8.3-2] (3.1.1: [MQTT-3.8.3-3]).
    pub subscriptions: Vec<Subscription>,
    /// MQTT 5 properties.
    pub properties: SubscribeProperties,
}

/// A filter with its subscription options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Which topics.
    pub filter: Filter,
    /// The highest QoS to be used.
    pub qos: QoS,
    /// Whether the client does not want its own messages [MQTT-3.8.3-3].
    pub no_local: bool,
    /// Whether messages keep their retain flag.
    pub retain_as_published: bool,
    /// When retained messages are sent.
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent on subscribing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// Each time [MQTT-3.3.1-9]; what 3.1.1 does.
    #[default]
    Send = 0,
    /// Only if the subscription did not exist [MQTT-3.3.1-10].
    SendIfNew = 1,
    /// Never [MQTT-3.3.1-11].
    DoNotSend = 2,
}

/// The answer to a SUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubAck {
    /// The identifier of the SUBSCRIBE.
    pub packet_id: NonZeroU16,
    /// For each filter in order what was granted or why not [MQTT-3.8.4-6].
    pub reasons: Vec<ReasonCode>,
    /// MQTT 5 properties.
    pub properties: AckProperties,
}

/// What a client no longer subscribes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The identifier that the UNSUBACK repeats.
    pub packet_id: NonZeroU16,
    /// At least one filter [MQTT-3.10.3-2].
    pub filters: Vec<Filter>,
    /// MQTT 5 properties.
    pub properties: UnsubscribeProperties,
}

/// The answer to an UNSUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsubAck {
    /// The identifier of the UNSUBSCRIBE.
    pub packet_id: NonZeroU16,
    /// For each filter in order whether it was there [MQTT-3.11.3-1]; 3.1.1 sends none.
    pub reasons: Vec<ReasonCode>,
    /// MQTT 5 properties.
    pub properties: AckProperties,
}

/// Either side leaves; in 3.1.1 only the client says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// Why; always success in 3.1.1.
    pub reason: ReasonCode,
    /// MQTT 5 properties.
    pub properties: DisconnectProperties,
}

/// A step of an enhanced authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Success, continue or re-authenticate.
    pub reason: ReasonCode,
    /// The method, the data and the rest.
    pub properties: AuthProperties,
}

impl Publish {
    /// A QoS 0 message with no properties, not retained.
    pub fn new(topic: Topic, payload: impl Into<Bytes>) -> Publish {
        Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: Some(topic),
            packet_id: None,
            properties: None,
            payload: payload.into(),
        }
    }

    /// The same message in bytes of its own.
    ///
    /// A decoded message shares the read buffer and keeps all of it alive: worth nothing while the message is on
    /// its way, and worth a copy before it is stored.
    pub fn compact(&self) -> Publish {
        Publish {
            topic: self.topic.as_ref().map(Topic::compact),
            properties: self.properties.as_ref().map(|p| Box::new(p.compact())),
            payload: Bytes::copy_from_slice(&self.payload),
            ..*self
        }
    }

    /// What the message counts for wherever messages wait: its own bytes and those that keeping it takes beside them.
    pub fn weight(&self) -> usize {
        const RECORD: usize = 48;
        let topic = self.topic.as_ref().map_or(0, |topic| topic.as_str().len());
        let properties = self.properties.as_deref().map_or(0, PublishProperties::weight);
        self.payload.len() + topic + properties + RECORD
    }
}

impl From<Will> for Publish {
    /// The message that a will becomes; the will delay is not a matter of the message.
    fn from(will: Will) -> Publish {
        let WillProperties {
            will_delay_interval: _,
            payload_format_indicator,
            message_expiry_interval,
            content_type,
            response_topic,
            correlation_data,
            user_properties,
        } = will.properties;
        let properties = PublishProperties {
            payload_format_indicator,
            message_expiry_interval,
            response_topic,
            correlation_data,
            user_properties,
            content_type,
            ..PublishProperties::default()
        };
        Publish {
            qos: will.qos,
            retain: will.retain,
            properties: (properties != PublishProperties::default()).then(|| Box::new(properties)),
            ..Publish::new(will.topic, will.payload.into_bytes())
        }
    }
}

impl Ack {
    /// An acknowledgement that all is well.
    pub fn success(packet_id: NonZeroU16) -> Ack {
        Ack::new(packet_id, ReasonCode::Success)
    }

    /// An acknowledgement with a reason code.
    pub fn new(packet_id: NonZeroU16, reason: ReasonCode) -> Ack {
        Ack { packet_id, reason, properties: AckProperties::default() }
    }
}

impl ConnAck {
    /// A refusal without properties; the session is never present then [MQTT-3.2.2-6].
    pub fn refusal(reason: ReasonCode) -> ConnAck {
        ConnAck { session_present: false, reason, properties: ConnAckProperties::default() }
    }
}

impl Disconnect {
    /// A DISCONNECT with a reason and no properties.
    pub fn new(reason: ReasonCode) -> Disconnect {
        Disconnect { reason, properties: DisconnectProperties::default() }
    }
}

impl Subscription {
    /// A subscription with the options that 3.1.1 knows.
    pub fn new(filter: Filter, qos: QoS) -> Subscription {
        Subscription {
            filter,
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::default(),
        }
    }
}

impl Packet {
    /// The packet's name as the specification writes it.
    pub fn name(&self) -> &'static str {
        match self {
            Packet::Connect(_) => "CONNECT",
            Packet::ConnAck(_) => "CONNACK",
            Packet::Publish(_) => "PUBLISH",
            Packet::PubAck(_) => "PUBACK",
            Packet::PubRec(_) => "PUBREC",
            Packet::PubRel(_) => "PUBREL",
            Packet::PubComp(_) => "PUBCOMP",
            Packet::Subscribe(_) => "SUBSCRIBE",
            Packet::SubAck(_) => "SUBACK",
            Packet::Unsubscribe(_) => "UNSUBSCRIBE",
            Packet::UnsubAck(_) => "UNSUBACK",
            Packet::PingReq => "PINGREQ",
            Packet::PingResp => "PINGRESP",
            Packet::Disconnect(_) => "DISCONNECT",
            Packet::Auth(_) => "AUTH",
        }
    }

    /// Drops reason string and user properties, and says whether there were any.
    ///
    /// This is for receivers that did not ask for problem information [MQTT-3.1.2-29], and for packets that would
    /// not fit otherwise ([MQTT-3.2.2-19], [MQTT-3.4.2-2] and their like). CONNECT, PUBLISH, SUBSCRIBE and
    /// UNSUBSCRIBE keep what they have, because there it is content.
    pub fn strip_diagnostics(&mut self) -> bool {
        let (reason_string, user_properties) = match self {
            Packet::ConnAck(p) => (&mut p.properties.reason_string, &mut p.properties.user_properties),
            Packet::PubAck(p) | Packet::PubRec(p) | Packet::PubRel(p) | Packet::PubComp(p) => {
                (&mut p.properties.reason_string, &mut p.properties.user_properties)
            }
            Packet::SubAck(p) => (&mut p.properties.reason_string, &mut p.properties.user_properties),
            Packet::UnsubAck(p) => (&mut p.properties.reason_string, &mut p.properties.user_properties),
            Packet::Disconnect(p) => (&mut p.properties.reason_string, &mut p.properties.user_properties),
            Packet::Auth(p) => (&mut p.properties.reason_string, &mut p.properties.user_properties),
            _ => return false,
        };
        let had_any = reason_string.is_some() || !user_properties.is_empty();
        *reason_string = None;
        user_properties.clear();
        had_any
    }
}
