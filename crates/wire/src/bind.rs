//! From the parts of a request to a validated input: labels, query, headers and body become one document whose
//! values are of the kinds that the model asks for. What operations do with it is unknown here.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Number, Value};

use crate::document::Input;
use crate::model::{Member, Place, Shape};
use crate::refusal::Refusal;
use crate::route::{Found, decoded};
use crate::service_of;
use crate::validate::validate;

/// What a request holds beside its method and path.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// The query as it came, without its question mark.
    pub query: &'a str,
    /// Names, in any case, and values.
    pub headers: &'a [(String, String)],
    /// The whole body.
    pub body: &'a Bytes,
}

/// Binds and validates the input of an operation. What the model does not know of is left out.
pub fn bind(found: Found, arrived: &Arrived<'_>) -> Result<Input, Refusal> {
    let Found { operation, labels } = found;
    let max_body = service_of(operation).max_body;
    if arrived.body.len() > max_body {
        return Err(too_large(max_body));
    }
    let mut input = Input::default();
    let mut body_members = false;
    for member in operation.input {
        let text = match member.place {
            Place::Query if matches!(member.shape, Shape::List(..)) => {
                if let Some(values) = parameters(arrived.query, member)? {
                    input.fields.insert(member.key.to_owned(), values);
                }
                None
            }
            Place::Query => parameter(arrived.query, member.wire)?,
            Place::Header | Place::JsonHeader => header(arrived.headers, member.wire)?.map(Cow::Borrowed),
            Place::Payload => {
                if let Some(value) = payload(member, arrived.body, &mut input.payload)? {
                    input.fields.insert(member.key.to_owned(), value);
                }
                None
            }
            Place::Body => {
                body_members = true;
                None
            }
            Place::Path | Place::Status => None,
        };
        if let Some(text) = text {
            let value = if member.place == Place::JsonHeader {
                json_header(member, &text)?
            } else {
                coerce(member.shape, member.key, &text)?
            };
            input.fields.insert(member.key.to_owned(), value);
        }
    }
    for (name, text) in labels {
        if let Some(member) = operation.input.iter().find(|it| it.place == Place::Path && it.wire == name) {
            input.fields.insert(member.key.to_owned(), coerce(member.shape, member.key, &text)?);
        }
    }
    if body_members {
        let mut body = object(arrived.body)?;
        let of_body = |member: &&Member| member.place == Place::Body;
        take_members(operation.input.iter().filter(of_body), &mut body, &mut input.fields)?;
    }
    validate(operation, &input)?;
    Ok(input)
}

pub(crate) fn too_large(max_body: usize) -> Refusal {
    Refusal::payload_too_large(format!("The body is larger than {max_body} bytes."))
}

/// A request that is not of the kind its operation takes.
/// unconfirmed: AWS's front end is known to say `SerializationException`; its words are not, so these are ours.
pub(crate) fn unreadable(message: impl Into<String>) -> Refusal {
    Refusal::new("SerializationException", message)
}

pub(crate) fn not_a(kind: &str, member: &str) -> Refusal {
    unreadable(format!("The value of '{member}' is not {kind}."))
}

/// The value of a parameter that is given once. One without a value counts as not given: a shadow of the name `""`
/// is the classic shadow.
/// unconfirmed: refuse what is given twice, so that nobody who looks at the request sees another value than we do;
/// read `+` as a space, as HTML forms write it. SDKs do neither.
fn parameter<'q>(query: &'q str, name: &str) -> Result<Option<Cow<'q, str>>, Refusal> {
    let mut value = None;
    for pair in query.split('&') {
        let (key, text) = pair.split_once('=').unwrap_or((pair, ""));
        if key == name || (key.contains('%') && decoded(key)? == name) {
            if value.is_some() {
                return Err(given_twice("parameter", name));
            }
            value = Some(text);
        }
    }
    match value {
        None | Some("") => Ok(None),
        Some(text) if text.contains('+') => Ok(Some(Cow::Owned(decoded(&text.replace('+', " "))?.into_owned()))),
        Some(text) => decoded(text).map(Some),
    }
}

