//! Shadows through the whole house: over MQTT topics and over HTTP operations, with what is published about both.
//! What a document becomes is tested in the `shadow` crate; the facts are shadow.md's.

use cloud::Identity;
use mqtt::{Binary, Connect, Packet, QoS, Version, Will, WillProperties};
use serde_json::{Value, json};

use crate::device::{Device, message, message_1, topic};
use crate::house::{DAWN, Lab, everything, hello, statement, text};

const HOUR: i64 = 60 * 60 * 1000;

fn key() -> Identity {
    Identity::Key("key".to_owned())
}

/// A lab, and a device that may do everything and hears all of the shadows of the thing `t`.
fn lab() -> (Lab, Device) {
    let lab = Lab::new();
    let device = lab.device(&lab.identity(everything()), Version::V5, "c");
    device.listen("$aws/things/t/shadow/#");
    (lab, device)
}

/// What was published about `t` but for the requests themselves: the topic below `shadow/`, and the payload.
fn told(device: &Device) -> Vec<(String, Value)> {
    let is_request = |rest: &str| ["get", "update", "delete"].contains(&rest.rsplit('/').next().unwrap());
    let below = |(topic, payload): (String, String)| {
        let rest = topic.strip_prefix("$aws/things/t/shadow/").unwrap().to_owned();
        (!is_request(&rest)).then(|| (rest, serde_json::from_str(&payload).unwrap()))
    };
    device.messages().into_iter().filter_map(below).collect()
}

fn topics(told: &[(String, Value)]) -> Vec<&str> {
    told.iter().map(|(topic, _)| topic.as_str()).collect()
}

/// The three requests over HTTP: the body of the answer, or the error and its message.
fn http(lab: &Lab, identity: Identity, verb: &str, shadow: &str, body: &str) -> Result<Value, (String, String)> {
    let mut input = json!({"thingName": "t"});
    if !shadow.is_empty() {
        input["shadowName"] = json!(shadow);
    }
    let operation = format!("{verb}ThingShadow");
    match lab.call_as(identity, &operation, input, body.as_bytes()) {
        Ok(output) => Ok(serde_json::from_slice(output.payload().unwrap()).unwrap()),
        Err(refusal) => Err((refusal.error().to_owned(), refusal.message().to_owned())),
    }
}

/// The same over MQTT.
fn publish(device: &Device, verb: &str, shadow: &str, body: &str) {
    let place = if shadow.is_empty() { String::new() } else { format!("name/{shadow}/") };
    device.publish(&format!("$aws/things/t/shadow/{place}{}", verb.to_lowercase()), body);
}

