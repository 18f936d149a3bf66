//! Writing a batch: each record is serialised once, into the buffer that goes on the wire.

use bytes::Bytes;

use super::header::{
    ATTRIBUTES_AT, BASE_SEQUENCE_AT, BASE_TIMESTAMP_AT, CONTROL_BIT, CRC_AT, HEADER_BYTES, LAST_OFFSET_DELTA_AT,
    LEADER_EPOCH_AT, LENGTH_AT, LENGTH_END, MAGIC_AT, MAGIC_V2, MAX_TIMESTAMP_AT, PRODUCER_EPOCH_AT, PRODUCER_ID_AT,
    RECORD_COUNT_AT, TRANSACTIONAL_BIT,
};
use super::varint::{Word, put_bytes, put_varint, varint_bytes, zigzag, zigzag_length};
use super::{RawHeaders, RecordError, RecordErrorCause};
use crate::compression::{Compression, CompressionError, Compressor, Container};
use crate::types::{ProducerEpoch, ProducerId};

/// An open batch of one partition: records are appended in order and get the offsets 0, 1, 2 and so on.
///
/// The header's place is reserved at the front and filled by [`BatchBuilder::seal`], so no byte moves after `append`.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    /// Begins with `HEADER_BYTES` bytes for the header.
    buffer: Vec<u8>,
    record_count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

/// The header fields that a batch gets when it is closed. The default is a plain batch of a producer
/// that is not idempotent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Producer id; -1 for none.
    pub producer_id: ProducerId,
    /// Producer epoch; -1 for none.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record; -1 for none.
    pub base_sequence: i32,
    /// Whether the records are part of a transaction.
    pub transactional: bool,
    /// Codec to use if it makes the batch smaller.
    pub compression: Compression,
}

/// Most bytes that the length field of a batch can state.
const BATCH_BYTES_MAX: usize = i32::MAX as usize;

/// Most bytes of a record besides its parts: length, offset delta, key length, value length and header count of at most
/// 5 bytes each, attributes of 1, timestamp delta of at most 10. Java's `DefaultRecord.MAX_RECORD_OVERHEAD` is 21,
/// to which it adds the bytes of the lengths.
const RECORD_OVERHEAD: usize = 5 * 5 + 1 + 10;

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
    /// Makes an empty batch with room for `capacity_bytes` on the wire, header included; it grows when that
    /// is exceeded.
    pub fn new(capacity_bytes: usize) -> Self {
        Self::within(Vec::with_capacity(capacity_bytes.max(HEADER_BYTES)))
    }

    /// A batch without memory, in the place of one that was taken away.
    pub(crate) const fn vacant() -> Self {
        Self { buffer: Vec::new(), record_count: 0, base_timestamp: -1, max_timestamp: -1 }
    }

    /// Makes an empty batch in memory that was used before; it grows when that is not enough.
    pub fn within(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.resize(HEADER_BYTES, 0);
        Self { buffer, record_count: 0, base_timestamp: -1, max_timestamp: -1 }
    }

    /// Makes room for a record of at most `record_bytes`. The memory doubles, but not beyond what a batch of
    /// `batch_bytes` takes.
    #[inline]
    pub(crate) fn make_room(&mut self, record_bytes: usize, batch_bytes: usize) {
        if self.buffer.capacity() - self.buffer.len() < record_bytes {
            self.grow(record_bytes, batch_bytes);
        }
    }

    #[cold]
    fn grow(&mut self, record_bytes: usize, batch_bytes: usize) {
        let doubled = self.buffer.capacity().saturating_mul(2).min(batch_bytes);
        let room = doubled.saturating_sub(self.buffer.len()).max(record_bytes);
        self.buffer.reserve_exact(room);
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

    /// An upper bound of the bytes that a record adds to [`Self::size_bytes`]: for deciding, before it is appended,
    /// whether it still fits the batch size limit.
    pub fn record_bytes_max(key: Option<&[u8]>, value: Option<&[u8]>, headers: RawHeaders<'_>) -> usize {
        RECORD_OVERHEAD + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + headers.as_bytes().len()
    }

    /// Serialises a record at the end of the batch. `timestamp` is in milliseconds since 1970-01-01 UTC, -1 for none.
    ///
    /// # Errors
    /// `TooLarge` if the batch would exceed 2 GiB or `i32::MAX` records; it is unchanged then.
    #[inline(always)] // Out of line, a record of 108 B would cost a third more, checksum included.
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
        let record = Unwritten {
            timestamp_delta: zigzag(timestamp.wrapping_sub(self.base_timestamp)),
            offset_delta: zigzag(i64::from(self.record_count)),
            key,
            value,
            headers,
        };
        // A record takes 7 bytes at least, so the count stays below i32::MAX as well.
        if self.buffer.len().saturating_add(record.parts_bytes()) > BATCH_BYTES_MAX - RECORD_OVERHEAD {
            return Err(RecordError::new(self.buffer.len(), "record", RecordErrorCause::TooLarge));
        }
        if !record.put_short(&mut self.buffer) {
            record.put(&mut self.buffer);
        }
        self.record_count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        Ok(())
    }

    /// Closes the batch: compresses it if that makes it smaller, and writes header and checksum. The bytes do not
    /// change after that, so a retry sends the same bytes. A batch without records gives no bytes at all.
    ///
    /// # Errors
    /// `UnsupportedCodec` if this build lacks the codec; check [`Compression::is_supported`] before.
    pub fn seal(self, seal: Seal) -> Result<Bytes, CompressionError> {
        self.seal_with(seal, &mut Compressor::default())
    }

    /// As [`Self::seal`], with working memory for compression that is kept from batch to batch.
    ///
    /// # Errors
    /// As for [`Self::seal`].
    pub fn seal_with(self, seal: Seal, compressor: &mut Compressor) -> Result<Bytes, CompressionError> {
        let flags = if seal.transactional { TRANSACTIONAL_BIT } else { 0 };
        self.finish(seal, flags, compressor)
    }

    /// Closes a batch of control records.
    pub(super) fn seal_control(self, seal: Seal) -> Result<Bytes, CompressionError> {
        self.finish(seal, TRANSACTIONAL_BIT | CONTROL_BIT, &mut Compressor::default())
    }

    fn finish(self, seal: Seal, flags: i16, compressor: &mut Compressor) -> Result<Bytes, CompressionError> {
        if self.record_count == 0 {
            return Ok(Bytes::new());
        }
        let (base_timestamp, max_timestamp) = (self.base_timestamp, self.max_timestamp);
        let record_count = self.record_count;
        let (mut batch, compression) = compressed(self.buffer, seal.compression, compressor)?;
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

/// The batch with its records compressed, and the codec; if that is no smaller, the plain batch.
pub(super) fn compressed(
    mut plain: Vec<u8>,
    compression: Compression,
    compressor: &mut Compressor,
) -> Result<(Vec<u8>, Compression), CompressionError> {
    if compression == Compression::None {
        return Ok((plain, Compression::None));
    }
    let records = plain.get(HEADER_BYTES..).unwrap_or_default();
    let smaller = compressor.compress(compression, Container::Batch, records)?;
    if smaller.len() >= records.len() {
        return Ok((plain, Compression::None));
    }
    // The result is copied into the memory of the plain batch: cheaper than fresh memory, and one allocation less.
    plain.truncate(HEADER_BYTES);
    plain.extend_from_slice(smaller);
    Ok((plain, compression))
}

/// A record with its deltas, ready to be written.
pub(super) struct Unwritten<'a> {
    pub(super) timestamp_delta: u64,
    pub(super) offset_delta: u64,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: RawHeaders<'a>,
}

