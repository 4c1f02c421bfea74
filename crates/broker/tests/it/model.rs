//! A broker lived with at random, by seed: clients that keep to the protocol publish and subscribe while connections break,
//! sessions are taken over, acknowledgements are late or lost and the server is killed. A model of maps says what everybody
//! must have got in the end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::num::NonZeroU16;
use std::sync::Arc;

use broker::{Broker, Closed, Kept, Link, Offer, Plan, Restored, Session, Settings, Settled, Step, Subscribed};
use bytes::BytesMut;
use mqtt::{Ack, Decoder, Filter, Packet, Publish, QoS, Subscription, Topic, Version};

use crate::house::{Open, Shelf, id, offer};

const NAMES: [&str; 4] = ["c0", "c1", "c2", "fleeting"];
const TOPICS: [&str; 2] = ["a", "b"];
const FILTERS: [&str; 3] = ["a", "b", "+"];
const RECEIVE_MAXIMUM: u16 = 4;

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).unwrap()
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }
}

/// A message by who published it and its number there.
type Message = (usize, u32);

/// The server's end of a connection: what has arrived and not been read.
struct Line {
    of: usize,
    link: Arc<Link>,
    up: VecDeque<Packet>,
}

/// The client's end of it.
struct Socket {
    link: Arc<Link>,
    down: VecDeque<Packet>,
    receive_maximum: u16,
    /// What was received on it and is not acknowledged for good.
    in_flight: BTreeSet<u16>,
    /// Acknowledgements that are late, in the order they are owed.
    late: VecDeque<Packet>,
    /// What was published on it and is not acknowledged for good.
    unacknowledged: BTreeSet<u16>,
}

/// A message of the client's that is not acknowledged for good.
struct Sent {
    id: u16,
    packet: Publish,
    released: bool,
}

/// A client that keeps to the protocol, and what it remembers between its connections.
#[derive(Default)]
struct Client {
    socket: Option<Socket>,
    connecting: bool,
    begins_anew: bool,
    sent: Vec<Sent>,
    next: u32,
    received: BTreeMap<u16, Message>,
    /// What came under which identifier, since the server was last killed.
    seen: BTreeSet<(u16, Message)>,
    /// What it got, in order.
    got: Vec<(Message, QoS)>,
}

impl Client {
    fn forget(&mut self) {
        self.sent.clear();
        self.received.clear();
        self.got.clear();
        self.seen.clear();
    }
}

/// What the model knows of a client's session on the server.
#[derive(Default)]
struct Seat {
    session: u64,
    key: Option<u64>,
    filters: BTreeMap<&'static str, QoS>,
    /// What it must get, in order.
    expected: Vec<(Message, QoS)>,
}

impl Seat {
    fn of(session: &Session) -> Self {
        Self { session: session.number(), key: session.stored(), ..Self::default() }
    }
}

