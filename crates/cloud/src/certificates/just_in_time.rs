//! Registration just in time (security.md §2.4): a device shows a certificate that nobody has registered, but a registered
//! CA has issued. It is kept as PENDING_ACTIVATION, an event says so, and the device is sent away until somebody has
//! activated it. Whoever comes here has proved to hold the key; that was the door's affair.

use serde::Serialize;
use store::Fault;

use super::{CERTIFICATES, Certificate, keep};
use crate::ca_certificates::{self, Issuer};
use crate::domain_configurations;
use crate::event_configurations as events;
use crate::house::{House, Job};
use crate::identity::{self, Principal, Turned};
use crate::operation::Answer;
use crate::scope::{Context, Read, Scope, Write};
use crate::x509::{self, Facts};

/// The status of a certificate that came by itself.
const PENDING: &str = "PENDING_ACTIVATION";

/// Bytes of the longest certificate that is registered by itself; as PEM it is within AWS's 65536 characters.
const LONGEST: usize = 32 * 1024;

/// Who came, and what is to be written before its CONNECT is looked at.
pub struct Introduced {
    /// Who it is to the house.
    pub principal: Principal,
    /// Brought to the desk first.
    pub job: Option<Job>,
}

/// The event, in the order of AWS's examples.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Registered<'a> {
    certificate_id: &'a str,
    ca_certificate_id: &'a str,
    timestamp: i64,
    certificate_status: &'a str,
    aws_account_id: &'a str,
    certificate_registration_timestamp: String,
}

impl House {
    /// Says who a device is that showed this certificate over TLS and proved to hold its key.
    ///
    /// What a stranger can cause is bounded: a few signatures are checked, and each scope registers and tells no more
    /// than so many in a second.
    pub fn introduce(&self, der: &[u8], server_name: Option<&str>, now: i64, entropy: u128) -> Introduced {
        let id = x509::certificate_id(der);
        self.try_introduce(der, &id, server_name, (now, entropy)).unwrap_or_else(|fault| {
            self.tell_fault(now, &fault);
            Introduced { principal: Principal::Certificate(id), job: None }
        })
    }

    fn try_introduce(
        &self,
        der: &[u8],
        id: &str,
        server_name: Option<&str>,
        (now, entropy): (i64, u128),
    ) -> Result<Introduced, Fault> {
        let view = self.store.read();
        if let Some(scope) = identity::scope_of(&view, id, server_name)? {
            let cx = self.context(&scope, now, entropy);
            let known = Read::new(&view, &cx).get(&CERTIFICATES, [id])?;
            return Ok(match known.filter(|known| known.status == PENDING) {
                Some(known) => self.tell_again(cx, id, &known),
                None => Introduced { principal: Principal::Certificate(id.to_owned()), job: None },
            });
        }
        let nowhere = self.context(&Scope::new("", ""), now, entropy);
        let db = Read::new(&view, &nowhere);
        let stranger = |scope, turned| Ok(Introduced { principal: stranger(id, scope, turned), job: None });
        let facts = match facts(der) {
            Ok(facts) => facts,
            Err(bad) => return stranger(None, Turned::new("INVALID_CERTIFICATE", format!("the certificate: {bad}"))),
        };
        let asked = server_name.map(|name| domain_configurations::scope_of(&view, name)).transpose()?.flatten();
        let issuers = ca_certificates::issuers(db, &facts, asked.as_ref())?;
        // One that registers by itself is what the device came for; the others explain why it is not registered.
        let ready = issuers.iter().find(|issuer| issuer.registers()).or(issuers.first());
        match ready {
            Some(issuer) if issuer.registers() => {
                let cx = self.context(&issuer.scope, now, entropy);
                Ok(self.register_just_in_time(cx, facts, issuer.clone()))
            }
            Some(issuer) => stranger(Some(issuer.scope.clone()), issuer.idle()),
            None => stranger(None, unknown(&facts)),
        }
    }

    /// A certificate that waits to be activated: the event is told anew at each attempt, as AWS does.
    fn tell_again(&self, cx: Context, id: &str, known: &Certificate) -> Introduced {
        let principal = stranger(id, Some(cx.scope.clone()), Turned::new(PENDING, waits()));
        let (Some(ca), true) = (known.ca.clone(), self.may_introduce(&cx)) else {
            return Introduced { principal, job: None };
        };
        let (id, registered) = (id.to_owned(), known.created);
        let job = Job::new(cx, move |db| tell(db, &id, &ca, registered));
        Introduced { principal, job: Some(job) }
    }

    fn register_just_in_time(&self, cx: Context, facts: Facts, issuer: Issuer) -> Introduced {
        let scope = Some(cx.scope.clone());
        if !self.may_introduce(&cx) {
            let reason = "too many certificates come by themselves at once; it is registered at a later attempt";
            let principal = stranger(&facts.id, scope, Turned::new("THROTTLED", reason.to_owned()));
            return Introduced { principal, job: None };
        }
        let principal = stranger(&facts.id, scope, Turned::new(PENDING, waits()));
        let job = Job::new(cx, move |db| register(db, &facts, &issuer));
        Introduced { principal, job: Some(job) }
    }

    fn may_introduce(&self, cx: &Context) -> bool {
        self.space(&cx.scope).introduced.take(cx.now)
    }
}

fn facts(der: &[u8]) -> Result<Facts, String> {
    if der.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    x509::is_of_known_kind(der)?;
    x509::facts_of_der(der)
}

fn stranger(id: &str, scope: Option<Scope>, turned: Turned) -> Principal {
    Principal::Stranger { certificate_id: id.to_owned(), scope, turned }
}

fn waits() -> String {
    "the certificate has registered itself and waits; `aws iot update-certificate --new-status ACTIVE` lets it connect"
        .to_owned()
}

fn unknown(facts: &Facts) -> Turned {
    let reason = format!(
        "the certificate is not registered here, nor is the CA that issued it (the SHA-256 of its name begins with {}); \
         create one with `aws iot create-keys-and-certificate` or `ombra device new`, or register its CA",
        facts.issuer.get(..16).unwrap_or_default()
    );
    Turned::new("UNKNOWN_CERTIFICATE", reason)
}

/// Keeps a certificate that came by itself. Two connections may have brought it at once.
fn register(db: &mut Write, facts: &Facts, issuer: &Issuer) -> Answer<()> {
    if let Some(known) = db.view().get(&CERTIFICATES, [&facts.id])? {
        return if known.status == PENDING { tell(db, &facts.id, &issuer.id, known.created) } else { Ok(()) };
    }
    if !ca_certificates::still_registers(db.view(), &issuer.id)? {
        return Ok(());
    }
    let mut certificate = Certificate::new(db, &x509::pem(&facts.der), facts, PENDING);
    certificate.ca = Some(issuer.id.clone());
    certificate.sni_only = issuer.sni_only;
    keep(db, &facts.id, &certificate)?;
    tell(db, &facts.id, &issuer.id, certificate.created)
}

fn tell(db: &mut Write, id: &str, ca: &str, registered: i64) -> Answer<()> {
    let event = Registered {
        certificate_id: id,
        ca_certificate_id: ca,
        timestamp: db.now(),
        certificate_status: PENDING,
        aws_account_id: &db.cx.scope.account,
        certificate_registration_timestamp: registered.to_string(),
    };
    let payload = serde_json::to_vec(&event).map_err(|cause| Fault::because("encode an event", cause))?;
    Ok(events::publish(db, format!("$aws/events/certificates/registered/{ca}"), payload)?)
}
