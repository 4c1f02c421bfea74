//! The operations about connections (mqtt.md §9): who is connected and to what it subscribed, ending a connection, and a
//! message for one client whatever it subscribed to. They ask the topic space itself, and the store only about sessions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use broker::{Closed, Confirmed, Ended, Gate as _, Session};
use mqtt::{Publish, QoS};
use wire::iot_data::{
    DeleteConnectionRequest, GetConnectionRequest, GetConnectionResponse, ListSubscriptionsRequest,
    ListSubscriptionsResponse, SendDirectMessageRequest, SendDirectMessageResponse, SubscriptionSummary,
};
use wire::{Output, Refusal};

use super::Connection;
use super::clients::Left;
use crate::events::Refused;
use crate::house::{House, Job, Plan, Space, Wait};
use crate::identity::Principal;
use crate::lifecycle;
use crate::message;
use crate::news::News;
use crate::operation::{Answer, Failure, Op, ops};
use crate::publish::{self, Said};
use crate::scope::{Context, Read, paged};
use crate::sessions;

pub(crate) const OPS: &[Op] = ops! {
    live get_connection on client(client_id);
    live delete_connection on client(client_id);
    live list_subscriptions on client(client_id);
    live send_direct_message on client(client_id);
};

/// Milliseconds for which a client that left no session is still told of.
const TOLD_AFTERWARDS: i64 = 30 * 60 * 1000;

/// Subscriptions on a page, unless the caller says otherwise.
const PAGE: usize = 20;

/// Seconds that a client has for its acknowledgement, unless the caller says otherwise.
const TIMEOUT: i64 = 5;

fn done(answer: impl Into<Output>) -> Plan {
    Plan::Done(Ok(answer.into()))
}

fn not_found(client_id: &str) -> Failure {
    // unconfirmed: the text.
    Refusal::resource_not_found(format!("The client {client_id} is not connected and has no session")).into()
}

/// The connection of a client that has one, and is not about to lose it.
fn connected(space: &Space, client_id: &str) -> Option<Arc<Connection>> {
    space.connections.of_client(client_id).filter(|connection| !connection.link.is_closed())
}

fn get_connection(house: &House, cx: &Context, input: &GetConnectionRequest) -> Answer<Plan> {
    let (space, client_id) = (house.space(&cx.scope), input.client_id());
    let session = space.broker.session(client_id);
    let answer = GetConnectionResponse::new().with_client_id(client_id);
    if let Some(connection) = connected(&space, client_id) {
        let answer = answer
            .with_connected(true)
            .with_clean_session(connection.link.session().stored().is_none())
            .with_keep_alive_duration(i64::from(connection.keep_alive))
            .with_connected_since(connection.since)
            .with_session_expiry(i64::from(connection.link.session().expiry().0));
        let answer = match thing(house, cx, &connection)? {
            Some(name) => answer.with_thing_name(name),
            None => answer,
        };
        let asked = input.include_socket_information() == Some(true);
        return Ok(done(if asked { with_socket(answer, &connection) } else { answer }));
    }
    let stored = session.filter(|session| session.stored().is_some());
    let left = last_seen(&space, client_id, cx.now);
    if stored.is_none() && left.is_none_or(|left| cx.now - left.at >= TOLD_AFTERWARDS) {
        return Err(not_found(client_id));
    }
    // Who left before the server was started again left for reasons that nobody remembers.
    let (mut since, reason) = left.map_or((None, "UNKNOWN"), |left| (Some(left.at), left.reason));
    let answer = answer.with_connected(false).with_clean_session(stored.is_none()).with_disconnect_reason(reason);
    let answer = match stored.map(|session| session.expiry()) {
        Some((expiry, left)) => {
            since = since.or(left);
            answer.with_session_expiry(i64::from(expiry))
        }
        None => answer,
    };
    Ok(done(match since {
        Some(since) => answer.with_disconnected_since(since),
        None => answer,
    }))
}

