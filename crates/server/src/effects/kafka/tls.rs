//! How TLS is spoken with a cluster whose rule brings stores: whom they vouch for, and the certificate that they hold. Opening
//! one takes time by design, so it happens beside the lanes, one store at a time. Brokers are unknown here.

use std::sync::Arc;

use cloud::actions::{Cause, Failure, KafkaStore, KafkaTls};
use p12_keystore::{KeyStore, Pkcs12Archive, Pkcs12ImportPolicy};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::effects::client::{Client, Identity, speaking};

/// A store says itself how much work its password is; whoever makes that much keeps other stores waiting, and nobody else.
static TURN: Semaphore = Semaphore::const_new(1);

/// How TLS is to be spoken.
pub(super) async fn config(client: &Client, tls: &KafkaTls) -> Result<Arc<ClientConfig>, Failure> {
    if *tls == KafkaTls::default() {
        return Ok(Arc::clone(client.tls()));
    }
    let (roots, tls) = (Arc::clone(client.roots()), tls.clone());
    let turn = TURN.acquire().await;
    let made = spawn_blocking(move || {
        let made = made(roots, &tls);
        drop(turn);
        made
    });
    let made = made.await.unwrap_or_else(|_| Err("A store of the rule could not be opened.".to_owned()));
    made.map_err(|why| Failure::new(Cause::Unusable, why))
}

fn made(roots: Arc<RootCertStore>, tls: &KafkaTls) -> Result<Arc<ClientConfig>, String> {
    let roots = tls.trust.as_ref().map_or(Ok(roots), |store| trusted(store).map(Arc::new))?;
    let identity = tls.identity.as_ref().map(identity).transpose()?;
    speaking(roots, identity).map_err(|error| format!("The ssl.keystore cannot be used: {error}."))
}

/// The authorities of a store: all certificates in it, whether or not Java marked them as trusted.
fn trusted(store: &KafkaStore) -> Result<RootCertStore, String> {
    let unread = |why: String| format!("The ssl.truststore cannot be opened: {why}.");
    let archive = Pkcs12Archive::from_pkcs12(&store.bytes, &store.password).map_err(|why| unread(why.to_string()))?;
    let mut roots = RootCertStore::empty();
    for bag in archive.certs {
        let certificate = CertificateDer::from(bag.cert.as_der().to_vec());
        roots.add(certificate).map_err(|why| unread(why.to_string()))?;
    }
    if roots.is_empty() { Err(unread("it holds no certificate".to_owned())) } else { Ok(roots) }
}

/// The first key of a store that has a certificate.
fn identity(store: &KafkaStore) -> Result<Identity, String> {
    let unread = |why: String| format!("The ssl.keystore cannot be opened: {why}.");
    let opened = KeyStore::from_pkcs12(&store.bytes, &store.password, Pkcs12ImportPolicy::Strict);
    let opened = opened.map_err(|why| unread(why.to_string()))?;
    let (_, found) =
        opened.private_key_chain().ok_or_else(|| unread("it holds no key with a certificate".to_owned()))?;
    let chain = found.certs().iter().map(|certificate| CertificateDer::from(certificate.as_der().to_vec()));
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(found.key().as_der().to_vec()));
    Ok((chain.collect(), key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYTOOL_KEY: &[u8] = include_bytes!("stores/keytool-key.p12");
    const KEYTOOL_TRUST: &[u8] = include_bytes!("stores/keytool-trust.p12");
    const OPENSSL_KEY: &[u8] = include_bytes!("stores/openssl-key.p12");
    const OPENSSL_OLD_KEY: &[u8] = include_bytes!("stores/openssl-old-key.p12");
    const OPENSSL_TRUST: &[u8] = include_bytes!("stores/openssl-trust.p12");

    fn store(bytes: &[u8], password: &str) -> KafkaStore {
        KafkaStore { bytes: bytes.to_vec(), password: password.to_owned() }
    }

    /// How TLS is spoken with these stores, or why not.
    fn made_of(trust: Option<&[u8]>, identity: Option<&[u8]>) -> Result<Arc<ClientConfig>, String> {
        let of = |bytes: &[u8]| store(bytes, "changeit");
        let tls = KafkaTls { trust: trust.map(of), identity: identity.map(of) };
        made(Arc::new(RootCertStore::empty()), &tls)
    }

    #[test]
    fn stores_of_keytool_and_of_openssl_new_and_old_are_opened() {
        for key in [KEYTOOL_KEY, OPENSSL_KEY, OPENSSL_OLD_KEY] {
            assert!(made_of(None, Some(key)).unwrap().client_auth_cert_resolver.has_certs());
        }
        for store_of in [KEYTOOL_TRUST, OPENSSL_TRUST, KEYTOOL_KEY] {
            assert_eq!(trusted(&store(store_of, "changeit")).unwrap().len(), 1);
            assert!(!made_of(Some(store_of), None).unwrap().client_auth_cert_resolver.has_certs());
        }
    }

    #[test]
    fn a_store_that_does_not_open_says_which_it_is() {
        assert!(made_of(Some(b"0"), None).unwrap_err().starts_with("The ssl.truststore cannot be opened"));
        assert!(made_of(None, Some(b"0")).unwrap_err().starts_with("The ssl.keystore cannot be opened"));
        assert!(made_of(None, Some(OPENSSL_TRUST)).unwrap_err().contains("no key with a certificate"));
        let wrong = trusted(&store(KEYTOOL_TRUST, "changeme")).unwrap_err();
        assert!(wrong.starts_with("The ssl.truststore cannot be opened") && !wrong.contains("changeme"), "{wrong}");
        assert!(identity(&store(OPENSSL_KEY, "")).is_err());
    }
}
