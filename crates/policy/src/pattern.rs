//! Text with wildcards (`*` any run of characters, `?` exactly one) and the matcher for it. A pattern is
//! prepared once and matched often: matching allocates nothing, works on a text given in two parts, and takes
//! at most (length of the pattern) × (length of the text) steps. It does not know what it matches.

use std::sync::Arc;

/// A resource as it is asked about: an ARN in two parts, matched as if they were one text. The first part is
/// fixed per account and kind (`arn:aws:iot:us-east-1:000000000000:topic/`), so that a publication is checked
/// without building its ARN.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'a> {
    /// The part that comes first and rarely changes.
    pub prefix: &'a str,
    /// The part that follows: a topic, a topic filter, a client id.
    pub name: &'a str,
}

impl<'a> Resource<'a> {
    /// The resource whose ARN is `prefix` followed by `name`.
    pub fn new(prefix: &'a str, name: &'a str) -> Resource<'a> {
        Resource { prefix, name }
    }

    fn len(self) -> usize {
        self.prefix.len() + self.name.len()
    }

    fn byte(self, at: usize) -> Option<u8> {
        let prefix = self.prefix.as_bytes();
        match prefix.get(at) {
            Some(&byte) => Some(byte),
            None => self.name.as_bytes().get(at - prefix.len()).copied(),
        }
    }

    fn starts_with(self, head: &str) -> bool {
        match head.as_bytes().split_at_checked(self.prefix.len()) {
            Some((first, rest)) => first == self.prefix.as_bytes() && self.name.as_bytes().starts_with(rest),
            None => self.prefix.as_bytes().starts_with(head.as_bytes()),
        }
    }
}

impl<'a> From<&'a str> for Resource<'a> {
    fn from(arn: &'a str) -> Resource<'a> {
        Resource { prefix: "", name: arn }
    }
}

impl std::fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.prefix)?;
        f.write_str(self.name)
    }
}

/// One step of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// This very byte.
    Byte(u8),
    /// Exactly one character.
    One,
    /// Any run of characters, also none.
    Many,
}

/// A prepared pattern. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    /// The text before the first wildcard: compared at once, and what tells most patterns apart.
    head: Box<str>,
    /// Everything from the first wildcard on.
    tail: Box<[Token]>,
}

impl Pattern {
    /// Prepares a pattern from its steps, which spell valid UTF-8.
    pub(crate) fn new(tokens: &[Token]) -> Pattern {
        let bytes: Vec<u8> = tokens.iter().map_while(|token| token.byte()).collect();
        // The tokens spell UTF-8; were they not to, the tail would do the whole work.
        let head = String::from_utf8(bytes).unwrap_or_default();
        let tail = tokens.get(head.len()..).unwrap_or_default().into();
        Pattern(Arc::new(Parts { head: head.into(), tail }))
    }

    /// Whether the whole text matches.
    pub(crate) fn matches(&self, text: Resource<'_>) -> bool {
        let Parts { head, tail } = &*self.0;
        match **tail {
            [] => text.len() == head.len() && text.starts_with(head),
            [Token::Many] => text.starts_with(head),
            _ => text.starts_with(head) && tail_matches(tail, head.len(), text.len(), |at| text.byte(at)),
        }
    }

    /// Whether the whole text matches this pattern, which is in lower case, when ASCII case is ignored.
    pub(crate) fn matches_folded(&self, text: &str) -> bool {
        let Parts { head, tail } = &*self.0;
        let bytes = text.as_bytes();
        let Some((first, rest)) = bytes.split_at_checked(head.len()) else { return false };
        let byte = |at| bytes.get(at).map(u8::to_ascii_lowercase);
        first.eq_ignore_ascii_case(head.as_bytes())
            && if tail.is_empty() { rest.is_empty() } else { tail_matches(tail, head.len(), bytes.len(), byte) }
    }

    /// The text if there is no wildcard in it.
    pub(crate) fn as_exact(&self) -> Option<&str> {
        self.0.tail.is_empty().then_some(&*self.0.head)
    }

