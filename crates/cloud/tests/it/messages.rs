//! The way of a connection and of a message through the whole house: who is let in, what may be published and heard,
//! what the client is told, and what the witness is.

use std::sync::Arc;

use broker::Closed;
use cloud::{Kind, Quotas, Refused};
use mqtt::{
    Ack, Binary, ConnAck, ConnAckProperties, Connect, Packet, Publish, QoS, ReasonCode, SubscribeProperties,
    Subscription, Text, Version, Will, WillProperties,
};
use serde_json::{Value, json};
use store::{Disk, Durability, FaultPlan, Store};

use crate::device::{Device, heard, message, message_1, packet_id, retained, subscribe, subscription, topic, words};
use crate::house::{Lab, everything, hello, statement};

fn will(name: &str) -> Will {
    Will {
        topic: topic(name),
        payload: Binary::new(&b"gone"[..]).unwrap(),
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: WillProperties::default(),
    }
}

/// The CONNACK of a CONNECT, whether it lets in or not.
fn connack(lab: &Lab, certificate_id: &str, connect: &Connect) -> ConnAck {
    match lab.arrive(certificate_id, connect) {
        Err(not_connected) => *not_connected.connack,
        Ok(connection) => match heard(&connection).into_iter().next() {
            Some(Packet::ConnAck(connack)) => *connack,
            other => panic!("{other:?}"),
        },
    }
}

#[test]
fn a_client_id_is_given_where_there_is_none_and_bounded_where_there_is() {
    let (long, longest) = ("x".repeat(129), "x".repeat(128));
    let cases = [
        (Version::V5, true, "", 0x00),
        (Version::V5, false, "", 0x00),
        (Version::V311, true, "", 0x00),
        (Version::V311, false, "", 0x85), // [MQTT-3.1.3-8]
        (Version::V311, false, "c", 0x00),
        (Version::V5, true, &longest, 0x00),
        (Version::V5, true, &long, 0x85),
        (Version::V311, true, &long, 0x85),
        (Version::V5, true, "$c", 0x85),
        (Version::V5, true, "$GEN/00000000-0000-4000-8000-000000000000", 0x85),
        (Version::V5, true, "c+#/ü", 0x00),
    ];
    let lab = Lab::new();
    let id = lab.identity(everything());
    for (version, clean_start, client_id, expected) in cases {
        let connack = connack(&lab, &id, &Connect { clean_start, ..hello(version, client_id) });
        assert_eq!(connack.reason.code(), expected, "{version:?} {clean_start} {client_id}");
        let refused: Vec<String> = lab.refusals().into_iter().map(|refused| refused.decision).collect();
        assert_eq!(refused, if expected == 0 { vec![] } else { vec!["CLIENT_ID"] }, "{client_id}");
        let given = connack.properties.assigned_client_identifier;
        let is_given = given.is_some_and(|given| given.as_str().starts_with("$GEN/") && given.len() == 41);
        assert_eq!(is_given, version == Version::V5 && client_id.is_empty());
    }
}

#[test]
fn given_client_ids_differ() {
    let lab = Lab::new();
    let id = lab.identity(everything());
    let connections = [(); 2].map(|()| lab.arrive(&id, &hello(Version::V311, "")).ok().unwrap());
    assert_ne!(connections[0].client_id(), connections[1].client_id());
    assert_eq!(connections[0].link().closed(), None);
}

#[test]
fn a_keep_alive_outside_the_bounds_is_put_at_the_nearer_end_and_none_at_the_far_one() {
    let lab = Lab::new();
    let id = lab.identity(everything());
    let cases = [(0, 1200), (1, 30), (29, 30), (30, 30), (31, 31), (1199, 1199), (1200, 1200), (1201, 1200)];
    for (asked, given) in cases.into_iter().chain([(u16::MAX, 1200)]) {
        for version in [Version::V5, Version::V311] {
            let connection = lab.arrive(&id, &Connect { keep_alive: asked, ..hello(version, "c") }).ok().unwrap();
            assert!((connection.patience().unwrap() - f32::from(given) * 1.5).abs() < 0.01, "{asked}: [MQTT-3.1.2-22]");
            let Some(Packet::ConnAck(connack)) = heard(&connection).into_iter().next() else { panic!("no CONNACK") };
            let told = (version == Version::V5).then_some(given);
            assert_eq!(connack.properties.server_keep_alive, told, "{asked}");
        }
    }
}

#[test]
fn the_connack_of_mqtt_5_says_what_aws_says() {
    let lab = Lab::new();
    let id = lab.identity(everything());
    let expected = ConnAckProperties {
        receive_maximum: std::num::NonZeroU16::new(100),
        maximum_qos: Some(QoS::AtLeastOnce),
        retain_available: Some(true),
        maximum_packet_size: std::num::NonZeroU32::new(149_504),
        topic_alias_maximum: Some(8),
        wildcard_subscription_available: Some(true),
        subscription_identifiers_available: Some(false),
        shared_subscription_available: Some(true),
        server_keep_alive: Some(60),
        ..ConnAckProperties::default()
    };
    let connack_5 = connack(&lab, &id, &hello(Version::V5, "c"));
    assert_eq!((connack_5.session_present, connack_5.properties), (false, expected));
    assert_eq!(connack(&lab, &id, &hello(Version::V311, "c")).properties, ConnAckProperties::default());
}

