//! How a device is let in: its certificate, its client id, its will, its policies are examined in this order, so that the first
//! refusal is the most telling one. What happens once it is in is unknown here.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use broker::{Attached, Gate, Link, Offer, Wake};
use mqtt::{ConnAck, ConnAckProperties, Connect, Packet, QoS, ReasonCode, Text, Version, Will};
use policy::{Context as Variables, PolicySet, Request, Resource, keys};
use store::Fault;

use super::grant::{Common, Grant};
use super::propagation::Propagated;
use super::{Clients, Connection, MAXIMUM_PACKET_SIZE, Peer, Told};
use crate::events::{Event, Kind, Refused, Rival};
use crate::figures::Count;
use crate::house::{House, Job};
use crate::identity::{self, Granted};
use crate::lifecycle::Visit;
use crate::logging::{Level, Record};
use crate::message;
use crate::origin::Origin;
use crate::quotas::{self, Limit, Meter, Stand};
use crate::scope::{Context, Read, Scope};
use crate::sessions;
use crate::settings::Quotas;

/// Seconds: AWS takes 30 to 1200 and puts what lies outside at the nearer end, 0 at the far one (mqtt.md §2).
const KEEP_ALIVE: std::ops::RangeInclusive<u16> = 30..=1200;

/// Seconds that AWS keeps the session of a 3.1.1 client (mqtt.md §4).
const SESSION_EXPIRY: u32 = 3600;

/// A CONNECT that was not let in.
pub struct NotConnected {
    /// What the client is told; 3.1.1 has no word for some reasons, and then the door just closes.
    pub connack: Box<ConnAck>,
}

/// What a CONNECT is about to become.
struct Arrival<'a> {
    cx: &'a Context,
    peer: &'a Peer,
    connect: &'a Connect,
    client_id: String,
}

impl Arrival<'_> {
    /// Counts that it is not let in, and tells in the logs why.
    fn log_failure(&self, count: Count, reason: &str, details: &str) {
        self.cx.figures.count(count);
        let record = || {
            let record = Record::failure("Connect", reason).with("details", details);
            self.peer.record(record, &self.client_id)
        };
        self.cx.logging.note(self.cx.now, Level::Error, record);
    }
}

/// Told when a device is in, or why it is not.
pub type Arrived = Box<dyn FnOnce(Result<Arc<Connection>, NotConnected>) + Send>;

/// A device that has been examined and may come in.
struct Guest {
    peer: Peer,
    connect: Connect,
    offer: Offer,
    granted: Granted,
    connect_values: Variables,
    wake: Arc<dyn Wake>,
    arrived: Arrived,
    /// How many changes of policies and the like there had been when it was examined.
    changes: u64,
}

impl House {
    /// Lets a device in, or says why not: `arrived` hears of it, at once or, where a stored session is concerned, when
    /// what comes back has been to the desk. The CONNACK is then already among what waits for the socket.
    pub fn connect(
        &self,
        peer: Peer,
        connect: Connect,
        wake: Arc<dyn Wake>,
        (now, entropy): (i64, u128),
        arrived: Arrived,
    ) -> Vec<Job> {
        let scope = peer.principal.scope(&self.store.read(), peer.server_name.as_deref()).unwrap_or_else(|fault| {
            self.tell_fault(now, &fault);
            None
        });
        let scope = scope.unwrap_or_else(|| Scope::new("", ""));
        let cx = self.context(&scope, now, entropy);
        let client_id = connect.client_id.as_str().to_owned();
        let space = self.space(&scope);
        let changes = space.connections.changes.load(Ordering::SeqCst);
        let mut arrival = Arrival { cx: &cx, peer: &peer, connect: &connect, client_id };
        let (granted, connect_values) = match self.examine(&mut arrival) {
            Ok(examined) => examined,
            Err(no) => {
                let forbidden = no.connack.reason == ReasonCode::NotAuthorized;
                let client_id = arrival.client_id;
                let told = forbidden.then(|| self.tell_connect_failed(&cx, &peer, &client_id)).flatten();
                arrived(Err(no));
                return told.into_iter().collect();
            }
        };
        let offer = self.offer(&cx, &connect, arrival.client_id);
        let guest = Guest { peer, connect, offer, granted, connect_values, wake, arrived, changes };
        let existing = space.broker.session(&guest.offer.client_id);
        if guest.offer.expiry == 0 && existing.is_none_or(|session| session.stored().is_none()) {
            return self.welcome(&cx, guest);
        }
        vec![self.write_down(&cx, guest)]
    }

