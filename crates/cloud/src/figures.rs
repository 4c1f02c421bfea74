//! The platform's own figures: what AWS IoT counts in namespace `AWS/IoT`, and of shadows what this house adds in `Ombra/Shadow`.
//! Counting is one addition; once a minute the sums go to the metrics, and the totals are there for whoever scrapes. What is
//! counted where is decided elsewhere.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::house::{House, Job};
use crate::neighbours::metrics::{self, Datum, Name, Summary};
use crate::news::News;

/// Makes the counts that are always there, and the table of their names and protocols.
macro_rules! counts {
    ($($count:ident $metric:literal $protocol:literal;)*) => {
        /// One of the figures that are always there.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Count {
            $($count,)*
        }

        /// Metric and protocol of each, in the same order; some have no protocol.
        const COUNTS: &[(&str, &str)] = &[$(($metric, $protocol),)*];
    };
}

counts! {
    Connect "Connect.Success" "MQTT";
    ConnectAuthError "Connect.AuthError" "MQTT";
    ConnectClientError "Connect.ClientError" "MQTT";
    ConnectClientIdThrottle "Connect.ClientIDThrottle" "MQTT";
    PublishIn "PublishIn.Success" "MQTT";
    PublishInAuthError "PublishIn.AuthError" "MQTT";
    PublishInClientError "PublishIn.ClientError" "MQTT";
    PublishInServerError "PublishIn.ServerError" "MQTT";
    PublishInThrottle "PublishIn.Throttle" "MQTT";
    PublishOut "PublishOut.Success" "MQTT";
    Subscribe "Subscribe.Success" "MQTT";
    SubscribeAuthError "Subscribe.AuthError" "MQTT";
    SubscribeClientError "Subscribe.ClientError" "MQTT";
    Unsubscribe "Unsubscribe.Success" "MQTT";
    GetShadow "GetThingShadow.Accepted" "MQTT";
    UpdateShadow "UpdateThingShadow.Accepted" "MQTT";
    DeleteShadow "DeleteThingShadow.Accepted" "MQTT";
    HttpPublishIn "PublishIn.Success" "HTTP";
    HttpGetShadow "GetThingShadow.Accepted" "HTTP";
    HttpUpdateShadow "UpdateThingShadow.Accepted" "HTTP";
    HttpDeleteShadow "DeleteThingShadow.Accepted" "HTTP";
    RulesExecuted "RulesExecuted" "";
}

const NAMESPACE: &str = "AWS/IoT";
const SHADOWS: &str = "Ombra/Shadow";

/// What is counted of a rule, by its place.
const OF_RULES: [&str; 4] = ["TopicMatch", "ParseError", "RuleNotFound", "RuleExecutionThrottled"];
/// What is counted of each action of a rule; the last six of those that send HTTP, when they have failed.
const OF_ACTIONS: [&str; 10] = [
    "Success",
    "Failure",
    "ErrorActionSuccess",
    "ErrorActionFailure",
    "HttpCode_4XX",
    "HttpCode_5XX",
    "HttpCode_Other",
    "HttpInvalidUrl",
    "HttpRequestTimeout",
    "HttpUnknownHost",
];

/// Rules that are counted; a name that no rule has counts too, and anybody can make one up.
const RULES: usize = 5_000;

/// Shadows that have series of their own; of those beyond only the sums of all are kept.
const OWN_SERIES: usize = 2_000;

/// Figures that are written in one transaction.
const TOGETHER: usize = 500;

/// The figures of one scope.
#[derive(Default)]
pub(crate) struct Figures {
    counts: [AtomicU64; COUNTS.len()],
    rest: Mutex<Rest>,
}

#[derive(Default)]
struct Rest {
    /// What has been written of the counts.
    written: [u64; COUNTS.len()],
    /// By name.
    rules: HashMap<Box<str>, OfRule>,
    /// What shadows did since it was last written.
    shadows: HashMap<Name, (&'static str, Summary)>,
    own_series: HashSet<(String, String)>,
}

/// All there was, and how much of it has been written.
#[derive(Clone, Copy, Default)]
struct Tally {
    total: u64,
    written: u64,
}

impl Tally {
    fn take(&mut self) -> u64 {
        self.total - std::mem::replace(&mut self.written, self.total)
    }
}

#[derive(Default)]
struct OfRule {
    counts: [Tally; OF_RULES.len()],
    /// By type of the action; a rule has few.
    actions: Vec<(&'static str, [Tally; OF_ACTIONS.len()])>,
}

/// Something that is counted of a rule.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RuleCount {
    TopicMatch,
    ParseError,
    RuleNotFound,
    RuleExecutionThrottled,
}

/// What one update of a shadow was like.
pub(crate) struct ShadowUpdate {
    pub(crate) thing: String,
    /// Empty for the classic shadow.
    pub(crate) shadow: String,
    /// Of the document, as its limit counts them.
    pub(crate) bytes: usize,
    /// If the update settled what had been desired: milliseconds since it was.
    pub(crate) latency: Option<i64>,
}

/// A total, for whoever scrapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// AWS's name of the metric.
    pub metric: String,
    /// AWS's dimensions.
    pub dimensions: Vec<(String, String)>,
    /// Since the start.
    pub value: u64,
}

