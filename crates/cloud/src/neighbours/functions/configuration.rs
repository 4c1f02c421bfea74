//! The configuration of a function: what a caller may ask of it, how it is kept, and how it is described. What AWS has and this
//! house has not is refused by name, because a setting that is taken and not acted on would be a lie.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::json_record;
use wire::Refusal;
use wire::lambda::{
    CreateFunctionRequest, DeadLetterConfig, EnvironmentResponse, EphemeralStorage, FunctionConfiguration, ImageConfig,
    LoggingConfig, SnapStart, SnapStartResponse, TracingConfig, TracingConfigResponse, UpdateFunctionCodeRequest,
    UpdateFunctionConfigurationRequest, VpcConfig,
};

use super::names::{LATEST, arn, invalid};
use super::package::sha256;
use super::{Brought, LAMBDA, signed, unbuilt};
use crate::neighbours::iam;
use crate::operation::Answer;
use crate::scope::Read;

/// Seconds that an invocation may take at most.
const TIMEOUT: i64 = 900;

/// Mebibytes of memory at most.
const MEMORY: i64 = 10_240;

/// Bytes of all environment variables together.
const ENVIRONMENT: usize = 4096;

/// Variables that are the platform's own.
const RESERVED: [&str; 17] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
];

/// A configuration, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Configuration {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) runtime: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) handler: Option<String>,
    pub(super) role: String,
    #[serde(default)]
    pub(super) description: String,
    pub(super) timeout: u64,
    pub(super) memory: u64,
    pub(super) storage: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) environment: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log_group: Option<String>,
    architecture: String,
    /// Of the package, in base64.
    #[serde(default)]
    pub(super) sha256: String,
    #[serde(default)]
    size: u64,
    /// What answers instead of a package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    modified: i64,
    pub(super) revision: String,
}
json_record!(Configuration, version 1);

impl Configuration {
    /// One with AWS's defaults, that has no code yet.
    pub(super) fn new(revision: &str, now: i64) -> Self {
        Self {
            runtime: None,
            handler: None,
            role: String::new(),
            description: String::new(),
            timeout: 3,
            memory: 128,
            storage: 512,
            environment: BTreeMap::new(),
            log_group: None,
            architecture: "x86_64".to_owned(),
            sha256: String::new(),
            size: 0,
            url: None,
            modified: now,
            revision: revision.to_owned(),
        }
    }

    pub(super) fn is_url(&self) -> bool {
        self.url.is_some()
    }

    pub(super) fn set_package(&mut self, sha256: &str, size: u64) {
        (self.sha256, self.size) = (sha256.to_owned(), size);
    }

    pub(super) fn set_url(&mut self, url: &str) {
        self.sha256 = sha256(url.as_bytes());
        self.url = Some(url.to_owned());
    }

    /// It has changed.
    pub(super) fn touch(&mut self, revision: &str, now: i64) {
        (self.revision, self.modified) = (revision.to_owned(), now);
    }

    /// Whether it is still the one that the caller has seen.
    pub(super) fn expect_revision(&self, revision: Option<&str>) -> Result<(), Refusal> {
        if revision.is_none_or(|revision| revision == self.revision) {
            return Ok(());
        }
        let message = "The Revision Id provided does not match the latest Revision Id. Call the \
                       GetFunction/GetAlias API to retrieve the latest Revision Id";
        Err(Refusal::new("PreconditionFailedException", message).with("Type", "User"))
    }

