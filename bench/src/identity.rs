//! Who the devices are: certificates of ombra's own authority, which Mosquitto is told to trust as well, and the
//! policies that ombra holds them to. All devices of one kind share a certificate; only the client identifier differs.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};

use crate::Failure;
use crate::ombra::Ombra;

/// One statement, everything allowed: the nearest there is to no policies at all.
pub(crate) const EVERYTHING: &str = "everything";

/// What a fleet's policy usually is.
pub(crate) const USUAL: &str = "usual";

/// Sessions that may be resumed; all are with one server.
const SESSIONS: usize = 256;

/// The devices of a run, by what they present.
pub(crate) struct Identities {
    /// P-256, allowed everything.
    pub(crate) ecdsa: Arc<ClientConfig>,
    /// P-256, under the usual policy.
    pub(crate) usual: Arc<ClientConfig>,
    /// RSA with 2048 bits, allowed everything.
    pub(crate) rsa: Arc<ClientConfig>,
    /// As the first, but once known it resumes its session. The others begin anew each time.
    pub(crate) resuming: Arc<ClientConfig>,
}

impl Identities {
    /// Makes policies, keys and certificates in a fresh ombra; files are left in `directory`.
    pub(crate) fn make(ombra: &Ombra, directory: &Path) -> Result<Self, Failure> {
        for (name, policy) in [(EVERYTHING, everything()), (USUAL, usual())] {
            ombra.call("POST", &format!("/policies/{name}"), &json!({ "policyDocument": policy.to_string() }))?;
        }
        let p256 = "ec -pkeyopt ec_paramgen_curve:P-256";
        let ecdsa = device(ombra, &directory.join("ecdsa"), p256, EVERYTHING)?;
        let mut resuming = ClientConfig::clone(&ecdsa);
        resuming.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(Self {
            ecdsa,
            resuming: Arc::new(resuming),
            usual: device(ombra, &directory.join("usual"), p256, USUAL)?,
            rsa: device(ombra, &directory.join("rsa"), "rsa:2048", EVERYTHING)?,
        })
    }
}

fn device(ombra: &Ombra, stem: &Path, key: &str, policy: &str) -> Result<Arc<ClientConfig>, Failure> {
    let (key_file, csr_file) = (stem.with_extension("key"), stem.with_extension("csr"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-new", "-nodes", "-subj", "/CN=bench", "-newkey"]).args(key.split(' '));
    let made = openssl.arg("-keyout").arg(&key_file).arg("-out").arg(&csr_file).output();
    let made = made.map_err(|error| format!("failed to run openssl: {error}"))?;
    if !made.status.success() {
        return Err(format!("openssl: {}", String::from_utf8_lossy(&made.stderr)).into());
    }
    let csr = json!({ "certificateSigningRequest": fs::read_to_string(&csr_file)? });
    let answer = ombra.call("POST", "/certificates?setAsActive=true", &csr)?;
    let text = |name: &str| answer[name].as_str().ok_or("an answer is not as expected");
    ombra.call("PUT", &format!("/target-policies/{policy}"), &json!({ "target": text("certificateArn")? }))?;
    fs::write(stem.with_extension("pem"), text("certificatePem")?)?;

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&ombra.ca()?)?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let certificate = CertificateDer::from_pem_slice(text("certificatePem")?.as_bytes())?;
    let mut config = config.with_client_auth_cert(vec![certificate], PrivateKeyDer::from_pem_file(&key_file)?)?;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn arn(resource: &str) -> String {
    format!("arn:aws:iot:us-east-1:000000000000:{resource}")
}

fn everything() -> Value {
    json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "iot:*", "Resource": "*" }] })
}

/// A dozen statements with variables and wildcards, as they gather in a fleet's policy over the years, near the length
/// that AWS allows. The statements that let the load through stand in the middle, and denials stand after them.
fn usual() -> Value {
    let allow =
        |action: &str, resource: &str| json!({ "Effect": "Allow", "Action": action, "Resource": arn(resource) });
    let deny = |action: &str, resource: &str| json!({ "Effect": "Deny", "Action": action, "Resource": arn(resource) });
    let telemetry = [arn("topic/plant/hall-?/${iot:ClientId}/telemetry"), arn("topic/plant/*/everyone/telemetry")];
    let statements = [
        allow("iot:Connect", "client/p*"),
        allow("iot:Publish", "topic/$aws/things/${iot:ClientId}/shadow/*"),
        allow("iot:Receive", "topic/$aws/things/${iot:ClientId}/*"),
        allow("iot:Subscribe", "topicfilter/$aws/things/${iot:ClientId}/*"),
        allow("iot:Publish", "topic/audit/${iot:ClientId}"),
        json!({ "Effect": "Allow", "Action": ["iot:Publish", "iot:RetainPublish"], "Resource": telemetry }),
        allow("iot:Subscribe", "topicfilter/plant/*/telemetry"),
        allow("iot:Receive", "topic/plant/*/telemetry"),
        allow("iot:Receive", "topic/news/*"),
        allow("iot:GetThingShadow", "thing/${iot:ClientId}"),
        deny("iot:Publish", "topic/plant/*/calibration/*"),
        deny("iot:DeleteThingShadow", "thing/*"),
    ];
    json!({ "Version": "2012-10-17", "Statement": statements })
}
