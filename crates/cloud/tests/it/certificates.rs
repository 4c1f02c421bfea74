//! Certificates through the house's door: how they are made, listed, deactivated and deleted, and the exact words of each
//! refusal. Which connections they open is told in `effects`.

use cloud::Scope;
use serde_json::{Value, json};

use crate::house::{DAWN, Lab, column, seconds, text};

fn status(lab: &Lab, id: &str) -> String {
    text(&lab.ok("DescribeCertificate", json!({"certificateId": id}))["certificateDescription"]["status"])
}

fn set(lab: &Lab, id: &str, status: &str) {
    lab.ok("UpdateCertificate", json!({"certificateId": id, "newStatus": status}));
}

#[test]
fn a_certificate_is_described_as_it_was_made() {
    let lab = Lab::new();
    let made = lab.ok("CreateKeysAndCertificate", json!({"setAsActive": true}));
    assert_eq!(made["keyPair"], json!({"PublicKey": "public", "PrivateKey": "private"}));
    let id = text(&made["certificateId"]);
    assert_eq!(made["certificateArn"], format!("arn:aws:iot:us-east-1:000000000000:cert/{id}"));
    let described = lab.ok("DescribeCertificate", json!({"certificateId": id}))["certificateDescription"].clone();
    for member in ["certificateArn", "certificateId", "certificatePem"] {
        assert_eq!(described[member], made[member], "{member}");
    }
    let dawn = seconds(DAWN);
    let expected = [
        ("status", json!("ACTIVE")),
        ("ownedBy", json!("000000000000")),
        ("customerVersion", json!(1)),
        ("certificateMode", json!("DEFAULT")),
        ("creationDate", dawn.clone()),
        ("lastModifiedDate", dawn),
        ("transferData", json!({})),
    ];
    for (member, value) in expected {
        assert_eq!(described[member], value, "{member}");
    }
    let validity = &described["validity"];
    assert!(validity["notBefore"].as_f64().unwrap() < validity["notAfter"].as_f64().unwrap(), "{validity}");
    assert_eq!(lab.scope_of(&id), Some(Scope::new("000000000000", "us-east-1")));
}

#[test]
fn a_certificate_for_a_request_brings_no_keys_and_is_inactive_unless_asked() {
    let lab = Lab::new();
    let made = lab.ok("CreateCertificateFromCsr", json!({"certificateSigningRequest": "csr"}));
    assert_eq!(made.get("keyPair"), None);
    assert_eq!(status(&lab, &text(&made["certificateId"])), "INACTIVE");
    let broken = lab.refused("CreateCertificateFromCsr", json!({"certificateSigningRequest": "broken"}));
    assert_eq!(broken, ("InvalidRequest".into(), "The CSR is broken".into()));
}

#[test]
fn a_status_changes_freely_between_active_inactive_and_revoked() {
    let lab = Lab::new();
    let (id, _) = lab.certificate();
    for to in ["INACTIVE", "ACTIVE", "REVOKED", "ACTIVE", "INACTIVE", "REVOKED", "INACTIVE"] {
        lab.pass(1000);
        set(&lab, &id, to);
        assert_eq!(status(&lab, &id), to);
    }
    let described = lab.ok("DescribeCertificate", json!({"certificateId": id}))["certificateDescription"].clone();
    assert_eq!(described["customerVersion"], 8);
    assert_eq!(described["lastModifiedDate"], seconds(lab.now()));
    for to in ["PENDING_TRANSFER", "PENDING_ACTIVATION", "REGISTER_INACTIVE"] {
        assert_eq!(lab.no("UpdateCertificate", json!({"certificateId": id, "newStatus": to})), "InvalidRequest");
    }
    assert_eq!(status(&lab, &id), "INACTIVE");
}

