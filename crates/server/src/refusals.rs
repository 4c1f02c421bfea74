//! The refusals of late, for who asks why: a few of each client, so that one that insists does not drive out what others
//! were refused. Forgotten when the server stops; what they mean is unknown here.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use cloud::{Event, Kind, Refused, Scope};

/// Clients that are remembered, bytes of all their refusals, and refusals of one client.
const CLIENTS: usize = 2000;
const BYTES: usize = 8 << 20;
const OF_ONE: usize = 8;

/// Refusals by whom they befell.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<Kept>);

/// Account, client id, principal.
type Whom = (String, String, String);

#[derive(Default)]
struct Kept {
    clients: HashMap<Whom, Client>,
    /// Who was refused when, so that the last is found and the first forgotten.
    order: BTreeMap<u64, Whom>,
    next: u64,
    bytes: usize,
}

#[derive(Default)]
struct Client {
    number: u64,
    /// The latest last, each of another kind.
    events: VecDeque<(Event, usize)>,
}

impl Refusals {
    /// Remembers an event if it is a refusal; `bytes` is how long it is in JSON.
    pub(crate) fn keep(&self, event: &Event, bytes: usize) {
        let Kind::Refusal(refused) = &event.kind else { return };
        let whom = (event.account.clone(), refused.client_id.clone(), refused.principal.clone());
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.add(whom, event, bytes);
        while kept.clients.len() > CLIENTS || kept.bytes > BYTES {
            let Some((_, oldest)) = kept.order.pop_first() else { break };
            let gone = kept.clients.remove(&oldest).map(|client| client.events).unwrap_or_default();
            kept.bytes -= gone.iter().map(|(_, bytes)| bytes).sum::<usize>();
        }
    }

    /// What was refused to a client of this scope, the latest first: to the one whose client id or principal this is, or to
    /// whoever was refused something last. Refusals of who is known to no scope belong to all.
    pub(crate) fn of(&self, scope: &Scope, client: Option<&str>) -> Vec<Event> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = |by: &dyn Fn(&Whom) -> bool| {
            let all = kept.order.values().rev().filter(|whom| by(whom)).filter_map(|whom| kept.clients.get(whom));
            let mut seen = all.map(|client| client.events.iter().rev().map(|(event, _)| event));
            seen.find_map(|events| {
                let events: Vec<Event> = events.filter(|event| is_of(event, scope)).cloned().collect();
                (!events.is_empty()).then_some(events)
            })
        };
        let events = match client {
            None => found(&|_| true),
            Some(client) => found(&|whom| whom.1 == client).or_else(|| found(&|whom| whom.2 == client)),
        };
        events.unwrap_or_default()
    }
}

fn is_of(event: &Event, scope: &Scope) -> bool {
    event.account.is_empty() || (event.account == *scope.account && event.region == *scope.region)
}

impl Kept {
    fn add(&mut self, whom: Whom, event: &Event, bytes: usize) {
        self.next += 1;
        let client = self.clients.entry(whom.clone()).or_default();
        self.order.remove(&client.number);
        client.number = self.next;
        self.order.insert(self.next, whom);
        let is_same = |(known, _): &(Event, usize)| what(known) == what(event);
        let same = client.events.iter().position(is_same);
        let out = same.or_else(|| (client.events.len() >= OF_ONE).then_some(0));
        if let Some((_, bytes)) = out.and_then(|at| client.events.remove(at)) {
            self.bytes -= bytes;
        }
        client.events.push_back((event.clone(), bytes));
        self.bytes += bytes;
    }
}

/// The kind of a refusal: the same asked again is remembered once.
fn what(event: &Event) -> Option<(&str, &str, &str)> {
    match &event.kind {
        Kind::Refusal(Refused { action, resource, decision, .. }) => Some((action, resource, decision)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(client_id: &str, resource: &str) -> Event {
        let refused = Refused {
            client_id: client_id.to_owned(),
            principal: format!("key of {client_id}"),
            resource: resource.to_owned(),
            ..Refused::default()
        };
        Event::new(0, &scope(), Kind::Refusal(refused))
    }

    fn scope() -> Scope {
        Scope::new("000000000000", "us-east-1")
    }

    fn resources(refusals: &Refusals, client: Option<&str>) -> Vec<String> {
        let resource = |event| match event {
            Event { kind: Kind::Refusal(refused), .. } => refused.resource,
            other => panic!("{other:?}"),
        };
        refusals.of(&scope(), client).into_iter().map(resource).collect()
    }

    #[test]
    fn the_last_of_a_client_is_found_by_its_name_or_its_principal() {
        let refusals = Refusals::default();
        for (client, resource) in [("lamp", "a"), ("fan", "b"), ("lamp", "c"), ("lamp", "a"), ("fan", "d")] {
            refusals.keep(&refusal(client, resource), 10);
        }
        assert_eq!(resources(&refusals, Some("lamp")), ["a", "c"], "the same again is one");
        assert_eq!(resources(&refusals, Some("key of lamp")), ["a", "c"]);
        assert_eq!(resources(&refusals, None), ["d", "b"]);
        assert!(resources(&refusals, Some("valve")).is_empty());
        assert!(refusals.of(&Scope::new("000000000001", "us-east-1"), None).is_empty());
    }

    #[test]
    fn a_client_that_insists_drives_nobody_out() {
        let refusals = Refusals::default();
        refusals.keep(&refusal("lamp", "a"), 1000);
        for n in 0..10_000 {
            refusals.keep(&refusal("noisy", &n.to_string()), 10_000);
        }
        assert_eq!(resources(&refusals, Some("lamp")), ["a"]);
        assert_eq!(resources(&refusals, Some("noisy")).len(), OF_ONE);
        for n in 0..CLIENTS {
            refusals.keep(&refusal(&format!("c{n}"), "x"), 10);
        }
        assert!(resources(&refusals, Some("lamp")).is_empty(), "the longest ago goes first");
        let kept = refusals.0.lock().unwrap();
        assert_eq!((kept.clients.len(), kept.order.len(), kept.bytes), (CLIENTS, CLIENTS, 10 * CLIENTS));
    }
}
