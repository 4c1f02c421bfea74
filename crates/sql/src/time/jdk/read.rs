//! Reading a text along a compiled pattern. Each reader takes what it needs from the front of the text, sets the fields
//! that it says, and gives back the rest; it knows nothing of what the fields mean together.

use jiff::tz::{Offset, TimeZone};

use super::{Digits, Node, Number, OffsetStyle, Part, Room, Sign};
use crate::time::resolve::{Field, Fields};
use crate::time::{names, zone};

/// Reads nodes one after the other.
pub(super) fn all<'t>(nodes: &[Node], text: &'t str, fields: &mut Fields) -> Option<&'t str> {
    nodes.iter().try_fold(text, |rest, node| one(node, rest, fields))
}

fn one<'t>(node: &Node, text: &'t str, fields: &mut Fields) -> Option<&'t str> {
    match node {
        Node::Literal(literal) => text.strip_prefix(*literal),
        Node::Number(number) => number.read(text, fields),
        Node::Text { field, first, texts } => {
            // No text is the beginning of another, but `J` is the last of three months.
            let found = (*first..).zip(*texts).filter_map(|(value, known)| Some((value, text.strip_prefix(known)?)));
            let (value, rest) = found.last()?;
            fields.set(*field, value)?;
            Some(rest)
        }
        Node::Offset(style) => {
            let (seconds, rest) = style.read(text)?;
            fields.set(Field::Offset, seconds)?;
            Some(rest)
        }
        Node::LocalOffset { full } => {
            let (seconds, rest) = local_offset(text, *full)?;
            fields.set(Field::Offset, seconds)?;
            Some(rest)
        }
        Node::ZoneId => zone_id(text, None, fields),
        Node::ZoneName { long } => zone_id(text, Some(*long), fields),
        Node::Padded(width, inner) => padded(*width, inner, text, fields),
        Node::Optional(section) => {
            let mut attempt = fields.clone();
            let Some(rest) = all(section, text, &mut attempt) else { return Some(text) };
            *fields = attempt;
            Some(rest)
        }
    }
}

/// Passes the spaces before something that fills the rest of a width exactly.
fn padded<'t>(width: usize, inner: &Node, text: &'t str, fields: &mut Fields) -> Option<&'t str> {
    let end = text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(width)?;
    let (cell, rest) = text.split_at(end);
    one(inner, cell.trim_start_matches(' '), fields)?.is_empty().then_some(rest)
}

impl Number {
    fn read<'t>(&self, text: &'t str, fields: &mut Fields) -> Option<&'t str> {
        let (has_plus, is_negative, digits) = match text.bytes().next()? {
            b'+' if self.sign == Sign::PlusIfLong => (true, false, &text[1..]),
            b'-' if self.sign != Sign::Never => (false, true, &text[1..]),
            _ => (false, false, text),
        };
        let width = self.width(digits)?;
        let (number, rest) = digits.split_at(width);
        let value: i64 = number.parse().ok()?;
        let is_long = width > self.least;
        let is_wrong = if is_negative { value == 0 } else { self.sign == Sign::PlusIfLong && has_plus != is_long };
        if is_wrong {
            return None;
        }
        let value = if is_negative { -value } else { value };
        match self.digits {
            Digits::Of(field) => fields.set(field, value)?,
            Digits::Since2000(field) => fields.set(field, 2000 + value)?,
            Digits::Fraction => {
                let missing = u32::try_from(9_usize.checked_sub(width)?).ok()?;
                fields.set(Field::Nano, value * 10_i64.pow(missing))?;
            }
        }
        Some(rest)
    }

    /// How many of the digits are the number's.
    fn width(&self, digits: &str) -> Option<usize> {
        let room = match self.room {
            Room::Leaves(room) => room,
            Room::Exact => 0,
        };
        let found = digits.bytes().take(self.most + room).take_while(u8::is_ascii_digit).count();
        // What is left to those that follow is left even if it is too little for this number.
        let width = if room > 0 { self.least.max(found.saturating_sub(room)) } else { found };
        (width >= self.least && width <= found).then_some(width)
    }
}

