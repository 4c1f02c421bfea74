//! What an explanation says, word for word, and what `TestAuthorization` takes from it (security.md §4).

use std::sync::Arc;

use policy::{Context, Document, PolicySet, Request, Resource, Verdict, keys};

const TOPIC: &str = "arn:aws:iot:us-east-1:123456789012:topic/";

fn document(statements: &str) -> Arc<Document> {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    Arc::new(Document::parse(&text).unwrap())
}

#[test]
fn an_explanation_goes_statement_by_statement() {
    let policy = document(
        r#"{"Effect":"Allow","Action":["iot:Connect","iot:Subscribe"],"Resource":"*"},
           {"Sid":"own","Effect":"Allow","Action":"iot:Publish","Resource":[
               "arn:aws:iot:us-east-1:123456789012:topic/${iot:Connection.Thing.ThingName}/*",
               "arn:aws:iot:us-east-1:123456789012:topic/${iot:ClientId}/*"]},
           {"Effect":"Allow","Action":"iot:*","Resource":"*","Condition":{
               "IpAddress":{"aws:SourceIp":"10.0.0.0/8"},
               "DateLessThan":{"aws:CurrentTime":"2030-01-01"},
               "StringEquals":{"iot:DomainName":"${iot:ClientId}"}}},
           {"Effect":"Allow","NotAction":"iot:Publish","Resource":"*"}"#,
    );
    let mut context = Context::new();
    context.set(keys::CLIENT_ID, "lamp");
    context.set(keys::SOURCE_IP, "192.168.0.1");
    let set = PolicySet::compile([("home", policy)], context);
    let explanation = set.explain(&Request::new("iot:Publish", Resource::new(TOPIC, "fan/on"), 0));
    let expected = r#"IMPLICIT_DENY iot:Publish on arn:aws:iot:us-east-1:123456789012:topic/fan/on
  home[0] Allow: does not apply
    it is about iot:Connect, iot:Subscribe
  home[1] "own" Allow: does not apply
    the resource is not arn:aws:iot:us-east-1:123456789012:topic/${iot:Connection.Thing.ThingName}/*
    the resource is not arn:aws:iot:us-east-1:123456789012:topic/${iot:ClientId}/*
    ${iot:Connection.Thing.ThingName} has no value here
    ${iot:ClientId} is "lamp"
  home[2] Allow: does not apply
    IpAddress aws:SourceIp ["10.0.0.0/8"] fails: it is ["192.168.0.1"]
    DateLessThan aws:CurrentTime ["2030-01-01"] holds: it is ["1970-01-01T00:00:00Z"]
    StringEquals iot:DomainName ["${iot:ClientId}"] fails: it is nothing
    ${iot:ClientId} is "lamp"
  home[3] Allow: does not apply
    it excludes iot:Publish"#;
    assert_eq!(explanation.to_string(), expected);
    assert_eq!(explanation.missing, ["iot:Connection.Thing.ThingName", "iot:DomainName"]);
}

#[test]
fn the_absence_of_policies_is_said() {
    let set = PolicySet::compile(Vec::<(String, Arc<Document>)>::new(), Context::new());
    let explanation = set.explain(&Request::new("iot:Connect", "arn:aws:iot:r:1:client/a", 0));
    assert_eq!(
        explanation.to_string(),
        "IMPLICIT_DENY iot:Connect on arn:aws:iot:r:1:client/a\n  no policy is attached"
    );
}

#[test]
fn every_policy_that_gave_the_answer_is_named_once() {
    let all = || {
        document(r#"{"Effect":"Allow","Action":"iot:*","Resource":"*"},{"Effect":"Allow","Action":"*","Resource":"*"}"#)
    };
    let no = document(r#"{"Effect":"Deny","Action":"iot:Publish","Resource":"*"}"#);
    let set = PolicySet::compile([("a", all()), ("b", all()), ("no", no), ("a", all())], Context::new());
    let explain = |action| set.explain(&Request::new(action, Resource::new(TOPIC, "x"), 0));
    assert_eq!(explain("iot:Receive").deciding_policies(), ["a", "b"]);
    assert_eq!(explain("iot:Publish").deciding_policies(), ["no"]);
    assert_eq!(explain("iot:Publish").verdict, Verdict::ExplicitDeny);
}

#[test]
fn a_certificate_value_that_is_not_substituted_says_why() {
    let policy = document(
        r#"{"Effect":"Allow","Action":"iot:Publish","Resource":"arn:aws:iot:r:1:topic/${iot:Certificate.Subject.CommonName}"}"#,
    );
    let mut context = Context::new();
    context.set("iot:Certificate.Subject.CommonName", "#");
    let set = PolicySet::compile([("p", policy)], context);
    let text = set.explain(&Request::new("iot:Publish", "arn:aws:iot:r:1:topic/#", 0)).to_string();
    let why = "${iot:Certificate.Subject.CommonName} has a certificate value with one of `* $ + ? #`, which is not substituted";
    assert!(text.ends_with(why), "{text}");
}
