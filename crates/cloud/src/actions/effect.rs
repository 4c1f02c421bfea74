//! What an action wants done, as plain data: a message to publish, a request to a service, a record for a broker. How it is
//! carried out, how often it is tried and where a service answers are the doors' affair; rules and statements are
//! unknown here.

use std::fmt;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::scope::Scope;

/// The place of an error action among the actions of its rule.
pub const ERROR_ACTION: u8 = u8::MAX;

/// Which queue an effect waits in: each action of each rule has one, so that a sink that is stuck holds up nobody else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lane {
    /// Account and region.
    pub scope: Scope,
    /// The rule's name.
    pub rule: String,
    /// The action's place in the rule, or [`ERROR_ACTION`].
    pub action: u8,
}

/// One action of a rule for one message, ready to be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// What error actions call `failedResource`: a bucket, a table, a topic, a URL.
    pub resource: String,
    /// What is to be done.
    pub work: Work,
    /// Whether it may wait for others of its lane.
    pub batch: Option<Batch>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Publish a message in the scope of the rule, as this role.
    Republish(mqtt::Publish, String),
    /// Ask an AWS-shaped service: a neighbour in this house, or wherever the operator says that it is.
    Aws(AwsRequest),
    /// Send a request to a URL.
    Http(HttpRequest),
    /// Write lines to an InfluxDB.
    Influx(InfluxWrite),
    /// Produce a record.
    Kafka(Box<KafkaRecord>),
}

/// How long an effect may wait for others to be carried out together with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Only effects with the same key are carried out together.
    pub key: String,
    /// Milliseconds that the first one waits.
    pub open_ms: u64,
    /// How many there may be.
    pub count: usize,
    /// How many bytes they may have together.
    pub bytes: usize,
}

/// A service that actions ask, under the name that the AWS command line has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// CloudWatch metrics and alarms.
    CloudWatch,
    /// DynamoDB.
    DynamoDb,
    /// Firehose.
    Firehose,
    /// Kinesis data streams.
    Kinesis,
    /// Lambda.
    Lambda,
    /// Location.
    Location,
    /// CloudWatch Logs.
    Logs,
    /// S3.
    S3,
    /// Secrets Manager, for what other sinks want to be shown.
    SecretsManager,
    /// SNS.
    Sns,
    /// SQS.
    Sqs,
    /// Step Functions.
    StepFunctions,
    /// Timestream, the writing half.
    Timestream,
}

/// A request to a service, before it is signed.
#[derive(Clone, Debug, PartialEq)]
pub struct AwsRequest {
    /// Whom to ask.
    pub service: Service,
    /// In which region.
    pub region: String,
    /// The method.
    pub method: &'static str,
    /// The path, percent-encoded; an endpoint's own path comes before it.
    pub path: String,
    /// The query string without its question mark.
    pub query: String,
    /// Headers; not those of the transport and the signature.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// The role that the action names.
    pub role: Option<String>,
    /// What to ask for first when the answer is `ResourceNotFoundException`, before this is asked once more.
    pub create: Option<Box<AwsRequest>>,
    /// The member of a good answer that tells what was refused all the same: a count, a list or an object.
    pub refused: Option<&'static str>,
}

/// A request to a URL that a rule names.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRequest {
    /// The method.
    pub method: &'static str,
    /// Where to.
    pub url: String,
    /// Headers; not those of the transport and the signature.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// What it is signed for, if it is.
    pub sign: Option<SigningScope>,
}

/// What a request is signed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningScope {
    /// The region.
    pub region: String,
    /// The signing name of the service.
    pub service: String,
    /// The role that the action names.
    pub role: String,
}

/// Lines for an InfluxDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfluxWrite {
    /// Where it answers, and what to show it.
    pub destination: InfluxDestination,
    /// The bucket of version 2, the database of version 3.
    pub database: String,
    /// The organization of version 2.
    pub organization: Option<String>,
    /// The unit of time stamps: `s`, `ms`, `us` or `ns`.
    pub precision: &'static str,
    /// Line protocol, each line ended.
    pub lines: Bytes,
}

