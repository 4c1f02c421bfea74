//! Certificates that somebody else issued: with a registered CA, or without any (security.md §2.1). What must hold of the
//! CA is asked of `ca_certificates`; whether the device holds the key is proved when it connects, not here.

use store::Fault;
use wire::Refusal;
use wire::iot::{
    RegisterCertificateRequest, RegisterCertificateResponse, RegisterCertificateWithoutCARequest,
    RegisterCertificateWithoutCAResponse,
};

use super::{Certificate, SCOPES, already_registered, arn, elsewhere, keep, must_be_new, status};
use crate::ca_certificates::{self, Issuer};
use crate::house::{House, Job, Plan};
use crate::operation::{Answer, Op, ops};
use crate::scope::{Context, Read, Write};
use crate::x509::{self, Facts};

pub(crate) const OPS: &[Op] = ops! {
    live  register_certificate on any;
    write register_certificate_without_ca on any;
};

fn register_certificate(house: &House, cx: &Context, input: &RegisterCertificateRequest) -> Answer<Plan> {
    let own = x509::facts(&house.authority.certificate_pem());
    let own = own.map_err(|bad| Fault::because("the house's own authority", bad))?;
    let input = input.clone();
    Ok(Plan::Desk(Job::answering(cx.again(), move |db| Ok(register_with_ca(db, &input, &own)?.into()))))
}

fn register_with_ca(
    db: &mut Write,
    input: &RegisterCertificateRequest,
    own: &Facts,
) -> Answer<RegisterCertificateResponse> {
    // unconfirmed: that `status` outweighs the deprecated `setAsActive`.
    let status = asked_status(input.status())?.unwrap_or(status(input.set_as_active()));
    let facts = read(input.certificate_pem())?;
    must_be_new(db.view(), &facts.id)?;
    let issuer = issuer(db.view(), &facts, input.ca_certificate_pem(), own)?;
    let mut certificate = Certificate::new(db, input.certificate_pem(), &facts, status);
    if let Some(issuer) = issuer {
        certificate.sni_only = issuer.sni_only;
        certificate.ca = Some(issuer.id);
    }
    register(db, &facts, &certificate)?;
    Ok(RegisterCertificateResponse::new().with_certificate_arn(arn(db.view(), &facts.id)).with_certificate_id(facts.id))
}

fn register_certificate_without_ca(
    db: &mut Write,
    input: &RegisterCertificateWithoutCARequest,
) -> Answer<RegisterCertificateWithoutCAResponse> {
    let status = asked_status(input.status())?.unwrap_or("INACTIVE");
    let facts = read(input.certificate_pem())?;
    must_be_new(db.view(), &facts.id)?;
    let mut certificate = Certificate::new(db, input.certificate_pem(), &facts, status);
    certificate.sni_only = true;
    register(db, &facts, &certificate)?;
    Ok(RegisterCertificateWithoutCAResponse::new()
        .with_certificate_arn(arn(db.view(), &facts.id))
        .with_certificate_id(facts.id))
}

/// Keeps a certificate from elsewhere, unless another account has it for itself: only those of the mode `SNI_ONLY` are
/// shared.
fn register(db: &mut Write, facts: &Facts, certificate: &Certificate) -> Answer<()> {
    let others = elsewhere(db.view(), &facts.id)?;
    if others.iter().any(|(_, other)| !other.sni_only || !certificate.sni_only) {
        // unconfirmed: the error.
        return Err(already_registered(db.view(), &facts.id).into());
    }
    if others.len() >= SCOPES {
        let message = format!("A certificate can be registered in at most {SCOPES} accounts and regions");
        return Err(Refusal::certificate_conflict(message).into());
    }
    Ok(keep(db, &facts.id, certificate)?)
}

/// The statuses that the documentation of the operations allows.
fn asked_status(status: Option<&str>) -> Result<Option<&str>, Refusal> {
    match status {
        None | Some("ACTIVE" | "INACTIVE" | "REVOKED") => Ok(status),
        // unconfirmed: the error and the text.
        Some(other) => Err(Refusal::invalid_request(format!(
            "A certificate cannot be registered as {other}: only as ACTIVE, INACTIVE or REVOKED"
        ))),
    }
}

/// A certificate of a kind that can connect. unconfirmed: the texts of the refusals.
fn read(pem: &str) -> Result<Facts, Refusal> {
    let facts = x509::facts(pem).map_err(|bad| invalid(&bad))?;
    x509::is_of_known_kind(&facts.der).map_err(|bad| invalid(&bad))?;
    Ok(facts)
}

fn invalid(why: &str) -> Refusal {
    Refusal::certificate_validation(format!("The certificate is invalid: {why}"))
}

/// The registered CA that issued a certificate; none if it was the house itself.
fn issuer(db: Read, facts: &Facts, ca_pem: Option<&str>, own: &Facts) -> Answer<Option<Issuer>> {
    let mut issuers = ca_certificates::issuers(db, facts, Some(&db.cx.scope))?;
    if let Some(ca_pem) = ca_pem {
        let named = x509::facts(ca_pem).map_err(|bad| invalid(&format!("caCertificatePem is {bad}")))?;
        issuers.retain(|issuer| issuer.id == named.id);
    }
    let Some(issuer) = issuers.pop() else {
        return match ca_pem {
            // The house itself has issued it, and it may be registered again once it was deleted.
            // unconfirmed: that AWS takes back what it issued.
            None if x509::is_issued_by(&facts.der, &own.der).unwrap_or(false) => Ok(None),
            _ => Err(invalid("no registered CA certificate has issued it").into()),
        };
    };
    if !issuers.is_empty() {
        let message = "Unable to verify the CA certificate used to sign the device certificate you are attempting to \
                       register: several registered CA certificates have its subject and key. Name one as \
                       caCertificatePem";
        return Err(Refusal::certificate_conflict(message).into());
    }
    if !issuer.active {
        let message = format!("The CA certificate is not active. Id: {}", issuer.id);
        return Err(Refusal::certificate_state(message).into());
    }
    Ok(Some(issuer))
}
