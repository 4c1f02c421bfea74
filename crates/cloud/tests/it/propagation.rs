//! Propagating attributes: what a thing's type adds to the messages of its device, for MQTT 5 subscribers and for rules, and
//! from which moment on.

use mqtt::{Packet, Publish, QoS, Text, Version};
use serde_json::{Value, json};

use crate::device::{Device, message, message_1};
use crate::house::{Lab, everything};

/// A lab with a thing of a type that propagates, its device, and a listener.
struct House {
    lab: Lab,
    lamp: Device,
    ear: Device,
    certificate: String,
}

impl House {
    fn new(version: Version) -> Self {
        let lab = Lab::new();
        let attributes = json!([
            {"userPropertyKey": "room", "thingAttribute": "room"},
            {"userPropertyKey": "none", "thingAttribute": "none"},
            {"userPropertyKey": "client", "connectionAttribute": "iot:ClientId"},
            {"userPropertyKey": "thing", "connectionAttribute": "iot:Thing.ThingName"},
        ]);
        lab.ok("CreateThingType", json!({"thingTypeName": "light", "thingTypeProperties": propagating(attributes)}));
        let payload = json!({"attributes": {"room": "hall"}});
        lab.ok("CreateThing", json!({"thingName": "lamp", "thingTypeName": "light", "attributePayload": payload}));
        let certificate = lab.identity(everything());
        let principal = format!("arn:aws:iot:us-east-1:000000000000:cert/{certificate}");
        lab.ok("AttachThingPrincipal", json!({"thingName": "lamp", "principal": principal}));
        let lamp = lab.device(&certificate, version, "lamp");
        let ear = lab.device(&certificate, Version::V5, "ear");
        ear.listen("t/#");
        Self { lab, lamp, ear, certificate }
    }

    /// What comes with a message, as `key=value`.
    fn properties(&self) -> Vec<String> {
        let [Packet::Publish(publish)] = &self.ear.heard()[..] else { panic!("not one message") };
        let properties = publish.properties.as_deref().map(|given| given.user_properties.clone()).unwrap_or_default();
        properties.iter().map(|(key, value)| format!("{key}={value}")).collect()
    }
}

fn propagating(attributes: Value) -> Value {
    json!({"mqtt5Configuration": {"propagatingAttributes": attributes}})
}

#[test]
fn a_message_carries_what_the_type_of_its_thing_propagates() {
    for version in [Version::V311, Version::V5] {
        let house = House::new(version);
        let expected = ["room=hall", "client=lamp", "thing=lamp"];
        // The second goes the way that the first has found.
        for _ in 0..2 {
            house.lamp.publish("t/a", "x");
            assert_eq!(house.properties(), expected);
        }
        house.lamp.give(Packet::Publish(message_1(1, "t/a", "x")));
        assert_eq!(house.properties(), expected);
        house.lamp.give(crate::device::retained(message("t/kept", "x")));
        assert_eq!(house.properties(), expected);
        house.ear.publish("t/a", "x");
        assert!(house.properties().is_empty(), "the client id of the ear is no thing of its certificate");
    }
}

#[test]
fn it_stands_behind_what_the_device_says_itself() {
    let house = House::new(Version::V5);
    let mut publish = Publish { qos: QoS::AtMostOnce, ..message("t/a", "x") };
    let pair = (Text::try_from("own").unwrap(), Text::try_from("1").unwrap());
    publish.properties.get_or_insert_default().user_properties.push(pair);
    house.lamp.give(Packet::Publish(publish));
    assert_eq!(house.properties(), ["own=1", "room=hall", "client=lamp", "thing=lamp"]);
}

#[test]
fn a_change_of_thing_or_type_shows_in_the_next_message() {
    let house = House::new(Version::V5);
    let lab = &house.lab;
    let next = || {
        house.lamp.publish("t/a", "x");
        house.properties()
    };
    assert_eq!(next().len(), 3);
    let payload = json!({"attributes": {"room": "attic"}});
    lab.ok("UpdateThing", json!({"thingName": "lamp", "attributePayload": payload}));
    assert_eq!(next()[0], "room=attic");
    let only = propagating(json!([{"userPropertyKey": "r", "thingAttribute": "room"}]));
    lab.ok("UpdateThingType", json!({"thingTypeName": "light", "thingTypeProperties": only}));
    assert_eq!(next(), ["r=attic"]);
    lab.ok("UpdateThing", json!({"thingName": "lamp", "removeThingType": true}));
    assert!(next().is_empty());
    lab.ok("UpdateThing", json!({"thingName": "lamp", "thingTypeName": "light"}));
    assert_eq!(next(), ["r=attic"]);
    let principal = format!("arn:aws:iot:us-east-1:000000000000:cert/{}", house.certificate);
    lab.ok("DetachThingPrincipal", json!({"thingName": "lamp", "principal": principal}));
    assert!(next().is_empty());
}

#[test]
fn rules_see_it() {
    let house = House::new(Version::V311);
    let action = json!({"sqs": {"roleArn": "arn:aws:iam::000000000000:role/r", "queueUrl": "http://q/1"}});
    let payload = json!({
        "sql": "SELECT get_user_properties('room') AS room FROM 't/#'", "awsIotSqlVersion": "2016-03-23",
        "actions": [action],
    });
    house.lab.ok("CreateTopicRule", json!({"ruleName": "r", "topicRulePayload": payload}));
    house.lamp.publish("t/a", "{}");
    let mut bodies = Vec::new();
    house.lab.work(
        |deed| {
            let cloud::actions::Work::Aws(request) = &deed.effect.work else { panic!("no request") };
            bodies.push(String::from_utf8_lossy(&request.body).into_owned());
            Ok(())
        },
        |ask| Err(format!("{:?} was asked", ask.call)),
    );
    assert_eq!(bodies.len(), 1);
    assert!(bodies[0].contains(r#"{\"room\":[\"hall\"]}"#), "{bodies:?}");
}
