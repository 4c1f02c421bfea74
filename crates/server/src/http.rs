//! The HTTP door: a request, bounded, becomes an operation for the house; its answer becomes a response. Beside the
//! API stand the pages of the server itself: is it alive, is it ready, what is counted, what has happened.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cloud::neighbours::sts;
use cloud::{Caller, House, Identity, Plan, Scope, Wait};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{broadcast, mpsc, oneshot};
use wire::sign::{self, Credential, Rejected, Signable};
use wire::{Operation, Output, Refusal};

use crate::server::Server;
use crate::settings::ACCOUNT;
use crate::websocket::{self, Granted};

/// How long the head of a request may take, and how long its body.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of the head of a request.
const HEAD: usize = 64 * 1024;

/// How a connection came in.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The peer's address without the port.
    pub(crate) ip: String,
    /// The same with the port, for people.
    pub(crate) address: String,
    /// Our end of it.
    pub(crate) local: String,
    /// The host name the client asked for over TLS.
    pub(crate) server_name: Option<String>,
    /// The id of the certificate of the device at the other end.
    pub(crate) device: Option<String>,
    /// Whether the server's own pages are shown here: on the API's own listener only.
    pub(crate) pages: bool,
}

/// Serves one connection until it ends.
pub(crate) async fn serve<S>(server: Arc<Server>, stream: S, entry: Entry)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let entry = Arc::new(entry);
    let granted = Arc::new(Granted::default());
    let mut stopping = server.stopping.clone();
    let service = service_fn(|request| answer(Arc::clone(&server), Arc::clone(&entry), Arc::clone(&granted), request));
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(HEAD);
    {
        let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        tokio::pin!(connection);
        let stops = tokio::select! {
            // A broken connection has nobody left to tell.
            _ = connection.as_mut() => false,
            _ = stopping.wait_for(|stops| *stops) => true,
        };
        if stops {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(PATIENCE, connection).await;
        }
    }
    websocket::serve::<S>(&server, &granted).await;
}

async fn answer(
    server: Arc<Server>,
    entry: Arc<Entry>,
    granted: Arc<Granted>,
    mut request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let publishes = request.uri().path().starts_with("/topics/");
    let mut response = if publishes && request.method() == Method::OPTIONS {
        preflight(&request)
    } else if request.uri().path() == websocket::PATH {
        open_websocket(&server, &entry, &mut request, &granted)
    } else if let Some(response) = page(&server, &entry, &request) {
        response
    } else {
        operation(&server, &entry, request).await
    };
    if publishes {
        set(&mut response, "access-control-allow-origin", "*");
    }
    server.metrics.answered(response.status().as_u16());
    Ok(response)
}

/// A browser asks whether a page from elsewhere may publish: it may try, since it must sign what it sends. The rest of the
/// API is not for pages from elsewhere.
fn preflight(request: &Request<Incoming>) -> Response<Answer> {
    let mut response = whole(StatusCode::OK, "text/plain; charset=utf-8", Bytes::new());
    set(&mut response, "access-control-allow-methods", "POST");
    let asked = request.headers().get("access-control-request-headers").and_then(|names| names.to_str().ok());
    if let Some(names) = asked {
        set(&mut response, "access-control-allow-headers", names);
    }
    set(&mut response, "access-control-max-age", "600");
    response
}

/// The server's own pages.
fn page(server: &Server, entry: &Entry, request: &Request<Incoming>) -> Option<Response<Answer>> {
    if !entry.pages {
        return None;
    }
    let text = |body: String| Some(whole(StatusCode::OK, "text/plain; charset=utf-8", body.into()));
    match request.uri().path() {
        "/livez" | "/readyz" => text("ok\n".to_owned()),
        "/metrics" => text(server.metrics.page(server.house.connected())),
        "/_ombra/events" => Some(events(server, request.uri().query().unwrap_or_default())),
        _ => None,
    }
}

