//! Conditions: the operators, what a value must look like for each, and when a clause holds. A clause is one
//! operator on one key with a list of values (security.md §3.6). It does not know where the values of a key
//! come from, nor what statement it guards.

use std::cmp::Ordering;
use std::net::IpAddr;

use crate::context::{Context, Empty, Key};
use crate::pattern::Pattern;
use crate::template::{Syntax, Template};

/// What an operator does with one value of the policy and one of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Text,
    TextFolded,
    Like,
    Number(Order),
    Date(Order),
    Bool,
    Binary,
    Network,
    Arn,
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds(self, found: Ordering) -> bool {
        match self {
            Order::Equal => found.is_eq(),
            Order::Less => found.is_lt(),
            Order::LessOrEqual => found.is_le(),
            Order::Greater => found.is_gt(),
            Order::GreaterOrEqual => found.is_ge(),
        }
    }
}

/// Every operator by name, and whether it is the negation of its test. `ArnEquals` and `ArnLike` are the same,
/// as in IAM.
const OPERATORS: &[(&str, Test, bool)] = &[
    ("StringEquals", Test::Text, false),
    ("StringNotEquals", Test::Text, true),
    ("StringEqualsIgnoreCase", Test::TextFolded, false),
    ("StringNotEqualsIgnoreCase", Test::TextFolded, true),
    ("StringLike", Test::Like, false),
    ("StringNotLike", Test::Like, true),
    ("NumericEquals", Test::Number(Order::Equal), false),
    ("NumericNotEquals", Test::Number(Order::Equal), true),
    ("NumericLessThan", Test::Number(Order::Less), false),
    ("NumericLessThanEquals", Test::Number(Order::LessOrEqual), false),
    ("NumericGreaterThan", Test::Number(Order::Greater), false),
    ("NumericGreaterThanEquals", Test::Number(Order::GreaterOrEqual), false),
    ("DateEquals", Test::Date(Order::Equal), false),
    ("DateNotEquals", Test::Date(Order::Equal), true),
    ("DateLessThan", Test::Date(Order::Less), false),
    ("DateLessThanEquals", Test::Date(Order::LessOrEqual), false),
    ("DateGreaterThan", Test::Date(Order::Greater), false),
    ("DateGreaterThanEquals", Test::Date(Order::GreaterOrEqual), false),
    ("Bool", Test::Bool, false),
    ("BinaryEquals", Test::Binary, false),
    ("IpAddress", Test::Network, false),
    ("NotIpAddress", Test::Network, true),
    ("ArnEquals", Test::Arn, false),
    ("ArnLike", Test::Arn, false),
    ("ArnNotEquals", Test::Arn, true),
    ("ArnNotLike", Test::Arn, true),
    ("Null", Test::Null, false),
];

/// How an operator treats a key with a set of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantity {
    Plain,
    ForAll,
    ForAny,
}

/// An operator with its prefix and suffix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operator {
    test: Test,
    negated: bool,
    quantity: Quantity,
    if_exists: bool,
}

impl Operator {
    /// The operator of that name (unconfirmed: names are exact in case, as the documentation spells them).
    pub(crate) fn named(name: &str) -> Option<Operator> {
        let (quantity, rest) = match name.split_once(':') {
            None => (Quantity::Plain, name),
            Some(("ForAllValues", rest)) => (Quantity::ForAll, rest),
            Some(("ForAnyValue", rest)) => (Quantity::ForAny, rest),
            Some(_) => return None,
        };
        let (bare, if_exists) = rest.strip_suffix("IfExists").map_or((rest, false), |bare| (bare, true));
        let &(_, test, negated) = OPERATORS.iter().find(|(name, ..)| *name == bare)?;
        // `Null` asks whether the key exists, so neither "if it exists" nor "for all values" makes sense with it.
        let plain = quantity == Quantity::Plain && !if_exists;
        (plain || test != Test::Null).then_some(Operator { test, negated, quantity, if_exists })
    }

    /// What kind of value it wants, if it does not take any text.
    fn wants(self) -> &'static str {
        match self.test {
            Test::Number(_) => "a number",
            Test::Date(_) => "a date such as 2030-01-31T00:00:00Z, or seconds since 1970",
            Test::Bool | Test::Null => "`true` or `false`",
            Test::Network => "an IP address or a CIDR block",
            Test::Arn => "an ARN",
            Test::Text | Test::TextFolded | Test::Like | Test::Binary => "a text",
        }
    }
}

