//! From packets to bytes: one packet into a buffer, or one message prepared for many recipients.
//!
//! Lengths are found by running the same code against a counter, so they cannot differ from what is written.

use std::fmt;
use std::num::NonZeroU16;

use bytes::{Bytes, BytesMut};

use crate::packet::{Ack, Auth, ConnAck, Connect, Disconnect, Packet, Publish, QoS, Subscription, Version};
use crate::property::{AckProperties, AuthProperties, DisconnectProperties, Properties, PublishProperties};
use crate::reader::Malformed;
use crate::reason::ReasonCode;
use crate::rules;
use crate::sink::{Count, Sink};
use crate::topic::Filter;

/// The largest remaining length that four bytes can say.
const MAX_REMAINING: usize = 268_435_455;

/// Why a packet was not encoded. Nothing has been written then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodeError {
    /// It is larger than the recipient takes [MQTT-3.1.2-24]; a message is then taken as delivered [MQTT-3.1.2-25].
    TooLarge,
    /// The specification does not allow such a packet in that version; the words say why.
    NotAllowed(&'static str),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::TooLarge => f.write_str("packet is larger than the recipient takes"),
            EncodeError::NotAllowed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for EncodeError {}

impl From<Malformed> for EncodeError {
    fn from(malformed: Malformed) -> EncodeError {
        EncodeError::NotAllowed(malformed.message)
    }
}

/// Appends a packet of at most `max_packet` bytes to the buffer.
///
/// A packet that is too large for its recipient is sent without its reason string and user properties where that
/// helps and is allowed; see [`Packet::strip_diagnostics`]. For 3.1.1 everything that only MQTT 5 knows is left out.
pub fn encode(packet: &Packet, version: Version, max_packet: usize, out: &mut BytesMut) -> Result<(), EncodeError> {
    if let Some(short) = short(packet).filter(|short| short.len() <= max_packet) {
        out.extend_from_slice(&short);
        return Ok(());
    }
    rules::check(packet, version)?;
    check_version(packet, version)?;
    let remaining = body_len(packet, version);
    if fits(remaining, max_packet) {
        write(packet, version, remaining, out);
        return Ok(());
    }
    let mut packet = packet.clone();
    if version == Version::V5 && packet.strip_diagnostics() {
        let remaining = body_len(&packet, version);
        if fits(remaining, max_packet) {
            write(&packet, version, remaining, out);
            return Ok(());
        }
    }
    Err(EncodeError::TooLarge)
}

/// Acknowledgements that say nothing but their identifier, which are half of all packets, look the same in both versions.
fn short(packet: &Packet) -> Option<[u8; 4]> {
    let (Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack)) = packet else {
        return None;
    };
    let [high, low] = ack.packet_id.get().to_be_bytes();
    let plain = ack.reason == ReasonCode::Success && ack.properties == AckProperties::default();
    plain.then(|| [first_byte(packet), 2, high, low])
}

/// How many bytes the packet takes as it is.
pub fn encoded_len(packet: &Packet, version: Version) -> usize {
    let remaining = body_len(packet, version);
    header_len(remaining) + remaining
}

/// What 3.1.1 has no bytes for.
fn check_version(packet: &Packet, version: Version) -> Result<(), EncodeError> {
    match packet {
        Packet::Connect(p) if p.version != version => Err(EncodeError::NotAllowed("CONNECT is of the other version")),
        Packet::ConnAck(p) if version == Version::V311 && p.reason.connect_return_code().is_none() => {
            Err(EncodeError::NotAllowed("MQTT 3.1.1 has no such return code: close without CONNACK"))
        }
        _ => Ok(()),
    }
}

fn header_len(remaining: usize) -> usize {
    let mut count = Count(1);
    count.varint(remaining);
    count.0
}

fn fits(remaining: usize, max_packet: usize) -> bool {
    remaining <= MAX_REMAINING && header_len(remaining) + remaining <= max_packet
}

fn body_len(packet: &Packet, version: Version) -> usize {
    let mut count = Count::default();
    write_body(packet, version, &mut count);
    count.0
}

fn write(packet: &Packet, version: Version, remaining: usize, out: &mut BytesMut) {
    out.reserve(header_len(remaining) + remaining);
    out.byte(first_byte(packet));
    out.varint(remaining);
    write_body(packet, version, out);
}

