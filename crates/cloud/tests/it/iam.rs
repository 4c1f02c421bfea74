//! Roles and policies as their callers meet them. How answers look as XML is tested in `wire` and with AWS's own clients.

use cloud::Identity;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::house::{Lab, text};

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const GRANT: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"logs:*","Resource":"arn:aws:logs:*:*:*"}]}"#;
const BASIC: &str = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole";

fn role(lab: &Lab, name: &str) -> Value {
    lab.ok("iam:CreateRole", json!({"RoleName": name, "AssumeRolePolicyDocument": TRUST}))["Role"].clone()
}

fn policy(lab: &Lab, name: &str) -> String {
    let made = lab.ok("iam:CreatePolicy", json!({"PolicyName": name, "PolicyDocument": GRANT}));
    text(&made["Policy"]["Arn"])
}

fn decoded(document: &Value) -> String {
    percent_decode_str(document.as_str().unwrap()).decode_utf8().unwrap().into_owned()
}

#[test]
fn a_role_is_as_it_was_made() {
    let lab = Lab::new();
    let made = lab.ok(
        "iam:CreateRole",
        json!({
            "RoleName": "Fn", "Path": "/app/", "AssumeRolePolicyDocument": TRUST, "Description": "d",
            "MaxSessionDuration": 7200, "Tags": [{"Key": "a", "Value": "1"}],
        }),
    );
    let role = &made["Role"];
    let id = text(&role["RoleId"]);
    assert!(id.starts_with("AROA") && id.len() == 21, "{id}");
    assert_eq!(role["Arn"], "arn:aws:iam::000000000000:role/app/Fn");
    assert_eq!(role["Path"], "/app/");
    assert_eq!(decoded(&role["AssumeRolePolicyDocument"]), TRUST);
    assert_eq!(role["CreateDate"].as_f64(), Some(1_700_000_000.0));
    let got = lab.ok("iam:GetRole", json!({"RoleName": "Fn"}));
    assert_eq!(got["Role"]["RoleLastUsed"], json!({}));
    for member in ["RoleId", "Arn", "Description", "MaxSessionDuration", "Tags", "AssumeRolePolicyDocument"] {
        assert_eq!(got["Role"][member], role[member], "{member}");
    }
}

#[test]
fn an_account_has_its_roles_in_every_region_and_no_other_has_them() {
    let lab = Lab::new();
    role(&lab, "r");
    lab.elsewhere("000000000000", "eu-west-1").ok("iam:GetRole", json!({"RoleName": "r"}));
    assert_eq!(lab.elsewhere("000000000001", "us-east-1").no("iam:GetRole", json!({"RoleName": "r"})), "NoSuchEntity");
}

#[test]
fn names_that_differ_in_case_only_are_the_same() {
    let lab = Lab::new();
    role(&lab, "Role");
    policy(&lab, "Policy");
    let again = json!({"RoleName": "rOLE", "AssumeRolePolicyDocument": TRUST});
    assert_eq!(lab.no("iam:CreateRole", again), "EntityAlreadyExists");
    let again = json!({"PolicyName": "pOLICY", "PolicyDocument": GRANT});
    assert_eq!(lab.no("iam:CreatePolicy", again), "EntityAlreadyExists");
    assert_eq!(lab.no("iam:GetRole", json!({"RoleName": "rOLE"})), "NoSuchEntity");
}

