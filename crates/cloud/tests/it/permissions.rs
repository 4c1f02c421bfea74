//! Users, their keys, and what the policies of IAM let them and the holders of roles do: asked in the house, as every request is.

use cloud::{Caller, Identity, NotASigner, Signer};
use serde_json::{Value, json};

use crate::house::{Lab, text};

const FULL: &str = "arn:aws:iam::aws:policy/AWSIoTFullAccess";
const THING: &str = "arn:aws:iot:us-east-1:000000000000:thing/";

fn allow(action: &Value, resource: &Value) -> String {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]})
        .to_string()
}

/// A user of this name with a key.
fn user(lab: &Lab, name: &str) -> Signer {
    lab.ok("iam:CreateUser", json!({"UserName": name}));
    let key = lab.ok("iam:CreateAccessKey", json!({"UserName": name}))["AccessKey"].clone();
    lab.signer(&text(&key["AccessKeyId"])).unwrap().unwrap()
}

fn put(lab: &Lab, name: &str, document: &str) {
    lab.ok("iam:PutUserPolicy", json!({"UserName": name, "PolicyName": "p", "PolicyDocument": document}));
}

/// The name of the refusal, or `ok`.
fn does(lab: &Lab, who: &Signer, operation: &str, input: Value) -> String {
    let outcome = lab.call_as(who.identity.clone(), operation, input, b"");
    outcome.map_or_else(|refusal| refusal.error().to_owned(), |_| "ok".to_owned())
}

#[test]
fn a_key_stands_for_its_user_and_its_secret_lies_sealed() {
    let lab = Lab::new();
    lab.ok("iam:CreateUser", json!({"UserName": "alice", "Path": "/plant/"}));
    let key = lab.ok("iam:CreateAccessKey", json!({"UserName": "alice"}))["AccessKey"].clone();
    let (id, secret) = (text(&key["AccessKeyId"]), text(&key["SecretAccessKey"]));
    assert!(id.starts_with("AKIA") && id.len() == 20 && secret.len() == 40, "{key}");
    let signer = lab.signer(&id).unwrap().unwrap();
    assert_eq!(signer.secret.expose(), secret);
    assert!(!format!("{signer:?}").contains(&secret));
    let Identity::User(user) = &signer.identity else { panic!("{signer:?}") };
    assert_eq!(user.arn, "arn:aws:iam::000000000000:user/plant/alice");
    let who = lab.call_as(signer.identity.clone(), "sts:GetCallerIdentity", json!({}), b"").unwrap();
    assert_eq!((&who.fields()["Arn"], &who.fields()["UserId"]), (&json!(user.arn), &json!(user.id)));
    let listed = lab.ok("iam:ListAccessKeys", json!({"UserName": "alice"}))["AccessKeyMetadata"].clone();
    assert_eq!((&listed[0]["AccessKeyId"], &listed[0]["Status"]), (&json!(id), &json!("Active")));
    assert!(!listed.to_string().contains(&secret));
}

#[test]
fn a_key_that_is_switched_off_or_gone_opens_nothing() {
    let lab = Lab::new();
    lab.ok("iam:CreateUser", json!({"UserName": "alice"}));
    let id = text(&lab.ok("iam:CreateAccessKey", json!({"UserName": "alice"}))["AccessKey"]["AccessKeyId"]);
    lab.ok("iam:UpdateAccessKey", json!({"UserName": "alice", "AccessKeyId": id, "Status": "Inactive"}));
    assert!(matches!(lab.signer(&id), Err(NotASigner::Unknown)));
    lab.ok("iam:UpdateAccessKey", json!({"AccessKeyId": id, "Status": "Active"}));
    assert!(lab.signer(&id).unwrap().is_some());
    assert_eq!(lab.no("iam:DeleteUser", json!({"UserName": "alice"})), "DeleteConflict");
    lab.ok("iam:DeleteAccessKey", json!({"UserName": "alice", "AccessKeyId": id}));
    assert!(lab.signer(&id).unwrap().is_none());
    lab.ok("iam:DeleteUser", json!({"UserName": "alice"}));
    let tables = ["iam_users", "iam_access_keys", "iam_user_access_keys"];
    assert_eq!(tables.map(|table| lab.rows(table)), [0, 0, 0]);
}

