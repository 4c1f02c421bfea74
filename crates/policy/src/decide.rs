//! The decision: the policies of one principal, prepared for one connection, and the answer to one request
//! (security.md §3.7). An explicit Deny wins over any Allow, without an Allow nothing is permitted, and order
//! never matters. `decide` runs for every message: it allocates nothing.

use std::sync::Arc;

use crate::condition::{Actual, Bound};
use crate::context::{Context, Key};
use crate::document::{Document, Effect, Statement};
use crate::pattern::{Pattern, Resource};

/// What is asked: may this be done to that, now?
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The action with its service, such as `iot:Publish`.
    pub action: &'a str,
    /// What it is done to.
    pub resource: Resource<'a>,
    /// The time, in milliseconds since 1970, for `aws:CurrentTime` and `aws:EpochTime`.
    pub now_ms: i64,
    /// What is known of this request only, such as the connect attributes. Conditions look here first;
    /// variables do not look here, since they were replaced when the set was compiled.
    pub values: &'a Context,
}

impl<'a> Request<'a> {
    /// A request about which nothing more is known than about its connection.
    pub fn new(action: &'a str, resource: impl Into<Resource<'a>>, now_ms: i64) -> Request<'a> {
        static NOTHING: Context = Context::new();
        Request { action, resource: resource.into(), now_ms, values: &NOTHING }
    }

    /// The same request with what is known of it alone.
    pub fn with(self, values: &'a Context) -> Request<'a> {
        Request { values, ..self }
    }
}

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A statement allows it and none denies it.
    Allowed,
    /// A statement denies it.
    ExplicitDeny,
    /// No statement speaks of it.
    ImplicitDeny,
}

impl Verdict {
    /// The word AWS's `TestAuthorization` uses (security.md §4).
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Allowed => "ALLOWED",
            Verdict::ExplicitDeny => "EXPLICIT_DENY",
            Verdict::ImplicitDeny => "IMPLICIT_DENY",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The answer, and the first statement that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The answer in one word.
    pub verdict: Verdict,
    /// The statement that allowed or denied; none if no statement spoke.
    pub deciding: Option<StatementRef<'a>>,
}

impl Decision<'_> {
    /// Whether the request may go on.
    pub fn is_allowed(&self) -> bool {
        self.verdict == Verdict::Allowed
    }
}

/// Where a statement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementRef<'a> {
    /// The name of its policy.
    pub policy: &'a str,
    /// Its place in the policy, from 0.
    pub index: usize,
    /// Its `Sid`, if it has one.
    pub sid: Option<&'a str>,
    /// What it does with what it matches.
    pub effect: Effect,
}

/// A policy that reaches a principal.
#[derive(Clone, Debug)]
pub struct Attached {
    /// Its name.
    pub name: Arc<str>,
    /// Through what it reaches the principal, in words; empty where that need not be told.
    pub through: Arc<str>,
    /// What it says.
    pub document: Arc<Document>,
}

impl<N: Into<Arc<str>>> From<(N, Arc<Document>)> for Attached {
    fn from((name, document): (N, Arc<Document>)) -> Attached {
        Attached { name: name.into(), through: Arc::default(), document }
    }
}

/// The policies of one principal with the values of one connection in place of their variables.
#[derive(Debug)]
pub struct PolicySet {
    pub(crate) policies: Vec<Attached>,
    pub(crate) context: Context,
    denies: Vec<Rule>,
    allows: Vec<Rule>,
    /// Sets that must allow a request too, by what they are.
    limits: Vec<(&'static str, PolicySet)>,
}

/// A statement that can match in this context.
#[derive(Debug)]
struct Rule {
    policy: Arc<str>,
    index: usize,
    statement: Arc<Statement>,
    resources: BoundResources,
    clauses: Box<[Bound]>,
}

impl PolicySet {
    /// Puts the values of `context` into the policies. A resource whose variable has no value matches nothing;
    /// a statement that is left without a chance is skipped from then on (security.md §3.4).
    pub fn compile<A: Into<Attached>>(policies: impl IntoIterator<Item = A>, context: Context) -> PolicySet {
        let policies: Vec<Attached> = policies.into_iter().map(Into::into).collect();
        let (mut denies, mut allows) = (Vec::new(), Vec::new());
        for Attached { name: policy, document, .. } in &policies {
            for (index, statement) in document.statements.iter().enumerate() {
                let Some(resources) = BoundResources::new(statement, &context) else { continue };
                let Some(clauses) = bind_clauses(statement, &context) else { continue };
                let rule = Rule { policy: policy.clone(), index, statement: statement.clone(), resources, clauses };
                match statement.effect {
                    Effect::Deny => denies.push(rule),
                    Effect::Allow => allows.push(rule),
                }
            }
        }
        PolicySet { policies, context, denies, allows, limits: Vec::new() }
    }

