//! Patterns over messages whose fields stand between spaces: `[ip, …, status = 4*, size > 1000]`. What stands between brackets or
//! quotation marks in a message is one field, without them.

use super::condition::{self, Condition, Test, Wanted, is_like, parse_number};
use super::scan::{Scanner, Wrong};

/// Fields by their place, and what is asked of them.
#[derive(Debug)]
pub(super) struct Fields {
    before: Vec<Field>,
    /// Those after `...`, if it stands there.
    after: Option<Vec<Field>>,
}

#[derive(Debug)]
struct Field {
    name: String,
    condition: Option<Condition<String>>,
}

pub(super) fn parse(scanner: &mut Scanner<'_>) -> Result<Fields, Wrong> {
    scanner.must("[")?;
    let mut fields = Fields { before: Vec::new(), after: None };
    loop {
        scanner.skip_spaces();
        let at = scanner.at();
        if !scanner.take("...") {
            let field = field(scanner)?;
            fields.after.as_mut().unwrap_or(&mut fields.before).push(field);
        } else if fields.after.replace(Vec::new()).is_some() {
            return Err(Wrong::Only("...", at));
        }
        if scanner.take("]") {
            scanner.end()?;
            return fields.checked();
        }
        if !scanner.take(",") {
            return Err(scanner.expected(", or ]"));
        }
    }
}

fn name(scanner: &mut Scanner<'_>) -> Result<String, Wrong> {
    scanner.skip_spaces();
    let name = scanner.take_while(|c| c.is_alphanumeric() || "_-.@$:/#".contains(c));
    if name.is_empty() { Err(scanner.expected("a field")) } else { Ok(name.to_owned()) }
}

/// A name alone, or one with a condition.
fn field(scanner: &mut Scanner<'_>) -> Result<Field, Wrong> {
    let mut ahead = scanner.clone();
    ahead.skip_spaces();
    while ahead.take("(") {}
    let name = name(&mut ahead)?;
    if ahead.peek_after_spaces().is_none_or(|next| next == ',' || next == ']') {
        *scanner = ahead;
        return Ok(Field { name, condition: None });
    }
    let condition = condition::parse(scanner, self::name, 0)?;
    Ok(Field { name, condition: Some(condition) })
}

impl Fields {
    /// With conditions only on fields that there are.
    fn checked(self) -> Result<Self, Wrong> {
        let mut named = Vec::new();
        self.conditions().for_each(|condition| condition.subjects(&mut named));
        match named.into_iter().find(|name| self.all().all(|field| field.name != **name)) {
            Some(unknown) => Err(Wrong::Sentence(format!("there is no field {unknown}"))),
            None => Ok(self),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Field> {
        self.before.iter().chain(self.after.iter().flatten())
    }

    fn conditions(&self) -> impl Iterator<Item = &Condition<String>> {
        self.all().filter_map(|field| field.condition.as_ref())
    }

    pub(super) fn is_like(&self, message: &str) -> bool {
        let words = split(message);
        let after = self.after.as_deref().unwrap_or_default();
        let named = self.before.len() + after.len();
        let fits = if self.after.is_some() { words.len() >= named } else { words.len() == named };
        if !fits {
            return false;
        }
        let first_after = words.len() - after.len();
        let value = |name: &str| {
            let before = self.before.iter().position(|field| field.name == name);
            let index = before.or_else(|| after.iter().position(|field| field.name == name).map(|at| first_after + at));
            index.and_then(|index| words.get(index)).copied()
        };
        let test = |name: &String, test: &Test| value(name).is_some_and(|value| holds(value, test));
        self.conditions().all(|condition| condition.holds(&test))
    }
}

fn holds(value: &str, test: &Test) -> bool {
    match test {
        Test::Exists(wanted) => *wanted,
        // Text is none of these.
        Test::Is(_) => false,
        Test::Ordered(order, number) => parse_number(value).is_some_and(|value| order.holds(value, *number)),
        Test::Equals(wanted, yes) => equals(value, wanted) == *yes,
    }
}

fn equals(value: &str, wanted: &Wanted) -> bool {
    match wanted {
        Wanted::Number(number) => parse_number(value) == Some(*number),
        Wanted::Text(wanted, _) => is_like(value, wanted),
        Wanted::Expression(regex) => regex.is_match(value),
    }
}

/// The fields of a message.
fn split(message: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut rest = message.trim_start();
    while let Some(first) = rest.chars().next() {
        let close = match first {
            '[' => Some(']'),
            '"' => Some('"'),
            _ => None,
        };
        let closed = close.and_then(|close| rest.get(1..)?.split_once(close));
        // What is never closed is a field like any other.
        let (field, after) = closed.or_else(|| rest.split_once(char::is_whitespace)).unwrap_or((rest, ""));
        fields.push(field);
        rest = after.trim_start();
    }
    fields
}
