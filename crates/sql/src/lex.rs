//! The words of the language: names, strings, numbers and symbols, and where each stands. It does not know which of them
//! may follow which, nor which names are keywords.

use std::borrow::Cow;
use std::fmt;

/// One word.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token<'t> {
    /// A name or keyword.
    Word(&'t str),
    /// `@name`, without the `@`.
    Variable(&'t str),
    /// A string, without its quotes.
    Text(Cow<'t, str>),
    Number(&'t str),
    /// An operator or bracket.
    Symbol(&'static str),
    End,
}

/// As it is named after "found".
impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Word(word) => write!(f, "`{}`", Short(word)),
            Token::Variable(name) => write!(f, "`@{}`", Short(name)),
            Token::Text(text) => write!(f, "the string '{}'", Short(text)),
            Token::Number(text) => write!(f, "the number {}", Short(text)),
            Token::Symbol(symbol) => write!(f, "`{symbol}`"),
            Token::End => f.write_str("the end"),
        }
    }
}

/// A text that is cut, so that an error stays short whatever the statement.
struct Short<'t>(&'t str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 40;
        match self.0.char_indices().nth(LONGEST) {
            Some((end, _)) => write!(f, "{}…", &self.0[..end]),
            None => f.write_str(self.0),
        }
    }
}

/// Every symbol; of two that begin alike the longer comes first.
const SYMBOLS: [&str; 19] =
    ["<>", "<=", ">=", "<", ">", "=", "+", "-", "*", "/", "%", "(", ")", "[", "]", "{", "}", ",", "."];
/// It stands between the key and the value of an object.
const COLON: &str = ":";

/// What is wrong at an offset.
pub(crate) struct Odd {
    pub(crate) at: usize,
    pub(crate) message: String,
}

/// Reads a text word by word.
#[derive(Clone, Copy)]
pub(crate) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t str, at: usize) -> Lexer<'t> {
        Lexer { text, at }
    }

    /// The offset after the last word.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blank(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// The next word and where it begins.
    pub(crate) fn next(&mut self) -> Result<(usize, Token<'t>), Odd> {
        self.blank();
        let start = self.at;
        let rest = self.rest();
        let token = match rest.chars().next() {
            None => Token::End,
            Some(quote @ ('\'' | '"')) => Token::Text(self.string(quote)?),
            Some('@') => {
                self.at += 1;
                match self.take(is_name) {
                    "" => return Err(Odd { at: start, message: "expected a name after `@`".to_owned() }),
                    name => Token::Variable(name),
                }
            }
            Some('-') if rest.starts_with("--") => {
                let message =
                    "expected a word of the language, found `--`; there are no comments, and two signs stand apart";
                return Err(Odd { at: start, message: message.to_owned() });
            }
            Some(first) if first.is_ascii_digit() => Token::Number(self.number()?),
            Some(first) if is_name(first) => Token::Word(self.take(is_name)),
            Some(first) => match SYMBOLS.into_iter().chain([COLON]).find(|symbol| rest.starts_with(symbol)) {
                Some(symbol) => {
                    self.at += symbol.len();
                    Token::Symbol(symbol)
                }
                None => return Err(Odd { at: start, message: odd_character(first) }),
            },
        };
        Ok((start, token))
    }

    /// What stands up to the next blank: a topic filter without quotes.
    pub(crate) fn bare(&mut self) -> (usize, &'t str) {
        self.blank();
        (self.at, self.take(|character| !character.is_whitespace()))
    }

    fn take(&mut self, is: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|character| !is(character)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// A string in either quotes, in which the quote itself is written twice.
    /// unconfirmed: a backslash is itself, as regular expressions in AWS's examples have it.
    fn string(&mut self, quote: char) -> Result<Cow<'t, str>, Odd> {
        let start = self.at;
        let mut text = Cow::Borrowed("");
        loop {
            self.at += 1;
            let piece = self.take(|character| character != quote);
            if self.rest().is_empty() {
                return Err(Odd { at: start, message: format!("expected the string to end with {quote}") });
            }
            self.at += 1;
            if text.is_empty() {
                text = Cow::Borrowed(piece);
            } else {
                text.to_mut().push_str(piece);
            }
            if !self.rest().starts_with(quote) {
                return Ok(text);
            }
            text.to_mut().push(quote);
        }
    }

    fn number(&mut self) -> Result<&'t str, Odd> {
        let start = self.at;
        let digits = |character: char| character.is_ascii_digit();
        self.take(digits);
        if self.rest().starts_with('.') {
            self.at += 1;
            if self.take(digits).is_empty() {
                return Err(Odd { at: self.at, message: "expected a digit after the decimal point".to_owned() });
            }
        }
        if self.rest().starts_with(['e', 'E']) {
            self.at += 1;
            self.at += usize::from(self.rest().starts_with(['+', '-']));
            if self.take(digits).is_empty() {
                return Err(Odd { at: self.at, message: "expected a digit in the exponent".to_owned() });
            }
        }
        if self.rest().starts_with(is_name) {
            return Err(Odd { at: self.at, message: "expected a blank or an operator after the number".to_owned() });
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }
}

/// Whether a character may be part of a name.
fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Says what to write instead of what other languages write.
fn odd_character(character: char) -> String {
    let instead = match character {
        '!' => "; write <> for unequal",
        '|' => "; write + or concat() to join strings, OR for a condition",
        '&' => "; write AND",
        '`' => "; write get(…, \"name\") for a name that is no word",
        ';' => "; a rule is one statement, and nothing ends it",
        '#' | '$' => "; a topic filter stands in single quotes",
        _ => "",
    };
    format!("expected a word of the language, found `{}`{instead}", character.escape_debug())
}
