//! `cargo xtask`: the workshop. Generates, checks and tests; nothing of it is in the product.

mod bench;
mod ci;
mod generate;
mod step;
mod test;
mod tidy;
mod venv;

use std::process::ExitCode;

const COMMANDS: &str = "\
cargo xtask gen            print the tables of crate wire from AWS's service models
cargo xtask gen --check    fail when the committed tables are not what gen prints
cargo xtask tidy           hold the house rules, naming file, line and fix
cargo xtask test           run every test, installing what they need
cargo xtask bench          measure everything, or what is named: start, shadow, updates, broker, …
cargo xtask ci             all checks and all tests, as before a merge";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let root = generate::root();
    let outcome = match words[..] {
        ["gen"] => generate::run(&root, false),
        ["gen", "--check"] => generate::run(&root, true),
        ["tidy"] => tidy::run(&root),
        ["test"] => test::run(&root),
        ["bench", ref named @ ..] => bench::run(&root, named),
        ["ci"] => ci::run(&root),
        _ => {
            eprintln!("{COMMANDS}");
            return if words.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("failed to {}", failed.0);
            ExitCode::FAILURE
        }
    }
}

/// What the workshop failed to do; completes "failed to …".
pub(crate) struct Failed(String);

impl Failed {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    pub(crate) fn because(what: impl std::fmt::Display, cause: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {cause}"))
    }
}
