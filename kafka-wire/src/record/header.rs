//! The 61 bytes before the records of a batch.
//!
//! ```text
//! at  field                   at  field                 at  field
//!  0  base_offset i64         21  attributes i16        51  producer_epoch i16
//!  8  length i32              23  last_offset_delta i32 53  base_sequence i32
//! 12  leader_epoch i32        27  base_timestamp i64    57  record_count i32
//! 16  magic i8                35  max_timestamp i64     61  records
//! 17  crc u32                 43  producer_id i64
//! ```
//! `length` counts from byte 12. The checksum covers byte 21 to the end, so that a broker may assign the offset and the
//! leader epoch without touching it.

use nom::Parser;
use nom::number::complete::{be_i16, be_i32, be_i64, be_u32, i8 as be_i8};

use super::{RecordError, RecordErrorCause};
use crate::compression::Compression;
use crate::types::{LeaderEpoch, ProducerEpoch, ProducerId};

/// Bytes of a batch before its records.
pub const HEADER_BYTES: usize = 61;

/// [`BatchHeader::magic`] of a record batch; messages of the old formats have a lower one.
pub const MAGIC_V2: i8 = 2;

pub(super) const LENGTH_AT: usize = 8;
pub(super) const LENGTH_END: usize = 12;
pub(super) const LEADER_EPOCH_AT: usize = 12;
pub(super) const MAGIC_AT: usize = 16;
pub(super) const CRC_AT: usize = 17;
pub(super) const ATTRIBUTES_AT: usize = 21;
pub(super) const LAST_OFFSET_DELTA_AT: usize = 23;
pub(super) const BASE_TIMESTAMP_AT: usize = 27;
pub(super) const MAX_TIMESTAMP_AT: usize = 35;
pub(super) const PRODUCER_ID_AT: usize = 43;
pub(super) const PRODUCER_EPOCH_AT: usize = 51;
pub(super) const BASE_SEQUENCE_AT: usize = 53;
pub(super) const RECORD_COUNT_AT: usize = 57;

pub(super) const LOG_APPEND_TIME_BIT: i16 = 1 << 3;
pub(super) const TRANSACTIONAL_BIT: i16 = 1 << 4;
pub(super) const CONTROL_BIT: i16 = 1 << 5;
pub(super) const DELETE_HORIZON_BIT: i16 = 1 << 6;

/// The header of a batch: its facts, as they are known before any record is read.
///
/// Offsets and timestamps are plain numbers here, because the record loop adds to them.
///
/// Source: KIP-98, `DefaultRecordBatch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The format: 2, or 0 and 1 for a message of a message set, which has only offset, attributes and timestamp.
    pub magic: i8,
    /// Offset of the first record that was written, which may have been compacted away. A producer writes 0.
    /// For a compressed message of the old formats it is the offset of the last record, because the first one is known
    /// only when the message is read.
    pub base_offset: i64,
    /// Leader epoch at the append; -1 as a producer sends it.
    pub partition_leader_epoch: LeaderEpoch,
    /// Codec, timestamp type and flags; read it through the methods.
    pub attributes: i16,
    /// Last offset minus `base_offset`, at least 0; it stays the same when compaction removes records.
    pub last_offset_delta: i32,
    /// The base of the timestamp deltas of the records, in milliseconds since 1970-01-01 UTC; the delete horizon if
    /// [`Self::delete_horizon_ms`] says so.
    pub base_timestamp: i64,
    /// Latest timestamp of the records in milliseconds since 1970-01-01 UTC, -1 for none; with log append time, the
    /// timestamp of all of them.
    pub max_timestamp: i64,
    /// Id of the producer; -1 if it is not idempotent.
    pub producer_id: ProducerId,
    /// Epoch of the producer; -1 if it is not idempotent.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record; -1 if the producer is not idempotent.
    pub base_sequence: i32,
    /// Number of records that the batch claims, at least 0. Do not reserve memory by it. 1 for a message of the old
    /// formats, also for a compressed one, whose content is known only when it is read.
    pub record_count: i32,
}

/// The source of the timestamps of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer set them, record by record.
    CreateTime,
    /// The broker set one for the whole batch.
    LogAppendTime,
}

