//! The parameters of before there were expressions, turned into what expressions are turned into: `Expected`, `AttributeUpdates`,
//! `KeyConditions`, the two filters and `AttributesToGet`. Older clients send nothing else.

use serde_json::{Map, Value};

use super::attribute::{Attribute, Type, is_too_long_a_name, too_long_a_name};
use super::expression::condition::{Comparator, Condition, Operand, order};
use super::expression::key_condition::Asked;
use super::expression::update::{Source, Update};
use super::path::Path;

const INVALID: &str = "One or more parameter values were invalid:";

/// The attributes to get, each once.
pub(crate) fn attributes_to_get(names: &[&str]) -> Result<Vec<Path>, String> {
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(format!("{INVALID} Empty attribute name"));
        }
        if is_too_long_a_name(name) {
            return Err(too_long_a_name());
        }
        if names[..index].contains(name) {
            return Err(format!("{INVALID} Duplicate value in attribute name: {name}"));
        }
    }
    Ok(names.iter().map(|name| Path::of(*name)).collect())
}

/// What an item is expected to be.
pub(crate) fn expected(expected: Option<&Value>, operator: Option<&str>) -> Result<Option<Condition>, String> {
    let empty = Map::new();
    let all = expected.and_then(Value::as_object).unwrap_or(&empty);
    let conditions = all.iter().map(|(name, of)| expectation(name, of)).collect::<Result<Vec<_>, _>>()?;
    join(conditions, operator)
}

/// Whether all or any must hold; nothing where there is nothing to hold.
fn join(mut conditions: Vec<Condition>, operator: Option<&str>) -> Result<Option<Condition>, String> {
    match (conditions.len(), operator) {
        (0, Some(_)) => Err("ConditionalOperator cannot be used without Filter or Expected".to_owned()),
        (1, Some(_)) => {
            Err("ConditionalOperator can only be used when Filter or Expected has two or more elements".to_owned())
        }
        (0 | 1, None) => Ok(conditions.pop()),
        (_, Some("OR")) => Ok(Some(Condition::Or(conditions))),
        _ => Ok(Some(Condition::And(conditions))),
    }
}

fn expectation(name: &str, of: &Value) -> Result<Condition, String> {
    let value = of.get("Value").map(Attribute::read).transpose()?;
    let list = list(of)?;
    let exists = of.get("Exists").and_then(Value::as_bool);
    if value.is_some() && list.is_some() {
        return Err(format!("{INVALID} Value and AttributeValueList cannot be used together for Attribute: {name}"));
    }
    let Some(operator) = of.get("ComparisonOperator").and_then(Value::as_str) else {
        return match (exists.unwrap_or(true), value) {
            _ if list.is_some() => Err(format!(
                "{INVALID} AttributeValueList can only be used with a ComparisonOperator for Attribute: {name}"
            )),
            (true, Some(value)) => Ok(compare(name, Comparator::Equal, value)),
            (true, None) => {
                let exists = exists.map_or("null", |_| "true");
                Err(format!("{INVALID} Value must be provided when Exists is {exists} for Attribute: {name}"))
            }
            (false, Some(_)) => {
                Err(format!("{INVALID} Value cannot be used when Exists is false for Attribute: {name}"))
            }
            (false, None) => Ok(Condition::NotExists(Path::of(name))),
        };
    };
    if exists.is_some() {
        return Err(format!("{INVALID} Exists and ComparisonOperator cannot be used together for Attribute: {name}"));
    }
    let is_alone = ["NULL", "NOT_NULL"].contains(&operator);
    if !is_alone && value.is_none() && list.is_none() {
        return Err(format!(
            "{INVALID} Value or AttributeValueList must be used with ComparisonOperator: {operator} for Attribute: {name}"
        ));
    }
    let values = list.unwrap_or_else(|| value.into_iter().collect());
    condition(name, operator, values)
}

fn list(of: &Value) -> Result<Option<Vec<Attribute>>, String> {
    let list = of.get("AttributeValueList").and_then(Value::as_array);
    list.map(|list| list.iter().map(Attribute::read).collect()).transpose()
}

fn compare(name: &str, comparator: Comparator, value: Attribute) -> Condition {
    Condition::Compare(comparator, Operand::Path(Path::of(name)), Operand::Value(value))
}

/// The comparator that an older operator names.
fn comparator(operator: &str) -> Option<Comparator> {
    match operator {
        "EQ" => Some(Comparator::Equal),
        "NE" => Some(Comparator::Unequal),
        "LT" => Some(Comparator::Less),
        "LE" => Some(Comparator::LessOrEqual),
        "GT" => Some(Comparator::Greater),
        "GE" => Some(Comparator::GreaterOrEqual),
        _ => None,
    }
}

