//! The loads that `cargo xtask bench` puts on ombra, and the small servers it is compared with. The first word says
//! which; see the file of that name.
//!
//! ```text
//! bench updates OMBRA DIRECTORY [ROUNDS]
//! bench broker OMBRA DIRECTORY [--rows A,B] [--all] [--rounds N] [--seconds S] [--brokers A,B] [--workers N]
//!              [--before OMBRA]
//! bench connects OMBRA DIRECTORY [--rounds N] [--seconds S]
//! bench latency OMBRA DIRECTORY [--tls] [--rounds N] [--seconds S]
//! bench workers OMBRA DIRECTORY [--rows A,B] [--rounds N] [--seconds S]
//! bench scale OMBRA DIRECTORY [--only connections|retained|subscriptions] [--divide N] [--mosquitto]
//! bench registry OMBRA DIRECTORY [--things N] [--rounds N] [--seconds S]
//! bench relay
//! bench handshakes DATA
//! ```

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

mod broker;
mod brokers;
mod connects;
mod handshakes;
mod http;
mod identity;
mod latency;
mod link;
mod load;
mod ombra;
mod packets;
mod poll;
mod process;
mod registry;
mod relay;
mod rows;
mod scale;
mod swarm;
mod traffic;
mod updates;
mod words;
mod workers;

/// Anything that goes wrong ends the run; whoever started it reads why.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What takes the binary of ombra, a directory to work in, and words of its own.
type Measure = fn(&Path, &Path, &[&str]) -> Result<(), Failure>;

const MEASURES: [(&str, Measure); 7] = [
    ("broker", broker::run),
    ("connects", connects::run),
    ("latency", latency::run),
    ("registry", registry::run),
    ("scale", scale::run),
    ("updates", updates::run),
    ("workers", workers::run),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["relay"] => relay::run().map_err(Failure::from),
        ["handshakes", data] => handshakes::run(Path::new(data)),
        [measure, ombra, directory, ref further @ ..] => {
            MEASURES.iter().find(|(name, _)| *name == measure).map_or_else(
                || Err(format!("`{measure}` is no measure").into()),
                |(_, run)| run(Path::new(ombra), Path::new(directory), further),
            )
        }
        _ => Err("usage: bench MEASURE OMBRA DIRECTORY [WORDS]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn median<T>(rounds: &[T], value: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn say(text: std::fmt::Arguments) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
