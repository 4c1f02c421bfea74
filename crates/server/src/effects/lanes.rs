//! The lanes that effects wait in: one for each action of each rule, bounded, in order, one effect at a time, so that a sink that
//! is slow or dead holds up nobody but its own rule. How an effect is carried out is unknown here.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cloud::actions::{Batch, Cause, Effect, Failure, Lane, Outcome, Work};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

/// What is done once the outcome of an effect is known.
pub(crate) type Done = Box<dyn FnOnce(Outcome) + Send>;

/// Effects that may wait in one lane, their bytes, and the bytes of all lanes.
pub(super) const MOST_EFFECTS: usize = 1000;
const MOST_BYTES: usize = 8 * 1024 * 1024;
const MOST_BYTES_OF_ALL: usize = 256 * 1024 * 1024;

/// A lane in which nothing has waited for so long is closed, and its connection with it.
const IDLE: Duration = Duration::from_secs(30);

/// How long the effect that is under way may take when the server stops.
const GRACE: Duration = Duration::from_secs(3);

/// Where effects lead.
pub(crate) trait Sink: Send + Sync + 'static {
    /// What a lane keeps from one effect to the next: a connection.
    type Kept: Default + Send;

    /// Carries out one piece of work of a lane, with as many tries as it is worth.
    fn carry(&self, lane: &Lane, kept: &mut Self::Kept, work: Work) -> impl Future<Output = Outcome> + Send;
}

/// All lanes.
pub(crate) struct Lanes<S> {
    shared: Arc<Shared<S>>,
    runtime: Handle,
    /// Held by each lane that is open.
    alive: mpsc::Sender<()>,
}

struct Shared<S> {
    sink: S,
    open: Mutex<Open>,
    stopping: watch::Receiver<bool>,
}

#[derive(Default)]
struct Open {
    queues: HashMap<Lane, Queue>,
    /// Bytes of all that waits.
    bytes: usize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    wake: Arc<Notify>,
}

struct Waiting {
    effect: Effect,
    bytes: usize,
    since: Instant,
    done: Done,
}

impl<S: Sink> Lanes<S> {
    /// Lanes that lead to a sink, on this runtime, until the server stops. The receiver closes when the last lane has closed
    /// and these are gone.
    pub(crate) fn new(sink: S, runtime: Handle, stopping: watch::Receiver<bool>) -> (Self, mpsc::Receiver<()>) {
        let (alive, gone) = mpsc::channel(1);
        let shared = Shared { sink, open: Mutex::default(), stopping };
        (Self { shared: Arc::new(shared), runtime, alive }, gone)
    }

    /// Puts an effect at the end of its lane. What finds no room fails at once, as does everything once the server stops:
    /// `done` is called in any case, but for effects that still wait when the server stops, which are dropped.
    pub(crate) fn put(&self, lane: &Lane, effect: Effect, done: Done) {
        let bytes = effect.bytes();
        let waiting = Waiting { effect, bytes, since: Instant::now(), done };
        let rejected = self.shared.lock().push(lane, waiting);
        match rejected {
            Ok(None) => {}
            Ok(Some(wake)) => {
                drop(self.runtime.spawn(serve(Arc::clone(&self.shared), lane.clone(), wake, self.alive.clone())));
            }
            Err(waiting) => {
                let message = "Too many messages wait for this action already.";
                (waiting.done)(Err(Failure::new(Cause::Overflow, message)));
            }
        }
    }
}

impl<S> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Takes an effect in, unless there is no room. A lane that was not open is to be served with what comes back.
    fn push(&mut self, lane: &Lane, waiting: Waiting) -> Result<Option<Arc<Notify>>, Box<Waiting>> {
        let (count, bytes) = self.queues.get(lane).map_or((0, 0), |queue| (queue.waiting.len(), queue.bytes));
        let fits = count < MOST_EFFECTS
            && bytes + waiting.bytes <= MOST_BYTES
            && self.bytes + waiting.bytes <= MOST_BYTES_OF_ALL;
        if !fits {
            return Err(Box::new(waiting));
        }
        self.bytes += waiting.bytes;
        if let Some(queue) = self.queues.get_mut(lane) {
            queue.push(waiting);
            return Ok(None);
        }
        let mut queue = Queue::default();
        queue.push(waiting);
        let wake = Arc::clone(&queue.wake);
        self.queues.insert(lane.clone(), queue);
        Ok(Some(wake))
    }

    /// What is next in a lane, if it is open and anything waits.
    fn pop(&mut self, lane: &Lane) -> Option<Waiting> {
        let queue = self.queues.get_mut(lane)?;
        let first = queue.waiting.pop_front()?;
        queue.bytes -= first.bytes;
        self.bytes -= first.bytes;
        Some(first)
    }

    /// Takes the others that can go with a batch; whether it is full then. What does not fit in is not overtaken by what comes
    /// after it.
    fn join(&mut self, lane: &Lane, batch: &Batch, taken: &mut Vec<Waiting>) -> bool {
        let Some(queue) = self.queues.get_mut(lane) else { return true };
        let mut bytes: usize = taken.iter().map(|waiting| waiting.bytes).sum();
        let mut at = 0;
        while at < queue.waiting.len() && taken.len() < batch.count {
            let next = &queue.waiting[at];
            if next.effect.batch.as_ref().is_none_or(|other| other.key != batch.key) {
                at += 1;
                continue;
            }
            if bytes + next.bytes > batch.bytes {
                return true;
            }
            let Some(next) = queue.waiting.remove(at) else { return true };
            bytes += next.bytes;
            queue.bytes -= next.bytes;
            self.bytes -= next.bytes;
            taken.push(next);
        }
        taken.len() >= batch.count
    }

    /// Closes a lane if nothing waits in it.
    fn close(&mut self, lane: &Lane) -> bool {
        let is_empty = self.queues.get(lane).is_none_or(|queue| queue.waiting.is_empty());
        if is_empty {
            self.queues.remove(lane);
        }
        is_empty
    }
}

