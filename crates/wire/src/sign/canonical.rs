//! The text that Signature Version 4 signs, and the signature over it. It knows neither where a signature stands in a
//! request nor what makes one acceptable: its callers say which headers were signed, for which scope and when.

use std::fmt;

use aws_lc_rs::{digest, hmac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{ALGORITHM, QUERY_SIGNATURE, QUERY_TOKEN, Signable, TERMINATOR};

/// Everything but the unreserved characters and the slash between segments.
const ENCODED_AGAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The day, region and service a signature is good for.
pub(super) struct Scope<'a> {
    pub(super) date: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// Whether the session token of the query string is part of what was signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Signed,
    Appended,
}

/// The service that signs its paths as they are sent: the keys of its objects are paths already.
const PATHS_AS_SENT: &str = "s3";

/// The canonical request, or `None` when a header named as signed is not there.
pub(super) fn request(
    request: &Signable,
    service: &str,
    signed_headers: &str,
    payload_hash: &str,
    token: Token,
) -> Option<String> {
    let path = if service == PATHS_AS_SENT { request.path.to_owned() } else { path(request.path) };
    let query = query(request.query, token);
    let headers = headers(request.headers, signed_headers)?;
    Some(format!("{}\n{path}\n{query}\n{headers}\n{signed_headers}\n{payload_hash}", request.method))
}

/// The signature, in lower-case hexadecimal.
pub(super) fn signature(secret: &str, scope: &Scope, timestamp: &str, canonical_request: &str) -> String {
    let hash = sha256(canonical_request.as_bytes());
    Key::new(secret, scope).sign(&format!("{ALGORITHM}\n{timestamp}\n{scope}\n{hash}"))
}

/// What signatures of one scope are made with.
pub(super) struct Key(hmac::Tag);

impl Key {
    pub(super) fn new(secret: &str, scope: &Scope) -> Self {
        let Scope { date, region, service } = scope;
        let first = hmac_sha256(format!("AWS4{secret}").as_bytes(), date);
        Self([*region, *service, TERMINATOR].iter().fold(first, |key, part| hmac_sha256(key.as_ref(), part)))
    }

    /// The signature over a text, in lower-case hexadecimal.
    pub(super) fn sign(&self, text: &str) -> String {
        hex(hmac_sha256(self.0.as_ref(), text).as_ref())
    }
}

impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, region, service } = self;
        write!(f, "{date}/{region}/{service}/{TERMINATOR}")
    }
}

/// The SHA-256 of `bytes`, in lower-case hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hmac_sha256(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

/// Bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 0x0f)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The path without empty and dot segments, percent-encoded once more than it was sent: `%2F` becomes `%252F`.
///
/// unconfirmed: a path with such segments is signed without them by botocore and the JavaScript SDK; that AWS takes
/// it only so, and not also as sent, is our guess.
fn path(raw: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in raw.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    let mut path = String::with_capacity(raw.len() + 16);
    for segment in &kept {
        path.push('/');
        path.extend(utf8_percent_encode(segment, ENCODED_AGAIN));
    }
    if path.is_empty() || raw.ends_with('/') {
        path.push('/');
    }
    path
}

/// The parameters in code-point order of name, then value; as sent, but for the signature itself.
fn query(raw: &str, token: Token) -> String {
    if raw.is_empty() {
        return String::new();
    }
    let mut pairs: Vec<(&str, &str)> = raw
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| *name != QUERY_SIGNATURE && (token == Token::Signed || *name != QUERY_TOKEN))
        .collect();
    pairs.sort_unstable();
    let mut query = String::with_capacity(raw.len() + pairs.len());
    for (name, value) in pairs {
        if !query.is_empty() {
            query.push('&');
        }
        query.extend([name, "=", value]);
    }
    query
}

/// One line for each signed header: white space folded, repeated headers joined by commas in the order they came.
fn headers(sent: &[(String, String)], signed: &str) -> Option<String> {
    let mut lines = String::new();
    for name in signed.split(';') {
        let mut values = sent.iter().filter(|(sent, _)| sent.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        lines.extend([name, ":"]);
        fold_into(&mut lines, values.next()?);
        for value in values {
            lines.push(',');
            fold_into(&mut lines, value);
        }
        lines.push('\n');
    }
    Some(lines)
}

fn fold_into(line: &mut String, value: &str) {
    for (index, word) in value.split_whitespace().enumerate() {
        if index > 0 {
            line.push(' ');
        }
        line.push_str(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_encoded_once_more_than_it_was_sent() {
        let check = |raw: &str, expected: &str| assert_eq!(path(raw), expected, "{raw}");
        check("", "/");
        check("/", "/");
        check("/topics/a%2Fb", "/topics/a%252Fb");
        check("/things/a:b/shadow", "/things/a%3Ab/shadow");
        check("/things/a-b_c.d~e", "/things/a-b_c.d~e");
        check("/things/é", "/things/%C3%A9");
        check("/a//b/./c/../d/", "/a/b/d/");
        check("/../..", "/");
        check("/a/", "/a/");
    }

    #[test]
    fn parameters_are_sorted_by_name_then_value_and_kept_as_sent() {
        let check = |raw: &str, expected: &str| assert_eq!(query(raw, Token::Signed), expected, "{raw}");
        check("", "");
        check("b=2&a=1", "a=1&b=2");
        check("a=2&a=1&a", "a=&a=1&a=2");
        check("a-b=1&a=2", "a=2&a-b=1");
        check("q=x=y&q=%7e", "q=%7e&q=x=y");
        check("a=1&X-Amz-Signature=ff&X-Amz-Security-Token=t", "X-Amz-Security-Token=t&a=1");
        assert_eq!(query("a=1&X-Amz-Security-Token=t", Token::Appended), "a=1");
    }

    #[test]
    fn headers_are_folded_and_repeated_ones_joined() {
        let sent = [("Host", "h:8443"), ("X-Amz-A", "  a   b "), ("x-amz-a", "c")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(headers(&sent, "host;x-amz-a").as_deref(), Some("host:h:8443\nx-amz-a:a b,c\n"));
        assert_eq!(headers(&sent, "host;x-amz-b"), None);
    }
}
