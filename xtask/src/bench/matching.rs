//! Instructions of a publish among many filters, counted by callgrind: they should grow with the subscriptions that
//! match, and not with those that do not. What is counted is `crates/broker/examples/publish_cost.rs`.

use std::path::Path;

use super::{build, callgrind, say};
use crate::Failed;

/// Publishes that are counted.
const PUBLISHES: u32 = 1000;

/// The function of the example that is counted.
const INSIDE: &str = "publish_cost::publishes";

/// Filters with wildcards, and how many of them match.
const SIZES: [(u32, u32); 5] = [(100, 10), (10_000, 10), (100_000, 10), (10_000, 1), (10_000, 100)];

pub(super) fn run(root: &Path) -> Result<(), Failed> {
    let example = build(root, "--release -p broker --example publish_cost")?;
    say(format_args!(
        "\nmatch, instructions per publish counted by callgrind; nothing is remembered between publishes"
    ))?;
    let mut least = None;
    for (filters, matches) in SIZES {
        let words = [filters, matches, PUBLISHES].map(|word| word.to_string());
        let count = callgrind::instructions(&example, Some(INSIDE), words.iter().map(String::as_str))?;
        let each = count / f64::from(PUBLISHES);
        let times = each / *least.get_or_insert(each);
        say(format_args!("  {filters:>7} filters, {matches:>3} match: {each:>8.0}  {times:>5.2} times the first"))?;
    }
    Ok(())
}