/// What a rule destination says about an InfluxDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfluxDestination {
    /// The base URL.
    pub endpoint: String,
    /// 2 or 3.
    pub version: u8,
    /// The secret that holds the token.
    pub secret_id: String,
    /// Whether the token is in `SecretBinary` rather than in `SecretString`.
    pub is_binary: bool,
    /// The member of the secret that is the token, if the secret is a JSON document.
    pub secret_key: Option<String>,
}

/// A record for a Kafka topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaRecord {
    /// How to reach the cluster.
    pub cluster: KafkaCluster,
    /// The topic.
    pub topic: String,
    /// The partition, if the rule chooses it.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<String>,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The value.
    pub value: Bytes,
    /// How it is compressed.
    pub compression: KafkaCompression,
    /// Whether every replica in step must have it, or only the leader.
    pub all_replicas: bool,
}

/// How to reach a cluster of Kafka brokers.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KafkaCluster {
    /// `host:port` of brokers that know the others.
    pub bootstrap: Vec<String>,
    /// How TLS is spoken, if it is.
    pub tls: Option<KafkaTls>,
    /// User name, password and how they are shown.
    pub login: Option<KafkaLogin>,
}

/// What the rule says about TLS with a cluster.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct KafkaTls {
    /// The authorities of the brokers, if not those of this machine.
    pub trust: Option<KafkaStore>,
    /// The certificate to show, with its key.
    pub identity: Option<KafkaStore>,
}

/// A PKCS#12 store of certificates and keys.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KafkaStore {
    /// The store as it is in a file.
    pub bytes: Vec<u8>,
    /// What opens it; empty if nothing must.
    pub password: String,
}

/// A user of a Kafka cluster.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KafkaLogin {
    /// `PLAIN` or `SCRAM-SHA-512`.
    pub mechanism: &'static str,
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// How records are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KafkaCompression {
    /// Not at all.
    None,
    /// `gzip`.
    Gzip,
    /// `snappy`.
    Snappy,
    /// `lz4`.
    Lz4,
    /// `zstd`.
    Zstd,
}

/// Shows neither password nor key.
impl fmt::Debug for KafkaCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaCluster")
            .field("bootstrap", &self.bootstrap)
            .field("tls", &self.tls.is_some())
            .field("mechanism", &self.login.as_ref().map(|login| login.mechanism))
            .finish_non_exhaustive()
    }
}

/// What became of an effect.
pub type Outcome = Result<(), Failure>;

/// Why an action came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What error actions call `errorMessage`.
    pub message: String,
    /// The same for a program.
    pub cause: Cause,
    /// The batch that failed, if it was one.
    pub batch: Option<FailedBatch>,
}

/// Effects that were carried out together and have failed together: how many they are, the same for each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedBatch(Arc<usize>);

impl FailedBatch {
    /// How many effects failed.
    pub fn size(&self) -> usize {
        *self.0
    }

    /// Whether both are one and the same, and not only as large.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Why an action came to nothing, as far as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The action could not be prepared: a template gave nothing usable, or the payload does not fit.
    Unusable,
    /// The sink answered with this status.
    Status(u16),
    /// No answer came in time.
    TimedOut,
    /// Nobody knows the name of the host.
    UnknownHost,
    /// The URL is none.
    InvalidUrl,
    /// The sink could not be reached, or broke off.
    Unreachable,
    /// Too much waits for the sink already.
    Overflow,
    /// The sink refused in a way of its own.
    Refused,
}

