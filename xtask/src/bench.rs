//! `cargo xtask bench`: what the house costs, printed as ratios or beside an aim, never tested against a clock. All
//! figures of a run come from one machine in one state; figures of different runs say nothing about each other.

use std::fmt::Arguments;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Failed;
use crate::step::in_root;

mod callgrind;
mod functions;
mod heard;
mod matching;
mod rules;
mod shadow;
mod start;

/// What can be measured, and how it is introduced where crate `bench` does it.
const MEASURES: [(&str, &str); 13] = [
    ("start", ""),
    ("shadow", ""),
    ("match", ""),
    ("rules", ""),
    ("rules-match", ""),
    ("functions", ""),
    ("updates", "durable, over HTTP and MQTT against the engine's own rate; aim > 50 % at 128"),
    ("broker", "processor time per delivered message, beside the relay and Mosquitto"),
    ("connects", "mutual TLS beside the TLS library alone and Mosquitto"),
    ("scale", "memory per connection, retained message and subscription"),
    ("latency", "open loop, beside Mosquitto"),
    ("registry", "a registry of a million things beside one of a thousand; aim <= 2 times the cost"),
    ("workers", "two workers beside one"),
];

/// Measures what is named, each with the words that follow its name, or everything.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<(), Failed> {
    let is_measure = |word: &str| MEASURES.iter().any(|(name, _)| *name == word);
    if let Some(word) = words.first().filter(|word| !is_measure(word)) {
        let names = MEASURES.map(|(name, _)| name).join(", ");
        return Err(Failed::new(format!("find a measure `{word}`; there are {names}")));
    }
    let named: Vec<&[&str]> = words.chunk_by(|_, next| !is_measure(next)).collect();
    let all: Vec<[&str; 1]> = MEASURES.iter().map(|(name, _)| [*name]).collect();
    let named = if named.is_empty() { all.iter().map(|name| &name[..]).collect() } else { named };
    for measure in named {
        match measure {
            ["start", further @ ..] => start::run(root, further)?,
            ["shadow"] => shadow::run(root)?,
            ["match"] => matching::run(root)?,
            ["rules"] => rules::run(root)?,
            ["rules-match"] => heard::run(root)?,
            ["functions", further @ ..] => functions::run(root, further)?,
            [name, further @ ..] => load(root, name, further)?,
            [] => {}
        }
    }
    Ok(())
}

/// What crate `bench` measures. `--ombra PATH` takes a binary that is there already.
fn load(root: &Path, name: &str, words: &[&str]) -> Result<(), Failed> {
    let (ombra, words) = match words.iter().position(|word| *word == "--ombra") {
        Some(at) if at + 1 < words.len() => (PathBuf::from(words[at + 1]), [&words[..at], &words[at + 2..]].concat()),
        _ => (build(root, "--release -p server --bin ombra")?, words.to_vec()),
    };
    let bench = build(root, "--release -p bench --bin bench")?;
    let scratch = Scratch::make(&bench)?;
    let about = MEASURES.iter().find_map(|(measure, about)| (*measure == name).then_some(*about));
    say(format_args!("\n{name}, {}", about.unwrap_or_default()))?;
    let status = Command::new(bench).arg(name).arg(ombra).arg(&scratch.0).args(words).status();
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
    fn a_measure_that_there_is_not_is_named() {
        let failed = |words: &[&str]| run(Path::new("."), words).err().map(|failed| failed.0).unwrap_or_default();
        assert!(failed(&["sleep"]).contains("`sleep`"));
        assert!(failed(&["start", "--fast"]).contains("--fast"));
    }
}
