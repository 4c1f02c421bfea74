//! Policies that stand inside a user, a group or a role and go with it. What any of them is, is known by its own file; what a
//! document says, by `policy`.

use policy::iam::Kind;
use store::{Fault, Table};
use wire::iam::{
    DeleteGroupPolicyRequest, DeleteRolePolicyRequest, DeleteUserPolicyRequest, GetGroupPolicyRequest,
    GetGroupPolicyResponse, GetRolePolicyRequest, GetRolePolicyResponse, GetUserPolicyRequest, GetUserPolicyResponse,
    ListGroupPoliciesRequest, ListGroupPoliciesResponse, ListRolePoliciesRequest, ListRolePoliciesResponse,
    ListUserPoliciesRequest, ListUserPoliciesResponse, PutGroupPolicyRequest, PutRolePolicyRequest,
    PutUserPolicyRequest,
};

use super::{document, encoded, folded, groups, limit_exceeded, no_such_entity, roles, size, users, with_marker};
use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::scope::{Everywhere, Page, Read, Write};

pub(crate) const OPS: &[Op] = ops! {
    write put_role_policy on any;
    read  get_role_policy on any;
    read  list_role_policies on any;
    write delete_role_policy on any;
    write put_user_policy on any;
    read  get_user_policy on any;
    read  list_user_policies on any;
    write delete_user_policy on any;
    write put_group_policy on any;
    read  get_group_policy on any;
    read  list_group_policies on any;
    write delete_group_policy on any;
};

/// Whose policies they are.
pub(super) struct Inside {
    /// The document, by folded name of the holder and name of the policy.
    table: Everywhere<Vec<u8>>,
    /// As messages call the holder.
    noun: &'static str,
    /// Characters of all policies inside one.
    most: usize,
}

pub(super) const OF_ROLES: Inside =
    Inside { table: Everywhere(Table::new("iam_inline_policies")), noun: "role", most: 10_240 };
pub(super) const OF_USERS: Inside =
    Inside { table: Everywhere(Table::new("iam_user_inline_policies")), noun: "user", most: 2048 };
pub(super) const OF_GROUPS: Inside =
    Inside { table: Everywhere(Table::new("iam_group_inline_policies")), noun: "group", most: 5120 };

impl Inside {
    /// Whether a holder has any.
    pub(super) fn has_any(&self, db: Read, holder: &str) -> Result<bool, Fault> {
        Ok(db.first(&self.table, [folded(holder)])?.is_some())
    }

    /// All that a holder has: names and documents.
    pub(super) fn all(&self, db: Read, holder: &str) -> Result<Vec<(String, String)>, Fault> {
        let found = db.all(&self.table, [folded(holder)])?;
        found.into_iter().map(|(key, text)| Ok((key.text_at(3)?, read(text)?))).collect()
    }

    /// Gives all that stands inside a holder to its new name.
    pub(super) fn rename(&self, db: &mut Write, from: &str, to: &str) -> Result<(), Fault> {
        let (from, to) = (folded(from), folded(to));
        for (name, text) in self.all(db.view(), &from)? {
            db.delete(&self.table, [&*from, &*name])?;
            db.put(&self.table, [&*to, &*name], &text.into_bytes())?;
        }
        Ok(())
    }

    fn put(&self, db: &mut Write, holder: &str, name: &str, text: &str) -> Answer<()> {
        document(text, Kind::Inline)?;
        let others = self.all(db.view(), holder)?;
        let others: usize = others.iter().filter(|(other, _)| other != name).map(|(_, text)| size(text)).sum();
        if others + size(text) > self.most {
            let (most, noun) = (self.most, self.noun);
            return Err(limit_exceeded(format!("Maximum policy size of {most} bytes exceeded for {noun} {holder}")));
        }
        Ok(db.put(&self.table, [&*folded(holder), name], &text.as_bytes().to_vec())?)
    }

    /// The document of a policy.
    fn text(&self, db: Read, holder: &str, name: &str) -> Answer<String> {
        let found = db.get(&self.table, [&*folded(holder), name])?;
        let none = || no_such_entity(format!("The {} policy with name {name} cannot be found.", self.noun));
        Ok(read(found.ok_or_else(none)?)?)
    }

    fn names(&self, db: Read, holder: &str, asked: (Option<&str>, Option<i64>)) -> Answer<Page<String>> {
        let page = super::page(db, &self.table, [folded(holder)], asked, |_, _| true)?;
        let named = |(key, _): (store::Key, Vec<u8>)| key.text_at(3).map(|name| (key, name));
        let items = page.items.into_iter().map(named).collect::<Result<_, _>>()?;
        Ok(Page { items, next: page.next })
    }

    fn delete(&self, db: &mut Write, holder: &str, name: &str) -> Answer<()> {
        self.text(db.view(), holder, name)?;
        Ok(db.delete(&self.table, [&*folded(holder), name])?)
    }
}

