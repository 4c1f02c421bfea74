//! Log groups, as CloudWatch Logs has them: groups, streams, events, retention, tags. Functions, rules and the platform itself
//! write here through the same door as clients do. Who writes, and why, is unknown here.

#[expect(dead_code, reason = "the operations come with the model of the service")]
mod kept;

use crate::house::{House, Job};
use crate::operation::Answer;
use crate::scope::{Scope, Write};
use wire::Refusal;

use kept::{GROUPS, OVERHEAD, Place};

/// Bytes of one event, and of all events of one request, each with what AWS adds to it.
const BATCH: usize = 1 << 20;

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
}

/// The same in a transaction that is already there.
pub(crate) fn log(db: &mut Write, group: &str, stream: &str, events: &[(i64, String)]) -> Answer<()> {
    let number = if let Some(known) = db.view().get(&GROUPS, [group])? {
        known.number
    } else {
        let new = kept::new_group(db);
        kept::create_group(db, group, &new)?;
        new.number
    };
    let known = kept::stream(db.view(), number, stream)?;
    let known = match known {
        Some(known) => Some(known),
        None => kept::create_stream(db, number, stream)?,
    };
    let known = known.ok_or_else(|| Refusal::limit_exceeded("The log group has too many log streams."))?;
    let mut place = Place { group_name: group, group: number, stream_name: stream, stream: known };
    let events = events.iter().map(|(time, message)| (*time, message.get(..cut(message)).unwrap_or_default()));
    Ok(kept::append(db, &mut place, events)?)
}

/// Where a message is cut that is longer than an event may be.
fn cut(message: &str) -> usize {
    message.floor_char_boundary(BATCH - OVERHEAD)
}
