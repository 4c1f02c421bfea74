//! SCRAM-SHA-512, the client's half (RFC 5802): a user shows that he knows a password without saying it, and the server shows
//! that it does too. How the messages travel is unknown here.

use std::num::NonZeroU32;

use aws_lc_rs::digest::{SHA512, digest};
use aws_lc_rs::hmac::{HMAC_SHA512, Key, sign};
use aws_lc_rs::{pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloud::actions::{Cause, Failure};

/// Rounds of hashing that a server may ask for: Kafka's own is 4096, and each costs a little.
const MOST_ROUNDS: u32 = 100_000;

/// A conversation.
pub(super) struct Scram {
    password: String,
    nonce: String,
    /// The client's first message without what stands before the user's name.
    bare: String,
}

impl Scram {
    pub(super) fn new(user: &str, password: &str) -> Result<Self, Failure> {
        let mut bytes = [0; 24];
        let no_luck = |_| Failure::new(Cause::Refused, "The system has no randomness.");
        rand::fill(&mut bytes).map_err(no_luck)?;
        Ok(Self::with_nonce(user, password, &STANDARD.encode(bytes)))
    }

    fn with_nonce(user: &str, password: &str, nonce: &str) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={nonce}");
        Self { password: password.to_owned(), nonce: nonce.to_owned(), bare }
    }

    /// The client's first message.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// The client's last message, from the server's first, and what the server must answer to it.
    pub(super) fn last(&self, server_first: &[u8]) -> Result<(String, String), Failure> {
        let refused = |why: &str| Failure::new(Cause::Refused, format!("The broker's login is not SCRAM: {why}."));
        let text = std::str::from_utf8(server_first).map_err(|_| refused("it is not text"))?;
        let part = |name: &str| text.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let nonce = part("r").filter(|nonce| nonce.starts_with(&self.nonce) && nonce.len() > self.nonce.len());
        let nonce = nonce.ok_or_else(|| refused("it does not go on with our number"))?;
        let salt = part("s").and_then(|salt| STANDARD.decode(salt).ok()).ok_or_else(|| refused("it has no salt"))?;
        let rounds = part("i").and_then(|rounds| rounds.parse().ok());
        let rounds = rounds.filter(|rounds: &NonZeroU32| rounds.get() <= MOST_ROUNDS);
        let rounds = rounds.ok_or_else(|| refused("its rounds are too many, or none"))?;

        let mut salted = [0; 64];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, rounds, &salt, self.password.as_bytes(), &mut salted);
        let unproven = format!("c=biws,r={nonce}");
        let whole = format!("{},{text},{unproven}", self.bare);
        let client_key = hmac(&salted, b"Client Key");
        let signature = hmac(digest(&SHA512, &client_key).as_ref(), whole.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, signature)| key ^ signature).collect();
        let server = hmac(&hmac(&salted, b"Server Key"), whole.as_bytes());
        Ok((format!("{unproven},p={}", STANDARD.encode(proof)), format!("v={}", STANDARD.encode(server))))
    }
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA512, key), text).as_ref().to_vec()
}
