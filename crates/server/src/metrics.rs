//! What is counted, in Prometheus's text format. Counting is one relaxed addition, so that it can be done anywhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use cloud::{Kind, Total};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Why a handshake came to nothing, in the order of its counters.
const NO_HANDSHAKE: [&str; 7] =
    ["timed_out", "no_certificate", "unknown_alpn", "invalid_certificate", "domain", "refused_by_client", "broken"];

/// Every counter of the server.
#[derive(Default)]
pub(crate) struct Metrics {
    /// HTTP requests answered, by class of status.
    pub(crate) requests: [AtomicU64; 6],
    /// MQTT packets taken in.
    packets: AtomicU64,
    /// Those of them that are messages.
    messages: AtomicU64,
    /// Bytes of MQTT that came in.
    bytes_in: AtomicU64,
    /// Bytes of MQTT that went out.
    bytes_out: AtomicU64,
    /// Sockets that are open, whatever is spoken on them.
    sockets: AtomicUsize,
    /// Sockets that were closed at once for want of room.
    turned_away: AtomicU64,
    /// Handshakes that came to nothing, by [`NO_HANDSHAKE`].
    no_handshake: [AtomicU64; NO_HANDSHAKE.len()],
    /// Connections that were let in.
    connected: AtomicU64,
    /// Connections that ended, by AWS's name of the reason; few names, and only ours.
    disconnected: Mutex<BTreeMap<&'static str, u64>>,
    /// Refusals of any kind.
    refusals: AtomicU64,
    /// What AWS's quotas would have refused.
    quota: AtomicU64,
    /// Lines of the platform's own logs that there was no room for.
    log_lines_lost: AtomicU64,
    rule_failures: AtomicU64,
    /// Internal failures.
    faults: AtomicU64,
}

/// The place of one socket among those that may be open; given back when dropped.
pub(crate) struct Seat(Arc<Metrics>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream of MQTT whose bytes are counted.
pub(crate) struct Counted<'a, S> {
    stream: S,
    metrics: &'a Metrics,
}

