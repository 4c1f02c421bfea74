//! The alias of an account: a name that stands for its number where people sign in. Nobody signs in here by one, so it is kept to
//! be told again; tools show it beside the account.

use store::Table;
use wire::Refusal;
use wire::iam::{
    CreateAccountAliasRequest, DeleteAccountAliasRequest, ListAccountAliasesRequest, ListAccountAliasesResponse,
};

use super::no_such_entity;
use crate::operation::{Answer, Op, ops};
use crate::scope::{Everywhere, NO_PARTS, Read, Write};

pub(crate) const OPS: &[Op] = ops! {
    write create_account_alias on any;
    write delete_account_alias on any;
    read  list_account_aliases on any;
};

/// By itself. An account has one at most.
const ALIASES: Everywhere<()> = Everywhere(Table::new("iam_account_aliases"));

/// unconfirmed: that an alias which another account has here is free.
fn create_account_alias(db: &mut Write, input: &CreateAccountAliasRequest) -> Answer<()> {
    let alias = input.account_alias();
    if db.view().contains(&ALIASES, [alias])? {
        // unconfirmed: the text.
        let message = format!("The account alias {alias} already exists.");
        return Err(Refusal::new("EntityAlreadyExists", message).into());
    }
    for old in aliases(db.view())? {
        db.delete(&ALIASES, [old])?;
    }
    Ok(db.put(&ALIASES, [alias], &())?)
}

fn aliases(db: Read) -> Answer<Vec<String>> {
    Ok(db.all(&ALIASES, NO_PARTS)?.into_iter().map(|(key, ())| key.text_at(2)).collect::<Result<_, _>>()?)
}

fn delete_account_alias(db: &mut Write, input: &DeleteAccountAliasRequest) -> Answer<()> {
    let alias = input.account_alias();
    if !db.view().contains(&ALIASES, [alias])? {
        // unconfirmed: the text.
        return Err(no_such_entity(format!("The account alias {alias} cannot be found.")));
    }
    Ok(db.delete(&ALIASES, [alias])?)
}

fn list_account_aliases(db: Read, _: &ListAccountAliasesRequest) -> Answer<ListAccountAliasesResponse> {
    Ok(ListAccountAliasesResponse::new().with_account_aliases(aliases(db)?).with_is_truncated(false))
}
