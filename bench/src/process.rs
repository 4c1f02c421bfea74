//! Processes under measurement: started so that they end with us, and what they have used of processor and memory.
//! It does not know what they do.

use std::env::current_exe;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Failure;

/// A start takes a fraction of a second; what has not come by then will not.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ticks of `/proc/PID/stat` per second; Linux tells user space 100 on every machine.
const TICKS: f64 = 100.0;

/// A process that ends when this is dropped, or when we end, however we do.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start<'a>(
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = &'a OsStr>,
    ) -> Result<Self, Failure> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&program).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let name = program.as_ref().to_string_lossy();
        Ok(Self(command.spawn().map_err(|error| format!("failed to start {name}: {error}"))?))
    }

    /// This program once more, as one of the servers that print their port first and leave when their input ends.
    pub(crate) fn start_own(words: &[&OsStr]) -> Result<(Self, SocketAddrV4), Failure> {
        let mut command = Command::new(current_exe()?);
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Self(command.spawn()?);
        let output = process.0.stdout.take().ok_or("a server has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        Ok((process, SocketAddrV4::new(Ipv4Addr::LOCALHOST, line.trim().parse()?)))
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    pub(crate) fn id(&self) -> String {
        self.0.id().to_string()
    }

    /// Waits until somebody answers at an address, unless the process ends before.
    pub(crate) fn wait_for(&mut self, address: SocketAddrV4) -> Result<(), Failure> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && !self.has_ended() {
            if TcpStream::connect(address).is_ok() {
                return Ok(());
            }
            sleep(Duration::from_millis(2));
        }
        Err(format!("nobody answers at {address}").into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // There is nobody left to tell if it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Seconds of processor time a process has used, all its threads, in user space and in the kernel.
pub(crate) fn cpu(pid: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses that may hold anything; user time is the 14th, system time the 15th.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS)
}

/// Bytes of memory it holds.
pub(crate) fn resident(pid: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? * 1024.0)
}

/// An address of this machine that nobody listens on now.
pub(crate) fn free_address() -> Result<SocketAddrV4, Failure> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}
