//! Policies, their versions and attachments, as records. What the documents allow is tested in crate `policy`, and what
//! attaching one does to a live connection in `effects`.

use serde_json::{Value, json};

use crate::house::{Lab, column, text};

/// A document that allows one action, so that documents differ.
fn document(action: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"iot:{action}","Resource":"*"}}]}}"#)
}

fn create(lab: &Lab, name: &str) {
    lab.ok("CreatePolicy", json!({"policyName": name, "policyDocument": document("Connect")}));
}

fn add_version(lab: &Lab, action: &str, default: bool) -> String {
    let input = json!({"policyName": "p", "policyDocument": document(action), "setAsDefault": default});
    text(&lab.ok("CreatePolicyVersion", input)["policyVersionId"])
}

#[test]
fn a_policy_is_got_as_it_was_created() {
    let lab = Lab::new();
    let created = lab.ok("CreatePolicy", json!({"policyName": "p", "policyDocument": document("Connect")}));
    let arn = "arn:aws:iot:us-east-1:000000000000:policy/p";
    let expected =
        json!({"policyName": "p", "policyArn": arn, "policyDocument": document("Connect"), "policyVersionId": "1"});
    assert_eq!(created, expected);
    let got = lab.ok("GetPolicy", json!({"policyName": "p"}));
    assert_eq!((&got["policyDocument"], &got["defaultVersionId"]), (&json!(document("Connect")), &json!("1")));
    let again = lab.refused("CreatePolicy", json!({"policyName": "p", "policyDocument": document("Connect")}));
    assert_eq!(
        again,
        ("ResourceAlreadyExists".into(), "Policy cannot be created - name already exists (name=p)".into())
    );
}

#[test]
fn a_malformed_document_is_refused_with_its_place() {
    let lab = Lab::new();
    create(&lab, "p");
    for operation in ["CreatePolicy", "CreatePolicyVersion"] {
        let input = json!({"policyName": "p", "policyDocument": "{\n  \"Version\": 7}"});
        let (error, message) = lab.refused(operation, input);
        assert_eq!(error, "MalformedPolicy");
        assert!(message.contains("line 2"), "{message}");
    }
    assert_eq!(lab.no("CreatePolicy", json!({"policyName": "q", "policyDocument": "{}"})), "MalformedPolicy");
    assert_eq!(lab.no("GetPolicy", json!({"policyName": "q"})), "ResourceNotFound");
}

#[test]
fn a_policy_has_five_versions_and_no_number_is_given_twice() {
    let lab = Lab::new();
    create(&lab, "p");
    let numbers: Vec<String> = (0..4).map(|_| add_version(&lab, "Publish", false)).collect();
    assert_eq!(numbers, ["2", "3", "4", "5"]);
    let refused = lab.refused("CreatePolicyVersion", json!({"policyName": "p", "policyDocument": document("Publish")}));
    let message = "The policy p already has the maximum number of versions (5)";
    assert_eq!(refused, ("VersionsLimitExceeded".into(), message.into()));
    lab.ok("DeletePolicyVersion", json!({"policyName": "p", "policyVersionId": "5"}));
    assert_eq!(add_version(&lab, "Publish", false), "6");
    let listed = lab.ok("ListPolicyVersions", json!({"policyName": "p"}));
    assert_eq!(column(&listed["policyVersions"], "versionId"), ["6", "4", "3", "2", "1"]);
}

#[test]
fn the_default_version_is_the_one_that_was_set() {
    let lab = Lab::new();
    create(&lab, "p");
    add_version(&lab, "Publish", false);
    add_version(&lab, "Receive", true);
    let default = || text(&lab.ok("GetPolicy", json!({"policyName": "p"}))["policyDocument"]);
    assert_eq!(default(), document("Receive"));
    lab.ok("SetDefaultPolicyVersion", json!({"policyName": "p", "policyVersionId": "2"}));
    assert_eq!(default(), document("Publish"));
    let version = |id: &str| lab.ok("GetPolicyVersion", json!({"policyName": "p", "policyVersionId": id}));
    assert_eq!((&version("2")["isDefaultVersion"], &version("3")["isDefaultVersion"]), (&json!(true), &json!(false)));
    assert_eq!(version("3")["policyDocument"], document("Receive"));
    let refused = lab.refused("DeletePolicyVersion", json!({"policyName": "p", "policyVersionId": "2"}));
    assert_eq!(refused, ("InvalidRequest".into(), "Cannot delete the default version of a policy".into()));
    for operation in ["SetDefaultPolicyVersion", "GetPolicyVersion", "DeletePolicyVersion"] {
        for id in ["9", "01", "0"] {
            assert_eq!(lab.no(operation, json!({"policyName": "p", "policyVersionId": id})), "ResourceNotFound");
        }
    }
}

