//! One entry of the platform's own logs, in the shape of AWS's (rules.md §11): what happened, to whom, and how it ended. Whether
//! it is wanted, and where it goes, is unknown here.

use serde_json::{Map, Value};

use crate::entropy::uuid;
use crate::origin::Origin;
use crate::scope::Scope;

/// How much an entry matters. A setting lets through what is as loud as itself, or louder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Level {
    Error = 1,
    Warn = 2,
    Info = 3,
    Debug = 4,
}

impl Level {
    /// As AWS writes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        }
    }

    /// The setting of this name; none for `DISABLED`.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug].into_iter().find(|level| level.name() == name)
    }
}

/// One entry.
#[derive(Debug)]
pub(crate) struct Record {
    pub(super) event: &'static str,
    pub(super) level: Level,
    status: &'static str,
    trace: Option<String>,
    /// What the levels of targets ask for.
    pub(super) client_id: Option<String>,
    pub(super) principal: Option<String>,
    pub(super) source_ip: Option<String>,
    /// The rest, in order.
    fields: Map<String, Value>,
}

impl Record {
    /// Something that went well.
    pub(crate) fn success(event: &'static str) -> Self {
        let level = Level::Info;
        let (status, trace, fields) = ("Success", None, Map::new());
        Self { event, level, status, trace, client_id: None, principal: None, source_ip: None, fields }
    }

    /// Something that did not, and why.
    pub(crate) fn failure(event: &'static str, reason: impl Into<String>) -> Self {
        let failed = Self { level: Level::Error, status: "Failure", ..Self::success(event) };
        failed.with("reason", reason.into())
    }

    /// The same, but not all of it went well.
    pub(crate) fn with_issues(self) -> Self {
        Self { status: "SucceededWithIssues", ..self }
    }

    /// The same at another level.
    pub(super) fn at(self, level: Level) -> Self {
        Self { level, ..self }
    }

    /// The same, traced with whatever else came of one message.
    pub(crate) fn traced(self, trace: impl Into<String>) -> Self {
        Self { trace: Some(trace.into()), ..self }
    }

    /// The same, with whoever caused it.
    pub(crate) fn of(self, origin: &Origin) -> Self {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let protocol = match origin {
            Origin { caller: Some(_), .. } => Some("HTTP"),
            Origin { client_id: Some(_), .. } => Some("MQTT"),
            _ => None,
        };
        let record = Self {
            client_id: own(origin.client_id.as_deref()),
            principal: own(origin.principal.as_deref()),
            source_ip: own(origin.source_ip.as_deref()),
            ..self
        };
        match protocol {
            Some(protocol) => record.with("protocol", protocol),
            None => record,
        }
    }

    /// The same, of this client.
    pub(crate) fn of_client(self, client_id: &str, principal: &str, source_ip: &str) -> Self {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let (client_id, principal, source_ip) = (given(client_id), given(principal), given(source_ip));
        Self { client_id, principal, source_ip, ..self }.with("protocol", "MQTT")
    }

    /// The same with one more field.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }

    /// The line.
    pub(super) fn line(self, scope: &Scope, at: i64, seed: u128) -> String {
        let mut line = Map::new();
        let mut put = |field: &str, value: String| drop(line.insert(field.to_owned(), Value::String(value)));
        put("timestamp", moment(at));
        put("logLevel", self.level.name().to_owned());
        put("traceId", self.trace.unwrap_or_else(|| uuid(seed)));
        put("accountId", scope.account.to_string());
        put("status", self.status.to_owned());
        put("eventType", self.event.to_owned());
        let who = [("clientId", self.client_id), ("principalId", self.principal), ("sourceIp", self.source_ip)];
        for (field, value) in who {
            if let Some(value) = value {
                put(field, value);
            }
        }
        line.extend(self.fields);
        Value::Object(line).to_string()
    }
}

/// As AWS's logs write a moment, in UTC.
fn moment(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).unwrap_or_default().strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_awss_fields_in_awss_order() {
        let scope = Scope::new("123456789012", "us-east-1");
        let record = Record::success("Connect").of_client("c", "ab", "205.251.233.181").with("sourcePort", 13490);
        let record = record.traced("20b23f3f-d7f1-feae-169f-82263394fbdb");
        assert_eq!(
            record.line(&scope, 1_502_379_443_476, 0),
            "{\"timestamp\":\"2017-08-10 15:37:23.476\",\"logLevel\":\"INFO\",\
             \"traceId\":\"20b23f3f-d7f1-feae-169f-82263394fbdb\",\"accountId\":\"123456789012\",\"status\":\"Success\",\
             \"eventType\":\"Connect\",\"clientId\":\"c\",\"principalId\":\"ab\",\"sourceIp\":\"205.251.233.181\",\
             \"protocol\":\"MQTT\",\"sourcePort\":13490}"
        );
    }

    #[test]
    fn a_failure_says_why_and_is_louder() {
        let line = Record::failure("Publish-In", "AUTHORIZATION_FAILURE").line(&Scope::new("1", "r"), 0, 0);
        assert!(line.contains("\"logLevel\":\"ERROR\"") && line.contains("\"status\":\"Failure\""), "{line}");
        assert!(line.contains("\"reason\":\"AUTHORIZATION_FAILURE\""), "{line}");
    }
}