/// One operator on one key, as the document has it.
#[derive(Debug)]
pub(crate) struct Clause {
    operator: Operator,
    /// The operator as the policy spells it.
    pub(crate) name: Box<str>,
    pub(crate) key: Key,
    pub(crate) values: Box<[Template]>,
}

impl Clause {
    pub(crate) fn new(operator: Operator, name: &str, key: &str) -> Clause {
        Clause { operator, name: name.into(), key: Key::new(key), values: Box::default() }
    }

    /// Reads one value, or says what the operator wanted instead. A value with variables is judged when they
    /// are known. unconfirmed: AWS may accept a value its operator can never compare; we refuse it aloud.
    pub(crate) fn value(&self, text: &str, variables: bool) -> Result<Template, &'static str> {
        let wildcards = matches!(self.operator.test, Test::Like | Test::Arn);
        let syntax = Syntax { wildcards, variables };
        let template = if self.key.is_of_certificate() {
            Template::new(&without_backslashes(text), syntax)
        } else {
            Template::new(text, syntax)
        };
        let judged = template.variables().next().is_none().then(|| template.bind(&Context::new()));
        match judged {
            Some(Ok(pattern)) if Operand::new(self.operator.test, &pattern).is_none() => Err(self.operator.wants()),
            _ => Ok(template),
        }
    }

    /// Puts the variables' values in. `Err` tells why the clause can never hold in this context: a variable
    /// without a value, or with one that the operator cannot compare.
    pub(crate) fn bind(&self, context: &Context) -> Result<Bound, Empty> {
        let mut operands = Vec::new();
        let mut trouble = None;
        for template in &self.values {
            match template.bind(context).map(|pattern| Operand::new(self.operator.test, &pattern)) {
                Ok(Some(operand)) => operands.push(operand),
                Ok(None) => trouble = Some(Empty::Unfit),
                Err(empty) => trouble = Some(empty),
            }
        }
        match trouble {
            // unconfirmed: "not equal to something unknown" would hold of everything; an unknown fails instead.
            Some(empty) if self.operator.negated || operands.is_empty() => Err(empty),
            _ => Ok(Bound { operator: self.operator, key: self.key.clone(), operands: operands.into() }),
        }
    }
}

/// A certificate's value is written in a policy with a backslash before `, " \ + = < > ;` (security.md §3.4).
/// unconfirmed: the plain character is accepted too.
fn without_backslashes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = chars.next_if(|next| c == '\\' && ",\"\\+=<>;".contains(*next));
        out.push(escaped.unwrap_or(c));
    }
    out
}

/// A clause with the values of one context in place.
#[derive(Debug)]
pub(crate) struct Bound {
    operator: Operator,
    pub(crate) key: Key,
    operands: Box<[Operand]>,
}

/// What the request has under a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Actual<'a> {
    /// The values; none if the key is absent.
    Texts(&'a [Box<str>]),
    /// The time, in milliseconds since 1970.
    Now(i64),
}

impl Bound {
    /// Whether the clause holds of the values under its key.
    pub(crate) fn holds(&self, actual: Actual<'_>) -> bool {
        let Operator { test, negated, quantity, if_exists } = self.operator;
        let absent = matches!(actual, Actual::Texts([]));
        if test == Test::Null {
            return self.operands.iter().any(|operand| matches!(operand, Operand::Bool(wanted) if *wanted == absent));
        }
        if absent {
            return if_exists
                || match quantity {
                    Quantity::Plain => negated,
                    Quantity::ForAll => true,
                    Quantity::ForAny => false,
                };
        }
        // unconfirmed: without a prefix, a set of values matches if one does, and its negation if none does.
        match (quantity, negated) {
            (Quantity::Plain, _) => self.any(actual, true) != negated,
            (Quantity::ForAny, _) => self.any(actual, !negated),
            (Quantity::ForAll, _) => !self.any(actual, negated),
        }
    }

    /// Whether some value of the request does match (or does not, if `matching` is false) one of the policy's.
    fn any(&self, actual: Actual<'_>, matching: bool) -> bool {
        match actual {
            Actual::Now(ms) => {
                self.operands.iter().any(|operand| operand.matches_time(self.operator.test, ms)) == matching
            }
            Actual::Texts(texts) => texts
                .iter()
                .any(|text| self.operands.iter().any(|operand| operand.matches(self.operator.test, text)) == matching),
        }
    }
}

