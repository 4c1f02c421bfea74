//! What policies are attached to: certificates, thing groups and Cognito identities, and through which of them a policy
//! reaches a device (security.md §3.7, §3.8). What the policies say is unknown here.

use std::collections::BTreeSet;

use store::{Direction, Fault, Table};
use wire::Refusal;
use wire::iot::{
    AttachPolicyRequest, AttachPrincipalPolicyRequest, DetachPolicyRequest, DetachPrincipalPolicyRequest,
    ListAttachedPoliciesRequest, ListAttachedPoliciesResponse, ListPolicyPrincipalsRequest,
    ListPolicyPrincipalsResponse, ListPrincipalPoliciesRequest, ListPrincipalPoliciesResponse,
    ListTargetsForPolicyRequest, ListTargetsForPolicyResponse,
};

use crate::certificates;
use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::scope::{Asked, Read, Write, paged};
use crate::thing_groups::{self, Reached};

pub(crate) const OPS: &[Op] = ops! {
    write attach_policy on of_arn(target);
    write detach_policy on of_arn(target);
    read  list_attached_policies on of_arn(target);
    read  list_targets_for_policy on policy(policy_name);
    write attach_principal_policy on of_arn(principal);
    write detach_principal_policy on of_arn(principal);
    read  list_principal_policies on of_arn(principal);
    read  list_policy_principals on policy(policy_name);
};

/// By target and name of the policy.
const TARGET_POLICIES: Table<()> = Table::new("target_policies");
/// By name of the policy and target: the same, the other way round.
const POLICY_TARGETS: Table<()> = Table::new("policy_targets");

/// Policies of one certificate or Cognito identity.
const POLICIES_OF_A_PRINCIPAL: usize = 10;
/// Policies of one thing group.
const POLICIES_OF_A_GROUP: usize = 2;

/// What a policy can be attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A certificate, by its id.
    Certificate(String),
    /// A thing group, by its name.
    Group(String),
    /// An identity of Cognito, by its id.
    Cognito(String),
}

impl Target {
    /// The target that a caller names; what is none, or is not there, is refused.
    pub(crate) fn named_by(db: Read, text: &str) -> Answer<Self> {
        if let Some(name) = thing_groups::name_of_arn(db, text) {
            if thing_groups::exists(db, name)? {
                return Ok(Self::Group(name.to_owned()));
            }
            // unconfirmed: the text.
            return Err(Refusal::resource_not_found(format!("No thing group exists with ARN {text}")).into());
        }
        if is_cognito_identity(text) {
            return Ok(Self::Cognito(text.to_owned()));
        }
        if certificates::id_of_arn(db, text).is_none() {
            let message = format!(
                "{text} is neither the ARN of a certificate or a thing group in this account and region, nor the id of \
                 a Cognito identity"
            );
            return Err(Refusal::invalid_request(message).into());
        }
        certificates::named_by(db, text).map(Self::Certificate)
    }

    /// How many policies it may have, and what it is called in a sentence.
    fn limit(&self) -> (usize, &'static str) {
        match self {
            Self::Certificate(_) | Self::Cognito(_) => (POLICIES_OF_A_PRINCIPAL, "principal"),
            Self::Group(_) => (POLICIES_OF_A_GROUP, "thing group"),
        }
    }

    /// What its policies are has changed.
    fn tell(self, db: &mut Write) {
        match self {
            Self::Certificate(id) => db.tell(News::Identity(id)),
            Self::Group(name) => db.tell(News::Group(name)),
            // Nobody is connected as one: they sign requests.
            Self::Cognito(_) => {}
        }
    }
}

/// Whether a text is an identity's id, `region:uuid`. That there is such an identity is Cognito's affair.
pub(crate) fn is_cognito_identity(text: &str) -> bool {
    let Some((region, id)) = text.split_once(':') else { return false };
    let of_region = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let of_id = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte) || byte == b'-';
    text.len() <= 55 && !region.is_empty() && region.bytes().all(of_region) && id.len() >= 36 && id.bytes().all(of_id)
}

/// The names of the policies attached to a target.
pub(crate) fn names(db: Read, target: &str) -> Result<Vec<String>, Fault> {
    db.all(&TARGET_POLICIES, [target])?.iter().map(|(key, ())| key.text_at(3)).collect()
}

/// Whether a policy is attached to more than one target.
pub(crate) fn is_shared(db: Read, policy: &str) -> Result<bool, Fault> {
    Ok(db.some(&POLICY_TARGETS, [policy], 2)?.len() > 1)
}

