//! Changing a sealed batch: copies of it with other header fields.

use bytes::Bytes;

use super::builder::{put, put_crc, put_producer};
use super::header::{
    ATTRIBUTES_AT, HEADER_BYTES, LEADER_EPOCH_AT, LOG_APPEND_TIME_BIT, MAGIC_AT, MAGIC_V2, MAX_TIMESTAMP_AT,
};
use crate::types::{LeaderEpoch, ProducerEpoch, ProducerId};

/// The same batch under another producer id, epoch and sequence, with its checksum. The records are copied as they are.
///
/// For a producer whose epoch was bumped while batches waited (KIP-360). `batch` must be one complete batch,
/// as [`super::BatchBuilder::seal`] or [`super::Batch::bytes`] return it.
pub fn restamp(batch: &Bytes, producer_id: ProducerId, producer_epoch: ProducerEpoch, base_sequence: i32) -> Bytes {
    edited(batch, |copy| {
        put_producer(copy, producer_id, producer_epoch, base_sequence);
        put_crc(copy);
    })
}

/// The same batch as a broker appends it: with its offset in the partition and the leader epoch.
///
/// The checksum covers neither of them, so it stays. `batch` must be one complete batch.
pub fn with_base_offset(batch: &Bytes, base_offset: i64, leader_epoch: LeaderEpoch) -> Bytes {
    edited(batch, |copy| set_base_offset(copy, base_offset, leader_epoch))
}

/// Does in place what [`with_base_offset`] does to a copy, for a broker that has the batch in memory of its
/// own already.
pub fn set_base_offset(batch: &mut [u8], base_offset: i64, leader_epoch: LeaderEpoch) {
    assert!(is_batch(batch), "only a whole batch of format v2 can be changed");
    put(batch, 0, base_offset.to_be_bytes());
    put(batch, LEADER_EPOCH_AT, leader_epoch.0.to_be_bytes());
}

/// The same batch with log append time `timestamp` (milliseconds since 1970-01-01 UTC) and its checksum.
///
/// Brokers do this for topics with `message.timestamp.type=LogAppendTime`. `batch` must be one complete batch.
pub fn with_log_append_time(batch: &Bytes, timestamp: i64) -> Bytes {
    edited(batch, |copy| {
        let attributes = copy.get(ATTRIBUTES_AT..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
        put(copy, ATTRIBUTES_AT, (i16::from_be_bytes(attributes) | LOG_APPEND_TIME_BIT).to_be_bytes());
        put(copy, MAX_TIMESTAMP_AT, timestamp.to_be_bytes());
        put_crc(copy);
    })
}

fn edited(batch: &Bytes, edit: impl FnOnce(&mut [u8])) -> Bytes {
    assert!(is_batch(batch), "only a whole batch of format v2 can be changed");
    let mut copy = batch.to_vec();
    edit(&mut copy);
    Bytes::from(copy)
}

fn is_batch(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_BYTES && bytes.get(MAGIC_AT) == Some(&MAGIC_V2.cast_unsigned())
}
