//! What may be asked beforehand: what a principal may do, and which policies say so.

use serde_json::{Value, json};

use crate::house::{Lab, column, statement};

const ACCOUNT: &str = "arn:aws:iot:us-east-1:000000000000:";

fn create(lab: &Lab, name: &str, statements: &Value) {
    let document = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    lab.ok("CreatePolicy", json!({"policyName": name, "policyDocument": document}));
}

/// A certificate attached to the thing `lamp`, with policies that speak of the thing and of the client.
fn furnished() -> (Lab, String) {
    let lab = Lab::new();
    let (_, arn) = lab.certificate();
    lab.ok("CreateThing", json!({"thingName": "lamp"}));
    lab.ok("AttachThingPrincipal", json!({"thingName": "lamp", "principal": arn}));
    create(&lab, "connect", &json!([statement("Allow", "iot:Connect", &["client/${iot:Connection.Thing.ThingName}"])]));
    create(
        &lab,
        "talk",
        &json!([
            statement("Allow", "iot:Publish", &["topic/${iot:ClientId}/*"]),
            statement("Deny", "iot:Publish", &["topic/lamp/secret"])
        ]),
    );
    for name in ["connect", "talk"] {
        lab.ok("AttachPolicy", json!({"policyName": name, "target": arn}));
    }
    (lab, arn)
}

fn ask(action: &str, resources: &[&str]) -> Value {
    let resources: Vec<String> = resources.iter().map(|resource| format!("{ACCOUNT}{resource}")).collect();
    json!({"actionType": action, "resources": resources})
}

/// Decision, and the policies that allow, deny by silence, deny.
fn told(result: &Value) -> (String, [String; 3]) {
    let names = |list: &Value| column(&list["policies"], "policyName").join(" ");
    let denied = &result["denied"];
    let each = [names(&result["allowed"]), names(&denied["implicitDeny"]), names(&denied["explicitDeny"])];
    (result["authDecision"].as_str().unwrap().to_owned(), each)
}

#[test]
fn each_question_is_answered_with_the_policies_on_either_side() {
    let (lab, arn) = furnished();
    let asked = [
        ask("CONNECT", &["client/lamp"]),
        ask("CONNECT", &["client/fan"]),
        ask("PUBLISH", &["topic/lamp/on"]),
        ask("PUBLISH", &["topic/lamp/on", "topic/fan/on"]),
        ask("PUBLISH", &["topic/lamp/on", "topic/lamp/secret"]),
        ask("RECEIVE", &["topic/lamp/on"]),
        ask("SUBSCRIBE", &["topicfilter/lamp/#"]),
    ];
    let input = json!({"principal": arn, "clientId": "lamp", "authInfos": asked});
    let results = lab.ok("TestAuthorization", input)["authResults"].clone();
    let expected = [
        ("ALLOWED", ["connect", "talk", ""]),
        ("IMPLICIT_DENY", ["", "connect talk", ""]),
        ("ALLOWED", ["talk", "connect", ""]),
        ("IMPLICIT_DENY", ["", "connect talk", ""]),
        ("EXPLICIT_DENY", ["", "connect", "talk"]),
        ("IMPLICIT_DENY", ["", "connect talk", ""]),
        ("IMPLICIT_DENY", ["", "connect talk", ""]),
    ];
    for ((result, (decision, policies)), asked) in results.as_array().unwrap().iter().zip(expected).zip(&asked) {
        assert_eq!(told(result), (decision.to_owned(), policies.map(str::to_owned)), "{asked}");
        assert_eq!((&result["authInfo"], &result["missingContextValues"]), (asked, &json!([])));
    }
}

#[test]
fn what_has_no_value_is_named() {
    let (lab, arn) = furnished();
    let asked = [ask("CONNECT", &["client/lamp"]), ask("PUBLISH", &["topic/lamp/on"])];
    let input = |client: Option<&str>| {
        let mut input = json!({"principal": arn, "authInfos": asked});
        if let Some(client) = client {
            input["clientId"] = client.into();
        }
        input
    };
    let missing = |client| -> Vec<Value> {
        let results = lab.ok("TestAuthorization", input(client))["authResults"].clone();
        results.as_array().unwrap().iter().map(|result| result["missingContextValues"].clone()).collect()
    };
    assert_eq!(missing(None), [json!(["iot:Connection.Thing.ThingName"]), json!(["iot:ClientId"])]);
    assert_eq!(missing(Some("fan")), [json!(["iot:Connection.Thing.ThingName"]), json!([])]);
    assert_eq!(missing(Some("lamp")), [json!([]), json!([])]);
}

