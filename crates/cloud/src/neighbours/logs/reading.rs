//! How events are read back: those of one stream in pages that lead both ways, and those of a whole group through a filter. How
//! they came there is unknown here.
//!
//! A page has at most 1 MB of events, as AWS's, and a filter looks at a bounded number of them at a time: a page may be empty and
//! still lead on.

use std::collections::{HashMap, HashSet};

use store::{Direction, Fault, Key};
use wire::Refusal;
use wire::logs::{
    FilterLogEventsRequest, FilterLogEventsResponse, FilteredLogEvent, GetLogEventsRequest, GetLogEventsResponse,
    OutputLogEvent,
};

use super::kept::{self, EVENTS, EVENTS_OF_STREAMS, Event, Position, Stream};
use super::pattern::Pattern;
use super::{invalid, named_group, no_stream};
use crate::operation::Answer;
use crate::scope::{Read, paged};

/// Bytes of events on a page.
const PAGE: u64 = 1 << 20;

/// Events on a page, unless fewer are asked for.
const MOST: usize = 10_000;

/// Events that a filter looks at for one page, and their bytes.
const LOOKED_AT: usize = 20_000;
const LOOKED_AT_BYTES: u64 = 8 << 20;

/// Events that are read at a time.
const STRETCH: usize = 500;

/// Times from and up to, the latter not included.
#[derive(Clone, Copy)]
struct Window {
    from: i64,
    to: i64,
}

impl Window {
    fn has(self, at: Position) -> bool {
        self.from <= at.time && at.time < self.to
    }
}

/// A way through events: beyond this position, in this direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    direction: Direction,
    beyond: Position,
}

impl Cursor {
    fn ascending(beyond: Position) -> Self {
        Self { direction: Direction::Ascending, beyond }
    }

    fn descending(beyond: Position) -> Self {
        Self { direction: Direction::Descending, beyond }
    }

    /// From the beginning of a window, or from its end.
    fn of(window: Window, from_head: bool) -> Self {
        let edge = if from_head { window.from } else { window.to };
        let beyond = Position::before(edge);
        if from_head { Self::ascending(beyond) } else { Self::descending(beyond) }
    }

    /// As AWS writes the tokens of streams: `f/` or `b/`, digits, `/s`.
    fn token(self) -> String {
        let way = if self.direction == Direction::Ascending { 'f' } else { 'b' };
        format!("{way}/{}/s", digits(self.beyond))
    }

    fn of_token(token: &str) -> Result<Self, Refusal> {
        let parse = || {
            let (way, rest) = token.split_once('/')?;
            let beyond = position(rest.strip_suffix("/s")?)?;
            match way {
                "f" => Some(Self::ascending(beyond)),
                "b" => Some(Self::descending(beyond)),
                _ => None,
            }
        };
        parse().ok_or_else(|| invalid("The specified nextToken is invalid."))
    }
}

/// A position in as many digits as AWS has for events: 28 for the time, 28 for the number.
fn digits(at: Position) -> String {
    format!("{:028}{:028}", at.time.max(0), at.number)
}

fn position(digits: &str) -> Option<Position> {
    let is_whole = digits.len() == 56 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let (time, number) = digits.get(..28).zip(digits.get(28..)).filter(|_| is_whole)?;
    Some(Position { time: time.parse().ok()?, number: number.parse().ok()? })
}

fn limit(asked: Option<i64>) -> usize {
    asked.and_then(|limit| usize::try_from(limit).ok()).map_or(MOST, |limit| limit.clamp(1, MOST))
}

