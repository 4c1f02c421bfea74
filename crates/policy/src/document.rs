//! The policy document: reading it, and refusing what is none with a place and a reason (security.md §3.1).
//! It does not know who a policy is attached to, nor what any action means.

use std::sync::Arc;

use crate::condition::{Clause, Operator};
use crate::json::{self, Kind, Member, Problem, Value};
use crate::pattern::{Pattern, Token};
use crate::template::{Syntax, Template};

/// The most characters a document may have, white space not counted (security.md §3.1).
/// unconfirmed: white space inside strings is not counted either.
pub const MAX_CHARACTERS: usize = 2048;
/// The most bytes that are looked at, white space and all: the API's own bound (security.md §11).
pub const MAX_BYTES: usize = 404_600;

/// A policy that was read: its statements, ready to be compiled for a connection.
#[derive(Debug)]
pub struct Document {
    pub(crate) statements: Vec<Arc<Statement>>,
}

/// Why a text is not a policy, and where. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What was expected, or what is too much.
    pub message: String,
    /// The line of the first offending character.
    pub line: usize,
    /// Its column.
    pub column: usize,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for Malformed {}

/// What a statement does with what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It permits, unless another statement denies.
    Allow,
    /// It refuses, whatever else permits.
    Deny,
}

impl std::fmt::Display for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Effect::Allow => "Allow",
            Effect::Deny => "Deny",
        })
    }
}

/// One statement.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) sid: Option<Box<str>>,
    pub(crate) effect: Effect,
    pub(crate) actions: OneOf<Action>,
    pub(crate) resources: OneOf<Template>,
    pub(crate) clauses: Vec<Clause>,
}

/// A list that matches if one of its items does, or (`NotAction`, `NotResource`) if none does.
#[derive(Debug)]
pub(crate) struct OneOf<T> {
    pub(crate) negated: bool,
    pub(crate) items: Vec<T>,
}

/// An action or a pattern of actions, without regard to case: the service prefix is documented to ignore it,
/// the rest ignores it as in IAM (unconfirmed).
#[derive(Debug)]
pub(crate) struct Action {
    pub(crate) source: Box<str>,
    folded: Pattern,
}

impl Action {
    /// A pattern as it is written; whether it can mean anything is the reader's affair.
    pub(crate) fn new(text: &str) -> Action {
        let token = |byte: u8| match byte {
            b'*' => Token::Many,
            b'?' => Token::One,
            byte => Token::Byte(byte.to_ascii_lowercase()),
        };
        let tokens: Vec<Token> = text.bytes().map(token).collect();
        Action { source: text.into(), folded: Pattern::new(&tokens) }
    }

    pub(crate) fn matches(&self, action: &str) -> bool {
        self.folded.matches_folded(action)
    }
}

impl Statement {
    pub(crate) fn covers_action(&self, action: &str) -> bool {
        self.actions.items.iter().any(|item| item.matches(action)) != self.actions.negated
    }
}

impl Document {
    /// Reads a document.
    pub fn parse(text: &str) -> Result<Document, Malformed> {
        check_size(text).and_then(|()| json::read(text)).and_then(document).map_err(|problem| {
            let (line, column) = place(text, problem.at);
            Malformed { message: problem.message, line, column }
        })
    }
}

/// Line and column of a byte offset, both from 1.
pub(crate) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

fn check_size(text: &str) -> Result<(), Problem> {
    if text.len() > MAX_BYTES {
        return Err(Problem::new(0, format!("a policy has at most {MAX_BYTES} bytes, this has {}", text.len())));
    }
    let mut solid = text.char_indices().filter(|(_, c)| !c.is_whitespace());
    match solid.nth(MAX_CHARACTERS) {
        None => Ok(()),
        Some((at, _)) => {
            let message = format!("a policy has at most {MAX_CHARACTERS} characters, white space not counted");
            Err(Problem::new(at, message))
        }
    }
}

fn document(value: Value) -> Result<Document, Problem> {
    let at = value.at;
    let (mut version, mut statements) = (None, None);
    for member in object(value, "a policy document")? {
        match &*member.key {
            "Version" => version = Some(one_of(&member.value, &["2012-10-17", "2008-10-17"])?),
            "Statement" => statements = Some(member.value),
            // unconfirmed: IAM's grammar has an optional Id; it means nothing.
            "Id" => drop(string(&member.value)?),
            _ => return Err(unknown(&member, "a policy", "Version, Id or Statement")),
        }
    }
    let version = version.ok_or_else(|| Problem::new(at, "expected `Version` in the policy"))?;
    let statements = statements.ok_or_else(|| Problem::new(at, "expected `Statement` in the policy"))?;
    // unconfirmed for IoT: the older version has no variables, as in IAM.
    let variables = version == "2012-10-17";
    let statements = listed(statements, "a statement")?;
    Ok(Document {
        statements: statements.into_iter().map(|s| statement(s, variables).map(Arc::new)).collect::<Result<_, _>>()?,
    })
}

