//! JSON texts, read in one pass into a flat list of where everything stands, so that looking at a member costs no
//! allocation and what is passed on is copied as it was written. It bounds its own recursion. What the values mean to the
//! language is not known here.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::number::{Number, Spelling};

/// How deep a text may nest before it counts as no JSON.
const NESTING: usize = 128;
/// The longest text, so that places fit 32 bits.
const LONGEST: usize = u32::MAX as usize / 2;

/// Where everything stands in one JSON text.
#[derive(Debug)]
pub(crate) struct Outline {
    /// Each value, before what it holds; each key before its value.
    entries: Vec<Entry>,
    /// Whether whole numbers lose their decimal point when they are printed.
    whole: bool,
}

/// One JSON text, and where everything stands in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Document<'t> {
    text: &'t str,
    outline: &'t Outline,
}

/// Where one value or key stands.
#[derive(Clone, Copy, Debug)]
struct Entry {
    kind: Kind,
    /// Whether printing it copies its text.
    exact: bool,
    /// How many elements or members it has, as far as that can be counted here.
    breadth: u16,
    start: u32,
    end: u32,
    /// The entry after all that this one holds.
    next: u32,
}

/// The kinds of JSON values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    True,
    False,
    Number,
    /// A string without escapes.
    Plain,
    /// A string with escapes.
    Escaped,
    Array,
    Object,
}

/// One value of a document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'d> {
    document: &'d Document<'d>,
    at: u32,
}

impl Outline {
    /// Reads a text; `None` if it is not JSON. `whole` says that `10.0` is printed as `10`.
    pub(crate) fn read(text: &str, whole: bool) -> Option<Outline> {
        if text.len() > LONGEST {
            return None;
        }
        let entries = Vec::with_capacity(8 + text.len() / 12);
        let mut reader = Reader { text: text.as_bytes(), at: 0, entries, whole };
        reader.blank();
        reader.value(NESTING)?;
        reader.blank();
        (reader.at == text.len()).then_some(Outline { entries: reader.entries, whole })
    }

    /// The text that was read.
    pub(crate) fn document<'t>(&'t self, text: &'t str) -> Document<'t> {
        Document { text, outline: self }
    }
}

impl Document<'_> {
    /// The value that the text is.
    pub(crate) fn root(&self) -> Node<'_> {
        Node { document: self, at: 0 }
    }

    fn entry(&self, at: u32) -> Entry {
        // Places come from the list itself, so the fallback is never taken.
        const NOTHING: Entry = Entry { kind: Kind::Null, exact: true, breadth: 0, start: 0, end: 0, next: u32::MAX };
        self.outline.entries.get(at as usize).copied().unwrap_or(NOTHING)
    }

    fn slice(&self, entry: Entry) -> &str {
        self.text.get(entry.start as usize..entry.end as usize).unwrap_or_default()
    }
}

impl<'d> Node<'d> {
    fn entry(self) -> Entry {
        self.document.entry(self.at)
    }

    pub(crate) fn kind(self) -> Kind {
        self.entry().kind
    }

