//! How log groups, their streams and their events are kept: the tables, appending, and what goes when there is no more room.
//! What a request may ask of them, and how events are read back, is unknown here.
//!
//! All but the group itself is filed under the group's own number, and events under their stream's too, so that what is left
//! of a group or stream that was deleted is swept at leisure and never taken for another's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::{Fault, Key, Record, Table, json_record};

use crate::events::Kind;
use crate::news::News;
use crate::scope::{Read, Write};

/// By name.
pub(super) const GROUPS: Table<Group> = Table::new("log_groups");
/// By group number: what changes with every append.
const TALLIES: Table<Tally> = Table::new("log_tallies");
/// By group number and stream name.
pub(super) const STREAMS: Table<Stream> = Table::new("log_streams");
/// By group and stream number: the stream's name.
const STREAM_NAMES: Table<Vec<u8>> = Table::new("log_stream_names");
/// By group number, time and number of the event.
pub(super) const EVENTS: Table<Event> = Table::new("log_events");
/// By group and stream number, time and number of the event.
pub(super) const EVENTS_OF_STREAMS: Table<()> = Table::new("log_events_of_streams");
/// By group number, or group and stream number: what was deleted and is not swept yet.
pub(super) const DEAD: Table<()> = Table::new("log_dead");
/// At the only key, which no scope owns: the bytes of all events of all groups.
const TOTAL: Table<Total> = Table::new("log_total");

/// Bytes that AWS adds to those of a message.
pub(super) const OVERHEAD: usize = 26;

/// Streams of one group.
pub(super) const STREAMS_MOST: u64 = 100_000;

/// Milliseconds for which a group that is full is not told again.
const TOLD_EVERY: i64 = 24 * 60 * 60 * 1000;

/// A log group.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Group {
    /// What everything else of it is filed under.
    pub(super) number: u64,
    pub(super) created: i64,
    /// Days that its events are kept; for ever without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retention: Option<i64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tags: BTreeMap<String, String>,
    /// Whether it must not be deleted.
    #[serde(default)]
    pub(super) is_protected: bool,
}
json_record!(Group, version 1);

/// What is counted of a group.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Tally {
    /// The bytes of its events, as AWS counts those of a batch.
    pub(super) bytes: u64,
    /// The last number given to an event.
    events: u64,
    /// The last number given to a stream.
    last_stream: u64,
    /// Streams that there are.
    pub(super) streams: u64,
    /// When it was last told that it is full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told: Option<i64>,
}
json_record!(Tally, version 1);

/// A log stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Stream {
    pub(super) number: u64,
    pub(super) created: i64,
    /// Events that there are.
    events: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) first: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ingested: Option<i64>,
}
json_record!(Stream, version 1);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Total {
    bytes: u64,
}
json_record!(Total, version 1);

/// An event without its time, which is in its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) stream: u64,
    pub(super) ingested: i64,
    pub(super) message: String,
}

impl Record for Event {
    const VERSION: u8 = 1;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        out.extend_from_slice(&self.stream.to_be_bytes());
        out.extend_from_slice(&self.ingested.to_be_bytes());
        out.extend_from_slice(self.message.as_bytes());
        Ok(())
    }

    fn decode(_: u8, bytes: &[u8]) -> Result<Self, Fault> {
        let (stream, rest) = bytes.split_first_chunk().ok_or_else(|| Fault::new("a log event without its stream"))?;
        let (ingested, message) =
            rest.split_first_chunk().ok_or_else(|| Fault::new("a log event without its moment"))?;
        let message = String::from_utf8(message.to_vec());
        let message = message.map_err(|cause| Fault::because("read a log event", cause))?;
        Ok(Self { stream: u64::from_be_bytes(*stream), ingested: i64::from_be_bytes(*ingested), message })
    }
}

/// Where an event stands in its group: events of one moment are in the order they came. Numbers begin with 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) time: i64,
    pub(super) number: u64,
}

impl Position {
    /// Before every event of this time.
    pub(super) fn before(time: i64) -> Self {
        Self { time: time.max(0), number: 0 }
    }

