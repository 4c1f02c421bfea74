//! The engine for tests and throw-away stores: a map from key to versions. A snapshot is a number, so
//! taking one costs nothing and a commit never copies the map. Knows nothing of disks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

use super::{Bounds, Change, Changes, Direction, Engine, Snapshot, Visit};
use crate::Fault;

#[derive(Default)]
pub(crate) struct Memory {
    versions: Arc<RwLock<Versions>>,
}

#[derive(Default)]
struct Versions {
    /// What each commit left at a key, oldest first; `None` is a deletion.
    map: BTreeMap<Vec<u8>, Vec<(u64, Change)>>,
    /// The number of the last commit.
    last: u64,
    /// How many snapshots look at each commit.
    watched: BTreeMap<u64, usize>,
    /// Keys with versions that only snapshots older than a commit can see, by that commit.
    stale: VecDeque<(u64, Vec<u8>)>,
}

impl Memory {
    pub(crate) fn holding(pairs: &BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        let memory = Self::default();
        memory.write(pairs.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect());
        memory
    }

    /// The commit itself, which in memory cannot fail.
    pub(crate) fn write(&self, changes: Changes) {
        let mut versions = self.versions.write().unwrap_or_else(PoisonError::into_inner);
        versions.last += 1;
        let last = versions.last;
        for (key, value) in changes {
            versions.stale.push_back((last, key.clone()));
            versions.map.entry(key).or_default().push((last, value));
        }
        versions.forget();
    }
}

impl Engine for Memory {
    fn snapshot(&self) -> Box<dyn Snapshot> {
        let mut versions = self.versions.write().unwrap_or_else(PoisonError::into_inner);
        let at = versions.last;
        *versions.watched.entry(at).or_default() += 1;
        Box::new(At { versions: self.versions.clone(), at })
    }

    fn commit(&self, changes: Changes) -> Result<(), Fault> {
        self.write(changes);
        Ok(())
    }
}

impl Versions {
    /// Drops what no snapshot can see any more.
    fn forget(&mut self) {
        let oldest = self.watched.keys().next().copied().unwrap_or(self.last);
        while let Some((_, key)) = self.stale.pop_front_if(|(commit, _)| *commit <= oldest) {
            let Some(versions) = self.map.get_mut(&key) else {
                continue;
            };
            let seen = versions.partition_point(|(commit, _)| *commit <= oldest);
            versions.drain(..seen.saturating_sub(1));
            if let [(_, None)] = versions[..] {
                self.map.remove(&key);
            }
        }
    }
}

struct At {
    versions: Arc<RwLock<Versions>>,
    at: u64,
}

impl At {
    fn pick<'v>(&self, versions: &'v [(u64, Change)]) -> Option<&'v [u8]> {
        versions.iter().rfind(|(commit, _)| *commit <= self.at)?.1.as_deref()
    }
}

impl Snapshot for At {
    fn get(&self, key: &[u8], found: &mut dyn FnMut(&[u8])) -> Result<(), Fault> {
        let versions = self.versions.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = versions.map.get(key).and_then(|versions| self.pick(versions)) {
            found(value);
        }
        Ok(())
    }

    fn range(&self, bounds: &Bounds, direction: Direction, visit: &mut Visit<'_>) -> Result<(), Fault> {
        let versions = self.versions.read().unwrap_or_else(PoisonError::into_inner);
        let mut pairs = versions
            .map
            .range::<[u8], _>(bounds.as_range())
            .filter_map(|(key, versions)| Some((key, self.pick(versions)?)));
        // Whether the visitor stopped or the pairs ran out is no difference here.
        let _ = match direction {
            Direction::Ascending => pairs.try_for_each(|(key, value)| visit(key, value)),
            Direction::Descending => pairs.rev().try_for_each(|(key, value)| visit(key, value)),
        };
        Ok(())
    }
}

impl Drop for At {
    fn drop(&mut self) {
        let mut versions = self.versions.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(watchers) = versions.watched.get_mut(&self.at) {
            *watchers -= 1;
            if *watchers == 0 {
                versions.watched.remove(&self.at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_nobody_can_see_are_forgotten() {
        let memory = Memory::default();
        let put = |key: &[u8], value: Option<&[u8]>| {
            memory.write(BTreeMap::from([(key.to_vec(), value.map(<[u8]>::to_vec))]));
        };
        put(b"a", Some(b"1"));
        put(b"b", Some(b"1"));
        let watcher = memory.snapshot();
        put(b"a", Some(b"2"));
        put(b"a", Some(b"3"));
        put(b"b", None);
        assert_eq!(memory.held(), 5);
        drop(watcher);
        put(b"c", None);
        assert_eq!(memory.held(), 1);
    }

    impl Memory {
        fn held(&self) -> usize {
            let versions = self.versions.read().unwrap_or_else(PoisonError::into_inner);
            versions.map.values().map(Vec::len).sum()
        }
    }
}
