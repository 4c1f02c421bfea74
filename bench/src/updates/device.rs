//! Devices: things with certificates made through the API, that update their own shadows over MQTT 5 with mutual TLS.
//! An update is acknowledged by its PUBACK.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use bytes::BytesMut;
use mqtt::{Connect, ConnectProperties, Decoder, Packet, Publish, QoS, Text, Topic, Version};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::documents::{REPORTS, thing};
use crate::Failure;
use crate::http::{Line, request};
use crate::load::Client;
use crate::ombra::Ombra;

const POLICY: &str = "bench";
const MAX_PACKET: usize = 64 * 1024;

/// Devices that may connect.
pub(crate) struct Fleet {
    address: SocketAddr,
    members: Vec<(String, Arc<ClientConfig>)>,
}

/// A connected device.
pub(crate) struct Device {
    stream: TlsStream<TcpStream>,
    decoder: Decoder,
    input: BytesMut,
    updates: [BytesMut; 2],
    turn: usize,
}

/// Makes so many things, each with a certificate of its own, and one policy that lets each be itself.
pub(crate) async fn prepare(ombra: &Ombra, things: usize) -> Result<Fleet, Failure> {
    let root = CertificateDer::from_pem_slice(&ombra.ca()?)?;
    let mut line = Line::connect(ombra.http).await?;
    let mut call = async |method: &str, target: &str, headers: &[(&str, &str)], body: &Value| {
        let body = body.to_string();
        let answer = line.call(&request(ombra.http, "iot", method, target, headers, body.as_bytes())).await?;
        Ok::<Value, Failure>(if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer)? })
    };
    call("POST", &format!("/policies/{POLICY}"), &[], &json!({ "policyDocument": policy().to_string() })).await?;
    let mut members = Vec::with_capacity(things);
    for number in 0..things {
        let name = thing(number);
        call("POST", &format!("/things/{name}"), &[], &json!({})).await?;
        let keys = call("POST", "/keys-and-certificate?setAsActive=true", &[], &json!({})).await?;
        let text = |pointer| keys.pointer(pointer).and_then(Value::as_str).ok_or("an answer is not as expected");
        let arn = text("/certificateArn")?;
        call("PUT", &format!("/target-policies/{POLICY}"), &[], &json!({ "target": arn })).await?;
        call("PUT", &format!("/things/{name}/principals"), &[("x-amzn-principal", arn)], &json!({})).await?;
        let config = tls(root.clone(), text("/certificatePem")?, text("/keyPair/PrivateKey")?)?;
        members.push((name, Arc::new(config)));
    }
    Ok(Fleet { address: ombra.mqtts, members })
}

/// As devices' policies are usually written: with the thing that connects as a variable.
fn policy() -> Value {
    let arn = |resource: &str| format!("arn:aws:iot:us-east-1:000000000000:{resource}");
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": arn("client/${iot:Connection.Thing.ThingName}"),
            },
            {
                "Effect": "Allow",
                "Action": ["iot:Publish", "iot:Receive"],
                "Resource": arn("topic/$aws/things/${iot:Connection.Thing.ThingName}/shadow/*"),
            },
        ],
    })
}

fn tls(root: CertificateDer<'static>, certificate: &str, key: &str) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(root)?;
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())?;
    Ok(config.with_client_auth_cert(vec![certificate], PrivateKeyDer::from_pem_slice(key.as_bytes())?)?)
}

impl Fleet {
    /// The first `size` of them, connected.
    pub(crate) async fn connect(&self, size: usize) -> Result<Vec<Device>, Failure> {
        let mut devices = Vec::with_capacity(size);
        for (name, config) in self.members.iter().take(size) {
            devices.push(Device::connect(self.address, name, Arc::clone(config)).await?);
        }
        Ok(devices)
    }
}

impl Device {
    async fn connect(address: SocketAddr, name: &str, config: Arc<ClientConfig>) -> Result<Self, Failure> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let stream = TlsConnector::from(config).connect(ServerName::try_from("localhost")?, tcp).await?;
        let updates = [update(name, REPORTS[0])?, update(name, REPORTS[1])?];
        let decoder = Decoder::for_version(Version::V5, MAX_PACKET);
        let mut device = Self { stream, decoder, input: BytesMut::new(), updates, turn: 0 };
        let connect = Connect {
            version: Version::V5,
            clean_start: true,
            keep_alive: 1200,
            client_id: Text::try_from(name)?,
            will: None,
            username: None,
            password: None,
            properties: ConnectProperties::default(),
        };
        device.stream.write_all(&bytes(&Packet::Connect(Box::new(connect)))?).await?;
        device.stream.flush().await?;
        match device.receive().await? {
            Packet::ConnAck(answer) if !answer.reason.is_error() => Ok(device),
            other => Err(format!("a CONNECT was answered with {other:?}").into()),
        }
    }

    async fn receive(&mut self) -> Result<Packet, Failure> {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.input)? {
                return Ok(packet);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err("ombra closed a device's connection".into());
            }
        }
    }
}

impl Client for Device {
    async fn ask(&mut self) -> Result<(), Failure> {
        self.turn ^= 1;
        self.stream.write_all(&self.updates[self.turn]).await?;
        self.stream.flush().await?;
        match self.receive().await? {
            Packet::PubAck(answer) if !answer.reason.is_error() => Ok(()),
            other => Err(format!("a PUBLISH was answered with {other:?}").into()),
        }
    }
}

/// A PUBLISH to the thing's shadow; one is in flight at a time, so that one identifier serves all.
fn update(name: &str, report: &'static [u8]) -> Result<BytesMut, Failure> {
    let topic = Topic::new(format!("$aws/things/{name}/shadow/update"))?;
    let publish = Publish { qos: QoS::AtLeastOnce, packet_id: Some(NonZeroU16::MIN), ..Publish::new(topic, report) };
    bytes(&Packet::Publish(publish))
}

fn bytes(packet: &Packet) -> Result<BytesMut, Failure> {
    let mut bytes = BytesMut::new();
    mqtt::encode(packet, Version::V5, MAX_PACKET, &mut bytes)?;
    Ok(bytes)
}
