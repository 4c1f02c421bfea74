//! AWS's quotas of the message broker (mqtt.md §6), each below, at and above, where they are kept, only told, and ignored.

use cloud::{Identity, Kind, Quotas};
use mqtt::{Packet, PublishProperties, QoS, Text, Version};
use serde_json::json;
use store::Store;

use crate::device::{Device, message, message_1, retained, subscribe, subscription};
use crate::house::{Lab, everything, hello};

const PROFILES: [Quotas; 3] = [Quotas::Off, Quotas::Warn, Quotas::Aws];

fn lab(quotas: Quotas) -> (Lab, String) {
    let lab = Lab::over(Store::in_memory(), quotas);
    let id = lab.identity(everything());
    (lab, id)
}

/// The limits that were told as events, whether passed or refused.
fn told(lab: &Lab) -> Vec<String> {
    let limit = |kind| match kind {
        Kind::Quota { limit, .. } => Some(limit),
        Kind::Refusal(refused) if refused.decision == "QUOTA" => Some(refused.reason),
        _ => None,
    };
    lab.events().into_iter().filter_map(limit).collect()
}

fn expect_told(lab: &Lab, quotas: Quotas, words: &str) {
    let told = told(lab);
    assert_eq!(told.is_empty(), quotas == Quotas::Off, "{quotas:?} {told:?}");
    assert!(told.iter().all(|limit| limit.contains(words)), "{told:?}");
}

#[test]
fn a_subscribe_has_eight_filters() {
    for quotas in PROFILES {
        let (lab, id) = lab(quotas);
        for version in [Version::V5, Version::V311] {
            let device = lab.device(&id, version, "c");
            lab.events();
            for (count, within) in [(7, true), (8, true), (9, quotas != Quotas::Aws)] {
                assert_eq!(told(&lab), Vec::<String>::new());
                device.give(subscribe((0..count).map(|number| subscription(&format!("t/{number}")))));
                let code = if within { "01" } else { "97" };
                let code = if !within && version == Version::V311 { "80" } else { code };
                assert_eq!(device.told(), [format!("SUBACK 1 {}", vec![code; count].join(" "))], "{quotas:?} {count}");
            }
            expect_told(&lab, quotas, "8 filters");
        }
    }
}

#[test]
fn a_connection_has_fifty_subscriptions() {
    for quotas in PROFILES {
        let (lab, id) = lab(quotas);
        let device = lab.device(&id, Version::V5, "c");
        for number in 1..=50 {
            device.listen(&format!("t/{number}"));
        }
        assert_eq!(told(&lab), Vec::<String>::new());
        let beyond = if quotas == Quotas::Aws { "SUBACK 1 97" } else { "SUBACK 1 01" };
        assert_eq!(device.subscribe("t/51"), [beyond]);
        expect_told(&lab, quotas, "50 subscriptions");
        assert_eq!(device.subscribe("t/50"), ["SUBACK 1 01"], "one that is there may be replaced");
    }
}

#[test]
fn the_name_of_a_group_has_128_bytes() {
    for quotas in PROFILES {
        let (lab, id) = lab(quotas);
        let device = lab.device(&id, Version::V5, "c");
        for (length, within) in [(127, true), (128, true), (129, quotas != Quotas::Aws)] {
            let expected = if within { "SUBACK 1 01" } else { "SUBACK 1 8f" };
            assert_eq!(device.subscribe(&format!("$share/{}/t", "g".repeat(length))), [expected], "{length}");
        }
    }
}

/// Publishes until the limit of a second is reached and once more: what the last one was answered.
fn publish_a_hundred_and_one(device: &Device, qos: QoS) -> Vec<String> {
    for number in 1..=101 {
        let message = if qos == QoS::AtMostOnce { message("t", "x") } else { message_1(number, "t", "x") };
        if number == 101 {
            device.told();
        }
        device.give(Packet::Publish(message));
    }
    device.told()
}

#[test]
fn a_connection_publishes_a_hundred_messages_a_second() {
    for quotas in PROFILES {
        for (version, qos, refused) in [
            (Version::V5, QoS::AtLeastOnce, vec!["PUBACK 101 97"]),
            (Version::V5, QoS::AtMostOnce, vec![]),
            (Version::V311, QoS::AtLeastOnce, vec![]),
            (Version::V311, QoS::AtMostOnce, vec![]),
        ] {
            let (lab, id) = lab(quotas);
            let watch = lab.device(&id, Version::V5, "watch");
            let at_most_once = mqtt::Subscription { qos: QoS::AtMostOnce, ..subscription("t") };
            watch.give(subscribe([at_most_once]));
            let device = lab.device(&id, version, "c");
            lab.events();
            let taken = if qos == QoS::AtMostOnce { vec![] } else { vec!["PUBACK 101 00"] };
            let answer = publish_a_hundred_and_one(&device, qos);
            assert_eq!(answer, if quotas == Quotas::Aws { refused } else { taken }, "{quotas:?} {version:?} {qos:?}");
            let heard = if quotas == Quotas::Aws { 100 } else { 101 };
            assert_eq!(watch.messages().len(), heard, "{quotas:?} {version:?} {qos:?}");
            expect_told(&lab, quotas, "100 messages in a second");
            lab.pass(10);
            device.give(Packet::Publish(message_1(7, "t", "x")));
            assert_eq!(device.told(), ["PUBACK 7 00"], "the answers after it are not held up");
        }
    }
}

