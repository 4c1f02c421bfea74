//! Versions of a function, which do not change any more, and aliases, which lead to one of them. Traffic that an alias splits
//! between two versions is unknown here.

use serde::{Deserialize, Serialize};
use store::{Table, json_record};
use wire::Refusal;
use wire::lambda::{
    AliasConfiguration, CreateAliasRequest, DeleteAliasRequest, FunctionConfiguration, GetAliasRequest,
    ListAliasesRequest, ListAliasesResponse, ListVersionsByFunctionRequest, ListVersionsByFunctionResponse,
    PublishVersionRequest, UpdateAliasRequest,
};

use super::configuration::Configuration;
use super::names::{LATEST, Named, arn, conflict, invalid, not_found};
use super::{FUNCTIONS, Known, drop_code, known, named, retries, unbuilt};
use crate::operation::{Answer, Op, ops};
use crate::scope::{Asked, Read, Write, paged};

pub(crate) const OPS: &[Op] = ops! {
    write publish_version on any;
    read list_versions_by_function on any;
    write create_alias on any;
    read get_alias on any;
    read list_aliases on any;
    write update_alias on any;
    write delete_alias on any;
};

/// By the function's name and the version's number, which is padded so that it sorts.
pub(super) const VERSIONS: Table<Configuration> = Table::new("function_versions");

/// By the function's name and the alias.
const ALIASES: Table<Alias> = Table::new("function_aliases");

/// Digits of a number in a key.
const DIGITS: usize = 12;

/// A name for a version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Alias {
    /// `$LATEST`, or a number.
    version: String,
    #[serde(default)]
    description: String,
    revision: String,
}
json_record!(Alias, version 1);

/// The version that a qualifier means, as its key has it.
pub(super) fn number(db: Read, name: &str, qualifier: &str) -> Answer<String> {
    let is_number = qualifier.bytes().all(|byte| byte.is_ascii_digit());
    let number = if is_number {
        padded(qualifier)
    } else {
        match db.get(&ALIASES, [name, qualifier])? {
            Some(alias) if alias.version == LATEST => return Ok(LATEST.to_owned()),
            Some(alias) => padded(&alias.version),
            None => return Err(nothing(db, name, qualifier).into()),
        }
    };
    if db.contains(&VERSIONS, [name, number.as_str()])? {
        return Ok(number);
    }
    Err(nothing(db, name, qualifier).into())
}

fn nothing(db: Read, name: &str, qualifier: &str) -> Refusal {
    not_found(&arn(&db.cx.scope, name, Some(qualifier)))
}

pub(super) fn padded(number: &str) -> String {
    format!("{number:0>DIGITS$}")
}

/// A number as people write it.
pub(super) fn plain(number: &str) -> &str {
    number.trim_start_matches('0')
}

/// Publishes what there is, unless it has been already and nothing has changed since.
pub(super) fn publish(
    db: &mut Write,
    named: &Named,
    mut known: Known,
    description: Option<&str>,
) -> Answer<FunctionConfiguration> {
    let name = &named.name;
    let mut next = known.latest.clone();
    if let Some(description) = description {
        description.clone_into(&mut next.description);
    }
    let last = padded(&(known.next_version - 1).to_string());
    if let Some(same) = db.view().get(&VERSIONS, [name, &last])?.filter(|same| same.is_same(&next)) {
        return Ok(same.described(db.view(), name, plain(&last)));
    }
    let number = known.next_version.to_string();
    next.touch(&db.uuid(), db.now());
    db.put(&VERSIONS, [name, &padded(&number)], &next)?;
    known.next_version += 1;
    db.put(&FUNCTIONS, [name], &known)?;
    Ok(next.described(db.view(), name, &number))
}

/// Takes away a version that nothing leads to.
pub(super) fn delete(db: &mut Write, named: &Named, qualifier: &str) -> Answer<()> {
    if qualifier == LATEST || !qualifier.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid("$LATEST version cannot be deleted without deleting the function.").into());
    }
    let number = padded(qualifier);
    let Some(version) = db.view().get(&VERSIONS, [&named.name, &number])? else { return Ok(()) };
    if db.view().all(&ALIASES, [&named.name])?.iter().any(|(_, alias)| alias.version == qualifier) {
        return Err(conflict(format!("Version {qualifier} is referenced by an alias")).into());
    }
    db.delete(&VERSIONS, [&named.name, &number])?;
    retries::forget(db, &named.name, Some(qualifier))?;
    drop_code(db, &named.name, &version.sha256)
}

/// Takes away all aliases, with the function.
pub(super) fn delete_aliases(db: &mut Write, name: &str) -> Answer<()> {
    for (key, _) in db.view().all(&ALIASES, [name])? {
        db.delete_at(&ALIASES, &key)?;
    }
    Ok(())
}

fn publish_version(db: &mut Write, input: &PublishVersionRequest) -> Answer<FunctionConfiguration> {
    let named = named(db.view(), input.function_name(), None)?;
    let known = known(db.view(), &named)?;
    if input.publish_to().is_some() {
        return Err(unbuilt("PublishTo", "leave it out").into());
    }
    known.latest.expect_revision(input.revision_id())?;
    if input.code_sha256().is_some_and(|sha256| sha256 != known.latest.sha256) {
        return Err(invalid(format!(
            "CodeSHA256 ({}) is different from current CodeSHA256 in $LATEST ({}). Please try again with the \
             CodeSHA256 in $LATEST.",
            input.code_sha256().unwrap_or_default(),
            known.latest.sha256
        ))
        .into());
    }
    publish(db, &named, known, input.description())
}

