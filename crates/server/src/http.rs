//! The HTTP door: a request, bounded, goes to the API; its answer becomes a response. What is asked for is the API's affair. Beside
//! it stand the pages of the server itself: is it alive, is it ready, what is counted, what has happened.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cloud::{Domain, Identity, Refused, Scope};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{broadcast, mpsc};
use wire::Refusal;
use wire::sign::Signable;

use crate::api;
use crate::domains;
use crate::identify;
use crate::objects;
use crate::server::Server;
use crate::settings::{ACCOUNT, REGION};
use crate::trial::page;
use crate::websocket::{self, Granted};
use crate::why;

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
    /// What holds for that name, if it is one of a domain configuration.
    pub(crate) domain: Option<Arc<Domain>>,
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
            ended = connection.as_mut() => {
                // A broken connection has nobody left to tell; one that speaks something else than HTTP is told of.
                if let Err(error) = ended.as_ref() && error.is_parse() {
                    tell_unreadable(&server, &entry, error);
                }
                false
            }
            _ = stopping.wait_for(|stops| *stops) => true,
        };
        if stops {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(PATIENCE, connection).await;
        }
    }
    websocket::serve::<S>(&server, &granted).await;
}

/// Tells of a head that is none, or is too long: the connection has been answered 400 or 431, and closed.
fn tell_unreadable(server: &Server, entry: &Entry, error: &hyper::Error) {
    server.refused(Refused {
        action: "HTTP".to_owned(),
        decision: "UNREADABLE".to_owned(),
        reason: error.to_string(),
        peer: entry.address.clone(),
        ..Refused::default()
    });
}

/// What of a head could mean one thing to us and another to whoever stands before us: that is how requests are smuggled. A body
/// without a length is one of them, since the length that may stand beside it is gone by now; only objects come so, and only
/// where keys are verified is it missed by nobody (unconfirmed: AWS's front ends may take it).
fn is_ambiguous(server: &Server, request: &Request<Incoming>) -> Option<&'static str> {
    let headers = request.headers();
    if headers.get_all(header::HOST).iter().nth(1).is_some() {
        return Some("The request has more than one Host header.");
    }
    let is_chunked = headers.contains_key(header::TRANSFER_ENCODING);
    (server.verifies && is_chunked).then_some("The request needs a Content-Length, and no Transfer-Encoding.")
}

fn ambiguous(server: &Server, entry: &Entry, request: &Request<Incoming>, why: &str) -> Response<Answer> {
    let path: String = request.uri().path().chars().take(200).collect();
    server.refused(Refused {
        action: "HTTP".to_owned(),
        resource: format!("{} {path}", request.method()),
        decision: "AMBIGUOUS".to_owned(),
        reason: why.to_owned(),
        peer: entry.address.clone(),
        ..Refused::default()
    });
    let mut response = replied(wire::reply(None, Err(Refusal::invalid_request(why)), &server.request_id()));
    set(&mut response, "connection", "close");
    response
}

async fn answer(
    server: Arc<Server>,
    entry: Arc<Entry>,
    granted: Arc<Granted>,
    mut request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let publishes = request.uri().path().starts_with("/topics/");
    let has_body = !request.body().is_end_stream();
    let mut response = if let Some(why) = is_ambiguous(&server, &request) {
        ambiguous(&server, &entry, &request, why)
    } else if let Err(refusal) = admit(&server, &entry, &request) {
        closing(replied(wire::reply(None, Err(refusal), &server.request_id())), has_body)
    } else if publishes && request.method() == Method::OPTIONS {
        preflight(&request)
    } else if request.uri().path() == websocket::PATH {
        open_websocket(&server, &entry, &mut request, &granted)
    } else if let Some(alias) = role_alias(&request) {
        device_credentials(&server, &entry, &request, &alias)
    } else if let Some(response) = own_page(&server, &entry, &request) {
        response
    } else if entry.pages && request.uri().path() == "/_ombra/rules/test" && request.method() == Method::POST {
        trial(&server, &entry, request).await
    } else if entry.pages && request.uri().path() == why::PATH {
        explanation(&server, &entry, request).await
    } else {
        operation(&server, &entry, request).await
    };
    if publishes {
        set(&mut response, "access-control-allow-origin", "*");
    }
    server.metrics.answered(response.status().as_u16());
    Ok(response)
}

