//! Where encoded bytes go: into a buffer, or into a count, so that lengths and contents come from the same code.
//!
//! Nothing here knows what the bytes mean.

use bytes::{BufMut, BytesMut};

/// Something that takes bytes.
pub(crate) trait Sink {
    fn slice(&mut self, bytes: &[u8]);

    fn byte(&mut self, byte: u8) {
        self.slice(&[byte]);
    }

    fn two(&mut self, number: u16) {
        self.slice(&number.to_be_bytes());
    }

    fn four(&mut self, number: u32) {
        self.slice(&number.to_be_bytes());
    }

    /// A variable byte integer, in as few bytes as it takes [MQTT-1.5.5-1].
    fn varint(&mut self, mut number: usize) {
        loop {
            let low = number.to_le_bytes()[0] & 0x7f;
            number >>= 7;
            if number == 0 {
                return self.byte(low);
            }
            self.byte(low | 0x80);
        }
    }

    /// Bytes behind their two-byte length. The types that come here never hold more than it can say.
    fn prefixed(&mut self, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.two(length);
        self.slice(&bytes[..usize::from(length)]);
    }
}

impl Sink for BytesMut {
    fn slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn byte(&mut self, byte: u8) {
        self.put_u8(byte);
    }
}

/// Counts the bytes it is given.
#[derive(Default)]
pub(crate) struct Count(pub(crate) usize);

impl Sink for Count {
    fn slice(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}
