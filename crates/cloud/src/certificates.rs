//! Device certificates: issued by the house's authority, kept with their status (security.md §2). What a certificate
//! says is read in `x509`, what it may do in `policies`, how it was signed is the authority's affair.

use serde::{Deserialize, Serialize};
use store::{Fault, Key, Table, json_record};
use wire::Refusal;
use wire::iot::{
    CertificateDescription, CertificateValidity, CreateCertificateFromCsrRequest, CreateCertificateFromCsrResponse,
    CreateKeysAndCertificateRequest, CreateKeysAndCertificateResponse, DeleteCertificateRequest,
    DescribeCertificateRequest, DescribeCertificateResponse, KeyPair, ListCertificatesRequest,
    ListCertificatesResponse, TransferData, UpdateCertificateRequest,
};

use crate::authority::{Authority, Issued, NotIssued};
use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::policies;
use crate::principals;
use crate::scope::{Asked, NO_PARTS, Read, Write, date_part, paged};
use crate::x509;

pub(crate) const OPS: &[Op] = ops! {
    write create_keys_and_certificate with issue_keys on any;
    write create_certificate_from_csr with issue_for_request on any;
    read  describe_certificate on certificate(certificate_id);
    write update_certificate on certificate(certificate_id);
    write delete_certificate on certificate(certificate_id);
    read  list_certificates on any;
};

/// By id.
pub(crate) const CERTIFICATES: Table<Certificate> = Table::new("certificates");
/// By date of creation and id.
const CERTIFICATES_BY_DATE: Table<()> = Table::new("certificates_by_date");
/// By id, account and region, whatever the scope: how a connection finds where its certificate belongs.
pub(crate) const CERTIFICATE_SCOPES: Table<()> = Table::new("certificate_scopes");

/// No certificate of a registered authority is without one; ours are all of this mode.
const MODE: &str = "DEFAULT";

/// A registered certificate.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Certificate {
    /// As it was issued.
    pub(crate) pem: String,
    /// `ACTIVE`, `INACTIVE` or `REVOKED`.
    pub(crate) status: String,
    generation_id: String,
    version: i64,
    created: i64,
    modified: i64,
    not_before: i64,
    not_after: i64,
}
json_record!(Certificate, version 1);

impl Certificate {
    /// Whether it may connect.
    pub(crate) fn is_active(&self) -> bool {
        self.status == "ACTIVE"
    }
}

