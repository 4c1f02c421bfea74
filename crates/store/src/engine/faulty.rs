//! A simulated disk for tests of everything above: it refuses, breaks, and forgets what was not synced when
//! the power goes, all by seed. Live data is the memory engine's; this file only decides what survives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::memory::Memory;
use super::{Bounds, Changes, Direction, Durability, Engine, Snapshot, Visit};
use crate::{Fault, Store};

/// How often a [`Disk`] fails, as one in so many; 0 is never.
#[derive(Debug, Clone, Copy, Default)]
pub struct FaultPlan {
    /// What all chances are drawn from.
    pub seed: u64,
    /// Commits refused cleanly: nothing was written, the next one may succeed.
    pub refuse_one_in: u64,
    /// Commits that fail half-way, as when fsync fails: whether they survive a restart is open, and the
    /// store takes no more commits until it is opened again.
    pub break_one_in: u64,
    /// Reads that fail.
    pub fail_read_one_in: u64,
}

/// A simulated disk; clones are the same disk.
#[derive(Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
}

struct State {
    plan: FaultPlan,
    chance: u64,
    synced: BTreeMap<Vec<u8>, Vec<u8>>,
    unsynced: Vec<Changes>,
    syncs: u64,
    broken: bool,
    /// Counts openings and crashes, so that a store from before one finds its disk gone.
    age: u64,
}

impl Disk {
    /// An empty disk that will fail as planned.
    pub fn new(plan: FaultPlan) -> Self {
        let state = State {
            plan,
            chance: plan.seed,
            synced: BTreeMap::new(),
            unsynced: Vec::new(),
            syncs: 0,
            broken: false,
            age: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Opens what the disk holds, as after a restart of the process; stores opened before are cut off.
    pub fn open(&self, durability: Durability) -> Store {
        let mut state = self.state();
        state.sync();
        state.broken = false;
        state.age += 1;
        let memory = Memory::holding(&state.synced);
        Store::over(Faulty { disk: self.clone(), memory, durability, age: state.age })
    }

    /// Cuts the power: of the commits that were not synced, the oldest few survive, by seed.
    pub fn crash(&self) {
        let mut state = self.state();
        let unsynced = state.unsynced.len() as u64;
        let survivors = state.draw(unsynced + 1);
        state.unsynced.truncate(usize::try_from(survivors).unwrap_or(usize::MAX));
        state.sync();
        state.age += 1;
    }

    /// How many commits reached the disk with a sync of their own.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn sync(&mut self) {
        for (key, value) in self.unsynced.drain(..).flatten() {
            match value {
                Some(value) => self.synced.insert(key, value),
                None => self.synced.remove(&key),
            };
        }
    }

    /// The next number of the seed's sequence (splitmix64), below `bound`.
    fn draw(&mut self, bound: u64) -> u64 {
        self.chance = self.chance.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.chance;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn strikes(&mut self, one_in: u64) -> bool {
        one_in > 0 && self.draw(one_in) == 0
    }

    fn check_age(&self, age: u64) -> Result<(), Fault> {
        if self.age == age { Ok(()) } else { Err(Fault::new("the disk was taken away")) }
    }

    fn take(&mut self, changes: &Changes, durability: Durability) -> Result<(), Fault> {
        if self.broken {
            return Err(Fault::new("the disk broke at an earlier commit"));
        }
        if self.strikes(self.plan.refuse_one_in) {
            return Err(Fault::new("the disk refused the commit"));
        }
        self.unsynced.push(changes.clone());
        if self.strikes(self.plan.break_one_in) {
            self.broken = true;
            return Err(Fault::new("the disk broke during the commit"));
        }
        if durability == Durability::Durable {
            self.sync();
            self.syncs += 1;
        }
        Ok(())
    }
}

struct Faulty {
    disk: Disk,
    memory: Memory,
    durability: Durability,
    age: u64,
}

impl Engine for Faulty {
    fn snapshot(&self) -> Box<dyn Snapshot> {
        Box::new(FaultySnapshot { disk: self.disk.clone(), age: self.age, snapshot: self.memory.snapshot() })
    }

    fn commit(&self, changes: Changes) -> Result<(), Fault> {
        let mut state = self.disk.state();
        state.check_age(self.age)?;
        state.take(&changes, self.durability)?;
        self.memory.write(changes);
        Ok(())
    }
}

struct FaultySnapshot {
    disk: Disk,
    age: u64,
    snapshot: Box<dyn Snapshot>,
}

impl FaultySnapshot {
    fn check(&self) -> Result<(), Fault> {
        let mut state = self.disk.state();
        state.check_age(self.age)?;
        let one_in = state.plan.fail_read_one_in;
        if state.strikes(one_in) { Err(Fault::new("the disk failed to read")) } else { Ok(()) }
    }
}

impl Snapshot for FaultySnapshot {
    fn get(&self, key: &[u8], found: &mut dyn FnMut(&[u8])) -> Result<(), Fault> {
        self.check()?;
        self.snapshot.get(key, found)
    }

    fn range(&self, bounds: &Bounds, direction: Direction, visit: &mut Visit<'_>) -> Result<(), Fault> {
        self.check()?;
        self.snapshot.range(bounds, direction, visit)
    }
}
