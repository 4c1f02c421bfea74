//! Signatures against botocore: requests it signed (`sigv4.jsonl`, printed by `xtask/src/generate/sigv4_vectors.py`) are
//! taken as they are and refused when anything signed is changed. It knows the door of `wire::sign` and no more.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod fuzz;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use serde_json::Value;
use wire::sign::{Credential, Rejected, Signable, check_headers, credential, sign, verify};

const VECTORS: &str = include_str!("sigv4.jsonl");
const MISMATCH: &str = "The request signature we calculated does not match the signature you provided.";

#[derive(Clone, Debug)]
struct Vector {
    name: String,
    is_query_signed: bool,
    service: String,
    region: String,
    access_key_id: String,
    secret: String,
    token: Option<String>,
    now: i64,
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    payload: Vec<u8>,
}

impl Vector {
    fn read(line: &str) -> Self {
        let value: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| value[key].as_str().unwrap().to_owned();
        let pair = |pair: &Value| (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned());
        Self {
            name: text("name"),
            is_query_signed: text("form") == "query",
            service: text("service"),
            region: text("region"),
            access_key_id: text("access_key_id"),
            secret: text("secret"),
            token: value["token"].as_str().map(str::to_owned),
            now: value["now"].as_i64().unwrap(),
            method: text("method"),
            path: text("path"),
            query: text("query"),
            headers: value["headers"].as_array().unwrap().iter().map(pair).collect(),
            payload: text("payload").into_bytes(),
        }
    }

    fn signable(&self) -> Signable<'_> {
        Signable {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            payload: &self.payload,
        }
    }

    fn credential(&self) -> Result<Credential, Rejected> {
        credential(&self.signable()).map(|found| found.unwrap_or_else(|| panic!("{} is signed", self.name)))
    }

    fn verify(&self) -> Result<(), Rejected> {
        verify(&self.signable(), &self.credential()?, &self.secret, self.now)
    }

    fn header(&mut self, name: &str) -> &mut String {
        let found = self.headers.iter_mut().find(|(sent, _)| sent.eq_ignore_ascii_case(name));
        &mut found.unwrap_or_else(|| panic!("{name} is there")).1
    }

    /// Changes text wherever the signature's parts stand, in the header or in the query.
    fn replace_in_claim(&mut self, from: &str, to: &str) {
        let place = if self.is_query_signed { &mut self.query } else { self.header("authorization") };
        assert!(place.contains(from), "{from} is in {place}");
        *place = place.replace(from, to);
    }
}

fn vectors() -> Vec<Vector> {
    VECTORS.lines().map(Vector::read).collect()
}

fn vector(name: &str) -> Vector {
    vectors().into_iter().find(|vector| vector.name == name).unwrap_or_else(|| panic!("{name} is a vector"))
}

/// Applies a change to every vector and expects the same error, whose message begins as told.
fn every_vector_fails_when(change: impl Fn(&mut Vector), error: &str, message: &str) {
    for mut vector in vectors() {
        change(&mut vector);
        expect(&vector, error, message);
    }
}

fn expect(vector: &Vector, error: &str, message: &str) {
    let rejected = vector.verify().expect_err(&vector.name);
    assert_eq!(rejected.error, error, "{}: {rejected:?}", vector.name);
    assert!(rejected.message.starts_with(message), "{}: {rejected:?}", vector.name);
}

#[test]
fn what_botocore_signs_is_taken() {
    assert_eq!(vectors().len(), 50);
    for vector in vectors() {
        assert_eq!(vector.verify(), Ok(()), "{}", vector.name);
    }
}

#[test]
fn the_credential_tells_who_signed_for_what() {
    for vector in vectors() {
        let found = vector.credential().unwrap();
        assert_eq!(found.access_key_id, vector.access_key_id);
        assert_eq!(found.date, "20260314");
        assert_eq!(found.region, vector.region);
        assert_eq!(found.service, vector.service);
        assert_eq!(found.session_token, vector.token, "{}", vector.name);
        let shown = format!("{found:?}");
        assert!(!vector.token.is_some_and(|token| shown.contains(&token)), "a token is not for logs: {shown}");
    }
}

