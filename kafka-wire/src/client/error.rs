//! Errors of requests, look-ups and connections, with texts that say what to do.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

#[cfg(feature = "tls")]
use super::TlsConfigError;
use super::{Address, DialError};
use crate::cluster::{CoordinatorKind, TopicPartition};
use crate::protocol::{ApiKey, ErrorCode};
use crate::session::{CloseCause, UnsupportedVersion};
use crate::types::{BrokerId, TimestampMs};
use crate::wire::{DecodeError, EncodeError, Str};

/// The broker that a connection goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id; `None` for a bootstrap address, which may lead to any broker.
    pub broker: Option<BrokerId>,
    /// The address that it listens on.
    pub address: Address,
    /// The address of the broker that named this address; `None` if the user did.
    pub told_by: Option<Address>,
}

/// The reason why a request has no answer.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum RequestError {
    /// No byte of it was written: it was not carried out.
    NotSent {
        /// The destination; `None` if the address of the broker is unknown.
        to: Option<Arc<Endpoint>>,
        /// The cause.
        cause: NotSentCause,
    },
    /// The request was written, perhaps in part, and the connection ended before its answer:
    /// it may have been carried out.
    Unanswered {
        /// The destination.
        to: Arc<Endpoint>,
        /// The cause of the connection's end.
        cause: CloseCause,
    },
    /// The broker and this client have no version of it in common. Not sent.
    UnsupportedVersion {
        /// The destination.
        to: Arc<Endpoint>,
        /// The versions of both sides.
        versions: UnsupportedVersion,
    },
    /// The answer cannot be decoded: the request may have been carried out.
    Decode {
        /// The API.
        api: ApiKey,
        /// Version of the answer.
        version: i16,
        /// The place and the kind of the error.
        error: DecodeError,
    },
    /// The request cannot be encoded at the version negotiated with this broker. Not sent.
    Encode {
        /// The API.
        api: ApiKey,
        /// Field and reason.
        error: EncodeError,
    },
}

/// The cause why a request was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotSentCause {
    /// There was no connection, and none could be made.
    Connect(ConnectFailure),
    /// The connection ended while the request waited for its turn.
    Closed(CloseCause),
    /// Its deadline passed while it waited for its turn on a connection: the broker throttles, or does not read.
    Expired,
    /// Too many requests wait on the connection (`queue_limit`).
    QueueFull,
    /// The cluster does not list this broker, even after another metadata request.
    UnknownBroker(BrokerId),
    /// No broker at all is known.
    NoBrokers,
    /// The runtime of the client is shutting down.
    ShutDown,
}

/// The reason why a connection could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// Its name does not resolve, it does not accept connections, or TLS with it failed.
    Dial(DialError),
    /// The time ran out at this stage.
    TimedOut(ConnectStage),
    /// The address was reached, and the connection ended during the negotiation of versions or the authentication.
    Negotiation(CloseCause),
}

/// The stages of connecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectStage {
    /// Resolving the name, or waiting for the peer to accept.
    Dial,
    /// Connected, waiting for the answer to ApiVersions.
    Negotiation,
    /// Versions are negotiated, and the client is being authenticated.
    Authentication,
}

/// The reason why a client could not connect.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The list of bootstrap servers is empty.
    NoAddress,
    /// A bootstrap server that is not `host:port`.
    BadAddress {
        /// The text as it was given.
        text: String,
    },
    /// A certificate or a key cannot be used.
    #[cfg(feature = "tls")]
    Tls(TlsConfigError),
    /// No bootstrap server answered.
    Unreachable {
        /// The error for every address, in the order of the attempts.
        attempts: Vec<RequestError>,
    },
    /// A bootstrap server answered, but none of the brokers that it named can be reached.
    AdvertisedUnreachable {
        /// The error at the address that each broker advertises, by broker id.
        attempts: Vec<RequestError>,
    },
    /// A bootstrap server answered with an empty list of brokers.
    NoBrokers {
        /// The server.
        told_by: Address,
    },
}

