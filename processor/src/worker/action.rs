//! What a worker wants done, and what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_wire::admin::OffsetSpec;
use kafka_wire::cluster::{CommittedOffset, TopicPartition};
use kafka_wire::types::Offset;

use super::bounds::Ends;
use super::end::End;
use crate::commit::Outcome;
use crate::task::SourcePartitions;

/// Something to do now, in the order in which it was polled.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Read an input from this offset on, into [`Worker::process`](super::Worker::process).
    Assign {
        /// The input.
        input: TopicPartition,
        /// The next offset to read.
        offset: Offset,
    },
    /// Read the input no more; what was fetched of it is of no use.
    Unassign {
        /// The input.
        input: TopicPartition,
    },
    /// Go on at this offset, also with an input that was stopped; what was fetched of it is of no use.
    Seek {
        /// The input.
        input: TopicPartition,
        /// The next offset to read.
        offset: Offset,
    },
    /// Read no further than this offset until it is sought; what was fetched of it is of no use.
    Stop {
        /// The input.
        input: TopicPartition,
        /// Where its reading ends.
        offset: Offset,
    },
    /// Read a changelog from this offset on, committed records only, into [`Worker::restore`](super::Worker::restore).
    OpenChangelog {
        /// The changelog.
        changelog: TopicPartition,
        /// The next offset to read.
        offset: Offset,
    },
    /// Read the changelog no more.
    CloseChangelog {
        /// The changelog.
        changelog: TopicPartition,
    },
    /// Begin an operation, and answer by [`Worker::handle_done`](super::Worker::handle_done).
    Start {
        /// Names the operation in the answer.
        id: OperationId,
        /// What to do.
        operation: Operation,
    },
    /// Give all partitions back to the group and join again.
    Rejoin,
    /// Delete the records below these offsets. Nobody waits for it.
    Purge(Vec<(TopicPartition, Offset)>),
    /// The worker is over, nothing more comes. Unless it is [`End::Stopped`], no transaction is to be ended any more.
    End(End),
}

/// Names one operation of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationId(pub u64);

/// Something that takes time.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Count the partitions of topics. Answer: [`Completion::Counts`].
    CountPartitions {
        /// The topics.
        topics: Vec<String>,
    },
    /// Fence workers that are gone, so that what they left open aborts now. Answer: [`Completion::Done`], also when it did
    /// not succeed: their transactions then end at their timeouts.
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
    /// List offsets of partitions, of all records, committed or not. Answer: [`Completion::Listed`].
    ListOffsets {
        /// What to list.
        wanted: Vec<(TopicPartition, OffsetSpec)>,
    },
    /// Find out where sources end, uncommitted records included: for each the sum over its partitions, none of them further
    /// than a bounded run reads. Answer: [`Completion::SourceEnds`].
    SumSourceEnds {
        /// The sources.
        sources: Vec<SourcePartitions>,
        /// Where a bounded run ends.
        run_ends: Option<Arc<Ends>>,
    },
    /// Wait until the outbox has room again. Answer: [`Completion::Done`].
    MakeRoom,
    /// Send everything and wait for every acknowledgement. Answer: [`Completion::Transaction`].
    Flush,
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
    /// Whether it is an operation on the open transaction, or one that its commit waits for: there is one of these at a time.
    #[must_use]
    pub const fn is_of_transaction(&self) -> bool {
        matches!(
            self,
            Self::SumSourceEnds { .. }
                | Self::MakeRoom
                | Self::Flush
                | Self::Commit { .. }
                | Self::Abort
                | Self::Recover
        )
    }
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Completion {
    /// It is done.
    Done,
    /// Partitions of each topic; one that does not exist is left out.
    Counts(BTreeMap<String, i32>),
    /// Committed offsets; `None` where the group has none.
    Offsets(Vec<(TopicPartition, Option<CommittedOffset>)>),
    /// Offsets in the order in which they were asked for.
    Listed(Vec<Offset>),
    /// Where sources end; one whose end could not be found out is left out.
    SourceEnds(BTreeMap<SourcePartitions, Offset>),
    /// What came of a step of the transaction.
    Transaction(Outcome),
    /// It did not succeed, and trying again at once would not help. Of a transaction: the producer cannot go on.
    Failed(End),
}
