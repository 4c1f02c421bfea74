//! A closed loop of messages: each publisher has so many under way, and sends another when one has come back. A message
//! is under way until every subscriber has it and, at QoS 1, the publisher its PUBACK. Packets are made beforehand,
//! reads and writes are one each per client and turn. It does not know who the broker is.

use std::mem;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::link::Link;
use crate::packets::{PUBACK, PUBLISH, connect, each_frame, puback, publish, subscribe};
use crate::poll::Ready;
use crate::process::cpu;
use crate::rows::{Row, Shape};
use crate::swarm::{Swarm, Target};

/// How long messages run before anything is counted.
const WARM_UP: Duration = Duration::from_millis(500);

/// How long none may arrive before they count as lost.
const LOST: Duration = Duration::from_secs(2);

/// What was counted between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    /// Seconds of processor time in the broker per million messages delivered.
    pub(crate) broker: f64,
    /// Messages delivered per second.
    pub(crate) rate: f64,
    /// What the load took of one processor, from 0 to 1.
    pub(crate) load: f64,
}

/// Connects the clients of a row, lets them exchange messages, and counts.
pub(crate) fn measure(target: &Target, row: Row, broker: &str, counted: Duration) -> Result<Counted, Failure> {
    let mut traffic = Traffic::connect(target, row)?;
    traffic.run(WARM_UP)?;
    let look = |traffic: &Traffic| (Instant::now(), traffic.delivered, cpu(broker), cpu("self"));
    let before = look(&traffic);
    traffic.run(counted)?;
    let after = look(&traffic);
    let seconds = after.0.duration_since(before.0).as_secs_f64();
    let messages = f64::from(u32::try_from(after.1 - before.1)?);
    let used =
        |before: Option<f64>, after: Option<f64>| after.zip(before).map_or(f64::NAN, |(after, before)| after - before);
    Ok(Counted {
        broker: used(before.2, after.2) / messages * 1e6,
        rate: messages / seconds,
        load: used(before.3, after.3) / seconds,
    })
}

/// Subscribers come first among the clients, then publishers.
struct Traffic {
    swarm: Swarm,
    subscribers: usize,
    publishers: Vec<Publisher>,
    qos: u8,
    window: u64,
    /// Subscribers that get each message.
    copies: u64,
    delivered: u64,
    /// Publishers that may send more at the end of this turn.
    touched: Vec<usize>,
}

struct Publisher {
    /// Packets that are sent in turn; twice as many as are under way, so that no identifier is in use twice.
    packets: Vec<u8>,
    packet: usize,
    next: usize,
    sent: u64,
    acknowledged: u64,
    delivered: u64,
    is_touched: bool,
}

/// The client identifier of a publisher.
pub(crate) fn publisher_name(number: usize) -> String {
    format!("pump-{number:04}")
}

/// Where a publisher's messages go: a topic of its own, unless several publish to one.
pub(crate) fn topic(shape: Shape, publisher: usize) -> String {
    let publishes_alone = shape.publishers == 1;
    let name = if publishes_alone { publisher_name(publisher) } else { "everyone".to_owned() };
    format!("plant/hall-7/{name}/telemetry")
}

/// The packets that clients of a shape begin with, subscribers first.
pub(crate) fn greetings(shape: Shape, qos: u8) -> (usize, impl Fn(usize) -> Vec<Vec<u8>>) {
    let subscribers = shape.groups * shape.subscribers;
    let greet = move |number: usize| {
        if let Some(publisher) = number.checked_sub(subscribers) {
            return vec![connect(&publisher_name(publisher))];
        }
        let topic = topic(shape, number / shape.subscribers * shape.publishers);
        vec![connect(&format!("panel-{number:04}")), subscribe(1, &[&topic], qos)]
    };
    (subscribers + shape.groups * shape.publishers, greet)
}

