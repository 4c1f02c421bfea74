//! Arbitrary and mangled bytes: what the fuzz targets look for at length, looked for a moment in every run.

use bytes::BytesMut;
use mqtt::{Decoder, ReasonCode, Version};
use proptest::prelude::*;

use crate::arbitrary::{config, packets};
use crate::encode;

mod bodies;
#[path = "../../../../fuzz/smoke.rs"]
mod smoke;

/// One packet of each kind and more, behind the byte that says who reads it.
fn seeds() -> Vec<Vec<u8>> {
    let seeds = |version: Version| {
        let mut runner = proptest::test_runner::TestRunner::new(config(0));
        let strategy = packets(version);
        (0..60_u8)
            .map(|number| {
                let packet = strategy.new_tree(&mut runner).unwrap().current();
                let bytes = encode(&packet, version);
                let reader = match (bytes[0] >> 4, version) {
                    (1, _) => 0,
                    (_, Version::V311) => 1,
                    (_, Version::V5) => 2,
                };
                [vec![number / 3 * 3 + reader], bytes].concat()
            })
            .collect::<Vec<_>>()
    };
    [seeds(Version::V311), seeds(Version::V5)].concat()
}

#[test]
fn no_bytes_are_too_odd_for_the_decoder() {
    smoke::smoke(bodies::packets, &seeds(), 20_000);
}

#[test]
fn no_bytes_are_too_odd_for_filters_and_topics() {
    let seeds = ["sport/+/player1/#\0sport/tennis/player1", "$share/g/a/+\0a/b", "#\0$SYS/x", "/a//\0/a//", "é/+\0é/ü"];
    smoke::smoke(bodies::filters, &seeds.map(|seed| seed.as_bytes().to_vec()), 20_000);
}

/// The fixed header alone decides: the body of an oversized packet is not waited for.
#[test]
fn an_oversized_packet_is_refused_before_its_body() {
    for (announced, is_taken) in
        [(&b"\x30\xfd\x0f"[..], true), (b"\x30\xfe\x0f", false), (b"\x30\xff\xff\xff\x7f", false)]
    {
        for version in [Version::V311, Version::V5] {
            let mut buffer = BytesMut::from(announced);
            let found = Decoder::for_version(version, bodies::LIMIT).decode(&mut buffer);
            assert_eq!(found.map_err(|malformed| malformed.reason).is_ok(), is_taken, "{announced:02x?}");
        }
        let mut connect = BytesMut::from(announced);
        connect[0] = 0x10;
        let found = Decoder::new(bodies::LIMIT).decode(&mut connect).map_err(|malformed| malformed.reason);
        assert_eq!(found, if is_taken { Ok(None) } else { Err(ReasonCode::PacketTooLarge) });
    }
}
