//! Statements tried before they are anybody's rule: the world that they see, and the messages that are remembered for them.

use std::collections::HashMap;

use cloud::Quotas;
use mqtt::{Packet, Publish, QoS, Version};
use serde_json::json;
use sql::{Call, Reply};
use store::Store;

use crate::device::{Device, message};
use crate::house::{Lab, everything};

fn device(lab: &Lab) -> Device {
    lab.device(&lab.identity(everything()), Version::V5, "lamp")
}

fn publish(device: &Device, topic: &str, payload: &str) {
    device.give(Packet::Publish(Publish { qos: QoS::AtMostOnce, ..message(topic, payload) }));
}

fn listen(lab: &Lab, name: &str, filter: &str) {
    let action = json!({"sqs": {"roleArn": "arn:aws:iam::000000000000:role/r", "queueUrl": "http://q/1"}});
    let payload = json!({"sql": format!("SELECT * FROM '{filter}' WHERE never"), "actions": [action]});
    lab.ok("CreateTopicRule", json!({"ruleName": name, "topicRulePayload": payload}));
}

fn turn(lab: &Lab) {
    lab.work(|_| Ok(()), |_| Err(String::new()));
}

#[test]
fn what_a_rule_heard_is_remembered_though_nothing_came_of_it() {
    let lab = Lab::new();
    let device = device(&lab);
    listen(&lab, "r", "a/+");
    for (topic, payload) in [("a/1", "one"), ("a/2", "two"), ("b/1", "three")] {
        publish(&device, topic, payload);
    }
    turn(&lab);
    assert_eq!(lab.last_published(Some("a/+")).as_deref(), Some("two by lamp"));
    assert_eq!(lab.last_published(Some("a/1")).as_deref(), Some("one by lamp"));
    assert_eq!(lab.last_published(None).as_deref(), Some("two by lamp"));
    assert_eq!(lab.last_published(Some("b/#")), None, "no rule hears it");
    assert_eq!(lab.elsewhere("111111111111", "us-east-1").last_published(None), None);
}

#[test]
fn what_is_published_while_somebody_follows_is_remembered_whoever_hears_it() {
    let lab = Lab::new();
    let device = device(&lab);
    publish(&device, "a", "before");
    lab.follow(true);
    publish(&device, "a", "during");
    lab.follow(false);
    publish(&device, "a", "after");
    assert_eq!(lab.last_published(Some("a")).as_deref(), Some("during by lamp"));
}

#[test]
fn basic_ingest_is_remembered_by_the_topic_that_the_rule_sees() {
    let lab = Lab::new();
    let device = device(&lab);
    listen(&lab, "r", "a/+");
    publish(&device, "$aws/rules/r/a/1", "ingested");
    turn(&lab);
    assert_eq!(lab.last_published(Some("a/+")).as_deref(), Some("ingested by lamp"));
}

#[test]
fn what_is_remembered_has_a_bound() {
    // AWS would not let one client send this much in a second.
    let lab = Lab::over(Store::in_memory(), Quotas::Off);
    let device = device(&lab);
    lab.follow(true);
    publish(&device, "first", "x");
    let large = "x".repeat(100 * 1024);
    for number in 0..11 {
        publish(&device, &format!("large/{number}"), &large);
    }
    assert_eq!(lab.last_published(Some("first")), None);
    assert_eq!(lab.last_published(Some("large/0")), None);
    assert!(lab.last_published(Some("large/10")).is_some());
    for number in 0..1100 {
        publish(&device, &format!("small/{number}"), "x");
    }
    assert_eq!(lab.last_published(Some("small/0")), None);
    assert!(lab.last_published(Some("small/1099")).is_some());
}

#[test]
fn the_world_is_that_of_the_rules() {
    let lab = Lab::new();
    lab.ok("CreateThing", json!({"thingName": "lamp"}));
    let role = || "arn:aws:iam::000000000000:role/r".to_owned();
    let registry = Call::RegistryData { api: sql::RegistryApi::DescribeThing, thing: "lamp".to_owned(), role: role() };
    let (reply, asked) = lab.show_world(&HashMap::new(), |world| world.call(&registry));
    let Reply::Value(described) = reply else { panic!("{reply:?}") };
    assert!(String::from_utf8_lossy(&described).contains(r#""thingName":"lamp""#), "{described:?}");
    assert_eq!(asked, None);

    let lambda = Call::Lambda { arn: "arn".to_owned(), payload: "{}".into() };
    let (reply, asked) = lab.show_world(&HashMap::new(), |world| world.call(&lambda));
    assert_eq!((reply, asked.as_ref()), (Reply::Later, Some(&lambda)));
    let answered = HashMap::from([(lambda.clone(), Reply::Failed("no".to_owned()))]);
    let (reply, asked) = lab.show_world(&answered, |world| world.call(&lambda));
    assert_eq!((reply, asked), (Reply::Failed("no".to_owned()), None));
}
