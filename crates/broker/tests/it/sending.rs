//! What goes to a client: in which form, in which order, under which identifier, how often.

use broker::{Closed, Offer, Subscribed};
use mqtt::{Ack, Filter, Packet, PublishProperties, QoS, ReasonCode, Subscription, SubscriptionId, Version};

use crate::house::{House, expiring, id, lasting, offer, said};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

#[test]
fn a_message_comes_with_the_lesser_qos_of_publisher_and_subscription() {
    let house = House::new();
    let client = house.client("c");
    for (published, granted) in [0, 1, 2].into_iter().flat_map(|p| [(p, 0), (p, 1), (p, 2)]) {
        let [published, granted] = [published, granted].map(|number| QoS::from_number(number).unwrap());
        client.listen("t", granted);
        assert_eq!(house.publish(&said("t", published, "x")), 1);
        let Some(Packet::Publish(publish)) = client.heard().into_iter().next() else { panic!("no PUBLISH") };
        assert_eq!(publish.qos, published.min(granted), "{published:?} {granted:?}");
        assert_eq!(publish.packet_id.is_some(), publish.qos > AtMostOnce);
        if let Some(id) = publish.packet_id {
            let ack = if publish.qos == AtLeastOnce { Packet::PubAck } else { Packet::PubRec };
            client.give(ack(Ack::new(id, ReasonCode::UnspecifiedError)));
        }
    }
    assert_eq!(client.session().owed(), 0);
}

#[test]
fn a_message_comes_once_however_many_filters_match() {
    let house = House::new();
    let client = house.client("c");
    client.listen("a/+", AtMostOnce);
    client.listen("a/b", AtLeastOnce);
    client.listen("#", AtMostOnce);
    assert_eq!(house.publish(&said("a/b", AtLeastOnce, "x")), 1);
    assert_eq!(client.told(), ["a/b q1 #1 x"], "with the highest QoS of them [MQTT-3.3.4-2]");
}

#[test]
fn overlapping_filters_give_all_their_identifiers_and_flags() {
    let house = House::new();
    let client = house.client("c");
    let filter = |filter| Subscription::new(Filter::try_from(filter).unwrap(), AtMostOnce);
    client.listen_as(filter("a/+"), Some(7));
    client.listen_as(Subscription { retain_as_published: true, ..filter("a/b") }, Some(9));
    client.listen_as(filter("#"), None);
    let message = mqtt::Publish { retain: true, ..said("a/b", AtMostOnce, "x") };
    house.publish(&message);
    let Some(Packet::Publish(publish)) = client.heard().into_iter().next() else { panic!("no PUBLISH") };
    assert!(publish.retain);
    let mut ids: Vec<u32> = publish.properties.unwrap().subscription_identifiers.iter().map(|id| id.get()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [7, 9], "[MQTT-3.3.4-3]");
}

#[test]
fn a_subscription_that_is_made_again_replaces_the_first() {
    let house = House::new();
    let client = house.client("c");
    assert_eq!(client.listen("t", AtLeastOnce), Subscribed::Granted { qos: AtLeastOnce, replaced: false });
    let again = Subscription::new(Filter::try_from("t").unwrap(), AtMostOnce);
    assert_eq!(client.listen_as(again, Some(3)), Subscribed::Granted { qos: AtMostOnce, replaced: true });
    house.publish(&said("t", AtLeastOnce, "x"));
    assert_eq!(client.told(), ["t q0 x id:3"]);
    let filter = Filter::try_from("t").unwrap();
    assert!(house.broker.unsubscribe(client.session(), &filter));
    assert!(!house.broker.unsubscribe(client.session(), &filter));
    assert_eq!(house.publish(&said("t", AtLeastOnce, "x")), 0);
}

#[test]
fn the_retain_flag_goes_on_only_to_who_asked_for_it() {
    let house = House::new();
    let client = house.client("c");
    for (as_published, published) in [(false, false), (false, true), (true, false), (true, true)] {
        let subscription = Subscription::new(Filter::try_from("t").unwrap(), AtMostOnce);
        client.listen_as(Subscription { retain_as_published: as_published, ..subscription }, None);
        house.publish(&mqtt::Publish { retain: published, ..said("t", AtMostOnce, "x") });
        let expected = if as_published && published { "t q0 retain x" } else { "t q0 x" };
        assert_eq!(client.told(), [expected], "[MQTT-3.3.1-12], [MQTT-3.3.1-13]");
    }
}

