//! Instructions of a shadow update, counted by callgrind, beside those that serde_json takes for the same JSON.
//! What is counted is `crates/shadow/examples/shadow_update.rs`.

use std::path::Path;
use std::process::Command;

use super::{build, say};
use crate::Failed;

/// Shadow updates that are counted.
const UPDATES: u32 = 2000;

/// Takes no further words.
pub(super) fn run(root: &Path) -> Result<(), Failed> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Err(Failed::new("find valgrind: install it, on Debian `sudo apt-get install valgrind`"));
    }
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
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(example);
    command.args([mode, &UPDATES.to_string()]).args(Some(request).filter(|request| !request.is_empty()));
    let run = command.output().map_err(|cause| Failed::because("run valgrind", cause))?;
    let said = String::from_utf8_lossy(&run.stderr);
    collected(&said).ok_or_else(|| Failed::because("read what valgrind counted", said.trim()))
}

/// The count in what callgrind says at its end: `==7== Collected : 123`.
fn collected(said: &str) -> Option<f64> {
    let mut counts = said.lines().filter_map(|line| line.split_once("Collected :"));
    counts.next()?.1.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrinds_count_is_found_in_what_it_says() {
        let said = "==7== Callgrind, a call-graph\n==7== \n==7== Events    : Ir\n==7== Collected : 120034\n==7== \n";
        assert_eq!(collected(said), Some(120_034.0));
        assert_eq!(collected("==7== killed"), None);
    }
}
