//! `ombra rule check`: a file of tests for rules, each a statement, a message, what the world answers, and what is expected to
//! come of it. Everything is in the file and those beside it; no server is needed.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::{Failure, Output, say};
use super::mock::Mock;
use super::print;
use crate::trial::{BadTrial, Trial};

/// The largest file that is read, and the largest that it names.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Ways to say what is tried; what a test says replaces what the file says for all.
const STATEMENTS: [&str; 3] = ["sql", "sql_file", "rule"];
const PAYLOADS: [&str; 3] = ["payload", "payload_base64", "payload_file"];
const EXPECTATIONS: [&str; 5] = ["output", "output_json", "output_base64", "unmatched", "error"];

/// Runs the tests of a file and prints each verdict.
pub(super) fn run(file: &Path, output: Output) -> Result<(), Failure> {
    let dir = file.parent().unwrap_or(Path::new(""));
    let source = read(file).map_err(Failure::Usage)?;
    let cases = cases(&source, dir).map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    let results: Vec<Verdict> = cases.into_iter().map(Case::run).collect();
    let failed = results.iter().filter(|result| result.why.is_some()).count();
    let count = results.len();
    match output {
        Output::Json => {
            let tests: Vec<Value> = results.iter().map(Verdict::json).collect();
            say(format_args!("{}", json!({"tests": tests, "passed": count - failed, "failed": failed})));
        }
        Output::Table => {
            for result in &results {
                say(format_args!("{}", result.lines()));
            }
            say(format_args!("{count} tests: {} ok, {failed} failed", count - failed));
        }
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::Failed(format!("{failed} of {count} tests failed"))),
    }
}

fn read(file: &Path) -> Result<String, String> {
    let named = |what: &dyn std::fmt::Display| format!("failed to read {}: {what}", file.display());
    let length = std::fs::metadata(file).map_err(|error| named(&error))?.len();
    if length > MAX_FILE {
        return Err(named(&format!("it has more than {MAX_FILE} bytes")));
    }
    std::fs::read_to_string(file).map_err(|error| named(&error))
}

/// One test.
#[derive(Debug)]
struct Case {
    name: String,
    trial: Trial,
    world: Mock,
    expected: Expected,
}

/// What is expected.
#[derive(Debug)]
enum Expected {
    Output(Value),
    Base64(String),
    Unmatched,
    /// An error that says this.
    Error(String),
}

/// What came of a test.
struct Verdict {
    name: String,
    /// Why it failed.
    why: Option<String>,
    /// The step trace, if the statement is one.
    trace: Option<Value>,
}

/// The tests of a file. What stands before the first holds for all.
fn cases(source: &str, dir: &Path) -> Result<Vec<Case>, String> {
    let table: Value = toml::from_str(source).map_err(|error| error.to_string())?;
    let Value::Object(mut common) = plain(table) else { return Err("not a table".to_owned()) };
    let Some(Value::Array(tests)) = common.remove("test") else { return Err("there is no [[test]] in it".to_owned()) };
    let cases = tests.into_iter().enumerate().map(|(index, test)| {
        let Value::Object(test) = test else { return Err(format!("test {}: not a table", index + 1)) };
        let name = match test.get("name") {
            Some(Value::String(name)) => name.clone(),
            _ => format!("test {}", index + 1),
        };
        Case::new(name.clone(), joined(&common, test), dir).map_err(|error| format!("{name}: {error}"))
    });
    cases.collect()
}

/// A time of TOML as text, wherever it stands; the rest as it is.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(map) => match map.get("$__toml_private_datetime") {
            Some(time) => time.clone(),
            None => Value::Object(map.into_iter().map(|(name, value)| (name, plain(value))).collect()),
        },
        Value::Array(values) => Value::Array(values.into_iter().map(plain).collect()),
        other => other,
    }
}

/// What holds for all tests, with what this one says instead.
fn joined(common: &Map<String, Value>, test: Map<String, Value>) -> Map<String, Value> {
    let says = |names: &[&str]| names.iter().any(|name| test.contains_key(*name));
    let replaced =
        [&STATEMENTS[..], &PAYLOADS[..], &EXPECTATIONS[..]].into_iter().filter(|names| says(names)).flatten();
    let mut joined = common.clone();
    replaced.for_each(|name| drop(joined.remove(*name)));
    joined.extend(test);
    joined
}

