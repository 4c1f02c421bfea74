//! The explained refusal: what an answer says of who asked, of its thing, of each policy and statement, and whether what it
//! proposes helps.

use cloud::why::Question;
use mqtt::{Packet, Version};
use serde_json::{Value, json};

use crate::device::{message_1, subscribe, subscription};
use crate::house::{Lab, everything, statement};
use crate::pki::Ca;

const ACCOUNT: &str = "arn:aws:iot:us-east-1:000000000000:";

fn question(principal: &str, client_id: &str, action: &str, resource: &str) -> Question {
    Question {
        principal: principal.to_owned(),
        client_id: client_id.to_owned(),
        action: action.to_owned(),
        resource: resource.to_owned(),
        ..Question::default()
    }
}

/// Carries out the commands of a patch as the AWS CLI would.
fn follow(lab: &Lab, why: &Value) {
    for command in why["patch"]["commands"].as_array().unwrap() {
        let words = words(command.as_str().unwrap());
        assert_eq!(words[0], "aws");
        let of_iam = words[1] == "iam";
        let (mut input, mut rest) = (json!({}), words[3..].iter());
        while let Some(name) = rest.next() {
            let name = camel(name.strip_prefix("--").unwrap());
            let name = if of_iam { pascal(&name) } else { name };
            if name == "setAsDefault" {
                input[name] = true.into();
            } else {
                input[name] = rest.next().unwrap().as_str().into();
            }
        }
        lab.ok(&format!("{}:{}", words[1], pascal(&camel(&words[2]))), input);
    }
}

fn pascal(camel: &str) -> String {
    format!("{}{}", camel[..1].to_uppercase(), &camel[1..])
}

/// The words of a command, of which the last may be in single quotes.
fn words(command: &str) -> Vec<String> {
    let (plain, quoted) = command.split_once(" '").unwrap_or((command, ""));
    let mut words: Vec<String> = plain.split(' ').map(str::to_owned).collect();
    if !quoted.is_empty() {
        let (document, rest) = quoted.rsplit_once('\'').unwrap();
        words.push(document.replace(r"'\''", "'"));
        words.extend(rest.split_whitespace().map(str::to_owned));
    }
    words
}

fn camel(dashed: &str) -> String {
    let mut parts = dashed.split('-');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |camel, part| format!("{camel}{}{}", part[..1].to_uppercase(), &part[1..]))
}

#[test]
fn a_refused_publish_is_explained_from_the_certificate_to_the_missing_grant() {
    let lab = Lab::new();
    let id = lab.identity(json!([
        statement("Allow", "iot:Connect", &["client/*"]),
        statement("Allow", "iot:Publish", &["topic/${iot:ClientId}/*", "topic/${iot:Connection.Thing.ThingName}"])
    ]));
    let device = lab.device(&id, Version::V5, "lamp");
    lab.events();
    device.give(Packet::Publish(message_1(1, "fan/a*b", "x")));
    let refused = lab.refusals().remove(0);
    let why = lab.why(&Question::of(&refused));
    assert_eq!((&why["decision"], &why["action"]), (&json!("IMPLICIT_DENY"), &json!("iot:Publish")));
    assert_eq!(why["resource"], format!("{ACCOUNT}topic/fan/a*b"));
    let principal = &why["principal"];
    assert_eq!((&principal["kind"], &principal["status"]), (&json!("certificate"), &json!("ACTIVE")));
    // The certificates of the drawer are younger than the day of these tests.
    assert_eq!((&principal["id"], &principal["validity"]), (&json!(id), &json!("not yet valid")));
    assert_eq!(why["thing"], json!({"name": null, "because": "the certificate is attached to no thing"}));
    let policy = &why["policies"][0];
    assert_eq!(
        (&policy["name"], &policy["through"], &policy["version"]),
        (&json!(id), &json!("certificate"), &json!(1))
    );
    assert_eq!(policy["warnings"][0]["code"], "client-id-of-another");
    let failed: Vec<&Value> = why["statements"].as_array().unwrap().iter().map(|it| &it["failed"]).collect();
    assert_eq!(failed, [&json!(["action", "resource"]), &json!(["resource"])]);
    assert_eq!(
        why["variables"],
        json!([
            {"name": "iot:ClientId", "value": "lamp"},
            {"name": "iot:Connection.Thing.ThingName", "empty": "has no value: no thing belongs to the connection"}
        ])
    );
    assert_eq!(why["missing"], json!({"action": "iot:Publish", "resource": format!("{ACCOUNT}topic/fan/a${{*}}b")}));
    follow(&lab, &why);
    let after = lab.why(&Question::of(&refused));
    assert_eq!((&after["decision"], after.get("missing"), after.get("patch")), (&json!("ALLOWED"), None, None));
    let others = question(&id, "lamp", "iot:Publish", "topic/fan/axb");
    assert_eq!(lab.why(&others)["decision"], "IMPLICIT_DENY", "the patch allows nothing more");
}