#[test]
fn a_user_has_two_keys_and_sees_its_own_without_a_name() {
    let lab = Lab::new();
    let alice = user(&lab, "alice");
    put(&lab, "alice", &allow(&json!("iam:*AccessKey*"), &json!("arn:aws:iam::000000000000:user/alice")));
    assert_eq!(does(&lab, &alice, "iam:ListAccessKeys", json!({})), "ok");
    assert_eq!(does(&lab, &alice, "iam:CreateAccessKey", json!({"UserName": "alice"})), "ok");
    assert_eq!(does(&lab, &alice, "iam:CreateAccessKey", json!({"UserName": "alice"})), "LimitExceeded");
    assert_eq!(does(&lab, &alice, "iam:CreateAccessKey", json!({"UserName": "bob"})), "AccessDenied");
    assert_eq!(lab.ok("iam:ListAccessKeys", json!({}))["AccessKeyMetadata"], json!([]));
}

#[test]
fn a_user_without_policies_may_do_nothing_and_is_told_so_in_awss_words() {
    let lab = Lab::new();
    let alice = user(&lab, "alice");
    let refusal = lab.call_as(alice.identity.clone(), "CreateThing", json!({"thingName": "lamp"}), b"").unwrap_err();
    assert_eq!((refusal.error(), refusal.status(None)), ("AccessDeniedException", 403));
    assert_eq!(
        refusal.message(),
        format!(
            "User: arn:aws:iam::000000000000:user/alice is not authorized to perform: iot:CreateThing on resource: \
             {THING}lamp because no identity-based policy allows the iot:CreateThing action"
        )
    );
    let refused = lab.refusals().pop().unwrap();
    assert_eq!((refused.action.as_str(), refused.decision.as_str()), ("iot:CreateThing", "IMPLICIT_DENY"));
    assert_eq!(refused.principal, "arn:aws:iam::000000000000:user/alice");
}

#[test]
fn policies_are_asked_by_operation_and_resource() {
    let lab = Lab::new();
    let alice = user(&lab, "alice");
    put(&lab, "alice", &allow(&json!(["iot:CreateThing", "iot:ListThings"]), &json!([format!("{THING}plant-*"), "*"])));
    assert_eq!(does(&lab, &alice, "CreateThing", json!({"thingName": "other"})), "ok");
    put(&lab, "alice", &allow(&json!(["iot:CreateThing", "iot:ListThings"]), &json!(format!("{THING}plant-*"))));
    assert_eq!(does(&lab, &alice, "CreateThing", json!({"thingName": "plant-1"})), "ok");
    assert_eq!(does(&lab, &alice, "CreateThing", json!({"thingName": "lamp"})), "AccessDeniedException");
    assert_eq!(does(&lab, &alice, "DeleteThing", json!({"thingName": "plant-1"})), "AccessDeniedException");
    // An operation on no resource of its own is asked for all.
    assert_eq!(does(&lab, &alice, "ListThings", json!({})), "AccessDeniedException");
    put(&lab, "alice", &allow(&json!("iot:List*"), &json!("*")));
    assert_eq!(does(&lab, &alice, "ListThings", json!({})), "ok");
}

#[test]
fn what_a_group_may_do_its_users_may() {
    let lab = Lab::new();
    let alice = user(&lab, "alice");
    lab.ok("iam:CreateGroup", json!({"GroupName": "staff"}));
    let inside = |action: &str| {
        let document = allow(&json!(action), &json!("*"));
        lab.ok("iam:PutGroupPolicy", json!({"GroupName": "staff", "PolicyName": "p", "PolicyDocument": document}));
    };
    inside("iot:ListThings");
    assert_eq!(does(&lab, &alice, "ListThings", json!({})), "AccessDeniedException");
    lab.ok("iam:AddUserToGroup", json!({"GroupName": "staff", "UserName": "alice"}));
    assert_eq!(does(&lab, &alice, "ListThings", json!({})), "ok");
    lab.ok("iam:AttachGroupPolicy", json!({"GroupName": "staff", "PolicyArn": FULL}));
    assert_eq!(does(&lab, &alice, "CreateThing", json!({"thingName": "lamp"})), "ok");
    // A boundary holds for what comes by a group, too.
    let document = allow(&json!("iot:List*"), &json!("*"));
    let bound =
        text(&lab.ok("iam:CreatePolicy", json!({"PolicyName": "b", "PolicyDocument": document}))["Policy"]["Arn"]);
    lab.ok("iam:PutUserPermissionsBoundary", json!({"UserName": "alice", "PermissionsBoundary": bound}));
    assert_eq!(does(&lab, &alice, "CreateThing", json!({"thingName": "lamp"})), "AccessDeniedException");
    lab.ok("iam:RemoveUserFromGroup", json!({"GroupName": "staff", "UserName": "alice"}));
    assert_eq!(does(&lab, &alice, "ListThings", json!({})), "AccessDeniedException");
}