#[test]
fn no_local_keeps_a_clients_own_messages_from_it() {
    let house = House::new();
    let client = house.client("c");
    let filter = |filter| Subscription::new(Filter::try_from(filter).unwrap(), AtMostOnce);
    client.listen_as(Subscription { no_local: true, ..filter("t") }, None);
    let own = Some(client.session().number());
    for qos in [AtMostOnce, AtLeastOnce] {
        assert_eq!(house.publish_from(&said("t", qos, "x"), own), 0, "[MQTT-3.8.3-3]");
        assert_eq!(house.publish_from(&said("t", qos, "x"), None), 1);
    }
    client.listen_as(filter("+"), None);
    assert_eq!(house.publish_from(&said("t", AtMostOnce, "x"), own), 1, "another filter lets it through");
}

#[test]
fn the_gate_keeps_a_message_out() {
    for offer in [offer("c"), lasting("c")] {
        let house = House::new();
        let client = house.connect(offer);
        client.listen("#", ExactlyOnce);
        for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
            assert_eq!(house.publish(&said("secret/x", qos, "x")), 0);
            assert_eq!(house.publish(&said("open/x", qos, "x")), 1);
        }
        let told = client.told();
        assert_eq!(told.iter().filter(|words| words.starts_with("open")).count(), told.len());
        assert_eq!(client.session().owed(), 2, "what was kept out is not owed");
    }
}

#[test]
fn what_is_longer_than_the_client_takes_is_left_out() {
    let house = House::new();
    for offer in [offer("c"), lasting("d")] {
        let client = house.connect(Offer { maximum_packet_size: 20, ..offer });
        client.listen("t", ExactlyOnce);
        for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
            assert_eq!(house.publish(&said("t", qos, "much longer than twenty bytes")), 0, "[MQTT-3.1.2-24]");
        }
        assert_eq!((client.told(), client.session().owed(), client.closed()), (vec![], 0, None), "[MQTT-3.1.2-25]");
        house.publish(&said("t", AtLeastOnce, "short"));
        assert_eq!(client.payloads(), ["short"]);
        client.vanish();
    }
    let left: usize = house.shelf.borrow().messages.len();
    assert_eq!(left, 1, "and is not kept either");
}

#[test]
fn qos_2_is_published_and_released_step_by_step() {
    for offer in [offer("c"), lasting("c")] {
        let house = House::new();
        let client = house.connect(offer);
        client.listen("t", ExactlyOnce);
        house.publish(&said("t", ExactlyOnce, "x"));
        assert_eq!(client.told(), ["t q2 #1 x"]);
        client.pubrec(1);
        assert_eq!(client.told(), ["PUBREL 1"]);
        client.pubrec(1);
        assert_eq!(client.told(), ["PUBREL 1"], "a repeated PUBREC has its PUBREL again");
        client.pubcomp(1);
        assert_eq!((client.told(), client.session().owed()), (vec![], 0));
        client.pubcomp(1);
        client.pubrec(1);
        assert_eq!(client.told(), ["PUBREL 1 92"], "[MQTT-4.3.3]: it is not known any more");
        assert!(house.shelf.borrow().messages.is_empty());
    }
}

#[test]
fn a_pubrec_with_an_error_ends_the_exchange() {
    for offer in [offer("c"), lasting("c")] {
        let house = House::new();
        let client = house.connect(Offer { receive_maximum: 1, ..offer });
        client.listen("t", ExactlyOnce);
        house.publish_numbers(ExactlyOnce, 1..=2);
        assert_eq!(client.told(), ["t q2 #1 1"]);
        client.give(Packet::PubRec(Ack::new(id(1), ReasonCode::QuotaExceeded)));
        assert_eq!(client.told(), ["t q2 #2 2"], "[MQTT-4.3.3-4]: no PUBREL, and there is room for the next");
        assert_eq!(client.session().owed(), 1);
    }
}

