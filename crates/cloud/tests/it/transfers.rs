//! Certificates that change hands between accounts: what each side sees at each step, and who may connect meanwhile. The
//! words of status changes are told in `certificates`.

use serde_json::{Value, json};

use crate::house::{DAWN, Lab, column, everything, seconds, text};

const SOURCE: &str = "000000000000";
const TARGET: &str = "111111111111";

fn described(lab: &Lab, id: &str) -> Value {
    lab.ok("DescribeCertificate", json!({"certificateId": id}))["certificateDescription"].clone()
}

/// Two accounts, and a certificate that the first offers to the second.
fn offered() -> (Lab, Lab, String) {
    let lab = Lab::new();
    let there = lab.elsewhere(TARGET, "us-east-1");
    let id = text(&lab.ok("CreateKeysAndCertificate", json!({}))["certificateId"]);
    lab.pass(1000);
    let input = json!({"certificateId": id, "targetAwsAccount": TARGET, "transferMessage": "yours"});
    let answer = lab.ok("TransferCertificate", input);
    assert_eq!(answer["transferredCertificateArn"], format!("arn:aws:iot:us-east-1:{TARGET}:cert/{id}"));
    (lab, there, id)
}

#[test]
fn an_offer_is_seen_on_both_sides() {
    let (lab, there, id) = offered();
    for lab in [&lab, &there] {
        let described = described(lab, &id);
        assert_eq!(described["status"], "PENDING_TRANSFER");
        assert_eq!(described["ownedBy"], SOURCE);
        assert_eq!(
            described["transferData"],
            json!({"transferMessage": "yours", "transferDate": seconds(DAWN + 1000)})
        );
        let listed = lab.ok("ListCertificates", json!({}))["certificates"].clone();
        assert_eq!(column(&listed, "status"), ["PENDING_TRANSFER"]);
        let update = json!({"certificateId": id, "newStatus": "ACTIVE"});
        assert_eq!(lab.no("UpdateCertificate", update), "CertificateState");
        assert_eq!(lab.no("DeleteCertificate", json!({"certificateId": id})), "CertificateState");
    }
    let outgoing = lab.ok("ListOutgoingCertificates", json!({}))["outgoingCertificates"].clone();
    let expected = json!([{
        "certificateArn": format!("arn:aws:iot:us-east-1:{SOURCE}:cert/{id}"),
        "certificateId": id,
        "transferredTo": TARGET,
        "transferDate": seconds(DAWN + 1000),
        "transferMessage": "yours",
        "creationDate": seconds(DAWN),
    }]);
    assert_eq!(outgoing, expected);
    assert_eq!(there.ok("ListOutgoingCertificates", json!({}))["outgoingCertificates"], json!([]));
}

#[test]
fn an_accepted_certificate_belongs_to_the_other_account_alone() {
    let (lab, there, id) = offered();
    lab.pass(1000);
    there.ok("AcceptCertificateTransfer", json!({"certificateId": id, "setAsActive": true}));
    assert_eq!(lab.no("DescribeCertificate", json!({"certificateId": id})), "ResourceNotFound");
    assert_eq!(lab.ok("ListCertificates", json!({}))["certificates"], json!([]));
    assert_eq!(lab.ok("ListOutgoingCertificates", json!({}))["outgoingCertificates"], json!([]));
    let described = described(&there, &id);
    for (member, value) in [("status", "ACTIVE"), ("ownedBy", TARGET), ("previousOwnedBy", SOURCE)] {
        assert_eq!(described[member], value, "{member}");
    }
    assert_eq!(described["transferData"]["acceptDate"], seconds(DAWN + 2000));
    assert_eq!(there.ok("ListCertificates", json!({}))["certificates"].as_array().unwrap().len(), 1);
    for operation in ["AcceptCertificateTransfer", "RejectCertificateTransfer"] {
        assert_eq!(there.no(operation, json!({"certificateId": id})), "TransferAlreadyCompleted", "{operation}");
    }
    assert_eq!(lab.no("CancelCertificateTransfer", json!({"certificateId": id})), "TransferAlreadyCompleted");
    assert_eq!(lab.scope_of(&id).unwrap().account.as_ref(), TARGET);

    let document = json!({"Version": "2012-10-17", "Statement": everything()}).to_string();
    there.ok("CreatePolicy", json!({"policyName": "p", "policyDocument": document}));
    let arn = format!("arn:aws:iot:us-east-1:{TARGET}:cert/{id}");
    there.ok("AttachPolicy", json!({"policyName": "p", "target": arn}));
    assert!(there.connect(&id, "lamp").is_some());
}

