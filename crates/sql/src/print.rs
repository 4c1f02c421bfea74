//! A statement as text that reads back as the same statement, with no more parentheses than that needs. What any of it
//! means is not known here.

use std::fmt::{self, Display, Formatter, Write as _};

use crate::expression::{Chain, Expression, Item, NOT, Name, PRIMARY, Query, SIGN, Select, Type};
use crate::parse::Parsed;

/// An expression as text.
pub(crate) fn expression(expression: &Expression) -> String {
    expression.to_string()
}

impl Display for Parsed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.variables.iter().enumerate() {
            write!(f, "{} @{name} = {value}", if index == 0 { "SET" } else { "," })?;
        }
        if !self.variables.is_empty() {
            f.write_char(' ')?;
        }
        write!(f, "SELECT {}", self.select)?;
        if let Some(filter) = &self.from {
            f.write_str(" FROM ")?;
            text(filter, f)?;
        }
        condition(self.filter.as_ref(), f)
    }
}

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "(SELECT {} FROM ", self.select)?;
        at_least(&self.from, PRIMARY, f)?;
        if let Some(alias) = &self.alias {
            write!(f, " AS {alias}")?;
        }
        condition(self.filter.as_ref(), f)?;
        f.write_char(')')
    }
}

fn condition(filter: Option<&Expression>, f: &mut Formatter<'_>) -> fmt::Result {
    match filter {
        Some(filter) => write!(f, " WHERE {filter}"),
        None => Ok(()),
    }
}

impl Display for Select {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Select::Value(value) => {
                f.write_str("VALUE ")?;
                // After VALUE a sign would be an operator, and VALUE a name.
                if begins_with_sign(value) { write!(f, "({value})") } else { value.fmt(f) }
            }
            Select::Items(items) => list(items, f),
        }
    }
}

/// Whether the text of an expression begins with `-`.
fn begins_with_sign(expression: &Expression) -> bool {
    match expression {
        Expression::Negate(_) => true,
        Expression::Number(number) => number.sign() < 0,
        Expression::Chain(chain) => begins_with_sign(&chain.first),
        _ => false,
    }
}

impl Display for Item {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.expression.fmt(f)?;
        match &self.path {
            Some(path) if self.named => write!(f, " AS {}", path.join(".")),
            None if !matches!(self.expression, Expression::Star) => f.write_str(".*"),
            _ => Ok(()),
        }
    }
}

impl Display for Expression {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expression::Null => f.write_str("NULL"),
            Expression::Bool(true) => f.write_str("TRUE"),
            Expression::Bool(false) => f.write_str("FALSE"),
            Expression::Number(number) => number.fmt(f),
            Expression::Text(literal) => text(literal, f),
            Expression::Star => f.write_char('*'),
            Expression::Name(name) => f.write_str(name),
            Expression::Variable(name) => write!(f, "@{name}"),
            Expression::Member(base, members) => member(base, members, f),
            Expression::Array(elements) => {
                f.write_char('[')?;
                list(elements, f)?;
                f.write_char(']')
            }
            Expression::Object(members) => object(members, f),
            Expression::Not(operand) => {
                f.write_str("NOT ")?;
                at_least(operand, NOT, f)
            }
            Expression::Negate(operand) => {
                // Two signs together would be a comment elsewhere, and are refused here.
                f.write_str(if begins_with_sign(operand) { "- " } else { "-" })?;
                at_least(operand, SIGN, f)
            }
            Expression::Chain(chain) => chain.fmt(f),
            Expression::Exists(query) => write!(f, "EXISTS {query}"),
            Expression::Query(query) => query.fmt(f),
            Expression::Case(case) => {
                write!(f, "CASE {}", case.subject)?;
                for (when, then) in &case.branches {
                    write!(f, " WHEN {when} THEN {then}")?;
                }
                if let Some(otherwise) = &case.otherwise {
                    write!(f, " ELSE {otherwise}")?;
                }
                f.write_str(" END")
            }
            Expression::Cast(value, kind) => write!(f, "cast({value} AS {kind})"),
            Expression::Call(call) => {
                write!(f, "{}(", call.function.name)?;
                list(&call.arguments, f)?;
                f.write_char(')')
            }
        }
    }
}

impl Display for Chain {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let tighter = self.precedence() + 1;
        at_least(&self.first, tighter, f)?;
        for (operator, operand) in &self.rest {
            write!(f, " {} ", operator.text())?;
            at_least(operand, tighter, f)?;
        }
        Ok(())
    }
}

impl Chain {
    fn precedence(&self) -> u8 {
        self.rest.first().map_or(PRIMARY, |(operator, _)| operator.precedence())
    }
}

impl Display for Type {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Text => "String",
            Type::Int => "Int",
            Type::Double => "Double",
            Type::Decimal => "Decimal",
            Type::Bool => "Boolean",
        })
    }
}

/// An expression, in parentheses if it binds less tightly than its place asks.
fn at_least(expression: &Expression, precedence: u8, f: &mut Formatter<'_>) -> fmt::Result {
    let own = match expression {
        Expression::Not(_) => NOT,
        Expression::Negate(_) => SIGN,
        Expression::Number(number) if number.sign() < 0 => SIGN,
        Expression::Chain(chain) => chain.precedence(),
        _ => PRIMARY,
    };
    if own < precedence { write!(f, "({expression})") } else { expression.fmt(f) }
}

fn member(base: &Expression, members: &[Name], f: &mut Formatter<'_>) -> fmt::Result {
    // A point after a number would be its decimal point, and members of members would become one path.
    match base {
        Expression::Number(_) | Expression::Member(..) => write!(f, "({base})")?,
        base => at_least(base, PRIMARY, f)?,
    }
    members.iter().try_for_each(|name| write!(f, ".{name}"))
}

fn object(members: &[(Box<str>, Expression)], f: &mut Formatter<'_>) -> fmt::Result {
    f.write_char('{')?;
    for (index, (key, value)) in members.iter().enumerate() {
        f.write_str(if index > 0 { ", " } else { "" })?;
        text(key, f)?;
        write!(f, ": {value}")?;
    }
    f.write_char('}')
}

fn list<T: Display>(items: &[T], f: &mut Formatter<'_>) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if index > 0 { ", " } else { "" })?;
    }
    Ok(())
}

/// A string in whichever quotes it does not hold; if it holds both, the single ones are doubled.
fn text(text: &str, f: &mut Formatter<'_>) -> fmt::Result {
    if text.contains('\'') && !text.contains('"') {
        write!(f, "\"{text}\"")
    } else {
        write!(f, "'{}'", text.replace('\'', "''"))
    }
}
