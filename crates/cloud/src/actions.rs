//! The actions of rules: each is checked when a rule is made, and turns what a statement selected into an [`Effect`], which
//! others carry out. One file of `actions/` for actions of one kind; what is not built, or has nobody to answer it, is refused
//! by name when the rule is made. Statements, delivery and error actions are unknown here.

mod aws;
mod cloudwatch;
mod dynamodb;
mod effect;
mod fields;
mod http;
mod influx;
mod invoke;
mod json;
mod kafka;
mod places;
mod queues;
mod republish;
mod s3;
mod text;

use serde_json::{Map, Value};
use sql::{Message, Selected, Unrendered, Version, World};
use wire::Refusal;

use crate::scope::Scope;
use fields::Fields;

pub use effect::{
    AwsRequest, Batch, Cause, ERROR_ACTION, Effect, FailedBatch, Failure, HttpRequest, InfluxDestination, InfluxWrite,
    KafkaCluster, KafkaCompression, KafkaLogin, KafkaRecord, KafkaStore, KafkaTls, Lane, Outcome, Service,
    SigningScope, Targets, Work,
};

/// One action of a rule: checked, its templates parsed.
pub struct Action {
    name: &'static str,
    prepare: Box<dyn Prepare>,
}

/// What an action is prepared from: a message, and what the rule's statement made of it.
pub struct Prepared<'a> {
    /// Account and region of the rule.
    pub scope: &'a Scope,
    /// The rule's name.
    pub rule: &'a str,
    /// The message as it came, which templates read.
    pub message: &'a Message<'a>,
    /// What the statement selected, and the values of `SET`.
    pub selected: &'a Selected,
    /// Who answers the functions of templates that look outside.
    pub world: &'a mut dyn World,
    /// Whether a confirmed and enabled HTTP destination covers a URL: its own begins it.
    pub is_confirmed: &'a dyn Fn(&str) -> bool,
    /// The InfluxDB behind the ARN of a rule destination, if there is one and it is enabled.
    pub influx: &'a dyn Fn(&str) -> Option<InfluxDestination>,
}

/// Why there is no effect.
#[derive(Debug, PartialEq, Eq)]
pub enum Unprepared {
    /// A call is answered later: prepare again when it is.
    Suspended,
    /// The action fails.
    Failed(Failure),
}

impl From<Failure> for Unprepared {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Unrendered> for Unprepared {
    fn from(unrendered: Unrendered) -> Self {
        match unrendered {
            Unrendered::Suspended => Self::Suspended,
            Unrendered::Failed(failed) => Self::Failed(Failure::unusable(format!("A template failed: {failed}"))),
        }
    }
}

/// What every kind of action can do.
trait Prepare: Send + Sync {
    /// Renders the templates and builds the request.
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared>;

    /// The URL that must be confirmed before anything is sent.
    fn confirmation_url(&self) -> Option<&str> {
        None
    }
}

/// Reads the members of an action of one kind.
type Parse = fn(&Fields<'_>) -> Result<Box<dyn Prepare>, Refusal>;

/// Every kind of action: its key in a rule, its name in error messages, logs and metrics, and who reads it.
/// unconfirmed: the spelling of the names beyond those that AWS shows (S3Action, HttpAction, RepublishAction …).
const KINDS: &[(&str, &str, Parse)] = &[
    ("cloudwatchAlarm", "CloudwatchAlarmAction", cloudwatch::parse_alarm),
    ("cloudwatchLogs", "CloudwatchLogsAction", cloudwatch::parse_logs),
    ("cloudwatchMetric", "CloudwatchMetricAction", cloudwatch::parse_metric),
    ("dynamoDB", "DynamoDBAction", dynamodb::parse),
    ("dynamoDBv2", "DynamoDBv2Action", dynamodb::parse_v2),
    ("elasticsearch", "ElasticsearchAction", http::parse_document),
    ("firehose", "FirehoseAction", queues::parse_firehose),
    ("http", "HttpAction", http::parse),
    ("influxDB", "InfluxDBAction", influx::parse),
    ("kafka", "KafkaAction", kafka::parse),
    ("kinesis", "KinesisAction", queues::parse_kinesis),
    ("lambda", "LambdaAction", invoke::parse_lambda),
    ("location", "LocationAction", places::parse_location),
    ("openSearch", "OpenSearchAction", http::parse_document),
    ("republish", "RepublishAction", republish::parse),
    ("s3", "S3Action", s3::parse),
    ("sns", "SnsAction", queues::parse_sns),
    ("sqs", "SqsAction", queues::parse_sqs),
    ("stepFunctions", "StepFunctionsAction", invoke::parse_step_functions),
    ("timestream", "TimestreamAction", places::parse_timestream),
];

impl Action {
    /// Reads an element of `actions`, or an error action: exactly one member, which says what kind it is.
    pub fn parse(action: &Map<String, Value>, version: Version, targets: &Targets) -> Result<Action, Refusal> {
        let mut given = action.iter().filter(|(_, value)| !value.is_null());
        let (Some((key, members)), None) = (given.next(), given.next()) else {
            return Err(Refusal::invalid_request("An action must have exactly one member, which says what it does."));
        };
        let Some((key, name, parse)) = KINDS.iter().find(|(known, ..)| known == key) else {
            return Err(not_built(&format!("The rule action {key} is not implemented yet.")));
        };
        let Value::Object(members) = members else {
            return Err(Refusal::invalid_request(format!("The action {key} must be an object.")));
        };
        let fields = Fields::new(key, members, version, targets);
        Ok(Action { name, prepare: parse(&fields)? })
    }

    /// The name by which error messages, logs and metrics know its kind.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The URL for which the rule makes an HTTP destination, if it names one without templates (rules.md §6).
    pub fn confirmation_url(&self) -> Option<&str> {
        self.prepare.confirmation_url()
    }

    /// What is to be done for one message.
    pub fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        self.prepare.prepare(cx)
    }
}

/// The refusal of what could be asked for and is not there.
fn not_built(what: &str) -> Refusal {
    Refusal::new("NotImplementedException", format!("{what} docs/rule-actions.md lists what is."))
}