#[test]
fn a_certificate_is_deleted_when_it_is_inactive_and_nothing_is_attached() {
    let lab = Lab::new();
    let (id, arn) = lab.certificate();
    let document = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:*","Resource":"*"}}"#;
    lab.ok("CreatePolicy", json!({"policyName": "p", "policyDocument": document}));
    lab.ok("CreateThing", json!({"thingName": "lamp"}));
    lab.ok("AttachPolicy", json!({"policyName": "p", "target": arn}));
    lab.ok("AttachThingPrincipal", json!({"thingName": "lamp", "principal": arn}));
    let refused = |force: bool| lab.refused("DeleteCertificate", json!({"certificateId": id, "forceDelete": force}));
    let active = format!("Certificate must be deactivated (not ACTIVE) before deletion. Id: {id}");
    let things = format!("Things must be detached before deletion (arn: {arn})");
    let policies = format!("Certificate policies must be detached before deletion (arn: {arn})");
    for force in [false, true] {
        assert_eq!(refused(force), ("CertificateState".into(), active.clone()));
    }
    set(&lab, &id, "INACTIVE");
    for force in [false, true] {
        assert_eq!(refused(force), ("DeleteConflict".into(), things.clone()));
    }
    lab.ok("DetachThingPrincipal", json!({"thingName": "lamp", "principal": arn}));
    assert_eq!(refused(false), ("DeleteConflict".into(), policies));
    lab.ok("DeleteCertificate", json!({"certificateId": id, "forceDelete": true}));
    assert_eq!(lab.no("DescribeCertificate", json!({"certificateId": id})), "ResourceNotFound");
    assert_eq!(lab.ok("ListCertificates", json!({}))["certificates"], json!([]));
    assert_eq!(lab.ok("ListTargetsForPolicy", json!({"policyName": "p"}))["targets"], json!([]));
    assert_eq!(lab.scope_of(&id), None);
    lab.ok("DeletePolicy", json!({"policyName": "p"}));
}

#[test]
fn an_unknown_certificate_is_not_found() {
    let lab = Lab::new();
    let id = "0".repeat(64);
    for operation in ["DescribeCertificate", "DeleteCertificate", "UpdateCertificate"] {
        let input = json!({"certificateId": id, "newStatus": "ACTIVE"});
        assert_eq!(lab.no(operation, input), "ResourceNotFound", "{operation}");
    }
}

#[test]
fn certificates_are_listed_newest_first_unless_asked_otherwise() {
    let lab = Lab::new();
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..5 {
        lab.pass(1);
        ids.push(lab.certificate().0);
    }
    for (ascending, expected) in [(true, ids.clone()), (false, ids.iter().rev().cloned().collect())] {
        let input = json!({"pageSize": 2, "ascendingOrder": ascending});
        let pages = lab.pages("ListCertificates", input, "certificates", ("nextMarker", "marker"));
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
        assert_eq!(column(&Value::Array(pages.concat()), "certificateId"), expected);
    }
    assert_eq!(lab.no("ListCertificates", json!({"marker": "bm9uZQ=="})), "InvalidRequest");
}

#[test]
fn a_marker_leads_on_though_its_certificate_is_gone() {
    let lab = Lab::new();
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..4 {
        lab.pass(1);
        ids.push(lab.certificate().0);
    }
    let first = lab.ok("ListCertificates", json!({"pageSize": 2}));
    assert_eq!(column(&first["certificates"], "certificateId"), [ids[3].clone(), ids[2].clone()]);
    set(&lab, &ids[2], "INACTIVE");
    lab.ok("DeleteCertificate", json!({"certificateId": ids[2]}));
    lab.pass(1);
    lab.certificate();
    let rest = lab.ok("ListCertificates", json!({"marker": first["nextMarker"]}));
    assert_eq!(column(&rest["certificates"], "certificateId"), [ids[1].clone(), ids[0].clone()]);
}

#[test]
fn certificates_of_another_region_are_not_seen() {
    let lab = Lab::new();
    let (id, arn) = lab.certificate();
    let other = lab.elsewhere("000000000000", "eu-west-1");
    assert_eq!(other.no("DescribeCertificate", json!({"certificateId": id})), "ResourceNotFound");
    assert_eq!(other.ok("ListCertificates", json!({}))["certificates"], json!([]));
    other.ok("CreateThing", json!({"thingName": "lamp"}));
    assert_eq!(other.no("AttachThingPrincipal", json!({"thingName": "lamp", "principal": arn})), "InvalidRequest");
}