fn statement(value: Value, variables: bool) -> Result<Statement, Problem> {
    let at = value.at;
    let (mut sid, mut effect, mut actions, mut resources, mut clauses) = (None, None, None, None, Vec::new());
    for member in object(value, "a statement")? {
        match &*member.key {
            // unconfirmed: a Sid may be any text, and the same twice; IAM wants letters and digits, once each.
            "Sid" => sid = Some(string(&member.value)?.into()),
            "Effect" => {
                let allow = one_of(&member.value, &["Allow", "Deny"])? == "Allow";
                effect = Some(if allow { Effect::Allow } else { Effect::Deny });
            }
            "Action" | "NotAction" => fill(&mut actions, member, "Action", action)?,
            "Resource" | "NotResource" => fill(&mut resources, member, "Resource", |text| resource(text, variables))?,
            "Condition" => clauses = conditions(member.value, variables)?,
            "Principal" | "NotPrincipal" => {
                return Err(Problem::new(
                    member.at,
                    "a policy of IoT has no principal: it applies to what it is attached to",
                ));
            }
            _ => {
                return Err(unknown(
                    &member,
                    "a statement",
                    "Sid, Effect, Action, NotAction, Resource, NotResource or Condition",
                ));
            }
        }
    }
    let missing = |what: &str| Problem::new(at, format!("expected {what} in the statement"));
    Ok(Statement {
        sid,
        effect: effect.ok_or_else(|| missing("`Effect`"))?,
        actions: actions.ok_or_else(|| missing("`Action` or `NotAction`"))?,
        resources: resources.ok_or_else(|| missing("`Resource` or `NotResource`"))?,
        clauses,
    })
}

/// Reads the list of `Action` or `Resource`, or of its negation, into a slot that takes only one of the two.
fn fill<T>(
    slot: &mut Option<OneOf<T>>,
    member: Member,
    name: &str,
    read: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<(), Problem> {
    if slot.is_some() {
        return Err(Problem::new(member.at, format!("a statement has either `{name}` or `Not{name}`, not both")));
    }
    let mut items = Vec::new();
    for value in listed(member.value, "a string")? {
        let wanted = |expected| Problem::new(value.at, format!("expected {expected}"));
        items.push(read(string(&value)?).map_err(wanted)?);
    }
    *slot = Some(OneOf { negated: member.key != name, items });
    Ok(())
}

/// unconfirmed: any `service:Name` is taken, also of other services, and with blanks in it (`iot: *`), which matches nothing; AWS
/// may refuse actions it does not have. A lint names them.
fn action(text: &str) -> Result<Action, &'static str> {
    let well_formed = |part: &str, more: &[u8]| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    let good = match text.split_once(':') {
        None => text == "*",
        Some((service, name)) => well_formed(service, b"-") && well_formed(name, b"*? "),
    };
    if !good {
        return Err("an action such as `iot:Publish`, `iot:Get*` or `*`");
    }
    Ok(Action::new(text))
}

/// unconfirmed: what can match no ARN is refused; AWS may let it pass and never match.
fn resource(text: &str, variables: bool) -> Result<Template, &'static str> {
    if !(text.starts_with("arn:") || text.starts_with('*')) {
        return Err("a resource: an ARN, or a pattern that begins with `arn:` or `*`");
    }
    Ok(Template::new(text, Syntax { wildcards: true, variables }))
}

pub(crate) fn conditions(value: Value, variables: bool) -> Result<Vec<Clause>, Problem> {
    let mut clauses = Vec::new();
    for member in object(value, "an object of condition operators")? {
        let operator = Operator::named(&member.key)
            .ok_or_else(|| Problem::new(member.at, format!("expected a condition operator, found `{}`", member.key)))?;
        for under in object(member.value, "an object of condition keys")? {
            if under.key.is_empty() {
                return Err(Problem::new(under.at, "expected the name of a condition key"));
            }
            let mut clause = Clause::new(operator, &member.key, &under.key);
            clause.values = operands(&clause, under.value, variables)?;
            clauses.push(clause);
        }
    }
    Ok(clauses)
}

