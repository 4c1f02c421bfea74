//! The signatures over the chunks of a body that is signed while it is sent: each covers the one before it, and the first the
//! request's own. What of a body is a chunk, and where its signature stands, is unknown here.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256};

use super::canonical::{self, Key, Scope};
use super::{Credential, Rejected};

/// What a request names in place of the hash of such a body, and the same if signed trailers follow it.
const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const WITH_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";

/// The signatures that are to come.
pub struct Chunks {
    key: Key,
    /// Time and scope, as they stand in every text that is signed.
    head: String,
    previous: String,
    has_trailer: bool,
    chunk: Context,
}

/// Keeps what signatures are made with to itself.
impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").field("has_trailer", &self.has_trailer).finish_non_exhaustive()
    }
}

impl Chunks {
    /// Those of a request that was signed with this secret, if it named them in place of its body's hash.
    pub fn of(credential: &Credential, secret: &str, named: &str) -> Option<Self> {
        let Credential { date, region, service, timestamp, signature, .. } = credential;
        let scope = Scope { date, region, service };
        ([SIGNED, WITH_TRAILER].contains(&named)).then(|| Self {
            key: Key::new(secret, &scope),
            head: format!("{timestamp}\n{scope}"),
            previous: signature.clone(),
            has_trailer: named == WITH_TRAILER,
            chunk: Context::new(&SHA256),
        })
    }

    /// Whether trailers that follow are signed too.
    pub fn has_trailer(&self) -> bool {
        self.has_trailer
    }

    /// Takes in more of a chunk.
    pub fn update(&mut self, data: &[u8]) {
        self.chunk.update(data);
    }

    /// The chunk is over, and this is its signature.
    pub fn end(&mut self, signature: &str) -> Result<(), Rejected> {
        let chunk = std::mem::replace(&mut self.chunk, Context::new(&SHA256)).finish();
        let (nothing, hash) = (canonical::sha256(b""), canonical::hex(chunk.as_ref()));
        self.check("AWS4-HMAC-SHA256-PAYLOAD", &format!("{nothing}\n{hash}"), signature)
    }

    /// These trailers are all there are, and this is their signature.
    pub fn end_trailers(&mut self, trailers: &[(String, String)], signature: &str) -> Result<(), Rejected> {
        let lines = trailers.iter().flat_map(|(name, value)| [name, ":", value, "\n"]).collect::<String>();
        self.check("AWS4-HMAC-SHA256-TRAILER", &canonical::sha256(lines.as_bytes()), signature)
    }

    fn check(&mut self, algorithm: &str, hashes: &str, signature: &str) -> Result<(), Rejected> {
        let expected = self.key.sign(&format!("{algorithm}\n{}\n{}\n{hashes}", self.head, self.previous));
        if verify_slices_are_equal(expected.as_bytes(), signature.as_bytes()).is_err() {
            return Err(Rejected::mismatch());
        }
        self.previous = expected;
        Ok(())
    }
}
