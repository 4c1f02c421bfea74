//! Whence a request or a message comes, for whoever asks later: rules, and operations about the caller. Whether it may do what
//! it does has been decided by then, elsewhere.

use crate::caller::{Caller, Identity};

/// Whence a request or a message comes. What the house does by itself, such as a shadow's answer to itself, has none of these.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// Who called an operation over HTTP.
    pub(crate) caller: Option<Identity>,
    /// The MQTT client identifier.
    pub(crate) client_id: Option<String>,
    /// The certificate's id, the access key's, or the id of a role and its session.
    pub(crate) principal: Option<String>,
    /// The address it comes from, without the port.
    pub(crate) source_ip: Option<String>,
    /// Whether it came over TLS, if it is an operation over HTTP.
    pub(crate) secure: bool,
    /// How many rules it has gone through on its way.
    pub(crate) hops: u8,
}

impl Origin {
    /// An operation over HTTP.
    pub(crate) fn of_caller(caller: &Caller) -> Self {
        let Caller { identity, whence, .. } = caller;
        let known = Some(whence.ip.clone()).filter(|ip| !ip.is_empty());
        let (principal, source_ip) = match identity {
            Identity::Key(key) => (key, known),
            Identity::User(user) => (&user.id, known),
            Identity::Role(session) => (&session.user_id, known),
            Identity::Device { certificate_id, source_ip } => (certificate_id, Some(source_ip.clone())),
        };
        let (caller, principal, secure) = (Some(identity.clone()), Some(principal.clone()), whence.secure);
        Self { caller, principal, source_ip, secure, ..Self::default() }
    }

    /// A client over MQTT.
    pub(crate) fn of_client(client_id: &str, principal: &str, source_ip: &str) -> Self {
        let own = |text: &str| Some(text.to_owned());
        let (client_id, principal, source_ip) = (own(client_id), own(principal), own(source_ip));
        Self { client_id, principal, source_ip, ..Self::default() }
    }

    /// A rule, which publishes what it made of a message that came from here. Neither the client nor its address are known
    /// any more (rules.md §3).
    pub(crate) fn of_rule(&self) -> Self {
        Self { hops: self.hops.saturating_add(1), ..Self::default() }
    }
}