#[test]
fn acknowledgements_that_do_not_fit_change_nothing() {
    let house = House::new();
    let client = house.client("c");
    client.listen("t", ExactlyOnce);
    house.publish(&said("t", AtLeastOnce, "1"));
    house.publish(&said("t", ExactlyOnce, "2"));
    client.heard();
    let cases: [(Packet, &[&str]); 6] = [
        (Packet::PubAck(Ack::success(id(2))), &[]),
        (Packet::PubAck(Ack::success(id(9))), &[]),
        (Packet::PubComp(Ack::success(id(1))), &[]),
        (Packet::PubComp(Ack::success(id(2))), &[]),
        (Packet::PubRec(Ack::success(id(1))), &["PUBREL 1 92"]),
        (Packet::PubRec(Ack::success(id(9))), &["PUBREL 9 92"]),
    ];
    for (packet, expected) in cases {
        client.give(packet.clone());
        assert_eq!(client.told(), expected, "{packet:?}");
        assert_eq!((client.session().owed(), client.closed()), (2, None), "{packet:?}");
    }
}

#[test]
fn beyond_the_receive_maximum_messages_wait_for_acknowledgements_and_keep_their_order() {
    for offer in [offer("c"), lasting("c")] {
        let house = House::new();
        let client = house.connect(Offer { receive_maximum: 2, ..offer });
        client.listen("t", ExactlyOnce);
        house.publish_numbers(AtLeastOnce, 1..=2);
        house.publish_numbers(ExactlyOnce, 3..=3);
        house.publish_numbers(AtLeastOnce, 4..=4);
        assert_eq!(client.told(), ["t q1 #1 1", "t q1 #2 2"], "[MQTT-3.3.4-9]");
        assert_eq!(house.publish(&said("t", AtMostOnce, "0")), 1);
        assert_eq!(client.told(), ["t q0 0"], "QoS 0 is not counted");
        client.puback(2);
        assert_eq!(client.told(), ["t q2 #3 3"], "in any order");
        client.pubrec(3);
        assert_eq!(client.told(), ["PUBREL 3"], "a message is not acknowledged before PUBCOMP");
        client.pubcomp(3);
        assert_eq!(client.told(), ["t q1 #4 4"]);
    }
}

#[test]
fn the_broker_has_fewer_messages_in_flight_than_it_may() {
    let house = House::with(broker::Settings { in_flight: 3, ..broker::Settings::default() });
    let client = house.client("c");
    client.listen("t", AtLeastOnce);
    house.publish_numbers(AtLeastOnce, 1..=5);
    assert_eq!(client.payloads(), ["1", "2", "3"]);
}

#[test]
fn packet_identifiers_come_again_after_a_round() {
    for offer in [offer("c"), lasting("c")] {
        let house = House::new();
        let client = house.connect(offer);
        client.listen("t", AtLeastOnce);
        for number in (1..=65_535).chain([1, 2]) {
            house.publish(&said("t", AtLeastOnce, ""));
            assert_eq!(client.told(), [format!("t q1 #{number} ")]);
            client.puback(number);
        }
    }
}

#[test]
fn a_packet_identifier_in_flight_is_never_given_again() {
    let house = House::new();
    let client = house.lasting("c");
    client.listen("t", AtLeastOnce);
    house.publish(&said("t", AtLeastOnce, ""));
    client.heard();
    for number in 2..65_535 {
        assert_eq!(house.publish(&said("t", AtLeastOnce, "")), 1);
        assert_eq!(client.told(), [format!("t q1 #{number} ")]);
        client.puback(number);
    }
    assert_eq!(house.publish(&said("t", AtLeastOnce, "")), 0, "[MQTT-2.2.1-4]");
    client.puback(1);
    assert_eq!(house.publish(&said("t", AtLeastOnce, "")), 1);
}

