//! What a delivered message costs: seconds of the broker's processor time per million, ombra beside the relay and
//! Mosquitto, and if so asked beside another ombra, row by row. Rounds alternate between the brokers and a ratio is taken within its round, so that a noisy
//! machine disturbs both of its sides; what is printed is the median of the rounds.

use std::path::Path;
use std::time::Duration;

use crate::brokers::{KINDS, Kind, Yard};
use crate::rows::{self, Row};
use crate::traffic::{Counted, measure};
use crate::words::Words;
use crate::{Failure, median, say};

const HEAD: &str = "
                               CPU s per million delivered   ombra's as multiple of   delivered per s, thousands    load, % of a core
row                              ombra    relay  Mosquitto      relay  Mosquitto        ombra   relay  Mosquitto   ombra relay Mosq.";

/// Measures the rows that are named, those that tell most, or all.
pub(crate) fn run(ombra: &Path, directory: &Path, words: &[&str]) -> Result<(), Failure> {
    let words = Words::new(words, &["all"], &["rows", "rounds", "seconds", "brokers", "workers", "before"])?;
    let rows = match words.value("rows") {
        Some(names) => names.split(',').map(str::parse).collect::<Result<Vec<Row>, _>>()?,
        None if words.has("all") => rows::all(),
        None => rows::telling(),
    };
    let kinds = match words.value("brokers") {
        Some(names) => names.split(',').map(str::parse).collect::<Result<Vec<Kind>, _>>()?,
        None => KINDS.to_vec(),
    };
    let rounds: usize = words.number("rounds", 3)?;
    let counted = Duration::try_from_secs_f64(words.number("seconds", 3.0)?)?;
    let workers = words.value("workers").map(|count| vec!["--workers".to_owned(), count.to_owned()]);
    let further = workers.unwrap_or_default();
    let yard = Yard::new(ombra, directory, further.clone())?;
    let before = words.value("before").map(|path| Yard::new(Path::new(path), &directory.join("before"), further));
    let before = before.transpose()?;
    let before = before.iter().map(|yard| (Kind::Before, yard));
    let sides: Vec<(Kind, &Yard)> = kinds.into_iter().map(|kind| (kind, &yard)).chain(before).collect();
    say(format_args!("{HEAD}"))?;
    for row in rows {
        say(format_args!("{}", line(row, &measure_row(&sides, row, rounds, counted)?)))?;
    }
    Ok(())
}

/// What was counted of each broker in one round; nothing where it does not take part.
type Round = [Option<Counted>; 4];

fn measure_row(sides: &[(Kind, &Yard)], row: Row, rounds: usize, counted: Duration) -> Result<Vec<Round>, Failure> {
    let failed = |kind: Kind| move |failure: Failure| format!("{row}, {}: {failure}", kind.name());
    let mut running = Vec::new();
    for &(kind, yard) in sides {
        let broker = yard.start(kind, row).map_err(failed(kind))?;
        if let Some(target) = yard.target(&broker, row) {
            running.push((kind, broker, target));
        }
    }
    let mut measured = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let mut round = Round::default();
        for (kind, broker, target) in &running {
            let count = measure(target, row, &broker.process.id(), counted).map_err(failed(*kind))?;
            round[*kind as usize] = Some(count);
        }
        measured.push(round);
    }
    Ok(measured)
}

fn line(row: Row, rounds: &[Round]) -> String {
    let of =
        |kind: Kind, value: fn(Counted) -> f64| median(rounds, |round| round[kind as usize].map_or(f64::NAN, value));
    let over = |kind: Kind| {
        median(rounds, |round| match (round[Kind::Ombra as usize], round[kind as usize]) {
            (Some(ombra), Some(other)) => ombra.broker / other.broker,
            _ => f64::NAN,
        })
    };
    let show = |value: f64, width: usize, digits: usize| {
        if value.is_nan() { format!("{:>width$}", "-") } else { format!("{value:>width$.digits$}") }
    };
    let cost = |kind| show(of(kind, |counted| counted.broker), 9, 3);
    let rate = |kind| show(of(kind, |counted| counted.rate / 1e3), 8, 0);
    let load = |kind| show(of(kind, |counted| counted.load * 100.0), 6, 0);
    let all = |show: &dyn Fn(Kind) -> String| KINDS.map(show).concat();
    let times = |kind| show(over(kind), 9, 2);
    let (costs, rates, loads) = (all(&cost), all(&rate), all(&load));
    let (relay, mosquitto) = (times(Kind::Relay), times(Kind::Mosquitto));
    let before = over(Kind::Before);
    let before = if before.is_nan() {
        String::new()
    } else {
        format!("   before: {}, ombra {before:.2} of it", cost(Kind::Before).trim_start())
    };
    format!("{:<28}{costs}     {relay}{mosquitto}       {rates}     {loads}{before}", row.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        let counted = |broker| Some(Counted { broker, rate: 1e6, load: 0.5 });
        // The machine slowed down to a tenth in the last two rounds, for all alike.
        let rounds = [[counted(2.0), counted(1.0), None, None], [counted(20.0), counted(10.0), None, None]];
        let line = line(rows::telling()[0], &[rounds[0], rounds[1], rounds[1]]);
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[..6], ["qos0-pairs100", "20.000", "10.000", "-", "2.00", "-"], "{line}");
    }
}