/// What it is called, the statements beside one that allows nothing else, the CONNECT, the reason code, and the
/// action and resource that are refused.
type Arrivals<'c> = (&'c str, Vec<Value>, Connect, u8, &'c str);

fn persistent(version: Version) -> Connect {
    let mut connect = Connect { clean_start: false, ..hello(version, "c") };
    connect.properties.session_expiry_interval = (version == Version::V5).then_some(60);
    connect
}

fn with_will(change: impl FnOnce(&mut Will)) -> Connect {
    let mut will = will("w");
    change(&mut will);
    Connect { will: Some(will), ..hello(Version::V5, "c") }
}

fn check_arrivals(cases: Vec<Arrivals>) {
    for (name, statements, connect, expected, refused) in cases {
        let lab = Lab::new();
        let id = lab.identity(json!(statements));
        let connack = connack(&lab, &id, &connect);
        assert_eq!(connack.reason.code(), expected, "{name}");
        let told: Vec<String> = lab.refusals().into_iter().map(|no| format!("{} {}", no.action, no.resource)).collect();
        let arn = |refused: &str| refused.replace(' ', " arn:aws:iot:us-east-1:000000000000:");
        assert_eq!(told, if refused.is_empty() { vec![] } else { vec![arn(refused)] }, "{name}");
    }
}

#[test]
fn policies_are_asked_about_the_client_and_its_will() {
    let connect = || statement("Allow", "iot:Connect", &["client/c"]);
    let publish = || statement("Allow", "iot:Publish", &["topic/w"]);
    let retain = || statement("Allow", "iot:RetainPublish", &["topic/w"]);
    let plain = || hello(Version::V5, "c");
    let mut with_auth = plain();
    with_auth.properties.authentication_method = Some(Text::try_from("SCRAM").unwrap());
    check_arrivals(vec![
        ("as itself", vec![connect()], plain(), 0x00, ""),
        ("as another", vec![connect()], hello(Version::V5, "d"), 0x87, "iot:Connect client/d"),
        ("as another, 3.1.1", vec![connect()], hello(Version::V311, "d"), 0x87, "iot:Connect client/d"),
        ("with a will", vec![connect(), publish()], with_will(|_| {}), 0x00, ""),
        ("with a will it may not publish", vec![connect()], with_will(|_| {}), 0x87, "iot:Publish topic/w"),
        ("retained", vec![connect(), publish(), retain()], with_will(|w| w.retain = true), 0x00, ""),
        (
            "retained and not allowed",
            vec![connect(), publish()],
            with_will(|w| w.retain = true),
            0x87,
            "iot:RetainPublish topic/w",
        ),
        (
            "with a will of QoS 2",
            vec![connect(), publish()],
            with_will(|w| w.qos = QoS::ExactlyOnce),
            0x9B,
            "iot:Connect client/c",
        ),
        ("with enhanced authentication", vec![connect()], with_auth, 0x8C, "iot:Connect client/c"),
    ]);
}

#[test]
fn conditions_see_whether_a_session_would_persist_and_has_a_will() {
    let when = |effect: &str, operator: &str, key: &str, value: Value| {
        let mut conditional = statement(effect, "iot:Connect", &["client/*"]);
        conditional["Condition"] = json!({ operator: { key: value } });
        conditional
    };
    let publish = || statement("Allow", "iot:Publish", &["topic/*"]);
    let attributes = "iot:ConnectAttributes";
    let plain_only = || vec![when("Allow", "ForAllValues:StringEquals", attributes, json!([])), publish()];
    let persistent_only =
        || vec![when("Allow", "ForAnyValue:StringEquals", attributes, json!(["PersistentConnect"])), publish()];
    let not_persistent = || {
        vec![
            statement("Allow", "iot:Connect", &["client/*"]),
            when("Deny", "ForAnyValue:StringEquals", attributes, json!(["PersistentConnect"])),
            publish(),
        ]
    };
    let will_to = |topic: &str| {
        let arn = format!("arn:aws:iot:us-east-1:000000000000:topic/{topic}");
        vec![when("Allow", "ArnEquals", "iot:LastWillTopic", json!(arn)), publish()]
    };
    let mut unclean = hello(Version::V5, "c");
    unclean.clean_start = false;
    let no = "iot:Connect client/c";
    check_arrivals(vec![
        ("plain", plain_only(), hello(Version::V5, "c"), 0x00, ""),
        ("plain, 3.1.1", plain_only(), hello(Version::V311, "c"), 0x00, ""),
        ("not clean, yet gone at once", plain_only(), unclean, 0x00, ""),
        ("persistent where only plain", plain_only(), persistent(Version::V5), 0x87, no),
        ("persistent where only plain, 3.1.1", plain_only(), persistent(Version::V311), 0x87, no),
        ("a will where only plain", plain_only(), with_will(|_| {}), 0x87, no),
        ("persistent where it must be", persistent_only(), persistent(Version::V5), 0x00, ""),
        ("plain where persistent", persistent_only(), hello(Version::V5, "c"), 0x87, no),
        ("persistent where denied", not_persistent(), persistent(Version::V311), 0x87, no),
        ("a will where persistence is denied", not_persistent(), with_will(|_| {}), 0x00, ""),
        ("a will to the right topic", will_to("w"), with_will(|_| {}), 0x00, ""),
        ("a will to a wrong topic", will_to("elsewhere"), with_will(|_| {}), 0x87, no),
    ]);
}

