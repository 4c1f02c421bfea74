//! What comes from a client: what it is answered, in which order, and what it may not do.

use broker::{Closed, Settings, Step};
use mqtt::{Ack, Packet, Publish, PublishProperties, QoS, ReasonCode, SubscriptionId, TopicAlias, Version};

use crate::house::{Client, House, id, inbound, lasting, offer, said};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

/// Whether a packet asks for something to be published.
fn publishes(client: &Client<'_>, packet: Packet) -> bool {
    matches!(client.link.receive(packet, 0), Step::Publish(_))
}

#[test]
fn qos_2_is_taken_once_however_often_it_is_repeated() {
    for offer in [offer("c"), lasting("c")] {
        let house = House::new();
        let ear = house.client("ear");
        ear.listen("t", AtMostOnce);
        let client = house.connect(offer);
        client.give(inbound(ExactlyOnce, 7));
        client.give(inbound(ExactlyOnce, 7));
        assert_eq!(client.told(), ["PUBREC 7", "PUBREC 7"], "[MQTT-4.3.3-10]");
        assert_eq!(ear.payloads().len(), 1);
        client.pubrel(7);
        client.pubrel(7);
        assert_eq!(client.told(), ["PUBCOMP 7", "PUBCOMP 7 92"], "[MQTT-4.3.3-11]");
        client.give(inbound(ExactlyOnce, 7));
        assert_eq!(ear.payloads().len(), 1, "the identifier is free again [MQTT-4.3.3-12]");
    }
}

#[test]
fn qos_2_is_taken_once_over_several_connections() {
    let house = House::new();
    let ear = house.client("ear");
    ear.listen("t", AtMostOnce);
    let client = house.lasting("c");
    client.give(inbound(ExactlyOnce, 7));
    client.vanish();
    let client = house.lasting("c");
    client.give(inbound(ExactlyOnce, 7));
    assert_eq!(client.told(), ["PUBREC 7"]);
    client.pubrel(7);
    client.vanish();
    let client = house.lasting("c");
    client.pubrel(7);
    assert_eq!(client.told(), ["PUBCOMP 7 92"]);
    assert_eq!(ear.payloads().len(), 1);
    assert!(house.shelf.borrow().received.is_empty());
}

#[test]
fn a_repetition_of_what_is_not_answered_yet_is_not_published() {
    for qos in [AtLeastOnce, ExactlyOnce] {
        let house = House::new();
        let client = house.client("c");
        assert!(publishes(&client, inbound(AtLeastOnce, 1)));
        assert!(publishes(&client, inbound(qos, 2)));
        assert!(!publishes(&client, inbound(qos, 2)), "it is being written");
        client.link.acknowledge(Ack::success(id(2)));
        assert!(!publishes(&client, inbound(qos, 2)), "it waits for the answer to the first");
        client.link.acknowledge(Ack::success(id(1)));
        let ack = if qos == AtLeastOnce { "PUBACK 2" } else { "PUBREC 2" };
        assert_eq!(client.told(), ["PUBACK 1", ack]);
    }
}

#[test]
fn what_was_taken_is_known_on_the_next_connection_though_an_earlier_message_was_never_answered() {
    let house = House::new();
    let client = house.lasting("c");
    assert!(publishes(&client, inbound(AtLeastOnce, 1)));
    assert!(publishes(&client, inbound(ExactlyOnce, 2)));
    client.link.close(Closed::ServerFault("the first could not be written".to_owned()));
    client.link.acknowledge(Ack::success(id(2)));
    client.vanish();
    let client = house.lasting("c");
    assert!(!publishes(&client, inbound(ExactlyOnce, 2)));
    assert_eq!(client.told(), ["PUBREC 2"]);
}

#[test]
fn a_qos_2_message_that_was_refused_may_come_again() {
    let house = House::new();
    let client = house.client("c");
    assert!(publishes(&client, inbound(ExactlyOnce, 7)));
    client.link.acknowledge(Ack::new(id(7), ReasonCode::NotAuthorized));
    assert_eq!(client.told(), ["PUBREC 7 87"]);
    assert!(publishes(&client, inbound(ExactlyOnce, 7)), "[MQTT-4.3.3-9]");
}

