//! Which certificates belong to which things: attaching, exclusively or not, detaching, and the four listings. Which
//! thing a connection speaks for is told in `effects`.

use serde_json::json;

use crate::house::Lab;

const EXCLUSIVE: &str = "EXCLUSIVE_THING";
const SHARED: &str = "NON_EXCLUSIVE_THING";

fn lab_with_things() -> Lab {
    let lab = Lab::new();
    for name in ["lamp", "sun"] {
        lab.ok("CreateThing", json!({"thingName": name}));
    }
    lab
}

fn attach(lab: &Lab, thing: &str, principal: &str, kind: &str) -> Result<(), String> {
    let input = json!({"thingName": thing, "principal": principal, "thingPrincipalType": kind});
    lab.call("AttachThingPrincipal", input).map(drop).map_err(|(error, _)| error)
}

#[test]
fn an_attachment_is_seen_from_both_sides() {
    let lab = lab_with_things();
    let (_, arn) = lab.certificate();
    for _ in 0..2 {
        lab.ok("AttachThingPrincipal", json!({"thingName": "lamp", "principal": arn}));
    }
    assert_eq!(lab.ok("ListThingPrincipals", json!({"thingName": "lamp"})), json!({"principals": [arn]}));
    assert_eq!(lab.ok("ListPrincipalThings", json!({"principal": arn})), json!({"things": ["lamp"]}));
    let objects = json!({"thingPrincipalObjects": [{"principal": arn, "thingPrincipalType": SHARED}]});
    assert_eq!(lab.ok("ListThingPrincipalsV2", json!({"thingName": "lamp"})), objects);
    let objects = json!({"principalThingObjects": [{"thingName": "lamp", "thingPrincipalType": SHARED}]});
    assert_eq!(lab.ok("ListPrincipalThingsV2", json!({"principal": arn})), objects);
    let none = lab.ok("ListPrincipalThingsV2", json!({"principal": arn, "thingPrincipalType": EXCLUSIVE}));
    assert_eq!(none, json!({"principalThingObjects": []}));
    lab.ok("DetachThingPrincipal", json!({"thingName": "lamp", "principal": arn}));
    assert_eq!(lab.ok("ListThingPrincipals", json!({"thingName": "lamp"})), json!({"principals": []}));
    assert_eq!(lab.ok("ListPrincipalThings", json!({"principal": arn})), json!({"things": []}));
    assert_eq!(lab.no("DetachThingPrincipal", json!({"thingName": "lamp", "principal": arn})), "ResourceNotFound");
}

#[test]
fn an_identity_of_cognito_can_be_a_principal() {
    const IDENTITY: &str = "us-east-1:12345678-1234-1234-1234-123456789012";
    let lab = lab_with_things();
    lab.ok(
        "AttachThingPrincipal",
        json!({"thingName": "lamp", "principal": IDENTITY, "thingPrincipalType": EXCLUSIVE}),
    );
    assert_eq!(attach(&lab, "sun", IDENTITY, SHARED), Err("InvalidRequestException".to_owned()));
    assert_eq!(lab.ok("ListThingPrincipals", json!({"thingName": "lamp"})), json!({"principals": [IDENTITY]}));
    assert_eq!(lab.ok("ListPrincipalThings", json!({"principal": IDENTITY})), json!({"things": ["lamp"]}));
    assert_eq!(lab.no("DeleteThing", json!({"thingName": "lamp"})), "InvalidRequest");
    lab.ok("DetachThingPrincipal", json!({"thingName": "lamp", "principal": IDENTITY}));
    lab.ok("DeleteThing", json!({"thingName": "lamp"}));
    assert_eq!(attach(&lab, "sun", "us-east-1:no-identity", SHARED), Err("InvalidRequestException".to_owned()));
}

