//! Policies, their versions, and what they are attached to (security.md §3.8). What a document means is the business
//! of the `policy` crate; who asks is unknown here.

use policy::Document;
use serde::{Deserialize, Serialize};
use store::{Direction, Fault, Table, json_record};
use wire::Refusal;
use wire::iot::{
    AttachPolicyRequest, AttachPrincipalPolicyRequest, CreatePolicyRequest, CreatePolicyResponse,
    CreatePolicyVersionRequest, CreatePolicyVersionResponse, DeletePolicyRequest, DeletePolicyVersionRequest,
    DetachPolicyRequest, DetachPrincipalPolicyRequest, GetPolicyRequest, GetPolicyResponse, GetPolicyVersionRequest,
    GetPolicyVersionResponse, ListAttachedPoliciesRequest, ListAttachedPoliciesResponse, ListPoliciesRequest,
    ListPoliciesResponse, ListPolicyPrincipalsRequest, ListPolicyPrincipalsResponse, ListPolicyVersionsRequest,
    ListPolicyVersionsResponse, ListPrincipalPoliciesRequest, ListPrincipalPoliciesResponse,
    ListTargetsForPolicyRequest, ListTargetsForPolicyResponse, SetDefaultPolicyVersionRequest,
};

use crate::certificates;
use crate::identity;
use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::scope::{Asked, NO_PARTS, Read, Write, date_part, paged};
use crate::tags::{self, Tags, tagged};

pub(crate) const OPS: &[Op] = ops! {
    write create_policy on policy(policy_name);
    read  get_policy on policy(policy_name);
    read  list_policies on any;
    write delete_policy on policy(policy_name);
    write create_policy_version on policy(policy_name);
    read  get_policy_version on policy(policy_name);
    read  list_policy_versions on policy(policy_name);
    write set_default_policy_version on policy(policy_name);
    write delete_policy_version on policy(policy_name);
    write attach_policy on any;
    write detach_policy on any;
    read  list_attached_policies on any;
    read  list_targets_for_policy on policy(policy_name);
    write attach_principal_policy on any;
    write detach_principal_policy on any;
    read  list_principal_policies on any;
    read  list_policy_principals on policy(policy_name);
};

pub(crate) const TAGGED: tags::Kind = tagged!("policy" in POLICIES);

/// By name.
const POLICIES: Table<Policy> = Table::new("policies");
/// By date of creation and name.
const POLICIES_BY_DATE: Table<()> = Table::new("policies_by_date");
/// By name and number, padded so that they sort.
const POLICY_VERSIONS: Table<Version> = Table::new("policy_versions");
/// By target and name of the policy.
const TARGET_POLICIES: Table<()> = Table::new("target_policies");
/// By name of the policy and target: the same, the other way round.
const POLICY_TARGETS: Table<()> = Table::new("policy_targets");

/// Versions of one policy.
const VERSIONS: usize = 5;
/// Policies of one certificate.
const POLICIES_OF_A_PRINCIPAL: usize = 10;

#[derive(Debug, Serialize, Deserialize)]
struct Policy {
    generation_id: String,
    default_version: u64,
    /// The highest number ever given; none is given twice.
    last_version: u64,
    created: i64,
    modified: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Tags,
}
json_record!(Policy, version 1);

#[derive(Debug, Serialize, Deserialize)]
struct Version {
    document: String,
    created: i64,
}
json_record!(Version, version 1);

fn version_part(number: u64) -> String {
    format!("{number:020}")
}

/// The number of a version id as callers write it; what no version can be called is not found.
fn version_number(id: &str) -> Result<u64, Refusal> {
    let number = id.parse().ok().filter(|number: &u64| number.to_string() == id);
    number.ok_or_else(|| Refusal::resource_not_found("The specified resource does not exist"))
}

fn arn(db: Read, name: &str) -> String {
    db.arn(format_args!("policy/{name}"))
}

/// Name and document, in its default version, of every policy attached to a target.
pub(crate) fn effective(db: Read, target_arn: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut found = Vec::new();
    for (key, ()) in db.all(&TARGET_POLICIES, [target_arn])? {
        let name = key.text_at(3)?;
        if let Some(document) = document(db, &name)? {
            found.push((name, document));
        }
    }
    Ok(found)
}

