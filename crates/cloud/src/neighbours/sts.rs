//! The Security Token Service, of which walkthroughs ask one thing: which account am I?

use wire::Refusal;

use crate::caller::{Caller, Identity};

/// The XML namespace of its answers, which is also its version.
pub const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Answers an action with the members of its result.
pub fn answer(caller: &Caller, action: &str) -> Result<Vec<(&'static str, String)>, Refusal> {
    if action == "GetCallerIdentity" {
        return get_caller_identity(caller);
    }
    let message = format!("sts {action} is not implemented yet; docs/operations.md lists the operations that are.");
    Err(Refusal::new("NotImplementedException", message))
}

/// In development a key has no user behind it: whoever holds one is the root of its account.
fn get_caller_identity(caller: &Caller) -> Result<Vec<(&'static str, String)>, Refusal> {
    let Identity::Key(_) = &caller.identity else {
        return Err(Refusal::forbidden("a device certificate has no identity here; sign with an access key"));
    };
    let account = caller.scope.account.to_string();
    let arn = format!("arn:aws:iam::{account}:root");
    Ok(vec![("Arn", arn), ("UserId", account.clone()), ("Account", account)])
}
