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

    /// The text of the last part.
    pub fn last_text(&self) -> Result<String, Fault> {
        self.text_before_last(0)
    }

    /// The text of the part that so many stand behind.
    pub fn text_before_last(&self, behind: usize) -> Result<String, Fault> {
        self.text_at(self.parts().count().wrapping_sub(behind).wrapping_sub(1))
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

/// Where a stretch of keys begins or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Before this key and all that continue it.
    Before(Key),
    /// Past this key and all that continue it.
    Past(Key),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_their_parts() {
        let ascending = [
            Key::all(),
            Key::of([""]),
            Key::of(["", ""]),
            Key::of(["\0"]),
            Key::of(["\0\0"]),
            Key::of(["\0a"]),
            Key::of(["\x01"]),
            Key::of(["a"]),
            Key::of(["a", ""]),
            Key::of(["a", "\u{10FFFF}"]),
            Key::of(["a"]).and_u64(0),
            Key::of(["a"]).and_u64(0).and("z"),
            Key::of(["a"]).and_u64(1),
            Key::of(["a"]).and_u64(256),
            Key::of(["a"]).and_u64(u64::MAX),
            Key::of(["a\0"]),
            Key::of(["a\0", "b"]),
            Key::of(["a\0b"]),
            Key::of(["a\x01"]),
            Key::of(["ab"]),
            Key::of([b"\xFF"]),
            Key::all().and_u64(0),
        ];
        for pair in ascending.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
        }
    }

    #[test]
    fn parts_come_back_as_they_went_in() {
        let key = Key::of(["000000000000", "", "a\0b\0"]).and(b"\0\xFF\0").and_u64(258);
        assert_eq!(key.text_at(0).unwrap(), "000000000000");
        assert_eq!(key.text_at(1).unwrap(), "");
        assert_eq!(key.text_at(2).unwrap(), "a\0b\0");
        assert_eq!(key.bytes_at(3).unwrap(), b"\0\xFF\0");
        assert_eq!(key.u64_at(4).unwrap(), 258);
        assert_eq!(Key::of(["a", "b"]).last_text().unwrap(), "b");
        assert_eq!(Key::of(["a", "b"]).text_before_last(1).unwrap(), "a");
        assert!(Key::of(["a", "b"]).text_before_last(2).is_err());
        assert!(key.last_text().is_err() && Key::all().last_text().is_err());
        assert_eq!(Key::from_bytes(key.as_bytes()), Some(key));
    }

    #[test]
    fn a_part_that_is_not_there_or_of_another_kind_is_a_fault() {
        let key = Key::of(["lamp"]).and_u64(7).and(b"\xFF");
        let cases = [key.text_at(1).err(), key.u64_at(0).err(), key.text_at(2).err(), key.text_at(3).err()];
        let told: Vec<_> = cases.into_iter().map(|fault| fault.unwrap().to_string()).collect();
        assert_eq!(
            told,
            [
                "part 1 of key lamp/#7/\\xff is not a string",
                "part 0 of key lamp/#7/\\xff is not a number",
                "part 2 of key lamp/#7/\\xff is not text",
                "part 3 of key lamp/#7/\\xff is not a string",
            ]
        );
    }

    #[test]
    fn bytes_that_are_not_wholly_parts_are_no_key() {
        let cases: [&[u8]; 8] =
            [b"\0", b"\x01", b"\x01a", b"\x01a\0\xFF", b"\x01a\0\x03", b"\x02", b"\x02\0\0\0\0\0\0\0", b"a"];
        for bytes in cases {
            assert_eq!(Key::from_bytes(bytes), None, "{bytes:?}");
        }
        assert_eq!(Key::from_bytes(b""), Some(Key::all()));
    }
}
