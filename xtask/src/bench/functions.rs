//! Warm invocations of a function: what the server delivers in a second, against the runtime client alone in a loop that does
//! nothing but feed it. Both run the same handler in the same Python; the figures are made by the script beside this file.

use std::path::Path;
use std::process::Command;

use super::{Scratch, build, say};
use crate::Failed;
use crate::venv;

/// Measures with a release build. `--ombra PATH` takes a binary that is there already, `--before PATH` another beside it.
pub(super) fn run(root: &Path, words: &[&str]) -> Result<(), Failed> {
    let (ombra, before) = match words {
        ["--ombra", path] => (Some(path), None),
        ["--before", before] => (None, Some(before)),
        ["--ombra", path, "--before", before] => (Some(path), Some(before)),
        [] => (None, None),
        _ => return Err(Failed::new("understand what follows `functions`: `--ombra PATH`, then `--before PATH`")),
    };
    let ombra = match ombra {
        Some(path) => Path::new(path).to_owned(),
        None => build(root, "--release -p server --bin ombra")?,
    };
    venv::install(root, &["--requirement", "e2e/requirements.txt"])?;
    let scratch = Scratch::make(&ombra)?;
    say(format_args!("\nfunctions, warm invocations of a Python handler that returns its event"))?;
    let mut script = Command::new(venv::python(root)?);
    script.arg(root.join("xtask/src/bench/functions.py")).arg(&scratch.0).arg(&ombra).args(before).current_dir(root);
    let status = script.status().map_err(|cause| Failed::because("run the script", cause))?;
    if status.success() { Ok(()) } else { Err(Failed::new(format!("measure invocations: {status}"))) }
}