#[test]
fn who_renames_must_be_allowed_both_names() {
    let lab = Lab::new();
    let alice = user(&lab, "alice");
    lab.ok("iam:CreateUser", json!({"UserName": "bob"}));
    let arn = |name: &str| json!(format!("arn:aws:iam::000000000000:user/{name}"));
    let rename = json!({"UserName": "bob", "NewUserName": "carol"});
    put(&lab, "alice", &allow(&json!("iam:UpdateUser"), &arn("bob")));
    assert_eq!(does(&lab, &alice, "iam:UpdateUser", rename.clone()), "AccessDenied");
    put(&lab, "alice", &allow(&json!("iam:UpdateUser"), &json!([arn("bob"), arn("carol")])));
    assert_eq!(does(&lab, &alice, "iam:UpdateUser", rename), "ok");
}

#[test]
fn several_secrets_are_read_by_whom_each_is_allowed() {
    let lab = Lab::new();
    let alice = user(&lab, "alice");
    let create =
        |name: &str| text(&lab.ok("secretsmanager:CreateSecret", json!({"Name": name, "SecretString": "x"}))["ARN"]);
    let (mine, other) = (create("mine"), create("other"));
    let grants = |secrets: Value| {
        let statement = |action: &str, resource: &Value| json!({"Effect": "Allow", "Action": format!("secretsmanager:{action}"), "Resource": resource});
        let statements = [
            statement("BatchGetSecretValue", &json!("*")),
            statement("ListSecrets", &json!("*")),
            statement("GetSecretValue", &secrets),
        ];
        put(&lab, "alice", &json!({"Version": "2012-10-17", "Statement": statements}).to_string());
    };
    let both = json!({"SecretIdList": ["mine", "other"]});
    let all = json!({"Filters": [{"Key": "name", "Values": ["mine", "other"]}]});
    grants(json!([mine]));
    assert_eq!(does(&lab, &alice, "BatchGetSecretValue", json!({"SecretIdList": ["mine"]})), "ok");
    for asked in [&both, &all] {
        assert_eq!(does(&lab, &alice, "BatchGetSecretValue", asked.clone()), "AccessDeniedException");
    }
    grants(json!([mine, other]));
    for asked in [&both, &all] {
        assert_eq!(does(&lab, &alice, "BatchGetSecretValue", asked.clone()), "ok");
    }
}

#[test]
fn a_thing_comes_into_a_group_where_both_are_allowed() {
    let lab = Lab::new();
    let alice = user(&lab, "alice");
    let group = |name: &str| format!("arn:aws:iot:us-east-1:000000000000:thinggroup/{name}");
    for name in ["plant", "hall"] {
        lab.ok("CreateThingGroup", json!({"thingGroupName": name}));
    }
    lab.ok("CreateThing", json!({"thingName": "lamp"}));
    let one = |name: &str| json!({"thingName": "lamp", "thingGroupName": name});
    let several = json!({"thingName": "lamp", "thingGroupsToAdd": ["plant"], "thingGroupsToRemove": ["hall"]});
    let adding = json!(["iot:AddThingToThingGroup", "iot:UpdateThingGroupsForThing"]);
    put(&lab, "alice", &allow(&adding, &json!(group("plant"))));
    assert_eq!(does(&lab, &alice, "AddThingToThingGroup", one("plant")), "AccessDeniedException");
    put(&lab, "alice", &allow(&adding, &json!([group("plant"), format!("{THING}lamp")])));
    assert_eq!(does(&lab, &alice, "AddThingToThingGroup", one("plant")), "ok");
    assert_eq!(does(&lab, &alice, "AddThingToThingGroup", one("hall")), "AccessDeniedException");
    assert_eq!(does(&lab, &alice, "UpdateThingGroupsForThing", several.clone()), "AccessDeniedException");
    put(&lab, "alice", &allow(&adding, &json!([group("*"), format!("{THING}lamp")])));
    assert_eq!(does(&lab, &alice, "UpdateThingGroupsForThing", several), "ok");
}

