//! Arbitrary and mangled requests: what the fuzz targets look for at length, looked for a moment in every run.

use super::vectors;

mod bodies;
#[path = "../../../../fuzz/smoke.rs"]
mod smoke;

const REQUESTS: [&str; 7] = [
    "POST /things/lamp\ncontent-type: application/json\n\n{\"thingTypeName\":\"t\",\"attributePayload\":{\"attributes\":{\"a\":\"b\"}}}",
    "GET /things?maxResults=10&nextToken=a%2Fb&attributeName=x&usePrefixAttributeValue=true\nhost: h\n\n",
    "POST /topics/a%2Fb?qos=1&retain=true&messageExpiry=60\nx-amz-mqtt5-user-properties: W3siYSI6ImIifV0=\n\nhello",
    "PUT /target-policies/p\n\n{\"target\":\"arn:aws:iot:us-east-1:000000000000:cert/00\"}",
    "POST /things/lamp/shadow?name=n\n\n{\"state\":{}}",
    "GET /things/lamp/jobs?status=QUEUED\n\n",
    "PUT /jobs/j\n\n{\"targets\":[\"a\"],\"timeoutConfig\":{\"inProgressTimeoutInMinutes\":5},\"jobExecutionsRolloutConfig\":{\"exponentialRate\":{\"baseRatePerMinute\":1,\"incrementFactor\":1.5}}}",
];

#[test]
fn no_request_is_too_odd_to_be_routed_and_bound() {
    smoke::smoke(bodies::requests, &REQUESTS.map(|request| request.as_bytes().to_vec()), 8_000);
}

/// The vectors are signed with another secret than the body tries.
#[test]
fn no_request_is_too_odd_to_say_who_signed_it() {
    let written = |vector: &super::Vector| {
        let headers: Vec<_> = vector.headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let head = format!("{} {}?{}\n{}\n", vector.method, vector.path, vector.query, headers.concat());
        [head.as_bytes(), &vector.payload].concat()
    };
    smoke::smoke(bodies::signatures, &vectors().iter().map(written).collect::<Vec<_>>(), 8_000);
}

#[test]
fn no_cbor_is_too_odd_to_be_bound() {
    let seeds: [&[u8]; 4] = [
        b"\xa2iNamespacecA/BjMetricData\x81\xa3jMetricNameamiTimestamp\xc1\xfb\x41\xda\x00\x00\x00\x00\x00\x00eValue\xf9\x3c\x00",
        b"\xbfiNamespace\x7faAaB\xffjMetricData\x9f\xff\xff",
        b"\xa1jDimensions\x82\xa1dNameaa\xa2dNameabeValue\xf6",
        b"\xa1ax\xd9\xd9\xf7\x9f\x1b\xff\xff\xff\xff\xff\xff\xff\xff\x40\xff",
    ];
    smoke::smoke(bodies::cbor, &seeds.map(<[u8]>::to_vec), 8_000);
}

#[test]
fn no_form_is_too_odd_to_be_answered() {
    let seeds = ["Action=GetCallerIdentity&Version=2011-06-15", "Action=%3Ca%3E+%26&=x", "RoleArn=arn%3Aaws&Action="];
    smoke::smoke(bodies::forms, &seeds.map(|seed| seed.as_bytes().to_vec()), 8_000);
}
