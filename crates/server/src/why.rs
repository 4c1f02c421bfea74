//! `/_ombra/why`: the explained refusal as JSON, for the command line and for consoles. `GET` explains what was refused last, to
//! one client or to anybody; `POST` answers what would be. The explanation itself is the house's.

use bytes::Bytes;
use cloud::why::{Question, Why};
use cloud::{Event, Kind, Refused, Scope};
use hyper::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::server::Server;

/// Where it is.
pub(crate) const PATH: &str = "/_ombra/why";

/// The largest body of a question.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// A status, and what is said about it.
type Told = (u16, Value);

/// Answers a request: the status and the JSON.
pub(crate) fn answer(
    server: &Server,
    scope: &Scope,
    method: &Method,
    query: &str,
    head: &HeaderMap,
    body: &Bytes,
) -> Told {
    let told = match *method {
        Method::GET => last(server, scope, query),
        Method::POST => hypothetical(server, scope, head, body),
        _ => Err(refused(405, "MethodNotAllowed", "GET explains the last refusal, POST answers a question")),
    };
    told.map_or_else(|refused| refused, |answer| (200, answer))
}

/// What was refused last, and why.
fn last(server: &Server, scope: &Scope, query: &str) -> Result<Value, Told> {
    let client = query.split('&').find_map(|pair| pair.strip_prefix("client="));
    let client = client.map(|client| percent_decode_str(client).decode_utf8_lossy().into_owned());
    let client = client.filter(|client| !client.is_empty());
    let events = server.events.refusals.of(scope, client.as_deref());
    let mut refusals = events.iter().filter_map(|event| match &event.kind {
        Kind::Refusal(refused) => Some((event, refused)),
        _ => None,
    });
    let Some((event, refused)) = refusals.next() else { return Err(nothing(client.as_deref())) };
    let why = if is_of_policies(refused) { Some(ask(server, scope, &Question::of(refused))?) } else { None };
    let also: Vec<Value> = refusals.map(|(event, refused)| brief(event, refused)).collect();
    Ok(json!({"refusal": event, "why": why, "also": also}))
}

/// What is said of a refusal that policies decided, or that somebody's standing did. Where a quota or a reserved topic refused,
/// what the policies say is beside the point.
const OF_POLICIES: [&str; 9] = [
    "EXPLICIT_DENY",
    "IMPLICIT_DENY",
    "INACTIVE",
    "REVOKED",
    "PENDING_TRANSFER",
    "PENDING_ACTIVATION",
    "REGISTER_INACTIVE",
    "UNKNOWN_CERTIFICATE",
    "UNKNOWN_POLICY",
];

fn is_of_policies(refused: &Refused) -> bool {
    let is_asked = refused.action.contains(':') && !refused.resource.is_empty() && !refused.principal.is_empty();
    is_asked && OF_POLICIES.contains(&&*refused.decision)
}

fn brief(event: &Event, refused: &Refused) -> Value {
    json!({"at": event.at, "action": refused.action, "resource": refused.resource, "decision": refused.decision})
}

fn nothing(client: Option<&str>) -> Told {
    let whom = client.map(|client| format!(" to {client}")).unwrap_or_default();
    let message = format!(
        "nothing has been refused{whom} since ombra started, or it is forgotten by now. A question about what would be: \
         ombra why CLIENT --action iot:Publish --resource topic/a"
    );
    refused(404, "ResourceNotFoundException", &message)
}

/// What would become of a request.
fn hypothetical(server: &Server, scope: &Scope, head: &HeaderMap, body: &Bytes) -> Result<Value, Told> {
    // A page from elsewhere cannot send this type without asking first, and is not allowed to.
    let is_json = head.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json {
        return Err(refused(415, "UnsupportedMediaType", "send application/json"));
    }
    let invalid = |message: String| refused(400, "InvalidRequestException", &message);
    let question: Question = serde_json::from_slice(body).map_err(|error| invalid(error.to_string()))?;
    question.check().map_err(invalid)?;
    Ok(json!({"why": ask(server, scope, &question)?}))
}

fn ask(server: &Server, scope: &Scope, question: &Question) -> Result<Why, Told> {
    server.house.why(scope, question, server.now()).map_err(|fault| {
        tracing::error!(%fault, "failed to explain a refusal");
        refused(500, "InternalFailureException", "An internal failure occurred; the server's log says more.")
    })
}

fn refused(status: u16, kind: &str, message: &str) -> Told {
    (status, json!({"__type": kind, "message": message}))
}
