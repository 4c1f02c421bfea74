//! `ombra policy check`: whether a file is a policy for devices, and what strikes in it, before it is anybody's policy. It
//! needs no server.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use policy::{Document, Home, MAX_BYTES, Malformed, Warning, lint};
use serde_json::{Value, json};

use super::key::account;
use super::{Failure, Output, say};
use crate::settings::{ACCOUNT, REGION};

#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// Read a policy, and end with 1 if it is none; what is valid and yet strikes is told
    Check(Check),
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The document, or - for standard input
    file: PathBuf,
    /// The account it is for
    #[arg(long, default_value = ACCOUNT, value_parser = account)]
    account: String,
    /// The region it is for
    #[arg(long, default_value = REGION)]
    region: String,
}

/// Runs the command.
pub(super) fn run(policy: &Policy, output: Output) -> Result<(), Failure> {
    let Policy::Check(check) = policy;
    let text = read(&check.file)?;
    let home = Home { region: &check.region, account: &check.account };
    let checked = Document::parse(&text).map(|document| lint(&document, Some(home)));
    match output {
        Output::Json => say(format_args!("{}", as_json(&checked))),
        Output::Table => {
            if let Ok(warnings) = &checked {
                say(format_args!("{}", as_lines(&check.file, warnings)));
            }
        }
    }
    checked.map(drop).map_err(|malformed| refused(&check.file, &text, &malformed))
}

fn read(file: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::Usage(format!("failed to read {}: {error}", file.display()));
    let mut text = String::new();
    // One byte more than any policy has, so that what is longer is seen to be.
    let most = MAX_BYTES as u64 + 1;
    if file == Path::new("-") {
        std::io::stdin().take(most).read_to_string(&mut text).map_err(failed)?;
    } else {
        std::fs::File::open(file).map_err(failed)?.take(most).read_to_string(&mut text).map_err(failed)?;
    }
    Ok(text)
}

fn as_json(checked: &Result<Vec<Warning>, Malformed>) -> Value {
    match checked {
        Ok(warnings) => {
            let warning = |Warning { statement, code, subject, message }: &Warning| json!({"statement": statement, "code": code, "subject": subject, "message": message});
            json!({"valid": true, "warnings": warnings.iter().map(warning).collect::<Vec<_>>()})
        }
        Err(Malformed { message, line, column }) => {
            json!({"valid": false, "message": message, "line": line, "column": column})
        }
    }
}

fn as_lines(file: &Path, warnings: &[Warning]) -> String {
    let file = file.display();
    if warnings.is_empty() {
        return format!("{file}: a policy, and nothing strikes in it");
    }
    warnings.iter().map(|warning| format!("{file}: {warning}")).collect::<Vec<_>>().join("\n")
}

/// The mistake with the place in the document below it.
fn refused(file: &Path, text: &str, malformed: &Malformed) -> Failure {
    let line = text.lines().nth(malformed.line.saturating_sub(1)).unwrap_or_default();
    // A document on one long line is shown from shortly before the place.
    let (before, shown) = (malformed.column.saturating_sub(1), 60);
    let skipped = before.saturating_sub(shown);
    let window: String = line.chars().skip(skipped).take(2 * shown).collect();
    let pointer = " ".repeat(before - skipped);
    Failure::Failed(format!("{}: {malformed}\n  {window}\n  {pointer}^", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_shown_where_it_is() {
        let text = "{\n  \"Version\": \"2012-10-18\"}";
        let Err(malformed) = Document::parse(text) else { panic!() };
        let Failure::Failed(told) = refused(Path::new("p.json"), text, &malformed) else { panic!() };
        assert_eq!(
            told,
            "p.json: line 2, column 14: expected `2012-10-17` or `2008-10-17`, found `2012-10-18`\n    \"Version\": \
             \"2012-10-18\"}\n               ^"
        );
        assert_eq!(as_json(&Err(malformed))["column"], 14);
    }

    #[test]
    fn what_strikes_is_told_line_by_line() {
        let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:*","Resource":"*"}}"#;
        let warnings = lint(&Document::parse(text).unwrap(), None);
        let lines = as_lines(Path::new("p.json"), &warnings);
        assert!(lines.starts_with("p.json: statement 0: *: it allows every action"), "{lines}");
        assert_eq!(as_json(&Ok(warnings))["warnings"][0]["code"], "everything");
        assert_eq!(as_lines(Path::new("p.json"), &[]), "p.json: a policy, and nothing strikes in it");
    }
}