#[test]
fn a_certificate_is_what_is_asked_about_where_it_comes_to_a_thing() {
    let lab = Lab::new();
    let (alice, (_, arn)) = (user(&lab, "alice"), lab.certificate());
    lab.ok("CreateThing", json!({"thingName": "lamp"}));
    let attach = json!({"thingName": "lamp", "principal": arn});
    put(&lab, "alice", &allow(&json!("iot:AttachThingPrincipal"), &json!(format!("{THING}lamp"))));
    assert_eq!(does(&lab, &alice, "AttachThingPrincipal", attach.clone()), "AccessDeniedException");
    put(&lab, "alice", &allow(&json!("iot:AttachThingPrincipal"), &json!(arn)));
    assert_eq!(does(&lab, &alice, "AttachThingPrincipal", attach), "ok");
}

#[test]
fn a_domain_configuration_is_asked_about_by_the_whole_of_its_arn() {
    let lab = Lab::new();
    let alice = user(&lab, "alice");
    let plain = json!({"domainConfigurationName": "plant"});
    let arn = text(&lab.ok("CreateDomainConfiguration", plain.clone())["domainConfigurationArn"]);
    put(&lab, "alice", &allow(&json!("iot:DescribeDomainConfiguration"), &json!(arn)));
    assert_eq!(does(&lab, &alice, "DescribeDomainConfiguration", plain.clone()), "ok");
    put(&lab, "alice", &allow(&json!("iot:DescribeDomainConfiguration"), &json!(format!("{arn}x"))));
    assert_eq!(does(&lab, &alice, "DescribeDomainConfiguration", plain.clone()), "AccessDeniedException");
    put(
        &lab,
        "alice",
        &allow(&json!("iot:*"), &json!("arn:aws:iot:us-east-1:000000000000:domainconfiguration/plant/*")),
    );
    assert_eq!(does(&lab, &alice, "DescribeDomainConfiguration", plain), "ok");
    assert_eq!(
        does(&lab, &alice, "CreateDomainConfiguration", json!({"domainConfigurationName": "hall"})),
        "AccessDeniedException"
    );
}

#[test]
fn managed_policies_and_denials_add_up() {
    let lab = Lab::new();
    let alice = user(&lab, "alice");
    lab.ok("iam:AttachUserPolicy", json!({"UserName": "alice", "PolicyArn": FULL}));
    assert_eq!(does(&lab, &alice, "CreateThing", json!({"thingName": "lamp"})), "ok");
    let deny = json!({"Version": "2012-10-17", "Statement": {"Sid": "Keep", "Effect": "Deny", "Action": "iot:Delete*",
        "Resource": "*"}});
    put(&lab, "alice", &deny.to_string());
    let refusal = lab.call_as(alice.identity.clone(), "DeleteThing", json!({"thingName": "lamp"}), b"").unwrap_err();
    assert!(refusal.message().ends_with("with an explicit deny in an identity-based policy"), "{}", refusal.message());
    assert_eq!(lab.refusals().pop().unwrap().statement, "p#0 (Keep)");
    lab.ok("iam:DetachUserPolicy", json!({"UserName": "alice", "PolicyArn": FULL}));
    assert_eq!(does(&lab, &alice, "CreateThing", json!({"thingName": "lamp"})), "AccessDeniedException");
}

#[test]
fn a_new_default_version_is_what_counts() {
    let lab = Lab::new();
    let alice = user(&lab, "alice");
    let made = json!({"PolicyName": "m", "PolicyDocument": allow(&json!("iot:*"), &json!("*"))});
    let arn = text(&lab.ok("iam:CreatePolicy", made)["Policy"]["Arn"]);
    lab.ok("iam:AttachUserPolicy", json!({"UserName": "alice", "PolicyArn": arn}));
    assert_eq!(does(&lab, &alice, "ListThings", json!({})), "ok");
    let second = json!({"PolicyArn": arn, "PolicyDocument": allow(&json!("s3:*"), &json!("*")), "SetAsDefault": true});
    lab.ok("iam:CreatePolicyVersion", second);
    assert_eq!(does(&lab, &alice, "ListThings", json!({})), "AccessDeniedException");
}

