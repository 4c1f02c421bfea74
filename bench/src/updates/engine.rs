//! The raw rate that the whole server is divided by: the same records under the same keys, in commits as large as
//! there are clients, one after the other, each durable before the next. No operation, no socket, no policy.

use std::path::Path;
use std::time::{Duration, Instant};

use shadow::Limits;
use store::{Fault, Key, Options, Store, Table};

use super::documents::{FIRST, REPORTS, thing};
use crate::Failure;

const SHADOWS: Table<Vec<u8>> = Table::new("shadows");

pub(crate) struct Engine {
    store: Store,
    keys: Vec<Key>,
    record: Vec<u8>,
}

impl Engine {
    /// A store of its own, with a key for each of `things`.
    pub(crate) fn open(path: &Path, things: usize) -> Result<Self, Failure> {
        let store = Store::open(path, &Options::default())?;
        let keys = (0..things).map(|number| Key::of(["000000000000", "us-east-1", &thing(number), ""])).collect();
        let update = |document, text| {
            let updated = shadow::update(document, text, 1_700_000_000, &Limits::default());
            updated.map_err(|refused| format!("the document is refused: {}", refused.message))
        };
        let first = update(None, FIRST)?.record;
        let record = update(Some(shadow::Document::decode(&first)?), REPORTS[0])?.record;
        Ok(Self { store, keys, record })
    }

    /// Bytes of the record that stands for a shadow.
    pub(crate) fn record_bytes(&self) -> usize {
        self.record.len()
    }

    /// Records per second in commits of `size`.
    pub(crate) fn updates_per_second(&self, size: usize, counted: Duration) -> Result<f64, Fault> {
        let (start, mut updates) = (Instant::now(), 0_u32);
        while start.elapsed() < counted {
            let keys = self.keys.iter().take(size);
            self.store.write(|tx| keys.clone().try_for_each(|key| tx.put(&SHADOWS, key, &self.record)))?;
            updates += u32::try_from(size).unwrap_or(u32::MAX);
        }
        Ok(f64::from(updates) / start.elapsed().as_secs_f64())
    }
}
