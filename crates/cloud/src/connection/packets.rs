//! What the packets of a connected device lead to: a publication is asked of its policies, then goes to the broker or to the
//! desk, and a refusal is told in the words of the version. Subscriptions are `subscribing`'s.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use broker::{Closed, Gate as _, Step};
use mqtt::{Ack, Packet, Publish, QoS, ReasonCode, Text, Version};
use policy::{Context as Variables, Request, Resource};

use super::{Connection, settle};
use crate::events::{Event, Kind, Refused};
use crate::figures::Count;
use crate::house::{House, Job};
use crate::identity;
use crate::logging::{Level, Record};
use crate::message;
use crate::quotas::{self, Limit, PAYLOAD, Stand};
use crate::retained;
use crate::scope::Context;
use crate::sessions;

/// Why a packet is declined.
pub(super) struct No {
    pub(super) reason: ReasonCode,
    pub(super) message: String,
}

impl No {
    pub(super) fn new(reason: ReasonCode, message: &str) -> Self {
        Self { reason, message: message.to_owned() }
    }

    pub(super) fn of(limit: &Limit) -> Self {
        Self::new(limit.reason, limit.words)
    }

    /// The session has been closed already; what follows is not heard.
    fn silent() -> Self {
        Self::new(ReasonCode::PacketTooLarge, "")
    }
}

impl House {
    /// Takes one packet of a connection; what must be written comes back for the desk. `entropy` is drawn once for each
    /// packet at most, and only if it is needed.
    pub fn receive(&self, connection: &Arc<Connection>, packet: Packet, now: i64, entropy: u128) -> Option<Job> {
        if connection.link.is_closed() && !matches!(packet, Packet::Disconnect(_)) {
            // What was on its way when the connection was closed is not heard any more, only a goodbye.
            return None;
        }
        self.hear_of_time(now);
        match connection.link.receive(packet, now) {
            Step::Nothing => None,
            Step::Publish(publish) => {
                let bytes = publish.payload.len() + publish.topic.as_ref().map_or(0, |topic| topic.as_str().len());
                match connection.meter.take(self.settings.quotas, bytes, now) {
                    Stand::Within => {}
                    beyond => {
                        if self.is_too_fast(connection, &publish, beyond, now) {
                            return None;
                        }
                    }
                }
                self.receive_publish(connection, &publish, now, entropy)
            }
            Step::Settle => {
                let cx = connection.context(self, now, entropy);
                Some(settle(&cx, connection.link.session()))
            }
            Step::Release(packet_id) => Some(self.receive_release(connection, packet_id, now, entropy)),
            Step::Subscribe(subscribe) => {
                self.receive_subscribe(connection, subscribe, connection.context(self, now, entropy))
            }
            Step::Unsubscribe(unsubscribe) => {
                self.receive_unsubscribe(connection, unsubscribe, connection.context(self, now, entropy))
            }
        }
    }

    fn receive_publish(&self, connection: &Arc<Connection>, publish: &Publish, now: i64, entropy: u128) -> Option<Job> {
        let from = Some(connection.link.session().number());
        let waits = connection.at_desk.load(Ordering::Relaxed) > 0;
        let durable = publish.qos == QoS::ExactlyOnce && connection.link.session().stored().is_some();
        let message = self.propagate(connection, publish, now, entropy);
        let message = &*message;
        if !waits && !durable && publish.payload.len() <= PAYLOAD.size() {
            let delivered = connection.known_path(publish, |space, route| {
                let delivered = space.broker.deliver(route, message, from, now)?;
                if !route.listeners().is_empty() {
                    self.let_hear(&connection.context(self, now, entropy), route.listeners(), message);
                }
                Some(delivered)
            });
            if let Some(Some(delivered)) = delivered {
                if self.witness.follows_publications() {
                    self.tell_published(&connection.context(self, now, entropy), message, delivered);
                }
                connection.succeed(publish, now);
                return None;
            }
        }
        let cx = connection.context(self, now, entropy);
        let token = connection.grant.token();
        if let Err(no) = self.may_publish(connection, publish, &cx) {
            connection.decline(publish, no, now);
            return None;
        }
        let plain = message::is_plain(publish);
        if plain {
            connection.learn_path(publish, token, &self.space(&connection.scope));
        }
        if !waits && !durable && plain && self.deliver(&cx, message, from) {
            connection.succeed(publish, now);
            return None;
        }
        Some(publish_at_desk(connection, message.compact(), cx))
    }

