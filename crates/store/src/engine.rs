//! What an engine is: an ordered map of bytes with snapshots and atomic commits. One engine, one file; an
//! engine knows nothing of tables, records or units of work.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use crate::Fault;

pub(crate) mod faulty;
pub(crate) mod fjall;
pub(crate) mod memory;

/// The longest key any engine takes, table name included, less the byte that closes a range's bounds.
pub(crate) const MAX_KEY_BYTES: usize = u16::MAX as usize - 1;
/// The longest record any engine takes: far above what the house stores, far below what hurts an engine.
pub(crate) const MAX_VALUE_BYTES: usize = 64 << 20;

/// Bytes to put at a key, or `None` to delete what is there.
pub(crate) type Change = Option<Vec<u8>>;

/// What a commit changes.
pub(crate) type Changes = BTreeMap<Vec<u8>, Change>;

/// Sees pairs in order until it breaks.
pub(crate) type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'v;

pub(crate) trait Engine: Send + Sync {
    /// What is committed now, for as long as the snapshot lives.
    fn snapshot(&self) -> Box<dyn Snapshot>;

    /// Makes all changes visible at once or, on `Err`, none. Durable on return, if the engine is set so.
    ///
    /// The desk sees to it that no other commit happened since the snapshot the changes were made from. An
    /// engine shared between processes will need to be told what was read, and to ask for another run.
    fn commit(&self, changes: Changes) -> Result<(), Fault>;
}

/// Lends bytes instead of giving them, so that no engine's type and no copy is needed to pass them.
pub(crate) trait Snapshot: Send + Sync {
    fn get(&self, key: &[u8], found: &mut dyn FnMut(&[u8])) -> Result<(), Fault>;

    /// Visits the pairs within `bounds`, which are not empty.
    fn range(&self, bounds: &Bounds, direction: Direction, visit: &mut Visit<'_>) -> Result<(), Fault>;
}

/// When a commit counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk, so that it survives the loss of power.
    Durable,
    /// When the operating system has it: survives a crash of the process, not of the machine.
    Relaxed,
}

/// The order in which a range is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Smallest key first.
    Ascending,
    /// Greatest key first.
    Descending,
}

impl Direction {
    /// Whether `key` comes before `other` when read in this direction.
    pub(crate) fn puts_first(self, key: &[u8], other: &[u8]) -> bool {
        match self {
            Self::Ascending => key < other,
            Self::Descending => key > other,
        }
    }
}

/// The keys from `from` on, and before `to`.
pub(crate) struct Bounds {
    pub(crate) from: Vec<u8>,
    pub(crate) to: Vec<u8>,
}

impl Bounds {
    /// Leaves out what was read up to and including `last`.
    pub(crate) fn resume(&mut self, mut last: Vec<u8>, direction: Direction) {
        match direction {
            Direction::Ascending => {
                // The smallest key above another is that key and a NUL.
                last.push(0);
                self.from = last.max(std::mem::take(&mut self.from));
            }
            Direction::Descending => self.to = last.min(std::mem::take(&mut self.to)),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.from >= self.to
    }

    pub(crate) fn as_range(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (Bound::Included(&self.from), Bound::Excluded(&self.to))
    }
}
