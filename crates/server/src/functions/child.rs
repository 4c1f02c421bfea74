//! One child: a process that runs one function, the conversation with it, its output and the watch over what it takes. It
//! does one invocation at a time, and is ended with everything it started. Which child does what is decided elsewhere.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::process::{ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::conversation::{Conversation, Given, Phase, Said};
use super::launch::{Order, WORD};
use super::log::Log;
use super::output::Output;
use super::watch::{Bounds, Breach, Watch};
use super::{peer, tree};

/// How long the end of a child may take before it is looked after by force.
const END: Duration = Duration::from_secs(3);

/// What a child is made of.
pub(super) struct Plan {
    pub(super) order: Order,
    pub(super) listener: TcpListener,
    /// A directory of its own, which goes with it.
    pub(super) directory: PathBuf,
    pub(super) bounds: Bounds,
    pub(super) log: Arc<Log>,
    /// Where its code is, which stays as long as it does.
    pub(super) task: Arc<PathBuf>,
}

/// A child that runs.
pub(super) struct Child {
    conversation: Arc<Conversation>,
    pub(super) log: Arc<Log>,
    output: Output,
    watch: Watch,
    /// The process that keeps the others; it ends them when this closes.
    keeper: u32,
    hold: Option<ChildStdin>,
    exit: watch::Receiver<Option<i32>>,
    door: JoinHandle<()>,
    directory: PathBuf,
    _task: Arc<PathBuf>,
    born: Instant,
}

/// How an invocation, or the start of a child, ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// In the function's own words.
    Said(Said),
    /// The runtime could not start, and says why.
    NotStarted(Bytes),
    /// The process is gone, with this exit code; 128 and more are signals.
    Exited(i32),
    /// It took too long.
    Late,
    /// It took more than it may.
    Breach(Breach),
}

impl Child {
    /// Starts the process. It is not ready before it asks for an invocation.
    pub(super) async fn start(plan: Plan) -> io::Result<Self> {
        let (read, write) = io::pipe()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(WORD).env_clear().stdin(Stdio::piped()).stdout(write.try_clone()?).stderr(write);
        let mut process = command.spawn()?;
        drop(command);
        let keeper = process.id().ok_or_else(|| io::Error::other("the process ended at once"))?;
        let mut hold = process.stdin.take();
        let order = format!("{}\n", serde_json::to_string(&plan.order)?);
        let (told, exit) = watch::channel(None);
        tokio::spawn(async move {
            let status = process.wait().await;
            told.send_replace(Some(status.ok().and_then(|status| status.code()).unwrap_or(-1)));
        });
        let conversation = Arc::new(Conversation::new());
        let output = Output::read(read.into(), Arc::clone(&plan.log))?;
        let watch = Watch::over(keeper, plan.directory.join(TMP), plan.bounds, conversation.phase());
        let door = tokio::spawn(open(plan.listener, Arc::clone(&conversation), keeper));
        let (directory, born) = (plan.directory, Instant::now());
        let task = plan.task;
        if let Some(hold) = &mut hold {
            // A keeper that does not read it has ended, which is noticed.
            let _ = hold.write_all(order.as_bytes()).await;
        }
        Ok(Self { conversation, log: plan.log, output, watch, keeper, hold, exit, door, directory, _task: task, born })
    }

    /// Waits until it asks for its first invocation: how long that took, or why it never will.
    pub(super) async fn ready(&mut self, patience: Duration) -> Result<Duration, Ending> {
        let mut phase = self.conversation.phase();
        let settled = phase.wait_for(|phase| matches!(phase, Phase::Asking | Phase::NotStarted(_)));
        let ending = tokio::select! {
            biased;
            phase = settled => match phase.as_deref() {
                Ok(Phase::NotStarted(why)) => Ending::NotStarted(why.clone()),
                Ok(_) => return Ok(self.born.elapsed()),
                Err(_) => Ending::Exited(-1),
            },
            breach = self.watch.breached() => Ending::Breach(breach),
            code = exited(&mut self.exit) => Ending::Exited(code),
            () = tokio::time::sleep(patience) => Ending::Late,
        };
        self.output.flush().await;
        Err(self.blame(ending))
    }