#[test]
fn a_role_goes_when_nothing_hangs_on_it() {
    let lab = Lab::new();
    role(&lab, "r");
    let arn = policy(&lab, "p");
    lab.ok("iam:AttachRolePolicy", json!({"RoleName": "r", "PolicyArn": arn}));
    lab.ok("iam:PutRolePolicy", json!({"RoleName": "r", "PolicyName": "in", "PolicyDocument": GRANT}));
    let refused = lab.refused("iam:DeleteRole", json!({"RoleName": "r"}));
    assert_eq!(refused, ("DeleteConflict".into(), "Cannot delete entity, must detach all policies first.".into()));
    assert_eq!(lab.no("iam:DeletePolicy", json!({"PolicyArn": arn})), "DeleteConflict");
    lab.ok("iam:DetachRolePolicy", json!({"RoleName": "r", "PolicyArn": arn}));
    assert_eq!(lab.no("iam:DetachRolePolicy", json!({"RoleName": "r", "PolicyArn": arn})), "NoSuchEntity");
    let refused = lab.refused("iam:DeleteRole", json!({"RoleName": "r"}));
    assert_eq!(refused, ("DeleteConflict".into(), "Cannot delete entity, must delete policies first.".into()));
    lab.ok("iam:DeleteRolePolicy", json!({"RoleName": "r", "PolicyName": "in"}));
    lab.ok("iam:DeleteRole", json!({"RoleName": "r"}));
    lab.ok("iam:DeletePolicy", json!({"PolicyArn": arn}));
    assert_eq!(lab.no("iam:DeleteRole", json!({"RoleName": "r"})), "NoSuchEntity");
    for table in ["iam_roles", "iam_policies", "iam_policy_versions", "iam_role_policies", "iam_policy_roles"] {
        assert_eq!(lab.rows(table), 0, "{table}");
    }
    assert_eq!(lab.rows("iam_inline_policies"), 0);
}

#[test]
fn a_role_of_the_same_name_is_another_one() {
    let lab = Lab::new();
    let first = role(&lab, "r")["RoleId"].clone();
    lab.ok("iam:DeleteRole", json!({"RoleName": "r"}));
    assert_ne!(first, role(&lab, "r")["RoleId"]);
}

