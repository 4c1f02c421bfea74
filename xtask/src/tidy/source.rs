//! Just enough of Rust to measure it: which bytes are code, where functions begin and end, and what is test.
//! It does not parse; text that compiles is split correctly, and for other text any answer will do.

/// A source file with comments and the inside of literals blanked out; lines and columns stay where they were.
pub(super) struct Source {
    code: Vec<u8>,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// Its name.
    pub(super) name: String,
    /// The line it begins on, from 1.
    pub(super) line: usize,
    /// How many lines it has, from `fn` to its closing brace.
    pub(super) length: usize,
}

impl Source {
    /// Blanks out what is not code.
    pub(super) fn new(text: &str) -> Self {
        let mut code = text.as_bytes().to_vec();
        let mut at = 0;
        while at < code.len() {
            at = match Literal::at(&code, at) {
                Some(literal) => literal.blank(&mut code),
                None => at + 1,
            };
        }
        Self { code }
    }

    /// The lines of code outside tests, with their numbers.
    pub(super) fn lines_outside_tests(&self) -> Vec<(usize, String)> {
        let mut code = self.code.clone();
        for (start, end) in self.tests() {
            blank(&mut code[start..end]);
        }
        let lines = code.split(|byte| *byte == b'\n').enumerate();
        lines.map(|(index, line)| (index + 1, String::from_utf8_lossy(line).into_owned())).collect()
    }

    /// Every function with a body, nested ones too.
    pub(super) fn functions(&self) -> Vec<Function> {
        let starts = self.code.windows(3).enumerate().filter(|(at, window)| {
            *window == b"fn " && !at.checked_sub(1).is_some_and(|before| is_word(self.code[before]))
        });
        starts.filter_map(|(start, _)| self.function(start)).collect()
    }

    /// The insides of attributes, those of tests too, each with the line it begins on.
    pub(super) fn attributes(&self) -> Vec<(usize, String)> {
        let starts = self.code.iter().enumerate().filter(|(_, byte)| **byte == b'#').map(|(at, _)| at);
        let inside = starts.filter_map(|at| {
            let open = at + if self.code.get(at + 1) == Some(&b'!') { 2 } else { 1 };
            let rest = self.code.get(open..)?.strip_prefix(b"[")?;
            let mut depth = 1_usize;
            let close = rest.iter().position(|byte| {
                match byte {
                    b'[' => depth += 1,
                    b']' => depth -= 1,
                    _ => {}
                }
                depth == 0
            })?;
            Some((self.line(at), String::from_utf8_lossy(&rest[..close]).into_owned()))
        });
        inside.collect()
    }

    fn function(&self, start: usize) -> Option<Function> {
        let name: Vec<u8> = self.code[start + 3..].iter().copied().take_while(|byte| is_word(*byte)).collect();
        let end = self.end(start);
        // What has no name is the type of a function pointer or the pattern of a macro; what has no braces is declared only.
        if name.is_empty() || self.code.get(end) != Some(&b'}') {
            return None;
        }
        let length = self.line(end) - self.line(start) + 1;
        Some(Function { name: String::from_utf8_lossy(&name).into_owned(), line: self.line(start), length })
    }

    /// What stands behind `#[cfg(test)]` and `#[test]`.
    fn tests(&self) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for mark in ["#[cfg(test)]", "#[test]"] {
            let starts = self.code.windows(mark.len()).enumerate().filter(|(_, window)| *window == mark.as_bytes());
            found.extend(starts.map(|(start, _)| (start, (self.end(start + mark.len()) + 1).min(self.code.len()))));
        }
        found
    }

    /// Where the item that begins at `from` ends: its closing brace, or a semicolon that comes before any brace.
    fn end(&self, from: usize) -> usize {
        let mut depth = 0_usize;
        let mut braces = 0_usize;
        for (at, byte) in self.code.iter().enumerate().skip(from) {
            match byte {
                b'(' | b'[' if braces == 0 => depth += 1,
                b')' | b']' if braces == 0 => depth = depth.saturating_sub(1),
                b'{' if depth == 0 => braces += 1,
                b'}' if braces == 1 => return at,
                b'}' => braces = braces.saturating_sub(1),
                b';' if depth == 0 && braces == 0 => return at,
                _ => {}
            }
        }
        self.code.len()
    }

    fn line(&self, at: usize) -> usize {
        self.code[..at].split(|byte| *byte == b'\n').count()
    }
}

