//! From bytes to packets, one packet at a time, refusing whatever the specification does not allow.
//!
//! Everything is judged as early as it can be: flags and size by the fixed header, before the body has arrived.
//! Strings and payloads are slices of the buffer; lists grow only with the bytes that are there.

use std::num::NonZeroU16;

use bytes::{Buf, BytesMut};

use crate::packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, Publish, QoS, RetainHandling, SubAck, Subscribe, Subscription,
    UnsubAck, Unsubscribe, Version, Will,
};
use crate::property::{
    AckProperties, AuthProperties, ConnAckProperties, DisconnectProperties, Properties, PublishProperties,
    WillProperties,
};
use crate::reader::{self, Malformed, Reader, Varint};
use crate::reason::ReasonCode;
use crate::rules;
use crate::text::Text;
use crate::topic::{Filter, Topic};

/// Decodes one direction of one connection.
#[derive(Debug, Clone)]
pub struct Decoder {
    version: Option<Version>,
    max_packet: usize,
}

impl Decoder {
    /// A server's side: the first packet must be a CONNECT, and it decides the version.
    ///
    /// Packets of more than `max_packet` bytes, fixed header included, are refused.
    pub fn new(max_packet: usize) -> Decoder {
        Decoder { version: None, max_packet }
    }

    /// A client's side: the version is known.
    pub fn for_version(version: Version, max_packet: usize) -> Decoder {
        Decoder { version: Some(version), max_packet }
    }

    /// The version of the connection.
    ///
    /// It is known as soon as the protocol level has been read, even if the CONNECT is refused after that, so that
    /// the refusal can be said in the client's own terms. For a level that is not supported it is the nearest one.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Takes the next packet off the front of the buffer, or nothing while it is not all there.
    ///
    /// After an error the connection has to end; what decoding on would give is not defined.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Packet>, Malformed> {
        let Some(&first) = buffer.first() else {
            return Ok(None);
        };
        let kind = Kind::read(first)?;
        self.check_order(kind)?;
        let Some(remaining) = reader::varint(&buffer[1..])? else {
            return Ok(None);
        };
        let header = 1 + remaining.length;
        let total = header + remaining.value as usize;
        if total > self.max_packet {
            return Err(Malformed::new(ReasonCode::PacketTooLarge, "packet is larger than allowed"));
        }
        if buffer.len() < total {
            return Ok(None);
        }
        buffer.advance(header);
        if let Some(packet) = read_short(kind, &remaining, buffer) {
            return Ok(Some(packet));
        }
        let body = Reader::new(buffer.split_to(remaining.value as usize).freeze());
        let packet = match self.version {
            None => read_connect(body, &mut self.version)?,
            Some(version) => read_body(kind, first, body, version)?,
        };
        // [MQTT-1.5.5-1]; 3.1.1 has no such rule, and some of its clients always send a padded length.
        if remaining.padded && self.version == Some(Version::V5) {
            return Err(Malformed::packet("remaining length is longer than it has to be"));
        }
        rules::check(&packet, self.version.unwrap_or(Version::V5))?;
        Ok(Some(packet))
    }

    /// CONNECT comes first [MQTT-3.1.0-1] and once [MQTT-3.1.0-2].
    fn check_order(&self, kind: Kind) -> Result<(), Malformed> {
        match (self.version, kind) {
            (None, Kind::Connect) => Ok(()),
            (None, _) => Err(Malformed::protocol("first packet is not CONNECT")),
            (Some(_), Kind::Connect) => Err(Malformed::protocol("second CONNECT")),
            (Some(Version::V311), Kind::Auth) => Err(Malformed::packet("AUTH does not exist in MQTT 3.1.1")),
            (Some(_), _) => Ok(()),
        }
    }
}

/// The packet types in the order of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Connect,
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    PingReq,
    PingResp,
    Disconnect,
    Auth,
}