impl Figures {
    /// One more.
    pub(crate) fn count(&self, count: Count) {
        self.add(count, 1);
    }

    /// So many more.
    pub(crate) fn add(&self, count: Count, amount: usize) {
        if let Some(counter) = self.counts.get(count as usize).filter(|_| amount > 0) {
            counter.fetch_add(amount as u64, Ordering::Relaxed);
        }
    }

    /// One more of a rule.
    pub(crate) fn count_rule(&self, rule: &str, count: RuleCount) {
        self.of_rule(rule, |of| {
            if let Some(tally) = of.counts.get_mut(count as usize) {
                tally.total += 1;
            }
        });
    }

    /// What became of an action of a rule, or of its error action. The type is as AWS writes it in dimensions: `Republish`;
    /// the metrics are of those that are counted of actions, and others are not.
    pub(crate) fn count_action(&self, rule: &str, action: &'static str, metrics: &[&str]) {
        self.of_rule(rule, |of| {
            let at = of.actions.iter().position(|(known, _)| *known == action);
            let known = match at.and_then(|at| of.actions.get_mut(at)) {
                Some(known) => known,
                None => of.actions.push_mut((action, <[Tally; OF_ACTIONS.len()]>::default())),
            };
            let counted = OF_ACTIONS.iter().zip(&mut known.1).filter(|(metric, _)| metrics.contains(metric));
            counted.for_each(|(_, tally)| tally.total += 1);
        });
    }

    fn of_rule(&self, rule: &str, count: impl FnOnce(&mut OfRule)) {
        let mut rest = self.rest();
        if let Some(known) = rest.rules.get_mut(rule) {
            count(known);
        } else if rest.rules.len() < RULES {
            count(rest.rules.entry(rule.into()).or_default());
        }
    }

    /// A shadow has been updated: counted for itself, and for all of them together.
    pub(crate) fn shadow_updated(&self, update: ShadowUpdate) {
        #[expect(clippy::cast_precision_loss, reason = "bytes of a document and milliseconds of our time fit")]
        let values = [
            ("UpdateCount", "Count", Some(1.0)),
            ("DocumentBytes", "Bytes", Some(update.bytes as f64)),
            ("DesiredToReportedLatency", "Milliseconds", update.latency.map(|latency| latency as f64)),
        ];
        let mut rest = self.rest();
        let mut names = vec![Vec::new()];
        let key = (update.thing, update.shadow);
        if rest.own_series.contains(&key) || rest.own_series.len() < OWN_SERIES {
            let mut dimensions = vec![("ThingName".to_owned(), key.0.clone())];
            // A dimension cannot be empty, so the classic shadow is known by having none.
            if !key.1.is_empty() {
                dimensions.push(("ShadowName".to_owned(), key.1.clone()));
            }
            names.push(dimensions);
            rest.own_series.insert(key);
        }
        for (metric, unit, value) in values {
            let Some(value) = value else { continue };
            for dimensions in &names {
                let name = Name::new(SHADOWS, metric, dimensions.clone());
                let (_, summary) = rest.shadows.entry(name).or_insert_with(|| (unit, Summary::default()));
                summary.add(&Summary::of(value, 1.0));
            }
        }
    }

    fn rest(&self) -> std::sync::MutexGuard<'_, Rest> {
        // Every critical section leaves the figures whole, so a poisoned lock is still good.
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> impl Iterator<Item = (Name, u64)> + '_ {
        COUNTS.iter().zip(&self.counts).map(|((metric, protocol), counter)| {
            let dimensions = [("Protocol".to_owned(), (*protocol).to_owned())];
            let dimensions = dimensions.into_iter().filter(|(_, protocol)| !protocol.is_empty()).collect();
            (Name::new(NAMESPACE, metric, dimensions), counter.load(Ordering::Relaxed))
        })
    }

    /// What has come up since it was last taken, as values of this moment, in seconds.
    fn take(&self, time: i64) -> Vec<(Name, Datum)> {
        let datum = |unit: &str, values: Summary| Datum { time, unit: metrics::unit(unit), values, fine: false };
        let mut rest = self.rest();
        let mut taken = Vec::new();
        let Rest { written, rules, shadows, .. } = &mut *rest;
        let mut add = |name: Name, since: u64| {
            if since > 0 {
                #[expect(clippy::cast_precision_loss, reason = "what is counted in a minute fits")]
                taken.push((name, datum("Count", Summary::of(1.0, since as f64))));
            }
        };
        for ((name, total), written) in self.counts().zip(written) {
            add(name, total - std::mem::replace(written, total));
        }
        for (rule, of) in rules {
            of.each(rule, |name, tally| add(name, tally.take()));
        }
        taken.extend(shadows.drain().map(|(name, (unit, values))| (name, datum(unit, values))));
        taken
    }
}

