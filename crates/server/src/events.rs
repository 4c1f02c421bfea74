//! Who hears of what happens: the log, a ring of recent events for whoever asks later, and those who follow live.
//! What the events mean is the house's affair.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cloud::{Event, Kind, Witness};
use tokio::sync::broadcast;

use crate::metrics::Metrics;
use crate::refusals::Refusals;

/// Bytes of events that are remembered.
const REMEMBERED: usize = 8 << 20;

/// Events that a follower may lag behind before it misses some.
const LAG: usize = 4096;

/// An event as a line of JSON, with its kind for filters.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// `refusal`, `connected` …
    pub(crate) kind: &'static str,
    /// One JSON object and a line end.
    pub(crate) json: Bytes,
}

/// Hears of everything.
pub(crate) struct Events {
    recent: Mutex<Recent>,
    live: broadcast::Sender<Line>,
    metrics: Arc<Metrics>,
    /// What was refused last to whom, for who asks why.
    pub(crate) refusals: Refusals,
}

#[derive(Default)]
struct Recent {
    lines: VecDeque<Line>,
    bytes: usize,
}

impl Events {
    /// Nobody has said anything yet.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { recent: Mutex::default(), live: broadcast::channel(LAG).0, metrics, refusals: Refusals::default() }
    }

    /// What is remembered, oldest first.
    pub(crate) fn recent(&self, kind: Option<&str>) -> Vec<u8> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = recent.lines.iter().filter(|line| kind.is_none_or(|kind| kind == line.kind));
        wanted.flat_map(|line| line.json.iter().copied()).collect()
    }

    /// What happens from now on.
    pub(crate) fn follow(&self) -> broadcast::Receiver<Line> {
        self.live.subscribe()
    }
}

impl Witness for Events {
    fn event(&self, event: Event) {
        self.metrics.count(&event.kind);
        tell(&event);
        let Ok(mut json) = serde_json::to_vec(&event) else { return };
        json.push(b'\n');
        let line = Line { kind: name(&event.kind), json: json.into() };
        self.refusals.keep(&event, line.json.len());
        // Nobody listening is not a failure.
        let _ = self.live.send(line.clone());
        if !matches!(event.kind, Kind::Published { .. }) {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.bytes += line.json.len();
            recent.lines.push_back(line);
            while recent.bytes > REMEMBERED {
                let Some(oldest) = recent.lines.pop_front() else { break };
                recent.bytes -= oldest.json.len();
            }
        }
    }

    fn follows_publications(&self) -> bool {
        self.live.receiver_count() > 0
    }
}

fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Refusal(_) => "refusal",
        Kind::Connected { .. } => "connected",
        Kind::Disconnected { .. } => "disconnected",
        Kind::TakeoverLoop { .. } => "takeover_loop",
        Kind::Published { .. } => "published",
        Kind::RuleFailed { .. } => "rule_failed",
        Kind::PolicyWarning { .. } => "policy_warning",
        Kind::Quota { .. } => "quota",
        Kind::LogFull { .. } => "log_full",
        Kind::LogsLost { .. } => "logs_lost",
        Kind::Alarm { .. } => "alarm",
        Kind::EventDropped { .. } => "event_dropped",
        Kind::Fault { .. } => "fault",
    }
}

/// One line of the log for each event but publications, which are too many.
fn tell(event: &Event) {
    let account = event.account.as_str();
    match &event.kind {
        Kind::Refusal(it) => tracing::warn!(
            kind = "refusal",
            account,
            client_id = it.client_id,
            principal = it.principal,
            action = it.action,
            resource = it.resource,
            decision = it.decision,
            statement = it.statement,
            reason = it.reason,
            peer = it.peer,
            "refused"
        ),
        Kind::Connected { client_id, principal, peer, protocol } => {
            tracing::info!(kind = "connected", account, client_id, principal, peer, protocol, "connected");
        }
        Kind::Disconnected { client_id, principal, reason, detail } => {
            tracing::info!(kind = "disconnected", account, client_id, principal, reason, detail, "disconnected");
        }
        Kind::TakeoverLoop { client_id, rivals: [old, new] } => {
            let (old, old_principal, new, new_principal) = (&old.peer, &old.principal, &new.peer, &new.principal);
            let text = "two devices fight for one client id";
            tracing::warn!(
                kind = "takeover_loop",
                account,
                client_id,
                old,
                old_principal,
                new,
                new_principal,
                "{text}"
            );
        }
        Kind::RuleFailed { rule, topic, action, reason } => {
            tracing::warn!(kind = "rule_failed", account, rule, topic, action, reason, "a rule came to nothing");
        }
        Kind::PolicyWarning { policy, version, statement, code, subject, message } => {
            tracing::warn!(kind = "policy_warning", account, policy, version, statement, code, subject, "{message}");
        }
        Kind::Quota { client_id, limit } => {
            tracing::warn!(kind = "quota", account, client_id, limit, "AWS would have refused this");
        }
        Kind::LogFull { group, bytes } => {
            tracing::warn!(kind = "log_full", account, group, bytes, "a log group is full; its oldest events go");
        }
        Kind::Alarm { name, state, reason } => {
            tracing::warn!(kind = "alarm", account, name, state, reason, "an alarm has changed its state");
        }
        Kind::LogsLost { lines } => {
            tracing::warn!(kind = "logs_lost", lines, "lines of the platform's logs were lost: too many at once");
        }
        Kind::EventDropped { function, request_id, why } => {
            tracing::error!(kind = "event_dropped", account, function, request_id, why, "an event is given up");
        }
        Kind::Fault { context } => tracing::error!(kind = "fault", context, "internal failure"),
        Kind::Published { .. } => {}
    }
}
