//! The keys with which requests to services outside are signed: those of AWS's usual variables, or of a file in the form of
//! `~/.aws/credentials`, which is read again so that it can be renewed. Secrets are shown to nobody.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A credentials file that is larger is none.
const MOST_FILE: u64 = 64 * 1024;

/// Where keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// Nobody has given any: requests are signed with the account's number, which emulators take and AWS does not.
    None,
    /// `AWS_ACCESS_KEY_ID` and its companions.
    Keys(Keys),
    /// A file.
    File(PathBuf),
}

/// An access key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) access_key_id: String,
    pub(crate) secret: String,
    pub(crate) session_token: Option<String>,
}

/// Shows the key's name alone.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

impl Credentials {
    /// The file, if one is named; else the variables.
    pub(crate) fn settle(file: Option<PathBuf>, env: &dyn Fn(&str) -> Option<OsString>) -> Self {
        if let Some(file) = file {
            return Self::File(file);
        }
        let variable = |name| env(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty());
        match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            (Some(access_key_id), Some(secret)) => {
                Self::Keys(Keys { access_key_id, secret, session_token: variable("AWS_SESSION_TOKEN") })
            }
            _ => Self::None,
        }
    }

    /// The keys to sign with now, on behalf of an account.
    pub(super) fn keys(&self, account: &str) -> Result<Keys, String> {
        match self {
            Self::None => {
                Ok(Keys { access_key_id: account.to_owned(), secret: account.to_owned(), session_token: None })
            }
            Self::Keys(keys) => Ok(keys.clone()),
            Self::File(file) => read(file),
        }
    }
}

fn read(file: &Path) -> Result<Keys, String> {
    let failed = |why: &str| format!("The credentials in {} cannot be used: {why}.", file.display());
    let length = fs::metadata(file).map_err(|error| failed(&error.to_string()))?.len();
    if length > MOST_FILE {
        return Err(failed("the file is too long"));
    }
    let text = fs::read_to_string(file).map_err(|error| failed(&error.to_string()))?;
    parse(&text).ok_or_else(|| failed("there is no [default] with aws_access_key_id and aws_secret_access_key"))
}

/// The keys of the section `[default]`.
fn parse(text: &str) -> Option<Keys> {
    let lines = text.lines().map(str::trim).skip_while(|line| *line != "[default]").skip(1);
    let lines: Vec<_> =
        lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once('=')).collect();
    let value = |name: &str| {
        let found = lines.iter().find(|(known, _)| known.trim().eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    Some(Keys {
        access_key_id: value("aws_access_key_id")?,
        secret: value("aws_secret_access_key")?,
        session_token: value("aws_session_token"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_wins_over_variables_and_those_over_nothing() {
        let env = |name: &str| match name {
            "AWS_ACCESS_KEY_ID" => Some("AKID".into()),
            "AWS_SECRET_ACCESS_KEY" => Some("hush".into()),
            _ => None,
        };
        assert_eq!(Credentials::settle(Some("f".into()), &env), Credentials::File("f".into()));
        let keys = Credentials::settle(None, &env).keys("1").unwrap();
        assert_eq!((keys.access_key_id.as_str(), keys.secret.as_str(), keys.session_token), ("AKID", "hush", None));
        assert_eq!(Credentials::settle(None, &|_| None).keys("123456789012").unwrap().access_key_id, "123456789012");
    }

    #[test]
    fn a_file_has_a_default_section() {
        let text = "[other]\naws_access_key_id = no\n[default]\n# ours\naws_access_key_id=AKID\n\
                    aws_secret_access_key = a/b=c\naws_session_token = t\n[last]\n";
        let keys = parse(text).unwrap();
        assert_eq!((keys.access_key_id.as_str(), keys.secret.as_str()), ("AKID", "a/b=c"));
        assert_eq!(keys.session_token.as_deref(), Some("t"));
        assert_eq!(parse("[default]\naws_access_key_id = a\n"), None);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let keys = Keys { access_key_id: "AKID".into(), secret: "hush".into(), session_token: Some("hush".into()) };
        let shown = format!("{:?}", Credentials::Keys(keys));
        assert!(shown.contains("AKID") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn a_file_that_is_not_there_says_so() {
        let error = Credentials::File("/nowhere/credentials".into()).keys("1").unwrap_err();
        assert!(error.contains("/nowhere/credentials"), "{error}");
    }
}
