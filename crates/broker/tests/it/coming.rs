//! How clients come and go, and what time does to those who are away: sessions, takeovers, wills.

use std::sync::Arc;

use broker::{Closed, FOR_EVER, Offer, Settings, Subscribed};
use mqtt::{Disconnect, Packet, QoS, ReasonCode, Version};

use crate::house::{House, lasting, offer, said, will};

use QoS::{AtLeastOnce, AtMostOnce};

#[test]
fn a_client_finds_its_session_if_there_is_one_and_it_wants_it() {
    // What it said first, seconds away, what it says then, whether it finds its session.
    let clean = Offer { clean_start: true, ..lasting("c") };
    let for_ever = Offer { expiry: FOR_EVER, ..offer("c") };
    let cases = [
        (lasting("c"), 0, lasting("c"), true),
        (lasting("c"), 59, offer("c"), true),
        (lasting("c"), 60, lasting("c"), false),
        (lasting("c"), 0, clean.clone(), false),
        (clean, 0, lasting("c"), true),
        (offer("c"), 0, lasting("c"), false),
        (for_ever, i64::from(u32::MAX), lasting("c"), true),
        (lasting("c"), 0, lasting("d"), false),
    ];
    for (first, away, second, expected) in cases {
        for connected in [false, true] {
            let house = House::new();
            let client = house.connect(first.clone());
            client.listen("t", AtLeastOnce);
            if !connected {
                client.vanish();
            } else if away > 0 {
                continue;
            }
            house.pass(away);
            let (again, attached) = house.attach(second.clone());
            house.finish(attached.ended.as_ref());
            let case = format!("{first:?} {away} {second:?}");
            assert_eq!(attached.present, expected, "[MQTT-3.1.2-5], [MQTT-3.1.2-4] {case}");
            assert_eq!(again.session().subscriptions().len(), usize::from(expected), "{case}");
            let same = first.client_id == second.client_id;
            let old = same && !expected && (first.expiry > 0 || connected);
            assert_eq!(attached.ended.is_some(), old, "{case}");
            assert_eq!(attached.displaced.is_some(), same && connected, "{case}");
            assert_eq!(client.session().has_ended(), same && !expected || first.expiry == 0 && !connected, "{case}");
        }
    }
}

#[test]
fn the_newer_connection_takes_the_client_id_over() {
    let house = House::new();
    let old = house.client("c");
    old.listen("t", AtMostOnce);
    let (new, attached) = house.attach(Offer { version: Version::V311, ..offer("c") });
    assert_eq!(attached.displaced.map(|link| link.number()), Some(old.link.number()));
    assert_eq!(old.closed(), Some(Closed::TakenOver));
    assert_eq!(old.told(), ["DISCONNECT 8e"], "[MQTT-3.1.4-3]");
    let detached = old.vanish();
    assert!(detached.ended.is_none() && detached.waits.is_none());
    assert_eq!(house.broker.session("c").map(|session| session.number()), Some(new.session().number()));
    assert_eq!(house.publish(&said("t", AtMostOnce, "x")), 0, "its subscriptions went with the old one");
}

#[test]
fn a_goodbye_that_is_read_late_is_one_all_the_same() {
    let house = House::new();
    let old = house.connect(Offer { will: Some(will(None)), ..lasting("c") });
    let new = house.lasting("c");
    assert_eq!(old.closed(), Some(Closed::TakenOver));
    let mut goodbye = Disconnect::new(ReasonCode::Success);
    goodbye.properties.session_expiry_interval = Some(0);
    old.link.receive(Packet::Disconnect(goodbye), 0);
    assert_eq!(old.closed(), Some(Closed::ByClient { with_will: false }));
    assert!(old.vanish().will.is_none());
    assert!(new.vanish().waits.is_some(), "the session is not its own any more, and is not shortened");
}

#[test]
fn a_session_goes_on_with_the_connection_that_took_it_over() {
    let house = House::new();
    let old = house.lasting("c");
    old.listen("t", AtLeastOnce);
    house.publish(&said("t", AtLeastOnce, "1"));
    assert_eq!(old.told(), ["t q1 #1 1"]);
    let new = house.lasting("c");
    house.publish(&said("t", AtLeastOnce, "2"));
    assert_eq!(old.told(), ["DISCONNECT 8e"]);
    let detached = old.vanish();
    assert!(detached.waits.is_none() && detached.ended.is_none());
    assert!(new.session().is_connected());
    assert_eq!(new.told(), ["t q1 #1 dup 1", "t q1 #2 2"]);
}

