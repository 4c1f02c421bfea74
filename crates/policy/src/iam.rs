//! IAM's documents: what a user or a role may do, and who may take a role. They are read as strictly as IAM reads them and
//! refused in its words. What one grants is decided with IoT's policies, in a set; a trust document answers here whom it
//! trusts. How large one may be, and what it hangs on, is unknown here.

use std::sync::Arc;

use crate::condition::Clause;
use crate::document::{self, Action, Effect, conditions, object, place, string};
use crate::json::{self, Kind as Json, Member, Problem, Value};
use crate::template::{Syntax, Template};
use principal::Principal;
pub use principal::{Who, is_account};

mod check;
mod principal;

/// What a document is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What is allowed, in a policy of its own.
    Managed,
    /// What is allowed, inside a user or a role.
    Inline,
    /// Who may take a role.
    Trust,
}

/// Why a text is no document of IAM's: IAM's own sentence, and where the text went wrong if it says too little.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(String);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

/// A document that was read.
#[derive(Debug)]
pub struct Document {
    statements: Vec<Statement>,
    /// Whether `${…}` means something in it.
    variables: bool,
}

#[derive(Debug, Default)]
struct Statement {
    sid: Option<String>,
    /// As it was written.
    effect: String,
    principals: Option<OneOf<Principal>>,
    actions: Option<OneOf<String>>,
    resources: Option<OneOf<String>>,
    clauses: Vec<Clause>,
}

/// A list that matches if one of its items does, or (`NotAction` …) if none does.
#[derive(Debug)]
struct OneOf<T> {
    negated: bool,
    items: Vec<T>,
}

impl Document {
    /// Reads a document of this kind.
    pub fn parse(text: &str, kind: Kind) -> Result<Self, Malformed> {
        let read = json::read(text).and_then(syntax);
        let (version, statements) = read.map_err(|problem| {
            let (line, column) = place(text, problem.at);
            Malformed(format!("Syntax errors in policy. (line {line}, column {column}: {})", problem.message))
        })?;
        let variables = version.as_deref() == Some(NEWER);
        let document = Self { statements, variables };
        check::document(&document, version.as_deref(), kind).map_err(Malformed)?;
        Ok(document)
    }

    /// Whether the document lets `who` do `action` at this time, in milliseconds since 1970; `values` is what is known
    /// about the request.
    pub fn trusts(&self, who: &Who<'_>, action: &str, values: &crate::Context, now_ms: i64) -> bool {
        let matching = |effect| {
            let of_effect = self.statements.iter().filter(move |statement| statement.effect() == effect);
            of_effect.filter(|statement| statement.speaks_of(who, action, values, now_ms)).count()
        };
        matching(Effect::Deny) == 0 && matching(Effect::Allow) > 0
    }
}

impl Document {
    /// What it allows and denies, to stand in a set beside others; of whom it speaks is left out.
    pub fn into_grants(self) -> crate::Document {
        let syntax = Syntax { wildcards: true, variables: self.variables };
        let statements = self.statements.into_iter().map(|statement| Arc::new(statement.into_grant(syntax)));
        crate::Document { statements: statements.collect() }
    }
}

impl Statement {
    fn into_grant(self, syntax: Syntax) -> document::Statement {
        let effect = self.effect();
        document::Statement {
            sid: self.sid.map(Into::into),
            effect,
            actions: read_again(self.actions, Action::new),
            resources: read_again(self.resources, |text| Template::new(text, syntax)),
            clauses: self.clauses,
        }
    }

    fn effect(&self) -> Effect {
        if self.effect == "Allow" { Effect::Allow } else { Effect::Deny }
    }

    fn speaks_of(&self, who: &Who<'_>, action: &str, values: &crate::Context, now_ms: i64) -> bool {
        let covers = |list: &OneOf<Principal>| list.items.iter().any(|item| item.covers(who)) != list.negated;
        let does = |list: &OneOf<String>| list.items.iter().any(|item| item == action) != list.negated;
        let bound = || self.clauses.iter().map(|clause| clause.bind(values).ok()).collect::<Option<Vec<_>>>();
        let request = crate::Request::new(action, "", now_ms).with(values);
        self.principals.as_ref().is_some_and(covers)
            && self.actions.as_ref().is_some_and(does)
            && bound().is_some_and(|clauses| crate::decide::hold(&clauses, &request, values))
    }
}

