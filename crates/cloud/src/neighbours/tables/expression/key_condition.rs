//! Key conditions: what a query asks of the keys, one condition for each. They are written as other conditions are, and of those
//! only a few kinds are allowed; which attributes are keys is not known here.

use super::Placeholders;
use super::condition::{self, Comparator, Condition, Operand, order};
use crate::neighbours::tables::attribute::Attribute;
use crate::neighbours::tables::path::Path;

/// What is asked of one key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked {
    /// Compared with a value; never unequal.
    Compare(Comparator, Attribute),
    /// Not less than one and not more than the other.
    Between(Attribute, Attribute),
    /// Begins so.
    BeginsWith(Attribute),
    /// What the older way of asking can say, and no key answers.
    Unindexable,
}

impl Asked {
    /// The values it names.
    pub(crate) fn values(&self) -> Vec<&Attribute> {
        match self {
            Self::Compare(_, value) | Self::BeginsWith(value) => vec![value],
            Self::Between(low, high) => vec![low, high],
            Self::Unindexable => Vec::new(),
        }
    }

    /// The value that the key must be equal to, if that is what is asked.
    pub(crate) fn equal(&self) -> Option<&Attribute> {
        match self {
            Self::Compare(Comparator::Equal, value) => Some(value),
            _ => None,
        }
    }

    /// Whether a key is as asked.
    pub(crate) fn holds(&self, key: &Attribute) -> bool {
        let order = |value: &Attribute| order(key, value);
        match self {
            Self::Compare(comparator, value) => match comparator {
                Comparator::Equal => key == value,
                Comparator::Unequal => key != value,
                Comparator::Less => order(value).is_some_and(std::cmp::Ordering::is_lt),
                Comparator::LessOrEqual => order(value).is_some_and(std::cmp::Ordering::is_le),
                Comparator::Greater => order(value).is_some_and(std::cmp::Ordering::is_gt),
                Comparator::GreaterOrEqual => order(value).is_some_and(std::cmp::Ordering::is_ge),
            },
            Self::Between(low, high) => {
                order(low).is_some_and(std::cmp::Ordering::is_ge) && order(high).is_some_and(std::cmp::Ordering::is_le)
            }
            Self::BeginsWith(prefix) => condition::begins_with(key, prefix),
            Self::Unindexable => false,
        }
    }
}

const NAME: &str = "KeyConditionExpression";

/// Reads the condition, which may still be none that keys answer.
pub(crate) fn read(text: &str, placeholders: &Placeholders) -> Result<Condition, String> {
    condition::read(NAME, text, placeholders)
}

/// What it asks of each attribute.
pub(crate) fn asked(condition: Condition) -> Result<Vec<(String, Asked)>, String> {
    let mut asked = Vec::new();
    collect(condition, &mut asked)?;
    Ok(asked)
}

fn collect(condition: Condition, into: &mut Vec<(String, Asked)>) -> Result<(), String> {
    if let Condition::And(all) = condition {
        return all.into_iter().try_for_each(|one| collect(one, into));
    }
    let (name, asked) = single(condition)?;
    if into.iter().any(|(known, _)| *known == name) {
        return Err(format!("Invalid {NAME}: {NAME}s must only contain one condition per key"));
    }
    into.push((name, asked));
    Ok(())
}

fn single(condition: Condition) -> Result<(String, Asked), String> {
    let operator = |name: &str| Err(format!("Invalid operator used in {NAME}: {name}"));
    match condition {
        Condition::Or(_) => operator("OR"),
        Condition::Not(_) => operator("NOT"),
        Condition::In(..) => operator("IN"),
        Condition::Exists(_) => operator("attribute_exists"),
        Condition::NotExists(_) => operator("attribute_not_exists"),
        Condition::HasType(..) => operator("attribute_type"),
        Condition::Contains(..) => operator("contains"),
        Condition::Compare(Comparator::Unequal, ..) => operator("<>"),
        Condition::Compare(comparator, Operand::Value(value), key) => {
            Ok((key_name(key)?, Asked::Compare(comparator.mirrored(), value)))
        }
        Condition::Compare(comparator, key, value) => {
            Ok((key_name(key)?, Asked::Compare(comparator, key_value(value)?)))
        }
        Condition::Between(key, low, high) => {
            first_operand(&key, "BETWEEN")?;
            Ok((key_name(key)?, Asked::Between(key_value(low)?, key_value(high)?)))
        }
        Condition::BeginsWith(key, prefix) => {
            first_operand(&key, "begins_with")?;
            Ok((key_name(key)?, Asked::BeginsWith(key_value(prefix)?)))
        }
        // Reading leaves none within another.
        Condition::And(_) => operator("AND"),
    }
}

fn first_operand(operand: &Operand, operator: &str) -> Result<(), String> {
    match operand {
        Operand::Value(_) => {
            let wrong = "operator must have the key attribute as its first operand";
            Err(format!("Invalid condition in {NAME}: {operator} {wrong}"))
        }
        _ => Ok(()),
    }
}

fn key_name(operand: Operand) -> Result<String, String> {
    match operand {
        Operand::Path(Path { root, steps }) if steps.is_empty() => Ok(root),
        Operand::Path(_) => Err(format!("{NAME}s cannot have conditions on nested attributes")),
        Operand::Size(_) => Err(format!("{NAME}s cannot contain nested operations")),
        Operand::Value(_) => Err(format!("Invalid condition in {NAME}: No key attribute specified")),
    }
}

fn key_value(operand: Operand) -> Result<Attribute, String> {
    match operand {
        Operand::Value(value) => Ok(value),
        Operand::Size(_) => Err(format!("{NAME}s cannot contain nested operations")),
        Operand::Path(_) => Err(format!("Invalid condition in {NAME}: Multiple attribute names used in one condition")),
    }
}
