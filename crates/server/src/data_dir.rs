//! The data directory: who may use it, what lies in it, and how a file is written into it without ever being
//! half there. It is also how the client commands find a running ombra: `endpoints.json` names its addresses.
//! It knows nothing of what the store keeps below it.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::operator::Operator;

const LOCK: &str = "lock";
const ENDPOINTS: &str = "endpoints.json";

/// What an ombra has in its directory, and what its operator may put there before it has ever run.
const OURS: [&str; 12] = [
    LOCK,
    ENDPOINTS,
    "store",
    "ca.pem",
    "ca.key",
    "server.pem",
    "server.key",
    "vault.key",
    "domains",
    "runtimes",
    "functions",
    "aws",
];

/// The data directory of one running ombra; as long as this lives no other ombra can open it.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Where a running ombra answers, as `endpoints.json` says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoints {
    /// The HTTP API without TLS.
    pub(crate) http: SocketAddr,
    /// MQTT over TLS, client certificate mandatory.
    pub(crate) mqtts: SocketAddr,
    /// The TLS port that chooses the protocol by ALPN.
    pub(crate) tls: SocketAddr,
    /// MQTT without TLS for development, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mqtt_plain: Option<SocketAddr>,
    /// The IoT policy of whoever comes in there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mqtt_plain_policy: Option<String>,
    /// The process that serves them.
    pub(crate) pid: u32,
    /// The region that `ombra env` tells clients to use.
    pub(crate) region: String,
    /// The account behind access keys that do not name one.
    pub(crate) account: String,
    /// Whether it takes no key at its word.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) verifies: bool,
    /// The key of the commands, for whoever may read it.
    #[serde(skip)]
    pub(crate) operator: Option<Operator>,
}

/// Why the data directory cannot be used, with the way out.
#[derive(Debug)]
pub(crate) enum DataDirError {
    /// Another ombra holds the lock.
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other process, when it said so.
        pid: Option<u32>,
    },
    /// It holds other things, of which this is one, and nothing of an ombra's.
    Foreign(PathBuf, String),
    /// The operating system refused.
    Io {
        /// What was being done, completing "failed to …".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        error: io::Error,
    },
    /// There is no `endpoints.json`: nothing runs here.
    NotRunning(PathBuf),
    /// `endpoints.json` is not what ombra writes.
    NotEndpoints(PathBuf, serde_json::Error),
}

impl fmt::Display for DataDirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { path, pid } => {
                let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
                let path = path.display();
                write!(f, "another ombra{pid} is using {path}: stop it or pass --data another")
            }
            Self::Foreign(path, found) => {
                let path = path.display();
                write!(
                    f,
                    "{path} is not the data directory of an ombra (there is {found}): pass --data with one that is empty or not there yet"
                )
            }
            Self::Io { doing, path, error } if error.kind() == io::ErrorKind::PermissionDenied => {
                let path = path.display();
                write!(f, "failed to {doing} {path}: {error}; make it writable for this user or pass --data another")
            }
            Self::Io { doing, path, error } => write!(f, "failed to {doing} {}: {error}", path.display()),
            Self::NotRunning(path) => {
                let path = path.display();
                write!(f, "ombra is not running here: start it with `ombra --data {path}`, or name its directory")
            }
            Self::NotEndpoints(path, error) => {
                let path = path.display();
                write!(f, "failed to read {path}: {error}; remove it and start ombra again")
            }
        }
    }
}

impl std::error::Error for DataDirError {}

impl DataDir {
    /// Makes the directory if need be and locks it for this process.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        make_dir(path)?;
        examine(path)?;
        let lock_path = path.join(LOCK);
        let failed = |error| DataDirError::Io { doing: "open", path: lock_path.clone(), error };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut lock = options.open(&lock_path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirError::InUse { path: path.to_owned(), pid: read_pid(&mut lock) });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let pid = std::process::id().to_string();
        lock.set_len(0).and_then(|()| lock.write_all(pid.as_bytes())).map_err(failed)?;
        // What a killed ombra left behind would send client commands to a closed port.
        let _ = fs::remove_file(path.join(ENDPOINTS));
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Tells the client commands where this ombra answers.
    pub(crate) fn publish(&self, endpoints: &Endpoints) -> Result<(), DataDirError> {
        let path = self.path.join(ENDPOINTS);
        let mut text = serde_json::to_vec(endpoints).map_err(|error| DataDirError::Io {
            doing: "write",
            path: path.clone(),
            error: error.into(),
        })?;
        text.push(b'\n');
        write_file(&path, &text, Secrecy::Public)
    }

    /// Takes the announcement back. Nothing is wrong if it is gone already.
    pub(crate) fn withdraw(&self) {
        Operator::withdraw(&self.path);
        let _ = fs::remove_file(self.path.join(ENDPOINTS));
    }
}