    /// Has it do one invocation.
    pub(super) async fn invoke(&mut self, given: Given, patience: Duration) -> Ending {
        let mut phase = self.conversation.phase();
        if !self.conversation.give(given) {
            return Ending::Exited(-1);
        }
        let done = phase.wait_for(|phase| matches!(phase, Phase::Done(_)));
        let ending = tokio::select! {
            biased;
            phase = done => match phase.as_deref() {
                Ok(Phase::Done(said)) => Ending::Said(said.clone()),
                _ => Ending::Exited(-1),
            },
            breach = self.watch.breached() => Ending::Breach(breach),
            code = exited(&mut self.exit) => Ending::Exited(code),
            () = tokio::time::sleep(patience) => Ending::Late,
        };
        // What it wrote before it answered belongs to this invocation.
        self.output.flush().await;
        self.blame(ending)
    }

    /// Waits until it asks for the next invocation; whether it does.
    pub(super) async fn asks_again(&mut self, patience: Duration) -> bool {
        let mut phase = self.conversation.phase();
        let asks = phase.wait_for(|phase| matches!(phase, Phase::Asking));
        tokio::select! {
            biased;
            phase = asks => phase.is_ok(),
            _ = self.watch.breached() => false,
            _ = exited(&mut self.exit) => false,
            () = tokio::time::sleep(patience) => false,
        }
    }

    /// Whether it still waits for an invocation.
    pub(super) fn is_ready(&self) -> bool {
        *self.conversation.phase().borrow() == Phase::Asking && self.exit.borrow().is_none()
    }

    /// How long ago it was started.
    pub(super) fn age(&self) -> Duration {
        self.born.elapsed()
    }

    /// The most memory it has had, in mebibytes.
    pub(super) fn peak(&self) -> u64 {
        self.watch.peak().div_ceil(1024 * 1024)
    }

    /// An exit that the watch caused is told as what caused it.
    fn blame(&self, ending: Ending) -> Ending {
        match (ending, self.watch.breach()) {
            (Ending::Exited(_), Some(breach)) => Ending::Breach(breach),
            (ending, _) => ending,
        }
    }

    /// Ends it and everything that came of it, and removes what it left.
    pub(super) async fn end(mut self) {
        // What it says until here is the function's. What a process complains of while it is ended is not, and would bring back a
        // log group that has been deleted.
        self.output.close().await;
        self.log.flush();
        self.door.abort();
        drop(self.hold.take());
        let kept = tokio::time::timeout(END, exited(&mut self.exit)).await.is_ok();
        let (keeper, directory) = (self.keeper, self.directory);
        let ended = tokio::task::spawn_blocking(move || {
            let ended = kept || tree::end(keeper);
            (ended, remove(&directory))
        });
        match ended.await {
            Ok((true, Ok(()))) => {}
            Ok((false, _)) => tracing::error!(pid = keeper, "a function's processes could not be ended"),
            Ok((_, Err(error))) => tracing::warn!(%error, "what a function left in its directory could not be removed"),
            Err(error) => tracing::error!(%error, "the end of a function's processes was not waited for"),
        }
    }
}

/// A child's temporary directory, in its own.
pub(super) const TMP: &str = "tmp";

/// Lets the child in, and nobody else.
async fn open(listener: TcpListener, conversation: Arc<Conversation>, keeper: u32) {
    let Ok(ours) = listener.local_addr() else { return };
    // Ends with this task, and all its connections with it.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, theirs)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS {
            continue;
        }
        let conversation = Arc::clone(&conversation);
        connections.spawn(async move {
            match is_known(keeper, theirs, ours).await {
                Ok(true) => conversation.serve(stream).await,
                Ok(false) => tracing::warn!(%theirs, "a stranger at a function's door was turned away"),
                Err(error) => tracing::error!(%error, "who is at a function's door cannot be told, so nobody comes in"),
            }
        });
    }
}

/// Connections that a child may have at a time; a runtime needs one or two.
const CONNECTIONS: usize = 16;

async fn is_known(keeper: u32, theirs: SocketAddr, ours: SocketAddr) -> io::Result<bool> {
    let asked = tokio::task::spawn_blocking(move || peer::belongs_to(keeper, theirs, ours));
    asked.await.map_err(io::Error::other)?
}

async fn exited(exit: &mut watch::Receiver<Option<i32>>) -> i32 {
    match exit.wait_for(Option::is_some).await {
        Ok(code) => code.unwrap_or(-1),
        Err(_) => -1,
    }
}

fn remove(directory: &std::path::Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