/// How a client left that has no connection, or one that is closed and not yet gone.
fn last_seen(space: &Space, client_id: &str, now: i64) -> Option<Left> {
    let closing = space.connections.of_client(client_id).and_then(|connection| connection.link.closed());
    let closing = closing.map(|closed| Left { at: now, reason: lifecycle::reason(&closed).0 });
    closing.or_else(|| space.clients.left(client_id))
}

/// Both ends of a connection, as far as the door knows them.
fn with_socket(mut answer: GetConnectionResponse, connection: &Connection) -> GetConnectionResponse {
    let end = |address: &str| address.parse::<SocketAddr>().ok();
    if let Some(source) = end(&connection.peer.address) {
        answer = answer.with_source_ip(source.ip().to_string()).with_source_port(i64::from(source.port()));
    }
    match end(&connection.peer.local) {
        Some(target) => answer.with_target_ip(target.ip().to_string()).with_target_port(i64::from(target.port())),
        None => answer,
    }
}

/// The thing that belongs to a connection (security.md §3.5).
fn thing(house: &House, cx: &Context, connection: &Connection) -> Answer<Option<String>> {
    let Principal::Certificate(id) = &connection.peer.principal else { return Ok(None) };
    let view = house.store.read();
    let found = crate::identity::thing_of(Read::new(&view, cx), id, connection.client_id())?;
    Ok(found.map(|(name, _)| name))
}

fn list_subscriptions(house: &House, cx: &Context, input: &ListSubscriptionsRequest) -> Answer<Plan> {
    let session = house.space(&cx.scope).broker.session(input.client_id());
    let session = session.ok_or_else(|| not_found(input.client_id()))?;
    let token = input.next_token().filter(|token| !token.is_empty());
    let after = token.map(wire::page::decode).transpose()?;
    let limit = input.max_results().and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE);
    let all = session.subscriptions();
    let rest = all.iter().filter(|kept| {
        let filter = kept.subscription.filter.as_str().as_bytes();
        after.as_deref().is_none_or(|after| filter > after)
    });
    let mut rest = rest.peekable();
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let more = rest.peek().is_some();
    let last = page.last().filter(|_| more).map(|kept| kept.subscription.filter.as_str().as_bytes());
    let next = last.map(wire::page::encode);
    let summary = |kept: &&broker::Kept| {
        let qos = i64::from(kept.subscription.qos.number());
        SubscriptionSummary::new().with_topic_filter(kept.subscription.filter.as_str()).with_qos(qos)
    };
    let answer = ListSubscriptionsResponse::new().with_subscriptions(page.iter().map(summary));
    Ok(done(paged(answer, next, ListSubscriptionsResponse::with_next_token)))
}

fn delete_connection(house: &House, cx: &Context, input: &DeleteConnectionRequest) -> Answer<Plan> {
    let space = house.space(&cx.scope);
    let without_will = input.prevent_will_message() == Some(true);
    let link = connected(&space, input.client_id()).map(|connection| Arc::clone(&connection.link));
    let session = space.broker.session(input.client_id()).filter(|session| session.stored().is_some());
    if link.is_none() && session.is_none() {
        return Err(not_found(input.client_id()));
    }
    let ends = session.filter(|_| input.clean_session() == Some(true));
    // First the session: a connection that finds it gone leaves nothing behind.
    let ended = ends.map(|session| space.broker.discard(&session, cx.now));
    if let Some(link) = link {
        link.close(Closed::ByOperator { without_will });
    }
    Ok(match ended {
        Some(ended) => Plan::Desk(end(cx, ended, without_will)),
        None => done(Output::default()),
    })
}

/// Takes a session off the disk before the caller is answered; then comes what follows from any end.
fn end(cx: &Context, ended: Ended, without_will: bool) -> Job {
    let session = Arc::clone(&ended.session);
    let job = Job::new(cx.again(), move |db| {
        if let Some(key) = session.stored() {
            sessions::end(db, session.client_id(), key)?;
        }
        Ok(())
    });
    job.after(move |house, cx, outcome| match outcome {
        Ok(()) => house.end(&cx, Ended { will: ended.will.filter(|_| !without_will), ..ended }),
        Err(_) => Vec::new(),
    })
}

