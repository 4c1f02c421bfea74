//! What operations do to devices: who may connect afterwards, and who is disconnected by them.

use serde_json::{Value, json};

use crate::house::Lab;

/// Lets a device connect if its client id is the room of the thing it belongs to.
const AS_ITS_ROOM: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:Connect",
    "Resource":"arn:aws:iot:us-east-1:000000000000:client/${iot:Connection.Thing.Attributes[room]}"}}"#;

fn document(effect: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":{{"Effect":"{effect}","Action":"iot:*","Resource":"*"}}}}"#)
}

fn set_status(id: &str, status: &str) -> Value {
    json!({"certificateId": id, "newStatus": status})
}

#[test]
fn a_device_connects_with_an_active_certificate_and_a_policy() {
    let lab = Lab::new();
    let (id, arn) = lab.certificate();
    lab.ok("CreatePolicy", json!({"policyName": "p", "policyDocument": document("Allow")}));
    assert!(lab.connect(&id, "c").is_none(), "without a policy");
    lab.ok("AttachPolicy", json!({"policyName": "p", "target": arn}));
    assert!(lab.connect(&id, "c").is_some());
    lab.ok("UpdateCertificate", set_status(&id, "INACTIVE"));
    assert!(lab.connect(&id, "c").is_none(), "inactive");
    assert!(lab.connect(&"0".repeat(64), "c").is_none(), "unknown");
}

