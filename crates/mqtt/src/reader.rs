//! Takes the primitive values of MQTT off the front of a packet's body, each checked against what is left, and
//! says in what way bytes are not a packet.
//!
//! Nothing here knows one packet from another.

use std::fmt;
use std::num::NonZeroU16;

use bytes::{Buf, Bytes};

use crate::reason::ReasonCode;
use crate::text::{Binary, InvalidText, Text};
use crate::topic::{Filter, InvalidFilter, InvalidTopic, Topic};

/// What the other side did wrong. The connection ends here [MQTT-4.13.1-1].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// What a DISCONNECT or CONNACK of MQTT 5 says about it.
    pub reason: ReasonCode,
    /// The same in words.
    pub message: &'static str,
}

impl Malformed {
    pub(crate) const fn new(reason: ReasonCode, message: &'static str) -> Malformed {
        Malformed { reason, message }
    }

    /// The bytes are no packet.
    pub(crate) const fn packet(message: &'static str) -> Malformed {
        Malformed::new(ReasonCode::MalformedPacket, message)
    }

    /// The bytes are a packet that may not be sent.
    pub(crate) const fn protocol(message: &'static str) -> Malformed {
        Malformed::new(ReasonCode::ProtocolError, message)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl std::error::Error for Malformed {}

impl From<InvalidText> for Malformed {
    fn from(text: InvalidText) -> Malformed {
        Malformed::packet(text.message())
    }
}

impl From<InvalidTopic> for Malformed {
    /// unconfirmed: a wildcard in a topic name is answered with the reason code that names the culprit (0x90)
    /// rather than with 0x81; both end the connection.
    fn from(topic: InvalidTopic) -> Malformed {
        match topic {
            InvalidTopic::Text(text) => text.into(),
            _ => Malformed::new(ReasonCode::TopicNameInvalid, topic.message()),
        }
    }
}

impl From<InvalidFilter> for Malformed {
    /// unconfirmed: as for topic names, the reason code is the one that names the culprit (0x8F).
    fn from(filter: InvalidFilter) -> Malformed {
        match filter {
            InvalidFilter::Text(text) => text.into(),
            _ => Malformed::new(ReasonCode::TopicFilterInvalid, filter.message()),
        }
    }
}

/// What is left of a packet's body.
pub(crate) struct Reader(Bytes);

const CUT: Malformed = Malformed::packet("packet ends before its contents do");

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Reader {
        Reader(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        self.0.try_get_u8().map_err(|_| CUT)
    }

    pub(crate) fn two(&mut self) -> Result<u16, Malformed> {
        self.0.try_get_u16().map_err(|_| CUT)
    }

    pub(crate) fn four(&mut self) -> Result<u32, Malformed> {
        self.0.try_get_u32().map_err(|_| CUT)
    }

    /// A variable byte integer of at most four bytes, in no more bytes than it takes [MQTT-1.5.5-1].
    pub(crate) fn varint(&mut self) -> Result<u32, Malformed> {
        match varint(&self.0)? {
            None => Err(CUT),
            Some(found) if found.padded => Err(Malformed::packet("variable byte integer is longer than it has to be")),
            Some(found) => {
                self.0.advance(found.length);
                Ok(found.value)
            }
        }
    }

    /// Skips the next byte if it is zero, and says whether it was.
    pub(crate) fn skip_zero(&mut self) -> bool {
        let zero = self.0.first() == Some(&0);
        if zero {
            self.0.advance(1);
        }
        zero
    }

    /// The next bytes, shared.
    pub(crate) fn bytes(&mut self, length: usize) -> Result<Bytes, Malformed> {
        if length > self.0.len() {
            return Err(CUT);
        }
        Ok(self.0.split_to(length))
    }

    /// All the bytes that are left.
    pub(crate) fn rest(self) -> Bytes {
        self.0
    }

    fn prefixed(&mut self) -> Result<Bytes, Malformed> {
        let length = self.two()?;
        self.bytes(usize::from(length))
    }

    pub(crate) fn binary(&mut self) -> Result<Binary, Malformed> {
        Ok(Binary::new(self.prefixed()?)?)
    }

    pub(crate) fn text(&mut self) -> Result<Text, Malformed> {
        Ok(Text::new(self.prefixed()?)?)
    }

    pub(crate) fn topic(&mut self) -> Result<Topic, Malformed> {
        Ok(Topic::parse(self.text()?)?)
    }

    pub(crate) fn filter(&mut self) -> Result<Filter, Malformed> {
        Ok(Filter::parse(self.text()?)?)
    }

    /// A packet identifier, which is never zero [MQTT-2.2.1-3], [MQTT-2.2.1-4] (3.1.1: [MQTT-2.3.1-1]).
    pub(crate) fn packet_id(&mut self) -> Result<NonZeroU16, Malformed> {
        NonZeroU16::new(self.two()?).ok_or(Malformed::protocol("packet identifier is zero"))
    }

    /// Checks that nothing is left.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed::packet("packet goes on after its contents")) }
    }
}

/// A variable byte integer found at the front of some bytes.
pub(crate) struct Varint {
    pub(crate) value: u32,
    /// How many bytes it takes.
    pub(crate) length: usize,
    /// Whether fewer bytes would have done.
    pub(crate) padded: bool,
}

/// Reads a variable byte integer, or nothing where it is not all there yet.
pub(crate) fn varint(bytes: &[u8]) -> Result<Option<Varint>, Malformed> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some(Varint { value, length: index + 1, padded: index > 0 && *byte == 0 }));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(Malformed::packet("variable byte integer is longer than four bytes")) }
}
