//! A JSON reader that remembers where everything stood, so that a refusal can point at a line and a column.
//! It refuses what the policy language refuses anyway: a key twice in one object, and nesting deeper than any
//! policy needs. It does not know what a policy is.

/// Deeper than any policy goes: document, statements, statement, condition, operator, values.
const MAX_DEPTH: usize = 10;

/// What is wrong, and the byte offset at which it was noticed.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) at: usize,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Problem {
        Problem { at, message: message.into() }
    }
}

/// A JSON value and the byte offset at which it starts.
#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) at: usize,
    pub(crate) kind: Kind,
}

/// The six kinds of JSON value. Numbers keep their source text.
#[derive(Debug)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Value>),
    Object(Vec<Member>),
}

/// One key of an object with its value, and the byte offset of the key.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) at: usize,
    pub(crate) key: String,
    pub(crate) value: Value,
}

impl Value {
    /// The kind in words, for "expected …, found …".
    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a string",
            Kind::List(_) => "a list",
            Kind::Object(_) => "an object",
        }
    }
}

/// Reads one value that fills the whole text.
pub(crate) fn read(text: &str) -> Result<Value, Problem> {
    let mut reader = Reader { text, pos: 0 };
    let value = reader.value(MAX_DEPTH)?;
    reader.blanks();
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.expected("the end of the document")),
    }
}

