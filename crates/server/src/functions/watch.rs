//! The watch over what a child takes: memory, processes, room in its temporary directory. Who takes more than it may is ended
//! at once. What a child does, and what follows from its end, is unknown here.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::conversation::Phase;
use super::tree::{self, Usage};

/// How often a child is looked at that does something, and one that waits.
const BUSY: Duration = Duration::from_millis(25);
const WAITING: Duration = Duration::from_millis(500);

/// How much longer than a look took is waited for the next, so that looking costs little.
const SPARING: u32 = 10;

/// How often its directory is measured, which takes longer.
const MEASURED: Duration = Duration::from_millis(500);

/// Entries of a directory that are counted; one with more has too many.
const ENTRIES: usize = 50_000;

/// What a child may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of memory.
    pub(super) memory: u64,
    /// Processes.
    pub(super) processes: usize,
    /// Bytes in its temporary directory.
    pub(super) storage: u64,
}

/// What a child took too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breach {
    Memory,
    Processes,
    Storage,
}

/// The watch over one child, until it is dropped.
pub(super) struct Watch {
    peak: Arc<AtomicU64>,
    breach: watch::Receiver<Option<Breach>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Watches everything below `root`.
    pub(super) fn over(root: u32, tmp: PathBuf, bounds: Bounds, phase: watch::Receiver<Phase>) -> Self {
        let peak = Arc::new(AtomicU64::new(0));
        let (tell, breach) = watch::channel(None);
        let task = tokio::spawn(watch(root, tmp, bounds, phase, Arc::clone(&peak), tell));
        Self { peak, breach, task }
    }

    /// The most bytes of memory seen so far.
    pub(super) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// What it took too much of, if it did.
    pub(super) fn breach(&self) -> Option<Breach> {
        *self.breach.borrow()
    }

    /// Waits until it takes too much, which may be for ever.
    pub(super) async fn breached(&mut self) -> Breach {
        loop {
            if let Some(breach) = self.breach() {
                return breach;
            }
            if self.breach.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(
    root: u32,
    tmp: PathBuf,
    bounds: Bounds,
    mut phase: watch::Receiver<Phase>,
    peak: Arc<AtomicU64>,
    breach: watch::Sender<Option<Breach>>,
) {
    let breach = Arc::new(breach);
    let mut measured = Instant::now();
    loop {
        let looked = Instant::now();
        let storage = (measured.elapsed() >= MEASURED).then(|| {
            measured = looked;
            tmp.clone()
        });
        let (tell, peak) = (Arc::clone(&breach), Arc::clone(&peak));
        let look = tokio::task::spawn_blocking(move || {
            let (usage, found) = look(root, storage.as_deref(), bounds);
            peak.fetch_max(usage.memory, Ordering::Relaxed);
            if found.is_some() {
                // Told first, so that its end is known to be this.
                tell.send_replace(found);
                tree::end_descendants(root);
            }
            found.is_some()
        });
        if look.await.unwrap_or(true) {
            return;
        }
        until_next_look(&mut phase, looked).await;
    }
}

/// Waits until it is time to look again: soon while the child does something, and when it has come further.
async fn until_next_look(phase: &mut watch::Receiver<Phase>, looked: Instant) {
    let pause = looked.elapsed() * SPARING;
    loop {
        let is_waiting = matches!(*phase.borrow_and_update(), Phase::Asking);
        let next = looked + (if is_waiting { WAITING } else { BUSY }).max(pause);
        tokio::select! {
            () = tokio::time::sleep_until(next.into()) => return,
            changed = phase.changed() => if changed.is_err() {
                // The conversation is over, and so will be the child.
                return tokio::time::sleep(BUSY).await;
            }
        }
        if looked.elapsed() >= BUSY.max(pause) {
            return;
        }
    }
}

/// What is taken, and whether it is too much.
fn look(root: u32, storage: Option<&Path>, bounds: Bounds) -> (Usage, Option<Breach>) {
    let usage = tree::usage(&tree::descendants(root), bounds.memory);
    let breach = if usage.memory > bounds.memory {
        Some(Breach::Memory)
    } else if usage.processes > bounds.processes {
        Some(Breach::Processes)
    } else {
        storage.filter(|tmp| takes(tmp) > bounds.storage).map(|_| Breach::Storage)
    };
    (usage, breach)
}

/// Bytes on disk below a directory; without bound if there is no counting them.
fn takes(directory: &Path) -> u64 {
    let (mut bytes, mut entries) = (0, 0);
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        // What may not be read, or is gone, is not there for us.
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            entries += 1;
            let Ok(meta) = entry.metadata() else { continue };
            bytes += std::os::unix::fs::MetadataExt::blocks(&meta) * 512;
            if meta.is_dir() {
                directories.push(entry.path());
            }
        }
        if entries > ENTRIES {
            return u64::MAX;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    const ROOM: Bounds = Bounds { memory: 1 << 40, processes: 100, storage: 1 << 20 };

    /// Watches a shell that runs this below itself.
    async fn breach_of(script: &str, bounds: Bounds, tmp: &Path) -> (Breach, u64) {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("({script}) & wait")]).current_dir(tmp).stdin(Stdio::null());
        let mut shell = command.spawn().unwrap();
        let phase = watch::Sender::new(Phase::Busy("x".to_owned()));
        let mut watch = Watch::over(shell.id(), tmp.to_owned(), bounds, phase.subscribe());
        let breach = tokio::time::timeout(Duration::from_secs(20), watch.breached()).await.unwrap();
        shell.wait().unwrap();
        assert!(tree::descendants(shell.id()).is_empty());
        (breach, watch.peak())
    }

    #[tokio::test]
    async fn who_takes_too_much_is_ended() {
        let tmp = tempfile::tempdir().unwrap();
        let bounds = Bounds { memory: 1, ..ROOM };
        let (breach, peak) = breach_of("sleep 60", bounds, tmp.path()).await;
        assert_eq!(breach, Breach::Memory);
        assert!(peak > 1);
        let bounds = Bounds { processes: 4, ..ROOM };
        let many = "for i in 1 2 3 4 5 6; do (trap '' TERM; sleep 60) & done; wait";
        assert_eq!(breach_of(many, bounds, tmp.path()).await.0, Breach::Processes);
        let (breach, _) = breach_of("head -c 3000000 /dev/zero > file; sleep 60", ROOM, tmp.path()).await;
        assert_eq!(breach, Breach::Storage);
    }

    #[test]
    fn a_directory_takes_what_is_in_it_and_below() {
        let tmp = tempfile::tempdir().unwrap();
        let before = takes(tmp.path());
        fs::create_dir(tmp.path().join("a")).unwrap();
        fs::write(tmp.path().join("a/b"), vec![1; 100_000]).unwrap();
        assert!(takes(tmp.path()) >= before + 100_000);
        assert_eq!(takes(Path::new("/nowhere")), 0);
    }
}
