//! The authority that issues at this moment. Another can be put in its place while the server runs: what has been issued
//! stays good, because what counts of a device's certificate is that it is registered.

use std::sync::{Arc, PoisonError, RwLock};

use cloud::{Authority, Issued, NotIssued};

use super::{CaError, CertificateAuthority, Identity};

/// The authority of the data directory, as it is now.
#[derive(Debug)]
pub(crate) struct Current(RwLock<Arc<CertificateAuthority>>);

impl Current {
    /// Begins with this one.
    pub(crate) fn new(authority: CertificateAuthority) -> Self {
        Self(RwLock::new(Arc::new(authority)))
    }

    /// Puts another in its place.
    pub(crate) fn replace(&self, authority: CertificateAuthority) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(authority);
    }

    /// A new certificate for a server of these names and addresses.
    pub(crate) fn issue_for_server(&self, names: &[String], now_ms: i64) -> Result<Identity, CaError> {
        self.get().issue_for_server(names, now_ms)
    }

    fn get(&self) -> Arc<CertificateAuthority> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Authority for Current {
    fn certificate_pem(&self) -> String {
        self.get().certificate_pem()
    }

    fn issue_keys(&self, now_ms: i64) -> Result<Issued, NotIssued> {
        self.get().issue_keys(now_ms)
    }

    fn server_certificate(&self, place: &str) -> Result<Vec<u8>, String> {
        self.get().server_certificate(place)
    }

    fn issue_for_request(&self, csr_pem: &str, now_ms: i64) -> Result<Issued, NotIssued> {
        self.get().issue_for_request(csr_pem, now_ms)
    }
}