impl Kind {
    /// The type in the first byte of a packet, whose low bits must be as the type demands: [MQTT-2.1.3-1],
    /// [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1], [MQTT-3.14.1-1], [MQTT-3.15.1-1] (3.1.1: [MQTT-2.2.2-1],
    /// [MQTT-2.2.2-2]).
    fn read(first: u8) -> Result<Kind, Malformed> {
        let kind = match first >> 4 {
            1 => Kind::Connect,
            2 => Kind::ConnAck,
            3 => Kind::Publish,
            4 => Kind::PubAck,
            5 => Kind::PubRec,
            6 => Kind::PubRel,
            7 => Kind::PubComp,
            8 => Kind::Subscribe,
            9 => Kind::SubAck,
            10 => Kind::Unsubscribe,
            11 => Kind::UnsubAck,
            12 => Kind::PingReq,
            13 => Kind::PingResp,
            14 => Kind::Disconnect,
            15 => Kind::Auth,
            _ => return Err(Malformed::packet("packet type 0")),
        };
        let flags = first & 0x0f;
        match kind {
            // QoS 3 [MQTT-3.3.1-4], DUP with QoS 0 [MQTT-3.3.1-2].
            Kind::Publish if flags & 0b0110 == 0b0110 => Err(Malformed::packet("QoS 3")),
            Kind::Publish if flags & 0b1110 == 0b1000 => Err(Malformed::packet("DUP with QoS 0")),
            Kind::Publish => Ok(kind),
            Kind::PubRel | Kind::Subscribe | Kind::Unsubscribe if flags == 0b0010 => Ok(kind),
            Kind::PubRel | Kind::Subscribe | Kind::Unsubscribe => Err(RESERVED_FLAGS),
            _ if flags == 0 => Ok(kind),
            _ => Err(RESERVED_FLAGS),
        }
    }
}

const RESERVED_FLAGS: Malformed = Malformed::packet("reserved flags of the fixed header are not as they must be");

/// Acknowledgements that say nothing but their identifier, which are half of all packets: read in place, because
/// sharing the buffer costs more than they do.
fn read_short(kind: Kind, remaining: &Varint, buffer: &mut BytesMut) -> Option<Packet> {
    if remaining.value != 2 || remaining.padded {
        return None;
    }
    let wrap = match kind {
        Kind::PubAck => Packet::PubAck,
        Kind::PubRec => Packet::PubRec,
        Kind::PubRel => Packet::PubRel,
        Kind::PubComp => Packet::PubComp,
        _ => return None,
    };
    let id = NonZeroU16::new(u16::from_be_bytes([*buffer.first()?, *buffer.get(1)?]))?;
    buffer.advance(2);
    Some(wrap(Ack::success(id)))
}

fn read_body(kind: Kind, first: u8, body: Reader, version: Version) -> Result<Packet, Malformed> {
    match kind {
        Kind::Connect => Err(Malformed::protocol("second CONNECT")),
        Kind::ConnAck => read_connack(body, version),
        Kind::Publish => read_publish(first, body, version).map(Packet::Publish),
        Kind::PubAck => read_ack(body, version).map(Packet::PubAck),
        Kind::PubRec => read_ack(body, version).map(Packet::PubRec),
        Kind::PubRel => read_ack(body, version).map(Packet::PubRel),
        Kind::PubComp => read_ack(body, version).map(Packet::PubComp),
        Kind::Subscribe => read_subscribe(body, version).map(Packet::Subscribe),
        Kind::SubAck => read_suback(body, version).map(Packet::SubAck),
        Kind::Unsubscribe => read_unsubscribe(body, version).map(Packet::Unsubscribe),
        Kind::UnsubAck => read_unsuback(body, version).map(Packet::UnsubAck),
        Kind::PingReq => body.end().map(|()| Packet::PingReq),
        Kind::PingResp => body.end().map(|()| Packet::PingResp),
        Kind::Disconnect => read_disconnect(body, version).map(Packet::Disconnect),
        Kind::Auth => read_auth(body),
    }
}

/// Properties where the version has them.
fn read_properties<P: Properties>(body: &mut Reader, version: Version) -> Result<P, Malformed> {
    match version {
        Version::V5 => P::read(body),
        Version::V311 => Ok(P::default()),
    }
}

fn read_reason(body: &mut Reader) -> Result<ReasonCode, Malformed> {
    ReasonCode::from_code(body.byte()?).ok_or(Malformed::protocol("unknown reason code"))
}

fn read_qos(number: u8) -> Result<QoS, Malformed> {
    QoS::from_number(number).ok_or(Malformed::packet("QoS 3"))
}

/// The connect flags, bit by bit.
const WILL: u8 = 1 << 2;
const WILL_RETAIN: u8 = 1 << 5;
const PASSWORD: u8 = 1 << 6;
const USER_NAME: u8 = 1 << 7;

