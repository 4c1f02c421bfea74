//! An evaluation step by step, for people: what each clause and each part of the condition came to, and why there is no
//! result if there is none. It evaluates as a rule does, and calls what a rule would call.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::evaluate::{Input, prints_whole};
use crate::expression::{Expression, Select};
use crate::functions;
use crate::statement::outcome;
use crate::value::{Value, encode};
use crate::{Message, Outcome, Statement, World};

/// The most parts of a condition, or items of a list, that are told.
const MOST_STEPS: usize = 256;
/// The longest text of an expression or value that is told whole, in bytes.
const LONGEST: usize = 4096;

/// What happened in an evaluation.
#[derive(Debug, Serialize)]
pub struct Trace {
    /// The statement as it was understood.
    pub statement: String,
    /// The version of the language.
    pub version: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// Why there is no result, in words; nothing if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// `FROM`: whether the topic matches.
    pub from: Clause,
    /// `SET`: each variable with its value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<Step>,
    /// `WHERE`: the condition, and then each part of it that is no literal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub condition: Vec<Step>,
    /// `SELECT`: each item with its value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub select: Vec<Step>,
    /// The result, if it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
    /// The result in base64, if it is not JSON, or nests too deep to be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_base64: Option<String>,
}

/// How an evaluation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The topic does not match `FROM`; nothing was evaluated.
    OtherTopic,
    /// `WHERE` was not true.
    Unmatched,
    /// There is a result.
    Selected,
    /// A call is answered later.
    Suspended,
    /// A function failed, or a bound was passed.
    Failed,
}

/// The topic filter, and whether it matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Clause {
    /// The filter; without one only Basic Ingest reaches the statement.
    pub filter: Option<String>,
    /// The topic as the statement sees it.
    pub topic: String,
    /// Whether they match.
    pub matched: bool,
}

/// One expression and its value.
#[derive(Debug, Serialize)]
pub struct Step {
    /// The variable, or the name of the item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The expression.
    pub expression: String,
    /// What it came to; nothing if that is Undefined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Box<RawValue>>,
    /// `undefined`, `cut` if the value is too long to be shown, `skipped` if it was not evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

/// The values that expressions had, by where the expressions are.
type Values = HashMap<*const Expression, (Option<Box<RawValue>>, Option<&'static str>)>;

impl Statement {
    /// Evaluates step by step, as [`Statement::evaluate`] does once the topic matches.
    pub fn trace(&self, message: &Message<'_>, world: &mut dyn World) -> Trace {
        let topic = functions::published_to(message.topic);
        let matched = self.filter().is_none_or(|filter| matches(filter, topic) || matches(filter, message.topic));
        let from = Clause { filter: self.filter().map(str::to_owned), topic: topic.to_owned(), matched };
        let mut values = Values::new();
        let end = matched.then(|| {
            let input = Input::new(message, self.version());
            let whole = prints_whole(self.version());
            let mut probe = |expression: &Expression, value: &Value<'_>| {
                values.insert(std::ptr::from_ref(expression), shown(value, whole));
            };
            outcome(self.run(&input, world, Some(&mut probe)))
        });
        let (verdict, why) = self.verdict(&from, end.as_ref(), &values);
        let selected = match end {
            Some(Outcome::Selected(selected)) => Some(selected),
            _ => None,
        };
        let output =
            selected.as_ref().filter(|selected| selected.is_json()).and_then(|selected| json(&selected.payload));
        let bytes = selected.as_ref().filter(|_| output.is_none()).map(|selected| encode(&selected.payload));
        Trace {
            statement: clipped(self.to_string()),
            version: self.version().name(),
            verdict,
            why,
            from,
            set: self.variables(&values),
            condition: self.condition(&values),
            select: self.items(&values),
            output,
            output_base64: bytes,
        }
    }

    fn verdict(&self, from: &Clause, end: Option<&Outcome>, values: &Values) -> (Verdict, Option<String>) {
        match end {
            None => {
                let filter = from.filter.as_deref().unwrap_or_default();
                (Verdict::OtherTopic, Some(format!("the topic {} does not match {filter}", from.topic)))
            }
            Some(Outcome::Selected(_)) => (Verdict::Selected, None),
            Some(Outcome::Suspended) => (Verdict::Suspended, Some("a call is answered later".to_owned())),
            Some(Outcome::Failed(failed)) => (Verdict::Failed, Some(failed.to_string())),
            Some(Outcome::Unmatched) => {
                let condition = self.parsed.filter.as_ref();
                let value = condition.and_then(|condition| values.get(&std::ptr::from_ref(condition))?.0.as_ref());
                let value = value.map_or("Undefined", |value| value.get());
                (Verdict::Unmatched, Some(format!("WHERE is {value}, and only true selects")))
            }
        }
    }

    fn variables(&self, values: &Values) -> Vec<Step> {
        let variables = self.parsed.variables.iter();
        variables.map(|(name, value)| step(Some(format!("@{name}")), value, values)).collect()
    }

    fn condition(&self, values: &Values) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some(condition) = &self.parsed.filter {
            parts(condition, values, &mut steps);
        }
        steps
    }

