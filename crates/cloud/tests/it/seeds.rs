//! A house lived in at random, by seed: devices come and go, subscribe and publish, permissions change, the disk fails,
//! the house restarts. A model of maps says after each step what must have been told to whom and what must be kept.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloud::{Identity, Job, Quotas};
use mqtt::{Packet, Version};
use serde_json::{Value, json};
use store::{Disk, Durability, FaultPlan};

use crate::device::{Device, message_1, packet_id, retained, subscribe, subscription};
use crate::house::{Lab, column, hello, statement, text};

const HOUR: i64 = 60 * 60 * 1000;
const CLIENTS: [&str; 4] = ["c0", "c1", "c2", "c3"];
const THINGS: [&str; 2] = ["t0", "t1"];
const TOPICS: [&str; 3] = ["a", "b", "a/b"];
const FILTERS: [&str; 8] = [
    "a",
    "b",
    "+",
    "#",
    "a/#",
    "$aws/things/+/shadow/#",
    "$aws/things/t0/shadow/update/accepted",
    "$aws/things/t1/shadow/+/accepted",
];
/// Policies by number: connect, speak, listen, hear, deaf to `a`, silent on `b`.
const POLICIES: [&str; 6] = ["p0", "p1", "p2", "p3", "p4", "p5"];

fn statements(policy: usize) -> Value {
    match policy {
        0 => json!([statement("Allow", "iot:Connect", &["client/*"])]),
        1 => json!([
            statement("Allow", "iot:Publish", &["topic/*"]),
            statement("Allow", "iot:RetainPublish", &["topic/*"])
        ]),
        2 => json!([statement("Allow", "iot:Subscribe", &["topicfilter/*"])]),
        3 => json!([statement("Allow", "iot:Receive", &["topic/*"])]),
        4 => json!([statement("Deny", "iot:Receive", &["topic/a"])]),
        _ => json!([statement("Deny", "iot:Publish", &["topic/b"])]),
    }
}

/// splitmix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }

    pub(crate) fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.roll(of.len() as u64)).unwrap()]
    }
}

fn count(tally: &mut Tally, what: &'static str) {
    *tally.entry(what).or_default() += 1;
}

/// What is on disk, as far as operations show it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    /// By certificate: whether it is active, and its policies.
    identities: Vec<(bool, BTreeSet<usize>)>,
    /// By thing, the versions of the shadows that exist.
    shadows: BTreeMap<&'static str, u64>,
    retained: BTreeMap<&'static str, String>,
}

/// The same, and what a deleted shadow remembers: its number and since when.
#[derive(Clone, Debug, Default)]
struct Kept {
    seen: Seen,
    deleted: BTreeMap<&'static str, (u64, i64)>,
}

impl Kept {
    fn may_connect(&self, certificate: usize) -> bool {
        let (active, policies) = &self.seen.identities[certificate];
        *active && policies.contains(&0)
    }

    fn may_publish(&self, certificate: usize, topic: &str) -> bool {
        let policies = &self.seen.identities[certificate].1;
        policies.contains(&1) && !(policies.contains(&5) && topic == "b")
    }

    fn may_subscribe(&self, certificate: usize) -> bool {
        self.seen.identities[certificate].1.contains(&2)
    }

    fn may_receive(&self, certificate: usize, topic: &str) -> bool {
        let policies = &self.seen.identities[certificate].1;
        policies.contains(&3) && !(policies.contains(&4) && topic == "a")
    }

    /// What a publication does, and the publications that come of it in words; `now` is in milliseconds.
    fn publish(&mut self, said: &Said, now: i64) -> Vec<String> {
        let mut told = vec![said.topic()];
        match said {
            Said::Plain { topic, payload, retain: true } if payload.is_empty() => {
                self.seen.retained.remove(topic);
            }
            Said::Plain { topic, payload, retain: true } => {
                self.seen.retained.insert(topic, payload.clone());
            }
            Said::Plain { .. } => {}
            Said::Update(thing) => {
                let version = self.update(thing, now);
                told.push(format!("$aws/things/{thing}/shadow/update/documents"));
                told.push(format!("$aws/things/{thing}/shadow/update/accepted v{version}"));
            }
            Said::Delete(thing) => match self.seen.shadows.remove(thing) {
                Some(version) => {
                    self.deleted.insert(thing, (version + 1, now));
                    told.push(format!("$aws/things/{thing}/shadow/delete/accepted v{version}"));
                }
                None => told.push(format!("$aws/things/{thing}/shadow/delete/rejected")),
            },
        }
        told
    }

