//! Numbers of the language: decimals of 34 digits whose value and written form are exact, in 32 bytes without allocation.
//!
//! `2.50` and `2.5` are equal numbers of different scale, and each prints as it was written, as Java's `BigDecimal` does. An
//! Int is a number of scale zero. What the versions of the language make of whole numbers is not known here.

mod arithmetic;

use std::cmp::Ordering;
use std::fmt;

/// The most significant digits of a number.
const DIGITS: u32 = 34;
/// The least magnitude that has a digit too many.
const TOO_LONG: u128 = 10_u128.pow(DIGITS);
/// Every power of ten that fits.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};
/// Powers of ten that a number's leading digit may have.
const MAGNITUDES: std::ops::RangeInclusive<i32> = -999..=999;

/// A number: the coefficient times ten to the exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    /// At most 34 digits.
    coefficient: i128,
    exponent: i32,
}

/// What a number may look like where it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// In JSON and in statements, where whoever calls has seen that the grammar is kept.
    Literal,
    /// In a string that is converted: no sign but `-`, also in the exponent.
    Converted,
}

impl Number {
    pub(crate) const ZERO: Number = Number { coefficient: 0, exponent: 0 };
    pub(crate) const ONE: Number = Number { coefficient: 1, exponent: 0 };

    /// Reads a number that fills the text. `None` also for one that is too large; one that is too small is zero.
    pub(crate) fn read(text: &str, spelling: Spelling) -> Option<Number> {
        let (negative, text) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            text => (false, text),
        };
        if let Some(short) = read_short(text) {
            return Some(if negative { short.negated() } else { short });
        }
        let mut digits = Digits::default();
        let whole = digits.take(text);
        let mut rest = &text[whole..];
        if whole == 0 {
            return None;
        }
        let mut exponent = 0;
        if let [b'.', fraction @ ..] = rest {
            let length = digits.take(fraction);
            if length == 0 {
                return None;
            }
            exponent = -i32::try_from(length).ok()?;
            rest = &fraction[length..];
        }
        if !rest.is_empty() {
            exponent += read_exponent(rest, spelling)?;
        }
        digits.rounded(negative, exponent)
    }

    /// The number as Java writes a double, which is how functions of double precision answer. `None` if it is none.
    pub(crate) fn from_f64(value: f64) -> Option<Number> {
        if !value.is_finite() {
            return None;
        }
        let number = Number::read(&format!("{value:e}"), Spelling::Literal)?;
        let plain = value == 0.0 || (1e-3..1e7).contains(&value.abs());
        let point = if plain { -1 } else { number.leading() - 1 };
        if number.exponent <= point { Some(number) } else { number.scaled_to(point) }
    }

    /// The nearest double.
    pub(crate) fn to_f64(self) -> f64 {
        const EXACT: [f64; 23] = [
            1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
            1e19, 1e20, 1e21, 1e22,
        ];
        let power = usize::try_from(self.exponent.unsigned_abs()).ok().and_then(|power| EXACT.get(power));
        match (i32::try_from(self.coefficient), power) {
            (Ok(coefficient), Some(power)) if self.exponent < 0 => f64::from(coefficient) / power,
            (Ok(coefficient), Some(power)) => f64::from(coefficient) * power,
            _ => format!("{}e{}", self.coefficient, self.exponent).parse().unwrap_or(f64::NAN),
        }
    }

    /// The number as an integer of the machine, if it is whole and fits.
    pub(crate) fn to_int<T: TryFrom<i128>>(self) -> Option<T> {
        T::try_from(self.scaled_to(0)?.coefficient).ok()
    }

    /// A whole number, if it has no more than 34 digits.
    pub(crate) fn from_int(value: i128) -> Option<Number> {
        (value.unsigned_abs() < TOO_LONG).then_some(Number { coefficient: value, exponent: 0 })
    }

    /// The whole number of up to 34 digits that this equals, without its decimal point, if there is one.
    pub(crate) fn whole(self) -> Option<Number> {
        if self.exponent == 0 { Some(self) } else { self.scaled_to(0) }
    }

    /// The nearest whole number that is not greater.
    pub(crate) fn floor(self) -> Number {
        let down = self.truncated(0);
        if down.compare(self) == Ordering::Greater { down.add(Number::from(-1)).unwrap_or(down) } else { down }
    }

    /// The nearest whole number that is not less.
    pub(crate) fn ceil(self) -> Number {
        self.negated().floor().negated()
    }

    /// The nearest whole number; of two, the one further from zero.
    pub(crate) fn round(self) -> Number {
        let half = Number { coefficient: 5, exponent: -1 };
        let half = if self.coefficient < 0 { half.negated() } else { half };
        match self.whole() {
            Some(whole) => whole,
            // Only a number with a fraction comes here, so adding a half loses no digit that matters.
            None => self.add(half).unwrap_or(self).truncated(0),
        }
    }

    /// The number without its digits beyond so many places, and without zeros at the end of its fraction.
    pub(crate) fn truncated(self, places: u32) -> Number {
        let places = i32::try_from(places).unwrap_or(i32::MAX);
        let mut number = self;
        while number.exponent < 0 && (-number.exponent > places || number.coefficient % 10 == 0) {
            number = Number { coefficient: number.coefficient / 10, exponent: number.exponent + 1 };
        }
        number.whole().unwrap_or(number)
    }

    pub(crate) fn abs(self) -> Number {
        Number { coefficient: self.coefficient.abs(), ..self }
    }

    pub(crate) fn negated(self) -> Number {
        Number { coefficient: -self.coefficient, ..self }
    }

    /// -1, 0 or 1.
    pub(crate) fn sign(self) -> i64 {
        match self.coefficient.signum() {
            -1 => -1,
            0 => 0,
            _ => 1,
        }
    }

    pub(crate) fn is_zero(self) -> bool {
        self.coefficient == 0
    }

    /// Order by value: `1.0` and `1` are equal.
    pub(crate) fn compare(self, other: Number) -> Ordering {
        if self.exponent == other.exponent {
            return self.coefficient.cmp(&other.coefficient);
        }
        if self.exponent < other.exponent {
            return other.compare(self).reverse();
        }
        let scaled = self.times_power(self.exponent.abs_diff(other.exponent));
        if let Some(scaled) = scaled {
            return scaled.cmp(&other.coefficient);
        }
        // What does not fit is further from zero than any number of 34 digits; zero fits always.
        if self.coefficient < 0 { Ordering::Less } else { Ordering::Greater }
    }

    /// The coefficient times a power of ten, if it fits.
    fn times_power(self, power: u32) -> Option<i128> {
        match POWERS.get(power as usize) {
            _ if self.coefficient == 0 => Some(0),
            // A small coefficient times a small power needs no look at overflow.
            Some(factor) if power <= 18 && i64::try_from(self.coefficient).is_ok() => Some(self.coefficient * factor),
            Some(factor) => self.coefficient.checked_mul(*factor),
            None => None,
        }
    }

    /// The power of ten of the leading digit.
    fn leading(self) -> i32 {
        digits(self.coefficient.unsigned_abs()) - 1 + self.exponent
    }

    /// The same value with another exponent, if it has one of at most 34 digits.
    fn scaled_to(self, exponent: i32) -> Option<Number> {
        let mut coefficient = self.coefficient;
        if coefficient == 0 {
            return Some(Number { coefficient, exponent });
        }
        if self.exponent >= exponent {
            coefficient = self.times_power(self.exponent.abs_diff(exponent))?;
        } else {
            let divisor = *POWERS.get(exponent.abs_diff(self.exponent) as usize)?;
            if coefficient % divisor != 0 {
                return None;
            }
            coefficient /= divisor;
        }
        (coefficient.unsigned_abs() < TOO_LONG).then_some(Number { coefficient, exponent })
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Number {
        Number { coefficient: value.into(), exponent: 0 }
    }
}

