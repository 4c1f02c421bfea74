//! Durable shadow updates per second of a whole ombra, beside what its engine can do on the same disk at the same
//! time. Each round measures the engine alone, then HTTP, then MQTT, and a ratio is taken within its round, so that a
//! noisy machine disturbs both of its sides. What is printed is the median of the rounds.

use std::path::Path;
use std::time::Duration;

use crate::load::{Load, Rate};
use crate::ombra::Ombra;
use crate::{Failure, median, say};

mod device;
mod documents;
mod engine;
mod updater;

/// Clients at a time, and records of one commit of the engine.
const SIZES: [usize; 3] = [1, 16, 128];

/// How long each side of each round is counted.
const COUNTED: Duration = Duration::from_secs(3);

pub(crate) fn run(binary: &Path, directory: &Path, words: &[&str]) -> Result<(), Failure> {
    let rounds = match words {
        [] => 3,
        [word] => word.parse().map_err(|_| format!("{word} is not a number of rounds"))?,
        _ => return Err("updates takes a number of rounds and nothing else".into()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let most = SIZES.into_iter().max().unwrap_or(1);
    let ombra = Ombra::start(binary, &directory.join("ombra"), &[])?;
    let engine = engine::Engine::open(&directory.join("engine"), most)?;
    say(format_args!("stored shadow: {} bytes; update: {} bytes", engine.record_bytes(), documents::REPORTS[0].len()))?;
    runtime.block_on(async {
        let clients = updater::prepare(&ombra, most).await?;
        let fleet = device::prepare(&ombra, most).await?;
        say(format_args!("{HEAD}"))?;
        for size in SIZES {
            let mut measured = Vec::with_capacity(rounds);
            for _ in 0..rounds {
                let engine = engine.updates_per_second(size, COUNTED)?;
                let http = Load::over(clients.connect(size).await?).run(&ombra, COUNTED).await?;
                let mqtt = Load::over(fleet.connect(size).await?).run(&ombra, COUNTED).await?;
                measured.push(Round { engine, http, mqtt });
            }
            say(format_args!("{}", line(size, &measured)))?;
        }
        Ok(())
    })
}

/// One round: updates per second of each side.
struct Round {
    engine: f64,
    http: Rate,
    mqtt: Rate,
}

const HEAD: &str = "
             engine       HTTP               CPU us each       MQTT               CPU us each
clients   updates/s  updates/s  of engine  ombra  load  updates/s  of engine  ombra  load";

fn line(size: usize, rounds: &[Round]) -> String {
    let columns = |rate: fn(&Round) -> &Rate| {
        let per_second = median(rounds, |round| rate(round).per_second);
        let ratio = median(rounds, |round| 100.0 * rate(round).per_second / round.engine);
        let server = median(rounds, |round| rate(round).server_us);
        let load = median(rounds, |round| rate(round).load_us);
        format!("  {per_second:>9.0}  {ratio:>7.0} %  {server:>5.0}  {load:>4.0}")
    };
    let engine = median(rounds, |round| round.engine);
    format!("{size:>7}  {engine:>10.0}{}{}", columns(|round| &round.http), columns(|round| &round.mqtt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        let rate = |per_second| Rate { per_second, server_us: 1.0, load_us: 1.0 };
        let round = |engine, http| Round { engine, http: rate(http), mqtt: rate(engine) };
        // The machine slowed down to a tenth in the last two rounds, on all sides alike.
        let rounds = [round(1000.0, 500.0), round(100.0, 50.0), round(100.0, 50.0)];
        let line = line(16, &rounds);
        assert!(line.contains(" 50 %") && line.contains(" 100 %"), "{line}");
    }
}