#[test]
fn a_rejected_certificate_is_the_owners_again() {
    let (lab, there, id) = offered();
    lab.pass(1000);
    there.ok("RejectCertificateTransfer", json!({"certificateId": id, "rejectReason": "no"}));
    assert_eq!(there.no("DescribeCertificate", json!({"certificateId": id})), "ResourceNotFound");
    let described = described(&lab, &id);
    assert_eq!(described["status"], "INACTIVE");
    let data = json!({
        "transferMessage": "yours",
        "rejectReason": "no",
        "transferDate": seconds(DAWN + 1000),
        "rejectDate": seconds(DAWN + 2000),
    });
    assert_eq!(described["transferData"], data);
    assert_eq!(lab.ok("ListOutgoingCertificates", json!({}))["outgoingCertificates"], json!([]));
    for operation in ["AcceptCertificateTransfer", "CancelCertificateTransfer"] {
        assert_eq!(lab.no(operation, json!({"certificateId": id})), "InvalidRequest", "{operation}");
    }
    lab.ok("UpdateCertificate", json!({"certificateId": id, "newStatus": "ACTIVE"}));
}

#[test]
fn an_offer_can_be_taken_back_and_made_again() {
    let (lab, there, id) = offered();
    assert_eq!(there.no("CancelCertificateTransfer", json!({"certificateId": id})), "InvalidRequest");
    lab.ok("CancelCertificateTransfer", json!({"certificateId": id}));
    assert_eq!(described(&lab, &id)["status"], "INACTIVE");
    assert_eq!(there.ok("ListCertificates", json!({}))["certificates"], json!([]));
    assert_eq!(there.no("AcceptCertificateTransfer", json!({"certificateId": id})), "ResourceNotFound");
    lab.ok("TransferCertificate", json!({"certificateId": id, "targetAwsAccount": TARGET}));
    there.ok("AcceptCertificateTransfer", json!({"certificateId": id}));
    assert_eq!(described(&there, &id)["status"], "INACTIVE");
    assert_eq!(lab.no("CancelCertificateTransfer", json!({"certificateId": "0".repeat(64)})), "ResourceNotFound");
    assert_eq!(lab.faults(), 0);
}

#[test]
fn only_an_inactive_certificate_without_ties_is_offered() {
    let lab = Lab::new();
    let (id, arn) = lab.certificate();
    let offer = || lab.no("TransferCertificate", json!({"certificateId": id, "targetAwsAccount": TARGET}));
    assert_eq!(offer(), "CertificateState");
    lab.ok("UpdateCertificate", json!({"certificateId": id, "newStatus": "INACTIVE"}));
    let document = json!({"Version": "2012-10-17", "Statement": everything()}).to_string();
    lab.ok("CreatePolicy", json!({"policyName": "p", "policyDocument": document}));
    lab.ok("AttachPolicy", json!({"policyName": "p", "target": arn}));
    assert_eq!(offer(), "TransferConflict");
    lab.ok("DetachPolicy", json!({"policyName": "p", "target": arn}));
    lab.ok("CreateThing", json!({"thingName": "lamp"}));
    lab.ok("AttachThingPrincipal", json!({"thingName": "lamp", "principal": arn}));
    assert_eq!(offer(), "TransferConflict");
    lab.ok("DetachThingPrincipal", json!({"thingName": "lamp", "principal": arn}));
    let own = json!({"certificateId": id, "targetAwsAccount": SOURCE});
    assert_eq!(lab.no("TransferCertificate", own), "InvalidRequest");
    lab.ok("TransferCertificate", json!({"certificateId": id, "targetAwsAccount": TARGET}));
    assert_eq!(offer(), "CertificateState");
    // Nothing is attached to what is on its way.
    assert_eq!(lab.no("AttachPolicy", json!({"policyName": "p", "target": arn})), "InvalidRequest");
    assert_eq!(lab.no("AttachThingPrincipal", json!({"thingName": "lamp", "principal": arn})), "InvalidRequest");
    assert!(lab.connect(&id, "lamp").is_none());
}
