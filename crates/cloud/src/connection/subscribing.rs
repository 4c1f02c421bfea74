//! What a SUBSCRIBE and an UNSUBSCRIBE lead to: each filter is asked of the policies, a stored session's is written down
//! first, and what is retained for it follows a page at a time, as fast as the client takes it.

use std::num::NonZeroU16;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use broker::{Closed, Kept, Subscribed};
use mqtt::{
    AckProperties, Filter, Packet, Publish, QoS, ReasonCode, RetainHandling, SubAck, Subscribe, Subscription,
    SubscriptionId, Text, UnsubAck, Unsubscribe,
};
use policy::Resource;
use serde_json::{Value, json};
use store::Fault;

use super::packets::No;
use super::{Connection, settle};
use crate::events::Refused;
use crate::figures::Count;
use crate::house::{House, Job};
use crate::logging::{Level, Record};
use crate::news::News;
use crate::quotas;
use crate::retained;
use crate::scope::{Context, Read};
use crate::sessions;
use crate::settings::Quotas;

/// Retained messages that are still to be sent for a subscription.
pub(super) struct Retained {
    subscription: Subscription,
    id: Option<SubscriptionId>,
    /// The last topic that has been looked at.
    after: Option<String>,
}

/// A filter of a SUBSCRIBE with the answer of quotas and policies.
struct Asked {
    kept: Kept,
    answer: Result<(), No>,
}

impl House {
    pub(super) fn receive_subscribe(
        &self,
        connection: &Arc<Connection>,
        subscribe: Subscribe,
        cx: Context,
    ) -> Option<Job> {
        let Subscribe { packet_id, subscriptions, properties } = subscribe;
        let id = properties.subscription_identifier;
        if id.is_some() && self.settings.quotas == Quotas::Aws {
            // The CONNACK said that there are none.
            connection.link.close(Closed::ClientError {
                reason: ReasonCode::SubscriptionIdentifiersNotSupported,
                message: "subscription identifiers are not supported".to_owned(),
            });
            return None;
        }
        if subscriptions.iter().any(|asked| asked.filter.share_name().is_some() && asked.no_local) {
            connection.link.close(Closed::ClientError {
                reason: ReasonCode::ProtocolError, // [MQTT-3.8.3-4]
                message: "no local with a shared subscription".to_owned(),
            });
            return None;
        }
        let filters = quotas::FILTERS.stand(self.settings.quotas, subscriptions.len());
        let any = ("iot:Subscribe", Resource::new(&connection.grant.filters, ""));
        let too_many = self.quota(connection, &cx, any, filters);
        let ask = |subscription: Subscription| {
            let answer = too_many.map_err(No::of).and_then(|()| self.may_subscribe(connection, &subscription, &cx));
            let mut kept = Kept { subscription, id };
            kept.subscription.filter = kept.subscription.filter.compact();
            Asked { kept, answer }
        };
        let asked: Vec<Asked> = subscriptions.into_iter().map(ask).collect();
        let Some(key) = connection.link.session().stored() else {
            return self.subscribe(connection, packet_id, &asked, &cx);
        };
        connection.at_desk.fetch_add(1, Ordering::Relaxed);
        let asked = Arc::new(asked);
        let (granted, session) = (Arc::clone(&asked), Arc::clone(connection.link.session()));
        let job = Job::new(cx, move |db| {
            // What is left of a session that has ended meanwhile is swept already.
            for asked in granted.iter().filter(|asked| asked.answer.is_ok() && !session.has_ended()) {
                sessions::subscribe(db, key, &asked.kept)?;
            }
            Ok(())
        });
        let connection = Arc::clone(connection);
        Some(job.after(move |house, cx, outcome| {
            let told = match outcome {
                Ok(()) => house.subscribe(&connection, packet_id, &asked, &cx),
                Err(failed) => {
                    connection.link.close(Closed::ServerFault(failed.message().to_owned()));
                    None
                }
            };
            connection.is_back_from_desk();
            told.into_iter().collect()
        }))
    }

