//! The batches in a records field, complete and not decoded.

use std::iter::FusedIterator;

use bytes::Bytes;

use super::header::{ATTRIBUTES_AT, CRC_AT, HEADER_BYTES, LENGTH_AT, LENGTH_END, MAGIC_AT, MAGIC_V2};
use super::message::{self, MESSAGE_CRC_AT, crc32, message_bytes_min};
use super::{BatchHeader, RecordError, RecordErrorCause, Records};
use crate::compression::{self, Compression, Container, Decompressed};

impl BatchHeader {
    /// Parses the header at the start of `bytes`, without checking the checksum or reading the records.
    ///
    /// # Errors
    /// `Truncated` below 61 bytes (a message of the old formats must be complete); `UnsupportedMagic` for a format
    /// that this build does not know; `OutOfRange` for a negative count or last offset delta; `Compression` for codec
    /// bits without a meaning.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.get(MAGIC_AT).is_some_and(|magic| message_bytes_min(magic.cast_signed()).is_some()) {
            return message::batch_header(bytes);
        }
        Self::parse_v2(bytes)
    }
}

/// The batches of a fetch response, of a produce request or of a segment file, in order and in any format:
/// record batches (v2), and the messages of message sets (v0 and v1).
///
/// A batch that is cut off at the end of the bytes ends the iteration without an error, because brokers cut at the byte
/// limit of the fetch; its bytes are then in [`Batches::rest`]. After an error the iteration is over, because after
/// a wrong length no batch can be found.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
    position: usize,
}

impl Batches {
    /// Iterates over the batches in `records`; each of them shares its memory.
    pub fn new(records: Bytes) -> Self {
        Self { rest: records, position: 0 }
    }

    /// Bytes from the start to the next batch; after an error, to the batch with the error.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The bytes after the last batch returned. At the end of the iteration they are those of the batch that is cut
    /// off, after an error there are none.
    pub fn rest(&self) -> &Bytes {
        &self.rest
    }
}

impl Iterator for Batches {
    /// An error is about the batch at [`Batches::position`].
    type Item = Result<Batch, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let size_bytes = match whole_batch_bytes(&self.rest) {
            Ok(size_bytes) => size_bytes?,
            Err(error) => {
                self.rest = Bytes::new();
                return Some(Err(error));
            }
        };
        let bytes = self.rest.split_to(size_bytes);
        match BatchHeader::parse(&bytes) {
            Ok(header) => {
                self.position += bytes.len();
                Some(Ok(Batch { header, bytes }))
            }
            Err(error) => {
                self.rest = Bytes::new();
                Some(Err(error))
            }
        }
    }
}

impl FusedIterator for Batches {}

/// One record batch (format v2), or one message of the old formats. It shares the memory of the frame that it came in,
/// so keeping it keeps the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The header of the batch.
    pub header: BatchHeader,
    /// The bytes of the batch: as many as its length field states, with at least the header.
    bytes: Bytes,
}

impl Batch {
    /// Bytes at the start of a batch, or of a message of the old formats, that are needed to know its size.
    /// The last is the magic.
    pub const HEAD_BYTES: usize = MAGIC_AT + 1;

    /// Bytes of the batch that begins with `head`, as its length field states them and its format allows:
    /// the number of bytes that a reader of a file has to read. It is only a claim, at most 2 GiB.
    /// `None` if `head` is shorter than [`Batch::HEAD_BYTES`].
    ///
    /// # Errors
    /// `UnsupportedMagic` for a format that this build does not know; `OutOfRange` if no batch or message can be
    /// that short.
    pub fn stated_size_bytes(head: &[u8]) -> Result<Option<usize>, RecordError> {
        // The magic is checked first: the length field means the same in every format, but a message of the old ones
        // may be shorter than the header of a batch.
        let Some(&magic) = head.get(MAGIC_AT) else { return Ok(None) };
        let magic = magic.cast_signed();
        let bytes_min = match message_bytes_min(magic) {
            Some(bytes_min) => bytes_min,
            None if magic == MAGIC_V2 => HEADER_BYTES,
            None => return Err(RecordError::new(MAGIC_AT, "magic", RecordErrorCause::UnsupportedMagic(magic))),
        };
        let length =
            head.get(LENGTH_AT..).and_then(|bytes| bytes.first_chunk()).map_or(0, |field| i32::from_be_bytes(*field));
        let size_bytes = usize::try_from(length).ok().and_then(|length| length.checked_add(LENGTH_END));
        match size_bytes {
            Some(size_bytes) if size_bytes >= bytes_min => Ok(Some(size_bytes)),
            _ => Err(RecordError::new(LENGTH_AT, "batch length", RecordErrorCause::OutOfRange(i64::from(length)))),
        }
    }

