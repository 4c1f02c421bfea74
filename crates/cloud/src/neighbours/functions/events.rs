//! Events that wait for their function: written down before the caller is answered, so that each of them reaches it at least
//! once, in the order they came, and is tried again as AWS does. What time it is, and when to look, is told from outside.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use bytes::Bytes;
use store::{Direction, Fault, Key, Record, Table, json_record};
use wire::Refusal;

use super::invoke::{function, invoked_arn, throttled};
use super::names::Named;
use super::running::Invocation;
use super::{resolved, retries};
use crate::events::Kind;
use crate::house::{House, Job};
use crate::news::News;
use crate::operation::{Answer, Failure};
use crate::scope::{Read, Scope, Write};

/// By the function's name and the event's number, which is written so that it sorts.
const EVENTS: Table<Waiting> = Table::new("function_events");

/// What waits for a function, by its name.
const BACKLOGS: Table<Backlog> = Table::new("function_backlogs");

/// Events that may wait for one function, and their bytes.
const WAITING: u64 = 100_000;
const BYTES: u64 = 256 * 1024 * 1024;

/// Milliseconds until an event is tried again that found its function too busy.
const BUSY: i64 = 1000;

/// Events that are read at a time when the house is opened.
const STRETCH: usize = 100;

/// An event that waits.
struct Waiting {
    about: About,
    payload: Bytes,
}

/// What is known of an event.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct About {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    qualifier: Option<String>,
    came: i64,
    due: i64,
    /// Times that its function has failed.
    #[serde(default)]
    failures: u32,
}

/// A line of JSON, then the payload as it came.
impl Record for Waiting {
    const VERSION: u8 = 1;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        store::json::write(&self.about, out)?;
        out.push(b'\n');
        out.extend_from_slice(&self.payload);
        Ok(())
    }

    fn decode(version: u8, bytes: &[u8]) -> Result<Self, Fault> {
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| Fault::new("an event without a line"))?;
        let about = store::json::read(version, &bytes[..end])?;
        Ok(Self { about, payload: Bytes::copy_from_slice(&bytes[end + 1..]) })
    }
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Backlog {
    next: u64,
    events: u64,
    bytes: u64,
}
json_record!(Backlog, version 1);

/// An event that is to reach its function, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Where the function is.
    pub scope: Scope,
    /// Its name.
    pub function: String,
    /// Which event it is.
    number: String,
    /// When, in milliseconds.
    pub at: i64,
}

/// What came of an event.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The function has done it.
    Done,
    /// It failed, in these words. So many milliseconds later it may be tried again, twice as many the next time.
    Failed(String, i64),
    /// There was no room to run it.
    Busy,
}

/// Writes an event down. It is told once it is on disk.
pub(super) fn put(db: &mut Write, named: &Named, payload: &Bytes, id: &str) -> Answer<()> {
    let name = named.name.as_str();
    let mut backlog = db.view().get(&BACKLOGS, [name])?.unwrap_or_default();
    backlog.events += 1;
    backlog.bytes += payload.len() as u64;
    if backlog.events > WAITING || backlog.bytes > BYTES {
        // AWS would take it and drop it later; a caller can do something about it now.
        return Err(throttled("Too many events wait for this function", "EventBacklogLimitExceeded").into());
    }
    let number = format!("{:016x}", backlog.next);
    backlog.next += 1;
    db.put(&BACKLOGS, [name], &backlog)?;
    let now = db.now();
    let about = About { id: id.to_owned(), qualifier: named.qualifier.clone(), came: now, due: now, failures: 0 };
    db.put(&EVENTS, [name, &number], &Waiting { about, payload: payload.clone() })?;
    let due = Due { scope: db.cx.scope.clone(), function: name.to_owned(), number, at: now };
    db.tell(News::Due(due));
    Ok(())
}

/// Takes away what waits for a function that is no more.
pub(super) fn forget(db: &mut Write, name: &str) -> Answer<()> {
    for (key, _) in db.view().all(&EVENTS, [name])? {
        db.delete_at(&EVENTS, &key)?;
    }
    Ok(db.delete(&BACKLOGS, [name])?)
}

