//! Domain configurations: host names under which devices reach an account, each with a certificate of its own, and what may
//! be spoken there (security.md §7). That a client asked for a name, and how the server proves to have it, is the doors'
//! affair; here is what holds for the name.
//!
//! There is no certificate manager. The ARN `arn:aws:acm:{region}:{account}:certificate/{name}` stands for files of that
//! account and name, which the operator puts down; whoever can do that owns the host names in them, and proves it to nobody
//! else.

use serde::{Deserialize, Serialize};
use store::{Fault, Key, Table, json_record};
use wire::Refusal;
use wire::iot::{
    CreateDomainConfigurationRequest, CreateDomainConfigurationResponse, DeleteDomainConfigurationRequest,
    DeleteDomainConfigurationResponse, DescribeDomainConfigurationRequest, DescribeDomainConfigurationResponse,
    DomainConfigurationSummary, ListDomainConfigurationsRequest, ListDomainConfigurationsResponse,
    ServerCertificateSummary, TlsConfig, UpdateDomainConfigurationRequest, UpdateDomainConfigurationResponse,
};

use crate::house::{House, Job, Plan};
use crate::operation::{Answer, Op, ops};
use crate::scope::{Asked, Context, NO_PARTS, Read, Scope, Write, paged};
use crate::tags::{self, Tags};
use crate::x509;

pub(crate) const OPS: &[Op] = ops! {
    live  create_domain_configuration on domain_configuration(domain_configuration_name);
    live  describe_domain_configuration on domain_configuration(domain_configuration_name);
    write update_domain_configuration on domain_configuration(domain_configuration_name);
    write delete_domain_configuration on domain_configuration(domain_configuration_name);
    read  list_domain_configurations on any;
};

/// By name.
const DOMAIN_CONFIGURATIONS: Table<DomainConfiguration> = Table::new("domain_configurations");
/// By host name, whatever the scope: how a connection finds its configuration.
const HOST_NAMES: Table<Place> = Table::new("host_names");

/// Its ARN ends with letters of its own behind the name.
pub(crate) const TAGGED: tags::Kind = tags::Kind {
    resource: "domainconfiguration",
    read: |db, rest| {
        let Some((name, suffix)) = rest.split_once('/') else { return Ok(None) };
        let found = db.get(&DOMAIN_CONFIGURATIONS, [name])?;
        Ok(found.filter(|found| found.suffix == suffix).map(|found| found.tags))
    },
    write: |db, rest, tags| {
        let name = rest.split_once('/').map_or(rest, |(name, _)| name);
        let Some(found) = db.view().get(&DOMAIN_CONFIGURATIONS, [name])? else { return Ok(()) };
        db.put(&DOMAIN_CONFIGURATIONS, [name], &DomainConfiguration { tags, ..found })
    },
};

/// Configurations an account may have in a region.
const MOST: usize = 10;

/// What every account has from the start: name and type. All of them are the server's own address.
const PROVIDED: [(&str, &str); 3] =
    [("iot:Jobs", "JOBS"), ("iot:Data-ATS", "DATA"), ("iot:CredentialProvider", "CREDENTIAL_PROVIDER")];

/// Where a host name leads.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    account: String,
    region: String,
    name: String,
}
json_record!(Place, version 1);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct DomainConfiguration {
    /// The end of its ARN.
    suffix: String,
    domain_name: String,
    /// The ARN of its certificate; none for a name that the server made up, and certifies itself.
    certificate: Option<String>,
    enabled: bool,
    /// When that was last said.
    changed: i64,
    security: SecurityPolicy,
    authentication: Authentication,
    protocol: ApplicationProtocol,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Tags,
}
json_record!(DomainConfiguration, version 1);

/// An enumeration of the model, of which only some values are built.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$of])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// As the model writes it.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            fn read(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words! {
    /// Which versions of TLS are spoken. AWS's policies also choose cipher suites; here they are those of our TLS.
    SecurityPolicy {
        /// 1.2 and 1.3.
        #[default]
        Both = "IoTSecurityPolicy_TLS13_1_2_2022_10",
        /// 1.3 alone.
        Tls13 = "IoTSecurityPolicy_TLS13_1_3_2022_10",
        /// 1.2 alone.
        Tls12 = "IoTSecurityPolicy_TLS12_1_2_2022_10",
    }
}

