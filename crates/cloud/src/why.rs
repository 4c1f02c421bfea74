//! Why something was refused, or would be: who asked and in what state its certificate is, which thing it is and why, every
//! policy that reaches it and through what, statement by statement, and what would let it through. It looks at how things
//! are now. Who is answered, and how it is printed, is unknown here; it decides nothing.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use policy::{Context as Variables, Explanation, PolicySet, Request, keys};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::Fault;

use crate::events::Refused;
use crate::house::House;
use crate::identity::Principal;
use crate::policies;
use crate::principals;
use crate::scope::{Read, Scope};

mod patch;
mod told;
mod who;

pub use patch::Patch;
pub use told::{Statement, Variable};
pub use who::{Belongs, Holder};

/// What is asked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Question {
    /// A certificate's id or ARN, an access key's id, the ARN of a user or a role, `anonymous/POLICY`; if it is empty, whoever is connected under the
    /// client id, or else the first certificate of the thing of that name.
    pub principal: String,
    /// The MQTT client identifier; empty for a request over HTTP.
    pub client_id: String,
    /// As in `iot:Publish`.
    pub action: String,
    /// The ARN, or what comes after the account in it: `topic/a/b`.
    pub resource: String,
    /// The peer's address, with or without a port.
    pub peer: String,
    /// What conditions can ask of this request alone.
    pub given: BTreeMap<String, Vec<String>>,
}

/// What only conditions can ask of a request; as variables they have no value.
const OF_REQUEST: [&str; 3] = ["iot:connectattributes", "iot:lastwilltopic", "iam:passedtoservice"];

/// The bounds of a question.
const TEXT: usize = 4096;
const GIVEN: usize = 32;

impl Question {
    /// The question that a refusal was the answer to; none if no policy was asked.
    pub fn of(refused: &Refused) -> Self {
        Self {
            principal: refused.principal.clone(),
            client_id: refused.client_id.clone(),
            action: refused.action.clone(),
            resource: refused.resource.clone(),
            peer: refused.peer.clone(),
            given: refused.given.clone(),
        }
    }

    /// What is wrong with it, if anything is.
    pub fn check(&self) -> Result<(), String> {
        let texts = [&self.principal, &self.client_id, &self.action, &self.resource, &self.peer];
        let given = self.given.iter().flat_map(|(name, values)| [name].into_iter().chain(values));
        if self.given.values().map(Vec::len).sum::<usize>() > GIVEN || self.given.len() > GIVEN {
            return Err(format!("at most {GIVEN} values may be given"));
        }
        if texts.into_iter().chain(given).any(|text| text.len() > TEXT) {
            return Err(format!("no text may have more than {TEXT} bytes"));
        }
        if self.action.is_empty() || self.resource.is_empty() {
            return Err("name an action and a resource".to_owned());
        }
        if !self.action.contains(':') {
            return Err(format!("an action is named with its service, as in iot:Publish, and {} is not", self.action));
        }
        Ok(())
    }

    /// The address alone.
    fn ip(&self) -> Option<IpAddr> {
        self.peer.parse().ok().or_else(|| self.peer.parse::<SocketAddr>().ok().map(|address| address.ip()))
    }
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub struct Why {
    /// `ALLOWED`, `EXPLICIT_DENY`, `IMPLICIT_DENY`, or why no policy is asked: `INACTIVE`, `UNKNOWN_CERTIFICATE` …
    pub decision: String,
    /// What was asked for.
    pub action: String,
    /// On what: the whole ARN.
    pub resource: String,
    /// The MQTT client identifier.
    pub client_id: String,
    /// Who asks.
    pub principal: Holder,
    /// Which thing that is.
    pub thing: Belongs,
    /// Every policy that reaches it.
    pub policies: Vec<Policy>,
    /// Every statement of these.
    pub statements: Vec<Statement>,
    /// Every variable in these, with its value or the reason why it has none.
    pub variables: Vec<Variable>,
    /// The permission that is missing; none if something else stands in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    /// What would let it through, to be pasted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<Patch>,
}

/// A policy that reaches somebody.
#[derive(Clone, Debug, Serialize)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Through what: `certificate`, `thing group root > hall`.
    pub through: String,
    /// The number of its default version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// What strikes in it.
    pub warnings: Vec<Value>,
}

/// A permission that nobody gives.
#[derive(Clone, Debug, Serialize)]
pub struct Missing {
    /// The action.
    pub action: String,
    /// The resource as a policy spells it.
    pub resource: String,
}

impl House {
    /// Answers a question about this scope, as things are now.
    pub fn why(&self, scope: &Scope, question: &Question, now: i64) -> Result<Why, Fault> {
        let cx = self.context(scope, now, 0);
        let view = self.store.read();
        let db = Read::new(&view, &cx);
        let principal = self.who_is_meant(db, question)?;
        let resource = match question.resource.as_str() {
            whole if whole.starts_with("arn:") || whole == "*" => whole.to_owned(),
            name => db.arn(format_args!("{name}")),
        };
        let asked = Asked { db, question, resource };
        match principal {
            Some(principal) => asked.answer(&principal),
            None => Ok(asked.of_nobody()),
        }
    }