#[test]
fn a_boundary_is_what_no_policy_lifts_anybody_above() {
    let lab = Lab::new();
    let alice = user(&lab, "alice");
    put(&lab, "alice", &allow(&json!("*"), &json!("*")));
    let bound = json!({"UserName": "alice", "PermissionsBoundary": FULL});
    lab.ok("iam:PutUserPermissionsBoundary", bound);
    assert_eq!(
        lab.ok("iam:GetUser", json!({"UserName": "alice"}))["User"]["PermissionsBoundary"]["PermissionsBoundaryArn"],
        FULL
    );
    assert_eq!(does(&lab, &alice, "ListThings", json!({})), "ok");
    let refusal = lab.call_as(alice.identity.clone(), "iam:ListUsers", json!({}), b"").unwrap_err();
    assert!(refusal.message().contains("because no permissions boundary allows"), "{}", refusal.message());
    lab.ok("iam:DeleteUserPermissionsBoundary", json!({"UserName": "alice"}));
    assert_eq!(does(&lab, &alice, "iam:ListUsers", json!({})), "ok");
}

#[test]
fn conditions_see_who_asks_and_whence() {
    let lab = Lab::new();
    let alice = user(&lab, "alice");
    lab.ok("iam:TagUser", json!({"UserName": "alice", "Tags": [{"Key": "team", "Value": "blue"}]}));
    let check = |condition: Value, expected: &str| {
        let document = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:ListThings",
            "Resource": "*", "Condition": condition}});
        put(&lab, "alice", &document.to_string());
        assert_eq!(does(&lab, &alice, "ListThings", json!({})), expected, "{document}");
    };
    check(json!({"StringEquals": {"aws:username": "alice"}}), "ok");
    check(json!({"StringEquals": {"aws:username": "bob"}}), "AccessDeniedException");
    check(json!({"StringEquals": {"aws:PrincipalTag/team": "blue"}}), "ok");
    check(json!({"StringEquals": {"aws:RequestedRegion": "us-east-1"}}), "ok");
    check(json!({"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}), "AccessDeniedException");
    check(json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/a*"}}), "ok");
    check(json!({"DateGreaterThan": {"aws:CurrentTime": "2023-01-01T00:00:00Z"}}), "ok");
    check(json!({"DateGreaterThan": {"aws:CurrentTime": "2024-01-01T00:00:00Z"}}), "AccessDeniedException");
    check(json!({"Bool": {"aws:SecureTransport": "true"}}), "AccessDeniedException");
    // Nobody knows whence a call of the house's own comes.
    check(json!({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}), "AccessDeniedException");
}

#[test]
fn whoever_hands_on_a_role_must_be_allowed_to() {
    let lab = Lab::new();
    let alice = user(&lab, "alice");
    put(&lab, "alice", &allow(&json!("iot:*"), &json!("*")));
    let role = "arn:aws:iam::000000000000:role/rules";
    let input = json!({"ruleName": "r", "topicRulePayload": {"sql": "SELECT * FROM 'a'", "actions": [
        {"republish": {"topic": "b", "roleArn": role}}]}});
    let refusal = lab.call_as(alice.identity.clone(), "CreateTopicRule", input.clone(), b"").unwrap_err();
    assert!(refusal.message().contains(&format!("iam:PassRole on resource: {role}")), "{}", refusal.message());
    let both = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
        {"Effect": "Allow", "Action": "iam:PassRole", "Resource": role,
         "Condition": {"StringEquals": {"iam:PassedToService": "iot.amazonaws.com"}}}]});
    put(&lab, "alice", &both.to_string());
    assert_eq!(does(&lab, &alice, "CreateTopicRule", input), "ok");
}

