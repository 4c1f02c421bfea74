//! What is measured, by name: `qos0-pairs100`, `qos1-fanin100-1k-w1-tls`. A name says the quality of service, the shape,
//! and whatever is not usual: payloads of 1 KB instead of 64 bytes, one message in flight instead of 20, TLS instead of
//! TCP, a policy as people write them instead of one that allows everything. It does not know how it is measured.

use std::fmt;
use std::str::FromStr;

/// How the clients stand to each other: groups, and in each group publishers whose messages go to all its subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    name: &'static str,
    pub(crate) groups: usize,
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
}

const fn shape(name: &'static str, groups: usize, publishers: usize, subscribers: usize) -> Shape {
    Shape { name, groups, publishers, subscribers }
}

pub(crate) const PAIRS: Shape = shape("pairs100", 100, 1, 1);

const SHAPES: [Shape; 5] = [
    shape("pairs1", 1, 1, 1),
    PAIRS,
    shape("pairs1000", 1000, 1, 1),
    shape("fanin100", 1, 100, 1),
    shape("fanout1000", 1, 1, 1000),
];

/// Those that are run when none is named: where brokers differ, in less than five minutes.
const TELLING: [&str; 9] = [
    "qos0-pairs100",
    "qos1-pairs100",
    "qos0-fanin100",
    "qos0-fanout1000",
    "qos1-pairs100-1k",
    "qos0-pairs100-w1",
    "qos1-pairs100-w1",
    "qos0-pairs100-tls",
    "qos0-pairs100-policies",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are the columns of the measure, each usual or not")]
pub(crate) struct Row {
    pub(crate) qos: u8,
    pub(crate) shape: Shape,
    pub(crate) is_large: bool,
    pub(crate) is_single: bool,
    pub(crate) is_tls: bool,
    pub(crate) has_policies: bool,
}

impl Row {
    /// Bytes of a payload.
    pub(crate) fn size(self) -> usize {
        if self.is_large { 1024 } else { 64 }
    }

    /// Messages that each publisher has under way.
    pub(crate) fn window(self) -> u64 {
        if self.is_single { 1 } else { 20 }
    }
}

pub(crate) fn telling() -> Vec<Row> {
    TELLING.iter().filter_map(|name| name.parse().ok()).collect()
}

/// Every combination; policies where they are asked most, with 100 pairs and small payloads.
pub(crate) fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    let both = [false, true];
    for shape in SHAPES {
        for (qos, is_tls) in [(0, false), (1, false), (0, true), (1, true)] {
            for (is_large, is_single) in both.into_iter().flat_map(|large| both.map(|single| (large, single))) {
                let row = Row { qos, shape, is_large, is_single, is_tls, has_policies: false };
                rows.push(row);
                if shape == PAIRS && !is_large {
                    rows.push(Row { has_policies: true, ..row });
                }
            }
        }
    }
    rows
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "qos{}-{}", self.qos, self.shape.name)?;
        let flags = [self.is_large, self.is_single, self.is_tls, self.has_policies];
        flags.iter().zip(FLAGS).filter(|(is_set, _)| **is_set).try_for_each(|(_, flag)| write!(f, "-{flag}"))
    }
}

const FLAGS: [&str; 4] = ["1k", "w1", "tls", "policies"];

impl FromStr for Row {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let unknown = || {
            let shapes = SHAPES.map(|shape| shape.name).join(", ");
            let flags = FLAGS.map(|flag| format!("-{flag}")).join(", ");
            format!("`{name}` is no row; write qos0- or qos1-, then one of {shapes}, then any of {flags}")
        };
        let mut words = name.split('-');
        let qos = words.next().and_then(|word| ["qos0", "qos1"].iter().position(|qos| *qos == word));
        let named = words.next().and_then(|word| SHAPES.into_iter().find(|shape| shape.name == word));
        let (Some(qos), Some(shape)) = (qos, named) else { return Err(unknown()) };
        let mut set = [false; 4];
        for word in words {
            set[FLAGS.iter().position(|flag| *flag == word).ok_or_else(unknown)?] = true;
        }
        let [is_large, is_single, is_tls, has_policies] = set;
        Ok(Self { qos: u8::from(qos == 1), shape, is_large, is_single, is_tls, has_policies })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_name() {
        for row in all() {
            assert_eq!(row.to_string().parse(), Ok(row));
        }
        assert_eq!(telling().len(), TELLING.len());
    }

    #[test]
    fn an_unknown_row_is_told_what_there_is() {
        for name in ["qos2-pairs100", "qos0-pairs7", "qos0", "qos0-pairs100-udp"] {
            assert!(name.parse::<Row>().is_err_and(|error| error.contains("fanout1000")), "{name}");
        }
    }
}
