//! A document of IAM's, and whom it trusts.
//! What is looked for stands beside the crate's tests; nothing of it is known here.

#![no_main]
#![allow(dead_code, reason = "the file of bodies serves several targets")]

#[path = "../../crates/policy/tests/it/fuzz/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::iam_documents(input));