impl Endpoints {
    /// Finds the ombra that runs with this data directory.
    pub(crate) fn of(data: &Path) -> Result<Self, DataDirError> {
        let path = data.join(ENDPOINTS);
        match fs::read(&path) {
            Ok(text) => {
                let read: Self =
                    serde_json::from_slice(&text).map_err(|error| DataDirError::NotEndpoints(path, error))?;
                Ok(Self { operator: Operator::read(data), ..read })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(DataDirError::NotRunning(data.to_owned())),
            Err(error) => Err(DataDirError::Io { doing: "read", path, error }),
        }
    }
}

#[cfg(test)]
impl Endpoints {
    /// Addresses at which nothing answers, for tests of what is made of them.
    pub(crate) fn example() -> Self {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (region, account) = ("us-east-1".to_owned(), "000000000000".to_owned());
        Self {
            http: address(4583),
            mqtts: address(8883),
            tls: address(8443),
            mqtt_plain: None,
            mqtt_plain_policy: None,
            pid: 7,
            region,
            account,
            verifies: false,
            operator: None,
        }
    }
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrecy {
    /// Anyone the umask lets.
    Public,
    /// Its owner only: mode 0600.
    Private,
}

/// Makes a directory and those above it.
pub(crate) fn make_dir(path: &Path) -> Result<(), DataDirError> {
    fs::create_dir_all(path).map_err(|error| DataDirError::Io {
        doing: "make the directory",
        path: path.to_owned(),
        error,
    })
}

/// Refuses a directory that was named by mistake, so that no keys lie among other things.
fn examine(path: &Path) -> Result<(), DataDirError> {
    let failed = |error| DataDirError::Io { doing: "read the directory", path: path.to_owned(), error };
    let mut other = None;
    for entry in fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if OURS.contains(&&*name) {
            return Ok(());
        }
        // A volume of its own has these from the start.
        if !name.starts_with('.') && name != "lost+found" {
            other = Some(name);
        }
    }
    other.map_or(Ok(()), |other| Err(DataDirError::Foreign(path.to_owned(), other)))
}

/// Writes a whole file: whoever reads it sees the old content or the new, also after a crash in between.
pub(crate) fn write_file(path: &Path, content: &[u8], secrecy: Secrecy) -> Result<(), DataDirError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let write = || {
        // A leftover of a crash may have the wrong mode, which opening would keep.
        let _ = fs::remove_file(&temporary);
        let mut file = create(&temporary, secrecy)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| DataDirError::Io { doing: "write", path: path.to_owned(), error })
}

fn create(path: &Path, secrecy: Secrecy) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if secrecy == Secrecy::Private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = secrecy;
    options.open(path)
}

fn read_pid(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_ombra_is_told_which_process_holds_the_directory() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("deep/data");
        let first = DataDir::open(&path).unwrap();
        let error = DataDir::open(&path).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(error.contains(&format!("another ombra (pid {pid}) is using")), "{error}");
        assert!(error.contains("pass --data another"), "{error}");
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn published_endpoints_are_found_until_they_are_withdrawn() {
        let home = tempfile::tempdir().unwrap();
        let data = DataDir::open(home.path()).unwrap();
        let endpoints = Endpoints { tls: "[::1]:8443".parse().unwrap(), ..Endpoints::example() };
        data.publish(&endpoints).unwrap();
        assert_eq!(Endpoints::of(home.path()).unwrap(), endpoints);
        let text = fs::read_to_string(home.path().join(ENDPOINTS)).unwrap();
        assert_eq!(
            text.trim(),
            r#"{"http":"127.0.0.1:4583","mqtts":"127.0.0.1:8883","tls":"[::1]:8443","pid":7,"region":"us-east-1","account":"000000000000"}"#
        );
        let (address, policy) = ("127.0.0.1:1883".parse().unwrap(), "bench".to_owned());
        let plain = Endpoints { mqtt_plain: Some(address), mqtt_plain_policy: Some(policy), ..endpoints };
        data.publish(&plain).unwrap();
        assert_eq!(Endpoints::of(home.path()).unwrap(), plain);
        data.withdraw();
        let error = Endpoints::of(home.path()).unwrap_err();
        assert!(matches!(error, DataDirError::NotRunning(_)), "{error}");
        assert!(error.to_string().contains("start it with `ombra --data "), "{error}");
    }

    #[test]
    fn what_a_killed_ombra_published_is_gone_after_the_next_start() {
        let home = tempfile::tempdir().unwrap();
        DataDir::open(home.path()).unwrap().publish(&Endpoints::example()).unwrap();
        let _again = DataDir::open(home.path()).unwrap();
        assert!(Endpoints::of(home.path()).is_err());
    }

    #[test]
    fn a_directory_with_other_things_in_it_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        for name in [".profile", "lost+found"] {
            fs::write(home.path().join(name), "").unwrap();
        }
        fs::write(home.path().join("letter.txt"), "").unwrap();
        let error = DataDir::open(home.path()).unwrap_err().to_string();
        assert!(error.contains("there is letter.txt") && error.contains("pass --data"), "{error}");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 3, "nothing was written");
        fs::remove_file(home.path().join("letter.txt")).unwrap();
        DataDir::open(home.path()).unwrap();
        fs::write(home.path().join("letter.txt"), "").unwrap();
        DataDir::open(home.path()).unwrap();
    }

    #[test]
    fn an_operator_may_put_keys_down_before_the_first_start() {
        let home = tempfile::tempdir().unwrap();
        for name in ["letter.txt", "ca.key"] {
            fs::write(home.path().join(name), "").unwrap();
        }
        DataDir::open(home.path()).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        let error = DataDir::open(&file.join("data")).unwrap_err().to_string();
        assert!(error.starts_with("failed to make the directory") && error.contains("file/data"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_private_file_is_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        fs::write(home.path().join("key.new"), "leftover").unwrap();
        write_file(&path, b"secret", Secrecy::Private).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&path).unwrap(), b"secret");
    }
}
