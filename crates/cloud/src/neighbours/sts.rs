//! The Security Token Service: which account am I, and credentials for a while, one's own or a role's. A role is given to whom
//! its trust document names; what its holder may then do is decided where it calls.

use std::fmt;

use policy::Verdict;
use policy::iam::{Kind, Who};
use wire::Refusal;
use wire::sts::{
    AssumeRoleRequest, AssumeRoleResponse, AssumedRoleUser, GetCallerIdentityRequest, GetCallerIdentityResponse,
    GetSessionTokenRequest, GetSessionTokenResponse,
};

use super::iam::{self, Role};
use crate::caller::{self, Caller, Identity, NotAllowed, Whence};
use crate::house::House;
use crate::operation::{Answer, Failure, Op, ops};
use crate::permissions::Need;
use crate::scope::{Read, Scope};
use session::{Credentials, Of, RoleSession};

pub(crate) mod session;

pub(crate) const OPS: &[Op] = ops! {
    read get_caller_identity on any;
    read assume_role on any;
    read get_session_token on any;
};

/// Seconds of a session, if the caller does not say.
const ROLE_SECONDS: i64 = 3600;
const ACCOUNT_SECONDS: i64 = 43_200;
/// Seconds of a session that was begun from another one, at most.
const CHAINED_SECONDS: i64 = 3600;

/// Credentials of a role for a service of the house, such as a function that runs as it: for a role that trusts it. `name`
/// is how the session is called.
pub(crate) fn session_for(db: Read, role_arn: &str, service: &str, name: &str, seconds: i64) -> Answer<Credentials> {
    let role = iam::role(db, role_arn)?;
    let who = Who::Service(service);
    let role = role.filter(|role| role.trusts(&who, "sts:AssumeRole", &iam::for_service(db, None), db.now()));
    let role = role.ok_or_else(|| denied(service, "sts:AssumeRole", role_arn))?;
    Ok(session::issue(db.cx, Of::Role(session::role_session(db, &role, name)), seconds)?)
}

/// Why a rule does not get the role that it names.
#[derive(Debug)]
pub enum NotForRules {
    /// There is none, or it does not trust the service of rules: why, in words.
    Refused(String),
    /// It is not known.
    Fault(store::Fault),
}

impl fmt::Display for NotForRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => f.write_str(why),
            Self::Fault(_) => f.write_str("The role could not be looked up."),
        }
    }
}

/// The service that takes roles for rules.
const RULES: &str = "iot.amazonaws.com";

impl House {
    /// Whom a rule acts as that names a role. As with access keys, a role that nobody made here is taken at its word in
    /// development, and nobody's in a network. unconfirmed: how AWS calls the session.
    pub fn role_for_rules(&self, scope: &Scope, role_arn: &str, now: i64) -> Result<Identity, NotForRules> {
        let cx = self.context(scope, now, 0);
        let view = self.store.read();
        role_for_rules(Read::new(&view, &cx), role_arn)
    }

    /// Whether a rule may publish to a topic as the role that it names; why not, in words, and told.
    pub(crate) fn role_may_publish(&self, scope: &Scope, role_arn: &str, topic: &str, now: i64) -> Result<(), String> {
        let identity = self.role_for_rules(scope, role_arn, now).map_err(|not| {
            if let NotForRules::Fault(fault) = &not {
                self.tell_fault(now, fault);
            }
            not.to_string()
        })?;
        let cx = self.context(scope, now, 0);
        let view = self.store.read();
        let need = Need::new("iot:Publish", scope.arn(format_args!("topic/{topic}")));
        let allowed = caller::allow(Read::new(&view, &cx), &Caller::new(scope.clone(), identity), &[need]);
        let refused = allowed.map_err(|no| self.refusal(scope, now, no.told(("AccessDeniedException", 403))));
        refused.map_err(|refusal| refusal.message().to_owned())
    }
}

fn role_for_rules(db: Read, role_arn: &str) -> Result<Identity, NotForRules> {
    let Some(role) = iam::role(db, role_arn).map_err(NotForRules::Fault)? else {
        if db.cx.settings.verifies {
            return Err(NotForRules::Refused(format!("The role {role_arn} does not exist.")));
        }
        return Ok(Identity::Key(role_arn.to_owned()));
    };
    if !role.trusts(&Who::Service(RULES), "sts:AssumeRole", &iam::for_service(db, None), db.now()) {
        return Err(NotForRules::Refused(format!("The role {role_arn} does not trust {RULES}.")));
    }
    Ok(Identity::Role(session::role_session(db, &role, "rules")))
}

