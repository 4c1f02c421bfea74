//! What a function finds in its environment: the variables that AWS documents, what points its SDK at this house, and its own.
//! Nothing is inherited from the server.

use std::collections::BTreeMap;
use std::path::Path;

use cloud::{Function, Keys};

use super::log::Log;

/// Where the programs of the system are.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Where AWS has layers.
const LAYERS: &str = "/opt";

/// What a child is told of where it is.
pub(super) struct Place<'a> {
    /// The runtime, by name.
    pub(super) runtime: &'a str,
    pub(super) handler: &'a str,
    /// Where its code is, as it sees it.
    pub(super) task: &'a Path,
    /// Where it may write.
    pub(super) tmp: &'a Path,
    /// The address of the runtime API.
    pub(super) runtime_api: String,
    /// The URL of this house.
    pub(super) endpoint: &'a str,
    /// What it signs its requests with.
    pub(super) keys: Keys,
}

/// All variables of a child.
pub(super) fn variables(function: &Function, log: &Log, place: Place<'_>) -> BTreeMap<String, String> {
    let task = place.task.display().to_string();
    let region = function.scope.region.to_string();
    let given = [
        ("PATH", format!("{PATH}:{LAYERS}/bin")),
        ("LANG", "en_US.UTF-8".to_owned()),
        ("TZ", ":UTC".to_owned()),
        ("HOME", place.tmp.display().to_string()),
        ("TMPDIR", place.tmp.display().to_string()),
        ("LD_LIBRARY_PATH", format!("{task}:{task}/lib:{LAYERS}/lib")),
        ("LAMBDA_TASK_ROOT", task),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime".to_owned()),
        ("_HANDLER", place.handler.to_owned()),
        ("AWS_EXECUTION_ENV", format!("AWS_Lambda_{}", place.runtime)),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_LAMBDA_FUNCTION_NAME", function.name.clone()),
        ("AWS_LAMBDA_FUNCTION_VERSION", function.version.clone()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory.to_string()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", function.log_group.clone()),
        ("AWS_LAMBDA_LOG_STREAM_NAME", log.stream().to_owned()),
        ("AWS_LAMBDA_RUNTIME_API", place.runtime_api),
        ("AWS_REGION", region.clone()),
        ("AWS_DEFAULT_REGION", region),
        ("AWS_ACCESS_KEY_ID", place.keys.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", place.keys.secret_access_key),
        ("AWS_SESSION_TOKEN", place.keys.session_token),
        ("AWS_ENDPOINT_URL", place.endpoint.to_owned()),
    ];
    let mut variables: BTreeMap<String, String> =
        given.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    // Its own come last: what it may not change, it could not set in the first place.
    variables.extend(function.environment.clone());
    variables
}
