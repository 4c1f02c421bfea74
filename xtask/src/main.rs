//! `cargo xtask`: the workshop. Generates, checks, tests and measures; nothing of it is in the product.

mod generate;
mod venv;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let root = generate::root();
    let outcome = match words[..] {
        ["gen"] => generate::run(&root, false),
        ["gen", "--check"] => generate::run(&root, true),
        _ => Err(Failed::new("understand: cargo xtask gen [--check]".to_owned())),
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
    pub(crate) fn new(what: String) -> Self {
        Self(what)
    }

    pub(crate) fn because(what: String, cause: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {cause}"))
    }
}
