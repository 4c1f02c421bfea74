//! Conditions of a filter pattern: comparisons joined by `&&` and `||`, the same over members of JSON and over fields between
//! spaces. What is compared is named by whoever uses them.

use regex::Regex;

use super::scan::{Scanner, Wrong};

/// Parentheses inside parentheses.
const DEEPEST: usize = 16;

/// Comparisons of things that `S` names.
#[derive(Debug)]
pub(super) enum Condition<S> {
    All(Vec<Condition<S>>),
    Any(Vec<Condition<S>>),
    One(S, Test),
}

/// What is asked of one thing.
#[derive(Debug)]
pub(super) enum Test {
    /// `=`; `!=` if not wanted.
    Equals(Wanted, bool),
    /// An order among numbers.
    Ordered(Order, f64),
    Is(Literal),
    /// `EXISTS`, or `NOT EXISTS`.
    Exists(bool),
}

/// What a value must equal.
#[derive(Debug)]
pub(super) enum Wanted {
    Number(f64),
    /// Text with stars that stand for anything.
    Text(String, Written),
    Expression(Regex),
}

/// How text is written in a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Quoted,
    Bare,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    True,
    False,
    Null,
}

impl Order {
    pub(super) fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

impl<S> Condition<S> {
    /// Whether it holds, asking `test` of each single comparison.
    pub(super) fn holds(&self, test: &impl Fn(&S, &Test) -> bool) -> bool {
        match self {
            Self::All(all) => all.iter().all(|one| one.holds(test)),
            Self::Any(any) => any.iter().any(|one| one.holds(test)),
            Self::One(subject, asked) => test(subject, asked),
        }
    }

    /// Everything it names.
    pub(super) fn subjects<'c>(&'c self, found: &mut Vec<&'c S>) {
        match self {
            Self::All(list) | Self::Any(list) => list.iter().for_each(|one| one.subjects(found)),
            Self::One(subject, _) => found.push(subject),
        }
    }
}

/// Reads the name of what is compared.
type Subject<S> = fn(&mut Scanner<'_>) -> Result<S, Wrong>;

/// Reads a condition up to what cannot belong to it.
pub(super) fn parse<S>(scanner: &mut Scanner<'_>, subject: Subject<S>, depth: usize) -> Result<Condition<S>, Wrong> {
    let mut any = vec![all(scanner, subject, depth)?];
    while scanner.take("||") {
        any.push(all(scanner, subject, depth)?);
    }
    Ok(Condition::Any(any))
}

fn all<S>(scanner: &mut Scanner<'_>, subject: Subject<S>, depth: usize) -> Result<Condition<S>, Wrong> {
    let mut all = vec![one(scanner, subject, depth)?];
    while scanner.take("&&") {
        all.push(one(scanner, subject, depth)?);
    }
    Ok(Condition::All(all))
}

fn one<S>(scanner: &mut Scanner<'_>, subject: Subject<S>, depth: usize) -> Result<Condition<S>, Wrong> {
    if scanner.take("(") {
        if depth == DEEPEST {
            return Err(Wrong::Sentence(format!("it is nested more than {DEEPEST} deep")));
        }
        let inner = parse(scanner, subject, depth + 1)?;
        scanner.must(")")?;
        return Ok(inner);
    }
    let subject = subject(scanner)?;
    Ok(Condition::One(subject, test(scanner)?))
}

/// Reads an operator and what stands on its right.
fn test(scanner: &mut Scanner<'_>) -> Result<Test, Wrong> {
    if scanner.take_word("EXISTS") {
        return Ok(Test::Exists(true));
    }
    if scanner.take_word("NOT") {
        let is_whole = scanner.take_word("EXISTS");
        return if is_whole { Ok(Test::Exists(false)) } else { Err(scanner.expected("EXISTS")) };
    }
    if scanner.take_word("IS") {
        let literals = [("TRUE", Literal::True), ("FALSE", Literal::False), ("NULL", Literal::Null)];
        let found = literals.into_iter().find(|(word, _)| scanner.take_word(word));
        return found.map(|(_, literal)| Test::Is(literal)).ok_or_else(|| scanner.expected("TRUE, FALSE or NULL"));
    }
    let orders = [("<=", Order::LessOrEqual), (">=", Order::GreaterOrEqual), ("<", Order::Less), (">", Order::Greater)];
    if let Some((_, order)) = orders.into_iter().find(|(sign, _)| scanner.take(sign)) {
        return number(scanner).map(|number| Test::Ordered(order, number));
    }
    if scanner.take("!=") {
        return wanted(scanner).map(|wanted| Test::Equals(wanted, false));
    }
    if scanner.take("=") {
        return wanted(scanner).map(|wanted| Test::Equals(wanted, true));
    }
    Err(scanner.expected("an operator"))
}

/// Whether a value without quotation marks may hold it.
fn is_bare(c: char) -> bool {
    !c.is_whitespace() && !"(){}[],&|=!<>\"".contains(c)
}

fn number(scanner: &mut Scanner<'_>) -> Result<f64, Wrong> {
    scanner.skip_spaces();
    let expected = scanner.expected("a number");
    parse_number(scanner.take_while(is_bare)).ok_or(expected)
}

fn wanted(scanner: &mut Scanner<'_>) -> Result<Wanted, Wrong> {
    scanner.skip_spaces();
    match scanner.peek() {
        Some('"') => return scanner.quoted().map(|text| Wanted::Text(text, Written::Quoted)),
        Some('%') => return scanner.expression().map(Wanted::Expression),
        _ => {}
    }
    let expected = scanner.expected("a value");
    let bare = scanner.take_while(is_bare);
    match parse_number(bare) {
        _ if bare.is_empty() => Err(expected),
        Some(number) => Ok(Wanted::Number(number)),
        None => Ok(Wanted::Text(bare.to_owned(), Written::Bare)),
    }
}

/// A number in digits, not one in words as `inf`.
pub(super) fn parse_number(text: &str) -> Option<f64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    if is_number { text.parse().ok() } else { None }
}

/// Whether text is like a pattern in which a star stands for anything.
pub(super) fn is_like(text: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return text == pattern };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let end = pieces.pop().unwrap_or_default();
    for piece in pieces {
        // The first place is as good as any: what follows can only have more room.
        let Some((_, after)) = text.split_once(piece).or_else(|| piece.is_empty().then_some(("", text))) else {
            return false;
        };
        text = after;
    }
    text.ends_with(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::is_like;

    #[test]
    fn a_star_stands_for_anything() {
        let cases = [
            ("", "", true),
            ("", "*", true),
            ("abc", "abc", true),
            ("abc", "a*", true),
            ("abc", "*c", true),
            ("abc", "*b*", true),
            ("abc", "a*c", true),
            ("abc", "a*b", false),
            ("ab", "ab*b", false),
            ("abab", "ab*ab", true),
            ("aXbXc", "a*b*c", true),
            ("abc", "**", true),
        ];
        for (text, pattern, expected) in cases {
            assert_eq!(is_like(text, pattern), expected, "{text} {pattern}");
        }
    }

    proptest! {
        #[test]
        fn stars_mean_what_a_regular_expression_says(text in "[ab]{0,8}", pattern in "[ab*]{0,6}") {
            let regex = regex::Regex::new(&format!("^{}$", pattern.replace('*', ".*"))).unwrap();
            prop_assert_eq!(is_like(&text, &pattern), regex.is_match(&text));
        }
    }
}
