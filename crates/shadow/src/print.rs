//! Every message of §2.2, printed in one pass. This file decides nothing: it is told what to print.

use crate::document::Document;
use crate::escape;
use crate::tree::{Leaf, Object, Value};

/// What a message says about the update or request it answers.
#[derive(Clone, Copy)]
pub(crate) struct Envelope<'a> {
    pub(crate) version: u64,
    pub(crate) now: i64,
    /// The client token as JSON.
    pub(crate) token: Option<&'a [u8]>,
}

/// A message that is not often longer.
const USUAL: usize = 1024;

/// How much longer than its state alone a state with its metadata may be expected to be.
const WITH_METADATA: usize = 4;

/// The state of an object as compact JSON, of probably no more than `expected` bytes.
pub(crate) fn text(state: &Object<'_>, expected: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(expected);
    object(&mut out, state, &mut plain);
    out
}

/// `update/accepted`: what the request carried, nulls and empty objects included.
pub(crate) fn accepted(state: &Value<'_>, envelope: Envelope<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(USUAL);
    out.extend_from_slice(b"{\"state\":");
    value(&mut out, state, &mut plain);
    out.extend_from_slice(b",\"metadata\":");
    value(&mut out, state, &mut Stamp::default().printer());
    number(&mut out, b",\"version\":", envelope.version);
    end(&mut out, envelope);
    out
}

/// `update/delta`: the version comes first, and the state is the delta itself.
pub(crate) fn delta(delta: &Object<'_>, envelope: Envelope<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(USUAL);
    number(&mut out, b"{\"version\":", envelope.version);
    time(&mut out, envelope.now);
    out.extend_from_slice(b",\"state\":");
    object(&mut out, delta, &mut plain);
    out.extend_from_slice(b",\"metadata\":");
    object(&mut out, delta, &mut Stamp::default().printer());
    close(&mut out, envelope.token);
    out
}

/// The first half of `update/documents`: the document before the update, or null.
pub(crate) fn previous(document: Option<&Document<'_>>) -> Vec<u8> {
    let bytes = document.map_or(0, |document| document.text.len());
    let mut out = Vec::with_capacity(USUAL + 2 * WITH_METADATA * bytes);
    out.extend_from_slice(b"{\"previous\":");
    match document {
        Some(document) => side(&mut out, &document.state, document.text, document.version()),
        None => out.extend_from_slice(b"null"),
    }
    out
}

/// The second half of `update/documents`: the document after the update.
pub(crate) fn current(out: &mut Vec<u8>, state: &Object<'_>, text: &[u8], envelope: Envelope<'_>) {
    out.extend_from_slice(b",\"current\":");
    side(out, state, text, envelope.version);
    end(out, envelope);
}

/// `get/accepted`: the whole document, with the delta among the state and never among the metadata.
pub(crate) fn whole(document: &Document<'_>, envelope: Envelope<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(USUAL + WITH_METADATA * document.text.len());
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
    number(&mut out, b",\"version\":", envelope.version);
    end(&mut out, envelope);
    out
}

/// `delete/accepted`.
pub(crate) fn deleted(envelope: Envelope<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(USUAL / 4);
    number(&mut out, b"{\"version\":", envelope.version);
    end(&mut out, envelope);
    out
}

/// Any `rejected`.
pub(crate) fn rejected(code: u16, message: &str, token: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(USUAL / 2);
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

fn end(out: &mut Vec<u8>, envelope: Envelope<'_>) {
    time(out, envelope.now);
    close(out, envelope.token);
}

fn close(out: &mut Vec<u8>, token: Option<&[u8]>) {
    if let Some(token) = token {
        out.extend_from_slice(b",\"clientToken\":");
        out.extend_from_slice(token);
    }
    out.push(b'}');
}

fn time(out: &mut Vec<u8>, at: i64) {
    let label: &[u8] = if at < 0 { b",\"timestamp\":-" } else { b",\"timestamp\":" };
    number(out, label, at.unsigned_abs());
}

fn number(out: &mut Vec<u8>, label: &[u8], mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    for pair in digits.rchunks_exact_mut(2) {
        let two = (number % 100) as u8;
        pair[0] += two / 10;
        pair[1] += two % 10;
        number /= 100;
        start -= 2;
        if number == 0 {
            start += usize::from(two < 10);
            break;
        }
    }
    out.extend_from_slice(label);
    out.extend_from_slice(&digits[start..]);
}

/// Prints a value, each leaf by means of `leaf`. It is inlined because most members are leaves.
#[inline]
fn value(out: &mut Vec<u8>, value: &Value<'_>, leaf: &mut impl FnMut(&mut Vec<u8>, &Leaf<'_>)) {
    match value {
        Value::Leaf(it) => leaf(out, it),
        Value::Array(it) => array(out, it, leaf),
        Value::Object(it) => object(out, it, leaf),
    }
}

fn array(out: &mut Vec<u8>, elements: &[Value<'_>], leaf: &mut impl FnMut(&mut Vec<u8>, &Leaf<'_>)) {
    let mut separator = b'[';
    for element in elements {
        out.push(separator);
        value(out, element, leaf);
        separator = b',';
    }
    close_with(out, elements.is_empty(), *b"[]");
}

fn object(out: &mut Vec<u8>, object: &Object<'_>, leaf: &mut impl FnMut(&mut Vec<u8>, &Leaf<'_>)) {
    let mut separator = b'{';
    for member in object.members() {
        out.push(separator);
        out.extend_from_slice(member.key);
        out.push(b':');
        value(out, &member.value, leaf);
        separator = b',';
    }
    close_with(out, object.is_empty(), *b"{}");
}

/// Closes a bracket, and opens it first if no element did.
fn close_with(out: &mut Vec<u8>, empty: bool, [open, close]: [u8; 2]) {
    if empty {
        out.push(open);
    }
    out.push(close);
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
