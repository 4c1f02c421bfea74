//! What was typed, and what it means: flags over `OMBRA_…` variables over defaults, checked once and then trusted.
//! It does not know how to read the environment; that is passed in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cloud::actions::Service;

use crate::ca::{IdentityFiles, is_server_name};
use crate::effects::Credentials;

/// The account behind access keys that do not name one.
pub(crate) const ACCOUNT: &str = "000000000000";
/// The region that `ombra env` tells clients to use.
pub(crate) const REGION: &str = "us-east-1";

/// Connections that may be open at a time, unless somebody says otherwise.
pub(crate) const MAX_CONNECTIONS: usize = 100_000;

/// Processes that run functions at a time, unless somebody says otherwise.
const FUNCTIONS: usize = 16;

/// Seconds until an event whose function failed is tried again, as AWS has it.
const FUNCTIONS_RETRY: i64 = 60;

/// Megabytes of log events that are kept, unless somebody says otherwise.
const LOG_MEGABYTES: usize = 1024;

/// The flags of `ombra dev`, as typed.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Flags {
    /// Where the HTTP API answers [default: 127.0.0.1:4583] [env: OMBRA_HTTP]
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<String>,
    /// Where MQTT over TLS answers [default: 127.0.0.1:8883] [env: OMBRA_MQTTS]
    #[arg(long, value_name = "ADDR")]
    pub(crate) mqtts: Option<String>,
    /// Where TLS answers that chooses MQTT or HTTPS by ALPN [default: 127.0.0.1:8443] [env: OMBRA_TLS]
    #[arg(long, value_name = "ADDR")]
    pub(crate) tls: Option<String>,
    /// Where MQTT without TLS answers, for development; needs --mqtt-plain-policy [default: nowhere] [env: OMBRA_MQTT_PLAIN]
    #[arg(long, value_name = "ADDR")]
    pub(crate) mqtt_plain: Option<String>,
    /// The IoT policy that says what anybody on --mqtt-plain may do [env: OMBRA_MQTT_PLAIN_POLICY]
    #[arg(long, value_name = "NAME")]
    pub(crate) mqtt_plain_policy: Option<String>,
    /// Threads that serve connections [default: one for each core] [env: OMBRA_WORKERS]
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<String>,
    /// Connections open at a time [default: 100000, or what the limit of open files allows] [env: OMBRA_MAX_CONNECTIONS]
    #[arg(long, value_name = "N")]
    pub(crate) max_connections: Option<String>,
    /// Whether AWS's quotas are ignored, reported or enforced [default: warn] [env: OMBRA_QUOTAS]
    #[arg(long, value_name = "off|warn|aws")]
    pub(crate) quotas: Option<String>,
    /// Whether an acknowledgement waits for the disk [default: durable] [env: OMBRA_DURABILITY]
    #[arg(long, value_name = "durable|relaxed")]
    pub(crate) durability: Option<String>,
    /// Megabytes of log events that are kept, of which one log group may take a quarter [default: 1024] [env: OMBRA_LOG_MEGABYTES]
    #[arg(long, value_name = "N")]
    pub(crate) log_megabytes: Option<String>,
    /// A further name or address for the server certificate, may be repeated [env: OMBRA_TLS_NAMES, by commas]
    #[arg(long = "tls-name", value_name = "NAME")]
    pub(crate) tls_names: Vec<String>,
    /// The certificate that TLS shows, a PEM chain; replaced while running, it is shown from then on
    /// [default: server.pem of the data directory] [env: OMBRA_TLS_CERT]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<String>,
    /// Its key, in PEM [default: server.key of the data directory] [env: OMBRA_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<String>,
    /// Where rule actions find an AWS service, as in sqs=http://127.0.0.1:9324 or s3=https://s3.{region}.amazonaws.com, may be
    /// repeated [default: this server, for the services it has] [env: OMBRA_AWS_ENDPOINTS, by commas]
    #[arg(long = "aws-endpoint", value_name = "SERVICE=URL")]
    pub(crate) aws_endpoints: Vec<String>,
    /// A file as ~/.aws/credentials, whose [default] signs requests to --aws-endpoint [default: AWS_ACCESS_KEY_ID and its
    /// companions] [env: OMBRA_AWS_CREDENTIALS]
    #[arg(long, value_name = "FILE")]
    pub(crate) aws_credentials: Option<String>,
    /// Whether Lambda functions are run [default: on, and off with `ombra serve`] [env: OMBRA_FUNCTIONS]
    #[arg(long, value_name = "on|off")]
    pub(crate) functions: Option<String>,
    /// The Python that runs functions; needs awslambdaric [default: from `ombra runtime install`, or on PATH] [env: OMBRA_FUNCTIONS_PYTHON]
    #[arg(long, value_name = "FILE")]
    pub(crate) functions_python: Option<String>,
    /// The Node.js that runs functions [default: on PATH] [env: OMBRA_FUNCTIONS_NODE]
    #[arg(long, value_name = "FILE")]
    pub(crate) functions_node: Option<String>,
    /// Whether functions run in namespaces of their own [default: auto] [env: OMBRA_FUNCTIONS_SANDBOX]
    #[arg(long, value_name = "auto|required|off")]
    pub(crate) functions_sandbox: Option<String>,
    /// Processes that run functions at a time [default: 16] [env: OMBRA_FUNCTIONS_CONCURRENCY]
    #[arg(long, value_name = "N")]
    pub(crate) functions_concurrency: Option<String>,
    /// Seconds until an event whose function failed is tried again, and twice as many the next time [default: 60] [env: OMBRA_FUNCTIONS_RETRY]
    #[arg(long, value_name = "N")]
    pub(crate) functions_retry: Option<String>,
}

