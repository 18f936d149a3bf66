//! Messages whose type is known at run time only: for tools that read what others said to each other.

use super::inspect::{Inspect, json};
use super::{ApiKey, Message};
use crate::wire::{DecodeCause, DecodeError, EncodeError, Layout, Reader, Writer};

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To a broker.
    Request,
    /// From a broker.
    Response,
}

/// A message of some type.
pub trait AnyMessage: std::fmt::Debug + Send + Sync {
    /// Its name and its versions.
    fn layout(&self) -> Layout;

    /// Appends the message as `version` lays it out.
    ///
    /// # Errors
    /// See [`Message::encode`].
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;

    /// The message as one line of JSON, with the fields that `version` has.
    fn json(&self, version: i16) -> String;
}

impl<M: Message + Inspect> AnyMessage for M {
    fn layout(&self) -> Layout {
        M::LAYOUT
    }

    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        Message::encode(self, w, version)
    }

    fn json(&self, version: i16) -> String {
        json(self, version)
    }
}

type Decoder = fn(&mut Reader<'_>, i16) -> Result<Box<dyn AnyMessage>, DecodeError>;

fn decoder<M: Message + Inspect>(r: &mut Reader<'_>, version: i16) -> Result<Box<dyn AnyMessage>, DecodeError> {
    Ok(Box::new(M::decode(r, version)?))
}

/// Reads the body of a request or response. Bytes behind it are left in the reader: see [`Reader::finish`].
///
/// # Errors
/// See [`Message::decode`]; `UnknownVersion` for a key without messages.
pub fn decode(
    key: ApiKey,
    direction: Direction,
    version: i16,
    r: &mut Reader<'_>,
) -> Result<Box<dyn AnyMessage>, DecodeError> {
    macro_rules! row {
        ($key:ident, $request:ty, $response:ty) => {
            if key == ApiKey::$key {
                let decode: Decoder = match direction {
                    Direction::Request => decoder::<$request>,
                    Direction::Response => decoder::<$response>,
                };
                return decode(r, version);
            }
        };
    }
    crate::for_each_api!(row);
    Err(r.error(key.name(), DecodeCause::UnknownVersion(version)))
}

/// Versions of a message that is no request or response, by its name in Kafka's schema.
#[must_use]
pub fn data_layout(name: &str) -> Option<Layout> {
    data(name).map(|(layout, _)| layout)
}

/// Reads a message that is no request or response; `None` when there is none of this name.
///
/// # Errors
/// See [`Message::decode`].
pub fn decode_data(name: &str, version: i16, r: &mut Reader<'_>) -> Option<Result<Box<dyn AnyMessage>, DecodeError>> {
    data(name).map(|(_, decode)| decode(r, version))
}

fn data(name: &str) -> Option<(Layout, Decoder)> {
    macro_rules! row {
        ($name:literal, $message:ty) => {
            if name == $name {
                return Some((<$message>::LAYOUT, decoder::<$message>));
            }
        };
    }
    crate::for_each_message!(row);
    None
}
