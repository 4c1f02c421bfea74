//! The clauses of a statement and of a nested query, in the order in which they stand. Expressions are read elsewhere.

use super::{Parse, Parser, RESERVED, Seen};
use crate::error::ParseError;
use crate::expression::{Expression, Item, Name, Query, Select};
use crate::lex::Token;
use crate::{Version, print};

/// The most variables that `SET` may give values.
const VARIABLES: usize = 10;
/// The longest name of a variable, in characters.
const VARIABLE_NAME: usize = 64;
/// The longest topic filter, in bytes: the longest topic that MQTT can name.
const FILTER: usize = 65_535;

/// The clauses of a statement.
#[derive(Debug, PartialEq)]
pub(crate) struct Parsed {
    /// What `SET` gives which value, in order.
    pub(crate) variables: Box<[(Name, Expression)]>,
    pub(crate) select: Select,
    /// The topic filter of `FROM`.
    pub(crate) from: Option<Box<str>>,
    pub(crate) filter: Option<Expression>,
}

/// Reads a statement.
pub(crate) fn statement(text: &str, version: Version) -> Parse<(Parsed, Seen)> {
    let mut parser = Parser::new(text, 0, version)?;
    let variables = parser.set()?;
    if !parser.is_word("SELECT") {
        return Err(parser.expected(if variables.is_empty() { "SELECT" } else { "an operator, `,` or SELECT" }));
    }
    parser.step()?;
    let select = parser.select()?;
    let from = parser.topic_filter()?;
    let filter = parser.filter()?;
    match (&parser.token, &filter, &from) {
        (Token::End, ..) => Ok((Parsed { variables: variables.into(), select, from, filter }, parser.seen)),
        (_, Some(_), _) => Err(parser.expected("an operator or the end of the statement")),
        (_, None, Some(_)) => Err(parser.expected("WHERE or the end of the statement")),
        (_, None, None) => Err(parser.expected("an operator, `,`, AS, FROM or WHERE")),
    }
}

