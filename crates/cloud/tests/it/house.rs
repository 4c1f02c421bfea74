//! A house in memory with a clock that only tests move, an authority with a drawer of certificates made beforehand, and
//! `call`, which is an operation by name with typed JSON.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cloud::actions::{Outcome, Service};
use cloud::{
    Ask, Authority, Caller, Connection, Deed, Domain, Errand, Event, House, Identity, Introduced, Issued, Job,
    KEY_BYTES, KeyPair, Kind, LogBounds, NotASigner, NotConnected, NotIssued, Peer, Plan, Principal, Quotas, Refused,
    Scope, Settings, Signer, Total, Vault, Witness,
};
use mqtt::{Connect, ConnectProperties, Packet, Text, Version};
use serde_json::{Value, json};
use store::{Direction, Fault, Key, Store, Table};
use wire::{Input, Output, Refusal};

/// Where it is heard whether a device is let in.
pub(crate) type Told = std::sync::mpsc::Receiver<Result<Arc<Connection>, NotConnected>>;

/// What an operation answered: its members, or the error's name and message.
pub(crate) type Answered = Result<Value, (String, String)>;

/// Twelve certificates, each given out once.
#[derive(Default)]
struct Drawer {
    given: AtomicUsize,
    /// What the operator put down, by name.
    servers: Mutex<HashMap<String, Vec<u8>>>,
}

impl Drawer {
    fn next(&self) -> Result<String, NotIssued> {
        let all = include_str!("data/devices.pem");
        let index = self.given.fetch_add(1, Ordering::Relaxed);
        let end = "-----END CERTIFICATE-----\n";
        let found = all.split_inclusive(end).nth(index);
        found.map(str::to_owned).ok_or_else(|| NotIssued::Failed("the drawer is empty".to_owned()))
    }
}

impl Authority for Drawer {
    fn certificate_pem(&self) -> String {
        include_str!("data/rich.pem").to_owned()
    }

    fn issue_keys(&self, _: i64) -> Result<Issued, NotIssued> {
        let keys = KeyPair { public_pem: "public".to_owned(), private_pem: "private".to_owned() };
        Ok(Issued { certificate_pem: self.next()?, keys: Some(keys) })
    }

    fn server_certificate(&self, place: &str) -> Result<Vec<u8>, String> {
        let found = self.servers.lock().unwrap().get(place).cloned();
        found.ok_or_else(|| format!("there is no file {place}.pem"))
    }

    fn issue_for_request(&self, csr_pem: &str, _: i64) -> Result<Issued, NotIssued> {
        if csr_pem == "broken" {
            return Err(NotIssued::BadRequest("The CSR is broken".to_owned()));
        }
        Ok(Issued { certificate_pem: self.next()?, keys: None })
    }
}

/// Counts the faults of the house, of which there should be none, and keeps the other events.
#[derive(Default)]
struct Listener {
    faults: AtomicUsize,
    heard: Mutex<Vec<Kind>>,
    follows: AtomicBool,
}

impl Witness for Listener {
    fn event(&self, event: Event) {
        if matches!(event.kind, Kind::Fault { .. }) {
            self.faults.fetch_add(1, Ordering::Relaxed);
        } else {
            self.heard.lock().unwrap().push(event.kind);
        }
    }

    fn follows_publications(&self) -> bool {
        self.follows.load(Ordering::Relaxed)
    }
}

/// A socket that nobody waits for.
struct Asleep;

impl broker::Wake for Asleep {
    fn wake(&self) {}
}

/// A house under test, seen from one account and region.
#[derive(Clone)]
pub(crate) struct Lab {
    house: Arc<House>,
    store: Store,
    drawer: Arc<Drawer>,
    quotas: Quotas,
    clock: Arc<AtomicI64>,
    calls: Arc<AtomicU64>,
    listener: Arc<Listener>,
    scope: Scope,
    /// When each client last connected.
    arrivals: Arc<Mutex<HashMap<(Scope, String), i64>>>,
}

/// When every test begins.
pub(crate) const DAWN: i64 = 1_700_000_000_000;

impl Lab {
    pub(crate) fn new() -> Self {
        Self::over(Store::in_memory(), Quotas::Aws)
    }

    pub(crate) fn over(store: Store, quotas: Quotas) -> Self {
        let (drawer, listener) = (Arc::<Drawer>::default(), Arc::<Listener>::default());
        Self {
            house: house(&store, quotas, &drawer, &listener),
            store,
            drawer,
            quotas,
            clock: Arc::new(AtomicI64::new(DAWN)),
            calls: Arc::default(),
            listener,
            scope: Scope::new("000000000000", "us-east-1"),
            arrivals: Arc::default(),
        }
    }

