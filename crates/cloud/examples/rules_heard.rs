//! The price of a publish among rules, to be counted from outside in instructions: on the way of who publishes, and then of
//! the one rule that hears it.
//!
//! ```text
//! valgrind --tool=callgrind --toggle-collect=rules_heard::publishes \
//!     target/release/examples/rules_heard RULES COUNT [together]
//! ```
//!
//! There are RULES rules on filters of their own; COUNT messages are published with QoS 0, each heard by one of the first ten
//! rules, with nothing remembered from one to the next. `together`, all rules are on one filter, so that each message is heard by
//! all of them. `rules_heard::evaluates` is what the rules do afterwards. Nothing here knows how the counting is done.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use cloud::actions::Service;
use cloud::{
    Authority, Caller, Event, House, Identity, Issued, KEY_BYTES, LogBounds, NotIssued, Quotas, Scope, Settings, Vault,
    Witness,
};
use serde_json::{Value, json};
use store::Store;
use wire::{Input, Operation};

type Failure = Box<dyn std::error::Error>;

/// Messages between two turns of the rules, fewer than wait in memory.
const ROUND: usize = 1000;

/// What a device reports, 262 bytes.
const REPORT: &str = r#"{"device":"plant-7","power":"on","mode":"eco","t":71.5,"humidity":45,"sensors":{"temperature":20.91,"humidity":47.1,"co2":608,"battery":3.7},"firmware":{"version":"2.4.0","channel":"stable"},"network":{"rssi":-63,"ssid":"hall","uptime":86472},"at":1700000000123}"#;

/// When everything happens.
const NOW: i64 = 1_700_000_000_000;

/// Issues nothing, and hears nothing.
struct Nobody;

impl Authority for Nobody {
    fn certificate_pem(&self) -> String {
        String::new()
    }

    fn issue_keys(&self, _: i64) -> Result<Issued, NotIssued> {
        Err(NotIssued::Failed("nobody is there".to_owned()))
    }

    fn server_certificate(&self, _: &str) -> Result<Vec<u8>, String> {
        Err("there are none".to_owned())
    }

    fn issue_for_request(&self, _: &str, _: i64) -> Result<Issued, NotIssued> {
        Err(NotIssued::Failed("nobody is there".to_owned()))
    }
}

impl Witness for Nobody {
    fn event(&self, event: Event) {
        black_box(event);
    }

    fn follows_publications(&self) -> bool {
        false
    }
}

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words.get(at).ok_or("usage: rules_heard RULES COUNT [together]").map(|word| word.parse());
    let (rules, count): (usize, usize) = (number(0)??, number(1)??);
    let together = words.get(2).is_some_and(|word| word == "together");
    let hall = |rule: usize| if together { 0 } else { rule };
    let house = house()?;
    let caller = Caller::new(Scope::new("000000000000", "us-east-1"), Identity::Key("key".to_owned()));
    let create = operation("CreateTopicRule")?;
    for rule in 0..rules {
        let payload = json!({
            "sql": format!("SELECT t AS celsius FROM 'plant/hall-{}/+/state' WHERE t > 20", hall(rule)),
            "awsIotSqlVersion": "2016-03-23",
            "actions": [{"sqs": {"roleArn": "arn:aws:iam::000000000000:role/r", "queueUrl": "http://q/1"}}],
        });
        let input = json!({"ruleName": format!("rule_{rule}"), "topicRulePayload": payload});
        call(&house, &caller, create, input, &Bytes::new())?;
    }
    let publish = operation("Publish")?;
    // As short as they come, or a report of several things, of which each rule looks at one.
    let payload = if together { REPORT } else { r#"{"t": 21, "unit": "C", "device": "sensor-7"}"# };
    let payload = Bytes::from_static(payload.as_bytes());
    let topics: Vec<Value> = (0..10.min(rules.max(1)))
        .map(|rule| json!({"topic": format!("plant/hall-{}/device-7/state", hall(rule)), "qos": 0}))
        .collect();
    let mut done = 0;
    for _ in 0..count / ROUND {
        publishes(&house, &caller, publish, &topics, &payload)?;
        done += evaluates(&house);
    }
    let heard = if together { rules } else { 1 };
    if done == count / ROUND * ROUND * heard { Ok(()) } else { Err(format!("{done} of {count} were heard").into()) }
}

#[inline(never)]
fn publishes(
    house: &House,
    caller: &Caller,
    publish: &'static Operation,
    topics: &[Value],
    payload: &Bytes,
) -> Result<(), Failure> {
    for topic in topics.iter().cycle().take(ROUND) {
        call(house, caller, publish, black_box(topic).clone(), payload)?;
    }
    Ok(())
}

/// How many actions came of what was published.
#[inline(never)]
fn evaluates(house: &House) -> usize {
    let mut done = 0;
    loop {
        let turn = house.rules_turn(NOW, 7);
        for deed in turn.deeds {
            black_box(&deed.effect);
            deed.ticket.settle(Ok(()));
            done += 1;
        }
        if turn.idle {
            return done;
        }
    }
}

fn house() -> Result<House, Failure> {
    let settings = Settings {
        endpoint: "localhost:8443".to_owned(),
        quotas: Quotas::Off,
        api: "http://127.0.0.1:4583".to_owned(),
        targets: Service::all().collect(),
        broker: broker::Settings::default(),
        logs: LogBounds { group_bytes: 1 << 20, all_bytes: 1 << 20 },
        functions: false,
        verifies: false,
        vault: Vault::new(&[7; KEY_BYTES]).ok_or("no vault")?,
    };
    Ok(House::new(Store::in_memory(), settings, Arc::new(Nobody), Arc::new(Nobody)))
}

fn operation(name: &str) -> Result<&'static Operation, Failure> {
    let mut all = wire::SERVICES.iter().flat_map(|service| service.operations.iter());
    Ok(all.find(|operation| operation.name == name).ok_or(format!("no operation {name}"))?)
}

fn call(
    house: &House,
    caller: &Caller,
    operation: &'static Operation,
    input: Value,
    payload: &Bytes,
) -> Result<(), Failure> {
    let answer = house.call(caller, operation, Input::of(input, payload.clone()), NOW, 7);
    answer.map(drop).map_err(|refusal| refusal.to_string().into())
}
