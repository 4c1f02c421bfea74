//! The certificate authority that ombra makes on its first start: a root of its own in the data directory, the
//! server certificate under it, and the device certificates that the API hands out. It does not know which
//! certificates are registered or active; it only makes them.
//!
//! The root is ECDSA P-256. A device that could only do RSA gains nothing from an RSA root here: every key
//! exchange our TLS offers is elliptic, so whoever gets as far as our certificate can verify it. Roots of the
//! same kind are in every SDK's trust list (Amazon's own third root is one), and making it takes no time. An authority that
//! the operator brings may have a key of any kind that AWS knows.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
use cloud::{Authority, Issued, KeyPair, NotIssued};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::data_dir::{DataDirError, Secrecy, write_file};
pub(crate) use current::Current;
use signer::{NOT_A_KEY, Signer};
use x509::{Certificate, Purpose};

mod current;
mod signer;
pub(crate) mod x509;

const SERVER_PEM: &str = "server.pem";
const SERVER_KEY: &str = "server.key";
/// The organization in the names of all that is made here.
const ORGANIZATION: &str = "ombra";
/// How the common names of our roots begin.
const ROOT_NAME: &str = "ombra root ";
const CERTIFICATE: &str = "CERTIFICATE";
const PRIVATE_KEY: &str = "PRIVATE KEY";
const DAY_MS: i64 = 24 * 3600 * 1000;
/// 2049-12-31T23:59:59Z, when every certificate of AWS ends; ours too, the root included.
const END_OF_2049_MS: i64 = 2_524_607_999_000;
/// How long a server certificate is valid: as long as the strictest clients believe a certificate of a private CA.
const SERVER_DAYS: i64 = 825;
const RENEW_DAYS: i64 = 30;
/// A clock that runs behind ours by less than this still believes what was just made.
const SKEW_MS: i64 = DAY_MS;
/// The longest signing request of AWS's model.
const MAX_CSR: usize = 4096;

/// The root and its key.
pub(crate) struct CertificateAuthority {
    pub(crate) certificate_pem: String,
    certificate: Vec<u8>,
    subject: Vec<u8>,
    key: Signer,
    key_id: [u8; 20],
    /// The data directory.
    dir: PathBuf,
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateAuthority { .. }")
    }
}

/// What the TLS ports present.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The server certificate, then the root.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// The server certificate's key.
    pub(crate) key: PrivateKeyDer<'static>,
}

/// The files of an identity: a PEM chain, the server's certificate first, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdentityFiles {
    /// The chain.
    pub(crate) certificate: PathBuf,
    /// The key.
    pub(crate) key: PathBuf,
}

impl IdentityFiles {
    /// Those of a data directory.
    pub(crate) fn of(dir: &Path) -> Self {
        Self { certificate: dir.join(SERVER_PEM), key: dir.join(SERVER_KEY) }
    }

    /// Those that the operator put there for host names of an account's own: its number, a slash, and a name without slashes
    /// and dots.
    pub(crate) fn of_domain(dir: &Path, place: &str) -> Self {
        let domains = dir.join("domains");
        Self { certificate: domains.join(format!("{place}.pem")), key: domains.join(format!("{place}.key")) }
    }

    /// What they hold, whoever issued it.
    pub(crate) fn identity(&self) -> Result<Identity, CaError> {
        let Self { certificate: certificate_path, key: key_path } = self;
        let unusable = |path: &Path, why: &dyn fmt::Display| CaError::Unpresentable {
            path: path.to_owned(),
            why: why.to_string(),
        };
        let missing = |path: &Path| unusable(path, &"it is missing");
        let certificates = read(certificate_path)?.ok_or_else(|| missing(certificate_path))?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates.as_bytes()).collect();
        let chain = chain.map_err(|error| unusable(certificate_path, &error))?;
        if chain.is_empty() {
            return Err(unusable(certificate_path, &"it holds no PEM certificate"));
        }
        let key = read(key_path)?.ok_or_else(|| missing(key_path))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| unusable(key_path, &error))?;
        // Says whether the key is one we can use, and whether it is that of the certificate.
        CertifiedKey::from_der(chain.clone(), key.clone_key(), &default_provider())
            .map_err(|error| unusable(key_path, &error))?;
        Ok(Identity { chain, key })
    }
}

/// Whether somebody else made the server's certificate, whichever authority has signed it. What cannot be read is nobody's.
fn is_of_others(pem: &[u8]) -> bool {
    let Ok(der) = CertificateDer::from_pem_slice(pem) else { return false };
    let Ok((_, certificate)) = X509Certificate::from_der(&der) else { return false };
    let subject = certificate.subject();
    !subject.iter_organization().any(|name| name.as_str().is_ok_and(|name| name == ORGANIZATION))
}