/// What it is called, the operations given a certificate's id and ARN, and whether they disconnect it.
type Case<'c> = (&'c str, Box<dyn Fn(&str, &str) -> Vec<(&'static str, Value)>>, bool);

#[test]
fn what_takes_its_permission_away_disconnects_a_device_at_once() {
    let deny = |set: bool| json!({"policyName": "p", "policyDocument": document("Deny"), "setAsDefault": set});
    let version = json!({"policyName": "p", "policyVersionId": "2"});
    let cases: [Case; 8] = [
        ("detach", Box::new(|_, arn| vec![("DetachPolicy", json!({"policyName": "p", "target": arn}))]), true),
        (
            "detach, deprecated",
            Box::new(|_, arn| vec![("DetachPrincipalPolicy", json!({"policyName": "p", "principal": arn}))]),
            true,
        ),
        ("deactivate", Box::new(|id, _| vec![("UpdateCertificate", set_status(id, "INACTIVE"))]), true),
        ("revoke", Box::new(|id, _| vec![("UpdateCertificate", set_status(id, "REVOKED"))]), true),
        ("a denying default", Box::new(move |_, _| vec![("CreatePolicyVersion", deny(true))]), true),
        ("a denying version", Box::new(move |_, _| vec![("CreatePolicyVersion", deny(false))]), false),
        (
            "set as default",
            Box::new(move |_, _| {
                vec![("CreatePolicyVersion", deny(false)), ("SetDefaultPolicyVersion", version.clone())]
            }),
            true,
        ),
        ("the same status", Box::new(|id, _| vec![("UpdateCertificate", set_status(id, "ACTIVE"))]), false),
    ];
    for (name, steps, expected) in cases {
        let lab = Lab::new();
        let (id, arn) = lab.certificate();
        lab.ok("CreatePolicy", json!({"policyName": "p", "policyDocument": document("Allow")}));
        lab.ok("AttachPolicy", json!({"policyName": "p", "target": arn}));
        let connection = lab.connect(&id, "c").unwrap();
        for (operation, input) in steps(&id, &arn) {
            lab.ok(operation, input);
        }
        assert_eq!(connection.link().closed().is_some(), expected, "{name}");
    }
}

/// A thing with a certificate of its own, in a group below a root.
fn member(lab: &Lab) -> String {
    let (id, arn) = lab.certificate();
    lab.ok("CreateThing", json!({"thingName": "lamp"}));
    lab.ok("AttachThingPrincipal", json!({"thingName": "lamp", "principal": arn}));
    lab.ok("CreateThingGroup", json!({"thingGroupName": "root"}));
    lab.ok("CreateThingGroup", json!({"thingGroupName": "hall", "parentGroupName": "root"}));
    lab.ok("AddThingToThingGroup", json!({"thingName": "lamp", "thingGroupName": "hall"}));
    id
}

fn of_group(name: &str) -> Value {
    json!({"policyName": "p", "target": format!("arn:aws:iot:us-east-1:000000000000:thinggroup/{name}")})
}

#[test]
fn the_policies_of_a_group_and_of_those_above_it_reach_its_things() {
    for above in ["hall", "root"] {
        let lab = Lab::new();
        let id = member(&lab);
        lab.ok("CreatePolicy", json!({"policyName": "p", "policyDocument": document("Allow")}));
        assert!(lab.connect(&id, "lamp").is_none(), "{above}");
        lab.ok("AttachPolicy", of_group(above));
        assert!(lab.connect(&id, "lamp").is_some(), "{above}");
        assert!(lab.connect(&id, "other").is_none(), "only the thing is in the group");
    }
}

#[test]
fn what_takes_a_permission_from_a_group_disconnects_its_things_at_once() {
    let cases: [(&str, &str, Value); 5] = [
        ("hall", "DetachPolicy", of_group("hall")),
        ("root", "DetachPolicy", of_group("root")),
        (
            "root",
            "CreatePolicyVersion",
            json!({"policyName": "p", "policyDocument": document("Deny"), "setAsDefault": true}),
        ),
        ("root", "RemoveThingFromThingGroup", json!({"thingName": "lamp", "thingGroupName": "hall"})),
        ("hall", "DeleteThingGroup", json!({"thingGroupName": "hall"})),
    ];
    for (at, operation, input) in cases {
        let lab = Lab::new();
        let id = member(&lab);
        lab.ok("CreatePolicy", json!({"policyName": "p", "policyDocument": document("Allow")}));
        lab.ok("AttachPolicy", of_group(at));
        let connection = lab.connect(&id, "lamp").unwrap();
        lab.ok(operation, input);
        assert!(connection.link().closed().is_some(), "{operation} at {at}");
    }
}

#[test]
fn a_deny_of_a_group_wins_over_what_the_certificate_has() {
    let lab = Lab::new();
    let id = member(&lab);
    let arn = format!("arn:aws:iot:us-east-1:000000000000:cert/{id}");
    lab.ok("CreatePolicy", json!({"policyName": "own", "policyDocument": document("Allow")}));
    lab.ok("AttachPolicy", json!({"policyName": "own", "target": arn}));
    lab.ok("CreatePolicy", json!({"policyName": "p", "policyDocument": document("Deny")}));
    let (inside, outside) = (lab.connect(&id, "lamp").unwrap(), lab.connect(&id, "other").unwrap());
    lab.ok("AttachPolicy", of_group("root"));
    assert!(inside.link().closed().is_some() && outside.link().closed().is_none());
    lab.events();
    assert!(lab.connect(&id, "lamp").is_none());
    let refused = lab.refusals().remove(0);
    assert_eq!((&*refused.decision, &*refused.statement), ("EXPLICIT_DENY", "p#0"));
    assert!(refused.reason.contains("p[0] Deny through thing group root > hall: applies"), "{}", refused.reason);
}

#[test]
fn a_refused_operation_disconnects_nobody() {
    let lab = Lab::new();
    let (id, arn) = lab.certificate();
    lab.ok("CreatePolicy", json!({"policyName": "p", "policyDocument": document("Allow")}));
    lab.ok("AttachPolicy", json!({"policyName": "p", "target": arn}));
    let connection = lab.connect(&id, "c").unwrap();
    assert_eq!(lab.no("DeletePolicy", json!({"policyName": "p"})), "DeleteConflict");
    assert_eq!(lab.no("DeleteCertificate", json!({"certificateId": id, "forceDelete": true})), "CertificateState");
    assert_eq!(connection.link().closed(), None);
}

/// A certificate that may connect as the room of its thing, which is `lamp` in the `hall`.
fn lab_with_lamp(kind: Option<&str>) -> (Lab, String, String) {
    let lab = Lab::new();
    let (id, arn) = lab.certificate();
    lab.ok("CreatePolicy", json!({"policyName": "p", "policyDocument": AS_ITS_ROOM}));
    lab.ok("AttachPolicy", json!({"policyName": "p", "target": arn}));
    for name in ["lamp", "hall"] {
        lab.ok("CreateThing", json!({"thingName": name, "attributePayload": {"attributes": {"room": "hall"}}}));
    }
    if let Some(kind) = kind {
        for name in if kind == "EXCLUSIVE_THING" { vec!["lamp"] } else { vec!["lamp", "hall"] } {
            lab.ok("AttachThingPrincipal", json!({"thingName": name, "principal": arn, "thingPrincipalType": kind}));
        }
    }
    (lab, id, arn)
}

#[test]
fn an_exclusive_thing_is_the_connections_and_another_only_by_its_name() {
    // The policy wants the client id `hall`; the thing that says so is `lamp` or `hall`.
    for (kind, expected) in [(None, false), (Some("EXCLUSIVE_THING"), true), (Some("NON_EXCLUSIVE_THING"), true)] {
        let (lab, id, arn) = lab_with_lamp(kind);
        assert_eq!(lab.connect(&id, "hall").is_some(), expected, "{kind:?}");
        assert!(lab.connect(&id, "lamp").is_none(), "{kind:?}");
        if kind == Some("NON_EXCLUSIVE_THING") {
            lab.ok("DetachThingPrincipal", json!({"thingName": "hall", "principal": arn}));
            assert!(lab.connect(&id, "hall").is_none(), "attached to the lamp only");
        }
    }
}

#[test]
fn a_change_of_its_thing_is_felt_by_a_connection() {
    let attributes = |room: &str| json!({"thingName": "lamp", "attributePayload": {"attributes": {"room": room}}});
    let (lab, id, arn) = lab_with_lamp(Some("EXCLUSIVE_THING"));
    let connection = lab.connect(&id, "hall").unwrap();
    lab.ok("UpdateThing", attributes("hall"));
    assert_eq!(connection.link().closed(), None);
    lab.ok("UpdateThing", attributes("attic"));
    assert!(connection.link().closed().is_some());
    let connection = lab.connect(&id, "attic").unwrap();
    lab.ok("DetachThingPrincipal", json!({"thingName": "lamp", "principal": arn}));
    assert!(connection.link().closed().is_some());
}

#[test]
fn a_client_id_longer_than_any_name_belongs_to_no_thing() {
    let (lab, id, _) = lab_with_lamp(Some("NON_EXCLUSIVE_THING"));
    assert!(lab.connect(&id, &"x".repeat(60_000)).is_none());
    assert_eq!(lab.faults(), 0);
}
