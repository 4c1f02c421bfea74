//! Temporary credentials: an access key, its secret, and a token that says, sealed, whose they are and until when. Nothing of
//! them is stored: whoever brings the token brings all that is known. What may be done with them is unknown here.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::Fault;

use crate::neighbours::iam::Role;
use crate::scope::{Context, Read};
use crate::vault::Vault;

/// What every token given out here begins with: another's is known by not having it.
const MARK: &str = "OmbraSession";
/// What tokens are sealed as.
const LABEL: &str = "session token";
/// Characters of the longest token that is looked at; with the longest policy that can be passed, ours are shorter.
const LONGEST: usize = 8192;
/// What temporary access keys begin with, AWS's too.
pub(crate) const TEMPORARY: &str = "ASIA";
/// The letters of access keys and of secrets.
pub(crate) const OF_KEYS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
pub(crate) const OF_SECRETS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A role as somebody took it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSession {
    /// The role.
    pub role_arn: String,
    /// The session: `arn:aws:sts::{account}:assumed-role/{role}/{session}`.
    pub arn: String,
    /// `AROA…:{session}`.
    pub user_id: String,
    /// What the session was narrowed to, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<String>,
    /// Managed policies that it was narrowed to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) policy_arns: Vec<String>,
    /// What else is known of whoever took it, by the names of condition keys.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) context: BTreeMap<String, String>,
}

impl RoleSession {
    /// Whether it is of the role of this id: another of the same name came later.
    pub(crate) fn is_of(&self, role_id: &str) -> bool {
        self.user_id.split_once(':').is_some_and(|(id, _)| id == role_id)
    }
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
    secret_access_key: String,
    account: String,
    expires: i64,
    role: Option<RoleSession>,
    /// Name and id of the user whose own they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<(String, String)>,
    /// When they were given out.
    #[serde(default)]
    issued: i64,
}

/// Whose credentials they are.
pub(crate) struct Holder {
    pub(crate) account: String,
    pub(crate) secret: String,
    pub(crate) of: Of,
}

/// For whom credentials are given out.
pub(crate) enum Of {
    /// The root of the account.
    Root,
    /// A user, by name and id.
    User(String, String),
    /// Whoever took a role.
    Role(RoleSession),
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotASession {
    /// It was good once.
    Expired,
    /// It is not what was given out, or not with this access key.
    Unknown,
}

/// Makes credentials that are good for so many seconds from now.
pub(crate) fn issue(cx: &Context, of: Of, seconds: i64) -> Result<Credentials, Fault> {
    let mut secret = cx.entropy.secret();
    let (user, role) = match of {
        Of::Root => (None, None),
        Of::User(name, id) => (Some((name, id)), None),
        Of::Role(session) => (None, Some(session)),
    };
    let token = Token {
        access_key_id: format!("{TEMPORARY}{}", secret.text(OF_KEYS, 16)),
        secret_access_key: secret.text(OF_SECRETS, 40),
        account: cx.scope.account.to_string(),
        expires: cx.now.saturating_add(seconds.saturating_mul(1000)),
        role,
        user,
        issued: cx.now,
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
pub(crate) fn role_session(db: Read, role: &Role, name: &str) -> RoleSession {
    RoleSession {
        role_arn: role.arn(db),
        arn: format!("arn:aws:sts::{}:assumed-role/{}/{name}", db.cx.scope.account, role.name),
        user_id: format!("{}:{name}", role.id),
        policy: None,
        policy_arns: Vec::new(),
        context: BTreeMap::new(),
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
    let of = match (token.role, token.user) {
        (Some(mut session), _) => {
            session.context.insert("aws:TokenIssueTime".to_owned(), date(token.issued));
            Of::Role(session)
        }
        (None, Some((name, id))) => Of::User(name, id),
        (None, None) => Of::Root,
    };
    Ok(Some(Holder { account: token.account, secret: token.secret_access_key, of }))
}

/// As conditions compare it, and answers show it: whole seconds.
pub(crate) fn date(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds.div_euclid(1000) * 1000).unwrap_or_default().to_string()
}
