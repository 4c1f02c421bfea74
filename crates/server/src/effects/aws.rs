//! Requests to AWS-shaped services: signed and sent to the endpoint that the operator names, or else asked of the neighbours in
//! this house. What came back is read the same way from both. What a request means is unknown here.

use std::collections::BTreeMap;
use std::sync::{OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use cloud::actions::{AwsRequest, Cause, Failure, Outcome, Service, SigningScope};
use cloud::{Caller, Identity, NotForRules, Scope};
use serde_json::Value;
use tokio::time::{sleep, timeout};
use wire::sign::{Signable, sign};

use super::client::{Client, Line, Url};
use super::credentials::Credentials;
use crate::api;
use crate::server::{Server, now_ms};

/// How often a request is tried, how long one try may take, and how long is waited before the next.
const TRIES: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(5);
const BACK_OFF: Duration = Duration::from_millis(200);

/// Where the services are.
pub(super) struct Aws {
    endpoints: BTreeMap<Service, String>,
    credentials: Credentials,
    server: OnceLock<Weak<Server>>,
}

/// What a service said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: u16,
    /// The name of the error, if it is one.
    pub(super) error: Option<String>,
    /// How a function failed that was invoked all the same.
    pub(super) function_error: Option<String>,
    pub(super) body: Bytes,
}

impl Aws {
    pub(super) fn new(endpoints: BTreeMap<Service, String>, credentials: Credentials) -> Self {
        Self { endpoints, credentials, server: OnceLock::new() }
    }

    /// Lets the neighbours be asked.
    pub(super) fn meet(&self, server: Weak<Server>) {
        // There is one server; a second introduction would be of the same.
        let _ = self.server.set(server);
    }

    /// Asks until there is an answer that stands, and creates on the way what has to be there first.
    pub(super) async fn carry(&self, client: &Client, line: &mut Line, scope: &Scope, request: &AwsRequest) -> Outcome {
        let mut create = request.create.as_deref();
        let mut tries = 0;
        loop {
            let said = self.ask(client, line, scope, request).await;
            if let Some(first) = create.take_if(|_| matches!(&said, Ok(said) if said.is_missing())) {
                self.create(client, line, scope, first).await?;
                continue;
            }
            tries += 1;
            let again = match &said {
                Ok(said) => said.is_passing(),
                Err(failure) => matches!(failure.cause, Cause::TimedOut | Cause::Unreachable | Cause::UnknownHost),
            };
            if !again || tries >= TRIES {
                return said.and_then(|said| said.outcome(request));
            }
            sleep(BACK_OFF * 2_u32.pow(tries - 1)).await;
        }
    }

    /// What is there already is as good as made.
    async fn create(&self, client: &Client, line: &mut Line, scope: &Scope, request: &AwsRequest) -> Outcome {
        let said = self.ask(client, line, scope, request).await?;
        if said.error.as_deref().is_some_and(|error| error.starts_with("ResourceAlreadyExists")) {
            return Ok(());
        }
        said.outcome(request)
    }

    /// Asks once.
    pub(super) async fn ask(
        &self,
        client: &Client,
        line: &mut Line,
        scope: &Scope,
        request: &AwsRequest,
    ) -> Result<Said, Failure> {
        let asking = async {
            match self.endpoints.get(&request.service) {
                Some(endpoint) => self.ask_outside(client, line, scope, request, endpoint).await,
                None => self.ask_neighbour(scope, request, line.most).await,
            }
        };
        timeout(PATIENCE, asking).await.unwrap_or_else(|_| {
            let message = format!("{} did not answer within {} s.", request.service.name(), PATIENCE.as_secs());
            Err(Failure::new(Cause::TimedOut, message))
        })
    }

    async fn ask_outside(
        &self,
        client: &Client,
        line: &mut Line,
        scope: &Scope,
        request: &AwsRequest,
        endpoint: &str,
    ) -> Result<Said, Failure> {
        let base = endpoint.replace("{region}", &request.region);
        let question = if request.query.is_empty() { "" } else { "?" };
        let url = format!("{}{}{question}{}", base.trim_end_matches('/'), request.path, request.query);
        let url = Url::parse(&url)?;
        let to = (request.region.as_str(), request.service.signing_name());
        let headers = self.sign(scope, to, request.method, &url, request.headers.clone(), &request.body)?;
        let answer = client.send(line, request.method, &url, &headers, &request.body).await?;
        let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
        Ok(Said::of(answer.status, header, answer.body.clone()))
    }