/// Why the authority cannot be used.
#[derive(Debug)]
pub(crate) enum CaError {
    /// A file could not be read or written.
    File(DataDirError),
    /// A file is there and does not contain what it should.
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The server's certificate or its key is there and cannot be presented.
    Unpresentable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The cryptographic library refused to make or use a key.
    Crypto,
}

impl fmt::Display for CaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Unusable { path, why } => {
                let path = path.display();
                write!(
                    f,
                    "failed to use {path}: {why}; restore it from a backup, or remove ca.pem and ca.key to start \
                     with a new authority (devices must then trust the new ca.pem)"
                )
            }
            Self::Unpresentable { path, why } => {
                let path = path.display();
                write!(
                    f,
                    "failed to use {path}: {why}; put a PEM chain, the server's certificate first, and its unencrypted key beside each other, or remove both"
                )
            }
            Self::Crypto => f.write_str("failed to make a key: the system's random generator or memory is exhausted"),
        }
    }
}

impl std::error::Error for CaError {}

impl From<Unspecified> for CaError {
    fn from(_: Unspecified) -> Self {
        Self::Crypto
    }
}

impl From<DataDirError> for CaError {
    fn from(error: DataDirError) -> Self {
        Self::File(error)
    }
}

impl CertificateAuthority {
    /// Opens the authority of a data directory (`ca.pem`, `ca.key`), or makes it if there is none yet.
    pub(crate) fn open(dir: &Path, now_ms: i64) -> Result<Self, CaError> {
        let (certificate_path, key_path) = (dir.join("ca.pem"), dir.join("ca.key"));
        match (read(&certificate_path)?, read(&key_path)?) {
            (Some(certificate), Some(key)) => Self::load(dir, certificate, &certificate_path, &key, &key_path),
            (None, None) => {
                let (authority, key_pem) = Self::make(dir, now_ms)?;
                // The key first: a certificate without key would look like a lost key after a crash in between.
                write_file(&key_path, key_pem.as_bytes(), Secrecy::Private)?;
                write_file(&certificate_path, authority.certificate_pem.as_bytes(), Secrecy::Public)?;
                Ok(authority)
            }
            (Some(_), None) => Err(CaError::Unusable { path: key_path, why: "it is missing" }),
            // The key alone is what a crash of the first start leaves; nobody trusts it yet.
            (None, Some(key)) => {
                let key = Signer::read(&key).ok_or(CaError::Unusable { path: key_path, why: NOT_A_KEY })?;
                let authority = Self::certify(dir, key, now_ms)?;
                write_file(&certificate_path, authority.certificate_pem.as_bytes(), Secrecy::Public)?;
                Ok(authority)
            }
        }
    }

    /// The authority that lies there now, put there while the server runs; none is made.
    pub(crate) fn reopen(dir: &Path) -> Result<Self, CaError> {
        let (certificate_path, key_path) = (dir.join("ca.pem"), dir.join("ca.key"));
        let missing = |path: &Path| CaError::Unusable { path: path.to_owned(), why: "it is missing" };
        let certificate = read(&certificate_path)?.ok_or_else(|| missing(&certificate_path))?;
        let key = read(&key_path)?.ok_or_else(|| missing(&key_path))?;
        Self::load(dir, certificate, &certificate_path, &key, &key_path)
    }

