//! CA certificates through the house's door: how possession is proved, what an account may register, and which device
//! certificates are taken with them. What happens when a device comes by itself is told in `just_in_time`.

use serde_json::{Value, json};

use crate::house::{DAWN, Lab, column, seconds, text};
use crate::pki::Ca;

impl Lab {
    /// What RegisterCACertificate is asked with, for a CA that shows that it holds its key.
    pub(crate) fn proof(&self, ca: &Ca) -> Value {
        let code = text(&self.ok("GetRegistrationCode", json!({}))["registrationCode"]);
        json!({"caCertificate": ca.pem, "verificationCertificate": ca.issue(&code)})
    }

    /// Registers a CA as it is asked for: its id.
    pub(crate) fn ca(&self, ca: &Ca, asked: Value) -> String {
        let mut input = self.proof(ca);
        input.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
        text(&self.ok("RegisterCACertificate", input)["certificateId"])
    }

    fn register(&self, pem: &str, more: Value) -> Result<String, String> {
        let mut input = json!({"certificatePem": pem});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.call("RegisterCertificate", input).map(|made| text(&made["certificateId"])).map_err(|(error, _)| error)
    }
}

#[test]
fn a_ca_without_a_configuration_is_described_without_one() {
    let lab = Lab::new();
    let made = lab.ok("RegisterCACertificate", lab.proof(&Ca::new("plant")));
    let answer = lab.ok("DescribeCACertificate", json!({"certificateId": made["certificateId"]}));
    assert_eq!(answer.get("registrationConfig"), None);
}

#[test]
fn a_ca_is_described_as_it_was_registered() {
    let lab = Lab::new();
    let ca = Ca::new("plant");
    let mut input = lab.proof(&ca);
    input["setAsActive"] = json!(true);
    input["allowAutoRegistration"] = json!(true);
    input["registrationConfig"] = json!({"roleArn": "arn:aws:iam::000000000000:role/provision"});
    let made = lab.ok("RegisterCACertificate", input);
    let id = text(&made["certificateId"]);
    assert_eq!(made["certificateArn"], format!("arn:aws:iot:us-east-1:000000000000:cacert/{id}"));
    let answer = lab.ok("DescribeCACertificate", json!({"certificateId": id}));
    assert_eq!(answer["registrationConfig"], json!({"roleArn": "arn:aws:iam::000000000000:role/provision"}));
    let expected = [
        ("certificateArn", made["certificateArn"].clone()),
        ("certificateId", json!(id)),
        ("status", json!("ACTIVE")),
        ("certificatePem", json!(ca.pem)),
        ("ownedBy", json!("000000000000")),
        ("creationDate", seconds(DAWN)),
        ("lastModifiedDate", seconds(DAWN)),
        ("autoRegistrationStatus", json!("ENABLE")),
        ("customerVersion", json!(1)),
        ("certificateMode", json!("DEFAULT")),
    ];
    for (member, value) in expected {
        assert_eq!(answer["certificateDescription"][member], value, "{member}");
    }
    assert!(answer["certificateDescription"]["validity"]["notAfter"].is_number());
}

#[test]
fn the_registration_code_is_one_until_it_is_deleted() {
    let lab = Lab::new();
    assert_eq!(lab.no("DeleteRegistrationCode", json!({})), "ResourceNotFound");
    let code = |lab: &Lab| text(&lab.ok("GetRegistrationCode", json!({}))["registrationCode"]);
    let first = code(&lab);
    assert!(first.len() == 64 && first.bytes().all(|byte| byte.is_ascii_hexdigit()), "{first}");
    assert_eq!(code(&lab), first);
    assert_ne!(code(&lab.elsewhere("111111111111", "us-east-1")), first);
    lab.ok("DeleteRegistrationCode", json!({}));
    assert_ne!(code(&lab), first);
}

#[test]
fn possession_of_the_key_must_be_proved_for_this_account() {
    let lab = Lab::new();
    let (ca, other) = (Ca::new("plant"), Ca::new("plant"));
    let code = text(&lab.ok("GetRegistrationCode", json!({}))["registrationCode"]);
    let foreign = lab.elsewhere("111111111111", "us-east-1");
    let foreign = text(&foreign.ok("GetRegistrationCode", json!({}))["registrationCode"]);
    let leaf = ca.issue("lamp");
    let cases = [
        (json!({"caCertificate": ca.pem}), "InvalidRequest"),
        (json!({"caCertificate": ca.pem, "verificationCertificate": "x"}), "CertificateValidation"),
        (json!({"caCertificate": "x", "verificationCertificate": ca.issue(&code)}), "CertificateValidation"),
        (json!({"caCertificate": leaf, "verificationCertificate": ca.issue(&code)}), "CertificateValidation"),
        (json!({"caCertificate": ca.pem, "verificationCertificate": other.issue(&code)}), "CertificateValidation"),
        (json!({"caCertificate": ca.pem, "verificationCertificate": leaf}), "RegistrationCodeValidation"),
        (json!({"caCertificate": ca.pem, "verificationCertificate": ca.issue(&foreign)}), "RegistrationCodeValidation"),
        (
            json!({"caCertificate": ca.pem, "verificationCertificate": ca.issue(&code), "certificateMode": "SNI_ONLY"}),
            "InvalidRequest",
        ),
    ];
    for (input, error) in cases {
        assert_eq!(lab.no("RegisterCACertificate", input.clone()), error, "{input}");
    }
    lab.ok("RegisterCACertificate", json!({"caCertificate": ca.pem, "verificationCertificate": ca.issue(&code)}));
    assert_eq!(lab.faults(), 0);
}

