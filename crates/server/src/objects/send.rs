//! An object on its way out: its pieces are read a stretch at a time, no faster than they are taken. What they are pieces of is
//! unknown here.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Take};
use std::ops::Range;

use bytes::Bytes;
use cloud::objects::Piece;
use tokio::sync::mpsc;

use super::files::Held;

/// Bytes that are read at a time.
const STRETCH: u64 = 128 * 1024;

/// Stretches that may wait to be sent.
const AHEAD: usize = 2;

/// A stretch of a file, from its beginning.
pub(super) fn stretch(held: &Held, name: &str, range: &Range<u64>) -> io::Result<Take<File>> {
    let mut file = held.open(name)?;
    file.seek(SeekFrom::Start(range.start))?;
    Ok(file.take(range.end - range.start))
}

/// Reads pieces for whoever takes them from the channel. It ends early if a file cannot be read, which breaks the connection: the
/// length was said before.
pub(super) fn pieces(pieces: Vec<Piece>, held: Held) -> mpsc::Receiver<Bytes> {
    let (tell, told) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        for piece in pieces {
            let sent = match piece {
                Piece::Bytes(bytes) => tell.send(bytes).await.is_ok(),
                Piece::File(name, range) => file(&tell, &held, &name, range).await,
            };
            if !sent {
                return;
            }
        }
    });
    told
}

/// Sends a stretch of a file; whether all of it was.
async fn file(tell: &mpsc::Sender<Bytes>, held: &Held, name: &str, range: Range<u64>) -> bool {
    let mut left = range.end - range.start;
    let mut file = match stretch(held, name, &range) {
        Ok(file) => file,
        Err(error) => return failed(name, &error),
    };
    while left > 0 {
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            let read = file.by_ref().take(STRETCH).read_to_end(&mut bytes);
            read.map(|_| (Bytes::from(bytes), file))
        });
        let bytes = match read.await {
            Ok(Ok((bytes, again))) => {
                file = again;
                bytes
            }
            Ok(Err(error)) => return failed(name, &error),
            // The server stops.
            Err(_) => return false,
        };
        if bytes.is_empty() {
            return failed(name, &io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        left = left.saturating_sub(bytes.len() as u64);
        if tell.send(bytes).await.is_err() {
            return false;
        }
    }
    true
}

fn failed(name: &str, error: &io::Error) -> bool {
    tracing::error!(%error, name, "failed to read the file of an object");
    false
}
