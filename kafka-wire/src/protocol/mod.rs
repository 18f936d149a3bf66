//! Messages of the Kafka protocol: requests and responses, at every version that Apache Kafka 4.4 has.
//!
//! There is one module per API, generated from `kafka-wire/schema/<api>.schema`; names of structs are Kafka's,
//! names of fields are Kafka's in snake case. Structs are owned and keep plain integers; strings, bytes and records
//! share the frame that they came in. A field that a version lacks has its default after decoding; encoding fails if
//! such a field is set, unless Kafka calls it ignorable. Record batches stay opaque bytes here: `record` reads them.
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

/// A message that can be decoded and encoded at every version of its [`Layout`].
pub trait Message: Decode + Encode + Clone + std::fmt::Debug + Default + PartialEq + Send + Sync + 'static {
    /// Its name and its versions.
    const LAYOUT: Layout;

    /// Decodes the message in the layout of `version`.
    ///
    /// Bytes after its last field are left in the reader. Code that serves or receives messages ignores them,
    /// as Apache Kafka does, and counts them with [`Reader::left`]; code that compares bytes refuses them
    /// with [`Reader::finish`].
    ///
    /// The memory taken is bounded by the size of the frame: see [`ELEMENTS_PER_BYTE`](crate::wire::ELEMENTS_PER_BYTE).
    ///
    /// # Errors
    /// Names the field and the byte at which the frame is not such a message, or the version if there is no
    /// such layout.
    fn decode(r: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        r.message(version)
    }

    /// Appends the message in the layout of `version`.
    ///
    /// # Errors
    /// A field that is set, is not ignorable and is missing in `version`; null where `version` does not allow it;
    /// a string or list longer than its length field can state; an unknown version. The writer's contents
    /// are then unspecified.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        self.write(w, version)
    }
}

/// A message that borrows the frame that it is decoded from. Its lists take no memory:
/// see [`Items`](crate::wire::Items).
pub trait MessageView<'a>: View<'a> {
    /// The owned form of the message.
    type Owned: Message;

    /// Decodes the message in the layout of `version`. Bytes after its last field are ignored: see [`Self::split`].
    ///
    /// # Errors
    /// The errors of [`Message::decode`].
    fn decode(body: &'a Bytes, version: i16) -> Result<Self, DecodeError> {
        Self::split(body, version).map(|(view, _)| view)
    }

    /// Decodes the message in the layout of `version`, and returns it with the bytes after its last field.
    ///
    /// # Errors
    /// The errors of [`Message::decode`].
    fn split(body: &'a Bytes, version: i16) -> Result<(Self, &'a [u8]), DecodeError> {
        let layout = Self::Owned::LAYOUT;
        let mut cursor = ViewReader::new(body, layout.is_flexible(version));
        match Self::view(&mut cursor, version) {
            Ok(view) if layout.versions().contains(&version) => Ok((view, cursor.rest())),
            _ => Err(refused::<Self::Owned>(body, version)),
        }
    }
}

/// The error of a view. A view does not carry the names of fields, so the owned form is decoded to find the error.
#[cold]
fn refused<M: Message>(body: &Bytes, version: i16) -> DecodeError {
    let mut reader = Reader::new(body);
    M::decode(&mut reader, version).err().unwrap_or_else(|| reader.error(M::LAYOUT.name, DecodeCause::Truncated))
}

/// A request with its response.
pub trait Request: Message {
    /// The message that answers it, at the same version.
    type Response: Message;

    /// Its API key.
    const KEY: ApiKey;

    /// The time for which the broker asks the client to send nothing, in milliseconds; 0 if it does not ask,
    /// or the API has no such field.
    ///
    /// Source: KIP-219, `ThrottleTimeMs` of every response that has it.
    fn throttle_time_ms(response: &Self::Response) -> i32 {
        let _ = response;
        0
    }
}

#[cfg(test)]
mod tests;
