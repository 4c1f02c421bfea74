//! Who calls an operation over HTTP, and whether it may: the root of an account everything in it, users and roles what the
//! policies of IAM say, a device what its own policies say, and only on the data plane. How a signature or a TLS session proved
//! it is unknown here.

use std::collections::BTreeMap;

use policy::{PolicySet, Request, Verdict};
use wire::{Input, Operation, Refusal};

use crate::events::Refused;
use crate::house::House;
use crate::identity::{self, Standing};
use crate::neighbours::iam::grants;
use crate::neighbours::sts::session::RoleSession;
use crate::operation::{Answer, Failure, Started};
use crate::permissions::{self, Need};
use crate::scope::{Context, Read, Scope};

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Where it acts.
    pub scope: Scope,
    /// What it proved to be.
    pub identity: Identity,
    /// Whence it calls.
    pub whence: Whence,
}

impl Caller {
    /// Somebody of whom no more is known.
    pub fn new(scope: Scope, identity: Identity) -> Self {
        Self { scope, identity, whence: Whence::default() }
    }
}

/// Whence a request came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whence {
    /// The address, without the port; empty for what the house asks itself.
    pub ip: String,
    /// Whether it came over TLS.
    pub secure: bool,
    /// The host name the client asked for over TLS.
    pub server_name: Option<String>,
}

impl Whence {
    /// Files what the policies of a device may ask of it beside the address.
    pub(crate) fn add_to(&self, values: &mut policy::Context) {
        if let Some(name) = &self.server_name {
            values.set(policy::keys::DOMAIN_NAME, name);
        }
    }

    /// The same for whoever explains a refusal later.
    pub(crate) fn given(&self) -> BTreeMap<String, Vec<String>> {
        let name = |name: &String| (policy::keys::DOMAIN_NAME.to_owned(), vec![name.clone()]);
        self.server_name.iter().map(name).collect()
    }
}

/// What a caller proved to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The holder of an access key that stands for the whole account.
    Key(String),
    /// A user of IAM.
    User(IamUser),
    /// Somebody who took a role, with the credentials given out for that.
    Role(RoleSession),
    /// A device that showed a certificate over TLS.
    Device {
        /// The certificate's id.
        certificate_id: String,
        /// The address it calls from, without the port.
        source_ip: String,
    },
}

/// A user of IAM, who brought one of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IamUser {
    /// Its name.
    pub name: String,
    /// `AIDA…`.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// The key.
    pub access_key_id: String,
}

impl Identity {
    /// How refusals name it, if it is held to the policies of IAM.
    pub(crate) fn held(&self) -> Option<&str> {
        match self {
            Self::User(user) => Some(&user.arn),
            Self::Role(session) => Some(&session.arn),
            Self::Key(_) | Self::Device { .. } => None,
        }
    }
}

/// The services that a device may call with its certificate.
const DATA_PLANES: [&str; 2] = ["iot-data", "iot-jobs-data"];

impl House {
    /// Where a certificate belongs for who asked for this host name, if it is known there.
    pub fn scope_of(&self, certificate_id: &str, server_name: Option<&str>) -> Result<Option<Scope>, store::Fault> {
        identity::scope_of(&self.store.read(), certificate_id, server_name)
    }

    /// What a request of somebody who is held to the policies of IAM needs, as far as its input says it.
    pub(crate) fn needs(
        &self,
        caller: &Caller,
        operation: &Operation,
        input: &Input,
        cx: &Context,
    ) -> Answer<Vec<Need>> {
        if caller.identity.held().is_none() {
            return Ok(Vec::new());
        }
        Ok(permissions::of(Read::new(&self.store.read(), cx), operation, input)?)
    }

    /// Asks the policies of whoever calls about the operation and what it needs.
    pub(crate) fn authorize(
        &self,
        caller: &Caller,
        operation: &Operation,
        started: &Started,
        mut needs: Vec<Need>,
        cx: &Context,
    ) -> Answer<()> {
        match &caller.identity {
            Identity::Key(_) => Ok(()),
            Identity::User(_) | Identity::Role(_) => {
                let view = self.store.read();
                let db = Read::new(&view, cx);
                needs.splice(0..0, permissions::of_iot(db, operation, started)?);
                allow(db, caller, &needs).map_err(|no| no.told(permissions::error(operation)))
            }
            Identity::Device { certificate_id, source_ip } => {
                self.authorize_device((certificate_id, source_ip, &caller.whence), operation, started, cx)
            }
        }
    }

