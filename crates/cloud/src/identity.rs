//! Who stands behind a connection and what it may do: its standing, the variables it brings, the policies that reach it.
//! Knows neither connections nor requests.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use policy::{Attached, Context, Decision, Document, PolicySet, Request, Resource, Verdict, iam};
use store::{Direction, Fault, Key};

use crate::caller::Identity;
use crate::certificates::{self, CERTIFICATE_SCOPES, CERTIFICATES, Certificate};
use crate::domain_configurations;
use crate::events::Refused;
use crate::neighbours::iam::{grants, keys};
use crate::policies::{self, targets};
use crate::principals;
use crate::scope::{Read, Scope};
use crate::thing_groups;
use crate::things::{self, Thing};

/// Who stands behind a connection, as a door proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Whoever holds the key of this certificate; its id.
    Certificate(String),
    /// Whoever holds the key of a certificate that is not, or not yet, registered, and why it is sent away.
    Stranger {
        /// The certificate's id.
        certificate_id: String,
        /// Whose the certificate would be.
        scope: Option<Scope>,
        /// Why.
        turned: Turned,
    },
    /// The holder of an access key: held to the policies of its user or role, or to none if it is its account's root.
    Key {
        /// The access key's id.
        access_key_id: String,
        /// The account it belongs to and the region it signed for.
        scope: Scope,
        /// Whom it stands for.
        identity: Identity,
        /// Whether the key lies in the store, and can be switched off there.
        is_kept: bool,
    },
    /// Anybody, on a listener of development: may do what one policy says.
    Anonymous {
        /// The policy's name.
        policy: String,
        /// Where the policy is registered.
        scope: Scope,
    },
}

impl Principal {
    /// How events name it, and how news of a change find its connections.
    pub fn id(&self) -> String {
        match self {
            Self::Certificate(id) | Self::Stranger { certificate_id: id, .. } => id.clone(),
            Self::Key { access_key_id, identity, .. } => match identity {
                Identity::User(user) => user.arn.clone(),
                Identity::Role(session) => session.role_arn.clone(),
                Identity::Key(_) | Identity::Device { .. } => access_key_id.clone(),
            },
            Self::Anonymous { policy, .. } => anonymous(policy),
        }
    }

    /// Where it belongs; an unknown certificate belongs nowhere.
    pub(crate) fn scope(&self, view: &store::Read, server_name: Option<&str>) -> Result<Option<Scope>, Fault> {
        match self {
            Self::Certificate(id) => scope_of(view, id, server_name),
            Self::Stranger { scope, .. } => Ok(scope.clone()),
            Self::Key { scope, .. } | Self::Anonymous { scope, .. } => Ok(Some(scope.clone())),
        }
    }

    /// Whether it may come in at all, and if so the variables it brings.
    pub(crate) fn standing(&self, db: Read) -> Result<Result<Context, Turned>, Fault> {
        match self {
            Self::Certificate(id) => Ok(match standing(db, id)? {
                Standing::Active(certificate) => Ok(certificate_context(id, &certificate)),
                other => Err(Turned { decision: other.decision().to_owned(), reason: other.reason() }),
            }),
            Self::Stranger { turned, .. } => Ok(Err(turned.clone())),
            Self::Key { access_key_id, identity, is_kept, .. } => {
                let turned = if *is_kept { keys::turned(db, access_key_id)? } else { None };
                Ok(match turned {
                    Some(turned) => Err(turned),
                    None => Ok(grants::variables(db, identity)?),
                })
            }
            Self::Anonymous { policy, .. } => Ok(match policies::document(db, policy)? {
                Some(_) => Ok(Context::new()),
                None => Err(Turned {
                    decision: "UNKNOWN_POLICY".to_owned(),
                    reason: format!(
                        "the policy {policy} does not exist; `aws iot create-policy --policy-name {policy} …` lets \
                        anonymous clients in"
                    ),
                }),
            }),
        }
    }

    /// The thing it is exclusively attached to.
    pub(crate) fn exclusive_thing(&self, db: Read) -> Result<Option<String>, Fault> {
        match self {
            Self::Certificate(id) => principals::exclusive_thing(db, &db.arn(format_args!("cert/{id}"))),
            Self::Stranger { .. } | Self::Key { .. } | Self::Anonymous { .. } => Ok(None),
        }
    }