#[test]
fn a_client_that_asked_to_persist_is_told_for_how_long_and_finds_its_session() {
    let lab = Lab::new();
    let id = lab.identity(everything());
    let mut connect = persistent(Version::V5);
    let first = connack(&lab, &id, &connect);
    assert_eq!((first.session_present, first.properties.session_expiry_interval), (false, Some(60)));
    connect.clean_start = false;
    connect.properties.session_expiry_interval = Some(u32::MAX);
    let second = connack(&lab, &id, &connect);
    // AWS keeps no session for more than seven days.
    assert_eq!((second.session_present, second.properties.session_expiry_interval), (true, Some(604_800)));
}

#[test]
fn a_refusal_in_the_connack_has_words_unless_they_are_not_wanted() {
    let lab = Lab::new();
    let id = lab.identity(json!([statement("Allow", "iot:Connect", &["client/c"])]));
    let mut connect = hello(Version::V5, "d");
    let reason = connack(&lab, &id, &connect).properties.reason_string;
    assert!(reason.unwrap().as_str().starts_with("iot:Connect on arn:aws:iot:us-east-1:000000000000:client/d"));
    connect.properties.request_problem_information = Some(false);
    assert_eq!(connack(&lab, &id, &connect).properties.reason_string, None); // [MQTT-3.1.2-29]
}

#[test]
fn the_newer_connection_closes_the_older_of_its_client_id() {
    for (version, told) in [(Version::V5, vec!["DISCONNECT 8e"]), (Version::V311, vec![])] {
        let lab = Lab::new();
        let (id, other) = (lab.identity(everything()), lab.identity(everything()));
        let watch = lab.device(&other, Version::V5, "watch");
        watch.listen("w");
        let old = lab.device_saying(&id, &Connect { will: Some(will("w")), ..hello(version, "c") });
        let new = lab.device(&other, Version::V311, "c");
        new.listen("t");
        assert_eq!(old.told(), told, "{version:?}: [MQTT-3.1.4-3]");
        assert_eq!(old.closed(), Some(Closed::TakenOver));
        lab.events();
        old.vanish();
        assert_eq!(watch.told(), ["w q1 gone"], "the will of the old one is due");
        let ends = lab.events();
        assert!(matches!(&ends[..], [Kind::Disconnected { reason: "DUPLICATE_CLIENTID", .. }]), "{ends:?}");
        watch.publish("t", "x");
        assert_eq!(new.told(), ["t q0 x"], "the new one stays subscribed");
    }
}

#[test]
fn a_denied_publish_is_told_as_its_version_and_qos_can() {
    let cases: [(Version, Publish, &[&str], bool); 4] = [
        (Version::V5, message_1(7, "no", "x"), &["PUBACK 7 87"], false),
        (Version::V5, message("no", "x"), &["DISCONNECT 87"], true),
        (Version::V311, message_1(7, "no", "x"), &[], true),
        (Version::V311, message("no", "x"), &[], true),
    ];
    let lab = Lab::new();
    let listener = lab.device(&lab.identity(everything()), Version::V5, "listener");
    listener.listen("#");
    let id = lab.identity(json!([
        statement("Allow", "iot:Connect", &["client/*"]),
        statement("Allow", "iot:Publish", &["topic/yes"])
    ]));
    for (version, publish, expected, closes) in cases {
        let device = lab.device(&id, version, "c");
        device.give(Packet::Publish(publish));
        let heard = device.heard();
        assert_eq!(heard.iter().map(words).collect::<Vec<_>>(), expected, "{version:?}");
        let reason = heard.iter().find_map(|packet| match packet {
            Packet::PubAck(ack) => ack.properties.reason_string.clone(),
            Packet::Disconnect(disconnect) => disconnect.properties.reason_string.clone(),
            _ => None,
        });
        let text = "iot:Publish on arn:aws:iot:us-east-1:000000000000:topic/no is not allowed: IMPLICIT_DENY";
        assert_eq!(reason, (version == Version::V5).then(|| Text::try_from(text).unwrap()));
        assert_eq!(matches!(device.closed(), Some(Closed::Forbidden(_))), closes);
        assert_eq!(device.closed().is_some(), closes);
    }
    assert!(listener.told().is_empty());
}