    /// Whether another one does the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let plain = |it: &Self| Self { revision: String::new(), modified: 0, ..it.clone() };
        let text = |it: &Self| serde_json::to_string(&plain(it)).unwrap_or_default();
        text(self) == text(other)
    }

    /// The group that its log goes to.
    pub(super) fn log_group(&self, name: &str) -> String {
        self.log_group.clone().unwrap_or_else(|| format!("/aws/lambda/{name}"))
    }

    /// As it is told: of the version that can be changed, or of a published one.
    pub(super) fn described(&self, db: Read, name: &str, version: &str) -> FunctionConfiguration {
        self.described_as(db, name, version, Some(version).filter(|version| *version != LATEST))
    }

    /// The same, under the qualifier that somebody asked by.
    pub(super) fn described_as(
        &self,
        db: Read,
        name: &str,
        version: &str,
        qualifier: Option<&str>,
    ) -> FunctionConfiguration {
        let answer = FunctionConfiguration::new()
            .with_function_name(name)
            .with_function_arn(arn(&db.cx.scope, name, qualifier))
            .with_role(&self.role)
            .with_code_size(signed(self.size))
            .with_description(&self.description)
            .with_timeout(signed(self.timeout))
            .with_memory_size(signed(self.memory))
            .with_last_modified(moment(self.modified))
            .with_code_sha256(&self.sha256)
            .with_version(version)
            .with_tracing_config(TracingConfigResponse::new().with_mode("PassThrough"))
            .with_revision_id(&self.revision)
            .with_state("Active")
            .with_last_update_status("Successful")
            .with_package_type(if self.is_url() { "Image" } else { "Zip" })
            .with_architectures([&self.architecture])
            .with_ephemeral_storage(EphemeralStorage::new().with_size(signed(self.storage)))
            .with_snap_start(SnapStartResponse::new().with_apply_on("None").with_optimization_status("Off"))
            .with_logging_config(LoggingConfig::new().with_log_format("Text").with_log_group(self.log_group(name)));
        let answer = match (&self.runtime, &self.handler) {
            (Some(runtime), Some(handler)) => answer.with_runtime(runtime).with_handler(handler),
            (Some(runtime), None) => answer.with_runtime(runtime),
            _ => answer,
        };
        if self.environment.is_empty() {
            return answer;
        }
        let variables: Map<String, Value> =
            self.environment.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        answer.with_environment(EnvironmentResponse::new().with_variables(variables))
    }
}

/// As AWS writes the time of a function's last change.
fn moment(milliseconds: i64) -> String {
    let moment = Timestamp::from_millisecond(milliseconds).unwrap_or_default();
    moment.strftime("%Y-%m-%dT%H:%M:%S.%3f+0000").to_string()
}

/// What an update of code would make of a configuration.
pub(super) fn preview(brought: &Brought, configuration: &mut Configuration) {
    match brought {
        Brought::Package(packed) => configuration.set_package(&packed.sha256, packed.bytes.len() as u64),
        Brought::Url(url) => configuration.set_url(url),
    }
}

/// What a caller asks of a configuration; what it does not mention stays.
#[derive(Default)]
pub(super) struct Wanted {
    runtime: Option<String>,
    handler: Option<String>,
    role: Option<String>,
    description: Option<String>,
    timeout: Option<u64>,
    memory: Option<u64>,
    storage: Option<u64>,
    environment: Option<BTreeMap<String, String>>,
    /// The name that is wanted for its log group; an empty one stands for AWS's own.
    log_group: Option<String>,
    architecture: Option<String>,
}

impl Wanted {
    /// What is asked of a new function.
    pub(super) fn of_new(input: &CreateFunctionRequest, is_url: bool) -> Result<Self, Refusal> {
        if (input.package_type() == Some("Image")) != is_url {
            return Err(invalid("PackageType Image goes with an ImageUri, and Zip with a package"));
        }
        if !is_url && (input.runtime().is_none() || input.handler().is_none()) {
            return Err(invalid(
                "Runtime and Handler are mandatory parameters for functions created with deployment packages.",
            ));
        }
        refuse_unbuilt_of_new(input)?;
        let architectures = input.architectures().unwrap_or_default();
        if architectures.len() > 1 {
            return Err(invalid("A function has one architecture"));
        }
        Ok(Self {
            runtime: input.runtime().map(runtime).transpose()?,
            handler: input.handler().map(str::to_owned),
            role: Some(input.role().to_owned()),
            description: input.description().map(str::to_owned),
            timeout: input.timeout().map(timeout).transpose()?,
            memory: input.memory_size().map(memory).transpose()?,
            storage: input.ephemeral_storage().and_then(|storage| storage.size()).map(i64::unsigned_abs),
            environment: input.environment().map(|given| environment(given.variables())).transpose()?,
            log_group: input.logging_config().as_ref().map(logging).transpose()?,
            // Taken as it is: what runs is what this machine is.
            architecture: architectures.first().map(|architecture| (*architecture).to_owned()),
        })
    }

    /// What is asked of one that is there.
    pub(super) fn of_change(input: &UpdateFunctionConfigurationRequest, is_url: bool) -> Result<Self, Refusal> {
        if is_url && input.runtime().or(input.handler()).is_some() {
            return Err(invalid("Runtime and Handler are not supported for functions that are not packages"));
        }
        refuse_unbuilt_of_change(input)?;
        Ok(Self {
            runtime: input.runtime().map(runtime).transpose()?,
            handler: input.handler().map(str::to_owned),
            role: input.role().map(str::to_owned),
            description: input.description().map(str::to_owned),
            timeout: input.timeout().map(timeout).transpose()?,
            memory: input.memory_size().map(memory).transpose()?,
            storage: input.ephemeral_storage().and_then(|storage| storage.size()).map(i64::unsigned_abs),
            environment: input.environment().map(|given| environment(given.variables())).transpose()?,
            log_group: input.logging_config().as_ref().map(logging).transpose()?,
            architecture: None,
        })
    }

