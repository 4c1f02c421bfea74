//! Shared subscriptions: who of a group gets a message, and who gets it instead when that one leaves.

use std::sync::atomic::Ordering;

use broker::{Closed, Offer};
use mqtt::{Filter, QoS, Subscription};

use crate::house::{Client, House, expiring, lasting, offer, said};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

const GROUP: &str = "$share/g/t";

fn counts<const N: usize>(members: &[Client<'_>; N]) -> [usize; N] {
    members.each_ref().map(|member| member.payloads().len())
}

#[test]
fn each_message_goes_to_one_member_in_turn() {
    for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
        let house = House::new();
        let members = [offer("a"), lasting("b"), offer("c")].map(|offer| house.connect(offer));
        for member in &members {
            member.listen(GROUP, qos);
        }
        assert_eq!(house.publish_numbers(qos, 1..=9), 9);
        assert_eq!(counts(&members), [3, 3, 3], "{qos:?} [MQTT-4.8.2-4]");
    }
}

#[test]
fn groups_and_plain_subscriptions_each_get_a_copy() {
    let house = House::new();
    let both = house.client("a");
    both.listen("t", AtMostOnce);
    both.listen(GROUP, AtMostOnce);
    both.listen("$share/other/+", AtMostOnce);
    assert_eq!(house.publish(&said("t", AtMostOnce, "x")), 3);
    assert_eq!(both.payloads().len(), 3);
}

#[test]
fn a_member_has_its_own_qos_flags_and_identifier() {
    let house = House::new();
    let filter = || Subscription::new(Filter::try_from(GROUP).unwrap(), AtLeastOnce);
    let members = ["a", "b"].map(|name| house.client(name));
    members[0].listen_as(Subscription { retain_as_published: true, ..filter() }, Some(1));
    members[1].listen_as(Subscription { qos: AtMostOnce, ..filter() }, None);
    for _ in 0..2 {
        house.publish(&mqtt::Publish { retain: true, ..said("t", ExactlyOnce, "x") });
    }
    let told = members.map(|member| member.told());
    assert_eq!(told, [["t q1 #1 retain x id:1"], ["t q0 x"]]);
}

#[test]
fn members_that_are_connected_go_before_those_whose_sessions_wait() {
    let house = House::new();
    let [here, away] = ["a", "b"].map(|name| house.lasting(name));
    here.listen(GROUP, AtLeastOnce);
    away.listen(GROUP, AtLeastOnce);
    away.vanish();
    house.publish_numbers(AtLeastOnce, 1..=4);
    assert_eq!(here.payloads().len(), 4);
    here.vanish();
    house.publish_numbers(AtLeastOnce, 5..=8);
    let owed = [&here, &away].map(|member| member.session().owed());
    assert_eq!(owed, [4 + 2, 2], "with nobody there it waits with either");
    assert_eq!(house.publish(&said("t", AtMostOnce, "x")), 0, "QoS 0 does not wait");
}

#[test]
fn a_member_that_may_not_have_a_message_or_is_closing_is_passed_over() {
    let house = House::new();
    let [first, second] = ["a", "b"].map(|name| house.client(name));
    first.listen(GROUP, AtMostOnce);
    second.listen(GROUP, AtMostOnce);
    first.door.shut.store(true, Ordering::Relaxed);
    assert_eq!(house.publish_numbers(AtMostOnce, 1..=4), 4);
    assert_eq!(second.payloads().len(), 4);
    first.door.shut.store(false, Ordering::Relaxed);
    second.link.close(Closed::TooSlow);
    assert_eq!(house.publish_numbers(AtMostOnce, 1..=4), 4);
    assert_eq!(first.payloads().len(), 4);
}

/// A member with messages in flight and waiting, and another who can take over.
fn leaving(house: &House, qos: QoS) -> [Client<'_>; 2] {
    let first = house.connect(Offer { receive_maximum: 2, ..offer("a") });
    first.listen_as(Subscription::new(Filter::try_from(GROUP).unwrap(), qos), Some(5));
    house.publish_numbers(qos, 1..=4);
    assert_eq!(first.payloads(), ["1", "2"]);
    let second = house.client("b");
    second.listen(GROUP, qos);
    [first, second]
}

#[test]
fn what_a_member_has_not_acknowledged_goes_to_another_when_it_leaves() {
    let house = House::new();
    let [first, second] = leaving(&house, AtLeastOnce);
    first.puback(1);
    first.vanish();
    assert_eq!(second.told(), ["t q1 #1 2", "t q1 #2 3", "t q1 #3 4"], "in their order and as if they were new");
}

#[test]
fn what_a_member_has_not_acknowledged_goes_to_another_when_its_client_comes_anew() {
    let house = House::new();
    let [first, second] = leaving(&house, AtLeastOnce);
    let (_, attached) = house.attach(offer("a"));
    house.finish(attached.ended.as_ref());
    assert_eq!(second.payloads(), ["1", "2", "3", "4"], "[MQTT-4.8.2-5]");
    first.vanish();
    assert!(second.payloads().is_empty(), "only once");
}

#[test]
fn qos_2_in_flight_is_never_given_to_another_member() {
    let house = House::new();
    let [first, second] = leaving(&house, ExactlyOnce);
    first.pubrec(1);
    assert_eq!(first.told(), ["PUBREL 1"]);
    first.vanish();
    assert_eq!(second.told(), ["t q2 #1 3", "t q2 #2 4"], "only what was never sent [MQTT-4.8.2-6]");
}

#[test]
fn qos_2_in_flight_goes_to_the_same_member_when_it_comes_back() {
    let house = House::new();
    let [first, second] = ["a", "b"].map(|name| house.lasting(name));
    first.listen(GROUP, ExactlyOnce);
    house.publish_numbers(ExactlyOnce, 1..=2);
    second.listen(GROUP, ExactlyOnce);
    assert_eq!(first.payloads().len(), 2);
    first.vanish();
    assert!(second.payloads().is_empty());
    assert_eq!(house.lasting("a").told(), ["t q2 #1 dup 1", "t q2 #2 dup 2"]);
}

#[test]
fn a_message_that_changes_hands_keeps_its_age() {
    let house = House::new();
    let [first, second] = ["a", "b"].map(|name| house.client(name));
    first.listen(GROUP, AtLeastOnce);
    house.publish(&expiring("t", AtLeastOnce, 10));
    house.publish(&expiring("t", AtLeastOnce, 4));
    house.publish(&said("t", AtLeastOnce, "y"));
    second.listen(GROUP, AtLeastOnce);
    house.pass(4);
    first.vanish();
    assert_eq!(second.told(), ["t q1 #1 x expires:6", "t q1 #2 y"], "[MQTT-3.3.2-6]");
}

#[test]
fn with_nobody_left_nothing_is_given_away() {
    let house = House::new();
    let [first, second] = leaving(&house, AtLeastOnce);
    second.vanish();
    first.vanish();
    assert_eq!(house.publish(&said("t", AtLeastOnce, "x")), 0);
    assert!(house.broker.route("t").is_empty());
}
