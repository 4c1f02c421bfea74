//! An update, a condition and a projection of an item, and what becomes of it.
//! What is looked for stands beside the crate's tests; nothing of it is known here.

#![no_main]
#![allow(dead_code, reason = "the file of bodies serves several targets")]

#[path = "../../crates/cloud/tests/it/fuzz/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::expressions(input));
