//! The rule language through its public door: tables of expressions, statements and refusals, and the laws that hold for
//! all texts and messages.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

mod bounds;
mod cases;
mod circumstances;
mod fuzz;
mod laws;
mod templates;
mod traces;
mod world;