/// A list in the terms of the evaluator; one that is missing covers nothing.
fn read_again<T>(list: Option<OneOf<String>>, read: impl Fn(&str) -> T) -> document::OneOf<T> {
    let (negated, items) = list.map_or_else(Default::default, |list| (list.negated, list.items));
    document::OneOf { negated, items: items.iter().map(|text| read(text)).collect() }
}

/// The version with variables.
const NEWER: &str = "2012-10-17";

/// The version, if there is one, and the statements.
fn syntax(value: Value) -> Result<(Option<String>, Vec<Statement>), Problem> {
    let at = value.at;
    let (mut version, mut statements) = (None, None);
    for member in object(value, "a policy document")? {
        match &*member.key {
            "Version" => version = Some(version_of(&member.value)?),
            "Id" => drop(string(&member.value)?),
            "Statement" => statements = Some(member.value),
            _ => return Err(unknown(&member, "Version, Id or Statement")),
        }
    }
    let statements = statements.ok_or_else(|| Problem::new(at, "expected `Statement` in the policy"))?;
    let at = statements.at;
    // The older version has no variables.
    let variables = version.as_deref() == Some(NEWER);
    let statements = items(statements).into_iter().map(|value| statement(value, variables));
    let statements = statements.collect::<Result<Vec<_>, _>>()?;
    if statements.is_empty() {
        return Err(Problem::new(at, "expected a statement in the list"));
    }
    Ok((version, statements))
}

fn version_of(value: &Value) -> Result<String, Problem> {
    let version = string(value)?;
    if !["2012-10-17", "2008-10-17"].contains(&version) {
        return Err(Problem::new(value.at, format!("expected `2012-10-17` or `2008-10-17`, found `{version}`")));
    }
    Ok(version.to_owned())
}

fn statement(value: Value, variables: bool) -> Result<Statement, Problem> {
    let at = value.at;
    let (mut statement, mut effect) = (Statement::default(), None);
    for member in object(value, "a statement")? {
        match &*member.key {
            "Sid" => statement.sid = Some(string(&member.value)?.to_owned()),
            "Effect" => effect = Some(effect_of(&member.value)?),
            "Principal" | "NotPrincipal" => fill(&mut statement.principals, member, "Principal", principal::read)?,
            "Action" | "NotAction" => fill(&mut statement.actions, member, "Action", texts)?,
            "Resource" | "NotResource" => fill(&mut statement.resources, member, "Resource", texts)?,
            "Condition" => statement.clauses = conditions(member.value, variables)?,
            _ => return Err(unknown(&member, "Sid, Effect, Principal, Action, Resource or Condition")),
        }
    }
    statement.effect = effect.ok_or_else(|| Problem::new(at, "expected `Effect` in the statement"))?;
    Ok(statement)
}

/// Allow or Deny; in another case it is refused later, with another sentence.
fn effect_of(value: &Value) -> Result<String, Problem> {
    let effect = string(value)?;
    if !["allow", "deny"].contains(&&*effect.to_ascii_lowercase()) {
        return Err(Problem::new(value.at, format!("expected `Allow` or `Deny`, found `{effect}`")));
    }
    Ok(effect.to_owned())
}

/// Reads what a statement says once, as it stands or negated.
fn fill<T>(
    slot: &mut Option<OneOf<T>>,
    member: Member,
    name: &str,
    read: fn(Value) -> Result<Vec<T>, Problem>,
) -> Result<(), Problem> {
    if slot.is_some() {
        return Err(Problem::new(member.at, format!("a statement has either `{name}` or `Not{name}`, not both")));
    }
    *slot = Some(OneOf { negated: member.key != name, items: read(member.value)? });
    Ok(())
}

/// A null among them says nothing, as in IAM.
fn texts(value: Value) -> Result<Vec<String>, Problem> {
    let texts = items(value).into_iter().filter(|value| !matches!(value.kind, Json::Null));
    texts.map(|value| string(&value).map(str::to_owned)).collect()
}

