//! `ombra dev` and `ombra serve`: starts the server, says where it answers, and stops it when asked to.

use std::io;
use std::time::Instant;

use super::{Failure, note};
use crate::banner::{banner, quote};
use crate::log;
use crate::serve;
use crate::settings::Settings;

/// Runs until interrupted or terminated.
pub(super) async fn run(settings: &Settings) -> Result<(), Failure> {
    log::start("info");
    let began = Instant::now();
    let mut running = serve::start(settings).await.map_err(|error| Failure::Failed(error.to_string()))?;
    note(format_args!("{}", banner(&running.endpoints, &settings.data, settings.quotas, began.elapsed())));
    if running.endpoints.verifies && !running.has_keys() {
        let data = quote(&settings.data.to_string_lossy());
        note(format_args!(
            "  There is no access key yet, and nobody gets in without one: ombra key create --data {data}"
        ));
    }
    let stopped = tokio::select! {
        signal = stop_signal() => signal.map_err(|error| format!("failed to wait for signals: {error}")),
        () = running.broken() => {
            Err("failed to write to the store, so ombra stopped: look at the log, then at the disk".to_owned())
        }
    };
    running.stop().await;
    stopped.map_err(Failure::Failed)
}

#[cfg(unix)]
async fn stop_signal() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn stop_signal() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}