/// Whom a server believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Whoever is on this machine: any access key is taken at its word, unless it was made here.
    Development,
    /// Whoever signs with a key that was made here; where nothing else is said, it listens there.
    Network(IpAddr),
}

/// What a server is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The data directory.
    pub(crate) data: PathBuf,
    /// Whom it believes.
    pub(crate) mode: Mode,
    /// Where the HTTP API answers; port 0 takes any free one.
    pub(crate) http: SocketAddr,
    /// Where MQTT over TLS answers.
    pub(crate) mqtts: SocketAddr,
    /// Where TLS answers that chooses the protocol by ALPN.
    pub(crate) tls: SocketAddr,
    /// Where MQTT without TLS answers, if anywhere.
    pub(crate) mqtt_plain: Option<Plain>,
    /// Threads that serve connections; none means one for each core.
    pub(crate) workers: Option<NonZeroUsize>,
    /// Connections that may be open at a time.
    pub(crate) max_connections: usize,
    /// What is done about AWS's quotas.
    pub(crate) quotas: Quotas,
    /// What an acknowledgement promises.
    pub(crate) durability: Durability,
    /// Megabytes of log events that are kept.
    pub(crate) log_megabytes: usize,
    /// Names and addresses for the server certificate, beyond those of this machine.
    pub(crate) tls_names: Vec<String>,
    /// The certificate that TLS shows, where it is not that of the data directory.
    pub(crate) tls_files: Option<IdentityFiles>,
    /// Where rule actions find the services that are not to be found here.
    pub(crate) aws_endpoints: BTreeMap<Service, String>,
    /// What signs requests to them.
    pub(crate) aws_credentials: Credentials,
    /// How functions are run.
    pub(crate) functions: Functions,
}

/// How functions are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Functions {
    /// Whether they are.
    pub(crate) on: bool,
    /// The Python that runs them, if one was named.
    pub(crate) python: Option<PathBuf>,
    /// The Node.js that runs them, if one was named.
    pub(crate) node: Option<PathBuf>,
    /// Whether they have namespaces of their own.
    pub(crate) walls: Walls,
    /// Processes that run functions at a time.
    pub(crate) concurrency: usize,
    /// Milliseconds until an event whose function failed is tried again.
    pub(crate) retry: i64,
}

