//! Lifecycle events (mqtt.md §10): what is published of clients that come, go and subscribe, and of those that fight for
//! one client id.

use broker::Closed;
use cloud::Kind;
use mqtt::{Filter, Packet, ReasonCode, Unsubscribe, UnsubscribeProperties, Version};
use serde_json::{Value, json};

use crate::device::{Device, heard, packet_id, subscribe, subscription, words};
use crate::house::{DAWN, Lab, everything, hello, statement};

/// A lab and somebody who listens to every event of it.
fn lab() -> (Lab, Device) {
    let lab = Lab::new();
    let id = lab.identity(everything());
    let watch = lab.device(&id, Version::V5, "watch#");
    watch.listen("$aws/events/#");
    (lab, watch)
}

/// The events that waited, each with the end of its topic.
fn told(watch: &Device) -> Vec<(String, Value)> {
    let event = |(topic, payload): (String, String)| {
        (topic.strip_prefix("$aws/events/").unwrap().to_owned(), serde_json::from_str(&payload).unwrap())
    };
    watch.messages().into_iter().map(event).collect()
}

/// The session identifier of an event, which must be a UUID.
fn session(event: &Value) -> String {
    let session = event["sessionIdentifier"].as_str().unwrap();
    assert_eq!(session.len(), 36, "{session}");
    session.to_owned()
}

fn unsubscribe(filters: &[&str]) -> Packet {
    let filters = filters.iter().map(|filter| Filter::try_from(*filter).unwrap()).collect();
    Packet::Unsubscribe(Unsubscribe { packet_id: packet_id(2), filters, properties: UnsubscribeProperties::default() })
}

#[test]
fn a_clients_coming_and_going_are_told_with_every_field() {
    let (lab, watch) = lab();
    let id = lab.identity(everything());
    lab.pass(500);
    let device = lab.device(&id, Version::V311, "c");
    device.give(subscribe(["a", "b/+", "$share/g/c"].map(subscription)));
    device.give(unsubscribe(&["b/+", "never"]));
    lab.pass(500);
    device.give(Packet::Disconnect(mqtt::Disconnect::new(ReasonCode::Success)));
    device.vanish();
    let events = told(&watch);
    let identifier = session(&events[0].1);
    let expected = [
        (
            "presence/connected/c",
            json!({
                "clientId": "c", "timestamp": DAWN + 500, "eventType": "connected", "sessionIdentifier": identifier,
                "principalIdentifier": id, "ipAddress": "192.0.2.1", "versionNumber": 0,
            }),
        ),
        (
            "subscriptions/subscribed/c",
            json!({
                "clientId": "c", "timestamp": DAWN + 500, "eventType": "subscribed", "sessionIdentifier": identifier,
                "principalIdentifier": id, "topics": ["a", "b/+", "$share/g/c"],
            }),
        ),
        (
            "subscriptions/unsubscribed/c",
            json!({
                "clientId": "c", "timestamp": DAWN + 500, "eventType": "unsubscribed", "sessionIdentifier": identifier,
                "principalIdentifier": id, "topics": ["b/+"],
            }),
        ),
        (
            "presence/disconnected/c",
            json!({
                "clientId": "c", "timestamp": DAWN + 1000, "eventType": "disconnected",
                "clientInitiatedDisconnect": true, "sessionIdentifier": identifier, "principalIdentifier": id,
                "disconnectReason": "CLIENT_INITIATED_DISCONNECT", "versionNumber": 0,
            }),
        ),
    ];
    let expected = expected.map(|(topic, event)| (topic.to_owned(), event));
    assert_eq!(events, expected);
}

#[test]
fn what_was_refused_of_a_subscribe_is_not_among_its_topics() {
    let (lab, watch) = lab();
    let allowed = json!([
        statement("Allow", "iot:Connect", &["client/*"]),
        statement("Allow", "iot:Subscribe", &["topicfilter/mine"]),
    ]);
    let device = lab.device(&lab.identity(allowed), Version::V5, "c");
    told(&watch);
    device.give(subscribe(["mine", "yours"].map(subscription)));
    device.give(subscribe([subscription("yours")]));
    device.give(unsubscribe(&["yours"]));
    let events = told(&watch);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].1["topics"], json!(["mine"]));
}

