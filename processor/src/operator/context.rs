//! What an operator has at hand while it works.

use kafka_wire::time::Moment;
use kafka_wire::types::{Offset, PartitionId, TimestampMs};

use super::Joints;
use crate::output::Output;
use crate::state::Stores;

/// What an operator has at hand while it works.
pub struct Context<'a> {
    /// Where output goes.
    pub output: &'a mut dyn Output,
    /// The stores of the task.
    pub stores: &'a mut Stores,
    /// The record that is being processed; the last one, at a signal.
    pub place: Place<'a>,
    /// How far event time has come for this task.
    pub watermark: TimestampMs,
    /// The worker's clock.
    pub now: Moment,
    /// The time of day, as of the batch or signal. In tests it is virtual: that of [`Context::now`].
    pub wall: TimestampMs,
    /// The greatest timestamp of the records taken since the task last looked.
    pub max_timestamp: Option<TimestampMs>,
    /// What has happened.
    pub counters: Counters,
    /// What follows where streams merge.
    pub joints: Joints,
}

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The topic; empty at a signal, when there is no record.
    pub topic: &'a str,
    /// The partition: the task's.
    pub partition: PartitionId,
    /// The offset.
    pub offset: Offset,
}

/// What a task has done since it started; a rollback takes back what was undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records taken, marks not included.
    pub records_in: u64,
    /// Records written to topics that are not changelogs, marks not included.
    pub records_out: u64,
    /// Records left out because their window was closed.
    pub late: u64,
    /// Records left out because they could not be decoded.
    pub undecodable: u64,
}

/// Where the records of a batch come from.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// First offset to take: a fetch may begin in the middle of a batch.
    pub position: Offset,
    /// Whether it is a repartition topic of the job.
    pub is_internal: bool,
    /// Whether its records are counted: by one of the streams that read them.
    pub is_counted: bool,
    /// What to do with what cannot be decoded. An internal topic always fails.
    pub undecodable: Undecodable,
}

/// What to do with a record whose key or value is not what the serde reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Undecodable {
    /// Count it, report it, go on.
    #[default]
    Skip,
    /// Stop the job, with topic, partition and offset.
    Fail,
}
