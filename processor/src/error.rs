//! What can stop a task.

use std::fmt;

use kafka_wire::record::RecordError;
use kafka_wire::types::{Offset, PartitionId, TimestampMs};

use crate::serde::SerdeError;

/// A place in the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: PartitionId,
    /// The record.
    pub offset: Offset,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic {}, partition {}, offset {}", self.topic, self.partition, self.offset)
    }
}

/// Why a task cannot go on. Nothing of the batch may be committed then; none of these goes away by trying again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessError {
    /// Key or value is not what the serde reads, and the job is told to stop at that, or the topic is internal.
    Undecodable {
        /// The record.
        origin: Origin,
        /// `"key"` or `"value"`.
        part: &'static str,
        /// What is wrong with it.
        cause: SerdeError,
    },
    /// A record has no timestamp, and the job is told to stop at that.
    Untimed {
        /// The record.
        origin: Origin,
        /// What it has instead.
        timestamp: TimestampMs,
    },
    /// The record batch itself is malformed. `origin.offset` is the first offset not read.
    Corrupt {
        /// Where reading stopped.
        origin: Origin,
        /// What is wrong.
        cause: RecordError,
    },
    /// A record without a key in a repartition topic is no watermark mark that this version reads.
    BadMark {
        /// The record.
        origin: Origin,
    },
    /// A value cannot be written by the serde of a step.
    Encode {
        /// Name of the topic or store.
        to: String,
        /// What the serde says.
        cause: SerdeError,
    },
    /// A record of a changelog is none that this version of the job reads.
    BadChangelog {
        /// The store.
        store: String,
        /// What is wrong; `None` when the key is no key of a changelog.
        cause: Option<SerdeError>,
    },
    /// State or shuffled records are there, written by this job as it was before the step was changed.
    OtherVersion {
        /// The store or the repartition topic.
        of: String,
        /// How it was written; `None` when it was before changelogs said so.
        found: Option<String>,
        /// How the job would write it.
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
