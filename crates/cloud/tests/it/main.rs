//! The nouns as a caller meets them: whole operations on a whole house, in virtual time.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "helpers of tests are tests too, and `json!` makes values"
)]

mod actions;
mod authorizations;
mod billing_groups;
mod ca_certificates;
mod certificates;
mod connections;
mod device;
mod domain_configurations;
mod effects;
mod endpoints;
mod exchanges;
mod functions;
mod fuzz;
mod house;
mod iam;
mod just_in_time;
mod left_behind;
mod lifecycle;
mod logging;
mod logs;
mod messages;
mod metrics;
mod objects;
mod permissions;
mod pki;
mod policies;
mod principals;
mod propagation;
mod quotas;
mod reaching;
mod refused_items;
mod registry_events;
mod registry_model;
mod retained;
mod role_aliases;
mod rules;
mod secrets;
mod seeds;
mod sessions;
mod shadows;
mod sts;
mod tables;
mod tags;
mod thing_groups;
mod thing_types;
mod things;
mod transfers;
mod trials;
mod why;
