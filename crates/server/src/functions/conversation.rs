//! The Lambda Runtime API (2018-06-01), as one child speaks it: it asks for the next invocation, and says what came of it.
//! A conversation belongs to one child and holds one invocation at a time. Where the child comes from and how long it
//! may take is unknown here.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc, watch};

/// Bytes that a function may answer, as AWS counts them: six mebibytes and room for an envelope.
pub(super) const ANSWER: usize = 6 * 1024 * 1024 + 100;

/// Bytes that are kept of what a runtime says of its own failure.
const FAILURE: usize = 256 * 1024;

/// An invocation as the runtime gets it.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    pub(super) id: String,
    /// Milliseconds since the epoch.
    pub(super) deadline: i64,
    pub(super) arn: String,
    pub(super) trace: String,
    /// What the caller said of itself, as JSON.
    pub(super) client_context: Option<String>,
    pub(super) payload: Bytes,
}

/// What came of an invocation, in the function's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It answered.
    Answer(Bytes),
    /// It failed, and says how.
    Failure(Bytes),
}

/// How far a child is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has not asked for anything yet.
    Starting,
    /// It could not start, and says why.
    NotStarted(Bytes),
    /// It waits for an invocation.
    Asking,
    /// It is at this one.
    Busy(String),
    /// It has answered, and does whatever it does before it asks for the next.
    Done(Said),
}

/// The conversation with one child.
pub(super) struct Conversation {
    phase: watch::Sender<Phase>,
    give: mpsc::Sender<Given>,
    given: Mutex<mpsc::Receiver<Given>>,
}

impl Conversation {
    pub(super) fn new() -> Self {
        let (give, given) = mpsc::channel(1);
        Self { phase: watch::Sender::new(Phase::Starting), give, given: Mutex::new(given) }
    }

    /// How far the child is, and the news of it.
    pub(super) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Gives an invocation to a child that asks for one; whether it did.
    pub(super) fn give(&self, given: Given) -> bool {
        let was_asking = self.phase.send_if_modified(|phase| {
            let asks = *phase == Phase::Asking;
            if asks {
                *phase = Phase::Busy(given.id.clone());
            }
            asks
        });
        was_asking && self.give.try_send(given).is_ok()
    }

    /// Speaks with whoever is at the other end until it hangs up. The door has made sure that it is the child.
    pub(super) async fn serve(self: Arc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let service = service_fn(|request| {
            let conversation = Arc::clone(&self);
            async move { Ok::<_, Infallible>(conversation.answer(request).await) }
        });
        let builder = hyper::server::conn::http1::Builder::new();
        // A runtime that hangs up has ended, or comes again.
        let _ = builder.serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let Some(path) = path.strip_prefix("/2018-06-01/runtime/") else { return not_found() };
        let method = request.method().clone();
        match (method, path.split('/').collect::<Vec<_>>().as_slice()) {
            (Method::GET, ["invocation", "next"]) => self.next().await,
            (Method::POST, ["invocation", id, "response"]) => self.response(id, request).await,
            (Method::POST, ["invocation", id, "error"]) => {
                let (id, failure) = ((*id).to_owned(), failure(request).await);
                self.said(&id, Said::Failure(failure))
            }
            (Method::POST, ["init", "error"]) => {
                let failure = failure(request).await;
                self.change(|phase| (*phase == Phase::Starting).then_some(Phase::NotStarted(failure)))
            }
            _ => not_found(),
        }
    }

    async fn next(&self) -> Response<Full<Bytes>> {
        // Held by whoever asks, so that a second one waits.
        let mut given = self.given.lock().await;
        let change = |phase: &Phase| match phase {
            Phase::Starting | Phase::Done(_) | Phase::Asking => Some(Phase::Asking),
            Phase::NotStarted(_) | Phase::Busy(_) => None,
        };
        let changed = self.change(change);
        if changed.status() != StatusCode::ACCEPTED {
            return changed;
        }
        match given.recv().await {
            Some(given) => invocation(given),
            None => said_no(StatusCode::GONE, "the server has ended this child"),
        }
    }

