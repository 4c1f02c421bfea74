//! What a function's log group gets: the platform's own lines as AWS writes them, and the function's, within bounds. Lines are
//! gathered and brought to the log groups together; where those are kept is unknown here.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cloud::Scope;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::server::now_ms;

/// Bytes of its own lines that a function may log in one invocation.
const INVOCATION: usize = 1024 * 1024;

/// Bytes of one event; a longer line becomes several.
pub(super) const LINE: usize = 256 * 1024;

/// Bytes that are gathered before they are brought away.
const TOGETHER: usize = 64 * 1024;

/// How long lines are gathered that are not too many.
const MOMENT: Duration = Duration::from_millis(100);

/// Bytes of the end of an invocation's log that its caller may have (`LogType: Tail`).
const TAIL: usize = 4096;

/// Batches that may wait to be written.
const WAITING: usize = 1024;

/// Lines for one log stream, with the milliseconds at which they were said.
pub(crate) struct Batch {
    pub(crate) scope: Scope,
    pub(crate) group: String,
    pub(crate) stream: String,
    pub(crate) events: Vec<(i64, String)>,
}

/// Where batches are brought.
pub(super) type Writer = mpsc::Sender<Batch>;

/// A way to the log groups, and its other end.
pub(super) fn writer() -> (Writer, mpsc::Receiver<Batch>) {
    mpsc::channel(WAITING)
}

/// The log stream of one child.
pub(super) struct Log {
    scope: Scope,
    group: String,
    stream: String,
    writer: Writer,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    events: Vec<(i64, String)>,
    bytes: usize,
    /// Bytes of the function's own lines since the invocation began.
    said: usize,
    /// The end of the invocation's log.
    tail: String,
    lost: usize,
    /// Whether somebody will bring away what is gathered.
    will_flush: bool,
}

impl Log {
    /// A stream of this name in a log group; both are made once there is something to say.
    pub(super) fn new(scope: &Scope, group: &str, stream: String, writer: Writer) -> Arc<Self> {
        let (scope, group) = (scope.clone(), group.to_owned());
        Arc::new(Self { scope, group, stream, writer, state: Mutex::default() })
    }

    /// The stream's name.
    pub(super) fn stream(&self) -> &str {
        &self.stream
    }

    /// An invocation begins: what it may say starts over.
    pub(super) fn begin(&self) {
        let mut state = self.state();
        state.said = 0;
        state.tail.clear();
    }

    /// A line of the platform's.
    pub(super) fn tell(&self, line: &str) {
        let mut state = self.state();
        self.add(&mut state, line);
    }

    /// A line of the function's; whether it may say more. What it says beyond its bound is not kept, and told once.
    pub(super) fn say(&self, line: &str) -> bool {
        let mut state = self.state();
        if state.said > INVOCATION {
            return false;
        }
        state.said += line.len() + 1;
        if state.said <= INVOCATION {
            self.add(&mut state, line);
            return true;
        }
        let told = format!("ombra: the function wrote more than {INVOCATION} bytes in one invocation; the rest is cut");
        self.add(&mut state, &told);
        false
    }

    /// Whether the function has said all that it may.
    pub(super) fn is_full(&self) -> bool {
        self.state().said > INVOCATION
    }

    /// The end of the invocation's log, at most as many bytes as AWS gives.
    pub(super) fn tail(&self) -> String {
        let state = self.state();
        let from = state.tail.ceil_char_boundary(state.tail.len().saturating_sub(TAIL));
        state.tail[from..].to_owned()
    }

    /// Brings away what is gathered, in a moment: one commit is enough for all that is said until then.
    pub(super) fn flush_soon(self: &Arc<Self>) {
        if !std::mem::replace(&mut self.state().will_flush, true) {
            let log = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(MOMENT).await;
                log.state().will_flush = false;
                log.flush();
            });
        }
    }

    /// Brings away what is gathered.
    pub(super) fn flush(&self) {
        self.bring(&mut self.state());
    }

    fn add(&self, state: &mut State, line: &str) {
        // A runtime that has no other way separates the lines of one event by carriage returns.
        let line = format!("{}\n", line.trim_end_matches(['\r', '\n']).replace('\r', "\n"));
        state.tail.push_str(&line);
        if state.tail.len() > 4 * TAIL {
            let from = state.tail.ceil_char_boundary(state.tail.len() - TAIL);
            state.tail.drain(..from);
        }
        state.bytes += line.len();
        state.events.push((now_ms(), line));
        if state.bytes >= TOGETHER {
            self.bring(state);
        }
    }

    fn bring(&self, state: &mut State) {
        state.bytes = 0;
        let mut events = std::mem::take(&mut state.events);
        if events.is_empty() {
            return;
        }
        let count = events.len();
        if state.lost > 0 {
            events
                .push((now_ms(), format!("ombra: {} lines are missing here: the log could not keep up\n", state.lost)));
        }
        let (scope, group, stream) = (self.scope.clone(), self.group.clone(), self.stream.clone());
        match self.writer.try_send(Batch { scope, group, stream, events }) {
            Ok(()) => state.lost = 0,
            Err(_) => state.lost += count,
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.flush();
    }
}