fn list_versions_by_function(
    db: Read,
    input: &ListVersionsByFunctionRequest,
) -> Answer<ListVersionsByFunctionResponse> {
    let named = named(db, input.function_name(), None)?;
    let known = known(db, &named)?;
    let asked = Asked::new(input.marker(), input.max_items());
    let page = db.page(&VERSIONS, [&named.name], asked, |_, _| true)?;
    let mut listed = Vec::with_capacity(page.items.len() + 1);
    // The first page begins with what can still be changed.
    if asked.token.is_none() {
        listed.push(known.latest.described_as(db, &named.name, LATEST, Some(LATEST)));
    }
    for (key, version) in &page.items {
        listed.push(version.described(db, &named.name, plain(&key.text_at(3)?)));
    }
    let answer = ListVersionsByFunctionResponse::new().with_versions(listed);
    Ok(paged(answer, page.next, ListVersionsByFunctionResponse::with_next_marker))
}

/// A version that an alias may lead to.
fn target(db: Read, name: &str, version: &str) -> Answer<String> {
    if version != LATEST {
        number(db, name, version)?;
    }
    Ok(version.to_owned())
}

fn create_alias(db: &mut Write, input: &CreateAliasRequest) -> Answer<AliasConfiguration> {
    let named = named(db.view(), input.function_name(), None)?;
    known(db.view(), &named)?;
    refuse_routing(input.routing_config().is_some_and(|config| config.additional_version_weights().is_some()))?;
    if db.view().contains(&ALIASES, [named.name.as_str(), input.name()])? {
        let arn = arn(&db.cx.scope, &named.name, Some(input.name()));
        return Err(conflict(format!("Alias already exists: {arn}")).into());
    }
    let version = target(db.view(), &named.name, input.function_version())?;
    let description = input.description().unwrap_or_default().to_owned();
    let alias = Alias { version, description, revision: db.uuid() };
    db.put(&ALIASES, [named.name.as_str(), input.name()], &alias)?;
    Ok(described(db.view(), &named.name, input.name(), &alias))
}

fn refuse_routing(is_asked: bool) -> Result<(), Refusal> {
    if is_asked {
        return Err(unbuilt("RoutingConfig", "an alias leads to one version"));
    }
    Ok(())
}

fn described(db: Read, name: &str, alias: &str, at: &Alias) -> AliasConfiguration {
    AliasConfiguration::new()
        .with_alias_arn(arn(&db.cx.scope, name, Some(alias)))
        .with_name(alias)
        .with_function_version(&at.version)
        .with_description(&at.description)
        .with_revision_id(&at.revision)
}

/// Whether a qualifier can be the name of an alias.
pub(super) fn is_alias(qualifier: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    qualifier.bytes().all(is_known) && !qualifier.bytes().all(|byte| byte.is_ascii_digit())
}

pub(super) fn alias(db: Read, name: &str, alias: &str) -> Answer<Alias> {
    let found = db.get(&ALIASES, [name, alias])?;
    found.ok_or_else(|| {
        let message = format!("Cannot find alias arn: {}", arn(&db.cx.scope, name, Some(alias)));
        Refusal::resource_not_found(message).with("Type", "User").into()
    })
}

fn get_alias(db: Read, input: &GetAliasRequest) -> Answer<AliasConfiguration> {
    let named = named(db, input.function_name(), None)?;
    let found = alias(db, &named.name, input.name())?;
    Ok(described(db, &named.name, input.name(), &found))
}

fn list_aliases(db: Read, input: &ListAliasesRequest) -> Answer<ListAliasesResponse> {
    let named = named(db, input.function_name(), None)?;
    known(db, &named)?;
    let asked = Asked::new(input.marker(), input.max_items());
    let of_version = |alias: &Alias| input.function_version().is_none_or(|version| version == alias.version);
    let page = db.page(&ALIASES, [&named.name], asked, |_, alias| of_version(alias))?;
    let mut listed = Vec::with_capacity(page.items.len());
    for (key, alias) in &page.items {
        listed.push(described(db, &named.name, &key.text_at(3)?, alias));
    }
    let answer = ListAliasesResponse::new().with_aliases(listed);
    Ok(paged(answer, page.next, ListAliasesResponse::with_next_marker))
}

fn update_alias(db: &mut Write, input: &UpdateAliasRequest) -> Answer<AliasConfiguration> {
    let named = named(db.view(), input.function_name(), None)?;
    refuse_routing(input.routing_config().is_some_and(|config| config.additional_version_weights().is_some()))?;
    let found = db.view().get(&ALIASES, [named.name.as_str(), input.name()])?;
    let mut found = found.ok_or_else(|| {
        let arn = arn(&db.cx.scope, &named.name, Some(input.name()));
        Refusal::resource_not_found(format!("Alias not found: {arn}")).with("Type", "User")
    })?;
    if input.revision_id().is_some_and(|revision| revision != found.revision) {
        let message = "The Revision Id provided does not match the latest Revision Id.";
        return Err(Refusal::new("PreconditionFailedException", message).with("Type", "User").into());
    }
    if let Some(version) = input.function_version() {
        found.version = target(db.view(), &named.name, version)?;
    }
    if let Some(description) = input.description() {
        description.clone_into(&mut found.description);
    }
    found.revision = db.uuid();
    db.put(&ALIASES, [named.name.as_str(), input.name()], &found)?;
    Ok(described(db.view(), &named.name, input.name(), &found))
}

fn delete_alias(db: &mut Write, input: &DeleteAliasRequest) -> Answer<()> {
    let named = named(db.view(), input.function_name(), None)?;
    // One that is not there is as good as deleted.
    db.delete(&ALIASES, [named.name.as_str(), input.name()])?;
    retries::forget(db, &named.name, Some(input.name()))
}
