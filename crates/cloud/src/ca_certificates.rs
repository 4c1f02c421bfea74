//! CA certificates: whose device certificates an account takes (security.md §2.4). A CA is registered with a certificate
//! that proves possession of its key, or in the mode SNI_ONLY without. What becomes of the device certificates is told
//! in `certificates`; templates that provision them are not built yet.

use serde::{Deserialize, Serialize};
use store::{Fault, Key, Table, json_record};
use wire::Refusal;
use wire::iot::{
    CACertificate, CACertificateDescription, CertificateValidity, DeleteCACertificateRequest,
    DeleteCACertificateResponse, DeleteRegistrationCodeRequest, DeleteRegistrationCodeResponse,
    DescribeCACertificateRequest, DescribeCACertificateResponse, GetRegistrationCodeRequest,
    GetRegistrationCodeResponse, ListCACertificatesRequest, ListCACertificatesResponse, RegisterCACertificateRequest,
    RegisterCACertificateResponse, RegistrationConfig, UpdateCACertificateRequest,
};

use crate::certificates;
use crate::identity::Turned;
use crate::operation::{Answer, Op, ops};
use crate::scope::{Asked, NO_PARTS, Read, Scope, Write, date_part, paged};
use crate::tags::{self, Tags, tagged};
use crate::x509::{self, Facts};

pub(crate) const OPS: &[Op] = ops! {
    write register_ca_certificate on any;
    read  describe_ca_certificate on ca_certificate(certificate_id);
    write update_ca_certificate on ca_certificate(certificate_id);
    write delete_ca_certificate on ca_certificate(certificate_id);
    read  list_ca_certificates on any;
    write get_registration_code on any;
    write delete_registration_code on any;
};

pub(crate) const TAGGED: tags::Kind = tagged!("cacert" in CA_CERTIFICATES);

/// By id.
const CA_CERTIFICATES: Table<CaCertificate> = Table::new("ca_certificates");
/// By date of creation and id.
const CA_CERTIFICATES_BY_DATE: Table<()> = Table::new("ca_certificates_by_date");
/// By subject, account, region and id, whatever the scope: how a device certificate finds who may have issued it.
const CA_SUBJECTS: Table<()> = Table::new("ca_subjects");
/// One for each scope.
const REGISTRATION_CODES: Table<Vec<u8>> = Table::new("registration_codes");
/// Where in its scope the code lies.
const CODE: [&str; 1] = ["code"];

/// CAs of one subject that an account may register (security.md §11).
const OF_ONE_SUBJECT: usize = 10;

/// CAs of one name, whoever registered them, that are looked at for one device certificate.
const LOOKED_AT: usize = 32;

/// A registered CA.
#[derive(Debug, Serialize, Deserialize)]
struct CaCertificate {
    pem: String,
    active: bool,
    auto_registration: bool,
    sni_only: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    registration_role: Option<String>,
    generation_id: String,
    version: i64,
    created: i64,
    modified: i64,
    not_before: i64,
    not_after: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Tags,
}
json_record!(CaCertificate, version 1);

impl CaCertificate {
    fn status(&self) -> &'static str {
        if self.active { "ACTIVE" } else { "INACTIVE" }
    }

    fn issuer(&self, scope: Scope, id: String) -> Issuer {
        let (registers, created) = (self.auto_registration, self.created);
        Issuer { id, scope, active: self.active, sni_only: self.sni_only, registers, created }
    }
}

/// A registered CA that has issued a certificate.
#[derive(Clone, Debug)]
pub(crate) struct Issuer {
    /// Its certificate's id.
    pub(crate) id: String,
    /// Where it is registered.
    pub(crate) scope: Scope,
    /// Whether new certificates of it are taken at all.
    pub(crate) active: bool,
    /// Whether it is of the mode `SNI_ONLY`.
    pub(crate) sni_only: bool,
    registers: bool,
    created: i64,
}

impl Issuer {
    /// Whether devices register themselves with it.
    pub(crate) fn registers(&self) -> bool {
        self.active && self.registers
    }

