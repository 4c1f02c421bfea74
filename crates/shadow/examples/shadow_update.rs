//! The price of one shadow update, to be counted from outside in instructions.
//!
//! ```text
//! valgrind --tool=callgrind target/release/examples/shadow_update update 2000
//! ```
//!
//! All modes work on the same stored shadow, whose state is 499 bytes of compact JSON, and on the same request, in
//! which a device reports all of its section (271 bytes; with `small` as a third argument, one reading, 66 bytes):
//!
//! - `update`: from record and request to everything an accepted update makes: decode the stored record, read and check
//!   the request, merge, and print the new record, accepted, delta and documents.
//! - `request`: the peer by the strictest reading. serde_json parses the request into a `Value` and prints it, once.
//! - `both`: the peer that also holds a document. serde_json parses and prints the request and the stored state, once
//!   each; it merges nothing, and knows no metadata.
//! - `none`: no work, for the cost of starting; take it away from the others.
//!
//! The second argument says how many times. serde_json is compiled as the workspace has it, with `preserve_order`; with
//! its default features it takes about a quarter less. Nothing here knows how the counting is done.

use serde_json::Value;
use shadow::{Document, Limits};
use std::hint::black_box;

const FIRST: &[u8] = br#"{"state":{
    "desired":{"power":"on","mode":"eco","target":{"temperature":21.5,"humidity":45},"schedule":["06:30","08:15","17:00","22:45"],
        "firmware":{"version":"2.4.1","channel":"stable"},"reporting":{"interval":60,"verbose":false}},
    "reported":{"power":"on","mode":"comfort","target":{"temperature":21.0,"humidity":45},"sensors":{"temperature":20.87,"humidity":47.2,"co2":612,"battery":3.71},
        "firmware":{"version":"2.4.0","channel":"stable"},"network":{"rssi":-61,"ssid":"plant-7","uptime":86412},"errors":[]}}}"#;

const REPORT: &[u8] = br#"{"state":{"reported":{"power":"on","mode":"eco","target":{"temperature":21.5,"humidity":45},"sensors":{"temperature":20.91,"humidity":47.1,"co2":608,"battery":3.7},"firmware":{"version":"2.4.0","channel":"stable"},"network":{"rssi":-63,"ssid":"plant-7","uptime":86472}}}}"#;

const SMALL: &[u8] = br#"{"state":{"reported":{"sensors":{"temperature":20.91,"co2":608}}}}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mode = arguments.first().map_or("update", String::as_str);
    let count: u32 = arguments.get(1).map_or(Ok(1000), |count| count.parse())?;
    let request = if arguments.iter().any(|argument| argument == "small") { SMALL } else { REPORT };

    let limits = Limits::default();
    let record = shadow::update(None, FIRST, 1_700_000_000, &limits)?.record;
    let state = serde_json::to_vec(&serde_json::from_slice::<Value>(FIRST)?["state"])?;
    for _ in 0..count {
        match mode {
            "update" => {
                let stored = Document::decode(black_box(&record))?;
                black_box(shadow::update(Some(stored), black_box(request), 1_700_000_060, &limits)?);
            }
            "request" => parse_and_print(request)?,
            "both" => {
                parse_and_print(request)?;
                parse_and_print(&state)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn parse_and_print(text: &[u8]) -> serde_json::Result<()> {
    let value: Value = serde_json::from_slice(black_box(text))?;
    black_box(serde_json::to_vec(&value)?);
    Ok(())
}
