//! AWS IoT's rule language: a statement is parsed and checked once, and evaluated for each message.
//! Pure: the message, the time, the entropy and the answers of whatever a function asks are passed in. Where messages come
//! from, and where what is selected goes, is not known here.
//!
//! ```
//! use bytes::Bytes;
//! use sql::{Message, Nowhere, Outcome, Payload, Properties, Statement, Version};
//!
//! let text = "SELECT temperature AS t, topic(2) AS room FROM 'rooms/+/air' WHERE temperature > 25";
//! let statement = Statement::parse(text, Version::V20160323)?;
//! assert_eq!(statement.filter(), Some("rooms/+/air"));
//!
//! let payload = Payload::from(Bytes::from_static(br#"{"temperature":26.50}"#));
//! let message = Message {
//!     topic: "rooms/attic/air",
//!     payload: &payload,
//!     client_id: Some("sensor-7"),
//!     principal: None,
//!     source_ip: None,
//!     trace_id: None,
//!     account: "000000000000",
//!     region: "us-east-1",
//!     now: 1_700_000_000_000,
//!     seed: 7,
//!     properties: Properties::default(),
//! };
//! let Outcome::Selected(selected) = statement.evaluate(&message, &mut Nowhere) else { panic!() };
//! assert_eq!(&*selected.payload, br#"{"t":26.50,"room":"attic"}"#);
//! # Ok::<(), sql::ParseError>(())
//! ```
//!
//! Citations such as (rules.md §3) are to the project's fact sheet on rules. Where AWS's behaviour is not known, the comment says
//! `unconfirmed:` and gives the choice; `docs/rules-sql.md` lists them.

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
pub use message::{Message, Payload, Properties};
pub use outcome::{Failed, Outcome, Selected, Variables};
pub use statement::{MAX_BYTES, Statement};
pub use template::{Template, Unrendered};
pub use trace::{Clause, Step, Trace, Verdict};
pub use version::{UnknownVersion, Version};
pub use world::{Call, Key, KeyValue, Nowhere, RegistryApi, Reply, SecretKind, World};
