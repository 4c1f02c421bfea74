//! AWS IoT's rule language: a statement is parsed and checked once, and evaluated for each message.
//! Pure: the message, the time, the entropy and the answers of whatever a function asks are passed in. Where messages come
//! from, and where what is selected goes, is not known here.

mod convert;
mod error;
mod evaluate;
mod expression;
mod functions;
mod json;
mod lex;
mod message;
mod number;
mod outcome;
mod parse;
mod pattern;
mod print;
mod proto;
mod statement;
mod template;
mod time;
mod trace;
mod value;
mod version;
mod world;

pub use error::ParseError;
pub use message::{Message, Properties};
pub use outcome::{Failed, Outcome, Selected, Variables};
pub use statement::{MAX_BYTES, Statement};
pub use template::{Template, Unrendered};
pub use trace::{Clause, Step, Trace, Verdict};
pub use version::{UnknownVersion, Version};
pub use world::{Call, Key, KeyValue, Nowhere, RegistryApi, Reply, SecretKind, World};