/// The reason why there is no metadata for a topic or partition.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum MetadataError {
    /// No broker answered.
    Request(RequestError),
    /// The topic does not exist, and was not created within a while.
    UnknownTopic(Str),
    /// The topic has no such partition.
    UnknownPartition {
        /// The partition.
        partition: TopicPartition,
        /// Number of partitions that the topic has.
        count: usize,
    },
    /// The cluster refuses to describe the topic.
    Topic {
        /// Its name.
        topic: Str,
        /// The error code.
        code: ErrorCode,
    },
    /// The partition had no leader for the whole time.
    NoLeader {
        /// The partition.
        partition: TopicPartition,
        /// The error code of the cluster.
        code: ErrorCode,
    },
    /// The timestamp of a look-up is negative: some negative numbers mean other things to brokers.
    NegativeTimestamp {
        /// The partition.
        partition: TopicPartition,
        /// The timestamp.
        timestamp: TimestampMs,
    },
    /// Its leader refuses an operation on a partition.
    Partition {
        /// The partition.
        partition: TopicPartition,
        /// The error code. A retriable one was still returned when the time was up.
        code: ErrorCode,
    },
}

/// The reason why there is no coordinator for a group or a transactional id.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum CoordinatorError {
    /// No broker answered.
    Request(RequestError),
    /// The cluster names no coordinator.
    Refused {
        /// Kind of the coordinator.
        kind: CoordinatorKind,
        /// Group id or transactional id.
        key: Str,
        /// The error code. A retriable one was still returned when the time was up.
        code: ErrorCode,
    },
}

impl RequestError {
    /// Whether the broker may have carried the request out although there is no answer to tell.
    #[must_use]
    pub const fn is_possibly_written(&self) -> bool {
        match self {
            Self::Unanswered { .. } | Self::Decode { .. } => true,
            Self::NotSent { .. } | Self::UnsupportedVersion { .. } | Self::Encode { .. } => false,
        }
    }

    /// Whether the same request may succeed later. A repetition has to be harmless if the request [may have
    /// been written](Self::is_possibly_written).
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::NotSent { cause: NotSentCause::ShutDown, .. } => false,
            Self::NotSent { cause: NotSentCause::Connect(ConnectFailure::Negotiation(cause)), .. }
            | Self::NotSent { cause: NotSentCause::Closed(cause), .. } => !is_refusal(cause),
            Self::NotSent { .. } => true,
            Self::Unanswered { cause, .. } => !is_refusal(cause),
            Self::UnsupportedVersion { .. } | Self::Decode { .. } | Self::Encode { .. } => false,
        }
    }

    /// Returns whether the same request must fail in the same way, unless a configuration changes.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        !self.is_retriable()
    }

    /// Whether metadata should be refreshed before another attempt, because the broker may be gone.
    #[must_use]
    pub const fn needs_metadata(&self) -> bool {
        self.is_retriable()
    }
}

/// Returns whether the broker would end the next connection in the same way, because it refuses this client.
const fn is_refusal(cause: &CloseCause) -> bool {
    match cause {
        CloseCause::Sasl(error) => error.is_permanent(),
        _ => false,
    }
}

impl ConnectError {
    /// Returns whether the same configuration may connect later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::NoAddress | Self::BadAddress { .. } => false,
            #[cfg(feature = "tls")]
            Self::Tls(_) => false,
            Self::Unreachable { attempts } | Self::AdvertisedUnreachable { attempts } => {
                attempts.iter().any(RequestError::is_retriable)
            }
            Self::NoBrokers { .. } => true,
        }
    }

    /// Returns whether the same configuration must fail in the same way.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        !self.is_retriable()
    }
}

impl MetadataError {
    /// Whether another request may help.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Request(error) => error.is_retriable(),
            Self::Topic { code, .. } | Self::Partition { code, .. } => code.is_retriable(),
            Self::UnknownTopic(_) | Self::UnknownPartition { .. } | Self::NegativeTimestamp { .. } => false,
            Self::NoLeader { .. } => true,
        }
    }

    /// Returns whether the same request must fail in the same way, unless the cluster changes.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        !self.is_retriable()
    }
}

