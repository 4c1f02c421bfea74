//! Who gets a message: the sessions whose filters match its topic, found once and used for as long as no subscription
//! changes. Sessions that are stored are named before they are given anything. Knows nothing of connections.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use mqtt::{Filter, Publish, QoS, SubscriptionId};

use crate::Broker;
use crate::attach::Stray;
use crate::frames::Frames;
use crate::session::{Confirmed, Kept, Session, Terms};
use crate::tree::{Found, Group};

/// What hangs on a filter.
#[derive(Clone)]
pub(crate) struct Subscriber {
    session: Arc<Session>,
    qos: QoS,
    no_local: bool,
    retain_as_published: bool,
    id: Option<SubscriptionId>,
    /// The whole filter, if it is shared.
    shared: Option<Filter>,
}

impl Subscriber {
    pub(crate) fn new(session: &Arc<Session>, kept: &Kept) -> Self {
        let subscription = &kept.subscription;
        Self {
            session: Arc::clone(session),
            qos: subscription.qos,
            no_local: subscription.no_local,
            retain_as_published: subscription.retain_as_published,
            id: kept.id,
            shared: subscription.filter.share_name().is_some().then(|| subscription.filter.clone()),
        }
    }
}

/// Where the messages of one topic go.
pub struct Route {
    generation: u64,
    direct: Vec<Direct>,
    groups: Vec<Arc<Group<Subscriber>>>,
    /// Who hears it in the house.
    listeners: Vec<u64>,
    /// Whether something has to be written before a message of more than QoS 0 is delivered: a stored session among them
    /// wants it, or a listener must not miss it.
    stores: bool,
}

/// One session that gets every message.
struct Direct {
    session: Arc<Session>,
    qos: QoS,
    no_local: bool,
    retain: bool,
    ids: Vec<SubscriptionId>,
    /// The gate that let this topic through, as [`crate::Gate::token`] names it.
    cleared: AtomicU64,
}

/// Who gets one message, decided before anything is written or sent.
#[derive(Default)]
pub struct Plan {
    /// One entry for each session.
    pub recipients: Vec<Planned>,
}

/// One session that gets a message.
pub struct Planned {
    /// The session.
    pub session: Arc<Session>,
    /// The QoS of the delivery.
    pub qos: QoS,
    /// The retain flag of the delivery.
    pub retain: bool,
    /// The identifiers of the subscriptions that matched.
    pub ids: Vec<SubscriptionId>,
    shared: Option<Filter>,
    /// Its number in a stored session: the record is to be written before the message is delivered.
    pub seq: Option<u64>,
    /// A stored session that has no room for it.
    pub full: bool,
    /// Who waits for its acknowledgement.
    pub confirmed: Option<Confirmed>,
}

impl Route {
    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        self.direct.is_empty() && self.groups.is_empty() && self.listeners.is_empty()
    }

    /// Who hears it in the house, as [`Broker::listen`] named them.
    pub fn listeners(&self) -> &[u64] {
        &self.listeners
    }
}

impl Broker {
    /// Whether a route is still what the subscriptions say.
    pub fn is_current(&self, route: &Route) -> bool {
        route.generation == self.generation.load(Ordering::Acquire)
    }

    /// Finds who subscribed to a topic.
    pub fn route(&self, topic: &str) -> Route {
        let tree = self.subscriptions.read().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that the two belong together.
        let generation = self.generation.load(Ordering::Acquire);
        let mut route =
            Route { generation, direct: Vec::new(), groups: Vec::new(), listeners: Vec::new(), stores: false };
        tree.visit(topic, self.settings.hash_matches_parent, &mut |found| match found {
            Found::One(subscriber) => route.direct.push(Direct::new(subscriber)),
            Found::Group(group) => route.groups.push(Arc::clone(group)),
        });
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        listeners.visit(topic, true, &mut |found| {
            if let Found::One(listener) = found {
                route.listeners.push(*listener);
            }
        });
        drop((listeners, tree));
        if route.direct.len() > 1 {
            merge_overlapping(&mut route.direct);
        }
        let direct =
            route.direct.iter().any(|direct| direct.qos > QoS::AtMostOnce && direct.session.stored().is_some());
        route.stores = direct || !route.groups.is_empty() || !route.listeners.is_empty();
        route
    }

    /// Delivers at once, if nothing has to be written first; otherwise [`Broker::plan`] is needed. `from` is
    /// the number of the session that published, for No Local. How many sessions got it.
    pub fn deliver(&self, route: &Route, message: &Publish, from: Option<u64>, now: i64) -> Option<usize> {
        if route.stores && message.qos > QoS::AtMostOnce {
            return None;
        }
        let mut frames = Frames::new(message, route.direct.len() + route.groups.len());
        let mut delivered = 0;
        for direct in &route.direct {
            if direct.no_local && from == Some(direct.session.number()) {
                continue;
            }
            let terms = Terms {
                qos: message.qos.min(direct.qos),
                retain: direct.retain && message.retain,
                ids: &direct.ids,
                shared: None,
                confirmed: None,
                cleared: Some(&direct.cleared),
            };
            delivered += usize::from(direct.session.deliver(&mut frames, terms, None, now));
        }
        for group in &route.groups {
            let Some(member) = choose(group, message, None) else { continue };
            let planned = Planned::of_member(member, message);
            delivered += usize::from(planned.deliver(&mut frames, now));
        }
        Some(delivered)
    }

