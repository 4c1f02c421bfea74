//! What of the platform's own doings is logged, and where the entries wait for the next commit: a bounded place, so that logs
//! never slow down what they tell of. What is not wanted costs one look at a number.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::record::{Level, Record};
use crate::scope::Scope;

/// The log group of entries that ask for no other.
const GROUP: &str = "AWSIotLogsV2";

/// Lines that may wait, and their bytes.
const LINES: usize = 20_000;
const BYTES: usize = 8 << 20;

/// How loud a setting lets the platform be: a level as a number, or zero for silence.
type Loudness = u8;

/// Whose entries a level is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Client,
    Address,
    Principal,
}

/// Everything that is set for one scope.
#[derive(Debug, Default)]
pub(super) struct Levels {
    pub(super) default: Option<Level>,
    /// By event: its level, and the group it goes to.
    pub(super) events: HashMap<String, (Option<Level>, Option<String>)>,
    pub(super) targets: HashMap<(Target, String), Option<Level>>,
}

impl Levels {
    fn loudest(&self) -> Loudness {
        let events = self.events.values().map(|(level, _)| *level);
        let all = events.chain(self.targets.values().copied()).chain([self.default]);
        all.map(loudness).max().unwrap_or(0)
    }

    /// The level that counts for an entry. unconfirmed: of several targets the most talkative counts, targets come before
    /// events, and events before the default.
    fn level(&self, record: &Record) -> Loudness {
        let names = [
            (Target::Client, &record.client_id),
            (Target::Address, &record.source_ip),
            (Target::Principal, &record.principal),
        ];
        let names = names.into_iter().filter_map(|(target, name)| Some((target, name.clone()?)));
        let of_targets = names.filter_map(|name| self.targets.get(&name)).map(|level| loudness(*level)).max();
        let of_event = || self.events.get(record.event).map(|(level, _)| loudness(*level));
        of_targets.or_else(of_event).unwrap_or_else(|| loudness(self.default))
    }

    fn group(&self, event: &str) -> &str {
        self.events.get(event).and_then(|(_, group)| group.as_deref()).unwrap_or(GROUP)
    }
}

fn loudness(level: Option<Level>) -> Loudness {
    level.map_or(0, |level| level as Loudness)
}

/// What one scope logs.
pub(crate) struct Logging {
    scope: Scope,
    loudest: AtomicU8,
    levels: RwLock<Arc<Levels>>,
    journal: Arc<Journal>,
}

impl Logging {
    /// A scope that logs nothing yet.
    pub(super) fn new(scope: Scope, journal: Arc<Journal>) -> Self {
        Self { scope, loudest: AtomicU8::new(0), levels: RwLock::default(), journal }
    }

    /// From now on by these levels.
    pub(super) fn set(&self, levels: Levels) {
        let loudest = levels.loudest();
        *self.levels.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(levels);
        self.loudest.store(loudest, Ordering::Relaxed);
    }

    /// Whether an entry of this level may be wanted: the question to ask before anything is composed.
    pub(crate) fn hears(&self, level: Level) -> bool {
        self.loudest.load(Ordering::Relaxed) >= level as Loudness
    }

    /// Notes what happened at this time, in milliseconds, if it is wanted.
    pub(crate) fn note(&self, at: i64, level: Level, compose: impl FnOnce() -> Record) {
        if self.hears(level) {
            self.write(at, compose().at(level));
        }
    }

    /// Notes an entry that has been composed already, at its own level.
    pub(crate) fn write(&self, at: i64, record: Record) {
        let levels = Arc::clone(&self.levels.read().unwrap_or_else(PoisonError::into_inner));
        if levels.level(&record) >= record.level as Loudness {
            let group = levels.group(record.event);
            self.journal.add(&self.scope, group, at, record);
        }
    }
}

/// Where entries wait.
#[derive(Default)]
pub(crate) struct Journal {
    waiting: Mutex<Waiting>,
    /// What there was no room for.
    lost: AtomicU64,
    /// Makes every trace another.
    entries: AtomicU64,
}

/// Lines by scope and group, each with its moment.
type Lines = HashMap<(Scope, String), Vec<(i64, String)>>;

#[derive(Default)]
struct Waiting {
    lines: Lines,
    count: usize,
    bytes: usize,
}

impl Journal {
    fn add(&self, scope: &Scope, group: &str, at: i64, record: Record) {
        let seed = u128::from(self.entries.fetch_add(1, Ordering::Relaxed)) << 64 | u128::from(at.unsigned_abs());
        let line = record.line(scope, at, seed);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.count >= LINES || waiting.bytes + line.len() > BYTES {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.count += 1;
        waiting.bytes += line.len();
        let lines = waiting.lines.entry((scope.clone(), group.to_owned())).or_default();
        lines.push((at, line));
    }

    /// What waits.
    pub(super) fn take(&self) -> Lines {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting).lines
    }

    /// How many entries found no room since this was last asked.
    pub(super) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logging(levels: Levels) -> (Logging, Arc<Journal>) {
        let journal = Arc::<Journal>::default();
        let logging = Logging::new(Scope::new("1", "r"), Arc::clone(&journal));
        logging.set(levels);
        (logging, journal)
    }

    fn count(journal: &Journal) -> usize {
        journal.take().values().map(Vec::len).sum()
    }

    #[test]
    fn what_is_not_wanted_is_not_composed() {
        let (logging, journal) = logging(Levels { default: Some(Level::Warn), ..Levels::default() });
        logging.note(0, Level::Info, || panic!("composed"));
        logging.note(0, Level::Warn, || Record::success("Connect"));
        assert_eq!(count(&journal), 1);
        logging.set(Levels::default());
        logging.note(0, Level::Error, || panic!("composed"));
    }

    #[test]
    fn targets_come_before_events_and_events_before_the_default() {
        let events = [("Ping", None, None), ("Connect", Some(Level::Debug), Some("mine"))];
        let events = events.map(|(event, level, group)| (event.to_owned(), (level, group.map(str::to_owned))));
        let targets =
            [((Target::Client, "loud".to_owned()), Some(Level::Debug)), ((Target::Address, "a".to_owned()), None)];
        let levels = Levels { default: Some(Level::Error), events: events.into(), targets: targets.into() };
        let of = |event: &'static str, client: &str, ip: &str| Record::success(event).of_client(client, "p", ip);
        let cases = [
            (of("Disconnect", "c", "b"), 1),
            (of("Ping", "c", "b"), 0),
            (of("Connect", "c", "b"), 4),
            (of("Connect", "c", "a"), 0),
            (of("Ping", "loud", "a"), 4),
        ];
        for (record, expected) in cases {
            assert_eq!(levels.level(&record), expected, "{record:?}");
        }
        assert_eq!((levels.group("Connect"), levels.group("Ping")), ("mine", "AWSIotLogsV2"));
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let (logging, journal) = logging(Levels { default: Some(Level::Debug), ..Levels::default() });
        for _ in 0..LINES + 5 {
            logging.note(0, Level::Debug, || Record::success("Connect"));
        }
        assert_eq!((journal.take_lost(), count(&journal)), (5, LINES));
        assert_eq!(journal.take_lost(), 0);
    }
}