    async fn response(&self, id: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let announced = request.body().size_hint().lower() > ANSWER as u64;
        match Limited::new(request.into_body(), ANSWER).collect().await {
            Ok(body) if !announced => self.said(id, Said::Answer(body.to_bytes())),
            Err(error) if !error.is::<http_body_util::LengthLimitError>() => {
                said_no(StatusCode::BAD_REQUEST, "the response was cut short")
            }
            _ => {
                let message = format!("Response payload size exceeded maximum allowed payload size ({ANSWER} bytes).");
                let failure = failed("Function.ResponseSizeTooLarge", &message);
                drop(self.said(id, Said::Failure(failure)));
                said_no(StatusCode::PAYLOAD_TOO_LARGE, &message)
            }
        }
    }

    fn said(&self, id: &str, said: Said) -> Response<Full<Bytes>> {
        self.change(|phase| matches!(phase, Phase::Busy(busy) if busy == id).then_some(Phase::Done(said)))
    }

    /// Moves on, if that is the order of things.
    fn change(&self, change: impl FnOnce(&Phase) -> Option<Phase>) -> Response<Full<Bytes>> {
        let is_in_order = self.phase.send_if_modified(|phase| {
            let next = change(phase);
            let is_in_order = next.is_some();
            if let Some(next) = next {
                *phase = next;
            }
            is_in_order
        });
        if is_in_order {
            json(StatusCode::ACCEPTED, Bytes::from_static(b"{\"status\":\"OK\"}\n"))
        } else {
            said_no(StatusCode::FORBIDDEN, "State transition is not allowed")
        }
    }
}

/// A failure in the form that AWS gives to one of its own.
pub(super) fn failed(kind: &str, message: &str) -> Bytes {
    serde_json::json!({ "errorType": kind, "errorMessage": message }).to_string().into()
}

/// What a runtime says of a failure, or that it said too much.
async fn failure(request: Request<Incoming>) -> Bytes {
    let kind = request.headers().get("lambda-runtime-function-error-type").and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or("Runtime.Unknown").to_owned();
    match Limited::new(request.into_body(), FAILURE).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => failed(&kind, "The runtime's own words about this error could not be read."),
    }
}

fn invocation(given: Given) -> Response<Full<Bytes>> {
    let mut response = json(StatusCode::OK, given.payload);
    let headers = response.headers_mut();
    set(headers, "lambda-runtime-aws-request-id", &given.id);
    set(headers, "lambda-runtime-deadline-ms", &given.deadline.to_string());
    set(headers, "lambda-runtime-invoked-function-arn", &given.arn);
    set(headers, "lambda-runtime-trace-id", &given.trace);
    if let Some(context) = &given.client_context {
        set(headers, "lambda-runtime-client-context", context);
    }
    response
}

fn not_found() -> Response<Full<Bytes>> {
    said_no(StatusCode::NOT_FOUND, "there is no such call in the runtime API")
}

fn said_no(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    let kind = if status == StatusCode::FORBIDDEN { "InvalidStateTransition" } else { "InvalidRequest" };
    json(status, failed(kind, message))
}

