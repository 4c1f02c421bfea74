//! The constraints of the model, in the words of AWS. Whether names exist and states allow something is unknown
//! here.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{PoisonError, RwLock};

use regex::Regex;
use serde_json::{Map, Number, Value};

use crate::document::Input;
use crate::model::{Bounds, Member, Operation, Pattern, Place, Range, Shape, Text};
use crate::refusal::Refusal;
use crate::service_of;

/// How many errors are counted; nobody reads more, and a body can hold very many.
/// unconfirmed: that AWS counts only so many.
const MOST_ERRORS: usize = 10;

/// Services that tell members with a small letter first, though they have a great one.
/// unconfirmed: that no other does.
const LOWERED: [&str; 2] = ["dynamodb", "lambda"];

/// The longest value, in characters, that a message repeats.
const LONGEST_ECHO: usize = 256;

/// Refuses an input that is not what the model of its operation asks for.
pub(crate) fn validate(operation: &'static Operation, input: &Input) -> Result<(), Refusal> {
    let mut check = Check { is_lowered: LOWERED.contains(&operation.service), ..Check::default() };
    check.members(operation.input, &input.fields);
    if check.errors.is_empty() {
        return Ok(());
    }
    if let [only] = check.errors.as_slice()
        && let Some(refusal) = unknown_runtime(operation, only)
    {
        return Err(refusal);
    }
    let count = check.errors.len();
    let errors = if count == 1 { "error" } else { "errors" };
    let message = format!("{count} validation {errors} detected: {}", check.errors.join("; "));
    // Younger operations have a name of their own for this.
    let raises = |error| operation.errors.contains(&error);
    if raises("ValidationException") && !raises("InvalidRequestException") {
        return Err(Refusal::new("ValidationException", message));
    }
    Err(Refusal::new(service_of(operation).invalid, message))
}

/// Lambda looks at runtimes after all else, and refuses those that there are not in words of its own.
fn unknown_runtime(operation: &Operation, error: &str) -> Option<Refusal> {
    let is_one = operation.service == "lambda" && error.contains(" at 'runtime' ");
    let message = is_one.then(|| format!("{} or be a valid ARN", error.replacen('\'', "", 2)))?;
    Some(Refusal::new("InvalidParameterValueException", message).with("Type", "User"))
}

/// A walk through a document beside its shape.
#[derive(Default)]
struct Check {
    /// Where the walk is, as AWS writes it: `tags.1.member.Key`.
    path: String,
    /// Whether members are told with a small letter first.
    is_lowered: bool,
    errors: Vec<String>,
}

impl Check {
    fn members(&mut self, members: &'static [Member], fields: &Map<String, Value>) {
        for member in members {
            match fields.get(member.key) {
                Some(value) => self.at(member, |check| check.value(member.shape, value)),
                // The body as it is may be empty, and is no field.
                None if matches!((member.place, member.shape), (Place::Payload, Shape::Blob(_))) => {}
                None if member.required => self.at(member, Self::null),
                None => {}
            }
        }
    }

    fn value(&mut self, shape: &'static Shape, value: &Value) {
        match (shape, value) {
            (_, Value::Null) => self.null(),
            (Shape::Structure(members), Value::Object(fields)) => self.members(members, fields),
            (Shape::List(of, bounds), Value::Array(list)) => {
                let echo = if self.is_lowered && list.is_empty() { " '[]'" } else { "" };
                self.refuse(echo, length(list.len(), *bounds));
                for (index, value) in list.iter().enumerate() {
                    if self.errors.len() >= MOST_ERRORS {
                        break;
                    }
                    self.under(&format!("{}.member", index + 1), |check| check.value(of, value));
                }
            }
            (Shape::Map(keys, values, bounds), Value::Object(map)) => {
                self.refuse("", length(map.len(), *bounds));
                for (key, value) in map {
                    if self.errors.len() >= MOST_ERRORS {
                        break;
                    }
                    self.entry(keys, values, key, value);
                }
            }
            _ => {
                let broken = scalar(shape, value);
                if !broken.is_empty() {
                    let echo = echo(shape, value).map(|text| format!(" '{text}'"));
                    self.refuse(&echo.unwrap_or_default(), broken);
                }
            }
        }
    }

