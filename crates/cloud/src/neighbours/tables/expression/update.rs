//! Updates: what becomes of an item. Everything is read from the item as it was, whatever the order in the text, so that no
//! clause sees what another one did.

use super::Placeholders;
use super::parser::{Parser, Problem, Syntax, Term, parse};
use crate::neighbours::tables::attribute::{Attribute, Item, Type, check_depth};
use crate::neighbours::tables::path::{NoSuchPlace, Path, Step};

/// An update.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Update {
    pub(crate) set: Vec<(Path, Source)>,
    pub(crate) remove: Vec<Path>,
    pub(crate) add: Vec<(Path, Attribute)>,
    pub(crate) delete: Vec<(Path, Attribute)>,
    /// Whether it was told by `AttributeUpdates`, whose mistakes have other words.
    pub(crate) is_older: bool,
}

/// Where a value to be SET comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    Value(Attribute),
    Path(Path),
    Plus(Box<Source>, Box<Source>),
    Minus(Box<Source>, Box<Source>),
    IfNotExists(Path, Box<Source>),
    ListAppend(Box<Source>, Box<Source>),
}

const NOT_THERE: &str = "The provided expression refers to an attribute that does not exist in the item";
const WRONG_TYPE: &str = "An operand in the update expression has an incorrect data type";

impl From<NoSuchPlace> for String {
    fn from(_: NoSuchPlace) -> Self {
        "The document path provided in the update expression is invalid for update".to_owned()
    }
}

impl Update {
    /// The paths that it changes.
    pub(crate) fn paths(&self) -> Vec<&Path> {
        let set = self.set.iter().map(|(path, _)| path);
        let changed = self.add.iter().chain(&self.delete).map(|(path, _)| path);
        set.chain(&self.remove).chain(changed).collect()
    }

    fn join(&mut self, other: Self) {
        self.set.extend(other.set);
        self.remove.extend(other.remove);
        self.add.extend(other.add);
        self.delete.extend(other.delete);
    }

    /// Whether it only takes away, so that it makes no item where there is none.
    pub(crate) fn only_takes(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && !(self.remove.is_empty() && self.delete.is_empty())
    }

    fn wrong(&self, wrong: String) -> String {
        if self.is_older && wrong == WRONG_TYPE { "Type mismatch for attribute to update".to_owned() } else { wrong }
    }

    /// The item that it makes of `before`.
    pub(crate) fn apply(&self, before: &Item) -> Result<Item, String> {
        let mut after = before.clone();
        let mut values = Vec::new();
        for (path, source) in &self.set {
            values.push((path, source.of(before)?));
        }
        for (path, value) in &self.add {
            values.push((path, added(path.get(before), value).map_err(|wrong| self.wrong(wrong))?));
        }
        // What is put beyond the end of a list is appended in the order of the indices.
        values.sort_by_key(|(path, _)| last_index(path));
        for (path, value) in values {
            path.set(&mut after, value)?;
        }
        for (path, value) in &self.delete {
            let rest = path.get(before).map(|known| without(known, value)).transpose();
            match rest.map_err(|wrong| self.wrong(wrong))? {
                Some(Some(rest)) => path.set(&mut after, rest)?,
                Some(None) => path.remove(&mut after)?,
                None => {}
            }
        }
        // From the end, so that the indices of the others stay what they were.
        let mut remove: Vec<&Path> = self.remove.iter().collect();
        remove.sort_by_key(|path| std::cmp::Reverse(last_index(path)));
        for path in remove {
            path.remove(&mut after)?;
        }
        check_depth(&after)?;
        Ok(after)
    }
}

/// The index at the end of a path, if there is one.
fn last_index(path: &Path) -> Option<usize> {
    match path.steps.last() {
        Some(Step::Index(index)) => Some(*index),
        _ => None,
    }
}

