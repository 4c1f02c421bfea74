//! The listeners: where connections come in, how many may, and to which door each is taken. It knows what a door needs to
//! know of the peer, not what is said there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cloud::{Introduced, Peer, Principal, Refused, Scope};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::api;
use crate::data_dir::Endpoints;
use crate::http::{self, Entry};
use crate::mqtt;
use crate::serve::StartError;
use crate::server::Server;
use crate::settings::{ACCOUNT, Mode, Plain, REGION, Settings};
use crate::tls::{Accepted, Port, Protocol, Turns};
use crate::workers::Team;

/// Connections to the API beyond the limit of all: who wants to see why there are too many must get in. They are within
/// the descriptors that are kept back.
const OPERATORS: usize = 64;

/// The ports, bound.
pub(crate) struct Listeners {
    http: TcpListener,
    mqtts: TcpListener,
    tls: TcpListener,
    /// With the policy of whoever comes in there.
    plain: Option<(TcpListener, String)>,
    /// Whether no key is taken at its word behind them.
    verifies: bool,
}

/// What lies behind a port.
#[derive(Clone)]
enum Door {
    /// The API and our own pages, without TLS.
    Http,
    /// TLS, and behind it MQTT or HTTP.
    Tls(Port),
    /// MQTT for anybody, held to the policy of this name.
    Plain(Arc<str>),
}

impl Listeners {
    /// Binds every port.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, StartError> {
        let plain = match &settings.mqtt_plain {
            Some(Plain { address, policy }) => Some((listen("mqtt-plain", *address).await?, policy.clone())),
            None => None,
        };
        Ok(Self {
            http: listen("http", settings.http).await?,
            mqtts: listen("mqtts", settings.mqtts).await?,
            tls: listen("tls", settings.tls).await?,
            plain,
            verifies: settings.mode != Mode::Development,
        })
    }

    /// Where they are.
    pub(crate) fn endpoints(&self) -> Result<Endpoints, StartError> {
        let address = |listener: &TcpListener| {
            listener.local_addr().map_err(|error| StartError::System(format!("read a listener's address: {error}")))
        };
        Ok(Endpoints {
            http: address(&self.http)?,
            mqtts: address(&self.mqtts)?,
            tls: address(&self.tls)?,
            mqtt_plain: self.plain.as_ref().map(|(listener, _)| address(listener)).transpose()?,
            mqtt_plain_policy: self.plain.as_ref().map(|(_, policy)| policy.clone()),
            pid: std::process::id(),
            region: REGION.to_owned(),
            account: ACCOUNT.to_owned(),
            verifies: self.verifies,
            operator: None,
        })
    }

    /// Lets connections in until the server stops, each to the thread whose turn it is.
    pub(crate) fn serve(self, server: &Arc<Server>, team: &Arc<Team>) {
        let open = |listener, door| tokio::spawn(accept(listener, door, Arc::clone(server), Arc::clone(team)));
        open(self.http, Door::Http);
        open(self.mqtts, Door::Tls(Port::Mqtts));
        open(self.tls, Door::Tls(Port::Tls));
        if let Some((listener, policy)) = self.plain {
            open(listener, Door::Plain(policy.into()));
        }
        tokio::spawn(tell_of_turned_away(Arc::clone(server)));
    }
}

async fn listen(flag: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError::Port { flag, address, error })
}

