//! A broker between threads: whoever comes, goes, subscribes and publishes at the same time, nobody waits for ever and
//! nothing is left in the end.

use std::sync::{Arc, Mutex};

use broker::{Broker, Kept, Offer, Settings};
use mqtt::{Ack, Filter, Packet, Publish, QoS, Subscription, Topic};

use crate::house::{Open, offer};

/// One thread's life: it comes as one of few clients, so that others take its place or it theirs. Plans are made and
/// carried out one after the other, as at a desk.
fn live(broker: &Broker, desk: &Mutex<()>, number: u64) {
    let message = Publish { qos: QoS::AtLeastOnce, ..Publish::new(Topic::try_from("t").unwrap(), vec![0; 100]) };
    for round in 0..1000 {
        let client_id = format!("c{}", (round + number) % 3);
        let expiry = u32::from(round % 4 == 0);
        let stored = (expiry > 0).then_some(round);
        let offer = Offer { expiry, stored, clean_start: round % 5 == 0, ..offer(&client_id) };
        let now = i64::try_from(round).unwrap() * 100;
        let attached = broker.attach(offer, Arc::new(Open), Arc::new(Open), now);
        let session = attached.link.session();
        for filter in ["t", "+", "$share/g/t"] {
            let subscription = Subscription::new(Filter::try_from(filter).unwrap(), QoS::AtLeastOnce);
            broker.subscribe(session, Kept { subscription, id: None });
        }
        for _ in 0..4 {
            let route = broker.route("t");
            {
                let _turn = desk.lock().unwrap();
                let plan = broker.plan(&route, &message, Some(session.number()));
                broker.carry_out(&plan, &message, now);
            }
            broker.deliver(&route, &message, None, now);
        }
        for id in 1..=4 {
            attached.link.receive(Packet::PubAck(Ack::success(crate::house::id(id))), now);
        }
        attached.link.take_outgoing();
        for due in broker.due(now) {
            assert!(due.ended);
        }
        // Who ended it is about to close the connection; time alone ends no session that has one.
        for _ in 0..1_000_000 {
            if !session.has_ended() || attached.link.is_closed() {
                break;
            }
            std::thread::yield_now();
        }
        assert!(!session.has_ended() || attached.link.is_closed(), "{client_id}");
        if let Some(ended) = broker.detach(&attached.link, now).ended {
            for stray in ended.strays {
                let _turn = desk.lock().unwrap();
                if let Some(plan) = broker.plan_for_another(&stray) {
                    broker.carry_out(&plan, &stray.message, now);
                }
            }
        }
    }
}

#[test]
fn threads_neither_wait_for_one_another_for_ever_nor_leave_anything_behind() {
    let broker = Broker::new(Settings { buffered_bytes: 1 << 20, ..Settings::default() });
    let desk = Mutex::new(());
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (broker, desk) = (&broker, &desk);
            scope.spawn(move || live(broker, desk, number));
        }
    });
    broker.due(i64::MAX);
    assert_eq!(broker.all_sessions().len(), 0);
    assert!(broker.route("t").is_empty());
}