    /// The principal that a question names, or else whoever has the client id.
    fn who_is_meant(&self, db: Read, question: &Question) -> Result<Option<Principal>, Fault> {
        let Question { principal, client_id, .. } = question;
        if !principal.is_empty() {
            return Ok(Some(who::named(db, principal)?));
        }
        if client_id.is_empty() {
            return Ok(None);
        }
        if let Some(connection) = self.space(&db.cx.scope).connections.of_client(client_id) {
            return Ok(Some(connection.peer().principal.clone()));
        }
        // Client identifiers can be longer than any name, and than any key.
        let first = if client_id.len() <= 128 { principals::first_certificate(db, client_id)? } else { None };
        first.map(|arn| who::named(db, &arn)).transpose()
    }
}

/// A question with the store it is asked of.
struct Asked<'a> {
    db: Read<'a>,
    question: &'a Question,
    /// The whole ARN.
    resource: String,
}

impl Asked<'_> {
    fn answer(&self, principal: &Principal) -> Result<Why, Fault> {
        let Self { db, question, .. } = *self;
        let holder = who::holder(db, principal)?;
        let thing = who::belongs(db, principal, &question.client_id)?;
        // The policies are told even where they are not asked, because the certificate is not good.
        let variables = self.variables(who::variables(db, principal)?);
        let granted = principal.grant(db, &question.client_id, variables)?;
        let values = self.values();
        let request = Request::new(&question.action, self.resource.as_str(), db.now()).with(&values);
        let explained = granted.set.explain(&request);
        let decision = holder.turned.clone().unwrap_or_else(|| explained.verdict.as_str().to_owned());
        let mut why =
            Why { policies: self.policies(principal, &granted.set)?, ..self.told(decision, holder, thing, &explained) };
        let patch =
            patch::Asked { db, principal, why: &why, explained: &explained, set: &granted.set, values: &values };
        (why.missing, why.patch) = patch.find(&question.client_id)?;
        Ok(why)
    }

    fn of_nobody(&self) -> Why {
        let set = PolicySet::compile(Vec::<policy::Attached>::new(), Variables::new());
        let explained = set.explain(&Request::new(&self.question.action, self.resource.as_str(), self.db.now()));
        let (holder, thing) = (Holder::nobody(), Belongs::none("nobody is known who asks"));
        self.told("NO_PRINCIPAL".to_owned(), holder, thing, &explained)
    }

    fn told(&self, decision: String, principal: Holder, thing: Belongs, explained: &Explanation) -> Why {
        Why {
            decision,
            action: self.question.action.clone(),
            resource: self.resource.clone(),
            client_id: self.question.client_id.clone(),
            principal,
            policies: Vec::new(),
            statements: explained.statements.iter().map(Statement::of).collect(),
            variables: told::variables(&explained.statements, &thing),
            thing,
            missing: None,
            patch: None,
        }
    }

    /// The variables of a connection: its principal's, and what it said of itself.
    fn variables(&self, mut variables: Variables) -> Variables {
        if !self.question.client_id.is_empty() {
            variables.set(keys::CLIENT_ID, &self.question.client_id);
        }
        if let Some(ip) = self.question.ip() {
            variables.set(keys::SOURCE_IP, &ip.to_string());
        }
        let of_connection = |name: &str| !OF_REQUEST.contains(&&*name.to_ascii_lowercase());
        for (name, values) in self.question.given.iter().filter(|(name, _)| of_connection(name)) {
            variables.set_all(name, values.iter().map(String::as_str));
        }
        variables
    }

    fn values(&self) -> Variables {
        let mut values = Variables::new();
        for (name, given) in &self.question.given {
            values.set_all(name, given.iter().map(String::as_str));
        }
        values
    }

    fn policies(&self, principal: &Principal, set: &PolicySet) -> Result<Vec<Policy>, Fault> {
        let scope = &self.db.cx.scope;
        let home = policy::Home { region: &scope.region, account: &scope.account };
        let mut told = Vec::with_capacity(set.policies().len());
        for attached in set.policies() {
            // Those of IAM speak of actions that no device is ever asked for.
            let is_of_devices = !matches!(principal, Principal::Key { .. });
            let warnings = if is_of_devices { policy::lint(&attached.document, Some(home)) } else { Vec::new() };
            told.push(Policy {
                name: attached.name.to_string(),
                through: attached.through.to_string(),
                version: policies::default_version(self.db, &attached.name)?.map(|(number, _)| number),
                warnings: warnings.iter().map(told::warning).collect(),
            });
        }
        Ok(told)
    }
}
