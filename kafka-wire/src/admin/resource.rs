//! Configurable resources of a cluster, for the operations on their settings.

use std::fmt;

use crate::types::BrokerId;
use crate::wire::Str;

/// A resource that has settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ConfigResource {
    /// A topic, by name.
    Topic(Str),
    /// A broker.
    Broker(BrokerId),
    /// The defaults of all brokers.
    AllBrokers,
    /// The log levels of a broker.
    BrokerLoggers(BrokerId),
    /// A subscription to the metrics of clients (KIP-714).
    ClientMetrics(Str),
    /// A group of the protocols of KIP-848 and later.
    Group(Str),
}

impl ConfigResource {
    /// Returns Kafka's number of its kind.
    pub(super) const fn kind(&self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Broker(_) | Self::AllBrokers => 4,
            Self::BrokerLoggers(_) => 8,
            Self::ClientMetrics(_) => 16,
            Self::Group(_) => 32,
        }
    }

    /// Returns its name in a request.
    pub(super) fn name(&self) -> Str {
        match self {
            Self::Topic(name) | Self::ClientMetrics(name) | Self::Group(name) => name.clone(),
            Self::Broker(id) | Self::BrokerLoggers(id) => Str::from(id.0.to_string()),
            Self::AllBrokers => Str::EMPTY,
        }
    }

    /// Returns the resource of this kind and name in a response; `None` for a kind that this crate does not know.
    pub(super) fn from_wire(kind: i8, name: Str) -> Option<Self> {
        let id = || name.parse().ok().map(BrokerId);
        match kind {
            2 => Some(Self::Topic(name)),
            4 if name.is_empty() => Some(Self::AllBrokers),
            4 => id().map(Self::Broker),
            8 => id().map(Self::BrokerLoggers),
            16 => Some(Self::ClientMetrics(name)),
            32 => Some(Self::Group(name)),
            _ => None,
        }
    }

    /// Returns the only broker that knows it; `None` if every broker does.
    #[must_use]
    pub const fn broker(&self) -> Option<BrokerId> {
        match self {
            Self::Broker(id) | Self::BrokerLoggers(id) => Some(*id),
            Self::Topic(_) | Self::AllBrokers | Self::ClientMetrics(_) | Self::Group(_) => None,
        }
    }
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {:?}", &**name),
            Self::Broker(id) => write!(f, "broker {id}"),
            Self::AllBrokers => f.write_str("all brokers"),
            Self::BrokerLoggers(id) => write!(f, "loggers of broker {id}"),
            Self::ClientMetrics(name) => write!(f, "client metrics {:?}", &**name),
            Self::Group(name) => write!(f, "group {:?}", &**name),
        }
    }
}
