//! The step trace: what each clause came to, and why there is no result. What the values should be is tested in the tables.

use bytes::Bytes;
use sql::{Payload, Statement, Trace, Version};

use crate::world::{Answers, message};

fn trace(sql: &str, payload: &'static str) -> Trace {
    let payload = Payload::from(Bytes::from_static(payload.as_bytes()));
    Statement::parse(sql, Version::V20160323).unwrap().trace(&message(&payload), &mut Answers)
}

fn json(trace: &Trace) -> String {
    serde_json::to_string(trace).unwrap()
}

#[test]
fn every_clause_is_told_with_its_value() {
    let sql = "SET @v = a * 2 SELECT @v AS twice, nothing AS n, upper(t) FROM 'things/+/data' WHERE @v > 5 AND t = 'x'";
    let found = json(&trace(sql, r#"{"a":3.0,"t":"x"}"#));
    assert_eq!(
        found,
        concat!(
            r#"{"statement":"SET @v = a * 2 SELECT @v AS twice, nothing AS n, upper(t) FROM 'things/+/data' "#,
            r#"WHERE @v > 5 AND t = 'x'","version":"2016-03-23","verdict":"selected","#,
            r#""from":{"filter":"things/+/data","topic":"things/lamp/data","matched":true},"#,
            r#""set":[{"name":"@v","expression":"a * 2","value":6}],"#,
            r#""condition":[{"expression":"@v > 5 AND t = 'x'","value":true},{"expression":"@v > 5","value":true},"#,
            r#"{"expression":"@v","value":6},{"expression":"t = 'x'","value":true},{"expression":"t","value":"x"}],"#,
            r#""select":[{"name":"twice","expression":"@v","value":6},"#,
            r#"{"name":"n","expression":"nothing","note":"undefined"},"#,
            r#"{"name":"upper","expression":"upper(t)","value":"X"}],"#,
            r#""output":{"twice":6,"upper":"X"}}"#,
        )
    );
}

#[test]
fn an_item_that_spreads_its_members_is_told_as_it_is_written() {
    let found = trace("SELECT o.*, * FROM '#'", r#"{"o":{"x":1}}"#);
    let told: Vec<_> = found.select.iter().map(|step| step.expression.as_str()).collect();
    assert_eq!(told, ["o.*", "*"]);
    assert_eq!(found.select[0].value.as_ref().map(|value| value.get()), Some(r#"{"x":1}"#));
}

#[test]
fn why_there_is_no_result_is_said() {
    for (sql, expected) in [
        ("SELECT * FROM 'other/#'", "the topic things/lamp/data does not match other/#"),
        ("SELECT * FROM '#' WHERE a > 5", "WHERE is false, and only true selects"),
        ("SELECT * FROM '#' WHERE nothing > 5", "WHERE is Undefined, and only true selects"),
        ("SELECT * FROM '#' WHERE a", "WHERE is 3, and only true selects"),
        ("SELECT aws_lambda('later', 1) AS x", "a call is answered later"),
        ("SELECT aws_lambda('bad', 1) AS x", "aws_lambda: there is no such thing"),
    ] {
        assert_eq!(trace(sql, r#"{"a":3}"#).why.as_deref(), Some(expected), "{sql}");
    }
}

#[test]
fn what_was_not_evaluated_is_said_to_be_skipped() {
    let found = trace("SELECT a FROM '#' WHERE nothing > 1 AND a > 2", r#"{"a":3}"#);
    let notes: Vec<_> = found.condition.iter().map(|step| (step.expression.as_str(), step.note)).collect();
    assert_eq!(
        notes,
        [
            ("nothing > 1 AND a > 2", Some("undefined")),
            ("nothing > 1", Some("undefined")),
            ("nothing", Some("undefined")),
            ("a > 2", Some("skipped")),
            ("a", Some("skipped")),
        ]
    );
    assert_eq!(found.select[0].note, Some("skipped"));
}

#[test]
fn a_payload_that_is_no_json_is_shown_in_base64() {
    let found = trace("SELECT * FROM '#'", "not json");
    assert_eq!((found.output.is_none(), found.output_base64.as_deref()), (true, Some("bm90IGpzb24=")));
}

#[test]
fn numbers_are_told_to_their_last_digit() {
    let found = json(&trace("SELECT VALUE a + 1 FROM '#'", r#"{"a":1234567890123456789012345678901233}"#));
    assert!(found.ends_with(r#""output":1234567890123456789012345678901234}"#), "{found}");
}
