//! What comes of evaluating a statement against a message. It knows nothing of what is done with it.

use std::fmt;

use bytes::Bytes;

use crate::json::Outline;
use crate::value::Value;

/// What a statement makes of a message.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// `WHERE` was not true: nothing is to be done.
    Unmatched,
    /// The result.
    Selected(Selected),
    /// A call is answered later: evaluate the same message again when it is.
    Suspended,
    /// A function that looks outside failed, or the result passes a bound: nothing is to be done, and the log hears of it.
    Failed(Failed),
}

/// The result of a statement.
#[derive(Clone, Debug)]
pub struct Selected {
    /// What the actions get: JSON text, or the payload as it came.
    pub payload: Bytes,
    /// The values of `SET`, which templates may read.
    pub variables: Variables,
    /// Whether the payload is the message's own, of which nobody has looked whether it is JSON.
    pub(crate) is_raw: bool,
}

impl Selected {
    /// Other JSON beside the same variables, as an error action gets it.
    pub fn instead(&self, json: Bytes) -> Self {
        Self { payload: json, variables: self.variables.clone(), is_raw: false }
    }

    /// Whether the payload is JSON. One that was not made here is read to find out.
    pub fn is_json(&self) -> bool {
        let reads = |payload| std::str::from_utf8(payload).is_ok_and(|text| Outline::read(text, false).is_some());
        if self.is_raw { reads(&self.payload) } else { !self.payload.is_empty() }
    }
}

/// The variables that `SET` gave values.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    pub(crate) values: Vec<(Box<str>, Value<'static>)>,
}

/// Why an evaluation was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The function that failed, as AWS spells it; `rule` for the statement as a whole.
    pub function: &'static str,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.function, self.reason)
    }
}

impl std::error::Error for Failed {}
