//! Alarms: a threshold for a statistic of a metric, and the state that the last periods lead to. A change of state is told as an
//! event and kept as history; nothing is done about it, and whoever asks for that is refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Direction, Fault, Key, Table, json_record};
use wire::Refusal;
use wire::cloudwatch::{
    AlarmHistoryItem, DeleteAlarmsInput, DescribeAlarmHistoryInput, DescribeAlarmHistoryOutput,
    DescribeAlarmsForMetricInput, DescribeAlarmsForMetricOutput, DescribeAlarmsInput, DescribeAlarmsOutput,
    DisableAlarmActionsInput, EnableAlarmActionsInput, MetricAlarm, PutMetricAlarmInput, SetAlarmStateInput,
};

use super::kept::Name;
use super::reading::{self, Periods};
use super::{combination, dimensions, invalid, missing};
use crate::events::Kind;
use crate::house::{House, Job};
use crate::news::News;
use crate::operation::{Answer, Failure};
use crate::scope::{Asked, NO_PARTS, Page, Read, Scope, Write, paged};

mod judgement;
mod tags;

pub(super) use tags::{list_tags_for_resource, tag_resource, untag_resource};

use judgement::{BEYOND, Missing, State, judge};

/// By name.
const ALARMS: Table<Alarm> = Table::new("metric_alarms");
/// By alarm, time, and number of the entry at that time.
const HISTORY: Table<Entry> = Table::new("metric_alarm_history");

/// Alarms of one scope.
const ALARMS_MOST: usize = 5_000;

/// Entries of the history of one alarm.
const ENTRIES: usize = 200;

/// Seconds that the periods of one alarm may take together, as on AWS.
const LONGEST: i64 = 7 * 24 * 3600;

/// An alarm.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Alarm {
    metric: Name,
    statistic: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    period: i64,
    periods: i64,
    /// How many of them; all of them if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    needed: Option<i64>,
    threshold: f64,
    operator: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    actions_enabled: bool,
    /// For the states OK, ALARM and INSUFFICIENT_DATA.
    #[serde(default)]
    actions: [Vec<String>; 3],
    configured: i64,
    state: String,
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    /// When state or reason were last set, and when the state changed.
    updated: i64,
    changed: i64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
}
json_record!(Alarm, version 1);

/// An entry of the history of an alarm.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    kind: String,
    summary: String,
    data: String,
}
json_record!(Entry, version 1);

/// What makes up a configuration here; the rest of what AWS knows is refused by name.
fn refuse_what_is_not_built(input: &PutMetricAlarmInput) -> Result<(), Refusal> {
    let given = [
        (input.metrics().is_some(), "Metrics of an alarm"),
        (input.threshold_metric_id().is_some(), "ThresholdMetricId of an alarm"),
        (input.evaluation_window().is_some(), "EvaluationWindow of an alarm"),
        (input.warm_up_configuration().is_some(), "WarmUpConfiguration of an alarm"),
        (input.evaluation_criteria().is_some(), "EvaluationCriteria of an alarm"),
        (input.evaluation_interval().is_some(), "EvaluationInterval of an alarm"),
        (input.action_configuration().is_some(), "ActionConfiguration of an alarm"),
        (input.evaluate_low_sample_count_percentile() == Some("ignore"), "EvaluateLowSampleCountPercentile"),
    ];
    match given.into_iter().find(|(is_given, _)| *is_given) {
        Some((_, what)) => Err(Refusal::not_built(what)),
        None => Ok(()),
    }
}

fn actions(input: &PutMetricAlarmInput) -> Result<[Vec<String>; 3], Refusal> {
    let actions = [input.ok_actions(), input.alarm_actions(), input.insufficient_data_actions()];
    let actions = actions.map(|list| list.unwrap_or_default().into_iter().map(str::to_owned).collect::<Vec<_>>());
    if input.actions_enabled() != Some(false) && actions.iter().any(|list| !list.is_empty()) {
        // Taken and never done, they would be a promise that nobody keeps.
        return Err(Refusal::not_built("An action of an alarm (with ActionsEnabled false it can be kept)"));
    }
    Ok(actions)
}