#[test]
fn what_is_too_fast_is_told_once_in_a_minute() {
    let (lab, id) = lab(Quotas::Warn);
    let device = lab.device(&id, Version::V5, "c");
    lab.events();
    for _ in 0..3 {
        publish_a_hundred_and_one(&device, QoS::AtMostOnce);
        publish_a_hundred_and_one(&device, QoS::AtMostOnce);
        assert_eq!(told(&lab).len(), 1);
        lab.pass(60_000);
    }
}

#[test]
fn a_connection_publishes_512_kib_a_second() {
    for quotas in PROFILES {
        let (lab, id) = lab(quotas);
        let device = lab.device(&id, Version::V5, "c");
        // With the topic, four of these are all that there is in a second.
        let quarter = "x".repeat(131_072 - 1);
        let answers = (1..=5).map(|number| {
            device.give(Packet::Publish(message_1(number, "t", &quarter)));
            device.told().concat()
        });
        let answers: Vec<String> = answers.collect();
        assert_eq!(answers[3], "PUBACK 4 00");
        assert_eq!(answers[4], if quotas == Quotas::Aws { "PUBACK 5 97" } else { "PUBACK 5 00" });
        lab.pass(250);
        device.give(Packet::Publish(message_1(6, "t", &quarter)));
        assert_eq!(device.told(), ["PUBACK 6 00"]);
    }
}

#[test]
fn a_client_id_connects_once_a_second() {
    for quotas in PROFILES {
        let (lab, id) = lab(quotas);
        let arrive = |client_id: &str| {
            let answer = lab.arrive_at_once(&id, &hello(Version::V5, client_id));
            answer.map(drop).map_err(|no| no.connack.reason.code())
        };
        assert_eq!(arrive("c"), Ok(()));
        lab.pass(999);
        assert_eq!(told(&lab), Vec::<String>::new());
        assert_eq!(arrive("c"), if quotas == Quotas::Aws { Err(0x97) } else { Ok(()) });
        expect_told(&lab, quotas, "1 time in a second");
        assert_eq!(arrive("d"), Ok(()), "another");
        lab.pass(if quotas == Quotas::Aws { 1 } else { 1000 });
        assert_eq!(arrive("c"), Ok(()));
    }
}

#[test]
fn a_clock_that_was_set_back_locks_nobody_out() {
    let (lab, id) = lab(Quotas::Aws);
    let device = lab.device(&id, Version::V5, "c");
    device.give(Packet::Publish(message_1(1, "t", "x")));
    lab.pass(-3_600_000);
    assert!(lab.arrive_at_once(&id, &hello(Version::V5, "c")).is_ok());
    let device = lab.device(&id, Version::V5, "d");
    device.give(Packet::Publish(message_1(1, "t", "x")));
    device.told();
    lab.pass(-3_600_000);
    // Either of the two rates may take a second to see it.
    for id in 2..=4 {
        device.give(Packet::Publish(message_1(id, "t", "x")));
        lab.pass(1000);
    }
    assert_eq!(device.told().last().map(String::as_str), Some("PUBACK 4 00"));
}

#[test]
fn user_properties_have_8_kib() {
    for quotas in PROFILES {
        let (lab, id) = lab(quotas);
        let device = lab.device(&id, Version::V5, "c");
        for (bytes, within) in [(8191, true), (8192, true), (8193, quotas != Quotas::Aws)] {
            let pair = (Text::try_from("k").unwrap(), Text::try_from("v".repeat(bytes - 1).as_str()).unwrap());
            let properties = PublishProperties { user_properties: vec![pair], ..PublishProperties::default() };
            let mut message = message_1(1, "t", "x");
            message.properties = Some(Box::new(properties));
            device.give(Packet::Publish(message));
            assert_eq!(device.told(), [if within { "PUBACK 1 00" } else { "PUBACK 1 97" }], "{quotas:?} {bytes}");
        }
        expect_told(&lab, quotas, "8192 bytes");
    }
}

#[test]
fn an_account_retains_five_thousand_messages() {
    for quotas in [Quotas::Warn, Quotas::Aws] {
        let (lab, id) = lab(quotas);
        let device = lab.device(&id, Version::V5, "c");
        for number in (0..5000).step_by(50) {
            let message = |number| device.send(retained(message(&format!("t/{number}"), "x"))).unwrap();
            lab.commit((number..number + 50).map(message)).unwrap();
            lab.pass(1000);
        }
        assert_eq!(told(&lab), Vec::<String>::new());
        device.give(retained(message_1(1, "t/1", "y")));
        assert_eq!(device.told(), ["PUBACK 1 00"], "one that is there may be replaced");
        device.give(retained(message_1(2, "more", "x")));
        assert_eq!(device.told(), [if quotas == Quotas::Aws { "PUBACK 2 97" } else { "PUBACK 2 00" }]);
        let old = lab.device(&id, Version::V311, "old");
        old.give(retained(message_1(3, "still more", "x")));
        assert_eq!(old.told(), if quotas == Quotas::Aws { vec![] } else { vec!["PUBACK 3 00"] });
        expect_told(&lab, quotas, "5000 messages");
        let key = || Identity::Key("key".to_owned());
        let over_http = lab.call_as(key(), "Publish", json!({"topic": "http", "retain": true}), b"x");
        let expected = (quotas == Quotas::Aws).then_some("ThrottlingException");
        assert_eq!(over_http.err().map(|no| no.error()), expected);
        for topic in ["t/1", "t/2", "t/2"] {
            device.give(retained(message(topic, "")));
        }
        device.give(retained(message_1(4, "more", "x")));
        assert_eq!(device.told(), ["PUBACK 4 00"], "room was made, once for each");
    }
}
