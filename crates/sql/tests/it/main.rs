//! The rule language through its public door: tables of expressions, statements and refusals, and the laws that hold for
//! all texts and messages.

#![expect(clippy::panic, reason = "a test that cannot go on says so")]

mod cases;
mod world;
