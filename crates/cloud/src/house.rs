//! The whole house behind one door: requests and packets come in with a time, answers and messages go out.
//!
//! Reads are answered at once. Writes become a [`Job`]; the door queues jobs and brings as many as wait to
//! [`House::commit`], which runs them in one durable commit and only then releases answers and messages.
//! It owns no thread, socket or clock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use broker::{Broker, Confirmed};
use bytes::Bytes;
use mqtt::{Publish, Topic};
use store::{Fault, Outcome, Store, Work};
use wire::{Input, Operation, Output, Refusal};

use crate::authority::Authority;
use crate::caller::Caller;
use crate::connection::{Changed, Clients, Connections, Told};
use crate::entropy::Entropy;
use crate::events::{Event, Kind, Witness};
use crate::figures::Figures;
use crate::identity::Documents;
use crate::logging::{Journal, Logging};
use crate::neighbours::functions::{Due, Invocation};
use crate::neighbours::metrics::Watched;
use crate::news::News;
use crate::operation::{self, Answer, Failure, Run, Writing};
use crate::origin::Origin;
use crate::rules::{self, Engine, Heard, Recent, Rules};
use crate::scope::{Context, Read, Scope, Write};
use crate::sessions;
use crate::settings::Settings;

/// The house.
pub struct House {
    pub(crate) store: Store,
    pub(crate) settings: Arc<Settings>,
    pub(crate) witness: Arc<dyn Witness>,
    pub(crate) authority: Arc<dyn Authority>,
    spaces: RwLock<HashMap<Scope, Arc<Space>>>,
    clock: Arc<AtomicI64>,
    /// Numbers for sets of policies, each used once.
    tokens: Arc<AtomicU64>,
    documents: Arc<Documents>,
    pub(crate) engine: Arc<Engine>,
    /// The house as the origin of what it does itself.
    origin: Arc<Origin>,
    /// Where the platform's own logs wait.
    pub(crate) journal: Arc<Journal>,
    /// The minute in which figures were last written.
    pub(crate) figures_written: AtomicI64,
    /// When it was last looked after metrics.
    pub(crate) metrics_watched: Watched,
    /// When it was last looked for logs to sweep.
    pub(crate) logs_swept: AtomicI64,
    /// Who is told of events that wait for a function.
    due: OnceLock<Box<dyn Fn(Due) + Send + Sync>>,
}

/// The topic space of a scope and who is connected to it.
pub(crate) struct Space {
    pub(crate) broker: Broker,
    pub(crate) connections: Connections,
    pub(crate) clients: Clients,
    pub(crate) rules: Rules,
    /// What was published last, for who tries statements.
    pub(crate) recent: Recent,
    /// Rules that fail or are flooded: each message beyond is no event of its own.
    pub(crate) overheard: Told,
    /// Queues of who is away that have no more room: each message beyond is no event of its own.
    full: Told,
    /// Certificates that registered themselves, or tried to: what is beyond waits for a later attempt.
    pub(crate) introduced: Told,
    /// How often it has changed what thing types add to messages, from 1.
    pub(crate) propagation: Arc<AtomicU64>,
    /// Messages that somebody subscribed to and may not receive: each beyond is no event of its own.
    pub(crate) unheard: Arc<Told>,
    /// What of it is told and counted.
    pub(crate) books: Books,
}

/// What is kept of what happens in a scope.
#[derive(Clone)]
pub(crate) struct Books {
    /// What is told in log groups.
    pub(crate) logging: Arc<Logging>,
    /// What is counted.
    pub(crate) figures: Arc<Figures>,
}

/// What became of a request.
pub enum Plan {
    /// It is answered.
    Done(Result<Output, Refusal>),
    /// It must be written: say what to do with the answer, then bring it to the desk.
    Desk(Job),
    /// It is answered once a client has confirmed a message, or when the time for that is over.
    Wait(Wait),
    /// It is answered by a function, which somebody must run.
    Invoke(Invocation),
    /// It must be written with what lies in a bucket, which somebody must fetch.
    Fetch(Fetch),
}

