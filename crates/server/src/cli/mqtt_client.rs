//! A small MQTT 5 client over TLS for the commands that play a device: one connection, QoS 1, one message in
//! flight. It knows nothing of shadows and does not reconnect by itself.

use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mqtt::{
    Ack, Connect, ConnectProperties, Decoder, Disconnect, Filter, Packet, Publish, QoS, ReasonCode, Subscribe,
    SubscribeProperties, Subscription, Text, Topic, Version,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::data_dir::DataDirError;

const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// An answer that takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(10);
const MAX_PACKET: usize = 256 * 1024;

/// A device's certificate and key, and the root it trusts, ready for TLS.
#[derive(Clone, Debug)]
pub(super) struct Credentials(Arc<ClientConfig>);

/// A connected client.
#[derive(Debug)]
pub(super) struct Mqtt {
    stream: TlsStream<TcpStream>,
    decoder: Decoder,
    inbound: BytesMut,
    /// Messages that came while something else was waited for.
    waiting: VecDeque<Publish>,
    last_id: u16,
}

/// Why the connection is of no use, or was refused something.
#[derive(Debug)]
pub(super) enum MqttError {
    /// A file with credentials cannot be used.
    Credentials(String),
    /// Nobody answers there.
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// What the operating system says.
        error: io::Error,
    },
    /// TLS or the connection broke.
    Lost(io::Error),
    /// The server said no, and why.
    Refused {
        /// What was refused.
        what: String,
        /// The reason code.
        reason: ReasonCode,
        /// The reason string, if the server sent one.
        text: Option<Text>,
    },
    /// The server did not speak MQTT, or was asked something that cannot be said in MQTT.
    Broken(String),
}

impl fmt::Display for MqttError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credentials(why) => f.write_str(why),
            Self::Unreachable { address, error } => {
                write!(f, "failed to reach ombra at {address}: {error}; start it with `ombra`")
            }
            Self::Lost(error) => write!(f, "the connection is lost: {error}"),
            Self::Refused { what, reason, text } => {
                write!(f, "{what} was refused: {} (0x{:02X})", reason.words(), reason.code())?;
                text.as_ref().map_or(Ok(()), |text| write!(f, ": {text}"))
            }
            Self::Broken(why) => write!(f, "failed to speak MQTT: {why}"),
        }
    }
}

impl std::error::Error for MqttError {}

impl MqttError {
    /// May the same work later, without anybody changing anything?
    pub(super) fn may_pass(&self) -> bool {
        let leaving = [ReasonCode::ServerShuttingDown, ReasonCode::ServerBusy, ReasonCode::ServerUnavailable];
        match self {
            Self::Unreachable { .. } | Self::Lost(_) => true,
            Self::Refused { reason, .. } => leaving.contains(reason),
            Self::Credentials(_) | Self::Broken(_) => false,
        }
    }
}

