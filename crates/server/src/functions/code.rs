//! Packages, unpacked on disk once for each of them, and kept while somebody may run what is in them. Where they come from is
//! unknown here.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloud::{Entry, Package};
use tokio::sync::Mutex;

/// How long a package that nobody uses stays unpacked.
const UNUSED: Duration = Duration::from_hours(1);

/// The packages that are unpacked.
pub(super) struct Packages {
    directory: PathBuf,
    /// Held while one is unpacked, so that nobody does it twice.
    unpacked: Mutex<HashMap<String, (Arc<PathBuf>, Instant)>>,
}

impl Packages {
    /// Below this directory, in which there is nothing yet.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, unpacked: Mutex::default() }
    }

    /// Where the package of this SHA-256 is unpacked; it stays while the path is held.
    pub(super) async fn get(
        &self,
        sha256: &str,
        fetch: impl FnOnce() -> Result<Vec<u8>, String> + Send + 'static,
    ) -> Result<Arc<PathBuf>, String> {
        let mut unpacked = self.unpacked.lock().await;
        if let Some((path, used)) = unpacked.get_mut(sha256) {
            *used = Instant::now();
            return Ok(Arc::clone(path));
        }
        let path = self.directory.join(name(sha256));
        let to = path.clone();
        let work = tokio::task::spawn_blocking(move || unpack(&fetch()?, &to));
        work.await.map_err(|error| error.to_string())??;
        let path = Arc::new(path);
        unpacked.insert(sha256.to_owned(), (Arc::clone(&path), Instant::now()));
        Ok(path)
    }

    /// Removes what nobody uses any more.
    pub(super) async fn sweep(&self) {
        let mut unpacked = self.unpacked.lock().await;
        let unused = |(path, used): &(Arc<PathBuf>, Instant)| used.elapsed() > UNUSED && Arc::strong_count(path) == 1;
        let gone: Vec<_> = unpacked.extract_if(|_, known| unused(known)).map(|(_, (path, _))| path).collect();
        let removed = tokio::task::spawn_blocking(move || gone.iter().try_for_each(|path| fs::remove_dir_all(&**path)));
        if let Ok(Err(error)) = removed.await {
            tracing::warn!(%error, "an unpacked package could not be removed");
        }
    }
}

/// A directory's name for a package: its hash without slashes.
fn name(sha256: &str) -> String {
    sha256.replace('/', "_")
}

/// Unpacks into a directory that is there whole or not at all.
fn unpack(bytes: &[u8], to: &Path) -> Result<(), String> {
    let partly = to.with_extension("new");
    let failed = |error: io::Error| format!("failed to unpack the function's code: {error}");
    remove(&partly).map_err(failed)?;
    make_dir(&partly).map_err(failed)?;
    let mut package = Package::open(bytes)?;
    let mut links = Vec::new();
    for index in 0..package.len() {
        let (path, entry) = package.entry(index)?;
        let path = path.iter().fold(partly.clone(), |at, part| at.join(part));
        match entry {
            Entry::Directory => make_dir(&path).map_err(failed)?,
            Entry::File { content, is_executable } => write(&path, &content, is_executable).map_err(failed)?,
            Entry::Link(target) => links.push((path, target)),
        }
    }
    // Last, so that nothing is written by way of one.
    for (path, target) in links {
        link(&path, &target).map_err(failed)?;
    }
    remove(to).and_then(|()| fs::rename(&partly, to)).map_err(failed)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A directory that everybody may look into, as the function's user is nobody in particular.
fn make_dir(path: &Path) -> io::Result<()> {
    std::os::unix::fs::DirBuilderExt::mode(fs::DirBuilder::new().recursive(true), 0o755).create(path)
}

fn write(path: &Path, content: &[u8], is_executable: bool) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        make_dir(parent)?;
    }
    fs::write(path, content)?;
    let mode = if is_executable { 0o755 } else { 0o644 };
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

fn link(path: &Path, target: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        make_dir(parent)?;
    }
    std::os::unix::fs::symlink(target, path)
}
