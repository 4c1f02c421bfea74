//! The whole house behind one door: requests and packets come in with a time, answers and messages go out.
//!
//! Reads are answered at once. Writes become a [`Job`]; the door queues jobs and brings as many as wait to
//! [`House::commit`], which runs them in one durable commit and only then releases answers and messages.
//! It owns no thread, socket or clock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use broker::Broker;
use store::{Fault, Outcome, Store, Work};
use wire::{Input, Operation, Output, Refusal};

use crate::authority::Authority;
use crate::caller::Caller;
use crate::connection::Connections;
use crate::events::{Event, Kind, Witness};
use crate::news::News;
use crate::operation::{self, Answer, Failure, Run, Writing};
use crate::scope::{Context, Entropy, Read, Scope, Write};
use crate::settings::Settings;

/// The house.
pub struct House {
    pub(crate) store: Store,
    pub(crate) settings: Arc<Settings>,
    pub(crate) witness: Arc<dyn Witness>,
    authority: Arc<dyn Authority>,
    spaces: RwLock<HashMap<Scope, Arc<Space>>>,
    clock: Arc<AtomicI64>,
}

/// The topic space of a scope and who is connected to it.
pub(crate) struct Space {
    pub(crate) broker: Broker,
    pub(crate) connections: Connections,
}

/// What became of a request.
pub enum Plan {
    /// It is answered.
    Done(Result<Output, Refusal>),
    /// It must be written: say what to do with the answer, then bring it to the desk.
    Desk(Job),
}

type Done = Box<dyn FnOnce(Result<Output, Refusal>) + Send>;

/// A write on its way to the desk.
pub struct Job {
    cx: Context,
    run: Writing,
    done: Option<Done>,
}

impl Job {
    pub(crate) fn new(cx: Context, run: impl FnMut(&mut Write) -> Answer<Output> + Send + 'static) -> Self {
        Self { cx, run: Box::new(run), done: None }
    }

    /// What to do with the answer once it is on disk.
    pub fn then(self, done: impl FnOnce(Result<Output, Refusal>) + Send + 'static) -> Self {
        Self { done: Some(Box::new(done)), ..self }
    }
}

/// A job at the desk, and what came of its last run.
struct Unit {
    job: Job,
    answer: Option<Answer<Output>>,
    news: Vec<News>,
}

impl Work for Unit {
    fn run(&mut self, tx: &mut store::Write) -> Outcome {
        let mut db = Write::new(tx, &self.job.cx);
        let answer = (self.job.run)(&mut db);
        self.news = db.into_news();
        let outcome = if answer.is_ok() { Outcome::Keep } else { Outcome::Undo };
        self.answer = Some(answer);
        outcome
    }
}

impl House {
    /// A house over a store.
    pub fn new(store: Store, settings: Settings, authority: Arc<dyn Authority>, witness: Arc<dyn Witness>) -> Self {
        Self {
            store,
            settings: Arc::new(settings),
            witness,
            authority,
            spaces: RwLock::default(),
            clock: Arc::default(),
        }
    }

    /// Whether an operation is built; asked before its input is looked at, so that the 501 comes first.
    pub fn knows(operation: &Operation) -> Result<(), Refusal> {
        match operation::find(operation) {
            Some(_) => Ok(()),
            None => Err(Refusal::not_implemented(operation)),
        }
    }

    /// Answers an operation, or says what must be written for its answer. `now` is in milliseconds.
    pub fn plan(&self, caller: &Caller, operation: &'static Operation, input: Input, now: i64, entropy: u128) -> Plan {
        let cx = self.context(&caller.scope, now, entropy);
        match self.try_plan(caller, operation, input, cx) {
            Ok(plan) => plan,
            Err(failure) => Plan::Done(Err(self.refusal(&caller.scope, now, failure))),
        }
    }

    fn try_plan(&self, caller: &Caller, operation: &'static Operation, input: Input, cx: Context) -> Answer<Plan> {
        let Some(op) = operation::find(operation) else {
            return Err(Refusal::not_implemented(operation).into());
        };
        let started = (op.start)(input, &*self.authority, cx.now)?;
        self.authorize(caller, op.model, &started, &cx)?;
        match started.run {
            Run::Read(run) => Ok(Plan::Done(Ok(run(Read::new(&self.store.read(), &cx))?))),
            Run::Write(run) => Ok(Plan::Desk(Job { cx, run, done: None })),
        }
    }