    /// Quotas, room and policies.
    fn may_subscribe(&self, connection: &Connection, subscription: &Subscription, cx: &Context) -> Result<(), No> {
        let filter = &subscription.filter;
        let resource = Resource::new(&connection.grant.filters, filter.as_str());
        let keep = |stand| self.quota(connection, cx, ("iot:Subscribe", resource), stand);
        let quotas = self.settings.quotas;
        let group = quotas::SHARE_NAME.stand(quotas, filter.share_name().map_or(0, str::len));
        if let Err(limit) = keep(quotas::of_topic(quotas, filter.pattern())).and_then(|()| keep(group)) {
            return Err(No::new(ReasonCode::TopicFilterInvalid, limit.words));
        }
        self.may(connection, cx, "iot:Subscribe", resource)?;
        let aws = &quotas::SUBSCRIPTIONS;
        let has_room = connection.link.session().has_room_for(filter, aws.size());
        keep(aws.stand_if(quotas, !has_room)).map_err(No::of)?;
        let limit = self.settings.broker.subscriptions;
        if connection.link.session().has_room_for(filter, limit) {
            return Ok(());
        }
        let reason = format!("a session has at most {limit} subscriptions");
        let no = No::new(ReasonCode::QuotaExceeded, &reason);
        if connection.told.take(cx.now) {
            let refused = Refused { decision: "QUOTA".to_owned(), reason, ..Refused::default() };
            self.tell_refused(connection, cx, "iot:Subscribe", resource.to_string(), refused);
        }
        Err(no)
    }

    /// Subscribes to what was granted, answers, and notes what is retained for it.
    fn subscribe(&self, connection: &Connection, packet_id: NonZeroU16, asked: &[Asked], cx: &Context) -> Option<Job> {
        let space = self.space(&connection.scope);
        let mut reasons = Vec::with_capacity(asked.len());
        let (mut granted, mut retained) = (Vec::new(), Vec::new());
        for Asked { kept, answer } in asked {
            if let Err(no) = answer {
                reasons.push(no.reason);
                continue;
            }
            let subscribed = space.broker.subscribe(connection.link.session(), kept.clone());
            reasons.push(subscribed.into());
            if matches!(subscribed, Subscribed::Granted { .. }) {
                granted.push(kept.subscription.filter.clone());
            }
            if is_retained_due(&kept.subscription, subscribed) {
                retained.push(Retained { subscription: kept.subscription.clone(), id: kept.id, after: None });
            }
        }
        for reason in &reasons {
            cx.figures.count(match reason {
                ReasonCode::NotAuthorized => Count::SubscribeAuthError,
                reason if reason.is_error() => Count::SubscribeClientError,
                _ => Count::Subscribe,
            });
        }
        let log = || connection.peer.record(record(asked, &reasons), connection.client_id());
        cx.logging.note(cx.now, Level::Info, log);
        // One string for the whole packet: why the first filter of those that were refused was.
        let refused = asked.iter().find_map(|asked| asked.answer.as_ref().err());
        let reason_string = refused.and_then(|no| Text::try_from(no.message.as_str()).ok());
        let properties = AckProperties { reason_string, ..AckProperties::default() };
        connection.link.send(Packet::SubAck(SubAck { packet_id, reasons, properties }));
        if !retained.is_empty() {
            connection.retained.lock().unwrap_or_else(PoisonError::into_inner).extend(retained);
            connection.link.want_more();
        }
        self.tell_subscribed(cx, connection, &granted)
    }

    /// Sends more of what a connection is owed, now that it has room: messages that wait in its session, then retained
    /// ones. What must be written comes back for the desk.
    pub fn go_on(&self, connection: &Arc<Connection>, now: i64, entropy: u128) -> Vec<Job> {
        let session = connection.link.session();
        let cx = connection.context(self, now, entropy);
        let fetch = |wanted: &[u64]| {
            let view = self.store.read();
            sessions::fetch(Read::new(&view, &cx), session.stored().unwrap_or_default(), wanted)
        };
        let mut jobs = Vec::new();
        let more = session.refill(now, fetch).and_then(|()| self.send_retained(connection, &cx));
        match more {
            Ok(job) => jobs.extend(job),
            Err(fault) => {
                self.tell_fault(now, &fault);
                connection.link.close(Closed::ServerFault("what it is owed could not be read".to_owned()));
            }
        }
        if session.is_to_be_settled() {
            jobs.push(settle(&cx, session));
        }
        jobs
    }

    /// Sends one page of retained messages, if the client has taken the last one.
    fn send_retained(&self, connection: &Arc<Connection>, cx: &Context) -> Result<Option<Job>, Fault> {
        let mut waiting = connection.retained.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(next) = waiting.front_mut() else { return Ok(None) };
        let session = connection.link.session();
        if !connection.link.is_drained() {
            connection.link.want_more();
            return Ok(None);
        }
        let view = self.store.read();
        let everywhere = self.settings.follows_specification();
        let filter = &next.subscription.filter;
        let page = retained::page(Read::new(&view, cx), filter, everywhere, next.after.as_deref())?;
        let terms = (next.subscription.qos, true, next.id);
        match page.after {
            Some(after) => next.after = Some(after),
            None => drop(waiting.pop_front()),
        }
        let more = !waiting.is_empty();
        drop(waiting);
        let broker = &self.space(&cx.scope).broker;
        let durable = session.stored().is_some() && terms.0 > QoS::AtMostOnce;
        let (stored, direct): (Vec<Publish>, Vec<Publish>) =
            page.messages.into_iter().partition(|message| durable && message.qos > QoS::AtMostOnce);
        for message in direct {
            broker.carry_out(&broker.plan_for(session, &message, terms), &message, cx.now);
        }
        if stored.is_empty() {
            if more {
                connection.link.want_more();
            }
            return Ok(None);
        }
        let (space, session, connection) = (self.space(&cx.scope), Arc::clone(session), Arc::clone(connection));
        let job = Job::new(cx.again(), move |db| {
            for message in &stored {
                let plan = Arc::new(space.broker.plan_for(&session, message, terms));
                db.tell(News::Planned(message.clone(), plan));
            }
            Ok(())
        });
        Ok(Some(job.after(move |_, _, _| {
            if more {
                connection.link.want_more();
            }
            Vec::new()
        })))
    }

