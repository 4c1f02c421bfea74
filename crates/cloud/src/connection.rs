//! One MQTT connection of a device: what it may do, how a change of that reaches it, how it ends. How it is let in is told in
//! `arrival`, what its packets lead to in `packets`.
//!
//! The protocol is the broker's affair and the way of a message is `message`'s. Knows nothing of sockets or TLS.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use broker::{Closed, Detached, Due, Ended, Link, Session, Settled, Wake};
use mqtt::{Publish, Will};
use policy::{Context as Variables, Request, Resource, keys};
use store::Fault;

use crate::events::{Event, Kind, Refused};
use crate::figures::Count;
use crate::house::{Books, House, Job};
use crate::identity::{self, Principal, Turned};
use crate::lifecycle::{self, Visit};
use crate::logging::{Level, Record};
use crate::message;
use crate::news::News;
use crate::origin::Origin;
use crate::quotas::Meter;
use crate::scope::{Context, Read, Scope};
use crate::sessions;

mod arrival;
mod clients;
mod grant;
mod operations;
mod packets;
mod paths;
mod propagation;
mod subscribing;

pub use arrival::{Arrived, NotConnected};

pub(crate) use clients::Clients;
pub(crate) use operations::OPS;

use clients::Left;
use grant::Grant;
use paths::Paths;
use propagation::Propagated;
use subscribing::Retained;

/// Bytes of the largest packet we take (mqtt.md §2): 128 KB of payload, and room for the header.
pub const MAXIMUM_PACKET_SIZE: usize = 149_504;

/// Whence a connection comes, as the door saw it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The peer's address without the port.
    pub ip: String,
    /// The same with the port, for people.
    pub address: String,
    /// Our end of the connection, with the port; empty if the door does not know it.
    pub local: String,
    /// The host name the client asked for over TLS.
    pub server_name: Option<String>,
    /// Who it proved to be.
    pub principal: Principal,
}

impl Peer {
    /// A log entry of one of its connections.
    fn record(&self, record: Record, client_id: &str) -> Record {
        let record = record.of_client(client_id, &self.principal.id(), &self.ip);
        match self.address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()) {
            Some(port) => record.with("sourcePort", port),
            None => record,
        }
    }

    /// What conditions could ask of a request that brings these values, beside its principal; for whoever explains a
    /// refusal later.
    fn given(&self, values: &Variables) -> BTreeMap<String, Vec<String>> {
        let mut given = identity::given(values);
        if let Some(name) = &self.server_name {
            given.insert(keys::DOMAIN_NAME.to_owned(), vec![name.clone()]);
        }
        given
    }

    /// What policies may ask about a connection beside its principal.
    fn add_to(&self, mut variables: Variables, client_id: &str) -> Variables {
        variables.set(keys::CLIENT_ID, client_id);
        variables.set(keys::SOURCE_IP, &self.ip);
        if let Some(name) = &self.server_name {
            variables.set(keys::DOMAIN_NAME, name);
        }
        variables
    }
}

/// One connected device.
pub struct Connection {
    scope: Scope,
    peer: Arc<Peer>,
    /// The same for whoever asks whence a message came.
    origin: Arc<Origin>,
    link: Arc<Link>,
    grant: Arc<Grant>,
    /// What is told and counted of it.
    books: Books,
    /// What the CONNECT asked for, so that the same question can be asked again when policies change.
    connect_values: Variables,
    keep_alive: u16,
    /// When it was let in, in milliseconds.
    since: i64,
    visit: Visit,
    /// Packets whose consequences wait at the desk; later publications line up behind them so that order is kept.
    at_desk: AtomicUsize,
    told: Told,
    /// The same for warnings, so that they leave room for refusals.
    warned: Told,
    wake: Arc<dyn Wake>,
    /// Subscriptions whose retained messages are still to be sent.
    retained: Mutex<VecDeque<Retained>>,
    paths: Mutex<Paths>,
    meter: Meter,
    propagated: Propagated,
}

/// How many events of refused packets this second has seen: a client that insists shall not fill the log, nor keep the
/// house busy with explaining.
#[derive(Default)]
pub(crate) struct Told(Mutex<(i64, u32)>);

/// Events of refused packets that one connection is worth in a second; what is beyond is refused without a word.
const TOLD_PER_SECOND: u32 = 50;

impl Told {
    /// Whether one more may be told at this time, in milliseconds.
    pub(crate) fn take(&self, now: i64) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let second = now.div_euclid(1000);
        if told.0 != second {
            *told = (second, 0);
        }
        told.1 = told.1.saturating_add(1);
        told.1 <= TOLD_PER_SECOND
    }
}