    /// The server certificate of a data directory (`server.pem`, `server.key`) for exactly these names and
    /// addresses, issued anew when the names differ, when an earlier authority issued it, or when it ends within a
    /// month. One that somebody else made is presented as it is.
    pub(crate) fn server_identity(&self, dir: &Path, names: &[String], now_ms: i64) -> Result<Identity, CaError> {
        let (certificate_path, key_path) = (dir.join(SERVER_PEM), dir.join(SERVER_KEY));
        if let (Some(certificate), Some(_)) = (read(&certificate_path)?, read(&key_path)?)
            && is_of_others(certificate.as_bytes())
        {
            return IdentityFiles::of(dir).identity();
        }
        if let (Some(certificate), Some(key)) = (read(&certificate_path)?, read(&key_path)?)
            && let Ok(certificate) = CertificateDer::from_pem_slice(certificate.as_bytes())
            && let Ok(key_der) = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes())
            && let Some(key) = Signer::read(&key)
            && self.still_good(&certificate, &key, names, now_ms)
        {
            return Ok(self.identity(certificate, key_der.into()));
        }
        let issued = self.issue_for_server(names, now_ms)?;
        let key_pem = x509::pem(PRIVATE_KEY, issued.key.secret_der());
        write_file(&key_path, key_pem.as_bytes(), Secrecy::Private)?;
        write_file(&certificate_path, x509::pem(CERTIFICATE, &issued.chain[0]).as_bytes(), Secrecy::Public)?;
        Ok(issued)
    }

    /// A new certificate for a server of these names and addresses.
    pub(crate) fn issue_for_server(&self, names: &[String], now_ms: i64) -> Result<Identity, CaError> {
        let (key, pkcs8) = Signer::make()?;
        let certificate = Certificate {
            subject: &x509::name(Some(ORGANIZATION), names.first().map_or("localhost", String::as_str)),
            public_key: &key.public_key()?,
            not_before_ms: now_ms - SKEW_MS,
            not_after_ms: now_ms + SERVER_DAYS * DAY_MS,
            purpose: Purpose::Server(names),
            ..self.blank()?
        }
        .sign(&self.key)?;
        Ok(self.identity(certificate.into(), PrivatePkcs8KeyDer::from(pkcs8).into()))
    }

    fn identity(&self, certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> Identity {
        Identity { chain: vec![certificate, self.certificate.clone().into()], key }
    }

    fn still_good(&self, certificate: &[u8], key: &Signer, names: &[String], now_ms: i64) -> bool {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
        let Ok(public_key) = key.public_key() else { return false };
        let left_ms = parsed.validity().not_after.timestamp() * 1000 - now_ms;
        parsed.issuer().as_raw() == self.subject
            && parsed.public_key().raw == public_key
            && left_ms > RENEW_DAYS * DAY_MS
            && alternative_names(&parsed) == names
    }

    fn make(dir: &Path, now_ms: i64) -> Result<(Self, String), CaError> {
        let (key, pkcs8) = Signer::make()?;
        Ok((Self::certify(dir, key, now_ms)?, x509::pem(PRIVATE_KEY, &pkcs8)))
    }

    fn certify(dir: &Path, key: Signer, now_ms: i64) -> Result<Self, CaError> {
        let public_key = key.public_key()?;
        let key_id = x509::key_id(&public_key)?;
        // The name carries the key: clients that trust the roots of several ombras can tell them apart.
        let [a, b, c, d, ..] = key_id;
        let subject = x509::name(Some(ORGANIZATION), &format!("{ROOT_NAME}{a:02x}{b:02x}{c:02x}{d:02x}"));
        let certificate = Certificate {
            issuer: &subject,
            issuer_key_id: key_id,
            subject: &subject,
            public_key: &public_key,
            not_before_ms: now_ms - SKEW_MS,
            not_after_ms: END_OF_2049_MS,
            serial: random()?,
            purpose: Purpose::Authority,
        }
        .sign(&key)?;
        let certificate_pem = x509::pem(CERTIFICATE, &certificate);
        Ok(Self { certificate_pem, certificate, subject, key, key_id, dir: dir.to_owned() })
    }

    fn load(dir: &Path, certificate_pem: String, path: &Path, key_pem: &str, key_path: &Path) -> Result<Self, CaError> {
        let unusable = |path: &Path, why| CaError::Unusable { path: path.to_owned(), why };
        let key = Signer::read(key_pem).ok_or_else(|| unusable(key_path, NOT_A_KEY))?;
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|_| unusable(path, "it holds no PEM certificate"))?
            .to_vec();
        let (_, parsed) = X509Certificate::from_der(&certificate)
            .map_err(|_| unusable(path, "its certificate is not well-formed X.509"))?;
        if !parsed.is_ca() {
            return Err(unusable(path, "its certificate is not one of a certificate authority"));
        }
        let public_key = key.public_key()?;
        if parsed.public_key().raw != public_key {
            return Err(unusable(path, "its certificate does not belong to ca.key"));
        }
        let subject = parsed.subject().as_raw().to_vec();
        // A root brought from elsewhere may have its own idea of a key identifier.
        let own_id = parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => <[u8; 20]>::try_from(id.0).ok(),
            _ => None,
        });
        let key_id = own_id.map_or_else(|| x509::key_id(&public_key), Ok)?;
        Ok(Self { certificate_pem, certificate, subject, key, key_id, dir: dir.to_owned() })
    }

    /// A certificate of ours that still lacks what it is about.
    fn blank(&self) -> Result<Certificate<'_>, Unspecified> {
        Ok(Certificate {
            issuer: &self.subject,
            issuer_key_id: self.key_id,
            subject: &[],
            public_key: &[],
            not_before_ms: 0,
            not_after_ms: END_OF_2049_MS,
            serial: random()?,
            purpose: Purpose::Device,
        })
    }

    fn device_certificate(&self, subject: &[u8], public_key: &[u8], now_ms: i64) -> Result<String, Unspecified> {
        let certificate = Certificate { subject, public_key, not_before_ms: now_ms, ..self.blank()? };
        Ok(x509::pem(CERTIFICATE, &certificate.sign(&self.key)?))
    }
}

impl Authority for CertificateAuthority {
    fn certificate_pem(&self) -> String {
        self.certificate_pem.clone()
    }