impl From<io::Error> for MqttError {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

impl Credentials {
    /// Reads `certificate.pem`, `private.key` and `ca.pem` of a device's directory.
    pub(super) fn read(dir: &Path) -> Result<Self, MqttError> {
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read(&path).map_err(|error| {
                let error = DataDirError::Io { doing: "read", path, error };
                MqttError::Credentials(format!("{error}; `ombra device new NAME` makes it"))
            })
        };
        let bad = |name: &str, error: &dyn fmt::Display| {
            MqttError::Credentials(format!("failed to use {}: {error}", dir.join(name).display()))
        };
        let certificate = CertificateDer::from_pem_slice(&read("certificate.pem")?)
            .map_err(|error| bad("certificate.pem", &error))?;
        let key = PrivateKeyDer::from_pem_slice(&read("private.key")?).map_err(|error| bad("private.key", &error))?;
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(&read("ca.pem")?) {
            let added = root.map_err(|error| error.to_string());
            let added = added.and_then(|root| roots.add(root).map_err(|error| error.to_string()));
            added.map_err(|error| bad("ca.pem", &error))?;
        }
        if roots.is_empty() {
            return Err(bad("ca.pem", &"it holds no PEM certificate"));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| bad("private.key", &error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)
            .map_err(|error| bad("private.key", &error))?;
        Ok(Self(Arc::new(config)))
    }
}

impl Mqtt {
    /// Connects with a clean session.
    pub(super) async fn connect(
        address: SocketAddr,
        credentials: &Credentials,
        client_id: &str,
    ) -> Result<Self, MqttError> {
        let tcp = TcpStream::connect(address).await.map_err(|error| MqttError::Unreachable { address, error })?;
        // Packets are small and each is waited for. If this cannot be set they only come later.
        let _ = tcp.set_nodelay(true);
        // The name that every server certificate of ours has, whichever loopback address this is.
        let name = ServerName::try_from("localhost").map_err(|error| MqttError::Broken(error.to_string()))?;
        let shaking = TlsConnector::from(Arc::clone(&credentials.0)).connect(name, tcp);
        let stream = timeout(PATIENCE, shaking).await.map_err(|_| too_slow("the TLS handshake"))??;
        let decoder = Decoder::for_version(Version::V5, MAX_PACKET);
        let mut client = Self { stream, decoder, inbound: BytesMut::new(), waiting: VecDeque::new(), last_id: 0 };
        let connect = Connect {
            version: Version::V5,
            clean_start: true,
            keep_alive: u16::try_from(KEEP_ALIVE.as_secs()).unwrap_or_default(),
            client_id: Text::try_from(client_id).map_err(|error| MqttError::Broken(error.to_string()))?,
            will: None,
            username: None,
            password: None,
            properties: ConnectProperties::default(),
        };
        client.send(&Packet::Connect(Box::new(connect))).await?;
        match client.receive_within(PATIENCE).await? {
            Packet::ConnAck(ack) => {
                let what = format!("CONNECT as {client_id}");
                granted(&what, ack.reason, ack.properties.reason_string)?;
                Ok(client)
            }
            other => Err(MqttError::Broken(format!("{} instead of CONNACK", other.name()))),
        }
    }

    /// Subscribes with QoS 1; fails if any of the filters is refused.
    pub(super) async fn subscribe(&mut self, filters: &[String]) -> Result<(), MqttError> {
        let packet_id = self.next_id();
        let subscription = |filter: &String| {
            let filter = Filter::new(filter.clone()).map_err(|error| MqttError::Broken(error.to_string()))?;
            Ok(Subscription::new(filter, QoS::AtLeastOnce))
        };
        let subscriptions = filters.iter().map(subscription).collect::<Result<_, MqttError>>()?;
        let properties = SubscribeProperties::default();
        self.send(&Packet::Subscribe(Subscribe { packet_id, subscriptions, properties })).await?;
        loop {
            match self.receive_within(PATIENCE).await? {
                Packet::SubAck(ack) if ack.packet_id == packet_id => {
                    for (filter, reason) in filters.iter().zip(ack.reasons) {
                        granted(&format!("SUBSCRIBE to {filter}"), reason, ack.properties.reason_string.clone())?;
                    }
                    return Ok(());
                }
                other => self.keep(other).await?,
            }
        }
    }

    /// Publishes with QoS 1 and waits until the server has taken it.
    pub(super) async fn publish(&mut self, topic: &str, payload: impl Into<Bytes>) -> Result<(), MqttError> {
        let packet_id = self.next_id();
        let name = Topic::new(topic.to_owned()).map_err(|error| MqttError::Broken(error.to_string()))?;
        let publish = Publish { qos: QoS::AtLeastOnce, packet_id: Some(packet_id), ..Publish::new(name, payload) };
        self.send(&Packet::Publish(publish)).await?;
        loop {
            match self.receive_within(PATIENCE).await? {
                Packet::PubAck(ack) if ack.packet_id == packet_id => {
                    return granted(&format!("PUBLISH to {topic}"), ack.reason, ack.properties.reason_string);
                }
                other => self.keep(other).await?,
            }
        }
    }

    /// The next message, however long it takes.
    pub(super) async fn next(&mut self) -> Result<Publish, MqttError> {
        let mut silent = false;
        loop {
            if let Some(publish) = self.waiting.pop_front() {
                return Ok(publish);
            }
            match timeout(KEEP_ALIVE / 2, self.receive()).await {
                Ok(packet) => {
                    silent = false;
                    self.keep(packet?).await?;
                }
                Err(_elapsed) if silent => return Err(too_slow("the answer to PINGREQ")),
                Err(_elapsed) => {
                    silent = true;
                    self.send(&Packet::PingReq).await?;
                }
            }
        }
    }