/// The values of a clause. The list may be empty: `ForAllValues:StringEquals []` is a documented pattern.
fn operands(clause: &Clause, value: Value, variables: bool) -> Result<Box<[Template]>, Problem> {
    let values = match value.kind {
        Kind::List(values) => values,
        _ => vec![value],
    };
    let read = |value: &Value| {
        let text = match &value.kind {
            Kind::Text(text) | Kind::Number(text) => text,
            Kind::Bool(true) => "true",
            Kind::Bool(false) => "false",
            _ => return Err(Problem::new(value.at, format!("expected a value, found {}", value.name()))),
        };
        let wanted = |wants| Problem::new(value.at, format!("expected {wants} for `{}`", clause.name));
        clause.value(text, variables).map_err(wanted)
    };
    values.iter().map(read).collect()
}

pub(crate) fn object(value: Value, what: &str) -> Result<Vec<Member>, Problem> {
    let found = value.name();
    match value.kind {
        Kind::Object(members) => Ok(members),
        _ => Err(Problem::new(value.at, format!("expected {what}, found {found}"))),
    }
}

/// One value, or a list of them that is not empty (unconfirmed: AWS may accept an empty one).
fn listed(value: Value, what: &str) -> Result<Vec<Value>, Problem> {
    match value.kind {
        Kind::List(values) if values.is_empty() => Err(Problem::new(value.at, format!("expected {what} in the list"))),
        Kind::List(values) => Ok(values),
        _ => Ok(vec![value]),
    }
}

pub(crate) fn string(value: &Value) -> Result<&str, Problem> {
    match &value.kind {
        Kind::Text(text) => Ok(text),
        _ => Err(Problem::new(value.at, format!("expected a string, found {}", value.name()))),
    }
}