#[test]
fn a_share_opens_no_filter_that_is_denied() {
    let lab = Lab::new();
    create(
        &lab,
        "p",
        &json!([
            statement("Allow", "iot:Subscribe", &["topicfilter/*"]),
            statement("Deny", "iot:Subscribe", &["topicfilter/secret/*"])
        ]),
    );
    let filters = ["secret/a", "$share/group/secret/a", "$share/group/open", "$share/group"];
    let asked: Vec<Value> = filters.map(|filter| ask("SUBSCRIBE", &[&format!("topicfilter/{filter}")])).into();
    let results = lab.ok("TestAuthorization", json!({"policyNamesToAdd": ["p"], "authInfos": asked}));
    let decisions = column(&results["authResults"], "authDecision");
    assert_eq!(decisions, ["EXPLICIT_DENY", "EXPLICIT_DENY", "ALLOWED", "ALLOWED"]);
}

#[test]
fn policies_are_added_and_left_out_for_the_question_alone() {
    let (lab, arn) = furnished();
    create(&lab, "more", &json!([statement("Allow", "iot:Receive", &["topic/*"])]));
    let decide = |more: Value| {
        let mut input =
            json!({"clientId": "lamp", "authInfos": [ask("RECEIVE", &["topic/a"]), ask("CONNECT", &["client/lamp"])]});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        column(&lab.ok("TestAuthorization", input)["authResults"], "authDecision").join(" ")
    };
    assert_eq!(decide(json!({"principal": arn})), "IMPLICIT_DENY ALLOWED");
    assert_eq!(decide(json!({"principal": arn, "policyNamesToAdd": ["more"]})), "ALLOWED ALLOWED");
    assert_eq!(decide(json!({"principal": arn, "policyNamesToSkip": ["connect"]})), "IMPLICIT_DENY IMPLICIT_DENY");
    assert_eq!(decide(json!({"policyNamesToAdd": ["more"]})), "ALLOWED IMPLICIT_DENY");
    assert_eq!(decide(json!({"principal": arn})), "IMPLICIT_DENY ALLOWED");
}

#[test]
fn who_is_not_there_cannot_be_asked_about() {
    let (lab, arn) = furnished();
    let no = |input: Value| lab.no("TestAuthorization", input);
    let asked = json!([ask("CONNECT", &["client/lamp"])]);
    let unknown = format!("{ACCOUNT}cert/{}", "0".repeat(64));
    assert_eq!(no(json!({"principal": unknown, "authInfos": asked})), "ResourceNotFound");
    assert_eq!(no(json!({"principal": "x", "authInfos": asked})), "InvalidRequest");
    assert_eq!(no(json!({"authInfos": asked})), "InvalidRequest");
    assert_eq!(no(json!({"cognitoIdentityPoolId": "us-east-1:p", "authInfos": asked})), "InvalidRequest");
    assert_eq!(no(json!({"principal": arn, "policyNamesToAdd": ["none"], "authInfos": asked})), "ResourceNotFound");
    assert_eq!(no(json!({"principal": arn, "authInfos": [{"resources": ["*"]}]})), "InvalidRequest");
    let many = json!([ask("CONNECT", &["client/lamp"; 101])]);
    assert_eq!(no(json!({"principal": arn, "authInfos": many})), "InvalidRequest");
}

#[test]
fn the_policies_of_a_thing_are_its_principals_and_its_groups() {
    let (lab, arn) = furnished();
    create(&lab, "of-root", &json!([statement("Allow", "iot:Receive", &["topic/*"])]));
    lab.ok("CreateThingGroup", json!({"thingGroupName": "root"}));
    lab.ok("CreateThingGroup", json!({"thingGroupName": "hall", "parentGroupName": "root"}));
    lab.ok("AddThingToThingGroup", json!({"thingName": "lamp", "thingGroupName": "hall"}));
    let root = format!("{ACCOUNT}thinggroup/root");
    lab.ok("AttachPolicy", json!({"policyName": "of-root", "target": root}));
    let effective =
        |input: Value| column(&lab.ok("GetEffectivePolicies", input)["effectivePolicies"], "policyName").join(" ");
    assert_eq!(effective(json!({"principal": arn})), "connect talk");
    assert_eq!(effective(json!({"principal": arn, "thingName": "lamp"})), "connect talk of-root");
    assert_eq!(effective(json!({"thingName": "lamp"})), "of-root");
    assert_eq!(effective(json!({"principal": format!("{ACCOUNT}thinggroup/hall")})), "of-root");
    let all = lab.ok("GetEffectivePolicies", json!({"thingName": "lamp"}));
    let policy = &all["effectivePolicies"][0];
    assert_eq!(policy["policyArn"], format!("{ACCOUNT}policy/of-root"));
    assert!(policy["policyDocument"].as_str().unwrap().contains("iot:Receive"));
    assert_eq!(lab.no("GetEffectivePolicies", json!({"thingName": "fan"})), "ResourceNotFound");
    assert_eq!(lab.no("GetEffectivePolicies", json!({})), "InvalidRequest");
    let asked = json!({"principal": arn, "clientId": "lamp", "authInfos": [ask("RECEIVE", &["topic/a"])]});
    assert_eq!(lab.ok("TestAuthorization", asked)["authResults"][0]["authDecision"], "ALLOWED");
}
