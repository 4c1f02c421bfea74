//! Role aliases, and the temporary keys that devices get for them: whom they are given, what they say, when they are over.

use cloud::{Caller, Identity, NotASigner};
use serde_json::{Value, json};
use wire::Refusal;

use crate::house::{Lab, text};

const ROLE: &str = "arn:aws:iam::000000000000:role/r";

fn role(lab: &Lab, service: &str) {
    // As AWS advises, it asks for whom the service acts.
    let trust = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole", "Condition": {
            "StringEquals": {"aws:SourceAccount": "000000000000"},
            "ArnLike": {"aws:SourceArn": "arn:aws:iot:us-east-1:000000000000:rolealias/*"}}}]});
    lab.ok("iam:CreateRole", json!({"RoleName": "r", "AssumeRolePolicyDocument": trust.to_string()}));
    let grant = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:UpdateThingShadow",
        "Resource": "arn:aws:iot:us-east-1:000000000000:thing/${credentials-iot:ThingName}"}]});
    lab.ok("iam:PutRolePolicy", json!({"RoleName": "r", "PolicyName": "p", "PolicyDocument": grant.to_string()}));
}

fn alias(lab: &Lab, more: Value) -> Value {
    let mut input = json!({"roleAlias": "a", "roleArn": ROLE});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    lab.ok("CreateRoleAlias", input)
}

/// A certificate that may take roles by the alias, and belongs to a thing of this name.
fn device(lab: &Lab, thing: &str) -> String {
    let (id, arn) = lab.certificate();
    let document = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Action": "iot:AssumeRoleWithCertificate", "Resource": "arn:aws:iot:us-east-1:000000000000:rolealias/a"}]});
    lab.ok("CreatePolicy", json!({"policyName": "p", "policyDocument": document.to_string()}));
    lab.ok("AttachPolicy", json!({"policyName": "p", "target": arn}));
    lab.ok("CreateThing", json!({"thingName": thing}));
    lab.ok("AttachThingPrincipal", json!({"thingName": thing, "principal": arn}));
    id
}

fn take(lab: &Lab, certificate_id: &str, alias: &str, thing: Option<&str>) -> Result<Value, Refusal> {
    let device = Identity::Device { certificate_id: certificate_id.to_owned(), source_ip: "192.0.2.1".to_owned() };
    lab.objects(|house, caller, now, entropy| {
        let caller = Caller::new(caller.scope.clone(), device);
        Ok(house.device_credentials(&caller, alias, thing, (now, entropy))?["credentials"].clone())
    })
}

/// The same keys as STS writes them.
fn keys(given: &Value) -> Value {
    json!({"AccessKeyId": given["accessKeyId"], "SessionToken": given["sessionToken"]})
}

#[test]
fn an_alias_is_as_it_was_made_and_changed() {
    let lab = Lab::new();
    let made = alias(&lab, json!({"tags": [{"Key": "team", "Value": "blue"}]}));
    assert_eq!(made["roleAliasArn"], "arn:aws:iot:us-east-1:000000000000:rolealias/a");
    let got = lab.ok("DescribeRoleAlias", json!({"roleAlias": "a"}))["roleAliasDescription"].clone();
    assert_eq!((&got["roleArn"], &got["credentialDurationSeconds"]), (&json!(ROLE), &json!(3600)));
    assert_eq!(got["owner"], "000000000000");
    lab.pass(1000);
    lab.ok("UpdateRoleAlias", json!({"roleAlias": "a", "credentialDurationSeconds": 900}));
    let changed = lab.ok("DescribeRoleAlias", json!({"roleAlias": "a"}))["roleAliasDescription"].clone();
    assert_eq!((&changed["roleArn"], &changed["credentialDurationSeconds"]), (&json!(ROLE), &json!(900)));
    assert_eq!(changed["creationDate"], got["creationDate"]);
    assert_ne!(changed["lastModifiedDate"], got["lastModifiedDate"]);
    let tags = lab.ok("ListTagsForResource", json!({"resourceArn": made["roleAliasArn"]}));
    assert_eq!(tags["tags"], json!([{"Key": "team", "Value": "blue"}]));
    assert_eq!(lab.no("CreateRoleAlias", json!({"roleAlias": "a", "roleArn": ROLE})), "ResourceAlreadyExists");
    lab.ok("DeleteRoleAlias", json!({"roleAlias": "a"}));
    for operation in ["DescribeRoleAlias", "UpdateRoleAlias", "DeleteRoleAlias"] {
        assert_eq!(lab.no(operation, json!({"roleAlias": "a"})), "ResourceNotFound", "{operation}");
    }
}

