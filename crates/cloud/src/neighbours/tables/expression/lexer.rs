//! From the text of an expression to its tokens. Knows nothing of what they say together; a character that begins no token is
//! a token of its own, for the parser to refuse.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or a keyword.
    Word,
    /// `#name`.
    Name,
    /// `:value`.
    Value,
    /// Digits.
    Digits,
    /// `=`, `<>`, `(` and so on.
    Sign,
    /// Nothing that may stand in an expression.
    Stray,
    /// The end.
    End,
}

/// A piece of the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) text: &'t str,
    /// Where in the expression it begins.
    pub(super) start: usize,
}

impl Token<'_> {
    /// Whether it is this sign, or this keyword in any case.
    pub(super) fn is(&self, wanted: &str) -> bool {
        match self.kind {
            Kind::Word => self.text.eq_ignore_ascii_case(wanted),
            Kind::Sign => self.text == wanted,
            _ => false,
        }
    }

    /// Where it ends.
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// All tokens, and the end as the last.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        if matches!(first, ' ' | '\t' | '\r' | '\n') {
            start += 1;
            continue;
        }
        let rest = &text[start..];
        let (kind, length) = measure(first, rest);
        tokens.push(Token { kind, text: &rest[..length], start });
        start += length;
    }
    tokens.push(Token { kind: Kind::End, text: "", start: text.len() });
    tokens
}

/// What the token at the beginning of `rest` is, and how long.
fn measure(first: char, rest: &str) -> (Kind, usize) {
    let run = |from: usize, part: fn(u8) -> bool| rest.bytes().skip(from).take_while(|byte| part(*byte)).count() + from;
    match first {
        'a'..='z' | 'A'..='Z' => (Kind::Word, run(1, is_part)),
        '#' | ':' => match run(1, is_part) {
            1 => (Kind::Stray, 1),
            length if first == '#' => (Kind::Name, length),
            length => (Kind::Value, length),
        },
        '0'..='9' => (Kind::Digits, run(1, |byte| byte.is_ascii_digit())),
        '<' if rest.starts_with("<>") || rest.starts_with("<=") => (Kind::Sign, 2),
        '>' if rest.starts_with(">=") => (Kind::Sign, 2),
        '(' | ')' | '[' | ']' | ',' | '.' | '+' | '-' | '=' | '<' | '>' => (Kind::Sign, 1),
        other => (Kind::Stray, other.len_utf8()),
    }
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_where_tokens_begin() {
        let cut = |text| tokens(text).iter().map(|token| token.text).collect::<Vec<_>>().join(" ");
        for (text, expected) in [
            ("", ""),
            ("SET a=:b+1", "SET a = :b + 1 "),
            ("#a.b[0]<>:c", "#a . b [ 0 ] <> :c "),
            ("a<=b>=c<d>e", "a <= b >= c < d > e "),
            ("size(a),\t(x_1)\n", "size ( a ) , ( x_1 ) "),
            ("_1x", "_ 1 x "),
            ("a-b ä # :", "a - b ä # : "),
        ] {
            assert_eq!(cut(text), expected, "{text}");
        }
    }

    #[test]
    fn what_begins_no_token_is_told() {
        let kinds: Vec<Kind> = tokens("a ä # : \"").iter().map(|token| token.kind).collect();
        assert_eq!(kinds, [Kind::Word, Kind::Stray, Kind::Stray, Kind::Stray, Kind::Stray, Kind::End]);
    }
}
