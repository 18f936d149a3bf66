//! The records that a stage puts out, and their destination.

use kafka_wire::record::RawHeaders;
use kafka_wire::types::{PartitionId, TimestampMs};

/// A topic that the job writes: index into [`Topology::sinks`](crate::topology::Topology::sinks).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SinkId(pub usize);

/// A store of the job: index into [`Topology::stores`](crate::topology::Topology::stores).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub usize);

/// The partition of its topic that a record goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// By the key, as Kafka's default partitioner chooses: the murmur2 hash of the key; any partition if the key
    /// is null.
    ByKey,
    /// This partition.
    Partition(PartitionId),
}

/// A record to be written, borrowed for the time of the call.
#[derive(Clone, Copy, Debug)]
pub struct OutRecord<'a> {
    /// The topic.
    pub sink: SinkId,
    /// The partition.
    pub route: Route,
    /// Event time.
    pub timestamp: TimestampMs,
    /// `None` is Kafka's null.
    pub key: Option<&'a [u8]>,
    /// `None` is Kafka's null: in a changelog, a deletion.
    pub value: Option<&'a [u8]>,
    /// Headers, which are written unchanged.
    pub headers: RawHeaders<'a>,
}

/// Takes the output of a task, in order, into the open transaction.
///
/// The order within a partition is essential: a mark is true because it comes after the records that it covers.
/// A record that cannot be taken (too large) must make the transaction fail, and must never be dropped; the same holds
/// for a full buffer, unless it takes the record all the same and pauses the task after its batch.
pub trait Output {
    /// Takes one record. The slices belong to the caller again on return.
    fn emit(&mut self, record: OutRecord<'_>);
}
