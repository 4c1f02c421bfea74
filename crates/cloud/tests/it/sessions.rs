//! Sessions that outlive their connections, and the server: what is owed, what was received, wills and ends are where
//! they were after a restart, and nothing is left of what is over.

use cloud::Quotas;
use mqtt::{
    Ack, Binary, Connect, Disconnect, Filter, Packet, Publish, QoS, ReasonCode, Subscribe, SubscribeProperties,
    Subscription, SubscriptionId, Version, Will, WillProperties,
};
use serde_json::json;
use store::Store;

use crate::device::{Device, message, packet_id, retained, topic};
use crate::house::{Lab, everything, hello};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

/// All that is kept of sessions but the sessions themselves.
const TABLES: [&str; 3] = ["session_subscriptions", "session_messages", "session_received"];

const HOUR: i64 = 60 * 60 * 1000;

/// A house that follows the specification, and a certificate that may do everything.
fn lab() -> (Lab, String) {
    let lab = Lab::over(Store::in_memory(), Quotas::Off);
    let id = lab.identity(everything());
    (lab, id)
}

/// The CONNECT of a client whose session lasts an hour.
fn lasting(client_id: &str) -> Connect {
    let mut connect = Connect { clean_start: false, ..hello(Version::V5, client_id) };
    connect.properties.session_expiry_interval = Some(3600);
    connect
}

fn dying(client_id: &str, delay: Option<u32>, retain: bool) -> Connect {
    let properties = WillProperties { will_delay_interval: delay, ..WillProperties::default() };
    let payload = Binary::new(client_id.as_bytes().to_vec()).unwrap();
    Connect {
        will: Some(Will { topic: topic("gone"), payload, qos: AtLeastOnce, retain, properties }),
        ..lasting(client_id)
    }
}

/// A client with a session of an hour, whether it is new or not.
fn come(lab: &Lab, id: &str, client_id: &str) -> Device {
    lab.returning(id, &lasting(client_id)).0
}

fn listen(device: &Device, filter: &str, qos: QoS, id: Option<u32>) {
    let subscriptions = vec![Subscription::new(Filter::try_from(filter).unwrap(), qos)];
    let properties = SubscribeProperties {
        subscription_identifier: id.and_then(SubscriptionId::new),
        ..SubscribeProperties::default()
    };
    device.give(Packet::Subscribe(Subscribe { packet_id: packet_id(1), subscriptions, properties }));
    assert_eq!(device.told().first(), Some(&format!("SUBACK 1 0{}", qos.number())));
}

fn publish(qos: QoS, id: u16, payload: &str) -> Packet {
    let packet_id = (qos > AtMostOnce).then(|| packet_id(id));
    Packet::Publish(Publish { qos, packet_id, ..message("t", payload) })
}

fn ack(packet: fn(Ack) -> Packet, id: u16) -> Packet {
    packet(Ack::success(packet_id(id)))
}

/// What a device is told, its messages with all that matters when they come again.
fn told(device: &Device) -> Vec<String> {
    let words = |packet: &Packet| match packet {
        Packet::Publish(publish) => {
            let id = publish.packet_id.map_or(0, u16::from);
            let (dup, retain) = (if publish.dup { " dup" } else { "" }, if publish.retain { " retain" } else { "" });
            let payload = String::from_utf8_lossy(&publish.payload);
            let properties = publish.properties.clone().unwrap_or_default();
            let expires = properties.message_expiry_interval.map_or(String::new(), |left| format!(" {left}s"));
            let ids = properties.subscription_identifiers.iter();
            let ids = ids.map(|id| format!(" id:{}", id.get())).collect::<Vec<_>>().concat();
            format!("q{} #{id}{dup}{retain} {payload}{expires}{ids}", publish.qos.number())
        }
        other => crate::device::words(other),
    };
    device.heard().iter().map(words).collect()
}

fn rows(lab: &Lab) -> [usize; 3] {
    TABLES.map(|table| lab.rows(table))
}

#[test]
fn what_was_queued_for_a_client_that_was_away_comes_after_a_restart() {
    let (lab, id) = lab();
    let device = come(&lab, &id, "ear");
    listen(&device, "t", ExactlyOnce, Some(7));
    device.vanish();
    let mouth = lab.device(&id, Version::V5, "mouth");
    for (number, qos) in [(1, AtLeastOnce), (2, ExactlyOnce), (3, AtMostOnce), (4, AtLeastOnce)] {
        mouth.give(publish(qos, number, &number.to_string()));
    }
    assert_eq!(mouth.told(), ["PUBACK 1 00", "PUBREC 2 00", "PUBACK 4 00"]);
    let lab = lab.restarted();
    let (device, present) = lab.returning(&id, &lasting("ear"));
    assert!(present, "[MQTT-3.2.2-2]");
    assert_eq!(told(&device), ["q1 #1 dup 1 id:7", "q2 #2 dup 2 id:7", "q1 #3 dup 4 id:7"]);
    let mouth = lab.device(&id, Version::V5, "mouth");
    mouth.give(publish(AtLeastOnce, 1, "5"));
    assert_eq!(told(&device), ["q1 #4 5 id:7"], "and it is still subscribed");
}