    /// What it may do on a connection of this client id.
    pub(crate) fn grant(&self, db: Read, client_id: &str, mut variables: Context) -> Result<Granted, Fault> {
        let (set, groups) = match self {
            Self::Certificate(id) => {
                let thing = thing_of(db, id, client_id)?;
                add_thing(&mut variables, thing.as_ref());
                let groups = thing.map(|(name, _)| thing_groups::reaching(db, &name)).transpose()?.unwrap_or_default();
                let arn = db.arn(format_args!("cert/{id}"));
                let reaching = targets::reaching(db, Some((&arn, CERTIFICATE)), &groups)?;
                (PolicySet::compile(attached(db, reaching)?, variables), groups)
            }
            Self::Stranger { .. } => (PolicySet::compile(Vec::<Attached>::new(), variables), Vec::new()),
            Self::Key { identity: identity @ (Identity::User(_) | Identity::Role(_)), .. } => {
                (grants::set(db, identity, variables)?, Vec::new())
            }
            Self::Key { .. } => {
                let everything = db.cx.documents.parse("the access key", EVERYTHING)?;
                (PolicySet::compile([("the access key", everything)], variables), Vec::new())
            }
            Self::Anonymous { policy, .. } => {
                // A policy that has been deleted meanwhile grants nothing.
                let text = policies::document(db, policy)?;
                let document = text.map(|text| db.cx.documents.parse(policy, &text)).transpose()?;
                (PolicySet::compile(document.map(|document| (policy.as_str(), document)), variables), Vec::new())
            }
        };
        Ok(Granted { set, groups: groups.into_iter().map(|reached| reached.group.into()).collect() })
    }
}

/// What a connection may do.
#[derive(Debug)]
pub(crate) struct Granted {
    /// The policies that reach it, with its values in place of their variables.
    pub(crate) set: PolicySet,
    /// The names of the thing groups whose policies reach it, should they have any.
    pub(crate) groups: Box<[Box<str>]>,
}

/// Through what the policies of a certificate reach its connections.
pub(crate) const CERTIFICATE: &str = "certificate";

/// What the root of an account may do on a connection.
const EVERYTHING: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;

/// Why somebody is turned away before any policy is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turned {
    /// The word of the refusal event.
    pub(crate) decision: String,
    /// Why, and what would help.
    pub(crate) reason: String,
}

impl Turned {
    pub(crate) fn new(decision: &str, reason: String) -> Self {
        Self { decision: decision.to_owned(), reason }
    }
}

/// The name of whoever comes without credentials and is held to this policy.
pub(crate) fn anonymous(policy: &str) -> String {
    format!("anonymous/{policy}")
}

/// Policies that have been parsed, by their text: the connections of a fleet share few, and each document once.
#[derive(Default)]
pub(crate) struct Documents(Mutex<HashMap<String, Arc<Document>>>);

/// Texts that are remembered; those that no connection uses go when there are more.
const DOCUMENTS: usize = 1000;

impl Documents {
    fn parse(&self, name: &str, text: &str) -> Result<Arc<Document>, Fault> {
        // What is stored was parsed when it came; should an older release have been laxer, it grants nothing.
        let parse = || Document::parse(text).map_err(|bad| Fault::new(format!("policy {name}: {bad}")));
        self.remembered(text, parse)
    }

    /// The same for a policy of IAM's, whose language is another.
    pub(crate) fn parse_of_iam(&self, name: &str, text: &str) -> Result<Arc<Document>, Fault> {
        let parse = || {
            let read = iam::Document::parse(text, iam::Kind::Inline);
            read.map(iam::Document::into_grants).map_err(|bad| Fault::new(format!("policy {name}: {bad}")))
        };
        self.remembered(&format!("iam:{text}"), parse)
    }

    fn remembered(&self, text: &str, parse: impl FnOnce() -> Result<Document, Fault>) -> Result<Arc<Document>, Fault> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(document) = known.get(text) {
            return Ok(Arc::clone(document));
        }
        let document = Arc::new(parse()?);
        if known.len() >= DOCUMENTS {
            known.retain(|_, document| Arc::strong_count(document) > 1);
        }
        if known.len() < DOCUMENTS {
            known.insert(text.to_owned(), Arc::clone(&document));
        }
        Ok(document)
    }
}

