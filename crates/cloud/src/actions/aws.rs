//! How requests to AWS-shaped services look before they are signed: JSON with a target, a form, a path with labels. What an
//! operation means is known by whoever asks for it.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::effect::{AwsRequest, Failure, Service};
use super::{Prepared, Unprepared};

/// What AWS encodes in a label of a path: all but the unreserved characters.
const LABEL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same in a path of several segments.
const PATH: &AsciiSet = &LABEL.remove(b'/');

/// A label of a path, encoded.
pub(super) fn label(text: &str) -> String {
    utf8_percent_encode(text, LABEL).to_string()
}

/// Several segments of a path, encoded.
pub(super) fn path(text: &str) -> String {
    utf8_percent_encode(text, PATH).to_string()
}

/// A request in AWS's JSON protocol of this version: `target` is the prefix and name of the operation.
pub(super) fn json(service: Service, version: &str, target: &str, body: &Value, cx: &Prepared<'_>) -> AwsRequest {
    let headers = [("content-type", format!("application/x-amz-json-{version}")), ("x-amz-target", target.to_owned())];
    AwsRequest { body: body.to_string().into(), ..plain(service, "POST", "/", headers, cx) }
}

/// A request in AWS's query protocol.
pub(super) fn query(service: Service, pairs: &[(&str, &str)], cx: &Prepared<'_>) -> AwsRequest {
    let mut form = String::new();
    for (name, value) in pairs {
        if !form.is_empty() {
            form.push('&');
        }
        form.extend([name, "="]);
        form.extend(utf8_percent_encode(value, LABEL));
    }
    let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8".to_owned())];
    AwsRequest { body: form.into(), ..plain(service, "POST", "/", headers, cx) }
}

/// A request without a body in the rule's own region.
pub(super) fn plain<'h>(
    service: Service,
    method: &'static str,
    path: &str,
    headers: impl IntoIterator<Item = (&'h str, String)>,
    cx: &Prepared<'_>,
) -> AwsRequest {
    AwsRequest {
        service,
        region: cx.scope.region.to_string(),
        method,
        path: path.to_owned(),
        query: String::new(),
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        body: Bytes::new(),
        role: None,
        create: None,
        refused: None,
    }
}

/// The region that an ARN names, if it names one.
pub(super) fn region_of(arn: &str) -> Option<&str> {
    arn.strip_prefix("arn:")?.split(':').nth(2).filter(|region| !region.is_empty())
}

/// The payload as text, for sinks that take nothing else.
pub(super) fn text_payload<'p>(cx: &Prepared<'p>) -> Result<&'p str, Unprepared> {
    let selected = cx.selected;
    std::str::from_utf8(&selected.payload)
        .map_err(|_| Failure::unusable("The payload is not UTF-8 text, which is all that this action can send.").into())
}