#[test]
fn a_session_ends_with_its_connection_unless_it_is_to_last() {
    let house = House::new();
    for (offer, lasts) in [(offer("c"), false), (lasting("c"), true)] {
        let client = house.connect(offer);
        client.listen("t", AtLeastOnce);
        let detached = client.vanish();
        assert_eq!(detached.waits.is_some(), lasts);
        assert_eq!(detached.ended.is_some(), !lasts);
        assert_eq!(house.broker.session("c").is_some(), lasts);
        assert_eq!(house.publish(&said("t", AtLeastOnce, "x")), usize::from(lasts));
        assert!(!client.session().is_connected() && client.session().link().is_none());
    }
}

#[test]
fn an_ended_session_takes_no_subscriptions() {
    let house = House::new();
    let client = house.client("c");
    client.vanish();
    assert_eq!(client.listen("t", AtMostOnce), Subscribed::QuotaExceeded);
    assert!(house.broker.route("t").is_empty());
}

#[test]
fn disconnect_changes_the_expiry_but_makes_no_session_last_that_was_not_to() {
    let disconnect = |seconds| {
        let mut disconnect = Disconnect::new(ReasonCode::Success);
        disconnect.properties.session_expiry_interval = Some(seconds);
        disconnect
    };
    // Said by CONNECT, by DISCONNECT; seconds it lasts, if it does.
    let cases = [
        (60, 10, Some(10)),
        (60, 0, None),
        (60, 90, Some(90)),
        (60, FOR_EVER, Some(FOR_EVER)),
        (0, 0, None),
        (0, 5, None),
    ];
    for (first, second, expected) in cases {
        let house = House::new();
        let client = house.connect(Offer { expiry: first, ..offer("c") });
        let detached = client.leave(disconnect(second));
        assert_eq!(detached.waits.is_some(), expected.is_some(), "{first} {second}");
        let is_error = matches!(client.closed(), Some(Closed::ClientError { .. }));
        assert_eq!(is_error, first == 0 && second > 0, "[MQTT-3.14.2-2]");
        let Some(seconds) = expected else { continue };
        assert_eq!(client.session().expiry(), (seconds, Some(0)));
        house.now.set(i64::from(seconds) * 1000 - 1);
        assert!(house.broker.due(house.now.get()).is_empty());
        house.pass(1);
        let ends = house.broker.due(house.now.get()).len();
        assert_eq!(ends, usize::from(seconds != FOR_EVER), "{first} {second}");
    }
}

#[test]
fn the_expiry_of_the_last_connection_counts() {
    let house = House::new();
    house.lasting("c").vanish();
    let client = house.connect(Offer { expiry: 0, ..offer("c") });
    assert!(client.vanish().ended.is_some(), "the session is present and ends with this connection");
    assert!(house.broker.session("c").is_none());
}

#[test]
fn a_will_is_for_ends_that_were_not_announced() {
    let cases = [
        (Closed::ByClient { with_will: false }, false),
        (Closed::ByClient { with_will: true }, true),
        (Closed::ByOperator { without_will: true }, false),
        (Closed::ByOperator { without_will: false }, true),
        (Closed::ConnectionLost, true),
        (Closed::KeepAliveTimeout, true),
        (Closed::TakenOver, true),
        (Closed::TooSlow, true),
        (Closed::ServerStops, true),
    ];
    for (how, expected) in cases {
        for (offer, delay) in [(offer("c"), None), (lasting("c"), None), (offer("c"), Some(30))] {
            let house = House::new();
            let client = house.connect(Offer { will: Some(will(delay)), ..offer });
            client.link.close(how.clone());
            let detached = client.vanish();
            assert_eq!(detached.will.is_some(), expected, "{how:?} {delay:?} [MQTT-3.1.2-8], [MQTT-3.1.2-10]");
            assert!(detached.later.is_none());
            assert!(client.vanish().will.is_none(), "only once");
        }
    }
}

#[test]
fn a_will_waits_for_its_delay_or_the_end_of_its_session() {
    // Expiry, delay, and when the will is published.
    for (expiry, delay, expected) in [(60, 10, 10), (10, 60, 10), (10, 10, 10), (FOR_EVER, 5, 5)] {
        let house = House::new();
        let client = house.connect(Offer { expiry, will: Some(will(Some(delay))), ..offer("c") });
        let detached = client.vanish();
        assert!(detached.will.is_none());
        assert_eq!(detached.later.map(|(_, at)| at), Some(expected * 1000), "[MQTT-3.1.3-9]");
        house.now.set(expected * 1000 - 1);
        assert!(house.broker.due(house.now.get()).is_empty());
        house.pass(1);
        let due = house.broker.due(house.now.get());
        assert_eq!(due.iter().filter(|due| due.will.is_some()).count(), 1, "{expiry} {delay}");
        assert_eq!(due[0].ended, i64::from(expiry) <= expected, "{expiry} {delay}");
        house.pass(1_000_000);
        assert!(house.broker.due(house.now.get()).iter().all(|due| due.will.is_none()), "only once");
    }
}

