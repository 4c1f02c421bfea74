//! Arbitrary and mangled requests: what the fuzz targets look for at length, looked for a moment in every run.

use shadow::Limits;

mod bodies;
#[path = "../../../../fuzz/smoke.rs"]
mod smoke;

const SEEDS: [&str; 4] = [
    r#"{"state":{"desired":{"a":1,"b":{"c":[1,{"d":[]}]}},"reported":{"a":2.50}},"clientToken":"t"}"#,
    "{\"state\":{\"desired\":{\"a\":{\"b\":1}}}}\0{\"state\":{\"desired\":{\"a\":null,\"x\":\"\\u00e9\"}},\"version\":1}",
    "{\"state\":{\"reported\":{\"n\":-1.5e10,\"t\":true}}}\0{\"state\":null}\0{\"state\":{\"desired\":{}}}",
    r#"{"state":{"desired":{"\ud83d\ude00":"\\\"/\b\f\n\r\t"}},"version":0}"#,
];

#[test]
fn no_bytes_are_too_odd_for_a_shadow() {
    smoke::smoke(bodies::requests, &SEEDS.map(|seed| seed.as_bytes().to_vec()), 15_000);
}

#[test]
fn no_record_is_too_corrupt_to_be_told_so() {
    let update = |request: &str| shadow::update(None, request.as_bytes(), 1_700_000_000, &Limits::default());
    let mut seeds: Vec<Vec<u8>> = [SEEDS[0], SEEDS[3]].map(|request| update(request).unwrap().record).to_vec();
    let document = shadow::Document::decode(&seeds[0]).unwrap();
    seeds.push(shadow::delete(Some(&document), "t", b"", 1_700_000_000).unwrap().record);
    smoke::smoke(bodies::records, &seeds, 15_000);
}

#[test]
fn deep_and_long_requests_are_refused() {
    for open in ["[", "{\"state\":", "{\"state\":{\"desired\":["] {
        bodies::requests(open.repeat(120_000 / open.len()).as_bytes());
    }
}
