//! Domain configurations through the house's door: what is made of a host name, what is refused, and whose certificates
//! are known under it. What the doors show and let in is theirs to test.

use cloud::{ApplicationProtocol, Authentication, Scope, SecurityPolicy};
use serde_json::{Value, json};

use crate::house::{DAWN, Lab, column, seconds, text};
use crate::pki::Ca;

const HOST: &str = "iot.plant.example";
const ARN: &str = "arn:aws:acm:us-east-1:000000000000:certificate/plant";

/// A lab whose operator has put down a certificate for the host, of the name `plant`.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.put_down("plant", &Ca::new("plant").issue_for_host(HOST));
    lab
}

fn asked(more: Value) -> Value {
    let mut input = json!({"domainConfigurationName": "plant", "domainName": HOST, "serverCertificateArns": [ARN]});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

fn described(lab: &Lab, name: &str) -> Value {
    lab.ok("DescribeDomainConfiguration", json!({"domainConfigurationName": name}))
}

#[test]
fn a_configuration_is_described_as_it_was_made() {
    let lab = lab();
    let tls = json!({"securityPolicy": "IoTSecurityPolicy_TLS13_1_3_2022_10"});
    let more = json!({"tlsConfig": tls, "authenticationType": "AWS_X509", "applicationProtocol": "SECURE_MQTT"});
    let made = lab.ok("CreateDomainConfiguration", asked(more));
    let arn = text(&made["domainConfigurationArn"]);
    assert!(arn.starts_with("arn:aws:iot:us-east-1:000000000000:domainconfiguration/plant/"), "{arn}");
    let expected = json!({
        "domainConfigurationName": "plant",
        "domainConfigurationArn": arn,
        "domainName": HOST,
        "serverCertificates": [{"serverCertificateArn": ARN, "serverCertificateStatus": "VALID"}],
        "domainConfigurationStatus": "ENABLED",
        "serviceType": "DATA",
        "domainType": "CUSTOMER_MANAGED",
        "lastStatusChangeDate": seconds(DAWN),
        "tlsConfig": tls,
        "authenticationType": "AWS_X509",
        "applicationProtocol": "SECURE_MQTT",
    });
    assert_eq!(described(&lab, "plant"), expected);
    let domain = lab.domain("IOT.plant.example").unwrap();
    assert_eq!((&*domain.name, domain.certificate.as_deref()), ("plant", Some("000000000000/plant")));
    assert_eq!(domain.security, SecurityPolicy::Tls13);
    assert_eq!(domain.authentication, Authentication::X509);
    assert_eq!(domain.protocol, ApplicationProtocol::Mqtt);
    assert_eq!(lab.domain("other.plant.example"), None);
}

#[test]
fn a_name_of_the_servers_own_making_needs_no_certificate() {
    let lab = Lab::new();
    lab.ok("CreateDomainConfiguration", json!({"domainConfigurationName": "more"}));
    let answer = described(&lab, "more");
    assert_eq!(answer["domainType"], "AWS_MANAGED");
    assert_eq!(answer["serverCertificates"], json!([]));
    let host = text(&answer["domainName"]);
    assert!(host.ends_with(".iot.example.com"), "{host}");
    assert_eq!(lab.domain(&host).unwrap().certificate, None);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let lab = lab();
    lab.put_down("other", &Ca::new("other").issue_for_host("*.other.example"));
    let cases = [
        (json!({"serverCertificateArns": []}), "InvalidRequest"),
        (json!({"domainName": "127.0.0.1"}), "InvalidRequest"),
        (json!({"domainName": "-.example"}), "InvalidRequest"),
        (json!({"domainName": "a..b"}), "InvalidRequest"),
        (json!({"serviceType": "JOBS"}), "InvalidRequest"),
        (json!({"domainName": "x.iot.plant.example"}), "CertificateValidation"),
        (json!({"serverCertificateArns": [ARN.replace("plant", "nobody")]}), "CertificateValidation"),
        (json!({"serverCertificateArns": [ARN.replace("plant", "a/b")]}), "CertificateValidation"),
        (json!({"serverCertificateArns": [ARN.replace("us-east-1", "us-east-2")]}), "InvalidRequest"),
        (json!({"tlsConfig": {"securityPolicy": "mine"}}), "InvalidRequest"),
        (json!({"applicationProtocol": "SECURE_MQTT", "authenticationType": "AWS_SIGV4"}), "InvalidRequest"),
        (json!({"applicationProtocol": "MQTT_WSS", "authenticationType": "AWS_X509"}), "InvalidRequest"),
        (json!({"tlsConfig": {"securityPolicy": "IoTSecurityPolicy_TLS12_1_0_2016_01"}}), "NotImplemented"),
        (json!({"authenticationType": "CUSTOM_AUTH"}), "NotImplemented"),
        (json!({"authenticationType": "CUSTOM_AUTH_X509"}), "NotImplemented"),
        (json!({"authorizerConfig": {"defaultAuthorizerName": "a"}}), "NotImplemented"),
        (json!({"serverCertificateConfig": {"enableOCSPCheck": true}}), "NotImplemented"),
        (json!({"clientCertificateConfig": {"clientCertificateCallbackArn": "arn"}}), "NotImplemented"),
    ];
    for (more, error) in cases {
        assert_eq!(lab.no("CreateDomainConfiguration", asked(more.clone())), error, "{more}");
    }
    let other = json!({
        "domainName": "a.other.example",
        "serverCertificateArns": [ARN.replace("plant", "other")],
        "serverCertificateConfig": {"enableOCSPCheck": false},
    });
    lab.ok("CreateDomainConfiguration", asked(other));
    assert_eq!(lab.faults(), 0);
}

#[test]
fn names_are_unique_and_a_host_belongs_to_one_configuration() {
    let lab = lab();
    lab.ok("CreateDomainConfiguration", asked(json!({})));
    let taken = lab.refused("CreateDomainConfiguration", asked(json!({})));
    assert_eq!(taken.1, "Domain configuration with given name already exists.");
    assert_eq!(taken.0, "ResourceAlreadyExists");
    let again = asked(json!({"domainConfigurationName": "again"}));
    assert_eq!(lab.no("CreateDomainConfiguration", again), "ResourceAlreadyExists");
    for number in 1..10 {
        lab.ok("CreateDomainConfiguration", json!({"domainConfigurationName": format!("more{number}")}));
    }
    let eleventh = json!({"domainConfigurationName": "more10"});
    assert_eq!(lab.no("CreateDomainConfiguration", eleventh), "LimitExceeded");
}

#[test]
fn a_configuration_is_updated_and_deleted_once_it_is_disabled() {
    let lab = lab();
    lab.ok("CreateDomainConfiguration", asked(json!({})));
    let named = |more: Value| {
        let mut input = json!({"domainConfigurationName": "plant"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    assert_eq!(lab.no("DeleteDomainConfiguration", named(json!({}))), "InvalidRequest");
    lab.pass(1000);
    let update = json!({"domainConfigurationStatus": "DISABLED", "applicationProtocol": "HTTPS"});
    lab.ok("UpdateDomainConfiguration", named(update));
    let answer = described(&lab, "plant");
    assert_eq!(answer["domainConfigurationStatus"], "DISABLED");
    assert_eq!(answer["lastStatusChangeDate"], seconds(DAWN + 1000));
    assert_eq!(answer["applicationProtocol"], "HTTPS");
    assert!(!lab.domain(HOST).unwrap().enabled);
    let custom = named(json!({"authenticationType": "CUSTOM_AUTH"}));
    assert_eq!(lab.no("UpdateDomainConfiguration", custom), "NotImplemented");
    lab.ok("DeleteDomainConfiguration", named(json!({})));
    assert_eq!(lab.domain(HOST), None);
    for operation in ["DescribeDomainConfiguration", "UpdateDomainConfiguration", "DeleteDomainConfiguration"] {
        let refused = lab.refused(operation, named(json!({})));
        assert_eq!(refused, ("ResourceNotFound".into(), "The specified resource does not exist.".into()));
    }
    lab.ok("CreateDomainConfiguration", asked(json!({})));
}

#[test]
fn every_account_has_the_servers_own_address() {
    let lab = lab();
    lab.ok("CreateDomainConfiguration", asked(json!({})));
    let listed = |input: Value| {
        let answer = lab.ok("ListDomainConfigurations", input);
        column(&answer["domainConfigurations"], "domainConfigurationName")
    };
    assert_eq!(listed(json!({})), ["plant", "iot:Jobs", "iot:Data-ATS", "iot:CredentialProvider"]);
    assert_eq!(listed(json!({"serviceType": "DATA"})), ["plant", "iot:Data-ATS"]);
    assert_eq!(listed(json!({"serviceType": "JOBS"})), ["iot:Jobs"]);
    let answer = described(&lab, "iot:Data-ATS");
    assert_eq!(answer["domainName"], "iot.example.com:8443");
    assert_eq!(answer["domainConfigurationStatus"], "ENABLED");
    let name = json!({"domainConfigurationName": "iot:Data-ATS"});
    assert_eq!(lab.no("UpdateDomainConfiguration", name.clone()), "NotImplemented");
    assert_eq!(lab.no("DeleteDomainConfiguration", name), "InvalidRequest");
}

#[test]
fn a_certificate_is_put_down_for_one_account() {
    let lab = lab();
    let there = lab.elsewhere("111111111111", "us-east-1");
    for (arn, error) in [(ARN.to_owned(), "InvalidRequest"), (ARN.replace('0', "1"), "CertificateValidation")] {
        let input = asked(json!({"serverCertificateArns": [arn]}));
        assert_eq!(there.no("CreateDomainConfiguration", input), error, "{arn}");
    }
    lab.ok("CreateDomainConfiguration", asked(json!({})));
}

#[test]
fn a_configuration_is_tagged_by_its_whole_arn() {
    let lab = lab();
    let tags = json!([{"Key": "plant", "Value": "north"}]);
    let made = lab.ok("CreateDomainConfiguration", asked(json!({"tags": tags})));
    let arn = text(&made["domainConfigurationArn"]);
    assert_eq!(lab.ok("ListTagsForResource", json!({"resourceArn": arn}))["tags"], tags);
    lab.ok("UntagResource", json!({"resourceArn": arn, "tagKeys": ["plant"]}));
    assert_eq!(lab.ok("ListTagsForResource", json!({"resourceArn": arn}))["tags"], json!([]));
    assert_eq!(lab.no("ListTagsForResource", json!({"resourceArn": format!("{arn}x")})), "ResourceNotFound");
}

#[test]
fn under_a_host_name_devices_register_themselves_with_its_account() {
    let lab = lab();
    let there = lab.elsewhere("111111111111", "us-east-1");
    let ca = Ca::new("shared");
    let input = json!({
        "caCertificate": ca.pem,
        "certificateMode": "SNI_ONLY",
        "setAsActive": true,
        "allowAutoRegistration": true,
    });
    there.ok("RegisterCACertificate", input.clone());
    lab.pass(1);
    lab.ok("CreateDomainConfiguration", asked(json!({})));
    let early = lab.introduce_under(&ca.issue("early"), Some(HOST)).id();
    assert_eq!(lab.scope_of(&early), None, "no CA is registered where the host name leads");
    lab.ok("RegisterCACertificate", input);
    for (host, account) in [(Some(HOST), "000000000000"), (None, "111111111111")] {
        let id = lab.introduce_under(&ca.issue("lamp"), host).id();
        assert_eq!(lab.scope_of(&id).unwrap().account.as_ref(), account, "{host:?}");
    }
    assert_eq!(lab.faults(), 0);
}

#[test]
fn a_certificate_that_was_taken_away_is_told() {
    let lab = lab();
    lab.ok("CreateDomainConfiguration", asked(json!({})));
    lab.take_away("plant");
    let summary = &described(&lab, "plant")["serverCertificates"][0];
    assert_eq!(summary["serverCertificateStatus"], "INVALID");
    assert_eq!(summary["serverCertificateStatusDetail"], "there is no file 000000000000/plant.pem");
}

#[test]
fn under_a_host_name_only_its_accounts_certificates_are_known() {
    let lab = lab();
    let there = lab.elsewhere("111111111111", "us-east-1");
    lab.ok("CreateDomainConfiguration", asked(json!({})));
    let shared = Ca::new("nobody").issue("lamp");
    let theirs = Ca::new("nobody").issue("hall lamp");
    let register = |lab: &Lab, pem: &str| {
        text(&lab.ok("RegisterCertificateWithoutCA", json!({"certificatePem": pem}))["certificateId"])
    };
    register(&there, &shared);
    lab.pass(1);
    let (shared, theirs) = (register(&lab, &shared), register(&there, &theirs));
    let (here, far) = (Scope::new("000000000000", "us-east-1"), Scope::new("111111111111", "us-east-1"));
    // Whoever comes later with a certificate of somebody else does not get their devices.
    assert_eq!(lab.scope_of(&shared), Some(far.clone()));
    assert_eq!(lab.scope_under(&shared, HOST), Some(here));
    assert_eq!(lab.scope_under(&theirs, HOST), None);
    assert_eq!(lab.scope_under(&theirs, "elsewhere.example"), Some(far));
}