impl Case {
    fn new(name: String, mut test: Map<String, Value>, dir: &Path) -> Result<Case, String> {
        test.remove("name");
        let expected = Expected::take(&mut test)?;
        let world = match test.remove("world") {
            Some(Value::Array(said)) => Mock::new(said, dir)?,
            Some(_) => return Err("world is not an array of tables".to_owned()),
            None => Mock::default(),
        };
        take_statement(&mut test, dir)?;
        if let Some(file) = take_text(&mut test, "payload_file")? {
            test.insert("payload".to_owned(), read(&dir.join(file))?.into());
        }
        if let Some(Value::String(time)) = test.get("now") {
            let at: jiff::Timestamp = time.parse().map_err(|error| format!("now: {error}"))?;
            test.insert("now".to_owned(), at.as_millisecond().into());
        }
        let trial = serde_json::from_value(Value::Object(test)).map_err(|error| error.to_string())?;
        Ok(Case { name, trial, world, expected })
    }

    fn run(mut self) -> Verdict {
        let (why, trace) = match self.trial.ready() {
            Ok(ready) => {
                let trace = json!(ready.run(self.trial.seed.unwrap_or_default().into(), &mut self.world));
                (self.expected.differs(&trace), Some(trace))
            }
            Err(BadTrial::Sql(error)) => {
                (self.expected.differs_from_error("the statement is refused", &error.to_string()), None)
            }
            Err(BadTrial::Other(error)) => (Some(error), None),
        };
        Verdict { name: self.name, why, trace }
    }
}

/// Brings a statement that lies in a file to where the others are. A rule is the JSON that CreateTopicRule takes or GetTopicRule
/// gives.
fn take_statement(test: &mut Map<String, Value>, dir: &Path) -> Result<(), String> {
    let said: Vec<&str> = STATEMENTS.into_iter().filter(|name| test.contains_key(*name)).collect();
    if said.len() != 1 {
        return Err(format!("say exactly one of {}", STATEMENTS.join(", ")));
    }
    if let Some(file) = take_text(test, "sql_file")? {
        test.insert("sql".to_owned(), read(&dir.join(file))?.into());
    }
    if let Some(file) = take_text(test, "rule")? {
        let rule: Value = serde_json::from_str(&read(&dir.join(&file))?).map_err(|error| format!("{file}: {error}"))?;
        let payload = ["topicRulePayload", "rule"].into_iter().find_map(|name| rule.get(name)).unwrap_or(&rule);
        let Some(Value::String(sql)) = payload.get("sql") else { return Err(format!("{file}: there is no sql in it")) };
        test.insert("sql".to_owned(), sql.as_str().into());
        // The API's default, which is not the one of a statement that stands alone.
        let version = payload.get("awsIotSqlVersion").cloned().unwrap_or_else(|| "2015-10-08".into());
        test.entry("version").or_insert(version);
    }
    Ok(())
}

fn take_text(test: &mut Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match test.remove(name) {
        None => Ok(None),
        Some(Value::String(value)) => Ok(Some(value)),
        Some(_) => Err(format!("{name} is not a text")),
    }
}

impl Expected {
    fn take(test: &mut Map<String, Value>) -> Result<Expected, String> {
        let said: Vec<_> = EXPECTATIONS.into_iter().filter_map(|name| Some((name, test.remove(name)?))).collect();
        let one = format!("say exactly one of {}", EXPECTATIONS.join(", "));
        let [(name, value)] = <[_; 1]>::try_from(said).map_err(|_| one)?;
        match (name, value) {
            ("output", value) => Ok(Expected::Output(value)),
            ("output_json", Value::String(json)) => {
                Ok(Expected::Output(serde_json::from_str(&json).map_err(|error| format!("output_json: {error}"))?))
            }
            ("output_base64", Value::String(base64)) => Ok(Expected::Base64(base64)),
            ("unmatched", Value::Bool(true)) => Ok(Expected::Unmatched),
            ("error", Value::String(words)) => Ok(Expected::Error(words)),
            (name, value) => Err(format!("{name} cannot be {value}")),
        }
    }

    /// What is wrong with a trace, if it is not what was expected.
    fn differs(&self, trace: &Value) -> Option<String> {
        let why = trace.get("why").and_then(Value::as_str).unwrap_or_default();
        match trace["verdict"].as_str() {
            Some("failed") => return self.differs_from_error("the evaluation failed", why),
            Some("unmatched" | "other_topic") if matches!(self, Expected::Unmatched) => return None,
            _ => {}
        }
        let is_same = match self {
            Expected::Output(expected) => trace.get("output").is_some_and(|output| same(expected, output)),
            Expected::Base64(expected) => trace.get("output_base64").is_some_and(|output| output == expected.as_str()),
            Expected::Unmatched | Expected::Error(_) => false,
        };
        (!is_same).then(|| format!("expected {self}"))
    }

