//! A process and everything that came of it, as `/proc` tells: how many there are, how much memory they have, and their
//! end. It knows processes by their numbers only, and nothing of what they do.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpgid, getpgrp, kill_process, kill_process_group};

/// Processes that are looked at in one tree; a tree that is larger has long passed its limit.
const SEEN: usize = 4096;

/// How often a tree that must end is looked at again, and how many times.
const AGAIN: Duration = Duration::from_millis(5);
const TIMES: usize = 600;

/// What a tree of processes takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) processes: usize,
    /// Bytes of memory, pages that several share counted once at most.
    pub(super) memory: u64,
}

/// The numbers of all processes below this one, parents before their children.
pub(super) fn descendants(root: u32) -> Vec<u32> {
    let mut found = children(root);
    let mut next = 0;
    while next < found.len() && found.len() < SEEN {
        found.extend(children(found[next]));
        next += 1;
    }
    found
}

/// The children of a process: each of its threads may have some.
fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

/// Processes and threads of a user, all over the system.
pub(super) fn tasks_of(user: u32) -> u64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let statuses = processes.filter_map(|process| fs::read_to_string(process.path().join("status")).ok());
    let theirs = statuses.filter(|status| figure(status, "Uid:") == u64::from(user));
    theirs.map(|status| figure(&status, "Threads:")).sum()
}

/// What these processes take. Memory of their own adds up; files mapped by several are mostly the same ones, so the
/// most that one of them has is counted. Where that comes to more than `enough`, shared pages are shared out exactly,
/// because a tree that only looks large must not be ended for it.
pub(super) fn usage(pids: &[u32], enough: u64) -> Usage {
    let (mut own, mut mapped, mut processes) = (0, 0, 0);
    for status in pids.iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok()) {
        own += figure(&status, "RssAnon:") + figure(&status, "RssShmem:");
        mapped = mapped.max(figure(&status, "RssFile:"));
        processes += 1;
    }
    let roughly = (own + mapped) * 1024;
    let memory = if roughly > enough { exactly(pids).map_or(roughly, |exactly| exactly.min(roughly)) } else { roughly };
    Usage { processes, memory }
}

/// Shared pages shared out among those who share them; none if the system does not tell.
fn exactly(pids: &[u32]) -> Option<u64> {
    let mut sum = None;
    for pid in pids {
        if let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
            sum = Some(sum.unwrap_or(0) + figure(&rollup, "Pss:") * 1024);
        }
    }
    sum
}

/// The first number behind a name.
fn figure(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Ends everything below a process, whatever signals it ignores and whatever sessions it made for itself; whether nothing
/// is left. First all are stopped, so that none makes another while the rest is ended.
pub(super) fn end_descendants(root: u32) -> bool {
    for _ in 0..TIMES {
        let pids = descendants(root);
        let alive: Vec<u32> = pids.into_iter().filter(|pid| is_alive(*pid)).collect();
        if alive.is_empty() {
            return true;
        }
        end_groups(root, &alive);
        signal(&alive, Signal::STOP);
        signal(&alive, Signal::KILL);
        thread::sleep(AGAIN);
    }
    false
}

/// Ends whole process groups: whoever forks as fast as it can is faster than anybody who ends its children one by one.
fn end_groups(root: u32, pids: &[u32]) {
    let group = |pid: u32| number(pid).and_then(|pid| getpgid(Some(pid)).ok());
    let (ours, theirs) = ([getpgrp()], [group(root)]);
    let mut groups: Vec<Pid> = pids.iter().filter_map(|pid| group(*pid)).collect();
    groups.sort_unstable_by_key(|group| group.as_raw_pid());
    groups.dedup();
    for group in groups.into_iter().filter(|it| !ours.contains(it) && !theirs.contains(&Some(*it))) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Whether a process still runs; one that only waits to be buried does not.
fn is_alive(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")) else { return false };
    // The name before it, in brackets, may hold anything.
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}

fn signal(pids: &[u32], signal: Signal) {
    for pid in pids.iter().filter_map(|pid| number(*pid)) {
        // One that has ended meanwhile is what is wanted.
        let _ = kill_process(pid, signal);
    }
}

fn number(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Ends a process and everything below it.
pub(super) fn end(root: u32) -> bool {
    let ended = end_descendants(root);
    signal(&[root], Signal::KILL);
    ended
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_tree_is_seen_and_ended_with_all_its_branches() {
        // Beyond the shell there is a child that ignores signals, and a grandchild.
        let script = "(trap '' TERM INT HUP; sleep 60 & wait; sleep 60) & echo ready; wait";
        let mut command = Command::new("sh");
        let mut shell = command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(shell.stdout.take().unwrap()), &mut line).unwrap();
        while descendants(shell.id()).len() < 2 {
            thread::yield_now();
        }
        let found = descendants(shell.id());
        let usage = usage(&found, 0);
        assert_eq!(usage.processes, found.len());
        assert!(usage.memory > 0);
        assert!(end_descendants(shell.id()));
        assert!(found.iter().all(|pid| !is_alive(*pid)));
        assert!(end(shell.id()));
        shell.wait().unwrap();
        assert!(descendants(shell.id()).is_empty());
    }

    #[test]
    fn figures_are_found_by_their_names() {
        let status = "VmRSS:\t   99 kB\nRssAnon:\t   12 kB\nRssFile:\t    3 kB\n";
        assert_eq!((figure(status, "RssAnon:"), figure(status, "RssShmem:")), (12, 0));
    }
}