impl OfRule {
    /// Each of its figures that is not nothing, by its name.
    fn each(&mut self, rule: &str, mut visit: impl FnMut(Name, &mut Tally)) {
        let name = |metric: &str, action: Option<&str>| {
            let mut dimensions = vec![("RuleName".to_owned(), rule.to_owned())];
            dimensions.extend(action.map(|action| ("ActionType".to_owned(), action.to_owned())));
            Name::new(NAMESPACE, metric, dimensions)
        };
        for (metric, tally) in OF_RULES.iter().zip(&mut self.counts).filter(|(_, tally)| tally.total > 0) {
            visit(name(metric, None), tally);
        }
        for (action, tallies) in &mut self.actions {
            for (metric, tally) in OF_ACTIONS.iter().zip(tallies).filter(|(_, tally)| tally.total > 0) {
                visit(name(metric, Some(*action)), tally);
            }
        }
    }
}

impl House {
    /// The totals of all accounts and regions together.
    pub fn totals(&self) -> Vec<Total> {
        let mut totals: HashMap<Name, u64> = HashMap::new();
        for (_, space) in self.scopes() {
            let mut add = |name: Name, value: u64| *totals.entry(name).or_default() += value;
            space.books.figures.counts().for_each(|(name, value)| add(name, value));
            for (rule, of) in &mut space.books.figures.rest().rules {
                of.each(rule, |name, tally| add(name, tally.total));
            }
        }
        let mut totals: Vec<(Name, u64)> = totals.into_iter().collect();
        totals.sort();
        let total = |(Name { metric, dimensions, .. }, value)| Total { metric, dimensions, value };
        totals.into_iter().map(total).collect()
    }

    /// Once a minute, the figures of the one that has ended, for the desk.
    pub(crate) fn write_down_figures(&self, now: i64, entropy: u128) -> Vec<Job> {
        let minute = now.div_euclid(60_000);
        let last = self.figures_written.swap(minute, Ordering::Relaxed);
        if last == minute {
            return Vec::new();
        }
        let mut jobs = Vec::new();
        for (scope, space) in self.scopes() {
            let mut taken = space.books.figures.take((minute - 1) * 60);
            while !taken.is_empty() {
                let some = taken.split_off(taken.len().saturating_sub(TOGETHER));
                let cx = self.context(&scope, now, entropy.wrapping_add(jobs.len() as u128));
                jobs.push(Job::new(cx, move |db| {
                    for (name, datum) in &some {
                        if !metrics::add(db, name, datum)? {
                            db.tell(News::OverQuota("an account keeps no more metrics: some figures are lost"));
                            break;
                        }
                    }
                    Ok(())
                }));
            }
        }
        jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_what_came_since() {
        let figures = Figures::default();
        figures.count(Count::Connect);
        figures.add(Count::PublishOut, 3);
        figures.count_action("r", "Republish", &["Success"]);
        let sums = |taken: Vec<(Name, Datum)>| {
            let mut sums: Vec<(String, f64)> =
                taken.into_iter().map(|(name, datum)| (name.metric, datum.values.sum)).collect();
            sums.sort_by(|a, b| a.0.cmp(&b.0));
            sums
        };
        let expected = [("Connect.Success", 1.0), ("PublishOut.Success", 3.0), ("Success", 1.0)];
        assert_eq!(sums(figures.take(0)), expected.map(|(metric, sum)| (metric.to_owned(), sum)));
        assert!(figures.take(0).is_empty());
        figures.count_action("r", "Republish", &["Success"]);
        assert_eq!(sums(figures.take(0)), [("Success".to_owned(), 1.0)]);
    }

    #[test]
    fn shadows_beyond_a_number_are_counted_together_only() {
        let figures = Figures::default();
        for index in 0..OWN_SERIES + 10 {
            let (thing, shadow) = (format!("t{index}"), String::new());
            figures.shadow_updated(ShadowUpdate { thing, shadow, bytes: 10, latency: None });
        }
        let taken = figures.take(0);
        assert_eq!(taken.len(), 2 * (OWN_SERIES + 1));
        let all = taken.iter().find(|(name, _)| name.metric == "UpdateCount" && name.dimensions.is_empty()).unwrap();
        assert!((all.1.values.sum - 2010.0).abs() < f64::EPSILON);
    }
}
