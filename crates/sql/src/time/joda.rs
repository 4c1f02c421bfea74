//! Printing times by the patterns of Joda-Time's `DateTimeFormat`: a pattern is compiled once and prints often. Reading
//! times is not done here.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::civil::DateTime;

use super::{LONGEST_PATTERN, Zone, names, zone};

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Printer(Vec<Item>);

#[derive(Debug)]
enum Item {
    Text(String),
    /// Padded with zeros to a width.
    Number(Field, usize),
    /// The last two digits of a year.
    TwoDigits(Field),
    /// So many digits of the second's fraction.
    Fraction(usize),
    Name(Name, Length),
    Offset {
        colon: bool,
    },
    ZoneId,
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Century,
    YearOfEra,
    Year,
    WeekYear,
    Month,
    Day,
    DayOfYear,
    Week,
    Weekday,
    /// 0 to 23.
    Hour,
    /// 1 to 24.
    ClockHour,
    /// 0 to 11.
    HalfdayHour,
    /// 1 to 12.
    HalfdayClockHour,
    Minute,
    Second,
}

#[derive(Clone, Copy, Debug)]
enum Name {
    Era,
    Month,
    Weekday,
    Halfday,
    Zone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Short,
    Long,
}

impl Printer {
    /// Compiles a pattern; nothing comes of an empty one, nor of a letter without a meaning.
    pub(crate) fn compile(pattern: &str) -> Option<Printer> {
        if pattern.is_empty() || pattern.len() > LONGEST_PATTERN {
            return None;
        }
        let mut items = Vec::new();
        let mut rest = pattern;
        while let Some(first) = rest.chars().next() {
            let (item, after) = if first.is_ascii_alphabetic() {
                let after = rest.trim_start_matches(first);
                (Item::of(first, rest.len() - after.len())?, after)
            } else {
                let (text, after) = literal(rest);
                (Item::Text(text), after)
            };
            items.push(item);
            rest = after;
        }
        Some(Printer(items))
    }

    /// Prints a time, if its year is within those of the calendar, -9999 to 9999.
    pub(crate) fn print(&self, epoch_ms: i64, zone: &Zone) -> Option<String> {
        let at = Timestamp::from_millisecond(epoch_ms).ok()?;
        let offset = zone.rules().to_offset(at);
        let moment = Moment { zone, at, offset: offset.seconds(), local: offset.to_datetime(at) };
        let mut out = String::new();
        for item in &self.0 {
            moment.print(item, &mut out);
        }
        Some(out)
    }
}

/// Reads what is not a letter, or stands in quotes, up to the next letter that does not. A quote that is not closed
/// reaches to the end.
fn literal(pattern: &str) -> (String, &str) {
    let mut text = String::new();
    let mut is_quoted = false;
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("''") {
            text.push('\'');
            rest = after;
            continue;
        }
        match first {
            '\'' => is_quoted = !is_quoted,
            letter if letter.is_ascii_alphabetic() && !is_quoted => break,
            other => text.push(other),
        }
        rest = &rest[first.len_utf8()..];
    }
    (text, rest)
}

impl Item {
    /// What a letter means when it is repeated so often.
    fn of(letter: char, count: usize) -> Option<Item> {
        // Two digits of `Y` are of the year, as those of `y` are.
        let year = |field, short| if count == 2 { Item::TwoDigits(short) } else { Item::Number(field, count) };
        let number = |field| Item::Number(field, count);
        let name = |name| Item::Name(name, if count >= 4 { Length::Long } else { Length::Short });
        Some(match letter {
            'G' => name(Name::Era),
            'C' => number(Field::Century),
            'Y' => year(Field::YearOfEra, Field::Year),
            'x' => year(Field::WeekYear, Field::WeekYear),
            'w' => number(Field::Week),
            'e' => number(Field::Weekday),
            'E' => name(Name::Weekday),
            'y' => year(Field::Year, Field::Year),
            'D' => number(Field::DayOfYear),
            'M' if count >= 3 => name(Name::Month),
            'M' => number(Field::Month),
            'd' => number(Field::Day),
            'a' => name(Name::Halfday),
            'K' => number(Field::HalfdayHour),
            'h' => number(Field::HalfdayClockHour),
            'H' => number(Field::Hour),
            'k' => number(Field::ClockHour),
            'm' => number(Field::Minute),
            's' => number(Field::Second),
            'S' => Item::Fraction(count),
            'z' => name(Name::Zone),
            'Z' if count >= 3 => Item::ZoneId,
            'Z' => Item::Offset { colon: count == 2 },
            _ => return None,
        })
    }
}