    /// One turn of the desk: runs the jobs in order, commits what they kept at once, then tells and answers.
    /// A fault means that nothing of it is durable and everybody was told so; the store may be past writing.
    pub fn commit(&self, jobs: Vec<Job>) -> Result<(), Fault> {
        let mut units: Vec<Unit> = jobs.into_iter().map(|job| Unit { job, answer: None, news: Vec::new() }).collect();
        let written = {
            let mut group: Vec<&mut dyn Work> = units.iter_mut().map(|unit| unit as &mut dyn Work).collect();
            self.store.write_all(&mut group)
        };
        if let Err(fault) = &written {
            self.tell_fault(self.clock.load(Ordering::Relaxed), fault);
        }
        for Unit { job, answer, news } in units {
            let answer = match (&written, answer) {
                (Ok(()), Some(answer)) => answer.map_err(|failure| self.refusal(&job.cx.scope, job.cx.now, failure)),
                _ => Err(Refusal::internal_failure("The write could not be made durable.")),
            };
            if answer.is_ok() {
                for news in news {
                    self.release(&job.cx, news);
                }
            }
            if let Some(done) = job.done {
                done(answer);
            }
        }
        written
    }

    /// Plans and, if it must be, commits alone: for tests and for callers that are their own desk.
    pub fn call(
        &self,
        caller: &Caller,
        operation: &'static Operation,
        input: Input,
        now: i64,
        entropy: u128,
    ) -> Result<Output, Refusal> {
        match self.plan(caller, operation, input, now, entropy) {
            Plan::Done(answer) => answer,
            Plan::Desk(job) => {
                let (tell, told) = std::sync::mpsc::channel();
                // A fault is in the answer too; the receiver is right below and outlives the commit.
                let _ = self.commit(vec![job.then(move |answer| drop(tell.send(answer)))]);
                told.recv().unwrap_or_else(|_| Err(Refusal::internal_failure("The job was not run.")))
            }
        }
    }

    fn release(&self, cx: &Context, news: News) {
        match news {
            News::Publication(message, from) => self.route(&cx.scope, cx.now, &message, from),
            News::Identity(certificate_id) => self.refresh(cx, &certificate_id),
            News::OverQuota(limit) => {
                let kind = Kind::Quota { client_id: String::new(), limit: limit.to_owned() };
                self.witness.event(Event::new(cx.now, &cx.scope, kind));
            }
        }
    }

    /// Delivers a message to whoever subscribed in this scope.
    pub(crate) fn route(&self, scope: &Scope, now: i64, message: &mqtt::Publish, from: Option<u64>) {
        let delivered = self.space(scope).broker.route(message, from);
        if self.witness.follows_publications() {
            let topic = message.topic.as_ref().map_or("", mqtt::Topic::as_str).to_owned();
            let text = std::str::from_utf8(&message.payload).ok().filter(|text| text.len() <= 4096);
            let payload = text.map(str::to_owned);
            let kind = Kind::Published { topic, payload, bytes: message.payload.len(), delivered };
            self.witness.event(Event::new(now, scope, kind));
        }
    }

    pub(crate) fn space(&self, scope: &Scope) -> Arc<Space> {
        let known = self.spaces.read().unwrap_or_else(PoisonError::into_inner).get(scope).cloned();
        known.unwrap_or_else(|| {
            let mut spaces = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(spaces.entry(scope.clone()).or_insert_with(|| {
                let broker = Broker::new(self.settings.broker.clone());
                Arc::new(Space { broker, connections: Connections::default() })
            }))
        })
    }

    /// Every topic space, for the doors that count or close.
    pub(crate) fn spaces(&self) -> Vec<Arc<Space>> {
        self.spaces.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn context(&self, scope: &Scope, now: i64, entropy: u128) -> Context {
        self.clock.store(now, Ordering::Relaxed);
        Context { scope: scope.clone(), now, entropy: Entropy::new(entropy), settings: Arc::clone(&self.settings) }
    }

    /// The time as last heard from a door, for what happens between two requests.
    pub(crate) fn clock(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.clock)
    }

    /// What the caller sees of a failure; a fault is told to the witness, and only that it happened to the caller.
    pub(crate) fn refusal(&self, scope: &Scope, now: i64, failure: Failure) -> Refusal {
        match failure {
            Failure::Refusal(refusal) => refusal,
            Failure::Told(both) => {
                let (refusal, refused) = *both;
                self.witness.event(Event::new(now, scope, Kind::Refusal(refused)));
                refusal
            }
            Failure::Fault(fault) => {
                self.tell_fault(now, &fault);
                Refusal::internal_failure("An internal failure occurred; the server's log says more.")
            }
        }
    }

    pub(crate) fn tell_fault(&self, now: i64, fault: &Fault) {
        let kind = Kind::Fault { context: fault.to_string() };
        self.witness.event(Event { at: now, account: String::new(), region: String::new(), kind });
    }
}