/// A comment or a literal: where its inside begins, where that ends, and where code goes on.
struct Literal {
    inside: usize,
    end: usize,
    next: usize,
}

impl Literal {
    /// The literal or comment that begins at `at`, if one does.
    fn at(code: &[u8], at: usize) -> Option<Self> {
        let rest = &code[at..];
        let behind_word = at.checked_sub(1).is_some_and(|before| is_word(code[before]));
        if rest.starts_with(b"//") {
            return Some(Self::until(code, at, at, b"\n"));
        }
        if rest.starts_with(b"/*") {
            return Some(Self::block_comment(code, at));
        }
        if !behind_word && let Some(raw) = Self::raw_string(code, at) {
            return Some(raw);
        }
        match rest {
            [b'"', ..] => Some(Self::quoted(code, at + 1, b'"')),
            // A quote that is closed after one character is a character; otherwise it is a lifetime.
            [b'\'', b'\\', ..] => Some(Self::quoted(code, at + 1, b'\'')),
            [b'\'', first, ..] => {
                let close = at + 1 + character_length(*first);
                (code.get(close) == Some(&b'\'')).then_some(Self { inside: at + 1, end: close, next: close + 1 })
            }
            _ => None,
        }
    }

    fn quoted(code: &[u8], inside: usize, quote: u8) -> Self {
        let mut at = inside;
        while at < code.len() && code[at] != quote {
            at += if code[at] == b'\\' { 2 } else { 1 };
        }
        let end = at.min(code.len());
        Self { inside, end, next: (end + 1).min(code.len()) }
    }

    fn raw_string(code: &[u8], at: usize) -> Option<Self> {
        let rest = code[at..].strip_prefix(b"b").unwrap_or(&code[at..]).strip_prefix(b"r")?;
        let hashes = rest.iter().take_while(|byte| **byte == b'#').count();
        if rest.get(hashes) != Some(&b'"') {
            return None;
        }
        let inside = code.len() - rest.len() + hashes + 1;
        let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
        Some(Self::until(code, inside, inside, &close))
    }

    fn block_comment(code: &[u8], start: usize) -> Self {
        let (mut at, mut depth) = (start + 2, 1_usize);
        while at < code.len() && depth > 0 {
            match &code[at..] {
                [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
                [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
                _ => at += 1,
            }
        }
        let end = at.min(code.len());
        Self { inside: start, end, next: end }
    }

    fn until(code: &[u8], inside: usize, from: usize, close: &[u8]) -> Self {
        let found = code[from..].windows(close.len()).position(|window| window == close);
        let end = found.map_or(code.len(), |found| from + found);
        Self { inside, end, next: (end + close.len()).min(code.len()) }
    }

    fn blank(self, code: &mut [u8]) -> usize {
        blank(&mut code[self.inside..self.end]);
        self.next
    }
}

fn blank(code: &mut [u8]) {
    for byte in code.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Bytes of the UTF-8 character that begins with `first`.
fn character_length(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        String::from_utf8_lossy(&Source::new(text).code).into_owned()
    }

    #[test]
    fn comments_and_literals_are_blank() {
        for (text, expected) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("{", "\"}")"#, r#"f(" ", "   ")"#),
            (r##"f(r#"{"}"#)"##, r##"f(r#"   "#)"##),
            ("f('{', '\\'', b'}')", "f(' ', '  ', b' ')"),
            ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
            ("f('é')", "f('  ')"),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
    }

    #[test]
    fn functions_are_measured_to_their_closing_brace() {
        let text = "fn one() { 1 }\ntrait T { fn none(&self) -> [u8; 3]; }\nfn three(f: fn(u8))\n{\n}\nfn\u{20}\n";
        let functions = Source::new(text).functions();
        let names: Vec<_> = functions.iter().map(|f| (f.name.as_str(), f.line, f.length)).collect();
        assert_eq!(names, [("one", 1, 1), ("three", 3, 3)]);
    }

    #[test]
    fn tests_are_left_out() {
        let text = "a();\n#[cfg(test)]\nmod tests {\n b();\n}\n#[cfg(test)]\nuse c;\nd();\n";
        let lines = Source::new(text).lines_outside_tests();
        let left: Vec<_> = lines.iter().filter(|(_, line)| !line.trim().is_empty()).collect();
        assert_eq!(left, [&(1, "a();".to_owned()), &(8, "d();".to_owned())]);
    }
}
