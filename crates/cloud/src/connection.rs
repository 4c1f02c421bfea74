//! One MQTT connection of a device: how it is let in, what its packets lead to, how it ends.
//!
//! The protocol is the broker's affair and the way of a message is `message`'s; here is what a connection may do,
//! as its policies say, and what it is told when it may not. Knows nothing of sockets or TLS.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use broker::{Closed, Gate, Offer, Session, Step, Subscribed, Wake};
use mqtt::{
    Ack, ConnAck, ConnAckProperties, Connect, Packet, Publish, QoS, ReasonCode, RetainHandling, SubAck, Subscribe,
    Subscription, Text, UnsubAck, Unsubscribe, Version, Will,
};
use policy::{Context as Variables, PolicySet, Request, Resource, keys};
use store::Fault;

use crate::events::{Event, Kind, Refused};
use crate::house::{House, Job, Space};
use crate::identity::{self, Standing};
use crate::message;
use crate::retained;
use crate::scope::{Context, Read, Scope};

/// Seconds: AWS takes 30 to 1200 and puts what lies outside at the nearer end, 0 at the far one (mqtt.md §2).
const KEEP_ALIVE: std::ops::RangeInclusive<u16> = 30..=1200;

/// Bytes of the largest packet we take (mqtt.md §2): 128 KB of payload, and room for the header.
pub const MAXIMUM_PACKET_SIZE: usize = 149_504;

/// Bytes of a client identifier.
const CLIENT_ID_BYTES: usize = 128;

/// Whence a connection comes, as the door saw it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The peer's address without the port.
    pub ip: String,
    /// The same with the port, for people.
    pub address: String,
    /// The host name the client asked for over TLS.
    pub server_name: Option<String>,
    /// The id of the certificate it proved to hold.
    pub certificate_id: String,
}

/// One connected device.
pub struct Connection {
    scope: Scope,
    peer: Peer,
    session: Arc<Session>,
    grant: Arc<Grant>,
    /// The variables that do not change while it is connected.
    variables: Variables,
    /// What the CONNECT asked for, so that the same question can be asked again when policies change.
    connect_values: Variables,
    keep_alive: u16,
    /// Publications that wait at the desk; later ones line up behind them so that order is kept.
    at_desk: AtomicUsize,
    wake: Arc<dyn Wake>,
}

/// What a connection may do; swapped whole when policies change.
struct Grant {
    topics: String,
    filters: String,
    set: RwLock<Arc<PolicySet>>,
    clock: Arc<AtomicI64>,
}

impl Grant {
    fn set(&self) -> Arc<PolicySet> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Gate for Grant {
    fn may_receive(&self, topic: &str) -> bool {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.load(Ordering::Relaxed);
        set.decide(&Request::new("iot:Receive", Resource::new(&self.topics, topic), now)).is_allowed()
    }
}

/// Who is connected with which certificate, so that a change reaches them at once.
#[derive(Default)]
pub(crate) struct Connections(Mutex<HashMap<String, Vec<Weak<Connection>>>>);

impl Connections {
    fn add(&self, connection: &Arc<Connection>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(connection.peer.certificate_id.clone()).or_default().push(Arc::downgrade(connection));
    }

    fn remove(&self, connection: &Connection) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(same) = all.get_mut(&connection.peer.certificate_id) else { return };
        same.retain(|other| other.upgrade().is_some_and(|other| other.session.id() != connection.session.id()));
        if same.is_empty() {
            all.remove(&connection.peer.certificate_id);
        }
    }

    fn of(&self, certificate_id: &str) -> Vec<Arc<Connection>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(certificate_id).into_iter().flatten().filter_map(Weak::upgrade).collect()
    }
}

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

