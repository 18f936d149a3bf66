//! Bytes of the Kafka protocol: primitives, lengths and tags, and no API by name.
//!
//! [`Reader`] runs nom parsers over one received frame; what it hands out (strings, byte fields, records) shares the
//! frame's memory. [`Writer`] builds a list of chunks, so that a large records field goes to the socket uncopied.
//! Both carry the one difference between old and new versions of a message, the encoding of lengths, in a flag.
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
