//! From the fields that a text gave to one moment, as Java's formatter resolves them in its `SMART` style: what is given
//! twice must agree, a day beyond the end of its month is the last, and 24:00 is the day after. It does not know how the
//! fields were spelt.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp};

/// What a part of a text can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// 0 before Christ, 1 after.
    Era,
    YearOfEra,
    Year,
    Quarter,
    Month,
    DayOfMonth,
    DayOfYear,
    ModifiedJulianDay,
    WeekYear,
    WeekOfYear,
    WeekOfMonth,
    /// Monday is 1.
    Weekday,
    /// Sunday is 1.
    LocalWeekday,
    /// The first seven days of a month are 1 to 7, and so are the next.
    AlignedWeekday,
    /// 0 before noon, 1 after.
    Half,
    /// 0 to 11.
    HalfHour,
    /// 1 to 12.
    HalfClockHour,
    /// 0 to 23.
    Hour,
    /// 1 to 24.
    ClockHour,
    Minute,
    Second,
    Nano,
    MilliOfDay,
    NanoOfDay,
    /// In seconds.
    Offset,
}

const FIELDS: usize = Field::Offset as usize + 1;

/// What has been read of a text so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    values: [Option<i64>; FIELDS],
    zone: Option<TimeZone>,
}

/// Two fields say different things, or one says what cannot be.
#[derive(Debug)]
struct Conflict;

impl Fields {
    /// Sets a field; `None` if it has been set to something else.
    pub(super) fn set(&mut self, field: Field, value: i64) -> Option<()> {
        let slot = &mut self.values[field as usize];
        (*slot.get_or_insert(value) == value).then_some(())
    }

    /// Sets the zone; the last one counts.
    pub(super) fn set_zone(&mut self, zone: TimeZone) {
        self.zone = Some(zone);
    }

    /// The milliseconds since 1970 that the fields say together.
    ///
    /// unconfirmed: without a date, or with a time that cannot be told (`hh` without `a`, minutes without hours), there is
    /// none; a date without a time is its first moment; without a zone it is UTC.
    pub(super) fn resolve(mut self) -> Option<i64> {
        let date = self.date().ok().flatten()?;
        let (time, days) = self.time().ok()?;
        let local = DateTime::from_parts(date.checked_add(Span::new().days(days)).ok()?, time);
        let at = match (self.get(Field::Offset), &self.zone) {
            (Some(seconds), _) => offset(seconds)?.to_timestamp(local).ok()?,
            (None, Some(zone)) => zone.to_ambiguous_timestamp(local).compatible().ok()?,
            (None, None) => Offset::UTC.to_timestamp(local).ok()?,
        };
        Some(floor_to_millis(at))
    }

    fn get(&self, field: Field) -> Option<i64> {
        self.values[field as usize]
    }

    fn take(&mut self, field: Field) -> Option<i64> {
        self.values[field as usize].take()
    }

    fn put(&mut self, field: Field, value: i64) -> Result<(), Conflict> {
        self.set(field, value).ok_or(Conflict)
    }

    fn date(&mut self) -> Result<Option<Date>, Conflict> {
        self.resolve_year()?;
        if let Some(weekday) = self.take(Field::LocalWeekday) {
            // Sunday, the first, is 7 in the other count.
            self.put(Field::Weekday, (within(weekday, 1, 7)? + 5) % 7 + 1)?;
        }
        let found = self.date_by_fields()?;
        if let Some(date) = found {
            self.check_date(date)?;
        }
        Ok(found)
    }

    /// Turns the year of an era into a year.
    fn resolve_year(&mut self) -> Result<(), Conflict> {
        let Some(of_era) = self.take(Field::YearOfEra) else { return Ok(()) };
        let of_era = within(of_era, 1, 999_999_999)?;
        let year = match (self.take(Field::Era), self.get(Field::Year)) {
            (Some(0), _) => 1 - of_era,
            (Some(1), _) => of_era,
            (Some(_), _) => return Err(Conflict),
            (None, Some(year)) if year <= 0 => 1 - of_era,
            (None, _) => of_era,
        };
        self.put(Field::Year, year)
    }

