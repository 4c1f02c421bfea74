//! What a principal may do, for whoever asks beforehand: `TestAuthorization` and `GetEffectivePolicies` (security.md §4). The
//! answer is that of the policies, got as the broker gets it; whether the principal may come in at all is not asked.

use policy::{Attached, Context as Variables, PolicySet, Request, Verdict, keys};
use store::Fault;
use wire::Refusal;
use wire::iot::{
    Allowed, AuthInfo, AuthResult, Denied, EffectivePolicy, ExplicitDeny, GetEffectivePoliciesRequest,
    GetEffectivePoliciesResponse, ImplicitDeny, Policy, TestAuthorizationRequest, TestAuthorizationResponse,
};

use crate::certificates::CERTIFICATES;
use crate::identity::{self, CERTIFICATE};
use crate::operation::{Answer, Op, ops};
use crate::policies;
use crate::policies::targets::{self, Reaching, Target};
use crate::scope::Read;
use crate::thing_groups::{self, Reached};
use crate::things;

pub(crate) const OPS: &[Op] = ops! {
    read test_authorization on any;
    read get_effective_policies on any;
};

/// Resources of one question, and policies that are added or left out. unconfirmed: that AWS has bounds here.
const RESOURCES: usize = 100;
const NAMES: usize = 100;

/// Whom a request is about: what its policies are, and the variables it brings.
#[derive(Default)]
struct Subject {
    reaching: Vec<Reaching>,
    variables: Variables,
}

impl Subject {
    fn of(db: Read, principal: Option<&str>, client_id: Option<&str>) -> Answer<Self> {
        let mut subject = Self::default();
        if let Some(client_id) = client_id {
            subject.variables.set(keys::CLIENT_ID, client_id);
        }
        let Some(principal) = principal else { return Ok(subject) };
        match Target::named_by(db, principal)? {
            Target::Certificate(id) => {
                let certificate = db.named(&CERTIFICATES, [&id])?;
                subject.variables.add(&identity::certificate_context(&id, &certificate));
                subject.attach(db, (principal, CERTIFICATE), client_id)?;
            }
            Target::Group(name) => subject.reaching = targets::reaching(db, None, &upwards(db, &name)?)?,
            Target::Cognito(_) => subject.attach(db, (principal, "Cognito identity"), client_id)?,
        }
        Ok(subject)
    }

    /// Adds the thing that the principal would be with this client id, and the policies that reach it.
    fn attach(&mut self, db: Read, principal: (&str, &str), client_id: Option<&str>) -> Result<(), Fault> {
        let thing = identity::thing_of_principal(db, principal.0, client_id.unwrap_or_default())?;
        identity::add_thing(&mut self.variables, thing.as_ref());
        let groups = thing.map(|(name, _)| thing_groups::reaching(db, &name)).transpose()?.unwrap_or_default();
        self.reaching = targets::reaching(db, Some(principal), &groups)?;
        Ok(())
    }
}

/// A group and those above it.
fn upwards(db: Read, group: &str) -> Result<Vec<Reached>, Fault> {
    let mut chain = Vec::new();
    let mut reached = Vec::new();
    for group in [group.to_owned()].into_iter().chain(thing_groups::ancestors(db, group)?) {
        chain.push(group.clone());
        reached.push(Reached { group, chain: chain.clone() });
    }
    Ok(reached)
}

/// A pool without an identity of it stands for nobody here.
fn check_pool(pool: Option<&str>, principal: Option<&str>) -> Result<(), Refusal> {
    if pool.is_some() && principal.is_none() {
        let message = "An identity pool alone has no policies here: name an identity of it as the principal";
        return Err(Refusal::invalid_request(message));
    }
    Ok(())
}

fn test_authorization(db: Read, input: &TestAuthorizationRequest) -> Answer<TestAuthorizationResponse> {
    check_pool(input.cognito_identity_pool_id(), input.principal())?;
    let add = input.policy_names_to_add().unwrap_or_default();
    if input.principal().is_none() && add.is_empty() {
        // unconfirmed: the text.
        return Err(Refusal::invalid_request("Name a principal, or policies to add").into());
    }
    let skip = input.policy_names_to_skip().unwrap_or_default();
    let infos = input.auth_infos().unwrap_or_default();
    let is_long = |asked: &AuthInfo| asked.resources().is_some_and(|resources| resources.len() > RESOURCES);
    if add.len() > NAMES || skip.len() > NAMES || infos.iter().any(is_long) {
        let message = format!("At most {RESOURCES} resources in each of authInfos, and {NAMES} names of policies");
        return Err(Refusal::invalid_request(message).into());
    }
    let mut subject = Subject::of(db, input.principal(), input.client_id())?;
    subject.reaching.retain(|reaching| !skip.iter().any(|name| *name == reaching.policy));
    for name in add {
        if policies::document(db, name)?.is_none() {
            return Err(Refusal::resource_not_found(format!("Policy not found (name={name})")).into());
        }
        if !subject.reaching.iter().any(|reaching| reaching.policy == *name) {
            subject.reaching.push(Reaching { policy: (*name).to_owned(), through: "policyNamesToAdd".to_owned() });
        }
    }
    let attached = identity::attached(db, subject.reaching)?;
    let results: Answer<Vec<AuthResult>> = infos
        .into_iter()
        .map(|asked| Tried::new(db, &attached, &subject.variables, &asked).map(|tried| tried.result(db, asked)))
        .collect();
    Ok(TestAuthorizationResponse::new().with_auth_results(results?))
}

