//! Filter patterns: which log events a reader asks for, by words, by members of JSON, or by fields between spaces. Where events
//! come from, and how many are looked at, is unknown here.
//!
//! A pattern is parsed once and refused as a whole if any of it is not understood, so that none silently finds nothing.

use regex::Regex;

mod condition;
mod fields;
mod json;
mod scan;

use fields::Fields;
use json::Members;
use scan::{Scanner, Wrong};

/// What events must be like.
#[derive(Debug)]
pub(crate) struct Pattern(Kind);

#[derive(Debug)]
enum Kind {
    /// Every event.
    All,
    Terms(Terms),
    Members(Members),
    Fields(Fields),
}

/// Words: all of the first, none of the second, and at least one of the third if there are neither of the others.
#[derive(Debug, Default)]
struct Terms {
    required: Vec<Term>,
    excluded: Vec<Term>,
    optional: Vec<Term>,
}

/// A word, or an expression that must match somewhere.
#[derive(Debug)]
enum Term {
    Word(String),
    Expression(Regex),
}

impl Term {
    // unconfirmed: that a word is found inside a longer one too.
    fn is_in(&self, message: &str) -> bool {
        match self {
            Self::Word(word) => message.contains(word.as_str()),
            Self::Expression(regex) => regex.is_match(message),
        }
    }
}

impl Pattern {
    /// Reads a pattern; what is wrong with it comes back as a sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut scanner = Scanner::new(text);
        scanner.skip_spaces();
        let kind = match scanner.peek() {
            None => Ok(Kind::All),
            Some('{') => json::parse(&mut scanner).map(Kind::Members),
            Some('[') => fields::parse(&mut scanner).map(Kind::Fields),
            Some(_) => terms(&mut scanner).map(Kind::Terms),
        };
        kind.map(Self).map_err(|wrong| wrong.sentence(text))
    }

    /// Whether a message is asked for.
    pub(crate) fn matches(&self, message: &str) -> bool {
        match &self.0 {
            Kind::All => true,
            Kind::Terms(terms) => terms.is_like(message),
            Kind::Members(members) => members.is_like(message),
            Kind::Fields(fields) => fields.is_like(message),
        }
    }
}

impl Terms {
    fn is_like(&self, message: &str) -> bool {
        let Self { required, excluded, optional } = self;
        let is_in = |term: &Term| term.is_in(message);
        // As AWS does: optional words beside others are not looked at.
        let optional_hold = !required.is_empty() || !excluded.is_empty() || optional.iter().any(is_in);
        required.iter().all(is_in) && !excluded.iter().any(is_in) && optional_hold
    }
}

fn terms(scanner: &mut Scanner<'_>) -> Result<Terms, Wrong> {
    let mut terms = Terms::default();
    loop {
        scanner.skip_spaces();
        let list = match scanner.peek() {
            None => return Ok(terms),
            Some('-') => {
                scanner.next();
                &mut terms.excluded
            }
            Some('?') => {
                scanner.next();
                &mut terms.optional
            }
            Some(_) => &mut terms.required,
        };
        list.push(term(scanner)?);
    }
}

