//! What is asked of metrics: which there are, and statistics of them by period. How values came in is unknown here.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};
use store::Fault;
use wire::Refusal;
use wire::cloudwatch::{
    Datapoint, Dimension, GetMetricDataInput, GetMetricDataOutput, GetMetricStatisticsInput, GetMetricStatisticsOutput,
    ListMetricsInput, ListMetricsOutput, Metric, MetricDataQuery, MetricDataResult,
};

use super::kept::{self, Name, SERIES, Series, UNITS};
use super::summary::{Statistic, Summary};
use super::{combination, dimensions, invalid};
use crate::operation::{Answer, Failure};
use crate::scope::{Asked, NO_PARTS, Read, paged};

/// Datapoints of one answer of `GetMetricStatistics`.
const DATAPOINTS: i64 = 1_440;

/// The same of `GetMetricData`, all queries together, and how many those are.
const DATAPOINTS_TOGETHER: usize = 100_800;
/// Seconds that all queries of one page look over: more are for the next.
const LOOKED_OVER: i64 = 400 * 24 * 3600;
const QUERIES: usize = 500;

/// Metrics on a page.
const METRICS: i64 = 500;

/// Seconds for which a metric without values is still listed, and those for which it is recently active.
const LISTED: i64 = 14 * 24 * 3600;
const RECENT: i64 = 3 * 3600;

/// Periods from a moment to another, in seconds.
#[derive(Clone, Copy)]
pub(super) struct Periods {
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) period: i64,
}

impl Periods {
    /// As AWS reads a request: the start goes down to a whole minute, or to a whole period that is shorter than one.
    // unconfirmed: that longer periods are counted from there, and not from the hour.
    fn asked(start: Option<f64>, end: Option<f64>, period: i64) -> Result<Self, Refusal> {
        let is_fine = [1, 5, 10, 20, 30].contains(&period);
        if period <= 0 || (!is_fine && period % 60 != 0) {
            let message = "must be 1, 5, 10, 20, 30 or a multiple of 60";
            return Err(invalid(format!("The parameter Period {message}, and is {period}.")));
        }
        let step = if is_fine { period } else { 60 };
        let (start, to) = (seconds(start), seconds(end));
        if start >= to {
            return Err(invalid("The parameter StartTime must be less than the parameter EndTime."));
        }
        Ok(Self { from: start.div_euclid(step).saturating_mul(step), to, period })
    }

    /// How many there are.
    fn count(self) -> i64 {
        self.to.saturating_sub(self.from).saturating_add(self.period - 1) / self.period
    }

    fn is_fine(self) -> bool {
        self.period < 60
    }
}

/// A moment in whole seconds.
#[expect(clippy::cast_possible_truncation, reason = "beyond the ends of time is as good as there")]
fn seconds(given: Option<f64>) -> i64 {
    given.unwrap_or(0.0).floor() as i64
}

/// The values of each period that has some, by its start and unit.
pub(super) fn collect(
    db: Read,
    name: &Name,
    unit: Option<&str>,
    periods: Periods,
) -> Result<BTreeMap<(i64, u8), Summary>, Fault> {
    let mut collected: BTreeMap<(i64, u8), Summary> = BTreeMap::new();
    let Some(number) = kept::number(db, name)? else { return Ok(collected) };
    let unit = unit.map(kept::unit);
    kept::each(db, number, periods.is_fine(), (periods.from, periods.to), |point| {
        if unit.is_none_or(|unit| unit == point.unit) {
            let start = point.time - (point.time - periods.from).rem_euclid(periods.period);
            collected.entry((start, point.unit)).or_default().add(&point.values);
        }
    })?;
    Ok(collected)
}

