//! Many MQTT clients in one thread: connected, and welcome. It knows who they are and what they said first; what they
//! say after is the caller's.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::Failure;
use crate::link::Link;
use crate::packets::{Frame, each_frame};
use crate::poll::{Poll, Ready};

/// Clients that are on their way in at a time: fewer than wait in anybody's backlog.
const TOGETHER: usize = 64;

/// Clients with one source address: fewer than an address has ports.
const PER_ADDRESS: usize = 10_000;

/// Bytes read at a time.
const SCRATCH: usize = 256 * 1024;

/// How long nothing may happen while clients connect.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whom to connect to, and how.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddrV4,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

impl Target {
    /// A connected socket, watched under `key`; its source address depends on the client's number, so that ports do
    /// not run out.
    pub(crate) fn open(&self, number: usize, key: usize, poll: &Poll) -> Result<Link, Failure> {
        let host = u8::try_from(2 + number / PER_ADDRESS % 200)?;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, host), 0))?;
        connect(&socket, &self.address)?;
        let tls = match &self.tls {
            Some(config) => Some(ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost")?)?.into()),
            None => None,
        };
        Ok(Link::new(TcpStream::from(socket), tls, key, poll)?)
    }
}

/// Connected clients; the number of each is its key in the poll and its place in `links`.
pub(crate) struct Swarm {
    pub(crate) poll: Poll,
    pub(crate) links: Vec<Link>,
    pub(crate) scratch: Vec<u8>,
}

impl Swarm {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { poll: Poll::new()?, links: Vec::new(), scratch: vec![0; SCRATCH] })
    }

    /// So many clients, each with the packets it begins with; the next is sent when the last has been welcomed.
    pub(crate) fn gather(
        target: &Target,
        count: usize,
        packets: impl Fn(usize) -> Vec<Vec<u8>>,
    ) -> Result<Self, Failure> {
        let mut swarm = Self::new()?;
        swarm.grow(target, count, packets)?;
        Ok(swarm)
    }

    /// Connects more, until there are `count`.
    pub(crate) fn grow(
        &mut self,
        target: &Target,
        count: usize,
        packets: impl Fn(usize) -> Vec<Vec<u8>>,
    ) -> Result<(), Failure> {
        let mut arriving = Arriving { before: self.links.len(), waiting: Vec::new(), welcome: self.links.len() };
        let (mut ready, mut heard) = (Vec::new(), Instant::now());
        while arriving.welcome < count {
            while self.links.len() < count && self.links.len() - arriving.welcome < TOGETHER {
                let mut link = target.open(self.links.len(), self.links.len(), &self.poll)?;
                arriving.begin(&mut link, packets(self.links.len()));
                link.flush(&self.poll)?;
                self.links.push(link);
            }
            self.poll.wait(Duration::from_millis(100), &mut ready)?;
            for &Ready { key, readable } in &ready {
                heard = Instant::now();
                let link = &mut self.links[key];
                if readable && !link.receive(&mut self.scratch, |bytes, output| arriving.hear(key, bytes, output))? {
                    return Err(format!("client {key} was turned away").into());
                }
                link.flush(&self.poll)?;
            }
            if heard.elapsed() > PATIENCE {
                return Err(format!("only {} of {count} clients were welcomed", arriving.welcome).into());
            }
        }
        Ok(())
    }
}

/// Clients that have not said all they begin with.
struct Arriving {
    before: usize,
    /// Packets that are still to be sent, last first.
    waiting: Vec<Vec<Vec<u8>>>,
    welcome: usize,
}

impl Arriving {
    fn begin(&mut self, link: &mut Link, mut packets: Vec<Vec<u8>>) {
        packets.reverse();
        link.output().extend(packets.pop().unwrap_or_default());
        self.waiting.push(packets);
    }

    /// Reads answers. One that is no welcome is not counted, and so ends the run.
    fn hear(&mut self, key: usize, bytes: &[u8], output: &mut Vec<u8>) -> usize {
        each_frame(bytes, |frame: Frame| {
            let Some(waiting) = key.checked_sub(self.before).and_then(|index| self.waiting.get_mut(index)) else {
                return;
            };
            if frame.is_welcome() {
                match waiting.pop() {
                    Some(packet) => output.extend(packet),
                    None => self.welcome += 1,
                }
            }
        })
    }
}