    /// The key parts.
    pub(super) fn parts(self) -> [[u8; 8]; 2] {
        [self.time.max(0).to_be_bytes(), self.number.to_be_bytes()]
    }

    /// The position in the last two parts of a key of this many before them.
    pub(super) fn of(key: &Key, index: usize) -> Result<Self, Fault> {
        Ok(Self { time: number_at(key, index)?.cast_signed(), number: number_at(key, index + 1)? })
    }
}

fn number_at(key: &Key, index: usize) -> Result<u64, Fault> {
    let bytes = key.bytes_at(index)?.try_into();
    bytes.map(u64::from_be_bytes).map_err(|_| Fault::new(format!("part {index} of key {key:?} is not eight bytes")))
}

/// Bytes as they count for bounds.
pub(super) fn size(message: &str) -> u64 {
    (message.len() + OVERHEAD) as u64
}

/// What is counted of a group.
pub(super) fn tally(db: Read, group: u64) -> Result<Tally, Fault> {
    Ok(db.get(&TALLIES, [group.to_be_bytes()])?.unwrap_or_default())
}

/// The bytes of all groups.
pub(super) fn total(db: Read) -> Result<u64, Fault> {
    Ok(db.get_global(&TOTAL, &Key::all())?.unwrap_or_default().bytes)
}

/// The same for whoever looks at all scopes.
pub(super) fn total_of(view: &store::Read) -> Result<u64, Fault> {
    Ok(view.get(&TOTAL, &Key::all())?.unwrap_or_default().bytes)
}

/// The stream of this name.
pub(super) fn stream(db: Read, group: u64, name: &str) -> Result<Option<Stream>, Fault> {
    db.get(&STREAMS, [&group.to_be_bytes()[..], name.as_bytes()])
}

/// The name of a stream; none if it has been deleted.
pub(super) fn stream_name(db: Read, group: u64, stream: u64) -> Result<Option<String>, Fault> {
    let name = db.get(&STREAM_NAMES, [group.to_be_bytes(), stream.to_be_bytes()])?;
    Ok(name.and_then(|name| String::from_utf8(name).ok()))
}

/// Makes a group, which must not be there.
pub(super) fn create_group(db: &mut Write, name: &str, group: &Group) -> Result<(), Fault> {
    db.put(&GROUPS, [name], group)
}

/// A new group without events.
pub(super) fn new_group(db: &Write) -> Group {
    let number = db.cx.entropy.number();
    Group { number, created: db.now(), retention: None, tags: BTreeMap::new(), is_protected: false }
}

/// Makes a stream, which must not be there; none if the group has no room for it.
pub(super) fn create_stream(db: &mut Write, group: u64, name: &str) -> Result<Option<Stream>, Fault> {
    let mut tally = tally(db.view(), group)?;
    if tally.streams >= STREAMS_MOST {
        return Ok(None);
    }
    tally.streams += 1;
    tally.last_stream += 1;
    db.put(&TALLIES, [group.to_be_bytes()], &tally)?;
    let number = tally.last_stream;
    let stream = Stream { number, created: db.now(), events: 0, first: None, last: None, ingested: None };
    db.put(&STREAM_NAMES, [group.to_be_bytes(), number.to_be_bytes()], &name.as_bytes().to_vec())?;
    put_stream(db, group, name, &stream)?;
    Ok(Some(stream))
}

fn put_stream(db: &mut Write, group: u64, name: &str, stream: &Stream) -> Result<(), Fault> {
    db.put(&STREAMS, [&group.to_be_bytes()[..], name.as_bytes()], stream)
}

/// Deletes a group: nothing of it is found any more, and what it held is swept later.
pub(super) fn delete_group(db: &mut Write, name: &str, group: u64) -> Result<(), Fault> {
    let tally = tally(db.view(), group)?;
    add_to_total(db, 0, tally.bytes)?;
    db.delete(&GROUPS, [name])?;
    db.delete(&TALLIES, [group.to_be_bytes()])?;
    db.put(&DEAD, [group.to_be_bytes()], &())
}