impl From<RequestError> for MetadataError {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<RequestError> for CoordinatorError {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.broker {
            Some(id) => write!(f, "broker {id} at {}", self.address),
            None => self.address.fmt(f),
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent { to: Some(to), cause: NotSentCause::Connect(failure) } => show_connect(f, to, failure),
            Self::NotSent { to: Some(to), cause } => write!(f, "not sent to {to}: {cause}"),
            Self::NotSent { to: None, cause } => write!(f, "not sent: {cause}"),
            Self::Unanswered { to, cause } => {
                write!(f, "no answer from {to}: {cause}; the request may have been carried out")
            }
            Self::UnsupportedVersion { to, versions } => write!(f, "{to}: {versions}"),
            Self::Decode { api, version, error } => write!(f, "answer to {api} v{version}: {error}"),
            Self::Encode { api, error } => write!(f, "{api}: {error}"),
        }
    }
}

/// Shows the attempt, its destination, and the advice.
fn show_connect(f: &mut fmt::Formatter<'_>, to: &Endpoint, failure: &ConnectFailure) -> fmt::Result {
    write!(f, "no connection to {to}: {failure}")?;
    // With TLS the address is right, because something accepted the connection, and the failure itself has the advice.
    let says_all = matches!(
        failure,
        ConnectFailure::Dial(DialError::Tls { .. }) | ConnectFailure::Negotiation(CloseCause::Sasl(_))
    );
    let is_refused = matches!(failure, ConnectFailure::Dial(DialError::Connect(io::ErrorKind::ConnectionRefused)));
    match (&to.broker, &to.told_by) {
        (Some(id), Some(told_by)) if is_refused => write!(
            f,
            ". The broker is down or moving; if it is up, it advertises an address at which it does not listen (said by \
             {told_by}): see advertised.listeners of broker {id}"
        ),
        (Some(id), Some(told_by)) if !says_all => write!(
            f,
            ". The broker itself advertises this address (said by {told_by}): set advertised.listeners of broker {id} \
             to an address that its clients can reach"
        ),
        _ => match failure {
            ConnectFailure::Dial(DialError::Resolve { .. }) => f.write_str(". Check the spelling of the name, or use an IP address"),
            ConnectFailure::Dial(DialError::Connect(io::ErrorKind::ConnectionRefused)) => {
                f.write_str(". Check that a broker runs there, and that the port is that of one of its `listeners`")
            }
            ConnectFailure::Dial(DialError::Connect(_)) | ConnectFailure::TimedOut(ConnectStage::Dial) => {
                f.write_str(". Check the address, and that no firewall drops the way to it")
            }
            ConnectFailure::TimedOut(ConnectStage::Authentication) => {
                f.write_str(". Whoever gives the token, or the broker's own source of passwords, may be slow")
            }
            ConnectFailure::TimedOut(ConnectStage::Negotiation) => {
                f.write_str(". Something listens there, but it does not talk like a Kafka broker: check the port, and whether security.protocol is that of its listener")
            }
            ConnectFailure::Dial(DialError::Tls { .. }) | ConnectFailure::Negotiation(_) => Ok(()),
        },
    }
}

