//! Steps of the workshop: each says what it does, how long it took, and names itself when it fails.
//! It knows nothing about what the steps are for.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::Failed;

/// Announces `name`, does `work`, and puts the name into its failure.
pub(crate) fn step(name: &str, work: impl FnOnce() -> Result<(), Failed>) -> Result<(), Failed> {
    eprintln!("==> {name}");
    let begun = Instant::now();
    work().map_err(|failed| Failed::because(format!("pass step `{name}`"), failed.0))?;
    eprintln!("    {name}: {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Runs a command in the repository's root as a step of its own, named `name`.
pub(crate) fn command(root: &Path, name: &str, line: &str) -> Result<(), Failed> {
    step(name, || run(in_root(root, line)))
}

/// A command from its words, to be run in the repository's root.
pub(crate) fn in_root(root: &Path, line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).current_dir(root);
    command
}

/// Runs a command to its end; anything but success is a failure.
pub(crate) fn run(mut command: Command) -> Result<(), Failed> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|cause| Failed::because(format!("run {program}"), cause))?;
    if status.success() { Ok(()) } else { Err(Failed::new(format!("{program}: {status}"))) }
}

/// Whether a command is there and succeeds; what it prints is dropped.
pub(crate) fn succeeds(line: &str) -> bool {
    in_root(Path::new("."), line).output().is_ok_and(|run| run.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_names_itself() {
        let failed = command(Path::new("."), "be wrong", "false").err().map(|failed| failed.0).unwrap_or_default();
        assert!(failed.starts_with("pass step `be wrong`: "), "{failed}");
        assert!(command(Path::new("."), "be right", "true").is_ok());
    }

    #[test]
    fn a_missing_program_does_not_succeed() {
        assert!(succeeds("true"));
        assert!(!succeeds("false"));
        assert!(!succeeds("no-such-program-anywhere"));
    }
}