#[test]
fn a_policy_is_deleted_with_one_version_and_no_targets() {
    let lab = Lab::new();
    let (_, arn) = lab.certificate();
    create(&lab, "p");
    add_version(&lab, "Publish", false);
    lab.ok("AttachPolicy", json!({"policyName": "p", "target": arn}));
    let refused = || lab.refused("DeletePolicy", json!({"policyName": "p"}));
    let attached = "The policy cannot be deleted as the policy is attached to one or more principals (name=p)";
    assert_eq!(refused(), ("DeleteConflict".into(), attached.into()));
    lab.ok("DetachPolicy", json!({"policyName": "p", "target": arn}));
    let versions = "Cannot delete the policy because it has one or more policy versions attached to it (name=p)";
    assert_eq!(refused(), ("DeleteConflict".into(), versions.into()));
    lab.ok("DeletePolicyVersion", json!({"policyName": "p", "policyVersionId": "2"}));
    lab.ok("DeletePolicy", json!({"policyName": "p"}));
    assert_eq!(lab.no("DeletePolicy", json!({"policyName": "p"})), "ResourceNotFound");
    assert_eq!(lab.ok("ListPolicies", json!({}))["policies"], json!([]));
    create(&lab, "p");
    assert_eq!(lab.ok("GetPolicy", json!({"policyName": "p"}))["defaultVersionId"], "1");
}

#[test]
fn policies_are_listed_newest_first_unless_asked_otherwise() {
    let lab = Lab::new();
    for name in ["b", "c", "a"] {
        lab.pass(1);
        create(&lab, name);
    }
    for (ascending, expected) in [(true, "bca"), (false, "acb")] {
        let input = json!({"pageSize": 2, "ascendingOrder": ascending});
        let pages = lab.pages("ListPolicies", input, "policies", ("nextMarker", "marker"));
        assert_eq!(column(&Value::Array(pages.concat()), "policyName").concat(), expected);
    }
    assert_eq!(lab.no("ListPolicies", json!({"marker": "AAAA"})), "InvalidRequest");
}

#[test]
fn attaching_and_detaching_twice_is_the_same_as_once() {
    let lab = Lab::new();
    let (_, arn) = lab.certificate();
    create(&lab, "p");
    let input = || json!({"policyName": "p", "target": arn});
    let attached = || column(&lab.ok("ListAttachedPolicies", json!({"target": arn}))["policies"], "policyName");
    let targets = || lab.ok("ListTargetsForPolicy", json!({"policyName": "p"}))["targets"].clone();
    for _ in 0..2 {
        lab.ok("AttachPolicy", input());
        assert_eq!((attached(), targets()), (vec!["p".to_owned()], json!([arn])));
    }
    for _ in 0..2 {
        lab.ok("DetachPolicy", input());
        assert_eq!((attached(), targets()), (vec![], json!([])));
    }
}

#[test]
fn a_certificate_has_ten_policies() {
    let lab = Lab::new();
    let (_, arn) = lab.certificate();
    let attach = |n: usize| lab.call("AttachPolicy", json!({"policyName": format!("p{n:02}"), "target": arn}));
    (0..11).for_each(|n| create(&lab, &format!("p{n:02}")));
    (0..10).for_each(|n| drop(attach(n).unwrap()));
    assert_eq!(attach(10).unwrap_err().0, "LimitExceededException");
    attach(3).unwrap();
    let input = json!({"target": arn, "pageSize": 4});
    let pages = lab.pages("ListAttachedPolicies", input, "policies", ("nextMarker", "marker"));
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
}

#[test]
fn what_is_not_here_is_no_target() {
    let lab = Lab::new();
    create(&lab, "p");
    let unknown = format!("arn:aws:iot:us-east-1:000000000000:cert/{}", "0".repeat(64));
    let cases = [
        (unknown.as_str(), "ResourceNotFound"),
        ("arn:aws:iot:us-east-1:000000000000:thinggroup/g", "ResourceNotFound"),
        ("arn:aws:iot:us-east-1:111122223333:thinggroup/g", "InvalidRequest"),
        ("us-east-1:5b16b9c5", "InvalidRequest"),
        (":5b16b9c5-0000-0000-0000-000000000000", "InvalidRequest"),
        ("arn:aws:iot:us-east-1:000000000000:cert/x", "InvalidRequest"),
        ("x", "InvalidRequest"),
    ];
    for (target, expected) in cases {
        assert_eq!(lab.no("AttachPolicy", json!({"policyName": "p", "target": target})), expected, "{target}");
        assert_eq!(lab.no("ListAttachedPolicies", json!({"target": target})), expected, "{target}");
    }
    let (_, arn) = lab.certificate();
    assert_eq!(lab.no("AttachPolicy", json!({"policyName": "none", "target": arn})), "ResourceNotFound");
    let refused = lab.refused("ListTargetsForPolicy", json!({"policyName": "none"}));
    assert_eq!(refused, ("ResourceNotFound".into(), "Policy not found".into()));
}

fn group(lab: &Lab, name: &str, parent: Option<&str>) -> String {
    let mut input = json!({"thingGroupName": name});
    if let Some(parent) = parent {
        input["parentGroupName"] = parent.into();
    }
    text(&lab.ok("CreateThingGroup", input)["thingGroupArn"])
}