impl OffsetStyle {
    /// The seconds of an offset at the front of a text.
    fn read<'t>(&self, text: &'t str) -> Option<(i64, &'t str)> {
        if let Some(rest) = text.strip_prefix(self.zero) {
            return Some((0, rest));
        }
        let (sign, rest) = sign(text)?;
        let (hours, rest) = two_digits(rest)?;
        let (minutes, rest) = self.part(self.minutes, rest)?;
        // Without minutes there are no seconds.
        let (seconds, rest) = if minutes.is_some() { self.part(self.seconds, rest)? } else { (None, rest) };
        Some((sign * total(hours, minutes.unwrap_or(0), seconds.unwrap_or(0))?, rest))
    }

    /// The minutes or the seconds.
    fn part<'t>(&self, part: Part, text: &'t str) -> Option<(Option<i64>, &'t str)> {
        let digits = if self.colons { text.strip_prefix(':') } else { Some(text) };
        let found = digits.and_then(two_digits).filter(|(value, _)| *value < 60);
        match (part, found) {
            (Part::Never, _) | (Part::Optional, None) => Some((None, text)),
            (_, Some((value, rest))) => Some((Some(value), rest)),
            (Part::Always, None) => None,
        }
    }
}

fn sign(text: &str) -> Option<(i64, &str)> {
    text.strip_prefix('+').map(|rest| (1, rest)).or_else(|| Some((-1, text.strip_prefix('-')?)))
}

fn two_digits(text: &str) -> Option<(i64, &str)> {
    let (digits, rest) = text.split_at_checked(2)?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    Some((digits.parse().ok().filter(|_| is_number)?, rest))
}

fn one_or_two_digits(text: &str) -> Option<(i64, &str)> {
    two_digits(text).or_else(|| {
        let (digit, rest) = text.split_at_checked(1)?;
        Some((digit.parse().ok()?, rest))
    })
}

/// An offset goes up to 18 hours.
fn total(hours: i64, minutes: i64, seconds: i64) -> Option<i64> {
    Some(hours * 3600 + minutes * 60 + seconds).filter(|total| *total <= 18 * 3600)
}

/// `GMT`, or `GMT` and an offset.
fn local_offset(text: &str, full: bool) -> Option<(i64, &str)> {
    let rest = text.strip_prefix("GMT")?;
    let Some((sign, digits)) = sign(rest) else { return Some((0, rest)) };
    let (hours, rest) = if full { two_digits(digits)? } else { one_or_two_digits(digits)? };
    let style = OffsetStyle::ID;
    let minutes = if full { Part::Always } else { Part::Optional };
    let (minutes, rest) = style.part(minutes, rest)?;
    let (seconds, rest) = if minutes.is_some() { style.part(Part::Optional, rest)? } else { (None, rest) };
    Some((sign * total(hours, minutes.unwrap_or(0), seconds.unwrap_or(0))?, rest))
}

/// The id of a zone, or its long or short name where names may stand: the longest that there is.
fn zone_id<'t>(text: &'t str, long: Option<bool>, fields: &mut Fields) -> Option<&'t str> {
    if text.starts_with(['+', '-']) {
        let (seconds, rest) = OffsetStyle::ID.read(text)?;
        return set_fixed(seconds, rest, fields);
    }
    let prefix = ["UTC", "UT", "GMT0", "GMT"].into_iter().find_map(|prefix| text.strip_prefix(prefix));
    if let Some(rest) = prefix {
        let signed = OffsetStyle::ID.read(rest).filter(|_| rest.starts_with(['+', '-']));
        let (seconds, rest) = signed.unwrap_or((0, rest));
        return set_fixed(seconds, rest, fields);
    }
    let called = long.and_then(|long| names::zone_at(text, long));
    let Some((id, length)) = longest_region(text).into_iter().chain(called).max_by_key(|(_, length)| *length) else {
        let rest = text.strip_prefix('Z')?;
        return set_fixed(0, rest, fields);
    };
    fields.set_zone(zone::region(id)?);
    text.get(length..)
}

fn set_fixed<'t>(seconds: i64, rest: &'t str, fields: &mut Fields) -> Option<&'t str> {
    let offset = Offset::from_seconds(i32::try_from(seconds).ok()?).ok()?;
    fields.set_zone(TimeZone::fixed(offset));
    Some(rest)
}

/// The longest id of a region that the text begins with, and its length.
fn longest_region(text: &str) -> Option<(&str, usize)> {
    const LONGEST: usize = 40;
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'+');
    let most = text.bytes().take(LONGEST).take_while(is_part).count();
    let ids = (1..=most).rev().filter_map(|end| text.get(..end));
    ids.filter(|id| zone::region(id).is_some()).map(|id| (id, id.len())).next()
}