/// The id in the ARN of a certificate of this scope, registered or not.
pub(crate) fn id_of_arn<'a>(db: Read, arn: &'a str) -> Option<&'a str> {
    let id = db.cx.scope.resource(arn)?.strip_prefix("cert/")?;
    (id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

/// The id of the certificate that a principal or target names; anything else is refused.
pub(crate) fn named_by(db: Read, arn: &str) -> Answer<String> {
    let Some(id) = id_of_arn(db, arn) else {
        let message = format!(
            "{arn} is not the ARN of a certificate in this account and region; thing groups and Cognito identities \
             are not built yet"
        );
        return Err(Refusal::invalid_request(message).into());
    };
    db.named(&CERTIFICATES, [id])?;
    Ok(id.to_owned())
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
    let id = register(db, &issued.certificate_pem, input.set_as_active())?;
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
    let id = register(db, &issued.certificate_pem, input.set_as_active())?;
    Ok(CreateCertificateFromCsrResponse::new()
        .with_certificate_arn(arn(db.view(), &id))
        .with_certificate_id(id)
        .with_certificate_pem(&issued.certificate_pem))
}

/// Keeps a certificate and answers its id.
fn register(db: &mut Write, pem: &str, active: Option<bool>) -> Answer<String> {
    let facts = x509::facts(pem).map_err(|bad| Fault::because("the certificate just issued", bad))?;
    let id = facts.id;
    if db.view().contains(&CERTIFICATES, [&id])? {
        let refusal = Refusal::resource_already_exists("The certificate is already provisioned or registered");
        return Err(refusal.with("resourceArn", arn(db.view(), &id)).with("resourceId", id).into());
    }
    let certificate = Certificate {
        pem: pem.to_owned(),
        status: if active == Some(true) { "ACTIVE" } else { "INACTIVE" }.to_owned(),
        generation_id: db.uuid(),
        version: 1,
        created: db.now(),
        modified: db.now(),
        not_before: facts.not_before_ms,
        not_after: facts.not_after_ms,
    };
    db.put(&CERTIFICATES, [&id], &certificate)?;
    db.put(&CERTIFICATES_BY_DATE, [&date_part(certificate.created), &id], &())?;
    db.put_global(&CERTIFICATE_SCOPES, &global_key(db, &id), &())?;
    db.tell(News::Identity(id.clone()));
    Ok(id)
}

fn global_key(db: &Write, id: &str) -> Key {
    let scope = &db.cx.scope;
    Key::of([id, &scope.account, &scope.region])
}

fn describe_certificate(db: Read, input: &DescribeCertificateRequest) -> Answer<DescribeCertificateResponse> {
    let id = input.certificate_id();
    let certificate = db.named(&CERTIFICATES, [id])?;
    let validity =
        CertificateValidity::new().with_not_before(certificate.not_before).with_not_after(certificate.not_after);
    // No `caCertificateId`: the house's own authority is no registered one, as with AWS.
    let description = CertificateDescription::new()
        .with_certificate_arn(arn(db, id))
        .with_certificate_id(id)
        .with_status(certificate.status)
        .with_certificate_pem(certificate.pem)
        .with_owned_by(&*db.cx.scope.account)
        .with_creation_date(certificate.created)
        .with_last_modified_date(certificate.modified)
        .with_customer_version(certificate.version)
        .with_transfer_data(TransferData::new())
        .with_generation_id(certificate.generation_id)
        .with_validity(validity)
        .with_certificate_mode(MODE);
    Ok(DescribeCertificateResponse::new().with_certificate_description(description))
}

fn update_certificate(db: &mut Write, input: &UpdateCertificateRequest) -> Answer<()> {
    let (id, status) = (input.certificate_id(), input.new_status());
    if !["ACTIVE", "INACTIVE", "REVOKED"].contains(&status) {
        // unconfirmed: the error and the text.
        let message = format!("A certificate cannot be set to {status}: only to ACTIVE, INACTIVE or REVOKED");
        return Err(Refusal::invalid_request(message).into());
    }
    let mut certificate = db.view().named(&CERTIFICATES, [id])?;
    if certificate.status == status {
        return Ok(());
    }
    status.clone_into(&mut certificate.status);
    certificate.version += 1;
    certificate.modified = db.now();
    db.put(&CERTIFICATES, [id], &certificate)?;
    db.tell(News::Identity(id.to_owned()));
    Ok(())
}

fn delete_certificate(db: &mut Write, input: &DeleteCertificateRequest) -> Answer<()> {
    let id = input.certificate_id();
    let certificate = db.view().named(&CERTIFICATES, [id])?;
    if certificate.is_active() {
        let message = format!("Certificate must be deactivated (not ACTIVE) before deletion. Id: {id}");
        return Err(Refusal::certificate_state(message).into());
    }
    let arn = arn(db.view(), id);
    if principals::has_things(db.view(), &arn)? {
        return Err(Refusal::delete_conflict(format!("Things must be detached before deletion (arn: {arn})")).into());
    }
    if input.force_delete() != Some(true) && policies::has_any(db.view(), &arn)? {
        let message = format!("Certificate policies must be detached before deletion (arn: {arn})");
        return Err(Refusal::delete_conflict(message).into());
    }
    policies::detach_all(db, &arn)?;
    db.delete(&CERTIFICATES, [id])?;
    db.delete(&CERTIFICATES_BY_DATE, [&*date_part(certificate.created), id])?;
    db.delete_global(&CERTIFICATE_SCOPES, &global_key(db, id))?;
    db.tell(News::Identity(id.to_owned()));
    Ok(())
}

fn list_certificates(db: Read, input: &ListCertificatesRequest) -> Answer<ListCertificatesResponse> {
    let asked = Asked::new(input.marker(), input.page_size()).by_date(input.ascending_order());
    let page = db.page(&CERTIFICATES_BY_DATE, NO_PARTS, asked, |_, ()| true)?;
    let mut listed = Vec::with_capacity(page.items.len());
    for (key, ()) in page.items {
        let id = key.text_at(3)?;
        let certificate = db.named(&CERTIFICATES, [&id])?;
        let certificate = wire::iot::Certificate::new()
            .with_certificate_arn(arn(db, &id))
            .with_certificate_id(id)
            .with_status(certificate.status)
            .with_certificate_mode(MODE)
            .with_creation_date(certificate.created);
        listed.push(certificate);
    }
    let answer = ListCertificatesResponse::new().with_certificates(listed);
    Ok(paged(answer, page.next, ListCertificatesResponse::with_next_marker))
}