    /// The batch in `bytes`, which must contain it and nothing else. Brokers expect that of a produce request.
    ///
    /// # Errors
    /// The errors of [`Batches`]; `Truncated` if bytes are missing and `BytesLeft` if there are too many.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, RecordError> {
        let given = bytes.len();
        let mut batches = Batches::new(bytes);
        let batch = batches.next().ok_or(RecordError::new(given, "batch", RecordErrorCause::Truncated))??;
        let left = batches.rest().len();
        if left > 0 {
            return Err(RecordError::new(batch.bytes.len(), "batch", RecordErrorCause::BytesLeft(left)));
        }
        Ok(batch)
    }

    /// The batch as it is on the wire; a cheap share of the same memory.
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// Bytes of the batch on the wire, its header included.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes from the start of the batch to its records, compressed or not. A message of the old formats is its own
    /// record; the messages in a compressed one are its last field.
    pub fn records_at(&self) -> usize {
        if self.header.magic == MAGIC_V2 {
            return HEADER_BYTES;
        }
        message::value_at(&self.bytes)
    }

    /// The checksum in the header, right or wrong: see [`Batch::check_crc`].
    pub fn crc(&self) -> u32 {
        let field = self.bytes.get(self.crc_at()..).and_then(|bytes| bytes.first_chunk());
        u32::from_be_bytes(*field.expect("a batch has a whole header"))
    }

    fn crc_at(&self) -> usize {
        if self.header.magic == MAGIC_V2 { CRC_AT } else { MESSAGE_CRC_AT }
    }

    /// Compares the checksum in the header with that of the bytes that it covers: a CRC-32C, in the old formats
    /// a CRC-32.
    ///
    /// # Errors
    /// `ChecksumMismatch` with both numbers.
    pub fn check_crc(&self) -> Result<(), RecordError> {
        let computed = if self.header.magic == MAGIC_V2 {
            crc32c::crc32c(self.bytes.get(ATTRIBUTES_AT..).unwrap_or_default())
        } else {
            crc32(&self.bytes)
        };
        let stored = self.crc();
        if stored == computed {
            return Ok(());
        }
        Err(RecordError::new(self.crc_at(), "crc", RecordErrorCause::ChecksumMismatch { stored, computed }))
    }

    /// Checks the checksum, decompresses if needed, and returns the records, which are read in place.
    ///
    /// The records borrow the batch, or `buffer` if the batch is compressed. The checksum is computed here,
    /// right before the records are read, because the bytes are in the cache for both then.
    ///
    /// # Errors
    /// `ChecksumMismatch`; `Compression` if this build lacks the codec, the data is corrupt, or it would exceed the
    /// limit of `buffer`; `OutOfRange` if there are fewer bytes than that many records need. For a compressed message
    /// of the old formats, also any error that prevents the messages in it from being separated.
    pub fn open<'a>(&'a self, buffer: &'a mut Decompressed) -> Result<Records<'a>, RecordError> {
        self.check_crc()?;
        if self.header.magic != MAGIC_V2 {
            return message::open(&self.header, &self.bytes, buffer).map(Records::of_messages);
        }
        let raw = self.bytes.get(HEADER_BYTES..).unwrap_or_default();
        match self.header.compression() {
            Compression::None => Records::new(&self.header, raw, HEADER_BYTES),
            codec => {
                let records = compression::decompress(codec, Container::Batch, raw, buffer)
                    .map_err(|cause| RecordError::new(HEADER_BYTES, "records", RecordErrorCause::Compression(cause)))?;
                Records::new(&self.header, records, 0)
            }
        }
    }
}

/// Size of the batch at the start of `bytes`, or `None` if it is incomplete.
fn whole_batch_bytes(bytes: &[u8]) -> Result<Option<usize>, RecordError> {
    Ok(Batch::stated_size_bytes(bytes)?.filter(|size_bytes| *size_bytes <= bytes.len()))
}