fn one_of(value: &Value, choices: &[&'static str]) -> Result<&'static str, Problem> {
    let text = string(value)?;
    let chosen = choices.iter().find(|choice| **choice == text).copied();
    chosen.ok_or_else(|| Problem::new(value.at, format!("expected `{}`, found `{text}`", choices.join("` or `"))))
}

/// unconfirmed: AWS's answer to unknown keys is not documented; a misspelt `Condition` must not pass unseen.
fn unknown(member: &Member, place: &str, expected: &str) -> Problem {
    Problem::new(member.at, format!("`{}` is not part of {place}: expected {expected}", member.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATEMENT: &str = r#"{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}"#;

    /// The place and message of the refusal of a document with this one statement.
    fn refusal(statement: &str) -> String {
        let text = format!("{{\"Version\":\"2012-10-17\",\"Statement\":\n{statement}}}");
        Document::parse(&text).unwrap_err().to_string()
    }

    #[test]
    fn a_statement_may_stand_alone_or_in_a_list() {
        for statements in [STATEMENT.to_owned(), format!("[{STATEMENT}]"), format!("[{STATEMENT},{STATEMENT}]")] {
            for version in ["2012-10-17", "2008-10-17"] {
                let text = format!(r#"{{"Version":"{version}","Id":"x","Statement":{statements}}}"#);
                assert!(Document::parse(&text).is_ok(), "{text}");
            }
        }
    }

    #[test]
    fn a_document_that_is_none_is_refused() {
        let cases = [
            ("", "expected a value"),
            ("[]", "expected a policy document, found a list"),
            ("{}", "expected `Version`"),
            (r#"{"Version":"2012-10-17"}"#, "expected `Statement`"),
            (r#"{"Version":"2012-10-18","Statement":[]}"#, "expected `2012-10-17` or `2008-10-17`, found `2012-10-18`"),
            (r#"{"Version":"2012-10-17","Statement":[]}"#, "expected a statement in the list"),
            (r#"{"Version":"2012-10-17","Statements":[]}"#, "`Statements` is not part of a policy"),
            (r#"{"Version":"2012-10-17","Version":"2012-10-17"}"#, "`Version` appears twice"),
        ];
        for (text, message) in cases {
            let refused = Document::parse(text).unwrap_err();
            assert!(refused.message.contains(message), "{text}: {refused}");
        }
    }

    #[test]
    fn a_refusal_points_at_the_place() {
        let cases = [
            (r#"{"Effect":"allow"}"#, "line 2, column 11: expected `Allow` or `Deny`, found `allow`"),
            (r#"{"Effect":1}"#, "line 2, column 11: expected a string, found a number"),
            (r#"{"Action":"iot:A","Resource":"*"}"#, "line 2, column 1: expected `Effect` in the statement"),
            (
                r#"{"Effect":"Deny","Resource":"*"}"#,
                "line 2, column 1: expected `Action` or `NotAction` in the statement",
            ),
            (
                r#"{"Effect":"Deny","Action":"*"}"#,
                "line 2, column 1: expected `Resource` or `NotResource` in the statement",
            ),
            (
                r#"{"Action":"*","NotAction":"*"}"#,
                "line 2, column 15: a statement has either `Action` or `NotAction`, not both",
            ),
            (
                r#"{"Resource":"*","NotResource":"*"}"#,
                "line 2, column 17: a statement has either `Resource` or `NotResource`, not both",
            ),
            (r#"{"Action":[]}"#, "line 2, column 11: expected a string in the list"),
            (r#"{"Resource":["*",{}]}"#, "line 2, column 18: expected a string, found an object"),
            (r#"{"Resource":["*"],}"#, "line 2, column 19: expected a key in double quotes, found `}`"),
            (r#"{"Condition":[]}"#, "line 2, column 14: expected an object of condition operators, found a list"),
            (r#"{"Condition":{"Equals":{}}}"#, "line 2, column 15: expected a condition operator, found `Equals`"),
            (
                r#"{"Condition":{"Bool":"a"}}"#,
                "line 2, column 22: expected an object of condition keys, found a string",
            ),
            (r#"{"Condition":{"Bool":{"":"true"}}}"#, "line 2, column 23: expected the name of a condition key"),
            (r#"{"Condition":{"Bool":{"k":"yes"}}}"#, "line 2, column 27: expected `true` or `false` for `Bool`"),
            (r#"{"Condition":{"Bool":{"k":null}}}"#, "line 2, column 27: expected a value, found null"),
            (r#"{"Condition":{"StringLike":{"k":["é",{}]}}}"#, "line 2, column 38: expected a value, found an object"),
        ];
        for (statement, expected) in cases {
            assert_eq!(refusal(statement), expected, "{statement}");
        }
    }

    #[test]
    fn principals_and_unknown_keys_are_refused() {
        assert!(refusal(r#"{"Principal":"*"}"#).contains("has no principal"));
        assert!(refusal(r#"{"Conditions":{}}"#).contains("`Conditions` is not part of a statement"));
    }

    #[test]
    fn actions_have_a_service_and_a_name() {
        for action in ["*", "iot:*", "iot:Get*", "IOT:publish", "iot:?ublish", "s3:GetObject", "iot-data:X", "iot: *"] {
            assert!(super::action(action).is_ok(), "{action}");
        }
        for action in ["", "Publish", "iot:", ":Publish", "iot:Pub,lish", "i*:Publish", "iot:a:b", "**"] {
            assert!(super::action(action).is_err(), "{action}");
        }
    }

    #[test]
    fn resources_can_match_an_arn() {
        for text in ["*", "arn:aws:iot:*:*:topic/a", "*topic/a"] {
            assert!(resource(text, true).is_ok(), "{text}");
        }
        for text in ["", "topic/a", "${iot:ClientId}", "ARN:aws:iot:r:1:topic/a"] {
            assert!(resource(text, true).is_err(), "{text}");
        }
    }

    /// A document with `solid` characters other than white space, spread over `blank` more that are.
    fn sized(solid: usize, blank: usize) -> String {
        let text = |sid: usize| {
            let sid = "x".repeat(sid);
            format!(
                r#"{{"Version":"2012-10-17","Statement":{{"Sid":"{sid}","Effect":"Deny","Action":"*","Resource":"*"}}}}"#
            )
        };
        text(solid - text(0).len()).replace(",\"Effect", &format!(",{}\"Effect", " ".repeat(blank)))
    }

    #[test]
    fn a_document_has_at_most_2048_characters_that_are_not_white_space() {
        assert!(Document::parse(&sized(MAX_CHARACTERS - 1, 0)).is_ok());
        assert!(Document::parse(&sized(MAX_CHARACTERS, 5000)).is_ok());
        let refused = Document::parse(&sized(MAX_CHARACTERS + 1, 10)).unwrap_err();
        assert!(refused.message.contains("at most 2048 characters"), "{refused}");
        assert_eq!((refused.line, refused.column), (1, MAX_CHARACTERS + 11));
        assert!(Document::parse(&sized(MAX_CHARACTERS, MAX_BYTES)).is_err());
    }

    #[test]
    fn condition_values_may_be_booleans_and_numbers() {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":{},"Condition":{{"Bool":{{"a":true}},"NumericEquals":{{"b":[1,2.5]}}}}}}}}"#,
            &STATEMENT[..STATEMENT.len() - 1]
        );
        assert_eq!(Document::parse(&text).unwrap().statements[0].clauses.len(), 2);
    }
}