/// The document of a policy's default version.
pub(crate) fn document(db: Read, name: &str) -> Result<Option<String>, Fault> {
    let Some(policy) = db.get(&POLICIES, [name])? else { return Ok(None) };
    let version = db.get(&POLICY_VERSIONS, [name, &version_part(policy.default_version)])?;
    Ok(version.map(|version| version.document))
}

/// Whether any policy is attached to a target.
pub(crate) fn has_any(db: Read, target_arn: &str) -> Result<bool, Fault> {
    Ok(db.first(&TARGET_POLICIES, [target_arn])?.is_some())
}

/// Detaches all policies of a target.
pub(crate) fn detach_all(db: &mut Write, target_arn: &str) -> Result<(), Fault> {
    for (key, ()) in db.view().all(&TARGET_POLICIES, [target_arn])? {
        let name = key.text_at(3)?;
        db.delete(&TARGET_POLICIES, [target_arn, &name])?;
        db.delete(&POLICY_TARGETS, [name.as_str(), target_arn])?;
    }
    Ok(())
}

/// What a policy grants has changed: tells every certificate it is attached to, and whoever is held to it without one.
fn tell_targets(db: &mut Write, name: &str) -> Result<(), Fault> {
    db.tell(News::Identity(identity::anonymous(name)));
    for (key, ()) in db.view().all(&POLICY_TARGETS, [name])? {
        let target = key.text_at(3)?;
        if let Some(id) = certificates::id_of_arn(db.view(), &target) {
            db.tell(News::Identity(id.to_owned()));
        }
    }
    Ok(())
}

fn check_document(text: &str) -> Result<(), Refusal> {
    Document::parse(text).map(drop).map_err(|malformed| Refusal::malformed_policy(malformed.to_string()))
}

fn create_policy(db: &mut Write, input: &CreatePolicyRequest) -> Answer<CreatePolicyResponse> {
    let (name, document) = (input.policy_name(), input.policy_document());
    check_document(document)?;
    if db.view().contains(&POLICIES, [name])? {
        let message = format!("Policy cannot be created - name already exists (name={name})");
        let refusal = Refusal::resource_already_exists(message);
        return Err(refusal.with("resourceId", name).with("resourceArn", arn(db.view(), name)).into());
    }
    let policy = Policy {
        generation_id: db.uuid(),
        default_version: 1,
        last_version: 1,
        created: db.now(),
        modified: db.now(),
        tags: tags::first(input.tags())?,
    };
    let version = Version { document: document.to_owned(), created: db.now() };
    db.put(&POLICIES, [name], &policy)?;
    db.put(&POLICIES_BY_DATE, [&*date_part(policy.created), name], &())?;
    db.put(&POLICY_VERSIONS, [name, &version_part(1)], &version)?;
    Ok(CreatePolicyResponse::new()
        .with_policy_name(name)
        .with_policy_arn(arn(db.view(), name))
        .with_policy_document(document)
        .with_policy_version_id("1"))
}

fn get_policy(db: Read, input: &GetPolicyRequest) -> Answer<GetPolicyResponse> {
    let name = input.policy_name();
    let policy = db.named(&POLICIES, [name])?;
    let version = db.named(&POLICY_VERSIONS, [name, &version_part(policy.default_version)])?;
    Ok(GetPolicyResponse::new()
        .with_policy_name(name)
        .with_policy_arn(arn(db, name))
        .with_policy_document(version.document)
        .with_default_version_id(policy.default_version.to_string())
        .with_creation_date(policy.created)
        .with_last_modified_date(policy.modified)
        .with_generation_id(policy.generation_id))
}

fn summary(db: Read, name: String) -> wire::iot::Policy {
    wire::iot::Policy::new().with_policy_arn(arn(db, &name)).with_policy_name(name)
}

fn list_policies(db: Read, input: &ListPoliciesRequest) -> Answer<ListPoliciesResponse> {
    let asked = Asked::new(input.marker(), input.page_size()).by_date(input.ascending_order());
    let page = db.page(&POLICIES_BY_DATE, NO_PARTS, asked, |_, ()| true)?;
    let listed = page.items.iter().map(|(key, ())| Ok(summary(db, key.text_at(3)?)));
    let answer = ListPoliciesResponse::new().with_policies(listed.collect::<Result<Vec<_>, Fault>>()?);
    Ok(paged(answer, page.next, ListPoliciesResponse::with_next_marker))
}

