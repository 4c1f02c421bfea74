//! Policies that stand inside a role and go with it. What a role is, is known by its own file; what a document says, by
//! `policy`.

use policy::iam::Kind;
use store::{Fault, Table};
use wire::iam::{
    DeleteRolePolicyRequest, GetRolePolicyRequest, GetRolePolicyResponse, ListRolePoliciesRequest,
    ListRolePoliciesResponse, PutRolePolicyRequest,
};

use super::{document, encoded, folded, limit_exceeded, no_such_entity, roles, size, with_marker};
use crate::operation::{Answer, Op, ops};
use crate::scope::{Everywhere, Read, Write};

pub(crate) const OPS: &[Op] = ops! {
    write put_role_policy on any;
    read  get_role_policy on any;
    read  list_role_policies on any;
    write delete_role_policy on any;
};

/// The document, by folded name of the role and name of the policy.
const INLINE: Everywhere<Vec<u8>> = Everywhere(Table::new("iam_inline_policies"));

/// Characters of all policies inside a role.
const SIZE: usize = 10_240;

/// Whether a role has any.
pub(super) fn has_any(db: Read, role: &str) -> Result<bool, Fault> {
    Ok(db.first(&INLINE, [folded(role)])?.is_some())
}

fn put_role_policy(db: &mut Write, input: &PutRolePolicyRequest) -> Answer<()> {
    let role = roles::named(db.view(), input.role_name())?.name;
    let (name, text) = (input.policy_name(), input.policy_document());
    document(text, Kind::Inline)?;
    let mut total = size(text);
    for (key, other) in db.view().all(&INLINE, [folded(&role)])? {
        if key.text_at(3)? != name {
            total += size(&String::from_utf8_lossy(&other));
        }
    }
    if total > SIZE {
        return Err(limit_exceeded(format!("Maximum policy size of {SIZE} bytes exceeded for role {role}")));
    }
    Ok(db.put(&INLINE, [&*folded(&role), name], &text.as_bytes().to_vec())?)
}

/// The document of a policy.
fn text(db: Read, role: &str, name: &str) -> Answer<String> {
    let found = db.get(&INLINE, [&*folded(role), name])?;
    let found = found.ok_or_else(|| no_such_entity(format!("The role policy with name {name} cannot be found.")))?;
    Ok(String::from_utf8(found).map_err(|cause| Fault::because("read a policy", cause))?)
}

fn get_role_policy(db: Read, input: &GetRolePolicyRequest) -> Answer<GetRolePolicyResponse> {
    let role = roles::named(db, input.role_name())?.name;
    let text = text(db, &role, input.policy_name())?;
    Ok(GetRolePolicyResponse::new()
        .with_role_name(role)
        .with_policy_name(input.policy_name())
        .with_policy_document(encoded(&text)))
}

fn list_role_policies(db: Read, input: &ListRolePoliciesRequest) -> Answer<ListRolePoliciesResponse> {
    let role = roles::named(db, input.role_name())?.name;
    let page = super::page(db, &INLINE, [folded(&role)], (input.marker(), input.max_items()), |_, _| true)?;
    let names = page.items.iter().map(|(key, _)| key.text_at(3)).collect::<Result<Vec<_>, _>>()?;
    Ok(with_marker!(ListRolePoliciesResponse::new().with_policy_names(names), page.next))
}

fn delete_role_policy(db: &mut Write, input: &DeleteRolePolicyRequest) -> Answer<()> {
    let role = roles::named(db.view(), input.role_name())?.name;
    text(db.view(), &role, input.policy_name())?;
    Ok(db.delete(&INLINE, [&*folded(&role), input.policy_name()])?)
}