/// Whether an operator takes so many values of these types.
fn check(operator: &str, values: &[Attribute]) -> Result<(), String> {
    let counts = match operator {
        "NULL" | "NOT_NULL" => 0..=0,
        "BETWEEN" => 2..=2,
        "IN" => 1..=usize::MAX,
        _ => 1..=1,
    };
    if !counts.contains(&values.len()) {
        return Err(format!("{INVALID} Invalid number of argument(s) for the {operator} ComparisonOperator"));
    }
    if values.windows(2).any(|two| two[0].kind() != two[1].kind()) {
        return Err(format!("{INVALID} AttributeValues inside AttributeValueList must be of same type"));
    }
    let takes = |kind: Type| match operator {
        "EQ" | "NE" => true,
        "BEGINS_WITH" => matches!(kind, Type::S | Type::B),
        _ => matches!(kind, Type::S | Type::N | Type::B),
    };
    if let Some(value) = values.iter().find(|value| !takes(value.kind())) {
        return Err(format!(
            "{INVALID} ComparisonOperator {operator} is not valid for {} AttributeValue type",
            value.kind().name()
        ));
    }
    if operator == "BETWEEN" && order(&values[0], &values[1]).is_some_and(std::cmp::Ordering::is_gt) {
        return Err("The BETWEEN condition was provided a range where the lower bound is greater than the upper bound"
            .to_owned());
    }
    Ok(())
}

fn condition(name: &str, operator: &str, values: Vec<Attribute>) -> Result<Condition, String> {
    check(operator, &values)?;
    let path = || Operand::Path(Path::of(name));
    let mut values = values.into_iter();
    Ok(match (operator, comparator(operator), values.next(), values.next()) {
        (_, Some(comparator), Some(value), None) => compare(name, comparator, value),
        ("NULL", ..) => Condition::NotExists(Path::of(name)),
        ("NOT_NULL", ..) => Condition::Exists(Path::of(name)),
        ("BEGINS_WITH", _, Some(prefix), _) => Condition::BeginsWith(path(), Operand::Value(prefix)),
        ("CONTAINS", _, Some(part), _) => Condition::Contains(path(), Operand::Value(part)),
        // What is not there does not lack it either.
        ("NOT_CONTAINS", _, Some(part), _) => {
            let contains = Condition::Contains(path(), Operand::Value(part));
            Condition::And(vec![Condition::Exists(Path::of(name)), Condition::Not(Box::new(contains))])
        }
        ("BETWEEN", _, Some(low), Some(high)) => Condition::Between(path(), Operand::Value(low), Operand::Value(high)),
        ("IN", _, first, second) => {
            let all = first.into_iter().chain(second).chain(values);
            Condition::In(path(), all.map(Operand::Value).collect())
        }
        _ => return Err(format!("{INVALID} Unknown ComparisonOperator: {operator}")),
    })
}

/// A filter of before there were expressions, and the attributes that it is about.
pub(crate) fn filter(filter: Option<&Value>, operator: Option<&str>) -> Result<Option<Condition>, String> {
    let empty = Map::new();
    let all = filter.and_then(Value::as_object).unwrap_or(&empty);
    let conditions = all.iter().map(|(name, of)| {
        let operator = of.get("ComparisonOperator").and_then(Value::as_str).unwrap_or_default();
        condition(name, operator, list(of)?.unwrap_or_default())
    });
    join(conditions.collect::<Result<Vec<_>, _>>()?, operator)
}

/// What is asked of each key.
pub(crate) fn key_conditions(conditions: &Value) -> Result<Vec<(String, Asked)>, String> {
    let empty = Map::new();
    let all = conditions.as_object().unwrap_or(&empty);
    let asked = all.iter().map(|(name, of)| {
        let operator = of.get("ComparisonOperator").and_then(Value::as_str).unwrap_or_default();
        let values = list(of)?.unwrap_or_default();
        check(operator, &values)?;
        let mut values = values.into_iter();
        let asked = match (operator, comparator(operator), values.next(), values.next()) {
            ("NE", ..) => Asked::Unindexable,
            (_, Some(comparator), Some(value), None) => Asked::Compare(comparator, value),
            ("BEGINS_WITH", _, Some(prefix), _) => Asked::BeginsWith(prefix),
            ("BETWEEN", _, Some(low), Some(high)) => Asked::Between(low, high),
            _ => Asked::Unindexable,
        };
        Ok((name.clone(), asked))
    });
    asked.collect()
}

