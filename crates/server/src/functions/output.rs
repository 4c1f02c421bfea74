//! What a child writes, standard output and standard error alike, as lines for its log. Who writes too much is made to wait
//! rather than read at any speed. What the lines say is unknown here.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;
use tokio::sync::{mpsc, oneshot};

use super::log::{LINE, Log};

/// Bytes that are read at a time.
const CHUNK: usize = 16 * 1024;

/// How long is waited between two reads of what nobody keeps any more.
const PAUSE: Duration = Duration::from_millis(50);

/// The reader of a child's output.
pub(super) struct Output {
    flush: mpsc::Sender<oneshot::Sender<()>>,
}

impl Output {
    /// Reads the pipe into the log until the last writer has closed it.
    pub(super) fn read(pipe: OwnedFd, log: Arc<Log>) -> io::Result<Self> {
        let pipe = Receiver::from_owned_fd(pipe)?;
        let (flush, flushes) = mpsc::channel(1);
        tokio::spawn(Reader { pipe, log, line: Vec::new() }.run(flushes));
        Ok(Self { flush })
    }

    /// Returns when everything that was written before is in the log.
    pub(super) async fn flush(&self) {
        let (tell, told) = oneshot::channel();
        // Without a reader there is nothing more to come.
        if self.flush.send(tell).await.is_ok() {
            let _ = told.await;
        }
    }

    /// Has everything in the log that was written before, and nothing that is written from now on.
    pub(super) async fn close(self) {
        self.flush().await;
    }
}

struct Reader {
    pipe: Receiver,
    log: Arc<Log>,
    /// What has come of a line that has not ended.
    line: Vec<u8>,
}

impl Reader {
    async fn run(mut self, mut flushes: mpsc::Receiver<oneshot::Sender<()>>) {
        let mut is_open = true;
        while is_open {
            tokio::select! {
                biased;
                flush = flushes.recv() => {
                    let Some(done) = flush else { return };
                    is_open = self.take_all();
                    self.end_line();
                    // Whoever asked may have given up.
                    let _ = done.send(());
                }
                () = self.ready() => is_open = self.take_some(),
            }
        }
        self.end_line();
        // From now on there is nothing to wait for.
    }

    /// Waits for something to read, and a while longer if nobody keeps it.
    async fn ready(&self) {
        if self.log.is_full() {
            tokio::time::sleep(PAUSE).await;
        }
        // An error shows when it is read.
        let _ = self.pipe.readable().await;
    }

    /// Takes what is there, unless there is too much of it; whether more may come.
    fn take_all(&mut self) -> bool {
        let mut chunk = [0; CHUNK];
        loop {
            // Asked of the system itself: the runtime may not have heard yet that there is something.
            let read = rustix::io::read(&self.pipe, &mut chunk[..]);
            match self.taken(read.map_err(io::Error::from), &chunk) {
                Some(0) => return true,
                Some(_) if self.log.is_full() => return true,
                Some(_) => {}
                None => return false,
            }
        }
    }

    /// Takes at most a chunk; whether more may come.
    fn take_some(&mut self) -> bool {
        let mut chunk = [0; CHUNK];
        let read = self.pipe.try_read(&mut chunk);
        self.taken(read, &chunk).is_some()
    }

    /// How much was taken, or nothing if the pipe is closed.
    fn taken(&mut self, read: io::Result<usize>, chunk: &[u8]) -> Option<usize> {
        match read {
            Ok(0) => None,
            Ok(read) => {
                self.lines(&chunk[..read]);
                Some(read)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(0),
            Err(_) => None,
        }
    }

    fn lines(&mut self, chunk: &[u8]) {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            if self.log.is_full() {
                self.line.clear();
                return;
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.line.len() >= LINE {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            let text = String::from_utf8_lossy(&line);
            self.log.say(text.strip_suffix('\n').unwrap_or(&text));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use cloud::Scope;

    use super::super::log::writer;
    use super::*;

    fn lines(log: &Log, batches: &mut mpsc::Receiver<super::super::log::Batch>) -> Vec<String> {
        log.flush();
        let mut lines = Vec::new();
        while let Ok(batch) = batches.try_recv() {
            lines.extend(batch.events.into_iter().map(|(_, line)| line));
        }
        lines
    }

    #[tokio::test]
    async fn lines_are_whole_and_what_was_written_before_is_there_after_a_flush() {
        let (writer, mut batches) = writer();
        let log = Log::new(&Scope::new("0", "r"), "f", "s".to_owned(), writer);
        let (read, mut write) = io::pipe().unwrap();
        let output = Output::read(read.into(), Arc::clone(&log)).unwrap();
        write.write_all(b"one\ntw").unwrap();
        write.write_all("o\nthr\u{e9}e".as_bytes()).unwrap();
        output.flush().await;
        assert_eq!(lines(&log, &mut batches), ["one\n", "two\n", "thr\u{e9}e\n"]);
        write.write_all(b"four").unwrap();
        drop(write);
        output.flush().await;
        output.flush().await;
        assert_eq!(lines(&log, &mut batches), ["four\n"]);
    }

    #[tokio::test]
    async fn what_is_written_after_the_end_is_not_kept() {
        let (writer, mut batches) = writer();
        let log = Log::new(&Scope::new("0", "r"), "f", "s".to_owned(), writer);
        let (read, mut write) = io::pipe().unwrap();
        let output = Output::read(read.into(), Arc::clone(&log)).unwrap();
        write.write_all(b"last words").unwrap();
        output.close().await;
        // Until the reader is gone there may be room for it; then there is nobody to take it.
        while write.write_all(b"a complaint\n").is_ok() {
            tokio::task::yield_now().await;
        }
        assert_eq!(lines(&log, &mut batches), ["last words\n"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_writes_for_ever_waits() {
        let (writer, mut batches) = writer();
        let log = Log::new(&Scope::new("0", "r"), "f", "s".to_owned(), writer);
        let (read, mut write) = io::pipe().unwrap();
        let output = Output::read(read.into(), Arc::clone(&log)).unwrap();
        let thread = std::thread::spawn(move || {
            let mut written = 0;
            while written < 3 << 20 && write.write_all(&[b'x'; 4096]).is_ok() {
                written += 4096;
            }
        });
        while !thread.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        output.flush().await;
        let lines = lines(&log, &mut batches);
        assert!(lines.iter().map(String::len).sum::<usize>() < 2 << 20);
        assert!(lines.last().unwrap().contains("the rest is cut"), "{:?}", lines.last());
    }
}