    /// The client lets go of a QoS 2 message that it knows we have.
    fn receive_release(&self, connection: &Arc<Connection>, packet_id: NonZeroU16, now: i64, entropy: u128) -> Job {
        let key = connection.link.session().stored().unwrap_or_default();
        let job = Job::new(connection.context(self, now, entropy), move |db| {
            sessions::release(db, key, packet_id)?;
            Ok(())
        });
        let connection = Arc::clone(connection);
        job.after(move |_, _, outcome| {
            match outcome {
                Ok(()) => connection.link.complete(packet_id),
                Err(failed) => connection.link.close(Closed::ServerFault(failed.message().to_owned())),
            }
            Vec::new()
        })
    }

    /// Bounds, reserved topics, policy.
    fn may_publish(&self, connection: &Connection, publish: &Publish, cx: &Context) -> Result<(), No> {
        let topic = publish.topic.as_ref().map_or("", mqtt::Topic::as_str);
        if publish.payload.len() > PAYLOAD.size() {
            connection.link.close(Closed::ClientError { reason: PAYLOAD.reason, message: PAYLOAD.words.to_owned() });
            return Err(No::silent());
        }
        let resource = Resource::new(&connection.grant.topics, topic);
        let keep = |stand| self.quota(connection, cx, ("iot:Publish", resource), stand).map_err(No::of);
        keep(quotas::of_topic(self.settings.quotas, topic))?;
        keep(quotas::QOS.stand(self.settings.quotas, usize::from(publish.qos.number())))?;
        if let Some(properties) = &publish.properties {
            let bytes = quotas::bytes_of(&properties.user_properties);
            keep(quotas::USER_PROPERTIES.stand(self.settings.quotas, bytes))?;
        }
        if !message::is_as_declared(publish) {
            // unconfirmed: whether AWS looks; the specification lets a server refuse it so [MQTT-3.3.2-4].
            return Err(No::new(ReasonCode::PayloadFormatInvalid, "the payload is not UTF-8, though it is said to be"));
        }
        if let Err(unsuited) = message::examine(topic, publish.retain, self.settings.follows_specification()) {
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

    /// Keeps one of AWS's limits as strictly as the house is set to, and tells what is beyond it.
    pub(super) fn quota(
        &self,
        of: &Connection,
        cx: &Context,
        (action, resource): (&str, Resource<'_>),
        stand: Stand,
    ) -> Result<(), &'static Limit> {
        match stand {
            Stand::Within => Ok(()),
            Stand::Warned(limit) => {
                if of.warned.take(cx.now) {
                    let kind = Kind::Quota { client_id: of.client_id().to_owned(), limit: limit.words.to_owned() };
                    self.witness.event(Event::new(cx.now, &cx.scope, kind));
                }
                Ok(())
            }
            Stand::Refused(limit) => {
                if of.told.take(cx.now) {
                    let (decision, reason) = ("QUOTA".to_owned(), limit.words.to_owned());
                    let refused = Refused { decision, reason, ..Refused::default() };
                    self.tell_refused(of, cx, action, resource.to_string(), refused);
                }
                Err(limit)
            }
        }
    }

    /// Deals with a message beyond the rate of its connection, and tells that once in a while: whether it is dropped.
    fn is_too_fast(&self, of: &Connection, publish: &Publish, stand: Stand, now: i64) -> bool {
        let (limit, is_refused) = match stand {
            Stand::Within => return false,
            Stand::Warned(limit) => (limit, false),
            Stand::Refused(limit) => (limit, true),
        };
        if of.meter.is_to_be_told(now) {
            let kind = Kind::Quota { client_id: of.client_id().to_owned(), limit: limit.words.to_owned() };
            self.witness.event(Event::new(now, &of.scope, kind));
        }
        if is_refused {
            of.throttle(publish, limit);
        }
        is_refused
    }

    pub(super) fn may(
        &self,
        connection: &Connection,
        cx: &Context,
        action: &str,
        resource: Resource<'_>,
    ) -> Result<(), No> {
        let granted = connection.grant.granted();
        let (request, decision) = identity::decide(&granted.set, Request::new(action, resource, cx.now));
        if decision.is_allowed() {
            return Ok(());
        }
        let resource = request.resource;
        if connection.told.take(cx.now) {
            let refused = Refused { given: connection.peer.given(&Variables::new()), ..Refused::default() };
            let refused = identity::explained(refused, &granted.set, &request, &decision);
            self.tell_refused(connection, cx, action, resource.to_string(), refused);
        }
        let short = format!("{action} on {resource} is not allowed: {}", decision.verdict);
        Err(No::new(ReasonCode::NotAuthorized, &short))
    }
}

/// A publication that has to be written: retained, for a shadow, for a stored session, or of QoS 2 from one.
fn publish_at_desk(connection: &Arc<Connection>, publish: Publish, cx: Context) -> Job {
    connection.at_desk.fetch_add(1, Ordering::Relaxed);
    let session = Arc::clone(connection.link.session());
    let from = Some(session.number());
    let publish = Arc::new(publish);
    let message = Arc::clone(&publish);
    let job = Job::new(cx, move |db| {
        if let (QoS::ExactlyOnce, Some(key), Some(packet_id)) = (message.qos, session.stored(), message.packet_id)
            && !session.has_ended()
            && sessions::receive(db, key, packet_id)?
        {
            // It came on an earlier connection too, and had not been written yet when it came again.
            return Ok(());
        }
        message::publish(db, &message, from)
    });
    let connection = Arc::clone(connection);
    job.after(move |house, cx, outcome| {
        match outcome {
            Ok(()) => connection.succeed(&publish, cx.now),
            Err(failed) if failed.error() == retained::BEYOND => {
                let topic = publish.topic.as_ref().map_or("", mqtt::Topic::as_str);
                let of = ("iot:RetainPublish", Resource::new(&connection.grant.topics, topic));
                if let Err(limit) = house.quota(&connection, &cx, of, Stand::Refused(&quotas::RETAINED)) {
                    connection.throttle(&publish, limit);
                }
            }
            Err(failed) => connection.fail(&publish, failed.message()),
        }
        connection.is_back_from_desk();
        Vec::new()
    })
}

impl Connection {
    /// The surroundings of what a packet asks for.
    pub(super) fn context(&self, house: &House, now: i64, entropy: u128) -> Context {
        house.context_of(&self.scope, &self.books, now, entropy).from(Arc::clone(&self.origin))
    }

    /// Something that waited at the desk is done.
    pub(super) fn is_back_from_desk(&self) {
        self.at_desk.fetch_sub(1, Ordering::Relaxed);
        self.wake.wake();
    }

    /// A PUBLISH has been taken in.
    fn succeed(&self, publish: &Publish, now: i64) {
        self.grant.taken.fetch_add(1, Ordering::Relaxed);
        self.books
            .logging
            .note(now, Level::Info, || self.peer.record(message::record("Publish-In", publish), self.client_id()));
        if let Some(id) = publish.packet_id {
            self.link.acknowledge(Ack::success(id));
        }
    }

    /// Owns up to a PUBLISH that the house could not take: with a reason code, or by closing without an acknowledgement.
    fn fail(&self, publish: &Publish, context: &str) {
        self.books.figures.count(Count::PublishInServerError);
        match publish.packet_id {
            Some(id) if self.link.version() == Version::V5 => {
                self.link.acknowledge(Ack::new(id, ReasonCode::UnspecifiedError));
            }
            _ => self.link.close(Closed::ServerFault(context.to_owned())),
        }
    }

    /// Takes no notice of a PUBLISH that is beyond a quota: MQTT 5 is told, if it asked, and 3.1.1 left in the dark
    /// (mqtt.md §6).
    fn throttle(&self, publish: &Publish, limit: &Limit) {
        self.books.figures.count(Count::PublishInThrottle);
        match publish.packet_id {
            Some(id) if self.link.version() == Version::V5 => {
                let mut ack = Ack::new(id, limit.reason);
                ack.properties.reason_string = Text::try_from(limit.words).ok();
                self.link.acknowledge(ack);
            }
            Some(id) => self.link.leave_unanswered(id),
            None => {}
        }
    }

    /// Says no to a PUBLISH: MQTT 5 has words for it, 3.1.1 only the end of the connection (mqtt.md §3).
    fn decline(&self, publish: &Publish, no: No, now: i64) {
        let is_forbidden = no.reason == ReasonCode::NotAuthorized;
        let count = if is_forbidden { Count::PublishInAuthError } else { Count::PublishInClientError };
        self.books.figures.count(count);
        self.books.logging.note(now, Level::Error, || {
            let reason = if is_forbidden { "AUTHORIZATION_FAILURE" } else { "CLIENT_ERROR" };
            let topic = publish.topic.as_ref().map_or("", mqtt::Topic::as_str);
            let record = Record::failure("Publish-In", reason).with("details", no.message.as_str());
            self.peer.record(record.with("topicName", topic), self.client_id())
        });
        match publish.packet_id {
            Some(id) if self.link.version() == Version::V5 && no.reason != ReasonCode::QoSNotSupported => {
                let mut ack = Ack::new(id, no.reason);
                ack.properties.reason_string = Text::try_from(no.message.as_str()).ok();
                self.link.acknowledge(ack);
            }
            _ if no.reason == ReasonCode::NotAuthorized => self.link.close(Closed::Forbidden(no.message)),
            _ => self.link.close(Closed::ClientError { reason: no.reason, message: no.message }),
        }
    }
}
