//! Secrets Manager: secrets by name, each with versions of which staging labels tell the present from the former. Values are
//! sealed in the store, and stand in no event and no log. Rotation, replication and policies of secrets are not built.
//!
//! What other nouns want of it is [`value`].

use store::{Fault, Table};
use wire::Refusal;
use wire::secretsmanager::{
    CreateSecretRequest, CreateSecretResponse, DeleteSecretRequest, DeleteSecretResponse, DescribeSecretRequest,
    DescribeSecretResponse, GetResourcePolicyRequest, GetResourcePolicyResponse, GetSecretValueRequest,
    GetSecretValueResponse, PutSecretValueRequest, PutSecretValueResponse, RestoreSecretRequest, RestoreSecretResponse,
    Tag, TagResourceRequest, UntagResourceRequest, UpdateSecretRequest, UpdateSecretResponse,
};

use crate::operation::{Answer, Failure, Op, ops};
use crate::scope::{Read, Write};
pub(crate) use sealed::Value;
use sealed::given;
use secret::{CURRENT, Secret};

pub(crate) mod batch;
mod ending;
pub(crate) mod listing;
pub(crate) mod password;
mod sealed;
mod secret;
pub(crate) mod stages;

pub(crate) const OPS: &[Op] = ops! {
    write create_secret on any;
    read  describe_secret on any;
    read  get_secret_value on any;
    write put_secret_value on any;
    write update_secret on any;
    write delete_secret on any;
    write restore_secret on any;
    write tag_resource on any;
    write untag_resource on any;
    read  get_resource_policy on any;
};

/// By name.
const SECRETS: Table<Secret> = Table::new("secrets");

const DAY_MS: i64 = 24 * 3600 * 1000;
/// Days for which a deleted secret can be restored.
const RECOVERY: std::ops::RangeInclusive<i64> = 7..=30;
/// Tags of one secret.
const TAGS: usize = 50;

/// The present value of a secret, by name or ARN, for whoever in the house needs it.
pub(crate) fn value(db: Read, id: &str) -> Answer<Value> {
    let secret = usable(db, id)?;
    let version = secret.of_stage(CURRENT).ok_or_else(|| no_value(&format!("staging label: {CURRENT}")))?;
    sealed::open(db, &secret, &version.id)
}

fn not_found() -> Failure {
    Refusal::resource_not_found("Secrets Manager can't find the specified secret.").into()
}

fn no_value(which: &str) -> Failure {
    let message = format!("Secrets Manager can't find the specified secret value for {which}");
    Refusal::resource_not_found(message).into()
}

fn invalid_request(message: impl Into<String>) -> Failure {
    Refusal::new("InvalidRequestException", message).into()
}

fn invalid_parameter(message: impl Into<String>) -> Failure {
    Refusal::new("InvalidParameterException", message).into()
}

fn not_implemented(what: &str) -> Failure {
    Refusal::not_built(what).into()
}

/// The secret of a name, of an ARN, or of an ARN without the six letters at its end.
fn find(db: Read, id: &str) -> Answer<Secret> {
    let Some(rest) = id.strip_prefix(&*secret::arn_prefix(db)) else { return filed(db, id)?.ok_or_else(not_found) };
    if let Some((name, suffix)) = rest.rsplit_once('-')
        && suffix.len() == secret::SUFFIX
        && let Some(secret) = filed(db, name)?.filter(|secret| secret.suffix == suffix)
    {
        return Ok(secret);
    }
    filed(db, rest)?.ok_or_else(not_found)
}

/// The ARN that permissions know a secret by, however it is named; one that is not there has no letters behind its name yet.
pub(crate) fn arn_of(db: Read, id: &str) -> Result<String, Fault> {
    match find(db, id) {
        Ok(secret) => Ok(secret.arn(db)),
        Err(Failure::Fault(fault)) => Err(fault),
        Err(_) if id.starts_with("arn:") => Ok(id.to_owned()),
        Err(_) => Ok(format!("{}{id}", secret::arn_prefix(db))),
    }
}

/// The secret of a name, unless its time is over.
fn filed(db: Read, name: &str) -> Result<Option<Secret>, Fault> {
    Ok(db.get(&SECRETS, [name])?.filter(|secret| !secret.is_over(db.now())))
}

/// The same, if it is not marked for deletion.
fn usable(db: Read, id: &str) -> Answer<Secret> {
    let secret = find(db, id)?;
    if secret.ends.is_some() {
        let message = "You can't perform this operation on the secret because it was marked for deletion.";
        return Err(invalid_request(message));
    }
    Ok(secret)
}

fn put(db: &mut Write, secret: &Secret) -> Result<(), Fault> {
    db.put(&SECRETS, [&secret.name], secret)
}