impl Unwritten<'_> {
    /// Bytes of key, value and headers.
    #[inline(always)]
    fn parts_bytes(&self) -> usize {
        let (key, value) = (self.key.unwrap_or_default(), self.value.unwrap_or_default());
        key.len().saturating_add(value.len()).saturating_add(self.headers.as_bytes().len())
    }

    /// Appends the record if its numbers are short, as nearly always. This takes four fifths of the time
    /// of [`Unwritten::put`].
    #[inline(always)]
    fn put_short(&self, buffer: &mut Vec<u8>) -> bool {
        let parts_bytes = self.parts_bytes();
        // The bound leaves room for the numbers themselves in the length, whose zig-zag encoding doubles it.
        let is_short = parts_bytes < 1 << 26 && self.timestamp_delta | self.offset_delta < Word::END;
        if !is_short {
            return false;
        }
        let timestamp_delta = Word::of(self.timestamp_delta);
        let middle = Word::of(self.offset_delta).then(Word::of(length(self.key)));
        let value_length = Word::of(length(self.value));
        let header_count = Word::of(zigzag(i64::from(self.headers.raw_count())));
        let numbers_bytes = timestamp_delta.bytes() + middle.bytes() + value_length.bytes() + header_count.bytes();
        let length = Word::of(zigzag_length(1 + numbers_bytes + parts_bytes));
        if length.bytes() + 1 + timestamp_delta.bytes() > Word::BYTES_MAX {
            return false;
        }
        length.then(Word::ZERO).then(timestamp_delta).put(buffer);
        middle.put(buffer);
        put_bytes(buffer, self.key.unwrap_or_default());
        value_length.put(buffer);
        put_bytes(buffer, self.value.unwrap_or_default());
        header_count.put(buffer);
        put_bytes(buffer, self.headers.as_bytes());
        true
    }

    /// Appends any record.
    #[cold]
    #[inline(never)]
    pub(super) fn put(&self, buffer: &mut Vec<u8>) {
        let (key_length, value_length) = (length(self.key), length(self.value));
        let header_count = zigzag(i64::from(self.headers.raw_count()));
        let numbers = [self.timestamp_delta, self.offset_delta, key_length, value_length, header_count];
        let numbers_bytes: usize = numbers.into_iter().map(varint_bytes).sum();
        put_varint(buffer, zigzag_length(1 + numbers_bytes + self.parts_bytes()));
        buffer.push(0);
        put_varint(buffer, self.timestamp_delta);
        put_varint(buffer, self.offset_delta);
        put_varint(buffer, key_length);
        buffer.extend_from_slice(self.key.unwrap_or_default());
        put_varint(buffer, value_length);
        buffer.extend_from_slice(self.value.unwrap_or_default());
        put_varint(buffer, header_count);
        buffer.extend_from_slice(self.headers.as_bytes());
    }
}

/// The length of a key or value, -1 for null, as a zig-zag number for its varint.
#[inline]
fn length(bytes: Option<&[u8]>) -> u64 {
    bytes.map_or(zigzag(-1), |bytes| zigzag_length(bytes.len()))
}
