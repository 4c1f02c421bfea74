//! An ombra of our own: started on free ports in a directory of its own, ended when it is dropped. It knows
//! nothing of what is asked of it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Failure;

/// A start takes a fraction of a second; what has not come by then will not.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Ombra {
    child: Child,
    data: PathBuf,
    /// Where the API answers.
    pub(crate) http: SocketAddr,
    /// Where MQTT over TLS answers.
    pub(crate) mqtts: SocketAddr,
}

impl Ombra {
    /// Starts it and waits until it says where it answers.
    pub(crate) fn start(binary: &Path, data: &Path) -> Result<Self, Failure> {
        let mut command = Command::new(binary);
        command.arg("--data").arg(data).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        for door in ["--http", "--mqtts", "--tls"] {
            command.args([door, "127.0.0.1:0"]);
        }
        let mut child = command.spawn().map_err(|error| format!("failed to start {}: {error}", binary.display()))?;
        let started = Instant::now();
        while started.elapsed() < PATIENCE && child.try_wait()?.is_none() {
            if let Ok(text) = fs::read(data.join("endpoints.json")) {
                let endpoints: Value = serde_json::from_slice(&text)?;
                let address = |door: &str| endpoints[door].as_str().unwrap_or_default().parse::<SocketAddr>();
                return Ok(Self { child, data: data.to_owned(), http: address("http")?, mqtts: address("mqtts")? });
            }
            sleep(Duration::from_millis(1));
        }
        // It may be gone already.
        let _ = child.kill();
        let _ = child.wait();
        Err(format!("{} did not start; run it with --data {} to see why", binary.display(), data.display()).into())
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// The root that signed the server's certificate, as PEM.
    pub(crate) fn ca(&self) -> Result<Vec<u8>, Failure> {
        Ok(fs::read(self.data.join("ca.pem"))?)
    }
}

impl Drop for Ombra {
    fn drop(&mut self) {
        // Nobody needs what it stored, and there is nobody left to tell if it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
