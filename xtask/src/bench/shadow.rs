//! Instructions of a shadow update, counted by callgrind, beside those that serde_json takes for the same JSON.
//! What is counted is `crates/shadow/examples/shadow_update.rs`.

use std::path::Path;

use super::{build, callgrind, say};
use crate::Failed;

/// Shadow updates that are counted.
const UPDATES: u32 = 2000;

/// Takes no further words.
pub(super) fn run(root: &Path) -> Result<(), Failed> {
    let example = build(root, "--release -p shadow --example shadow_update")?;
    say(format_args!("\nshadow, instructions per update counted by callgrind"))?;
    for (request, title) in [("", "a device reports all of its section"), ("small", "a device reports one reading")] {
        let idle = instructions(&example, "none", request)?;
        let of = |mode| Ok((instructions(&example, mode, request)? - idle) / f64::from(UPDATES));
        let (update, single, both) = (of("update")?, of("request")?, of("both")?);
        say(format_args!("  {title}: {update:.0}"))?;
        // Which JSON is "the same" can be read in two ways, and the aim stands beside both.
        for (peer, cost) in [("the request and the stored state", both), ("the request alone", single)] {
            say(format_args!("    {:>5.2} times serde_json on {peer}  aim < 4", update / cost))?;
        }
    }
    Ok(())
}

fn instructions(example: &Path, mode: &str, request: &str) -> Result<f64, Failed> {
    let count = UPDATES.to_string();
    let request = Some(request).filter(|request| !request.is_empty());
    callgrind::instructions(example, None, [mode, &count].into_iter().chain(request))
}