impl Failure {
    /// A failure for this cause.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { message: message.into(), cause, batch: None }
    }

    /// The same of a batch of so many effects; each of them is to get a clone of this.
    #[must_use]
    pub fn of_batch(self, size: usize) -> Self {
        Self { batch: Some(FailedBatch(Arc::new(size))), ..self }
    }

    /// The action could not be prepared.
    pub(crate) fn unusable(message: impl Into<String>) -> Self {
        Self::new(Cause::Unusable, message)
    }

    /// The metric in which AWS counts it beside `Failure`, for the http action (rules.md §11).
    pub fn http_metric(&self) -> Option<&'static str> {
        match self.cause {
            Cause::Status(400..=499) => Some("HttpCode_4XX"),
            Cause::Status(500..=599) => Some("HttpCode_5XX"),
            Cause::Status(_) => Some("HttpCode_Other"),
            Cause::TimedOut => Some("HttpRequestTimeout"),
            Cause::UnknownHost => Some("HttpUnknownHost"),
            Cause::InvalidUrl => Some("HttpInvalidUrl"),
            Cause::Unusable | Cause::Unreachable | Cause::Overflow | Cause::Refused => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Effect {
    /// An effect that waits for no other.
    pub(crate) fn new(resource: impl Into<String>, work: Work) -> Self {
        Self { resource: resource.into(), work, batch: None }
    }

    /// The challenge to an HTTP destination (rules.md §6): whoever reads it there can show that he owns it.
    pub fn challenge(url: &str, arn: &str, token: &str, enable_url: &str) -> Self {
        let body = serde_json::json!({
            "arn": arn, "confirmationToken": token, "enableUrl": enable_url, "messageType": "DestinationConfirmation",
        });
        let headers = [
            ("content-type", "application/json"),
            ("x-amz-rules-engine-message-type", "DestinationConfirmation"),
            ("x-amz-rules-engine-destination-arn", arn),
        ];
        let request = HttpRequest {
            method: "POST",
            url: format!("{}/?confirmationToken={token}", url.trim_end_matches('/')),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            body: body.to_string().into(),
            sign: None,
        };
        Self::new(arn, Work::Http(request))
    }

    /// Bytes that it holds while it waits, as far as they may be many.
    pub fn bytes(&self) -> usize {
        self.resource.len()
            + match &self.work {
                Work::Republish(publish, _) => publish.payload.len(),
                Work::Aws(request) => request.body.len(),
                Work::Http(request) => request.body.len(),
                Work::Influx(write) => write.lines.len(),
                Work::Kafka(record) => record.bytes(),
            }
    }
}

impl KafkaRecord {
    /// Bytes of its value, and of what a rule may make larger than that.
    fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(key, value)| key.len() + value.len());
        let stores = self.cluster.tls.iter().flat_map(|tls| [&tls.trust, &tls.identity]).flatten();
        self.value.len() + headers.sum::<usize>() + stores.map(|store| store.bytes.len()).sum::<usize>()
    }
}

impl Work {
    /// Several works of one batch as one. For HTTP the bodies become a JSON array, under the headers of the last one
    /// (rules.md §6); for InfluxDB the lines follow one another. Nothing else comes in batches: the last one stays.
    pub fn together(works: Vec<Work>) -> Option<Work> {
        let mut bodies = BytesMut::new();
        let mut last = None;
        for work in works {
            match &work {
                Work::Http(request) => {
                    bodies.put_u8(if bodies.is_empty() { b'[' } else { b',' });
                    bodies.extend_from_slice(&request.body);
                }
                Work::Influx(write) => bodies.extend_from_slice(&write.lines),
                _ => {}
            }
            last = Some(work);
        }
        match last.as_mut() {
            Some(Work::Http(request)) => {
                bodies.put_u8(b']');
                request.body = bodies.freeze();
            }
            Some(Work::Influx(write)) => write.lines = bodies.freeze(),
            _ => {}
        }
        last
    }
}

/// Services in order of name: the name on the AWS command line, the one that is signed for, whether this house has it.
const SERVICES: [(Service, &str, &str, bool); 13] = [
    (Service::CloudWatch, "cloudwatch", "monitoring", true),
    (Service::DynamoDb, "dynamodb", "dynamodb", true),
    (Service::Firehose, "firehose", "firehose", false),
    (Service::Kinesis, "kinesis", "kinesis", false),
    (Service::Lambda, "lambda", "lambda", true),
    (Service::Location, "location", "geo", false),
    (Service::Logs, "logs", "logs", true),
    (Service::S3, "s3", "s3", true),
    (Service::SecretsManager, "secretsmanager", "secretsmanager", true),
    (Service::Sns, "sns", "sns", false),
    (Service::Sqs, "sqs", "sqs", false),
    (Service::StepFunctions, "stepfunctions", "states", false),
    (Service::Timestream, "timestream-write", "timestream", false),
];

