//! Composite keys whose byte order is the order of their parts, so that a key with fewer parts is the
//! prefix of all keys that continue it. Knows nothing of tables or of what the parts mean.
//!
//! ```text
//! text or bytes   0x01, the bytes with 0x00 written as 0x00 0xFF, 0x00
//! number          0x02, eight bytes big-endian
//! ```
//! A part starts with its tag, and no tag is 0xFF: so what follows a closing 0x00 is either the end or a
//! tag, never the 0xFF of an escape. Everything under `key` lies in `key .. key 0xFF`.

use std::fmt;

use crate::Fault;

const TEXT: u8 = 1;
const NUMBER: u8 = 2;
const END: u8 = 0;
const ESCAPED: u8 = 0xFF;

/// The key of a record, made of parts; fewer parts make the prefix of a range.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Key(Vec<u8>);

impl Key {
    /// The key without parts: the prefix of every key of a table.
    pub const fn all() -> Self {
        Self(Vec::new())
    }

    /// A key of text (or byte string) parts, outermost first.
    pub fn of<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Self {
        parts.into_iter().fold(Self::all(), Self::and)
    }

    /// This key continued by a text or byte string.
    pub fn and(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.0.reserve(part.len() + 2);
        self.0.push(TEXT);
        for &byte in part {
            self.0.push(byte);
            if byte == END {
                self.0.push(ESCAPED);
            }
        }
        self.0.push(END);
        self
    }

    /// This key continued by a number.
    pub fn and_u64(mut self, part: u64) -> Self {
        self.0.push(NUMBER);
        self.0.extend_from_slice(&part.to_be_bytes());
        self
    }

    /// The text of the part at `index`, counted from 0.
    pub fn text_at(&self, index: usize) -> Result<String, Fault> {
        let bytes = self.bytes_at(index)?;
        String::from_utf8(bytes).map_err(|_| self.unlike(index, "text"))
    }

    /// The byte string of the part at `index`, counted from 0.
    pub fn bytes_at(&self, index: usize) -> Result<Vec<u8>, Fault> {
        match self.parts().nth(index) {
            Some(Part::Bytes(bytes)) => Ok(bytes),
            _ => Err(self.unlike(index, "a string")),
        }
    }

    /// The number of the part at `index`, counted from 0.
    pub fn u64_at(&self, index: usize) -> Result<u64, Fault> {
        match self.parts().nth(index) {
            Some(Part::Number(number)) => Ok(number),
            _ => Err(self.unlike(index, "a number")),
        }
    }

    /// The encoded key, fit to be handed out as a paging token.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A key from bytes that came back from outside; `None` unless they are wholly made of parts.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut parts = Parts { rest: bytes };
        parts.by_ref().for_each(drop);
        parts.rest.is_empty().then(|| Self(bytes.to_vec()))
    }

    pub(crate) fn from_engine(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    fn parts(&self) -> Parts<'_> {
        Parts { rest: &self.0 }
    }

    fn unlike(&self, index: usize, wanted: &str) -> Fault {
        Fault::new(format!("part {index} of key {self:?} is not {wanted}"))
    }
}

/// The parts between slashes, for logs.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts().enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            match part {
                Part::Bytes(bytes) => write!(f, "{}", bytes.escape_ascii())?,
                Part::Number(number) => write!(f, "#{number}")?,
            }
        }
        Ok(())
    }
}

enum Part {
    Bytes(Vec<u8>),
    Number(u64),
}

/// Takes parts off the front; stops without moving at anything that is not a part.
struct Parts<'k> {
    rest: &'k [u8],
}

impl Parts<'_> {
    fn number(&mut self) -> Option<Part> {
        let (number, rest) = self.rest.get(1..)?.split_first_chunk::<8>()?;
        self.rest = rest;
        Some(Part::Number(u64::from_be_bytes(*number)))
    }

    fn bytes(&mut self) -> Option<Part> {
        let mut bytes = Vec::new();
        let mut rest = self.rest.get(1..)?;
        loop {
            let (&byte, after) = rest.split_first()?;
            rest = after;
            if byte == END {
                match rest.split_first() {
                    Some((&ESCAPED, after)) => rest = after,
                    _ => break,
                }
            }
            bytes.push(byte);
        }
        self.rest = rest;
        Some(Part::Bytes(bytes))
    }
}

impl Iterator for Parts<'_> {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        match *self.rest.first()? {
            TEXT => self.bytes(),
            NUMBER => self.number(),
            _ => None,
        }
    }
}