fn delete_policy(db: &mut Write, input: &DeletePolicyRequest) -> Answer<()> {
    let name = input.policy_name();
    let policy = db.view().named(&POLICIES, [name])?;
    if db.view().first(&POLICY_TARGETS, [name])?.is_some() {
        let message =
            format!("The policy cannot be deleted as the policy is attached to one or more principals (name={name})");
        return Err(Refusal::delete_conflict(message).into());
    }
    if db.view().all(&POLICY_VERSIONS, [name])?.len() > 1 {
        let message =
            format!("Cannot delete the policy because it has one or more policy versions attached to it (name={name})");
        return Err(Refusal::delete_conflict(message).into());
    }
    db.delete(&POLICY_VERSIONS, [name, &version_part(policy.default_version)])?;
    db.delete(&POLICIES_BY_DATE, [&*date_part(policy.created), name])?;
    db.delete(&POLICIES, [name])?;
    tell_targets(db, name)?;
    Ok(())
}

fn create_policy_version(db: &mut Write, input: &CreatePolicyVersionRequest) -> Answer<CreatePolicyVersionResponse> {
    let (name, document) = (input.policy_name(), input.policy_document());
    check_document(document)?;
    let mut policy = db.view().named(&POLICIES, [name])?;
    if db.view().all(&POLICY_VERSIONS, [name])?.len() >= VERSIONS {
        let message = format!("The policy {name} already has the maximum number of versions ({VERSIONS})");
        return Err(Refusal::versions_limit_exceeded(message).into());
    }
    let is_default = input.set_as_default() == Some(true);
    policy.last_version += 1;
    let number = policy.last_version;
    db.put(
        &POLICY_VERSIONS,
        [name, &version_part(number)],
        &Version { document: document.to_owned(), created: db.now() },
    )?;
    if is_default {
        policy.default_version = number;
    }
    // unconfirmed: that a new version which is not the default counts as a modification of the policy.
    policy.modified = db.now();
    db.put(&POLICIES, [name], &policy)?;
    if is_default {
        tell_targets(db, name)?;
    }
    Ok(CreatePolicyVersionResponse::new()
        .with_policy_arn(arn(db.view(), name))
        .with_policy_document(document)
        .with_policy_version_id(number.to_string())
        .with_is_default_version(is_default))
}

fn get_policy_version(db: Read, input: &GetPolicyVersionRequest) -> Answer<GetPolicyVersionResponse> {
    let (name, id) = (input.policy_name(), input.policy_version_id());
    let policy = db.named(&POLICIES, [name])?;
    let number = version_number(id)?;
    let version = db.named(&POLICY_VERSIONS, [name, &version_part(number)])?;
    Ok(GetPolicyVersionResponse::new()
        .with_policy_arn(arn(db, name))
        .with_policy_name(name)
        .with_policy_document(version.document)
        .with_policy_version_id(id)
        .with_is_default_version(number == policy.default_version)
        .with_creation_date(version.created)
        .with_last_modified_date(version.created)
        .with_generation_id(policy.generation_id))
}

/// unconfirmed: the order; newest first.
fn list_policy_versions(db: Read, input: &ListPolicyVersionsRequest) -> Answer<ListPolicyVersionsResponse> {
    let name = input.policy_name();
    let policy = db.named(&POLICIES, [name])?;
    let mut listed = Vec::new();
    for (key, version) in db.all(&POLICY_VERSIONS, [name])?.iter().rev() {
        let part = key.text_at(3)?;
        let id = part.trim_start_matches('0');
        let version = wire::iot::PolicyVersion::new()
            .with_version_id(id)
            .with_is_default_version(part == version_part(policy.default_version))
            .with_create_date(version.created);
        listed.push(version);
    }
    Ok(ListPolicyVersionsResponse::new().with_policy_versions(listed))
}

fn set_default_policy_version(db: &mut Write, input: &SetDefaultPolicyVersionRequest) -> Answer<()> {
    let name = input.policy_name();
    let mut policy = db.view().named(&POLICIES, [name])?;
    let number = version_number(input.policy_version_id())?;
    db.view().named(&POLICY_VERSIONS, [name, &version_part(number)])?;
    policy.default_version = number;
    policy.modified = db.now();
    db.put(&POLICIES, [name], &policy)?;
    tell_targets(db, name)?;
    Ok(())
}

