//! The protocol between a broker and whoever stores for it: what is to be written before a message goes out, what once it
//! is acknowledged, and what is put back after a restart.

use std::convert::Infallible;

use broker::{Broker, Held, Offer, Restored, Session, Settings, Settled, Step};
use mqtt::{Ack, Filter, Packet, QoS, SubscriptionId};

use crate::house::{House, expiring, id, inbound, lasting, offer, said, will};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

#[test]
fn only_what_a_stored_session_is_owed_goes_by_way_of_a_plan() {
    // The session, the QoS it subscribed with, the QoS published, whether something must be stored.
    let cases = [
        (offer("c"), ExactlyOnce, ExactlyOnce, false),
        (lasting("c"), AtMostOnce, ExactlyOnce, false),
        (lasting("c"), ExactlyOnce, AtMostOnce, false),
        (lasting("c"), AtLeastOnce, AtLeastOnce, true),
        (lasting("c"), AtLeastOnce, ExactlyOnce, true),
    ];
    for (offer, granted, published, expected) in cases {
        let house = House::new();
        let client = house.connect(offer);
        client.listen("t", granted);
        let (route, message) = (house.broker.route("t"), said("t", published, "x"));
        let delivered = house.broker.deliver(&route, &message, None, 0);
        assert_eq!(delivered, (!expected).then_some(1), "{granted:?} {published:?}");
        assert_eq!(house.broker.plan(&route, &message, None).stores(), expected, "{granted:?} {published:?}");
    }
}

#[test]
fn a_plan_says_in_which_form_each_session_gets_a_message() {
    let house = House::new();
    let [stored, other] = [house.lasting("a"), house.client("b")];
    let filter = mqtt::Subscription::new(Filter::try_from("t").unwrap(), ExactlyOnce);
    stored.listen_as(filter.clone(), Some(4));
    other.listen_as(mqtt::Subscription { retain_as_published: true, qos: AtMostOnce, ..filter }, None);
    let message = mqtt::Publish { retain: true, ..said("t", AtLeastOnce, "x") };
    let plan = house.broker.plan(&house.broker.route("t"), &message, None);
    let ids = SubscriptionId::new(4).into_iter().collect::<Vec<_>>();
    let mut planned: Vec<_> = plan
        .recipients
        .iter()
        .map(|one| (one.session.client_id(), one.qos, one.retain, one.ids.clone(), one.seq, one.full))
        .collect();
    planned.sort_unstable_by_key(|one| one.0);
    let expected = [("a", AtLeastOnce, false, ids, Some(0), false), ("b", AtMostOnce, true, vec![], None, false)];
    assert_eq!(planned, expected);
    assert!(stored.payloads().is_empty() && other.payloads().is_empty(), "nothing is sent before it is carried out");
    assert_eq!(house.broker.carry_out(&plan, &message, 0), 2);
    assert_eq!((stored.told(), other.told()), (vec!["t q1 #1 x id:4".into()], vec!["t q0 retain x".into()]));
}

#[test]
fn a_plan_that_comes_to_nothing_leaves_a_gap_and_no_harm() {
    let house = House::new();
    let client = house.lasting("c");
    client.listen("t", AtLeastOnce);
    drop(house.broker.plan(&house.broker.route("t"), &said("t", AtLeastOnce, "lost"), None));
    house.publish(&said("t", AtLeastOnce, "1"));
    assert_eq!(client.told(), ["t q1 #2 1"]);
    client.puback(2);
    client.puback(1);
    assert_eq!(client.session().owed(), 0);
}

#[test]
fn a_plan_for_a_session_that_ended_meanwhile_is_carried_out_for_the_others() {
    let house = House::new();
    let [gone, here] = ["a", "b"].map(|name| house.lasting(name));
    gone.listen("t", AtLeastOnce);
    here.listen("t", AtLeastOnce);
    let message = said("t", AtLeastOnce, "x");
    let plan = house.broker.plan(&house.broker.route("t"), &message, None);
    house.broker.discard(gone.session(), 0);
    assert_eq!(house.carry_out(&plan, &message), 1);
    assert_eq!((gone.payloads(), here.payloads()), (vec![], vec!["x".into()]));
}

#[test]
fn a_message_for_one_session_needs_no_subscription() {
    let house = House::new();
    for (offer, seq) in [(offer("a"), None), (lasting("b"), Some(0))] {
        let client = house.connect(offer);
        let message = said("t", ExactlyOnce, "x");
        let plan = house.broker.plan_for(client.session(), &message, (AtLeastOnce, true, SubscriptionId::new(2)));
        assert_eq!(plan.recipients[0].seq, seq);
        house.carry_out(&plan, &message);
        assert_eq!(client.told(), ["t q1 #1 retain x id:2"]);
    }
}