pub(super) fn get_metric_statistics(db: Read, input: &GetMetricStatisticsInput) -> Answer<GetMetricStatisticsOutput> {
    let plain = named(input.statistics().unwrap_or_default())?;
    let extended = named(input.extended_statistics().unwrap_or_default())?;
    match (plain.is_empty(), extended.is_empty()) {
        (true, true) => return Err(combination("Must specify either Statistics or ExtendedStatistics").into()),
        (false, false) => {
            return Err(combination("Only one of Statistics and ExtendedStatistics may be given.").into());
        }
        _ => {}
    }
    let periods = Periods::asked(input.start_time(), input.end_time(), input.period().unwrap_or(0))?;
    let count = periods.count();
    if count > DATAPOINTS {
        let message = format!(
            "You have requested up to {count} datapoints, which exceeds the limit of {DATAPOINTS}. You may reduce the \
             datapoints requested by increasing Period, or decreasing the time range."
        );
        return Err(combination(message).into());
    }
    let name = Name::new(input.namespace(), input.metric_name(), dimensions(input.dimensions())?);
    let collected = collect(db, &name, input.unit(), periods)?;
    let points = collected.iter().map(|((start, unit), values)| {
        let point = Datapoint::new().with_timestamp(start.saturating_mul(1000));
        let point = point.with_unit(UNITS.get(usize::from(*unit)).copied().unwrap_or_default());
        let point = plain.iter().fold(point, |point, (_, statistic)| with(point, *statistic, values));
        let of = |(name, statistic): &(String, Statistic)| Some((name.clone(), json!(values.statistic(*statistic)?)));
        let known: Map<String, Value> = extended.iter().filter_map(of).collect();
        if known.is_empty() { point } else { point.with_extended_statistics(known) }
    });
    Ok(GetMetricStatisticsOutput::new().with_label(input.metric_name()).with_datapoints(points))
}

fn with(point: Datapoint, statistic: Statistic, values: &Summary) -> Datapoint {
    let Some(value) = values.statistic(statistic) else { return point };
    match statistic {
        Statistic::SampleCount => point.with_sample_count(value),
        Statistic::Sum => point.with_sum(value),
        Statistic::Average => point.with_average(value),
        Statistic::Minimum => point.with_minimum(value),
        Statistic::Maximum => point.with_maximum(value),
        Statistic::Percentile(_) => point,
    }
}

fn named(names: Vec<&str>) -> Result<Vec<(String, Statistic)>, Refusal> {
    names.into_iter().map(|name| Ok((name.to_owned(), statistic("Statistic", name)?))).collect()
}

/// The statistic of this name, which a parameter gives. AWS has more than are built: trimmed means and the like.
pub(super) fn statistic(parameter: &str, name: &str) -> Result<Statistic, Refusal> {
    const OTHERS: [&str; 6] = ["tm", "wm", "tc", "ts", "pr(", "iqm"];
    let lower = name.to_ascii_lowercase();
    Statistic::of_name(name).ok_or_else(|| match OTHERS.iter().find(|start| lower.starts_with(**start)) {
        Some(_) => Refusal::not_built(&format!("The statistic {name}")),
        None => invalid(format!("The value {name} for parameter {parameter} is not supported.")),
    })
}

/// One query of `GetMetricData`.
struct Query {
    id: String,
    /// The one that was given, if one was.
    given: Option<String>,
    label: String,
    name: Name,
    stat: String,
    statistic: Statistic,
    unit: Option<String>,
    periods: Periods,
    is_returned: bool,
}

fn query(place: usize, given: &MetricDataQuery, input: &GetMetricDataInput) -> Result<Query, Refusal> {
    let id = given.id();
    if given.expression().is_some() {
        return Err(Refusal::not_built(&format!("The expression of the query {id}")));
    }
    let is_id = id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_id {
        return Err(Refusal::new(
            "ValidationError",
            format!("The value {id} for parameter Id is not matching the expected pattern."),
        ));
    }
    let stat = given.metric_stat();
    let stat = stat.ok_or_else(|| {
        let message = format!("The parameter MetricDataQueries.member.{place}.MetricStat is required.\n");
        Refusal::new("ValidationError", message)
    })?;
    let metric = stat.metric().unwrap_or_default();
    let (namespace, name) = (metric.namespace().unwrap_or_default(), metric.metric_name().unwrap_or_default());
    Ok(Query {
        id: id.to_owned(),
        given: given.label().map(str::to_owned),
        label: String::new(),
        name: Name::new(namespace, name, dimensions(metric.dimensions())?),
        stat: stat.stat().to_owned(),
        statistic: statistic("Statistic", stat.stat())?,
        unit: stat.unit().map(str::to_owned),
        periods: Periods::asked(input.start_time(), input.end_time(), stat.period().unwrap_or(0))?,
        is_returned: given.return_data() != Some(false),
    })
}