#[test]
fn an_exchange_goes_on_after_a_restart_where_it_was() {
    let (lab, id) = lab();
    let device = come(&lab, &id, "ear");
    listen(&device, "t", ExactlyOnce, None);
    let mouth = lab.device(&id, Version::V5, "mouth");
    for number in 1..=4 {
        mouth.give(publish(ExactlyOnce, number, &number.to_string()));
    }
    assert_eq!(told(&device).len(), 4);
    device.give(ack(Packet::PubRec, 1));
    device.give(ack(Packet::PubRec, 3));
    assert_eq!(told(&device), ["PUBREL 1 00", "PUBREL 3 00"]);
    device.give(ack(Packet::PubComp, 1));
    let lab = lab.restarted();
    let device = come(&lab, &id, "ear");
    assert_eq!(told(&device), ["q2 #2 dup 2", "PUBREL 3 00", "q2 #4 dup 4"], "[MQTT-4.4.0-1]");
    for number in [2, 3, 4] {
        device.give(ack(Packet::PubRec, number));
        device.give(ack(Packet::PubComp, number));
    }
    assert_eq!(rows(&lab), [1, 0, 0]);
    let lab = lab.restarted();
    assert!(told(&come(&lab, &id, "ear")).is_empty());
}

#[test]
fn qos_2_of_a_client_is_taken_once_over_a_restart() {
    let (lab, id) = lab();
    let ear = come(&lab, &id, "ear");
    listen(&ear, "t", AtLeastOnce, None);
    let device = come(&lab, &id, "c");
    device.give(publish(ExactlyOnce, 5, "x"));
    device.give(publish(ExactlyOnce, 6, "y"));
    device.give(ack(Packet::PubRel, 6));
    assert_eq!(device.told(), ["PUBREC 5 00", "PUBREC 6 00", "PUBCOMP 6 00"]);
    assert_eq!(rows(&lab), [1, 2, 1]);
    let lab = lab.restarted();
    let device = come(&lab, &id, "c");
    device.give(publish(ExactlyOnce, 5, "x"));
    device.give(ack(Packet::PubRel, 6));
    device.give(ack(Packet::PubRel, 5));
    assert_eq!(device.told(), ["PUBREC 5 00", "PUBCOMP 6 92", "PUBCOMP 5 00"], "[MQTT-4.3.3-10]");
    assert_eq!(told(&come(&lab, &id, "ear")), ["q1 #1 dup x", "q1 #2 dup y"]);
    assert_eq!(rows(&lab)[2], 0);
}

#[test]
fn qos_2_that_comes_again_before_it_is_written_is_published_once() {
    let (lab, id) = lab();
    let ear = lab.device(&id, Version::V5, "ear");
    listen(&ear, "t", AtLeastOnce, None);
    let old = come(&lab, &id, "c");
    // The client has lost the connection and comes anew, while what it sent last is only now being read.
    let (jobs, arrived) = lab.knock(&id, &lasting("c"));
    let first = old.send(publish(ExactlyOnce, 1, "x"));
    lab.commit(jobs).unwrap();
    let (new, present) = lab.returned(arrived.recv().unwrap().ok().unwrap());
    assert!(present);
    let second = new.send(publish(ExactlyOnce, 1, "x"));
    lab.commit(first.into_iter().chain(second)).unwrap();
    assert_eq!(new.told(), ["PUBREC 1 00"]);
    assert_eq!(told(&ear), ["q1 #1 x"], "[MQTT-4.3.3-10]");
}

#[test]
fn what_an_ended_session_sends_last_leaves_nothing_behind() {
    let (lab, id) = lab();
    let old = come(&lab, &id, "c");
    let subscription = Subscription::new(Filter::try_from("t").unwrap(), AtLeastOnce);
    let late = [publish(ExactlyOnce, 1, "x"), crate::device::subscribe([subscription])].map(|packet| old.send(packet));
    lab.device(&id, Version::V5, "c");
    lab.commit(late.into_iter().flatten()).unwrap();
    assert_eq!((lab.rows("sessions"), rows(&lab)), (0, [0; 3]));
}

