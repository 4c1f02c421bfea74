//! What expressions make of a message: one walk over the tree, whose work and whose values are bounded. Functions are
//! rows of a table elsewhere; what they need of the evaluation is asked of it here.

mod operate;
mod select;

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::expression::{Case, Expression, Type};
use crate::functions;
use crate::json::{Document, Kind};
use crate::number::Number;
use crate::outcome::Variables;
use crate::statement::Probe;
use crate::value::{Value, View};
use crate::world::{Call, Reply};
use crate::{Failed, Message, Version, World};

pub(crate) use select::{output, put};

/// The most work that one evaluation does, counted in expressions, rows, comparisons and pieces of strings.
const MOST_WORK: u64 = 500_000;
/// Members that cost as much as an expression when one of them is looked for.
const BREADTH: usize = 16;
/// Bytes of a string that cost as much as an expression.
const PIECE: usize = 32;
/// The longest string or array text in bytes, and the longest result.
pub(crate) const LONGEST: usize = 128 * 1024;

/// Why an expression has no value, or is not evaluated further.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The function at hand is Undefined; nothing else is the matter.
    Undefined,
    /// The world answers later.
    Later,
    /// A function that looks outside failed.
    Failed(Box<Failed>),
    /// The statement passes a bound, whatever is done about failures.
    Exceeded(Box<Failed>),
}

pub(crate) type Evaluated<'d> = Result<Value<'d>, Stop>;

impl Stop {
    pub(crate) fn failed(function: &'static str, reason: impl Into<String>) -> Stop {
        Stop::Failed(Box::new(Failed { function, reason: reason.into() }))
    }

    pub(crate) fn exceeded(reason: impl Into<String>) -> Stop {
        Stop::Exceeded(Box::new(Failed { function: "rule", reason: reason.into() }))
    }
}

/// A message with its payload as JSON, once somebody has asked.
pub(crate) struct Input<'m> {
    message: &'m Message<'m>,
    whole: bool,
    document: OnceCell<Option<Document<'m>>>,
}

impl<'m> Input<'m> {
    pub(crate) fn new(message: &'m Message<'m>, version: Version) -> Input<'m> {
        Input { message, whole: prints_whole(version), document: OnceCell::new() }
    }

    fn document(&self) -> Option<&Document<'m>> {
        self.document.get_or_init(|| self.message.payload.document(self.whole)).as_ref()
    }

    /// Whether the payload was read, and is no JSON.
    pub(crate) fn is_not_json(&self) -> bool {
        matches!(self.document.get(), Some(None))
    }
}

/// Whether a version of the language writes 10.0 as 10.
pub(crate) fn prints_whole(version: Version) -> bool {
    version >= Version::V20160323
}

/// One row of a nested query.
pub(crate) struct Row<'d> {
    alias: Option<&'d str>,
    /// The last name of what the rows were taken from.
    implied: Option<&'d str>,
    value: Value<'d>,
}

impl<'d> Row<'d> {
    /// What a name stands for in this row, if it does for anything.
    fn named(&self, name: &str) -> Option<Value<'d>> {
        if self.alias == Some(name) {
            return Some(self.value.clone());
        }
        let member = Some(self.value.member(name)).filter(|member| !member.is_undefined());
        let is_implied = self.alias.is_none() && self.implied == Some(name);
        member.or_else(|| is_implied.then(|| self.value.clone()))
    }
}

/// One evaluation under way.
pub(crate) struct Evaluation<'d, 'w> {
    pub(crate) message: &'d Message<'d>,
    pub(crate) version: Version,
    input: &'d Input<'d>,
    world: &'w mut dyn World,
    variables: Vec<(&'d str, Value<'d>)>,
    rows: Vec<Row<'d>>,
    work: u64,
    /// How many numbers were drawn, and what they are drawn from.
    draws: u64,
    seed: u128,
    /// What is told of each expression outside nested queries, if somebody wants to know.
    probe: Option<Probe<'w, 'd>>,
}

impl<'d, 'w> Evaluation<'d, 'w> {
    pub(crate) fn new(
        input: &'d Input<'d>,
        version: Version,
        world: &'w mut dyn World,
        probe: Option<Probe<'w, 'd>>,
    ) -> Evaluation<'d, 'w> {
        let (message, seed) = (input.message, input.message.seed);
        let (variables, rows) = (Vec::new(), Vec::new());
        Evaluation { message, version, input, world, variables, rows, work: 0, draws: 0, seed, probe }
    }

    /// Lets what `SET` gave values be known, and draws other random numbers than the statement did.
    pub(crate) fn continued(mut self, variables: &'d Variables, salt: u128) -> Evaluation<'d, 'w> {
        self.variables = variables.values.iter().map(|(name, value)| (&**name, value.clone())).collect();
        self.seed ^= salt;
        self
    }