/// Takes a secret away with all its values.
fn erase(db: &mut Write, secret: &Secret) -> Result<(), Fault> {
    sealed::erase_all(db, secret)?;
    ending::forget(db, secret)?;
    db.delete(&SECRETS, [&secret.name])
}

fn create_secret(db: &mut Write, input: &CreateSecretRequest) -> Answer<CreateSecretResponse> {
    let name = input.name();
    if input.add_replica_regions().is_some_and(|regions| !regions.is_empty()) {
        return Err(not_implemented("AddReplicaRegions"));
    }
    if input.r#type().is_some() || input.cross_account_primary_arn().is_some() {
        return Err(not_implemented("A secret that another service owns"));
    }
    secret::check_name(name)?;
    let value = given(input.secret_string(), input.secret_binary())?;
    let token = input.client_request_token();
    if let Some(known) = db.view().get(&SECRETS, [name])? {
        if !known.is_over(db.now()) {
            return again(db.view(), &known, token, value.as_ref());
        }
        erase(db, &known)?;
    }
    let mut secret = Secret::new(db, name);
    secret.description = input.description().map(str::to_owned);
    secret.kms_key_id = input.kms_key_id().map(str::to_owned);
    tag(&mut secret, input.tags())?;
    let version = value.map(|value| stages::add(db, &mut secret, token, &value, &[])).transpose()?;
    put(db, &secret)?;
    let answer = CreateSecretResponse::new().with_arn(secret.arn(db.view())).with_name(name);
    Ok(match version {
        Some(version) => answer.with_version_id(version),
        None => answer,
    })
}

/// What a request answers that comes a second time, or that wants a name which is taken.
fn again(db: Read, known: &Secret, token: Option<&str>, value: Option<&Value>) -> Answer<CreateSecretResponse> {
    let name = &known.name;
    if known.ends.is_some() {
        let message = "You can't create this secret because a secret with this name is already scheduled for deletion.";
        return Err(invalid_request(message));
    }
    if let (Some(token), Some(value)) = (token, value)
        && known.version(token).is_some()
    {
        stages::check_same(db, known, token, value)?;
        return Ok(CreateSecretResponse::new().with_arn(known.arn(db)).with_name(name).with_version_id(token));
    }
    let message = format!("The operation failed because the secret {name} already exists.");
    Err(Refusal::new("ResourceExistsException", message).into())
}

fn describe_secret(db: Read, input: &DescribeSecretRequest) -> Answer<DescribeSecretResponse> {
    let secret = find(db, input.secret_id())?;
    let mut answer = DescribeSecretResponse::new()
        .with_arn(secret.arn(db))
        .with_name(&secret.name)
        .with_created_date(secret.created)
        .with_last_changed_date(secret.changed);
    if let Some(tags) = secret.listed_tags() {
        answer = answer.with_tags(tags);
    }
    if let Some(description) = &secret.description {
        answer = answer.with_description(description);
    }
    if let Some(key) = &secret.kms_key_id {
        answer = answer.with_kms_key_id(key);
    }
    if let Some(ends) = secret.ends {
        answer = answer.with_deleted_date(ends);
    }
    let stages = secret.versions_to_stages();
    Ok(if stages.is_empty() { answer } else { answer.with_version_ids_to_stages(stages) })
}

fn get_secret_value(db: Read, input: &GetSecretValueRequest) -> Answer<GetSecretValueResponse> {
    let secret = usable(db, input.secret_id())?;
    let version = match (input.version_id(), input.version_stage()) {
        (Some(id), stage) => {
            let version = secret.version(id).ok_or_else(|| no_value(&format!("VersionId: {id}")))?;
            if stage.is_some_and(|stage| !version.stages.iter().any(|one| one == stage)) {
                let message = "You provided a VersionStage that is not associated to the provided VersionId.";
                return Err(invalid_request(message));
            }
            version
        }
        (None, stage) => {
            let stage = stage.unwrap_or(CURRENT);
            secret.of_stage(stage).ok_or_else(|| no_value(&format!("staging label: {stage}")))?
        }
    };
    let answer = GetSecretValueResponse::new()
        .with_arn(secret.arn(db))
        .with_name(&secret.name)
        .with_version_id(&version.id)
        .with_version_stages(&version.stages)
        .with_created_date(version.created);
    Ok(match sealed::open(db, &secret, &version.id)? {
        Value::Text(text) => answer.with_secret_string(text),
        Value::Binary(base64) => answer.with_secret_binary(base64),
    })
}

