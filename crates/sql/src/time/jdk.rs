//! Reading times by the patterns of Java's `DateTimeFormatter`, as of JDK 11: this file compiles a pattern, once, into
//! what is to be read in turn. What the fields that were read mean together is not decided here.

use super::LONGEST_PATTERN;
use super::names;
use super::resolve::{Field, Fields};

mod read;

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Parser(Vec<Node>);

#[derive(Clone, Debug)]
enum Node {
    Literal(char),
    Number(Number),
    /// One of several texts; their values are consecutive.
    Text {
        field: Field,
        first: i64,
        texts: &'static [&'static str],
    },
    Offset(OffsetStyle),
    /// `GMT+8`, or `GMT+08:00` where it is full.
    LocalOffset {
        full: bool,
    },
    ZoneId,
    ZoneName {
        long: bool,
    },
    /// Filled up with spaces on the left to exactly so many characters.
    Padded(usize, Box<Node>),
    Optional(Vec<Node>),
}

/// A number of so many digits.
#[derive(Clone, Copy, Debug)]
struct Number {
    digits: Digits,
    least: usize,
    most: usize,
    sign: Sign,
    room: Room,
}

/// What the digits are.
#[derive(Clone, Copy, Debug)]
enum Digits {
    Of(Field),
    /// The last digits of a year from 2000 on.
    Since2000(Field),
    /// The second's fraction.
    Fraction,
}

/// When a number may or must have a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Never,
    /// A minus for negative numbers.
    Minus,
    /// Also a plus, and exactly where there are more digits than the least.
    PlusIfLong,
}

/// What stands beside a number without anything between them: in `yyyyMMdd` the year ends where the others begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// So many digits belong to those that follow.
    Leaves(usize),
    /// It is one of those that follow, and has exactly its width.
    Exact,
}

/// How an offset from UTC is written.
#[derive(Clone, Copy, Debug)]
struct OffsetStyle {
    colons: bool,
    minutes: Part,
    seconds: Part,
    /// What stands for no offset.
    zero: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Never,
    Optional,
    Always,
}

/// How deep optional sections may nest. Java sets no bound but its stack.
const NESTING: usize = 32;

/// More digits than this have no number in Java.
const MOST_DIGITS: usize = 19;

impl Parser {
    /// Compiles a pattern; nothing comes of one that Java would refuse.
    pub(crate) fn compile(pattern: &str) -> Option<Parser> {
        if pattern.len() > LONGEST_PATTERN {
            return None;
        }
        let mut compiler = Compiler::default();
        let mut rest = pattern;
        while let Some(first) = rest.chars().next() {
            rest = compiler.step(first, rest)?;
        }
        while compiler.close() {}
        Some(Parser(compiler.nodes))
    }

    /// Reads a text: milliseconds since 1970.
    pub(crate) fn parse(&self, text: &str) -> Option<i64> {
        let mut fields = Fields::default();
        let rest = read::all(&self.0, text, &mut fields)?;
        if rest.is_empty() { fields.resolve() } else { None }
    }
}

#[derive(Default)]
struct Compiler {
    nodes: Vec<Node>,
    /// Which of the nodes is the number that leaves room for those that stand beside it.
    leader: Option<usize>,
    /// The nodes around each section that is open.
    outer: Vec<Vec<Node>>,
}

