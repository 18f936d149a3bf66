//! Messages of the Kafka protocol, every version that Apache Kafka 4.3 has, both directions.
//!
//! One module per API, generated from `kafka-wire/schema/<api>.schema`; names of structs are Kafka's, names of fields
//! are Kafka's in snake case. Structs are owned and keep plain integers; strings, bytes and records share the frame
//! they came in. A field that a version lacks takes its default on decoding; encoding fails when such a field is set,
//! unless Kafka calls it ignorable. Record batches stay opaque bytes here: `record` reads them.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::cast_possible_truncation))]

#[cfg(feature = "inspect")]
pub mod any;
mod api_key;
mod error_code;
mod generated;
#[cfg(feature = "inspect")]
pub mod inspect;

pub use api_key::ApiKey;
pub use error_code::ErrorCode;
pub use generated::*;

use crate::wire::{DecodeError, EncodeError, Layout, Reader, Writer};

/// A message that can be read and written at every version of its [`Layout`].
pub trait Message: Clone + std::fmt::Debug + Default + PartialEq + Send + Sync + 'static {
    /// Its name and its versions.
    const LAYOUT: Layout;

    /// Reads the message as `version` lays it out. Bytes behind it are left in the reader: see [`Reader::finish`].
    ///
    /// The memory taken is bounded by the size of the frame times a small constant: no count or length reserves more
    /// than the frame could fill.
    ///
    /// # Errors
    /// Names the field and the byte where the frame is not such a message, or the version if there is no such layout.
    fn decode(r: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError>;

    /// Appends the message as `version` lays it out.
    ///
    /// # Errors
    /// A field that is set, is not ignorable and is missing in `version`; null where `version` has none; a string or
    /// list that is longer than its length field can say; an unknown version. The writer's contents are then unspecified.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;
}

/// A request, and what answers it.
pub trait Request: Message {
    /// The message that answers it, at the same version.
    type Response: Message;

    /// Stands for this kind of request in the header.
    const KEY: ApiKey;

    /// How long the broker asks to be left alone, in milliseconds; 0 when it does not ask, or the API has no way to.
    ///
    /// Source: KIP-219, `ThrottleTimeMs` of every response that has it.
    fn throttle_time_ms(response: &Self::Response) -> i32 {
        let _ = response;
        0
    }
}

#[cfg(test)]
mod tests;
