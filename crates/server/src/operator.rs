//! The operator's own key: made anew at each start, kept in memory and in a file of the data directory that only its owner may
//! read. With it the commands reach a server that takes no key at its word. Whoever may read the directory has the key of all
//! secrets too, so it gives nothing away.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data_dir::{DataDirError, Secrecy, write_file};
use crate::server::entropy;

const FILE: &str = "operator.json";

/// An access key that is good for as long as this server runs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Operator {
    access_key_id: String,
    secret_access_key: String,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

impl Operator {
    /// A new key, written into the data directory.
    pub(crate) fn make(dir: &Path) -> Result<Self, DataDirError> {
        let [id, first, second] = [(); 3].map(|()| format!("{:032x}", entropy()));
        let made = Self { access_key_id: format!("OMBRA{id}"), secret_access_key: first + &second };
        let path = dir.join(FILE);
        let text = serde_json::to_vec(&made);
        let text =
            text.map_err(|error| DataDirError::Io { doing: "write", path: path.clone(), error: error.into() })?;
        write_file(&path, &text, Secrecy::Private)?;
        Ok(made)
    }

    /// The key of the server that runs with this directory, if this user may read it.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(dir.join(FILE)).ok()?).ok()
    }

    /// Takes the file back. Nothing is wrong if it is gone already.
    pub(crate) fn withdraw(dir: &Path) {
        let _ = fs::remove_file(dir.join(FILE));
    }

    /// Whether this id is its own.
    pub(crate) fn is_meant(&self, access_key_id: &str) -> bool {
        self.access_key_id == access_key_id
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.access_key_id
    }

    /// What it signs with.
    pub(crate) fn secret(&self) -> &str {
        &self.secret_access_key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_while_the_server_runs_and_is_its_owners_alone() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(Operator::read(home.path()), None);
        let made = Operator::make(home.path()).unwrap();
        assert_eq!(Operator::read(home.path()).as_ref(), Some(&made));
        assert!(!format!("{made:?}").contains(made.secret()));
        assert_ne!(Operator::make(home.path()).unwrap().secret(), made.secret());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let bits = fs::metadata(home.path().join(FILE)).unwrap().permissions().mode();
            assert_eq!(bits & 0o777, 0o600);
        }
        Operator::withdraw(home.path());
        assert_eq!(Operator::read(home.path()), None);
    }
}