/// The name of a new stream, as AWS makes it: the day, the version, and something that nobody else has.
pub(super) fn stream(version: &str, entropy: u128) -> String {
    let day = Timestamp::now().strftime("%Y/%m/%d").to_string();
    format!("{day}/[{version}]{entropy:032x}")
}

/// What an invocation took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report<'a> {
    pub(super) id: &'a str,
    /// Milliseconds.
    pub(super) duration: f64,
    /// Milliseconds until the runtime asked for its first invocation, if this was it.
    pub(super) init: Option<f64>,
    /// Mebibytes that it may use, and that it did use at most.
    pub(super) memory: (u64, u64),
    /// What AWS calls it, if it did not end by itself.
    pub(super) status: Option<&'a str>,
}

impl Report<'_> {
    /// The line, with the tab at its end that AWS writes too.
    pub(super) fn line(&self) -> String {
        let Self { id, duration, init, memory: (size, used), status } = self;
        // unconfirmed: that what the start took is billed with the first invocation.
        let billed = (duration + init.unwrap_or(0.0)).ceil();
        let mut line = format!(
            "REPORT RequestId: {id}\tDuration: {duration:.2} ms\tBilled Duration: {billed:.0} ms\t\
             Memory Size: {size} MB\tMax Memory Used: {used} MB\t"
        );
        // Writing to a string cannot fail.
        if let Some(init) = init {
            let _ = write!(line, "Init Duration: {init:.2} ms\t");
        }
        if let Some(status) = status {
            let _ = write!(line, "Status: {status}");
        }
        line
    }
}

/// A moment as AWS writes it in front of a line.
pub(super) fn moment() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> (Arc<Log>, mpsc::Receiver<Batch>) {
        let (writer, batches) = writer();
        (Log::new(&Scope::new("000000000000", "us-east-1"), "/aws/lambda/f", "s".to_owned(), writer), batches)
    }

    #[test]
    fn lines_come_together_and_in_order() {
        let (log, mut batches) = log();
        log.begin();
        log.tell("START");
        assert!(log.say("[ERROR] E\rTraceback\r  File\r"));
        log.flush();
        let batch = batches.try_recv().unwrap();
        assert_eq!((batch.group.as_str(), batch.stream.as_str()), ("/aws/lambda/f", "s"));
        let lines: Vec<&str> = batch.events.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(lines, ["START\n", "[ERROR] E\nTraceback\n  File\n"]);
        assert_eq!(log.tail(), "START\n[ERROR] E\nTraceback\n  File\n");
        drop(log);
        assert!(batches.try_recv().is_err());
    }

    #[test]
    fn who_writes_for_ever_is_cut_and_told_until_the_next_invocation() {
        let (log, mut batches) = log();
        log.begin();
        let line = "x".repeat(1023);
        for _ in 0..1024 {
            assert!(log.say(&line));
        }
        assert!(!log.say(&line));
        assert!(!log.say(&line) && log.is_full());
        log.tell("END");
        log.flush();
        let mut lines = Vec::new();
        while let Ok(batch) = batches.try_recv() {
            lines.extend(batch.events.into_iter().map(|(_, line)| line));
        }
        assert_eq!(lines.len(), 1026);
        assert!(lines[1024].contains("the rest is cut"), "{}", lines[1024]);
        assert_eq!(lines[1025], "END\n");
        assert!(log.tail().len() <= TAIL && log.tail().ends_with("END\n"));
        log.begin();
        assert!(log.say("again"));
    }

    #[test]
    fn what_the_writer_cannot_take_is_counted() {
        let (log, mut batches) = log();
        for _ in 0..WAITING + 2 {
            log.tell("x");
            log.flush();
        }
        while batches.try_recv().is_ok() {}
        log.tell("y");
        log.flush();
        let batch = batches.try_recv().unwrap();
        assert_eq!(batch.events[1].1, "ombra: 2 lines are missing here: the log could not keep up\n");
    }

    #[test]
    fn a_report_reads_as_aws_writes_it() {
        let report = Report { id: "i", duration: 1.236, init: None, memory: (128, 36), status: None };
        let line = "REPORT RequestId: i\tDuration: 1.24 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t";
        assert_eq!(report.line(), line);
        let report = Report { init: Some(100.0), status: Some("timeout"), ..report };
        let expected = line.replace("2 ms", "102 ms") + "Init Duration: 100.00 ms\tStatus: timeout";
        assert_eq!(report.line(), expected);
    }

    #[test]
    fn a_stream_is_named_by_day_version_and_chance() {
        let name = stream("$LATEST", 255);
        assert_eq!(name.len(), "2024/05/06/[$LATEST]".len() + 32);
        assert!(name.ends_with("/[$LATEST]000000000000000000000000000000ff"), "{name}");
    }
}
