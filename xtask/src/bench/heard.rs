//! Instructions of a publish among many rules, counted by callgrind: a rule that does not hear a message should cost nothing, and
//! those that do should share the work.
//! What is counted is `crates/cloud/examples/rules_heard.rs`.

use std::path::Path;

use super::{build, callgrind, say};
use crate::Failed;

/// Publishes that are counted.
const PUBLISHES: u32 = 10_000;

/// Rules on filters of their own, of which one hears each message.
const SIZES: [u32; 3] = [10, 100, 1000];

/// Rules on one filter, all of which hear each message.
const TOGETHER: [u32; 3] = [1, 2, 10];

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
            let each = counted(&example, function, rules, PUBLISHES, None)?;
            let times = each / *least.get_or_insert(each);
            say(format_args!("  {title}, {rules:>4} rules: {each:>7.0}  {times:.2} times"))?;
        }
    }
    say(format_args!("\nrules-match, instructions of all rules that hear a message of 262 bytes, and of each"))?;
    for rules in TOGETHER {
        let all = counted(&example, INSIDE[1].0, rules, PUBLISHES / 10, Some("together"))?;
        say(format_args!("  {rules:>2} rules on one filter: {all:>7.0}  {:>6.0} each", all / f64::from(rules)))?;
    }
    Ok(())
}

/// Instructions within a function of the example, for each message.
fn counted(example: &Path, function: &str, rules: u32, publishes: u32, word: Option<&str>) -> Result<f64, Failed> {
    let words = [rules, publishes].map(|word| word.to_string());
    let words = words.iter().map(String::as_str).chain(word);
    Ok(callgrind::instructions(example, Some(function), words)? / f64::from(publishes))
}
