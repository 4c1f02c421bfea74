//! The world of a test: what a file says that shadows, the registry, tables, secrets, functions and objects answer. What a test
//! does not say nobody answers.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sql::{Call, Key, KeyValue, Reply, SecretKind, World};

/// The functions that look outside, and the names of their arguments.
const FUNCTIONS: [(&str, &[&str]); 6] = [
    ("aws_lambda", &["arn", "payload"]),
    ("decode", &["bucket", "key"]),
    ("get_dynamodb", &["table", "partition", "sort", "role"]),
    ("get_registry_data", &["api", "thing", "role"]),
    ("get_secret", &["secret", "type", "role"]),
    ("get_thing_shadow", &["thing", "shadow", "role"]),
];

/// What a file says of one call.
#[derive(Debug, Deserialize)]
struct Said {
    function: String,
    answer: Option<Value>,
    answer_base64: Option<String>,
    answer_file: Option<String>,
    fails: Option<String>,
    /// The arguments that it must have; others may be anything.
    #[serde(flatten)]
    arguments: Map<String, Value>,
}

/// The world of one test.
#[derive(Debug, Default)]
pub(super) struct Mock {
    answers: Vec<Answer>,
}

#[derive(Debug)]
struct Answer {
    function: String,
    arguments: Map<String, Value>,
    reply: Reply,
}

impl Mock {
    /// Reads what a test says. Files are looked for in a directory.
    pub(super) fn new(said: Vec<Value>, dir: &Path) -> Result<Mock, String> {
        let answers = said.into_iter().map(|said| Answer::new(said, dir));
        Ok(Mock { answers: answers.collect::<Result<_, _>>()? })
    }
}

impl Answer {
    fn new(said: Value, dir: &Path) -> Result<Answer, String> {
        let said: Said = serde_json::from_value(said).map_err(|error| format!("world: {error}"))?;
        let known = FUNCTIONS.iter().find(|(name, _)| *name == said.function);
        let Some((function, arguments)) = known else {
            let names: Vec<&str> = FUNCTIONS.iter().map(|(name, _)| *name).collect();
            return Err(format!("world: {} asks nobody; what does is {}", said.function, names.join(", ")));
        };
        if let Some(unknown) = said.arguments.keys().find(|name| !arguments.contains(&name.as_str())) {
            return Err(format!("world: {function} has no {unknown}, but {}", arguments.join(", ")));
        }
        let reply = match (said.answer, said.answer_base64, said.answer_file, said.fails) {
            // Secrets and objects are what they are; the others answer in JSON.
            (Some(Value::String(text)), None, None, None) if matches!(*function, "get_secret" | "decode") => {
                Reply::Value(text.into())
            }
            (Some(value), None, None, None) => Reply::Value(value.to_string().into()),
            (None, Some(text), None, None) => {
                Reply::Value(STANDARD.decode(&text).map_err(|error| format!("world: {text}: {error}"))?.into())
            }
            (None, None, Some(file), None) => {
                let bytes = std::fs::read(dir.join(&file)).map_err(|error| format!("world: {file}: {error}"))?;
                Reply::Value(bytes.into())
            }
            (None, None, None, Some(why)) => Reply::Failed(why),
            _ => return Err(format!("world: {function} needs one of answer, answer_base64, answer_file and fails")),
        };
        Ok(Answer { function: said.function, arguments: said.arguments, reply })
    }

    fn answers(&self, call: &Call, arguments: &Value) -> bool {
        let is = |(name, value): (&String, &Value)| arguments.get(name) == Some(value);
        self.function == call.function() && self.arguments.iter().all(is)
    }
}

impl World for Mock {
    fn call(&mut self, call: &Call) -> Reply {
        let arguments = arguments(call);
        let found = self.answers.iter().find(|answer| answer.answers(call, &arguments));
        found.map_or_else(
            || Reply::Failed(format!("the test's world has no answer to {} with {arguments}", call.function())),
            |answer| answer.reply.clone(),
        )
    }
}

/// The arguments of a call, as a file names them.
fn arguments(call: &Call) -> Value {
    let json = |bytes: &Bytes| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    let attribute = |key: &Key| match &key.value {
        KeyValue::Text(text) => json!({key.name.as_str(): text}),
        KeyValue::Number(number) => {
            json!({key.name.as_str(): serde_json::from_str::<Value>(number).unwrap_or_default()})
        }
    };
    match call {
        Call::Lambda { arn, payload } => json!({"arn": arn, "payload": json(payload)}),
        Call::Object { bucket, key } => json!({"bucket": bucket, "key": key}),
        Call::DynamoDb { table, partition, sort, role } => json!({
            "table": table, "partition": attribute(partition), "sort": sort.as_ref().map(attribute), "role": role,
        }),
        Call::RegistryData { api, thing, role } => json!({"api": api.to_string(), "thing": thing, "role": role}),
        Call::Secret { id, kind, role } => {
            let kind = match kind {
                SecretKind::Text => "SecretString",
                SecretKind::Binary => "SecretBinary",
            };
            json!({"secret": id, "type": kind, "role": role})
        }
        Call::ThingShadow { thing, shadow, role } => json!({"thing": thing, "shadow": shadow, "role": role}),
    }
}
