//! Writing message sets of the formats v0 and v1.

use bytes::Bytes;

use super::builder::put;
use super::header::{LENGTH_AT, LENGTH_END, LOG_APPEND_TIME_BIT};
use super::message::{MAGIC_V0, MAGIC_V1, MESSAGE_CRC_AT, crc32, message_bytes_min};
use super::{RecordError, RecordErrorCause};
use crate::compression::{Compression, CompressionError, Compressor, Container};

/// The formats of messages before record batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageFormat {
    /// The format of Kafka 0.8 and 0.9, without timestamps.
    V0,
    /// The format of Kafka 0.10, with a timestamp in each message.
    V1,
}

/// How a message set is written. Made with [`MessageSet::new`], then changed field by field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageSet {
    /// The format.
    pub format: MessageFormat,
    /// Codec to use if it makes the set smaller; all messages are then in one wrapper. These formats do not have zstd.
    pub compression: Compression,
    /// Offset of the first message; a producer writes 0.
    pub base_offset: i64,
    /// If set (milliseconds since 1970-01-01 UTC), every message of v1 has this time, as a broker writes it for topics
    /// with `message.timestamp.type=LogAppendTime`.
    pub log_append_time: Option<i64>,
}

impl MessageSet {
    /// The settings of a producer: from offset 0 on, uncompressed, with timestamps of its own.
    pub fn new(format: MessageFormat) -> Self {
        Self { format, compression: Compression::None, base_offset: 0, log_append_time: None }
    }
}

/// A message set under construction: messages are appended in order and get consecutive offsets.
#[derive(Clone, Debug)]
pub struct MessageSetBuilder {
    set: MessageSet,
    buffer: Vec<u8>,
    count: i64,
    max_timestamp: i64,
}

/// Most bytes that the size field of a wrapper can state, less the wrapper's other fields.
const SET_BYTES_MAX: usize = i32::MAX as usize - 64;

impl MessageSetBuilder {
    /// Makes an empty set with room for `capacity_bytes`; it grows when that is exceeded.
    pub fn new(set: MessageSet, capacity_bytes: usize) -> Self {
        Self { set, buffer: Vec::with_capacity(capacity_bytes), count: 0, max_timestamp: -1 }
    }

    /// Bytes of the messages so far, before compression.
    pub fn size_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Serialises a message at the end of the set. `timestamp` is in milliseconds since 1970-01-01 UTC, -1 for none; v0
    /// has no place for it.
    ///
    /// # Errors
    /// `TooLarge` if the set would exceed 2 GiB; it is unchanged then.
    pub fn append(&mut self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), RecordError> {
        let parts_bytes = key.map_or(0, <[u8]>::len).saturating_add(value.map_or(0, <[u8]>::len));
        if self.buffer.len().saturating_add(parts_bytes) > SET_BYTES_MAX {
            return Err(RecordError::new(self.buffer.len(), "message", RecordErrorCause::TooLarge));
        }
        // A reader of a wrapper takes the wrapper's time, so the messages in it may have the same.
        let timestamp = self.set.log_append_time.unwrap_or(timestamp);
        let first_offset = if self.has_relative_offsets() { 0 } else { self.set.base_offset };
        let fields = Fields { offset: first_offset.wrapping_add(self.count), codec: Compression::None, timestamp };
        self.set.put_message(&mut self.buffer, fields, key, value);
        self.count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        Ok(())
    }

    /// Closes the set, compressed if that makes it smaller. A set without messages gives no bytes at all.
    ///
    /// # Errors
    /// `UnsupportedCodec` if this build lacks the codec, `UnknownCodec` for zstd, which the formats do not have.
    pub fn finish(mut self, compressor: &mut Compressor) -> Result<Bytes, CompressionError> {
        let codec = self.set.compression;
        if self.count == 0 {
            return Ok(Bytes::new());
        }
        if codec == Compression::Zstd {
            return Err(CompressionError::UnknownCodec { code: codec.code() });
        }
        if codec != Compression::None {
            let (magic, container) = match self.set.format {
                MessageFormat::V0 => (MAGIC_V0, Container::MessageV0),
                MessageFormat::V1 => (MAGIC_V1, Container::Batch),
            };
            let compressed = compressor.compress(codec, container, &self.buffer)?;
            // The sizes are compared before the wrapper is made, because data that does not shrink may be larger
            // than a message can be.
            let wrapper_bytes = compressed.len() + message_bytes_min(magic).unwrap_or(0);
            if wrapper_bytes < self.buffer.len() {
                let mut wrapper = Vec::with_capacity(wrapper_bytes);
                let offset = self.set.base_offset.wrapping_add(self.count - 1);
                let fields = Fields { offset, codec, timestamp: self.max_timestamp };
                self.set.put_message(&mut wrapper, fields, None, Some(compressed));
                return Ok(Bytes::from(wrapper));
            }
            if self.has_relative_offsets() {
                make_absolute(&mut self.buffer, self.set.base_offset);
            }
        }
        Ok(Bytes::from(self.buffer))
    }

    fn has_relative_offsets(&self) -> bool {
        self.set.format == MessageFormat::V1 && self.set.compression != Compression::None
    }
}

/// The fields that differ from message to message, without key and value.
struct Fields {
    offset: i64,
    codec: Compression,
    timestamp: i64,
}

impl MessageSet {
    fn put_message(&self, buffer: &mut Vec<u8>, fields: Fields, key: Option<&[u8]>, value: Option<&[u8]>) {
        let at = buffer.len();
        buffer.extend_from_slice(&fields.offset.to_be_bytes());
        // Size and checksum are filled in at the end.
        buffer.extend_from_slice(&[0; 8]);
        let codec = fields.codec.code();
        match self.format {
            MessageFormat::V0 => buffer.extend_from_slice(&[MAGIC_V0.cast_unsigned(), codec]),
            MessageFormat::V1 => {
                let time_bit = if self.log_append_time.is_some() { LOG_APPEND_TIME_BIT } else { 0 };
                let [_, time_bit] = time_bit.to_be_bytes();
                buffer.extend_from_slice(&[MAGIC_V1.cast_unsigned(), codec | time_bit]);
                buffer.extend_from_slice(&fields.timestamp.to_be_bytes());
            }
        }
        for part in [key, value] {
            let length = part.map_or(-1, |part| i32::try_from(part.len()).expect("a set has less than 2 GiB"));
            buffer.extend_from_slice(&length.to_be_bytes());
            buffer.extend_from_slice(part.unwrap_or_default());
        }
        let message = buffer.get_mut(at..).unwrap_or_default();
        let size = i32::try_from(message.len() - LENGTH_END).expect("a set has less than 2 GiB");
        put(message, LENGTH_AT, size.to_be_bytes());
        let crc = crc32(message);
        put(message, MESSAGE_CRC_AT, crc.to_be_bytes());
    }
}

/// Numbers the offsets of the messages in `buffer` from `base_offset` on; their checksums do not cover them.
fn make_absolute(buffer: &mut [u8], base_offset: i64) {
    let mut rest = buffer;
    let mut offset = base_offset;
    while let Some(size) = rest.get(LENGTH_AT..).and_then(|bytes| bytes.first_chunk()) {
        let size = usize::try_from(i32::from_be_bytes(*size)).expect("just written");
        put(rest, 0, offset.to_be_bytes());
        offset = offset.wrapping_add(1);
        rest = rest.get_mut(LENGTH_END + size..).unwrap_or_default();
    }
}
