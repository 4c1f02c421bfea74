//! The server: opens the data directory and the doors, lets connections in, and closes everything in order.
//! It knows which door a connection goes to, not what is said there.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use cloud::{House, Peer, Principal, Refused};
use store::Store;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::ca::{CaError, CertificateAuthority, server_names};
use crate::data_dir::{DataDir, DataDirError, Endpoints};
use crate::desk::Desk;
use crate::events::Events;
use crate::http::{self, Device, Entry};
use crate::metrics::Metrics;
use crate::mqtt;
use crate::server::{Server, now_ms};
use crate::settings::{ACCOUNT, Durability, Quotas, REGION, Settings};
use crate::tls::{Accepted, Doors, Port, Protocol};

/// How long open connections may take to end when the server stops.
const DRAIN: Duration = Duration::from_secs(5);

/// How often the house is told that time passes.
const TICK: Duration = Duration::from_millis(500);

/// A server that runs.
pub(crate) struct Running {
    /// Where it answers.
    pub(crate) endpoints: Endpoints,
    data: DataDir,
    stop: watch::Sender<bool>,
    broken: watch::Receiver<bool>,
    open: watch::Receiver<()>,
    house: Arc<House>,
    desk: JoinHandle<()>,
}

/// Why the server did not start, with the way out.
#[derive(Debug)]
pub(crate) enum StartError {
    /// The data directory cannot be used.
    Data(DataDirError),
    /// The CA cannot be used.
    Ca(CaError),
    /// The store cannot be opened.
    Store(store::Fault),
    /// A port cannot be listened on.
    Port {
        /// The flag that names it.
        flag: &'static str,
        /// Where.
        address: SocketAddr,
        /// The operating system's answer.
        error: std::io::Error,
    },
    /// Something of the system's.
    System(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(error) => error.fmt(f),
            Self::Ca(error) => error.fmt(f),
            Self::Store(fault) => write!(f, "failed to open the store: {fault}"),
            Self::Port { flag, address, error } => {
                let port = address.port();
                write!(
                    f,
                    "failed to listen on {address}: {error}; stop what uses port {port}, or pass --{flag} 127.0.0.1:0 for any free port"
                )
            }
            Self::System(what) => write!(f, "failed to {what}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<DataDirError> for StartError {
    fn from(error: DataDirError) -> Self {
        Self::Data(error)
    }
}

impl From<CaError> for StartError {
    fn from(error: CaError) -> Self {
        Self::Ca(error)
    }
}

/// Starts everything; when this returns, every door answers and `endpoints.json` says where.
pub(crate) async fn start(settings: &Settings) -> Result<Running, StartError> {
    raise_descriptor_limit();
    let data = DataDir::open(&settings.data)?;
    let listeners = Listeners::open(settings).await?;
    let endpoints = listeners.endpoints()?;
    let ca = CertificateAuthority::open(data.path(), now_ms())?;
    let identity = ca.server_identity(data.path(), &server_names(&settings.tls_names), now_ms())?;
    let doors = Doors::new(&identity).map_err(|error| StartError::System(format!("prepare TLS: {error}")))?;
    let options = store::Options {
        durability: match settings.durability {
            Durability::Durable => store::Durability::Durable,
            Durability::Relaxed => store::Durability::Relaxed,
        },
        ..store::Options::default()
    };
    let store = Store::open(&data.path().join("store"), &options).map_err(StartError::Store)?;
    let metrics = Arc::new(Metrics::default());
    let events = Arc::new(Events::new(Arc::clone(&metrics)));
    let witness = Arc::clone(&events) as Arc<dyn cloud::Witness>;
    let house = Arc::new(House::new(store, house_settings(settings, &endpoints), Arc::new(ca), witness));
    let follow = house.restore(now_ms()).map_err(StartError::Store)?;
    let (broken_tx, broken) = watch::channel(false);
    let opened = Desk::open(Arc::clone(&house), broken_tx);
    let (desk, thread) = opened.map_err(|error| StartError::System(format!("start the desk's thread: {error}")))?;
    let (stop, stopping) = watch::channel(false);
    let (open_tx, open) = watch::channel(());
    let server = Arc::new(Server { house: Arc::clone(&house), desk, events, metrics, stopping, doors, _open: open_tx });
    server.desk.bring_all(follow).await;
    tokio::spawn(tick(Arc::downgrade(&server)));
    listeners.serve(&server);
    data.publish(&endpoints)?;
    Ok(Running { endpoints, data, stop, broken, open, house, desk: thread })
}

/// Lets time pass for the house: wills that wait, sessions that end.
async fn tick(server: Weak<Server>) {
    let mut seconds = tokio::time::interval(TICK);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        let Some(server) = server.upgrade().filter(|server| !*server.stopping.borrow()) else { return };
        server.desk.bring_all(server.house.tick(server.now(), server.entropy())).await;
    }
}

impl Running {
    /// Ends when the store can no longer write: what is acknowledged would not be durable, so the server must stop.
    pub(crate) async fn broken(&mut self) {
        if self.broken.wait_for(|broken| *broken).await.is_err() {
            // The desk is gone, which happens only while stopping.
            std::future::pending::<()>().await;
        }
    }