#[test]
fn a_role_can_be_changed_but_for_its_name() {
    let lab = Lab::new();
    role(&lab, "r");
    lab.ok("iam:UpdateRole", json!({"RoleName": "r", "Description": "new", "MaxSessionDuration": 3700}));
    lab.ok("iam:UpdateAssumeRolePolicy", json!({"RoleName": "r", "PolicyDocument": TRUST.replace("lambda", "iot")}));
    lab.ok("iam:TagRole", json!({"RoleName": "r", "Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]}));
    lab.ok("iam:TagRole", json!({"RoleName": "r", "Tags": [{"Key": "A", "Value": "3"}]}));
    lab.ok("iam:UntagRole", json!({"RoleName": "r", "TagKeys": ["b", "c"]}));
    let role = lab.ok("iam:GetRole", json!({"RoleName": "r"}))["Role"].clone();
    assert_eq!((&role["Description"], &role["MaxSessionDuration"]), (&json!("new"), &json!(3700)));
    assert!(decoded(&role["AssumeRolePolicyDocument"]).contains("iot.amazonaws.com"));
    assert_eq!(role["Tags"], json!([{"Key": "A", "Value": "3"}]));
    assert_eq!(lab.ok("iam:ListRoleTags", json!({"RoleName": "r"}))["Tags"], role["Tags"]);
    let twice = json!({"RoleName": "r", "Tags": [{"Key": "x", "Value": ""}, {"Key": "X", "Value": ""}]});
    assert_eq!(lab.no("iam:TagRole", twice), "InvalidInput");
    let many: Vec<Value> = (0..50).map(|n| json!({"Key": format!("k{n}"), "Value": ""})).collect();
    assert_eq!(lab.no("iam:TagRole", json!({"RoleName": "r", "Tags": many})), "LimitExceeded");
}

#[test]
fn a_document_that_is_none_is_refused() {
    let lab = Lab::new();
    role(&lab, "r");
    let arn = policy(&lab, "p");
    for bad in ["{", "{}", "[]"] {
        let requests = [
            ("iam:CreateRole", json!({"RoleName": "x", "AssumeRolePolicyDocument": bad})),
            ("iam:UpdateAssumeRolePolicy", json!({"RoleName": "r", "PolicyDocument": bad})),
            ("iam:CreatePolicy", json!({"PolicyName": "x", "PolicyDocument": bad})),
            ("iam:CreatePolicyVersion", json!({"PolicyArn": arn, "PolicyDocument": bad})),
            ("iam:PutRolePolicy", json!({"RoleName": "r", "PolicyName": "x", "PolicyDocument": bad})),
        ];
        for (operation, request) in requests {
            let (error, message) = lab.refused(operation, request);
            assert_eq!(error, "MalformedPolicyDocument", "{operation}");
            assert!(message.starts_with("Syntax errors in policy."), "{message}");
        }
    }
    // What may be done is no answer to who may do it.
    let grant = json!({"RoleName": "x", "AssumeRolePolicyDocument": GRANT});
    assert_eq!(lab.no("iam:CreateRole", grant), "MalformedPolicyDocument");
    let trust = json!({"PolicyName": "x", "PolicyDocument": TRUST});
    assert_eq!(lab.no("iam:CreatePolicy", trust), "MalformedPolicyDocument");
}

/// A grant of this many characters that are not white space.
fn sized(characters: usize) -> String {
    let text = |length: usize| GRANT.replace("\"logs:*\"", &format!("\"logs:{}\"", "x".repeat(length)));
    let bare = text(0).len();
    text(characters - bare).replace(',', ", \n")
}

#[test]
fn documents_have_quotas_that_white_space_does_not_touch() {
    let lab = Lab::new();
    role(&lab, "r");
    let policy = |name: &str, size| json!({"PolicyName": name, "PolicyDocument": sized(size)});
    lab.ok("iam:CreatePolicy", policy("a", 6144));
    assert_eq!(lab.no("iam:CreatePolicy", policy("b", 6145)), "LimitExceeded");
    let inline = |name: &str, size| json!({"RoleName": "r", "PolicyName": name, "PolicyDocument": sized(size)});
    lab.ok("iam:PutRolePolicy", inline("a", 6000));
    assert_eq!(lab.no("iam:PutRolePolicy", inline("b", 4241)), "LimitExceeded");
    lab.ok("iam:PutRolePolicy", inline("b", 4240));
    // What takes the place of another does not add to it.
    lab.ok("iam:PutRolePolicy", inline("a", 6000));
    let trust = TRUST.replace("\"Effect\"", &format!("\"Sid\":\"{}\",\"Effect\"", "x".repeat(2000)));
    assert_eq!(lab.no("iam:CreateRole", json!({"RoleName": "x", "AssumeRolePolicyDocument": trust})), "LimitExceeded");
}

#[test]
fn policies_inside_a_role_are_kept_by_name() {
    let lab = Lab::new();
    role(&lab, "r");
    for name in ["b", "a"] {
        lab.ok("iam:PutRolePolicy", json!({"RoleName": "r", "PolicyName": name, "PolicyDocument": GRANT}));
    }
    assert_eq!(lab.ok("iam:ListRolePolicies", json!({"RoleName": "r"}))["PolicyNames"], json!(["a", "b"]));
    let got = lab.ok("iam:GetRolePolicy", json!({"RoleName": "r", "PolicyName": "a"}));
    assert_eq!((decoded(&got["PolicyDocument"]), &got["RoleName"]), (GRANT.to_owned(), &json!("r")));
    assert_eq!(lab.no("iam:GetRolePolicy", json!({"RoleName": "r", "PolicyName": "c"})), "NoSuchEntity");
    assert_eq!(lab.no("iam:DeleteRolePolicy", json!({"RoleName": "r", "PolicyName": "c"})), "NoSuchEntity");
    assert_eq!(lab.no("iam:ListRolePolicies", json!({"RoleName": "x"})), "NoSuchEntity");
}

#[test]
fn a_policy_has_versions_of_which_one_counts() {
    let lab = Lab::new();
    let arn = policy(&lab, "p");
    let version = |default| json!({"PolicyArn": arn, "PolicyDocument": GRANT, "SetAsDefault": default});
    let made = lab.ok("iam:CreatePolicyVersion", version(false));
    assert_eq!(made["PolicyVersion"]["VersionId"], "v2");
    assert_eq!(lab.ok("iam:GetPolicy", json!({"PolicyArn": arn}))["Policy"]["DefaultVersionId"], "v1");
    for default in [true, false, false] {
        lab.ok("iam:CreatePolicyVersion", version(default));
    }
    assert_eq!(lab.no("iam:CreatePolicyVersion", version(false)), "LimitExceeded");
    let listed = lab.ok("iam:ListPolicyVersions", json!({"PolicyArn": arn}))["Versions"].clone();
    let ids: Vec<String> = listed.as_array().unwrap().iter().map(|it| text(&it["VersionId"])).collect();
    assert_eq!(ids, ["v5", "v4", "v3", "v2", "v1"]);
    assert_eq!(listed[2]["IsDefaultVersion"], true);
    let of = |id: &str| json!({"PolicyArn": arn, "VersionId": id});
    assert_eq!(lab.no("iam:DeletePolicyVersion", of("v3")), "DeleteConflict");
    lab.ok("iam:SetDefaultPolicyVersion", of("v2"));
    lab.ok("iam:DeletePolicyVersion", of("v3"));
    for id in ["v3", "3", "v02", "v", ""] {
        assert_eq!(lab.no("iam:GetPolicyVersion", of(id)), "NoSuchEntity", "{id}");
    }
    let got = lab.ok("iam:GetPolicyVersion", of("v2"))["PolicyVersion"].clone();
    assert_eq!((decoded(&got["Document"]), &got["IsDefaultVersion"]), (GRANT.to_owned(), &json!(true)));
    assert_eq!(lab.no("iam:DeletePolicy", json!({"PolicyArn": arn})), "DeleteConflict");
    for id in ["v1", "v4", "v5"] {
        lab.ok("iam:DeletePolicyVersion", of(id));
    }
    assert_eq!(lab.ok("iam:CreatePolicyVersion", version(false))["PolicyVersion"]["VersionId"], "v6");
    lab.ok("iam:DeletePolicyVersion", of("v6"));
    lab.ok("iam:DeletePolicy", json!({"PolicyArn": arn}));
    assert_eq!(lab.no("iam:GetPolicy", json!({"PolicyArn": arn})), "NoSuchEntity");
}

#[test]
fn a_policy_is_as_it_was_made() {
    let lab = Lab::new();
    let request = json!({"PolicyName": "p", "Path": "/x/", "PolicyDocument": GRANT, "Description": "d",
        "Tags": [{"Key": "a", "Value": "1"}]});
    let made = lab.ok("iam:CreatePolicy", request)["Policy"].clone();
    let arn = "arn:aws:iam::000000000000:policy/x/p";
    let id = text(&made["PolicyId"]);
    assert!(id.starts_with("ANPA") && id.len() == 21, "{id}");
    assert_eq!((&made["Arn"], &made["AttachmentCount"]), (&json!(arn), &json!(0)));
    role(&lab, "r");
    lab.ok("iam:AttachRolePolicy", json!({"RoleName": "r", "PolicyArn": arn}));
    lab.ok("iam:AttachRolePolicy", json!({"RoleName": "r", "PolicyArn": arn}));
    lab.ok("iam:TagPolicy", json!({"PolicyArn": arn, "Tags": [{"Key": "b", "Value": "2"}]}));
    lab.ok("iam:UntagPolicy", json!({"PolicyArn": arn, "TagKeys": ["a"]}));
    let got = lab.ok("iam:GetPolicy", json!({"PolicyArn": arn}))["Policy"].clone();
    assert_eq!((&got["AttachmentCount"], &got["IsAttachable"]), (&json!(1), &json!(true)));
    assert_eq!(got["Tags"], json!([{"Key": "b", "Value": "2"}]));
    assert_eq!(lab.ok("iam:ListPolicyTags", json!({"PolicyArn": arn}))["Tags"], got["Tags"]);
    let entities = lab.ok("iam:ListEntitiesForPolicy", json!({"PolicyArn": arn}));
    assert_eq!(entities["PolicyRoles"][0]["RoleName"], "r");
    assert_eq!((&entities["PolicyUsers"], &entities["PolicyGroups"]), (&json!([]), &json!([])));
    let users = lab.ok("iam:ListEntitiesForPolicy", json!({"PolicyArn": arn, "EntityFilter": "User"}));
    assert_eq!(users["PolicyRoles"], json!([]));
    // Without its path the ARN is another's.
    assert_eq!(lab.no("iam:GetPolicy", json!({"PolicyArn": "arn:aws:iam::000000000000:policy/p"})), "NoSuchEntity");
    assert_eq!(lab.no("iam:GetPolicy", json!({"PolicyArn": "arn:aws:s3:::bucket-of-mine"})), "InvalidInput");
}

#[test]
fn a_role_has_at_most_ten_policies() {
    let lab = Lab::new();
    role(&lab, "r");
    let attach = |arn: &str| json!({"RoleName": "r", "PolicyArn": arn});
    for n in 0..10 {
        lab.ok("iam:AttachRolePolicy", attach(&policy(&lab, &format!("p{n}"))));
    }
    assert_eq!(lab.no("iam:AttachRolePolicy", attach(&policy(&lab, "p10"))), "LimitExceeded");
    lab.ok("iam:AttachRolePolicy", attach("arn:aws:iam::000000000000:policy/p3"));
    assert_eq!(lab.no("iam:AttachRolePolicy", attach("arn:aws:iam::000000000000:policy/none")), "NoSuchEntity");
}

#[test]
fn policies_that_come_with_the_place_can_be_attached_and_not_changed() {
    let lab = Lab::new();
    role(&lab, "r");
    lab.ok("iam:AttachRolePolicy", json!({"RoleName": "r", "PolicyArn": BASIC}));
    let attached = lab.ok("iam:ListAttachedRolePolicies", json!({"RoleName": "r"}));
    let expected = json!([{"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": BASIC}]);
    assert_eq!(attached["AttachedPolicies"], expected);
    let elsewhere = lab.ok("iam:ListAttachedRolePolicies", json!({"RoleName": "r", "PathPrefix": "/other/"}));
    assert_eq!(elsewhere["AttachedPolicies"], json!([]));
    assert_eq!(lab.ok("iam:GetPolicy", json!({"PolicyArn": BASIC}))["Policy"]["AttachmentCount"], 1);
    let version = lab.ok("iam:GetPolicyVersion", json!({"PolicyArn": BASIC, "VersionId": "v1"}));
    assert!(decoded(&version["PolicyVersion"]["Document"]).contains("logs:PutLogEvents"));
    for operation in ["iam:DeletePolicy", "iam:TagPolicy"] {
        assert_eq!(lab.no(operation, json!({"PolicyArn": BASIC, "Tags": []})), "AccessDenied", "{operation}");
    }
    let unknown = "arn:aws:iam::aws:policy/NoSuchPolicyAtAll";
    assert_eq!(lab.no("iam:AttachRolePolicy", json!({"RoleName": "r", "PolicyArn": unknown})), "NoSuchEntity");
}

#[test]
fn listings_go_by_pages_and_paths() {
    let lab = Lab::new();
    for name in ["a", "b", "c", "d", "e"] {
        let path = if name < "c" { "/x/" } else { "/" };
        lab.ok("iam:CreateRole", json!({"RoleName": name, "Path": path, "AssumeRolePolicyDocument": TRUST}));
        lab.ok("iam:CreatePolicy", json!({"PolicyName": name, "Path": path, "PolicyDocument": GRANT}));
    }
    let names = |pages: Vec<Vec<Value>>, key: &str| -> Vec<Vec<String>> {
        pages.iter().map(|page| page.iter().map(|it| text(&it[key])).collect()).collect()
    };
    let tokens = ("Marker", "Marker");
    let pages = lab.pages("iam:ListRoles", json!({"MaxItems": 2}), "Roles", tokens);
    assert_eq!(names(pages, "RoleName"), [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);
    let local = json!({"MaxItems": 3, "Scope": "Local"});
    let pages = lab.pages("iam:ListPolicies", local, "Policies", tokens);
    assert_eq!(names(pages, "PolicyName"), [vec!["a", "b", "c"], vec!["d", "e"]]);
    let pages = lab.pages("iam:ListRoles", json!({"PathPrefix": "/x/"}), "Roles", tokens);
    assert_eq!(names(pages, "RoleName"), [["a", "b"]]);
    assert_eq!(lab.ok("iam:ListPolicies", json!({"OnlyAttached": true}))["Policies"], json!([]));
    let of_aws = lab.ok("iam:ListPolicies", json!({"Scope": "AWS", "MaxItems": 5}));
    assert_eq!((of_aws["Policies"].as_array().unwrap().len(), &of_aws["IsTruncated"]), (5, &json!(true)));
    assert_eq!(lab.no("iam:ListRoles", json!({"Marker": "nonsense"})), "ValidationError");
    assert_eq!(lab.no("iam:ListPolicies", json!({"Marker": "nonsense"})), "ValidationError");
}

#[test]
fn who_has_no_user_is_the_root_of_the_account() {
    let lab = Lab::new();
    assert_eq!(lab.ok("iam:GetUser", json!({}))["User"]["Arn"], "arn:aws:iam::000000000000:root");
    assert_eq!(lab.no("iam:GetUser", json!({"UserName": "alice"})), "NoSuchEntity");
    let device = Identity::Device { certificate_id: "c".to_owned(), source_ip: String::new() };
    assert_eq!(lab.call_as(device, "iam:GetUser", json!({}), b"").unwrap_err().error(), "ForbiddenException");
}

#[test]
fn a_listing_shows_less_of_roles_and_policies_than_they_are() {
    let lab = Lab::new();
    let tags = json!([{"Key": "a", "Value": "1"}]);
    let arn = policy(&lab, "bound");
    let made = lab.ok(
        "iam:CreateRole",
        json!({"RoleName": "r", "AssumeRolePolicyDocument": TRUST, "Tags": tags, "PermissionsBoundary": arn}),
    );
    assert_eq!(made["Role"]["Tags"], tags);
    let listed = lab.ok("iam:ListRoles", json!({}))["Roles"][0].clone();
    for member in ["Tags", "PermissionsBoundary", "RoleLastUsed"] {
        assert_eq!(listed.get(member), None, "{member}");
    }
    let request = json!({"PolicyName": "p", "PolicyDocument": GRANT, "Description": "d", "Tags": tags});
    let made = lab.ok("iam:CreatePolicy", request)["Policy"].clone();
    assert_eq!((made.get("Description"), &made["Tags"]), (None, &tags));
    let got = lab.ok("iam:GetPolicy", json!({"PolicyArn": made["Arn"]}))["Policy"].clone();
    assert_eq!((&got["Description"], &got["Tags"]), (&json!("d"), &tags));
    assert_eq!(lab.ok("iam:GetPolicy", json!({"PolicyArn": arn}))["Policy"]["Tags"], json!([]));
}

#[test]
fn a_group_gathers_users_and_goes_when_nothing_hangs_on_it() {
    let lab = Lab::new();
    let group = lab.ok("iam:CreateGroup", json!({"GroupName": "Staff", "Path": "/x/"}))["Group"].clone();
    let id = text(&group["GroupId"]);
    assert!(id.starts_with("AGPA") && id.len() == 21, "{id}");
    assert_eq!(group["Arn"], "arn:aws:iam::000000000000:group/x/Staff");
    let again = lab.refused("iam:CreateGroup", json!({"GroupName": "sTAFF"}));
    assert_eq!(again, ("EntityAlreadyExists".into(), "Group with name sTAFF already exists.".into()));
    for name in ["bob", "alice"] {
        lab.ok("iam:CreateUser", json!({"UserName": name}));
        lab.ok("iam:AddUserToGroup", json!({"GroupName": "Staff", "UserName": name}));
    }
    lab.ok("iam:AddUserToGroup", json!({"GroupName": "Staff", "UserName": "bob"}));
    let pages = lab.pages("iam:GetGroup", json!({"GroupName": "Staff", "MaxItems": 1}), "Users", ("Marker", "Marker"));
    let names: Vec<String> = pages.concat().iter().map(|user| text(&user["UserName"])).collect();
    assert_eq!(names, ["alice", "bob"]);
    let of_bob = lab.ok("iam:ListGroupsForUser", json!({"UserName": "bob"}))["Groups"].clone();
    assert_eq!(of_bob, json!([group]));
    assert_eq!(lab.ok("iam:ListGroups", json!({"PathPrefix": "/y/"}))["Groups"], json!([]));
    let arn = policy(&lab, "p");
    lab.ok("iam:AttachGroupPolicy", json!({"GroupName": "Staff", "PolicyArn": arn}));
    let inside = json!({"GroupName": "Staff", "PolicyName": "in", "PolicyDocument": GRANT});
    lab.ok("iam:PutGroupPolicy", inside);
    let entities = lab.ok("iam:ListEntitiesForPolicy", json!({"PolicyArn": arn}))["PolicyGroups"].clone();
    assert_eq!(entities, json!([{"GroupName": "Staff", "GroupId": id}]));
    let attached = lab.ok("iam:ListAttachedGroupPolicies", json!({"GroupName": "Staff"}));
    assert_eq!(attached["AttachedPolicies"][0]["PolicyArn"], json!(arn));
    assert_eq!(lab.ok("iam:ListGroupPolicies", json!({"GroupName": "Staff"}))["PolicyNames"], json!(["in"]));
    let conflict = |operation: &str, input: Value, first: &str| {
        let told = format!("Cannot delete entity, must {first} first.");
        assert_eq!(lab.refused(operation, input), ("DeleteConflict".into(), told), "{operation}");
    };
    let staff = || json!({"GroupName": "Staff"});
    conflict("iam:DeleteUser", json!({"UserName": "bob"}), "remove users from group");
    conflict("iam:DeleteGroup", staff(), "remove users from group");
    for name in ["bob", "alice"] {
        lab.ok("iam:RemoveUserFromGroup", json!({"GroupName": "Staff", "UserName": name}));
        lab.ok("iam:DeleteUser", json!({"UserName": name}));
    }
    conflict("iam:DeleteGroup", staff(), "detach all policies");
    lab.ok("iam:DetachGroupPolicy", json!({"GroupName": "Staff", "PolicyArn": arn}));
    conflict("iam:DeleteGroup", staff(), "delete policies");
    lab.ok("iam:DeleteGroupPolicy", json!({"GroupName": "Staff", "PolicyName": "in"}));
    lab.ok("iam:DeleteGroup", staff());
    assert_eq!(lab.message("iam:GetGroup", staff()), "The group with name Staff cannot be found.");
    let tables = ["iam_groups", "iam_group_members", "iam_user_groups", "iam_group_policies", "iam_policy_groups"];
    assert_eq!(tables.map(|table| lab.rows(table)), [0; 5]);
}

#[test]
fn a_user_is_in_ten_groups_at_most() {
    let lab = Lab::new();
    lab.ok("iam:CreateUser", json!({"UserName": "alice"}));
    let add = |n: i64| json!({"GroupName": format!("g{n}"), "UserName": "alice"});
    for n in 0..11 {
        lab.ok("iam:CreateGroup", json!({"GroupName": format!("g{n}")}));
    }
    (0..10).for_each(|n| drop(lab.ok("iam:AddUserToGroup", add(n))));
    let refused = lab.refused("iam:AddUserToGroup", add(10));
    assert_eq!(refused, ("LimitExceeded".into(), "Cannot exceed quota for GroupsPerUser: 10".into()));
    assert_eq!(lab.no("iam:RemoveUserFromGroup", add(10)), "NoSuchEntity");
}

#[test]
fn whatever_hangs_on_a_user_or_a_group_goes_with_it_to_its_new_name() {
    let lab = Lab::new();
    lab.ok("iam:CreateGroup", json!({"GroupName": "old"}));
    let id = lab.ok("iam:CreateUser", json!({"UserName": "alice"}))["User"]["UserId"].clone();
    let key = text(&lab.ok("iam:CreateAccessKey", json!({"UserName": "alice"}))["AccessKey"]["AccessKeyId"]);
    let arn = policy(&lab, "p");
    lab.ok("iam:AddUserToGroup", json!({"GroupName": "old", "UserName": "alice"}));
    lab.ok("iam:AttachUserPolicy", json!({"UserName": "alice", "PolicyArn": arn}));
    lab.ok("iam:PutUserPermissionsBoundary", json!({"UserName": "alice", "PermissionsBoundary": arn}));
    lab.ok("iam:PutUserPolicy", json!({"UserName": "alice", "PolicyName": "in", "PolicyDocument": GRANT}));
    lab.ok("iam:AttachGroupPolicy", json!({"GroupName": "old", "PolicyArn": arn}));
    lab.ok("iam:PutGroupPolicy", json!({"GroupName": "old", "PolicyName": "in", "PolicyDocument": GRANT}));
    lab.ok("iam:UpdateUser", json!({"UserName": "alice", "NewUserName": "Carol", "NewPath": "/x/"}));
    lab.ok("iam:UpdateGroup", json!({"GroupName": "old", "NewGroupName": "new"}));
    assert_eq!(lab.no("iam:GetUser", json!({"UserName": "alice"})), "NoSuchEntity");
    let carol = json!({"UserName": "Carol"});
    let user = lab.ok("iam:GetUser", carol.clone())["User"].clone();
    assert_eq!((&user["UserId"], &user["Arn"]), (&id, &json!("arn:aws:iam::000000000000:user/x/Carol")));
    assert_eq!(user["PermissionsBoundary"]["PermissionsBoundaryArn"], json!(arn));
    assert_eq!(lab.ok("iam:ListAttachedUserPolicies", carol.clone())["AttachedPolicies"][0]["PolicyArn"], json!(arn));
    assert_eq!(lab.ok("iam:ListUserPolicies", carol.clone())["PolicyNames"], json!(["in"]));
    assert_eq!(lab.ok("iam:ListAccessKeys", carol.clone())["AccessKeyMetadata"][0]["AccessKeyId"], json!(key));
    assert_eq!(lab.ok("iam:ListGroupsForUser", carol.clone())["Groups"][0]["GroupName"], "new");
    let group = json!({"GroupName": "new"});
    assert_eq!(lab.ok("iam:GetGroup", group.clone())["Users"][0]["UserName"], "Carol");
    assert_eq!(lab.ok("iam:ListGroupPolicies", group.clone())["PolicyNames"], json!(["in"]));
    let Identity::User(signer) = lab.signer(&key).unwrap().unwrap().identity else { panic!("a user's key") };
    assert_eq!(signer.arn, "arn:aws:iam::000000000000:user/x/Carol");
    // Another case of its own name is free, another's name is not.
    lab.ok("iam:UpdateUser", json!({"UserName": "Carol", "NewUserName": "carol"}));
    lab.ok("iam:CreateUser", json!({"UserName": "bob"}));
    let taken = lab.refused("iam:UpdateUser", json!({"UserName": "bob", "NewUserName": "CAROL"}));
    assert_eq!(taken, ("EntityAlreadyExists".into(), "User with name CAROL already exists.".into()));
}

#[test]
fn what_nobody_has_is_told_before_a_user_is_deleted() {
    let lab = Lab::new();
    lab.ok("iam:CreateUser", json!({"UserName": "alice"}));
    for (operation, member) in [
        ("ListMFADevices", "MFADevices"),
        ("ListSSHPublicKeys", "SSHPublicKeys"),
        ("ListSigningCertificates", "Certificates"),
        ("ListServiceSpecificCredentials", "ServiceSpecificCredentials"),
    ] {
        assert_eq!(lab.ok(&format!("iam:{operation}"), json!({"UserName": "alice"}))[member], json!([]));
        assert_eq!(lab.no(&format!("iam:{operation}"), json!({"UserName": "bob"})), "NoSuchEntity");
    }
    assert_eq!(lab.ok("iam:ListVirtualMFADevices", json!({}))["VirtualMFADevices"], json!([]));
    let told = "Login Profile for User alice cannot be found.";
    for operation in ["iam:GetLoginProfile", "iam:DeleteLoginProfile"] {
        assert_eq!(lab.message(operation, json!({"UserName": "alice"})), told);
    }
}

#[test]
fn an_account_has_one_alias() {
    let lab = Lab::new();
    let aliases = || lab.ok("iam:ListAccountAliases", json!({}))["AccountAliases"].clone();
    assert_eq!(aliases(), json!([]));
    for alias in ["plant", "works"] {
        lab.ok("iam:CreateAccountAlias", json!({"AccountAlias": alias}));
        assert_eq!(aliases(), json!([alias]));
    }
    assert_eq!(lab.no("iam:CreateAccountAlias", json!({"AccountAlias": "works"})), "EntityAlreadyExists");
    assert_eq!(lab.no("iam:DeleteAccountAlias", json!({"AccountAlias": "plant"})), "NoSuchEntity");
    lab.ok("iam:DeleteAccountAlias", json!({"AccountAlias": "works"}));
    assert_eq!(aliases(), json!([]));
}
