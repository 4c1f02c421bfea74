//! A house as small as can be around a broker: a shelf instead of a store, a clock that only tests move, and clients whose
//! packets are read as words.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use broker::{
    Attached, Broker, Closed, Detached, Ended, Gate, Held, Kept, Link, Offer, Plan, Session, Settings, Settled, Step,
    Subscribed, Wake,
};
use bytes::BytesMut;
use mqtt::{
    Ack, Binary, Decoder, Filter, Packet, Publish, QoS, Subscription, SubscriptionId, Topic, Version, Will,
    WillProperties,
};

/// What is written down: messages by session and number, without their bytes once they are released, and the QoS 2
/// messages of clients that wait for their release.
#[derive(Clone, Default)]
pub(crate) struct Shelf {
    pub(crate) messages: BTreeMap<(u64, u64), Option<Held>>,
    pub(crate) received: BTreeSet<(u64, u16)>,
}

impl Shelf {
    /// Writes a plan down, as a house does before it is carried out.
    pub(crate) fn keep(&mut self, plan: &Plan, message: &Publish, now: i64) {
        for planned in &plan.recipients {
            let (Some(key), Some(seq)) = (planned.session.stored(), planned.seq) else { continue };
            let mut own = Publish { qos: planned.qos, retain: planned.retain, ..message.clone() };
            if !planned.ids.is_empty() {
                own.properties.get_or_insert_default().subscription_identifiers.clone_from(&planned.ids);
            }
            self.messages.insert((key, seq), Some(Held { message: own, arrived: now, shared: None }));
        }
    }

    pub(crate) fn settle(&mut self, key: u64, settled: &[Settled]) {
        for settled in settled {
            match settled {
                Settled::Done(seq) => drop(self.messages.remove(&(key, *seq))),
                Settled::Released(seq) => drop(self.messages.insert((key, *seq), None)),
            }
        }
    }

    pub(crate) fn fetch(&self, key: u64, wanted: &[u64]) -> Vec<(u64, Option<Held>)> {
        wanted.iter().map(|seq| (*seq, self.messages.get(&(key, *seq)).cloned().flatten())).collect()
    }

    /// The numbers of what one session is owed.
    pub(crate) fn of(&self, key: u64) -> Vec<u64> {
        self.messages.range((key, 0)..=(key, u64::MAX)).map(|((_, seq), _)| *seq).collect()
    }
}

/// A broker with its shelf and clock, which does at once whatever it is asked for.
pub(crate) struct House {
    pub(crate) broker: Broker,
    pub(crate) shelf: RefCell<Shelf>,
    pub(crate) now: Cell<i64>,
    keys: Cell<u64>,
    tokens: Cell<u64>,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self {
            broker: Broker::new(settings),
            shelf: RefCell::default(),
            now: Cell::new(0),
            keys: Cell::new(1),
            tokens: Cell::new(1),
        }
    }

    /// Lets seconds pass.
    pub(crate) fn pass(&self, seconds: i64) {
        self.now.set(self.now.get() + seconds * 1000);
    }

    /// A client of MQTT 5 whose session ends with the connection.
    pub(crate) fn client(&self, client_id: &str) -> Client<'_> {
        self.connect(offer(client_id))
    }

    /// One whose session is stored, for a minute.
    pub(crate) fn lasting(&self, client_id: &str) -> Client<'_> {
        self.connect(lasting(client_id))
    }

    pub(crate) fn connect(&self, offer: Offer) -> Client<'_> {
        self.attach(offer).0
    }

    /// The same, and what the arrival led to.
    pub(crate) fn attach(&self, mut offer: Offer) -> (Client<'_>, Attached) {
        offer.stored = (offer.expiry > 0).then(|| self.keys.replace(self.keys.get() + 1));
        let door = Arc::new(Door { token: self.tokens.replace(self.tokens.get() + 1), ..Door::default() });
        let attached = self.broker.attach(offer, door.clone(), door.clone(), self.now.get());
        let client = Client { house: self, link: Arc::clone(&attached.link), door };
        if attached.present {
            client.link.want_more();
        }
        (client, attached)
    }

    /// Publishes for nobody in particular: how many sessions got it.
    pub(crate) fn publish(&self, message: &Publish) -> usize {
        self.publish_from(message, None)
    }

    pub(crate) fn publish_from(&self, message: &Publish, from: Option<u64>) -> usize {
        let route = self.broker.route(message.topic.as_ref().unwrap().as_str());
        let delivered = self.broker.deliver(&route, message, from, self.now.get());
        delivered.unwrap_or_else(|| self.carry_out(&self.broker.plan(&route, message, from), message))
    }

    /// Publishes a few numbered messages on `t`.
    pub(crate) fn publish_numbers(&self, qos: QoS, numbers: impl IntoIterator<Item = u32>) -> usize {
        numbers.into_iter().map(|number| self.publish(&said("t", qos, &number.to_string()))).sum()
    }

    /// Writes a plan down and carries it out.
    pub(crate) fn carry_out(&self, plan: &Plan, message: &Publish) -> usize {
        self.shelf.borrow_mut().keep(plan, message, self.now.get());
        self.broker.carry_out(plan, message, self.now.get())
    }

    /// Writes down what a client has acknowledged.
    pub(crate) fn settle(&self, session: &Session) {
        let settled = session.take_settled();
        self.shelf.borrow_mut().settle(session.stored().unwrap(), &settled);
        session.has_settled(&settled);
    }

    /// What an ended session leaves to others goes to them.
    pub(crate) fn finish(&self, ended: Option<&Ended>) {
        for stray in ended.iter().flat_map(|ended| &ended.strays) {
            if let Some(plan) = self.broker.plan_for_another(stray) {
                self.carry_out(&plan, &stray.message);
            }
        }
    }
}