/// Recent events as lines of JSON, or with `follow=true` those to come.
fn events(server: &Server, query: &str) -> Response<Answer> {
    let asked = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let kind = asked("kind").map(str::to_owned);
    if asked("follow") != Some("true") {
        return whole(StatusCode::OK, "application/x-ndjson", server.events.recent(kind.as_deref()).into());
    }
    let (lines, body) = mpsc::channel(64);
    let mut happening = server.events.follow();
    let mut stopping = server.stopping.clone();
    tokio::spawn(async move {
        loop {
            let line = tokio::select! {
                line = happening.recv() => line,
                _ = stopping.wait_for(|stops| *stops) => return,
                () = lines.closed() => return,
            };
            let json = match line {
                Ok(line) if kind.as_deref().is_none_or(|kind| kind == line.kind) => line.json,
                Ok(_) => continue,
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    format!("{{\"kind\":\"missed\",\"events\":{missed}}}\n").into()
                }
                Err(broadcast::error::RecvError::Closed) => return,
            };
            if lines.send(json).await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(Answer::Lines(body));
    set(&mut response, "content-type", "application/x-ndjson");
    response
}

/// The answer after which the connection is no longer ours.
fn open_websocket(
    server: &Server,
    entry: &Entry,
    request: &mut Request<Incoming>,
    granted: &Granted,
) -> Response<Answer> {
    match websocket::open(server, entry, request, granted) {
        Ok(accept) => {
            let mut response = Response::new(Answer::Whole(None));
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            set(&mut response, "connection", "Upgrade");
            set(&mut response, "upgrade", "websocket");
            set(&mut response, "sec-websocket-accept", &accept);
            set(&mut response, "sec-websocket-protocol", websocket::SUBPROTOCOL);
            response
        }
        Err(refusal) => {
            let mut response = replied(wire::reply(None, Err(refusal), &server.request_id()));
            if response.status() == StatusCode::UPGRADE_REQUIRED {
                set(&mut response, "sec-websocket-version", "13");
            }
            response
        }
    }
}

/// An operation of the API.
async fn operation(server: &Server, entry: &Entry, request: Request<Incoming>) -> Response<Answer> {
    let request_id = server.request_id();
    let reply = match read(request).await {
        Ok(request) => match identify(server, entry, &request) {
            Ok((caller, service)) if service == "sts" => neighbour(&caller, &request, &request_id),
            Ok((caller, service)) => {
                let (operation, answer) = perform(server, &caller, &service, &request).await;
                wire::reply(operation, answer, &request_id)
            }
            Err(refusal) => wire::reply(None, Err(refusal), &request_id),
        },
        Err(refusal) => wire::reply(None, Err(refusal), &request_id),
    };
    replied(reply)
}

fn replied(reply: wire::Reply) -> Response<Answer> {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Answer::Whole(Some(reply.body)));
    *response.status_mut() = status;
    for (name, value) in &reply.headers {
        set(&mut response, name, value);
    }
    response
}

/// A request in memory.
struct Read {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// The headers in the order they came, names in lower case.
pub(crate) fn text_headers(headers: &HeaderMap) -> Result<Vec<(String, String)>, Refusal> {
    let headers = headers.iter().map(|(name, value)| {
        let value = std::str::from_utf8(value.as_bytes());
        value.map(|value| (name.as_str().to_owned(), value.to_owned()))
    });
    headers.collect::<Result<_, _>>().map_err(|_| Refusal::invalid_request("A header is not UTF-8."))
}

async fn read(request: Request<Incoming>) -> Result<Read, Refusal> {
    let (head, body) = request.into_parts();
    let headers = text_headers(&head.headers)?;
    let too_large = || Refusal::payload_too_large("The payload exceeds the maximum size allowed");
    // What announces itself as too large is not waited for.
    if body.size_hint().lower() > wire::MAX_BODY_BYTES as u64 {
        return Err(too_large());
    }
    let body = tokio::time::timeout(PATIENCE, Limited::new(body, wire::MAX_BODY_BYTES).collect()).await;
    let body = match body {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => return Err(too_large()),
        Ok(Err(_)) => return Err(Refusal::invalid_request("The body ended early.")),
        Err(_) => return Err(Refusal::invalid_request("The body took too long.").with_status(408)),
    };
    Ok(Read {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers,
        body,
    })
}

type Performed = (Option<&'static Operation>, Result<Output, Refusal>);

/// Services a credential may name (older clients sign for the control plane as `execute-api`); the rest of AWS is not here
/// and says so.
const SERVICES: [&str; 7] =
    ["iot", "execute-api", "iotdata", "iotdevicegateway", "iot-jobs-data", "iotjobsdata", "data-ats.iot"];

async fn perform(server: &Server, caller: &Caller, service: &str, request: &Read) -> Performed {
    if !SERVICES.contains(&service) {
        let message = format!("The service {service} is not implemented yet; docs/operations.md lists what is.");
        return (None, Err(Refusal::new("NotImplementedException", message)));
    }
    let found = match wire::route(&wire::services_for(Some(service)), &request.method, &request.path) {
        Ok(found) => found,
        Err(refusal) => return (None, Err(refusal)),
    };
    let operation = found.operation;
    if let Err(refusal) = House::knows(operation) {
        return (Some(operation), Err(refusal));
    }
    let arrived = wire::Arrived { query: &request.query, headers: &request.headers, body: &request.body };
    let answer = match wire::bind(found, &arrived) {
        Ok(input) => match server.house.plan(caller, operation, input, server.now(), server.entropy()) {
            Plan::Done(answer) => answer,
            Plan::Desk(job) => at_desk(server, job).await,
            Plan::Wait(wait) => confirmed(server, wait).await,
        },
        Err(refusal) => Err(refusal),
    };
    (Some(operation), answer)
}

/// An action of a service beside AWS IoT.
fn neighbour(caller: &Caller, request: &Read, request_id: &str) -> wire::Reply {
    let action = wire::query::parameter(&request.body, "Action").unwrap_or_default();
    // The action becomes the name of an element of the answer.
    let action = if action.bytes().all(|byte| byte.is_ascii_alphanumeric()) { action } else { String::new() };
    wire::query::reply(&action, sts::NAMESPACE, sts::answer(caller, &action), request_id)
}

async fn at_desk(server: &Server, job: cloud::Job) -> Result<Output, Refusal> {
    let (tell, told) = oneshot::channel();
    // Whoever asked may be gone by then; what was done stays done.
    let job = job.then(move |answer| drop(tell.send(answer)));
    server.desk.bring(job).await;
    told.await.unwrap_or_else(|_| Err(Refusal::internal_failure("The write was not carried out.")))
}

/// Sends what a client is to confirm, and waits for that.
async fn confirmed(server: &Server, wait: Wait) -> Result<Output, Refusal> {
    let (tell, told) = oneshot::channel();
    let tell = Mutex::new(Some(tell));
    let patience = wait.patience();
    let confirmed = move || {
        if let Some(tell) = tell.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Whoever asked may be gone by then.
            let _ = tell.send(());
        }
    };
    let (job, answer) = wait.start(&server.house, Arc::new(confirmed));
    server.desk.bring_all(job.into_iter().collect()).await;
    match tokio::time::timeout(patience, told).await {
        Ok(Ok(())) => Ok(answer),
        Ok(Err(_)) | Err(_) => Err(Wait::late()),
    }
}

/// Who calls, and the service its signature names: a device by its certificate, everybody else by an access key.
/// In development any key is taken, so the signature itself is not verified; a region and an account come from it.
fn identify(server: &Server, entry: &Entry, request: &Read) -> Result<(Caller, String), Refusal> {
    let Read { method, path, query, headers, body } = request;
    let signed = Signable { method, path, query, headers, payload: body };
    let credential = sign::credential(&signed).map_err(|rejected| refusal(&rejected))?;
    if let Some(credential) = credential {
        let scope = scope_of(&credential);
        return Ok((Caller { scope, identity: Identity::Key(credential.access_key_id) }, credential.service));
    }
    let Some(certificate_id) = entry.device.clone() else {
        return Err(refusal(&Rejected::missing()));
    };
    let scope = server.scope_of(&certificate_id, &entry.ip)?;
    let identity = Identity::Device { certificate_id, source_ip: entry.ip.clone() };
    Ok((Caller { scope, identity }, "iotdata".to_owned()))
}

/// The scope of an access key: one of twelve digits is an account of its own.
pub(crate) fn scope_of(credential: &Credential) -> Scope {
    let key = credential.access_key_id.as_str();
    let is_account = key.len() == 12 && key.bytes().all(|byte| byte.is_ascii_digit());
    Scope::new(if is_account { key } else { ACCOUNT }, &credential.region)
}

/// The answer to a claim that is not taken.
pub(crate) fn refusal(rejected: &Rejected) -> Refusal {
    Refusal::new(rejected.error, rejected.message.clone()).with_status(Rejected::STATUS)
}

fn whole(status: StatusCode, content_type: &str, body: Bytes) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Some(body)));
    *response.status_mut() = status;
    set(&mut response, "content-type", content_type);
    response
}

fn set(response: &mut Response<Answer>, name: &str, value: &str) {
    let name = hyper::header::HeaderName::try_from(name);
    if let (Ok(name), Ok(value)) = (name, hyper::header::HeaderValue::try_from(value)) {
        response.headers_mut().insert(name, value);
    }
}

/// A body that is there already, or one that comes line by line.
enum Answer {
    Whole(Option<Bytes>),
    Lines(mpsc::Receiver<Bytes>),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Lines(lines) => lines.poll_recv(cx).map(|line| line.map(|line| Ok(Frame::data(line)))),
        }
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Self::Whole(bytes) => hyper::body::SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Lines(_) => hyper::body::SizeHint::default(),
        }
    }
}
