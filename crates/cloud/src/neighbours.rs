//! Services beside AWS IoT that its walkthroughs call, as far as they do: each refuses the rest by name.

pub(crate) mod logs;
pub mod sts;
