//! DynamoDB's expressions: conditions and filters, updates, projections and key conditions. Each is read once, with its names and
//! values put in, and then asked of as many items as need be. What is wrong is said in DynamoDB's words; tables are unknown here.

pub(crate) mod condition;
pub(crate) mod key_condition;
mod lexer;
mod parser;
pub(crate) mod projection;
mod reserved;
pub(crate) mod update;

use std::cell::Cell;
use std::collections::BTreeMap;

use serde_json::Value;

use super::attribute::{Attribute, is_too_long_a_name, too_long_a_name};

/// `ExpressionAttributeNames` and `ExpressionAttributeValues`: what `#name` and `:value` stand for, and whether any
/// expression asked.
#[derive(Default)]
pub(crate) struct Placeholders {
    names: BTreeMap<String, Meaning<String>>,
    values: BTreeMap<String, Meaning<Attribute>>,
}

struct Meaning<T> {
    meaning: T,
    is_used: Cell<bool>,
}

impl<T: Clone> Meaning<T> {
    fn new(meaning: T) -> Self {
        Self { meaning, is_used: Cell::new(false) }
    }

    fn used(&self) -> T {
        self.is_used.set(true);
        self.meaning.clone()
    }
}

impl Placeholders {
    /// From the members of a request.
    pub(crate) fn read(names: Option<&Value>, values: Option<&Value>) -> Result<Self, String> {
        Ok(Self { names: read_names(names)?, values: read_values(values)? })
    }

    fn name(&self, placeholder: &str) -> Option<String> {
        self.names.get(placeholder).map(Meaning::used)
    }

    fn value(&self, placeholder: &str) -> Option<Attribute> {
        self.values.get(placeholder).map(Meaning::used)
    }

    /// Refuses what no expression asked for.
    pub(crate) fn check_used(&self) -> Result<(), String> {
        let unused = |what: &str, keys: Vec<&str>| {
            if keys.is_empty() {
                return Ok(());
            }
            let keys = keys.join(", ");
            Err(format!("Value provided in {what} unused in expressions: keys: {{{keys}}}"))
        };
        unused("ExpressionAttributeNames", unused_keys(&self.names))?;
        unused("ExpressionAttributeValues", unused_keys(&self.values))
    }
}

fn unused_keys<T>(of: &BTreeMap<String, Meaning<T>>) -> Vec<&str> {
    of.iter().filter(|(_, meaning)| !meaning.is_used.get()).map(|(key, _)| key.as_str()).collect()
}

fn read_names(names: Option<&Value>) -> Result<BTreeMap<String, Meaning<String>>, String> {
    let mut read = BTreeMap::new();
    for (key, name) in members("ExpressionAttributeNames", '#', names)? {
        let name = name.as_str().unwrap_or_default();
        if name.is_empty() {
            let wrong = "ExpressionAttributeNames contains invalid value: Empty attribute name";
            return Err(format!("{wrong} for key {key}"));
        }
        if is_too_long_a_name(name) {
            return Err(too_long_a_name());
        }
        read.insert(key.clone(), Meaning::new(name.to_owned()));
    }
    Ok(read)
}

fn read_values(values: Option<&Value>) -> Result<BTreeMap<String, Meaning<Attribute>>, String> {
    let mut read = BTreeMap::new();
    for (key, value) in members("ExpressionAttributeValues", ':', values)? {
        let value = Attribute::read(value)
            .map_err(|wrong| format!("ExpressionAttributeValues contains invalid value: {wrong} for key {key}"))?;
        read.insert(key.clone(), Meaning::new(value));
    }
    Ok(read)
}

/// The members of one of the two, if all of their keys are placeholders.
fn members<'v>(what: &str, mark: char, of: Option<&'v Value>) -> Result<Vec<(&'v String, &'v Value)>, String> {
    let Some(of) = of.and_then(Value::as_object) else { return Ok(Vec::new()) };
    if of.is_empty() {
        return Err(format!("{what} must not be empty"));
    }
    let is_placeholder = |key: &str| {
        let rest = key.strip_prefix(mark).unwrap_or_default();
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if let Some(key) = of.keys().find(|key| !is_placeholder(key)) {
        return Err(format!("{what} contains invalid key: Syntax error; key: \"{key}\""));
    }
    Ok(of.iter().collect())
}

#[cfg(test)]
mod tests;