    fn issue_keys(&self, now_ms: i64) -> Result<Issued, NotIssued> {
        let issue = || {
            let key = rsa::KeyPair::generate(rsa::KeySize::Rsa2048)?;
            let public_key = key.public_key().as_der()?;
            let pkcs8 = key.as_der()?;
            let pkcs1 = x509::pkcs1_of_pkcs8(pkcs8.as_ref()).ok_or(Unspecified)?;
            let subject = x509::name(None, "AWS IoT Certificate");
            Ok::<_, Unspecified>(Issued {
                certificate_pem: self.device_certificate(&subject, public_key.as_ref(), now_ms)?,
                keys: Some(KeyPair {
                    public_pem: x509::pem("PUBLIC KEY", public_key.as_ref()),
                    private_pem: x509::pem("RSA PRIVATE KEY", pkcs1),
                }),
            })
        };
        issue().map_err(|_| NotIssued::Failed("failed to make an RSA key pair".to_owned()))
    }

    fn server_certificate(&self, place: &str) -> Result<Vec<u8>, String> {
        let identity = IdentityFiles::of_domain(&self.dir, place).identity().map_err(|error| error.to_string())?;
        identity.chain.first().map(|certificate| certificate.to_vec()).ok_or_else(|| "it is empty".to_owned())
    }

    fn issue_for_request(&self, csr_pem: &str, now_ms: i64) -> Result<Issued, NotIssued> {
        // unconfirmed: extensions that the request asks for are left out, as a device certificate needs none; an
        // empty subject is kept empty.
        let der = parse_csr(csr_pem).map_err(|why| NotIssued::BadRequest(why.to_owned()))?;
        let request = check_csr(&der).map_err(|why| NotIssued::BadRequest(why.to_owned()))?;
        let info = &request.certification_request_info;
        let certificate_pem = self
            .device_certificate(info.subject.as_raw(), info.subject_pki.raw, now_ms)
            .map_err(|_| NotIssued::Failed("failed to sign a certificate".to_owned()))?;
        Ok(Issued { certificate_pem, keys: None })
    }
}

/// The names a server certificate needs so that clients on this machine believe it, in a fixed order.
pub(crate) fn server_names(extra: &[String]) -> Vec<String> {
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    names.extend(host_name());
    names.extend(extra.iter().cloned());
    let mut seen = Vec::new();
    names.retain(|name| {
        let new = !seen.contains(name);
        seen.push(name.clone());
        new
    });
    names
}

/// May this stand in a certificate as a DNS name or an address?
pub(crate) fn is_server_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let bare = name.strip_prefix("*.").unwrap_or(name);
    name.parse::<std::net::IpAddr>().is_ok() || (bare.len() <= 253 && bare.split('.').all(is_label))
}

fn host_name() -> Option<String> {
    let from_kernel = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let from_command =
        || Command::new("hostname").output().ok().and_then(|output| String::from_utf8(output.stdout).ok());
    let name = from_kernel.or_else(from_command)?.trim().to_ascii_lowercase();
    is_server_name(&name).then_some(name)
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let names = extension.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(octets) => <[u8; 4]>::try_from(*octets)
                .map(|octets| std::net::IpAddr::from(octets).to_string())
                .or_else(|_| <[u8; 16]>::try_from(*octets).map(|octets| std::net::IpAddr::from(octets).to_string()))
                .ok(),
            _ => None,
        })
        .collect()
}

fn parse_csr(pem: &str) -> Result<Vec<u8>, &'static str> {
    if pem.len() > MAX_CSR {
        return Err("The certificate signing request is longer than 4096 characters");
    }
    // The label of older tools.
    let pem = pem.replace("NEW CERTIFICATE REQUEST", "CERTIFICATE REQUEST");
    let request = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| "The certificate signing request is not PEM with one BEGIN CERTIFICATE REQUEST block")?;
    Ok(request.to_vec())
}

fn check_csr(der: &[u8]) -> Result<X509CertificationRequest<'_>, &'static str> {
    const MALFORMED: &str = "The certificate signing request is not well-formed PKCS#10";
    let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| MALFORMED)?;
    if !rest.is_empty() {
        return Err(MALFORMED);
    }
    let key = &request.certification_request_info.subject_pki;
    check_public_key(key)?;
    let signed_how = x509::signature_algorithm(der).ok_or(MALFORMED)?;
    if signed_how == RSA_WITH_SHA1 {
        return if is_signed_with_sha1(&request) { Ok(request) } else { Err(NOT_ITS_KEY) };
    }
    let known = default_provider().signature_verification_algorithms.all;
    let fitting: Vec<_> =
        known.iter().copied().filter(|algorithm| algorithm.signature_alg_id().as_ref() == signed_how).collect();
    if fitting.is_empty() {
        return Err(
            "The certificate signing request must be signed with RSA (PKCS#1 v1.5) or ECDSA over SHA-256, SHA-384 or SHA-512",
        );
    }
    let message = request.certification_request_info.raw;
    if !x509::is_signed_by(key.raw, &fitting, message, &request.signature_value.data) {
        return Err(NOT_ITS_KEY);
    }
    Ok(request)
}

