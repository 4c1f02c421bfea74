//! Smithy's RPC v2 protocol in CBOR: the path names the operation, a map comes in and a map goes out, both read and written beside
//! the shapes of the model. Which services take it is in their tables; what operations do is unknown here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cbor4ii::core::dec::{Decode, IgnoredAny, Read as _, if_major, is_break};
use cbor4ii::core::enc::{Encode, Error, Write};
use cbor4ii::core::utils::{BufWriter, SliceReader};
use cbor4ii::core::{major, marker, types};
use serde_json::{Map, Number, Value};

use crate::bind::{Arrived, kind, not_a, too_large, unreadable};
use crate::document::{Input, Output};
use crate::model::{Cbor, Member, Operation, Place, Service, Shape};
use crate::refusal::Refusal;
use crate::reply::{Reply, as_in_forms};
use crate::service_of;
use crate::sign::header_values;
use crate::validate::validate;

/// The header that names the protocol, in requests and in answers, and its name there.
const PROTOCOL: (&str, &str) = ("smithy-protocol", "rpc-v2-cbor");

/// What a body is called.
const CONTENT: &str = "application/cbor";

/// How deep a body may go, and how many values of the model it may hold.
const DEPTH: usize = 64;
const MOST_VALUES: usize = 250_000;

/// The tag of a time in seconds since the epoch.
const TIME: u64 = 1;

/// Whether a request is written so.
pub fn is_spoken(headers: &[(String, String)]) -> bool {
    header_values(headers, PROTOCOL.0).next().is_some_and(|protocol| protocol.trim() == PROTOCOL.1)
}

/// The name of the operation that method and path ask for: `POST …/service/S/operation/O`.
pub(crate) fn operation<'p>(cbor: Cbor, method: &str, path: &'p str) -> Option<&'p str> {
    let mut parts = path.rsplit('/');
    let name = parts.next()?;
    let is_it = method == "POST"
        && parts.next() == Some("operation")
        && parts.next() == Some(cbor.service)
        && parts.next() == Some("service");
    is_it.then_some(name)
}

/// Binds and validates the input of an operation from its body.
pub(crate) fn bind(operation: &'static Operation, arrived: &Arrived<'_>) -> Result<Input, Refusal> {
    let max_body = service_of(operation).max_body;
    if arrived.body.len() > max_body {
        return Err(too_large(max_body));
    }
    check_content(arrived)?;
    let mut fields = Map::new();
    if !arrived.body.is_empty() {
        let mut reader = Reader { bytes: SliceReader::new(arrived.body), values: MOST_VALUES };
        fields = reader.structure(operation.input, DEPTH)?;
        if reader.next().is_ok() {
            return Err(unreadable("The body goes on behind its map."));
        }
    }
    let input = Input { fields, payload: Bytes::new() };
    validate(operation, &input)?;
    Ok(input)
}

/// unconfirmed: the names of both refusals.
fn check_content(arrived: &Arrived<'_>) -> Result<(), Refusal> {
    let content = header_values(arrived.headers, "content-type").next().unwrap_or(CONTENT);
    if !arrived.body.is_empty() && !is_type(content, &[CONTENT]) {
        let message = format!("The content type of the body must be {CONTENT}.");
        return Err(Refusal::new("UnsupportedMediaTypeException", message).with_status(415));
    }
    let accept = header_values(arrived.headers, "accept").next().unwrap_or(CONTENT);
    if !accept.split(',').any(|one| is_type(one, &[CONTENT, "application/*", "*/*"])) {
        return Err(Refusal::new("NotAcceptableException", format!("The answer is {CONTENT}.")).with_status(406));
    }
    Ok(())
}

fn is_type(written: &str, types: &[&str]) -> bool {
    let bare = written.split(';').next().unwrap_or_default().trim();
    types.iter().any(|one| bare.eq_ignore_ascii_case(one))
}

