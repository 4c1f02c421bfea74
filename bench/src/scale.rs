//! What many of a thing cost: held connections with mutual TLS, retained messages, subscriptions with wildcards. Memory
//! and processor time per item are read at a quarter, a half and the whole of the size, and said to grow with the
//! number, or faster.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::brokers::{Broker, Yard};
use crate::packets::{PUBACK, SUBACK, connect, each_frame, publish, subscribe};
use crate::poll::Ready;
use crate::process::{cpu, resident};
use crate::swarm::{Swarm, Target};
use crate::words::Words;
use crate::{Failure, say};

const CONNECTIONS: usize = 20_000;
const RETAINED: usize = 1_000_000;
const SUBSCRIPTIONS: usize = 100_000;

/// Files that a process needs, or keeps in reserve, beside its connections.
const OTHER_FILES: u64 = 1000;

/// Filters in one SUBSCRIBE, as many as AWS allows.
const FILTERS: usize = 8;

/// How long a server is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);

/// How long nothing may be acknowledged.
const PATIENCE: Duration = Duration::from_secs(10);

/// More per item at the end than at the first quarter is called faster than linear from here; below, it is the
/// doubling of tables and the noise of other processes.
const MEMORY_GROWS: f64 = 1.25;
const WORK_GROWS: f64 = 1.5;

pub(crate) fn run(ombra: &Path, directory: &Path, words: &[&str]) -> Result<(), Failure> {
    let words = Words::new(words, &["mosquitto"], &["only", "divide"])?;
    let divide: usize = words.number("divide", 1)?.max(1);
    let yard = Yard::new(ombra, directory, Vec::new())?;
    let parts: [(&str, Part); 3] =
        [("connections", connections), ("retained", retained), ("subscriptions", subscriptions)];
    for (name, part) in parts {
        if words.value("only").is_some_and(|only| only != name) {
            continue;
        }
        let begun = || if words.has("mosquitto") { yard.mosquitto() } else { yard.ombra(false, false, &[]) };
        let broker = begun()?;
        let address = broker.tls.ok_or("a broker has no TLS")?;
        let target = Target { address, tls: Some(yard.identities.ecdsa.clone()) };
        part(&broker, &target, divide)?;
    }
    Ok(())
}

/// Adds its items to a broker and says what they cost, a fraction of them if so asked.
type Part = fn(&Broker, &Target, usize) -> Result<(), Failure>;

fn connections(broker: &Broker, target: &Target, divide: usize) -> Result<(), Failure> {
    let limit = raise_files()?;
    let most = usize::try_from(limit.saturating_sub(OTHER_FILES))?;
    let size = CONNECTIONS.min(most) / divide;
    if size < CONNECTIONS / divide {
        say(format_args!("the system gives a process {limit} files, so there are fewer connections"))?;
    }
    let greet = |number: usize| vec![connect(&format!("pump-{number:05}"))];
    let mut swarm = Swarm::new()?;
    grow(broker, "connections", size, |count| swarm.grow(target, count, greet))
}

fn retained(broker: &Broker, target: &Target, divide: usize) -> Result<(), Failure> {
    let packet = |number: usize, id: u16| {
        let topic = format!("plant/hall-{}/sensor-{number:07}/state", number / 1000);
        publish(&topic, 1, true, id, b"{\"state\":\"quiet\"}")
    };
    let mut filler = Filler::new(target, 16, 64)?;
    grow(broker, "retained messages", RETAINED / divide, |count| filler.fill(count, packet))
}

fn subscriptions(broker: &Broker, target: &Target, divide: usize) -> Result<(), Failure> {
    let packet = |number: usize, id: u16| {
        let filter = |place: usize| format!("plant/+/device-{:06}/#", number * FILTERS + place);
        let filters: Vec<String> = (0..FILTERS).map(filter).collect();
        subscribe(id, &filters.iter().map(String::as_str).collect::<Vec<&str>>(), 1)
    };
    let mut filler = Filler::new(target, 500, 1)?;
    grow(broker, "subscriptions", SUBSCRIPTIONS / divide, |count| filler.fill(count / FILTERS, packet))
}

