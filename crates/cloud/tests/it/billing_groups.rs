//! Billing groups: created once, changed under a version, and at most one for each thing, whichever side it is asked from.

use serde_json::{Value, json};

use crate::house::{Lab, column, seconds};

const ARN: &str = "arn:aws:iot:us-east-1:000000000000:";

fn group(lab: &Lab, name: &str) -> Value {
    lab.ok("CreateBillingGroup", json!({"billingGroupName": name}))
}

fn things_in(lab: &Lab, name: &str) -> Value {
    lab.ok("ListThingsInBillingGroup", json!({"billingGroupName": name}))["things"].clone()
}

fn group_of(lab: &Lab, thing: &str) -> Option<String> {
    lab.ok("DescribeThing", json!({"thingName": thing}))["billingGroupName"].as_str().map(str::to_owned)
}

#[test]
fn a_billing_group_is_described_as_it_was_created_and_updated() {
    let lab = Lab::new();
    let input = json!({"billingGroupName": "b", "billingGroupProperties": {"billingGroupDescription": "d"}});
    let created = lab.ok("CreateBillingGroup", input.clone());
    assert_eq!(lab.ok("CreateBillingGroup", input), created);
    assert_eq!(lab.no("CreateBillingGroup", json!({"billingGroupName": "b"})), "ResourceAlreadyExists");
    let describe = || lab.ok("DescribeBillingGroup", json!({"billingGroupName": "b"}));
    let expected = json!({
        "billingGroupName": "b", "billingGroupId": created["billingGroupId"],
        "billingGroupArn": format!("{ARN}billinggroup/b"), "version": 1,
        "billingGroupProperties": {"billingGroupDescription": "d"},
        "billingGroupMetadata": {"creationDate": seconds(lab.now())},
    });
    assert_eq!(describe(), expected);
    let update = |version: i64| {
        let properties = json!({"billingGroupDescription": "e"});
        let input = json!({"billingGroupName": "b", "billingGroupProperties": properties, "expectedVersion": version});
        lab.call("UpdateBillingGroup", input).map_err(|(error, _)| error)
    };
    assert_eq!(update(1), Ok(json!({"version": 2})));
    assert_eq!(update(1), Err("VersionConflictException".to_owned()));
    assert_eq!(describe()["billingGroupProperties"], json!({"billingGroupDescription": "e"}));
    let stale = json!({"billingGroupName": "b", "expectedVersion": 1});
    assert_eq!(lab.no("DeleteBillingGroup", stale), "VersionConflict");
    for _ in 0..2 {
        assert_eq!(lab.ok("DeleteBillingGroup", json!({"billingGroupName": "b"})), json!({}));
    }
    assert_eq!(lab.no("DescribeBillingGroup", json!({"billingGroupName": "b"})), "ResourceNotFound");
}

#[test]
fn billing_groups_are_listed_by_the_beginning_of_their_name() {
    let lab = Lab::new();
    for name in ["a1", "a2", "a3", "b1"] {
        group(&lab, name);
    }
    let input = json!({"namePrefixFilter": "a", "maxResults": 2});
    let pages = lab.pages("ListBillingGroups", input, "billingGroups", ("nextToken", "nextToken"));
    let names: Vec<Vec<String>> = pages.into_iter().map(|page| column(&Value::Array(page), "groupName")).collect();
    assert_eq!(names, [vec!["a1", "a2"], vec!["a3"]]);
    let listed = lab.ok("ListBillingGroups", json!({"namePrefixFilter": "b"}))["billingGroups"].clone();
    assert_eq!(listed, json!([{"groupName": "b1", "groupArn": format!("{ARN}billinggroup/b1")}]));
}

#[test]
fn a_thing_has_one_billing_group_at_most() {
    let lab = Lab::new();
    for name in ["a", "b"] {
        group(&lab, name);
    }
    lab.ok("CreateThing", json!({"thingName": "lamp", "billingGroupName": "a"}));
    assert_eq!(lab.no("CreateThing", json!({"thingName": "lamp", "billingGroupName": "b"})), "ResourceAlreadyExists");
    lab.ok("AddThingToBillingGroup", json!({"thingName": "lamp", "billingGroupName": "b"}));
    assert_eq!((things_in(&lab, "a"), things_in(&lab, "b")), (json!([]), json!(["lamp"])));
    lab.ok("RemoveThingFromBillingGroup", json!({"thingName": "lamp", "billingGroupName": "a"}));
    assert_eq!(group_of(&lab, "lamp").as_deref(), Some("b"));
    let arns = json!({"thingArn": format!("{ARN}thing/lamp"), "billingGroupArn": format!("{ARN}billinggroup/b")});
    lab.ok("RemoveThingFromBillingGroup", arns.clone());
    assert_eq!((group_of(&lab, "lamp"), things_in(&lab, "b")), (None, json!([])));
    lab.ok("AddThingToBillingGroup", arns);
    assert_eq!(lab.ok("DescribeThing", json!({"thingName": "lamp"}))["version"], json!(1));
    lab.ok("DeleteThing", json!({"thingName": "lamp"}));
    assert_eq!(things_in(&lab, "b"), json!([]));
}

#[test]
fn things_outlive_their_billing_group() {
    let lab = Lab::new();
    group(&lab, "b");
    lab.ok("CreateThing", json!({"thingName": "lamp", "billingGroupName": "b"}));
    lab.ok("DeleteBillingGroup", json!({"billingGroupName": "b"}));
    assert_eq!(group_of(&lab, "lamp"), None);
    group(&lab, "b");
    assert_eq!(things_in(&lab, "b"), json!([]));
}

#[test]
fn what_is_not_there_or_not_named_is_refused() {
    let lab = Lab::new();
    group(&lab, "b");
    lab.ok("CreateThing", json!({"thingName": "lamp"}));
    let cases = [
        (json!({"thingName": "lamp"}), "InvalidRequest"),
        (json!({"billingGroupName": "b"}), "InvalidRequest"),
        (json!({"thingName": "none", "billingGroupName": "b"}), "ResourceNotFound"),
        (json!({"thingName": "lamp", "billingGroupName": "none"}), "ResourceNotFound"),
        (
            json!({"thingName": "lamp", "billingGroupName": "b", "billingGroupArn": format!("{ARN}billinggroup/c")}),
            "InvalidRequest",
        ),
    ];
    for operation in ["AddThingToBillingGroup", "RemoveThingFromBillingGroup"] {
        for (input, error) in &cases {
            assert_eq!(lab.no(operation, input.clone()), *error, "{input}");
        }
    }
    assert_eq!(lab.no("ListThingsInBillingGroup", json!({"billingGroupName": "none"})), "ResourceNotFound");
}
