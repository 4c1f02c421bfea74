//! What every connection shares: the house and the desk before it, the listeners of events, the clock and the randomness. It
//! does not know how any of it is opened or closed.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand;
use cloud::{Event, House, Kind, Refused, Scope, Witness as _};
use tokio::sync::watch;
use wire::Refusal;

use crate::desk::Desk;
use crate::effects::Effects;
use crate::events::Events;
use crate::functions::Functions;
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::operator::Operator;
use crate::tls::Doors;

/// What every connection shares.
pub(crate) struct Server {
    pub(crate) house: Arc<House>,
    pub(crate) desk: Desk,
    pub(crate) effects: Effects,
    pub(crate) events: Arc<Events>,
    pub(crate) metrics: Arc<Metrics>,
    /// Turns true when the server stops.
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) doors: Doors,
    pub(crate) objects: Objects,
    pub(crate) functions: Functions,
    /// The key of the commands.
    pub(crate) operator: Operator,
    /// Whether a key that nobody made here is refused.
    pub(crate) verifies: bool,
    /// Connections that may be open at a time.
    pub(crate) max_connections: usize,
    /// Never sent on: it closes when the last connection lets go of the server.
    pub(crate) _open: watch::Sender<()>,
}

impl Server {
    /// Milliseconds since the epoch.
    #[expect(clippy::unused_self, reason = "the clock is the server's, so that it can be moved one day")]
    pub(crate) fn now(&self) -> i64 {
        now_ms()
    }

    /// Sixteen random bytes.
    #[expect(clippy::unused_self, reason = "randomness is the server's, as the clock is")]
    pub(crate) fn entropy(&self) -> u128 {
        entropy()
    }

    /// A UUID for an HTTP answer.
    pub(crate) fn request_id(&self) -> String {
        cloud::uuid(self.entropy())
    }

    /// The scope of a device that came over HTTPS. One that is not registered is refused here, with an event.
    pub(crate) fn scope_of(&self, certificate_id: &str, server_name: Option<&str>, ip: &str) -> Result<Scope, Refusal> {
        match self.house.scope_of(certificate_id, server_name) {
            Ok(Some(scope)) => Ok(scope),
            Ok(None) => {
                let reason = "the certificate is not registered here";
                self.refused(Refused {
                    principal: certificate_id.to_owned(),
                    action: "HTTPS".to_owned(),
                    decision: "UNKNOWN_CERTIFICATE".to_owned(),
                    reason: reason.to_owned(),
                    peer: ip.to_owned(),
                    ..Refused::default()
                });
                Err(Refusal::forbidden(reason))
            }
            Err(fault) => {
                tracing::error!(%fault, "failed to look up a certificate");
                Err(Refusal::internal_failure("An internal failure occurred; the server's log says more."))
            }
        }
    }

    /// Tells a refusal of somebody whose account is not known.
    pub(crate) fn refused(&self, refused: Refused) {
        let kind = Kind::Refusal(refused);
        self.events.event(Event { at: self.now(), account: String::new(), region: String::new(), kind });
    }
}

/// Sixteen random bytes.
pub(crate) fn entropy() -> u128 {
    let mut bytes = [0; 16];
    // The system's generator does not fail once it is seeded; if it ever did, ids would still differ by time.
    if rand::fill(&mut bytes).is_err() {
        return u128::from(now_ms().unsigned_abs());
    }
    u128::from_le_bytes(bytes)
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
