//! Retained messages through the whole house: kept until replaced or taken away, sent to exactly equal filters only
//! (mqtt.md §6), listed and read over HTTP.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloud::Identity;
use mqtt::{Binary, Packet, PublishProperties, QoS, RetainHandling, Subscription, Text, Version};
use serde_json::{Value, json};

use crate::device::{Device, message, message_1, retained, subscribe, subscription, topic};
use crate::house::{DAWN, Lab, column, everything, statement};

/// A lab with a device that may do everything.
fn lab() -> (Lab, String, Device) {
    let lab = Lab::new();
    let id = lab.identity(everything());
    let device = lab.device(&id, Version::V5, "c");
    (lab, id, device)
}

#[test]
fn a_topic_keeps_its_last_message_until_an_empty_one_takes_it_away() {
    let (_, _, device) = lab();
    let steps: [(Packet, &[&str]); 6] = [
        (retained(message_1(1, "t", "one")), &["PUBACK 1 00", "SUBACK 1 01", "t q1 retain one"]),
        (
            Packet::Publish(message_1(2, "t", "passing")),
            &["t q1 passing", "PUBACK 2 00", "SUBACK 1 01", "t q1 retain one"],
        ),
        (retained(message("t", "two")), &["t q0 two", "SUBACK 1 01", "t q0 retain two"]),
        (retained(message_1(3, "u", "other")), &["PUBACK 3 00", "SUBACK 1 01", "t q0 retain two"]),
        (retained(message_1(4, "t", "")), &["t q1 ", "PUBACK 4 00", "SUBACK 1 01"]), // [MQTT-3.3.1-6]
        (retained(message("t", "")), &["t q0 ", "SUBACK 1 01"]),
    ];
    for (packet, expected) in steps {
        device.give(packet);
        device.give(subscribe([subscription("t")]));
        assert_eq!(device.told(), expected);
    }
}

#[test]
fn only_an_equal_filter_is_sent_what_is_retained() {
    let (lab, id, device) = lab();
    for name in ["a/b", "a/c"] {
        device.give(retained(message_1(1, name, name)));
    }
    device.told();
    let cases: [(&str, &[&str]); 7] = [
        ("a/b", &["a/b q1 retain a/b"]),
        ("a/c", &["a/c q1 retain a/c"]),
        ("a/+", &[]),
        ("a/#", &[]),
        ("#", &[]),
        ("$share/g/a/b", &[]), // [MQTT-3.3.1-9]
        ("A/b", &[]),
    ];
    for version in [Version::V5, Version::V311] {
        for (filter, expected) in cases {
            let subscriber = lab.device(&id, version, "subscriber");
            let told = subscriber.subscribe(filter);
            assert_eq!(told[0], "SUBACK 1 01");
            assert_eq!(told[1..], *expected, "{version:?} {filter}");
        }
    }
}

#[test]
fn what_is_retained_follows_the_suback_in_the_order_of_the_filters() {
    let (_, _, device) = lab();
    for name in ["a", "b"] {
        device.give(retained(message(name, name)));
    }
    device.give(subscribe(["b", "+", "a"].map(subscription)));
    assert_eq!(device.told(), ["SUBACK 1 01 01 01", "b q0 retain b", "a q0 retain a"]);
}

#[test]
fn retain_handling_says_when() {
    let (lab, id, device) = lab();
    device.give(retained(message("t", "x")));
    let cases = [
        (RetainHandling::Send, [1, 1]),      // [MQTT-3.3.1-9]
        (RetainHandling::SendIfNew, [1, 0]), // [MQTT-3.3.1-10]
        (RetainHandling::DoNotSend, [0, 0]), // [MQTT-3.3.1-11]
    ];
    for (retain_handling, expected) in cases {
        let subscriber = lab.device(&id, Version::V5, "subscriber");
        let sent = [(); 2].map(|()| {
            subscriber.give(subscribe([Subscription { retain_handling, ..subscription("t") }]));
            subscriber.messages().len()
        });
        assert_eq!(sent, expected, "{retain_handling:?}");
    }
}

#[test]
fn what_is_retained_comes_with_the_lower_qos() {
    let (_, _, device) = lab();
    device.give(retained(message_1(1, "t", "x")));
    device.told();
    device.give(subscribe([Subscription { qos: QoS::AtMostOnce, ..subscription("t") }]));
    assert_eq!(device.told(), ["SUBACK 1 00", "t q0 retain x"]);
}

