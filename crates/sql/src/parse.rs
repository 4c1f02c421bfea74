//! From a text to a tree of expressions: the grammar, with what each version of the language lacks. It bounds its own
//! recursion. What only the whole statement shows to be wrong is looked for in `check`.

mod calls;
mod query;

use crate::error::ParseError;
use crate::expression::{Call, Case, Chain, Expression, NOT, Name, Operator, Type};
use crate::functions::{self, Prepared};
use crate::lex::{Lexer, Odd, Token};
use crate::number::{Number, Spelling};
use crate::{MAX_BYTES, Version};

pub(crate) use query::{Parsed, statement};

/// How deep expressions may nest.
const DEPTH: usize = 64;

/// Words that are no names where an expression begins.
const RESERVED: [&str; 18] = [
    "SELECT", "FROM", "WHERE", "AS", "AND", "OR", "NOT", "IN", "EXISTS", "CASE", "WHEN", "THEN", "ELSE", "END", "NULL",
    "TRUE", "FALSE", "SET",
];

/// An expression in a template.
pub(crate) struct Embedded {
    pub(crate) expression: Expression,
    /// The offset after its `}`.
    pub(crate) end: usize,
    pub(crate) seen: Seen,
}

/// Reads the expression of a template that begins at an offset.
pub(crate) fn embedded(text: &str, at: usize, version: Version) -> Result<Embedded, ParseError> {
    let mut parser = Parser::new(text, at, version)?;
    parser.seen.in_template = true;
    let expression = parser.expression(0)?;
    if parser.token != Token::Symbol("}") {
        return Err(parser.expected("an operator or `}`"));
    }
    Ok(Embedded { expression, end: parser.lexer.offset(), seen: parser.seen })
}

/// What was seen in a text that its other parts have to know.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    in_template: bool,
    /// Where there is a call of each of the functions that may be called once only.
    pub(crate) registry: Option<usize>,
    dynamodb: Option<usize>,
    /// How many protobuf payloads are decoded.
    protobuf: usize,
    /// Each variable that is read, and where.
    pub(crate) variables: Vec<(Name, usize)>,
    /// The roles that functions are called with; none for one that only an evaluation shows.
    pub(crate) roles: Vec<Option<Box<str>>>,
    /// The variables that have a value by now.
    assigned: Vec<Name>,
}

struct Parser<'t> {
    text: &'t str,
    version: Version,
    lexer: Lexer<'t>,
    /// The word at hand and where it begins.
    token: Token<'t>,
    start: usize,
    depth: usize,
    seen: Seen,
}

type Parse<T> = Result<T, ParseError>;

impl<'t> Parser<'t> {
    fn new(text: &'t str, at: usize, version: Version) -> Parse<Parser<'t>> {
        if text.len() > MAX_BYTES {
            return Err(ParseError::at(text, 0, format!("expected at most {MAX_BYTES} bytes")));
        }
        let (lexer, token, seen) = (Lexer::new(text, at), Token::End, Seen::default());
        let mut parser = Parser { text, version, lexer, token, start: at, depth: DEPTH, seen };
        parser.step()?;
        Ok(parser)
    }

    /// Goes on to the next word and gives the one that was at hand.
    fn step(&mut self) -> Parse<Token<'t>> {
        let (start, token) = self.lexer.next().map_err(|Odd { at, message }| ParseError::at(self.text, at, message))?;
        self.start = start;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::at(self.text, self.start, message)
    }

