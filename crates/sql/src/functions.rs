//! Every function of the language: one row each with its name, the version that has it first, how many arguments it takes
//! and what it does. What it does stands by theme in the files beside this one.

mod collection;
mod context;
mod encoding;
mod math;
mod outside;
mod prepared;
mod regexp;
mod text;
mod times;

use std::borrow::Cow;
use std::ops::RangeInclusive;

use crate::Version;
use crate::evaluate::{Evaluated, Evaluation, Stop};
use crate::expression::{Call, Expression};
use crate::number::Number;
use crate::value::Value;
pub(crate) use context::published_to;
pub(crate) use prepared::Prepared;

/// One function.
pub(crate) struct Function {
    /// As AWS spells it.
    pub(crate) name: &'static str,
    pub(crate) since: Version,
    /// How many arguments make sense; with others the value is Undefined, as AWS has it.
    arguments: RangeInclusive<usize>,
    run: Run,
}

type Run = for<'e, 'd, 'w> fn(&'e mut Arguments<'e, 'd, 'w>) -> Evaluated<'d>;

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Function {
    /// Whether it asks the world.
    pub(crate) fn looks_outside(&self) -> bool {
        const OUTSIDE: [&str; 6] = [
            "aws_lambda",
            "get_dynamodb",
            "get_registry_data",
            "get_secret",
            "get_thing_shadow",
            "machinelearning_predict",
        ];
        OUTSIDE.contains(&self.name)
    }
}

/// The function of a name, in any case.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name.eq_ignore_ascii_case(name))
}

/// The function whose name is most like this one, if one is like it.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let name = name.get(..40).unwrap_or(name).to_ascii_lowercase();
    let names = FUNCTIONS.iter().map(|function| function.name).chain(["cast"]);
    let nearest = names.map(|known| (distance(&name, &known.to_ascii_lowercase()), known)).min()?;
    (nearest.0 <= 2).then_some(nearest.1)
}

/// How many letters have to be put in, taken out or changed.
fn distance(one: &str, two: &str) -> usize {
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, b) in two.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// The value of a call.
pub(crate) fn call<'d>(evaluation: &mut Evaluation<'d, '_>, call: &'d Call) -> Evaluated<'d> {
    if !call.function.arguments.contains(&call.arguments.len()) {
        return Ok(Value::Undefined);
    }
    match (call.function.run)(&mut Arguments { evaluation, call }) {
        Err(Stop::Undefined) => Ok(Value::Undefined),
        value => value,
    }
}

/// The arguments of a call, each evaluated when it is asked for.
pub(crate) struct Arguments<'e, 'd, 'w> {
    pub(crate) evaluation: &'e mut Evaluation<'d, 'w>,
    pub(crate) call: &'d Call,
}

impl<'d> Arguments<'_, 'd, '_> {
    pub(crate) fn count(&self) -> usize {
        self.call.arguments.len()
    }

    /// Whether an argument is `*`, and that is the payload.
    pub(crate) fn is_payload(&self, index: usize) -> bool {
        matches!(self.call.arguments.get(index), Some(Expression::Star)) && self.evaluation.star_is_payload()
    }

    /// An argument; Undefined if there is none.
    pub(crate) fn value(&mut self, index: usize) -> Evaluated<'d> {
        self.call.arguments.get(index).map_or(Ok(Value::Undefined), |argument| self.evaluation.value(argument))
    }

    /// An argument as a string, or else the function is Undefined.
    pub(crate) fn text(&mut self, index: usize) -> Result<Cow<'d, str>, Stop> {
        let value = self.value(index)?;
        self.evaluation.string(value)?.ok_or(Stop::Undefined)
    }

    /// An argument as a number, or else the function is Undefined.
    pub(crate) fn number(&mut self, index: usize) -> Result<Number, Stop> {
        self.value(index)?.to_number().ok_or(Stop::Undefined)
    }

    /// An argument as a whole number, rounded down.
    pub(crate) fn int(&mut self, index: usize) -> Result<Number, Stop> {
        Ok(self.number(index)?.floor())
    }
}

const fn row(name: &'static str, since: Version, arguments: RangeInclusive<usize>, run: Run) -> Function {
    Function { name, since, arguments, run }
}

const V15: Version = Version::V20151008;
const V16: Version = Version::V20160323;

