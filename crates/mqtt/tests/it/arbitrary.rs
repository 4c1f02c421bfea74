//! Strategies for packets that may be sent: every type, every property, either version.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use mqtt::{
    Ack, AckProperties, Auth, AuthProperties, Binary, ConnAck, ConnAckProperties, Connect, ConnectProperties,
    Disconnect, DisconnectProperties, Filter, Packet, Publish, PublishProperties, QoS, ReasonCode, RetainHandling,
    SubAck, Subscribe, SubscribeProperties, Subscription, SubscriptionId, Text, Topic, TopicAlias, UnsubAck,
    Unsubscribe, UnsubscribeProperties, Version, Will, WillProperties,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use crate::{filter, text, topic};

fn texts() -> BoxedStrategy<Text> {
    "[a-z/\u{e9}\u{1f600}]{0,12}".prop_map(|string| text(&string)).boxed()
}

fn binaries() -> BoxedStrategy<Binary> {
    vec(any::<u8>(), 0..20).prop_map(|bytes| Binary::new(bytes).unwrap()).boxed()
}

fn topics() -> BoxedStrategy<Topic> {
    "[a-z/$\u{e9}]{1,12}".prop_map(|string| topic(&string)).boxed()
}

fn filters() -> BoxedStrategy<Filter> {
    (any::<bool>(), vec("[a-z]{0,3}|\\+", 1..4), any::<bool>())
        .prop_map(|(shared, mut levels, multi)| {
            if multi || levels == [""] {
                levels.push("#".to_owned());
            }
            filter(&format!("{}{}", if shared { "$share/g/" } else { "" }, levels.join("/")))
        })
        .boxed()
}

fn pairs() -> BoxedStrategy<Vec<(Text, Text)>> {
    vec((texts(), texts()), 0..3).boxed()
}

fn ids() -> BoxedStrategy<NonZeroU16> {
    any::<NonZeroU16>().boxed()
}

fn qoses() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn codes(codes: &'static [u8]) -> BoxedStrategy<ReasonCode> {
    select(codes).prop_map(|code| ReasonCode::from_code(code).unwrap()).boxed()
}

/// A strategy's values in MQTT 5, and the default in 3.1.1.
fn only5<T: Default + Clone + std::fmt::Debug + 'static>(
    version: Version,
    strategy: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    if version == Version::V5 { strategy.boxed() } else { Just(T::default()).boxed() }
}

/// A method, and data only with it.
fn methods() -> BoxedStrategy<(Option<Text>, Option<Binary>)> {
    of((texts(), of(binaries())))
        .prop_map(|both| both.map_or((None, None), |(method, data)| (Some(method), data)))
        .boxed()
}

prop_compose! {
    fn connect_properties()(
        numbers in (of(any::<u32>()), of(any::<NonZeroU16>()), of(any::<NonZeroU32>()), of(any::<u16>())),
        flags in (of(any::<bool>()), of(any::<bool>())),
        user_properties in pairs(),
        (authentication_method, authentication_data) in methods(),
    ) -> ConnectProperties {
        ConnectProperties {
            session_expiry_interval: numbers.0,
            receive_maximum: numbers.1,
            maximum_packet_size: numbers.2,
            topic_alias_maximum: numbers.3,
            request_response_information: flags.0,
            request_problem_information: flags.1,
            user_properties, authentication_method, authentication_data,
        }
    }
}

prop_compose! {
    fn connack_properties()(
        numbers in (of(any::<u32>()), of(any::<NonZeroU16>()), of(any::<NonZeroU32>()), of(any::<u16>()), of(any::<u16>())),
        flags in (of(any::<bool>()), of(any::<bool>()), of(any::<bool>()), of(any::<bool>())),
        maximum_qos in of(select(vec![QoS::AtMostOnce, QoS::AtLeastOnce])),
        words in (of(texts()), of(texts()), of(texts()), of(texts())),
        user_properties in pairs(),
        (authentication_method, authentication_data) in methods(),
    ) -> ConnAckProperties {
        ConnAckProperties {
            session_expiry_interval: numbers.0,
            receive_maximum: numbers.1,
            maximum_qos,
            retain_available: flags.0,
            maximum_packet_size: numbers.2,
            assigned_client_identifier: words.0,
            topic_alias_maximum: numbers.3,
            reason_string: words.1,
            user_properties,
            wildcard_subscription_available: flags.1,
            subscription_identifiers_available: flags.2,
            shared_subscription_available: flags.3,
            server_keep_alive: numbers.4,
            response_information: words.2,
            server_reference: words.3,
            authentication_method, authentication_data,
        }
    }
}