#[test]
fn a_changed_request_is_refused() {
    let refused = |change: fn(&mut Vector)| every_vector_fails_when(change, "InvalidSignatureException", MISMATCH);
    refused(|vector| vector.method = "PUT".to_owned());
    refused(|vector| vector.method = vector.method.to_lowercase());
    refused(|vector| vector.path.push_str("/x"));
    refused(|vector| vector.path = "/elsewhere".to_owned());
    refused(|vector| vector.query.push_str("&added=1"));
    refused(|vector| vector.query.push_str("&added"));
    refused(|vector| vector.header("host").push_str(".evil.example"));
    refused(|vector| vector.headers.push(("HOST".to_owned(), "data.ombra.example".to_owned())));
    refused(|vector| vector.headers.retain(|(name, _)| name != "Host"));
    refused(|vector| vector.payload.push(b' '));
    refused(|vector| vector.secret.push('x'));
    refused(|vector| vector.secret.clear());
    refused(|vector| vector.replace_in_claim("Signature=", "Signature=0"));
    refused(|vector| vector.replace_in_claim("eu-west-1", "eu-west-2"));
    refused(|vector| vector.replace_in_claim("iot", "iot2"));
    refused(|vector| {
        let signature = vector.query.rsplit("X-Amz-Signature=").next().unwrap_or_default().to_owned();
        let flip = |text: &str| text.chars().rev().collect::<String>();
        if vector.is_query_signed {
            let signature = signature.split('&').next().unwrap_or_default();
            vector.query = vector.query.replace(signature, &flip(signature));
        } else {
            let authorization = vector.header("authorization");
            let signature = authorization.rsplit('=').next().unwrap_or_default().to_owned();
            *authorization = authorization.replace(&signature, &flip(&signature));
        }
    });
}

#[test]
fn another_spelling_of_the_path_is_another_path() {
    for path in ["/topics/a/b", "/topics/a%2fb", "/topics/a%252Fb", "/topics/%61%2Fb"] {
        let respelled = Vector { path: path.to_owned(), ..vector("encoded_slash") };
        expect(&respelled, "InvalidSignatureException", MISMATCH);
    }
}

#[test]
fn a_changed_token_is_refused_unless_it_stands_outside_the_signature() {
    for mut vector in vectors().into_iter().filter(|vector| vector.token.is_some()) {
        if vector.is_query_signed {
            vector.query = vector.query.replace("signs", "sings");
        } else {
            vector.header("x-amz-security-token").push('x');
        }
        assert_eq!(vector.verify().is_ok(), vector.name.contains("appended"), "{}", vector.name);
    }
    let mut beside = vector("delete_with_token");
    beside.query.push_str("&X-Amz-Security-Token=other");
    expect(&beside, "InvalidSignatureException", MISMATCH);
}

#[test]
fn a_signed_header_may_not_change_and_an_unsigned_one_may() {
    let mut changed = vector("client_publish_properties");
    changed.header("user-agent").push('x');
    assert_eq!(changed.verify(), Ok(()));
    changed.header("x-amz-mqtt5-correlation-data").push('x');
    expect(&changed, "InvalidSignatureException", MISMATCH);

    let mut swapped = vector("repeated_header");
    swapped.headers.swap(1, 2);
    expect(&swapped, "InvalidSignatureException", MISMATCH);
}

