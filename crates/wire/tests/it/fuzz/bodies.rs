//! What must hold of any bytes that come as an HTTP request, shared by the tests of this crate and the fuzz targets in
//! `fuzz/`: nothing panics, what is refused can be answered, and nobody's signature is ours by chance.

use bytes::Bytes;
use wire::sign::{Rejected, Signable, credential, verify};
use wire::{Arrived, Form, Input, Output, Refusal, SERVICES, bind, query, reply, route, services_for};

/// The parts of a request, as the door splits them.
struct Parts<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// `METHOD path?query`, lines of headers, an empty line, the body.
fn parts(input: &[u8]) -> Option<Parts<'_>> {
    let end = input.windows(2).position(|pair| pair == b"\n\n").unwrap_or(input.len());
    let (head, body) = input.split_at(end);
    let mut lines = std::str::from_utf8(head).ok()?.lines();
    let (method, target) = lines.next()?.split_once(' ')?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let headers = lines.filter_map(header).collect();
    Some(Parts { method, path, query, headers, body: Bytes::copy_from_slice(body.get(2..).unwrap_or_default()) })
}

/// From a request to an operation's input, whoever it says it is for.
pub(crate) fn requests(input: &[u8]) {
    let Some(Parts { method, path, query, headers, body }) = parts(input) else { return };
    for service in [None, Some("iotdata"), Some("iot-jobs-data")] {
        let found = match route(services_for(service), method, path, query) {
            Ok(found) => found,
            Err(refusal) => {
                answered(None, Err(refusal));
                continue;
            }
        };
        let operation = found.operation;
        let bound: Result<Input, Refusal> = bind(found, &Arrived { query, headers: &headers, body: &body });
        match bound {
            Ok(_) => assert!(body.len() <= SERVICES[0].max_body),
            Err(refusal) => answered(Some(operation), Err(refusal)),
        }
    }
}

fn answered(operation: Option<&'static wire::Operation>, answer: Result<Output, Refusal>) {
    let reply = reply(operation, answer, "00000000-0000-0000-0000-000000000000");
    assert!((400..500).contains(&reply.status), "{}", reply.status);
}

/// Whose request it says it is, and that this is not proved.
pub(crate) fn signatures(input: &[u8]) {
    let Some(Parts { method, path, query, headers, body }) = parts(input) else { return };
    let request = Signable { method, path, query, headers: &headers, payload: &body };
    let rejected = match credential(&request) {
        Ok(None) => return,
        Ok(Some(found)) => {
            let _ = found.check_scope("us-east-1", &["iot"]);
            let _ = format!("{found:?}");
            verify(&request, &found, "a secret that signed none of these", 1_773_500_966)
        }
        Err(rejected) => Err(rejected),
    };
    let Rejected { error, .. } = rejected.expect_err("nobody signed it");
    assert!(error.ends_with("Exception"));
}

/// The form of an older service, and its answer whatever the value that is sent back.
pub(crate) fn forms(input: &[u8]) {
    let body = Bytes::copy_from_slice(input);
    let arrived = Arrived { query: "", headers: &[], body: &body };
    for name in ["iam", "sts", "monitoring"] {
        let form = Form::of(wire::service(name).expect("it is in the tables"), &[]);
        let (operation, answer) = match form.find("POST", "/", &arrived) {
            Ok(found) => (Some(found.operation), form.bind(found, &arrived).map(|_| Output::default())),
            Err(refusal) => (None, Err(refusal)),
        };
        sound_xml(&form.reply(operation, answer, "id").body);
    }
    for name in ["Action", "Version", "RoleArn", ""] {
        let Some(value) = query::parameter(input, name) else { continue };
        let form = Form::of(wire::service("sts").expect("it is in the tables"), &[]);
        let refused = form.reply(None, Err(Refusal::new("InvalidRequestException", value)), "id");
        assert!((400..500).contains(&refused.status));
        sound_xml(&refused.body);
    }
}

/// A body of CBOR, bound to some operations, and written again as an answer.
pub(crate) fn cbor(input: &[u8]) {
    let headers = [("smithy-protocol", "rpc-v2-cbor"), ("content-type", "application/cbor")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let form = Form::of(wire::service("monitoring").expect("it is in the tables"), &headers);
    let body = Bytes::copy_from_slice(input);
    let arrived = Arrived { query: "", headers: &headers, body: &body };
    for name in ["PutMetricData", "GetMetricData", "PutMetricAlarm", "ListMetrics"] {
        let path = format!("/service/GraniteServiceVersion20100801/operation/{name}");
        let found = form.find("POST", &path, &arrived).expect("it is in the tables");
        let operation = found.operation;
        let answer = form.bind(found, &arrived).map(|_| Output::default());
        let is_bound = answer.is_ok();
        let reply = form.reply(Some(operation), answer, "id");
        assert_eq!((reply.status == 200, reply.status < 500), (is_bound, true), "{}", reply.status);
    }
}

/// What came from outside closes no element and opens none.
fn sound_xml(body: &[u8]) {
    let text = std::str::from_utf8(body).expect("XML is text");
    let tags = |mark: &str| text.matches(mark).count();
    assert_eq!(tags("<"), tags(">"), "{text}");
    assert_eq!(tags("<"), 2 * tags("</"), "{text}");
}
