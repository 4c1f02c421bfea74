//! What all expressions have in common: a cursor over the tokens, paths, operands and functions, and the list of what is wrong
//! with what could be read. What stands around operands is known to each kind of expression alone.

use super::Placeholders;
use super::lexer::{Kind, Token, tokens};
use super::reserved::is_reserved;
use crate::neighbours::tables::attribute::{Attribute, Type};
use crate::neighbours::tables::path::{Clash, Path, Step};

/// The longest expression, in bytes.
const MAX_BYTES: usize = 4096;

/// How deep parentheses, functions and NOTs may be nested: as deep as the most operators can be, each in its own pair of parentheses.
const MAX_DEPTH: usize = 160;

/// How many names and indices a document path may have.
const MAX_LEVELS: usize = 32;

/// The greatest index of an element of a list.
const MAX_INDEX: u32 = i32::MAX.unsigned_abs();

/// The most operators and functions that expressions may hold.
const MAX_OPERATORS: usize = 300;

/// Every function of every kind of expression.
const FUNCTIONS: [&str; 8] = [
    "attribute_exists",
    "attribute_not_exists",
    "attribute_type",
    "begins_with",
    "contains",
    "if_not_exists",
    "list_append",
    "size",
];

/// What may be wrong with an expression that could be read, the first told first whatever comes first in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Problem {
    Parentheses,
    UnknownFunction,
    MisusedFunction,
    Reserved,
    Section,
    Path,
    Placeholder,
    Overlap,
    Conflict,
    OperandCount,
    Distinct,
    OperandType,
    Operators,
}

impl Problem {
    /// Whether it is about one condition alone.
    fn is_of_one_condition(self) -> bool {
        matches!(self, Self::Placeholder | Self::OperandCount | Self::Distinct | Self::OperandType)
    }
}

/// Why an expression cannot be read.
pub(super) struct Syntax(String);

/// An operand as it stands in the text, before it is asked whether it belongs there.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    Path(Path),
    Value(Attribute),
    Call(String, Vec<Term>),
}

impl Term {
    /// The type, where the text alone tells it.
    pub(super) fn kind(&self) -> Option<Type> {
        match self {
            Self::Value(value) => Some(value.kind()),
            Self::Call(name, _) if name == "size" => Some(Type::N),
            Self::Path(_) | Self::Call(..) => None,
        }
    }
}

/// The cursor.
pub(super) struct Parser<'t, 'p> {
    text: &'t str,
    tokens: Vec<Token<'t>>,
    at: usize,
    depth: usize,
    operators: usize,
    /// The tokens of the last pair of parentheses that was closed.
    group: Option<(usize, usize)>,
    /// Words that name nothing in this kind of expression.
    keywords: &'static [&'static str],
    /// Whether a condition was found wrong by itself, so that the next ones are not looked at as closely.
    is_settled: bool,
    placeholders: &'p Placeholders,
    /// The first of each sort.
    problems: Vec<(Problem, String)>,
}

/// Reads a whole expression with `rule`, and says in front of what is wrong which expression it is.
pub(super) fn parse<'t, T>(
    name: &str,
    text: &'t str,
    placeholders: &Placeholders,
    rule: impl FnOnce(&mut Parser<'t, '_>) -> Result<T, Syntax>,
) -> Result<T, String> {
    let keywords: &[&str] = match name {
        "UpdateExpression" => &["SET", "REMOVE", "ADD", "DELETE"],
        "ProjectionExpression" => &[],
        _ => &["AND", "OR", "NOT", "BETWEEN", "IN"],
    };
    read(text, keywords, placeholders, rule).map_err(|wrong| format!("Invalid {name}: {wrong}"))
}

fn read<'t, T>(
    text: &'t str,
    keywords: &'static [&'static str],
    placeholders: &Placeholders,
    rule: impl FnOnce(&mut Parser<'t, '_>) -> Result<T, Syntax>,
) -> Result<T, String> {
    if text.is_empty() {
        return Err("The expression can not be empty;".to_owned());
    }
    if text.len() > MAX_BYTES {
        let size = text.len();
        return Err(format!("Expression size has exceeded the maximum allowed size; expression size: {size}"));
    }
    let (tokens, problems) = (tokens(text), Vec::new());
    let mut parser = Parser {
        text,
        tokens,
        at: 0,
        depth: 0,
        operators: 0,
        group: None,
        keywords,
        is_settled: false,
        placeholders,
        problems,
    };
    let parsed = rule(&mut parser).and_then(|parsed| parser.end().map(|()| parsed)).map_err(|Syntax(wrong)| wrong)?;
    match parser.problems.into_iter().min_by_key(|(problem, _)| *problem) {
        Some((_, wrong)) => Err(wrong),
        None => Ok(parsed),
    }
}

