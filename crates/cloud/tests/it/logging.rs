//! The platform's own logs: what is set comes back, what is asked for is told in its group with AWS's fields, and nothing else.

use mqtt::{Packet, QoS, ReasonCode, Version};
use serde_json::{Map, Value, json};

use crate::device::{message, packet_id, subscribe, subscription};
use crate::house::{Lab, everything, hello, statement, text};

const ROLE: &str = "arn:aws:iam::000000000000:role/logs";

/// A lab that logs from this level on.
fn lab(level: &str) -> Lab {
    let lab = Lab::new();
    lab.ok("SetV2LoggingOptions", json!({"roleArn": ROLE, "defaultLogLevel": level}));
    lab
}

/// Every entry of a group, as JSON.
fn entries_of(lab: &Lab, group: &str) -> Vec<Map<String, Value>> {
    lab.tick().unwrap();
    let Ok(found) = lab.call("FilterLogEvents", json!({"logGroupName": group})) else { return Vec::new() };
    let entries = found["events"].as_array().unwrap().iter();
    entries.map(|event| serde_json::from_str(event["message"].as_str().unwrap()).unwrap()).collect()
}

fn entries(lab: &Lab) -> Vec<Map<String, Value>> {
    entries_of(lab, "AWSIotLogsV2")
}

/// The kind and outcome of every entry, with its topic if it has one.
fn told(lab: &Lab) -> Vec<String> {
    let word = |entry: &Map<String, Value>, field: &str| entry.get(field).map(text).unwrap_or_default();
    let told = entries(lab).into_iter().map(|entry| {
        let words = ["eventType", "status", "topicName"].map(|field| word(&entry, field));
        words.join(" ").trim_end().to_owned()
    });
    told.collect()
}

#[test]
fn nothing_is_logged_until_somebody_asks() {
    let lab = Lab::new();
    let id = lab.identity(everything());
    lab.device(&id, Version::V311, "c").publish("a", "x");
    assert!(entries(&lab).is_empty());
    assert_eq!(lab.rows("log_groups"), 0);
    assert_eq!(lab.no("GetV2LoggingOptions", json!({})), "NotConfigured");
    assert_eq!(lab.no("ListV2LoggingLevels", json!({})), "NotConfigured");
    let level = json!({"logTarget": {"targetType": "CLIENT_ID", "targetName": "c"}, "logLevel": "INFO"});
    assert_eq!(lab.no("SetV2LoggingLevel", level), "NotConfigured");
    assert_eq!(lab.no("SetV2LoggingOptions", json!({"defaultLogLevel": "INFO"})), "InvalidRequest");
    assert_eq!(lab.ok("GetLoggingOptions", json!({})), json!({"logLevel": "DISABLED"}));
}

#[test]
fn options_come_back_as_they_were_set_and_what_is_not_given_stays() {
    let lab = lab("WARN");
    let events = json!([{"eventType": "Connect", "logLevel": "DEBUG", "logDestination": "connects"}]);
    lab.ok("SetV2LoggingOptions", json!({"eventConfigurations": events}));
    let expected =
        json!({"roleArn": ROLE, "defaultLogLevel": "WARN", "disableAllLogs": false, "eventConfigurations": events});
    assert_eq!(lab.ok("GetV2LoggingOptions", json!({})), expected);
    let verbose = lab.ok("GetV2LoggingOptions", json!({"verbose": true}));
    assert!(verbose["eventConfigurations"].as_array().unwrap().len() > 10);
    let other = json!({"eventConfigurations": [{"eventType": "Ping", "logLevel": "INFO"}]});
    assert_eq!(lab.no("SetV2LoggingOptions", other), "NotImplemented");
    let older = json!({"loggingOptionsPayload": {"roleArn": "other", "logLevel": "ERROR"}});
    lab.ok("SetLoggingOptions", older);
    assert_eq!(lab.ok("GetLoggingOptions", json!({})), json!({"roleArn": "other", "logLevel": "ERROR"}));
    assert_eq!(lab.ok("GetV2LoggingOptions", json!({}))["defaultLogLevel"], "ERROR");
}

