//! How much all connections and queues of a broker hold together, so that many slow clients cannot take the server's
//! memory where one could not. Knows only sums.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes in use and the bound on them. Counted roughly: in steps, and by several threads without waiting.
#[derive(Debug)]
pub(crate) struct Memory {
    used: AtomicUsize,
    limit: usize,
}

impl Memory {
    pub(crate) fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit }
    }

    pub(crate) fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.used.load(Ordering::Relaxed) <= self.limit
    }
}
