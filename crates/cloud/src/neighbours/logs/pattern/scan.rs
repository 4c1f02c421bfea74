//! The characters of a filter pattern, taken one by one, and what can be wrong with them. What they mean is unknown here.

use regex::{Regex, RegexBuilder};

/// Bytes that a compiled expression may take.
const EXPRESSION_SIZE: usize = 64 * 1024;

/// What is wrong with a pattern.
#[derive(Debug)]
pub(super) enum Wrong {
    /// Something else should stand at this place.
    Expected(&'static str, usize),
    /// The text that begins here is never closed.
    Open(usize),
    /// This stands there a second time.
    Only(&'static str, usize),
    /// A word that must be quoted.
    Characters(String),
    /// Said in full.
    Sentence(String),
}

impl Wrong {
    /// For the caller, who sent this text.
    pub(super) fn sentence(&self, text: &str) -> String {
        let character = |at: usize| text.get(..at).unwrap_or(text).chars().count();
        let what = match self {
            Self::Characters(term) => return format!("Invalid character(s) in term '{term}'"),
            Self::Expected(what, at) => format!("expected {what} at character {}", character(*at)),
            Self::Open(at) => format!("the text that begins at character {} has no end", character(*at)),
            Self::Only(what, at) => format!("only one {what}, not again at character {}", character(*at)),
            Self::Sentence(sentence) => sentence.clone(),
        };
        format!("Invalid filter pattern: {what}")
    }
}

/// Takes characters off the front of a pattern.
#[derive(Clone)]
pub(super) struct Scanner<'p> {
    text: &'p str,
    at: usize,
}

impl<'p> Scanner<'p> {
    pub(super) fn new(text: &'p str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'p str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// The next that is no space.
    pub(super) fn peek_after_spaces(&self) -> Option<char> {
        self.rest().trim_start().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    pub(super) fn skip_spaces(&mut self) {
        self.take_while(char::is_whitespace);
    }

    /// The characters up to the first that is not so.
    pub(super) fn take_while(&mut self, is_so: impl Fn(char) -> bool) -> &'p str {
        let rest = self.rest();
        let taken = rest.find(|c| !is_so(c)).map_or(rest, |end| &rest[..end]);
        self.at += taken.len();
        taken
    }

    /// Takes this, if it stands here after spaces.
    pub(super) fn take(&mut self, text: &str) -> bool {
        self.skip_spaces();
        let is_here = self.rest().starts_with(text);
        if is_here {
            self.at += text.len();
        }
        is_here
    }

    /// Takes this word, if it stands here after spaces and nothing continues it.
    pub(super) fn take_word(&mut self, word: &str) -> bool {
        self.skip_spaces();
        let after = self.rest().strip_prefix(word);
        let is_here = after.is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'));
        if is_here {
            self.at += word.len();
        }
        is_here
    }

    /// Takes this, which must stand here after spaces.
    pub(super) fn must(&mut self, text: &'static str) -> Result<(), Wrong> {
        if self.take(text) { Ok(()) } else { Err(self.expected(text)) }
    }

    /// The pattern must be over.
    pub(super) fn end(&mut self) -> Result<(), Wrong> {
        self.skip_spaces();
        if self.rest().is_empty() { Ok(()) } else { Err(self.expected("the end")) }
    }

    /// Something else should stand here.
    pub(super) fn expected(&self, what: &'static str) -> Wrong {
        Wrong::Expected(what, self.at)
    }

    /// Where it is.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Text between quotation marks of whatever kind stands here, without its escapes.
    pub(super) fn quoted(&mut self) -> Result<String, Wrong> {
        let start = self.at;
        let quote = self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err(Wrong::Open(start)),
                end if end == quote => return Ok(text),
                Some('\\') => match self.next() {
                    None => return Err(Wrong::Open(start)),
                    Some(escaped) if Some(escaped) == quote || escaped == '\\' => text.push(escaped),
                    // unconfirmed: that other escapes stand for themselves.
                    Some(other) => text.extend(['\\', other]),
                },
                Some(other) => text.push(other),
            }
        }
    }

    /// A regular expression between percent signs.
    pub(super) fn expression(&mut self) -> Result<Regex, Wrong> {
        let start = self.at;
        self.next();
        let written = self.take_while(|c| c != '%');
        if self.next().is_none() {
            return Err(Wrong::Open(start));
        }
        let regex = RegexBuilder::new(written).size_limit(EXPRESSION_SIZE).build();
        regex.map_err(|_| Wrong::Sentence(format!("{written} is not a regular expression that is taken")))
    }
}