pub(super) fn put_metric_alarm(db: &mut Write, input: &PutMetricAlarmInput) -> Answer<()> {
    refuse_what_is_not_built(input)?;
    let name = input.alarm_name();
    let mut alarm = configured(input, db.now())?;
    let known = db.view().get(&ALARMS, [name])?;
    if known.is_none() && db.view().some(&ALARMS, NO_PARTS, ALARMS_MOST)?.len() == ALARMS_MOST {
        return Err(Refusal::new("LimitExceeded", format!("There are {ALARMS_MOST} alarms already.")).into());
    }
    let summary = match &known {
        Some(_) => format!("Alarm \"{name}\" updated"),
        None => format!("Alarm \"{name}\" created"),
    };
    if let Some(known) = known {
        // What it watches may be another thing now; until it is looked at, the state stays.
        alarm = Alarm {
            state: known.state,
            reason: known.reason,
            data: known.data,
            updated: known.updated,
            changed: known.changed,
            // Those of the request are for new alarms, as AWS says.
            tags: known.tags,
            ..alarm
        };
    }
    db.put(&ALARMS, [name], &alarm)?;
    let data = json!({"version": "1.0", "type": "Update", "updatedAlarm": {"alarmName": name}}).to_string();
    remember(db, name, &Entry { kind: "ConfigurationUpdate".to_owned(), summary, data })
}

fn configured(input: &PutMetricAlarmInput, now: i64) -> Result<Alarm, Refusal> {
    let need = |what: &str| missing(format!("The parameter {what} is required."));
    let namespace = input.namespace().ok_or_else(|| need("Namespace"))?;
    let metric = input.metric_name().ok_or_else(|| need("MetricName"))?;
    let (parameter, statistic) = match (input.statistic(), input.extended_statistic()) {
        (Some(statistic), None) => ("Statistic", statistic),
        (None, Some(statistic)) => ("ExtendedStatistic", statistic),
        (None, None) => return Err(need("Statistic or ExtendedStatistic")),
        _ => return Err(combination("Only one of Statistic and ExtendedStatistic may be given.")),
    };
    reading::statistic(parameter, statistic)?;
    check_options(input)?;
    let period = input.period().ok_or_else(|| need("Period"))?;
    if ![10, 20, 30].contains(&period) && (period <= 0 || period % 60 != 0) {
        return Err(invalid("Period must be 10, 20, 30 or a multiple of 60."));
    }
    let periods = input.evaluation_periods().ok_or_else(|| need("EvaluationPeriods"))?;
    if periods <= 0 || periods.saturating_mul(period) > LONGEST {
        return Err(invalid(
            "Metrics cannot be checked across more than seven days: EvaluationPeriods * Period is too long.",
        ));
    }
    if input.datapoints_to_alarm().is_some_and(|needed| !(1..=periods).contains(&needed)) {
        return Err(invalid("DatapointsToAlarm must be between 1 and EvaluationPeriods."));
    }
    let operator = input.comparison_operator().ok_or_else(|| need("ComparisonOperator"))?;
    if is_beyond(operator, 0.0, 0.0).is_none() {
        return Err(Refusal::not_built(&format!("The comparison {operator}")));
    }
    let own = |text: Option<&str>| text.map(str::to_owned);
    Ok(Alarm {
        metric: Name::new(namespace, metric, dimensions(input.dimensions())?),
        statistic: statistic.to_owned(),
        unit: own(input.unit()),
        period,
        periods,
        needed: input.datapoints_to_alarm(),
        threshold: input.threshold().ok_or_else(|| need("Threshold"))?,
        operator: operator.to_owned(),
        missing: own(input.treat_missing_data()),
        description: own(input.alarm_description()),
        actions_enabled: input.actions_enabled() != Some(false),
        actions: actions(input)?,
        configured: now,
        state: State::InsufficientData.name().to_owned(),
        reason: "Unchecked: Initial alarm creation".to_owned(),
        data: None,
        updated: now,
        changed: now,
        tags: tags::of(input.tags())?,
    })
}