    /// A session that outlives its connection, or one that a client puts an end to, is written down before the CONNACK.
    fn write_down(&self, cx: &Context, guest: Guest) -> Job {
        let space = self.space(&cx.scope);
        let Offer { client_id, clean_start, expiry, stored, will, .. } = guest.offer.clone();
        let job = Job::new(cx.again(), move |db| {
            let existing = space.broker.session(&client_id).filter(|session| !clean_start && !session.has_ended());
            let key = existing.and_then(|session| session.stored()).or(stored);
            match key {
                Some(key) => sessions::open(db, &client_id, key, expiry, will.as_ref())?,
                None => sessions::forget(db, &client_id)?,
            }
            Ok(())
        });
        job.after(move |house, cx, outcome| {
            if outcome.is_ok() {
                return house.welcome(&cx, guest);
            }
            let connack = Box::new(ConnAck::refusal(ReasonCode::UnspecifiedError));
            (guest.arrived)(Err(NotConnected { connack }));
            Vec::new()
        })
    }

    /// Opens the connection of a device that may come in.
    fn welcome(&self, cx: &Context, guest: Guest) -> Vec<Job> {
        let Guest { peer, connect, offer, granted, connect_values, wake, arrived, changes } = guest;
        let Context { scope, now, .. } = cx;
        let origin = Arc::new(Origin::of_client(&offer.client_id, &peer.principal.id(), &peer.ip));
        let (space, peer) = (self.space(scope), Arc::new(peer));
        let grant = Arc::new(Grant::new(cx, &peer, &origin, granted, Common::of(self, &space)));
        let gate = Arc::clone(&grant) as Arc<dyn Gate>;
        let will = offer.will.clone();
        // Looked up before it is closed, because it may be gone right after.
        let previous = space.connections.of_client(&offer.client_id);
        let Attached { link, present, displaced, ended } = space.broker.attach(offer, gate, Arc::clone(&wake), *now);
        let mut jobs = ended.map(|ended| self.end(cx, ended)).unwrap_or_default();
        jobs.extend(self.write_down_again(cx, &link, will));
        let keep_alive = self.keep_alive(connect.keep_alive);
        link.send(Packet::ConnAck(Box::new(self.accepted(&connect, &link, present, keep_alive))));
        let protocol = if connect.version == Version::V5 { "MQTT 5" } else { "MQTT 3.1.1" };
        let kind = Kind::Connected {
            client_id: link.session().client_id().to_owned(),
            principal: peer.principal.id(),
            peer: peer.address.clone(),
            protocol,
        };
        self.witness.event(Event::new(*now, scope, kind));
        let client_id = link.session().client_id();
        let visit = Visit { seed: cx.entropy.number(), version: space.clients.arrive(client_id, link.number(), *now) };
        if let Some(displaced) = displaced {
            self.look_for_loop(
                cx,
                &space.clients,
                previous.filter(|old| old.link.number() == displaced.number()),
                &peer,
            );
        }
        let connection = Arc::new(Connection {
            scope: scope.clone(),
            peer,
            origin,
            link,
            grant,
            books: cx.books(),
            connect_values,
            keep_alive,
            since: *now,
            visit,
            at_desk: AtomicUsize::new(0),
            told: Told::default(),
            warned: Told::default(),
            wake,
            retained: Mutex::default(),
            paths: Mutex::default(),
            meter: Meter::default(),
            propagated: Propagated::new(&space.propagation),
        });
        space.connections.add(&connection);
        if present {
            connection.link.want_more();
        }
        if space.connections.changes.load(Ordering::SeqCst) != changes {
            // A change that came between the look at the policies and the entry above would else be missed.
            self.ask_again(cx, &connection);
        }
        connection.has_come(*now);
        jobs.extend(self.tell_connected(cx, &connection));
        arrived(Ok(connection));
        jobs
    }

