//! Tables and the records they hold: a name, a type, and an encoding with a version byte in front. Where
//! the bytes go is the engine's affair.

use std::marker::PhantomData;

use crate::engine::{Bounds, MAX_KEY_BYTES, MAX_VALUE_BYTES};
use crate::{Edge, Fault, Key};

/// A stored type: how it is written now, and how it is read back from every version ever written.
pub trait Record: Sized {
    /// The version this type is written as; raised whenever the encoding changes.
    const VERSION: u8;

    /// Appends the encoding of the present version.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Fault>;

    /// Reads what `encode` wrote at `version`, which is at most [`Record::VERSION`]; older ones migrate here.
    fn decode(version: u8, bytes: &[u8]) -> Result<Self, Fault>;
}

/// Bytes kept as they came: documents, payloads.
impl Record for Vec<u8> {
    const VERSION: u8 = 1;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        out.extend_from_slice(self);
        Ok(())
    }

    fn decode(_: u8, bytes: &[u8]) -> Result<Self, Fault> {
        Ok(bytes.to_vec())
    }
}

/// The record of an index table, where the key says it all.
impl Record for () {
    const VERSION: u8 = 1;

    fn encode(&self, _: &mut Vec<u8>) -> Result<(), Fault> {
        Ok(())
    }

    fn decode(_: u8, _: &[u8]) -> Result<Self, Fault> {
        Ok(())
    }
}

/// Makes a serde type a [`Record`] written as JSON.
///
/// `json_record!(Lamp, version 1)`; once versions differ, `json_record!(Lamp, version 2, older = migrate)`
/// with `fn migrate(version: u8, bytes: &[u8]) -> Result<Lamp, Fault>` for every version below.
#[macro_export]
macro_rules! json_record {
    ($type:ty, version $version:literal) => {
        $crate::json_record!($type, version $version, older = $crate::json::read);
    };
    ($type:ty, version $version:literal, older = $older:expr) => {
        impl $crate::Record for $type {
            const VERSION: u8 = $version;

            fn encode(&self, out: &mut Vec<u8>) -> Result<(), $crate::Fault> {
                $crate::json::write(self, out)
            }

            fn decode(version: u8, bytes: &[u8]) -> Result<Self, $crate::Fault> {
                if version == $version { $crate::json::read(version, bytes) } else { $older(version, bytes) }
            }
        }
    };
}

/// What [`json_record!`] expands to; not called by hand.
pub mod json {
    use serde::{Serialize, de::DeserializeOwned};

    use crate::Fault;

    /// Appends `record` as JSON.
    pub fn write<R: Serialize>(record: &R, out: &mut Vec<u8>) -> Result<(), Fault> {
        serde_json::to_writer(out, record).map_err(|cause| Fault::because("encode JSON", cause))
    }

    /// Reads a record from JSON, whatever its version: serde's defaults bridge what was added since.
    pub fn read<R: DeserializeOwned>(_: u8, bytes: &[u8]) -> Result<R, Fault> {
        serde_json::from_slice(bytes).map_err(|cause| Fault::because("decode JSON", cause))
    }
}

/// One typed table. The catalogue of all of them lives with whoever owns the records.
pub struct Table<R> {
    name: &'static str,
    record: PhantomData<fn() -> R>,
}

impl<R> Clone for Table<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Table<R> {}

impl<R: Record> Table<R> {
    /// The table of this name, which must be unique in a store, not empty, and free of NUL.
    ///
    /// # Panics
    ///
    /// On any other name; a catalogue of constants meets that when it is compiled.
    pub const fn new(name: &'static str) -> Self {
        assert!(!name.is_empty(), "a table needs a name");
        let mut index = 0;
        while index < name.len() {
            assert!(name.as_bytes()[index] != 0, "a table's name has no NUL");
            index += 1;
        }
        Self { name, record: PhantomData }
    }

    /// The name, as it stands in the store.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Where `key` of this table lives in the engine: the table's name, NUL, the key.
    pub(crate) fn place(&self, key: &Key) -> Result<Vec<u8>, Fault> {
        let mut place = Vec::with_capacity(self.name.len() + 1 + key.as_bytes().len());
        place.extend_from_slice(self.name.as_bytes());
        place.push(0);
        place.extend_from_slice(key.as_bytes());
        if place.len() > MAX_KEY_BYTES {
            return Err(Fault::new(format!("key of {} bytes in table {}", place.len(), self.name)));
        }
        Ok(place)
    }

    /// The key that lives at `place`.
    pub(crate) fn key(&self, place: &[u8]) -> Key {
        Key::from_engine(place.get(self.name.len() + 1..).unwrap_or_default())
    }