/// What a certificate is to us.
pub(crate) enum Standing {
    /// Registered and ACTIVE.
    Active(Box<Certificate>),
    /// Registered, and not ACTIVE.
    NotActive(String),
    /// Never heard of.
    Unknown,
}

impl Standing {
    /// The word of the refusal event.
    pub(crate) fn decision(&self) -> &str {
        match self {
            Self::Active(_) => "ACTIVE",
            Self::NotActive(status) => status,
            Self::Unknown => "UNKNOWN_CERTIFICATE",
        }
    }

    /// Why it may not connect, and what would help.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Active(_) => String::new(),
            Self::NotActive(status) => {
                format!("the certificate is {status}; `aws iot update-certificate --new-status ACTIVE` lets it connect")
            }
            Self::Unknown => {
                "the certificate is not registered here; create it with `aws iot create-keys-and-certificate` \
                or `ombra device new`"
                    .to_owned()
            }
        }
    }
}

/// The scope a certificate belongs to for who asked for this host name: where the name is of a domain configuration, the
/// scope of that or none. Else it is where the certificate was registered first: who has seen somebody's certificate, and
/// registers it too, does not get their devices.
pub(crate) fn scope_of(
    view: &store::Read,
    certificate_id: &str,
    server_name: Option<&str>,
) -> Result<Option<Scope>, Fault> {
    if let Some(scope) = server_name.map(|name| domain_configurations::scope_of(view, name)).transpose()?.flatten() {
        let is_known = view.contains(&CERTIFICATE_SCOPES, &Key::of([certificate_id, &scope.account, &scope.region]))?;
        return Ok(is_known.then_some(scope));
    }
    let known = Key::of([certificate_id]);
    let mut scopes = Vec::new();
    for (key, ()) in view.range(&CERTIFICATE_SCOPES, &known, None, Direction::Ascending, certificates::SCOPES)? {
        scopes.push(Scope::new(&key.text_at(1)?, &key.text_at(2)?));
    }
    // Nearly every certificate has one, and need not be looked at for that.
    if scopes.len() < 2 {
        return Ok(scopes.pop());
    }
    let mut first = None;
    for scope in scopes {
        let Some(certificate) = view.get(&CERTIFICATES, &scope.key([certificate_id]))? else { continue };
        if first.as_ref().is_none_or(|(created, _)| certificate.created() < *created) {
            first = Some((certificate.created(), scope));
        }
    }
    Ok(first.map(|(_, scope)| scope))
}

/// What the certificate is to this scope.
pub(crate) fn standing(db: Read, certificate_id: &str) -> Result<Standing, Fault> {
    Ok(match db.get(&CERTIFICATES, [certificate_id])? {
        Some(certificate) if certificate.is_active() => Standing::Active(Box::new(certificate)),
        Some(certificate) => Standing::NotActive(certificate.status),
        None => Standing::Unknown,
    })
}

/// The thing that belongs to a connection of this certificate with this client id (security.md §3.5), and
/// whether the certificate is attached to it.
pub(crate) fn thing_of(db: Read, certificate_id: &str, client_id: &str) -> Result<Option<(String, Thing)>, Fault> {
    thing_of_principal(db, &db.arn(format_args!("cert/{certificate_id}")), client_id)
}

/// The same for any principal.
pub(crate) fn thing_of_principal(db: Read, principal: &str, client_id: &str) -> Result<Option<(String, Thing)>, Fault> {
    let Some(name) = principals::thing_of_connection(db, principal, client_id)? else { return Ok(None) };
    Ok(db.get(&things::THINGS, [&name])?.map(|thing| (name, thing)))
}

/// Files what is known of the thing under the names that policies use.
pub(crate) fn add_thing(context: &mut Context, thing: Option<&(String, Thing)>) {
    use policy::keys;
    let Some((name, thing)) = thing else {
        context.set(keys::THING_IS_ATTACHED, "false");
        return;
    };
    context.set(keys::THING_IS_ATTACHED, "true");
    context.set(keys::THING_NAME, name);
    if let Some(type_name) = &thing.type_name {
        context.set(keys::THING_TYPE_NAME, type_name);
    }
    for (attribute, value) in &thing.attributes {
        context.set(&keys::thing_attribute(attribute), value);
    }
}

