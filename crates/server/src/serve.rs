//! The server: opens the data directory, the store and the doors, and closes everything in order. Who comes in through
//! the doors is unknown here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cloud::{House, Vault};
use store::Store;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::ca::{CaError, CertificateAuthority, Current, Identity, IdentityFiles, server_names};
use crate::data_dir::{DataDir, DataDirError, Endpoints};
use crate::desk::Desk;
use crate::domains::Domains;
use crate::effects::Effects;
use crate::events::Events;
use crate::functions::Functions;
use crate::listeners::Listeners;
use crate::metrics::Metrics;
use crate::objects::{Files, Objects};
use crate::operator::Operator;
use crate::reload::Watch;
use crate::rules;
use crate::server::{Server, now_ms};
use crate::settings::{ACCOUNT, Durability, MAX_CONNECTIONS, Mode, Quotas, REGION, Settings};
use crate::tls::Doors;
use crate::vault::{self, VaultError};
use crate::workers::Workers;

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
    functions: Functions,
    desk: JoinHandle<()>,
    rules: JoinHandle<()>,
    effects: JoinHandle<()>,
    workers: Workers,
}

/// Why the server did not start, with the way out.
#[derive(Debug)]
pub(crate) enum StartError {
    /// The data directory cannot be used.
    Data(DataDirError),
    /// The CA cannot be used.
    Ca(CaError),
    /// The key of secrets cannot be used.
    Vault(VaultError),
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
            Self::Vault(error) => error.fmt(f),
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

impl From<VaultError> for StartError {
    fn from(error: VaultError) -> Self {
        Self::Vault(error)
    }
}

impl From<CaError> for StartError {
    fn from(error: CaError) -> Self {
        Self::Ca(error)
    }
}

/// Starts everything; when this returns, every door answers and `endpoints.json` says where.
pub(crate) async fn start(settings: &Settings) -> Result<Running, StartError> {
    let max_connections = affordable(settings.max_connections);
    let data = DataDir::open(&settings.data)?;
    let listeners = Listeners::open(settings).await?;
    let endpoints = listeners.endpoints()?;
    let ca = CertificateAuthority::open(data.path(), now_ms())?;
    let (files, identity) = identity(settings, &data, &ca)?;
    let ca = Arc::new(Current::new(ca));
    let names = settings.tls_files.is_none().then(|| server_names(&settings.tls_names));
    let over_authority = Watch::over_authority(data.path().to_owned(), Arc::clone(&ca), names);
    let watches = [Watch::over_server(files), over_authority];
    let doors = Doors::new(&identity).map_err(|error| StartError::System(format!("prepare TLS: {error}")))?;
    let store = open_store(settings, &data)?;
    let metrics = Arc::new(Metrics::default());
    let events = Arc::new(Events::new(Arc::clone(&metrics)));
    let witness = Arc::clone(&events) as Arc<dyn cloud::Witness>;
    let vault = vault::open(data.path())?;
    let house = Arc::new(House::new(store, house_settings(settings, &endpoints, vault), Arc::clone(&ca) as _, witness));
    let doors = doors.with(Domains::new(Arc::clone(&house), ca, data.path().to_owned()));
    let functions = Functions::new(&settings.functions, data.path(), api(&endpoints));
    let functions = functions.map_err(|error| StartError::System(format!("prepare functions: {error}")))?;
    house.tell_due(functions.listener());
    let due = house.events_due().map_err(StartError::Store)?;
    let follow = house.restore(now_ms()).map_err(StartError::Store)?;
    let is_durable = settings.durability == Durability::Durable;
    let files = Files::open(data.path(), is_durable, |name| house.keeps_file(name)).map_err(StartError::System)?;
    let count = settings.workers.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    let workers = Workers::start(count);
    let workers = workers.map_err(|error| StartError::System(format!("start {count} worker threads: {error}")))?;
    let (broken_tx, broken) = watch::channel(false);
    let opened = Desk::open(Arc::clone(&house), broken_tx);
    let (desk, thread) = opened.map_err(|error| StartError::System(format!("start the desk's thread: {error}")))?;
    let (stop, stopping) = watch::channel(false);
    let (open_tx, open) = watch::channel(());
    let started = Effects::start(settings.aws_endpoints.clone(), settings.aws_credentials.clone(), stopping.clone());
    let operator = Operator::make(data.path())?;
    let (effects, effects_thread) = started.map_err(|error| StartError::System(format!("prepare effects: {error}")))?;
    let server = Arc::new(Server {
        house: Arc::clone(&house),
        desk,
        effects,
        events,
        metrics,
        stopping,
        doors,
        objects: Objects::new(files),
        functions: functions.clone(),
        operator,
        verifies: settings.mode != Mode::Development,
        max_connections,
        _open: open_tx,
    });
    server.effects.meet(&server);
    server.desk.bring_all(follow).await;
    if settings.functions.on {
        server.functions.serve(&server, due);
    }
    tokio::spawn(tick(Arc::downgrade(&server)));
    let started = rules::start(&server);
    let rules = started.map_err(|error| StartError::System(format!("start the rules' thread: {error}")))?;
    listeners.serve(&server, &workers.team());
    for watch in watches {
        tokio::spawn(watch.run(Arc::clone(&server)));
    }
    drop(server);
    data.publish(&endpoints)?;
    let (desk, effects) = (thread, effects_thread);
    Ok(Running { endpoints, data, stop, broken, open, house, functions, desk, rules, effects, workers })
}

/// What TLS shows: what the operator named, or what lies in the data directory.
fn identity(
    settings: &Settings,
    data: &DataDir,
    ca: &CertificateAuthority,
) -> Result<(IdentityFiles, Identity), StartError> {
    if let Some(files) = &settings.tls_files {
        return Ok((files.clone(), files.identity()?));
    }
    let names = server_names(&settings.tls_names);
    Ok((IdentityFiles::of(data.path()), ca.server_identity(data.path(), &names, now_ms())?))
}

fn open_store(settings: &Settings, data: &DataDir) -> Result<Store, StartError> {
    let durability = match settings.durability {
        Durability::Durable => store::Durability::Durable,
        Durability::Relaxed => store::Durability::Relaxed,
    };
    let options = store::Options { durability, ..store::Options::default() };
    Store::open(&data.path().join("store"), &options).map_err(StartError::Store)
}

/// The house of a data directory that nobody serves, for a command that changes something in it and ends. Nobody else can use the
/// directory meanwhile.
pub(crate) fn unserved(settings: &Settings) -> Result<(DataDir, House), StartError> {
    let data = DataDir::open(&settings.data)?;
    let ca = CertificateAuthority::open(data.path(), now_ms())?;
    let store = open_store(settings, &data)?;
    let endpoints = Endpoints {
        http: settings.http,
        mqtts: settings.mqtts,
        tls: settings.tls,
        mqtt_plain: None,
        mqtt_plain_policy: None,
        pid: std::process::id(),
        region: REGION.to_owned(),
        account: ACCOUNT.to_owned(),
        verifies: false,
        operator: None,
    };
    let witness = Arc::new(Events::new(Arc::new(Metrics::default())));
    let vault = vault::open(data.path())?;
    let of_house = house_settings(settings, &endpoints, vault);
    Ok((data, House::new(store, of_house, Arc::new(ca), witness)))
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
    /// Whether anybody has an access key. Where the store cannot say, that will show soon enough.
    pub(crate) fn has_keys(&self) -> bool {
        self.house.has_access_keys().unwrap_or(true)
    }

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
        self.functions.stop().await;
        let mut open = self.open;
        // Resolves when the last connection has let go of its end.
        let drained = async { while open.changed().await.is_ok() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("some connections did not end in time");
            return;
        }
        let (desk, rules, effects, workers) = (self.desk, self.rules, self.effects, self.workers);
        let joined = tokio::task::spawn_blocking(move || {
            let _ = rules.join();
            let _ = desk.join();
            let _ = effects.join();
            workers.end();
        });
        if tokio::time::timeout(DRAIN, joined).await.is_err() {
            tracing::warn!("the last commit did not end in time");
        }
    }
}

