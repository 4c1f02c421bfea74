//! Managed policies and their versions. Some come with the place, as AWS's do; who has one attached is known by
//! `attached`, and what a document says by the `policy` crate.

use policy::iam::Kind;
use serde::{Deserialize, Serialize};
use store::{Fault, Table, json_record};
use wire::Refusal;
use wire::iam::{
    CreatePolicyRequest, CreatePolicyResponse, CreatePolicyVersionRequest, CreatePolicyVersionResponse,
    DeletePolicyRequest, DeletePolicyVersionRequest, GetPolicyRequest, GetPolicyResponse, GetPolicyVersionRequest,
    GetPolicyVersionResponse, ListPoliciesRequest, ListPoliciesResponse, ListPolicyTagsRequest, ListPolicyTagsResponse,
    ListPolicyVersionsRequest, ListPolicyVersionsResponse, PolicyVersion, SetDefaultPolicyVersionRequest,
    TagPolicyRequest, UntagPolicyRequest,
};

use super::provided::{self, Provided};
use super::tags::{self, Tags};
use super::{attached, delete_conflict, document, encoded, folded, limit_exceeded, no_such_entity, with_marker};
use crate::operation::{Answer, Op, ops};
use crate::scope::{Everywhere, NO_PARTS, Read, Write};

pub(crate) const OPS: &[Op] = ops! {
    write create_policy on any;
    read  get_policy on any;
    read  list_policies on any;
    write delete_policy on any;
    write create_policy_version on any;
    read  get_policy_version on any;
    read  list_policy_versions on any;
    write set_default_policy_version on any;
    write delete_policy_version on any;
    write tag_policy on any;
    write untag_policy on any;
    read  list_policy_tags on any;
};

/// By folded name.
const POLICIES: Everywhere<Policy> = Everywhere(Table::new("iam_policies"));
/// By folded name and number.
const VERSIONS: Everywhere<Version> = Everywhere(Table::new("iam_policy_versions"));

/// Characters of a document.
const SIZE: usize = 6144;
/// Versions of one policy.
const MOST_VERSIONS: usize = 5;

/// A policy of the account's own.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Policy {
    name: String,
    path: String,
    /// `ANPA…`.
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    default_version: u64,
    /// The highest number ever given; none is given twice.
    last_version: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Tags,
    created: i64,
    updated: i64,
}
json_record!(Policy, version 1);

#[derive(Debug, Serialize, Deserialize)]
struct Version {
    document: String,
    created: i64,
}
json_record!(Version, version 1);

/// A policy that an ARN names.
pub(super) enum Found {
    Own(Policy),
    Provided(&'static Provided),
}

impl Found {
    fn arn(&self, db: Read) -> String {
        match self {
            Self::Own(policy) => super::arn(&db.cx.scope.account, "policy", &policy.path, &policy.name),
            Self::Provided(policy) => policy.arn(),
        }
    }

    fn path(&self) -> &str {
        match self {
            Self::Own(policy) => &policy.path,
            Self::Provided(policy) => policy.path,
        }
    }

    fn shown(&self, db: Read) -> Result<wire::iam::Policy, Fault> {
        let arn = self.arn(db);
        let [count, bounds] = [attached::count(db, &arn)?, attached::count_bounds(db, &arn)?]
            .map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        let shown = wire::iam::Policy::new()
            .with_arn(arn)
            .with_path(self.path())
            .with_attachment_count(count)
            .with_permissions_boundary_usage_count(bounds)
            .with_is_attachable(true);
        Ok(match self {
            Self::Own(policy) => shown
                .with_policy_name(&policy.name)
                .with_policy_id(&policy.id)
                .with_default_version_id(version_id(policy.default_version))
                .with_create_date(policy.created)
                .with_update_date(policy.updated),
            Self::Provided(policy) => shown
                .with_policy_name(policy.name)
                .with_policy_id(policy.id())
                .with_default_version_id(version_id(1))
                .with_create_date(provided::SINCE)
                .with_update_date(provided::SINCE),
        })
    }