#[test]
fn a_denied_filter_is_refused_and_the_others_are_granted() {
    let lab = Lab::new();
    let id = lab.identity(json!([
        statement("Allow", "iot:Connect", &["client/*"]),
        statement("Allow", "iot:Subscribe", &["topicfilter/a/*", "topicfilter/$share/g/b"]),
        statement("Allow", "iot:Receive", &["topic/*"]),
    ]));
    let publisher = lab.device(&lab.identity(everything()), Version::V5, "publisher");
    for (version, expected) in [(Version::V5, "SUBACK 1 01 87 01 87 01"), (Version::V311, "SUBACK 1 01 80 01 80 01")] {
        let device = lab.device(&id, version, "c");
        // In a policy `+` and `#` are literal, and `*` takes them in (security.md §3.3).
        let filters = ["a/#", "b/#", "a/+/x", "b", "$share/g/b"].map(subscription);
        device.give(subscribe(filters));
        assert_eq!(device.told(), [expected]);
        let topics = ["a/1", "b/1", "b"];
        for name in topics {
            publisher.publish(name, "x");
        }
        assert_eq!(device.told(), ["a/1 q0 x", "b q0 x"]);
        assert_eq!(device.closed(), None);
    }
}

#[test]
fn a_share_opens_no_filter_that_is_denied_and_the_filter_is_what_is_told() {
    let lab = Lab::new();
    let id = lab.identity(json!([
        statement("Allow", "iot:Connect", &["client/*"]),
        statement("Allow", "iot:Subscribe", &["topicfilter/*"]),
        statement("Deny", "iot:Subscribe", &["topicfilter/secret/*", "topicfilter/$share/closed/*"]),
    ]));
    let device = lab.device(&id, Version::V5, "c");
    let told = |filter: &str| {
        let answer = device.subscribe(filter);
        let named = |refused: Refused| refused.resource.split_once(":topicfilter/").unwrap().1.to_owned();
        (answer, lab.refusals().into_iter().map(named).collect::<Vec<_>>())
    };
    for (filter, named) in [
        ("secret/a", Some("secret/a")),
        ("$share/g/secret/a", Some("secret/a")),
        ("$share/closed/a", Some("$share/closed/a")),
        ("$share/g/a", None),
    ] {
        let answer = if named.is_some() { "SUBACK 1 87" } else { "SUBACK 1 01" };
        let named: Vec<String> = named.into_iter().map(str::to_owned).collect();
        assert_eq!(told(filter), (vec![answer.to_owned()], named), "{filter}");
    }
}

#[test]
fn what_may_not_be_received_is_dropped_without_a_word_to_its_client() {
    let lab = Lab::new();
    let id = lab.identity(json!([
        statement("Allow", "iot:Connect", &["client/*"]),
        statement("Allow", "iot:Subscribe", &["topicfilter/*"]),
        statement("Allow", "iot:Receive", &["topic/open/*", "topicfilter/secret/*"]),
    ]));
    let device = lab.device(&id, Version::V5, "c");
    device.listen("#");
    let publisher = lab.device(&lab.identity(everything()), Version::V5, "publisher");
    lab.events();
    publisher.give(Packet::Publish(message_1(1, "secret/1", "x")));
    publisher.give(Packet::Publish(message_1(2, "open/1", "y")));
    assert_eq!(device.told(), ["open/1 q1 y"]);
    assert_eq!(publisher.told(), ["PUBACK 1 00", "PUBACK 2 00"]);
    let told: Vec<(String, String)> = lab.refusals().into_iter().map(|it| (it.client_id, it.action)).collect();
    assert_eq!(told, [("c".to_owned(), "iot:Receive".to_owned())]);
}

#[test]
fn reserved_topics_are_refused_with_an_event_that_says_why() {
    let cases = [
        ("$aws/commands/things/t/executions/e/response/json", "NOT_BUILT", "commands is not built yet"),
        ("$aws/rules/r", "RESERVED_TOPIC", "topics that begin with $ are reserved"),
        ("$aws/things/t/jobs/get", "NOT_BUILT", "jobs over MQTT is not built yet"),
        ("$aws/certificates/create/json", "NOT_BUILT", "fleet provisioning is not built yet"),
        ("$aws/things/t/defender/metrics/json", "NOT_BUILT", "Device Defender is not built yet"),
        ("$SYS/uptime", "RESERVED_TOPIC", "topics that begin with $ are reserved"),
        ("$aws/events/presence/connected/c", "RESERVED_TOPIC", "topics that begin with $ are reserved"),
        ("$aws/things/t/shadow/elsewhere", "RESERVED_TOPIC", "topics that begin with $ are reserved"),
        ("$aws/things/a b/shadow/update", "RESERVED_TOPIC", "topics that begin with $ are reserved"),
        ("$", "RESERVED_TOPIC", "topics that begin with $ are reserved"),
    ];
    let lab = Lab::new();
    let id = lab.identity(everything());
    let device = lab.device(&id, Version::V5, "c");
    lab.events();
    for (name, decision, reason) in cases {
        device.give(Packet::Publish(message_1(1, name, "{}")));
        assert_eq!(device.told(), ["PUBACK 1 90"], "{name}");
        let refusals = lab.refusals();
        let [refused] = &refusals[..] else { panic!("{name}: {refusals:?}") };
        assert_eq!((refused.decision.as_str(), refused.reason.as_str()), (decision, reason), "{name}");
        assert_eq!(refused.resource, format!("arn:aws:iot:us-east-1:000000000000:topic/{name}"));
    }
    device.give(retained(message_1(1, "$aws/things/t/shadow/update", "{}")));
    assert_eq!(device.told(), ["PUBACK 1 90"]);
    assert_eq!(lab.refusals()[0].reason, "nothing is retained on reserved topics");
    let old = lab.device(&id, Version::V311, "old");
    old.publish("$aws/rules/r", "x");
    assert!(matches!(old.closed(), Some(Closed::ClientError { reason: ReasonCode::TopicNameInvalid, .. })));
}

