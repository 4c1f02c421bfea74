//! A step trace for a person: each clause with what it came to, what comes out, or why nothing does. It knows the trace by its
//! JSON, which is the same from a running server and from here.

use serde_json::Value;

/// Where values stand, as long as expressions are shorter.
const COLUMN: usize = 48;

/// The lines of a trace.
pub(super) fn trace(trace: &Value) -> String {
    let mut lines = Vec::new();
    if let Some(message) = trace.get("message") {
        lines.push(format!("message    {}", last(message)));
    }
    lines.push(format!("statement  {}", text(trace, "statement")));
    lines.push(format!("version    {}", text(trace, "version")));
    lines.push(from(&trace["from"]));
    steps(&trace["set"], "SET", &mut lines);
    condition(&trace["condition"], &mut lines);
    steps(&trace["select"], "SELECT", &mut lines);
    lines.push(end(trace));
    lines.join("\n")
}

/// What came out, or why nothing did.
pub(super) fn end(trace: &Value) -> String {
    match (trace.get("output"), trace.get("output_base64").and_then(Value::as_str)) {
        (Some(output), _) => format!("result     {}", printable(&output.to_string())),
        (None, Some(base64)) => format!("result     in base64: {base64}"),
        (None, None) => format!("no result  {}", text(trace, "why")),
    }
}

/// The message that the server remembered.
fn last(message: &Value) -> String {
    let payload = match message.get("payload").and_then(Value::as_str) {
        Some(payload) => printable(payload),
        None => format!("in base64: {}", text(message, "payload_base64")),
    };
    format!("to {}: {payload}", text(message, "topic"))
}

fn from(from: &Value) -> String {
    let topic = text(from, "topic");
    let Some(filter) = from.get("filter").and_then(Value::as_str) else {
        return format!("FROM       none, so that only Basic Ingest reaches it: {topic}");
    };
    let verb = if from["matched"] == true { "matches" } else { "does not match" };
    format!("FROM       {topic} {verb} '{}'", printable(filter))
}

fn steps(steps: &Value, clause: &str, lines: &mut Vec<String>) {
    for (index, step) in steps.as_array().into_iter().flatten().enumerate() {
        let clause = if index == 0 { clause } else { "" };
        let name = step.get("name").and_then(Value::as_str).map(|name| format!("{} = ", printable(name)));
        lines.push(line(clause, &format!("{}{}", name.unwrap_or_default(), text(step, "expression")), step));
    }
}

/// The condition, and below it its parts.
fn condition(steps: &Value, lines: &mut Vec<String>) {
    for (index, step) in steps.as_array().into_iter().flatten().enumerate() {
        let (clause, indent) = if index == 0 { ("WHERE", "") } else { ("", "  ") };
        lines.push(line(clause, &format!("{indent}{}", text(step, "expression")), step));
    }
}

fn line(clause: &str, expression: &str, step: &Value) -> String {
    let value = match (step.get("value"), step.get("note").and_then(Value::as_str)) {
        (Some(value), _) => printable(&value.to_string()),
        (None, Some("undefined")) => "Undefined".to_owned(),
        (None, Some("cut")) => "(too long to show)".to_owned(),
        (None, _) => "(not evaluated)".to_owned(),
    };
    format!("{clause:<10} {expression:<COLUMN$} -> {value}")
}

fn text(value: &Value, name: &str) -> String {
    printable(value.get(name).and_then(Value::as_str).unwrap_or_default())
}

/// A text on one line, without control characters that could play with the terminal.
fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use sql::Nowhere;

    use super::*;
    use crate::trial::Trial;

    fn check(sql: &str, payload: &str, expected: &[&str]) {
        let trial = Trial {
            sql: sql.to_owned(),
            topic: Some("rooms/attic".to_owned()),
            payload: Some(payload.into()),
            ..Trial::default()
        };
        let trace = serde_json::to_value(trial.ready().unwrap().run(0, &mut Nowhere)).unwrap();
        assert_eq!(super::trace(&trace).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_result_is_told_clause_by_clause() {
        check(
            "SET @limit = 20 SELECT t AS celsius, topic(2) AS room, nothing AS n FROM 'rooms/+' WHERE t > @limit",
            r#"{"t":21}"#,
            &[
                "statement  SET @limit = 20 SELECT t AS celsius, topic(2) AS room, nothing AS n FROM 'rooms/+' WHERE t > @limit",
                "version    2016-03-23",
                "FROM       rooms/attic matches 'rooms/+'",
                "SET        @limit = 20                                      -> 20",
                "WHERE      t > @limit                                       -> true",
                "             t                                              -> 21",
                "             @limit                                         -> 20",
                "SELECT     celsius = t                                      -> 21",
                "           room = topic(2)                                  -> \"attic\"",
                "           n = nothing                                      -> Undefined",
                "result     {\"celsius\":21,\"room\":\"attic\"}",
            ],
        );
    }

    #[test]
    fn what_did_not_match_says_why() {
        check(
            "SELECT * FROM 'rooms/+' WHERE t > 20 AND u > 5",
            r#"{"t":1}"#,
            &[
                "statement  SELECT * FROM 'rooms/+' WHERE t > 20 AND u > 5",
                "version    2016-03-23",
                "FROM       rooms/attic matches 'rooms/+'",
                "WHERE      t > 20 AND u > 5                                 -> Undefined",
                "             t > 20                                         -> false",
                "             t                                              -> 1",
                "             u > 5                                          -> Undefined",
                "             u                                              -> Undefined",
                "SELECT     *                                                -> (not evaluated)",
                "no result  WHERE is Undefined, and only true selects",
            ],
        );
        check(
            "SELECT * FROM 'halls/+'",
            "\u{1}",
            &[
                "statement  SELECT * FROM 'halls/+'",
                "version    2016-03-23",
                "FROM       rooms/attic does not match 'halls/+'",
                "SELECT     *                                                -> (not evaluated)",
                "no result  the topic rooms/attic does not match halls/+",
            ],
        );
    }

    #[test]
    fn bytes_are_shown_in_base64_and_control_characters_not_at_all() {
        assert_eq!(end(&serde_json::json!({"output_base64": "/wA="})), "result     in base64: /wA=");
        assert_eq!(end(&serde_json::json!({"why": "a\u{1b}[31m\nb"})), "no result  a\u{fffd}[31m b");
    }
}
