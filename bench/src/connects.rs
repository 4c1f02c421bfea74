//! What a connection costs: processor time from the first byte of mutual TLS to the CONNACK, for devices with P-256
//! and with RSA keys and for those that resume a session, beside the TLS library alone and Mosquitto; and the memory of
//! one that is idle. So many handshakes are under way at a time that nobody waits for one alone.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::brokers::{Broker, Yard};
use crate::link::Link;
use crate::packets::{DISCONNECT, connect, each_frame};
use crate::poll::{Poll, Ready};
use crate::process::{Process, cpu, resident};
use crate::swarm::{Swarm, Target};
use crate::words::Words;
use crate::{Failure, median, say};

/// Connections on their way in at a time.
const TOGETHER: usize = 16;

const WARM_UP: Duration = Duration::from_millis(300);

/// How long nobody may be welcomed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Idle connections whose memory is measured.
const IDLE: usize = 2000;

/// Those that come before them.
const FIRST: usize = 50;

/// How long a server is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);

const HEAD: &str = "
device's key server      CPU us   per s  load's CPU us  resumed   library's CPU as part of its own, aim >= 0.9";

const NAMES: [&str; 3] = ["ombra", "library", "Mosquitto"];

/// What was counted of one server in one round.
#[derive(Clone, Copy)]
struct Storm {
    per_second: f64,
    /// Microseconds of processor time in the server per connection.
    server_us: f64,
    load_us: f64,
    /// Part of the sessions that were earlier ones taken up again.
    resumed: f64,
}

pub(crate) fn run(ombra: &Path, directory: &Path, words: &[&str]) -> Result<(), Failure> {
    let words = Words::new(words, &[], &["rounds", "seconds"])?;
    let rounds: usize = words.number("rounds", 3)?;
    let counted = Duration::try_from_secs_f64(words.number("seconds", 2.0)?)?;
    let yard = Yard::new(ombra, directory, Vec::new())?;
    say(format_args!("{HEAD}"))?;
    let identities = &yard.identities;
    for (key, identity) in
        [("P-256", &identities.ecdsa), ("RSA 2048", &identities.rsa), ("P-256 again", &identities.resuming)]
    {
        let servers = servers(&yard)?;
        let mut measured = Vec::with_capacity(rounds);
        let mut number = 0;
        for _ in 0..rounds {
            let mut round = Vec::with_capacity(servers.len());
            for server in &servers {
                round.push(storm(server, identity, &mut number, counted)?);
            }
            measured.push(round);
        }
        for (index, name) in NAMES.into_iter().enumerate() {
            say(format_args!("{key:<12} {name:<10}{}", line(index, &measured)))?;
        }
    }
    for (server, name) in servers(&yard)?.iter().zip(NAMES) {
        let (bytes, seconds) = held(server, &yard.identities.ecdsa)?;
        let (kilobytes, micros) = (bytes / 1e3, seconds * 1e6);
        say(format_args!("{IDLE} held  {name:<10} {kilobytes:>7.1} KB each, {micros:>6.0} CPU us each to connect"))?;
    }
    Ok(())
}

fn servers(yard: &Yard) -> Result<[Broker; 3], Failure> {
    let data = yard.data();
    let (process, address) = Process::start_own(&[OsStr::new("handshakes"), data.as_os_str()])?;
    let library = Broker { process, plain: None, tls: Some(address) };
    Ok([yard.ombra(false, false, &[])?, library, yard.mosquitto()?])
}

/// One server, and how the second of them, the library, stands to it.
fn line(server: usize, rounds: &[Vec<Storm>]) -> String {
    let of =
        |value: fn(Storm) -> f64| median(rounds, |round| round.get(server).map_or(f64::NAN, |storm| value(*storm)));
    let ratio = median(rounds, |round| match (round.get(server), round.get(1)) {
        (Some(own), Some(library)) => library.server_us / own.server_us,
        _ => f64::NAN,
    });
    let (cost, rate) = (of(|storm| storm.server_us), of(|storm| storm.per_second));
    let (load, resumed) = (of(|storm| storm.load_us), of(|storm| storm.resumed * 100.0));
    format!("{cost:>8.0}{rate:>8.0}{load:>15.0}{resumed:>7.0} %  {ratio:>6.2}")
}

