//! The threads that connections live on: one for each core, each with a runtime of its own, so that a connection never
//! moves between cores and its wake-ups stay on the thread that serves it. What is done on a thread is unknown here.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

use crate::tls::Turns;

/// The threads, for whoever ends them.
pub(crate) struct Workers {
    team: Arc<Team>,
    threads: Vec<JoinHandle<()>>,
    /// Closes when the workers shall end.
    stop: watch::Sender<()>,
}

/// The threads, for whoever gives them something to do.
pub(crate) struct Team {
    members: Vec<Worker>,
    next: AtomicUsize,
}

/// One thread.
pub(crate) struct Worker {
    handle: Handle,
    turns: Arc<Turns>,
}

impl Workers {
    /// Starts so many threads.
    pub(crate) fn start(count: NonZeroUsize) -> io::Result<Self> {
        let (stop, stopping) = watch::channel(());
        let (mut members, mut threads) = (Vec::new(), Vec::new());
        for number in 0..count.get() {
            let (worker, thread) = Worker::start(number, stopping.clone())?;
            members.push(worker);
            threads.push(thread);
        }
        Ok(Self { team: Arc::new(Team { members, next: AtomicUsize::new(0) }), threads, stop })
    }

    /// Those who can be given something to do.
    pub(crate) fn team(&self) -> Arc<Team> {
        Arc::clone(&self.team)
    }

    /// Ends the threads, dropping whatever is unfinished on them, and waits until they are gone.
    pub(crate) fn end(self) {
        drop(self.stop);
        for thread in self.threads {
            // A thread that panicked is gone too.
            let _ = thread.join();
        }
    }
}

impl Team {
    /// Whose turn it is.
    pub(crate) fn next(&self) -> &Worker {
        &self.members[self.next.fetch_add(1, Ordering::Relaxed) % self.members.len()]
    }
}

impl Worker {
    fn start(number: usize, mut stopping: watch::Receiver<()>) -> io::Result<(Self, JoinHandle<()>)> {
        let (tell, told) = mpsc::channel();
        let work = move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(error))),
            };
            if tell.send(Ok(runtime.handle().clone())).is_ok() {
                runtime.block_on(async { while stopping.changed().await.is_ok() {} });
            }
        };
        let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(work)?;
        let handle = told.recv().map_err(io::Error::other)??;
        Ok((Self { handle, turns: Arc::new(Turns::new()) }, thread))
    }

    /// Does this on the thread, when it comes to it.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(future);
    }

    /// How handshakes take turns on this thread.
    pub(crate) fn turns(&self) -> Arc<Turns> {
        Arc::clone(&self.turns)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn work_goes_round_and_stays_on_its_thread() {
        let workers = Workers::start(NonZeroUsize::new(3).unwrap()).unwrap();
        let team = workers.team();
        let (tell, told) = mpsc::channel();
        for _ in 0..6 {
            let tell = tell.clone();
            team.next().spawn(async move {
                let before = thread::current().id();
                tokio::task::yield_now().await;
                assert_eq!(thread::current().id(), before);
                tell.send(thread::current().name().unwrap().to_owned()).unwrap();
            });
        }
        drop(tell);
        let mut times: HashMap<String, usize> = HashMap::new();
        for name in told {
            *times.entry(name).or_default() += 1;
        }
        let expected = ["worker-0", "worker-1", "worker-2"].map(|name| (name.to_owned(), 2));
        assert_eq!(times, HashMap::from(expected));
        workers.end();
    }

    #[test]
    fn what_is_unfinished_is_dropped_at_the_end() {
        let workers = Workers::start(NonZeroUsize::MIN).unwrap();
        let (held, gone) = mpsc::channel::<()>();
        workers.team().next().spawn(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        workers.end();
        assert!(gone.recv().is_err());
    }
}