    /// A new house over the same store, as after a restart: nobody is connected, what was on disk is there.
    pub(crate) fn restarted(&self) -> Self {
        self.reopened(self.store.clone())
    }

    /// Brings back the sessions that are on disk.
    pub(crate) fn restore(&self) {
        self.commit(self.house.restore(self.now()).unwrap()).unwrap();
    }

    /// The same over a store that was opened again.
    pub(crate) fn reopened(&self, store: Store) -> Self {
        self.try_reopened(store).unwrap()
    }

    /// The same, if the disk takes what the house has to write at its start.
    pub(crate) fn try_reopened(&self, store: Store) -> Result<Self, Fault> {
        let house = house(&store, self.quotas, &self.drawer, &self.listener);
        let lab = Self { house, store, ..self.clone() };
        lab.commit(lab.house.restore(lab.now())?)?;
        Ok(lab)
    }

    /// How many rows a table has, whoever they belong to.
    pub(crate) fn rows(&self, table: &'static str) -> usize {
        let table: Table<()> = Table::new(table);
        self.store.read().range(&table, &Key::all(), None, Direction::Ascending, usize::MAX).unwrap().len()
    }

    /// Does what time has brought.
    pub(crate) fn tick(&self) -> Result<(), Fault> {
        self.commit(self.house.tick(self.now(), self.entropy()))
    }

    /// The same house at the same moment, seen from elsewhere.
    pub(crate) fn elsewhere(&self, account: &str, region: &str) -> Self {
        Self { scope: Scope::new(account, region), ..self.clone() }
    }

