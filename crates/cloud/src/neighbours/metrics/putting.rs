//! What clients put in: `PutMetricData`, with AWS's rules of what a value, a moment and a name may be.

use serde_json::Value;
use wire::Refusal;
use wire::cloudwatch::{MetricDatum, PutMetricDataInput};

use super::kept::{self, Datum, Name, SERIES_MOST};
use super::summary::Summary;
use super::{combination, dimensions, invalid, missing};
use crate::operation::Answer;
use crate::scope::Write;

/// Metrics of one request, and values of one metric in it.
const METRICS: usize = 1_000;
const VALUES: usize = 150;

/// The greatest value, either way.
const GREATEST: f64 = 2.348_542_582_773_833e108;

/// Seconds that a moment may lie back and ahead.
const BACK: i64 = 14 * 24 * 3600;
const AHEAD: i64 = 2 * 3600;

pub(super) fn put_metric_data(db: &mut Write, input: &PutMetricDataInput) -> Answer<()> {
    let namespace = input.namespace();
    if namespace.starts_with("AWS/") {
        return Err(invalid("The value AWS/ for parameter Namespace is invalid.").into());
    }
    let mut data = input.metric_data().unwrap_or_default();
    let entities = input.entity_metric_data().unwrap_or_default();
    if !entities.is_empty() && input.strict_entity_validation() == Some(true) {
        return Err(Refusal::not_built("StrictEntityValidation").into());
    }
    // What is measured counts also where its entity is not kept, as AWS does with one it does not like.
    data.extend(entities.iter().flat_map(|entity| entity.metric_data().unwrap_or_default()));
    if data.is_empty() {
        return Err(missing("The parameter MetricData is required.").into());
    }
    if data.len() > METRICS {
        return Err(invalid(format!("The collection MetricData must not have a size greater than {METRICS}.")).into());
    }
    let data = data.iter().enumerate().map(|(index, datum)| read(namespace, datum, index + 1, db.now() / 1000));
    // All of it is read before any of it is written: a request is taken whole or not at all.
    for (name, datum) in data.collect::<Result<Vec<_>, _>>()? {
        if !kept::add(db, &name, &datum)? {
            let message = format!("There are {SERIES_MOST} metrics in this account and region already.");
            return Err(Refusal::new("LimitExceeded", message).into());
        }
    }
    Ok(())
}

fn read(namespace: &str, given: &MetricDatum, place: usize, now: i64) -> Result<(Name, Datum), Refusal> {
    let place = format!("MetricData.member.{place}");
    let name = Name::new(namespace, given.metric_name(), dimensions(given.dimensions())?);
    #[expect(clippy::cast_possible_truncation, reason = "a moment outside is refused right below")]
    let time = given.timestamp().map_or(now, |seconds| seconds.floor() as i64);
    if !(now - BACK..=now + AHEAD).contains(&time) {
        let message = "must specify a time within the past two weeks and at most two hours ahead";
        return Err(invalid(format!("The parameter {place}.Timestamp {message}.")));
    }
    let resolution = given.storage_resolution().unwrap_or(60);
    if resolution != 1 && resolution != 60 {
        return Err(invalid(format!("The value {resolution} for parameter {place}.StorageResolution is invalid.")));
    }
    let values = values(given, &place)?;
    let unit = kept::unit(given.unit().unwrap_or("None"));
    Ok((name, Datum { time, unit, values, fine: resolution == 1 }))
}

fn values(given: &MetricDatum, place: &str) -> Result<Summary, Refusal> {
    let check = |value: f64| {
        if value.is_finite() && value.abs() <= GREATEST {
            return Ok(value);
        }
        Err(invalid(format!("The value {value} for parameter {place}.Value is invalid.")))
    };
    match (given.value(), given.statistic_values(), given.values()) {
        (Some(value), None, None) => Ok(Summary::of(check(value)?, 1.0)),
        (None, Some(set), None) => {
            let numbers = [set.sample_count(), set.sum(), set.minimum(), set.maximum()];
            let [count, sum, minimum, maximum] = numbers.map(|number| number.unwrap_or(f64::NAN));
            for number in [count, sum, minimum, maximum] {
                check(number)?;
            }
            if count <= 0.0 || minimum > maximum {
                return Err(invalid(format!("The parameter {place}.StatisticValues is invalid.")));
            }
            Ok(Summary::of_set(count, sum, minimum, maximum))
        }
        (None, None, Some(values)) => several(values, given.counts(), place, check),
        (None, None, None) => Err(missing(format!("One of Value, StatisticValues and Values is required in {place}."))),
        (Some(_), _, Some(_)) => Err(exclusive(place, "Value", "Values")),
        (Some(_), Some(_), _) => Err(exclusive(place, "Value", "StatisticValues")),
        (None, Some(_), Some(_)) => Err(exclusive(place, "StatisticValues", "Values")),
    }
}

fn exclusive(place: &str, one: &str, other: &str) -> Refusal {
    combination(format!(
        "The parameters {place}.{one} and {place}.{other} are mutually exclusive and you have specified both."
    ))
}

fn several(
    values: &Value,
    counts: Option<&Value>,
    place: &str,
    check: impl Fn(f64) -> Result<f64, Refusal>,
) -> Result<Summary, Refusal> {
    let numbers = |list: &Value| list.as_array().map(|list| list.iter().filter_map(Value::as_f64).collect::<Vec<_>>());
    let values = numbers(values).unwrap_or_default();
    let counts = counts.and_then(numbers).unwrap_or_else(|| vec![1.0; values.len()]);
    if values.is_empty() || values.len() > VALUES {
        return Err(invalid(format!("The collection {place}.Values must have 1 to {VALUES} members.")));
    }
    if values.len() != counts.len() {
        let message = format!("The parameters {place}.Values and {place}.Counts must be of the same size.");
        return Err(invalid(message));
    }
    let mut summary = Summary::default();
    for (value, count) in values.into_iter().zip(counts) {
        if check(count)? <= 0.0 {
            return Err(invalid(format!("The value {count} for parameter {place}.Counts is invalid.")));
        }
        summary.add(&Summary::of(check(value)?, count));
    }
    Ok(summary)
}