    /// Everything under `prefix`: see [`Key`] on why 0xFF closes it.
    pub(crate) fn under(&self, prefix: &Key) -> Result<Bounds, Fault> {
        let from = self.place(prefix)?;
        let mut to = from.clone();
        to.push(0xFF);
        Ok(Bounds { from, to })
    }

    /// Where an edge lies in the engine.
    pub(crate) fn edge(&self, edge: &Edge) -> Result<Vec<u8>, Fault> {
        match edge {
            Edge::Before(key) => self.place(key),
            Edge::Past(key) => self.under(key).map(|bounds| bounds.to),
        }
    }

    pub(crate) fn encode(&self, key: &Key, record: &R) -> Result<Vec<u8>, Fault> {
        let mut bytes = vec![R::VERSION];
        record.encode(&mut bytes).map_err(|fault| self.about(key, fault))?;
        if bytes.len() > MAX_VALUE_BYTES {
            return Err(self.about(key, Fault::new(format!("record of {} bytes", bytes.len()))));
        }
        Ok(bytes)
    }

    pub(crate) fn decode(&self, key: &Key, bytes: &[u8]) -> Result<R, Fault> {
        let record = match bytes.split_first() {
            None => Err(Fault::new("record without a version")),
            Some((&version, _)) if version > R::VERSION => {
                Err(Fault::new(format!("record of version {version}, but only {} is known", R::VERSION)))
            }
            Some((&version, bytes)) => R::decode(version, bytes),
        };
        record.map_err(|fault| self.about(key, fault))
    }

    fn about(&self, key: &Key, fault: Fault) -> Fault {
        Fault::because(format_args!("table {}, key {key:?}", self.name), fault)
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::Store;

    #[derive(Serialize, Deserialize)]
    struct LampOne {
        watts: u32,
    }
    json_record!(LampOne, version 1);

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct LampThree {
        milliwatts: u32,
    }
    json_record!(LampThree, version 3, older = migrate);

    fn migrate(version: u8, bytes: &[u8]) -> Result<LampThree, Fault> {
        match version {
            1 => json::read(1, bytes).map(|lamp: LampOne| LampThree { milliwatts: lamp.watts * 1000 }),
            _ => Err(Fault::new("there never was such a version")),
        }
    }

    const ONE: Table<LampOne> = Table::new("lamps");
    const THREE: Table<LampThree> = Table::new("lamps");
    const RAW: Table<Vec<u8>> = Table::new("raw");

    #[test]
    fn a_record_of_an_older_version_migrates_when_it_is_read() {
        let (store, key) = (Store::in_memory(), Key::of(["a"]));
        store.write(|tx| tx.put(&ONE, &key, &LampOne { watts: 5 })).unwrap();
        let migrated = LampThree { milliwatts: 5000 };
        assert_eq!(store.read().get(&THREE, &key).unwrap(), Some(migrated));
        store.write(|tx| tx.put(&THREE, &key, &LampThree { milliwatts: 1 })).unwrap();
        assert_eq!(store.read().get(&THREE, &key).unwrap(), Some(LampThree { milliwatts: 1 }));
    }

    #[test]
    fn a_record_is_its_version_and_its_encoding() {
        let key = Key::all();
        assert_eq!(THREE.encode(&key, &LampThree { milliwatts: 7 }).unwrap(), b"\x03{\"milliwatts\":7}");
        assert_eq!(RAW.encode(&key, &b"raw".to_vec()).unwrap(), b"\x01raw");
    }

    #[test]
    fn a_record_that_does_not_decode_is_a_fault_that_says_where() {
        let cases: [(&[u8], &str); 4] = [
            (b"", "table lamps, key a: record without a version"),
            (b"\x04{}", "table lamps, key a: record of version 4, but only 3 is known"),
            (b"\x02{}", "table lamps, key a: there never was such a version"),
            (b"\x03{}", "table lamps, key a: decode JSON: missing field `milliwatts` at line 1 column 2"),
        ];
        for (bytes, expected) in cases {
            let fault = THREE.decode(&Key::of(["a"]), bytes).unwrap_err();
            assert_eq!(fault.to_string(), expected);
        }
    }

    #[test]
    fn a_record_that_does_not_encode_changes_nothing() {
        struct Stubborn;
        impl Record for Stubborn {
            const VERSION: u8 = 1;
            fn encode(&self, _: &mut Vec<u8>) -> Result<(), Fault> {
                Err(Fault::new("no"))
            }
            fn decode(_: u8, _: &[u8]) -> Result<Self, Fault> {
                Ok(Self)
            }
        }
        const STUBBORN: Table<Stubborn> = Table::new("stubborn");
        let store = Store::in_memory();
        assert!(store.write(|tx| tx.put(&STUBBORN, &Key::all(), &Stubborn)).is_err());
        assert!(!store.read().contains(&STUBBORN, &Key::all()).unwrap());
    }
}