    /// The pattern of each of the six parts of an ARN, if there are six. The last part may hold colons.
    pub(crate) fn arn_parts(&self) -> Option<[Pattern; 6]> {
        let head = self.0.head.bytes().map(Token::Byte);
        let tokens: Vec<Token> = head.chain(self.0.tail.iter().copied()).collect();
        let mut parts = tokens.splitn(6, |token| *token == Token::Byte(b':')).map(Pattern::new);
        let mut next = || parts.next();
        Some([next()?, next()?, next()?, next()?, next()?, next()?])
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.0.tail.iter().map(|token| match token {
            Token::Byte(byte) => *byte,
            Token::One => b'?',
            Token::Many => b'*',
        });
        let tail: Vec<u8> = bytes.collect();
        write!(f, "{}{}", self.0.head, String::from_utf8_lossy(&tail))
    }
}

impl Token {
    fn byte(self) -> Option<u8> {
        match self {
            Token::Byte(byte) => Some(byte),
            Token::One | Token::Many => None,
        }
    }
}

/// Greedy matching from `start` with one point of return: when the steps after a `*` fail, that `*` swallows
/// one byte more. Going back to an earlier `*` can never help, so there is no recursion.
fn tail_matches(tokens: &[Token], start: usize, len: usize, byte: impl Fn(usize) -> Option<u8>) -> bool {
    let next_character = |at: usize| {
        let inside = |at: usize| byte(at).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
        (at + 1..len).find(|at| !inside(*at)).unwrap_or(len)
    };
    let (mut token, mut at) = (0, start);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (tokens.get(token), byte(at)) {
            (None, None) => return true,
            (Some(Token::Many), _) if token + 1 == tokens.len() => return true,
            (Some(Token::Many), _) => retry = Some((token + 1, at)),
            (Some(Token::One), Some(_)) => at = next_character(at),
            (Some(Token::Byte(wanted)), Some(found)) if *wanted == found => at += 1,
            _ => {
                let Some((after_many, from)) = retry.filter(|(_, from)| *from < len) else { return false };
                // From inside a character a `?` ends where it would from its start, so bytes are steps enough.
                retry = Some((after_many, from + 1));
                (token, at) = (after_many, from + 1);
                continue;
            }
        }
        token += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    fn tokens(pattern: &str) -> Vec<Token> {
        let token = |byte| match byte {
            b'*' => Token::Many,
            b'?' => Token::One,
            byte => Token::Byte(byte),
        };
        pattern.bytes().map(token).collect()
    }

    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|n| naive(rest, &text[n..])),
            (['?', p @ ..], [_, t @ ..]) => naive(p, t),
            ([a, p @ ..], [b, t @ ..]) => a == b && naive(p, t),
            _ => false,
        }
    }

    #[test]
    fn a_star_spans_slashes_and_a_question_mark_is_one_character() {
        let cases = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "a/b/c", true),
            ("?", "", false),
            ("?", "é", true),
            ("??", "é", false),
            ("*?", "é", true),
            ("a*c", "a/b/c", true),
            ("a*c", "a/b/cd", false),
            ("a/*/c", "a//c", true),
            ("a/*/c", "a/c", false),
            ("*a*a*a*", "aa", false),
            ("*a*a*a*", "xaxaxax", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", true),
        ];
        for (pattern, text, matches) in cases {
            assert_eq!(Pattern::new(&tokens(pattern)).matches(text.into()), matches, "{pattern} on {text}");
        }
    }

    #[test]
    fn many_stars_stay_cheap() {
        let pattern = Pattern::new(&tokens(&format!("{}b", "*a".repeat(500))));
        assert!(!pattern.matches("a".repeat(2000).as_str().into()));
    }

    #[test]
    fn an_arn_splits_at_its_first_five_colons() {
        let parts = Pattern::new(&tokens("arn:aws:iot:*:1:topic/a:b*")).arn_parts().unwrap();
        let texts: Vec<String> = parts.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["arn", "aws", "iot", "*", "1", "topic/a:b*"]);
        assert!(Pattern::new(&tokens("arn:aws:*")).arn_parts().is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_matcher_agrees_with_the_naive_one(pattern in "[abé*?]{0,9}", text in "[abé]{0,10}", cut in 0usize..11) {
            let cut = text.char_indices().nth(cut).map_or(text.len(), |(at, _)| at);
            let (prefix, name) = text.split_at(cut);
            let expected = naive(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
            prop_assert_eq!(Pattern::new(&tokens(&pattern)).matches(Resource::new(prefix, name)), expected);
        }
    }
}