/// Whether a function of a rule's statement may ask as the role that it names.
pub(crate) fn role_may(db: Read, role_arn: &str, need: Need) -> Answer<()> {
    let identity = role_for_rules(db, role_arn).map_err(|not| match not {
        NotForRules::Refused(why) => Failure::from(Refusal::new("AccessDeniedException", why)),
        NotForRules::Fault(fault) => fault.into(),
    })?;
    let allowed = caller::allow(db, &Caller::new(db.cx.scope.clone(), identity), &[need]);
    allowed.map_err(|no| no.told(("AccessDeniedException", 403)))
}

/// A key without a user is the root of its account.
fn root(db: Read) -> String {
    format!("arn:aws:iam::{}:root", db.cx.scope.account)
}

/// Who calls: not a device.
fn caller(db: Read<'_>) -> Answer<&Identity> {
    match &db.cx.origin.caller {
        Some(Identity::Device { .. }) | None => {
            Err(Refusal::forbidden("a device certificate has no identity here; sign with an access key").into())
        }
        Some(identity) => Ok(identity),
    }
}

fn denied(who: &str, action: &str, role_arn: &str) -> Failure {
    let message = format!("User: {who} is not authorized to perform: {action} on resource: {role_arn}");
    Refusal::new("AccessDenied", message).with_status(403).into()
}

fn invalid(message: impl Into<String>) -> Failure {
    Refusal::new("ValidationError", message).into()
}

fn get_caller_identity(db: Read, _: &GetCallerIdentityRequest) -> Answer<GetCallerIdentityResponse> {
    let account = &*db.cx.scope.account;
    let (arn, user_id) = match caller(db)? {
        Identity::User(user) => (user.arn.clone(), user.id.clone()),
        Identity::Role(session) => (session.arn.clone(), session.user_id.clone()),
        Identity::Key(_) | Identity::Device { .. } => (root(db), account.to_owned()),
    };
    Ok(GetCallerIdentityResponse::new().with_arn(arn).with_user_id(user_id).with_account(account))
}

/// unconfirmed: a role of another account is found by nobody; on AWS it is given to whom it trusts.
fn assume_role(db: Read, input: &AssumeRoleRequest) -> Answer<AssumeRoleResponse> {
    let caller = caller(db)?;
    check(input)?;
    let role = trusting(db, input, caller)?;
    let seconds = input.duration_seconds().unwrap_or(ROLE_SECONDS);
    if matches!(caller, Identity::Role(_)) && seconds > CHAINED_SECONDS {
        return Err(invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        ));
    }
    if seconds > role.longest_session {
        return Err(invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role."));
    }
    let name = input.role_session_name();
    let session = RoleSession {
        policy: input.policy().map(str::to_owned),
        policy_arns: input
            .policy_arns()
            .unwrap_or_default()
            .iter()
            .filter_map(|one| Some(one.arn()?.to_owned()))
            .collect(),
        ..session::role_session(db, &role, name)
    };
    let user = AssumedRoleUser::new().with_assumed_role_id(&session.user_id).with_arn(&session.arn);
    let answer = AssumeRoleResponse::new()
        .with_credentials(shown(session::issue(db.cx, Of::Role(session), seconds)?))
        .with_assumed_role_user(user);
    let answer = match input.policy() {
        // unconfirmed: AWS's own packing is not known; this is the document's share of what may be passed.
        Some(policy) => answer.with_packed_policy_size(i64::try_from(policy.len() * 100 / PACKED).unwrap_or(100)),
        None => answer,
    };
    Ok(match input.source_identity() {
        Some(identity) => answer.with_source_identity(identity),
        None => answer,
    })
}

/// Characters of a policy that is passed with a session.
const PACKED: usize = 2048;

/// A policy that narrows the session must be one; what would pretend to prove something is refused.
fn check(input: &AssumeRoleRequest) -> Answer<()> {
    if input.serial_number().is_some() || input.token_code().is_some() {
        return Err(Refusal::new("NotImplementedException", "MFA devices are not implemented yet.").into());
    }
    if input.provided_contexts().is_some_and(|contexts| !contexts.is_empty()) {
        return Err(Refusal::new("NotImplementedException", "ProvidedContexts are not implemented yet.").into());
    }
    let Some(text) = input.policy() else { return Ok(()) };
    match policy::iam::Document::parse(text, Kind::Inline) {
        Ok(_) if text.len() > PACKED => Err(invalid(format!(
            "1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must have length less than \
             or equal to {PACKED}"
        ))),
        Ok(_) => Ok(()),
        Err(malformed) => Err(Refusal::new("MalformedPolicyDocument", malformed.to_string()).into()),
    }
}