pub(super) fn get_log_events(db: Read, input: &GetLogEventsRequest) -> Answer<GetLogEventsResponse> {
    let (_, group) = named_group(db, input.log_group_name(), input.log_group_identifier())?;
    let stream = kept::stream(db, group.number, input.log_stream_name())?.ok_or_else(no_stream)?;
    let window = Window { from: input.start_time().unwrap_or(0), to: input.end_time().unwrap_or(i64::MAX) };
    let given = input.next_token().map(Cursor::of_token).transpose()?;
    let cursor = given.unwrap_or_else(|| Cursor::of(window, input.start_from_head() == Some(true)));
    let page = page_of_stream(db, group.number, &stream, window, cursor, limit(input.limit()))?;
    // Tokens lead past both ends of the page. At the end of the stream the one that was given comes back, by which clients
    // know; the other one leads back over what they have just read.
    let (forward, backward) = match (page.first(), page.last()) {
        (Some((first, _)), Some((last, _))) => {
            (Cursor::ascending(*first.max(last)), Cursor::descending(*first.min(last)))
        }
        // Nothing yet: what comes later lies after the beginning.
        _ if given.is_none() => (Cursor::of(window, true), Cursor::descending(Position::before(window.from))),
        _ => at_the_end(cursor),
    };
    let mut events = page;
    events.sort_by_key(|(at, _)| *at);
    let events = events.into_iter().map(|(at, event)| {
        OutputLogEvent::new().with_timestamp(at.time).with_message(event.message).with_ingestion_time(event.ingested)
    });
    Ok(GetLogEventsResponse::new()
        .with_events(events)
        .with_next_forward_token(forward.token())
        .with_next_backward_token(backward.token()))
}

fn at_the_end(cursor: Cursor) -> (Cursor, Cursor) {
    let Position { time, number } = cursor.beyond;
    match cursor.direction {
        Direction::Ascending => (cursor, Cursor::descending(Position { time, number: number.saturating_add(1) })),
        Direction::Descending if number > 0 => (Cursor::ascending(Position { time, number: number - 1 }), cursor),
        // Before the first event of a moment is after the last of the one before it.
        Direction::Descending => (Cursor::ascending(Position { time: (time - 1).max(0), number: u64::MAX }), cursor),
    }
}

type Found = (Position, Event);

fn page_of_stream(
    db: Read,
    group: u64,
    stream: &Stream,
    window: Window,
    cursor: Cursor,
    limit: usize,
) -> Result<Vec<Found>, Fault> {
    let parts = [group.to_be_bytes(), stream.number.to_be_bytes()];
    let mut beyond = within(cursor, window);
    let mut page = Vec::new();
    let mut bytes = 0;
    loop {
        let stretch = STRETCH.min(limit - page.len());
        let keys = db.beyond(&EVENTS_OF_STREAMS, parts, beyond.parts(), cursor.direction, stretch)?;
        let is_last = keys.len() < stretch;
        for (key, ()) in keys {
            let at = Position::of(&key, 4)?;
            let [time, number] = at.parts();
            // Whatever is in the index is in the table, unless a sweep came between: then it is gone.
            let Some(event) = db.get(&EVENTS, [group.to_be_bytes(), time, number])? else { continue };
            bytes += kept::size(&event.message);
            if !window.has(at) || (bytes > PAGE && !page.is_empty()) {
                return Ok(page);
            }
            beyond = at;
            page.push((at, event));
        }
        if is_last || page.len() >= limit {
            return Ok(page);
        }
    }
}

/// Where to begin, so that nothing outside the window is read on the way to it.
fn within(cursor: Cursor, window: Window) -> Position {
    match cursor.direction {
        Direction::Ascending => cursor.beyond.max(Position::before(window.from)),
        Direction::Descending => cursor.beyond.min(Position::before(window.to)),
    }
}

pub(super) fn filter_log_events(db: Read, input: &FilterLogEventsRequest) -> Answer<FilterLogEventsResponse> {
    let (_, group) = named_group(db, input.log_group_name(), input.log_group_identifier())?;
    let pattern = Pattern::parse(input.filter_pattern().unwrap_or_default()).map_err(invalid)?;
    // Here the end belongs to it.
    let to = input.end_time().map_or(i64::MAX, |end| end.saturating_add(1));
    let window = Window { from: input.start_time().unwrap_or(0), to };
    let given = input.next_token().map(Cursor::of_token).transpose()?;
    let cursor = given.unwrap_or_else(|| Cursor::of(window, input.start_from_head() != Some(false)));
    let mut search = Search {
        db,
        group: group.number,
        pattern,
        streams: Streams::asked(db, group.number, input)?,
        limit: limit(input.limit()),
        found: Vec::new(),
        bytes: 0,
    };
    let next = search.run(window, cursor)?;
    let answer = FilterLogEventsResponse::new().with_events(search.found).with_searched_log_streams([]);
    Ok(paged(answer, next.map(Cursor::token), FilterLogEventsResponse::with_next_token))
}

