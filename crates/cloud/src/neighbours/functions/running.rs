//! A function as it is to be run, an invocation of it, and what came of that: what passes between the house and whoever runs
//! functions for it. How they are run is unknown here.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use store::Fault;
use wire::lambda::InvocationResponse;
use wire::{Output, Refusal};

use super::{CODE, FUNCTIONS, LAMBDA, LATEST, VERSIONS, versions};
use crate::house::House;
use crate::neighbours::sts;
use crate::scope::{Read, Scope};

/// A function as it is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Where it is.
    pub scope: Scope,
    /// Its name.
    pub name: String,
    /// `$LATEST`, or a number.
    pub version: String,
    /// Another one whenever code or configuration is.
    pub revision: String,
    /// The ARN of the role that it has.
    pub role: String,
    /// What runs.
    pub code: Code,
    /// Mebibytes of memory.
    pub memory: u64,
    /// Mebibytes in its temporary directory.
    pub storage: u64,
    /// Seconds that an invocation may take.
    pub timeout: u64,
    /// Invocations at a time, if it has a number of its own.
    pub concurrency: Option<usize>,
    /// Variables of its own.
    pub environment: BTreeMap<String, String>,
    /// Its log group.
    pub log_group: String,
}

/// What runs when a function is invoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// A package, run by a runtime of this name.
    Package {
        /// For example `python3.12`.
        runtime: String,
        /// What the runtime is to call.
        handler: String,
        /// The package's SHA-256, in base64.
        sha256: String,
    },
    /// Something that answers to HTTP.
    Url(String),
}

/// An invocation that waits for its answer.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// What is invoked.
    pub function: Arc<Function>,
    /// The ARN by which it was.
    pub arn: String,
    /// The invocation's own id.
    pub id: String,
    /// The event.
    pub payload: Bytes,
    /// What the caller says of itself, as JSON.
    pub client_context: Option<String>,
    /// Whether the end of its log is wanted.
    pub wants_log: bool,
}

/// What came of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoked {
    /// The answer, or the error.
    pub payload: Bytes,
    /// Whether it is an error.
    pub is_error: bool,
    /// The end of its log.
    pub log: String,
}

impl Invocation {
    /// What is answered to whoever invoked it.
    pub fn answer(&self, invoked: Invoked) -> Output {
        let answer = InvocationResponse::new()
            .with_status_code(200)
            .with_executed_version(&self.function.version)
            .with_payload(invoked.payload);
        let answer = if invoked.is_error { answer.with_function_error("Unhandled") } else { answer };
        let answer = if self.wants_log { answer.with_log_result(STANDARD.encode(&invoked.log)) } else { answer };
        answer.into()
    }
}

/// Keys with which a function is the role that it has.
#[derive(Clone)]
pub struct Keys {
    /// Says which they are.
    pub access_key_id: String,
    /// What requests are signed with.
    pub secret_access_key: String,
    /// What comes with each of them.
    pub session_token: String,
}

/// Seconds that keys are good for: as long as AWS's are at most.
pub const KEYS_LAST: i64 = 43_200;

impl House {
    /// Keys for a function's role, if that still trusts functions.
    pub fn keys(&self, function: &Function, now: i64, entropy: u128) -> Result<Keys, Refusal> {
        let cx = self.context(&function.scope, now, entropy);
        let view = self.store.read();
        let session = sts::session_for(Read::new(&view, &cx), &function.role, LAMBDA, &function.name, KEYS_LAST);
        let session = session.map_err(|failure| self.refusal(&function.scope, now, failure))?;
        let sts::session::Credentials { access_key_id, secret_access_key, session_token, .. } = session;
        Ok(Keys { access_key_id, secret_access_key, session_token })
    }

    /// Whether a function is still there as it was then, code and configuration.
    pub fn is_current(&self, scope: &Scope, name: &str, version: &str, revision: &str) -> Result<bool, Fault> {
        let view = self.store.read();
        let at = match version {
            LATEST => view.get(&FUNCTIONS, &scope.key([name]))?.map(|known| known.latest),
            number => view.get(&VERSIONS, &scope.key([name, versions::padded(number).as_str()]))?,
        };
        Ok(at.is_some_and(|at| at.revision == revision))
    }

    /// The package of a function, by its SHA-256 in base64.
    pub fn package(&self, scope: &Scope, function: &str, sha256: &str) -> Result<Option<Vec<u8>>, Fault> {
        self.store.read().get(&CODE, &scope.key([function, sha256]))
    }
}