words! {
    /// What clients must show.
    Authentication {
        /// Whatever the protocol asks for.
        #[default]
        Default = "DEFAULT",
        /// A certificate.
        X509 = "AWS_X509",
        /// A signature.
        Sigv4 = "AWS_SIGV4",
    }
}

words! {
    /// What clients may speak.
    ApplicationProtocol {
        /// Whatever their port and ALPN say.
        #[default]
        Default = "DEFAULT",
        /// MQTT over TLS.
        Mqtt = "SECURE_MQTT",
        /// MQTT over WebSockets.
        WebSocket = "MQTT_WSS",
        /// HTTPS, and no WebSockets.
        Https = "HTTPS",
    }
}

/// What holds for a host name that a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The configuration's name.
    pub name: String,
    /// Whose it is: only its certificates are known there.
    pub scope: Scope,
    /// The host name.
    pub host: String,
    /// Whether anybody is let in.
    pub enabled: bool,
    /// Account and name, with a slash between, of the certificate that the operator put down; none if the server certifies
    /// itself.
    pub certificate: Option<String>,
    /// Which versions of TLS are spoken.
    pub security: SecurityPolicy,
    /// What clients must show.
    pub authentication: Authentication,
    /// What clients may speak.
    pub protocol: ApplicationProtocol,
}

impl House {
    /// What holds for a host name; nothing in particular if it is none of a domain configuration.
    pub fn domain(&self, host: &str) -> Result<Option<Domain>, Fault> {
        let view = self.store.read();
        let host = host.to_ascii_lowercase();
        let Some(Place { account, region, name }) = view.get(&HOST_NAMES, &Key::of([&host]))? else { return Ok(None) };
        let scope = Scope::new(&account, &region);
        let found = view.get(&DOMAIN_CONFIGURATIONS, &scope.key([&name]))?;
        Ok(found.map(|found| Domain {
            certificate: found.certificate.as_deref().and_then(file_of_arn),
            name,
            scope,
            host,
            enabled: found.enabled,
            security: found.security,
            authentication: found.authentication,
            protocol: found.protocol,
        }))
    }
}

/// The scope to which a host name belongs.
pub(crate) fn scope_of(view: &store::Read, host: &str) -> Result<Option<Scope>, Fault> {
    let place = view.get(&HOST_NAMES, &Key::of([host.to_ascii_lowercase()]))?;
    Ok(place.map(|place| Scope::new(&place.account, &place.region)))
}