    /// Two devices with one client id throw each other out for ever; that is told by name. One that merely comes back
    /// before its old connection was missed is known by its address and its principal.
    fn look_for_loop(&self, cx: &Context, clients: &Clients, displaced: Option<Arc<Connection>>, peer: &Peer) {
        let is_other = |old: &Arc<Connection>| (&old.peer.ip, &old.peer.principal) != (&peer.ip, &peer.principal);
        let Some(old) = displaced.filter(is_other) else { return };
        let client_id = old.client_id();
        if clients.is_loop(client_id, cx.now) {
            let rival = |peer: &Peer| Rival { peer: peer.address.clone(), principal: peer.principal.id() };
            let rivals = [rival(&old.peer), rival(peer)];
            let kind = Kind::TakeoverLoop { client_id: client_id.to_owned(), rivals };
            self.witness.event(Event::new(cx.now, &cx.scope, kind));
        }
    }

    /// If two connections of one client met at the desk, the record may name the other's session: it is corrected.
    fn write_down_again(&self, cx: &Context, link: &Link, will: Option<Will>) -> Option<Job> {
        let session = Arc::clone(link.session());
        let key = session.stored()?;
        let view = self.store.read();
        let written = sessions::record(Read::new(&view, cx), session.client_id());
        if written.is_ok_and(|record| record.is_some_and(|record| record.key == key)) {
            return None;
        }
        Some(Job::new(cx.again(), move |db| {
            sessions::open(db, session.client_id(), key, session.expiry().0, will.as_ref())?;
            Ok(())
        }))
    }

    /// Identity, client id, will, policy: in this order, so that the first refusal is the most telling.
    fn examine(&self, arrival: &mut Arrival<'_>) -> Result<(Granted, Variables), NotConnected> {
        let (cx, peer) = (arrival.cx, arrival.peer);
        let view = self.store.read();
        let db = Read::new(&view, cx);
        let variables = match peer.principal.standing(db).map_err(|fault| self.not_now(cx.now, &fault))? {
            Ok(variables) => variables,
            Err(no) => return Err(self.turn_away(arrival, ReasonCode::NotAuthorized, &no.decision, &no.reason)),
        };
        self.examine_client_id(arrival)?;
        if arrival.connect.properties.authentication_method.is_some() {
            let reason = "enhanced authentication is not supported";
            return Err(self.turn_away(arrival, ReasonCode::BadAuthenticationMethod, "NOT_SUPPORTED", reason));
        }
        let variables = peer.add_to(variables, &arrival.client_id);
        let granted = peer.principal.grant(db, &arrival.client_id, variables);
        let granted = granted.map_err(|fault| self.not_now(cx.now, &fault))?;
        let values = connect_values(&cx.scope, arrival.connect);
        self.examine_connect(arrival, &granted.set, &values)?;
        self.examine_will(arrival, &granted.set)?;
        let is_early = self.space(&cx.scope).clients.is_early(&arrival.client_id, cx.now);
        self.keep_quota(arrival, quotas::CONNECTS.stand_if(self.settings.quotas, is_early))?;
        Ok((granted, values))
    }

    fn examine_client_id(&self, arrival: &mut Arrival<'_>) -> Result<(), NotConnected> {
        let id = &arrival.client_id;
        if id.is_empty() {
            if arrival.connect.version == Version::V311 && !arrival.connect.clean_start {
                let reason = "an empty client id needs a clean session"; // [MQTT-3.1.3-8]
                return Err(self.turn_away(arrival, ReasonCode::ClientIdentifierNotValid, "CLIENT_ID", reason));
            }
            arrival.client_id = format!("$GEN/{}", arrival.cx.entropy.uuid());
        } else if id.len() > quotas::CLIENT_ID.size() || id.starts_with('$') {
            let Limit { words, reason, .. } = &quotas::CLIENT_ID;
            return Err(self.turn_away(arrival, *reason, "CLIENT_ID", words));
        }
        Ok(())
    }

