//! The kafka action: the payload as a record of a topic (rules.md §5). How a cluster is spoken with is unknown here; what the
//! client cannot do is refused when a rule is made.

mod stores;

use wire::Refusal;

use super::effect::{Effect, Failure, KafkaCluster, KafkaCompression, KafkaLogin, KafkaRecord, Work};
use super::fields::Fields;
use super::text::{Text, render};
use super::{Prepare, Prepared, Unprepared};
use stores::Stores;

const MOST_HEADERS: usize = 100;

/// Client properties that say nothing new: the record is what the payload and the key are.
/// unconfirmed: that both spellings of the serializers are taken; AWS's pages show the one, its examples the other.
const SERIALIZERS: [(&str, &[&str]); 2] = [
    ("key.serializer", &["StringSerializer", "org.apache.kafka.common.serialization.StringSerializer"]),
    ("value.serializer", &["ByteBufferSerializer", "org.apache.kafka.common.serialization.ByteBufferSerializer"]),
];

const PROTOCOLS: [&str; 4] = ["SSL", "SASL_SSL", "PLAINTEXT", "SASL_PLAINTEXT"];
const MECHANISMS: [&str; 2] = ["PLAIN", "SCRAM-SHA-512"];
const COMPRESSIONS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
/// Who must have a record before it counts as written; the leader at least, also where nobody need.
const ACKS: [&str; 4] = ["-1", "0", "1", "all"];

/// What AWS's own client can and ours cannot.
const KERBEROS: &str = "sasl.kerberos.";

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
    stores: Stores,
    compression: Option<Text>,
    acks: Option<Text>,
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
        stores: Stores::parse(&properties)?,
        compression: properties.choice("compression.type", &COMPRESSIONS)?,
        acks: properties.choice("acks", &ACKS)?,
    }))
}

/// Refuses what is unknown, and by name what is known and not built.
fn check(properties: &Fields<'_>) -> Result<(), Refusal> {
    const READ: [&str; 9] = [
        "bootstrap.servers",
        "security.protocol",
        "sasl.mechanism",
        "sasl.plain.username",
        "sasl.plain.password",
        "sasl.scram.username",
        "sasl.scram.password",
        "compression.type",
        "acks",
    ];
    for name in properties.names() {
        if name.starts_with(KERBEROS) {
            return Err(properties.not_built(name, "Kerberos"));
        }
        if !READ.contains(&name)
            && !stores::PROPERTIES.contains(&name)
            && SERIALIZERS.iter().all(|(known, _)| *known != name)
        {
            return Err(properties.invalid("clientProperties", &format!("{name} is not known")));
        }
    }
    for (name, choices) in SERIALIZERS {
        properties.choice(name, choices)?;
    }
    if properties.written("sasl.mechanism")? == Some("GSSAPI") {
        return Err(properties.not_built("sasl.mechanism", "Kerberos"));
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
        let acks = self.acks.as_ref().map_or(Ok("1"), |it| it.render_choice("acks", &ACKS, cx))?;
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
                "lz4" => KafkaCompression::Lz4,
                "zstd" => KafkaCompression::Zstd,
                _ => KafkaCompression::None,
            },
            all_replicas: ["all", "-1"].contains(&acks),
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
        let tls = if protocol.ends_with("SSL") { Some(self.stores.render(cx)?) } else { None };
        Ok(KafkaCluster { bootstrap, tls, login })
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
