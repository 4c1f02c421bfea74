//! Trying a statement of a rule on one message, for people who write rules: what is to be tried, as the command line, test files
//! and the API have it alike, and the step trace that comes of it. Nothing is published, and no action runs.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sql::{Message, ParseError, Payload, Properties, Statement, Trace, Version, World};

use crate::settings::{ACCOUNT, REGION};

pub(crate) mod page;

/// The version that a statement is tried by if none is named: the one that AWS's console takes.
pub(crate) const VERSION: &str = "2016-03-23";

/// A statement and a message to try it on.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Trial {
    /// The statement.
    pub(crate) sql: String,
    /// The version of the language.
    pub(crate) version: Option<String>,
    /// Where the message was published; without it the filter of `FROM`, if that names one topic.
    pub(crate) topic: Option<String>,
    /// The payload: a text as it is, anything else as JSON.
    pub(crate) payload: Option<Value>,
    /// The payload in base64.
    pub(crate) payload_base64: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) principal: Option<String>,
    pub(crate) source_ip: Option<String>,
    pub(crate) trace_id: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
    /// Milliseconds since 1970.
    pub(crate) now: Option<i64>,
    /// What `rand()` and `newuuid()` are made of; without it they are another each time.
    pub(crate) seed: Option<u64>,
    pub(crate) properties: Mqtt5,
}

/// The properties of an MQTT 5 message.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Mqtt5 {
    pub(crate) content_type: Option<String>,
    pub(crate) response_topic: Option<String>,
    /// In base64.
    pub(crate) correlation_data: Option<String>,
    pub(crate) utf8: bool,
    pub(crate) user: Vec<(String, String)>,
}

/// Why a trial cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadTrial {
    /// The statement is not one.
    Sql(ParseError),
    /// Anything else.
    Other(String),
}

impl fmt::Display for BadTrial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql(error) => error.fmt(f),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// A trial whose every part has been understood.
pub(crate) struct Ready<'t> {
    trial: &'t Trial,
    pub(crate) statement: Statement,
    topic: String,
    payload: Payload,
    correlation_data: Option<Vec<u8>>,
    user: Vec<(&'t str, &'t str)>,
}

impl Trial {
    /// Understands every part.
    pub(crate) fn ready(&self) -> Result<Ready<'_>, BadTrial> {
        let statement = Statement::parse(&self.sql, self.version()?).map_err(BadTrial::Sql)?;
        let correlation_data = self.properties.correlation_data.as_deref();
        let user = self.properties.user.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        Ok(Ready {
            trial: self,
            topic: self.topic(&statement)?,
            payload: self.payload()?.into(),
            correlation_data: correlation_data.map(|text| unbase64("correlation_data", text)).transpose()?,
            user,
            statement,
        })
    }

    /// The version of the language.
    pub(crate) fn version(&self) -> Result<Version, BadTrial> {
        let name = self.version.as_deref().unwrap_or(VERSION);
        name.parse().map_err(|error| BadTrial::Other(format!("version {name}: {error}")))
    }

    fn topic(&self, statement: &Statement) -> Result<String, BadTrial> {
        let filter = statement.filter().unwrap_or_default();
        match &self.topic {
            Some(topic) if topic.is_empty() || topic.contains(['+', '#', '\0']) => {
                Err(BadTrial::Other(format!("{topic:?} is not a topic that can be published to")))
            }
            Some(topic) => Ok(topic.clone()),
            None if !filter.is_empty() && !filter.contains(['+', '#']) => Ok(filter.to_owned()),
            None => Err(BadTrial::Other("say to which topic the message is published".to_owned())),
        }
    }

    fn payload(&self) -> Result<Bytes, BadTrial> {
        match (&self.payload, &self.payload_base64) {
            (Some(_), Some(_)) => Err(BadTrial::Other("payload and payload_base64 exclude each other".to_owned())),
            (Some(Value::String(text)), None) => Ok(text.clone().into()),
            (Some(value), None) => Ok(value.to_string().into()),
            (None, Some(text)) => Ok(unbase64("payload_base64", text)?.into()),
            (None, None) => Ok(Bytes::from_static(b"{}")),
        }
    }
}

impl Ready<'_> {
    /// Evaluates in a world. `chance` is what `rand()` and `newuuid()` are made of.
    pub(crate) fn run(&self, chance: u128, world: &mut dyn World) -> Trace {
        self.statement.trace(&self.message(chance), world)
    }

    fn message(&self, chance: u128) -> Message<'_> {
        let Self { trial, .. } = self;
        let properties = &trial.properties;
        Message {
            topic: &self.topic,
            payload: &self.payload,
            client_id: trial.client_id.as_deref(),
            principal: trial.principal.as_deref(),
            source_ip: trial.source_ip.as_deref(),
            trace_id: trial.trace_id.as_deref(),
            account: trial.account.as_deref().unwrap_or(ACCOUNT),
            region: trial.region.as_deref().unwrap_or(REGION),
            now: trial.now.unwrap_or_default(),
            seed: chance,
            properties: Properties {
                content_type: properties.content_type.as_deref(),
                response_topic: properties.response_topic.as_deref(),
                correlation_data: self.correlation_data.as_deref(),
                utf8: properties.utf8,
                user: &self.user,
            },
        }
    }
}

fn unbase64(name: &str, text: &str) -> Result<Vec<u8>, BadTrial> {
    STANDARD.decode(text).map_err(|error| BadTrial::Other(format!("{name} is not base64: {error}")))
}