/// Lets `fill` bring the number of items to a quarter, a half and the whole of `size`, and prints what each step took.
fn grow(
    broker: &Broker,
    what: &str,
    size: usize,
    mut fill: impl FnMut(usize) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let pid = broker.process.id();
    let look = || {
        sleep(SETTLE);
        resident(&pid).zip(cpu(&pid)).ok_or("a broker's memory cannot be read")
    };
    let (empty, mut last, mut before) = (look()?, look()?, 0);
    let mut steps = Vec::new();
    for count in [size / 4, size / 2, size] {
        let begun = Instant::now();
        fill(count)?;
        let seconds = begun.elapsed().as_secs_f64();
        let now = look()?;
        let (items, added) = (f64::from(u32::try_from(count)?), f64::from(u32::try_from(count - before)?));
        let (memory, work) = ((now.0 - empty.0) / items, (now.1 - last.1) / added * 1e6);
        say(format_args!(
            "{what:<18} {count:>8}: {memory:>8.0} bytes each, {:>7.1} MB in all; the last {added:>7} took {work:>7.1} CPU us each, {seconds:.1} s",
            now.0 / 1e6
        ))?;
        steps.push((memory, work));
        (last, before) = (now, count);
    }
    let (Some(first), Some(whole)) = (steps.first(), steps.last()) else { return Ok(()) };
    let verdict =
        |first: f64, whole: f64, bound: f64| if whole <= first * bound { "linear" } else { "faster than linear" };
    let (memory, work) = (verdict(first.0, whole.0, MEMORY_GROWS), verdict(first.1, whole.1, WORK_GROWS));
    say(format_args!("{what:<18} memory is {memory} in their number, work is {work}"))
}

/// As many open files as the system lets us have.
fn raise_files() -> Result<u64, Failure> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum.unwrap_or(u64::MAX))
}

/// Clients that send numbered packets and keep so many unacknowledged.
struct Filler {
    swarm: Swarm,
    window: usize,
    /// Packets under way, by client.
    under_way: Vec<usize>,
    sent: usize,
    acknowledged: usize,
}

impl Filler {
    fn new(target: &Target, clients: usize, window: usize) -> Result<Self, Failure> {
        let swarm = Swarm::gather(target, clients, |number| vec![connect(&format!("pump-{number:04}"))])?;
        Ok(Self { swarm, window, under_way: vec![0; clients], sent: 0, acknowledged: 0 })
    }

    /// Sends until so many packets have been acknowledged.
    fn fill(&mut self, count: usize, packet: impl Fn(usize, u16) -> Vec<u8>) -> Result<(), Failure> {
        let (mut ready, mut heard) = (Vec::new(), Instant::now());
        for client in 0..self.under_way.len() {
            self.send(client, count, &packet)?;
        }
        while self.acknowledged < count {
            self.swarm.poll.wait(Duration::from_millis(100), &mut ready)?;
            for &Ready { key, readable } in &ready {
                heard = Instant::now();
                if readable {
                    self.receive(key)?;
                }
                self.send(key, count, &packet)?;
            }
            if heard.elapsed() > PATIENCE {
                return Err(format!("only {} of {count} packets were acknowledged", self.acknowledged).into());
            }
        }
        Ok(())
    }

    fn send(&mut self, client: usize, count: usize, packet: impl Fn(usize, u16) -> Vec<u8>) -> Result<(), Failure> {
        let link = &mut self.swarm.links[client];
        while self.under_way[client] < self.window && self.sent < count {
            // Each client's own packets are further apart than the window is wide, so that no identifier is in use twice.
            let id = u16::try_from(self.sent % usize::from(u16::MAX))? + 1;
            link.output().extend(packet(self.sent, id));
            self.under_way[client] += 1;
            self.sent += 1;
        }
        Ok(link.flush(&self.swarm.poll)?)
    }

    fn receive(&mut self, client: usize) -> Result<(), Failure> {
        let mut answers = 0;
        let take = |bytes: &[u8], _: &mut Vec<u8>| {
            each_frame(bytes, |frame| {
                let is_answer = frame.kind() == PUBACK || frame.kind() == SUBACK && frame.is_welcome();
                answers += usize::from(is_answer);
            })
        };
        if !self.swarm.links[client].receive(&mut self.swarm.scratch, take)? {
            return Err(format!("client {client} lost its connection").into());
        }
        self.under_way[client] = self.under_way[client].saturating_sub(answers);
        self.acknowledged += answers;
        Ok(())
    }
}
