//! Who asks: the state of a principal, and the thing that belongs to a connection of it, each with the reason. What it may do
//! is unknown here.

use std::collections::BTreeMap;

use policy::Context as Variables;
use serde::Serialize;
use store::Fault;

use crate::caller::Identity;
use crate::certificates::{self, CERTIFICATES};
use crate::identity::{self, Principal};
use crate::neighbours::sts::session::RoleSession;
use crate::principals;
use crate::scope::Read;
use crate::signer;
use crate::thing_groups;

/// Who asks, and whether it may come in at all.
#[derive(Clone, Debug, Serialize)]
pub struct Holder {
    /// `certificate`, `user`, `role`, `access key` (of the root), `anonymous` or `nobody`.
    pub kind: &'static str,
    /// The certificate's id, the access key's, or the name of the user, the role or the policy.
    pub id: String,
    /// The ARN of the certificate, the user or the role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// The certificate's status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// From when to when the certificate is valid, in milliseconds since 1970. unconfirmed: AWS connects a device whose
    /// certificate is not valid any more; so is it here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid: Option<[i64; 2]>,
    /// The same in a word: `valid`, `expired`, `not yet valid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validity: Option<&'static str>,
    /// Why it may not come in, whatever its policies say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The word for that.
    #[serde(skip)]
    pub(super) turned: Option<String>,
}

/// The thing that belongs to a connection.
#[derive(Clone, Debug, Serialize)]
pub struct Belongs {
    /// Its name; none if none does.
    pub name: Option<String>,
    /// Why it does, or why none does.
    pub because: String,
    /// Its type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thing_type: Option<String>,
    /// Its attributes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// The groups whose policies reach it: each from the group down to the one it is in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

impl Holder {
    pub(super) fn nobody() -> Self {
        Self {
            kind: "nobody",
            id: String::new(),
            arn: None,
            status: None,
            valid: None,
            validity: None,
            reason: None,
            turned: None,
        }
    }
}

impl Belongs {
    pub(super) fn none(because: &str) -> Self {
        let because = because.to_owned();
        Self { name: None, because, thing_type: None, attributes: BTreeMap::new(), groups: Vec::new() }
    }
}

/// The principal of this name: what is no certificate and not anonymous is an access key, or the user or role behind one.
pub(super) fn named(db: Read, text: &str) -> Result<Principal, Fault> {
    let scope = db.cx.scope.clone();
    let id = certificates::id_of_arn(db, text).unwrap_or(text);
    if id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(Principal::Certificate(id.to_owned()));
    }
    if let Some(policy) = text.strip_prefix("anonymous/") {
        return Ok(Principal::Anonymous { policy: policy.to_owned(), scope });
    }
    let identity = signer::named(db, text)?;
    Ok(Principal::Key { access_key_id: text.to_owned(), scope, identity, is_kept: false })
}

/// The state of a principal.
pub(super) fn holder(db: Read, principal: &Principal) -> Result<Holder, Fault> {
    let turned = principal.standing(db)?.err();
    let (turned, reason) = turned.map(|turned| (turned.decision, turned.reason)).unzip();
    let holder = Holder { reason, turned, ..Holder::nobody() };
    Ok(match principal {
        Principal::Key { access_key_id, identity, .. } => match identity {
            Identity::User(user) => {
                Holder { kind: "user", id: user.name.clone(), arn: Some(user.arn.clone()), ..holder }
            }
            Identity::Role(session) => {
                let arn = session.role_arn.clone();
                Holder { kind: "role", id: role_name(session).to_owned(), arn: Some(arn), ..holder }
            }
            Identity::Key(_) | Identity::Device { .. } => {
                Holder { kind: "access key", id: access_key_id.clone(), ..holder }
            }
        },
        Principal::Anonymous { policy, .. } => Holder { kind: "anonymous", id: policy.clone(), ..holder },
        Principal::Stranger { certificate_id, .. } => {
            Holder { kind: "certificate", id: certificate_id.clone(), ..holder }
        }
        Principal::Certificate(id) => {
            let arn = Some(db.arn(format_args!("cert/{id}")));
            let holder = Holder { kind: "certificate", id: id.clone(), arn, ..holder };
            let Some(certificate) = db.get(&CERTIFICATES, [id])? else { return Ok(holder) };
            let (from, to) = certificate.validity();
            let validity = match db.now() {
                now if now < from => "not yet valid",
                now if now > to => "expired",
                _ => "valid",
            };
            let status = Some(certificate.status);
            Holder { status, valid: Some([from, to]), validity: Some(validity), ..holder }
        }
    })
}

/// The name of a role without its path.
pub(super) fn role_name(session: &RoleSession) -> &str {
    session.role_arn.rsplit('/').next().unwrap_or_default()
}

/// The variables that a principal brings, whatever its state.
pub(super) fn variables(db: Read, principal: &Principal) -> Result<Variables, Fault> {
    let Principal::Certificate(id) = principal else { return Ok(principal.standing(db)?.unwrap_or_default()) };
    let certificate = db.get(&CERTIFICATES, [id])?;
    Ok(certificate.map_or_else(Variables::new, |certificate| identity::certificate_context(id, &certificate)))
}

/// Things of a certificate that are named where none belongs to the connection.
const NAMED: usize = 3;

/// The thing that belongs to a connection of this client id, and why.
pub(super) fn belongs(db: Read, principal: &Principal, client_id: &str) -> Result<Belongs, Fault> {
    let Principal::Certificate(id) = principal else {
        return Ok(Belongs::none("only certificates are attached to things"));
    };
    if client_id.is_empty() {
        return Ok(Belongs::none("no thing belongs to a request over HTTP"));
    }
    let arn = db.arn(format_args!("cert/{id}"));
    let Some((name, thing)) = identity::thing_of(db, id, client_id)? else {
        let attached = principals::some_things(db, &arn, NAMED + 1)?;
        let things = attached.get(..NAMED).map_or_else(|| attached.join(", "), |some| format!("{} …", some.join(", ")));
        return Ok(Belongs::none(&if attached.is_empty() {
            "the certificate is attached to no thing".to_owned()
        } else {
            format!(
                "the certificate is attached to {things}, and the client id is the name of none of them: {client_id}"
            )
        }));
    };
    let because = match principals::exclusive_thing(db, &arn)? {
        Some(_) => "the certificate is attached to it exclusively, so the client id does not matter",
        None => "the certificate is attached to it, and the client id is its name",
    };
    let chain = |reached: thing_groups::Reached| {
        let down: Vec<String> = reached.chain.into_iter().rev().collect();
        down.join(" > ")
    };
    let groups = thing_groups::reaching(db, &name)?.into_iter().map(chain).collect();
    let attributes = thing.attributes.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(Belongs { name: Some(name), because: because.to_owned(), thing_type: thing.type_name, attributes, groups })
}
