//! The tests of the policy language through its public door.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

mod decisions;
mod explanations;
mod laws;
