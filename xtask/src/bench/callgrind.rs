//! Instructions that a program takes, counted by callgrind: the same on a busy machine as on an idle one. It does not
//! know what the program does.

use std::path::Path;
use std::process::Command;

use crate::Failed;

/// Counts a whole run, or what happens inside one function and whatever that calls.
pub(super) fn instructions<'a>(
    program: &Path,
    inside: Option<&str>,
    words: impl IntoIterator<Item = &'a str>,
) -> Result<f64, Failed> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.args(inside.map(|function| format!("--toggle-collect={function}")));
    let run = command.arg(program).args(words).output();
    let run = run.map_err(|cause| Failed::because("run valgrind, on Debian `sudo apt-get install valgrind`", cause))?;
    let said = String::from_utf8_lossy(&run.stderr);
    let count = collected(&said).filter(|_| run.status.success());
    count.ok_or_else(|| Failed::because("read what valgrind counted", said.trim()))
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