/// Whether functions have namespaces of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Walls {
    /// If the system lets us.
    Auto,
    /// They have, or are not run.
    Required,
    /// They have not.
    Off,
}

/// Something that is on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// MQTT without TLS, for development.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plain {
    /// Where it answers.
    pub(crate) address: SocketAddr,
    /// The IoT policy that says what anybody there may do.
    pub(crate) policy: String,
}

/// What is done about AWS's quotas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Quotas {
    /// Nothing.
    Off,
    /// What AWS would have refused is let through and reported.
    Warn,
    /// What AWS would refuse is refused.
    Aws,
}

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Durability {
    /// The commit is on disk.
    Durable,
    /// The commit is in the hands of the operating system.
    Relaxed,
}

/// A setting that means nothing, or nothing that is allowed; a usage error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadSetting(String);

impl fmt::Display for BadSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadSetting {}

impl Flags {
    /// These flags, and where they are silent the others: `ombra --http A dev` is `ombra dev --http A`.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            http: self.http.or(others.http),
            mqtts: self.mqtts.or(others.mqtts),
            tls: self.tls.or(others.tls),
            mqtt_plain: self.mqtt_plain.or(others.mqtt_plain),
            mqtt_plain_policy: self.mqtt_plain_policy.or(others.mqtt_plain_policy),
            workers: self.workers.or(others.workers),
            max_connections: self.max_connections.or(others.max_connections),
            quotas: self.quotas.or(others.quotas),
            durability: self.durability.or(others.durability),
            log_megabytes: self.log_megabytes.or(others.log_megabytes),
            tls_names: [self.tls_names, others.tls_names].concat(),
            tls_cert: self.tls_cert.or(others.tls_cert),
            tls_key: self.tls_key.or(others.tls_key),
            aws_endpoints: [self.aws_endpoints, others.aws_endpoints].concat(),
            aws_credentials: self.aws_credentials.or(others.aws_credentials),
            functions: self.functions.or(others.functions),
            functions_python: self.functions_python.or(others.functions_python),
            functions_node: self.functions_node.or(others.functions_node),
            functions_sandbox: self.functions_sandbox.or(others.functions_sandbox),
            functions_concurrency: self.functions_concurrency.or(others.functions_concurrency),
            functions_retry: self.functions_retry.or(others.functions_retry),
        }
    }
}

/// The data directory that is meant.
pub(crate) fn data(typed: Option<PathBuf>, env: &dyn Fn(&str) -> Option<OsString>) -> PathBuf {
    typed.or_else(|| Some(env("OMBRA_DATA")?.into())).unwrap_or_else(|| PathBuf::from("./ombra-data"))
}

