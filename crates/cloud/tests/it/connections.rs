//! The operations about connections (mqtt.md §9): who is connected, to what it subscribed, how it is thrown out, and messages
//! for one client alone.

use std::num::NonZeroU16;
use std::sync::atomic::Ordering;

use broker::Closed;
use cloud::{Identity, Kind};
use mqtt::{Ack, Binary, Connect, Packet, QoS, ReasonCode, Version, Will, WillProperties};
use serde_json::{Value, json};

use crate::device::{Device, packet_id, subscribe, subscription, topic};
use crate::house::{DAWN, Lab, column, everything, hello, statement};

/// A CONNECT of `c` whose session lasts for a minute.
fn lasting() -> Connect {
    let mut connect = hello(Version::V5, "c");
    connect.clean_start = false;
    connect.properties.session_expiry_interval = Some(60);
    connect
}

fn with_will(connect: Connect) -> Connect {
    let payload = Binary::new(&b"gone"[..]).unwrap();
    let properties = WillProperties::default();
    let will = Will { topic: topic("w"), payload, qos: QoS::AtLeastOnce, retain: false, properties };
    Connect { will: Some(will), ..connect }
}

fn c() -> Value {
    json!({"clientId": "c"})
}

/// What `GetConnection` says of `c`, or the error's name.
fn seen(lab: &Lab) -> Value {
    lab.call("GetConnection", c()).unwrap_or_else(|(name, _)| json!(name))
}

#[test]
fn a_connection_is_described_while_it_lasts_and_for_half_an_hour() {
    let lab = Lab::new();
    let id = lab.identity(everything());
    assert_eq!(seen(&lab), "ResourceNotFoundException");
    lab.pass(10);
    let device = lab.device(&id, Version::V311, "c");
    let connected = json!({
        "clientId": "c", "connected": true, "cleanSession": true, "keepAliveDuration": 60, "connectedSince": DAWN + 10,
        "sessionExpiry": 0,
    });
    assert_eq!(seen(&lab), connected);
    let mut with_socket = connected;
    with_socket.as_object_mut().unwrap().extend([
        ("sourceIp".to_owned(), json!("192.0.2.1")),
        ("sourcePort".to_owned(), json!(50_000)),
        ("targetIp".to_owned(), json!("192.0.2.9")),
        ("targetPort".to_owned(), json!(8883)),
    ]);
    assert_eq!(lab.ok("GetConnection", json!({"clientId": "c", "includeSocketInformation": true})), with_socket);
    lab.pass(10);
    device.vanish();
    let gone = json!({
        "clientId": "c", "connected": false, "cleanSession": true, "disconnectedSince": DAWN + 20,
        "disconnectReason": "CONNECTION_LOST",
    });
    lab.pass(30 * 60 * 1000 - 1);
    assert_eq!(seen(&lab), gone);
    lab.pass(1);
    assert_eq!(seen(&lab), "ResourceNotFoundException");
}

#[test]
fn a_session_is_described_for_as_long_as_it_waits() {
    let lab = Lab::new();
    let id = lab.identity(everything());
    let device = lab.device_saying(&id, &lasting());
    assert_eq!((&seen(&lab)["cleanSession"], &seen(&lab)["sessionExpiry"]), (&json!(false), &json!(60)));
    device.give(Packet::Disconnect(mqtt::Disconnect::new(ReasonCode::Success)));
    device.vanish();
    let gone = json!({
        "clientId": "c", "connected": false, "cleanSession": false, "disconnectedSince": DAWN, "sessionExpiry": 60,
        "disconnectReason": "CLIENT_INITIATED_DISCONNECT",
    });
    assert_eq!(seen(&lab), gone);
    let again = lab.restarted();
    again.restore();
    let mut restored = gone;
    restored["disconnectReason"] = json!("UNKNOWN");
    assert_eq!(seen(&again), restored, "why it left was not written down");
}

