//! Access keys: an id, whose it is, and the secret that signatures are made with. A signature can only be checked by whoever
//! has the secret, so it is kept; sealed, under the key's own name, and shown once. A key without a user is the root of its
//! account, who may do everything. How a signature is made and checked is unknown here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use store::{Fault, Key, Table, json_record};
use wire::Refusal;
use wire::iam::{
    AccessKeyMetadata, CreateAccessKeyRequest, CreateAccessKeyResponse, DeleteAccessKeyRequest, ListAccessKeysRequest,
    ListAccessKeysResponse, UpdateAccessKeyRequest,
};

use super::{folded, limit_exceeded, no_such_entity, users, with_marker};
use crate::caller::Identity;
use crate::identity::Turned;
use crate::neighbours::sts::session::{OF_KEYS, OF_SECRETS};
use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::scope::{Everywhere, Read, Write};
use crate::vault::Vault;

pub(crate) const OPS: &[Op] = ops! {
    write create_access_key on any;
    read  list_access_keys on any;
    write update_access_key on any;
    write delete_access_key on any;
};

/// By id, which is nobody else's anywhere.
pub(crate) const KEYS: Table<AccessKey> = Table::new("iam_access_keys");
/// By folded name of the user, or nothing for the root, and id.
const OF_USERS: Everywhere<()> = Everywhere(Table::new("iam_user_access_keys"));

/// Keys of one user.
const KEYS_PER_USER: usize = 2;

/// A key.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AccessKey {
    pub(crate) account: String,
    /// Whose it is; the root's if nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    pub(crate) active: bool,
    created: i64,
    /// The secret, sealed, in base64.
    sealed: String,
}
json_record!(AccessKey, version 1);

impl AccessKey {
    /// The secret; none if the vault has another key than when it was sealed.
    pub(crate) fn secret(&self, vault: &Vault, id: &str) -> Option<String> {
        let sealed = STANDARD.decode(&self.sealed).ok()?;
        String::from_utf8(vault.open(&label(id), &sealed)?).ok()
    }

    fn status(&self) -> &'static str {
        if self.active { "Active" } else { "Inactive" }
    }
}

/// What a secret is sealed as: under the name of another key it does not open.
fn label(id: &str) -> String {
    format!("access key {id}")
}

/// Whether a user has any.
pub(super) fn has_any(db: Read, user: &str) -> Result<bool, Fault> {
    Ok(db.first(&OF_USERS, [folded(user)])?.is_some())
}

/// Gives a user's keys to its new name.
pub(super) fn rename(db: &mut Write, from: &str, to: &str) -> Result<(), Fault> {
    for (place, ()) in db.view().all(&OF_USERS, [folded(from)])? {
        let id = place.text_at(3)?;
        if let Some(mut key) = db.view().get_global(&KEYS, &Key::of([id.as_str()]))? {
            key.user = Some(to.to_owned());
            db.put_global(&KEYS, &Key::of([id.as_str()]), &key)?;
        }
        db.delete(&OF_USERS, [&*folded(from), &*id])?;
        db.put(&OF_USERS, [&*folded(to), &*id], &())?;
    }
    Ok(())
}

/// Whose keys are meant: those of who is named, else the caller's own.
fn owner(db: Read, named: Option<&str>) -> Answer<Option<String>> {
    match (named, &db.cx.origin.caller) {
        (Some(name), _) => Ok(Some(users::named(db, name)?.name)),
        (None, Some(Identity::User(user))) => Ok(Some(user.name.clone())),
        (None, Some(Identity::Key(_))) => Ok(None),
        (None, _) => {
            let message = "Must specify userName when calling with non-User credentials";
            Err(Refusal::new("ValidationError", message).into())
        }
    }
}

/// The part of keys in the index that stands for an owner.
fn filed(owner: Option<&str>) -> String {
    owner.map(folded).unwrap_or_default()
}

