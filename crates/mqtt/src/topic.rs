//! Topic names and topic filters: what may be one, its levels, and which names a filter matches.
//!
//! Matching works on bytes and allocates nothing. There are no limits on levels and no reserved topics here
//! beyond the specification's: those belong to whoever runs a broker.

use std::fmt;

use bytes::Bytes;

use crate::text::{InvalidText, Text};

/// What separates the levels of topic names and filters.
const SEPARATOR: u8 = b'/';
/// What begins the filter of a shared subscription (section 4.8.2 of MQTT 5).
const SHARE: &[u8] = b"$share/";

/// Why a text is not a topic name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidTopic {
    /// It is not an MQTT string at all.
    Text(InvalidText),
    /// It has no characters [MQTT-4.7.3-1].
    Empty,
    /// It contains `+` or `#` [MQTT-4.7.0-1], [MQTT-3.3.2-2] (3.1.1: [MQTT-4.7.1-1]).
    Wildcard,
}

/// Why a text is not a topic filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidFilter {
    /// It is not an MQTT string at all.
    Text(InvalidText),
    /// It has no characters [MQTT-4.7.3-1].
    Empty,
    /// `#` does not stand alone in the last level [MQTT-4.7.1-1] (3.1.1: [MQTT-4.7.1-2]).
    MultiLevel,
    /// `+` does not fill a whole level [MQTT-4.7.1-2] (3.1.1: [MQTT-4.7.1-3]).
    SingleLevel,
    /// The share name is empty or contains a wildcard [MQTT-4.8.2-1], [MQTT-4.8.2-2].
    ShareName,
    /// Nothing follows the share name [MQTT-4.8.2-2].
    ShareWithoutFilter,
}

impl InvalidTopic {
    pub(crate) fn message(self) -> &'static str {
        match self {
            InvalidTopic::Text(text) => text.message(),
            InvalidTopic::Empty => "topic name is empty",
            InvalidTopic::Wildcard => "topic name contains a wildcard",
        }
    }
}

impl InvalidFilter {
    pub(crate) fn message(self) -> &'static str {
        match self {
            InvalidFilter::Text(text) => text.message(),
            InvalidFilter::Empty => "topic filter is empty",
            InvalidFilter::MultiLevel => "# does not stand alone in the last level of the topic filter",
            InvalidFilter::SingleLevel => "+ does not fill a whole level of the topic filter",
            InvalidFilter::ShareName => "share name is empty or contains a wildcard",
            InvalidFilter::ShareWithoutFilter => "no topic filter follows the share name",
        }
    }
}

impl fmt::Display for InvalidTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl fmt::Display for InvalidFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for InvalidTopic {}

impl std::error::Error for InvalidFilter {}

impl From<InvalidText> for InvalidTopic {
    fn from(text: InvalidText) -> InvalidTopic {
        InvalidTopic::Text(text)
    }
}

impl From<InvalidText> for InvalidFilter {
    fn from(text: InvalidText) -> InvalidFilter {
        InvalidFilter::Text(text)
    }
}

/// A topic name: at least one character and no wildcards.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Text);

impl Topic {
    /// Checks that the bytes are a topic name, without copying them.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Topic, InvalidTopic> {
        Topic::parse(Text::new(bytes)?)
    }

    /// Checks that the text is a topic name.
    pub fn parse(text: Text) -> Result<Topic, InvalidTopic> {
        if text.is_empty() {
            return Err(InvalidTopic::Empty);
        }
        if memchr::memchr2(b'+', b'#', text.as_bytes()).is_some() {
            return Err(InvalidTopic::Wildcard);
        }
        Ok(Topic(text))
    }

    /// The topic name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The topic name's bytes.
    pub fn as_bytes(&self) -> &Bytes {
        self.0.as_bytes()
    }

    /// The topic name as text.
    pub fn as_text(&self) -> &Text {
        &self.0
    }

    /// The levels between the slashes; empty levels count.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.as_str().split('/')
    }

    /// The same name in bytes of its own, which keep no read buffer alive.
    pub fn compact(&self) -> Topic {
        Topic(self.0.compact())
    }
}

/// A topic filter, perhaps of a shared subscription (`$share/{group}/{filter}`).
///
/// `$share/` marks a shared subscription in both versions; plain 3.1.1 does not know them, and the brokers that
/// matter offer them to 3.1.1 clients too.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filter {
    text: Text,
    /// Where the part that is matched begins: 0, or just after `$share/{group}/`.
    start: usize,
}

