//! Those who failed together wait here for each other, so that one word can be said about all of them. Who they are and what is
//! said is unknown here.

use std::sync::{Arc, Mutex, PoisonError};

use crate::actions::FailedBatch;

/// Batches of which not everybody has come yet.
pub(super) struct Gathering<T>(Mutex<Vec<Group<T>>>);

struct Group<T> {
    batch: FailedBatch,
    missing: usize,
    come: Vec<Arc<T>>,
}

impl<T> Default for Gathering<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Gathering<T> {
    /// Somebody comes who failed in these batches: it waits in the first, and the others need not wait for it. Every group that
    /// is complete because of that; who failed in no batch is a group of its own.
    pub(super) fn gather(&self, who: &Arc<T>, batches: &[FailedBatch]) -> Vec<Vec<Arc<T>>> {
        if batches.is_empty() {
            return vec![vec![Arc::clone(who)]];
        }
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, batch) in batches.iter().enumerate() {
            let known = groups.iter().position(|group| group.batch.is(batch));
            let group = match known.and_then(|at| groups.get_mut(at)) {
                Some(group) => group,
                None => groups.push_mut(Group { batch: batch.clone(), missing: batch.size(), come: Vec::new() }),
            };
            group.missing = group.missing.saturating_sub(1);
            if place == 0 {
                group.come.push(Arc::clone(who));
            }
        }
        let complete = groups.extract_if(.., |group| group.missing == 0);
        complete.map(|group| group.come).filter(|come| !come.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::{Cause, Failure};

    fn batch(size: usize) -> FailedBatch {
        Failure::new(Cause::Refused, "no").of_batch(size).batch.unwrap()
    }

    fn gather(gathering: &Gathering<u8>, who: u8, batches: &[&FailedBatch]) -> Vec<Vec<u8>> {
        let batches: Vec<FailedBatch> = batches.iter().map(|batch| (*batch).clone()).collect();
        let groups = gathering.gather(&Arc::new(who), &batches);
        groups.into_iter().map(|group| group.into_iter().map(|who| *who).collect()).collect()
    }

    #[test]
    fn a_batch_is_complete_when_the_last_has_come() {
        let (gathering, two) = (Gathering::default(), batch(2));
        assert_eq!(gather(&gathering, 1, &[]), [[1]]);
        assert!(gather(&gathering, 1, &[&two]).is_empty());
        assert!(gather(&gathering, 9, &[&batch(2)]).is_empty(), "another batch of the same size");
        assert_eq!(gather(&gathering, 2, &[&two]), [[1, 2]]);
    }

    #[test]
    fn nobody_is_waited_for_who_waits_elsewhere() {
        let (gathering, first, second) = (Gathering::default(), batch(2), batch(2));
        assert!(gather(&gathering, 1, &[&second]).is_empty());
        assert_eq!(gather(&gathering, 2, &[&first, &second]), [[1]]);
        assert_eq!(gather(&gathering, 3, &[&first]), [[2, 3]]);
    }
}
