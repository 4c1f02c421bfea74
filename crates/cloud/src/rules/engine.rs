//! How messages come to rules: which rules listen, the messages that wait, and one turn after the other in which they are
//! evaluated, off the way of whoever published. What must not be lost is in the store and is read again from there; what waits
//! in memory is bounded. Threads are unknown here, and so is how deeds are carried out.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use broker::Broker;
use bytes::Bytes;
use mqtt::{Publish, QoS, Topic};
use sql::{Call, Payload, Reply};
use store::{Direction, Fault, Key};

use super::execution::{Execution, Run};
use super::gathering::Gathering;
use super::heard::{HEARD, Heard, key};
use super::{Ready, all, ready};
use crate::actions::{Effect, Lane, Outcome};
use crate::house::{House, Job};
use crate::message;
use crate::scope::{Context, Read, Scope};

/// Messages that wait in memory, and their bytes. Beyond them what may be lost is dropped and told, and what may not is
/// fetched from the store when its turn comes.
const WAITING: usize = 10_000;
const WAITING_BYTES: usize = 64 << 20;

/// Messages of one turn.
const PER_TURN: usize = 64;

/// Numbers of messages whose actions are all done, before their rows are taken away together.
const DONE_TOGETHER: usize = 256;

/// The rules of a scope that can act.
#[derive(Default)]
pub(crate) struct Rules {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    /// With the number under which each listens.
    by_name: HashMap<Arc<str>, (u64, Arc<Ready>)>,
    names: HashMap<u64, Arc<str>>,
}

impl Rules {
    /// The rule of this name, if it can act.
    pub(super) fn get(&self, name: &str) -> Option<Arc<Ready>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.by_name.get(name).map(|(_, ready)| Arc::clone(ready))
    }

    /// The names of those who heard something.
    pub(crate) fn names(&self, listeners: &[u64]) -> Vec<Arc<str>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().filter_map(|listener| state.names.get(listener).cloned()).collect()
    }

    /// Puts a rule in place of what its name stood for, or takes that away.
    fn put(&self, broker: &Broker, name: &str, rule: Option<Ready>, number: u64) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((number, old)) = state.by_name.remove(name) {
            state.names.remove(&number);
            if let Some(filter) = &old.filter {
                broker.unlisten(filter, number);
            }
        }
        let Some(rule) = rule else { return };
        let name = Arc::clone(&rule.name);
        if let Some(filter) = &rule.filter {
            broker.listen(filter, number);
        }
        state.names.insert(number, Arc::clone(&name));
        state.by_name.insert(name, (number, Arc::new(rule)));
    }
}

/// What waits for the rules of all scopes.
#[derive(Default)]
pub(crate) struct Engine {
    inbox: Mutex<Inbox>,
    /// Says that there is something to do.
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Batches that have failed, of whose messages not all have done with their other actions.
    pub(super) failed: Gathering<Execution>,
    next_number: AtomicU64,
    next_listener: AtomicU64,
}

#[derive(Default)]
struct Inbox {
    heard: VecDeque<Heard>,
    bytes: usize,
    /// From this number on, messages of the store are not in memory.
    behind: Option<u64>,
    /// Messages that were not put into memory, ever: who has read the store to its end sees whether more came meanwhile.
    passed: u64,
    /// Effects that have been carried out, and calls that have been answered.
    back: VecDeque<Back>,
    /// Numbers of messages that are done with.
    done: Vec<u64>,
}

enum Back {
    Settled(Ticket, Outcome),
    Answered(Box<Run>, Call, Reply),
    Send(Scope, Box<Effect>),
}

/// What comes of a turn.
#[derive(Default)]
pub struct Turn {
    /// To be carried out.
    pub deeds: Vec<Deed>,
    /// To be carried out, whatever comes of it.
    pub errands: Vec<Errand>,
    /// To be answered.
    pub asks: Vec<Ask>,
    /// To be brought to the desk.
    pub jobs: Vec<Job>,
    /// Whether there was nothing to do.
    pub idle: bool,
}

/// One action of a rule for one message, to be carried out.
pub struct Deed {
    /// The queue it waits in.
    pub lane: Lane,
    /// What is to be done.
    pub effect: Effect,
    /// To be given back with what became of it.
    pub ticket: Ticket,
}

/// Something to be sent that no message stands behind.
pub struct Errand {
    /// The queue it waits in.
    pub lane: Lane,
    /// What is to be done.
    pub effect: Effect,
}

/// Stands for a deed until it is known what became of it.
pub struct Ticket {
    pub(super) engine: Arc<Engine>,
    pub(super) execution: Arc<Execution>,
    /// Others that have done once this is settled: an error action speaks for a whole batch.
    pub(super) also: Vec<Arc<Execution>>,
    pub(super) action: u8,
    pub(super) resource: String,
}

impl Ticket {
    /// Tells what became of the deed.
    pub fn settle(self, outcome: Outcome) {
        let engine = Arc::clone(&self.engine);
        engine.bring_back(Back::Settled(self, outcome));
    }
}

