//! How metrics are kept: a series for each name with its dimensions, and of each series a summary for every minute, and for every
//! second where somebody asked for it. What may be put in, and what is asked of it, is unknown here.

use serde::{Deserialize, Serialize};
use store::{Direction, Fault, Key, Table, json_record};

use super::summary::Summary;
use crate::scope::{Read, Write};

/// By namespace, name and dimensions: the number of the series.
const NUMBERS: Table<Vec<u8>> = Table::new("metric_numbers");
/// By number.
pub(super) const SERIES: Table<Series> = Table::new("metric_series");
/// By number of the series, time in seconds, unit: a minute each.
pub(super) const MINUTES: Table<Summary> = Table::new("metric_minutes");
/// The same, a second each.
pub(super) const SECONDS: Table<Summary> = Table::new("metric_seconds");
/// At the only key of a scope: the last number given, and how many there are.
const COUNTS: Table<Counts> = Table::new("metric_counts");

/// Seconds that minutes are kept.
// AWS keeps them as long, and sums of five minutes and of an hour after that; here there are none.
pub(crate) const MINUTES_KEPT: i64 = 15 * 24 * 3600;

/// Seconds that seconds are kept, as on AWS.
const SECONDS_KEPT: i64 = 3 * 3600;

/// Series of one scope.
pub(super) const SERIES_MOST: u64 = 20_000;

/// How late it may be noted that a series is still alive.
const NOTED_EVERY: i64 = 3600;

/// Units, by the number that stands for each in keys.
pub(super) const UNITS: [&str; 27] = [
    "None",
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
];

/// The name of a metric: two are the same only if all of it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Name {
    pub(crate) namespace: String,
    pub(crate) metric: String,
    /// In alphabetical order.
    pub(crate) dimensions: Vec<(String, String)>,
}

impl Name {
    /// The name of these parts, in whatever order the dimensions are.
    pub(crate) fn new(namespace: &str, metric: &str, mut dimensions: Vec<(String, String)>) -> Self {
        dimensions.sort();
        Self { namespace: namespace.to_owned(), metric: metric.to_owned(), dimensions }
    }

    fn parts(&self) -> Vec<&str> {
        let dimensions = self.dimensions.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        [self.namespace.as_str(), self.metric.as_str()].into_iter().chain(dimensions).collect()
    }
}

/// A series.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Series {
    pub(super) name: Name,
    /// The time of about the last value, in seconds.
    pub(super) last: i64,
    /// Whether there are seconds of it.
    #[serde(default)]
    pub(super) fine: bool,
}
json_record!(Series, version 1);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Counts {
    last: u64,
    series: u64,
}
json_record!(Counts, version 1);

/// Values of one moment.
pub(crate) struct Datum {
    /// In seconds.
    pub(crate) time: i64,
    /// Its place in [`UNITS`].
    pub(crate) unit: u8,
    pub(crate) values: Summary,
    /// Whether seconds are to be kept too.
    pub(crate) fine: bool,
}

/// The place of a unit in [`UNITS`].
pub(crate) fn unit(name: &str) -> u8 {
    UNITS.iter().position(|known| *known == name).and_then(|at| u8::try_from(at).ok()).unwrap_or(0)
}

/// Adds values to a metric; false if there is no room for one more series.
pub(crate) fn add(db: &mut Write, name: &Name, datum: &Datum) -> Result<bool, Fault> {
    let Some(number) = open(db, name, datum)? else { return Ok(false) };
    add_to(db, &MINUTES, number, datum.time.div_euclid(60) * 60, datum)?;
    if datum.fine {
        add_to(db, &SECONDS, number, datum.time, datum)?;
    }
    Ok(true)
}

fn add_to(db: &mut Write, table: &Table<Summary>, number: u64, time: i64, datum: &Datum) -> Result<(), Fault> {
    let (number, time, unit) = (number.to_be_bytes(), time.max(0).to_be_bytes(), [datum.unit]);
    let parts = [&number[..], &time, &unit];
    let mut summary = db.view().get(table, parts)?.unwrap_or_default();
    summary.add(&datum.values);
    db.put(table, parts, &summary)
}

