//! The watch over the files of the server's certificate and its key: when they change, handshakes from then on show what they hold now, and
//! whoever is connected stays so. What cannot be shown is told, and what was shown before stays.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{MissedTickBehavior, interval};

use crate::ca::IdentityFiles;
use crate::server::Server;

/// How often the files are looked at. They must look the same twice, so that one who replaces them one after the other
/// has this long for it.
const LOOK: Duration = Duration::from_secs(1);

/// Time of change and length of both files; none for one that is not there.
pub(crate) type Stamp = [Option<(SystemTime, u64)>; 2];

/// The files as they were when they were last read.
pub(crate) struct Watch {
    files: IdentityFiles,
    read: Stamp,
    seen: Stamp,
}

impl Watch {
    /// Begins with the files as they are, which have just been read.
    pub(crate) fn new(files: IdentityFiles) -> Self {
        let stamp = files.stamp();
        Self { files, read: stamp, seen: stamp }
    }

    /// Looks until the server stops.
    pub(crate) async fn run(mut self, server: Arc<Server>) {
        let mut stopping = server.stopping.clone();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                _ = stopping.wait_for(|stops| *stops) => return,
            }
            if self.has_changed() {
                self.present(&server);
            }
        }
    }

    /// Whether the files have changed since they were read, and not since the last look.
    fn has_changed(&mut self) -> bool {
        let before = std::mem::replace(&mut self.seen, self.files.stamp());
        let changed = self.seen != self.read && self.seen == before;
        if changed {
            self.read = self.seen;
        }
        changed
    }

    fn present(&self, server: &Server) {
        let presented = match self.files.identity() {
            Ok(identity) => server.doors.present(&identity).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match presented {
            Ok(()) => {
                let file = self.files.certificate.display();
                tracing::info!("new handshakes show the certificate that {file} holds now");
            }
            Err(reason) => {
                tracing::error!(reason, "failed to take up the server's new certificate; the one before stays");
            }
        }
    }
}

impl IdentityFiles {
    /// How they look.
    pub(crate) fn stamp(&self) -> Stamp {
        [&self.certificate, &self.key].map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_once_it_rests() {
        let home = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(home.path().join(name), text).unwrap();
        write("server.pem", "1");
        write("server.key", "1");
        let mut watch = Watch::new(IdentityFiles::of(home.path()));
        assert!(!watch.has_changed());
        write("server.pem", "12");
        assert!(!watch.has_changed());
        write("server.key", "12");
        assert!(!watch.has_changed());
        assert!(watch.has_changed());
        assert!(!watch.has_changed());
        fs::remove_file(home.path().join("server.key")).unwrap();
        assert!(!watch.has_changed());
        assert!(watch.has_changed());
    }
}
