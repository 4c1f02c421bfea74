//! What clients write: `PutLogEvents`, with AWS's rules of size, order and time. What the house itself writes goes another way.

use wire::Refusal;
use wire::logs::{InputLogEvent, PutLogEventsRequest, PutLogEventsResponse, RejectedEntityInfo, RejectedLogEventsInfo};

use super::kept::{self, GROUPS, Place};
use super::{BATCH, invalid, no_group, no_stream, sequence_token};
use crate::operation::Answer;
use crate::scope::Write;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// How far events may lie ahead and back.
const AHEAD: i64 = 2 * HOUR;
const BACK: i64 = 14 * DAY;

/// Which events of a batch are taken, by their places.
#[derive(Debug, PartialEq, Eq)]
struct Taken {
    /// Those before are older than AWS takes, or than the group keeps.
    old: usize,
    expired: usize,
    /// Those from here on lie too far ahead.
    new: usize,
}

pub(super) fn put_log_events(db: &mut Write, input: &PutLogEventsRequest) -> Answer<PutLogEventsResponse> {
    let events = input.log_events().unwrap_or_default();
    let times: Vec<i64> = events.iter().map(|event| event.timestamp().unwrap_or(0)).collect();
    measure(&events)?;
    if !times.is_sorted() {
        let message = "Log events in a single PutLogEvents request must be in chronological order.";
        return Err(invalid(message).into());
    }
    let group_name = input.log_group_name();
    let group = db.view().get(&GROUPS, [group_name])?.ok_or_else(no_group)?;
    let stream = kept::stream(db.view(), group.number, input.log_stream_name())?.ok_or_else(no_stream)?;
    let taken = Taken::of(&times, db.now(), group.retention);
    let accepted = taken.old.max(taken.expired)..taken.new;
    let times = times.get(accepted.clone()).unwrap_or_default();
    if let [first, .., last] = times
        && last - first > DAY
    {
        let message = "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.";
        return Err(invalid(message).into());
    }
    let mut place = Place { group_name, group: group.number, stream_name: input.log_stream_name(), stream };
    let messages = events.get(accepted).unwrap_or_default().iter().map(InputLogEvent::message);
    kept::append(db, &mut place, times.iter().copied().zip(messages))?;
    let answer = PutLogEventsResponse::new().with_next_sequence_token(sequence_token(db.cx.entropy.number()));
    let answer = match taken.rejected(events.len()) {
        Some(rejected) => answer.with_rejected_log_events_info(rejected),
        None => answer,
    };
    // Entities are not built: AWS's own word for a log group that takes none says so, and the events are taken.
    Ok(match input.entity() {
        Some(_) => {
            answer.with_rejected_entity_info(RejectedEntityInfo::new().with_error_type("UnsupportedLogGroupType"))
        }
        None => answer,
    })
}

fn measure(events: &[InputLogEvent]) -> Result<(), Refusal> {
    let bytes: u64 = events.iter().map(|event| kept::size(event.message())).sum();
    let most = BATCH as u64;
    if let Some(size) = events.iter().map(|event| kept::size(event.message())).find(|size| *size > most) {
        return Err(invalid(format!("Log event too large: {size} bytes exceeds limit of {most}")));
    }
    if bytes > most {
        return Err(invalid(format!("Upload too large: {bytes} bytes exceeds limit of {most}")));
    }
    Ok(())
}

impl Taken {
    fn of(times: &[i64], now: i64, retention: Option<i64>) -> Self {
        let before = |moment: i64| times.partition_point(|time| *time < moment);
        let expired = retention.map_or(0, |days| before(now - days.saturating_mul(DAY)));
        let (old, new) = (before(now - BACK), times.partition_point(|time| *time <= now + AHEAD));
        Self { old, expired, new }
    }

    fn rejected(&self, count: usize) -> Option<RejectedLogEventsInfo> {
        let index = |place: usize| i64::try_from(place).unwrap_or(i64::MAX);
        let mut rejected = RejectedLogEventsInfo::new();
        if self.old > 0 {
            rejected = rejected.with_too_old_log_event_end_index(index(self.old));
        }
        if self.expired > self.old {
            rejected = rejected.with_expired_log_event_end_index(index(self.expired));
        }
        if self.new < count {
            rejected = rejected.with_too_new_log_event_start_index(index(self.new));
        }
        (self.old > 0 || self.expired > 0 || self.new < count).then_some(rejected)
    }
}
