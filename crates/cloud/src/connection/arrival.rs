//! How a device is let in: its certificate, its client id, its will, its policies are examined in this order, so that the first
//! refusal is the most telling one. What happens once it is in is unknown here.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, RwLock};

use broker::{Gate, Offer, Session, Wake};
use mqtt::{ConnAck, ConnAckProperties, Connect, Packet, QoS, ReasonCode, Text, Version};
use policy::{Context as Variables, PolicySet, Request, Resource, keys};
use store::Fault;

use super::{Connection, Grant, MAXIMUM_PACKET_SIZE, Peer, Told};
use crate::events::{Event, Kind, Refused};
use crate::house::House;
use crate::identity;
use crate::message::{self, Quota};
use crate::scope::{Context, Read, Scope};

/// Seconds: AWS takes 30 to 1200 and puts what lies outside at the nearer end, 0 at the far one (mqtt.md §2).
const KEEP_ALIVE: std::ops::RangeInclusive<u16> = 30..=1200;

/// Bytes of a client identifier.
const CLIENT_ID_BYTES: usize = 128;

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
        let scope = peer.principal.scope(&self.store.read()).unwrap_or_else(|fault| {
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
        session.send(Packet::ConnAck(Box::new(accepted(connect, &session, keep_alive))));
        let protocol = if connect.version == Version::V5 { "MQTT 5" } else { "MQTT 3.1.1" };
        let kind = Kind::Connected {
            client_id: client_id.clone(),
            principal: peer.principal.id(),
            peer: peer.address.clone(),
            protocol,
        };
        self.witness.event(Event::new(now, &scope, kind));
        let (at_desk, told) = (AtomicUsize::new(0), Told::default());
        let connection = Arc::new(Connection {
            scope,
            peer,
            session,
            grant,
            variables,
            connect_values,
            keep_alive,
            at_desk,
            told,
            wake,
        });
        space.connections.add(&connection);
        // A change that came between the look at the policies and the entry above would else be missed.
        self.ask_again(&cx, &connection);
        Ok(connection)
    }

    /// Identity, client id, will, policy: in this order, so that the first refusal is the most telling.
    fn examine(&self, arrival: &mut Arrival<'_>) -> Result<(PolicySet, Variables, Variables), NotConnected> {
        let (cx, peer) = (arrival.cx, arrival.peer);
        let view = self.store.read();
        let db = Read::new(&view, cx);
        let mut variables = match peer.principal.standing(db).map_err(|fault| self.not_now(cx.now, &fault))? {
            Ok(variables) => variables,
            Err(no) => return Err(self.turn_away(arrival, ReasonCode::NotAuthorized, &no.decision, &no.reason)),
        };
        self.examine_client_id(arrival)?;
        if arrival.connect.properties.authentication_method.is_some() {
            let reason = "enhanced authentication is not supported";
            return Err(self.turn_away(arrival, ReasonCode::BadAuthenticationMethod, "NOT_SUPPORTED", reason));
        }
        variables.set(keys::CLIENT_ID, &arrival.client_id);
        variables.set(keys::SOURCE_IP, &peer.ip);
        if let Some(name) = &peer.server_name {
            variables.set(keys::DOMAIN_NAME, name);
        }
        let set = peer.principal.grant(db, &arrival.client_id, variables.clone());
        let set = set.map_err(|fault| self.not_now(cx.now, &fault))?;
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
        let topic = will.topic.as_str();
        if let Err(unsuited) = message::examine(topic, will.retain) {
            return Err(self.turn_away(arrival, ReasonCode::TopicNameInvalid, unsuited.decision, &unsuited.reason));
        }
        match message::quota(self.settings.quotas, topic) {
            Quota::Within => {}
            Quota::Warned(limit) => {
                let kind = Kind::Quota { client_id: arrival.client_id.clone(), limit: limit.to_owned() };
                self.witness.event(Event::new(arrival.cx.now, &arrival.cx.scope, kind));
            }
            Quota::Refused(limit) => return Err(self.turn_away(arrival, ReasonCode::TopicNameInvalid, "QUOTA", limit)),
        }
        let prefix = arrival.cx.scope.arn(format_args!("topic/"));
        let resource = Resource::new(&prefix, topic);
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
            principal: arrival.peer.principal.id(),
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
            principal: arrival.peer.principal.id(),
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
        maximum_packet_size: u32::try_from(MAXIMUM_PACKET_SIZE).ok().and_then(std::num::NonZeroU32::new),
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
