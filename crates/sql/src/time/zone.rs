//! A time zone by its id, with the rules that are bundled into the binary and the names that people call it by. It does
//! not look at the machine's own zones.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

use super::names;

/// The longest id that is looked up; the longest there is has 32 bytes.
const LONGEST_ID: usize = 64;

/// A zone as Joda-Time knows it.
#[derive(Debug)]
pub(crate) struct Zone {
    id: Box<str>,
    rules: TimeZone,
    /// Whether this is a place or an institution, and not a bare offset.
    is_named: bool,
}

impl Zone {
    /// Finds a zone by an id such as `America/Belize`, `UTC` or `+01:00`.
    pub(crate) fn find(id: &str) -> Option<Zone> {
        if let Some(rules) = region(id) {
            return Some(Zone { id: id.into(), rules, is_named: true });
        }
        let seconds = offset(id)?;
        if seconds == 0 {
            return Zone::find("UTC");
        }
        let rules = TimeZone::fixed(Offset::from_seconds(seconds).ok()?);
        let mut id = String::new();
        print_offset(&mut id, seconds);
        Some(Zone { id: id.into(), rules, is_named: false })
    }

    /// The id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The rules of the zone.
    pub(super) fn rules(&self) -> &TimeZone {
        &self.rules
    }

    /// What the zone is called at that time: `CST`, or `Central Standard Time`.
    pub(super) fn name(&self, at: Timestamp, long: bool) -> String {
        if !self.is_named {
            return self.id.to_string();
        }
        let info = self.rules.to_offset_info(at);
        if let Some(name) = names::of_zone(&self.id, info.dst().is_dst(), long) {
            return name.to_owned();
        }
        let abbreviation = info.abbreviation();
        if abbreviation.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return abbreviation.to_owned();
        }
        let mut text = String::new();
        print_offset(&mut text, info.offset().seconds());
        text
    }
}

/// The rules of a region of the database of time zones, whose id is spelt exactly so.
pub(super) fn region(id: &str) -> Option<TimeZone> {
    if id.len() > LONGEST_ID {
        return None;
    }
    let found = TimeZoneDatabase::bundled().get(id).ok()?;
    (found.iana_name() == Some(id)).then_some(found)
}

/// The seconds of `+hh`, `+hhmm`, `+hh:mm` and so on to seconds, in the whole text.
fn offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let parts: Vec<&str> = if digits.contains(':') {
        digits.split(':').collect()
    } else {
        (0..digits.len()).step_by(2).map(|at| digits.get(at..at + 2)).collect::<Option<_>>()?
    };
    if !(1..=3).contains(&parts.len()) {
        return None;
    }
    let bounds = [23, 59, 59];
    let seconds = parts.iter().zip(bounds).try_fold((0, 3600), |(sum, unit), (part, bound)| {
        let is_two_digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        let value: i32 = part.parse().ok().filter(|value| is_two_digits && *value <= bound)?;
        Some((sum + value * unit, unit / 60))
    })?;
    Some(sign * seconds.0)
}

/// Prints `+hh:mm`, and the seconds if there are any.
pub(super) fn print_offset(out: &mut String, seconds: i32) {
    let (sign, whole) = (if seconds < 0 { '-' } else { '+' }, seconds.abs());
    // Writing to a String cannot fail.
    let _ = write!(out, "{sign}{:02}:{:02}", whole / 3600, whole / 60 % 60);
    if whole % 60 != 0 {
        let _ = write!(out, ":{:02}", whole % 60);
    }
}
