//! What a statement is once it is read: a tree of expressions. How it came from a text, and what it makes of a message, is
//! not known here.

use crate::functions::{Function, Prepared};
use crate::number::Number;

/// A member name, variable or alias.
pub(crate) type Name = Box<str>;

/// Anything that has a value.
#[derive(Debug, PartialEq)]
pub(crate) enum Expression {
    Null,
    Bool(bool),
    Number(Number),
    Text(Box<str>),
    /// `*`: the whole payload, or all of a row.
    Star,
    /// What a first name stands for: a row's alias or member, or a member of the payload.
    Name(Name),
    /// `@name`.
    Variable(Name),
    /// `base.member.member`.
    Member(Box<Expression>, Box<[Name]>),
    Array(Box<[Expression]>),
    Object(Box<[(Box<str>, Expression)]>),
    Not(Box<Expression>),
    Negate(Box<Expression>),
    Chain(Box<Chain>),
    Exists(Box<Query>),
    Query(Box<Query>),
    Case(Box<Case>),
    Cast(Box<Expression>, Type),
    Call(Box<Call>),
}

/// Operators of one precedence in a row, from left to right. It is flat, so that a long condition is not a deep tree.
#[derive(Debug, PartialEq)]
pub(crate) struct Chain {
    pub(crate) first: Expression,
    pub(crate) rest: Box<[(Operator, Expression)]>,
}

/// What stands between two expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
}

impl Operator {
    /// How tightly it binds. `NOT` stands between 2 and 4, a sign above all.
    /// unconfirmed: AWS documents no precedence; this is SQL's.
    pub(crate) fn precedence(self) -> u8 {
        match self {
            Operator::Or => 1,
            Operator::And => 2,
            Operator::Equal
            | Operator::Unequal
            | Operator::Less
            | Operator::LessOrEqual
            | Operator::Greater
            | Operator::GreaterOrEqual
            | Operator::In => 4,
            Operator::Plus | Operator::Minus => 5,
            Operator::Times | Operator::Divide | Operator::Modulo => 6,
        }
    }

    /// How it is written.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Operator::Or => "OR",
            Operator::And => "AND",
            Operator::Equal => "=",
            Operator::Unequal => "<>",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::In => "IN",
            Operator::Plus => "+",
            Operator::Minus => "-",
            Operator::Times => "*",
            Operator::Divide => "/",
            Operator::Modulo => "%",
        }
    }
}

/// The precedence of `NOT`.
pub(crate) const NOT: u8 = 3;
/// The precedence of a sign.
pub(crate) const SIGN: u8 = 7;
/// The precedence of what needs no parentheses anywhere.
pub(crate) const PRIMARY: u8 = 8;

/// `SELECT … FROM …` within an expression.
#[derive(Debug, PartialEq)]
pub(crate) struct Query {
    pub(crate) select: Select,
    /// What is iterated over, or is the one row.
    pub(crate) from: Expression,
    /// What a row is called.
    pub(crate) alias: Option<Name>,
    pub(crate) filter: Option<Expression>,
}

/// The list of `SELECT`.
#[derive(Debug, PartialEq)]
pub(crate) enum Select {
    /// `SELECT VALUE x`.
    Value(Expression),
    Items(Box<[Item]>),
}

/// One item of a list.
#[derive(Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) expression: Expression,
    /// Where the value goes: `AS a.b` makes an object in an object. `None` for `*` and
    /// `path.*`, whose members are the result's.
    pub(crate) path: Option<Box<[Name]>>,
    /// Whether the path was written, or follows from the expression.
    pub(crate) named: bool,
}

/// `CASE subject WHEN … THEN … ELSE … END`.
#[derive(Debug, PartialEq)]
pub(crate) struct Case {
    pub(crate) subject: Expression,
    pub(crate) branches: Box<[(Expression, Expression)]>,
    pub(crate) otherwise: Option<Expression>,
}

/// What `cast` makes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    Int,
    Double,
    Decimal,
    Bool,
}

/// A function and its arguments.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) function: &'static Function,
    pub(crate) arguments: Box<[Expression]>,
    /// What is the same in every evaluation.
    pub(crate) prepared: Prepared,
}

impl PartialEq for Call {
    fn eq(&self, other: &Call) -> bool {
        self.function.name == other.function.name && self.arguments == other.arguments
    }
}

impl Expression {
    /// Hands each expression that this one is directly made of to `visit`.
    pub(crate) fn each_part<'e>(&'e self, visit: &mut dyn FnMut(&'e Expression)) {
        match self {
            Expression::Null
            | Expression::Bool(_)
            | Expression::Number(_)
            | Expression::Text(_)
            | Expression::Star
            | Expression::Name(_)
            | Expression::Variable(_) => {}
            Expression::Member(part, _)
            | Expression::Not(part)
            | Expression::Negate(part)
            | Expression::Cast(part, _) => visit(part),
            Expression::Array(parts) => parts.iter().for_each(visit),
            Expression::Object(members) => members.iter().for_each(|(_, part)| visit(part)),
            Expression::Chain(chain) => {
                visit(&chain.first);
                chain.rest.iter().for_each(|(_, part)| visit(part));
            }
            Expression::Exists(query) | Expression::Query(query) => query.each_part(visit),
            Expression::Case(case) => {
                visit(&case.subject);
                for (when, then) in &case.branches {
                    visit(when);
                    visit(then);
                }
                case.otherwise.iter().for_each(visit);
            }
            Expression::Call(call) => call.arguments.iter().for_each(visit),
        }
    }
}

impl Query {
    fn each_part<'e>(&'e self, visit: &mut dyn FnMut(&'e Expression)) {
        visit(&self.from);
        self.filter.iter().for_each(&mut *visit);
        self.select.each_part(visit);
    }
}

impl Select {
    /// Hands each expression of the list to `visit`.
    pub(crate) fn each_part<'e>(&'e self, visit: &mut dyn FnMut(&'e Expression)) {
        match self {
            Select::Value(part) => visit(part),
            Select::Items(items) => items.iter().for_each(|item| visit(&item.expression)),
        }
    }
}
