//! Conditions and filters: what may be asked of an item, and the answer. Types are compared only with their like, and an
//! attribute that is not there is unlike everything.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::Placeholders;
use super::lexer::Kind;
use super::parser::{Parser, Problem, Syntax, Term, parse};
use crate::neighbours::tables::attribute::{Attribute, Binary, Item, Type, write_plain};
use crate::neighbours::tables::number::Number;
use crate::neighbours::tables::path::Path;

/// The most operands of an IN.
const MAX_ALTERNATIVES: usize = 100;

/// How two operands are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparator {
    const ALL: [Self; 6] =
        [Self::Equal, Self::Unequal, Self::Less, Self::LessOrEqual, Self::Greater, Self::GreaterOrEqual];

    /// As expressions write it.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// With its operands the other way round.
    pub(crate) fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }

    /// Whether it asks which of two is the greater.
    pub(crate) fn is_order(self) -> bool {
        !matches!(self, Self::Equal | Self::Unequal)
    }

    fn holds(self, one: Option<&Attribute>, two: Option<&Attribute>) -> bool {
        let order = || order(one?, two?);
        match self {
            // Two that are not there are not equal.
            Self::Equal => one.is_some() && one == two,
            Self::Unequal => one.is_none() || one != two,
            Self::Less => order() == Some(Ordering::Less),
            Self::LessOrEqual => order().is_some_and(Ordering::is_le),
            Self::Greater => order() == Some(Ordering::Greater),
            Self::GreaterOrEqual => order().is_some_and(Ordering::is_ge),
        }
    }
}

/// Which of two comes first, if they are of one type that has an order.
pub(crate) fn order(one: &Attribute, two: &Attribute) -> Option<Ordering> {
    match (one, two) {
        (Attribute::S(one), Attribute::S(two)) => Some(one.cmp(two)),
        (Attribute::N(one), Attribute::N(two)) => Some(one.cmp(two)),
        (Attribute::B(one), Attribute::B(two)) => Some(one.cmp(two)),
        _ => None,
    }
}

/// What conditions are about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Path(Path),
    Value(Attribute),
    Size(Box<Operand>),
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    Compare(Comparator, Operand, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
    Exists(Path),
    NotExists(Path),
    HasType(Operand, Type),
    BeginsWith(Operand, Operand),
    Contains(Operand, Operand),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
}

impl Operand {
    fn of<'i>(&'i self, item: &'i Item) -> Option<Cow<'i, Attribute>> {
        match self {
            Self::Path(path) => path.get(item).map(Cow::Borrowed),
            Self::Value(value) => Some(Cow::Borrowed(value)),
            Self::Size(of) => size(&*of.of(item)?).map(|size| Cow::Owned(Attribute::N(size))),
        }
    }
}

/// What `size` says of a value: code units of UTF-16, bytes or elements.
fn size(of: &Attribute) -> Option<Number> {
    let size = match of {
        Attribute::S(text) => text.encode_utf16().count(),
        Attribute::B(Binary(bytes)) => bytes.len(),
        Attribute::SS(set) => set.len(),
        Attribute::NS(set) => set.len(),
        Attribute::BS(set) => set.len(),
        Attribute::M(map) => map.len(),
        Attribute::L(list) => list.len(),
        Attribute::N(_) | Attribute::NULL(_) | Attribute::BOOL(_) => return None,
    };
    size.to_string().parse().ok()
}

impl Condition {
    /// Whether it holds of an item.
    pub(crate) fn holds(&self, item: &Item) -> bool {
        match self {
            Self::Compare(comparator, one, two) => comparator.holds(one.of(item).as_deref(), two.of(item).as_deref()),
            Self::Between(value, low, high) => {
                let value = value.of(item);
                Comparator::GreaterOrEqual.holds(value.as_deref(), low.of(item).as_deref())
                    && Comparator::LessOrEqual.holds(value.as_deref(), high.of(item).as_deref())
            }
            Self::In(value, alternatives) => {
                let value = value.of(item);
                alternatives.iter().any(|one| Comparator::Equal.holds(value.as_deref(), one.of(item).as_deref()))
            }
            Self::Exists(path) => path.get(item).is_some(),
            Self::NotExists(path) => path.get(item).is_none(),
            Self::HasType(value, kind) => value.of(item).is_some_and(|value| value.kind() == *kind),
            Self::BeginsWith(value, prefix) => {
                value.of(item).zip(prefix.of(item)).is_some_and(|(value, prefix)| begins_with(&value, &prefix))
            }
            Self::Contains(value, part) => {
                value.of(item).zip(part.of(item)).is_some_and(|(value, part)| contains(&value, &part))
            }
            Self::And(all) => all.iter().all(|one| one.holds(item)),
            Self::Or(any) => any.iter().any(|one| one.holds(item)),
            Self::Not(not) => !not.holds(item),
        }
    }