    fn expected(&self, what: &str) -> ParseError {
        self.error(format!("expected {what}, found {}", self.token))
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.token, Token::Word(found) if found.eq_ignore_ascii_case(word))
    }

    /// Steps over a keyword if it is at hand.
    fn take_word(&mut self, word: &str) -> Parse<bool> {
        let found = self.is_word(word);
        if found {
            self.step()?;
        }
        Ok(found)
    }

    fn expect_word(&mut self, word: &str) -> Parse<()> {
        if self.take_word(word)? { Ok(()) } else { Err(self.expected(word)) }
    }

    fn take_symbol(&mut self, symbol: &str) -> Parse<bool> {
        let found = matches!(self.token, Token::Symbol(found) if found == symbol);
        if found {
            self.step()?;
        }
        Ok(found)
    }

    fn expect_symbol(&mut self, symbol: &str) -> Parse<()> {
        if self.take_symbol(symbol)? { Ok(()) } else { Err(self.expected(&format!("`{symbol}`"))) }
    }

    /// Refuses at `start` what the version at hand does not have.
    fn since(&self, since: Version, what: &str, start: usize) -> Parse<()> {
        if self.version >= since {
            return Ok(());
        }
        let message = format!("{what} needs SQL version {since} or later; this statement is of {}", self.version);
        Err(ParseError::at(self.text, start, message))
    }

    /// An expression whose operators bind at least so tightly.
    fn expression(&mut self, least: u8) -> Parse<Expression> {
        self.depth =
            self.depth.checked_sub(1).ok_or_else(|| self.error(format!("nested deeper than {DEPTH} levels")))?;
        let mut left = self.operand(least)?;
        while let Some(operator) = self.operator().filter(|operator| operator.precedence() >= least.max(1)) {
            left = self.chain(left, operator.precedence())?;
        }
        self.depth += 1;
        Ok(left)
    }

    /// What an operator may stand after.
    fn operand(&mut self, least: u8) -> Parse<Expression> {
        if self.is_word("NOT") && least <= NOT {
            self.step()?;
            return Ok(Expression::Not(Box::new(self.expression(NOT)?)));
        }
        self.signed()
    }

    fn operator(&self) -> Option<Operator> {
        match &self.token {
            Token::Word(word) => [Operator::Or, Operator::And, Operator::In]
                .into_iter()
                .find(|operator| word.eq_ignore_ascii_case(operator.text())),
            Token::Symbol(symbol) => [
                Operator::Equal,
                Operator::Unequal,
                Operator::Less,
                Operator::LessOrEqual,
                Operator::Greater,
                Operator::GreaterOrEqual,
                Operator::Plus,
                Operator::Minus,
                Operator::Times,
                Operator::Divide,
                Operator::Modulo,
            ]
            .into_iter()
            .find(|operator| *symbol == operator.text()),
            _ => None,
        }
    }

    /// Everything of one precedence that follows an operand.
    fn chain(&mut self, first: Expression, precedence: u8) -> Parse<Expression> {
        let mut rest = Vec::new();
        while let Some(operator) = self.operator().filter(|operator| operator.precedence() == precedence) {
            self.step()?;
            rest.push((operator, self.expression(precedence + 1)?));
        }
        Ok(Expression::Chain(Box::new(Chain { first, rest: rest.into() })))
    }

    fn signed(&mut self) -> Parse<Expression> {
        if !self.take_symbol("-")? {
            return self.postfix();
        }
        self.depth =
            self.depth.checked_sub(1).ok_or_else(|| self.error(format!("nested deeper than {DEPTH} levels")))?;
        let operand = self.signed()?;
        self.depth += 1;
        Ok(match operand {
            Expression::Number(number) => Expression::Number(number.negated()),
            operand => Expression::Negate(Box::new(operand)),
        })
    }

    /// A value and the members that are taken of it.
    fn postfix(&mut self) -> Parse<Expression> {
        let base = self.primary()?;
        let members = self.members()?;
        if matches!(self.token, Token::Symbol("[")) {
            return Err(self.error("expected an operator, found `[`; write get(array, index) for an element"));
        }
        Ok(if members.is_empty() { base } else { Expression::Member(Box::new(base), members.into()) })
    }

    /// `.name.name`, as far as it goes; a `.*` is left to whoever takes one.
    fn members(&mut self) -> Parse<Vec<Name>> {
        let mut members = Vec::new();
        while !self.is_spread() && self.take_symbol(".")? {
            let Token::Word(name) = self.token else {
                let hint = match self.token {
                    Token::Number(_) | Token::Text(_) => "; write get(…, \"name\") for a member whose name is no word",
                    _ => "",
                };
                return Err(self.error(format!("expected a member name, found {}{hint}", self.token)));
            };
            members.push(name.into());
            self.step()?;
        }
        Ok(members)
    }

    /// Whether `.*` is at hand.
    fn is_spread(&self) -> bool {
        let mut ahead = self.lexer;
        self.token == Token::Symbol(".") && matches!(ahead.next(), Ok((_, Token::Symbol("*"))))
    }

    fn primary(&mut self) -> Parse<Expression> {
        let start = self.start;
        match self.token.clone() {
            Token::Text(text) => {
                self.step()?;
                Ok(Expression::Text(text.into()))
            }
            Token::Number(text) => {
                let number = Number::read(text, Spelling::Literal);
                let number = number.ok_or_else(|| self.error("expected a number below 1E1000"))?;
                self.step()?;
                Ok(Expression::Number(number))
            }
            Token::Variable(name) => {
                self.since(Version::V20160323, "a variable", start)?;
                if !self.seen.in_template && !self.seen.assigned.iter().any(|known| **known == *name) {
                    return Err(self.error(format!("@{name} has no value here; SET gives it one before it is read")));
                }
                self.seen.variables.push((name.into(), start));
                self.step()?;
                Ok(Expression::Variable(name.into()))
            }
            Token::Word(word) => self.word(word, start),
            Token::Symbol("(") => self.parenthesis(),
            Token::Symbol("[") => self.array(start),
            Token::Symbol("{") => self.object(start),
            Token::Symbol("*") => Err(self.error(
                "expected an expression, found `*`, which stands only as a whole item, argument, element or member",
            )),
            _ => Err(self.expected("an expression")),
        }
    }

    /// An expression that begins with a word.
    fn word(&mut self, word: &'t str, start: usize) -> Parse<Expression> {
        let reserved = RESERVED.into_iter().find(|reserved| reserved.eq_ignore_ascii_case(word));
        let simple = match reserved {
            Some("NULL") => Some(Expression::Null),
            Some("TRUE") => Some(Expression::Bool(true)),
            Some("FALSE") => Some(Expression::Bool(false)),
            _ => None,
        };
        if let Some(simple) = simple {
            self.step()?;
            return Ok(simple);
        }
        match reserved {
            Some("CASE") => self.case(),
            Some("EXISTS") => self.exists(start),
            Some("SELECT") => {
                Err(self.error("expected an expression, found `SELECT`; a nested query stands in parentheses"))
            }
            Some(_) => Err(self.expected("an expression")),
            None => {
                self.step()?;
                if self.take_symbol("(")? { self.call(word, start) } else { Ok(Expression::Name(word.into())) }
            }
        }
    }

    fn parenthesis(&mut self) -> Parse<Expression> {
        let start = self.start;
        self.step()?;
        let inner = if self.is_word("SELECT") {
            self.since(Version::V20160323, "a nested query", start)?;
            Expression::Query(Box::new(self.query()?))
        } else {
            self.expression(0)?
        };
        if !self.take_symbol(")")? {
            return Err(self.expected("an operator or `)`"));
        }
        Ok(inner)
    }

    fn exists(&mut self, start: usize) -> Parse<Expression> {
        self.since(Version::V20160323, "EXISTS", start)?;
        self.step()?;
        self.expect_symbol("(")?;
        if !self.is_word("SELECT") {
            return Err(self.expected("SELECT"));
        }
        let query = self.query()?;
        self.expect_symbol(")")?;
        Ok(Expression::Exists(Box::new(query)))
    }

    fn case(&mut self) -> Parse<Expression> {
        self.step()?;
        let subject = self.expression(0)?;
        let mut branches = Vec::new();
        while self.take_word("WHEN")? {
            let when = self.expression(0)?;
            self.expect_word("THEN")?;
            branches.push((when, self.expression(0)?));
        }
        if branches.is_empty() {
            return Err(self.expected("an operator or WHEN"));
        }
        let otherwise = if self.take_word("ELSE")? { Some(self.expression(0)?) } else { None };
        self.expect_word("END")?;
        Ok(Expression::Case(Box::new(Case { subject, branches: branches.into(), otherwise })))
    }

    /// unconfirmed: a comma may end it, as one ends an object.
    fn array(&mut self, start: usize) -> Parse<Expression> {
        self.since(Version::V20160323, "an array literal", start)?;
        self.step()?;
        let mut elements = Vec::new();
        while !self.take_symbol("]")? {
            elements.push(self.argument()?);
            if !self.take_symbol(",")? && self.token != Token::Symbol("]") {
                return Err(self.expected("an operator, `,` or `]`"));
            }
        }
        Ok(Expression::Array(elements.into()))
    }

    /// unconfirmed: a comma may end it, and `*` may be a member's value; public rules have both.
    fn object(&mut self, start: usize) -> Parse<Expression> {
        self.since(Version::V20160323, "an object literal", start)?;
        self.step()?;
        let mut members: Vec<(Box<str>, Expression)> = Vec::new();
        while !self.take_symbol("}")? {
            let Token::Text(key) = &self.token else { return Err(self.expected("a key in quotes")) };
            let key = Box::from(&**key);
            self.step()?;
            self.expect_symbol(":")?;
            members.push((key, self.argument()?));
            if !self.take_symbol(",")? && self.token != Token::Symbol("}") {
                return Err(self.expected("an operator, `,` or `}`"));
            }
        }
        Ok(Expression::Object(members.into()))
    }

    /// The arguments of a function, after its `(`.
    fn call(&mut self, name: &str, start: usize) -> Parse<Expression> {
        if name.eq_ignore_ascii_case("cast") {
            return self.cast();
        }
        let Some(function) = functions::find(name) else {
            let near = functions::nearest(name).map_or(String::new(), |near| format!("; did you mean {near}?"));
            return Err(ParseError::at(self.text, start, format!("expected a function, found `{name}`{near}")));
        };
        self.since(function.since, &format!("{}()", function.name), start)?;
        let mut arguments = Vec::new();
        while !self.take_symbol(")")? {
            arguments.push(self.argument()?);
            if !self.take_symbol(",")? {
                if !self.take_symbol(")")? {
                    return Err(self.expected("an operator, `,` or `)`"));
                }
                break;
            }
            if matches!(self.token, Token::Symbol(")")) {
                return Err(self.expected("an expression"));
            }
        }
        self.admit(function, &arguments, start)?;
        let prepared = Prepared::new(function.name, &arguments);
        Ok(Expression::Call(Box::new(Call { function, arguments: arguments.into(), prepared })))
    }

    /// An expression, or the `*` that stands for a whole value.
    fn argument(&mut self) -> Parse<Expression> {
        if self.take_symbol("*")? { Ok(Expression::Star) } else { self.expression(0) }
    }

    fn cast(&mut self) -> Parse<Expression> {
        let value = self.argument()?;
        if !self.take_word("AS")? {
            return Err(self.expected("an operator or AS"));
        }
        let (start, word) = (self.start, self.token.clone());
        let names: [(&str, Type, Version); 11] = [
            ("String", Type::Text, Version::V20151008),
            ("Nvarchar", Type::Text, Version::V20151008),
            ("Text", Type::Text, Version::V20151008),
            ("Ntext", Type::Text, Version::V20151008),
            ("Varchar", Type::Text, Version::V20151008),
            ("Int", Type::Int, Version::V20151008),
            ("Integer", Type::Int, Version::V20151008),
            ("Double", Type::Double, Version::V20151008),
            ("Decimal", Type::Decimal, Version::V20160323),
            ("Bool", Type::Bool, Version::V20160323),
            ("Boolean", Type::Bool, Version::V20160323),
        ];
        let found =
            names.into_iter().find(|(name, ..)| matches!(word, Token::Word(word) if word.eq_ignore_ascii_case(name)));
        let Some((name, kind, since)) = found else {
            let names = names.map(|(name, ..)| name).join(", ");
            return Err(self.expected(&format!("one of {names}")));
        };
        self.since(since, &format!("cast to {name}"), start)?;
        self.step()?;
        self.expect_symbol(")")?;
        Ok(Expression::Cast(Box::new(value), kind))
    }
}
