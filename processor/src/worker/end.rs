//! The ways in which a worker ends.

use std::fmt;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::types::Offset;

use crate::error::ProcessError;
use crate::topology::{NotCopartitioned, ReadTwice};

/// The way in which a worker has ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// The worker was asked to stop, and its open work is committed.
    Stopped,
    /// A temporary failure: a new worker goes on from the committed state.
    Restart(String),
    /// A failure that needs a person.
    Fatal(Fatal),
}

/// The failures that need a person: a new worker would meet them again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fatal {
    /// The topology cannot process a record.
    Process(ProcessError),
    /// The bytes of a partition are corrupt; no record was skipped.
    Corrupt {
        /// The partition.
        partition: TopicPartition,
        /// First offset that cannot be read.
        offset: Offset,
        /// The error at that offset.
        cause: String,
    },
    /// The group assigned a topic that the job does not read: another program is in the group.
    ForeignTopic {
        /// The group.
        group: String,
        /// The topic.
        topic: String,
    },
    /// Another program committed an offset in the job's group.
    ForeignOffset {
        /// The group.
        group: String,
        /// The partition.
        partition: TopicPartition,
        /// The offset.
        offset: Offset,
        /// The metadata that the other program committed with it.
        metadata: String,
    },
    /// The group has no offset for an input, and nothing says where else to start.
    NoStart {
        /// The group.
        group: String,
        /// The partition.
        partition: TopicPartition,
    },
    /// The offset at which an input is to start lies outside of the log.
    StartOutsideLog {
        /// The partition.
        partition: TopicPartition,
        /// The offset.
        offset: Offset,
        /// First offset in the log.
        first: Offset,
        /// The end of the log.
        end: Offset,
    },
    /// State exists, but the group has no committed offset for it.
    OffsetMissing {
        /// The group.
        group: String,
        /// The partition.
        partition: TopicPartition,
        /// Number of changelog records that were found.
        restored: u64,
    },
    /// An input has more partitions than the state that depends on their number was made for.
    PartitionsGrew {
        /// The input.
        topic: String,
        /// The topic of the state.
        changelog: String,
        /// Number of the input's partitions when the state was made.
        old: i32,
        /// Number of its partitions now.
        new: i32,
    },
    /// A topic that is the changelog of a table has more partitions than when the job began to read it.
    TableGrew {
        /// The topic.
        topic: String,
        /// Number of its partitions when the job began to read it.
        old: i32,
        /// Number of its partitions now.
        new: i32,
    },
    /// A topic that the job reads was deleted, and the job is configured to end then.
    TopicDeleted {
        /// The topic.
        topic: String,
    },
    /// A topic of which a bounded run has not read everything was deleted: the run cannot reach its end.
    UnreadDeleted {
        /// The topic.
        topic: String,
    },
    /// Topics with different numbers of partitions reach one step with state, one of them found by a pattern.
    NotCopartitioned(NotCopartitioned),
    /// A topic that matches a pattern is read by another input, too.
    ReadTwice(ReadTwice),
    /// Inputs that belong together were assigned to different workers.
    SplitTask {
        /// An input that this worker has.
        assigned: TopicPartition,
        /// An input of the same task that it lacks.
        missing: TopicPartition,
    },
    /// The cluster refuses the job for a reason that a retry does not change.
    Refused(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Restart(cause) => f.write_str(cause),
            Self::Fatal(cause) => cause.fmt(f),
        }
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(cause) => cause.fmt(f),
            Self::Corrupt { partition, offset, cause } => write!(
                f,
                "topic {}, partition {}, offset {offset}: {cause}; nothing was skipped",
                partition.topic, partition.partition
            ),
            Self::ForeignTopic { group, topic } => write!(
                f,
                "group {group} assigned topic {topic}, which this job does not read: another program uses the same application id"
            ),
            Self::ForeignOffset { group, partition, offset, metadata } => write!(
                f,
                "offset {offset} of topic {}, partition {}, in group {group} was not committed by this job (its metadata is \
                 {metadata:?}): another program uses the same group, and what it read is in no result. Stop that program; then \
                 set foreign.offsets=accept once to go on from its offset, or take another application id to start anew",
                partition.topic, partition.partition
            ),
            Self::NoStart { group, partition } => write!(
                f,
                "group {group} has no offset for topic {}, partition {}, and the job is not to choose one: commit an offset in \
                 the group (kafka-consumer-groups.sh --reset-offsets) and set foreign.offsets=accept once, or set \
                 auto.offset.reset to earliest, latest or by_duration",
                partition.topic, partition.partition
            ),
            Self::StartOutsideLog { partition, offset, first, end } => write!(
                f,
                "topic {}, partition {} is to be read from offset {offset}, but its log has the offsets from {first} to {end}: \
                 give an offset between these, or a policy for those that are outside",
                partition.topic, partition.partition
            ),
            Self::OffsetMissing { group, partition, restored } => write!(
                f,
                "group {group} has no offset for {partition}, but its state is there ({restored} changelog records): the offsets \
                 expired (offsets.retention.minutes) or were deleted. Take another application id to start anew, or set the \
                 group's offsets to where the state was and start once with foreign.offsets=accept"
            ),
            Self::PartitionsGrew { topic, changelog, old, new } => write!(
                f,
                "topic {topic} had {old} partitions when the state in {changelog} was made, and has {new} now: the keys of its \
                 records lie in other partitions than their state. Kafka cannot take partitions away again. Take another \
                 application id to count from the start of the input, and put a key_by before the window: behind it the \
                 number of partitions is fixed, and the input may grow"
            ),
            Self::TableGrew { topic, old, new } => write!(
                f,
                "topic {topic}, a compacted_table of the job, had {old} partitions when the job began to read it, and has {new} \
                 now: new rows of a key may lie in another partition than its old ones. Kafka cannot take partitions away \
                 again. Copy the rows into a new topic with {new} partitions, and read that under another application id"
            ),
            Self::UnreadDeleted { topic } => write!(
                f,
                "topic {topic} was deleted before this process knew that it is read to its end; create it again, and start the run again"
            ),
            Self::TopicDeleted { topic } => write!(
                f,
                "topic {topic}, which the job reads, does not exist any more; create it again, or set missing.topic.policy=warn \
                 to go on with the other inputs"
            ),
            Self::NotCopartitioned(error) => error.fmt(f),
            Self::ReadTwice(error) => error.fmt(f),
            Self::SplitTask { assigned, missing } => write!(
                f,
                "{assigned} and {missing} are inputs of one task, but the group gave them to different workers: all processes of \
                 the job have to run the same version of it"
            ),
            Self::Refused(cause) => f.write_str(cause),
        }
    }
}

impl std::error::Error for Fatal {}

impl From<ProcessError> for Fatal {
    fn from(cause: ProcessError) -> Self {
        Self::Process(cause)
    }
}

impl<E: Into<Fatal>> From<E> for End {
    fn from(cause: E) -> Self {
        match cause.into() {
            Fatal::Process(error) if error.is_temporary() => Self::Restart(error.to_string()),
            fatal => Self::Fatal(fatal),
        }
    }
}
