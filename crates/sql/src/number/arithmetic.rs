//! The four operations and the remainder, rounded half to even at 34 digits. Numbers that fit the machine take a short way;
//! the others go through 256 bits. What a result that is too large becomes is the caller's business.

use std::cmp::Ordering;

use super::{MAGNITUDES, Number, TOO_LONG, digits};

/// How far apart the leading digits of two numbers may stand and still be added: beyond, the lesser changes no digit.
const FAR: i32 = 36;

impl Number {
    /// The sum, or `None` if it is too large.
    pub(crate) fn add(self, other: Number) -> Option<Number> {
        if self.exponent == other.exponent {
            return rounded(self.coefficient + other.coefficient, self.exponent);
        }
        let (high, low) = if self.exponent > other.exponent { (self, other) } else { (other, self) };
        let distance = high.exponent - low.exponent;
        let scaled = high.times_power(distance.unsigned_abs());
        if let Some(sum) = scaled.and_then(|high| high.checked_add(low.coefficient)) {
            return rounded(sum, low.exponent);
        }
        // Here the higher one is the greater by far, or its coefficient would have fitted.
        if high.leading() - low.leading() > FAR {
            return Some(high);
        }
        let mut wide = Wide::from(high.coefficient.unsigned_abs());
        (0..distance).for_each(|_| wide.times_ten());
        let negative = high.coefficient < 0;
        let low_magnitude = low.coefficient.unsigned_abs();
        if negative == (low.coefficient < 0) {
            wide.add(low_magnitude);
        } else {
            wide.subtract(low_magnitude);
        }
        wide.rounded(negative, low.exponent)
    }

    /// The difference, or `None` if it is too large.
    pub(crate) fn subtract(self, other: Number) -> Option<Number> {
        self.add(other.negated())
    }

    /// The product, or `None` if it is too large.
    pub(crate) fn multiply(self, other: Number) -> Option<Number> {
        let exponent = self.exponent + other.exponent;
        if let Some(product) = self.coefficient.checked_mul(other.coefficient) {
            rounded(product, exponent)
        } else {
            let wide = Wide::product(self.coefficient.unsigned_abs(), other.coefficient.unsigned_abs());
            wide.rounded((self.coefficient < 0) != (other.coefficient < 0), exponent)
        }
    }

    /// The quotient to 34 digits, or `None` if there is none.
    pub(crate) fn divide(self, other: Number) -> Option<Number> {
        let (dividend, divisor) = (self.coefficient.unsigned_abs(), other.coefficient.unsigned_abs());
        let mut quotient = dividend.checked_div(divisor)?;
        let mut rest = dividend % divisor;
        let mut exponent = self.exponent - other.exponent;
        while rest != 0 && quotient < TOO_LONG / 10 {
            rest *= 10;
            quotient = quotient * 10 + rest / divisor;
            rest %= divisor;
            exponent -= 1;
        }
        let up = match (rest * 2).cmp(&divisor) {
            Ordering::Less => false,
            Ordering::Equal => quotient % 2 == 1,
            Ordering::Greater => true,
        };
        bounded((self.coefficient < 0) != (other.coefficient < 0), quotient + u128::from(up), exponent)
    }

    /// What a division to a whole number leaves, with the sign of the dividend, or `None` if the divisor is zero.
    pub(crate) fn remainder(self, other: Number) -> Option<Number> {
        let (dividend, divisor) = (self.coefficient.unsigned_abs(), other.coefficient.unsigned_abs());
        if divisor == 0 {
            return None;
        }
        let exponent = self.exponent.min(other.exponent);
        let distance = self.exponent.abs_diff(other.exponent);
        let rest = if self.exponent >= other.exponent {
            (0..distance).fold(dividend % divisor, |rest, _| rest * 10 % divisor)
        } else {
            match 10_u128.checked_pow(distance).and_then(|power| divisor.checked_mul(power)) {
                Some(divisor) => dividend % divisor,
                None => dividend,
            }
        };
        bounded(self.coefficient < 0, rest, exponent)
    }
}