#[test]
fn a_certificate_that_may_not_come_in_is_the_reason() {
    let lab = Lab::new();
    let id = lab.identity(everything());
    lab.ok("UpdateCertificate", json!({"certificateId": id, "newStatus": "INACTIVE"}));
    let asked = question(&id, "lamp", "iot:Connect", "client/lamp");
    let why = lab.why(&asked);
    assert_eq!((&why["decision"], &why["principal"]["status"]), (&json!("INACTIVE"), &json!("INACTIVE")));
    assert_eq!(why.get("missing"), None);
    follow(&lab, &why);
    assert_eq!(lab.why(&asked)["decision"], "ALLOWED");
    let unknown = lab.why(&question(&"0".repeat(64), "lamp", "iot:Connect", "client/lamp"));
    assert_eq!((&unknown["decision"], unknown.get("patch")), (&json!("UNKNOWN_CERTIFICATE"), None));
}

#[test]
fn a_certificate_that_registered_itself_is_told_how_to_be_activated() {
    let lab = Lab::new();
    let ca = Ca::new("plant");
    lab.ca(&ca, json!({"setAsActive": true, "allowAutoRegistration": true}));
    assert!(lab.introduced(&ca.issue("lamp"), "lamp").is_err());
    let refused = lab.refusals().pop().unwrap();
    let why = lab.why(&Question::of(&refused));
    assert_eq!(why["decision"], "PENDING_ACTIVATION");
    follow(&lab, &why);
    assert_eq!(lab.why(&Question::of(&refused))["decision"], "IMPLICIT_DENY", "it is in, and has no policy yet");
}

#[test]
fn a_client_that_is_not_its_thing_is_told_to_become_it() {
    let lab = Lab::new();
    let own = "${iot:Connection.Thing.ThingName}";
    let id = lab.identity(json!([statement("Allow", "iot:Connect", &[&format!("client/{own}")])]));
    let asked = question(&id, "lamp", "iot:Connect", "client/lamp");
    let why = lab.why(&asked);
    assert_eq!(why["patch"]["commands"].as_array().unwrap().len(), 2, "a thing is to be made: {}", why["patch"]);
    follow(&lab, &why);
    let after = lab.why(&asked);
    assert_eq!((&after["decision"], &after["thing"]["name"]), (&json!("ALLOWED"), &json!("lamp")));
    assert_eq!(after["thing"]["because"], "the certificate is attached to it, and the client id is its name");
    let other = lab.why(&question(&id, "fan", "iot:Connect", "client/fan"));
    let because = "the certificate is attached to lamp, and the client id is the name of none of them: fan";
    assert_eq!(other["thing"]["because"], because);
}

