//! The name of a partition, as transactions and committed offsets refer to it.

use std::fmt;

use kafka_wire::types::PartitionId;
use kafka_wire::wire::Str;

/// A partition of a topic. It is kept in state that outlives a request: make `topic` with [`Str::detached`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionName {
    /// Name of the topic.
    pub topic: Str,
    /// Index of the partition.
    pub partition: PartitionId,
}

impl fmt::Display for PartitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic.as_str(), self.partition)
    }
}
