//! The causes of a connection's end.

use std::fmt;
use std::io;

use super::FrameError;
use crate::protocol::{ApiKey, ErrorCode};
use crate::sasl::SaslError;
use crate::wire::{DecodeError, EncodeError};

/// The cause of a connection's end. No byte that comes later is used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCause {
    /// The peer closed the connection.
    EndOfStream {
        /// Whether it had not answered ApiVersions yet: typical of a TLS or SASL listener, or of a very old broker.
        negotiating: bool,
    },
    /// The peer negotiated versions, and closed the connection on the first request: typical of a SASL listener when
    /// the client does not use SASL.
    HungUp(ApiKey),
    /// The authentication of the client failed.
    Sasl(SaslError),
    /// The transport failed.
    Transport(io::ErrorKind),
    /// A request got no answer in time. Answers come in order, so no later request can be answered either.
    TimedOut(ApiKey),
    /// The peer uses another protocol than Kafka's.
    NotKafka(Peer),
    /// A length field has a value that no frame can have.
    Frame(FrameError),
    /// An answer does not belong to the oldest open request.
    UnknownCorrelation {
        /// Correlation id of the oldest open request; `None` if no request was open.
        expected: Option<i32>,
        /// Correlation id in the answer.
        received: i32,
    },
    /// The header of an answer, or the answer to ApiVersions, cannot be decoded.
    Decode(DecodeError),
    /// A request that the session itself sends cannot be written.
    Encode(ApiKey, EncodeError),
    /// The broker refused to negotiate versions.
    Refused(ErrorCode),
    /// This side closed it: the client was dropped, or the broker has another address now.
    Ended,
}

/// A peer that is not a Kafka broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peer {
    /// An HTTP server.
    Http,
    /// A TLS endpoint, which got plaintext.
    Tls,
    /// A peer that answers with text, which begins with these bytes (printable ASCII).
    Text([u8; 4]),
}

impl Peer {
    /// Recognises a peer by the bytes in the place of the length of a Kafka broker's first answer.
    #[must_use]
    pub fn from_head(head: [u8; 4]) -> Option<Self> {
        match head {
            [b'H', b'T', b'T', b'P'] => Some(Self::Http),
            // Record type alert (21) or handshake (22), then the version: 3.0 (SSL) to 3.4 (TLS 1.3).
            [21 | 22, 3, 0..=4, _] => Some(Self::Tls),
            text if text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') => Some(Self::Text(text)),
            _ => None,
        }
    }
}

impl fmt::Display for CloseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndOfStream { negotiating: false } => f.write_str("the broker closed the connection"),
            Self::EndOfStream { negotiating: true } => f.write_str(
                "the peer closed the connection without an answer to ApiVersions: a listener for TLS or SASL does that, \
                 and so does anything that is not Kafka",
            ),
            Self::HungUp(api) => write!(
                f,
                "the broker closed the connection on the first request ({}): a listener for SASL does that when nobody \
                 logs in; then set security.protocol to SASL_PLAINTEXT or SASL_SSL, and sasl.mechanism",
                api.name()
            ),
            Self::Sasl(error) => error.fmt(f),
            Self::Encode(api, error) => write!(f, "{}: {error}", api.name()),
            Self::Transport(kind) => write!(f, "the connection failed: {kind}"),
            Self::TimedOut(api) => write!(f, "no answer to {} in time", api.name()),
            Self::NotKafka(peer) => peer.fmt(f),
            Self::Frame(error) => write!(f, "the broker sent {error}"),
            Self::UnknownCorrelation { expected: Some(expected), received } => {
                write!(f, "the broker answered request {received} where request {expected} was due")
            }
            Self::UnknownCorrelation { expected: None, received } => {
                write!(f, "the broker answered request {received}, and none was open")
            }
            Self::Decode(error) => write!(f, "the broker's answer cannot be read: {error}"),
            Self::Refused(code) => write!(f, "the broker refused ApiVersions with {}", code.name()),
            Self::Ended => f.write_str("the connection was closed on this side"),
        }
    }
}

impl std::error::Error for CloseCause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Sasl(error) => Some(error),
            Self::Frame(error) => Some(error),
            Self::Decode(error) => Some(error),
            Self::Encode(_, error) => Some(error),
            Self::Refused(code) => Some(code),
            _ => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http => f.write_str("the peer is an HTTP server, not a Kafka broker: check host and port"),
            Self::Tls => f.write_str(
                "the peer speaks TLS and was spoken to in plaintext: set security.protocol to SSL or SASL_SSL, or use the \
                 port of a PLAINTEXT listener",
            ),
            Self::Text(text) => write!(
                f,
                "the peer is not a Kafka broker, it answers with text (\"{}...\"): check host and port",
                text.escape_ascii()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_known_by_their_first_bytes() {
        assert_eq!(Peer::from_head(*b"HTTP"), Some(Peer::Http));
        assert_eq!(Peer::from_head([0x15, 3, 3, 0]), Some(Peer::Tls));
        assert_eq!(Peer::from_head(*b"SSH-"), Some(Peer::Text(*b"SSH-")));
        assert_eq!(Peer::from_head([0, 0, 1, 9]), None);
    }
}
