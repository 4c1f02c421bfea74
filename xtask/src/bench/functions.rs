//! Warm invocations of a function: what the server delivers in a second, against the runtime client alone in a loop that does
//! nothing but feed it. Both run the same handler in the same Python; the figures are made by the script beside this file.

use std::path::Path;
use std::process::Command;

use super::{Scratch, build, say};
use crate::Failed;
use crate::venv;

/// Measures with a release build. `--ombra PATH` takes a binary that is there already.
pub(super) fn run(root: &Path, words: &[&str]) -> Result<(), Failed> {
    let ombra = match words {
        ["--ombra", path] => Path::new(path).to_owned(),
        [] => build(root, "--release -p server --bin ombra")?,
        _ => return Err(Failed::new("understand what follows `functions`; only `--ombra PATH` may")),
    };
    venv::install(root, &["--requirement", "e2e/requirements.txt"])?;
    let scratch = Scratch::make(&ombra)?;
    say(format_args!("\nfunctions, warm invocations of a Python handler that returns its event"))?;
    let mut script = Command::new(venv::python(root)?);
    script.arg(root.join("xtask/src/bench/functions.py")).arg(&ombra).arg(&scratch.0).current_dir(root);
    let status = script.status().map_err(|cause| Failed::because("run the script", cause))?;
    if status.success() { Ok(()) } else { Err(Failed::new(format!("measure invocations: {status}"))) }
}
