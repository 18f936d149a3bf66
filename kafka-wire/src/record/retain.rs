//! The rewriting of a batch by a log cleaner.

use bytes::Bytes;

use super::builder::{Unwritten, compressed, put, put_crc};
use super::header::{
    ATTRIBUTES_AT, BASE_TIMESTAMP_AT, DELETE_HORIZON_BIT, HEADER_BYTES, LENGTH_AT, LENGTH_END, MAGIC_V2,
    MAX_TIMESTAMP_AT, RECORD_COUNT_AT,
};
use super::varint::zigzag;
use super::{Batch, Record, RecordError, RecordErrorCause, TimestampType};
use crate::compression::{Compression, Compressor, Decompressed};

/// The batch with only those of its records for which `keep` is true, under their old offsets.
///
/// First and last offset, producer, sequence and flags stay, so that readers and producers find their place in
/// a compacted log; the codec stays if it still makes the batch smaller. A batch without remaining records is
/// a header alone. With `delete_horizon_ms` the batch states until when its tombstones, or its marker, have to be kept
/// (KIP-534); a horizon that it has already stays. `buffer` is memory for decompression.
///
/// # Errors
/// The errors of [`Batch::open`] and of its records; `UnsupportedMagic` for a message of the old formats, which
/// cannot be rewritten so.
///
/// Source: `MemoryRecords.filterTo`.
pub fn retain(
    batch: &Batch,
    delete_horizon_ms: Option<i64>,
    buffer: &mut Decompressed,
    mut keep: impl FnMut(&Record<'_>) -> bool,
) -> Result<Bytes, RecordError> {
    let header = &batch.header;
    if header.magic != MAGIC_V2 {
        return Err(RecordError::new(0, "magic", RecordErrorCause::UnsupportedMagic(header.magic)));
    }
    let horizon = header.delete_horizon_ms().or(delete_horizon_ms);
    let is_append_time = header.timestamp_type() == TimestampType::LogAppendTime;
    let mut kept = Kept { base_timestamp: horizon, max_timestamp: None, count: 0, bytes: Vec::new() };
    kept.bytes.reserve(batch.size_bytes());
    kept.bytes.extend_from_slice(batch.bytes().get(..HEADER_BYTES).unwrap_or_default());
    for record in batch.open(buffer)? {
        let record = record?;
        if keep(&record) {
            kept.put(header.base_offset, &record)?;
        }
    }
    let is_empty = kept.count == 0;
    let max_timestamp =
        if is_append_time || is_empty { header.max_timestamp } else { kept.max_timestamp.unwrap_or(-1) };
    let base_timestamp = if is_empty { header.max_timestamp } else { kept.base_timestamp.unwrap_or(-1) };
    let count = kept.count;
    let codec = if is_empty { Compression::None } else { header.compression() };
    let (mut bytes, codec) = compressed(kept.bytes, codec, &mut Compressor::default())
        .map_err(|cause| RecordError::new(HEADER_BYTES, "records", RecordErrorCause::Compression(cause)))?;
    let flags = header.attributes & !CODEC_BITS & !DELETE_HORIZON_BIT;
    let horizon_bit = if horizon.is_some() && !is_empty { DELETE_HORIZON_BIT } else { 0 };
    let length = i32::try_from(bytes.len() - LENGTH_END);
    let length = length.map_err(|_| RecordError::new(LENGTH_AT, "batch", RecordErrorCause::TooLarge))?;
    put(&mut bytes, LENGTH_AT, length.to_be_bytes());
    put(&mut bytes, ATTRIBUTES_AT, (flags | horizon_bit | i16::from(codec.code())).to_be_bytes());
    put(&mut bytes, BASE_TIMESTAMP_AT, base_timestamp.to_be_bytes());
    put(&mut bytes, MAX_TIMESTAMP_AT, max_timestamp.to_be_bytes());
    put(&mut bytes, RECORD_COUNT_AT, count.to_be_bytes());
    put_crc(&mut bytes);
    Ok(Bytes::from(bytes))
}

/// The records that stay, after the place for their header.
struct Kept {
    /// The base of the timestamps: the delete horizon, or the first timestamp.
    base_timestamp: Option<i64>,
    max_timestamp: Option<i64>,
    count: i32,
    bytes: Vec<u8>,
}

impl Kept {
    fn put(&mut self, base_offset: i64, record: &Record<'_>) -> Result<(), RecordError> {
        let base_timestamp = *self.base_timestamp.get_or_insert(record.timestamp);
        let unwritten = Unwritten {
            timestamp_delta: zigzag(record.timestamp.wrapping_sub(base_timestamp)),
            offset_delta: zigzag(record.offset.wrapping_sub(base_offset)),
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        unwritten.put(&mut self.bytes);
        self.count += 1;
        self.max_timestamp = Some(self.max_timestamp.map_or(record.timestamp, |max| max.max(record.timestamp)));
        // Records that were compressed may be too long for a batch when they are not.
        if self.bytes.len() > i32::MAX as usize {
            return Err(RecordError::new(HEADER_BYTES, "records", RecordErrorCause::TooLarge));
        }
        Ok(())
    }
}

/// The bits of the attributes that hold the codec.
const CODEC_BITS: i16 = 7;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, BatchHeader, HeadersBuf, Seal, with_base_offset, with_log_append_time};
    use crate::types::{LeaderEpoch, ProducerEpoch, ProducerId};

    /// Five records at offsets 100 to 104, the fourth without a value.
    fn five(compression: Compression) -> Bytes {
        let mut builder = BatchBuilder::new(1_024);
        let mut headers = HeadersBuf::new();
        headers.push(b"h", Some(b"v"));
        for (number, timestamp) in [50, 40, 90, 60, 70].into_iter().enumerate() {
            let (key, value) = (format!("key {number}"), "value ".repeat(20 + number));
            let value = (number != 3).then_some(value.as_bytes());
            builder.append(timestamp, Some(key.as_bytes()), value, headers.as_raw()).unwrap();
        }
        let seal = Seal {
            producer_id: ProducerId(7),
            producer_epoch: ProducerEpoch(2),
            base_sequence: 30,
            transactional: true,
            compression,
        };
        with_base_offset(&builder.seal(seal).unwrap(), 100, LeaderEpoch(0))
    }

    fn kept(bytes: &Bytes, horizon: Option<i64>, offsets: &[i64]) -> Batch {
        let batch = Batch::from_bytes(bytes.clone()).unwrap();
        let keep = |record: &Record<'_>| offsets.contains(&record.offset);
        Batch::from_bytes(retain(&batch, horizon, &mut Decompressed::default(), keep).unwrap()).unwrap()
    }

    /// Offset, timestamp, key, value and number of headers.
    type Owned = (i64, i64, Vec<u8>, Option<Vec<u8>>, usize);

    fn records(batch: &Batch) -> Vec<Owned> {
        let mut buffer = Decompressed::default();
        let records = batch.open(&mut buffer).unwrap().map(Result::unwrap);
        let owned = |record: Record<'_>| {
            let value = record.value.map(<[u8]>::to_vec);
            (record.offset, record.timestamp, record.key.unwrap().to_vec(), value, record.headers.count())
        };
        records.map(owned).collect()
    }

    #[test]
    fn what_stays_keeps_its_offset_and_its_bytes_and_the_batch_its_place() {
        for codec in Compression::ALL.into_iter().filter(|codec| codec.is_supported()) {
            let whole = five(codec);
            let before = Batch::from_bytes(whole.clone()).unwrap();
            for (horizon, offsets) in
                [(None, &[101, 103, 104][..]), (Some(9_000), &[103]), (None, &[100, 101, 102, 103, 104])]
            {
                let after = kept(&whole, horizon, offsets);
                let expected: Vec<_> =
                    records(&before).into_iter().filter(|record| offsets.contains(&record.0)).collect();
                assert_eq!(records(&after), expected);
                assert_eq!(after.header.delete_horizon_ms(), horizon);
                let max = expected.iter().map(|record| record.1).max().unwrap();
                let same = BatchHeader {
                    max_timestamp: max,
                    base_timestamp: horizon.unwrap_or(expected[0].1),
                    record_count: i32::try_from(offsets.len()).unwrap(),
                    attributes: after.header.attributes,
                    ..before.header
                };
                assert_eq!(after.header, same);
                // A second time, the horizon stays the same.
                assert_eq!(kept(&after.bytes(), Some(5), offsets).header.delete_horizon_ms(), horizon.or(Some(5)));
            }
        }
    }

    #[test]
    fn an_empty_batch_is_a_header_that_holds_its_place() {
        let empty = kept(&five(Compression::None), Some(9), &[]);
        assert_eq!((empty.size_bytes(), records(&empty).len()), (HEADER_BYTES, 0));
        assert_eq!((empty.header.base_offset, empty.header.next_offset(), empty.header.max_timestamp), (100, 105, 90));
        assert_eq!((empty.header.producer_id, empty.header.last_sequence()), (ProducerId(7), 34));
        assert_eq!((empty.header.delete_horizon_ms(), empty.header.is_transactional()), (None, true));
    }

    #[test]
    fn log_append_time_stays_that_of_the_batch() {
        let stamped = with_log_append_time(&five(Compression::None), 777);
        for horizon in [None, Some(3)] {
            let after = kept(&stamped, horizon, &[101, 103]);
            assert_eq!(after.header.timestamp_type(), TimestampType::LogAppendTime);
            assert!(records(&after).iter().all(|record| record.1 == 777));
        }
    }

    #[test]
    fn a_batch_that_cannot_be_read_is_an_error() {
        let mut broken = five(Compression::None).to_vec();
        *broken.last_mut().unwrap() ^= 1;
        let batch = Batch::from_bytes(Bytes::from(broken)).unwrap();
        assert!(retain(&batch, None, &mut Decompressed::default(), |_| true).is_err());
    }
}
