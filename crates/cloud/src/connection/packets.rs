//! What the packets of a connected device lead to, each asked of its policies first: a publication goes to the broker or to the
//! desk, a subscription is answered and gets what is retained, and a refusal is told in the words of the version.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use broker::{Closed, Step, Subscribed};
use mqtt::{
    Ack, AckProperties, Packet, Publish, ReasonCode, RetainHandling, SubAck, Subscribe, Subscription, Text, UnsubAck,
    Unsubscribe, Version,
};
use policy::{Request, Resource};

use super::Connection;
use crate::events::{Event, Kind, Refused};
use crate::house::{House, Job, Space};
use crate::identity;
use crate::message::{self, Quota};
use crate::retained;
use crate::scope::{Context, Read};

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

impl House {
    /// Takes one packet of a connection. What must be written comes back as a job for the desk.
    pub fn receive(&self, connection: &Arc<Connection>, packet: Packet, now: i64, entropy: u128) -> Option<Job> {
        let cx = self.context(&connection.scope, now, entropy);
        if connection.session.is_closed() {
            // What was on its way when the connection was closed is not heard any more.
            return None;
        }
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
                Err(failed) => connection.fail(packet_id, failed.message()),
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
        let resource = Resource::new(&connection.grant.topics, topic);
        self.quota(connection, cx, "iot:Publish", resource, topic)?;
        if let Err(unsuited) = message::examine(topic, publish.retain) {
            if connection.told.take(cx.now) {
                let (decision, reason) = (unsuited.decision.into(), unsuited.reason.clone());
                let refused = Refused { decision, reason, ..Refused::default() };
                self.tell_refused(connection, cx, "iot:Publish", resource.to_string(), refused);
            }
            return Err(No::new(ReasonCode::TopicNameInvalid, &unsuited.reason));
        }
        self.may(connection, cx, "iot:Publish", resource)?;
        if publish.retain {
            self.may(connection, cx, "iot:RetainPublish", resource)?;
        }
        Ok(())
    }

    /// AWS's bounds on a topic or a filter, kept as strictly as the house is set to.
    fn quota(
        &self,
        of: &Connection,
        cx: &Context,
        action: &str,
        resource: Resource<'_>,
        topic: &str,
    ) -> Result<(), No> {
        match message::quota(self.settings.quotas, topic) {
            Quota::Within => Ok(()),
            Quota::Warned(limit) => {
                if of.told.take(cx.now) {
                    let kind = Kind::Quota { client_id: of.client_id().to_owned(), limit: limit.to_owned() };
                    self.witness.event(Event::new(cx.now, &cx.scope, kind));
                }
                Ok(())
            }
            Quota::Refused(limit) => {
                if of.told.take(cx.now) {
                    let refused = Refused { decision: "QUOTA".into(), reason: limit.into(), ..Refused::default() };
                    self.tell_refused(of, cx, action, resource.to_string(), refused);
                }
                Err(No::new(ReasonCode::TopicNameInvalid, limit))
            }
        }
    }

    fn may(&self, connection: &Connection, cx: &Context, action: &str, resource: Resource<'_>) -> Result<(), No> {
        let set = connection.grant.set();
        let request = Request::new(action, resource, cx.now);
        let decision = set.decide(&request);
        if decision.is_allowed() {
            return Ok(());
        }
        if connection.told.take(cx.now) {
            let refused = identity::explained(Refused::default(), &set, &request, &decision);
            self.tell_refused(connection, cx, action, resource.to_string(), refused);
        }
        let short = format!("{action} on {resource} is not allowed: {}", decision.verdict);
        Err(No::new(ReasonCode::NotAuthorized, &short))
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
        connection.session.send(Packet::SubAck(SubAck { packet_id, reasons, properties: AckProperties::default() }));
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
        // unconfirmed: how policies name a shared subscription; the whole filter, as in AWS's example.
        let resource = Resource::new(&connection.grant.filters, filter.as_str());
        if self.quota(connection, cx, "iot:Subscribe", resource, filter.pattern()).is_err() {
            return (ReasonCode::TopicFilterInvalid, false);
        }
        if let Err(no) = self.may(connection, cx, "iot:Subscribe", resource) {
            return (no.reason, false);
        }
        let answer = space.broker.subscribe(&connection.session, subscription);
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
        connection.session.send(Packet::UnsubAck(UnsubAck {
            packet_id,
            reasons,
            properties: AckProperties::default(),
        }));
    }
}

impl Connection {
    /// Owns up to a PUBLISH that the house could not take: with a reason code, or by closing without an acknowledgement.
    fn fail(&self, packet_id: Option<NonZeroU16>, context: &str) {
        match packet_id {
            Some(id) if self.session.version() == Version::V5 => {
                self.session.acknowledge(Ack::new(id, ReasonCode::UnspecifiedError));
            }
            _ => self.session.close(Closed::ServerFault(context.to_owned())),
        }
    }

    /// Says no to a PUBLISH: MQTT 5 has words for it, 3.1.1 only the end of the connection (mqtt.md §3).
    fn decline(&self, packet_id: Option<NonZeroU16>, no: No) {
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