#[test]
fn a_group_has_two_policies_and_lists_those_above_it_if_asked() {
    let lab = Lab::new();
    let root = group(&lab, "root", None);
    let hall = group(&lab, "hall", Some("root"));
    for name in ["a", "b", "c", "d"] {
        create(&lab, name);
    }
    let attach = |name: &str, target: &str| lab.call("AttachPolicy", json!({"policyName": name, "target": target}));
    for (name, target) in [("c", &root), ("a", &root), ("b", &hall), ("a", &hall), ("a", &hall)] {
        attach(name, target).unwrap();
    }
    assert_eq!(attach("d", &hall).unwrap_err().0, "LimitExceededException");
    let listed = |target: &str, recursive: bool| {
        let input = json!({"target": target, "recursive": recursive, "pageSize": 2});
        let pages = lab.pages("ListAttachedPolicies", input, "policies", ("nextMarker", "marker"));
        column(&Value::Array(pages.concat()), "policyName").concat()
    };
    assert_eq!(
        (listed(&hall, false), listed(&hall, true), listed(&root, true)),
        ("ab".into(), "abc".into(), "ac".into())
    );
    assert_eq!(lab.ok("ListTargetsForPolicy", json!({"policyName": "a"}))["targets"], json!([hall, root]));
    assert_eq!(lab.no("DeletePolicy", json!({"policyName": "a"})), "DeleteConflict");
    lab.ok("DeleteThingGroup", json!({"thingGroupName": "hall"}));
    assert_eq!(lab.ok("ListTargetsForPolicy", json!({"policyName": "b"}))["targets"], json!([]));
}

#[test]
fn an_identity_of_cognito_has_policies_by_its_id() {
    let lab = Lab::new();
    let id = "us-east-1:5b16b9c5-0000-4000-8000-0123456789ab";
    create(&lab, "p");
    lab.ok("AttachPolicy", json!({"policyName": "p", "target": id}));
    assert_eq!(column(&lab.ok("ListAttachedPolicies", json!({"target": id}))["policies"], "policyName"), ["p"]);
    assert_eq!(column(&lab.ok("ListPrincipalPolicies", json!({"principal": id}))["policies"], "policyName"), ["p"]);
    lab.ok("DetachPolicy", json!({"policyName": "p", "target": id}));
    assert_eq!(lab.ok("ListAttachedPolicies", json!({"target": id}))["policies"], json!([]));
}

#[test]
fn what_strikes_in_a_policy_is_told_when_it_is_written() {
    let lab = Lab::new();
    let warned = || -> Vec<(String, u64, &'static str)> {
        let warning = |kind| match kind {
            cloud::Kind::PolicyWarning { policy, version, code, .. } => Some((policy, version, code)),
            _ => None,
        };
        lab.events().into_iter().filter_map(warning).collect()
    };
    let resource = "arn:aws:iot:eu-west-1:000000000000:topic/a";
    let text = |action: &str, resource: &str| {
        json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": action, "Resource": resource}})
            .to_string()
    };
    lab.ok("CreatePolicy", json!({"policyName": "p", "policyDocument": text("iot:*", "*")}));
    assert_eq!(warned(), [("p".to_owned(), 1, "everything")]);
    lab.ok("CreatePolicyVersion", json!({"policyName": "p", "policyDocument": text("iot:Publish", resource)}));
    assert_eq!(warned(), [("p".to_owned(), 2, "elsewhere")]);
    lab.no("CreatePolicy", json!({"policyName": "p", "policyDocument": text("iot:*", "*")}));
    assert_eq!(warned(), []);
}

#[test]
fn the_deprecated_operations_are_the_same_relation() {
    let lab = Lab::new();
    let (_, arn) = lab.certificate();
    create(&lab, "p");
    let input = || json!({"policyName": "p", "principal": arn});
    lab.ok("AttachPrincipalPolicy", input());
    assert_eq!(lab.ok("ListTargetsForPolicy", json!({"policyName": "p"}))["targets"], json!([arn]));
    assert_eq!(lab.ok("ListPolicyPrincipals", json!({"policyName": "p"}))["principals"], json!([arn]));
    assert_eq!(column(&lab.ok("ListPrincipalPolicies", json!({"principal": arn}))["policies"], "policyName"), ["p"]);
    lab.ok("DetachPrincipalPolicy", input());
    assert_eq!(lab.ok("ListAttachedPolicies", json!({"target": arn}))["policies"], json!([]));
    assert_eq!(lab.no("DetachPrincipalPolicy", input()), "ResourceNotFound");
}

#[test]
fn policies_of_another_account_are_not_seen() {
    let lab = Lab::new();
    create(&lab, "p");
    let other = lab.elsewhere("000000000001", "us-east-1");
    assert_eq!(other.no("GetPolicy", json!({"policyName": "p"})), "ResourceNotFound");
    create(&other, "p");
    other.ok("DeletePolicy", json!({"policyName": "p"}));
    lab.ok("GetPolicy", json!({"policyName": "p"}));
}