    /// The role that is asked for must be one that functions may have.
    pub(super) fn check_role(&self, db: Read) -> Answer<()> {
        match &self.role {
            Some(role) if role.split(':').nth(4) != Some(&*db.cx.scope.account) => {
                Err(Refusal::new("AccessDeniedException", "Cross-account pass role is not allowed.").into())
            }
            Some(role) if !iam::service_may_assume(db, role, LAMBDA)? => {
                Err(invalid("The role defined for the function cannot be assumed by Lambda.").into())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn apply(&self, configuration: &mut Configuration) {
        fn set<T: Clone>(to: &mut T, from: Option<&T>) {
            if let Some(from) = from {
                to.clone_from(from);
            }
        }
        let Self { runtime, handler, .. } = self;
        configuration.runtime = runtime.clone().or_else(|| configuration.runtime.take());
        configuration.handler = handler.clone().or_else(|| configuration.handler.take());
        set(&mut configuration.role, self.role.as_ref());
        set(&mut configuration.description, self.description.as_ref());
        set(&mut configuration.timeout, self.timeout.as_ref());
        set(&mut configuration.memory, self.memory.as_ref());
        set(&mut configuration.storage, self.storage.as_ref());
        set(&mut configuration.environment, self.environment.as_ref());
        if let Some(group) = &self.log_group {
            configuration.log_group = Some(group.clone()).filter(|group| !group.is_empty());
        }
        set(&mut configuration.architecture, self.architecture.as_ref());
    }
}

/// A runtime that this house can run, whether or not it is installed at the moment.
fn runtime(name: &str) -> Result<String, Refusal> {
    if ["python3.", "nodejs", "provided"].iter().any(|family| name.starts_with(family)) {
        return Ok(name.to_owned());
    }
    Err(unbuilt(&format!("The runtime {name}"), "python3.*, nodejs* and provided.* are"))
}

fn timeout(seconds: i64) -> Result<u64, Refusal> {
    if seconds > TIMEOUT {
        let message = format!(
            "1 validation error detected: Value '{seconds}' at 'timeout' failed to satisfy constraint: Member must \
             have value less than or equal to {TIMEOUT}"
        );
        return Err(Refusal::new("ValidationException", message));
    }
    Ok(seconds.unsigned_abs())
}

fn memory(mebibytes: i64) -> Result<u64, Refusal> {
    if mebibytes > MEMORY {
        return Err(invalid(format!(
            "'MemorySize' value failed to satisfy constraint: Member must have value less than or equal to {MEMORY}"
        )));
    }
    Ok(mebibytes.unsigned_abs())
}

fn environment(variables: Option<&Value>) -> Result<BTreeMap<String, String>, Refusal> {
    let given = variables.and_then(Value::as_object).into_iter().flatten();
    let variables: BTreeMap<String, String> =
        given.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
    let reserved: Vec<&str> = variables.keys().map(String::as_str).filter(|name| RESERVED.contains(name)).collect();
    if !reserved.is_empty() {
        return Err(invalid(format!(
            "Lambda was unable to configure your environment variables because the environment variables you have \
             provided contains reserved keys that are currently not supported for modification. Reserved keys used in \
             this request: {}",
            reserved.join(", ")
        )));
    }
    let bytes: usize = variables.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > ENVIRONMENT || variables.values().any(|value| value.contains('\0')) {
        return Err(invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have \
             provided exceeded the 4KB limit.",
        ));
    }
    Ok(variables)
}

/// Tags, as a map.
pub(super) fn tags(tags: Option<&Value>) -> Result<BTreeMap<String, String>, Refusal> {
    let given = tags.and_then(Value::as_object).into_iter().flatten();
    let tags: BTreeMap<String, String> =
        given.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
    let fits =
        |(key, value): (&String, &String)| (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256;
    if tags.len() > super::TAGS {
        return Err(too_many_tags());
    }
    if !tags.iter().all(fits) {
        return Err(invalid("A tag has a key of 1 to 128 and a value of at most 256 characters"));
    }
    Ok(tags)
}

/// The refusal of more tags than a function may have.
pub(super) fn too_many_tags() -> Refusal {
    invalid("Number of tags exceeds resource tag limit.")
}

/// The address of something that answers invocations, in the place where AWS has that of a container image.
pub(super) fn url(uri: &str) -> Result<String, Refusal> {
    if uri.len() <= 2048 && uri.starts_with("http://") && uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(uri.to_owned());
    }
    Err(unbuilt(
        "An ImageUri that is not an address like http://127.0.0.1:9000/path",
        "container images are not run here, but the event is posted to an address that is given in their place",
    ))
}

fn logging(config: &LoggingConfig) -> Result<String, Refusal> {
    if config.log_format().is_some_and(|format| format != "Text") {
        return Err(unbuilt("LogFormat JSON", "lines are kept as they are written"));
    }
    Ok(config.log_group().unwrap_or_default().to_owned())
}

/// What a request mentions and this house does not have.
fn refuse(mentioned: &[(&str, bool)]) -> Result<(), Refusal> {
    match mentioned.iter().find(|(_, is_mentioned)| *is_mentioned) {
        Some((name, _)) => Err(unbuilt(name, "leave it out")),
        None => Ok(()),
    }
}

fn is_traced(config: Option<TracingConfig>) -> bool {
    config.is_some_and(|config| config.mode() == Some("Active"))
}

fn is_kept_for_dead(config: Option<DeadLetterConfig>) -> bool {
    config.is_some_and(|config| config.target_arn().is_some_and(|target| !target.is_empty()))
}

/// Whether anything of an image is set; tools say nothing of it with an empty document.
fn is_image(config: Option<ImageConfig>) -> bool {
    config.is_some_and(|config| {
        let lists = [config.entry_point(), config.command()];
        lists.into_iter().flatten().any(|list| !list.is_empty()) || config.working_directory().is_some()
    })
}

fn is_snapped(config: Option<SnapStart>) -> bool {
    config.is_some_and(|config| config.apply_on().is_some_and(|on| on != "None"))
}

fn is_in_vpc(config: Option<VpcConfig>) -> bool {
    config.is_some_and(|config| config.subnet_ids().is_some_and(|subnets| !subnets.is_empty()))
}

fn refuse_unbuilt_of_new(input: &CreateFunctionRequest) -> Result<(), Refusal> {
    refuse(&[
        ("Layers", input.layers().is_some_and(|layers| !layers.is_empty())),
        ("VpcConfig", is_in_vpc(input.vpc_config())),
        ("DeadLetterConfig", is_kept_for_dead(input.dead_letter_config())),
        ("FileSystemConfigs", input.file_system_configs().is_some_and(|configs| !configs.is_empty())),
        ("KMSKeyArn", input.kms_key_arn().is_some_and(|arn| !arn.is_empty())),
        ("TracingConfig Active", is_traced(input.tracing_config())),
        ("SnapStart", is_snapped(input.snap_start())),
        ("CodeSigningConfigArn", input.code_signing_config_arn().is_some()),
        ("ImageConfig", is_image(input.image_config())),
        ("TenancyConfig", input.tenancy_config().is_some()),
        ("CapacityProviderConfig", input.capacity_provider_config().is_some()),
        ("DurableConfig", input.durable_config().is_some()),
        ("RuntimeConfig", input.runtime_config().is_some()),
        ("AcceleratorConfig", input.accelerator_config().is_some()),
        ("PublishTo", input.publish_to().is_some()),
    ])
}

fn refuse_unbuilt_of_change(input: &UpdateFunctionConfigurationRequest) -> Result<(), Refusal> {
    refuse(&[
        ("Layers", input.layers().is_some_and(|layers| !layers.is_empty())),
        ("VpcConfig", is_in_vpc(input.vpc_config())),
        ("DeadLetterConfig", is_kept_for_dead(input.dead_letter_config())),
        ("FileSystemConfigs", input.file_system_configs().is_some_and(|configs| !configs.is_empty())),
        ("KMSKeyArn", input.kms_key_arn().is_some_and(|arn| !arn.is_empty())),
        ("TracingConfig Active", is_traced(input.tracing_config())),
        ("SnapStart", is_snapped(input.snap_start())),
        ("ImageConfig", is_image(input.image_config())),
        ("CapacityProviderConfig", input.capacity_provider_config().is_some()),
        ("DurableConfig", input.durable_config().is_some()),
    ])
}

/// The same of a change of code.
pub(super) fn refuse_unbuilt_code(input: &UpdateFunctionCodeRequest) -> Result<(), Refusal> {
    refuse(&[("PublishTo", input.publish_to().is_some())])?;
    refuse_unbuilt_source(input.s3_object_version(), input.source_kms_key_arn())
}

/// The same of where code comes from.
pub(super) fn refuse_unbuilt_source(version: Option<&str>, key: Option<&str>) -> Result<(), Refusal> {
    refuse(&[("S3ObjectVersion", version.is_some()), ("SourceKMSKeyArn", key.is_some())])
}