    /// unconfirmed: keys, and values without members, have their errors told at the map; other values at a place of their own.
    fn entry(&mut self, keys: &'static Shape, values: &'static Shape, key: &str, value: &Value) {
        let key_value = Value::from(key);
        let echo = match (echo(keys, &key_value), echo(values, value)) {
            (Some(key), Some(value)) => format!(" '{{{key}={value}}}'"),
            _ => String::new(),
        };
        let mut together = |what: &str, broken: Vec<String>| {
            if !broken.is_empty() {
                let all = broken.join(", ");
                self.refuse(&echo, vec![format!("{what} must satisfy constraint: [{all}]")]);
            }
        };
        together("Map keys", scalar(keys, &key_value));
        match values {
            Shape::Structure(_) | Shape::List(..) | Shape::Map(..) => {
                let short: String = key.chars().take(LONGEST_ECHO).collect();
                self.under(&format!("{short}.member"), |check| check.value(values, value));
            }
            _ if value.is_null() => together("Map value", vec!["Member must not be null".to_owned()]),
            _ => together("Map value", scalar(values, value)),
        }
    }

    fn null(&mut self) {
        self.refuse(" null", vec!["Member must not be null".to_owned()]);
    }

    fn at(&mut self, member: &'static Member, then: impl FnOnce(&mut Self)) {
        let mut letters = member.key.chars();
        match letters.next().filter(|_| self.is_lowered) {
            Some(first) => {
                let name: String = first.to_lowercase().chain(letters).collect();
                self.under(&name, then);
            }
            None => self.under(member.key, then),
        }
    }

    fn under(&mut self, name: &str, then: impl FnOnce(&mut Self)) {
        let before = self.path.len();
        if before > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        then(self);
        self.path.truncate(before);
    }

    fn refuse(&mut self, echo: &str, broken: Vec<String>) {
        for constraint in broken {
            if self.errors.len() < MOST_ERRORS {
                self.errors.push(format!("Value{echo} at '{}' failed to satisfy constraint: {constraint}", self.path));
            }
        }
    }
}

/// The constraints that a value without members breaks, in the order in which AWS tells them. A value of another
/// kind than its shape breaks none: binding has refused it.
fn scalar(shape: &Shape, value: &Value) -> Vec<String> {
    match (shape, value) {
        (Shape::Text(text), Value::String(value)) => broken_text(text, value),
        (Shape::Integer(bounds), Value::Number(number)) => broken_integer(number, *bounds),
        (Shape::Double(range), Value::Number(number)) => broken_double(number, *range),
        (Shape::Blob(bounds), Value::String(base64)) => length(decoded_length(base64), *bounds),
        _ => Vec::new(),
    }
}

fn broken_text(text: &Text, value: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if let Some(pattern) = &text.pattern
        && !matches(pattern, value)
    {
        broken.push(format!("Member must satisfy regular expression pattern: {}", pattern.written));
    }
    if text.length.min.is_some() || text.length.max.is_some() {
        broken.extend(length(value.chars().count(), text.length));
    }
    if !text.values.is_empty() && !text.values.contains(&value) {
        broken.push(format!("Member must satisfy enum value set: [{}]", text.values.join(", ")));
    }
    broken
}

fn broken_integer(number: &Number, bounds: Bounds) -> Vec<String> {
    // Binding leaves only what fits; should more come, it is above every bound.
    let number = number.as_i64().unwrap_or(i64::MAX);
    let low = bounds.min.filter(|min| number < *min);
    let high = bounds.max.filter(|max| number > *max);
    outside(low, high)
}