/// One value of the policy, ready to compare.
#[derive(Debug)]
enum Operand {
    Text(Pattern),
    Number(f64),
    Date(i64),
    Bool(bool),
    Network(Network),
    Arn(Box<[Pattern; 6]>),
}

impl Operand {
    fn new(test: Test, pattern: &Pattern) -> Option<Operand> {
        match test {
            Test::Text | Test::TextFolded | Test::Binary | Test::Like => Some(Operand::Text(pattern.clone())),
            Test::Number(_) => number(pattern.as_exact()?).map(Operand::Number),
            Test::Date(_) => date(pattern.as_exact()?).map(Operand::Date),
            Test::Bool | Test::Null => boolean(pattern.as_exact()?).map(Operand::Bool),
            Test::Network => Network::parse(pattern.as_exact()?).map(Operand::Network),
            Test::Arn => pattern.arn_parts().map(|parts| Operand::Arn(Box::new(parts))),
        }
    }

    /// Whether a text of the request matches. What cannot be compared does not.
    fn matches(&self, test: Test, found: &str) -> bool {
        match self {
            Operand::Text(pattern) => match (test, pattern.as_exact()) {
                (Test::TextFolded, Some(wanted)) => equal_ignoring_case(wanted, found),
                _ => pattern.matches(found.into()),
            },
            Operand::Number(wanted) => number(found).is_some_and(|n| compare(test, n.partial_cmp(wanted))),
            Operand::Date(wanted) => date(found).is_some_and(|ms| compare(test, Some(ms.cmp(wanted)))),
            Operand::Bool(wanted) => boolean(found) == Some(*wanted),
            Operand::Network(network) => found.parse().is_ok_and(|address| network.contains(address)),
            Operand::Arn(parts) => arn_matches(parts, found),
        }
    }

    /// Whether the present time matches: dates to the millisecond, numbers as seconds since 1970.
    fn matches_time(&self, test: Test, now_ms: i64) -> bool {
        match self {
            Operand::Date(wanted) => compare(test, Some(now_ms.cmp(wanted))),
            #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 stay far below 2^53")]
            Operand::Number(wanted) => compare(test, (now_ms.div_euclid(1000) as f64).partial_cmp(wanted)),
            _ => false,
        }
    }
}

fn compare(test: Test, found: Option<Ordering>) -> bool {
    match (test, found) {
        (Test::Number(order) | Test::Date(order), Some(found)) => order.holds(found),
        _ => false,
    }
}

fn equal_ignoring_case(a: &str, b: &str) -> bool {
    a.chars().flat_map(char::to_lowercase).eq(b.chars().flat_map(char::to_lowercase))
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Milliseconds since 1970 of a date and time, a date (midnight), or seconds since 1970. Without a zone it is UTC
/// (unconfirmed: AWS asks for a zone).
fn date(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1000);
    }
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(instant.as_millisecond());
    }
    let local: jiff::civil::DateTime = text.parse().ok()?;
    local.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|there| there.timestamp().as_millisecond())
}

/// The parts of an ARN are compared one by one: a `*` in the account does not reach into the resource.
fn arn_matches(parts: &[Pattern; 6], arn: &str) -> bool {
    let mut found = arn.splitn(6, ':');
    parts.iter().all(|part| found.next().is_some_and(|text| part.matches(text.into())))
}