/// Deletes a stream in the same way.
pub(super) fn delete_stream(db: &mut Write, group: u64, name: &str, stream: &Stream) -> Result<(), Fault> {
    let mut tally = tally(db.view(), group)?;
    tally.streams = tally.streams.saturating_sub(1);
    db.put(&TALLIES, [group.to_be_bytes()], &tally)?;
    db.delete(&STREAMS, [&group.to_be_bytes()[..], name.as_bytes()])?;
    db.delete(&STREAM_NAMES, [group.to_be_bytes(), stream.number.to_be_bytes()])?;
    db.put(&DEAD, [group.to_be_bytes(), stream.number.to_be_bytes()], &())
}

fn add_to_total(db: &mut Write, more: u64, less: u64) -> Result<(), Fault> {
    let bytes = total(db.view())?.saturating_add(more).saturating_sub(less);
    db.put_global(&TOTAL, &Key::all(), &Total { bytes })
}

/// Where events are appended.
pub(super) struct Place<'a> {
    pub(super) group_name: &'a str,
    pub(super) group: u64,
    pub(super) stream_name: &'a str,
    pub(super) stream: Stream,
}

/// Appends events to a stream, and lets the oldest of the group go if it is beyond its bound.
pub(super) fn append<'e>(
    db: &mut Write,
    place: &mut Place<'_>,
    events: impl Iterator<Item = (i64, &'e str)>,
) -> Result<(), Fault> {
    let (group, now) = (place.group.to_be_bytes(), db.now());
    let number = place.stream.number.to_be_bytes();
    let mut tally = tally(db.view(), place.group)?;
    let mut added = 0;
    for (time, message) in events {
        tally.events += 1;
        let [time_part, event] = Position { time, number: tally.events }.parts();
        let record = Event { stream: place.stream.number, ingested: now, message: message.to_owned() };
        db.put(&EVENTS, [group, time_part, event], &record)?;
        db.put(&EVENTS_OF_STREAMS, [group, number, time_part, event], &())?;
        added += size(message);
        place.stream.events += 1;
        place.stream.first = Some(place.stream.first.map_or(time, |first| first.min(time)));
        place.stream.last = Some(place.stream.last.map_or(time, |last| last.max(time)));
        place.stream.ingested = Some(now);
    }
    tally.bytes += added;
    put_stream(db, place.group, place.stream_name, &place.stream)?;
    add_to_total(db, added, 0)?;
    let bounds = &db.cx.settings.logs;
    let beyond = tally.bytes.saturating_sub(bounds.group_bytes);
    // Where all groups together are beyond theirs, none that held something grows until the sweep has made room.
    let older = tally.bytes - added;
    let beyond = if total(db.view())? > bounds.all_bytes { beyond.max(added.min(older)) } else { beyond };
    let is_to_be_told = beyond > 0 && tally.told.is_none_or(|told| now - told >= TOLD_EVERY);
    if is_to_be_told {
        tally.told = Some(now);
        db.tell(News::Event(Kind::LogFull { group: place.group_name.to_owned(), bytes: tally.bytes }));
    }
    db.put(&TALLIES, [group], &tally)?;
    if beyond > 0 {
        trim(db, place.group, Until::Freed(beyond), usize::MAX)?;
    }
    Ok(())
}

/// How far the oldest events of a group go.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// All that are older than this moment.
    Time(i64),
    /// As many as take this many bytes.
    Freed(u64),
}

/// Events that are trimmed or swept in one transaction.
pub(super) const STRETCH: usize = 1000;

