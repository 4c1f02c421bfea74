//! A connection to one broker: opened, encrypted and logged in as the cluster wants it, then one request after the other, each
//! with its answer. Topics and records are unknown here.

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use cloud::actions::{Cause, Failure, KafkaLogin};
use kafka_protocol::messages::{ApiKey, RequestHeader, SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::{Encodable, StrBytes, encode_request_header_into_buffer};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::answer;
use super::scram::Scram;
use crate::effects::client::{dial, encrypt};

/// Bytes of an answer. The longest is that about a topic with very many partitions.
const MOST_ANSWER: usize = 1 << 20;

/// What is asked to log in, in versions that every broker speaks.
const HANDSHAKE: (ApiKey, i16) = (ApiKey::SaslHandshake, 1);
const AUTHENTICATE: (ApiKey, i16) = (ApiKey::SaslAuthenticate, 0);

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection, ready for requests.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    address: String,
    last: i32,
}

impl Connection {
    /// Opens one to `host:port`.
    pub(super) async fn open(
        tls: Option<&Arc<ClientConfig>>,
        login: Option<&KafkaLogin>,
        address: &str,
    ) -> Result<Self, Failure> {
        let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = parts.ok_or_else(|| {
            Failure::new(Cause::InvalidUrl, format!("{address} is not the address of a broker: host:port is."))
        })?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let tcp = dial(host, port).await?;
        let stream: Box<dyn Stream> = match tls {
            Some(tls) => Box::new(encrypt(tls, host, tcp).await?),
            None => Box::new(tcp),
        };
        let mut connection = Self { stream, address: address.to_owned(), last: 0 };
        if let Some(login) = login {
            connection.log_in(login).await?;
        }
        Ok(connection)
    }

    /// Sends a request and reads the body of its answer.
    pub(super) async fn ask(
        &mut self,
        (key, version): (ApiKey, i16),
        request: &impl Encodable,
    ) -> Result<Bytes, Failure> {
        self.last = self.last.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(key as i16)
            .with_request_api_version(version)
            .with_correlation_id(self.last)
            .with_client_id(Some(StrBytes::from_static_str("ombra")));
        let frame = frame(&header, request)
            .map_err(|why| Failure::new(Cause::Unusable, format!("The request to Kafka cannot be written: {why}.")))?;
        self.exchange(&frame).await.map_err(|error| {
            Failure::new(Cause::Unreachable, format!("The broker {} broke off: {error}.", self.address))
        })
    }

    async fn exchange(&mut self, frame: &[u8]) -> std::io::Result<Bytes> {
        use std::io::{Error, ErrorKind};
        self.stream.write_all(frame).await?;
        self.stream.flush().await?;
        let length = usize::try_from(self.stream.read_i32().await?).unwrap_or(usize::MAX);
        if !(4..=MOST_ANSWER).contains(&length) {
            return Err(Error::new(ErrorKind::InvalidData, format!("an answer of {length} bytes is none")));
        }
        let mut answer = BytesMut::zeroed(length);
        self.stream.read_exact(&mut answer).await?;
        // All versions that are asked for have the short header: the number of the request alone.
        if answer.get_i32() != self.last {
            return Err(Error::new(ErrorKind::InvalidData, "it answered another request"));
        }
        Ok(answer.freeze())
    }

    async fn log_in(&mut self, login: &KafkaLogin) -> Result<(), Failure> {
        let mechanism = StrBytes::from_static_str(login.mechanism);
        let request = SaslHandshakeRequest::default().with_mechanism(mechanism);
        let answer = self.ask(HANDSHAKE, &request).await?;
        let (code, known) = answer::handshake(answer).ok_or_else(|| super::garbled("SaslHandshake"))?;
        if code != 0 {
            let known = known.join(", ");
            let message = format!("The broker does not know {}; it knows {known}.", login.mechanism);
            return Err(Failure::new(Cause::Refused, message));
        }
        if login.mechanism == "PLAIN" {
            let token = format!("\0{}\0{}", login.user, login.password);
            return self.show(token.into()).await.map(drop);
        }
        let scram = Scram::new(&login.user, &login.password)?;
        let server_first = self.show(scram.first().into()).await?;
        let (last, expected) = scram.last(&server_first)?;
        let server_last = self.show(last.into()).await?;
        if server_last == expected.as_bytes() {
            return Ok(());
        }
        Err(Failure::new(
            Cause::Refused,
            "The broker does not know the password itself, so it is not who it claims to be.",
        ))
    }

    async fn show(&mut self, token: Bytes) -> Result<Bytes, Failure> {
        let answer = self.ask(AUTHENTICATE, &SaslAuthenticateRequest::default().with_auth_bytes(token)).await?;
        let (code, message, token) = answer::authenticated(answer).ok_or_else(|| super::garbled("SaslAuthenticate"))?;
        if code == 0 {
            return Ok(token);
        }
        let message = message.unwrap_or_else(|| "without saying why".to_owned());
        Err(Failure::new(Cause::Refused, format!("Kafka did not let the user in: {message}.")))
    }
}

/// A request with its length and its header in front.
fn frame(header: &RequestHeader, request: &impl Encodable) -> Result<BytesMut, String> {
    let mut frame = BytesMut::zeroed(size_of::<i32>());
    let written = encode_request_header_into_buffer(&mut frame, header);
    let written = written.and_then(|()| request.encode(&mut frame, header.request_api_version));
    written.map_err(|error| error.to_string())?;
    let length = i32::try_from(frame.len() - size_of::<i32>()).map_err(|error| error.to_string())?;
    frame[..size_of::<i32>()].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}
