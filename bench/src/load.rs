//! Clients that each wait for the answer to one request before they send the next, and the count of what was answered
//! between two moments. What a request is, and how it is answered, the clients know.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::Failure;
use crate::ombra::Ombra;
use crate::process::cpu;

/// How long the clients run before anything is counted.
const WARM_UP: Duration = Duration::from_millis(300);

/// Whoever asks.
pub(crate) trait Client: Send + 'static {
    /// Sends a request and waits until it is answered.
    fn ask(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What was counted.
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    /// Microseconds of processor time in ombra per request; not a number where the system does not tell.
    pub(crate) server_us: f64,
    /// The same in this process: the load is not free, and both share the machine.
    pub(crate) load_us: f64,
}

/// Clients that are connected and have not begun.
pub(crate) struct Load<C> {
    clients: Vec<C>,
}

impl<C: Client> Load<C> {
    pub(crate) fn over(clients: Vec<C>) -> Self {
        Self { clients }
    }

    /// Lets all clients ask at once and counts for a while. Any failure of a client is one of the run.
    pub(crate) async fn run(self, ombra: &Ombra, counted: Duration) -> Result<Rate, Failure> {
        let answers = Arc::new(AtomicU32::new(0));
        let stops = Arc::new(AtomicBool::new(false));
        let mut running = Vec::with_capacity(self.clients.len());
        for client in self.clients {
            running.push(tokio::spawn(keep_asking(client, Arc::clone(&answers), Arc::clone(&stops))));
        }
        sleep(WARM_UP).await;
        let look = || (Instant::now(), answers.load(Ordering::Relaxed), cpu(&ombra.process.id()), cpu("self"));
        let before = look();
        sleep(counted).await;
        let after = look();
        stops.store(true, Ordering::Relaxed);
        for client in running {
            client.await??;
        }
        let answered = f64::from(after.1 - before.1);
        let each = |before: Option<f64>, after: Option<f64>| match (before, after) {
            (Some(before), Some(after)) => 1e6 * (after - before) / answered,
            _ => f64::NAN,
        };
        let per_second = answered / after.0.duration_since(before.0).as_secs_f64();
        Ok(Rate { per_second, server_us: each(before.2, after.2), load_us: each(before.3, after.3) })
    }
}

async fn keep_asking<C: Client>(mut client: C, answers: Arc<AtomicU32>, stops: Arc<AtomicBool>) -> Result<(), Failure> {
    while !stops.load(Ordering::Relaxed) {
        client.ask().await?;
        answers.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
