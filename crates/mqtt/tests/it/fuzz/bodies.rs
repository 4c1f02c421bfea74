//! What must hold of any bytes that come as MQTT, shared by the tests of this crate and the fuzz targets in `fuzz/`: nothing
//! panics, a stream means the same however it is cut, nothing oversized is waited for, and what was read can be sent.

use std::num::NonZeroUsize;

use bytes::{Bytes, BytesMut};
use mqtt::{Decoder, Filter, Malformed, Packet, Topic, Version};

/// Bytes that a packet may have here.
pub(crate) const LIMIT: usize = 2048;

/// The first byte says who reads and in what pieces the rest arrives.
pub(crate) fn packets(input: &[u8]) {
    let Some((&how, stream)) = input.split_first() else { return };
    let decoder = match how % 3 {
        0 => Decoder::new(LIMIT),
        1 => Decoder::for_version(Version::V311, LIMIT),
        _ => Decoder::for_version(Version::V5, LIMIT),
    };
    let piece = NonZeroUsize::MIN.saturating_add(usize::from(how / 3));
    let whole = NonZeroUsize::MIN.saturating_add(stream.len());
    assert_eq!(read(decoder.clone(), stream, piece), read(decoder, stream, whole), "{piece} bytes at a time");
}

/// The packets in a stream that arrives piece by piece, and what ended it: an error, or bytes too few for another packet.
fn read(mut decoder: Decoder, stream: &[u8], piece: NonZeroUsize) -> (Vec<Packet>, Result<usize, Malformed>) {
    let mut packets = Vec::new();
    let mut buffer = BytesMut::with_capacity(stream.len());
    for piece in stream.chunks(piece.get()) {
        buffer.extend_from_slice(piece);
        loop {
            let (before, capacity) = (buffer.len(), buffer.capacity());
            let found = decoder.decode(&mut buffer);
            assert!(buffer.capacity() <= capacity, "the decoder asked for memory");
            match found {
                Ok(Some(packet)) => {
                    assert!(buffer.len() < before, "a packet without bytes");
                    can_be_sent(&packet, decoder.version());
                    packets.push(packet);
                }
                Ok(None) => {
                    assert_eq!(buffer.len(), before, "took bytes of a packet that is not all there");
                    assert!(announced(&buffer) <= LIMIT, "waits for more than a packet may have");
                    break;
                }
                Err(malformed) => return (packets, Err(malformed)),
            }
        }
    }
    let left = buffer.len();
    (packets, Ok(left))
}

/// The size of the packet that begins here, as its fixed header has it; nothing while that is incomplete.
fn announced(buffer: &[u8]) -> usize {
    let mut length = 0;
    for (place, byte) in buffer.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return 2 + place + length;
        }
    }
    0
}

/// What was read is the same after it has been written and read again.
fn can_be_sent(packet: &Packet, version: Option<Version>) {
    let version = version.unwrap_or(Version::V5);
    let mut out = BytesMut::new();
    let encoded = mqtt::encode(packet, version, usize::MAX, &mut out);
    assert_eq!(encoded, Ok(()), "{packet:?}");
    assert_eq!(out.len(), mqtt::encoded_len(packet, version));
    let mut decoder = match packet {
        Packet::Connect(_) => Decoder::new(usize::MAX),
        _ => Decoder::for_version(version, usize::MAX),
    };
    assert_eq!(decoder.decode(&mut out), Ok(Some(packet.clone())));
}

/// A filter, a NUL, and a topic name, which nobody but the specification is to relate.
pub(crate) fn filters(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == 0).map(Bytes::copy_from_slice);
    let filter = parts.next().and_then(|part| Filter::new(part).ok());
    let topic = parts.next().and_then(|part| Topic::new(part).ok());
    if let Some(filter) = &filter {
        assert_eq!(Filter::new(filter.as_bytes().clone()).as_ref(), Ok(filter));
        assert_eq!(filter.levels().collect::<Vec<_>>().join("/"), filter.pattern());
        assert!(filter.as_str().ends_with(filter.pattern()));
        // A filter without wildcards is a topic name, and matches itself.
        let itself = Topic::new(Bytes::copy_from_slice(filter.pattern().as_bytes()));
        assert_eq!(itself.is_ok(), !filter.has_wildcard());
        assert!(itself.is_ok_and(|itself| filter.matches(&itself)) || filter.has_wildcard());
    }
    if let (Some(filter), Some(topic)) = (filter, topic) {
        let (levels, names): (Vec<_>, Vec<_>) = (filter.levels().collect(), topic.levels().collect());
        let is_hidden = topic.as_str().starts_with('$') && filter.pattern().starts_with(['+', '#']);
        assert_eq!(filter.matches(&topic), !is_hidden && matches(&levels, &names), "{filter:?} {topic:?}");
        assert!(filter.matches(&topic) || !filter.matches_without_parent(&topic));
    }
}

/// Section 4.7 in the most obvious words, over lists of levels.
fn matches(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        ([], []) | (["#"], _) => true,
        ([wanted, filter @ ..], [level, topic @ ..]) => (*wanted == "+" || wanted == level) && matches(filter, topic),
        _ => false,
    }
}
