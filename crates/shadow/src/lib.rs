//! Device Shadow documents: apply an update and get its accepted, delta and documents messages; get; delete.
//!
//! Everything here is a function of a stored record, a request and a time. This room knows nothing about topics,
//! things, storage or clocks: records and messages go in and out as bytes, and time is an argument.
//!
//! ```
//! use shadow::{Document, Limits};
//!
//! let request = br#"{"state":{"desired":{"color":"red"}}}"#;
//! let updated = shadow::update(None, request, 1_700_000_000, &Limits::default()).unwrap();
//! assert!(updated.delta.is_some());
//!
//! let stored = Document::decode(&updated.record).unwrap();
//! let shadow = shadow::get(Some(&stored), "lamp", b"", 1_700_000_060).unwrap();
//! assert!(shadow.starts_with(br#"{"state":{"desired":{"color":"red"},"delta":{"color":"red"}}"#));
//! ```
//!
//! Section numbers (§) in comments are those of the project's shadow fact sheet. Where AWS's behaviour is not known,
//! the comment says `unconfirmed:` and gives the choice.

mod document;
mod escape;
mod number;
mod parse;
mod print;
mod refused;
mod request;
mod times;
mod tree;

pub use document::{Corrupt, Document};
pub use refused::Refused;

use print::Envelope;
use request::Request;
use tree::{Object, Value};

/// What bounds a request and the document it makes (§3.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of compact JSON that the desired and reported sections may take together.
    pub document_bytes: usize,
    /// Steps, by key or by array index, that a value may lie below its section; at most 61 are ever read.
    pub depth: usize,
    /// Bytes of an update request as sent.
    pub request_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { document_bytes: 8 * 1024, depth: 8, request_bytes: 128 * 1024 }
    }
}

/// An accepted update: the record to store and the messages to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// The new document, to be stored and read back with [`Document::decode`].
    pub record: Vec<u8>,
    /// The version of the new document.
    pub version: u64,
    /// Bytes of compact JSON that its desired and reported sections take.
    pub bytes: usize,
    /// The payload of `update/accepted`, which is also the body of the HTTP answer.
    pub accepted: Vec<u8>,
    /// The payload of `update/delta`, if desired and reported differ.
    pub delta: Option<Vec<u8>>,
    /// The payload of `update/documents`.
    pub documents: Vec<u8>,
}

/// A deletion: the record that remembers the version, and the message to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// The tombstone, to be stored in the document's place until [`Document::forgotten`].
    pub record: Vec<u8>,
    /// The payload of `delete/accepted`, which is also the body of the HTTP answer.
    pub accepted: Vec<u8>,
}

/// Applies an update request to what is stored, in the order of validation of §3.1.
pub fn update(stored: Option<Document<'_>>, request: &[u8], now: i64, limits: &Limits) -> Result<Updated, Refused> {
    let text = request::text(request, limits.request_bytes)?;
    let Request { state, version: expected, token } = Request::read(&text, now, limits.depth)?;
    let counter = stored.as_ref().map_or(0, |document| document.counter(now));
    let before = stored.filter(Document::exists);

    // unconfirmed: on a missing shadow version 0 passes, meaning "must not exist", and any other is a conflict (§3.5).
    if expected.is_some_and(|expected| expected != before.as_ref().map_or(0, Document::version)) {
        return Err(Refused::VERSION_CONFLICT.to(token));
    }
    let envelope = Envelope { version: counter.saturating_add(1), now, token };
    let accepted = print::accepted(&state, envelope);
    let mut documents = print::previous(before.as_ref());

    let longest = text.len() + before.as_ref().map_or(0, |before| before.text.len());
    let after = merge(before.map(Document::into_state).unwrap_or_default(), state);
    let text = print::text(&after, longest);
    let bytes = after.section_bytes(text.len());
    if bytes > limits.document_bytes {
        return Err(Refused::TOO_LARGE.to(token));
    }
    print::current(&mut documents, &after, &text, envelope);
    let delta = after.delta();
    Ok(Updated {
        record: document::record(envelope.version, &after, &text),
        version: envelope.version,
        bytes,
        accepted,
        delta: (!delta.is_empty()).then(|| print::delta(&delta, envelope)),
        documents,
    })
}

/// Answers a get request, whose payload may be empty, with the payload of `get/accepted`.
///
/// `name` is what a 404 calls the shadow: `thing`, or `thing~shadow` for a named one.
pub fn get(stored: Option<&Document<'_>>, name: &str, request: &[u8], now: i64) -> Result<Vec<u8>, Refused> {
    let text = request::optional_text(request);
    let token = request::token(&text)?;
    match stored.filter(|document| document.exists()) {
        Some(document) => Ok(print::whole(document, Envelope { version: document.version(), now, token })),
        None => Err(Refused::no_shadow(name).to(token)),
    }
}

/// Answers a delete request, whose payload may be empty; `name` is as for [`get`].
pub fn delete(stored: Option<&Document<'_>>, name: &str, request: &[u8], now: i64) -> Result<Deleted, Refused> {
    let text = request::optional_text(request);
    let token = request::token(&text)?;
    match stored.filter(|document| document.exists()) {
        Some(document) => Ok(Deleted {
            record: document::tombstone(document.version(), now),
            accepted: print::deleted(Envelope { version: document.version(), now, token }),
        }),
        None => Err(Refused::no_shadow(name).to(token)),
    }
}

/// Merges a request's state: `null` empties the shadow (§3.2.1), and a section left empty is dropped (§3.2.8).
fn merge<'a>(mut state: Object<'a>, patch: Value<'a>) -> Object<'a> {
    let Value::Object(patch) = patch else {
        return Object::default();
    };
    state.merge(patch);
    state.drop_empty();
    state
}
