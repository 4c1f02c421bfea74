//! Functions: their code, run as child processes that speak AWS's Lambda Runtime API, within limits, and told of in their
//! logs. What the Lambda API answers is known to `cloud`; here is only what happens outside of it.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use cloud::{Code, Due, Function, Invocation, Invoked, Keys};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use wire::Refusal;

use crate::server::{Server, entropy, now_ms};
use crate::settings;
use child::{Child, Ending, Plan, TMP};
use conversation::{Given, Said, failed};
use launch::{Limits, Order};
use log::{Batch, Log, Report, Writer};
use pool::{Pools, Seat, Seated, Turn};
use runtimes::{Runtime, Runtimes};
use sandbox::{Sandbox, TASK};
use walls::Walls;
use watch::{Bounds, Breach};

mod child;
mod code;
mod conversation;
mod environment;
mod launch;
mod log;
mod output;
mod peer;
mod pool;
mod queue;
mod runtimes;
mod sandbox;
mod tree;
mod url;
mod walls;
mod watch;

pub(crate) use launch::{WORD, run as child};
pub(crate) use runtimes::DIRECTORY as RUNTIMES;

/// How long a call waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a runtime may take until it asks for its first invocation, if its function has not more time anyway.
const INIT: Duration = Duration::from_secs(10);

/// How often is looked for what nobody needs any more.
const SWEEP: Duration = Duration::from_secs(5);

/// Processes and threads of one function.
const PROCESSES: u64 = 256;

/// Bytes that each of its processes may ask for beyond what the function may use: interpreters ask for much and use little.
const ROOM: u64 = 1 << 30;

/// Open files of one of its processes, as AWS has it.
const DESCRIPTORS: u64 = 1024;

const MEBIBYTE: u64 = 1024 * 1024;

/// Whoever runs functions.
#[derive(Clone)]
pub(crate) struct Functions {
    inner: Arc<Inner>,
    /// What is waiting to be taken up once there is a server.
    waiting: Arc<Mutex<Option<Waiting>>>,
}

struct Waiting {
    batches: mpsc::Receiver<Batch>,
    told: mpsc::UnboundedReceiver<Due>,
}

/// What all invocations share.
struct Inner {
    /// Where children live; the thread behind it is the parent of all of them.
    handle: Handle,
    directory: PathBuf,
    endpoint: String,
    runtimes: Runtimes,
    packages: code::Packages,
    pools: Pools,
    walls: Walls,
    writer: Writer,
    tell: mpsc::UnboundedSender<Due>,
    born: AtomicU64,
    server: OnceLock<Weak<Server>>,
    /// Milliseconds until a failed event is tried again.
    retry: i64,
}

impl Functions {
    /// Prepares everything; children of a server that was here before have ended with it, and what they left goes now.
    pub(crate) fn new(settings: &settings::Functions, data: &Path, endpoint: String) -> io::Result<Self> {
        // Children see other roots than we do.
        let data = std::path::absolute(data)?;
        let directory = data.join("functions");
        match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (writer, batches) = log::writer();
        let (tell, told) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            handle: Handle::current(),
            endpoint,
            runtimes: Runtimes::new(&data, settings.python.clone(), settings.node.clone()),
            packages: code::Packages::new(directory.join("code")),
            pools: Pools::new(settings.concurrency),
            walls: Walls::new(settings.walls, directory.clone()),
            directory,
            writer,
            tell,
            born: AtomicU64::new(0),
            server: OnceLock::new(),
            retry: settings.retry,
        });
        Ok(Self { inner, waiting: Arc::new(Mutex::new(Some(Waiting { batches, told }))) })
    }

    /// Where the house tells of events that wait.
    pub(crate) fn listener(&self) -> impl Fn(Due) + Send + Sync + 'static {
        let tell = self.inner.tell.clone();
        // Nobody listens any more only at the very end.
        move |due| drop(tell.send(due))
    }

    /// Begins: events that waited when the server was closed, logs, and what has to be done from time to time.
    pub(crate) fn serve(&self, server: &Arc<Server>, due: Vec<Due>) {
        let _ = self.inner.server.set(Arc::downgrade(server));
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Waiting { batches, told }) = waiting else { return };
        due.into_iter().for_each(self.listener());
        tokio::spawn(write(Arc::clone(&self.inner), batches));
        tokio::spawn(queue::run(Arc::clone(&self.inner), told));
        tokio::spawn(sweep(Arc::clone(&self.inner)));
    }

    /// Runs a function, whoever is still there to hear what came of it.
    pub(crate) async fn invoke(&self, invocation: Invocation) -> Result<Invoked, Refusal> {
        let running = self.inner.handle.spawn(Arc::clone(&self.inner).carry_out(invocation));
        running.await.unwrap_or_else(|_| Err(Refusal::new("ServiceException", "The invocation was broken off.")))
    }

    /// Ends the children that wait; the others end with this process.
    pub(crate) async fn stop(&self) {
        for seated in self.inner.pools.empty() {
            seated.child.end().await;
        }
    }
}