impl Filter {
    /// Checks that the bytes are a topic filter, without copying them.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Filter, InvalidFilter> {
        Filter::parse(Text::new(bytes)?)
    }

    /// Checks that the text is a topic filter.
    pub fn parse(text: Text) -> Result<Filter, InvalidFilter> {
        let start = shared_prefix(text.as_bytes())?;
        check_pattern(&text.as_bytes()[start..])?;
        Ok(Filter { text, start })
    }

    /// The whole filter as subscribed, `$share/{group}/` included.
    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }

    /// The bytes of the whole filter.
    pub fn as_bytes(&self) -> &Bytes {
        self.text.as_bytes()
    }

    /// The filter as text.
    pub fn as_text(&self) -> &Text {
        &self.text
    }

    /// The share name, if the subscription is shared.
    pub fn share_name(&self) -> Option<&str> {
        self.as_str().get(SHARE.len()..self.start.checked_sub(1)?)
    }

    /// The part that topics are matched against: the filter without `$share/{group}/`.
    pub fn pattern(&self) -> &str {
        self.as_str().get(self.start..).unwrap_or_default()
    }

    /// The levels of the pattern; `+` and `#` are levels of their own.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.pattern().split('/')
    }

    /// Whether the pattern has a wildcard.
    pub fn has_wildcard(&self) -> bool {
        memchr::memchr2(b'+', b'#', &self.as_bytes()[self.start..]).is_some()
    }

    /// Whether the filter matches the topic as the specification says: `sport/#` matches `sport` too
    /// (section 4.7.1.2).
    pub fn matches(&self, topic: &Topic) -> bool {
        matches(&self.as_bytes()[self.start..], topic.as_bytes(), Parent::Included)
    }

    /// Like [`Filter::matches`], but `sport/#` does not match its parent `sport`, only what is below it.
    pub fn matches_without_parent(&self, topic: &Topic) -> bool {
        matches(&self.as_bytes()[self.start..], topic.as_bytes(), Parent::Excluded)
    }

    /// The same filter in bytes of its own, which keep no read buffer alive.
    pub fn compact(&self) -> Filter {
        Filter { text: self.text.compact(), start: self.start }
    }
}

/// The length of `$share/{group}/`, or 0 where the subscription is not shared.
fn shared_prefix(filter: &[u8]) -> Result<usize, InvalidFilter> {
    let Some(rest) = filter.strip_prefix(SHARE) else {
        return Ok(0);
    };
    let (name, pattern) = split_level(rest);
    let pattern = pattern.unwrap_or_default();
    if name.is_empty() || memchr::memchr2(b'+', b'#', name).is_some() {
        return Err(InvalidFilter::ShareName);
    }
    if pattern.is_empty() {
        return Err(InvalidFilter::ShareWithoutFilter);
    }
    Ok(filter.len() - pattern.len())
}

/// Checks that the pattern has a character and that its wildcards stand where they may.
fn check_pattern(pattern: &[u8]) -> Result<(), InvalidFilter> {
    if pattern.is_empty() {
        return Err(InvalidFilter::Empty);
    }
    for at in memchr::memchr2_iter(b'+', b'#', pattern) {
        let opens = at == 0 || pattern[at - 1] == SEPARATOR;
        let ends = at + 1 == pattern.len();
        if pattern[at] == b'#' && !(opens && ends) {
            return Err(InvalidFilter::MultiLevel);
        }
        if pattern[at] == b'+' && !(opens && (ends || pattern[at + 1] == SEPARATOR)) {
            return Err(InvalidFilter::SingleLevel);
        }
    }
    Ok(())
}

/// Whether `a/#` matches `a`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parent {
    Included,
    Excluded,
}

/// Matches level by level. The filter is valid, so `#` can only be its last level.
fn matches(mut filter: &[u8], mut topic: &[u8], parent: Parent) -> bool {
    // A leading wildcard does not match a topic that begins with $ [MQTT-4.7.2-1].
    if topic.first() == Some(&b'$') && matches!(filter.first(), Some(b'+' | b'#')) {
        return false;
    }
    loop {
        let (wanted, filter_rest) = split_level(filter);
        let (level, topic_rest) = split_level(topic);
        if wanted == b"#" {
            return true;
        }
        if wanted != b"+" && wanted != level {
            return false;
        }
        match (filter_rest, topic_rest) {
            (Some(f), Some(t)) => (filter, topic) = (f, t),
            (None, None) => return true,
            (Some(f), None) => return parent == Parent::Included && f == b"#",
            (None, Some(_)) => return false,
        }
    }
}

/// The first level, and what follows its slash if there is one.
fn split_level(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    // Levels are short, so looking byte by byte beats a search that has to warm up.
    match path.iter().position(|byte| *byte == SEPARATOR) {
        Some(slash) => (&path[..slash], Some(&path[slash + 1..])),
        None => (path, None),
    }
}

macro_rules! like_text {
    ($name:ident, $invalid:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $invalid;

            /// Copies the string and checks it.
            fn try_from(string: &str) -> Result<$name, $invalid> {
                $name::new(Bytes::copy_from_slice(string.as_bytes()))
            }
        }
    };
}

like_text!(Topic, InvalidTopic);
like_text!(Filter, InvalidFilter);