prop_compose! {
    fn publish_properties()(
        payload_format_indicator in of(any::<bool>()),
        message_expiry_interval in of(any::<u32>()),
        topic_alias in of(ids().prop_map(TopicAlias)),
        response_topic in of(topics()),
        correlation_data in of(binaries()),
        user_properties in pairs(),
        numbers in vec(1..=268_435_455_u32, 0..3),
        content_type in of(texts()),
    ) -> PublishProperties {
        let subscription_identifiers = numbers.into_iter().filter_map(SubscriptionId::new).collect();
        PublishProperties {
            payload_format_indicator, message_expiry_interval, topic_alias, response_topic, correlation_data,
            user_properties, subscription_identifiers, content_type,
        }
    }
}

prop_compose! {
    fn will_properties()(
        will_delay_interval in of(any::<u32>()),
        payload_format_indicator in of(any::<bool>()),
        message_expiry_interval in of(any::<u32>()),
        content_type in of(texts()),
        response_topic in of(topics()),
        correlation_data in of(binaries()),
        user_properties in pairs(),
    ) -> WillProperties {
        WillProperties {
            will_delay_interval, payload_format_indicator, message_expiry_interval, content_type, response_topic,
            correlation_data, user_properties,
        }
    }
}

prop_compose! {
    fn ack_properties()(reason_string in of(texts()), user_properties in pairs()) -> AckProperties {
        AckProperties { reason_string, user_properties }
    }
}

prop_compose! {
    fn wills(version: Version)(
        topic in topics(),
        payload in binaries(),
        qos in qoses(),
        retain in any::<bool>(),
        properties in only5(version, will_properties()),
    ) -> Will {
        Will { topic, payload, qos, retain, properties }
    }
}

prop_compose! {
    fn connects(version: Version)(
        clean_start in any::<bool>(),
        keep_alive in any::<u16>(),
        client_id in texts(),
        will in of(wills(version)),
        username in of(texts()),
        password in of(binaries()),
        properties in only5(version, connect_properties()),
    ) -> Packet {
        let password = password.filter(|_| version == Version::V5 || username.is_some());
        Packet::Connect(Box::new(Connect { version, clean_start, keep_alive, client_id, will, username, password, properties }))
    }
}

fn connack_codes(version: Version) -> BoxedStrategy<ReasonCode> {
    match version {
        Version::V311 => codes(&[0, 0x84, 0x85, 0x86, 0x87, 0x88]),
        Version::V5 => codes(&[0, 0x80, 0x81, 0x85, 0x87, 0x97, 0x9F]),
    }
}

prop_compose! {
    fn connacks(version: Version)(
        present in any::<bool>(),
        reason in connack_codes(version),
        properties in only5(version, connack_properties()),
    ) -> Packet {
        let session_present = present && reason == ReasonCode::Success;
        Packet::ConnAck(Box::new(ConnAck { session_present, reason, properties }))
    }
}

prop_compose! {
    /// Messages that have all they need, the identifier included.
    pub(crate) fn publishes(version: Version)(
        (dup, retain) in any::<(bool, bool)>(),
        qos in qoses(),
        topic in topics(),
        with_topic in any::<bool>(),
        packet_id in ids(),
        properties in only5(version, of(publish_properties())),
        payload in vec(any::<u8>(), 0..300),
    ) -> Publish {
        let properties = properties.filter(|p| *p != PublishProperties::default());
        let aliased = properties.as_ref().is_some_and(|p| p.topic_alias.is_some());
        let has_id = qos != QoS::AtMostOnce;
        Publish {
            dup: dup && has_id,
            qos,
            retain,
            topic: (with_topic || !aliased).then_some(topic),
            packet_id: has_id.then_some(packet_id),
            properties: properties.map(Box::new),
            payload: Bytes::from(payload),
        }
    }
}

prop_compose! {
    fn acks(version: Version, list: &'static [u8])(
        packet_id in ids(),
        reason in codes(list),
        properties in only5(version, ack_properties()),
    ) -> Ack {
        let reason = if version == Version::V5 { reason } else { ReasonCode::Success };
        Ack { packet_id, reason, properties }
    }
}

