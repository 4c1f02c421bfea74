//! How a certificate goes from one account to another of the same region: offered, then accepted, rejected or taken back
//! (security.md §2.3). Until it is accepted the first account keeps its claim, and nobody can connect with it.

use serde::{Deserialize, Serialize};
use store::{Fault, Table};
use wire::Refusal;
use wire::iot::{
    AcceptCertificateTransferRequest, CancelCertificateTransferRequest, ListOutgoingCertificatesRequest,
    ListOutgoingCertificatesResponse, OutgoingCertificate, RejectCertificateTransferRequest,
    TransferCertificateRequest, TransferCertificateResponse, TransferData,
};

use super::{CERTIFICATES, Certificate, arn, elsewhere, keep, keep_in, status, take_out_of};
use crate::news::News;
use crate::operation::{Answer, Failure, Op, ops};
use crate::policies;
use crate::principals;
use crate::scope::{Asked, NO_PARTS, Read, Scope, Write, date_part, paged};

pub(crate) const OPS: &[Op] = ops! {
    write transfer_certificate on certificate(certificate_id);
    write accept_certificate_transfer on certificate(certificate_id);
    write reject_certificate_transfer on certificate(certificate_id);
    write cancel_certificate_transfer on certificate(certificate_id);
    read  list_outgoing_certificates on any;
};

/// By date of transfer and id: those that wait for another account.
const OUTGOING: Table<()> = Table::new("certificates_outgoing");

/// What became of the last attempt to give a certificate to another account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transfer {
    /// The account it is offered to, as long as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// The account that offers it, as long as it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reject_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offered: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accepted: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rejected: Option<i64>,
}

impl Transfer {
    /// Whether there never was one.
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The account that owns it while it is only offered here.
    pub(super) fn owner(&self) -> Option<&str> {
        self.from.as_deref()
    }

    /// As DescribeCertificate shows it.
    pub(super) fn described(&self) -> TransferData {
        let data = TransferData::new();
        let data = self.message.iter().fold(data, TransferData::with_transfer_message);
        let data = self.reject_reason.iter().fold(data, TransferData::with_reject_reason);
        let data = self.offered.into_iter().fold(data, TransferData::with_transfer_date);
        let data = self.accepted.into_iter().fold(data, TransferData::with_accept_date);
        self.rejected.into_iter().fold(data, TransferData::with_reject_date)
    }
}

// unconfirmed: the texts of all refusals here but that of policies.

fn transfer_certificate(db: &mut Write, input: &TransferCertificateRequest) -> Answer<TransferCertificateResponse> {
    let (id, target) = (input.certificate_id(), input.target_aws_account());
    let mut certificate = db.view().named(&CERTIFICATES, [id])?;
    if *target == *db.cx.scope.account {
        return Err(Refusal::invalid_request("A certificate cannot be transferred to the account that owns it").into());
    }
    if certificate.status != "INACTIVE" {
        let message =
            format!("Only an INACTIVE certificate can be transferred, and this one is {}", certificate.status);
        return Err(Refusal::certificate_state(message).into());
    }
    let own = arn(db.view(), id);
    if policies::targets::has_any(db.view(), &own)? {
        let message = "You can't transfer the certificate because authorization policies are still attached.";
        return Err(Refusal::transfer_conflict(message).into());
    }
    if principals::has_things(db.view(), &own)? {
        let message = "You can't transfer the certificate because it is still attached to things.";
        return Err(Refusal::transfer_conflict(message).into());
    }
    let there = Scope::new(target, &db.cx.scope.region);
    if db.view().get_global(&CERTIFICATES, &there.key([id]))?.is_some() {
        let message = format!("The certificate is already registered in the account {target}.");
        return Err(Refusal::transfer_conflict(message).into());
    }
    offer(db, id, &mut certificate, &there, input.transfer_message())?;
    Ok(TransferCertificateResponse::new().with_transferred_certificate_arn(there.arn(format_args!("cert/{id}"))))
}

/// Puts a certificate that is offered into both accounts.
fn offer(
    db: &mut Write,
    id: &str,
    certificate: &mut Certificate,
    there: &Scope,
    message: Option<&str>,
) -> Result<(), Fault> {
    let now = db.now();
    let message = message.map(str::to_owned);
    certificate.change("PENDING_TRANSFER", now);
    certificate.transfer =
        Transfer { to: Some(there.account.to_string()), message, offered: Some(now), ..Transfer::default() };
    db.put(&CERTIFICATES, [id], certificate)?;
    db.put(&OUTGOING, [&*date_part(now), id], &())?;
    let mut offered = certificate.clone();
    offered.ca = None; // Which is registered in the account it comes from.
    offered.transfer.to = None;
    offered.transfer.from = Some(db.cx.scope.account.to_string());
    keep_in(db, there, id, &offered)?;
    db.tell(News::Identity(id.to_owned()));
    Ok(())
}

/// A certificate that is offered to this account, and what its owner has of it.
struct Offered {
    here: Certificate,
    owner: Scope,
    there: Certificate,
}