    /// Leaves politely. Whatever fails on the way out does not matter any more.
    pub(super) async fn disconnect(mut self) {
        let _ = self.send(&Packet::Disconnect(Disconnect::new(ReasonCode::Success))).await;
        let _ = self.stream.shutdown().await;
    }

    /// Deals with a packet that is not what was waited for.
    async fn keep(&mut self, packet: Packet) -> Result<(), MqttError> {
        match packet {
            Packet::Publish(publish) => {
                if let Some(packet_id) = publish.packet_id {
                    self.send(&Packet::PubAck(Ack::success(packet_id))).await?;
                }
                self.waiting.push_back(publish);
                Ok(())
            }
            Packet::Disconnect(left) => {
                Err(refused("the connection".to_owned(), left.reason, left.properties.reason_string))
            }
            // Answers to pings, and to what was given up.
            _ => Ok(()),
        }
    }

    async fn send(&mut self, packet: &Packet) -> Result<(), MqttError> {
        let mut bytes = BytesMut::new();
        mqtt::encode(packet, Version::V5, MAX_PACKET, &mut bytes)
            .map_err(|error| MqttError::Broken(error.to_string()))?;
        self.stream.write_all(&bytes).await?;
        Ok(self.stream.flush().await?)
    }

    async fn receive_within(&mut self, patience: Duration) -> Result<Packet, MqttError> {
        timeout(patience, self.receive()).await.unwrap_or_else(|_| Err(too_slow("an answer")))
    }

    /// Reads one packet. Giving up in between loses nothing: what was read stays in the buffer.
    async fn receive(&mut self) -> Result<Packet, MqttError> {
        loop {
            let packet = self.decoder.decode(&mut self.inbound);
            if let Some(packet) = packet.map_err(|error| MqttError::Broken(error.to_string()))? {
                return Ok(packet);
            }
            if self.stream.read_buf(&mut self.inbound).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed it").into());
            }
        }
    }

    fn next_id(&mut self) -> NonZeroU16 {
        self.last_id = self.last_id.wrapping_add(1);
        NonZeroU16::new(self.last_id).unwrap_or_else(|| self.next_id())
    }
}

fn granted(what: &str, reason: ReasonCode, text: Option<Text>) -> Result<(), MqttError> {
    if reason.is_error() { Err(refused(what.to_owned(), reason, text)) } else { Ok(()) }
}

fn refused(what: String, reason: ReasonCode, text: Option<Text>) -> MqttError {
    MqttError::Refused { what, reason, text }
}

fn too_slow(what: &str) -> MqttError {
    MqttError::Lost(io::Error::new(io::ErrorKind::TimedOut, format!("{what} did not come")))
}

#[cfg(test)]
mod tests {
    use cloud::Authority as _;
    use mqtt::{AckProperties, ConnAck, SubAck};
    use tokio::net::TcpListener;

    use super::*;
    use crate::ca::{CertificateAuthority, server_names};
    use crate::tls::{Doors, Port, Turns};

