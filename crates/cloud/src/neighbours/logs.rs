//! Log groups, as CloudWatch Logs has them: groups, streams, events, retention, tags. Functions, rules and the platform itself
//! write here through the same door as clients do. Who writes, and why, is unknown here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use store::{Direction, Fault, Key};
use wire::Refusal;

use crate::house::{House, Job};
use crate::operation::{Answer, Failure, Op, ops};
use crate::scope::{Read, Scope, Write};

mod groups;
mod kept;
mod pattern;
mod putting;
mod reading;

use groups::{
    create_log_group, create_log_stream, delete_log_group, delete_log_stream, delete_retention_policy,
    describe_log_groups, describe_log_streams, list_log_groups, list_tags_for_resource, list_tags_log_group,
    put_log_group_deletion_protection, put_retention_policy, tag_log_group, tag_resource, untag_log_group,
    untag_resource,
};
use kept::{DEAD, EVENTS, GROUPS, Group, OVERHEAD, Place, Position, STRETCH, Stream, Until};
use putting::put_log_events;
use reading::{filter_log_events, get_log_events};

pub(crate) const OPS: &[Op] = ops! {
    write create_log_group on any;
    write delete_log_group on any;
    read  describe_log_groups on any;
    read  list_log_groups on any;
    write put_log_group_deletion_protection on any;
    write create_log_stream on any;
    write delete_log_stream on any;
    read  describe_log_streams on any;
    write put_log_events on any;
    read  get_log_events on any;
    read  filter_log_events on any;
    write put_retention_policy on any;
    write delete_retention_policy on any;
    write tag_resource on any;
    write untag_resource on any;
    read  list_tags_for_resource on any;
    write tag_log_group on any;
    write untag_log_group on any;
    read  list_tags_log_group on any;
};

/// Bytes of one event, and of all events of one request, each with what AWS adds to it.
const BATCH: usize = 1 << 20;

/// Milliseconds between two looks at what is to be swept.
const SWEEP_EVERY: i64 = 10_000;

const DAY: i64 = 24 * 60 * 60 * 1000;

impl House {
    /// Lines of the house's own for a log stream, in milliseconds and words; the group and the stream are made if they are not
    /// there. A line that is longer than an event may be is cut.
    pub fn log(
        &self,
        scope: &Scope,
        group: &str,
        stream: &str,
        events: Vec<(i64, String)>,
        now: i64,
        entropy: u128,
    ) -> Job {
        let (group, stream) = (group.to_owned(), stream.to_owned());
        Job::new(self.context(scope, now, entropy), move |db| log(db, &group, &stream, &events))
    }

    /// Takes away what is too old or too much, and what was deleted: a stretch at a time, because the desk has other things to
    /// do too.
    pub(crate) fn sweep_logs(&self, now: i64, entropy: u128) -> Vec<Job> {
        let last = self.logs_swept.load(Ordering::Relaxed);
        if (last..last.saturating_add(SWEEP_EVERY)).contains(&now) {
            return Vec::new();
        }
        self.logs_swept.store(now, Ordering::Relaxed);
        let sweeps = self.sweeps(now).unwrap_or_else(|fault| {
            self.tell_fault(now, &fault);
            Vec::new()
        });
        let jobs = sweeps.into_iter().zip(0_u128..);
        jobs.map(|((scope, sweep), index)| self.sweep_on(&scope, sweep, now, entropy.wrapping_add(index))).collect()
    }

    /// What there is to sweep.
    fn sweeps(&self, now: i64) -> Result<Vec<(Scope, Sweep)>, Fault> {
        let view = self.store.read();
        let mut sweeps = Vec::new();
        for (key, ()) in view.range(&DEAD, &Key::all(), None, Direction::Ascending, STRETCH)? {
            let number =
                |index| Ok::<_, Fault>(u64::from_be_bytes(key.bytes_at(index)?.try_into().unwrap_or_default()));
            sweeps.push((scope_of(&key)?, Sweep::Dead(number(2)?, number(3).ok())));
        }
        let mut oldest: Option<(i64, Scope, u64)> = None;
        for (key, group) in view.range(&GROUPS, &Key::all(), None, Direction::Ascending, usize::MAX)? {
            let scope = scope_of(&key)?;
            let first = scope.key([group.number.to_be_bytes()]);
            let first = view.range(&EVENTS, &first, None, Direction::Ascending, 1)?;
            let Some((first, _)) = first.first() else { continue };
            let first = Position::of(first, 3)?.time;
            let cutoff = group.retention.map(|days| now - days.saturating_mul(DAY));
            if let Some(cutoff) = cutoff.filter(|cutoff| first < *cutoff) {
                sweeps.push((scope, Sweep::Trim(group.number, Until::Time(cutoff))));
            } else if oldest.as_ref().is_none_or(|(time, ..)| first < *time) {
                oldest = Some((first, scope, group.number));
            }
        }
        let beyond = kept::total_of(&view)?.saturating_sub(self.settings.logs.all_bytes);
        if let Some((_, scope, group)) = oldest.filter(|_| beyond > 0) {
            sweeps.push((scope, Sweep::Trim(group, Until::Freed(beyond))));
        }
        Ok(sweeps)
    }

