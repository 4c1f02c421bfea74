//! Policies and their versions (security.md §3.8). What they are attached to is told in `targets`, what a document means is
//! the business of the `policy` crate; who asks is unknown here.

use policy::Document;
use serde::{Deserialize, Serialize};
use store::{Fault, Table, json_record};
use wire::Refusal;
use wire::iot::{
    CreatePolicyRequest, CreatePolicyResponse, CreatePolicyVersionRequest, CreatePolicyVersionResponse,
    DeletePolicyRequest, DeletePolicyVersionRequest, GetPolicyRequest, GetPolicyResponse, GetPolicyVersionRequest,
    GetPolicyVersionResponse, ListPoliciesRequest, ListPoliciesResponse, ListPolicyVersionsRequest,
    ListPolicyVersionsResponse, SetDefaultPolicyVersionRequest,
};

use crate::events::Kind;
use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::scope::{Asked, NO_PARTS, Read, Write, date_part, paged};
use crate::tags::{self, Tags, tagged};

pub(crate) mod targets;

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
};

pub(crate) const TAGGED: tags::Kind = tagged!("policy" in POLICIES);

/// By name.
const POLICIES: Table<Policy> = Table::new("policies");
/// By date of creation and name.
const POLICIES_BY_DATE: Table<()> = Table::new("policies_by_date");
/// By name and number, padded so that they sort.
const POLICY_VERSIONS: Table<Version> = Table::new("policy_versions");
/// Versions of one policy.
const VERSIONS: usize = 5;
/// Remarks on one document that are told.
const WARNINGS: usize = 20;

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

pub(crate) fn arn(db: Read, name: &str) -> String {
    db.arn(format_args!("policy/{name}"))
}

/// The policy of this name, which the caller named.
fn named(db: Read, name: &str) -> Answer<Policy> {
    Ok(db.get(&POLICIES, [name])?.ok_or_else(|| Refusal::resource_not_found("Policy not found"))?)
}

/// The document of a policy's default version.
pub(crate) fn document(db: Read, name: &str) -> Result<Option<String>, Fault> {
    Ok(default_version(db, name)?.map(|(_, document)| document))
}

/// Number and document of a policy's default version.
pub(crate) fn default_version(db: Read, name: &str) -> Result<Option<(u64, String)>, Fault> {
    let Some(policy) = db.get(&POLICIES, [name])? else { return Ok(None) };
    let version = db.get(&POLICY_VERSIONS, [name, &version_part(policy.default_version)])?;
    Ok(version.map(|version| (policy.default_version, version.document)))
}

/// The version of a policy that has to go before it can have another one: its oldest that is not the default, if it has as
/// many as it may.
pub(crate) fn version_in_the_way(db: Read, name: &str) -> Result<Option<u64>, Fault> {
    let Some(policy) = db.get(&POLICIES, [name])? else { return Ok(None) };
    let versions = db.some(&POLICY_VERSIONS, [name], VERSIONS)?;
    if versions.len() < VERSIONS {
        return Ok(None);
    }
    for (key, _) in versions {
        let number = key.text_at(3)?.parse().map_err(|_| Fault::new("a version of a policy has no number"))?;
        if number != policy.default_version {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

fn parse(text: &str) -> Result<Document, Refusal> {
    // unconfirmed: what stands behind AWS's own words; ours say where and what.
    Document::parse(text)
        .map_err(|malformed| Refusal::malformed_policy(format!("Policy document is Malformed: {malformed}")))
}

/// Tells what strikes in a document that is valid, one event for each remark.
fn tell_warnings(db: &mut Write, name: &str, version: u64, document: &Document) {
    let scope = &db.cx.scope;
    let home = policy::Home { region: &scope.region, account: &scope.account };
    for warning in policy::lint(document, Some(home)).into_iter().take(WARNINGS) {
        let policy::Warning { statement, code, subject, message } = warning;
        let policy = name.to_owned();
        db.tell(News::Event(Kind::PolicyWarning { policy, version, statement, code, subject, message }));
    }
}

fn create_policy(db: &mut Write, input: &CreatePolicyRequest) -> Answer<CreatePolicyResponse> {
    let (name, document) = (input.policy_name(), input.policy_document());
    let parsed = parse(document)?;
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
    tell_warnings(db, name, 1, &parsed);
    Ok(CreatePolicyResponse::new()
        .with_policy_name(name)
        .with_policy_arn(arn(db.view(), name))
        .with_policy_document(document)
        .with_policy_version_id("1"))
}

fn get_policy(db: Read, input: &GetPolicyRequest) -> Answer<GetPolicyResponse> {
    let name = input.policy_name();
    let policy = named(db, name)?;
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

pub(crate) fn summary(db: Read, name: String) -> wire::iot::Policy {
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
    let policy = named(db.view(), name)?;
    if targets::has_targets(db.view(), name)? {
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
    db.tell(News::Policy(name.to_owned()));
    Ok(())
}

fn create_policy_version(db: &mut Write, input: &CreatePolicyVersionRequest) -> Answer<CreatePolicyVersionResponse> {
    let (name, document) = (input.policy_name(), input.policy_document());
    let parsed = parse(document)?;
    let mut policy = named(db.view(), name)?;
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
    tell_warnings(db, name, number, &parsed);
    if is_default {
        db.tell(News::Policy(name.to_owned()));
    }
    Ok(CreatePolicyVersionResponse::new()
        .with_policy_arn(arn(db.view(), name))
        .with_policy_document(document)
        .with_policy_version_id(number.to_string())
        .with_is_default_version(is_default))
}

fn get_policy_version(db: Read, input: &GetPolicyVersionRequest) -> Answer<GetPolicyVersionResponse> {
    let (name, id) = (input.policy_name(), input.policy_version_id());
    let policy = named(db, name)?;
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
    let policy = named(db, name)?;
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
    let mut policy = named(db.view(), name)?;
    let number = version_number(input.policy_version_id())?;
    db.view().named(&POLICY_VERSIONS, [name, &version_part(number)])?;
    policy.default_version = number;
    policy.modified = db.now();
    db.put(&POLICIES, [name], &policy)?;
    db.tell(News::Policy(name.to_owned()));
    Ok(())
}

fn delete_policy_version(db: &mut Write, input: &DeletePolicyVersionRequest) -> Answer<()> {
    let name = input.policy_name();
    let policy = named(db.view(), name)?;
    let number = version_number(input.policy_version_id())?;
    db.view().named(&POLICY_VERSIONS, [name, &version_part(number)])?;
    if number == policy.default_version {
        return Err(Refusal::invalid_request("Cannot delete the default version of a policy").into());
    }
    db.delete(&POLICY_VERSIONS, [name, &version_part(number)])?;
    Ok(())
}
