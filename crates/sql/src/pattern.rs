//! Regular expressions as Java writes them, in terms of a library that bounds their size and their work. What a match is
//! used for is not known here.

use fancy_regex::{Captures, Regex, RegexBuilder};

/// The longest pattern, in bytes.
const LONGEST: usize = 2048;
/// The most memory a compiled pattern may take.
const COMPILED: usize = 1 << 20;
/// The most steps that a pattern with look-around or back-references may go back.
const BACKTRACKS: usize = 100_000;
/// What makes a pattern go back, or looks as if it did.
const GOES_BACK: [&str; 19] = [
    "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?(", "++", "*+", "?+", "}+", "\\1", "\\2", "\\3", "\\4", "\\5", "\\6",
    "\\7", "\\k", "\\G",
];

/// A pattern, good or bad.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Option<Regex>,
    /// Whether finding a match may mean going back, which takes longer than the text is long.
    goes_back: bool,
}

/// A pattern that took too long.
pub(crate) struct TooLong;

impl Pattern {
    /// Compiles a pattern; a bad one is told when it is used.
    pub(crate) fn new(java: &str) -> Pattern {
        if java.len() > LONGEST {
            return Pattern { regex: None, goes_back: false };
        }
        let pattern = translated(java);
        let mut builder = RegexBuilder::new(&pattern);
        builder.delegate_size_limit(COMPILED).backtrack_limit(BACKTRACKS);
        let goes_back = GOES_BACK.iter().any(|sign| pattern.contains(sign));
        Pattern { regex: builder.build().ok(), goes_back }
    }

    /// The compiled pattern, if it is good.
    pub(crate) fn regex(&self) -> Option<&Regex> {
        self.regex.as_ref()
    }

    /// Whether finding a match may mean going back.
    pub(crate) fn goes_back(&self) -> bool {
        self.goes_back
    }
}

/// Replaces every match as Java does, as long as `goes_on` allows for the length so far. `Ok(None)` if the replacement is none.
pub(crate) fn replace(
    regex: &Regex,
    text: &str,
    by: &str,
    mut goes_on: impl FnMut(usize) -> bool,
) -> Result<Option<String>, TooLong> {
    let Some(pieces) = pieces(by, regex) else { return Ok(None) };
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for found in regex.captures_iter(text) {
        let found = found.map_err(|_| TooLong)?;
        let Some(whole) = found.get(0) else { continue };
        out.push_str(text.get(copied..whole.start()).unwrap_or_default());
        for piece in &pieces {
            piece.append(&found, &mut out);
        }
        copied = whole.end();
        if !goes_on(out.len()) {
            return Err(TooLong);
        }
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Ok(Some(out))
}

/// A part of a replacement.
enum Piece {
    Character(char),
    Group(usize),
}

impl Piece {
    fn append(&self, found: &Captures<'_, str>, out: &mut String) {
        match self {
            Piece::Character(character) => out.push(*character),
            Piece::Group(group) => out.push_str(found.get(*group).map_or("", |group| group.as_str())),
        }
    }
}

/// Reads a replacement: `$1` and `${name}` are groups, a backslash takes what follows as it is. `None` if a group does not
/// exist or a sign stands at the end.
fn pieces(by: &str, regex: &Regex) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut characters = by.char_indices().peekable();
    while let Some((_, character)) = characters.next() {
        match character {
            '\\' => pieces.push(Piece::Character(characters.next()?.1)),
            '$' => match characters.next()? {
                (at, '{') => {
                    let name: String = characters.by_ref().map(|(_, c)| c).take_while(|c| *c != '}').collect();
                    if !by.get(at..)?.contains('}') {
                        return None;
                    }
                    let group = regex.capture_names().position(|found| found == Some(name.as_str()))?;
                    pieces.push(Piece::Group(group));
                }
                (_, digit) => {
                    let mut group = usize::try_from(digit.to_digit(10)?).ok()?;
                    if group >= regex.captures_len() {
                        return None;
                    }
                    // As many digits belong to the number as make a group that exists.
                    while let Some(longer) = characters
                        .peek()
                        .and_then(|(_, digit)| usize::try_from(digit.to_digit(10)?).ok())
                        .map(|digit| group * 10 + digit)
                        .filter(|longer| *longer < regex.captures_len())
                    {
                        group = longer;
                        characters.next();
                    }
                    pieces.push(Piece::Group(group));
                }
            },
            other => pieces.push(Piece::Character(other)),
        }
    }
    Some(pieces)
}

const SPACE: &str = r" \t\n\x0B\f\r";
const HORIZONTAL: &str = r" \t\x{A0}\x{1680}\x{180E}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}";
const VERTICAL: &str = r"\n\x0B\f\r\x{85}\x{2028}\x{2029}";
const DIGIT: &str = "0-9";
const WORD: &str = "A-Za-z0-9_";

/// Java's pattern as the library writes it. In Java `\d`, `\w` and `\s` are ASCII, `\Q…\E` is literal, and POSIX classes are
/// spelt `\p{Alpha}`.
/// unconfirmed: `$` is the very end, not also before a last line break; `.` stops at `\n` alone.
fn translated(java: &str) -> String {
    let mut out = String::with_capacity(java.len() + 16);
    let mut rest = java;
    let mut depth = 0_u32;
    while let Some(character) = rest.chars().next() {
        if let Some(escape) = rest.strip_prefix('\\') {
            rest = escaped(escape, depth > 0, &mut out);
            continue;
        }
        rest = rest.get(character.len_utf8()..).unwrap_or_default();
        match character {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            // The library knows set operations that Java has not.
            '-' | '~' if depth > 0 && rest.starts_with(character) => out.push('\\'),
            _ => {}
        }
        out.push(character);
    }
    out
}

