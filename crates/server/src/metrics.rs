//! What is counted, in Prometheus's text format. Counting is one relaxed addition, so that it can be done anywhere.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use cloud::Kind;

/// Every counter of the server.
#[derive(Default)]
pub(crate) struct Metrics {
    /// HTTP requests answered, by class of status.
    pub(crate) requests: [AtomicU64; 6],
    /// MQTT packets taken in.
    pub(crate) packets: AtomicU64,
    /// Connections that were let in.
    connected: AtomicU64,
    /// Refusals of any kind.
    refusals: AtomicU64,
    /// What AWS's quotas would have refused.
    quota: AtomicU64,
    /// Internal failures.
    faults: AtomicU64,
}

impl Metrics {
    /// Counts an event.
    pub(crate) fn count(&self, kind: &Kind) {
        let counter = match kind {
            Kind::Refusal(_) => &self.refusals,
            Kind::Connected { .. } => &self.connected,
            Kind::Quota { .. } => &self.quota,
            Kind::Fault { .. } => &self.faults,
            Kind::Disconnected { .. } | Kind::Published { .. } => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an answered HTTP request.
    pub(crate) fn answered(&self, status: u16) {
        if let Some(counter) = self.requests.get(usize::from(status / 100)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The whole page.
    pub(crate) fn page(&self, connections: usize) -> String {
        let mut page = String::new();
        let mut write = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
            let _ = writeln!(page, "# HELP ombra_{name} {help}\n# TYPE ombra_{name} {kind}");
            for (labels, value) in samples {
                let _ = writeln!(page, "ombra_{name}{labels} {value}");
            }
        };
        let one = |counter: &AtomicU64| [(String::new(), counter.load(Ordering::Relaxed))];
        write("connections", "gauge", "MQTT connections that are open.", &[(String::new(), connections as u64)]);
        write("connections_total", "counter", "MQTT connections that were let in.", &one(&self.connected));
        write("packets_received_total", "counter", "MQTT packets taken in.", &one(&self.packets));
        write("refusals_total", "counter", "Refusals: TLS, connect, publish, subscribe, HTTP.", &one(&self.refusals));
        write("quota_warnings_total", "counter", "What AWS would have refused for a quota.", &one(&self.quota));
        write("faults_total", "counter", "Internal failures.", &one(&self.faults));
        let statuses: Vec<(String, u64)> = (2..=5)
            .map(|class| (format!("{{status=\"{class}xx\"}}"), self.requests[class].load(Ordering::Relaxed)))
            .collect();
        write("http_requests_total", "counter", "HTTP requests answered, by class of status.", &statuses);
        page
    }
}