    fn update(&mut self, thing: &'static str, now: i64) -> u64 {
        let remembered = match self.deleted.remove(thing) {
            Some((number, since)) if now / 1000 - since / 1000 <= 48 * 60 * 60 => number,
            _ => 0,
        };
        let version = self.seen.shadows.get(thing).copied().unwrap_or(remembered) + 1;
        self.seen.shadows.insert(thing, version);
        version
    }
}

/// Something to publish.
#[derive(Clone, Debug)]
enum Said {
    Plain { topic: &'static str, payload: String, retain: bool },
    Update(&'static str),
    Delete(&'static str),
}

impl Said {
    fn topic(&self) -> String {
        match self {
            Self::Plain { topic, .. } => (*topic).to_owned(),
            Self::Update(thing) => format!("$aws/things/{thing}/shadow/update"),
            Self::Delete(thing) => format!("$aws/things/{thing}/shadow/delete"),
        }
    }

    fn packet(&self, id: u16) -> Packet {
        match self {
            Self::Plain { topic, payload, retain: true } => retained(message_1(id, topic, payload)),
            Self::Plain { topic, payload, retain: false } => Packet::Publish(message_1(id, topic, payload)),
            _ => Packet::Publish(message_1(id, &self.topic(), r#"{"state":{"reported":{"a":1}}}"#)),
        }
    }

    fn is_plain(&self) -> bool {
        matches!(self, Self::Plain { retain: false, .. })
    }
}

/// One connected client, and what it must have been told since it was last asked.
struct Line {
    device: Device,
    certificate: usize,
    version: Version,
    filters: BTreeSet<&'static str>,
    at_desk: Vec<u16>,
    messages: Vec<String>,
    acknowledged: Vec<String>,
    is_closed: bool,
}

/// How often what happened, so that a run in which nothing does is noticed.
type Tally = BTreeMap<&'static str, usize>;

struct Run {
    lab: Lab,
    disk: Disk,
    breaks: bool,
    dice: Dice,
    certificates: Vec<(String, String)>,
    kept: Kept,
    lines: BTreeMap<&'static str, Line>,
    tally: Tally,
}

impl Run {
    fn new(seed: u64, tally: Tally) -> Self {
        let breaks = seed % 2 == 1;
        let often = 15;
        let (refuse_one_in, break_one_in) = if breaks { (0, often) } else { (often, 0) };
        let disk = Disk::new(FaultPlan { seed, refuse_one_in, break_one_in, fail_read_one_in: 0 });
        let lab = Lab::over(disk.open(Durability::Durable), Quotas::Aws);
        let (dice, certificates, kept, lines) = (Dice(seed), Vec::new(), Kept::default(), BTreeMap::new());
        let mut run = Self { lab, disk, breaks, dice, certificates, kept, lines, tally };
        for (policy, name) in POLICIES.iter().enumerate() {
            let document = json!({"Version": "2012-10-17", "Statement": statements(policy)}).to_string();
            run.insist("CreatePolicy", json!({"policyName": name, "policyDocument": document}));
        }
        for _ in 0..3 {
            let made = run.insist("CreateKeysAndCertificate", json!({"setAsActive": true}));
            let (id, arn) = (text(&made["certificateId"]), text(&made["certificateArn"]));
            for policy in &POLICIES[..4] {
                run.insist("AttachPolicy", json!({"policyName": policy, "target": arn}));
            }
            run.certificates.push((id, arn));
            run.kept.seen.identities.push((true, (0..4).collect()));
        }
        run
    }

    fn insist(&mut self, operation: &str, input: Value) -> Value {
        insist(&mut self.lab, &self.disk, operation, input)
    }

    fn step(&mut self) {
        let pause = if self.dice.one_in(60) { 50 * HOUR } else { i64::try_from(self.dice.roll(3000)).unwrap() };
        self.lab.pass(pause);
        let deleted = self.kept.deleted.len();
        match self.dice.roll(40) {
            0..7 => self.connect(),
            7 => self.leave(),
            8..17 => self.subscribe(),
            17 => self.unsubscribe(),
            18..31 => self.burst(),
            31 | 32 => self.update_over_http(),
            33..37 => self.change_policies(),
            37 | 38 => self.change_status(),
            _ if self.dice.one_in(3) => self.restart(),
            _ => {}
        }
        if self.kept.deleted.len() < deleted {
            count(&mut self.tally, "recreated");
        }
        self.check_lines();
    }

    fn connect(&mut self) {
        let (client_id, version) =
            (self.dice.pick(&CLIENTS), self.dice.pick(&[Version::V5, Version::V5, Version::V311]));
        let certificate = self.dice.pick(&[0, 1, 2]);
        let id = self.certificates[certificate].0.clone();
        if !self.kept.may_connect(certificate) {
            assert!(self.lab.arrive(&id, &hello(version, client_id)).is_err(), "{client_id}");
            count(&mut self.tally, "denied");
            return;
        }
        let line = Line {
            device: self.lab.device(&id, version, client_id),
            certificate,
            version,
            filters: BTreeSet::new(),
            at_desk: Vec::new(),
            messages: Vec::new(),
            acknowledged: Vec::new(),
            is_closed: false,
        };
        if let Some(old) = self.lines.insert(client_id, line) {
            assert_eq!(old.device.closed(), Some(broker::Closed::TakenOver));
            old.device.vanish();
        }
    }

    /// One of those that are connected.
    fn pick_client(&mut self) -> &'static str {
        let connected: Vec<&str> = self.lines.keys().copied().collect();
        if connected.is_empty() { CLIENTS[0] } else { self.dice.pick(&connected) }
    }

    fn leave(&mut self) {
        if let Some(line) = self.lines.remove(self.dice.pick(&CLIENTS)) {
            line.device.vanish();
        }
    }

    fn subscribe(&mut self) {
        let (client_id, filter) = (self.pick_client(), self.dice.pick(&FILTERS));
        let Some(line) = self.lines.get_mut(client_id) else { return };
        line.device.give(subscribe([subscription(filter)]));
        let allowed = self.kept.may_subscribe(line.certificate);
        let refused = if line.version == Version::V5 { "SUBACK 1 87" } else { "SUBACK 1 80" };
        let mut expected = vec![if allowed { "SUBACK 1 01" } else { refused }.to_owned()];
        if allowed {
            line.filters.insert(filter);
            let found = self.kept.seen.retained.get(filter);
            if let Some(payload) = found.filter(|_| self.kept.may_receive(line.certificate, filter)) {
                expected.push(format!("{filter} q1 retain {payload}"));
                count(&mut self.tally, "sent retained");
            }
        }
        assert_eq!(line.device.told(), expected, "{client_id} {filter}");
    }

    fn unsubscribe(&mut self) {
        let (client_id, filter) = (self.pick_client(), self.dice.pick(&FILTERS));
        let Some(line) = self.lines.get_mut(client_id) else { return };
        line.device.give(Packet::Unsubscribe(mqtt::Unsubscribe {
            packet_id: packet_id(1),
            filters: vec![mqtt::Filter::try_from(filter).unwrap()],
            properties: mqtt::UnsubscribeProperties::default(),
        }));
        line.filters.remove(filter);
        assert_eq!(line.device.told(), ["UNSUBACK"]);
    }

    fn something(&mut self) -> Said {
        match self.dice.roll(6) {
            0 => Said::Delete(self.dice.pick(&THINGS)),
            1 | 2 => Said::Update(self.dice.pick(&THINGS)),
            _ => {
                let payload = if self.dice.one_in(3) { String::new() } else { self.dice.roll(1000).to_string() };
                Said::Plain { topic: self.dice.pick(&TOPICS), payload, retain: self.dice.one_in(2) }
            }
        }
    }

    /// A few publications of several devices; those that must be written share one commit.
    fn burst(&mut self) {
        let mut jobs: Vec<Job> = Vec::new();
        let mut waiting: Vec<Said> = Vec::new();
        for id in 1..=u16::try_from(self.dice.roll(5)).unwrap() {
            let (client_id, said) = (self.pick_client(), self.something());
            let Some(line) = self.lines.get_mut(client_id).filter(|line| !line.is_closed) else { continue };
            let job = line.device.send(said.packet(id));
            let allowed = self.kept.may_publish(line.certificate, &said.topic());
            let waits = allowed && !(said.is_plain() && line.at_desk.is_empty());
            assert_eq!(job.is_some(), waits, "{client_id} {said:?}");
            if !allowed {
                count(&mut self.tally, "denied");
                line.acknowledged.push(format!("PUBACK {id} 87"));
                line.is_closed = line.version == Version::V311;
            } else if waits {
                jobs.extend(job);
                waiting.push(said);
                line.at_desk.push(id);
                line.acknowledged.push(format!("PUBACK {id} 00"));
            } else {
                line.acknowledged.push(format!("PUBACK {id} 00"));
                let told = self.kept.publish(&said, self.lab.now());
                self.expect(&told);
            }
        }
        let before = self.kept.clone();
        let now = self.lab.now();
        let told: Vec<String> = waiting.iter().flat_map(|said| self.kept.publish(said, now)).collect();
        let written = self.lab.commit(jobs);
        if written.is_ok() {
            self.expect(&told);
        } else {
            for line in self.lines.values_mut().filter(|line| !line.at_desk.is_empty()) {
                line.is_closed |= line.version == Version::V311;
                for acknowledged in &mut line.acknowledged {
                    for id in &line.at_desk {
                        if *acknowledged == format!("PUBACK {id} 00") {
                            *acknowledged = format!("PUBACK {id} 80");
                        }
                    }
                }
            }
            self.check_lines();
            self.failed(before);
        }
        self.lines.values_mut().for_each(|line| line.at_desk.clear());
    }

    /// Every open line that subscribed to one of these and may receive it is told it, once and in order.
    fn expect(&mut self, told: &[String]) {
        for words in told {
            let topic = words.split(' ').next().unwrap();
            for line in self.lines.values_mut().filter(|line| !line.is_closed) {
                if !line.filters.iter().any(|filter| matches(filter, topic)) {
                    continue;
                }
                if self.kept.may_receive(line.certificate, topic) {
                    line.messages.push(words.clone());
                    count(&mut self.tally, "delivered");
                } else {
                    count(&mut self.tally, "withheld");
                }
            }
        }
    }

    fn update_over_http(&mut self) {
        let thing = self.dice.pick(&THINGS);
        let before = self.kept.clone();
        let told = self.kept.publish(&Said::Update(thing), self.lab.now());
        let input = json!({"thingName": thing});
        let body = br#"{"state":{"reported":{"a":1}}}"#;
        match self.lab.call_as(Identity::Key("key".to_owned()), "UpdateThingShadow", input, body) {
            Ok(output) => {
                let accepted: Value = serde_json::from_slice(output.payload().unwrap()).unwrap();
                assert_eq!(accepted["version"], self.kept.seen.shadows[thing]);
                self.expect(&told[1..]);
            }
            Err(refusal) => {
                assert_eq!(refusal.error(), "InternalFailureException");
                self.failed(before);
            }
        }
    }

    fn change_policies(&mut self) {
        let (certificate, policy) = (self.dice.pick(&[0, 1, 2]), self.dice.pick(&[0, 1, 2, 3, 4, 5]));
        let before = self.kept.clone();
        let policies = &mut self.kept.seen.identities[certificate].1;
        // Permissions are lost less often than they come back, and prohibitions the other way round.
        let (attached, rarely) = (policies.contains(&policy), self.dice.one_in(3));
        let operation = match (attached, attached == (policy < 4)) {
            (_, true) if !rarely => return,
            (true, _) => "DetachPolicy",
            (false, _) => "AttachPolicy",
        };
        if !policies.remove(&policy) {
            policies.insert(policy);
        }
        let input = json!({"policyName": POLICIES[policy], "target": self.certificates[certificate].1});
        self.change(operation, input, before);
    }

    fn change_status(&mut self) {
        let certificate = self.dice.pick(&[0, 1, 2]);
        let before = self.kept.clone();
        let active = !self.kept.seen.identities[certificate].0;
        if !active && !self.dice.one_in(4) {
            return;
        }
        self.kept.seen.identities[certificate].0 = active;
        let status = if active { "ACTIVE" } else { "INACTIVE" };
        let input = json!({"certificateId": self.certificates[certificate].0, "newStatus": status});
        self.change("UpdateCertificate", input, before);
    }

    /// An operation on identities; who may no longer be connected is put out at once.
    fn change(&mut self, operation: &str, input: Value, before: Kept) {
        if let Err((error, message)) = self.lab.call(operation, input) {
            assert_eq!(error, "InternalFailureException", "{operation}: {message}");
            return self.failed(before);
        }
        for line in self.lines.values_mut().filter(|line| !line.is_closed) {
            line.is_closed = !self.kept.may_connect(line.certificate);
            if line.is_closed {
                count(&mut self.tally, "put out");
            }
        }
    }

    /// A commit failed: all of it is kept or nothing. A disk that only refused kept nothing; one that broke is
    /// opened again, and may have kept what it was brought.
    fn failed(&mut self, before: Kept) {
        count(&mut self.tally, "failed");
        if self.breaks {
            self.reopen();
        }
        let (seen, after) = (self.look(), std::mem::replace(&mut self.kept, before));
        if self.breaks && seen == after.seen && seen != self.kept.seen {
            count(&mut self.tally, "survived");
            self.kept = after;
        }
        assert_eq!(seen, self.kept.seen);
    }

    fn restart(&mut self) {
        count(&mut self.tally, "restarts");
        self.reopen();
        assert_eq!(self.look(), self.kept.seen);
    }

    fn reopen(&mut self) {
        self.lines.clear();
        if self.dice.one_in(2) {
            self.disk.crash();
        }
        self.lab = self.lab.reopened(self.disk.open(Durability::Durable));
    }

    fn look(&self) -> Seen {
        let mut seen = Seen::default();
        for (id, arn) in &self.certificates {
            let description = self.lab.ok("DescribeCertificate", json!({"certificateId": id}));
            let attached = self.lab.ok("ListAttachedPolicies", json!({"target": arn}));
            let names = column(&attached["policies"], "policyName");
            let policies =
                names.iter().map(|name| POLICIES.iter().position(|policy| policy == name).unwrap()).collect();
            seen.identities.push((description["certificateDescription"]["status"] == "ACTIVE", policies));
        }
        for thing in THINGS {
            let key = Identity::Key("key".to_owned());
            if let Ok(output) = self.lab.call_as(key, "GetThingShadow", json!({"thingName": thing}), b"") {
                let document: Value = serde_json::from_slice(output.payload().unwrap()).unwrap();
                seen.shadows.insert(thing, document["version"].as_u64().unwrap());
            }
        }
        for topic in TOPICS {
            if let Ok(answer) = self.lab.call("GetRetainedMessage", json!({"topic": topic})) {
                let payload = STANDARD.decode(text(&answer["payload"])).unwrap();
                seen.retained.insert(topic, String::from_utf8(payload).unwrap());
            }
        }
        seen
    }

    /// Each line was told what it must have been, and closed exactly if it must be.
    fn check_lines(&mut self) {
        for (client_id, line) in &mut self.lines {
            assert_eq!(line.device.closed().is_some(), line.is_closed, "{client_id}");
            let (mut messages, mut acknowledged) = (Vec::new(), Vec::new());
            for packet in line.device.heard() {
                match &packet {
                    Packet::Publish(publish) => messages.push(short(publish)),
                    packet => acknowledged.push(crate::device::words(packet)),
                }
            }
            assert_eq!(messages, std::mem::take(&mut line.messages), "{client_id}");
            let expected = std::mem::take(&mut line.acknowledged);
            // What a closed line is told last is not for its client any more, or the words of its end.
            if !line.is_closed {
                assert_eq!(acknowledged, expected, "{client_id}");
            }
        }
        let closed: Vec<&str> = self.lines.iter().filter(|(_, line)| line.is_closed).map(|(id, _)| *id).collect();
        for client_id in closed {
            self.lines.remove(client_id).unwrap().device.vanish();
        }
    }
}

/// Tries until the disk takes it, opening it again where it broke; what had survived is as good.
pub(crate) fn insist(lab: &mut Lab, disk: &Disk, operation: &str, input: Value) -> Value {
    loop {
        match lab.call(operation, input.clone()) {
            Ok(answer) => return answer,
            Err((error, _)) if error == "ResourceAlreadyExistsException" => return Value::Null,
            Err((error, message)) => assert_eq!(error, "InternalFailureException", "{operation}: {message}"),
        }
        *lab = lab.reopened(disk.open(Durability::Durable));
    }
}

/// A message as the model words it: its topic, and the version where one is accepted.
fn short(publish: &mqtt::Publish) -> String {
    let topic = publish.topic.as_ref().unwrap().as_str();
    if topic.starts_with("$aws/") && topic.ends_with("/accepted") {
        let accepted: Value = serde_json::from_slice(&publish.payload).unwrap();
        return format!("{topic} v{}", accepted["version"]);
    }
    topic.to_owned()
}

/// Whether a filter matches, level by level: `#` takes in what is below but not the parent, and no wildcard at the
/// first level takes in `$` [MQTT-4.7.2-1].
fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), below) => return below.is_some(),
            (Some(level), Some(name)) if level == "+" || level == name => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

#[test]
fn nothing_is_told_to_who_may_not_hear_it_and_nothing_acknowledged_is_lost() {
    let mut tally = Tally::new();
    for seed in 0..16 {
        let mut run = Run::new(seed, tally);
        for _ in 0..300 {
            run.step();
        }
        run.restart();
        tally = run.tally;
    }
    let expected = ["delivered", "denied", "failed", "put out", "recreated", "restarts", "sent retained", "survived"];
    for what in expected.into_iter().chain(["withheld"]) {
        assert!(tally.get(what).is_some_and(|count| *count > 20), "too little {what}: {tally:?}");
    }
}
