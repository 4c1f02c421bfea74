//! A statement: parsed and checked once, evaluated for each message. Where it is kept, and which messages are offered to
//! it, is not known here.

use std::fmt;

use crate::evaluate::{Evaluation, Input, Stop, output};
use crate::expression::{Expression, Item, Select};
use crate::parse::{self, Parsed};
use crate::value::Value;
use crate::{Failed, Message, Outcome, ParseError, Selected, Template, Version, World};

/// The longest statement or template that is read, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

/// A statement, ready to be evaluated.
#[derive(Debug)]
pub struct Statement {
    version: Version,
    pub(crate) parsed: Parsed,
    /// Whether what is selected is the payload as it came.
    passes: bool,
    asks_registry: bool,
    roles: Box<[Option<Box<str>>]>,
}

/// What is told of each expression that is evaluated, and its value.
pub(crate) type Probe<'p, 'd> = &'p mut dyn FnMut(&'d Expression, &Value<'d>);

impl Statement {
    /// Reads a statement and checks all of it that does not depend on a message.
    pub fn parse(sql: &str, version: Version) -> Result<Statement, ParseError> {
        let (parsed, seen) = parse::statement(sql, version)?;
        let passes = match &parsed.select {
            Select::Value(value) => matches!(value, Expression::Star),
            Select::Items(items) => matches!(&**items, [Item { expression: Expression::Star, path: None, .. }]),
        };
        let asks_registry = seen.registry.is_some();
        Ok(Statement { version, parsed, passes, asks_registry, roles: seen.roles.into() })
    }

    /// The roles that its functions ask as, one for each call; none for one that only a message shows.
    pub fn roles(&self) -> impl Iterator<Item = Option<&str>> {
        self.roles.iter().map(Option::as_deref)
    }

    /// The topic filter of `FROM`. Without one only Basic Ingest reaches the statement.
    pub fn filter(&self) -> Option<&str> {
        self.parsed.from.as_deref()
    }

    /// The version of the language it was read by.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Checks what the templates of a rule's actions share with its statement: that every variable has a value, and that
    /// the registry is asked no more than once.
    pub fn check_templates<'t>(&self, templates: impl IntoIterator<Item = &'t Template>) -> Result<(), ParseError> {
        let mut asks_registry = self.asks_registry;
        for template in templates {
            let is_known = |name: &str| self.parsed.variables.iter().any(|(known, _)| **known == *name);
            if let Some((name, at)) = template.variables().find(|(name, _)| !is_known(name)) {
                return Err(template.error(at, format!("@{name} has no value; SET gives it one in the statement")));
            }
            if let Some(at) = template.asks_registry() {
                if asks_registry {
                    let message = "Rule cannot contain more than 1 get_registry_data function calls";
                    return Err(template.error(at, message));
                }
                asks_registry = true;
            }
        }
        Ok(())
    }

    /// What the statement makes of a message. Whether the topic matches [`Statement::filter`] is not asked here.
    ///
    /// Equal messages and answers give equal outcomes, so after [`Outcome::Suspended`] it can be evaluated again.
    pub fn evaluate(&self, message: &Message<'_>, world: &mut dyn World) -> Outcome {
        let input = Input::new(message, self.version);
        let ran = self.run(&input, &mut *world, None);
        if input.is_not_json() {
            world.not_json();
        }
        outcome(ran)
    }

    /// Evaluates, with the order of clauses that the language has: `SET`, `WHERE`, `SELECT`. `None` if `WHERE` is not true.
    pub(crate) fn run<'d, 'w>(
        &'d self,
        input: &'d Input<'d>,
        world: &'w mut dyn World,
        probe: Option<Probe<'w, 'd>>,
    ) -> Result<Option<Selected>, Stop> {
        let mut evaluation = Evaluation::new(input, self.version, world, probe);
        for (name, value) in &self.parsed.variables {
            evaluation.set(name, value)?;
        }
        if let Some(filter) = &self.parsed.filter
            && !evaluation.is_true(filter)?
        {
            return Ok(None);
        }
        let payload = if self.passes {
            evaluation.message.payload.bytes().clone()
        } else {
            output(&mut evaluation, &self.parsed.select)?
        };
        Ok(Some(Selected { payload, variables: evaluation.variables()?, is_raw: self.passes }))
    }
}

/// How an evaluation ended, for whoever asked for it.
pub(crate) fn outcome(result: Result<Option<Selected>, Stop>) -> Outcome {
    match result {
        Ok(Some(selected)) => Outcome::Selected(selected),
        Ok(None) => Outcome::Unmatched,
        Err(Stop::Later) => Outcome::Suspended,
        Err(Stop::Failed(failed) | Stop::Exceeded(failed)) => Outcome::Failed(*failed),
        // A function's own Undefined ends in the call; it would mean that there is no result.
        Err(Stop::Undefined) => {
            Outcome::Failed(Failed { function: "rule", reason: "the result is Undefined".to_owned() })
        }
    }
}

/// SQL that reads back as the same statement.
impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parsed.fmt(f)
    }
}