/// What became of one thing that was asked.
struct Tried {
    verdict: Verdict,
    /// Each policy by itself.
    each: Vec<(String, Verdict)>,
    missing: Vec<String>,
}

impl Tried {
    /// unconfirmed: that of several resources the worst answer counts.
    fn new(db: Read, attached: &[Attached], variables: &Variables, asked: &AuthInfo) -> Answer<Self> {
        let action = match asked.action_type() {
            Some("PUBLISH") => "iot:Publish",
            Some("SUBSCRIBE") => "iot:Subscribe",
            Some("RECEIVE") => "iot:Receive",
            Some("CONNECT") => "iot:Connect",
            // The model knows these four; without any there is nothing to ask.
            _ => return Err(Refusal::invalid_request("Each of authInfos needs an actionType").into()),
        };
        let compile = |attached: &[Attached]| PolicySet::compile(attached.iter().cloned(), variables.clone());
        let resources = asked.resources().unwrap_or_default();
        let worst = |set: &PolicySet| {
            let decide = |arn: &&str| identity::decide(set, Request::new(action, identity::resource(arn), db.now())).1;
            let verdicts: Vec<Verdict> = resources.iter().map(|arn| decide(arn).verdict).collect();
            let order = [Verdict::ExplicitDeny, Verdict::ImplicitDeny, Verdict::Allowed];
            order.into_iter().find(|verdict| verdicts.contains(verdict)).unwrap_or(Verdict::ImplicitDeny)
        };
        let set = compile(attached);
        let mut missing: Vec<String> = Vec::new();
        for arn in &resources {
            for name in set.explain(&Request::new(action, *arn, db.now())).missing {
                if !missing.contains(&name) {
                    missing.push(name);
                }
            }
        }
        let alone = |policy: &Attached| (policy.name.to_string(), worst(&compile(std::slice::from_ref(policy))));
        Ok(Self { verdict: worst(&set), each: attached.iter().map(alone).collect(), missing })
    }

    fn result(self, db: Read, asked: AuthInfo) -> AuthResult {
        let of = |wanted: Verdict| -> Vec<Policy> {
            let of = self.each.iter().filter(|(_, verdict)| *verdict == wanted);
            of.map(|(name, _)| policies::summary(db, name.clone())).collect()
        };
        let denied = Denied::new()
            .with_implicit_deny(ImplicitDeny::new().with_policies(of(Verdict::ImplicitDeny)))
            .with_explicit_deny(ExplicitDeny::new().with_policies(of(Verdict::ExplicitDeny)));
        AuthResult::new()
            .with_auth_info(asked)
            .with_allowed(Allowed::new().with_policies(of(Verdict::Allowed)))
            .with_denied(denied)
            .with_auth_decision(self.verdict.as_str())
            .with_missing_context_values(self.missing)
    }
}

/// unconfirmed: that the thing need not belong to the principal, and that a thing alone brings the policies of its groups.
fn get_effective_policies(db: Read, input: &GetEffectivePoliciesRequest) -> Answer<GetEffectivePoliciesResponse> {
    check_pool(input.cognito_identity_pool_id(), input.principal())?;
    let groups = match input.thing_name() {
        Some(thing) => {
            things::must_exist(db, thing)?;
            thing_groups::reaching(db, thing)?
        }
        None if input.principal().is_none() => {
            // unconfirmed: the text.
            return Err(Refusal::invalid_request("Name a principal or a thing").into());
        }
        None => Vec::new(),
    };
    let reaching = match input.principal() {
        None => targets::reaching(db, None, &groups)?,
        Some(principal) => match Target::named_by(db, principal)? {
            Target::Group(name) => targets::reaching(db, None, &[upwards(db, &name)?, groups].concat())?,
            Target::Certificate(_) | Target::Cognito(_) => {
                targets::reaching(db, Some((principal, CERTIFICATE)), &groups)?
            }
        },
    };
    let mut effective = Vec::with_capacity(reaching.len());
    for Reaching { policy, .. } in reaching {
        if let Some(document) = policies::document(db, &policy)? {
            let arn = policies::arn(db, &policy);
            let found = EffectivePolicy::new().with_policy_name(policy).with_policy_arn(arn);
            effective.push(found.with_policy_document(document));
        }
    }
    Ok(GetEffectivePoliciesResponse::new().with_effective_policies(effective))
}