#[test]
fn levels_of_targets_are_set_listed_and_deleted() {
    let lab = lab("ERROR");
    let target = |kind: &str, name: &str| json!({"targetType": kind, "targetName": name});
    let set = |kind, name, level| json!({"logTarget": target(kind, name), "logLevel": level});
    lab.ok("SetV2LoggingLevel", set("CLIENT_ID", "c", "DEBUG"));
    lab.ok("SetV2LoggingLevel", set("SOURCE_IP", "192.0.2.1", "INFO"));
    lab.ok("SetV2LoggingLevel", json!({"logTarget": {"targetType": "DEFAULT"}, "logLevel": "WARN"}));
    let listed = lab.ok("ListV2LoggingLevels", json!({}));
    let expected = json!([
        {"logTarget": {"targetType": "DEFAULT"}, "logLevel": "WARN"},
        {"logTarget": target("CLIENT_ID", "c"), "logLevel": "DEBUG"},
        {"logTarget": target("SOURCE_IP", "192.0.2.1"), "logLevel": "INFO"},
    ]);
    assert_eq!(listed["logTargetConfigurations"], expected);
    let some = lab.ok("ListV2LoggingLevels", json!({"targetType": "SOURCE_IP"}));
    assert_eq!(some["logTargetConfigurations"], json!([expected[2]]));
    lab.ok("DeleteV2LoggingLevel", target("CLIENT_ID", "c"));
    let some = lab.ok("ListV2LoggingLevels", json!({"targetType": "CLIENT_ID"}));
    assert_eq!(some["logTargetConfigurations"], json!([]));
    assert_eq!(lab.no("SetV2LoggingLevel", set("THING_GROUP", "g", "INFO")), "NotImplemented");
    let nameless = json!({"logTarget": {"targetType": "CLIENT_ID"}, "logLevel": "INFO"});
    assert_eq!(lab.no("SetV2LoggingLevel", nameless), "InvalidRequest");
}

#[test]
fn a_connection_is_logged_from_its_beginning_to_its_end() {
    let lab = lab("INFO");
    let id = lab.identity(everything());
    let device = lab.device(&id, Version::V5, "c");
    device.give(subscribe([subscription("a/#")]));
    device.publish("a/b", "x");
    device.give(Packet::Publish(mqtt::Publish {
        qos: QoS::AtLeastOnce,
        packet_id: Some(packet_id(7)),
        ..message("z", "x")
    }));
    device.give(Packet::Disconnect(mqtt::Disconnect::new(ReasonCode::Success)));
    device.vanish();
    let expected = [
        "Connect Success",
        "Subscribe Success a/#",
        "Publish-Out Success a/b",
        "Publish-In Success a/b",
        "Publish-In Success z",
        "Disconnect Success",
    ];
    assert_eq!(told(&lab), expected);
    let entries = entries(&lab);
    let connect = Value::Object(entries[0].clone());
    let expected = json!({
        "timestamp": "2023-11-14 22:13:20.000", "logLevel": "INFO", "traceId": connect["traceId"],
        "accountId": "000000000000", "status": "Success", "eventType": "Connect", "clientId": "c", "principalId": id,
        "sourceIp": "192.0.2.1", "protocol": "MQTT", "sourcePort": 50000,
    });
    assert_eq!(connect, expected);
    assert_eq!(entries[1]["subscriptions"], json!([{"topicName": "a/#", "reasonCode": 1}]));
    assert_eq!(entries[5]["disconnectReason"], "CLIENT_INITIATED_DISCONNECT");
    let traces: std::collections::HashSet<String> = entries.iter().map(|entry| text(&entry["traceId"])).collect();
    assert_eq!(traces.len(), entries.len());
}

#[test]
fn what_policies_refuse_is_logged_as_an_error_with_the_reason() {
    let lab = lab("ERROR");
    let id = lab.identity(json!([
        statement("Allow", "iot:Connect", &["client/c"]),
        statement("Allow", "iot:Publish", &["topic/mine"]),
    ]));
    assert!(lab.arrive(&id, &hello(Version::V5, "other")).is_err());
    let device = lab.device(&id, Version::V5, "c");
    device.publish("mine", "x");
    device.subscribe("mine");
    device.publish("other", "x");
    assert_eq!(told(&lab), ["Connect Failure", "Publish-In Failure other"]);
    let entries = entries(&lab);
    assert!(entries.iter().all(|entry| entry["reason"] == "AUTHORIZATION_FAILURE"), "{entries:?}");
    assert!(text(&entries[1]["details"]).contains("iot:Publish on arn:aws:iot"));
}

