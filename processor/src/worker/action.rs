//! Actions and operations of a worker, and the completions of operations.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_wire::admin::OffsetSpec;
use kafka_wire::cluster::{CommittedOffset, TopicPartition};
use kafka_wire::record::Batch;
use kafka_wire::types::{IsolationLevel, Offset};

use super::bounds::Ends;
use super::end::End;
use super::place::Position;
use crate::commit::Outcome;
use crate::task::SourcePartitions;

/// An instruction to be carried out at once, in the order in which it was polled.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Read an input from this place on, into [`Worker::process`](super::Worker::process).
    Assign {
        /// The input.
        input: TopicPartition,
        /// The place.
        position: Position,
    },
    /// Stop reading the input; discard what was fetched of it.
    Unassign {
        /// The input.
        input: TopicPartition,
    },
    /// Go on at this place, also with an input that was stopped; discard what was fetched of it.
    Seek {
        /// The input.
        input: TopicPartition,
        /// The place.
        position: Position,
    },
    /// Read nothing below this offset: it has been processed. What was fetched from behind it stays.
    SkipTo {
        /// The input.
        input: TopicPartition,
        /// The offset at which reading goes on.
        offset: Offset,
    },
    /// Read no further than this offset until the input is sought; discard what was fetched of it.
    Stop {
        /// The input.
        input: TopicPartition,
        /// The offset at which reading ends.
        offset: Offset,
    },
    /// Read a changelog from this offset on, committed records only, into [`Worker::restore`](super::Worker::restore).
    OpenChangelog {
        /// The changelog.
        changelog: TopicPartition,
        /// The next offset to read.
        offset: Offset,
    },
    /// Stop reading the changelog.
    CloseChangelog {
        /// The changelog.
        changelog: TopicPartition,
    },
    /// Begin an operation, and pass its completion to [`Worker::handle_done`](super::Worker::handle_done).
    Start {
        /// Identifies the operation in its completion.
        id: OperationId,
        /// The operation.
        operation: Operation,
    },
    /// Give all partitions back to the group and join again.
    Rejoin,
    /// Read other topics from the next assignment on. If the worker leads the group, a rebalance begins.
    Subscribe {
        /// All topics that the job reads.
        topics: Vec<String>,
        /// Sets of topics whose partitions with equal numbers go to one worker.
        together: Vec<Vec<String>>,
    },
    /// Delete the records below these offsets. Nobody waits for the result.
    Purge(Vec<(TopicPartition, Offset)>),
    /// The worker has ended, and no more actions come. Unless it is [`End::Stopped`], do not end any transaction.
    End(End),
}

/// Identifies an operation of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationId(pub u64);

/// An operation, which takes time.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Count the partitions of topics. Answer: [`Completion::Counts`].
    CountPartitions {
        /// The topics.
        topics: Vec<String>,
    },
    /// List the topics of the cluster, without Kafka's own. Answer: [`Completion::Topics`].
    ListTopics,
    /// Fence workers that are gone, so that their open transactions abort now. Answer: [`Completion::Done`],
    /// even if it did not succeed: the transactions then end at their timeouts.
    Fence {
        /// Their transactional ids.
        transactional_ids: Vec<String>,
    },
    /// Read offsets of the group. Answer: [`Completion::Offsets`].
    ReadOffsets {
        /// The partitions.
        partitions: Vec<TopicPartition>,
        /// Whether to wait for transactions that are about to change them (KIP-447).
        is_stable: bool,
    },
    /// List offsets of partitions. Answer: [`Completion::Listed`].
    ListOffsets {
        /// The partitions, and the kind of offset of each.
        wanted: Vec<(TopicPartition, OffsetSpec)>,
        /// Whether the end is that of all records, or the last stable offset.
        isolation: IsolationLevel,
    },
    /// Look up the ends of sources, uncommitted records included: for each the sum over its partitions, limited to the
    /// ends of a bounded run. Answer: [`Completion::SourceEnds`].
    SumSourceEnds {
        /// The sources.
        sources: Vec<SourcePartitions>,
        /// The ends of a bounded run.
        run_ends: Option<Arc<Ends>>,
    },
    /// Wait until the outbox has room again. Answer: [`Completion::Done`].
    MakeRoom,
    /// Send all output and wait for every acknowledgement. Answer: [`Completion::Transaction`].
    Flush,
    /// As [`Operation::Flush`], and tell where leaders have put the records of repartition topics.
    /// Answer: [`Completion::Written`], or as for `Flush` if it does not succeed.
    FlushShuffles,
    /// Add these offsets to the transaction and commit it. Answer: [`Completion::Transaction`].
    Commit {
        /// The next offset of each input, with metadata.
        offsets: Vec<(TopicPartition, CommittedOffset)>,
    },
    /// Abort the transaction. Answer: [`Completion::Transaction`].
    Abort,
    /// Get a new epoch for the transactional id. Answer: [`Completion::Transaction`].
    Recover,
}

impl Operation {
    /// Whether it is an operation on the open transaction, or one that its commit waits for.
    /// There is one of these at a time.
    #[must_use]
    pub const fn is_of_transaction(&self) -> bool {
        matches!(
            self,
            Self::SumSourceEnds { .. }
                | Self::MakeRoom
                | Self::Flush
                | Self::FlushShuffles
                | Self::Commit { .. }
                | Self::Abort
                | Self::Recover
        )
    }
}

/// The completion of an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Completion {
    /// The operation has succeeded.
    Done,
    /// Number of partitions of each topic; topics that do not exist are left out.
    Counts(BTreeMap<String, i32>),
    /// Names of topics.
    Topics(Vec<String>),
    /// Committed offsets; `None` where the group has none.
    Offsets(Vec<(TopicPartition, Option<CommittedOffset>)>),
    /// Offsets in the order of the request; `None` where no record has the timestamp or a later one.
    Listed(Vec<Option<Offset>>),
    /// The ends of sources; those that could not be looked up are left out.
    SourceEnds(BTreeMap<SourcePartitions, Offset>),
    /// The flush has succeeded. The batches are in the logs of repartition topics, those of each partition in the order
    /// of their offsets. It need not be all that the flush has sent.
    Written(Vec<(TopicPartition, Batch)>),
    /// The outcome of a step of the transaction.
    Transaction(Outcome),
    /// The operation has failed, and a retry at once would not help. After an operation on the transaction,
    /// the producer cannot go on.
    Failed(End),
}