/// A write that waits for an object.
pub struct Fetch {
    /// The bucket's name.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    write: Box<dyn FnOnce(Bytes) -> Result<Job, Refusal> + Send>,
}

impl Fetch {
    pub(crate) fn new(
        bucket: String,
        key: String,
        write: impl FnOnce(Bytes) -> Result<Job, Refusal> + Send + 'static,
    ) -> Self {
        Self { bucket, key, write: Box::new(write) }
    }

    /// The write, now that the object is there.
    pub fn with(self, object: Bytes) -> Result<Job, Refusal> {
        (self.write)(object)
    }

    /// The answer if it is not there, and this is what was said of it.
    pub fn failed(code: &str, message: &str) -> Refusal {
        let message = format!("Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message}");
        Refusal::new("InvalidParameterValueException", message).with("Type", "User")
    }
}

type Start = Box<dyn FnOnce(&House, Confirmed) -> Option<Job> + Send>;

/// An answer that waits for a client.
pub struct Wait {
    start: Start,
    patience: Duration,
    answer: Output,
}

impl Wait {
    pub(crate) fn new(
        patience: Duration,
        answer: Output,
        start: impl FnOnce(&House, Confirmed) -> Option<Job> + Send + 'static,
    ) -> Self {
        Self { start: Box::new(start), patience, answer }
    }

    /// How long the client is waited for.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Sends what the client is to confirm: `confirmed` is called once it has. What must be written first comes back
    /// for the desk, and with it the answer if the client confirms in time.
    pub fn start(self, house: &House, confirmed: Confirmed) -> (Option<Job>, Output) {
        ((self.start)(house, confirmed), self.answer)
    }

    /// The answer if it does not.
    pub fn late() -> Refusal {
        Refusal::new("GatewayTimeoutException", "The client did not acknowledge the message in time")
    }
}

type Done = Box<dyn FnOnce(Result<Output, Refusal>) + Send>;

/// What the house itself does once a write is on disk, or could not be made: it may lead to further writes.
type After = Box<dyn FnOnce(&House, Context, Result<(), Refusal>) -> Vec<Job> + Send>;

/// A write on its way to the desk.
pub struct Job {
    cx: Context,
    run: Writing,
    after: Option<After>,
    done: Option<Done>,
}

impl Job {
    /// A write of the house's own, which has no answer but that it is done.
    pub(crate) fn new(cx: Context, mut run: impl FnMut(&mut Write) -> Answer<()> + Send + 'static) -> Self {
        Self { cx, run: Box::new(move |db| run(db).map(|()| Output::default())), after: None, done: None }
    }

    /// A write that is answered as its operation is.
    pub(crate) fn answering(cx: Context, run: impl FnMut(&mut Write) -> Answer<Output> + Send + 'static) -> Self {
        Self { cx, run: Box::new(run), after: None, done: None }
    }

    /// What follows from it inside the house.
    pub(crate) fn after(
        self,
        after: impl FnOnce(&House, Context, Result<(), Refusal>) -> Vec<Job> + Send + 'static,
    ) -> Self {
        Self { after: Some(Box::new(after)), ..self }
    }

    /// What to do with the answer once it is on disk.
    pub fn then(self, done: impl FnOnce(Result<Output, Refusal>) + Send + 'static) -> Self {
        Self { done: Some(Box::new(done)), ..self }
    }
}

/// A job at the desk, and what came of its last run.
struct Unit {
    job: Job,
    space: Arc<Space>,
    engine: Arc<Engine>,
    answer: Option<Answer<Output>>,
    news: Vec<News>,
}

impl Unit {
    /// Decides who gets the messages of a transaction, and writes down what must not be lost of them on their way to stored
    /// sessions and to rules, in the same transaction.
    fn plan(&self, db: &mut Write) -> Result<Vec<News>, Fault> {
        let mut planned = Vec::new();
        for news in db.take_news() {
            match news {
                News::Publication(message, from) => {
                    let route = self.space.broker.route(message.topic.as_ref().map_or("", Topic::as_str));
                    let plan = self.space.broker.plan(&route, &message, from);
                    sessions::keep(db, plan.recipients.iter(), &message)?;
                    let rules = self.space.rules.names(route.listeners());
                    planned.push(News::Planned(message.clone(), Arc::new(plan)));
                    self.hear(db, &mut planned, message, rules)?;
                }
                News::Ingested(rule, message) => self.hear(db, &mut planned, message, vec![rule])?,
                News::Planned(message, plan) => {
                    sessions::keep(db, plan.recipients.iter(), &message)?;
                    planned.push(News::Planned(message, plan));
                }
                other => planned.push(other),
            }
        }
        Ok(planned)
    }

