//! Registry events: nothing until they are asked for, then what happened, on AWS's topics and with AWS's members, to whoever
//! subscribed, to rules, and to nobody if it was refused.

use mqtt::{Connect, Version};
use serde_json::{Value, json};

use crate::device::Device;
use crate::house::{DAWN, Lab, everything, hello};

const ARN: &str = "arn:aws:iot:us-east-1:000000000000:";

fn enable(lab: &Lab, keys: &[&str]) {
    let wanted: serde_json::Map<String, Value> =
        keys.iter().map(|key| ((*key).to_owned(), json!({"Enabled": true}))).collect();
    lab.ok("UpdateEventConfigurations", json!({"eventConfigurations": wanted}));
}

fn listener(lab: &Lab) -> Device {
    let device = lab.device(&lab.identity(everything()), Version::V5, "ear");
    for family in
        ["thing", "thingGroup", "thingType", "thingGroupMembership", "thingGroupHierarchy", "thingTypeAssociation"]
    {
        device.listen(&format!("$aws/events/{family}/#"));
    }
    device
}

/// What has been heard: topics after `$aws/events/`, and payloads without what differs each time.
fn heard(device: &Device) -> Vec<(String, Value)> {
    let told = |(topic, payload): (String, String)| {
        let mut payload: Value = serde_json::from_str(&payload).unwrap();
        let members = payload.as_object_mut()?;
        assert_eq!(members.shift_remove("timestamp"), Some(json!(DAWN)));
        assert_eq!(members.shift_remove("accountId"), Some(json!("000000000000")));
        assert_eq!(members.shift_remove("eventId").unwrap().as_str().unwrap().len(), 36);
        Some((topic.strip_prefix("$aws/events/").unwrap().to_owned(), payload))
    };
    device.messages().into_iter().filter_map(told).collect()
}

#[test]
fn nothing_is_turned_on_until_it_is_asked_for_key_by_key() {
    let lab = Lab::new();
    let configured = |lab: &Lab| lab.ok("DescribeEventConfigurations", json!({}));
    let first = configured(&lab);
    assert_eq!(first["eventConfigurations"].as_object().unwrap().len(), 11);
    assert_eq!(first["eventConfigurations"]["THING"], json!({"Enabled": false}));
    assert_eq!(first.get("creationDate"), None);
    enable(&lab, &["THING", "THING_TYPE"]);
    let off = json!({"eventConfigurations": {"THING": {"Enabled": false}, "JOB": {}}});
    lab.ok("UpdateEventConfigurations", off);
    let now = configured(&lab);
    let is_on = |key: &str| now["eventConfigurations"][key]["Enabled"].as_bool().unwrap();
    assert_eq!((is_on("THING"), is_on("THING_TYPE"), is_on("JOB")), (false, true, false));
    assert!(now["creationDate"].is_number() && now["lastModifiedDate"].is_number());
    let other = lab.elsewhere("000000000000", "eu-west-1");
    assert_eq!(configured(&other), first);
}

#[test]
fn who_has_not_asked_for_events_hears_none() {
    let lab = Lab::new();
    let ear = listener(&lab);
    enable(&lab, &["THING_TYPE"]);
    lab.ok("CreateThing", json!({"thingName": "lamp"}));
    lab.ok("DeleteThing", json!({"thingName": "lamp"}));
    assert!(heard(&ear).is_empty());
}

