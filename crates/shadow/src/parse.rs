//! One pass from JSON text to a tree of slices of that text.
//!
//! It expects strings in the spelling of `escape`, and gives each leaf its time. It checks the grammar fully, bounds
//! its own recursion, and does not know what a shadow is.

use crate::times::Times;
use crate::tree::{Leaf, Member, Object, Value};

/// How deep a text may nest before it is refused unread.
const NESTING: usize = 64;

/// The bytes at which a run of plain characters in a string ends.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    special[b'"' as usize] = true;
    special[b'\\' as usize] = true;
    let mut control = 0;
    while control < 0x20 {
        special[control] = true;
        control += 1;
    }
    special
};

/// Why a text was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    Syntax,
    Nesting,
}

/// Reads one JSON text.
pub(crate) fn parse<'a>(text: &'a str, times: &mut Times<'_>) -> Result<Value<'a>, Malformed> {
    let mut parser = Parser { text: text.as_bytes(), at: 0, times, members: Vec::with_capacity(32) };
    parser.blank();
    let value = parser.value(NESTING)?;
    parser.blank();
    if parser.at == parser.text.len() { Ok(value) } else { Err(Malformed::Syntax) }
}

struct Parser<'a, 't, 'r> {
    text: &'a [u8],
    at: usize,
    times: &'t mut Times<'r>,
    /// The members read so far of all objects that are still open, so that each object allocates once, exactly.
    members: Vec<Member<'a>>,
}

impl<'a> Parser<'a, '_, '_> {
    /// The byte at hand; 0, which no rule accepts, at the end.
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn blank(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Passes `byte` if it is the next that is not blank.
    fn pass(&mut self, byte: u8) -> bool {
        if self.peek() <= b' ' {
            self.blank();
        }
        let passed = self.peek() == byte;
        self.at += usize::from(passed);
        passed
    }

    /// Reads a value. It is inlined because most members are leaves.
    #[inline]
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Malformed> {
        match self.peek() {
            b'{' => Ok(Value::Object(self.object(depth)?)),
            b'[' => Ok(Value::Array(self.array(depth)?)),
            first => Ok(Value::Leaf(self.leaf(first)?)),
        }
    }

    fn leaf(&mut self, first: u8) -> Result<Leaf<'a>, Malformed> {
        let start = self.at;
        match first {
            b'"' => self.string()?,
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => self.number()?,
        }
        let at = self.times.next().ok_or(Malformed::Syntax)?;
        Ok(Leaf { text: &self.text[start..self.at], at })
    }

    fn object(&mut self, depth: usize) -> Result<Object<'a>, Malformed> {
        let depth = depth.checked_sub(1).ok_or(Malformed::Nesting)?;
        let base = self.members.len();
        self.at += 1;
        if self.pass(b'}') {
            return Ok(Object::default());
        }
        loop {
            self.blank();
            let start = self.at;
            self.string()?;
            let key = &self.text[start..self.at];
            if !self.pass(b':') {
                return Err(Malformed::Syntax);
            }
            self.blank();
            let value = self.value(depth)?;
            self.members.push(Member { key, value });
            if !self.pass(b',') {
                break;
            }
        }
        if !self.pass(b'}') {
            return Err(Malformed::Syntax);
        }
        Ok(Object::from_members(self.members.drain(base..).collect()))
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Value<'a>>, Malformed> {
        let depth = depth.checked_sub(1).ok_or(Malformed::Nesting)?;
        let mut elements = Vec::new();
        self.at += 1;
        if self.pass(b']') {
            return Ok(elements);
        }
        loop {
            self.blank();
            elements.push(self.value(depth)?);
            if !self.pass(b',') {
                break;
            }
        }
        if self.pass(b']') { Ok(elements) } else { Err(Malformed::Syntax) }
    }

    fn string(&mut self) -> Result<(), Malformed> {
        if self.peek() != b'"' {
            return Err(Malformed::Syntax);
        }
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            self.at += rest.iter().position(|&byte| SPECIAL[usize::from(byte)]).unwrap_or(rest.len());
            match self.peek() {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => return Err(Malformed::Syntax),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Malformed> {
        let found = self.text[self.at..].starts_with(word);
        self.at += word.len();
        if found { Ok(()) } else { Err(Malformed::Syntax) }
    }

    fn number(&mut self) -> Result<(), Malformed> {
        self.at += usize::from(self.peek() == b'-');
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Malformed::Syntax) }
    }
}
