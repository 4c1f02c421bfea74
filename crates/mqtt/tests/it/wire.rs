//! Packets written out byte by byte as the specifications draw them, in both directions.

#![expect(clippy::needless_pass_by_value, reason = "a table gives its rows away")]

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use mqtt::Version::{V5, V311};
use mqtt::{
    Ack, AckProperties, Auth, AuthProperties, Binary, ConnAck, ConnAckProperties, Connect, ConnectProperties,
    Disconnect, DisconnectProperties, Packet, Publish, PublishProperties, QoS, ReasonCode, RetainHandling, SubAck,
    Subscribe, SubscribeProperties, Subscription, SubscriptionId, TopicAlias, UnsubAck, Unsubscribe,
    UnsubscribeProperties, Version, Will, WillProperties,
};

use crate::{decode, encode, filter, id, text, topic};

/// Makes an acknowledgement the packet of one of its kinds.
type Wrap = fn(Ack) -> Packet;

/// The bytes are the packet, and the packet is the bytes.
#[track_caller]
fn check(version: Version, bytes: &[u8], packet: Packet) {
    assert_eq!(decode(version, bytes).unwrap(), packet);
    assert_eq!(encode(&packet, version), bytes, "{packet:?}");
}

/// The bytes are the packet, which has a shorter form.
#[track_caller]
fn check_long_form(version: Version, bytes: &[u8], packet: Packet) {
    assert_eq!(decode(version, bytes).unwrap(), packet);
    assert!(encode(&packet, version).len() < bytes.len());
}