    /// The date by the first set of fields that suffices. Those that make it are taken, because they need not agree with
    /// it: the 31st of April is the 30th.
    fn date_by_fields(&mut self) -> Result<Option<Date>, Conflict> {
        let [year, month, day, of_year] =
            [Field::Year, Field::Month, Field::DayOfMonth, Field::DayOfYear].map(|field| self.get(field));
        let [julian, week_year, week, week_of_month, weekday] =
            [Field::ModifiedJulianDay, Field::WeekYear, Field::WeekOfYear, Field::WeekOfMonth, Field::Weekday]
                .map(|field| self.get(field));
        if let (Some(year), Some(month), Some(day)) = (year, month, day) {
            let day = within(day, 1, 31)?;
            let first = first_of_month(year, month)?;
            self.take(Field::DayOfMonth);
            return day_after(first, day.min(i64::from(first.days_in_month())) - 1).map(Some);
        }
        if let (Some(year), Some(day)) = (year, of_year) {
            let first = first_of_month(year, 1)?;
            return day_after(first, within(day, 1, i64::from(first.days_in_year()))? - 1).map(Some);
        }
        if let Some(day) = julian {
            // Day 40,587 is the first of 1970.
            return day_after(first_of_month(1970, 1)?, day.checked_sub(40_587).ok_or(Conflict)?).map(Some);
        }
        let Some(weekday) = weekday else { return Ok(None) };
        let days = within(weekday, 1, 7)? % 7;
        if let (Some(year), Some(month), Some(week)) = (year, month, week_of_month) {
            let start = sunday_of(first_of_month(year, month)?)?;
            self.take(Field::Month);
            self.take(Field::Year);
            self.take(Field::WeekOfMonth);
            return day_after(start, (within(week, 0, 6)? - 1) * 7 + days).map(Some);
        }
        if let (Some(year), Some(week)) = (week_year, week) {
            let start = sunday_of(first_of_month(year, 1)?)?;
            let next = sunday_of(first_of_month(year + 1, 1)?)?;
            self.take(Field::WeekOfYear);
            let week = within(week, 1, 53)?.min(days_between(start, next)? / 7);
            return day_after(start, (week - 1) * 7 + days).map(Some);
        }
        Ok(None)
    }

    /// Whatever else is said of the date is true of it.
    fn check_date(&self, date: Date) -> Result<(), Conflict> {
        let year = i64::from(date.year());
        let (month, day) = (i64::from(date.month()), i64::from(date.day()));
        let start = sunday_of(date)?;
        let week_year = i64::from(day_after(start, 6)?.year());
        let weeks_since = |first: Date| Ok(days_between(sunday_of(first)?, start)? / 7 + 1);
        let is = |field, value| self.get(field).is_none_or(|said| said == value);
        let agrees = is(Field::Era, i64::from(year > 0))
            && is(Field::Year, year)
            && is(Field::Quarter, (month - 1) / 3 + 1)
            && is(Field::Month, month)
            && is(Field::DayOfMonth, day)
            && is(Field::DayOfYear, i64::from(date.day_of_year()))
            && is(Field::ModifiedJulianDay, days_between(first_of_month(1970, 1)?, date)? + 40_587)
            && is(Field::WeekYear, week_year)
            && is(Field::WeekOfYear, weeks_since(first_of_month(week_year, 1)?)?)
            && is(Field::WeekOfMonth, weeks_since(date.first_of_month())?)
            && is(Field::Weekday, i64::from(date.weekday().to_monday_one_offset()))
            && is(Field::AlignedWeekday, (day - 1) % 7 + 1);
        if agrees { Ok(()) } else { Err(Conflict) }
    }

    /// The time of day, and how many days it is past the date.
    fn time(&mut self) -> Result<(Time, i64), Conflict> {
        self.resolve_hours()?;
        self.resolve_times_of_day()?;
        let [hour, minute, second, nano] =
            [Field::Hour, Field::Minute, Field::Second, Field::Nano].map(|field| self.get(field));
        let Some(hour) = hour else {
            let unclear = [Field::Half, Field::HalfHour, Field::Minute, Field::Second, Field::Nano];
            let is_unclear = unclear.iter().any(|field| self.get(*field).is_some());
            return if is_unclear { Err(Conflict) } else { Ok((Time::midnight(), 0)) };
        };
        let has_gap = minute.is_none() && (second.is_some() || nano.is_some()) || second.is_none() && nano.is_some();
        if has_gap {
            return Err(Conflict);
        }
        let [minute, second, nano] = [minute, second, nano].map(Option::unwrap_or_default);
        let (hour, days) = if (hour, minute, second, nano) == (24, 0, 0, 0) { (0, 1) } else { (hour, 0) };
        let is_half_right = |field, value| self.get(field).is_none_or(|said| said == value);
        if !is_half_right(Field::Half, hour / 12) || !is_half_right(Field::HalfHour, hour % 12) {
            return Err(Conflict);
        }
        let small = |value: i64| i8::try_from(value).map_err(|_| Conflict);
        let nano = i32::try_from(nano).map_err(|_| Conflict)?;
        let time = Time::new(small(hour)?, small(minute)?, small(second)?, nano).map_err(|_| Conflict)?;
        Ok((time, days))
    }

