//! Functions of strings. Places count characters from 0; arguments of other types are converted as the tables say.

use super::Arguments;
use crate::evaluate::{Evaluated, Stop};
use crate::number::Number;
use crate::value::Value;

/// What `ltrim`, `rtrim` and `trim` take away.
/// unconfirmed: `trim` takes tabs and spaces like the others, though AWS says white space.
const BLANKS: [char; 2] = [' ', '\t'];

fn count<'d>(count: usize) -> Evaluated<'d> {
    let count = i64::try_from(count).map_err(|_| Stop::Undefined)?;
    Ok(Value::Number(Number::from(count)))
}

/// The character of an ASCII value.
pub(super) fn chr<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let code: u8 = arguments.int(0)?.to_int().filter(u8::is_ascii).ok_or(Stop::Undefined)?;
    Ok(Value::text(char::from(code).to_string()))
}

pub(super) fn endswith<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let (text, end) = (arguments.text(0)?, arguments.text(1)?);
    Ok(Value::Bool(text.ends_with(&*end)))
}

pub(super) fn startswith<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let (text, start) = (arguments.text(0)?, arguments.text(1)?);
    Ok(Value::Bool(text.starts_with(&*start)))
}

/// unconfirmed: -1 where there is none, as in Java.
pub(super) fn indexof<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let (text, part) = (arguments.text(0)?, arguments.text(1)?);
    match text.find(&*part) {
        Some(at) => count(text.get(..at).unwrap_or_default().chars().count()),
        None => Ok(Value::Number(Number::from(-1))),
    }
}

/// unconfirmed: characters beyond the basic plane count once; in Java they would count twice.
pub(super) fn length<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    count(arguments.text(0)?.chars().count())
}

pub(super) fn numbytes<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    count(arguments.text(0)?.len())
}

pub(super) fn lower<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let text = arguments.text(0)?.to_lowercase();
    arguments.evaluation.text(text)
}

pub(super) fn upper<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let text = arguments.text(0)?.to_uppercase();
    arguments.evaluation.text(text)
}

/// So many spaces as the second argument says, within 0 and 1000.
fn padding(arguments: &mut Arguments<'_, '_, '_>) -> Result<String, Stop> {
    let spaces = arguments.int(1)?;
    let spaces = if spaces.sign() < 0 { 0 } else { spaces.to_int().unwrap_or(1000).min(1000) };
    Ok(" ".repeat(spaces))
}

pub(super) fn lpad<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let text = arguments.text(0)?;
    let padded = padding(arguments)? + &text;
    arguments.evaluation.text(padded)
}

pub(super) fn rpad<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let text = arguments.text(0)?;
    let padded = text.into_owned() + &padding(arguments)?;
    arguments.evaluation.text(padded)
}

pub(super) fn ltrim<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    Ok(Value::text(arguments.text(0)?.trim_start_matches(BLANKS).to_owned()))
}

pub(super) fn rtrim<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    Ok(Value::text(arguments.text(0)?.trim_end_matches(BLANKS).to_owned()))
}

pub(super) fn trim<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    Ok(Value::text(arguments.text(0)?.trim_matches(BLANKS).to_owned()))
}

pub(super) fn replace<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let (text, part, by) = (arguments.text(0)?, arguments.text(1)?, arguments.text(2)?);
    if !by.is_empty() {
        // Every place of the text may be replaced, so what may come of it is counted before it is made.
        let found = text.matches(&*part).count();
        let longest = text.len().saturating_add(found.saturating_mul(by.len()));
        arguments.evaluation.charge_text(longest)?;
        if longest > crate::evaluate::LONGEST * 2 {
            return Err(Stop::exceeded(format!("a string of more than {} bytes", crate::evaluate::LONGEST)));
        }
    }
    let replaced = text.replace(&*part, &by);
    arguments.evaluation.text(replaced)
}

/// From one place to the end, or up to another; places outside are moved to the nearest inside.
pub(super) fn substring<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let text = arguments.text(0)?;
    let start = place(arguments.int(1)?);
    let end = if arguments.count() > 2 { place(arguments.int(2)?) } else { usize::MAX };
    let offset = |place: usize| text.char_indices().nth(place).map_or(text.len(), |(offset, _)| offset);
    let part = if start < end { text.get(offset(start)..offset(end)) } else { None };
    Ok(Value::text(part.unwrap_or_default().to_owned()))
}

/// A place in a string: what is before it is 0, and what no string reaches is as good as its end.
fn place(number: Number) -> usize {
    if number.sign() < 0 { 0 } else { number.to_int().unwrap_or(usize::MAX) }
}