#[test]
fn an_exclusive_principal_has_one_thing() {
    const REFUSED: Option<&str> = Some("InvalidRequestException");
    type Attached = (&'static str, &'static str);
    let cases: [(&[Attached], Attached, Option<&str>); 8] = [
        (&[], ("lamp", EXCLUSIVE), None),
        (&[("lamp", EXCLUSIVE)], ("lamp", EXCLUSIVE), None),
        (&[("lamp", EXCLUSIVE)], ("lamp", SHARED), REFUSED),
        (&[("lamp", EXCLUSIVE)], ("sun", EXCLUSIVE), REFUSED),
        (&[("lamp", EXCLUSIVE)], ("sun", SHARED), REFUSED),
        (&[("lamp", SHARED)], ("lamp", EXCLUSIVE), REFUSED),
        (&[("lamp", SHARED)], ("sun", EXCLUSIVE), REFUSED),
        (&[("lamp", SHARED)], ("sun", SHARED), None),
    ];
    for (before, (thing, kind), expected) in cases {
        let lab = lab_with_things();
        let (_, arn) = lab.certificate();
        for (thing, kind) in before {
            attach(&lab, thing, &arn, kind).unwrap();
        }
        let refused = attach(&lab, thing, &arn, kind).err();
        assert_eq!(refused.as_deref(), expected, "{before:?}, then {thing} {kind}");
    }
}

#[test]
fn a_detached_principal_can_be_attached_otherwise() {
    let lab = lab_with_things();
    let (_, arn) = lab.certificate();
    attach(&lab, "lamp", &arn, EXCLUSIVE).unwrap();
    lab.ok("DetachThingPrincipal", json!({"thingName": "lamp", "principal": arn}));
    attach(&lab, "lamp", &arn, SHARED).unwrap();
    attach(&lab, "sun", &arn, SHARED).unwrap();
}

#[test]
fn a_thing_holds_many_principals_page_by_page() {
    let lab = lab_with_things();
    let mut arns: Vec<String> = (0..5).map(|_| lab.certificate().1).collect();
    for arn in &arns {
        attach(&lab, "lamp", arn, EXCLUSIVE).unwrap();
    }
    arns.sort();
    let input = json!({"thingName": "lamp", "maxResults": 2});
    let pages = lab.pages("ListThingPrincipals", input, "principals", ("nextToken", "nextToken"));
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(json!(pages.concat()), json!(arns));
    let other = json!({"thingName": "sun", "nextToken": lab.ok("ListThingPrincipals", json!({"thingName": "lamp", "maxResults": 2}))["nextToken"]});
    assert_eq!(lab.no("ListThingPrincipals", other), "InvalidRequest");
}

#[test]
fn a_thing_with_principals_is_not_deleted() {
    let lab = lab_with_things();
    let (_, arn) = lab.certificate();
    attach(&lab, "lamp", &arn, SHARED).unwrap();
    let refused = lab.refused("DeleteThing", json!({"thingName": "lamp"}));
    let message = "Cannot delete. Thing lamp is still attached to one or more principals";
    assert_eq!(refused, ("InvalidRequest".into(), message.into()));
    lab.ok("DetachThingPrincipal", json!({"thingName": "lamp", "principal": arn}));
    lab.ok("DeleteThing", json!({"thingName": "lamp"}));
}

#[test]
fn both_sides_must_exist() {
    let lab = lab_with_things();
    let (_, arn) = lab.certificate();
    let unknown = format!("arn:aws:iot:us-east-1:000000000000:cert/{}", "0".repeat(64));
    for operation in ["AttachThingPrincipal", "DetachThingPrincipal"] {
        assert_eq!(lab.no(operation, json!({"thingName": "none", "principal": arn})), "ResourceNotFound");
        assert_eq!(lab.no(operation, json!({"thingName": "lamp", "principal": unknown})), "ResourceNotFound");
        assert_eq!(lab.no(operation, json!({"thingName": "lamp", "principal": "x"})), "InvalidRequest");
    }
    let listed = lab.message("ListThingPrincipals", json!({"thingName": "none"}));
    assert_eq!(listed, "Failed to list principals for thing none because the thing does not exist in your account");
}