struct Reader<'a> {
    text: &'a str,
    pos: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.pos += 1;
        }
    }

    fn expected(&self, what: &str) -> Problem {
        let found = match self.text.get(self.pos..).and_then(|rest| rest.chars().next()) {
            Some(c) => format!("`{}`", c.escape_debug()),
            None => "the end of the text".to_owned(),
        };
        Problem::new(self.pos, format!("expected {what}, found {found}"))
    }

    /// Steps over `byte` if it is next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.pos += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Value, Problem> {
        self.blanks();
        let at = self.pos;
        if depth == 0 {
            return Err(Problem::new(at, "nested too deeply for a policy"));
        }
        let kind = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Kind::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Value { at, kind })
    }

    fn word(&mut self) -> Result<Kind, Problem> {
        let rest = self.text.get(self.pos..).unwrap_or_default();
        let words = [("true", Kind::Bool(true)), ("false", Kind::Bool(false)), ("null", Kind::Null)];
        for (word, kind) in words {
            if rest.starts_with(word) {
                self.pos += word.len();
                return Ok(kind);
            }
        }
        Err(self.expected("a value"))
    }

    fn object(&mut self, depth: usize) -> Result<Kind, Problem> {
        self.pos += 1;
        let mut members: Vec<Member> = Vec::new();
        self.blanks();
        if self.take(b'}') {
            return Ok(Kind::Object(members));
        }
        loop {
            self.blanks();
            let at = self.pos;
            if self.peek() != Some(b'"') {
                return Err(self.expected("a key in double quotes"));
            }
            let key = self.string()?;
            if members.iter().any(|earlier| earlier.key == key) {
                return Err(Problem::new(at, format!("`{key}` appears twice in one object")));
            }
            self.blanks();
            if !self.take(b':') {
                return Err(self.expected("`:`"));
            }
            let value = self.value(depth - 1)?;
            members.push(Member { at, key, value });
            self.blanks();
            if self.take(b'}') {
                return Ok(Kind::Object(members));
            }
            if !self.take(b',') {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Kind, Problem> {
        self.pos += 1;
        let mut values = Vec::new();
        self.blanks();
        if self.take(b']') {
            return Ok(Kind::List(values));
        }
        loop {
            values.push(self.value(depth - 1)?);
            self.blanks();
            if self.take(b']') {
                return Ok(Kind::List(values));
            }
            if !self.take(b',') {
                return Err(self.expected("`,` or `]`"));
            }
        }
    }

    fn number(&mut self) -> Result<Kind, Problem> {
        let start = self.pos;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(Kind::Number(self.text.get(start..self.pos).unwrap_or_default().to_owned()))
    }

    fn digits(&mut self) -> Result<(), Problem> {
        let start = self.pos;
        while let Some(b'0'..=b'9') = self.peek() {
            self.pos += 1;
        }
        if start == self.pos { Err(self.expected("a digit")) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<String, Problem> {
        self.pos += 1;
        let mut out = String::new();
        loop {
            let run = self.pos;
            while self.peek().is_some_and(|b| b != b'"' && b != b'\\' && b >= 0x20) {
                self.pos += 1;
            }
            out.push_str(self.text.get(run..self.pos).unwrap_or_default());
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                _ => return Err(self.expected("the closing `\"` of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Problem> {
        let at = self.pos;
        self.pos += 1;
        let letter = self.peek();
        self.pos += usize::from(letter.is_some());
        match letter {
            Some(c @ (b'"' | b'\\' | b'/')) => Ok(char::from(c)),
            Some(b'b') => Ok('\u{8}'),
            Some(b'f') => Ok('\u{c}'),
            Some(b'n') => Ok('\n'),
            Some(b'r') => Ok('\r'),
            Some(b't') => Ok('\t'),
            Some(b'u') => self.unicode_escape(at),
            _ => Err(Problem::new(at, "expected one of the JSON escapes after `\\`")),
        }
    }

    fn unicode_escape(&mut self, at: usize) -> Result<char, Problem> {
        let first = self.hex4(at)?;
        let code = match first {
            0xD800..=0xDBFF if self.take(b'\\') && self.take(b'u') => match self.hex4(at)? {
                second @ 0xDC00..=0xDFFF => 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00),
                _ => first,
            },
            _ => first,
        };
        char::from_u32(code).ok_or_else(|| Problem::new(at, "half of a surrogate pair is not a character"))
    }

    fn hex4(&mut self, at: usize) -> Result<u32, Problem> {
        let digits = self.text.get(self.pos..self.pos + 4).unwrap_or_default();
        // `from_str_radix` would take a sign, which JSON does not.
        let code = u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'));
        self.pos += digits.len();
        code.ok_or_else(|| Problem::new(at, "expected four hexadecimal digits after `\\u`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str) -> String {
        match read(source).unwrap().kind {
            Kind::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn strings_unescape() {
        assert_eq!(text(r#" "a\"\\\/\b\f\n\r\t\u0041\ud83d\ude00é" "#), "a\"\\/\u{8}\u{c}\n\r\tA😀é");
    }

    #[test]
    fn what_is_not_json_is_refused_where_it_stands() {
        let cases = [
            ("", 0),
            ("  ", 2),
            ("{", 1),
            ("[1,]", 3),
            ("{\"a\":1,}", 7),
            ("{\"a\" 1}", 5),
            ("{a:1}", 1),
            ("\"a", 2),
            ("\"a\nb\"", 2),
            ("\"\\x\"", 1),
            ("\"\\u00é1\"", 1),
            ("\"\\u+041\"", 1),
            ("\"\\ud800\"", 1),
            ("\"\\ud800\\u0041\"", 1),
            ("01", 1),
            ("1.", 2),
            ("1e", 2),
            ("-", 1),
            ("nul", 0),
            ("1 2", 2),
            ("{\"a\":1,\"a\":2}", 7),
            ("[[[[[[[[[[[1]]]]]]]]]]]", 10),
        ];
        for (source, at) in cases {
            assert_eq!(read(source).unwrap_err().at, at, "{source}");
        }
    }

    #[test]
    fn numbers_keep_their_text() {
        for source in ["0", "-0.50", "1e+9", "12345678901234567890", "2E-3"] {
            match read(source).unwrap().kind {
                Kind::Number(text) => assert_eq!(text, source),
                other => panic!("{other:?}"),
            }
        }
    }
}