/// The value of a header that is given once and not empty.
fn header<'h>(headers: &'h [(String, String)], name: &str) -> Result<Option<&'h str>, Refusal> {
    let mut values = headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
    let value = values.next().filter(|value| !value.is_empty());
    if values.next().is_some() {
        return Err(given_twice("header", name));
    }
    Ok(value)
}

fn given_twice(what: &str, name: &str) -> Refusal {
    Refusal::invalid_request(format!("The {what} '{name}' is given more than once."))
}

/// All values of a parameter that is a list: it is given once for each.
fn parameters(query: &str, member: &Member) -> Result<Option<Value>, Refusal> {
    let Shape::List(of, _) = member.shape else { return Ok(None) };
    let mut values = Vec::new();
    for pair in query.split('&') {
        let (key, text) = pair.split_once('=').unwrap_or((pair, ""));
        if decoded(key)? == member.wire {
            values.push(coerce(of, member.key, &decoded(&text.replace('+', " "))?)?);
        }
    }
    Ok((!values.is_empty()).then(|| Value::Array(values)))
}

/// Text from outside a JSON body as a value of its shape; what has members is not written so.
pub(crate) fn coerce(shape: &Shape, member: &str, text: &str) -> Result<Value, Refusal> {
    match shape {
        Shape::Text(_) => Ok(Value::from(text)),
        Shape::Blob(_) if STANDARD.decode(text).is_ok() => Ok(Value::from(text)),
        Shape::Blob(_) => Err(not_a("base64", member)),
        Shape::Integer(_) => text.parse::<i64>().map(Value::from).map_err(|_| not_a("a whole number", member)),
        Shape::Double(_) => finite(text).map(Value::Number).ok_or_else(|| not_a("a number", member)),
        Shape::Boolean if text.eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
        Shape::Boolean if text.eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
        Shape::Boolean => Err(not_a("true or false", member)),
        Shape::Timestamp => time(text).map(Value::Number).ok_or_else(|| not_a("a time", member)),
        Shape::Structure(_) | Shape::List(..) | Shape::Map(..) => Err(not_a("text", member)),
    }
}

fn finite(text: &str) -> Option<Number> {
    Number::from_f64(text.parse().ok()?)
}

/// Seconds since the epoch, from themselves or from ISO 8601.
fn time(text: &str) -> Option<Number> {
    let iso = |text: &str| {
        let duration = text.parse::<Timestamp>().ok()?.as_duration();
        Number::from_f64(duration.as_secs_f64())
    };
    finite(text).or_else(|| iso(text))
}

/// A header of JSON in base64, as the text of the JSON. SDKs are handed either the document or its text, and send
/// the latter as a JSON string that holds JSON (mqtt facts §8).
fn json_header(member: &Member, text: &str) -> Result<Value, Refusal> {
    let not_json = || Refusal::invalid_request(format!("The header '{}' is not base64 of JSON.", member.wire));
    let bytes = STANDARD.decode(text).map_err(|_| not_json())?;
    match serde_json::from_slice(&bytes).map_err(|_| not_json())? {
        Value::String(inner) => {
            serde_json::from_str::<Value>(&inner).map_err(|_| not_json())?;
            Ok(Value::String(inner))
        }
        _ => String::from_utf8(bytes).map(Value::String).map_err(|_| not_json()),
    }
}

/// The body as one member: bytes as they are, into `raw`, and anything else as JSON.
fn payload(member: &Member, body: &Bytes, raw: &mut Bytes) -> Result<Option<Value>, Refusal> {
    if matches!(member.shape, Shape::Blob(_)) {
        raw.clone_from(body);
        return Ok(None);
    }
    take(member.shape, member.key, Value::Object(object(body)?)).map(Some)
}

/// The body as a JSON object; nothing at all is an empty one. The depth is bounded by the parser, to 128.
fn object(body: &Bytes) -> Result<Map<String, Value>, Refusal> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(unreadable("The body is not a JSON object.")),
        Err(error) => Err(unreadable(format!("The body is not JSON: {error}."))),
    }
}