/// As Java's `BigDecimal` is written: plainly, or in scientific notation if it is far from one.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.exponent == 0 {
            return match i64::try_from(self.coefficient) {
                Ok(small) => small.fmt(f),
                Err(_) => self.coefficient.fmt(f),
            };
        }
        let digits = self.coefficient.unsigned_abs().to_string();
        let leading = self.leading();
        if self.coefficient < 0 {
            f.write_str("-")?;
        }
        if self.exponent > 0 || leading < -6 {
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            return write!(f, "{first}{point}{rest}E{leading:+}");
        }
        if leading < 0 {
            let zeros = usize::try_from(-1 - leading).unwrap_or_default();
            return write!(f, "0.{}{digits}", "000000".get(..zeros).unwrap_or_default());
        }
        let (whole, fraction) = digits.split_at(usize::try_from(leading + 1).unwrap_or_default());
        write!(f, "{whole}.{fraction}")
    }
}

/// How many digits a magnitude has; zero has one.
fn digits(magnitude: u128) -> i32 {
    match magnitude.checked_ilog10() {
        Some(log) => i32::try_from(log).unwrap_or(i32::MAX) + 1,
        None => 1,
    }
}

/// Reads a number of up to 19 digits without an exponent, as nearly all are; `None` for any other text.
fn read_short(text: &[u8]) -> Option<Number> {
    if text.len() > 19 {
        return None;
    }
    let (mut coefficient, mut point) = (0_u64, None);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => coefficient = coefficient * 10 + u64::from(byte - b'0'),
            b'.' if at > 0 && point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    let exponent = match point {
        None if (1..=19).contains(&text.len()) => 0,
        Some(point) if point + 1 < text.len() => i32::try_from(point + 1).ok()? - i32::try_from(text.len()).ok()?,
        _ => return None,
    };
    Some(Number { coefficient: coefficient.into(), exponent })
}