/// Options that are names, with the refusals that AWS has for others.
fn check_options(input: &PutMetricAlarmInput) -> Result<(), Refusal> {
    if let Some(name) = input.treat_missing_data().filter(|name| Missing::of_name(name).is_none()) {
        let message = format!(
            "The value {name} is not supported for TreatMissingData parameter. Supported values are [breaching, notBreaching, \
             ignore, missing]."
        );
        return Err(Refusal::new("ValidationError", message));
    }
    let percentile = input.evaluate_low_sample_count_percentile();
    if let Some(name) = percentile.filter(|name| !["evaluate", "ignore"].contains(name)) {
        let message = format!(
            "Option {name} is not supported. Supported options for parameter EvaluateLowSampleCountPercentile are evaluate and \
             ignore."
        );
        return Err(Refusal::new("ValidationError", message));
    }
    Ok(())
}

/// Whether a value is beyond a threshold; nothing if there is no such comparison here.
fn is_beyond(operator: &str, value: f64, threshold: f64) -> Option<bool> {
    match operator {
        "GreaterThanOrEqualToThreshold" => Some(value >= threshold),
        "GreaterThanThreshold" => Some(value > threshold),
        "LessThanThreshold" => Some(value < threshold),
        "LessThanOrEqualToThreshold" => Some(value <= threshold),
        _ => None,
    }
}

fn arn(db: Read, name: &str) -> String {
    format!("arn:aws:cloudwatch:{}:{}:alarm:{name}", db.cx.scope.region, db.cx.scope.account)
}

fn described(db: Read, name: &str, alarm: &Alarm) -> MetricAlarm {
    let [ok, alarm_actions, insufficient] = alarm.actions.clone();
    let described = MetricAlarm::new()
        .with_alarm_name(name)
        .with_alarm_arn(arn(db, name))
        .with_alarm_configuration_updated_timestamp(alarm.configured)
        .with_actions_enabled(alarm.actions_enabled)
        .with_ok_actions(ok)
        .with_alarm_actions(alarm_actions)
        .with_insufficient_data_actions(insufficient)
        .with_state_value(&alarm.state)
        .with_state_reason(&alarm.reason)
        .with_state_updated_timestamp(alarm.updated)
        .with_state_transitioned_timestamp(alarm.changed)
        .with_metric_name(&alarm.metric.metric)
        .with_namespace(&alarm.metric.namespace)
        .with_dimensions(reading::dimensions_of(&alarm.metric))
        .with_period(alarm.period)
        .with_evaluation_periods(alarm.periods)
        .with_threshold(alarm.threshold)
        .with_comparison_operator(&alarm.operator);
    let described = if alarm.statistic.starts_with('p') {
        described.with_extended_statistic(&alarm.statistic)
    } else {
        described.with_statistic(&alarm.statistic)
    };
    let put = |described, value: &Option<String>, with: fn(MetricAlarm, String) -> MetricAlarm| match value {
        Some(value) => with(described, value.clone()),
        None => described,
    };
    let described = put(described, &alarm.description, MetricAlarm::with_alarm_description);
    let described = put(described, &alarm.unit, MetricAlarm::with_unit);
    let described = put(described, &alarm.missing, MetricAlarm::with_treat_missing_data);
    let described = put(described, &alarm.data, MetricAlarm::with_state_reason_data);
    match alarm.needed {
        Some(needed) => described.with_datapoints_to_alarm(needed),
        None => described,
    }
}

fn page_of(
    db: Read,
    token: Option<&str>,
    limit: Option<i64>,
    is_asked: impl Fn(&str, &Alarm) -> bool,
) -> Answer<Page<Alarm>> {
    let asked = Asked::new(token, Some(limit.unwrap_or(50)));
    let page = db.page(&ALARMS, NO_PARTS, asked, |key, alarm| key.text_at(2).is_ok_and(|name| is_asked(&name, alarm)));
    page.map_err(|failure| match failure {
        Failure::Refusal(_) => Refusal::new("InvalidNextToken", "The next token specified is invalid.").into(),
        other => other,
    })
}