#[test]
fn the_roles_that_statements_name_are_handed_on_too() {
    let lab = Lab::new();
    let alice = user(&lab, "alice");
    put(&lab, "alice", &allow(&json!("iot:*"), &json!("*")));
    let secret = "get_secret('s', 'SecretString', 'arn:aws:iam::000000000000:role/s')";
    let dynamic = "get_secret('s', 'SecretString', concat('arn:aws:iam::', '000000000000:role/s'))";
    let check = |sql: &str, topic: &str, expected: &str| {
        let rule = json!({"ruleName": "r", "topicRulePayload": {"awsIotSqlVersion": "2016-03-23", "sql": sql, "actions": [
            {"http": {"url": "https://example.com/a", "headers": [{"key": "a", "value": topic}]}}]}});
        let refusal = lab.call_as(alice.identity.clone(), "CreateTopicRule", rule, b"").unwrap_err();
        assert!(refusal.message().contains(expected), "{sql} {topic}: {}", refusal.message());
    };
    let passing = "iam:PassRole on resource: arn:aws:iam::000000000000:role/s";
    check(&format!("SELECT {secret} AS x FROM 'a'"), "b", passing);
    check("SELECT * FROM 'a'", &format!("${{{secret}}}"), passing);
    check(&format!("SELECT {dynamic} AS x FROM 'a'"), "b", "iam:PassRole on resource: *");
    check("SELECT * FROM 'a'", &format!("x${{{dynamic}}}"), "iam:PassRole on resource: *");
}

fn role(lab: &Lab, principal: &Value, grants: &str) -> String {
    let trust = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}]});
    let made = json!({"RoleName": "r", "AssumeRolePolicyDocument": trust.to_string()});
    let arn = text(&lab.ok("iam:CreateRole", made)["Role"]["Arn"]);
    lab.ok("iam:PutRolePolicy", json!({"RoleName": "r", "PolicyName": "p", "PolicyDocument": grants}));
    arn
}

