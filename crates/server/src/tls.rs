//! The TLS doors: which protocol a connection speaks, and which certificate its peer has proved to hold.
//! Any X.509 certificate is let in if its key signed the handshake; whether the certificate is registered and
//! active is decided behind this door, where the accounts are known.

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use cloud::{ApplicationProtocol, Domain, SecurityPolicy};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{Acceptor, ClientHello, NoServerSessionStorage};
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::ca::Identity;
use crate::ca::x509::is_signed_by;
use crate::domains::{Closed, Domains, Named, admit};

/// A handshake that takes longer is given up: it holds a socket and, so far, nobody has proved anything.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Handshakes of one thread that may be under way after the ClientHello, each holding some tens of kilobytes. A
/// connection that has not said hello yet is not among them, so that silent ones keep nobody waiting.
const UNDER_WAY: usize = 4096;

/// Handshakes that one thread computes before it looks again at the connections it has. Each takes some hundred
/// microseconds, which is what a storm of new connections may add to the delay of everybody's messages.
const IN_A_ROW: usize = 4;

/// Which of the two TLS ports a connection came in on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// MQTT with a client certificate, whatever the ALPN.
    Mqtts,
    /// The protocol is what the ALPN says.
    Tls,
}

/// What is spoken inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// MQTT packets from the first byte.
    Mqtt,
    /// HTTP/1.1, perhaps upgraded to a WebSocket.
    Http,
}

/// A connection that is through the handshake.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The stream inside TLS.
    pub(crate) stream: TlsStream<TcpStream>,
    /// What to speak on it.
    pub(crate) protocol: Protocol,
    /// The peer's certificate; it holds the key.
    pub(crate) certificate: Option<CertificateDer<'static>>,
    /// The host name the peer asked for (SNI).
    pub(crate) server_name: Option<String>,
    /// What holds for that name, if it is one of a domain configuration.
    pub(crate) domain: Option<Arc<Domain>>,
}

/// A handshake that came to nothing. Displays as the reason, for the event log.
#[derive(Debug)]
pub(crate) struct TlsRefused {
    why: Why,
    /// The host name the peer asked for, if it came that far.
    server_name: Option<String>,
}

#[derive(Debug)]
enum Why {
    TimedOut,
    NoCertificate,
    UnknownAlpn,
    NotPossessed,
    /// The domain configuration of the name says so.
    Domain(Closed),
    PeerAlert(AlertDescription),
    Broken(io::Error),
}

impl TlsRefused {
    /// The word of the refusal event; none where nobody was refused: the peer left or never spoke.
    pub(crate) fn decision(&self) -> Option<&'static str> {
        match &self.why {
            Why::NoCertificate => Some("NO_CERTIFICATE"),
            Why::NotPossessed => Some("INVALID_CERTIFICATE"),
            Why::UnknownAlpn => Some("UNKNOWN_ALPN"),
            Why::Domain(closed) => Some(closed.decision),
            Why::PeerAlert(_) => Some("REFUSED_BY_CLIENT"),
            Why::TimedOut | Why::Broken(_) => None,
        }
    }
}

impl TlsRefused {
    /// What went wrong, as a label for counting.
    pub(crate) fn kind(&self) -> &'static str {
        match self.why {
            Why::TimedOut => "timed_out",
            Why::NoCertificate => "no_certificate",
            Why::UnknownAlpn => "unknown_alpn",
            Why::NotPossessed => "invalid_certificate",
            Why::Domain(_) => "domain",
            Why::PeerAlert(_) => "refused_by_client",
            Why::Broken(_) => "broken",
        }
    }
}