    /// Why they do not.
    pub(crate) fn idle(&self) -> Turned {
        let id = &self.id;
        let (decision, state, switch) = if self.active {
            ("NO_AUTO_REGISTRATION", "does not register device certificates", "--new-auto-registration-status ENABLE")
        } else {
            ("INACTIVE_CA", "is INACTIVE", "--new-status ACTIVE")
        };
        let reason = format!(
            "the certificate is not registered here, and its CA {id} {state}; register it with `aws iot \
             register-certificate`, or let it register itself with `aws iot update-ca-certificate --certificate-id \
             {id} {switch}`"
        );
        Turned::new(decision, reason)
    }
}

/// The CAs of a scope, or of all, that have issued a certificate, those first that were registered first.
pub(crate) fn issuers(db: Read, facts: &Facts, of: Option<&Scope>) -> Result<Vec<Issuer>, Fault> {
    let under = match of {
        Some(Scope { account, region }) => Key::of([&*facts.issuer, account, region]),
        None => Key::of([&facts.issuer]),
    };
    let mut found = Vec::new();
    for (key, ()) in db.some_global(&CA_SUBJECTS, &under, LOOKED_AT)? {
        let (scope, id) = (Scope::new(&key.text_at(1)?, &key.text_at(2)?), key.text_at(3)?);
        let Some(ca) = db.get_global(&CA_CERTIFICATES, &scope.key([&id]))? else { continue };
        let issuer = x509::facts(&ca.pem).map_err(|bad| Fault::because("a registered CA certificate", bad))?;
        // A signature that cannot be checked is none of this CA.
        if x509::is_issued_by(&facts.der, &issuer.der).unwrap_or(false) {
            found.push(ca.issuer(scope, id));
        }
    }
    found.sort_by_key(|issuer| issuer.created);
    Ok(found)
}

/// Whether devices may register themselves with a CA of this scope.
pub(crate) fn still_registers(db: Read, id: &str) -> Result<bool, Fault> {
    let ca = db.get(&CA_CERTIFICATES, [id])?;
    Ok(ca.is_some_and(|ca| ca.active && ca.auto_registration))
}

fn arn(db: Read, id: &str) -> String {
    db.arn(format_args!("cacert/{id}"))
}

fn subject_key(scope: &Scope, subject: &str, id: &str) -> Key {
    Key::of([subject, &scope.account, &scope.region, id])
}

// unconfirmed: the texts of the refusals below.

fn register_ca_certificate(
    db: &mut Write,
    input: &RegisterCACertificateRequest,
) -> Answer<RegisterCACertificateResponse> {
    let sni_only = input.certificate_mode() == Some("SNI_ONLY");
    let facts = read(input.ca_certificate())?;
    prove(db.view(), &facts, sni_only, input.verification_certificate())?;
    examine(db.view(), &facts, sni_only)?;
    let config = input.registration_config();
    let ca = CaCertificate {
        pem: input.ca_certificate().to_owned(),
        active: input.set_as_active() == Some(true),
        auto_registration: input.allow_auto_registration() == Some(true),
        sni_only,
        registration_role: config.as_ref().map(role).transpose()?.flatten(),
        generation_id: db.uuid(),
        version: 1,
        created: db.now(),
        modified: db.now(),
        not_before: facts.not_before_ms,
        not_after: facts.not_after_ms,
        tags: tags::first(input.tags())?,
    };
    let id = facts.id;
    db.put(&CA_CERTIFICATES, [&id], &ca)?;
    db.put(&CA_CERTIFICATES_BY_DATE, [&date_part(ca.created), &id], &())?;
    db.put_global(&CA_SUBJECTS, &subject_key(&db.cx.scope, &facts.subject, &id), &())?;
    Ok(RegisterCACertificateResponse::new().with_certificate_arn(arn(db.view(), &id)).with_certificate_id(id))
}

/// A certificate that may issue others.
fn read(pem: &str) -> Result<Facts, Refusal> {
    let invalid = |why: &str| Refusal::certificate_validation(format!("The CA certificate is invalid: {why}"));
    let facts = x509::facts(pem).map_err(|bad| invalid(&bad))?;
    x509::is_of_known_kind(&facts.der).map_err(|bad| invalid(&bad))?;
    if facts.is_ca { Ok(facts) } else { Err(invalid("its basicConstraints do not say that it is a CA")) }
}

