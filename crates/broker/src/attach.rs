//! How clients come and go: a connection is attached to its session, detached from it, and a session ends when its time
//! has come. Wills are handed out when they are due. Knows nothing of why a client is let in.

use std::sync::{Arc, PoisonError};

use mqtt::{Filter, Publish, Version, Will};

use crate::link::{Gate, Link, Wake};
use crate::outbound::Held;
use crate::session::{FOR_EVER, Session};
use crate::{Broker, Closed, Sessions};

/// What a CONNECT said that the broker has to know.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The client identifier, never empty.
    pub client_id: String,
    /// The version spoken.
    pub version: Version,
    /// Whether an earlier session is dropped [MQTT-3.1.2-4].
    pub clean_start: bool,
    /// Seconds the session outlives its connection.
    pub expiry: u32,
    /// The key under which a new session would be stored; nothing if it ends with its connection.
    pub stored: Option<u64>,
    /// Unacknowledged messages the client is ready for.
    pub receive_maximum: u16,
    /// The largest packet the client takes.
    pub maximum_packet_size: usize,
    /// Topic aliases the client takes.
    pub topic_alias_maximum: u16,
    /// Published when the connection ends badly.
    pub will: Option<Will>,
    /// Whether the client wants reason strings [MQTT-3.1.2-29].
    pub problem_information: bool,
}

/// A client is in.
pub struct Attached {
    /// Its connection.
    pub link: Arc<Link>,
    /// Whether it found its session [MQTT-3.2.2-2].
    pub present: bool,
    /// The connection it took the client identifier from [MQTT-3.1.4-3].
    pub displaced: Option<Arc<Link>>,
    /// The session it put an end to.
    pub ended: Option<Ended>,
}

/// A session that is no more.
pub struct Ended {
    /// The session, empty.
    pub session: Arc<Session>,
    /// The will that waited, due now [MQTT-3.1.2-8].
    pub will: Option<Will>,
    /// Messages that go to other members of its shared subscriptions now [MQTT-4.8.2-5].
    pub strays: Vec<Stray>,
}

/// A message of a shared subscription whose member has gone; [`Broker::plan_for_another`] finds it another.
pub struct Stray {
    /// The message.
    pub message: Publish,
    pub(crate) shared: Filter,
    pub(crate) left: u64,
}

/// A client has gone.
#[derive(Default)]
pub struct Detached {
    /// The will that is due at once.
    pub will: Option<Will>,
    /// The session, if it ended with the connection.
    pub ended: Option<Ended>,
    /// The session, if it waits for the client.
    pub waits: Option<Arc<Session>>,
    /// The will that waits with it, and when it is due.
    pub later: Option<(Will, i64)>,
}

/// Something whose time has come.
pub struct Due {
    /// Whose.
    pub session: Arc<Session>,
    /// The will to be published.
    pub will: Option<Will>,
    /// Whether the session has ended.
    pub ended: bool,
}

impl Broker {
    /// Attaches a connection to the client's session: the one there is, if the client wants it, or a new one.
    pub fn attach(&self, offer: Offer, gate: Arc<dyn Gate>, wake: Arc<dyn Wake>, now: i64) -> Attached {
        let mut sessions = self.sessions();
        let existing = sessions.get(offer.client_id.as_str()).cloned();
        let resumed = existing.clone().filter(|session| !offer.clean_start && session.is_resumable(now));
        let present = resumed.is_some();
        let session = resumed.unwrap_or_else(|| {
            let memory = Arc::clone(&self.memory);
            let (id, expiry) = (offer.client_id.as_str(), offer.expiry);
            Arc::new(Session::new(self.number(), id, offer.stored, expiry, &self.settings, memory))
        });
        sessions.insert(offer.client_id.as_str().into(), Arc::clone(&session));
        let expiry = offer.expiry;
        let memory = Arc::clone(&self.memory);
        let link = Link::new(self.number(), Arc::clone(&session), offer, &self.settings, (gate, wake), memory);
        let link = Arc::new(link);
        let (displaced, ended) = match existing.filter(|_| !present) {
            Some(old) => {
                let displaced = old.link();
                (displaced, Some(self.end(&old, now)))
            }
            None => (None, None),
        };
        let displaced = session.attach(&link, expiry).or(displaced);
        drop(sessions);
        if let Some(displaced) = &displaced {
            displaced.close(Closed::TakenOver);
        }
        Attached { link, present, displaced, ended }
    }

    /// Puts back a session that was found in the store, without a connection since `since`.
    pub fn restore(
        &self,
        client_id: &str,
        stored: u64,
        expiry: u32,
        since: i64,
        will: Option<(Will, i64)>,
    ) -> Arc<Session> {
        let memory = Arc::clone(&self.memory);
        let session = Session::new(self.number(), client_id, Some(stored), expiry, &self.settings, memory);
        let session = Arc::new(session);
        {
            let mut state = session.state();
            state.since = since;
            state.will = will;
        }
        self.sessions().insert(client_id.into(), Arc::clone(&session));
        self.set_alarm(&session);
        session
    }