impl Settings {
    /// Settles everything for `ombra dev`, which answers on loopback addresses only.
    pub(crate) fn new(data: PathBuf, flags: Flags, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, BadSetting> {
        Self::of_mode(Mode::Development, data, flags, env)
    }

    /// Settles everything for `ombra serve`, which answers where it is told.
    pub(crate) fn for_network(
        data: PathBuf,
        listen: Option<String>,
        flags: Flags,
        env: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, BadSetting> {
        let listen = match ask("listen", listen, env)? {
            None => Ipv4Addr::LOCALHOST.into(),
            Some((from, value)) => {
                let ip = value.parse();
                ip.map_err(|_| {
                    BadSetting(format!("{from} {value}: not an IP address; 0.0.0.0 means all of this machine's"))
                })?
            }
        };
        Self::of_mode(Mode::Network(listen), data, flags, env)
    }

    fn of_mode(
        mode: Mode,
        data: PathBuf,
        flags: Flags,
        env: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, BadSetting> {
        let ask = |name, typed| ask(name, typed, env);
        let tls_names = list("tls-names", flags.tls_names, env)?;
        if let Some(bad) = tls_names.iter().find(|name| !is_server_name(name)) {
            return Err(BadSetting(format!("--tls-name {bad}: neither a DNS name nor an IP address")));
        }
        Ok(Self {
            data,
            mode,
            http: mode.address(ask("http", flags.http)?, 4583)?,
            mqtts: mode.address(ask("mqtts", flags.mqtts)?, 8883)?,
            tls: mode.address(ask("tls", flags.tls)?, 8443)?,
            mqtt_plain: plain(
                ask("mqtt-plain", flags.mqtt_plain)?,
                ask("mqtt-plain-policy", flags.mqtt_plain_policy)?,
            )?,
            workers: number(ask("workers", flags.workers)?, 1024)?,
            max_connections: number(ask("max-connections", flags.max_connections)?, 10_000_000)?
                .map_or(MAX_CONNECTIONS, NonZeroUsize::get),
            quotas: choice(ask("quotas", flags.quotas)?, Quotas::Warn)?,
            durability: choice(ask("durability", flags.durability)?, Durability::Durable)?,
            log_megabytes: number(ask("log-megabytes", flags.log_megabytes)?, 1 << 20)?
                .map_or(LOG_MEGABYTES, NonZeroUsize::get),
            tls_names,
            tls_files: tls_files(ask("tls-cert", flags.tls_cert)?, ask("tls-key", flags.tls_key)?)?,
            aws_endpoints: aws_endpoints(&list("aws-endpoints", flags.aws_endpoints, env)?)?,
            aws_credentials: Credentials::settle(
                ask("aws-credentials", flags.aws_credentials)?.map(|(_, file)| file.into()),
                env,
            ),
            functions: Functions {
                on: choice(ask("functions", flags.functions)?, mode.functions())? == Switch::On,
                python: ask("functions-python", flags.functions_python)?.map(|(_, path)| path.into()),
                node: ask("functions-node", flags.functions_node)?.map(|(_, path)| path.into()),
                walls: choice(ask("functions-sandbox", flags.functions_sandbox)?, Walls::Auto)?,
                concurrency: number(ask("functions-concurrency", flags.functions_concurrency)?, 1024)?
                    .map_or(FUNCTIONS, NonZeroUsize::get),
                retry: number(ask("functions-retry", flags.functions_retry)?, 86_400)?
                    .and_then(|seconds| i64::try_from(seconds.get()).ok())
                    .unwrap_or(FUNCTIONS_RETRY)
                    * 1000,
            },
        })
    }

    /// The same on any free ports, for a server that must not disturb another.
    pub(crate) fn on_free_ports(mut self) -> Self {
        let plain = self.mqtt_plain.as_mut().map(|plain| &mut plain.address);
        for address in [&mut self.http, &mut self.mqtts, &mut self.tls].into_iter().chain(plain) {
            address.set_port(0);
        }
        self
    }
}

impl fmt::Display for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Aws => "aws",
        })
    }
}

/// Where a value came from, for the error, and the value.
type Said = (String, String);

fn ask(name: &str, typed: Option<String>, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Option<Said>, BadSetting> {
    if let Some(typed) = typed {
        return Ok(Some((format!("--{name}"), typed)));
    }
    let variable = format!("OMBRA_{}", name.to_ascii_uppercase().replace('-', "_"));
    match env(&variable).map(OsString::into_string) {
        None => Ok(None),
        Some(Ok(empty)) if empty.is_empty() => Ok(None),
        Some(Ok(value)) => Ok(Some((variable, value))),
        Some(Err(_)) => Err(BadSetting(format!("{variable} is not valid UTF-8"))),
    }
}

/// What was typed several times, or stands in a variable with commas between.
fn list(name: &str, typed: Vec<String>, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Vec<String>, BadSetting> {
    if !typed.is_empty() {
        return Ok(typed);
    }
    let listed = ask(name, None, env)?;
    Ok(listed.iter().flat_map(|(_, list)| list.split(',')).map(|item| item.trim().to_owned()).collect())
}

/// Certificate and key, which go together.
fn tls_files(certificate: Option<Said>, key: Option<Said>) -> Result<Option<IdentityFiles>, BadSetting> {
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some((_, certificate)), Some((_, key))) => {
            Ok(Some(IdentityFiles { certificate: certificate.into(), key: key.into() }))
        }
        (Some((said, _)), None) => Err(BadSetting(format!("{said} needs --tls-key, the file of its key"))),
        (None, Some((said, _))) => Err(BadSetting(format!("{said} needs --tls-cert, the file of its certificate"))),
    }
}

