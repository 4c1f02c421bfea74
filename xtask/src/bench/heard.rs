//! Instructions of a publish among many rules, counted by callgrind: a rule that does not hear a message should cost nothing.
//! What is counted is `crates/cloud/examples/rules_heard.rs`.

use std::path::Path;

use super::{build, callgrind, say};
use crate::Failed;

/// Publishes that are counted.
const PUBLISHES: u32 = 10_000;

/// Rules on filters of their own, of which one hears each message.
const SIZES: [u32; 3] = [10, 100, 1000];

/// Functions of the example, and what they are.
const INSIDE: [(&str, &str); 2] =
    [("rules_heard::publishes", "publishing"), ("rules_heard::evaluates", "the rule that hears it, afterwards")];

/// Takes no further words.
pub(super) fn run(root: &Path) -> Result<(), Failed> {
    let example = build(root, "--release -p cloud --example rules_heard")?;
    say(format_args!("\nrules-match, instructions per publish, times those among {} rules  aim <= 1.2", SIZES[0]))?;
    for (function, title) in INSIDE {
        let mut least = None;
        for rules in SIZES {
            let words = [rules, PUBLISHES].map(|word| word.to_string());
            let count = callgrind::instructions(&example, Some(function), words.iter().map(String::as_str))?;
            let each = count / f64::from(PUBLISHES);
            let times = each / *least.get_or_insert(each);
            say(format_args!("  {title}, {rules:>4} rules: {each:>7.0}  {times:.2} times"))?;
        }
    }
    Ok(())
}