fn connect(version: Version, client_id: &str) -> Connect {
    Connect {
        version,
        clean_start: true,
        keep_alive: 60,
        client_id: text(client_id),
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

fn binary(bytes: &'static [u8]) -> Binary {
    Binary::new(bytes).unwrap()
}

fn pair(name: &str, value: &str) -> (mqtt::Text, mqtt::Text) {
    (text(name), text(value))
}

/// A reason string "r" and a user property "k": "v".
fn diagnostics() -> AckProperties {
    AckProperties { reason_string: Some(text("r")), user_properties: vec![pair("k", "v")] }
}

/// [MQTT-3.1.2-1], [MQTT-3.1.2-2], [MQTT-3.1.3-1], [MQTT-3.1.3-6]
#[test]
fn connect_3_1_1() {
    check(V311, b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0", Packet::Connect(Box::new(connect(V311, ""))));
    check(
        V311,
        b"\x10\x1d\0\x04MQTT\x04\xf4\0\0\0\x02id\0\x01w\0\x03bye\0\x01u\0\x02\0\xff",
        Packet::Connect(Box::new(Connect {
            clean_start: false,
            keep_alive: 0,
            will: Some(Will {
                topic: topic("w"),
                payload: binary(b"bye"),
                qos: QoS::ExactlyOnce,
                retain: true,
                properties: WillProperties::default(),
            }),
            username: Some(text("u")),
            password: Some(binary(b"\0\xff")),
            ..connect(V311, "id")
        })),
    );
}

/// [MQTT-3.1.2-9], [MQTT-3.1.2-16] to [MQTT-3.1.2-19]: what the flags say is there.
#[test]
fn connect_5_with_everything() {
    let bytes = b"\x10\x69\0\x04MQTT\x05\xee\x01\0\
        \x2b\x11\0\0\0\x0a\x21\0\x05\x27\0\0\x04\0\x22\0\x08\x19\x01\x17\0\
        \x26\0\x01k\0\x01v\x26\0\x01k\0\x01w\x15\0\x01m\x16\0\x02\x01\x02\
        \0\x02id\
        \x20\x18\0\0\0\x05\x01\x01\x02\0\0\0\x07\x03\0\x01t\x08\0\x02re\x09\0\x01c\x26\0\x01k\0\x01v\
        \0\x01w\0\x03bye\0\x01u\0\x01p";
    let will = Will {
        topic: topic("w"),
        payload: binary(b"bye"),
        qos: QoS::AtLeastOnce,
        retain: true,
        properties: WillProperties {
            will_delay_interval: Some(5),
            payload_format_indicator: Some(true),
            message_expiry_interval: Some(7),
            content_type: Some(text("t")),
            response_topic: Some(topic("re")),
            correlation_data: Some(binary(b"c")),
            user_properties: vec![pair("k", "v")],
        },
    };
    let properties = ConnectProperties {
        session_expiry_interval: Some(10),
        receive_maximum: NonZeroU16::new(5),
        maximum_packet_size: NonZeroU32::new(1024),
        topic_alias_maximum: Some(8),
        request_response_information: Some(true),
        request_problem_information: Some(false),
        user_properties: vec![pair("k", "v"), pair("k", "w")],
        authentication_method: Some(text("m")),
        authentication_data: Some(binary(b"\x01\x02")),
    };
    let packet = Connect {
        keep_alive: 256,
        will: Some(will),
        username: Some(text("u")),
        password: Some(binary(b"p")),
        properties,
        ..connect(V5, "id")
    };
    check(V5, bytes, Packet::Connect(Box::new(packet)));
}

/// MQTT 5 allows a password without a user name (section 3.1.2.9).
#[test]
fn connect_5_with_a_password_alone() {
    check(
        V5,
        b"\x10\x10\0\x04MQTT\x05\x42\0\x3c\0\0\0\0\x01p",
        Packet::Connect(Box::new(Connect { password: Some(binary(b"p")), ..connect(V5, "") })),
    );
}

#[test]
fn connack() {
    let plain =
        |session_present, reason| Packet::ConnAck(Box::new(ConnAck { session_present, ..ConnAck::refusal(reason) }));
    check(V311, b"\x20\x02\x01\0", plain(true, ReasonCode::Success));
    check(V311, b"\x20\x02\0\x01", plain(false, ReasonCode::UnsupportedProtocolVersion));
    check(V311, b"\x20\x02\0\x05", plain(false, ReasonCode::NotAuthorized));
    check(V5, b"\x20\x03\x01\0\0", plain(true, ReasonCode::Success));
    check(V5, b"\x20\x03\0\x84\0", plain(false, ReasonCode::UnsupportedProtocolVersion));
}

#[test]
fn connack_5_with_everything() {
    let bytes = b"\x20\x40\0\0\x3d\x11\0\0\0\x0a\x21\0\x64\x24\x01\x25\x01\x27\0\x02\x48\0\
        \x12\0\x02id\x22\0\x08\x1f\0\x01r\x26\0\x01k\0\x01v\x28\x01\x29\0\x2a\x01\x13\x04\xb0\
        \x1a\0\x01i\x1c\0\x01s\x15\0\x01m\x16\0\x01d";
    let properties = ConnAckProperties {
        session_expiry_interval: Some(10),
        receive_maximum: NonZeroU16::new(100),
        maximum_qos: Some(QoS::AtLeastOnce),
        retain_available: Some(true),
        maximum_packet_size: NonZeroU32::new(149_504),
        assigned_client_identifier: Some(text("id")),
        topic_alias_maximum: Some(8),
        reason_string: Some(text("r")),
        user_properties: vec![pair("k", "v")],
        wildcard_subscription_available: Some(true),
        subscription_identifiers_available: Some(false),
        shared_subscription_available: Some(true),
        server_keep_alive: Some(1200),
        response_information: Some(text("i")),
        server_reference: Some(text("s")),
        authentication_method: Some(text("m")),
        authentication_data: Some(binary(b"d")),
    };
    let packet = ConnAck { session_present: false, reason: ReasonCode::Success, properties };
    check(V5, bytes, Packet::ConnAck(Box::new(packet)));
}

/// [MQTT-2.2.1-2], [MQTT-3.3.2-1]
#[test]
fn publish() {
    let message = || Publish::new(topic("a/b"), "hi");
    check(V311, b"\x30\x07\0\x03a/bhi", Packet::Publish(message()));
    check(V5, b"\x30\x08\0\x03a/b\0hi", Packet::Publish(message()));
    let qos1 = Publish { qos: QoS::AtLeastOnce, packet_id: Some(id(10)), retain: true, ..message() };
    check(V311, b"\x33\x09\0\x03a/b\0\x0ahi", Packet::Publish(qos1.clone()));
    check(V5, b"\x33\x0a\0\x03a/b\0\x0a\0hi", Packet::Publish(qos1));
    let qos2 =
        Publish { dup: true, qos: QoS::ExactlyOnce, packet_id: Some(id(0xffff)), payload: Bytes::new(), ..message() };
    check(V311, b"\x3c\x07\0\x03a/b\xff\xff", Packet::Publish(qos2));
}

#[test]
fn publish_5_with_everything() {
    let bytes = b"\x30\x2d\0\x01t\x28\x01\x01\x02\0\0\0\x3c\x23\0\x08\x08\0\x01r\x09\0\x01c\
        \x26\0\x01k\0\x01v\x26\0\x01a\0\0\x0b\x01\x0b\x80\x01\x03\0\x01jx";
    let properties = PublishProperties {
        payload_format_indicator: Some(true),
        message_expiry_interval: Some(60),
        topic_alias: Some(TopicAlias(id(8))),
        response_topic: Some(topic("r")),
        correlation_data: Some(binary(b"c")),
        user_properties: vec![pair("k", "v"), pair("a", "")],
        subscription_identifiers: [1, 128].into_iter().filter_map(SubscriptionId::new).collect(),
        content_type: Some(text("j")),
    };
    let packet = Publish { properties: Some(Box::new(properties)), ..Publish::new(topic("t"), "x") };
    check(V5, bytes, Packet::Publish(packet));
}

/// Section 3.3.2.3.4
#[test]
fn a_topic_alias_stands_for_the_topic() {
    let properties = PublishProperties { topic_alias: Some(TopicAlias(id(3))), ..PublishProperties::default() };
    let packet = Publish { topic: None, properties: Some(Box::new(properties)), ..Publish::new(topic("t"), "x") };
    check(V5, b"\x30\x07\0\0\x03\x23\0\x03x", Packet::Publish(packet));
}

#[test]
fn remaining_lengths_from_one_byte_to_four() {
    for (payload, length) in [
        (124, &b"\x7f"[..]),
        (125, b"\x80\x01"),
        (16_380, b"\xff\x7f"),
        (16_381, b"\x80\x80\x01"),
        (2_097_148, b"\xff\xff\x7f"),
        (2_097_149, b"\x80\x80\x80\x01"),
    ] {
        let bytes = [b"\x30", length, b"\0\x01t", &vec![7; payload]].concat();
        check(V311, &bytes, Packet::Publish(Publish::new(topic("t"), vec![7; payload])));
    }
}

/// [MQTT-3.6.1-1] for the flags of PUBREL; sections 3.4.2.1 and 3.4.2.2 for the short forms.
#[test]
fn acknowledgements_in_all_their_lengths() {
    let kinds: [(u8, Wrap, ReasonCode); 4] = [
        (0x40, Packet::PubAck, ReasonCode::NotAuthorized),
        (0x50, Packet::PubRec, ReasonCode::QuotaExceeded),
        (0x62, Packet::PubRel, ReasonCode::PacketIdentifierNotFound),
        (0x70, Packet::PubComp, ReasonCode::PacketIdentifierNotFound),
    ];
    for (first, packet, bad) in kinds {
        let success = || packet(Ack::success(id(258)));
        check(V311, &[first, 2, 1, 2], success());
        check(V5, &[first, 2, 1, 2], success());
        check_long_form(V5, &[first, 3, 1, 2, 0], success());
        check_long_form(V5, &[first, 4, 1, 2, 0, 0], success());
        check(V5, &[first, 3, 1, 2, bad.code()], packet(Ack::new(id(258), bad)));
        check_long_form(V5, &[first, 4, 1, 2, bad.code(), 0], packet(Ack::new(id(258), bad)));
        let head = [first, 0x0f, 1, 2, bad.code()];
        check(
            V5,
            &[&head, b"\x0b\x1f\0\x01r\x26\0\x01k\0\x01v".as_slice()].concat(),
            packet(Ack { properties: diagnostics(), ..Ack::new(id(258), bad) }),
        );
    }
}

/// [MQTT-3.8.1-1], [MQTT-3.8.3-5]
#[test]
fn subscribe() {
    let subscriptions =
        vec![Subscription::new(filter("a/+"), QoS::AtLeastOnce), Subscription::new(filter("#"), QoS::ExactlyOnce)];
    let packet = Subscribe { packet_id: id(1), subscriptions, properties: SubscribeProperties::default() };
    check(V311, b"\x82\x0c\0\x01\0\x03a/+\x01\0\x01#\x02", Packet::Subscribe(packet.clone()));
    check(V5, b"\x82\x0d\0\x01\0\0\x03a/+\x01\0\x01#\x02", Packet::Subscribe(packet));
    let all_options = Subscribe {
        packet_id: id(2),
        subscriptions: vec![
            Subscription {
                no_local: true,
                retain_as_published: true,
                retain_handling: RetainHandling::DoNotSend,
                ..Subscription::new(filter("a"), QoS::AtMostOnce)
            },
            Subscription {
                retain_handling: RetainHandling::SendIfNew,
                ..Subscription::new(filter("$share/g/b"), QoS::AtLeastOnce)
            },
        ],
        properties: SubscribeProperties {
            subscription_identifier: SubscriptionId::new(268_435_455),
            user_properties: vec![pair("k", "v")],
        },
    };
    check(
        V5,
        b"\x82\x20\0\x02\x0c\x0b\xff\xff\xff\x7f\x26\0\x01k\0\x01v\0\x01a\x2c\0\x0a$share/g/b\x11",
        Packet::Subscribe(all_options),
    );
}

/// [MQTT-3.8.4-6], [MQTT-3.9.3-1]
#[test]
fn suback() {
    let reasons = vec![ReasonCode::Success, ReasonCode::GrantedQoS2, ReasonCode::UnspecifiedError];
    let packet = SubAck { packet_id: id(1), reasons, properties: AckProperties::default() };
    check(V311, b"\x90\x05\0\x01\0\x02\x80", Packet::SubAck(packet.clone()));
    check(V5, b"\x90\x06\0\x01\0\0\x02\x80", Packet::SubAck(packet));
    let packet = SubAck { packet_id: id(1), reasons: vec![ReasonCode::NotAuthorized], properties: diagnostics() };
    check(V5, b"\x90\x0f\0\x01\x0b\x1f\0\x01r\x26\0\x01k\0\x01v\x87", Packet::SubAck(packet.clone()));
    // 3.1.1: [MQTT-3.9.3-2], one word for all refusals.
    assert_eq!(encode(&Packet::SubAck(packet), V311), b"\x90\x03\0\x01\x80");
}

/// [MQTT-3.10.1-1]
#[test]
fn unsubscribe() {
    let mut packet = Unsubscribe {
        packet_id: id(1),
        filters: vec![filter("a/+"), filter("b")],
        properties: UnsubscribeProperties::default(),
    };
    check(V311, b"\xa2\x0a\0\x01\0\x03a/+\0\x01b", Packet::Unsubscribe(packet.clone()));
    packet.properties.user_properties = vec![pair("k", "v")];
    check(V5, b"\xa2\x12\0\x01\x07\x26\0\x01k\0\x01v\0\x03a/+\0\x01b", Packet::Unsubscribe(packet));
}

/// [MQTT-3.11.3-1]
#[test]
fn unsuback() {
    let mut packet = UnsubAck { packet_id: id(1), reasons: vec![], properties: AckProperties::default() };
    check(V311, b"\xb0\x02\0\x01", Packet::UnsubAck(packet.clone()));
    packet.reasons = vec![ReasonCode::Success, ReasonCode::NoSubscriptionExisted];
    check(V5, b"\xb0\x05\0\x01\0\0\x11", Packet::UnsubAck(packet.clone()));
    packet.properties = diagnostics();
    check(V5, b"\xb0\x10\0\x01\x0b\x1f\0\x01r\x26\0\x01k\0\x01v\0\x11", Packet::UnsubAck(packet));
}

#[test]
fn pings() {
    for version in [V311, V5] {
        check(version, b"\xc0\0", Packet::PingReq);
        check(version, b"\xd0\0", Packet::PingResp);
    }
}

/// Section 3.14.2.1 for the short forms.
#[test]
fn disconnect() {
    let packet = |reason| Packet::Disconnect(Disconnect::new(reason));
    check(V311, b"\xe0\0", packet(ReasonCode::Success));
    check(V5, b"\xe0\0", packet(ReasonCode::Success));
    check_long_form(V5, b"\xe0\x01\0", packet(ReasonCode::Success));
    check_long_form(V5, b"\xe0\x02\0\0", packet(ReasonCode::Success));
    check(V5, b"\xe0\x01\x04", packet(ReasonCode::DisconnectWithWill));
    let properties = DisconnectProperties {
        session_expiry_interval: Some(0),
        reason_string: Some(text("r")),
        user_properties: vec![pair("k", "v")],
        server_reference: Some(text("s")),
    };
    check(
        V5,
        b"\xe0\x16\x8e\x14\x11\0\0\0\0\x1f\0\x01r\x26\0\x01k\0\x01v\x1c\0\x01s",
        Packet::Disconnect(Disconnect { reason: ReasonCode::SessionTakenOver, properties }),
    );
}

/// Section 3.15.2.1 for the short form.
#[test]
fn auth() {
    let packet = |reason, properties| Packet::Auth(Box::new(Auth { reason, properties }));
    check(V5, b"\xf0\0", packet(ReasonCode::Success, AuthProperties::default()));
    check_long_form(V5, b"\xf0\x02\0\0", packet(ReasonCode::Success, AuthProperties::default()));
    let properties = AuthProperties {
        authentication_method: Some(text("m")),
        authentication_data: Some(binary(b"\0\x01")),
        reason_string: Some(text("r")),
        user_properties: vec![pair("k", "v")],
    };
    check(
        V5,
        b"\xf0\x16\x18\x14\x15\0\x01m\x16\0\x02\0\x01\x1f\0\x01r\x26\0\x01k\0\x01v",
        packet(ReasonCode::ContinueAuthentication, properties),
    );
}

/// Some 3.1.1 clients always send a remaining length of several bytes.
#[test]
fn a_padded_remaining_length_is_understood_in_3_1_1() {
    assert_eq!(decode(V311, b"\xc0\x80\x80\0").unwrap(), Packet::PingReq);
    let connect = b"\x10\x8c\0\0\x04MQTT\x04\x02\0\x3c\0\0";
    assert!(matches!(decode(V311, connect), Ok(Packet::Connect(_))));
}
