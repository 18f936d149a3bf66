//! Inputs and events of a session: calls and their results.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::{BrokerVersions, CloseCause, UnsupportedVersion};
use crate::protocol::{ApiKey, Request};
use crate::time::Moment;
use crate::wire::{EncodeError, Writer};

/// A request whose version is chosen when it is encoded.
///
/// Every [`Request`] is one; [`ByVersion`] is for messages whose content depends on the version.
pub trait Outgoing: Send + Sync + 'static {
    /// The API of the request.
    fn api(&self) -> ApiKey;

    /// Writes the body at `version`.
    ///
    /// # Errors
    /// A field is set that this version cannot carry, or a value is too long.
    fn encode_body(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError>;

    /// Returns whether a broker answers it. A request without an answer is done when it is handed to the transport.
    fn is_answered(&self) -> bool {
        true
    }
}

impl<R: Request> Outgoing for R {
    fn api(&self) -> ApiKey {
        R::KEY
    }

    fn encode_body(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
        self.encode(writer, version)
    }
}

/// Builds the request when the version is known: some APIs have the same content in other fields at other versions.
pub struct ByVersion<F>(pub F);

impl<R: Request, F: Fn(i16) -> R + Send + Sync + 'static> Outgoing for ByVersion<F> {
    fn api(&self) -> ApiKey {
        R::KEY
    }

    fn encode_body(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
        (self.0)(version).encode(writer, version)
    }
}

/// A request that no broker answers: Produce with `acks=0`.
pub struct Unanswered<R>(pub R);

impl<R: Request> Outgoing for Unanswered<R> {
    fn api(&self) -> ApiKey {
        R::KEY
    }

    fn encode_body(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
        self.0.encode(writer, version)
    }

    fn is_answered(&self) -> bool {
        false
    }
}

/// One request on its way through a session. The caller recognises its answer by `tag`.
pub struct Call<T> {
    /// The request.
    pub message: Arc<dyn Outgoing>,
    /// Highest version to use, if lower than the highest that both sides have.
    pub max_version: Option<i16>,
    /// Time at which to give up. Giving up on a request that was written closes the connection, because
    /// answers come in order.
    pub deadline: Moment,
    /// Returned with the answer.
    pub tag: T,
}

impl<T: fmt::Debug> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, max_version, deadline, tag } = self;
        f.debug_struct("Call")
            .field("api", &message.api())
            .field("max_version", max_version)
            .field("deadline", deadline)
            .field("tag", tag)
            .finish()
    }
}

/// An event of a session; events come in the order in which they happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SessionEvent<T> {
    /// Versions are negotiated, and the client is authenticated if the broker wants that; calls can be
    /// written from now on.
    Ready(Arc<BrokerVersions>),
    /// It is time to authenticate: the owner has to pass the credentials to
    /// [`Session::handle_credentials`](super::Session::handle_credentials). At the start of a connection, and again
    /// before the session that the broker has granted is over.
    NeedsCredentials,
    /// A call was answered.
    Answered {
        /// The tag of the call.
        tag: T,
        /// Version of request and answer.
        version: i16,
        /// The answer without its header; it shares the frame that it came in.
        body: Bytes,
    },
    /// A call that no broker answers was handed to the transport.
    Written {
        /// The tag of the call.
        tag: T,
    },
    /// A call ended without an answer.
    Failed {
        /// The call's.
        tag: T,
        /// The reason.
        failure: CallFailure,
    },
}

/// A request or a response of a session, for those who count them. Requests that negotiate and authenticate are among
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// A request was handed to the transport.
    Sent {
        /// Its API.
        api: ApiKey,
        /// Whether the broker answers it.
        is_answered: bool,
    },
    /// A response came.
    Answered {
        /// The API.
        api: ApiKey,
        /// The time at which the request was handed to the transport.
        sent: Moment,
    },
    /// The connection has ended before the response of a request.
    Lost,
}

/// The reason why a call has no answer, which also tells whether the broker can have seen it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CallFailure {
    /// Its deadline passed before any byte of it was written; the connection stays open.
    Expired,
    /// The connection ended before any byte of it was written.
    NotSent(CloseCause),
    /// The connection ended after the call was handed to the transport: it may have been carried out.
    Unanswered(CloseCause),
    /// There is no version that both sides have. Nothing was written.
    UnsupportedVersion(UnsupportedVersion),
    /// The request cannot be encoded at the negotiated version. Nothing was written.
    Encode(ApiKey, EncodeError),
}