#[test]
fn acknowledgements_leave_in_the_order_of_their_messages() {
    let house = House::new();
    let client = house.client("c");
    for packet in [inbound(AtLeastOnce, 7), inbound(ExactlyOnce, 5), inbound(AtLeastOnce, 3)] {
        assert!(publishes(&client, packet));
    }
    client.link.acknowledge(Ack::success(id(3)));
    client.link.acknowledge(Ack::success(id(5)));
    assert!(client.told().is_empty(), "7 came first [MQTT-4.6.0-2]");
    client.link.acknowledge(Ack::new(id(7), ReasonCode::NotAuthorized));
    assert_eq!(client.told(), ["PUBACK 7 87", "PUBREC 5", "PUBACK 3"], "[MQTT-4.6.0-3]");
    client.link.acknowledge(Ack::success(id(7)));
    client.link.acknowledge(Ack::success(id(9)));
    assert!(client.told().is_empty(), "what is not owed is not said");
}

#[test]
fn a_stored_session_completes_only_when_it_is_told_to() {
    let house = House::new();
    let client = house.lasting("c");
    client.give(inbound(ExactlyOnce, 7));
    client.heard();
    let step = client.link.receive(Packet::PubRel(Ack::success(id(7))), 0);
    assert!(matches!(step, Step::Release(packet_id) if packet_id == id(7)), "{step:?}");
    assert!(client.told().is_empty());
    client.link.complete(id(7));
    assert_eq!(client.told(), ["PUBCOMP 7"]);
}

#[test]
fn as_many_messages_may_be_unacknowledged_as_the_receive_maximum_says() {
    let settings = Settings { receive_maximum: 3, ..Settings::default() };
    let house = House::with(settings);
    let client = house.client("c");
    client.give(inbound(ExactlyOnce, 1));
    client.give(inbound(ExactlyOnce, 2));
    for number in 3..=9 {
        client.give(inbound(AtLeastOnce, number));
    }
    client.give(inbound(ExactlyOnce, 10));
    assert_eq!(client.closed(), None);
    client.give(inbound(AtLeastOnce, 11));
    assert_eq!(client.closed().and_then(|closed| closed.reason()), Some(ReasonCode::ReceiveMaximumExceeded));
}

#[test]
fn a_refused_or_completed_message_makes_room_under_the_receive_maximum() {
    let house = House::with(Settings { receive_maximum: 1, ..Settings::default() });
    for offer in [offer("c"), lasting("c")] {
        let client = house.connect(offer);
        for _ in 0..3 {
            client.give(inbound(ExactlyOnce, 1));
            client.pubrel(1);
            assert!(publishes(&client, inbound(ExactlyOnce, 2)));
            client.link.acknowledge(Ack::new(id(2), ReasonCode::NotAuthorized));
        }
        assert_eq!(client.closed(), None);
    }
}

#[test]
fn the_receive_maximum_begins_anew_with_each_connection() {
    let house = House::with(Settings { receive_maximum: 2, ..Settings::default() });
    let client = house.lasting("c");
    client.give(inbound(ExactlyOnce, 1));
    client.give(inbound(ExactlyOnce, 2));
    client.vanish();
    let client = house.lasting("c");
    // PUBRELs are repeated first and are not counted (MQTT 5, 4.9); their answers may take a while.
    for number in [1, 2] {
        let step = client.link.receive(Packet::PubRel(Ack::success(id(number))), 0);
        assert!(matches!(step, Step::Release(_)));
    }
    for number in [3, 4] {
        assert!(publishes(&client, inbound(ExactlyOnce, number)), "{:?}", client.closed());
    }
    assert!(!publishes(&client, inbound(ExactlyOnce, 5)));
    assert!(client.link.is_closed());
}

#[test]
fn what_is_completed_of_an_earlier_connection_makes_room_though_it_was_not_counted() {
    let house = House::with(Settings { receive_maximum: 1, ..Settings::default() });
    let client = house.lasting("c");
    client.give(inbound(ExactlyOnce, 1));
    client.vanish();
    let client = house.lasting("c");
    // 9 was completed before, but the client did not hear of it.
    for (number, reason) in [(1, ""), (9, " 92")] {
        client.pubrel(number);
        assert_eq!(client.told(), [format!("PUBCOMP {number}{reason}")]);
    }
    client.give(inbound(ExactlyOnce, 2));
    client.give(inbound(ExactlyOnce, 3));
    assert_eq!(client.closed(), None, "the client counts each PUBCOMP (MQTT 5, 4.9)");
}

#[test]
fn mqtt_3_1_1_knows_no_receive_maximum() {
    let house = House::with(Settings { receive_maximum: 1, ..Settings::default() });
    let client = house.connect(broker::Offer { version: Version::V311, ..offer("c") });
    for number in 1..=10 {
        client.give(inbound(ExactlyOnce, number));
    }
    assert_eq!((client.told().len(), client.closed()), (10, None));
}