#[test]
fn a_deny_through_a_group_names_the_group_and_can_be_taken_away() {
    let lab = Lab::new();
    let id = lab.identity(everything());
    lab.ok("CreateThing", json!({"thingName": "lamp"}));
    lab.ok("AttachThingPrincipal", json!({"thingName": "lamp", "principal": format!("{ACCOUNT}cert/{id}")}));
    lab.ok("CreateThingGroup", json!({"thingGroupName": "root"}));
    lab.ok("CreateThingGroup", json!({"thingGroupName": "hall", "parentGroupName": "root"}));
    lab.ok("AddThingToThingGroup", json!({"thingName": "lamp", "thingGroupName": "hall"}));
    let deny = statement("Deny", "iot:Publish", &["topic/alarm"]);
    let receive = statement("Allow", "iot:Receive", &["topic/*"]);
    for (name, statements) in [("one", json!([&deny])), ("two", json!([receive, deny]))] {
        let document = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        lab.ok("CreatePolicy", json!({"policyName": name, "policyDocument": document}));
        lab.ok("AttachPolicy", json!({"policyName": name, "target": format!("{ACCOUNT}thinggroup/root")}));
    }
    let asked = question("", "lamp", "iot:Publish", "topic/alarm");
    let why = lab.why(&asked);
    assert_eq!((&why["decision"], &why["thing"]["groups"]), (&json!("EXPLICIT_DENY"), &json!(["hall", "root > hall"])));
    let through: Vec<&Value> = why["policies"].as_array().unwrap().iter().map(|policy| &policy["through"]).collect();
    let root = json!("thing group root > hall");
    assert_eq!(through, [&json!("certificate"), &root, &root]);
    assert_eq!(why.get("missing"), None, "no grant helps");
    assert_eq!(
        why["patch"]["commands"],
        json!([format!("aws iot detach-policy --policy-name one --target {ACCOUNT}thinggroup/root")])
    );
    follow(&lab, &why);
    let second = lab.why(&asked);
    assert_eq!(second["patch"]["statement"]["Effect"], "Deny");
    follow(&lab, &second);
    assert_eq!(lab.why(&asked)["decision"], "ALLOWED");
}

#[test]
fn a_policy_without_room_is_left_alone_and_another_is_proposed() {
    let lab = Lab::new();
    let id = lab.identity(json!([statement("Allow", "iot:Connect", &["client/*"])]));
    let document = |n: usize| json!({"Version": "2012-10-17", "Statement": [statement("Allow", "iot:Connect", &[&format!("client/{n}*")])]});
    for n in 0..4 {
        lab.ok("CreatePolicyVersion", json!({"policyName": id, "policyDocument": document(n).to_string()}));
    }
    let asked = question(&id, "lamp", "iot:Subscribe", "topicfilter/a/#");
    let why = lab.why(&asked);
    let commands = why["patch"]["commands"].to_string();
    assert!(commands.contains("create-policy ") && commands.contains("attach-policy"), "{commands}");
    follow(&lab, &why);
    assert_eq!(lab.why(&asked)["decision"], "ALLOWED");
}