#[test]
fn clocks_may_differ_by_five_minutes() {
    for vector in vectors() {
        let lasts = match vector.name.as_str() {
            "websocket_for_a_day" => 86_400,
            name if vector.is_query_signed && !name.contains("without_expiry") => 3_600,
            _ => 300,
        };
        let check = |later: i64, expected: Result<(), &str>| {
            let found = Vector { now: vector.now + later, ..vector.clone() }.verify();
            let begins = |rejected: &Rejected, message| {
                rejected.error == "InvalidSignatureException" && rejected.message.starts_with(message)
            };
            let is_expected = match (&found, expected) {
                (Ok(()), Ok(())) => true,
                (Err(rejected), Err(message)) => begins(rejected, message),
                _ => false,
            };
            assert!(is_expected, "{} after {later} s: {found:?}", vector.name);
        };
        check(-301, Err("Signature not yet current"));
        check(-300, Ok(()));
        check(lasts, Ok(()));
        check(lasts + 1, Err("Signature expired"));
        check(i64::MAX - vector.now, Err("Signature expired"));
        check(i64::MIN / 2, Err("Signature not yet current"));
    }
}

#[test]
fn a_named_payload_hash_must_be_that_of_the_body() {
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (named, is_taken) in [(hash, true), ("UNSIGNED-PAYLOAD", false), (&hash.replace('e', "f"), false), ("", false)]
    {
        for name in ["get_root", "websocket"] {
            let mut vector = vector(name);
            vector.headers.push(("X-Amz-Content-Sha256".to_owned(), named.to_owned()));
            assert_eq!(vector.verify().is_ok(), is_taken, "{name} {named}");
        }
    }
}

#[test]
fn a_request_without_a_signature_makes_no_claim() {
    let check = |query: &str, headers: &[(&str, &str)]| {
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = Signable { method: "GET", path: "/", query, headers: &headers, payload: b"" };
        assert!(matches!(credential(&request), Ok(None)), "{query} {headers:?}");
    };
    check("", &[("Host", "h")]);
    check("a=b&x-amz-customauthorizer-name=c", &[("Authorization", "Basic YTpi")]);
    check("X-Amz-Date=20260314T150926Z", &[("Authorization", "Bearer t"), ("X-Amz-Date", "20260314T150926Z")]);
}

#[test]
fn an_incomplete_claim_is_told_so() {
    let check = |name: &str, change: fn(&mut Vector)| {
        let mut vector = vector(name);
        change(&mut vector);
        expect(&vector, "IncompleteSignatureException", "");
    };
    check("get_root", |vector| vector.replace_in_claim("Signature=", "Sig="));
    check("get_root", |vector| vector.replace_in_claim("SignedHeaders=", "Headers="));
    check("get_root", |vector| vector.replace_in_claim("Credential=", "Who="));
    check("get_root", |vector| vector.replace_in_claim("Credential=", "Credential=a,Credential="));
    check("get_root", |vector| vector.replace_in_claim("/iotdata/", "/"));
    check("get_root", |vector| vector.replace_in_claim("/iotdata/", "//"));
    check("get_root", |vector| vector.replace_in_claim("/iotdata/", "/iotdata/more/"));
    check("get_root", |vector| vector.replace_in_claim("HMAC-SHA256", "ECDSA-P256-SHA256"));
    check("get_root", |vector| *vector.header("authorization") = "AWS4-HMAC-SHA256".to_owned());
    check("get_root", |vector| vector.headers.retain(|(name, _)| name != "X-Amz-Date"));
    check("get_root", |vector| vector.headers.push(("x-amz-date".to_owned(), "20260314T150926Z".to_owned())));
    check("get_root", |vector| vector.headers.push(("authorization".to_owned(), "Basic YTpi".to_owned())));
    check("get_root", |vector| *vector.header("x-amz-date") = "20260314T150926".to_owned());
    check("get_root", |vector| *vector.header("x-amz-date") = "20261314T150926Z".to_owned());
    check("get_root", |vector| *vector.header("x-amz-date") = "20260314T1509 6Z".to_owned());
    check("get_root", |vector| *vector.header("x-amz-date") = "20260314T15096Z".to_owned());
    check("get_root", |vector| *vector.header("x-amz-date") = "20260314T1509+6Z".to_owned());
    check("get_root", |vector| *vector.header("x-amz-date") = "20260314 T15092Z".to_owned());
    check("get_root", |vector| *vector.header("x-amz-date") = "Sat, 14 Mar 2026 15:09:26 GMT".to_owned());
    check("get_root", |vector| vector.query = "X-Amz-Signature=00".to_owned());
    check("get_root", |vector| vector.replace_in_claim("Signature=", &format!("a={},Signature=", "b".repeat(9_000))));
    check("get_root", |vector| vector.replace_in_claim("host", &"host;".repeat(65)));
    check("get_root", |vector| vector.headers.resize(129, ("a".to_owned(), "b".to_owned())));
    check("get_root", |vector| vector.path = "/a".repeat(9_000));
    check("delete_with_token", |vector| *vector.header("x-amz-security-token") = "t".repeat(9_000));
    check("websocket", |vector| vector.replace_in_claim("X-Amz-Signature=", "x="));
    check("websocket", |vector| vector.replace_in_claim("X-Amz-Date=", "x="));
    check("websocket", |vector| vector.replace_in_claim("X-Amz-Algorithm=", "x="));
    check("websocket", |vector| vector.replace_in_claim("X-Amz-Expires=3600", "X-Amz-Expires=0"));
    check("websocket", |vector| vector.replace_in_claim("X-Amz-Expires=3600", "X-Amz-Expires=604801"));
    check("websocket", |vector| vector.replace_in_claim("X-Amz-Expires=3600", "X-Amz-Expires=-1"));
    check("websocket", |vector| vector.replace_in_claim("AKIDEXAMPLE", "%FF"));
    check("websocket", |vector| vector.query.push_str("&X-Amz-Signature=00"));
    check("websocket", |vector| vector.query.push_str("&X-Amz-Security-Token=a&X-Amz-Security-Token=b"));
    check("websocket", |vector| vector.query.push_str(&"&a=b".repeat(128)));
}