    fn sweep_on(&self, scope: &Scope, sweep: Sweep, now: i64, entropy: u128) -> Job {
        let more = Arc::new(AtomicBool::new(false));
        let is_more = Arc::clone(&more);
        let job = Job::new(self.context(scope, now, entropy), move |db| {
            let left = match sweep {
                Sweep::Dead(group, stream) => kept::bury(db, group, stream)?,
                Sweep::Trim(group, until) => kept::trim(db, group, until, STRETCH)?,
            };
            is_more.store(left, Ordering::Relaxed);
            Ok(())
        });
        job.after(move |house, cx, outcome| {
            if outcome.is_err() || !more.load(Ordering::Relaxed) {
                return Vec::new();
            }
            if matches!(sweep, Sweep::Trim(_, Until::Freed(_))) {
                // Another group may have the oldest events by now: the next tick looks anew.
                house.logs_swept.store(0, Ordering::Relaxed);
                return Vec::new();
            }
            vec![house.sweep_on(&cx.scope, sweep, now, u128::from(cx.entropy.number()))]
        })
    }
}

/// One thing to sweep.
#[derive(Clone, Copy)]
enum Sweep {
    Dead(u64, Option<u64>),
    Trim(u64, Until),
}

fn scope_of(key: &Key) -> Result<Scope, Fault> {
    Ok(Scope::new(&key.text_at(0)?, &key.text_at(1)?))
}

/// Lines of the house's own in a transaction that is already there.
pub(crate) fn log(db: &mut Write, group: &str, stream: &str, events: &[(i64, String)]) -> Answer<()> {
    let number = if let Some(known) = db.view().get(&GROUPS, [group])? {
        known.number
    } else {
        let new = kept::new_group(db);
        kept::create_group(db, group, &new)?;
        new.number
    };
    let known = match kept::stream(db.view(), number, stream)? {
        Some(known) => known,
        None => new_stream(db, number, stream)?,
    };
    let mut place = Place { group_name: group, group: number, stream_name: stream, stream: known };
    let events = events.iter().map(|(time, message)| (*time, message.get(..cut(message)).unwrap_or_default()));
    Ok(kept::append(db, &mut place, events)?)
}

/// Where a message is cut that is longer than an event may be.
fn cut(message: &str) -> usize {
    message.floor_char_boundary(BATCH - OVERHEAD)
}

fn new_stream(db: &mut Write, group: u64, name: &str) -> Answer<Stream> {
    let made = kept::create_stream(db, group, name)?;
    let most = kept::STREAMS_MOST;
    made.ok_or_else(|| Refusal::limit_exceeded(format!("A log group has at most {most} log streams here.")).into())
}

/// The group that is named in one of two ways.
fn named_group(db: Read, name: Option<&str>, identifier: Option<&str>) -> Answer<(String, Group)> {
    let name = match (name, identifier) {
        (Some(name), None) => name,
        (None, Some(identifier)) => groups::group_name(db, identifier),
        (Some(_), Some(_)) => {
            let message = "LogGroup name and LogGroup ARN are mutually exclusive parameters.";
            return Err(Refusal::new("ValidationException", message).into());
        }
        (None, None) => {
            return Err(invalid("Exactly one of logGroupName and logGroupIdentifier must be specified.").into());
        }
    };
    let group = db.get(&GROUPS, [name])?.ok_or_else(no_group)?;
    Ok((name.to_owned(), group))
}

/// The ARN of a group, as tags want it; others put `:*` behind it.
fn group_arn(db: Read, name: &str) -> String {
    format!("arn:aws:logs:{}:{}:log-group:{name}", db.cx.scope.region, db.cx.scope.account)
}

/// A sequence token: digits that nobody looks at any more.
fn sequence_token(number: u64) -> String {
    format!("{number:056}")
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidParameterException", message)
}

fn no_group() -> Refusal {
    Refusal::resource_not_found("The specified log group does not exist.")
}

fn no_stream() -> Refusal {
    Refusal::resource_not_found("The specified log stream does not exist.")
}

/// A token that no list gave out, in the words of this service.
fn token_refused(failure: Failure) -> Failure {
    match failure {
        Failure::Refusal(_) => invalid("The specified nextToken is invalid.").into(),
        other => other,
    }
}
