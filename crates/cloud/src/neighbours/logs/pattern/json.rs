//! Patterns over messages that are JSON objects: `{ $.member = value && … }`. A message that is none is never asked for.

use serde_json::Value;

use super::condition::{self, Condition, Literal, Test, Wanted, Written, is_like};
use super::scan::{Scanner, Wrong};

/// A condition on members.
#[derive(Debug)]
pub(super) struct Members(Condition<Selector>);

/// The way to a member.
#[derive(Debug)]
struct Selector(Vec<Step>);

#[derive(Debug)]
enum Step {
    Member(String),
    Index(usize),
    /// `[*]`: any element.
    Any,
}

/// Steps of one selector.
const STEPS: usize = 64;

pub(super) fn parse(scanner: &mut Scanner<'_>) -> Result<Members, Wrong> {
    scanner.must("{")?;
    scanner.skip_spaces();
    let condition = condition::parse(scanner, selector, 0)?;
    scanner.must("}")?;
    scanner.end()?;
    Ok(Members(condition))
}

/// `$.a.b[0]['c d']`.
fn selector(scanner: &mut Scanner<'_>) -> Result<Selector, Wrong> {
    scanner.must("$")?;
    let mut steps = Vec::new();
    while steps.len() < STEPS {
        match scanner.peek() {
            Some('.') => {
                scanner.next();
                if scanner.peek() != Some('[') {
                    steps.push(Step::Member(member(scanner)?));
                }
            }
            Some('[') => {
                scanner.next();
                steps.push(index(scanner)?);
                scanner.must("]")?;
            }
            _ => return Ok(Selector(steps)),
        }
    }
    Err(Wrong::Sentence(format!("a selector has more than {STEPS} steps")))
}

fn member(scanner: &mut Scanner<'_>) -> Result<String, Wrong> {
    let name = scanner.take_while(|c| c.is_alphanumeric() || "_-@$:/#".contains(c));
    if name.is_empty() { Err(scanner.expected("a member")) } else { Ok(name.to_owned()) }
}

fn index(scanner: &mut Scanner<'_>) -> Result<Step, Wrong> {
    match scanner.peek() {
        Some('\'' | '"') => return scanner.quoted().map(Step::Member),
        Some('*') => {
            scanner.next();
            return Ok(Step::Any);
        }
        _ => {}
    }
    let expected = scanner.expected("an index");
    scanner.take_while(|c| c.is_ascii_digit()).parse().map(Step::Index).map_err(|_| expected)
}

impl Members {
    pub(super) fn is_like(&self, message: &str) -> bool {
        if !message.trim_start().starts_with('{') {
            return false;
        }
        let Ok(message) = serde_json::from_str::<Value>(message) else { return false };
        self.0.holds(&|selector, test| {
            let mut found = Vec::new();
            find(&message, &selector.0, &mut found);
            match test {
                Test::Exists(wanted) => found.is_empty() != *wanted,
                // unconfirmed: nothing holds of a member that is not there, `!=` neither.
                _ => found.iter().any(|value| holds(value, test)),
            }
        })
    }
}

fn find<'v>(value: &'v Value, steps: &[Step], found: &mut Vec<&'v Value>) {
    let Some((step, rest)) = steps.split_first() else { return found.push(value) };
    match (step, value) {
        (Step::Member(name), Value::Object(members)) => {
            if let Some(value) = members.get(name) {
                find(value, rest, found);
            }
        }
        (Step::Index(index), Value::Array(elements)) => {
            if let Some(value) = elements.get(*index) {
                find(value, rest, found);
            }
        }
        (Step::Any, Value::Array(elements)) => elements.iter().for_each(|value| find(value, rest, found)),
        _ => {}
    }
}

fn holds(value: &Value, test: &Test) -> bool {
    match test {
        Test::Exists(wanted) => *wanted,
        Test::Is(literal) => {
            matches!(
                (literal, value),
                (Literal::Null, Value::Null)
                    | (Literal::True, Value::Bool(true))
                    | (Literal::False, Value::Bool(false))
            )
        }
        Test::Ordered(order, number) => value.as_f64().is_some_and(|value| order.holds(value, *number)),
        Test::Equals(wanted, yes) => equals(value, wanted).is_some_and(|equal| equal == *yes),
    }
}

/// Whether a value is as wanted; nothing if the two cannot be compared.
// unconfirmed: that a number is never equal to text between quotation marks, nor text to a bare number.
fn equals(value: &Value, wanted: &Wanted) -> Option<bool> {
    match (value, wanted) {
        (Value::Number(number), Wanted::Number(wanted)) => Some(number.as_f64() == Some(*wanted)),
        (Value::Number(number), Wanted::Text(wanted, Written::Bare)) => Some(is_like(&number.to_string(), wanted)),
        (Value::Number(number), Wanted::Expression(regex)) => Some(regex.is_match(&number.to_string())),
        (Value::String(text), Wanted::Text(wanted, _)) => Some(is_like(text, wanted)),
        (Value::String(text), Wanted::Expression(regex)) => Some(regex.is_match(text)),
        (Value::Bool(value), Wanted::Text(wanted, Written::Bare)) => Some(is_like(&value.to_string(), wanted)),
        _ => None,
    }
}