/// The packet type and the flags of the fixed header.
fn first_byte(packet: &Packet) -> u8 {
    match packet {
        Packet::Connect(_) => 0x10,
        Packet::ConnAck(_) => 0x20,
        Packet::Publish(p) => publish_first_byte(p),
        Packet::PubAck(_) => 0x40,
        Packet::PubRec(_) => 0x50,
        Packet::PubRel(_) => 0x62,
        Packet::PubComp(_) => 0x70,
        Packet::Subscribe(_) => 0x82,
        Packet::SubAck(_) => 0x90,
        Packet::Unsubscribe(_) => 0xA2,
        Packet::UnsubAck(_) => 0xB0,
        Packet::PingReq => 0xC0,
        Packet::PingResp => 0xD0,
        Packet::Disconnect(_) => 0xE0,
        Packet::Auth(_) => 0xF0,
    }
}

/// The DUP flag in the first byte of a PUBLISH.
const DUP: u8 = 0b1000;

fn publish_first_byte(publish: &Publish) -> u8 {
    let dup = if publish.dup { DUP } else { 0 };
    0x30 | dup | publish.qos.number() << 1 | u8::from(publish.retain)
}

fn write_body(packet: &Packet, version: Version, sink: &mut impl Sink) {
    match packet {
        Packet::Connect(p) => write_connect(p, sink),
        Packet::ConnAck(p) => write_connack(p, version, sink),
        Packet::Publish(p) => {
            write_topic(p, sink);
            if let Some(id) = p.packet_id {
                sink.two(id.get());
            }
            write_publish_properties(p, version, sink);
            sink.slice(&p.payload);
        }
        Packet::PubAck(p) | Packet::PubRec(p) | Packet::PubRel(p) | Packet::PubComp(p) => {
            write_ack(p, version, sink);
        }
        Packet::Subscribe(p) => {
            sink.two(p.packet_id.get());
            write_properties(&p.properties, version, sink);
            p.subscriptions.iter().for_each(|s| write_subscription(s, version, sink));
        }
        Packet::SubAck(p) => {
            sink.two(p.packet_id.get());
            write_properties(&p.properties, version, sink);
            p.reasons.iter().for_each(|reason| sink.byte(suback_code(*reason, version)));
        }
        Packet::Unsubscribe(p) => {
            sink.two(p.packet_id.get());
            write_properties(&p.properties, version, sink);
            p.filters.iter().for_each(|filter: &Filter| sink.prefixed(filter.as_bytes()));
        }
        Packet::UnsubAck(p) => {
            sink.two(p.packet_id.get());
            write_properties(&p.properties, version, sink);
            if version == Version::V5 {
                p.reasons.iter().for_each(|reason| sink.byte(reason.code()));
            }
        }
        Packet::PingReq | Packet::PingResp => {}
        Packet::Disconnect(p) => write_disconnect(p, version, sink),
        Packet::Auth(p) => write_auth(p, sink),
    }
}

/// Properties where the version has them.
fn write_properties(properties: &impl Properties, version: Version, sink: &mut impl Sink) {
    if version == Version::V5 {
        properties.write(sink);
    }
}

fn write_connect(connect: &Connect, sink: &mut impl Sink) {
    sink.prefixed(b"MQTT");
    sink.byte(match connect.version {
        Version::V311 => 4,
        Version::V5 => 5,
    });
    sink.byte(connect_flags(connect));
    sink.two(connect.keep_alive);
    write_properties(&connect.properties, connect.version, sink);
    sink.prefixed(connect.client_id.as_bytes());
    if let Some(will) = &connect.will {
        write_properties(&will.properties, connect.version, sink);
        sink.prefixed(will.topic.as_bytes());
        sink.prefixed(will.payload.as_bytes());
    }
    if let Some(username) = &connect.username {
        sink.prefixed(username.as_bytes());
    }
    if let Some(password) = &connect.password {
        sink.prefixed(password.as_bytes());
    }
}