    fn hear(
        &self,
        db: &mut Write,
        planned: &mut Vec<News>,
        message: Publish,
        rules: Vec<Arc<str>>,
    ) -> Result<(), Fault> {
        if rules.is_empty() {
            return Ok(());
        }
        let number = rules::must_not_be_lost(&message).then(|| self.engine.number());
        let heard = Heard::new(db.cx, message, rules, number);
        heard.write(db)?;
        planned.push(News::Heard(Box::new(heard)));
        Ok(())
    }
}

impl Work for Unit {
    fn run(&mut self, tx: &mut store::Write) -> Outcome {
        let mut db = Write::new(tx, &self.job.cx);
        let answer = (self.job.run)(&mut db);
        let planned = if answer.is_ok() { self.plan(&mut db) } else { Ok(Vec::new()) };
        let answer = planned.map_err(Failure::Fault).and_then(|news| {
            self.news = news;
            answer
        });
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
            tokens: Arc::default(),
            documents: Arc::default(),
            engine: Arc::default(),
            origin: Arc::default(),
            journal: Arc::default(),
            figures_written: AtomicI64::default(),
            metrics_watched: Watched::default(),
            logs_swept: AtomicI64::default(),
            due: OnceLock::new(),
        }
    }

    /// Tells of every event that waits for a function from now on, once it is on disk. Said once, before anything is written.
    pub fn tell_due(&self, tell: impl Fn(Due) + Send + Sync + 'static) {
        let _ = self.due.set(Box::new(tell));
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
        let origin = Arc::new(Origin::of_caller(caller));
        let cx = self.context(&caller.scope, now, entropy).from(origin);
        match self.try_plan(caller, operation, input, cx) {
            Ok(plan) => plan,
            Err(failure) => Plan::Done(Err(self.refusal(&caller.scope, now, failure))),
        }
    }

    fn try_plan(&self, caller: &Caller, operation: &'static Operation, input: Input, cx: Context) -> Answer<Plan> {
        let Some(op) = operation::find(operation) else {
            return Err(Refusal::not_implemented(operation).into());
        };
        let needs = self.needs(caller, op.model, &input, &cx)?;
        let started = (op.start)(input, &*self.authority, cx.now)?;
        self.authorize(caller, op.model, &started, needs, &cx)?;
        match started.run {
            Run::Read(run) => Ok(Plan::Done(Ok(run(Read::new(&self.store.read(), &cx))?))),
            Run::Live(run) => run(self, &cx),
            Run::Write(run) => Ok(Plan::Desk(Job { cx, run, after: None, done: None })),
        }
    }

    /// One turn of the desk: runs the jobs in order, commits what they kept at once, then tells and answers. What follows
    /// from that is to be brought to the desk as well.
    /// A fault means that nothing of it is durable and everybody was told so; the store may be past writing.
    pub fn commit(&self, jobs: Vec<Job>) -> Result<Vec<Job>, Fault> {
        let unit = |job: Job| Unit {
            space: self.space(&job.cx.scope),
            engine: Arc::clone(&self.engine),
            job,
            answer: None,
            news: Vec::new(),
        };
        let mut units: Vec<Unit> = jobs.into_iter().map(unit).collect();
        let written = {
            let mut group: Vec<&mut dyn Work> = units.iter_mut().map(|unit| unit as &mut dyn Work).collect();
            self.store.write_all(&mut group)
        };
        if let Err(fault) = &written {
            self.tell_fault(self.clock.load(Ordering::Relaxed), fault);
        }
        let mut follow = Vec::new();
        for Unit { job, answer, news, .. } in units {
            let answer = match (&written, answer) {
                (Ok(()), Some(answer)) => answer.map_err(|failure| self.refusal(&job.cx.scope, job.cx.now, failure)),
                _ => Err(Refusal::internal_failure("The write could not be made durable.")),
            };
            if answer.is_ok() {
                for news in news {
                    self.release(&job.cx, news);
                }
            }
            if let Some(after) = job.after {
                let outcome = answer.as_ref().map(|_| ()).map_err(Clone::clone);
                follow.extend(after(self, job.cx, outcome));
            }
            if let Some(done) = job.done {
                done(answer);
            }
        }
        written.map(|()| follow)
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
            Plan::Fetch(_) => Err(Fetch::failed("NoSuchBucket", "Nobody fetches objects here.")),
            Plan::Invoke(_) => Err(Refusal::new("ServiceException", "Nobody runs functions here.")),
            Plan::Wait(wait) => {
                let is_confirmed = Arc::new(AtomicBool::new(false));
                let confirmed = Arc::clone(&is_confirmed);
                let (job, answer) = wait.start(self, Arc::new(move || confirmed.store(true, Ordering::Relaxed)));
                self.commit_all(job.into_iter().collect());
                // Nobody waits here: who has not answered by now is late.
                if is_confirmed.load(Ordering::Relaxed) { Ok(answer) } else { Err(Wait::late()) }
            }
            Plan::Desk(job) => {
                let (tell, told) = std::sync::mpsc::channel();
                // A fault is in the answer too; the receiver is right below and outlives the commit.
                self.commit_all(vec![job.then(move |answer| drop(tell.send(answer)))]);
                told.recv().unwrap_or_else(|_| Err(Refusal::internal_failure("The job was not run.")))
            }
        }
    }

    /// Commits jobs and all that follows from them. A fault ends it, and has been told.
    fn commit_all(&self, mut jobs: Vec<Job>) {
        while let Ok(follow) = self.commit(jobs)
            && !follow.is_empty()
        {
            jobs = follow;
        }
    }

    fn release(&self, cx: &Context, news: News) {
        match news {
            News::Publication(message, from) => drop(self.deliver(cx, &message, from)),
            News::Planned(message, plan) => {
                let space = self.space(&cx.scope);
                let delivered = space.broker.carry_out(&plan, &message, cx.now);
                for full in plan.recipients.iter().filter(|planned| planned.full && space.full.take(cx.now)) {
                    let client_id = full.session.client_id().to_owned();
                    let limit = "a session that is not connected keeps no more messages: its queue is full";
                    let kind = Kind::Quota { client_id, limit: limit.to_owned() };
                    self.witness.event(Event::new(cx.now, &cx.scope, kind));
                }
                self.tell_published(cx, &message, delivered);
            }
            News::Heard(heard) => self.take_in(*heard),
            // Both are news of a transaction, and have become what is planned for them.
            News::Ingested(..) => {}
            News::Rule(name) => self.refresh_rule(cx, &name),
            News::Challenge(effect) => self.engine.send(cx.scope.clone(), *effect),
            News::Identity(principal) => self.refresh(cx, &Changed::Principal(&principal)),
            News::Policy(name) => self.refresh(cx, &Changed::Policy(&name)),
            News::Group(name) => self.refresh(cx, &Changed::Group(&name)),
            News::Propagation => drop(self.space(&cx.scope).propagation.fetch_add(1, Ordering::SeqCst)),
            News::Permissions(principal) => self.refresh_everywhere(cx, &principal),
            News::Logging => self.set_logging(cx),
            News::Count(count) => cx.figures.count(count),
            News::ShadowUpdated(update) => cx.figures.shadow_updated(*update),
            News::Log(record) => cx.logging.write(cx.now, *record),
            News::Due(due) => {
                if let Some(tell) = self.due.get() {
                    tell(due);
                }
            }
            News::Event(kind) => self.witness.event(Event::new(cx.now, &cx.scope, kind)),
            News::OverQuota(limit) => {
                let kind = Kind::Quota { client_id: String::new(), limit: limit.to_owned() };
                self.witness.event(Event::new(cx.now, &cx.scope, kind));
            }
        }
    }

    /// Delivers a message to whoever subscribed in this scope, if nothing has to be stored first; whether it was so.
    pub(crate) fn deliver(&self, cx: &Context, message: &Publish, from: Option<u64>) -> bool {
        let space = self.space(&cx.scope);
        let route = space.broker.route(message.topic.as_ref().map_or("", Topic::as_str));
        let Some(delivered) = space.broker.deliver(&route, message, from, cx.now) else { return false };
        self.tell_published(cx, message, delivered);
        if !route.listeners().is_empty() {
            self.let_hear(cx, route.listeners(), message);
        }
        true
    }

    pub(crate) fn tell_published(&self, cx: &Context, message: &Publish, delivered: usize) {
        if self.witness.follows_publications() {
            self.space(&cx.scope).recent.keep(message.compact(), &cx.origin, cx.now);
            let topic = message.topic.as_ref().map_or("", Topic::as_str).to_owned();
            let text = std::str::from_utf8(&message.payload).ok().filter(|text| text.len() <= 4096);
            let payload = text.map(str::to_owned);
            let kind = Kind::Published { topic, payload, bytes: message.payload.len(), delivered };
            self.witness.event(Event::new(cx.now, &cx.scope, kind));
        }
    }

    /// Lets a message of the house's own go out: at once, or by way of the desk if stored sessions get it.
    pub(crate) fn send_out(&self, cx: Context, message: Publish) -> Option<Job> {
        if self.deliver(&cx, &message, None) {
            return None;
        }
        Some(Job::new(cx, move |db| {
            db.tell(News::Publication(message.clone(), None));
            Ok(())
        }))
    }

    pub(crate) fn space(&self, scope: &Scope) -> Arc<Space> {
        let known = self.spaces.read().unwrap_or_else(PoisonError::into_inner).get(scope).cloned();
        known.unwrap_or_else(|| {
            let broker = Broker::new(self.settings.of_brokers());
            let (connections, clients) = (Connections::default(), Clients::default());
            let (rules, recent) = (Rules::default(), Recent::default());
            let (overheard, full, introduced) = (Told::default(), Told::default(), Told::default());
            let (books, unheard) = (self.books_of(scope), Arc::default());
            let propagation = Arc::new(AtomicU64::new(1));
            let space = Space {
                broker,
                connections,
                clients,
                rules,
                recent,
                overheard,
                full,
                introduced,
                propagation,
                unheard,
                books,
            };
            let mut spaces = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(spaces.entry(scope.clone()).or_insert_with(|| Arc::new(space)))
        })
    }

    /// Every topic space, for the doors that count or close.
    pub(crate) fn scopes(&self) -> Vec<(Scope, Arc<Space>)> {
        let spaces = self.spaces.read().unwrap_or_else(PoisonError::into_inner);
        spaces.iter().map(|(scope, space)| (scope.clone(), Arc::clone(space))).collect()
    }

    /// The time, for decisions that are made between requests.
    pub(crate) fn hear_of_time(&self, now: i64) {
        // Looked at first, because all connections share it and few packets bring another millisecond.
        if self.clock.load(Ordering::Relaxed) != now {
            self.clock.store(now, Ordering::Relaxed);
        }
    }

    pub(crate) fn context(&self, scope: &Scope, now: i64, entropy: u128) -> Context {
        self.context_of(scope, &self.space(scope).books, now, entropy)
    }

    /// The same where the books of the scope are at hand.
    pub(crate) fn context_of(&self, scope: &Scope, books: &Books, now: i64, entropy: u128) -> Context {
        self.hear_of_time(now);
        let (settings, documents) = (Arc::clone(&self.settings), Arc::clone(&self.documents));
        let Books { logging, figures } = books.clone();
        let origin = Arc::clone(&self.origin);
        Context {
            scope: scope.clone(),
            now,
            entropy: Entropy::new(entropy),
            origin,
            settings,
            documents,
            logging,
            figures,
        }
    }

    /// Where numbers for sets of policies come from.
    pub(crate) fn tokens(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.tokens)
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