async fn accept(listener: TcpListener, door: Door, server: Arc<Server>, team: Arc<Team>) {
    let mut stopping = server.stopping.clone();
    let limit = match door {
        Door::Http => server.max_connections + OPERATORS,
        Door::Tls(_) | Door::Plain(_) => server.max_connections,
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stops| *stops) => return,
        };
        // Taken off this runtime, to be put on that of its thread.
        let accepted = accepted.and_then(|(stream, address)| Ok((stream.into_std()?, address)));
        match accepted {
            Ok((stream, address)) => {
                // Closed at once, which costs less than anything one could say.
                let Some(seat) = server.metrics.take_seat(limit) else { continue };
                let (server, door, worker) = (Arc::clone(&server), door.clone(), team.next());
                let turns = worker.turns();
                worker.spawn(async move {
                    if let Ok(stream) = TcpStream::from_std(stream) {
                        receive(server, stream, address, door, &turns).await;
                    }
                    drop(seat);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: those that end make room, and a short rest keeps the log readable.
                tracing::warn!(%error, "failed to accept a connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Says once a second how many connections found no room.
async fn tell_of_turned_away(server: Arc<Server>) {
    let mut stopping = server.stopping.clone();
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = 0;
    loop {
        tokio::select! {
            _ = seconds.tick() => {}
            _ = stopping.wait_for(|stops| *stops) => return,
        }
        let total = server.metrics.turned_away();
        if total > told {
            let (times, limit) = (total - told, server.max_connections);
            told = total;
            let reason = format!(
                "{times} connections were closed unheard because {limit} are open; --max-connections sets the limit, \
                 within that of open files (`ulimit -n`)"
            );
            let (action, decision) = ("TCP".to_owned(), "MAX_CONNECTIONS".to_owned());
            server.refused(Refused { action, decision, reason, ..Refused::default() });
        }
    }
}

/// Who holds the key of this certificate. One that registers itself is on disk when this returns.
async fn introduce(server: &Server, certificate: &[u8], server_name: Option<&str>) -> Principal {
    let (now, entropy) = (server.now(), server.entropy());
    let Introduced { principal, job } = server.house.introduce(certificate, server_name, now, entropy);
    if let Some(job) = job {
        // Who comes is sent away in any case; that it could not be written has been told.
        let _ = api::at_desk(server, job).await;
    }
    principal
}

/// Takes one connection to its door. Each way is boxed: a connection holds the room of the one it takes, not of the
/// largest, and none for the handshake once that is over.
async fn receive(server: Arc<Server>, stream: TcpStream, address: SocketAddr, door: Door, turns: &Turns) {
    // Small packets answer small packets here; waiting to fill a segment only adds latency. A socket that cannot be
    // set so is about to fail anyway, and says so at the first read.
    let _ = stream.set_nodelay(true);
    let ip = address.ip().to_string();
    // Unknown only for a socket that is gone already.
    let local = stream.local_addr().map_or_else(|_| String::new(), |local| local.to_string());
    let peer = |principal, server_name| {
        let (ip, address, local) = (ip.clone(), address.to_string(), local.clone());
        Peer { ip, address, local, server_name, principal }
    };
    let port = match door {
        Door::Http => {
            let entry = Entry {
                ip,
                address: address.to_string(),
                local,
                server_name: None,
                domain: None,
                device: None,
                pages: true,
            };
            return Box::pin(http::serve(server, stream, entry)).await;
        }
        Door::Plain(policy) => {
            let scope = Scope::new(ACCOUNT, REGION);
            let principal = Principal::Anonymous { policy: policy.as_ref().to_owned(), scope };
            return Box::pin(mqtt::serve(&server, stream, peer(principal, None))).await;
        }
        Door::Tls(port) => port,
    };
    let accepted = match Box::pin(server.doors.accept(stream, port, turns)).await {
        Ok(accepted) => accepted,
        Err(refused) => {
            server.metrics.no_handshake(refused.kind());
            let (reason, peer) = (refused.to_string(), address.to_string());
            let Some(decision) = refused.decision() else { return tracing::debug!(peer, reason, "no handshake") };
            let (action, decision) = ("TLS".to_owned(), decision.to_owned());
            return server.refused(Refused { action, decision, reason, peer, ..Refused::default() });
        }
    };
    let Accepted { stream, protocol, certificate, server_name, domain } = accepted;
    let device = match &certificate {
        Some(der) => Some(introduce(&server, der, server_name.as_deref()).await),
        None => None,
    };
    match (protocol, device) {
        (Protocol::Mqtt, Some(principal)) => {
            let peer = peer(principal, server_name);
            Box::pin(mqtt::serve(&server, stream, peer)).await;
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
            Box::pin(mqtt::turn_away(stream, ::mqtt::ReasonCode::NotAuthorized)).await;
        }
        (Protocol::Http, device) => {
            let device = device.map(|principal| principal.id());
            let entry = Entry { ip, address: address.to_string(), local, server_name, domain, device, pages: false };
            Box::pin(http::serve(server, stream, entry)).await;
        }
    }
}