fn create_access_key(db: &mut Write, input: &CreateAccessKeyRequest) -> Answer<CreateAccessKeyResponse> {
    let owner = owner(db.view(), input.user_name())?;
    if db.view().all(&OF_USERS, [filed(owner.as_deref())])?.len() >= KEYS_PER_USER {
        return Err(limit_exceeded(format!("Cannot exceed quota for AccessKeysPerUser: {KEYS_PER_USER}")));
    }
    let mut drawn = db.cx.entropy.secret();
    let (id, secret) = (format!("AKIA{}", drawn.text(OF_KEYS, 16)), drawn.text(OF_SECRETS, 40));
    let sealed = db.cx.settings.vault.seal(&db.cx.entropy, &label(&id), secret.as_bytes())?;
    let key = AccessKey {
        account: db.cx.scope.account.to_string(),
        user: owner.clone(),
        active: true,
        created: db.now(),
        sealed: STANDARD.encode(sealed),
    };
    db.put_global(&KEYS, &Key::of([id.as_str()]), &key)?;
    db.put(&OF_USERS, [&*filed(owner.as_deref()), &*id], &())?;
    let shown = wire::iam::AccessKey::new()
        .with_access_key_id(id)
        .with_status(key.status())
        .with_secret_access_key(secret)
        .with_create_date(key.created)
        // unconfirmed: what AWS calls the user of a root's key.
        .with_user_name(owner.as_deref().unwrap_or("root"));
    Ok(CreateAccessKeyResponse::new().with_access_key(shown))
}

fn list_access_keys(db: Read, input: &ListAccessKeysRequest) -> Answer<ListAccessKeysResponse> {
    let owner = owner(db, input.user_name())?;
    let asked = (input.marker(), input.max_items());
    let page = super::page(db, &OF_USERS, [filed(owner.as_deref())], asked, |_, ()| true)?;
    let mut listed = Vec::with_capacity(page.items.len());
    for (place, ()) in page.items {
        let id = place.text_at(3)?;
        let Some(key) = db.get_global(&KEYS, &Key::of([id.as_str()]))? else { continue };
        let shown = AccessKeyMetadata::new()
            .with_access_key_id(id)
            .with_status(key.status())
            .with_create_date(key.created)
            .with_user_name(key.user.as_deref().unwrap_or("root"));
        listed.push(shown);
    }
    let answer = ListAccessKeysResponse::new().with_access_key_metadata(listed);
    Ok(with_marker!(answer, page.next))
}

/// A key of this account, and of this user if one is named. Who names none means a key of whoever has it: AWS looks among the
/// caller's own only, but a root owns them all.
fn named(db: Read, user: Option<&str>, id: &str) -> Answer<AccessKey> {
    let none = || no_such_entity(format!("The Access Key with id {id} cannot be found."));
    let owner = match (user, &db.cx.origin.caller) {
        (None, Some(Identity::Key(_))) => None,
        (user, _) => Some(owner(db, user)?),
    };
    let key = db.get_global(&KEYS, &Key::of([id]))?.filter(|key| key.account == *db.cx.scope.account);
    key.filter(|key| owner.is_none_or(|owner| key.user == owner)).ok_or_else(none)
}

/// Tells whoever is connected with it.
fn tell(db: &mut Write, id: &str, key: &AccessKey) -> Answer<()> {
    let reached = match &key.user {
        Some(user) => users::named(db.view(), user)?.arn(db.view()),
        None => id.to_owned(),
    };
    db.tell(News::Permissions(reached));
    Ok(())
}

fn update_access_key(db: &mut Write, input: &UpdateAccessKeyRequest) -> Answer<()> {
    let id = input.access_key_id();
    let mut key = named(db.view(), input.user_name(), id)?;
    key.active = input.status() == "Active";
    db.put_global(&KEYS, &Key::of([id]), &key)?;
    tell(db, id, &key)
}

fn delete_access_key(db: &mut Write, input: &DeleteAccessKeyRequest) -> Answer<()> {
    let id = input.access_key_id();
    let key = named(db.view(), input.user_name(), id)?;
    db.delete_global(&KEYS, &Key::of([id]))?;
    db.delete(&OF_USERS, [&*filed(key.user.as_deref()), id])?;
    tell(db, id, &key)
}

/// Why whoever came with this key of ours may no longer be there: it has been switched off, or is gone.
pub(crate) fn turned(db: Read, id: &str) -> Result<Option<Turned>, Fault> {
    let reason = match db.get_global(&KEYS, &Key::of([id]))? {
        Some(key) if key.active => return Ok(None),
        Some(_) => "the access key is inactive; `ombra key enable` lets it be used again",
        None => "the access key has been deleted",
    };
    Ok(Some(Turned { decision: "INACTIVE_KEY".to_owned(), reason: reason.to_owned() }))
}
