//! Bodies that a client has compressed, as SDKs do with large ones of some services. Opened within bounds: what a few bytes may
//! grow to is not for the sender to decide. What is in them is unknown here.

use std::io::Read as _;

use bytes::Bytes;
use flate2::read::GzDecoder;
use wire::Refusal;

/// How much larger than an ordinary body an opened one may be.
const GROWTH: usize = 8;

/// The body as it was before it was compressed, if a header says that it was; `max_body` is what an ordinary one may have.
pub(crate) fn opened(body: &Bytes, headers: &[(String, String)], max_body: usize) -> Result<Bytes, Refusal> {
    let encoding = headers.iter().find(|(name, _)| name == "content-encoding").map(|(_, value)| value.trim());
    match encoding {
        None | Some("" | "identity") => Ok(body.clone()),
        Some(encoding) if encoding.eq_ignore_ascii_case("gzip") => open(body, max_body.saturating_mul(GROWTH)),
        Some(other) => {
            let message = format!("The content encoding {other} is not supported; gzip is.");
            Err(Refusal::unsupported_encoding(message))
        }
    }
}

fn open(body: &Bytes, most: usize) -> Result<Bytes, Refusal> {
    let mut opened = Vec::new();
    // One byte more than may be, to see whether there is one.
    let read = GzDecoder::new(&body[..]).take(most as u64 + 1).read_to_end(&mut opened);
    read.map_err(|_| Refusal::invalid_request("The body is not gzip, though its content encoding says so."))?;
    if opened.len() > most {
        return Err(Refusal::payload_too_large("The payload exceeds the maximum size allowed"));
    }
    Ok(opened.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn closed(body: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap().into()
    }

    fn gzip(encoding: &str) -> Vec<(String, String)> {
        vec![("content-encoding".to_owned(), encoding.to_owned())]
    }

    #[test]
    fn what_was_compressed_is_as_it_was_before() {
        assert_eq!(opened(&closed(b"{}"), &gzip("gzip"), 10).unwrap(), "{}");
        assert_eq!(opened(&Bytes::from_static(b"{}"), &[], 10).unwrap(), "{}");
        assert_eq!(opened(&Bytes::from_static(b"{}"), &gzip("identity"), 10).unwrap(), "{}");
    }

    #[test]
    fn what_grows_beyond_bounds_is_not_opened() {
        let zeros = closed(&vec![0; 1 << 20]);
        assert!(zeros.len() < 10_000);
        assert_eq!(opened(&zeros, &gzip("gzip"), 10_000).unwrap_err().error(), "RequestEntityTooLargeException");
        assert_eq!(opened(&closed(&[0; 80]), &gzip("gzip"), 10).unwrap().len(), 80);
    }

    #[test]
    fn what_is_not_as_it_says_is_refused() {
        let refused = |body: &[u8], encoding: &str| {
            opened(&Bytes::copy_from_slice(body), &gzip(encoding), 10).unwrap_err().error()
        };
        assert_eq!(refused(b"{}", "gzip"), "InvalidRequestException");
        assert_eq!(refused(&closed(b"{}")[..15], "gzip"), "InvalidRequestException");
        assert_eq!(refused(b"{}", "br"), "UnsupportedDocumentEncodingException");
    }
}