#[test]
fn a_route_is_current_until_a_subscription_changes() {
    let house = House::new();
    let client = house.client("c");
    let route = house.broker.route("t");
    assert!(route.is_empty() && house.broker.is_current(&route));
    client.listen("t", AtMostOnce);
    assert!(!house.broker.is_current(&route));
    let route = house.broker.route("t");
    assert!(!route.is_empty() && house.broker.is_current(&route));
    client.vanish();
    assert!(!house.broker.is_current(&route), "the end of a session takes its subscriptions off");
    assert_eq!(house.broker.deliver(&route, &said("t", AtMostOnce, "x"), None, 0), Some(0));
}

#[test]
fn a_release_is_sent_only_once_it_is_written_down() {
    let house = House::new();
    let client = house.lasting("c");
    client.listen("t", ExactlyOnce);
    house.publish_numbers(ExactlyOnce, 1..=2);
    client.heard();
    let ack = |number| Packet::PubRec(Ack::success(id(number)));
    assert!(matches!(client.link.receive(ack(1), 0), Step::Settle));
    assert!(matches!(client.link.receive(ack(2), 0), Step::Nothing), "somebody is on the way already");
    assert!(client.told().is_empty());
    let settled = client.session().take_settled();
    assert_eq!(settled, [Settled::Released(0), Settled::Released(1)]);
    client.session().has_settled(&settled);
    assert_eq!(client.told(), ["PUBREL 1", "PUBREL 2"]);
    assert!(matches!(client.link.receive(Packet::PubComp(Ack::success(id(1))), 0), Step::Settle));
    assert_eq!(client.session().take_settled(), [Settled::Done(0)]);
}

#[test]
fn what_could_not_be_written_is_written_the_next_time_and_before_anything_else() {
    let house = House::new();
    let client = house.lasting("c");
    client.listen("t", ExactlyOnce);
    house.publish_numbers(ExactlyOnce, 1..=2);
    client.heard();
    let step = client.link.receive(Packet::PubRec(Ack::success(id(1))), 0);
    assert!(matches!(step, Step::Settle));
    let settled = client.session().take_settled();
    let step = client.link.receive(Packet::PubRec(Ack::success(id(2))), 0);
    assert!(matches!(step, Step::Settle));
    client.session().has_not_settled(settled);
    assert!(client.session().is_to_be_settled(), "it is on nobody's way any more");
    assert_eq!(client.session().take_settled(), [Settled::Released(0), Settled::Released(1)]);
}

#[test]
fn what_one_packet_settles_another_need_not() {
    let house = House::new();
    let client = house.lasting("c");
    client.listen("t", AtLeastOnce);
    house.publish_numbers(AtLeastOnce, 1..=3);
    client.heard();
    assert!(matches!(client.link.receive(Packet::PubAck(Ack::success(id(1))), 0), Step::Settle));
    assert!(!client.session().is_to_be_settled());
    client.vanish();
    house.settle(client.session());
    assert_eq!(house.shelf.borrow().of(1), [1, 2]);
    assert!(!client.session().is_to_be_settled());
}

#[test]
fn a_session_that_is_away_fetches_what_it_is_owed_when_its_client_comes() {
    let house = House::new();
    let client = house.lasting("c");
    client.listen("t", ExactlyOnce);
    client.vanish();
    house.publish_numbers(ExactlyOnce, 1..=600);
    let client = house.connect(Offer { receive_maximum: 400, ..lasting("c") });
    for (hundred, first) in (1..=600).step_by(100).enumerate() {
        let numbers: Vec<String> = (first..first + 100).map(|number: u16| number.to_string()).collect();
        assert_eq!(client.payloads(), numbers, "{hundred}: as many as the broker has in flight");
        for number in first..first + 100 {
            client.pubrec(number);
            assert_eq!(client.told(), [format!("PUBREL {number}")]);
        }
        for number in first..first + 100 {
            client.pubcomp(number);
        }
    }
    assert_eq!(client.session().owed(), 0);
}

#[test]
fn a_fetch_that_fails_is_told_and_can_be_made_again() {
    let house = House::new();
    let client = house.lasting("c");
    client.listen("t", AtLeastOnce);
    client.vanish();
    house.publish(&said("t", AtLeastOnce, "x"));
    let client = house.lasting("c");
    assert_eq!(client.session().refill(0, |_| Err("the store is away")), Err("the store is away"));
    assert_eq!(client.payloads(), ["x"]);
}