impl Queue {
    fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.bytes;
        self.waiting.push_back(waiting);
        self.wake.notify_one();
    }
}

/// Serves a lane until it has been idle for long enough, or the server stops.
async fn serve<S: Sink>(shared: Arc<Shared<S>>, lane: Lane, wake: Arc<Notify>, _alive: mpsc::Sender<()>) {
    let mut kept = S::Kept::default();
    let mut stopping = shared.stopping.clone();
    loop {
        let next = tokio::select! {
            biased;
            _ = stopping.wait_for(|stops| *stops) => return,
            next = next(&shared, &lane, &wake) => next,
        };
        let Some(taken) = next else { return };
        let is_batch = taken.iter().any(|waiting| waiting.effect.batch.is_some());
        let (mut works, dones): (Vec<Work>, Vec<Done>) =
            taken.into_iter().map(|waiting| (waiting.effect.work, waiting.done)).unzip();
        let Some(work) = (if is_batch { Work::together(works) } else { works.pop() }) else { continue };
        let outcome = tokio::select! {
            outcome = shared.sink.carry(&lane, &mut kept, work) => outcome,
            () = stopped(&mut stopping) => return,
        };
        let outcome = if is_batch { outcome.map_err(|failure| failure.of_batch(dones.len())) } else { outcome };
        for done in dones {
            done(outcome.clone());
        }
    }
}

/// Comes some time after the server has begun to stop.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stops| *stops).await;
    tokio::time::sleep(GRACE).await;
}

/// What is to be carried out next: one effect, or a batch. Nothing once the lane is closed.
async fn next<S>(shared: &Shared<S>, lane: &Lane, wake: &Notify) -> Option<Vec<Waiting>> {
    loop {
        let first = shared.lock().pop(lane);
        if let Some(first) = first {
            return Some(gather(shared, lane, wake, first).await);
        }
        if timeout(IDLE, wake.notified()).await.is_err() && shared.lock().close(lane) {
            return None;
        }
    }
}

