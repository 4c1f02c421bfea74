//! DynamoDB's numbers: decimal, of up to 38 digits, from 1E-130 to below 1E+126. Read from any notation, told in plain
//! digits, added exactly, and written as bytes that sort as the numbers do. Knows nothing of items.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// The most significant digits.
const MOST_DIGITS: u32 = 38;
/// The power of ten of the first digit lies within these.
const POWERS: std::ops::RangeInclusive<i32> = -130..=125;
/// What sorts after every byte of a negative number's digits: of two that begin alike the longer is less.
const PAST_NEGATIVE: u8 = 0xFF;

/// A number, in the one form it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Number {
    is_negative: bool,
    /// The significant digits, without zeros at the end; 0 is zero.
    digits: u128,
    /// The power of ten of the last digit; 0 for zero.
    power: i32,
}

/// Why a text is no number, or a sum none that can be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotANumber {
    /// It is not written as one.
    Malformed,
    /// It has more than 38 significant digits.
    TooPrecise,
    /// It is too great, or the sum of two would need more than 38 digits.
    Overflow,
    /// It is too near to zero.
    Underflow,
}

impl NotANumber {
    /// As DynamoDB says it.
    pub(crate) fn message(self, text: &str) -> String {
        match self {
            Self::Malformed => format!("The parameter cannot be converted to a numeric value: {text}"),
            Self::TooPrecise => "Attempting to store more than 38 significant digits in a Number".to_owned(),
            Self::Overflow => {
                "Number overflow. Attempting to store a number with magnitude larger than supported range".to_owned()
            }
            Self::Underflow => {
                "Number underflow. Attempting to store a number with magnitude smaller than supported range".to_owned()
            }
        }
    }
}

/// What is written, before it is looked at as a number.
#[derive(Default)]
struct Written {
    is_negative: bool,
    digits: u128,
    /// How many digits of `digits` there are, zeros at the end included.
    count: u32,
    /// Zeros seen since, which count only if another digit follows.
    zeros: u32,
    /// How many of all digits stand after the point.
    fraction: i32,
    has_digits: bool,
    is_too_precise: bool,
}

impl Written {
    fn digit(&mut self, digit: u8, is_fraction: bool) {
        self.has_digits = true;
        self.fraction = self.fraction.saturating_add(i32::from(is_fraction));
        if digit == 0 {
            self.zeros = self.zeros.saturating_add(u32::from(self.count > 0));
            return;
        }
        self.count = self.count.saturating_add(self.zeros).saturating_add(1);
        if self.count > MOST_DIGITS {
            self.is_too_precise = true;
        } else {
            self.digits = self.digits * ten_to(self.zeros + 1) + u128::from(digit);
        }
        self.zeros = 0;
    }
}

impl FromStr for Number {
    type Err = NotANumber;

    fn from_str(text: &str) -> Result<Self, NotANumber> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
            None => (text, 0),
        };
        let mut written = Written { is_negative: mantissa.starts_with('-'), ..Written::default() };
        let mut is_fraction = false;
        for byte in mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa).bytes() {
            match byte {
                b'0'..=b'9' => written.digit(byte - b'0', is_fraction),
                b'.' if !is_fraction => is_fraction = true,
                _ => return Err(NotANumber::Malformed),
            }
        }
        if !written.has_digits {
            return Err(NotANumber::Malformed);
        }
        if written.is_too_precise {
            return Err(NotANumber::TooPrecise);
        }
        let zeros = i32::try_from(written.zeros).unwrap_or(i32::MAX);
        let power = exponent.saturating_sub(written.fraction).saturating_add(zeros);
        Self::of(written.is_negative, written.digits, power)
    }
}

/// The digits of an exponent; one beyond all bounds is still an exponent.
fn read_exponent(text: &str) -> Result<i32, NotANumber> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotANumber::Malformed);
    }
    // Half of what fits, so that what the mantissa adds to it fits as well.
    let value = digits.parse().unwrap_or(i32::MAX).min(i32::MAX / 2);
    Ok(if is_negative { -value } else { value })
}

fn ten_to(power: u32) -> u128 {
    10_u128.pow(power)
}

/// How many digits; none for zero.
fn count(digits: u128) -> u32 {
    digits.checked_ilog10().map_or(0, |log| log + 1)
}

