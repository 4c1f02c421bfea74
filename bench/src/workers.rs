//! What a second worker brings: the same rows on ombra with one worker and with two, round by round. The load has one
//! thread and shares the processors, so what is gained here is the least that is gained where it does not.

use std::path::Path;
use std::time::Duration;

use crate::brokers::{Kind, Yard};
use crate::rows::Row;
use crate::traffic::{Counted, measure};
use crate::words::Words;
use crate::{Failure, median, say};

const ROWS: &str = "qos0-pairs100,qos1-pairs100,qos0-fanin100,qos0-fanout1000,qos0-pairs100-w1,qos0-pairs100-tls";

pub(crate) fn run(ombra: &Path, directory: &Path, words: &[&str]) -> Result<(), Failure> {
    let words = Words::new(words, &[], &["rows", "rounds", "seconds"])?;
    let rounds: usize = words.number("rounds", 3)?;
    let counted = Duration::try_from_secs_f64(words.number("seconds", 3.0)?)?;
    // Two run at a time, and a directory serves one.
    let yard = |count: &str| Yard::new(ombra, &directory.join(count), ["--workers", count].map(String::from).into());
    let yards = [yard("1")?, yard("2")?];
    say(format_args!("{:<24}{:>28}   {:>30}   two to one", "", "CPU s per million", "delivered per s, thousands"))?;
    say(format_args!("{:<24}{:>14}{:>14}   {:>15}{:>15}   CPU  rate", "row", "1", "2", "1", "2"))?;
    for name in words.value("rows").unwrap_or(ROWS).split(',') {
        let row: Row = name.parse()?;
        let mut running = Vec::new();
        for yard in &yards {
            let broker = yard.start(Kind::Ombra, row)?;
            let target = yard.target(&broker, row).ok_or("ombra has no such door")?;
            running.push((broker, target));
        }
        let mut measured = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let mut round = Vec::with_capacity(running.len());
            for (broker, target) in &running {
                round.push(measure(target, row, &broker.process.id(), counted)?);
            }
            measured.push(round);
        }
        say(format_args!("{}", line(row, &measured)))?;
    }
    Ok(())
}

fn line(row: Row, rounds: &[Vec<Counted>]) -> String {
    let cost = |counted: &Counted| counted.broker;
    let rate = |counted: &Counted| counted.rate / 1e3;
    let of = |side: usize, value: fn(&Counted) -> f64| median(rounds, |round| round.get(side).map_or(f64::NAN, value));
    let ratio = |value: fn(&Counted) -> f64| {
        median(rounds, |round| match &round[..] {
            [one, two] => value(two) / value(one),
            _ => f64::NAN,
        })
    };
    let costs = format!("{:>14.3}{:>14.3}", of(0, cost), of(1, cost));
    let rates = format!("{:>15.0}{:>15.0}", of(0, rate), of(1, rate));
    format!("{:<24}{costs}   {rates}  {:>4.2}  {:>4.2}", row.to_string(), ratio(cost), ratio(rate))
}
