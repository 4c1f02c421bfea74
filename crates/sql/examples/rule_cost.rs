//! The price of one evaluated message, to be counted from outside in instructions.
//!
//! ```text
//! valgrind --tool=callgrind target/release/examples/rule_cost filter 2000
//! ```
//!
//! The first argument names one of five statements of kinds that rules often are, each with the payload that it is evaluated
//! against: one of 272 bytes that a device reports, or one of 329 bytes with a list in it. With `peer` after the count, it is the
//! peer that works on the same payload: serde_json parses it into a `Value`, once, and evaluates nothing. With `shared`, ten
//! evaluations after each other are given the same payload, as ten rules are that hear one message. The statement is parsed once,
//! before; a count of 0 gives the cost of starting.
//!
//! serde_json is compiled as the workspace has it, with `preserve_order`. Nothing here knows how the counting is done.

use std::hint::black_box;

use bytes::Bytes;
use serde_json::Value;
use sql::{Message, Nowhere, Payload, Properties, Statement, Version};

const REPORT: &str = r#"{"device":"plant-7","power":"on","mode":"eco","temperature":71.5,"humidity":45,"sensors":{"temperature":20.91,"humidity":47.1,"co2":608,"battery":3.7},"firmware":{"version":"2.4.0","channel":"stable"},"network":{"rssi":-63,"ssid":"hall","uptime":86472},"at":1700000000123}"#;

const LIST: &str = r#"{"device":"plant-7","e":[{"n":"temperature","u":"Cel","t":1234,"v":22.5},{"n":"light","u":"lm","t":1235,"v":135},{"n":"acidity","u":"pH","t":1235,"v":7},{"n":"humidity","u":"%RH","t":1236,"v":45.25},{"n":"pressure","u":"hPa","t":1236,"v":1013.2},{"n":"battery","u":"V","t":1237,"v":3.71},{"n":"rssi","u":"dBm","t":1237,"v":-63}]}"#;

/// Statements by name, with their payloads.
const STATEMENTS: [(&str, &str, &str); 5] = [
    ("filter", "SELECT temperature, humidity FROM 'plants/+/report' WHERE temperature > 50", REPORT),
    ("enrich", "SELECT *, topic(2) AS plant, timestamp() AS received FROM 'plants/+/report'", REPORT),
    (
        "compute",
        "SELECT (temperature - 32) * 5 / 9 AS celsius, upper(device) AS id, sensors.co2 AS co2 FROM 'plants/+/report' \
         WHERE mode = 'eco' AND sensors.battery > 3.5",
        REPORT,
    ),
    ("query", "SELECT device, (SELECT n, v FROM e WHERE v > 20) AS e FROM 'plants/+/report'", LIST),
    (
        "choose",
        "SELECT CASE mode WHEN 'eco' THEN 1 WHEN 'comfort' THEN 2 ELSE 0 END AS mode, network.rssi, \
         concat(device, '/', firmware.version) AS unit FROM 'plants/+/report' \
         WHERE regexp_matches(device, '^plant-[0-9]+$') AND NOT power = 'off'",
        REPORT,
    ),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments.first().map_or("filter", String::as_str);
    let count: u32 = arguments.get(1).map_or(Ok(1000), |count| count.parse())?;
    let is_peer = arguments.iter().any(|argument| argument == "peer");
    let found = STATEMENTS.into_iter().find(|(known, ..)| *known == name);
    let (_, sql, payload) = found.ok_or("there is no statement of that name")?;
    let statement = Statement::parse(sql, Version::V20160323)?;
    let bytes = Bytes::from_static(payload.as_bytes());
    let message = Message {
        topic: "plants/hall/report",
        payload: &Payload::from(bytes.clone()),
        client_id: Some("plant-7"),
        principal: None,
        source_ip: Some("192.0.2.1"),
        trace_id: None,
        account: "123456789012",
        region: "eu-west-1",
        now: 1_700_000_000_123,
        seed: 7,
        properties: Properties::default(),
    };
    let mut payload = Payload::from(bytes.clone());
    let shared = arguments.iter().any(|argument| argument == "shared");
    for index in 0..count {
        if is_peer {
            black_box(serde_json::from_slice::<Value>(black_box(&bytes))?);
        } else {
            if !shared || index % 10 == 0 {
                // Another one, of which nothing is known yet.
                payload = Payload::from(bytes.clone());
            }
            black_box(statement.evaluate(black_box(&Message { payload: &payload, ..message }), &mut Nowhere));
        }
    }
    Ok(())
}
