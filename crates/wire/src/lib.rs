//! What AWS operations look like over HTTP: the service models as tables, route lookup, binding and validation,
//! replies and errors, paging tokens, signatures. What operations do, and sockets, are unknown here.
//!
//! A request has a [`Form`], by which its operation is found and bound to an [`Input`] that a [`Request`] type reads; an
//! [`Output`] or a [`Refusal`] is put into the same form and comes out as status, headers and body.

mod bind;
pub mod cbor;
mod document;
mod form;
mod generated;
mod model;
pub mod page;
pub mod query;
mod refusal;
mod reply;
mod route;
pub mod s3;
pub mod sign;
mod validate;

pub use bind::{Arrived, bind};
pub use document::{Input, Output, Request};
pub use form::Form;
pub use generated::{cloudwatch, dynamodb, iam, iot, iot_data, iot_jobs_data, lambda, logs, secretsmanager, sts};
pub use model::{Cbor, Json, Member, Operation, Place, Protocol, Query, Segment, Service, Shape};
pub use refusal::Refusal;
pub use reply::{Reply, reply};
pub use route::{Found, route, services_for};

/// Every service: AWS IoT's own in order of age, then its neighbours.
pub static SERVICES: [&Service; 10] = [
    &iot::SERVICE,
    &iot_data::SERVICE,
    &iot_jobs_data::SERVICE,
    &lambda::SERVICE,
    &dynamodb::SERVICE,
    &logs::SERVICE,
    &cloudwatch::SERVICE,
    &iam::SERVICE,
    &sts::SERVICE,
    &secretsmanager::SERVICE,
];

/// The service whose requests are signed for this name; those of AWS IoT share one endpoint and are [`services_for`]'s.
pub fn service(signing_name: &str) -> Option<&'static &'static Service> {
    SERVICES.iter().skip(3).find(|service| service.signing_name == signing_name)
}

/// The service that an operation is of.
pub(crate) fn service_of(operation: &Operation) -> &'static Service {
    // Every operation is in the tables of a service, so the last word is never needed.
    SERVICES.into_iter().find(|service| service.name == operation.service).unwrap_or(&iot::SERVICE)
}
