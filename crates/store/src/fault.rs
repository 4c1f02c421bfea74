//! What went wrong on our side of the house. A fault is logged and counted; it never goes on the wire, and
//! it carries words only, so that no engine's type can leak through it.

use std::fmt;

/// A failure of the store itself: the disk, the engine, or a record that does not decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    text: Box<str>,
}

impl Fault {
    /// A fault told in words that complete "failed: …".
    pub fn new(context: impl Into<String>) -> Self {
        Self { text: context.into().into() }
    }

    /// A fault with what was being done in front of what stopped it.
    pub fn because(context: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self::new(format!("{context}: {cause}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}
