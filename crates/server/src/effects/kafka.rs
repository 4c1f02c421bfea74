//! Records to Kafka: a lane keeps its connections to the brokers, knows which of them leads which partition, and asks again when
//! that has changed. Which topic a record is for was decided before; nothing is ever read from a topic here.

mod answer;
mod batch;
mod connection;
mod scram;
mod tls;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloud::actions::{Cause, Failure, KafkaCluster, KafkaCompression, KafkaRecord, Outcome};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ApiKey, MetadataRequest, ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use rustls::ClientConfig;
use tokio::time::{sleep, timeout};

use super::client::Client;
use answer::{Metadata, Partition};
use connection::Connection;

/// How often a record is tried, how long one try may take, and how long is waited before the next.
const TRIES: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(5);
const BACK_OFF: Duration = Duration::from_millis(200);

/// Versions of the protocol's messages that every broker since 0.11 speaks, 4.x among them.
const METADATA: (ApiKey, i16) = (ApiKey::Metadata, 4);
const PRODUCE: (ApiKey, i16) = (ApiKey::Produce, 3);
/// The version, of brokers since 2.1, below which they refuse zstd.
const PRODUCE_ZSTD: (ApiKey, i16) = (ApiKey::Produce, 7);

/// How long a broker may take to write a record down, in milliseconds.
const WRITE_MS: i32 = 4000;

/// What a lane knows of the cluster it writes to.
#[derive(Default)]
pub(super) struct Kept {
    cluster: Option<KafkaCluster>,
    /// How TLS is spoken with it, once its stores have been opened.
    tls: Option<Arc<ClientConfig>>,
    /// Connections to brokers, by their addresses.
    connections: HashMap<String, Connection>,
    metadata: Option<Metadata>,
    /// Whose turn it is among the partitions, for records without a key.
    turn: usize,
}

/// Writes a record until a broker has it or it is not worth another try.
pub(super) async fn carry(client: &Client, kept: &mut Kept, record: &KafkaRecord) -> Outcome {
    if kept.cluster.as_ref() != Some(&record.cluster) {
        *kept = Kept { cluster: Some(record.cluster.clone()), ..Kept::default() };
    }
    let mut tries = 1;
    loop {
        let written = timeout(PATIENCE, kept.write(client, record)).await.unwrap_or_else(|_| {
            let message = format!("Kafka did not answer within {} s.", PATIENCE.as_secs());
            Err(Failure::new(Cause::TimedOut, message))
        });
        let Err(failure) = written else { return Ok(()) };
        // Whatever it was, what is known of the cluster may be out of date, and a connection may be half used.
        kept.connections.clear();
        kept.metadata = None;
        if tries >= TRIES || matches!(failure.cause, Cause::Refused | Cause::Unusable | Cause::InvalidUrl) {
            return Err(failure);
        }
        sleep(BACK_OFF * 2_u32.pow(tries - 1)).await;
        tries += 1;
    }
}

impl Kept {
    async fn write(&mut self, client: &Client, record: &KafkaRecord) -> Outcome {
        let batch = batch::encode(record)?;
        let partition = self.partition(client, record).await?;
        let request = produce(record, partition.index, batch);
        let version = if record.compression == KafkaCompression::Zstd { PRODUCE_ZSTD } else { PRODUCE };
        let body = self.to(client, &partition.leader).await?.ask(version, &request).await?;
        self.connections.retain(|address, _| *address == partition.leader);
        let code = answer::produced(body, version.1).ok_or_else(|| garbled("Produce"))?;
        check(code, &record.topic)
    }

    /// The partition that a record goes to.
    async fn partition(&mut self, client: &Client, record: &KafkaRecord) -> Result<Partition, Failure> {
        if self.metadata.as_ref().is_none_or(|known| known.topic != record.topic) {
            self.metadata = Some(self.learn(client, record).await?);
        }
        let partitions = self.metadata.as_ref().map_or(&[][..], |known| &known.partitions);
        let count = partitions.len();
        let found = match (record.partition, &record.key) {
            (Some(index), _) => partitions.iter().find(|partition| partition.index == index),
            (None, Some(key)) => partitions.get(place_of(key.as_bytes(), count)),
            (None, None) => {
                self.turn = self.turn.wrapping_add(1);
                partitions.get(self.turn % count.max(1))
            }
        };
        found.cloned().ok_or_else(|| {
            let which = record.partition.map_or_else(|| "partitions".to_owned(), |index| format!("partition {index}"));
            Failure::new(Cause::Refused, format!("The topic {} has no {which} with a leader.", record.topic))
        })
    }

    /// Asks the first broker that answers.
    async fn learn(&mut self, client: &Client, record: &KafkaRecord) -> Result<Metadata, Failure> {
        let topic = MetadataRequestTopic::default().with_name(Some(name(&record.topic)));
        let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(true);
        let mut failure = Failure::new(Cause::Unusable, "No bootstrap.servers are given.");
        for address in &record.cluster.bootstrap {
            let asked = match self.to(client, address).await {
                Ok(connection) => connection.ask(METADATA, &request).await,
                Err(failure) => Err(failure),
            };
            match asked {
                Ok(body) => {
                    let metadata = Metadata::read(body, &record.topic).ok_or_else(|| garbled("Metadata"))?;
                    check(metadata.error, &record.topic)?;
                    return Ok(metadata);
                }
                Err(other) => failure = other,
            }
        }
        Err(failure)
    }

    /// The connection to a broker, opened if there is none.
    async fn to(&mut self, client: &Client, address: &str) -> Result<&mut Connection, Failure> {
        let Some(cluster) = &self.cluster else { return Err(garbled("Nothing")) };
        if !self.connections.contains_key(address) {
            if let (None, Some(tls)) = (&self.tls, &cluster.tls) {
                self.tls = Some(tls::config(client, tls).await?);
            }
            let connection = Connection::open(self.tls.as_ref(), cluster.login.as_ref(), address).await?;
            self.connections.insert(address.to_owned(), connection);
        }
        self.connections.get_mut(address).ok_or_else(|| garbled("Nothing"))
    }
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// The request that writes a batch; the partition's leader answers once it has it, or once all replicas in step do.
fn produce(record: &KafkaRecord, partition: i32, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(name(&record.topic)).with_partition_data(vec![data]);
    let acks = if record.all_replicas { -1 } else { 1 };
    ProduceRequest::default().with_acks(acks).with_timeout_ms(WRITE_MS).with_topic_data(vec![topic])
}

/// Whether a broker said that all is well.
fn check(code: i16, topic: &str) -> Outcome {
    let Some(error) = ResponseError::try_from_code(code) else { return Ok(()) };
    let message = format!("Kafka refused the topic {topic}: {error:?} ({code}).");
    let cause = if error.is_retriable() { Cause::Unreachable } else { Cause::Refused };
    Err(Failure::new(cause, message))
}

fn garbled(what: &str) -> Failure {
    Failure::new(Cause::Unreachable, format!("{what} was answered with something that is no answer."))
}

/// The partition of a key, chosen as Kafka's own clients choose it, so that equal keys from anywhere meet.
fn place_of(key: &[u8], count: usize) -> usize {
    (murmur2(key) & 0x7fff_ffff) as usize % count.max(1)
}

/// MurmurHash2 with Kafka's seed.
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hashed_as_kafkas_own_clients_hash_them() {
        // The values of Kafka's own test of its hash.
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }
}