    fn examine_connect(&self, arrival: &Arrival<'_>, set: &PolicySet, values: &Variables) -> Result<(), NotConnected> {
        let prefix = arrival.cx.scope.arn(format_args!("client/"));
        let resource = Resource::new(&prefix, &arrival.client_id);
        let request = Request::new("iot:Connect", resource, arrival.cx.now).with(values);
        self.ask(arrival, set, &request)
    }

    fn examine_will(&self, arrival: &Arrival<'_>, set: &PolicySet) -> Result<(), NotConnected> {
        let Some(will) = &arrival.connect.will else { return Ok(()) };
        self.keep_quota(arrival, quotas::QOS.stand(self.settings.quotas, usize::from(will.qos.number())))?;
        let topic = will.topic.as_str();
        if let Err(unsuited) = message::examine(topic, will.retain, self.settings.follows_specification()) {
            return Err(self.turn_away(arrival, ReasonCode::TopicNameInvalid, unsuited.decision, &unsuited.reason));
        }
        self.keep_quota(arrival, quotas::of_topic(self.settings.quotas, topic))?;
        let prefix = arrival.cx.scope.arn(format_args!("topic/"));
        let resource = Resource::new(&prefix, topic);
        self.ask(arrival, set, &Request::new("iot:Publish", resource, arrival.cx.now))?;
        if will.retain {
            self.ask(arrival, set, &Request::new("iot:RetainPublish", resource, arrival.cx.now))?;
        }
        Ok(())
    }

    fn keep_quota(&self, arrival: &Arrival<'_>, stand: Stand) -> Result<(), NotConnected> {
        match stand {
            Stand::Within => Ok(()),
            Stand::Warned(limit) => {
                let kind = Kind::Quota { client_id: arrival.client_id.clone(), limit: limit.words.to_owned() };
                self.witness.event(Event::new(arrival.cx.now, &arrival.cx.scope, kind));
                Ok(())
            }
            Stand::Refused(limit) => Err(self.turn_away(arrival, limit.reason, "QUOTA", limit.words)),
        }
    }

    fn ask(&self, arrival: &Arrival<'_>, set: &PolicySet, request: &Request<'_>) -> Result<(), NotConnected> {
        let decision = set.decide(request);
        if decision.is_allowed() {
            return Ok(());
        }
        let refused = Refused {
            client_id: arrival.client_id.clone(),
            principal: arrival.peer.principal.id(),
            action: request.action.to_owned(),
            resource: format!("{}{}", request.resource.prefix, request.resource.name),
            peer: arrival.peer.address.clone(),
            given: arrival.peer.given(request.values),
            ..Refused::default()
        };
        let refused = identity::explained(refused, set, request, &decision);
        let short = format!("{} on {} is not allowed: {}", refused.action, refused.resource, refused.decision);
        self.witness.event(Event::new(arrival.cx.now, &arrival.cx.scope, Kind::Refusal(refused)));
        arrival.log_failure(Count::ConnectAuthError, "AUTHORIZATION_FAILURE", &short);
        Err(not_connected(arrival.connect, ReasonCode::NotAuthorized, &short))
    }

    fn turn_away(&self, arrival: &Arrival<'_>, code: ReasonCode, decision: &str, reason: &str) -> NotConnected {
        let refused = Refused {
            client_id: arrival.client_id.clone(),
            principal: arrival.peer.principal.id(),
            action: "iot:Connect".to_owned(),
            resource: arrival.cx.scope.arn(format_args!("client/{}", arrival.client_id)),
            decision: decision.to_owned(),
            reason: reason.to_owned(),
            peer: arrival.peer.address.clone(),
            ..Refused::default()
        };
        self.witness.event(Event::new(arrival.cx.now, &arrival.cx.scope, Kind::Refusal(refused)));
        let count = match (code, decision) {
            (ReasonCode::NotAuthorized, _) => Count::ConnectAuthError,
            (_, "QUOTA") => Count::ConnectClientIdThrottle,
            _ => Count::ConnectClientError,
        };
        arrival.log_failure(count, decision, reason);
        not_connected(arrival.connect, code, reason)
    }

    fn not_now(&self, now: i64, fault: &Fault) -> NotConnected {
        self.tell_fault(now, fault);
        NotConnected { connack: Box::new(ConnAck::refusal(ReasonCode::UnspecifiedError)) }
    }
}

