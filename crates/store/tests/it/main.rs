//! The store through its door: one body of tests over every engine, a model to compare with, and a real
//! process that is really killed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod engines;
mod killed;
mod model;
mod on_disk;
