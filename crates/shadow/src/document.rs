//! A shadow as it is stored: its state with the time of every leaf, and its version; or the tombstone of a deleted one.
//!
//! A record is, with all integers little-endian:
//!
//! ```text
//! byte     0   the format, 1
//! byte     1   0 a shadow, 1 a tombstone
//! bytes  2-9   the version: of the shadow, or the one the deletion consumed
//! tombstone:   8 bytes, the time of the deletion
//! shadow:      4 bytes, how many runs of equal times follow
//!              12 bytes per run: how many leaves (4), and their time (8), in the order of the text
//!              the rest, the state as compact JSON: {"desired":…,"reported":…}
//! ```
//!
//! So a record is hardly larger than the state, and printing the state is copying it. This file does not know where
//! records are kept.

use crate::parse;
use crate::times::{self, Times};
use crate::tree::{Object, Value};
use std::fmt;

const FORMAT: u8 = 1;
const SHADOW: u8 = 0;
const TOMBSTONE: u8 = 1;

/// How long a deleted shadow's version is remembered, in seconds (§3.5).
const REMEMBERED: i64 = 48 * 60 * 60;

/// A stored shadow, or the tombstone of a deleted one, read from its record.
#[derive(Debug)]
pub struct Document<'a> {
    version: u64,
    deleted_at: Option<i64>,
    pub(crate) state: Object<'a>,
    pub(crate) text: &'a [u8],
}

/// A record that [`Document::decode`] cannot read: a fault of ours, not of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt;

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed to read a shadow record")
    }
}

impl std::error::Error for Corrupt {}

impl<'a> Document<'a> {
    /// Reads a record that [`crate::update`] or [`crate::delete`] made.
    pub fn decode(record: &'a [u8]) -> Result<Document<'a>, Corrupt> {
        let (&[FORMAT, kind], rest) = record.split_first_chunk().ok_or(Corrupt)? else {
            return Err(Corrupt);
        };
        let (version, rest) = rest.split_first_chunk().ok_or(Corrupt)?;
        let version = u64::from_le_bytes(*version);
        match kind {
            SHADOW => Document::decode_shadow(version, rest),
            TOMBSTONE => {
                let at = i64::from_le_bytes(rest.try_into().map_err(|_| Corrupt)?);
                Ok(Document { version, deleted_at: Some(at), state: Object::default(), text: b"{}" })
            }
            _ => Err(Corrupt),
        }
    }

    fn decode_shadow(version: u64, rest: &'a [u8]) -> Result<Document<'a>, Corrupt> {
        let (count, rest) = rest.split_first_chunk().ok_or(Corrupt)?;
        let bytes = usize::try_from(u32::from_le_bytes(*count)).ok().and_then(|count| count.checked_mul(12));
        let (runs, text) = bytes.and_then(|bytes| rest.split_at_checked(bytes)).ok_or(Corrupt)?;
        let mut times = Times::runs(runs);
        let state = parse::parse(std::str::from_utf8(text).map_err(|_| Corrupt)?, &mut times);
        match state {
            Ok(Value::Object(state)) if times.are_spent() => Ok(Document { version, deleted_at: None, state, text }),
            _ => Err(Corrupt),
        }
    }

    /// The version of the shadow; of a tombstone, the number that the deletion consumed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether this is a shadow and not a tombstone.
    pub fn exists(&self) -> bool {
        self.deleted_at.is_none()
    }

    /// Whether this is a tombstone that no longer matters, so that its record may be dropped.
    ///
    /// unconfirmed: at 48 hours to the second the version is still remembered.
    pub fn forgotten(&self, now: i64) -> bool {
        self.deleted_at.is_some_and(|at| now.saturating_sub(at) > REMEMBERED)
    }

    /// The last version number that was given out, from which the next update counts.
    pub(crate) fn counter(&self, now: i64) -> u64 {
        if self.forgotten(now) { 0 } else { self.version }
    }

    pub(crate) fn into_state(self) -> Object<'a> {
        self.state
    }
}

/// The record of a shadow whose state prints as `text`.
pub(crate) fn record(version: u64, state: &Object<'_>, text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + text.len());
    out.extend_from_slice(&[FORMAT, SHADOW]);
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    let runs = times::write(&mut out, |visit| state.each_time(visit));
    out[10..14].copy_from_slice(&runs.to_le_bytes());
    out.extend_from_slice(text);
    out
}

/// The record of a shadow that was deleted at its `version`. The deletion consumes a number of its own (§3.5).
pub(crate) fn tombstone(version: u64, now: i64) -> Vec<u8> {
    let mut out = vec![FORMAT, TOMBSTONE];
    out.extend_from_slice(&version.saturating_add(1).to_le_bytes());
    out.extend_from_slice(&now.to_le_bytes());
    out
}