/// Whoever registers a CA for themselves alone must show that they hold its key: with a certificate it has signed for the
/// registration code.
fn prove(db: Read, ca: &Facts, sni_only: bool, verification: Option<&str>) -> Answer<()> {
    let pem = match (sni_only, verification.filter(|pem| !pem.is_empty())) {
        (true, None) => return Ok(()),
        (true, Some(_)) => {
            let message = "In the mode SNI_ONLY the verificationCertificate must be empty";
            return Err(Refusal::invalid_request(message).into());
        }
        (false, None) => {
            let message = "In the mode DEFAULT the verificationCertificate must not be empty";
            return Err(Refusal::invalid_request(message).into());
        }
        (false, Some(pem)) => pem,
    };
    let invalid =
        |why: &str| Refusal::certificate_validation(format!("The verification certificate is invalid: {why}"));
    let facts = x509::facts(pem).map_err(|bad| invalid(&bad))?;
    if !x509::is_issued_by(&facts.der, &ca.der).map_err(|bad| invalid(&bad))? {
        return Err(invalid("the CA certificate has not signed it").into());
    }
    let code = db.get(&REGISTRATION_CODES, CODE)?.unwrap_or_default();
    if code.is_empty() || !facts.common_names.iter().any(|name| name.as_bytes() == code) {
        let message = "The common name of the verification certificate is not the registration code of this account";
        return Err(Refusal::registration_code_validation(message).into());
    }
    Ok(())
}

/// Whether there is room for another of its kind.
fn examine(db: Read, facts: &Facts, sni_only: bool) -> Answer<()> {
    let id = &facts.id;
    let exists = |message: &str| Refusal::resource_already_exists(message);
    if db.contains(&CA_CERTIFICATES, [id])? {
        let refusal = exists("CA certificate already exists").with("resourceArn", arn(db, id));
        return Err(refusal.with("resourceId", id.as_str()).into());
    }
    let Scope { account, region } = &db.cx.scope;
    let here = Key::of([&*facts.subject, account, region]);
    if db.some_global(&CA_SUBJECTS, &here, OF_ONE_SUBJECT)?.len() == OF_ONE_SUBJECT {
        let message = format!("An account has at most {OF_ONE_SUBJECT} CA certificates with the same subject");
        return Err(Refusal::limit_exceeded(message).into());
    }
    for (key, ()) in db.some_global(&CA_SUBJECTS, &Key::of([&facts.subject]), usize::MAX)? {
        if key.text_at(3)? != *id {
            continue;
        }
        let scope = Scope::new(&key.text_at(1)?, &key.text_at(2)?);
        let other = db.get_global(&CA_CERTIFICATES, &scope.key([id]))?;
        // In the mode DEFAULT a CA belongs to one account; regions here share one address, so to one region too.
        if other.is_some_and(|other| !other.sni_only || !sni_only) {
            return Err(exists("CA certificate is registered in another account or region").into());
        }
    }
    Ok(())
}

/// The role of a configuration. A template would have to be carried out when a device comes, which is not built.
fn role(config: &RegistrationConfig) -> Result<Option<String>, Refusal> {
    if config.template_body().or(config.template_name()).is_some_and(|template| !template.is_empty()) {
        let message = "registrationConfig with a templateBody or a templateName is not implemented yet: devices of this CA \
                       would have to be provisioned when they come. Without a template they are registered as \
                       PENDING_ACTIVATION.";
        return Err(Refusal::new("NotImplementedException", message));
    }
    Ok(config.role_arn().map(str::to_owned))
}

fn describe_ca_certificate(db: Read, input: &DescribeCACertificateRequest) -> Answer<DescribeCACertificateResponse> {
    let id = input.certificate_id();
    let ca = db.named(&CA_CERTIFICATES, [id])?;
    let validity = CertificateValidity::new().with_not_before(ca.not_before).with_not_after(ca.not_after);
    let description = CACertificateDescription::new()
        .with_certificate_arn(arn(db, id))
        .with_certificate_id(id)
        .with_status(ca.status())
        .with_owned_by(&*db.cx.scope.account)
        .with_creation_date(ca.created)
        .with_auto_registration_status(if ca.auto_registration { "ENABLE" } else { "DISABLE" })
        .with_last_modified_date(ca.modified)
        .with_customer_version(ca.version)
        .with_validity(validity)
        .with_certificate_mode(certificates::mode(ca.sni_only))
        .with_generation_id(ca.generation_id)
        .with_certificate_pem(ca.pem);
    let response = DescribeCACertificateResponse::new().with_certificate_description(description);
    // Without one there is no member, or Terraform sees a block that nobody wrote, and takes it away for ever.
    Ok(match ca.registration_role {
        Some(role) => response.with_registration_config(RegistrationConfig::new().with_role_arn(role)),
        None => response,
    })
}

