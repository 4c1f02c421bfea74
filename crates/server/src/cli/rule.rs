//! `ombra rule`: what a rule's statement makes of a message, step by step, before it is anybody's rule; and files of tests for
//! rules. What looks at nothing outside needs no server; what does is asked of the one that runs, if one does.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};
use sql::{Call, Reply, World};

use super::api::Api;
use super::{Failure, Output, say};
use crate::data_dir::Endpoints;
use crate::server::now_ms;
use crate::trial::{BadTrial, Trial, VERSION};

mod check;
mod mock;
mod print;

/// The most that is read of a payload; no message is larger.
const MAX_PAYLOAD: u64 = 128 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum Rule {
    /// Try a statement on a message, and see what each part of it comes to
    Test(Test),
    /// Run the tests of a file, and end with 1 if one fails
    Check {
        /// A TOML file with [[test]] tables; docs/rules-testing.md says what they hold
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct Test {
    /// The statement, or @FILE to read it
    sql: String,
    /// The topic it was published to [default: the filter of FROM, if it names one topic]
    #[arg(long)]
    topic: Option<String>,
    /// The payload: a file's name, - for standard input, or the text itself
    #[arg(long, value_name = "FILE|-|TEXT", allow_hyphen_values = true, conflicts_with = "last", default_value = "{}")]
    payload: String,
    /// Take the last message to a topic that matches, of those the running server remembers
    #[arg(long, conflicts_with = "topic")]
    last: bool,
    /// The version of the language
    #[arg(long, default_value = VERSION)]
    version: String,
    /// What clientid() says
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// What principal() says
    #[arg(long, value_name = "ID")]
    principal: Option<String>,
    /// What timestamp() says, in milliseconds since 1970 [default: now]
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    now: Option<i64>,
}

/// Runs the command.
pub(super) async fn run(rule: Rule, data: &Path, output: Output) -> Result<(), Failure> {
    match rule {
        Rule::Test(test) => test.run(data, output).await,
        Rule::Check { file } => check::run(&file, output),
    }
}

impl Test {
    async fn run(self, data: &Path, output: Output) -> Result<(), Failure> {
        let sql = given(&self.sql)?;
        let trace = if self.last {
            let asked = json!({"sql": sql, "version": self.version, "last": true});
            ask(&Endpoints::of(data)?, &asked).await?
        } else {
            self.try_here(sql, Endpoints::of(data).ok()).await?
        };
        match output {
            Output::Json => say(format_args!("{trace}")),
            Output::Table => say(format_args!("{}", print::trace(&trace))),
        }
        Ok(())
    }

    /// Evaluates without a server, unless the statement asks what only a server can answer and one runs.
    async fn try_here(self, sql: String, server: Option<Endpoints>) -> Result<Value, Failure> {
        let (payload, payload_base64) = payload(&self.payload)?;
        let trial = Trial {
            sql,
            version: Some(self.version),
            topic: self.topic,
            payload,
            payload_base64,
            client_id: self.client_id,
            principal: self.principal,
            now: Some(self.now.unwrap_or_else(now_ms)),
            ..Trial::default()
        };
        let mut nobody = Nobody::default();
        // Another one each time is all the chance that a trial needs.
        let chance = u128::from(now_ms().unsigned_abs());
        let trace = trial.ready().map_err(|error| refused(&trial.sql, &error))?.run(chance, &mut nobody);
        match server {
            Some(endpoints) if nobody.was_asked => ask(&endpoints, &json!(trial)).await,
            _ => Ok(json!(trace)),
        }
    }
}

/// A world in which nobody answers, and which knows whether somebody asked.
#[derive(Default)]
struct Nobody {
    was_asked: bool,
}

impl World for Nobody {
    fn call(&mut self, call: &Call) -> Reply {
        self.was_asked = true;
        Reply::Failed(format!("{} asks a running ombra, and none runs here", call.function()))
    }
}

/// Asks the running server for a trace.
async fn ask(endpoints: &Endpoints, trial: &Value) -> Result<Value, Failure> {
    Ok(Api::control(endpoints).call(Method::POST, "/_ombra/rules/test", &[], Some(trial)).await?)
}

/// A text that was typed, or that lies in the file of `@FILE`.
fn given(typed: &str) -> Result<String, Failure> {
    let Some(file) = typed.strip_prefix('@') else { return Ok(typed.to_owned()) };
    std::fs::read_to_string(file).map_err(|error| Failure::Usage(format!("failed to read {file}: {error}")))
}

/// The payload as a text, or in base64 if it is none.
fn payload(typed: &str) -> Result<(Option<Value>, Option<String>), Failure> {
    let mut bytes = Vec::new();
    let failed = |error: std::io::Error| Failure::Usage(format!("failed to read the payload {typed}: {error}"));
    if typed == "-" {
        std::io::stdin().take(MAX_PAYLOAD + 1).read_to_end(&mut bytes).map_err(failed)?;
    } else if Path::new(typed).is_file() {
        let file = std::fs::File::open(typed).map_err(failed)?;
        file.take(MAX_PAYLOAD + 1).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        bytes = typed.into();
    }
    if bytes.len() as u64 > MAX_PAYLOAD {
        return Err(Failure::Usage(format!("the payload has more than {MAX_PAYLOAD} bytes")));
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => (Some(text.into()), None),
        Err(error) => (None, Some(STANDARD.encode(error.as_bytes()))),
    })
}

/// An error with the place in the statement below it.
fn refused(sql: &str, error: &BadTrial) -> Failure {
    match error {
        BadTrial::Sql(at) => {
            let line = sql.lines().nth(at.line.saturating_sub(1)).unwrap_or_default();
            Failure::Failed(format!("{error}\n  {line}\n  {}^", " ".repeat(at.column.saturating_sub(1))))
        }
        BadTrial::Other(what) => Failure::Usage(what.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_text_if_it_can_be() {
        assert_eq!(payload("{\"a\":1}").unwrap(), (Some("{\"a\":1}".into()), None));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0xff, 0x00]).unwrap();
        let path = file.path().to_str().unwrap();
        assert_eq!(payload(path).unwrap(), (None, Some("/wA=".to_owned())));
        std::fs::write(file.path(), vec![b'a'; 128 * 1024 + 1]).unwrap();
        assert!(payload(path).is_err());
        std::fs::write(file.path(), vec![b'a'; 128 * 1024]).unwrap();
        assert!(payload(path).is_ok());
    }

    #[test]
    fn a_mistake_is_shown_where_it_is() {
        let trial = Trial { sql: "SELECT *\nFROM 'a' WHERE )".to_owned(), ..Trial::default() };
        let Err(error) = trial.ready() else { panic!() };
        let Failure::Failed(text) = refused(&trial.sql, &error) else { panic!() };
        assert!(
            text.starts_with("line 2, column 16: ") && text.ends_with("\n  FROM 'a' WHERE )\n                 ^"),
            "{text}"
        );
    }
}