#[test]
fn what_was_not_acknowledged_comes_again_with_the_same_identifiers_in_the_same_order() {
    let house = House::new();
    let client = house.lasting("c");
    client.listen("t", ExactlyOnce);
    for (qos, payload) in [(AtLeastOnce, "1"), (ExactlyOnce, "2"), (ExactlyOnce, "3"), (AtLeastOnce, "4")] {
        house.publish(&said("t", qos, payload));
    }
    client.heard();
    client.pubrec(3);
    client.vanish();
    house.publish(&said("t", AtLeastOnce, "5"));
    let expected = ["t q1 #1 dup 1", "t q2 #2 dup 2", "PUBREL 3", "t q1 #4 dup 4", "t q1 #5 5"];
    let client = house.lasting("c");
    assert_eq!(client.told(), expected, "[MQTT-4.4.0-1], [MQTT-3.3.1-1]");
    client.vanish();
    let client = house.lasting("c");
    assert_eq!(client.told()[..4], expected[..4], "and once more");
    for packet_id in [1, 4, 5] {
        client.puback(packet_id);
    }
    client.pubcomp(3);
    client.pubrec(2);
    client.pubcomp(2);
    assert_eq!((client.session().owed(), house.shelf.borrow().messages.len()), (0, 0));
}

#[test]
fn resending_obeys_the_receive_maximum_of_the_new_connection() {
    let house = House::new();
    let client = house.lasting("c");
    client.listen("t", ExactlyOnce);
    house.publish_numbers(ExactlyOnce, 1..=3);
    client.heard();
    client.pubrec(1);
    client.vanish();
    let client = house.connect(Offer { receive_maximum: 1, ..lasting("c") });
    assert_eq!(client.told(), ["PUBREL 1"]);
    client.pubcomp(1);
    assert_eq!(client.told(), ["t q2 #2 dup 2"]);
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_again_yet_is_not_taken() {
    let house = House::new();
    let client = house.lasting("c");
    client.listen("t", AtLeastOnce);
    house.publish_numbers(AtLeastOnce, 1..=2);
    client.heard();
    client.vanish();
    let client = house.connect(Offer { receive_maximum: 1, ..lasting("c") });
    assert_eq!(client.payloads(), ["1"]);
    client.puback(2);
    assert_eq!(client.session().owed(), 2);
}

#[test]
fn the_time_a_message_has_waited_is_taken_off_its_expiry() {
    let house = House::new();
    let client = house.lasting("c");
    client.listen("t", ExactlyOnce);
    client.vanish();
    house.publish(&expiring("t", AtLeastOnce, 10));
    house.publish(&expiring("t", AtLeastOnce, 5));
    house.publish(&expiring("t", ExactlyOnce, 20));
    house.pass(5);
    let client = house.lasting("c");
    assert_eq!(client.told(), ["t q1 #1 x expires:5", "t q2 #3 x expires:15"], "[MQTT-3.3.2-5], [MQTT-3.3.2-6]");
    assert_eq!(client.session().owed(), 2);
    assert_eq!(house.shelf.borrow().messages.len(), 2, "what has expired is not kept either");
}

#[test]
fn what_waits_behind_a_slow_client_expires_too() {
    let house = House::new();
    let client = house.connect(Offer { receive_maximum: 1, ..offer("c") });
    client.listen("t", AtLeastOnce);
    house.publish(&expiring("t", AtLeastOnce, 3));
    house.publish(&expiring("t", AtLeastOnce, 3));
    house.publish(&expiring("t", AtLeastOnce, 9));
    assert_eq!(client.told(), ["t q1 #1 x expires:3"]);
    house.pass(4);
    client.puback(1);
    assert_eq!(client.told(), ["t q1 #3 x expires:5"]);
}

#[test]
fn what_was_sent_before_it_expired_is_sent_again() {
    let house = House::new();
    let client = house.lasting("c");
    client.listen("t", ExactlyOnce);
    house.publish(&expiring("t", ExactlyOnce, 3));
    client.heard();
    client.vanish();
    house.pass(9);
    let client = house.lasting("c");
    assert_eq!(client.told(), ["t q2 #1 dup x expires:0"], "the client may be in the midst of it [MQTT-4.4.0-1]");
}

#[test]
fn topics_get_aliases_as_long_as_there_are_any() {
    let house = House::new();
    let client = house.connect(Offer { topic_alias_maximum: 2, ..lasting("c") });
    client.listen("#", AtLeastOnce);
    for topic in ["a", "b", "c", "a", "b", "c"] {
        house.publish(&said(topic, AtMostOnce, ""));
    }
    let expected = ["a q0  alias:1", "b q0  alias:2", "c q0 ", "- q0  alias:1", "- q0  alias:2", "c q0 "];
    assert_eq!(client.told(), expected, "[MQTT-3.1.2-26]");
    client.vanish();
    let client = house.connect(Offer { topic_alias_maximum: 1, ..lasting("c") });
    house.publish(&said("a", AtLeastOnce, ""));
    assert_eq!(client.told(), ["a q1 #1  alias:1"], "an alias ends with its connection [MQTT-3.3.2-7]");
}

#[test]
fn there_are_no_more_aliases_than_the_broker_likes_nor_any_in_3_1_1() {
    let house = House::with(broker::Settings { topic_alias_maximum: 1, ..broker::Settings::default() });
    for (version, expected) in [(Version::V5, ["a q0  alias:1", "b q0 "]), (Version::V311, ["a q0 ", "b q0 "])] {
        let maximum = if version == Version::V5 { u16::MAX } else { 0 };
        let client = house.connect(Offer { topic_alias_maximum: maximum, version, ..offer("c") });
        client.listen("#", AtMostOnce);
        house.publish(&said("a", AtMostOnce, ""));
        house.publish(&said("b", AtMostOnce, ""));
        assert_eq!(client.told(), expected);
    }
}

#[test]
fn mqtt_3_1_1_gets_the_message_without_what_it_does_not_know() {
    let house = House::new();
    for offer in [offer("c"), lasting("c")] {
        let client = house.connect(Offer { version: Version::V311, ..offer });
        client.listen_as(Subscription::new(Filter::try_from("t").unwrap(), ExactlyOnce), Some(4));
        house.publish(&expiring("t", ExactlyOnce, 60));
        assert_eq!(client.told(), ["t q2 #1 x"]);
    }
}

#[test]
fn properties_go_on_unaltered() {
    let text = |text| mqtt::Text::try_from(text).unwrap();
    let properties = PublishProperties {
        payload_format_indicator: Some(true),
        content_type: Some(text("text/plain")),
        response_topic: Some(mqtt::Topic::try_from("answers").unwrap()),
        correlation_data: Some(mqtt::Binary::new(&b"7"[..]).unwrap()),
        user_properties: vec![(text("b"), text("1")), (text("a"), text("2")), (text("b"), text("3"))],
        ..PublishProperties::default()
    };
    let message = mqtt::Publish { properties: Some(Box::new(properties.clone())), ..said("t", AtLeastOnce, "x") };
    let house = House::new();
    let ids = vec![SubscriptionId::new(4).unwrap()];
    for (subscription, ids) in [(None, vec![]), (Some(4), ids)] {
        let client = house.connect(Offer { clean_start: true, ..lasting("c") });
        client.listen_as(Subscription::new(Filter::try_from("t").unwrap(), AtLeastOnce), subscription);
        let expected = PublishProperties { subscription_identifiers: ids, ..properties.clone() };
        house.publish(&message);
        let mut heard = client.heard();
        // The second one comes by way of the shelf.
        client.vanish();
        house.publish(&message);
        heard.extend(house.lasting("c").heard());
        assert_eq!(heard.len(), 3, "one of them twice");
        for packet in heard {
            let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
            assert_eq!(publish.properties.as_deref(), Some(&expected), "[MQTT-3.3.2-17]");
        }
    }
}

#[test]
fn the_door_is_woken_once_for_what_it_has_not_looked_at() {
    let house = House::new();
    let client = house.client("c");
    client.listen("t", AtMostOnce);
    assert!(client.link.take_outgoing().is_empty());
    for _ in 0..3 {
        house.publish(&said("t", AtMostOnce, "x"));
    }
    assert_eq!(client.woken(), 1);
    assert_eq!(client.payloads().len(), 3);
    client.link.attend();
    house.publish(&said("t", AtMostOnce, "x"));
    assert_eq!(client.woken(), 0, "it looks anyway");
    assert_eq!(client.payloads().len(), 1);
    assert!(client.link.take_outgoing().is_empty());
    client.link.close(Closed::Expired);
    assert_eq!(client.woken(), 1);
}
