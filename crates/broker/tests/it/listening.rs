//! Listeners in the house: what of a topic's route names them, and what a message must wait for because of them.

use broker::{Broker, Settings};
use mqtt::{Filter, QoS};

use crate::house::said;

fn filter(text: &str) -> Filter {
    Filter::try_from(text).unwrap()
}

fn heard(broker: &Broker, topic: &str) -> Vec<u64> {
    let mut listeners = broker.route(topic).listeners().to_vec();
    listeners.sort_unstable();
    listeners
}

#[test]
fn a_listener_hears_what_matches_its_filter_and_the_parent_of_a_hash() {
    let broker = Broker::new(Settings::default());
    for (listener, of) in [(1, "a/#"), (2, "a/+"), (3, "a/b"), (4, "$aws/things/+/shadow/update/accepted")] {
        broker.listen(&filter(of), listener);
    }
    assert_eq!(heard(&broker, "a/b"), [1, 2, 3]);
    assert_eq!(heard(&broker, "a"), [1]);
    assert_eq!(heard(&broker, "$aws/things/t/shadow/update/accepted"), [4]);
    assert!(broker.route("b").is_empty() && !broker.route("a").is_empty());
}

#[test]
fn a_route_is_old_once_a_listener_came_or_went() {
    let broker = Broker::new(Settings::default());
    let before = broker.route("a");
    broker.listen(&filter("a"), 1);
    assert!(!broker.is_current(&before));
    let with = broker.route("a");
    broker.unlisten(&filter("a"), 1);
    assert!(!broker.is_current(&with));
    assert!(broker.route("a").is_empty());
}

#[test]
fn what_must_not_be_missed_is_written_before_it_is_delivered() {
    let broker = Broker::new(Settings::default());
    broker.listen(&filter("a"), 1);
    let route = broker.route("a");
    assert_eq!(broker.deliver(&route, &said("a", QoS::AtMostOnce, "x"), None, 0), Some(0));
    assert_eq!(broker.deliver(&route, &said("a", QoS::AtLeastOnce, "x"), None, 0), None);
}