    fn items(&self, values: &Values) -> Vec<Step> {
        match &self.parsed.select {
            Select::Value(value) => vec![step(None, value, values)],
            Select::Items(items) => {
                let told = items.iter().take(MOST_STEPS).map(|item| match &item.path {
                    Some(path) => step(Some(path.join(".")), &item.expression, values),
                    None => Step { expression: clipped(item.to_string()), ..step(None, &item.expression, values) },
                });
                told.collect()
            }
        }
    }
}

/// Tells an expression and then its parts, but neither literals nor what a nested query does for each row.
fn parts(expression: &Expression, values: &Values, steps: &mut Vec<Step>) {
    let is_literal =
        matches!(expression, Expression::Null | Expression::Bool(_) | Expression::Number(_) | Expression::Text(_));
    if is_literal || steps.len() >= MOST_STEPS {
        return;
    }
    steps.push(step(None, expression, values));
    if !matches!(expression, Expression::Query(_) | Expression::Exists(_)) {
        expression.each_part(&mut |part| parts(part, values, steps));
    }
}

fn step(name: Option<String>, expression: &Expression, values: &Values) -> Step {
    let found = values.get(&std::ptr::from_ref(expression));
    let (value, note) = found.map_or((None, Some("skipped")), |(value, note)| (value.clone(), *note));
    Step { name, expression: clipped(expression.to_string()), value, note }
}

/// A value as it is told.
fn shown(value: &Value<'_>, whole: bool) -> (Option<Box<RawValue>>, Option<&'static str>) {
    if value.is_undefined() {
        return (None, Some("undefined"));
    }
    let mut text = String::new();
    value.print(whole, &mut text);
    if text.len() > LONGEST {
        return (None, Some("cut"));
    }
    (RawValue::from_string(text).ok(), None)
}

/// A JSON text as it stands.
fn json(text: &[u8]) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(text.to_vec()).ok()?).ok()
}

fn clipped(text: String) -> String {
    match text.char_indices().find(|(at, _)| *at >= LONGEST) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// Whether a topic matches a filter, by MQTT's rules: `#` takes the level above along, and no wildcard begins a match of
/// a topic that begins with `$`.
fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut levels, mut parts) = (filter.split('/'), topic.split('/'));
    loop {
        match (levels.next(), parts.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(level), Some(part)) if level == part => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn filters_match_as_in_mqtt() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/c", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "b", false),
            ("#", "a/b", true),
            ("#", "$aws/a", false),
            ("+/a", "$aws/a", false),
            ("$aws/#", "$aws/a", true),
            ("+", "a", true),
            ("+", "a/b", false),
            ("a/+", "a", false),
            ("a/+/c", "a//c", true),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }
}
