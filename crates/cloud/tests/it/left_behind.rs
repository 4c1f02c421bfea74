//! What large groups leave behind when they are deleted: at once it means nothing, whoever asks and whatever comes after, and
//! then it goes.

use mqtt::Version;
use serde_json::{Value, json};

use crate::house::{Lab, statement};

const ARN: &str = "arn:aws:iot:us-east-1:000000000000:";
/// More than two transactions let go.
const THINGS: usize = 1_200;
const TABLES: [&str; 4] = ["thing_memberships", "thing_group_members", "billing_group_things", "left_behind"];

/// A group, a billing group, and many things in both.
fn lab_with_crowd() -> Lab {
    let lab = Lab::new();
    lab.ok("CreateThingGroup", json!({"thingGroupName": "root"}));
    make_groups(&lab);
    for n in 0..THINGS {
        let thing = format!("t{n:04}");
        lab.ok("CreateThing", json!({"thingName": thing, "billingGroupName": "bill"}));
        lab.ok("AddThingToThingGroup", json!({"thingName": thing, "thingGroupName": "crowd"}));
    }
    lab
}

fn make_groups(lab: &Lab) {
    lab.ok("CreateThingGroup", json!({"thingGroupName": "crowd", "parentGroupName": "root"}));
    lab.ok("CreateBillingGroup", json!({"billingGroupName": "bill"}));
}

fn delete_groups(lab: &Lab) {
    lab.ok("DeleteThingGroup", json!({"thingGroupName": "crowd"}));
    lab.ok("DeleteBillingGroup", json!({"billingGroupName": "bill"}));
}

fn rows(lab: &Lab) -> [usize; 4] {
    TABLES.map(|table| lab.rows(table))
}

/// What is seen of the groups from a thing that was let go last, and from the groups above and of the same name.
fn seen(lab: &Lab) -> [Value; 4] {
    let last = json!({"thingName": format!("t{:04}", THINGS - 1)});
    [
        lab.ok("ListThingGroupsForThing", last.clone())["thingGroups"].clone(),
        lab.ok("DescribeThing", last)["billingGroupName"].clone(),
        lab.ok("ListThingsInThingGroup", json!({"thingGroupName": "crowd"}))["things"].clone(),
        lab.ok("ListThingsInBillingGroup", json!({"billingGroupName": "bill"}))["things"].clone(),
    ]
}

const NOTHING: [Value; 4] = [Value::Array(vec![]), Value::Null, Value::Array(vec![]), Value::Array(vec![])];

#[test]
fn it_means_nothing_at_once_and_goes_by_and_by() {
    let lab = lab_with_crowd();
    delete_groups(&lab);
    let left = rows(&lab);
    assert!(left.iter().all(|rows| *rows > 0), "{left:?}");
    let below = lab.ok("ListThingsInThingGroup", json!({"thingGroupName": "root", "recursive": true}));
    assert_eq!(below["things"], json!([]));
    make_groups(&lab);
    assert_eq!(seen(&lab), NOTHING);
    for _ in 0..3 {
        lab.tick().unwrap();
    }
    assert_eq!((rows(&lab), seen(&lab), lab.faults()), ([0; 4], NOTHING, 0));
}

#[test]
fn it_takes_nothing_away_from_groups_of_the_same_name() {
    let lab = lab_with_crowd();
    delete_groups(&lab);
    make_groups(&lab);
    let last = format!("t{:04}", THINGS - 1);
    lab.ok("AddThingToThingGroup", json!({"thingName": last, "thingGroupName": "crowd"}));
    lab.ok("AddThingToBillingGroup", json!({"thingName": last, "billingGroupName": "bill"}));
    let gone = format!("t{:04}", THINGS - 2);
    lab.ok("DeleteThing", json!({"thingName": gone}));
    for _ in 0..3 {
        lab.tick().unwrap();
    }
    assert_eq!(rows(&lab), [1, 1, 1, 0]);
    let group = json!([{"groupName": "crowd", "groupArn": format!("{ARN}thinggroup/crowd")}]);
    assert_eq!(seen(&lab), [group, json!("bill"), json!([last]), json!([last])]);
}

#[test]
fn it_goes_though_the_server_starts_anew_meanwhile() {
    let lab = lab_with_crowd();
    delete_groups(&lab);
    let lab = lab.restarted();
    for _ in 0..3 {
        lab.tick().unwrap();
    }
    assert_eq!(rows(&lab), [0; 4]);
}

#[test]
fn whoever_lived_by_the_group_is_cut_off_at_once() {
    let lab = lab_with_crowd();
    let (id, arn) = lab.certificate();
    let document = json!({"Version": "2012-10-17", "Statement": [statement("Allow", "iot:*", &["*"])]}).to_string();
    lab.ok("CreatePolicy", json!({"policyName": "p", "policyDocument": document}));
    lab.ok("AttachPolicy", json!({"policyName": "p", "target": format!("{ARN}thinggroup/crowd")}));
    let last = format!("t{:04}", THINGS - 1);
    lab.ok("AttachThingPrincipal", json!({"thingName": last, "principal": arn}));
    let device = lab.device(&id, Version::V311, &last);
    assert_eq!(device.closed(), None);
    delete_groups(&lab);
    assert!(device.closed().is_some());
    make_groups(&lab);
    lab.ok("AttachPolicy", json!({"policyName": "p", "target": format!("{ARN}thinggroup/crowd")}));
    assert!(lab.connect(&id, &last).is_none(), "it is in no group of that name any more");
}
