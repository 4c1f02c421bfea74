//! A small client of the public HTTP API, for the commands: one request, one connection, signed as every AWS
//! client signs, with the operator's key, or in development with the one that `ombra env` gives to all. It knows no operation.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use wire::s3::Element;
use wire::sign::{Signable, sign};

use crate::data_dir::Endpoints;
use crate::operator::Operator;

/// An answer that takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(30);
/// No answer of the API is longer; neither is a line of the event stream.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// The access key id of `ombra env`, and its secret: in development any key names the default account.
pub(super) const ACCESS_KEY: &str = "ombra";

/// A running ombra's HTTP API.
#[derive(Clone, Debug)]
pub(super) struct Api {
    address: SocketAddr,
    region: String,
    service: &'static str,
    operator: Option<Operator>,
    account: String,
}

/// Why a request brought nothing.
#[derive(Debug)]
pub(super) enum ApiError {
    /// Nobody answers there.
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// What the operating system says.
        error: std::io::Error,
    },
    /// The API refused, with AWS's name of the error.
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// For example `ResourceNotFoundException`.
        kind: String,
        /// For a person.
        message: String,
    },
    /// What came back was not an answer.
    Broken(String),
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { address, error } => {
                write!(f, "failed to reach ombra at {address}: {error}; start it with `ombra`")
            }
            Self::Refused { status, kind, message } if message.is_empty() => write!(f, "{kind} ({status})"),
            Self::Refused { kind, message, .. } => write!(f, "{kind}: {message}"),
            Self::Broken(what) => write!(f, "failed to understand the answer: {what}"),
        }
    }
}

impl std::error::Error for ApiError {}

/// The lines of an answer that does not end.
pub(super) struct Lines {
    body: Incoming,
    rest: BytesMut,
}

impl Api {
    /// The control plane of a running ombra.
    pub(super) fn control(endpoints: &Endpoints) -> Self {
        let Endpoints { http, region, operator, account, .. } = endpoints.clone();
        Self { address: http, region, service: "iot", operator, account }
    }

    /// The users and keys of an account.
    pub(super) fn iam(endpoints: &Endpoints, account: &str) -> Self {
        Self { service: "iam", account: account.to_owned(), ..Self::control(endpoints) }
    }

    /// Its temporary keys.
    pub(super) fn sts(endpoints: &Endpoints, account: &str) -> Self {
        Self { service: "sts", ..Self::iam(endpoints, account) }
    }

    /// Its data plane: shadows and messages.
    pub(super) fn data(endpoints: &Endpoints) -> Self {
        Self { service: "iotdata", ..Self::control(endpoints) }
    }

    /// Sends a request and reads the whole answer; an empty answer is `null`.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let asking = async {
            let response = self.send(method, path, headers, body).await?;
            let status = response.status();
            let kind = response.headers().get("x-amzn-errortype").and_then(|kind| kind.to_str().ok());
            let kind = kind.map(|kind| kind.split(':').next().unwrap_or(kind).to_owned());
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|error| ApiError::Broken(error.to_string()))?.to_bytes();
            answer(status, kind, &body)
        };
        timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(ApiError::Broken("it took more than 30 s".to_owned())))
    }

    /// Sends a form and reads the XML that comes back.
    pub(super) async fn form(&self, form: String) -> Result<Element, ApiError> {
        let asking = async {
            let headers = [("content-type", "application/x-www-form-urlencoded")];
            let response = self.send_bytes(Method::POST, "/", &headers, Some(form.into())).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|error| ApiError::Broken(error.to_string()))?.to_bytes();
            let read = Element::read(&body).map_err(|refusal| ApiError::Broken(refusal.message().to_owned()))?;
            if status.is_success() {
                return Ok(read);
            }
            let error = read.first("Error").unwrap_or(&read);
            let said = |name| error.text_of(name).unwrap_or_default().to_owned();
            Err(ApiError::Refused { status, kind: said("Code"), message: said("Message") })
        };
        timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(ApiError::Broken("it took more than 30 s".to_owned())))
    }

    /// Asks for an answer that goes on, line by line.
    pub(super) async fn follow(&self, path: &str) -> Result<Lines, ApiError> {
        let response = self.send(Method::GET, path, &[], None).await?;
        let status = response.status();
        if !status.is_success() {
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|error| ApiError::Broken(error.to_string()))?.to_bytes();
            return Err(answer(status, None, &body).err().unwrap_or_else(|| ApiError::Broken(status.to_string())));
        }
        Ok(Lines { body: response.into_body(), rest: BytesMut::new() })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Response<Incoming>, ApiError> {
        let json = [("content-type", "application/json")];
        let headers: Vec<(&str, &str)> =
            headers.iter().copied().chain(json.into_iter().filter(|_| body.is_some())).collect();
        self.send_bytes(method, path, &headers, body.map(|body| Bytes::from(body.to_string()))).await
    }

    async fn send_bytes(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Bytes>,
    ) -> Result<Response<Incoming>, ApiError> {
        let unreachable = |error| ApiError::Unreachable { address: self.address, error };
        let broken = |error: &dyn fmt::Display| ApiError::Broken(error.to_string());
        let tcp = TcpStream::connect(self.address).await.map_err(unreachable)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.map_err(|error| broken(&error))?;
        // Errors of the connection reach the caller through the response.
        tokio::spawn(connection);
        let headers = self.signed(&method, path, headers, body.as_deref());
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body.unwrap_or_default())).map_err(|error| broken(&error))?;
        sender.send_request(request).await.map_err(|error| broken(&error))
    }

    /// All headers of a request, the signature among them.
    fn signed(
        &self,
        method: &Method,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Vec<(String, String)> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut headers: Vec<(String, String)> = headers.iter().map(own).collect();
        headers.push(("host".to_owned(), self.address.to_string()));
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let payload = body.unwrap_or_default();
        let request = Signable { method: method.as_str(), path, query, headers: &headers, payload };
        let now_s = Timestamp::now().as_second();
        let (key, secret) = match &self.operator {
            Some(operator) => (operator.id(&self.account), operator.secret(&self.account)),
            None => (ACCESS_KEY.to_owned(), ACCESS_KEY.to_owned()),
        };
        let signature = sign(&request, &key, &secret, &self.region, self.service, now_s);
        headers.extend(signature);
        headers
    }
}

