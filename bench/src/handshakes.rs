//! The TLS library alone: a server that takes connections through mutual TLS, answers CONNECT with CONNACK, and does
//! nothing else; what a handshake costs at the least. Like ombra it asks only whether the device holds the key of the
//! certificate it shows, keeps no session, and gives each connection a ticket to resume with. It runs as a process of its own, until its standard input ends.

use std::collections::HashMap;
use std::io::{self, Write as _, stdin, stdout};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, ServerConnection, SignatureScheme};

use crate::Failure;
use crate::link::Link;
use crate::packets::{ACCEPTED, CONNECT, each_frame};
use crate::poll::{Poll, Ready};

const LISTENER: usize = usize::MAX;
const PARENT: usize = usize::MAX - 1;

const IDLE: Duration = Duration::from_secs(1);

/// Listens on a free port with the server certificate of `data`, and prints the port.
pub(crate) fn run(data: &Path) -> Result<(), Failure> {
    let config = Arc::new(config(data)?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    writeln!(stdout(), "{}", listener.local_addr()?.port())?;
    listener.set_nonblocking(true)?;
    let mut poll = Poll::new()?;
    poll.add(&listener, LISTENER)?;
    poll.add(stdin(), PARENT)?;
    let (mut links, mut next) = (HashMap::new(), 0);
    let (mut ready, mut scratch) = (Vec::new(), vec![0; 4096]);
    loop {
        poll.wait(IDLE, &mut ready)?;
        for &Ready { key, readable } in &ready {
            match key {
                PARENT => return Ok(()),
                LISTENER => accept(&listener, &config, &poll, &mut links, &mut next)?,
                _ => {
                    let Some(link) = links.get_mut(&key) else { continue };
                    if !serve(link, readable, &mut scratch, &poll).unwrap_or(false) {
                        links.remove(&key);
                    }
                }
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    config: &Arc<ServerConfig>,
    poll: &Poll,
    links: &mut HashMap<usize, Link>,
    next: &mut usize,
) -> Result<(), Failure> {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let tls = ServerConnection::new(Arc::clone(config))?;
        links.insert(*next, Link::new(stream, Some(tls.into()), *next, poll)?);
        *next += 1;
    }
}

fn serve(link: &mut Link, readable: bool, scratch: &mut [u8], poll: &Poll) -> io::Result<bool> {
    let answer = |bytes: &[u8], output: &mut Vec<u8>| {
        each_frame(bytes, |frame| {
            if frame.kind() == CONNECT {
                output.extend(ACCEPTED);
            }
        })
    };
    let is_there = !readable || link.receive(scratch, answer)?;
    link.flush(poll)?;
    Ok(is_there)
}

fn config(data: &Path) -> Result<ServerConfig, Failure> {
    let provider = Arc::new(default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let chain = CertificateDer::pem_file_iter(data.join("server.pem"))?.collect::<Result<_, _>>()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(Possession { algorithms }))
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(data.join("server.key"))?)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// Lets any certificate in whose key signed the handshake.
#[derive(Debug)]
struct Possession {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Possession {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
