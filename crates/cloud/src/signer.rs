//! Whom an access key stands for, and the secret by which it is proved: keys that lie in the store, and temporary ones whose
//! token says everything. How a signature is checked against the secret, and what becomes of a key that nobody knows here, is
//! the door's affair.

use std::fmt;

use store::{Direction, Fault, Key};

use crate::caller::{IamUser, Identity};
use crate::house::House;
use crate::neighbours::iam::{
    self,
    keys::{AccessKey, KEYS},
};
use crate::neighbours::sts::session::{self, Holder, NotASession, Of, TEMPORARY};
use crate::scope::{Read, Scope};

/// Whoever holds an access key.
#[derive(Debug)]
pub struct Signer {
    /// The account it belongs to and the region it signed for.
    pub scope: Scope,
    /// Whom it stands for.
    pub identity: Identity,
    /// What it signs with.
    pub secret: Secret,
    /// Whether the key lies in the store.
    pub is_kept: bool,
}

/// What signatures are made with; it is not printed.
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret { .. }")
    }
}

/// Why a key opens nothing.
#[derive(Debug)]
pub enum NotASigner {
    /// It was good once.
    Expired,
    /// It is ours and switched off, its user is gone, or its token is not there or not what was given out with it.
    Unknown,
    /// The store could not be read, or its secrets not opened.
    Fault(Fault),
}

impl From<Fault> for NotASigner {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl House {
    /// Who signs with this access key, and the token beside it. A key that nobody gave out here is nobody's, and so is one
    /// with somebody else's token; a temporary one without its token is no key at all.
    pub fn signer(
        &self,
        access_key_id: &str,
        token: Option<&str>,
        region: &str,
        now: i64,
    ) -> Result<Option<Signer>, NotASigner> {
        if let Some(token) = token {
            let holder = session::holder(&self.settings.vault, access_key_id, token, now);
            let holder = holder.map_err(|not| match not {
                NotASession::Expired => NotASigner::Expired,
                NotASession::Unknown => NotASigner::Unknown,
            })?;
            return holder.map(|holder| self.of_session(access_key_id, holder, region, now)).transpose();
        }
        match self.store.read().get(&KEYS, &Key::of([access_key_id]))? {
            Some(key) => self.of_key(access_key_id, &key, region, now).map(Some),
            None if access_key_id.starts_with(TEMPORARY) => Err(NotASigner::Unknown),
            None => Ok(None),
        }
    }

    /// Whether any key lies in the store.
    pub fn has_access_keys(&self) -> Result<bool, Fault> {
        let first = self.store.read().range(&KEYS, &Key::all(), None, Direction::Ascending, 1)?;
        Ok(!first.is_empty())
    }

    fn of_key(&self, id: &str, key: &AccessKey, region: &str, now: i64) -> Result<Signer, NotASigner> {
        if !key.active {
            return Err(NotASigner::Unknown);
        }
        let scope = Scope::new(&key.account, region);
        let identity = match &key.user {
            Some(name) => self.user(&scope, (name, None), id, now)?,
            None => Identity::Key(id.to_owned()),
        };
        let secret = key.secret(&self.settings.vault, id);
        let secret =
            secret.ok_or_else(|| Fault::new(format!("open the secret of access key {id}: another vault.key?")))?;
        Ok(Signer { scope, identity, secret: Secret(secret), is_kept: true })
    }

    fn of_session(&self, id: &str, holder: Holder, region: &str, now: i64) -> Result<Signer, NotASigner> {
        let scope = Scope::new(&holder.account, region);
        let identity = match holder.of {
            Of::Root => Identity::Key(id.to_owned()),
            Of::User(name, user_id) => self.user(&scope, (&name, Some(&user_id)), id, now)?,
            Of::Role(session) => Identity::Role(session),
        };
        Ok(Signer { scope, identity, secret: Secret(holder.secret), is_kept: false })
    }

    /// The user of a name. A session says which one it was: another may have the name by now.
    fn user(
        &self,
        scope: &Scope,
        (name, id): (&str, Option<&str>),
        access_key_id: &str,
        now: i64,
    ) -> Result<Identity, NotASigner> {
        let cx = self.context(scope, now, 0);
        let view = self.store.read();
        let db = Read::new(&view, &cx);
        let user = iam::user(db, name)?.filter(|user| id.is_none_or(|id| id == user.id)).ok_or(NotASigner::Unknown)?;
        let arn = user.arn(db);
        Ok(Identity::User(IamUser { name: user.name, id: user.id, arn, access_key_id: access_key_id.to_owned() }))
    }
}

/// Whom a name of this account stands for, for who asks about somebody else: the ARN of a user, of a role or of its session, or the
/// id of a key. What is none of them is the root.
pub(crate) fn named(db: Read, text: &str) -> Result<Identity, Fault> {
    let key = db.get_global(&KEYS, &Key::of([text]))?.filter(|key| key.account == *db.cx.scope.account);
    let name = text.strip_prefix(&format!("arn:aws:iam::{}:user/", db.cx.scope.account));
    let name =
        name.and_then(|path| path.rsplit('/').next()).map(str::to_owned).or_else(|| key.and_then(|key| key.user));
    if let Some(user) = name.map(|name| iam::user(db, &name)).transpose()?.flatten() {
        let arn = user.arn(db);
        return Ok(Identity::User(IamUser { name: user.name, id: user.id, arn, access_key_id: text.to_owned() }));
    }
    let taken = text.strip_prefix(&format!("arn:aws:sts::{}:assumed-role/", db.cx.scope.account));
    let (role, session) = match taken.and_then(|taken| taken.split_once('/')) {
        Some((role, session)) => (iam::role_named(db, role)?, session),
        None => (iam::role(db, text)?, "session"),
    };
    Ok(role.map_or_else(
        || Identity::Key(text.to_owned()),
        |role| Identity::Role(session::role_session(db, &role, session)),
    ))
}
