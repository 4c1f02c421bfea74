//! Versions of a secret and the labels they carry: a new one becomes the present, the present the former, and what carries no
//! label is kept for a while. What the values are is unknown here.

use wire::Refusal;
use wire::secretsmanager::{
    ListSecretVersionIdsRequest, ListSecretVersionIdsResponse, SecretVersionsListEntry,
    UpdateSecretVersionStageRequest, UpdateSecretVersionStageResponse,
};

use super::sealed::{self, Value};
use super::secret::{CURRENT, PREVIOUS, Secret, Version};
use super::{find, invalid_parameter, listing, put, usable};
use crate::operation::{Answer, Op, ops};
use crate::scope::{Read, Write, paged};

pub(crate) const OPS: &[Op] = ops! {
    read  list_secret_version_ids on any;
    write update_secret_version_stage on any;
};

/// Versions of a secret that are kept, and labels that it may have.
const VERSIONS: usize = 100;
const STAGES: usize = 20;

/// Adds a version and answers its id. Without labels it becomes the present one, as the first always does. The same token
/// with the same value is the same version.
pub(super) fn add(
    db: &mut Write,
    secret: &mut Secret,
    token: Option<&str>,
    value: &Value,
    stages: &[&str],
) -> Answer<String> {
    let id = token.map_or_else(|| db.uuid(), str::to_owned);
    if secret.version(&id).is_some() {
        check_same(db.view(), secret, &id, value)?;
        return Ok(id);
    }
    sealed::seal(db, secret, &id, value)?;
    let is_first = secret.versions.is_empty();
    secret.versions.push(Version { id: id.clone(), created: db.now(), stages: Vec::new() });
    for stage in stages.iter().filter(|stage| **stage != CURRENT) {
        secret.label(stage, &id);
    }
    if is_first || stages.is_empty() || stages.contains(&CURRENT) {
        make_current(secret, &id);
    }
    check_labels(secret)?;
    secret.changed = db.now();
    forget_oldest(db, secret)?;
    Ok(id)
}

/// A token that has come before must bring the same value again.
pub(super) fn check_same(db: Read, secret: &Secret, token: &str, value: &Value) -> Answer<()> {
    if sealed::open(db, secret, token)? == *value {
        return Ok(());
    }
    let arn = secret.arn(db);
    let message = format!(
        "You can't use ClientRequestToken {token} because that value is already in use for a version of secret {arn}."
    );
    Err(Refusal::new("ResourceExistsException", message).into())
}

/// The present version becomes the former one.
fn make_current(secret: &mut Secret, id: &str) {
    let former = secret.of_stage(CURRENT).map(|version| version.id.clone());
    if let Some(former) = former.filter(|former| former != id) {
        secret.label(PREVIOUS, &former);
    }
    secret.label(CURRENT, id);
}

fn check_labels(secret: &Secret) -> Answer<()> {
    if secret.versions.iter().map(|version| version.stages.len()).sum::<usize>() > STAGES {
        let message = format!("A secret has at most {STAGES} staging labels.");
        return Err(Refusal::limit_exceeded(message).into());
    }
    Ok(())
}

/// Beyond what is kept, the oldest version that carries no label goes.
fn forget_oldest(db: &mut Write, secret: &mut Secret) -> Answer<()> {
    while secret.versions.len() > VERSIONS
        && let Some(at) = secret.versions.iter().position(|version| version.stages.is_empty())
    {
        let gone = secret.versions.remove(at);
        sealed::erase(db, secret, &gone.id)?;
    }
    Ok(())
}

fn list_secret_version_ids(db: Read, input: &ListSecretVersionIdsRequest) -> Answer<ListSecretVersionIdsResponse> {
    let secret = find(db, input.secret_id())?;
    let all = input.include_deprecated() == Some(true);
    let shown = secret.versions.iter().filter(|version| all || !version.stages.is_empty()).map(|version| {
        let entry = SecretVersionsListEntry::new().with_version_id(&version.id).with_created_date(version.created);
        if version.stages.is_empty() { entry } else { entry.with_version_stages(&version.stages) }
    });
    let (versions, next) = listing::part_of(shown.collect(), input.next_token(), input.max_results())?;
    let answer = ListSecretVersionIdsResponse::new().with_arn(secret.arn(db)).with_name(&secret.name);
    Ok(paged(answer.with_versions(versions), next, ListSecretVersionIdsResponse::with_next_token))
}

fn update_secret_version_stage(
    db: &mut Write,
    input: &UpdateSecretVersionStageRequest,
) -> Answer<UpdateSecretVersionStageResponse> {
    let mut secret = usable(db.view(), input.secret_id())?;
    let stage = input.version_stage();
    check_removal(&secret, stage, input.remove_from_version_id())?;
    match input.move_to_version_id() {
        Some(id) if secret.version(id).is_none() => {
            return Err(invalid_parameter(format!("Not a valid version: {id}")));
        }
        Some(id) if stage == CURRENT => make_current(&mut secret, id),
        Some(id) => secret.label(stage, id),
        None => secret.label(stage, ""),
    }
    check_labels(&secret)?;
    secret.changed = db.now();
    put(db, &secret)?;
    Ok(UpdateSecretVersionStageResponse::new().with_arn(secret.arn(db.view())).with_name(secret.name))
}

/// A label is taken from where it is said to be only, and the present version never goes without.
fn check_removal(secret: &Secret, stage: &str, from: Option<&str>) -> Answer<()> {
    let holder = secret.of_stage(stage).map(|version| &*version.id);
    match (from, holder) {
        (Some(from), _) if secret.version(from).is_none() => {
            Err(invalid_parameter(format!("Not a valid version: {from}")))
        }
        (Some(from), holder) if holder != Some(from) => {
            Err(invalid_parameter(format!("Version stage {stage} not found in version {from}")))
        }
        (None, Some(holder)) => Err(invalid_parameter(format!(
            "The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to version \
             {holder}, so you must explicitly reference that version in RemoveFromVersionId."
        ))),
        _ => Ok(()),
    }
}