#[test]
fn the_thing_of_a_connection_is_named() {
    let lab = Lab::new();
    let id = lab.identity(everything());
    lab.ok("CreateThing", json!({"thingName": "c"}));
    let principal = format!("arn:aws:iot:us-east-1:000000000000:cert/{id}");
    lab.ok("AttachThingPrincipal", json!({"thingName": "c", "principal": principal}));
    let _device = lab.device(&id, Version::V5, "c");
    assert_eq!(seen(&lab)["thingName"], "c");
}

#[test]
fn subscriptions_are_listed_page_by_page() {
    let lab = Lab::new();
    let id = lab.identity(everything());
    let device = lab.device_saying(&id, &lasting());
    let mut filters: Vec<String> = (0..45).map(|number| format!("t/{number:02}/+")).collect();
    for filter in &filters {
        device.listen(filter);
    }
    let zero = mqtt::Subscription { qos: QoS::AtMostOnce, ..subscription("$share/g/#") };
    device.give(subscribe([zero]));
    filters.insert(0, "$share/g/#".to_owned());
    device.vanish();
    for (asked, sizes) in [(json!({}), vec![20, 20, 6]), (json!({"maxResults": 46}), vec![46])] {
        let mut input = c();
        input.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
        let pages = lab.pages("ListSubscriptions", input, "subscriptions", ("nextToken", "nextToken"));
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
        let all = json!(pages.concat());
        assert_eq!(column(&all, "topicFilter"), filters, "of who is away too");
        assert_eq!((&all[0]["qos"], &all[1]["qos"]), (&json!(0), &json!(1)));
    }
    assert_eq!(lab.no("ListSubscriptions", json!({"clientId": "nobody"})), "ResourceNotFound");
    assert_eq!(lab.no("ListSubscriptions", json!({"clientId": "c", "nextToken": "x!"})), "InvalidRequest");
}

#[test]
fn a_connection_is_ended_with_its_will_or_without() {
    for (input, heard) in [(json!({}), vec!["w q1 gone"]), (json!({"preventWillMessage": true}), vec![])] {
        let lab = Lab::new();
        let id = lab.identity(everything());
        let watch = lab.device(&id, Version::V5, "watch");
        watch.listen("w");
        let device = lab.device_saying(&id, &with_will(hello(Version::V5, "c")));
        let mut whole = c();
        whole.as_object_mut().unwrap().extend(input.as_object().unwrap().clone());
        lab.ok("DeleteConnection", whole);
        assert_eq!(device.told(), ["DISCONNECT 98"]);
        let closing = seen(&lab);
        assert_eq!(
            (&closing["connected"], &closing["disconnectReason"]),
            (&json!(false), &json!("API_INITIATED_DISCONNECT"))
        );
        device.vanish();
        assert_eq!(watch.told(), heard, "{input}");
        assert_eq!(lab.no("DeleteConnection", c()), "ResourceNotFound");
    }
}

#[test]
fn a_session_outlives_its_connection_unless_it_is_to_go_too() {
    for (clean, connected) in [(false, true), (true, true), (true, false)] {
        let lab = Lab::new();
        let id = lab.identity(everything());
        let device = lab.device_saying(&id, &lasting());
        device.listen("t");
        if connected {
            lab.ok("DeleteConnection", json!({"clientId": "c", "cleanSession": clean}));
            assert_eq!(device.told(), ["DISCONNECT 98"]);
            device.vanish();
        } else {
            device.vanish();
            lab.ok("DeleteConnection", json!({"clientId": "c", "cleanSession": clean}));
        }
        assert_eq!(lab.call("ListSubscriptions", c()).is_ok(), !clean);
        let later = lab.restarted();
        later.restore();
        let session = later.arrive(&id, &lasting()).ok().unwrap();
        let heard = crate::device::heard(&session);
        let Some(Packet::ConnAck(connack)) = heard.first() else { panic!("{heard:?}") };
        assert_eq!(connack.session_present, !clean, "{clean} {connected}");
    }
}

