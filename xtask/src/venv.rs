//! The project's Python virtualenv, `.venv` in the repository's root: where the models and the foreign clients come from.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failed;

/// The interpreter of the virtualenv, which is made if it is not there.
pub(crate) fn python(root: &Path) -> Result<PathBuf, Failed> {
    let venv = root.join(".venv");
    let python = venv.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv), "make the virtualenv")?;
    }
    Ok(python)
}

/// Installs what pip is told to.
pub(crate) fn install(root: &Path, what: &[&str]) -> Result<(), Failed> {
    let python = python(root)?;
    run(
        Command::new(python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(what),
        "pip install",
    )
}

fn run(command: &mut Command, what: &str) -> Result<(), Failed> {
    let status = command.status().map_err(|cause| Failed::because(what, cause))?;
    if status.success() { Ok(()) } else { Err(Failed::new(format!("{what}: {status}"))) }
}