fn delete_policy_version(db: &mut Write, input: &DeletePolicyVersionRequest) -> Answer<()> {
    let name = input.policy_name();
    let policy = db.view().named(&POLICIES, [name])?;
    let number = version_number(input.policy_version_id())?;
    db.view().named(&POLICY_VERSIONS, [name, &version_part(number)])?;
    if number == policy.default_version {
        return Err(Refusal::invalid_request("Cannot delete the default version of a policy").into());
    }
    db.delete(&POLICY_VERSIONS, [name, &version_part(number)])?;
    Ok(())
}

fn attach(db: &mut Write, name: &str, target: &str) -> Answer<()> {
    let id = certificates::attachable(db.view(), target)?;
    db.view().named(&POLICIES, [name])?;
    let attached = db.view().all(&TARGET_POLICIES, [target])?.len();
    if db.view().contains(&TARGET_POLICIES, [target, name])? {
        return Ok(());
    }
    if attached >= POLICIES_OF_A_PRINCIPAL {
        // unconfirmed: the text.
        let message = format!("A principal has at most {POLICIES_OF_A_PRINCIPAL} policies (target={target})");
        return Err(Refusal::limit_exceeded(message).into());
    }
    db.put(&TARGET_POLICIES, [target, name], &())?;
    db.put(&POLICY_TARGETS, [name, target], &())?;
    db.tell(News::Identity(id));
    Ok(())
}

fn attach_policy(db: &mut Write, input: &AttachPolicyRequest) -> Answer<()> {
    attach(db, input.policy_name(), input.target())
}

fn attach_principal_policy(db: &mut Write, input: &AttachPrincipalPolicyRequest) -> Answer<()> {
    attach(db, input.policy_name(), input.principal())
}

/// Whether it was attached.
fn detach(db: &mut Write, name: &str, target: &str) -> Answer<bool> {
    let id = certificates::named_by(db.view(), target)?;
    if !db.view().contains(&TARGET_POLICIES, [target, name])? {
        return Ok(false);
    }
    db.delete(&TARGET_POLICIES, [target, name])?;
    db.delete(&POLICY_TARGETS, [name, target])?;
    db.tell(News::Identity(id));
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

fn policies_of(db: Read, target: &str, asked: Asked<'_>) -> Answer<(Vec<wire::iot::Policy>, Option<String>)> {
    certificates::named_by(db, target)?;
    let (names, next) = others(db, &TARGET_POLICIES, target, asked)?;
    Ok((names.into_iter().map(|name| summary(db, name)).collect(), next))
}

fn targets_of(db: Read, name: &str, asked: Asked<'_>) -> Answer<(Vec<String>, Option<String>)> {
    db.named(&POLICIES, [name])?;
    others(db, &POLICY_TARGETS, name, asked)
}

/// The order that the deprecated listings are asked for; unconfirmed: of what. Here it is that of names.
fn in_order(asked: Asked<'_>, ascending: Option<bool>) -> Asked<'_> {
    let direction = if ascending == Some(false) { Direction::Descending } else { Direction::Ascending };
    Asked { direction, ..asked }
}

/// `recursive` adds the policies of thing groups, of which there are none yet.
fn list_attached_policies(db: Read, input: &ListAttachedPoliciesRequest) -> Answer<ListAttachedPoliciesResponse> {
    let (policies, next) = policies_of(db, input.target(), Asked::new(input.marker(), input.page_size()))?;
    let answer = ListAttachedPoliciesResponse::new().with_policies(policies);
    Ok(paged(answer, next, ListAttachedPoliciesResponse::with_next_marker))
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

fn list_policy_principals(db: Read, input: &ListPolicyPrincipalsRequest) -> Answer<ListPolicyPrincipalsResponse> {
    let asked = in_order(Asked::new(input.marker(), input.page_size()), input.ascending_order());
    let (principals, next) = targets_of(db, input.policy_name(), asked)?;
    let answer = ListPolicyPrincipalsResponse::new().with_principals(principals);
    Ok(paged(answer, next, ListPolicyPrincipalsResponse::with_next_marker))
}