/// What has changed, of what decides about connections.
pub(crate) enum Changed<'a> {
    /// A principal's certificate, policies or things.
    Principal(&'a str),
    /// What a policy says.
    Policy(&'a str),
    /// What policies a thing group has.
    Group(&'a str),
}

impl Changed<'_> {
    fn concerns(&self, connection: &Connection) -> bool {
        let granted = connection.grant.granted();
        match self {
            Changed::Principal(_) => true,
            Changed::Policy(name) => granted.set.policies().iter().any(|policy| *policy.name == **name),
            Changed::Group(name) => granted.groups.iter().any(|group| **group == **name),
        }
    }
}

/// Who is connected.
#[derive(Default)]
pub(crate) struct Connections {
    directory: Mutex<Directory>,
    /// How often something has changed that decides who may be connected.
    changes: AtomicU64,
}

#[derive(Default)]
struct Directory {
    /// By certificate, so that a change reaches them at once, and number, because a whole fleet may share one certificate.
    by_principal: HashMap<String, HashMap<u64, Weak<Connection>>>,
    /// By client id: the one connection that has it now.
    by_client: HashMap<String, Weak<Connection>>,
}

impl Connections {
    fn add(&self, connection: &Arc<Connection>) {
        let mut all = self.directory();
        let same = all.by_principal.entry(connection.peer.principal.id()).or_default();
        same.insert(connection.link.number(), Arc::downgrade(connection));
        // The later of two that came at once is the one that stays.
        let current = all.by_client.get(connection.client_id()).and_then(Weak::upgrade);
        if current.is_none_or(|current| current.link.number() < connection.link.number()) {
            all.by_client.insert(connection.client_id().to_owned(), Arc::downgrade(connection));
        }
    }

    fn remove(&self, connection: &Connection) {
        let mut all = self.directory();
        let number = connection.link.number();
        let current = all.by_client.get(connection.client_id()).and_then(Weak::upgrade);
        if current.is_none_or(|current| current.link.number() == number) {
            all.by_client.remove(connection.client_id());
        }
        let principal = connection.peer.principal.id();
        let Some(same) = all.by_principal.get_mut(&principal) else { return };
        same.remove(&number);
        if same.is_empty() {
            all.by_principal.remove(&principal);
        }
    }

    fn len(&self) -> usize {
        self.directory().by_principal.values().map(HashMap::len).sum()
    }

    fn of(&self, principal: &str) -> Vec<Arc<Connection>> {
        let all = self.directory();
        all.by_principal.get(principal).into_iter().flat_map(HashMap::values).filter_map(Weak::upgrade).collect()
    }

    fn all(&self) -> Vec<Arc<Connection>> {
        let all = self.directory();
        all.by_principal.values().flat_map(HashMap::values).filter_map(Weak::upgrade).collect()
    }

    /// The connection that has this client id.
    pub(crate) fn of_client(&self, client_id: &str) -> Option<Arc<Connection>> {
        self.directory().by_client.get(client_id).and_then(Weak::upgrade)
    }

    fn directory(&self) -> MutexGuard<'_, Directory> {
        // Every critical section leaves the maps whole, so a poisoned lock is still good.
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl House {
    /// Ends a connection whose socket is gone; what is to be written of it comes back for the desk.
    pub fn disconnected(&self, connection: &Connection, now: i64, entropy: u128) -> Vec<Job> {
        let closed = connection.link.closed().unwrap_or(Closed::ConnectionLost);
        let space = self.space(&connection.scope);
        space.connections.remove(connection);
        connection.count();
        let detached = space.broker.detach(&connection.link, now);
        let cx = connection.context(self, now, entropy);
        if let Closed::ClientError { message, .. } = &closed {
            let refused = Refused { decision: "CLIENT_ERROR".into(), reason: message.clone(), ..Refused::default() };
            self.tell_refused(connection, &cx, "MQTT", String::new(), refused);
        }
        let (reason, detail) = lifecycle::reason(&closed);
        let (link, session) = (&connection.link, connection.link.session());
        space.clients.leave(session.client_id(), link.number(), Left { at: now, reason }, session.expiry().0);
        let kind = Kind::Disconnected {
            client_id: connection.client_id().to_owned(),
            principal: connection.peer.principal.id(),
            reason,
            detail,
        };
        self.witness.event(Event::new(now, &connection.scope, kind));
        let disconnect = Record::success("Disconnect").with("disconnectReason", reason);
        cx.logging.note(now, Level::Info, || connection.peer.record(disconnect, connection.client_id()));
        let mut jobs = self.leave(&cx, detached, Some(connection.link.session().number()));
        jobs.extend(self.tell_disconnected(&cx, connection, &closed));
        if connection.link.session().is_to_be_settled() {
            jobs.push(settle(&cx, connection.link.session()));
        }
        jobs
    }

    /// What follows when a connection is detached from its session: a will, an end, messages for other members.
    fn leave(&self, cx: &Context, detached: Detached, from: Option<u64>) -> Vec<Job> {
        let Detached { will, ended, waits, later } = detached;
        let mut jobs = Vec::new();
        if let Some(session) = waits {
            let will = later.map(|(will, _)| will);
            jobs.push(Job::new(cx.again(), move |db| {
                sessions::leave(db, &session, will.as_ref())?;
                Ok(())
            }));
        }
        jobs.extend(will.map(|will| publish_will(cx, will, from)));
        jobs.extend(ended.map(|ended| self.end(cx, ended)).unwrap_or_default());
        jobs
    }

    /// What follows when a session has ended: its record and all that is filed under its key go, its will is published,
    /// other members get what was shared.
    fn end(&self, cx: &Context, ended: Ended) -> Vec<Job> {
        let Ended { session, will, strays } = ended;
        let mut jobs: Vec<Job> = will.map(|will| publish_will(cx, will, None)).into_iter().collect();
        if let Some(key) = session.stored() {
            jobs.push(Job::new(cx.again(), move |db| {
                sessions::end(db, session.client_id(), key)?;
                Ok(sessions::sweep(db, key)?)
            }));
        }
        if !strays.is_empty() {
            let space = self.space(&cx.scope);
            jobs.push(Job::new(cx.again(), move |db| {
                for stray in &strays {
                    if let Some(plan) = space.broker.plan_for_another(stray) {
                        db.tell(News::Planned(stray.message.clone(), Arc::new(plan)));
                    }
                }
                Ok(())
            }));
        }
        jobs
    }

    /// What time brings: wills that waited, sessions and items of tables whose time is over. To be asked every second or so.
    pub fn tick(&self, now: i64, entropy: u128) -> Vec<Job> {
        let mut jobs = self.write_down_figures(now, entropy);
        jobs.extend(self.sweep_logs(now, entropy));
        jobs.extend(self.write_down_logs(now, entropy));
        jobs.extend(self.erase_secrets(now, entropy));
        jobs.extend(self.watch_metrics(now, entropy));
        jobs.extend(self.work_on_tables(now, entropy));
        jobs.extend(self.sweep_groups(now, entropy));
        for (scope, space) in self.scopes() {
            for Due { session, will, ended } in space.broker.due(now) {
                let cx = self.context(&scope, now, entropy ^ u128::from(session.number()));
                if ended {
                    jobs.extend(self.end(&cx, Ended { session, will, strays: Vec::new() }));
                } else if let Some(will) = will {
                    jobs.push(publish_will(&cx, will, None));
                    jobs.push(Job::new(cx, move |db| {
                        sessions::leave(db, &session, None)?;
                        Ok(())
                    }));
                }
            }
        }
        jobs
    }

    /// Something has changed that decides what connections may do: those it concerns are asked again at once.
    pub(crate) fn refresh(&self, cx: &Context, changed: &Changed<'_>) {
        let space = self.space(&cx.scope);
        // Counted first: whoever is not in the list yet sees that something has changed since it was examined.
        space.connections.changes.fetch_add(1, Ordering::SeqCst);
        let connections = match changed {
            Changed::Principal(principal) => space.connections.of(principal),
            // A look at every connection, however many certificates or things a policy or a group has.
            Changed::Policy(_) | Changed::Group(_) => space.connections.all(),
        };
        for connection in connections.iter().filter(|connection| changed.concerns(connection)) {
            self.ask_again(cx, connection);
        }
    }

    /// The same in every region of the account.
    pub(crate) fn refresh_everywhere(&self, cx: &Context, principal: &str) {
        for (scope, space) in self.scopes() {
            if scope.account == cx.scope.account {
                self.refresh(&self.context_of(&scope, &space.books, cx.now, 0), &Changed::Principal(principal));
            }
        }
    }

    /// Asks for one connection what was asked when it came, and closes it if the answer is another.
    fn ask_again(&self, cx: &Context, connection: &Connection) {
        if let Err(fault) = self.refresh_one(cx, connection) {
            self.tell_fault(cx.now, &fault);
            connection.link.close(Closed::Forbidden("its policies could not be read".to_owned()));
        }
    }

    fn refresh_one(&self, cx: &Context, connection: &Connection) -> Result<(), Fault> {
        let view = self.store.read();
        let db = Read::new(&view, cx);
        let (principal, client_id) = (&connection.peer.principal, connection.client_id());
        let arn = cx.scope.arn(format_args!("client/{client_id}"));
        let variables = match principal.standing(db)? {
            Ok(variables) => connection.peer.add_to(variables, client_id),
            Err(Turned { decision, reason }) => {
                let refused = Refused { decision, reason: reason.clone(), ..Refused::default() };
                self.tell_refused(connection, cx, "iot:Connect", arn, refused);
                connection.link.close(Closed::Forbidden(reason));
                return Ok(());
            }
        };
        let granted = principal.grant(db, client_id, variables)?;
        let request = Request::new("iot:Connect", Resource::new("", &arn), cx.now).with(&connection.connect_values);
        let decision = granted.set.decide(&request);
        if !decision.is_allowed() {
            let refused = Refused { given: connection.peer.given(&connection.connect_values), ..Refused::default() };
            let refused = identity::explained(refused, &granted.set, &request, &decision);
            self.tell_refused(connection, cx, "iot:Connect", arn.clone(), refused);
            connection.link.close(Closed::Forbidden("its policies no longer allow it to connect".to_owned()));
        }
        connection.grant.replace(granted);
        connection.propagated.forget();
        Ok(())
    }

    fn tell_refused(&self, connection: &Connection, cx: &Context, action: &str, resource: String, refused: Refused) {
        let refused = Refused {
            client_id: connection.client_id().to_owned(),
            principal: connection.peer.principal.id(),
            action: action.to_owned(),
            resource,
            peer: connection.peer.address.clone(),
            ..refused
        };
        self.witness.event(Event::new(cx.now, &cx.scope, Kind::Refusal(refused)));
    }

    /// How many devices are connected.
    pub fn connected(&self) -> usize {
        self.scopes().iter().map(|(_, space)| space.connections.len()).sum()
    }

    /// Closes every connection because the server stops.
    pub fn close_all(&self) {
        for (_, space) in self.scopes() {
            for session in space.broker.all_sessions() {
                if let Some(link) = session.link() {
                    link.close(Closed::ServerStops);
                }
            }
        }
    }
}

impl Connection {
    /// The client identifier, given or assigned.
    pub fn client_id(&self) -> &str {
        self.link.session().client_id()
    }

    /// Counts that it has come, and tells it in the logs.
    fn has_come(&self, now: i64) {
        self.books.figures.count(Count::Connect);
        let record = || self.peer.record(Record::success("Connect"), self.client_id());
        self.books.logging.note(now, Level::Info, record);
    }

    /// Brings what it has counted to the figures of all: once a turn rather than once a message, so that connections on
    /// several cores do not take turns at one number.
    pub fn count(&self) {
        for (own, count) in [(&self.grant.passed, Count::PublishOut), (&self.grant.taken, Count::PublishIn)] {
            if own.load(Ordering::Relaxed) > 0 {
                self.books.figures.add(count, own.swap(0, Ordering::Relaxed));
            }
        }
    }

    /// Whence it came.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// How events name it.
    pub(crate) fn visit(&self) -> Visit {
        self.visit
    }

    /// The broker's side of it: what waits for the socket, and whether it has been closed.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Seconds of silence after which the door closes the connection [MQTT-3.1.2-22]; nothing if the client promised none.
    pub fn patience(&self) -> Option<f32> {
        (self.keep_alive > 0).then(|| f32::from(self.keep_alive) * 1.5)
    }

    /// Whether so much waits at the desk that the door should read no further.
    pub fn is_busy(&self) -> bool {
        self.at_desk.load(Ordering::Relaxed) >= 100
    }
}

/// Writes what a client has acknowledged.
fn settle(cx: &Context, session: &Arc<Session>) -> Job {
    let key = session.stored().unwrap_or_default();
    let taken: Arc<OnceLock<Vec<Settled>>> = Arc::default();
    let (session, settled) = (Arc::clone(session), Arc::clone(&taken));
    let source = Arc::clone(&session);
    let job = Job::new(cx.again(), move |db| {
        // Taken once, however often this runs.
        sessions::settle(db, key, settled.get_or_init(|| source.take_settled()))?;
        Ok(())
    });
    job.after(move |_, _, outcome| {
        match outcome {
            Ok(()) => session.has_settled(taken.get().map_or(&[], Vec::as_slice)),
            Err(failed) => {
                session.has_not_settled(taken.get().cloned().unwrap_or_default());
                // The client is told again what it is owed, and it is written again, once it comes back.
                if let Some(link) = session.link() {
                    link.close(Closed::ServerFault(failed.message().to_owned()));
                }
            }
        }
        Vec::new()
    })
}

/// A will on a shadow's topic is heard by subscribers and ignored by the shadow (shadow.md §1).
fn publish_will(cx: &Context, will: Will, from: Option<u64>) -> Job {
    let publish = Publish::from(will);
    Job::new(cx.again(), move |db| message::broadcast(db, &publish, from))
}