#[test]
fn a_client_that_comes_back_in_time_cancels_its_will() {
    let house = House::new();
    let dying = Offer { will: Some(will(Some(10))), ..lasting("c") };
    house.connect(dying.clone()).vanish();
    house.pass(9);
    let client = house.connect(lasting("c"));
    house.pass(9);
    assert!(house.broker.due(house.now.get()).is_empty());
    client.vanish();
    house.pass(9);
    assert!(house.broker.due(house.now.get()).is_empty(), "the second connection had no will");
    // Taken over without having been away.
    let old = house.connect(dying.clone());
    house.connect(lasting("c"));
    let detached = old.vanish();
    assert!(detached.will.is_none() && detached.later.is_none(), "[MQTT-3.1.3-9]");
    let hasty = house.connect(Offer { will: Some(will(None)), ..lasting("c") });
    house.connect(lasting("c"));
    assert!(hasty.vanish().will.is_some(), "one without delay is not cancelled");
}

#[test]
fn a_clean_start_ends_the_session_and_its_will_is_due() {
    let house = House::new();
    let clean = Offer { clean_start: true, ..lasting("c") };
    house.connect(Offer { will: Some(will(Some(30))), ..lasting("c") }).vanish();
    let (_, attached) = house.attach(clean.clone());
    assert!(attached.ended.is_some_and(|ended| ended.will.is_some()));
    let old = house.connect(Offer { will: Some(will(Some(30))), clean_start: true, ..lasting("c") });
    let (_, attached) = house.attach(clean);
    assert!(attached.ended.is_some_and(|ended| ended.will.is_none()), "it is still the connection's");
    assert!(old.vanish().will.is_some());
}

#[test]
fn sessions_end_when_their_time_is_over_and_take_everything_along() {
    let house = House::new();
    for (client_id, expiry) in [("a", 10), ("b", 20), ("c", FOR_EVER)] {
        let client = house.connect(Offer { expiry, ..offer(client_id) });
        client.listen("t", AtLeastOnce);
        client.vanish();
    }
    let awake = house.connect(Offer { expiry: 1, ..offer("d") });
    awake.listen("t", AtLeastOnce);
    for (seconds, left) in [(9, 4), (1, 3), (10, 2), (100_000, 2)] {
        house.pass(seconds);
        for due in house.broker.due(house.now.get()) {
            assert!(due.ended && due.session.has_ended() && due.session.subscriptions().is_empty());
        }
        assert_eq!(house.broker.all_sessions().len(), left);
        assert_eq!(house.publish(&said("t", AtLeastOnce, "x")), left);
    }
}

#[test]
fn nothing_is_left_of_a_session_that_comes_and_goes() {
    let house = House::new();
    let week = Offer { expiry: 604_800, ..offer("c") };
    let client = house.connect(week.clone());
    client.vanish();
    let session = Arc::clone(client.session());
    drop(client);
    let held = Arc::strong_count(&session);
    for _ in 0..10 {
        house.pass(1);
        house.connect(week.clone()).vanish();
    }
    assert_eq!(Arc::strong_count(&session), held, "it waits for one end, not for eleven");
    house.connect(Offer { clean_start: true, ..offer("c") }).vanish();
    assert_eq!(Arc::strong_count(&session), 1, "one that has ended is not remembered until it would have ended");
    house.pass(604_790);
    assert!(house.broker.due(house.now.get()).is_empty());
}

#[test]
fn a_session_is_discarded_by_hand() {
    let house = House::new();
    let client = house.connect(Offer { will: Some(will(Some(30))), ..lasting("c") });
    client.listen("t", AtLeastOnce);
    client.vanish();
    let ended = house.broker.discard(client.session(), 0);
    assert!(ended.will.is_some());
    assert!(house.broker.session("c").is_none());
    assert_eq!(house.publish(&said("t", AtLeastOnce, "x")), 0);
    house.pass(100);
    assert!(house.broker.due(house.now.get()).is_empty());
}

#[test]
fn a_session_has_as_many_subscriptions_as_it_may() {
    let house = House::with(Settings { subscriptions: 2, ..Settings::default() });
    let client = house.client("c");
    for filter in ["a", "b", "a"] {
        assert!(matches!(client.listen(filter, AtMostOnce), Subscribed::Granted { .. }), "{filter}");
    }
    assert_eq!(client.listen("c", AtMostOnce), Subscribed::QuotaExceeded);
    let filters: Vec<_> = client.session().subscriptions().into_iter().map(|kept| kept.subscription.filter).collect();
    assert_eq!(filters.iter().map(mqtt::Filter::as_str).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn no_more_qos_is_granted_than_there_is() {
    let house = House::with(Settings { maximum_qos: AtLeastOnce, ..Settings::default() });
    let client = house.client("c");
    let granted = client.listen("t", QoS::ExactlyOnce);
    assert_eq!(granted, Subscribed::Granted { qos: AtLeastOnce, replaced: false }, "[MQTT-3.8.4-7]");
}
