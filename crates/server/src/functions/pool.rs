//! The children there are: which of them wait, whose turn it is to do something, and how many there may be. Bounded for each
//! function and for all; who waits too long for another function's sake is ended. What children do is unknown here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cloud::{Function, Scope};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::child::Child;

/// How long a child may wait for something to do.
const IDLE: Duration = Duration::from_mins(5);

/// How long a child may take that has answered and is on its way back.
const MOMENT: Duration = Duration::from_millis(100);

/// How old a child becomes: its keys must not run out while it does something.
const AGE: Duration = Duration::from_secs(cloud::KEYS_LAST.unsigned_abs() / 2);

/// A child with the place it takes.
pub(super) struct Seated {
    pub(super) child: Child,
    seat: Option<Seat>,
}

impl Seated {
    pub(super) fn new(child: Child, seat: Seat) -> Self {
        Self { child, seat: Some(seat) }
    }
}

/// A place for one child.
pub(super) type Seat = OwnedSemaphorePermit;

/// The right to do one invocation.
pub(super) type Turn = OwnedSemaphorePermit;

/// All children.
pub(super) struct Pools {
    of_functions: Mutex<HashMap<Key, Pool>>,
    seats: Arc<Semaphore>,
    /// Children of one function that may do something at a time, unless it has a number of its own.
    most: usize,
}

/// A function at a version.
pub(super) type Key = (Scope, String, String);

/// The children of one.
struct Pool {
    revision: String,
    turns: Arc<Semaphore>,
    /// How many turns there are.
    most: usize,
    idle: Vec<(Seated, Instant)>,
    returning: Arc<Returning>,
}

/// Children that have answered and will soon wait for the next invocation.
#[derive(Default)]
struct Returning {
    children: AtomicUsize,
    one_is_back: Notify,
}

/// One of them, until it is back or known not to come.
pub(super) struct OnItsWay(Arc<Returning>);

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.0.children.fetch_sub(1, Ordering::Relaxed);
        self.0.one_is_back.notify_one();
    }
}

impl Pools {
    /// Room for so many children.
    pub(super) fn new(seats: usize) -> Self {
        Self { of_functions: Mutex::default(), seats: Arc::new(Semaphore::new(seats)), most: seats }
    }

    /// Waits for a turn; none if it takes too long.
    pub(super) async fn turn(&self, function: &Function, patience: Duration) -> Option<Turn> {
        let turns = Arc::clone(&self.pool(function).1);
        tokio::time::timeout(patience, turns.acquire_owned()).await.ok()?.ok()
    }

    /// A child that waits for something to do, the one that did something last; beside it those that are of no use any more
    /// because the function has changed.
    pub(super) fn take(&self, function: &Function) -> (Option<Seated>, Vec<Seated>) {
        let (stale, _) = self.pool(function);
        let mut gone = stale;
        let mut pools = self.pools();
        let Some(pool) = pools.get_mut(&key(function)) else { return (None, gone) };
        while let Some((seated, _)) = pool.idle.pop() {
            if seated.child.is_ready() {
                return (Some(seated), gone);
            }
            gone.push(seated);
        }
        (None, gone)
    }

    /// A child has answered and is on its way back.
    pub(super) fn returns(&self, function: &Function) -> Option<OnItsWay> {
        let returning = Arc::clone(&self.pools().get(&key(function))?.returning);
        returning.children.fetch_add(1, Ordering::Relaxed);
        Some(OnItsWay(returning))
    }

    /// Waits a moment for a child that is on its way back, which is sooner there than a new one; whether it was worth it.
    pub(super) async fn one_is_back(&self, function: &Function) -> bool {
        let Some(returning) = self.pools().get(&key(function)).map(|pool| Arc::clone(&pool.returning)) else {
            return false;
        };
        let is_back = returning.one_is_back.notified();
        returning.children.load(Ordering::Relaxed) > 0 && tokio::time::timeout(MOMENT, is_back).await.is_ok()
    }

    /// Has a child wait for the next invocation, unless its function has changed meanwhile.
    pub(super) fn rest(&self, function: &Function, seated: Seated) -> Option<Seated> {
        if seated.child.age() > AGE {
            return Some(seated);
        }
        match self.pools().get_mut(&key(function)).filter(|pool| pool.revision == function.revision) {
            Some(pool) => {
                pool.idle.push((seated, Instant::now()));
                None
            }
            None => Some(seated),
        }
    }

    /// A place for a new child; if all are taken, one that waits must go. None if it takes too long.
    pub(super) async fn seat(&self, patience: Duration) -> (Option<Seat>, Option<Seated>) {
        if let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() {
            return (Some(seat), None);
        }
        if let Some(mut seated) = self.longest_idle() {
            // Its place passes on before it is quite gone, so that nobody else takes it meanwhile.
            return (seated.seat.take(), Some(seated));
        }
        let waited = tokio::time::timeout(patience, Arc::clone(&self.seats).acquire_owned()).await;
        (waited.ok().and_then(Result::ok), None)
    }

    fn longest_idle(&self) -> Option<Seated> {
        let mut pools = self.pools();
        let oldest = pools.values_mut().filter(|pool| !pool.idle.is_empty()).min_by_key(|pool| pool.idle[0].1)?;
        Some(oldest.idle.remove(0).0)
    }

    /// Those that have waited for too long or for a function that is gone, and pools that nobody needs.
    pub(super) fn sweep(&self, is_current: impl Fn(&Key, &str) -> bool) -> Vec<Seated> {
        let mut swept = Vec::new();
        self.pools().retain(|key, pool| {
            let idle = std::mem::take(&mut pool.idle);
            let is_current = idle.is_empty() || is_current(key, &pool.revision);
            let (kept, gone): (Vec<_>, Vec<_>) = idle
                .into_iter()
                .partition(|(seated, since)| is_current && since.elapsed() < IDLE && seated.child.is_ready());
            swept.extend(gone.into_iter().map(|(seated, _)| seated));
            pool.idle = kept;
            // A pool with a turn taken has a child that will come back to it.
            !pool.idle.is_empty() || pool.turns.available_permits() < pool.most
        });
        swept
    }

    /// All that wait.
    pub(super) fn empty(&self) -> Vec<Seated> {
        let pools = std::mem::take(&mut *self.pools());
        pools.into_values().flat_map(|pool| pool.idle).map(|(seated, _)| seated).collect()
    }

    /// The pool of a function as it is now, and the children of what it was before.
    fn pool(&self, function: &Function) -> (Vec<Seated>, Arc<Semaphore>) {
        let most = function.concurrency.unwrap_or(self.most).min(self.most);
        let mut pools = self.pools();
        let pool = pools.entry(key(function)).or_insert_with(|| Pool {
            revision: function.revision.clone(),
            turns: Arc::new(Semaphore::new(most)),
            most,
            idle: Vec::new(),
            returning: Arc::default(),
        });
        let mut stale = Vec::new();
        if pool.revision != function.revision {
            pool.revision.clone_from(&function.revision);
            stale.extend(std::mem::take(&mut pool.idle).into_iter().map(|(seated, _)| seated));
        }
        if pool.most != most {
            (pool.most, pool.turns) = (most, Arc::new(Semaphore::new(most)));
        }
        (stale, Arc::clone(&pool.turns))
    }

    fn pools(&self) -> MutexGuard<'_, HashMap<Key, Pool>> {
        self.of_functions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(function: &Function) -> Key {
    (function.scope.clone(), function.name.clone(), function.version.clone())
}