/// A client that subscribed to nothing.
fn receiver(lab: &Lab, connect: &Connect) -> Device {
    lab.device_saying(&lab.identity(everything()), connect)
}

#[test]
fn a_direct_message_needs_no_subscription() {
    let lab = Lab::new();
    let device = receiver(&lab, &hello(Version::V5, "c"));
    let other = lab.device(&lab.identity(everything()), Version::V5, "other");
    other.listen("#");
    let input = json!({
        "clientId": "c", "topic": "a/b", "contentType": "text/plain", "responseTopic": "r", "correlationData": "AAE=",
        "payloadFormatIndicator": "UTF8_DATA", "userProperties": r#"[{"k":"v"}]"#,
    });
    let answer = lab.call_as(Identity::Key("key".to_owned()), "SendDirectMessage", input, b"hello").unwrap();
    assert_eq!(answer.fields()["message"], "OK");
    let heard = device.heard();
    let [Packet::Publish(publish)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((publish.topic.as_ref().unwrap().as_str(), &publish.payload[..]), ("a/b", &b"hello"[..]));
    assert_eq!((publish.qos, publish.retain), (QoS::AtMostOnce, false));
    let properties = publish.properties.as_ref().unwrap();
    assert_eq!(properties.content_type.as_ref().unwrap().as_str(), "text/plain");
    assert_eq!(properties.correlation_data.as_ref().unwrap().as_bytes()[..], [0, 1]);
    assert_eq!((properties.payload_format_indicator, properties.user_properties.len()), (Some(true), 1));
    assert_eq!(other.told(), Vec::<String>::new(), "nobody else hears of it");
}

#[test]
fn a_direct_message_goes_to_who_is_connected_and_may_receive_it() {
    let lab = Lab::new();
    let to = |client_id: &str, topic: &str| json!({"clientId": client_id, "topic": topic});
    receiver(&lab, &lasting()).vanish();
    assert_eq!(lab.no("SendDirectMessage", to("c", "t")), "ResourceNotFound", "a session alone will not do");
    assert_eq!(lab.no("SendDirectMessage", to("nobody", "t")), "ResourceNotFound");
    let mine = json!([statement("Allow", "iot:Connect", &["*"]), statement("Allow", "iot:Receive", &["topic/mine"])]);
    let device = lab.device(&lab.identity(mine), Version::V5, "d");
    lab.events();
    lab.ok("SendDirectMessage", to("d", "mine"));
    assert_eq!(device.told(), ["mine q0 "]);
    assert_eq!(lab.no("SendDirectMessage", to("d", "yours")), "Forbidden");
    let refused = &lab.refusals()[0];
    assert_eq!((refused.action.as_str(), refused.client_id.as_str()), ("iot:Receive", "d"));
    for topic in ["a/+", "", "$aws/events/x", "$SYS/x"] {
        assert_eq!(lab.no("SendDirectMessage", to("d", topic)), "InvalidRequest", "{topic}");
    }
}

#[test]
fn a_confirmed_direct_message_waits_for_its_acknowledgement() {
    for connect in [hello(Version::V311, "c"), hello(Version::V5, "c"), lasting()] {
        let lab = Lab::new();
        let device = receiver(&lab, &connect);
        let input = json!({"clientId": "c", "topic": "t", "confirmation": true});
        let first = lab.send_confirmed(input.clone());
        let second = lab.send_confirmed(input.clone());
        assert_eq!(device.told(), ["t q1 ", "t q1 "]);
        let is_confirmed = || [&first, &second].map(|confirmed| confirmed.load(Ordering::Relaxed));
        device.give(Packet::PubAck(Ack::success(packet_id(9))));
        assert_eq!(is_confirmed(), [false, false], "an acknowledgement of something else");
        device.give(Packet::PubAck(Ack::success(packet_id(2))));
        assert_eq!(is_confirmed(), [false, true]);
        device.give(Packet::PubAck(Ack::success(packet_id(1))));
        assert_eq!(is_confirmed(), [true, true]);
        assert_eq!(lab.no("SendDirectMessage", input), "GatewayTimeout");
    }
}

#[test]
fn a_confirmed_direct_message_waits_its_turn() {
    let lab = Lab::new();
    let mut connect = hello(Version::V5, "c");
    connect.properties.receive_maximum = NonZeroU16::new(1);
    let device = receiver(&lab, &connect);
    device.listen("t");
    let input = json!({"clientId": "c", "topic": "t", "confirmation": true});
    let confirmed = [(); 2].map(|()| lab.send_confirmed(input.clone()));
    assert_eq!(device.told(), ["t q1 "], "[MQTT-3.3.4-9]");
    for number in 1..=2 {
        device.give(Packet::PubAck(Ack::success(packet_id(number))));
        let told: Vec<bool> = confirmed.iter().map(|confirmed| confirmed.load(Ordering::Relaxed)).collect();
        assert_eq!(told, [true, number == 2]);
    }
}

#[test]
fn who_will_never_acknowledge_is_no_longer_waited_for() {
    let lab = Lab::new();
    let device = receiver(&lab, &hello(Version::V5, "c"));
    let confirmed = lab.send_confirmed(json!({"clientId": "c", "topic": "t", "confirmation": true}));
    assert_eq!(std::sync::Arc::strong_count(&confirmed), 2);
    device.vanish();
    assert_eq!(std::sync::Arc::strong_count(&confirmed), 1, "let go of");
    assert!(!confirmed.load(Ordering::Relaxed));
}

#[test]
fn a_device_asks_about_connections_only_if_its_policies_allow_it() {
    let lab = Lab::new();
    let allowed = json!([
        statement("Allow", "iot:Connect", &["client/*"]),
        statement("Allow", "iot:GetConnection", &["client/c"]),
    ]);
    let id = lab.identity(allowed);
    let device = lab.device(&id, Version::V5, "c");
    let ask = |operation: &str, client_id: &str| {
        let identity = Identity::Device { certificate_id: id.clone(), source_ip: "192.0.2.1".to_owned() };
        let input = json!({"clientId": client_id, "topic": "t"});
        lab.call_as(identity, operation, input, b"").map(drop).map_err(|refusal| refusal.error())
    };
    assert_eq!(ask("GetConnection", "c"), Ok(()));
    assert_eq!(ask("GetConnection", "d"), Err("ForbiddenException"));
    for operation in ["DeleteConnection", "ListSubscriptions", "SendDirectMessage"] {
        assert_eq!(ask(operation, "c"), Err("ForbiddenException"), "{operation}");
    }
    assert_eq!(device.closed(), None);
}

#[test]
fn accounts_do_not_see_each_others_connections() {
    let lab = Lab::new();
    let device = receiver(&lab, &hello(Version::V5, "c"));
    let other = lab.elsewhere("000000000001", "us-east-1");
    for operation in ["GetConnection", "DeleteConnection", "ListSubscriptions", "SendDirectMessage"] {
        assert_eq!(other.no(operation, json!({"clientId": "c", "topic": "t"})), "ResourceNotFound", "{operation}");
    }
    assert_eq!(device.closed(), None);
}

#[test]
fn who_is_thrown_out_is_told_as_such() {
    let lab = Lab::new();
    let device = receiver(&lab, &hello(Version::V5, "c"));
    lab.events();
    lab.ok("DeleteConnection", json!({"clientId": "c", "preventWillMessage": true}));
    assert_eq!(device.closed(), Some(Closed::ByOperator { without_will: true }));
    device.vanish();
    let events = lab.events();
    let [Kind::Disconnected { reason, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(*reason, "API_INITIATED_DISCONNECT");
}
