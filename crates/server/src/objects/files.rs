//! The directory of files in which long bodies lie. A file is written once, is on disk before anybody hears of it, and is removed
//! when it belongs to nobody and nobody reads it. Whose it is, is unknown here: after a crash the house is asked.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use wire::Refusal;
use wire::s3::refused;

/// Bytes of the disk that files leave free, so that the store can go on writing.
const RESERVE: u64 = 256 * 1024 * 1024;

/// How many bytes are written between two looks at the room that is left.
const LOOK: u64 = 16 * 1024 * 1024;

/// The directory.
pub(crate) struct Files {
    directory: PathBuf,
    /// Whether bytes must be on disk before they count as written.
    is_durable: bool,
    /// Files that somebody reads.
    uses: Mutex<HashMap<String, Use>>,
    runtime: Handle,
}

#[derive(Default)]
struct Use {
    readers: usize,
    /// Whether it goes with its last reader.
    is_over: bool,
}

impl Files {
    /// Opens the directory and removes what belongs to nobody: what a crash left between a file and its commit.
    pub(crate) fn open(
        data: &Path,
        is_durable: bool,
        keeps: impl Fn(&str) -> Result<bool, store::Fault>,
    ) -> Result<Arc<Self>, String> {
        let directory = data.join("objects");
        let failed = |error: io::Error| format!("open {}: {error}", directory.display());
        fs::create_dir_all(&directory).map_err(failed)?;
        let mut removed = 0_usize;
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_kept = match entry.file_name().to_str() {
                Some(name) => keeps(name).map_err(|fault| fault.to_string())?,
                None => true,
            };
            if !is_kept {
                fs::remove_file(entry.path()).map_err(failed)?;
                removed += 1;
            }
        }
        if removed > 0 {
            tracing::info!(removed, "removed files of objects that were never written");
        }
        Ok(Arc::new(Self { directory, is_durable, uses: Mutex::default(), runtime: Handle::current() }))
    }

    /// Refuses what would not fit on the disk.
    pub(crate) fn check_room(&self, bytes: u64) -> Result<(), Refusal> {
        match self.room() {
            Some(room) if room < bytes.saturating_add(RESERVE) => Err(full()),
            _ => Ok(()),
        }
    }

    /// Bytes that may still be written, where the system says.
    #[cfg(unix)]
    fn room(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.directory).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    #[cfg(not(unix))]
    fn room(&self) -> Option<u64> {
        let _ = &self.directory;
        None
    }

    /// Begins a file.
    pub(crate) fn create(self: &Arc<Self>, name: String) -> Result<Growing, Refusal> {
        self.check_room(0)?;
        let opened = OpenOptions::new().write(true).create_new(true).open(self.directory.join(&name));
        let file = opened.map_err(|error| refusal(&error))?;
        Ok(Growing { fresh: Fresh { name: Some(name), files: Arc::clone(self) }, file, written: 0 })
    }

    /// Keeps files from being removed, if they are all still there.
    pub(crate) fn hold<'n>(self: &Arc<Self>, names: impl Iterator<Item = &'n str> + Clone) -> Option<Held> {
        let mut uses = self.uses();
        if names.clone().any(|name| uses.get(name).is_some_and(|using| using.is_over)) {
            return None;
        }
        for name in names.clone() {
            uses.entry(name.to_owned()).or_default().readers += 1;
        }
        drop(uses);
        let held = Held { files: Arc::clone(self), names: names.map(str::to_owned).collect() };
        let is_there = |name: &String| self.directory.join(name).exists();
        held.names.iter().all(is_there).then_some(held)
    }

    /// Removes files that belong to nobody any more, each as soon as nobody reads it.
    pub(crate) fn remove(self: &Arc<Self>, names: Vec<String>) {
        if names.is_empty() {
            return;
        }
        let mut now = Vec::new();
        let mut uses = self.uses();
        for name in names {
            match uses.get_mut(&name) {
                Some(using) => using.is_over = true,
                None => now.push(name),
            }
        }
        drop(uses);
        self.unlink(now);
    }

    fn unlink(self: &Arc<Self>, names: Vec<String>) {
        if names.is_empty() {
            return;
        }
        let files = Arc::clone(self);
        // Removing a long file takes its time, and whoever asks has something else to do. What is not removed because the
        // server stops is removed when it starts.
        drop(self.runtime.spawn_blocking(move || {
            for name in names {
                if let Err(error) = fs::remove_file(files.directory.join(&name)) {
                    tracing::warn!(%error, name, "failed to remove the file of an object");
                }
            }
        }));
    }

    fn uses(&self) -> MutexGuard<'_, HashMap<String, Use>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Files that stay while this does.
pub(crate) struct Held {
    files: Arc<Files>,
    names: Vec<String>,
}