/// The number of a series, which is made if it is not there and there is room.
fn open(db: &mut Write, name: &Name, datum: &Datum) -> Result<Option<u64>, Fault> {
    if let Some(number) = number(db.view(), name)? {
        let known = db.view().get(&SERIES, [number.to_be_bytes()])?;
        if let Some(mut series) =
            known.filter(|known| known.last + NOTED_EVERY < datum.time || (datum.fine && !known.fine))
        {
            series.last = series.last.max(datum.time);
            series.fine |= datum.fine;
            db.put(&SERIES, [number.to_be_bytes()], &series)?;
        }
        return Ok(Some(number));
    }
    let mut counts = db.view().get(&COUNTS, [""])?.unwrap_or_default();
    if counts.series >= SERIES_MOST {
        return Ok(None);
    }
    counts.last += 1;
    counts.series += 1;
    db.put(&COUNTS, [""], &counts)?;
    let number = counts.last;
    db.put(&NUMBERS, name.parts(), &number.to_be_bytes().to_vec())?;
    db.put(&SERIES, [number.to_be_bytes()], &Series { name: name.clone(), last: datum.time, fine: datum.fine })?;
    Ok(Some(number))
}

/// The number of a series, if it is there.
pub(super) fn number(db: Read, name: &Name) -> Result<Option<u64>, Fault> {
    let number = db.get(&NUMBERS, name.parts())?;
    Ok(number.and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes))
}

/// A summary with its time in seconds and its unit.
pub(super) struct Point {
    pub(super) time: i64,
    pub(super) unit: u8,
    pub(super) values: Summary,
}

/// Points that are read at a time.
const STRETCH: usize = 1_000;

/// Walks over the points of a series in `from..to`, oldest first, in seconds or in minutes.
pub(super) fn each(
    db: Read,
    number: u64,
    fine: bool,
    (from, to): (i64, i64),
    mut visit: impl FnMut(Point),
) -> Result<(), Fault> {
    let table = if fine { &SECONDS } else { &MINUTES };
    let under = number.to_be_bytes();
    // Nothing has an empty unit, so this lies before all of that moment.
    let mut beyond = vec![from.max(0).to_be_bytes().to_vec()];
    loop {
        let found = db.beyond(table, [under.to_vec()], beyond.clone(), Direction::Ascending, STRETCH)?;
        let is_last = found.len() < STRETCH;
        for (key, values) in found {
            let (time, unit) = (key.bytes_at(3)?, key.bytes_at(4)?);
            beyond = vec![time.clone(), unit.clone()];
            let time = time.try_into().map(i64::from_be_bytes).unwrap_or_default();
            if time >= to {
                return Ok(());
            }
            visit(Point { time, unit: unit.first().copied().unwrap_or(0), values });
        }
        if is_last {
            return Ok(());
        }
    }
}

/// Takes away what is too old of a series, at most a stretch of it, and the series itself once nothing is left; whether there may be more.
pub(super) fn sweep(db: &mut Write, number: u64, now: i64) -> Result<bool, Fault> {
    let more = sweep_table(db, &SECONDS, number, now - SECONDS_KEPT)?;
    let more = sweep_table(db, &MINUTES, number, now - MINUTES_KEPT)? || more;
    let part = number.to_be_bytes();
    if !more && db.view().first(&MINUTES, [part])?.is_none() && db.view().first(&SECONDS, [part])?.is_none() {
        let Some(series) = db.view().get(&SERIES, [part])? else { return Ok(false) };
        db.delete(&SERIES, [part])?;
        db.delete(&NUMBERS, series.name.parts())?;
        let mut counts = db.view().get(&COUNTS, [""])?.unwrap_or_default();
        counts.series = counts.series.saturating_sub(1);
        db.put(&COUNTS, [""], &counts)?;
    }
    Ok(more)
}

fn sweep_table(db: &mut Write, table: &Table<Summary>, number: u64, before: i64) -> Result<bool, Fault> {
    let found = db.view().some(table, [number.to_be_bytes()], STRETCH)?;
    let more = found.len() == STRETCH;
    for (key, _) in found {
        if time_of(&key)? >= before {
            return Ok(false);
        }
        db.delete_at(table, &key)?;
    }
    Ok(more)
}

fn time_of(key: &Key) -> Result<i64, Fault> {
    Ok(key.bytes_at(3)?.try_into().map(i64::from_be_bytes).unwrap_or_default())
}

/// The series, whosever they are, that have something too old.
pub(super) fn overdue(view: &store::Read, now: i64) -> Result<Vec<Key>, Fault> {
    let mut overdue = Vec::new();
    for (key, series) in view.range(&SERIES, &Key::all(), None, Direction::Ascending, usize::MAX)? {
        let first_is_old = |table: &Table<Summary>, before| {
            let first = view.range(table, &key, None, Direction::Ascending, 1)?;
            first.first().map_or(Ok(false), |(first, _)| Ok::<_, Fault>(time_of(first)? < before))
        };
        let is_old =
            first_is_old(&MINUTES, now - MINUTES_KEPT)? || (series.fine && first_is_old(&SECONDS, now - SECONDS_KEPT)?);
        if is_old {
            overdue.push(key);
        }
    }
    Ok(overdue)
}