    /// The text of the value as it was written.
    pub(crate) fn source(self) -> &'d str {
        self.document.slice(self.entry())
    }

    /// The characters of a string.
    pub(crate) fn text(self) -> Cow<'d, str> {
        let source = self.source();
        let inner = source.get(1..source.len().saturating_sub(1)).unwrap_or_default();
        if self.kind() == Kind::Plain { Cow::Borrowed(inner) } else { Cow::Owned(unescaped(inner)) }
    }

    /// A number within the bounds of the language.
    pub(crate) fn number(self) -> Option<Number> {
        Number::read(self.source(), Spelling::Literal)
    }

    /// The member of an object; of two with one name the later.
    pub(crate) fn member(self, name: &str) -> Option<Node<'d>> {
        let entry = self.entry();
        if entry.kind != Kind::Object {
            return None;
        }
        let mut found = None;
        let mut at = self.at + 1;
        while at < entry.next {
            let key = Node { document: self.document, at };
            let value = Node { document: self.document, at: at + 1 };
            if key.spells(name) {
                found = Some(value);
            }
            at = value.entry().next;
        }
        found
    }

    /// Whether the string has these characters.
    fn spells(self, text: &str) -> bool {
        let entry = self.entry();
        if entry.kind == Kind::Escaped {
            return self.text() == text;
        }
        let characters = entry.start as usize + 1..entry.end as usize - 1;
        characters.len() == text.len() && self.document.text.as_bytes().get(characters) == Some(text.as_bytes())
    }

    /// The elements of an array, in order; of anything else none.
    pub(crate) fn elements(self) -> Children<'d> {
        self.children(Kind::Array)
    }

    /// The members of an object, in order, with those that a later one of their name replaces; of anything else none.
    pub(crate) fn members(self) -> impl Iterator<Item = (Node<'d>, Node<'d>)> {
        let mut children = self.children(Kind::Object);
        std::iter::from_fn(move || Some((children.next()?, children.next()?)))
    }

    fn children(self, kind: Kind) -> Children<'d> {
        let entry = self.entry();
        let end = if entry.kind == kind { entry.next } else { 0 };
        Children { document: self.document, at: self.at + 1, end }
    }

    /// Appends the value without blanks, numbers as they were written unless they are to lose their decimal point.
    pub(crate) fn print(self, out: &mut String) {
        let entry = self.entry();
        if entry.exact {
            out.push_str(self.source());
            return;
        }
        match entry.kind {
            Kind::Object => {
                out.push('{');
                for (index, (key, value)) in self.members().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    out.push_str(key.source());
                    out.push(':');
                    value.print(out);
                }
                out.push('}');
            }
            Kind::Array => {
                out.push('[');
                for (index, value) in self.elements().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    value.print(out);
                }
                out.push(']');
            }
            _ => match self.number().and_then(Number::whole) {
                Some(whole) => out.push_str(&whole.to_string()),
                None => out.push_str(self.source()),
            },
        }
    }

    /// How many elements or members it has, as far as that was counted.
    pub(crate) fn breadth(self) -> usize {
        self.entry().breadth.into()
    }

    /// Whether printing the value copies its source.
    pub(crate) fn is_exact(self) -> bool {
        self.entry().exact
    }

    /// Whether whole numbers lose their decimal point when they are printed.
    pub(crate) fn prints_whole(self) -> bool {
        self.document.outline.whole
    }
}

/// What an array or an object holds, in order.
#[derive(Clone, Debug)]
pub(crate) struct Children<'d> {
    document: &'d Document<'d>,
    at: u32,
    end: u32,
}

impl<'d> Iterator for Children<'d> {
    type Item = Node<'d>;

    fn next(&mut self) -> Option<Node<'d>> {
        if self.at >= self.end {
            return None;
        }
        let node = Node { document: self.document, at: self.at };
        self.at = node.entry().next;
        Some(node)
    }
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    entries: Vec<Entry>,
    whole: bool,
}

