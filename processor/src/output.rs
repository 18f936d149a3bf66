//! What a stage puts out, and where it goes.

use kafka_wire::record::RawHeaders;
use kafka_wire::types::{PartitionId, TimestampMs};

/// A topic that the job writes: index into [`Topology::sinks`](crate::topology::Topology::sinks).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SinkId(pub usize);

/// A store of the job: index into [`Topology::stores`](crate::topology::Topology::stores).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub usize);

/// Which partition of its topic a record goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// As Kafka's default partitioner: by the murmur2 hash of the key; any partition when the key is null.
    ByKey,
    /// This one.
    Partition(PartitionId),
}

/// A record on its way out, borrowed for the time of the call.
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
    /// Headers to write as they are.
    pub headers: RawHeaders<'a>,
}

/// Takes what a task puts out, in order, into the open transaction.
///
/// Order within a partition is what everything rests on: a mark is true because it comes behind its data. A record that
/// cannot be taken (too large) must make the transaction fail, never be dropped; so must a full buffer, unless it takes
/// the record all the same and pauses the task after its batch.
pub trait Output {
    /// Takes one record. The slices are the caller's again on return.
    fn emit(&mut self, record: OutRecord<'_>);
}
