//! One end of a connection that never blocks, plain or TLS, client or server: what came is handed on in whole packets,
//! what goes is gathered and written when the turn ends. It does not know what the packets say.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use rustls::{Connection, HandshakeKind};

use crate::poll::Poll;

/// What one read of the TLS library takes from the socket; less means that the socket is empty.
const TLS_READ: usize = 4096;

pub(crate) struct Link {
    stream: TcpStream,
    tls: Option<Box<Connection>>,
    key: usize,
    /// The beginning of a packet whose end has not come.
    partial: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    waits_to_write: bool,
}

impl Link {
    /// Takes over a connected socket and has it watched under `key`.
    pub(crate) fn new(stream: TcpStream, tls: Option<Connection>, key: usize, poll: &Poll) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        poll.add(&stream, key)?;
        let tls = tls.map(|mut connection| {
            connection.set_buffer_limit(None);
            Box::new(connection)
        });
        Ok(Self { stream, tls, key, partial: Vec::new(), output: Vec::new(), written: 0, waits_to_write: false })
    }

    /// What will be written by the next `flush`.
    pub(crate) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Whether its TLS session is an earlier one taken up again.
    pub(crate) fn is_resumed(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Reads what is there. `take` gets the bytes and the output, and says how many bytes it has taken; it sees the
    /// rest again with what comes next. Says whether the peer is still there.
    pub(crate) fn receive(
        &mut self,
        scratch: &mut [u8],
        mut take: impl FnMut(&[u8], &mut Vec<u8>) -> usize,
    ) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return self.receive_plain(scratch, take) };
        loop {
            let count = match tls.read_tls(&mut self.stream) {
                Ok(0) => return Ok(false),
                Ok(count) => count,
                Err(error) if is_for_later(&error) => return Ok(true),
                Err(error) => return Err(error),
            };
            let mut left = tls.process_new_packets().map_err(io::Error::other)?.plaintext_bytes_to_read();
            while left > 0 {
                let count = tls.reader().read(scratch)?;
                hand_on(&mut self.partial, &scratch[..count], |bytes| take(bytes, &mut self.output));
                left -= count;
            }
            if count < TLS_READ {
                return Ok(true);
            }
        }
    }

    fn receive_plain(
        &mut self,
        scratch: &mut [u8],
        mut take: impl FnMut(&[u8], &mut Vec<u8>) -> usize,
    ) -> io::Result<bool> {
        loop {
            let count = match self.stream.read(scratch) {
                Ok(0) => return Ok(false),
                Ok(count) => count,
                Err(error) if is_for_later(&error) => return Ok(true),
                Err(error) => return Err(error),
            };
            hand_on(&mut self.partial, &scratch[..count], |bytes| take(bytes, &mut self.output));
            if count < scratch.len() {
                return Ok(true);
            }
        }
    }

    /// Writes what can be written; what cannot is written when the poll says that it can.
    pub(crate) fn flush(&mut self, poll: &Poll) -> io::Result<()> {
        let waits = if let Some(tls) = &mut self.tls {
            if !self.output.is_empty() {
                tls.writer().write_all(&self.output)?;
                self.output.clear();
            }
            while tls.wants_write() && tried(tls.write_tls(&mut self.stream))?.is_some() {}
            tls.wants_write()
        } else {
            while self.written < self.output.len()
                && let Some(count) = tried(self.stream.write(&self.output[self.written..]))?
            {
                self.written += count;
            }
            let waits = self.written < self.output.len();
            if !waits {
                self.output.clear();
                self.written = 0;
            }
            waits
        };
        if waits != self.waits_to_write {
            self.waits_to_write = waits;
            poll.watch_writing(&self.stream, self.key, waits)?;
        }
        Ok(())
    }
}

/// Lets `take` see all that came, without a copy where no packet is torn.
fn hand_on(partial: &mut Vec<u8>, bytes: &[u8], mut take: impl FnMut(&[u8]) -> usize) {
    if partial.is_empty() {
        let taken = take(bytes);
        partial.extend_from_slice(&bytes[taken..]);
    } else {
        partial.extend_from_slice(bytes);
        let taken = take(partial);
        partial.drain(..taken);
    }
}

/// A count, or nothing where it must be tried again later.
fn tried(outcome: io::Result<usize>) -> io::Result<Option<usize>> {
    match outcome {
        Ok(count) => Ok(Some(count)),
        Err(error) if is_for_later(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_packet_is_seen_again_with_its_end() {
        let mut partial = Vec::new();
        let mut seen = Vec::new();
        // Packets of three bytes.
        let mut take = |bytes: &[u8]| {
            seen.push(bytes.to_vec());
            bytes.len() / 3 * 3
        };
        hand_on(&mut partial, b"abcd", &mut take);
        hand_on(&mut partial, b"ef", &mut take);
        hand_on(&mut partial, b"ghi", &mut take);
        assert_eq!(seen, [b"abcd".to_vec(), b"def".to_vec(), b"ghi".to_vec()]);
    }
}