impl Held {
    /// Opens one of them.
    pub(crate) fn open(&self, name: &str) -> io::Result<File> {
        File::open(self.files.directory.join(name))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut over = Vec::new();
        let mut uses = self.files.uses();
        for name in &self.names {
            let Some(using) = uses.get_mut(name) else { continue };
            using.readers -= 1;
            if using.readers == 0 && uses.remove(name).is_some_and(|using| using.is_over) {
                over.push(name.clone());
            }
        }
        drop(uses);
        self.files.unlink(over);
    }
}

/// A file that nobody knows of yet: it is removed with this, unless it is kept.
pub(crate) struct Fresh {
    name: Option<String>,
    files: Arc<Files>,
}

impl Fresh {
    /// Lets the file stay.
    pub(crate) fn keep(mut self) {
        self.name = None;
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.files.unlink(self.name.take().into_iter().collect());
    }
}

/// A file that is being written.
pub(crate) struct Growing {
    fresh: Fresh,
    file: File,
    written: u64,
}

impl Growing {
    /// Writes more of it. Takes its time.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let before = self.written / LOOK;
        self.written += bytes.len() as u64;
        if self.written / LOOK > before {
            self.fresh.files.check_room(0)?;
        }
        self.file.write_all(bytes).map_err(|error| refusal(&error))
    }

    /// Ends it: now it is on disk, and so is its name. Takes its time.
    pub(crate) fn finish(self) -> Result<Fresh, Refusal> {
        let files = &self.fresh.files;
        if files.is_durable {
            let synced = self.file.sync_all().and_then(|()| File::open(&files.directory)?.sync_all());
            synced.map_err(|error| refusal(&error))?;
        }
        Ok(self.fresh)
    }
}

fn full() -> Refusal {
    refused("StorageFull", "The disk has no room for this object.")
}

/// A full disk is the caller's to know; anything else is ours.
fn refusal(error: &io::Error) -> Refusal {
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge) {
        return full();
    }
    tracing::error!(%error, "failed to write the file of an object");
    Refusal::internal_failure("An internal failure occurred; the server's log says more.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(home: &Path) -> Vec<String> {
        let entries = fs::read_dir(home.join("objects")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn open(home: &Path) -> Arc<Files> {
        Files::open(home, true, |name| Ok(name.starts_with("kept"))).unwrap()
    }

    fn write(files: &Arc<Files>, name: &str) -> Fresh {
        let mut growing = files.create(name.to_owned()).unwrap();
        growing.write(b"bytes").unwrap();
        growing.finish().unwrap()
    }

    /// A runtime whose end waits for what was handed to it.
    fn in_runtime(run: impl FnOnce()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { run() });
        drop(runtime);
    }

    #[test]
    fn a_file_stays_only_if_it_is_kept() {
        let home = tempfile::tempdir().unwrap();
        in_runtime(|| {
            let files = open(home.path());
            write(&files, "kept").keep();
            drop(write(&files, "dropped"));
            drop(files.create("begun".to_owned()).unwrap());
        });
        assert_eq!(names(home.path()), ["kept"]);
    }

    #[test]
    fn what_belongs_to_nobody_goes_at_the_next_start() {
        let home = tempfile::tempdir().unwrap();
        in_runtime(|| {
            let files = open(home.path());
            write(&files, "kept-1").keep();
            write(&files, "lost").keep();
        });
        assert_eq!(names(home.path()), ["kept-1", "lost"]);
        in_runtime(|| drop(open(home.path())));
        assert_eq!(names(home.path()), ["kept-1"]);
    }

    #[test]
    fn a_file_that_is_read_goes_with_its_last_reader() {
        let home = tempfile::tempdir().unwrap();
        in_runtime(|| {
            let files = open(home.path());
            for name in ["read", "other"] {
                write(&files, name).keep();
            }
            let one = files.hold(["read"].into_iter()).unwrap();
            let two = files.hold(["read", "other"].into_iter()).unwrap();
            files.remove(vec!["read".to_owned()]);
            assert!(files.hold(["read"].into_iter()).is_none());
            drop(one);
            assert!(two.open("read").is_ok());
            drop(two);
        });
        assert_eq!(names(home.path()), ["other"]);
    }

    #[test]
    fn what_is_gone_is_not_held() {
        let home = tempfile::tempdir().unwrap();
        in_runtime(|| {
            let files = open(home.path());
            assert!(files.hold(["none"].into_iter()).is_none());
            assert!(files.uses().is_empty());
        });
    }

    #[test]
    fn more_than_there_is_room_for_is_refused() {
        let home = tempfile::tempdir().unwrap();
        in_runtime(|| {
            let files = open(home.path());
            assert!(files.check_room(1).is_ok());
            assert_eq!(files.check_room(u64::MAX).unwrap_err().error(), "StorageFull");
            let full = io::Error::from(io::ErrorKind::StorageFull);
            assert_eq!((refusal(&full).error(), refusal(&full).status(None)), ("StorageFull", 507));
        });
    }
}
