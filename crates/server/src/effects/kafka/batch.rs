//! A record as brokers keep it: a batch of one, compressed as the rule says. Where it goes is unknown here.

use std::io::Write as _;

use bytes::{BufMut as _, Bytes, BytesMut};
use cloud::actions::{Cause, Failure, KafkaCompression, KafkaRecord};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::server::now_ms;

/// A batch of one record.
pub(super) fn encode(record: &KafkaRecord) -> Result<Bytes, Failure> {
    let compression = match record.compression {
        KafkaCompression::None => Compression::None,
        KafkaCompression::Gzip => Compression::Gzip,
        KafkaCompression::Snappy => Compression::Snappy,
        KafkaCompression::Lz4 => Compression::Lz4,
        KafkaCompression::Zstd => Compression::Zstd,
    };
    let (options, record) = (RecordEncodeOptions { version: 2, compression }, written(record));
    let mut batch = BytesMut::new();
    // The crate's own lz4 and zstd are C.
    let encoded = match compression {
        Compression::Lz4 | Compression::Zstd => {
            let compress = |records: &mut BytesMut, batch: &mut BytesMut, by: Compression| {
                batch.put_slice(&if by == Compression::Lz4 { lz4(records)? } else { zstd(records) });
                Ok(())
            };
            RecordBatchEncoder::encode_with_custom_compression(&mut batch, [&record], &options, Some(compress))
        }
        _ => RecordBatchEncoder::encode(&mut batch, [&record], &options),
    };
    encoded.map_err(|error| Failure::new(Cause::Unusable, format!("The record cannot be written: {error}.")))?;
    Ok(batch.freeze())
}

fn written(record: &KafkaRecord) -> Record {
    let headers = record
        .headers
        .iter()
        .map(|(key, value)| (StrBytes::from_string(key.clone()), Some(Bytes::copy_from_slice(value.as_bytes()))));
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: -1,
        timestamp: now_ms(),
        key: record.key.as_ref().map(|key| Bytes::copy_from_slice(key.as_bytes())),
        value: Some(record.value.clone()),
        headers: headers.collect(),
    }
}

/// A frame of blocks that know nothing of each other, which is all that Kafka's own Java client reads.
fn lz4(records: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = FrameEncoder::with_frame_info(FrameInfo::new().block_size(BlockSize::Max64KB), Vec::new());
    encoder.write_all(records)?;
    encoder.finish().map_err(std::io::Error::other)
}

fn zstd(records: &[u8]) -> Vec<u8> {
    compress_to_vec(records, CompressionLevel::Fastest)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_is_compressed_is_what_comes_out() {
        let text = "{\"temperature\":21.5,\"humid\":false}".repeat(9000);
        let mut mixed: Vec<u8> = (0..200_000_u32).map(|it| it.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
        mixed.extend(text.bytes());
        for records in [&b""[..], b"x", &text.as_bytes()[..100], text.as_bytes(), &mixed] {
            let mut read = Vec::new();
            lz4_flex::frame::FrameDecoder::new(&*lz4(records).unwrap()).read_to_end(&mut read).unwrap();
            assert!(read == records, "lz4 of {}", records.len());
            read.clear();
            let packed = zstd(records);
            ruzstd::decoding::StreamingDecoder::new(&*packed).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == records, "zstd of {}", records.len());
        }
        assert!(lz4(text.as_bytes()).unwrap().len() < 10_000 && zstd(text.as_bytes()).len() < 10_000);
    }
}