impl Service {
    /// Every service.
    pub fn all() -> impl Iterator<Item = Self> {
        SERVICES.into_iter().map(|row| row.0)
    }

    /// The service with this name on the AWS command line.
    pub fn named(name: &str) -> Option<Self> {
        SERVICES.into_iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Its name on the AWS command line, which is also that of its setting.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The name that requests to it are signed for.
    pub fn signing_name(self) -> &'static str {
        self.row().2
    }

    /// Whether this house answers for it where the operator names nobody else.
    pub fn is_neighbour(self) -> bool {
        self.row().3
    }

    fn row(self) -> (Self, &'static str, &'static str, bool) {
        SERVICES.into_iter().find(|row| row.0 == self).unwrap_or(SERVICES[0])
    }
}

/// The services that the operator has named an endpoint for.
#[derive(Clone, Debug, Default)]
pub struct Targets(std::collections::BTreeSet<Service>);

impl FromIterator<Service> for Targets {
    fn from_iter<I: IntoIterator<Item = Service>>(services: I) -> Self {
        Self(services.into_iter().collect())
    }
}

impl Targets {
    /// Whether somebody answers for the service.
    pub(crate) fn answers(&self, service: Service) -> bool {
        service.is_neighbour() || self.is_elsewhere(service)
    }

    /// Whether the operator has said that somebody else answers for it.
    pub(crate) fn is_elsewhere(&self, service: Service) -> bool {
        self.0.contains(&service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_one_row_and_a_name_that_leads_back() {
        for service in Service::all() {
            assert_eq!(Service::named(service.name()), Some(service));
        }
        assert_eq!(Service::named("iot"), None);
    }

    #[test]
    fn a_service_answers_if_it_lives_here_or_the_operator_says_where() {
        let targets: Targets = [Service::Sqs].into_iter().collect();
        assert!(targets.answers(Service::DynamoDb) && targets.answers(Service::Sqs));
        assert!(!targets.answers(Service::Sns));
    }

    fn post(body: &'static str, header: &str) -> Work {
        let headers = vec![("x".to_owned(), header.to_owned())];
        Work::Http(HttpRequest { method: "POST", url: "u".into(), headers, body: body.into(), sign: None })
    }

    #[test]
    fn bodies_of_a_batch_become_an_array_under_the_last_headers() {
        assert_eq!(Work::together(vec![post("{}", "1"), post("7", "2")]), Some(post("[{},7]", "2")));
        assert_eq!(Work::together(vec![post("{}", "1")]), Some(post("[{}]", "1")));
        assert_eq!(Work::together(Vec::new()), None);
    }

    #[test]
    fn a_challenge_says_how_to_confirm() {
        let effect = Effect::challenge("https://h/x/", "arn:d", "tok", "https://e/confirmdestination/tok");
        let Work::Http(request) = effect.work else { panic!("not HTTP") };
        assert_eq!(request.url, "https://h/x/?confirmationToken=tok");
        assert!(request.headers.contains(&("x-amz-rules-engine-destination-arn".into(), "arn:d".into())));
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["enableUrl"], "https://e/confirmdestination/tok");
        assert_eq!(body["messageType"], "DestinationConfirmation");
    }

    #[test]
    fn failures_over_http_are_counted_as_aws_counts_them() {
        let metric = |cause| Failure::new(cause, "").http_metric();
        assert_eq!(metric(Cause::Status(404)), Some("HttpCode_4XX"));
        assert_eq!(metric(Cause::Status(503)), Some("HttpCode_5XX"));
        assert_eq!(metric(Cause::Status(302)), Some("HttpCode_Other"));
        assert_eq!(metric(Cause::TimedOut), Some("HttpRequestTimeout"));
        assert_eq!(metric(Cause::Overflow), None);
    }
}