impl Source {
    fn of(&self, item: &Item) -> Result<Attribute, String> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Path(path) => path.get(item).cloned().ok_or_else(|| NOT_THERE.to_owned()),
            Self::IfNotExists(path, otherwise) => {
                path.get(item).map_or_else(|| otherwise.of(item), |it| Ok(it.clone()))
            }
            Self::Plus(one, two) => match (one.of(item)?, two.of(item)?) {
                (Attribute::N(one), Attribute::N(two)) => {
                    one.plus(two).map(Attribute::N).map_err(|not| not.message(""))
                }
                _ => Err(WRONG_TYPE.to_owned()),
            },
            Self::Minus(one, two) => match (one.of(item)?, two.of(item)?) {
                (Attribute::N(one), Attribute::N(two)) => {
                    one.plus(two.negated()).map(Attribute::N).map_err(|not| not.message(""))
                }
                _ => Err(WRONG_TYPE.to_owned()),
            },
            Self::ListAppend(one, two) => match (one.of(item)?, two.of(item)?) {
                (Attribute::L(mut one), Attribute::L(two)) => {
                    one.extend(two);
                    Ok(Attribute::L(one))
                }
                _ => Err(WRONG_TYPE.to_owned()),
            },
        }
    }
}

/// What ADD makes of what is there, if anything is: a sum or a union; of lists, which only the older way of telling has, both.
fn added(known: Option<&Attribute>, value: &Attribute) -> Result<Attribute, String> {
    match (known, value) {
        (None, value) => Ok(value.clone()),
        (Some(Attribute::N(known)), Attribute::N(value)) => {
            known.plus(*value).map(Attribute::N).map_err(|not| not.message(""))
        }
        (Some(Attribute::L(known)), Attribute::L(value)) => Ok(Attribute::L([known.as_slice(), value].concat())),
        (Some(Attribute::SS(known)), Attribute::SS(value)) => Ok(Attribute::SS(known.union(value).cloned().collect())),
        (Some(Attribute::NS(known)), Attribute::NS(value)) => Ok(Attribute::NS(known.union(value).copied().collect())),
        (Some(Attribute::BS(known)), Attribute::BS(value)) => Ok(Attribute::BS(known.union(value).cloned().collect())),
        _ => Err(WRONG_TYPE.to_owned()),
    }
}

/// What DELETE leaves of a set; nothing if it would be empty.
fn without(known: &Attribute, value: &Attribute) -> Result<Option<Attribute>, String> {
    let rest = match (known, value) {
        (Attribute::SS(known), Attribute::SS(value)) => {
            let rest: std::collections::BTreeSet<_> = known.difference(value).cloned().collect();
            (!rest.is_empty()).then_some(Attribute::SS(rest))
        }
        (Attribute::NS(known), Attribute::NS(value)) => {
            let rest: std::collections::BTreeSet<_> = known.difference(value).copied().collect();
            (!rest.is_empty()).then_some(Attribute::NS(rest))
        }
        (Attribute::BS(known), Attribute::BS(value)) => {
            let rest: std::collections::BTreeSet<_> = known.difference(value).cloned().collect();
            (!rest.is_empty()).then_some(Attribute::BS(rest))
        }
        _ => return Err(WRONG_TYPE.to_owned()),
    };
    Ok(rest)
}

/// Reads an update.
pub(crate) fn read(text: &str, placeholders: &Placeholders) -> Result<Update, String> {
    parse("UpdateExpression", text, placeholders, |parser| {
        let mut update = Update::default();
        let (mut seen, mut paths) = (Vec::new(), Vec::new());
        loop {
            let Some(section) = SECTIONS.into_iter().find(|section| parser.take(section)) else {
                if seen.is_empty() || parser.peek().kind != super::lexer::Kind::End {
                    return Err(parser.unexpected());
                }
                break;
            };
            if seen.contains(&section) {
                parser.problem(Problem::Section, || {
                    format!("The \"{section}\" section can only be used once in an update expression;")
                });
            }
            seen.push(section);
            let part = parser.section(section)?;
            paths.extend(part.paths().into_iter().cloned());
            update.join(part);
        }
        parser.check_clashes(&paths.iter().collect::<Vec<_>>());
        Ok(update)
    })
}