impl fmt::Display for TlsRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)?;
        self.server_name.as_ref().map_or(Ok(()), |name| write!(f, " (it asked for {name})"))
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => write!(f, "the TLS handshake took longer than {} s", HANDSHAKE.as_secs()),
            Self::NoCertificate => f.write_str("the client presented no certificate, and this port needs one"),
            Self::UnknownAlpn => f.write_str(
                "the client offers only unknown ALPN protocols; known are x-amzn-mqtt-ca, mqtt, x-amzn-http-ca, http/1.1",
            ),
            Self::NotPossessed => f.write_str("the client's certificate or its proof of the private key is not valid"),
            Self::Domain(closed) => closed.fmt(f),
            Self::PeerAlert(AlertDescription::UnknownCA) => {
                f.write_str("the client does not trust our certificate: give it ca.pem of the data directory")
            }
            Self::PeerAlert(alert) => write!(f, "the client broke off the TLS handshake with alert {alert:?}"),
            Self::Broken(error) => write!(f, "the TLS handshake failed: {error}"),
        }
    }
}

impl std::error::Error for TlsRefused {}

/// How the handshakes of one thread take turns, so that those who are connected are served in between.
#[derive(Debug)]
pub(crate) struct Turns {
    under_way: Semaphore,
    computing: Semaphore,
}

impl Turns {
    /// Nobody is waiting.
    pub(crate) fn new() -> Self {
        Self { under_way: Semaphore::new(UNDER_WAY), computing: Semaphore::new(IN_A_ROW) }
    }

    /// Does what takes the thread for a while, and no more than a few of the kind before the runtime has looked for
    /// news of all its other connections.
    async fn compute<T>(&self, work: impl FnOnce() -> T) -> T {
        // Never closed, so that there is always a turn to wait for.
        let turn = self.computing.acquire().await;
        let done = work();
        yield_now().await;
        drop(turn);
        done
    }
}

/// The TLS side of both ports.
#[derive(Debug)]
pub(crate) struct Doors {
    /// One way in for each ALPN, in the order of [`WAYS`]; swapped whole when the identity changes.
    ways: RwLock<Ways>,
    /// Names that have configurations of their own.
    domains: Option<Domains>,
}

/// A way in for each of [`WAYS`].
pub(crate) type Ways = Arc<[Arc<ServerConfig>]>;

/// How a connection goes on once its ClientHello is read.
struct Way {
    /// The ports on which it is open.
    ports: &'static [Port],
    alpn: Option<&'static str>,
    protocol: Protocol,
    client: Certified,
}

/// Whether the client shows a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Certified {
    Mandatory,
    Optional,
    /// Not asked for one: the credentials come in the CONNECT packet.
    Never,
}

const fn way(ports: &'static [Port], alpn: Option<&'static str>, protocol: Protocol, client: Certified) -> Way {
    Way { ports, alpn, protocol, client }
}

/// Every way in. A client that offers several ALPNs gets the first of its own list that is open on the port;
/// one that offers none gets the way without.
const WAYS: [Way; 7] = [
    way(&[Port::Mqtts], None, Protocol::Mqtt, Certified::Mandatory),
    way(&[Port::Mqtts, Port::Tls], Some("x-amzn-mqtt-ca"), Protocol::Mqtt, Certified::Mandatory),
    way(&[Port::Mqtts], Some("mqtt"), Protocol::Mqtt, Certified::Mandatory),
    way(&[Port::Tls], None, Protocol::Http, Certified::Optional),
    way(&[Port::Tls], Some("mqtt"), Protocol::Mqtt, Certified::Never),
    way(&[Port::Tls], Some("x-amzn-http-ca"), Protocol::Http, Certified::Mandatory),
    way(&[Port::Tls], Some("http/1.1"), Protocol::Http, Certified::Optional),
];

impl Doors {
    /// Prepares both ports to present this identity.
    pub(crate) fn new(identity: &Identity) -> Result<Self, rustls::Error> {
        Ok(Self { ways: RwLock::new(ways(identity, SecurityPolicy::default())?), domains: None })
    }

    /// The same for who knows names with configurations of their own.
    pub(crate) fn with(self, domains: Domains) -> Self {
        Self { domains: Some(domains), ..self }
    }

    /// Presents another identity from the next handshake on; who is connected stays so. One that cannot be presented
    /// changes nothing.
    pub(crate) fn present(&self, identity: &Identity) -> Result<(), rustls::Error> {
        let ways = ways(identity, SecurityPolicy::default())?;
        *self.ways.write().unwrap_or_else(PoisonError::into_inner) = ways;
        Ok(())
    }

