//! Registration just in time: a device brings a certificate that only its CA is known for, and what the account hears of it.
//! TLS, where the device proves that it holds the key, is not part of this.

use cloud::Principal;
use mqtt::Version;
use serde_json::{Value, json};

use crate::house::{Lab, everything, text};
use crate::pki::Ca;

const READY: &str = r#"{"setAsActive": true, "allowAutoRegistration": true}"#;

fn ready() -> Value {
    serde_json::from_str(READY).unwrap()
}

/// The id of what a device showed, and why it was sent away.
fn refused(lab: &Lab, pem: &str) -> (String, String) {
    lab.events();
    let principal = lab.introduce(pem);
    assert!(lab.introduced(pem, "lamp").is_err());
    let refused = lab.refusals();
    assert_eq!(refused[0].action, "iot:Connect", "{refused:?}");
    (principal.id(), refused[0].decision.clone())
}

#[test]
fn a_device_registers_itself_and_connects_once_it_is_activated() {
    let lab = Lab::new();
    let ca = Ca::new("plant");
    let ca_id = lab.ca(&ca, ready());
    let operator = lab.device(&lab.identity(everything()), Version::V311, "operator");
    operator.listen(&format!("$aws/events/certificates/registered/{ca_id}"));
    let leaf = ca.issue("lamp");
    lab.pass(1000);
    let first = lab.now();
    assert!(lab.introduced(&leaf, "lamp").is_err());
    let [(_, event)] = &operator.messages()[..] else { panic!("one event is expected") };
    let event: Value = serde_json::from_str(event).unwrap();
    let id = text(&event["certificateId"]);
    let expected = json!({
        "certificateId": id,
        "caCertificateId": ca_id,
        "timestamp": first,
        "certificateStatus": "PENDING_ACTIVATION",
        "awsAccountId": "000000000000",
        "certificateRegistrationTimestamp": first.to_string(),
    });
    assert_eq!(event, expected);
    let refused = lab.refusals().pop().unwrap();
    assert_eq!((refused.decision.as_str(), &refused.principal), ("PENDING_ACTIVATION", &id));
    assert!(refused.reason.contains("update-certificate --new-status ACTIVE"), "{}", refused.reason);
    let described = lab.ok("DescribeCertificate", json!({"certificateId": id}))["certificateDescription"].clone();
    assert_eq!(described["status"], "PENDING_ACTIVATION");
    assert_eq!(described["caCertificateId"], ca_id);

    // Each further attempt tells it anew.
    lab.pass(1000);
    assert!(lab.introduced(&leaf, "lamp").is_err());
    let [(_, again)] = &operator.messages()[..] else { panic!("one event is expected") };
    let again: Value = serde_json::from_str(again).unwrap();
    assert_eq!(again["timestamp"], first + 1000);
    assert_eq!(again["certificateRegistrationTimestamp"], first.to_string());

    lab.ok("UpdateCertificate", json!({"certificateId": id, "newStatus": "ACTIVE"}));
    let arn = format!("arn:aws:iot:us-east-1:000000000000:cert/{id}");
    let document = json!({"Version": "2012-10-17", "Statement": everything()}).to_string();
    lab.ok("CreatePolicy", json!({"policyName": "lamps", "policyDocument": document}));
    lab.ok("AttachPolicy", json!({"policyName": "lamps", "target": arn}));
    assert!(lab.introduced(&leaf, "lamp").is_ok());
    assert_eq!(operator.messages(), []);
    assert_eq!(lab.faults(), 0);
}

#[test]
fn rules_hear_of_a_certificate_that_came_by_itself() {
    let lab = Lab::new();
    let ca = Ca::new("plant");
    lab.ca(&ca, ready());
    let watcher = lab.device(&lab.identity(everything()), Version::V311, "watcher");
    watcher.listen("registered");
    let actions = json!([{"republish": {"roleArn": "arn:aws:iam::000000000000:role/r", "topic": "registered"}}]);
    let sql = "SELECT certificateStatus FROM '$aws/events/certificates/registered/#'";
    let payload = json!({"sql": sql, "actions": actions});
    lab.ok("CreateTopicRule", json!({"ruleName": "jitr", "topicRulePayload": payload}));
    assert!(lab.introduced(&ca.issue("lamp"), "lamp").is_err());
    lab.work(|_| panic!("nothing leaves the house"), |_| panic!("nothing is asked"));
    let told = r#"{"certificateStatus":"PENDING_ACTIVATION"}"#.to_owned();
    assert_eq!(watcher.messages(), [("registered".to_owned(), told)]);
}

