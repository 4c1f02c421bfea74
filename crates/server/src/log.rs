//! The log: for a person on a terminal, one JSON object per line elsewhere, always on standard error, so that
//! standard output stays what a command was asked for.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Starts logging, `OMBRA_LOG` or else `default` deciding what is told.
pub(crate) fn start(default: &str) {
    let asked = std::env::var("OMBRA_LOG").ok().filter(|asked| !asked.is_empty());
    let asked = asked.as_deref().unwrap_or(default);
    let (filter, complaint) = match EnvFilter::try_new(asked) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(default), Some(error)),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start, as in tests, leaves the first in place.
    let _ = if std::io::stderr().is_terminal() {
        log.with_target(false).try_init()
    } else {
        log.json().flatten_event(true).with_ansi(false).try_init()
    };
    if let Some(error) = complaint {
        tracing::warn!(%error, "OMBRA_LOG {asked} is not a log filter; using {default}");
    }
}