/// Pairs of a service and its URL.
fn aws_endpoints(pairs: &[String]) -> Result<BTreeMap<Service, String>, BadSetting> {
    let pairs = pairs.iter().map(|pair| {
        let bad = |why: &str| BadSetting(format!("--aws-endpoint {pair}: {why}"));
        let (name, url) = pair.split_once('=').ok_or_else(|| bad("not a pair as sqs=http://127.0.0.1:9324"))?;
        let service = Service::named(name.trim()).ok_or_else(|| {
            let known: Vec<&str> = Service::all().map(Service::name).collect();
            bad(&format!("the service must be one of {}", known.join(", ")))
        })?;
        let url = url.trim();
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(bad("the URL must begin with http:// or https://"));
        }
        Ok((service, url.to_owned()))
    });
    pairs.collect()
}

/// Without TLS nobody can say who he is, so the listener is nothing without the policy that everybody there is held to.
fn plain(address: Option<Said>, policy: Option<Said>) -> Result<Option<Plain>, BadSetting> {
    let (address, policy) = match (address, policy) {
        (None, None) => return Ok(None),
        (Some(address), Some(policy)) => (address, policy),
        (Some((from, value)), None) => {
            return Err(BadSetting(format!(
                "{from} {value}: needs --mqtt-plain-policy too, the name of the IoT policy that says what may be done there"
            )));
        }
        (None, Some((from, value))) => {
            return Err(BadSetting(format!("{from} {value}: means nothing without --mqtt-plain 127.0.0.1:1883")));
        }
    };
    let (from, name) = policy;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if !(1..=128).contains(&name.len()) || !name.bytes().all(fits) {
        return Err(BadSetting(format!("{from} {name}: not the name of a policy (1 to 128 letters, digits, _+=,.@-)")));
    }
    Ok(Some(Plain { address: loopback(Some(address), 1883)?, policy: name }))
}

impl Mode {
    /// Where a listener is. In development only this machine can reach it.
    fn address(self, said: Option<Said>, default_port: u16) -> Result<SocketAddr, BadSetting> {
        match self {
            Self::Development => loopback(said, default_port),
            Self::Network(ip) => {
                said.map_or(Ok(SocketAddr::new(ip, default_port)), |said| address(&said, default_port))
            }
        }
    }

    /// Code of strangers is run only where somebody asked for it.
    fn functions(self) -> Switch {
        match self {
            Self::Development => Switch::On,
            Self::Network(_) => Switch::Off,
        }
    }
}

fn address((from, value): &Said, default_port: u16) -> Result<SocketAddr, BadSetting> {
    let numeric = value.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let address = numeric.as_ref().unwrap_or(value).parse();
    address.map_err(|_| BadSetting(format!("{from} {value}: not an address like 127.0.0.1:{default_port}")))
}

fn loopback(said: Option<Said>, default_port: u16) -> Result<SocketAddr, BadSetting> {
    let Some(said) = said else { return Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), default_port)) };
    let address = address(&said, default_port)?;
    if is_loopback(address.ip()) {
        return Ok(address);
    }
    let (from, value) = said;
    Err(BadSetting(format!(
        "{from} {value}: here whoever connects is believed, so that only loopback addresses will do (127.0.0.1 or [::1]); \
         `ombra serve` answers a network, and verifies who asks"
    )))
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

