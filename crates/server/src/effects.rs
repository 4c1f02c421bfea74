//! The effects of rule actions, carried out: messages leave the house for services, URLs, databases and brokers, each action of
//! each rule in a lane of its own, on a thread of their own. What an action means is decided in `cloud`; here is how often it is
//! tried and what is said when it came to nothing.

mod aws;
mod client;
mod credentials;
mod http;
mod influx;
mod kafka;
mod lanes;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use cloud::Scope;
use cloud::actions::{AwsRequest, Cause, Effect, Failure, Lane, Outcome, Service, Work};
use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::server::Server;
use aws::Aws;
use client::{Client, Line};
pub(crate) use credentials::Credentials;
use lanes::{Done, Lanes, Sink};

/// How long lanes may take to close when the server stops.
const DRAIN: Duration = Duration::from_secs(4);

/// Names of hosts that may be looked up at a time; a look-up that hangs holds a thread.
const LOOK_UPS: usize = 64;

/// Where effects are brought.
pub(crate) struct Effects {
    lanes: Lanes<Arc<Outside>>,
    outside: Arc<Outside>,
}

/// Everything outside the house.
struct Outside {
    client: Client,
    aws: Aws,
}

impl Effects {
    /// Starts the thread that carries effects out. It ends some time after the server stops.
    pub(crate) fn start(
        endpoints: BTreeMap<Service, String>,
        credentials: Credentials,
        stopping: watch::Receiver<bool>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let client = Client::new().map_err(io::Error::other)?;
        let outside = Arc::new(Outside { client, aws: Aws::new(endpoints, credentials) });
        let sink = Arc::clone(&outside);
        let (tell, told) = mpsc::channel();
        let thread = std::thread::Builder::new().name("effects".to_owned()).spawn(move || {
            let mut builder = Builder::new_current_thread();
            let runtime = match builder.enable_all().max_blocking_threads(LOOK_UPS).build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(error))),
            };
            let mut stops = stopping.clone();
            let (lanes, mut gone) = Lanes::new(sink, runtime.handle().clone(), stopping);
            if tell.send(Ok(lanes)).is_err() {
                return;
            }
            runtime.block_on(async {
                let _ = stops.wait_for(|stops| *stops).await;
                let _ = tokio::time::timeout(DRAIN, gone.recv()).await;
            });
        })?;
        let lanes = told.recv().map_err(io::Error::other)??;
        Ok((Self { lanes, outside }, thread))
    }

    /// Lets the neighbours in the house be asked.
    pub(crate) fn meet(&self, server: &Arc<Server>) {
        self.outside.aws.meet(Arc::downgrade(server));
    }

    /// Asks a service once and waits for what it says, as the functions of statements do.
    pub(crate) async fn ask(&self, scope: &Scope, request: &AwsRequest) -> Result<Bytes, Failure> {
        self.outside.ask(scope, request).await
    }

    /// Carries an effect out when its turn in its lane comes, and says what became of it. Effects that still wait when the
    /// server stops are forgotten without a word: whoever must not lose them has kept them.
    pub(crate) fn carry_out(&self, lane: &Lane, effect: Effect, done: Done) {
        self.lanes.put(lane, effect, done);
    }
}

/// What a lane keeps for its next effect.
#[derive(Default)]
struct Kept {
    line: Line,
    token: Option<influx::Token>,
    brokers: kafka::Kept,
}

/// Bytes of an answer that a statement may get.
const MOST_ASKED: usize = 256 * 1024;

impl Outside {
    async fn ask(&self, scope: &Scope, request: &AwsRequest) -> Result<Bytes, Failure> {
        let mut line = Line::keeping(MOST_ASKED);
        self.aws.ask(&self.client, &mut line, scope, request).await?.value(request)
    }
}

impl Sink for Arc<Outside> {
    type Kept = Kept;

    async fn carry(&self, lane: &Lane, kept: &mut Kept, work: Work) -> Outcome {
        let (client, aws, scope) = (&self.client, &self.aws, &lane.scope);
        let Kept { line, token, brokers } = kept;
        match work {
            Work::Aws(request) => aws.carry(client, line, scope, &request).await,
            Work::Http(request) => http::carry(client, aws, line, scope, request).await,
            Work::Influx(write) => influx::Way { client, aws, scope, line, token }.carry(&write).await,
            Work::Kafka(record) => kafka::carry(client, brokers, &record).await,
            Work::Republish(..) => {
                Err(Failure::new(Cause::Refused, "A message is published inside the house, not outside."))
            }
        }
    }
}