    /// Whether whole numbers lose their decimal point where they become text.
    pub(crate) fn whole(&self) -> bool {
        prints_whole(self.version)
    }

    /// Counts work, and stops when it is too much.
    pub(crate) fn charge(&mut self, work: u64) -> Result<(), Stop> {
        self.work = self.work.saturating_add(work);
        if self.work > MOST_WORK {
            Err(Stop::exceeded("the statement takes too much work on this message"))
        } else {
            Ok(())
        }
    }

    /// Counts the work of going through a string.
    pub(crate) fn charge_text(&mut self, bytes: usize) -> Result<(), Stop> {
        self.charge((bytes / PIECE) as u64)
    }

    /// Counts the work of going through an array or object.
    pub(crate) fn charge_breadth(&mut self, breadth: usize) -> Result<(), Stop> {
        self.charge((breadth / BREADTH) as u64)
    }

    /// A string that was made, if it is not too long.
    pub(crate) fn text(&mut self, text: String) -> Evaluated<'d> {
        self.measured(Cow::Owned(text)).map(Value::Text)
    }

    /// A value as a string, if it has one and that is not too long.
    pub(crate) fn string(&mut self, value: Value<'d>) -> Result<Option<Cow<'d, str>>, Stop> {
        value.into_text(self.whole()).map(|text| self.measured(text)).transpose()
    }

    fn measured(&mut self, text: Cow<'d, str>) -> Result<Cow<'d, str>, Stop> {
        self.charge_text(text.len())?;
        if text.len() > LONGEST && matches!(text, Cow::Owned(_)) {
            return Err(Stop::exceeded(format!("a string of more than {LONGEST} bytes")));
        }
        Ok(text)
    }

    /// A member of a value.
    pub(crate) fn member(&mut self, value: &Value<'d>, name: &str) -> Evaluated<'d> {
        self.charge_breadth(value.breadth())?;
        Ok(value.member(name))
    }

    /// The same value once more, which for a string that was made is a copy.
    fn copied(&mut self, value: Value<'d>) -> Evaluated<'d> {
        if matches!(value, Value::Text(_)) {
            self.charge(value.breadth() as u64)?;
        }
        Ok(value)
    }

    /// The value of an expression.
    pub(crate) fn value(&mut self, expression: &'d Expression) -> Evaluated<'d> {
        self.charge(1)?;
        if self.probe.is_none() {
            return self.compute(expression);
        }
        let value = self.compute(expression)?;
        if let Some(probe) = self.probe.as_mut().filter(|_| self.rows.is_empty()) {
            probe(expression, &value);
        }
        Ok(value)
    }

    fn compute(&mut self, expression: &'d Expression) -> Evaluated<'d> {
        match expression {
            Expression::Null => Ok(Value::Null),
            Expression::Bool(value) => Ok(Value::Bool(*value)),
            Expression::Number(number) => Ok(Value::Number(*number)),
            Expression::Text(text) => Ok(Value::Text(Cow::Borrowed(text))),
            Expression::Star => self.star(),
            Expression::Name(name) => self.named(name),
            Expression::Variable(name) => self.variable(name),
            Expression::Member(base, members) => {
                let mut value = self.value(base)?;
                for name in members {
                    value = self.member(&value, name)?;
                }
                Ok(value)
            }
            Expression::Array(elements) => {
                elements.iter().map(|element| self.value(element)).collect::<Result<_, _>>().map(Value::array)
            }
            Expression::Object(members) => {
                let mut object = Vec::with_capacity(members.len());
                for (key, value) in members {
                    self.charge_breadth(object.len())?;
                    put(&mut object, Cow::Borrowed(key), self.value(value)?);
                }
                Ok(Value::object(object))
            }
            Expression::Not(operand) => {
                Ok(self.value(operand)?.to_bool().map_or(Value::Undefined, |value| Value::Bool(!value)))
            }
            Expression::Negate(operand) => {
                let number = self.value(operand)?.to_number();
                Ok(number.map_or(Value::Undefined, |number| Value::Number(number.negated())))
            }
            Expression::Chain(chain) => self.chain(chain),
            Expression::Exists(query) => self.exists(query),
            Expression::Query(query) => self.query(query),
            Expression::Case(case) => self.case(case),
            Expression::Cast(value, kind) => self.cast(value, *kind),
            Expression::Call(call) => functions::call(self, call),
        }
    }

    /// `*`: all of the row at hand, or the payload.
    fn star(&mut self) -> Evaluated<'d> {
        match self.rows.last() {
            Some(row) => self.copied(row.value.clone()),
            None => Ok(self.payload().unwrap_or(Value::Raw(self.message.payload.bytes()))),
        }
    }

    /// Whether `*` is the payload, and no row.
    pub(crate) fn star_is_payload(&self) -> bool {
        self.rows.is_empty()
    }

    /// The payload, if it is a JSON object or array. AWS takes no bare string or number for JSON.
    pub(crate) fn payload(&self) -> Option<Value<'d>> {
        let root = self.input.document()?.root();
        matches!(root.kind(), Kind::Object | Kind::Array).then_some(Value::Node(root))
    }

    /// What a name stands for: from the innermost row out its alias, then its member; then a member of the payload.
    /// unconfirmed: a member that no row has is looked for in the payload, and rows without an alias may be called by the
    /// last name of what they were taken from.
    fn named(&mut self, name: &str) -> Evaluated<'d> {
        let mut looked_at = 0;
        let found = self.rows.iter().rev().find_map(|row| {
            looked_at += row.value.breadth();
            row.named(name)
        });
        self.charge_breadth(looked_at)?;
        match (found, self.payload()) {
            (Some(found), _) => self.copied(found),
            (None, Some(payload)) => self.member(&payload, name),
            (None, None) => Ok(Value::Undefined),
        }
    }

    fn variable(&mut self, name: &str) -> Evaluated<'d> {
        let found = self.variables.iter().find(|(known, _)| *known == name);
        let value = found.map_or(Value::Undefined, |(_, value)| value.clone());
        self.copied(value)
    }

    /// Gives a variable its value.
    pub(crate) fn set(&mut self, name: &'d str, expression: &'d Expression) -> Result<(), Stop> {
        let value = self.value(expression)?;
        if matches!(value, Value::Raw(_)) {
            return Err(Stop::exceeded(format!("@{name} would hold a payload that is no JSON; encode() it first")));
        }
        self.variables.push((name, value));
        Ok(())
    }

    /// What `SET` gave values, kept for templates.
    pub(crate) fn variables(&self) -> Result<Variables, Stop> {
        let mut bytes = 0;
        let mut values = Vec::with_capacity(self.variables.len());
        for (name, value) in &self.variables {
            let mut text = String::new();
            value.print(self.whole(), &mut text);
            bytes += text.len();
            if bytes > LONGEST {
                return Err(Stop::exceeded(format!("the variables take more than {LONGEST} bytes")));
            }
            values.push((Box::from(*name), value.owned()));
        }
        Ok(Variables { values })
    }

    fn case(&mut self, case: &'d Case) -> Evaluated<'d> {
        let subject = self.value(&case.subject)?;
        if subject.is_undefined() {
            return Ok(Value::Undefined);
        }
        for (when, then) in &case.branches {
            let when = self.value(when)?;
            if self.equal(&subject, &when)? == Some(true) {
                return self.value(then);
            }
        }
        case.otherwise.as_ref().map_or(Ok(Value::Undefined), |otherwise| self.value(otherwise))
    }

    fn cast(&mut self, value: &'d Expression, kind: Type) -> Evaluated<'d> {
        let value = self.value(value)?;
        let number = |number: Option<Number>| number.map_or(Value::Undefined, Value::Number);
        let as_number = |value: &Value<'d>| match value.view() {
            View::Bool(value) => Some(if value { Number::ONE } else { Number::ZERO }),
            _ => value.to_number(),
        };
        Ok(match kind {
            Type::Text => self.string(value)?.map_or(Value::Undefined, Value::Text),
            Type::Int => number(as_number(&value).map(Number::floor)),
            Type::Double => number(as_number(&value).and_then(|number| Number::from_f64(number.to_f64()))),
            // true is 1.0 (AWS's table), which 2016-03-23 prints as 1.
            Type::Decimal => match value.to_bool().filter(|_| !value.is_text()) {
                Some(truth) => number(Number::from_f64(f64::from(u8::from(truth)))),
                None => number(value.to_number()),
            },
            Type::Bool => match value.view() {
                View::Number(number) => Value::Bool(!number.is_zero()),
                _ => value.to_bool().map_or(Value::Undefined, Value::Bool),
            },
        })
    }

    /// Asks the world and waits for no answer: what is not there yet stops the evaluation.
    pub(crate) fn ask(&mut self, call: &Call) -> Result<bytes::Bytes, Stop> {
        match self.world.call(call) {
            Reply::Value(answer) => Ok(answer),
            Reply::Failed(reason) => Err(Stop::failed(call.function(), reason)),
            Reply::Later => Err(Stop::Later),
        }
    }

    /// The next random number of this evaluation: the same in every run.
    pub(crate) fn draw(&mut self) -> u64 {
        self.draws += 1;
        let [low, high] =
            [self.seed, self.seed >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or(0));
        mixed(mixed(high ^ self.draws.wrapping_mul(0x9e37_79b9_7f4a_7c15)) ^ low)
    }
}

/// The finish of SplitMix64, which spreads every bit over all.
fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// What tells apart the random numbers of texts.
pub(crate) fn salt(text: &str) -> u128 {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    text.bytes()
        .fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}