#[test]
fn whoever_may_not_register_itself_is_told_why() {
    let lab = Lab::new();
    let ca = Ca::new("plant");
    assert_eq!(refused(&lab, &ca.issue("a")).1, "UNKNOWN_CERTIFICATE");
    let id = lab.ca(&ca, json!({"allowAutoRegistration": true}));
    assert_eq!(refused(&lab, &ca.issue("b")).1, "INACTIVE_CA");
    let update = |with: &str, to: &str| {
        lab.ok("UpdateCACertificate", json!({"certificateId": id, with: to}));
    };
    update("newStatus", "ACTIVE");
    update("newAutoRegistrationStatus", "DISABLE");
    assert_eq!(refused(&lab, &ca.issue("c")).1, "NO_AUTO_REGISTRATION");
    update("newAutoRegistrationStatus", "ENABLE");
    assert_eq!(refused(&lab, &Ca::new("plant").issue("d")).1, "UNKNOWN_CERTIFICATE");
    assert_eq!(lab.ok("ListCertificates", json!({}))["certificates"], json!([]));
    assert_eq!(refused(&lab, &ca.issue("e")).1, "PENDING_ACTIVATION");
    assert_eq!(lab.ok("ListCertificates", json!({}))["certificates"].as_array().unwrap().len(), 1);
    assert_eq!(lab.faults(), 0);
}

#[test]
fn a_device_belongs_to_who_registered_its_ca_first() {
    let lab = Lab::new();
    let there = lab.elsewhere("111111111111", "us-east-1");
    let ca = Ca::new("plant");
    let mut shared = ready();
    shared["certificateMode"] = json!("SNI_ONLY");
    shared["caCertificate"] = json!(ca.pem);
    there.ok("RegisterCACertificate", shared.clone());
    lab.pass(1);
    lab.ok("RegisterCACertificate", shared);
    let id = lab.introduce(&ca.issue("lamp")).id();
    assert_eq!(lab.scope_of(&id).unwrap().account.as_ref(), "111111111111");
}

#[test]
fn a_deleted_certificate_comes_back_as_new() {
    let lab = Lab::new();
    let ca = Ca::new("plant");
    lab.ca(&ca, ready());
    let leaf = ca.issue("lamp");
    let (id, _) = refused(&lab, &leaf);
    lab.ok("DeleteCertificate", json!({"certificateId": id}));
    assert_eq!(refused(&lab, &leaf).0, id);
    lab.ok("DescribeCertificate", json!({"certificateId": id}));
}

#[test]
fn a_registered_certificate_is_who_it_is() {
    let lab = Lab::new();
    let ca = Ca::new("plant");
    lab.ca(&ca, ready());
    let leaf = ca.issue("lamp");
    let made = lab.ok("RegisterCertificate", json!({"certificatePem": leaf, "status": "INACTIVE"}));
    let id = text(&made["certificateId"]);
    assert_eq!(lab.introduce(&leaf), Principal::Certificate(id.clone()));
    assert!(lab.introduced(&leaf, "lamp").is_err());
    assert_eq!(lab.refusals().pop().unwrap().decision, "INACTIVE");
}

#[test]
fn a_flood_of_certificates_waits_for_later_attempts() {
    let lab = Lab::new();
    let ca = Ca::new("plant");
    lab.ca(&ca, ready());
    let leaves: Vec<String> = (0..60).map(|number| ca.issue(&number.to_string())).collect();
    for leaf in &leaves {
        lab.introduce(leaf);
    }
    let count = || lab.ok("ListCertificates", json!({"pageSize": 250}))["certificates"].as_array().unwrap().len();
    assert_eq!(count(), 50);
    lab.events();
    assert!(lab.introduced(&leaves[59], "lamp").is_err());
    assert_eq!(lab.refusals().pop().unwrap().decision, "THROTTLED");
    lab.pass(1000);
    for leaf in &leaves[50..] {
        lab.introduce(leaf);
    }
    assert_eq!(count(), 60);
}

#[test]
fn an_event_is_kept_for_who_is_away() {
    let lab = Lab::new();
    let ca = Ca::new("plant");
    lab.ca(&ca, ready());
    let certificate = lab.identity(everything());
    let mut connect = crate::house::hello(Version::V311, "operator");
    connect.clean_start = false;
    let (operator, _) = lab.returning(&certificate, &connect);
    operator.listen("$aws/events/certificates/registered/#");
    operator.vanish();
    lab.introduce(&ca.issue("lamp"));
    lab.pass(2000);
    let (operator, present) = lab.returning(&certificate, &connect);
    assert!(present);
    assert_eq!(operator.messages().len(), 1);
}
