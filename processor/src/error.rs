//! The errors that stop a task.

use std::fmt;

use kafka_wire::record::RecordError;
use kafka_wire::types::{Offset, PartitionId, TimestampMs};

use crate::serde::SerdeError;

/// The place of a record in the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: PartitionId,
    /// The offset of the record.
    pub offset: Offset,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic {}, partition {}, offset {}", self.topic, self.partition, self.offset)
    }
}

/// The kinds of failures of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// The serde of the source cannot decode the key or the value.
    Decode,
    /// A step needs event time, and the record has none: its timestamp is negative, as Kafka's "no timestamp" is.
    Timestamp,
    /// The code of the user panics or returns an error.
    Process,
    /// The serde of a topic cannot encode an output record, or the topic does not take it.
    Produce,
}

/// The reaction to a record that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorPolicy {
    /// Stop the job, with the place of the record. Nothing of the open transaction is committed.
    Fail,
    /// Leave the record out, count it, and warn of it. It goes to the topic of dead letters if there is one.
    Skip,
}

/// The reactions of a job, by the kind of the failure.
///
/// For a kind without a reaction of its own, a job fails; a job with a topic of dead letters puts the record there and
/// goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorPolicies {
    chosen: [Option<ErrorPolicy>; 4],
}

impl ErrorPolicies {
    /// Chooses the reaction to a kind of failure.
    pub const fn set(&mut self, kind: ErrorKind, policy: ErrorPolicy) {
        self.chosen[kind as usize] = Some(policy);
    }

    /// The reaction to a kind of failure, in a job with or without a topic of dead letters.
    #[must_use]
    pub const fn of(&self, kind: ErrorKind, has_dead_letters: bool) -> ErrorPolicy {
        match self.chosen[kind as usize] {
            Some(policy) => policy,
            None if has_dead_letters => ErrorPolicy::Skip,
            None => ErrorPolicy::Fail,
        }
    }
}

/// The reason why an output outside of Kafka has not taken records.
///
/// Any error becomes [`SinkError::Unavailable`] by `?`, with the errors that caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkError {
    /// It may take them later: it cannot be reached, or is busy. They are offered again, by a new worker in the end.
    Unavailable(String),
    /// It will never take them. The job ends.
    Refused(String),
}

impl SinkError {
    /// The same for an error that no attempt will mend.
    #[must_use]
    pub fn refused(error: &dyn std::error::Error) -> Self {
        Self::Refused(with_causes(error))
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(cause) => write!(f, "is not available: {cause}"),
            Self::Refused(cause) => write!(f, "refuses the records: {cause}"),
        }
    }
}

impl<E: std::error::Error> From<E> for SinkError {
    fn from(error: E) -> Self {
        Self::Unavailable(with_causes(&error))
    }
}

/// The text of an error and of those that caused it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let of_cause = cause.to_string();
        // Some errors repeat the text of their cause.
        if !text.ends_with(&of_cause) {
            text = format!("{text}: {of_cause}");
        }
        next = cause.source();
    }
    text
}

