//! What must hold of any bytes that come as expressions about items, shared by the tests of this crate and the fuzz target in
//! `fuzz/`: nothing panics, nothing is a fault, and what is refused changes nothing.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use cloud::{
    Authority, Caller, Event, House, Identity, Issued, Kind, LogBounds, NotIssued, Quotas, Scope, Settings, Vault,
    Witness,
};
use serde_json::{Value, json};
use store::Store;
use wire::{Input, Output, Refusal};

/// Issues nothing.
struct Nobody;

impl Authority for Nobody {
    fn certificate_pem(&self) -> String {
        String::new()
    }

    fn issue_keys(&self, _: i64) -> Result<Issued, NotIssued> {
        Err(NotIssued::Failed("nobody is here".to_owned()))
    }

    fn server_certificate(&self, _: &str) -> Result<Vec<u8>, String> {
        Err("nobody is here".to_owned())
    }

    fn issue_for_request(&self, _: &str, _: i64) -> Result<Issued, NotIssued> {
        Err(NotIssued::Failed("nobody is here".to_owned()))
    }
}

/// Counts faults.
#[derive(Default)]
struct Faults(AtomicUsize);

impl Witness for Faults {
    fn event(&self, event: Event) {
        if matches!(event.kind, Kind::Fault { .. }) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn follows_publications(&self) -> bool {
        false
    }
}

/// A house with one table.
struct Kept {
    house: House,
    faults: Arc<Faults>,
    calls: Cell<u128>,
}

impl Kept {
    fn new() -> Option<Self> {
        let faults = Arc::<Faults>::default();
        let settings = Settings {
            endpoint: "iot.example.com:8443".to_owned(),
            quotas: Quotas::Off,
            api: "http://127.0.0.1:4583".to_owned(),
            targets: cloud::actions::Service::all().collect(),
            broker: broker::Settings::default(),
            logs: LogBounds { group_bytes: 1 << 20, all_bytes: 1 << 20 },
            vault: Vault::new(&[7; 32])?,
            functions: false,
            verifies: false,
        };
        let witness = Arc::clone(&faults) as Arc<dyn Witness>;
        let house = House::new(Store::in_memory(), settings, Arc::new(Nobody), witness);
        let kept = Self { house, faults, calls: Cell::new(0) };
        let made = kept.call(
            "CreateTable",
            json!({
                "TableName": "table", "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            }),
        );
        made.is_ok().then_some(kept)
    }

    fn call(&self, operation: &str, input: Value) -> Result<Output, Refusal> {
        let operation = wire::dynamodb::SERVICE.operations.iter().find(|known| known.name == operation);
        let Some(operation) = operation else { return Err(Refusal::internal_failure("there is no such operation")) };
        let caller = Caller::new(Scope::new("000000000000", "us-east-1"), Identity::Key("key".to_owned()));
        self.calls.set(self.calls.get() + 1);
        let input = Input::of(input, Bytes::new());
        self.house.call(&caller, operation, input, 1_700_000_000_000, self.calls.get())
    }

    fn item(&self) -> Option<Value> {
        let got = self.call("GetItem", json!({"TableName": "table", "Key": {"pk": {"S": "k"}}})).ok()?;
        got.fields().get("Item").cloned()
    }
}

thread_local! {
    static KEPT: Option<Kept> = Kept::new();
}

/// Three lines: an update, a condition and a projection, each as far as it is there.
pub(crate) fn expressions(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    KEPT.with(|kept| {
        let Some(kept) = kept else { unreachable!("the house is there") };
        ask(kept, text);
        assert_eq!(kept.faults.0.load(Ordering::Relaxed), 0, "the house failed");
    });
}

fn ask(kept: &Kept, text: &str) {
    let item = json!({
        "pk": {"S": "k"}, "n": {"N": "5"}, "ss": {"SS": ["a", "b"]}, "l": {"L": [{"N": "1"}, {"M": {"x": {"S": "y"}}}]},
        "m": {"M": {"in": {"N": "7"}}},
    });
    let put = kept.call("PutItem", json!({"TableName": "table", "Item": item}));
    assert!(put.is_ok(), "{put:?}");
    let mut lines = text.splitn(3, '\n');
    let mut update = json!({"TableName": "table", "Key": {"pk": {"S": "k"}}});
    let mut used = String::new();
    for member in ["UpdateExpression", "ConditionExpression"] {
        if let Some(line) = lines.next().filter(|line| !line.is_empty()) {
            update[member] = json!(line);
            used.push_str(line);
        }
    }
    // Only what the text asks for, since what it does not is refused.
    let of = |all: Value| -> Value {
        all.as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| used.contains(*name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let values = of(json!({":one": {"N": "1"}, ":s": {"S": "a"}, ":set": {"SS": ["a"]}, ":l": {"L": []}}));
    let names = of(json!({"#n": "n"}));
    for (member, given) in [("ExpressionAttributeValues", values), ("ExpressionAttributeNames", names)] {
        if given.as_object().is_some_and(|given| !given.is_empty()) {
            update[member] = given;
        }
    }
    let before = kept.item();
    if kept.call("UpdateItem", update).is_err() {
        assert_eq!(kept.item(), before, "what was refused changed something");
    }
    if let Some(projection) = lines.next() {
        let get = json!({"TableName": "table", "Key": {"pk": {"S": "k"}}, "ProjectionExpression": projection});
        let _ = kept.call("GetItem", get);
    }
    assert!(kept.item().is_some(), "an update took an item away");
}
