//! Device certificates: issued by the house's authority or brought from elsewhere, kept with their status (security.md §2).
//! How those from elsewhere are registered is told in `registration` and `just_in_time`, how they change hands in
//! `transfers`. What a certificate says is read in `x509`, what it may do in `policies`.

use serde::{Deserialize, Serialize};
use store::{Fault, Key, Table, json_record};
use wire::Refusal;
use wire::iot::{
    CertificateDescription, CertificateValidity, CreateCertificateFromCsrRequest, CreateCertificateFromCsrResponse,
    CreateKeysAndCertificateRequest, CreateKeysAndCertificateResponse, DeleteCertificateRequest,
    DescribeCertificateRequest, DescribeCertificateResponse, KeyPair, ListCertificatesByCARequest,
    ListCertificatesByCAResponse, ListCertificatesRequest, ListCertificatesResponse, UpdateCertificateRequest,
};

use crate::authority::{Authority, Issued, NotIssued};
use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::policies;
use crate::principals;
use crate::scope::{Asked, NO_PARTS, Read, Scope, Write, date_part, paged};
use crate::x509::{self, Facts};

mod just_in_time;
mod registration;
mod transfers;

pub use just_in_time::Introduced;
pub(crate) use registration::OPS as REGISTRATION;
pub(crate) use transfers::OPS as TRANSFERS;

use transfers::Transfer;

pub(crate) const OPS: &[Op] = ops! {
    write create_keys_and_certificate with issue_keys on any;
    write create_certificate_from_csr with issue_for_request on any;
    read  describe_certificate on certificate(certificate_id);
    write update_certificate on certificate(certificate_id);
    write delete_certificate on certificate(certificate_id);
    read  list_certificates on any;
    read  list_certificates_by_ca on any;
};

/// By id.
pub(crate) const CERTIFICATES: Table<Certificate> = Table::new("certificates");
/// By date of creation and id.
const CERTIFICATES_BY_DATE: Table<()> = Table::new("certificates_by_date");
/// By the id of their CA, date of creation and id: those of registered CAs.
const CERTIFICATES_BY_CA: Table<()> = Table::new("certificates_by_ca");
/// By id, account and region, whatever the scope: how a connection finds where its certificate belongs.
pub(crate) const CERTIFICATE_SCOPES: Table<()> = Table::new("certificate_scopes");

/// A registered certificate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Certificate {
    /// As it was issued, or brought.
    pub(crate) pem: String,
    /// `ACTIVE`, `INACTIVE`, `REVOKED`, `PENDING_ACTIVATION` or `PENDING_TRANSFER`.
    pub(crate) status: String,
    generation_id: String,
    version: i64,
    created: i64,
    modified: i64,
    not_before: i64,
    not_after: i64,
    /// The id of the registered CA that issued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
    /// Whether it is of the mode `SNI_ONLY`, which several accounts may register.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    sni_only: bool,
    /// The account it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_owner: Option<String>,
    /// What became of the last attempt to give it to another account.
    #[serde(default, skip_serializing_if = "Transfer::is_none")]
    transfer: Transfer,
}
json_record!(Certificate, version 1);

impl Certificate {
    /// One that is new here.
    fn new(db: &Write, pem: &str, facts: &Facts, status: &str) -> Self {
        Self {
            pem: pem.to_owned(),
            status: status.to_owned(),
            generation_id: db.uuid(),
            version: 1,
            created: db.now(),
            modified: db.now(),
            not_before: facts.not_before_ms,
            not_after: facts.not_after_ms,
            ca: None,
            sni_only: false,
            previous_owner: None,
            transfer: Transfer::default(),
        }
    }

    /// When it came here, in milliseconds.
    pub(crate) fn created(&self) -> i64 {
        self.created
    }

    /// Whether it may connect.
    pub(crate) fn is_active(&self) -> bool {
        self.status == "ACTIVE"
    }

    /// Whether it is on its way to another account, and nobody's meanwhile.
    fn is_in_transfer(&self) -> bool {
        self.status == "PENDING_TRANSFER"
    }

    fn mode(&self) -> &'static str {
        mode(self.sni_only)
    }

    fn change(&mut self, status: &str, now: i64) {
        status.clone_into(&mut self.status);
        self.version += 1;
        self.modified = now;
    }

    /// From when to when it is valid, in milliseconds.
    pub(crate) fn validity(&self) -> (i64, i64) {
        (self.not_before, self.not_after)
    }
}

