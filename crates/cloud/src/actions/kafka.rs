//! The kafka action: the payload as a record of a topic (rules.md §5). How a cluster is spoken with is unknown here; what the
//! client cannot do is refused when a rule is made.

use wire::Refusal;

use super::effect::{Effect, Failure, KafkaCluster, KafkaCompression, KafkaLogin, KafkaRecord, Work};
use super::fields::Fields;
use super::text::{Text, render};
use super::{Prepare, Prepared, Unprepared};

const MOST_HEADERS: usize = 100;

/// Client properties that say nothing new: the record is what the payload and the key are, and whoever asks for few
/// acknowledgements gets all.
const SERIALIZERS: [(&str, &[&str]); 3] = [
    ("key.serializer", &["org.apache.kafka.common.serialization.StringSerializer"]),
    ("value.serializer", &["org.apache.kafka.common.serialization.ByteBufferSerializer"]),
    ("acks", &["0", "1"]),
];

const PROTOCOLS: [&str; 4] = ["SSL", "SASL_SSL", "PLAINTEXT", "SASL_PLAINTEXT"];
const MECHANISMS: [&str; 2] = ["PLAIN", "SCRAM-SHA-512"];
const COMPRESSIONS: [&str; 3] = ["none", "gzip", "snappy"];

/// What AWS's own client can and ours cannot.
const NOT_BUILT: [(&str, &str); 4] = [
    ("ssl.truststore", "trust stores; let the file that SSL_CERT_FILE names hold the authority of the brokers"),
    ("ssl.keystore", "client certificates"),
    ("ssl.key.password", "client certificates"),
    ("sasl.kerberos.", "Kerberos"),
];

struct Kafka {
    topic: Text,
    key: Option<Text>,
    partition: Option<Text>,
    headers: Vec<(Text, Text)>,
    bootstrap: Text,
    protocol: Option<Text>,
    mechanism: Option<Text>,
    plain: (Option<Text>, Option<Text>),
    scram: (Option<Text>, Option<Text>),
    compression: Option<Text>,
}

pub(super) fn parse(fields: &Fields<'_>) -> Result<Box<dyn Prepare>, Refusal> {
    // A VPC is a matter of AWS's network: here brokers are reached as they are.
    if fields.written("destinationArn")?.is_none() {
        return Err(fields.invalid("destinationArn", "it is required"));
    }
    let properties = fields.inner("clientProperties")?;
    let properties = properties.ok_or_else(|| fields.invalid("clientProperties", "it is required"))?;
    check(&properties)?;
    let headers = fields.list("headers")?;
    if headers.len() > MOST_HEADERS {
        return Err(fields.invalid("headers", "there may be 100"));
    }
    let headers = headers.iter().map(|header| Ok((header.text("key")?, header.text("value")?)));
    Ok(Box::new(Kafka {
        topic: fields.text("topic")?,
        key: fields.optional_text("key")?,
        partition: fields.optional_text("partition")?,
        headers: headers.collect::<Result<_, Refusal>>()?,
        bootstrap: properties.text("bootstrap.servers")?,
        protocol: properties.choice("security.protocol", &PROTOCOLS)?,
        mechanism: properties.choice("sasl.mechanism", &MECHANISMS)?,
        plain: (properties.optional_text("sasl.plain.username")?, properties.optional_text("sasl.plain.password")?),
        scram: (properties.optional_text("sasl.scram.username")?, properties.optional_text("sasl.scram.password")?),
        compression: properties.choice("compression.type", &COMPRESSIONS)?,
    }))
}

/// Refuses what is unknown, and by name what is known and not built.
fn check(properties: &Fields<'_>) -> Result<(), Refusal> {
    const READ: [&str; 8] = [
        "bootstrap.servers",
        "security.protocol",
        "sasl.mechanism",
        "sasl.plain.username",
        "sasl.plain.password",
        "sasl.scram.username",
        "sasl.scram.password",
        "compression.type",
    ];
    for name in properties.names() {
        if let Some((_, what)) = NOT_BUILT.iter().find(|(prefix, _)| name.starts_with(prefix)) {
            return Err(properties.not_built(name, what));
        }
        if !READ.contains(&name) && SERIALIZERS.iter().all(|(known, _)| *known != name) {
            return Err(properties.invalid("clientProperties", &format!("{name} is not known")));
        }
    }
    for (name, choices) in SERIALIZERS {
        properties.choice(name, choices)?;
    }
    let asks = |name, value| Ok::<_, Refusal>(properties.written(name)? == Some(value));
    if asks("sasl.mechanism", "GSSAPI")? {
        return Err(properties.not_built("sasl.mechanism", "Kerberos"));
    }
    for value in ["lz4", "zstd"] {
        if asks("compression.type", value)? {
            return Err(properties.not_built("compression.type", value));
        }
    }
    Ok(())
}

impl Prepare for Kafka {
    fn prepare(&self, cx: &mut Prepared<'_>) -> Result<Effect, Unprepared> {
        let topic = self.topic.render_some("topic", cx)?;
        let partition = render(self.partition.as_ref(), cx)?.filter(|text| !text.is_empty()).map(|text| {
            let number = text.parse().ok().filter(|number: &i32| *number >= 0);
            number.ok_or_else(|| Failure::unusable(format!("The partition is {text:?}, and must be a number.")))
        });
        let partition = partition.transpose()?;
        let mut headers = Vec::with_capacity(self.headers.len());
        for (key, value) in &self.headers {
            headers.push((key.render(cx)?, value.render(cx)?));
        }
        let compression = self.compression.as_ref();
        let compression =
            compression.map_or(Ok("none"), |it| it.render_choice("compression.type", &COMPRESSIONS, cx))?;
        let record = KafkaRecord {
            cluster: self.cluster(cx)?,
            topic: topic.clone(),
            partition,
            key: render(self.key.as_ref(), cx)?.filter(|key| !key.is_empty()),
            headers,
            value: cx.selected.payload.clone(),
            compression: match compression {
                "gzip" => KafkaCompression::Gzip,
                "snappy" => KafkaCompression::Snappy,
                _ => KafkaCompression::None,
            },
        };
        Ok(Effect::new(topic, Work::Kafka(Box::new(record))))
    }
}

impl Kafka {
    fn cluster(&self, cx: &mut Prepared<'_>) -> Result<KafkaCluster, Unprepared> {
        let bootstrap = self.bootstrap.render_some("bootstrap.servers", cx)?;
        let bootstrap = bootstrap.split(',').map(|server| server.trim().to_owned()).collect();
        let protocol = self.protocol.as_ref();
        let protocol = protocol.map_or(Ok("SSL"), |it| it.render_choice("security.protocol", &PROTOCOLS, cx))?;
        let login = if protocol.starts_with("SASL") { Some(self.login(cx)?) } else { None };
        Ok(KafkaCluster { bootstrap, tls: protocol.ends_with("SSL"), login })
    }

    fn login(&self, cx: &mut Prepared<'_>) -> Result<KafkaLogin, Unprepared> {
        let mechanism = self.mechanism.as_ref();
        let mechanism = mechanism.ok_or_else(|| Failure::unusable("sasl.mechanism is required for SASL."))?;
        let mechanism = mechanism.render_choice("sasl.mechanism", &MECHANISMS, cx)?;
        let (user, password) = if mechanism == "PLAIN" { &self.plain } else { &self.scram };
        let (Some(user), Some(password)) = (user, password) else {
            return Err(Failure::unusable(format!("{mechanism} needs a user name and a password.")).into());
        };
        Ok(KafkaLogin { mechanism, user: user.render(cx)?, password: password.render(cx)? })
    }
}