/// A body that is read, and how many values may still come.
struct Reader<'b> {
    bytes: SliceReader<'b>,
    values: usize,
}

fn no_cbor<E>(_: E) -> Refusal {
    unreadable("The body is not CBOR.")
}

impl Reader<'_> {
    /// The byte that says what comes next.
    fn next(&mut self) -> Result<u8, Refusal> {
        let filled = self.bytes.fill(1).map_err(no_cbor)?;
        filled.as_ref().first().copied().ok_or_else(|| unreadable("The body ends too soon."))
    }

    fn read<T: for<'d> Decode<'d>>(&mut self) -> Result<T, Refusal> {
        T::decode(&mut self.bytes).map_err(no_cbor)
    }

    /// What the members are of a map; a null is as good as nothing, and what nobody knows is passed over.
    fn structure(&mut self, members: &'static [Member], depth: usize) -> Result<Map<String, Value>, Refusal> {
        let length = types::Map::len(&mut self.bytes).map_err(no_cbor)?;
        let mut fields = Map::new();
        self.each(length, |reader| {
            let name: String = reader.read()?;
            match members.iter().find(|member| member.place == Place::Body && member.wire == name) {
                None => reader.read::<IgnoredAny>().map(drop)?,
                Some(member) => match reader.value(member.shape, member.key, depth)? {
                    Value::Null => {}
                    value => drop(fields.insert(member.key.to_owned(), value)),
                },
            }
            Ok(())
        })?;
        Ok(fields)
    }

    /// Does something as many times as there are elements.
    fn each(
        &mut self,
        length: Option<usize>,
        mut then: impl FnMut(&mut Self) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mut done = 0;
        loop {
            let is_over = match length {
                Some(length) => done == length,
                None => is_break(&mut self.bytes).map_err(no_cbor)?,
            };
            if is_over {
                return Ok(());
            }
            then(self)?;
            done += 1;
        }
    }

    /// A value of a shape; `member` is the nearest name, for messages.
    fn value(&mut self, shape: &'static Shape, member: &str, depth: usize) -> Result<Value, Refusal> {
        let depth = depth.checked_sub(1).ok_or_else(|| unreadable("The body goes too deep."))?;
        self.values = self.values.checked_sub(1).ok_or_else(|| unreadable("The body holds too many values."))?;
        let first = self.next()?;
        if matches!(first, marker::NULL | marker::UNDEFINED) {
            self.bytes.advance(1);
            return Ok(Value::Null);
        }
        match (shape, if_major(first)) {
            (Shape::Structure(members), major::MAP) => self.structure(members, depth).map(Value::Object),
            (Shape::List(of, _), major::ARRAY) => {
                let length = types::Array::len(&mut self.bytes).map_err(no_cbor)?;
                let mut list = Vec::new();
                self.each(length, |reader| {
                    list.push(reader.value(of, member, depth)?);
                    Ok(())
                })?;
                Ok(Value::Array(list))
            }
            (Shape::Map(_, of, _), major::MAP) => {
                let length = types::Map::len(&mut self.bytes).map_err(no_cbor)?;
                let mut map = Map::new();
                self.each(length, |reader| {
                    let key: String = reader.read()?;
                    map.insert(key, reader.value(of, member, depth)?);
                    Ok(())
                })?;
                Ok(Value::Object(map))
            }
            _ => self.scalar(shape, member, first),
        }
    }

    fn scalar(&mut self, shape: &Shape, member: &str, first: u8) -> Result<Value, Refusal> {
        match (shape, if_major(first)) {
            (Shape::Text(_), major::STRING) => self.read().map(Value::String),
            (Shape::Blob(_), major::BYTES) => {
                let types::Bytes::<Vec<u8>>(bytes) = self.read()?;
                Ok(Value::String(STANDARD.encode(bytes)))
            }
            (Shape::Integer(_), major::UNSIGNED | major::NEGATIVE) => self.read::<i64>().map(Value::from),
            (Shape::Double(_), _) => self.number(shape, member, first),
            (Shape::Boolean, _) if matches!(first, marker::TRUE | marker::FALSE) => self.read().map(Value::Bool),
            (Shape::Timestamp, major::TAG) if types::Tag::tag(&mut self.bytes).map_err(no_cbor)? == TIME => {
                let first = self.next()?;
                self.number(shape, member, first)
            }
            _ => Err(not_a(kind(shape), member)),
        }
    }

    /// A number of any width. One that is none, or has no end, JSON could not hold, and no operation takes it.
    fn number(&mut self, shape: &Shape, member: &str, first: u8) -> Result<Value, Refusal> {
        let number = match (first, if_major(first)) {
            (marker::F16, _) => self.read().map(half)?,
            (marker::F32, _) => self.read::<f32>().map(f64::from)?,
            (marker::F64, _) => self.read()?,
            #[expect(clippy::cast_precision_loss, reason = "that is what a double is")]
            (_, major::UNSIGNED | major::NEGATIVE) => self.read::<i64>()? as f64,
            _ => return Err(not_a(kind(shape), member)),
        };
        Number::from_f64(number).map(Value::Number).ok_or_else(|| not_a(kind(shape), member))
    }
}