/// Whether the domain configuration of the name that was asked for lets this request in; told if it does not.
fn admit(server: &Server, entry: &Entry, request: &Request<Incoming>) -> Result<(), Refusal> {
    let Some(domain) = &entry.domain else { return Ok(()) };
    let headers = text_headers(request.headers())?;
    let (method, uri) = (request.method().as_str(), request.uri());
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let signable = Signable { method, path, query, headers: &headers, payload: &[] };
    domains::admit_request(domain, &signable, path == websocket::PATH).inspect_err(|refusal| {
        server.refused(Refused {
            principal: entry.device.clone().unwrap_or_default(),
            action: "HTTPS".to_owned(),
            decision: "NOT_OF_DOMAIN".to_owned(),
            reason: refusal.message().to_owned(),
            peer: entry.address.clone(),
            ..Refused::default()
        });
    })
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
fn own_page(server: &Server, entry: &Entry, request: &Request<Incoming>) -> Option<Response<Answer>> {
    if !entry.pages {
        return None;
    }
    let text = |body: String| Some(whole(StatusCode::OK, "text/plain; charset=utf-8", body.into()));
    match request.uri().path() {
        "/livez" | "/readyz" => text("ok\n".to_owned()),
        path if path.starts_with(CODE) => Some(code(server, &path[CODE.len()..])),
        "/metrics" | "/_ombra/events" => Some(operators_page(server, entry, request)),
        _ => None,
    }
}

/// The pages that tell of everybody.
fn operators_page(server: &Server, entry: &Entry, request: &Request<Incoming>) -> Response<Answer> {
    let is_metrics = request.uri().path() == "/metrics";
    // What collects figures on this machine cannot sign.
    let is_near = is_metrics && entry.ip.parse().is_ok_and(|ip: std::net::IpAddr| ip.to_canonical().is_loopback());
    let signed = api::Request::of_head(request.method(), request.uri(), request.headers());
    if !is_near && let Err(refusal) = signed.and_then(|signed| operator(server, entry, &signed)) {
        return replied(wire::reply(None, Err(refusal), &server.request_id()));
    }
    if is_metrics {
        let page = server.metrics.page(server.house.connected(), &server.house.totals());
        return whole(StatusCode::OK, "text/plain; charset=utf-8", page.into());
    }
    events(server, request.uri().query().unwrap_or_default())
}

/// Where keys are verified, only the operator may: by the key of this server's data directory, or one of the root of the account
/// that it stands for. In development anybody is.
fn operator(server: &Server, entry: &Entry, request: &api::Request) -> Result<(), Refusal> {
    if !server.verifies {
        return Ok(());
    }
    let caller = identify::caller(server, entry, request)?;
    if matches!(caller.identity, Identity::Key(_)) && &*caller.scope.account == ACCOUNT {
        return Ok(());
    }
    Err(Refusal::forbidden("This page is for the operator: sign with a key of the account's root."))
}

/// Where the packages of functions can be had, by names that GetFunction tells.
const CODE: &str = "/_ombra/functions/";

/// A function's package: its account, its region, its name, and the letters of its SHA-256 as hexadecimal digits.
fn code(server: &Server, path: &str) -> Response<Answer> {
    let found = match path.split('/').collect::<Vec<_>>().as_slice() {
        [account, region, name, letters] => {
            let letters = letters.as_bytes().chunks(2).map(|pair| {
                let pair = std::str::from_utf8(pair).ok()?;
                u8::from_str_radix(pair, 16).ok().map(char::from)
            });
            letters.collect::<Option<String>>().map(|sha256| (Scope::new(account, region), (*name).to_owned(), sha256))
        }
        _ => None,
    };
    match found.map(|(scope, name, sha256)| server.house.package(&scope, &name, &sha256)) {
        Some(Ok(Some(package))) => whole(StatusCode::OK, "application/zip", package.into()),
        Some(Err(fault)) => {
            tracing::error!(%fault, "failed to read a function's package");
            whole(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", Bytes::new())
        }
        _ => whole(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "no such package\n".into()),
    }
}

/// A statement that is tried.
async fn trial(server: &Server, entry: &Entry, request: Request<Incoming>) -> Response<Answer> {
    let (head, body) = request.into_parts();
    match of_page(server, entry, &head, body, page::MAX_BODY).await {
        Ok((scope, body)) => told(page::answer(server, scope, &head.headers, &body).await),
        Err(refusal) => replied(wire::reply(None, Err(refusal), &server.request_id())),
    }
}

/// A refusal that is explained.
async fn explanation(server: &Server, entry: &Entry, request: Request<Incoming>) -> Response<Answer> {
    let (head, body) = request.into_parts();
    let query = head.uri.query().unwrap_or_default();
    match of_page(server, entry, &head, body, why::MAX_BODY).await {
        Ok((scope, body)) => told(why::answer(server, &scope, &head.method, query, &head.headers, &body)),
        Err(refusal) => replied(wire::reply(None, Err(refusal), &server.request_id())),
    }
}

/// Whose scope a page of the server's own is asked for, and the body: that of whoever signed the request, or else in development
/// the scope of `ombra env`. Where keys are verified, the root of an account alone sees what befalls others in it.
async fn of_page(
    server: &Server,
    entry: &Entry,
    head: &Parts,
    body: Incoming,
    max_body: usize,
) -> Result<(Scope, Bytes), Refusal> {
    let mut signed = api::Request::of_head(&head.method, &head.uri, &head.headers)?;
    signed.body = read(body, max_body).await?;
    if !server.verifies && !head.headers.contains_key("authorization") {
        return Ok((Scope::new(ACCOUNT, REGION), signed.body));
    }
    let caller = identify::caller(server, entry, &signed)?;
    if server.verifies && !matches!(caller.identity, Identity::Key(_)) {
        return Err(Refusal::forbidden("This page is for the root of an account."));
    }
    Ok((caller.scope, signed.body))
}

/// A status and JSON.
fn told((status, told): (u16, serde_json::Value)) -> Response<Answer> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    whole(status, "application/json", told.to_string().into())
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

/// The alias whose role a device wants to take: of a path that no operation has.
fn role_alias(request: &Request<Incoming>) -> Option<String> {
    let alias = request.uri().path().strip_prefix("/role-aliases/")?.strip_suffix("/credentials")?;
    let alias = percent_decode_str(alias).decode_utf8().ok()?;
    (request.method() == Method::GET && !alias.contains('/')).then(|| alias.into_owned())
}

/// Temporary keys for a device that showed its certificate.
fn device_credentials(server: &Server, entry: &Entry, request: &Request<Incoming>, alias: &str) -> Response<Answer> {
    let given = api::Request::of_head(request.method(), request.uri(), request.headers()).and_then(|asked| {
        let things: Vec<&str> = asked.values("x-amzn-iot-thingname").collect();
        if things.len() > 1 {
            return Err(Refusal::invalid_request("There is more than one x-amzn-iot-thingname."));
        }
        let caller = identify::caller(server, entry, &asked)?;
        server.house.device_credentials(&caller, alias, things.first().copied(), (server.now(), server.entropy()))
    });
    match given {
        Ok(credentials) => whole(StatusCode::OK, "application/json", credentials.to_string().into()),
        Err(refusal) => replied(wire::reply(None, Err(refusal), &server.request_id())),
    }
}

/// An operation of the API.
async fn operation(server: &Server, entry: &Entry, request: Request<Incoming>) -> Response<Answer> {
    let (head, body) = request.into_parts();
    let has_body = !body.is_end_stream();
    let mut request = match api::Request::of_head(&head.method, &head.uri, &head.headers) {
        Ok(request) => request,
        Err(refusal) => {
            return closing(replied(wire::reply(None, Err(refusal), &server.request_id())), has_body);
        }
    };
    if objects::are_meant(&request) {
        return objects::answer(server, entry, &request, body).await;
    }
    let form = request.form();
    if let Err(refusal) = identify::check_claim(server, entry, &request) {
        return closing(replied(form.reply(None, Err(refusal), &server.request_id())), has_body);
    }
    match read(body, form.max_body()).await {
        Ok(body) => request.body = body,
        Err(refusal) => return closing(replied(form.reply(None, Err(refusal), &server.request_id())), true),
    }
    replied(match identify::caller(server, entry, &request) {
        Ok(caller) => api::answer(server, &caller, &request).await,
        Err(refusal) => form.reply(None, Err(refusal), &server.request_id()),
    })
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

/// Says that the connection ends with this answer where a body has not been read: whoever waits to be asked for it would send the
/// next request into a connection that is closing.
pub(crate) fn closing(mut response: Response<Answer>, is_unread: bool) -> Response<Answer> {
    if is_unread {
        set(&mut response, "connection", "close");
    }
    response
}

/// The headers in the order they came, names in lower case.
pub(crate) fn text_headers(headers: &HeaderMap) -> Result<Vec<(String, String)>, Refusal> {
    let headers = headers.iter().map(|(name, value)| {
        let value = std::str::from_utf8(value.as_bytes());
        value.map(|value| (name.as_str().to_owned(), value.to_owned()))
    });
    headers.collect::<Result<_, _>>().map_err(|_| Refusal::invalid_request("A header is not UTF-8."))
}

/// A body of so many bytes at most.
async fn read(body: Incoming, max_body: usize) -> Result<Bytes, Refusal> {
    let too_large = || Refusal::payload_too_large("The payload exceeds the maximum size allowed");
    // What announces itself as too large is not waited for.
    if body.size_hint().lower() > max_body as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(PATIENCE, Limited::new(body, max_body).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Refusal::invalid_request("The body ended early.")),
        Err(_) => Err(Refusal::invalid_request("The body took too long.").with_status(408)),
    }
}

fn whole(status: StatusCode, content_type: &str, body: Bytes) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Some(body)));
    *response.status_mut() = status;
    set(&mut response, "content-type", content_type);
    response
}

pub(crate) fn set(response: &mut Response<Answer>, name: &str, value: &str) {
    let name = header::HeaderName::try_from(name);
    if let (Ok(name), Ok(value)) = (name, header::HeaderValue::from_bytes(value.as_bytes())) {
        response.headers_mut().insert(name, value);
    }
}

/// A body that is there already, or one that comes piece by piece.
pub(crate) enum Answer {
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