    async fn ask_neighbour(&self, scope: &Scope, request: &AwsRequest, most: usize) -> Result<Said, Failure> {
        let name = request.service.name();
        let Some(server) = self.server.get().and_then(Weak::upgrade) else {
            return Err(Failure::new(Cause::Unreachable, format!("{name} is not there while the server stops.")));
        };
        if !request.service.is_neighbour() {
            let message =
                format!("{name} is not part of this server, and no --aws-endpoint {name}=URL says where it is.");
            return Err(Failure::new(Cause::Unreachable, message));
        }
        let identity = acting(&server, scope, request.role.as_deref())?;
        let caller = Caller::new(Scope::new(&scope.account, &request.region), identity);
        let asked = api::Request {
            service: request.service.signing_name().to_owned(),
            method: request.method.to_owned(),
            path: request.path.clone(),
            query: request.query.clone(),
            headers: request.headers.clone(),
            body: request.body.clone(),
        };
        let reply = api::answer(&server, &caller, &asked).await;
        let header = |name: &str| {
            let found = reply.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.as_str())
        };
        let body = reply.body.slice(..reply.body.len().min(most));
        Ok(Said::of(reply.status, header, body))
    }

    /// The headers of a request, with those that sign it.
    pub(super) fn sign(
        &self,
        scope: &Scope,
        (region, service): (&str, &str),
        method: &str,
        url: &Url,
        mut headers: Vec<(String, String)>,
        body: &Bytes,
    ) -> Result<Vec<(String, String)>, Failure> {
        let keys = self.credentials.keys(&scope.account).map_err(|why| Failure::new(Cause::Refused, why))?;
        headers.push(("host".to_owned(), url.authority().to_owned()));
        if let Some(token) = keys.session_token {
            headers.push(("x-amz-security-token".to_owned(), token));
        }
        if service == "s3" {
            headers.push(("x-amz-content-sha256".to_owned(), wire::sign::payload_hash(body)));
        }
        let request = Signable { method, path: url.path(), query: url.query(), headers: &headers, payload: body };
        let now_s = now_ms() / 1000;
        let signature = sign(&request, &keys.access_key_id, &keys.secret, region, service, now_s);
        headers.extend(signature);
        Ok(headers)
    }

    /// The same for a request to a URL of a rule's own. The role is not taken on: the keys are the operator's.
    pub(super) fn sign_for(
        &self,
        scope: &Scope,
        to: &SigningScope,
        method: &str,
        url: &Url,
        headers: Vec<(String, String)>,
        body: &Bytes,
    ) -> Result<Vec<(String, String)>, Failure> {
        self.sign(scope, (&to.region, &to.service), method, url, headers, body)
    }
}

/// Names of errors that say: not now. Each is part of what some services call it.
const PASSING: [&str; 6] =
    ["Throttl", "ThroughputExceeded", "TooManyRequests", "RequestLimitExceeded", "SlowDown", "ServiceUnavailable"];

impl Said {
    /// What was asked for, or why it is not there.
    pub(super) fn value(self, request: &AwsRequest) -> Result<Bytes, Failure> {
        self.outcome(request)?;
        match self.function_error {
            None => Ok(self.body),
            Some(how) => {
                let said = String::from_utf8_lossy(&self.body);
                Err(Failure::new(Cause::Refused, format!("The function failed ({how}): {said}")))
            }
        }
    }

    /// Reads the name of the error from the header, or from the body: JSON of either protocol, or XML.
    fn of<'h>(status: u16, header: impl Fn(&str) -> Option<&'h str>, body: Bytes) -> Self {
        if (200..300).contains(&status) {
            let function_error = header("x-amz-function-error").map(str::to_owned);
            return Self { status, error: None, function_error, body };
        }
        let json: Option<Value> = serde_json::from_slice(&body).ok();
        let of_json =
            json.as_ref().and_then(|json| ["__type", "code", "Code"].iter().find_map(|key| json[*key].as_str()));
        let of_xml = || std::str::from_utf8(&body).ok().and_then(|xml| element(xml, "Code"));
        // `prefix#Name:more` is how some services write it.
        let bare = |name: &str| {
            let name = name.rsplit_once('#').map_or(name, |(_, name)| name);
            name.split(':').next().unwrap_or(name).to_owned()
        };
        let error = header("x-amzn-errortype").or(of_json).or_else(of_xml).map(bare);
        Self { status, error, function_error: None, body }
    }

    /// Whether it is what was asked for.
    pub(super) fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn is_missing(&self) -> bool {
        self.error.as_deref() == Some("ResourceNotFoundException")
    }

    /// Whether the same request may fare better a little later.
    fn is_passing(&self) -> bool {
        let named = self.error.as_deref().is_some_and(|error| PASSING.iter().any(|part| error.contains(part)));
        self.status == 429 || (500..600).contains(&self.status) && self.status != 501 || named
    }

    fn outcome(&self, request: &AwsRequest) -> Outcome {
        let name = request.service.name();
        if self.is_good() {
            return match request.refused.and_then(|member| self.refused(member)) {
                Some(refused) => Err(Failure::new(Cause::Refused, format!("{name} took only a part: {refused}."))),
                None => Ok(()),
            };
        }
        let error = self.error.as_deref().unwrap_or("an error without a name");
        let message = self.message();
        let text = format!("{name} answered {} {error}: {message}", self.status);
        Err(Failure::new(Cause::Status(self.status), text.trim_end_matches([':', ' ']).to_owned()))
    }

    /// What a good answer says was refused all the same: a count above zero, a list or an object with something in it.
    fn refused(&self, member: &str) -> Option<String> {
        let json: Value = serde_json::from_slice(&self.body).ok()?;
        let said = json.get(member)?;
        let is_something = match said {
            Value::Null => false,
            Value::Number(count) => count.as_f64() != Some(0.0),
            Value::Array(items) => !items.is_empty(),
            Value::Object(members) => !members.is_empty(),
            _ => true,
        };
        is_something.then(|| format!("{member} is {said}"))
    }

    fn message(&self) -> String {
        let json: Option<Value> = serde_json::from_slice(&self.body).ok();
        let of_json = json.as_ref().and_then(|json| ["message", "Message"].iter().find_map(|key| json[*key].as_str()));
        let of_xml = || std::str::from_utf8(&self.body).ok().and_then(|xml| element(xml, "Message"));
        of_json.or_else(of_xml).unwrap_or_default().to_owned()
    }
}