/// Brings lines to the log groups.
async fn write(inner: Arc<Inner>, mut batches: mpsc::Receiver<Batch>) {
    while let Some(Batch { scope, group, stream, events }) = batches.recv().await {
        let Some(server) = inner.server() else { return };
        let job = server.house.log(&scope, &group, &stream, events, server.now(), server.entropy());
        server.desk.bring(job).await;
    }
}

async fn sweep(inner: Arc<Inner>) {
    let mut seconds = tokio::time::interval(SWEEP);
    seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        let Some(server) = inner.server() else { return };
        let swept = inner.pools.sweep(|key, revision| is_current(&server, key, revision));
        // Whoever waits for the server's end need not wait for children.
        drop(server);
        for seated in swept {
            seated.child.end().await;
        }
        inner.packages.sweep().await;
    }
}

/// Whether a child of a function as it was then may still be asked.
fn is_current(server: &Server, (scope, name, version): &pool::Key, revision: &str) -> bool {
    let known = server.house.is_current(scope, name, version, revision);
    known.unwrap_or_else(|fault| {
        tracing::error!(%fault, "failed to look up a function");
        true
    })
}

/// What came of an invocation before it is told.
struct Course {
    ending: Ending,
    duration: Duration,
    /// How long the child took to start, if it was started for this.
    init: Option<Duration>,
    /// Mebibytes.
    peak: u64,
}

/// A child that is ready, or what became of it.
type Started = Result<(Seated, Option<Duration>), (Arc<Log>, Course)>;

impl Inner {
    fn server(&self) -> Option<Arc<Server>> {
        self.server.get().and_then(Weak::upgrade)
    }

    /// Does an invocation when it has its turn.
    async fn carry_out(self: Arc<Self>, invocation: Invocation) -> Result<Invoked, Refusal> {
        let function = Arc::clone(&invocation.function);
        let turn = self.pools.turn(&function, PATIENCE).await.ok_or_else(busy)?;
        match &function.code {
            Code::Url(url) => Ok(self.post(url, &invocation).await),
            Code::Package { .. } => self.run(&invocation, turn).await,
        }
    }

    async fn post(&self, url: &str, invocation: &Invocation) -> Invoked {
        let log = self.new_log(&invocation.function);
        log.begin();
        log.tell(&start(invocation));
        let began = Instant::now();
        let ending = url::post(url, invocation, Duration::from_secs(invocation.function.timeout)).await;
        told(invocation, &log, &Course { ending, duration: began.elapsed(), init: None, peak: 0 })
    }

    async fn run(self: &Arc<Self>, invocation: &Invocation, turn: Turn) -> Result<Invoked, Refusal> {
        let function = &invocation.function;
        let (mut seated, init) = match self.child(function).await? {
            Ok(ready) => ready,
            Err((log, course)) => {
                log.tell(&start(invocation));
                return Ok(told(invocation, &log, &course));
            }
        };
        let log = Arc::clone(&seated.child.log);
        if init.is_none() {
            log.begin();
        }
        log.tell(&start(invocation));
        let patience = Duration::from_secs(function.timeout);
        let began = Instant::now();
        let ending = seated.child.invoke(given(invocation, patience), patience).await;
        let course = Course { duration: began.elapsed(), init, peak: seated.child.peak(), ending };
        let invoked = told(invocation, &log, &course);
        let rested = matches!(course.ending, Ending::Said(_));
        let returns = rested.then(|| self.pools.returns(function)).flatten();
        let (inner, function) = (Arc::clone(self), Arc::clone(function));
        tokio::spawn(async move {
            // It may still do something before it asks again, and has its turn for that long.
            let rests = rested && seated.child.asks_again(patience).await;
            let gone = if rests { inner.pools.rest(&function, seated) } else { Some(seated) };
            drop((turn, returns));
            if let Some(seated) = gone {
                seated.child.end().await;
            }
        });
        Ok(invoked)
    }

    /// A child that waits, or a new one.
    async fn child(self: &Arc<Self>, function: &Arc<Function>) -> Result<Started, Refusal> {
        loop {
            let (warm, gone) = self.pools.take(function);
            end_all(gone);
            if let Some(seated) = warm {
                return Ok(Ok((seated, None)));
            }
            if !self.pools.one_is_back(function).await {
                break;
            }
        }
        let (seat, evicted) = self.pools.seat(PATIENCE).await;
        end_all(evicted.into_iter().collect());
        let seat = seat.ok_or_else(busy)?;
        let log = self.new_log(function);
        log.begin();
        Ok(self.start(function, log, seat).await)
    }

