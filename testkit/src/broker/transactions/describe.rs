//! Descriptions of transactional ids for an administrator (KIP-664).

use std::collections::BTreeSet;
use std::time::Duration;

use kafka_wire::time::Moment;
use kafka_wire::wire::Str;

use super::{Phase, ProducerIdentity, Transaction, Transactions};
use crate::broker::partition::PartitionName;

/// A transactional id and its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described<'a> {
    /// The id.
    pub transactional_id: &'a Str,
    /// The producer that holds it.
    pub producer: ProducerIdentity,
    /// Kafka's name of the state.
    pub state: &'static str,
    /// Transaction timeout, after which the coordinator aborts a transaction.
    pub timeout: Duration,
    /// Start of its last transaction; `None` if there was none since InitProducerId.
    pub started: Option<Moment>,
    /// The partitions in its transaction; empty once that has ended.
    pub partitions: &'a BTreeSet<PartitionName>,
    /// The groups in its transaction.
    pub groups: &'a BTreeSet<Str>,
}

impl Transactions {
    /// A transactional id.
    #[must_use]
    pub fn describe(&self, transactional_id: &str) -> Option<Described<'_>> {
        self.by_id.get_key_value(transactional_id).map(|(id, transaction)| described(id, transaction))
    }

    /// Every transactional id, in order.
    pub fn iter(&self) -> impl Iterator<Item = Described<'_>> {
        self.by_id.iter().map(|(id, transaction)| described(id, transaction))
    }
}

fn described<'a>(transactional_id: &'a Str, transaction: &'a Transaction) -> Described<'a> {
    Described {
        transactional_id,
        producer: transaction.producer,
        state: name(transaction.phase),
        timeout: transaction.timeout,
        started: transaction.started,
        partitions: &transaction.partitions,
        groups: &transaction.groups,
    }
}

/// Kafka's name of the state.
fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Empty => "Empty",
        Phase::Ongoing { .. } => "Ongoing",
        Phase::Ending { is_commit: true, .. } => "PrepareCommit",
        Phase::Ending { is_commit: false, .. } => "PrepareAbort",
        Phase::Ended { is_commit: true } => "CompleteCommit",
        Phase::Ended { is_commit: false } => "CompleteAbort",
    }
}

/// The names of every state that a transactional id can have in Kafka.
pub const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];