/// Moves what the members are out of one document into another. A null is as good as nothing.
fn take_members(
    members: impl Iterator<Item = &'static Member>,
    from: &mut Map<String, Value>,
    into: &mut Map<String, Value>,
) -> Result<(), Refusal> {
    for member in members {
        match from.get_mut(member.wire).map(Value::take) {
            None | Some(Value::Null) => {}
            Some(value) => {
                into.insert(member.key.to_owned(), take(member.shape, member.key, value)?);
            }
        }
    }
    Ok(())
}

/// A value of a shape out of a JSON value, by moving it. `member` is the nearest name, for messages. Nulls in lists
/// and maps stay, to be refused with all that is missing. The depth is that of the parsed value, so bounded.
fn take(shape: &Shape, member: &str, value: Value) -> Result<Value, Refusal> {
    match (shape, value) {
        (_, Value::Null) => Ok(Value::Null),
        (Shape::Structure(members), Value::Object(mut from)) => {
            let mut into = Map::with_capacity(from.len().min(members.len()));
            take_members(members.iter(), &mut from, &mut into)?;
            Ok(Value::Object(into))
        }
        (Shape::List(of, _), Value::Array(list)) => {
            list.into_iter().map(|value| take(of, member, value)).collect::<Result<_, _>>().map(Value::Array)
        }
        (Shape::Map(_, values, _), Value::Object(mut map)) => {
            for (_, value) in &mut map {
                *value = take(values, member, value.take())?;
            }
            Ok(Value::Object(map))
        }
        (Shape::Text(_), value @ Value::String(_))
        | (Shape::Boolean, value @ Value::Bool(_))
        | (Shape::Double(_) | Shape::Timestamp, value @ Value::Number(_)) => Ok(value),
        (Shape::Integer(_), Value::Number(number)) => whole(&number).ok_or_else(|| not_a("a whole number", member)),
        (Shape::Timestamp, Value::String(text)) => {
            time(&text).map(Value::Number).ok_or_else(|| not_a("a time", member))
        }
        (Shape::Blob(_), Value::String(text)) if STANDARD.decode(&text).is_ok() => Ok(Value::String(text)),
        (shape, _) => Err(not_a(kind(shape), member)),
    }
}

/// A whole number, even if it is written with a fraction of zero.
fn whole(number: &Number) -> Option<Value> {
    /// Up to here every whole number is a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if let Some(whole) = number.as_i64() {
        return Some(Value::from(whole));
    }
    let double = number.as_f64().filter(|it| it.fract() == 0.0 && it.abs() <= EXACT)?;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
    let whole = double as i64;
    Some(Value::from(whole))
}

