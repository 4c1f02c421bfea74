//! The older protocol of some AWS services: a form that names an action comes in, XML goes out. Which actions there
//! are is unknown here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::bind::{coerce, too_large};
use crate::document::{Input, Output};
use crate::model::{Member, Operation, Query, Service, Shape};
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::service_of;
use crate::validate::validate;

/// Parameters of a form that are looked at, and how deep their names go.
const PARAMETERS: usize = 10_000;
const DEPTH: usize = 16;

/// The value of one parameter of a form, or of the query of an address.
pub fn parameter(form: &[u8], name: &str) -> Option<String> {
    let form = std::str::from_utf8(form).ok()?;
    let value = form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    decoded(value)
}

fn decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// A form as a tree: `Tags.member.1.Key=a` has four levels.
#[derive(Default)]
struct Node {
    value: Option<String>,
    below: BTreeMap<String, Node>,
}

impl Node {
    fn read(form: &[u8]) -> Result<Self, Refusal> {
        let malformed = |what: &str| Refusal::new("MalformedQueryString", format!("The form {what}."));
        let form = std::str::from_utf8(form).map_err(|_| malformed("is not UTF-8"))?;
        let mut root = Self::default();
        for (count, pair) in form.split('&').filter(|pair| !pair.is_empty()).enumerate() {
            if count >= PARAMETERS {
                return Err(malformed("has too many parameters"));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
                return Err(malformed("is not valid percent-encoded UTF-8"));
            };
            let mut node = &mut root;
            for (depth, part) in name.split('.').enumerate() {
                if depth >= DEPTH {
                    return Err(malformed("has names that are too deep"));
                }
                node = node.below.entry(part.to_owned()).or_default();
            }
            if node.value.replace(value).is_some() {
                return Err(malformed(&format!("gives {name} more than once")));
            }
        }
        Ok(root)
    }

    /// The elements of a list, in the order of their numbers.
    fn elements(&self) -> Vec<&Self> {
        let mut numbered: Vec<(u32, &Self)> =
            self.below.iter().filter_map(|(number, node)| Some((number.parse().ok()?, node))).collect();
        numbered.sort_unstable_by_key(|(number, _)| *number);
        numbered.into_iter().map(|(_, node)| node).collect()
    }
}

/// Binds and validates the input of an operation from its form.
pub(crate) fn bind(operation: &'static Operation, form: &Bytes) -> Result<Input, Refusal> {
    let service = service_of(operation);
    if form.len() > service.max_body {
        return Err(too_large(service.max_body));
    }
    let tree = Node::read(form)?;
    let input = Input { fields: structure(operation.input, &tree, DEPTH)?, payload: Bytes::new() };
    validate(operation, &input)?;
    Ok(input)
}

fn structure(members: &'static [Member], node: &Node, depth: usize) -> Result<Map<String, Value>, Refusal> {
    let mut fields = Map::new();
    for member in members {
        if let Some(below) = node.below.get(member.wire)
            && let Some(value) = value(member, member.shape, below, depth)?
        {
            fields.insert(member.key.to_owned(), value);
        }
    }
    Ok(fields)
}

/// A value of a shape; none if there is nothing of the kind. An empty list is written as a name without a value.
fn value(member: &Member, shape: &'static Shape, node: &Node, depth: usize) -> Result<Option<Value>, Refusal> {
    let Some(depth) = depth.checked_sub(1) else { return Ok(None) };
    match shape {
        Shape::Structure(members) => structure(members, node, depth).map(|fields| Some(Value::Object(fields))),
        Shape::List(of, _) => {
            let elements = node.below.get("member").map(Node::elements).unwrap_or_default();
            let values = elements.into_iter().map(|node| value(member, of, node, depth));
            let values: Vec<Option<Value>> = values.collect::<Result<_, _>>()?;
            Ok(Some(Value::Array(values.into_iter().flatten().collect())))
        }
        Shape::Map(_, of, _) => {
            let mut map = Map::new();
            for entry in node.below.get("entry").map(Node::elements).unwrap_or_default() {
                let key = entry.below.get("key").and_then(|key| key.value.clone());
                let found = entry.below.get("value").map(|node| value(member, of, node, depth)).transpose()?;
                if let (Some(key), Some(Some(found))) = (key, found) {
                    map.insert(key, found);
                }
            }
            Ok(Some(Value::Object(map)))
        }
        _ => node.value.as_deref().map(|text| coerce(shape, member.key, text)).transpose(),
    }
}

