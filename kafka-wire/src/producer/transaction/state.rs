//! The states of a producer's transactions.

use super::Ended;
use crate::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use crate::protocol::{ApiKey, ErrorCode};
use crate::time::Moment;

/// The state of the transactions.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    /// The first producer id is being obtained.
    Opening,
    /// No transaction is open.
    Ready,
    /// A transaction is open, and records may be produced.
    Open,
    /// The transaction failed, and only an abort helps. The flag says that EndTxn would be refused.
    Failed {
        why: Ended,
        skip_end: bool,
    },
    Committing,
    Aborting {
        skip_end: bool,
    },
    /// The coordinator does not know the producer id, and InitProducerId tells whether this producer is fenced.
    Doubted(Doubt),
    /// The outcome of a commit without a response is being determined.
    Recovering,
    /// The transaction has ended with this outcome; a new epoch is being obtained before the next.
    Renewing(Ended),
    /// A commit got no response.
    InDoubt,
    /// The last transaction has ended, but no new epoch could be obtained in time.
    Stale(Ended),
    /// The producer has ended for good.
    Finished(Ended),
}

/// The continuation if the producer turns out not to be fenced.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Doubt {
    /// The transaction has failed.
    Fails(Ended),
    /// The same, and the owner has called for its abort, which then has nothing to do.
    Aborts,
}

/// The offsets to commit in the transaction.
#[derive(Clone, Debug)]
pub(super) struct OffsetsToCommit {
    pub(super) group: GroupMetadata,
    pub(super) offsets: Vec<(TopicPartition, CommittedOffset)>,
}

/// The attempts to send the request that is due.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    pub(super) in_flight: Option<ApiKey>,
    pub(super) failures: u32,
    pub(super) retry_at: Moment,
    /// Time at which to give up; set with the first attempt.
    pub(super) deadline: Option<Moment>,
    pub(super) find_again: bool,
    pub(super) last_code: Option<ErrorCode>,
    /// Whether an attempt got no response: the response to a later one then says nothing about it.
    pub(super) unanswered: bool,
}

impl Attempts {
    /// Whether any attempt may have reached the coordinator.
    pub(super) fn got_there(&self) -> bool {
        self.unanswered || self.last_code.is_some()
    }

    /// Notes that somebody waits for the request by now, so that it does not wait for the end of the last transaction
    /// any longer.
    pub(super) fn hurry(&mut self) {
        if self.last_code == Some(ErrorCode::CONCURRENT_TRANSACTIONS) {
            self.retry_at = Moment::ZERO;
        }
    }
}
