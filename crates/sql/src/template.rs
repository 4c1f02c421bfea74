//! Substitution templates: texts in which `${…}` is replaced by the value of an expression. Expressions see the payload as
//! it came and what `SET` gave values, and nothing that `SELECT` named.

use std::borrow::Cow;

use crate::error::ParseError;
use crate::evaluate::{Evaluation, Input, LONGEST, Stop, salt};
use crate::expression::{Expression, Name};
use crate::parse;
use crate::statement::outcome;
use crate::{Failed, Message, Outcome, Variables, Version, World};

/// A text with `${…}` in it, ready to be rendered.
#[derive(Debug)]
pub struct Template {
    source: Box<str>,
    version: Version,
    parts: Box<[Part]>,
    variables: Box<[(Name, usize)]>,
    registry: Option<usize>,
    roles: Box<[Option<Box<str>>]>,
    /// What tells its random numbers from those of others.
    salt: u128,
}

#[derive(Debug)]
enum Part {
    Text(Box<str>),
    Expression(Expression),
}

/// Why a template was not rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unrendered {
    /// A call is answered later: render again when it is.
    Suspended,
    /// A function failed, or the text is too long.
    Failed(Failed),
}

impl Template {
    /// Reads a template. A `$` that no `{` follows is itself.
    pub fn parse(text: &str, version: Version) -> Result<Template, ParseError> {
        let mut template = Template {
            source: text.into(),
            version,
            parts: Box::default(),
            variables: Box::default(),
            registry: None,
            roles: Box::default(),
            salt: salt(text),
        };
        let (mut parts, mut variables, mut roles, mut at) = (Vec::new(), Vec::new(), Vec::new(), 0);
        while let Some(start) = text.get(at..).and_then(|rest| rest.find("${")) {
            parts.extend(
                text.get(at..at + start).filter(|plain| !plain.is_empty()).map(|plain| Part::Text(plain.into())),
            );
            let embedded = parse::embedded(text, at + start + 2, version)?;
            if let Some(second) = embedded.seen.registry.filter(|_| template.registry.is_some()) {
                return Err(template.error(second, "Rule cannot contain more than 1 get_registry_data function calls"));
            }
            template.registry = template.registry.or(embedded.seen.registry);
            variables.extend(embedded.seen.variables);
            roles.extend(embedded.seen.roles);
            parts.push(Part::Expression(embedded.expression));
            at = embedded.end;
        }
        parts.extend(text.get(at..).filter(|plain| !plain.is_empty()).map(|plain| Part::Text(plain.into())));
        Ok(Template { parts: parts.into(), variables: variables.into(), roles: roles.into(), ..template })
    }

    /// The roles that its functions ask as, one for each call; none for one that only a message shows.
    pub fn roles(&self) -> impl Iterator<Item = Option<&str>> {
        self.roles.iter().map(Option::as_deref)
    }

    /// The text as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether there is nothing to replace.
    pub fn is_literal(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// The text with every `${…}` replaced, for a message that a statement selected from.
    /// unconfirmed: what is Null or Undefined is replaced by nothing.
    pub fn render(
        &self,
        message: &Message<'_>,
        variables: &Variables,
        world: &mut dyn World,
    ) -> Result<String, Unrendered> {
        if let [Part::Text(text)] = &*self.parts {
            return Ok(text.to_string());
        }
        let input = Input::new(message, self.version);
        let evaluation = Evaluation::new(&input, self.version, world, None).continued(variables, self.salt);
        self.replaced(evaluation).map_err(|stop| match outcome(Err(stop)) {
            Outcome::Failed(failed) => Unrendered::Failed(failed),
            _ => Unrendered::Suspended,
        })
    }

    fn replaced<'d>(&'d self, mut evaluation: Evaluation<'d, '_>) -> Result<String, Stop> {
        let mut text = String::with_capacity(self.source.len());
        for part in &self.parts {
            let value = match part {
                Part::Text(plain) => Some(Cow::Borrowed(&**plain)),
                Part::Expression(expression) => {
                    let value = evaluation.value(expression)?;
                    evaluation.string(value)?
                }
            };
            text.push_str(&value.unwrap_or_default());
            if text.len() > LONGEST {
                return Err(Stop::exceeded(format!("a template makes more than {LONGEST} bytes")));
            }
        }
        Ok(text)
    }

    /// Each variable that is read, and where.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, usize)> {
        self.variables.iter().map(|(name, at)| (&**name, *at))
    }

    /// Where the registry is asked, if it is.
    pub(crate) fn asks_registry(&self) -> Option<usize> {
        self.registry
    }

    pub(crate) fn error(&self, at: usize, message: impl Into<String>) -> ParseError {
        ParseError::at(&self.source, at, message)
    }
}
