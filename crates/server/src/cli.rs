//! The command line: what can be typed, which command it starts, and with which code it ends. Commands print
//! what they were asked for on standard output and everything else on standard error.

use std::fmt;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::ca::CaError;
use crate::data_dir::{DataDirError, Endpoints};
use crate::settings::{self, BadSetting, Flags, Settings};
use api::{Api, ApiError};
use mqtt_client::MqttError;

mod api;
mod demo;
mod dev;
mod device;
mod env;
mod key;
mod mqtt_client;
mod policy;
mod rule;
mod runtime;
mod simulator;
mod tail;
mod why;

/// An AWS IoT-compatible platform of your own. Without a command: ombra dev
#[derive(Debug, Parser)]
#[command(name = "ombra", version, disable_help_subcommand = true)]
struct Arguments {
    /// The data directory [default: ./ombra-data] [env: OMBRA_DATA]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How to print
    // Behind the options of whatever command it is.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table, display_order = 900)]
    output: Output,
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For a person.
    Table,
    /// For a program.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run for development: loopback only, any access key accepted, device policies enforced
    Dev(Box<Flags>),
    /// Print shell lines that point AWS clients here: eval "$(ombra env)"
    Env,
    /// Make devices, or play one
    #[command(subcommand)]
    Device(Device),
    /// Follow what happens: connections, messages, and every refusal with its reason
    Tail {
        /// Only events of this kind, for example refusal
        #[arg(long)]
        kind: Option<String>,
    },
    /// What runs Lambda functions
    #[command(subcommand)]
    Runtime(Runtime),
    /// Explain a refusal: who asked, with which policies, and what would let it through
    Why(why::Why),
    /// Check policies for devices
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Try the statements of rules, and run tests of them
    #[command(subcommand)]
    Rule(rule::Rule),
    /// The first minute, unattended: a server, a device, a shadow, a refusal
    Demo,
    /// Run for a network: every request is verified, and held to the policies of who signed it
    Serve {
        /// The IP address where all doors listen that are not told otherwise [default: 127.0.0.1] [env: OMBRA_LISTEN]
        #[arg(long, value_name = "IP")]
        listen: Option<String>,
        #[command(flatten)]
        flags: Box<Flags>,
    },
    /// Access keys: who may call the API
    #[command(subcommand)]
    Key(key::Command),
}

#[derive(Debug, Subcommand)]
enum Device {
    /// Make a thing with key, certificate and least-privilege policy, and write them to ./NAME/
    New {
        /// The thing's name, which is also the directory's and the MQTT client id
        name: String,
    },
    /// Simulate the device whose files are in ./NAME/: it reports whatever is desired of it
    Run {
        /// The thing's name
        name: String,
        /// Stop after the first difference is settled
        #[arg(long)]
        once: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Runtime {
    /// Install AWS's runtime interface client for a language into the data directory
    Install {
        /// The language
        runtime: runtime::Runtime,
        /// The interpreter to use, or for Node.js the npm [default: python3 or npm on PATH]
        #[arg(long, value_name = "FILE")]
        interpreter: Option<PathBuf>,
    },
}

/// Why a command ends without success; decides the exit code.
#[derive(Debug)]
enum Failure {
    /// It cannot be meant: 2.
    Usage(String),
    /// No ombra answers: 3.
    Unreachable(String),
    /// Anything else: 1.
    Failed(String),
}

/// Runs the command that was typed.
pub(crate) fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match act(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            note(format_args!("ombra: {failure}"));
            ExitCode::from(match failure {
                Failure::Failed(_) => 1,
                Failure::Usage(_) => 2,
                Failure::Unreachable(_) => 3,
            })
        }
    }
}

