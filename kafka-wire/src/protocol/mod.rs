//! Messages of the Kafka protocol, every version that Apache Kafka 4.4 has, both directions.
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
#[allow(
    unused_variables,
    clippy::collapsible_if,
    reason = "every struct takes the version, every field asks for its versions by themselves"
)]
mod generated;
#[cfg(feature = "inspect")]
pub mod inspect;

pub use api_key::ApiKey;
pub use error_code::ErrorCode;
pub use generated::*;

use bytes::Bytes;

use crate::wire::{Decode, DecodeCause, DecodeError, Encode, EncodeError, Layout, Reader, View, ViewReader, Writer};

/// A message that can be read and written at every version of its [`Layout`].
pub trait Message: Decode + Encode + Clone + std::fmt::Debug + Default + PartialEq + Send + Sync + 'static {
    /// Its name and its versions.
    const LAYOUT: Layout;

    /// Reads the message as `version` lays it out.
    ///
    /// Bytes behind its last field are left in the reader. What is served or received ignores them, as Apache Kafka does,
    /// and counts them by [`Reader::left`]; what compares bytes refuses them by [`Reader::finish`].
    ///
    /// The memory taken is bounded by the size of the frame: see [`ELEMENTS_PER_BYTE`](crate::wire::ELEMENTS_PER_BYTE).
    ///
    /// # Errors
    /// Names the field and the byte where the frame is not such a message, or the version if there is no such layout.
    fn decode(r: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        r.message(version)
    }

    /// Appends the message as `version` lays it out.
    ///
    /// # Errors
    /// A field that is set, is not ignorable and is missing in `version`; null where `version` has none; a string or
    /// list that is longer than its length field can say; an unknown version. The writer's contents are then unspecified.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        self.write(w, version)
    }
}

/// A message that borrows the frame it is read from. Its lists take no memory: see [`Items`](crate::wire::Items).
pub trait MessageView<'a>: View<'a> {
    /// The same message, taken out of its frame.
    type Owned: Message;

    /// Reads the message as `version` lays it out. Bytes behind its last field are ignored: see [`Self::split`].
    ///
    /// # Errors
    /// Those of [`Message::decode`].
    fn decode(body: &'a Bytes, version: i16) -> Result<Self, DecodeError> {
        Self::split(body, version).map(|(view, _)| view)
    }

    /// Reads the message as `version` lays it out, and returns it with the bytes behind its last field.
    ///
    /// # Errors
    /// Those of [`Message::decode`].
    fn split(body: &'a Bytes, version: i16) -> Result<(Self, &'a [u8]), DecodeError> {
        let layout = Self::Owned::LAYOUT;
        let mut cursor = ViewReader::new(body, layout.is_flexible(version));
        match Self::view(&mut cursor, version) {
            Ok(view) if layout.versions().contains(&version) => Ok((view, cursor.rest())),
            _ => Err(refused::<Self::Owned>(body, version)),
        }
    }
}

/// Why there is no such message: a view does not carry the names of fields, so the owned form is read to find out.
#[cold]
fn refused<M: Message>(body: &Bytes, version: i16) -> DecodeError {
    let mut reader = Reader::new(body);
    M::decode(&mut reader, version).err().unwrap_or_else(|| reader.error(M::LAYOUT.name, DecodeCause::Truncated))
}

/// A request, and what answers it.
pub trait Request: Message {
    /// The message that answers it, at the same version.
    type Response: Message;

    /// Its API key.
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
