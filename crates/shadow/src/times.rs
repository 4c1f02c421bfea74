//! The times of a text's leaves, in the order of the text, as runs of equal ones: four bytes for how many leaves, eight
//! for their time, little-endian. This file does not know what the leaves are.

/// Times being read.
pub(crate) struct Times<'a> {
    at: i64,
    left: u32,
    runs: &'a [u8],
}

impl<'a> Times<'a> {
    /// The same time for every leaf.
    pub(crate) fn always(at: i64) -> Times<'a> {
        Times { at, left: u32::MAX, runs: &[] }
    }

    /// The times that these runs say.
    pub(crate) fn runs(runs: &'a [u8]) -> Times<'a> {
        Times { at: 0, left: 0, runs }
    }

    /// The time of the next leaf, if there is one.
    pub(crate) fn next(&mut self) -> Option<i64> {
        if self.left == 0 {
            let (leaves, rest) = self.runs.split_first_chunk()?;
            let (at, rest) = rest.split_first_chunk()?;
            *self = Times { at: i64::from_le_bytes(*at), left: u32::from_le_bytes(*leaves), runs: rest };
        }
        self.left = self.left.checked_sub(1)?;
        Some(self.at)
    }

    /// Whether every leaf has been given its time.
    pub(crate) fn are_spent(&self) -> bool {
        self.left == 0 && self.runs.is_empty()
    }
}

/// Writes the runs of these times, and says how many there are.
pub(crate) fn write(out: &mut Vec<u8>, each: impl FnOnce(&mut dyn FnMut(i64))) -> u32 {
    let (mut at, mut leaves, mut runs) = (0, 0_u32, 0);
    let mut push = |leaves: u32, at: i64| {
        if leaves > 0 {
            runs += 1;
            out.extend_from_slice(&leaves.to_le_bytes());
            out.extend_from_slice(&at.to_le_bytes());
        }
    };
    each(&mut |next| {
        if next != at {
            push(leaves, at);
            (at, leaves) = (next, 0);
        }
        leaves += 1;
    });
    push(leaves, at);
    runs
}