    /// The authority that certifies names of our own making is another.
    pub(crate) fn certify_anew(&self) {
        if let Some(domains) = &self.domains {
            domains.forget();
        }
    }

    /// Takes a fresh connection through its handshake.
    pub(crate) async fn accept(&self, tcp: TcpStream, port: Port, turns: &Turns) -> Result<Accepted, TlsRefused> {
        let mut server_name = None;
        match timeout(HANDSHAKE, self.shake_hands(tcp, port, turns, &mut server_name)).await {
            Ok(Ok(accepted)) => Ok(accepted),
            Ok(Err(error)) => Err(TlsRefused { why: why(error), server_name }),
            Err(_elapsed) => Err(TlsRefused { why: Why::TimedOut, server_name }),
        }
    }

    async fn shake_hands(
        &self,
        tcp: TcpStream,
        port: Port,
        turns: &Turns,
        asked: &mut Option<String>,
    ) -> io::Result<Accepted> {
        let mut hello = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
        *asked = hello.client_hello().server_name().map(str::to_owned);
        let _place = turns.under_way.acquire().await.map_err(io::Error::other)?;
        let (index, domain, ways) = match self.lead(port, &hello.client_hello()) {
            Ok(led) => led,
            Err(closed) => {
                // Whoever has gone by now need not be told.
                let _ = hello.io.write_all(UNRECOGNIZED_NAME).await;
                return Err(io::Error::other(closed));
            }
        };
        // Our half of the key exchange and the signature are computed here; the clients' answers then come one by one,
        // at the pace at which they were asked for.
        let rest = turns.compute(|| hello.into_stream(Arc::clone(&ways[index]))).await;
        let stream = rest.await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.map(|certificate| certificate.clone().into_owned());
        let protocol = WAYS[index].protocol;
        if let Some(domain) = &domain {
            admit(domain, protocol, certificate.is_some()).map_err(io::Error::other)?;
        }
        Ok(Accepted { stream, protocol, certificate, server_name: asked.take(), domain })
    }

    /// Which of [`WAYS`] a client goes, and among whose: those of the name it asks for, or those of all.
    fn lead(&self, port: Port, hello: &ClientHello<'_>) -> Result<(usize, Option<Arc<Domain>>, Ways), Closed> {
        let named = match (&self.domains, hello.server_name()) {
            (Some(domains), Some(name)) => domains.find(name)?,
            _ => None,
        };
        let Some(Named { domain, ways }) = named else {
            let ways = Arc::clone(&self.ways.read().unwrap_or_else(PoisonError::into_inner));
            return Ok((choose(port, hello), None, ways));
        };
        // Where all speak MQTT, the port says nothing, and no ALPN is needed to say it.
        let port = if domain.protocol == ApplicationProtocol::Mqtt { Port::Mqtts } else { port };
        let index = choose(port, hello);
        // Whether a certificate is shown is seen later.
        admit(&domain, WAYS[index].protocol, true)?;
        Ok((index, Some(domain), ways))
    }
}

/// The alert `unrecognized_name` as a TLS record, for who asks for a name where nobody is let in.
const UNRECOGNIZED_NAME: &[u8] = &[21, 3, 3, 0, 2, 2, 112];

/// The ways in that show an identity.
pub(crate) fn ways(identity: &Identity, security: SecurityPolicy) -> Result<Ways, rustls::Error> {
    let provider = Arc::new(default_provider());
    WAYS.iter().map(|way| config(&provider, identity, way, security).map(Arc::new)).collect()
}

fn versions(security: SecurityPolicy) -> Vec<&'static SupportedProtocolVersion> {
    match security {
        SecurityPolicy::Both => vec![&rustls::version::TLS13, &rustls::version::TLS12],
        SecurityPolicy::Tls13 => vec![&rustls::version::TLS13],
        SecurityPolicy::Tls12 => vec![&rustls::version::TLS12],
    }
}