/// Takes away the oldest events of a group, at most `limit`; whether there may be more to take. A stream whose last event goes
/// goes with it: else those of functions, each of which lives for minutes, would pile up for ever.
pub(super) fn trim(db: &mut Write, group: u64, until: Until, limit: usize) -> Result<bool, Fault> {
    let mut freed = 0;
    let mut taken = 0;
    let mut streams: BTreeMap<u64, u64> = BTreeMap::new();
    let more = 'trim: loop {
        let found = db.view().some(&EVENTS, [group.to_be_bytes()], STRETCH.min(limit - taken))?;
        if found.is_empty() {
            break taken == limit;
        }
        for (key, event) in found {
            let at = Position::of(&key, 3)?;
            let is_done = match until {
                Until::Time(time) => at.time >= time,
                Until::Freed(bytes) => freed >= bytes,
            };
            if is_done {
                break 'trim false;
            }
            forget(db, group, event.stream, at)?;
            freed += size(&event.message);
            taken += 1;
            *streams.entry(event.stream).or_default() += 1;
        }
    };
    take_off(db, group, freed, &streams)?;
    Ok(more)
}

fn forget(db: &mut Write, group: u64, stream: u64, at: Position) -> Result<(), Fault> {
    let (group, [time, number]) = (group.to_be_bytes(), at.parts());
    db.delete(&EVENTS, [group, time, number])?;
    db.delete(&EVENTS_OF_STREAMS, [group, stream.to_be_bytes(), time, number])
}

/// Counts down what was trimmed, by stream.
fn take_off(db: &mut Write, group: u64, freed: u64, streams: &BTreeMap<u64, u64>) -> Result<(), Fault> {
    let mut tally = tally(db.view(), group)?;
    tally.bytes = tally.bytes.saturating_sub(freed);
    db.put(&TALLIES, [group.to_be_bytes()], &tally)?;
    add_to_total(db, 0, freed)?;
    for (number, count) in streams {
        // One that was deleted has no name any more.
        let Some(name) = stream_name(db.view(), group, *number)? else { continue };
        let Some(mut stream) = stream(db.view(), group, &name)? else { continue };
        stream.events = stream.events.saturating_sub(*count);
        if stream.events == 0 {
            delete_stream(db, group, &name, &stream)?;
            continue;
        }
        let parts = [group.to_be_bytes(), number.to_be_bytes()];
        let first = db.view().first(&EVENTS_OF_STREAMS, parts)?;
        stream.first = first.map(|(key, ())| Position::of(&key, 4)).transpose()?.map(|at| at.time);
        put_stream(db, group, &name, &stream)?;
    }
    Ok(())
}

/// Takes away some of what a deleted group or stream has left behind; whether there may be more of it.
pub(super) fn bury(db: &mut Write, group: u64, stream: Option<u64>) -> Result<bool, Fault> {
    let Some(stream) = stream else { return bury_group(db, group) };
    let found = db.view().some(&EVENTS_OF_STREAMS, [group.to_be_bytes(), stream.to_be_bytes()], STRETCH)?;
    let more = found.len() == STRETCH;
    let mut freed = 0;
    for (key, ()) in found {
        let at = Position::of(&key, 4)?;
        let [time, number] = at.parts();
        let event = db.view().get(&EVENTS, [group.to_be_bytes(), time, number])?;
        freed += event.map_or(0, |event| size(&event.message));
        forget(db, group, stream, at)?;
    }
    if db.view().contains(&TALLIES, [group.to_be_bytes()])? {
        take_off(db, group, freed, &BTreeMap::new())?;
    }
    if !more {
        db.delete(&DEAD, [group.to_be_bytes(), stream.to_be_bytes()])?;
    }
    Ok(more)
}

fn bury_group(db: &mut Write, group: u64) -> Result<bool, Fault> {
    let part = group.to_be_bytes();
    let mut more = false;
    more |= clear(db, &EVENTS, part)?;
    more |= clear(db, &EVENTS_OF_STREAMS, part)?;
    more |= clear(db, &STREAMS, part)?;
    more |= clear(db, &STREAM_NAMES, part)?;
    if !more {
        // The streams that were dead before are swept with it.
        clear(db, &DEAD, part)?;
    }
    Ok(more)
}

fn clear<R: Record>(db: &mut Write, table: &Table<R>, part: [u8; 8]) -> Result<bool, Fault> {
    let found = db.view().some(table, [part], STRETCH)?;
    for (key, _) in &found {
        db.delete_at(table, key)?;
    }
    Ok(found.len() == STRETCH)
}
