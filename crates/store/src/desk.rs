//! The desk: where views are taken and units of work become commits. Knows engines only by their trait.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::{Durability, Engine, fjall, memory};
use crate::{Fault, Read, Write};

/// How a store on disk behaves; the default suits a small machine.
#[derive(Debug, Clone)]
pub struct Options {
    /// When a commit counts as done.
    pub durability: Durability,
    /// Bytes of recent writes held in memory before they are sorted into a file; fixed when a store is made.
    pub write_buffer: u64,
    /// Bytes of blocks of files held in memory for reads, at most: only what was read fills it. A million things want their
    /// indices and filters in it at least, or every read fetches those as well.
    pub cache: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { durability: Durability::Durable, write_buffer: 4 << 20, cache: 64 << 20 }
    }
}

/// What a unit of work asks for when it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its writes belong to the commit.
    Keep,
    /// Its writes are undone; those of the others are not touched.
    Undo,
}

/// One unit of work of a group commit.
///
/// It must be a function of the transaction and of the input it captured, and nothing else: an engine that
/// detects a conflict runs it again, and only the last run counts.
pub trait Work {
    /// Reads and writes, and says whether the writes are kept.
    fn run(&mut self, tx: &mut Write) -> Outcome;
}

impl<F: FnMut(&mut Write) -> Outcome> Work for F {
    fn run(&mut self, tx: &mut Write) -> Outcome {
        self(tx)
    }
}

/// A handle on a store; clones share it, and the last to go closes it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Box<dyn Engine>,
    /// Held from the snapshot of a write to its commit: writers take turns, so none can miss another's.
    turn: Mutex<()>,
}

impl Store {
    /// Opens the store in the directory `path`, or makes it; a second opener gets a fault, not a wait.
    pub fn open(path: &Path, options: &Options) -> Result<Self, Fault> {
        Ok(Self::over(fjall::Fjall::open(path, options)?))
    }

    /// A store that lasts as long as its handles.
    pub fn in_memory() -> Self {
        Self::over(memory::Memory::default())
    }

    pub(crate) fn over(engine: impl Engine + 'static) -> Self {
        Self { inner: Arc::new(Inner { engine: Box::new(engine), turn: Mutex::new(()) }) }
    }

    /// A consistent view of what is committed now; keep it short, since it holds old versions alive.
    pub fn read(&self) -> Read {
        Read::new(self.inner.engine.snapshot())
    }

    /// Runs one unit and commits it; `Err` from `work` undoes it. Durable when this returns.
    ///
    /// `work` may run more than once: see [`Work`].
    pub fn write<T, E: From<Fault>>(&self, mut work: impl FnMut(&mut Write) -> Result<T, E>) -> Result<T, E> {
        let mut answer = None;
        let mut unit = |tx: &mut Write| {
            let result = work(tx);
            let outcome = if result.is_ok() { Outcome::Keep } else { Outcome::Undo };
            answer = Some(result);
            outcome
        };
        self.write_all(&mut [&mut unit])?;
        answer.unwrap_or_else(|| Err(Fault::new("the unit of work was not run").into()))
    }

    /// Group commit: runs each unit in order, each seeing what those before it kept, then makes everything
    /// kept durable at once. After `Err` nothing of the whole group is visible, whatever a unit said; it may
    /// still turn up after a restart, as after any failed disk write, and for that reason an engine on disk
    /// takes no more commits until it is opened again.
    pub fn write_all(&self, group: &mut [&mut dyn Work]) -> Result<(), Fault> {
        // A unit that panicked left nothing behind the lock, so its poison means nothing.
        let _turn = self.inner.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tx = Write::new(self.inner.engine.snapshot());
        for work in group {
            match work.run(&mut tx) {
                Outcome::Keep => tx.keep(),
                Outcome::Undo => tx.undo(),
            }
        }
        let changes = tx.into_changes();
        if changes.is_empty() { Ok(()) } else { self.inner.engine.commit(changes) }
    }
}
