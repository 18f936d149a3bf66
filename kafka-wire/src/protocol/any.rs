//! Messages whose type is known at run time only, for tools that read other programs' connections.

use std::fmt;
use std::sync::LazyLock;

use super::inspect::{Inspect, json};
use super::{ApiKey, Message};
use crate::wire::{DecodeError, EncodeError, Layout, Reader, Writer};

/// The direction of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To a broker.
    Request,
    /// From a broker.
    Response,
}

/// A message of some type.
pub trait AnyMessage: fmt::Debug + Send + Sync {
    /// Appends the message as `version` lays it out.
    ///
    /// # Errors
    /// See [`Message::encode`].
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;

    /// The message as one line of JSON, with the fields that `version` has.
    fn json(&self, version: i16) -> String;
}

impl<M: Message + Inspect> AnyMessage for M {
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        Message::encode(self, w, version)
    }

    fn json(&self, version: i16) -> String {
        json(self, version)
    }
}

/// One of the messages that this crate has: a request, a response, or one without API key
/// like ConsumerProtocolSubscription.
#[derive(Clone, Copy)]
pub struct MessageKind {
    api: Option<(ApiKey, Direction)>,
    layout: Layout,
    decode: Decoder,
}

type Decoder = fn(&mut Reader<'_>, i16) -> Result<Box<dyn AnyMessage>, DecodeError>;

impl MessageKind {
    /// Every message, those without API key first.
    #[must_use]
    pub fn all() -> &'static [Self] {
        &ALL
    }

    /// The request or response of `key`; `None` if this crate has no such messages, as [`ApiKey::layout`] says.
    #[must_use]
    pub fn of_api(key: ApiKey, direction: Direction) -> Option<Self> {
        let index = ALL.binary_search_by_key(&Some((key, direction)), |kind| kind.api).ok()?;
        ALL.get(index).copied()
    }

    /// The message of this name in Kafka's schema, like `FetchRequest`; `None` if there is none.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|kind| kind.name() == name).copied()
    }

    /// The API and direction of a request or response; `None` for a message without API key.
    #[must_use]
    pub const fn api(self) -> Option<(ApiKey, Direction)> {
        self.api
    }

    /// Its name in Kafka's schema, like `FetchRequest`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.layout.name
    }

    /// Its name and its versions.
    #[must_use]
    pub const fn layout(self) -> Layout {
        self.layout
    }

    /// Decodes such a message. Bytes after it are left in the reader.
    ///
    /// # Errors
    /// See [`Message::decode`].
    pub fn decode(self, version: i16, r: &mut Reader<'_>) -> Result<Box<dyn AnyMessage>, DecodeError> {
        (self.decode)(r, version)
    }

    /// Decodes such a message, which must be all that is left in the reader.
    ///
    /// # Errors
    /// See [`Message::decode`]; `TrailingBytes` if there are bytes after it.
    pub fn decode_whole(self, version: i16, r: &mut Reader<'_>) -> Result<Box<dyn AnyMessage>, DecodeError> {
        let message = self.decode(version, r)?;
        r.finish()?;
        Ok(message)
    }

    fn of<M: Message + Inspect>(api: Option<(ApiKey, Direction)>) -> Self {
        Self { api, layout: M::LAYOUT, decode: |r, version| Ok(Box::new(M::decode(r, version)?)) }
    }
}

impl fmt::Debug for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Every message: first those without API key, then in ascending order of API and direction.
static ALL: LazyLock<Vec<MessageKind>> = LazyLock::new(|| {
    let mut kinds = Vec::new();
    macro_rules! api {
        ($key:ident, $request:ty, $response:ty) => {
            kinds.push(MessageKind::of::<$request>(Some((ApiKey::$key, Direction::Request))));
            kinds.push(MessageKind::of::<$response>(Some((ApiKey::$key, Direction::Response))));
        };
    }
    macro_rules! message {
        ($name:literal, $message:ty) => {
            kinds.push(MessageKind::of::<$message>(None));
        };
    }
    crate::for_each_api!(api);
    crate::for_each_message!(message);
    kinds.sort_by_key(|kind| kind.api);
    kinds
});