/// Reads `e5`, `E-5` and so on; one of more digits than matter is as far from zero as can be told.
fn read_exponent(text: &[u8], spelling: Spelling) -> Option<i32> {
    let [b'e' | b'E', text @ ..] = text else { return None };
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] if spelling == Spelling::Literal => (false, rest),
        text => (false, text),
    };
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = text
        .iter()
        .fold(0_i32, |size, digit| size.saturating_mul(10).saturating_add(i32::from(digit - b'0')).min(i32::MAX / 4));
    Some(if negative { -size } else { size })
}

/// The digits of a number while it is read: those that fit, and what is known of the rest.
#[derive(Default)]
struct Digits {
    kept: u128,
    /// How many digits there were beyond those kept.
    dropped: i32,
    /// The first of these, and whether a later one is not zero.
    next: u8,
    more: bool,
}

impl Digits {
    /// Takes digits off the front of the text and says how many there were.
    fn take(&mut self, text: &[u8]) -> usize {
        let mut length = 0;
        while let Some(digit @ b'0'..=b'9') = text.get(length) {
            self.push(digit - b'0');
            length += 1;
        }
        length
    }

    fn push(&mut self, digit: u8) {
        let longer = self.kept * 10 + u128::from(digit);
        if self.dropped == 0 && longer < TOO_LONG {
            self.kept = longer;
        } else if self.dropped == 0 {
            self.next = digit;
            self.dropped = 1;
        } else {
            self.more |= digit != 0;
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// The number, rounded half to even.
    fn rounded(self, negative: bool, exponent: i32) -> Option<Number> {
        let odd = self.kept % 2 == 1;
        let up = self.next > 5 || (self.next == 5 && (self.more || odd));
        arithmetic::bounded(negative, self.kept + u128::from(up), exponent.saturating_add(self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::read(text, Spelling::Literal).unwrap()
    }

    #[test]
    fn numbers_print_as_they_were_written() {
        for text in [
            "0",
            "-5",
            "9999999999999999999",
            "99999999999999999999",
            "999999999.999999999",
            "10.0",
            "2.50",
            "0.001",
            "-0.000001",
            "1E-7",
            "1E+2",
            "1.50E+10",
            "1.2E-9",
            "100000000000000",
        ] {
            assert_eq!(number(text).to_string(), text);
        }
        assert_eq!(number("1e2").to_string(), "1E+2");
        assert_eq!(number("0.0").to_string(), "0.0");
        assert_eq!(number("00012").to_string(), "12");
    }

    #[test]
    fn more_than_34_digits_are_rounded_half_to_even() {
        let long = "1234567890123456789012345678901234";
        assert_eq!(number(long).to_string(), long);
        for (tail, last) in [("4", '4'), ("5", '4'), ("51", '5'), ("6", '5'), ("499999", '4')] {
            let rounded = number(&format!("{long}.{tail}")).to_string();
            assert_eq!(rounded.chars().last(), Some(last), "{tail}");
        }
        assert_eq!(number("0.00000000000000000000000000000000000000001").to_string(), "1E-41");
    }

    #[test]
    fn texts_that_are_no_numbers_are_not_read() {
        for text in ["", "-", "+1", "1.", ".5", "1e", "1e+", "1 ", " 1", "0x1", "1e2.5", "1E1000", "--1", "1e5x"] {
            assert_eq!(Number::read(text, Spelling::Literal), None, "{text}");
        }
        assert_eq!(Number::read("1E+2", Spelling::Converted), None);
        assert_eq!(Number::read("5E-12", Spelling::Converted), Some(number("5e-12")));
        assert_eq!(Number::read("1e-99999999999", Spelling::Literal), Some(Number::ZERO));
    }

    #[test]
    fn order_is_by_value() {
        for (one, two, order) in [
            ("1", "1.0", Ordering::Equal),
            ("100", "1E2", Ordering::Equal),
            ("-1.5", "-1.4", Ordering::Less),
            ("0", "0.00", Ordering::Equal),
            ("0.0", "-1", Ordering::Greater),
            ("1E300", "9", Ordering::Greater),
            ("-1E300", "-9", Ordering::Less),
            ("9007199254740993", "9007199254740992.5", Ordering::Greater),
        ] {
            assert_eq!(number(one).compare(number(two)), order, "{one} {two}");
            assert_eq!(number(two).compare(number(one)), order.reverse(), "{two} {one}");
        }
    }

    #[test]
    fn doubles_come_and_go() {
        for (value, text) in [
            (3.0, "3.0"),
            (0.0, "0.0"),
            (std::f64::consts::FRAC_PI_2, "1.5707963267948966"),
            (100.0, "100.0"),
            (1e10, "1.0E+10"),
            (1.5e-9, "1.5E-9"),
            (0.001, "0.001"),
            (-32.0, "-32.0"),
        ] {
            let number = Number::from_f64(value).unwrap();
            assert_eq!(number.to_string(), text);
            assert!((number.to_f64() - value).abs() < f64::EPSILON);
        }
        assert_eq!(Number::from_f64(f64::NAN), None);
        assert!((number("123456789012345678901234567890").to_f64() / 1.234_567_890_123_456_8e29 - 1.0).abs() < 1e-15);
    }

    #[test]
    fn whole_numbers_are_found_in_every_direction() {
        for (text, floor, ceil, round) in [
            ("1.2", "1", "2", "1"),
            ("-1.2", "-2", "-1", "-1"),
            ("1.5", "1", "2", "2"),
            ("-1.5", "-2", "-1", "-2"),
            ("2.0", "2", "2", "2"),
            ("-2.411E247", "-2.411E+247", "-2.411E+247", "-2.411E+247"),
        ] {
            let number = number(text);
            assert_eq!(
                [number.floor(), number.ceil(), number.round()].map(|number| number.to_string()),
                [floor, ceil, round],
                "{text}"
            );
        }
        assert_eq!(number("2.888").truncated(2).to_string(), "2.88");
        assert_eq!(number("2.00").truncated(5).to_string(), "2");
        assert_eq!(number("1E2").to_int::<i64>(), Some(100));
        assert_eq!(number("1.5").to_int::<i64>(), None);
    }
}