/// There are no composite alarms, so nothing has children or parents.
pub(super) fn describe_alarms(db: Read, input: &DescribeAlarmsInput) -> Answer<DescribeAlarmsOutput> {
    let names = input.alarm_names().filter(|names| !names.is_empty());
    let is_here = input.alarm_types().is_none_or(|types| types.contains(&"MetricAlarm"));
    let is_here = is_here && input.children_of_alarm_name().is_none() && input.parents_of_alarm_name().is_none();
    let prefix = |text: &str, prefix: Option<&str>| prefix.is_none_or(|prefix| text.starts_with(prefix));
    let page = page_of(db, input.next_token(), input.max_records(), |name, alarm| {
        is_here
            && names.as_ref().is_none_or(|names| names.contains(&name))
            && prefix(name, input.alarm_name_prefix())
            && input.state_value().is_none_or(|state| state == alarm.state)
            && (input.action_prefix().is_none()
                || alarm.actions.iter().flatten().any(|action| prefix(action, input.action_prefix())))
    })?;
    let alarms = page.items.iter().map(|(key, alarm)| Ok(described(db, &key.text_at(2)?, alarm)));
    let alarms = alarms.collect::<Result<Vec<_>, Fault>>()?;
    let answer = DescribeAlarmsOutput::new().with_metric_alarms(alarms).with_composite_alarms([]);
    Ok(paged(answer, page.next, DescribeAlarmsOutput::with_next_token))
}

pub(super) fn describe_alarms_for_metric(
    db: Read,
    input: &DescribeAlarmsForMetricInput,
) -> Answer<DescribeAlarmsForMetricOutput> {
    let name = Name::new(input.namespace(), input.metric_name(), dimensions(input.dimensions())?);
    let statistic = input.statistic().or(input.extended_statistic());
    let mut alarms = Vec::new();
    for (key, alarm) in db.all(&ALARMS, NO_PARTS)? {
        let is_asked = alarm.metric == name
            && statistic.is_none_or(|statistic| statistic == alarm.statistic)
            && input.period().is_none_or(|period| period == alarm.period)
            && input.unit().is_none_or(|unit| alarm.unit.as_deref() == Some(unit));
        if is_asked {
            alarms.push(described(db, &key.text_at(2)?, &alarm));
        }
    }
    Ok(DescribeAlarmsForMetricOutput::new().with_metric_alarms(alarms))
}

pub(super) fn delete_alarms(db: &mut Write, input: &DeleteAlarmsInput) -> Answer<()> {
    // One that is not there does not keep the others.
    for name in input.alarm_names().unwrap_or_default() {
        if !db.view().contains(&ALARMS, [name])? {
            continue;
        }
        db.delete(&ALARMS, [name])?;
        let data = json!({"version": "1.0", "type": "Delete", "deletedAlarm": {"alarmName": name}}).to_string();
        let summary = format!("Alarm \"{name}\" deleted");
        remember(db, name, &Entry { kind: "ConfigurationUpdate".to_owned(), summary, data })?;
    }
    Ok(())
}

fn named(db: Read, name: &str) -> Answer<Alarm> {
    let known = db.get(&ALARMS, [name])?;
    known.ok_or_else(|| Refusal::new("ResourceNotFound", format!("Unknown alarm: {name}")).with_status(404).into())
}

/// The state lasts until the alarm is next looked at.
pub(super) fn set_alarm_state(db: &mut Write, input: &SetAlarmStateInput) -> Answer<()> {
    let name = input.alarm_name();
    let mut alarm = named(db.view(), name)?;
    let data = input.state_reason_data();
    if data.is_some_and(|data| serde_json::from_str::<serde_json::Value>(data).is_err()) {
        return Err(Refusal::new("InvalidFormat", "StateReasonData must be JSON.").into());
    }
    let judged = Judged {
        state: State::of_name(input.state_value()).ok_or_else(|| invalid("Invalid StateValue."))?,
        reason: input.state_reason().to_owned(),
        data: data.map(str::to_owned),
    };
    enter(db, name, &mut alarm, judged)
}

pub(super) fn enable_alarm_actions(db: &mut Write, input: &EnableAlarmActionsInput) -> Answer<()> {
    for name in input.alarm_names().unwrap_or_default() {
        let Some(mut alarm) = db.view().get(&ALARMS, [name])? else { continue };
        if alarm.actions.iter().any(|list| !list.is_empty()) {
            return Err(Refusal::not_built("An action of an alarm").into());
        }
        alarm.actions_enabled = true;
        db.put(&ALARMS, [name], &alarm)?;
    }
    Ok(())
}