#[test]
fn what_the_protocol_forbids_closes_with_its_reason() {
    let with = |properties: PublishProperties, message: Publish| {
        vec![Packet::Publish(Publish { properties: Some(Box::new(properties)), ..message })]
    };
    let alias = |number| {
        let properties =
            PublishProperties { topic_alias: Some(TopicAlias(id(number))), ..PublishProperties::default() };
        with(properties, Publish { topic: None, ..said("t", AtMostOnce, "") })
    };
    let subscription_identifiers = vec![SubscriptionId::new(1).unwrap()];
    let identified = PublishProperties { subscription_identifiers, ..PublishProperties::default() };
    let mut disconnect = mqtt::Disconnect::new(ReasonCode::Success);
    disconnect.properties.session_expiry_interval = Some(5);
    let cases = [
        (vec![Packet::PingResp], ReasonCode::ProtocolError),
        (vec![Packet::PubAck(Ack::success(id(1))), Packet::PingResp], ReasonCode::ProtocolError),
        ((1..=101).map(|number| inbound(AtLeastOnce, number)).collect(), ReasonCode::ReceiveMaximumExceeded),
        (alias(1), ReasonCode::ProtocolError),
        (alias(8), ReasonCode::ProtocolError),
        (alias(9), ReasonCode::TopicAliasInvalid),
        (vec![Packet::Publish(Publish { topic: None, ..said("t", AtMostOnce, "") })], ReasonCode::ProtocolError),
        (with(identified, said("t", AtMostOnce, "")), ReasonCode::ProtocolError),
        (vec![Packet::Disconnect(disconnect)], ReasonCode::ProtocolError),
    ];
    for (packets, expected) in cases {
        let house = House::new();
        let client = house.client("c");
        for packet in packets {
            client.link.receive(packet, 0);
        }
        assert_eq!(client.closed().and_then(|closed| closed.reason()), Some(expected));
        let told = client.heard().into_iter().any(|p| matches!(p, Packet::Disconnect(d) if d.reason == expected));
        assert!(told, "an MQTT 5 client learns {expected:?}");
    }
}

#[test]
fn nothing_follows_a_disconnect() {
    let house = House::new();
    let client = house.client("c");
    client.listen("t", AtMostOnce);
    assert!(publishes(&client, inbound(AtLeastOnce, 1)));
    client.link.close(Closed::Forbidden("its policies changed".to_owned()));
    client.link.acknowledge(Ack::success(id(1)));
    client.link.send(Packet::PingResp);
    house.publish(&said("t", AtMostOnce, "x"));
    client.link.close(Closed::TooSlow);
    assert_eq!(client.told(), ["DISCONNECT 87"], "[MQTT-3.14.4-1]: and the first reason wins");
}

#[test]
fn an_alias_stands_for_the_topic_it_was_given_last() {
    let house = House::new();
    let client = house.client("c");
    let properties = PublishProperties { topic_alias: Some(TopicAlias(id(8))), ..PublishProperties::default() };
    let defining = |topic| Publish { properties: Some(Box::new(properties.clone())), ..said(topic, AtMostOnce, "") };
    let using = Publish { topic: None, ..defining("t") };
    for (packet, topic) in [(defining("a"), "a"), (using.clone(), "a"), (defining("b"), "b"), (using, "b")] {
        let Step::Publish(publish) = client.link.receive(Packet::Publish(packet), 0) else { panic!("not a publish") };
        assert_eq!(publish.topic.unwrap().as_str(), topic, "[MQTT-3.3.2-12]");
        assert_eq!(publish.properties.unwrap().topic_alias, None, "it is of no use to anybody else");
    }
}

#[test]
fn a_ping_is_answered() {
    let house = House::new();
    let client = house.client("c");
    client.give(Packet::PingReq);
    assert_eq!(client.told(), ["PINGRESP"]);
}

#[test]
fn reason_strings_are_for_who_wants_them() {
    for (wanted, expected) in [(true, Some("no")), (false, None)] {
        let house = House::new();
        let client = house.connect(broker::Offer { problem_information: wanted, ..offer("c") });
        client.link.close(Closed::Throttled("no".to_owned()));
        let Some(Packet::Disconnect(disconnect)) = client.heard().into_iter().next() else { panic!("no DISCONNECT") };
        let told = disconnect.properties.reason_string.as_ref().map(mqtt::Text::as_str);
        assert_eq!(told, expected, "[MQTT-3.1.2-29]");
    }
}
