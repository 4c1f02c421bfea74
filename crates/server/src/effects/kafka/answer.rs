//! What brokers answer, read with bounds of our own: a broker is somebody whom a rule names, and the lengths it claims are not
//! believed. What is asked is unknown here.

use std::collections::HashMap;

use bytes::{Buf as _, Bytes};

/// Brokers and partitions of one cluster that are listened to.
const MOST: usize = 10_000;

/// What is known of a topic.
pub(super) struct Metadata {
    pub(super) topic: String,
    pub(super) error: i16,
    /// Those that have a leader, in order of their numbers.
    pub(super) partitions: Vec<Partition>,
}

/// A partition and the address of its leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    pub(super) index: i32,
    pub(super) leader: String,
}

impl Metadata {
    /// Reads the answer to a `Metadata` request, version 4, for one topic.
    pub(super) fn read(body: Bytes, asked: &str) -> Option<Self> {
        let mut body = Reader(body);
        body.i32()?; // throttling
        let mut brokers = HashMap::new();
        for _ in 0..body.count()? {
            let (node, host, port) = (body.i32()?, body.text()??, body.i32()?);
            body.text()?; // rack
            brokers.insert(node, format!("{host}:{port}"));
        }
        body.text()?; // cluster
        body.i32()?; // controller
        let mut known = Self { topic: asked.to_owned(), error: 0, partitions: Vec::new() };
        for _ in 0..body.count()? {
            let (error, name) = (body.i16()?, body.text()??);
            body.i8()?; // internal
            let mut partitions = Vec::new();
            for _ in 0..body.count()? {
                body.i16()?; // error
                let (index, leader) = (body.i32()?, body.i32()?);
                for _ in 0..2 {
                    // replicas, those of them in step
                    for _ in 0..body.count()? {
                        body.i32()?;
                    }
                }
                if let Some(leader) = brokers.get(&leader).cloned() {
                    partitions.push(Partition { index, leader });
                }
            }
            if name == asked {
                partitions.sort_by_key(|partition| partition.index);
                known = Self { error, partitions, ..known };
            }
        }
        Some(known)
    }
}

/// Reads the answer to a `Produce` request, version 3 to 7, of one partition: the code of its error, 0 for none.
pub(super) fn produced(body: Bytes, version: i16) -> Option<i16> {
    let mut body = Reader(body);
    let mut code = None;
    for _ in 0..body.count()? {
        body.text()?;
        for _ in 0..body.count()? {
            body.i32()?; // partition
            code = Some(body.i16()?);
            body.i64()?; // offset
            body.i64()?; // time
            if version >= 5 {
                body.i64()?; // the first offset that is still there
            }
        }
    }
    code
}

/// Reads the answer to a `SaslHandshake` request: the code of its error, and the mechanisms that the broker knows.
pub(super) fn handshake(body: Bytes) -> Option<(i16, Vec<String>)> {
    let mut body = Reader(body);
    let code = body.i16()?;
    let mechanisms = (0..body.count()?).map(|_| body.text()?);
    Some((code, mechanisms.collect::<Option<_>>()?))
}

/// Reads the answer to a `SaslAuthenticate` request: the code of its error, what the broker says about it, its token.
pub(super) fn authenticated(body: Bytes) -> Option<(i16, Option<String>, Bytes)> {
    let mut body = Reader(body);
    let (code, message) = (body.i16()?, body.text()?);
    let length = usize::try_from(body.i32()?).unwrap_or(0);
    Some((code, message, body.bytes(length)?))
}

/// The bytes of an answer; nothing where they end too soon.
struct Reader(Bytes);

impl Reader {
    fn bytes(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    fn i8(&mut self) -> Option<i8> {
        Some(self.bytes(1)?.get_i8())
    }

    fn i16(&mut self) -> Option<i16> {
        Some(self.bytes(2)?.get_i16())
    }

    fn i32(&mut self) -> Option<i32> {
        Some(self.bytes(4)?.get_i32())
    }

    fn i64(&mut self) -> Option<i64> {
        Some(self.bytes(8)?.get_i64())
    }

    /// How many elements follow; a list that is null has none.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.i32()?).unwrap_or(0);
        (count <= MOST).then_some(count)
    }

    /// A text that may be null.
    #[expect(clippy::option_option, reason = "the outer one is about the bytes, the inner one about the text")]
    fn text(&mut self) -> Option<Option<String>> {
        let Ok(length) = usize::try_from(self.i16()?) else { return Some(None) };
        Some(Some(String::from_utf8(self.bytes(length)?.to_vec()).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::messages::metadata_response::{
        MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    };
    use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
    use kafka_protocol::messages::{BrokerId, MetadataResponse, ProduceResponse, TopicName};
    use kafka_protocol::protocol::{Encodable, StrBytes};

    use super::*;

    fn encoded(message: &impl Encodable, version: i16) -> Bytes {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes, version).unwrap();
        bytes.freeze()
    }

    fn metadata() -> Bytes {
        let broker = |node: i32| {
            let broker = MetadataResponseBroker::default().with_node_id(BrokerId(node)).with_port(9092 + node);
            broker.with_host(StrBytes::from_static_str("h"))
        };
        let partition = |index, leader| {
            let nodes = vec![BrokerId(1), BrokerId(2)];
            let partition = MetadataResponsePartition::default().with_partition_index(index);
            partition.with_leader_id(BrokerId(leader)).with_replica_nodes(nodes.clone()).with_isr_nodes(nodes)
        };
        let topic = MetadataResponseTopic::default().with_name(Some(TopicName(StrBytes::from_static_str("t"))));
        let topic = topic.with_partitions(vec![partition(1, 2), partition(0, 1), partition(2, -1)]);
        let answer = MetadataResponse::default().with_brokers(vec![broker(1), broker(2)]).with_topics(vec![topic]);
        encoded(&answer, 4)
    }

    #[test]
    fn the_partitions_of_a_topic_and_their_leaders_are_read() {
        let known = Metadata::read(metadata(), "t").unwrap();
        let partition = |index, leader: &str| Partition { index, leader: leader.to_owned() };
        assert_eq!((known.error, known.partitions), (0, vec![partition(0, "h:9093"), partition(1, "h:9094")]));
        assert!(Metadata::read(metadata(), "other").unwrap().partitions.is_empty());
    }

    #[test]
    fn the_outcome_of_a_record_is_read() {
        let partition = PartitionProduceResponse::default().with_index(3).with_error_code(29);
        let topic = TopicProduceResponse::default().with_partition_responses(vec![partition]);
        let answer = ProduceResponse::default().with_responses(vec![topic.clone(), topic]);
        for version in [3, 7] {
            assert_eq!(produced(encoded(&answer, version), version), Some(29), "{version}");
        }
        assert_eq!(produced(Bytes::from_static(&[0, 0, 0, 0]), 3), None);
    }

    #[test]
    fn a_length_that_is_a_lie_reserves_nothing() {
        let whole = metadata();
        for end in 0..whole.len() {
            assert!(Metadata::read(whole.slice(..end), "t").is_none(), "{end}");
        }
        let lie = Bytes::from_static(&[0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]);
        assert!(Metadata::read(lie, "t").is_none());
    }
}