#[test]
fn what_must_be_signed_is() {
    let check = |name: &str, from: &str, to: &str, message: &str| {
        let mut vector = vector(name);
        vector.replace_in_claim(from, to);
        expect(&vector, "InvalidSignatureException", message);
    };
    check("get_root", "host;x-amz-date", "x-amz-date", "'host'");
    check("get_root", "host;x-amz-date", "host", "'x-amz-date'");
    check("delete_with_token", ";x-amz-security-token", "", "'x-amz-security-token'");
    check("websocket", "SignedHeaders=host", "SignedHeaders=accept", "'host'");
    check("get_root", "aws4_request", "aws5_request", "Credential should end");
    check("get_root", "20260314", "20260315", "The date of Credential");
    check("get_root", "20260314", "2026", "The date of Credential");
}

#[test]
fn a_header_of_awss_own_is_signed_or_it_is_refused() {
    let check = |name: &str, header: &str, good: bool| {
        let mut vector = vector(name);
        vector.headers.push((header.to_owned(), "x".to_owned()));
        let credential = vector.credential().unwrap();
        assert_eq!(check_headers(&vector.signable(), &credential).is_ok(), good, "{name} {header}");
    };
    for header in ["X-Amz-Target", "x-amz-copy-source", "x-amzn-iot-principal"] {
        check("get_root", header, false);
    }
    check("get_root", "x-amzn-trace-id", true);
    check("get_root", "accept", true);
    check("websocket", "x-amz-copy-source", false);
    check("websocket", "x-amz-content-sha256", true);
}

#[test]
fn a_scope_for_elsewhere_is_refused() {
    let found = vector("get_root").credential().unwrap();
    let check = |region, services: &[&str], expected: Option<&str>| {
        assert_eq!(found.check_scope(region, services).err().map(|rejected| rejected.error), expected);
    };
    check("eu-west-1", &["iot", "iotdata"], None);
    check("eu-west-1", &["iot"], Some("InvalidSignatureException"));
    check("us-east-1", &["iotdata"], Some("InvalidSignatureException"));
}

