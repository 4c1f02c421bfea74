//! The key with which the house seals secrets: made on the first start, and kept in the data directory beside the store, so
//! that a copy of the store alone gives none of them away. What is sealed with it is unknown here.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use cloud::{KEY_BYTES, Vault};

use crate::data_dir::{DataDirError, Secrecy, write_file};

const KEY: &str = "vault.key";

/// Why there is no vault, with the way out.
#[derive(Debug)]
pub(crate) enum VaultError {
    /// The file cannot be read or written.
    Data(DataDirError),
    /// The file is not a key.
    NotAKey(PathBuf),
    /// The system gave no randomness to make one.
    NotMade,
}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(error) => error.fmt(f),
            Self::NotAKey(path) => {
                let path = path.display();
                write!(
                    f,
                    "{path} is not a key of {KEY_BYTES} bytes: restore it, or remove it and lose the secrets sealed with it"
                )
            }
            Self::NotMade => f.write_str("failed to make a key: the system gave no random bytes"),
        }
    }
}

/// The vault of a data directory.
pub(crate) fn open(dir: &Path) -> Result<Vault, VaultError> {
    let path = dir.join(KEY);
    let key = match fs::read(&path) {
        Ok(bytes) => <[u8; KEY_BYTES]>::try_from(bytes).map_err(|_| VaultError::NotAKey(path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path)?,
        Err(error) => return Err(VaultError::Data(DataDirError::Io { doing: "read", path, error })),
    };
    Vault::new(&key).ok_or(VaultError::NotMade)
}

fn make(path: &Path) -> Result<[u8; KEY_BYTES], VaultError> {
    let mut key = [0; KEY_BYTES];
    rand::fill(&mut key).map_err(|_| VaultError::NotMade)?;
    write_file(path, &key, Secrecy::Private).map_err(VaultError::Data)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_its_owners_alone() {
        let home = tempfile::tempdir().unwrap();
        open(home.path()).unwrap();
        let path = home.path().join(KEY);
        let made = fs::read(&path).unwrap();
        assert_eq!(made.len(), KEY_BYTES);
        open(home.path()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), made);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn what_is_no_key_is_named_and_left_alone() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(KEY), "short").unwrap();
        let error = open(home.path()).unwrap_err().to_string();
        assert!(error.contains("vault.key is not a key of 32 bytes: restore it"), "{error}");
        assert_eq!(fs::read(home.path().join(KEY)).unwrap(), b"short");
    }
}
