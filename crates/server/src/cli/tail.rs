//! `ombra tail`: the event stream of a running ombra, as it comes, until it stops or the reader has enough.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::api::Api;
use super::{Failure, Output, check_name, say};

/// Follows and prints.
pub(super) async fn run(api: &Api, kind: Option<&str>, output: Output) -> Result<(), Failure> {
    let mut lines = api.follow(&path(kind)?).await?;
    while let Some(line) = lines.next().await? {
        // An empty line only keeps the connection open.
        if line.is_empty() {
            continue;
        }
        match (output, serde_json::from_str(&line)) {
            (Output::Table, Ok(Value::Object(event))) => say(format_args!("{}", pretty(event, &TimeZone::system()))),
            _ => say(format_args!("{line}")),
        }
    }
    Err(Failure::Unreachable("the stream ended: ombra has stopped".to_owned()))
}

/// The path of the stream, for events of one kind or all.
fn path(kind: Option<&str>) -> Result<String, Failure> {
    let Some(kind) = kind else { return Ok("/_ombra/events?follow=true".to_owned()) };
    check_name(kind).map_err(|_| Failure::Usage(format!("--kind {kind}: not a kind of event, like refusal")))?;
    Ok(format!("/_ombra/events?follow=true&kind={kind}"))
}

/// One event for a person: when, what, and the rest as `name=value`; the reason of a refusal below it.
fn pretty(mut event: Map<String, Value>, zone: &TimeZone) -> String {
    let at = event.shift_remove("at").and_then(|at| Timestamp::from_millisecond(at.as_i64()?).ok());
    let at = at
        .map_or_else(|| "--:--:--.---".to_owned(), |at| at.to_zoned(zone.clone()).strftime("%H:%M:%S%.3f").to_string());
    let kind = event.shift_remove("kind").unwrap_or_default();
    let kind = kind.as_str().unwrap_or("event");
    let reason = event.shift_remove("reason").filter(|reason| !is_nothing(reason));
    // One house, one account, one region: on a terminal they only take space.
    let (_, _) = (event.shift_remove("account"), event.shift_remove("region"));
    // What a refused request brought is for `ombra why`.
    event.shift_remove("given");
    let mut line = format!("{at}  {kind:<12}");
    for (name, value) in event.iter().filter(|(_, value)| !is_nothing(value)) {
        // Writing to a string cannot fail.
        let _ = write!(line, "  {name}={}", plain(value));
    }
    if let Some(reason) = reason {
        let reason = plain(&reason);
        let below = kind == "refusal";
        let (before, reason) = if below { ("\n    ", reason.replace('\n', "\n    ")) } else { ("  reason=", reason) };
        line.push_str(before);
        line.push_str(&reason);
    }
    line
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value == ""
}

/// Text as it is, without control characters that could play with the terminal; anything else as JSON.
fn plain(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(event: Value, expected: &str) {
        let Value::Object(event) = event else { panic!() };
        assert_eq!(pretty(event, &TimeZone::UTC), expected);
    }

    #[test]
    fn events_read_well() {
        check(
            json!({"at": 1_800_000_000_123_i64, "account": "0", "region": "r", "kind": "connected", "client_id": "lamp", "peer": ""}),
            "08:00:00.123  connected     client_id=lamp",
        );
        check(
            json!({"at": 0, "kind": "refusal", "action": "iot:Publish", "reason": "no statement\nallows it"}),
            "00:00:00.000  refusal       action=iot:Publish\n    no statement\n    allows it",
        );
        check(
            json!({"kind": "disconnected", "reason": "CLIENT_ERROR", "bytes": 3, "payload": "\u{1b}[31mred"}),
            "--:--:--.---  disconnected  bytes=3  payload=\u{fffd}[31mred  reason=CLIENT_ERROR",
        );
    }

    #[test]
    fn a_kind_is_a_word() {
        assert_eq!(path(Some("refusal")).unwrap(), "/_ombra/events?follow=true&kind=refusal");
        assert!(path(Some("a&b")).is_err());
    }
}