    /// Stops in order: no new connections, goodbyes to those there are, the desk's last commit, the data directory.
    pub(crate) async fn stop(self) {
        self.data.withdraw();
        self.stop.send_replace(true);
        self.house.close_all();
        let mut open = self.open;
        // Resolves when the last connection has let go of its end.
        let drained = async { while open.changed().await.is_ok() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("some connections did not end in time");
            return;
        }
        let joined = tokio::task::spawn_blocking(move || self.desk.join());
        if tokio::time::timeout(DRAIN, joined).await.is_err() {
            tracing::warn!("the last commit did not end in time");
        }
    }
}

fn house_settings(settings: &Settings, endpoints: &Endpoints) -> cloud::Settings {
    // Clients put `https://` in front; on the port that this implies, the name alone is what SDKs like best.
    let host = if endpoints.tls.ip().is_loopback() { "localhost".to_owned() } else { endpoints.tls.ip().to_string() };
    let endpoint = if endpoints.tls.port() == 443 { host } else { format!("{host}:{}", endpoints.tls.port()) };
    let quotas = match settings.quotas {
        Quotas::Off => cloud::Quotas::Off,
        Quotas::Warn => cloud::Quotas::Warn,
        Quotas::Aws => cloud::Quotas::Aws,
    };
    cloud::Settings { endpoint, quotas, broker: broker::Settings::default() }
}

/// A connection is a descriptor, and the soft limit of a shell is far below what devices need. What cannot be had
/// is done without: accepting then says when it runs out.
#[cfg(unix)]
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

#[cfg(not(unix))]
fn raise_descriptor_limit() {}

/// The three ports, bound.
struct Listeners {
    http: TcpListener,
    mqtts: TcpListener,
    tls: TcpListener,
}

impl Listeners {
    async fn open(settings: &Settings) -> Result<Self, StartError> {
        Ok(Self {
            http: listen("http", settings.http).await?,
            mqtts: listen("mqtts", settings.mqtts).await?,
            tls: listen("tls", settings.tls).await?,
        })
    }

    fn endpoints(&self) -> Result<Endpoints, StartError> {
        let address = |listener: &TcpListener| {
            listener.local_addr().map_err(|error| StartError::System(format!("read a listener's address: {error}")))
        };
        Ok(Endpoints {
            http: address(&self.http)?,
            mqtts: address(&self.mqtts)?,
            tls: address(&self.tls)?,
            pid: std::process::id(),
            region: REGION.to_owned(),
            account: ACCOUNT.to_owned(),
        })
    }

    fn serve(self, server: &Arc<Server>) {
        tokio::spawn(accept(self.http, Arc::clone(server), None));
        tokio::spawn(accept(self.mqtts, Arc::clone(server), Some(Port::Mqtts)));
        tokio::spawn(accept(self.tls, Arc::clone(server), Some(Port::Tls)));
    }
}

async fn listen(flag: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError::Port { flag, address, error })
}

/// Lets connections in until the server stops. `port` is none where there is no TLS.
async fn accept(listener: TcpListener, server: Arc<Server>, port: Option<Port>) {
    let mut stopping = server.stopping.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stops| *stops) => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let server = Arc::clone(&server);
                tokio::spawn(receive(server, stream, address, port));
            }
            Err(error) => {
                // Out of descriptors, most likely: those that end make room, and a short rest keeps the log readable.
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Takes one connection to its door.
async fn receive(server: Arc<Server>, stream: TcpStream, address: SocketAddr, port: Option<Port>) {
    let ip = address.ip().to_string();
    let Some(port) = port else {
        // Small answers should not wait for more to send.
        let _ = stream.set_nodelay(true);
        return http::serve(server, stream, Entry { ip, device: None, pages: true }).await;
    };
    let accepted = match server.doors.accept(stream, port).await {
        Ok(accepted) => accepted,
        Err(refused) => {
            let (reason, peer) = (refused.to_string(), address.to_string());
            let Some(decision) = refused.decision() else { return tracing::debug!(peer, reason, "no handshake") };
            let (action, decision) = ("TLS".to_owned(), decision.to_owned());
            return server.refused(Refused { action, decision, reason, peer, ..Refused::default() });
        }
    };
    let Accepted { stream, protocol, certificate, server_name, .. } = accepted;
    let certificate_id = certificate.as_ref().map(|der| cloud::certificate_id(der));
    match (protocol, certificate_id) {
        (Protocol::Mqtt, Some(certificate_id)) => {
            let principal = Principal::Certificate(certificate_id);
            let peer = Peer { ip, address: address.to_string(), server_name, principal };
            mqtt::serve(&server, stream, peer).await;
        }
        (Protocol::Mqtt, None) => {
            server.refused(Refused {
                action: "iot:Connect".to_owned(),
                decision: "NOT_BUILT".to_owned(),
                reason: "ALPN mqtt means a custom authorizer, and those are not built yet; use x-amzn-mqtt-ca and a certificate"
                    .to_owned(),
                peer: address.to_string(),
                ..Refused::default()
            });
            mqtt::turn_away(stream, ::mqtt::ReasonCode::NotAuthorized).await;
        }
        (Protocol::Http, certificate_id) => {
            let device = certificate_id.map(|certificate_id| Device { certificate_id });
            http::serve(server, stream, Entry { ip, device, pages: false }).await;
        }
    }
}
