//! How the house is set up: what differs between two of them that hold the same state, and the key that this state is sealed
//! with. Where the settings come from, and what else a server has to be told, is unknown here.

use mqtt::QoS;

use crate::actions::Targets;
use crate::vault::Vault;

/// Seconds that AWS keeps a session at most (mqtt.md §4).
const SESSION_EXPIRY_MOST: u32 = 604_800;

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
    /// Where the HTTP API answers, for links in what is sent out: `http://host:port`.
    pub api: String,
    /// The services that actions of rules reach somewhere else.
    pub targets: Targets,
    /// How the broker deviates from the specification, and its bounds.
    pub broker: broker::Settings,
    /// How much of logs is kept.
    pub logs: LogBounds,
    /// What the store holds of secrets is sealed with this, and so are the session tokens that are given out.
    pub vault: Vault,
    /// Whether somebody runs functions.
    pub functions: bool,
    /// Whether nobody is taken at his word: neither keys nor roles that were not made here.
    pub verifies: bool,
}

/// How many bytes of log events are kept; beyond them the oldest go.
#[derive(Clone, Debug)]
pub struct LogBounds {
    /// Of one log group.
    pub group_bytes: u64,
    /// Of all log groups of all accounts.
    pub all_bytes: u64,
}

impl LogBounds {
    /// So many bytes of all groups, and a quarter of that of one; a few batches are kept in any case.
    pub fn of(all_bytes: u64) -> Self {
        Self { group_bytes: (all_bytes / 4).max(4 << 20), all_bytes: all_bytes.max(4 << 20) }
    }
}

impl Settings {
    /// Whether the specification is followed where AWS deviates from it: nobody asked for AWS's limits.
    pub(crate) fn follows_specification(&self) -> bool {
        self.quotas == Quotas::Off
    }

    /// Seconds a session may outlive its connection.
    pub(crate) fn longest_expiry(&self) -> u32 {
        if self.follows_specification() { broker::FOR_EVER } else { SESSION_EXPIRY_MOST }
    }

    /// What this means for the brokers.
    pub(crate) fn of_brokers(&self) -> broker::Settings {
        broker::Settings {
            hash_matches_parent: self.broker.hash_matches_parent || self.follows_specification(),
            longest_expiry: self.longest_expiry(),
            maximum_qos: if self.quotas == Quotas::Aws { QoS::AtLeastOnce } else { self.broker.maximum_qos },
            ..self.broker.clone()
        }
    }
}
