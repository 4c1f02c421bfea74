//! The long answer: every statement, whether its action, resource and condition match, and what each variable
//! stood for. Made on demand, for refusals and for `TestAuthorization` (security.md §4); never on the
//! way of a message. It decides nothing: it asks the functions that `decide` asks.

use crate::condition::{Actual, Clause};
use crate::context::{Context, Key};
use crate::decide::{Attached, BoundResources, PolicySet, Request, Verdict, actual, bind_clauses, hold};
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
    /// Through what the policy reaches the principal; empty if that was not said.
    pub through: String,
    /// The statement's place in it, from 0.
    pub index: usize,
    /// Its `Sid`, if it has one.
    pub sid: Option<String>,
    /// What it does with what it matches.
    pub effect: Effect,
    /// Whether its `Action` or `NotAction` covers the action.
    pub action: bool,
    /// The actions as they are written, and whether it is about all but these.
    pub actions: (Vec<String>, bool),
    /// Whether its `Resource` or `NotResource` covers the resource.
    pub resource: bool,
    /// The resources one by one, and whether it is about all but these.
    pub resources: (Vec<ResourceReport>, bool),
    /// Whether its whole `Condition` holds.
    pub condition: bool,
    /// The clauses of the condition one by one.
    pub clauses: Vec<ClauseReport>,
    /// What the variables in it stood for, each once.
    pub variables: Vec<VariableReport>,
}

/// One resource of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceReport {
    /// As the policy spells it.
    pub written: String,
    /// Whether it is the resource that was asked about.
    pub matches: bool,
}

/// One operator on one key, with what it compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClauseReport {
    /// The operator, as in `ForAnyValue:StringEquals`.
    pub operator: String,
    /// The key, as the policy spells it.
    pub key: String,
    /// The values in the policy, as it spells them.
    pub wanted: Vec<String>,
    /// The values that the request has; none if the key is absent.
    pub found: Vec<String>,
    /// Whether it holds.
    pub holds: bool,
}

/// A variable with its value, or the reason why it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableReport {
    /// Its name, as the policy spells it.
    pub name: String,
    /// What stands in for it, or why nothing does: `has no value here` …
    pub value: Result<String, String>,
}

impl StatementReport {
    /// Whether the statement applies to the request.
    pub fn applies(&self) -> bool {
        self.action && self.resource && self.condition
    }

    /// What did not match and what the variables stood for, one line each. Of a statement about other actions only that.
    pub fn notes(&self) -> Vec<String> {
        if !self.action {
            let verb = if self.actions.1 { "it excludes" } else { "it is about" };
            return vec![format!("{verb} {}", self.actions.0.join(", "))];
        }
        let mut notes = Vec::new();
        if !self.resource {
            let verb = if self.resources.1 { "it excludes" } else { "the resource is not" };
            notes.extend(self.resources.0.iter().map(|resource| format!("{verb} {}", resource.written)));
        }
        notes.extend(self.clauses.iter().map(ToString::to_string));
        notes.extend(self.variables.iter().map(ToString::to_string));
        notes
    }
}

impl std::fmt::Display for ClauseReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verb = if self.holds { "holds" } else { "fails" };
        write!(f, "{} {} {:?} {verb}: it is ", self.operator, self.key, self.wanted)?;
        if self.found.is_empty() { f.write_str("nothing") } else { write!(f, "{:?}", self.found) }
    }
}

impl std::fmt::Display for VariableReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.value {
            Ok(text) => write!(f, "${{{}}} is {text:?}", self.name),
            Err(why) => write!(f, "${{{}}} {why}", self.name),
        }
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
            write!(f, "\n  {}[{}]{sid} {}", report.policy, report.index, report.effect)?;
            if !report.through.is_empty() {
                write!(f, " through {}", report.through)?;
            }
            write!(f, ": {applies}")?;
            for note in report.notes() {
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
        let policies = self.layers().flat_map(|layer| layer.policies.iter().map(|policy| (&layer.context, policy)));
        for (context, policy) in policies {
            for (index, statement) in policy.document.statements.iter().enumerate() {
                let asked = Asked { statement, request, context };
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
    fn report(&self, policy: &Attached, index: usize) -> StatementReport {
        let Asked { statement, request, context } = *self;
        let resources = BoundResources::new(statement, context);
        let resource = resources.is_some_and(|resources| resources.cover(request.resource));
        let clauses = bind_clauses(statement, context);
        let condition = clauses.is_some_and(|clauses| hold(&clauses, request, context));
        let actions = &statement.actions;
        StatementReport {
            policy: policy.name.to_string(),
            through: policy.through.to_string(),
            index,
            sid: statement.sid.as_deref().map(str::to_owned),
            effect: statement.effect,
            action: statement.covers_action(request.action),
            actions: (actions.items.iter().map(|action| action.source.to_string()).collect(), actions.negated),
            resource,
            resources: (self.resources(), statement.resources.negated),
            condition,
            clauses: statement.clauses.iter().map(|clause| self.clause(clause)).collect(),
            variables: self.variables(),
        }
    }

    fn resources(&self) -> Vec<ResourceReport> {
        let report = |template: &Template| {
            let matches = template.bind(self.context).is_ok_and(|pattern| pattern.matches(self.request.resource));
            ResourceReport { written: template.source().to_owned(), matches }
        };
        self.statement.resources.items.iter().map(report).collect()
    }

    fn clause(&self, clause: &Clause) -> ClauseReport {
        let holds = match clause.bind(self.context) {
            Ok(bound) => bound.holds(actual(&clause.key, self.request, self.context)),
            Err(_) => false,
        };
        let found = match actual(&clause.key, self.request, self.context) {
            Actual::Texts(texts) => texts.iter().map(ToString::to_string).collect(),
            Actual::Now(ms) => {
                vec![jiff::Timestamp::from_millisecond(ms).map_or_else(|_| format!("{ms} ms"), |now| now.to_string())]
            }
        };
        ClauseReport {
            operator: clause.name.to_string(),
            key: clause.key.written.to_string(),
            wanted: clause.values.iter().map(|value| value.source().to_owned()).collect(),
            found,
            holds,
        }
    }

    fn variables(&self) -> Vec<VariableReport> {
        let mut told: Vec<&Key> = Vec::new();
        let mut reports = Vec::new();
        for key in variables(self.statement) {
            if !told.contains(&key) {
                told.push(key);
                let value = self.context.text(key).map(str::to_owned).map_err(|empty| empty.to_string());
                reports.push(VariableReport { name: key.written.to_string(), value });
            }
        }
        reports
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
pub(crate) fn variables(statement: &Statement) -> impl Iterator<Item = &Key> {
    let values = statement.clauses.iter().flat_map(|clause| &clause.values);
    statement.resources.items.iter().chain(values).flat_map(Template::variables)
}
