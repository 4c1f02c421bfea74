//! Functions of time: printing by the patterns of Joda-Time, reading by those of Java. What the patterns mean is the
//! business of `time`; a pattern or zone that there is not is Undefined.

use std::borrow::Cow;

use super::collection::number;
use super::{Arguments, Prepared};
use crate::evaluate::{Evaluated, Stop};
use crate::time::{Parser, Printer, Zone};

/// What compiling a pattern costs, in expressions.
const COMPILING: u64 = 100;

/// An argument that a pattern or a zone is made of, for this message alone.
fn text(arguments: &mut Arguments<'_, '_, '_>, index: usize) -> Result<String, Stop> {
    arguments.evaluation.charge(COMPILING)?;
    arguments.text(index).map(Cow::into_owned)
}

/// `parse_time(pattern, milliseconds[, zone])`, which prints and parses nothing.
pub(super) fn parse_time<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let Prepared::Print { printer, zone } = &arguments.call.prepared else { return Err(Stop::Undefined) };
    let printer = printer.or_make(|| text(arguments, 0), Printer::compile)?;
    let time: i64 = arguments.int(1)?.to_int().ok_or(Stop::Undefined)?;
    let zone = zone.or_make(|| text(arguments, 2), Zone::find)?;
    let text = printer.print(time, &zone).ok_or(Stop::Undefined)?;
    arguments.evaluation.text(text)
}

/// `time_to_epoch(text, pattern)`: milliseconds since 1970.
pub(super) fn time_to_epoch<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let Prepared::Read(parser) = &arguments.call.prepared else { return Err(Stop::Undefined) };
    let time = arguments.text(0)?;
    let parser = parser.or_make(|| text(arguments, 1), Parser::compile)?;
    parser.parse(&time).map(number).ok_or(Stop::Undefined)
}
