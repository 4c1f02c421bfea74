//! Who one is, and credentials for a while. How a session token comes with a request is the door's affair.

use cloud::{Identity, NotASigner, Signer};
use serde_json::{Value, json};
use wire::Refusal;

use crate::house::{Lab, text};

const ROOT: &str = "arn:aws:iam::000000000000:root";
const ROLE: &str = "arn:aws:iam::000000000000:role/r";

/// A role that trusts these principals, under this condition.
fn role(lab: &Lab, principal: Value, condition: Value) {
    let actions = ["sts:AssumeRole", "sts:TagSession"];
    let statement = json!({"Effect": "Allow", "Principal": principal, "Action": actions, "Condition": condition});
    let trust = json!({"Version": "2012-10-17", "Statement": statement}).to_string();
    lab.ok("iam:CreateRole", json!({"RoleName": "r", "AssumeRolePolicyDocument": trust}));
}

fn assume(lab: &Lab) -> Value {
    lab.ok("sts:AssumeRole", json!({"RoleArn": ROLE, "RoleSessionName": "me"}))
}

/// An operation by somebody.
fn as_caller(lab: &Lab, caller: &Signer, operation: &str, input: Value) -> Result<Value, Refusal> {
    lab.call_as(caller.identity.clone(), operation, input, b"").map(|output| Value::Object(output.fields().clone()))
}

#[test]
fn a_key_is_the_root_of_its_account() {
    let lab = Lab::new();
    let expected = json!({"Arn": ROOT, "UserId": "000000000000", "Account": "000000000000"});
    assert_eq!(lab.ok("sts:GetCallerIdentity", json!({})), expected);
}

#[test]
fn whoever_takes_a_role_is_that_role() {
    let lab = Lab::new();
    role(&lab, json!({"AWS": ROOT}), json!({}));
    let taken = assume(&lab);
    let (user, credentials) = (&taken["AssumedRoleUser"], &taken["Credentials"]);
    assert_eq!(user["Arn"], "arn:aws:sts::000000000000:assumed-role/r/me");
    assert_eq!(credentials["Expiration"].as_f64(), Some(1_700_003_600.0));
    assert_eq!(text(&credentials["SecretAccessKey"]).len(), 40);
    let key = text(&credentials["AccessKeyId"]);
    assert!(key.starts_with("ASIA") && key.len() == 20, "{key}");
    let caller = lab.session(credentials).unwrap().unwrap();
    let identity = as_caller(&lab, &caller, "sts:GetCallerIdentity", json!({})).unwrap();
    assert_eq!(identity["Arn"], user["Arn"]);
    assert_eq!(identity["UserId"], user["AssumedRoleId"]);
    assert_eq!(as_caller(&lab, &caller, "iam:GetUser", json!({})).unwrap_err().error(), "AccessDenied");
}

#[test]
fn nothing_that_is_given_out_twice_is_the_same() {
    let lab = Lab::new();
    role(&lab, json!("*"), json!({}));
    let (first, second) = (assume(&lab), assume(&lab));
    for part in ["AccessKeyId", "SecretAccessKey", "SessionToken"] {
        assert_ne!(first["Credentials"][part], second["Credentials"][part], "{part}");
    }
}

#[test]
fn credentials_are_good_for_as_long_as_was_asked() {
    let lab = Lab::new();
    role(&lab, json!("*"), json!({}));
    let request = json!({"RoleArn": ROLE, "RoleSessionName": "me", "DurationSeconds": 900});
    let credentials = lab.ok("sts:AssumeRole", request)["Credentials"].clone();
    lab.pass(899_999);
    assert!(lab.session(&credentials).unwrap().is_some());
    lab.pass(1);
    assert!(matches!(lab.session(&credentials), Err(NotASigner::Expired)));
}