fn rounded(coefficient: i128, exponent: i32) -> Option<Number> {
    let magnitude = coefficient.unsigned_abs();
    if magnitude < TOO_LONG {
        return bounded(coefficient < 0, magnitude, exponent);
    }
    Wide::from(magnitude).rounded(coefficient < 0, exponent)
}

/// A number of at most 34 digits, or 10 to the 34th, within the bounds of magnitude.
pub(super) fn bounded(negative: bool, mut magnitude: u128, mut exponent: i32) -> Option<Number> {
    if magnitude >= TOO_LONG {
        magnitude /= 10;
        exponent += 1;
    }
    let coefficient = i128::try_from(magnitude).ok()?;
    let coefficient = if negative { -coefficient } else { coefficient };
    // Few numbers are near the bounds, and counting digits takes longer than looking at the exponent.
    if (-900..=900).contains(&exponent) {
        return Some(Number { coefficient, exponent });
    }
    let leading = digits(magnitude) - 1 + exponent;
    if magnitude == 0 || leading < *MAGNITUDES.start() {
        return Some(Number { coefficient: 0, exponent: 0 });
    }
    (leading <= *MAGNITUDES.end()).then_some(Number { coefficient, exponent })
}

/// An integer of 256 bits, least limb first.
struct Wide([u64; 4]);

impl From<u128> for Wide {
    fn from(value: u128) -> Wide {
        Wide([low(value), low(value >> 64), 0, 0])
    }
}

impl Wide {
    fn product(one: u128, two: u128) -> Wide {
        let mut wide = Wide([0; 4]);
        for (i, one) in [low(one), low(one >> 64)].into_iter().enumerate() {
            let mut carry = 0_u128;
            for (j, two) in [low(two), low(two >> 64), 0].into_iter().enumerate() {
                let Some(limb) = wide.0.get_mut(i + j) else { continue };
                carry += u128::from(one) * u128::from(two) + u128::from(*limb);
                *limb = low(carry);
                carry >>= 64;
            }
        }
        wide
    }

    fn times_ten(&mut self) {
        let mut carry = 0_u128;
        for limb in &mut self.0 {
            carry += u128::from(*limb) * 10;
            *limb = low(carry);
            carry >>= 64;
        }
    }

    fn add(&mut self, value: u128) {
        let mut carry = 0_u128;
        for (limb, value) in self.0.iter_mut().zip(Wide::from(value).0) {
            carry += u128::from(*limb) + u128::from(value);
            *limb = low(carry);
            carry >>= 64;
        }
    }

    /// Takes away a value that is not greater.
    fn subtract(&mut self, value: u128) {
        let mut borrow = false;
        for (limb, value) in self.0.iter_mut().zip(Wide::from(value).0) {
            let (difference, under) = limb.overflowing_sub(value);
            let (difference, under_again) = difference.overflowing_sub(u64::from(borrow));
            *limb = difference;
            borrow = under || under_again;
        }
    }

    /// Divides by ten and gives what is left.
    fn over_ten(&mut self) -> u8 {
        let mut rest = 0_u128;
        for limb in self.0.iter_mut().rev() {
            rest = rest << 64 | u128::from(*limb);
            *limb = low(rest / 10);
            rest %= 10;
        }
        rest.to_le_bytes()[0]
    }

    fn rounded(mut self, negative: bool, mut exponent: i32) -> Option<Number> {
        let (mut digit, mut more) = (0, false);
        while self.magnitude().is_none_or(|magnitude| magnitude >= TOO_LONG) {
            more |= digit != 0;
            digit = self.over_ten();
            exponent += 1;
        }
        let magnitude = self.magnitude()?;
        let up = digit > 5 || (digit == 5 && (more || magnitude % 2 == 1));
        bounded(negative, magnitude + u128::from(up), exponent)
    }