impl Number {
    /// The number `digits` × 10^`power`, if it is one that can be stored.
    fn of(is_negative: bool, mut digits: u128, mut power: i32) -> Result<Self, NotANumber> {
        if digits == 0 {
            return Ok(Self::default());
        }
        while digits.is_multiple_of(10) {
            digits /= 10;
            power = power.saturating_add(1);
        }
        let number = Self { is_negative, digits, power };
        match number.first_power() {
            _ if count(digits) > MOST_DIGITS => Err(NotANumber::Overflow),
            first if first > *POWERS.end() => Err(NotANumber::Overflow),
            first if first < *POWERS.start() => Err(NotANumber::Underflow),
            _ => Ok(number),
        }
    }

    /// The power of ten of the first digit.
    fn first_power(self) -> i32 {
        self.power.saturating_add(i32::try_from(count(self.digits)).unwrap_or_default()) - 1
    }

    /// The digits with zeros at the end until there are 38.
    fn wide(self) -> u128 {
        self.digits * ten_to(MOST_DIGITS - count(self.digits).min(MOST_DIGITS))
    }

    /// The other way round.
    pub(crate) fn negated(self) -> Self {
        Self { is_negative: !self.is_negative && self.digits != 0, ..self }
    }

    /// The exact sum. One that needs more than 38 digits overflows, as it does with DynamoDB.
    pub(crate) fn plus(self, other: Self) -> Result<Self, NotANumber> {
        if self.digits == 0 || other.digits == 0 {
            return Ok(if self.digits == 0 { other } else { self });
        }
        let (high, low) = if self.power >= other.power { (self, other) } else { (other, self) };
        let shift = high.power.abs_diff(low.power);
        // The last digit of `low` stays the last of the sum, so one shifted out of reach makes too many digits.
        let scale = 10_u128.checked_pow(shift).ok_or(NotANumber::Overflow)?;
        let high_digits = high.digits.checked_mul(scale).ok_or(NotANumber::Overflow)?;
        if high.is_negative == low.is_negative {
            let sum = high_digits.checked_add(low.digits).ok_or(NotANumber::Overflow)?;
            return Self::of(high.is_negative, sum, low.power);
        }
        let is_negative = if high_digits >= low.digits { high.is_negative } else { low.is_negative };
        Self::of(is_negative, high_digits.abs_diff(low.digits), low.power)
    }

    /// How many bytes it counts for in an item: a byte, one for each pair of digits beside the point, one for a minus.
    pub(crate) fn size(self) -> usize {
        if self.digits == 0 {
            return 1;
        }
        let first = self.first_power().div_euclid(2);
        let pairs = first - self.power.div_euclid(2) + 1;
        1 + usize::try_from(pairs).unwrap_or_default() + usize::from(self.is_negative)
    }