fn send_direct_message(house: &House, cx: &Context, input: &SendDirectMessageRequest) -> Answer<Plan> {
    let said = Said {
        content_type: input.content_type(),
        response_topic: input.response_topic(),
        correlation_data: input.correlation_data(),
        message_expiry: None,
        payload_format_indicator: input.payload_format_indicator(),
        user_properties: input.user_properties(),
    };
    let message = publish::message(input.topic(), input.payload(), &said)?;
    if let Err(unsuited) = message::examine(input.topic(), false, cx.settings.follows_specification()) {
        // unconfirmed: that what cannot be published on cannot be sent on either.
        return Err(Refusal::invalid_request(unsuited.reason).into());
    }
    let space = house.space(&cx.scope);
    let connection = connected(&space, input.client_id()).ok_or_else(|| not_connected(input.client_id()))?;
    if !connection.grant.may_receive(input.topic()) {
        return Err(may_not_receive(cx, &connection, input.topic()));
    }
    let answer = SendDirectMessageResponse::new().with_message("OK");
    let session = Arc::clone(connection.link.session());
    if input.confirmation() != Some(true) {
        let plan = space.broker.plan_for(&session, &message, (QoS::AtMostOnce, false, None));
        let delivered = space.broker.carry_out(&plan, &message, cx.now);
        house.tell_published(cx, &message, delivered);
        return Ok(done(answer));
    }
    let message = Publish { qos: QoS::AtLeastOnce, ..message };
    let patience = Duration::from_secs(input.timeout().unwrap_or(TIMEOUT).max(1).unsigned_abs());
    let cx = cx.again();
    let start = move |house: &House, confirmed| send_confirmed(house, cx, &session, message, confirmed);
    Ok(Plan::Wait(Wait::new(patience, answer.into(), start)))
}

/// Sends a message that the client is to acknowledge: at once, or by way of the desk if its session is stored.
fn send_confirmed(
    house: &House,
    cx: Context,
    session: &Arc<Session>,
    message: Publish,
    confirmed: Confirmed,
) -> Option<Job> {
    let space = house.space(&cx.scope);
    let (is_stored, session) = (session.stored().is_some(), Arc::clone(session));
    let plan = move |space: &Space, message: &Publish| {
        let mut plan = space.broker.plan_for(&session, message, (QoS::AtLeastOnce, false, None));
        for planned in &mut plan.recipients {
            planned.confirmed = Some(Arc::clone(&confirmed));
        }
        plan
    };
    if !is_stored {
        let delivered = space.broker.carry_out(&plan(&space, &message), &message, cx.now);
        house.tell_published(&cx, &message, delivered);
        return None;
    }
    Some(Job::new(cx, move |db| {
        db.tell(News::Planned(message.clone(), Arc::new(plan(&space, &message))));
        Ok(())
    }))
}

fn not_connected(client_id: &str) -> Failure {
    // unconfirmed: the text.
    Refusal::resource_not_found(format!("The client {client_id} is not connected")).into()
}

/// The receiver's policies decide, as for anything that is published; the sender hears of it.
// unconfirmed: which error AWS answers.
fn may_not_receive(cx: &Context, connection: &Connection, topic: &str) -> Failure {
    let refused = Refused {
        client_id: connection.client_id().to_owned(),
        principal: connection.peer.principal.id(),
        action: "iot:Receive".to_owned(),
        resource: cx.scope.arn(format_args!("topic/{topic}")),
        decision: "DENIED".to_owned(),
        reason: "a direct message needs no subscription, but the client must be allowed to receive on its topic"
            .to_owned(),
        peer: connection.peer.address.clone(),
        ..Refused::default()
    };
    let message = format!("The policies of {} do not allow iot:Receive on {topic}", connection.client_id());
    Failure::Told(Box::new((Refusal::forbidden(message), refused)))
}
