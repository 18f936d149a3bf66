//! The places at which the inputs of a job start and stop.

use std::collections::{BTreeMap, BTreeSet};

use kafka_wire::cluster::TopicPartition;
pub use kafka_wire::consumer::ResetPolicy;
use kafka_wire::types::{Offset, PartitionId, TimestampMs};

/// The place at which a job begins to read the partitions of an input. See
/// [`Stream::starting_offsets`](super::Stream::starting_offsets) for when it applies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartingOffsets {
    /// The first record that is still in the log.
    Earliest,
    /// The end of the log: the records that are there already are not read.
    Latest,
    /// The offset that the group has, also one that another program has committed, as `foreign.offsets=accept` allows
    /// it for all inputs; otherwise by the policy. With [`ResetPolicy::None`] the job ends with an error that names the
    /// partition.
    Committed(ResetPolicy),
    /// The first record in the order of the log whose timestamp is this one or later, as the broker finds it
    /// (ListOffsets); the end of the log if there is none. It is not a filter: records with earlier timestamps may
    /// follow.
    Timestamp(TimestampMs),
    /// These offsets; for a partition that is not named, and for an offset that lies outside of the log, by the policy.
    /// With [`ResetPolicy::None`] the job ends with an error that names the partition and the log's bounds.
    Offsets(BTreeMap<TopicPartition, Offset>, ResetPolicy),
}

impl StartingOffsets {
    /// Makes [`StartingOffsets::Offsets`] of `(topic, partition, offset)`.
    #[must_use]
    pub fn offsets<T: AsRef<str>>(offsets: impl IntoIterator<Item = (T, i32, i64)>, otherwise: ResetPolicy) -> Self {
        Self::Offsets(by_partition(offsets), otherwise)
    }

    /// The policy for a partition for which nothing else tells the place; `None` if there is no such case.
    #[must_use]
    pub const fn policy(&self) -> Option<ResetPolicy> {
        match self {
            Self::Earliest => Some(ResetPolicy::Earliest),
            Self::Latest => Some(ResetPolicy::Latest),
            Self::Committed(policy) | Self::Offsets(_, policy) => Some(*policy),
            Self::Timestamp(_) => None,
        }
    }
}

/// The place at which a job ends to read the partitions of an input. See [`Stream::bounded`](super::Stream::bounded).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoppingOffsets {
    /// The end that the log has when the job begins to read it, for readers of committed records. It is chosen once, by
    /// the first process, and all others have the same, also after a restart.
    Latest,
    /// The first record in the order of the log whose timestamp is this one or later, which is not read; the end of the
    /// log at the start of the process if there is none.
    Timestamp(TimestampMs),
    /// These offsets, of the first record that is not read; for a partition that is not named, the end that its log has
    /// at the start of the process. An offset beyond the end of the log is waited for.
    Offsets(BTreeMap<TopicPartition, Offset>),
}

impl StoppingOffsets {
    /// Makes [`StoppingOffsets::Offsets`] of `(topic, partition, offset)`.
    #[must_use]
    pub fn offsets<T: AsRef<str>>(offsets: impl IntoIterator<Item = (T, i32, i64)>) -> Self {
        Self::Offsets(by_partition(offsets))
    }
}

/// The part of its topics that an input reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// The place at which it starts; `None` for that of the configuration.
    pub start: Option<StartingOffsets>,
    /// The place at which it ends; `None` if only a bounded run ends it.
    pub stop: Option<StoppingOffsets>,
    /// The partitions that it reads; `None` for all.
    pub partitions: Option<BTreeSet<PartitionId>>,
}

impl Extent {
    /// Whether it reads a partition.
    #[must_use]
    pub fn has(&self, partition: PartitionId) -> bool {
        self.partitions.as_ref().is_none_or(|partitions| partitions.contains(&partition))
    }

    /// Whether brokers know the times at which it starts and stops.
    pub(super) fn is_after_1970(&self) -> bool {
        let start =
            self.start.as_ref().is_none_or(|start| !matches!(start, StartingOffsets::Timestamp(TimestampMs(..0))));
        start && self.stop.as_ref().is_none_or(|stop| !matches!(stop, StoppingOffsets::Timestamp(TimestampMs(..0))))
    }

    /// Takes the settings of another reader of the same topic, where this one has none. `false` if they contradict each
    /// other.
    pub(super) fn join(&mut self, other: &Self) -> bool {
        fn agree<T: Clone + PartialEq>(one: &mut Option<T>, other: &Option<T>) -> bool {
            let agrees = one.is_none() || other.is_none() || one == other;
            *one = one.take().or_else(|| other.clone());
            agrees
        }
        let agrees = agree(&mut self.start, &other.start) & agree(&mut self.stop, &other.stop);
        // A reader without a set reads all partitions.
        agrees & (self.partitions == other.partitions)
    }
}

fn by_partition<T: AsRef<str>>(offsets: impl IntoIterator<Item = (T, i32, i64)>) -> BTreeMap<TopicPartition, Offset> {
    let named = |(topic, partition, offset): (T, i32, i64)| {
        (TopicPartition::new(topic.as_ref(), PartitionId(partition)), Offset(offset))
    };
    offsets.into_iter().map(named).collect()
}