pub(crate) fn kind(shape: &Shape) -> &'static str {
    match shape {
        Shape::Structure(_) | Shape::Map(..) => "an object",
        Shape::List(..) => "a list",
        Shape::Text(_) => "a string",
        Shape::Integer(_) => "a whole number",
        Shape::Double(_) => "a number",
        Shape::Boolean => "true or false",
        Shape::Timestamp => "a time",
        Shape::Blob(_) => "base64",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{SERVICES, route, services_for};

    fn bound(scope: &str, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Input, Refusal> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let body = Bytes::copy_from_slice(body);
        let found = route(services_for(Some(scope)), method, path, query)?;
        bind(found, &Arrived { query, headers: &headers, body: &body })
    }

    /// The fields, or the error and its message.
    fn outcome(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Value {
        let scope = if target.starts_with("/topics") || target.ends_with("/shadow") { "iotdata" } else { "iot" };
        match bound(scope, method, target, headers, body.as_bytes()) {
            Ok(input) => Value::Object(input.fields),
            Err(refusal) => json!(refusal.to_string()),
        }
    }

    #[test]
    fn members_come_from_their_places() {
        for (method, target, headers, body, expected) in [
            ("GET", "/things/t", &[][..], "", json!({"thingName": "t"})),
            ("GET", "/things/t", &[], "not looked at", json!({"thingName": "t"})),
            (
                "GET",
                "/things?maxResults=7&attributeName=a%2Cb&other=1",
                &[],
                "",
                json!({"maxResults": 7, "attributeName": "a,b"}),
            ),
            (
                "GET",
                "/things?nextToken=&usePrefixAttributeValue=True",
                &[],
                "",
                json!({"usePrefixAttributeValue": true}),
            ),
            ("GET", "/policies?isAscendingOrder=false", &[], "", json!({"ascendingOrder": false})),
            (
                "PUT",
                "/things/t/principals",
                &[("X-Amzn-Principal", " arn:p ")],
                "",
                json!({"thingName": "t", "principal": "arn:p"}),
            ),
            (
                "POST",
                "/things/t",
                &[],
                r#"{"attributePayload": {"attributes": {"a": "b"}, "unknown": 1, "merge": null}, "unknown": {}, "thingTypeName": null}"#,
                json!({"attributePayload": {"attributes": {"a": "b"}}, "thingName": "t"}),
            ),
            ("PATCH", "/things/t", &[], r#"{"expectedVersion": 5.0}"#, json!({"expectedVersion": 5, "thingName": "t"})),
            (
                "POST",
                "/rules/r",
                &[],
                r#"{"sql": "SELECT *", "actions": [], "x": 1}"#,
                json!({"topicRulePayload": {"sql": "SELECT *", "actions": []}, "ruleName": "r"}),
            ),
            (
                "GET",
                "/audit/tasks?startTime=2024-05-06T07:08:09.5Z&endTime=1715000000",
                &[],
                "",
                json!({"startTime": 1_714_979_289.5, "endTime": 1_715_000_000.0}),
            ),
        ] {
            let found = outcome(method, target, headers, body);
            assert_eq!(found, expected, "{method} {target} {body}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_name() {
        let kind = |kind: &str, member: &str| format!("SerializationException: The value of '{member}' is not {kind}.");
        for (method, target, body, expected) in [
            ("GET", "/things?maxResults=many", "", kind("a whole number", "maxResults")),
            ("GET", "/things?maxResults=1.5", "", kind("a whole number", "maxResults")),
            ("GET", "/things?usePrefixAttributeValue=1", "", kind("true or false", "usePrefixAttributeValue")),
            ("GET", "/audit/tasks?startTime=now&endTime=1", "", kind("a time", "startTime")),
            ("POST", "/things/t", r#"{"thingTypeName": 1}"#, kind("a string", "thingTypeName")),
            ("POST", "/things/t", r#"{"attributePayload": []}"#, kind("an object", "attributePayload")),
            ("POST", "/things/t", r#"{"attributePayload": {"attributes": {"a": 1}}}"#, kind("a string", "attributes")),
            ("PATCH", "/things/t", r#"{"expectedVersion": 1e30}"#, kind("a whole number", "expectedVersion")),
            ("PATCH", "/things/t", r#"{"removeThingType": "true"}"#, kind("true or false", "removeThingType")),
            ("POST", "/things/t", "[]", "SerializationException: The body is not a JSON object.".to_owned()),
            (
                "GET",
                "/things?maxResults=1&maxResults=2",
                "",
                "InvalidRequestException: The parameter 'maxResults' is given more than once.".to_owned(),
            ),
            (
                "GET",
                "/things?nextToken=%FF",
                "",
                "InvalidRequestException: The address is not valid percent-encoded UTF-8.".to_owned(),
            ),
        ] {
            assert_eq!(outcome(method, target, &[], body), json!(expected), "{method} {target} {body}");
        }
        for body in ["{", "\u{FEFF}{}", "{}{}", "{\"a\": 01}", &"{\"a\":".repeat(200)] {
            let refusal = bound("iot", "POST", "/things/t", &[], body.as_bytes()).unwrap_err();
            assert_eq!(refusal.error(), "SerializationException", "{body}");
        }
    }

    #[test]
    fn what_is_read_is_validated() {
        let refusal = bound("iot", "POST", "/things/a%20b", &[], b"").unwrap_err();
        assert_eq!(refusal.error(), "InvalidRequestException");
        assert!(refusal.message().starts_with("1 validation error detected: Value 'a b' at 'thingName'"), "{refusal}");
    }

    #[test]
    fn a_shadow_with_an_empty_name_is_the_classic_shadow() {
        let input = bound("iotdata", "GET", "/things/t/shadow?name=", &[], b"").unwrap();
        assert_eq!(Value::Object(input.fields), json!({"thingName": "t"}));
        let input = bound("iotdata", "GET", "/things/t/shadow?name=s", &[], b"").unwrap();
        assert_eq!(Value::Object(input.fields), json!({"thingName": "t", "shadowName": "s"}));
    }

    #[test]
    fn a_raw_body_is_not_copied() {
        let body = Bytes::from_static(b"\xFF\x00 not JSON");
        let found = route(services_for(Some("iotdata")), "POST", "/topics/a", "").unwrap();
        let input = bind(found, &Arrived { query: "qos=1", headers: &[], body: &body }).unwrap();
        assert_eq!(input.payload.as_ptr(), body.as_ptr());
        assert_eq!(Value::Object(input.fields), json!({"topic": "a", "qos": 1}));
    }

    #[test]
    fn a_body_over_the_limit_is_refused() {
        let body = vec![b' '; crate::iot::SERVICE.max_body + 1];
        let refusal = bound("iotdata", "POST", "/topics/a", &[], &body).unwrap_err();
        assert_eq!(refusal.error(), "RequestEntityTooLargeException");
        assert!(bound("iotdata", "POST", "/topics/a", &[], &body[1..]).is_ok());
    }

    #[test]
    fn user_properties_come_as_json_or_as_a_string_of_json() {
        let properties = r#"[{"k":"v"}]"#;
        let string = Value::from(properties).to_string();
        for (header, expected) in [
            (STANDARD.encode(properties), json!({"topic": "a", "userProperties": properties})),
            (STANDARD.encode(string), json!({"topic": "a", "userProperties": properties})),
            (String::new(), json!({"topic": "a"})),
        ] {
            let found = outcome("POST", "/topics/a", &[("x-amz-mqtt5-user-properties", &header)], "");
            assert_eq!(found, expected, "{header}");
        }
        for header in ["?", "W10", &STANDARD.encode("["), &STANDARD.encode("\"[\""), &STANDARD.encode(b"\xFF")] {
            let refusal =
                bound("iotdata", "POST", "/topics/a", &[("x-amz-mqtt5-user-properties", header)], b"").unwrap_err();
            assert_eq!(refusal.error(), "InvalidRequestException", "{header}");
        }
    }

    #[test]
    fn only_scalars_and_lists_of_texts_are_outside_of_bodies_in_the_models() {
        for operation in SERVICES.iter().flat_map(|service| service.operations) {
            for member in operation.input {
                let outside = !matches!(member.place, Place::Body | Place::Payload);
                let nested = matches!(member.shape, Shape::Structure(_) | Shape::List(..) | Shape::Map(..));
                let listed = member.place == Place::Query
                    && matches!(member.shape, Shape::List(of, _) if matches!(of, Shape::Text(_)));
                assert!(!(outside && nested) || listed, "{} {}", operation.name, member.key);
            }
        }
    }

    proptest! {
        #[test]
        fn no_request_is_too_strange(
            operation in 0..288_usize,
            query in "((maxResults|name|qos|pageSize|%|%41|\\PC{0,3})(=(1|true|%zz|\\PC{0,3}))?&?){0,4}",
            header in "\\PC{0,12}",
            body in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                "\\{(\"(tags|attributePayload|thingTypeName)\":(1|null|\\[null,\\{\\}\\]|\\{\"attributes\":\\{\"\":\"\"\\}\\}),?)?\\}"
                    .prop_map(String::into_bytes),
            ],
        ) {
            let operation = SERVICES.iter().flat_map(|service| service.operations).nth(operation).unwrap();
            let headers = ["x-amz-mqtt5-user-properties", "x-amzn-principal"].map(|name| (name.to_owned(), header.clone()));
            let labels = operation.input.iter().filter(|it| it.place == Place::Path).map(|it| (it.wire, header.clone()));
            let found = Found { operation, labels: labels.collect() };
            let _ = bind(found, &Arrived { query: &query, headers: &headers, body: &Bytes::from(body) });
        }
    }
}
