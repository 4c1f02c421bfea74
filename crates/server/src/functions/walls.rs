//! Whether this system has walls for functions: namespaces that we may make, tried once with a process that does nothing. Where
//! it has not, functions run as the user that runs the server, held to their limits and no more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::OnceCell;

use super::launch::{Limits, Order, WORD};
use super::sandbox::Sandbox;
use crate::settings::Walls as Wanted;

/// How long a process that does nothing may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first of the users that functions are, if we are root: far beyond those of people, services and containers.
const USERS: u32 = 2_000_000_000;

/// How many of them there are.
const MANY: u64 = 100_000;

/// What is known of walls here.
pub(super) struct Walls {
    wanted: Wanted,
    directory: PathBuf,
    tried: OnceCell<Result<(), String>>,
}

impl Walls {
    /// To be tried below this directory.
    pub(super) fn new(wanted: Wanted, directory: PathBuf) -> Self {
        Self { wanted, directory, tried: OnceCell::new() }
    }

    /// Whether a child gets walls; an error where it must and cannot.
    pub(super) async fn are_there(&self) -> Result<bool, String> {
        if self.wanted == Wanted::Off {
            return Ok(false);
        }
        let tried = self.tried.get_or_init(|| async {
            let tried = probe(&self.directory.join("probe")).await;
            if let Err(why) = &tried {
                tracing::warn!(
                    why,
                    "functions run without namespaces of their own: with the rights of the user that runs ombra; \
                     docs/functions.md says what that means"
                );
            }
            tried
        });
        match (tried.await, self.wanted) {
            (Ok(()), _) => Ok(true),
            (Err(_), Wanted::Auto) => Ok(false),
            (Err(why), _) => Err(format!("Functions must run in namespaces of their own, and cannot: {why}")),
        }
    }
}

/// The user that a child becomes, if we are root; no two that live at a time are the same.
pub(super) fn user(child: u64) -> Option<u32> {
    let is_root = rustix::process::geteuid().is_root();
    is_root.then(|| USERS + u32::try_from(child % MANY).unwrap_or_default())
}

async fn probe(directory: &Path) -> Result<(), String> {
    let [root, tmp, task] = ["root", "tmp", "task"].map(|name| directory.join(name));
    for path in [&root, &tmp, &task] {
        std::fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let order = Order {
        program: "/bin/sh".into(),
        arguments: vec!["-c".to_owned(), "exit 0".to_owned()],
        environment: BTreeMap::new(),
        directory: "/".into(),
        sandbox: Some(Sandbox { root, task, tmp, visible: Vec::new(), user: user(MANY - 1) }),
        limits: Limits { data: 1 << 30, processes: 64, alone: true, file: 1 << 20, descriptors: 64 },
    };
    let outcome = tokio::time::timeout(PATIENCE, start(&order)).await;
    // What is left of it is in the way of nothing.
    let _ = std::fs::remove_dir_all(directory);
    outcome.map_err(|_| "it took too long".to_owned())?
}

async fn start(order: &Order) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    let myself = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(myself);
    command.arg(WORD).env_clear().stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut keeper = command.kill_on_drop(true).spawn().map_err(failed)?;
    // Held until it has ended by itself: it would end at once without it.
    let mut hold = keeper.stdin.take();
    if let Some(hold) = &mut hold {
        let order = serde_json::to_string(order).map_err(|error| error.to_string())?;
        hold.write_all(format!("{order}\n").as_bytes()).await.map_err(failed)?;
    }
    let output = keeper.wait_with_output().await.map_err(failed)?;
    drop(hold);
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(words.lines().last().unwrap_or("it ended without a word").to_owned())
}
