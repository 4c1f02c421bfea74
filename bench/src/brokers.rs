//! The brokers that stand side by side: ombra, the relay and Mosquitto, each started as it is at its best, on loopback.
//! It knows their command lines and files, and nothing of what is sent through them.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::Failure;
use crate::identity::{EVERYTHING, Identities, USUAL};
use crate::ombra::Ombra;
use crate::process::{Process, free_address};
use crate::rows::Row;
use crate::swarm::Target;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ombra,
    Relay,
    Mosquitto,
    /// Another ombra, from a yard of its own.
    Before,
}

/// Those that stand side by side when nobody says otherwise.
pub(crate) const KINDS: [Kind; 3] = [Kind::Ombra, Kind::Relay, Kind::Mosquitto];

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ombra => "ombra",
            Self::Relay => "relay",
            Self::Mosquitto => "Mosquitto",
            Self::Before => "before",
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let named = KINDS.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name));
        named.ok_or_else(|| format!("`{name}` is no broker; there are ombra, relay and mosquitto"))
    }
}

/// What every start needs, made once.
pub(crate) struct Yard {
    ombra: PathBuf,
    directory: PathBuf,
    /// Further words for ombra.
    further: Vec<String>,
    pub(crate) identities: Identities,
}

/// A broker that runs.
pub(crate) struct Broker {
    pub(crate) process: Process,
    pub(crate) plain: Option<SocketAddrV4>,
    pub(crate) tls: Option<SocketAddrV4>,
}

impl Yard {
    pub(crate) fn new(ombra: &Path, directory: &Path, further: Vec<String>) -> Result<Self, Failure> {
        fs::create_dir_all(directory)?;
        // A name without a directory would be looked for elsewhere.
        let ombra = &fs::canonicalize(ombra).map_err(|error| format!("{}: {error}", ombra.display()))?;
        let first = Ombra::start(ombra, &directory.join("ombra"), &[])?;
        let identities = Identities::make(&first, directory)?;
        Ok(Self { ombra: ombra.to_owned(), directory: directory.to_owned(), further, identities })
    }

    /// Where ombra keeps its authority and its server's certificate, which the others present too.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("ombra")
    }

    pub(crate) fn start(&self, kind: Kind, row: Row) -> Result<Broker, Failure> {
        match kind {
            Kind::Ombra | Kind::Before => self.ombra(row.has_policies, !row.is_tls, &self.further),
            Kind::Relay => relay(),
            Kind::Mosquitto => self.mosquitto(),
        }
    }

    /// How a row's clients come to a broker that was started for it; not at all where it has no such door.
    pub(crate) fn target(&self, broker: &Broker, row: Row) -> Option<Target> {
        if !row.is_tls {
            return Some(Target { address: broker.plain?, tls: None });
        }
        let identity = if row.has_policies { &self.identities.usual } else { &self.identities.ecdsa };
        Some(Target { address: broker.tls?, tls: Some(identity.clone()) })
    }

    /// ombra, with a plain door that holds everybody to one policy if that is asked for.
    pub(crate) fn ombra(&self, has_policies: bool, is_plain: bool, further: &[String]) -> Result<Broker, Failure> {
        let plain = if is_plain { Some(free_address()?) } else { None };
        let policy = if has_policies { USUAL } else { EVERYTHING };
        let mut words: Vec<String> = ["--quotas", "off"].map(String::from).into();
        if let Some(address) = plain {
            let address = address.to_string();
            words.extend(["--mqtt-plain", &address, "--mqtt-plain-policy", policy].map(String::from));
        }
        words.extend_from_slice(further);
        let mut ombra = Ombra::start(&self.ombra, &self.data(), &words)?;
        if let Some(address) = plain {
            ombra.process.wait_for(address)?;
        }
        let SocketAddr::V4(tls) = ombra.mqtts else { return Err("ombra answers on no IPv4 address".into()) };
        Ok(Broker { process: ombra.process, plain, tls: Some(tls) })
    }

    /// Mosquitto without limits, without Nagle's delay, and without a log.
    pub(crate) fn mosquitto(&self) -> Result<Broker, Failure> {
        let (plain, tls) = (free_address()?, free_address()?);
        let mut text = String::from(
            "user root\nallow_anonymous true\nset_tcp_nodelay true\nmax_inflight_messages 0\nmax_queued_messages 0\n\
             max_queued_bytes 0\npersistence false\nlog_dest none\nsys_interval 0\n",
        );
        writeln!(text, "listener {} 127.0.0.1", plain.port())?;
        writeln!(text, "listener {} 127.0.0.1\nrequire_certificate true", tls.port())?;
        for (word, file) in [("cafile", "ca.pem"), ("certfile", "server.pem"), ("keyfile", "server.key")] {
            writeln!(text, "{word} {}", self.data().join(file).display())?;
        }
        let file = self.directory.join("mosquitto.conf");
        fs::write(&file, text)?;
        let mut process = Process::start("/usr/sbin/mosquitto", [OsStr::new("-c"), file.as_os_str()])?;
        process.wait_for(tls)?;
        Ok(Broker { process, plain: Some(plain), tls: Some(tls) })
    }
}

fn relay() -> Result<Broker, Failure> {
    let (process, address) = Process::start_own(&[OsStr::new("relay")])?;
    Ok(Broker { process, plain: Some(address), tls: None })
}