/// All of them but `cast`, which has a grammar of its own.
pub(crate) static FUNCTIONS: [Function; 81] = [
    row("abs", V15, 1..=1, math::abs),
    row("accountid", V15, 0..=0, context::accountid),
    row("acos", V15, 1..=1, math::acos),
    row("asin", V15, 1..=1, math::asin),
    row("atan", V15, 1..=1, math::atan),
    row("atan2", V15, 2..=2, math::atan2),
    // unconfirmed: that the first version has it already.
    row("aws_lambda", V15, 2..=2, outside::aws_lambda),
    row("bitand", V15, 2..=2, math::bitand),
    row("bitor", V15, 2..=2, math::bitor),
    row("bitxor", V15, 2..=2, math::bitxor),
    row("bitnot", V15, 1..=1, math::bitnot),
    row("ceil", V15, 1..=1, math::ceil),
    row("chr", V15, 1..=1, text::chr),
    row("clientid", V15, 0..=0, context::clientid),
    row("concat", V15, 0..=usize::MAX, collection::concat),
    row("cos", V15, 1..=1, math::cos),
    row("cosh", V15, 1..=1, math::cosh),
    row("decode", V16, 2..=6, encoding::decode),
    row("encode", V16, 2..=2, encoding::encode),
    row("endswith", V15, 2..=2, text::endswith),
    row("exp", V15, 1..=1, math::exp),
    row("floor", V15, 1..=1, math::floor),
    row("get", V15, 2..=2, collection::get),
    row("get_dynamodb", V16, 4..=6, outside::get_dynamodb),
    row("get_mqtt_property", V16, 1..=1, context::get_mqtt_property),
    row("get_or_default", V16, 1..=2, collection::get_or_default),
    row("get_registry_data", V16, 3..=3, outside::get_registry_data),
    row("get_secret", V16, 3..=4, outside::get_secret),
    row("get_thing_shadow", V16, 2..=3, outside::get_thing_shadow),
    row("get_user_properties", V16, 0..=1, context::get_user_properties),
    row("indexof", V16, 2..=2, text::indexof),
    row("isNull", V15, 1..=1, collection::is_null),
    row("isUndefined", V16, 1..=1, collection::is_undefined),
    row("length", V16, 1..=1, text::length),
    row("ln", V15, 1..=1, math::ln),
    row("log", V15, 1..=1, math::log),
    row("lower", V15, 1..=1, text::lower),
    row("lpad", V15, 2..=2, text::lpad),
    row("ltrim", V15, 1..=1, text::ltrim),
    row("machinelearning_predict", V15, 3..=3, outside::machinelearning_predict),
    row("md2", V15, 1..=1, encoding::md2),
    row("md5", V15, 1..=1, encoding::md5),
    row("mod", V15, 2..=2, math::remainder),
    row("nanvl", V15, 2..=2, math::nanvl),
    row("newuuid", V15, 0..=0, context::newuuid),
    row("numbytes", V16, 1..=1, text::numbytes),
    row("parse_time", V16, 2..=3, times::parse_time),
    row("power", V15, 2..=2, math::power),
    row("principal", V15, 0..=0, context::principal),
    row("rand", V15, 0..=0, math::rand),
    row("regexp_matches", V15, 2..=2, regexp::matches),
    row("regexp_replace", V15, 3..=3, regexp::replace),
    row("regexp_substr", V15, 2..=2, regexp::substr),
    row("remainder", V15, 2..=2, math::remainder),
    row("replace", V15, 3..=3, text::replace),
    row("round", V15, 1..=1, math::round),
    row("rpad", V15, 2..=2, text::rpad),
    row("rtrim", V15, 1..=1, text::rtrim),
    row("sha1", V15, 1..=1, encoding::sha1),
    row("sha224", V15, 1..=1, encoding::sha224),
    row("sha256", V15, 1..=1, encoding::sha256),
    row("sha384", V15, 1..=1, encoding::sha384),
    row("sha512", V15, 1..=1, encoding::sha512),
    row("sign", V15, 1..=1, math::sign),
    row("sin", V15, 1..=1, math::sin),
    row("sinh", V15, 1..=1, math::sinh),
    row("sourceip", V16, 0..=0, context::sourceip),
    row("sql_version", V15, 0..=0, context::sql_version),
    row("sqrt", V15, 1..=1, math::sqrt),
    row("startswith", V15, 2..=2, text::startswith),
    row("substring", V15, 2..=3, text::substring),
    row("tan", V15, 1..=1, math::tan),
    row("tanh", V15, 1..=1, math::tanh),
    row("time_to_epoch", V16, 2..=2, times::time_to_epoch),
    row("timestamp", V15, 0..=0, context::timestamp),
    row("topic", V15, 0..=1, context::topic),
    row("traceid", V15, 0..=0, context::traceid),
    row("transform", V16, 3..=3, collection::transform),
    row("trim", V15, 1..=1, text::trim),
    row("trunc", V15, 2..=2, math::trunc),
    row("upper", V15, 1..=1, text::upper),
];