#[test]
fn updates_and_deletions_are_told_alike_whichever_way_they_come() {
    let steps = [
        ("Update", r#"{"state":{"desired":{"led":"on"}},"clientToken":"k"}"#),
        ("Update", r#"{"state":{"reported":{"led":"off"}},"version":1}"#),
        ("Update", r#"{"state":{"reported":{"led":"on","list":[1,{"a":2}]}}}"#),
        ("Update", r#"{"state":{"desired":null}}"#),
        ("Delete", ""),
        ("Update", r#"{"state":{}}"#),
    ];
    for shadow in ["", "operation"] {
        let (mqtt, over_mqtt) = lab();
        let (lab, over_http) = lab();
        for (verb, body) in steps {
            publish(&over_mqtt, verb, shadow, body);
            let answer = http(&lab, key(), verb, shadow, body).unwrap();
            let told_by_mqtt = told(&over_mqtt);
            let told_by_http = told(&over_http);
            assert_eq!(told_by_mqtt, told_by_http, "{shadow} {verb} {body}");
            assert_eq!(told_by_http.last().unwrap().1, answer, "the answer is what is accepted");
            for lab in [&mqtt, &lab] {
                lab.pass(1000);
            }
        }
    }
}

#[test]
fn an_update_tells_delta_then_documents_then_accepted() {
    let (_, device) = lab();
    let cases: [(&str, &[&str]); 3] = [
        (r#"{"state":{"desired":{"a":1}}}"#, &["update/delta", "update/documents", "update/accepted"]),
        (r#"{"state":{"reported":{"b":1}}}"#, &["update/delta", "update/documents", "update/accepted"]),
        (r#"{"state":{"reported":{"a":1}}}"#, &["update/documents", "update/accepted"]),
    ];
    for (body, expected) in cases {
        publish(&device, "Update", "", body);
        assert_eq!(topics(&told(&device)), expected, "{body}");
    }
    publish(&device, "Delete", "", "");
    assert_eq!(topics(&told(&device)), ["delete/accepted"]);
}

#[test]
fn the_service_publishes_with_qos_1_and_never_retains() {
    let (_, device) = lab();
    device.give(Packet::Publish(message_1(1, "$aws/things/t/shadow/update", r#"{"state":{"desired":{"a":1}}}"#)));
    device.publish("$aws/things/t/shadow/get", "");
    let told = device.told();
    assert_eq!(told.iter().filter(|words| words.contains("/shadow/")).count(), 6);
    for words in told.iter().filter(|words| words.contains("/update/") || words.contains("/get/")) {
        assert!(words.contains(" q1 {"), "{words}");
    }
}

#[test]
fn a_document_is_got_over_mqtt_as_over_http() {
    let (lab, device) = lab();
    http(&lab, key(), "Update", "", r#"{"state":{"desired":{"led":"on"}}}"#).unwrap();
    told(&device);
    lab.pass(5000);
    let document = http(&lab, key(), "Get", "", "").unwrap();
    assert!(told(&device).is_empty(), "a get over HTTP is told to nobody");
    let at = DAWN / 1000;
    let metadata = json!({"desired": {"led": {"timestamp": at}}});
    let state = json!({"desired": {"led": "on"}, "delta": {"led": "on"}});
    assert_eq!(document, json!({"state": state, "metadata": metadata, "version": 1, "timestamp": at + 5}));
    publish(&device, "Get", "", "");
    assert_eq!(told(&device), [("get/accepted".to_owned(), document)]);
}

#[test]
fn a_refusal_is_published_over_mqtt_and_only_answered_over_http() {
    let missing = "No shadow exists with name: 't'";
    let cases = [
        ("Get", "", "", 404, "ResourceNotFoundException", missing),
        ("Delete", "", "", 404, "ResourceNotFoundException", missing),
        ("Get", "s", "", 404, "ResourceNotFoundException", "No shadow exists with name: 't~s'"),
        ("Update", "", "{", 400, "InvalidRequestException", "Invalid JSON"),
        ("Update", "", "{}", 400, "InvalidRequestException", "Missing required node: state"),
        ("Update", "s", r#"{"state":1}"#, 400, "InvalidRequestException", "State node must be an object"),
        ("Update", "", r#"{"state":{},"version":7}"#, 409, "ConflictException", "Version conflict"),
    ];
    let (lab, device) = lab();
    for (verb, shadow, body, code, error, message) in cases {
        let refused = http(&lab, key(), verb, shadow, body);
        assert_eq!(refused, Err((error.to_owned(), message.to_owned())), "{verb} {body}");
        assert!(device.told().is_empty(), "{verb} {body}");
        publish(&device, verb, shadow, body);
        let place = if shadow.is_empty() { String::new() } else { format!("name/{shadow}/") };
        let rejected = format!("{place}{}/rejected", verb.to_lowercase());
        assert_eq!(told(&device), [(rejected, json!({"code": code, "message": message}))], "{verb} {body}");
        assert_eq!(device.closed(), None);
    }
    assert_eq!(lab.faults(), 0);
}

#[test]
fn a_document_above_the_limit_is_refused_with_413() {
    let (lab, device) = lab();
    let body = |bytes: usize| format!(r#"{{"state":{{"desired":{{"a":"{}"}}}}}}"#, "x".repeat(bytes));
    // 8 KB of compact JSON in the sections (shadow.md §3.7); `{"a":""}` takes eight of them.
    assert!(http(&lab, key(), "Update", "", &body(8 * 1024 - 100)).is_ok());
    let refused = http(&lab, key(), "Update", "", &body(8 * 1024 + 1)).unwrap_err();
    assert_eq!(refused.0, "RequestEntityTooLargeException");
    told(&device);
    publish(&device, "Update", "", &body(8 * 1024 + 1));
    assert_eq!(told(&device)[0].1["code"], 413);
}

#[test]
fn every_accepted_request_raises_the_version_and_a_refused_one_does_not() {
    let (lab, device) = lab();
    for (version, body) in [(1, r#"{"state":{}}"#), (2, r#"{"state":{}}"#), (3, r#"{"state":null}"#)] {
        publish(&device, "Update", "", body);
        assert_eq!(told(&device).pop().unwrap().1["version"], version);
        http(&lab, key(), "Update", "", r#"{"state":{},"version":99}"#).unwrap_err();
    }
    assert_eq!(http(&lab, key(), "Get", "", "").unwrap()["version"], 3);
}

#[test]
fn the_classic_shadow_and_the_named_ones_know_nothing_of_each_other() {
    let (lab, device) = lab();
    let version = |shadow: &str| http(&lab, key(), "Get", shadow, "").map(|document| document["version"].clone());
    for (shadow, updates) in [("", 1), ("a", 2), ("b", 3), ("$package", 4)] {
        for _ in 0..updates {
            publish(&device, "Update", shadow, r#"{"state":{}}"#);
        }
    }
    for (shadow, updates) in [("", 1), ("a", 2), ("b", 3), ("$package", 4)] {
        assert_eq!(version(shadow), Ok(json!(updates)), "{shadow}");
    }
    told(&device);
    http(&lab, key(), "Delete", "a", "").unwrap();
    assert_eq!(topics(&told(&device)), ["name/a/delete/accepted"]);
    assert!(version("a").is_err());
    assert_eq!([version(""), version("b")], [Ok(json!(1)), Ok(json!(3))]);
    http(&lab, key(), "Delete", "", "").unwrap();
    assert_eq!([version("").is_err(), version("b").is_err()], [true, false]);
}

#[test]
fn a_deleted_shadow_remembers_its_version_for_two_days() {
    // The deletion takes a number too (shadow.md §3.5): 2 updates, the deletion, then the next is 4.
    let cases = [(0, 4), (47 * HOUR, 4), (48 * HOUR - 1000, 4), (48 * HOUR + 1000, 1), (1000 * HOUR, 1)];
    for (pause, expected) in cases {
        for shadow in ["", "s"] {
            let (lab, device) = lab();
            for _ in 0..2 {
                http(&lab, key(), "Update", shadow, r#"{"state":{"desired":{"a":1}}}"#).unwrap();
            }
            assert_eq!(http(&lab, key(), "Delete", shadow, "").unwrap()["version"], 2);
            assert!(http(&lab, key(), "Get", shadow, "").is_err());
            lab.pass(pause);
            told(&device);
            let lab = lab.restarted();
            let made = http(&lab, key(), "Update", shadow, r#"{"state":{"reported":{"b":1}}}"#).unwrap();
            assert_eq!(made["version"], expected, "{pause} {shadow}");
            let document = http(&lab, key(), "Get", shadow, "").unwrap();
            assert_eq!(document["state"], json!({"reported": {"b": 1}}), "nothing of the old one is left");
        }
    }
}

#[test]
fn named_shadows_are_listed_page_by_page_without_the_classic_and_the_deleted() {
    let lab = Lab::new();
    let list = || lab.ok("ListNamedShadowsForThing", json!({"thingName": "t"}));
    assert_eq!(list(), json!({"results": [], "timestamp": DAWN / 1000}));
    for shadow in ["", "e", "b", "d", "a", "c", "$package"] {
        http(&lab, key(), "Update", shadow, r#"{"state":{}}"#).unwrap();
    }
    http(&lab, key(), "Delete", "c", "").unwrap();
    lab.call_as(key(), "UpdateThingShadow", json!({"thingName": "t2", "shadowName": "z"}), br#"{"state":{}}"#).unwrap();
    lab.pass(3000);
    assert_eq!(list(), json!({"results": ["$package", "a", "b", "d", "e"], "timestamp": DAWN / 1000 + 3}));
    let input = json!({"thingName": "t", "pageSize": 2});
    let pages = lab.pages("ListNamedShadowsForThing", input, "results", ("nextToken", "nextToken"));
    assert_eq!(json!(pages), json!([["$package", "a"], ["b", "d"], ["e"]]));
    http(&lab, key(), "Update", "c", r#"{"state":{}}"#).unwrap();
    assert!(list()["results"].as_array().unwrap().contains(&json!("c")), "it is back");
}

#[test]
fn a_shadow_needs_no_thing_and_outlives_one() {
    let (lab, device) = lab();
    publish(&device, "Update", "", r#"{"state":{}}"#);
    assert_eq!(lab.no("DescribeThing", json!({"thingName": "t"})), "ResourceNotFound");
    lab.ok("CreateThing", json!({"thingName": "t"}));
    publish(&device, "Update", "", r#"{"state":{}}"#);
    lab.ok("DeleteThing", json!({"thingName": "t"}));
    assert_eq!(http(&lab, key(), "Get", "", "").unwrap()["version"], 2);
}

/// What it is called, the statement, the verb, the shadow, and whether it is allowed.
type Asked<'c> = (&'c str, Value, &'c str, &'c str, bool);

#[test]
fn a_device_over_http_needs_the_action_on_the_thing_or_its_named_shadow() {
    let allow = |action: &str, resource: &str| statement("Allow", action, &[resource]);
    let cases: [Asked; 12] = [
        ("get", allow("iot:GetThingShadow", "thing/t"), "Get", "", true),
        ("update", allow("iot:UpdateThingShadow", "thing/t"), "Update", "", true),
        ("delete", allow("iot:DeleteThingShadow", "thing/t"), "Delete", "", true),
        ("get named", allow("iot:GetThingShadow", "thing/t/s"), "Get", "s", true),
        ("update named", allow("iot:UpdateThingShadow", "thing/t/s"), "Update", "s", true),
        ("delete named", allow("iot:DeleteThingShadow", "thing/t/s"), "Delete", "s", true),
        ("the classic does not open the named", allow("iot:GetThingShadow", "thing/t"), "Get", "s", false),
        ("the named does not open the classic", allow("iot:GetThingShadow", "thing/t/s"), "Get", "", false),
        ("another named", allow("iot:GetThingShadow", "thing/t/s2"), "Get", "s", false),
        ("another action", allow("iot:GetThingShadow", "thing/*"), "Update", "", false),
        ("topics are for MQTT", allow("iot:Publish", "topic/*"), "Update", "", false),
        ("another thing", allow("iot:DeleteThingShadow", "thing/t2"), "Delete", "", false),
    ];
    for (name, statement, verb, shadow, allowed) in cases {
        let lab = Lab::new();
        for shadow in ["", "s"] {
            http(&lab, key(), "Update", shadow, r#"{"state":{}}"#).unwrap();
        }
        let certificate_id = lab.identity(json!([statement]));
        let device = Identity::Device { certificate_id: certificate_id.clone(), source_ip: "192.0.2.1".to_owned() };
        let answer = http(&lab, device, verb, shadow, r#"{"state":{}}"#);
        assert_eq!(answer.err().map(|(error, _)| error), (!allowed).then(|| "ForbiddenException".to_owned()), "{name}");
        let told: Vec<_> = lab.refusals().into_iter().map(|no| (no.principal, no.action, no.resource)).collect();
        let resource = if shadow.is_empty() { "thing/t".to_owned() } else { format!("thing/t/{shadow}") };
        let arn = format!("arn:aws:iot:us-east-1:000000000000:{resource}");
        let refused = (certificate_id, format!("iot:{verb}ThingShadow"), arn);
        assert_eq!(told, if allowed { vec![] } else { vec![refused] }, "{name}");
    }
}

#[test]
fn over_mqtt_the_topic_is_what_policies_are_asked_about() {
    let lab = Lab::new();
    let id = lab.identity(json!([
        statement("Allow", "iot:Connect", &["client/*"]),
        statement("Allow", "iot:Publish", &["topic/$aws/things/t/shadow/update"]),
        statement("Allow", "iot:*ThingShadow", &["thing/*"]),
    ]));
    let device = lab.device(&id, Version::V5, "c");
    let request = |id, name: &str| Packet::Publish(message_1(id, name, r#"{"state":{}}"#));
    for (number, rest) in [(1, "t/shadow/update"), (2, "t/shadow/get"), (3, "t/shadow/name/s/update")] {
        device.give(request(number, &format!("$aws/things/{rest}")));
    }
    assert_eq!(device.told(), ["PUBACK 1 00", "PUBACK 2 87", "PUBACK 3 87"]);
}

#[test]
fn a_device_certificate_opens_the_data_plane_only() {
    let lab = Lab::new();
    let certificate_id = lab.identity(everything());
    let device = || Identity::Device { certificate_id: certificate_id.clone(), source_ip: "192.0.2.1".to_owned() };
    let cases = [
        ("CreateThing", json!({"thingName": "t"})),
        ("ListThings", json!({})),
        ("UpdateCertificate", json!({"certificateId": certificate_id, "newStatus": "REVOKED"})),
        ("DescribeEndpoint", json!({})),
    ];
    for (operation, input) in cases {
        let refused = lab.call_as(device(), operation, input, b"").unwrap_err();
        assert_eq!(refused.error(), "ForbiddenException", "{operation}");
        assert_eq!(lab.refusals()[0].decision, "NOT_DATA_PLANE");
    }
    assert!(http(&lab, device(), "Update", "", r#"{"state":{}}"#).is_ok());
    lab.ok("UpdateCertificate", json!({"certificateId": certificate_id, "newStatus": "INACTIVE"}));
    assert_eq!(http(&lab, device(), "Get", "", "").unwrap_err().0, "ForbiddenException");
    assert_eq!(lab.refusals()[0].decision, "INACTIVE");
}

#[test]
fn the_things_of_two_accounts_or_regions_are_two_things() {
    let (lab, device) = lab();
    publish(&device, "Update", "", r#"{"state":{"reported":{"at":"home"}}}"#);
    told(&device);
    for (account, region) in [("000000000001", "us-east-1"), ("000000000000", "eu-west-1")] {
        let other = lab.elsewhere(account, region);
        assert!(http(&other, key(), "Get", "", "").is_err());
        let stranger = other.device(&other.identity(everything()), Version::V5, "c");
        stranger.listen("$aws/things/t/shadow/#");
        http(&other, key(), "Update", "", r#"{"state":{"reported":{"at":"away"}}}"#).unwrap();
        assert_eq!(topics(&told(&stranger)), ["update/documents", "update/accepted"]);
        assert!(device.told().is_empty());
        publish(&stranger, "Delete", "", "");
    }
    assert_eq!(http(&lab, key(), "Get", "", "").unwrap()["state"], json!({"reported": {"at": "home"}}));
    device.publish("$aws/things/t/shadow/get", "");
    assert_eq!(topics(&told(&device)), ["get/accepted"]);
}

#[test]
fn a_policy_of_another_account_does_not_reach_here() {
    let lab = Lab::new().elsewhere("000000000001", "us-east-1");
    // The statement names resources of the account 000000000000.
    let id = lab.identity(json!([statement("Allow", "iot:*", &["*"])]));
    assert!(lab.arrive(&id, &hello(Version::V5, "c")).is_err());
    assert_eq!(lab.refusals()[0].resource, "arn:aws:iot:us-east-1:000000000001:client/c");
}

#[test]
fn a_will_on_a_shadows_topic_is_heard_and_the_shadow_takes_no_notice() {
    let (lab, device) = lab();
    let body = r#"{"state":{"reported":{"online":false}}}"#;
    let will = Will {
        topic: topic("$aws/things/t/shadow/update"),
        payload: Binary::new(body.as_bytes()).unwrap(),
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: WillProperties::default(),
    };
    let connect = Connect { will: Some(will), ..hello(Version::V311, "d") };
    lab.device_saying(&lab.identity(everything()), &connect).vanish();
    assert_eq!(device.told(), [format!("$aws/things/t/shadow/update q1 {body}")]);
    assert!(http(&lab, key(), "Get", "", "").is_err());
}

#[test]
fn http_publish_to_a_shadows_topic_reaches_the_shadow() {
    let (lab, device) = lab();
    let input = json!({"topic": "$aws/things/t/shadow/update", "qos": 1});
    lab.call_as(key(), "Publish", input, br#"{"state":{"reported":{"a":1}}}"#).unwrap();
    assert_eq!(topics(&told(&device)), ["update/documents", "update/accepted"]);
    assert_eq!(http(&lab, key(), "Get", "", "").unwrap()["version"], 1);
}

#[test]
fn the_services_own_topics_can_be_spoken_on_and_change_nothing() {
    let (lab, device) = lab();
    device.publish("$aws/things/t/shadow/update/accepted", r#"{"state":{"reported":{"a":1}}}"#);
    assert_eq!(topics(&told(&device)), ["update/accepted"]);
    assert!(http(&lab, key(), "Get", "", "").is_err());
}

#[test]
fn answers_go_to_all_who_subscribed_and_may_receive_them() {
    let lab = Lab::new();
    let blind = lab.identity(json!([
        statement("Allow", "iot:Connect", &["client/*"]),
        statement("Allow", "iot:Subscribe", &["topicfilter/*"]),
        statement("Allow", "iot:Receive", &["topic/$aws/things/t/shadow/update/accepted"]),
    ]));
    let all = lab.identity(everything());
    let devices = [(&all, Version::V5, "a"), (&all, Version::V311, "b"), (&blind, Version::V5, "d")];
    let devices = devices.map(|(id, version, client_id)| lab.device(id, version, client_id));
    for device in &devices {
        device.listen("$aws/things/t/shadow/update/+");
    }
    http(&lab, key(), "Update", "", r#"{"state":{"desired":{"a":1}}}"#).unwrap();
    assert_eq!(devices.each_ref().map(|device| told(device).len()), [3, 3, 1]);
}

#[test]
fn a_shadow_is_there_after_a_restart() {
    let (lab, device) = lab();
    publish(&device, "Update", "", r#"{"state":{"desired":{"a":1},"reported":{"a":2}}}"#);
    let before = http(&lab, key(), "Get", "", "").unwrap();
    let lab = lab.restarted();
    assert_eq!(http(&lab, key(), "Get", "", "").unwrap(), before);
    let made = http(&lab, key(), "Update", "", r#"{"state":{"reported":{"a":1}}}"#).unwrap();
    assert_eq!(made["version"], 2);
}

#[test]
fn two_updates_in_one_commit_see_each_other() {
    let (lab, device) = lab();
    let request = |id| Packet::Publish(message_1(id, "$aws/things/t/shadow/update", r#"{"state":{}}"#));
    let jobs: Vec<_> = [request(1), request(2)].into_iter().filter_map(|packet| device.send(packet)).collect();
    lab.commit(jobs).unwrap();
    let versions: Vec<Value> = told(&device)
        .into_iter()
        .filter(|(topic, _)| topic == "update/accepted")
        .map(|(_, accepted)| accepted["version"].clone())
        .collect();
    assert_eq!(versions, [1, 2]);
}

#[test]
fn a_refused_update_does_not_undo_its_neighbours_in_the_commit() {
    let (lab, device) = lab();
    let update = |body: &str| Packet::Publish(message("$aws/things/t/shadow/update", body));
    let packets = [update(r#"{"state":{}}"#), update("{"), update(r#"{"state":{}}"#)];
    let jobs: Vec<_> = packets.into_iter().filter_map(|packet| device.send(packet)).collect();
    lab.commit(jobs).unwrap();
    let told = told(&device);
    let accepted = ["update/documents", "update/accepted"];
    assert_eq!(topics(&told), [&accepted[..], &["update/rejected"], &accepted[..]].concat());
    assert_eq!(text(&told[2].1["message"]), "Invalid JSON");
    assert_eq!(http(&lab, key(), "Get", "", "").unwrap()["version"], 2);
}