#[test]
fn what_we_sign_is_what_botocore_signs() {
    let names = [
        "get_with_port",
        "repeated_header",
        "client_publish_properties",
        "client_update_thing",
        "client_detach_principal",
    ];
    for name in names {
        let signed = vector(name);
        let mut bare = signed.clone();
        bare.headers.retain(|(name, _)| name != "Authorization" && name != "X-Amz-Date");
        let added = sign(&bare.signable(), &bare.access_key_id, &bare.secret, &bare.region, &bare.service, bare.now);
        let added = |name: &str| added.iter().find(|(sent, _)| sent == name).map(|(_, value)| value.clone());
        assert_eq!(added("x-amz-date").as_deref(), Some("20260314T150926Z"));
        assert_eq!(added("authorization"), Some(signed.clone().header("authorization").clone()), "{name}");
    }
}

#[test]
fn a_time_beyond_the_calendar_is_signed_as_long_past() {
    let signed = vector("get_root");
    let request = Signable { headers: &[("host".to_owned(), "h".to_owned())], ..signed.signable() };
    let added = sign(&request, "AKID", "s", "r", "iot", i64::MAX);
    assert_eq!(added[0].1, "19700101T000000Z");
}

proptest! {
    #![proptest_config(Config {
        cases: 256,
        rng_seed: RngSeed::Fixed(0x7369_676e),
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn what_we_sign_we_take(
        method in "[A-Z]{1,7}",
        path in "(/[a-zA-Z0-9%:$.~é ]{0,8}){0,5}/?",
        query in "[a-zA-Z0-9%=&.~+é-]{0,40}",
        note in "[ \\t!-~é]{0,30}",
        token in proptest::option::of("[!-~]{1,30}"),
        payload in proptest::collection::vec(any::<u8>(), 0..64),
        now_s in 0_i64..4_102_444_800,
        late_s in -300_i64..=300,
    ) {
        let mut headers = vec![
            ("Host".to_owned(), "h:8443".to_owned()),
            ("X-Amz-Note".to_owned(), note.clone()),
            ("accept".to_owned(), "*/*".to_owned()),
            ("x-amz-note".to_owned(), note),
        ];
        headers.extend(token.clone().map(|token| ("X-Amz-Security-Token".to_owned(), token)));
        let request = Signable { method: &method, path: &path, query: &query, headers: &headers, payload: &payload };
        let added = sign(&request, "AKID", "secret", "eu-west-1", "iot", now_s);
        let all: Vec<_> = headers.iter().cloned().chain(added).collect();
        let sent = Signable { headers: &all, ..request };
        let found = credential(&sent).unwrap().unwrap();
        prop_assert_eq!(&found.session_token, &token);
        prop_assert_eq!(verify(&sent, &found, "secret", now_s + late_s), Ok(()));
        prop_assert!(verify(&sent, &found, "Secret", now_s).is_err());
    }

    #[test]
    fn no_text_is_too_odd_to_be_read(
        path in ".{0,40}",
        query in ".{0,60}",
        authorization in "(AWS4-HMAC-SHA256 ?)?.{0,80}",
        date in "[0-9TZ]{0,17}|.{0,20}",
        signed in "(host)?;?.{0,20}",
        scope in "([a-z0-9]{0,4}/){0,5}(aws4_request)?|.{0,30}",
        now_s in any::<i64>(),
    ) {
        let claim = format!("AWS4-HMAC-SHA256 Credential={scope},SignedHeaders={signed},Signature={authorization}");
        let in_query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={scope}&X-Amz-Date={date}\
             &X-Amz-SignedHeaders={signed}&X-Amz-Signature=00&{query}"
        );
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for (query, authorization) in [(&query, Some(&authorization)), (&query, Some(&claim)), (&in_query, None)] {
            let mut headers = vec![header("host", "h"), header("x-amz-date", &date)];
            headers.extend(authorization.map(|value| header("authorization", value)));
            let request = Signable { method: "GET", path: &path, query, headers: &headers, payload: b"" };
            if let Ok(Some(found)) = credential(&request) {
                prop_assert!(verify(&request, &found, "secret", now_s).is_err());
            }
        }
    }
}
