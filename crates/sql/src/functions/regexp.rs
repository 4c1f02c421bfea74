//! Functions of regular expressions. A pattern that stands in the statement was compiled with it; one that is made of the
//! message is compiled for it. A bad pattern is Undefined.

use std::borrow::Cow;

use fancy_regex::Regex;

use super::{Arguments, Prepared};
use crate::evaluate::{Evaluated, LONGEST, Stop};
use crate::pattern::{self, Pattern};
use crate::value::Value;

/// What compiling a pattern costs, in expressions.
const COMPILING: u64 = 10_000;
/// Going through a string with a pattern costs as much as going through one so many times as long.
const MATCHING: usize = 4;
/// What a match costs if finding it may mean going back, and otherwise.
const GOING_BACK: u64 = 1000;
const GOING_ON: u64 = 4;

/// Hands the string, the pattern and what a match costs to `then`.
fn with_pattern<'d>(
    arguments: &mut Arguments<'_, 'd, '_>,
    then: impl FnOnce(&mut Arguments<'_, 'd, '_>, Cow<'d, str>, &Regex, u64) -> Evaluated<'d>,
) -> Evaluated<'d> {
    let text = arguments.text(0)?;
    let made;
    let pattern = if let Prepared::Regex(pattern) = &arguments.call.prepared {
        pattern
    } else {
        let pattern = arguments.text(1)?;
        arguments.evaluation.charge(COMPILING)?;
        made = Pattern::new(&pattern);
        &made
    };
    let regex = pattern.regex().ok_or(Stop::Undefined)?;
    let cost = if pattern.goes_back() { GOING_BACK } else { GOING_ON };
    arguments.evaluation.charge(cost)?;
    arguments.evaluation.charge_text(text.len() * MATCHING)?;
    then(arguments, text, regex, cost)
}

fn too_long() -> Stop {
    Stop::exceeded("a regular expression takes too long, or makes too much of a string")
}

pub(super) fn matches<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    with_pattern(arguments, |_, text, regex, _| regex.is_match(&*text).map(Value::Bool).map_err(|_| too_long()))
}

pub(super) fn replace<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    with_pattern(arguments, |arguments, text, regex, cost| {
        let by = arguments.text(2)?;
        let goes_on = |length| length <= LONGEST && arguments.evaluation.charge(cost).is_ok();
        match pattern::replace(regex, &text, &by, goes_on) {
            Ok(Some(replaced)) => arguments.evaluation.text(replaced),
            Ok(None) => Err(Stop::Undefined),
            Err(pattern::TooLong) => Err(too_long()),
        }
    })
}

/// unconfirmed: Undefined if nothing matches.
pub(super) fn substr<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    with_pattern(arguments, |_, text, regex, _| {
        let found = regex.find(&*text).map_err(|_| too_long())?.ok_or(Stop::Undefined)?;
        Ok(Value::text(found.as_str().to_owned()))
    })
}
