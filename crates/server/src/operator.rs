//! The operator's own key: made anew at each start, kept in memory and in a file of the data directory that only its owner may
//! read. With it the commands reach a server that takes no key at its word. Whoever may read the directory has the key of all
//! secrets too, so it gives nothing away.

use std::fmt;
use std::fs;
use std::path::Path;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::data_dir::{DataDirError, Secrecy, write_file};
use crate::server::entropy;

const FILE: &str = "operator.json";

/// A key that is good for as long as this server runs, in every account: each has an id and a secret of its own, made of this
/// one, so that what is signed for one account is good in no other.
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

    /// The account that an access key's id names, if the key is of this operator.
    pub(crate) fn account_of<'a>(&self, access_key_id: &'a str) -> Option<&'a str> {
        access_key_id.strip_prefix(&self.access_key_id).filter(|account| is_account(account))
    }

    /// The id with which it acts in an account.
    pub(crate) fn id(&self, account: &str) -> String {
        format!("{}{account}", self.access_key_id)
    }

    /// What it signs with there.
    pub(crate) fn secret(&self, account: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret_access_key.as_bytes());
        STANDARD.encode(hmac::sign(&key, account.as_bytes()))
    }
}

/// Whether this is the number of an account.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
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
        assert!(!format!("{made:?}").contains(&made.secret_access_key));
        assert_ne!(Operator::make(home.path()).unwrap().secret("000000000000"), made.secret("000000000000"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let bits = fs::metadata(home.path().join(FILE)).unwrap().permissions().mode();
            assert_eq!(bits & 0o777, 0o600);
        }
        Operator::withdraw(home.path());
        assert_eq!(Operator::read(home.path()), None);
    }

    #[test]
    fn each_account_has_a_key_of_its_own() {
        let home = tempfile::tempdir().unwrap();
        let operator = Operator::make(home.path()).unwrap();
        let id = operator.id("111111111111");
        assert_eq!(operator.account_of(&id), Some("111111111111"));
        for other in ["", "AKIA", &operator.access_key_id, &id[1..], &format!("{id}1"), &operator.id("root")] {
            assert_eq!(operator.account_of(other), None, "{other}");
        }
        assert_ne!(operator.secret("111111111111"), operator.secret("222222222222"));
    }
}