fn read_connect(mut body: Reader, known: &mut Option<Version>) -> Result<Packet, Malformed> {
    let version = read_protocol(&mut body, known)?;
    let flags = body.byte()?;
    if flags & 1 != 0 {
        // [MQTT-3.1.2-3]
        return Err(Malformed::packet("reserved connect flag is set"));
    }
    let keep_alive = body.two()?;
    let properties = read_properties(&mut body, version)?;
    // The order of the payload is [MQTT-3.1.3-1].
    let client_id = body.text()?;
    let will = read_will(flags, &mut body, version)?;
    let username = if flags & USER_NAME == 0 { None } else { Some(body.text()?) };
    let password = if flags & PASSWORD == 0 { None } else { Some(body.binary()?) };
    body.end()?;
    Ok(Packet::Connect(Box::new(Connect {
        version,
        clean_start: flags & 0b10 != 0,
        keep_alive,
        client_id,
        will,
        username,
        password,
        properties,
    })))
}

/// The protocol's name [MQTT-3.1.2-1] and level [MQTT-3.1.2-2].
fn read_protocol(body: &mut Reader, known: &mut Option<Version>) -> Result<Version, Malformed> {
    const UNSUPPORTED: ReasonCode = ReasonCode::UnsupportedProtocolVersion;
    let name = body.text()?;
    let level = body.byte()?;
    if name == "MQIsdp" {
        *known = Some(Version::V311);
        return Err(Malformed::new(UNSUPPORTED, "MQTT 3.1 is not supported"));
    }
    if name != "MQTT" {
        return Err(Malformed::new(UNSUPPORTED, "protocol name is not MQTT"));
    }
    let version = if level < 5 { Version::V311 } else { Version::V5 };
    *known = Some(version);
    match level {
        4 | 5 => Ok(version),
        _ => Err(Malformed::new(UNSUPPORTED, "protocol level is neither 4 nor 5")),
    }
}

fn read_will(flags: u8, body: &mut Reader, version: Version) -> Result<Option<Will>, Malformed> {
    // [MQTT-3.1.2-12] (3.1.1: [MQTT-3.1.2-14])
    let qos = read_qos(flags >> 3 & 0b11)?;
    let retain = flags & WILL_RETAIN != 0;
    if flags & WILL == 0 {
        // [MQTT-3.1.2-11], [MQTT-3.1.2-13] (3.1.1: [MQTT-3.1.2-13], [MQTT-3.1.2-15])
        if qos != QoS::AtMostOnce || retain {
            return Err(Malformed::packet("will QoS or will retain without will"));
        }
        return Ok(None);
    }
    // [MQTT-3.1.2-9]
    let properties: WillProperties = read_properties(body, version)?;
    Ok(Some(Will { topic: body.topic()?, payload: body.binary()?, qos, retain, properties }))
}

fn read_connack(mut body: Reader, version: Version) -> Result<Packet, Malformed> {
    let flags = body.byte()?;
    if flags > 1 {
        // [MQTT-3.2.2-1]
        return Err(Malformed::packet("reserved acknowledge flags are set"));
    }
    let reason = match version {
        Version::V5 => read_reason(&mut body)?,
        Version::V311 => {
            ReasonCode::from_connect_return_code(body.byte()?).ok_or(Malformed::protocol("unknown return code"))?
        }
    };
    let properties: ConnAckProperties = read_properties(&mut body, version)?;
    body.end()?;
    Ok(Packet::ConnAck(Box::new(ConnAck { session_present: flags == 1, reason, properties })))
}

fn read_publish(first: u8, mut body: Reader, version: Version) -> Result<Publish, Malformed> {
    let qos = read_qos(first >> 1 & 0b11)?;
    let topic = read_topic_name(&mut body)?;
    let packet_id = read_publish_id(qos, &mut body)?;
    let properties = read_publish_properties(&mut body, version)?;
    Ok(Publish {
        dup: first & 0b1000 != 0,
        qos,
        retain: first & 1 != 0,
        topic,
        packet_id,
        properties,
        payload: body.rest(),
    })
}

/// Most messages have no properties, and are not to pay for a place to put them.
fn read_publish_properties(body: &mut Reader, version: Version) -> Result<Option<Box<PublishProperties>>, Malformed> {
    if version == Version::V311 || body.skip_zero() {
        return Ok(None);
    }
    PublishProperties::read(body).map(Box::new).map(Some)
}

/// The topic name; that an empty one needs an alias is looked at later.
fn read_topic_name(body: &mut Reader) -> Result<Option<Topic>, Malformed> {
    let text: Text = body.text()?;
    if text.is_empty() {
        return Ok(None);
    }
    Ok(Some(Topic::parse(text)?))
}

fn read_publish_id(qos: QoS, body: &mut Reader) -> Result<Option<NonZeroU16>, Malformed> {
    match qos {
        QoS::AtMostOnce => Ok(None),
        QoS::AtLeastOnce | QoS::ExactlyOnce => body.packet_id().map(Some),
    }
}

