//! What a request claims about its body: how it is encoded, how long it is and which digests it has. Whether that is so shows
//! when the body has gone past a `Measure`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checksum::{Algorithm, Measure, Measured};
use super::{Call, not_implemented, refused};
use crate::refusal::Refusal;

/// The claim of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whether the body comes as `aws-chunked`.
    pub is_chunked: bool,
    /// How many bytes there are once that is taken off, where the request says.
    pub length: Option<u64>,
    algorithm: Option<Algorithm>,
    checksum: Option<String>,
    in_trailer: bool,
    md5: Option<Vec<u8>>,
    sha256: Option<String>,
}

const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const STREAMING: &str = "STREAMING-";

impl Claim {
    /// Reads the claim of a request.
    pub fn of(call: &Call) -> Result<Self, Refusal> {
        let signed = call.header("x-amz-content-sha256").filter(|signed| *signed != UNSIGNED);
        let mut encodings = call.header("content-encoding").unwrap_or_default().split(',');
        // Where a hash is named, the body is what has it: a header that nobody signed must not say otherwise.
        let is_chunked = match signed {
            Some(signed) => signed.starts_with(STREAMING),
            None => encodings.any(|encoding| encoding.trim() == "aws-chunked"),
        };
        let named = call.header("x-amz-sdk-checksum-algorithm").map(algorithm_named).transpose()?;
        // A checksum that completes an upload is the object's, and not that of the list which is the body.
        let is_of_body = call.operation != "CompleteMultipartUpload";
        let all = Algorithm::ALL.into_iter().filter(|_| is_of_body);
        let mut sent = all.filter_map(|algorithm| Some((algorithm, call.header(algorithm.header())?)));
        let (header, further) = (sent.next(), sent.next());
        if let Some((algorithm, _)) = header.filter(|(algorithm, value)| !algorithm.is_sum(value)) {
            return Err(refused("InvalidRequest", format!("Value for {} header is invalid.", algorithm.header())));
        }
        let trailer = call.header("x-amz-trailer").map(trailer_named).transpose()?;
        if further.is_some() || (header.is_some() && trailer.is_some()) {
            return Err(refused(
                "InvalidRequest",
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
            ));
        }
        let algorithm = header.map(|(algorithm, _)| algorithm).or(trailer);
        if named.is_some_and(|named| algorithm.is_some_and(|algorithm| algorithm != named)) {
            return Err(refused("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid."));
        }
        let length =
            if is_chunked { call.header("x-amz-decoded-content-length") } else { call.header("content-length") };
        Ok(Self {
            is_chunked,
            length: length.map(|length| length.parse().map_err(|_| invalid_length())).transpose()?,
            algorithm: algorithm.or(named),
            checksum: header.map(|(_, value)| value.to_owned()),
            in_trailer: trailer.is_some(),
            md5: call.header("content-md5").map(md5_of_header).transpose()?,
            sha256: signed.filter(|_| !is_chunked).map(str::to_ascii_lowercase),
        })
    }

    /// What the body is to be measured by; `usual` is the checksum that is made where the request names none.
    pub fn measure(&self, usual: Algorithm) -> Measure {
        Measure::new(self.algorithm.unwrap_or(usual), self.sha256.is_some())
    }

    /// Whether the request names a checksum.
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }

    /// Holds the claim against what the body turned out to be.
    pub fn check(&self, measured: &Measured, trailers: &[(String, String)]) -> Result<(), Refusal> {
        if self.length.is_some_and(|length| length != measured.size) {
            return Err(refused(
                "IncompleteBody",
                "You did not provide the number of bytes specified by the Content-Length HTTP header",
            ));
        }
        if self.md5.as_ref().is_some_and(|md5| md5[..] != measured.md5[..]) {
            return Err(refused("BadDigest", "The Content-MD5 you specified did not match what we received."));
        }
        if self.sha256.is_some() && self.sha256 != measured.sha256 {
            let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
            return Err(refused("XAmzContentSHA256Mismatch", message));
        }
        let name = measured.algorithm.name();
        let trailer = trailers.iter().find(|(sent, _)| sent == measured.algorithm.header()).map(|(_, value)| value);
        let expected = if self.in_trailer { trailer } else { self.checksum.as_ref() };
        match expected {
            Some(expected) if *expected != measured.text() => {
                Err(refused("BadDigest", format!("The {name} you specified did not match the calculated checksum.")))
            }
            None if self.in_trailer => Err(refused(
                "MalformedTrailerError",
                "The request contained trailing data that was not well-formed or did not conform to our published schema.",
            )),
            _ => Ok(()),
        }
    }
}

/// The algorithm of this name.
pub fn algorithm_named(name: &str) -> Result<Algorithm, Refusal> {
    Algorithm::named(name).ok_or_else(|| not_implemented(format!("the checksum algorithm {name}")))
}

