//! Temporary credentials: an access key, its secret, and a token that says, sealed, whose they are and until when. Nothing of
//! them is stored: whoever brings the token brings all that is known. What may be done with them is unknown here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use store::Fault;

use crate::neighbours::iam::Role;
use crate::scope::{Context, Read};
use crate::vault::Vault;

/// What every token given out here begins with: another's is known by not having it.
const MARK: &str = "OmbraSession";
/// What tokens are sealed as.
const LABEL: &str = "session token";
/// Characters of the longest token that is looked at; ours are far shorter.
const LONGEST: usize = 4096;
/// The letters of access keys and of secrets.
const OF_KEYS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const OF_SECRETS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A role as somebody took it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSession {
    /// The role.
    pub role_arn: String,
    /// The session: `arn:aws:sts::{account}:assumed-role/{role}/{session}`.
    pub arn: String,
    /// `AROA…:{session}`.
    pub user_id: String,
}

/// Credentials, to be handed out once.
pub(crate) struct Credentials {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: String,
    /// Milliseconds since 1970.
    pub(crate) expires: i64,
}

/// What a token says.
#[derive(Serialize, Deserialize)]
struct Token {
    access_key_id: String,
    /// For the day that signatures are verified.
    secret_access_key: String,
    account: String,
    expires: i64,
    role: Option<RoleSession>,
}

/// Whose credentials they are.
pub(crate) struct Holder {
    pub(crate) account: String,
    /// None if they are the account's own.
    pub(crate) role: Option<RoleSession>,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotASession {
    /// It was good once.
    Expired,
    /// It is not what was given out, or not with this access key.
    Unknown,
}

/// Makes credentials that are good for so many seconds from now.
pub(crate) fn issue(cx: &Context, role: Option<RoleSession>, seconds: i64) -> Result<Credentials, Fault> {
    let mut secret = cx.entropy.secret();
    let token = Token {
        access_key_id: format!("ASIA{}", secret.text(OF_KEYS, 16)),
        secret_access_key: secret.text(OF_SECRETS, 40),
        account: cx.scope.account.to_string(),
        expires: cx.now.saturating_add(seconds.saturating_mul(1000)),
        role,
    };
    let clear = serde_json::to_vec(&token).map_err(|cause| Fault::because("write a session token", cause))?;
    let sealed = cx.settings.vault.seal(&cx.entropy, LABEL, &clear)?;
    Ok(Credentials {
        access_key_id: token.access_key_id,
        secret_access_key: token.secret_access_key,
        session_token: format!("{MARK}{}", STANDARD.encode(sealed)),
        expires: token.expires,
    })
}

/// A role's session of this name.
pub(super) fn role_session(db: Read, role: &Role, name: &str) -> RoleSession {
    RoleSession {
        role_arn: role.arn(db),
        arn: format!("arn:aws:sts::{}:assumed-role/{}/{name}", db.cx.scope.account, role.name),
        user_id: format!("{}:{name}", role.id),
    }
}

/// Whose a token is, if it was given out here.
pub(crate) fn holder(vault: &Vault, access_key_id: &str, token: &str, now: i64) -> Result<Option<Holder>, NotASession> {
    let Some(sealed) = token.strip_prefix(MARK) else { return Ok(None) };
    let sealed = Some(sealed).filter(|sealed| sealed.len() <= LONGEST).and_then(|sealed| STANDARD.decode(sealed).ok());
    let clear = sealed.and_then(|sealed| vault.open(LABEL, &sealed));
    let token = clear.and_then(|clear| serde_json::from_slice::<Token>(&clear).ok());
    let token = token.filter(|token| token.access_key_id == access_key_id).ok_or(NotASession::Unknown)?;
    if token.expires <= now {
        return Err(NotASession::Expired);
    }
    Ok(Some(Holder { account: token.account, role: token.role }))
}