/// A question that a statement asks the outside, and waits for.
pub struct Ask {
    engine: Arc<Engine>,
    run: Box<Run>,
    /// The question.
    pub call: Call,
}

impl Ask {
    /// Where it is asked.
    pub fn scope(&self) -> &Scope {
        &self.run.heard.scope
    }

    /// The name of the rule that asks.
    pub fn rule(&self) -> &str {
        &self.run.rule.name
    }

    /// Answers it: with JSON or bytes, or with why there is none.
    pub fn answer(self, answer: Result<Bytes, String>) {
        let reply = match answer {
            Ok(bytes) => Reply::Value(bytes),
            Err(reason) => Reply::Failed(reason),
        };
        self.engine.bring_back(Back::Answered(self.run, self.call, reply));
    }
}

impl Engine {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // Every critical section leaves the inbox whole, so a poisoned lock is still good.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    fn bring_back(&self, back: Back) {
        self.inbox().back.push_back(back);
        self.wake();
    }

    /// Lets something out that no message stands behind.
    pub(crate) fn send(&self, scope: Scope, effect: Effect) {
        self.bring_back(Back::Send(scope, Box::new(effect)));
    }

    /// The next number of a message that must not be lost.
    pub(crate) fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes a message in, or gives it back if there is no room for it.
    fn offer(&self, heard: Heard) -> Result<(), Box<Heard>> {
        let mut inbox = self.inbox();
        let full = inbox.heard.len() >= WAITING || inbox.bytes.saturating_add(heard.size()) > WAITING_BYTES;
        match heard.number {
            Some(number) if full || inbox.behind.is_some() => {
                inbox.behind.get_or_insert(number);
                inbox.passed += 1;
            }
            None if full => {
                return Err(Box::new(heard));
            }
            _ => {
                inbox.bytes += heard.size();
                inbox.heard.push_back(heard);
            }
        }
        drop(inbox);
        self.wake();
        Ok(())
    }

    pub(super) fn finish(&self, heard: &Heard) {
        if let Some(number) = heard.number {
            self.inbox().done.push(number);
        }
    }
}

impl Inbox {
    fn take(&mut self) -> Vec<Heard> {
        let count = self.heard.len().min(PER_TURN);
        let taken: Vec<Heard> = self.heard.drain(..count).collect();
        self.bytes -= taken.iter().map(Heard::size).sum::<usize>().min(self.bytes);
        taken
    }
}

impl House {
    /// Has `wake` called whenever there is something for [`House::rules_turn`] to do.
    pub fn on_rules(&self, wake: impl Fn() + Send + Sync + 'static) {
        // Whoever comes second finds the first one there already, who is woken.
        let _ = self.engine.wake.set(Box::new(wake));
    }

    /// Gets every rule of the store ready, and the messages that were accepted and not dealt with: at the start.
    pub(crate) fn restore_rules(&self, now: i64) -> Result<(), Fault> {
        let view = self.store.read();
        for (scope, name) in all(&view)? {
            self.refresh_rule(&self.context(&scope, now, 0), &name);
        }
        let last = view.range(&HEARD, &Key::all(), None, Direction::Descending, 1)?;
        if let Some((last, _)) = last.first() {
            self.engine.next_number.store(last.u64_at(0)? + 1, Ordering::Relaxed);
            self.engine.inbox().behind = Some(0);
        }
        Ok(())
    }

    /// A rule has been made, changed or taken away.
    pub(crate) fn refresh_rule(&self, cx: &Context, name: &str) {
        let view = self.store.read();
        let rule = ready(Read::new(&view, cx), name).unwrap_or_else(|fault| {
            self.tell_fault(cx.now, &fault);
            None
        });
        let space = self.space(&cx.scope);
        let number = self.engine.next_listener.fetch_add(1, Ordering::Relaxed);
        space.rules.put(&space.broker, name, rule, number);
    }

    /// Lets the rules hear a message that may be lost.
    pub(crate) fn let_hear(&self, cx: &Context, listeners: &[u64], message: &Publish) {
        let rules = self.space(&cx.scope).rules.names(listeners);
        if !rules.is_empty() {
            self.take_in(Heard::new(cx, message.compact(), rules, None));
        }
    }

    /// Takes a message in for the rules that heard it.
    pub(crate) fn take_in(&self, heard: Heard) {
        if let Err(dropped) = self.engine.offer(heard) {
            self.tell_throttled(&dropped);
        }
    }

