//! An ombra of our own: started on free ports in a directory of its own, ended when it is dropped, and asked over its
//! API. It knows nothing of what is asked of it.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Failure;
use crate::http::{Line, request};
use crate::process::Process;

/// A start takes a fraction of a second; what has not come by then will not.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Ombra {
    pub(crate) process: Process,
    data: PathBuf,
    /// Where the API answers.
    pub(crate) http: SocketAddr,
    /// Where MQTT over TLS answers.
    pub(crate) mqtts: SocketAddr,
}

impl Ombra {
    /// Starts it with further words on its command line and waits until it says where it answers.
    pub(crate) fn start(binary: &Path, data: &Path, further: &[String]) -> Result<Self, Failure> {
        let told = data.join("endpoints.json");
        // One that did not end in order has left what it said, which is no longer so.
        let _ = fs::remove_file(&told);
        let mut words: Vec<&OsStr> = vec![OsStr::new("--data"), data.as_os_str()];
        for door in ["--http", "--mqtts", "--tls"] {
            words.extend([OsStr::new(door), OsStr::new("127.0.0.1:0")]);
        }
        words.extend(further.iter().map(OsStr::new));
        let mut process = Process::start(binary, words)?;
        let started = Instant::now();
        while started.elapsed() < PATIENCE && !process.has_ended() {
            if let Ok(text) = fs::read(&told) {
                let endpoints: Value = serde_json::from_slice(&text)?;
                let address = |door: &str| endpoints[door].as_str().unwrap_or_default().parse::<SocketAddr>();
                return Ok(Self { process, data: data.to_owned(), http: address("http")?, mqtts: address("mqtts")? });
            }
            sleep(Duration::from_millis(1));
        }
        let words = further.join(" ");
        Err(format!("{} did not start; run it with --data {} {words} to see why", binary.display(), data.display())
            .into())
    }

    /// The root that signed the server's certificate, as PEM.
    pub(crate) fn ca(&self) -> Result<Vec<u8>, Failure> {
        Ok(fs::read(self.data.join("ca.pem"))?)
    }

    /// One request on a connection of its own; not for a runtime's own threads.
    pub(crate) fn call(&self, method: &str, target: &str, body: &Value) -> Result<Value, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let body = body.to_string();
        let request = request(self.http, "iot", method, target, &[], body.as_bytes());
        let answer = runtime.block_on(async { Line::connect(self.http).await?.call(&request).await })?;
        Ok(if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer)? })
    }
}
