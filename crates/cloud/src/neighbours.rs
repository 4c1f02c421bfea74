//! Services beside AWS IoT that its walkthroughs call, as far as they do; the rest answers 501 by name, as it
//! does everywhere. Knows no noun of AWS IoT.

pub(crate) mod functions;
pub(crate) mod iam;
pub(crate) mod logs;
pub(crate) mod metrics;
pub mod objects;
pub(crate) mod secrets;
pub(crate) mod sts;
pub(crate) mod tables;
