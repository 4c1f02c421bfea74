//! What of a call can be made ready when the statement is read, because it stands there: regular expressions, patterns of
//! time, zones. A part that is bad is kept as such, and is Undefined when it is used.

use std::sync::Arc;

use crate::evaluate::Stop;
use crate::expression::Expression;
use crate::pattern::Pattern;
use crate::time::{Parser, Printer, Zone};

/// What was made ready of a call.
#[derive(Debug)]
pub(crate) enum Prepared {
    Nothing,
    Regex(Pattern),
    Print { printer: Part<Printer>, zone: Part<Zone> },
    Read(Part<Parser>),
}

/// One argument of a call.
#[derive(Debug)]
pub(crate) enum Part<T> {
    /// It stands in the statement; nothing if it is bad.
    Made(Option<Arc<T>>),
    /// It depends on the message.
    Open,
}

impl<T> Part<T> {
    fn new(literal: Option<&str>, make: fn(&str) -> Option<T>) -> Part<T> {
        literal.map_or(Part::Open, |literal| Part::Made(make(literal).map(Arc::new)))
    }

    /// What was made, or is made now of the text that `text` gives. Nothing if it is bad.
    pub(super) fn or_make(
        &self,
        text: impl FnOnce() -> Result<String, Stop>,
        make: fn(&str) -> Option<T>,
    ) -> Result<Arc<T>, Stop> {
        match self {
            Part::Made(part) => part.clone().ok_or(Stop::Undefined),
            Part::Open => make(&text()?).map(Arc::new).ok_or(Stop::Undefined),
        }
    }
}

impl Prepared {
    /// Prepares a call of a function.
    pub(crate) fn new(function: &str, arguments: &[Expression]) -> Prepared {
        let literal = |index: usize| match arguments.get(index) {
            Some(Expression::Text(text)) => Some(&**text),
            _ => None,
        };
        match (function, literal(1)) {
            ("regexp_matches" | "regexp_replace" | "regexp_substr", Some(pattern)) => {
                Prepared::Regex(Pattern::new(pattern))
            }
            ("time_to_epoch", pattern) => Prepared::Read(Part::new(pattern, Parser::compile)),
            ("parse_time", _) => {
                let zone = if arguments.len() < 3 { Some("UTC") } else { literal(2) };
                Prepared::Print { printer: Part::new(literal(0), Printer::compile), zone: Part::new(zone, Zone::find) }
            }
            _ => Prepared::Nothing,
        }
    }
}