/// Which streams are asked for, and the names of those that were met.
struct Streams {
    wanted: Option<HashSet<u64>>,
    prefix: Option<String>,
    names: HashMap<u64, Option<String>>,
}

impl Streams {
    fn asked(db: Read, group: u64, input: &FilterLogEventsRequest) -> Answer<Self> {
        let (names, prefix) = (input.log_stream_names(), input.log_stream_name_prefix());
        if names.is_some() && prefix.is_some() {
            return Err(invalid("logStreamNames and logStreamNamePrefix cannot be specified at the same time.").into());
        }
        let number = |name: &str| -> Answer<u64> { Ok(kept::stream(db, group, name)?.ok_or_else(no_stream)?.number) };
        let wanted = names.map(|names| names.into_iter().map(number).collect::<Answer<_>>()).transpose()?;
        Ok(Self { wanted, prefix: prefix.map(str::to_owned), names: HashMap::new() })
    }

    /// The name of a stream that is asked for and is still there.
    fn name(&mut self, db: Read, group: u64, number: u64) -> Result<Option<&str>, Fault> {
        if self.wanted.as_ref().is_some_and(|wanted| !wanted.contains(&number)) {
            return Ok(None);
        }
        if !self.names.contains_key(&number) {
            let name = kept::stream_name(db, group, number)?;
            let name = name.filter(|name| self.prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix)));
            self.names.insert(number, name);
        }
        Ok(self.names.get(&number).and_then(Option::as_deref))
    }
}

/// A filter on its way through a group.
struct Search<'a> {
    db: Read<'a>,
    group: u64,
    pattern: Pattern,
    streams: Streams,
    limit: usize,
    found: Vec<FilteredLogEvent>,
    /// Of the events found.
    bytes: u64,
}

impl Search<'_> {
    /// Fills a page; where the next one starts, if there may be one.
    fn run(&mut self, window: Window, cursor: Cursor) -> Result<Option<Cursor>, Fault> {
        let (db, group) = (self.db, self.group.to_be_bytes());
        let mut beyond = within(cursor, window);
        let (mut looked_at, mut bytes) = (0, 0);
        loop {
            let read: Vec<(Key, Event)> = db.beyond(&EVENTS, [group], beyond.parts(), cursor.direction, STRETCH)?;
            let is_last = read.len() < STRETCH;
            for (key, event) in read {
                let at = Position::of(&key, 3)?;
                if !window.has(at) {
                    return Ok(None);
                }
                looked_at += 1;
                bytes += kept::size(&event.message);
                if !self.take(at, event)? {
                    return Ok(Some(Cursor { beyond, ..cursor }));
                }
                beyond = at;
            }
            if is_last {
                return Ok(None);
            }
            if looked_at >= LOOKED_AT || bytes >= LOOKED_AT_BYTES {
                return Ok(Some(Cursor { beyond, ..cursor }));
            }
        }
    }

    /// Looks at an event, and takes it if it is asked for; false if there is no room for it.
    fn take(&mut self, at: Position, event: Event) -> Result<bool, Fault> {
        let Some(name) = self.streams.name(self.db, self.group, event.stream)? else { return Ok(true) };
        if !self.pattern.matches(&event.message) {
            return Ok(true);
        }
        let size = kept::size(&event.message);
        if self.found.len() == self.limit || (self.bytes + size > PAGE && !self.found.is_empty()) {
            return Ok(false);
        }
        self.bytes += size;
        let found = FilteredLogEvent::new().with_log_stream_name(name).with_event_id(digits(at));
        self.found.push(found.with_timestamp(at.time).with_message(event.message).with_ingestion_time(event.ingested));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_position() {
        let at = Position { time: 1_700_000_000_000, number: u64::MAX };
        for cursor in [Cursor::ascending(at), Cursor::descending(Position::before(0))] {
            assert_eq!(Cursor::of_token(&cursor.token()).unwrap(), cursor);
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let long = format!("f/{}/s", "9".repeat(56));
        for token in
            ["", "f", "f/1/s", "x/00/s", &long, "f/+000000000000000000000000000000000000000000000000000000001/s"]
        {
            assert!(Cursor::of_token(token).is_err(), "{token}");
        }
    }
}
