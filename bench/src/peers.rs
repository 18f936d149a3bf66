//! Records, read and written by other crates.
//!
//! Each crate reads into its own structs and then looks at every record once, as ours does. Each writes from its own
//! structs, built beforehand: the cost of building them is left out, in their favour.

pub(crate) mod kafka_protocol {
    use ::kafka_protocol::indexmap::IndexMap;
    use ::kafka_protocol::protocol::StrBytes;
    use ::kafka_protocol::records::{
        NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record, RecordBatchDecoder,
        RecordBatchEncoder, RecordEncodeOptions, TimestampType,
    };
    use bytes::{Bytes, BytesMut};
    use kafka_wire::compression::Compression;

    use crate::shapes::{Shape, touch};

    pub(crate) const NAME: &str = "kafka-protocol";

    pub(crate) fn records(shape: &Shape) -> Vec<Record> {
        let headers: IndexMap<StrBytes, Option<Bytes>> = shape
            .headers
            .iter()
            .map(|(name, value)| (StrBytes::from_static_str(name), Some(Bytes::from_static(value))))
            .collect();
        let record = |(index, (timestamp, value)): (usize, (i64, &[u8]))| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            timestamp_type: TimestampType::Creation,
            offset: index as i64,
            // The crate puts records into one batch as long as offset minus sequence stays the same.
            sequence: NO_SEQUENCE + index as i32,
            timestamp,
            key: Some(Bytes::from_static(shape.key)),
            value: Some(Bytes::copy_from_slice(value)),
            headers: headers.clone(),
        };
        shape.records().enumerate().map(record).collect()
    }

    pub(crate) fn write(records: &[Record], compression: Compression, capacity_bytes: usize) -> Bytes {
        let mut batch = BytesMut::with_capacity(capacity_bytes);
        let options = RecordEncodeOptions { version: 2, compression: codec(compression) };
        RecordBatchEncoder::encode(&mut batch, records, &options).expect("records that fit");
        batch.freeze()
    }

    pub(crate) fn read(batch: &Bytes) -> u64 {
        let set = RecordBatchDecoder::decode(&mut batch.clone()).expect("a good batch");
        set.records.iter().fold(0, |sum, record| {
            let (key, value) = (record.key.as_deref().unwrap_or_default(), record.value.as_deref().unwrap_or_default());
            sum.wrapping_add(touch(record.offset, record.timestamp, key, value, record.headers.len()))
        })
    }

    fn codec(compression: Compression) -> ::kafka_protocol::records::Compression {
        use ::kafka_protocol::records::Compression as Theirs;
        match compression {
            Compression::None => Theirs::None,
            Compression::Gzip => Theirs::Gzip,
            Compression::Snappy => Theirs::Snappy,
            Compression::Lz4 => Theirs::Lz4,
            Compression::Zstd => Theirs::Zstd,
        }
    }
}

pub(crate) mod krafka {
    use ::krafka::__private::protocol::{Compression as Theirs, Record, RecordBatch};
    use bytes::Bytes;
    use kafka_wire::compression::Compression;

    use crate::shapes::{Shape, touch};

    pub(crate) const NAME: &str = "krafka";

    /// `None` if the crate cannot write that codec without C.
    pub(crate) fn records(shape: &Shape, compression: Compression) -> Option<RecordBatch> {
        let codec = codec(compression);
        if !codec.is_available() {
            return None;
        }
        let mut batch = RecordBatch::new().with_compression(codec);
        batch.base_timestamp = shape.first_timestamp();
        batch.max_timestamp = shape.last_timestamp();
        batch.last_offset_delta = shape.record_count as i32 - 1;
        for (index, (timestamp, value)) in shape.records().enumerate() {
            let record = Record::new(Some(Bytes::from_static(shape.key)), Some(Bytes::copy_from_slice(value)))
                .with_timestamp_delta(timestamp - shape.first_timestamp())
                .with_offset_delta(index as i32);
            let with_header = |record: Record, (name, value): &(&'static str, &'static [u8])| {
                record.with_header(Bytes::from_static(name.as_bytes()), Bytes::from_static(value))
            };
            batch.add_record(shape.headers.iter().fold(record, with_header));
        }
        Some(batch)
    }

    pub(crate) fn write(batch: &RecordBatch) -> Bytes {
        batch.encode().expect("records that fit")
    }

    pub(crate) fn read(batch: &Bytes) -> u64 {
        let batch = RecordBatch::decode(&mut batch.clone()).expect("a good batch");
        batch.records.iter().fold(0, |sum, record| {
            let (key, value) = (record.key.as_deref().unwrap_or_default(), record.value.as_deref().unwrap_or_default());
            let offset = batch.base_offset + i64::from(record.offset_delta);
            let timestamp = batch.base_timestamp + record.timestamp_delta;
            sum.wrapping_add(touch(offset, timestamp, key, value, record.headers.len()))
        })
    }

    fn codec(compression: Compression) -> Theirs {
        match compression {
            Compression::None => Theirs::None,
            Compression::Gzip => Theirs::Gzip,
            Compression::Snappy => Theirs::Snappy,
            Compression::Lz4 => Theirs::Lz4,
            Compression::Zstd => Theirs::Zstd,
        }
    }
}

pub(crate) mod rskafka {
    use std::io::Cursor;

    use ::rskafka::protocol::record::{
        ControlBatchOrRecords, Record, RecordBatch, RecordBatchCompression, RecordBatchTimestampType, RecordHeader,
    };
    use ::rskafka::protocol::traits::{ReadType, WriteType};
    use bytes::Bytes;

    use crate::shapes::{Shape, touch};

    pub(crate) const NAME: &str = "rskafka";

    pub(crate) fn records(shape: &Shape) -> RecordBatch {
        let headers = || {
            let header =
                |(name, value): &(&str, &[u8])| RecordHeader { key: (*name).to_owned(), value: value.to_vec() };
            shape.headers.iter().map(header).collect()
        };
        let record = |(index, (timestamp, value)): (usize, (i64, &[u8]))| Record {
            timestamp_delta: timestamp - shape.first_timestamp(),
            offset_delta: index as i32,
            key: Some(shape.key.to_vec()),
            value: Some(value.to_vec()),
            headers: headers(),
        };
        RecordBatch {
            base_offset: 0,
            partition_leader_epoch: -1,
            last_offset_delta: shape.record_count as i32 - 1,
            first_timestamp: shape.first_timestamp(),
            max_timestamp: shape.last_timestamp(),
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            records: ControlBatchOrRecords::Records(shape.records().enumerate().map(record).collect()),
            compression: RecordBatchCompression::NoCompression,
            is_transactional: false,
            timestamp_type: RecordBatchTimestampType::CreateTime,
        }
    }

    pub(crate) fn write(batch: &RecordBatch, capacity_bytes: usize) -> Bytes {
        let mut out = Vec::with_capacity(capacity_bytes);
        batch.write(&mut out).expect("records that fit");
        Bytes::from(out)
    }

    pub(crate) fn read(batch: &Bytes) -> u64 {
        let batch = RecordBatch::read(&mut Cursor::new(batch)).expect("a good batch");
        let ControlBatchOrRecords::Records(records) = &batch.records else { return 0 };
        records.iter().fold(0, |sum, record| {
            let (key, value) = (record.key.as_deref().unwrap_or_default(), record.value.as_deref().unwrap_or_default());
            let offset = batch.base_offset + i64::from(record.offset_delta);
            let timestamp = batch.first_timestamp + record.timestamp_delta;
            sum.wrapping_add(touch(offset, timestamp, key, value, record.headers.len()))
        })
    }
}