impl Compiler {
    /// Takes one element of the pattern, and says what is left of it.
    fn step<'p>(&mut self, first: char, pattern: &'p str) -> Option<&'p str> {
        if first.is_ascii_alphabetic() {
            return self.letters(first, pattern);
        }
        let rest = &pattern[first.len_utf8()..];
        match first {
            '\'' => return self.quoted(rest),
            '[' if self.outer.len() < NESTING => {
                self.outer.push(std::mem::take(&mut self.nodes));
                self.leader = None;
            }
            ']' => self.close().then_some(())?,
            '[' | '{' | '}' | '#' => return None,
            other => self.push(Node::Literal(other)),
        }
        Some(rest)
    }

    /// Takes a run of one letter. After a run of `p` the next is padded.
    fn letters<'p>(&mut self, letter: char, pattern: &'p str) -> Option<&'p str> {
        let rest = pattern.trim_start_matches(letter);
        let count = pattern.len() - rest.len();
        if letter != 'p' {
            match node(letter, count)? {
                Node::Number(number) => self.push_number(number),
                other => self.push(other),
            }
            return Some(rest);
        }
        let padded = rest.chars().next().filter(char::is_ascii_alphabetic)?;
        let after = rest.trim_start_matches(padded);
        let inner = node(padded, rest.len() - after.len())?;
        self.push(Node::Padded(count, Box::new(inner)));
        Some(after)
    }

    /// Takes a text up to the quote that ends it. Two quotes are one.
    fn quoted<'p>(&mut self, mut rest: &'p str) -> Option<&'p str> {
        if let Some(rest) = rest.strip_prefix('\'') {
            self.push(Node::Literal('\''));
            return Some(rest);
        }
        loop {
            let (text, after) = rest.split_once('\'')?;
            text.chars().for_each(|character| self.push(Node::Literal(character)));
            let Some(after_two) = after.strip_prefix('\'') else { return Some(after) };
            self.push(Node::Literal('\''));
            rest = after_two;
        }
    }

    /// Ends the section that was opened last, if there is one.
    fn close(&mut self) -> bool {
        let Some(outer) = self.outer.pop() else { return false };
        let section = std::mem::replace(&mut self.nodes, outer);
        self.push(Node::Optional(section));
        true
    }

    fn push(&mut self, node: Node) {
        self.nodes.push(node);
        self.leader = None;
    }

    fn push_number(&mut self, mut number: Number) {
        let Some(Node::Number(leader)) = self.leader.and_then(|at| self.nodes.get_mut(at)) else {
            self.leader = Some(self.nodes.len());
            return self.nodes.push(Node::Number(number));
        };
        if number.least == number.most && number.sign == Sign::Never {
            if let Room::Leaves(room) = &mut leader.room {
                *room += number.most;
            }
            number.room = Room::Exact;
        } else {
            leader.room = Room::Exact;
            self.leader = Some(self.nodes.len());
        }
        self.nodes.push(Node::Number(number));
    }
}

impl Number {
    fn node(digits: Digits, least: usize, most: usize, sign: Sign) -> Node {
        Node::Number(Number { digits, least, most, sign, room: Room::Leaves(0) })
    }

    /// As many digits as there are.
    fn open(field: Field) -> Node {
        Number::node(Digits::Of(field), 1, MOST_DIGITS, Sign::Minus)
    }

    fn natural(field: Field, least: usize, most: usize) -> Node {
        Number::node(Digits::Of(field), least, most, Sign::Never)
    }
}

/// What a letter means when it is repeated so often.
fn node(letter: char, count: usize) -> Option<Node> {
    use Field as F;
    Some(match (letter, count) {
        ('G' | 'M' | 'L' | 'E' | 'e' | 'c' | 'Q' | 'q', 3..) | ('G' | 'E', _) => return text(letter, count),
        ('a', 1) => Node::Text { field: F::Half, first: 0, texts: &names::HALVES },
        ('u', _) => year(F::Year, count)?,
        ('y', _) => year(F::YearOfEra, count)?,
        ('Y', _) => year(F::WeekYear, count)?,
        ('M' | 'L', _) => one_or_two(F::Month, count),
        ('Q' | 'q', _) => one_or_two(F::Quarter, count),
        ('d', 1 | 2) => one_or_two(F::DayOfMonth, count),
        ('H', 1 | 2) => one_or_two(F::Hour, count),
        ('h', 1 | 2) => one_or_two(F::HalfClockHour, count),
        ('k', 1 | 2) => one_or_two(F::ClockHour, count),
        ('K', 1 | 2) => one_or_two(F::HalfHour, count),
        ('m', 1 | 2) => one_or_two(F::Minute, count),
        ('s', 1 | 2) => one_or_two(F::Second, count),
        ('D', 1) => Number::open(F::DayOfYear),
        ('D', 2 | 3) => Number::natural(F::DayOfYear, count, 3),
        ('F', 1) => Number::open(F::AlignedWeekday),
        ('w', 1 | 2) => Number::natural(F::WeekOfYear, count, 2),
        ('W', 1) => Number::natural(F::WeekOfMonth, 1, 1),
        ('e', _) | ('c', 1) => Number::natural(F::LocalWeekday, count, count),
        ('g', 1..=MOST_DIGITS) => Number::node(Digits::Of(F::ModifiedJulianDay), count, MOST_DIGITS, Sign::Minus),
        ('S', 1..=9) => Number::node(Digits::Fraction, count, count, Sign::Never),
        ('A', 1..=MOST_DIGITS) => Number::natural(F::MilliOfDay, count, MOST_DIGITS),
        ('n', 1..=MOST_DIGITS) => Number::natural(F::Nano, count, MOST_DIGITS),
        ('N', 1..=MOST_DIGITS) => Number::natural(F::NanoOfDay, count, MOST_DIGITS),
        ('V', 2) => Node::ZoneId,
        ('v', 1) | ('z', 1..=3) => Node::ZoneName { long: false },
        ('v' | 'z', 4) => Node::ZoneName { long: true },
        ('O', 1) => Node::LocalOffset { full: false },
        ('O' | 'Z', 4) => Node::LocalOffset { full: true },
        ('X' | 'x' | 'Z', 1..=5) => Node::Offset(OffsetStyle::of(letter, count)),
        _ => return None,
    })
}