/// The files that an ARN stands for, as account and name with a slash between. The model has seen to its form, but for what
/// may be a name here.
fn file_of_arn(arn: &str) -> Option<String> {
    let mut parts = arn.splitn(6, ':').skip(4);
    let (account, name) = (parts.next()?, parts.next()?.strip_prefix("certificate/")?);
    let is_name = |name: &str| {
        (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    (is_name(account) && is_name(name)).then(|| format!("{account}/{name}"))
}

/// The ARN of the configuration that a request is about, which gives its name and a slash; as given if there is none.
pub(crate) fn arn_for_policies(db: Read, given: &str) -> Result<String, Fault> {
    let name = given.trim_start_matches("domainconfiguration/").trim_end_matches('/');
    let found = db.get(&DOMAIN_CONFIGURATIONS, [name])?;
    Ok(found.map_or_else(|| db.arn(format_args!("{given}")), |found| arn(db, name, &found)))
}

fn arn(db: Read, name: &str, found: &DomainConfiguration) -> String {
    db.arn(format_args!("domainconfiguration/{name}/{}", found.suffix))
}

fn not_found() -> Refusal {
    Refusal::resource_not_found("The specified resource does not exist.")
}

fn find(db: Read, name: &str) -> Answer<DomainConfiguration> {
    Ok(db.get(&DOMAIN_CONFIGURATIONS, [name])?.ok_or_else(not_found)?)
}

fn not_built(what: &str) -> Refusal {
    Refusal::new("NotImplementedException", format!("{what} is not implemented yet"))
}

// unconfirmed: the texts of the refusals below but those of a name that is taken and of one that is not there.

fn create_domain_configuration(house: &House, cx: &Context, input: &CreateDomainConfigurationRequest) -> Answer<Plan> {
    // unconfirmed: that AWS makes none of the others for customers.
    if input.service_type().is_some_and(|service| service != "DATA") {
        let message = "Only domain configurations of the service type DATA can be created";
        return Err(Refusal::invalid_request(message).into());
    }
    let mut wanted = DomainConfiguration {
        suffix: String::new(),
        domain_name: String::new(),
        certificate: None,
        enabled: true,
        changed: cx.now,
        security: SecurityPolicy::default(),
        authentication: Authentication::default(),
        protocol: ApplicationProtocol::default(),
        tags: tags::first(input.tags())?,
    };
    let ocsp = input.server_certificate_config().and_then(|config| config.enable_ocsp_check());
    examine_callbacks(input.authorizer_config().is_some(), ocsp, input.client_certificate_config().is_some())?;
    wanted.apply(input.tls_config().as_ref(), input.authentication_type(), input.application_protocol())?;
    if let Some(host) = input.domain_name() {
        wanted.domain_name = host_name(host)?;
        let arns = input.server_certificate_arns().unwrap_or_default();
        let [certificate] = arns.as_slice() else {
            let message = "A domain configuration with a domainName needs one of serverCertificateArns";
            return Err(Refusal::invalid_request(message).into());
        };
        examine_certificate(house, cx, certificate, &wanted.domain_name)?;
        wanted.certificate = Some((*certificate).to_owned());
    } else if input.server_certificate_arns().is_some_and(|arns| !arns.is_empty()) {
        let message = "serverCertificateArns need the domainName that they are for";
        return Err(Refusal::invalid_request(message).into());
    }
    let name = input.domain_configuration_name().to_owned();
    Ok(Plan::Desk(Job::answering(cx.again(), move |db| Ok(create(db, &name, wanted.clone())?.into()))))
}

impl DomainConfiguration {
    /// Takes what is said of TLS, of authentication and of the protocol.
    fn apply(
        &mut self,
        tls: Option<&TlsConfig>,
        authentication: Option<&str>,
        protocol: Option<&str>,
    ) -> Result<(), Refusal> {
        if let Some(policy) = tls.and_then(TlsConfig::security_policy) {
            if policy.starts_with("IoTSecurityPolicy_TLS12_1_0_") {
                return Err(not_built(&format!("securityPolicy {policy}: TLS 1.0 and 1.1 are not spoken here, so it")));
            }
            let unknown = || Refusal::invalid_request(format!("Security policy {policy} not recognized."));
            self.security = SecurityPolicy::read(policy).ok_or_else(unknown)?;
        }
        if let Some(kind) = authentication {
            let custom = || not_built(&format!("authenticationType {kind}"));
            self.authentication = Authentication::read(kind).ok_or_else(custom)?;
        }
        if let Some(protocol) = protocol {
            let unknown = || Refusal::invalid_request(format!("Application protocol {protocol} not recognized."));
            self.protocol = ApplicationProtocol::read(protocol).ok_or_else(unknown)?;
        }
        // unconfirmed: which pairs AWS refuses; these could let nobody in.
        match (self.protocol, self.authentication) {
            (ApplicationProtocol::Mqtt, Authentication::Sigv4)
            | (ApplicationProtocol::WebSocket, Authentication::X509) => {
                let (protocol, kind) = (self.protocol.word(), self.authentication.word());
                let message =
                    format!("The authentication type {kind} does not fit the application protocol {protocol}");
                Err(Refusal::invalid_request(message))
            }
            _ => Ok(()),
        }
    }
}

/// Refuses what others would be asked about.
fn examine_callbacks(authorizer: bool, ocsp: Option<bool>, callback: bool) -> Result<(), Refusal> {
    match (ocsp, callback) {
        _ if authorizer => Err(not_built("authorizerConfig")),
        (Some(true), _) => Err(not_built("serverCertificateConfig with enableOCSPCheck")),
        (_, true) => Err(not_built("clientCertificateConfig")),
        _ => Ok(()),
    }
}

/// A host name as clients send it in their greeting.
fn host_name(name: &str) -> Result<String, Refusal> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // An address is no name, and is never asked for by name.
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    if is_address || !name.split('.').all(is_label) {
        return Err(Refusal::invalid_request(format!("{name} is not the name of a host")));
    }
    Ok(name.to_ascii_lowercase())
}

fn examine_certificate(house: &House, cx: &Context, arn: &str, host: &str) -> Answer<()> {
    let invalid = |message: String| Refusal::certificate_validation(message);
    let own = format!(":acm:{}:{}:", cx.scope.region, cx.scope.account);
    if !arn.contains(&own) {
        return Err(Refusal::invalid_request(format!("{arn} is not of this account and region")).into());
    }
    let file = file_of_arn(arn)
        .ok_or_else(|| invalid(format!("{arn}: the name of a certificate here is letters, digits and hyphens")))?;
    let der = house.authority.server_certificate(&file).map_err(|why| invalid(format!("{arn}: {why}")))?;
    if x509::is_for_host(&der, host).map_err(invalid)? {
        return Ok(());
    }
    Err(invalid(format!("The certificate {arn} is not for {host}")).into())
}

fn create(db: &mut Write, name: &str, mut wanted: DomainConfiguration) -> Answer<CreateDomainConfigurationResponse> {
    if db.view().contains(&DOMAIN_CONFIGURATIONS, [name])? {
        let refusal = Refusal::resource_already_exists("Domain configuration with given name already exists.");
        return Err(refusal.with("resourceId", name).into());
    }
    if db.view().all(&DOMAIN_CONFIGURATIONS, NO_PARTS)?.len() >= MOST {
        let message = format!("An account has at most {MOST} domain configurations in a region");
        return Err(Refusal::limit_exceeded(message).into());
    }
    wanted.suffix = db.cx.entropy.secret().text(b"abcdefghijklmnopqrstuvwxyz0123456789", 5);
    if wanted.certificate.is_none() {
        let label = db.cx.entropy.secret().text(b"abcdefghijklmnopqrstuvwxyz0123456789", 13);
        wanted.domain_name = format!("d{label}.{}", own_host(&db.cx.settings.endpoint));
    }
    let host = Key::of([&wanted.domain_name]);
    if db.view().get_global(&HOST_NAMES, &host)?.is_some() {
        let message = format!("A domain configuration for {} already exists.", wanted.domain_name);
        return Err(Refusal::resource_already_exists(message).into());
    }
    let (account, region) = (db.cx.scope.account.to_string(), db.cx.scope.region.to_string());
    db.put_global(&HOST_NAMES, &host, &Place { account, region, name: name.to_owned() })?;
    db.put(&DOMAIN_CONFIGURATIONS, [name], &wanted)?;
    Ok(CreateDomainConfigurationResponse::new()
        .with_domain_configuration_arn(arn(db.view(), name, &wanted))
        .with_domain_configuration_name(name))
}

/// The name under which names of the server's own making lie.
fn own_host(endpoint: &str) -> &str {
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    if host_name(host).is_ok() { host } else { "localhost" }
}

fn describe_domain_configuration(
    house: &House,
    cx: &Context,
    input: &DescribeDomainConfigurationRequest,
) -> Answer<Plan> {
    let view = house.store.read();
    let (db, name) = (Read::new(&view, cx), input.domain_configuration_name());
    let answer = DescribeDomainConfigurationResponse::new().with_domain_configuration_name(name);
    if let Some((_, service)) = PROVIDED.iter().find(|(provided, _)| *provided == name) {
        let tls = TlsConfig::new().with_security_policy(SecurityPolicy::default().word());
        let answer = answer
            .with_domain_configuration_arn(db.arn(format_args!("domainconfiguration/{name}")))
            .with_domain_name(&cx.settings.endpoint)
            .with_server_certificates([])
            .with_domain_configuration_status("ENABLED")
            .with_service_type(*service)
            .with_domain_type("ENDPOINT")
            .with_tls_config(tls)
            .with_authentication_type(Authentication::default().word())
            .with_application_protocol(ApplicationProtocol::default().word());
        return Ok(Plan::Done(Ok(answer.into())));
    }
    let found = find(db, name)?;
    let domain_type = if found.certificate.is_some() { "CUSTOMER_MANAGED" } else { "AWS_MANAGED" };
    let answer = answer
        .with_domain_configuration_arn(arn(db, name, &found))
        .with_domain_name(&found.domain_name)
        .with_server_certificates(found.certificate.iter().map(|arn| summary(house, arn)))
        .with_domain_configuration_status(status(found.enabled))
        .with_service_type("DATA")
        .with_domain_type(domain_type)
        .with_last_status_change_date(found.changed)
        .with_tls_config(TlsConfig::new().with_security_policy(found.security.word()))
        .with_authentication_type(found.authentication.word())
        .with_application_protocol(found.protocol.word());
    Ok(Plan::Done(Ok(answer.into())))
}

fn status(enabled: bool) -> &'static str {
    if enabled { "ENABLED" } else { "DISABLED" }
}

