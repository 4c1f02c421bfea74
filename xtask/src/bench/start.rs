//! How long ombra takes from its start until it is ready, and what it holds then: the median of several starts.
//! It asks nothing of it but whether it is there.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Scratch, build, say};
use crate::Failed;

/// Starts in a fresh and in an existing directory, each.
const STARTS: usize = 9;

/// How long a server is left alone before its memory is read.
const SETTLE: Duration = Duration::from_millis(500);

/// A start takes a fraction of a second; what has not come by then will not.
const PATIENCE: Duration = Duration::from_secs(20);

const MEGABYTE: f64 = 1_000_000.0;

/// Takes nothing, or `--dist` for the profile that is shipped.
pub(super) fn run(root: &Path, words: &[&str]) -> Result<(), Failed> {
    match words {
        [] => start(root, false),
        ["--dist"] => start(root, true),
        _ => Err(Failed::new(format!("understand {}; the only flag of start is --dist", words.join(" ")))),
    }
}

/// Start to ready, memory when idle, size of the binary.
fn start(root: &Path, dist: bool) -> Result<(), Failed> {
    let profile = if dist { "dist" } else { "release" };
    let binary = build(root, &format!("--profile {profile} -p server --bin ombra"))?;
    let scratch = Scratch::make(&binary)?;
    let (mut fresh, mut existing) = (Vec::new(), Vec::new());
    for turn in 0..STARTS {
        let data = scratch.0.join(turn.to_string());
        fresh.push(one_start(&binary, &data)?);
        existing.push(one_start(&binary, &data)?);
    }
    let size = fs::metadata(&binary).map_err(|cause| Failed::because("measure the binary", cause))?.len();
    say(format_args!("\nstart, profile {profile}, median of {STARTS} (least to most)"))?;
    for (what, unit, aim, value) in [
        ("start to ready", "ms", 100, (|start| start.ready_ms) as fn(&Start) -> f64),
        ("idle memory", "MB", 20, |start| start.resident_mb),
    ] {
        say(format_args!(
            "  {what:<15} {unit}  fresh directory {}  existing {}  aim < {aim}",
            spread(&fresh, value),
            spread(&existing, value)
        ))?;
    }
    let megabytes = f64::from(u32::try_from(size).unwrap_or(u32::MAX)) / MEGABYTE;
    let note = if dist { "" } else { "; this profile keeps debug information, --dist measures what is shipped" };
    say(format_args!("  {:<15} MB  {megabytes:.1}  aim < 25{note}", "binary"))
}

/// One start: how long until it was ready, and what it held when nobody asked anything.
struct Start {
    ready_ms: f64,
    resident_mb: f64,
}

fn one_start(binary: &Path, data: &Path) -> Result<Start, Failed> {
    let mut command = Command::new(binary);
    command.arg("--data").arg(data).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    for door in ["--http", "--mqtts", "--tls"] {
        command.args([door, "127.0.0.1:0"]);
    }
    let begun = Instant::now();
    let child = command.spawn().map_err(|cause| Failed::because("start ombra", cause))?;
    let mut running = Running(child);
    while !is_ready(data) {
        let ended = running.0.try_wait().is_ok_and(|status| status.is_some());
        if ended || begun.elapsed() > PATIENCE {
            return Err(Failed::new(format!("see ombra ready; run it with --data {} to see why", data.display())));
        }
        sleep(Duration::from_micros(500));
    }
    let ready_ms = begun.elapsed().as_secs_f64() * 1e3;
    sleep(SETTLE);
    let resident_mb = resident_mb(running.0.id()).unwrap_or(f64::NAN);
    running.end()?;
    Ok(Start { ready_ms, resident_mb })
}

/// Whether ombra has said where it answers, and does.
fn is_ready(data: &Path) -> bool {
    let ask = || {
        let endpoints: Value = serde_json::from_slice(&fs::read(data.join("endpoints.json")).ok()?).ok()?;
        let mut stream = TcpStream::connect(endpoints["http"].as_str()?).ok()?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.starts_with("HTTP/1.1 200 "))
    };
    ask() == Some(true)
}

/// `VmRSS` of a process; nothing where there is no `/proc`.
fn resident_mb(pid: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024.0 / MEGABYTE)
}

/// A server that is ended with its measurement, however that ends.
struct Running(Child);

impl Running {
    /// Stops it as a person would, so that the next start finds an orderly directory.
    fn end(mut self) -> Result<(), Failed> {
        let failed = |cause| Failed::because("stop ombra", cause);
        let asked = Command::new("kill").arg(self.0.id().to_string()).status().map_err(failed)?;
        if asked.success() { self.0.wait().map(drop).map_err(failed) } else { Err(Failed::new("stop ombra")) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has usually ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The median and both ends of what was measured.
fn spread(starts: &[Start], value: fn(&Start) -> f64) -> String {
    let mut values: Vec<f64> = starts.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    format!("{:>6.1} ({:.1} to {:.1})", at(values.len() / 2), at(0), at(values.len().saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_median_between_both_ends() {
        let start = |ready_ms| Start { ready_ms, resident_mb: 0.0 };
        let text = spread(&[start(9.0), start(1.0), start(2.0)], |start| start.ready_ms);
        assert_eq!(text.trim(), "2.0 (1.0 to 9.0)");
    }
}