    /// Detaches a connection that has ended.
    pub fn detach(&self, link: &Link, now: i64) -> Detached {
        let session = link.session();
        let closed = link.closed().unwrap_or(Closed::ConnectionLost);
        // What still comes finds a closed connection.
        link.close(closed);
        let will = link.take_will();
        let mut state = session.state();
        let delay = will.as_ref().and_then(|will| will.properties.will_delay_interval).unwrap_or(0);
        if state.ended {
            return Detached { will, ..Detached::default() };
        }
        if state.link.as_ref().is_none_or(|current| current.number() != link.number()) {
            // The session goes on with another connection: only a will that does not wait is published [MQTT-3.1.3-9].
            return Detached { will: will.filter(|_| delay == 0), ..Detached::default() };
        }
        state.link = None;
        state.since = now;
        session.set_disconnected();
        let expiry = state.expiry;
        if expiry == 0 {
            drop(state);
            return Detached { will, ended: Some(self.discard(session, now)), ..Detached::default() };
        }
        let waits = will.is_some() && delay > 0;
        let due = now.saturating_add(i64::from(delay.min(expiry)).saturating_mul(1000));
        let (now_due, later) = if waits { (None, will.map(|will| (will, due))) } else { (will, None) };
        state.will.clone_from(&later);
        session.park(&mut state);
        drop(state);
        self.set_alarm(session);
        Detached { will: now_due, waits: Some(Arc::clone(session)), later, ended: None }
    }

    /// Ends a session by hand: whoever is connected to it is not told here.
    pub fn discard(&self, session: &Arc<Session>, now: i64) -> Ended {
        self.remove(&mut self.sessions(), session, now)
    }

    fn remove(&self, sessions: &mut Sessions, session: &Arc<Session>, now: i64) -> Ended {
        if sessions.get(session.client_id()).is_some_and(|current| current.number() == session.number()) {
            sessions.remove(session.client_id());
        }
        self.end(session, now)
    }

    fn end(&self, session: &Arc<Session>, now: i64) -> Ended {
        let will = session.state().will.take().map(|(will, _)| will);
        let strays = session.take_shared().into_iter().filter_map(|held| Stray::of(held, session, now)).collect();
        let filters = session.end();
        self.set_alarm(session);
        if !filters.is_empty() {
            self.change(|tree| {
                for filter in filters {
                    tree.remove(filter.share_name(), filter.pattern(), session.number());
                }
            });
        }
        Ended { session: Arc::clone(session), will, strays }
    }

    /// What has come due by now: wills that waited, sessions whose time is over [MQTT-3.1.2-23].
    pub fn due(&self, now: i64) -> Vec<Due> {
        let mut due = Vec::new();
        while let Some((at, session)) = self.next_alarm(now) {
            // Held to the end, or a client could come between the look and what follows from it.
            let mut sessions = self.sessions();
            let mut state = session.state();
            state.alarm.take_if(|alarm| *alarm == at);
            if state.link.is_some() || state.ended {
                continue;
            }
            let will = state.will.take_if(|(_, at)| *at <= now).map(|(will, _)| will);
            let ended = state.ends_at().is_some_and(|at| at <= now);
            drop(state);
            let rest = if ended { self.remove(&mut sessions, &session, now).will } else { None };
            drop(sessions);
            if will.is_some() || ended {
                due.push(Due { session: Arc::clone(&session), will: will.or(rest), ended });
            }
            if !ended {
                self.set_alarm(&session);
            }
        }
        due
    }

    fn next_alarm(&self, now: i64) -> Option<(i64, Arc<Session>)> {
        let mut alarms = self.alarms.lock().unwrap_or_else(PoisonError::into_inner);
        let first = alarms.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some((first.key().0, first.remove()))
    }

    /// Sets the one alarm of a session, in place of the one before; one that finds the client back is without effect.
    fn set_alarm(&self, session: &Arc<Session>) {
        let mut alarms = self.alarms.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = session.state();
        if let Some(at) = state.alarm.take() {
            alarms.remove(&(at, session.number()));
        }
        if !state.ended {
            state.alarm = [state.will.as_ref().map(|(_, at)| *at), state.ends_at()].into_iter().flatten().min();
        }
        if let Some(at) = state.alarm {
            alarms.insert((at, session.number()), Arc::clone(session));
        }
    }
}

impl Stray {
    fn of(held: Held, session: &Session, now: i64) -> Option<Self> {
        let shared = held.shared.clone()?;
        Some(Self { message: held.into_message(now)?, shared, left: session.number() })
    }
}

impl Session {
    /// Whether a client that comes now finds its session.
    fn is_resumable(&self, now: i64) -> bool {
        let state = self.state();
        !state.ended && state.expiry > 0 && self.stored().is_some() && state.ends_at().is_none_or(|at| at > now)
    }
}

impl crate::session::State {
    /// When the session is over if nobody comes; never while somebody is there.
    fn ends_at(&self) -> Option<i64> {
        let waits = self.link.is_none() && self.expiry != FOR_EVER;
        waits.then(|| self.since.saturating_add(i64::from(self.expiry).saturating_mul(1000)))
    }
}