fn update_ca_certificate(db: &mut Write, input: &UpdateCACertificateRequest) -> Answer<()> {
    let id = input.certificate_id();
    let mut ca = db.view().named(&CA_CERTIFICATES, [id])?;
    if let Some(status) = input.new_status() {
        // Devices that are registered already go on, until their own certificates are revoked.
        ca.active = status == "ACTIVE";
    }
    if let Some(status) = input.new_auto_registration_status() {
        ca.auto_registration = status == "ENABLE";
    }
    if let Some(config) = &input.registration_config() {
        ca.registration_role = role(config)?;
    }
    if input.remove_auto_registration() == Some(true) {
        // unconfirmed: that this ends registration itself too, beside its configuration.
        ca.auto_registration = false;
        ca.registration_role = None;
    }
    ca.version += 1;
    ca.modified = db.now();
    Ok(db.put(&CA_CERTIFICATES, [id], &ca)?)
}

fn delete_ca_certificate(db: &mut Write, input: &DeleteCACertificateRequest) -> Answer<DeleteCACertificateResponse> {
    let id = input.certificate_id();
    let ca = db.view().named(&CA_CERTIFICATES, [id])?;
    if ca.active {
        let message = format!("CA certificate must be deactivated (not ACTIVE) before deletion. Id: {id}");
        return Err(Refusal::certificate_state(message).into());
    }
    let facts = x509::facts(&ca.pem).map_err(|bad| Fault::because("a registered CA certificate", bad))?;
    db.delete(&CA_CERTIFICATES, [id])?;
    db.delete(&CA_CERTIFICATES_BY_DATE, [&*date_part(ca.created), id])?;
    db.delete_global(&CA_SUBJECTS, &subject_key(&db.cx.scope, &facts.subject, id))?;
    Ok(DeleteCACertificateResponse::new())
}

fn list_ca_certificates(db: Read, input: &ListCACertificatesRequest) -> Answer<ListCACertificatesResponse> {
    let asked = Asked::new(input.marker(), input.page_size()).by_date(input.ascending_order());
    // None has a template, so whoever asks for those of one gets none.
    let any = input.template_name().is_none();
    let page = db.page(&CA_CERTIFICATES_BY_DATE, NO_PARTS, asked, |_, ()| any)?;
    let mut listed = Vec::with_capacity(page.items.len());
    for (key, ()) in page.items {
        let id = key.text_at(3)?;
        let ca = db.named(&CA_CERTIFICATES, [&id])?;
        let answer = CACertificate::new().with_status(ca.status()).with_creation_date(ca.created);
        listed.push(answer.with_certificate_arn(arn(db, &id)).with_certificate_id(id));
    }
    let answer = ListCACertificatesResponse::new().with_certificates(listed);
    Ok(paged(answer, page.next, ListCACertificatesResponse::with_next_marker))
}

/// The code of this account, made when it is first asked for.
fn get_registration_code(db: &mut Write, _: &GetRegistrationCodeRequest) -> Answer<GetRegistrationCodeResponse> {
    let code = if let Some(code) = db.view().get(&REGISTRATION_CODES, CODE)? {
        code
    } else {
        let code = db.cx.entropy.secret().text(b"0123456789abcdef", 64).into_bytes();
        db.put(&REGISTRATION_CODES, CODE, &code)?;
        code
    };
    let code = String::from_utf8(code).map_err(|bad| Fault::because("a registration code", bad))?;
    Ok(GetRegistrationCodeResponse::new().with_registration_code(code))
}

fn delete_registration_code(
    db: &mut Write,
    _: &DeleteRegistrationCodeRequest,
) -> Answer<DeleteRegistrationCodeResponse> {
    db.view().named(&REGISTRATION_CODES, CODE)?;
    db.delete(&REGISTRATION_CODES, CODE)?;
    Ok(DeleteRegistrationCodeResponse::new())
}