/// Puts an answer into the XML of its operation, or a refusal into that of its service.
pub(crate) fn reply(
    service: &'static Service,
    form: Query,
    operation: Option<&'static Operation>,
    answer: Result<Output, Refusal>,
    request_id: &str,
) -> Reply {
    let namespace = form.namespace;
    let (status, xml) = match (answer, operation) {
        (Ok(output), Some(operation)) => {
            let action = operation.name;
            // Some answers have a result without members, and their clients look for it; the others do not look at all.
            let mut members = String::new();
            write_members(&mut members, operation.output, output.fields());
            let result = format!("<{action}Result>{members}</{action}Result>");
            let metadata = format!("<ResponseMetadata>{}</ResponseMetadata>", element("RequestId", request_id));
            (operation.status, format!("<{action}Response xmlns=\"{namespace}\">{result}{metadata}</{action}Response>"))
        }
        (Ok(_), None) => (200, String::new()),
        (Err(refusal), _) => {
            let status = refusal.status(Some(service));
            let error = error(&refusal, status, request_id);
            (status, format!("<ErrorResponse xmlns=\"{namespace}\">{error}</ErrorResponse>"))
        }
    };
    as_xml(status, xml, request_id)
}

/// The refusal of a form for a service that is not here, and so has no name space: clients look at the names alone.
pub fn refuse(refusal: &Refusal, request_id: &str) -> Reply {
    let status = refusal.status(None);
    let error = error(refusal, status, request_id);
    as_xml(status, format!("<ErrorResponse>{error}</ErrorResponse>"), request_id)
}

fn error(refusal: &Refusal, status: u16, request_id: &str) -> String {
    let kind = if status < 500 { "Sender" } else { "Receiver" };
    let error = [element("Type", kind), element("Code", refusal.error()), element("Message", refusal.message())];
    format!("<Error>{}</Error>{}", error.concat(), element("RequestId", request_id))
}

fn as_xml(status: u16, xml: String, request_id: &str) -> Reply {
    let headers = vec![("content-type", "text/xml".to_owned()), ("x-amzn-RequestId", request_id.to_owned())];
    Reply { status, headers, body: Bytes::from(xml) }
}

fn write_members(xml: &mut String, members: &[Member], fields: &Map<String, Value>) {
    for member in members {
        if let Some(value) = fields.get(member.key).filter(|value| !value.is_null()) {
            write_value(xml, member.wire, member.shape, value);
        }
    }
}

fn write_value(xml: &mut String, name: &str, shape: &Shape, value: &Value) {
    // Writing to a string does not fail.
    let _ = write!(xml, "<{name}>");
    match (shape, value) {
        (Shape::Structure(members), Value::Object(fields)) => write_members(xml, members, fields),
        (Shape::List(of, _), Value::Array(list)) => list.iter().for_each(|value| write_value(xml, "member", of, value)),
        (Shape::Map(_, of, _), Value::Object(map)) => {
            for (key, value) in map {
                let _ = write!(xml, "<entry>{}", element("key", key));
                write_value(xml, "value", of, value);
                xml.push_str("</entry>");
            }
        }
        (Shape::Timestamp, Value::Number(seconds)) => {
            let time = Timestamp::from_millisecond(milliseconds(seconds.as_f64().unwrap_or_default()));
            xml.push_str(&time.map(|time| format!("{time:.0}")).unwrap_or_default());
        }
        (_, Value::String(text)) => escape(xml, text),
        (_, other) => escape(xml, &other.to_string()),
    }
    let _ = write!(xml, "</{name}>");
}

#[expect(clippy::cast_possible_truncation, reason = "casts of floats saturate, and no time is so far away")]
fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}

fn element(name: &str, text: &str) -> String {
    let mut xml = format!("<{name}>");
    escape(&mut xml, text);
    let _ = write!(xml, "</{name}>");
    xml
}