pub(super) fn disable_alarm_actions(db: &mut Write, input: &DisableAlarmActionsInput) -> Answer<()> {
    for name in input.alarm_names().unwrap_or_default() {
        let Some(mut alarm) = db.view().get(&ALARMS, [name])? else { continue };
        alarm.actions_enabled = false;
        db.put(&ALARMS, [name], &alarm)?;
    }
    Ok(())
}

pub(super) fn describe_alarm_history(
    db: Read,
    input: &DescribeAlarmHistoryInput,
) -> Answer<DescribeAlarmHistoryOutput> {
    let between = |time: i64| {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of our time fit")]
        let seconds = time as f64 / 1000.0;
        input.start_date().is_none_or(|start| seconds >= start) && input.end_date().is_none_or(|end| seconds <= end)
    };
    let ascending = input.scan_by() == Some("TimestampAscending");
    let asked = Asked::new(input.next_token(), Some(input.max_records().unwrap_or(100))).by_date(Some(ascending));
    let parts: Vec<&str> = input.alarm_name().into_iter().collect();
    let is_asked = |key: &Key, entry: &Entry| {
        input.history_item_type().is_none_or(|kind| kind == entry.kind) && time_of(key).is_ok_and(between)
    };
    let page = db.page(&HISTORY, parts, asked, is_asked).map_err(|failure| match failure {
        Failure::Refusal(_) => Refusal::new("InvalidNextToken", "The next token specified is invalid.").into(),
        other => other,
    })?;
    let item = |(key, entry): &(Key, Entry)| {
        Ok(AlarmHistoryItem::new()
            .with_alarm_name(key.text_at(2)?)
            .with_alarm_type("MetricAlarm")
            .with_timestamp(time_of(key)?)
            .with_history_item_type(&entry.kind)
            .with_history_summary(&entry.summary)
            .with_history_data(&entry.data))
    };
    let items = page.items.iter().map(item).collect::<Result<Vec<_>, Fault>>()?;
    let answer = DescribeAlarmHistoryOutput::new().with_alarm_history_items(items);
    Ok(paged(answer, page.next, DescribeAlarmHistoryOutput::with_next_token))
}

fn time_of(key: &Key) -> Result<i64, Fault> {
    Ok(key.bytes_at(3)?.try_into().map(i64::from_be_bytes).unwrap_or_default())
}

/// Puts an entry into the history of an alarm; the oldest goes if there are too many.
fn remember(db: &mut Write, name: &str, entry: &Entry) -> Answer<()> {
    let entries = db.view().all(&HISTORY, [name])?;
    if let Some((oldest, _)) = entries.first().filter(|_| entries.len() >= ENTRIES) {
        db.delete_at(&HISTORY, oldest)?;
    }
    let (time, number) = (db.now().max(0).to_be_bytes(), db.cx.entropy.number().to_be_bytes());
    Ok(db.put(&HISTORY, [name.as_bytes(), &time, &number], entry)?)
}

/// What a look at an alarm has found.
#[derive(Clone)]
struct Judged {
    state: State,
    reason: String,
    data: Option<String>,
}

/// An alarm enters a state, or its reason changes.
fn enter(db: &mut Write, name: &str, alarm: &mut Alarm, judged: Judged) -> Answer<()> {
    let before = std::mem::replace(&mut alarm.state, judged.state.name().to_owned());
    alarm.reason = judged.reason;
    alarm.data = judged.data;
    alarm.updated = db.now();
    if before == alarm.state {
        return Ok(db.put(&ALARMS, [name], alarm)?);
    }
    alarm.changed = db.now();
    db.put(&ALARMS, [name], alarm)?;
    let state = alarm.state.clone();
    let told = Kind::Alarm { name: name.to_owned(), state: judged.state.name(), reason: alarm.reason.clone() };
    db.tell(News::Event(told));
    let summary = format!("Alarm updated from {before} to {state}");
    let of = |state: &str, reason: &str| json!({"stateValue": state, "stateReason": reason});
    let data = json!({"version": "1.0", "oldState": of(&before, ""), "newState": of(&state, &alarm.reason)});
    remember(db, name, &Entry { kind: "StateUpdate".to_owned(), summary, data: data.to_string() })
}