fn json(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    set(response.headers_mut(), "content-type", "application/json");
    response
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A conversation, and the other end of a connection to it.
    async fn begun() -> (Arc<Conversation>, TcpStream) {
        let conversation = Arc::new(Conversation::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let runtime = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tokio::spawn(Arc::clone(&conversation).serve(listener.accept().await.unwrap().0));
        (conversation, runtime)
    }

    async fn ask(runtime: &mut TcpStream, line: &str, body: &[u8]) {
        let head = format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        runtime.write_all(head.as_bytes()).await.unwrap();
        runtime.write_all(body).await.unwrap();
    }

    async fn read(runtime: &mut TcpStream) -> String {
        let mut text = vec![0; 4096];
        let read = runtime.read(&mut text).await.unwrap();
        String::from_utf8_lossy(&text[..read]).into_owned()
    }

    fn given(id: &str) -> Given {
        Given { id: id.to_owned(), payload: Bytes::from_static(b"{\"a\":1}"), ..Given::default() }
    }

    async fn at(conversation: &Conversation, wanted: Phase) {
        conversation.phase().wait_for(|phase| *phase == wanted).await.unwrap();
    }

    #[tokio::test]
    async fn a_runtime_asks_and_answers_and_asks_again() {
        let (conversation, mut runtime) = begun().await;
        assert!(!conversation.give(given("early")));
        for id in ["one", "two"] {
            ask(&mut runtime, "GET /2018-06-01/runtime/invocation/next", b"").await;
            at(&conversation, Phase::Asking).await;
            assert!(conversation.give(given(id)));
            let next = read(&mut runtime).await;
            assert!(next.contains(&format!("lambda-runtime-aws-request-id: {id}\r\n")), "{next}");
            assert!(next.ends_with("\r\n\r\n{\"a\":1}"), "{next}");
            ask(&mut runtime, &format!("POST /2018-06-01/runtime/invocation/{id}/response"), b"\"yes\"").await;
            assert!(read(&mut runtime).await.starts_with("HTTP/1.1 202 "));
            at(&conversation, Phase::Done(Said::Answer(Bytes::from_static(b"\"yes\"")))).await;
        }
    }

    #[tokio::test]
    async fn what_is_out_of_order_is_refused() {
        let (conversation, mut runtime) = begun().await;
        ask(&mut runtime, "POST /2018-06-01/runtime/invocation/one/response", b"1").await;
        assert!(read(&mut runtime).await.starts_with("HTTP/1.1 403 "));
        ask(&mut runtime, "GET /2018-06-01/runtime/invocation/next", b"").await;
        at(&conversation, Phase::Asking).await;
        assert!(conversation.give(given("one")));
        assert!(!conversation.give(given("two")));
        read(&mut runtime).await;
        ask(&mut runtime, "POST /2018-06-01/runtime/invocation/other/response", b"1").await;
        assert!(read(&mut runtime).await.starts_with("HTTP/1.1 403 "));
        ask(&mut runtime, "GET /2018-06-01/runtime/invocation/next", b"").await;
        assert!(read(&mut runtime).await.starts_with("HTTP/1.1 403 "));
        ask(&mut runtime, "GET /2018-06-01/runtime/anything", b"").await;
        assert!(read(&mut runtime).await.starts_with("HTTP/1.1 404 "));
    }

    #[tokio::test]
    async fn a_failure_is_kept_as_it_was_said() {
        let (conversation, mut runtime) = begun().await;
        ask(&mut runtime, "POST /2018-06-01/runtime/init/error", b"{\"errorType\":\"X\"}").await;
        at(&conversation, Phase::NotStarted(Bytes::from_static(b"{\"errorType\":\"X\"}"))).await;
        let (conversation, mut runtime) = begun().await;
        ask(&mut runtime, "GET /2018-06-01/runtime/invocation/next", b"").await;
        at(&conversation, Phase::Asking).await;
        conversation.give(given("one"));
        read(&mut runtime).await;
        ask(&mut runtime, "POST /2018-06-01/runtime/invocation/one/error", b"{}").await;
        at(&conversation, Phase::Done(Said::Failure(Bytes::from_static(b"{}")))).await;
    }

    #[tokio::test]
    async fn an_answer_that_is_too_large_is_a_failure() {
        let (conversation, mut runtime) = begun().await;
        ask(&mut runtime, "GET /2018-06-01/runtime/invocation/next", b"").await;
        at(&conversation, Phase::Asking).await;
        conversation.give(given("one"));
        read(&mut runtime).await;
        let head = format!(
            "POST /2018-06-01/runtime/invocation/one/response HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            ANSWER + 1
        );
        runtime.write_all(head.as_bytes()).await.unwrap();
        // It may hang up before all of it has come.
        let _ = runtime.write_all(&vec![b' '; ANSWER + 1]).await;
        let mut phase = conversation.phase();
        let phase = phase.wait_for(|phase| matches!(phase, Phase::Done(_))).await.unwrap().clone();
        let Phase::Done(Said::Failure(said)) = phase else { panic!() };
        assert!(String::from_utf8_lossy(&said).contains("Function.ResponseSizeTooLarge"));
    }
}
