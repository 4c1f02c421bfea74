//! Which managed policy is attached to which user, group or role, or is the boundary of what one may be permitted: to be asked from
//! both ends. What any of them is, is known by its own file.

use store::{Fault, Table};
use wire::iam::{
    AttachGroupPolicyRequest, AttachRolePolicyRequest, AttachUserPolicyRequest, AttachedPolicy,
    DetachGroupPolicyRequest, DetachRolePolicyRequest, DetachUserPolicyRequest, ListAttachedGroupPoliciesRequest,
    ListAttachedGroupPoliciesResponse, ListAttachedRolePoliciesRequest, ListAttachedRolePoliciesResponse,
    ListAttachedUserPoliciesRequest, ListAttachedUserPoliciesResponse, ListEntitiesForPolicyRequest,
    ListEntitiesForPolicyResponse, PolicyGroup, PolicyRole, PolicyUser,
};

use super::{folded, groups, limit_exceeded, no_such_entity, policies, roles, users, with_marker};
use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::scope::{Everywhere, Read, Write};

pub(crate) const OPS: &[Op] = ops! {
    write attach_role_policy on any;
    write detach_role_policy on any;
    read  list_attached_role_policies on any;
    write attach_user_policy on any;
    write detach_user_policy on any;
    read  list_attached_user_policies on any;
    write attach_group_policy on any;
    write detach_group_policy on any;
    read  list_attached_group_policies on any;
    read  list_entities_for_policy on any;
};

