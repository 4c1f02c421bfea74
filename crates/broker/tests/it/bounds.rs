//! What a client that does not read or acknowledge can cost: never more than the bounds say.

use broker::{Closed, Offer, Settings};
use mqtt::{QoS, Text};

use crate::house::{Client, House, lasting, offer, said};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

/// How many of many messages a client is given.
fn taken(house: &House, qos: QoS, count: u32) -> usize {
    house.publish_numbers(qos, 0..count)
}

fn deaf(house: &House, offer: Offer, qos: QoS) -> Client<'_> {
    let client = house.connect(Offer { receive_maximum: 2, ..offer });
    client.listen("t", qos);
    client
}

#[test]
fn a_client_that_never_acknowledges_is_disconnected_before_it_costs_memory() {
    let by_count = Settings { queued_messages: 5, ..Settings::default() };
    // A message counts for its payload, its topic and a little more.
    let by_bytes = Settings { queued_bytes: 5 * 50, ..Settings::default() };
    for settings in [by_count, by_bytes] {
        for qos in [AtLeastOnce, ExactlyOnce] {
            let house = House::with(settings.clone());
            let client = deaf(&house, offer("c"), qos);
            assert_eq!(taken(&house, qos, 10), 5);
            assert_eq!(client.closed(), Some(Closed::TooSlow));
            let last = client.told().pop();
            assert_eq!(last.as_deref(), Some("DISCONNECT 97"));
        }
    }
}

#[test]
fn user_properties_count_for_what_keeping_them_takes() {
    let pair = || (Text::try_from("k").unwrap(), Text::try_from("v").unwrap());
    let mut message = said("t", AtLeastOnce, "");
    message.properties.get_or_insert_default().user_properties = (0..1000).map(|_| pair()).collect();
    let house = House::with(Settings { queued_bytes: 250_000, ..Settings::default() });
    let client = deaf(&house, offer("c"), AtLeastOnce);
    // Each of them takes seven kilobytes on the wire, and hardly less than a hundred when it is kept.
    let taken = (0..10).filter(|_| house.publish(&message) == 1).count();
    assert_eq!((taken, client.closed()), (2, Some(Closed::TooSlow)));
}

#[test]
fn one_that_acknowledges_in_time_is_not() {
    let house = House::with(Settings { queued_messages: 5, ..Settings::default() });
    let client = deaf(&house, offer("c"), AtLeastOnce);
    for round in 0..20_u16 {
        assert_eq!(taken(&house, AtLeastOnce, 5), 5, "{round}");
        for number in 1..=5 {
            client.puback(round * 5 + number);
        }
    }
    assert_eq!((client.payloads().len(), client.closed(), client.session().owed()), (100, None, 0));
}

#[test]
fn a_stored_session_that_is_full_stays_and_gets_no_more() {
    let by_count = Settings { stored_messages: 3, ..Settings::default() };
    let by_bytes = Settings { stored_bytes: 3 * 50, ..Settings::default() };
    for settings in [by_count, by_bytes] {
        let house = House::with(settings);
        let client = deaf(&house, lasting("c"), AtLeastOnce);
        assert_eq!(taken(&house, AtLeastOnce, 10), 3);
        assert_eq!((client.closed(), client.session().owed()), (None, 3));
        client.vanish();
        let message = said("t", AtLeastOnce, "x");
        let plan = house.broker.plan(&house.broker.route("t"), &message, None);
        assert!(plan.recipients[0].full && !plan.stores(), "and that is told");
        let client = house.lasting("c");
        assert_eq!(client.payloads(), ["0", "1", "2"]);
        client.puback(1);
        assert_eq!(taken(&house, AtLeastOnce, 2), 1, "an acknowledgement makes room for one");
    }
}

#[test]
fn qos_0_to_a_client_that_does_not_read_is_dropped() {
    let house = House::with(Settings { outgoing_bytes: 50, ..Settings::default() });
    let client = house.client("c");
    client.listen("t", AtMostOnce);
    let count = taken(&house, AtMostOnce, 100);
    assert!((1..20).contains(&count), "{count}");
    assert_eq!((client.closed(), client.payloads().len()), (None, count));
    assert_eq!(taken(&house, AtMostOnce, 1), 1, "once it reads there is room again");
}

