//! The engine on disk: fjall, a log-structured merge tree. The only file that knows it.
//!
//! All tables share one fjall keyspace, because a keyspace each costs a write buffer each, and several fsyncs
//! each when it is made. Measured with 40 keyspaces against one: first start 2.8 s against 0.11 s, restart
//! with 80 MB of recent writes 390 ms against 64 ms, memory after them 93 MB against 37 MB.

use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use fjall::{Database, Guard, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};

use super::{Bounds, Changes, Direction, Durability, Engine, Snapshot, Visit};
use crate::{Fault, Options};

const KEYSPACE: &str = "store";
/// Ours beside fjall's own, which waits before it gives up and is not there before the first creation.
const LOCK: &str = "store.lock";
/// Two, so that a long compaction cannot keep the write buffer from being flushed.
const WORKERS: usize = 2;
const OPEN_FILES: usize = 128;

pub(crate) struct Fjall {
    open: Arc<Open>,
    durability: Durability,
}

/// Dropped from top to bottom: the lock goes last. Snapshots share it, so that nobody else can open the
/// directory while one of them still reads there.
struct Open {
    keyspace: Keyspace,
    database: Database,
    _lock: File,
}

impl Fjall {
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Self, Fault> {
        let fault = |cause: &dyn std::fmt::Display| Fault::because(format_args!("open {}", path.display()), cause);
        fs::create_dir_all(path).map_err(|cause| fault(&cause))?;
        let lock = File::create(path.join(LOCK)).map_err(|cause| fault(&cause))?;
        lock.try_lock().map_err(|cause| match cause {
            TryLockError::WouldBlock => fault(&"already open in another process or store"),
            TryLockError::Error(cause) => fault(&cause),
        })?;
        clear_unfinished(path).map_err(|cause| fault(&cause))?;
        let database = Database::builder(path)
            .cache_size(options.cache)
            .worker_threads(WORKERS)
            .max_cached_files(Some(OPEN_FILES))
            .open()
            .map_err(|cause| fault(&cause))?;
        let create = || KeyspaceCreateOptions::default().max_memtable_size(options.write_buffer);
        let keyspace = database.keyspace(KEYSPACE, create).map_err(|cause| fault(&cause))?;
        Ok(Self { open: Arc::new(Open { keyspace, database, _lock: lock }), durability: options.durability })
    }
}

/// Takes away what a process killed during the very first opening left behind, since fjall makes its first
/// journal only where there is none. Without a keyspace nothing can have been stored, so nothing is lost.
fn clear_unfinished(path: &Path) -> io::Result<()> {
    let marked = found(fs::metadata(path.join("version")))?.is_some_and(|marker| marker.len() > 0);
    let stored = found(fs::read_dir(path.join("keyspaces")))?.is_some_and(|mut all| all.next().is_some());
    if !marked && !stored {
        for name in ["version", "0.jnl"] {
            found(fs::remove_file(path.join(name)))?;
        }
    }
    Ok(())
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(there) => Ok(Some(there)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause),
    }
}

impl Engine for Fjall {
    fn snapshot(&self) -> Box<dyn Snapshot> {
        Box::new(FjallSnapshot { snapshot: self.open.database.snapshot(), open: self.open.clone() })
    }

    fn commit(&self, changes: Changes) -> Result<(), Fault> {
        let mode = match self.durability {
            Durability::Durable => PersistMode::SyncAll,
            Durability::Relaxed => PersistMode::Buffer,
        };
        let mut batch = self.open.database.batch().durability(Some(mode));
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(&self.open.keyspace, key, value),
                None => batch.remove(&self.open.keyspace, key),
            }
        }
        batch.commit().map_err(|cause| Fault::because("commit", cause))
    }
}

struct FjallSnapshot {
    snapshot: fjall::Snapshot,
    open: Arc<Open>,
}

impl Snapshot for FjallSnapshot {
    fn get(&self, key: &[u8], found: &mut dyn FnMut(&[u8])) -> Result<(), Fault> {
        let value = self.snapshot.get(&self.open.keyspace, key).map_err(|cause| Fault::because("read", cause))?;
        if let Some(value) = value {
            found(&value);
        }
        Ok(())
    }

    fn range(&self, bounds: &Bounds, direction: Direction, visit: &mut Visit<'_>) -> Result<(), Fault> {
        let pairs = self.snapshot.range::<&[u8], _>(&self.open.keyspace, bounds.as_range());
        match direction {
            Direction::Ascending => visit_all(pairs, visit),
            Direction::Descending => visit_all(pairs.rev(), visit),
        }
    }
}

fn visit_all(pairs: impl Iterator<Item = Guard>, visit: &mut Visit<'_>) -> Result<(), Fault> {
    for pair in pairs {
        let (key, value) = pair.into_inner().map_err(|cause| Fault::because("read a range", cause))?;
        if let ControlFlow::Break(()) = visit(&key, &value) {
            break;
        }
    }
    Ok(())
}