/// Whether the end comes after the start; this operation has words of its own for that.
fn check_order(input: &GetMetricDataInput) -> Result<(), Refusal> {
    let message = match seconds(input.start_time()).cmp(&seconds(input.end_time())) {
        Ordering::Less => return Ok(()),
        Ordering::Equal => "The parameter StartTime must not equal parameter EndTime.",
        Ordering::Greater => "The parameter EndTime must be greater than StartTime.",
    };
    Err(Refusal::new("ValidationError", message))
}

/// The queries with their labels: where none is given the name of the metric, and with it what the queries differ in.
fn labelled(mut queries: Vec<Query>) -> Vec<Query> {
    let first = queries.first().map(|query| (query.stat.clone(), query.periods.period));
    let Some((stat, period)) = first else { return queries };
    let by_stat = queries.iter().any(|query| query.stat != stat);
    let by_period = queries.iter().any(|query| query.periods.period != period);
    for query in &mut queries {
        let usual = || {
            let stat = if by_stat { format!(" {}", query.stat) } else { String::new() };
            let period = if by_period { format!(" {}", query.periods.period) } else { String::new() };
            format!("{}{stat}{period}", query.name.metric)
        };
        query.label = query.given.clone().unwrap_or_else(usual);
    }
    queries
}

pub(super) fn get_metric_data(db: Read, input: &GetMetricDataInput) -> Answer<GetMetricDataOutput> {
    let given = input.metric_data_queries().unwrap_or_default();
    if given.len() > QUERIES {
        return Err(
            invalid(format!("The collection MetricDataQueries must not have a size greater than {QUERIES}.")).into()
        );
    }
    check_order(input)?;
    let queries = given.iter().zip(1..).map(|(given, place)| query(place, given, input));
    let queries = labelled(queries.collect::<Result<Vec<_>, _>>()?);
    let ids: HashSet<&str> = queries.iter().map(|query| query.id.as_str()).collect();
    if ids.len() < queries.len() {
        return Err(Refusal::new("ValidationError", "The values for parameter Id must be unique.").into());
    }
    let most = input.max_datapoints().and_then(|most| usize::try_from(most).ok()).unwrap_or(DATAPOINTS_TOGETHER);
    let mut room = most.clamp(1, DATAPOINTS_TOGETHER);
    let ascending = input.scan_by() == Some("TimestampAscending");
    let mut place =
        input.next_token().filter(|token| !token.is_empty()).map_or(Ok(Place::default()), Place::of_token)?;
    let mut looked_over = 0;
    let mut results = Vec::new();
    let mut next = None;
    for (index, query) in queries.iter().enumerate().filter(|(_, query)| query.is_returned) {
        if index < place.query {
            // An earlier page had all of it.
            results.push(result(query, Vec::new(), "Complete"));
            continue;
        }
        if room == 0 || looked_over > LOOKED_OVER {
            next = Some(Place { query: index, point: 0 });
            break;
        }
        looked_over += query.periods.to - query.periods.from;
        let mut points = points(db, query)?;
        if !ascending {
            points.reverse();
        }
        let (total, skipped) = (points.len(), std::mem::take(&mut place.point));
        let page: Vec<_> = points.into_iter().skip(skipped).take(room).collect();
        room -= page.len();
        let seen = skipped + page.len();
        if seen < total {
            results.push(result(query, page, "PartialData"));
            next = Some(Place { query: index, point: seen });
            break;
        }
        results.push(result(query, page, "Complete"));
    }
    let answer = GetMetricDataOutput::new().with_metric_data_results(results).with_messages([]);
    Ok(paged(answer, next.map(Place::token), GetMetricDataOutput::with_next_token))
}

