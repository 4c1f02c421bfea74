//! A body on its way in: its encoding comes off, it is measured as it goes past, and lands in memory while it is short or in a
//! file when it is not. Never more than a few hundred kilobytes of it are in memory at a time.

use std::io::Read as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cloud::objects::{Kept, Piece, Received, SMALL};
use wire::Refusal;
use wire::s3::checksum::{Algorithm, Measure};
use wire::s3::chunked::Decoder;
use wire::s3::claim::Claim;
use wire::s3::refused;
use wire::sign::Chunks;

use super::Arriving;
use super::files::{Files, Fresh, Growing, Held};

/// Bytes of the longest body.
const LONGEST: u64 = 5 * 1024 * 1024 * 1024;

/// Bytes that are gathered before they are written.
const BATCH: usize = 256 * 1024;

/// A body that is where it stays, if its file is kept.
pub(super) struct Landed {
    pub(super) received: Received,
    pub(super) fresh: Option<Fresh>,
}

/// Where a body goes, and what it has been measured to be so far.
pub(super) struct Sink {
    measure: Measure,
    files: Arc<Files>,
    /// The name of its file, should it need one.
    name: String,
    place: Place,
}

enum Place {
    Memory(BytesMut),
    File(Growing),
}

impl Sink {
    /// A sink for a body of which this is claimed; parts of uploads lie in files however short they are.
    pub(super) fn new(
        files: &Arc<Files>,
        name: String,
        measure: Measure,
        length: Option<u64>,
        is_part: bool,
    ) -> Result<Self, Refusal> {
        let length = length.unwrap_or(0);
        if length > LONGEST {
            return Err(too_large());
        }
        files.check_room(length)?;
        let place = if is_part { Place::File(files.create(name.clone())?) } else { Place::Memory(BytesMut::new()) };
        Ok(Self { measure, files: Arc::clone(files), name, place })
    }

    /// Takes in more. Takes its time if it is much.
    fn take(&mut self, pieces: &[Bytes]) -> Result<(), Refusal> {
        for piece in pieces {
            self.measure.update(piece);
            if self.measure.size() > LONGEST {
                return Err(too_large());
            }
            match &mut self.place {
                Place::File(file) => file.write(piece)?,
                Place::Memory(bytes) if bytes.len() + piece.len() <= SMALL => bytes.extend_from_slice(piece),
                Place::Memory(bytes) => {
                    let mut file = self.files.create(self.name.clone())?;
                    file.write(bytes)?;
                    file.write(piece)?;
                    self.place = Place::File(file);
                }
            }
        }
        Ok(())
    }

    /// All has been taken in. Takes its time for a file.
    fn finish(self) -> Result<Landed, Refusal> {
        let measured = self.measure.finish();
        Ok(match self.place {
            Place::Memory(bytes) => {
                Landed { received: Received { kept: Kept::Bytes(bytes.freeze()), measured }, fresh: None }
            }
            Place::File(file) => {
                let fresh = file.finish()?;
                Landed { received: Received { kept: Kept::File(self.name), measured }, fresh: Some(fresh) }
            }
        })
    }

    /// Whether all of it, with so much more, is so little that it does not matter where it is done.
    fn is_light(&self, more: usize) -> bool {
        matches!(&self.place, Place::Memory(bytes) if bytes.len() + more <= SMALL)
    }
}

/// Takes a body in to its end, and holds it against its claim.
pub(super) async fn receive(
    body: &mut Arriving,
    claim: &Claim,
    mut sink: Sink,
    chunks: Option<Chunks>,
) -> Result<Landed, Refusal> {
    let mut decoder = claim.is_chunked.then(|| Decoder::verifying(chunks));
    let (mut pieces, mut gathered) = (Vec::new(), 0);
    while let Some(piece) = body.next().await? {
        let mut gather = |piece: Bytes| {
            gathered += piece.len();
            pieces.push(piece);
        };
        match &mut decoder {
            Some(decoder) => decoder.feed(piece, gather)?,
            None => gather(piece),
        }
        if gathered >= BATCH {
            sink = apart(sink, std::mem::take(&mut pieces)).await?;
            gathered = 0;
        }
    }
    let trailers = decoder.map_or(Ok(Vec::new()), Decoder::finish)?;
    let landed = if sink.is_light(gathered) {
        sink.take(&pieces)?;
        sink.finish()?
    } else {
        let sink = apart(sink, pieces).await?;
        blocking(move || sink.finish()).await?
    };
    claim.check(&landed.received.measured, &trailers)?;
    Ok(landed)
}

/// Takes in what is copied from other objects.
pub(super) async fn copy(pieces: Vec<Piece>, held: Held, mut sink: Sink) -> Result<Landed, Refusal> {
    blocking(move || {
        let mut buffer = vec![0; BATCH];
        for piece in pieces {
            match piece {
                Piece::Bytes(bytes) => sink.take(&[bytes])?,
                Piece::File(name, range) => {
                    let mut file = super::send::stretch(&held, &name, &range).map_err(|error| unreadable(&error))?;
                    loop {
                        let read = file.read(&mut buffer).map_err(|error| unreadable(&error))?;
                        if read == 0 {
                            break;
                        }
                        sink.take(&[Bytes::copy_from_slice(&buffer[..read])])?;
                    }
                }
            }
        }
        sink.finish()
    })
    .await
}

async fn apart(mut sink: Sink, pieces: Vec<Bytes>) -> Result<Sink, Refusal> {
    blocking(move || sink.take(&pieces).map(|()| sink)).await
}

/// Runs what takes its time where nobody waits for the thread.
async fn blocking<T: Send + 'static>(run: impl FnOnce() -> Result<T, Refusal> + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(run).await.unwrap_or_else(|error| {
        tracing::error!(%error, "failed to take in an object");
        Err(Refusal::internal_failure("An internal failure occurred; the server's log says more."))
    })
}

/// Takes in a short document whole.
pub(super) async fn document(body: &mut Arriving, claim: &Claim, chunks: Option<Chunks>) -> Result<Bytes, Refusal> {
    let mut decoder = claim.is_chunked.then(|| Decoder::verifying(chunks));
    let mut document = BytesMut::new();
    while let Some(piece) = body.next().await? {
        match &mut decoder {
            Some(decoder) => decoder.feed(piece, |piece| document.extend_from_slice(&piece))?,
            None => document.extend_from_slice(&piece),
        }
        if document.len() > wire::s3::MAX_DOCUMENT_BYTES {
            return Err(refused("MaxMessageLengthExceeded", "Your request was too big."));
        }
    }
    let trailers = decoder.map_or(Ok(Vec::new()), Decoder::finish)?;
    let mut measure = claim.measure(Algorithm::Crc64Nvme);
    measure.update(&document);
    claim.check(&measure.finish(), &trailers)?;
    Ok(document.freeze())
}

fn too_large() -> Refusal {
    refused("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
        .with("MaxSizeAllowed", LONGEST.to_string())
}

fn unreadable(error: &std::io::Error) -> Refusal {
    tracing::error!(%error, "failed to read the file of an object");
    Refusal::internal_failure("An internal failure occurred; the server's log says more.")
}
