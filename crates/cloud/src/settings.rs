//! How the house is set up: what differs between two of them that hold the same state. Where the settings come from, and what
//! else a server has to be told, is unknown here.

/// How strictly AWS's quotas are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotas {
    /// Not looked at.
    Off,
    /// Let through, and told what AWS would have refused.
    Warn,
    /// Refused as AWS does.
    Aws,
}

/// How the house is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What `DescribeEndpoint` answers: `host` or `host:port`.
    pub endpoint: String,
    /// How strictly quotas are kept.
    pub quotas: Quotas,
    /// How the broker deviates from the specification, and its bounds.
    pub broker: broker::Settings,
}