/// A time in a zone.
struct Moment<'z> {
    zone: &'z Zone,
    at: Timestamp,
    /// Of the zone, in seconds.
    offset: i32,
    local: DateTime,
}

impl Moment<'_> {
    fn print(&self, item: &Item, out: &mut String) {
        match item {
            Item::Text(text) => out.push_str(text),
            Item::Number(field, width) => pad(out, self.number(*field), *width),
            Item::TwoDigits(field) => pad(out, self.number(*field).abs() % 100, 2),
            Item::Fraction(digits) => {
                let fraction = format!("{:03}", self.local.millisecond());
                out.extend(fraction.chars().chain(std::iter::repeat('0')).take(*digits));
            }
            Item::Name(name, length) => self.print_name(*name, *length, out),
            Item::Offset { colon } => {
                let whole = self.offset / 60 * 60;
                let mut text = String::new();
                zone::print_offset(&mut text, whole);
                // Less than a minute west prints as such.
                let sign = if self.offset < 0 { "-" } else { "+" };
                text.replace_range(..1, sign);
                out.extend(text.chars().filter(|character| *colon || *character != ':'));
            }
            Item::ZoneId => out.push_str(self.zone.id()),
        }
    }

    fn number(&self, field: Field) -> i64 {
        let (date, time) = (self.local.date(), self.local.time());
        let (year, hour) = (i64::from(date.year()), i64::from(time.hour()));
        let or = |number: i64, instead_of_zero: i64| if number == 0 { instead_of_zero } else { number };
        match field {
            Field::Century => year.abs() / 100,
            Field::YearOfEra => year_of_era(year),
            Field::Year => year,
            Field::WeekYear => i64::from(date.iso_week_date().year()),
            Field::Month => i64::from(date.month()),
            Field::Day => i64::from(date.day()),
            Field::DayOfYear => i64::from(date.day_of_year()),
            Field::Week => i64::from(date.iso_week_date().week()),
            Field::Weekday => i64::from(date.weekday().to_monday_one_offset()),
            Field::Hour => hour,
            Field::ClockHour => or(hour, 24),
            Field::HalfdayHour => hour % 12,
            Field::HalfdayClockHour => or(hour % 12, 12),
            Field::Minute => i64::from(time.minute()),
            Field::Second => i64::from(time.second()),
        }
    }

    fn print_name(&self, name: Name, length: Length, out: &mut String) {
        let (date, is_long) = (self.local.date(), length == Length::Long);
        let index = |one_based: i8| usize::from(one_based.unsigned_abs()).saturating_sub(1);
        let text = match name {
            Name::Zone => return out.push_str(&self.zone.name(self.at, is_long)),
            Name::Era => names::SHORT_ERAS[usize::from(date.year() > 0)],
            Name::Halfday => names::HALVES[usize::from(self.local.hour() >= 12)],
            Name::Month if is_long => names::MONTHS[index(date.month()) % 12],
            Name::Month => names::SHORT_MONTHS[index(date.month()) % 12],
            Name::Weekday if is_long => names::DAYS[index(date.weekday().to_monday_one_offset()) % 7],
            Name::Weekday => names::SHORT_DAYS[index(date.weekday().to_monday_one_offset()) % 7],
        };
        out.push_str(text);
    }
}

fn year_of_era(year: i64) -> i64 {
    if year > 0 { year } else { 1 - year }
}

fn pad(out: &mut String, number: i64, width: usize) {
    let sign = if number < 0 { "-" } else { "" };
    // Writing to a String cannot fail.
    let _ = write!(out, "{sign}{:0width$}", number.unsigned_abs());
}