/// The index in [`WAYS`] for what the client offers. An offer of only unknown protocols leads to some way with
/// ALPN, where rustls refuses it with the right alert.
fn choose(port: Port, hello: &ClientHello<'_>) -> usize {
    let open = |alpn: Option<&[u8]>| {
        WAYS.iter().position(|way| way.ports.contains(&port) && way.alpn.map(str::as_bytes) == alpn)
    };
    let offered = hello.alpn().map(|mut offered| offered.find_map(|alpn| open(Some(alpn))));
    match offered {
        Some(known) => known.or_else(|| open(Some(b"x-amzn-mqtt-ca"))),
        None => open(None),
    }
    .unwrap_or_default()
}

fn config(
    provider: &Arc<CryptoProvider>,
    identity: &Identity,
    way: &Way,
    security: SecurityPolicy,
) -> Result<ServerConfig, rustls::Error> {
    let algorithms = provider.signature_verification_algorithms;
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(provider)).with_protocol_versions(&versions(security))?;
    let builder = match way.client {
        Certified::Never => builder.with_no_client_auth(),
        client => {
            let mandatory = client == Certified::Mandatory;
            builder.with_client_cert_verifier(Arc::new(AnyCertificate { algorithms, mandatory }))
        }
    };
    let mut config = builder.with_single_cert(identity.chain.clone(), identity.key.clone_key())?;
    config.alpn_protocols = way.alpn.map(|alpn| alpn.as_bytes().to_vec()).into_iter().collect();
    // A ticket holds the certificate that was proved, sealed with a key that only this way in has: what was not asked
    // for a certificate elsewhere cannot be carried here. AWS resumes nothing, so this is an addition that spares
    // devices the public-key arithmetic; whether the certificate is still good is asked at every CONNECT.
    config.ticketer = Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // Each is as long as the client's certificate, and a device comes back with one.
    config.send_tls13_tickets = 1;
    Ok(config)
}

fn why(error: io::Error) -> Why {
    let error = match error.downcast::<Closed>() {
        Ok(closed) => return Why::Domain(closed),
        Err(error) => error,
    };
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::NoCertificatesPresented) => Why::NoCertificate,
        Some(rustls::Error::NoApplicationProtocol) => Why::UnknownAlpn,
        Some(rustls::Error::InvalidCertificate(_)) => Why::NotPossessed,
        Some(rustls::Error::AlertReceived(alert)) => Why::PeerAlert(*alert),
        _ => Why::Broken(error),
    }
}

/// Lets any certificate in whose key signed the handshake.
#[derive(Debug)]
struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
    mandatory: bool,
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        public_key(end_entity).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == dss.scheme);
        let fitting = known.map(|(_, algorithms)| *algorithms).unwrap_or_default();
        if is_signed_by(public_key(cert)?, fitting, message, dss.signature()) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let key = SubjectPublicKeyInfoDer::from(public_key(cert)?);
        verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The DER `SubjectPublicKeyInfo` of a certificate.