impl House {
    /// Lets a device in, or says why not. The CONNACK is already among what waits for the socket.
    pub fn connect(
        &self,
        peer: Peer,
        connect: &Connect,
        wake: Arc<dyn Wake>,
        now: i64,
        entropy: u128,
    ) -> Result<Arc<Connection>, NotConnected> {
        let scope = self.scope_of(&peer.certificate_id).unwrap_or_else(|fault| {
            self.tell_fault(now, &fault);
            None
        });
        let scope = scope.unwrap_or_else(|| Scope::new("", ""));
        let cx = self.context(&scope, now, entropy);
        let client_id = connect.client_id.as_str().to_owned();
        let mut arrival = Arrival { cx: &cx, peer: &peer, connect, client_id };
        let (set, connect_values, variables) = self.examine(&mut arrival)?;
        let Arrival { client_id, .. } = arrival;
        let grant = Arc::new(Grant {
            topics: scope.arn(format_args!("topic/")),
            filters: scope.arn(format_args!("topicfilter/")),
            set: RwLock::new(Arc::new(set)),
            clock: self.clock(),
        });
        let space = self.space(&scope);
        let (session, _displaced) =
            space.broker.connect(offer(connect, &client_id), Arc::clone(&grant) as Arc<dyn Gate>, Arc::clone(&wake));
        let keep_alive = clamp_keep_alive(connect.keep_alive);
        session.send(&Packet::ConnAck(Box::new(accepted(connect, &session, keep_alive))));
        let protocol = if connect.version == Version::V5 { "MQTT 5" } else { "MQTT 3.1.1" };
        let kind = Kind::Connected {
            client_id: client_id.clone(),
            principal: peer.certificate_id.clone(),
            peer: peer.address.clone(),
            protocol,
        };
        self.witness.event(Event::new(now, &scope, kind));
        let at_desk = AtomicUsize::new(0);
        let connection =
            Arc::new(Connection { scope, peer, session, grant, variables, connect_values, keep_alive, at_desk, wake });
        space.connections.add(&connection);
        // A change that came between the look at the policies and the entry above would else be missed.
        self.refresh(&cx, &connection.peer.certificate_id);
        Ok(connection)
    }

    /// Identity, client id, will, policy: in this order, so that the first refusal is the most telling.
    fn examine(&self, arrival: &mut Arrival<'_>) -> Result<(PolicySet, Variables, Variables), NotConnected> {
        let (cx, peer) = (arrival.cx, arrival.peer);
        let view = self.store.read();
        let db = Read::new(&view, cx);
        let standing = identity::standing(db, &peer.certificate_id).map_err(|fault| self.not_now(cx.now, &fault))?;
        let certificate = match standing {
            Standing::Active(certificate) => certificate,
            other => return Err(self.turn_away(arrival, ReasonCode::NotAuthorized, other.decision(), &other.reason())),
        };
        self.examine_client_id(arrival)?;
        if arrival.connect.properties.authentication_method.is_some() {
            let reason = "enhanced authentication is not supported";
            return Err(self.turn_away(arrival, ReasonCode::BadAuthenticationMethod, "NOT_SUPPORTED", reason));
        }
        let mut variables = identity::certificate_context(&peer.certificate_id, &certificate);
        variables.set(keys::CLIENT_ID, &arrival.client_id);
        variables.set(keys::SOURCE_IP, &peer.ip);
        if let Some(name) = &peer.server_name {
            variables.set(keys::DOMAIN_NAME, name);
        }
        let set = grant_of(db, &peer.certificate_id, &arrival.client_id, variables.clone())
            .map_err(|fault| self.not_now(cx.now, &fault))?;
        let values = connect_values(&cx.scope, arrival.connect);
        self.examine_connect(arrival, &set, &values)?;
        self.examine_will(arrival, &set)?;
        Ok((set, values, variables))
    }

