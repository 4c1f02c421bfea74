//! Equality of JSON numbers by value, on their text: exact for integers of any size, and for 1, 1.0, 1e0 and 10E-1.
//!
//! It does not know binary floating point, so no two different decimals are ever equal.

/// Whether two texts are JSON numbers of the same value.
pub(crate) fn equal(one: &[u8], two: &[u8]) -> bool {
    match (Decimal::read(one), Decimal::read(two)) {
        (Some(one), Some(two)) => one == two,
        _ => false,
    }
}

/// A number as 0.DIGITS times ten to the power, where the digits neither begin nor end with 0; zero has none.
struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    power: i64,
}

impl<'a> Decimal<'a> {
    /// Reads a JSON number; `None` for any other text, and for an exponent beyond 18 digits, which has no equal but
    /// its own text.
    fn read(text: &'a [u8]) -> Option<Decimal<'a>> {
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        if !text.first()?.is_ascii_digit() {
            return None;
        }
        let (mantissa, exponent) = split(text, |byte| byte | 0x20 == b'e');
        let (whole, fraction) = split(mantissa, |byte| byte == b'.');
        Decimal::trimmed(negative, whole, fraction).scaled(exponent)
    }

    fn trimmed(negative: bool, whole: &'a [u8], fraction: &'a [u8]) -> Decimal<'a> {
        let leading = zeros(whole.iter());
        let whole = &whole[leading..];
        let fraction = &fraction[..fraction.len() - zeros(fraction.iter().rev())];
        if !whole.is_empty() {
            let power = i64::try_from(whole.len()).unwrap_or(i64::MAX);
            let kept = if fraction.is_empty() { whole.len() - zeros(whole.iter().rev()) } else { whole.len() };
            return Decimal { negative, whole: &whole[..kept], fraction, power };
        }
        let leading = zeros(fraction.iter());
        let power = i64::try_from(leading).map_or(0, i64::wrapping_neg);
        Decimal { negative, whole, fraction: &fraction[leading..], power }
    }

    fn scaled(self, exponent: &[u8]) -> Option<Decimal<'a>> {
        if self.whole.is_empty() && self.fraction.is_empty() {
            return Some(Decimal { negative: false, power: 0, ..self });
        }
        if exponent.is_empty() {
            return Some(self);
        }
        let exponent: i64 = std::str::from_utf8(exponent).ok()?.parse().ok()?;
        Some(Decimal { power: self.power.checked_add(exponent)?, ..self })
    }

    fn digits(&self) -> impl Iterator<Item = &u8> {
        self.whole.iter().chain(self.fraction)
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.negative == other.negative && self.power == other.power && self.digits().eq(other.digits())
    }
}

/// What stands before and after the first byte that satisfies `is`.
fn split(text: &[u8], is: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    match text.iter().position(|&byte| is(byte)) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[]),
    }
}

fn zeros<'a>(digits: impl Iterator<Item = &'a u8>) -> usize {
    digits.take_while(|&&digit| digit == b'0').count()
}

#[cfg(test)]
mod tests {
    use super::equal;

    #[test]
    fn numbers_compare_by_value_and_exactly() {
        for (one, two, same) in [
            ("1", "1.0", true),
            ("1", "1e0", true),
            ("1", "10E-1", true),
            ("100", "1e+2", true),
            ("0.001", "1e-3", true),
            ("120.50", "1205e-1", true),
            ("0", "-0.0e9", true),
            ("0e99999999999999999999", "0", true),
            ("1", "-1", false),
            ("1", "10", false),
            ("1.01", "1.1", false),
            ("0.1", "0.01", false),
            ("10.1", "1.1", false),
            ("9007199254740993", "9007199254740992", false),
            ("123456789012345678901234567890", "123456789012345678901234567890.0", true),
            ("0.1", "0.1000000000000000055511151231257827", false),
            ("1e99999999999999999999", "1e99999999999999999998", false),
            ("1", "true", false),
            ("\"1\"", "1", false),
            ("", "0", false),
        ] {
            assert_eq!(equal(one.as_bytes(), two.as_bytes()), same, "{one} and {two}");
            assert_eq!(equal(two.as_bytes(), one.as_bytes()), same, "{two} and {one}");
        }
    }
}
