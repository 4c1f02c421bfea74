//! The desk: the one thread that writes. It takes as many jobs as wait, has the house commit them together, and
//! comes back for more; the longer a commit takes, the more it shares. What a job does is unknown here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use cloud::{House, Job};
use tokio::sync::{mpsc, watch};

/// Jobs that may wait; beyond them whoever brings one waits, and in the end its client.
const WAITING: usize = 4096;

/// Jobs of one commit.
const TOGETHER: usize = 512;

/// Where jobs are brought.
#[derive(Clone)]
pub(crate) struct Desk {
    jobs: mpsc::Sender<Job>,
}

impl Desk {
    /// Starts the thread. It ends when every handle is gone and everything brought is done; `broken` turns true
    /// when the store can no longer write, after which nothing that is acknowledged could be durable.
    pub(crate) fn open(house: Arc<House>, broken: watch::Sender<bool>) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, mut waiting) = mpsc::channel::<Job>(WAITING);
        let thread = std::thread::Builder::new().name("desk".to_owned()).spawn(move || {
            let mut batch = Vec::with_capacity(TOGETHER);
            while !batch.is_empty() || waiting.blocking_recv_many(&mut batch, TOGETHER) > 0 {
                while batch.len() < TOGETHER
                    && let Ok(job) = waiting.try_recv()
                {
                    batch.push(job);
                }
                let jobs = std::mem::take(&mut batch);
                // A handler that panics takes its batch with it: those callers see an internal failure, the
                // transaction was never committed, and the next batch is as good as ever.
                match catch_unwind(AssertUnwindSafe(|| house.commit(jobs))) {
                    // What follows from these jobs goes first, before what others have brought meanwhile.
                    Ok(Ok(follow)) => batch = follow,
                    Ok(Err(_)) => drop(broken.send_replace(true)),
                    Err(_) => {}
                }
            }
        })?;
        Ok((Self { jobs }, thread))
    }

    /// Brings several jobs, in order.
    pub(crate) async fn bring_all(&self, jobs: Vec<Job>) {
        for job in jobs {
            self.bring(job).await;
        }
    }

    /// Brings a job from a thread that may wait.
    pub(crate) fn bring_blocking(&self, job: Job) {
        let _ = self.jobs.blocking_send(job);
    }

    /// Brings a job, waiting while too many others do. Lost only if the desk has closed, when its caller is gone too.
    pub(crate) async fn bring(&self, job: Job) {
        let _ = self.jobs.send(job).await;
    }
}