fn trailer_named(name: &str) -> Result<Algorithm, Refusal> {
    let found = Algorithm::ALL.into_iter().find(|algorithm| algorithm.header().eq_ignore_ascii_case(name.trim()));
    found.ok_or_else(|| not_implemented(format!("the trailer {name}")))
}

fn md5_of_header(text: &str) -> Result<Vec<u8>, Refusal> {
    let md5 = STANDARD.decode(text).ok().filter(|md5| md5.len() == 16);
    md5.ok_or_else(|| refused("InvalidDigest", "The Content-MD5 you specified was invalid."))
}

fn invalid_length() -> Refusal {
    refused("InvalidArgument", "The length of the body is not a number.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(headers: &[(&str, &str)]) -> Result<Claim, &'static str> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Claim::of(&Call::inside("PutObject", "b", "k", headers.collect())).map_err(|refusal| refusal.error())
    }

    fn checked(headers: &[(&str, &str)], trailers: &[(&str, &str)]) -> Result<(), &'static str> {
        let claim = claim(headers)?;
        let mut measure = claim.measure(Algorithm::Crc64Nvme);
        measure.update(b"123456789");
        let trailers: Vec<_> = trailers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        claim.check(&measure.finish(), &trailers).map_err(|refusal| refusal.error())
    }

    #[test]
    fn a_body_is_what_it_was_said_to_be() {
        let sha256 = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225";
        for (headers, trailers, expected) in [
            (&[][..], &[][..], Ok(())),
            (&[("content-length", "9")], &[], Ok(())),
            (&[("content-length", "8")], &[], Err("IncompleteBody")),
            (&[("content-length", "-9")], &[], Err("InvalidArgument")),
            (&[("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==")], &[], Ok(())),
            (&[("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")], &[], Err("BadDigest")),
            (&[("content-md5", "JfnnlDI7RThF9Rgf")], &[], Err("InvalidDigest")),
            (&[("x-amz-content-sha256", sha256)], &[], Ok(())),
            (&[("x-amz-content-sha256", "00")], &[], Err("XAmzContentSHA256Mismatch")),
            (&[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")], &[], Ok(())),
            (&[("x-amz-checksum-crc32", "y/Q5Jg==")], &[], Ok(())),
            (&[("x-amz-checksum-crc32", "AAAAAA==")], &[], Err("BadDigest")),
            (&[("x-amz-checksum-crc32", "AAAAAAA=")], &[], Err("InvalidRequest")),
            (&[("x-amz-checksum-crc32", "no base64")], &[], Err("InvalidRequest")),
            (&[("x-amz-checksum-crc32", "y/Q5Jg=="), ("x-amz-checksum-sha1", "x")], &[], Err("InvalidRequest")),
            (&[("x-amz-trailer", "x-amz-checksum-crc32")], &[("x-amz-checksum-crc32", "y/Q5Jg==")], Ok(())),
            (&[("x-amz-trailer", "x-amz-checksum-crc32")], &[("x-amz-checksum-crc32", "A")], Err("BadDigest")),
            (&[("x-amz-trailer", "x-amz-checksum-crc32")], &[], Err("MalformedTrailerError")),
            (&[("x-amz-trailer", "x-amz-checksum-md5")], &[], Err("NotImplemented")),
            (&[("x-amz-sdk-checksum-algorithm", "SHA512")], &[], Err("NotImplemented")),
            (
                &[("x-amz-sdk-checksum-algorithm", "SHA1"), ("x-amz-checksum-crc32", "y/Q5Jg==")],
                &[],
                Err("InvalidRequest"),
            ),
        ] {
            assert_eq!(checked(headers, trailers), expected, "{headers:?} {trailers:?}");
        }
    }

    #[test]
    fn the_checksum_that_completes_an_upload_is_not_that_of_its_list() {
        let headers = vec![("x-amz-checksum-crc32".to_owned(), "AAAAAA==".to_owned())];
        let claim = Claim::of(&Call::inside("CompleteMultipartUpload", "b", "k", headers)).unwrap();
        let mut measure = claim.measure(Algorithm::Crc64Nvme);
        measure.update(b"<CompleteMultipartUpload/>");
        claim.check(&measure.finish(), &[]).unwrap();
    }

    #[test]
    fn a_chunked_body_is_as_long_as_it_is_without_its_encoding() {
        let streaming = ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
        let read = claim(&[streaming, ("content-length", "70"), ("x-amz-decoded-content-length", "9")]).unwrap();
        assert!(read.is_chunked && read.length == Some(9) && read.sha256.is_none());
        assert!(claim(&[("content-encoding", "gzip, aws-chunked")]).unwrap().is_chunked);
        let named = ("x-amz-content-sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let read = claim(&[named, ("content-encoding", "aws-chunked")]).unwrap();
        assert!(!read.is_chunked && read.sha256.is_some());
        assert!(!claim(&[("content-encoding", "gzip")]).unwrap().is_chunked);
    }
}
