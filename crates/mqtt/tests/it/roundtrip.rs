//! What is encoded is decoded as it was, in one piece or byte by byte, for arbitrary packets of every type and in both
//! versions. Whether the bytes are those of the specification is told by the tables.

use bytes::BytesMut;
use mqtt::{Packet, Publish, Version};
use proptest::prelude::*;

use crate::arbitrary::{config, packets, publishes};
use crate::{decode, decoder, encode};

fn any_packet() -> impl Strategy<Value = (Version, Packet)> {
    prop_oneof![Just(Version::V311), Just(Version::V5)].prop_flat_map(|version| (Just(version), packets(version)))
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn a_packet_survives_the_way_there_and_back((version, packet) in any_packet()) {
        let bytes = encode(&packet, version);
        prop_assert_eq!(decode(version, &bytes).unwrap(), packet);
    }
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn bytes_that_come_one_by_one_are_the_same_packet((version, packet) in any_packet()) {
        let bytes = encode(&packet, version);
        let mut decoder = decoder(version, bytes[0]);
        let mut buffer = BytesMut::new();
        for byte in &bytes[..bytes.len() - 1] {
            buffer.extend_from_slice(&[*byte]);
            prop_assert_eq!(decoder.decode(&mut buffer), Ok(None));
        }
        buffer.extend_from_slice(&bytes[bytes.len() - 1..]);
        prop_assert_eq!(decoder.decode(&mut buffer), Ok(Some(packet)));
    }

    #[test]
    fn packets_that_come_together_are_told_apart(
        packets in prop::collection::vec(packets(Version::V5), 1..5),
    ) {
        let packets: Vec<_> = packets.into_iter().filter(|p| !matches!(p, Packet::Connect(_))).collect();
        let mut buffer = BytesMut::new();
        for packet in &packets {
            mqtt::encode(packet, Version::V5, usize::MAX, &mut buffer).unwrap();
        }
        buffer.extend_from_slice(b"\x30");
        let mut decoder = mqtt::Decoder::for_version(Version::V5, usize::MAX);
        for packet in packets {
            prop_assert_eq!(decoder.decode(&mut buffer), Ok(Some(packet)));
        }
        prop_assert_eq!(decoder.decode(&mut buffer), Ok(None));
        prop_assert_eq!(&buffer[..], b"\x30");
    }

    #[test]
    fn a_compact_message_is_the_same_message(publish in publishes(Version::V5)) {
        prop_assert_eq!(publish.compact(), publish);
    }
}

/// A message is not copied on its way in: its parts lie in the buffer it was read into.
#[test]
fn a_decoded_message_is_made_of_slices_of_the_buffer() {
    let bytes = b"\x30\x0d\0\x03a/b\0 payload".as_slice();
    let mut buffer = BytesMut::from(bytes);
    let range = buffer.as_ptr_range();
    let mut decoder = mqtt::Decoder::for_version(Version::V5, 1024);
    let Ok(Some(Packet::Publish(Publish { topic: Some(topic), payload, .. }))) = decoder.decode(&mut buffer) else {
        panic!("not a message");
    };
    assert!(range.contains(&topic.as_bytes().as_ptr()));
    assert!(range.contains(&payload.as_ptr()));
    assert!(!range.contains(&topic.compact().as_bytes().as_ptr()));
}
