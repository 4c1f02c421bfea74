//! What the registry costs when it is large: two servers, one with a thousand things and one with a million, asked the same in
//! turn. A ratio is taken within its round, so that a noisy machine disturbs both of its sides; creating comes last, since it
//! makes the small registry larger.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::http::{Line, request};
use crate::load::{Client, Load, Rate};
use crate::ombra::Ombra;
use crate::words::Words;
use crate::{Failure, median, say};

/// Things of the small registry, and of the large one unless it is said otherwise.
const SIZES: [usize; 2] = [1_000, 1_000_000];

/// Clients at a time when it is counted.
const CLIENTS: usize = 16;

/// Clients that fill a registry, so that many things become durable at once.
const FILLERS: usize = 64;

/// Things of a page, as many as AWS allows.
const PAGE: usize = 250;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    Describe,
    List,
    Create,
}

const QUESTIONS: [(Question, &str); 3] = [
    (Question::Describe, "DescribeThing"),
    (Question::List, "ListThings, pages of 250"),
    (Question::Create, "CreateThing"),
];

pub(crate) fn run(binary: &Path, directory: &Path, words: &[&str]) -> Result<(), Failure> {
    let words = Words::new(words, &[], &["things", "rounds", "seconds"])?;
    let sizes = [SIZES[0], words.number("things", SIZES[1])?];
    let rounds: usize = words.number("rounds", 3)?;
    let counted = Duration::try_from_secs_f64(words.number("seconds", 2.0)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let small = Registry::start(binary, &directory.join("small"))?;
    let large = Registry::start(binary, &directory.join("large"))?;
    runtime.block_on(async {
        small.fill(sizes[0]).await?;
        large.fill(sizes[1]).await?;
        say(format_args!("{:<26} {:>10} {:>10}  rate  CPU", "per second among", sizes[0], sizes[1]))?;
        for (question, title) in QUESTIONS {
            let mut measured = Vec::with_capacity(rounds);
            for _ in 0..rounds {
                measured.push([small.ask(question, counted).await?, large.ask(question, counted).await?]);
            }
            say(format_args!("{}", line(title, &measured)))?;
        }
        Ok(())
    })
}

fn line(title: &str, rounds: &[[Rate; 2]]) -> String {
    let [small, large] = [0, 1].map(|side: usize| median(rounds, |round| round[side].per_second));
    let rate = median(rounds, |[small, large]| small.per_second / large.per_second);
    let cpu = median(rounds, |[small, large]| large.server_us / small.server_us);
    format!("{title:<26} {small:>10.0} {large:>10.0}  {rate:.2}  {cpu:.2}")
}

/// A server and the things it holds.
struct Registry {
    ombra: Ombra,
    /// Things that were made, or are about to be.
    made: Arc<AtomicUsize>,
}

impl Registry {
    fn start(binary: &Path, directory: &Path) -> Result<Self, Failure> {
        Ok(Self { ombra: Ombra::start(binary, directory, &[])?, made: Arc::default() })
    }

    async fn fill(&self, things: usize) -> Result<(), Failure> {
        let mut fillers = Vec::with_capacity(FILLERS);
        for number in 0..FILLERS {
            let mut asker = self.asker(Question::Create, number).await?;
            fillers.push(tokio::spawn(async move {
                while asker.made.load(Ordering::Relaxed) < things {
                    asker.ask().await?;
                }
                Ok::<(), Failure>(())
            }));
        }
        for filler in fillers {
            filler.await??;
        }
        Ok(())
    }

    async fn ask(&self, question: Question, counted: Duration) -> Result<Rate, Failure> {
        let mut askers = Vec::with_capacity(CLIENTS);
        for number in 0..CLIENTS {
            askers.push(self.asker(question, number).await?);
        }
        Load::over(askers).run(&self.ombra, counted).await
    }

    async fn asker(&self, question: Question, number: usize) -> Result<Asker, Failure> {
        let address = self.ombra.http;
        let line = Line::connect(address).await?;
        let turn = number * 7919;
        Ok(Asker { address, line, question, made: Arc::clone(&self.made), turn, token: None })
    }
}

struct Asker {
    address: SocketAddr,
    line: Line,
    question: Question,
    made: Arc<AtomicUsize>,
    /// Requests so far, beginning elsewhere for each client.
    turn: usize,
    /// Where the next page begins.
    token: Option<String>,
}

impl Client for Asker {
    async fn ask(&mut self) -> Result<(), Failure> {
        self.turn += 1;
        match self.question {
            Question::Describe => {
                let things = self.made.load(Ordering::Relaxed).max(1);
                self.call("GET", &format!("/things/{}", name(scattered(self.turn) % things)), b"").await?;
            }
            Question::Create => {
                let number = self.made.fetch_add(1, Ordering::Relaxed);
                let body = format!(r#"{{"attributePayload":{{"attributes":{{"serial":"{number}","hall":"north"}}}}}}"#);
                self.call("POST", &format!("/things/{}", name(number)), body.as_bytes()).await?;
            }
            Question::List => {
                let from = self.token.take().map_or_else(String::new, |token| format!("&nextToken={token}"));
                let answer = self.call("GET", &format!("/things?maxResults={PAGE}{from}"), b"").await?;
                let answer: Value = serde_json::from_slice(&answer)?;
                let token = answer["nextToken"].as_str().map(escaped);
                self.token = token;
            }
        }
        Ok(())
    }
}

impl Asker {
    async fn call(&mut self, method: &str, target: &str, body: &[u8]) -> Result<bytes::BytesMut, Failure> {
        self.line.call(&request(self.address, "iot", method, target, &[], body)).await
    }
}

/// The name of a thing; neighbours in number are far from each other in order.
fn name(number: usize) -> String {
    format!("{:016x}-{number}", scattered(number))
}

/// A number of its own for each number, all over the place.
fn scattered(number: usize) -> usize {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 1
}

/// A token, which is base64, as part of a query.
fn escaped(token: &str) -> String {
    token.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_says_that_the_large_registry_costs_more() {
        let rate = |per_second, server_us| Rate { per_second, server_us, load_us: 1.0 };
        let rounds = [[rate(2000.0, 10.0), rate(1000.0, 15.0)], [rate(200.0, 20.0), rate(100.0, 30.0)]];
        assert!(line("x", &rounds).ends_with("2.00  1.50"), "{}", line("x", &rounds));
    }

    #[test]
    fn names_are_apart() {
        let names: std::collections::HashSet<String> = (0..10_000).map(name).collect();
        assert_eq!(names.len(), 10_000);
    }
}