prop_compose! {
    fn subscriptions(version: Version)(
        filter in filters(),
        qos in qoses(),
        (no_local, retain_as_published) in only5(version, any::<(bool, bool)>()),
        handling in only5(version, 0..3_u8),
    ) -> Subscription {
        let retain_handling = [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend][usize::from(handling)];
        let no_local = no_local && filter.share_name().is_none();
        Subscription { filter, qos, no_local, retain_as_published, retain_handling }
    }
}

prop_compose! {
    fn subscribes(version: Version)(
        packet_id in ids(),
        subscriptions in vec(subscriptions(version), 1..4),
        number in only5(version, 0..=268_435_455_u32),
        user_properties in only5(version, pairs()),
    ) -> Packet {
        let properties = SubscribeProperties { subscription_identifier: SubscriptionId::new(number), user_properties };
        Packet::Subscribe(Subscribe { packet_id, subscriptions, properties })
    }
}

fn suback_codes(version: Version) -> BoxedStrategy<ReasonCode> {
    match version {
        Version::V311 => codes(&[0, 1, 2, 0x80]),
        Version::V5 => codes(&[0, 1, 2, 0x80, 0x87, 0x8F, 0xA2]),
    }
}

prop_compose! {
    fn subacks(version: Version)(
        packet_id in ids(),
        reasons in vec(suback_codes(version), 1..5),
        properties in only5(version, ack_properties()),
    ) -> Packet {
        Packet::SubAck(SubAck { packet_id, reasons, properties })
    }
}

prop_compose! {
    fn unsubscribes(version: Version)(
        packet_id in ids(),
        filters in vec(filters(), 1..4),
        user_properties in only5(version, pairs()),
    ) -> Packet {
        Packet::Unsubscribe(Unsubscribe { packet_id, filters, properties: UnsubscribeProperties { user_properties } })
    }
}

prop_compose! {
    fn unsubacks(version: Version)(
        packet_id in ids(),
        reasons in only5(version, vec(codes(&[0, 0x11, 0x80, 0x8F]), 1..5)),
        properties in only5(version, ack_properties()),
    ) -> Packet {
        Packet::UnsubAck(UnsubAck { packet_id, reasons, properties })
    }
}

prop_compose! {
    fn disconnects(version: Version)(
        reason in codes(&[0, 4, 0x81, 0x8E, 0x98, 0xA2]),
        session_expiry_interval in only5(version, of(any::<u32>())),
        (reason_string, server_reference) in only5(version, (of(texts()), of(texts()))),
        user_properties in only5(version, pairs()),
    ) -> Packet {
        let reason = if version == Version::V5 { reason } else { ReasonCode::Success };
        let properties = DisconnectProperties { session_expiry_interval, reason_string, user_properties, server_reference };
        Packet::Disconnect(Disconnect { reason, properties })
    }
}

prop_compose! {
    fn auths()(
        reason in codes(&[0, 0x18, 0x19]),
        method in texts(),
        authentication_data in of(binaries()),
        reason_string in of(texts()),
        user_properties in pairs(),
    ) -> Packet {
        let authentication_method = Some(method);
        let properties = AuthProperties { authentication_method, authentication_data, reason_string, user_properties };
        Packet::Auth(Box::new(Auth { reason, properties }))
    }
}

/// Any packet that may be sent in that version.
pub(crate) fn packets(version: Version) -> BoxedStrategy<Packet> {
    const PUBLISH: &[u8] = &[0, 0x10, 0x80, 0x87, 0x97];
    const RELEASE: &[u8] = &[0, 0x92];
    let common = prop_oneof![
        3 => connects(version),
        2 => connacks(version),
        5 => publishes(version).prop_map(Packet::Publish),
        1 => acks(version, PUBLISH).prop_map(Packet::PubAck),
        1 => acks(version, PUBLISH).prop_map(Packet::PubRec),
        1 => acks(version, RELEASE).prop_map(Packet::PubRel),
        1 => acks(version, RELEASE).prop_map(Packet::PubComp),
        2 => subscribes(version),
        1 => subacks(version),
        1 => unsubscribes(version),
        1 => unsubacks(version),
        1 => select(vec![Packet::PingReq, Packet::PingResp]),
        1 => disconnects(version),
    ];
    match version {
        Version::V311 => common.boxed(),
        Version::V5 => prop_oneof![18 => common, 1 => auths()].boxed(),
    }
}

/// Few enough cases for every run, and the same each time.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(0x6d71_7474),
        ..ProptestConfig::default()
    }
}
