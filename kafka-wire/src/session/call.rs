//! What goes into a session and what comes out of it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::{BrokerVersions, CloseCause, UnsupportedVersion};
use crate::protocol::{ApiKey, Request};
use crate::time::Moment;
use crate::wire::{EncodeError, Writer};

/// A request whose version is chosen when it is written.
///
/// Every [`Request`] is one; [`ByVersion`] is for messages whose content depends on the version.
pub trait Outgoing: Send + Sync + 'static {
    /// The API it belongs to.
    fn api(&self) -> ApiKey;

    /// Writes the body at `version`.
    ///
    /// # Errors
    /// A field is set that this version cannot carry, or a value is too long.
    fn encode_body(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError>;

    /// Whether a broker answers it. One that it does not is done when it is handed to the transport.
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

/// Builds the request when the version is known: some APIs say the same thing in other fields at other versions.
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

/// One request on its way through a session. `T` is whatever the caller recognises its answer by.
pub struct Call<T> {
    /// The request.
    pub message: Arc<dyn Outgoing>,
    /// Highest version to use, if lower than what both sides speak.
    pub max_version: Option<i16>,
    /// When to give up. Giving up on a request that was written closes the connection: answers come in order.
    pub deadline: Moment,
    /// Comes back with the answer.
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

/// What a session reports, in the order in which it happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Output<T> {
    /// Versions are negotiated, and the broker knows who the client is, if it wants to; calls can be written from now
    /// on.
    Ready(Arc<BrokerVersions>),
    /// It is time to authenticate: [`Session::handle_credentials`](super::Session::handle_credentials) takes what
    /// for. At the start of a connection, and again before the session that the broker has granted is over.
    NeedsCredentials,
    /// A call was answered.
    Answered {
        /// The call's.
        tag: T,
        /// Version of request and answer.
        version: i16,
        /// The answer without its header; shares the frame it came in.
        body: Bytes,
    },
    /// A call that no broker answers was handed to the transport.
    Written {
        /// The call's.
        tag: T,
    },
    /// A call ended without an answer.
    Failed {
        /// The call's.
        tag: T,
        /// Why.
        failure: CallFailure,
    },
}

/// Why a call has no answer, and whether the broker can have seen it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CallFailure {
    /// Its deadline passed before any byte of it was written; the connection lives on.
    Expired,
    /// The connection ended before any byte of it was written.
    NotSent(CloseCause),
    /// The connection ended after it was handed to the transport: it may have been carried out.
    Unanswered(CloseCause),
    /// No version that both sides speak. Nothing was written.
    UnsupportedVersion(UnsupportedVersion),
    /// It has no encoding at the negotiated version. Nothing was written.
    Encode(ApiKey, EncodeError),
}