impl House {
    /// Every event that waits, as it was when the house was closed.
    pub fn events_due(&self) -> Result<Vec<Due>, Fault> {
        let view = self.store.read();
        let (mut due, mut after) = (Vec::new(), None);
        loop {
            let read = view.range(&EVENTS, &Key::all(), after.as_ref(), Direction::Ascending, STRETCH)?;
            for (key, waiting) in &read {
                let scope = Scope::new(&key.text_at(0)?, &key.text_at(1)?);
                let (function, number) = (key.text_at(2)?, key.text_at(3)?);
                due.push(Due { scope, function, number, at: waiting.about.due });
            }
            match read.into_iter().last() {
                Some((key, _)) => after = Some(key),
                None => return Ok(due),
            }
        }
    }

    /// The invocation of an event: nothing if it has been done meanwhile, a refusal if it cannot be done.
    pub fn event(&self, due: &Due, now: i64, entropy: u128) -> Result<Option<Invocation>, Refusal> {
        let cx = self.context(&due.scope, now, entropy);
        let invocation = || {
            let view = self.store.read();
            let db = Read::new(&view, &cx);
            let Some(Waiting { about, payload }) = db.get(&EVENTS, [&due.function, &due.number])? else {
                return Ok(None);
            };
            let named = Named { name: due.function.clone(), qualifier: about.qualifier };
            let (known, at, version) = resolved(db, &named)?;
            let (function, arn) = (function(db, &named, &known, &at, &version), invoked_arn(db, &named));
            let function = Arc::new(function);
            Ok(Some(Invocation { function, arn, id: about.id, payload, client_context: None, wants_log: false }))
        };
        invocation().map_err(|failure: Failure| self.refusal(&due.scope, now, failure))
    }

    /// Writes down what came of an event. One that failed is due again; one that failed too often, or waited for too long, is
    /// dropped, and that is told.
    pub fn settle(&self, due: &Due, outcome: Outcome, now: i64, entropy: u128) -> Job {
        let due = due.clone();
        Job::new(self.context(&due.scope, now, entropy), move |db| settle(db, &due, &outcome))
    }
}

fn settle(db: &mut Write, due: &Due, outcome: &Outcome) -> Answer<()> {
    let Some(mut waiting) = db.view().get(&EVENTS, [&due.function, &due.number])? else { return Ok(()) };
    let about = &mut waiting.about;
    let (times, age) = retries::of(db.view(), &due.function, about.qualifier.as_deref())?;
    let now = db.now();
    let (again, why) = match outcome {
        Outcome::Done => return take(db, due, waiting.payload.len()),
        Outcome::Busy => (Some(now + BUSY), "no room to run it"),
        Outcome::Failed(why, base) => {
            about.failures += 1;
            let again = (about.failures <= times).then(|| now + (base << (about.failures - 1)));
            (again, why.as_str())
        }
    };
    let Some(again) = again.filter(|again| *again - about.came <= age) else {
        let (function, request_id) = (due.function.clone(), about.id.clone());
        db.tell(News::Event(Kind::EventDropped { function, request_id, why: why.to_owned() }));
        return take(db, due, waiting.payload.len());
    };
    about.due = again;
    db.put(&EVENTS, [&due.function, &due.number], &waiting)?;
    db.tell(News::Due(Due { at: again, ..due.clone() }));
    Ok(())
}

fn take(db: &mut Write, due: &Due, bytes: usize) -> Answer<()> {
    db.delete(&EVENTS, [&due.function, &due.number])?;
    if let Some(mut backlog) = db.view().get(&BACKLOGS, [&due.function])? {
        backlog.events = backlog.events.saturating_sub(1);
        backlog.bytes = backlog.bytes.saturating_sub(bytes as u64);
        db.put(&BACKLOGS, [&due.function], &backlog)?;
    }
    Ok(())
}