#[test]
fn qos_1_to_a_client_that_does_not_read_waits_until_it_does() {
    for offer in [offer("c"), lasting("c")] {
        let house = House::with(Settings { outgoing_bytes: 50, ..Settings::default() });
        let client = house.connect(offer);
        client.listen("t", AtLeastOnce);
        assert_eq!(taken(&house, AtLeastOnce, 40), 40);
        let first = client.link.take_outgoing().len();
        assert!((1..100).contains(&first), "{first} bytes");
        assert!(client.link.wants_more());
        client.link.want_more();
        let payloads = client.payloads();
        assert!(payloads.len() < 40);
        assert_eq!(payloads.last().map(String::as_str), Some("39"), "in order to the last");
    }
}

#[test]
fn all_clients_together_have_a_bound() {
    let settings = Settings { buffered_bytes: 1 << 20, ..Settings::default() };
    let house = House::with(settings);
    let payload = "x".repeat(60_000);
    let clients: Vec<Client<'_>> = (0..20)
        .map(|number| {
            let client = house.client(&number.to_string());
            client.listen(&format!("q{}", number % 2), if number % 2 == 0 { AtMostOnce } else { AtLeastOnce });
            client
        })
        .collect();
    for _ in 0..10 {
        house.publish(&said("q0", AtMostOnce, &payload));
    }
    let taken: usize = clients.iter().map(|client| client.heard().len()).sum();
    assert!((10..40).contains(&taken), "twenty times as much was brought: {taken}");
    assert!(clients.iter().all(|client| client.closed().is_none()), "QoS 0 is dropped in silence");
    for _ in 0..10 {
        house.publish(&said("q1", AtLeastOnce, &payload));
    }
    let slow = clients.iter().filter(|client| client.closed() == Some(Closed::TooSlow)).count();
    assert!(slow > 0, "somebody has to go");
    for client in &clients {
        client.vanish();
    }
    drop(clients);
    let late = house.client("late");
    late.listen("q0", AtMostOnce);
    for _ in 0..100 {
        assert_eq!(house.publish(&said("q0", AtMostOnce, &payload)), 1, "everything was given back");
        assert_eq!(late.heard().len(), 1);
    }
}

#[test]
fn what_is_given_back_is_what_was_taken() {
    let house = House::with(Settings { buffered_bytes: 200_000, ..Settings::default() });
    let payload = "x".repeat(1000);
    for round in 0..30 {
        for (qos, offer) in [(AtLeastOnce, offer("a")), (ExactlyOnce, offer("b")), (ExactlyOnce, lasting("c"))] {
            for filter in ["t", "$share/g/t"] {
                let client = deaf(&house, Offer { clean_start: true, ..offer.clone() }, qos);
                client.listen(filter, qos);
                let count: usize = (0..20).map(|_| house.publish(&said("t", qos, &payload))).sum();
                assert!(count >= 20, "{round}: {count}");
                let heard = client.heard().len();
                assert!(heard >= 2);
                client.puback(1);
                client.pubrec(1);
                client.heard();
                client.pubcomp(1);
                client.heard();
                assert_eq!(client.closed(), None, "{round}");
                client.vanish();
                house.finish(Some(&house.broker.discard(client.session(), 0)));
            }
        }
    }
}

#[test]
fn a_stored_session_keeps_little_of_a_long_queue_at_hand() {
    let house = House::with(Settings { buffered_bytes: 2 << 20, ..Settings::default() });
    let client = deaf(&house, lasting("c"), AtLeastOnce);
    let payload = "x".repeat(60_000);
    for _ in 0..500 {
        assert_eq!(house.publish(&said("t", AtLeastOnce, &payload)), 1, "thirty megabytes on the shelf");
    }
    let other = house.client("d");
    other.listen("other", AtMostOnce);
    assert_eq!(house.publish(&said("other", AtMostOnce, &payload)), 1, "and nobody else suffers");
    for number in 1..=500 {
        assert_eq!(client.session().owed(), 501 - usize::from(number));
        assert!(!client.heard().is_empty() || number % 2 == 0);
        client.puback(number);
    }
    assert!(house.shelf.borrow().messages.is_empty());
}

#[test]
fn what_has_waited_too_long_is_not_sent() {
    let house = House::with(Settings { queued_seconds: 20, ..Settings::default() });
    let client = house.lasting("c");
    client.listen("t", AtLeastOnce);
    client.vanish();
    house.publish(&said("t", AtLeastOnce, "old"));
    house.pass(21);
    house.publish(&said("t", AtLeastOnce, "new"));
    assert_eq!(house.lasting("c").payloads(), ["new"]);
}