/// The number that sixteen bits stand for: one of sign, five of exponent, ten of fraction.
fn half(types::F16(bits): types::F16) -> f64 {
    let fraction = f64::from(bits & 0x3ff) / 1024.0;
    let size = match i32::from(bits >> 10 & 0x1f) {
        0 => fraction * 2.0_f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1.0 + fraction) * 2.0_f64.powi(exponent - 15),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// Puts an answer into the CBOR of its operation, or a refusal into that of its service.
pub(crate) fn reply(
    service: &'static Service,
    cbor: Cbor,
    operation: Option<&'static Operation>,
    answer: Result<Output, Refusal>,
    request_id: &str,
) -> Reply {
    let output = operation.map_or(&[][..], |operation| operation.output);
    let answered = answer.and_then(|answer| match output {
        // unconfirmed: nothing where the model's output has no members; every client must take that.
        [] => Ok(Vec::new()),
        _ => written(|to| write_members(to, output, answer.fields())),
    });
    match answered {
        Ok(body) => replied(200, body, request_id),
        Err(refusal) => refused(&refusal, Some((service, cbor)), request_id),
    }
}

/// The refusal of a request for a service that does not take CBOR, or is not here.
pub fn refuse(refusal: &Refusal, request_id: &str) -> Reply {
    refused(refusal, None, request_id)
}

fn refused(refusal: &Refusal, of: Option<(&Service, Cbor)>, request_id: &str) -> Reply {
    let status = refusal.status(of.map(|(service, _)| service));
    // What cannot be written is told by its status alone.
    let mut reply = replied(status, written(|to| write_refusal(to, of, refusal)).unwrap_or_default(), request_id);
    reply.headers.push(as_in_forms(refusal, status));
    reply
}

fn replied(status: u16, body: Vec<u8>, request_id: &str) -> Reply {
    let mut headers = vec![("x-amzn-RequestId", request_id.to_owned()), (PROTOCOL.0, PROTOCOL.1.to_owned())];
    if !body.is_empty() {
        headers.push(("content-type", CONTENT.to_owned()));
    }
    Reply { status, headers, body: body.into() }
}

type Written<W> = Result<(), Error<<W as Write>::Error>>;

fn written(write: impl FnOnce(&mut BufWriter) -> Written<BufWriter>) -> Result<Vec<u8>, Refusal> {
    let mut to = BufWriter::new(Vec::new());
    let failed = |error| Refusal::internal_failure(format!("The answer cannot be written: {error}."));
    write(&mut to).map_err(failed)?;
    Ok(to.into_inner())
}

/// The error by the name that the model has for it, and its message.
fn write_refusal(to: &mut BufWriter, of: Option<(&Service, Cbor)>, refusal: &Refusal) -> Written<BufWriter> {
    let name = match of {
        None => refusal.error().to_owned(),
        Some((service, cbor)) => format!("com.amazonaws.{}#{}", service.name, cbor.model_name(refusal.error())),
    };
    types::Map::bounded(2 + refusal.extra().len(), to)?;
    "__type".encode(to)?;
    name.encode(to)?;
    "message".encode(to)?;
    refusal.message().encode(to)?;
    for (key, value) in refusal.extra() {
        key.as_str().encode(to)?;
        write_any(to, value)?;
    }
    Ok(())
}

/// What stands beside a message is text or a list of such.
fn write_any(to: &mut BufWriter, value: &Value) -> Written<BufWriter> {
    match value {
        Value::Array(list) => {
            types::Array::bounded(list.len(), to)?;
            list.iter().try_for_each(|value| write_any(to, value))
        }
        Value::String(text) => text.as_str().encode(to),
        other => other.to_string().encode(to),
    }
}

fn write_members(to: &mut BufWriter, members: &[Member], fields: &Map<String, Value>) -> Written<BufWriter> {
    let given = || {
        let pairs = members.iter().filter_map(|member| Some((member, fields.get(member.key)?)));
        pairs.filter(|(_, value)| !value.is_null())
    };
    types::Map::bounded(given().count(), to)?;
    for (member, value) in given() {
        member.wire.encode(to)?;
        write_value(to, member.shape, value)?;
    }
    Ok(())
}

/// Numbers with a fraction are written in full width, which is the one that every client reads.
fn write_value(to: &mut BufWriter, shape: &Shape, value: &Value) -> Written<BufWriter> {
    match (shape, value) {
        (Shape::Structure(members), Value::Object(fields)) => write_members(to, members, fields),
        (Shape::List(of, _), Value::Array(list)) => {
            types::Array::bounded(list.len(), to)?;
            list.iter().try_for_each(|value| write_value(to, of, value))
        }
        (Shape::Map(_, of, _), Value::Object(map)) => {
            types::Map::bounded(map.len(), to)?;
            map.iter().try_for_each(|(key, value)| {
                key.as_str().encode(to)?;
                write_value(to, of, value)
            })
        }
        (Shape::Blob(_), Value::String(base64)) => {
            types::Bytes(&*STANDARD.decode(base64).unwrap_or_default()).encode(to)
        }
        (Shape::Timestamp, Value::Number(seconds)) => types::Tag(TIME, seconds.as_f64().unwrap_or_default()).encode(to),
        (Shape::Double(_), Value::Number(number)) => number.as_f64().unwrap_or_default().encode(to),
        (_, Value::Number(number)) => number.as_i64().unwrap_or_default().encode(to),
        (_, Value::Bool(flag)) => flag.encode(to),
        (_, Value::String(text)) => text.as_str().encode(to),
        _ => types::Null.encode(to),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cloudwatch;

    fn named(name: &str) -> &'static Operation {
        cloudwatch::SERVICE.operations.iter().find(|operation| operation.name == name).unwrap()
    }

    fn headers(more: &[(&str, &str)]) -> Vec<(String, String)> {
        more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// The input, or the error and its message.
    fn bound(name: &str, body: &[u8]) -> Result<Value, String> {
        let headers = headers(&[("Content-Type", "application/cbor")]);
        let arrived = Arrived { query: "", headers: &headers, body: &Bytes::copy_from_slice(body) };
        bind(named(name), &arrived).map(|input| Value::Object(input.fields)).map_err(|refusal| refusal.to_string())
    }

    /// The status, the headers and the body of what is said to an answer.
    fn replied(name: &str, answer: Result<Value, Refusal>) -> (u16, Vec<(&'static str, String)>, Vec<u8>) {
        let answer = answer.map(|fields| Output { fields: Input::of(fields, Bytes::new()).fields, payload: None });
        let cbor = cloudwatch::SERVICE.cbor.unwrap();
        let reply = reply(&cloudwatch::SERVICE, cbor, Some(named(name)), answer, "id");
        (reply.status, reply.headers, reply.body.to_vec())
    }

    #[test]
    fn the_path_names_the_operation() {
        let cbor = cloudwatch::SERVICE.cbor.unwrap();
        for (method, path, expected) in [
            ("POST", "/service/GraniteServiceVersion20100801/operation/ListMetrics", Some("ListMetrics")),
            ("POST", "/a/b/service/GraniteServiceVersion20100801/operation/ListMetrics", Some("ListMetrics")),
            ("GET", "/service/GraniteServiceVersion20100801/operation/ListMetrics", None),
            ("POST", "/service/Other/operation/ListMetrics", None),
            ("POST", "/service/GraniteServiceVersion20100801/ListMetrics", None),
            ("POST", "/", None),
        ] {
            assert_eq!(operation(cbor, method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn every_way_to_write_a_value_is_read() {
        let datum = |value: &[u8]| [b"\xa2iNamespacecA/BjMetricData\x81\xa2jMetricNameameValue", value].concat();
        for (value, expected) in [
            (&b"\x07"[..], 7.0),
            (b"\x38\x63", -100.0),
            (b"\xf9\x3e\x00", 1.5),
            (b"\xf9\x80\x01", -2.0_f64.powi(-24)),
            (b"\xfa\x3f\x80\x00\x00", 1.0),
            (b"\xfb\x3f\xb9\x99\x99\x99\x99\x99\x9a", 0.1),
        ] {
            let got = bound("PutMetricData", &datum(value)).unwrap();
            assert_eq!(got["MetricData"][0]["Value"], json!(expected), "{value:?}");
        }
        for value in [&b"\xf9\x7c\x00"[..], b"\xf9\x7e\x00", b"\xfb\x7f\xf0\0\0\0\0\0\0", b"\x61x", b"\xf4"] {
            assert!(
                bound("PutMetricData", &datum(value)).unwrap_err().contains("'Value' is not a number"),
                "{value:?}"
            );
        }
        let streamed = b"\xbfiNamespace\x7faAb/B\xffjDimensions\x9f\xbfdNamead\xff\xffiNextToken\xf6ax\x9f\x01\xff\xff";
        let expected = json!({"Namespace": "A/B", "Dimensions": [{"Name": "d"}]});
        assert_eq!(bound("ListMetrics", streamed).unwrap(), expected);
        assert_eq!(bound("ListMetrics", b"").unwrap(), json!({}));
        assert_eq!(bound("ListMetrics", b"\xa0").unwrap(), json!({}));
    }

    #[test]
    fn a_time_has_its_tag() {
        let asked = |time: &[u8]| {
            let bound = bound("DescribeAlarmHistory", &[&b"\xa1iStartDate"[..], time].concat());
            bound.map(|input| input["StartDate"].clone())
        };
        assert_eq!(asked(b"\xc1\x1a\x69\x00\x00\x00").unwrap(), json!(1_761_607_680.0));
        assert_eq!(asked(b"\xc1\xfb\x41\xda\x40\x00\x00\x08\x00\x00").unwrap(), json!(1_761_607_680.125));
        for time in [&b"\x1a\x69\x00\x00\x00"[..], b"\xc0\x6a2026-01-01", b"\xc1\x61x"] {
            assert!(asked(time).unwrap_err().contains("is not a time"), "{time:?}");
        }
    }

    #[test]
    fn what_is_no_map_of_the_model_or_too_much_is_refused() {
        let deep = [&b"\xa1ax"[..], &[0x81; 300], b"\x01"].concat();
        let many = [&b"\xa1jDimensions\x9a\x00\x04\x00\x00"[..], &vec![0xf6; 0x4_0000]].concat();
        for (body, expected) in [
            (&b"\x01"[..], "not CBOR"),
            (b"\xa1", "not CBOR"),
            (b"\xa1\x01\x01", "not CBOR"),
            (b"\xa1iNamespace", "ends too soon"),
            (b"\xa1iNamespace\x01", "'Namespace' is not a string"),
            (b"\xa1iNamespace\x7b\xff\xff\xff\xff\xff\xff\xff\xff", "not CBOR"),
            (b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff", "not CBOR"),
            (b"\xa0\xa0", "goes on"),
            (&deep, "not CBOR"),
            (&many, "too many values"),
        ] {
            let error = bound("ListMetrics", body).unwrap_err();
            assert!(error.starts_with("SerializationException") && error.contains(expected), "{expected}: {error}");
        }
        assert!(bound("ListMetrics", &vec![0xa0; (1 << 20) + 1]).unwrap_err().starts_with("RequestEntityTooLarge"));
        assert!(bound("GetMetricStatistics", b"\xa0").unwrap_err().starts_with("ValidationError"));
    }

    #[test]
    fn content_and_answer_are_of_one_type() {
        let refused = |more: &[(&str, &str)], body: &'static [u8]| {
            let headers = headers(more);
            let arrived = Arrived { query: "", headers: &headers, body: &Bytes::from_static(body) };
            bind(named("ListMetrics"), &arrived).map_err(|refusal| refusal.status(None)).err()
        };
        assert_eq!(
            refused(&[("content-type", "application/cbor; x=y"), ("accept", "a/b, application/*")], b"\xa0"),
            None
        );
        assert_eq!(refused(&[], b""), None);
        assert_eq!(refused(&[("content-type", "application/json")], b"\xa0"), Some(415));
        assert_eq!(refused(&[("accept", "text/xml")], b"\xa0"), Some(406));
    }

    #[test]
    fn an_answer_is_a_map_of_what_the_model_knows() {
        let answer =
            json!({"Label": "l", "Datapoints": [{"Timestamp": 1.5, "Sum": 2, "Unit": "None", "x": 1}], "y": 1});
        let (status, headers, body) = replied("GetMetricStatistics", Ok(answer));
        let expected = b"\xa2eLabelaljDatapoints\x81\xa3iTimestamp\xc1\xfb\x3f\xf8\0\0\0\0\0\0cSum\xfb\x40\0\0\0\0\0\0\0dUnitdNone";
        assert_eq!((status, body.as_slice()), (200, &expected[..]));
        assert!(headers.contains(&("smithy-protocol", "rpc-v2-cbor".to_owned())));
        assert!(headers.contains(&("content-type", "application/cbor".to_owned())));
        let (status, headers, body) = replied("PutMetricData", Ok(json!({})));
        assert_eq!((status, body.len()), (200, 0));
        assert!(headers.iter().all(|(name, _)| *name != "content-type"));
    }

    #[test]
    fn a_refusal_has_the_name_of_the_model_and_beside_it_that_of_forms() {
        let refusal = Refusal::new("InvalidParameterValue", "no").with("list", json!(["a"]));
        let (status, headers, body) = replied("PutMetricData", Err(refusal));
        let expected = b"\xa3f__typex\x37com.amazonaws.cloudwatch#InvalidParameterValueExceptiongmessagebnodlist\x81aa";
        assert_eq!((status, String::from_utf8_lossy(&body)), (400, String::from_utf8_lossy(expected)));
        assert!(headers.contains(&("x-amzn-query-error", "InvalidParameterValue;Sender".to_owned())));
        let (status, headers, _) = replied("PutDashboard", Err(Refusal::not_implemented(named("PutDashboard"))));
        assert_eq!(status, 501);
        assert!(headers.contains(&("x-amzn-query-error", "NotImplementedException;Receiver".to_owned())));
    }
}
