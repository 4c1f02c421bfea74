//! The thread on which rules are evaluated: it takes turns while there is something to do, hands out what comes of them, and
//! sleeps otherwise. What a rule means and how effects are carried out is decided elsewhere.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use cloud::actions::{AwsRequest, Outcome};
use cloud::{Ask, Deed, Errand, Scope, Turn};
use sql::Call;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::server::Server;

/// How long a statement waits for a function (rules.md §3).
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Statements that may wait at a time; those beyond fail, so that a slow function does not pile up all that is published.
const WAITING: usize = 256;

/// Wakes the thread.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.heard.notify_one();
    }

    /// Waits until it is rung, or for so long.
    fn wait(&self, longest: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.heard.wait_timeout_while(rung, longest, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// How often the thread looks whether the server has stopped.
const GLANCE: Duration = Duration::from_millis(200);

/// Starts the thread. It ends when the server stops.
pub(crate) fn start(server: &Arc<Server>) -> std::io::Result<JoinHandle<()>> {
    let bell = Arc::new(Bell::default());
    let rung = Arc::clone(&bell);
    server.house.on_rules(move || rung.ring());
    let (server, outside) = (Arc::downgrade(server), Handle::current());
    let waiting = Arc::new(Semaphore::new(WAITING));
    std::thread::Builder::new().name("rules".to_owned()).spawn(move || {
        while let Some(alive) = server.upgrade().filter(|server| !*server.stopping.borrow()) {
            let turn = alive.house.rules_turn(alive.now(), alive.entropy());
            let idle = turn.idle;
            hand_out(&alive, turn, &outside, &waiting);
            // Not held while asleep, since the server ends when nobody holds it.
            drop(alive);
            if idle {
                bell.wait(GLANCE);
            }
        }
    })
}

fn hand_out(server: &Arc<Server>, turn: Turn, outside: &Handle, waiting: &Arc<Semaphore>) {
    for Deed { lane, effect, ticket } in turn.deeds {
        server.effects.carry_out(&lane, effect, Box::new(move |outcome| ticket.settle(outcome)));
    }
    for Errand { lane, effect } in turn.errands {
        let resource = effect.resource.clone();
        let tell = move |outcome: Outcome| {
            if let Err(failure) = outcome {
                tracing::warn!(resource, reason = failure.message, "what rules had to send did not arrive");
            }
        };
        server.effects.carry_out(&lane, effect, Box::new(tell));
    }
    for ask in turn.asks {
        match Arc::clone(waiting).try_acquire_owned() {
            Ok(place) => {
                let server = Arc::downgrade(server);
                drop(outside.spawn(async move {
                    let answered = tokio::time::timeout(PATIENCE, answer(server, &ask)).await;
                    let late = || Err(format!("no answer within {} ms", PATIENCE.as_millis()));
                    ask.answer(answered.unwrap_or_else(|_| late()));
                    drop(place);
                }));
            }
            Err(_) => ask.answer(Err("too many statements wait for a function already".to_owned())),
        }
    }
    for job in turn.jobs {
        server.desk.bring_blocking(job);
    }
}

async fn answer(server: Weak<Server>, waiting: &Ask) -> Result<Bytes, String> {
    let Some(server) = server.upgrade() else { return Err("the server stops".to_owned()) };
    ask(&server, waiting.scope(), &waiting.call).await
}

/// Asks a service: the neighbour, or wherever the operator says that it is.
pub(crate) async fn ask(server: &Server, scope: &Scope, call: &Call) -> Result<Bytes, String> {
    let request = AwsRequest::of_call(call, scope);
    let request = request.ok_or_else(|| format!("{} cannot be asked outside", call.function()))?;
    // unconfirmed: a rule acts as its account; the permission of the function's policy is its own affair.
    server.effects.ask(scope, &request).await.map_err(|failure| failure.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_that_was_rung_before_is_not_waited_for() {
        let bell = Bell::default();
        bell.ring();
        bell.wait(Duration::from_hours(1));
        bell.wait(Duration::from_millis(1));
    }
}
