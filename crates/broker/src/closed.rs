//! How a connection ended, and what follows from it for the client and for its will. What AWS calls each end is not
//! known here.

use mqtt::ReasonCode;

/// How a connection ended. The first reason wins, unless the client had left before it came again and its goodbye is only read
/// after that: then it has not been displaced, and its will is not published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The client said DISCONNECT; whether its will is published all the same (any reason but 0x00).
    ByClient {
        /// DISCONNECT with Will Message, or with an error.
        with_will: bool,
    },
    /// The client broke the protocol.
    ClientError {
        /// The reason code told to an MQTT 5 client.
        reason: ReasonCode,
        /// What was wrong, for the log and the reason string.
        message: String,
    },
    /// The connection was lost without a DISCONNECT.
    ConnectionLost,
    /// Silence of one and a half times the keep-alive [MQTT-3.1.2-22].
    KeepAliveTimeout,
    /// Another connection with the same client identifier.
    TakenOver,
    /// A policy denied something that ends the connection, or the identity was withdrawn.
    Forbidden(String),
    /// The client did not read or acknowledge what was sent to it.
    TooSlow,
    /// The client did more than it may in a while; the limit in words.
    Throttled(String),
    /// Somebody with the right to do so ended it.
    ByOperator {
        /// Whether the will is withheld.
        without_will: bool,
    },
    /// The credentials of the connection have run out.
    Expired,
    /// The server stops.
    ServerStops,
    /// The server failed at something it owed this client; what, for the log.
    ServerFault(String),
}

impl Closed {
    /// The reason code of the DISCONNECT that an MQTT 5 client gets; none when the client closed.
    pub fn reason(&self) -> Option<ReasonCode> {
        match self {
            Self::ByClient { .. } | Self::ConnectionLost => None,
            Self::ClientError { reason, .. } => Some(*reason),
            Self::KeepAliveTimeout => Some(ReasonCode::KeepAliveTimeout),
            Self::TakenOver => Some(ReasonCode::SessionTakenOver),
            Self::Forbidden(_) => Some(ReasonCode::NotAuthorized),
            Self::TooSlow | Self::Throttled(_) => Some(ReasonCode::QuotaExceeded),
            Self::ByOperator { .. } => Some(ReasonCode::AdministrativeAction),
            Self::Expired => Some(ReasonCode::MaximumConnectTime),
            Self::ServerStops => Some(ReasonCode::ServerShuttingDown),
            Self::ServerFault(_) => Some(ReasonCode::UnspecifiedError),
        }
    }

    /// What the reason string says.
    pub(crate) fn words(&self) -> Option<&str> {
        match self {
            Self::ClientError { message, .. } | Self::Forbidden(message) | Self::Throttled(message) => Some(message),
            _ => None,
        }
    }

    /// Whether the will is published: always but after a plain DISCONNECT [MQTT-3.1.2-10] or on demand.
    pub fn publishes_will(&self) -> bool {
        !matches!(self, Self::ByClient { with_will: false } | Self::ByOperator { without_will: true })
    }
}