    async fn start(&self, function: &Function, log: Arc<Log>, seat: Seat) -> Started {
        let course = |ending, init, peak| Course { ending, duration: Duration::ZERO, init, peak };
        let mut child = match self.new_child(function, &log).await {
            Ok(child) => child,
            Err(why) => {
                log.tell(&format!("ombra: {why}"));
                return Err((log, course(Ending::NotStarted(failed("Runtime.NotStarted", &why)), None, 0)));
            }
        };
        match child.ready(INIT.max(Duration::from_secs(function.timeout))).await {
            Ok(init) => Ok((Seated::new(child, seat), Some(init))),
            Err(ending) => {
                let peak = child.peak();
                tokio::spawn(async move {
                    child.end().await;
                    drop(seat);
                });
                Err((log, course(ending, None, peak)))
            }
        }
    }

    async fn new_child(&self, function: &Function, log: &Arc<Log>) -> Result<Child, String> {
        let Code::Package { runtime: asked, handler, sha256 } = &function.code else {
            return Err("a URL is not run here".to_owned());
        };
        let runtime = self.runtimes.find(asked).await?;
        if let Some(version) = &runtime.version {
            let differs = runtimes::differs(asked, version);
            let told = if differs { format!(" (ombra: {asked} was asked for)") } else { String::new() };
            log.tell(&format!("INIT_START Runtime Version: {version}{told}"));
        }
        let keys = self.keys(function)?;
        let task = self.packages.get(sha256, self.fetch(function, sha256)).await?;
        let has_walls = self.walls.are_there().await?;
        let number = self.born.fetch_add(1, Ordering::Relaxed);
        let directory = self.directory.join("run").join(number.to_string());
        let failed = |error: io::Error| format!("failed to start the function: {error}");
        for name in [TMP, "root"] {
            std::fs::create_dir_all(directory.join(name)).map_err(failed)?;
        }
        let listener = TcpListener::bind((own_address(), 0)).await.map_err(failed)?;
        let sandbox = has_walls.then(|| Sandbox {
            root: directory.join("root"),
            task: task.to_path_buf(),
            tmp: directory.join(TMP),
            visible: runtime.made_of.clone(),
            user: walls::user(number),
        });
        let (seen_task, seen_tmp) = match &sandbox {
            Some(_) => (PathBuf::from(TASK), PathBuf::from(sandbox::TMP)),
            None => (task.to_path_buf(), directory.join(TMP)),
        };
        let place = environment::Place {
            runtime: asked,
            handler,
            task: &seen_task,
            tmp: &seen_tmp,
            runtime_api: listener.local_addr().map_err(failed)?.to_string(),
            endpoint: &self.endpoint,
            keys,
        };
        let environment = environment::variables(function, log, place);
        let order = order(function, runtime, handler, sandbox, (seen_task, environment));
        let storage = function.storage * MEBIBYTE;
        let processes = usize::try_from(PROCESSES).unwrap_or(usize::MAX);
        let bounds = Bounds { memory: function.memory * MEBIBYTE, processes, storage };
        let plan = Plan { order, listener, directory, bounds, log: Arc::clone(log), task };
        Child::start(plan).await.map_err(failed)
    }

    fn keys(&self, function: &Function) -> Result<Keys, String> {
        let server = self.server().ok_or("the server is stopping")?;
        server.house.keys(function, server.now(), server.entropy()).map_err(|refusal| refusal.message().to_owned())
    }

    fn fetch(&self, function: &Function, sha256: &str) -> impl FnOnce() -> Result<Vec<u8>, String> + Send + 'static {
        let server = self.server();
        let (scope, name, sha256) = (function.scope.clone(), function.name.clone(), sha256.to_owned());
        move || {
            let server = server.ok_or("the server is stopping")?;
            let package = server.house.package(&scope, &name, &sha256).map_err(|fault| fault.to_string())?;
            package.ok_or_else(|| "the function's code has just been replaced".to_owned())
        }
    }

    fn new_log(&self, function: &Function) -> Arc<Log> {
        let stream = log::stream(&function.version, entropy());
        Log::new(&function.scope, &function.log_group, stream, self.writer.clone())
    }
}

fn end_all(gone: Vec<Seated>) {
    for seated in gone {
        tokio::spawn(seated.child.end());
    }
}

