//! `cargo xtask test`: every test there is, after installing what they need and this machine lacks.
//! It knows nothing about what is tested.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Failed;
use crate::step::{command, in_root, run as run_command, step, succeeds};
use crate::venv;

/// Installs, then runs the tests of the crates, those in documentation, and the clients against the binary.
pub(crate) fn run(root: &Path) -> Result<(), Failed> {
    step("python packages", || python_packages(root))?;
    step("mosquitto clients", || debian_package(root, "mosquitto_pub", "mosquitto-clients"))?;
    step("openssl", || debian_package(root, "openssl", "openssl"))?;
    step("AWS CLI version 2", || debian_package(root, "/usr/bin/aws", "awscli"))?;
    for program in ["jq", "zip"] {
        step(program, || debian_package(root, program, program))?;
    }
    step("cargo-nextest", || cargo_tool(root, "nextest", "cargo-nextest@0.9.143"))?;
    command(root, "tests of the crates", "cargo nextest run --locked --workspace")?;
    command(root, "tests in documentation", "cargo test --quiet --locked --doc --workspace")?;
    command(root, "build ombra", "cargo build --locked -p server --bin ombra")?;
    step("clients against ombra", || end_to_end(root))
}

/// Installs a cargo subcommand unless one answers already, of whatever version. Unoptimised, because building it
/// takes minutes and running it takes moments.
pub(crate) fn cargo_tool(root: &Path, word: &str, package: &str) -> Result<(), Failed> {
    if succeeds(&format!("cargo {word} --version")) {
        return Ok(());
    }
    run_command(in_root(root, &format!("cargo install --quiet --locked --debug {package}")))
}

/// Fills the virtualenv; a copy of the requirements inside it says what was installed.
fn python_packages(root: &Path) -> Result<(), Failed> {
    let path = root.join("e2e/requirements.txt");
    let wanted =
        fs::read_to_string(&path).map_err(|cause| Failed::because(format!("read {}", path.display()), cause))?;
    let stamp = root.join(".venv/requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    venv::install(root, &["--requirement", &path.to_string_lossy()])?;
    fs::write(&stamp, wanted).map_err(|cause| Failed::because(format!("write {}", stamp.display()), cause))
}

/// Installs a Debian package unless its program is there; only root can.
fn debian_package(root: &Path, program: &str, package: &str) -> Result<(), Failed> {
    if succeeds(&format!("which {program}")) {
        return Ok(());
    }
    let is_root = in_root(root, "id -u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0");
    if !is_root || !succeeds("apt-get --version") {
        return Err(Failed::new(format!(
            "find {program}: install {package}, on Debian `sudo apt-get install {package}`"
        )));
    }
    run_command(in_root(root, "apt-get update --quiet --quiet"))?;
    run_command(in_root(root, &format!("apt-get install --quiet --quiet --yes --no-install-recommends {package}")))
}

/// Runs pytest with `OMBRA_BIN` naming the binary just built.
fn end_to_end(root: &Path) -> Result<(), Failed> {
    let binary = target_directory(root)?.join("debug/ombra");
    let mut pytest = std::process::Command::new(venv::python(root)?);
    pytest.args(["-m", "pytest", "e2e"]).env("OMBRA_BIN", binary).current_dir(root);
    run_command(pytest)
}

/// Where cargo builds, whichever way it was told.
fn target_directory(root: &Path) -> Result<PathBuf, Failed> {
    let asked = in_root(root, "cargo metadata --no-deps --format-version 1").output();
    let asked = asked.map_err(|cause| Failed::because("run cargo", cause))?;
    let metadata: Value =
        serde_json::from_slice(&asked.stdout).map_err(|cause| Failed::because("read cargo's metadata", cause))?;
    let directory = metadata["target_directory"].as_str();
    directory.map(PathBuf::from).ok_or_else(|| Failed::new("find cargo's target directory"))
}
