//! How long a message takes while a broker is half busy: an open loop, in which messages leave when their time has come
//! whether or not the last have arrived. A delay counts from the moment a message was due, so that a stall is paid for
//! by all that were due in it and not only by the one that met it. Each broker is measured at half of what it can carry
//! itself, and at half of what the slower one can.

use std::mem;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::brokers::{Broker, Kind, Yard};
use crate::packets::{PUBLISH, each_frame, puback, publish};
use crate::poll::Ready;
use crate::rows::{PAIRS, Row};
use crate::swarm::{Swarm, Target};
use crate::traffic::{greetings, measure, topic};
use crate::words::Words;
use crate::{Failure, median, say};

/// Messages become due in ticks, all of one tick at once, in nanoseconds; finer ones would measure the load.
const TICK: u64 = 250_000;

const SECOND: u64 = 1_000_000_000;

const WARM_UP: Duration = Duration::from_millis(500);

/// How long what is still under way at the end may take.
const PATIENCE: Duration = Duration::from_secs(3);

const TIMER: usize = usize::MAX;

const KINDS: [Kind; 2] = [Kind::Ombra, Kind::Mosquitto];

/// Delays of one run, in microseconds.
struct Delays {
    p50: f64,
    p99: f64,
    p999: f64,
    /// Messages that had not arrived when patience ended.
    lost: u64,
}

pub(crate) fn run(ombra: &Path, directory: &Path, words: &[&str]) -> Result<(), Failure> {
    let words = Words::new(words, &["tls"], &["rounds", "seconds"])?;
    let rounds: usize = words.number("rounds", 3)?;
    let counted = Duration::try_from_secs_f64(words.number("seconds", 3.0)?)?;
    let yard = Yard::new(ombra, directory, Vec::new())?;
    say(format_args!("100 pairs, 64 bytes; microseconds from when a message was due, in ticks of {} us", TICK / 1000))?;
    say(format_args!("{:<32} {:>8}  {:>8} {:>8} {:>8}", "", "per s", "p50", "p99", "p99.9"))?;
    for qos in [0, 1] {
        let is_tls = words.has("tls");
        let row = Row { qos, shape: PAIRS, is_large: false, is_single: false, is_tls, has_policies: false };
        let mut sides = Vec::new();
        for kind in KINDS {
            let broker = yard.start(kind, row)?;
            let target = yard.target(&broker, row).ok_or("a broker has no such door")?;
            let most = measure(&target, row, &broker.process.id(), counted)?.rate;
            sides.push(Side { kind, _broker: broker, target, half: format!("{:.0}", most / 2.0).parse()? });
        }
        let least = sides.iter().map(|side| side.half).min().unwrap_or_default();
        compare(&sides, row, "its own most", |side| side.half, rounds, counted)?;
        compare(&sides, row, "the slower's", |_| least, rounds, counted)?;
    }
    Ok(())
}

struct Side {
    kind: Kind,
    /// It ends with this.
    _broker: Broker,
    target: Target,
    /// Half of the messages per second that it can carry.
    half: u32,
}

fn compare(
    sides: &[Side],
    row: Row,
    of: &str,
    rate: impl Fn(&Side) -> u32,
    rounds: usize,
    counted: Duration,
) -> Result<(), Failure> {
    let mut measured: Vec<Vec<Delays>> = sides.iter().map(|_| Vec::with_capacity(rounds)).collect();
    for _ in 0..rounds {
        for (side, delays) in sides.iter().zip(&mut measured) {
            delays.push(Open::connect(&side.target, row, rate(side))?.delays(counted)?);
        }
    }
    for (side, rounds) in sides.iter().zip(&measured) {
        let of_rounds = |value: fn(&Delays) -> f64| median(rounds, value);
        let (p50, p99) = (of_rounds(|delays| delays.p50), of_rounds(|delays| delays.p99));
        let (p999, lost) = (of_rounds(|delays| delays.p999), rounds.iter().map(|delays| delays.lost).sum::<u64>());
        let lost = if lost > 0 { format!("  {lost} did not arrive") } else { String::new() };
        let name = format!("qos{} {}, half of {of}", row.qos, side.kind.name());
        say(format_args!("{name:<32} {:>8}  {p50:>8.0} {p99:>8.0} {p999:>8.0}{lost}", rate(side)))?;
    }
    Ok(())
}