fn act(arguments: Arguments) -> Result<(), Failure> {
    let lookup = |name: &str| std::env::var_os(name);
    let typed = arguments.data.clone();
    let data = settings::data(arguments.data, &lookup);
    // A server's connections have threads of their own; what is left for this one is little.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("failed to start threads: {error}")))?;
    match arguments.command {
        None => runtime.block_on(dev::run(&Settings::new(data, arguments.flags, &lookup)?)),
        Some(Command::Dev(flags)) => {
            runtime.block_on(dev::run(&Settings::new(data, flags.or(arguments.flags), &lookup)?))
        }
        Some(Command::Env) => env::run(&data, arguments.output),
        Some(Command::Device(Device::New { name })) => {
            let endpoints = Endpoints::of(&data)?;
            runtime.block_on(device::run(&endpoints, &data, &name, arguments.output))
        }
        Some(Command::Device(Device::Run { name, once })) => {
            runtime.block_on(simulator::run(&Endpoints::of(&data)?, &name, once))
        }
        Some(Command::Tail { kind }) => {
            let api = Api::control(&Endpoints::of(&data)?);
            runtime.block_on(tail::run(&api, kind.as_deref(), arguments.output))
        }
        Some(Command::Runtime(Runtime::Install { runtime, interpreter })) => {
            runtime::install(&data, runtime, interpreter.as_deref())
        }
        Some(Command::Why(why)) => {
            let api = Api::control(&Endpoints::of(&data)?);
            runtime.block_on(why::run(why, &api, arguments.output))
        }
        Some(Command::Policy(policy)) => policy::run(&policy, arguments.output),
        Some(Command::Rule(rule)) => runtime.block_on(rule::run(rule, &data, arguments.output)),
        Some(Command::Demo) => runtime.block_on(demo::run(typed, &lookup)),
        Some(Command::Serve { listen, flags }) => {
            let settings = Settings::for_network(data, listen, flags.or(arguments.flags), &lookup)?;
            runtime.block_on(dev::run(&settings))
        }
        Some(Command::Key(command)) => runtime.block_on(key::run(command, &data, arguments.output)),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Usage(text) | Self::Unreachable(text) | Self::Failed(text)) = self;
        f.write_str(text)
    }
}

impl From<BadSetting> for Failure {
    fn from(error: BadSetting) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<DataDirError> for Failure {
    fn from(error: DataDirError) -> Self {
        match error {
            DataDirError::NotRunning(_) => Self::Unreachable(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<CaError> for Failure {
    fn from(error: CaError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Unreachable { .. } => Self::Unreachable(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<MqttError> for Failure {
    fn from(error: MqttError) -> Self {
        match error {
            MqttError::Unreachable { .. } => Self::Unreachable(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}

/// Prints a line on standard output. Whoever closed it does not want to read on, which is no failure.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints a line on standard error.
fn note(line: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A thing's name, which also becomes a directory, a client id and a part of URLs.
fn check_name(name: &str) -> Result<(), Failure> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b":_-".contains(&byte);
    if (1..=128).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(Failure::Usage(format!("{name:?} cannot be a thing's name: 1 to 128 letters, digits, and : _ - are allowed")))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Arguments {
        Arguments::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn flags_stand_before_or_after_the_command() {
        let arguments = parse("ombra --http 127.0.0.1:1 --data a");
        assert!(arguments.command.is_none());
        assert_eq!((arguments.flags.http.as_deref(), arguments.data), (Some("127.0.0.1:1"), Some("a".into())));
        let arguments = parse("ombra --http 127.0.0.1:1 dev --tls 127.0.0.1:2 --data b");
        let Some(Command::Dev(flags)) = arguments.command else { panic!() };
        let flags = flags.or(arguments.flags);
        assert_eq!((flags.http.as_deref(), flags.tls.as_deref()), (Some("127.0.0.1:1"), Some("127.0.0.1:2")));
        assert_eq!(arguments.data, Some("b".into()));
        assert_eq!(parse("ombra tail -o json").output, Output::Json);
    }

    #[test]
    fn a_policy_belongs_to_a_user() {
        let refused = |line: &str| Arguments::try_parse_from(line.split(' ')).is_err();
        assert!(refused("ombra key create --policy a.json"));
        assert!(refused("ombra key create --user a --role b"));
        assert!(refused("ombra key list --account 12"));
        assert!(!refused("ombra key create --user a --policy a.json -o json"));
    }

    #[test]
    fn a_name_is_safe_as_a_path() {
        for (name, good) in [("lamp-1:a_B", true), ("", false), ("a/b", false), ("..", false), ("a b", false)] {
            assert_eq!(check_name(name).is_ok(), good, "{name}");
        }
        assert!(check_name(&"x".repeat(129)).is_err());
    }
}