impl Parser<'_> {
    /// `SET @a = …, @b = …`, if the statement begins so.
    fn set(&mut self) -> Parse<Vec<(Name, Expression)>> {
        let mut variables: Vec<(Name, Expression)> = Vec::new();
        if !self.is_word("SET") {
            return Ok(variables);
        }
        self.since(Version::V20160323, "SET", self.start)?;
        self.step()?;
        loop {
            let Token::Variable(name) = self.token else { return Err(self.expected("a variable such as @name")) };
            if name.chars().count() > VARIABLE_NAME || !name.is_ascii() {
                return Err(self.error(format!(
                    "expected a variable name of at most {VARIABLE_NAME} letters, digits and underscores"
                )));
            }
            if variables.iter().any(|(earlier, _)| **earlier == *name) {
                return Err(self.error(format!("@{name} has a value already; a variable is assigned once")));
            }
            if variables.len() == VARIABLES {
                return Err(self.error(format!("a statement can have at most {VARIABLES} variables")));
            }
            self.step()?;
            self.expect_symbol("=")?;
            let value = self.argument()?;
            self.seen.assigned.push(name.into());
            variables.push((name.into(), value));
            if !self.take_symbol(",")? {
                return Ok(variables);
            }
        }
    }

    /// The list after `SELECT`.
    fn select(&mut self) -> Parse<Select> {
        if self.is_value_keyword() {
            self.step()?;
            let value = self.argument()?;
            if matches!(self.token, Token::Symbol(",")) || self.is_word("AS") {
                return Err(self.error(format!("SELECT VALUE takes one item without a name, found {}", self.token)));
            }
            return Ok(Select::Value(value));
        }
        let mut items = vec![self.item()?];
        while self.take_symbol(",")? {
            items.push(self.item()?);
        }
        Ok(Select::Items(items.into()))
    }

    /// Whether `VALUE` is at hand as a keyword, and not as the name of a member.
    fn is_value_keyword(&self) -> bool {
        if !self.is_word("VALUE") {
            return false;
        }
        let mut lexer = self.lexer;
        let Ok((_, next)) = lexer.next() else { return true };
        match next {
            Token::Word(word) => {
                let reserved = RESERVED.into_iter().find(|reserved| reserved.eq_ignore_ascii_case(word));
                matches!(reserved, None | Some("CASE" | "EXISTS" | "NOT" | "NULL" | "TRUE" | "FALSE"))
            }
            Token::Variable(_) | Token::Text(_) | Token::Number(_) => true,
            // `VALUE *` is all of the payload, `value * 2` is a product.
            Token::Symbol("*") => match lexer.next() {
                Ok((_, Token::Word(word))) => word.eq_ignore_ascii_case("FROM") || word.eq_ignore_ascii_case("WHERE"),
                Ok((_, Token::End)) => true,
                _ => false,
            },
            Token::Symbol(symbol) => ["(", "[", "{"].contains(&symbol),
            Token::End => false,
        }
    }

    fn item(&mut self) -> Parse<Item> {
        let expression = self.argument()?;
        if self.is_spread() && may_be_spread(&expression) {
            self.step()?;
            self.step()?;
            if self.is_word("AS") {
                return Err(self.expected("`,`, FROM or WHERE, since `.*` takes no name"));
            }
            return Ok(Item { expression, path: None, named: false });
        }
        if self.take_word("AS")? {
            let Token::Word(first) = self.token else { return Err(self.expected("a name")) };
            self.step()?;
            let mut path = vec![Name::from(first)];
            path.extend(self.members()?);
            return Ok(Item { expression, path: Some(path.into()), named: true });
        }
        let path = implied_name(&expression).map(|name| Box::from([name]));
        Ok(Item { expression, path, named: false })
    }

    /// A nested query, from its `SELECT` on.
    pub(super) fn query(&mut self) -> Parse<Query> {
        self.depth = self.depth.checked_sub(1).ok_or_else(|| self.error("nested too deeply"))?;
        self.step()?;
        let select = self.select()?;
        self.expect_word("FROM")?;
        // unconfirmed: `FROM *` goes over the payload itself, which no other name stands for.
        let from = if self.take_symbol("*")? { Expression::Star } else { self.postfix()? };
        let alias = if self.take_word("AS")? {
            let Token::Word(name) = self.token else { return Err(self.expected("a name")) };
            self.step()?;
            Some(name.into())
        } else {
            None
        };
        let filter = self.filter()?;
        self.depth += 1;
        Ok(Query { select, from, alias, filter })
    }

    fn filter(&mut self) -> Parse<Option<Expression>> {
        if self.take_word("WHERE")? { self.expression(0).map(Some) } else { Ok(None) }
    }

    /// `FROM 'filter'`. AWS's own examples now and then leave out the quotes, so they may be left out here.
    fn topic_filter(&mut self) -> Parse<Option<Box<str>>> {
        if !self.is_word("FROM") {
            return Ok(None);
        }
        let mut ahead = self.lexer;
        let (start, bare) = ahead.bare();
        let filter: Box<str> = if bare.starts_with(['\'', '"']) {
            self.step()?;
            match &self.token {
                Token::Text(text) => Box::from(&**text),
                _ => return Err(self.expected("a topic filter in single quotes")),
            }
        } else {
            self.lexer = ahead;
            bare.into()
        };
        if let Err(message) = sound(&filter) {
            return Err(ParseError::at(self.text, start, message));
        }
        self.step()?;
        Ok(Some(filter))
    }
}

/// Whether a text is a topic filter, and what is wrong with it if not.
fn sound(filter: &str) -> Result<(), String> {
    if filter.is_empty() {
        return Err("expected a topic filter in single quotes".to_owned());
    }
    if filter.len() > FILTER || filter.contains('\0') {
        return Err(format!("expected a topic filter of at most {FILTER} bytes, without the character NUL"));
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains(['+', '#']) && level.len() > 1 {
            return Err(format!("a wildcard takes a whole level of a topic filter, found `{level}`"));
        }
        if level == "#" && levels.peek().is_some() {
            return Err("`#` stands only at the end of a topic filter".to_owned());
        }
    }
    Ok(())
}

/// Whether `.*` may stand after an expression: after what can be an object.
/// unconfirmed: AWS documents no `path.*`, but rules that it publishes have it.
fn may_be_spread(expression: &Expression) -> bool {
    matches!(
        expression,
        Expression::Name(_)
            | Expression::Member(..)
            | Expression::Variable(_)
            | Expression::Call(_)
            | Expression::Query(_)
            | Expression::Object(_)
    )
}

/// What an item without `AS` is called: the last name of a path, the name of a function.
/// unconfirmed: anything else is called by its own text; AWS advises to name everything that is no path.
fn implied_name(expression: &Expression) -> Option<Name> {
    match expression {
        Expression::Star => None,
        Expression::Name(name) | Expression::Variable(name) => Some(name.clone()),
        Expression::Member(_, members) => members.last().cloned(),
        Expression::Call(call) => Some(call.function.name.into()),
        Expression::Cast(..) => Some("cast".into()),
        _ => Some(print::expression(expression).into()),
    }
}
