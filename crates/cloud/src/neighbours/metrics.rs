//! Metrics, as CloudWatch has them: values by name and dimensions, statistics of them by period, and alarms. Functions, rules and
//! the platform itself put their figures in here, as clients do. What any figure means is unknown here.

mod alarms;
mod kept;
mod putting;
mod reading;
mod summary;

use std::sync::atomic::{AtomicI64, Ordering};

use store::{Fault, Key};
use wire::Refusal;

use crate::house::{House, Job};
use crate::operation::{Op, ops};
use crate::scope::Scope;

use alarms::{
    delete_alarms, describe_alarm_history, describe_alarms, describe_alarms_for_metric, disable_alarm_actions,
    enable_alarm_actions, list_tags_for_resource, put_metric_alarm, set_alarm_state, tag_resource, untag_resource,
};
use putting::put_metric_data;
use reading::{get_metric_data, get_metric_statistics, list_metrics};

pub(crate) use kept::{Datum, Name, add, unit};
pub(crate) use summary::Summary;

pub(crate) const OPS: &[Op] = ops! {
    write put_metric_data on any;
    read  get_metric_statistics on any;
    read  get_metric_data on any;
    read  list_metrics on any;
    write put_metric_alarm on any;
    read  describe_alarms on any;
    read  describe_alarms_for_metric on any;
    write delete_alarms on any;
    write set_alarm_state on any;
    read  describe_alarm_history on any;
    write enable_alarm_actions on any;
    write disable_alarm_actions on any;
    read  list_tags_for_resource on any;
    write tag_resource on any;
    write untag_resource on any;
};

/// Milliseconds between two looks at what is too old, and at alarms.
const SWEEP_EVERY: i64 = 600_000;
const ALARMS_EVERY: i64 = 10_000;

/// When it was last looked after metrics.
#[derive(Default)]
pub(crate) struct Watched {
    swept: AtomicI64,
    alarms: AtomicI64,
}

/// Whether so much time has passed, or the clock has gone back; from now on it counts anew.
fn is_due(last: &AtomicI64, every: i64, now: i64) -> bool {
    let before = last.load(Ordering::Relaxed);
    let is_due = !(before..before.saturating_add(every)).contains(&now);
    if is_due {
        last.store(now, Ordering::Relaxed);
    }
    is_due
}

impl House {
    /// What time brings for metrics: values that are too old go, and alarms are looked at.
    pub(crate) fn watch_metrics(&self, now: i64, entropy: u128) -> Vec<Job> {
        let mut jobs = Vec::new();
        if is_due(&self.metrics_watched.alarms, ALARMS_EVERY, now) {
            let found = self.look_at_alarms(now, entropy);
            jobs.extend(self.or_none(now, found));
        }
        if is_due(&self.metrics_watched.swept, SWEEP_EVERY, now) {
            let overdue = self.or_none(now, kept::overdue(&self.store.read(), now / 1000));
            jobs.extend(overdue.into_iter().filter_map(|key| self.sweep_metric(&key, now, entropy)));
        }
        jobs
    }

    fn or_none<T>(&self, now: i64, found: Result<Vec<T>, Fault>) -> Vec<T> {
        found.unwrap_or_else(|fault| {
            self.tell_fault(now, &fault);
            Vec::new()
        })
    }

    /// Sweeps a stretch of a series; what is left of it is swept the next time.
    fn sweep_metric(&self, key: &Key, now: i64, entropy: u128) -> Option<Job> {
        let (account, region) = (key.text_at(0).ok()?, key.text_at(1).ok()?);
        let number = u64::from_be_bytes(key.bytes_at(2).ok()?.try_into().ok()?);
        let cx = self.context(&Scope::new(&account, &region), now, entropy ^ u128::from(number));
        Some(Job::new(cx, move |db| {
            kept::sweep(db, number, now / 1000)?;
            Ok(())
        }))
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidParameterValue", message)
}

fn combination(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidParameterCombination", message)
}

fn missing(message: impl Into<String>) -> Refusal {
    Refusal::new("MissingParameter", message)
}

/// The dimensions of a request. None may be named twice.
fn dimensions(given: Option<Vec<wire::cloudwatch::Dimension>>) -> Result<Vec<(String, String)>, Refusal> {
    let mut dimensions: Vec<(String, String)> = Vec::new();
    for dimension in given.unwrap_or_default() {
        let name = dimension.name().to_owned();
        if dimensions.iter().any(|(known, _)| *known == name) {
            return Err(invalid(format!("No two dimensions can have the same name: {name}")));
        }
        dimensions.push((name, dimension.value().to_owned()));
    }
    Ok(dimensions)
}