    /// The same within a limit, such as a permissions boundary: what the limit does not allow, nobody gets.
    #[must_use]
    pub fn within(mut self, name: &'static str, limit: PolicySet) -> PolicySet {
        self.limits.push((name, limit));
        self
    }

    /// The first limit that does not allow the request.
    pub fn limit_of(&self, request: &Request<'_>) -> Option<&'static str> {
        let limits = self.limits.iter().find(|(_, limit)| !limit.decide(request).is_allowed());
        limits.map(|(name, _)| *name)
    }

    /// Whether it would be allowed if there were no limits.
    pub fn allows_alone(&self, request: &Request<'_>) -> bool {
        self.allows.iter().any(|rule| rule.matches(request, &self.context))
    }

    /// The set itself and its limits.
    pub(crate) fn layers(&self) -> impl Iterator<Item = &PolicySet> {
        std::iter::once(self).chain(self.limits.iter().map(|(_, limit)| limit))
    }

    /// The policies, as they were put in.
    pub fn policies(&self) -> &[Attached] {
        &self.policies
    }

    /// The values that stand in for variables.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Whether the answers stay the same as time goes by: no statement asks for the time.
    pub fn is_timeless(&self) -> bool {
        let mut rules = self.layers().flat_map(|layer| layer.denies.iter().chain(&layer.allows));
        rules.all(|rule| rule.clauses.iter().all(|clause| !is_of_time(&clause.key)))
    }

    /// Answers one request.
    pub fn decide<'a>(&'a self, request: &Request<'_>) -> Decision<'a> {
        let first =
            |set: &'a PolicySet, rules: &'a [Rule]| rules.iter().find(|rule| rule.matches(request, &set.context));
        if let Some(rule) = self.layers().find_map(|set| first(set, &set.denies)) {
            return Decision { verdict: Verdict::ExplicitDeny, deciding: Some(rule.place()) };
        }
        match first(self, &self.allows) {
            Some(rule) if self.limits.iter().all(|(_, limit)| first(limit, &limit.allows).is_some()) => {
                Decision { verdict: Verdict::Allowed, deciding: Some(rule.place()) }
            }
            _ => Decision { verdict: Verdict::ImplicitDeny, deciding: None },
        }
    }
}

impl Rule {
    fn matches(&self, request: &Request<'_>, context: &Context) -> bool {
        self.statement.covers_action(request.action)
            && self.resources.cover(request.resource)
            && hold(&self.clauses, request, context)
    }

    fn place(&self) -> StatementRef<'_> {
        let Statement { sid, effect, .. } = &*self.statement;
        StatementRef { policy: &self.policy, index: self.index, sid: sid.as_deref(), effect: *effect }
    }
}

/// The resources of a statement with the values of one context in place.
#[derive(Debug)]
pub(crate) struct BoundResources {
    negated: bool,
    patterns: Box<[Pattern]>,
}

impl BoundResources {
    /// The resources in this context; none if they can cover nothing there.
    pub(crate) fn new(statement: &Statement, context: &Context) -> Option<BoundResources> {
        let written = &statement.resources;
        let patterns: Box<[Pattern]> =
            written.items.iter().filter_map(|template| template.bind(context).ok()).collect();
        let unknown = patterns.len() < written.items.len();
        let hopeless = if written.negated {
            // unconfirmed: "everything but something unknown" never allows anything, and still denies the rest.
            unknown && statement.effect == Effect::Allow
        } else {
            patterns.is_empty()
        };
        (!hopeless).then_some(BoundResources { negated: written.negated, patterns })
    }

    pub(crate) fn cover(&self, resource: Resource<'_>) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(resource)) != self.negated
    }
}

/// The condition of a statement in this context; none if it can never hold there.
pub(crate) fn bind_clauses(statement: &Statement, context: &Context) -> Option<Box<[Bound]>> {
    statement.clauses.iter().map(|clause| clause.bind(context).ok()).collect()
}

/// Whether every clause holds.
pub(crate) fn hold(clauses: &[Bound], request: &Request<'_>, context: &Context) -> bool {
    clauses.iter().all(|clause| clause.holds(actual(&clause.key, request, context)))
}

/// What a request has under a condition key: the time, else what is known of the request, else of the connection.
pub(crate) fn actual<'a>(key: &Key, request: &Request<'a>, context: &'a Context) -> Actual<'a> {
    if is_of_time(key) {
        return Actual::Now(request.now_ms);
    }
    match request.values.values(key) {
        [] => Actual::Texts(context.values(key)),
        found => Actual::Texts(found),
    }
}

fn is_of_time(key: &Key) -> bool {
    matches!(&*key.folded, "aws:currenttime" | "aws:epochtime")
}