#[test]
fn who_is_not_let_in_is_told_by_the_reason() {
    let (lab, watch) = lab();
    let id = lab.identity(json!([statement("Allow", "iot:Connect", &["client/d"])]));
    assert!(lab.arrive_at_once(&id, &hello(Version::V5, "c")).is_err());
    lab.ok("UpdateCertificate", json!({"certificateId": id, "newStatus": "INACTIVE"}));
    assert!(lab.arrive_at_once(&id, &hello(Version::V5, "c")).is_err());
    let events = told(&watch);
    for (topic, event) in &events {
        let expected = json!({
            "clientId": "c", "timestamp": DAWN, "eventType": "connect_failed", "principalIdentifier": id,
            "connectFailureReason": "AUTHORIZATION_FAILED", "ipAddress": "192.0.2.1",
            "sessionIdentifier": session(event),
        });
        assert_eq!((topic.as_str(), event), ("presence/connect_failed/c", &expected));
    }
    assert_eq!(events.len(), 2);
    assert!(lab.arrive_at_once(&id, &hello(Version::V5, &"x".repeat(129))).is_err());
    assert_eq!(told(&watch).len(), 1, "the certificate comes first");
}

#[test]
fn each_end_has_the_name_that_aws_gives_it() {
    let ends: [(Option<Closed>, &str, bool); 7] = [
        (None, "CONNECTION_LOST", false),
        (Some(Closed::ByClient { with_will: true }), "CLIENT_INITIATED_DISCONNECT", true),
        (Some(Closed::KeepAliveTimeout), "MQTT_KEEP_ALIVE_TIMEOUT", false),
        (Some(Closed::Forbidden(String::new())), "FORBIDDEN_ACCESS", false),
        (Some(Closed::Throttled(String::new())), "THROTTLED", false),
        (Some(Closed::ByOperator { without_will: false }), "API_INITIATED_DISCONNECT", false),
        (Some(Closed::ServerStops), "SERVER_INITIATED_DISCONNECT", false),
    ];
    let (lab, watch) = lab();
    let id = lab.identity(everything());
    for (number, (closed, reason, by_client)) in ends.into_iter().enumerate() {
        let device = lab.device(&id, Version::V5, "c");
        if let Some(closed) = closed {
            device.connection().link().close(closed);
        }
        device.vanish();
        let events = told(&watch);
        let gone = &events[1].1;
        assert_eq!(gone["disconnectReason"], reason);
        assert_eq!(gone["clientInitiatedDisconnect"], by_client, "{reason}");
        assert_eq!((&gone["versionNumber"], &events[0].1["versionNumber"]), (&json!(number), &json!(number)));
        assert_eq!(session(gone), session(&events[0].1));
        lab.pass(1000);
    }
}

#[test]
fn a_takeover_is_told_with_the_versions_of_both() {
    let (lab, watch) = lab();
    let id = lab.identity(everything());
    let old = lab.device(&id, Version::V5, "c");
    lab.pass(1000);
    let new = lab.device(&id, Version::V5, "c");
    old.vanish();
    new.vanish();
    let events: Vec<_> = told(&watch).into_iter().map(|(_, event)| event).collect();
    let of =
        |event: &Value| (event["eventType"].clone(), event["versionNumber"].clone(), event["disconnectReason"].clone());
    let expected = [
        (json!("connected"), json!(0), json!(null)),
        (json!("connected"), json!(1), json!(null)),
        (json!("disconnected"), json!(0), json!("DUPLICATE_CLIENTID")),
        (json!("disconnected"), json!(1), json!("CONNECTION_LOST")),
    ];
    assert_eq!(events.iter().map(of).collect::<Vec<_>>(), expected);
    assert_ne!(session(&events[0]), session(&events[1]));
}

#[test]
fn versions_start_again_an_hour_after_the_client_left() {
    let (lab, watch) = lab();
    let id = lab.identity(everything());
    for (after, version) in [(0, 0), (3_599_999, 1), (3_600_000, 0)] {
        lab.pass(after);
        lab.device(&id, Version::V5, "c").vanish();
        assert_eq!(told(&watch)[0].1["versionNumber"], version, "{after}");
    }
}

