//! The Security Token Service, of which walkthroughs ask one thing: which account am I? Temporary keys and roles are
//! unknown here.

use wire::Refusal;
use wire::sts::{GetCallerIdentityRequest, GetCallerIdentityResponse};

use crate::caller::Identity;
use crate::operation::{Answer, Op, ops};
use crate::origin::Origin;
use crate::scope::Read;

pub(crate) const OPS: &[Op] = ops! {
    read get_caller_identity on any;
};

/// In development a key has no user behind it: whoever holds one is the root of its account.
fn get_caller_identity(db: Read, _: &GetCallerIdentityRequest) -> Answer<GetCallerIdentityResponse> {
    let Origin::Caller(Identity::Key(_)) = &*db.cx.origin else {
        return Err(Refusal::forbidden("a device certificate has no identity here; sign with an access key").into());
    };
    let account = &*db.cx.scope.account;
    Ok(GetCallerIdentityResponse::new()
        .with_arn(format!("arn:aws:iam::{account}:root"))
        .with_user_id(account)
        .with_account(account))
}
