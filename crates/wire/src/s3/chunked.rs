//! The `aws-chunked` encoding, in which SDKs send bodies whose checksum follows them: chunks with their length in front, then
//! trailers. Where chunks are signed, each is held against its signature as soon as it is over; what was handed on of it by then
//! counts for nothing if that fails.

use bytes::{Buf as _, Bytes};

use super::refused;
use crate::refusal::Refusal;
use crate::sign::{Chunks, Rejected};

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
    /// The signatures that are to come, and the one that the chunk at hand has.
    signed: Option<(Chunks, String)>,
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

/// What the extension of a chunk's length and the trailer are called that hold signatures.
const CHUNK_SIGNATURE: &str = "chunk-signature=";
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

impl Decoder {
    /// One that verifies the signatures of chunks, if there are any to verify.
    pub fn verifying(chunks: Option<Chunks>) -> Self {
        Self { signed: chunks.map(|chunks| (chunks, String::new())), ..Self::default() }
    }

    /// Takes a piece in, and hands on the data in it.
    pub fn feed(&mut self, mut piece: Bytes, mut data: impl FnMut(Bytes)) -> Result<(), Refusal> {
        while !piece.is_empty() {
            match self.state {
                State::Data(left) => {
                    let here = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
                    let taken = piece.split_to(here);
                    if let Some((chunks, _)) = &mut self.signed {
                        chunks.update(&taken);
                    }
                    data(taken);
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
            State::End => {}
            State::Trailers if self.line.is_empty() => {}
            State::Trailers => {
                let line = std::mem::take(&mut self.line);
                self.read(&line)?;
            }
            State::Length | State::Data(_) | State::After => {
                return Err(refused("IncompleteBody", "The request body terminated unexpectedly"));
            }
        }
        self.verify_trailers()?;
        Ok(self.trailers)
    }

    /// The last of the trailers is their signature, where there is one. What stands beside a signed body must be signed too.
    fn verify_trailers(&mut self) -> Result<(), Refusal> {
        let Some((chunks, _)) = &mut self.signed else { return Ok(()) };
        if !chunks.has_trailer() {
            return if self.trailers.is_empty() {
                Ok(())
            } else {
                Err(malformed("it has trailers that are not signed"))
            };
        }
        let signature = self.trailers.pop().filter(|(name, _)| name == TRAILER_SIGNATURE).map(|(_, value)| value);
        chunks.end_trailers(&self.trailers, &signature.unwrap_or_default()).map_err(|rejected| unsigned(&rejected))
    }

    /// A chunk is over.
    fn verify_chunk(&mut self) -> Result<(), Refusal> {
        match &mut self.signed {
            Some((chunks, signature)) => chunks.end(signature).map_err(|rejected| unsigned(&rejected)),
            None => Ok(()),
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
            State::After if line.is_empty() => {
                self.verify_chunk()?;
                State::Length
            }
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
                let (length, extension) = line.split_once(';').unwrap_or((line, ""));
                let length = length.trim();
                // A sign would be taken by the parser.
                let length = u64::from_str_radix(length, 16).ok().filter(|_| !length.starts_with('+'));
                let length = length.ok_or_else(|| malformed("a chunk does not say how long it is"))?;
                if let Some((_, signature)) = &mut self.signed {
                    extension.trim().strip_prefix(CHUNK_SIGNATURE).unwrap_or_default().clone_into(signature);
                }
                if length == 0 {
                    self.verify_chunk()?;
                }
                if length == 0 { State::Trailers } else { State::Data(length) }
            }
        };
        Ok(())
    }
}

fn unsigned(rejected: &Rejected) -> Refusal {
    refused("SignatureDoesNotMatch", &*rejected.message)
}

fn malformed(what: &str) -> Refusal {
    refused("InvalidRequest", format!("The body is not aws-chunked: {what}."))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sign::{Signable, credential};

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

    /// A body of two chunks of which the second is short, signed as S3's documentation shows it: 65,536 times the letter `a`,
    /// then 1,024 times.
    fn signed_example() -> (Chunks, Vec<u8>) {
        let authorization = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
            SignedHeaders=host;x-amz-date, \
            Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
        let headers =
            [("authorization", authorization), ("x-amz-date", "20130524T000000Z"), ("host", "s3.amazonaws.com")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let request = Signable { method: "PUT", path: "/b/k", query: "", headers: &headers, payload: b"" };
        let credential = credential(&request).unwrap().unwrap();
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let chunks = Chunks::of(&credential, secret, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD").unwrap();
        let mut body = Vec::new();
        for (length, signature) in [
            (65_536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
            (1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
            (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
        ] {
            body.extend(format!("{length:x};chunk-signature={signature}\r\n").bytes());
            body.extend(std::iter::repeat_n(b'a', length));
            body.extend(b"\r\n");
        }
        (chunks, body)
    }

    fn verified(chunks: Chunks, body: &[u8]) -> Result<usize, String> {
        let (mut decoder, mut data) = (Decoder::verifying(Some(chunks)), 0);
        for piece in body.chunks(1000) {
            let fed = decoder.feed(Bytes::copy_from_slice(piece), |bytes| data += bytes.len());
            fed.map_err(|refusal| refusal.error().to_owned())?;
        }
        decoder.finish().map(|_| data).map_err(|refusal| refusal.error().to_owned())
    }

    #[test]
    fn signed_chunks_are_taken_and_changed_ones_are_not() {
        let (chunks, body) = signed_example();
        assert_eq!(verified(chunks, &body), Ok(66_560));
        for (at, byte) in [(100, b'b'), (20, b'0'), (body.len() - 10, b'0')] {
            let (chunks, mut body) = signed_example();
            body[at] = byte;
            assert_eq!(verified(chunks, &body), Err("SignatureDoesNotMatch".to_owned()), "{at}");
        }
        let (chunks, _) = signed_example();
        assert_eq!(verified(chunks, b"1\r\na\r\n0\r\n\r\n"), Err("SignatureDoesNotMatch".to_owned()));
        let (chunks, mut body) = signed_example();
        body.truncate(body.len() - 2);
        body.extend(b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n");
        assert_eq!(verified(chunks, &body), Err("InvalidRequest".to_owned()));
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