#[test]
fn a_ca_belongs_to_one_account_unless_all_say_sni_only() {
    let lab = Lab::new();
    let there = lab.elsewhere("111111111111", "us-east-1");
    let (own, shared) = (Ca::new("own"), Ca::new("shared"));
    let id = lab.ca(&own, json!({}));
    let refused = lab.call("RegisterCACertificate", lab.proof(&own)).unwrap_err();
    assert_eq!(refused.0, "ResourceAlreadyExistsException");
    assert_eq!(there.no("RegisterCACertificate", there.proof(&own)), "ResourceAlreadyExists");
    let sni = |ca: &Ca| json!({"caCertificate": ca.pem, "certificateMode": "SNI_ONLY"});
    assert_eq!(there.no("RegisterCACertificate", sni(&own)), "ResourceAlreadyExists");
    for lab in [&lab, &there] {
        lab.ok("RegisterCACertificate", sni(&shared));
    }
    let third = lab.elsewhere("222222222222", "us-east-1");
    assert_eq!(third.no("RegisterCACertificate", third.proof(&shared)), "ResourceAlreadyExists");
    lab.ok("DeleteCACertificate", json!({"certificateId": id}));
    there.ok("RegisterCACertificate", there.proof(&own));
}

#[test]
fn an_account_registers_at_most_ten_cas_of_one_subject() {
    let lab = Lab::new();
    for _ in 0..10 {
        lab.ca(&Ca::new("plant"), json!({}));
    }
    assert_eq!(lab.no("RegisterCACertificate", lab.proof(&Ca::new("plant"))), "LimitExceeded");
    lab.ca(&Ca::new("another plant"), json!({}));
}

#[test]
fn a_template_is_refused_by_name_and_a_role_alone_is_kept() {
    let lab = Lab::new();
    let ca = Ca::new("plant");
    for template in [json!({"templateBody": "{}"}), json!({"templateName": "fleet"})] {
        let mut input = lab.proof(&ca);
        input["registrationConfig"] = template.clone();
        assert_eq!(lab.no("RegisterCACertificate", input), "NotImplemented");
        let id = lab.ca(&Ca::new("with a template"), json!({}));
        let update = json!({"certificateId": id, "registrationConfig": template, "newStatus": "ACTIVE"});
        assert_eq!(lab.no("UpdateCACertificate", update), "NotImplemented");
        let answer = lab.ok("DescribeCACertificate", json!({"certificateId": id}));
        assert_eq!(answer["certificateDescription"]["status"], "INACTIVE");
    }
}

#[test]
fn a_ca_is_updated_and_deleted_once_it_is_inactive() {
    let lab = Lab::new();
    let id = lab.ca(&Ca::new("plant"), json!({"setAsActive": true}));
    let update = |with: Value| {
        let mut input = json!({"certificateId": id});
        input.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        lab.ok("UpdateCACertificate", input);
        lab.ok("DescribeCACertificate", json!({"certificateId": id}))["certificateDescription"].clone()
    };
    assert_eq!(lab.no("DeleteCACertificate", json!({"certificateId": id})), "CertificateState");
    assert_eq!(update(json!({"newAutoRegistrationStatus": "ENABLE"}))["autoRegistrationStatus"], "ENABLE");
    assert_eq!(update(json!({"removeAutoRegistration": true}))["autoRegistrationStatus"], "DISABLE");
    assert_eq!(update(json!({"newStatus": "INACTIVE"}))["customerVersion"], 4);
    lab.ok("DeleteCACertificate", json!({"certificateId": id}));
    for operation in ["DescribeCACertificate", "UpdateCACertificate", "DeleteCACertificate"] {
        assert_eq!(lab.no(operation, json!({"certificateId": id})), "ResourceNotFound", "{operation}");
    }
}

#[test]
fn cas_are_listed_page_by_page() {
    let lab = Lab::new();
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        lab.pass(1);
        ids.push(lab.ca(&Ca::new(name), json!({})));
    }
    let input = json!({"pageSize": 2, "ascendingOrder": true});
    let pages = lab.pages("ListCACertificates", input, "certificates", ("nextMarker", "marker"));
    assert_eq!(column(&Value::Array(pages.concat()), "certificateId"), ids);
    assert_eq!(lab.ok("ListCACertificates", json!({"templateName": "fleet"}))["certificates"], json!([]));
}