impl BatchHeader {
    /// Codec of the records. Unknown codec bits cannot occur here: parsing the header refuses them.
    pub fn compression(&self) -> Compression {
        Compression::from_code(codec_bits(self.attributes)).unwrap_or_default()
    }

    /// The source of the timestamps (bit 3).
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the records are part of a transaction (bit 4).
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether the records are control records for clients and brokers, never for users (bit 5).
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// The time from which the tombstones and markers of the batch may be removed, if compaction has set it (bit 6).
    ///
    /// Source: KIP-534.
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON_BIT != 0).then_some(self.base_timestamp)
    }

    /// Offset of the last record that was written (inclusive).
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// Offset at which the next batch can start: the position for a reader to go on at, even if compaction
    /// removed the last records.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Whether an idempotent producer wrote it, so that epoch and sequence have a meaning.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id.0 >= 0
    }

    /// Sequence of the last record; -1 if the producer is not idempotent. Wraps to 0 after `i32::MAX`.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            self.base_sequence
        } else {
            sequence_after(self.base_sequence, self.last_offset_delta)
        }
    }

    /// Whether the batch is a compressed message of the old formats, whose header says little about the messages in it.
    pub fn is_wrapper(&self) -> bool {
        self.magic != MAGIC_V2 && self.compression() != Compression::None
    }

    /// Parses the header of a record batch (v2), as [`BatchHeader::parse`] does for every format.
    pub(super) fn parse_v2(bytes: &[u8]) -> Result<Self, RecordError> {
        let fields =
            (be_i64, be_i32, be_i32, be_i8, be_u32, be_i16, be_i32, be_i64, be_i64, be_i64, be_i16, be_i32, be_i32);
        let (_, fields) = Parser::<&[u8]>::parse(&mut fields.map(|fields| fields), bytes).map_err(
            |_: nom::Err<nom::error::Error<&[u8]>>| error(bytes.len(), "header", RecordErrorCause::Truncated),
        )?;
        let (base_offset, _length, leader_epoch, magic, _crc, attributes, last_offset_delta, ..) = fields;
        let (.., base_timestamp, max_timestamp, producer_id, producer_epoch, base_sequence, record_count) = fields;
        let header = Self {
            magic,
            base_offset,
            partition_leader_epoch: LeaderEpoch(leader_epoch),
            attributes,
            last_offset_delta,
            base_timestamp,
            max_timestamp,
            producer_id: ProducerId(producer_id),
            producer_epoch: ProducerEpoch(producer_epoch),
            base_sequence,
            record_count,
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), RecordError> {
        if self.magic != MAGIC_V2 {
            return Err(error(MAGIC_AT, "magic", RecordErrorCause::UnsupportedMagic(self.magic)));
        }
        if self.last_offset_delta < 0 {
            // A reader that advanced to it would stand still or go back.
            let cause = RecordErrorCause::OutOfRange(i64::from(self.last_offset_delta));
            return Err(error(LAST_OFFSET_DELTA_AT, "last offset delta", cause));
        }
        if self.record_count < 0 {
            let cause = RecordErrorCause::OutOfRange(i64::from(self.record_count));
            return Err(error(RECORD_COUNT_AT, "record count", cause));
        }
        Compression::from_code(codec_bits(self.attributes))
            .map_err(|cause| error(ATTRIBUTES_AT, "attributes", RecordErrorCause::Compression(cause)))?;
        Ok(())
    }
}

/// The sequence `count` records after `sequence`; the one after `i32::MAX` is 0. Both must be at least 0.
///
/// Source: `DefaultRecordBatch.incrementSequence`.
pub fn sequence_after(sequence: i32, count: i32) -> i32 {
    debug_assert!(sequence >= 0 && count >= 0, "sequences and counts start at 0");
    sequence.wrapping_add(count) & i32::MAX
}

fn codec_bits(attributes: i16) -> u8 {
    let [_, low] = attributes.to_be_bytes();
    low & 0x07
}

fn error(at: usize, what: &'static str, cause: RecordErrorCause) -> RecordError {
    RecordError::new(at, what, cause)
}
