//! Functions that run elsewhere: the event is posted to an address, and what comes back is the answer. What is said of an
//! invocation in headers is what the runtime API says of it.

use std::time::Duration;

use bytes::Bytes;
use cloud::Invocation;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::child::Ending;
use super::conversation::{ANSWER, Said, failed};
use crate::server::now_ms;

/// Posts the event. A status other than of success is the function's failure.
pub(super) async fn post(url: &str, invocation: &Invocation, patience: Duration) -> Ending {
    match tokio::time::timeout(patience, exchange(url, invocation, patience)).await {
        Ok(Ok(said)) => Ending::Said(said),
        Ok(Err(why)) => Ending::Said(Said::Failure(failed("Function.Unreachable", &format!("{url}: {why}")))),
        Err(_) => Ending::Late,
    }
}

async fn exchange(url: &str, invocation: &Invocation, patience: Duration) -> Result<Said, String> {
    let uri: Uri = url.parse().map_err(|_| "not an address".to_owned())?;
    let host = uri.host().ok_or("an address without a host")?;
    let text = |error: &dyn std::error::Error| error.to_string();
    let address = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await.map_err(|error| text(&error))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| text(&error))?;
    // It ends with the answer, or when nobody waits for that any more.
    tokio::spawn(connection);
    let deadline = now_ms() + i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::post(path)
        .header("host", uri.authority().map_or(host, |authority| authority.as_str()))
        .header("content-type", "application/json")
        .header("lambda-runtime-aws-request-id", &invocation.id)
        .header("lambda-runtime-deadline-ms", deadline)
        .header("lambda-runtime-invoked-function-arn", &invocation.arn);
    let request = match &invocation.client_context {
        Some(context) => request.header("lambda-runtime-client-context", context),
        None => request,
    };
    let request = request.body(Full::new(invocation.payload.clone())).map_err(|error| text(&error))?;
    let response = sender.send_request(request).await.map_err(|error| text(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER).collect().await;
    let body: Bytes = body.map_err(|error| format!("the answer: {error}"))?.to_bytes();
    if status.is_success() {
        return Ok(Said::Answer(body));
    }
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
    let said = if is_json { body } else { failed("Function.Status", &format!("{url} answered {status}")) };
    Ok(Said::Failure(said))
}