    pub(super) fn receive_unsubscribe(
        &self,
        connection: &Arc<Connection>,
        unsubscribe: Unsubscribe,
        cx: Context,
    ) -> Option<Job> {
        let Some(key) = connection.link.session().stored() else {
            return self.unsubscribe(connection, &unsubscribe, &cx);
        };
        connection.at_desk.fetch_add(1, Ordering::Relaxed);
        let unsubscribe = Arc::new(unsubscribe);
        let filters = Arc::clone(&unsubscribe);
        let job = Job::new(cx, move |db| {
            for filter in &filters.filters {
                sessions::unsubscribe(db, key, filter)?;
            }
            Ok(())
        });
        let connection = Arc::clone(connection);
        Some(job.after(move |house, cx, outcome| {
            let told = match outcome {
                Ok(()) => house.unsubscribe(&connection, &unsubscribe, &cx),
                Err(failed) => {
                    connection.link.close(Closed::ServerFault(failed.message().to_owned()));
                    None
                }
            };
            connection.is_back_from_desk();
            told.into_iter().collect()
        }))
    }

    fn unsubscribe(&self, connection: &Connection, unsubscribe: &Unsubscribe, cx: &Context) -> Option<Job> {
        let space = self.space(&connection.scope);
        let mut gone = Vec::new();
        let reason = |filter: &Filter| {
            if !space.broker.unsubscribe(connection.link.session(), filter) {
                return ReasonCode::NoSubscriptionExisted;
            }
            gone.push(filter.clone());
            ReasonCode::Success
        };
        let reasons: Vec<ReasonCode> = unsubscribe.filters.iter().map(reason).collect();
        cx.figures.add(Count::Unsubscribe, reasons.len());
        let log = || {
            let filters: Vec<&str> = unsubscribe.filters.iter().map(Filter::as_str).collect();
            let record = Record::success("Unsubscribe").with("topicName", filters.join(","));
            connection.peer.record(record, connection.client_id())
        };
        cx.logging.note(cx.now, Level::Info, log);
        let (packet_id, properties) = (unsubscribe.packet_id, AckProperties::default());
        connection.link.send(Packet::UnsubAck(UnsubAck { packet_id, reasons, properties }));
        self.tell_unsubscribed(cx, connection, &gone)
    }
}

/// The log entry of a SUBSCRIBE. One of which nothing was granted has failed.
fn record(asked: &[Asked], reasons: &[ReasonCode]) -> Record {
    let filters = || asked.iter().map(|asked| asked.kept.subscription.filter.as_str());
    let granted = reasons.iter().filter(|reason| !reason.is_error()).count();
    let record = match granted {
        0 if reasons.contains(&ReasonCode::NotAuthorized) => Record::failure("Subscribe", "AUTHORIZATION_FAILURE"),
        0 => Record::failure("Subscribe", "CLIENT_ERROR"),
        some if some < reasons.len() => Record::success("Subscribe").with_issues(),
        _ => Record::success("Subscribe"),
    };
    let each = filters().zip(reasons).map(|(filter, reason)| json!({"topicName": filter, "reasonCode": *reason as u8}));
    let each: Vec<Value> = each.collect();
    record.with("topicName", filters().collect::<Vec<_>>().join(",")).with("subscriptions", each)
}

/// Whether retained messages follow a subscription: never for a shared one, else as the client asked.
fn is_retained_due(subscription: &Subscription, subscribed: Subscribed) -> bool {
    let asked = match (subscribed, subscription.retain_handling) {
        (Subscribed::QuotaExceeded, _) | (_, RetainHandling::DoNotSend) => false,
        (Subscribed::Granted { replaced, .. }, RetainHandling::SendIfNew) => !replaced,
        (Subscribed::Granted { .. }, RetainHandling::Send) => true,
    };
    asked && subscription.filter.share_name().is_none()
}
