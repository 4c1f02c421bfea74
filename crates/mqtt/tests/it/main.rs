//! The room from its door: packets byte by byte, every refusal, and properties over arbitrary packets and bytes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod arbitrary;
mod filters;
mod frames;
mod fuzz;
mod refusals;
mod roundtrip;
mod wire;

use std::num::NonZeroU16;

use bytes::BytesMut;
use mqtt::{Decoder, Filter, Malformed, Packet, Text, Topic, Version};

fn id(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

fn text(string: &str) -> Text {
    string.try_into().unwrap()
}

fn topic(string: &str) -> Topic {
    string.try_into().unwrap()
}

fn filter(string: &str) -> Filter {
    string.try_into().unwrap()
}

/// The decoder that may meet the packet: a CONNECT opens the connection, all others find it open.
fn decoder(version: Version, first: u8) -> Decoder {
    if first >> 4 == 1 { Decoder::new(usize::MAX) } else { Decoder::for_version(version, usize::MAX) }
}

/// Decodes bytes that are to be one whole packet.
fn decode(version: Version, bytes: &[u8]) -> Result<Packet, Malformed> {
    let mut buffer = BytesMut::from(bytes);
    let packet = decoder(version, bytes[0]).decode(&mut buffer)?;
    assert!(packet.is_some(), "waits for more than {bytes:02x?}");
    assert!(buffer.is_empty(), "{} bytes are left", buffer.len());
    Ok(packet.unwrap())
}

/// Encodes a packet without a limit.
fn encode(packet: &Packet, version: Version) -> Vec<u8> {
    let mut out = BytesMut::new();
    mqtt::encode(packet, version, usize::MAX, &mut out).unwrap();
    assert_eq!(out.len(), mqtt::encoded_len(packet, version));
    out.to_vec()
}