    /// The same with what a listing leaves out.
    fn in_full(&self, db: Read) -> Result<wire::iam::Policy, Fault> {
        let shown = self.shown(db)?;
        let Self::Own(policy) = self else { return Ok(shown) };
        let shown = match &policy.description {
            Some(description) => shown.with_description(description),
            None => shown,
        };
        Ok(shown.with_tags(tags::listed(&policy.tags)))
    }
}

/// The policy of an ARN, if this account has or sees it.
pub(super) fn found(db: Read, arn: &str) -> Result<Option<Found>, Fault> {
    let Some((account, path, name)) = super::parts(arn, "policy") else { return Ok(None) };
    if account == "aws" {
        return Ok(provided::named(path, name).map(Found::Provided));
    }
    if account != &*db.cx.scope.account {
        return Ok(None);
    }
    let policy = db.get(&POLICIES, [folded(name)])?;
    Ok(policy.filter(|policy| policy.path == path && policy.name == name).map(Found::Own))
}

/// What the policy of an ARN says, if there is one.
pub(super) fn default_document(db: Read, arn: &str) -> Result<Option<String>, Fault> {
    Ok(match found(db, arn)? {
        Some(Found::Provided(policy)) => Some(policy.document()),
        Some(Found::Own(policy)) => {
            let parts = [&*folded(&policy.name), &version_part(policy.default_version)];
            db.get(&VERSIONS, parts)?.map(|version| version.document)
        }
        None => None,
    })
}

fn named(db: Read, arn: &str) -> Answer<Found> {
    if super::parts(arn, "policy").is_none() {
        // unconfirmed: the text.
        return Err(Refusal::new("InvalidInput", format!("ARN {arn} is not valid.")).into());
    }
    found(db, arn)?.ok_or_else(|| no_such_entity(format!("Policy {arn} was not found.")))
}

/// The same, which is about to be changed.
fn own(db: Read, arn: &str) -> Answer<Policy> {
    match named(db, arn)? {
        Found::Own(policy) => Ok(policy),
        // unconfirmed: the error and the text.
        Found::Provided(_) => {
            Err(Refusal::new("AccessDenied", format!("Policy {arn} is managed by AWS and cannot be changed."))
                .with_status(403)
                .into())
        }
    }
}

fn version_id(number: u64) -> String {
    format!("v{number}")
}

/// The key part of a version, so that they sort as they were made.
fn version_part(number: u64) -> String {
    format!("{number:020}")
}

fn no_version(arn: &str, id: &str) -> crate::Failure {
    no_such_entity(format!("Policy {arn} version {id} does not exist or is not attachable."))
}

/// The number of a version and what it says.
fn version(db: Read, policy: &Policy, arn: &str, id: &str) -> Answer<(u64, Version)> {
    let number = id.strip_prefix('v').and_then(|number| number.parse().ok());
    let number = number.filter(|number| version_id(*number) == id).ok_or_else(|| no_version(arn, id))?;
    let version = db.get(&VERSIONS, [&*folded(&policy.name), &version_part(number)])?;
    Ok((number, version.ok_or_else(|| no_version(arn, id))?))
}

fn check_document(text: &str) -> Answer<()> {
    document(text, Kind::Managed)?;
    if super::size(text) > SIZE {
        return Err(limit_exceeded(format!("Cannot exceed quota for PolicySize: {SIZE}")));
    }
    Ok(())
}

fn put(db: &mut Write, policy: &Policy) -> Answer<()> {
    Ok(db.put(&POLICIES, [folded(&policy.name)], policy)?)
}

fn put_version(db: &mut Write, policy: &Policy, number: u64, document: &str) -> Answer<()> {
    let version = Version { document: document.to_owned(), created: db.now() };
    Ok(db.put(&VERSIONS, [&*folded(&policy.name), &version_part(number)], &version)?)
}

fn create_policy(db: &mut Write, input: &CreatePolicyRequest) -> Answer<CreatePolicyResponse> {
    let name = input.policy_name();
    check_document(input.policy_document())?;
    if db.view().contains(&POLICIES, [folded(name)])? {
        let message = format!("A policy called {name} already exists. Duplicate names are not allowed.");
        return Err(Refusal::new("EntityAlreadyExists", message).into());
    }
    let mut tags = Tags::new();
    tags::add(&mut tags, input.tags())?;
    let policy = Policy {
        name: name.to_owned(),
        path: input.path().unwrap_or("/").to_owned(),
        id: super::new_id(db, "ANPA"),
        description: input.description().map(str::to_owned),
        default_version: 1,
        last_version: 1,
        tags,
        created: db.now(),
        updated: db.now(),
    };
    put(db, &policy)?;
    put_version(db, &policy, 1, input.policy_document())?;
    // What a policy is for is told by GetPolicy alone.
    let tags = tags::listed(&policy.tags);
    let shown = Found::Own(policy).shown(db.view())?;
    Ok(CreatePolicyResponse::new().with_policy(if tags.is_empty() { shown } else { shown.with_tags(tags) }))
}

fn get_policy(db: Read, input: &GetPolicyRequest) -> Answer<GetPolicyResponse> {
    Ok(GetPolicyResponse::new().with_policy(named(db, input.policy_arn())?.in_full(db)?))
}

/// The account's own first, by name, then those that come with the place.
fn list_policies(db: Read, input: &ListPoliciesRequest) -> Answer<ListPoliciesResponse> {
    let scope = input.scope().unwrap_or("All");
    let prefix = input.path_prefix().unwrap_or("/");
    let mut all: Vec<Found> = Vec::new();
    if scope != "AWS" {
        all.extend(db.all(&POLICIES, NO_PARTS)?.into_iter().map(|(_, policy)| Found::Own(policy)));
    }
    if scope != "Local" {
        all.extend(provided::ALL.iter().map(Found::Provided));
    }
    let as_boundary = input.policy_usage_filter() == Some("PermissionsBoundary");
    let mut listed = Vec::new();
    for policy in all.iter().filter(|policy| policy.path().starts_with(prefix)) {
        let shown = policy.shown(db)?;
        let count = if as_boundary { shown.permissions_boundary_usage_count() } else { shown.attachment_count() };
        if (!as_boundary && input.only_attached() != Some(true)) || count.is_some_and(|count| count > 0) {
            listed.push(shown);
        }
    }
    let (listed, next) = super::part_of(listed, input.marker(), input.max_items())?;
    Ok(with_marker!(ListPoliciesResponse::new().with_policies(listed), next))
}

fn delete_policy(db: &mut Write, input: &DeletePolicyRequest) -> Answer<()> {
    let arn = input.policy_arn();
    let policy = own(db.view(), arn)?;
    if attached::count(db.view(), arn)? + attached::count_bounds(db.view(), arn)? > 0 {
        return Err(delete_conflict("Cannot delete a policy attached to entities."));
    }
    if db.view().all(&VERSIONS, [folded(&policy.name)])?.len() > 1 {
        return Err(delete_conflict(
            "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. \
             The default version is deleted with the policy.",
        ));
    }
    db.delete(&VERSIONS, [&*folded(&policy.name), &version_part(policy.default_version)])?;
    Ok(db.delete(&POLICIES, [folded(&policy.name)])?)
}

fn create_policy_version(db: &mut Write, input: &CreatePolicyVersionRequest) -> Answer<CreatePolicyVersionResponse> {
    let mut policy = own(db.view(), input.policy_arn())?;
    check_document(input.policy_document())?;
    if db.view().all(&VERSIONS, [folded(&policy.name)])?.len() >= MOST_VERSIONS {
        return Err(limit_exceeded(format!(
            "A managed policy can have up to {MOST_VERSIONS} versions. Before you create a new version, you must delete an \
             existing version."
        )));
    }
    policy.last_version += 1;
    let number = policy.last_version;
    put_version(db, &policy, number, input.policy_document())?;
    if input.set_as_default() == Some(true) {
        policy.default_version = number;
        attached::tell(db, input.policy_arn())?;
    }
    policy.updated = db.now();
    put(db, &policy)?;
    let version = shown_version(number, &policy, db.now());
    Ok(CreatePolicyVersionResponse::new().with_policy_version(version))
}

fn shown_version(number: u64, policy: &Policy, created: i64) -> PolicyVersion {
    PolicyVersion::new()
        .with_version_id(version_id(number))
        .with_is_default_version(number == policy.default_version)
        .with_create_date(created)
}

/// The only version of a policy that comes with the place.
fn provided_version() -> PolicyVersion {
    PolicyVersion::new().with_version_id("v1").with_is_default_version(true).with_create_date(provided::SINCE)
}

fn get_policy_version(db: Read, input: &GetPolicyVersionRequest) -> Answer<GetPolicyVersionResponse> {
    let (arn, id) = (input.policy_arn(), input.version_id());
    let version = match named(db, arn)? {
        Found::Provided(policy) if id == "v1" => provided_version().with_document(encoded(&policy.document())),
        Found::Provided(_) => return Err(no_version(arn, id)),
        Found::Own(policy) => {
            let (number, Version { document, created }) = version(db, &policy, arn, id)?;
            shown_version(number, &policy, created).with_document(encoded(&document))
        }
    };
    Ok(GetPolicyVersionResponse::new().with_policy_version(version))
}

/// Newest first, as AWS does.
fn list_policy_versions(db: Read, input: &ListPolicyVersionsRequest) -> Answer<ListPolicyVersionsResponse> {
    let mut listed = Vec::new();
    match named(db, input.policy_arn())? {
        Found::Provided(_) => listed.push(provided_version()),
        Found::Own(policy) => {
            for (key, version) in db.all(&VERSIONS, [folded(&policy.name)])?.into_iter().rev() {
                let number = key.text_at(3)?.parse().map_err(|cause| Fault::because("read a version", cause))?;
                listed.push(shown_version(number, &policy, version.created));
            }
        }
    }
    let (listed, next) = super::part_of(listed, input.marker(), input.max_items())?;
    Ok(with_marker!(ListPolicyVersionsResponse::new().with_versions(listed), next))
}

fn set_default_policy_version(db: &mut Write, input: &SetDefaultPolicyVersionRequest) -> Answer<()> {
    let arn = input.policy_arn();
    let mut policy = own(db.view(), arn)?;
    (policy.default_version, _) = version(db.view(), &policy, arn, input.version_id())?;
    policy.updated = db.now();
    attached::tell(db, arn)?;
    put(db, &policy)
}

fn delete_policy_version(db: &mut Write, input: &DeletePolicyVersionRequest) -> Answer<()> {
    let arn = input.policy_arn();
    let policy = own(db.view(), arn)?;
    let (number, _) = version(db.view(), &policy, arn, input.version_id())?;
    if number == policy.default_version {
        return Err(delete_conflict("Cannot delete the default version of a policy."));
    }
    Ok(db.delete(&VERSIONS, [&*folded(&policy.name), &version_part(number)])?)
}

fn tag_policy(db: &mut Write, input: &TagPolicyRequest) -> Answer<()> {
    let mut policy = own(db.view(), input.policy_arn())?;
    tags::add(&mut policy.tags, input.tags())?;
    put(db, &policy)
}

fn untag_policy(db: &mut Write, input: &UntagPolicyRequest) -> Answer<()> {
    let mut policy = own(db.view(), input.policy_arn())?;
    tags::remove(&mut policy.tags, input.tag_keys());
    put(db, &policy)
}

fn list_policy_tags(db: Read, input: &ListPolicyTagsRequest) -> Answer<ListPolicyTagsResponse> {
    let tags = match named(db, input.policy_arn())? {
        Found::Own(policy) => tags::listed(&policy.tags),
        Found::Provided(_) => Vec::new(),
    };
    let (tags, next) = super::part_of(tags, input.marker(), input.max_items())?;
    Ok(with_marker!(ListPolicyTagsResponse::new().with_tags(tags), next))
}