fn year(field: Field, count: usize) -> Option<Node> {
    Some(match count {
        2 => Number::node(Digits::Since2000(field), 2, 2, Sign::Never),
        1 | 3 => Number::node(Digits::Of(field), count, MOST_DIGITS, Sign::Minus),
        4..=MOST_DIGITS => Number::node(Digits::Of(field), count, MOST_DIGITS, Sign::PlusIfLong),
        _ => return None,
    })
}

fn one_or_two(field: Field, count: usize) -> Node {
    if count == 1 { Number::open(field) } else { Number::natural(field, 2, 2) }
}

/// The texts of a letter.
fn text(letter: char, count: usize) -> Option<Node> {
    use Field as F;
    let node = |field, first, texts| Some(Node::Text { field, first, texts });
    match (letter, count) {
        ('G', 1..=3) => node(F::Era, 0, &names::SHORT_ERAS),
        ('G', 4) => node(F::Era, 0, &names::ERAS),
        ('G', 5) => node(F::Era, 0, &names::NARROW_ERAS),
        ('M' | 'L', 3) => node(F::Month, 1, &names::SHORT_MONTHS),
        ('M' | 'L', 4) => node(F::Month, 1, &names::MONTHS),
        ('M' | 'L', 5) => node(F::Month, 1, &names::NARROW_MONTHS),
        ('E', 1..=3) | ('e' | 'c', 3) => node(F::Weekday, 1, &names::SHORT_DAYS),
        ('E' | 'e' | 'c', 4) => node(F::Weekday, 1, &names::DAYS),
        ('E' | 'e' | 'c', 5) => node(F::Weekday, 1, &names::NARROW_DAYS),
        ('Q' | 'q', 3) => node(F::Quarter, 1, &names::SHORT_QUARTERS),
        ('Q' | 'q', 4) => node(F::Quarter, 1, &names::QUARTERS),
        ('Q' | 'q', 5) => node(F::Quarter, 1, &names::NARROW_QUARTERS),
        _ => None,
    }
}

impl OffsetStyle {
    /// `+hh:mm`, and the seconds if there are any: how ids of zones are written.
    const ID: OffsetStyle = OffsetStyle { colons: true, minutes: Part::Always, seconds: Part::Optional, zero: "Z" };

    fn of(letter: char, count: usize) -> OffsetStyle {
        let count = if letter == 'Z' && count < 4 { 2 } else { count };
        let zero = match (letter, count) {
            ('x', 1) => "+00",
            ('x', 3 | 5) => "+00:00",
            ('x', _) | ('Z', 2) => "+0000",
            _ => "Z",
        };
        let minutes = if count == 1 { Part::Optional } else { Part::Always };
        let seconds = if count > 3 { Part::Optional } else { Part::Never };
        OffsetStyle { colons: matches!(count, 3 | 5), minutes, seconds, zero }
    }
}