/// The text of the first element of this name.
fn element<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once("</").map(|(text, _)| text)
}

/// Whom a rule acts as: the role that it names, held to its policies. What names no role is permitted by whom it reaches.
fn acting(server: &Server, scope: &Scope, role: Option<&str>) -> Result<Identity, Failure> {
    let Some(role) = role else { return Ok(Identity::Key(String::new())) };
    server.house.role_for_rules(scope, role, now_ms()).map_err(|not| {
        if let NotForRules::Fault(fault) = &not {
            tracing::error!(%fault, "failed to look up the role of a rule");
        }
        Failure::new(Cause::Refused, not.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::super::client::stand_in::{self, StandIn};
    use super::*;

    async fn carry(answers: &'static [stand_in::Said], request: AwsRequest) -> (Outcome, Vec<stand_in::Seen>) {
        let sink = StandIn::saying(answers).await;
        let endpoints = [(request.service, format!("{}/{{region}}/", sink.url))].into_iter().collect();
        let aws = Aws::new(endpoints, Credentials::None);
        let client = Client::new().unwrap();
        let scope = Scope::new("123456789012", "eu-west-1");
        let outcome = aws.carry(&client, &mut Line::default(), &scope, &request).await;
        (outcome, sink.seen())
    }

    #[tokio::test]
    async fn a_request_goes_signed_to_the_endpoint_that_is_named() {
        let request = AwsRequest { path: "/b/a%20key".into(), query: "x=1".into(), body: "{}".into(), ..request(None) };
        let request = AwsRequest { service: Service::S3, method: "PUT", ..request };
        let (outcome, seen) = carry(&[(200, "")], request).await;
        outcome.unwrap();
        let seen = &seen[0];
        assert_eq!((seen.method.as_str(), seen.path.as_str(), seen.query.as_str()), ("PUT", "/r/b/a%20key", "x=1"));
        assert_eq!(seen.header("x-amz-content-sha256"), wire::sign::payload_hash(b"{}"));
        let signed = Signable {
            method: &seen.method,
            path: &seen.path,
            query: &seen.query,
            headers: &seen.headers,
            payload: &seen.body,
        };
        let credential = wire::sign::credential(&signed).unwrap().expect("signed");
        wire::sign::verify(&signed, &credential, "123456789012", now_ms() / 1000).unwrap();
        assert_eq!((credential.service.as_str(), credential.region.as_str()), ("s3", "r"));
        assert_eq!(credential.access_key_id, "123456789012");
    }

    #[tokio::test]
    async fn what_is_missing_is_created_once_and_the_request_made_again() {
        const MISSING: stand_in::Said = (400, r#"{"__type":"ResourceNotFoundException","message":"no stream"}"#);
        let create = AwsRequest { path: "/create".into(), ..request(None) };
        let put = AwsRequest { path: "/put".into(), create: Some(Box::new(create)), ..request(None) };
        let paths = |seen: &[stand_in::Seen]| seen.iter().map(|seen| seen.path.clone()).collect::<Vec<_>>();
        let (outcome, seen) = carry(&[MISSING, (200, ""), (200, "")], put.clone()).await;
        assert!(outcome.is_ok());
        assert_eq!(paths(&seen), ["/r/put", "/r/create", "/r/put"]);
        let (outcome, seen) = carry(&[MISSING, (200, ""), MISSING], put.clone()).await;
        assert_eq!(outcome.unwrap_err().message, "firehose answered 400 ResourceNotFoundException: no stream");
        assert_eq!(seen.len(), 3);
        let (outcome, seen) = carry(&[MISSING, MISSING], put).await;
        assert!(outcome.is_err() && paths(&seen) == ["/r/put", "/r/create"]);
    }

    #[tokio::test]
    async fn what_passes_is_tried_again_and_what_stays_is_not() {
        const THROTTLED: stand_in::Said = (400, r#"{"__type":"ThrottlingException"}"#);
        let (outcome, seen) = carry(&[(500, ""), THROTTLED, (200, "{}")], request(None)).await;
        assert!(outcome.is_ok() && seen.len() == 3);
        let (outcome, seen) = carry(&[(400, r#"{"__type":"ValidationException"}"#)], request(None)).await;
        assert!(outcome.unwrap_err().cause == Cause::Status(400) && seen.len() == 1);
        let (outcome, seen) = carry(&[(503, "")], request(None)).await;
        assert!(outcome.unwrap_err().cause == Cause::Status(503) && seen.len() == 3);
    }

    #[tokio::test]
    async fn who_lives_nowhere_is_unreachable() {
        let aws = Aws::new(BTreeMap::new(), Credentials::None);
        let scope = Scope::new("1", "r");
        let client = Client::new().unwrap();
        let failure = aws.ask(&client, &mut Line::default(), &scope, &request(None)).await.unwrap_err();
        assert_eq!(failure.cause, Cause::Unreachable);
    }

    fn said(status: u16, header: Option<&str>, body: &'static str) -> Said {
        Said::of(status, |_| header, Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn an_error_is_known_by_its_name_however_it_is_written() {
        for (header, body) in [
            (Some("ResourceNotFoundException:http://x"), "{}"),
            (None, r#"{"__type":"com.amazonaws.x#ResourceNotFoundException","message":"no"}"#),
            (None, r#"{"code":"ResourceNotFoundException"}"#),
            (None, "<ErrorResponse><Error><Code>ResourceNotFoundException</Code></Error></ErrorResponse>"),
        ] {
            assert!(said(400, header, body).is_missing(), "{header:?} {body}");
        }
        assert!(!said(500, None, "out of order").is_missing());
    }

    #[test]
    fn what_passes_is_told_from_what_stays() {
        assert!(said(503, None, "").is_passing() && said(429, None, "").is_passing());
        assert!(said(400, Some("ProvisionedThroughputExceededException"), "").is_passing());
        assert!(!said(501, Some("NotImplementedException"), "").is_passing());
        assert!(!said(400, Some("ValidationException"), "").is_passing());
    }

    fn request(refused: Option<&'static str>) -> AwsRequest {
        AwsRequest {
            service: Service::Firehose,
            region: "r".to_owned(),
            method: "POST",
            path: "/".to_owned(),
            query: String::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            role: None,
            create: None,
            refused,
        }
    }

    #[test]
    fn a_failure_says_who_answered_what() {
        let body = r#"{"__type":"x#ResourceNotFoundException","message":"no table"}"#;
        let failure = said(400, None, body).outcome(&request(None)).unwrap_err();
        assert_eq!(failure.message, "firehose answered 400 ResourceNotFoundException: no table");
        assert_eq!(failure.cause, Cause::Status(400));
        let failure = said(500, None, "<x/>").outcome(&request(None)).unwrap_err();
        assert_eq!(failure.message, "firehose answered 500 an error without a name");
    }

    #[test]
    fn a_function_that_failed_gives_no_value() {
        let value = |header: Option<&'static str>| {
            let said = Said::of(200, |name| header.filter(|_| name == "x-amz-function-error"), "{}".into());
            said.value(&request(None)).map_err(|failure| failure.message)
        };
        assert_eq!(value(None).as_deref(), Ok(&b"{}"[..]));
        assert_eq!(value(Some("Unhandled")), Err("The function failed (Unhandled): {}".to_owned()));
    }

    #[test]
    fn a_good_answer_may_refuse_a_part() {
        let request = request(Some("FailedPutCount"));
        assert!(said(200, None, r#"{"FailedPutCount":0}"#).outcome(&request).is_ok());
        assert!(said(200, None, "").outcome(&request).is_ok());
        let failure = said(200, None, r#"{"FailedPutCount":2}"#).outcome(&request).unwrap_err();
        assert_eq!(failure.message, "firehose took only a part: FailedPutCount is 2.");
    }
}