    fn examine_client_id(&self, arrival: &mut Arrival<'_>) -> Result<(), NotConnected> {
        let id = &arrival.client_id;
        if id.is_empty() {
            if arrival.connect.version == Version::V311 && !arrival.connect.clean_start {
                let reason = "an empty client id needs a clean session"; // [MQTT-3.1.3-8]
                return Err(self.turn_away(arrival, ReasonCode::ClientIdentifierNotValid, "CLIENT_ID", reason));
            }
            arrival.client_id = format!("$GEN/{}", arrival.cx.entropy.uuid());
        } else if id.len() > CLIENT_ID_BYTES || id.starts_with('$') {
            let reason = "a client id has at most 128 bytes and does not start with $";
            return Err(self.turn_away(arrival, ReasonCode::ClientIdentifierNotValid, "CLIENT_ID", reason));
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
        if will.qos == QoS::ExactlyOnce {
            return Err(self.turn_away(arrival, ReasonCode::QoSNotSupported, "NOT_SUPPORTED", "a will of QoS 2"));
        }
        let prefix = arrival.cx.scope.arn(format_args!("topic/"));
        let resource = Resource::new(&prefix, will.topic.as_str());
        self.ask(arrival, set, &Request::new("iot:Publish", resource, arrival.cx.now))?;
        if will.retain {
            self.ask(arrival, set, &Request::new("iot:RetainPublish", resource, arrival.cx.now))?;
        }
        Ok(())
    }

    fn ask(&self, arrival: &Arrival<'_>, set: &PolicySet, request: &Request<'_>) -> Result<(), NotConnected> {
        let decision = set.decide(request);
        if decision.is_allowed() {
            return Ok(());
        }
        let refused = Refused {
            client_id: arrival.client_id.clone(),
            principal: arrival.peer.certificate_id.clone(),
            action: request.action.to_owned(),
            resource: format!("{}{}", request.resource.prefix, request.resource.name),
            peer: arrival.peer.address.clone(),
            ..Refused::default()
        };
        let refused = identity::explained(refused, set, request, &decision);
        let short = format!("{} on {} is not allowed: {}", refused.action, refused.resource, refused.decision);
        self.witness.event(Event::new(arrival.cx.now, &arrival.cx.scope, Kind::Refusal(refused)));
        Err(not_connected(arrival.connect, ReasonCode::NotAuthorized, &short))
    }

    fn turn_away(&self, arrival: &Arrival<'_>, code: ReasonCode, decision: &str, reason: &str) -> NotConnected {
        let refused = Refused {
            client_id: arrival.client_id.clone(),
            principal: arrival.peer.certificate_id.clone(),
            action: "iot:Connect".to_owned(),
            resource: arrival.cx.scope.arn(format_args!("client/{}", arrival.client_id)),
            decision: decision.to_owned(),
            reason: reason.to_owned(),
            peer: arrival.peer.address.clone(),
            ..Refused::default()
        };
        self.witness.event(Event::new(arrival.cx.now, &arrival.cx.scope, Kind::Refusal(refused)));
        not_connected(arrival.connect, code, reason)
    }

    fn not_now(&self, now: i64, fault: &Fault) -> NotConnected {
        self.tell_fault(now, fault);
        NotConnected { connack: Box::new(ConnAck::refusal(ReasonCode::UnspecifiedError)) }
    }

    /// Takes one packet of a connection. What must be written comes back as a job for the desk.
    pub fn receive(&self, connection: &Arc<Connection>, packet: Packet, now: i64, entropy: u128) -> Option<Job> {
        let cx = self.context(&connection.scope, now, entropy);
        match connection.session.receive(packet) {
            Step::Nothing => None,
            Step::Publish(publish) => self.receive_publish(connection, &publish, cx),
            Step::Subscribe(subscribe) => {
                self.receive_subscribe(connection, subscribe, &cx);
                None
            }
            Step::Unsubscribe(unsubscribe) => {
                self.receive_unsubscribe(connection, &unsubscribe);
                None
            }
        }
    }

    fn receive_publish(&self, connection: &Arc<Connection>, publish: &Publish, cx: Context) -> Option<Job> {
        let (packet_id, from) = (publish.packet_id, Some(connection.session.id()));
        if let Err(no) = self.may_publish(connection, publish, &cx) {
            connection.decline(packet_id, no);
            return None;
        }
        let succeed = move |connection: &Connection| {
            if let Some(id) = packet_id {
                connection.session.acknowledge(Ack::success(id));
            }
        };
        let waits = connection.at_desk.load(Ordering::Relaxed) > 0;
        if !waits && message::is_plain(publish) {
            self.route(&cx.scope, cx.now, publish, from);
            succeed(connection);
            return None;
        }
        connection.at_desk.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::clone(connection);
        let publish = publish.compact();
        let job = Job::new(cx, move |db| message::publish(db, &publish, from).map(|()| wire::Output::default()));
        Some(job.then(move |answer| {
            match answer {
                Ok(_) => succeed(&connection),
                Err(refusal) => connection.decline(packet_id, No::new(ReasonCode::UnspecifiedError, refusal.message())),
            }
            connection.at_desk.fetch_sub(1, Ordering::Relaxed);
            connection.wake.wake();
        }))
    }

    /// Bounds, reserved topics, policy.
    fn may_publish(&self, connection: &Connection, publish: &Publish, cx: &Context) -> Result<(), No> {
        let topic = publish.topic.as_ref().map_or("", mqtt::Topic::as_str);
        if publish.payload.len() > message::PAYLOAD_BYTES {
            connection.session.close(Closed::ClientError {
                reason: ReasonCode::PacketTooLarge,
                message: format!("a payload has at most {} bytes", message::PAYLOAD_BYTES),
            });
            return Err(No::silent());
        }
        self.topic_quota(connection, topic, cx)?;
        if let Err(unsuited) = message::examine(topic, publish.retain) {
            let refused =
                Refused { decision: unsuited.decision.into(), reason: unsuited.reason.clone(), ..Refused::default() };
            self.tell_refused(connection, cx, "iot:Publish", format!("{}{topic}", connection.grant.topics), refused);
            return Err(No::new(ReasonCode::TopicNameInvalid, &unsuited.reason));
        }
        let resource = Resource::new(&connection.grant.topics, topic);
        self.may(connection, cx, "iot:Publish", resource)?;
        if publish.retain {
            self.may(connection, cx, "iot:RetainPublish", resource)?;
        }
        Ok(())
    }

    fn topic_quota(&self, connection: &Connection, topic: &str, cx: &Context) -> Result<(), No> {
        let Err(limit) = message::within_quota(topic) else { return Ok(()) };
        self.quota(connection, cx, limit)
    }

    fn quota(&self, connection: &Connection, cx: &Context, limit: &str) -> Result<(), No> {
        use crate::house::Quotas;
        match self.settings.quotas {
            Quotas::Off => Ok(()),
            Quotas::Warn => {
                let kind = Kind::Quota { client_id: connection.client_id().to_owned(), limit: limit.to_owned() };
                self.witness.event(Event::new(cx.now, &cx.scope, kind));
                Ok(())
            }
            Quotas::Aws => Err(No::new(ReasonCode::TopicNameInvalid, limit)),
        }
    }

    fn may(&self, connection: &Connection, cx: &Context, action: &str, resource: Resource<'_>) -> Result<(), No> {
        let set = connection.grant.set();
        let request = Request::new(action, resource, cx.now);
        let decision = set.decide(&request);
        if decision.is_allowed() {
            return Ok(());
        }
        let refused = identity::explained(Refused::default(), &set, &request, &decision);
        let arn = format!("{}{}", resource.prefix, resource.name);
        let short = format!("{action} on {arn} is not allowed: {}", refused.decision);
        self.tell_refused(connection, cx, action, arn, refused);
        Err(No::new(ReasonCode::NotAuthorized, &short))
    }

    fn tell_refused(&self, connection: &Connection, cx: &Context, action: &str, resource: String, refused: Refused) {
        let refused = Refused {
            client_id: connection.client_id().to_owned(),
            principal: connection.peer.certificate_id.clone(),
            action: action.to_owned(),
            resource,
            peer: connection.peer.address.clone(),
            ..refused
        };
        self.witness.event(Event::new(cx.now, &cx.scope, Kind::Refusal(refused)));
    }

    fn receive_subscribe(&self, connection: &Connection, subscribe: Subscribe, cx: &Context) {
        let Subscribe { packet_id, subscriptions, properties } = subscribe;
        if properties.subscription_identifier.is_some() {
            // The CONNACK said that there are none.
            connection.session.close(Closed::ClientError {
                reason: ReasonCode::SubscriptionIdentifiersNotSupported,
                message: "subscription identifiers are not supported".to_owned(),
            });
            return;
        }
        let space = self.space(&connection.scope);
        let answers: Vec<(ReasonCode, bool)> =
            subscriptions.iter().map(|subscription| self.subscribe(&space, connection, subscription, cx)).collect();
        let reasons = answers.iter().map(|(reason, _)| *reason).collect();
        connection.session.send(&Packet::SubAck(SubAck {
            packet_id,
            reasons,
            properties: mqtt::AckProperties::default(),
        }));
        for (subscription, _) in subscriptions.iter().zip(&answers).filter(|(_, (_, retained))| *retained) {
            self.send_retained(connection, subscription, cx);
        }
    }

    /// The reason code, and whether retained messages follow.
    fn subscribe(
        &self,
        space: &Space,
        connection: &Connection,
        subscription: &Subscription,
        cx: &Context,
    ) -> (ReasonCode, bool) {
        let filter = &subscription.filter;
        if filter.share_name().is_some() && subscription.no_local {
            connection.session.close(Closed::ClientError {
                reason: ReasonCode::ProtocolError, // [MQTT-3.8.3-4]
                message: "no local with a shared subscription".to_owned(),
            });
            return (ReasonCode::ProtocolError, false);
        }
        if let Err(no) = self.topic_quota(connection, filter.pattern(), cx) {
            return (no.reason, false);
        }
        // unconfirmed: how policies name a shared subscription; the whole filter, as in AWS's example.
        let resource = Resource::new(&connection.grant.filters, filter.as_str());
        if let Err(no) = self.may(connection, cx, "iot:Subscribe", resource) {
            return (no.reason, false);
        }
        let answer = space.broker.subscribe(&connection.session_arc(), subscription);
        let retained = match (answer, subscription.retain_handling) {
            (Subscribed::QuotaExceeded, _) | (_, RetainHandling::DoNotSend) => false,
            (Subscribed::Granted { replaced, .. }, RetainHandling::SendIfNew) => !replaced,
            (Subscribed::Granted { .. }, RetainHandling::Send) => true,
        };
        (answer.into(), retained && filter.share_name().is_none() && !filter.has_wildcard())
    }

    /// A retained message goes to filters that are equal to its topic, and to no wildcard: AWS's rule (mqtt.md §6).
    fn send_retained(&self, connection: &Connection, subscription: &Subscription, cx: &Context) {
        let view = self.store.read();
        match retained::find(Read::new(&view, cx), subscription.filter.as_str()) {
            Ok(Some(message)) => {
                connection.session.send_message(&message, subscription.qos);
            }
            Ok(None) => {}
            Err(fault) => self.tell_fault(cx.now, &fault),
        }
    }

    fn receive_unsubscribe(&self, connection: &Connection, unsubscribe: &Unsubscribe) {
        let space = self.space(&connection.scope);
        let reason = |filter| {
            let found = space.broker.unsubscribe(&connection.session, filter);
            if found { ReasonCode::Success } else { ReasonCode::NoSubscriptionExisted }
        };
        let reasons = unsubscribe.filters.iter().map(reason).collect();
        let packet_id = unsubscribe.packet_id;
        connection.session.send(&Packet::UnsubAck(UnsubAck {
            packet_id,
            reasons,
            properties: mqtt::AckProperties::default(),
        }));
    }

    /// Ends a connection whose socket is gone. Its will, if it is due, comes back as a job for the desk.
    pub fn disconnected(&self, connection: &Connection, now: i64, entropy: u128) -> Option<Job> {
        let closed = connection.session.closed().unwrap_or(Closed::ConnectionLost);
        let space = self.space(&connection.scope);
        space.broker.forget(&connection.session);
        space.connections.remove(connection);
        if let Closed::ClientError { message, .. } = &closed {
            let cx = self.context(&connection.scope, now, entropy);
            let refused = Refused { decision: "CLIENT_ERROR".into(), reason: message.clone(), ..Refused::default() };
            self.tell_refused(connection, &cx, "MQTT", String::new(), refused);
        }
        let (reason, detail) = lifecycle(&closed);
        let kind = Kind::Disconnected {
            client_id: connection.client_id().to_owned(),
            principal: connection.peer.certificate_id.clone(),
            reason,
            detail,
        };
        self.witness.event(Event::new(now, &connection.scope, kind));
        let will: Will = connection.session.take_will()?;
        let publish = Publish::from(will);
        let from = Some(connection.session.id());
        let cx = self.context(&connection.scope, now, entropy);
        // A will on a shadow's topic is heard by subscribers and ignored by the shadow (shadow.md §1).
        Some(Job::new(cx, move |db| message::broadcast(db, &publish, from).map(|()| wire::Output::default())))
    }

    /// A principal's certificate, policies or things changed: its connections are asked again at once.
    pub(crate) fn refresh(&self, cx: &Context, certificate_id: &str) {
        for connection in self.space(&cx.scope).connections.of(certificate_id) {
            if let Err(fault) = self.refresh_one(cx, &connection) {
                self.tell_fault(cx.now, &fault);
                connection.session.close(Closed::Forbidden("its policies could not be read".to_owned()));
            }
        }
    }

    fn refresh_one(&self, cx: &Context, connection: &Connection) -> Result<(), Fault> {
        let view = self.store.read();
        let db = Read::new(&view, cx);
        let (id, client_id) = (&connection.peer.certificate_id, connection.client_id());
        let standing = identity::standing(db, id)?;
        let arn = cx.scope.arn(format_args!("client/{client_id}"));
        if !matches!(standing, Standing::Active(_)) {
            let refused =
                Refused { decision: standing.decision().into(), reason: standing.reason(), ..Refused::default() };
            self.tell_refused(connection, cx, "iot:Connect", arn, refused);
            connection.session.close(Closed::Forbidden(standing.reason()));
            return Ok(());
        }
        let set = grant_of(db, id, client_id, connection.variables.clone())?;
        let request = Request::new("iot:Connect", Resource::new("", &arn), cx.now).with(&connection.connect_values);
        let decision = set.decide(&request);
        if !decision.is_allowed() {
            let refused = identity::explained(Refused::default(), &set, &request, &decision);
            self.tell_refused(connection, cx, "iot:Connect", arn.clone(), refused);
            connection.session.close(Closed::Forbidden("its policies no longer allow it to connect".to_owned()));
        }
        *connection.grant.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
        Ok(())
    }

    /// How many devices are connected.
    pub fn connected(&self) -> usize {
        self.spaces().iter().map(|space| space.broker.len()).sum()
    }

    /// Closes every connection because the server stops.
    pub fn close_all(&self) {
        for space in self.spaces() {
            for session in space.broker.all_sessions() {
                session.close(Closed::ServerStops);
            }
        }
    }
}

impl Connection {
    /// The client identifier, given or assigned.
    pub fn client_id(&self) -> &str {
        self.session.client_id()
    }