#[test]
fn what_the_request_brought_is_asked_of_conditions_again() {
    let lab = Lab::new();
    let id = lab.identity(json!([{
        "Effect": "Allow", "Action": "iot:Connect", "Resource": "*",
        "Condition": {"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}}
    }]));
    let mut hello = crate::house::hello(Version::V311, "lamp");
    hello.will = Some(mqtt::Will {
        topic: crate::device::topic("gone"),
        payload: mqtt::Binary::default(),
        qos: mqtt::QoS::AtMostOnce,
        retain: false,
        properties: mqtt::WillProperties::default(),
    });
    assert!(lab.arrive(&id, &hello).is_err());
    let refused = lab.refusals().remove(0);
    let clause = &lab.why(&Question::of(&refused))["statements"][0]["condition"]["clauses"][0];
    assert_eq!((&clause["found"], &clause["holds"]), (&json!(["LastWill"]), &json!(false)));
}

#[test]
fn a_message_that_may_not_be_received_is_told_once() {
    let lab = Lab::new();
    let listener = lab.identity(json!([
        statement("Allow", "iot:Connect", &["client/*"]),
        statement("Allow", "iot:Subscribe", &["topicfilter/*"])
    ]));
    let speaker = lab.identity(everything());
    let (listener, speaker) =
        (lab.device(&listener, Version::V5, "listener"), lab.device(&speaker, Version::V5, "speaker"));
    listener.listen("news/#");
    lab.events();
    for topic in ["news/1", "news/1", "news/2", "else"] {
        speaker.publish(topic, "x");
    }
    assert!(listener.messages().is_empty());
    let refused: Vec<(String, String)> =
        lab.refusals().into_iter().map(|it| (it.action, it.client_id + " " + &it.resource)).collect();
    let of = |topic: &str| ("iot:Receive".to_owned(), format!("listener {ACCOUNT}topic/{topic}"));
    assert_eq!(refused, [of("news/1"), of("news/2")]);
}

#[test]
fn a_refused_filter_tells_an_mqtt_5_client_why() {
    let lab = Lab::new();
    let id = lab.identity(json!([
        statement("Allow", "iot:Connect", &["client/*"]),
        statement("Allow", "iot:Subscribe", &["topicfilter/a"])
    ]));
    let device = lab.device(&id, Version::V5, "lamp");
    device.give(subscribe([subscription("a"), subscription("b")]));
    let heard = device.heard();
    let [Packet::SubAck(ack)] = &heard[..] else { panic!("{heard:?}") };
    let told = ack.properties.reason_string.as_ref().map(mqtt::Text::as_str);
    assert_eq!(told, Some(&*format!("iot:Subscribe on {ACCOUNT}topicfilter/b is not allowed: IMPLICIT_DENY")));
}

#[test]
fn a_variable_without_a_value_says_why() {
    let lab = Lab::new();
    let variables = "${iot:Connection.Thing.ThingTypeName}/${iot:Connection.Thing.Attributes[room]}/${iot:DomainName}/\
                     ${iot:Certificate.Subject.Title}/${iot:Nothing}/${aws:SourceIp}";
    let id = lab.identity(json!([statement("Allow", "iot:Publish", &[&format!("topic/{variables}")])]));
    lab.ok("CreateThing", json!({"thingName": "lamp"}));
    lab.ok("AttachThingPrincipal", json!({"thingName": "lamp", "principal": format!("{ACCOUNT}cert/{id}")}));
    let why = lab.why(&question(&id, "lamp", "iot:Publish", "topic/a"));
    let empty: Vec<&str> = why["variables"].as_array().unwrap().iter().filter_map(|it| it["empty"].as_str()).collect();
    let expected = [
        "has no value: the thing lamp has no type",
        "has no value: the thing lamp has no such attribute",
        "has no value: the client asked for no host name",
        "has no value: the certificate has none",
        "has no value: there is no such variable",
        "has no value: the address of the peer is not known",
    ];
    assert_eq!(empty, expected);
}

#[test]
fn what_iam_refuses_is_explained_by_the_policies_of_iam() {
    let lab = Lab::new();
    let user = lab.ok("iam:CreateUser", json!({"UserName": "ann", "Path": "/fleet/"}))["User"]["Arn"].clone();
    let asked = question(user.as_str().unwrap(), "", "iot:CreateThing", "thing/lamp");
    let why = lab.why(&asked);
    assert_eq!((&why["decision"], &why["principal"]["kind"]), (&json!("IMPLICIT_DENY"), &json!("user")));
    assert_eq!((&why["principal"]["id"], &why["policies"]), (&json!("ann"), &json!([])));
    follow(&lab, &why);
    let after = lab.why(&asked);
    assert_eq!((&after["decision"], &after["policies"][0]["warnings"]), (&json!("ALLOWED"), &json!([])));
    let through = after["policies"][0]["through"].as_str().unwrap();
    assert!(through.contains("ann"), "{through}");
    assert_eq!(
        lab.why(&question(user.as_str().unwrap(), "", "iot:CreateThing", "thing/fan"))["decision"],
        "IMPLICIT_DENY"
    );
}

#[test]
fn nobody_known_is_an_answer_too() {
    let lab = Lab::new();
    let why = lab.why(&question("", "lamp", "iot:Connect", "client/lamp"));
    assert_eq!((&why["decision"], &why["principal"]["kind"]), (&json!("NO_PRINCIPAL"), &json!("nobody")));
    let anonymous = lab.why(&question("anonymous/none", "lamp", "iot:Connect", "client/lamp"));
    assert_eq!(anonymous["decision"], "UNKNOWN_POLICY");
}

#[test]
fn a_question_has_bounds() {
    let asked = question("", "", "iot:Publish", "topic/a");
    assert!(asked.check().is_ok());
    assert!(Question { action: String::new(), ..asked.clone() }.check().is_err());
    assert!(Question { resource: "a".repeat(5000), ..asked.clone() }.check().is_err());
    let given = (0..40).map(|n| (format!("k{n}"), vec!["v".to_owned()])).collect();
    assert!(Question { given, ..asked }.check().is_err());
}