impl House {
    /// Looks at every alarm; what must be written of it comes back for the desk.
    pub(super) fn look_at_alarms(&self, now: i64, entropy: u128) -> Result<Vec<Job>, Fault> {
        let view = self.store.read();
        let mut jobs = Vec::new();
        for (key, alarm) in view.range(&ALARMS, &Key::all(), None, Direction::Ascending, usize::MAX)? {
            let (scope, name) = (Scope::new(&key.text_at(0)?, &key.text_at(1)?), key.text_at(2)?);
            let cx = self.context(&scope, now, entropy.wrapping_add(jobs.len() as u128));
            let Some(judged) = look(Read::new(&view, &cx), &alarm)? else { continue };
            if judged.state.name() == alarm.state {
                continue;
            }
            jobs.push(Job::new(cx, move |db| match db.view().get(&ALARMS, [name.as_str()])? {
                // One that has been changed meanwhile is looked at the next time.
                Some(mut current) if current.configured == alarm.configured => {
                    enter(db, &name, &mut current, judged.clone())
                }
                _ => Ok(()),
            }));
        }
        Ok(jobs)
    }
}

/// What the last whole periods mean; nothing if the state stays as it is.
fn look(db: Read, alarm: &Alarm) -> Result<Option<Judged>, Fault> {
    let Ok(statistic) = reading::statistic("Statistic", &alarm.statistic) else { return Ok(None) };
    let periods = usize::try_from(alarm.periods).unwrap_or(1).max(1);
    let needed = alarm.needed.and_then(|needed| usize::try_from(needed).ok()).unwrap_or(periods).clamp(1, periods);
    let count = periods + BEYOND;
    let to = (db.now() / 1000).div_euclid(alarm.period) * alarm.period;
    let span = alarm.period.saturating_mul(i64::try_from(count).unwrap_or(i64::MAX));
    let window = Periods { from: to.saturating_sub(span).max(0), to, period: alarm.period };
    let collected = reading::collect(db, &alarm.metric, alarm.unit.as_deref(), window)?;
    let mut values = vec![None; count];
    for ((start, _), summary) in &collected {
        let index = usize::try_from((start - window.from) / alarm.period).unwrap_or(usize::MAX);
        if let Some(value) = values.get_mut(index) {
            *value = summary.statistic(statistic);
        }
    }
    let beyond = |value: &Option<f64>| value.and_then(|value| is_beyond(&alarm.operator, value, alarm.threshold));
    let seen: Vec<Option<bool>> = values.iter().map(beyond).collect();
    let missing = alarm.missing.as_deref().and_then(Missing::of_name).unwrap_or(Missing::Unknown);
    let state = judge(&seen, periods, needed, missing);
    let recent: Vec<f64> = values.iter().rev().copied().flatten().take(periods).collect();
    Ok(state.map(|state| judged(alarm, state, &recent, needed)))
}

/// The state with its reason, much as AWS words it.
fn judged(alarm: &Alarm, state: State, recent: &[f64], needed: usize) -> Judged {
    let words = match alarm.operator.as_str() {
        "GreaterThanOrEqualToThreshold" => "greater than or equal to",
        "GreaterThanThreshold" => "greater than",
        "LessThanThreshold" => "less than",
        _ => "less than or equal to",
    };
    let threshold = alarm.threshold;
    let reason = if state == State::InsufficientData {
        format!("Insufficient Data: {} datapoints were unknown.", alarm.periods)
    } else {
        let is = |value: &&f64| is_beyond(&alarm.operator, **value, threshold) == Some(state == State::Alarm);
        let (those, count) = (recent.iter().filter(is).count(), recent.len());
        let listed: Vec<String> = recent.iter().map(|value| format!("{value:?}")).collect();
        let not = if state == State::Alarm { "" } else { "not " };
        format!(
            "Threshold Crossed: {those} out of the last {count} datapoints [{}] was {not}{words} the threshold \
             ({threshold:?}) (minimum {needed} datapoint for OK -> ALARM transition).",
            listed.join(", "),
        )
    };
    let data = json!({
        "version": "1.0", "statistic": alarm.statistic, "period": alarm.period, "recentDatapoints": recent,
        "threshold": threshold,
    });
    Judged {
        state,
        reason: reason.chars().take(1023).collect(),
        data: Some(data.to_string()).filter(|it| it.len() <= 4000),
    }
}