    /// The session: what waits for the socket, and whether it has been closed.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Seconds of silence after which the door closes the connection [MQTT-3.1.2-22].
    pub fn patience(&self) -> f32 {
        f32::from(self.keep_alive) * 1.5
    }

    /// Whether so much waits at the desk that the door should read no further.
    pub fn is_busy(&self) -> bool {
        self.at_desk.load(Ordering::Relaxed) >= 100
    }

    fn session_arc(&self) -> Arc<Session> {
        Arc::clone(&self.session)
    }

    /// Says no to a PUBLISH: MQTT 5 has words for it, 3.1.1 only the end of the connection (mqtt.md §3).
    fn decline(&self, packet_id: Option<std::num::NonZeroU16>, no: No) {
        match packet_id {
            Some(id) if self.session.version() == Version::V5 => {
                let mut ack = Ack::new(id, no.reason);
                ack.properties.reason_string = Text::try_from(no.message.as_str()).ok();
                self.session.acknowledge(ack);
            }
            _ if no.reason == ReasonCode::NotAuthorized => self.session.close(Closed::Forbidden(no.message)),
            _ => self.session.close(Closed::ClientError { reason: no.reason, message: no.message }),
        }
    }
}

/// Why a packet is declined.
struct No {
    reason: ReasonCode,
    message: String,
}

impl No {
    fn new(reason: ReasonCode, message: &str) -> Self {
        Self { reason, message: message.to_owned() }
    }

