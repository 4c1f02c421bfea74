//! Where clients connect: every kind of endpoint is this one server (registry.md §13). Which address that is, and what
//! listens there, are unknown here; the settings say it.

use wire::Refusal;
use wire::iot::{DescribeEndpointRequest, DescribeEndpointResponse};

use crate::operation::{Answer, Op, ops};
use crate::scope::Read;

pub(crate) const OPS: &[Op] = ops! {
    read describe_endpoint on any;
};

/// The kinds that this server is. Device Advisor and the beta endpoints are AWS's own and are not recognized.
const TYPES: [&str; 4] = ["iot:Data", "iot:Data-ATS", "iot:CredentialProvider", "iot:Jobs"];

fn describe_endpoint(db: Read, input: &DescribeEndpointRequest) -> Answer<DescribeEndpointResponse> {
    match input.endpoint_type() {
        Some(asked) if !TYPES.contains(&asked) => {
            Err(Refusal::invalid_request(format!("Endpoint type {asked} not recognized.")).into())
        }
        _ => Ok(DescribeEndpointResponse::new().with_endpoint_address(&db.cx.settings.endpoint)),
    }
}