    /// The value, if it fits.
    fn magnitude(&self) -> Option<u128> {
        let [first, second, third, fourth] = self.0;
        (third == 0 && fourth == 0).then_some(u128::from(second) << 64 | u128::from(first))
    }
}

/// The lower 64 bits.
#[expect(clippy::cast_possible_truncation, reason = "that is what it is for")]
fn low(value: u128) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::super::{Number, Spelling};

    fn number(text: &str) -> Number {
        Number::read(text, Spelling::Literal).unwrap()
    }

    fn check(operation: fn(Number, Number) -> Option<Number>, cases: &[(&str, &str, &str)]) {
        for (one, two, expected) in cases {
            let found = operation(number(one), number(two)).map_or("none".to_owned(), |found| found.to_string());
            assert_eq!(found, *expected, "{one}, {two}");
        }
    }

    const NINES: &str = "9999999999999999999999999999999999";

    #[test]
    fn sums_are_exact_to_34_digits() {
        check(
            Number::add,
            &[
                ("1", "2", "3"),
                ("10.0", "2", "12.0"),
                ("0.1", "0.2", "0.3"),
                ("-1", "1", "0"),
                (NINES, "1", "1.000000000000000000000000000000000E+34"),
                (NINES, "0.5", "1.000000000000000000000000000000000E+34"),
                (NINES, "0.4", NINES),
                ("1E30", "1E-30", "1E+30"),
                ("584", "5647975022802650632952280772685512E-55", "584.0000000000000000000005647975023"),
                ("1", "-1E-36", "1.000000000000000000000000000000000"),
                ("-1", "1E-40", "-1"),
                ("1E30", "0.001", "1000000000000000000000000000000.001"),
                ("1E36", "-1", "1.000000000000000000000000000000000E+36"),
                ("1E38", "1E33", "1.00001E+38"),
                ("1E39", "-1E33", "9.99999E+38"),
                ("1E300", "1", "1E+300"),
                ("1E300", "-1E300", "0E+300"),
                ("0E300", "1", "1"),
                ("9E999", "9E999", "none"),
            ],
        );
    }

    #[test]
    fn products_and_quotients_are_rounded_half_to_even() {
        check(
            Number::multiply,
            &[
                ("1.5", "2", "3.0"),
                ("-3", "0", "0"),
                (NINES, NINES, "9.999999999999999999999999999999998E+67"),
                ("1E-999", "0.1", "0"),
                ("1E999", "10", "none"),
            ],
        );
        check(
            Number::divide,
            &[
                ("10", "4", "2.5"),
                ("10.0", "2", "5.0"),
                ("43", "9", "4.777777777777777777777777777777778"),
                ("1", "3", "0.3333333333333333333333333333333333"),
                ("-2", "3", "-0.6666666666666666666666666666666667"),
                ("1", "0", "none"),
                ("0", "5", "0"),
                ("1", "1E34", "1E-34"),
            ],
        );
    }

    #[test]
    fn a_remainder_has_the_sign_of_the_dividend() {
        check(
            Number::remainder,
            &[
                ("8", "3", "2"),
                ("-8", "3", "-2"),
                ("8", "-3", "2"),
                ("5.5", "2", "1.5"),
                ("1E300", "7", "1"),
                ("7", "1E300", "7"),
                ("1", "0", "none"),
            ],
        );
    }

    #[test]
    fn results_are_those_of_another_implementation() {
        for line in include_str!("vectors.tsv").lines().filter(|line| !line.starts_with('#')) {
            let [operation, one, two, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let (one, two) = (number(one), number(two));
            let found = match operation {
                "+" => one.add(two),
                "-" => one.subtract(two),
                "*" => one.multiply(two),
                "/" => one.divide(two),
                _ => one.remainder(two),
            };
            let same = found.map(|found| found.compare(number(expected)));
            assert_eq!(same, Some(std::cmp::Ordering::Equal), "{line} found {found:?}");
        }
    }
}
