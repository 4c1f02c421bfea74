//! `ombra runtime install`: AWS's own runtime interface clients beside the interpreters of this machine, in the data directory,
//! so that functions find them and nothing else changes. The tools that install them are the interpreters' own.

use std::ffi::OsStr;
use std::fmt::Arguments;
use std::path::Path;
use std::process::Command;

use clap::ValueEnum;

use super::{Failure, note, say};
use crate::data_dir::{Secrecy, make_dir, write_file};
use crate::functions::RUNTIMES;

/// What a Python needs: the client, which calls handlers, and the SDK that they expect to find.
const PYTHON: [&str; 2] = ["awslambdaric", "boto3"];

/// The same for Node.js.
const NODE: &str = "aws-lambda-ric";

/// Newer versions of npm run no script of a package that is not allowed to; older ones do not mind the line.
const ALLOWED: &str = "allow-scripts=aws-lambda-ric\n";

/// What can be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Runtime {
    /// For functions in Python.
    Python3,
    /// For functions in Node.js; needs a C++ compiler, make, cmake and autotools.
    Nodejs,
}

/// Installs a runtime, or brings it up to date. `interpreter` is the one to use; without it, the one on PATH.
pub(super) fn install(data: &Path, runtime: Runtime, interpreter: Option<&Path>) -> Result<(), Failure> {
    let runtimes = data.join(RUNTIMES);
    make_dir(&runtimes)?;
    let place = match runtime {
        Runtime::Python3 => python(&runtimes.join("python"), interpreter.unwrap_or(Path::new("python3")))?,
        Runtime::Nodejs => node(&runtimes.join("nodejs"), interpreter.unwrap_or(Path::new("npm")))?,
    };
    say(format_args!("installed {place}; functions use it from now on"));
    Ok(())
}

fn python(place: &Path, python: &Path) -> Result<String, Failure> {
    step(format_args!("make a Python environment"), python.as_os_str(), &["-m", "venv", &text(place)])?;
    let own = place.join("bin/python");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"];
    step(format_args!("install {}", PYTHON.join(" and ")), own.as_os_str(), &[pip.as_slice(), &PYTHON].concat())?;
    Ok(text(place))
}

fn node(place: &Path, npm: &Path) -> Result<String, Failure> {
    make_dir(place)?;
    write_file(&place.join(".npmrc"), ALLOWED.as_bytes(), Secrecy::Public)?;
    note(format_args!("{NODE} is compiled on this machine, which takes minutes"));
    let words = ["install", "--no-audit", "--no-fund", "--prefix", &text(place), NODE];
    step(format_args!("install {NODE}"), npm.as_os_str(), &words)?;
    Ok(text(place))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Runs a program that prints what it has to say by itself.
fn step(doing: Arguments<'_>, program: &OsStr, words: &[&str]) -> Result<(), Failure> {
    let failed = |why: String| Failure::Failed(format!("failed to {doing}: {why}"));
    let program_name = program.to_string_lossy();
    match Command::new(program).args(words).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(format!("{program_name} {} ended with {status}", words.join(" ")))),
        Err(error) => Err(failed(format!("{program_name}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let home = tempfile::tempdir().unwrap();
        for runtime in [Runtime::Python3, Runtime::Nodejs] {
            let error = install(home.path(), runtime, Some(Path::new("/nowhere/interpreter"))).unwrap_err();
            assert!(error.to_string().contains("/nowhere/interpreter"), "{error}");
        }
    }

    #[test]
    fn a_program_that_fails_fails_the_installation() {
        let home = tempfile::tempdir().unwrap();
        let error = install(home.path(), Runtime::Python3, Some(Path::new("false"))).unwrap_err();
        assert!(error.to_string().contains("failed to make a Python environment: false -m venv"), "{error}");
    }
}
