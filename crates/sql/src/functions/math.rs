//! Functions of numbers. Those of whole numbers and of decimals are exact; those that AWS documents as of double precision
//! are the machine's. A result that is no number is Undefined.

use super::Arguments;
use crate::evaluate::{Evaluated, Stop};
use crate::number::Number;
use crate::value::Value;

type Answer = Result<Number, Stop>;

fn answer<'d>(number: Option<Number>) -> Evaluated<'d> {
    number.map(Value::Number).ok_or(Stop::Undefined)
}

/// A function of one argument, of 34 digits.
macro_rules! exact {
    ($($name:ident = $function:expr;)*) => {$(
        pub(super) fn $name<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
            let function: fn(Number) -> Number = $function;
            Ok(Value::Number(function(arguments.number(0)?)))
        }
    )*};
}

exact! {
    abs = Number::abs;
    ceil = Number::ceil;
    floor = Number::floor;
    round = Number::round;
    sign = |number| Number::from(number.sign());
}

/// A function of one argument, of double precision.
macro_rules! double {
    ($($name:ident = $function:expr;)*) => {$(
        pub(super) fn $name<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
            let function: fn(f64) -> f64 = $function;
            answer(Number::from_f64(function(arguments.number(0)?.to_f64())))
        }
    )*};
}

double! {
    acos = f64::acos;
    asin = f64::asin;
    atan = f64::atan;
    cos = f64::cos;
    cosh = f64::cosh;
    exp = f64::exp;
    ln = f64::ln;
    log = f64::log10;
    sin = f64::sin;
    sinh = f64::sinh;
    sqrt = f64::sqrt;
    tan = f64::tan;
    tanh = f64::tanh;
}

pub(super) fn atan2<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let (y, x) = (arguments.number(0)?.to_f64(), arguments.number(1)?.to_f64());
    answer(Number::from_f64(y.atan2(x)))
}

pub(super) fn power<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let (base, exponent) = (arguments.number(0)?.to_f64(), arguments.number(1)?.to_f64());
    answer(Number::from_f64(base.powf(exponent)))
}

/// `mod` and `remainder`, which are the operator `%`.
pub(super) fn remainder<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let (dividend, divisor) = (arguments.number(0)?, arguments.number(1)?);
    answer(dividend.remainder(divisor))
}

fn places(arguments: &mut Arguments<'_, '_, '_>) -> Result<u32, Stop> {
    let places = arguments.int(1)?;
    Ok(if places.sign() < 0 { 0 } else { places.to_int().unwrap_or(34).min(34) })
}

pub(super) fn trunc<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let number = arguments.number(0)?;
    let places = places(arguments)?;
    Ok(Value::Number(number.truncated(places)))
}

/// An argument as an integer of the machine. Those of 34 digits fit.
fn bits(arguments: &mut Arguments<'_, '_, '_>, index: usize) -> Result<i128, Stop> {
    arguments.int(index)?.to_int().ok_or(Stop::Undefined)
}

fn from_bits(bits: i128) -> Answer {
    Number::from_int(bits).ok_or(Stop::Undefined)
}

pub(super) fn bitand<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let (one, two) = (bits(arguments, 0)?, bits(arguments, 1)?);
    from_bits(one & two).map(Value::Number)
}

pub(super) fn bitor<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let (one, two) = (bits(arguments, 0)?, bits(arguments, 1)?);
    from_bits(one | two).map(Value::Number)
}

pub(super) fn bitxor<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let (one, two) = (bits(arguments, 0)?, bits(arguments, 1)?);
    from_bits(one ^ two).map(Value::Number)
}

/// unconfirmed: two's complement, in which bitnot(13) is -14; AWS's example says 2, which is NOT of four bits.
pub(super) fn bitnot<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let one = bits(arguments, 0)?;
    from_bits(!one).map(Value::Number)
}

/// The first argument unless it is Null or Undefined. There is no NaN in this language.
pub(super) fn nanvl<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let first = arguments.value(0)?;
    if first.is_null() || first.is_undefined() { arguments.value(1) } else { Ok(first) }
}

/// From 0 up to but not including 1.
pub(super) fn rand<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let bits = u32::try_from(arguments.evaluation.draw() >> 32).unwrap_or_default();
    let more = u32::try_from(arguments.evaluation.draw() >> 43).unwrap_or_default();
    let drawn = f64::from(bits) / 4_294_967_296.0 + f64::from(more) / 9_007_199_254_740_992.0;
    answer(Number::from_f64(drawn))
}
