//! What is no packet, or a packet that may not be sent: each with the reason it is refused for.

use bytes::BytesMut;
use mqtt::Version::{V5, V311};
use mqtt::{
    Ack, ConnAck, Decoder, EncodeError, Packet, Publish, QoS, ReasonCode, SubAck, Subscribe, SubscribeProperties, Text,
    Version,
};

use crate::{decode, id, text, topic};

const MALFORMED: ReasonCode = ReasonCode::MalformedPacket;
const PROTOCOL: ReasonCode = ReasonCode::ProtocolError;
const UNSUPPORTED: ReasonCode = ReasonCode::UnsupportedProtocolVersion;
const TOPIC: ReasonCode = ReasonCode::TopicNameInvalid;
const FILTER: ReasonCode = ReasonCode::TopicFilterInvalid;

const BOTH: &[Version] = &[V311, V5];
const OLD: &[Version] = &[V311];
const NEW: &[Version] = &[V5];

/// Versions, bytes, reason code, and a piece of the message.
type Row = (&'static [Version], &'static [u8], ReasonCode, &'static str);

#[track_caller]
fn check(rows: &[Row]) {
    for (versions, bytes, reason, message) in rows {
        for version in *versions {
            let refused = match decode(*version, bytes) {
                Err(refused) => refused,
                Ok(packet) => panic!("{bytes:02x?} is {packet:?} in {version:?}"),
            };
            assert_eq!(refused.reason, *reason, "{bytes:02x?} {version:?}: {refused}");
            assert!(refused.message.contains(message), "{bytes:02x?} {version:?}: {refused}");
        }
    }
}

#[test]
fn fixed_headers() {
    check(&[
        (BOTH, b"\x00\0", MALFORMED, "type 0"),
        // [MQTT-2.1.3-1] (3.1.1: [MQTT-2.2.2-1], [MQTT-2.2.2-2])
        (BOTH, b"\x11\0", MALFORMED, "reserved flags"),
        (BOTH, b"\x21\x02\0\0", MALFORMED, "reserved flags"),
        (BOTH, b"\x44\x02\0\x01", MALFORMED, "reserved flags"),
        (BOTH, b"\x58\x02\0\x01", MALFORMED, "reserved flags"),
        // [MQTT-3.6.1-1]
        (BOTH, b"\x60\x02\0\x01", MALFORMED, "reserved flags"),
        (BOTH, b"\x63\x02\0\x01", MALFORMED, "reserved flags"),
        (BOTH, b"\x72\x02\0\x01", MALFORMED, "reserved flags"),
        // [MQTT-3.8.1-1]
        (BOTH, b"\x80\x06\0\x01\0\x01a\0", MALFORMED, "reserved flags"),
        (BOTH, b"\x91\x03\0\x01\0", MALFORMED, "reserved flags"),
        // [MQTT-3.10.1-1]
        (BOTH, b"\xa0\x05\0\x01\0\x01a", MALFORMED, "reserved flags"),
        (BOTH, b"\xb2\x02\0\x01", MALFORMED, "reserved flags"),
        (BOTH, b"\xc1\0", MALFORMED, "reserved flags"),
        (BOTH, b"\xd8\0", MALFORMED, "reserved flags"),
        // [MQTT-3.14.1-1]
        (BOTH, b"\xe2\0", MALFORMED, "reserved flags"),
        // [MQTT-3.15.1-1]
        (NEW, b"\xf1\0", MALFORMED, "reserved flags"),
        (OLD, b"\xf0\0", MALFORMED, "AUTH"),
        (BOTH, b"\xc0\x80\x80\x80\x80\x01", MALFORMED, "longer than four bytes"),
        // [MQTT-1.5.5-1]
        (NEW, b"\xc0\x80\0", MALFORMED, "remaining length"),
        (NEW, b"\x40\x82\0\0\x01", MALFORMED, "remaining length"),
        (NEW, b"\x10\x8d\0\0\x04MQTT\x05\x02\0\x3c\0\0\0", MALFORMED, "remaining length"),
        (BOTH, b"\xc0\x01\0", MALFORMED, "goes on"),
        (BOTH, b"\xd0\x01\0", MALFORMED, "goes on"),
    ]);
}

#[test]
fn connects() {
    check(&[
        // [MQTT-3.1.2-1]
        (OLD, b"\x10\x0e\0\x06MQIsdp\x03\x02\0\x3c\0\0", UNSUPPORTED, "3.1 is not"),
        (OLD, b"\x10\x0c\0\x04mqtt\x04\x02\0\x3c\0\0", UNSUPPORTED, "name"),
        // [MQTT-3.1.2-2]
        (OLD, b"\x10\x0c\0\x04MQTT\x03\x02\0\x3c\0\0", UNSUPPORTED, "level"),
        (NEW, b"\x10\x0d\0\x04MQTT\x06\x02\0\x3c\0\0\0", UNSUPPORTED, "level"),
        // [MQTT-3.1.2-3]
        (OLD, b"\x10\x0c\0\x04MQTT\x04\x03\0\x3c\0\0", MALFORMED, "reserved connect flag"),
        (NEW, b"\x10\x0d\0\x04MQTT\x05\x03\0\x3c\0\0\0", MALFORMED, "reserved connect flag"),
        // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
        (OLD, b"\x10\x0c\0\x04MQTT\x04\x0a\0\x3c\0\0", MALFORMED, "without will"),
        (OLD, b"\x10\x0c\0\x04MQTT\x04\x22\0\x3c\0\0", MALFORMED, "without will"),
        // [MQTT-3.1.2-12]
        (OLD, b"\x10\x12\0\x04MQTT\x04\x1e\0\x3c\0\0\0\x01w\0\x01p", MALFORMED, "QoS 3"),
        // 3.1.1: [MQTT-3.1.2-22]
        (OLD, b"\x10\x0f\0\x04MQTT\x04\x42\0\x3c\0\0\0\x01p", MALFORMED, "password without"),
        // [MQTT-3.1.2-9], [MQTT-3.1.2-17], [MQTT-3.1.2-19], [MQTT-3.1.3-3]: said to be there and missing.
        (OLD, b"\x10\x0c\0\x04MQTT\x04\x06\0\x3c\0\0", MALFORMED, "ends before"),
        (OLD, b"\x10\x0c\0\x04MQTT\x04\x82\0\x3c\0\0", MALFORMED, "ends before"),
        (OLD, b"\x10\x0f\0\x04MQTT\x04\xc2\0\x3c\0\0\0\x01u", MALFORMED, "ends before"),
        (OLD, b"\x10\x0a\0\x04MQTT\x04\x02\0\x3c", MALFORMED, "ends before"),
        (OLD, b"\x10\0", MALFORMED, "ends before"),
        // [MQTT-3.1.2-16], [MQTT-3.1.2-18]: there and not said to be.
        (OLD, b"\x10\x0f\0\x04MQTT\x04\x02\0\x3c\0\0\0\x01u", MALFORMED, "goes on"),
        // [MQTT-3.1.3-4], [MQTT-3.1.3-11], [MQTT-3.1.3-12], [MQTT-1.5.4-1], [MQTT-1.5.4-2]
        (OLD, b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01\xff", MALFORMED, "UTF-8"),
        (OLD, b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01\0", MALFORMED, "U+0000"),
        (OLD, b"\x10\x11\0\x04MQTT\x04\x06\0\x3c\0\0\0\x01\xff\0\0", MALFORMED, "UTF-8"),
        (OLD, b"\x10\x0f\0\x04MQTT\x04\x82\0\x3c\0\0\0\x01\xff", MALFORMED, "UTF-8"),
        // The will topic is a topic name.
        (OLD, b"\x10\x11\0\x04MQTT\x04\x06\0\x3c\0\0\0\x01#\0\0", TOPIC, "wildcard"),
        (OLD, b"\x10\x10\0\x04MQTT\x04\x06\0\x3c\0\0\0\0\0\0", TOPIC, "empty"),
    ]);
}

#[test]
fn properties() {
    check(&[
        // An identifier that exists, in a packet that does not have it; and one that does not exist.
        (NEW, b"\x10\x0f\0\x04MQTT\x05\x02\0\x3c\x02\x01\x01\0\0", MALFORMED, "does not belong"),
        (NEW, b"\x30\x06\0\x01t\x02\x7f\0", MALFORMED, "does not belong"),
        (NEW, b"\x40\x09\0\x01\0\x05\x11\0\0\0\0", MALFORMED, "does not belong"),
        // Twice, except user properties and the subscription identifiers of a message.
        (NEW, b"\x30\x08\0\x01t\x04\x01\0\x01\0", PROTOCOL, "more than once"),
        (NEW, b"\x82\x0b\0\x01\x04\x0b\x01\x0b\x02\0\x01a\0", PROTOCOL, "more than once"),
        (NEW, b"\x30\x06\0\x01t\x02\x01\x02", PROTOCOL, "neither 0 nor 1"),
        (NEW, b"\x20\x05\0\0\x02\x24\x02", PROTOCOL, "neither 0 nor 1"),
        (NEW, b"\x10\x10\0\x04MQTT\x05\x02\0\x3c\x03\x21\0\0\0\0", PROTOCOL, "receive maximum"),
        (NEW, b"\x10\x12\0\x04MQTT\x05\x02\0\x3c\x05\x27\0\0\0\0\0\0", PROTOCOL, "maximum packet size"),
        (NEW, b"\x82\x09\0\x01\x02\x0b\0\0\x01a\0", PROTOCOL, "subscription identifier"),
        // [MQTT-3.3.2-8]
        (NEW, b"\x30\x07\0\x01t\x03\x23\0\0", ReasonCode::TopicAliasInvalid, "zero"),
        // [MQTT-3.3.2-14], [MQTT-3.3.2-13]
        (NEW, b"\x30\x08\0\x01t\x04\x08\0\x01+", TOPIC, "wildcard"),
        (NEW, b"\x30\x08\0\x01t\x04\x08\0\x01\xff", MALFORMED, "UTF-8"),
        // [MQTT-1.5.7-1]
        (NEW, b"\x30\x0b\0\x01t\x07\x26\0\x01k\0\x01\xff", MALFORMED, "UTF-8"),
        // Lengths that say too much or too little.
        (NEW, b"\x30\x05\0\x01t\x05\x01", MALFORMED, "ends before"),
        (NEW, b"\x30\x06\0\x01t\x01\x01\x01", MALFORMED, "ends before"),
        (NEW, b"\x30\x03\0\x01t", MALFORMED, "ends before"),
        (NEW, b"\x30\x08\0\x01t\xff\xff\xff\xff\x01", MALFORMED, "longer than four bytes"),
        // [MQTT-1.5.5-1]
        (NEW, b"\x30\x05\0\x01t\x80\0", MALFORMED, "longer than it has to be"),
        // Section 3.1.2.11.10
        (NEW, b"\x10\x11\0\x04MQTT\x05\x02\0\x3c\x04\x16\0\x01d\0\0", PROTOCOL, "authentication"),
        (NEW, b"\x20\x07\0\0\x04\x16\0\x01d", PROTOCOL, "authentication"),
    ]);
}

#[test]
fn messages() {
    check(&[
        // [MQTT-3.3.1-4]
        (BOTH, b"\x36\x05\0\x01t\0\x01", MALFORMED, "QoS 3"),
        // [MQTT-3.3.1-2]
        (BOTH, b"\x38\x03\0\x01t", MALFORMED, "DUP"),
        // [MQTT-2.2.1-3] (3.1.1: [MQTT-2.3.1-1])
        (BOTH, b"\x32\x06\0\x01t\0\0\0", PROTOCOL, "identifier is zero"),
        (BOTH, b"\x34\x04\0\x01t\0", MALFORMED, "ends before"),
        // [MQTT-3.3.2-2]
        (BOTH, b"\x30\x05\0\x02a+\0", TOPIC, "wildcard"),
        (BOTH, b"\x30\x05\0\x02/#\0", TOPIC, "wildcard"),
        // [MQTT-3.3.2-1], [MQTT-1.5.4-1], [MQTT-1.5.4-2]
        (BOTH, b"\x30\x04\0\x01\xc0\0", MALFORMED, "UTF-8"),
        (BOTH, b"\x30\x04\0\x01\0\0", MALFORMED, "U+0000"),
        // [MQTT-4.7.3-1]
        (BOTH, b"\x30\x03\0\0\0", PROTOCOL, "neither topic name nor topic alias"),
        (BOTH, b"\x30\0", MALFORMED, "ends before"),
    ]);
}

#[test]
fn acknowledgements() {
    check(&[
        // [MQTT-2.2.1-5]
        (BOTH, b"\x40\x02\0\0", PROTOCOL, "identifier is zero"),
        (BOTH, b"\x50\x01\0", MALFORMED, "ends before"),
        (OLD, b"\x62\x03\0\x01\0", MALFORMED, "goes on"),
        (NEW, b"\x70\x05\0\x01\0\0\0", MALFORMED, "goes on"),
        // [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1]
        (NEW, b"\x40\x03\0\x01\x01", PROTOCOL, "does not belong"),
        (NEW, b"\x50\x03\0\x01\x92", PROTOCOL, "does not belong"),
        (NEW, b"\x62\x03\0\x01\x80", PROTOCOL, "does not belong"),
        (NEW, b"\x70\x03\0\x01\x10", PROTOCOL, "does not belong"),
        (NEW, b"\x40\x03\0\x01\x7f", PROTOCOL, "unknown reason code"),
        // [MQTT-3.2.2-1], [MQTT-3.2.2-6], [MQTT-3.2.2-8]
        (OLD, b"\x20\x02\x02\0", MALFORMED, "acknowledge flags"),
        (NEW, b"\x20\x03\x02\0\0", MALFORMED, "acknowledge flags"),
        (OLD, b"\x20\x02\x01\x05", PROTOCOL, "session present"),
        (OLD, b"\x20\x02\0\x06", PROTOCOL, "unknown return code"),
        (NEW, b"\x20\x03\0\x01\0", PROTOCOL, "does not belong"),
        (BOTH, b"\x20\x01\0", MALFORMED, "ends before"),
        (OLD, b"\x20\x03\0\0\0", MALFORMED, "goes on"),
        // [MQTT-3.9.3-2], [MQTT-3.11.3-2]
        (OLD, b"\x90\x03\0\x01\x87", PROTOCOL, "unknown return code"),
        (OLD, b"\x90\x03\0\x01\x03", PROTOCOL, "unknown reason code"),
        (NEW, b"\x90\x04\0\x01\0\x11", PROTOCOL, "does not belong"),
        (OLD, b"\x90\x02\0\x01", PROTOCOL, "no reason code"),
        (NEW, b"\x90\x03\0\x01\0", PROTOCOL, "no reason code"),
        (NEW, b"\xb0\x03\0\x01\0", PROTOCOL, "no reason code"),
        (NEW, b"\xb0\x04\0\x01\0\x01", PROTOCOL, "does not belong"),
        (OLD, b"\xb0\x03\0\x01\0", MALFORMED, "goes on"),
    ]);
}

#[test]
fn subscriptions() {
    check(&[
        // [MQTT-3.8.3-2], [MQTT-3.10.3-2]
        (OLD, b"\x82\x02\0\x01", PROTOCOL, "no topic filter"),
        (NEW, b"\x82\x03\0\x01\0", PROTOCOL, "no topic filter"),
        (OLD, b"\xa2\x02\0\x01", PROTOCOL, "no topic filter"),
        (NEW, b"\xa2\x03\0\x01\0", PROTOCOL, "no topic filter"),
        (OLD, b"\x82\x06\0\0\0\x01a\0", PROTOCOL, "identifier is zero"),
        (OLD, b"\xa2\x05\0\0\0\x01a", PROTOCOL, "identifier is zero"),
        // [MQTT-3.8.3-5] (3.1.1: [MQTT-3.8.3-4])
        (OLD, b"\x82\x06\0\x01\0\x01a\x04", MALFORMED, "subscription options"),
        (OLD, b"\x82\x06\0\x01\0\x01a\x80", MALFORMED, "subscription options"),
        (OLD, b"\x82\x06\0\x01\0\x01a\x03", PROTOCOL, "QoS 3"),
        (NEW, b"\x82\x07\0\x01\0\0\x01a\x40", MALFORMED, "subscription options"),
        (NEW, b"\x82\x07\0\x01\0\0\x01a\x80", MALFORMED, "subscription options"),
        (NEW, b"\x82\x07\0\x01\0\0\x01a\x03", PROTOCOL, "QoS 3"),
        (NEW, b"\x82\x07\0\x01\0\0\x01a\x30", PROTOCOL, "retain handling"),
        (OLD, b"\x82\x05\0\x01\0\x01a", MALFORMED, "ends before"),
        // [MQTT-3.8.3-4]
        (NEW, b"\x82\x10\0\x01\0\0\x0a$share/g/a\x04", PROTOCOL, "no local"),
        // [MQTT-3.8.3-1], [MQTT-3.10.3-1]
        (OLD, b"\x82\x06\0\x01\0\x01\xff\0", MALFORMED, "UTF-8"),
        (OLD, b"\xa2\x05\0\x01\0\x01\xff", MALFORMED, "UTF-8"),
        // [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1], [MQTT-4.8.2-2]
        (OLD, b"\x82\x07\0\x01\0\x02a#\0", FILTER, "# does not stand alone"),
        (OLD, b"\x82\x07\0\x01\0\x02a+\0", FILTER, "+ does not fill"),
        (OLD, b"\x82\x05\0\x01\0\0\0", FILTER, "empty"),
        (OLD, b"\xa2\x0d\0\x01\0\x09$share/g/", FILTER, "no topic filter follows"),
    ]);
}

#[test]
fn farewells() {
    check(&[
        (OLD, b"\xe0\x01\0", MALFORMED, "goes on"),
        // [MQTT-3.14.2-1]
        (NEW, b"\xe0\x01\x01", PROTOCOL, "does not belong"),
        (NEW, b"\xe0\x01\x05", PROTOCOL, "unknown reason code"),
        (NEW, b"\xe0\x03\0\0\0", MALFORMED, "goes on"),
        // [MQTT-3.15.2-1] and section 3.15.2.2.2
        (NEW, b"\xf0\x06\x80\x04\x15\0\x01m", PROTOCOL, "does not belong"),
        (NEW, b"\xf0\x02\x18\0", PROTOCOL, "no authentication method"),
        (NEW, b"\xf0\x01\0", MALFORMED, "ends before"),
    ]);
}

/// [MQTT-3.1.0-1], [MQTT-3.1.0-2]
#[test]
fn connect_comes_first_and_once() {
    let mut decoder = Decoder::new(1024);
    let mut ping = BytesMut::from(&b"\xc0"[..]);
    assert_eq!(decoder.decode(&mut ping).unwrap_err().message, "first packet is not CONNECT");

    let mut decoder = Decoder::new(1024);
    assert_eq!(decoder.version(), None);
    let mut buffer = BytesMut::from(&b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0\xc0\0\x10"[..]);
    assert!(matches!(decoder.decode(&mut buffer), Ok(Some(Packet::Connect(_)))));
    assert_eq!(decoder.version(), Some(V311));
    assert_eq!(decoder.decode(&mut buffer), Ok(Some(Packet::PingReq)));
    assert_eq!(decoder.decode(&mut buffer).unwrap_err().message, "second CONNECT");
}

/// [MQTT-3.1.2-1], [MQTT-3.1.2-2]: the answer is a CONNACK 0x01 or 0x84, as the client understands it.
#[test]
fn a_refused_connect_tells_which_version_to_answer_in() {
    for (bytes, version) in [
        (&b"\x10\x0e\0\x06MQIsdp\x03\x02\0\x3c\0\0"[..], Some(V311)),
        (b"\x10\x0c\0\x04MQTT\x03\x02\0\x3c\0\0", Some(V311)),
        (b"\x10\x0d\0\x04MQTT\x06\x02\0\x3c\0\0\0", Some(V5)),
        (b"\x10\x0d\0\x04MQTT\x05\x03\0\x3c\0\0\0", Some(V5)),
        (b"\x10\x0c\0\x04HTTP\x04\x02\0\x3c\0\0", None),
    ] {
        let mut decoder = Decoder::new(1024);
        assert!(decoder.decode(&mut BytesMut::from(bytes)).is_err());
        assert_eq!(decoder.version(), version, "{bytes:02x?}");
    }
}

#[test]
fn a_packet_is_too_large_from_its_fixed_header_on() {
    let mut decoder = Decoder::for_version(V5, 130);
    let mut fits = BytesMut::from(&b"\x30\x7f"[..]);
    assert_eq!(decoder.decode(&mut fits), Ok(None));
    // 127 and a header of two bytes is 129, 128 and a header of three is 131.
    let mut too_large = BytesMut::from(&b"\x30\x80\x01"[..]);
    assert_eq!(decoder.decode(&mut too_large).unwrap_err().reason, ReasonCode::PacketTooLarge);
    let mut exact = Decoder::for_version(V5, 129);
    assert_eq!(exact.decode(&mut fits), Ok(None));
    let mut less = Decoder::for_version(V5, 128);
    assert_eq!(less.decode(&mut fits).unwrap_err().reason, ReasonCode::PacketTooLarge);
}

#[test]
fn what_may_not_be_received_is_not_sent() {
    let qos1 = Publish { qos: QoS::AtLeastOnce, ..Publish::new(topic("t"), "") };
    let nothing = Subscribe { packet_id: id(1), subscriptions: vec![], properties: SubscribeProperties::default() };
    let rows = [
        (V5, Packet::Publish(qos1), "no packet identifier"),
        (V5, Packet::Publish(Publish { topic: None, ..Publish::new(topic("t"), "") }), "neither topic"),
        (V5, Packet::PubAck(Ack::new(id(1), ReasonCode::SessionTakenOver)), "does not belong"),
        (V5, Packet::Subscribe(nothing), "no topic filter"),
        (V311, Packet::ConnAck(Box::new(ConnAck::refusal(ReasonCode::QuotaExceeded))), "close without"),
    ];
    for (version, packet, message) in rows {
        let mut out = BytesMut::new();
        match mqtt::encode(&packet, version, usize::MAX, &mut out) {
            Err(EncodeError::NotAllowed(why)) => assert!(why.contains(message), "{why}"),
            other => panic!("{packet:?}: {other:?}"),
        }
        assert!(out.is_empty());
    }
}

/// [MQTT-3.1.2-24], [MQTT-3.9.2-1]: diagnostics make way for the packet, contents do not.
#[test]
fn a_packet_that_is_too_large_loses_its_diagnostics_or_is_not_sent() {
    let mut suback = SubAck {
        packet_id: id(1),
        reasons: vec![ReasonCode::Success],
        properties: mqtt::AckProperties {
            reason_string: Some(Text::new("a long story").unwrap()),
            user_properties: vec![(text("k"), text("v"))],
        },
    };
    let packet = Packet::SubAck(suback.clone());
    let whole = mqtt::encoded_len(&packet, V5);
    let mut out = BytesMut::new();
    mqtt::encode(&packet, V5, whole, &mut out).unwrap();
    assert_eq!(decode(V5, &out).unwrap(), packet);

    out.clear();
    mqtt::encode(&packet, V5, whole - 1, &mut out).unwrap();
    suback.properties = mqtt::AckProperties::default();
    assert_eq!(decode(V5, &out).unwrap(), Packet::SubAck(suback));

    out.clear();
    assert_eq!(mqtt::encode(&packet, V5, 5, &mut out), Err(EncodeError::TooLarge));
    assert!(out.is_empty());
    let publish = Packet::Publish(Publish::new(topic("t"), "0123456789"));
    assert_eq!(mqtt::encode(&publish, V5, 10, &mut out), Err(EncodeError::TooLarge));
}