/// [MQTT-3.1.2-11] to [MQTT-3.1.2-19]: the flags say what the payload has.
fn connect_flags(connect: &Connect) -> u8 {
    let will = match &connect.will {
        Some(will) => 1 << 2 | will.qos.number() << 3 | u8::from(will.retain) << 5,
        None => 0,
    };
    u8::from(connect.clean_start) << 1
        | will
        | u8::from(connect.password.is_some()) << 6
        | u8::from(connect.username.is_some()) << 7
}

fn write_connack(connack: &ConnAck, version: Version, sink: &mut impl Sink) {
    sink.byte(u8::from(connack.session_present));
    match version {
        Version::V5 => sink.byte(connack.reason.code()),
        // A reason without a return code has been refused before.
        Version::V311 => sink.byte(connack.reason.connect_return_code().unwrap_or(5)),
    }
    write_properties(&connack.properties, version, sink);
}

fn write_topic(publish: &Publish, sink: &mut impl Sink) {
    sink.prefixed(publish.topic.as_ref().map_or(&[][..], |topic| topic.as_bytes()));
}

fn write_publish_properties(publish: &Publish, version: Version, sink: &mut impl Sink) {
    match &publish.properties {
        Some(properties) => write_properties(&**properties, version, sink),
        None => write_properties(&PublishProperties::default(), version, sink),
    }
}

/// In the shortest form: without what is as it would be anyway.
fn write_ack(ack: &Ack, version: Version, sink: &mut impl Sink) {
    sink.two(ack.packet_id.get());
    let plain = ack.properties == AckProperties::default();
    if version == Version::V311 || (plain && ack.reason == ReasonCode::Success) {
        return;
    }
    sink.byte(ack.reason.code());
    if !plain {
        ack.properties.write(sink);
    }
}

fn write_subscription(subscription: &Subscription, version: Version, sink: &mut impl Sink) {
    sink.prefixed(subscription.filter.as_bytes());
    let more = match version {
        Version::V311 => 0,
        Version::V5 => {
            u8::from(subscription.no_local) << 2
                | u8::from(subscription.retain_as_published) << 3
                | (subscription.retain_handling as u8) << 4
        }
    };
    sink.byte(subscription.qos.number() | more);
}

/// 3.1.1 has one word for all refusals: 0x80 (3.1.1: [MQTT-3.9.3-2]).
fn suback_code(reason: ReasonCode, version: Version) -> u8 {
    match version {
        Version::V311 if reason.is_error() => ReasonCode::UnspecifiedError.code(),
        _ => reason.code(),
    }
}

fn write_disconnect(disconnect: &Disconnect, version: Version, sink: &mut impl Sink) {
    let plain = disconnect.properties == DisconnectProperties::default();
    if version == Version::V311 || (plain && disconnect.reason == ReasonCode::Success) {
        return;
    }
    sink.byte(disconnect.reason.code());
    if !plain {
        disconnect.properties.write(sink);
    }
}

fn write_auth(auth: &Auth, sink: &mut impl Sink) {
    let plain = auth.properties == AuthProperties::default();
    if plain && auth.reason == ReasonCode::Success {
        return;
    }
    sink.byte(auth.reason.code());
    auth.properties.write(sink);
}

/// What one recipient's PUBLISH has of its own.
#[derive(Debug, Clone, Copy)]
pub struct PublishForm {
    /// The recipient's version.
    pub version: Version,
    /// The QoS of the delivery.
    pub qos: QoS,
    /// The retain flag of the delivery.
    pub retain: bool,
    /// The packet identifier: with QoS 1 and 2 [MQTT-2.2.1-4].
    pub packet_id: Option<NonZeroU16>,
    /// Whether it is a repetition.
    pub dup: bool,
}

