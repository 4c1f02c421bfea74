//! The broker through its public door: packets in, packets out, in virtual time and without a store.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

mod bounds;
mod coming;
mod house;
mod keeping;
mod listening;
mod model;
mod receiving;
mod sending;
mod sharing;
mod threads;