    /// The paths it asks about.
    pub(crate) fn paths(&self) -> Vec<&Path> {
        let mut paths = Vec::new();
        self.visit_paths(&mut |path| paths.push(path));
        paths
    }

    fn visit_paths<'c>(&'c self, visit: &mut impl FnMut(&'c Path)) {
        let operands: Vec<&Operand> = match self {
            Self::Compare(_, one, two) | Self::BeginsWith(one, two) | Self::Contains(one, two) => vec![one, two],
            Self::Between(value, low, high) => vec![value, low, high],
            Self::In(value, alternatives) => std::iter::once(value).chain(alternatives).collect(),
            Self::HasType(value, _) => vec![value],
            Self::Exists(path) | Self::NotExists(path) => return visit(path),
            Self::And(all) | Self::Or(all) => return all.iter().for_each(|one| one.visit_paths(visit)),
            Self::Not(not) => return not.visit_paths(visit),
        };
        operands.into_iter().filter_map(Operand::path).for_each(visit);
    }
}

impl Operand {
    /// The path that it reads, at whatever depth.
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Value(_) => None,
            Self::Size(of) => of.path(),
        }
    }
}

/// Whether text or bytes begin so.
pub(crate) fn begins_with(value: &Attribute, prefix: &Attribute) -> bool {
    match (value, prefix) {
        (Attribute::S(value), Attribute::S(prefix)) => value.starts_with(prefix.as_str()),
        (Attribute::B(Binary(value)), Attribute::B(Binary(prefix))) => value.starts_with(prefix),
        _ => false,
    }
}

/// Whether text, bytes, a set or a list have this in them.
pub(crate) fn contains(value: &Attribute, part: &Attribute) -> bool {
    match (value, part) {
        (Attribute::S(value), Attribute::S(part)) => value.contains(part.as_str()),
        (Attribute::B(Binary(value)), Attribute::B(Binary(part))) => {
            part.is_empty() || value.windows(part.len()).any(|window| window == part)
        }
        (Attribute::SS(set), Attribute::S(part)) => set.contains(part),
        (Attribute::NS(set), Attribute::N(part)) => set.contains(part),
        (Attribute::BS(set), Attribute::B(part)) => set.contains(part),
        (Attribute::L(list), part) => list.contains(part),
        _ => false,
    }
}

/// Reads the condition that the request calls `name`.
pub(crate) fn read(name: &str, text: &str, placeholders: &Placeholders) -> Result<Condition, String> {
    parse(name, text, placeholders, |parser| {
        let node = parser.disjunction()?;
        parser.truth(node).map(|condition| *condition)
    })
}

/// What was read so far: a condition, or an operand whose condition may follow. Both lie elsewhere, to keep small what each level
/// of nesting takes of the stack.
enum Node {
    Condition(Box<Condition>),
    Term(Box<Term>),
}

impl Node {
    fn of(condition: Condition) -> Self {
        Self::Condition(Box::new(condition))
    }
}

impl Parser<'_, '_> {
    fn disjunction(&mut self) -> Result<Node, Syntax> {
        let first = self.conjunction()?;
        self.chain(first, "OR", Self::conjunction, Condition::Or)
    }

    fn conjunction(&mut self) -> Result<Node, Syntax> {
        let first = self.negation()?;
        self.chain(first, "AND", Self::negation, Condition::And)
    }

    /// What has the same keyword between it again and again.
    fn chain(
        &mut self,
        first: Node,
        keyword: &str,
        mut rule: impl FnMut(&mut Self) -> Result<Node, Syntax>,
        join: fn(Vec<Condition>) -> Condition,
    ) -> Result<Node, Syntax> {
        if !self.peek().is(keyword) {
            return Ok(first);
        }
        let mut all = vec![*self.truth(first)?];
        while self.take(keyword) {
            self.operator();
            let next = rule(self)?;
            all.push(*self.truth(next)?);
        }
        Ok(Node::of(join(all)))
    }

    fn negation(&mut self) -> Result<Node, Syntax> {
        if !self.take("NOT") {
            return self.comparison();
        }
        self.operator();
        let node = self.nested(Self::negation)?;
        self.truth(node).map(|condition| Node::of(Condition::Not(condition)))
    }

