//! The price of one publish, to be counted from outside in instructions: finding who subscribed to its topic, with
//! nothing remembered from the last one, and writing it for each of them.
//!
//! ```text
//! valgrind --tool=callgrind --toggle-collect=publish_cost::publishes \
//!     target/release/examples/publish_cost FILTERS MATCHES COUNT
//! ```
//!
//! There are FILTERS subscriptions with wildcards, of which MATCHES, each of another client, match the topic; it is
//! published to COUNT times. Nothing here knows how the counting is done.

use std::hint::black_box;
use std::sync::Arc;

use broker::{Attached, Broker, Gate, Kept, Link, Offer, Settings, Wake};
use mqtt::{Filter, Publish, QoS, Subscription, Topic, Version};

type Failure = Box<dyn std::error::Error>;

/// Clients that have the filters which do not match.
const OTHERS: usize = 100;

/// Lets everything through, is asked each time, and needs no waking.
struct Open;

impl Gate for Open {
    fn may_receive(&self, _topic: &str) -> bool {
        true
    }

    fn token(&self) -> u64 {
        0
    }
}

impl Wake for Open {
    fn wake(&self) {}
}

fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<usize>());
    let mut number = || numbers.next().ok_or("usage: publish_cost FILTERS MATCHES COUNT");
    let (filters, matches, count) = (number()??, number()??, number()??);

    let broker = Broker::new(Settings { subscriptions: usize::MAX, ..Settings::default() });
    let listeners: Vec<Arc<Link>> = (0..matches).map(|index| attach(&broker, "listener", index)).collect();
    for listener in &listeners {
        subscribe(&broker, listener, "plant/+/device-0/state")?;
    }
    let others: Vec<Arc<Link>> = (0..OTHERS).map(|index| attach(&broker, "other", index)).collect();
    for (number, other) in (1..=filters.saturating_sub(matches)).zip(others.iter().cycle()) {
        let by_device = number % 2 == 0;
        let filter =
            if by_device { format!("plant/+/device-{number}/#") } else { format!("plant/hall-{number}/+/state") };
        subscribe(&broker, other, &filter)?;
    }
    publishes(&broker, &listeners, &Publish::new(Topic::new("plant/hall-0/device-0/state")?, vec![b'x'; 64]), count)
}

#[inline(never)]
fn publishes(broker: &Broker, listeners: &[Arc<Link>], message: &Publish, count: usize) -> Result<(), Failure> {
    for _ in 0..count {
        let route = broker.route(black_box("plant/hall-0/device-0/state"));
        let delivered = broker.deliver(&route, black_box(message), None, 0);
        if delivered != Some(listeners.len()) {
            return Err(format!("delivered to {delivered:?} of {}", listeners.len()).into());
        }
        for listener in listeners {
            black_box(listener.take_outgoing());
        }
    }
    Ok(())
}

fn attach(broker: &Broker, kind: &str, index: usize) -> Arc<Link> {
    let offer = Offer {
        client_id: format!("{kind}-{index}"),
        version: Version::V311,
        clean_start: true,
        expiry: 0,
        stored: None,
        receive_maximum: 100,
        maximum_packet_size: 1 << 20,
        topic_alias_maximum: 0,
        will: None,
        problem_information: false,
    };
    let Attached { link, .. } = broker.attach(offer, Arc::new(Open), Arc::new(Open), 0);
    link
}

fn subscribe(broker: &Broker, link: &Link, filter: &str) -> Result<(), Failure> {
    let subscription = Subscription::new(Filter::new(filter.to_owned())?, QoS::AtMostOnce);
    broker.subscribe(link.session(), Kept { subscription, id: None });
    Ok(())
}
