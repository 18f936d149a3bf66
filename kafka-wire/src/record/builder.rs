//! Writing a batch: each record is serialised once, into the buffer that goes on the wire.

use bytes::Bytes;

use super::cursor::{put_varlong, varlong_bytes};
use super::header::{
    ATTRIBUTES_AT, BASE_SEQUENCE_AT, BASE_TIMESTAMP_AT, CONTROL_BIT, CRC_AT, HEADER_BYTES, LAST_OFFSET_DELTA_AT,
    LEADER_EPOCH_AT, LENGTH_AT, LENGTH_END, MAGIC_AT, MAGIC_V2, MAX_TIMESTAMP_AT, PRODUCER_EPOCH_AT, PRODUCER_ID_AT,
    RECORD_COUNT_AT, TRANSACTIONAL_BIT,
};
use super::{RawHeaders, RecordError, RecordErrorCause};
use crate::compression::{self, Compression, CompressionError};
use crate::types::{ProducerEpoch, ProducerId};

/// An open batch of one partition: records are appended in order and get the offsets 0, 1, 2 and so on.
///
/// The header's place is reserved at the front and filled by [`BatchBuilder::seal`], so no byte moves after `append`.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    /// Starts with `HEADER_BYTES` bytes of header to be.
    buffer: Vec<u8>,
    record_count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

/// What a batch gets when it is closed. The default is a plain batch of a producer that is not idempotent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// -1 for none.
    pub producer_id: ProducerId,
    /// -1 for none.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record; -1 for none.
    pub base_sequence: i32,
    /// Whether the records are part of a transaction.
    pub transactional: bool,
    /// Codec to use if it makes the batch smaller.
    pub compression: Compression,
}

impl Default for Seal {
    fn default() -> Self {
        Self {
            producer_id: ProducerId(-1),
            producer_epoch: ProducerEpoch(-1),
            base_sequence: -1,
            transactional: false,
            compression: Compression::None,
        }
    }
}

impl BatchBuilder {
    /// An empty batch with room for `capacity_bytes` on the wire, header included; it grows when that is exceeded.
    pub fn new(capacity_bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(capacity_bytes.max(HEADER_BYTES));
        buffer.resize(HEADER_BYTES, 0);
        Self { buffer, record_count: 0, base_timestamp: -1, max_timestamp: -1 }
    }

    /// Bytes of the batch so far, header included and before compression.
    pub fn size_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Records so far.
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Whether there is no record yet.
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// An upper bound of what a record adds to [`Self::size_bytes`]: for deciding, before it is appended, whether it
    /// still fits the batch size limit.
    pub fn record_bytes_max(key: Option<&[u8]>, value: Option<&[u8]>, headers: RawHeaders<'_>) -> usize {
        // Length, offset delta, key length, value length and header count of at most 5 bytes, attributes of 1,
        // timestamp delta of at most 10. The same bound as Java's RECORD_OVERHEAD in DefaultRecord.
        const OVERHEAD: usize = 5 * 5 + 1 + 10;
        OVERHEAD + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + headers.bytes().len()
    }

