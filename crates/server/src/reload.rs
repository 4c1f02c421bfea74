//! The watch over certificates and their keys, the server's and the authority's: when the files change, what they hold is
//! taken up, and whoever is connected stays so. What cannot be used is told, and what was used before stays.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{MissedTickBehavior, interval};

use crate::ca::{CertificateAuthority, Current, IdentityFiles};
use crate::server::{Server, now_ms};

/// How often the files are looked at. They must look the same twice, so that one who replaces them one after the other
/// has this long for it.
const LOOK: Duration = Duration::from_secs(1);

/// Time of change and length of both files; none for one that is not there.
pub(crate) type Stamp = [Option<(SystemTime, u64)>; 2];

/// Takes up what the files hold; says what follows from it, or why it cannot be.
type TakeUp = Box<dyn Fn(&Server, &IdentityFiles) -> Result<&'static str, String> + Send + Sync>;

/// The files as they were when they were last read.
pub(crate) struct Watch {
    files: IdentityFiles,
    read: Stamp,
    seen: Stamp,
    take_up: TakeUp,
}

impl Watch {
    /// Over the server's certificate. Begins with the files as they are, which have just been read.
    pub(crate) fn over_server(files: IdentityFiles) -> Self {
        Self::new(files, Box::new(present))
    }

    /// Over the authority of a data directory. It certifies a server of these names, unless the operator brought that
    /// certificate.
    pub(crate) fn over_authority(dir: PathBuf, current: Arc<Current>, names: Option<Vec<String>>) -> Self {
        let files = IdentityFiles { certificate: dir.join("ca.pem"), key: dir.join("ca.key") };
        let take_up = move |server: &Server, _: &IdentityFiles| {
            let next = CertificateAuthority::reopen(&dir).map_err(|error| error.to_string())?;
            if let Some(names) = &names {
                let identity = next.server_identity(&dir, names, now_ms()).map_err(|error| error.to_string())?;
                server.doors.present(&identity).map_err(|error| error.to_string())?;
            }
            current.replace(next);
            server.doors.certify_anew();
            Ok("certificates are issued by the authority that lies there now")
        };
        Self::new(files, Box::new(take_up))
    }

    fn new(files: IdentityFiles, take_up: TakeUp) -> Self {
        let stamp = files.stamp();
        Self { files, read: stamp, seen: stamp, take_up }
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
                self.tell((self.take_up)(&server, &self.files));
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

    fn tell(&self, taken_up: Result<&'static str, String>) {
        let file = self.files.certificate.display();
        match taken_up {
            Ok(follows) => tracing::info!(%file, follows, "a new certificate was taken up"),
            Err(reason) => tracing::error!(reason, "failed to take up a new certificate; the one before stays"),
        }
    }
}

fn present(server: &Server, files: &IdentityFiles) -> Result<&'static str, String> {
    let identity = files.identity().map_err(|error| error.to_string())?;
    server.doors.present(&identity).map_err(|error| error.to_string())?;
    Ok("new handshakes show it")
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
        let mut watch = Watch::over_server(IdentityFiles::of(home.path()));
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