impl<'a, S> Counted<'a, S> {
    /// Counts from now on.
    pub(crate) fn new(stream: S, metrics: &'a Metrics) -> Self {
        Self { stream, metrics }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<'_, S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let count = buf.filled().len() - before;
        if count > 0 {
            this.metrics.bytes_in.fetch_add(count as u64, Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<'_, S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(count)) = written {
            this.metrics.bytes_out.fetch_add(count as u64, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl Metrics {
    /// A place for a socket, if fewer than this many are open.
    pub(crate) fn take_seat(self: &Arc<Self>, limit: usize) -> Option<Seat> {
        // Whoever has counted itself has a seat to give back, whether it may keep it or not.
        let seat = Seat(Arc::clone(self));
        if self.sockets.fetch_add(1, Ordering::Relaxed) < limit {
            return Some(seat);
        }
        self.turned_away.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// How many sockets found no place so far.
    pub(crate) fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    /// Counts a handshake that came to nothing.
    pub(crate) fn no_handshake(&self, kind: &str) {
        if let Some(index) = NO_HANDSHAKE.iter().position(|known| *known == kind) {
            self.no_handshake[index].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts the MQTT packets of a turn, and those of them that are messages.
    pub(crate) fn received(&self, packets: u64, messages: u64) {
        self.packets.fetch_add(packets, Ordering::Relaxed);
        if messages > 0 {
            self.messages.fetch_add(messages, Ordering::Relaxed);
        }
    }

    /// Counts an event.
    pub(crate) fn count(&self, kind: &Kind) {
        let counter = match kind {
            Kind::Refusal(_) => &self.refusals,
            Kind::Connected { .. } => &self.connected,
            Kind::Quota { .. } => &self.quota,
            Kind::RuleFailed { .. } => &self.rule_failures,
            Kind::Fault { .. } => &self.faults,
            Kind::LogsLost { lines } => {
                self.log_lines_lost.fetch_add(*lines, Ordering::Relaxed);
                return;
            }
            Kind::Disconnected { reason, .. } => {
                let mut reasons = self.disconnected.lock().unwrap_or_else(PoisonError::into_inner);
                *reasons.entry(reason).or_default() += 1;
                return;
            }
            Kind::TakeoverLoop { .. }
            | Kind::Published { .. }
            | Kind::PolicyWarning { .. }
            | Kind::LogFull { .. }
            | Kind::Alarm { .. }
            | Kind::EventDropped { .. } => return,
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
    pub(crate) fn page(&self, connections: usize, totals: &[Total]) -> String {
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
        let sockets = self.sockets.load(Ordering::Relaxed) as u64;
        write("sockets", "gauge", "Sockets that are open on any listener.", &[(String::new(), sockets)]);
        write(
            "sockets_turned_away_total",
            "counter",
            "Sockets closed at once for want of room.",
            &one(&self.turned_away),
        );
        let failures = NO_HANDSHAKE.iter().zip(&self.no_handshake);
        let failures: Vec<(String, u64)> = failures
            .map(|(reason, counter)| (format!("{{reason=\"{reason}\"}}"), counter.load(Ordering::Relaxed)))
            .collect();
        write("handshake_failures_total", "counter", "TLS handshakes that came to nothing, by reason.", &failures);
        let ended = self.disconnected.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ended: Vec<_> = ended.iter().map(|(reason, count)| (format!("{{reason=\"{reason}\"}}"), *count)).collect();
        write("disconnections_total", "counter", "MQTT connections that ended, by reason.", &ended);
        write("packets_received_total", "counter", "MQTT packets taken in.", &one(&self.packets));
        write("messages_received_total", "counter", "PUBLISH packets taken in.", &one(&self.messages));
        write("bytes_received_total", "counter", "Bytes of MQTT taken in, inside TLS.", &one(&self.bytes_in));
        write("bytes_sent_total", "counter", "Bytes of MQTT sent, inside TLS.", &one(&self.bytes_out));
        write("refusals_total", "counter", "Refusals: TLS, connect, publish, subscribe, HTTP.", &one(&self.refusals));
        write("quota_warnings_total", "counter", "What AWS would have refused for a quota.", &one(&self.quota));
        let lost = one(&self.log_lines_lost);
        write("log_lines_lost_total", "counter", "Lines of the platform's logs that there was no room for.", &lost);
        let failures = one(&self.rule_failures);
        write(
            "rule_failures_total",
            "counter",
            "Statements and actions of rules that failed and were told.",
            &failures,
        );
        write("faults_total", "counter", "Internal failures.", &one(&self.faults));
        let statuses: Vec<(String, u64)> = (2..=5)
            .map(|class| (format!("{{status=\"{class}xx\"}}"), self.requests[class].load(Ordering::Relaxed)))
            .collect();
        write("http_requests_total", "counter", "HTTP requests answered, by class of status.", &statuses);
        let totals: Vec<(String, u64)> = totals.iter().map(|total| (labels(total), total.value)).collect();
        write("iot_total", "counter", "What CloudWatch has in namespace AWS/IoT, by metric and dimensions.", &totals);
        page
    }
}

/// A total's labels: its metric, and its dimensions under names that Prometheus takes.
fn labels(total: &Total) -> String {
    let mut labels = format!("{{metric=\"{}\"", total.metric);
    for (name, value) in &total.dimensions {
        let name = match name.as_str() {
            "Protocol" => "protocol",
            "RuleName" => "rule",
            "ActionType" => "action",
            other => other,
        };
        let _ = write!(labels, ",{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    }
    labels + "}"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_bounded_and_given_back() {
        let metrics = Arc::new(Metrics::default());
        let (first, second) = (metrics.take_seat(2), metrics.take_seat(2));
        assert!(first.is_some() && second.is_some() && metrics.take_seat(2).is_none());
        assert_eq!(metrics.turned_away(), 1);
        drop(first);
        assert!(metrics.take_seat(2).is_some());
        assert!(metrics.page(0, &[]).contains("\nombra_sockets 1\n"), "{}", metrics.page(0, &[]));
    }

    #[test]
    fn a_failed_handshake_is_counted_by_its_reason() {
        let metrics = Metrics::default();
        metrics.no_handshake("no_certificate");
        assert!(metrics.page(0, &[]).contains("\nombra_handshake_failures_total{reason=\"no_certificate\"} 1\n"));
    }
}