impl fmt::Display for NotSentCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(failure) => failure.fmt(f),
            Self::Closed(cause) => cause.fmt(f),
            Self::Expired => f.write_str("it waited too long for its turn on the connection"),
            Self::QueueFull => f.write_str("too many requests wait on the connection (ClientConfig::queue_limit)"),
            Self::UnknownBroker(id) => write!(f, "the cluster does not list broker {id}"),
            Self::NoBrokers => f.write_str("no broker is known"),
            Self::ShutDown => f.write_str("the client is shutting down"),
        }
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(error) => error.fmt(f),
            Self::TimedOut(ConnectStage::Dial) => f.write_str("timed out while connecting"),
            Self::TimedOut(ConnectStage::Negotiation) => {
                f.write_str("connected, but ApiVersions was not answered in time")
            }
            Self::TimedOut(ConnectStage::Authentication) => {
                f.write_str("connected, but the authentication was not over in time")
            }
            Self::Negotiation(cause) => cause.fmt(f),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("no bootstrap server was given: name at least one as host:port"),
            Self::BadAddress { text } => write!(f, "bootstrap server {text:?} is not host:port, as in localhost:9092"),
            #[cfg(feature = "tls")]
            Self::Tls(error) => error.fmt(f),
            Self::Unreachable { attempts } => {
                f.write_str("no Kafka broker was found: ")?;
                show_attempts(f, attempts)
            }
            Self::AdvertisedUnreachable { attempts } => {
                f.write_str("a bootstrap server answered, but none of the brokers that it named can be reached: ")?;
                show_attempts(f, attempts)
            }
            Self::NoBrokers { told_by } => {
                write!(f, "{told_by} answered with an empty list of brokers: it may still be starting, try again")
            }
        }
    }
}

fn show_attempts(f: &mut fmt::Formatter<'_>, attempts: &[RequestError]) -> fmt::Result {
    for attempt in attempts {
        f.write_str(if attempts.len() > 1 { "\n- " } else { "" })?;
        write!(f, "{attempt}")?;
    }
    Ok(())
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(error) => error.fmt(f),
            Self::UnknownTopic(topic) => write!(
                f,
                "topic {topic:?} does not exist. Create it, for example: \
                 kafka-topics.sh --bootstrap-server HOST:PORT --create --topic {topic} --partitions 4"
            ),
            Self::UnknownPartition { partition, count } => {
                write!(f, "{partition} does not exist: the topic has {count} partitions, counted from 0")
            }
            Self::Topic { topic, code } => write!(f, "topic {topic:?}: {code}"),
            Self::NoLeader { partition, code } => write!(f, "{partition} has no leader: {code}"),
            Self::NegativeTimestamp { partition, timestamp } => {
                write!(f, "{partition}: no record has a timestamp of {timestamp}; look up 0 or later, or Earliest")
            }
            Self::Partition { partition, code } => write!(f, "{partition}: {code}"),
        }
    }
}

impl fmt::Display for CoordinatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(error) => error.fmt(f),
            Self::Refused { kind, key, code } => write!(f, "no coordinator for {kind} {key:?}: {code}"),
        }
    }
}

debug_as_text!(RequestError, ConnectError, MetadataError, CoordinatorError);

impl Error for RequestError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotSent { cause: NotSentCause::Connect(ConnectFailure::Dial(error)), .. } => Some(error),
            Self::NotSent { cause: NotSentCause::Connect(ConnectFailure::Negotiation(cause)), .. }
            | Self::NotSent { cause: NotSentCause::Closed(cause), .. }
            | Self::Unanswered { cause, .. } => Some(cause),
            Self::NotSent { .. } => None,
            Self::UnsupportedVersion { versions, .. } => Some(versions),
            Self::Decode { error, .. } => Some(error),
            Self::Encode { error, .. } => Some(error),
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(error) => Some(error),
            Self::Unreachable { attempts } | Self::AdvertisedUnreachable { attempts } => {
                attempts.last().map(|error| error as _)
            }
            Self::NoAddress | Self::BadAddress { .. } | Self::NoBrokers { .. } => None,
        }
    }
}

impl Error for MetadataError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Request(error) => Some(error),
            Self::Topic { code, .. } | Self::NoLeader { code, .. } | Self::Partition { code, .. } => Some(code),
            Self::UnknownTopic(_) | Self::UnknownPartition { .. } | Self::NegativeTimestamp { .. } => None,
        }
    }
}

impl Error for CoordinatorError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Request(error) => Some(error),
            Self::Refused { code, .. } => Some(code),
        }
    }
}