/// Waits for others to go with the first, as long as its batch may be open.
async fn gather<S>(shared: &Shared<S>, lane: &Lane, wake: &Notify, first: Waiting) -> Vec<Waiting> {
    let Some(batch) = first.effect.batch.clone() else { return vec![first] };
    let closes = first.since + Duration::from_millis(batch.open_ms);
    let mut taken = vec![first];
    loop {
        let is_full = shared.lock().join(lane, &batch, &mut taken);
        if is_full || timeout_at(closes, wake.notified()).await.is_err() {
            return taken;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use cloud::Scope;
    use cloud::actions::HttpRequest;

    use super::*;

    /// A sink that takes a second for each work, or for ever where the URL says so, and keeps what it was given.
    #[derive(Default)]
    struct Slow {
        seen: Arc<Mutex<Vec<String>>>,
        lines: Arc<AtomicUsize>,
    }

    /// A connection, numbered when it is first used.
    #[derive(Default)]
    struct Line(Option<usize>);

    impl Sink for Slow {
        type Kept = Line;

        async fn carry(&self, lane: &Lane, kept: &mut Line, work: Work) -> Outcome {
            let Work::Http(request) = work else { return Err(Failure::new(Cause::Refused, "not HTTP")) };
            let number = *kept.0.get_or_insert_with(|| self.lines.fetch_add(1, Ordering::Relaxed));
            if request.url == "stuck" {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            if request.url == "broken" {
                return Err(Failure::new(Cause::Status(500), "no"));
            }
            let body = String::from_utf8_lossy(&request.body).into_owned();
            self.seen.lock().unwrap().push(format!("{}{number} {body}", lane.rule));
            Ok(())
        }
    }

    struct World {
        lanes: Lanes<Slow>,
        seen: Arc<Mutex<Vec<String>>>,
        stop: watch::Sender<bool>,
        gone: mpsc::Receiver<()>,
        tell: mpsc::UnboundedSender<Outcome>,
        told: mpsc::UnboundedReceiver<Outcome>,
    }

    impl World {
        fn new() -> Self {
            let (stop, stopping) = watch::channel(false);
            let sink = Slow::default();
            let seen = Arc::clone(&sink.seen);
            let (lanes, gone) = Lanes::new(sink, Handle::current(), stopping);
            let (tell, told) = mpsc::unbounded_channel();
            Self { lanes, seen, stop, gone, tell, told }
        }

        fn put(&self, rule: &str, url: &str, body: &str, batch: Option<Batch>) {
            let lane = Lane { scope: Scope::new("1", "r"), rule: rule.to_owned(), action: 0 };
            let body = body.to_owned().into();
            let request = HttpRequest { method: "POST", url: url.to_owned(), headers: Vec::new(), body, sign: None };
            let effect = Effect { resource: String::new(), work: Work::Http(request), batch };
            let tell = self.tell.clone();
            self.lanes.put(&lane, effect, Box::new(move |outcome| drop(tell.send(outcome))));
        }

        async fn told(&mut self, count: usize) -> Vec<Outcome> {
            let mut outcomes = Vec::new();
            assert_eq!(self.told.recv_many(&mut outcomes, count).await, count);
            outcomes
        }

        fn seen(&self) -> Vec<String> {
            self.seen.lock().unwrap().clone()
        }
    }

    fn batch(key: &str) -> Batch {
        Batch { key: key.to_owned(), open_ms: 20, count: 3, bytes: 20 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_keeps_the_order_and_its_line() {
        let mut world = World::new();
        for body in ["a", "b", "c"] {
            world.put("r", "u", body, None);
        }
        for _ in 0..3 {
            world.told(1).await;
        }
        assert_eq!(world.seen(), ["r0 a", "r0 b", "r0 c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_sink_holds_up_nobody_else() {
        let mut world = World::new();
        world.put("dead", "stuck", "a", None);
        world.put("live", "u", "b", None);
        assert!(world.told(1).await[0].is_ok());
        assert_eq!(world.seen().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_no_room_fails_at_once() {
        let mut world = World::new();
        for _ in 0..=MOST_EFFECTS {
            world.put("r", "stuck", "x", None);
        }
        let outcomes = world.told(1).await;
        assert_eq!(outcomes[0].as_ref().unwrap_err().cause, Cause::Overflow);
        let large = "x".repeat(MOST_BYTES);
        world.put("other", "stuck", &large, None);
        world.put("other", "stuck", &large, None);
        assert_eq!(world.told(1).await[0].as_ref().unwrap_err().cause, Cause::Overflow);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_closes_by_count_by_bytes_or_by_time() {
        let mut world = World::new();
        for body in ["1", "2", "3", "4"] {
            world.put("r", "u", body, Some(batch("k")));
        }
        world.put("r", "u", "\"other\"", Some(batch("o")));
        world.put("r", "u", "\"long enough\"", Some(batch("k")));
        world.put("r", "u", "\"too long\"", Some(batch("k")));
        let began = Instant::now();
        for count in [3, 1, 1, 1, 1] {
            world.told(count).await;
        }
        assert_eq!(world.seen(), ["r0 [1,2,3]", "r0 [4,\"long enough\"]", "r0 [\"other\"]", "r0 [\"too long\"]"]);
        // No batch waited: each was full, or older than it may become when its turn came.
        assert_eq!(began.elapsed(), Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_fail_together_know_it() {
        let mut world = World::new();
        for body in ["1", "2", "3", "4"] {
            world.put("r", "broken", body, Some(batch("k")));
        }
        let mut told = world.told(3).await;
        told.extend(world.told(1).await);
        let failed: Vec<_> = told.into_iter().map(|told| told.unwrap_err().batch.unwrap()).collect();
        assert!(failed[0].is(&failed[1]) && failed[0].is(&failed[2]) && failed[0].size() == 3);
        assert!(!failed[0].is(&failed[3]) && failed[3].size() == 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_stays_alone_waits_no_longer_than_it_may() {
        let mut world = World::new();
        let began = Instant::now();
        world.put("r", "u", "1", Some(batch("k")));
        world.told(1).await;
        assert_eq!(began.elapsed(), Duration::from_millis(1020));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_lane_closes_its_line_and_opens_another_later() {
        let mut world = World::new();
        world.put("r", "u", "a", None);
        world.told(1).await;
        tokio::time::sleep(2 * IDLE).await;
        world.put("r", "u", "b", None);
        world.told(1).await;
        assert_eq!(world.seen(), ["r0 a", "r1 b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_lets_finish_what_is_under_way_and_drops_what_waits() {
        let mut world = World::new();
        world.put("r", "u", "a", None);
        world.put("r", "u", "b", None);
        world.put("dead", "stuck", "c", None);
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.stop.send_replace(true);
        assert!(world.told(1).await[0].is_ok());
        drop(world.lanes);
        let began = Instant::now();
        assert_eq!(world.gone.recv().await, None);
        assert!(began.elapsed() <= GRACE);
        assert_eq!(*world.seen.lock().unwrap(), ["r0 a"]);
    }
}