#[test]
fn the_life_of_a_thing_is_told() {
    let lab = Lab::new();
    let ear = listener(&lab);
    lab.ok("CreateThingType", json!({"thingTypeName": "light"}));
    lab.ok("CreateBillingGroup", json!({"billingGroupName": "b"}));
    enable(&lab, &["THING", "THING_TYPE_ASSOCIATION"]);
    let input = json!({"thingName": "lamp", "thingTypeName": "light", "attributePayload": {"attributes": {"a": "1"}}});
    let id = lab.ok("CreateThing", input.clone())["thingId"].clone();
    lab.ok("CreateThing", input);
    lab.no("CreateThing", json!({"thingName": "lamp"}));
    lab.ok(
        "UpdateThing",
        json!({"thingName": "lamp", "removeThingType": true, "attributePayload": {"attributes": {}}}),
    );
    lab.ok("DeleteThing", json!({"thingName": "lamp"}));
    lab.ok("DeleteThing", json!({"thingName": "lamp"}));
    let thing = |operation: &str, version: i64, type_name: Value, attributes: Value| {
        json!({
            "eventType": "THING_EVENT", "operation": operation, "thingId": id, "thingName": "lamp",
            "versionNumber": version, "thingTypeName": type_name, "attributes": attributes,
        })
    };
    let association = |operation: &str| {
        json!({
            "eventType": "THING_TYPE_ASSOCIATION_EVENT", "operation": operation, "thingId": id, "thingName": "lamp",
            "thingTypeName": "light",
        })
    };
    let of_type = |word: &str| format!("thingTypeAssociation/thing/lamp/thingType/light/{word}");
    let expected = [
        ("thing/lamp/created".to_owned(), thing("CREATED", 1, json!("light"), json!({"a": "1"}))),
        (of_type("added"), association("ADDED")),
        ("thing/lamp/updated".to_owned(), thing("UPDATED", 2, Value::Null, json!({}))),
        (of_type("removed"), association("REMOVED")),
        ("thing/lamp/deleted".to_owned(), thing("DELETED", 2, Value::Null, json!({}))),
    ];
    assert_eq!(heard(&ear), expected);
    lab.ok("CreateThing", json!({"thingName": "sun", "billingGroupName": "b"}));
    assert_eq!(heard(&ear)[0].1["billingGroupName"], json!("b"));
}

#[test]
fn the_life_of_a_type_is_told() {
    let lab = Lab::new();
    let ear = listener(&lab);
    enable(&lab, &["THING_TYPE"]);
    let propagating = json!([{"userPropertyKey": "k", "thingAttribute": "a"}]);
    let properties = json!({
        "thingTypeDescription": "d", "searchableAttributes": ["a"],
        "mqtt5Configuration": {"propagatingAttributes": propagating},
    });
    let input = json!({"thingTypeName": "light", "thingTypeProperties": properties});
    let id = lab.ok("CreateThingType", input)["thingTypeId"].clone();
    lab.ok("DeprecateThingType", json!({"thingTypeName": "light"}));
    let told = |operation: &str, is_deprecated: bool, date: Value| {
        json!({
            "eventType": "THING_TYPE_EVENT", "operation": operation, "thingTypeId": id, "thingTypeName": "light",
            "isDeprecated": is_deprecated, "deprecationDate": date, "searchableAttributes": ["a"],
            "propagatingAttributes": propagating, "description": "d",
        })
    };
    let expected = [
        ("thingType/light/created".to_owned(), told("CREATED", false, Value::Null)),
        ("thingType/light/updated".to_owned(), told("UPDATED", true, json!(DAWN))),
    ];
    assert_eq!(heard(&ear), expected);
    lab.pass(5 * 60_000);
    lab.ok("DeleteThingType", json!({"thingTypeName": "light"}));
    let topics: Vec<String> = ear.messages().into_iter().map(|(topic, _)| topic).collect();
    assert_eq!(topics, ["$aws/events/thingType/light/deleted"]);
}