const SECTIONS: [&str; 4] = ["SET", "REMOVE", "ADD", "DELETE"];

impl Parser<'_, '_> {
    fn section(&mut self, section: &str) -> Result<Update, Syntax> {
        let mut update = Update::default();
        match section {
            "SET" => update.set.extend(self.list(Self::assignment)?),
            "REMOVE" => update.remove.extend(self.list(Self::path)?),
            "ADD" => update.add.extend(self.list(|parser| parser.change("ADD", |it| it == Type::N || it.is_set()))?),
            _ => update.delete.extend(self.list(|parser| parser.change("DELETE", Type::is_set))?),
        }
        Ok(update)
    }

    fn assignment(&mut self) -> Result<(Path, Source), Syntax> {
        let path = self.path()?;
        self.demand("=")?;
        let source = match self.open() {
            // Parentheses may stand around one operand or around the whole.
            Some(opened) => {
                let inner = self.nested(Self::sum)?;
                self.close(opened)?;
                self.sum_from(inner)?
            }
            None => self.sum()?,
        };
        Ok((path, source))
    }

    fn sum(&mut self) -> Result<Source, Syntax> {
        let first = self.operand()?;
        let first = self.source(first);
        self.sum_from(first)
    }

    fn sum_from(&mut self, first: Source) -> Result<Source, Syntax> {
        let sign = self.peek();
        if !sign.is("+") && !sign.is("-") {
            return Ok(first);
        }
        self.step();
        self.operator();
        let second = self.operand()?;
        let second = self.source(second);
        for operand in [&first, &second] {
            if let Source::Value(value) = operand
                && value.kind() != Type::N
            {
                self.wrong_type(sign.text, value.kind().name());
            }
        }
        let (first, second) = (Box::new(first), Box::new(second));
        Ok(if sign.is("+") { Source::Plus(first, second) } else { Source::Minus(first, second) })
    }

    /// A path and the value that ADD or DELETE applies to it.
    fn change(&mut self, section: &str, takes: fn(Type) -> bool) -> Result<(Path, Attribute), Syntax> {
        let path = self.path()?;
        let value = self.value()?;
        self.operator();
        if !takes(value.kind()) {
            self.problem(Problem::OperandType, || {
                let wrong = "Incorrect operand type for operator or function";
                format!("{wrong}; operator: {section}, operand type: {}", value.kind().long_name())
            });
        }
        Ok((path, value))
    }

    fn source(&mut self, term: Term) -> Source {
        let (name, arguments) = match term {
            Term::Path(path) => return Source::Path(path),
            Term::Value(value) => return Source::Value(value),
            Term::Call(name, arguments) => (name, arguments),
        };
        self.operator();
        let nothing = Source::Value(Attribute::NULL(true));
        if name != "if_not_exists" && name != "list_append" {
            self.unknown_function(&name, "an update expression");
            return nothing;
        }
        if !self.check_count(&name, &arguments, 2) {
            return nothing;
        }
        let mut arguments = arguments.into_iter();
        match (name.as_str(), arguments.next(), arguments.next()) {
            ("if_not_exists", Some(Term::Path(path)), Some(otherwise)) => {
                Source::IfNotExists(path, Box::new(self.source(otherwise)))
            }
            ("list_append", Some(one), Some(two)) => {
                for operand in [&one, &two] {
                    if let Term::Value(value) = operand
                        && value.kind() != Type::L
                    {
                        self.wrong_type(&name, value.kind().name());
                    }
                }
                Source::ListAppend(Box::new(self.source(one)), Box::new(self.source(two)))
            }
            _ => {
                self.needs_path(&name);
                nothing
            }
        }
    }
}
