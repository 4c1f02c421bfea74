//! What a request says, checked in the order of §3.1: size, encoding, syntax, token, version, state, sections, depth,
//! nulls. This file does not know what is stored.

use crate::escape;
use crate::parse::{self, Malformed};
use crate::refused::Refused;
use crate::times::Times;
use crate::tree::{DESIRED, Object, REPORTED, Value};
use std::borrow::Cow;

/// The bytes that a client token may have (§3.7).
const TOKEN_BYTES: usize = 64;

/// The bytes of a get or delete request beyond which it is not looked at: the broker's limit (§3.7).
const OPTIONAL_BYTES: usize = 128 * 1024;

/// An update request.
pub(crate) struct Request<'a> {
    /// Null, or an object of at most `desired` and `reported`, each null or an object.
    pub(crate) state: Value<'a>,
    pub(crate) version: Option<u64>,
    /// The token as JSON, with its quotes.
    pub(crate) token: Option<&'a [u8]>,
}

/// The text of an update request, with every string in its canonical spelling.
pub(crate) fn text(request: &[u8], limit: usize) -> Result<Cow<'_, str>, Refused> {
    if request.len() > limit {
        return Err(Refused::TOO_LARGE);
    }
    if request.is_empty() {
        return Err(Refused::NO_PAYLOAD);
    }
    let text = std::str::from_utf8(request).map_err(|_| Refused::NOT_UTF8)?;
    escape::canonical(text).ok_or(Refused::INVALID_JSON)
}

/// The text of a get or delete request, which may be anything.
///
/// unconfirmed: the guide calls these payloads ignored, so one that is not JSON, or too long, is answered
/// as if it were empty.
pub(crate) fn optional_text(request: &[u8]) -> Cow<'_, str> {
    if request.len() > OPTIONAL_BYTES {
        return Cow::Borrowed("");
    }
    std::str::from_utf8(request).ok().and_then(escape::canonical).unwrap_or_default()
}

/// The token of a get or delete request, if it has one.
///
/// unconfirmed: where a token is there to be read, it obeys the rules of an update's token.
pub(crate) fn token(text: &str) -> Result<Option<&[u8]>, Refused> {
    match parse::parse(text, &mut Times::always(0)) {
        Ok(Value::Object(mut request)) => take_token(&mut request),
        _ => Ok(None),
    }
}

impl<'a> Request<'a> {
    /// Reads an update request sent at `now`.
    pub(crate) fn read(text: &'a str, now: i64, depth: usize) -> Result<Request<'a>, Refused> {
        let mut request = match parse::parse(text, &mut Times::always(now)) {
            Ok(Value::Object(request)) => request,
            Ok(_) | Err(Malformed::Syntax) => return Err(Refused::INVALID_JSON),
            Err(Malformed::Nesting) => return Err(Refused::TOO_DEEP),
        };
        let token = take_token(&mut request)?;
        let refuse = |refused: Refused| refused.to(token);
        let version = take_version(&mut request).map_err(refuse)?;
        let state = take_state(&mut request, depth).map_err(refuse)?;
        Ok(Request { state, version, token })
    }
}

/// unconfirmed: a null token is not a string, so it is refused.
fn take_token<'a>(request: &mut Object<'a>) -> Result<Option<&'a [u8]>, Refused> {
    match request.remove(b"\"clientToken\"") {
        None => Ok(None),
        Some(Value::Leaf(leaf)) if is_token(leaf.text) => Ok(Some(leaf.text)),
        Some(_) => Err(Refused::INVALID_TOKEN),
    }
}

fn is_token(text: &[u8]) -> bool {
    text.first() == Some(&b'"') && (text.len() <= TOKEN_BYTES + 2 || escape::unquote(text).len() <= TOKEN_BYTES)
}

/// unconfirmed: an integer is digits alone, so 1.0, 1e0, -0 and null are refused. One too large to count up to is an
/// integer still, and conflicts with any version.
fn take_version(request: &mut Object<'_>) -> Result<Option<u64>, Refused> {
    match request.remove(b"\"version\"") {
        None => Ok(None),
        Some(Value::Leaf(leaf)) if leaf.text.iter().all(u8::is_ascii_digit) => {
            Ok(Some(std::str::from_utf8(leaf.text).ok().and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX)))
        }
        Some(_) => Err(Refused::INVALID_VERSION),
    }
}

fn take_state<'a>(request: &mut Object<'a>, depth: usize) -> Result<Value<'a>, Refused> {
    let state = request.remove(b"\"state\"").ok_or(Refused::NO_STATE)?;
    let sections = match &state {
        Value::Object(object) => object.members(),
        null if null.is_null() => &[],
        _ => return Err(Refused::STATE_NOT_OBJECT),
    };
    if let Some(foreign) = sections.iter().find(|section| ![DESIRED, REPORTED].contains(&section.key)) {
        return Err(Refused::invalid_node(foreign.key));
    }
    for section in sections {
        if !matches!(section.value, Value::Object(_)) && !section.value.is_null() {
            let desired = section.key == DESIRED;
            return Err(if desired { Refused::DESIRED_NOT_OBJECT } else { Refused::REPORTED_NOT_OBJECT });
        }
    }
    if sections.iter().any(|section| section.value.depth() > depth) {
        return Err(Refused::TOO_DEEP);
    }
    if sections.iter().any(|section| section.value.has_null_in_array()) {
        return Err(Refused::INVALID_JSON);
    }
    Ok(state)
}
