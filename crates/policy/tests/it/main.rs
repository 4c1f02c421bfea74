//! The policy language through its public door: a table of decisions with the statement that made each, and the laws that
//! hold for all documents.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

mod decisions;
mod explanations;
mod fuzz;
mod laws;
