//! The actions on CloudWatch: log events, metrics and the states of alarms (rules.md §5). What is kept of them, and for how
//! long, is the service's affair.

use serde_json::{Value, json};
use wire::Refusal;

use super::aws;
use super::effect::{AwsRequest, Effect, Failure, Service, Work};
use super::fields::Fields;
use super::text::{Text, render};
use super::{Prepare, Prepared, Unprepared};

/// Events of one `PutLogEvents`.
const MOST_EVENTS: usize = 10_000;

struct Logs {
    group: Text,
    batch: bool,
    role: String,
}

struct Metric {
    namespace: Text,
    name: Text,
    value: Text,
    unit: Text,
    timestamp: Option<Text>,
    role: String,
}

struct Alarm {
    name: Text,
    reason: Text,
    state: Text,
    role: String,
}

const STATES: [&str; 3] = ["OK", "ALARM", "INSUFFICIENT_DATA"];

pub(super) fn parse_logs(fields: &Fields<'_>) -> Result<Box<dyn Prepare>, Refusal> {
    fields.need(Service::Logs)?;
    let group = fields.text("logGroupName")?;
    Ok(Box::new(Logs { group, batch: fields.flag("batchMode")?, role: fields.role()? }))
}

pub(super) fn parse_metric(fields: &Fields<'_>) -> Result<Box<dyn Prepare>, Refusal> {
    fields.need(Service::CloudWatch)?;
    Ok(Box::new(Metric {
        namespace: fields.text("metricNamespace")?,
        name: fields.text("metricName")?,
        value: fields.text("metricValue")?,
        unit: fields.text("metricUnit")?,
        timestamp: fields.optional_text("metricTimestamp")?,
        role: fields.role()?,
    }))
}

pub(super) fn parse_alarm(fields: &Fields<'_>) -> Result<Box<dyn Prepare>, Refusal> {
    fields.need(Service::CloudWatch)?;
    let state = fields.choice("stateValue", &STATES)?;
    Ok(Box::new(Alarm {
        name: fields.text("alarmName")?,
        reason: fields.text("stateReason")?,
        state: state.ok_or_else(|| fields.invalid("stateValue", "it is required"))?,
        role: fields.role()?,
    }))
}

impl Prepare for Logs {
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        let group = self.group.render_some("logGroupName", cx)?;
        let text = aws::text_payload(cx)?;
        let events = if self.batch { events(text)? } else { vec![(cx.message.now, text.to_owned())] };
        let events: Vec<Value> = events
            .into_iter()
            .map(|(timestamp, message)| json!({"timestamp": timestamp, "message": message}))
            .collect();
        // unconfirmed: how AWS names the stream; here each rule writes to one of its own.
        let stream = json!({"logGroupName": group, "logStreamName": cx.rule});
        let put = json!({"logGroupName": group, "logStreamName": cx.rule, "logEvents": events});
        let role = Some(self.role.clone());
        let create = aws::json(Service::Logs, "1.1", "Logs_20140328.CreateLogStream", &stream, cx);
        let create = Some(Box::new(AwsRequest { role: role.clone(), ..create }));
        let request = aws::json(Service::Logs, "1.1", "Logs_20140328.PutLogEvents", &put, cx);
        let refused = Some("rejectedLogEventsInfo");
        Ok(Effect::new(group, Work::Aws(AwsRequest { role, create, refused, ..request })))
    }
}

/// The events of a batch in order of time, as the service wants them: `[{"timestamp":ms,"message":"…"},…]`.
fn events(payload: &str) -> Result<Vec<(i64, String)>, Unprepared> {
    let read = |event: &Value| Some((event.get("timestamp")?.as_i64()?, event.get("message")?.as_str()?.to_owned()));
    let items: Option<Vec<Value>> = serde_json::from_str(payload).ok();
    let events: Option<Vec<_>> = items.and_then(|items| items.iter().map(read).collect());
    let fits = |events: &Vec<_>| (1..=MOST_EVENTS).contains(&events.len());
    let mut events = events.filter(fits).ok_or_else(|| {
        let form = "[{\"timestamp\":milliseconds,\"message\":\"text\"},…]";
        Failure::unusable(format!("The payload is not a batch of log events: {form} with 1 to {MOST_EVENTS} of them."))
    })?;
    events.sort_by_key(|(timestamp, _)| *timestamp);
    Ok(events)
}

impl Prepare for Metric {
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        let namespace = self.namespace.render_some("metricNamespace", cx)?;
        let name = self.name.render_some("metricName", cx)?;
        let value = self.value.render_some("metricValue", cx)?;
        if !value.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(Failure::unusable(format!("The metricValue is {value:?}, and must be a number.")).into());
        }
        let unit = self.unit.render_some("metricUnit", cx)?;
        let seconds = match render(self.timestamp.as_ref(), cx)?.filter(|text| !text.is_empty()) {
            None => cx.message.now / 1000,
            Some(text) => text.parse().map_err(|_| {
                Failure::unusable(format!("The metricTimestamp is {text:?}, and must be in seconds since 1970."))
            })?,
        };
        let time = jiff::Timestamp::from_second(seconds)
            .map_err(|_| Failure::unusable(format!("The metricTimestamp {seconds} is beyond any calendar.")))?;
        let time = time.to_string();
        let pairs = [
            ("Action", "PutMetricData"),
            ("Version", "2010-08-01"),
            ("Namespace", namespace.as_str()),
            ("MetricData.member.1.MetricName", name.as_str()),
            ("MetricData.member.1.Timestamp", time.as_str()),
            ("MetricData.member.1.Value", value.as_str()),
            ("MetricData.member.1.Unit", unit.as_str()),
        ];
        let request = aws::query(Service::CloudWatch, &pairs, cx);
        Ok(Effect::new(name.as_str(), Work::Aws(AwsRequest { role: Some(self.role.clone()), ..request })))
    }
}

impl Prepare for Alarm {
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        let name = self.name.render_some("alarmName", cx)?;
        let reason = self.reason.render(cx)?;
        let state = self.state.render_choice("stateValue", &STATES, cx)?;
        let pairs = [
            ("Action", "SetAlarmState"),
            ("Version", "2010-08-01"),
            ("AlarmName", name.as_str()),
            ("StateValue", state),
            ("StateReason", reason.as_str()),
        ];
        let request = aws::query(Service::CloudWatch, &pairs, cx);
        Ok(Effect::new(name.as_str(), Work::Aws(AwsRequest { role: Some(self.role.clone()), ..request })))
    }
}