/// Pairs of clients, and messages that leave at a steady rate.
struct Open {
    swarm: Swarm,
    timer: OwnedFd,
    packets: Vec<Vec<u8>>,
    row: Row,
    /// Messages per second.
    rate: u64,
    begun: Instant,
    sent: u64,
    arrived: u64,
    /// Nanoseconds.
    delays: Vec<u32>,
}

impl Open {
    fn connect(target: &Target, row: Row, rate: u32) -> Result<Self, Failure> {
        let (clients, greet) = greetings(row.shape, row.qos);
        let swarm = Swarm::gather(target, clients, greet)?;
        let payload = vec![b'x'; row.size()];
        let packet = |pair| publish(&topic(row.shape, pair), row.qos, false, 1, &payload);
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let tick = Timespec { tv_sec: 0, tv_nsec: i64::try_from(TICK)? };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: tick, it_value: tick })?;
        swarm.poll.add(&timer, TIMER)?;
        let (begun, rate) = (Instant::now(), u64::from(rate));
        let packets = (0..row.shape.groups).map(packet).collect();
        Ok(Self { swarm, timer, packets, row, rate, begun, sent: 0, arrived: 0, delays: Vec::new() })
    }

    fn delays(mut self, counted: Duration) -> Result<Delays, Failure> {
        self.begun = Instant::now();
        let mut ready = Vec::new();
        let end = WARM_UP + counted;
        while self.begun.elapsed() < end || self.arrived < self.sent && self.begun.elapsed() < end + PATIENCE {
            self.send(end)?;
            self.swarm.poll.wait(Duration::from_millis(50), &mut ready)?;
            for &Ready { key, readable } in &ready {
                if key == TIMER {
                    // How many ticks have passed the clock says as well.
                    let _ = rustix::io::read(&self.timer, &mut [0; 8]);
                    continue;
                }
                if readable && !self.receive(key)? {
                    return Err(format!("client {key} lost its connection").into());
                }
                self.swarm.links[key].flush(&self.swarm.poll)?;
            }
        }
        let mut delays = mem::take(&mut self.delays);
        delays.sort_unstable();
        let at = |thousandths: usize| {
            let delay = delays.get(delays.len() * thousandths / 1000);
            delay.map_or(f64::NAN, |nanoseconds| f64::from(*nanoseconds) / 1e3)
        };
        Ok(Delays { p50: at(500), p99: at(990), p999: at(999), lost: self.sent - self.arrived })
    }

    /// Sends what is due, each pair in turn.
    fn send(&mut self, end: Duration) -> Result<(), Failure> {
        let now = nanoseconds(self.begun.elapsed().min(end));
        let (pairs, size) = (self.packets.len() as u64, self.row.size());
        let mut touched = 0;
        while let moment = (self.sent * SECOND / self.rate).div_ceil(TICK) * TICK
            && moment <= now
        {
            let (round, pair) = (self.sent / pairs, usize::try_from(self.sent % pairs)?);
            let packet = &mut self.packets[pair];
            let payload = packet.len() - size;
            if self.row.qos > 0 {
                let id = u16::try_from(round % u64::from(u16::MAX))? + 1;
                packet[payload - 2..payload].copy_from_slice(&id.to_be_bytes());
            }
            packet[payload..payload + 8].copy_from_slice(&moment.to_be_bytes());
            // Subscribers come first among the clients, as many as there are pairs.
            self.swarm.links[self.packets.len() + pair].output().extend_from_slice(&self.packets[pair]);
            self.sent += 1;
            touched += 1;
        }
        let first = self.sent - touched;
        for number in first..self.sent.min(first + pairs) {
            let pair = usize::try_from(number % pairs)?;
            self.swarm.links[self.packets.len() + pair].flush(&self.swarm.poll)?;
        }
        Ok(())
    }

    fn receive(&mut self, key: usize) -> Result<bool, Failure> {
        let Self { swarm, begun, arrived, delays, .. } = self;
        let take = |bytes: &[u8], output: &mut Vec<u8>| {
            let now = nanoseconds(begun.elapsed());
            each_frame(bytes, |frame| {
                let Some(published) = frame.publish().filter(|_| frame.kind() == PUBLISH) else { return };
                output.extend(published.id.map(puback).into_iter().flatten());
                let moment = published.payload.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                *arrived += 1;
                if moment >= nanoseconds(WARM_UP) {
                    delays.push(u32::try_from(now.saturating_sub(moment)).unwrap_or(u32::MAX));
                }
            })
        };
        Ok(swarm.links[key].receive(&mut swarm.scratch, take)?)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