/// A certificate as it is at this moment.
fn summary(house: &House, arn: &str) -> ServerCertificateSummary {
    let answer = ServerCertificateSummary::new().with_server_certificate_arn(arn);
    let found = file_of_arn(arn).map(|file| house.authority.server_certificate(&file));
    match found {
        Some(Err(why)) => answer.with_server_certificate_status("INVALID").with_server_certificate_status_detail(why),
        None => answer.with_server_certificate_status("INVALID"),
        Some(Ok(_)) => answer.with_server_certificate_status("VALID"),
    }
}

fn update_domain_configuration(
    db: &mut Write,
    input: &UpdateDomainConfigurationRequest,
) -> Answer<UpdateDomainConfigurationResponse> {
    let name = input.domain_configuration_name();
    if is_provided(name) {
        // What it says would hold for the address that all accounts share.
        return Err(not_built(&format!("UpdateDomainConfiguration of {name}")).into());
    }
    let mut found = find(db.view(), name)?;
    let ocsp = input.server_certificate_config().and_then(|config| config.enable_ocsp_check());
    examine_callbacks(input.authorizer_config().is_some(), ocsp, input.client_certificate_config().is_some())?;
    found.apply(input.tls_config().as_ref(), input.authentication_type(), input.application_protocol())?;
    if let Some(wanted) = input.domain_configuration_status().filter(|wanted| *wanted != status(found.enabled)) {
        found.enabled = wanted == "ENABLED";
        found.changed = db.now();
    }
    db.put(&DOMAIN_CONFIGURATIONS, [name], &found)?;
    Ok(UpdateDomainConfigurationResponse::new()
        .with_domain_configuration_arn(arn(db.view(), name, &found))
        .with_domain_configuration_name(name))
}

