//! How requests to AWS-shaped services look before they are signed: JSON with a target, a form, a path with labels. What an
//! operation means is known by whoever asks for it.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sql::Call;

use super::effect::{AwsRequest, Failure, Service};
use super::{Prepared, Unprepared};
use crate::scope::Scope;

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
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        ..AwsRequest::bare(service, method, path.to_owned(), cx.scope)
    }
}

impl AwsRequest {
    /// A request that says nothing but whom it asks, in the region of a scope.
    fn bare(service: Service, method: &'static str, path: String, scope: &Scope) -> Self {
        Self {
            service,
            region: scope.region.to_string(),
            method,
            path,
            query: String::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            role: None,
            create: None,
            refused: None,
        }
    }

    /// The request that answers the call of a function, if one outside the house does (rules.md §3).
    pub fn of_call(call: &Call, scope: &Scope) -> Option<AwsRequest> {
        let request = |service, method, path| AwsRequest::bare(service, method, path, scope);
        match call {
            Call::Lambda { arn, payload } => {
                let invoke =
                    request(Service::Lambda, "POST", format!("/2015-03-31/functions/{}/invocations", label(arn)));
                let region = region_of(arn).map_or(invoke.region, str::to_owned);
                let headers = vec![("x-amz-invocation-type".to_owned(), "RequestResponse".to_owned())];
                Some(AwsRequest { region, headers, body: payload.clone(), ..invoke })
            }
            Call::Object { bucket, key } => {
                Some(request(Service::S3, "GET", format!("/{}/{}", label(bucket), path(key))))
            }
            _ => None,
        }
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