#[test]
fn a_payload_of_128_kib_passes_and_a_byte_more_ends_the_connection() {
    let lab = Lab::new();
    let id = lab.identity(everything());
    let listener = lab.device(&id, Version::V5, "listener");
    listener.listen("t");
    let publisher = lab.device(&id, Version::V5, "c");
    publisher.give(Packet::Publish(message_1(1, "t", vec![b'x'; 131_072])));
    assert_eq!(publisher.told(), ["PUBACK 1 00"]);
    assert_eq!(listener.heard().len(), 1);
    publisher.give(Packet::Publish(message_1(2, "t", vec![b'x'; 131_073])));
    assert_eq!(publisher.told().first().map(String::as_str), Some("DISCONNECT 95"));
    assert!(matches!(publisher.closed(), Some(Closed::ClientError { .. })));
    assert!(listener.heard().is_empty());
}

/// A topic at AWS's bounds and one beyond, for bytes and for slashes.
fn topics_at_the_bounds() -> [(String, bool); 4] {
    [
        ("t".repeat(256), true),
        ("t".repeat(257), false),
        ("a/b/c/d/e/f/g/h".to_owned(), true),
        ("a/b/c/d/e/f/g/h/i".to_owned(), false),
    ]
}

#[test]
fn topics_are_as_long_as_the_quota_profile_lets_them() {
    for quotas in [Quotas::Off, Quotas::Warn, Quotas::Aws] {
        let lab = Lab::over(Store::in_memory(), quotas);
        let id = lab.identity(everything());
        let listener = lab.device(&id, Version::V5, "listener");
        listener.listen("#");
        let device = lab.device(&id, Version::V5, "c");
        lab.events();
        for (name, within) in topics_at_the_bounds() {
            device.give(Packet::Publish(message_1(1, &name, "x")));
            let passes = within || quotas != Quotas::Aws;
            assert_eq!(device.told(), [if passes { "PUBACK 1 00" } else { "PUBACK 1 90" }], "{quotas:?} {name}");
            assert_eq!(listener.heard().len(), usize::from(passes), "{quotas:?} {name}");
            let warned = lab.events().iter().any(|kind| matches!(kind, Kind::Quota { .. }));
            assert_eq!(warned, !within && quotas == Quotas::Warn, "{quotas:?} {name}");
        }
    }
}

#[test]
fn filters_are_counted_without_the_prefix_of_their_group() {
    for quotas in [Quotas::Off, Quotas::Warn, Quotas::Aws] {
        let lab = Lab::over(Store::in_memory(), quotas);
        let id = lab.identity(everything());
        let device = lab.device(&id, Version::V5, "c");
        for (name, within) in topics_at_the_bounds() {
            for filter in [name.clone(), format!("$share/a-group/{name}")] {
                let granted = within || quotas != Quotas::Aws;
                assert_eq!(
                    device.subscribe(&filter),
                    [if granted { "SUBACK 1 01" } else { "SUBACK 1 8f" }],
                    "{filter}"
                );
            }
        }
    }
}

#[test]
fn a_will_is_as_bound_to_its_topic_as_a_message() {
    let cases = [
        (Quotas::Off, "$aws/things/t/jobs/get", false, Some("NOT_BUILT")),
        (Quotas::Off, "$aws/rules/r/a", false, None),
        (Quotas::Off, "$mine", false, None),
        (Quotas::Warn, "$SYS/uptime", false, Some("RESERVED_TOPIC")),
        (Quotas::Off, "$aws/things/t/shadow/update", true, Some("RESERVED_TOPIC")),
        (Quotas::Off, "$aws/things/t/shadow/update", false, None),
        (Quotas::Aws, "a/b/c/d/e/f/g/h/i", false, Some("QUOTA")),
        (Quotas::Warn, "a/b/c/d/e/f/g/h/i", false, None),
    ];
    for (quotas, name, retain, decision) in cases {
        let lab = Lab::over(Store::in_memory(), quotas);
        let id = lab.identity(everything());
        let connect = Connect { will: Some(Will { retain, ..will(name) }), ..hello(Version::V5, "c") };
        let expected = if decision.is_some() { ReasonCode::TopicNameInvalid } else { ReasonCode::Success };
        assert_eq!(connack(&lab, &id, &connect).reason, expected, "{quotas:?} {name}");
        let told: Vec<String> = lab.refusals().into_iter().map(|refused| refused.decision).collect();
        assert_eq!(told, decision.into_iter().collect::<Vec<_>>(), "{quotas:?} {name}");
    }
}

