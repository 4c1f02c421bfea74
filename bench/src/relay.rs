//! The relay: what this way of using sockets costs when nothing else is done. It finds where packets end, copies a
//! publisher's bytes to whoever subscribed to exactly that topic, and at QoS 1 answers the publisher itself and
//! swallows the subscriber's PUBACKs; what is read in one turn is written in one. No session, no matching, no policy:
//! a publisher's first PUBLISH settles where all that follow go. It runs as a process of its own, until its standard
//! input ends.

use std::collections::HashMap;
use std::io::{self, Write as _, stdin, stdout};
use std::mem;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use crate::link::Link;
use crate::packets::{ACCEPTED, CONNECT, Frame, PUBLISH, SUBACK, SUBSCRIBE, puback};
use crate::poll::{Poll, Ready};

const LISTENER: usize = usize::MAX;
const PARENT: usize = usize::MAX - 1;

/// Bytes read at a time.
const SCRATCH: usize = 256 * 1024;

const IDLE: Duration = Duration::from_secs(1);

/// Listens on a free port, prints it, and relays.
pub(crate) fn run() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    writeln!(stdout(), "{}", listener.local_addr()?.port())?;
    listener.set_nonblocking(true)?;
    let poll = Poll::new()?;
    poll.add(&listener, LISTENER)?;
    poll.add(stdin(), PARENT)?;
    let mut relay = Relay {
        poll,
        scratch: vec![0; SCRATCH],
        peers: Vec::new(),
        free: Vec::new(),
        topics: HashMap::new(),
        subscribers: Vec::new(),
        dirty: Vec::new(),
    };
    let mut ready = Vec::new();
    loop {
        relay.poll.wait(IDLE, &mut ready)?;
        for &Ready { key, readable } in &ready {
            match key {
                PARENT => return Ok(()),
                LISTENER => relay.accept(&listener)?,
                _ => relay.serve(key, readable),
            }
        }
        relay.flush();
    }
}

struct Relay {
    poll: Poll,
    scratch: Vec<u8>,
    peers: Vec<Option<Box<Peer>>>,
    free: Vec<usize>,
    topics: HashMap<Vec<u8>, usize>,
    /// Keys of peers, by topic.
    subscribers: Vec<Vec<usize>>,
    /// Who has something to write at the end of this turn.
    dirty: Vec<usize>,
}

struct Peer {
    link: Link,
    route: Route,
    is_dirty: bool,
}

#[derive(Default)]
struct Route {
    publishes: Option<usize>,
    subscribes: Option<usize>,
}

impl Relay {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let key = self.free.pop().unwrap_or_else(|| {
                self.peers.push(None);
                self.peers.len() - 1
            });
            let link = Link::new(stream, None, key, &self.poll)?;
            self.peers[key] = Some(Box::new(Peer { link, route: Route::default(), is_dirty: false }));
        }
    }

    fn serve(&mut self, key: usize, readable: bool) {
        let Some(mut peer) = self.peers[key].take() else { return };
        let Peer { link, route, is_dirty } = &mut *peer;
        if readable {
            let mut scratch = mem::take(&mut self.scratch);
            let is_there = link.receive(&mut scratch, |bytes, output| self.relay(key, route, bytes, output));
            self.scratch = scratch;
            if !is_there.unwrap_or(false) {
                return self.forget(key, route);
            }
        }
        if link.has_output() && !mem::replace(is_dirty, true) {
            self.dirty.push(key);
        }
        self.peers[key] = Some(peer);
    }

    fn forget(&mut self, key: usize, route: &Route) {
        if let Some(topic) = route.subscribes {
            self.subscribers[topic].retain(|other| *other != key);
        }
        self.free.push(key);
    }

    /// Deals with all whole packets and says how many bytes they were. Messages that follow one another are copied
    /// at once.
    fn relay(&mut self, key: usize, route: &mut Route, bytes: &[u8], answers: &mut Vec<u8>) -> usize {
        let (mut at, mut run) = (0, 0);
        while let Some(frame) = Frame::first(&bytes[at..]) {
            if frame.kind() == PUBLISH {
                let Some(published) = frame.publish() else { break };
                if route.publishes.is_none() {
                    route.publishes = Some(self.topic(published.topic));
                }
                answers.extend(published.id.map(puback).into_iter().flatten());
            } else {
                self.forward(route, &bytes[run..at]);
                run = at + frame.bytes.len();
                self.answer(key, route, frame, answers);
            }
            at += frame.bytes.len();
        }
        self.forward(route, &bytes[run..at]);
        at
    }

    fn forward(&mut self, route: &Route, messages: &[u8]) {
        let Some(topic) = route.publishes.filter(|_| !messages.is_empty()) else { return };
        for &key in &self.subscribers[topic] {
            let Some(Some(peer)) = self.peers.get_mut(key) else { continue };
            peer.link.output().extend_from_slice(messages);
            if !mem::replace(&mut peer.is_dirty, true) {
                self.dirty.push(key);
            }
        }
    }

    fn answer(&mut self, key: usize, route: &mut Route, frame: Frame, answers: &mut Vec<u8>) {
        match frame.kind() {
            CONNECT => answers.extend(ACCEPTED),
            SUBSCRIBE => {
                let (id, filter) = frame.subscribe().unwrap_or_default();
                let topic = self.topic(filter);
                self.subscribers[topic].push(key);
                route.subscribes = Some(topic);
                let qos = frame.bytes.last().copied().unwrap_or_default();
                answers.extend([SUBACK << 4, 3, id[0], id[1], qos]);
            }
            _ => {}
        }
    }

    fn topic(&mut self, name: &[u8]) -> usize {
        let next = self.topics.len();
        let topic = *self.topics.entry(name.to_vec()).or_insert(next);
        self.subscribers.resize_with(self.topics.len(), Vec::new);
        topic
    }

    fn flush(&mut self) {
        for key in self.dirty.drain(..) {
            if let Some(Some(peer)) = self.peers.get_mut(key) {
                peer.is_dirty = false;
                // A peer that is gone shows itself when it is read.
                let _ = peer.link.flush(&self.poll);
            }
        }
    }
}