fn broken_double(number: &Number, range: Range) -> Vec<String> {
    let number = number.as_f64().unwrap_or_default();
    let low = range.min.filter(|min| number < *min);
    let high = range.max.filter(|max| number > *max);
    outside(low, high)
}

/// What is said of a number below the least or above the most.
fn outside<N: Display>(low: Option<N>, high: Option<N>) -> Vec<String> {
    let low = low.map(|min| format!("Member must have value greater than or equal to {min}"));
    let high = high.map(|max| format!("Member must have value less than or equal to {max}"));
    low.into_iter().chain(high).collect()
}

fn length(length: usize, bounds: Bounds) -> Vec<String> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let low = bounds.min.filter(|min| length < *min);
    let high = bounds.max.filter(|max| length > *max);
    let low = low.map(|min| format!("Member must have length greater than or equal to {min}"));
    let high = high.map(|max| format!("Member must have length less than or equal to {max}"));
    low.into_iter().chain(high).collect()
}

/// How many bytes sound base64 stands for.
fn decoded_length(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

/// A value as a message repeats it: not if it is secret, long or has members. Then AWS leaves it out, as here.
fn echo(shape: &Shape, value: &Value) -> Option<String> {
    match (shape, value) {
        (Shape::Text(text), Value::String(value)) if !text.sensitive => {
            value.chars().nth(LONGEST_ECHO).is_none().then(|| value.clone())
        }
        (Shape::Integer(_) | Shape::Double(_), Value::Number(number)) => Some(number.to_string()),
        (Shape::Boolean, Value::Bool(value)) => Some(value.to_string()),
        _ => None,
    }
}

/// Whether the whole of `text` matches. A pattern is compiled when it is first used, and once; there are only as
/// many as in the models.
fn matches(pattern: &Pattern, text: &str) -> bool {
    static COMPILED: RwLock<Option<HashMap<&'static str, Option<Regex>>>> = RwLock::new(None);
    let compiled = COMPILED.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(regex) = compiled.as_ref().and_then(|of| of.get(pattern.regex)) {
        return regex.as_ref().is_some_and(|regex| regex.is_match(text));
    }
    drop(compiled);
    // One that does not compile matches nothing; a test makes sure that there is none.
    let regex = Regex::new(pattern.regex).ok();
    let matches = regex.as_ref().is_some_and(|regex| regex.is_match(text));
    let mut compiled = COMPILED.write().unwrap_or_else(PoisonError::into_inner);
    compiled.get_or_insert_default().insert(pattern.regex, regex);
    matches
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::SERVICES;

    fn operation(name: &str) -> &'static Operation {
        let all = SERVICES.iter().flat_map(|service| service.operations);
        all.into_iter().find(|operation| operation.name == name).unwrap()
    }

    /// What is wrong with an input, without the words that open the message.
    fn errors(name: &str, fields: Value) -> String {
        match validate(operation(name), &Input::of(fields, Bytes::new())) {
            Ok(()) => "none".to_owned(),
            Err(refusal) => refusal.message().to_owned(),
        }
    }

    #[test]
    fn broken_constraints_are_told_in_the_words_of_aws() {
        let failed = "failed to satisfy constraint: Member must";
        let one = |rest: &str| format!("1 validation error detected: {rest}");
        let name = "satisfy regular expression pattern: [a-zA-Z0-9:_-]+";
        for (operation, fields, expected) in [
            ("CreateThing", json!({"thingName": "t"}), "none".to_owned()),
            ("CreateThing", json!({"thingName": "x y"}), one(&format!("Value 'x y' at 'thingName' {failed} {name}"))),
            ("CreateThing", json!({}), one(&format!("Value null at 'thingName' {failed} not be null"))),
            (
                "CreateThing",
                json!({"thingName": "", "thingTypeName": "a".repeat(129)}),
                format!(
                    "3 validation errors detected: Value '' at 'thingName' {failed} {name}; \
                     Value '' at 'thingName' {failed} have length greater than or equal to 1; \
                     Value '{}' at 'thingTypeName' {failed} have length less than or equal to 128",
                    "a".repeat(129)
                ),
            ),
            (
                "ListThings",
                json!({"maxResults": 0}),
                one(&format!("Value '0' at 'maxResults' {failed} have value greater than or equal to 1")),
            ),
            (
                "ListThings",
                json!({"maxResults": 251}),
                one(&format!("Value '251' at 'maxResults' {failed} have value less than or equal to 250")),
            ),
            (
                "UpdateCertificate",
                json!({"certificateId": "a".repeat(64), "newStatus": "ON"}),
                one(&format!(
                    "Value 'ON' at 'newStatus' {failed} satisfy enum value set: [ACTIVE, INACTIVE, REVOKED, \
                     PENDING_TRANSFER, REGISTER_INACTIVE, PENDING_ACTIVATION]"
                )),
            ),
        ] {
            assert_eq!(errors(operation, fields.clone()), expected, "{operation} {fields}");
        }
    }

    #[test]
    fn a_function_is_refused_as_lambda_refuses_it() {
        let refused = |changes: Value| {
            let mut fields = json!({
                "FunctionName": "f", "Role": "arn:aws:iam::000000000000:role/r", "Runtime": "python3.12", "Code": {},
            });
            fields.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            let refusal = validate(operation("CreateFunction"), &Input::of(fields, Bytes::new())).unwrap_err();
            (refusal.error(), refusal.message().to_owned())
        };
        let (error, message) = refused(json!({"Role": "r1"}));
        assert_eq!(error, "ValidationException");
        let words =
            "1 validation error detected: Value 'r1' at 'role' failed to satisfy constraint: Member must satisfy";
        assert!(message.starts_with(words), "{message}");
        let (error, message) = refused(json!({"Runtime": "python3.99"}));
        assert_eq!(error, "InvalidParameterValueException");
        let words = "Value python3.99 at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [";
        assert!(message.starts_with(words) && message.ends_with("] or be a valid ARN"), "{message}");
    }

    #[test]
    fn constraints_hold_at_every_depth() {
        for (operation, fields, expected) in [
            (
                "CreateThing",
                json!({"thingName": "t", "attributePayload": {"attributes": {"a b": "c"}}}),
                "Value '{a b=c}' at 'attributePayload.attributes' failed to satisfy constraint: Map keys must satisfy \
                 constraint: [Member must satisfy regular expression pattern: [a-zA-Z0-9_.,@/:#-]+]",
            ),
            (
                "CreateThing",
                json!({"thingName": "t", "attributePayload": {"attributes": {"a": null}}}),
                "Value at 'attributePayload.attributes' failed to satisfy constraint: Map value must satisfy \
                 constraint: [Member must not be null]",
            ),
            (
                "CreateThingType",
                json!({"thingTypeName": "t", "thingTypeProperties": {"searchableAttributes": ["a", "b c"]}}),
                "Value 'b c' at 'thingTypeProperties.searchableAttributes.2.member' failed to satisfy constraint: \
                 Member must satisfy regular expression pattern: [a-zA-Z0-9_.,@/:#-]+",
            ),
            (
                "CreateThingType",
                json!({"thingTypeName": "t", "tags": [{"Value": "v"}]}),
                "Value null at 'tags.1.member.Key' failed to satisfy constraint: Member must not be null",
            ),
            (
                "CreateThingType",
                json!({"thingTypeName": "t", "tags": [null]}),
                "Value null at 'tags.1.member' failed to satisfy constraint: Member must not be null",
            ),
            (
                "CreateTopicRule",
                json!({"ruleName": "r", "topicRulePayload": {"sql": "SELECT"}}),
                "Value null at 'topicRulePayload.actions' failed to satisfy constraint: Member must not be null",
            ),
        ] {
            let expected = format!("1 validation error detected: {expected}");
            assert_eq!(errors(operation, fields.clone()), expected, "{operation} {fields}");
        }
    }

    #[test]
    fn secrets_and_long_values_are_not_repeated() {
        let long = errors("CreateThing", json!({"thingName": "a".repeat(257)}));
        assert!(long.contains("Value at 'thingName'"), "{long}");
        let secret = Text { sensitive: true, ..text(Some(1)) };
        assert_eq!(echo(&Shape::Text(secret), &json!("secret")), None);
        assert_eq!(echo(&Shape::Text(text(None)), &json!("known")).as_deref(), Some("known"));
    }

    #[test]
    fn lengths_are_counted_in_characters_and_decoded_bytes() {
        let four = Shape::Text(text(Some(4)));
        assert!(scalar(&four, &json!("äöü€")).is_empty());
        assert_eq!(scalar(&four, &json!("abcde")), ["Member must have length less than or equal to 4"]);
        let blob = Shape::Blob(Bounds { min: Some(2), max: Some(3) });
        for (base64, sound) in [("", false), ("YQ==", false), ("YWI=", true), ("YWJj", true), ("YWJjZA==", false)] {
            assert_eq!(scalar(&blob, &json!(base64)).is_empty(), sound, "{base64}");
        }
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let range = Range { min: Some(-1.25), max: Some(100.0) };
        for (number, sound) in [
            (json!(-1), true),
            (json!(-2), false),
            (json!(100), true),
            (json!(100.1), false),
            (json!(-1.5), false),
            (json!(u64::MAX), false),
            (json!(1e300), false),
        ] {
            assert_eq!(scalar(&Shape::Double(range), &number).is_empty(), sound, "{number}");
        }
    }

    #[test]
    fn a_least_with_a_fraction_is_kept() {
        let rate = |factor: f64| {
            let increase = json!({"baseRatePerMinute": 1, "incrementFactor": factor, "rateIncreaseCriteria": {}});
            let job =
                json!({"jobId": "j", "targets": ["t"], "jobExecutionsRolloutConfig": {"exponentialRate": increase}});
            errors("CreateJob", job)
        };
        assert_eq!(rate(1.1), "none");
        assert!(rate(1.0).ends_with("Member must have value greater than or equal to 1.1"), "{}", rate(1.0));
    }

    #[test]
    fn only_so_many_errors_are_told() {
        let tags = vec![json!({}); 100_000];
        let message = errors("CreateThingType", json!({"thingTypeName": "t", "tags": tags}));
        assert!(message.starts_with("10 validation errors detected: "), "{message}");
    }

    #[test]
    fn the_error_is_one_that_the_operation_raises() {
        let refuse = |name| validate(operation(name), &Input::default()).unwrap_err().error();
        assert_eq!(refuse("DescribeThing"), "InvalidRequestException");
        assert_eq!(refuse("CreatePackage"), "ValidationException");
    }

    #[test]
    fn every_pattern_compiles() {
        let mut patterns = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for operation in SERVICES.iter().flat_map(|of| of.operations) {
            for member in operation.input.iter().chain(operation.output) {
                collect(member.shape, &mut seen, &mut patterns);
            }
        }
        assert!(patterns.len() > 100, "{}", patterns.len());
        for pattern in patterns {
            Regex::new(pattern.regex).unwrap();
        }
    }

    fn collect(
        shape: &'static Shape,
        seen: &mut std::collections::HashSet<*const Shape>,
        into: &mut Vec<&'static Pattern>,
    ) {
        if !seen.insert(shape) {
            return;
        }
        match shape {
            Shape::Structure(members) => members.iter().for_each(|member| collect(member.shape, seen, into)),
            Shape::List(of, _) => collect(of, seen, into),
            Shape::Map(keys, values, _) => [keys, values].into_iter().for_each(|of| collect(of, seen, into)),
            Shape::Text(text) => into.extend(&text.pattern),
            _ => {}
        }
    }

    fn text(max: Option<i64>) -> Text {
        Text { length: Bounds { min: None, max }, pattern: None, values: &[], sensitive: false }
    }
}
