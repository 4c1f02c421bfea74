//! Whence a request or a message comes, for whoever asks later: rules, and operations about the caller. Whether it may do what
//! it does has been decided by then, elsewhere.

use crate::caller::Identity;

/// Whence a request or a message comes.
#[allow(dead_code, reason = "rules will ask")]
#[derive(Clone, Debug, Default)]
pub(crate) enum Origin {
    /// The house itself: a shadow's answer, a lifecycle event, a rule.
    #[default]
    House,
    /// An operation over HTTP.
    Caller(Identity),
    /// A client over MQTT.
    Client {
        /// Its MQTT client identifier.
        client_id: String,
        /// The certificate's id, or the access key's.
        principal: String,
        /// The address it comes from, without the port.
        source_ip: String,
    },
}

#[allow(dead_code, reason = "rules will ask")]
impl Origin {
    /// The MQTT client identifier, if it is a client.
    pub(crate) fn client_id(&self) -> Option<&str> {
        match self {
            Self::Client { client_id, .. } => Some(client_id),
            Self::House | Self::Caller(_) => None,
        }
    }

    /// The certificate's id, the access key's, or the id of a role and its session.
    pub(crate) fn principal(&self) -> Option<&str> {
        match self {
            Self::House => None,
            Self::Caller(Identity::Key(key)) => Some(key),
            Self::Caller(Identity::Role(session)) => Some(&session.user_id),
            Self::Caller(Identity::Device { certificate_id, .. }) => Some(certificate_id),
            Self::Client { principal, .. } => Some(principal),
        }
    }

    /// The address it comes from.
    pub(crate) fn source_ip(&self) -> Option<&str> {
        match self {
            Self::Caller(Identity::Device { source_ip, .. }) | Self::Client { source_ip, .. } => Some(source_ip),
            Self::House | Self::Caller(Identity::Key(_) | Identity::Role(_)) => None,
        }
    }
}
