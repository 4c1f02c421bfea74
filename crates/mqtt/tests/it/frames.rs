//! A message encoded once for many recipients is for each of them what encoding it alone would have been.

use bytes::BytesMut;
use mqtt::{Binary, Packet, Publish, PublishFrame, QoS, Version, Will, WillProperties};
use proptest::prelude::*;

use crate::arbitrary::{config, publishes};
use crate::{encode, id, text, topic};

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn a_frame_is_the_packet_with_another_identifier(
        old in any::<bool>(),
        publish in publishes(Version::V5),
        packet_id in any::<std::num::NonZeroU16>(),
        dup in any::<bool>(),
    ) {
        let version = if old && publish.topic.is_some() { Version::V311 } else { Version::V5 };
        let frame = PublishFrame::new(&publish, version).unwrap();
        let mut out = BytesMut::from(&b"before"[..]);
        frame.write(Some(packet_id), dup, &mut out).unwrap();
        let has_id = publish.qos != QoS::AtMostOnce;
        let alone = Publish { packet_id: has_id.then_some(packet_id), dup: has_id && dup, ..publish };
        prop_assert_eq!(&out[..6], b"before");
        prop_assert_eq!(&out[6..], encode(&Packet::Publish(alone), version));
        prop_assert_eq!(out.len() - 6, frame.len());
    }
}

/// [MQTT-2.2.1-4]
#[test]
fn a_frame_with_qos_1_is_not_written_without_an_identifier() {
    let publish = Publish { qos: QoS::AtLeastOnce, ..Publish::new(topic("t"), "x") };
    let frame = PublishFrame::new(&publish, Version::V311).unwrap();
    let mut out = BytesMut::new();
    assert!(frame.write(None, false, &mut out).is_err());
    assert!(out.is_empty());
    frame.write_head(Some(id(258)), true, &mut out).unwrap();
    assert_eq!(&out[..], b"\x3a\x06\0\x01t\x01\x02");
    assert_eq!(frame.payload(), "x");
}

#[test]
fn a_frame_shares_the_payload() {
    let publish = Publish::new(topic("t"), vec![1; 100]);
    let frame = PublishFrame::new(&publish, Version::V5).unwrap();
    assert_eq!(frame.payload().as_ptr(), publish.payload.as_ptr());
}

#[test]
fn a_will_becomes_a_message_without_its_delay() {
    let will = |properties| Will {
        topic: topic("w"),
        payload: Binary::new("bye").unwrap(),
        qos: QoS::AtLeastOnce,
        retain: true,
        properties,
    };
    let delayed = WillProperties { will_delay_interval: Some(5), ..WillProperties::default() };
    let plain = Publish { qos: QoS::AtLeastOnce, retain: true, ..Publish::new(topic("w"), "bye") };
    assert_eq!(Publish::from(will(delayed)), plain);
    let typed = WillProperties { content_type: Some(text("j")), ..WillProperties::default() };
    let properties = mqtt::PublishProperties { content_type: Some(text("j")), ..Default::default() };
    assert_eq!(Publish::from(will(typed)), Publish { properties: Some(Box::new(properties)), ..plain });
}
