//! Why a text is not a statement, and where: a line, a column, what was expected and what was found. It knows nothing of
//! the grammar.

use std::fmt;

/// A text that is refused. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The line of the first offending character.
    pub line: usize,
    /// Its column.
    pub column: usize,
    /// What was expected and found, or what is not allowed.
    pub message: String,
}

impl ParseError {
    /// An error at a byte offset of the text.
    pub(crate) fn at(text: &str, offset: usize, message: impl Into<String>) -> ParseError {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        ParseError { line, column, message: message.into() }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ParseError {}
