//! What a user or the holder of a role may do: the policies that reach it, by its groups too, within its boundary and within what
//! its session was narrowed to, and the values of their variables. What is asked of them, and what a refusal looks like, is unknown
//! here.

use policy::{Attached, Context, PolicySet};
use store::Fault;

use super::attached::{self, Bond};
use super::inline::{self, Inside};
use super::tags::Tags;
use super::{groups, policies, roles, users};
use crate::caller::Identity;
use crate::scope::Read;

/// What limits are called in refusals.
const BOUNDARY: &str = "permissions boundary";
const SESSION: &str = "session policy";

/// What is known of somebody, by the names of IAM's global condition keys. Of who is held to no policies nothing need be.
pub(crate) fn variables(db: Read, identity: &Identity) -> Result<Context, Fault> {
    let mut values = Context::new();
    values.set("aws:PrincipalAccount", &db.cx.scope.account);
    values.set("aws:RequestedRegion", &db.cx.scope.region);
    match identity {
        Identity::User(user) => {
            values.set("aws:PrincipalArn", &user.arn);
            values.set("aws:PrincipalType", "User");
            values.set("aws:username", &user.name);
            values.set("aws:userid", &user.id);
            let found = users::filed(db, &super::folded(&user.name))?;
            add_tags(&mut values, found.as_ref().map(|user| &user.tags));
        }
        Identity::Role(session) => {
            values.set("aws:PrincipalArn", &session.role_arn);
            values.set("aws:PrincipalType", "AssumedRole");
            values.set("aws:userid", &session.user_id);
            let found = roles::role(db, &session.role_arn)?;
            add_tags(&mut values, found.as_ref().map(|role| &role.tags));
            for (key, value) in &session.context {
                values.set(key, value);
            }
        }
        Identity::Key(_) | Identity::Device { .. } => {}
    }
    Ok(values)
}

fn add_tags(values: &mut Context, tags: Option<&Tags>) {
    for (key, value) in tags.into_iter().flatten() {
        values.set(&format!("aws:PrincipalTag/{key}"), value);
    }
}

/// The policies of somebody who is held to those of IAM. Who is no longer there has none.
pub(crate) fn set(db: Read, identity: &Identity, values: Context) -> Result<PolicySet, Fault> {
    match identity {
        Identity::User(user) => {
            let found = users::filed(db, &super::folded(&user.name))?.filter(|found| found.id == user.id);
            let Some(found) = found else { return Ok(nothing(values)) };
            let mut policies = given(db, (&found.name, &found.name), &attached::OF_USERS, &inline::OF_USERS)?;
            for group in groups::of_user(db, &found.name)? {
                let Some(group) = groups::filed(db, &group)?.map(|group| group.name) else { continue };
                let told = format!("the group {group}");
                policies.extend(given(db, (&group, &told), &attached::OF_GROUPS, &inline::OF_GROUPS)?);
            }
            within_bounds(db, &found.name, policies, &attached::BOUNDS_OF_USERS, values)
        }
        Identity::Role(session) => {
            let found = roles::role(db, &session.role_arn)?.filter(|role| session.is_of(&role.id));
            let Some(found) = found else { return Ok(nothing(values)) };
            let policies = given(db, (&found.name, &found.name), &attached::OF_ROLES, &inline::OF_ROLES)?;
            let set = within_bounds(db, &found.name, policies, &attached::BOUNDS_OF_ROLES, values.clone())?;
            if session.policy.is_none() && session.policy_arns.is_empty() {
                return Ok(set);
            }
            let mut narrowing = managed(db, &session.policy_arns, SESSION)?;
            if let Some(text) = &session.policy {
                narrowing.push(read(db, "Policy", SESSION, text)?);
            }
            Ok(set.within(SESSION, PolicySet::compile(narrowing, values)))
        }
        Identity::Key(_) | Identity::Device { .. } => Ok(nothing(values)),
    }
}

fn nothing(values: Context) -> PolicySet {
    PolicySet::compile(Vec::<Attached>::new(), values)
}

/// What is attached to a holder and what stands inside it. `told` is how the holder is called where a policy decides.
fn given(db: Read, (holder, told): (&str, &str), attached: &Bond, inside: &Inside) -> Result<Vec<Attached>, Fault> {
    let mut policies = managed(db, &attached.of_holder(db, holder)?, &format!("{told}, to whom it is attached"))?;
    for (name, text) in inside.all(db, holder)? {
        policies.push(read(db, &name, &format!("{told}, in whom it stands"), &text)?);
    }
    Ok(policies)
}

fn within_bounds(
    db: Read,
    holder: &str,
    policies: Vec<Attached>,
    bounds: &Bond,
    values: Context,
) -> Result<PolicySet, Fault> {
    let bounds = bounds.of_holder(db, holder)?;
    if bounds.is_empty() {
        return Ok(PolicySet::compile(policies, values));
    }
    let limit = PolicySet::compile(managed(db, &bounds, BOUNDARY)?, values.clone());
    Ok(PolicySet::compile(policies, values).within(BOUNDARY, limit))
}

/// Managed policies by ARN; one that is gone grants nothing.
fn managed(db: Read, arns: &[String], through: &str) -> Result<Vec<Attached>, Fault> {
    let mut found = Vec::new();
    for arn in arns {
        if let Some(text) = policies::default_document(db, arn)? {
            found.push(read(db, arn, through, &text)?);
        }
    }
    Ok(found)
}

fn read(db: Read, name: &str, through: &str, text: &str) -> Result<Attached, Fault> {
    let document = db.cx.documents.parse_of_iam(name, text)?;
    Ok(Attached { name: name.into(), through: through.into(), document })
}