/// Whether a principal can have one policy more.
pub(crate) fn has_room(db: Read, principal: &str) -> Result<bool, Fault> {
    Ok(db.some(&TARGET_POLICIES, [principal], POLICIES_OF_A_PRINCIPAL)?.len() < POLICIES_OF_A_PRINCIPAL)
}

/// Whether any policy is attached to a target.
pub(crate) fn has_any(db: Read, target: &str) -> Result<bool, Fault> {
    Ok(db.first(&TARGET_POLICIES, [target])?.is_some())
}

/// Whether a policy is attached to anything.
pub(super) fn has_targets(db: Read, policy: &str) -> Result<bool, Fault> {
    Ok(db.first(&POLICY_TARGETS, [policy])?.is_some())
}

/// Detaches all policies of a target that is deleted.
pub(crate) fn detach_all(db: &mut Write, target: &str) -> Result<(), Fault> {
    for name in names(db.view(), target)? {
        db.delete(&TARGET_POLICIES, [target, &name])?;
        db.delete(&POLICY_TARGETS, [name.as_str(), target])?;
    }
    Ok(())
}

/// A policy that reaches somebody, and through what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reaching {
    /// The policy's name.
    pub(crate) policy: String,
    /// In words: `certificate`, `thing group root > hall`, or several of these.
    pub(crate) through: String,
}

/// Every policy that reaches a principal or a thing: its own, then those of the groups that the thing is in and of their
/// parents. Each is named once.
pub(crate) fn reaching(db: Read, own: Option<(&str, &str)>, groups: &[Reached]) -> Result<Vec<Reaching>, Fault> {
    let mut found: Vec<Reaching> = Vec::new();
    let mut add = |target: &str, through: &str| {
        for policy in names(db, target)? {
            match found.iter_mut().find(|known| known.policy == policy) {
                Some(known) => known.through = format!("{}, {through}", known.through),
                None => found.push(Reaching { policy, through: through.to_owned() }),
            }
        }
        Ok::<_, Fault>(())
    };
    if let Some((target, words)) = own {
        add(target, words)?;
    }
    for Reached { group, chain } in groups {
        // The group first whose policy it is, then the way down to the one that the thing is in.
        let down: Vec<&str> = chain.iter().rev().map(String::as_str).collect();
        add(&thing_groups::arn(db, group), &format!("thing group {}", down.join(" > ")))?;
    }
    Ok(found)
}

fn attach(db: &mut Write, name: &str, text: &str) -> Answer<()> {
    let target = Target::named_by(db.view(), text)?;
    if let Target::Certificate(_) = target {
        certificates::must_be_attachable(db.view(), text)?;
    }
    super::named(db.view(), name)?;
    let attached = names(db.view(), text)?;
    if attached.iter().any(|known| known == name) {
        return Ok(());
    }
    let (limit, what) = target.limit();
    if attached.len() >= limit {
        // unconfirmed: the text.
        let message = format!("A {what} has at most {limit} policies (target={text})");
        return Err(Refusal::limit_exceeded(message).into());
    }
    db.put(&TARGET_POLICIES, [text, name], &())?;
    db.put(&POLICY_TARGETS, [name, text], &())?;
    target.tell(db);
    Ok(())
}

fn attach_policy(db: &mut Write, input: &AttachPolicyRequest) -> Answer<()> {
    attach(db, input.policy_name(), input.target())
}

/// unconfirmed: that it takes a thing group too; its model says principal.
fn attach_principal_policy(db: &mut Write, input: &AttachPrincipalPolicyRequest) -> Answer<()> {
    attach(db, input.policy_name(), input.principal())
}

/// Whether it was attached.
fn detach(db: &mut Write, name: &str, text: &str) -> Answer<bool> {
    let target = Target::named_by(db.view(), text)?;
    if !db.view().contains(&TARGET_POLICIES, [text, name])? {
        return Ok(false);
    }
    db.delete(&TARGET_POLICIES, [text, name])?;
    db.delete(&POLICY_TARGETS, [name, text])?;
    target.tell(db);
    Ok(true)
}

/// Its model knows no 404 for a policy that is not attached: detaching that succeeds.
fn detach_policy(db: &mut Write, input: &DetachPolicyRequest) -> Answer<()> {
    detach(db, input.policy_name(), input.target()).map(drop)
}

/// The deprecated operation's model does.
fn detach_principal_policy(db: &mut Write, input: &DetachPrincipalPolicyRequest) -> Answer<()> {
    if detach(db, input.policy_name(), input.principal())? {
        return Ok(());
    }
    Err(Refusal::resource_not_found("The specified resource does not exist").into())
}

