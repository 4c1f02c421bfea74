//! Host names of domain configurations at the TLS doors: which certificate is shown to who asks for one, and whether what
//! they are about to speak is what the configuration allows. What else holds for an account is the house's affair.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use cloud::{ApplicationProtocol, Authentication, Domain, House, SecurityPolicy};
use wire::Refusal;
use wire::sign::{self, Signable};

use crate::ca::{Current, IdentityFiles};
use crate::reload::Stamp;
use crate::server::now_ms;
use crate::tls::{Protocol, Ways, ways};

/// Host names whose ways in are kept ready; were there ever more, they would be made anew.
const MOST: usize = 1000;

/// How old the certificate of a name that the server made up may become, in milliseconds; it is valid twice as long.
const AGE: i64 = 400 * 24 * 3600 * 1000;

/// A host name that is known: what holds for it, and the ways in.
pub(crate) struct Named {
    pub(crate) domain: Arc<Domain>,
    pub(crate) ways: Ways,
}

/// Why a host name leads nowhere: the word of the refusal event, and the reason.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) decision: &'static str,
    pub(crate) reason: String,
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Closed {}

/// What is shown: the operator's certificate of this account and name, or one of our own for a host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Source {
    Operator(String),
    Own(String),
}

struct Ready {
    ways: Ways,
    /// Of the operator's files as they were read.
    stamp: Option<Stamp>,
    /// Of files that could not be taken up since, told once.
    spoilt: Option<Stamp>,
    made: i64,
}

/// All host names that are known.
pub(crate) struct Domains {
    house: Arc<House>,
    authority: Arc<Current>,
    dir: PathBuf,
    ready: Mutex<HashMap<(Source, SecurityPolicy), Ready>>,
}

impl std::fmt::Debug for Domains {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Domains { .. }")
    }
}

impl Domains {
    /// Those of a house, with the operator's certificates in the data directory.
    pub(crate) fn new(house: Arc<House>, authority: Arc<Current>, dir: PathBuf) -> Self {
        Self { house, authority, dir, ready: Mutex::default() }
    }

    /// What holds for a host name; nothing in particular for one that is none of a domain configuration.
    pub(crate) fn find(&self, host: &str) -> Result<Option<Named>, Closed> {
        let found = self.house.domain(host).map_err(|fault| {
            tracing::error!(%fault, "failed to look up a domain configuration");
            Closed { decision: "FAULT", reason: "its domain configuration could not be read".to_owned() }
        })?;
        let Some(domain) = found else { return Ok(None) };
        if !domain.enabled {
            let name = &domain.name;
            let reason = format!(
                "the domain configuration {name} is DISABLED; `aws iot update-domain-configuration \
                 --domain-configuration-name {name} --domain-configuration-status ENABLED` opens it"
            );
            return Err(Closed { decision: "DISABLED_DOMAIN", reason });
        }
        let ways = self.ways(&domain).map_err(|why| Closed {
            decision: "NO_SERVER_CERTIFICATE",
            reason: format!("the domain configuration {} has no certificate to show: {why}", domain.name),
        })?;
        Ok(Some(Named { domain: Arc::new(domain), ways }))
    }

    /// The authority is another: what it had certified is certified anew.
    pub(crate) fn forget(&self) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.retain(|(source, _), _| matches!(source, Source::Operator(_)));
    }

    fn ways(&self, domain: &Domain) -> Result<Ways, String> {
        let source = match &domain.certificate {
            Some(name) => Source::Operator(name.clone()),
            None => Source::Own(domain.host.clone()),
        };
        let (key, now) = ((source, domain.security), now_ms());
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = match &key.0 {
            Source::Operator(name) => Some(IdentityFiles::of_domain(&self.dir, name).stamp()),
            Source::Own(_) => None,
        };
        let old = ready.get_mut(&key);
        if let Some(old) = &old
            && (old.stamp == stamp || (stamp.is_some() && old.spoilt == stamp))
            && (stamp.is_some() || now - old.made < AGE)
        {
            return Ok(Arc::clone(&old.ways));
        }
        match (self.make(&key.0, key.1), old) {
            (Ok(ways), _) => {
                if ready.len() >= MOST {
                    ready.clear();
                }
                let entry = Ready { ways: Arc::clone(&ways), stamp, spoilt: None, made: now };
                ready.insert(key, entry);
                Ok(ways)
            }
            (Err(why), Some(old)) => {
                tracing::error!(why, "failed to take up a domain's new certificate; the one before stays");
                old.spoilt = stamp;
                Ok(Arc::clone(&old.ways))
            }
            (Err(why), None) => Err(why),
        }
    }

    fn make(&self, source: &Source, security: SecurityPolicy) -> Result<Ways, String> {
        let identity = match source {
            Source::Operator(name) => IdentityFiles::of_domain(&self.dir, name).identity(),
            Source::Own(host) => self.authority.issue_for_server(std::slice::from_ref(host), now_ms()),
        };
        let identity = identity.map_err(|error| error.to_string())?;
        ways(&identity, security).map_err(|error| error.to_string())
    }
}