    /// Decides who gets a message, and reserves its number in every stored session.
    pub fn plan(&self, route: &Route, message: &Publish, from: Option<u64>) -> Plan {
        let direct = route.direct.iter().filter(|direct| !(direct.no_local && from == Some(direct.session.number())));
        let direct = direct.map(|direct| {
            let qos = message.qos.min(direct.qos);
            Planned::new(&direct.session, qos, direct.retain && message.retain, direct.ids.clone())
        });
        let shared = route.groups.iter().filter_map(|group| choose(group, message, None));
        let shared = shared.map(|member| Planned::of_member(member, message));
        let mut recipients: Vec<Planned> = direct.chain(shared).collect();
        for planned in &mut recipients {
            planned.reserve(message);
        }
        Plan { recipients }
    }

    /// Delivers what was planned, once what had to be stored is. How many sessions got it.
    pub fn carry_out(&self, plan: &Plan, message: &Publish, now: i64) -> usize {
        let mut frames = Frames::new(message, plan.recipients.len());
        plan.recipients.iter().filter(|planned| planned.deliver(&mut frames, now)).count()
    }

    /// Plans a message for one session alone, whatever it subscribed to: retained messages, direct ones.
    pub fn plan_for(
        &self,
        session: &Arc<Session>,
        message: &Publish,
        terms: (QoS, bool, Option<SubscriptionId>),
    ) -> Plan {
        let (qos, retain, id) = terms;
        let mut planned = Planned::new(session, message.qos.min(qos), retain, id.into_iter().collect());
        planned.reserve(message);
        Plan { recipients: vec![planned] }
    }

    /// Plans a message of a shared subscription for another member than the one that has gone, if there is one. Like
    /// every plan it is to be made in its turn: what is planned first for a stored session is carried out first.
    pub fn plan_for_another(&self, stray: &Stray) -> Option<Plan> {
        let Stray { message, shared, left } = stray;
        let topic = message.topic.as_ref()?;
        let route = self.route(topic.as_str());
        let same = |group: &&Arc<Group<Subscriber>>| group.any(|member| member.shared.as_ref() == Some(shared));
        let group = route.groups.iter().find(same)?;
        let mut planned = Planned::of_member(choose(group, message, Some(*left))?, message);
        planned.reserve(message);
        Some(Plan { recipients: vec![planned] })
    }
}

impl Plan {
    /// Whether something has to be stored before it is carried out.
    pub fn stores(&self) -> bool {
        self.recipients.iter().any(|planned| planned.seq.is_some())
    }
}

impl Planned {
    fn new(session: &Arc<Session>, qos: QoS, retain: bool, ids: Vec<SubscriptionId>) -> Self {
        let session = Arc::clone(session);
        Self { session, qos, retain, ids, shared: None, seq: None, full: false, confirmed: None }
    }

    fn of_member(member: &Subscriber, message: &Publish) -> Self {
        let (qos, retain) = (message.qos.min(member.qos), member.retain_as_published && message.retain);
        let planned = Self::new(&member.session, qos, retain, member.id.into_iter().collect());
        Self { shared: member.shared.clone(), ..planned }
    }

    fn reserve(&mut self, message: &Publish) {
        if self.qos > QoS::AtMostOnce && self.session.stored().is_some() {
            self.seq = self.session.reserve(message);
            self.full = self.seq.is_none();
        }
    }

    fn deliver(&self, frames: &mut Frames<'_>, now: i64) -> bool {
        let terms = Terms {
            qos: self.qos,
            retain: self.retain,
            ids: &self.ids,
            shared: self.shared.as_ref(),
            confirmed: self.confirmed.as_ref(),
            cleared: None,
        };
        self.session.deliver(frames, terms, self.seq, now)
    }
}

impl Direct {
    fn new(subscriber: &Subscriber) -> Self {
        Self {
            session: Arc::clone(&subscriber.session),
            qos: subscriber.qos,
            no_local: subscriber.no_local,
            retain: subscriber.retain_as_published,
            ids: subscriber.id.into_iter().collect(),
            cleared: AtomicU64::new(0),
        }
    }
}

/// The member that gets a message: the next in turn that is connected and may have it, or else one whose session waits
/// for it [MQTT-4.8.2-6].
fn choose<'g>(group: &'g Group<Subscriber>, message: &Publish, except: Option<u64>) -> Option<&'g Subscriber> {
    let topic = message.topic.as_ref().map_or("", mqtt::Topic::as_str);
    let mut waiting = None;
    for member in group.in_turn().filter(|member| Some(member.session.number()) != except) {
        if member.session.is_connected() {
            if member.session.link().is_some_and(|link| link.may_receive(topic) && !link.is_closed()) {
                return Some(member);
            }
        } else if waiting.is_none()
            && member.session.stored().is_some()
            && message.qos.min(member.qos) > QoS::AtMostOnce
        {
            waiting = Some(member);
        }
    }
    waiting
}

/// One copy per session, with the highest QoS among its filters [MQTT-3.3.4-2] and all their identifiers [MQTT-3.3.4-3].
fn merge_overlapping(direct: &mut Vec<Direct>) {
    let mut first: HashMap<u64, usize> = HashMap::with_capacity(direct.len());
    let mut merged: Vec<Direct> = Vec::with_capacity(direct.len());
    for next in direct.drain(..) {
        let at = *first.entry(next.session.number()).or_insert(merged.len());
        match merged.get_mut(at) {
            Some(kept) => {
                kept.qos = kept.qos.max(next.qos);
                kept.retain |= next.retain;
                kept.no_local &= next.no_local;
                kept.ids.extend(next.ids);
            }
            None => merged.push(next),
        }
    }
    *direct = merged;
}
