//! Numbers that must not be confused, each as a type of its own.
//!
//! Generated messages (`protocol`) keep Kafka's plain integers; everything above them uses these.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(number: $inner) -> Self {
                Self(number)
            }
        }
    };
}

number! {
    /// Position of a record in its partition.
    Offset(i64)
}
number! {
    /// Index of a partition in its topic, from 0.
    PartitionId(i32)
}
number! {
    /// Id of a broker in its cluster (`node.id`); -1 stands for no broker.
    BrokerId(i32)
}
number! {
    /// Counts the leaders that a partition has had; -1 when unknown. Source: KIP-320.
    LeaderEpoch(i32)
}
number! {
    /// Identifies an idempotent producer to the brokers; -1 for none. Source: KIP-98.
    ProducerId(i64)
}
number! {
    /// Fences earlier holders of the same producer id; -1 for none. Source: KIP-98.
    ProducerEpoch(i16)
}
number! {
    /// Milliseconds since 1970-01-01 UTC; -1 if a record has none.
    TimestampMs(i64)
}

/// The records that a reader sees.
///
/// Source: KIP-98, `isolation_level` in Fetch and ListOffsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IsolationLevel {
    /// All records, also those of open and aborted transactions; the end is the high watermark.
    #[default]
    ReadUncommitted,
    /// Records of committed transactions and records outside of transactions; the end is the last stable offset.
    ReadCommitted,
}

impl IsolationLevel {
    /// The number of the level in requests.
    #[must_use]
    pub const fn code(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}
