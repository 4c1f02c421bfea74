//! From an answer or a refusal to status, headers and body. How they are sent is unknown here.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::document::Output;
use crate::model::{Json, Operation, Place, Service, Shape};
use crate::refusal::Refusal;
use crate::service_of;

/// What goes back to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers that are the answer's own; those of the transport are not here.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

/// Puts an answer into the form of its operation, or a refusal into that of its service. Without an operation the
/// request led to none.
pub fn reply(operation: Option<&'static Operation>, answer: Result<Output, Refusal>, request_id: &str) -> Reply {
    match (answer, operation) {
        (Ok(output), Some(operation)) => success(operation, output, request_id),
        (Ok(output), None) => Reply::new(200, Value::Object(output.fields).to_string().into(), request_id),
        (Err(refusal), _) => failure(operation, &refusal, request_id),
    }
}

/// The member of answers and errors that repeats the request id, in the services of the data plane.
const TRACE: &str = "traceId";

impl Reply {
    fn new(status: u16, body: Bytes, request_id: &str) -> Self {
        let mut headers = vec![("x-amzn-RequestId", request_id.to_owned())];
        if !body.is_empty() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        Self { status, headers, body }
    }
}

fn success(operation: &'static Operation, output: Output, request_id: &str) -> Reply {
    let Output { mut fields, payload } = output;
    let mut status = operation.status;
    let mut headers = Vec::new();
    for member in operation.output {
        match (member.place, fields.get(member.key)) {
            (Place::Status, Some(value)) => status = value.as_u64().and_then(|it| it.try_into().ok()).unwrap_or(status),
            (Place::Header, Some(Value::String(value))) => headers.push((member.wire, value.clone())),
            // What has no other way to know it leaves it to be filled in here.
            (Place::Body, None) if member.key == TRACE => {
                fields.insert(TRACE.to_owned(), Value::from(request_id));
            }
            _ => {}
        }
    }
    let body =
        if status == 204 { Bytes::new() } else { payload.unwrap_or_else(|| body(operation, fields, request_id)) };
    let mut reply = Reply::new(status, body, request_id);
    reply.headers.append(&mut headers);
    reply
}

/// The body of an answer that is a document.
/// unconfirmed: nothing at all where the model has no output.
fn body(operation: &'static Operation, mut fields: Map<String, Value>, request_id: &str) -> Bytes {
    if (operation.service, operation.name) == ("iot-data", "Publish") {
        // In no model, and on the wire all the same (shadow facts §4).
        return serde_json::json!({"message": "OK", TRACE: request_id}).to_string().into();
    }
    if operation.output.is_empty() {
        return Bytes::new();
    }
    let mut document = Map::with_capacity(fields.len());
    for member in operation.output {
        match (member.place, fields.get_mut(member.key).map(Value::take)) {
            (_, None | Some(Value::Null)) => {}
            (Place::Payload, Some(value)) if !matches!(member.shape, Shape::Blob(_)) => {
                return value.to_string().into();
            }
            (Place::Body, Some(value)) => {
                document.insert(member.wire.to_owned(), value);
            }
            _ => {}
        }
    }
    Value::Object(document).to_string().into()
}

fn failure(operation: Option<&'static Operation>, refusal: &Refusal, request_id: &str) -> Reply {
    let service = operation.map(service_of);
    let mut document = Map::new();
    document.insert("message".to_owned(), Value::from(refusal.message()));
    document.extend(refusal.extra().clone());
    if service.is_some_and(|service| ["iot-data", "iot-jobs-data"].contains(&service.name)) {
        document.insert(TRACE.to_owned(), Value::from(request_id));
    }
    let mut reply = Reply::new(refusal.status(service), Value::Object(document).to_string().into(), request_id);
    reply.headers.push(("x-amzn-ErrorType", refusal.error().to_owned()));
    reply
}

/// The name space of an error, where a service's older clients look for one: of the service itself, or of the front end that
/// it stands behind.
fn error_space(service: &Service, error: &str) -> &'static str {
    match (service.name, error) {
        ("dynamodb", "ValidationException") => "com.amazon.coral.validate#",
        ("dynamodb", "SerializationException" | "UnknownOperationException") => "com.amazon.coral.service#",
        ("dynamodb", _) => "com.amazonaws.dynamodb.v20120810#",
        _ => "",
    }
}

/// The header that says what an error was called in forms, and whose fault it is: older clients go by that name.
pub(crate) fn as_in_forms(refusal: &Refusal, status: u16) -> (&'static str, String) {
    let party = if status < 500 { "Sender" } else { "Receiver" };
    ("x-amzn-query-error", format!("{};{party}", refusal.error()))
}