fn house_settings(settings: &Settings, endpoints: &Endpoints, vault: Vault) -> cloud::Settings {
    // Clients put `https://` in front; on the port that this implies, the name alone is what SDKs like best.
    let ip = endpoints.tls.ip();
    let host = match settings.tls_names.first() {
        // An address that stands for all of them leads nowhere.
        Some(name) if ip.is_unspecified() => name.clone(),
        _ if ip.is_loopback() || ip.is_unspecified() => "localhost".to_owned(),
        _ => ip.to_string(),
    };
    let endpoint = if endpoints.tls.port() == 443 { host } else { format!("{host}:{}", endpoints.tls.port()) };
    let quotas = match settings.quotas {
        Quotas::Off => cloud::Quotas::Off,
        Quotas::Warn => cloud::Quotas::Warn,
        Quotas::Aws => cloud::Quotas::Aws,
    };
    let targets = settings.aws_endpoints.keys().copied().collect();
    cloud::Settings {
        endpoint,
        quotas,
        api: api(endpoints),
        targets,
        broker: broker::Settings::default(),
        logs: cloud::LogBounds::of((settings.log_megabytes as u64) << 20),
        vault,
        functions: settings.functions.on,
        verifies: settings.mode != Mode::Development,
    }
}

/// The URL of the API for whoever is on this machine.
fn api(endpoints: &Endpoints) -> String {
    let here: IpAddr = if endpoints.http.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let ip = if endpoints.http.ip().is_unspecified() { here } else { endpoints.http.ip() };
    format!("http://{}", SocketAddr::new(ip, endpoints.http.port()))
}

/// Descriptors that are not for connections: the store's files, the listeners, the runtimes.
const RESERVED: usize = 512;

/// The connections that may be open at a time, at most this many. A connection is a descriptor, and the soft limit of
/// a shell is far below what devices need, so it is raised as far as it goes.
fn affordable(wanted: usize) -> usize {
    let Some(limit) = raise_descriptor_limit() else { return wanted };
    let room = limit.saturating_sub(RESERVED).max(limit / 2).max(1);
    if wanted > room && wanted != MAX_CONNECTIONS {
        // Somebody asked for so many; the default is just a number that is high enough.
        tracing::warn!(wanted, room, "the limit of open files allows fewer connections; `ulimit -n` raises it");
    }
    wanted.min(room)
}

/// How many descriptors there may be; none if there is no limit.
#[cfg(unix)]
fn raise_descriptor_limit() -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok())
}

#[cfg(not(unix))]
fn raise_descriptor_limit() -> Option<usize> {
    None
}
