//! Tags of everything that can be tagged: given at birth or later, listed, taken away, and gone with what had them.

use serde_json::{Value, json};

use crate::house::{Lab, everything};
use crate::pki::Ca;

const ARN: &str = "arn:aws:iot:us-east-1:000000000000:";

fn tags(lab: &Lab, resource: &str) -> Value {
    lab.ok("ListTagsForResource", json!({"resourceArn": format!("{ARN}{resource}")}))["tags"].clone()
}

fn tag(lab: &Lab, resource: &str, tags: Value) -> Result<Value, (String, String)> {
    lab.call("TagResource", json!({"resourceArn": format!("{ARN}{resource}"), "tags": tags}))
}

fn many(count: usize) -> Value {
    (0..count).map(|n| json!({"Key": format!("k{n}"), "Value": ""})).collect()
}

/// One of each kind, born with the tag `born=here`.
fn lab_with_kinds() -> (Lab, Vec<String>) {
    let lab = Lab::new();
    let born = json!([{"Key": "born", "Value": "here"}]);
    lab.ok("CreateThingGroup", json!({"thingGroupName": "x", "tags": born}));
    lab.ok("CreateThingType", json!({"thingTypeName": "x", "tags": born}));
    lab.ok("CreateBillingGroup", json!({"billingGroupName": "x", "tags": born}));
    let document = json!({"Version": "2012-10-17", "Statement": everything()}).to_string();
    lab.ok("CreatePolicy", json!({"policyName": "x", "policyDocument": document, "tags": born}));
    let payload = json!({"sql": "SELECT * FROM 'a'", "actions": []});
    lab.ok("CreateTopicRule", json!({"ruleName": "x", "topicRulePayload": payload, "tags": "born=here"}));
    let ca = lab.ca(&Ca::new("x"), json!({"tags": born}));
    let kinds = ["thinggroup", "thingtype", "billinggroup", "policy", "rule"].map(|kind| format!("{kind}/x"));
    (lab, kinds.into_iter().chain([format!("cacert/{ca}")]).collect())
}

#[test]
fn whatever_can_be_tagged_is_tagged_alike() {
    let (lab, kinds) = lab_with_kinds();
    for kind in &kinds {
        assert_eq!(tags(&lab, kind), json!([{"Key": "born", "Value": "here"}]), "{kind}");
        tag(&lab, kind, json!([{"Key": "a", "Value": "1"}, {"Key": "born", "Value": ""}, {"Key": "A"}])).unwrap();
        let expected = json!([{"Key": "born", "Value": ""}, {"Key": "a", "Value": "1"}, {"Key": "A", "Value": ""}]);
        assert_eq!(tags(&lab, kind), expected, "{kind}");
        let gone = json!({"resourceArn": format!("{ARN}{kind}"), "tagKeys": ["a", "born", "none"]});
        lab.ok("UntagResource", gone);
        assert_eq!(tags(&lab, kind), json!([{"Key": "A", "Value": ""}]), "{kind}");
    }
}

#[test]
fn a_resource_has_fifty_tags_and_none_of_awss_own() {
    let (lab, _) = lab_with_kinds();
    let error = |tags: Value| tag(&lab, "thinggroup/x", tags).map(drop).map_err(|(error, _)| error);
    assert_eq!(error(many(49)), Ok(()));
    assert_eq!(error(json!([{"Key": "k0", "Value": "again"}])), Ok(()));
    assert_eq!(error(json!([{"Key": "one more", "Value": ""}])), Err("LimitExceededException".to_owned()));
    assert_eq!(error(many(51)), Err("LimitExceededException".to_owned()));
    assert_eq!(error(json!([{"Key": "aws:x", "Value": ""}])), Err("InvalidRequestException".to_owned()));
    assert_eq!(error(json!([{"Key": "a"}, {"Key": "a"}])), Err("InvalidRequestException".to_owned()));
    for (operation, name) in [("CreateThingGroup", "thingGroupName"), ("CreateThingType", "thingTypeName")] {
        assert_eq!(lab.no(operation, json!({name: "y", "tags": many(51)})), "InvalidRequest");
        assert_eq!(lab.no(operation, json!({name: "y", "tags": [{"Key": "AWS:x"}]})), "InvalidRequest");
        lab.ok(operation, json!({name: "y", "tags": many(50)}));
    }
}

#[test]
fn what_is_not_there_is_not_found_and_what_cannot_be_tagged_is_refused() {
    let (lab, kinds) = lab_with_kinds();
    lab.ok("CreateThing", json!({"thingName": "x"}));
    for kind in kinds {
        let none = format!("{}/none", kind.split_once('/').unwrap().0);
        assert_eq!(tag(&lab, &none, many(1)).unwrap_err().0, "ResourceNotFoundException", "{none}");
    }
    assert_eq!(tag(&lab, "thing/x", many(1)).unwrap_err().0, "InvalidRequestException");
    let elsewhere = json!({"resourceArn": "arn:aws:iot:eu-west-1:000000000000:thinggroup/x"});
    assert_eq!(lab.no("ListTagsForResource", elsewhere), "ResourceNotFound");
    let token = json!({"resourceArn": format!("{ARN}thinggroup/x"), "nextToken": "bm9uZQ=="});
    assert_eq!(lab.no("ListTagsForResource", token), "InvalidRequest");
}

#[test]
fn tags_go_with_what_had_them() {
    let (lab, _) = lab_with_kinds();
    lab.ok("DeleteThingGroup", json!({"thingGroupName": "x"}));
    lab.ok("CreateThingGroup", json!({"thingGroupName": "x"}));
    assert_eq!(tags(&lab, "thinggroup/x"), json!([]));
}

#[test]
fn tags_of_a_rule_come_in_a_header_and_outlive_its_replacement() {
    let lab = Lab::new();
    let payload = json!({"sql": "SELECT * FROM 'a'", "actions": []});
    let make = |name: &str, tags: &str| {
        let input = json!({"ruleName": name, "topicRulePayload": payload, "tags": tags});
        lab.call("CreateTopicRule", input).map(drop).map_err(|(error, _)| error)
    };
    assert_eq!(make("r", "a=1&b%3D=%C3%A9+x&c="), Ok(()));
    lab.ok("ReplaceTopicRule", json!({"ruleName": "r", "topicRulePayload": payload}));
    let expected = json!([{"Key": "a", "Value": "1"}, {"Key": "b=", "Value": "é x"}, {"Key": "c", "Value": ""}]);
    assert_eq!(tags(&lab, "rule/r"), expected);
    for bad in ["a=1&a=2", "aws:a=1", "=1", "a=%FF"] {
        assert_eq!(make("s", bad), Err("InvalidRequestException".to_owned()), "{bad}");
    }
}