fn busy() -> Refusal {
    let refusal = Refusal::new("TooManyRequestsException", "Rate Exceeded.").with("Type", "User");
    refusal.with("Reason", "ConcurrentInvocationLimitExceeded")
}

/// An address of loopback that no other child has, so that one which knows its own door does not know theirs.
fn own_address() -> Ipv4Addr {
    let [_, a, b, c, ..] = entropy().to_le_bytes();
    Ipv4Addr::new(127, a, b, c.clamp(1, 254))
}

fn order(
    function: &Function,
    runtime: Runtime,
    handler: &str,
    sandbox: Option<Sandbox>,
    (directory, environment): (PathBuf, std::collections::BTreeMap<String, String>),
) -> Order {
    // Relative to the code, where the package brings the program itself.
    let program = directory.join(&runtime.program);
    let mut arguments = runtime.arguments;
    arguments.push(handler.to_owned());
    let limits = Limits {
        data: function.memory * MEBIBYTE + ROOM,
        processes: PROCESSES,
        alone: sandbox.is_some(),
        file: function.storage * MEBIBYTE,
        descriptors: DESCRIPTORS,
    };
    Order { program, arguments, environment, directory, sandbox, limits }
}

fn given(invocation: &Invocation, patience: Duration) -> Given {
    let trace = entropy();
    Given {
        id: invocation.id.clone(),
        deadline: now_ms() + i64::try_from(patience.as_millis()).unwrap_or(i64::MAX),
        arn: invocation.arn.clone(),
        trace: format!("Root=1-{:08x}-{:024x};Sampled=0", now_ms() / 1000, trace >> 32),
        client_context: invocation.client_context.clone(),
        payload: invocation.payload.clone(),
    }
}

fn start(invocation: &Invocation) -> String {
    format!("START RequestId: {} Version: {}", invocation.id, invocation.function.version)
}

/// Tells in the log what came of an invocation, and makes the answer of it.
fn told(invocation: &Invocation, log: &Arc<Log>, course: &Course) -> Invoked {
    let id = invocation.id.as_str();
    let mut status = None;
    let (payload, is_error) = match &course.ending {
        Ending::Said(Said::Answer(payload)) => (payload.clone(), false),
        Ending::Said(Said::Failure(payload)) => (payload.clone(), true),
        Ending::NotStarted(why) => {
            status = Some("error");
            (why.clone(), true)
        }
        Ending::Late => {
            status = Some("timeout");
            // unconfirmed: which of the two forms AWS has used are in use today.
            let words = format!("Task timed out after {:.2} seconds", seconds(invocation.function.timeout));
            log.tell(&format!("{} {id} {words}\n", log::moment()));
            (failed("Sandbox.Timedout", &format!("RequestId: {id} Error: {words}")), true)
        }
        Ending::Exited(code) => {
            status = Some("error");
            (ended(log, id, "Runtime.ExitError", *code), true)
        }
        Ending::Breach(breach) => {
            status = Some("error");
            log.tell(&too_much(invocation, *breach));
            let kind = if *breach == Breach::Memory { "Runtime.OutOfMemory" } else { "Runtime.ExitError" };
            (ended(log, id, kind, 128 + 9), true)
        }
    };
    log.tell(&format!("END RequestId: {id}"));
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let report = Report {
        id,
        duration: milliseconds(course.duration),
        init: course.init.map(milliseconds),
        memory: (invocation.function.memory, course.peak),
        status,
    };
    log.tell(&report.line());
    log.flush_soon();
    Invoked { payload, is_error, log: log.tail() }
}

fn seconds(whole: u64) -> f64 {
    Duration::from_secs(whole).as_secs_f64()
}

/// A process that is gone, as AWS tells of it.
fn ended(log: &Log, id: &str, kind: &str, code: i32) -> bytes::Bytes {
    let how = match code {
        0 => "Runtime exited without providing a reason".to_owned(),
        137 => "Runtime exited with error: signal: killed".to_owned(),
        code if code > 128 => format!("Runtime exited with error: signal: {}", code - 128),
        code => format!("Runtime exited with error: exit status {code}"),
    };
    let message = format!("RequestId: {id} Error: {how}");
    log.tell(&format!("{message}\r{kind}"));
    failed(kind, &message)
}

fn too_much(invocation: &Invocation, breach: Breach) -> String {
    let Function { memory, storage, .. } = *invocation.function;
    match breach {
        Breach::Memory => format!("ombra: the function used more than its {memory} MB of memory and was ended"),
        Breach::Processes => format!("ombra: the function had more than {PROCESSES} processes and was ended"),
        Breach::Storage => format!("ombra: the function kept more than {storage} MB of files and was ended"),
    }
}
