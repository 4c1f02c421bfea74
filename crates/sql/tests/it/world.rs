//! A message with everything in it, and a world that answers a few calls from a list. Nothing here knows the language.

use bytes::Bytes;
use sql::{Call, Key, KeyValue, Message, Payload, Properties, Reply, World};

/// A message with this payload, and every circumstance set.
pub(crate) fn message(payload: &Payload) -> Message<'_> {
    Message {
        topic: "things/lamp/data",
        payload,
        client_id: Some("lamp-1"),
        principal: Some("ba67293af50bf2506f5f93469686da660c7c844e7b3950bfb16813e0d31e9373"),
        source_ip: Some("192.0.2.1"),
        trace_id: Some("12345678-1234-1234-1234-123456789012"),
        account: "123456789012",
        region: "eu-west-1",
        now: 1_700_000_000_123,
        seed: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
        properties: Properties {
            content_type: Some("application/json"),
            response_topic: None,
            correlation_data: Some(b"\x01\x02"),
            utf8: true,
            user: &[("colour", "red"), ("size", "1"), ("colour", "blue")],
        },
    }
}

/// Answers by name; a name that begins with `later` is answered later, one that begins with `bad` fails.
pub(crate) struct Answers;

impl World for Answers {
    fn call(&mut self, call: &Call) -> Reply {
        let (name, answer) = match call {
            Call::Lambda { arn, payload } => (arn, format!(r#"{{"got":{}}}"#, String::from_utf8_lossy(payload))),
            Call::ThingShadow { thing, shadow, .. } => {
                let shadow = shadow.as_deref().unwrap_or("classic");
                (thing, format!(r#"{{"state":{{"reported":{{"alarm":"ON","shadow":"{shadow}"}}}}}}"#))
            }
            Call::RegistryData { api, thing, .. } => (thing, format!(r#"{{"thingName":"{thing}","api":"{api}"}}"#)),
            Call::DynamoDb { table, partition, sort, .. } => {
                let keys: Vec<String> = [Some(partition), sort.as_ref()].into_iter().flatten().map(shown).collect();
                (table, format!(r#"{{"key":"{}"}}"#, keys.join(" ")))
            }
            Call::Secret { id, .. } if id == "json" => (id, r#"{"user":"u","n":1}"#.to_owned()),
            Call::Secret { id, .. } => (id, "s3cr\"t".to_owned()),
            Call::Object { key, .. } if key == "lab.desc" => {
                return Reply::Value(Bytes::from_static(include_bytes!("../../src/proto/vectors/lab.desc")));
            }
            Call::Object { key, .. } => (key, String::new()),
        };
        match name {
            name if name.starts_with("later") => Reply::Later,
            name if name.starts_with("bad") => Reply::Failed("there is no such thing".to_owned()),
            name if name.starts_with("odd") => Reply::Value(Bytes::from_static(b"not json")),
            _ => Reply::Value(answer.into()),
        }
    }
}

fn shown(key: &Key) -> String {
    match &key.value {
        KeyValue::Text(text) => format!("{}='{text}'", key.name),
        KeyValue::Number(number) => format!("{}={number}", key.name),
    }
}
