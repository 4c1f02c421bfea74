//! How one request is written, and so its answer: by method and path, with the operation in a header over JSON, as a form that
//! XML answers, or in CBOR. A service may take several of the last three. What operations do is unknown here.

use crate::bind::{self, Arrived};
use crate::cbor;
use crate::document::{Input, Output};
use crate::model::{Cbor, Json, Operation, Protocol, Query, Service};
use crate::query;
use crate::refusal::Refusal;
use crate::reply::{self, Reply};
use crate::route::{Found, route};

/// The form of one request.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// Method and path name the operation of one of these services, the first that has them.
    Rest(&'static [&'static Service]),
    /// A header names it.
    Json(&'static Service, Json),
    /// A parameter of the form names it.
    Query(&'static Service, Query),
    /// The path names it, over CBOR.
    Cbor(&'static Service, Cbor),
}

/// The header that names an operation of a JSON service.
const TARGET: &str = "x-amz-target";

impl Form {
    /// The form of a request that goes to one service.
    pub fn of(service: &'static &'static Service, headers: &[(String, String)]) -> Self {
        let is_json = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(TARGET));
        if let (true, Some(cbor)) = (cbor::is_spoken(headers), service.cbor) {
            return Self::Cbor(service, cbor);
        }
        match service.protocol {
            Protocol::RestJson => Self::Rest(std::slice::from_ref(service)),
            Protocol::Json(json) => Self::Json(service, json),
            Protocol::Both(json, _) if is_json => Self::Json(service, json),
            Protocol::Query(query) | Protocol::Both(_, query) => Self::Query(service, query),
        }
    }

    /// Bytes of the longest body that is read.
    pub fn max_body(self) -> usize {
        match self {
            Self::Rest(services) => services.iter().map(|service| service.max_body).max().unwrap_or(0),
            Self::Json(service, _) | Self::Query(service, _) | Self::Cbor(service, _) => service.max_body,
        }
    }

    /// Finds the operation that a request asks for.
    pub fn find(self, method: &str, path: &str, arrived: &Arrived<'_>) -> Result<Found, Refusal> {
        match self {
            Self::Rest(services) => route(services, method, path, arrived.query),
            Self::Json(service, json) => {
                let target = arrived.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(TARGET));
                let name = target.and_then(|(_, target)| target.strip_prefix(json.target)?.strip_prefix('.'));
                named(service, name.unwrap_or_default(), "UnknownOperationException")
            }
            Self::Query(service, _) => {
                let action = query::parameter(arrived.body, "Action").unwrap_or_default();
                named(service, &action, "InvalidAction")
            }
            Self::Cbor(service, cbor) => {
                let name = cbor::operation(cbor, method, path).unwrap_or_default();
                named(service, name, "UnknownOperationException").map_err(|refusal| refusal.with_status(404))
            }
        }
    }

    /// Binds and validates the input of the operation that was found.
    pub fn bind(self, found: Found, arrived: &Arrived<'_>) -> Result<Input, Refusal> {
        match self {
            Self::Rest(_) | Self::Json(..) => bind::bind(found, arrived),
            Self::Query(..) => query::bind(found.operation, arrived.body),
            Self::Cbor(..) => cbor::bind(found.operation, arrived),
        }
    }

    /// Puts an answer or a refusal into this form.
    pub fn reply(
        self,
        operation: Option<&'static Operation>,
        answer: Result<Output, Refusal>,
        request_id: &str,
    ) -> Reply {
        match self {
            Self::Rest(_) => reply::reply(operation, answer, request_id),
            Self::Json(service, json) => reply::json(service, json, operation, answer, request_id),
            Self::Query(service, form) => query::reply(service, form, operation, answer, request_id),
            Self::Cbor(service, cbor) => cbor::reply(service, cbor, operation, answer, request_id),
        }
    }
}

