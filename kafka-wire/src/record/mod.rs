//! Record batches (format v2) and message sets (v0 and v1): reading them in place and writing them once.
//!
//! ```text
//! Bytes --Batches--> Batch --open--> Records --next--> Record { key, value, headers: slices of the batch }
//! append --> BatchBuilder --seal--> Bytes, ready for the wire and for any number of retries
//! append --> MessageSetBuilder --finish--> Bytes
//! ```
//! Reading allocates nothing per record, and per batch only the memory for decompression (a buffer that the caller
//! keeps). The checksum is checked once per batch, right before its records are read. For any bytes, the outcome is
//! a value or a [`RecordError`] with the error and its place.
//!
//! The formats may be mixed, as in a segment file of a log that was upgraded: an item of [`Batches`] is a batch,
//! or a message of the old formats with the records that it wraps. A tool that prints a segment file, and names its
//! first wrong byte, is this loop:
//!
//! ```
//! # use kafka_wire::{compression::Decompressed, record::{Batches, RecordError}};
//! /// The position of the first wrong byte, and the error there.
//! fn first_wrong_byte(segment: bytes::Bytes) -> Option<(usize, RecordError)> {
//!     let mut buffer = Decompressed::default();
//!     let mut batches = Batches::new(segment);
//!     loop {
//!         let position = batches.position();
//!         match batches.next()? {
//!             Err(error) => return Some((position + error.at, error)),
//!             Ok(batch) => {
//!                 let opened = batch.open(&mut buffer);
//!                 match opened.and_then(|mut records| records.try_for_each(|record| record.map(drop))) {
//!                     // The position is in the decompressed records, which begin here in the file.
//!                     Err(error) if error.decompressed => return Some((position + batch.records_at(), error)),
//!                     Err(error) => return Some((position + error.at, error)),
//!                     Ok(()) => (), // After the last batch, `batches.rest()` has one that is cut off.
//!                 }
//!             }
//!         }
//!     }
//! }
//! ```
#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::cast_possible_truncation))]

mod batch;
mod builder;
mod control;
mod error;
mod field;
mod header;
mod headers;
mod message;
mod message_builder;
mod parse;
mod patch;
mod records;
mod retain;
mod short;
mod varint;

pub use batch::{Batch, Batches};
pub use builder::{BatchBuilder, Seal};
pub use control::ControlRecord;
pub use error::{RecordError, RecordErrorCause};
pub use header::{BatchHeader, HEADER_BYTES, MAGIC_V2, TimestampType, sequence_after};
pub use headers::{HeadersBuf, RawHeaders};
pub use message_builder::{MessageFormat, MessageSet, MessageSetBuilder};
pub use patch::{restamp, set_base_offset, with_base_offset, with_log_append_time};
pub use records::{OwnedRecords, Records};
pub use retain::retain;

/// One record, borrowed from its batch.
///
/// To keep a part of an uncompressed batch, take `batch.bytes().slice_ref(part)`: no copy, but the frame stays
/// in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its offset in the partition.
    pub offset: i64,
    /// Milliseconds since 1970-01-01 UTC; -1 if it has none. With log append time, that of the batch.
    pub timestamp: i64,
    /// `None` is Kafka's null, which is not the same as empty.
    pub key: Option<&'a [u8]>,
    /// `None` is Kafka's null: a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// Its headers, decoded on demand.
    pub headers: RawHeaders<'a>,
}

#[cfg(test)]
mod tests;