    /// A server that plays by this script: it answers each packet with what the script says, and ends when the
    /// script says nothing more. Returns the names of the packets it saw.
    async fn scripted(
        dir: &Path,
        script: fn(&Packet) -> Vec<Packet>,
    ) -> (SocketAddr, Credentials, tokio::task::JoinHandle<Vec<&'static str>>) {
        let now = jiff::Timestamp::now().as_millisecond();
        let authority = CertificateAuthority::open(dir, now).unwrap();
        let doors = Doors::new(&authority.server_identity(dir, &server_names(&[]), now).unwrap()).unwrap();
        let issued = authority.issue_keys(now).unwrap();
        fs::write(dir.join("certificate.pem"), issued.certificate_pem).unwrap();
        fs::write(dir.join("private.key"), issued.keys.unwrap().private_pem).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut stream = doors.accept(tcp, Port::Mqtts, &Turns::new()).await.unwrap().stream;
            let (mut decoder, mut buffer, mut seen) = (Decoder::new(MAX_PACKET), BytesMut::new(), Vec::new());
            loop {
                while let Some(packet) = decoder.decode(&mut buffer).unwrap() {
                    seen.push(packet.name());
                    let mut answer = BytesMut::new();
                    for packet in script(&packet) {
                        mqtt::encode(&packet, Version::V5, MAX_PACKET, &mut answer).unwrap();
                    }
                    stream.write_all(&answer).await.unwrap();
                    stream.flush().await.unwrap();
                }
                if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                    return seen;
                }
            }
        });
        (address, Credentials::read(dir).unwrap(), task)
    }

    fn message(text: &'static str) -> Packet {
        let publish = Publish::new(Topic::new("a/b").unwrap(), text);
        Packet::Publish(Publish { qos: QoS::AtLeastOnce, packet_id: NonZeroU16::new(9), ..publish })
    }

    fn polite(packet: &Packet) -> Vec<Packet> {
        match packet {
            Packet::Connect(_) => vec![Packet::ConnAck(Box::new(ConnAck::refusal(ReasonCode::Success)))],
            Packet::Subscribe(Subscribe { packet_id, .. }) => {
                let (packet_id, properties) = (*packet_id, AckProperties::default());
                let granted = SubAck { packet_id, reasons: vec![ReasonCode::GrantedQoS1], properties };
                // Messages may overtake the answer.
                vec![message("first"), Packet::SubAck(granted), message("second")]
            }
            Packet::Publish(Publish { topic: Some(topic), packet_id: Some(packet_id), .. }) => {
                let forbidden = topic.as_str() == "forbidden";
                let reason = if forbidden { ReasonCode::NotAuthorized } else { ReasonCode::Success };
                let mut ack = Ack::new(*packet_id, reason);
                ack.properties.reason_string = forbidden.then(|| Text::try_from("no statement allows it").unwrap());
                vec![Packet::PubAck(ack)]
            }
            _ => Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_device_subscribes_publishes_and_hears() {
        let home = tempfile::tempdir().unwrap();
        let (address, credentials, server) = scripted(home.path(), polite).await;
        let mut client = Mqtt::connect(address, &credentials, "lamp").await.unwrap();
        client.subscribe(&["a/+".to_owned()]).await.unwrap();
        client.publish("a/c", "x").await.unwrap();
        let error = client.publish("forbidden", "x").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "PUBLISH to forbidden was refused: not authorized (0x87): no statement allows it"
        );
        assert!(!error.may_pass());
        assert_eq!(client.next().await.unwrap().payload, "first");
        assert_eq!(client.next().await.unwrap().payload, "second");
        client.disconnect().await;
        let seen = server.await.unwrap();
        assert_eq!(seen[..2], ["CONNECT", "SUBSCRIBE"]);
        assert_eq!(seen.iter().filter(|name| **name == "PUBACK").count(), 2);
        assert_eq!(seen.last(), Some(&"DISCONNECT"));
    }

    #[tokio::test]
    async fn a_refused_connect_says_why() {
        let home = tempfile::tempdir().unwrap();
        let script = |_: &Packet| vec![Packet::ConnAck(Box::new(ConnAck::refusal(ReasonCode::NotAuthorized)))];
        let (address, credentials, _server) = scripted(home.path(), script).await;
        let error = Mqtt::connect(address, &credentials, "lamp").await.unwrap_err();
        assert_eq!(error.to_string(), "CONNECT as lamp was refused: not authorized (0x87)");
    }

    #[tokio::test]
    async fn a_server_that_leaves_or_was_never_there_may_come_back() {
        let home = tempfile::tempdir().unwrap();
        let script = |packet: &Packet| match packet {
            Packet::Publish(_) => vec![Packet::Disconnect(Disconnect::new(ReasonCode::ServerShuttingDown))],
            packet => polite(packet),
        };
        let (address, credentials, server) = scripted(home.path(), script).await;
        let mut client = Mqtt::connect(address, &credentials, "lamp").await.unwrap();
        assert!(client.publish("a", "x").await.unwrap_err().may_pass());
        drop(client);
        server.await.unwrap();
        let error = Mqtt::connect(address, &credentials, "lamp").await.unwrap_err();
        assert!(matches!(error, MqttError::Unreachable { .. }) && error.may_pass(), "{error}");
    }

    #[test]
    fn missing_files_name_the_command_that_makes_them() {
        let home = tempfile::tempdir().unwrap();
        let error = Credentials::read(home.path()).unwrap_err().to_string();
        assert!(error.contains("certificate.pem") && error.contains("ombra device new"), "{error}");
    }
}
