//! The versions of the rule language, by the names AWS gives them. What differs between two versions is decided where it
//! matters; nothing of it is known here.

use std::fmt;
use std::str::FromStr;

/// Which rules of the language a statement is read and evaluated by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Version {
    /// `2015-10-08`, which the API takes when a rule names none.
    #[default]
    V20151008,
    /// `2016-03-23`: literals, nested queries, more functions.
    V20160323,
    /// `beta`, which is 2016-03-23 until AWS says what else it is.
    Beta,
}

impl Version {
    /// AWS's spelling.
    pub fn name(self) -> &'static str {
        match self {
            Version::V20151008 => "2015-10-08",
            Version::V20160323 => "2016-03-23",
            Version::Beta => "beta",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Version {
    type Err = UnknownVersion;

    fn from_str(name: &str) -> Result<Version, UnknownVersion> {
        let versions = [Version::V20151008, Version::V20160323, Version::Beta];
        versions.into_iter().find(|version| version.name() == name).ok_or(UnknownVersion)
    }
}

/// A name that is no version of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownVersion;

impl fmt::Display for UnknownVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected 2015-10-08, 2016-03-23 or beta")
    }
}

impl std::error::Error for UnknownVersion {}