    fn differs_from_error(&self, what: &str, error: &str) -> Option<String> {
        match self {
            Expected::Error(expected) if error.contains(expected.as_str()) => None,
            _ => Some(format!("expected {self}, but {what}: {error}")),
        }
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Expected::Output(value) => write!(f, "{value}"),
            Expected::Base64(text) => write!(f, "in base64: {text}"),
            Expected::Unmatched => f.write_str("no match"),
            Expected::Error(text) => write!(f, "an error with {text:?}"),
        }
    }
}

/// Equality of JSON where 21 is 21.0, as it is to whoever reads it.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64() && (a.is_f64() || b.is_f64()),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => one == other,
    }
}

impl Verdict {
    fn json(&self) -> Value {
        let mut json = json!({"name": self.name, "passed": self.why.is_none()});
        if let Some(why) = &self.why {
            json["why"] = why.as_str().into();
        }
        if let Some(trace) = &self.trace {
            json["trace"] = trace.clone();
        }
        json
    }

    fn lines(&self) -> String {
        let Some(why) = &self.why else { return format!("ok      {}", self.name) };
        let trace = self.trace.as_ref().map(print::trace).unwrap_or_default();
        let lines = std::iter::once(why.as_str()).chain(trace.lines());
        lines.fold(format!("FAILED  {}", self.name), |told, line| format!("{told}\n        {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdicts of a file: name, and why it failed.
    fn verdicts(text: &str) -> Vec<(String, Option<String>)> {
        let cases = cases(text, Path::new("")).unwrap();
        cases.into_iter().map(Case::run).map(|verdict| (verdict.name, verdict.why)).collect()
    }

    fn passes(text: &str) {
        for (name, why) in verdicts(text) {
            assert_eq!(why, None, "{name}");
        }
    }

    fn refused(text: &str) -> String {
        cases(text, Path::new("")).unwrap_err()
    }

    #[test]
    fn each_expectation_is_met() {
        passes(
            r#"
            sql = "SELECT t AS celsius, timestamp() AS at, clientid() AS who FROM 'rooms/+' WHERE t > 20"
            topic = "rooms/attic"
            client_id = "sensor"
            now = 2021-02-03T04:05:06.789Z

            [[test]]
            name = "a warm room"
            payload = { t = 21.0 }
            output = { celsius = 21, at = 1612325106789, who = "sensor" }

            [[test]]
            payload = '{"t": 21}'
            now = 5
            output_json = '{"who": "sensor", "at": 5, "celsius": 21.0}'

            [[test]]
            payload = { t = 1 }
            unmatched = true

            [[test]]
            topic = "halls/attic"
            unmatched = true

            [[test]]
            sql = "SELECT * FROM 'bytes'"
            topic = "bytes"
            payload_base64 = "/wA="
            output_base64 = "/wA="

            [[test]]
            sql = "SELEC"
            error = "line 1, column 1"

            [[test]]
            sql = "SELECT get_thing_shadow('lamp', 'r') AS s FROM 'rooms/+'"
            error = "no answer to get_thing_shadow"

            [[test]]
            sql = "SELECT get_user_properties('a') AS a, get_mqtt_property('content_type') AS c FROM 'rooms/+'"
            properties = { content_type = "text/plain", user = [["a", "1"], ["a", "2"]] }
            output = { a = ["1", "2"], c = "text/plain" }
            "#,
        );
    }

    #[test]
    fn the_world_is_what_the_test_says() {
        passes(
            r#"
            topic = "t"
            [[test]]
            name = "a named shadow"
            sql = "SELECT get_thing_shadow('lamp', 'night', 'arn:aws:iam::1:role/r').state.reported.on AS lit FROM 't'"
            output = { lit = true }
            world = [
                { function = "get_thing_shadow", thing = "lamp", shadow = "day", fails = "not this one" },
                { function = "get_thing_shadow", thing = "lamp", shadow = "night", answer.state.reported.on = true },
            ]
            [[test]]
            name = "what fails ends the rule"
            sql = "SELECT get_thing_shadow('lamp', 'arn:aws:iam::1:role/r') AS s FROM 't'"
            error = "the shelf fell down"
            world = [{ function = "get_thing_shadow", fails = "the shelf fell down" }]
            [[test]]
            name = "a function"
            sql = "SELECT aws_lambda('arn:aws:lambda:us-east-1:1:function:f', {'a': 1}).b AS b FROM 't'"
            output = { b = 2 }
            world = [{ function = "aws_lambda", payload = { a = 1 }, answer = { b = 2 } }]
            [[test]]
            name = "a secret"
            sql = "SELECT get_secret('key', 'SecretString', 'arn:aws:iam::1:role/r') AS key FROM 't'"
            output = { key = "hidden" }
            world = [{ function = "get_secret", secret = "key", type = "SecretString", answer = "hidden" }]
            [[test]]
            name = "an item"
            sql = "SELECT get_dynamodb('table', 'id', 'a', 'at', 5, 'arn:aws:iam::1:role/r').x AS x FROM 't'"
            output = { x = 1 }
            world = [{ function = "get_dynamodb", table = "table", partition = { id = "a" }, sort = { at = 5 }, answer = { x = 1 } }]
            "#,
        );
    }

    #[test]
    fn what_is_not_met_says_what_came_instead() {
        let verdicts = verdicts(
            r#"
            sql = "SELECT t FROM 'a'"
            [[test]]
            payload = { t = 1 }
            output = { t = 2 }
            [[test]]
            payload = { t = 1 }
            unmatched = true
            [[test]]
            sql = "SELECT"
            output = 1
            [[test]]
            topic = "a/#"
            output = 1
            "#,
        );
        let why: Vec<&str> = verdicts.iter().filter_map(|(_, why)| why.as_deref()).collect();
        assert_eq!(why.len(), 4);
        assert_eq!(why[..2], ["expected {\"t\":2}", "expected no match"]);
        assert!(why[2].starts_with("expected 1, but the statement is refused: line 1"), "{}", why[2]);
        assert_eq!(why[3], "\"a/#\" is not a topic that can be published to");
    }

    #[test]
    fn a_file_that_means_nothing_is_refused_with_the_tests_name() {
        for (text, expected) in [
            ("", "there is no [[test]] in it"),
            ("test = 1", "there is no [[test]] in it"),
            ("[[test]]\nname = 'x'", "x: say exactly one of output, output_json, output_base64, unmatched, error"),
            ("[[test]]\noutput = 1\nerror = 'x'", "test 1: say exactly one of output"),
            ("[[test]]\noutput = 1", "test 1: say exactly one of sql, sql_file, rule"),
            ("[[test]]\nsql = 'x'\nunmatched = false", "test 1: unmatched cannot be false"),
            ("[[test]]\nsql = 'x'\nunmatched = true\ntopics = 'a'", "test 1: unknown field `topics`"),
            ("[[test]]\nsql_file = 'nowhere.sql'\nunmatched = true", "test 1: failed to read nowhere.sql"),
            ("[[test]]\nsql = 'x'\nunmatched = true\nworld = [{function = 'get'}]", "test 1: world: get asks nobody"),
            (
                "[[test]]\nsql = 'x'\nunmatched = true\nworld = [{function = 'get_secret', thing = 'a', answer = 1}]",
                "test 1: world: get_secret has no thing",
            ),
            (
                "[[test]]\nsql = 'x'\nunmatched = true\nworld = [{function = 'get_secret'}]",
                "test 1: world: get_secret needs one of",
            ),
            ("[[test]]\nsql = 'x'\nunmatched = true\nnow = 'soon'", "test 1: now: "),
        ] {
            let refused = refused(text);
            assert!(refused.starts_with(expected), "{text}: {refused}");
        }
    }

    #[test]
    fn rules_statements_and_payloads_lie_in_files_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x.sql"), "SELECT a FROM 't'").unwrap();
        std::fs::write(dir.path().join("p.json"), r#"{"a": 1}"#).unwrap();
        std::fs::write(dir.path().join("r.json"), r#"{"sql": "SELECT a FROM 't'", "actions": []}"#).unwrap();
        std::fs::write(
            dir.path().join("g.json"),
            r#"{"rule": {"sql": "SELECT a FROM 't'", "awsIotSqlVersion": "beta"}}"#,
        )
        .unwrap();
        let text = r#"
            payload_file = "p.json"
            output = { a = 1 }
            [[test]]
            sql_file = "x.sql"
            [[test]]
            rule = "r.json"
            [[test]]
            rule = "g.json"
        "#;
        let verdicts: Vec<Verdict> = cases(text, dir.path()).unwrap().into_iter().map(Case::run).collect();
        assert!(verdicts.iter().all(|verdict| verdict.why.is_none()));
        let versions: Vec<&Value> =
            verdicts.iter().map(|verdict| &verdict.trace.as_ref().unwrap()["version"]).collect();
        assert_eq!(versions, ["2016-03-23", "2015-10-08", "beta"]);
    }

    #[test]
    fn numbers_are_equal_by_value() {
        let same =
            |one: &str, other: &str| same(&serde_json::from_str(one).unwrap(), &serde_json::from_str(other).unwrap());
        assert!(same("[21, {\"a\": 0}]", "[21.0, {\"a\": -0.0}]"));
        assert!(!same("9007199254740993", "9007199254740992"));
        assert!(!same("[1]", "[1, 2]") && !same("{\"a\": 1}", "{\"b\": 1}") && !same("1", "\"1\""));
    }
}