/// PUBACK and its kin: in MQTT 5 the reason code may be left out, and after it the properties.
fn read_ack(mut body: Reader, version: Version) -> Result<Ack, Malformed> {
    let mut ack = Ack::success(body.packet_id()?);
    if version == Version::V5 && !body.is_empty() {
        ack.reason = read_reason(&mut body)?;
        if !body.is_empty() {
            ack.properties = AckProperties::read(&mut body)?;
        }
    }
    body.end()?;
    Ok(ack)
}

fn read_subscribe(mut body: Reader, version: Version) -> Result<Subscribe, Malformed> {
    let packet_id = body.packet_id()?;
    let properties = read_properties(&mut body, version)?;
    let mut subscriptions = Vec::new();
    while !body.is_empty() {
        let filter = body.filter()?;
        subscriptions.push(read_options(filter, body.byte()?, version)?);
    }
    Ok(Subscribe { packet_id, subscriptions, properties })
}

/// The subscription options, whose reserved bits are zero [MQTT-3.8.3-5] (3.1.1: [MQTT-3.8.3-4]).
fn read_options(filter: Filter, options: u8, version: Version) -> Result<Subscription, Malformed> {
    let reserved = match version {
        Version::V5 => 0b1100_0000,
        Version::V311 => 0b1111_1100,
    };
    if options & reserved != 0 {
        return Err(Malformed::packet("reserved bits of the subscription options are set"));
    }
    // Section 3.8.3.1: here QoS 3 is a protocol error, as is retain handling 3.
    let qos = QoS::from_number(options & 0b11).ok_or(Malformed::protocol("requested QoS 3"))?;
    let retain_handling = match options >> 4 & 0b11 {
        0 => RetainHandling::Send,
        1 => RetainHandling::SendIfNew,
        2 => RetainHandling::DoNotSend,
        _ => return Err(Malformed::protocol("retain handling 3")),
    };
    Ok(Subscription {
        filter,
        qos,
        no_local: options & 0b100 != 0,
        retain_as_published: options & 0b1000 != 0,
        retain_handling,
    })
}

fn read_suback(mut body: Reader, version: Version) -> Result<SubAck, Malformed> {
    let packet_id = body.packet_id()?;
    let properties = read_properties(&mut body, version)?;
    let mut reasons = Vec::new();
    while !body.is_empty() {
        let reason = read_reason(&mut body)?;
        // 3.1.1 knows four return codes: [MQTT-3.9.3-2].
        if version == Version::V311 && reason.code() & 0x7f > 2 {
            return Err(Malformed::protocol("unknown return code"));
        }
        reasons.push(reason);
    }
    Ok(SubAck { packet_id, reasons, properties })
}

fn read_unsubscribe(mut body: Reader, version: Version) -> Result<Unsubscribe, Malformed> {
    let packet_id = body.packet_id()?;
    let properties = read_properties(&mut body, version)?;
    let mut filters = Vec::new();
    while !body.is_empty() {
        filters.push(body.filter()?);
    }
    Ok(Unsubscribe { packet_id, filters, properties })
}

fn read_unsuback(mut body: Reader, version: Version) -> Result<UnsubAck, Malformed> {
    let packet_id = body.packet_id()?;
    let properties = read_properties(&mut body, version)?;
    let mut reasons = Vec::new();
    if version == Version::V5 {
        while !body.is_empty() {
            reasons.push(read_reason(&mut body)?);
        }
    }
    body.end()?;
    Ok(UnsubAck { packet_id, reasons, properties })
}

/// DISCONNECT: in MQTT 5 the reason code may be left out, and after it the properties.
fn read_disconnect(mut body: Reader, version: Version) -> Result<Disconnect, Malformed> {
    let mut disconnect = Disconnect::new(ReasonCode::Success);
    if version == Version::V5 && !body.is_empty() {
        disconnect.reason = read_reason(&mut body)?;
        if !body.is_empty() {
            disconnect.properties = DisconnectProperties::read(&mut body)?;
        }
    }
    body.end()?;
    Ok(disconnect)
}

/// AUTH: reason code and properties may only be left out together (section 3.15.2.1).
fn read_auth(mut body: Reader) -> Result<Packet, Malformed> {
    let mut auth = Auth { reason: ReasonCode::Success, properties: AuthProperties::default() };
    if !body.is_empty() {
        auth.reason = read_reason(&mut body)?;
        auth.properties = AuthProperties::read(&mut body)?;
    }
    body.end()?;
    Ok(Packet::Auth(Box::new(auth)))
}
