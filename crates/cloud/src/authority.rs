//! The certificate authority as the nouns see it: something that issues certificates. How keys are made,
//! where the CA's own key lives and which library signs are unknown here; the door (`server`) brings them,
//! because making a key takes randomness and time that this floor does not have.

/// A certificate fresh from the authority, PEM-encoded.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate, one PEM block.
    pub certificate_pem: String,
    /// The key pair made with it; absent when the caller brought a signing request.
    pub keys: Option<KeyPair>,
}

/// A key pair in PEM. It is handed to the caller once and never stored.
#[derive(Clone)]
pub struct KeyPair {
    /// `SubjectPublicKeyInfo`, PEM.
    pub public_pem: String,
    /// The private key, PEM. Never logged.
    pub private_pem: String,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyPair { .. }")
    }
}

/// Why the authority did not issue.
#[derive(Clone, Debug)]
pub enum NotIssued {
    /// The signing request is not one this authority can sign; the text says why, for the caller.
    BadRequest(String),
    /// The authority itself failed; the text is for the log.
    Failed(String),
}

/// Issues device certificates. Implemented by the server with the CA of the data directory.
pub trait Authority: Send + Sync {
    /// The certificate it issues with, in PEM; further ones may stand behind it.
    fn certificate_pem(&self) -> String;

    /// Makes an RSA-2048 key pair and a certificate for it, valid from `now_ms` until the end of 2049,
    /// subject `CN=AWS IoT Certificate`.
    fn issue_keys(&self, now_ms: i64) -> Result<Issued, NotIssued>;

    /// The certificate, in DER, that the operator put down for host names of an account's own, by account and name with a
    /// slash between; the error says why it cannot be shown to clients.
    fn server_certificate(&self, place: &str) -> Result<Vec<u8>, String>;

    /// Issues a certificate for a PEM certificate signing request (RSA of at least 2048 bits, or NIST
    /// P-256, P-384, P-521), keeping the request's subject.
    fn issue_for_request(&self, csr_pem: &str, now_ms: i64) -> Result<Issued, NotIssued>;
}