#[test]
fn messages_expire_while_the_server_is_down() {
    let (lab, id) = lab();
    let device = come(&lab, &id, "ear");
    listen(&device, "t", AtLeastOnce, None);
    device.vanish();
    let mouth = lab.device(&id, Version::V5, "mouth");
    for (number, seconds) in [(1, 10), (2, 100)] {
        let mut publish = Publish { qos: AtLeastOnce, packet_id: Some(packet_id(number)), ..message("t", "x") };
        publish.properties.get_or_insert_default().message_expiry_interval = Some(seconds);
        mouth.give(Packet::Publish(publish));
    }
    lab.pass(30_000);
    let lab = lab.restarted();
    assert_eq!(told(&come(&lab, &id, "ear")), ["q1 #2 dup x 70s"], "[MQTT-3.3.2-5], [MQTT-3.3.2-6]");
    assert_eq!(rows(&lab), [1, 1, 0]);
}

#[test]
fn a_session_ends_in_its_time_whether_the_server_is_up_or_down() {
    // Whether its client left before the server stopped; hours that the server is down; whether it is found.
    for (left, hours, expected) in [(true, 0, true), (true, 1, false), (false, 0, true), (false, 30, true)] {
        let (lab, id) = lab();
        let device = come(&lab, &id, "c");
        listen(&device, "t", ExactlyOnce, None);
        device.give(publish(ExactlyOnce, 1, "x"));
        if left {
            device.vanish();
        }
        lab.pass(hours * HOUR);
        let lab = lab.restarted();
        lab.tick().unwrap();
        assert_eq!(lab.rows("sessions"), usize::from(expected), "{left} {hours}");
        assert_eq!(lab.returning(&id, &lasting("c")).1, expected, "{left} {hours} [MQTT-3.1.2-23]");
        assert_eq!(rows(&lab), if expected { [1, 1, 1] } else { [0; 3] });
    }
}

#[test]
fn a_session_whose_server_stopped_has_its_whole_time_once_and_not_with_each_restart() {
    let (mut lab, id) = lab();
    come(&lab, &id, "c");
    for _ in 0..2 {
        lab = lab.restarted();
        lab.pass(HOUR / 2);
        lab.tick().unwrap();
    }
    assert_eq!(lab.rows("sessions"), 0);
}

/// How a session comes to its end, and whether another is there afterwards.
type Ending<'e> = (&'e str, Box<dyn Fn(&Lab, &str, Device) + 'e>, usize);

#[test]
fn a_session_that_is_over_leaves_nothing_on_disk() {
    let clean = || Connect { clean_start: true, ..lasting("c") };
    let fleeting = || Connect { clean_start: true, ..hello(Version::V5, "c") };
    let unwanted = || {
        let mut disconnect = Disconnect::new(ReasonCode::Success);
        disconnect.properties.session_expiry_interval = Some(0);
        disconnect
    };
    let mut old = lasting("c");
    old.properties.session_expiry_interval = None;
    let endings: [Ending<'_>; 6] = [
        ("a clean start", Box::new(|lab, id, _| assert!(!lab.returning(id, &clean()).1)), 1),
        ("a clean start for a moment", Box::new(|lab, id, _| assert!(!lab.returning(id, &fleeting()).1)), 0),
        ("an expiry of zero", Box::new(|lab, id, _| lab.returning(id, &old).0.vanish()), 0),
        (
            "DISCONNECT",
            Box::new(|_, _, device| {
                device.give(Packet::Disconnect(unwanted()));
                device.vanish();
            }),
            0,
        ),
        (
            "time",
            Box::new(|lab, _, device| {
                device.vanish();
                lab.pass(HOUR);
                lab.tick().unwrap();
            }),
            0,
        ),
        (
            "a client that comes too late",
            Box::new(|lab, id, device| {
                device.vanish();
                lab.pass(HOUR);
                assert!(!lab.returning(id, &lasting("c")).1);
            }),
            1,
        ),
    ];
    for (name, end, left) in endings {
        let (lab, id) = lab();
        let device = come(&lab, &id, "c");
        listen(&device, "t", ExactlyOnce, None);
        listen(&device, "u/#", AtMostOnce, None);
        device.give(publish(ExactlyOnce, 1, "x"));
        device.give(publish(ExactlyOnce, 2, "y"));
        assert_eq!((lab.rows("sessions"), rows(&lab)), (1, [2, 2, 2]));
        end(&lab, &id, device);
        assert_eq!((lab.rows("sessions"), rows(&lab)), (left, [0; 3]), "{name}");
        let lab = lab.restarted();
        assert_eq!((lab.rows("sessions"), rows(&lab)), (left, [0; 3]), "{name}");
    }
}

