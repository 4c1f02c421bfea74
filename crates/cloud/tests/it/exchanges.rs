//! Exchanges of QoS 1 and 2 over a disk that fails, by seed: connections break, commits are refused or break, the server
//! restarts and the power goes. What was acknowledged is heard in the end, and QoS 2 once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cloud::{Connection, Job, Quotas};
use mqtt::{Ack, Connect, Filter, Packet, Publish, QoS, Subscription, Version};
use serde_json::json;
use store::{Disk, Durability, FaultPlan};

use crate::device::{heard, message, packet_id, subscribe};
use crate::house::{Lab, Told, everything, hello, text};
use crate::seeds::{Dice, insist};

/// Who publishes, and who listens with which QoS.
const MOUTH: usize = 0;
const NAMES: [&str; 3] = ["mouth", "ear1", "ear2"];
const LISTENS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// A message of the mouth's that is not acknowledged for good.
struct Sent {
    id: u16,
    number: u32,
    qos: QoS,
    released: bool,
}

/// A client that keeps to the protocol, and what it remembers between its connections.
#[derive(Default)]
struct Client {
    knocking: Option<Told>,
    connection: Option<Arc<Connection>>,
    heard: VecDeque<Packet>,
    late: VecDeque<Packet>,
    received: BTreeMap<u16, u32>,
    got: Vec<(u32, QoS)>,
    known: bool,
    subscribed: bool,
}