#[test]
fn who_subscribed_before_hears_it_as_any_other_message() {
    let (_, _, device) = lab();
    device.listen("t");
    device.give(retained(message("t", "x")));
    assert_eq!(device.told(), ["t q0 x"], "[MQTT-3.3.1-12]");
    let keeping = Subscription { retain_as_published: true, ..subscription("t") };
    device.give(subscribe([keeping]));
    device.told();
    device.give(retained(message("t", "y")));
    assert_eq!(device.told(), ["t q0 retain y"], "[MQTT-3.3.1-13]");
}

#[test]
fn what_may_not_be_received_is_not_sent_on_subscribing() {
    let (lab, _, device) = lab();
    device.give(retained(message("t", "x")));
    let id = lab.identity(json!([
        statement("Allow", "iot:Connect", &["client/*"]),
        statement("Allow", "iot:Subscribe", &["topicfilter/t"])
    ]));
    assert_eq!(lab.device(&id, Version::V5, "d").subscribe("t"), ["SUBACK 1 01"]);
}

#[test]
fn a_refused_filter_is_sent_nothing() {
    let (lab, _, device) = lab();
    device.give(retained(message("t", "x")));
    let id = lab.identity(json!([
        statement("Allow", "iot:Connect", &["client/*"]),
        statement("Allow", "iot:Receive", &["topic/*"])
    ]));
    assert_eq!(lab.device(&id, Version::V5, "d").subscribe("t"), ["SUBACK 1 87"]);
}

/// A device by HTTP.
fn over_http(id: &str) -> Identity {
    Identity::Device { certificate_id: id.to_owned(), source_ip: "192.0.2.1".to_owned() }
}

#[test]
fn retaining_is_a_permission_of_its_own_over_mqtt_and_over_http() {
    let lab = Lab::new();
    let id = lab.identity(json!([
        statement("Allow", "iot:Connect", &["client/*"]),
        statement("Allow", "iot:Publish", &["topic/*"]),
        statement("Allow", "iot:RetainPublish", &["topic/may"]),
    ]));
    let device = lab.device(&id, Version::V5, "c");
    lab.events();
    let over = |name: &str, retain: bool| {
        let input = json!({"topic": name, "retain": retain});
        lab.call_as(over_http(&id), "Publish", input, b"x").map_err(|refusal| refusal.error())
    };
    for (name, retain, allowed) in [("may", true, true), ("not", true, false), ("not", false, true)] {
        device.give(if retain { retained(message_1(1, name, "x")) } else { Packet::Publish(message_1(1, name, "x")) });
        assert_eq!(device.told(), [if allowed { "PUBACK 1 00" } else { "PUBACK 1 87" }], "{name} {retain}");
        assert_eq!(over(name, retain).err(), (!allowed).then_some("ForbiddenException"), "{name} {retain}");
        let told: Vec<String> = lab.refusals().into_iter().map(|no| format!("{} {}", no.action, no.resource)).collect();
        let refused = "iot:RetainPublish arn:aws:iot:us-east-1:000000000000:topic/not";
        assert_eq!(told, if allowed { vec![] } else { vec![refused; 2] });
    }
    assert_eq!(column(&lab.ok("ListRetainedMessages", json!({}))["retainedTopics"], "topic"), ["may"]);
}

#[test]
fn a_retained_message_is_read_over_http_as_it_came() {
    let (lab, _, device) = lab();
    lab.pass(1234);
    device.give(retained(message_1(1, "a/b", "hello")));
    lab.pass(1);
    assert_eq!(
        lab.ok("GetRetainedMessage", json!({"topic": "a/b"})),
        json!({"topic": "a/b", "payload": STANDARD.encode("hello"), "qos": 1, "lastModifiedTime": DAWN + 1234})
    );
    device.give(retained(message("a/b", "")));
    assert_eq!(lab.ok("ListRetainedMessages", json!({})), json!({"retainedTopics": []}));
    for name in ["a/b", "a", "a/+"] {
        assert_eq!(lab.no("GetRetainedMessage", json!({"topic": name})), "ResourceNotFound", "{name}");
    }
}