/// The operation of this name.
fn named(service: &'static Service, name: &str, unknown: &'static str) -> Result<Found, Refusal> {
    let operation = service.operations.iter().find(|operation| operation.name == name);
    let operation = operation.ok_or_else(|| {
        let short: String = name.chars().take(64).collect();
        Refusal::new(unknown, format!("{} has no operation {short}.", service.name)).with_status(400)
    })?;
    Ok(Found { operation, labels: Vec::new() })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::service;

    /// The operation and its input, or the body of the refusal.
    fn outcome(signing_name: &str, target: Option<&str>, body: &str) -> String {
        let headers: Vec<(String, String)> =
            target.map(|target| ("X-Amz-Target".to_owned(), target.to_owned())).into_iter().collect();
        let form = Form::of(service(signing_name).unwrap(), &headers);
        let body = Bytes::copy_from_slice(body.as_bytes());
        let arrived = Arrived { query: "", headers: &headers, body: &body };
        let found = match form.find("POST", "/", &arrived) {
            Ok(found) => found,
            Err(refusal) => {
                let reply = form.reply(None, Err(refusal), "id");
                return format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body));
            }
        };
        let operation = found.operation;
        match form.bind(found, &arrived) {
            Ok(input) => format!("{} {}", operation.name, serde_json::Value::Object(input.fields)),
            Err(refusal) => {
                let reply = form.reply(Some(operation), Err(refusal), "id");
                format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body))
            }
        }
    }

    #[test]
    fn a_header_names_the_operation_of_a_json_service() {
        let table = r#"{"TableName":"abc"}"#;
        let expected = r#"DescribeTable {"TableName":"abc"}"#;
        assert_eq!(outcome("dynamodb", Some("DynamoDB_20120810.DescribeTable"), table), expected);
        assert_eq!(
            outcome("dynamodb", Some("DynamoDB_20120810.Nothing"), "{}"),
            "400 {\"__type\":\"com.amazon.coral.service#UnknownOperationException\",\
             \"message\":\"dynamodb has no operation Nothing.\"}"
        );
        let refused = outcome("logs", Some("Logs_20140328.CreateLogGroup"), "{}");
        assert!(refused.starts_with("400 {\"__type\":\"InvalidParameterException\""), "{refused}");
        assert!(outcome("logs", None, "{}").contains("UnknownOperationException"));
    }

    #[test]
    fn a_form_names_the_operation_of_a_query_service() {
        let form = "Action=CreateRole&Version=2010-05-08&RoleName=r&AssumeRolePolicyDocument=%7B%7D\
                    &Tags.member.1.Key=a&Tags.member.1.Value=b+c&MaxSessionDuration=3600";
        let bound = json!({
            "RoleName": "r", "AssumeRolePolicyDocument": "{}", "MaxSessionDuration": 3600,
            "Tags": [{"Key": "a", "Value": "b c"}],
        });
        let outcome = |form: &str| outcome("iam", None, form);
        let got: serde_json::Value = serde_json::from_str(outcome(form).strip_prefix("CreateRole ").unwrap()).unwrap();
        assert_eq!(got, bound);
        assert!(outcome("Action=Nothing").contains("<Code>InvalidAction</Code>"));
        assert!(outcome("Action=GetRole").contains("<Code>ValidationError</Code>"));
        assert!(
            outcome("Action=CreateRole&RoleName=r&AssumeRolePolicyDocument=x&MaxSessionDuration=x").contains("<Code>")
        );
    }

    #[test]
    fn metrics_take_either_form() {
        let form = outcome("monitoring", None, "Action=ListMetrics&Namespace=AWS/IoT");
        assert_eq!(form, r#"ListMetrics {"Namespace":"AWS/IoT"}"#);
        let json = outcome("monitoring", Some("GraniteServiceVersion20100801.ListMetrics"), r#"{"Namespace":"a/b"}"#);
        assert_eq!(json, r#"ListMetrics {"Namespace":"a/b"}"#);
    }
}