/// Connections one after the other in each of several places, each closed in order once it is welcome.
fn storm(
    server: &Broker,
    identity: &Arc<ClientConfig>,
    number: &mut usize,
    counted: Duration,
) -> Result<Storm, Failure> {
    let address = server.tls.ok_or("a server has no TLS")?;
    let target = Target { address, tls: Some(Arc::clone(identity)) };
    let mut places = Places { poll: Poll::new()?, links: Vec::new(), welcome: 0, resumed: 0 };
    for place in 0..TOGETHER {
        let link = places.open(&target, place, number)?;
        places.links.push(link);
    }
    places.run(&target, number, WARM_UP)?;
    let pid = server.process.id();
    let look = |places: &Places| (Instant::now(), places.welcome, cpu(&pid), cpu("self"), places.resumed);
    let before = look(&places);
    places.run(&target, number, counted)?;
    let after = look(&places);
    let connections = f64::from(after.1 - before.1);
    let used =
        |before: Option<f64>, after: Option<f64>| after.zip(before).map_or(f64::NAN, |(after, before)| after - before);
    Ok(Storm {
        per_second: connections / after.0.duration_since(before.0).as_secs_f64(),
        server_us: used(before.2, after.2) / connections * 1e6,
        load_us: used(before.3, after.3) / connections * 1e6,
        resumed: f64::from(after.4 - before.4) / connections,
    })
}

struct Places {
    poll: Poll,
    links: Vec<Link>,
    welcome: u32,
    /// Of those who were welcome.
    resumed: u32,
}

impl Places {
    fn open(&self, target: &Target, place: usize, number: &mut usize) -> Result<Link, Failure> {
        let mut link = target.open(*number, place, &self.poll)?;
        link.output().extend(connect(&format!("pump-{:04}", *number % 10_000)));
        link.flush(&self.poll)?;
        *number += 1;
        Ok(link)
    }

    fn run(&mut self, target: &Target, number: &mut usize, time: Duration) -> Result<(), Failure> {
        let begun = Instant::now();
        let (mut ready, mut scratch, mut heard) = (Vec::new(), vec![0; 4096], begun);
        while begun.elapsed() < time {
            self.poll.wait(Duration::from_millis(50), &mut ready)?;
            for &Ready { key, readable } in &ready {
                let mut is_welcome = false;
                let link = &mut self.links[key];
                let take = |bytes: &[u8], _: &mut Vec<u8>| each_frame(bytes, |frame| is_welcome |= frame.is_welcome());
                if readable && !link.receive(&mut scratch, take)? {
                    return Err("a connection was turned away".into());
                }
                if is_welcome {
                    link.output().extend(DISCONNECT);
                }
                link.flush(&self.poll)?;
                if is_welcome {
                    self.welcome += 1;
                    self.resumed += u32::from(self.links[key].is_resumed());
                    self.links[key] = self.open(target, key, number)?;
                    heard = Instant::now();
                }
            }
            if heard.elapsed() > PATIENCE {
                return Err("nobody is welcomed any more".into());
            }
        }
        Ok(())
    }
}

/// Bytes of memory that each of many idle connections takes, and the seconds of processor time it took to let it in
/// while the others stayed.
fn held(server: &Broker, identity: &Arc<ClientConfig>) -> Result<(f64, f64), Failure> {
    let target = Target { address: server.tls.ok_or("a server has no TLS")?, tls: Some(Arc::clone(identity)) };
    let pid = server.process.id();
    let look = || {
        sleep(SETTLE);
        resident(&pid).zip(cpu(&pid)).ok_or("a server's memory cannot be read")
    };
    let greet = |number: usize| vec![connect(&format!("pump-{number:04}"))];
    // What the first few cost is the server's, not theirs.
    let mut swarm = Swarm::gather(&target, FIRST, greet)?;
    let before = look()?;
    swarm.grow(&target, FIRST + IDLE, greet)?;
    let after = look()?;
    let connections = f64::from(u32::try_from(IDLE)?);
    Ok(((after.0 - before.0) / connections, (after.1 - before.1) / connections))
}