/// The policies of a certificate for a request over HTTP, compiled with what is known of it. No thing belongs to such a
/// request (security.md §3.4) unless it names one of the certificate's; unconfirmed: so that no policies of groups reach it
/// otherwise, even where the certificate is one thing's alone.
pub(crate) fn policy_set(
    db: Read,
    certificate_id: &str,
    thing: Option<&str>,
    context: Context,
) -> Result<PolicySet, Fault> {
    let arn = db.arn(format_args!("cert/{certificate_id}"));
    let groups = thing.map(|name| thing_groups::reaching(db, name)).transpose()?.unwrap_or_default();
    let reaching = targets::reaching(db, Some((&arn, CERTIFICATE)), &groups)?;
    Ok(PolicySet::compile(attached(db, reaching)?, context))
}

/// The documents of policies, in their default versions.
pub(crate) fn attached(db: Read, reaching: Vec<targets::Reaching>) -> Result<Vec<Attached>, Fault> {
    let mut found = Vec::with_capacity(reaching.len());
    for targets::Reaching { policy, through } in reaching {
        if let Some(text) = policies::document(db, &policy)? {
            let document = db.cx.documents.parse(&policy, &text)?;
            found.push(Attached { name: policy.into(), through: through.into(), document });
        }
    }
    Ok(found)
}

/// The variables that come out of the certificate itself.
pub(crate) fn certificate_context(certificate_id: &str, certificate: &Certificate) -> Context {
    let mut context = Context::new();
    context.set(policy::keys::CERTIFICATE_ID, certificate_id);
    crate::x509::add_variables(&mut context, &certificate.pem);
    context
}

/// What the policies of a principal say to what it asks of the broker, and what it was about. A group does not open what is
/// denied to each of its members: the name of a shared subscription begins with `$share`, so a statement that denies the
/// filter alone would not meet it. Where that filter is what is denied, the answer is about it.
pub(crate) fn decide<'s, 'r>(set: &'s PolicySet, asked: Request<'r>) -> (Request<'r>, Decision<'s>) {
    let decision = set.decide(&asked);
    if decision.is_allowed()
        && let Some(resource) = behind_its_share(&asked)
    {
        let plain = Request { resource, ..asked };
        let behind = set.decide(&plain);
        if behind.verdict == Verdict::ExplicitDeny {
            return (plain, behind);
        }
    }
    (asked, decision)
}

/// The filter of a shared subscription without its group. unconfirmed: how policies name a shared subscription; the whole
/// filter, as in AWS's example.
fn behind_its_share<'r>(asked: &Request<'r>) -> Option<Resource<'r>> {
    let Resource { prefix, name } = asked.resource;
    let is_filter = asked.action == "iot:Subscribe" && prefix.ends_with(FILTER);
    let shared = name.strip_prefix("$share/").filter(|_| is_filter)?;
    shared.split_once('/').map(|(_, filter)| Resource::new(prefix, filter))
}

/// What stands before a topic filter in its ARN.
const FILTER: &str = ":topicfilter/";

/// A resource of the broker by its ARN, with the filter apart if it is one.
pub(crate) fn resource(arn: &str) -> Resource<'_> {
    let (prefix, name) = arn.split_at(arn.find(FILTER).map_or(0, |at| at + FILTER.len()));
    Resource::new(prefix, name)
}

/// What is known of a request, for whoever explains its refusal later.
pub(crate) fn given(values: &Context) -> BTreeMap<String, Vec<String>> {
    let owned = |values: &[Box<str>]| values.iter().map(ToString::to_string).collect();
    values.entries().map(|(name, values)| (name.to_owned(), owned(values))).collect()
}

/// Completes a refusal with what the policies said, statement by statement.
pub(crate) fn explained(refused: Refused, set: &PolicySet, request: &Request<'_>, decision: &Decision<'_>) -> Refused {
    let statement = decision.deciding.map_or_else(String::new, |at| match at.sid {
        Some(sid) => format!("{}#{} ({sid})", at.policy, at.index),
        None => format!("{}#{}", at.policy, at.index),
    });
    Refused {
        decision: decision.verdict.as_str().to_owned(),
        statement,
        reason: set.explain(request).to_string(),
        ..refused
    }
}
