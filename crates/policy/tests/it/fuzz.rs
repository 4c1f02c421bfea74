//! Arbitrary and mangled documents: what the fuzz target looks for at length, looked for a moment in every run.

mod bodies;
#[path = "../../../../fuzz/smoke.rs"]
mod smoke;

const SEEDS: [&str; 3] = [
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iot:Publish","iot:Re*"],
        "Resource":"arn:aws:iot:us-east-1:000000000000:topic/a/${iot:ClientId}/*"}]}"#,
    r#"{"Statement":{"Sid":"x","Effect":"Deny","NotAction":"iot:Connect","NotResource":["*","a?b"],"Condition":
        {"ForAllValues:StringLike":{"iot:ConnectAttributes":["Last*"]},"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}}}"#,
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":
        {"DateLessThan":{"aws:CurrentTime":"2030-01-01T00:00:00Z"},"NumericLessThanEquals":{"aws:EpochTime":"1.5"},
        "Bool":{"iot:Connection.Thing.IsAttached":["true"]},"Null":{"iot:DomainName":"true"}}}}"#,
];

const IAM_SEEDS: [&str; 2] = [
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":["lambda.amazonaws.com"],
        "AWS":["000000000000","arn:aws:iam::000000000000:role/a","*"]},"Action":"sts:AssumeRole","Condition":
        {"StringEquals":{"sts:ExternalId":"${aws:PrincipalAccount}"},"ArnLike":{"aws:SourceArn":"arn:aws:iot:*:*:*"}}}]}"#,
    r#"{"Version":"2008-10-17","Id":"x","Statement":{"Sid":"A1","Effect":"Deny","NotPrincipal":"*","NotAction":
        ["s3:Get*","*"],"NotResource":["arn:aws:s3:::b/*","arn:aws:iam::1:role/*","arn:b:c:d:e:f:g",null]}}"#,
];

#[test]
fn no_bytes_are_too_odd_for_iam() {
    smoke::smoke(bodies::iam_documents, &IAM_SEEDS.map(|seed| seed.as_bytes().to_vec()), 6_000);
}

#[test]
fn no_bytes_are_too_odd_for_a_policy() {
    smoke::smoke(bodies::documents, &SEEDS.map(|seed| seed.as_bytes().to_vec()), 6_000);
}

#[test]
fn deep_and_long_documents_are_refused() {
    for open in ["[", "{\"Statement\":", "{\"Statement\":["] {
        bodies::documents(open.repeat(400_000 / open.len()).as_bytes());
        bodies::documents(open.repeat(2_000 / open.len()).as_bytes());
        bodies::iam_documents(open.repeat(400_000 / open.len()).as_bytes());
    }
}
