//! The room from its door: golden vectors, every refusal, and properties against a naive reference.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod fuzz;
mod golden;
mod properties;
mod refusals;
mod versions;

use serde_json::Value;
use shadow::{Document, Limits, Refused, Updated};

/// Applies an update under the default limits.
fn update(record: Option<&[u8]>, request: &[u8], now: i64) -> Result<Updated, Refused> {
    let stored = record.map(|record| Document::decode(record).unwrap());
    shadow::update(stored, request, now, &Limits::default())
}

/// Gets what is stored.
fn get(record: Option<&[u8]>, request: &[u8], now: i64) -> Result<Vec<u8>, Refused> {
    let stored = record.map(|record| Document::decode(record).unwrap());
    shadow::get(stored.as_ref(), "t1", request, now)
}

/// Reads a message.
fn json(message: &[u8]) -> Value {
    serde_json::from_slice(message).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(message)))
}