#[test]
fn a_certificate_is_registered_with_the_ca_that_issued_it() {
    let lab = Lab::new();
    let (ca, other) = (Ca::new("plant"), Ca::new("plant"));
    let leaf = ca.issue("lamp");
    assert_eq!(lab.register(&leaf, json!({})), Err("CertificateValidationException".to_owned()));
    let ca_id = lab.ca(&ca, json!({}));
    lab.ca(&other, json!({"setAsActive": true}));
    assert_eq!(lab.register(&leaf, json!({})), Err("CertificateStateException".to_owned()));
    lab.ok("UpdateCACertificate", json!({"certificateId": ca_id, "newStatus": "ACTIVE"}));
    let named = json!({"caCertificatePem": other.pem});
    assert_eq!(lab.register(&leaf, named), Err("CertificateValidationException".to_owned()));
    let pending = json!({"status": "PENDING_ACTIVATION"});
    assert_eq!(lab.register(&leaf, pending), Err("InvalidRequestException".to_owned()));
    let id = lab.register(&leaf, json!({"status": "ACTIVE", "caCertificatePem": ca.pem})).unwrap();
    assert_eq!(lab.register(&leaf, json!({})), Err("ResourceAlreadyExistsException".to_owned()));
    let described = lab.ok("DescribeCertificate", json!({"certificateId": id}))["certificateDescription"].clone();
    for (member, value) in [("caCertificateId", &*ca_id), ("status", "ACTIVE"), ("certificateMode", "DEFAULT")] {
        assert_eq!(described[member], value, "{member}");
    }
    lab.pass(1);
    let second = lab.register(&ca.issue("hall lamp"), json!({"setAsActive": true})).unwrap();
    let list = |ca: &str| lab.ok("ListCertificatesByCA", json!({"caCertificateId": ca}))["certificates"].clone();
    assert_eq!(column(&list(&ca_id), "certificateId"), [second, id.clone()]);
    assert_eq!(list(&"0".repeat(64)), json!([]));
    lab.ok("UpdateCertificate", json!({"certificateId": id, "newStatus": "INACTIVE"}));
    lab.ok("DeleteCertificate", json!({"certificateId": id}));
    assert_eq!(list(&ca_id).as_array().unwrap().len(), 1);
}

#[test]
fn two_cas_of_one_subject_and_key_must_be_told_apart() {
    let lab = Lab::new();
    let ca = Ca::new("plant");
    let again = ca.again();
    for ca in [&ca, &again] {
        lab.ca(ca, json!({"setAsActive": true}));
    }
    let leaf = ca.issue("lamp");
    assert_eq!(lab.register(&leaf, json!({})), Err("CertificateConflictException".to_owned()));
    lab.register(&leaf, json!({"caCertificatePem": again.pem})).unwrap();
}

#[test]
fn a_certificate_without_ca_may_be_registered_by_several_accounts() {
    let lab = Lab::new();
    let leaf = Ca::new("nobody").issue("lamp");
    let there = lab.elsewhere("111111111111", "us-east-1");
    for lab in [&lab, &there] {
        let made = lab.ok("RegisterCertificateWithoutCA", json!({"certificatePem": leaf, "status": "ACTIVE"}));
        let described = lab.ok("DescribeCertificate", json!({"certificateId": made["certificateId"]}));
        assert_eq!(described["certificateDescription"]["certificateMode"], "SNI_ONLY");
        assert_eq!(described["certificateDescription"].get("caCertificateId"), None);
        let again = json!({"certificatePem": leaf});
        assert_eq!(lab.no("RegisterCertificateWithoutCA", again), "ResourceAlreadyExists");
    }
    assert_eq!(lab.no("RegisterCertificateWithoutCA", json!({"certificatePem": "x"})), "CertificateValidation");
    let issued = text(&lab.ok("CreateKeysAndCertificate", json!({}))["certificatePem"]);
    assert_eq!(there.no("RegisterCertificateWithoutCA", json!({"certificatePem": issued})), "ResourceAlreadyExists");
}

#[test]
fn what_was_registered_stays_so_when_its_ca_becomes_inactive() {
    let lab = Lab::new();
    let ca = Ca::new("plant");
    let ca_id = lab.ca(&ca, json!({"setAsActive": true}));
    let id = lab.register(&ca.issue("lamp"), json!({"status": "ACTIVE"})).unwrap();
    let document = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:*","Resource":"*"}}"#;
    lab.ok("CreatePolicy", json!({"policyName": "p", "policyDocument": document}));
    let arn = format!("arn:aws:iot:us-east-1:000000000000:cert/{id}");
    lab.ok("AttachPolicy", json!({"policyName": "p", "target": arn}));
    lab.ok("UpdateCACertificate", json!({"certificateId": ca_id, "newStatus": "INACTIVE"}));
    assert!(lab.connect(&id, "lamp").is_some());
}