impl<'t> Parser<'t, '_> {
    /// The token that comes next.
    pub(super) fn peek(&self) -> Token<'t> {
        self.peek_at(0)
    }

    /// The token after `ahead` others.
    pub(super) fn peek_at(&self, ahead: usize) -> Token<'t> {
        let end = Token { kind: Kind::End, text: "", start: self.text.len() };
        self.tokens.get(self.at + ahead).copied().unwrap_or(end)
    }

    /// Goes on by one token.
    pub(super) fn step(&mut self) -> Token<'t> {
        let token = self.peek();
        self.at += 1;
        token
    }

    /// Takes this sign or keyword, if it comes next.
    pub(super) fn take(&mut self, wanted: &str) -> bool {
        let found = self.peek().is(wanted);
        self.at += usize::from(found);
        found
    }

    /// Takes this sign or keyword, which must come next.
    pub(super) fn demand(&mut self, wanted: &str) -> Result<(), Syntax> {
        if self.take(wanted) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn end(&self) -> Result<(), Syntax> {
        if self.peek().kind == Kind::End { Ok(()) } else { Err(self.unexpected()) }
    }

    /// What is said of the next token if it does not belong there: itself, and it with its neighbours.
    pub(super) fn unexpected(&self) -> Syntax {
        let token = self.peek();
        let start = self.at.checked_sub(1).and_then(|before| self.tokens.get(before)).map_or(0, |it| it.start);
        let near = self.text.get(start..self.peek_at(1).end()).unwrap_or_default();
        let text = if token.kind == Kind::End { "<EOF>" } else { token.text };
        Syntax(format!("Syntax error; token: \"{text}\", near: \"{near}\""))
    }

    /// Remembers what is wrong, unless something of the sort is known.
    pub(super) fn problem(&mut self, problem: Problem, wrong: impl FnOnce() -> String) {
        let is_known = self.problems.iter().any(|(known, _)| *known == problem);
        let is_late = self.is_settled && problem.is_of_one_condition();
        if !is_known && !is_late {
            self.problems.push((problem, wrong()));
        }
    }

    /// Ends a condition: the first that is wrong by itself is the one that is told of.
    pub(super) fn settle(&mut self) {
        self.is_settled |= self.problems.iter().any(|(problem, _)| problem.is_of_one_condition());
    }

    /// Counts an operator or a function.
    pub(super) fn operator(&mut self) {
        self.operators += 1;
        let count = self.operators;
        if count > MAX_OPERATORS {
            self.problem(Problem::Operators, || {
                format!("The expression contains too many operators; operator count: {count}")
            });
        }
    }

    /// Reads what is nested, if that is not nested too deep.
    /// unconfirmed: the words for what is.
    pub(super) fn nested<T>(&mut self, rule: impl FnOnce(&mut Self) -> Result<T, Syntax>) -> Result<T, Syntax> {
        if self.depth == MAX_DEPTH {
            return Err(Syntax(format!("The expression is nested more than {MAX_DEPTH} levels deep")));
        }
        self.depth += 1;
        let read = rule(self);
        self.depth -= 1;
        read
    }

    /// One or more of something, with commas between.
    pub(super) fn list<T>(&mut self, mut rule: impl FnMut(&mut Self) -> Result<T, Syntax>) -> Result<Vec<T>, Syntax> {
        let mut list = vec![rule(self)?];
        while self.take(",") {
            list.push(rule(self)?);
        }
        Ok(list)
    }

    /// A document path.
    pub(super) fn path(&mut self) -> Result<Path, Syntax> {
        let path = Path::of(self.name()?);
        self.path_from(path)
    }

    /// The steps that follow a path, if any do.
    fn path_from(&mut self, mut path: Path) -> Result<Path, Syntax> {
        loop {
            if self.take(".") {
                path.steps.push(Step::Field(self.name()?));
            } else if self.take("[") {
                let digits = self.peek();
                if digits.kind != Kind::Digits {
                    return Err(self.unexpected());
                }
                self.step();
                path.steps.push(Step::Index(self.index(digits.text)));
                self.demand("]")?;
            } else {
                break;
            }
        }
        let levels = path.steps.len() + 1;
        if levels > MAX_LEVELS {
            self.problem(Problem::Path, || {
                format!("The document path has too many nesting levels; nesting levels: {levels}")
            });
        }
        Ok(path)
    }

    /// The number of an element of a list, if a list could have so many.
    fn index(&mut self, digits: &str) -> usize {
        let index = digits.parse::<u32>().ok().filter(|index| *index <= MAX_INDEX);
        if index.is_none() {
            self.problem(Problem::Path, || format!("List index is not within the allowable range; index: [{digits}]"));
        }
        index.and_then(|index| usize::try_from(index).ok()).unwrap_or_default()
    }

    /// The name of an attribute, or what stands for it.
    fn name(&mut self) -> Result<String, Syntax> {
        let token = self.peek();
        match token.kind {
            Kind::Word if self.keywords.iter().any(|word| word.eq_ignore_ascii_case(token.text)) => {
                Err(self.unexpected())
            }
            Kind::Word => {
                if is_reserved(token.text) {
                    self.problem(Problem::Reserved, || {
                        format!("Attribute name is a reserved keyword; reserved keyword: {}", token.text)
                    });
                }
                self.step();
                Ok(token.text.to_owned())
            }
            Kind::Name => {
                self.step();
                let name = self.placeholders.name(token.text);
                if name.is_none() {
                    self.problem(Problem::Placeholder, || {
                        let wrong = "An expression attribute name used in the document path is not defined";
                        format!("{wrong}; attribute name: {}", token.text)
                    });
                }
                Ok(name.unwrap_or_default())
            }
            _ => Err(self.unexpected()),
        }
    }

    /// The value that a placeholder stands for.
    pub(super) fn value(&mut self) -> Result<Attribute, Syntax> {
        let token = self.peek();
        if token.kind != Kind::Value {
            return Err(self.unexpected());
        }
        self.step();
        let value = self.placeholders.value(token.text);
        if value.is_none() {
            self.problem(Problem::Placeholder, || {
                let wrong = "An expression attribute value used in expression is not defined";
                format!("{wrong}; attribute value: {}", token.text)
            });
        }
        Ok(value.unwrap_or(Attribute::NULL(true)))
    }

    /// A path, a value or a function without parentheses around it.
    pub(super) fn term(&mut self) -> Result<Term, Syntax> {
        match self.peek().kind {
            Kind::Value => self.value().map(Term::Value),
            Kind::Word if self.peek_at(1).is("(") => self.call(),
            _ => self.path().map(Term::Path),
        }
    }

    /// An operand that may stand in parentheses.
    pub(super) fn operand(&mut self) -> Result<Term, Syntax> {
        let Some(opened) = self.open() else { return self.term() };
        let operand = self.nested(Self::operand)?;
        self.close(opened)?;
        self.beyond(operand)
    }

    /// A path in parentheses may go on behind them.
    pub(super) fn beyond(&mut self, operand: Term) -> Result<Term, Syntax> {
        match operand {
            Term::Path(path) => self.path_from(path).map(Term::Path),
            other => Ok(other),
        }
    }

    /// Takes an opening parenthesis, if one comes next: where it stands.
    pub(super) fn open(&mut self) -> Option<usize> {
        self.take("(").then(|| self.at - 1)
    }

    /// Takes the parenthesis that closes the one at `opened`. Two pairs around the same are one too many.
    pub(super) fn close(&mut self, opened: usize) -> Result<(), Syntax> {
        if self.group == Some((opened + 1, self.at - 1)) {
            self.problem(Problem::Parentheses, || "The expression has redundant parentheses;".to_owned());
        }
        self.demand(")")?;
        self.group = Some((opened, self.at - 1));
        Ok(())
    }

    fn call(&mut self) -> Result<Term, Syntax> {
        let name = self.step().text.to_owned();
        self.demand("(")?;
        let arguments = self.nested(|parser| parser.list(Self::operand))?;
        self.demand(")")?;
        Ok(Term::Call(name, arguments))
    }

    /// Whether a function has as many operands as it takes.
    pub(super) fn check_count(&mut self, name: &str, arguments: &[Term], takes: usize) -> bool {
        let count = arguments.len();
        if count != takes {
            self.problem(Problem::OperandCount, || {
                let wrong = "Incorrect number of operands for operator or function";
                format!("{wrong}; operator or function: {name}, number of operands: {count}")
            });
        }
        count == takes
    }

    /// What is said of a function that there is not, or not in this kind of expression.
    pub(super) fn unknown_function(&mut self, name: &str, expression: &str) {
        self.problem(Problem::UnknownFunction, || {
            if FUNCTIONS.contains(&name) {
                format!("The function is not allowed in {expression}; function: {name}")
            } else {
                format!("Invalid function name; function: {name}")
            }
        });
    }

    /// What is said of an operand whose type an operator or a function does not take.
    pub(super) fn wrong_type(&mut self, name: &str, kind: &str) {
        self.problem(Problem::OperandType, || {
            let wrong = "Incorrect operand type for operator or function";
            format!("{wrong}; operator or function: {name}, operand type: {kind}")
        });
    }

    /// What is said of an operand that is no path where only a path will do.
    pub(super) fn needs_path(&mut self, name: &str) {
        self.problem(Problem::OperandType, || {
            format!("Operator or function requires a document path; operator or function: {name}")
        });
    }

    /// Sees to it that no two paths of an expression lead to one another.
    pub(super) fn check_clashes(&mut self, paths: &[&Path]) {
        for (index, two) in paths.iter().enumerate() {
            for one in &paths[..index] {
                let Some(clash) = one.clash(two) else { continue };
                let (problem, verb) = match clash {
                    Clash::Overlap => (Problem::Overlap, "overlap"),
                    Clash::Conflict => (Problem::Conflict, "conflict"),
                };
                self.problem(problem, || {
                    format!(
                        "Two document paths {verb} with each other; must remove or rewrite one of these paths; \
                         path one: {one}, path two: {two}"
                    )
                });
            }
        }
    }
}