/// One page of the names on the other side of the relation.
fn others(db: Read, table: &Table<()>, of: &str, asked: Asked<'_>) -> Answer<(Vec<String>, Option<String>)> {
    let page = db.page(table, [of], asked, |_, ()| true)?;
    let names: Result<Vec<_>, Fault> = page.items.iter().map(|(key, ())| key.text_at(3)).collect();
    Ok((names?, page.next))
}

fn listed(db: Read, names: Vec<String>) -> Vec<wire::iot::Policy> {
    names.into_iter().map(|name| super::summary(db, name)).collect()
}

fn policies_of(db: Read, target: &str, asked: Asked<'_>) -> Answer<(Vec<wire::iot::Policy>, Option<String>)> {
    Target::named_by(db, target)?;
    let (names, next) = others(db, &TARGET_POLICIES, target, asked)?;
    Ok((listed(db, names), next))
}

fn targets_of(db: Read, name: &str, asked: Asked<'_>) -> Answer<(Vec<String>, Option<String>)> {
    super::named(db, name)?;
    others(db, &POLICY_TARGETS, name, asked)
}

/// The order that the deprecated listings are asked for; unconfirmed: of what. Here it is that of names.
fn in_order(asked: Asked<'_>, ascending: Option<bool>) -> Asked<'_> {
    let direction = if ascending == Some(false) { Direction::Descending } else { Direction::Ascending };
    Asked { direction, ..asked }
}

fn list_attached_policies(db: Read, input: &ListAttachedPoliciesRequest) -> Answer<ListAttachedPoliciesResponse> {
    let asked = Asked::new(input.marker(), input.page_size());
    let (policies, next) = match Target::named_by(db, input.target())? {
        Target::Group(group) if input.recursive() == Some(true) => with_parents(db, &group, asked)?,
        _ => policies_of(db, input.target(), asked)?,
    };
    let answer = ListAttachedPoliciesResponse::new().with_policies(policies);
    Ok(paged(answer, next, ListAttachedPoliciesResponse::with_next_marker))
}

/// The policies of a group and of all groups above it, each once, by name: at most two for each of seven levels.
/// unconfirmed: that `recursive` of a certificate adds nothing; it has no parents.
fn with_parents(db: Read, group: &str, asked: Asked<'_>) -> Answer<(Vec<wire::iot::Policy>, Option<String>)> {
    let mut found = BTreeSet::new();
    for group in [group.to_owned()].into_iter().chain(thing_groups::ancestors(db, group)?) {
        found.extend(names(db, &thing_groups::arn(db, &group))?);
    }
    let after = asked.token.map(wire::page::decode).transpose()?;
    let is_due = |name: &String| after.as_ref().is_none_or(|after| name.as_bytes() > after.as_slice());
    let mut due: Vec<String> = found.into_iter().filter(is_due).collect();
    let more = due.len() > asked.limit;
    due.truncate(asked.limit);
    let next = due.last().filter(|_| more).map(|name| wire::page::encode(name.as_bytes()));
    Ok((listed(db, due), next))
}

fn list_principal_policies(db: Read, input: &ListPrincipalPoliciesRequest) -> Answer<ListPrincipalPoliciesResponse> {
    let asked = in_order(Asked::new(input.marker(), input.page_size()), input.ascending_order());
    let (policies, next) = policies_of(db, input.principal(), asked)?;
    let answer = ListPrincipalPoliciesResponse::new().with_policies(policies);
    Ok(paged(answer, next, ListPrincipalPoliciesResponse::with_next_marker))
}

fn list_targets_for_policy(db: Read, input: &ListTargetsForPolicyRequest) -> Answer<ListTargetsForPolicyResponse> {
    let (targets, next) = targets_of(db, input.policy_name(), Asked::new(input.marker(), input.page_size()))?;
    let answer = ListTargetsForPolicyResponse::new().with_targets(targets);
    Ok(paged(answer, next, ListTargetsForPolicyResponse::with_next_marker))
}

/// unconfirmed: that it names thing groups as well as principals.
fn list_policy_principals(db: Read, input: &ListPolicyPrincipalsRequest) -> Answer<ListPolicyPrincipalsResponse> {
    let asked = in_order(Asked::new(input.marker(), input.page_size()), input.ascending_order());
    let (principals, next) = targets_of(db, input.policy_name(), asked)?;
    let answer = ListPolicyPrincipalsResponse::new().with_principals(principals);
    Ok(paged(answer, next, ListPolicyPrincipalsResponse::with_next_marker))
}