#[test]
fn a_topic_over_http_is_bound_as_over_mqtt() {
    for quotas in [Quotas::Off, Quotas::Warn, Quotas::Aws] {
        let lab = Lab::over(Store::in_memory(), quotas);
        for (name, within) in topics_at_the_bounds() {
            let answer = lab.call("Publish", json!({ "topic": name }));
            assert_eq!(answer.is_ok(), within || quotas != Quotas::Aws, "{quotas:?} {name}");
            let warned = lab.events().iter().any(|kind| matches!(kind, Kind::Quota { .. }));
            assert_eq!(warned, !within && quotas == Quotas::Warn, "{quotas:?} {name}");
        }
        lab.events();
        assert!(lab.call("Publish", json!({"topic": "$aws/things/t/jobs/get"})).is_err());
        assert_eq!(lab.refusals().pop().map(|refused| refused.decision).as_deref(), Some("NOT_BUILT"));
    }
}

#[test]
fn a_closed_connection_is_not_heard_any_more() {
    let lab = Lab::new();
    let id = lab.identity(everything());
    let listener = lab.device(&id, Version::V5, "listener");
    listener.listen("t");
    let device = lab.device(&id, Version::V5, "c");
    device.connection().link().close(Closed::ServerStops);
    device.publish("t", "late");
    assert!(listener.heard().is_empty());
}

