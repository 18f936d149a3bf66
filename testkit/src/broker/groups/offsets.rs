//! Committed offsets of a group, and those that wait for a transaction.

use std::collections::BTreeMap;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::types::{LeaderEpoch, Offset, ProducerId};
use kafka_wire::wire::Str;

use super::Caller;
use crate::broker::partition::PartitionName;

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: Offset,
    /// Leader epoch of the last record read, -1 when unknown.
    pub leader_epoch: LeaderEpoch,
    /// Text that the client stores with the offset.
    pub metadata: Str,
}

/// Offsets to commit.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The group.
    pub group_id: Str,
    /// The member that commits; empty for an administrator or a consumer that assigns itself.
    pub caller: Caller,
    /// The producer in whose transaction the offsets are committed.
    pub producer: Option<ProducerId>,
    /// The offsets by partition; copies, so that the request's frame is not kept.
    pub offsets: Vec<(PartitionName, CommittedOffset)>,
}

/// The result of OffsetFetch for one partition.
pub type Fetched<'a> = Result<Option<&'a CommittedOffset>, ErrorCode>;

#[derive(Clone, Debug, Default)]
pub(super) struct Offsets {
    committed: BTreeMap<PartitionName, Numbered>,
    /// Offsets of open transactions, by producer.
    pending: BTreeMap<ProducerId, BTreeMap<PartitionName, Numbered>>,
    /// Number of the last request that committed, in a transaction or without one.
    last: u64,
}

/// An offset, and the number of the request that brought it.
type Numbered = (u64, CommittedOffset);

impl Offsets {
    pub(super) fn commit(&mut self, producer: Option<ProducerId>, offsets: &[(PartitionName, CommittedOffset)]) {
        self.last += 1;
        let target = match producer {
            Some(producer) => self.pending.entry(producer).or_default(),
            None => &mut self.committed,
        };
        target.extend(offsets.iter().map(|(partition, offset)| (partition.clone(), (self.last, offset.clone()))));
    }

    /// Ends a transaction. An offset that was committed after the transaction's own stays, as in Kafka, whose
    /// `OffsetMetadataManager` compares their places in the log of offsets.
    pub(super) fn end_transaction(&mut self, producer: ProducerId, is_commit: bool) {
        let pending = self.pending.remove(&producer).unwrap_or_default();
        for (partition, offset) in pending.into_iter().filter(|_| is_commit) {
            if self.committed.get(&partition).is_none_or(|committed| committed.0 < offset.0) {
                self.committed.insert(partition, offset);
            }
        }
    }

    pub(super) fn fetch(&self, partition: &PartitionName, require_stable: bool) -> Fetched<'_> {
        if require_stable && self.pending.values().any(|offsets| offsets.contains_key(partition)) {
            return Err(ErrorCode::UNSTABLE_OFFSET_COMMIT);
        }
        Ok(self.committed.get(partition).map(|(_, committed)| committed))
    }

    /// The partitions that have a committed offset, in order.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &PartitionName> {
        self.committed.keys()
    }

    pub(super) fn forget(&mut self, partition: &PartitionName) {
        self.committed.remove(partition);
        for offsets in self.pending.values_mut() {
            offsets.remove(partition);
        }
    }

    pub(super) fn forget_topic(&mut self, topic: &str) {
        self.committed.retain(|partition, _| partition.topic.as_str() != topic);
        for offsets in self.pending.values_mut() {
            offsets.retain(|partition, _| partition.topic.as_str() != topic);
        }
    }
}
