//! Administration: one file per operation, each a pair of pure functions that make the request and read the response.
//!
//! `client` chooses the broker and retries.

pub mod create_topics;
pub mod delete_records;
pub mod delete_topics;
pub mod list_offsets;

use std::collections::BTreeMap;
use std::fmt;

use crate::cluster::TopicPartition;
use crate::protocol::ErrorCode;
use crate::types::{LeaderEpoch, Offset, TimestampMs};
use crate::wire::Str;

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name: up to 249 letters, digits, `.`, `_` and `-`.
    pub name: Str,
    /// Partitions; -1 for the broker's `num.partitions`.
    pub partitions: i32,
    /// Copies of each partition; -1 for the broker's `default.replication.factor`.
    pub replication_factor: i16,
    /// Topic configuration that differs from the broker's, such as `cleanup.policy` = `compact`.
    pub configs: Vec<(Str, Str)>,
}

impl NewTopic {
    /// A topic with `partitions` partitions, and the broker's defaults for the rest.
    #[must_use]
    pub fn new(name: impl Into<Str>, partitions: i32) -> Self {
        Self { name: name.into(), partitions, replication_factor: -1, configs: Vec::new() }
    }
}

/// The reason why an operation on one topic failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicError {
    /// The broker's code.
    pub code: ErrorCode,
    /// The broker's message, if it has one.
    pub message: Option<Str>,
}

/// The outcome of an operation, topic by topic, in the order of the request.
pub type TopicOutcomes = Vec<(Str, Result<(), TopicError>)>;

/// The offset of a partition to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first offset that is still in the log.
    Earliest,
    /// The end (exclusive): the high watermark, or the last stable offset with `ReadCommitted`.
    Latest,
    /// The first record whose timestamp is not before this one.
    Timestamp(TimestampMs),
}

/// The result for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The partition.
    pub partition: TopicPartition,
    /// The offset; `None` if no record has the requested timestamp or a later one.
    pub offset: Option<Offset>,
    /// Timestamp of the record found; -1 if the query was not for a timestamp.
    pub timestamp: TimestampMs,
    /// Epoch of the leader that wrote it; -1 if unknown.
    pub leader_epoch: LeaderEpoch,
}

/// Sorts the answers into the order of the questions. A topic that the response leaves out counts as an unknown error.
fn outcomes(names: &[Str], answers: Vec<(Str, TopicError)>) -> TopicOutcomes {
    let mut answers: BTreeMap<_, _> = answers.into_iter().collect();
    let missing = TopicError { code: ErrorCode::UNKNOWN_SERVER_ERROR, message: None };
    let outcome = |name: &Str| {
        let error = answers.remove(name).unwrap_or_else(|| missing.clone());
        (name.clone(), if error.code.is_none() { Ok(()) } else { Err(error) })
    };
    names.iter().map(outcome).collect()
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{}: {message}", self.code.name()),
            None => self.code.fmt(f),
        }
    }
}

impl std::error::Error for TopicError {}