#[test]
fn retained_messages_are_listed_page_by_page() {
    let (lab, _, device) = lab();
    assert_eq!(lab.ok("ListRetainedMessages", json!({})), json!({"retainedTopics": []}));
    for number in 0..5_u16 {
        device.give(retained(message_1(1, &format!("t/{number}"), "x".repeat(usize::from(number) + 1))));
        lab.pass(10);
    }
    let pages =
        lab.pages("ListRetainedMessages", json!({"maxResults": 2}), "retainedTopics", ("nextToken", "nextToken"));
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    let listed: Vec<Value> = pages.into_iter().flatten().collect();
    let expected =
        |n: i64| json!({"topic": format!("t/{n}"), "payloadSize": n + 1, "qos": 1, "lastModifiedTime": DAWN + n * 10});
    assert_eq!(listed, (0..5).map(expected).collect::<Vec<_>>());
}

#[test]
fn devices_ask_for_retained_messages_over_http_as_their_policies_let_them() {
    let (lab, _, device) = lab();
    for name in ["mine", "other"] {
        device.give(retained(message(name, "x")));
    }
    let reader = lab.identity(json!([statement("Allow", "iot:GetRetainedMessage", &["topic/mine"])]));
    let lister = lab.identity(json!([{"Effect": "Allow", "Action": "iot:ListRetainedMessages", "Resource": "*"}]));
    let cases = [
        (&reader, "GetRetainedMessage", json!({"topic": "mine"}), true),
        (&reader, "GetRetainedMessage", json!({"topic": "other"}), false),
        (&reader, "ListRetainedMessages", json!({}), false),
        (&lister, "ListRetainedMessages", json!({}), true),
        (&lister, "GetRetainedMessage", json!({"topic": "mine"}), false),
    ];
    for (id, operation, input, allowed) in cases {
        let answer = lab.call_as(over_http(id), operation, input.clone(), b"");
        let refused = answer.err().map(|refusal| refusal.error());
        assert_eq!(refused, (!allowed).then_some("ForbiddenException"), "{operation} {input}");
    }
}

fn properties() -> PublishProperties {
    let text = |text: &str| Text::try_from(text).unwrap();
    PublishProperties {
        content_type: Some(text("text/plain")),
        response_topic: Some(topic("answers")),
        correlation_data: Some(Binary::new(&b"\0\xFF"[..]).unwrap()),
        payload_format_indicator: Some(true),
        user_properties: vec![(text("k"), text("2")), (text("k"), text("1")), (text("a"), text(""))],
        ..PublishProperties::default()
    }
}