/// Lets through what does not begin with `secret`, unless it is shut, and counts the wakes.
#[derive(Default)]
pub(crate) struct Door {
    pub(crate) shut: AtomicBool,
    token: u64,
    woken: AtomicUsize,
}

impl Gate for Door {
    fn may_receive(&self, topic: &str) -> bool {
        !self.shut.load(Ordering::Relaxed) && !topic.starts_with("secret")
    }

    fn token(&self) -> u64 {
        u64::from(!self.shut.load(Ordering::Relaxed)) * self.token
    }
}

impl Wake for Door {
    fn wake(&self) {
        self.woken.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connected client.
pub(crate) struct Client<'h> {
    house: &'h House,
    pub(crate) link: Arc<Link>,
    pub(crate) door: Arc<Door>,
}

impl Client<'_> {
    pub(crate) fn session(&self) -> &Arc<Session> {
        self.link.session()
    }

    pub(crate) fn woken(&self) -> usize {
        self.door.woken.swap(0, Ordering::Relaxed)
    }

    /// Subscribes with a QoS and nothing else.
    pub(crate) fn listen(&self, filter: &str, qos: QoS) -> Subscribed {
        self.listen_as(Subscription::new(Filter::try_from(filter).unwrap(), qos), None)
    }

    pub(crate) fn listen_as(&self, subscription: Subscription, id: Option<u32>) -> Subscribed {
        let id = id.and_then(SubscriptionId::new);
        self.house.broker.subscribe(self.session(), Kept { subscription, id })
    }