/// Text between tags. Characters that XML cannot hold are written as the one that stands for such.
fn escape(xml: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            // A parser would read it as a line feed.
            '\r' => xml.push_str("&#13;"),
            '\u{0}'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => {
                xml.push('\u{FFFD}');
            }
            c => xml.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{iam, sts};

    fn operation(service: &'static Service, name: &str) -> &'static Operation {
        service.operations.iter().find(|operation| operation.name == name).unwrap()
    }

    fn replied(service: &'static Service, name: &str, answer: Result<Value, Refusal>) -> (u16, String) {
        let crate::Protocol::Query(form) = service.protocol else { panic!("it speaks in forms") };
        let answer = answer.map(|fields| Output { fields: Input::of(fields, Bytes::new()).fields, payload: None });
        let reply = reply(service, form, Some(operation(service, name)), answer, "id");
        (reply.status, String::from_utf8(reply.body.to_vec()).unwrap())
    }

    #[test]
    fn a_parameter_is_found_and_decoded() {
        let form = b"Action=GetCallerIdentity&Version=2011-06-15&Name=a+b%2Fc";
        assert_eq!(parameter(form, "Action").as_deref(), Some("GetCallerIdentity"));
        assert_eq!(parameter(form, "Name").as_deref(), Some("a b/c"));
        assert_eq!(parameter(form, "Act"), None);
        assert_eq!(parameter(b"\xFF", "Action"), None);
    }

    #[test]
    fn an_answer_is_the_result_in_its_response() {
        let answer = json!({"Arn": "a<b", "Account": "1", "Nothing": 1});
        let (status, xml) = replied(&sts::SERVICE, "GetCallerIdentity", Ok(answer));
        let expected = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
            <GetCallerIdentityResult><Account>1</Account><Arn>a&lt;b</Arn></GetCallerIdentityResult>\
            <ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></GetCallerIdentityResponse>";
        assert_eq!((status, xml.as_str()), (200, expected));
    }

    #[test]
    fn lists_times_and_numbers_have_their_xml() {
        let role = json!({
            "RoleName": "r", "CreateDate": 1.5, "MaxSessionDuration": 3600, "Tags": [{"Key": "k", "Value": "\u{1}"}],
        });
        let (_, xml) = replied(&iam::SERVICE, "GetRole", Ok(json!({ "Role": role })));
        for part in [
            "<CreateDate>1970-01-01T00:00:01Z</CreateDate>",
            "<MaxSessionDuration>3600</MaxSessionDuration>",
            "<Tags><member><Key>k</Key><Value>\u{FFFD}</Value></member></Tags>",
        ] {
            assert!(xml.contains(part), "{part} in {xml}");
        }
        let (_, xml) = replied(&iam::SERVICE, "UpdateRole", Ok(json!({})));
        assert!(xml.contains("><UpdateRoleResult></UpdateRoleResult><ResponseMetadata>"), "{xml}");
    }

    #[test]
    fn a_refusal_names_its_code_with_the_status_of_the_model() {
        let (status, xml) = replied(&iam::SERVICE, "GetRole", Err(Refusal::new("NoSuchEntity", "no")));
        assert_eq!(status, 404);
        assert!(xml.contains("<Code>NoSuchEntity</Code><Message>no</Message>"), "{xml}");
        assert_eq!(replied(&iam::SERVICE, "GetRole", Err(Refusal::new("NotImplementedException", "no"))).0, 501);
    }

    #[test]
    fn a_form_that_cannot_be_meant_is_refused() {
        let bind = |form: &'static str| bind(operation(&iam::SERVICE, "GetRole"), &Bytes::from_static(form.as_bytes()));
        for form in ["RoleName=a&RoleName=b", "RoleName=%FF", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q=1"] {
            assert_eq!(bind(form).unwrap_err().error(), "MalformedQueryString", "{form}");
        }
        assert!(bind("RoleName=r").is_ok());
    }

    proptest! {
        #[test]
        fn no_form_is_too_strange(form in "((Tags|RoleName|Path|a)(\\.(member|entry|1|0|x|key)){0,6}(=|%|\\PC){0,2}&?){0,6}") {
            for name in ["CreateRole", "TagRole"] {
                let _ = bind(operation(&iam::SERVICE, name), &Bytes::from(form.clone()));
            }
        }
    }
}
