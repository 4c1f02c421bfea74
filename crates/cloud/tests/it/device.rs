//! A device under test: packets go in as values, and what waits for its socket comes out decoded, or as words that
//! are easy to compare. Knows no noun.

use std::num::NonZeroU16;
use std::sync::Arc;

use broker::Closed;
use bytes::BytesMut;
use cloud::{Connection, Job};
use mqtt::{
    Connect, Decoder, Filter, Packet, Publish, QoS, Subscribe, SubscribeProperties, Subscription, Topic, Version,
};

use crate::house::{Lab, hello};

/// A connected device. Its CONNACK has been taken.
pub(crate) struct Device {
    lab: Lab,
    connection: Arc<Connection>,
}

impl Lab {
    /// A device that must be let in.
    #[track_caller]
    pub(crate) fn device(&self, certificate_id: &str, version: Version, client_id: &str) -> Device {
        self.device_saying(certificate_id, &hello(version, client_id))
    }

    /// The same with a CONNECT of its own.
    #[track_caller]
    pub(crate) fn device_saying(&self, certificate_id: &str, connect: &Connect) -> Device {
        let connection = self.arrive(certificate_id, connect).unwrap_or_else(|no| panic!("{:?}", no.connack));
        let device = Device { lab: self.clone(), connection };
        assert_eq!(device.told(), ["CONNACK 00"]);
        device
    }
}

impl Lab {
    /// A device that must be let in and does not begin anew: whether it found its session, told by the CONNACK.
    #[track_caller]
    pub(crate) fn returning(&self, certificate_id: &str, connect: &Connect) -> (Device, bool) {
        let connection = self.arrive(certificate_id, connect).unwrap_or_else(|no| panic!("{:?}", no.connack));
        self.returned(connection)
    }

    /// The same once it has been let in.
    #[track_caller]
    pub(crate) fn returned(&self, connection: Arc<Connection>) -> (Device, bool) {
        let first = heard(&connection);
        let [Packet::ConnAck(connack)] = &first[..] else { panic!("{first:?}") };
        (Device { lab: self.clone(), connection }, connack.session_present)
    }
}

impl Device {
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Sends a packet; what must be written comes back for the desk.
    pub(crate) fn send(&self, packet: Packet) -> Option<Job> {
        self.lab.receive(&self.connection, packet)
    }

    /// Sends a packet, and brings to the desk what must be written.
    pub(crate) fn give(&self, packet: Packet) {
        if let Some(job) = self.send(packet) {
            self.lab.commit([job]).unwrap();
        }
    }

    /// Publishes with QoS 0.
    pub(crate) fn publish(&self, topic: &str, payload: &str) {
        self.give(Packet::Publish(message(topic, payload)));
    }

    /// Subscribes with QoS 1: all that is told then.
    pub(crate) fn subscribe(&self, filter: &str) -> Vec<String> {
        self.give(subscribe([subscription(filter)]));
        self.told()
    }

    /// Subscribes where it must be allowed to, and where nothing is retained.
    #[track_caller]
    pub(crate) fn listen(&self, filter: &str) {
        assert_eq!(self.subscribe(filter), ["SUBACK 1 01"], "{filter}");
    }

    /// What waits for the socket, as the client decodes it.
    pub(crate) fn heard(&self) -> Vec<Packet> {
        self.lab.go_on(&self.connection);
        heard(&self.connection)
    }

    /// The same in words.
    pub(crate) fn told(&self) -> Vec<String> {
        self.heard().iter().map(words).collect()
    }

    /// The messages among it, as topic and payload.
    pub(crate) fn messages(&self) -> Vec<(String, String)> {
        let message = |packet| match packet {
            Packet::Publish(publish) => {
                Some((publish.topic.unwrap().as_str().to_owned(), String::from_utf8(publish.payload.to_vec()).unwrap()))
            }
            _ => None,
        };
        self.heard().into_iter().filter_map(message).collect()
    }

    pub(crate) fn closed(&self) -> Option<Closed> {
        self.connection.link().closed()
    }

    /// The socket is gone; the will, if it is due, is published.
    pub(crate) fn vanish(self) {
        self.lab.commit(self.lab.disconnected(&self.connection)).unwrap();
    }
}

/// What waits for the socket of a connection, as the client decodes it.
pub(crate) fn heard(connection: &Connection) -> Vec<Packet> {
    let mut bytes = BytesMut::from(&connection.link().take_outgoing()[..]);
    let mut decoder = Decoder::for_version(connection.link().version(), 1 << 20);
    let heard = std::iter::from_fn(|| decoder.decode(&mut bytes).unwrap()).collect();
    assert!(bytes.is_empty(), "half a packet");
    heard
}

/// A packet in words: type, packet id where it answers, codes in hex; a message as topic, QoS, `retain`, payload.
pub(crate) fn words(packet: &Packet) -> String {
    let hex = |reasons: &[mqtt::ReasonCode]| {
        reasons.iter().map(|reason| format!("{:02x}", reason.code())).collect::<Vec<_>>().join(" ")
    };
    match packet {
        Packet::ConnAck(connack) => format!("CONNACK {}", hex(&[connack.reason])),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            format!("{} {} {}", packet.name(), ack.packet_id, hex(&[ack.reason]))
        }
        Packet::SubAck(ack) => format!("SUBACK {} {}", ack.packet_id, hex(&ack.reasons)),
        Packet::Disconnect(disconnect) => format!("DISCONNECT {}", hex(&[disconnect.reason])),
        Packet::Publish(publish) => {
            let topic = publish.topic.as_ref().map_or("", Topic::as_str);
            let retain = if publish.retain { " retain" } else { "" };
            let payload = String::from_utf8_lossy(&publish.payload);
            format!("{topic} q{}{retain} {payload}", publish.qos.number())
        }
        other => other.name().to_owned(),
    }
}

pub(crate) fn packet_id(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

pub(crate) fn topic(name: &str) -> Topic {
    Topic::try_from(name).unwrap()
}

/// A message of QoS 0.
pub(crate) fn message(name: &str, payload: impl AsRef<[u8]>) -> Publish {
    Publish::new(topic(name), payload.as_ref().to_vec())
}

/// The same with QoS 1.
pub(crate) fn message_1(id: u16, name: &str, payload: impl AsRef<[u8]>) -> Publish {
    Publish { qos: QoS::AtLeastOnce, packet_id: Some(packet_id(id)), ..message(name, payload) }
}

/// A message to be retained.
pub(crate) fn retained(publish: Publish) -> Packet {
    Packet::Publish(Publish { retain: true, ..publish })
}

pub(crate) fn subscription(filter: &str) -> Subscription {
    Subscription::new(Filter::try_from(filter).unwrap(), QoS::AtLeastOnce)
}

pub(crate) fn subscribe(subscriptions: impl IntoIterator<Item = Subscription>) -> Packet {
    let subscriptions = subscriptions.into_iter().collect();
    Packet::Subscribe(Subscribe { packet_id: packet_id(1), subscriptions, properties: SubscribeProperties::default() })
}