fn public_key<'a>(certificate: &'a CertificateDer<'_>) -> Result<&'a [u8], rustls::Error> {
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Ok(parsed.tbs_certificate.subject_pki.raw),
        _ => Err(CertificateError::BadEncoding.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use cloud::Authority as _;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, HandshakeKind, RootCertStore};
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::ca::{CertificateAuthority, server_names};

    struct House {
        home: tempfile::TempDir,
        authority: CertificateAuthority,
        doors: Doors,
    }

    fn now_ms() -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }

    fn house() -> House {
        let home = tempfile::tempdir().unwrap();
        let authority = CertificateAuthority::open(home.path(), now_ms()).unwrap();
        let identity = authority.server_identity(home.path(), &server_names(&[]), now_ms()).unwrap();
        House { doors: Doors::new(&identity).unwrap(), authority, home }
    }

    type Credentials = (CertificateDer<'static>, PrivateKeyDer<'static>);

    fn device(house: &House) -> Credentials {
        let issued = house.authority.issue_keys(now_ms()).unwrap();
        let certificate = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap();
        (certificate, PrivateKeyDer::from_pem_slice(issued.keys.unwrap().private_pem.as_bytes()).unwrap())
    }

    struct Caller<'a> {
        port: Port,
        alpn: &'a [&'a str],
        credentials: Option<Credentials>,
        version: &'static SupportedProtocolVersion,
        to: &'a str,
    }

    impl Default for Caller<'_> {
        fn default() -> Self {
            let version = &rustls::version::TLS13;
            Self { port: Port::Tls, alpn: &[], credentials: None, version, to: "localhost" }
        }
    }

    fn client(house: &House, caller: &Caller<'_>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(house.authority.certificate_pem.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[caller.version])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &caller.credentials {
            Some((certificate, key)) => {
                builder.with_client_auth_cert(vec![certificate.clone()], key.clone_key()).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = caller.alpn.iter().map(|alpn| alpn.as_bytes().to_vec()).collect();
        config
    }

    /// What the door says, and the ALPN the client saw (or its error).
    async fn call(house: &House, caller: Caller<'_>) -> (Result<Accepted, TlsRefused>, io::Result<Option<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Arc::new(client(house, &caller));
        let name = ServerName::try_from(caller.to.to_owned()).unwrap();
        let calling = async {
            let tcp = TcpStream::connect(address).await.unwrap();
            let mut stream = TlsConnector::from(config).connect(name, tcp).await?;
            let alpn = stream.get_ref().1.alpn_protocol().map(|alpn| String::from_utf8(alpn.to_vec()).unwrap());
            // In TLS 1.3 the server's verdict on the certificate arrives with the first read.
            stream.write_all(b"?").await?;
            stream.read_u8().await?;
            Ok(alpn)
        };
        let answering = async {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut accepted = house.doors.accept(tcp, caller.port, &Turns::new()).await;
            if let Ok(accepted) = &mut accepted {
                assert_eq!(accepted.stream.read_u8().await.unwrap(), b'?');
                accepted.stream.write_all(b"!").await.unwrap();
                accepted.stream.flush().await.unwrap();
            }
            accepted
        };
        tokio::join!(answering, calling)
    }

    /// Port, ALPNs offered, with a certificate or not; protocol, ALPN agreed on.
    type Case = (Port, &'static [&'static str], bool, Protocol, Option<&'static str>);

    #[tokio::test]
    async fn the_protocol_follows_port_and_alpn() {
        let house = house();
        let (certificate, key) = device(&house);
        let credentials = || Some((certificate.clone(), key.clone_key()));
        let cases: [Case; 10] = [
            (Port::Mqtts, &[], true, Protocol::Mqtt, None),
            (Port::Mqtts, &["mqtt"], true, Protocol::Mqtt, Some("mqtt")),
            (Port::Mqtts, &["x-amzn-mqtt-ca"], true, Protocol::Mqtt, Some("x-amzn-mqtt-ca")),
            (Port::Tls, &["x-amzn-mqtt-ca"], true, Protocol::Mqtt, Some("x-amzn-mqtt-ca")),
            (Port::Tls, &["mqtt"], false, Protocol::Mqtt, Some("mqtt")),
            (Port::Tls, &["x-amzn-http-ca"], true, Protocol::Http, Some("x-amzn-http-ca")),
            (Port::Tls, &["h2", "http/1.1"], false, Protocol::Http, Some("http/1.1")),
            (Port::Tls, &["http/1.1"], true, Protocol::Http, Some("http/1.1")),
            (Port::Tls, &[], true, Protocol::Http, None),
            (Port::Tls, &[], false, Protocol::Http, None),
        ];
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            for (port, alpn, with, protocol, agreed) in cases {
                let credentials = if with { credentials() } else { None };
                let (door, client) =
                    call(&house, Caller { port, alpn, credentials, version, ..Caller::default() }).await;
                let door = door.unwrap_or_else(|error| panic!("{port:?} {alpn:?}: {error}"));
                assert_eq!(door.protocol, protocol, "{port:?} {alpn:?}");
                assert_eq!(client.unwrap().as_deref(), agreed, "{port:?} {alpn:?}");
                assert_eq!(door.certificate.as_ref(), with.then_some(&certificate), "{port:?} {alpn:?}");
                assert_eq!(door.server_name.as_deref(), Some("localhost"));
            }
        }
    }

    #[tokio::test]
    async fn a_certificate_is_not_asked_for_where_credentials_come_later() {
        let house = house();
        let credentials = Some(device(&house));
        let (door, _) = call(&house, Caller { alpn: &["mqtt"], credentials, ..Caller::default() }).await;
        assert_eq!(door.unwrap().certificate, None);
    }

    #[tokio::test]
    async fn a_client_without_certificate_is_refused_where_one_is_needed() {
        let house = house();
        for (port, alpn) in [
            (Port::Mqtts, &[][..]),
            (Port::Mqtts, &["mqtt"]),
            (Port::Tls, &["x-amzn-mqtt-ca"]),
            (Port::Tls, &["x-amzn-http-ca"]),
        ] {
            for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
                let (door, client) = call(&house, Caller { port, alpn, version, ..Caller::default() }).await;
                let refused = door.unwrap_err();
                assert!(refused.to_string().contains("presented no certificate"), "{alpn:?}: {refused}");
                assert_eq!(refused.server_name.as_deref(), Some("localhost"));
                assert!(client.is_err());
            }
        }
    }

    #[tokio::test]
    async fn unknown_protocols_are_refused_by_name() {
        let house = house();
        for port in [Port::Mqtts, Port::Tls] {
            let (door, client) = call(&house, Caller { port, alpn: &["h2"], ..Caller::default() }).await;
            assert!(door.unwrap_err().to_string().contains("unknown ALPN"));
            assert!(client.is_err());
        }
    }

    #[tokio::test]
    async fn a_host_name_is_never_required() {
        let house = house();
        let credentials = Some(device(&house));
        let (door, client) =
            call(&house, Caller { port: Port::Mqtts, credentials, to: "127.0.0.1", ..Caller::default() }).await;
        assert_eq!(door.unwrap().server_name, None);
        client.unwrap();
    }

    #[tokio::test]
    async fn a_stolen_certificate_without_its_key_is_refused() {
        let house = house();
        let ((certificate, _), (_, other_key)) = (device(&house), device(&house));
        // rustls compares certificate and key only when asked to, so a thief can be played with a raw signer.
        let signer = default_provider().key_provider.load_private_key(other_key).unwrap();
        let stolen = Arc::new(rustls::sign::CertifiedKey::new(vec![certificate], signer));
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let mut config = client(&house, &Caller { version, ..Caller::default() });
            config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from((*stolen).clone()));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let calling = async {
                let tcp = TcpStream::connect(address).await.unwrap();
                let name = ServerName::try_from("localhost").unwrap();
                TlsConnector::from(Arc::new(config)).connect(name, tcp).await.is_ok()
            };
            let answering = async {
                let (tcp, _) = listener.accept().await.unwrap();
                house.doors.accept(tcp, Port::Mqtts, &Turns::new()).await
            };
            let (door, _) = tokio::join!(answering, calling);
            assert!(door.unwrap_err().to_string().contains("proof of the private key"), "{version:?}");
        }
    }

    #[tokio::test]
    async fn a_client_that_trusts_another_root_is_told_what_to_do() {
        let (ours, other) = (house(), house());
        let config = Arc::new(client(&other, &Caller::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calling = async {
            let tcp = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let _ = TlsConnector::from(config).connect(name, tcp).await;
        };
        let answering = async {
            let (tcp, _) = listener.accept().await.unwrap();
            ours.doors.accept(tcp, Port::Tls, &Turns::new()).await
        };
        let (door, ()) = tokio::join!(answering, calling);
        assert!(door.unwrap_err().to_string().contains("give it ca.pem"));
    }

    #[tokio::test]
    async fn between_a_few_handshakes_the_connections_have_their_turn() {
        let turns = Arc::new(Turns::new());
        let done = Arc::new(AtomicUsize::new(0));
        let storm: Vec<_> = (0..200)
            .map(|_| {
                let (turns, done) = (Arc::clone(&turns), Arc::clone(&done));
                tokio::spawn(async move { turns.compute(|| done.fetch_add(1, Ordering::Relaxed)).await })
            })
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut device = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut ours, _) = listener.accept().await.unwrap();
        let mut most = 0;
        while done.load(Ordering::Relaxed) < storm.len() {
            let before = done.load(Ordering::Relaxed);
            device.write_all(b"?").await.unwrap();
            ours.read_u8().await.unwrap();
            most = most.max(done.load(Ordering::Relaxed) - before);
        }
        // A round trip may take the runtime more than one look at its sockets.
        assert!(most <= 4 * IN_A_ROW, "{most} handshakes while a message waited");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_given_up() {
        let house = house();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let refused = house.doors.accept(tcp, Port::Mqtts, &Turns::new()).await.unwrap_err();
        assert!(refused.to_string().contains("longer than 10 s"), "{refused}");
        drop(silent);
    }

    /// A connection that said a word each way, so that the client has its ticket; both ends.
    async fn open(
        house: &House,
        config: &Arc<ClientConfig>,
        port: Port,
    ) -> (Result<Accepted, TlsRefused>, io::Result<tokio_rustls::client::TlsStream<TcpStream>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calling = async {
            let tcp = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let mut stream = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?;
            stream.read_u8().await?;
            Ok(stream)
        };
        let answering = async {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut accepted = house.doors.accept(tcp, port, &Turns::new()).await;
            if let Ok(accepted) = &mut accepted {
                accepted.stream.write_all(b"!").await.unwrap();
                accepted.stream.flush().await.unwrap();
            }
            accepted
        };
        tokio::join!(answering, calling)
    }

    #[tokio::test]
    async fn a_resumed_connection_still_has_its_certificate() {
        let house = house();
        let (certificate, key) = device(&house);
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let credentials = Some((certificate.clone(), key.clone_key()));
            let config = Arc::new(client(&house, &Caller { credentials, version, ..Caller::default() }));
            for expected in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
                let (door, caller) = open(&house, &config, Port::Mqtts).await;
                assert_eq!(caller.unwrap().get_ref().1.handshake_kind(), Some(expected), "{version:?}");
                assert_eq!(door.unwrap().certificate.as_ref(), Some(&certificate), "{version:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_ticket_from_where_no_certificate_is_needed_opens_nothing_else() {
        let house = house();
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let config = Arc::new(client(&house, &Caller { version, ..Caller::default() }));
            let (door, caller) = open(&house, &config, Port::Tls).await;
            assert!(door.is_ok() && caller.is_ok(), "{version:?}");
            let (door, caller) = open(&house, &config, Port::Mqtts).await;
            assert!(door.unwrap_err().to_string().contains("presented no certificate"), "{version:?}");
            assert!(caller.is_err(), "{version:?}");
        }
    }

    #[tokio::test]
    async fn another_identity_is_shown_from_the_next_handshake_on() {
        let house = house();
        let config = Arc::new(client(&house, &Caller::default()));
        let shown = |stream: &tokio_rustls::client::TlsStream<TcpStream>| {
            let (_, session) = stream.get_ref();
            assert_eq!(session.handshake_kind(), Some(HandshakeKind::Full));
            session.peer_certificates().unwrap()[0].clone().into_owned()
        };
        let (before, caller) = open(&house, &config, Port::Tls).await;
        let mut caller = caller.unwrap();
        let first = shown(&caller);
        let names = server_names(&["another.example".to_owned()]);
        let identity = house.authority.server_identity(house.home.path(), &names, now_ms()).unwrap();
        house.doors.present(&identity).unwrap();
        let (_, next) = open(&house, &config, Port::Tls).await;
        let second = shown(&next.unwrap());
        assert_ne!(first, second);
        assert_eq!(second, identity.chain[0]);
        // The old connection goes on.
        caller.write_all(b"?").await.unwrap();
        caller.flush().await.unwrap();
        assert_eq!(before.unwrap().stream.read_u8().await.unwrap(), b'?');

        let broken = Identity { chain: identity.chain, key: device(&house).1 };
        assert!(house.doors.present(&broken).is_err());
        let (_, next) = open(&house, &config, Port::Tls).await;
        let kind = next.unwrap().get_ref().1.handshake_kind();
        assert_eq!(kind, Some(HandshakeKind::Resumed), "what was shown before stays");
    }
}