impl Reader<'_> {
    /// The byte at hand; 0, which no rule accepts, at the end.
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// Passes blanks and says whether there were any.
    fn blank(&mut self) -> bool {
        let start = self.at;
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
        self.at > start
    }

    #[expect(clippy::cast_possible_truncation, reason = "the text is shorter than 32 bits can count")]
    fn push(&mut self, kind: Kind, exact: bool, start: usize) {
        let next = self.entries.len() as u32 + 1;
        self.entries.push(Entry { kind, exact, breadth: 0, start: start as u32, end: self.at as u32, next });
    }

    /// Reads a value and says whether it may be printed as it stands.
    fn value(&mut self, depth: usize) -> Option<bool> {
        let start = self.at;
        match self.peek() {
            b'"' => {
                self.string()?;
                Some(true)
            }
            b'{' => self.container(Kind::Object, depth),
            b'[' => self.container(Kind::Array, depth),
            b't' => self.word(b"true", Kind::True, start),
            b'f' => self.word(b"false", Kind::False, start),
            b'n' => self.word(b"null", Kind::Null, start),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &[u8], kind: Kind, start: usize) -> Option<bool> {
        if !self.text.get(start..)?.starts_with(word) {
            return None;
        }
        self.at += word.len();
        self.push(kind, true, start);
        Some(true)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the text is shorter than 32 bits can count")]
    fn container(&mut self, kind: Kind, depth: usize) -> Option<bool> {
        let depth = depth.checked_sub(1)?;
        let (start, entry) = (self.at, self.entries.len());
        let close = if kind == Kind::Object { b'}' } else { b']' };
        self.at += 1;
        self.push(kind, true, start);
        let mut exact = !self.blank();
        let mut breadth = 0_u16;
        if self.peek() != close {
            loop {
                breadth = breadth.saturating_add(1);
                if kind == Kind::Object {
                    exact &= self.key()?;
                }
                exact &= self.value(depth)?;
                exact &= !self.blank();
                if self.peek() != b',' {
                    break;
                }
                self.at += 1;
                exact &= !self.blank();
            }
        }
        if self.peek() != close {
            return None;
        }
        self.at += 1;
        let (end, next) = (self.at as u32, self.entries.len() as u32);
        let entry = self.entries.get_mut(entry)?;
        *entry = Entry { exact, breadth, end, next, ..*entry };
        Some(exact)
    }

    fn key(&mut self) -> Option<bool> {
        if self.peek() != b'"' {
            return None;
        }
        self.string()?;
        let before = self.blank();
        if self.peek() != b':' {
            return None;
        }
        self.at += 1;
        let after = self.blank();
        Some(!before && !after)
    }

    fn string(&mut self) -> Option<()> {
        let start = self.at;
        self.at += 1;
        let mut kind = Kind::Plain;
        loop {
            self.at += self.text.get(self.at..)?.iter().position(|byte| SPECIAL[usize::from(*byte)])?;
            match self.peek() {
                b'"' => break,
                b'\\' => {
                    kind = Kind::Escaped;
                    self.escape()?;
                }
                _ => return None,
            }
        }
        self.at += 1;
        self.push(kind, true, start);
        Some(())
    }

    /// Passes an escape. Half a surrogate pair is accepted, as most readers do; it reads as U+FFFD.
    fn escape(&mut self) -> Option<()> {
        match self.text.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' if self.text.get(self.at + 2..self.at + 6)?.iter().all(u8::is_ascii_hexdigit) => self.at += 6,
            _ => return None,
        }
        Some(())
    }

    fn number(&mut self) -> Option<bool> {
        let start = self.at;
        self.at += usize::from(self.peek() == b'-');
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut whole = true;
        if self.peek() == b'.' {
            self.at += 1;
            whole = false;
            self.digits()?;
        }
        if self.peek() | 0x20 == b'e' {
            self.at += 1;
            whole = false;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            self.digits()?;
        }
        let exact = whole || !self.whole || !self.is_whole(start);
        self.push(Kind::Number, exact, start);
        Some(exact)
    }

    /// Whether the number that began at `start`, and has a point or an exponent, is whole all the same.
    fn is_whole(&self, start: usize) -> bool {
        let text = self.text.get(start..self.at).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
        Number::read(text, Spelling::Literal).and_then(Number::whole).is_some()
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

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

/// What a string says whose escapes were seen to be well formed.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut characters = escape.chars();
        match characters.next() {
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('u') => {
                let (character, after) = unicode(escape);
                out.push(character);
                rest = after;
                continue;
            }
            Some(other) => out.push(other),
            None => {}
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
    out
}

/// The character of `uXXXX`, or of two such if they are a pair, and what follows.
fn unicode(text: &str) -> (char, &str) {
    let unit = |text: &str| u16::from_str_radix(text.get(1..5)?, 16).ok();
    let first = unit(text).unwrap_or(0xfffd);
    let rest = text.get(5..).unwrap_or_default();
    if let Some(second) = rest.strip_prefix('\\').filter(|text| text.starts_with('u')).and_then(unit)
        && let Some(Ok(character)) = char::decode_utf16([first, second]).next()
        && character > '\u{ffff}'
    {
        return (character, rest.get(6..).unwrap_or_default());
    }
    (char::from_u32(first.into()).unwrap_or('\u{fffd}'), rest)
}

/// Appends a string with its quotes.
pub(crate) fn print_text(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| SPECIAL[usize::from(byte)]) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        match special.as_bytes().first() {
            Some(b'"') => out.push_str("\\\""),
            Some(b'\\') => out.push_str("\\\\"),
            Some(b'\n') => out.push_str("\\n"),
            Some(b'\r') => out.push_str("\\r"),
            Some(b'\t') => out.push_str("\\t"),
            Some(control) => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{control:04x}");
            }
            None => {}
        }
        rest = special.get(1..).unwrap_or_default();
    }
    out.push_str(rest);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str, whole: bool) -> Option<String> {
        let outline = Outline::read(text, whole)?;
        let mut out = String::new();
        outline.document(text).root().print(&mut out);
        Some(out)
    }

    #[test]
    fn what_is_read_prints_without_blanks() {
        for (text, expected) in [
            ("{}", "{}"),
            (" [ ] ", "[]"),
            (r#"{ "a" : [ 1 , 2.50 ] , "b":{"c" :null}}"#, r#"{"a":[1,2.50],"b":{"c":null}}"#),
            (r#""\u00e9\/""#, r#""\u00e9\/""#),
            ("[1.0,1e2,-0.0,1.5e1,15e-1,1E400,true,false]", "[1,100,0,15,15e-1,1E400,true,false]"),
        ] {
            assert_eq!(printed(text, true).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(printed("[1.0,1e2]", false).as_deref(), Some("[1.0,1e2]"));
    }

    #[test]
    fn what_is_not_json_is_not_read() {
        for text in [
            "",
            " ",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\" 1}",
            "[1 2]",
            "01",
            "1.",
            "-",
            ".5",
            "1e",
            "+1",
            "tru",
            "nul",
            "\"",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12\"",
            "{\"a\":1}}",
            "[\"\\\"]",
            "1 1",
        ] {
            assert_eq!(printed(text, true), None, "{text}");
        }
        assert_eq!(printed(&"[".repeat(100_000), true), None);
        assert!(printed(&format!("{}{}", "[".repeat(NESTING), "]".repeat(NESTING)), true).is_some());
    }

    #[test]
    fn members_are_found_whatever_lies_between() {
        let text = r#"{"a":{"b":[1,{"c":2}]},"\u0062":"x\n\ud83d\ude00\ud800","a":3,"":4}"#;
        let outline = Outline::read(text, true).unwrap();
        let document = outline.document(text);
        let root = document.root();
        assert_eq!(root.member("a").unwrap().source(), "3");
        assert_eq!(root.member("b").unwrap().text(), "x\n😀\u{fffd}");
        assert_eq!(root.member("").unwrap().source(), "4");
        assert!(root.member("c").is_none());
        assert_eq!(root.members().count(), 4);
        let first = root.members().next().unwrap().1.member("b").unwrap();
        assert_eq!(first.elements().map(Node::source).collect::<Vec<_>>(), ["1", r#"{"c":2}"#]);
        assert!(first.member("a").is_none());
    }

    #[test]
    fn strings_are_quoted_so_that_they_read_back() {
        let text = "a\"\\\n\r\t\u{1}é😀\u{7f}";
        let mut out = String::new();
        print_text(text, &mut out);
        assert_eq!(Outline::read(&out, true).unwrap().document(&out).root().text(), text);
    }
}
