//! A statement: parsed once, evaluated for each message. Today it reads `SELECT * FROM 'filter'` and refuses the rest by name.

use crate::{Failed, Message, Outcome, ParseError, Selected, Variables, Version, World};

/// The longest statement that is read, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

/// A statement, ready to be evaluated.
#[derive(Debug)]
pub struct Statement {
    version: Version,
    filter: Option<Box<str>>,
}

impl Statement {
    /// Reads a statement.
    pub fn parse(sql: &str, version: Version) -> Result<Statement, ParseError> {
        if sql.len() > MAX_BYTES {
            return Err(ParseError::at(sql, 0, format!("expected at most {MAX_BYTES} bytes")));
        }
        let words: Vec<&str> = sql.split_whitespace().collect();
        let not_built = || ParseError::at(sql, 0, "not built yet; only SELECT * FROM 'filter' is");
        let [select, "*", from, filter] = words[..] else { return Err(not_built()) };
        if !select.eq_ignore_ascii_case("select") || !from.eq_ignore_ascii_case("from") {
            return Err(not_built());
        }
        let filter = filter.strip_prefix('\'').and_then(|filter| filter.strip_suffix('\''));
        Ok(Statement { version, filter: Some(filter.ok_or_else(not_built)?.into()) })
    }

    /// The topic filter of `FROM`. Without one only Basic Ingest reaches the statement.
    pub fn filter(&self) -> Option<&str> {
        self.filter.as_deref()
    }

    /// The version of the language it was read by.
    pub fn version(&self) -> Version {
        self.version
    }

    /// What the statement makes of a message. Whether the topic matches [`Statement::filter`] is not asked here.
    pub fn evaluate(&self, message: &Message<'_>, _world: &mut dyn World) -> Outcome {
        Outcome::Selected(Selected { payload: message.payload.clone(), variables: Variables::default() })
    }

    /// The evaluation step by step, for people.
    pub fn trace(&self, message: &Message<'_>, world: &mut dyn World) -> Trace {
        let _ = self.evaluate(message, world);
        Trace {}
    }
}

/// What happened in an evaluation.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Trace {}

/// A text with `${…}` in it.
#[derive(Debug)]
pub struct Template {
    text: Box<str>,
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str, _version: Version) -> Result<Template, ParseError> {
        match text.find("${") {
            Some(at) => Err(ParseError::at(text, at, "not built yet; only texts without ${} are")),
            None => Ok(Template { text: text.into() }),
        }
    }

    /// Whether there is nothing to replace.
    pub fn is_literal(&self) -> bool {
        true
    }

    /// The text with every `${…}` replaced.
    pub fn render(
        &self,
        _message: &Message<'_>,
        _variables: &Variables,
        _world: &mut dyn World,
    ) -> Result<String, Unrendered> {
        Ok(self.text.to_string())
    }
}

/// Why a template was not rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unrendered {
    /// A call is answered later: render again when it is.
    Suspended,
    /// A function failed.
    Failed(Failed),
}
