//! How a function's process comes to be: this binary, started again as `ombra function-child`, keeps the process and
//! everything that comes of it, and ends it all when the server lets go of it or is gone itself. Started once more
//! inside, it takes away what the function must not have and becomes the function's runtime.
//!
//! What a runtime says to the server, and what the limits are, is unknown here.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions};
use serde::{Deserialize, Serialize};

use super::sandbox::{self, Sandbox};
use super::tree;

/// The word on the command line, which no person types.
pub(crate) const WORD: &str = "function-child";

/// The word for the process inside.
const INSIDE: &str = "inside";

/// Bytes of an order: a function's environment is at most 4 KiB, paths are short.
const ORDER: u64 = 256 * 1024;

/// What the process inside answers when it cannot become the runtime.
const NOT_STARTED: u8 = 127;

/// Where the programs are that the keeper starts.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What to start, and how tightly.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    /// All of it: nothing is inherited.
    pub(super) environment: BTreeMap<String, String>,
    /// Where it starts.
    pub(super) directory: PathBuf,
    /// The walls around it; none where the system has no namespaces for us.
    pub(super) sandbox: Option<Sandbox>,
    pub(super) limits: Limits,
}

/// What the kernel itself holds each process to.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Limits {
    /// Bytes of memory of its own that a process may ask for, used or not.
    pub(super) data: u64,
    /// Processes and threads of the function's user.
    pub(super) processes: u64,
    /// Whether that user is the function's alone; otherwise those it has already come on top.
    pub(super) alone: bool,
    /// Bytes of one file.
    pub(super) file: u64,
    /// Open files of one process.
    pub(super) descriptors: u64,
}

/// Whether this process was started as a keeper or inside, and what came of it.
pub(crate) fn run(mut words: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let outcome = if words.next().as_deref() == Some(OsStr::new(INSIDE)) { inside() } else { keep() };
    outcome.unwrap_or_else(|error| {
        // It goes where the function's own words go, and so into its log.
        let _ = writeln!(io::stderr(), "ombra: failed to start the function: {error}");
        ExitCode::from(NOT_STARTED)
    })
}

/// Reads the order, and hands on the rest of standard input, which ends when the server does.
fn read_order() -> io::Result<String> {
    let mut order = Vec::new();
    io::stdin().lock().take(ORDER).read_until(b'\n', &mut order)?;
    if order.pop() != Some(b'\n') {
        return Err(io::Error::other("the order was cut short"));
    }
    String::from_utf8(order).map_err(io::Error::other)
}

fn keep() -> io::Result<ExitCode> {
    let text = read_order()?;
    let order: Order = serde_json::from_str(&text)?;
    // A session of its own, so that no terminal reaches it; whoever loses a parent below is ours.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let mut child = start(&order, &text)?;
    let myself = std::process::id();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        tree::end_descendants(myself);
    });
    let status = bury(&mut child)?;
    tree::end_descendants(myself);
    Ok(ExitCode::from(code(status)))
}

fn start(order: &Order, text: &str) -> io::Result<Child> {
    let myself = std::env::current_exe()?;
    let mut command = match &order.sandbox {
        Some(sandbox) => sandbox::command(sandbox),
        None => Command::new(&myself),
    };
    if order.sandbox.is_some() {
        command.arg(&myself);
    }
    let mut child = command.args([WORD, INSIDE]).env_clear().env("PATH", PATH).stdin(Stdio::piped()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        writeln!(input, "{text}")?;
    }
    Ok(child)
}

/// Waits for the runtime's end, and buries whatever else ends meanwhile.
fn bury(child: &mut Child) -> io::Result<ExitStatus> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if Some(ended) == pid => return Ok(ExitStatus::from_raw(status.as_raw())),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// As a shell says it: a signal is 128 and more.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// Gives up what a function must not have, and becomes its runtime.
fn inside() -> io::Result<ExitCode> {
    let order: Order = serde_json::from_str(&read_order()?)?;
    let _ = rustix::process::setsid();
    limit(&order.limits)?;
    match &order.sandbox {
        Some(sandbox) => sandbox::enter(sandbox)?,
        None => sandbox::give_up_privileges(None)?,
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::process::chdir(&order.directory)?;
    // The platform comes first when there is not enough for all.
    let _ = rustix::process::nice(NICE);
    let mut command = Command::new(&order.program);
    command.args(&order.arguments).env_clear().envs(&order.environment).stdin(Stdio::null());
    let error = command.exec();
    Err(io::Error::other(format!("{}: {error}", described(&order.program))))
}

/// How far behind the platform a function stands.
const NICE: i32 = 5;

fn described(program: &Path) -> String {
    program.display().to_string()
}

fn limit(limits: &Limits) -> io::Result<()> {
    let set = |resource, most: u64| {
        // Nobody may raise what is lower already.
        let most = rustix::process::getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
        rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
    };
    set(Resource::Core, 0)?;
    set(Resource::Data, limits.data)?;
    set(Resource::Fsize, limits.file)?;
    set(Resource::Nofile, limits.descriptors)?;
    let others = if limits.alone { 0 } else { tree::tasks_of(rustix::process::getuid().as_raw()) };
    set(Resource::Nproc, limits.processes + others)?;
    Ok(())
}