fn put_secret_value(db: &mut Write, input: &PutSecretValueRequest) -> Answer<PutSecretValueResponse> {
    let Some(value) = given(input.secret_string(), input.secret_binary())? else {
        return Err(invalid_request("You must provide either SecretString or SecretBinary."));
    };
    let mut secret = usable(db.view(), input.secret_id())?;
    let stages = input.version_stages().unwrap_or_default();
    let id = stages::add(db, &mut secret, input.client_request_token(), &value, &stages)?;
    put(db, &secret)?;
    let stages = secret.version(&id).map(|version| version.stages.clone()).unwrap_or_default();
    Ok(PutSecretValueResponse::new()
        .with_arn(secret.arn(db.view()))
        .with_name(&secret.name)
        .with_version_id(id)
        .with_version_stages(stages))
}

fn update_secret(db: &mut Write, input: &UpdateSecretRequest) -> Answer<UpdateSecretResponse> {
    let mut secret = usable(db.view(), input.secret_id())?;
    if input.r#type().is_some() {
        return Err(not_implemented("A secret that another service owns"));
    }
    if let Some(description) = input.description() {
        secret.description = Some(description.to_owned());
    }
    if let Some(key) = input.kms_key_id() {
        secret.kms_key_id = Some(key.to_owned());
    }
    let value = given(input.secret_string(), input.secret_binary())?;
    let token = input.client_request_token();
    let version = value.map(|value| stages::add(db, &mut secret, token, &value, &[])).transpose()?;
    secret.changed = db.now();
    put(db, &secret)?;
    let answer = UpdateSecretResponse::new().with_arn(secret.arn(db.view())).with_name(&secret.name);
    Ok(match version {
        Some(version) => answer.with_version_id(version),
        None => answer,
    })
}

/// A secret that is deleted at once need not have been there.
fn delete_secret(db: &mut Write, input: &DeleteSecretRequest) -> Answer<DeleteSecretResponse> {
    let days = input.recovery_window_in_days();
    let at_once = input.force_delete_without_recovery() == Some(true);
    if days.is_some_and(|days| !RECOVERY.contains(&days)) {
        let message = "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).";
        return Err(invalid_parameter(message));
    }
    if at_once && days.is_some() {
        let message = "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.";
        return Err(invalid_parameter(message));
    }
    let answer = DeleteSecretResponse::new();
    let mut secret = match find(db.view(), input.secret_id()) {
        Err(Failure::Refusal(_)) if at_once => {
            return Ok(answer.with_name(input.secret_id()).with_deletion_date(db.now()));
        }
        found => found?,
    };
    let ends = if at_once { db.now() } else { db.now() + days.unwrap_or(*RECOVERY.end()) * DAY_MS };
    if at_once {
        erase(db, &secret)?;
    } else if secret.ends.is_some() {
        return Err(invalid_request("You tried to perform the operation on a secret that's currently marked deleted."));
    } else {
        ending::set(db, &mut secret, Some(ends))?;
    }
    Ok(answer.with_arn(secret.arn(db.view())).with_name(secret.name).with_deletion_date(ends))
}

fn restore_secret(db: &mut Write, input: &RestoreSecretRequest) -> Answer<RestoreSecretResponse> {
    let mut secret = find(db.view(), input.secret_id())?;
    ending::set(db, &mut secret, None)?;
    Ok(RestoreSecretResponse::new().with_arn(secret.arn(db.view())).with_name(secret.name))
}

/// Adds tags, or puts others in their place where the key is the same.
fn tag(secret: &mut Secret, tags: Option<Vec<Tag>>) -> Answer<()> {
    for tag in tags.unwrap_or_default() {
        let (Some(key), value) = (tag.key(), tag.value().unwrap_or_default()) else {
            return Err(invalid_parameter("A tag needs a key."));
        };
        match secret.tags.iter_mut().find(|(known, _)| known == key) {
            Some(pair) => value.clone_into(&mut pair.1),
            None => secret.tags.push((key.to_owned(), value.to_owned())),
        }
        secret.was_tagged = true;
    }
    if secret.tags.len() > TAGS {
        // unconfirmed: the text.
        return Err(invalid_parameter(format!("A secret has at most {TAGS} tags.")));
    }
    Ok(())
}

fn tag_resource(db: &mut Write, input: &TagResourceRequest) -> Answer<()> {
    let mut secret = usable(db.view(), input.secret_id())?;
    tag(&mut secret, input.tags())?;
    Ok(put(db, &secret)?)
}

fn untag_resource(db: &mut Write, input: &UntagResourceRequest) -> Answer<()> {
    let mut secret = usable(db.view(), input.secret_id())?;
    let keys = input.tag_keys().unwrap_or_default();
    secret.tags.retain(|(key, _)| !keys.contains(&&**key));
    Ok(put(db, &secret)?)
}

/// No secret has a policy, since none can be put; tools ask all the same.
fn get_resource_policy(db: Read, input: &GetResourcePolicyRequest) -> Answer<GetResourcePolicyResponse> {
    let secret = find(db, input.secret_id())?;
    Ok(GetResourcePolicyResponse::new().with_arn(secret.arn(db)).with_name(secret.name))
}