#[test]
fn what_an_interrupted_end_left_behind_is_swept_at_the_next_start() {
    let (lab, id) = lab();
    let device = come(&lab, &id, "c");
    listen(&device, "t", ExactlyOnce, None);
    for number in 1..=3 {
        device.give(publish(ExactlyOnce, number, "x"));
    }
    // The new session is written, and the server is gone before what is left of the old one is.
    let (jobs, _) = lab.knock(&id, &Connect { clean_start: true, ..lasting("c") });
    let rest = lab.commit_once(jobs).unwrap();
    assert!(!rest.is_empty());
    assert_eq!(rows(&lab), [1, 3, 3]);
    let lab = lab.restarted();
    assert_eq!((lab.rows("sessions"), rows(&lab)), (1, [0; 3]));
    let (device, _) = lab.returning(&id, &lasting("c"));
    assert!(told(&device).is_empty());
}

#[test]
fn unsubscribing_and_subscribing_anew_survive_a_restart() {
    let (lab, id) = lab();
    let device = come(&lab, &id, "ear");
    listen(&device, "t", ExactlyOnce, Some(1));
    listen(&device, "u", ExactlyOnce, None);
    listen(&device, "t", AtLeastOnce, Some(2));
    device.give(Packet::Unsubscribe(mqtt::Unsubscribe {
        packet_id: packet_id(1),
        filters: vec![Filter::try_from("u").unwrap()],
        properties: mqtt::UnsubscribeProperties::default(),
    }));
    let lab = lab.restarted();
    assert_eq!(rows(&lab), [1, 0, 0]);
    let mouth = lab.device(&id, Version::V5, "mouth");
    mouth.give(publish(ExactlyOnce, 1, "x"));
    mouth.publish("u", "y");
    assert_eq!(told(&come(&lab, &id, "ear")), ["q1 #1 x id:2"]);
}

#[test]
fn subscription_options_survive_a_restart() {
    let (lab, id) = lab();
    let device = come(&lab, &id, "c");
    let subscription = Subscription::new(Filter::try_from("t").unwrap(), AtLeastOnce);
    let options = Subscription { no_local: true, retain_as_published: true, ..subscription };
    device.give(crate::device::subscribe([options]));
    let lab = lab.restarted();
    let device = come(&lab, &id, "c");
    device.give(publish(AtLeastOnce, 1, "own"));
    assert_eq!(told(&device), ["PUBACK 1 00"]);
    let mouth = lab.device(&id, Version::V5, "mouth");
    mouth.give(retained(crate::device::message_1(1, "t", "x")));
    assert_eq!(told(&device), ["q1 #1 retain x"]);
}

/// Those who hear of wills, and what they heard since.
fn mourner(lab: &Lab, id: &str) -> Device {
    let device = lab.device(id, Version::V5, "mourner");
    device.give(crate::device::subscribe([Subscription::new(Filter::try_from("gone").unwrap(), AtLeastOnce)]));
    device.told();
    device
}

#[test]
fn the_will_of_a_connection_that_a_crash_broke_is_published_once() {
    for (delay, seconds) in [(None, 0), (Some(60), 60), (Some(100_000), 3600)] {
        let (lab, id) = lab();
        lab.returning(&id, &dying("c", delay, true));
        let lab = lab.restarted();
        let mourner = mourner(&lab, &id);
        lab.pass((seconds * 1000 - 1).max(0));
        lab.tick().unwrap();
        assert_eq!(mourner.messages().len(), usize::from(seconds == 0), "{delay:?} [MQTT-3.1.3-9]");
        lab.pass(1);
        lab.tick().unwrap();
        assert_eq!(mourner.messages().len(), usize::from(seconds > 0), "{delay:?} [MQTT-3.1.2-8]");
        let kept = lab.ok("GetRetainedMessage", json!({"topic": "gone"}));
        assert_eq!(kept["qos"], 1);
        let lab = lab.restarted();
        let mourner = self::mourner(&lab, &id);
        lab.pass(HOUR);
        lab.tick().unwrap();
        assert!(mourner.messages().is_empty(), "{delay:?}: only once");
    }
}

#[test]
fn a_will_that_waits_goes_on_waiting_over_a_restart() {
    let (lab, id) = lab();
    lab.returning(&id, &dying("c", Some(60), false)).0.vanish();
    lab.pass(40_000);
    let lab = lab.restarted();
    let mourner = mourner(&lab, &id);
    lab.pass(19_999);
    lab.tick().unwrap();
    assert!(mourner.messages().is_empty());
    lab.pass(1);
    lab.tick().unwrap();
    assert_eq!(mourner.messages(), [("gone".to_owned(), "c".to_owned())]);
}