/// How the model writes it.
pub(crate) fn mode(sni_only: bool) -> &'static str {
    if sni_only { "SNI_ONLY" } else { "DEFAULT" }
}

/// The status of a certificate that is made or registered without another.
fn status(active: Option<bool>) -> &'static str {
    if active == Some(true) { "ACTIVE" } else { "INACTIVE" }
}

/// The id in the ARN of a certificate of this scope, registered or not.
pub(crate) fn id_of_arn<'a>(db: Read, arn: &'a str) -> Option<&'a str> {
    let id = db.cx.scope.resource(arn)?.strip_prefix("cert/")?;
    (id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

/// The id of the certificate that a principal or target names; anything else is refused.
pub(crate) fn named_by(db: Read, arn: &str) -> Answer<String> {
    let Some(id) = id_of_arn(db, arn) else {
        let message = format!("{arn} is not the ARN of a certificate in this account and region");
        return Err(Refusal::invalid_request(message).into());
    };
    db.named(&CERTIFICATES, [id])?;
    Ok(id.to_owned())
}

/// Refuses what is none that something can be attached to: also one that is on its way to another account.
pub(crate) fn must_be_attachable(db: Read, arn: &str) -> Answer<()> {
    let id = named_by(db, arn)?;
    if db.named(&CERTIFICATES, [&id])?.is_in_transfer() {
        // unconfirmed: the error and the text.
        let message = format!("Nothing can be attached to a certificate while its transfer is pending. Id: {id}");
        return Err(Refusal::invalid_request(message).into());
    }
    Ok(())
}

fn arn(db: Read, id: &str) -> String {
    db.arn(format_args!("cert/{id}"))
}

fn issue_keys(authority: &dyn Authority, now: i64, _: &CreateKeysAndCertificateRequest) -> Result<Issued, NotIssued> {
    authority.issue_keys(now)
}

fn create_keys_and_certificate(
    db: &mut Write,
    input: &CreateKeysAndCertificateRequest,
    issued: &Issued,
) -> Answer<CreateKeysAndCertificateResponse> {
    let Some(keys) = &issued.keys else { return Err(Fault::new("the authority gave no keys").into()) };
    let id = keep_issued(db, &issued.certificate_pem, input.set_as_active())?;
    let pair = KeyPair::new().with_public_key(&keys.public_pem).with_private_key(&keys.private_pem);
    Ok(CreateKeysAndCertificateResponse::new()
        .with_certificate_arn(arn(db.view(), &id))
        .with_certificate_id(id)
        .with_certificate_pem(&issued.certificate_pem)
        .with_key_pair(pair))
}

fn issue_for_request(
    authority: &dyn Authority,
    now: i64,
    input: &CreateCertificateFromCsrRequest,
) -> Result<Issued, NotIssued> {
    authority.issue_for_request(input.certificate_signing_request(), now)
}

fn create_certificate_from_csr(
    db: &mut Write,
    input: &CreateCertificateFromCsrRequest,
    issued: &Issued,
) -> Answer<CreateCertificateFromCsrResponse> {
    let id = keep_issued(db, &issued.certificate_pem, input.set_as_active())?;
    Ok(CreateCertificateFromCsrResponse::new()
        .with_certificate_arn(arn(db.view(), &id))
        .with_certificate_id(id)
        .with_certificate_pem(&issued.certificate_pem))
}

/// Keeps a certificate that was just issued and answers its id.
fn keep_issued(db: &mut Write, pem: &str, active: Option<bool>) -> Answer<String> {
    let facts = x509::facts(pem).map_err(|bad| Fault::because("the certificate just issued", bad))?;
    must_be_new(db.view(), &facts.id)?;
    let certificate = Certificate::new(db, pem, &facts, status(active));
    keep(db, &facts.id, &certificate)?;
    Ok(facts.id)
}

/// Refuses an id that is registered here.
fn must_be_new(db: Read, id: &str) -> Answer<()> {
    if db.contains(&CERTIFICATES, [id])? {
        return Err(already_registered(db, id).into());
    }
    Ok(())
}

fn already_registered(db: Read, id: &str) -> Refusal {
    let refusal = Refusal::resource_already_exists("The certificate is already provisioned or registered");
    refusal.with("resourceArn", arn(db, id)).with("resourceId", id)
}

/// Keeps a certificate that is new here.
fn keep(db: &mut Write, id: &str, certificate: &Certificate) -> Result<(), Fault> {
    let scope = db.cx.scope.clone();
    keep_in(db, &scope, id, certificate)?;
    db.put_global(&CERTIFICATE_SCOPES, &global_key(&scope, id), &())?;
    db.tell(News::Identity(id.to_owned()));
    Ok(())
}

/// Keeps it in some scope, without any claim to the connections that show it.
fn keep_in(db: &mut Write, scope: &Scope, id: &str, certificate: &Certificate) -> Result<(), Fault> {
    let date = date_part(certificate.created);
    db.put_global(&CERTIFICATES, &scope.key([id]), certificate)?;
    db.put_global(&CERTIFICATES_BY_DATE, &scope.key([&*date, id]), &())?;
    if let Some(ca) = &certificate.ca {
        db.put_global(&CERTIFICATES_BY_CA, &scope.key([ca.as_str(), &*date, id]), &())?;
    }
    Ok(())
}

/// Takes it out of some scope, and the claim with it.
fn take_out_of(db: &mut Write, scope: &Scope, id: &str, certificate: &Certificate) -> Result<(), Fault> {
    let date = date_part(certificate.created);
    db.delete_global(&CERTIFICATES, &scope.key([id]))?;
    db.delete_global(&CERTIFICATES_BY_DATE, &scope.key([&*date, id]))?;
    if let Some(ca) = &certificate.ca {
        db.delete_global(&CERTIFICATES_BY_CA, &scope.key([ca.as_str(), &*date, id]))?;
    }
    db.delete_global(&CERTIFICATE_SCOPES, &global_key(scope, id))
}

fn global_key(scope: &Scope, id: &str) -> Key {
    Key::of([id, &scope.account, &scope.region])
}

/// Where else a certificate is registered.
fn elsewhere(db: Read, id: &str) -> Result<Vec<(Scope, Certificate)>, Fault> {
    let mut found = Vec::new();
    for (key, ()) in db.some_global(&CERTIFICATE_SCOPES, &Key::of([id]), SCOPES)? {
        let scope = Scope::new(&key.text_at(1)?, &key.text_at(2)?);
        if scope == db.cx.scope {
            continue;
        }
        if let Some(certificate) = db.get_global(&CERTIFICATES, &scope.key([id]))? {
            found.push((scope, certificate));
        }
    }
    Ok(found)
}

/// Scopes that may register one certificate.
pub(crate) const SCOPES: usize = 32;

fn describe_certificate(db: Read, input: &DescribeCertificateRequest) -> Answer<DescribeCertificateResponse> {
    let id = input.certificate_id();
    let certificate = db.named(&CERTIFICATES, [id])?;
    let validity =
        CertificateValidity::new().with_not_before(certificate.not_before).with_not_after(certificate.not_after);
    let answer = CertificateDescription::new()
        .with_certificate_arn(arn(db, id))
        .with_certificate_id(id)
        .with_certificate_pem(&certificate.pem)
        .with_owned_by(certificate.transfer.owner().unwrap_or(&db.cx.scope.account))
        .with_creation_date(certificate.created)
        .with_last_modified_date(certificate.modified)
        .with_customer_version(certificate.version)
        .with_transfer_data(certificate.transfer.described())
        .with_validity(validity)
        .with_certificate_mode(certificate.mode())
        .with_generation_id(certificate.generation_id)
        .with_status(certificate.status);
    // No `caCertificateId` for the house's own: its authority is no registered one, as with AWS.
    let answer = certificate.ca.into_iter().fold(answer, CertificateDescription::with_ca_certificate_id);
    let answer = certificate.previous_owner.into_iter().fold(answer, CertificateDescription::with_previous_owned_by);
    Ok(DescribeCertificateResponse::new().with_certificate_description(answer))
}

fn update_certificate(db: &mut Write, input: &UpdateCertificateRequest) -> Answer<()> {
    let (id, status) = (input.certificate_id(), input.new_status());
    if !["ACTIVE", "INACTIVE", "REVOKED"].contains(&status) {
        // unconfirmed: the error and the text.
        let message = format!("A certificate cannot be set to {status}: only to ACTIVE, INACTIVE or REVOKED");
        return Err(Refusal::invalid_request(message).into());
    }
    let mut certificate = db.view().named(&CERTIFICATES, [id])?;
    if certificate.is_in_transfer() {
        return Err(in_transfer(id, "updated").into());
    }
    if certificate.status == status {
        return Ok(());
    }
    certificate.change(status, db.now());
    db.put(&CERTIFICATES, [id], &certificate)?;
    db.tell(News::Identity(id.to_owned()));
    Ok(())
}

/// unconfirmed: the text.
fn in_transfer(id: &str, done: &str) -> Refusal {
    let message = format!("The certificate cannot be {done} while its transfer is pending. Id: {id}");
    Refusal::certificate_state(message)
}

fn delete_certificate(db: &mut Write, input: &DeleteCertificateRequest) -> Answer<()> {
    let id = input.certificate_id();
    let certificate = db.view().named(&CERTIFICATES, [id])?;
    if certificate.is_active() {
        let message = format!("Certificate must be deactivated (not ACTIVE) before deletion. Id: {id}");
        return Err(Refusal::certificate_state(message).into());
    }
    if certificate.is_in_transfer() {
        return Err(in_transfer(id, "deleted").into());
    }
    let arn = arn(db.view(), id);
    if principals::has_things(db.view(), &arn)? {
        return Err(Refusal::delete_conflict(format!("Things must be detached before deletion (arn: {arn})")).into());
    }
    if input.force_delete() != Some(true) && policies::targets::has_any(db.view(), &arn)? {
        let message = format!("Certificate policies must be detached before deletion (arn: {arn})");
        return Err(Refusal::delete_conflict(message).into());
    }
    policies::targets::detach_all(db, &arn)?;
    let scope = db.cx.scope.clone();
    take_out_of(db, &scope, id, &certificate)?;
    db.tell(News::Identity(id.to_owned()));
    Ok(())
}

fn list_certificates(db: Read, input: &ListCertificatesRequest) -> Answer<ListCertificatesResponse> {
    let asked = Asked::new(input.marker(), input.page_size()).by_date(input.ascending_order());
    let page = db.page(&CERTIFICATES_BY_DATE, NO_PARTS, asked, |_, ()| true)?;
    let listed = page.items.iter().map(|(key, ())| listed(db, key.text_at(3)?)).collect::<Answer<Vec<_>>>()?;
    let answer = ListCertificatesResponse::new().with_certificates(listed);
    Ok(paged(answer, page.next, ListCertificatesResponse::with_next_marker))
}

fn list_certificates_by_ca(db: Read, input: &ListCertificatesByCARequest) -> Answer<ListCertificatesByCAResponse> {
    // unconfirmed: that a CA which is not registered has no certificates, rather than not being found: the model knows
    // no 404 here.
    let asked = Asked::new(input.marker(), input.page_size()).by_date(input.ascending_order());
    let page = db.page(&CERTIFICATES_BY_CA, [input.ca_certificate_id()], asked, |_, ()| true)?;
    let listed = page.items.iter().map(|(key, ())| listed(db, key.text_at(4)?)).collect::<Answer<Vec<_>>>()?;
    let answer = ListCertificatesByCAResponse::new().with_certificates(listed);
    Ok(paged(answer, page.next, ListCertificatesByCAResponse::with_next_marker))
}

/// A certificate as listings show it.
fn listed(db: Read, id: String) -> Answer<wire::iot::Certificate> {
    let certificate = db.named(&CERTIFICATES, [&id])?;
    Ok(wire::iot::Certificate::new()
        .with_certificate_arn(arn(db, &id))
        .with_certificate_id(id)
        .with_certificate_mode(certificate.mode())
        .with_status(certificate.status)
        .with_creation_date(certificate.created))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_an_earlier_release_kept_is_read() {
        let kept = r#"{"pem":"p","status":"ACTIVE","generation_id":"g","version":2,"created":1,"modified":2,
            "not_before":3,"not_after":4}"#;
        let certificate: Certificate = serde_json::from_str(kept).unwrap();
        assert_eq!((certificate.mode(), &certificate.ca, &certificate.previous_owner), ("DEFAULT", &None, &None));
        assert!(certificate.is_active() && certificate.transfer.is_none());
        let written = serde_json::to_value(&certificate).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(kept).unwrap());
    }
}
