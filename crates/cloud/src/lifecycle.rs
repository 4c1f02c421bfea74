//! Lifecycle events (mqtt.md §10): that clients come and go and what they subscribe to, published on topics under
//! `$aws/events/`. Nothing is composed unless somebody listens. What else is told of a connection, to a log, is unknown here.

use broker::Closed;
use mqtt::{Filter, Publish, QoS, Topic};
use serde::Serialize;

use crate::connection::{Connection, Peer};
use crate::entropy::uuid;
use crate::house::{House, Job};
use crate::identity::Principal;
use crate::scope::{Context, Read};

/// One of a client's connections, as its events name it.
#[derive(Clone, Copy)]
pub(crate) struct Visit {
    /// The seed of the session identifier.
    pub(crate) seed: u64,
    /// Grows with each connection of the client.
    pub(crate) version: u64,
}

/// The payload, in the order of AWS's examples.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    thing_name: Option<String>,
    timestamp: i64,
    event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_failure_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_initiated_disconnect: Option<bool>,
    session_identifier: String,
    principal_identifier: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnect_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_number: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    topics: Vec<&'a str>,
}

/// Whom an event is about.
struct Subject<'a> {
    client_id: &'a str,
    peer: &'a Peer,
    seed: u64,
}

impl House {
    /// A client has connected.
    pub(crate) fn tell_connected(&self, cx: &Context, connection: &Connection) -> Option<Job> {
        self.tell_lifecycle(cx, &connection.subject(), ("presence", "connected"), |told| {
            told.ip_address = Some(&connection.peer().ip);
            told.version_number = Some(connection.visit().version);
        })
    }

    /// A client's connection has ended.
    pub(crate) fn tell_disconnected(&self, cx: &Context, connection: &Connection, closed: &Closed) -> Option<Job> {
        self.tell_lifecycle(cx, &connection.subject(), ("presence", "disconnected"), |told| {
            told.client_initiated_disconnect = Some(matches!(closed, Closed::ByClient { .. }));
            told.disconnect_reason = Some(reason(closed).0);
            told.version_number = Some(connection.visit().version);
        })
    }

    /// A client was not allowed to connect.
    pub(crate) fn tell_connect_failed(&self, cx: &Context, peer: &Peer, client_id: &str) -> Option<Job> {
        let subject = Subject { client_id, peer, seed: cx.entropy.number() };
        self.tell_lifecycle(cx, &subject, ("presence", "connect_failed"), |told| {
            told.connect_failure_reason = Some("AUTHORIZATION_FAILED");
            told.ip_address = Some(&peer.ip);
        })
    }

    /// A client has subscribed to what it was granted of one SUBSCRIBE.
    pub(crate) fn tell_subscribed(&self, cx: &Context, connection: &Connection, filters: &[Filter]) -> Option<Job> {
        self.tell_filters(cx, connection, "subscribed", filters)
    }

    /// A client has unsubscribed from what one UNSUBSCRIBE took off.
    pub(crate) fn tell_unsubscribed(&self, cx: &Context, connection: &Connection, filters: &[Filter]) -> Option<Job> {
        self.tell_filters(cx, connection, "unsubscribed", filters)
    }

    // unconfirmed: that refused filters, and filters that were not there, are left out, and that nothing is told if none
    // remains.
    fn tell_filters(
        &self,
        cx: &Context,
        connection: &Connection,
        event: &'static str,
        filters: &[Filter],
    ) -> Option<Job> {
        if filters.is_empty() {
            return None;
        }
        self.tell_lifecycle(cx, &connection.subject(), ("subscriptions", event), |told| {
            told.topics = filters.iter().map(Filter::as_str).collect();
        })
    }

    /// Publishes an event if anybody listens.
    fn tell_lifecycle<'a>(
        &self,
        cx: &Context,
        subject: &Subject<'a>,
        (family, event): (&str, &'static str),
        fill: impl FnOnce(&mut Told<'a>),
    ) -> Option<Job> {
        let client_id = subject.client_id;
        if client_id.contains(['#', '+']) {
            return None; // mqtt.md §4
        }
        let topic = format!("$aws/events/{family}/{event}/{client_id}");
        if self.space(&cx.scope).broker.route(&topic).is_empty() {
            return None;
        }
        let mut told = Told {
            client_id,
            thing_name: self.exclusive_thing(cx, &subject.peer.principal),
            timestamp: cx.now,
            event_type: event,
            connect_failure_reason: None,
            client_initiated_disconnect: None,
            session_identifier: uuid(u128::from(subject.seed)),
            principal_identifier: identifier(&subject.peer.principal),
            ip_address: None,
            disconnect_reason: None,
            version_number: None,
            topics: Vec::new(),
        };
        fill(&mut told);
        let payload = serde_json::to_vec(&told).ok()?;
        let message = Publish { qos: QoS::AtLeastOnce, ..Publish::new(Topic::new(topic).ok()?, payload) };
        self.send_out(cx.again(), message)
    }

    fn exclusive_thing(&self, cx: &Context, principal: &Principal) -> Option<String> {
        let view = self.store.read();
        let found = principal.exclusive_thing(Read::new(&view, cx));
        found.unwrap_or_else(|fault| {
            // The event is worth having without it.
            self.tell_fault(cx.now, &fault);
            None
        })
    }
}

impl Connection {
    fn subject(&self) -> Subject<'_> {
        Subject { client_id: self.client_id(), peer: self.peer(), seed: self.visit().seed }
    }
}

/// How AWS names a principal in events.
fn identifier(principal: &Principal) -> String {
    match principal {
        // unconfirmed: what AWS writes for a user's key; a role's session is `account/role id:session`.
        Principal::Key { access_key_id, scope, .. } => format!("{}/{access_key_id}", scope.account),
        other => other.id(),
    }
}

/// AWS's name for how a connection ended, and the same in words.
pub(crate) fn reason(closed: &Closed) -> (&'static str, String) {
    match closed {
        Closed::ByClient { .. } => ("CLIENT_INITIATED_DISCONNECT", "the client said DISCONNECT".to_owned()),
        Closed::ClientError { message, .. } => ("CLIENT_ERROR", message.clone()),
        Closed::ConnectionLost => ("CONNECTION_LOST", "the connection broke".to_owned()),
        Closed::KeepAliveTimeout => ("MQTT_KEEP_ALIVE_TIMEOUT", "silence of 1.5 times the keep-alive".to_owned()),
        Closed::TakenOver => ("DUPLICATE_CLIENTID", "another connection took the client id".to_owned()),
        Closed::Forbidden(message) => ("FORBIDDEN_ACCESS", message.clone()),
        Closed::TooSlow => ("THROTTLED", "the client did not take what was sent to it".to_owned()),
        Closed::Throttled(limit) => ("THROTTLED", limit.clone()),
        Closed::ByOperator { .. } => ("API_INITIATED_DISCONNECT", "DeleteConnection ended it".to_owned()),
        Closed::Expired => ("WEBSOCKET_TTL_EXPIRATION", "the credentials of its WebSocket ran out".to_owned()),
        Closed::ServerStops => ("SERVER_INITIATED_DISCONNECT", "the server stopped".to_owned()),
        Closed::ServerFault(context) => ("SERVER_ERROR", context.clone()),
    }
}