    /// Sends a packet, and does at once what it leads to.
    pub(crate) fn give(&self, packet: Packet) {
        match self.link.receive(packet, self.house.now.get()) {
            Step::Nothing => {}
            Step::Publish(publish) => {
                if let (QoS::ExactlyOnce, Some(key), Some(id)) =
                    (publish.qos, self.session().stored(), publish.packet_id)
                {
                    self.house.shelf.borrow_mut().received.insert((key, id.get()));
                }
                self.house.publish_from(&publish, Some(self.session().number()));
                if let Some(id) = publish.packet_id {
                    self.link.acknowledge(Ack::success(id));
                }
            }
            Step::Release(id) => {
                let key = self.session().stored().unwrap();
                self.house.shelf.borrow_mut().received.remove(&(key, id.get()));
                self.link.complete(id);
            }
            Step::Settle => self.house.settle(self.session()),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn puback(&self, number: u16) {
        self.give(Packet::PubAck(Ack::success(id(number))));
    }

    pub(crate) fn pubrec(&self, number: u16) {
        self.give(Packet::PubRec(Ack::success(id(number))));
    }

    pub(crate) fn pubrel(&self, number: u16) {
        self.give(Packet::PubRel(Ack::success(id(number))));
    }

    pub(crate) fn pubcomp(&self, number: u16) {
        self.give(Packet::PubComp(Ack::success(id(number))));
    }

    /// What waits for the socket, as the client decodes it, and what is owed beyond it.
    pub(crate) fn heard(&self) -> Vec<Packet> {
        let mut bytes = BytesMut::new();
        // Bounded, because what waits for room waits until somebody takes what is there.
        for _ in 0..1000 {
            bytes.extend_from_slice(&self.link.take_outgoing());
            if !self.link.wants_more() {
                break;
            }
            let fetch = |wanted: &[u64]| {
                Ok::<_, Infallible>(self.house.shelf.borrow().fetch(self.session().stored().unwrap(), wanted))
            };
            self.session().refill(self.house.now.get(), fetch).unwrap();
            if self.session().is_to_be_settled() {
                self.house.settle(self.session());
            }
        }
        assert!(!self.link.wants_more(), "it wants more for ever");
        let mut decoder = Decoder::for_version(self.link.version(), 1 << 20);
        let heard = std::iter::from_fn(|| decoder.decode(&mut bytes).unwrap()).collect();
        assert!(bytes.is_empty(), "half a packet");
        heard
    }

    /// The same in words.
    pub(crate) fn told(&self) -> Vec<String> {
        self.heard().iter().map(words).collect()
    }

    /// The payloads of the messages among it.
    pub(crate) fn payloads(&self) -> Vec<String> {
        let payload = |packet| match packet {
            Packet::Publish(publish) => Some(String::from_utf8(publish.payload.to_vec()).unwrap()),
            _ => None,
        };
        self.heard().into_iter().filter_map(payload).collect()
    }

    pub(crate) fn closed(&self) -> Option<Closed> {
        self.link.closed()
    }

    /// The socket is gone.
    pub(crate) fn vanish(&self) -> Detached {
        let detached = self.house.broker.detach(&self.link, self.house.now.get());
        self.house.finish(detached.ended.as_ref());
        detached
    }

    /// The client says DISCONNECT, then the socket is gone.
    pub(crate) fn leave(&self, disconnect: mqtt::Disconnect) -> Detached {
        self.give(Packet::Disconnect(disconnect));
        self.vanish()
    }
}

/// A packet in words: its name, its identifier, and its reason if it is not plain success; a message as topic, QoS,
/// identifier, flags, payload and the properties that somebody looks at.
pub(crate) fn words(packet: &Packet) -> String {
    let ack = |ack: &Ack| match ack.reason.code() {
        0 => format!("{} {}", packet.name(), ack.packet_id),
        code => format!("{} {} {code:02x}", packet.name(), ack.packet_id),
    };
    match packet {
        Packet::PubAck(a) | Packet::PubRec(a) | Packet::PubRel(a) | Packet::PubComp(a) => ack(a),
        Packet::Disconnect(disconnect) => format!("DISCONNECT {:02x}", disconnect.reason.code()),
        Packet::Publish(publish) => publish_words(publish),
        other => other.name().to_owned(),
    }
}

fn publish_words(publish: &Publish) -> String {
    let mut words = vec![publish.topic.as_ref().map_or("-", Topic::as_str).to_owned()];
    words.push(format!("q{}", publish.qos.number()));
    words.extend(publish.packet_id.map(|id| format!("#{id}")));
    words.extend(publish.dup.then(|| "dup".to_owned()));
    words.extend(publish.retain.then(|| "retain".to_owned()));
    words.push(String::from_utf8_lossy(&publish.payload).into_owned());
    if let Some(properties) = &publish.properties {
        words.extend(properties.message_expiry_interval.map(|seconds| format!("expires:{seconds}")));
        words.extend(properties.topic_alias.map(|alias| format!("alias:{}", alias.0)));
        words.extend(properties.subscription_identifiers.iter().map(|id| format!("id:{}", id.get())));
    }
    words.join(" ")
}

pub(crate) fn offer(client_id: &str) -> Offer {
    Offer {
        client_id: client_id.to_owned(),
        version: Version::V5,
        clean_start: false,
        expiry: 0,
        stored: None,
        receive_maximum: u16::MAX,
        maximum_packet_size: usize::MAX,
        topic_alias_maximum: 0,
        will: None,
        problem_information: true,
    }
}

pub(crate) fn lasting(client_id: &str) -> Offer {
    Offer { expiry: 60, ..offer(client_id) }
}

pub(crate) fn id(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

pub(crate) fn said(topic: &str, qos: QoS, payload: &str) -> Publish {
    Publish { qos, ..Publish::new(Topic::try_from(topic).unwrap(), payload.to_owned()) }
}

/// A message that lives for some seconds.
pub(crate) fn expiring(topic: &str, qos: QoS, seconds: u32) -> Publish {
    let mut message = said(topic, qos, "x");
    message.properties.get_or_insert_default().message_expiry_interval = Some(seconds);
    message
}

/// A PUBLISH of a client.
pub(crate) fn inbound(qos: QoS, number: u16) -> Packet {
    Packet::Publish(Publish { packet_id: Some(id(number)), ..said("t", qos, "x") })
}

pub(crate) fn will(delay: Option<u32>) -> Will {
    Will {
        topic: Topic::try_from("gone").unwrap(),
        payload: Binary::default(),
        qos: QoS::AtMostOnce,
        retain: false,
        properties: WillProperties { will_delay_interval: delay, ..WillProperties::default() },
    }
}

/// Lets everything through and wakes nobody.
pub(crate) struct Open;

impl Gate for Open {
    fn may_receive(&self, _: &str) -> bool {
        true
    }

    fn token(&self) -> u64 {
        1
    }
}

impl Wake for Open {
    fn wake(&self) {}
}
