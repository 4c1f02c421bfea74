//! AWS IoT's rule language: a statement is parsed and checked once, and evaluated for each message.
//! Pure: the message, the time, the entropy and the answers of whatever a function asks are passed in. Where messages come
//! from, and where what is selected goes, is not known here.

mod error;
#[allow(dead_code, reason = "until evaluation lands")]
mod json;
mod message;
#[allow(dead_code, reason = "until evaluation lands")]
mod number;
mod outcome;
mod statement;
mod version;
mod world;

pub use error::ParseError;
pub use message::{Message, Properties};
pub use outcome::{Failed, Outcome, Selected, Variables};
pub use statement::{MAX_BYTES, Statement, Template, Trace, Unrendered};
pub use version::{UnknownVersion, Version};
pub use world::{Call, Key, KeyValue, Nowhere, RegistryApi, Reply, SecretKind, World};