/// The same for services whose operations a header names: the error stands in the body.
pub(crate) fn json(
    service: &'static Service,
    json: Json,
    operation: Option<&'static Operation>,
    answer: Result<Output, Refusal>,
    request_id: &str,
) -> Reply {
    let content_type = format!("application/x-amz-json-{}", json.version);
    let mut headers = vec![("x-amzn-RequestId", request_id.to_owned()), ("content-type", content_type)];
    let (status, document) = match answer {
        Ok(output) => {
            let mut fields = output.fields;
            let mut document = Map::with_capacity(fields.len());
            for member in operation.map_or(&[][..], |operation| operation.output) {
                if let Some(value) = fields.get_mut(member.key).map(Value::take).filter(|value| !value.is_null()) {
                    document.insert(member.wire.to_owned(), value);
                }
            }
            (200, document)
        }
        Err(refusal) => {
            let space = error_space(service, refusal.error());
            let name = service.cbor.map_or(refusal.error(), |cbor| cbor.model_name(refusal.error()));
            let mut document = Map::new();
            document.insert("__type".to_owned(), Value::from(format!("{space}{name}")));
            document.insert("message".to_owned(), Value::from(refusal.message()));
            document.extend(refusal.extra().clone());
            let status = refusal.status(Some(service));
            headers.extend(service.cbor.map(|_| as_in_forms(&refusal, status)));
            (status, document)
        }
    };
    let is_empty = operation.is_some_and(|operation| operation.output.is_empty()) && status == 200;
    let body = if is_empty { Bytes::new() } else { Value::Object(document).to_string().into() };
    Reply { status, headers, body }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Input, SERVICES};

    fn operation(service: &str, name: &str) -> &'static Operation {
        let service = SERVICES.into_iter().find(|it| it.name == service).unwrap();
        service.operations.iter().find(|operation| operation.name == name).unwrap()
    }

    fn output(fields: Value) -> Output {
        Output { fields: Input::of(fields, Bytes::new()).fields, payload: None }
    }

    #[test]
    fn an_answer_has_the_members_of_its_model() {
        for (service, name, fields, status, body) in [
            ("iot", "CreateThing", json!({"thingName": "t", "thingId": null, "x": 1}), 200, r#"{"thingName":"t"}"#),
            ("iot", "ListThings", json!({}), 200, "{}"),
            ("iot", "DeleteThing", json!({}), 200, ""),
            ("iot", "DeleteCommand", json!({"statusCode": 202}), 202, "{}"),
            ("iot-data", "Publish", json!({}), 200, r#"{"message":"OK","traceId":"id"}"#),
            ("iot-data", "SendDirectMessage", json!({"message": "OK"}), 200, r#"{"message":"OK","traceId":"id"}"#),
            ("iot-data", "DeleteConnection", json!({}), 200, ""),
        ] {
            let reply = reply(Some(operation(service, name)), Ok(output(fields)), "id");
            assert_eq!((reply.status, &reply.body[..]), (status, body.as_bytes()), "{name}");
            assert_eq!(reply.headers[0], ("x-amzn-RequestId", "id".to_owned()));
            let json = reply.headers.contains(&("content-type", "application/json".to_owned()));
            assert_eq!(json, !body.is_empty(), "{name}");
        }
    }

    #[test]
    fn an_error_that_had_another_name_in_forms_has_both() {
        let form = Json { version: "1.0", target: "GraniteServiceVersion20100801" };
        for (error, name, status, header) in [
            ("MissingParameter", "MissingRequiredParameterException", 400, "MissingParameter;Sender"),
            ("ResourceNotFound", "ResourceNotFound", 404, "ResourceNotFound;Sender"),
            ("InternalServiceError", "InternalServiceFault", 500, "InternalServiceError;Receiver"),
        ] {
            let operation = operation("cloudwatch", "PutMetricData");
            let reply = json(&crate::cloudwatch::SERVICE, form, Some(operation), Err(Refusal::new(error, "no")), "id");
            let body = format!(r#"{{"__type":"{name}","message":"no"}}"#);
            assert_eq!((reply.status, &reply.body[..]), (status, body.as_bytes()), "{error}");
            assert!(reply.headers.contains(&("x-amzn-query-error", header.to_owned())), "{error}");
        }
    }

    #[test]
    fn a_payload_is_the_body_and_is_not_copied() {
        let payload = Bytes::from_static(b"{\"state\":{}}");
        let answer = Output { payload: Some(payload.clone()), ..Output::default() };
        let reply = reply(Some(operation("iot-data", "GetThingShadow")), Ok(answer), "id");
        assert_eq!(reply.body.as_ptr(), payload.as_ptr());
        assert_eq!(reply.body, payload);
    }

    #[test]
    fn a_refusal_has_the_status_and_the_body_of_its_service() {
        let exists = || Refusal::resource_already_exists("There is one.").with("resourceId", "i");
        let throttled = || Refusal::throttling("Slower.");
        for (of, refusal, status, body) in [
            (Some(("iot", "CreateThing")), exists(), 409, r#"{"message":"There is one.","resourceId":"i"}"#),
            (Some(("iot", "ListThings")), throttled(), 400, r#"{"message":"Slower."}"#),
            (Some(("iot-data", "Publish")), throttled(), 429, r#"{"message":"Slower.","traceId":"id"}"#),
            (
                Some(("iot-jobs-data", "DescribeJobExecution")),
                throttled(),
                429,
                r#"{"message":"Slower.","traceId":"id"}"#,
            ),
            (None, Refusal::forbidden("No."), 403, r#"{"message":"No."}"#),
            (None, Refusal::new("SerializationException", "No."), 400, r#"{"message":"No."}"#),
        ] {
            let error = refusal.error();
            let reply = reply(of.map(|(service, name)| operation(service, name)), Err(refusal), "id");
            assert_eq!((reply.status, &reply.body[..]), (status, body.as_bytes()), "{of:?} {error}");
            assert!(reply.headers.contains(&("x-amzn-ErrorType", error.to_owned())), "{error}");
        }
    }
}