impl Lines {
    /// The next line, or nothing at the end.
    pub(super) async fn next(&mut self) -> Result<Option<String>, ApiError> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line = self.rest.split_to(end + 1);
                let line = std::str::from_utf8(&line).map_err(|_| ApiError::Broken("not UTF-8".to_owned()))?;
                return Ok(Some(line.trim_end().to_owned()));
            }
            if self.rest.len() > MAX_ANSWER {
                return Err(ApiError::Broken("a line without end".to_owned()));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.rest.extend_from_slice(&frame.into_data().unwrap_or_default()),
                // A server that stops cuts the stream; for who follows it that is its end.
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }
}

fn answer(status: StatusCode, kind: Option<String>, body: &[u8]) -> Result<Value, ApiError> {
    let value: Option<Value> = if body.is_empty() { Some(Value::Null) } else { serde_json::from_slice(body).ok() };
    if status.is_success() {
        return value.ok_or_else(|| ApiError::Broken("a body that is not JSON".to_owned()));
    }
    let value = value.unwrap_or_default();
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let kind = kind.or_else(|| text("__type")).unwrap_or_else(|| status.to_string());
    let message = text("message").or_else(|| text("Message")).unwrap_or_default();
    Err(ApiError::Refused { status, kind, message })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn api_at(address: SocketAddr) -> Api {
        Api {
            address,
            region: "us-east-1".to_owned(),
            service: "iot",
            operator: None,
            account: "000000000000".to_owned(),
        }
    }

    /// A server that answers the first request with these bytes and returns what it was asked.
    async fn served(answer: &'static str) -> (Api, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = api_at(listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4096];
            let length = tcp.read(&mut asked).await.unwrap();
            tcp.write_all(answer.as_bytes()).await.unwrap();
            asked.truncate(length);
            String::from_utf8(asked).unwrap()
        });
        (api, task)
    }

    #[tokio::test]
    async fn a_request_carries_headers_and_json_and_brings_json_back() {
        let (api, asked) = served("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"a\": 1}\n").await;
        let body = serde_json::json!({"x": [1]});
        let value = api.call(Method::PUT, "/things/a?b=c", &[("x-amzn-principal", "p")], Some(&body)).await.unwrap();
        assert_eq!(value, serde_json::json!({"a": 1}));
        let asked = asked.await.unwrap();
        assert!(
            asked.starts_with("PUT /things/a?b=c HTTP/1.1\r\n") && asked.ends_with("\r\n\r\n{\"x\":[1]}"),
            "{asked}"
        );
        assert!(asked.contains("x-amzn-principal: p\r\n"), "{asked}");
        let credential = "authorization: AWS4-HMAC-SHA256 Credential=ombra/";
        assert!(asked.contains(credential) && asked.contains("/us-east-1/iot/aws4_request, SignedHeaders="), "{asked}");
    }

    #[tokio::test]
    async fn a_refusal_has_its_name_and_words() {
        let (api, _) = served(
            "HTTP/1.1 404 Not Found\r\nx-amzn-errortype: ResourceNotFoundException:http://x\r\ncontent-length: 21\r\n\r\n{\"message\":\"no lamp\"}",
        )
        .await;
        let error = api.call(Method::GET, "/", &[], None).await.unwrap_err();
        assert_eq!(error.to_string(), "ResourceNotFoundException: no lamp");
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable() {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let error = api_at(address).call(Method::GET, "/", &[], None).await.unwrap_err();
        assert!(matches!(error, ApiError::Unreachable { .. }), "{error}");
    }

    #[tokio::test]
    async fn lines_are_followed_to_the_end() {
        let (api, _) =
            served("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{\"a\r\n6\r\n\"}\n{}\n\r\n0\r\n\r\n")
                .await;
        let mut lines = api.follow("/_ombra/events?follow=true").await.unwrap();
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            seen.push(line);
        }
        assert_eq!(seen, ["{\"a\"}", "{}"]);
    }
}