/// What becomes of the attributes of an item.
pub(crate) fn attribute_updates(updates: &Value) -> Result<Update, String> {
    let mut update = Update { is_older: true, ..Update::default() };
    for (name, of) in updates.as_object().into_iter().flatten() {
        if name.is_empty() {
            return Err(format!("{INVALID} Empty attribute name"));
        }
        if is_too_long_a_name(name) {
            return Err(too_long_a_name());
        }
        let value = of.get("Value").map(Attribute::read).transpose()?;
        let action = of.get("Action").and_then(Value::as_str).unwrap_or("PUT");
        let path = Path::of(name.as_str());
        match (action, value) {
            ("PUT", Some(value)) => update.set.push((path, Source::Value(value))),
            ("DELETE", None) => update.remove.push(path),
            ("DELETE", Some(value)) if value.kind().is_set() => update.delete.push((path, value)),
            ("DELETE", Some(value)) => {
                return Err(format!(
                    "{INVALID} DELETE action with value is not supported for the type {}",
                    value.kind().name()
                ));
            }
            ("ADD", Some(value)) if value.kind().is_set() || matches!(value.kind(), Type::N | Type::L) => {
                update.add.push((path, value));
            }
            ("ADD", Some(value)) => {
                return Err(format!("{INVALID} ADD action is not supported for the type {}", value.kind().name()));
            }
            (_, None) => {
                return Err(format!("{INVALID} Only DELETE action is allowed when no attribute value is specified"));
            }
            (other, Some(_)) => return Err(format!("{INVALID} Unknown action: {other}")),
        }
    }
    Ok(update)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::attribute::{item_json, read_item};
    use super::*;

    #[test]
    fn what_is_expected_holds_or_not() {
        let item = read_item(&json!({"n": {"N": "5"}, "s": {"S": "abc"}, "l": {"SS": ["x"]}})).unwrap();
        let holds = |of: Value, operator: Option<&str>| {
            expected(Some(&of), operator).map(|condition| condition.is_none_or(|condition| condition.holds(&item)))
        };
        let one = |operator: &str, values: Value| {
            holds(json!({"n": {"ComparisonOperator": operator, "AttributeValueList": values}}), None)
        };
        assert_eq!(holds(json!({}), None), Ok(true));
        assert_eq!(holds(json!({"n": {"Value": {"N": "5"}}}), None), Ok(true));
        assert_eq!(holds(json!({"n": {"Exists": false}}), None), Ok(false));
        assert_eq!(holds(json!({"x": {"Exists": false}}), None), Ok(true));
        assert_eq!(one("GT", json!([{"N": "4"}])), Ok(true));
        assert_eq!(one("BETWEEN", json!([{"N": "6"}, {"N": "7"}])), Ok(false));
        assert_eq!(one("IN", json!([{"N": "6"}, {"N": "5"}, {"N": "4"}])), Ok(true));
        let two = json!({"n": {"Value": {"N": "6"}}, "s": {"Value": {"S": "abc"}}});
        assert_eq!(holds(two.clone(), Some("OR")), Ok(true));
        assert_eq!(holds(two, None), Ok(false));
        let lacks = json!({"x": {"ComparisonOperator": "NOT_CONTAINS", "AttributeValueList": [{"S": "a"}]}});
        assert_eq!(holds(lacks, None), Ok(false));
        for (operator, values, wrong) in [
            ("EQ", json!([]), "Invalid number of argument(s) for the EQ ComparisonOperator"),
            ("IN", json!([{"N": "1"}, {"S": "a"}]), "AttributeValues inside AttributeValueList must be of same type"),
            ("LT", json!([{"SS": ["a"]}]), "ComparisonOperator LT is not valid for SS AttributeValue type"),
        ] {
            assert_eq!(one(operator, values), Err(format!("{INVALID} {wrong}")));
        }
        assert!(holds(json!({"n": {}}), None).unwrap_err().ends_with("Exists is null for Attribute: n"));
        assert!(holds(json!({}), Some("OR")).unwrap_err().starts_with("ConditionalOperator cannot be used"));
    }

    #[test]
    fn updates_of_whole_attributes() {
        let before =
            read_item(&json!({"pk": {"S": "k"}, "n": {"N": "5"}, "l": {"L": []}, "ss": {"SS": ["a"]}})).unwrap();
        let updates = json!({
            "n": {"Action": "ADD", "Value": {"N": "1"}}, "l": {"Action": "ADD", "Value": {"L": [{"N": "1"}]}},
            "ss": {"Action": "DELETE", "Value": {"SS": ["a"]}}, "x": {"Value": {"S": "y"}}, "gone": {"Action": "DELETE"},
        });
        let after = attribute_updates(&updates).unwrap().apply(&before).unwrap();
        let expected = json!({"pk": {"S": "k"}, "n": {"N": "6"}, "l": {"L": [{"N": "1"}]}, "x": {"S": "y"}});
        assert_eq!(item_json(&after), expected);
        let mismatch = json!({"pk": {"Action": "ADD", "Value": {"N": "1"}}});
        let wrong = attribute_updates(&mismatch).unwrap().apply(&before).unwrap_err();
        assert_eq!(wrong, "Type mismatch for attribute to update");
    }
}
