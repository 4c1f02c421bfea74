//! Which managed policy is attached to which role, to be asked from both ends. What either of them is, is known by its own
//! file.

use store::{Fault, Table};
use wire::iam::{
    AttachRolePolicyRequest, AttachedPolicy, DetachRolePolicyRequest, ListAttachedRolePoliciesRequest,
    ListAttachedRolePoliciesResponse, ListEntitiesForPolicyRequest, ListEntitiesForPolicyResponse, PolicyRole,
};

use super::{folded, limit_exceeded, no_such_entity, policies, roles, with_marker};
use crate::operation::{Answer, Op, ops};
use crate::scope::{Everywhere, Read, Write};

pub(crate) const OPS: &[Op] = ops! {
    write attach_role_policy on any;
    write detach_role_policy on any;
    read  list_attached_role_policies on any;
    read  list_entities_for_policy on any;
};

/// By folded name of the role and ARN of the policy.
const ROLE_POLICIES: Everywhere<()> = Everywhere(Table::new("iam_role_policies"));
/// By ARN of the policy and folded name of the role: the same, the other way round.
const POLICY_ROLES: Everywhere<()> = Everywhere(Table::new("iam_policy_roles"));

/// Policies of one role.
const POLICIES_PER_ROLE: usize = 10;

/// Whether a role has any.
pub(super) fn has_any(db: Read, role: &str) -> Result<bool, Fault> {
    Ok(db.first(&ROLE_POLICIES, [folded(role)])?.is_some())
}

/// How many roles have a policy.
pub(super) fn count(db: Read, policy_arn: &str) -> Result<usize, Fault> {
    Ok(db.all(&POLICY_ROLES, [policy_arn])?.len())
}

fn attach_role_policy(db: &mut Write, input: &AttachRolePolicyRequest) -> Answer<()> {
    let role = folded(&roles::named(db.view(), input.role_name())?.name);
    let arn = input.policy_arn();
    if policies::found(db.view(), arn)?.is_none() {
        return Err(no_such_entity(format!("Policy {arn} does not exist or is not attachable.")));
    }
    if db.view().contains(&ROLE_POLICIES, [&*role, arn])? {
        return Ok(());
    }
    if db.view().all(&ROLE_POLICIES, [&role])?.len() >= POLICIES_PER_ROLE {
        return Err(limit_exceeded(format!("Cannot exceed quota for PoliciesPerRole: {POLICIES_PER_ROLE}")));
    }
    db.put(&ROLE_POLICIES, [&*role, arn], &())?;
    Ok(db.put(&POLICY_ROLES, [arn, &*role], &())?)
}

fn detach_role_policy(db: &mut Write, input: &DetachRolePolicyRequest) -> Answer<()> {
    let role = folded(&roles::named(db.view(), input.role_name())?.name);
    let arn = input.policy_arn();
    if !db.view().contains(&ROLE_POLICIES, [&*role, arn])? {
        return Err(no_such_entity(format!("Policy {arn} was not found.")));
    }
    db.delete(&ROLE_POLICIES, [&*role, arn])?;
    Ok(db.delete(&POLICY_ROLES, [arn, &*role])?)
}

fn list_attached_role_policies(
    db: Read,
    input: &ListAttachedRolePoliciesRequest,
) -> Answer<ListAttachedRolePoliciesResponse> {
    let role = folded(&roles::named(db, input.role_name())?.name);
    let prefix = input.path_prefix().unwrap_or("/");
    let in_path = |arn: &str| super::parts(arn, "policy").is_some_and(|(_, path, _)| path.starts_with(prefix));
    let asked = (input.marker(), input.max_items());
    let page =
        super::page(db, &ROLE_POLICIES, [&role], asked, |key, ()| key.text_at(3).is_ok_and(|arn| in_path(&arn)))?;
    let mut listed = Vec::with_capacity(page.items.len());
    for (key, ()) in page.items {
        let arn = key.text_at(3)?;
        let name = super::parts(&arn, "policy").map_or("", |(_, _, name)| name);
        listed.push(AttachedPolicy::new().with_policy_name(name).with_policy_arn(&arn));
    }
    Ok(with_marker!(ListAttachedRolePoliciesResponse::new().with_attached_policies(listed), page.next))
}

/// Only roles: there are no users and no groups.
fn list_entities_for_policy(db: Read, input: &ListEntitiesForPolicyRequest) -> Answer<ListEntitiesForPolicyResponse> {
    let arn = input.policy_arn();
    if policies::found(db, arn)?.is_none() {
        return Err(no_such_entity(format!("Policy {arn} was not found.")));
    }
    let of_roles = input.entity_filter().is_none_or(|kind| kind == "Role")
        && input.policy_usage_filter().is_none_or(|usage| usage == "PermissionsPolicy");
    let prefix = input.path_prefix().unwrap_or("/");
    let page = super::page(db, &POLICY_ROLES, [arn], (input.marker(), input.max_items()), |_, ()| of_roles)?;
    let mut listed = Vec::with_capacity(page.items.len());
    for (key, ()) in page.items {
        let Some(role) = roles::filed(db, &key.text_at(3)?)? else { continue };
        if role.path.starts_with(prefix) {
            listed.push(PolicyRole::new().with_role_name(role.name).with_role_id(role.id));
        }
    }
    let answer = ListEntitiesForPolicyResponse::new().with_policy_groups([]).with_policy_users([]);
    Ok(with_marker!(answer.with_policy_roles(listed), page.next))
}