const NOT_ITS_KEY: &str = "The signature of the certificate signing request does not match its public key";

/// The `AlgorithmIdentifier` of older tools, without its tag and length.
const RSA_WITH_SHA1: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5, 5, 0];

/// A request is signed to show that its key is held, and for nothing else: a weak hash does no harm here.
// unconfirmed: that AWS takes SHA-1 in requests; its documentation speaks of keys alone.
fn is_signed_with_sha1(request: &X509CertificationRequest<'_>) -> bool {
    let info = &request.certification_request_info;
    let key = UnparsedPublicKey::new(
        &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        &info.subject_pki.subject_public_key.data,
    );
    key.verify(info.raw, &request.signature_value.data).is_ok()
}

fn check_public_key(key: &SubjectPublicKeyInfo<'_>) -> Result<(), &'static str> {
    const KIND: &str = "The key of the certificate signing request must be RSA or of curve P-256, P-384 or P-521";
    if key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok()).ok_or(KIND)?;
        let known = [OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521].contains(&curve);
        return if known { Ok(()) } else { Err(KIND) };
    }
    if key.algorithm.algorithm != OID_PKCS1_RSAENCRYPTION {
        return Err(KIND);
    }
    let Ok(PublicKey::RSA(rsa)) = key.parsed() else { return Err(KIND) };
    let modulus = &rsa.modulus[rsa.modulus.iter().take_while(|byte| **byte == 0).count()..];
    let leading_zeros = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    match modulus.len() * 8 - leading_zeros {
        ..2048 => Err("The RSA key of the certificate signing request has less than 2048 bits"),
        2048..=8192 => Ok(()),
        _ => Err("The RSA key of the certificate signing request has more than 8192 bits"),
    }
}

fn random() -> Result<[u8; 16], Unspecified> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes)?;
    Ok(bytes)
}

fn read(path: &Path) -> Result<Option<String>, CaError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DataDirError::Io { doing: "read", path: path.to_owned(), error }.into()),
    }
}