#[test]
fn what_is_not_found_in_the_store_is_not_owed() {
    let house = House::new();
    let client = house.lasting("c");
    client.listen("t", AtLeastOnce);
    client.vanish();
    house.publish_numbers(AtLeastOnce, 1..=3);
    house.shelf.borrow_mut().messages.remove(&(1, 1));
    let client = house.lasting("c");
    assert_eq!(client.told(), ["t q1 #1 1", "t q1 #3 3"]);
    assert_eq!(client.session().owed(), 2);
}

/// A broker after a restart, with a session that was owed these messages.
fn restarted(house: House, client_id: &str, messages: &[Restored]) -> House {
    let mut after = house;
    after.broker = Broker::new(Settings::default());
    let session = after.broker.restore(client_id, 1, 60, after.now.get(), None);
    for message in messages {
        session.restore(*message);
    }
    after
}

fn restored(seq: u64, qos: QoS, released: bool) -> Restored {
    Restored { seq, qos, size: if released { 0 } else { 50 }, released }
}

#[test]
fn after_a_restart_everything_is_where_it_was() {
    let house = House::new();
    let client = house.lasting("c");
    client.give(inbound(ExactlyOnce, 9));
    client.listen("t", ExactlyOnce);
    for (qos, payload) in [(AtLeastOnce, "1"), (ExactlyOnce, "2"), (ExactlyOnce, "3")] {
        house.publish(&said("t", qos, payload));
    }
    client.heard();
    client.pubrec(2);
    drop(client);
    let messages = [restored(0, AtLeastOnce, false), restored(1, ExactlyOnce, true), restored(2, ExactlyOnce, false)];
    let house = restarted(house, "c", &messages);
    let session = house.broker.session("c").unwrap();
    session.keep_received(id(9));
    let (client, attached) = house.attach(lasting("c"));
    assert!(attached.present);
    assert_eq!(client.told(), ["t q1 #1 dup 1", "PUBREL 2", "t q2 #3 dup 3"]);
    client.listen("t", ExactlyOnce);
    client.give(inbound(ExactlyOnce, 9));
    assert_eq!(client.told(), ["PUBREC 9"], "it was received before");
    house.publish(&said("t", ExactlyOnce, "4"));
    assert_eq!(client.told(), ["t q2 #4 4"], "the next number");
}

/// What a client is told that comes some seconds after a restart.
fn told_after(seconds: i64, qos: QoS, message: Held) -> Vec<String> {
    let house = House::new();
    house.shelf.borrow_mut().messages.insert((1, 0), Some(message));
    let house = restarted(house, "c", &[restored(0, qos, false)]);
    house.pass(seconds);
    house.lasting("c").told()
}

#[test]
fn a_message_expires_while_the_server_is_down() {
    for qos in [AtLeastOnce, ExactlyOnce] {
        let held = || Held { message: expiring("t", qos, 10), arrived: 0, shared: None };
        let number = qos.number();
        assert_eq!(told_after(4, qos, held()), [format!("t q{number} #1 dup x expires:6")]);
    }
    let held = Held { message: expiring("t", AtLeastOnce, 10), arrived: 0, shared: None };
    assert!(told_after(10, AtLeastOnce, held).is_empty(), "[MQTT-3.3.2-5]");
    let held = Held { message: expiring("t", ExactlyOnce, 10), arrived: 0, shared: None };
    let told = told_after(10, ExactlyOnce, held);
    assert_eq!(told, ["t q2 #1 dup x expires:0"], "the client may be in the midst of it [MQTT-4.3.3-7]");
}

#[test]
fn a_restored_session_has_its_will_and_its_end() {
    let house = House::new();
    let key = 7;
    let session = house.broker.restore("c", key, 60, 0, Some((will(Some(10)), 10_000)));
    assert_eq!((session.stored(), session.expiry()), (Some(key), (60, Some(0))));
    house.pass(10);
    let due = house.broker.due(house.now.get());
    assert!(due.len() == 1 && due[0].will.is_some() && !due[0].ended);
    house.pass(50);
    let due = house.broker.due(house.now.get());
    assert!(due.len() == 1 && due[0].will.is_none() && due[0].ended);
    assert!(house.broker.session("c").is_none());
}

#[test]
fn refilling_a_session_that_is_not_stored_fetches_nothing() {
    let house = House::new();
    let client = house.client("c");
    let refill = |session: &Session| session.refill(0, |_| -> Result<_, Infallible> { panic!("nothing to fetch") });
    assert_eq!(refill(client.session()), Ok(()));
    assert!(client.told().is_empty());
}