    pub(crate) fn pass(&self, milliseconds: i64) {
        self.clock.fetch_add(milliseconds, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub(crate) fn scope_of(&self, certificate_id: &str) -> Option<Scope> {
        self.house.scope_of(certificate_id, None).unwrap()
    }

    pub(crate) fn call(&self, operation: &str, input: Value) -> Answered {
        answered(
            self.call_as(Identity::Key("key".to_owned()), operation, input, b"").map(|output| output.fields().clone()),
        )
    }

    /// An operation by whoever calls, with its raw body. A name that several services have is written `service:Operation`.
    pub(crate) fn call_as(
        &self,
        identity: Identity,
        operation: &str,
        input: Value,
        payload: &[u8],
    ) -> Result<Output, Refusal> {
        let (service, name) = operation.split_once(':').unwrap_or(("", operation));
        let mut models = wire::SERVICES.iter().flat_map(|service| service.operations.iter());
        let is_asked =
            |model: &&wire::Operation| model.name == name && (service.is_empty() || model.service == service);
        let model = models.find(is_asked).unwrap();
        let caller = Caller::new(self.scope.clone(), identity);
        let input = Input::of(input, Bytes::copy_from_slice(payload));
        self.house.call(&caller, model, input, self.now(), self.entropy())
    }

    /// What is asked for an object, by the holder of an access key, and what is answered.
    pub(crate) fn objects<A>(&self, ask: impl FnOnce(&House, &Caller, i64, u128) -> A) -> A {
        let caller = Caller::new(self.scope.clone(), Identity::Key("key".to_owned()));
        ask(&self.house, &caller, self.now(), self.entropy())
    }

    /// Who brings these temporary credentials.
    pub(crate) fn session(&self, credentials: &Value) -> Result<Option<Signer>, NotASigner> {
        let [key, token] = ["AccessKeyId", "SessionToken"].map(|name| text(&credentials[name]));
        self.house.signer(&key, Some(&token), &self.scope.region, self.now())
    }

    /// Who brings this key of its own.
    pub(crate) fn signer(&self, key: &str) -> Result<Option<Signer>, NotASigner> {
        self.house.signer(key, None, &self.scope.region, self.now())
    }

    /// Begins a `SendDirectMessage` that waits for its client: whether the client has confirmed it.
    pub(crate) fn send_confirmed(&self, input: Value) -> Arc<AtomicBool> {
        let mut models = wire::SERVICES.iter().flat_map(|service| service.operations.iter());
        let model = models.find(|model| model.name == "SendDirectMessage").unwrap();
        let caller = Caller::new(self.scope.clone(), Identity::Key("key".to_owned()));
        let input = Input::of(input, Bytes::new());
        let Plan::Wait(wait) = self.house.plan(&caller, model, input, self.now(), self.entropy()) else {
            panic!("it does not wait");
        };
        let is_confirmed = Arc::<AtomicBool>::default();
        let confirmed = Arc::clone(&is_confirmed);
        let (job, _) = wait.start(&self.house, Arc::new(move || confirmed.store(true, Ordering::Relaxed)));
        self.commit(job).unwrap();
        is_confirmed
    }

    /// Entropy of its own for each call, or all ids would be one.
    fn entropy(&self) -> u128 {
        u128::from(self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// Runs what waits at the desk.
    pub(crate) fn commit(&self, jobs: impl IntoIterator<Item = Job>) -> Result<(), Fault> {
        let mut jobs: Vec<Job> = jobs.into_iter().collect();
        while !jobs.is_empty() {
            jobs = self.house.commit(jobs)?;
        }
        Ok(())
    }

    /// What the platform has counted.
    pub(crate) fn totals(&self) -> Vec<Total> {
        self.house.totals()
    }

    /// Writes lines of the house's own.
    pub(crate) fn log(&self, group: &str, stream: &str, lines: &[&str]) {
        let events = lines.iter().map(|line| (self.now(), (*line).to_owned())).collect();
        self.commit([self.house.log(&self.scope, group, stream, events, self.now(), self.entropy())]).unwrap();
    }

    /// Lets the rules work until nothing is left to do: every deed is settled as `carry_out` says, every question is answered
    /// by `answer`. What was sent without a message behind it.
    pub(crate) fn work(
        &self,
        mut carry_out: impl FnMut(&Deed) -> Outcome,
        mut answer: impl FnMut(&Ask) -> Result<Bytes, String>,
    ) -> Vec<Errand> {
        let mut errands = Vec::new();
        loop {
            let turn = self.house.rules_turn(self.now(), self.entropy());
            self.commit(turn.jobs).unwrap();
            errands.extend(turn.errands);
            for deed in turn.deeds {
                let outcome = carry_out(&deed);
                deed.ticket.settle(outcome);
            }
            for ask in turn.asks {
                let answered = answer(&ask);
                ask.answer(answered);
            }
            if turn.idle {
                return errands;
            }
        }
    }

    /// Somebody begins to follow all that is published, or ends it.
    pub(crate) fn follow(&self, follows: bool) {
        self.listener.follows.store(follows, Ordering::Relaxed);
    }

    /// The message that was published last to a topic that matches, as `payload by client`.
    pub(crate) fn last_published(&self, filter: Option<&str>) -> Option<String> {
        let filter = filter.map(|filter| mqtt::Filter::try_from(filter).unwrap());
        let published = self.house.last_published(&self.scope, filter.as_ref())?;
        let payload = String::from_utf8_lossy(&published.message.payload).into_owned();
        Some(format!("{payload} by {}", published.client_id().unwrap_or("nobody")))
    }

    /// What the rules here would be told, where these calls have been answered; and what they would have to ask.
    pub(crate) fn show_world<T>(
        &self,
        answers: &HashMap<sql::Call, sql::Reply>,
        see: impl FnOnce(&mut dyn sql::World) -> T,
    ) -> (T, Option<sql::Call>) {
        self.house.show_rules_world(&self.scope, self.now(), self.entropy(), answers, see)
    }

    /// One turn of the rules, for a test that does the rest.
    pub(crate) fn rules_turn(&self) -> cloud::Turn {
        self.house.rules_turn(self.now(), self.entropy())
    }

    /// One turn of the desk; what follows from it comes back.
    pub(crate) fn commit_once(&self, jobs: Vec<Job>) -> Result<Vec<Job>, Fault> {
        self.house.commit(jobs)
    }

    /// Lets a device in that proved to hold a certificate, or says why not. It waits a second if it was here just now,
    /// as AWS wants it to.
    pub(crate) fn arrive(&self, certificate_id: &str, connect: &Connect) -> Result<Arc<Connection>, NotConnected> {
        let who = (self.scope.clone(), connect.client_id.as_str().to_owned());
        let last = self.arrivals.lock().unwrap().get(&who).copied();
        if let Some(last) = last.filter(|last| self.quotas == Quotas::Aws && self.now() - last < 1000) {
            self.pass(1000 - (self.now() - last));
        }
        self.arrivals.lock().unwrap().insert(who, self.now());
        self.arrive_at_once(certificate_id, connect)
    }

    /// The same without waiting.
    pub(crate) fn arrive_at_once(
        &self,
        certificate_id: &str,
        connect: &Connect,
    ) -> Result<Arc<Connection>, NotConnected> {
        let (jobs, told) = self.knock(certificate_id, connect);
        self.commit(jobs).unwrap();
        told.recv().unwrap()
    }

    /// The same, but for what must be brought to the desk before it hears of it.
    pub(crate) fn knock(&self, certificate_id: &str, connect: &Connect) -> (Vec<Job>, Told) {
        self.knock_as(Principal::Certificate(certificate_id.to_owned()), connect)
    }

    fn knock_as(&self, principal: Principal, connect: &Connect) -> (Vec<Job>, Told) {
        let peer = Peer {
            ip: "192.0.2.1".to_owned(),
            address: "192.0.2.1:50000".to_owned(),
            local: "192.0.2.9:8883".to_owned(),
            server_name: None,
            principal,
        };
        let (tell, told) = std::sync::mpsc::channel();
        let arrived = Box::new(move |arrived| drop(tell.send(arrived)));
        let moment = (self.now(), self.entropy());
        (self.house.connect(peer, connect.clone(), Arc::new(Asleep), moment, arrived), told)
    }

    /// The operator puts down a server certificate.
    pub(crate) fn put_down(&self, name: &str, pem: &str) {
        self.drawer.servers.lock().unwrap().insert(format!("{}/{name}", self.scope.account), der(pem));
    }

    /// The operator takes one away.
    pub(crate) fn take_away(&self, name: &str) {
        self.drawer.servers.lock().unwrap().remove(&format!("{}/{name}", self.scope.account));
    }

    /// What holds for a host name.
    pub(crate) fn domain(&self, host: &str) -> Option<Domain> {
        self.house.domain(host).unwrap()
    }

    /// Where a certificate belongs under a host name.
    pub(crate) fn scope_under(&self, certificate_id: &str, host: &str) -> Option<Scope> {
        self.house.scope_of(certificate_id, Some(host)).unwrap()
    }

    /// A device shows a certificate: who it is to the house, once what follows from that is written.
    pub(crate) fn introduce(&self, pem: &str) -> Principal {
        self.introduce_under(pem, None)
    }

    /// The same at a host name.
    pub(crate) fn introduce_under(&self, pem: &str, host: Option<&str>) -> Principal {
        let Introduced { principal, job } = self.house.introduce(&der(pem), host, self.now(), self.entropy());
        self.commit(job).unwrap();
        principal
    }

    /// The same device sends a CONNECT.
    pub(crate) fn introduced(&self, pem: &str, client_id: &str) -> Result<Arc<Connection>, NotConnected> {
        let principal = self.introduce(pem);
        let (jobs, told) = self.knock_as(principal, &hello(Version::V311, client_id));
        self.commit(jobs).unwrap();
        told.recv().unwrap()
    }

    pub(crate) fn receive(&self, connection: &Arc<Connection>, packet: Packet) -> Option<Job> {
        let job = self.house.receive(connection, packet, self.now(), self.entropy());
        connection.count();
        job
    }

    pub(crate) fn disconnected(&self, connection: &Connection) -> Vec<Job> {
        self.house.disconnected(connection, self.now(), self.entropy())
    }

    /// Sends what is owed beyond what is already there, as the door does at each turn.
    pub(crate) fn go_on(&self, connection: &Arc<Connection>) {
        connection.count();
        // Bounded, because what waits for room waits until somebody takes what is there.
        for _ in 0..100 {
            if !connection.link().wants_more() {
                return;
            }
            self.commit(self.more(connection)).unwrap();
        }
    }

    /// One turn of that; what must be written comes back for the desk.
    pub(crate) fn more(&self, connection: &Arc<Connection>) -> Vec<Job> {
        self.house.go_on(connection, self.now(), self.entropy())
    }

    /// What has been told since the last time, but for faults.
    pub(crate) fn events(&self) -> Vec<Kind> {
        std::mem::take(&mut self.listener.heard.lock().unwrap())
    }

    /// The refusals among it.
    pub(crate) fn refusals(&self) -> Vec<Refused> {
        let refusal = |kind| match kind {
            Kind::Refusal(refused) => Some(refused),
            _ => None,
        };
        self.events().into_iter().filter_map(refusal).collect()
    }

    /// A device's connection with this certificate, if it is let in.
    pub(crate) fn connect(&self, certificate_id: &str, client_id: &str) -> Option<Arc<Connection>> {
        self.arrive(certificate_id, &hello(Version::V311, client_id)).ok()
    }

    /// Why something was refused, or would be, as JSON.
    pub(crate) fn why(&self, question: &cloud::why::Question) -> Value {
        serde_json::to_value(self.house.why(&self.scope, question, self.now()).unwrap()).unwrap()
    }

    /// How often the house itself failed.
    pub(crate) fn faults(&self) -> usize {
        self.listener.faults.load(Ordering::Relaxed)
    }

    /// The answer of an operation that must succeed.
    #[track_caller]
    pub(crate) fn ok(&self, operation: &str, input: Value) -> Value {
        self.call(operation, input.clone()).unwrap_or_else(|no| panic!("{operation} {input}: {no:?}"))
    }

    /// The error of an operation that must not succeed, without its suffix `Exception`.
    #[track_caller]
    pub(crate) fn no(&self, operation: &str, input: Value) -> String {
        self.refused(operation, input).0
    }

    /// The message of an operation that must not succeed.
    #[track_caller]
    pub(crate) fn message(&self, operation: &str, input: Value) -> String {
        self.refused(operation, input).1
    }

    /// The same error and its message.
    #[track_caller]
    pub(crate) fn refused(&self, operation: &str, input: Value) -> (String, String) {
        match self.call(operation, input.clone()) {
            Ok(answer) => panic!("{operation} {input}: {answer}"),
            Err((name, message)) => (name.strip_suffix("Exception").unwrap_or(&name).to_owned(), message),
        }
    }

    /// A new certificate, ACTIVE: id and ARN.
    pub(crate) fn certificate(&self) -> (String, String) {
        let made = self.ok("CreateKeysAndCertificate", json!({"setAsActive": true}));
        (text(&made["certificateId"]), text(&made["certificateArn"]))
    }

    /// A new certificate, ACTIVE, with one policy of these statements: its id.
    pub(crate) fn identity(&self, statements: Value) -> String {
        let (id, arn) = self.certificate();
        let document = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        self.ok("CreatePolicy", json!({"policyName": id, "policyDocument": document}));
        self.ok("AttachPolicy", json!({"policyName": id, "target": arn}));
        id
    }

    /// All of a listing, page by page: `token` names the member of the answer and of the next request.
    pub(crate) fn pages(&self, operation: &str, input: Value, list: &str, tokens: (&str, &str)) -> Vec<Vec<Value>> {
        let (given, wanted) = tokens;
        let mut input = input;
        let mut pages = Vec::new();
        loop {
            let answer = self.ok(operation, input.clone());
            pages.push(answer[list].as_array().unwrap().clone());
            match answer.get(given) {
                Some(token) => input[wanted] = token.clone(),
                None => return pages,
            }
        }
    }
}

fn house(store: &Store, quotas: Quotas, drawer: &Arc<Drawer>, listener: &Arc<Listener>) -> Arc<House> {
    let settings = Settings {
        endpoint: "iot.example.com:8443".to_owned(),
        quotas,
        api: "http://127.0.0.1:4583".to_owned(),
        targets: Service::all().collect(),
        broker: broker::Settings::default(),
        // Small, so that tests meet it.
        logs: LogBounds { group_bytes: 2 << 20, all_bytes: 4 << 20 },
        functions: true,
        verifies: false,
        vault: Vault::new(&[7; KEY_BYTES]).unwrap(),
    };
    let (drawer, listener) = (Arc::clone(drawer) as Arc<dyn Authority>, Arc::clone(listener) as Arc<dyn Witness>);
    Arc::new(House::new(store.clone(), settings, drawer, listener))
}

/// The bytes of a PEM certificate.
fn der(pem: &str) -> Vec<u8> {
    use base64::Engine as _;
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// A plain CONNECT.
pub(crate) fn hello(version: Version, client_id: &str) -> Connect {
    Connect {
        version,
        clean_start: true,
        keep_alive: 60,
        client_id: Text::try_from(client_id).unwrap(),
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

/// A statement about resources of the lab's scope, as in `client/*`.
pub(crate) fn statement(effect: &str, action: &str, resources: &[&str]) -> Value {
    let arn = |resource: &&str| format!("arn:aws:iot:us-east-1:000000000000:{resource}");
    json!({"Effect": effect, "Action": action, "Resource": resources.iter().map(arn).collect::<Vec<_>>()})
}

/// The statement that allows everything.
pub(crate) fn everything() -> Value {
    json!([{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}])
}

fn answered(answer: Result<serde_json::Map<String, Value>, Refusal>) -> Answered {
    answer.map(Value::Object).map_err(|refusal| (refusal.error().to_owned(), refusal.message().to_owned()))
}

/// A moment as answers write it.
#[expect(clippy::cast_precision_loss, reason = "the test's moments are small")]
pub(crate) fn seconds(milliseconds: i64) -> Value {
    json!(milliseconds as f64 / 1000.0)
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// One member of each entry of a list.
pub(crate) fn column(list: &Value, member: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|entry| text(&entry[member])).collect()
}
