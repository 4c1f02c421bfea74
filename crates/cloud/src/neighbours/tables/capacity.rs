//! What reads and writes cost, as `ReturnConsumedCapacity` tells it. Nothing here is limited by it.

use serde_json::{Map, Value};
use wire::dynamodb::{Capacity, ConsumedCapacity};

use super::record::Cost;

/// Bytes of one unit of reading, and of writing.
const READ_UNIT: usize = 4096;
const WRITE_UNIT: usize = 1024;

/// Units of a table and of its indexes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Units {
    pub(crate) table: f64,
    /// By name, with whether it is local.
    pub(crate) indexes: Vec<(String, bool, f64)>,
}

/// Whether units were for reading or for writing; transactions say so beside the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Reading,
    Writing,
}

/// Units for reading so many bytes; half as many where an older state would do.
pub(crate) fn reading(bytes: usize, is_consistent: bool) -> f64 {
    whole(bytes, READ_UNIT) * if is_consistent { 1.0 } else { 0.5 }
}

/// Units for writing so many bytes.
fn writing(bytes: usize) -> f64 {
    whole(bytes, WRITE_UNIT)
}

/// How many units hold so many bytes, one at least.
fn whole(bytes: usize, unit: usize) -> f64 {
    let units = bytes.div_ceil(unit).max(1);
    u32::try_from(units).map_or(f64::INFINITY, f64::from)
}

impl Units {
    /// Those of a table alone.
    pub(crate) fn of_table(units: f64) -> Self {
        Self { table: units, indexes: Vec::new() }
    }

    /// What a write has cost.
    pub(crate) fn of_write(cost: &Cost) -> Self {
        let indexes = cost.indexes.iter().map(|(name, is_local, written)| {
            (name.clone(), *is_local, written.iter().map(|bytes| writing(*bytes)).sum())
        });
        Self { table: writing(cost.item), indexes: indexes.collect() }
    }

    /// The same so many times.
    pub(crate) fn times(mut self, factor: f64) -> Self {
        self.table *= factor;
        self.indexes.iter_mut().for_each(|(.., units)| *units *= factor);
        self
    }

    /// Adds what else the same request cost.
    pub(crate) fn add(&mut self, other: Self) {
        self.table += other.table;
        for (name, is_local, units) in other.indexes {
            match self.indexes.iter_mut().find(|(known, ..)| *known == name) {
                Some((.., sum)) => *sum += units,
                None => self.indexes.push((name, is_local, units)),
            }
        }
    }

    fn sum(&self) -> f64 {
        self.table + self.indexes.iter().map(|(.., units)| units).sum::<f64>()
    }

    /// As the request wants to be told, if it does.
    pub(crate) fn told(&self, wanted: Option<&str>, table: &str) -> Option<ConsumedCapacity> {
        let is_detailed = match wanted {
            Some("INDEXES") => true,
            Some("TOTAL") => false,
            _ => return None,
        };
        let told = ConsumedCapacity::new().with_table_name(table).with_capacity_units(self.sum());
        Some(if is_detailed { self.detailed(told, None) } else { told })
    }

    /// The same for a transaction, which says what it was for.
    pub(crate) fn told_for(&self, wanted: Option<&str>, table: &str, purpose: Purpose) -> Option<ConsumedCapacity> {
        let told = Self { table: self.table, indexes: Vec::new() }.told(wanted, table)?;
        let sum = self.sum();
        let told = told.with_capacity_units(sum);
        let told = match purpose {
            Purpose::Reading => told.with_read_capacity_units(sum),
            Purpose::Writing => told.with_write_capacity_units(sum),
        };
        Some(if wanted == Some("INDEXES") { self.detailed(told, Some(purpose)) } else { told })
    }

    fn detailed(&self, told: ConsumedCapacity, purpose: Option<Purpose>) -> ConsumedCapacity {
        let told = told.with_table(capacity(self.table, purpose));
        let those = |are_local: bool| -> Map<String, Value> {
            let those = self.indexes.iter().filter(|(_, is_local, _)| *is_local == are_local);
            those.map(|(name, _, units)| (name.clone(), capacity(*units, purpose).into())).collect()
        };
        let told = match those(true) {
            local if local.is_empty() => told,
            local => told.with_local_secondary_indexes(local),
        };
        match those(false) {
            global if global.is_empty() => told,
            global => told.with_global_secondary_indexes(global),
        }
    }
}

fn capacity(units: f64, purpose: Option<Purpose>) -> Capacity {
    let capacity = Capacity::new().with_capacity_units(units);
    match purpose {
        None => capacity,
        Some(Purpose::Reading) => capacity.with_read_capacity_units(units),
        Some(Purpose::Writing) => capacity.with_write_capacity_units(units),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_whole_and_halves_where_an_older_state_will_do() {
        for (bytes, read, eventually, write) in
            [(0, 1.0, 0.5, 1.0), (1024, 1.0, 0.5, 1.0), (1025, 1.0, 0.5, 2.0), (4097, 2.0, 1.0, 5.0)]
        {
            assert_eq!((reading(bytes, true), reading(bytes, false), writing(bytes)), (read, eventually, write));
        }
    }
}
