//! `cargo xtask ci`: everything that must hold before a change is merged, the quick checks first.
//! It knows nothing about the machine it runs on, and stops at the first step that fails.

use std::path::Path;

use crate::step::{command, step};
use crate::{Failed, generate, test, tidy};

/// Runs all checks and all tests.
pub(crate) fn run(root: &Path) -> Result<(), Failed> {
    command(root, "format", "cargo fmt --all --check")?;
    step("house rules", || tidy::run(root))?;
    step("generated tables", || generate::run(root, true))?;
    command(root, "lock file", "cargo fetch --quiet --locked")?;
    command(root, "lints", "cargo clippy --quiet --locked --workspace --all-targets -- -D warnings")?;
    step("cargo-deny", || test::cargo_tool(root, "deny", "cargo-deny@0.20.2"))?;
    command(root, "licences and sources", "cargo deny --offline check licenses bans sources")?;
    test::run(root)
}