impl House {
    /// Seconds of silence that are allowed: AWS's bounds, unless nobody asked for them.
    fn keep_alive(&self, asked: u16) -> u16 {
        if self.settings.follows_specification() {
            return asked;
        }
        if asked == 0 { *KEEP_ALIVE.end() } else { asked.clamp(*KEEP_ALIVE.start(), *KEEP_ALIVE.end()) }
    }

    /// Seconds a session outlives its connection: what an MQTT 5 client asks for within AWS's bounds, AWS's default for a
    /// 3.1.1 client that wants to keep its session.
    fn expiry(&self, connect: &Connect) -> u32 {
        let asked = match connect.version {
            Version::V311 if connect.clean_start => 0,
            Version::V311 => SESSION_EXPIRY,
            Version::V5 => connect.properties.session_expiry_interval.unwrap_or(0),
        };
        asked.min(self.settings.longest_expiry())
    }

    fn offer(&self, cx: &Context, connect: &Connect, client_id: String) -> Offer {
        let expiry = self.expiry(connect);
        Offer {
            client_id,
            version: connect.version,
            clean_start: connect.clean_start,
            expiry,
            stored: (expiry > 0).then(|| cx.entropy.number()),
            receive_maximum: connect.properties.receive_maximum.map_or(u16::MAX, NonZeroU16::get),
            maximum_packet_size: connect.properties.maximum_packet_size.map_or(usize::MAX, |size| size.get() as usize),
            topic_alias_maximum: connect.properties.topic_alias_maximum.unwrap_or(0),
            will: connect.will.clone(),
            problem_information: connect.properties.request_problem_information.unwrap_or(true),
        }
    }

    /// The CONNACK of a client that is in, with the properties AWS sends (mqtt.md §2).
    fn accepted(&self, connect: &Connect, link: &Link, present: bool, keep_alive: u16) -> ConnAck {
        let aws = self.settings.quotas == Quotas::Aws;
        let asked = connect.properties.session_expiry_interval;
        let broker = &self.settings.broker;
        let properties = ConnAckProperties {
            session_expiry_interval: asked.map(|_| link.session().expiry().0),
            receive_maximum: NonZeroU16::new(broker.receive_maximum),
            maximum_qos: aws.then_some(QoS::AtLeastOnce),
            retain_available: Some(true),
            maximum_packet_size: u32::try_from(MAXIMUM_PACKET_SIZE).ok().and_then(NonZeroU32::new),
            assigned_client_identifier: connect
                .client_id
                .is_empty()
                .then(|| Text::try_from(link.session().client_id()).unwrap_or_default()),
            topic_alias_maximum: Some(broker.topic_alias_maximum),
            wildcard_subscription_available: Some(true),
            subscription_identifiers_available: Some(!aws),
            shared_subscription_available: Some(true),
            server_keep_alive: (!self.settings.follows_specification()).then_some(keep_alive),
            ..ConnAckProperties::default()
        };
        ConnAck { session_present: present, reason: ReasonCode::Success, properties }
    }
}

/// What a policy can ask about a CONNECT (security.md §3.6).
fn connect_values(scope: &Scope, connect: &Connect) -> Variables {
    let mut values = Variables::new();
    let persistent = match connect.version {
        Version::V311 => !connect.clean_start,
        Version::V5 => connect.properties.session_expiry_interval.unwrap_or(0) > 0,
    };
    let attributes = [persistent.then_some("PersistentConnect"), connect.will.as_ref().map(|_| "LastWill")];
    values.set_all(keys::CONNECT_ATTRIBUTES, attributes.into_iter().flatten());
    if let Some(will) = &connect.will {
        values.set(keys::LAST_WILL_TOPIC, &scope.arn(format_args!("topic/{}", will.topic)));
    }
    values
}

fn not_connected(connect: &Connect, reason: ReasonCode, message: &str) -> NotConnected {
    let mut connack = ConnAck::refusal(reason);
    if connect.properties.request_problem_information.unwrap_or(true) {
        connack.properties.reason_string = Text::try_from(message).ok();
    }
    NotConnected { connack: Box::new(connack) }
}