#[test]
fn a_session_may_do_what_its_role_may_and_no_more_than_it_was_narrowed_to() {
    let lab = Lab::new();
    let arn = role(&lab, &json!("000000000000"), &allow(&json!("iot:*"), &json!("*")));
    let assume = |more: Value| {
        let mut input = json!({"RoleArn": arn, "RoleSessionName": "me"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        lab.session(&lab.ok("sts:AssumeRole", input)["Credentials"]).unwrap().unwrap()
    };
    let whole = assume(json!({}));
    assert_eq!(does(&lab, &whole, "CreateThing", json!({"thingName": "a"})), "ok");
    assert_eq!(does(&lab, &whole, "iam:ListUsers", json!({})), "AccessDenied");
    let narrow = assume(json!({"Policy": allow(&json!(["iot:ListThings", "iam:*"]), &json!("*"))}));
    assert_eq!(does(&lab, &narrow, "ListThings", json!({})), "ok");
    assert_eq!(does(&lab, &narrow, "iam:ListUsers", json!({})), "AccessDenied");
    let refusal = lab.call_as(narrow.identity.clone(), "CreateThing", json!({"thingName": "a"}), b"").unwrap_err();
    assert!(refusal.message().contains("because no session policy allows"), "{}", refusal.message());
    let data = "arn:aws:iam::aws:policy/AWSIoTDataAccess";
    let managed = assume(json!({"PolicyArns": [{"arn": data}]}));
    assert_eq!(does(&lab, &managed, "ListThings", json!({})), "AccessDeniedException");
    lab.ok("iam:DeleteRolePolicy", json!({"RoleName": "r", "PolicyName": "p"}));
    assert_eq!(does(&lab, &whole, "ListThings", json!({})), "AccessDeniedException");
}

#[test]
fn a_role_is_taken_by_whom_it_names_or_by_who_may_in_the_account_it_names() {
    let lab = Lab::new();
    let alice = user(&lab, "alice");
    let arn = role(&lab, &json!("000000000000"), &allow(&json!("iot:*"), &json!("*")));
    let request = json!({"RoleArn": arn, "RoleSessionName": "me"});
    assert_eq!(does(&lab, &alice, "sts:AssumeRole", request.clone()), "AccessDenied");
    put(&lab, "alice", &allow(&json!("sts:AssumeRole"), &json!(arn)));
    assert_eq!(does(&lab, &alice, "sts:AssumeRole", request.clone()), "ok");
    lab.ok("iam:DeleteUserPolicy", json!({"UserName": "alice", "PolicyName": "p"}));
    let by_name = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::000000000000:user/alice"}, "Action": "sts:AssumeRole"}]});
    lab.ok("iam:UpdateAssumeRolePolicy", json!({"RoleName": "r", "PolicyDocument": by_name.to_string()}));
    assert_eq!(does(&lab, &alice, "sts:AssumeRole", request.clone()), "ok");
    let deny = json!({"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "sts:*", "Resource": "*"}});
    put(&lab, "alice", &deny.to_string());
    assert_eq!(does(&lab, &alice, "sts:AssumeRole", request), "AccessDenied");
}

#[test]
fn a_user_that_was_made_anew_is_another() {
    let lab = Lab::new();
    let alice = user(&lab, "alice");
    put(&lab, "alice", &allow(&json!("iot:*"), &json!("*")));
    let given = lab.call_as(alice.identity.clone(), "sts:GetSessionToken", json!({}), b"").unwrap();
    let signer = lab.session(&given.fields()["Credentials"]).unwrap().unwrap();
    assert!(matches!(&signer.identity, Identity::User(user) if user.name == "alice"));
    assert_eq!(does(&lab, &signer, "ListThings", json!({})), "ok");
    let Identity::User(known) = &alice.identity else { panic!() };
    lab.ok("iam:DeleteAccessKey", json!({"UserName": "alice", "AccessKeyId": known.access_key_id}));
    lab.ok("iam:DeleteUserPolicy", json!({"UserName": "alice", "PolicyName": "p"}));
    lab.ok("iam:DeleteUser", json!({"UserName": "alice"}));
    lab.ok("iam:CreateUser", json!({"UserName": "alice"}));
    put(&lab, "alice", &allow(&json!("iot:*"), &json!("*")));
    assert_eq!(does(&lab, &signer, "ListThings", json!({})), "AccessDeniedException");
    assert!(matches!(lab.session(&given.fields()["Credentials"]), Err(NotASigner::Unknown)));
}

#[test]
fn neighbours_refuse_in_their_own_ways() {
    let lab = Lab::new();
    let alice = user(&lab, "alice");
    for (operation, input, error, status) in [
        ("dynamodb:PutItem", json!({"TableName": "abc", "Item": {"k": {"S": "a"}}}), "AccessDeniedException", 400),
        ("logs:CreateLogGroup", json!({"logGroupName": "g"}), "AccessDeniedException", 400),
        ("secretsmanager:CreateSecret", json!({"Name": "s"}), "AccessDeniedException", 400),
        ("lambda:ListFunctions", json!({}), "AccessDeniedException", 403),
        ("iam:ListUsers", json!({}), "AccessDenied", 403),
        ("cloudwatch:ListMetrics", json!({}), "AccessDenied", 403),
        ("iot-data:GetThingShadow", json!({"thingName": "t"}), "AccessDeniedException", 403),
    ] {
        let refusal = lab.call_as(alice.identity.clone(), operation, input, b"").unwrap_err();
        assert_eq!((refusal.error(), refusal.status(None)), (error, status), "{operation}");
        let action = operation.replace("iot-data:", "iot:");
        assert!(refusal.message().contains(&format!("not authorized to perform: {action} ")), "{}", refusal.message());
    }
    let buckets = lab.objects(|house, _, now, _| {
        let caller = Caller::new(alice.scope.clone(), alice.identity.clone());
        let call =
            wire::s3::Call::read(&wire::s3::Head { method: "PUT", path: "/b/k", query: "", headers: &[] }).unwrap();
        house.prepare_object(&caller, &call, now).map(drop).unwrap_err()
    });
    assert_eq!((buckets.error(), buckets.status(None)), ("AccessDenied", 403));
    assert!(buckets.message().contains("s3:PutObject on resource: arn:aws:s3:::b/k"), "{}", buckets.message());
}

#[test]
fn a_secret_is_the_same_by_name_and_by_arn() {
    let lab = Lab::new();
    let alice = user(&lab, "alice");
    let arn = text(&lab.ok("secretsmanager:CreateSecret", json!({"Name": "db", "SecretString": "x"}))["ARN"]);
    let other = lab.ok("secretsmanager:CreateSecret", json!({"Name": "other", "SecretString": "x"}));
    put(&lab, "alice", &allow(&json!("secretsmanager:GetSecretValue"), &json!(arn)));
    for id in ["db", &arn] {
        assert_eq!(does(&lab, &alice, "secretsmanager:GetSecretValue", json!({"SecretId": id})), "ok", "{id}");
    }
    let refused = does(&lab, &alice, "secretsmanager:GetSecretValue", json!({"SecretId": other["ARN"]}));
    assert_eq!(refused, "AccessDeniedException");
}
