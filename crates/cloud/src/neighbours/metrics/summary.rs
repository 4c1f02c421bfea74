//! What is kept of the values of one period: how many, their sum, the least and the greatest, and the values themselves as far
//! as there is room, for percentiles. And the statistics that can be asked of that. Whose values they are is unknown here.

use store::{Fault, Record};

/// Distinct values that are kept of one period. Beyond them neighbours are put together, and percentiles are no longer exact.
const DISTINCT: usize = 512;

/// The values of a period.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Summary {
    pub(crate) count: f64,
    pub(crate) sum: f64,
    pub(crate) minimum: f64,
    pub(crate) maximum: f64,
    /// Values in ascending order with how often each came; nothing once a set came whose values are not known.
    values: Option<Vec<(f64, f64)>>,
}

impl Summary {
    /// One value that came so often.
    pub(crate) fn of(value: f64, count: f64) -> Self {
        let sum = value * count;
        Self { count, sum, minimum: value, maximum: value, values: Some(vec![(value, count)]) }
    }

    /// A set of which only this is known.
    pub(crate) fn of_set(count: f64, sum: f64, minimum: f64, maximum: f64) -> Self {
        // A set of equal values is known whole, as AWS says.
        let values = (minimum.total_cmp(&maximum).is_eq()).then(|| vec![(minimum, count)]);
        Self { count, sum, minimum, maximum, values }
    }

    /// Puts other values of the same period to these.
    pub(crate) fn add(&mut self, other: &Self) {
        if other.count <= 0.0 {
            return;
        }
        if self.count <= 0.0 {
            self.clone_from(other);
            return;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
        let values = self.values.take().zip(other.values.as_deref());
        self.values = values.map(|(mine, others)| merged(mine, others));
    }

    /// A statistic; nothing if what would have to be known is not.
    pub(crate) fn statistic(&self, statistic: Statistic) -> Option<f64> {
        if self.count <= 0.0 {
            return None;
        }
        match statistic {
            Statistic::SampleCount => Some(self.count),
            Statistic::Sum => Some(self.sum),
            Statistic::Average => Some(self.sum / self.count),
            Statistic::Minimum => Some(self.minimum),
            Statistic::Maximum => Some(self.maximum),
            Statistic::Percentile(percent) => Some(percentile(self.values.as_deref()?, self.count, percent)),
        }
    }
}

/// Two lists in order become one.
fn merged(mut mine: Vec<(f64, f64)>, others: &[(f64, f64)]) -> Vec<(f64, f64)> {
    for (value, count) in others {
        match mine.binary_search_by(|(known, _)| known.total_cmp(value)) {
            Ok(at) => mine[at].1 += count,
            Err(at) => mine.insert(at, (*value, *count)),
        }
    }
    if mine.len() > DISTINCT { thinned(&mine) } else { mine }
}

/// Neighbours put together as long as they are few: afterwards there are at most half as many as there may be, and none stands
/// for more than a small share of all, unless it is one value.
fn thinned(values: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let total: f64 = values.iter().map(|(_, count)| count).sum();
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let most = 4.0 * total / DISTINCT as f64;
    let mut thinned: Vec<(f64, f64)> = Vec::with_capacity(DISTINCT);
    for (value, count) in values {
        match thinned.last_mut() {
            Some((before, known)) if *known + count <= most => {
                *before += (value - *before) * count / (*known + count);
                *known += count;
            }
            _ => thinned.push((*value, *count)),
        }
    }
    thinned
}

/// The value below which so many percent lie.
// unconfirmed: AWS's way between two values; here the first value at which the share is reached, as it says of "nearest rank".
fn percentile(values: &[(f64, f64)], count: f64, percent: f64) -> f64 {
    let rank = count * percent / 100.0;
    let mut passed = 0.0;
    for (value, count) in values {
        passed += count;
        if passed >= rank {
            return *value;
        }
    }
    values.last().map_or(0.0, |(value, _)| *value)
}

/// What can be asked of the values of a period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Statistic {
    SampleCount,
    Sum,
    Average,
    Minimum,
    Maximum,
    /// Between 0 and 100.
    Percentile(f64),
}

impl Statistic {
    /// The statistic of this name; none if AWS or this house has none.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let known = match name {
            "SampleCount" => Self::SampleCount,
            "Sum" => Self::Sum,
            "Average" => Self::Average,
            "Minimum" => Self::Minimum,
            "Maximum" => Self::Maximum,
            _ => {
                let digits = name.strip_prefix('p')?;
                let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
                let percent: f64 = digits.parse().ok().filter(|_| is_number)?;
                return (0.0..=100.0).contains(&percent).then_some(Self::Percentile(percent));
            }
        };
        Some(known)
    }
}