/// The points of a query, oldest first. If values came in several units, each makes points of its own.
fn points(db: Read, query: &Query) -> Result<Vec<(i64, f64)>, Fault> {
    let collected = collect(db, &query.name, query.unit.as_deref(), query.periods)?;
    let value = |((start, _), values): ((i64, u8), Summary)| Some((start, values.statistic(query.statistic)?));
    Ok(collected.into_iter().filter_map(value).collect())
}

fn result(query: &Query, page: Vec<(i64, f64)>, status: &str) -> MetricDataResult {
    let (times, values): (Vec<i64>, Vec<f64>) = page.into_iter().unzip();
    MetricDataResult::new()
        .with_id(&query.id)
        .with_label(&query.label)
        .with_timestamps(times)
        .with_values(values)
        .with_status_code(status)
}

/// Where the next page of `GetMetricData` begins.
#[derive(Clone, Copy, Default)]
struct Place {
    query: usize,
    point: usize,
}

impl Place {
    fn token(self) -> String {
        wire::page::encode(format!("{}/{}", self.query, self.point).as_bytes())
    }

    fn of_token(token: &str) -> Result<Self, Refusal> {
        let refused = || Refusal::new("InvalidNextToken", "The next token specified is invalid.");
        let bytes = wire::page::decode(token).map_err(|_| refused())?;
        let text = String::from_utf8(bytes).map_err(|_| refused())?;
        let (query, point) = text.split_once('/').ok_or_else(refused)?;
        let number = |digits: &str| digits.parse().map_err(|_| refused());
        Ok(Self { query: number(query)?, point: number(point)? })
    }
}

pub(super) fn list_metrics(db: Read, input: &ListMetricsInput) -> Answer<ListMetricsOutput> {
    let now = db.now() / 1000;
    let since = now - if input.recently_active().is_some() { RECENT } else { LISTED };
    let filters = input.dimensions().unwrap_or_default();
    let is_own = input.owning_account().is_none_or(|account| account == &*db.cx.scope.account);
    let is_asked = |series: &Series| {
        let Name { namespace, metric, dimensions } = &series.name;
        let has = |filter: &wire::cloudwatch::DimensionFilter| {
            let is_it = |value: &str| filter.value().is_none_or(|wanted| wanted == value);
            dimensions.iter().any(|(name, value)| name == filter.name() && is_it(value))
        };
        is_own
            && series.last >= since
            && input.namespace().is_none_or(|wanted| wanted == namespace)
            && input.metric_name().is_none_or(|wanted| wanted == metric)
            && filters.iter().all(has)
    };
    let asked = Asked::new(input.next_token(), Some(METRICS));
    let page = db.page(&SERIES, NO_PARTS, asked, |_, series| is_asked(series)).map_err(|failure| match failure {
        Failure::Refusal(_) => invalid("Request parameter NextToken is invalid").into(),
        other => other,
    })?;
    let metrics: Vec<Metric> = page.items.into_iter().map(|(_, series)| metric(&series.name)).collect();
    let answer = ListMetricsOutput::new();
    let answer = match input.include_linked_accounts() {
        Some(true) => answer.with_owning_accounts(metrics.iter().map(|_| db.cx.scope.account.to_string())),
        _ => answer,
    };
    Ok(paged(answer.with_metrics(metrics), page.next, ListMetricsOutput::with_next_token))
}

/// A name as answers write it.
pub(super) fn metric(name: &Name) -> Metric {
    Metric::new().with_namespace(&name.namespace).with_metric_name(&name.metric).with_dimensions(dimensions_of(name))
}

pub(super) fn dimensions_of(name: &Name) -> Vec<Dimension> {
    name.dimensions.iter().map(|(name, value)| Dimension::new().with_name(name).with_value(value)).collect()
}