#[test]
fn a_token_is_good_with_its_own_key_only_and_unchanged() {
    let lab = Lab::new();
    role(&lab, json!("*"), json!({}));
    let (mine, other) = (assume(&lab)["Credentials"].clone(), assume(&lab)["Credentials"].clone());
    let mixed = json!({"AccessKeyId": mine["AccessKeyId"], "SessionToken": other["SessionToken"]});
    assert!(matches!(lab.session(&mixed), Err(NotASigner::Unknown)));
    let token = text(&mine["SessionToken"]);
    let turned = if token[40..].starts_with('A') { "B" } else { "A" };
    let bent = format!("{}{turned}{}", &token[..40], &token[41..]);
    for bent in [bent, token[..40].to_owned(), format!("{token}é")] {
        let bent = json!({"AccessKeyId": mine["AccessKeyId"], "SessionToken": bent});
        assert!(matches!(lab.session(&bent), Err(NotASigner::Unknown)), "{bent}");
    }
    // Without its token a temporary key is nobody's, wherever it came from.
    for key in [text(&mine["AccessKeyId"]), "ASIAIOSFODNN7EXAMPLE".to_owned()] {
        assert!(matches!(lab.signer(&key), Err(NotASigner::Unknown)), "{key}");
    }
    // Another's token says nothing here.
    let foreign = json!({"AccessKeyId": "ASIAIOSFODNN7EXAMPLE", "SessionToken": "IQoJb3JpZ2luX2Vj"});
    assert!(lab.session(&foreign).unwrap().is_none());
}

#[test]
fn a_role_is_given_to_whom_it_trusts() {
    let refused = |principal: Value, condition: Value, more: Value| {
        let lab = Lab::new();
        role(&lab, principal, condition);
        let mut request = json!({"RoleArn": ROLE, "RoleSessionName": "me"});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        lab.call("sts:AssumeRole", request).err().map(|(error, _)| error)
    };
    let denied = || Some("AccessDenied".to_owned());
    assert_eq!(refused(json!({"AWS": "000000000000"}), json!({}), json!({})), None);
    assert_eq!(refused(json!({"AWS": "000000000001"}), json!({}), json!({})), denied());
    assert_eq!(refused(json!({"Service": "lambda.amazonaws.com"}), json!({}), json!({})), denied());
    let external = || json!({"StringEquals": {"sts:ExternalId": "abc"}});
    assert_eq!(refused(json!("*"), external(), json!({})), denied());
    assert_eq!(refused(json!("*"), external(), json!({"ExternalId": "abd"})), denied());
    assert_eq!(refused(json!("*"), external(), json!({"ExternalId": "abc"})), None);
    let tagged = json!({"StringEquals": {"aws:RequestTag/team": "a"}});
    assert_eq!(refused(json!("*"), tagged, json!({"Tags": [{"Key": "team", "Value": "a"}]})), None);
    // The document does not speak of sts:SetSourceIdentity.
    assert_eq!(refused(json!("*"), json!({}), json!({"SourceIdentity": "alice"})), denied());
}

#[test]
fn a_role_that_is_not_there_is_denied_like_one_that_does_not_trust() {
    let lab = Lab::new();
    let (error, message) = lab.refused("sts:AssumeRole", json!({"RoleArn": ROLE, "RoleSessionName": "me"}));
    assert_eq!(error, "AccessDenied");
    assert_eq!(message, format!("User: {ROOT} is not authorized to perform: sts:AssumeRole on resource: {ROLE}"));
}

