//! The `aws-chunked` encoding, in which SDKs send bodies whose checksum follows them: chunks with their length in front, then
//! trailers. Signatures of chunks are passed over: whoever checks signatures has to look elsewhere.

use bytes::{Buf as _, Bytes};

use super::refused;
use crate::refusal::Refusal;

/// Bytes of a line between chunks: a length with a signature, or a trailer.
const LINE: usize = 4096;
/// Trailers of a body.
const TRAILERS: usize = 16;

/// Takes the encoding off a body that comes in pieces.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    line: Vec<u8>,
    trailers: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// A line with a length.
    #[default]
    Length,
    /// So many bytes of data.
    Data(u64),
    /// The end of the line after data.
    After,
    /// Lines with trailers, and an empty one.
    Trailers,
    /// Nothing.
    End,
}

impl Decoder {
    /// Takes a piece in, and hands on the data in it.
    pub fn feed(&mut self, mut piece: Bytes, mut data: impl FnMut(Bytes)) -> Result<(), Refusal> {
        while !piece.is_empty() {
            match self.state {
                State::Data(left) => {
                    let here = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
                    data(piece.split_to(here));
                    let left = left - here as u64;
                    self.state = if left == 0 { State::After } else { State::Data(left) };
                }
                State::End => return Err(malformed("bytes follow its end")),
                State::Length | State::After | State::Trailers => {
                    if let Some(line) = self.take_line(&mut piece)? {
                        self.read(&line)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What followed the data, once all has been taken in.
    pub fn finish(mut self) -> Result<Vec<(String, String)>, Refusal> {
        // Some clients leave out the line that ends the trailers.
        match self.state {
            State::End => Ok(self.trailers),
            State::Trailers if self.line.is_empty() => Ok(self.trailers),
            State::Trailers => {
                let line = std::mem::take(&mut self.line);
                self.read(&line)?;
                Ok(self.trailers)
            }
            State::Length | State::Data(_) | State::After => {
                Err(refused("IncompleteBody", "The request body terminated unexpectedly"))
            }
        }
    }

    fn take_line(&mut self, piece: &mut Bytes) -> Result<Option<Vec<u8>>, Refusal> {
        let end = piece.iter().position(|byte| *byte == b'\n');
        let here = end.unwrap_or(piece.len());
        if self.line.len() + here > LINE {
            return Err(malformed("a line between its chunks is too long"));
        }
        self.line.extend_from_slice(&piece.split_to(here));
        if end.is_none() {
            return Ok(None);
        }
        piece.advance(1);
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }

    fn read(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let line = std::str::from_utf8(line).map_err(|_| malformed("a line between its chunks is not text"))?;
        self.state = match self.state {
            State::After if line.is_empty() => State::Length,
            State::After => return Err(malformed("a chunk is longer than it says")),
            State::Trailers if line.is_empty() => State::End,
            State::Trailers => {
                let (name, value) = line.split_once(':').ok_or_else(|| malformed("a trailer has no colon"))?;
                if self.trailers.len() == TRAILERS {
                    return Err(malformed("it has too many trailers"));
                }
                self.trailers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
                State::Trailers
            }
            _ => {
                let length = line.split(';').next().unwrap_or_default().trim();
                // A sign would be taken by the parser.
                let length = u64::from_str_radix(length, 16).ok().filter(|_| !length.starts_with('+'));
                match length.ok_or_else(|| malformed("a chunk does not say how long it is"))? {
                    0 => State::Trailers,
                    length => State::Data(length),
                }
            }
        };
        Ok(())
    }
}

fn malformed(what: &str) -> Refusal {
    refused("InvalidRequest", format!("The body is not aws-chunked: {what}."))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Decoded = (Vec<u8>, Vec<(String, String)>);

    fn decode(body: &[u8], step: usize) -> Result<Decoded, String> {
        let (mut decoder, mut data) = (Decoder::default(), Vec::new());
        for piece in body.chunks(step) {
            let fed = decoder.feed(Bytes::copy_from_slice(piece), |bytes| data.extend_from_slice(&bytes));
            fed.map_err(|refusal| refusal.to_string())?;
        }
        let trailers = decoder.finish().map_err(|refusal| refusal.to_string())?;
        Ok((data, trailers))
    }

    #[test]
    fn data_and_trailers_come_out_however_the_body_is_cut() {
        let body =
            b"5;chunk-signature=00\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\nX-B: c\r\n\r\n";
        let trailers = [("x-amz-checksum-crc32", "DUoRhQ=="), ("x-b", "c")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        for step in 1..=body.len() {
            assert_eq!(decode(body, step), Ok((b"hello world".to_vec(), trailers.to_vec())), "{step}");
        }
    }

    #[test]
    fn the_line_after_the_trailers_may_be_missing() {
        for body in [&b"1\r\na\r\n0\r\n"[..], b"1\r\na\r\n0\r\n\r\n", b"1\na\n0\n\n"] {
            assert_eq!(decode(body, 3), Ok((b"a".to_vec(), Vec::new())));
        }
        assert_eq!(decode(b"0\r\na:b", 3), Ok((Vec::new(), vec![("a".to_owned(), "b".to_owned())])));
    }

    #[test]
    fn what_is_not_whole_or_not_of_the_form_is_refused() {
        for (body, expected) in [
            (&b""[..], "IncompleteBody"),
            (b"5\r\nhell", "IncompleteBody"),
            (b"5\r\nhello", "IncompleteBody"),
            (b"5\r\nhello\r\n", "IncompleteBody"),
            (b"5\r\nhello!\r\n", "InvalidRequest"),
            (b"+5\r\nhello\r\n", "InvalidRequest"),
            (b"five\r\nhello\r\n", "InvalidRequest"),
            (b"0\r\n\r\nmore", "InvalidRequest"),
            (b"0\r\nno colon\r\n\r\n", "InvalidRequest"),
            (b"1;\xFF\r\na\r\n", "InvalidRequest"),
            (&[b'1'; 5000], "InvalidRequest"),
            (&b"0\r\n".iter().copied().chain(b"a:b\r\n".repeat(17)).collect::<Vec<_>>(), "InvalidRequest"),
        ] {
            let refused = decode(body, 7).unwrap_err();
            assert!(refused.starts_with(expected), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn whatever_was_encoded_comes_back(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
            step in 1_usize..30,
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(decode(&body, step), Ok((chunks.concat(), Vec::new())));
        }

        #[test]
        fn no_body_is_too_strange(body in proptest::collection::vec(any::<u8>(), 0..60), step in 1_usize..9) {
            let _ = decode(&body, step);
        }
    }
}
