//! Every message of §2.2, printed in one pass. This file decides nothing: it is told what to print.

use crate::document::Document;
use crate::escape;
use crate::tree::{Leaf, Object, Value};

/// The state of an object as compact JSON.
pub(crate) fn text(state: &Object<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    object(&mut out, state, &mut plain);
    out
}

/// `update/accepted`: what the request carried, nulls and empty objects included.
pub(crate) fn accepted(state: &Value<'_>, version: u64, now: i64, token: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(b"{\"state\":");
    value(&mut out, state, &mut plain);
    out.extend_from_slice(b",\"metadata\":");
    value(&mut out, state, &mut Stamp::default().printer());
    number(&mut out, b",\"version\":", version);
    end(&mut out, now, token);
    out
}

/// `update/delta`: the version comes first, and the state is the delta itself.
pub(crate) fn delta(delta: &Object<'_>, version: u64, now: i64, token: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    number(&mut out, b"{\"version\":", version);
    time(&mut out, now);
    out.extend_from_slice(b",\"state\":");
    object(&mut out, delta, &mut plain);
    out.extend_from_slice(b",\"metadata\":");
    object(&mut out, delta, &mut Stamp::default().printer());
    close(&mut out, token);
    out
}

/// The first half of `update/documents`: the document before the update, or null.
pub(crate) fn previous(document: Option<&Document<'_>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    out.extend_from_slice(b"{\"previous\":");
    match document {
        Some(document) => side(&mut out, &document.state, document.text, document.version()),
        None => out.extend_from_slice(b"null"),
    }
    out
}

/// The second half of `update/documents`: the document after the update.
pub(crate) fn current(
    out: &mut Vec<u8>,
    state: &Object<'_>,
    text: &[u8],
    version: u64,
    now: i64,
    token: Option<&[u8]>,
) {
    out.extend_from_slice(b",\"current\":");
    side(out, state, text, version);
    end(out, now, token);
}

/// `get/accepted`: the whole document, with the delta among the state and never among the metadata.
pub(crate) fn whole(document: &Document<'_>, now: i64, token: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    out.extend_from_slice(b"{\"state\":");
    out.extend_from_slice(document.text);
    let delta = document.state.delta();
    if !delta.is_empty() {
        out.pop();
        out.extend_from_slice(b",\"delta\":");
        object(&mut out, &delta, &mut plain);
        out.push(b'}');
    }
    out.extend_from_slice(b",\"metadata\":");
    object(&mut out, &document.state, &mut Stamp::default().printer());
    number(&mut out, b",\"version\":", document.version());
    end(&mut out, now, token);
    out
}

/// `delete/accepted`.
pub(crate) fn deleted(version: u64, now: i64, token: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    number(&mut out, b"{\"version\":", version);
    end(&mut out, now, token);
    out
}

/// Any `rejected`.
pub(crate) fn rejected(code: u16, message: &str, token: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    number(&mut out, b"{\"code\":", u64::from(code));
    out.extend_from_slice(b",\"message\":");
    out.extend_from_slice(escape::quote(message).as_bytes());
    close(&mut out, token);
    out
}

/// One side of `update/documents`.
fn side(out: &mut Vec<u8>, state: &Object<'_>, text: &[u8], version: u64) {
    out.extend_from_slice(b"{\"state\":");
    out.extend_from_slice(text);
    out.extend_from_slice(b",\"metadata\":");
    object(out, state, &mut Stamp::default().printer());
    number(out, b",\"version\":", version);
    out.push(b'}');
}

fn end(out: &mut Vec<u8>, now: i64, token: Option<&[u8]>) {
    time(out, now);
    close(out, token);
}

fn close(out: &mut Vec<u8>, token: Option<&[u8]>) {
    if let Some(token) = token {
        out.extend_from_slice(b",\"clientToken\":");
        out.extend_from_slice(token);
    }
    out.push(b'}');
}

fn time(out: &mut Vec<u8>, at: i64) {
    let label: &[u8] = if at < 0 {
        b",\"timestamp\":-"
    } else {
        b",\"timestamp\":"
    };
    number(out, label, at.unsigned_abs());
}

fn number(out: &mut Vec<u8>, label: &[u8], mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
        start -= 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(label);
    out.extend_from_slice(&digits[start..]);
}

/// Prints a value, each leaf by means of `leaf`.
fn value(out: &mut Vec<u8>, value: &Value<'_>, leaf: &mut impl FnMut(&mut Vec<u8>, &Leaf<'_>)) {
    match value {
        Value::Leaf(it) => leaf(out, it),
        Value::Object(it) => object(out, it, leaf),
        Value::Array(elements) => {
            out.push(b'[');
            for (at, element) in elements.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                self::value(out, element, leaf);
            }
            out.push(b']');
        }
    }
}

fn object(out: &mut Vec<u8>, object: &Object<'_>, leaf: &mut impl FnMut(&mut Vec<u8>, &Leaf<'_>)) {
    out.push(b'{');
    for (at, member) in object.members().iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(member.key);
        out.push(b':');
        value(out, &member.value, leaf);
    }
    out.push(b'}');
}

/// A leaf of the state: its own text.
fn plain(out: &mut Vec<u8>, leaf: &Leaf<'_>) {
    out.extend_from_slice(leaf.text);
}

/// A leaf of the metadata, `{"timestamp":…}`, kept printed because neighbours tend to share their time.
#[derive(Default)]
struct Stamp {
    at: i64,
    text: Vec<u8>,
}

impl Stamp {
    fn printer(mut self) -> impl FnMut(&mut Vec<u8>, &Leaf<'_>) {
        move |out, leaf| {
            if leaf.at != self.at || self.text.is_empty() {
                self.at = leaf.at;
                self.text.clear();
                time(&mut self.text, leaf.at);
                self.text[0] = b'{';
                self.text.push(b'}');
            }
            out.extend_from_slice(&self.text);
        }
    }
}