fn update(id: u16, thing: &str, state: &str) -> Packet {
    let payload = format!(r#"{{"state":{{"reported":{state}}}}}"#);
    Packet::Publish(message_1(id, &format!("$aws/things/{thing}/shadow/update"), payload))
}

#[test]
fn what_follows_a_shadow_update_waits_with_it_at_the_desk() {
    let lab = Lab::new();
    let denied = statement("Deny", "iot:Publish", &["topic/no"]);
    let id = lab.identity(json!([everything()[0], denied]));
    let listener = lab.device(&id, Version::V5, "listener");
    for filter in ["#", "$aws/things/t/shadow/#"] {
        listener.listen(filter);
    }
    let device = lab.device(&id, Version::V5, "c");
    let jobs: Vec<_> = [
        update(1, "t", "{}"),
        Packet::Publish(message_1(2, "plain", "x")),
        Packet::Publish(message_1(3, "no", "x")),
        Packet::Publish(message("plain", "y")),
    ]
    .into_iter()
    .filter_map(|packet| device.send(packet))
    .collect();
    assert_eq!(jobs.len(), 3);
    assert!(device.told().is_empty(), "nothing is durable yet");
    assert!(listener.told().is_empty());
    let other = lab.device(&id, Version::V5, "other");
    other.publish("plain", "of another");
    assert_eq!(listener.told(), ["plain q0 of another"], "others do not wait");
    lab.commit(jobs).unwrap();
    assert_eq!(device.told(), ["PUBACK 1 00", "PUBACK 2 00", "PUBACK 3 87"], "[MQTT-4.6.0-2]");
    let topics: Vec<String> = listener.messages().into_iter().map(|(topic, _)| topic).collect();
    let shadow = ["update", "update/documents", "update/accepted"].map(|rest| format!("$aws/things/t/shadow/{rest}"));
    assert_eq!(topics[..3], shadow);
    assert_eq!(topics[3..], ["plain", "plain"]);
    assert!(device.send(Packet::Publish(message_1(4, "plain", "z"))).is_none(), "the desk is clear again");
    assert_eq!(device.told(), ["PUBACK 4 00"]);
}

#[test]
fn a_connection_with_a_hundred_publications_at_the_desk_is_busy() {
    let lab = Lab::new();
    let device = lab.device(&lab.identity(everything()), Version::V5, "c");
    let mut jobs = Vec::new();
    for number in 1..=100 {
        assert!(!device.connection().is_busy());
        jobs.extend(device.send(update(number, "t", "{}")));
    }
    assert!(device.connection().is_busy());
    assert_eq!(jobs.len(), 100);
    lab.commit(jobs).unwrap();
    assert!(!device.connection().is_busy());
    assert_eq!(device.told().len(), 100);
}

/// Tries until the disk takes it.
fn insist(lab: &Lab, operation: &str, input: Value) -> Value {
    std::iter::repeat_with(|| lab.call(operation, input.clone())).find_map(Result::ok).unwrap()
}

#[test]
fn what_is_not_on_disk_is_neither_acknowledged_nor_told() {
    let disk = Disk::new(FaultPlan { seed: 1, refuse_one_in: 3, ..FaultPlan::default() });
    let lab = Lab::over(disk.open(Durability::Durable), Quotas::Aws);
    let made = insist(&lab, "CreateKeysAndCertificate", json!({"setAsActive": true}));
    let document = json!({"Version": "2012-10-17", "Statement": everything()}).to_string();
    insist(&lab, "CreatePolicy", json!({"policyName": "p", "policyDocument": document}));
    insist(&lab, "AttachPolicy", json!({"policyName": "p", "target": made["certificateArn"]}));
    let id = made["certificateId"].as_str().unwrap();
    let listener = lab.device(id, Version::V311, "listener");
    listener.listen("$aws/things/t/shadow/#");
    listener.listen("kept");
    let mut outcomes = [0, 0];
    for round in 0..40 {
        let (version, told) = if round % 2 == 0 { (Version::V5, vec!["PUBACK 1 80"]) } else { (Version::V311, vec![]) };
        let device = lab.device(id, version, "c");
        let packet = if round % 4 < 2 { update(1, "t", "{}") } else { retained(message_1(1, "kept", "x")) };
        let committed = lab.commit(device.send(packet));
        outcomes[usize::from(committed.is_ok())] += 1;
        if committed.is_ok() {
            assert_eq!(device.told(), ["PUBACK 1 00"]);
            assert!(!listener.heard().is_empty());
        } else {
            assert_eq!(device.told(), told);
            let owned_up = matches!(device.closed(), Some(Closed::ServerFault(_)));
            assert_eq!(owned_up, version == Version::V311, "3.1.1 has no other word for it");
            assert!(listener.told().is_empty());
        }
    }
    assert!(outcomes[0] > 5 && outcomes[1] > 5, "{outcomes:?}");
}

#[test]
fn one_commit_that_fails_fails_all_that_waited_for_it() {
    let disk = Disk::new(FaultPlan { seed: 3, break_one_in: 8, ..FaultPlan::default() });
    let mut lab = Lab::over(disk.open(Durability::Durable), Quotas::Aws);
    let id = loop {
        // A disk that breaks while the lab is set up is opened again.
        let made = lab.call("CreateKeysAndCertificate", json!({"setAsActive": true}));
        let document = json!({"Version": "2012-10-17", "Statement": everything()}).to_string();
        let policy = lab.call("CreatePolicy", json!({"policyName": "p", "policyDocument": document}));
        let known = policy.is_ok() || policy.is_err_and(|(error, _)| error.starts_with("ResourceAlreadyExists"));
        if let (Ok(made), true) = (made, known) {
            let attach = json!({"policyName": "p", "target": made["certificateArn"]});
            if lab.call("AttachPolicy", attach).is_ok() {
                break made["certificateId"].as_str().unwrap().to_owned();
            }
        }
        lab = lab.reopened(disk.open(Durability::Durable));
    };
    let devices = ["a", "b"].map(|client_id| lab.device(&id, Version::V5, client_id));
    for _ in 0..100 {
        let jobs: Vec<_> = devices.iter().filter_map(|device| device.send(update(1, "t", "{}"))).collect();
        let committed = lab.commit(jobs);
        let expected = [if committed.is_ok() { "PUBACK 1 00" } else { "PUBACK 1 80" }];
        for device in &devices {
            assert_eq!(device.told(), expected);
        }
        if committed.is_err() {
            return;
        }
    }
    panic!("the disk never broke");
}

#[test]
fn a_refusal_event_names_who_what_on_what_and_the_statement_that_said_so() {
    let lab = Lab::new();
    let mut deny = statement("Deny", "iot:Publish", &["topic/secret"]);
    deny["Sid"] = json!("KeepQuiet");
    let id = lab.identity(json!([everything()[0], deny]));
    let device = lab.device(&id, Version::V5, "c");
    lab.events();
    device.give(Packet::Publish(message_1(1, "secret", "x")));
    let refusals = lab.refusals();
    let [refused] = &refusals[..] else { panic!("{refusals:?}") };
    let Refused { client_id, principal, action, resource, decision, statement, reason, peer, .. } = refused;
    assert_eq!((client_id.as_str(), principal), ("c", &id));
    assert_eq!((action.as_str(), decision.as_str()), ("iot:Publish", "EXPLICIT_DENY"));
    assert_eq!(resource, "arn:aws:iot:us-east-1:000000000000:topic/secret");
    assert_eq!(statement, &format!("{id}#1 (KeepQuiet)"));
    assert!(reason.contains("KeepQuiet"), "{reason}");
    assert_eq!(peer, "192.0.2.1:50000");
    let other = lab.identity(json!([self::statement("Allow", "iot:Connect", &["client/*"])]));
    let device = lab.device(&other, Version::V5, "d");
    device.subscribe("t");
    let refused = lab.refusals().remove(0);
    assert_eq!((refused.decision.as_str(), refused.statement.as_str()), ("IMPLICIT_DENY", ""));
    assert_eq!(refused.resource, "arn:aws:iot:us-east-1:000000000000:topicfilter/t");
}

#[test]
fn a_certificate_without_standing_is_refused_by_its_status() {
    let lab = Lab::new();
    for (status, decision) in [("INACTIVE", "INACTIVE"), ("REVOKED", "REVOKED")] {
        let id = lab.identity(everything());
        lab.ok("UpdateCertificate", json!({"certificateId": id, "newStatus": status}));
        assert_eq!(connack(&lab, &id, &hello(Version::V5, "c")).reason, ReasonCode::NotAuthorized);
        assert_eq!(lab.refusals()[0].decision, decision);
    }
    assert_eq!(connack(&lab, &"0".repeat(64), &hello(Version::V5, "c")).reason, ReasonCode::NotAuthorized);
    assert_eq!(lab.refusals()[0].decision, "UNKNOWN_CERTIFICATE");
}

#[test]
fn what_the_connack_declined_ends_the_connection() {
    let with_identifier = || {
        let properties = SubscribeProperties {
            subscription_identifier: mqtt::SubscriptionId::new(5),
            ..SubscribeProperties::default()
        };
        let Packet::Subscribe(subscribe) = subscribe([subscription("t")]) else { panic!("not a SUBSCRIBE") };
        Packet::Subscribe(mqtt::Subscribe { properties, ..subscribe })
    };
    let qos_2 = Publish { qos: QoS::ExactlyOnce, ..message_1(1, "t", "x") };
    let cases = [
        (with_identifier(), "DISCONNECT a1"),
        (Packet::Publish(qos_2), "DISCONNECT 9b"),
        (Packet::Connect(Box::new(hello(Version::V5, "c"))), "DISCONNECT 82"),
    ];
    let lab = Lab::new();
    let id = lab.identity(everything());
    for (packet, expected) in cases {
        let device = lab.device(&id, Version::V5, "c");
        device.give(packet);
        assert_eq!(device.told(), [expected]);
    }
}

#[test]
fn no_local_with_a_shared_subscription_ends_the_connection() {
    let lab = Lab::new();
    let device = lab.device(&lab.identity(everything()), Version::V5, "c");
    device.give(subscribe([Subscription { no_local: true, ..subscription("$share/g/t") }]));
    assert_eq!(device.told(), ["DISCONNECT 82"], "[MQTT-3.8.3-4]");
}

#[test]
fn a_device_leaves_quietly_and_is_missed_otherwise() {
    let ends: [(Option<Packet>, &[&str], &str); 4] = [
        (Some(disconnect(ReasonCode::Success)), &[], "CLIENT_INITIATED_DISCONNECT"),
        (Some(disconnect(ReasonCode::DisconnectWithWill)), &["w q1 gone"], "CLIENT_INITIATED_DISCONNECT"),
        (Some(disconnect(ReasonCode::UnspecifiedError)), &["w q1 gone"], "CLIENT_INITIATED_DISCONNECT"),
        (None, &["w q1 gone"], "CONNECTION_LOST"),
    ];
    for (packet, expected, named) in ends {
        let lab = Lab::new();
        let id = lab.identity(everything());
        let watch = lab.device(&id, Version::V5, "watch");
        watch.listen("w");
        let device = lab.device_saying(&id, &with_will(|_| {}));
        lab.events();
        if let Some(packet) = packet {
            device.give(packet);
        }
        device.vanish();
        assert_eq!(watch.told(), expected);
        let events = lab.events();
        let [Kind::Disconnected { reason, client_id, .. }] = &events[..] else { panic!("{events:?}") };
        assert_eq!((*reason, client_id.as_str()), (named, "c"));
    }
}

fn disconnect(reason: ReasonCode) -> Packet {
    Packet::Disconnect(mqtt::Disconnect::new(reason))
}

#[test]
fn a_permission_taken_away_holds_for_the_next_message() {
    let lab = Lab::new();
    let (id, arn) = lab.certificate();
    let document = |statements: Value| json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    let connect = statement("Allow", "iot:Connect", &["client/*"]);
    for (name, statements) in [("base", json!([connect])), ("more", everything())] {
        lab.ok("CreatePolicy", json!({"policyName": name, "policyDocument": document(statements)}));
        lab.ok("AttachPolicy", json!({"policyName": name, "target": arn}));
    }
    let device = lab.device(&id, Version::V5, "c");
    device.listen("t");
    let publisher = lab.device(&lab.identity(everything()), Version::V5, "publisher");
    publisher.publish("t", "1");
    assert_eq!(device.told(), ["t q0 1"]);
    lab.ok("DetachPolicy", json!({"policyName": "more", "target": arn}));
    publisher.publish("t", "2");
    device.give(Packet::Publish(message_1(1, "t", "3")));
    assert_eq!(device.told(), ["PUBACK 1 87"], "it stays connected, and no more");
    lab.ok("AttachPolicy", json!({"policyName": "more", "target": arn}));
    publisher.publish("t", "4");
    assert_eq!(device.told(), ["t q0 4"], "its subscription had stayed");
}

#[test]
fn a_message_a_client_acknowledges_makes_room_for_the_next() {
    let lab = Lab::new();
    let id = lab.identity(everything());
    let mut connect = hello(Version::V5, "c");
    connect.properties.receive_maximum = std::num::NonZeroU16::new(1);
    let device: Device = lab.device_saying(&id, &connect);
    device.listen("t");
    let publisher = lab.device(&id, Version::V5, "publisher");
    for number in 1..=2 {
        publisher.give(Packet::Publish(message_1(number, "t", number.to_string())));
    }
    assert_eq!(device.told(), ["t q1 1"], "[MQTT-3.3.4-9]");
    device.give(Packet::PubAck(Ack::success(packet_id(1))));
    assert_eq!(device.told(), ["t q1 2"]);
    assert_eq!(Arc::strong_count(device.connection()), 1, "nothing at the desk holds it");
}

#[test]
fn a_client_that_insists_is_told_of_fifty_times_a_second() {
    let lab = Lab::new();
    let id = lab.identity(json!([statement("Allow", "iot:Connect", &["*"])]));
    let device = lab.device(&id, Version::V5, "c");
    lab.events();
    for _ in 0..200 {
        device.give(Packet::Publish(message_1(1, "t", "x")));
    }
    assert_eq!(device.told().len(), 200, "every one is answered");
    assert_eq!(lab.refusals().len(), 50);
    lab.pass(1000);
    device.give(Packet::Publish(message_1(1, "t", "x")));
    assert_eq!(lab.refusals().len(), 1);
}