fn is_provided(name: &str) -> bool {
    PROVIDED.iter().any(|(provided, _)| *provided == name)
}

/// A name of the server's own making can go at once; AWS keeps one for a week after it was disabled.
fn delete_domain_configuration(
    db: &mut Write,
    input: &DeleteDomainConfigurationRequest,
) -> Answer<DeleteDomainConfigurationResponse> {
    let name = input.domain_configuration_name();
    if is_provided(name) {
        return Err(Refusal::invalid_request(format!("The domain configuration {name} cannot be deleted.")).into());
    }
    let found = find(db.view(), name)?;
    if found.enabled {
        let message = "The domain configuration must be DISABLED before it can be deleted.";
        return Err(Refusal::invalid_request(message).into());
    }
    db.delete_global(&HOST_NAMES, &Key::of([&found.domain_name]))?;
    db.delete(&DOMAIN_CONFIGURATIONS, [name])?;
    Ok(DeleteDomainConfigurationResponse::new())
}

/// An account's own, then what every account has.
fn list_domain_configurations(
    db: Read,
    input: &ListDomainConfigurationsRequest,
) -> Answer<ListDomainConfigurationsResponse> {
    let is_asked = |service: &str| input.service_type().is_none_or(|asked| asked == service);
    let asked = Asked::new(input.marker(), input.page_size());
    let page = db.page(&DOMAIN_CONFIGURATIONS, NO_PARTS, asked, |_, _| is_asked("DATA"))?;
    let mut listed = Vec::new();
    for (key, found) in page.items {
        let name = key.text_at(2)?;
        let answer = DomainConfigurationSummary::new().with_domain_configuration_arn(arn(db, &name, &found));
        listed.push(answer.with_domain_configuration_name(name).with_service_type("DATA"));
    }
    if page.next.is_none() {
        // They stand on the last page, which may be longer for them.
        for (name, service) in PROVIDED.iter().filter(|(_, service)| is_asked(service)) {
            let arn = db.arn(format_args!("domainconfiguration/{name}"));
            let answer = DomainConfigurationSummary::new().with_domain_configuration_arn(arn);
            listed.push(answer.with_domain_configuration_name(*name).with_service_type(*service));
        }
    }
    let answer = ListDomainConfigurationsResponse::new().with_domain_configurations(listed);
    Ok(paged(answer, page.next, ListDomainConfigurationsResponse::with_next_marker))
}
