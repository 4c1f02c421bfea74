//! Which sockets can be read or written: a thin hand on epoll, level-triggered. It does not know what the keys mean
//! that its callers give to their sockets.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::Timespec;

/// Sockets told of in one turn, at most.
const TURN: usize = 1024;

pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

/// A socket on which something can be done.
#[derive(Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) key: usize,
    /// There are bytes, or an end, or a failure that reading will show.
    pub(crate) readable: bool,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(TURN) })
    }

    /// Begins to watch a socket for reading.
    pub(crate) fn add(&self, socket: impl AsFd, key: usize) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, data(key), EventFlags::IN)?)
    }

    /// Watches it for writing as well, or no longer.
    pub(crate) fn watch_writing(&self, socket: impl AsFd, key: usize, watch: bool) -> io::Result<()> {
        let flags = if watch { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        Ok(epoll::modify(&self.epoll, socket, data(key), flags)?)
    }

    /// Waits until something can be done, or until the time is over, and puts it into `ready`.
    pub(crate) fn wait(&mut self, timeout: Duration, ready: &mut Vec<Ready>) -> io::Result<()> {
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ready.clear();
        ready.extend(self.events.iter().map(|event| {
            let (data, flags) = (event.data, event.flags);
            Ready { key: usize::try_from(data.u64()).unwrap_or(usize::MAX), readable: flags != EventFlags::OUT }
        }));
        Ok(())
    }
}

fn data(key: usize) -> EventData {
    EventData::new_u64(key as u64)
}
