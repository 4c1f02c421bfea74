//! The long answer: every statement, whether its action, resource and condition match, and what each variable
//! stood for. Made on demand, for the refusal log and for `TestAuthorization` (security.md §4); never on the
//! way of a message. It decides nothing: it asks the functions that `decide` asks.

use crate::condition::{Actual, Clause};
use crate::context::{Context, Key};
use crate::decide::{BoundResources, PolicySet, Request, Verdict, actual, bind_clauses, hold};
use crate::document::{Effect, Statement};
use crate::template::Template;

/// Why a request was answered as it was. Its `Display` is plain lines for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The answer in one word.
    pub verdict: Verdict,
    /// The action that was asked about.
    pub action: String,
    /// The whole ARN of the resource.
    pub resource: String,
    /// The variables and condition keys without a value in the statements about this action, each once, as
    /// the policies spell them.
    pub missing: Vec<String>,
    /// Every statement of every policy, in order.
    pub statements: Vec<StatementReport>,
}

/// What one statement made of the request. It applies if its action, resource and condition all match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementReport {
    /// The name of the policy.
    pub policy: String,
    /// The statement's place in it, from 0.
    pub index: usize,
    /// Its `Sid`, if it has one.
    pub sid: Option<String>,
    /// What it does with what it matches.
    pub effect: Effect,
    /// Whether its `Action` or `NotAction` covers the action.
    pub action: bool,
    /// Whether its `Resource` or `NotResource` covers the resource.
    pub resource: bool,
    /// Whether its whole `Condition` holds.
    pub condition: bool,
    /// What did not match and what the variables stood for, one line each.
    pub notes: Vec<String>,
}

impl StatementReport {
    /// Whether the statement applies to the request.
    pub fn applies(&self) -> bool {
        self.action && self.resource && self.condition
    }
}

impl Explanation {
    /// The names of the policies whose statements gave the answer, each once; none for an implicit deny.
    pub fn deciding_policies(&self) -> Vec<&str> {
        let effect = match self.verdict {
            Verdict::Allowed => Effect::Allow,
            Verdict::ExplicitDeny => Effect::Deny,
            Verdict::ImplicitDeny => return Vec::new(),
        };
        let mut names: Vec<&str> = Vec::new();
        for report in self.statements.iter().filter(|report| report.applies() && report.effect == effect) {
            if !names.contains(&&*report.policy) {
                names.push(&report.policy);
            }
        }
        names
    }
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} on {}", self.verdict, self.action, self.resource)?;
        if self.statements.is_empty() {
            write!(f, "\n  no policy is attached")?;
        }
        for report in &self.statements {
            let sid = report.sid.as_ref().map(|sid| format!(" \"{sid}\"")).unwrap_or_default();
            let applies = if report.applies() { "applies" } else { "does not apply" };
            write!(f, "\n  {}[{}]{sid} {}: {applies}", report.policy, report.index, report.effect)?;
            for note in &report.notes {
                write!(f, "\n    {note}")?;
            }
        }
        Ok(())
    }
}

impl PolicySet {
    /// Answers one request at length.
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        let mut missing = Vec::new();
        let mut statements = Vec::new();
        for (policy, document) in &self.policies {
            for (index, statement) in document.statements.iter().enumerate() {
                let asked = Asked { statement, request, context: &self.context };
                if statement.covers_action(request.action) {
                    asked.note_missing(&mut missing);
                }
                statements.push(asked.report(policy, index));
            }
        }
        Explanation {
            verdict: self.decide(request).verdict,
            action: request.action.to_owned(),
            resource: request.resource.to_string(),
            missing,
            statements,
        }
    }
}

/// One statement that is asked about one request.
struct Asked<'a> {
    statement: &'a Statement,
    request: &'a Request<'a>,
    context: &'a Context,
}

impl Asked<'_> {
    fn report(&self, policy: &str, index: usize) -> StatementReport {
        let Asked { statement, request, context } = *self;
        let resources = BoundResources::new(statement, context);
        let resource = resources.is_some_and(|resources| resources.cover(request.resource));
        let clauses = bind_clauses(statement, context);
        let condition = clauses.is_some_and(|clauses| hold(&clauses, request, context));
        let action = statement.covers_action(request.action);
        StatementReport {
            policy: policy.to_owned(),
            index,
            sid: statement.sid.as_deref().map(str::to_owned),
            effect: statement.effect,
            action,
            resource,
            condition,
            notes: if action { self.notes(resource) } else { vec![self.action_note()] },
        }
    }

    fn action_note(&self) -> String {
        let sources: Vec<&str> = self.statement.actions.items.iter().map(|action| &*action.source).collect();
        let verb = if self.statement.actions.negated { "it excludes" } else { "it is about" };
        format!("{verb} {}", sources.join(", "))
    }

    /// What speaks for or against a statement whose action matches.
    fn notes(&self, resource: bool) -> Vec<String> {
        let written = &self.statement.resources;
        let mut notes = Vec::new();
        if !resource {
            let verb = if written.negated { "it excludes" } else { "the resource is not" };
            notes.extend(written.items.iter().map(|template| format!("{verb} {}", template.source())));
        }
        notes.extend(self.statement.clauses.iter().map(|clause| self.clause_note(clause)));
        let mut told: Vec<&Key> = Vec::new();
        for key in variables(self.statement) {
            if !told.contains(&key) {
                told.push(key);
                notes.push(match self.context.text(key) {
                    Ok(text) => format!("${{{}}} is {text:?}", key.written),
                    Err(empty) => format!("${{{}}} {empty}", key.written),
                });
            }
        }
        notes
    }

    fn clause_note(&self, clause: &Clause) -> String {
        let holds = match clause.bind(self.context) {
            Ok(bound) => bound.holds(actual(&clause.key, self.request, self.context)),
            Err(_) => false,
        };
        let wanted: Vec<&str> = clause.values.iter().map(Template::source).collect();
        let found = match actual(&clause.key, self.request, self.context) {
            Actual::Texts([]) => "nothing".to_owned(),
            Actual::Texts(texts) => format!("{texts:?}"),
            Actual::Now(ms) => {
                jiff::Timestamp::from_millisecond(ms).map_or_else(|_| format!("{ms} ms"), |now| now.to_string())
            }
        };
        let verb = if holds { "holds" } else { "fails" };
        format!("{} {} {wanted:?} {verb}: it is {found}", clause.name, clause.key.written)
    }

    fn note_missing(&self, missing: &mut Vec<String>) {
        let unknown = variables(self.statement).filter(|key| self.context.text(key).is_err());
        let keys = self.statement.clauses.iter().map(|clause| &clause.key);
        let absent = keys.filter(|key| matches!(actual(key, self.request, self.context), Actual::Texts([])));
        for key in unknown.chain(absent) {
            if !missing.iter().any(|name| **name == *key.written) {
                missing.push(key.written.to_string());
            }
        }
    }
}

/// Every variable in the resources and in the values of the condition.
fn variables(statement: &Statement) -> impl Iterator<Item = &Key> {
    let values = statement.clauses.iter().flat_map(|clause| &clause.values);
    statement.resources.items.iter().chain(values).flat_map(Template::variables)
}
