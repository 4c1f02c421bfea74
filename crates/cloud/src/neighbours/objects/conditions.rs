//! What a request asks of an object before it takes it: entity tags and times that must or must not be its own, and the range of
//! its bytes. Where objects are is unknown here.

use std::ops::Range;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::rfc2822};
use wire::Refusal;
use wire::s3::{Call, refused};

use super::Object;

/// The names that conditions have in a request for an object.
pub(super) const PLAIN: Names = Names {
    matches: "if-match",
    differs: "if-none-match",
    newer: "if-modified-since",
    older: "if-unmodified-since",
    wire: ["If-Match", "If-None-Match", "If-Unmodified-Since"],
};

/// The names that they have for the source of a copy.
pub(super) const OF_SOURCE: Names = Names {
    matches: "x-amz-copy-source-if-match",
    differs: "x-amz-copy-source-if-none-match",
    newer: "x-amz-copy-source-if-modified-since",
    older: "x-amz-copy-source-if-unmodified-since",
    wire: ["x-amz-copy-source-If-Match", "x-amz-copy-source-If-None-Match", "x-amz-copy-source-If-Unmodified-Since"],
};

pub(super) struct Names {
    matches: &'static str,
    differs: &'static str,
    newer: &'static str,
    older: &'static str,
    /// The same as refusals spell them: those that must match, must not, and must be older.
    wire: [&'static str; 3],
}

impl Names {
    /// The refusal of what the caller has already.
    pub(super) fn unchanged(&self) -> Refusal {
        failed(self.wire[1])
    }
}

/// What came of the conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Met,
    /// Whoever asks has it already.
    Unchanged,
    /// The condition of this name is not met.
    Failed(&'static str),
}

/// Holds an object against the conditions of a request. An entity tag counts for more than a time (RFC 9110 §13.2.2).
pub(super) fn judge(call: &Call, names: &Names, object: &Object) -> Verdict {
    let seconds = |name: &str| call.header(name).and_then(seconds_of);
    let modified = object.modified.div_euclid(1000);
    let [matches, _, older] = names.wire;
    let is_wanted = match call.header(names.matches) {
        Some(tags) => lists(tags, &object.etag).then_some(()).ok_or(matches),
        None if seconds(names.older).is_some_and(|since| modified > since) => Err(older),
        None => Ok(()),
    };
    let is_known = match call.header(names.differs) {
        Some(tags) => lists(tags, &object.etag),
        None => seconds(names.newer).is_some_and(|since| modified <= since),
    };
    match is_wanted {
        Err(name) => Verdict::Failed(name),
        Ok(()) if is_known => Verdict::Unchanged,
        Ok(()) => Verdict::Met,
    }
}

/// Whether an object may be written over what is there, or over nothing.
pub(super) fn may_write(call: &Call, there: Option<&Object>) -> Result<(), Refusal> {
    if let Some(tags) = call.header(PLAIN.matches) {
        let Some(there) = there else {
            return Err(refused("NoSuchKey", "The specified key does not exist.").with("Key", call.key.as_str()));
        };
        if !lists(tags, &there.etag) {
            return Err(failed(PLAIN.wire[0]));
        }
    }
    match call.header(PLAIN.differs) {
        Some("*") if there.is_some() => Err(PLAIN.unchanged()),
        None | Some("*") => Ok(()),
        Some(_) => Err(wire::s3::not_implemented("If-None-Match with an entity tag on writing")),
    }
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
            (&[("if-none-match", "abc")], Verdict::Unchanged),
            (&[("if-none-match", "\"x\"")], Verdict::Met),
            (&[("if-modified-since", then)], Verdict::Unchanged),
            (&[("if-modified-since", before)], Verdict::Met),
            (&[("if-modified-since", "2023-11-14T22:13:20Z")], Verdict::Unchanged),
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