#[cfg(test)]
#[path = "../../../fuzz/smoke.rs"]
mod smoke;

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING,
        ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, RSA_PKCS1_SHA256, RsaKeyPair,
    };
    use x509_parser::pem::parse_x509_pem;

    use super::*;

    const NOW: i64 = 1_800_000_000_000;
    const ECDSA_SHA256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    const ECDSA_SHA384: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
    const ECDSA_SHA512: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4];
    const ECDSA_SHA1: &[u8] = &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
    const RSA_SHA256: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0];

    fn authority() -> (tempfile::TempDir, CertificateAuthority) {
        let home = tempfile::tempdir().unwrap();
        let authority = CertificateAuthority::open(home.path(), NOW).unwrap();
        (home, authority)
    }

    fn der(pem: &str) -> Vec<u8> {
        parse_x509_pem(pem.as_bytes()).unwrap().1.contents
    }

    fn is_issued_by(authority: &CertificateAuthority, certificate: &X509Certificate<'_>) -> bool {
        let public_key = authority.key.public_key().unwrap();
        let body = certificate.tbs_certificate.as_ref();
        let algorithms = default_provider().signature_verification_algorithms.all;
        certificate.issuer().as_raw() == authority.subject
            && x509::is_signed_by(&public_key, algorithms, body, &certificate.signature_value.data)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_root_survives_a_restart_and_its_key_is_private() {
        let (home, first) = authority();
        let second = CertificateAuthority::open(home.path(), NOW + 1000 * DAY_MS).unwrap();
        assert_eq!(first.certificate_pem, second.certificate_pem);
        let root = der(&first.certificate_pem);
        let (rest, root) = X509Certificate::from_der(&root).unwrap();
        assert!(rest.is_empty() && root.is_ca() && is_issued_by(&second, &root));
        assert_eq!(root.validity().not_after.timestamp() * 1000, END_OF_2049_MS);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(home.path().join("ca.key")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_key_left_by_a_crash_gets_its_certificate_and_a_lost_key_is_an_error() {
        let (home, first) = authority();
        fs::remove_file(home.path().join("ca.pem")).unwrap();
        let again = CertificateAuthority::open(home.path(), NOW).unwrap();
        assert_eq!(again.subject, first.subject);
        fs::remove_file(home.path().join("ca.key")).unwrap();
        let error = CertificateAuthority::open(home.path(), NOW).unwrap_err().to_string();
        assert!(error.contains("ca.key: it is missing"), "{error}");
    }

    #[test]
    fn the_key_of_another_root_is_an_error() {
        let ((home, _), (other, _)) = (authority(), authority());
        fs::copy(other.path().join("ca.key"), home.path().join("ca.key")).unwrap();
        let error = CertificateAuthority::open(home.path(), NOW).unwrap_err().to_string();
        assert!(error.contains("does not belong to ca.key"), "{error}");
    }

    #[test]
    fn the_server_certificate_is_kept_until_names_or_time_change() {
        let (home, authority) = authority();
        let identity =
            |names: &[String], now| authority.server_identity(home.path(), names, now).unwrap().chain[0].to_vec();
        let two = names(&["localhost", "::1"]);
        let first = identity(&two, NOW);
        assert_eq!(first, identity(&two, NOW + 700 * DAY_MS));
        let later = identity(&two, NOW + 800 * DAY_MS);
        assert_ne!(first, later);
        let three = names(&["localhost", "::1", "lamp.example"]);
        let renamed = identity(&three, NOW + 800 * DAY_MS);
        let (_, parsed) = X509Certificate::from_der(&renamed).unwrap();
        assert_eq!(alternative_names(&parsed), three);
        assert!(is_issued_by(&authority, &parsed));
        assert_ne!(later, renamed);
    }

    #[test]
    fn a_server_certificate_of_another_root_is_replaced() {
        let ((home, first), (_other, second)) = (authority(), authority());
        let names = names(&["localhost"]);
        let before = first.server_identity(home.path(), &names, NOW).unwrap().chain;
        let after = second.server_identity(home.path(), &names, NOW).unwrap().chain;
        assert_ne!(before[0], after[0]);
    }

    #[test]
    fn an_authority_that_others_made_issues_with_a_key_of_its_own_kind() {
        let curve = |algorithm| {
            let key = EcdsaKeyPair::generate(algorithm).unwrap();
            x509::pem(PRIVATE_KEY, key.to_pkcs8v1().unwrap().as_ref())
        };
        let rsa = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let pkcs8 = rsa.as_der().unwrap();
        let pkcs1 = x509::pkcs1_of_pkcs8(pkcs8.as_ref()).unwrap();
        let keys = [
            curve(&ECDSA_P256_SHA256_ASN1_SIGNING),
            curve(&ECDSA_P384_SHA384_ASN1_SIGNING),
            curve(&ECDSA_P521_SHA512_ASN1_SIGNING),
            x509::pem(PRIVATE_KEY, pkcs8.as_ref()),
            x509::pem("RSA PRIVATE KEY", pkcs1),
        ];
        for key in keys {
            let home = tempfile::tempdir().unwrap();
            fs::write(home.path().join("ca.key"), &key).unwrap();
            let authority = CertificateAuthority::open(home.path(), NOW).unwrap();
            let identity = authority.server_identity(home.path(), &names(&["localhost"]), NOW).unwrap();
            let device = der(&authority.issue_for_request(&csr_pem(&ec_request().0), NOW).unwrap().certificate_pem);
            for certificate in [&identity.chain[0][..], &identity.chain[1], &device] {
                assert!(is_issued_by(&authority, &X509Certificate::from_der(certificate).unwrap().1), "{key}");
            }
        }
    }

    /// A certificate of a root that is not ombra's, as an operator brings it, and its key.
    fn of_others() -> (String, String) {
        let (key, pkcs8) = Signer::make().unwrap();
        let name = x509::name(Some("Plant"), "plant.example");
        let public_key = key.public_key().unwrap();
        let certificate = Certificate {
            issuer: &name,
            issuer_key_id: x509::key_id(&public_key).unwrap(),
            subject: &name,
            public_key: &public_key,
            not_before_ms: NOW,
            not_after_ms: NOW + DAY_MS,
            serial: random().unwrap(),
            purpose: Purpose::Server(&[]),
        };
        let pem = x509::pem(CERTIFICATE, &certificate.sign(&key).unwrap());
        (pem, x509::pem(PRIVATE_KEY, &pkcs8))
    }

    #[test]
    fn a_server_certificate_that_others_issued_is_presented_as_it_is() {
        let (home, authority) = authority();
        let (certificate, key) = of_others();
        fs::write(home.path().join(SERVER_PEM), &certificate).unwrap();
        fs::write(home.path().join(SERVER_KEY), &key).unwrap();
        let identity = authority.server_identity(home.path(), &names(&["localhost"]), NOW).unwrap();
        assert_eq!(identity.chain.iter().map(|der| der.to_vec()).collect::<Vec<_>>(), [der(&certificate)]);
        assert_eq!(fs::read_to_string(home.path().join(SERVER_PEM)).unwrap(), certificate);
    }

    #[test]
    fn an_identity_that_cannot_be_presented_names_the_file() {
        let (home, _) = authority();
        let (certificate, key) = of_others();
        let check = |certificate: Option<&str>, key: Option<&str>, expected: &str| {
            for (name, content) in [(SERVER_PEM, certificate), (SERVER_KEY, key)] {
                match content {
                    Some(content) => fs::write(home.path().join(name), content).unwrap(),
                    None => drop(fs::remove_file(home.path().join(name))),
                }
            }
            let error = IdentityFiles::of(home.path()).identity().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(None, Some(&key), "server.pem: it is missing");
        check(Some("nothing"), Some(&key), "server.pem: it holds no PEM certificate");
        check(Some(&certificate), None, "server.key: it is missing");
        check(Some(&certificate), Some("nothing"), "server.key: ");
        check(Some(&certificate), Some(&of_others().1), "server.key: ");
    }

    #[test]
    fn issued_keys_belong_to_their_certificate() {
        let (_home, authority) = authority();
        let issued = authority.issue_keys(NOW).unwrap();
        let keys = issued.keys.unwrap();
        assert!(keys.private_pem.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        assert!(keys.public_pem.starts_with("-----BEGIN PUBLIC KEY-----\n"));
        let private = rustls::pki_types::PrivatePkcs1KeyDer::from_pem_slice(keys.private_pem.as_bytes()).unwrap();
        let private = RsaKeyPair::from_der(private.secret_pkcs1_der()).unwrap();
        let certificate = der(&issued.certificate_pem);
        let (_, certificate) = X509Certificate::from_der(&certificate).unwrap();
        let public_key = private.public_key().as_der().unwrap();
        assert_eq!(certificate.public_key().raw, public_key.as_ref());
        assert_eq!(x509::pem("PUBLIC KEY", public_key.as_ref()), keys.public_pem);
        assert!(is_issued_by(&authority, &certificate) && !certificate.is_ca());
        assert_eq!(certificate.subject().to_string(), "CN=AWS IoT Certificate");
        assert_eq!(certificate.validity().not_before.timestamp() * 1000, NOW);
        assert_eq!(certificate.validity().not_after.timestamp() * 1000, END_OF_2049_MS);
    }

    #[test]
    fn every_certificate_has_its_own_positive_serial() {
        let (_home, authority) = authority();
        let serials: Vec<Vec<u8>> = (0..20)
            .map(|_| {
                let pem = authority.device_certificate(&x509::name(None, "x"), &ec_request().1, NOW).unwrap();
                X509Certificate::from_der(&der(&pem)).unwrap().1.raw_serial().to_vec()
            })
            .collect();
        for (index, serial) in serials.iter().enumerate() {
            assert!(serial.len() == 16 && serial[0] < 0x80, "{serial:?}");
            assert!(!serials[..index].contains(serial));
        }
    }

    /// A request whose subject has two organizational units, and its public key.
    fn ec_request() -> (Vec<u8>, Vec<u8>) {
        request_of(&ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_SHA256)
    }

    fn request_of(algorithm: &'static EcdsaSigningAlgorithm, oid: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let key = EcdsaKeyPair::generate(algorithm).unwrap();
        let public_key = key.public_key().as_der().unwrap().as_ref().to_vec();
        let sign = |body: &[u8]| key.sign(&rand::SystemRandom::new(), body).unwrap().as_ref().to_vec();
        (x509::request(&two_units(), &public_key, oid, sign), public_key)
    }

    fn rsa_request(size: rsa::KeySize) -> Vec<u8> {
        let key = RsaKeyPair::generate(size).unwrap();
        let public_key = key.public_key().as_der().unwrap();
        x509::request(&two_units(), public_key.as_ref(), RSA_SHA256, |body| {
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(&RSA_PKCS1_SHA256, &rand::SystemRandom::new(), body, &mut signature).unwrap();
            signature
        })
    }

    /// `OU=a, OU=b`, which a map of attributes would shorten.
    fn two_units() -> Vec<u8> {
        let unit = |text: u8| vec![0x31, 10, 0x30, 8, 0x06, 3, 0x55, 4, 11, 0x0c, 1, text];
        [vec![0x30, 24], unit(b'a'), unit(b'b')].concat()
    }

    fn csr_pem(der: &[u8]) -> String {
        x509::pem("CERTIFICATE REQUEST", der)
    }

    #[test]
    fn a_request_is_signed_with_subject_and_key_as_they_are() {
        let (_home, authority) = authority();
        let requests = [
            ec_request().0,
            request_of(&ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_SHA384).0,
            request_of(&ECDSA_P521_SHA512_ASN1_SIGNING, ECDSA_SHA512).0,
            rsa_request(rsa::KeySize::Rsa2048),
        ];
        for request in requests {
            let issued = authority.issue_for_request(&csr_pem(&request), NOW).unwrap();
            assert!(issued.keys.is_none());
            let certificate = der(&issued.certificate_pem);
            let (_, certificate) = X509Certificate::from_der(&certificate).unwrap();
            let (_, request) = X509CertificationRequest::from_der(&request).unwrap();
            assert_eq!(certificate.subject().to_string(), "OU=a, OU=b");
            assert_eq!(certificate.public_key().raw, request.certification_request_info.subject_pki.raw);
            assert!(is_issued_by(&authority, &certificate));
        }
    }

    #[test]
    fn a_request_that_cannot_be_signed_says_why() {
        let (_home, authority) = authority();
        let check = |pem: &str, expected: &str| match authority.issue_for_request(pem, NOW) {
            Err(NotIssued::BadRequest(text)) => assert!(text.contains(expected), "{text}"),
            other => panic!("{other:?}, expected {expected}"),
        };
        let (good, _) = ec_request();
        check("", "is not PEM");
        check("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "PKCS#10");
        check(&csr_pem(&[&good[..], &[0]].concat()), "PKCS#10");
        check(&csr_pem(&good[..good.len() - 1]), "PKCS#10");
        check(&"x".repeat(5000), "longer than 4096");
        check(&csr_pem(&request_of(&ECDSA_P256K1_SHA256_ASN1_SIGNING, ECDSA_SHA256).0), "P-256, P-384 or P-521");
        check(&csr_pem(&request_of(&ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_SHA1).0), "over SHA-256, SHA-384 or SHA-512");
        check(&csr_pem(&request_of(&ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_SHA384).0), "does not match");
        let mut tampered = good;
        let unit = tampered.windows(3).position(|bytes| bytes == [0x0c, 1, b'a']).unwrap();
        tampered[unit + 2] = b'z';
        check(&csr_pem(&tampered), "does not match");
    }

    /// Made once, so that every run sees the same.
    const REQUEST: &str = "-----BEGIN CERTIFICATE REQUEST-----\n\
        MIIBCTCBsAIBADAgMQ8wDQYDVQQKDAZMaWdodHMxDTALBgNVBAMMBGxhbXAwWTAT\n\
        BgcqhkjOPQIBBggqhkjOPQMBBwNCAARCo7BrwBjJj1RhE2lVx/08S6eiDafK46h2\n\
        Dnc3equvVQyWPQXmYAqz8owT/ZrmuOfsrCAeIy2fL5b5KtvtySQuoC4wLAYJKoZI\n\
        hvcNAQkOMR8wHTAbBgNVHREEFDASghBsYW1wLmV4YW1wbGUuY29tMAoGCCqGSM49\n\
        BAMCA0gAMEUCIQDuGbujqAS11P9kY4PYJ/22GqQ4U66KVqbeg4vx9xhmuwIgTLgj\n\
        4pYZ4RodSVXIhoF6JaRwSBCjuh2DRjCZqGJ51s4=\n\
        -----END CERTIFICATE REQUEST-----\n";

    /// What reads requests is private here, so that this is all the fuzzing there is. Nobody can sign another.
    fn is_survived(input: &[u8]) {
        let good = parse_csr(REQUEST).unwrap();
        let signed = check_csr(&good).unwrap().certification_request_info.raw;
        let taken = check_csr(input).ok();
        assert!(taken.is_none_or(|request| request.certification_request_info.raw == signed));
        let _ = parse_csr(&String::from_utf8_lossy(input));
    }

    #[test]
    fn no_bytes_are_too_odd_for_a_request() {
        let seeds = [parse_csr(REQUEST).unwrap(), REQUEST.as_bytes().to_vec()];
        smoke::smoke(is_survived, &seeds, 3_000);
    }

    #[test]
    fn an_rsa_key_below_2048_bits_is_refused() {
        // 1024 bits: SubjectPublicKeyInfo of an RSA key with an all-ones modulus.
        let modulus = [&[0x02, 0x81, 0x81, 0][..], &[0xff; 128]].concat();
        let key = [&[0x30, 0x81, 0x89][..], &modulus, &[0x02, 3, 1, 0, 1]].concat();
        let bits = [&[0x03, 0x81, 0x8d, 0][..], &key].concat();
        let algorithm = [&[0x30, 13][..], &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0]].concat();
        let spki = [&[0x30, 0x81, 0x9f][..], &algorithm, &bits].concat();
        let request = x509::request(&two_units(), &spki, RSA_SHA256, |_| vec![0; 128]);
        assert_eq!(
            check_csr(&request).unwrap_err(),
            "The RSA key of the certificate signing request has less than 2048 bits"
        );
    }

    #[test]
    fn the_label_of_older_tools_is_understood() {
        let (_home, authority) = authority();
        let pem = x509::pem("NEW CERTIFICATE REQUEST", &ec_request().0);
        assert!(authority.issue_for_request(&pem, NOW).is_ok());
    }

    #[test]
    fn server_names_are_unique_and_checked() {
        let names = server_names(&names(&["lamp.example", "localhost"]));
        assert_eq!(names[..3], ["localhost", "127.0.0.1", "::1"]);
        assert_eq!(names.last().unwrap(), "lamp.example");
        assert_eq!(names.iter().filter(|name| *name == "localhost").count(), 1);
        for (name, expected) in [("a.b", true), ("*.b", true), ("10.0.0.1", true), ("a b", false), ("", false)] {
            assert_eq!(is_server_name(name), expected, "{name}");
        }
    }
}
