//! What a request asks of an object before it takes it: entity tags and times that must or must not be its own, and the range of
//! its bytes. Where objects are is unknown here.

use std::ops::Range;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::rfc2822};
use wire::Refusal;
use wire::s3::{Call, refused};

use super::{Object, invalid_argument};

/// The names that conditions have in a request for an object.
pub(super) const PLAIN: Names = Names {
    matches: "if-match",
    differs: "if-none-match",
    newer: "if-modified-since",
    older: "if-unmodified-since",
    wire: ["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"],
};

/// The names that they have for the source of a copy.
pub(super) const OF_SOURCE: Names = Names {
    matches: "x-amz-copy-source-if-match",
    differs: "x-amz-copy-source-if-none-match",
    newer: "x-amz-copy-source-if-modified-since",
    older: "x-amz-copy-source-if-unmodified-since",
    wire: [
        "x-amz-copy-source-If-Match",
        "x-amz-copy-source-If-None-Match",
        "x-amz-copy-source-If-Modified-Since",
        "x-amz-copy-source-If-Unmodified-Since",
    ],
};

pub(super) struct Names {
    matches: &'static str,
    differs: &'static str,
    newer: &'static str,
    older: &'static str,
    /// The same as refusals spell them.
    wire: [&'static str; 4],
}

/// What came of the conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Met,
    /// Whoever asks has it already, by the condition of this name.
    Unchanged(&'static str),
    /// The condition of this name is not met.
    Failed(&'static str),
}

/// Holds an object against the conditions of a request. An entity tag counts for more than a time (RFC 9110 §13.2.2).
pub(super) fn judge(call: &Call, names: &Names, object: &Object) -> Verdict {
    let seconds = |name: &str| call.header(name).and_then(seconds_of);
    let modified = object.modified.div_euclid(1000);
    let [matches, differs, newer, older] = names.wire;
    let is_wanted = match call.header(names.matches) {
        Some(tags) => lists(tags, &object.etag).then_some(()).ok_or(matches),
        None if seconds(names.older).is_some_and(|since| modified > since) => Err(older),
        None => Ok(()),
    };
    let is_known = match call.header(names.differs) {
        Some(tags) => lists(tags, &object.etag).then_some(differs),
        None => seconds(names.newer).filter(|since| modified <= *since).map(|_| newer),
    };
    match is_wanted {
        Err(name) => Verdict::Failed(name),
        Ok(()) => is_known.map_or(Verdict::Met, Verdict::Unchanged),
    }
}

/// Whether an object may be written over what is there, or over nothing. Only a tag may have to match, and only a star may have
/// to differ; S3 itself has no more than that.
pub(super) fn may_write(call: &Call, there: Option<&Object>) -> Result<(), Refusal> {
    let other = |name: &str| format!("We don't accept the provided value of {name} header for this API");
    match (call.header(PLAIN.matches), call.header(PLAIN.differs)) {
        (Some(_), Some(_)) => {
            let both = "Multiple conditional request headers present in the request";
            return Err(unsupported("If-Match,If-None-Match", both));
        }
        (Some("*"), None) => return Err(unsupported(PLAIN.wire[0], &other(PLAIN.wire[0]))),
        (None, Some(tag)) if tag != "*" => return Err(unsupported(PLAIN.wire[1], &other(PLAIN.wire[1]))),
        (None, Some(_)) if there.is_some() => return Err(failed(PLAIN.wire[1])),
        _ => {}
    }
    if let Some(tags) = call.header(PLAIN.matches) {
        let Some(there) = there else {
            return Err(refused("NoSuchKey", "The specified key does not exist.").with("Key", call.key.as_str()));
        };
        if !lists(tags, &there.etag) {
            return Err(failed(PLAIN.wire[0]));
        }
    }
    Ok(())
}

/// The refusal of a condition that S3 does not know, in its words.
fn unsupported(name: &str, why: &str) -> Refusal {
    let message = "A header you provided implies functionality that is not implemented";
    refused("NotImplemented", message).with("Header", name).with("additionalMessage", why)
}

/// The refusal of a request whose condition is not met.
pub(super) fn failed(name: &str) -> Refusal {
    let message = "At least one of the pre-conditions you specified did not hold";
    refused("PreconditionFailed", message).with("Condition", name)
}

/// Whether a list of entity tags has this one, or is a star.
fn lists(tags: &str, etag: &str) -> bool {
    let tag = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"') == etag;
    tags.trim() == "*" || tags.split(',').any(tag)
}

/// Seconds since the epoch, of a date as HTTP has it or as ISO 8601 does. Others are as good as none.
fn seconds_of(text: &str) -> Option<i64> {
    let http = DateTime::strptime("%a, %d %b %Y %H:%M:%S GMT", text).ok();
    let http = http.and_then(|time| TimeZone::UTC.to_timestamp(time).ok());
    let time = http.or_else(|| text.parse::<Timestamp>().ok());
    let mail = || rfc2822::parse(text).ok().map(|zoned| zoned.timestamp());
    time.or_else(mail).map(Timestamp::as_second)
}

/// The range of `size` bytes that a header asks for; none if it asks for none that we know, when all are given.
///
/// unconfirmed: S3 gives one range only; several are as good as none.
pub(super) fn range(header: &str, size: u64) -> Result<Option<Range<u64>>, Refusal> {
    let Some((from, to)) = header.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Ok(None);
    };
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let range = match (from.trim(), to.trim()) {
        ("", last) => number(last).map(|last| (size.saturating_sub(last), size)),
        (from, "") => number(from).map(|from| (from, size)),
        (from, to) => {
            let pair = number(from).zip(number(to)).filter(|(from, to)| from <= to);
            pair.map(|(from, to)| (from, to.saturating_add(1).min(size)))
        }
    };
    match range {
        None => Ok(None),
        Some((from, to)) if from < to => Ok(Some(from..to)),
        Some(_) => Err(refused("InvalidRange", "The requested range is not satisfiable")
            .with("RangeRequested", header)
            .with("ActualObjectSize", size.to_string())),
    }
}

/// The range that is to be copied: of both ends, and inside the object.
pub(super) fn whole_range(header: &str, size: u64) -> Result<Range<u64>, Refusal> {
    const NAME: &str = "x-amz-copy-source-range";
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let ends = header.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let ends = ends.and_then(|(first, last)| number(first).zip(number(last))).filter(|(first, last)| first <= last);
    let Some((first, last)) = ends else {
        let message = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the \
                       zero-based offsets of the first and last bytes to copy";
        return Err(invalid_argument(message, NAME, header));
    };
    if first >= size {
        return Err(refused("InvalidRequest", "The specified copy range is invalid for the source object size"));
    }
    if last >= size {
        let message = format!("Range specified is not valid for source object of size: {size}");
        return Err(invalid_argument(message, NAME, header));
    }
    Ok(first..last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neighbours::objects::Facts;

    const MODIFIED: i64 = 1_700_000_000;

    fn verdict(headers: &[(&str, &str)]) -> Verdict {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let object = Object {
            size: 1,
            etag: "abc".to_owned(),
            modified: MODIFIED * 1000 + 999,
            content: String::new(),
            facts: Facts::default(),
            sum: None,
            upload: None,
        };
        judge(&Call::inside("GetObject", "b", "k", headers.collect()), &PLAIN, &object)
    }

    #[test]
    fn entity_tags_count_for_more_than_times() {
        let (then, before) = ("Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:19 GMT");
        for (headers, expected) in [
            (&[][..], Verdict::Met),
            (&[("if-match", "\"abc\"")], Verdict::Met),
            (&[("if-match", "x, \"abc\"")], Verdict::Met),
            (&[("if-match", "*")], Verdict::Met),
            (&[("if-match", "\"x\"")], Verdict::Failed("If-Match")),
            (&[("if-none-match", "abc")], Verdict::Unchanged("If-None-Match")),
            (&[("if-none-match", "\"x\"")], Verdict::Met),
            (&[("if-modified-since", then)], Verdict::Unchanged("If-Modified-Since")),
            (&[("if-modified-since", before)], Verdict::Met),
            (&[("if-modified-since", "2023-11-14T22:13:20Z")], Verdict::Unchanged("If-Modified-Since")),
            (&[("if-modified-since", "yesterday")], Verdict::Met),
            (&[("if-unmodified-since", then)], Verdict::Met),
            (&[("if-unmodified-since", before)], Verdict::Failed("If-Unmodified-Since")),
            (&[("if-match", "abc"), ("if-unmodified-since", before)], Verdict::Met),
            (&[("if-none-match", "x"), ("if-modified-since", then)], Verdict::Met),
        ] {
            assert_eq!(verdict(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_range_is_what_there_is_of_it() {
        for (header, expected) in [
            ("bytes=0-0", Ok(Some(0..1))),
            ("bytes=2-5", Ok(Some(2..6))),
            ("bytes=2-", Ok(Some(2..10))),
            ("bytes=-3", Ok(Some(7..10))),
            ("bytes=-30", Ok(Some(0..10))),
            ("bytes=8-99", Ok(Some(8..10))),
            ("bytes=8-18446744073709551615", Ok(Some(8..10))),
            ("bytes=10-", Err("InvalidRange")),
            ("bytes=-0", Err("InvalidRange")),
            ("bytes=5-2", Ok(None)),
            ("bytes=0-1,3-4", Ok(None)),
            ("bytes=a-b", Ok(None)),
            ("bytes=-", Ok(None)),
            ("lines=1-2", Ok(None)),
        ] {
            assert_eq!(range(header, 10).map_err(|refusal| refusal.error()), expected, "{header}");
        }
        assert_eq!(range("bytes=0-", 0).map_err(|refusal| refusal.error()), Err("InvalidRange"));
    }
}
