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
        // Some regions of AWS still say for scans and transactions which key has the value; the others say it of none.
        read.insert(key.clone(), Meaning::new(Attribute::read(value)?));
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

/// What expressions say of one item and make of it, and what is said of expressions that are wrong: tables of cases, and the law
/// that no text makes them panic.
#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::neighbours::tables::attribute::{Item, item_json, read_item};
    use crate::neighbours::tables::path::project;

    /// What stands in the item of every case.
    fn item() -> Item {
        read_item(&json!({
            "pk": {"S": "k"}, "n": {"N": "5"}, "t": {"S": "hällo"}, "e": {"S": ""}, "b": {"B": "AQID"},
            "ss": {"SS": ["a", "b"]}, "ns": {"NS": ["1", "2"]}, "bs": {"BS": ["AQ=="]}, "yes": {"BOOL": true}, "nil": {"NULL": true},
            "l": {"L": [{"N": "0"}, {"N": "1"}, {"N": "2"}, {"M": {"x": {"S": "y"}}}]},
            "m": {"M": {"in": {"N": "7"}, "deep": {"M": {"er": {"S": "z"}}}}},
        }))
        .unwrap()
    }

    /// Names and values that every case may use.
    fn placeholders() -> Placeholders {
        let names = json!({"#s": "status", "#in": "in", "#dot": "a.b"});
        let values = json!({
            ":five": {"N": "5"}, ":one": {"N": "1"}, ":six": {"N": "6.0"}, ":t": {"S": "hällo"}, ":he": {"S": "h"}, ":b": {"B": "AQ=="},
            ":ss": {"SS": ["b", "a"]}, ":two": {"SS": ["b", "c"]}, ":ns": {"NS": ["2", "3"]}, ":l": {"L": [{"N": "9"}]},
            ":m": {"M": {}}, ":true": {"BOOL": true}, ":null": {"NULL": true}, ":N": {"S": "N"}, ":X": {"S": "X"}, ":all": {"SS": ["a", "b"]},
        });
        Placeholders::read(Some(&names), Some(&values)).unwrap()
    }

    fn asked(text: &str) -> Result<bool, String> {
        condition::read("ConditionExpression", text, &placeholders()).map(|condition| condition.holds(&item()))
    }

    fn updated(text: &str) -> Result<Item, String> {
        update::read(text, &placeholders())?.apply(&item())
    }

    #[test]
    fn conditions_that_hold() {
        for text in [
            "n = :five",
            ":five = n",
            "n <> :one",
            "n <> :t",
            "absent <> :five",
            "absent <> another",
            "n < :six AND n <= :five AND n > :one AND n >= :five",
            "t = :t",
            "ss = :ss",
            "n BETWEEN :one AND :six",
            "n between :one and :five",
            "n IN (:one, :t, :five)",
            "attribute_exists(m.#in)",
            "attribute_exists (l[3].x)",
            "attribute_not_exists(l[4])",
            "attribute_type(n, :N)",
            "begins_with(t, :he)",
            "begins_with(b, :b)",
            "contains(t, :he)",
            "contains(ss, :he) OR contains(b, :b)",
            "contains(l, :one)",
            "contains(ns, :one)",
            "contains(bs, :b)",
            "size(t) = :five",
            "size(l) < :five",
            "size(:t) = n",
            "size(e) < :one",
            "NOT n = :one",
            "NOT (n = :one OR n = absent)",
            "not not n = :five",
            "n = :one OR n = :five AND t = :t",
            "(n) = (:five)",
            "(n = :five)",
            "((n = :five) AND (t = :t))",
            "m.#in > n",
            "(m).#in > n",
            "yes = :true and nil = :null",
        ] {
            assert_eq!(asked(text), Ok(true), "{text}");
        }
    }

    #[test]
    fn conditions_that_do_not() {
        for text in [
            "n = :one",
            "n = :t",
            "absent = :five",
            "absent = another",
            "absent < :five",
            "t < :five",
            "ss = :two",
            "absent BETWEEN :one AND :six",
            "absent IN (:one)",
            "attribute_exists(l[4])",
            "attribute_exists(#dot)",
            "attribute_not_exists(n)",
            "attribute_type(t, :N)",
            "attribute_type(absent, :N)",
            "begins_with(n, :he)",
            "begins_with(absent, :he)",
            "contains(n, :five)",
            "size(n) = :five",
            "size(absent) <= :five",
            "NOT n = :five",
            "(n = :one OR n = :five) AND t = :he",
        ] {
            assert_eq!(asked(text), Ok(false), "{text}");
        }
    }

    #[test]
    fn conditions_that_cannot_be_read() {
        let invalid = |wrong: &str| Err(format!("Invalid ConditionExpression: {wrong}"));
        for (text, wrong) in [
            ("", "The expression can not be empty;"),
            ("n", "Syntax error; token: \"<EOF>\", near: \"n\""),
            ("n =", "Syntax error; token: \"<EOF>\", near: \"=\""),
            ("n = = :five", "Syntax error; token: \"=\", near: \"= = :five\""),
            ("n = 5", "Syntax error; token: \"5\", near: \"= 5\""),
            ("n-m = :five", "Syntax error; token: \"-\", near: \"n-m\""),
            ("n = :five AND", "Syntax error; token: \"<EOF>\", near: \"AND\""),
            ("(n = :five", "Syntax error; token: \"<EOF>\", near: \":five\""),
            ("n = :five)", "Syntax error; token: \")\", near: \":five)\""),
            ("n ä :five", "Syntax error; token: \"ä\", near: \"n ä :five\""),
            ("between = :five", "Syntax error; token: \"between\", near: \"between =\""),
            ("n[x] = :five", "Syntax error; token: \"x\", near: \"[x]\""),
        ] {
            assert_eq!(asked(text), invalid(wrong), "{text}");
        }
    }

    #[test]
    fn conditions_that_are_wrong() {
        let invalid = |wrong: &str| Err(format!("Invalid ConditionExpression: {wrong}"));
        for (text, wrong) in [
            ("status = :five", "Attribute name is a reserved keyword; reserved keyword: status"),
            ("m.Status = :five", "Attribute name is a reserved keyword; reserved keyword: Status"),
            ("#x = :five", "An expression attribute name used in the document path is not defined; attribute name: #x"),
            ("n = :x", "An expression attribute value used in expression is not defined; attribute value: :x"),
            ("foo(n)", "Invalid function name; function: foo"),
            ("n = foo(n)", "Invalid function name; function: foo"),
            (
                "n = if_not_exists(n, :one)",
                "The function is not allowed in a condition expression; function: if_not_exists",
            ),
            (
                "n = attribute_exists(n)",
                "The function is not allowed to be used this way in an expression; function: attribute_exists",
            ),
            ("size(t)", "The function is not allowed to be used this way in an expression; function: size"),
            ("((n = :five))", "The expression has redundant parentheses;"),
            ("((n)) = :five", "The expression has redundant parentheses;"),
            ("n = ((:five))", "The expression has redundant parentheses;"),
            (
                "contains(n)",
                "Incorrect number of operands for operator or function; operator or function: contains, number of operands: 1",
            ),
            (
                "attribute_exists(:five)",
                "Operator or function requires a document path; operator or function: attribute_exists",
            ),
            (
                "begins_with(t, :five)",
                "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
            ),
            ("n < :ss", "Incorrect operand type for operator or function; operator or function: <, operand type: SS"),
            (
                "n BETWEEN :l AND :l",
                "Incorrect operand type for operator or function; operator or function: BETWEEN, operand type: L",
            ),
            (
                "size(:five) = n",
                "Incorrect operand type for operator or function; operator or function: size, operand type: N",
            ),
            (
                "attribute_type(n, :X)",
                "Invalid attribute type name found; type: X, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
            ),
            (
                "n = n",
                "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first \
                 operand: [n]",
            ),
            (
                "n BETWEEN :six AND :one",
                "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: \
                 AttributeValue: {N:6}, upper bound operand: AttributeValue: {N:1}",
            ),
            (
                "n BETWEEN :one AND :t",
                "The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: \
                 {N:1}, upper bound operand: AttributeValue: {S:hällo}",
            ),
        ] {
            assert_eq!(asked(text), invalid(wrong), "{text}");
        }
    }

    #[test]
    fn expressions_have_bounds() {
        let many = |count: usize| vec!["n=:one"; count].join(" OR ");
        assert_eq!(asked(&many(150)), Ok(false));
        assert!(asked(&many(151)).unwrap_err().contains("too many operators; operator count: 301"));
        let long = format!("n = {}:five", " ".repeat(4096));
        let size = long.len();
        assert!(asked(&long).unwrap_err().ends_with(&format!("maximum allowed size; expression size: {size}")));
        assert!(asked(&"(".repeat(4096)).is_err());
        assert!(asked(&format!("n = {}", "f(".repeat(2000))).is_err());
        assert!(asked(&format!("{} n = :five", "NOT ".repeat(1000))).is_err());
        assert!(asked(&format!("n IN ({})", vec![":one"; 101].join(","))).is_err());
        assert_eq!(asked(&format!("n IN ({})", vec![":one"; 100].join(","))), Ok(false));
        assert_eq!(asked(&format!("attribute_exists(n{})", ".x".repeat(31))), Ok(false));
        assert!(asked(&format!("attribute_exists(n{})", ".x".repeat(32))).unwrap_err().ends_with("nesting levels: 33"));
    }

    #[test]
    fn the_deepest_expression_leaves_room_on_the_stack() {
        let deepest = format!("n=:one{}{}", " OR (n=:one".repeat(149), ")".repeat(149));
        // Half of what threads have.
        let thread = std::thread::Builder::new().stack_size(1 << 20);
        let asked = thread.spawn(move || (asked(&deepest), asked(&"(".repeat(4000)), asked(&"NOT ".repeat(1000))));
        let (deepest, unclosed, not) = asked.unwrap().join().unwrap();
        assert_eq!(deepest, Ok(false));
        assert!(unclosed.is_err() && not.is_err());
    }

    /// The attributes that an update changes, with what they become.
    fn changes(text: &str) -> Value {
        let (before, after) = (item(), updated(text).unwrap());
        let mut changes: Item = after.into_iter().filter(|(name, value)| before.get(name) != Some(value)).collect();
        changes.remove("pk");
        item_json(&changes)
    }

    #[test]
    fn updates_read_the_item_as_it_was() {
        for (text, changed) in [
            ("SET n = n + :one", json!({"n": {"N": "6"}})),
            ("set n = n - :six, x = n", json!({"n": {"N": "-1"}, "x": {"N": "5"}})),
            ("SET n = (n + :one)", json!({"n": {"N": "6"}})),
            ("SET n = (n) + (:one)", json!({"n": {"N": "6"}})),
            ("SET x = if_not_exists(x, :one)", json!({"x": {"N": "1"}})),
            ("SET x = if_not_exists(x, :one) + :one", json!({"x": {"N": "2"}})),
            ("SET n = if_not_exists(n, :one)", json!({})),
            ("SET x = list_append(if_not_exists(x, :l), :l)", json!({"x": {"L": [{"N": "9"}, {"N": "9"}]}})),
            ("SET m.#in = :one", json!({"m": {"M": {"in": {"N": "1"}, "deep": {"M": {"er": {"S": "z"}}}}}})),
            ("SET #dot = :one", json!({"a.b": {"N": "1"}})),
            ("ADD n :one", json!({"n": {"N": "6"}})),
            ("ADD x :one, y :ss", json!({"x": {"N": "1"}, "y": {"SS": ["a", "b"]}})),
            ("ADD ss :two", json!({"ss": {"SS": ["a", "b", "c"]}})),
            ("DELETE ss :two", json!({"ss": {"SS": ["a"]}})),
            ("DELETE x :two", json!({})),
            ("DELETE ns :ns", json!({"ns": {"NS": ["1"]}})),
            (
                "SET l[9] = :five, l[7] = :one",
                json!({"l": {"L": [{"N": "0"}, {"N": "1"}, {"N": "2"}, {"M": {"x": {"S": "y"}}}, {"N": "1"}, {"N": "5"}]}}),
            ),
            (
                "ADD l[9] :ss, l[7] :one",
                json!({"l": {"L": [{"N": "0"}, {"N": "1"}, {"N": "2"}, {"M": {"x": {"S": "y"}}}, {"N": "1"}, {"SS": ["a", "b"]}]}}),
            ),
            ("REMOVE l[0], l[2] SET l[1] = :five", json!({"l": {"L": [{"N": "5"}, {"M": {"x": {"S": "y"}}}]}})),
            (
                "SET x = :one REMOVE t, l[17] ADD n :one DELETE ss :two",
                json!({"x": {"N": "1"}, "n": {"N": "6"}, "ss": {"SS": ["a"]}}),
            ),
        ] {
            assert_eq!(changes(text), changed, "{text}");
        }
    }

    #[test]
    fn what_is_removed_is_gone() {
        let gone = updated("REMOVE t, m.deep, absent DELETE ss :all").unwrap();
        assert!(!gone.contains_key("t"));
        assert!(!gone.contains_key("ss"), "an empty set is no set");
        assert_eq!(item_json(&gone)["m"], json!({"M": {"in": {"N": "7"}}}));
    }

    #[test]
    fn updates_that_an_item_does_not_allow() {
        let not_there = "The provided expression refers to an attribute that does not exist in the item";
        let wrong_type = "An operand in the update expression has an incorrect data type";
        let no_place = "The document path provided in the update expression is invalid for update";
        for (text, wrong) in [
            ("SET x = absent", not_there),
            ("SET x = absent + :one", not_there),
            ("SET x = l[9]", not_there),
            ("SET x = t + :one", wrong_type),
            ("SET x = list_append(t, :l)", wrong_type),
            ("ADD t :one", wrong_type),
            ("ADD ss :ns", wrong_type),
            ("DELETE ns :ss", wrong_type),
            ("SET absent.x = :one", no_place),
            ("SET t.x = :one", no_place),
            ("SET m[0] = :one", no_place),
            ("ADD absent.x :one", no_place),
            ("REMOVE absent.x", no_place),
        ] {
            assert_eq!(updated(text), Err(wrong.to_owned()), "{text}");
        }
    }

    #[test]
    fn updates_that_are_none() {
        for (text, wrong) in [
            ("n = :one", "Syntax error; token: \"n\", near: \"n =\""),
            ("SET", "Syntax error; token: \"<EOF>\", near: \"SET\""),
            ("SET n = :one,", "Syntax error; token: \"<EOF>\", near: \",\""),
            ("SET n = :one x", "Syntax error; token: \"x\", near: \":one x\""),
            ("SET n :one", "Syntax error; token: \":one\", near: \"n :one\""),
            ("ADD n n", "Syntax error; token: \"n\", near: \"n n\""),
            ("SET add = :one", "Syntax error; token: \"add\", near: \"SET add =\""),
            ("SET n = n + :one + :one", "Syntax error; token: \"+\", near: \":one + :one\""),
            ("SET n = :one SET t = :t", "The \"SET\" section can only be used once in an update expression;"),
            ("SET data = :one", "Attribute name is a reserved keyword; reserved keyword: data"),
            ("SET n = foo(n)", "Invalid function name; function: foo"),
            ("SET n = size(t)", "The function is not allowed in an update expression; function: size"),
            ("SET _n = :one", "Syntax error; token: \"_\", near: \"SET _n\""),
            ("SET l[99999999999] = :one", "List index is not within the allowable range; index: [99999999999]"),
            (
                "SET n = if_not_exists(n)",
                "Incorrect number of operands for operator or function; operator or function: if_not_exists, number of \
                 operands: 1",
            ),
            (
                "SET n = if_not_exists(:one, n)",
                "Operator or function requires a document path; operator or function: if_not_exists",
            ),
            (
                "SET n = n + :t",
                "Incorrect operand type for operator or function; operator or function: +, operand type: S",
            ),
            (
                "SET l = list_append(l, :one)",
                "Incorrect operand type for operator or function; operator or function: list_append, operand type: N",
            ),
            ("ADD n :t", "Incorrect operand type for operator or function; operator: ADD, operand type: STRING"),
            (
                "DELETE n :one",
                "Incorrect operand type for operator or function; operator: DELETE, operand type: NUMBER",
            ),
            (
                "SET m.x = :one REMOVE m",
                "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [m, x], path \
                 two: [m]",
            ),
            (
                "REMOVE m[1] SET m.x = :one",
                "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [m, [1]], path \
                 two: [m, x]",
            ),
            (
                "SET m.x = :one, m[1] = :one",
                "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [m, x], path \
                 two: [m, [1]]",
            ),
        ] {
            assert_eq!(updated(text), Err(format!("Invalid UpdateExpression: {wrong}")), "{text}");
        }
    }

    #[test]
    fn projections_take_what_is_there() {
        let projected =
            |text: &str| projection::read(text, &placeholders()).map(|paths| item_json(&project(&item(), &paths)));
        assert_eq!(
            projected("n, l[1], m.deep.er, absent, l[3]"),
            Ok(json!({
                "n": {"N": "5"}, "l": {"L": [{"N": "1"}, {"M": {"x": {"S": "y"}}}]}, "m": {"M": {"deep": {"M": {"er": {"S": "z"}}}}},
            }))
        );
        for (text, wrong) in [
            ("n,", "Syntax error; token: \"<EOF>\", near: \",\""),
            ("n m", "Syntax error; token: \"m\", near: \"n m\""),
            ("status", "Attribute name is a reserved keyword; reserved keyword: status"),
            (
                "n, m, m.x",
                "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [m], path two: \
                 [m, x]",
            ),
        ] {
            assert_eq!(projected(text), Err(format!("Invalid ProjectionExpression: {wrong}")), "{text}");
        }
    }

    #[test]
    fn key_conditions_ask_each_key_once() {
        let read = |text: &str| key_condition::asked(key_condition::read(text, &placeholders())?);
        let both = read("(pk = :t) AND (:one < sk)").unwrap();
        assert_eq!(both.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["pk", "sk"]);
        assert!(both[1].1.holds(&Attribute::N("2".parse().unwrap())));
        assert!(!both[1].1.holds(&Attribute::N("1".parse().unwrap())));
        for (text, wrong) in [
            ("pk = :t OR sk = :one", "Invalid operator used in KeyConditionExpression: OR"),
            ("NOT pk = :t", "Invalid operator used in KeyConditionExpression: NOT"),
            ("pk <> :t", "Invalid operator used in KeyConditionExpression: <>"),
            ("pk IN (:t)", "Invalid operator used in KeyConditionExpression: IN"),
            ("attribute_exists(pk)", "Invalid operator used in KeyConditionExpression: attribute_exists"),
            ("size(pk) = :one", "KeyConditionExpressions cannot contain nested operations"),
            ("pk.a = :t", "KeyConditionExpressions cannot have conditions on nested attributes"),
            ("pk = sk", "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition"),
            (":t = :he", "Invalid condition in KeyConditionExpression: No key attribute specified"),
            (
                "pk = :t AND pk = :he",
                "Invalid KeyConditionExpression: KeyConditionExpressions must only contain one condition per key",
            ),
            (
                "begins_with(:t, pk)",
                "Invalid condition in KeyConditionExpression: begins_with operator must have the key attribute as its first \
                 operand",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), wrong, "{text}");
        }
    }

    #[test]
    fn placeholders_are_checked_and_must_all_be_used() {
        let read = |names: Value, values: Value| Placeholders::read(Some(&names), Some(&values)).map(drop).unwrap_err();
        assert_eq!(read(json!({}), json!({":a": {"N": "1"}})), "ExpressionAttributeNames must not be empty");
        assert_eq!(
            read(json!({"a": "b"}), json!({":a": {"N": "1"}})),
            "ExpressionAttributeNames contains invalid key: Syntax error; key: \"a\""
        );
        assert_eq!(
            read(json!({"#a": "b"}), json!({":a": {"N": "x"}})),
            "The parameter cannot be converted to a numeric value: x"
        );
        let (names, values) = (json!({"#a": "a", "#b": "b"}), json!({":a": {"N": "1"}, ":b": {"N": "1"}}));
        let placeholders = Placeholders::read(Some(&names), Some(&values)).unwrap();
        condition::read("ConditionExpression", "#b = :a", &placeholders).unwrap();
        assert_eq!(
            placeholders.check_used().unwrap_err(),
            "Value provided in ExpressionAttributeNames unused in expressions: keys: {#a}"
        );
        projection::read("#a", &placeholders).unwrap();
        assert_eq!(
            placeholders.check_used().unwrap_err(),
            "Value provided in ExpressionAttributeValues unused in expressions: keys: {:b}"
        );
    }

    /// Pieces that expressions are made of, so that arbitrary ones are nearly right often enough.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "n",
            "#s",
            ":one",
            ":ss",
            "(",
            ")",
            "[",
            "]",
            "0",
            ".",
            ",",
            "=",
            "<>",
            "<",
            ">=",
            "+",
            "-",
            "AND",
            "OR",
            "NOT",
            "BETWEEN",
            "IN",
            "SET",
            "REMOVE",
            "ADD",
            "DELETE",
            "size",
            "contains",
            "if_not_exists",
            "attribute_exists",
            "ä",
        ]);
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.join(" "))
    }

    proptest! {
        #[test]
        fn no_text_makes_an_expression_panic(text in prop_oneof![pieces(), ".{0,40}"]) {
            let (item, placeholders) = (item(), placeholders());
            if let Ok(condition) = condition::read("ConditionExpression", &text, &placeholders) {
                condition.holds(&item);
            }
            if let Ok(update) = update::read(&text, &placeholders) {
                let _ = update.apply(&item);
            }
            if let Ok(paths) = projection::read(&text, &placeholders) {
                project(&item, &paths);
            }
            let _ = key_condition::read(&text, &placeholders).and_then(key_condition::asked);
        }
    }
}
