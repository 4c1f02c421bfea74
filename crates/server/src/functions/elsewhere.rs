//! Functions where they cannot be run: namespaces, `/proc` and the limits that they are held to are Linux's own. They can be made
//! and looked at all the same, and whoever invokes one is told.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use cloud::{Due, Invocation, Invoked};
use wire::Refusal;

use crate::server::Server;
use crate::settings;

/// The word on the command line, which no person types.
pub(crate) const WORD: &str = "function-child";

/// Where `ombra runtime install` puts runtimes, below the data directory.
pub(crate) const RUNTIMES: &str = "runtimes";

/// Nothing is started here.
pub(crate) fn child(_: impl Iterator<Item = OsString>) -> ExitCode {
    ExitCode::FAILURE
}

/// Whoever would run functions.
#[derive(Clone)]
pub(crate) struct Functions;

impl Functions {
    #[expect(clippy::unnecessary_wraps, reason = "it may fail where functions are run")]
    pub(crate) fn new(_: &settings::Functions, _: &Path, _: String) -> io::Result<Self> {
        Ok(Self)
    }

    /// Events wait on disk for a server that can run them.
    #[expect(clippy::unused_self, reason = "it is a method where functions are run")]
    pub(crate) fn listener(&self) -> impl Fn(Due) + Send + Sync + 'static {
        |_| {}
    }

    #[expect(clippy::unused_self, reason = "it is a method where functions are run")]
    pub(crate) fn serve(&self, _: &Arc<Server>, _: Vec<Due>) {}

    #[expect(clippy::unused_async, reason = "it is a method where functions are run")]
    pub(crate) async fn invoke(&self, _: Invocation) -> Result<Invoked, Refusal> {
        Err(Refusal::new("NotImplementedException", "Functions are run on Linux only."))
    }

    #[expect(clippy::unused_async, reason = "it is a method where functions are run")]
    pub(crate) async fn stop(&self) {}
}