/// Whether a domain lets in who is about to speak this on a connection, and has shown a certificate or not.
pub(crate) fn admit(domain: &Domain, protocol: Protocol, certified: bool) -> Result<(), Closed> {
    use ApplicationProtocol::{Default, Https, Mqtt, WebSocket};
    let closed = |decision, reason: &str| {
        let (name, speaks, shows) = (&domain.name, domain.protocol.word(), domain.authentication.word());
        let said = format!("the domain configuration {name} says {speaks} and {shows}: {reason}");
        Err(Closed { decision, reason: said })
    };
    match (domain.protocol, protocol) {
        (Default, _) | (Mqtt, Protocol::Mqtt) | (WebSocket | Https, Protocol::Http) => {}
        (Mqtt, Protocol::Http) => return closed("NOT_OF_DOMAIN", "HTTP is not spoken here"),
        (WebSocket | Https, Protocol::Mqtt) => return closed("NOT_OF_DOMAIN", "MQTT over TLS is not spoken here"),
    }
    match domain.authentication {
        Authentication::X509 if !certified => closed("NO_CERTIFICATE", "the client presented no certificate"),
        Authentication::Sigv4 if protocol == Protocol::Mqtt => {
            closed("NOT_OF_DOMAIN", "a signature is shown over HTTP only")
        }
        _ => Ok(()),
    }
}

/// Whether a domain lets a request in: by what it speaks, and by what it shows.
pub(crate) fn admit_request(domain: &Domain, signable: &Signable<'_>, websocket: bool) -> Result<(), Refusal> {
    use ApplicationProtocol::{Default, Https, Mqtt, WebSocket};
    let name = &domain.name;
    let refused = |why: &str| Err(Refusal::forbidden(format!("The domain configuration {name} does not allow {why}.")));
    match (domain.protocol, websocket) {
        (Default, _) | (WebSocket, true) | (Https, false) => {}
        (Mqtt, _) => return refused("HTTP"),
        (WebSocket, false) => return refused("anything but MQTT over WebSockets"),
        (Https, true) => return refused("WebSockets"),
    }
    // What claims to be signed and is not so rightly is refused where signatures are looked at.
    let signed = !matches!(sign::credential(signable), Ok(None));
    match (domain.authentication, signed) {
        (Authentication::X509, true) => refused("signed requests, only client certificates"),
        (Authentication::Sigv4, false) => refused("requests that are not signed"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use cloud::Scope;

    use super::*;

    fn domain(protocol: ApplicationProtocol, authentication: Authentication) -> Domain {
        Domain {
            name: "plant".to_owned(),
            scope: Scope::new("000000000000", "us-east-1"),
            host: "iot.plant.example".to_owned(),
            enabled: true,
            certificate: None,
            security: SecurityPolicy::default(),
            authentication,
            protocol,
        }
    }

    #[test]
    fn a_connection_is_let_in_by_what_it_speaks_and_shows() {
        use ApplicationProtocol as Speaks;
        use Authentication as Shows;
        use Protocol::{Http, Mqtt};
        let cases = [
            (Speaks::Default, Shows::Default, Mqtt, true, ""),
            (Speaks::Default, Shows::Default, Http, false, ""),
            (Speaks::Mqtt, Shows::X509, Mqtt, true, ""),
            (Speaks::Mqtt, Shows::X509, Http, true, "NOT_OF_DOMAIN"),
            (Speaks::Https, Shows::Default, Http, false, ""),
            (Speaks::Https, Shows::X509, Http, false, "NO_CERTIFICATE"),
            (Speaks::Https, Shows::X509, Mqtt, true, "NOT_OF_DOMAIN"),
            (Speaks::WebSocket, Shows::Sigv4, Http, false, ""),
            (Speaks::WebSocket, Shows::Sigv4, Mqtt, true, "NOT_OF_DOMAIN"),
            (Speaks::Default, Shows::Sigv4, Mqtt, true, "NOT_OF_DOMAIN"),
            (Speaks::Default, Shows::X509, Http, false, "NO_CERTIFICATE"),
        ];
        for (speaks, shows, protocol, certified, expected) in cases {
            let admitted = admit(&domain(speaks, shows), protocol, certified);
            let decision = admitted.err().map_or("", |closed| closed.decision);
            assert_eq!(decision, expected, "{speaks:?} {shows:?} {protocol:?} {certified}");
        }
    }

    #[test]
    fn a_request_is_let_in_by_what_it_speaks_and_shows() {
        use ApplicationProtocol as Speaks;
        use Authentication as Shows;
        let signed = [(
            "authorization".to_owned(),
            "AWS4-HMAC-SHA256 Credential=AK/20260101/us-east-1/iotdata/aws4_request, SignedHeaders=host, Signature=00"
                .to_owned(),
        )];
        let odd = [("authorization".to_owned(), "AWS4-HMAC-SHA256 nonsense".to_owned())];
        let none = &[][..];
        let (signed, odd) = (&signed[..], &odd[..]);
        let cases = [
            (Speaks::Default, Shows::Default, none, false, true),
            (Speaks::Mqtt, Shows::Default, none, true, false),
            (Speaks::Https, Shows::Default, none, true, false),
            (Speaks::WebSocket, Shows::Sigv4, signed, true, true),
            (Speaks::WebSocket, Shows::Sigv4, signed, false, false),
            (Speaks::Https, Shows::X509, signed, false, false),
            (Speaks::Https, Shows::X509, odd, false, false),
            (Speaks::Https, Shows::Sigv4, none, false, false),
            (Speaks::Https, Shows::Sigv4, signed, false, true),
        ];
        for (speaks, shows, headers, websocket, expected) in cases {
            let signable = Signable { method: "GET", path: "/", query: "", headers, payload: &[] };
            let admitted = admit_request(&domain(speaks, shows), &signable, websocket).is_ok();
            assert_eq!(admitted, expected, "{speaks:?} {shows:?} {headers:?} {websocket}");
        }
    }
}
