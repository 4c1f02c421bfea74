//! A payload, under statements that look at all of it.
//! What is looked for stands beside the crate's tests; nothing of it is known here.

#![no_main]
#![allow(dead_code, reason = "the file of bodies serves several targets")]

#[path = "../../crates/sql/tests/it/fuzz/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::payloads(input));