impl Traffic {
    fn connect(target: &Target, row: Row) -> Result<Self, Failure> {
        let (clients, greet) = greetings(row.shape, row.qos);
        let swarm = Swarm::gather(target, clients, greet)?;
        let publishers = (0..row.shape.groups * row.shape.publishers).map(|number| Publisher::new(number, row));
        Ok(Self {
            swarm,
            subscribers: row.shape.groups * row.shape.subscribers,
            publishers: publishers.collect(),
            qos: row.qos,
            window: row.window(),
            copies: row.shape.subscribers as u64,
            delivered: 0,
            touched: (0..row.shape.groups * row.shape.publishers).collect(),
        })
    }

    fn run(&mut self, time: Duration) -> Result<(), Failure> {
        let begun = Instant::now();
        let (mut ready, mut heard, mut delivered) = (Vec::new(), begun, self.delivered);
        loop {
            self.send()?;
            self.swarm.poll.wait(Duration::from_millis(50), &mut ready)?;
            for &Ready { key, readable } in &ready {
                if readable && !self.receive(key)? {
                    return Err(format!("client {key} lost its connection").into());
                }
                self.swarm.links[key].flush(&self.swarm.poll)?;
            }
            let now = Instant::now();
            if delivered != self.delivered {
                (heard, delivered) = (now, self.delivered);
            } else if now.duration_since(heard) > LOST {
                return Err(format!("messages were lost; {delivered} had arrived").into());
            }
            if now.duration_since(begun) > time {
                return Ok(());
            }
        }
    }

    /// Lets every publisher send what it may.
    fn send(&mut self) -> Result<(), Failure> {
        let (window, copies, has_acks) = (self.window, self.copies, self.qos > 0);
        for number in self.touched.drain(..) {
            let publisher = &mut self.publishers[number];
            publisher.is_touched = false;
            let link = &mut self.swarm.links[self.subscribers + number];
            publisher.send(link.output(), window, copies, has_acks);
            link.flush(&self.swarm.poll)?;
        }
        Ok(())
    }

    fn receive(&mut self, key: usize) -> Result<bool, Failure> {
        let Self { swarm, subscribers, publishers, delivered, touched, .. } = self;
        let Swarm { links, scratch, .. } = swarm;
        let own = key.checked_sub(*subscribers);
        let take = |bytes: &[u8], output: &mut Vec<u8>| {
            each_frame(bytes, |frame| {
                let number = match (frame.kind(), own) {
                    (PUBLISH, None) => {
                        let Some(published) = frame.publish() else { return };
                        output.extend(published.id.map(puback).into_iter().flatten());
                        *delivered += 1;
                        published.payload.first_chunk().map_or(usize::MAX, |bytes| u32::from_be_bytes(*bytes) as usize)
                    }
                    (PUBACK, Some(own)) => own,
                    _ => return,
                };
                let Some(publisher) = publishers.get_mut(number) else { return };
                if own.is_some() {
                    publisher.acknowledged += 1;
                } else {
                    publisher.delivered += 1;
                }
                if !mem::replace(&mut publisher.is_touched, true) {
                    touched.push(number);
                }
            })
        };
        let link: &mut Link = &mut links[key];
        Ok(link.receive(scratch, take)?)
    }
}

impl Publisher {
    fn new(number: usize, row: Row) -> Self {
        let topic = topic(row.shape, number);
        // The payload begins with the number of its publisher; the rest is filling.
        let mut payload = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        payload.resize(row.size(), b'x');
        let ids = 1..=u16::try_from(2 * row.window()).unwrap_or(u16::MAX);
        let packets: Vec<Vec<u8>> = ids.map(|id| publish(&topic, row.qos, false, id, &payload)).collect();
        let packet = packets.first().map_or(0, Vec::len);
        let packets = packets.concat();
        Self { packets, packet, next: 0, sent: 0, acknowledged: 0, delivered: 0, is_touched: true }
    }

    fn send(&mut self, output: &mut Vec<u8>, window: u64, copies: u64, has_acks: bool) {
        let arrived = self.delivered / copies;
        let done = if has_acks { arrived.min(self.acknowledged) } else { arrived };
        while self.sent.saturating_sub(done) < window {
            output.extend_from_slice(&self.packets[self.next..self.next + self.packet]);
            self.next = (self.next + self.packet) % self.packets.len();
            self.sent += 1;
        }
    }
}