/// What is written by a turn of the desk, and what follows once it is on disk.
enum Job {
    Publish(Arc<Link>, Publish, Message),
    Settle(Arc<Session>),
    Release(Arc<Link>, NonZeroU16),
    Connect(usize, Offer),
    Subscribe(Arc<Link>, usize, &'static str, Option<QoS>),
    Sweep(u64),
}

/// A job that has been written.
enum Written {
    Published(Arc<Link>, Publish, Plan),
    Settled(Arc<Session>, Vec<Settled>),
    Other(Job),
}

#[derive(Default)]
struct Disk {
    sessions: BTreeMap<usize, u64>,
    filters: BTreeMap<(u64, &'static str), QoS>,
    shelf: Shelf,
}

struct World {
    dice: Dice,
    broker: Broker,
    disk: Disk,
    desk: VecDeque<Job>,
    lines: Vec<Line>,
    clients: Vec<Client>,
    seats: BTreeMap<usize, Seat>,
    /// The highest number published of each client, and all of QoS 2.
    published: BTreeMap<usize, u32>,
    once: BTreeSet<Message>,
    keys: u64,
    tally: BTreeMap<&'static str, usize>,
}

fn broker() -> Broker {
    let settings =
        Settings { receive_maximum: RECEIVE_MAXIMUM, in_flight: 5, outgoing_bytes: 60, ..Settings::default() };
    Broker::new(settings)
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            dice: Dice(seed),
            broker: broker(),
            disk: Disk::default(),
            desk: VecDeque::new(),
            lines: Vec::new(),
            clients: NAMES.iter().map(|_| Client::default()).collect(),
            seats: BTreeMap::new(),
            published: BTreeMap::new(),
            once: BTreeSet::new(),
            keys: 0,
            tally: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    fn step(&mut self) {
        let of = self.dice.roll(NAMES.len());
        match self.dice.roll(60) {
            0 => self.break_off(of),
            1 if self.dice.one_in(6) => self.kill(),
            1..6 => self.connect(of, false),
            6..8 => self.subscribe(of),
            8..14 => self.publish(of),
            14..24 => self.acknowledge(of),
            24..36 => self.hear(of),
            36..48 => self.read(),
            48..56 => self.write(of),
            _ => {
                let count = 1 + self.dice.roll(4);
                self.commit(count, false);
            }
        }
    }

    // What clients do.

    fn connect(&mut self, of: usize, must_keep: bool) {
        let client = &mut self.clients[of];
        // Now and then a client comes a second time while the first connection is still there.
        if client.connecting || client.socket.is_some() && (must_keep || !self.dice.one_in(12)) {
            return;
        }
        client.socket = None;
        client.connecting = true;
        self.keys += 1;
        // Who has begun anew has nothing to come back to, until it is told so.
        client.begins_anew |= !must_keep && self.dice.one_in(12);
        let clean_start = client.begins_anew;
        if clean_start {
            client.forget();
        }
        let expiry = if NAMES[of] == "fleeting" { 0 } else { 3600 };
        let receive_maximum = 1 + u16::try_from(self.dice.roll(4)).unwrap();
        let version = if of == 1 { Version::V311 } else { Version::V5 };
        let stored = (expiry > 0).then_some(self.keys);
        let offer = Offer { clean_start, expiry, stored, receive_maximum, version, ..offer(NAMES[of]) };
        self.desk.push_back(Job::Connect(of, offer));
    }

    /// The client's end of a connection is gone; the server reads on what has arrived until it notices.
    fn break_off(&mut self, of: usize) {
        if self.clients[of].socket.take().is_some() {
            self.count("broken");
        }
    }

    fn line(&mut self, of: usize) -> Option<&mut Line> {
        let number = self.clients[of].socket.as_ref()?.link.number();
        self.lines.iter_mut().find(|line| line.link.number() == number)
    }

    fn send(&mut self, of: usize, packet: Packet) {
        if let Some(line) = self.line(of) {
            line.up.push_back(packet);
        }
    }

    fn subscribe(&mut self, of: usize) {
        let (filter, qos) = (FILTERS[self.dice.roll(3)], [None, Some(QoS::AtLeastOnce), Some(QoS::ExactlyOnce)]);
        let (asked, rarely) = (self.dice.roll(3), self.dice.one_in(3));
        if let Some(socket) = &self.clients[of].socket
            && (asked > 0 || rarely)
        {
            self.desk.push_back(Job::Subscribe(Arc::clone(&socket.link), of, filter, qos[asked]));
        }
    }

    fn publish(&mut self, of: usize) {
        let client = &mut self.clients[of];
        let Some(socket) = &mut client.socket else { return };
        if socket.unacknowledged.len() == usize::from(RECEIVE_MAXIMUM) {
            return;
        }
        let number = client.next;
        client.next += 1;
        let taken: BTreeSet<u16> = client.sent.iter().map(|sent| sent.id).collect();
        let free = (1..=u16::MAX).find(|id| !taken.contains(id)).unwrap();
        socket.unacknowledged.insert(free);
        let qos = if self.dice.one_in(2) { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
        let topic = Topic::try_from(TOPICS[self.dice.roll(2)]).unwrap();
        let packet = Publish { qos, packet_id: Some(id(free)), ..Publish::new(topic, format!("{of} {number}")) };
        client.sent.push(Sent { id: free, packet: packet.clone(), released: false });
        self.send(of, Packet::Publish(packet));
    }

    /// Sends one of the acknowledgements that are owed.
    fn acknowledge(&mut self, of: usize) {
        let Some(socket) = &mut self.clients[of].socket else { return };
        let Some(packet) = socket.late.pop_front() else { return };
        if let Packet::PubAck(ack) | Packet::PubComp(ack) = &packet {
            socket.in_flight.remove(&ack.packet_id.get());
        }
        self.send(of, packet);
    }

    /// Takes one packet from the socket.
    fn hear(&mut self, of: usize) {
        let Some(socket) = &mut self.clients[of].socket else { return };
        let Some(packet) = socket.down.pop_front() else { return };
        match packet {
            Packet::Publish(publish) => self.hear_publish(of, &publish),
            Packet::PubRel(ack) => {
                self.clients[of].received.remove(&ack.packet_id.get());
                self.clients[of].socket.as_mut().unwrap().late.push_back(Packet::PubComp(Ack::success(ack.packet_id)));
            }
            Packet::PubRec(ack) => {
                assert!(!ack.reason.is_error());
                let sent = self.clients[of].sent.iter_mut().find(|sent| sent.id == ack.packet_id.get());
                sent.unwrap().released = true;
                self.send(of, Packet::PubRel(Ack::success(ack.packet_id)));
            }
            Packet::PubAck(ack) | Packet::PubComp(ack) => {
                let client = &mut self.clients[of];
                client.sent.retain(|sent| sent.id != ack.packet_id.get());
                client.socket.as_mut().unwrap().unacknowledged.remove(&ack.packet_id.get());
            }
            Packet::Disconnect(_) => self.break_off(of),
            other => panic!("{other:?}"),
        }
    }

    fn hear_publish(&mut self, of: usize, publish: &Publish) {
        let client = &mut self.clients[of];
        let socket = client.socket.as_mut().unwrap();
        let packet_id = publish.packet_id.unwrap();
        let message = read(publish);
        assert!(socket.in_flight.insert(packet_id.get()), "{of} {publish:?}: its identifier is in flight");
        assert!(socket.in_flight.len() <= usize::from(socket.receive_maximum), "{of} {publish:?}: too many");
        let is_new = client.seen.insert((packet_id.get(), message));
        assert!(publish.dup || is_new, "{of} {publish:?}: not said to be a repetition");
        let ack = Ack::success(packet_id);
        if publish.qos == QoS::AtLeastOnce {
            client.got.push((message, publish.qos));
            socket.late.push_back(Packet::PubAck(ack));
            return;
        }
        match client.received.insert(packet_id.get(), message) {
            None => client.got.push((message, publish.qos)),
            Some(before) => {
                assert_eq!(before, message, "{of} {publish:?}: its identifier is not released");
                *self.tally.entry("repeated").or_default() += 1;
            }
        }
        socket.late.push_back(Packet::PubRec(ack));
    }

    // What the server does.

    /// Reads one packet of some connection, or notices that it is broken.
    fn read(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        let at = self.dice.roll(self.lines.len());
        let (of, link) = (self.lines[at].of, Arc::clone(&self.lines[at].link));
        let present = self.clients[of].socket.as_ref().is_some_and(|socket| socket.link.number() == link.number());
        let packet = self.lines[at].up.pop_front();
        if link.is_closed() || !present && (packet.is_none() || self.dice.one_in(3)) {
            assert!(matches!(link.closed(), None | Some(Closed::TakenOver)), "{of} {:?}", link.closed());
            if !present || link.is_closed() {
                self.lines.remove(at);
                self.detach(of, &link);
            }
            return;
        }
        let Some(packet) = packet else { return };
        match link.receive(packet, 0) {
            Step::Nothing => {}
            Step::Publish(publish) => {
                let message = read(&publish);
                self.desk.push_back(Job::Publish(link, publish, message));
            }
            Step::Settle => self.desk.push_back(Job::Settle(Arc::clone(link.session()))),
            Step::Release(id) => self.desk.push_back(Job::Release(link, id)),
            other => panic!("{other:?}"),
        }
    }

    fn detach(&mut self, of: usize, link: &Link) {
        if self.clients[of].socket.as_ref().is_some_and(|socket| socket.link.number() == link.number()) {
            self.clients[of].socket = None;
        }
        let detached = self.broker.detach(link, 0);
        if detached.ended.is_some() {
            self.seats.remove(&of);
        }
        if link.session().is_to_be_settled() {
            self.desk.push_back(Job::Settle(Arc::clone(link.session())));
        }
    }

    /// Brings what waits for a client to its socket, and sometimes more of what it is owed.
    fn write(&mut self, of: usize) {
        let Some(socket) = &mut self.clients[of].socket else { return };
        let link = &socket.link;
        let mut bytes = BytesMut::from(&link.take_outgoing()[..]);
        let mut decoder = Decoder::for_version(link.version(), 1 << 20);
        socket.down.extend(std::iter::from_fn(|| decoder.decode(&mut bytes).unwrap()));
        assert!(bytes.is_empty(), "half a packet");
        if link.wants_more() {
            let (session, disk) = (link.session(), &self.disk);
            let fetch = |wanted: &[u64]| Ok::<_, Infallible>(disk.shelf.fetch(session.stored().unwrap(), wanted));
            session.refill(0, fetch).unwrap();
            if session.is_to_be_settled() {
                self.desk.push_back(Job::Settle(Arc::clone(session)));
            }
        }
    }

    /// One turn of the desk; the server may be killed between the disk and what follows.
    fn commit(&mut self, count: usize, is_killed: bool) {
        let jobs: Vec<Job> = (0..count).map_while(|_| self.desk.pop_front()).collect();
        let written: Vec<Written> = jobs.into_iter().map(|job| self.put_down(job)).collect();
        if is_killed {
            return;
        }
        let mut follow = Vec::new();
        for written in written {
            follow.extend(self.follow(written));
        }
        for job in follow.into_iter().rev() {
            self.desk.push_front(job);
        }
    }

    fn put_down(&mut self, job: Job) -> Written {
        let disk = &mut self.disk;
        match job {
            Job::Publish(link, publish, message) => {
                let session = link.session();
                if let (QoS::ExactlyOnce, Some(key), false) = (publish.qos, session.stored(), session.has_ended()) {
                    let is_new = disk.shelf.received.insert((key, publish.packet_id.unwrap().get()));
                    if !is_new {
                        // It came on another connection, and was not written yet when it came again.
                        *self.tally.entry("overtaken").or_default() += 1;
                        return Written::Published(link, publish, Plan::default());
                    }
                }
                let topic = publish.topic.clone().unwrap();
                let plan = self.broker.plan(&self.broker.route(topic.as_str()), &publish, Some(session.number()));
                disk.shelf.keep(&plan, &publish, 0);
                self.expect(message, &publish, topic.as_str());
                return Written::Published(link, publish, plan);
            }
            Job::Settle(session) => {
                let settled = session.take_settled();
                disk.shelf.settle(session.stored().unwrap(), &settled);
                return Written::Settled(session, settled);
            }
            Job::Release(ref link, id) => {
                disk.shelf.received.remove(&(link.session().stored().unwrap(), id.get()));
            }
            Job::Connect(of, ref offer) => {
                let existing = self.broker.session(&offer.client_id).filter(|_| !offer.clean_start);
                if let Some(key) = existing.and_then(|session| session.stored()).or(offer.stored) {
                    disk.sessions.insert(of, key);
                }
            }
            Job::Subscribe(ref link, _, filter, qos) => {
                if let Some(key) = link.session().stored().filter(|_| !link.session().has_ended()) {
                    match qos {
                        Some(qos) => disk.filters.insert((key, filter), qos),
                        None => disk.filters.remove(&(key, filter)),
                    };
                }
            }
            Job::Sweep(key) => disk.sweep(key),
        }
        Written::Other(job)
    }

    /// A message is about to be published: who must get it in the end, in the model's own words.
    fn expect(&mut self, message: Message, publish: &Publish, topic: &str) {
        let (of, number) = message;
        let before = self.published.get(&of).copied();
        if before.is_some_and(|before| number <= before) {
            assert_eq!(publish.qos, QoS::AtLeastOnce, "{message:?} is published twice or too late");
            self.count("published again");
        } else {
            self.published.insert(of, number);
        }
        if publish.qos == QoS::ExactlyOnce {
            assert!(self.once.insert(message), "{message:?} is published twice");
        }
        for seat in self.seats.values_mut() {
            let matching = seat.filters.iter().filter(|(filter, _)| **filter == "+" || **filter == topic);
            if let Some(qos) = matching.map(|(_, qos)| *qos).max() {
                seat.expected.push((message, qos.min(publish.qos)));
            }
        }
    }

    fn follow(&mut self, written: Written) -> Option<Job> {
        match written {
            Written::Published(link, publish, plan) => {
                self.broker.carry_out(&plan, &publish, 0);
                link.acknowledge(Ack::success(publish.packet_id.unwrap()));
            }
            Written::Settled(session, settled) => session.has_settled(&settled),
            Written::Other(Job::Release(link, id)) => link.complete(id),
            Written::Other(Job::Connect(of, offer)) => return self.welcome(of, offer),
            Written::Other(Job::Subscribe(link, of, filter, qos)) => self.subscribed(&link, of, filter, qos),
            Written::Other(_) => {}
        }
        None
    }

    fn subscribed(&mut self, link: &Link, of: usize, filter: &'static str, qos: Option<QoS>) {
        let (session, parsed) = (link.session(), Filter::try_from(filter).unwrap());
        let seat = self.seats.get_mut(&of).filter(|seat| seat.session == session.number());
        let Some(qos) = qos else {
            self.broker.unsubscribe(session, &parsed);
            if let Some(seat) = seat {
                seat.filters.remove(filter);
            }
            return;
        };
        let kept = Kept { subscription: Subscription::new(parsed, qos), id: None };
        let subscribed = self.broker.subscribe(session, kept);
        assert_eq!(matches!(subscribed, Subscribed::Granted { .. }), seat.is_some());
        if let Some(seat) = seat {
            seat.filters.insert(filter, qos);
        }
    }

    fn welcome(&mut self, of: usize, offer: Offer) -> Option<Job> {
        let (clean, receive_maximum) = (offer.clean_start, offer.receive_maximum);
        let attached = self.broker.attach(offer, Arc::new(Open), Arc::new(Open), 0);
        let link = attached.link;
        let known = self.seats.contains_key(&of) && NAMES[of] != "fleeting";
        assert_eq!(attached.present, known && !clean, "{of}");
        if attached.displaced.is_some() {
            *self.tally.entry("displaced").or_default() += 1;
        }
        let client = &mut self.clients[of];
        if attached.present {
            link.want_more();
            *self.tally.entry("resumed").or_default() += 1;
        } else {
            self.seats.insert(of, Seat::of(link.session()));
            client.forget();
        }
        client.begins_anew = false;
        // The client repeats what is not acknowledged, in its order; releases are not counted.
        let mut up = VecDeque::new();
        let mut unacknowledged = BTreeSet::new();
        for sent in &client.sent {
            up.push_back(if sent.released {
                Packet::PubRel(Ack::success(id(sent.id)))
            } else {
                unacknowledged.insert(sent.id);
                Packet::Publish(Publish { dup: true, ..sent.packet.clone() })
            });
        }
        let (down, late, in_flight) = (VecDeque::new(), VecDeque::new(), BTreeSet::new());
        client.socket =
            Some(Socket { link: Arc::clone(&link), down, receive_maximum, in_flight, late, unacknowledged });
        client.connecting = false;
        self.lines.push(Line { of, link, up });
        attached.ended.and_then(|ended| ended.session.stored()).map(Job::Sweep)
    }

    /// The server is killed, with or without a last turn of the desk, and starts again from what is on disk.
    fn kill(&mut self) {
        self.count("killed");
        if self.dice.one_in(2) {
            self.commit(3, true);
        }
        self.desk.clear();
        self.lines.clear();
        for client in &mut self.clients {
            (client.socket, client.connecting) = (None, false);
            client.seen.clear();
        }
        self.broker = broker();
        let keys: BTreeSet<u64> = self.disk.sessions.values().copied().collect();
        for key in 0..=self.keys {
            if !keys.contains(&key) {
                self.disk.sweep(key);
            }
        }
        let mut seats = std::mem::take(&mut self.seats);
        for (of, key) in &self.disk.sessions {
            let session = self.broker.restore(NAMES[*of], *key, 3600, 0, None);
            let mut seat = Seat::of(&session);
            for ((_, filter), qos) in self.disk.filters.range((*key, "")..(*key + 1, "")) {
                let kept = Kept { subscription: Subscription::new(Filter::try_from(*filter).unwrap(), *qos), id: None };
                self.broker.subscribe(&session, kept);
                seat.filters.insert(filter, *qos);
            }
            for seq in self.disk.shelf.of(*key) {
                let held = self.disk.shelf.messages[&(*key, seq)].as_ref();
                let qos = held.map_or(QoS::ExactlyOnce, |held| held.message.qos);
                session.restore(Restored { seq, qos, size: 10, released: held.is_none() });
            }
            for (_, number) in self.disk.shelf.received.range((*key, 0)..=(*key, u16::MAX)) {
                session.keep_received(id(*number));
            }
            // A session that was only just written down, in place of another, was promised nothing.
            let before = seats.remove(of).filter(|before| before.key == seat.key);
            seat.expected = before.map(|before| before.expected).unwrap_or_default();
            self.seats.insert(*of, seat);
        }
    }

    /// Nothing breaks any more: everybody comes back and everything is delivered.
    fn come_to_rest(&mut self) {
        for round in 0..10_000 {
            if round % 100 == 99 && self.is_at_rest() {
                return;
            }
            for of in 0..NAMES.len() {
                self.connect(of, true);
                self.write(of);
                self.hear(of);
                self.acknowledge(of);
            }
            self.read();
            self.read();
            self.commit(4, false);
        }
    }

    fn is_at_rest(&self) -> bool {
        let idle = |socket: &Socket| socket.down.is_empty() && socket.late.is_empty();
        let owed =
            NAMES.iter().filter_map(|name| self.broker.session(name)).map(|session| session.owed()).sum::<usize>();
        self.desk.is_empty()
            && owed == 0
            && self.clients.iter().all(|client| client.sent.is_empty() && client.socket.as_ref().is_some_and(idle))
    }

    fn check(&self) {
        assert!(self.desk.is_empty());
        for (of, client) in self.clients.iter().enumerate() {
            let name = NAMES[of];
            let session = self.broker.session(name).unwrap();
            assert_eq!((session.owed(), client.sent.len(), client.received.len()), (0, 0, 0), "{name}");
            let seat = &self.seats[&of];
            for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
                // A message published twice may be wanted twice; what came is compared by when it came first.
                let expected = first(seat.expected.iter().filter(|(_, of)| *of == qos));
                assert_eq!(first(client.got.iter().filter(|(_, of)| *of == qos)), expected, "{name} {qos:?}");
            }
            let exactly: Vec<_> = client.got.iter().filter(|(_, qos)| *qos == QoS::ExactlyOnce).collect();
            assert_eq!(exactly.len(), exactly.iter().collect::<BTreeSet<_>>().len(), "{name}: exactly once");
        }
        assert_eq!(self.disk.shelf.messages.keys().collect::<Vec<_>>(), Vec::<&(u64, u64)>::new());
        assert_eq!(self.disk.shelf.received, BTreeSet::new());
    }
}

impl Disk {
    fn sweep(&mut self, key: u64) {
        self.filters.retain(|(of, _), _| *of != key);
        self.shelf.messages.retain(|(of, _), _| *of != key);
        self.shelf.received.retain(|(of, _)| *of != key);
    }
}

/// Each message once, where it came first.
fn first<'m>(messages: impl Iterator<Item = &'m (Message, QoS)>) -> Vec<Message> {
    let mut seen = BTreeSet::new();
    messages.map(|(message, _)| *message).filter(|message| seen.insert(*message)).collect()
}

fn read(publish: &Publish) -> Message {
    let text = std::str::from_utf8(&publish.payload).unwrap();
    let (of, number) = text.split_once(' ').unwrap();
    (of.parse().unwrap(), number.parse().unwrap())
}

#[test]
fn nothing_is_lost_and_qos_2_comes_exactly_once_whatever_breaks() {
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..150 {
        let mut world = World::new(seed);
        for _ in 0..1500 {
            world.step();
        }
        world.come_to_rest();
        world.check();
        for (what, count) in world.tally {
            *tally.entry(what).or_default() += count;
        }
    }
    for what in ["broken", "displaced", "killed", "published again", "repeated", "resumed"] {
        assert!(tally.get(what).is_some_and(|count| *count > 100), "too little {what}: {tally:?}");
    }
}
