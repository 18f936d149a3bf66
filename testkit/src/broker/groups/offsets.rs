//! Committed offsets of a group, and those that wait for a transaction.

use std::collections::{BTreeMap, BTreeSet};

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
    committed: BTreeMap<PartitionName, CommittedOffset>,
    /// Offsets of open transactions, by producer.
    pending: BTreeMap<ProducerId, BTreeMap<PartitionName, CommittedOffset>>,
}

impl Offsets {
    pub(super) fn commit(&mut self, producer: Option<ProducerId>, offsets: &[(PartitionName, CommittedOffset)]) {
        let target = match producer {
            Some(producer) => self.pending.entry(producer).or_default(),
            None => &mut self.committed,
        };
        target.extend(offsets.iter().cloned());
    }

    pub(super) fn end_transaction(&mut self, producer: ProducerId, is_commit: bool) {
        let pending = self.pending.remove(&producer).unwrap_or_default();
        if is_commit {
            self.committed.extend(pending);
        }
    }

    pub(super) fn fetch(&self, partition: &PartitionName, require_stable: bool) -> Fetched<'_> {
        if require_stable && self.pending.values().any(|offsets| offsets.contains_key(partition)) {
            return Err(ErrorCode::UNSTABLE_OFFSET_COMMIT);
        }
        Ok(self.committed.get(partition))
    }

    pub(super) fn partitions(&self) -> BTreeSet<&PartitionName> {
        self.committed.keys().chain(self.pending.values().flat_map(BTreeMap::keys)).collect()
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
