//! What AWS operations look like over HTTP: the service models as tables, route lookup, binding and validation,
//! replies and errors, paging tokens, signatures. What operations do, and sockets, are unknown here.
//!
//! A request goes through [`route`], then [`bind`], and comes out as an [`Input`] that a [`Request`] type reads; an
//! [`Output`] or a [`Refusal`] goes through [`reply`] and comes out as status, headers and body.

mod bind;
mod document;
mod generated;
mod model;
pub mod page;
pub mod query;
mod refusal;
mod reply;
mod route;
pub mod sign;
mod validate;

pub use bind::{Arrived, MAX_BODY_BYTES, bind};
pub use document::{Input, Output, Request};
pub use generated::{iot, iot_data, iot_jobs_data};
pub use model::{Member, Operation, Place, Segment, Service, Shape};
pub use refusal::Refusal;
pub use reply::{Reply, reply};
pub use route::{Found, route, services_for};

/// Every service, in order of age.
pub static SERVICES: [&Service; 3] = [&iot::SERVICE, &iot_data::SERVICE, &iot_jobs_data::SERVICE];
