//! Arbitrary and mangled statements, templates and payloads: what the fuzz targets look for at length, looked for a moment
//! in every run.

mod bodies;
#[path = "../../../../fuzz/smoke.rs"]
mod smoke;

const STATEMENTS: [&str; 5] = [
    "SELECT *, a.b AS c.d, upper(d) FROM 'a/+/c' WHERE b > 5 AND NOT d = 'x' OR a IN [1, 2]\n{\"a\":1,\"b\":7}",
    "SET @v = get(b, 1).c, @w = @v * 2 SELECT @v AS v, {'w': @w, \"n\": NULL} AS o FROM '#' WHERE EXISTS (SELECT * FROM b)",
    "SELECT VALUE (SELECT x.c + 1E2 AS y FROM b AS x WHERE isUndefined(x) = false) FROM 'a/#'\n{\"b\":[{\"c\":1.5},{}]}",
    "SELECT CASE d WHEN 'x' THEN regexp_replace(d, '(x)', '$1-') ELSE cast(a AS String) END AS r, md5(d), newuuid() FROM t",
    "SELECT decode(encode(*, 'base64'), 'base64') AS v, substring(topic(2), -1, 5), trunc(a / 3, 2), lpad(d, 3) FROM '#'",
];

#[test]
fn no_bytes_are_too_odd_for_a_statement() {
    smoke::smoke(bodies::statements, &STATEMENTS.map(|seed| seed.as_bytes().to_vec()), 5_000);
}

#[test]
fn no_bytes_are_too_odd_for_a_template() {
    let seeds = ["a/${topic(2)}/${b.c + 'x'}/$$aws/${get(b, 0)}", "${parse_time('yyyy', timestamp())}", "${@v.x}"];
    smoke::smoke(bodies::templates, &seeds.map(|seed| seed.as_bytes().to_vec()), 3_000);
}

#[test]
fn no_bytes_are_too_odd_for_a_payload() {
    let seeds = [r#"{"a":{"b":{"c":1.0}},"rows":[{"a":1e2},{"a":"é\u00e9"},[]]}"#, "[1,[2,3.50],{}]", "eyJhIjoxfQ=="];
    smoke::smoke(bodies::payloads, &seeds.map(|seed| seed.as_bytes().to_vec()), 3_000);
}

#[test]
fn deep_and_long_texts_are_refused() {
    for open in [
        "SELECT (",
        "(",
        "SELECT -",
        "SELECT - ",
        "SELECT NOT ",
        "SELECT abs(",
        "SELECT [",
        "SELECT {'a':",
        "SELECT CASE ",
        "SELECT (SELECT VALUE a FROM ",
        "SELECT a.",
        "SELECT a+",
        "SELECT a AND ",
        "SET @a = ",
        "SELECT a,",
    ] {
        let (first, rest) = open.split_at(open.find(' ').map_or(0, |at| at + 1));
        for length in [2_000, 12_000] {
            bodies::statements(format!("{first}{}", rest.repeat(length / rest.len())).as_bytes());
        }
        bodies::statements(format!("{first}{}1", rest.repeat(12_000 / rest.len())).as_bytes());
        bodies::templates(format!("${{{}", rest.repeat(12_000 / rest.len())).as_bytes());
    }
    for open in ["[", "{\"a\":", "{\"rows\":[", "\"\\u"] {
        bodies::payloads(open.repeat(120_000 / open.len()).as_bytes());
    }
    bodies::payloads(format!("{}{}", "[".repeat(128), "]".repeat(128)).as_bytes());
}