#[test]
fn only_a_thing_attached_exclusively_is_named() {
    let (lab, watch) = lab();
    for (kind, named) in [("EXCLUSIVE_THING", json!("lamp")), ("NON_EXCLUSIVE_THING", json!(null))] {
        let id = lab.identity(everything());
        lab.call("CreateThing", json!({"thingName": "lamp"})).unwrap();
        let principal = format!("arn:aws:iot:us-east-1:000000000000:cert/{id}");
        let input = json!({"thingName": "lamp", "principal": principal, "thingPrincipalType": kind});
        lab.ok("AttachThingPrincipal", input);
        let device = lab.device(&id, Version::V5, "lamp");
        device.listen("t");
        device.vanish();
        let named_in: Vec<Value> = told(&watch).iter().map(|(_, event)| event["thingName"].clone()).collect();
        assert_eq!(named_in, vec![named; 3], "{kind}");
        lab.pass(1000);
    }
}

#[test]
fn a_client_id_with_a_wildcard_has_no_events() {
    let (lab, watch) = lab();
    let id = lab.identity(everything());
    for client_id in ["a#", "a+b", "+"] {
        let device = lab.device(&id, Version::V5, client_id);
        device.listen("t");
        device.vanish();
    }
    assert_eq!(told(&watch), []);
}

#[test]
fn a_stored_session_hears_later_of_what_happened_meanwhile() {
    let lab = Lab::new();
    let id = lab.identity(everything());
    let mut connect = hello(Version::V5, "watch");
    connect.properties.session_expiry_interval = Some(60);
    connect.clean_start = false;
    let watch = lab.device_saying(&id, &connect);
    watch.listen("$aws/events/presence/+/c");
    watch.vanish();
    lab.pass(1000);
    lab.device(&id, Version::V5, "c").vanish();
    let watch = lab.arrive(&id, &connect).ok().unwrap();
    lab.go_on(&watch);
    let heard: Vec<String> = heard(&watch).iter().map(words).collect();
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(heard[1].starts_with("$aws/events/presence/connected/c q1 "), "{heard:?}");
    assert!(heard[2].starts_with("$aws/events/presence/disconnected/c q1 "), "{heard:?}");
}

/// The client ids that were told to be fought for, and by whom.
fn fights(lab: &Lab) -> Vec<(String, [String; 2])> {
    let fight = |kind| match kind {
        Kind::TakeoverLoop { client_id, rivals } => Some((client_id, rivals.map(|rival| rival.principal))),
        _ => None,
    };
    lab.events().into_iter().filter_map(fight).collect()
}

#[test]
fn devices_that_fight_for_a_client_id_are_named_once_in_ten_seconds() {
    let lab = Lab::new();
    let rivals = [lab.identity(everything()), lab.identity(everything())];
    let (mut told, mut devices) = (Vec::new(), Vec::new());
    for round in 0..10 {
        // As a device does that comes back two seconds after it was thrown out.
        devices.push(lab.device(&rivals[round % 2], Version::V5, "c"));
        told.extend(fights(&lab).into_iter().map(|fight| (round, fight)));
        lab.pass(2000);
    }
    let [old, new] = [rivals[0].clone(), rivals[1].clone()];
    let fight = ("c".to_owned(), [old, new]);
    assert_eq!(told, [(3, fight.clone()), (8, (fight.0, [fight.1[1].clone(), fight.1[0].clone()]))]);
}

#[test]
fn a_client_that_merely_comes_back_fights_with_nobody() {
    let lab = Lab::new();
    let (id, other) = (lab.identity(everything()), lab.identity(everything()));
    let mut devices = Vec::new();
    for _ in 0..10 {
        devices.push(lab.device(&id, Version::V5, "c"));
        lab.pass(1000);
    }
    for _ in 0..10 {
        lab.device(&other, Version::V5, "d").vanish();
        lab.device(&id, Version::V5, "d").vanish();
        lab.pass(1000);
    }
    for _ in 0..10 {
        devices.push(lab.device(&other, Version::V5, "e"));
        lab.pass(5000);
        devices.push(lab.device(&id, Version::V5, "e"));
        lab.pass(5000);
    }
    assert_eq!(fights(&lab), []);
}
