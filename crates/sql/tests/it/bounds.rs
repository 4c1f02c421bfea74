//! What bounds a statement and its evaluation: length, depth, work, strings, results, variables.

use bytes::Bytes;
use sql::{Failed, MAX_BYTES, Outcome, Payload, Statement, Version};

use crate::world::{Answers, message};

const NEW: Version = Version::V20160323;

fn failed(sql: &str, payload: &str) -> String {
    let payload = Payload::from(Bytes::from(payload.to_owned()));
    match Statement::parse(sql, NEW).unwrap().evaluate(&message(&payload), &mut Answers) {
        Outcome::Failed(Failed { function: "rule", reason }) => reason,
        other => panic!("{other:.200?}"),
    }
}

#[test]
fn a_statement_has_a_greatest_length() {
    let longest = format!("SELECT a{} FROM 't'", " ".repeat(MAX_BYTES - 17));
    assert_eq!(longest.len(), MAX_BYTES);
    assert!(Statement::parse(&longest, NEW).is_ok());
    let error = Statement::parse(&format!("{longest} "), NEW).unwrap_err();
    assert_eq!(error.message, "expected at most 262144 bytes");
}

#[test]
fn expressions_nest_64_deep() {
    let nested = |depth: usize| format!("SELECT {}1{} AS a FROM 't'", "(".repeat(depth), ")".repeat(depth));
    assert!(Statement::parse(&nested(63), NEW).is_ok());
    let error = Statement::parse(&nested(64), NEW).unwrap_err();
    assert_eq!(error.to_string(), "line 1, column 72: nested deeper than 64 levels");
}

#[test]
fn a_condition_may_be_long_where_it_may_not_be_deep() {
    let long = vec!["a = 1"; 5_000].join(" OR ");
    let statement = Statement::parse(&format!("SELECT a FROM 't' WHERE {long}"), NEW).unwrap();
    let payload = Payload::from(Bytes::from_static(br#"{"a":1}"#));
    assert!(matches!(statement.evaluate(&message(&payload), &mut Answers), Outcome::Selected(_)));
}

#[test]
fn a_statement_that_takes_too_much_work_is_stopped() {
    let payload = format!(r#"{{"a":[{}1]}}"#, "1,".repeat(3_000));
    for sql in [
        "SELECT (SELECT VALUE (SELECT VALUE y FROM a AS y) FROM a AS x) AS r FROM 't'",
        "SELECT * FROM 't' WHERE EXISTS (SELECT * FROM a AS x WHERE EXISTS (SELECT * FROM a AS y WHERE y = 2))",
    ] {
        assert_eq!(failed(sql, &payload), "the statement takes too much work on this message");
    }
    let payload = format!(r#"{{"a":["{}"],"b":[{}1]}}"#, "x".repeat(60_000), "1,".repeat(20_000));
    for sql in [
        "SELECT (SELECT VALUE regexp_matches(get(a, 0), 'y') FROM b) AS r FROM 't'",
        "SELECT (SELECT VALUE length(get(a, 0)) FROM b) AS r FROM 't'",
    ] {
        assert_eq!(failed(sql, &payload), "the statement takes too much work on this message");
    }
}

#[test]
fn what_looks_cheap_and_is_not_is_counted_too() {
    let names: Vec<String> = (0..9_000).map(|index| format!("\"k{index}\":1")).collect();
    let wide = format!(r#"{{"a":[{}1],{}}}"#, "1,".repeat(9_000), names.join(","));
    let long = format!(r#"{{"s":"{}","a":[{}1]}}"#, "a".repeat(50_000), "1,".repeat(30_000));
    let work = "the statement takes too much work on this message";
    for (sql, payload) in [
        ("SELECT (SELECT VALUE nothing FROM a AS x) AS r FROM 't'", &wide),
        ("SELECT (SELECT VALUE get(*, 'k1') FROM a AS x) AS r, (SELECT VALUE k1 FROM a AS x) AS q FROM 't'", &wide),
        ("SELECT *, * FROM 't'", &wide),
        ("SET @s = upper(s) SELECT (SELECT VALUE @s = 'x' FROM a AS x) AS r FROM 't'", &long),
        ("SELECT (SELECT VALUE md2(s) FROM a) AS r FROM 't'", &long),
        ("SELECT (SELECT VALUE regexp_matches('x', x + '') FROM a AS x) AS r FROM 't'", &long),
    ] {
        assert_eq!(failed(sql, payload), work, "{sql}");
    }
    let regex = "a regular expression takes too long, or makes too much of a string";
    assert_eq!(failed("SELECT regexp_replace(s, '(?=a)a', 'b') AS r FROM 't'", &long), regex);
    assert_eq!(failed("SELECT regexp_matches(s, '(a*)*\\1b') AS r FROM 't'", &long), regex);
}

#[test]
fn strings_and_results_have_a_greatest_length() {
    let payload = format!(r#"{{"a":"{}"}}"#, "x".repeat(100_000));
    for sql in ["SELECT a + a AS r FROM 't'", "SELECT concat(a, a) AS r FROM 't'", "SELECT replace(a, 'x', 'yy') AS r"]
    {
        assert_eq!(failed(sql, &payload), "a string of more than 131072 bytes", "{sql}");
    }
    assert_eq!(failed("SELECT a, a AS b FROM 't'", &payload), "the result takes 200015 bytes; 131072 are allowed");
    let reason = failed("SELECT replace(a, 'x', substring(a, 0, 50000)) AS r FROM 't'", &payload);
    assert_eq!(reason, "the statement takes too much work on this message");
    assert!(failed("SELECT regexp_replace(a, 'x', '12345') AS r FROM 't'", &payload).contains("too much of a string"));
}

#[test]
fn what_transform_makes_has_a_greatest_length() {
    let payload = format!(r#"{{"o":{{"a":"{}"}},"l":[{}{{}}]}}"#, "x".repeat(1_000), "{},".repeat(200));
    let reason = failed("SELECT VALUE transform('enrichArray', o, l) FROM 't'", &payload);
    assert_eq!(reason, "transform() makes more than 131072 bytes");
}

#[test]
fn all_variables_together_have_a_greatest_length() {
    let payload = format!(r#"{{"a":"{}"}}"#, "x".repeat(50_000));
    let reason = failed("SET @a = a, @b = a, @c = a SELECT 1 AS one FROM 't'", &payload);
    assert_eq!(reason, "the variables take more than 131072 bytes");
}

#[test]
fn get_or_default_does_not_hide_that_a_bound_is_passed() {
    let payload = format!(r#"{{"a":"{}"}}"#, "x".repeat(100_000));
    assert_eq!(failed("SELECT get_or_default(a + a, 1) AS r", &payload), "a string of more than 131072 bytes");
}

#[test]
fn select_star_passes_whatever_was_published() {
    let payload = Payload::from(Bytes::from("x".repeat(200_000)));
    let statement = Statement::parse("SELECT * FROM 't'", NEW).unwrap();
    let Outcome::Selected(selected) = statement.evaluate(&message(&payload), &mut Answers) else { panic!() };
    assert_eq!(selected.payload.as_ptr(), payload.bytes().as_ptr());
    assert!(!selected.is_json());
}
