//! Record batches, format v2: reading them in place and writing them once.
//!
//! ```text
//! Bytes --Batches--> Batch --open--> Records --next--> Record { key, value, headers: slices of the batch }
//! append --> BatchBuilder --seal--> Bytes, ready for the wire and for any number of retries
//! ```
//! Reading allocates nothing per record, and per batch only what decompression needs (a buffer that the caller keeps).
//! The checksum is checked once per batch, right before its records are read. Whatever the bytes, the outcome is a
//! value or a [`RecordError`] that says what is wrong and where.
//!
//! Formats v0 and v1 are errors that name the format.
#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::cast_possible_truncation))]

mod batch;
mod builder;
mod control;
mod error;
mod header;
mod headers;
mod parse;
mod patch;
mod records;
mod varint;

pub use batch::{Batch, Batches};
pub use builder::{BatchBuilder, Seal};
pub use control::ControlRecord;
pub use error::{RecordError, RecordErrorCause};
pub use header::{BatchHeader, HEADER_BYTES, TimestampType, sequence_after};
pub use headers::{HeadersBuf, RawHeaders};
pub use patch::{restamp, with_base_offset, with_log_append_time};
pub use records::{Record, Records};

#[cfg(test)]
mod tests;