    /// Asks the device's policies about the operation, and about the second action if there is one.
    fn authorize_device(
        &self,
        (certificate_id, source_ip, whence): (&String, &String, &Whence),
        operation: &Operation,
        started: &Started,
        cx: &Context,
    ) -> Answer<()> {
        let refused = Refused {
            principal: certificate_id.clone(),
            action: format!("iot:{}", operation.name),
            resource: cx.scope.arn(format_args!("{}", started.resource)),
            peer: source_ip.clone(),
            given: whence.given(),
            ..Refused::default()
        };
        if !DATA_PLANES.contains(&operation.service) {
            let reason =
                "a device certificate opens the data plane only; sign control-plane requests with an access key";
            return forbidden(Refused { decision: "NOT_DATA_PLANE".into(), reason: reason.into(), ..refused });
        }
        let view = self.store.read();
        let db = Read::new(&view, cx);
        let certificate = match identity::standing(db, certificate_id)? {
            Standing::Active(certificate) => certificate,
            other => {
                let (decision, reason) = (other.decision().into(), other.reason());
                return forbidden(Refused { decision, reason, ..refused });
            }
        };
        let mut context = identity::certificate_context(certificate_id, &certificate);
        context.set(policy::keys::SOURCE_IP, source_ip);
        whence.add_to(&mut context);
        let set = identity::policy_set(db, certificate_id, None, context)?;
        for action in [Some(refused.action.as_str()), started.also].into_iter().flatten() {
            let request = Request::new(action, refused.resource.as_str(), cx.now);
            let decision = set.decide(&request);
            if !decision.is_allowed() {
                let refused = Refused { action: action.to_owned(), ..refused.clone() };
                return forbidden(identity::explained(refused, &set, &request, &decision));
            }
        }
        Ok(())
    }
}

/// The condition key of whether a request came over TLS.
const SECURE: &str = "aws:SecureTransport";

/// Why somebody who is held to the policies of IAM may not do something.
pub(crate) enum NotAllowed {
    /// What the caller is told, and what is told of it.
    Refused(String, Box<Refused>),
    /// It is not known.
    Fault(store::Fault),
}

impl From<store::Fault> for NotAllowed {
    fn from(fault: store::Fault) -> Self {
        Self::Fault(fault)
    }
}

impl NotAllowed {
    /// The same as an error of a service, with its status.
    pub(crate) fn told(self, (error, status): (&'static str, u16)) -> Failure {
        match self {
            Self::Refused(message, refused) => {
                Failure::Told(Box::new((Refusal::new(error, message).with_status(status), *refused)))
            }
            Self::Fault(fault) => Failure::Fault(fault),
        }
    }
}

/// Whether the policies of IAM allow somebody all that is needed. Who is not held to them may do everything.
pub(crate) fn allow(db: Read, caller: &Caller, needs: &[Need]) -> Result<(), NotAllowed> {
    let Some(name) = caller.identity.held().filter(|_| !needs.is_empty()) else { return Ok(()) };
    let set = of_caller(db, caller)?;
    for need in needs {
        let mut values = policy::Context::new();
        if let Some(service) = need.passed_to {
            values.set("iam:PassedToService", service);
        }
        let request = Request::new(&need.action, need.resource.as_str(), db.now()).with(&values);
        let decision = set.decide(&request);
        if !decision.is_allowed() {
            let mut given = identity::given(&values);
            given.insert(SECURE.to_owned(), vec![caller.whence.secure.to_string()]);
            let refused = Refused {
                given,
                principal: name.to_owned(),
                action: need.action.clone(),
                resource: need.resource.clone(),
                peer: caller.whence.ip.clone(),
                ..Refused::default()
            };
            let refused = identity::explained(refused, &set, &request, &decision);
            return Err(NotAllowed::Refused(message(name, need, decision.verdict, &set, &request), Box::new(refused)));
        }
    }
    Ok(())
}

/// The policies of somebody who is held to those of IAM, with all that is known of it and its request.
pub(crate) fn of_caller(db: Read, caller: &Caller) -> Result<PolicySet, store::Fault> {
    let mut values = grants::variables(db, &caller.identity)?;
    if !caller.whence.ip.is_empty() {
        values.set(policy::keys::SOURCE_IP, &caller.whence.ip);
    }
    values.set(SECURE, if caller.whence.secure { "true" } else { "false" });
    grants::set(db, &caller.identity, values)
}

/// AWS's sentence. unconfirmed: which kind of policy it names when several deny.
fn message(name: &str, need: &Need, verdict: Verdict, set: &PolicySet, request: &Request<'_>) -> String {
    let Need { action, resource, .. } = need;
    let why = match (verdict, set.limit_of(request)) {
        (Verdict::ExplicitDeny, _) => "with an explicit deny in an identity-based policy".to_owned(),
        (_, Some(limit)) if set.allows_alone(request) => format!("because no {limit} allows the {action} action"),
        _ => format!("because no identity-based policy allows the {action} action"),
    };
    format!("User: {name} is not authorized to perform: {action} on resource: {resource} {why}")
}

fn forbidden(refused: Refused) -> Answer<()> {
    let message = format!("{} on {} is not allowed: {}", refused.action, refused.resource, refused.decision);
    Err(Failure::Told(Box::new((Refusal::forbidden(message), refused))))
}