/// One value, or a list of them.
fn items(value: Value) -> Vec<Value> {
    match value.kind {
        Json::List(values) => values,
        _ => vec![value],
    }
}

fn unknown(member: &Member, expected: &str) -> Problem {
    Problem::new(member.at, format!("expected {expected}, found `{}`", member.key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Context;

    fn refused(kind: Kind, statement: &str) -> String {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":{statement}}}"#);
        Document::parse(&text, kind).map_or_else(|malformed| malformed.to_string(), |_| "none".to_owned())
    }

    #[test]
    fn what_walkthroughs_write_is_read() {
        let permissions = r#"[{"Effect":"Allow","Action":["logs:CreateLogGroup","logs:PutLogEvents"],"Resource":"arn:aws:logs:us-east-1:000000000000:*"},
            {"Sid":"Two","Effect":"Deny","NotAction":"iot:*","Resource":["*"],"Condition":{"StringLike":{"aws:PrincipalArn":"x*"}}}]"#;
        let trust = r#"{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}"#;
        assert_eq!(refused(Kind::Managed, permissions), "none");
        assert_eq!(refused(Kind::Inline, permissions), "none");
        assert_eq!(refused(Kind::Trust, trust), "none");
        for version in ["", r#""Version":"2008-10-17","#] {
            let text = format!(r#"{{{version}"Statement":[{trust}]}}"#);
            assert!(Document::parse(&text, Kind::Trust).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_document_is_a_syntax_error_with_its_place() {
        let cases = [
            ("nonsense", "line 1, column 1: expected a value, found `n`"),
            ("[]", "line 1, column 1: expected a policy document, found a list"),
            (
                "{\"Version\":\n\"2013-10-17\"}",
                "line 2, column 1: expected `2012-10-17` or `2008-10-17`, found `2013-10-17`",
            ),
            (r#"{"Version":"2012-10-17"}"#, "line 1, column 1: expected `Statement` in the policy"),
            (r#"{"Statement":[]}"#, "line 1, column 14: expected a statement in the list"),
            (r#"{"Statement":["a"]}"#, "line 1, column 15: expected a statement, found a string"),
            (r#"{"Statement":{"Effect":"Maybe"}}"#, "line 1, column 24: expected `Allow` or `Deny`, found `Maybe`"),
            (r#"{"Statement":{"Action":"a:b"}}"#, "line 1, column 14: expected `Effect` in the statement"),
            (r#"{"Statement":{"Effect":"Deny","Action":[1]}}"#, "line 1, column 41: expected a string, found a number"),
            (
                r#"{"Statement":{"Extra":1}}"#,
                "line 1, column 15: expected Sid, Effect, Principal, Action, Resource or Condition, found `Extra`",
            ),
        ];
        for (text, wanted) in cases {
            let refused = Document::parse(text, Kind::Managed).unwrap_err().to_string();
            assert_eq!(refused, format!("Syntax errors in policy. ({wanted})"), "{text}");
        }
    }

    fn trusts(statements: &str, who: &Who<'_>, values: &[(&str, &str)]) -> bool {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":{statements}}}"#);
        let mut context = Context::new();
        for (name, value) in values {
            context.set(name, value);
        }
        Document::parse(&text, Kind::Trust).unwrap().trusts(who, "sts:AssumeRole", &context, 0)
    }

    #[test]
    fn a_service_is_trusted_by_name() {
        let statement = r#"{"Effect":"Allow","Principal":{"Service":["iot.amazonaws.com","lambda.amazonaws.com"]},"Action":"sts:AssumeRole"}"#;
        assert!(trusts(statement, &Who::Service("lambda.amazonaws.com"), &[]));
        assert!(!trusts(statement, &Who::Service("ec2.amazonaws.com"), &[]));
        assert!(!trusts(statement, &Who::Account { id: "000000000000", arns: &[] }, &[]));
    }

    #[test]
    fn a_condition_must_hold() {
        let statement = r#"{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"sts:AssumeRole",
            "Condition":{"StringEquals":{"sts:ExternalId":"x"}}}"#;
        let who = Who::Account { id: "000000000000", arns: &[] };
        assert!(trusts(statement, &who, &[("sts:ExternalId", "x")]));
        assert!(!trusts(statement, &who, &[("sts:ExternalId", "y")]));
        assert!(!trusts(statement, &who, &[]));
    }

    #[test]
    fn a_denial_wins_over_what_is_allowed() {
        let both = r#"[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"},
            {"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::000000000000:role/bad"},"Action":"sts:AssumeRole"}]"#;
        let role = |arn| trusts(both, &Who::Account { id: "000000000000", arns: &[arn] }, &[]);
        assert!(role("arn:aws:iam::000000000000:role/good"));
        assert!(!role("arn:aws:iam::000000000000:role/bad"));
    }

    fn decided(documents: &[&str], limit: Option<&str>, action: &str, resource: &str) -> crate::Verdict {
        let mut context = Context::new();
        context.set("aws:username", "alice");
        context.set("aws:PrincipalTag/team", "blue");
        let set = |statements: &[&str]| {
            let documents = statements.iter().map(|statements| {
                let text = format!(r#"{{"Version":"2012-10-17","Statement":{statements}}}"#);
                ("p", Arc::new(Document::parse(&text, Kind::Inline).unwrap().into_grants()))
            });
            crate::PolicySet::compile(documents, context.clone())
        };
        let limits = limit.map(|limit| ("permissions boundary", set(&[limit])));
        let set = limits.into_iter().fold(set(documents), |set, (name, limit)| set.within(name, limit));
        set.decide(&crate::Request::new(action, resource, 0)).verdict
    }

    #[test]
    fn what_is_granted_is_decided_as_policies_of_iot_are() {
        use crate::Verdict::{Allowed, ExplicitDeny, ImplicitDeny};
        let own = r#"{"Effect":"Allow","Action":["dynamodb:*Item","*:List*"],"Resource":"arn:aws:dynamodb:*:*:table/${aws:username}",
            "Condition":{"StringEquals":{"aws:PrincipalTag/Team":"blue"}}}"#;
        let keep = r#"{"Effect":"Deny","NotAction":["dynamodb:GetItem"],"Resource":"*"}"#;
        let table = "arn:aws:dynamodb:us-east-1:000000000000:table/alice";
        let other = "arn:aws:dynamodb:us-east-1:000000000000:table/bob";
        assert_eq!(decided(&[own], None, "dynamodb:PutItem", table), Allowed);
        assert_eq!(decided(&[own], None, "iot:ListThings", table), Allowed);
        assert_eq!(decided(&[own], None, "dynamodb:PutItem", other), ImplicitDeny);
        assert_eq!(decided(&[own], None, "dynamodb:Query", table), ImplicitDeny);
        assert_eq!(decided(&[own, keep], None, "dynamodb:PutItem", table), ExplicitDeny);
        assert_eq!(decided(&[own, keep], None, "dynamodb:GetItem", table), Allowed);
        assert_eq!(decided(&[], None, "dynamodb:GetItem", table), ImplicitDeny);
    }

    #[test]
    fn a_limit_takes_away_and_gives_nothing() {
        use crate::Verdict::{Allowed, ExplicitDeny, ImplicitDeny};
        let all = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
        let things = r#"{"Effect":"Allow","Action":"iot:*","Resource":"*"}"#;
        let never = r#"[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"iot:Delete*","Resource":"*"}]"#;
        assert_eq!(decided(&[all], Some(things), "iot:CreateThing", "x"), Allowed);
        assert_eq!(decided(&[all], Some(things), "s3:GetObject", "x"), ImplicitDeny);
        assert_eq!(decided(&[things], Some(all), "s3:GetObject", "x"), ImplicitDeny);
        assert_eq!(decided(&[all], Some(never), "iot:DeleteThing", "x"), ExplicitDeny);
    }

    #[test]
    fn another_action_says_nothing_of_this_one() {
        let statement = r#"{"Effect":"Allow","Principal":"*","Action":["sts:TagSession"]}"#;
        assert!(!trusts(statement, &Who::Service("lambda.amazonaws.com"), &[]));
    }
}
