//! Events on their way to functions: each when it is due, in the order they came, some of one function at a time. What an event
//! is, and what becomes of one that failed, is known to the house.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cloud::{Due, Outcome, Scope};
use tokio::sync::mpsc;

use super::Inner;
use crate::server::now_ms;

/// Events of one function that are done at a time.
const TOGETHER: usize = 4;

/// Bytes of a failure that are told when an event is given up.
const WORDS: usize = 512;

/// Events that are due later, by when; of one moment those that came first are first.
type Later = BinaryHeap<Reverse<(i64, u64, Key, usize)>>;

/// A function of a scope.
type Key = (Scope, String);

/// The events of one function.
#[derive(Default)]
struct Line {
    waiting: VecDeque<Due>,
    running: usize,
}

/// Everything that waits.
struct Queue {
    inner: Arc<Inner>,
    later: Later,
    /// What those in `later` are.
    put_off: HashMap<usize, Due>,
    count: usize,
    lines: HashMap<Key, Line>,
    done: mpsc::UnboundedSender<Key>,
}

/// Brings events to their functions for as long as there is somebody to tell of them.
pub(super) async fn run(inner: Arc<Inner>, mut told: mpsc::UnboundedReceiver<Due>) {
    // No more are under way than may run at a time.
    let (done, mut finished) = mpsc::unbounded_channel();
    let (later, put_off, lines) = (Later::new(), HashMap::new(), HashMap::new());
    let mut queue = Queue { inner, later, put_off, count: 0, lines, done };
    loop {
        let next = queue.next_in();
        tokio::select! {
            due = told.recv() => match due {
                Some(due) => queue.take(due),
                None => return,
            },
            Some(key) = finished.recv() => queue.finished(&key),
            () = tokio::time::sleep(next) => {}
        }
        queue.wake();
    }
}

impl Queue {
    fn take(&mut self, due: Due) {
        let key = (due.scope.clone(), due.function.clone());
        if due.at <= now_ms() {
            self.lines.entry(key.clone()).or_default().waiting.push_back(due);
            self.start(&key);
            return;
        }
        self.count += 1;
        self.later.push(Reverse((due.at, self.count as u64, key, self.count)));
        self.put_off.insert(self.count, due);
    }

    /// How long it is until something that was put off is due.
    fn next_in(&self) -> Duration {
        let at = self.later.peek().map_or(i64::MAX, |Reverse((at, ..))| *at);
        Duration::from_millis(at.saturating_sub(now_ms()).clamp(0, 60_000).unsigned_abs())
    }

    fn wake(&mut self) {
        while let Some(Reverse((at, _, key, number))) = self.later.pop() {
            if at > now_ms() {
                self.later.push(Reverse((at, number as u64, key, number)));
                return;
            }
            if let Some(due) = self.put_off.remove(&number) {
                self.lines.entry(key.clone()).or_default().waiting.push_back(due);
                self.start(&key);
            }
        }
    }

    fn finished(&mut self, key: &Key) {
        if let Some(line) = self.lines.get_mut(key) {
            line.running -= 1;
        }
        self.start(key);
    }

    fn start(&mut self, key: &Key) {
        let Some(line) = self.lines.get_mut(key) else { return };
        while line.running < TOGETHER
            && let Some(due) = line.waiting.pop_front()
        {
            line.running += 1;
            let (inner, done, key) = (Arc::clone(&self.inner), self.done.clone(), key.clone());
            tokio::spawn(async move {
                deliver(&inner, &due).await;
                // The queue may have ended meanwhile.
                let _ = done.send(key);
            });
        }
        if line.running == 0 {
            self.lines.remove(key);
        }
    }
}

/// Brings an event to its function, and writes down what came of it.
async fn deliver(inner: &Arc<Inner>, due: &Due) {
    let Some(server) = inner.server() else { return };
    let event = server.house.event(due, server.now(), server.entropy());
    drop(server);
    let outcome = match event {
        Ok(None) => return,
        Ok(Some(invocation)) => match Arc::clone(inner).carry_out(invocation).await {
            Ok(invoked) if invoked.is_error => failed(inner, &String::from_utf8_lossy(&invoked.payload)),
            Ok(_) => Outcome::Done,
            Err(refusal) if refusal.error() == "TooManyRequestsException" => Outcome::Busy,
            Err(refusal) => failed(inner, &refusal.to_string()),
        },
        Err(refusal) => failed(inner, &refusal.to_string()),
    };
    // What was interrupted by the server's end has not been done.
    if let Some(server) = inner.server().filter(|server| !*server.stopping.borrow()) {
        server.desk.bring(server.house.settle(due, outcome, server.now(), server.entropy())).await;
    }
}

fn failed(inner: &Inner, words: &str) -> Outcome {
    Outcome::Failed(words[..words.floor_char_boundary(WORDS)].to_owned(), inner.retry)
}