    /// Serialises a record at the end of the batch. `timestamp` is in milliseconds since 1970-01-01 UTC, -1 for none.
    ///
    /// # Errors
    /// `TooLarge` when the batch would pass 2 GiB or `i32::MAX` records; it is unchanged then.
    #[inline]
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: RawHeaders<'_>,
    ) -> Result<(), RecordError> {
        if self.record_count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        let offset_delta = i64::from(self.record_count);
        let key_length = length(key);
        let value_length = length(value);
        let header_count = i64::from(headers.raw_count());
        let body_bytes = 1
            + varlong_bytes(timestamp_delta)
            + varlong_bytes(offset_delta)
            + varlong_bytes(key_length)
            + key.map_or(0, <[u8]>::len)
            + varlong_bytes(value_length)
            + value.map_or(0, <[u8]>::len)
            + varlong_bytes(header_count)
            + headers.bytes().len();
        let Some(body_length) = self.fitting(body_bytes) else {
            return Err(RecordError::new(self.buffer.len(), "record", RecordErrorCause::TooLarge));
        };
        self.buffer.reserve(body_bytes + 5);
        put_varlong(&mut self.buffer, body_length);
        self.buffer.push(0);
        put_varlong(&mut self.buffer, timestamp_delta);
        put_varlong(&mut self.buffer, offset_delta);
        put_varlong(&mut self.buffer, key_length);
        self.buffer.extend_from_slice(key.unwrap_or_default());
        put_varlong(&mut self.buffer, value_length);
        self.buffer.extend_from_slice(value.unwrap_or_default());
        put_varlong(&mut self.buffer, header_count);
        self.buffer.extend_from_slice(headers.bytes());
        self.record_count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        Ok(())
    }

    /// Closes the batch: compresses it if that makes it smaller, writes header and checksum. Frozen from here on, so
    /// that a retry sends the same bytes. A batch without records gives no bytes at all.
    ///
    /// # Errors
    /// `UnsupportedCodec` when this build lacks the codec; ask [`Compression::is_supported`] before.
    pub fn seal(self, seal: Seal) -> Result<Bytes, CompressionError> {
        let flags = if seal.transactional { TRANSACTIONAL_BIT } else { 0 };
        self.finish(seal, flags)
    }

    /// Closes a batch of markers.
    pub(super) fn seal_control(self, seal: Seal) -> Result<Bytes, CompressionError> {
        self.finish(seal, TRANSACTIONAL_BIT | CONTROL_BIT)
    }

    fn finish(self, seal: Seal, flags: i16) -> Result<Bytes, CompressionError> {
        if self.record_count == 0 {
            return Ok(Bytes::new());
        }
        let (base_timestamp, max_timestamp) = (self.base_timestamp, self.max_timestamp);
        let record_count = self.record_count;
        let (mut batch, compression) = compressed(self.buffer, seal.compression)?;
        let length = i32::try_from(batch.len() - LENGTH_END).expect("append keeps a batch below 2 GiB");
        put(&mut batch, LENGTH_AT, length.to_be_bytes());
        put(&mut batch, LEADER_EPOCH_AT, (-1_i32).to_be_bytes());
        put(&mut batch, MAGIC_AT, MAGIC_V2.to_be_bytes());
        put(&mut batch, ATTRIBUTES_AT, (flags | i16::from(compression.code())).to_be_bytes());
        put(&mut batch, LAST_OFFSET_DELTA_AT, (record_count - 1).to_be_bytes());
        put(&mut batch, BASE_TIMESTAMP_AT, base_timestamp.to_be_bytes());
        put(&mut batch, MAX_TIMESTAMP_AT, max_timestamp.to_be_bytes());
        put(&mut batch, RECORD_COUNT_AT, record_count.to_be_bytes());
        put_producer(&mut batch, seal.producer_id, seal.producer_epoch, seal.base_sequence);
        put_crc(&mut batch);
        Ok(Bytes::from(batch))
    }

    /// The length of a record as its prefix states it, if the batch stays within what its own length field can state.
    fn fitting(&self, body_bytes: usize) -> Option<i64> {
        let size = self.buffer.len().checked_add(body_bytes)?.checked_add(5)?;
        i32::try_from(size).ok()?;
        if self.record_count == i32::MAX { None } else { i64::try_from(body_bytes).ok() }
    }
}

/// Writes producer id, epoch and sequence into a batch; the checksum is wrong until `put_crc`.
pub(super) fn put_producer(batch: &mut [u8], id: ProducerId, epoch: ProducerEpoch, base_sequence: i32) {
    put(batch, PRODUCER_ID_AT, id.0.to_be_bytes());
    put(batch, PRODUCER_EPOCH_AT, epoch.0.to_be_bytes());
    put(batch, BASE_SEQUENCE_AT, base_sequence.to_be_bytes());
}

/// Computes the checksum over everything that it covers and writes it.
pub(super) fn put_crc(batch: &mut [u8]) {
    let crc = crc32c::crc32c(batch.get(ATTRIBUTES_AT..).unwrap_or_default());
    put(batch, CRC_AT, crc.to_be_bytes());
}

/// Overwrites a field of the header.
pub(super) fn put<const N: usize>(batch: &mut [u8], at: usize, field: [u8; N]) {
    let place = batch.get_mut(at..).and_then(|rest| rest.first_chunk_mut());
    *place.expect("a batch has a whole header") = field;
}

/// The batch with its records compressed, and by what: not at all when that is no smaller.
fn compressed(plain: Vec<u8>, compression: Compression) -> Result<(Vec<u8>, Compression), CompressionError> {
    if compression == Compression::None {
        return Ok((plain, Compression::None));
    }
    let (header, records) = plain.split_at(HEADER_BYTES);
    let mut smaller = Vec::with_capacity(plain.len());
    smaller.extend_from_slice(header);
    compression::compress(compression, records, &mut smaller)?;
    if smaller.len() < plain.len() { Ok((smaller, compression)) } else { Ok((plain, Compression::None)) }
}

fn length(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX))
}