    /// Evaluates some of what waits. Called again and again by one thread, until it is idle; then whenever it is woken.
    pub fn rules_turn(&self, now: i64, entropy: u128) -> Turn {
        let (back, mut heard) = {
            let mut inbox = self.engine.inbox();
            (std::mem::take(&mut inbox.back), inbox.take())
        };
        if heard.is_empty() {
            heard = self.fetch_behind(now);
        }
        let mut turn = Turn { idle: back.is_empty() && heard.is_empty(), ..Turn::default() };
        for back in back {
            match back {
                Back::Settled(ticket, outcome) => self.settled(ticket, outcome, now, entropy, &mut turn),
                Back::Send(scope, effect) => {
                    // Each target has a lane of its own, so that one that is silent holds up no other.
                    let lane = Lane { scope, rule: effect.resource.clone(), action: 0 };
                    turn.errands.push(Errand { lane, effect: *effect });
                }
                Back::Answered(mut run, call, reply) => {
                    run.answers.insert(call, reply);
                    let payload = Payload::from(run.heard.message.payload.clone());
                    self.run(*run, &payload, (now, entropy), &mut turn);
                }
            }
        }
        for heard in heard {
            self.run_all(heard, now, entropy, &mut turn);
        }
        let mut inbox = self.engine.inbox();
        if inbox.done.len() >= DONE_TOGETHER || (turn.idle && !inbox.done.is_empty()) {
            let done = std::mem::take(&mut inbox.done);
            drop(inbox);
            turn.jobs.push(self.forget(done, now, entropy));
        }
        turn
    }

    /// Messages of the store that are not in memory, the oldest first.
    fn fetch_behind(&self, now: i64) -> Vec<Heard> {
        let (Some(from), passed) = ({
            let inbox = self.engine.inbox();
            (inbox.behind, inbox.passed)
        }) else {
            return Vec::new();
        };
        let after = from.checked_sub(1).map(key);
        let rows = self.store.read().range(&HEARD, &Key::all(), after.as_ref(), Direction::Ascending, PER_TURN);
        let rows = rows.unwrap_or_else(|fault| {
            self.tell_fault(now, &fault);
            Vec::new()
        });
        let mut heard = Vec::with_capacity(rows.len());
        let mut next = from;
        for (place, row) in &rows {
            let read = place.u64_at(0).and_then(|number| {
                next = number + 1;
                Heard::read(number, row)
            });
            match read {
                Ok(read) => heard.push(read),
                Err(fault) => self.tell_fault(now, &fault),
            }
        }
        let mut inbox = self.engine.inbox();
        let caught_up = rows.len() < PER_TURN && inbox.passed == passed;
        inbox.behind = (!caught_up).then_some(next);
        heard
    }

    /// Takes the rows of messages away that are done with.
    fn forget(&self, done: Vec<u64>, now: i64, entropy: u128) -> Job {
        let scope = Scope::new("", "");
        Job::new(self.context(&scope, now, entropy), move |db| {
            for number in &done {
                db.delete_global(&HEARD, &key(*number))?;
            }
            Ok(())
        })
    }

    /// Brings a message to each of its rules.
    fn run_all(&self, heard: Heard, now: i64, entropy: u128, turn: &mut Turn) {
        let space = self.space(&heard.scope);
        // What came by basic ingest must match the filter as well, if the rule has one (rules.md §8).
        // unconfirmed: a filter may also be of the topic with its prefix, `FROM '$aws/rules/RULE/#'`, as public rules have it.
        let ingested = message::ingested(heard.topic()).and_then(|topic| Topic::try_from(topic).ok());
        let takes = |rule: &Arc<Ready>| match (&ingested, &rule.filter) {
            (Some(topic), Some(filter)) => {
                filter.matches(topic) || heard.message.topic.as_ref().is_some_and(|whole| filter.matches(whole))
            }
            _ => true,
        };
        let ready: Vec<Arc<Ready>> =
            heard.rules.iter().filter_map(|name| space.rules.get(name)).filter(takes).collect();
        space.recent.keep(heard.message.clone(), &heard.origin, heard.at);
        let heard = Arc::new(heard);
        if ready.is_empty() {
            self.nobody_heard(&heard, ingested.is_some(), now);
            self.engine.finish(&heard);
            return;
        }
        let open = Arc::new(AtomicU64::new(ready.len() as u64));
        // Read no more than once for all of them, and forgotten after the last: what waits keeps the bytes alone.
        let payload = Payload::from(heard.message.payload.clone());
        for rule in ready {
            let run = Run::new(Arc::clone(&heard), rule, Arc::clone(&open));
            self.run(run, &payload, (now, entropy), turn);
        }
    }

    /// Tells that what came by basic ingest named no rule; of a rule that is gone since, nobody needs to hear.
    fn nobody_heard(&self, heard: &Heard, is_ingested: bool, now: i64) {
        let rules = self.space(&heard.scope);
        if let Some(name) = heard.rules.first().filter(|name| is_ingested && rules.rules.get(name).is_none()) {
            self.tell_rule_not_found(heard, name, now);
        }
    }

    /// Brings a message to one rule, or waits for what it asks.
    fn run(&self, run: Run, payload: &Payload, moment: (i64, u128), turn: &mut Turn) {
        if let Some((run, call)) = self.evaluate(run, payload, moment, turn) {
            turn.asks.push(Ask { engine: Arc::clone(&self.engine), run: Box::new(run), call });
        }
    }
}

/// Whether a message must not be lost on its way to a rule.
pub(crate) fn must_not_be_lost(message: &Publish) -> bool {
    message.qos > QoS::AtMostOnce
}
