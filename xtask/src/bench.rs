//! `cargo xtask bench`: what the house costs, printed as ratios or beside an aim, never tested against a clock. All
//! figures of a run come from one machine in one state; figures of different runs say nothing about each other.

use std::fmt::Arguments;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Failed;
use crate::step::in_root;

/// Starts in a fresh and in an existing directory, each.
const STARTS: usize = 9;

/// How long a server is left alone before its memory is read.
const SETTLE: Duration = Duration::from_millis(500);

/// A start takes a fraction of a second; what has not come by then will not.
const PATIENCE: Duration = Duration::from_secs(20);

/// Shadow updates that are counted in instructions.
const UPDATES: u32 = 2000;

const MEGABYTE: f64 = 1_000_000.0;

/// Measures what is named, or everything.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<(), Failed> {
    let (flags, named): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.starts_with("--"));
    if flags.iter().any(|flag| *flag != "--dist") {
        return Err(Failed::new(format!("understand {}; the only flag of bench is --dist", flags.join(" "))));
    }
    let named = if named.is_empty() { vec!["start", "shadow", "updates"] } else { named };
    for name in named {
        match name {
            "start" => start(root, !flags.is_empty())?,
            "shadow" => shadow(root)?,
            "updates" => updates(root)?,
            other => return Err(Failed::new(format!("find a measure `{other}`; there are start, shadow, updates"))),
        }
    }
    Ok(())
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

/// Instructions of a shadow update against those of reading and printing the same JSON.
fn shadow(root: &Path) -> Result<(), Failed> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Err(Failed::new("find valgrind: install it, on Debian `sudo apt-get install valgrind`"));
    }
    let example = build(root, "--release -p shadow --example shadow_update")?;
    say(format_args!("\nshadow, instructions per update counted by callgrind"))?;
    for (request, title) in [("", "a device reports all of its section"), ("small", "a device reports one reading")] {
        let idle = instructions(&example, "none", request)?;
        let of = |mode| Ok((instructions(&example, mode, request)? - idle) / f64::from(UPDATES));
        let (update, single, both) = (of("update")?, of("request")?, of("both")?);
        say(format_args!("  {title}: {update:.0}"))?;
        // Which JSON is "the same" can be read in two ways, and the aim stands beside both.
        for (peer, cost) in [("the request and the stored state", both), ("the request alone", single)] {
            say(format_args!("    {:>5.2} times serde_json on {peer}  aim < 4", update / cost))?;
        }
    }
    Ok(())
}

fn instructions(example: &Path, mode: &str, request: &str) -> Result<f64, Failed> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(example);
    command.args([mode, &UPDATES.to_string()]).args(Some(request).filter(|request| !request.is_empty()));
    let run = command.output().map_err(|cause| Failed::because("run valgrind", cause))?;
    let said = String::from_utf8_lossy(&run.stderr);
    collected(&said).ok_or_else(|| Failed::because("read what valgrind counted", said.trim()))
}

/// The count in what callgrind says at its end: `==7== Collected : 123`.
fn collected(said: &str) -> Option<f64> {
    let mut counts = said.lines().filter_map(|line| line.split_once("Collected :"));
    counts.next()?.1.split_whitespace().next()?.parse().ok()
}

/// Durable updates per second against the engine's own rate; the crate `bench` does it.
fn updates(root: &Path) -> Result<(), Failed> {
    let ombra = build(root, "--release -p server --bin ombra")?;
    let bench = build(root, "--release -p bench --bin bench")?;
    let scratch = Scratch::make(&ombra)?;
    say(format_args!("\nupdates, durable, over HTTP and MQTT against the engine's own rate; aim > 50 % at 128"))?;
    let status = Command::new(bench).arg(ombra).arg(&scratch.0).status();
    let status = status.map_err(|cause| Failed::because("run the load", cause))?;
    if status.success() { Ok(()) } else { Err(Failed::new(format!("run the load: {status}"))) }
}

/// Builds one program and says where it is.
fn build(root: &Path, what: &str) -> Result<PathBuf, Failed> {
    let line = format!("cargo build --locked --message-format json-render-diagnostics {what}");
    let built = in_root(root, &line).stderr(Stdio::inherit()).output();
    let built = built.map_err(|cause| Failed::because("run cargo", cause))?;
    let said = String::from_utf8_lossy(&built.stdout);
    let mut executables = said.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    // The program itself is built last.
    let program = executables.next_back().filter(|_| built.status.success());
    program.ok_or_else(|| Failed::new(format!("build {what}")))
}

/// A directory beside a binary, which is on a disk and not in memory, gone when the measurement is over.
struct Scratch(PathBuf);

impl Scratch {
    fn make(binary: &Path) -> Result<Self, Failed> {
        let path = binary.with_file_name(format!("bench-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|cause| Failed::because(format!("make {}", path.display()), cause))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is in cargo's own directory, and `cargo clean` takes it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn say(text: Arguments) -> Result<(), Failed> {
    writeln!(std::io::stdout(), "{text}").map_err(|cause| Failed::because("print", cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrinds_count_is_found_in_what_it_says() {
        let said = "==7== Callgrind, a call-graph\n==7== \n==7== Events    : Ir\n==7== Collected : 120034\n==7== \n";
        assert_eq!(collected(said), Some(120_034.0));
        assert_eq!(collected("==7== killed"), None);
    }

    #[test]
    fn a_spread_is_the_median_between_both_ends() {
        let start = |ready_ms| Start { ready_ms, resident_mb: 0.0 };
        let text = spread(&[start(9.0), start(1.0), start(2.0)], |start| start.ready_ms);
        assert_eq!(text.trim(), "2.0 (1.0 to 9.0)");
    }

    #[test]
    fn a_measure_that_there_is_not_is_named() {
        let failed = |words: &[&str]| run(Path::new("."), words).err().map(|failed| failed.0).unwrap_or_default();
        assert!(failed(&["sleep"]).contains("`sleep`"));
        assert!(failed(&["start", "--fast"]).contains("--fast"));
    }
}