    /// The session has been closed already; what follows is not heard.
    fn silent() -> Self {
        Self::new(ReasonCode::PacketTooLarge, "")
    }
}

fn grant_of(db: Read, certificate_id: &str, client_id: &str, mut variables: Variables) -> Result<PolicySet, Fault> {
    let thing = identity::thing_of(db, certificate_id, client_id)?;
    identity::add_thing(&mut variables, thing.as_ref());
    identity::policy_set(db, certificate_id, variables)
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

fn clamp_keep_alive(asked: u16) -> u16 {
    if asked == 0 { *KEEP_ALIVE.end() } else { asked.clamp(*KEEP_ALIVE.start(), *KEEP_ALIVE.end()) }
}

fn offer(connect: &Connect, client_id: &str) -> Offer {
    Offer {
        client_id: client_id.to_owned(),
        version: connect.version,
        receive_maximum: connect.properties.receive_maximum.map_or(u16::MAX, std::num::NonZeroU16::get),
        maximum_packet_size: connect.properties.maximum_packet_size.map_or(usize::MAX, |size| size.get() as usize),
        will: connect.will.clone(),
        problem_information: connect.properties.request_problem_information.unwrap_or(true),
    }
}

/// The CONNACK of a client that is in, with the properties AWS sends (mqtt.md §2).
fn accepted(connect: &Connect, session: &Session, keep_alive: u16) -> ConnAck {
    // Sessions do not outlive their connection yet, and an MQTT 5 client that asked for more is told so.
    let asked_to_persist = connect.properties.session_expiry_interval.unwrap_or(0) > 0;
    let properties = ConnAckProperties {
        session_expiry_interval: asked_to_persist.then_some(0),
        receive_maximum: std::num::NonZeroU16::new(100),
        maximum_qos: Some(QoS::AtLeastOnce),
        retain_available: Some(true),
        maximum_packet_size: std::num::NonZeroU32::new(149_504),
        assigned_client_identifier: connect
            .client_id
            .is_empty()
            .then(|| Text::try_from(session.client_id()).unwrap_or_default()),
        topic_alias_maximum: Some(8),
        wildcard_subscription_available: Some(true),
        subscription_identifiers_available: Some(false),
        shared_subscription_available: Some(true),
        server_keep_alive: Some(keep_alive),
        ..ConnAckProperties::default()
    };
    ConnAck { session_present: false, reason: ReasonCode::Success, properties }
}

fn not_connected(connect: &Connect, reason: ReasonCode, message: &str) -> NotConnected {
    let mut connack = ConnAck::refusal(reason);
    if connect.properties.request_problem_information.unwrap_or(true) {
        connack.properties.reason_string = Text::try_from(message).ok();
    }
    NotConnected { connack: Box::new(connack) }
}

/// AWS's name for how a connection ended (mqtt.md §10), and the same in words.
fn lifecycle(closed: &Closed) -> (&'static str, String) {
    match closed {
        Closed::ByClient { .. } => ("CLIENT_INITIATED_DISCONNECT", "the client said DISCONNECT".to_owned()),
        Closed::ClientError { message, .. } => ("CLIENT_ERROR", message.clone()),
        Closed::ConnectionLost => ("CONNECTION_LOST", "the connection broke".to_owned()),
        Closed::KeepAliveTimeout => ("MQTT_KEEP_ALIVE_TIMEOUT", "silence of 1.5 times the keep-alive".to_owned()),
        Closed::TakenOver => ("DUPLICATE_CLIENTID", "another connection took the client id".to_owned()),
        Closed::Forbidden(message) => ("FORBIDDEN_ACCESS", message.clone()),
        Closed::TooSlow => ("THROTTLED", "the client did not take what was sent to it".to_owned()),
        Closed::ServerStops => ("SERVER_INITIATED_DISCONNECT", "the server stopped".to_owned()),
    }
}