struct Run {
    lab: Lab,
    disk: Disk,
    breaks: bool,
    certificate: String,
    dice: Dice,
    desk: VecDeque<Job>,
    clients: [Client; 3],
    sent: Vec<Sent>,
    next: u32,
    /// What the house has said it will see to.
    promised: BTreeSet<u32>,
    tally: BTreeMap<&'static str, usize>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let breaks = seed % 2 == 1;
        let (refuse_one_in, break_one_in) = if breaks { (0, 25) } else { (25, 0) };
        let disk = Disk::new(FaultPlan { seed, refuse_one_in, break_one_in, fail_read_one_in: 0 });
        let mut lab = Lab::over(disk.open(Durability::Durable), Quotas::Off);
        let made = insist(&mut lab, &disk, "CreateKeysAndCertificate", json!({"setAsActive": true}));
        let document = json!({"Version": "2012-10-17", "Statement": everything()}).to_string();
        insist(&mut lab, &disk, "CreatePolicy", json!({"policyName": "all", "policyDocument": document}));
        insist(&mut lab, &disk, "AttachPolicy", json!({"policyName": "all", "target": made["certificateArn"]}));
        Self {
            lab,
            disk,
            breaks,
            certificate: text(&made["certificateId"]),
            dice: Dice(seed),
            desk: VecDeque::new(),
            clients: Default::default(),
            sent: Vec::new(),
            next: 0,
            promised: BTreeSet::new(),
            tally: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    fn step(&mut self) {
        let of = self.dice.pick(&[0, 1, 2]);
        match self.dice.roll(40) {
            0 => self.break_off(of),
            1 if self.dice.one_in(5) => self.restart(),
            1..5 => self.knock(of),
            5..10 => self.publish(),
            10..20 => self.hear(of),
            20..27 => self.acknowledge(of),
            27..34 => self.write(of),
            _ => {
                let count = 1 + self.dice.roll(4);
                self.commit(count);
            }
        }
    }

    fn knock(&mut self, of: usize) {
        let client = &mut self.clients[of];
        if client.knocking.is_some() || client.connection.is_some() {
            return;
        }
        let mut connect = Connect { clean_start: false, ..hello(Version::V5, NAMES[of]) };
        connect.properties.session_expiry_interval = Some(u32::MAX);
        let (jobs, told) = self.lab.knock(&self.certificate, &connect);
        self.desk.extend(jobs);
        client.knocking = Some(told);
    }

    /// Whether those who knocked are in.
    fn look_at_the_door(&mut self) {
        for (of, listens) in LISTENS.into_iter().enumerate() {
            let client = &mut self.clients[of];
            let Some(told) = &client.knocking else { continue };
            let Ok(arrived) = told.try_recv() else { continue };
            client.knocking = None;
            let Ok(connection) = arrived else { continue };
            client.connection = Some(connection);
            if of == MOUTH {
                self.send_again();
            } else if !client.subscribed {
                let subscription = Subscription::new(Filter::try_from("t").unwrap(), listens);
                self.send(of, subscribe([subscription]));
            }
        }
    }

    fn send_again(&mut self) {
        let release = |sent: &Sent| Packet::PubRel(Ack::success(packet_id(sent.id)));
        let packet = |sent: &Sent| if sent.released { release(sent) } else { publish(sent, true) };
        let packets: Vec<Packet> = self.sent.iter().map(packet).collect();
        for packet in packets {
            self.send(MOUTH, packet);
        }
    }

    fn send(&mut self, of: usize, packet: Packet) {
        if let Some(connection) = &self.clients[of].connection {
            self.desk.extend(self.lab.receive(connection, packet));
        }
    }

    fn publish(&mut self) {
        // The ears listen before anything is said.
        let hears = self.clients[1..].iter().all(|ear| ear.subscribed);
        if self.clients[MOUTH].connection.is_none() || !hears || self.sent.len() == 10 {
            return;
        }
        let id = (1..=10).find(|id| self.sent.iter().all(|sent| sent.id != *id)).unwrap();
        let qos = self.dice.pick(&[QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::ExactlyOnce]);
        let sent = Sent { id, number: self.next, qos, released: false };
        self.next += 1;
        let packet = publish(&sent, false);
        self.sent.push(sent);
        self.send(MOUTH, packet);
    }

    fn break_off(&mut self, of: usize) {
        let client = &mut self.clients[of];
        client.heard.clear();
        client.late.clear();
        if let Some(connection) = client.connection.take() {
            self.desk.extend(self.lab.disconnected(&connection));
            self.count("broken off");
        }
    }

    /// Brings what waits to the client's socket, and more of what it is owed.
    fn write(&mut self, of: usize) {
        let client = &mut self.clients[of];
        let Some(connection) = &client.connection else { return };
        client.heard.extend(heard(connection));
        if connection.link().wants_more() {
            self.desk.extend(self.lab.more(connection));
        }
    }

    fn hear(&mut self, of: usize) {
        let Some(packet) = self.clients[of].heard.pop_front() else { return };
        let client = &mut self.clients[of];
        match packet {
            Packet::ConnAck(connack) => {
                assert!(connack.session_present || !client.known, "{of}: its session is gone");
                client.known = true;
            }
            Packet::SubAck(_) => client.subscribed = true,
            Packet::Disconnect(_) => self.break_off(of),
            Packet::Publish(publish) => client.hear_publish(&publish),
            Packet::PubRel(ack) => {
                client.received.remove(&ack.packet_id.get());
                client.late.push_back(Packet::PubComp(Ack::success(ack.packet_id)));
            }
            Packet::PubAck(ack) | Packet::PubRec(ack) if ack.reason.is_error() => {
                self.sent.retain(|sent| sent.id != ack.packet_id.get());
                self.count("refused");
            }
            Packet::PubAck(ack) | Packet::PubComp(ack) => self.is_over(ack.packet_id.get()),
            Packet::PubRec(ack) => {
                let Some(sent) = self.sent.iter_mut().find(|sent| sent.id == ack.packet_id.get()) else { return };
                sent.released = true;
                self.promised.insert(sent.number);
                self.send(MOUTH, Packet::PubRel(Ack::success(ack.packet_id)));
            }
            other => panic!("{other:?}"),
        }
    }

    fn is_over(&mut self, id: u16) {
        let over = self.sent.iter().position(|sent| sent.id == id);
        self.promised.extend(over.map(|at| self.sent.remove(at).number));
    }

    fn acknowledge(&mut self, of: usize) {
        if let Some(packet) = self.clients[of].late.pop_front() {
            self.send(of, packet);
        }
    }

    fn commit(&mut self, count: u64) {
        let jobs: Vec<Job> = (0..count).map_while(|_| self.desk.pop_front()).collect();
        if let Ok(follow) = self.lab.commit_once(jobs) {
            follow.into_iter().rev().for_each(|job| self.desk.push_front(job));
        } else {
            self.count("failed");
            if self.breaks {
                self.restart();
            }
        }
        self.look_at_the_door();
        for of in 0..NAMES.len() {
            if self.clients[of].connection.as_ref().is_some_and(|connection| connection.link().is_closed()) {
                self.break_off(of);
            }
        }
    }

    fn restart(&mut self) {
        self.count("restarted");
        self.desk.clear();
        for client in &mut self.clients {
            (client.knocking, client.connection) = (None, None);
            client.heard.clear();
            client.late.clear();
        }
        if self.dice.one_in(2) {
            self.disk.crash();
        }
        loop {
            if let Ok(lab) = self.lab.try_reopened(self.disk.open(Durability::Durable)) {
                self.lab = lab;
                return;
            }
        }
    }

    /// Nobody says anything new, and no connection breaks but for the disk's sake.
    fn come_to_rest(&mut self) {
        for _ in 0..20_000 {
            for of in 0..NAMES.len() {
                self.knock(of);
                self.write(of);
                self.hear(of);
                self.acknowledge(of);
            }
            self.commit(3);
            let idle =
                |client: &Client| client.connection.is_some() && client.heard.is_empty() && client.late.is_empty();
            let quiet = self.desk.is_empty() && self.sent.is_empty() && self.clients.iter().all(idle);
            if quiet && self.lab.rows("session_messages") == 0 && self.lab.rows("session_received") == 0 {
                return;
            }
        }
        panic!("it does not come to rest: {:?}", self.sent.iter().map(|sent| sent.number).collect::<Vec<_>>());
    }

    fn check(&self) {
        for (name, client) in NAMES.iter().zip(&self.clients).skip(1) {
            let got = &client.got;
            let heard: BTreeSet<u32> = got.iter().map(|(number, _)| *number).collect();
            let lost: Vec<u32> = self.promised.difference(&heard).copied().collect();
            assert!(lost.is_empty(), "{name}: lost {lost:?}");
            let exactly: Vec<u32> = got.iter().filter(|(_, qos)| *qos == QoS::ExactlyOnce).map(|(n, _)| *n).collect();
            assert_eq!(exactly.iter().collect::<BTreeSet<_>>().len(), exactly.len(), "{name}: {exactly:?}");
            // What was refused, and comes again because the mouth did not hear of that, is overtaken.
            assert!(!self.breaks || exactly.is_sorted(), "{name}: {exactly:?}");
        }
    }
}

impl Client {
    fn hear_publish(&mut self, publish: &Publish) {
        let ack = Ack::success(publish.packet_id.unwrap());
        let number: u32 = std::str::from_utf8(&publish.payload).unwrap().parse().unwrap();
        if publish.qos == QoS::AtLeastOnce {
            self.got.push((number, publish.qos));
            self.late.push_back(Packet::PubAck(ack));
            return;
        }
        match self.received.insert(ack.packet_id.get(), number) {
            None => self.got.push((number, publish.qos)),
            Some(before) => assert_eq!(before, number, "its identifier is not released"),
        }
        self.late.push_back(Packet::PubRec(ack));
    }
}

fn publish(sent: &Sent, dup: bool) -> Packet {
    let Sent { id, number, qos, .. } = sent;
    let packet_id = Some(packet_id(*id));
    Packet::Publish(Publish { qos: *qos, packet_id, dup, ..message("t", number.to_string()) })
}

#[test]
fn what_was_acknowledged_is_heard_and_qos_2_once_whatever_the_disk_does() {
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..30 {
        let mut run = Run::new(seed);
        for _ in 0..1500 {
            run.step();
        }
        run.come_to_rest();
        run.check();
        run.count("runs");
        *run.tally.entry("promised").or_default() += run.promised.len();
        for (what, count) in run.tally {
            *tally.entry(what).or_default() += count;
        }
    }
    for what in ["broken off", "failed", "promised", "restarted"] {
        assert!(tally.get(what).is_some_and(|count| *count > 30), "too little {what}: {tally:?}");
    }
}