    /// Brings the four ways to count hours to one. A clock that begins with 1 may also say 0.
    fn resolve_hours(&mut self) -> Result<(), Conflict> {
        if let Some(hour) = self.take(Field::ClockHour) {
            self.put(Field::Hour, within(hour, 0, 24)? % 24)?;
        }
        if let Some(hour) = self.take(Field::HalfClockHour) {
            self.put(Field::HalfHour, within(hour, 0, 12)? % 12)?;
        }
        if let (Some(half), Some(hour)) = (self.get(Field::Half), self.get(Field::HalfHour)) {
            self.put(Field::Hour, within(half, 0, 1)? * 12 + within(hour, 0, 11)?)?;
        }
        Ok(())
    }

    /// Splits what counts from midnight into hours, minutes, seconds and their fraction.
    fn resolve_times_of_day(&mut self) -> Result<(), Conflict> {
        const SECOND: i64 = 1_000_000_000;
        if let Some(nanos) = self.take(Field::NanoOfDay) {
            let nanos = within(nanos, 0, 86_400 * SECOND - 1)?;
            self.put_seconds_of_day(nanos / SECOND)?;
            self.put(Field::Nano, nanos % SECOND)?;
        }
        if let Some(millis) = self.take(Field::MilliOfDay) {
            let millis = within(millis, 0, 86_400_000 - 1)?;
            self.put_seconds_of_day(millis / 1000)?;
            let below = self.take(Field::Nano).map_or(Ok(0), |nanos| within(nanos, 0, SECOND - 1))? % 1_000_000;
            self.put(Field::Nano, millis % 1000 * 1_000_000 + below)?;
        }
        Ok(())
    }

    fn put_seconds_of_day(&mut self, seconds: i64) -> Result<(), Conflict> {
        self.put(Field::Hour, seconds / 3600)?;
        self.put(Field::Minute, seconds / 60 % 60)?;
        self.put(Field::Second, seconds % 60)
    }
}

fn within(value: i64, least: i64, most: i64) -> Result<i64, Conflict> {
    if (least..=most).contains(&value) { Ok(value) } else { Err(Conflict) }
}

fn first_of_month(year: i64, month: i64) -> Result<Date, Conflict> {
    let year = i16::try_from(year).map_err(|_| Conflict)?;
    let month = i8::try_from(month).map_err(|_| Conflict)?;
    Date::new(year, month, 1).map_err(|_| Conflict)
}

fn day_after(date: Date, days: i64) -> Result<Date, Conflict> {
    let days = Span::new().try_days(days).map_err(|_| Conflict)?;
    date.checked_add(days).map_err(|_| Conflict)
}

fn days_between(one: Date, other: Date) -> Result<i64, Conflict> {
    one.until(other).map(|span| i64::from(span.get_days())).map_err(|_| Conflict)
}

/// The day on which the week of a date begins. unconfirmed: AWS's machines count weeks as in the United States, from
/// Sunday, the first being the one that holds the first of January.
fn sunday_of(date: Date) -> Result<Date, Conflict> {
    day_after(date, -i64::from(date.weekday().to_sunday_zero_offset()))
}

/// Java knows offsets up to 18 hours.
fn offset(seconds: i64) -> Option<Offset> {
    let seconds = i32::try_from(seconds).ok().filter(|seconds| seconds.abs() <= 18 * 3600)?;
    Offset::from_seconds(seconds).ok()
}

fn floor_to_millis(at: Timestamp) -> i64 {
    let millis = at.as_nanosecond().div_euclid(1_000_000);
    // Every moment between the years -9999 and 9999 fits.
    i64::try_from(millis).unwrap_or_default()
}