/// The role that is asked for, if it may be taken as it is asked for: its trust document must say so, and unless that names
/// the caller itself and not just its account, the caller's own policies too.
fn trusting(db: Read, input: &AssumeRoleRequest, caller: &Identity) -> Answer<Role> {
    let (account, arn) = (&*db.cx.scope.account, input.role_arn());
    let (name, arns) = match caller {
        Identity::User(user) => (user.arn.clone(), vec![&*user.arn]),
        Identity::Role(session) => (session.arn.clone(), vec![&*session.role_arn, &*session.arn]),
        Identity::Key(_) | Identity::Device { .. } => (root(db), Vec::new()),
    };
    let Some(role) = iam::role(db, arn)? else { return Err(denied(&name, "sts:AssumeRole", arn)) };
    let mut values = policy::Context::new();
    values.set("aws:PrincipalAccount", account);
    values.set("aws:PrincipalArn", arns.first().copied().unwrap_or(&name));
    values.set("sts:RoleSessionName", input.role_session_name());
    for (key, value) in [("sts:ExternalId", input.external_id()), ("sts:SourceIdentity", input.source_identity())] {
        if let Some(value) = value {
            values.set(key, value);
        }
    }
    let tags = input.tags().unwrap_or_default();
    for tag in &tags {
        values.set(&format!("aws:RequestTag/{}", tag.key()), tag.value());
    }
    let actions = [
        (true, "sts:AssumeRole"),
        (!tags.is_empty(), "sts:TagSession"),
        (input.source_identity().is_some(), "sts:SetSourceIdentity"),
    ];
    for (_, action) in actions.iter().filter(|(is_asked, _)| *is_asked) {
        if !role.trusts(&Who::Account { id: account, arns: &arns }, action, &values, db.now()) {
            return Err(denied(&name, action, arn));
        }
        // Nobody has an account without a number: what trusts this one trusts the caller by name.
        let by_name = role.trusts(&Who::Account { id: "", arns: &arns }, action, &values, db.now());
        own_policies(db, caller, Need::new(*action, arn), by_name)?;
    }
    Ok(role)
}

/// Asks the caller's own policies; where the role trusts it by name it is enough that they do not deny it.
fn own_policies(db: Read, caller: &Identity, need: Need, by_name: bool) -> Answer<()> {
    let (ip, secure) = (db.cx.origin.source_ip.clone().unwrap_or_default(), db.cx.origin.secure);
    let whence = Whence { ip, secure, ..Whence::default() };
    let caller = Caller { scope: db.cx.scope.clone(), identity: caller.clone(), whence };
    match caller::allow(db, &caller, &[need]) {
        Err(NotAllowed::Refused(_, refused)) if by_name && refused.decision == Verdict::ImplicitDeny.as_str() => Ok(()),
        allowed => allowed.map_err(|no| no.told(("AccessDenied", 403))),
    }
}

fn get_session_token(db: Read, input: &GetSessionTokenRequest) -> Answer<GetSessionTokenResponse> {
    let of = match caller(db)? {
        Identity::User(user) => Of::User(user.name.clone(), user.id.clone()),
        Identity::Key(_) | Identity::Device { .. } => Of::Root,
        Identity::Role(_) => {
            let message = "Cannot call GetSessionToken with session credentials";
            return Err(Refusal::new("AccessDenied", message).with_status(403).into());
        }
    };
    if input.serial_number().is_some() || input.token_code().is_some() {
        return Err(Refusal::new("NotImplementedException", "MFA devices are not implemented yet.").into());
    }
    let seconds = input.duration_seconds().unwrap_or(ACCOUNT_SECONDS);
    Ok(GetSessionTokenResponse::new().with_credentials(shown(session::issue(db.cx, of, seconds)?)))
}

fn shown(credentials: Credentials) -> wire::sts::Credentials {
    wire::sts::Credentials::new()
        .with_access_key_id(credentials.access_key_id)
        .with_secret_access_key(credentials.secret_access_key)
        .with_session_token(credentials.session_token)
        .with_expiration(credentials.expires)
}