/// Appends a message in a form of at most `max_packet` bytes, without a packet being made of it first: for a message that
/// has one recipient. The message's own flags and packet identifier are ignored.
pub fn encode_publish(
    message: &Publish,
    form: PublishForm,
    max_packet: usize,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let topic = message.topic.as_ref().ok_or(EncodeError::NotAllowed("a message without a topic"))?;
    let packet_id = match (form.qos, form.packet_id) {
        (QoS::AtMostOnce, _) => None,
        (_, None) => return Err(EncodeError::NotAllowed("no packet identifier with QoS 1 or 2")),
        (_, id) => id,
    };
    let properties = match (form.version, &message.properties) {
        (Version::V311, _) => 0,
        (Version::V5, None) => 1,
        (Version::V5, Some(_)) => {
            let mut count = Count::default();
            write_publish_properties(message, form.version, &mut count);
            count.0
        }
    };
    let id = if packet_id.is_some() { 2 } else { 0 };
    let remaining = 2 + topic.as_bytes().len() + id + properties + message.payload.len();
    if !fits(remaining, max_packet) {
        return Err(EncodeError::TooLarge);
    }
    out.reserve(5 + remaining);
    let dup = if form.dup && packet_id.is_some() { DUP } else { 0 };
    out.byte(0x30 | dup | form.qos.number() << 1 | u8::from(form.retain));
    out.varint(remaining);
    out.prefixed(topic.as_bytes());
    if let Some(id) = packet_id {
        out.two(id.get());
    }
    match properties {
        0 => {}
        1 => out.byte(0),
        _ => write_publish_properties(message, form.version, out),
    }
    out.slice(&message.payload);
    Ok(())
}

/// A message encoded once, to be written to any number of recipients of the same version, QoS, retain flag and
/// properties. Only the packet identifier and the DUP flag differ between them.
#[derive(Debug, Clone)]
pub struct PublishFrame {
    /// All that comes before the payload, with DUP 0 and the packet identifier 0.
    head: Bytes,
    /// Where the packet identifier stands in the head; nothing with QoS 0.
    id_at: Option<usize>,
    payload: Bytes,
}

impl PublishFrame {
    /// Encodes the message; its own DUP flag and packet identifier are ignored. The payload is shared, not copied.
    pub fn new(publish: &Publish, version: Version) -> Result<PublishFrame, EncodeError> {
        rules::check_topic_or_alias(publish, version)?;
        let mut count = Count::default();
        write_topic(publish, &mut count);
        let has_id = publish.qos != QoS::AtMostOnce;
        let id_in_body = count.0;
        count.0 += if has_id { 2 } else { 0 };
        write_publish_properties(publish, version, &mut count);
        let remaining = count.0 + publish.payload.len();
        if remaining > MAX_REMAINING {
            return Err(EncodeError::TooLarge);
        }
        let header = header_len(remaining);
        let mut head = BytesMut::with_capacity(header + count.0);
        head.byte(publish_first_byte(publish) & !DUP);
        head.varint(remaining);
        write_topic(publish, &mut head);
        if has_id {
            head.two(0);
        }
        write_publish_properties(publish, version, &mut head);
        Ok(PublishFrame {
            head: head.freeze(),
            id_at: has_id.then_some(header + id_in_body),
            payload: publish.payload.clone(),
        })
    }

    /// How many bytes the packet takes, for comparing with what the recipient takes [MQTT-3.1.2-24].
    #[expect(clippy::len_without_is_empty, reason = "a packet is never empty")]
    pub fn len(&self) -> usize {
        self.head.len() + self.payload.len()
    }

    /// The payload, for a writer that appends it without copying.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Appends the whole packet.
    ///
    /// QoS 1 and 2 need a packet identifier [MQTT-2.2.1-4]; with QoS 0 there is none [MQTT-2.2.1-2] and no DUP
    /// [MQTT-3.3.1-2], whatever is passed.
    pub fn write(&self, packet_id: Option<NonZeroU16>, dup: bool, out: &mut BytesMut) -> Result<(), EncodeError> {
        out.reserve(self.len());
        self.write_head(packet_id, dup, out)?;
        out.extend_from_slice(&self.payload);
        Ok(())
    }

    /// Appends all but the payload, which has to follow.
    pub fn write_head(&self, packet_id: Option<NonZeroU16>, dup: bool, out: &mut BytesMut) -> Result<(), EncodeError> {
        let start = out.len();
        match (self.id_at, packet_id) {
            (None, _) => out.extend_from_slice(&self.head),
            (Some(at), Some(id)) => {
                out.extend_from_slice(&self.head);
                out[start + at..start + at + 2].copy_from_slice(&id.get().to_be_bytes());
                if dup {
                    out[start] |= DUP;
                }
            }
            (Some(_), None) => {
                return Err(EncodeError::NotAllowed("no packet identifier with QoS 1 or 2"));
            }
        }
        Ok(())
    }
}
