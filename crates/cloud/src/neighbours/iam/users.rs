//! Users, of which there are none: whoever holds an access key is the root of its account. Tools ask who they are this way too.

use wire::Refusal;
use wire::iam::{GetUserRequest, GetUserResponse, User};

use super::no_such_entity;
use crate::caller::Identity;
use crate::operation::{Answer, Op, ops};
use crate::scope::Read;

pub(crate) const OPS: &[Op] = ops! {
    read get_user on any;
};

fn get_user(db: Read, input: &GetUserRequest) -> Answer<GetUserResponse> {
    if let Some(name) = input.user_name() {
        return Err(no_such_entity(format!("The user with name {name} cannot be found.")));
    }
    let Some(Identity::Key(_)) = &db.cx.origin.caller else {
        let message = "Must specify userName when calling with non-User credentials";
        return Err(Refusal::new("ValidationError", message).into());
    };
    let account = &*db.cx.scope.account;
    // An account is not made but there; its root is as old as time. Like AWS's, it has no name.
    let root = User::new()
        .with_path("/")
        .with_user_id(account)
        .with_arn(format!("arn:aws:iam::{account}:root"))
        .with_create_date(0);
    Ok(GetUserResponse::new().with_user(root))
}
