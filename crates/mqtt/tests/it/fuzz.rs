//! Arbitrary and mangled bytes: the decoder neither panics nor reads on for ever, and what it accepts can be sent.

use bytes::BytesMut;
use mqtt::{Decoder, Packet, Version};
use proptest::prelude::*;

use crate::arbitrary::{config, packets};
use crate::encode;

const LIMIT: usize = 2048;

/// Decodes until the bytes end or are refused; whatever was accepted must come out the same a second time.
fn feed(mut decoder: Decoder, bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    loop {
        let before = buffer.len();
        match decoder.decode(&mut buffer) {
            Ok(Some(packet)) => {
                assert!(buffer.len() < before, "a packet without bytes");
                again(&packet, decoder.version().unwrap());
            }
            Ok(None) => {
                assert!(before == 0 || before < LIMIT, "waits for more than a packet may have");
                return;
            }
            Err(_) => return,
        }
    }
}

fn again(packet: &Packet, version: Version) {
    let bytes = encode(packet, version);
    assert_eq!(crate::decode(version, &bytes).as_ref(), Ok(packet));
}

fn feed_to_all(bytes: &[u8]) {
    feed(Decoder::new(LIMIT), bytes);
    feed(Decoder::for_version(Version::V311, LIMIT), bytes);
    feed(Decoder::for_version(Version::V5, LIMIT), bytes);
}

/// A tiny generator of the xorshift kind: the same numbers in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }
}

#[test]
fn noise_is_survived() {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for _ in 0..30_000 {
        let length = noise.below(48);
        let mut bytes: Vec<u8> = (0..length).map(|_| noise.next().to_le_bytes()[3]).collect();
        feed_to_all(&bytes);
        // The same with a fixed header that holds, so that the body is looked at.
        if length > 2 {
            const FIRST: [u8; 15] =
                [0x10, 0x20, 0x30, 0x32, 0x40, 0x50, 0x62, 0x70, 0x82, 0x90, 0xa2, 0xb0, 0xe0, 0xf0, 0x3d];
            bytes[0] = FIRST[noise.below(FIRST.len())];
            bytes[1] = u8::try_from(length - 2).unwrap();
            feed_to_all(&bytes);
        }
    }
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn mangled_packets_are_survived(
        old in any::<bool>(),
        packet in packets(Version::V5),
        older in packets(Version::V311),
        seed in 1..u64::MAX,
    ) {
        let bytes = if old { encode(&older, Version::V311) } else { encode(&packet, Version::V5) };
        let mut noise = Noise(seed);
        for _ in 0..8 {
            let mut mangled = bytes.clone();
            for _ in 0..=noise.below(3) {
                let at = noise.below(mangled.len());
                match noise.below(4) {
                    0 => mangled[at] = noise.next().to_le_bytes()[2],
                    1 => mangled[at] ^= 1 << noise.below(8),
                    2 => mangled.insert(at, noise.next().to_le_bytes()[2]),
                    _ if mangled.len() > 1 => drop(mangled.remove(at)),
                    _ => {}
                }
            }
            feed_to_all(&mangled);
        }
    }
}