#[test]
fn a_role_can_be_taken_from_a_role_for_an_hour() {
    let lab = Lab::new();
    role(&lab, json!({"AWS": ["000000000000"]}), json!({}));
    let second = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"{ROLE}"}},"Action":"sts:AssumeRole"}}}}"#
    );
    let made = json!({"RoleName": "s", "AssumeRolePolicyDocument": second, "MaxSessionDuration": 7200});
    lab.ok("iam:CreateRole", made);
    let arn = "arn:aws:iam::000000000000:role/s";
    let request = |seconds| json!({"RoleArn": arn, "RoleSessionName": "me", "DurationSeconds": seconds});
    assert_eq!(lab.no("sts:AssumeRole", request(3600)), "AccessDenied");
    let caller = lab.session(&assume(&lab)["Credentials"]).unwrap().unwrap();
    let taken = as_caller(&lab, &caller, "sts:AssumeRole", request(3600)).unwrap();
    assert_eq!(taken["AssumedRoleUser"]["Arn"], "arn:aws:sts::000000000000:assumed-role/s/me");
    let refused = as_caller(&lab, &caller, "sts:AssumeRole", request(3601)).unwrap_err();
    assert_eq!(refused.error(), "ValidationError");
    assert!(refused.message().contains("role chaining"));
}

#[test]
fn a_session_is_no_longer_than_its_role_allows() {
    let lab = Lab::new();
    role(&lab, json!("*"), json!({}));
    let request = json!({"RoleArn": ROLE, "RoleSessionName": "me", "DurationSeconds": 3601});
    assert_eq!(lab.no("sts:AssumeRole", request.clone()), "ValidationError");
    lab.ok("iam:UpdateRole", json!({"RoleName": "r", "MaxSessionDuration": 7200}));
    lab.ok("sts:AssumeRole", request);
}

#[test]
fn a_policy_that_comes_with_a_request_is_read() {
    let lab = Lab::new();
    role(&lab, json!("*"), json!({}));
    let with = |policy: &str| json!({"RoleArn": ROLE, "RoleSessionName": "me", "Policy": policy});
    let grant = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
    let size = lab.ok("sts:AssumeRole", with(grant))["PackedPolicySize"].as_i64().unwrap();
    assert!((1..=100).contains(&size), "{size}");
    assert_eq!(lab.no("sts:AssumeRole", with("{")), "MalformedPolicyDocument");
    assert_eq!(lab.no("sts:AssumeRole", with(&format!("{grant}{}", " ".repeat(2048)))), "ValidationError");
    let mfa = json!({"RoleArn": ROLE, "RoleSessionName": "me", "SerialNumber": "arn:aws:iam::000000000000:mfa/a"});
    assert_eq!(lab.no("sts:AssumeRole", mfa), "NotImplemented");
}

#[test]
fn a_session_of_the_account_stays_its_root_and_begins_no_other() {
    let lab = Lab::new();
    let credentials = lab.ok("sts:GetSessionToken", json!({"DurationSeconds": 900}))["Credentials"].clone();
    let caller = lab.session(&credentials).unwrap().unwrap();
    assert!(matches!(&caller.identity, Identity::Key(key) if *key == text(&credentials["AccessKeyId"])));
    assert_eq!(as_caller(&lab, &caller, "sts:GetCallerIdentity", json!({})).unwrap()["Arn"], ROOT);
    role(&lab, json!("*"), json!({}));
    let caller = lab.session(&assume(&lab)["Credentials"]).unwrap().unwrap();
    assert_eq!(as_caller(&lab, &caller, "sts:GetSessionToken", json!({})).unwrap_err().error(), "AccessDenied");
}

#[test]
fn a_session_belongs_to_its_account_whatever_its_key_looks_like() {
    let lab = Lab::new().elsewhere("123456789012", "eu-west-1");
    let credentials = lab.ok("sts:GetSessionToken", json!({}))["Credentials"].clone();
    let caller = lab.session(&credentials).unwrap().unwrap();
    assert_eq!((&*caller.scope.account, &*caller.scope.region), ("123456789012", "eu-west-1"));
}

#[test]
fn a_device_has_no_identity_here() {
    let lab = Lab::new();
    let device = Identity::Device { certificate_id: "c".to_owned(), source_ip: String::new() };
    let refused = lab.call_as(device, "sts:GetCallerIdentity", json!({}), b"").unwrap_err();
    assert_eq!(refused.error(), "ForbiddenException");
}
