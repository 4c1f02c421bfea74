//! What a topic space remembers of its client identifiers for about an hour: how often each has connected, how it left,
//! and whether two devices fight for it. Knows nothing of sessions or of what is told about any of this.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Milliseconds for which a client that has left is remembered, unless its session lasts longer (mqtt.md §10).
const REMEMBERED: i64 = 3_600_000;

/// Clients without a connection that are remembered; beyond them whoever would be forgotten first is.
const MOST: usize = 100_000;

/// Takeovers within this many milliseconds are a loop if there are so many of them; it is told once in as long a time.
const LOOP: (usize, i64) = (3, 10_000);

/// The client identifiers of a topic space.
#[derive(Default)]
pub(crate) struct Clients(Mutex<Known>);

#[derive(Default)]
struct Known {
    clients: HashMap<Arc<str>, Client>,
    /// Those without a connection, by the time when they are forgotten.
    away: BTreeSet<(i64, Arc<str>)>,
}

#[derive(Default)]
struct Client {
    /// The number of the connection it has now.
    link: Option<u64>,
    /// The version number of its next connection.
    next_version: u64,
    /// When it last connected.
    came: i64,
    left: Option<Left>,
    forgotten_at: i64,
    fight: Option<Box<Fight>>,
}

/// How a client left.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    /// When, in milliseconds.
    pub(crate) at: i64,
    /// AWS's name of the reason.
    pub(crate) reason: &'static str,
}

/// The latest takeovers between two devices, and when they were last told.
struct Fight {
    takeovers: [i64; LOOP.0],
    told: i64,
}

impl Clients {
    /// A client has connected: the version number of this connection.
    pub(super) fn arrive(&self, client_id: &str, link: u64, now: i64) -> u64 {
        let mut known = self.known();
        known.forget(now);
        let Known { clients, away } = &mut *known;
        let known_id = clients.get_key_value(client_id).map(|(id, _)| Arc::clone(id));
        let id = known_id.unwrap_or_else(|| client_id.into());
        let client = clients.entry(Arc::clone(&id)).or_default();
        if client.link.is_none() {
            away.remove(&(client.forgotten_at, id));
        }
        client.link = client.link.max(Some(link));
        client.came = now;
        client.next_version += 1;
        client.next_version - 1
    }

    /// A connection has ended; if another has taken its place, the client is still here. `expiry` is its session's, in
    /// seconds.
    pub(super) fn leave(&self, client_id: &str, link: u64, left: Left, expiry: u32) {
        let mut known = self.known();
        let Known { clients, away } = &mut *known;
        let Some(id) = clients.get_key_value(client_id).map(|(id, _)| Arc::clone(id)) else { return };
        let Some(client) = clients.get_mut(&id).filter(|client| client.link == Some(link)) else { return };
        let lasts = i64::from(expiry).saturating_mul(1000).max(REMEMBERED);
        client.link = None;
        client.left = Some(left);
        client.forgotten_at = left.at.saturating_add(lasts);
        away.insert((client.forgotten_at, id));
        known.forget(left.at);
    }

    /// Whether a client comes again within a second.
    pub(super) fn is_early(&self, client_id: &str, now: i64) -> bool {
        // Who came later than now came before the clock was set back.
        self.known().clients.get(client_id).is_some_and(|client| (0..1000).contains(&(now - client.came)))
    }

    /// How a client left that is not connected now.
    pub(crate) fn left(&self, client_id: &str) -> Option<Left> {
        let known = self.known();
        known.clients.get(client_id).filter(|client| client.link.is_none())?.left
    }

    /// One device has taken the client identifier from another; whether this is to be told as a loop.
    pub(super) fn is_loop(&self, client_id: &str, now: i64) -> bool {
        let mut known = self.known();
        let Some(client) = known.clients.get_mut(client_id) else { return false };
        let never = || Box::new(Fight { takeovers: [i64::MIN; LOOP.0], told: i64::MIN });
        let fight = client.fight.get_or_insert_with(never);
        fight.takeovers.rotate_left(1);
        if let Some(latest) = fight.takeovers.last_mut() {
            *latest = now;
        }
        let since = now.saturating_sub(LOOP.1);
        if fight.takeovers.iter().any(|at| *at <= since) || fight.told > since {
            return false;
        }
        fight.told = now;
        true
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Every critical section leaves the maps whole, so a poisoned lock is still good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Forgets who has been away for long enough.
    fn forget(&mut self, now: i64) {
        while self.away.first().is_some_and(|(at, _)| *at <= now) || self.away.len() > MOST {
            let Some((_, id)) = self.away.pop_first() else { return };
            self.clients.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEFT: Left = Left { at: 1000, reason: "CONNECTION_LOST" };

    #[test]
    fn versions_grow_and_start_again_an_hour_after_the_client_has_left() {
        let clients = Clients::default();
        assert_eq!([clients.arrive("c", 1, 0), clients.arrive("c", 2, 0), clients.arrive("d", 3, 0)], [0, 1, 0]);
        clients.leave("c", 2, LEFT, 0);
        assert_eq!(clients.arrive("c", 4, REMEMBERED + 999), 2);
        clients.leave("c", 4, LEFT, 0);
        assert_eq!(clients.arrive("c", 5, REMEMBERED + 1000), 0);
    }

    #[test]
    fn a_client_whose_session_lasts_longer_is_remembered_for_as_long() {
        let clients = Clients::default();
        clients.arrive("c", 1, 0);
        clients.leave("c", 1, LEFT, 7200);
        assert_eq!(clients.arrive("c", 2, 7_200_999), 1);
    }

    #[test]
    fn a_connection_that_was_displaced_does_not_take_the_client_away() {
        let clients = Clients::default();
        clients.arrive("c", 1, 0);
        clients.arrive("c", 2, 0);
        clients.leave("c", 1, LEFT, 0);
        assert!(clients.left("c").is_none());
        clients.leave("c", 2, LEFT, 0);
        assert_eq!(clients.left("c").map(|left| left.at), Some(1000));
    }

    #[test]
    fn no_more_than_so_many_are_remembered() {
        let clients = Clients::default();
        for number in 0..=MOST as u64 + 10 {
            let id = format!("c{number}");
            clients.arrive(&id, number, 0);
            clients.leave(&id, number, Left { at: number.cast_signed(), ..LEFT }, 0);
        }
        let known = clients.known();
        assert_eq!((known.clients.len(), known.away.len()), (MOST, MOST));
    }

    #[test]
    fn three_takeovers_in_ten_seconds_are_a_loop_told_once() {
        let clients = Clients::default();
        clients.arrive("c", 1, 0);
        let told = |times: &[i64]| times.iter().map(|at| clients.is_loop("c", *at)).collect::<Vec<_>>();
        assert_eq!(told(&[0, 5000, 10_000, 14_999]), [false, false, false, true]);
        assert_eq!(told(&[15_000, 20_000, 24_998, 24_999]), [false, false, false, true]);
    }
}