    /// Bytes that sort as the numbers do: the sign, the power of ten, the digits two by two. What is below zero has all
    /// of it the other way round.
    pub(crate) fn sort_bytes(self) -> Vec<u8> {
        if self.digits == 0 {
            return vec![0x80];
        }
        let power = u8::try_from(self.first_power() - POWERS.start()).unwrap_or(u8::MAX);
        let mut bytes = vec![0xC0, power];
        let mut digits = self.wide();
        for pair in (0..MOST_DIGITS / 2).rev() {
            if digits == 0 {
                break;
            }
            let unit = ten_to(pair * 2);
            // One more than the pair, so that no byte is zero.
            bytes.push(u8::try_from(digits / unit).unwrap_or_default() + 1);
            digits %= unit;
        }
        if self.is_negative {
            for byte in &mut bytes {
                *byte = !*byte;
            }
            bytes.push(PAST_NEGATIVE);
        }
        bytes
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| i32::from(number.digits != 0) * if number.is_negative { -1 } else { 1 };
        let size = |number: &Self| (number.first_power(), number.wide());
        match (sign(self), sign(other)) {
            (1, 1) => size(self).cmp(&size(other)),
            (-1, -1) => size(other).cmp(&size(self)),
            (one, two) => one.cmp(&two),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Plain digits, whatever notation it came in.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits.to_string();
        f.write_str(if self.is_negative { "-" } else { "" })?;
        if let Ok(zeros) = usize::try_from(self.power) {
            return write!(f, "{digits}{:0<zeros$}", "");
        }
        let fraction = usize::try_from(self.power.unsigned_abs()).unwrap_or_default();
        match digits.len().checked_sub(fraction).filter(|whole| *whole > 0) {
            Some(whole) => write!(f, "{}.{}", &digits[..whole], &digits[whole..]),
            None => write!(f, "0.{digits:0>fraction$}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    /// As it is told, or why it is none.
    fn told(text: &str) -> Result<String, NotANumber> {
        text.parse().map(|number: Number| number.to_string())
    }

    #[test]
    fn a_number_is_told_in_plain_digits_whatever_its_notation() {
        for (text, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("0e999999999999", "0"),
            ("0.000", "0"),
            ("00042", "42"),
            ("+3", "3"),
            (".123", "0.123"),
            ("5.", "5"),
            ("1.5E2", "150"),
            ("1e+5", "100000"),
            ("-0015.789e6", "-15789000"),
            ("-17.4E37", "-174000000000000000000000000000000000000"),
            ("-00001.23456789012345678901234567890123456780000", "-1.2345678901234567890123456789012345678"),
            ("100.250", "100.25"),
            ("0.1e126", &format!("1{}", "0".repeat(125))),
            ("1e-130", &format!("0.{}1", "0".repeat(129))),
            ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
        ] {
            assert_eq!(told(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_says_why() {
        for text in
            ["", "-", ".", "e5", "1e", "1e+", "--1", "1-", " 1", "1 ", "NaN", "Infinity", "0x1", "1.2.3", "1e5.0", "٣"]
        {
            assert_eq!(told(text), Err(NotANumber::Malformed), "{text}");
        }
        assert_eq!(told("123456789012345678901234567890123456789"), Err(NotANumber::TooPrecise));
        assert_eq!(told("10000000000000000000000000000000000000.01"), Err(NotANumber::TooPrecise));
        for text in ["1e126", "11e125", "-1e126", "1e99999999999999999999"] {
            assert_eq!(told(text), Err(NotANumber::Overflow), "{text}");
        }
        for text in ["1e-131", "0.9e-130", "-1e-131", "1e-99999999999999999999"] {
            assert_eq!(told(text), Err(NotANumber::Underflow), "{text}");
        }
    }

    #[test]
    fn sums_are_exact_or_refused() {
        for (one, two, sum) in [
            ("1", "10000000000000000000000", "10000000000000000000001"),
            ("10000000000000000000000", "-1", "9999999999999999999999"),
            ("0.1", "0.2", "0.3"),
            ("5", "-5", "0"),
            ("-5", "3", "-2"),
            ("0", "-7", "-7"),
            ("9e125", "9e124", &format!("99{}", "0".repeat(124))),
            ("1e-130", "-1e-130", "0"),
            ("1e38", "-1", &"9".repeat(38)),
        ] {
            assert_eq!(number(one).plus(number(two)).unwrap().to_string(), sum, "{one} + {two}");
        }
        for (one, two) in [("9e125", "9e125"), ("1e50", "1"), ("1e50", "-1"), ("1e125", "1e-130"), ("1e39", "-1")] {
            assert_eq!(number(one).plus(number(two)), Err(NotANumber::Overflow), "{one} + {two}");
        }
    }

    #[test]
    fn a_number_counts_a_byte_for_each_pair_of_digits() {
        for (text, size) in
            [("0", 1), ("1", 2), ("12", 2), ("123", 3), ("-1", 3), ("100", 2), ("1.5", 3), ("0.15", 2), ("0.001", 2)]
        {
            assert_eq!(number(text).size(), size, "{text}");
        }
    }

    /// Numbers that are near one another often enough for their order to be put to the test.
    fn numbers() -> impl Strategy<Value = Number> {
        let digits = prop_oneof![0_u128..200, 0..10_u128.pow(38), Just(10_u128.pow(37)), Just(10_u128.pow(38) - 1)];
        let power = prop_oneof![-3_i32..3, -167_i32..126];
        (any::<bool>(), digits, power).prop_filter_map("cannot be stored", |(sign, digits, power)| {
            Number::of(sign && digits != 0, digits, power).ok()
        })
    }

    proptest! {
        #[test]
        fn bytes_sort_as_numbers_do(one in numbers(), two in numbers()) {
            prop_assert_eq!(one.sort_bytes().cmp(&two.sort_bytes()), one.cmp(&two));
            prop_assert!(!one.sort_bytes().is_empty());
        }

        #[test]
        fn the_order_is_that_of_the_difference(one in numbers(), two in numbers()) {
            if let Ok(difference) = one.plus(two.negated()) {
                prop_assert_eq!(difference.cmp(&Number::default()), one.cmp(&two));
                prop_assert_eq!(difference.plus(two), Ok(one));
            }
        }

        #[test]
        fn what_is_told_reads_as_the_same_number(number in numbers()) {
            prop_assert_eq!(number.to_string().parse(), Ok(number));
            let sign = if number.is_negative { "-" } else { "" };
            let scientific = format!("{sign}{}e{}", number.digits, number.power);
            prop_assert_eq!(scientific.parse(), Ok(number));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-+.eE0-9x]{0,60}") {
            if let Ok(number) = text.parse::<Number>() {
                prop_assert_eq!(number.to_string().parse(), Ok(number));
            }
        }
    }
}