fn read(text: Vec<u8>) -> Result<String, Fault> {
    String::from_utf8(text).map_err(|cause| Fault::because("read a policy", cause))
}

fn put_role_policy(db: &mut Write, input: &PutRolePolicyRequest) -> Answer<()> {
    let role = roles::named(db.view(), input.role_name())?;
    OF_ROLES.put(db, &role.name, input.policy_name(), input.policy_document())?;
    db.tell(News::Permissions(role.arn(db.view())));
    Ok(())
}

fn get_role_policy(db: Read, input: &GetRolePolicyRequest) -> Answer<GetRolePolicyResponse> {
    let role = roles::named(db, input.role_name())?.name;
    let text = OF_ROLES.text(db, &role, input.policy_name())?;
    Ok(GetRolePolicyResponse::new()
        .with_role_name(role)
        .with_policy_name(input.policy_name())
        .with_policy_document(encoded(&text)))
}

fn list_role_policies(db: Read, input: &ListRolePoliciesRequest) -> Answer<ListRolePoliciesResponse> {
    let role = roles::named(db, input.role_name())?.name;
    let page = OF_ROLES.names(db, &role, (input.marker(), input.max_items()))?;
    let names = page.items.into_iter().map(|(_, name)| name);
    Ok(with_marker!(ListRolePoliciesResponse::new().with_policy_names(names), page.next))
}

fn delete_role_policy(db: &mut Write, input: &DeleteRolePolicyRequest) -> Answer<()> {
    let role = roles::named(db.view(), input.role_name())?;
    OF_ROLES.delete(db, &role.name, input.policy_name())?;
    db.tell(News::Permissions(role.arn(db.view())));
    Ok(())
}

fn put_user_policy(db: &mut Write, input: &PutUserPolicyRequest) -> Answer<()> {
    let user = users::named(db.view(), input.user_name())?;
    OF_USERS.put(db, &user.name, input.policy_name(), input.policy_document())?;
    db.tell(News::Permissions(user.arn(db.view())));
    Ok(())
}

fn get_user_policy(db: Read, input: &GetUserPolicyRequest) -> Answer<GetUserPolicyResponse> {
    let user = users::named(db, input.user_name())?.name;
    let text = OF_USERS.text(db, &user, input.policy_name())?;
    Ok(GetUserPolicyResponse::new()
        .with_user_name(user)
        .with_policy_name(input.policy_name())
        .with_policy_document(encoded(&text)))
}

fn list_user_policies(db: Read, input: &ListUserPoliciesRequest) -> Answer<ListUserPoliciesResponse> {
    let user = users::named(db, input.user_name())?.name;
    let page = OF_USERS.names(db, &user, (input.marker(), input.max_items()))?;
    let names = page.items.into_iter().map(|(_, name)| name);
    Ok(with_marker!(ListUserPoliciesResponse::new().with_policy_names(names), page.next))
}

fn delete_user_policy(db: &mut Write, input: &DeleteUserPolicyRequest) -> Answer<()> {
    let user = users::named(db.view(), input.user_name())?;
    OF_USERS.delete(db, &user.name, input.policy_name())?;
    db.tell(News::Permissions(user.arn(db.view())));
    Ok(())
}

fn put_group_policy(db: &mut Write, input: &PutGroupPolicyRequest) -> Answer<()> {
    let group = groups::named(db.view(), input.group_name())?.name;
    OF_GROUPS.put(db, &group, input.policy_name(), input.policy_document())?;
    Ok(groups::tell(db, &group)?)
}

fn get_group_policy(db: Read, input: &GetGroupPolicyRequest) -> Answer<GetGroupPolicyResponse> {
    let group = groups::named(db, input.group_name())?.name;
    let text = OF_GROUPS.text(db, &group, input.policy_name())?;
    Ok(GetGroupPolicyResponse::new()
        .with_group_name(group)
        .with_policy_name(input.policy_name())
        .with_policy_document(encoded(&text)))
}

fn list_group_policies(db: Read, input: &ListGroupPoliciesRequest) -> Answer<ListGroupPoliciesResponse> {
    let group = groups::named(db, input.group_name())?.name;
    let page = OF_GROUPS.names(db, &group, (input.marker(), input.max_items()))?;
    let names = page.items.into_iter().map(|(_, name)| name);
    Ok(with_marker!(ListGroupPoliciesResponse::new().with_policy_names(names), page.next))
}

fn delete_group_policy(db: &mut Write, input: &DeleteGroupPolicyRequest) -> Answer<()> {
    let group = groups::named(db.view(), input.group_name())?.name;
    OF_GROUPS.delete(db, &group, input.policy_name())?;
    Ok(groups::tell(db, &group)?)
}
