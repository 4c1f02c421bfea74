//! A body of CBOR for some operations of a service that takes it.
//! What is looked for stands beside the crate's tests; nothing of it is known here.

#![no_main]
#![allow(dead_code, reason = "the file of bodies serves several targets")]

#[path = "../../crates/wire/tests/it/fuzz/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::cbor(input));