/// Numbers one after the other, eight bytes each.
impl Record for Summary {
    const VERSION: u8 = 1;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        out.push(u8::from(self.values.is_some()));
        let totals = [self.count, self.sum, self.minimum, self.maximum];
        let values = self.values.iter().flatten().flat_map(|(value, count)| [*value, *count]);
        totals.into_iter().chain(values).for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
        Ok(())
    }

    fn decode(_: u8, bytes: &[u8]) -> Result<Self, Fault> {
        let short = || Fault::new("the values of a metric are cut short");
        let (known, bytes) = bytes.split_first().ok_or_else(short)?;
        let (numbers, []) = bytes.as_chunks::<8>() else { return Err(short()) };
        let numbers: Vec<f64> = numbers.iter().map(|number| f64::from_be_bytes(*number)).collect();
        let ([count, sum, minimum, maximum], values) = numbers.split_first_chunk().ok_or_else(short)?;
        let (values, []) = values.as_chunks::<2>() else { return Err(short()) };
        let values = (*known == 1).then(|| values.iter().map(|[value, count]| (*value, *count)).collect());
        Ok(Self { count: *count, sum: *sum, minimum: *minimum, maximum: *maximum, values })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(values: &[f64]) -> Summary {
        let mut summary = Summary::default();
        for value in values {
            summary.add(&Summary::of(*value, 1.0));
        }
        summary
    }

    #[test]
    fn statistics_are_those_of_the_values() {
        let summary = all(&[4.0, 1.0, 3.0, 2.0, 2.0]);
        let ask = |name: &str| summary.statistic(Statistic::of_name(name).unwrap()).unwrap();
        let cases = [
            ("SampleCount", 5.0),
            ("Sum", 12.0),
            ("Average", 2.4),
            ("Minimum", 1.0),
            ("Maximum", 4.0),
            ("p0", 1.0),
            ("p50", 2.0),
            ("p80", 3.0),
            ("p99.9", 4.0),
            ("p100", 4.0),
        ];
        for (name, expected) in cases {
            assert!((ask(name) - expected).abs() < 1e-9, "{name}: {}", ask(name));
        }
        assert_eq!(Summary::default().statistic(Statistic::Sum), None);
    }

    #[test]
    fn names_that_are_no_statistic_are_known_as_such() {
        for name in ["", "p", "p101", "p-1", "pinf", "average", "tm99", "p1e1"] {
            assert_eq!(Statistic::of_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_set_whose_values_are_not_known_has_no_percentiles() {
        let mut summary = all(&[1.0, 2.0]);
        summary.add(&Summary::of_set(2.0, 6.0, 3.0, 3.0));
        assert_eq!(summary.statistic(Statistic::Percentile(100.0)), Some(3.0));
        summary.add(&Summary::of_set(2.0, 6.0, 2.0, 4.0));
        assert_eq!(summary.statistic(Statistic::Percentile(50.0)), None);
        assert_eq!(summary.statistic(Statistic::Sum), Some(15.0));
    }

    #[test]
    fn many_values_take_bounded_room_and_percentiles_stay_close() {
        let values: Vec<f64> = (0..10_000).map(f64::from).collect();
        let summary = all(&values);
        let mut bytes = Vec::new();
        summary.encode(&mut bytes).unwrap();
        assert!(bytes.len() <= 1 + 8 * (4 + 2 * DISTINCT), "{}", bytes.len());
        let median = summary.statistic(Statistic::Percentile(50.0)).unwrap();
        assert!((median - 5_000.0).abs() < 200.0, "{median}");
        assert_eq!(summary.statistic(Statistic::Maximum), Some(9_999.0));
    }

    #[test]
    fn what_is_cut_short_is_a_fault() {
        let mut bytes = Vec::new();
        all(&[1.0, 2.0]).encode(&mut bytes).unwrap();
        for length in 0..bytes.len() {
            let whole = length == 33 || length == 49;
            assert_eq!(Summary::decode(1, &bytes[..length]).is_ok(), whole, "{length}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(values in prop::collection::vec(-1e6_f64..1e6, 0..20)) {
            let summary = all(&values);
            let mut bytes = Vec::new();
            summary.encode(&mut bytes).unwrap();
            prop_assert_eq!(Summary::decode(1, &bytes).unwrap(), summary);
        }
    }
}
