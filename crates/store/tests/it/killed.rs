//! A process that writes is killed (SIGKILL) in the middle of it; what it acknowledged must be there, and
//! every group must be there whole or not at all.

use std::env;
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use store::{Direction, Durability, Key, Options, Outcome, Store, Table, Work, Write};

const NUMBERED: Table<Vec<u8>> = Table::new("numbered");
const DIRECTORY: &str = "STORE_TEST_KILLED_DIRECTORY";
const ROUNDS: u64 = 8;

/// A small buffer, so that the kill also falls into flushes and compactions.
fn open(path: &Path) -> Store {
    let options = Options { durability: Durability::Durable, write_buffer: 64 << 10, cache: 1 << 20 };
    Store::open(path, &options).unwrap()
}

/// Group `group` is the records (group, 0), (group, 1) … of varying number and length.
fn record(group: u64, member: u64) -> (Key, Vec<u8>) {
    let length = (group * 7 + member * 13) % 40 * 100;
    let fill = u8::try_from((group + member) % 251).unwrap();
    (Key::all().and_u64(group).and_u64(member), vec![fill; usize::try_from(length).unwrap()])
}

fn members(group: u64) -> u64 {
    1 + group % 6
}

/// Reads everything back, checks that groups are whole, in sequence and unharmed, and counts them.
fn check_groups(store: &Store) -> u64 {
    let found = store.read().range(&NUMBERED, &Key::all(), None, Direction::Ascending, usize::MAX).unwrap();
    let groups = found.last().map_or(0, |(key, _)| key.u64_at(0).unwrap() + 1);
    let expected = (0..groups).flat_map(|group| (0..members(group)).map(move |member| record(group, member)));
    assert!(found.into_iter().eq(expected), "a group is not whole");
    groups
}

/// Not a test of its own: what the test below runs as another process, forever.
#[test]
fn child_writes_until_it_is_killed() {
    let Some(directory) = env::var_os(DIRECTORY) else {
        return;
    };
    let store = open(Path::new(&directory));
    for group in check_groups(&store).. {
        let mut units: Vec<_> = (0..members(group))
            .map(|member| {
                move |tx: &mut Write| {
                    let (key, value) = record(group, member);
                    tx.put(&NUMBERED, &key, &value).unwrap();
                    Outcome::Keep
                }
            })
            .collect();
        let mut units: Vec<&mut dyn Work> = units.iter_mut().map(|unit| unit as _).collect();
        store.write_all(&mut units).unwrap();
        // The test harness may have left its own words at the start of the line.
        writeln!(io::stdout(), "\nacknowledged {group}").unwrap();
    }
}

/// Runs the child on `directory`, kills it after so many acknowledgements, and returns the last one seen.
fn run_and_kill(directory: &Path, acknowledgements: usize) -> u64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "killed::child_writes_until_it_is_killed", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged =
        lines.by_ref().map_while(Result::ok).filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok());
    let last = acknowledged.by_ref().take(acknowledgements).last();
    child.kill().unwrap();
    child.wait().unwrap();
    // What it still managed to say before it died counts too.
    acknowledged.last().or(last).unwrap()
}

#[test]
fn nothing_acknowledged_is_lost_and_no_group_is_torn_when_the_process_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..ROUNDS {
        let acknowledgements = 1 + usize::try_from((round * 37 + 11) % 60).unwrap();
        let last = run_and_kill(directory.path(), acknowledgements);
        let groups = check_groups(&open(directory.path()));
        assert!(groups > last, "round {round}: {last} was acknowledged, but only {groups} groups are there");
    }
}