/// Translates what follows a backslash and gives the rest.
fn escaped<'j>(escape: &'j str, in_class: bool, out: &mut String) -> &'j str {
    let Some(letter) = escape.chars().next() else {
        out.push('\\');
        return "";
    };
    let rest = escape.get(letter.len_utf8()..).unwrap_or_default();
    let class = match letter {
        'd' | 'D' => DIGIT,
        'w' | 'W' => WORD,
        's' | 'S' => SPACE,
        'h' | 'H' => HORIZONTAL,
        'v' | 'V' => VERTICAL,
        _ => "",
    };
    match letter {
        _ if !class.is_empty() && in_class && letter.is_lowercase() => out.push_str(class),
        _ if !class.is_empty() && letter.is_lowercase() => out.extend(["[", class, "]"]),
        _ if !class.is_empty() => out.extend(["[^", class, "]"]),
        'Q' => {
            let (literal, after) = rest.split_once("\\E").unwrap_or((rest, ""));
            out.push_str(&fancy_regex::escape(literal));
            return after;
        }
        'R' => out.extend([r"(?:\r\n|[", VERTICAL, "])"]),
        'e' => out.push_str(r"\x1B"),
        'u' => {
            let digits = rest.get(..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
            if let Some(digits) = digits {
                out.extend([r"\x{", digits, "}"]);
                return &rest[4..];
            }
            out.push_str(r"\u");
        }
        'p' | 'P' => return property(letter, rest, out),
        '<' | '>' => out.push(letter),
        _ if !letter.is_ascii() => out.push(letter),
        _ => {
            out.push('\\');
            out.push(letter);
        }
    }
    rest
}

/// Translates Java's POSIX classes; other properties are spelt alike.
fn property<'j>(letter: char, rest: &'j str, out: &mut String) -> &'j str {
    let names = [
        ("Lower", "lower"),
        ("Upper", "upper"),
        ("ASCII", "ascii"),
        ("Alpha", "alpha"),
        ("Digit", "digit"),
        ("Alnum", "alnum"),
        ("Punct", "punct"),
        ("Graph", "graph"),
        ("Print", "print"),
        ("Blank", "blank"),
        ("Cntrl", "cntrl"),
        ("XDigit", "xdigit"),
        ("Space", "space"),
    ];
    let name = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    let posix = name.and_then(|(name, after)| Some((names.iter().find(|(java, _)| *java == name)?.1, after)));
    if let Some((name, after)) = posix {
        out.extend([if letter == 'P' { "[[:^" } else { "[[:" }, name, ":]]"]);
        after
    } else {
        out.push('\\');
        out.push(letter);
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_java() {
        for (pattern, text, expected) in [
            ("a{2,}", "aaaa", true),
            (r"^\d+$", "12", true),
            (r"^\d+$", "١٢", false),
            (r"^[\w.]+$", "a_1.b", true),
            (r"^\w$", "é", false),
            (r"\s", "a b", true),
            (r"^[^\s/]+$", "a/b", false),
            (r"\Qa.b\E+", "a.b", true),
            (r"\Qa.b", "axb", false),
            (r"^\p{Alpha}+$", "abc", true),
            (r"^\p{Lu}$", "É", true),
            (r"(?<=a)b", "ab", true),
            (r"(?!x)y", "y", true),
            (r"(a)\1", "aa", true),
            (r"a++b", "aaab", true),
            (r"^[a-z&&[^b]]+$", "ac", true),
            (r"^[a-z&&[^b]]+$", "ab", false),
            ("\\u0041", "A", true),
            (r"\-\/", "-/", true),
            ("(?i)ABC", "abc", true),
        ] {
            let pattern_read = Pattern::new(pattern);
            let regex = pattern_read.regex().unwrap_or_else(|| panic!("{pattern}"));
            assert_eq!(regex.is_match(text).unwrap(), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn bad_and_enormous_patterns_are_told() {
        for pattern in ["(", "[a", "*", "a{99999999}", &"a?".repeat(2000), r"\p{Nonsense}", r"(?<n"] {
            assert!(Pattern::new(pattern).regex().is_none(), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_goes_back_forever_is_stopped() {
        let pattern = Pattern::new(r"(?=x)*(a+)+\1b");
        if let Some(regex) = pattern.regex() {
            assert!(regex.is_match(&"a".repeat(60)).is_err());
        }
    }

    #[test]
    fn replacements_name_groups_as_in_java() {
        for (pattern, by, expected) in [
            ("bc", "x", Some("axd")),
            ("b(.*)d", "$1", Some("ac")),
            ("(?<l>b)(c)", "${l}-$2$0", Some("ab-cbcd")),
            ("(b)", "$12", Some("ab2cd")),
            ("b", r"\$1", Some("a$1cd")),
            ("b", "$1", None),
            ("b", "$", None),
            ("b", "\\", None),
            ("b", "${l}", None),
            ("(?<l>b)", "${l", None),
            ("", "-", Some("-a-b-c-d-")),
        ] {
            let read = Pattern::new(pattern);
            let replaced = replace(read.regex().unwrap(), "abcd", by, |_| true).ok().unwrap();
            assert_eq!(replaced.as_deref(), expected, "{pattern} {by}");
        }
    }
}