/// A block of addresses. Bits after the length are ignored.
#[derive(Clone, Copy, Debug)]
struct Network {
    address: IpAddr,
    length: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Network> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = length.map_or(Some(most), |length| length.parse().ok())?;
        (length <= most).then_some(Network { address, length })
    }

    /// Whether the address is in the block. An IPv4 address in IPv6 clothes counts as IPv4.
    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(block), IpAddr::V4(found)) => {
                let differing = block.to_bits() ^ found.to_bits();
                differing.leading_zeros() >= self.length
            }
            (IpAddr::V6(block), _) => {
                let found = match address {
                    IpAddr::V6(found) => found,
                    IpAddr::V4(_) => return false,
                };
                (block.to_bits() ^ found.to_bits()).leading_zeros() >= self.length
            }
            (IpAddr::V4(_), IpAddr::V6(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `operator` with the policy's `wanted` holds of the request's `found`.
    fn holds(operator: &str, wanted: &[&str], found: &[&str]) -> bool {
        let mut clause = Clause::new(Operator::named(operator).unwrap(), operator, "k");
        clause.values = wanted.iter().map(|text| clause.value(text, true).unwrap()).collect();
        let mut context = Context::new();
        context.set_all("k", found.iter().copied());
        clause.bind(&context).is_ok_and(|bound| bound.holds(Actual::Texts(context.values(&bound.key))))
    }

    #[test]
    fn operators_compare_one_value() {
        let cases = [
            ("StringEquals", "a*", "a*", true),
            ("StringEquals", "a*", "ab", false),
            ("StringEquals", "A", "a", false),
            ("StringNotEquals", "a", "b", true),
            ("StringEqualsIgnoreCase", "É*", "é*", true),
            ("StringEqualsIgnoreCase", "É*", "éa", false),
            ("StringNotEqualsIgnoreCase", "A", "a", false),
            ("StringLike", "a?c*", "abcd", true),
            ("StringNotLike", "a?c*", "abcd", false),
            ("NumericEquals", "1.50", "1.5", true),
            ("NumericNotEquals", "1", "2", true),
            ("NumericLessThan", "10", "9", true),
            ("NumericLessThan", "10", "10", false),
            ("NumericLessThanEquals", "10", "10", true),
            ("NumericGreaterThan", "10", "11", true),
            ("NumericGreaterThanEquals", "10", "9", false),
            ("NumericEquals", "1", "one", false),
            ("DateEquals", "2030-01-01", "2030-01-01T00:00:00Z", true),
            ("DateEquals", "2030-01-01T02:00:00+02:00", "1893456000", true),
            ("DateEquals", "2030-01-01T10:00:00", "2030-01-01T10:00:00Z", true),
            ("DateNotEquals", "2030-01-01", "2030-01-02", true),
            ("DateLessThan", "2030-01-01", "2029-12-31T23:59:59.999Z", true),
            ("DateLessThanEquals", "2030-01-01", "2030-01-01", true),
            ("DateGreaterThan", "2030-01-01", "2030-01-01", false),
            ("DateGreaterThanEquals", "2030-01-01", "2030-01-01", true),
            ("Bool", "true", "TRUE", true),
            ("Bool", "false", "true", false),
            ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", true),
            ("BinaryEquals", "QmluYXJ5", "qmluyxj5", false),
            ("IpAddress", "10.1.0.0/16", "10.1.255.3", true),
            ("IpAddress", "10.1.0.0/16", "10.2.0.1", false),
            ("IpAddress", "10.1.2.3", "10.1.2.3", true),
            ("IpAddress", "0.0.0.0/0", "10.1.2.3", true),
            ("IpAddress", "0.0.0.0/0", "::1", false),
            ("IpAddress", "10.1.0.0/16", "::ffff:10.1.0.1", true),
            ("IpAddress", "2001:db8::/32", "2001:db8:1::1", true),
            ("IpAddress", "2001:db8::/32", "2001:db9::1", false),
            ("IpAddress", "::/0", "10.0.0.1", false),
            ("NotIpAddress", "10.1.0.0/16", "10.2.0.1", true),
            ("ArnEquals", "arn:aws:iot:*:1:topic/a", "arn:aws:iot:eu-west-1:1:topic/a", true),
            ("ArnLike", "arn:aws:iot:*:*:topic/*", "arn:aws:iot:r:1:topic/a:b/c", true),
            ("ArnLike", "arn:aws:*:1:1:topic/a", "arn:aws:iot:r:1:1:topic/a", false),
            ("ArnNotEquals", "arn:aws:iot:r:1:topic/a", "arn:aws:iot:r:1:topic/b", true),
            ("ArnNotLike", "arn:aws:iot:r:1:topic/*", "arn:aws:iot:r:1:topic/b", false),
            ("ArnLike", "arn:aws:iot:r:1:topic/*", "topic/b", false),
            ("Null", "false", "x", true),
            ("Null", "true", "x", false),
        ];
        for (operator, wanted, found, expected) in cases {
            assert_eq!(holds(operator, &[wanted], &[found]), expected, "{operator} {wanted} on {found}");
        }
    }

    #[test]
    fn an_absent_key_fails_unless_the_operator_says_otherwise() {
        let cases = [
            ("StringEquals", false),
            ("StringNotEquals", true),
            ("StringLike", false),
            ("StringNotLike", true),
            ("StringEqualsIfExists", true),
            ("StringNotEqualsIfExists", true),
            ("ForAllValues:StringEquals", true),
            ("ForAllValues:StringNotEquals", true),
            ("ForAnyValue:StringEquals", false),
            ("ForAnyValue:StringNotEquals", false),
            ("ForAnyValue:StringEqualsIfExists", true),
        ];
        for (operator, expected) in cases {
            assert_eq!(holds(operator, &["a"], &[]), expected, "{operator}");
        }
        assert!(holds("Null", &["true"], &[]));
        assert!(!holds("Null", &["false"], &[]));
    }

    #[test]
    fn sets_of_values_are_compared_as_the_prefix_says() {
        let cases: &[(&str, &[&str], &[&str], bool)] = &[
            ("ForAllValues:StringEquals", &["a", "b"], &["a"], true),
            ("ForAllValues:StringEquals", &["a", "b"], &["a", "b"], true),
            ("ForAllValues:StringEquals", &["a"], &["a", "b"], false),
            ("ForAllValues:StringEquals", &[], &["a"], false),
            ("ForAllValues:StringEquals", &[], &[], true),
            ("ForAllValues:StringNotEquals", &["a"], &["b", "c"], true),
            ("ForAllValues:StringNotEquals", &["a"], &["b", "a"], false),
            ("ForAnyValue:StringEquals", &["a"], &["a", "b"], true),
            ("ForAnyValue:StringEquals", &["a"], &["b"], false),
            ("ForAnyValue:StringEquals", &[], &["b"], false),
            ("ForAnyValue:StringNotEquals", &["a"], &["a", "b"], true),
            ("ForAnyValue:StringNotEquals", &["a"], &["a"], false),
            ("ForAnyValue:StringLike", &["x*"], &["b", "xy"], true),
            ("StringEquals", &["a", "b"], &["c", "b"], true),
            ("StringNotEquals", &["a", "b"], &["c", "b"], false),
            ("StringNotEquals", &["a", "b"], &["c", "d"], true),
        ];
        for (operator, wanted, found, expected) in cases {
            assert_eq!(holds(operator, wanted, found), *expected, "{operator} {wanted:?} on {found:?}");
        }
    }

    #[test]
    fn a_value_with_an_unknown_variable_matches_nothing_even_negated() {
        for operator in ["StringEquals", "StringNotEquals", "StringEqualsIfExists", "ForAllValues:StringEquals"] {
            assert!(!holds(operator, &["${iot:ClientId}"], &["a"]), "{operator}");
            assert!(!holds(operator, &["${iot:ClientId}"], &[]), "{operator}");
        }
        assert!(holds("StringEquals", &["${iot:ClientId}", "a"], &["a"]));
        assert!(!holds("StringNotEquals", &["${iot:ClientId}", "a"], &["b"]));
    }

    #[test]
    fn names_that_are_no_operator_are_refused() {
        for name in ["", "Equals", "stringequals", "ForAllValues:", "ForEach:Bool", "NullIfExists", "ForAnyValue:Null"]
        {
            assert!(Operator::named(name).is_none(), "{name}");
        }
    }

    #[test]
    fn values_that_the_operator_cannot_compare_are_refused() {
        let cases = [
            ("NumericEquals", "one"),
            ("NumericEquals", "inf"),
            ("DateEquals", "tomorrow"),
            ("Bool", "yes"),
            ("Null", ""),
            ("IpAddress", "10.0.0.0/33"),
            ("IpAddress", "10.0.0"),
            ("ArnEquals", "topic/a"),
        ];
        for (operator, text) in cases {
            let clause = Clause::new(Operator::named(operator).unwrap(), operator, "k");
            assert!(clause.value(text, true).is_err(), "{operator} {text}");
        }
    }

    #[test]
    fn backslashes_of_certificate_values_are_taken_off() {
        assert_eq!(without_backslashes(r#"Foo\, Inc\\ \"a\" \x \"#), r#"Foo, Inc\ "a" \x \"#);
    }
}
