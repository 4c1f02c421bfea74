//! `POST /_ombra/rules/test`: a trial in the world that the rules of a running server see, as JSON in and out. What its functions
//! ask is answered as it is for rules; nothing is published, and no action runs.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cloud::{Published, Scope};
use hyper::HeaderMap;
use mqtt::Filter;
use serde_json::{Map, Value, json};
use sql::{Reply, Trace};

use super::{BadTrial, Mqtt5, Trial};
use crate::rules::{self, PATIENCE};
use crate::server::Server;

/// The largest body: a statement, and a payload in base64.
pub(crate) const MAX_BODY: usize = 1 << 20;

/// How many functions may be asked.
const CALLS: usize = 16;

/// A status, and what is said about it.
type Refused = (u16, Value);

/// Makes a trial of a request: the status and the JSON to answer with.
pub(crate) async fn answer(server: &Server, scope: Scope, headers: &HeaderMap, body: &Bytes) -> (u16, Value) {
    // A page from elsewhere cannot send this type without asking first, and is not allowed to.
    let is_json = headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json {
        return refused(415, "UnsupportedMediaType", "send application/json");
    }
    match make(server, scope, body).await {
        Ok(trace) => (200, trace),
        Err(refused) => refused,
    }
}

async fn make(server: &Server, scope: Scope, body: &Bytes) -> Result<Value, Refused> {
    let unreadable = |error: serde_json::Error| refused(400, "InvalidRequestException", &error.to_string());
    let mut asked: Map<String, Value> = serde_json::from_slice(body).map_err(unreadable)?;
    let takes_last = asked.remove("last") == Some(Value::Bool(true));
    let mut trial: Trial = serde_json::from_value(Value::Object(asked)).map_err(unreadable)?;
    (trial.account, trial.region) = (Some(scope.account.to_string()), Some(scope.region.to_string()));
    trial.now.get_or_insert_with(|| server.now());
    let taken = if takes_last { Some(take_last(server, &scope, &mut trial)?) } else { None };
    let trace = run(server, &scope, &trial).await?;
    let mut told = json!(trace);
    if let Some(taken) = taken {
        told["message"] = taken;
    }
    Ok(told)
}

/// Takes the last message to a topic that matches; gives it for the answer.
fn take_last(server: &Server, scope: &Scope, trial: &mut Trial) -> Result<Value, Refused> {
    let statement = sql::Statement::parse(&trial.sql, trial.version().map_err(bad)?);
    let statement = statement.map_err(|error| bad(BadTrial::Sql(error)))?;
    let unusable = |_| refused(400, "InvalidRequestException", "FROM names no topic filter");
    let filter = statement.filter().map(Filter::try_from).transpose().map_err(unusable)?;
    let Some(published) = server.house.last_published(scope, filter.as_ref()) else {
        let topic = statement.filter().unwrap_or("any topic");
        let message = format!(
            "no message to {topic} is remembered. ombra remembers, until it stops, what rules have heard, and everything while \
             somebody follows with `ombra tail`"
        );
        return Err(refused(404, "ResourceNotFoundException", &message));
    };
    Ok(trial.take(&published))
}

/// Evaluates, and again whenever a function has been answered.
async fn run(server: &Server, scope: &Scope, trial: &Trial) -> Result<Trace, Refused> {
    let ready = trial.ready().map_err(bad)?;
    let entropy = trial.seed.map_or_else(|| server.entropy(), u128::from);
    let mut answers = HashMap::new();
    loop {
        let see = |world: &mut dyn sql::World| ready.run(entropy, world);
        let (trace, asked) = server.house.show_rules_world(scope, server.now(), entropy, &answers, see);
        let Some(call) = asked.filter(|_| answers.len() < CALLS) else { return Ok(trace) };
        let answered = tokio::time::timeout(PATIENCE, rules::ask(server, scope, &call)).await;
        let reply = match answered {
            Ok(Ok(bytes)) => Reply::Value(bytes),
            Ok(Err(reason)) => Reply::Failed(reason),
            Err(_) => Reply::Failed(format!("no answer within {} ms", PATIENCE.as_millis())),
        };
        answers.insert(call, reply);
    }
}

impl Trial {
    /// Takes over all that a message says; gives the message for people to see.
    fn take(&mut self, published: &Published) -> Value {
        let message = &published.message;
        let own = |text: Option<&str>| text.map(str::to_owned);
        self.topic = own(message.topic.as_ref().map(mqtt::Topic::as_str));
        (self.payload, self.payload_base64) = match std::str::from_utf8(&message.payload) {
            Ok(text) => (Some(text.into()), None),
            Err(_) => (None, Some(STANDARD.encode(&message.payload))),
        };
        self.client_id = own(published.client_id());
        self.principal = own(published.principal());
        self.source_ip = own(published.source_ip());
        self.now = Some(published.at);
        self.properties = message.properties.as_deref().map_or_else(Mqtt5::default, Mqtt5::of);
        let shown = json!({
            "topic": self.topic, "payload": self.payload, "payload_base64": self.payload_base64,
            "client_id": self.client_id, "at": published.at,
        });
        match shown {
            Value::Object(shown) => shown.into_iter().filter(|(_, value)| !value.is_null()).collect(),
            other => other,
        }
    }
}

impl Mqtt5 {
    fn of(given: &mqtt::PublishProperties) -> Mqtt5 {
        Mqtt5 {
            content_type: given.content_type.as_ref().map(|text| text.as_str().to_owned()),
            response_topic: given.response_topic.as_ref().map(|topic| topic.as_str().to_owned()),
            correlation_data: given.correlation_data.as_ref().map(|data| STANDARD.encode(data.as_bytes())),
            utf8: given.payload_format_indicator == Some(true),
            user: given
                .user_properties
                .iter()
                .map(|(key, value)| (key.as_str().to_owned(), value.as_str().to_owned()))
                .collect(),
        }
    }
}

fn bad(error: BadTrial) -> Refused {
    match error {
        BadTrial::Sql(at) => {
            let told = json!({
                "__type": "SqlParseException", "message": at.to_string(), "line": at.line, "column": at.column,
            });
            (400, told)
        }
        BadTrial::Other(what) => refused(400, "InvalidRequestException", &what),
    }
}

fn refused(status: u16, kind: &str, message: &str) -> Refused {
    (status, json!({"__type": kind, "message": message}))
}
