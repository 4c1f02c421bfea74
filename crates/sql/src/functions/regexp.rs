//! Functions of regular expressions. A pattern that stands in the statement was compiled with it; one that is made of the
//! message is compiled for it. A bad pattern is Undefined.

use std::borrow::Cow;

use super::{Arguments, Prepared};
use crate::evaluate::{Evaluated, LONGEST, Stop};
use crate::pattern::{self, Pattern};
use crate::value::Value;

/// What compiling a pattern costs, in expressions.
const COMPILING: u64 = 2000;
/// Going through a string with a pattern costs as much as going through one so many times as long.
const MATCHING: usize = 4;

/// Hands the string and the pattern to `use_it`.
fn with_pattern<'d>(
    arguments: &mut Arguments<'_, 'd, '_>,
    use_it: impl FnOnce(&mut Arguments<'_, 'd, '_>, Cow<'d, str>, &fancy_regex::Regex) -> Evaluated<'d>,
) -> Evaluated<'d> {
    let text = arguments.text(0)?;
    arguments.evaluation.charge_text(text.len() * MATCHING)?;
    if let Prepared::Regex(pattern) = &arguments.call.prepared {
        return use_it(arguments, text, pattern.regex().ok_or(Stop::Undefined)?);
    }
    let pattern = arguments.text(1)?;
    arguments.evaluation.charge(COMPILING)?;
    let pattern = Pattern::new(&pattern);
    use_it(arguments, text, pattern.regex().ok_or(Stop::Undefined)?)
}

fn too_long() -> Stop {
    Stop::exceeded("a regular expression takes too long, or makes too much of a string")
}

pub(super) fn matches<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    with_pattern(arguments, |_, text, regex| regex.is_match(&*text).map(Value::Bool).map_err(|_| too_long()))
}

pub(super) fn replace<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    with_pattern(arguments, |arguments, text, regex| {
        let by = arguments.text(2)?;
        match pattern::replace(regex, &text, &by, LONGEST) {
            Ok(Some(replaced)) => arguments.evaluation.text(replaced),
            Ok(None) => Err(Stop::Undefined),
            Err(pattern::TooLong) => Err(too_long()),
        }
    })
}

/// unconfirmed: Undefined if nothing matches.
pub(super) fn substr<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    with_pattern(arguments, |_, text, regex| {
        let found = regex.find(&*text).map_err(|_| too_long())?.ok_or(Stop::Undefined)?;
        Ok(Value::text(found.as_str().to_owned()))
    })
}