    /// A condition must be true or false: a function that is may stand alone.
    fn truth(&mut self, node: Node) -> Result<Box<Condition>, Syntax> {
        match node {
            Node::Condition(condition) => Ok(condition),
            Node::Term(term) => match *term {
                Term::Call(name, arguments) => {
                    let condition = self.function(&name, arguments);
                    self.settle();
                    Ok(Box::new(condition))
                }
                _ => Err(self.unexpected()),
            },
        }
    }

    fn comparison(&mut self) -> Result<Node, Syntax> {
        match self.primary()? {
            Node::Term(term) => self.comparison_of(term),
            condition @ Node::Condition(_) => Ok(condition),
        }
    }

    /// The condition that follows an operand, if one does.
    fn comparison_of(&mut self, term: Box<Term>) -> Result<Node, Syntax> {
        let token = self.peek();
        if let Some(comparator) = Comparator::ALL.into_iter().find(|it| token.kind == Kind::Sign && token.is(it.sign()))
        {
            self.step();
            self.operator();
            let other = self.operand()?;
            let condition = self.compare(comparator, *term, other);
            return Ok(self.settled(condition));
        }
        if self.take("BETWEEN") {
            self.operator();
            let low = self.operand()?;
            self.demand("AND")?;
            let high = self.operand()?;
            let condition = self.between(*term, low, high);
            return Ok(self.settled(condition));
        }
        if self.take("IN") {
            self.operator();
            self.demand("(")?;
            let alternatives = self.list(Self::operand)?;
            self.demand(")")?;
            let condition = self.alternatives(*term, alternatives);
            return Ok(self.settled(condition));
        }
        Ok(Node::Term(term))
    }

    fn settled(&mut self, condition: Condition) -> Node {
        self.settle();
        Node::of(condition)
    }

    /// What stands in parentheses may be either: `(a) = :b` as well as `(a = :b)`.
    fn primary(&mut self) -> Result<Node, Syntax> {
        let Some(opened) = self.open() else { return self.term().map(|term| Node::Term(Box::new(term))) };
        let node = self.nested(Self::disjunction)?;
        self.close(opened)?;
        match node {
            Node::Term(term) => self.beyond(*term).map(|term| Node::Term(Box::new(term))),
            condition @ Node::Condition(_) => Ok(condition),
        }
    }

    fn compare(&mut self, comparator: Comparator, one: Term, two: Term) -> Condition {
        if comparator.is_order() {
            self.check_order(comparator.sign(), &[&one, &two]);
        }
        self.check_distinct(comparator.sign(), &one, &two);
        Condition::Compare(comparator, self.use_as_operand(one), self.use_as_operand(two))
    }

    /// Refuses operands of types that have no order.
    fn check_order(&mut self, name: &str, operands: &[&Term]) {
        let mut kinds = operands.iter().filter_map(|operand| operand.kind());
        if let Some(kind) = kinds.find(|kind| !matches!(kind, Type::S | Type::N | Type::B)) {
            self.wrong_type(name, kind.name());
        }
    }

    fn between(&mut self, value: Term, low: Term, high: Term) -> Condition {
        self.check_order("BETWEEN", &[&value, &low, &high]);
        if let (Term::Value(low), Term::Value(high)) = (&low, &high) {
            let bounds = || {
                let tell = |it: &Attribute| format!("AttributeValue: {{{}:{}}}", it.kind().name(), bare(it));
                format!("lower bound operand: {}, upper bound operand: {}", tell(low), tell(high))
            };
            let must = "The BETWEEN operator requires";
            if low.kind() != high.kind() {
                self.problem(Problem::OperandType, || {
                    format!("{must} same data type for lower and upper bounds; {}", bounds())
                });
            } else if order(low, high) == Some(Ordering::Greater) {
                self.problem(Problem::OperandType, || {
                    format!("{must} upper bound to be greater than or equal to lower bound; {}", bounds())
                });
            }
        }
        let [value, low, high] = [value, low, high].map(|term| self.use_as_operand(term));
        Condition::Between(value, low, high)
    }

    fn alternatives(&mut self, value: Term, alternatives: Vec<Term>) -> Condition {
        let count = alternatives.len();
        if count > MAX_ALTERNATIVES {
            // unconfirmed: the words.
            self.problem(Problem::OperandCount, || {
                let wrong = "Invalid number of operands for operator or function";
                format!("{wrong}; operator or function: IN, number of operands: {count}")
            });
        }
        let value = self.use_as_operand(value);
        Condition::In(value, alternatives.into_iter().map(|term| self.use_as_operand(term)).collect())
    }

