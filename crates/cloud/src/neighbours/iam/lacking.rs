//! What nobody has here: passwords, MFA devices, and credentials of other kinds than access keys. Tools ask for them before they
//! delete a user, and are told the truth. What users have is known by other files.

use wire::iam::{
    DeleteLoginProfileRequest, GetLoginProfileRequest, GetLoginProfileResponse, ListMFADevicesRequest,
    ListMFADevicesResponse, ListSSHPublicKeysRequest, ListSSHPublicKeysResponse, ListServiceSpecificCredentialsRequest,
    ListServiceSpecificCredentialsResponse, ListSigningCertificatesRequest, ListSigningCertificatesResponse,
    ListVirtualMFADevicesRequest, ListVirtualMFADevicesResponse,
};

use super::{no_such_entity, users};
use crate::operation::{Answer, Failure, Op, ops};
use crate::scope::{Read, Write};

pub(crate) const OPS: &[Op] = ops! {
    read  get_login_profile on any;
    write delete_login_profile on any;
    read  list_mfa_devices on any;
    read  list_virtual_mfa_devices on any;
    read  list_ssh_public_keys on any;
    read  list_signing_certificates on any;
    read  list_service_specific_credentials on any;
};

/// Who is named must be there; who names nobody means the caller.
fn check_user(db: Read, name: Option<&str>) -> Answer<()> {
    name.map_or(Ok(()), |name| users::named(db, name).map(drop))
}

fn no_profile(db: Read, name: Option<&str>) -> Failure {
    match (check_user(db, name), name) {
        (Err(failure), _) => failure,
        (Ok(()), Some(name)) => no_such_entity(format!("Login Profile for User {name} cannot be found.")),
        (Ok(()), None) => no_such_entity("Login Profile cannot be found."),
    }
}

fn get_login_profile(db: Read, input: &GetLoginProfileRequest) -> Answer<GetLoginProfileResponse> {
    Err(no_profile(db, input.user_name()))
}

fn delete_login_profile(db: &mut Write, input: &DeleteLoginProfileRequest) -> Answer<()> {
    Err(no_profile(db.view(), input.user_name()))
}

fn list_mfa_devices(db: Read, input: &ListMFADevicesRequest) -> Answer<ListMFADevicesResponse> {
    check_user(db, input.user_name())?;
    Ok(ListMFADevicesResponse::new().with_mfa_devices([]).with_is_truncated(false))
}

#[expect(clippy::unnecessary_wraps, reason = "all handlers answer so")]
fn list_virtual_mfa_devices(_: Read, _: &ListVirtualMFADevicesRequest) -> Answer<ListVirtualMFADevicesResponse> {
    Ok(ListVirtualMFADevicesResponse::new().with_virtual_mfa_devices([]).with_is_truncated(false))
}

fn list_ssh_public_keys(db: Read, input: &ListSSHPublicKeysRequest) -> Answer<ListSSHPublicKeysResponse> {
    check_user(db, input.user_name())?;
    Ok(ListSSHPublicKeysResponse::new().with_ssh_public_keys([]).with_is_truncated(false))
}

fn list_signing_certificates(
    db: Read,
    input: &ListSigningCertificatesRequest,
) -> Answer<ListSigningCertificatesResponse> {
    check_user(db, input.user_name())?;
    Ok(ListSigningCertificatesResponse::new().with_certificates([]).with_is_truncated(false))
}

fn list_service_specific_credentials(
    db: Read,
    input: &ListServiceSpecificCredentialsRequest,
) -> Answer<ListServiceSpecificCredentialsResponse> {
    check_user(db, input.user_name())?;
    Ok(ListServiceSpecificCredentialsResponse::new().with_service_specific_credentials([]))
}