#[test]
fn the_life_of_a_group_and_who_is_in_it_is_told() {
    let lab = Lab::new();
    let ear = listener(&lab);
    enable(&lab, &["THING_GROUP", "THING_GROUP_HIERARCHY", "THING_GROUP_MEMBERSHIP"]);
    let root = lab.ok("CreateThingGroup", json!({"thingGroupName": "r"}))["thingGroupId"].clone();
    let properties = json!({"thingGroupDescription": "d", "attributePayload": {"attributes": {"a": "1"}}});
    let input = json!({"thingGroupName": "g", "parentGroupName": "r", "thingGroupProperties": properties});
    let group = lab.ok("CreateThingGroup", input)["thingGroupId"].clone();
    let expected_group = json!({
        "eventType": "THING_GROUP_EVENT", "operation": "CREATED", "thingGroupId": group, "thingGroupName": "g",
        "versionNumber": 1, "parentGroupName": "r", "parentGroupId": root, "description": "d",
        "rootToParentThingGroups": [{"groupArn": format!("{ARN}thinggroup/r"), "groupId": root}],
        "attributes": {"a": "1"}, "dynamicGroupMappingId": null,
    });
    let hierarchy = |operation: &str| {
        json!({
            "eventType": "THING_GROUP_HIERARCHY_EVENT", "operation": operation, "thingGroupId": root,
            "thingGroupName": "r", "childGroupId": group, "childGroupName": "g",
        })
    };
    let made = heard(&ear);
    assert_eq!(made[0].0, "thingGroup/r/created");
    assert_eq!((&made[0].1["parentGroupName"], &made[0].1["rootToParentThingGroups"]), (&Value::Null, &json!([])));
    assert_eq!(made[1], ("thingGroup/g/created".to_owned(), expected_group));
    let added = "thingGroupHierarchy/thingGroup/r/childThingGroup/g/added";
    assert_eq!(made[2], (added.to_owned(), hierarchy("ADDED")));

    let thing = lab.ok("CreateThing", json!({"thingName": "lamp"}))["thingId"].clone();
    for _ in 0..2 {
        lab.ok("AddThingToThingGroup", json!({"thingName": "lamp", "thingGroupName": "g"}));
    }
    lab.ok("DeleteThing", json!({"thingName": "lamp"}));
    let joined = heard(&ear);
    let membership = |operation: &str| {
        json!({
            "eventType": "THING_GROUP_MEMBERSHIP_EVENT", "operation": operation, "groupArn": format!("{ARN}thinggroup/g"),
            "groupId": group, "thingArn": format!("{ARN}thing/lamp"), "thingId": thing,
            "membershipId": joined[0].1["membershipId"],
        })
    };
    let topic = |word: &str| format!("thingGroupMembership/thingGroup/g/thing/lamp/{word}");
    assert_eq!(joined, [(topic("added"), membership("ADDED")), (topic("removed"), membership("REMOVED"))]);

    lab.ok("UpdateThingGroup", json!({"thingGroupName": "g", "thingGroupProperties": {}}));
    lab.ok("DeleteThingGroup", json!({"thingGroupName": "g"}));
    let topics: Vec<String> = heard(&ear).into_iter().map(|(topic, _)| topic).collect();
    let removed = "thingGroupHierarchy/thingGroup/r/childThingGroup/g/removed";
    assert_eq!(topics, ["thingGroup/g/updated", "thingGroup/g/deleted", removed]);
    assert_eq!(lab.faults(), 0);
}

#[test]
fn who_is_away_gets_events_on_coming_back() {
    let lab = Lab::new();
    enable(&lab, &["THING"]);
    let certificate = lab.identity(everything());
    let mut connect = Connect { clean_start: false, ..hello(Version::V5, "ear") };
    connect.properties.session_expiry_interval = Some(3600);
    let (ear, _) = lab.returning(&certificate, &connect);
    ear.listen("$aws/events/thing/#");
    ear.vanish();
    lab.ok("CreateThing", json!({"thingName": "lamp"}));
    let (ear, was_there) = lab.returning(&certificate, &connect);
    let topics: Vec<String> = ear.messages().into_iter().map(|(topic, _)| topic).collect();
    assert_eq!((was_there, topics), (true, vec!["$aws/events/thing/lamp/created".to_owned()]));
}

#[test]
fn rules_hear_events() {
    let lab = Lab::new();
    enable(&lab, &["THING"]);
    let action = json!({"sqs": {"roleArn": "arn:aws:iam::000000000000:role/r", "queueUrl": "http://q/1"}});
    let payload = json!({
        "sql": "SELECT thingName, operation FROM '$aws/events/thing/+/created'", "awsIotSqlVersion": "2016-03-23",
        "actions": [action],
    });
    lab.ok("CreateTopicRule", json!({"ruleName": "r", "topicRulePayload": payload}));
    lab.ok("CreateThing", json!({"thingName": "lamp"}));
    let mut done = 0;
    lab.work(
        |_| {
            done += 1;
            Ok(())
        },
        |ask| Err(format!("{:?} was asked", ask.call)),
    );
    assert_eq!(done, 1);
}
