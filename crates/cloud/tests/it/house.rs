//! A house in memory with a clock that only tests move, an authority with a drawer of certificates made beforehand, and
//! `call`, which is an operation by name with typed JSON.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use cloud::{
    Authority, Caller, Connection, Event, House, Identity, Issued, KeyPair, Kind, NotIssued, Peer, Quotas, Scope,
    Settings, Witness,
};
use mqtt::{Connect, ConnectProperties, Text, Version};
use serde_json::{Value, json};
use wire::Input;

/// What an operation answered: its members, or the error's name and message.
pub(crate) type Answered = Result<Value, (String, String)>;

/// Twelve certificates, each given out once.
#[derive(Default)]
struct Drawer {
    given: AtomicUsize,
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
    fn issue_keys(&self, _: i64) -> Result<Issued, NotIssued> {
        let keys = KeyPair { public_pem: "public".to_owned(), private_pem: "private".to_owned() };
        Ok(Issued { certificate_pem: self.next()?, keys: Some(keys) })
    }

    fn issue_for_request(&self, csr_pem: &str, _: i64) -> Result<Issued, NotIssued> {
        if csr_pem == "broken" {
            return Err(NotIssued::BadRequest("The CSR is broken".to_owned()));
        }
        Ok(Issued { certificate_pem: self.next()?, keys: None })
    }
}

/// Counts the faults of the house, of which there should be none.
#[derive(Default)]
struct Listener {
    faults: AtomicUsize,
}

impl Witness for Listener {
    fn event(&self, event: Event) {
        if matches!(event.kind, Kind::Fault { .. }) {
            self.faults.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn follows_publications(&self) -> bool {
        false
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
    clock: Arc<AtomicI64>,
    calls: Arc<AtomicU64>,
    listener: Arc<Listener>,
    scope: Scope,
}

/// When every test begins.
pub(crate) const DAWN: i64 = 1_700_000_000_000;

impl Lab {
    pub(crate) fn new() -> Self {
        let listener = Arc::new(Listener::default());
        let settings = Settings {
            endpoint: "iot.example.com:8443".to_owned(),
            quotas: Quotas::Aws,
            broker: broker::Settings::default(),
        };
        let house = House::new(
            store::Store::in_memory(),
            settings,
            Arc::new(Drawer::default()),
            Arc::clone(&listener) as Arc<dyn Witness>,
        );
        Self {
            house: Arc::new(house),
            clock: Arc::new(AtomicI64::new(DAWN)),
            calls: Arc::default(),
            listener,
            scope: Scope::new("000000000000", "us-east-1"),
        }
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
        self.house.scope_of(certificate_id).unwrap()
    }

    pub(crate) fn call(&self, operation: &str, input: Value) -> Answered {
        let model = wire::iot::SERVICE.operations.iter().find(|model| model.name == operation).unwrap();
        let caller = Caller { scope: self.scope.clone(), identity: Identity::Key("key".to_owned()) };
        let now = self.now();
        // Each call has entropy of its own, or all ids would be one.
        let entropy = u128::from(self.calls.fetch_add(1, Ordering::Relaxed));
        let input = Input::of(input, bytes::Bytes::new());
        match self.house.call(&caller, model, input, now, entropy) {
            Ok(output) => Ok(Value::Object(output.fields().clone())),
            Err(refusal) => Err((refusal.error().to_owned(), refusal.message().to_owned())),
        }
    }

    /// A device's connection with this certificate, if it is let in.
    pub(crate) fn connect(&self, certificate_id: &str, client_id: &str) -> Option<Arc<Connection>> {
        let connect = Connect {
            version: Version::V311,
            clean_start: true,
            keep_alive: 60,
            client_id: Text::try_from(client_id).unwrap(),
            will: None,
            username: None,
            password: None,
            properties: ConnectProperties::default(),
        };
        let peer = Peer {
            ip: "192.0.2.1".to_owned(),
            address: "192.0.2.1:50000".to_owned(),
            server_name: None,
            certificate_id: certificate_id.to_owned(),
        };
        self.house.connect(peer, &connect, Arc::new(Asleep), self.now(), 0).ok()
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