/// A kind of bond between holders and policies.
pub(super) struct Bond {
    /// By folded name of the holder and ARN of the policy.
    of_holders: Everywhere<()>,
    /// By ARN of the policy and folded name of the holder: the same, the other way round.
    of_policies: Everywhere<()>,
    /// How many policies one holder may have, and what the quota is called.
    most: (usize, &'static str),
}

const fn bond(of_holders: &'static str, of_policies: &'static str, most: (usize, &'static str)) -> Bond {
    let (of_holders, of_policies) = (Everywhere(Table::new(of_holders)), Everywhere(Table::new(of_policies)));
    Bond { of_holders, of_policies, most }
}

pub(super) const OF_ROLES: Bond = bond("iam_role_policies", "iam_policy_roles", (10, "PoliciesPerRole"));
pub(super) const OF_USERS: Bond = bond("iam_user_policies", "iam_policy_users", (10, "PoliciesPerUser"));
pub(super) const OF_GROUPS: Bond = bond("iam_group_policies", "iam_policy_groups", (10, "PoliciesPerGroup"));
/// What no policy can lift a holder above.
pub(super) const BOUNDS_OF_ROLES: Bond = bond("iam_role_bounds", "iam_bound_roles", (1, "BoundariesPerRole"));
pub(super) const BOUNDS_OF_USERS: Bond = bond("iam_user_bounds", "iam_bound_users", (1, "BoundariesPerUser"));

impl Bond {
    /// Whether a holder has any.
    pub(super) fn has_any(&self, db: Read, holder: &str) -> Result<bool, Fault> {
        Ok(db.first(&self.of_holders, [folded(holder)])?.is_some())
    }

    /// The ARNs of what a holder has.
    pub(super) fn of_holder(&self, db: Read, holder: &str) -> Result<Vec<String>, Fault> {
        db.all(&self.of_holders, [folded(holder)])?.into_iter().map(|(key, ())| key.text_at(3)).collect()
    }

    /// The folded names of those who have a policy.
    fn of_policy(&self, db: Read, arn: &str) -> Result<Vec<String>, Fault> {
        db.all(&self.of_policies, [arn])?.into_iter().map(|(key, ())| key.text_at(3)).collect()
    }

    fn tie(&self, db: &mut Write, holder: &str, arn: &str) -> Answer<()> {
        let holder = folded(holder);
        if policies::found(db.view(), arn)?.is_none() {
            return Err(no_such_entity(format!("Policy {arn} does not exist or is not attachable.")));
        }
        if db.view().contains(&self.of_holders, [&*holder, arn])? {
            return Ok(());
        }
        let (most, quota) = self.most;
        if db.view().all(&self.of_holders, [&holder])?.len() >= most {
            return Err(limit_exceeded(format!("Cannot exceed quota for {quota}: {most}")));
        }
        db.put(&self.of_holders, [&*holder, arn], &())?;
        Ok(db.put(&self.of_policies, [arn, &*holder], &())?)
    }

    fn cut(&self, db: &mut Write, holder: &str, arn: &str) -> Answer<()> {
        let holder = folded(holder);
        if !db.view().contains(&self.of_holders, [&*holder, arn])? {
            return Err(no_such_entity(format!("Policy {arn} was not found.")));
        }
        db.delete(&self.of_holders, [&*holder, arn])?;
        Ok(db.delete(&self.of_policies, [arn, &*holder])?)
    }

    /// Puts one policy in the place of whatever there was.
    pub(super) fn replace(&self, db: &mut Write, holder: &str, arn: Option<&str>) -> Answer<()> {
        for old in self.of_holder(db.view(), holder)? {
            self.cut(db, holder, &old)?;
        }
        arn.map_or(Ok(()), |arn| self.tie(db, holder, arn))
    }

    /// Gives all that a holder has to its new name.
    pub(super) fn rename(&self, db: &mut Write, from: &str, to: &str) -> Result<(), Fault> {
        let (from, to) = (folded(from), folded(to));
        for arn in self.of_holder(db.view(), &from)? {
            db.delete(&self.of_holders, [&*from, &*arn])?;
            db.delete(&self.of_policies, [&*arn, &*from])?;
            db.put(&self.of_holders, [&*to, &*arn], &())?;
            db.put(&self.of_policies, [&*arn, &*to], &())?;
        }
        Ok(())
    }

    fn page(&self, db: Read, holder: &str, prefix: Option<&str>, asked: (Option<&str>, Option<i64>)) -> Answer<Listed> {
        let prefix = prefix.unwrap_or("/");
        let in_path = |arn: &str| super::parts(arn, "policy").is_some_and(|(_, path, _)| path.starts_with(prefix));
        let keep = |key: &store::Key, (): &()| key.text_at(3).is_ok_and(|arn| in_path(&arn));
        let page = super::page(db, &self.of_holders, [folded(holder)], asked, keep)?;
        let mut listed = Vec::with_capacity(page.items.len());
        for (key, ()) in page.items {
            let arn = key.text_at(3)?;
            let name = super::parts(&arn, "policy").map_or("", |(_, _, name)| name);
            listed.push(AttachedPolicy::new().with_policy_name(name).with_policy_arn(&arn));
        }
        Ok((listed, page.next))
    }
}

/// Policies of a page, and where the next one starts.
type Listed = (Vec<AttachedPolicy>, Option<String>);

/// How many users, groups and roles have a policy.
pub(super) fn count(db: Read, policy_arn: &str) -> Result<usize, Fault> {
    [OF_ROLES, OF_USERS, OF_GROUPS].iter().map(|bond| Ok(bond.of_policy(db, policy_arn)?.len())).sum()
}

/// How many users and roles have it as their boundary.
pub(super) fn count_bounds(db: Read, policy_arn: &str) -> Result<usize, Fault> {
    Ok(BOUNDS_OF_ROLES.of_policy(db, policy_arn)?.len() + BOUNDS_OF_USERS.of_policy(db, policy_arn)?.len())
}

/// Tells of everybody whom a change of this policy reaches.
pub(super) fn tell(db: &mut Write, policy_arn: &str) -> Result<(), Fault> {
    let mut reached = Vec::new();
    for name in [&OF_ROLES, &BOUNDS_OF_ROLES].map(|bond| bond.of_policy(db.view(), policy_arn)) {
        for role in name? {
            reached.extend(roles::filed(db.view(), &role)?.map(|role| role.arn(db.view())));
        }
    }
    for name in [&OF_USERS, &BOUNDS_OF_USERS].map(|bond| bond.of_policy(db.view(), policy_arn)) {
        for user in name? {
            reached.extend(users::filed(db.view(), &user)?.map(|user| user.arn(db.view())));
        }
    }
    for group in OF_GROUPS.of_policy(db.view(), policy_arn)? {
        reached.extend(groups::members(db.view(), &group)?.iter().map(|user| user.arn(db.view())));
    }
    for arn in reached {
        db.tell(News::Permissions(arn));
    }
    Ok(())
}

fn attach_role_policy(db: &mut Write, input: &AttachRolePolicyRequest) -> Answer<()> {
    let role = roles::named(db.view(), input.role_name())?;
    db.tell(News::Permissions(role.arn(db.view())));
    OF_ROLES.tie(db, &role.name, input.policy_arn())
}

fn detach_role_policy(db: &mut Write, input: &DetachRolePolicyRequest) -> Answer<()> {
    let role = roles::named(db.view(), input.role_name())?;
    db.tell(News::Permissions(role.arn(db.view())));
    OF_ROLES.cut(db, &role.name, input.policy_arn())
}

fn list_attached_role_policies(
    db: Read,
    input: &ListAttachedRolePoliciesRequest,
) -> Answer<ListAttachedRolePoliciesResponse> {
    let role = roles::named(db, input.role_name())?.name;
    let (listed, next) = OF_ROLES.page(db, &role, input.path_prefix(), (input.marker(), input.max_items()))?;
    Ok(with_marker!(ListAttachedRolePoliciesResponse::new().with_attached_policies(listed), next))
}

fn attach_user_policy(db: &mut Write, input: &AttachUserPolicyRequest) -> Answer<()> {
    let user = users::named(db.view(), input.user_name())?;
    db.tell(News::Permissions(user.arn(db.view())));
    OF_USERS.tie(db, &user.name, input.policy_arn())
}

fn detach_user_policy(db: &mut Write, input: &DetachUserPolicyRequest) -> Answer<()> {
    let user = users::named(db.view(), input.user_name())?;
    db.tell(News::Permissions(user.arn(db.view())));
    OF_USERS.cut(db, &user.name, input.policy_arn())
}

fn list_attached_user_policies(
    db: Read,
    input: &ListAttachedUserPoliciesRequest,
) -> Answer<ListAttachedUserPoliciesResponse> {
    let user = users::named(db, input.user_name())?.name;
    let (listed, next) = OF_USERS.page(db, &user, input.path_prefix(), (input.marker(), input.max_items()))?;
    Ok(with_marker!(ListAttachedUserPoliciesResponse::new().with_attached_policies(listed), next))
}

fn attach_group_policy(db: &mut Write, input: &AttachGroupPolicyRequest) -> Answer<()> {
    let group = groups::named(db.view(), input.group_name())?.name;
    OF_GROUPS.tie(db, &group, input.policy_arn())?;
    Ok(groups::tell(db, &group)?)
}

fn detach_group_policy(db: &mut Write, input: &DetachGroupPolicyRequest) -> Answer<()> {
    let group = groups::named(db.view(), input.group_name())?.name;
    OF_GROUPS.cut(db, &group, input.policy_arn())?;
    Ok(groups::tell(db, &group)?)
}

fn list_attached_group_policies(
    db: Read,
    input: &ListAttachedGroupPoliciesRequest,
) -> Answer<ListAttachedGroupPoliciesResponse> {
    let group = groups::named(db, input.group_name())?.name;
    let (listed, next) = OF_GROUPS.page(db, &group, input.path_prefix(), (input.marker(), input.max_items()))?;
    Ok(with_marker!(ListAttachedGroupPoliciesResponse::new().with_attached_policies(listed), next))
}

/// Somebody who has a policy.
enum Entity {
    Role(PolicyRole),
    User(PolicyUser),
    Group(PolicyGroup),
}

/// Roles, then users, then groups, which have no boundaries.
fn list_entities_for_policy(db: Read, input: &ListEntitiesForPolicyRequest) -> Answer<ListEntitiesForPolicyResponse> {
    let arn = input.policy_arn();
    if policies::found(db, arn)?.is_none() {
        return Err(no_such_entity(format!("Policy {arn} was not found.")));
    }
    let (prefix, kind) = (input.path_prefix().unwrap_or("/"), input.entity_filter());
    let as_boundary = input.policy_usage_filter() == Some("PermissionsBoundary");
    let (of_roles, of_users) = if as_boundary { (&BOUNDS_OF_ROLES, &BOUNDS_OF_USERS) } else { (&OF_ROLES, &OF_USERS) };
    let mut all = Vec::new();
    if kind.is_none_or(|kind| kind == "Role") {
        for name in of_roles.of_policy(db, arn)? {
            let role = roles::filed(db, &name)?.filter(|role| role.path.starts_with(prefix));
            all.extend(
                role.map(|role| Entity::Role(PolicyRole::new().with_role_name(role.name).with_role_id(role.id))),
            );
        }
    }
    if kind.is_none_or(|kind| kind == "User") {
        for name in of_users.of_policy(db, arn)? {
            let user = users::filed(db, &name)?.filter(|user| user.path.starts_with(prefix));
            all.extend(
                user.map(|user| Entity::User(PolicyUser::new().with_user_name(user.name).with_user_id(user.id))),
            );
        }
    }
    if !as_boundary && kind.is_none_or(|kind| kind == "Group") {
        for name in OF_GROUPS.of_policy(db, arn)? {
            let group = groups::filed(db, &name)?.filter(|group| group.path.starts_with(prefix));
            all.extend(
                group
                    .map(|group| Entity::Group(PolicyGroup::new().with_group_name(group.name).with_group_id(group.id))),
            );
        }
    }
    let (page, next) = super::part_of(all, input.marker(), input.max_items())?;
    Ok(with_marker!(entities(page), next))
}

/// Those of a page, each among its kind.
fn entities(page: Vec<Entity>) -> ListEntitiesForPolicyResponse {
    let (mut roles, mut users, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    for entity in page {
        match entity {
            Entity::Role(role) => roles.push(role),
            Entity::User(user) => users.push(user),
            Entity::Group(group) => groups.push(group),
        }
    }
    ListEntitiesForPolicyResponse::new().with_policy_groups(groups).with_policy_users(users).with_policy_roles(roles)
}
