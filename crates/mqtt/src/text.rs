//! The two length-prefixed kinds of bytes in MQTT: text and binary data, each at most 65,535 bytes and each a
//! cheap handle on shared bytes.
//!
//! Nothing here knows which packet or property a text belongs to.

use std::fmt;

use bytes::Bytes;

/// Why bytes are not an MQTT string or MQTT binary data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidText {
    /// It is longer than the 65,535 bytes its length prefix can say.
    TooLong,
    /// It is not well-formed UTF-8 [MQTT-1.5.4-1] (3.1.1: [MQTT-1.5.3-1]).
    NotUtf8,
    /// It contains the character U+0000 [MQTT-1.5.4-2] (3.1.1: [MQTT-1.5.3-2]).
    Nul,
}

impl fmt::Display for InvalidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for InvalidText {}

impl InvalidText {
    pub(crate) fn message(self) -> &'static str {
        match self {
            InvalidText::TooLong => "string is longer than 65535 bytes",
            InvalidText::NotUtf8 => "string is not UTF-8",
            InvalidText::Nul => "string contains U+0000",
        }
    }
}

/// An MQTT UTF-8 string: well-formed, without U+0000, at most 65,535 bytes, sharing its bytes.
///
/// Nothing is normalised and a byte order mark is kept [MQTT-1.5.4-3].
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Bytes);

impl Text {
    /// Checks that the bytes are an MQTT string, without copying them.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Text, InvalidText> {
        let bytes = bytes.into();
        if bytes.len() > usize::from(u16::MAX) {
            return Err(InvalidText::TooLong);
        }
        if is_ascii_without_nul(&bytes) {
            return Ok(Text(bytes));
        }
        if std::str::from_utf8(&bytes).is_err() {
            return Err(InvalidText::NotUtf8);
        }
        if bytes.contains(&0) {
            return Err(InvalidText::Nul);
        }
        Ok(Text(bytes))
    }

    /// The string.
    ///
    /// The bytes are checked again, which is what safe code over shared bytes costs: a few nanoseconds for a
    /// topic. Hot paths that only compare use [`Text::as_bytes`].
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The string's bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// How many bytes the string has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the string has no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same string in bytes of its own, which keep no read buffer alive.
    pub fn compact(&self) -> Text {
        Text(Bytes::copy_from_slice(&self.0))
    }
}

/// What nearly every topic is, found out without a branch per byte.
fn is_ascii_without_nul(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |good, byte| good & (0x01..0x80).contains(byte))
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl TryFrom<&str> for Text {
    type Error = InvalidText;

    /// Copies the string and checks it.
    fn try_from(string: &str) -> Result<Text, InvalidText> {
        Text::new(Bytes::copy_from_slice(string.as_bytes()))
    }
}

impl TryFrom<String> for Text {
    type Error = InvalidText;

    fn try_from(string: String) -> Result<Text, InvalidText> {
        Text::new(string)
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

/// MQTT binary data: any bytes, at most 65,535 of them, shared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Binary(Bytes);

impl Binary {
    /// Checks that the bytes fit a two-byte length, without copying them.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Binary, InvalidText> {
        let bytes = bytes.into();
        if bytes.len() > usize::from(u16::MAX) {
            return Err(InvalidText::TooLong);
        }
        Ok(Binary(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The bytes, given away.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The same data in bytes of its own, which keep no read buffer alive.
    pub fn compact(&self) -> Binary {
        Binary(Bytes::copy_from_slice(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &'static [u8], expected: Result<&str, InvalidText>) {
        let got = Text::new(Bytes::from_static(bytes));
        assert_eq!(got.as_ref().map(Text::as_str).map_err(|e| *e), expected);
    }

    #[test]
    fn text_is_utf8_without_nul_and_keeps_its_byte_order_mark() {
        check(b"", Ok(""));
        check("gr\u{fc}\u{df}e/\u{1f600}".as_bytes(), Ok("gr\u{fc}\u{df}e/\u{1f600}"));
        // [MQTT-1.5.4-3]
        check(b"\xef\xbb\xbfa", Ok("\u{feff}a"));
        // [MQTT-1.5.4-1]: a surrogate, an overlong slash, a lone continuation, a cut sequence.
        check(b"\xed\xa0\x80", Err(InvalidText::NotUtf8));
        check(b"\xc0\xaf", Err(InvalidText::NotUtf8));
        check(b"\x80", Err(InvalidText::NotUtf8));
        check(b"a\xe2\x82", Err(InvalidText::NotUtf8));
        // [MQTT-1.5.4-2]
        check(b"a\0b", Err(InvalidText::Nul));
    }

    #[test]
    fn text_and_binary_end_at_65535_bytes() {
        assert!(Text::new(vec![b'a'; 65535]).is_ok());
        assert_eq!(Text::new(vec![b'a'; 65536]), Err(InvalidText::TooLong));
        assert!(Binary::new(vec![0; 65535]).is_ok());
        assert_eq!(Binary::new(vec![0; 65536]), Err(InvalidText::TooLong));
    }
}