/// The reason why a task cannot go on. Nothing of the batch may then be committed. A retry helps only against those
/// that are temporary, see [`Self::is_temporary`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessError {
    /// Key or value cannot be decoded by the serde, and the job is configured to stop then, or the topic is internal.
    Undecodable {
        /// The record.
        origin: Origin,
        /// `"key"` or `"value"`.
        part: &'static str,
        /// The error of the serde.
        cause: SerdeError,
    },
    /// A record has no timestamp, and the job is configured to stop then.
    Untimed {
        /// The record.
        origin: Origin,
        /// The value in its place.
        timestamp: TimestampMs,
    },
    /// The record batch itself is malformed. `origin.offset` is the first offset that was not read.
    Corrupt {
        /// The place at which reading stopped.
        origin: Origin,
        /// The error.
        cause: RecordError,
    },
    /// A record without a key in a repartition topic is not a mark of a version that this one can read.
    BadMark {
        /// The record.
        origin: Origin,
    },
    /// A closure or a step of the user panicked.
    Panicked {
        /// The record that was being processed; `None` while windows closed, timers fired or results came out.
        origin: Option<Origin>,
        /// The step, by its name in `describe()`; empty in a timestamp extractor.
        step: String,
        /// The message of the panic.
        message: String,
    },
    /// The code of the user returned an error.
    Failed {
        /// The record that was being processed; `None` in a timer.
        origin: Option<Origin>,
        /// The step, by its name in `describe()`.
        step: String,
        /// The error.
        message: String,
    },
    /// A topic does not take an output record, or its serde cannot encode it.
    Unproducible {
        /// The record that was being processed; `None` while windows closed, timers fired or results came out.
        origin: Option<Origin>,
        /// The topic; the step, for an output outside of Kafka.
        topic: String,
        /// The error.
        cause: String,
    },
    /// A call to the outside has failed as often as it may.
    CallFailed {
        /// The step.
        step: String,
        /// Number of times that it was made.
        attempts: u32,
        /// The last error.
        cause: String,
    },
    /// An output outside of Kafka has not taken records, as often as it may.
    NotTaken {
        /// The step.
        step: String,
        /// Number of times that they were offered.
        attempts: u32,
        /// The last error.
        cause: SinkError,
    },
    /// The serde of a step cannot encode a value.
    Encode {
        /// Name of the topic or store.
        to: String,
        /// The error of the serde.
        cause: SerdeError,
    },
    /// A record of a changelog is not one that this version of the job can read.
    BadChangelog {
        /// The store.
        store: String,
        /// The error; `None` if the key is not a changelog key.
        cause: Option<SerdeError>,
    },
    /// State or shuffled records exist that an earlier form of this job wrote, before the step was changed.
    OtherVersion {
        /// The store or the repartition topic.
        of: String,
        /// The version that it was written in; `None` if it is from before changelogs recorded that.
        found: Option<String>,
        /// The version in which this job would write it.
        expected: String,
    },
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undecodable { origin, part, cause } => write!(f, "{origin}: {part} cannot be decoded: {cause}"),
            Self::Untimed { origin, timestamp } => write!(
                f,
                "{origin}: no timestamp ({}), so the record belongs to no window. Set timestamp.policy=skip to leave such \
                 records out, or give the stream a timestamp extractor",
                timestamp.0
            ),
            Self::Corrupt { origin, cause } => write!(f, "{origin}: corrupt: {cause}"),
            Self::BadMark { origin } => write!(f, "{origin}: a record without a key that is no watermark mark"),
            Self::Panicked { origin, step, message } => {
                write!(f, "{}the job's code panicked{}: {message}", Place(origin), Step(step))
            }
            Self::Failed { origin, step, message } => {
                write!(f, "{}the job's code failed{}: {message}", Place(origin), Step(step))
            }
            Self::Unproducible { origin, topic, cause } => {
                write!(f, "{}a record for topic {topic} cannot be written: {cause}", Place(origin))
            }
            Self::CallFailed { step, attempts, cause } => {
                write!(f, "step `{step}`: a call failed {attempts} times, at last: {cause}")
            }
            Self::NotTaken { step, attempts, cause } => {
                let times = if *attempts == 1 { "once" } else { "several times" };
                write!(f, "step `{step}`: its output, tried {times}, {cause}")
            }
            Self::Encode { to, cause } => write!(f, "value for {to} cannot be encoded: {cause}"),
            Self::BadChangelog { store, cause: Some(cause) } => write!(f, "changelog of store {store}: {cause}"),
            Self::BadChangelog { store, cause: None } => {
                write!(f, "changelog of store {store}: not a key of a changelog")
            }
            Self::OtherVersion { of, found, expected } => {
                let found = found.as_deref().unwrap_or("by a version of this program that did not say how");
                write!(
                    f,
                    "`{of}` was written as ({found}), and the job now says ({expected}): what is there cannot be read as that. \
                     Give the step another name to start it without state, or the job another application id to start \
                     anew, or change the step back"
                )
            }
        }
    }
}

impl std::error::Error for ProcessError {}

impl ProcessError {
    /// The kind of failure, for the errors of a record to which a job may react by leaving the record out.
    #[must_use]
    pub const fn kind(&self) -> Option<ErrorKind> {
        match self {
            // It says nothing about the record.
            Self::Undecodable { cause: SerdeError::Unavailable(_), .. } => None,
            Self::Undecodable { .. } => Some(ErrorKind::Decode),
            Self::Untimed { .. } => Some(ErrorKind::Timestamp),
            Self::Panicked { .. } | Self::Failed { .. } => Some(ErrorKind::Process),
            Self::Unproducible { .. } => Some(ErrorKind::Produce),
            Self::Corrupt { .. }
            | Self::BadMark { .. }
            | Self::CallFailed { .. }
            | Self::NotTaken { .. }
            | Self::Encode { .. }
            | Self::BadChangelog { .. }
            | Self::OtherVersion { .. } => None,
        }
    }

    /// Whether a new worker may get further: the format of a record needs something that cannot be had for now, or an
    /// output cannot be reached.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Undecodable { cause, .. }
            | Self::Encode { cause, .. }
            | Self::BadChangelog { cause: Some(cause), .. } => matches!(cause, SerdeError::Unavailable(_)),
            Self::NotTaken { cause, .. } => matches!(cause, SinkError::Unavailable(_)),
            _ => false,
        }
    }

    /// The error without the place of the record, for a message that has it already.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Self::Undecodable { cause, .. } => cause.to_string(),
            Self::Untimed { timestamp, .. } => format!("no timestamp ({})", timestamp.0),
            Self::Panicked { message, .. } | Self::Failed { message, .. } => message.clone(),
            Self::Unproducible { topic, cause, .. } => format!("topic {topic}: {cause}"),
            error => error.to_string(),
        }
    }

    /// The step that failed, if it is known.
    #[must_use]
    pub fn step(&self) -> &str {
        match self {
            Self::Panicked { step, .. } | Self::Failed { step, .. } => step,
            _ => "",
        }
    }
}

/// The beginning of a message about a record.
struct Place<'a>(&'a Option<Origin>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(origin) => write!(f, "{origin}: "),
            None => f.write_str("while windows closed, timers fired or results came out: "),
        }
    }
}

/// The step in a message.
struct Step<'a>(&'a str);

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " in step `{}`", self.0) }
    }
}