fn term(scanner: &mut Scanner<'_>) -> Result<Term, Wrong> {
    match scanner.peek() {
        Some('"') => scanner.quoted().map(Term::Word),
        Some('%') => scanner.expression().map(Term::Expression),
        _ => {
            let word = scanner.take_while(|c| !c.is_whitespace());
            if !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_') {
                Ok(Term::Word(word.to_owned()))
            } else {
                Err(Wrong::Characters(word.to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Patterns, and the messages each finds among those given.
    fn finds(pattern: &str, messages: &[&str]) -> Vec<usize> {
        let pattern = Pattern::parse(pattern).unwrap_or_else(|wrong| panic!("{pattern}: {wrong}"));
        (0..messages.len()).filter(|index| pattern.matches(messages[*index])).collect()
    }

    #[test]
    fn words_must_all_be_there_and_excluded_ones_must_not() {
        let messages = ["[ERROR 400] BAD REQUEST", "[ERROR 401] UNAUTHORIZED REQUEST", "[WARN] odd", "error", ""];
        let cases: [(&str, &[usize]); 13] = [
            ("", &[0, 1, 2, 3, 4]),
            ("  ", &[0, 1, 2, 3, 4]),
            ("ERROR", &[0, 1]),
            ("ERROR REQUEST", &[0, 1]),
            ("ERROR BAD", &[0]),
            ("ERROR -BAD", &[1]),
            ("-ERROR", &[2, 3, 4]),
            ("?BAD ?odd", &[0, 2]),
            ("?nothing", &[]),
            ("\"BAD REQUEST\"", &[0]),
            ("ERROR -\"BAD REQUEST\"", &[1]),
            ("?odd ERROR", &[0, 1]),
            ("%40[01]%", &[0, 1]),
        ];
        for (pattern, expected) in cases {
            assert_eq!(finds(pattern, &messages), expected, "{pattern}");
        }
    }

    #[test]
    fn a_quoted_word_holds_what_its_escapes_say() {
        let messages = [r#"he said "no""#, r"a\b", "no"];
        assert_eq!(finds(r#""\"no\"""#, &messages), [0]);
        assert_eq!(finds(r#""a\\b""#, &messages), [1]);
    }

    #[test]
    fn members_of_json_are_compared() {
        let messages = [
            r#"{"eventType":"Update","code":404,"user":{"name":"ann","ids":[1,2]},"ok":true,"none":null}"#,
            r#"{"eventType":"UpdateTrail","code":200,"latency":0.5,"list":[{"a":"x"},{"a":"y"}],"ok":false}"#,
            r#"{"eventType":"Delete","code":"404","a.b":1,"c-d":"dash"}"#,
            "Update 404",
            "[1]",
        ];
        let cases: [(&str, &[usize]); 34] = [
            ("{ $.eventType = \"Update\" }", &[0]),
            ("{ $.eventType = Update }", &[0]),
            ("{$.eventType=Update*}", &[0, 1]),
            ("{ $.eventType = *e* && $.code = 200 }", &[1]),
            ("{ $.eventType != \"Update\" }", &[1, 2]),
            ("{ $.code = 404 }", &[0]),
            ("{ $.code = 4* }", &[0, 2]),
            ("{ $.code = \"404\" }", &[2]),
            ("{ $.code != 404 }", &[1]),
            ("{ $.code > 200 }", &[0]),
            ("{ $.code >= 200 }", &[0, 1]),
            ("{ $.code < 2.5e2 }", &[1]),
            ("{ $.latency <= 0.5 }", &[1]),
            ("{ $.missing = 1 }", &[]),
            ("{ $.missing != 1 }", &[]),
            ("{ $.missing NOT EXISTS }", &[0, 1, 2]),
            ("{ $.latency EXISTS }", &[1]),
            ("{ $.none IS NULL }", &[0]),
            ("{ $.ok IS TRUE }", &[0]),
            ("{ $.ok IS FALSE }", &[1]),
            ("{ $.user.name = ann }", &[0]),
            ("{ $.user.ids[1] = 2 }", &[0]),
            ("{ $.user.ids[2] NOT EXISTS && $.user EXISTS }", &[0]),
            ("{ $.user.ids[*] = 1 }", &[0]),
            ("{ $.list[0].a = x || $.code = 404 }", &[0, 1]),
            ("{ $.list[*].a = y }", &[1]),
            ("{ $.['a.b'] = 1 }", &[2]),
            ("{ $.['c-d'] = dash }", &[2]),
            ("{ $.c-d = dash }", &[2]),
            ("{ ($.code = 404 || $.code = 200) && $.ok IS TRUE }", &[0]),
            ("{ $.code = 404 || $.code = 200 && $.ok IS FALSE }", &[0, 1]),
            ("{ $.eventType = %^Up% }", &[0, 1]),
            ("{ $.eventType != %^Up% }", &[2]),
            ("{ $.user = ann }", &[]),
        ];
        for (pattern, expected) in cases {
            assert_eq!(finds(pattern, &messages), expected, "{pattern}");
        }
    }

    #[test]
    fn fields_between_spaces_are_compared() {
        let messages = [
            r#"127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 200 1534"#,
            r#"127.0.0.1 - ann [10/Oct/2000:13:35:22 -0700] "GET /about/us.gif HTTP/1.0" 404 5324"#,
            "ERROR one two",
            "",
        ];
        let cases: [(&str, &[usize]); 15] = [
            ("[ip, id, user, timestamp, request, status_code, size]", &[0, 1]),
            ("[ip, id, user, timestamp, request, status_code]", &[]),
            ("[ip, id, user, timestamp, request, status_code = 4*, size]", &[1]),
            ("[ip, id, user, timestamp, request = *.html*, status_code, size]", &[0]),
            ("[..., status_code = 404, size]", &[1]),
            ("[..., size > 2000]", &[1]),
            ("[ip, ..., status_code = 404 || status_code = 200, size]", &[0, 1]),
            ("[ip, ..., status_code = 404 && size > 9000, size]", &[]),
            ("[ip != 127*, ...]", &[2]),
            ("[w1=ERROR, w2, w3]", &[2]),
            ("[w1=%ERR|127%, ...]", &[0, 1, 2]),
            ("[...]", &[0, 1, 2, 3]),
            ("[ip, ..., request = \"GET /index.html HTTP/1.0\", status, size]", &[0]),
            ("[ip, id, user, timestamp = 10/Oct*, ...]", &[0, 1]),
            ("[a, b, c]", &[2]),
        ];
        for (pattern, expected) in cases {
            assert_eq!(finds(pattern, &messages), expected, "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_place_and_what_was_expected() {
        let cases = [
            ("2024-01-01", "Invalid character(s) in term '2024-01-01'"),
            ("\"open", "Invalid filter pattern: the text that begins at character 0 has no end"),
            ("-", "Invalid character(s) in term ''"),
            ("{ $.a = }", "Invalid filter pattern: expected a value at character 8"),
            ("{ $.a }", "Invalid filter pattern: expected an operator at character 6"),
            ("{ a = 1 }", "Invalid filter pattern: expected $ at character 2"),
            ("{ $.a = 1", "Invalid filter pattern: expected } at character 9"),
            ("{ $.a = 1 } x", "Invalid filter pattern: expected the end at character 12"),
            ("{ $.a > \"x\" }", "Invalid filter pattern: expected a number at character 8"),
            ("{ $.a[x] = 1 }", "Invalid filter pattern: expected an index at character 6"),
            ("{ ($.a = 1 }", "Invalid filter pattern: expected ) at character 11"),
            ("[a, b", "Invalid filter pattern: expected , or ] at character 5"),
            ("[..., a, ...]", "Invalid filter pattern: only one ..., not again at character 9"),
            ("[a = 1 && c = 2]", "Invalid filter pattern: there is no field c"),
            ("{ $.a = %[% }", "Invalid filter pattern: [ is not a regular expression that is taken"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(Pattern::parse(pattern).unwrap_err(), expected, "{pattern}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("{{ {}$.a = 1{} }}", "(".repeat(100), ")".repeat(100));
        assert!(Pattern::parse(&deep).unwrap_err().contains("nested"));
    }

    proptest! {
        /// Whatever is sent is a pattern or refused, and a pattern can be held against anything.
        #[test]
        fn no_text_is_too_odd(
            pattern in r#"[{\[]?( ?[-?%"$.a1=!<>&|()\[\]{},*\\é'_]| EXISTS| IS| NOT| NULL){0,24}"#,
            message in r#"[{\[]?[a1 "\[\]{}:,é]{0,16}"#,
        ) {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                pattern.matches(&message);
            }
        }

        /// Words mean what three plain loops say.
        #[test]
        fn words_are_looked_for_one_by_one(
            message in "[abc ]{0,10}",
            words in prop::collection::vec(("[-?]?", "[abc]{1,2}"), 0..5),
        ) {
            let pattern: Vec<String> = words.iter().map(|(sign, word)| format!("{sign}{word}")).collect();
            let of = |sign: &str| words.iter().filter(move |(own, _)| own == sign).map(|(_, word)| word.as_str()).collect::<Vec<_>>();
            let (required, excluded, optional) = (of(""), of("-"), of("?"));
            let mut expected = required.iter().all(|word| message.contains(word));
            expected &= !excluded.iter().any(|word| message.contains(word));
            if required.is_empty() && excluded.is_empty() && !optional.is_empty() {
                expected = optional.iter().any(|word| message.contains(word));
            }
            prop_assert_eq!(Pattern::parse(&pattern.join(" ")).unwrap().matches(&message), expected);
        }

        /// Every member of a message is found by its own name and value, and by no other value.
        #[test]
        fn a_member_is_found_by_what_it_is(name in "[a-z]{1,4}", inner in "[a-z_]{1,4}", value in -1000_i64..1000, text in "[a-z \"\\\\é]{0,6}") {
            let message = json!({&name: {&inner: value, "text": [text.clone()]}}).to_string();
            let matches = |pattern: String| Pattern::parse(&pattern).unwrap().matches(&message);
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            prop_assume!(inner != "text");
            let at_value = format!("$.{name}.{inner}");
            let at_text = format!("$.{name}.text[0]");
            let found = matches(format!("{{ {at_value} = {value} && {at_text} = \"{quoted}\" }}"));
            prop_assert!(found);
            let compared = matches(format!("{{ {at_value} < {} && {at_value} > {} }}", value + 1, value - 1));
            prop_assert!(compared);
            let other = matches(format!("{{ {at_value} != {value} || {at_value} = {} }}", value + 1));
            prop_assert!(!other);
        }
    }
}
