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

/// The reason why a task cannot go on. Nothing of the batch may then be committed. A retry does not help
/// against any of them.
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
        /// The message of the panic.
        message: String,
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
            Self::Panicked { origin: Some(origin), message } => {
                write!(f, "{origin}: the job's code panicked: {message}")
            }
            Self::Panicked { origin: None, message } => {
                write!(f, "the job's code panicked while windows closed, timers fired or results came out: {message}")
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