impl Offered {
    fn find(db: Read, id: &str) -> Answer<Self> {
        let here = db.named(&CERTIFICATES, [id])?;
        let Some(owner) = here.transfer.from.as_ref().filter(|_| here.is_in_transfer()) else {
            return Err(not_pending(&here));
        };
        let owner = Scope::new(owner, &db.cx.scope.region);
        let there = db.get_global(&CERTIFICATES, &owner.key([id]))?;
        let there = there.ok_or_else(|| Fault::new(format!("certificate {id} is offered by nobody")))?;
        Ok(Self { here, owner, there })
    }

    fn withdraw(db: &mut Write, owner: &Scope, id: &str, there: &Certificate) -> Result<(), Fault> {
        let date = date_part(there.transfer.offered.unwrap_or_default());
        db.delete_global(&OUTGOING, &owner.key([&*date, id]))
    }
}

fn not_pending(certificate: &Certificate) -> Failure {
    if certificate.transfer.accepted.is_some() {
        Refusal::transfer_already_completed("The transfer is already complete.").into()
    } else {
        Refusal::invalid_request("No transfer of the certificate is pending.").into()
    }
}

fn accept_certificate_transfer(db: &mut Write, input: &AcceptCertificateTransferRequest) -> Answer<()> {
    let id = input.certificate_id();
    let Offered { mut here, owner, there } = Offered::find(db.view(), id)?;
    Offered::withdraw(db, &owner, id, &there)?;
    take_out_of(db, &owner, id, &there)?;
    let now = db.now();
    here.change(status(input.set_as_active()), now);
    here.transfer.accepted = Some(now);
    here.previous_owner = here.transfer.from.take();
    Ok(keep(db, id, &here)?)
}

fn reject_certificate_transfer(db: &mut Write, input: &RejectCertificateTransferRequest) -> Answer<()> {
    let id = input.certificate_id();
    let Offered { here, owner, mut there } = Offered::find(db.view(), id)?;
    let own = db.cx.scope.clone();
    take_out_of(db, &own, id, &here)?;
    Offered::withdraw(db, &owner, id, &there)?;
    let now = db.now();
    there.change("INACTIVE", now);
    there.transfer.to = None;
    there.transfer.rejected = Some(now);
    there.transfer.reject_reason = input.reject_reason().map(str::to_owned);
    Ok(db.put_global(&CERTIFICATES, &owner.key([id]), &there)?)
}

fn cancel_certificate_transfer(db: &mut Write, input: &CancelCertificateTransferRequest) -> Answer<()> {
    let id = input.certificate_id();
    let Some(mut certificate) = db.view().get(&CERTIFICATES, [id])? else {
        return Err(gone(db.view(), id)?);
    };
    let Some(to) = certificate.transfer.to.take().filter(|_| certificate.is_in_transfer()) else {
        return Err(not_pending(&certificate));
    };
    let there = Scope::new(&to, &db.cx.scope.region);
    if let Some(offered) = db.view().get_global(&CERTIFICATES, &there.key([id]))? {
        take_out_of(db, &there, id, &offered)?;
    }
    let own = db.cx.scope.clone();
    Offered::withdraw(db, &own, id, &certificate)?;
    certificate.change("INACTIVE", db.now());
    Ok(db.put(&CERTIFICATES, [id], &certificate)?)
}

/// Why a certificate that is not here cannot be taken back: perhaps it has been accepted meanwhile.
fn gone(db: Read, id: &str) -> Answer<Failure> {
    let own = Some(&*db.cx.scope.account);
    let was_ours = elsewhere(db, id)?.iter().any(|(_, there)| there.previous_owner.as_deref() == own);
    Ok(if was_ours {
        Refusal::transfer_already_completed("The transfer is already complete.").into()
    } else {
        Refusal::resource_not_found("The specified resource does not exist").into()
    })
}

fn list_outgoing_certificates(
    db: Read,
    input: &ListOutgoingCertificatesRequest,
) -> Answer<ListOutgoingCertificatesResponse> {
    let asked = Asked::new(input.marker(), input.page_size()).by_date(input.ascending_order());
    let page = db.page(&OUTGOING, NO_PARTS, asked, |_, ()| true)?;
    let listed = page.items.iter().map(|(key, ())| outgoing(db, key.text_at(3)?)).collect::<Answer<Vec<_>>>()?;
    let answer = ListOutgoingCertificatesResponse::new().with_outgoing_certificates(listed);
    Ok(paged(answer, page.next, ListOutgoingCertificatesResponse::with_next_marker))
}

fn outgoing(db: Read, id: String) -> Answer<OutgoingCertificate> {
    let Certificate { transfer, created, .. } = db.named(&CERTIFICATES, [&id])?;
    let answer = OutgoingCertificate::new()
        .with_certificate_arn(arn(db, &id))
        .with_certificate_id(id)
        .with_creation_date(created);
    let answer = transfer.to.into_iter().fold(answer, OutgoingCertificate::with_transferred_to);
    let answer = transfer.offered.into_iter().fold(answer, OutgoingCertificate::with_transfer_date);
    Ok(transfer.message.into_iter().fold(answer, OutgoingCertificate::with_transfer_message))
}
