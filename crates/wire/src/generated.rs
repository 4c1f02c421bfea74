//! The models of the services, as `cargo xtask gen` prints them. Nothing here is written by hand.

/// AWS IoT's control plane: 272 operations.
pub mod iot;
/// The data plane: shadows, publications, connections.
pub mod iot_data;
/// The data plane of jobs.
pub mod iot_jobs_data;
