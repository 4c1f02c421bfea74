//! The refusals of §2.3: a code and a text that go on the wire. This file does not know when they are due.

use crate::{escape, print};
use std::borrow::Cow;
use std::fmt;

/// A request that the shadow service refuses, as the caller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status.
    pub code: u16,
    /// The text.
    pub message: Cow<'static, str>,
    /// The request's token, as JSON, where it was read before the failure.
    token: Option<Vec<u8>>,
}

impl Refused {
    pub(crate) const NO_PAYLOAD: Refused = Refused::new(400, "Missing update payload");
    pub(crate) const INVALID_JSON: Refused = Refused::new(400, "Invalid JSON");
    pub(crate) const INVALID_TOKEN: Refused = Refused::new(400, "Invalid clientToken");
    pub(crate) const INVALID_VERSION: Refused = Refused::new(400, "Invalid version");
    pub(crate) const NO_STATE: Refused = Refused::new(400, "Missing required node: state");
    pub(crate) const STATE_NOT_OBJECT: Refused = Refused::new(400, "State node must be an object");
    pub(crate) const DESIRED_NOT_OBJECT: Refused = Refused::new(400, "Desired node must be an object");
    pub(crate) const REPORTED_NOT_OBJECT: Refused = Refused::new(400, "Reported node must be an object");
    /// The text says 6 whatever the limit, as AWS's does.
    pub(crate) const TOO_DEEP: Refused = Refused::new(400, "JSON contains too many levels of nesting; maximum is 6");
    pub(crate) const VERSION_CONFLICT: Refused = Refused::new(409, "Version conflict");
    pub(crate) const TOO_LARGE: Refused = Refused::new(413, "The payload exceeds the maximum size allowed");
    /// The text's grammar is AWS's.
    pub(crate) const NOT_UTF8: Refused =
        Refused::new(415, "Unsupported documented encoding; supported encoding is UTF-8");

    const fn new(code: u16, message: &'static str) -> Refused {
        Refused { code, message: Cow::Borrowed(message), token: None }
    }

    pub(crate) fn no_shadow(name: &str) -> Refused {
        Refused { message: format!("No shadow exists with name: '{name}'").into(), ..Refused::new(404, "") }
    }

    /// Names the key, cut to 128 characters so that the answer stays small whatever the request.
    pub(crate) fn invalid_node(key: &[u8]) -> Refused {
        let key: String = escape::unquote(key).chars().take(128).collect();
        Refused { message: format!("State contains an invalid node: '{key}'").into(), ..Refused::new(400, "") }
    }

    /// Addresses the refusal to the request that had this token.
    pub(crate) fn to(self, token: Option<&[u8]>) -> Refused {
        Refused { token: token.map(<[u8]>::to_vec), ..self }
    }

    /// The payload of the `rejected` message.
    pub fn body(&self) -> Vec<u8> {
        print::rejected(self.code, &self.message, self.token.as_deref())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.message)
    }
}

impl std::error::Error for Refused {}