#[test]
fn there_is_no_will_of_who_said_goodbye_or_came_back_in_time_or_has_another() {
    let (lab, id) = lab();
    let polite = lab.returning(&id, &dying("polite", None, false)).0;
    polite.give(Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
    polite.vanish();
    lab.returning(&id, &dying("back", Some(60), false)).0.vanish();
    lab.returning(&id, &dying("reformed", Some(60), false)).0.vanish();
    come(&lab, &id, "reformed");
    let lab = lab.restarted();
    let mourner = mourner(&lab, &id);
    assert!(lab.returning(&id, &lasting("back")).1);
    lab.pass(HOUR / 2);
    lab.tick().unwrap();
    assert!(mourner.messages().is_empty(), "[MQTT-3.1.2-10]");
}

#[test]
fn retained_messages_are_owed_to_a_session_like_others() {
    let (lab, id) = lab();
    let mouth = lab.device(&id, Version::V5, "mouth");
    for (name, qos) in [("r/0", AtMostOnce), ("r/1", AtLeastOnce), ("r/2", ExactlyOnce)] {
        let packet_id = (qos > AtMostOnce).then(|| packet_id(1 + u16::from(qos.number())));
        mouth.give(retained(Publish { qos, packet_id, ..message(name, name) }));
    }
    let device = come(&lab, &id, "ear");
    device.give(crate::device::subscribe([Subscription::new(Filter::try_from("r/+").unwrap(), ExactlyOnce)]));
    let mut first = told(&device);
    first.sort();
    assert_eq!(first, ["SUBACK 1 02", "q0 #0 retain r/0", "q1 #1 retain r/1", "q2 #2 retain r/2"]);
    assert_eq!(rows(&lab), [1, 2, 0]);
    let lab = lab.restarted();
    let device = come(&lab, &id, "ear");
    assert_eq!(told(&device), ["q1 #1 dup retain r/1", "q2 #2 dup retain r/2"]);
    device.give(ack(Packet::PubAck, 1));
    device.give(Packet::PubRec(Ack::new(packet_id(2), ReasonCode::UnspecifiedError)));
    assert_eq!(rows(&lab), [1, 0, 0]);
}

#[test]
fn sessions_of_several_accounts_do_not_meet_on_disk() {
    let (lab, id) = lab();
    let other = lab.elsewhere("111111111111", "eu-west-1");
    let other_id = other.identity(everything());
    for (lab, id, filter) in [(&lab, &id, "t"), (&other, &other_id, "u")] {
        let device = come(lab, id, "same");
        listen(&device, filter, AtLeastOnce, None);
        device.vanish();
        let mouth = lab.device(id, Version::V5, "mouth");
        mouth.give(publish(AtLeastOnce, 1, filter));
    }
    let lab = lab.restarted();
    assert_eq!(told(&come(&lab, &id, "same")), ["q1 #1 dup t"]);
    assert!(told(&come(&lab, &other_id, "same")).is_empty());
}

#[test]
fn more_than_is_at_hand_comes_in_order_after_a_restart() {
    let (lab, id) = lab();
    let device = come(&lab, &id, "ear");
    listen(&device, "t", AtLeastOnce, None);
    device.vanish();
    let mouth = lab.device(&id, Version::V5, "mouth");
    for number in 0..300 {
        mouth.give(publish(AtLeastOnce, 1, &format!("{number:03000}")));
    }
    let lab = lab.restarted();
    let device = come(&lab, &id, "ear");
    let mut next = 0;
    loop {
        let heard = device.heard();
        if heard.is_empty() {
            break;
        }
        for packet in heard {
            let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
            assert_eq!(publish.payload, format!("{next:03000}"));
            device.give(ack(Packet::PubAck, publish.packet_id.unwrap().get()));
            next += 1;
        }
    }
    assert_eq!((next, rows(&lab)), (300, [1, 0, 0]));
}

#[test]
fn a_session_of_3_1_1_lasts_an_hour_where_aws_is_followed() {
    let lab = Lab::new();
    let id = lab.identity(everything());
    let connect = Connect { clean_start: false, ..hello(Version::V311, "c") };
    lab.returning(&id, &connect).0.vanish();
    lab.pass(HOUR - 1);
    let lab = lab.restarted();
    let (device, present) = lab.returning(&id, &connect);
    assert!(present);
    device.vanish();
    lab.pass(HOUR);
    assert!(!lab.returning(&id, &connect).1);
}