fn number(said: Option<Said>, at_most: usize) -> Result<Option<NonZeroUsize>, BadSetting> {
    let Some((from, value)) = said else { return Ok(None) };
    let number = value.parse().ok().filter(|number: &NonZeroUsize| number.get() <= at_most);
    number.map(Some).ok_or_else(|| BadSetting(format!("{from} {value}: must be a number from 1 to {at_most}")))
}

fn choice<T: ValueEnum>(said: Option<Said>, default: T) -> Result<T, BadSetting> {
    let Some((from, value)) = said else { return Ok(default) };
    T::from_str(&value, false).map_err(|_| {
        let known: Vec<_> =
            T::value_variants().iter().filter_map(T::to_possible_value).map(|v| v.get_name().to_owned()).collect();
        BadSetting(format!("{from} {value}: must be {}", known.join(" or ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(flags: Flags, env: &[(&str, &str)]) -> Result<Settings, BadSetting> {
        let lookup = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        Settings::new("data".into(), flags, &lookup)
    }

    fn http(address: &str) -> Flags {
        Flags { http: Some(address.to_owned()), ..Flags::default() }
    }

    #[test]
    fn silence_means_the_defaults() {
        let settings = settle(Flags::default(), &[("OMBRA_HTTP", "")]).unwrap();
        assert_eq!(settings.http, "127.0.0.1:4583".parse().unwrap());
        assert_eq!(settings.mqtts, "127.0.0.1:8883".parse().unwrap());
        assert_eq!(settings.tls, "127.0.0.1:8443".parse().unwrap());
        assert_eq!((settings.quotas, settings.durability), (Quotas::Warn, Durability::Durable));
        assert_eq!((settings.workers, settings.max_connections), (None, 100_000));
        assert_eq!(settings.log_megabytes, 1024);
        assert_eq!(settings.on_free_ports().mqtts.port(), 0);
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_default() {
        let env = [("OMBRA_HTTP", "127.0.0.1:1"), ("OMBRA_QUOTAS", "aws"), ("OMBRA_TLS_NAMES", "a.b, 10.0.0.1")];
        let settings = settle(http("localhost:2"), &env).unwrap();
        assert_eq!(settings.http.port(), 2);
        assert_eq!(settings.quotas, Quotas::Aws);
        assert_eq!(settings.tls_names, ["a.b", "10.0.0.1"]);
        let twice = http("[::1]:3").or(Flags { tls: Some("127.0.0.1:9".into()), ..http("127.0.0.1:4") });
        let settings = settle(twice, &env).unwrap();
        assert_eq!((settings.http.port(), settings.tls.port()), (3, 9));
    }

    #[test]
    fn services_are_found_where_the_operator_says() {
        let env = [("OMBRA_AWS_ENDPOINTS", "sqs=http://h:9324, s3=https://s3.{region}.amazonaws.com")];
        let settings = settle(Flags::default(), &env).unwrap();
        assert_eq!(settings.aws_endpoints[&Service::Sqs], "http://h:9324");
        assert_eq!(settings.aws_endpoints[&Service::S3], "https://s3.{region}.amazonaws.com");
        assert_eq!(settings.aws_credentials, Credentials::None);
        let flags = Flags { aws_endpoints: vec!["sns=http://other".into()], ..Flags::default() };
        let flags = Flags { aws_credentials: Some("file".into()), ..flags };
        let settings = settle(flags, &env).unwrap();
        assert_eq!(settings.aws_endpoints.into_keys().collect::<Vec<_>>(), [Service::Sns]);
        assert_eq!(settings.aws_credentials, Credentials::File("file".into()));
    }

    #[test]
    fn a_network_is_served_where_it_is_said_and_without_functions() {
        let settle = |listen: Option<&str>, flags, env: &[(&str, &str)]| {
            let lookup = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
            Settings::for_network("data".into(), listen.map(str::to_owned), flags, &lookup)
        };
        let settings = settle(None, Flags::default(), &[]).unwrap();
        assert_eq!(settings.http, "127.0.0.1:4583".parse().unwrap());
        assert!(!settings.functions.on);
        let settings = settle(Some("0.0.0.0"), http("10.0.0.1:80"), &[("OMBRA_FUNCTIONS", "on")]).unwrap();
        assert_eq!((settings.http, settings.tls), ("10.0.0.1:80".parse().unwrap(), "0.0.0.0:8443".parse().unwrap()));
        assert!(settings.functions.on);
        let error = settle(Some("here"), Flags::default(), &[]).unwrap_err().to_string();
        assert!(error.contains("--listen here: not an IP address"), "{error}");
        let plain = [("OMBRA_MQTT_PLAIN", "10.0.0.1:1883"), ("OMBRA_MQTT_PLAIN_POLICY", "open")];
        assert!(settle(Some("10.0.0.1"), Flags::default(), &plain).is_err());
    }

    #[test]
    fn mqtt_without_tls_is_off_unless_asked_for_with_its_policy() {
        assert_eq!(settle(Flags::default(), &[]).unwrap().mqtt_plain, None);
        let env = [("OMBRA_MQTT_PLAIN", "localhost:1883"), ("OMBRA_MQTT_PLAIN_POLICY", "bench")];
        let plain = settle(Flags::default(), &env).unwrap().mqtt_plain.unwrap();
        assert_eq!((plain.address, plain.policy.as_str()), ("127.0.0.1:1883".parse().unwrap(), "bench"));
    }

    #[test]
    fn what_cannot_be_meant_names_its_source() {
        let check = |flags, env: &[(&str, &str)], expected: &str| {
            let error = settle(flags, env).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(http("4583"), &[], "--http 4583: not an address");
        check(http("0.0.0.0:4583"), &[], "--http 0.0.0.0:4583: here whoever connects is believed");
        check(http("[::]:4583"), &[], "only loopback addresses will do");
        check(Flags::default(), &[("OMBRA_MQTTS", "10.0.0.1:1")], "OMBRA_MQTTS 10.0.0.1:1: here whoever");
        check(Flags::default(), &[("OMBRA_DURABILITY", "some")], "OMBRA_DURABILITY some: must be durable or relaxed");
        check(Flags::default(), &[("OMBRA_WORKERS", "0")], "OMBRA_WORKERS 0: must be a number from 1 to 1024");
        check(Flags { max_connections: Some("all".into()), ..Flags::default() }, &[], "--max-connections all: must be");
        let plain = |address: &str, policy: Option<&str>| Flags {
            mqtt_plain: Some(address.to_owned()),
            mqtt_plain_policy: policy.map(str::to_owned),
            ..Flags::default()
        };
        let endpoint = |pair: &str| Flags { aws_endpoints: vec![pair.to_owned()], ..Flags::default() };
        check(endpoint("sqs"), &[], "--aws-endpoint sqs: not a pair");
        check(endpoint("iot=http://h"), &[], "must be one of cloudwatch, dynamodb");
        check(endpoint("sqs=h:9324"), &[], "must begin with http://");
        check(plain("127.0.0.1:1883", None), &[], "needs --mqtt-plain-policy too");
        check(plain("0.0.0.0:1883", Some("open")), &[], "--mqtt-plain 0.0.0.0:1883: here whoever");
        check(plain("127.0.0.1:1883", Some("a b")), &[], "--mqtt-plain-policy a b: not the name of a policy");
        check(Flags::default(), &[("OMBRA_MQTT_PLAIN_POLICY", "p")], "means nothing without --mqtt-plain");
        check(Flags { tls_names: vec!["a b".into()], ..Flags::default() }, &[], "--tls-name a b");
    }

    #[test]
    fn the_data_directory_is_typed_or_in_the_environment_or_the_default() {
        let env = |name: &str| (name == "OMBRA_DATA").then(|| "there".into());
        assert_eq!(data(Some("here".into()), &env), PathBuf::from("here"));
        assert_eq!(data(None, &env), PathBuf::from("there"));
        assert_eq!(data(None, &|_| None), PathBuf::from("./ombra-data"));
    }
}