#[test]
fn shadows_and_publications_over_http_are_logged() {
    let lab = lab("INFO");
    let payload = br#"{"state":{"desired":{"a":1}}}"#;
    let key = || cloud::Identity::Key("key".to_owned());
    let shadow = |operation: &str, payload: &[u8]| {
        lab.call_as(key(), operation, json!({"thingName": "t", "shadowName": "s"}), payload)
    };
    assert!(shadow("UpdateThingShadow", payload).is_ok());
    assert!(shadow("UpdateThingShadow", b"nonsense").is_err());
    assert!(shadow("GetThingShadow", b"").is_ok());
    assert!(shadow("DeleteThingShadow", b"").is_ok());
    assert!(lab.call_as(key(), "Publish", json!({"topic": "a", "retain": true}), b"x").is_ok());
    let topic = "$aws/things/t/shadow/name/s";
    let expected = [
        format!("UpdateThingShadow Success {topic}/update"),
        format!("UpdateThingShadow Failure {topic}/update"),
        format!("GetThingShadow Success {topic}/get"),
        format!("DeleteThingShadow Success {topic}/delete"),
        "Publish-In Success a".to_owned(),
    ];
    assert_eq!(told(&lab), expected);
    let entries = entries(&lab);
    assert_eq!((&entries[0]["protocol"], &entries[0]["deviceShadowName"]), (&json!("HTTP"), &json!("t~s")));
    assert_eq!(entries[4]["retain"], "True");
}

#[test]
fn a_shadow_over_mqtt_is_logged_with_its_client() {
    let lab = lab("INFO");
    let id = lab.identity(everything());
    let device = lab.device(&id, Version::V311, "c");
    device.publish("$aws/things/t/shadow/update", r#"{"state":{"reported":{"a":1}}}"#);
    device.publish("$aws/things/t/shadow/get", "");
    let updates: Vec<_> =
        entries(&lab).into_iter().filter(|entry| text(&entry["eventType"]).ends_with("Shadow")).collect();
    assert_eq!(updates.len(), 2);
    assert_eq!((&updates[0]["protocol"], &updates[0]["clientId"]), (&json!("MQTT"), &json!("c")));
}

#[test]
fn levels_of_targets_and_events_decide_before_the_default() {
    let lab = lab("DISABLED");
    lab.ok(
        "SetV2LoggingLevel",
        json!({"logTarget": {"targetType": "CLIENT_ID", "targetName": "loud"}, "logLevel": "INFO"}),
    );
    let events = json!([{"eventType": "Disconnect", "logLevel": "INFO", "logDestination": "mine"}]);
    lab.ok("SetV2LoggingOptions", json!({"eventConfigurations": events}));
    let id = lab.identity(everything());
    lab.device(&id, Version::V311, "loud").publish("a", "x");
    let quiet = lab.device(&id, Version::V311, "quiet");
    quiet.publish("a", "x");
    quiet.vanish();
    assert_eq!(told(&lab), ["Connect Success", "Publish-In Success a"]);
    assert_eq!(entries_of(&lab, "mine").len(), 1);
    lab.ok("SetV2LoggingOptions", json!({"disableAllLogs": true}));
    lab.device(&id, Version::V311, "loud");
    assert_eq!(told(&lab).len(), 2);
}

#[test]
fn what_is_set_is_kept_over_a_restart_and_belongs_to_its_scope() {
    let lab = lab("INFO");
    let id = lab.identity(everything());
    let elsewhere = lab.elsewhere("000000000001", "us-east-1");
    assert_eq!(elsewhere.no("GetV2LoggingOptions", json!({})), "NotConfigured");
    let restarted = lab.restarted();
    restarted.device(&id, Version::V311, "c");
    assert_eq!(told(&restarted), ["Connect Success"]);
}
