//! Instructions of a message evaluated by a rule's statement, counted by callgrind, beside those that serde_json takes to parse
//! the same payload. What is counted is `crates/sql/examples/rule_cost.rs`.

use std::path::Path;

use super::{build, callgrind, say};
use crate::Failed;

/// Messages that are counted.
const MESSAGES: u32 = 1000;

/// The statements of the example, and what kind of rule each stands for.
const STATEMENTS: [(&str, &str); 5] = [
    ("filter", "a condition and two members"),
    ("enrich", "all members, the topic and the time"),
    ("compute", "arithmetic, a function, two conditions"),
    ("query", "a nested query over seven readings"),
    ("choose", "CASE, a regular expression, joined strings"),
];

/// Takes no further words.
pub(super) fn run(root: &Path) -> Result<(), Failed> {
    let example = build(root, "--release -p sql --example rule_cost")?;
    say(format_args!("\nrules, instructions per message, times those of serde_json parsing its payload  aim < 3"))?;
    for (statement, title) in STATEMENTS {
        let idle = instructions(&example, statement, 0, None)?;
        let of = |peer| Ok((instructions(&example, statement, MESSAGES, peer)? - idle) / f64::from(MESSAGES));
        let (message, parse) = (of(None)?, of(Some("peer"))?);
        say(format_args!("  {title}: {message:.0}, {:.2} times", message / parse))?;
    }
    Ok(())
}

fn instructions(example: &Path, statement: &str, messages: u32, peer: Option<&str>) -> Result<f64, Failed> {
    let count = messages.to_string();
    callgrind::instructions(example, None, [statement, &count].into_iter().chain(peer))
}
