//! The IoT policy language: may this principal do this action on this resource, and which statement says so.
//! Pure: the policies, the values of their variables and the time are passed in. It knows nothing about
//! certificates, HTTP, MQTT or storage; a certificate's common name is a variable like any other. IAM's documents, which are
//! written in nearly the same language, are read by [`iam`].
//!
//! ```
//! use std::sync::Arc;
//! use policy::{Context, Document, PolicySet, Request, Resource, Verdict, keys};
//!
//! let document = Document::parse(r#"{
//!     "Version": "2012-10-17",
//!     "Statement": [{
//!         "Effect": "Allow",
//!         "Action": "iot:Publish",
//!         "Resource": "arn:aws:iot:us-east-1:000000000000:topic/rooms/${iot:ClientId}/*"
//!     }]
//! }"#)?;
//! let mut context = Context::new();
//! context.set(keys::CLIENT_ID, "attic");
//! let set = PolicySet::compile([("rooms", Arc::new(document))], context);
//!
//! let topics = "arn:aws:iot:us-east-1:000000000000:topic/";
//! let ask = |topic| set.decide(&Request::new("iot:Publish", Resource::new(topics, topic), 0)).verdict;
//! assert_eq!(ask("rooms/attic/light"), Verdict::Allowed);
//! assert_eq!(ask("rooms/cellar/light"), Verdict::ImplicitDeny);
//! # Ok::<(), policy::Malformed>(())
//! ```

mod condition;
mod context;
mod decide;
mod document;
mod explain;
pub mod iam;
mod json;
mod lint;
mod pattern;
mod template;

pub use context::{Context, keys};
pub use decide::{Attached, Decision, PolicySet, Request, StatementRef, Verdict};
pub use document::{Document, Effect, MAX_BYTES, MAX_CHARACTERS, Malformed};
pub use explain::{ClauseReport, Explanation, ResourceReport, StatementReport, VariableReport};
pub use lint::{Home, Warning, lint};
pub use pattern::Resource;
pub use template::literal;
