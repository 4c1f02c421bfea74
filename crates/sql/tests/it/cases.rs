//! Tables of what the language does, one case a line. How a line is written is said at the head of each table; what holds
//! of the language is written there, not here.

use bytes::Bytes;
use sql::{Outcome, Payload, Statement, Version};

use crate::world::{Answers, message};

/// A table and its name.
const TABLES: [(&str, &str); 4] = [
    ("expressions", include_str!("cases/expressions.txt")),
    ("functions", include_str!("cases/functions.txt")),
    ("statements", include_str!("cases/statements.txt")),
    ("refusals", include_str!("cases/refusals.txt")),
];

/// One case.
struct Case {
    at: String,
    versions: &'static [Version],
    sql: String,
    payload: Bytes,
    expected: String,
    /// Whether the expected value is that of the member `v`, and not the whole result.
    is_expression: bool,
}

const BOTH: &[Version] = &[Version::V20151008, Version::V20160323, Version::Beta];
const OLD: &[Version] = &[Version::V20151008];
const NEW: &[Version] = &[Version::V20160323, Version::Beta];

#[test]
fn every_line_of_the_tables_holds() {
    let mut failures = Vec::new();
    let mut count = 0;
    for case in TABLES.iter().flat_map(|(name, table)| read(name, table)) {
        for version in case.versions {
            count += 1;
            let found = run(&case, *version);
            if found != case.expected {
                failures.push(format!("{} {version}: {}\n    {found}\n    {}", case.at, case.sql, case.expected));
            }
        }
    }
    assert!(failures.is_empty(), "found, and expected:\n{}", failures.join("\n"));
    assert!(count > 300, "{count}");
}

#[test]
fn every_statement_of_the_tables_prints_as_itself() {
    for case in TABLES.iter().flat_map(|(name, table)| read(name, table)) {
        for version in case.versions {
            if let Ok(statement) = Statement::parse(&case.sql, *version) {
                let printed = statement.to_string();
                let again = Statement::parse(&printed, *version).unwrap_or_else(|error| panic!("{printed}: {error}"));
                assert_eq!(again.to_string(), printed, "{}", case.at);
                let payload = Payload::from(case.payload.clone());
                assert_eq!(
                    format!("{:?}", statement.evaluate(&message(&payload), &mut Answers)),
                    format!("{:?}", again.evaluate(&message(&payload), &mut Answers)),
                    "{}",
                    case.at
                );
            }
        }
    }
}

#[test]
fn an_error_counts_lines_and_characters() {
    let error = Statement::parse("SELECT a,\n  'é\nü' + b,\n  'é' ! b\nFROM 't'", Version::V20160323).unwrap_err();
    assert_eq!((error.line, error.column), (4, 7));
    assert!(error.to_string().starts_with("line 4, column 7: expected a word of the language, found `!`"));
}

fn read(name: &str, table: &'static str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut payload = Bytes::from_static(b"{}");
    for (index, line) in table.lines().enumerate() {
        let at = format!("{name}:{}", index + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(text) = line.strip_prefix("payload") {
            payload = bytes(text.trim());
            continue;
        }
        let (head, expected) = line.split_once(" => ").unwrap_or_else(|| panic!("{at} has no ` => `"));
        let (versions, sql) = head.split_once(' ').unwrap_or_else(|| panic!("{at} has no version"));
        let versions = match versions {
            "all" => BOTH,
            "15" => OLD,
            "16" => NEW,
            other => panic!("{at}: {other} is no version"),
        };
        let sql = sql.trim();
        let is_expression = name == "expressions" || name == "functions";
        let sql = if is_expression { format!("SELECT {sql} AS v FROM 't'") } else { sql.to_owned() };
        cases.push(Case {
            at,
            versions,
            sql,
            payload: payload.clone(),
            expected: expected.trim().to_owned(),
            is_expression,
        });
    }
    cases
}

/// A payload as a table has it, in which \xHH is one byte.
fn bytes(text: &str) -> Bytes {
    let mut pieces = text.split("\\x");
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(&piece[..2], 16).unwrap());
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    bytes.into()
}

fn run(case: &Case, version: Version) -> String {
    let statement = match Statement::parse(&case.sql, version) {
        Ok(statement) => statement,
        Err(error) if case.is_expression => return format!("refused {}", error.message),
        Err(error) => return format!("refused {error}"),
    };
    match statement.evaluate(&message(&Payload::from(case.payload.clone())), &mut Answers) {
        Outcome::Unmatched => "unmatched".to_owned(),
        Outcome::Suspended => "suspended".to_owned(),
        Outcome::Failed(failed) => format!("failed {failed}"),
        Outcome::Selected(selected) if selected.payload.is_empty() => "empty".to_owned(),
        Outcome::Selected(selected) => {
            let text = String::from_utf8_lossy(&selected.payload).into_owned();
            match text.strip_prefix("{\"v\":").and_then(|text| text.strip_suffix('}')) {
                Some(value) if case.is_expression => value.to_owned(),
                None if case.is_expression && text == "{}" => "undefined".to_owned(),
                _ => text,
            }
        }
    }
}