    /// An operand of a comparison or a function: of functions only `size` will do.
    fn use_as_operand(&mut self, term: Term) -> Operand {
        match term {
            Term::Path(path) => Operand::Path(path),
            Term::Value(value) => Operand::Value(value),
            Term::Call(name, mut arguments) if name == "size" => {
                let is_one = self.check_count("size", &arguments, 1);
                let kind = arguments.first().and_then(Term::kind);
                if let Some(kind) = kind.filter(|it| matches!(it, Type::N | Type::BOOL | Type::NULL)) {
                    self.wrong_type("size", kind.name());
                }
                match arguments.pop().filter(|_| is_one) {
                    Some(argument) => Operand::Size(Box::new(self.use_as_operand(argument))),
                    None => Operand::Value(Attribute::NULL(true)),
                }
            }
            Term::Call(name, _) => {
                if FUNCTIONS.contains(&name.as_str()) {
                    self.problem(Problem::MisusedFunction, || misused(&name));
                } else {
                    self.unknown_function(&name, WHERE);
                }
                Operand::Value(Attribute::NULL(true))
            }
        }
    }

    /// A function that is a condition of its own.
    fn function(&mut self, name: &str, arguments: Vec<Term>) -> Condition {
        self.operator();
        let nothing = Condition::Or(Vec::new());
        let takes = match name {
            "attribute_exists" | "attribute_not_exists" => 1,
            "attribute_type" | "begins_with" | "contains" => 2,
            "size" => {
                self.problem(Problem::MisusedFunction, || misused(name));
                return nothing;
            }
            _ => {
                self.unknown_function(name, WHERE);
                return nothing;
            }
        };
        if !self.check_count(name, &arguments, takes) {
            return nothing;
        }
        let mut arguments = arguments.into_iter();
        match (name, arguments.next(), arguments.next()) {
            ("attribute_exists", Some(Term::Path(path)), None) => Condition::Exists(path),
            ("attribute_not_exists", Some(Term::Path(path)), None) => Condition::NotExists(path),
            ("attribute_exists" | "attribute_not_exists", ..) => {
                self.needs_path(name);
                nothing
            }
            ("attribute_type", Some(value), Some(kind)) => self.attribute_type(value, &kind),
            ("begins_with", Some(value), Some(prefix)) => self.begins_with(value, prefix),
            (_, Some(value), Some(part)) => {
                self.check_distinct(name, &value, &part);
                Condition::Contains(self.use_as_operand(value), self.use_as_operand(part))
            }
            _ => nothing,
        }
    }

    fn attribute_type(&mut self, value: Term, kind: &Term) -> Condition {
        self.check_distinct("attribute_type", &value, kind);
        let value = self.use_as_operand(value);
        match kind {
            Term::Value(Attribute::S(named)) => {
                if let Some(kind) = Type::named(named) {
                    return Condition::HasType(value, kind);
                }
                self.problem(Problem::OperandType, || {
                    let valid = "{B,NULL,SS,BOOL,L,BS,N,NS,S,M}";
                    format!("Invalid attribute type name found; type: {named}, valid types: {valid}")
                });
            }
            other => {
                let given = other.kind().map_or("{NS,SS,L,BS,N,M,B,BOOL,NULL,S}", Type::name);
                self.wrong_type("attribute_type", given);
            }
        }
        Condition::HasType(value, Type::NULL)
    }

    fn begins_with(&mut self, value: Term, prefix: Term) -> Condition {
        let kinds = [value.kind(), prefix.kind()];
        if let Some(kind) = kinds.into_iter().flatten().find(|kind| !matches!(kind, Type::S | Type::B)) {
            self.wrong_type("begins_with", kind.name());
        }
        self.check_distinct("begins_with", &value, &prefix);
        Condition::BeginsWith(self.use_as_operand(value), self.use_as_operand(prefix))
    }

    fn check_distinct(&mut self, name: &str, one: &Term, two: &Term) {
        if let (Term::Path(one), Term::Path(two)) = (one, two)
            && one == two
        {
            self.problem(Problem::Distinct, || {
                let wrong =
                    "The first operand must be distinct from the remaining operands for this operator or function";
                format!("{wrong}; operator: {name}, first operand: {one}")
            });
        }
    }
}

/// Where other functions are not allowed.
const WHERE: &str = "a condition expression";

/// The functions that are conditions.
const FUNCTIONS: [&str; 5] = ["attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains"];

fn misused(name: &str) -> String {
    format!("The function is not allowed to be used this way in an expression; function: {name}")
}

/// A value as messages repeat it, without its type.
fn bare(value: &Attribute) -> String {
    match value {
        Attribute::S(text) => text.clone(),
        Attribute::N(number) => number.to_string(),
        Attribute::B(bytes) => bytes.to_string(),
        other => {
            let mut text = String::new();
            write_plain(&mut text, other);
            text
        }
    }
}