#[test]
fn aliases_are_listed_by_name_backwards_unless_asked_otherwise() {
    let lab = Lab::new();
    for name in ["b", "a", "c"] {
        lab.ok("CreateRoleAlias", json!({"roleAlias": name, "roleArn": ROLE}));
    }
    assert_eq!(lab.ok("ListRoleAliases", json!({}))["roleAliases"], json!(["c", "b", "a"]));
    let page = lab.ok("ListRoleAliases", json!({"ascendingOrder": true, "pageSize": 2}));
    assert_eq!(page["roleAliases"], json!(["a", "b"]));
    let next = json!({"ascendingOrder": true, "pageSize": 2, "marker": page["nextMarker"]});
    assert_eq!(lab.ok("ListRoleAliases", next), json!({"roleAliases": ["c"]}));
}

#[test]
fn keys_outlast_neither_the_alias_nor_what_the_role_allows() {
    let lab = Lab::new();
    role(&lab, "credentials.iot.amazonaws.com");
    let longer = json!({"roleAlias": "b", "roleArn": ROLE, "credentialDurationSeconds": 3601});
    assert_eq!(lab.no("CreateRoleAlias", longer), "InvalidRequest");
    alias(&lab, json!({"credentialDurationSeconds": 900}));
    let id = device(&lab, "lamp");
    let given = take(&lab, &id, "a", None).unwrap();
    assert_eq!(given["expiration"], "2023-11-14T22:28:20Z");
    lab.pass(899_999);
    assert!(lab.session(&keys(&given)).unwrap().is_some());
    lab.pass(1);
    assert!(matches!(lab.session(&keys(&given)), Err(NotASigner::Expired)));
}

#[test]
fn what_is_known_of_the_device_goes_with_its_keys() {
    let lab = Lab::new();
    role(&lab, "credentials.iot.amazonaws.com");
    alias(&lab, json!({}));
    let id = device(&lab, "lamp");
    lab.ok("CreateThing", json!({"thingName": "other"}));
    let update = |given: &Value, thing: &str| {
        let signer = lab.session(&keys(given)).unwrap().unwrap();
        let body = br#"{"state":{"reported":{"on":true}}}"#;
        lab.call_as(signer.identity, "UpdateThingShadow", json!({"thingName": thing}), body).map(drop)
    };
    let given = take(&lab, &id, "a", Some("lamp")).unwrap();
    update(&given, "lamp").unwrap();
    assert_eq!(update(&given, "other").unwrap_err().error(), "AccessDeniedException");
    let nameless = take(&lab, &id, "a", None).unwrap();
    assert_eq!(update(&nameless, "lamp").unwrap_err().error(), "AccessDeniedException");
    let signer = lab.session(&keys(&given)).unwrap().unwrap();
    let Identity::Role(session) = signer.identity else { panic!() };
    assert_eq!(session.arn, format!("arn:aws:sts::000000000000:assumed-role/r/{id}"));
}

#[test]
fn keys_are_given_to_nobody_else() {
    let lab = Lab::new();
    role(&lab, "credentials.iot.amazonaws.com");
    alias(&lab, json!({}));
    lab.ok("CreateRoleAlias", json!({"roleAlias": "b", "roleArn": ROLE}));
    let id = device(&lab, "lamp");
    let refused = |id: &str, alias: &str, thing: Option<&str>| {
        let refusal = take(&lab, id, alias, thing).unwrap_err();
        (refusal.status(None), lab.refusals().pop().map(|refused| refused.decision))
    };
    let told = |word: &str| (403, Some(word.to_owned()));
    lab.refusals();
    assert_eq!(refused(&id, "b", None), told("IMPLICIT_DENY"));
    assert_eq!(refused(&id, "none", None), told("IMPLICIT_DENY"));
    lab.ok("CreateThing", json!({"thingName": "other"}));
    assert_eq!(refused(&id, "a", Some("other")), told("NOT_ITS_THING"));
    assert_eq!(refused(&"0".repeat(64), "a", None), told("UNKNOWN_CERTIFICATE"));
    lab.ok("DeleteRoleAlias", json!({"roleAlias": "a"}));
    assert_eq!(refused(&id, "a", None), (404, None));
    alias(&lab, json!({}));
    lab.ok("UpdateCertificate", json!({"certificateId": id, "newStatus": "INACTIVE"}));
    assert_eq!(refused(&id, "a", None), told("INACTIVE"));
    let key = lab.objects(|house, caller, now, entropy| house.device_credentials(caller, "a", None, (now, entropy)));
    assert_eq!(key.unwrap_err().error(), "ForbiddenException");
}

#[test]
fn a_role_that_trusts_another_service_is_not_given() {
    let lab = Lab::new();
    role(&lab, "lambda.amazonaws.com");
    alias(&lab, json!({}));
    let id = device(&lab, "lamp");
    assert_eq!(take(&lab, &id, "a", None).unwrap_err().status(None), 403);
    let refused = lab.refusals().pop().unwrap();
    assert_eq!(text(&json!(refused.decision)), "ROLE_NOT_TRUSTING");
}