#[test]
fn a_restart_changes_nothing_about_what_is_retained() {
    let (lab, id, device) = lab();
    let mut full = message_1(1, "full", "hello");
    full.properties = Some(Box::new(properties()));
    device.give(retained(full));
    device.give(retained(message("bytes", [0xFF, 0x00])));
    let lab = lab.restarted();
    let device = lab.device(&id, Version::V5, "c");
    device.give(subscribe(["full", "bytes"].map(subscription)));
    let heard = device.heard();
    let [_, Packet::Publish(full), Packet::Publish(bytes)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(full.properties.as_deref(), Some(&properties()));
    assert_eq!((&full.payload[..], full.qos, full.retain), (&b"hello"[..], QoS::AtLeastOnce, true));
    assert_eq!((&bytes.payload[..], bytes.properties.is_none()), (&[0xFF, 0x00][..], true));
    let listed = lab.ok("GetRetainedMessage", json!({"topic": "full"}))["userProperties"].as_str().unwrap().to_owned();
    let pairs: Value = serde_json::from_slice(&STANDARD.decode(listed).unwrap()).unwrap();
    assert_eq!(pairs, json!([{"k": "2"}, {"k": "1"}, {"a": ""}]));
    let old = lab.device(&id, Version::V311, "old");
    assert_eq!(old.subscribe("full"), ["SUBACK 1 01", "full q1 retain hello"], "3.1.1 gets what it can say");
}

#[test]
fn a_message_retained_over_http_keeps_its_mqtt_5_properties() {
    let (lab, id, _) = lab();
    let input = json!({
        "topic": "t", "qos": 1, "retain": true, "contentType": "text/plain", "responseTopic": "answers",
        "correlationData": STANDARD.encode([0x00, 0xFF]), "payloadFormatIndicator": "UTF8_DATA",
        "userProperties": r#"[{"k":"2"},{"k":"1"},{"a":""}]"#,
    });
    lab.call_as(over_http(&id), "Publish", input, b"hello").unwrap();
    let device = lab.device(&id, Version::V5, "d");
    device.give(subscribe([subscription("t")]));
    let heard = device.heard();
    let [_, Packet::Publish(publish)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(publish.properties.as_deref(), Some(&properties()));
    assert_eq!((publish.qos, publish.retain), (QoS::AtLeastOnce, true));
}

#[test]
fn what_is_retained_over_http_expires_as_over_mqtt() {
    let (lab, id, _) = lab();
    let input = json!({"topic": "t", "retain": true, "messageExpiry": 5});
    lab.call_as(over_http(&id), "Publish", input, b"hello").unwrap();
    lab.pass(2000);
    let device = lab.device(&id, Version::V5, "d");
    device.give(subscribe([subscription("t")]));
    let heard = device.heard();
    let [_, Packet::Publish(publish)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(publish.properties.as_ref().unwrap().message_expiry_interval, Some(3), "[MQTT-3.3.2-6]");
    lab.pass(2999);
    lab.ok("GetRetainedMessage", json!({"topic": "t"}));
    lab.pass(1);
    assert_eq!(device.subscribe("t"), ["SUBACK 1 01"], "[MQTT-3.3.2-5]");
    assert_eq!(lab.no("GetRetainedMessage", json!({"topic": "t"})), "ResourceNotFound");
    assert_eq!(lab.ok("ListRetainedMessages", json!({})), json!({"retainedTopics": []}));
}

#[test]
fn http_holds_a_publication_to_the_rules_of_mqtt() {
    let (lab, id, device) = lab();
    device.listen("t");
    let cases: [(Value, &[u8], Option<&str>); 7] = [
        (json!({"payloadFormatIndicator": "UTF8_DATA"}), b"text", None),
        (json!({"payloadFormatIndicator": "UNSPECIFIED_BYTES"}), b"\xFF", None),
        (json!({"payloadFormatIndicator": "UTF8_DATA"}), b"\xFF", Some("payload")), // [MQTT-3.3.2-4]
        (json!({"responseTopic": "a/b"}), b"", None),
        (json!({"responseTopic": "a/+"}), b"", Some("topic")), // [MQTT-3.3.2-14]
        (json!({"responseTopic": "a/#"}), b"", Some("topic")),
        (json!({"topic": "a/#"}), b"", Some("topic")),
    ];
    for (input, payload, refused) in cases {
        let mut whole = json!({"topic": "t"});
        whole.as_object_mut().unwrap().extend(input.as_object().unwrap().clone());
        let answer = lab.call_as(over_http(&id), "Publish", whole, payload).map(drop);
        assert_eq!(
            answer.as_ref().err().map(wire::Refusal::error),
            refused.map(|_| "InvalidRequestException"),
            "{input}"
        );
        assert!(refused.is_none_or(|word| answer.unwrap_err().message().contains(word)), "{input}");
        assert_eq!(device.told().len(), usize::from(refused.is_none()), "{input}");
    }
}

#[test]
fn a_retained_will_is_kept() {
    let (lab, id, watch) = lab();
    let mut connect = crate::house::hello(Version::V5, "d");
    connect.will = Some(mqtt::Will {
        topic: topic("w"),
        payload: Binary::new(&b"gone"[..]).unwrap(),
        qos: QoS::AtMostOnce,
        retain: true,
        properties: mqtt::WillProperties::default(),
    });
    lab.device_saying(&id, &connect).vanish();
    assert_eq!(watch.subscribe("w"), ["SUBACK 1 01", "w q0 retain gone"]);
}

#[test]
fn accounts_and_regions_retain_for_themselves() {
    let (lab, _, device) = lab();
    device.give(retained(message("t", "home")));
    for (account, region) in [("000000000001", "us-east-1"), ("000000000000", "eu-west-1")] {
        let other = lab.elsewhere(account, region);
        assert_eq!(other.ok("ListRetainedMessages", json!({})), json!({"retainedTopics": []}));
        let id = other.identity(everything());
        let stranger = other.device(&id, Version::V5, "c");
        stranger.listen("t");
        stranger.give(retained(message("t", "away")));
        assert_eq!(stranger.told(), ["t q0 away"]);
    }
    assert_eq!(device.closed(), None, "the same client id elsewhere is another client");
    assert_eq!(device.subscribe("t"), ["SUBACK 1 01", "t q0 retain home"]);
}
