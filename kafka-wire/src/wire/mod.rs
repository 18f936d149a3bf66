//! The primitives of the Kafka protocol: numbers, strings, lengths and tags. No API is named here.
//!
//! [`Reader`] runs nom parsers over one received frame; the strings, byte fields and records that it returns share
//! the frame's memory. [`Writer`] builds a list of chunks, so that a large records field goes to the socket without
//! being copied. Both have a flag for the one difference between old and new versions of a message, which is the
//! encoding of lengths.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::cast_possible_truncation))]

pub(crate) mod base64;
mod element;
mod error;
mod layout;
mod reader;
mod text;
mod unknown_tags;
mod uuid;
pub mod varint;
mod view;
mod writer;

pub use error::{DecodeCause, DecodeError, EncodeCause, EncodeError, Malformed};
pub use layout::Layout;
pub use reader::{Decode, ELEMENTS_PER_BYTE, Reader};
pub use text::Str;
pub use unknown_tags::UnknownTags;
pub use uuid::{ParseUuidError, Uuid};
pub use view::{Items, ItemsIter, View, ViewReader};
pub use writer::{Encode, Tags, Writer};

#[cfg(test)]
mod tests;
