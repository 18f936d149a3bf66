//! The reasons why a partition cannot be read any further.

use std::fmt;

use crate::cluster::TopicPartition;
use crate::protocol::ErrorCode;
use crate::record::RecordError;
use crate::types::{LeaderEpoch, Offset};

/// The reason why a partition cannot be read any further. Temporary failures are retried inside and are never reported.
///
/// After an error the partition stands still: its position stays, nothing is skipped, and every poll without other data
/// returns the error again, until the partition is sought or unassigned. Other partitions go on. Only
/// [`Diverged`](Self::Diverged) is returned once and no more if there is a reset policy.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsumeError {
    /// OFFSET_OUT_OF_RANGE without a reset policy: records were deleted before they were read,
    /// or the log was truncated.
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The position that does not exist.
        offset: Offset,
    },
    /// The partition has no position to begin at, and no reset policy is set (`auto.offset.reset=none`).
    NoOffset {
        /// The partition.
        partition: TopicPartition,
    },
    /// The topic was deleted and created again, and there is no reset policy: the position belongs to another log.
    TopicRecreated {
        /// The partition.
        partition: TopicPartition,
        /// The position in the old log.
        offset: Offset,
    },
    /// Records that were read are gone, and others stand at their offsets: a replica without them has become the leader
    /// (unclean election). The work that was made of the records from `end_offset` on cannot be undone by reading.
    ///
    /// Without a reset policy the partition stands still: seek to `end_offset` to read what the log has in their place.
    /// With any policy, reading goes on there by itself, and neither at the first offset nor at the end, so nothing
    /// is left out. Source: KIP-320.
    Diverged {
        /// The partition.
        partition: TopicPartition,
        /// The position, behind the last record that was handed out.
        offset: Offset,
        /// The latest epoch that the leader's log and the records read so far have in common.
        epoch: LeaderEpoch,
        /// The offset at which they part: the first at which the log may have another record than the one that was
        /// read.
        end_offset: Offset,
    },
    /// A batch decompresses to more bytes than the reader allows: it is a decompression bomb, or the limit is
    /// too low for the topic.
    DecompressionLimit {
        /// The partition.
        partition: TopicPartition,
        /// First offset that was not delivered because of it.
        offset: Offset,
        /// The limit: `decompression.limit.bytes` of a group consumer and of a job, otherwise that of the
        /// [`Decompressed`](crate::compression::Decompressed) of the reader.
        limit_bytes: usize,
    },
    /// The bytes of a batch or record are damaged or of an unsupported format.
    Corrupt {
        /// The partition.
        partition: TopicPartition,
        /// First offset that was not delivered because of it.
        offset: Offset,
        /// The error, and its place in the batch.
        cause: RecordError,
    },
    /// The leader returns bytes without a complete batch at the position: further fetches would return the same
    /// for ever.
    Stalled {
        /// The partition.
        partition: TopicPartition,
        /// The position.
        offset: Offset,
        /// Size of the returned bytes.
        size_bytes: usize,
    },
    /// The leader refuses for a reason that a retry does not change, such as a missing permission.
    Refused {
        /// The partition.
        partition: TopicPartition,
        /// The position.
        offset: Offset,
        /// The error code.
        code: ErrorCode,
    },
    /// The broker is too old for the request, or its response cannot be decoded.
    Unsupported {
        /// The partition.
        partition: TopicPartition,
        /// The client's error, in words.
        detail: String,
    },
}

impl ConsumeError {
    /// The partition that stands still.
    #[must_use]
    pub const fn partition(&self) -> &TopicPartition {
        match self {
            Self::OffsetOutOfRange { partition, .. }
            | Self::NoOffset { partition }
            | Self::TopicRecreated { partition, .. }
            | Self::Diverged { partition, .. }
            | Self::DecompressionLimit { partition, .. }
            | Self::Corrupt { partition, .. }
            | Self::Stalled { partition, .. }
            | Self::Refused { partition, .. }
            | Self::Unsupported { partition, .. } => partition,
        }
    }

    /// Returns `false`: temporary failures are retried inside, and all others last until the partition is sought.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        false
    }

    /// The first offset that was not delivered; `None` if the error is not about an offset.
    #[must_use]
    pub const fn offset(&self) -> Option<Offset> {
        match self {
            Self::OffsetOutOfRange { offset, .. }
            | Self::TopicRecreated { offset, .. }
            | Self::Diverged { offset, .. }
            | Self::DecompressionLimit { offset, .. }
            | Self::Corrupt { offset, .. }
            | Self::Stalled { offset, .. }
            | Self::Refused { offset, .. } => Some(*offset),
            Self::NoOffset { .. } | Self::Unsupported { .. } => None,
        }
    }
}

impl fmt::Display for ConsumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OffsetOutOfRange { partition, offset } => write!(
                f,
                "partition {partition} has no offset {offset} (OFFSET_OUT_OF_RANGE): records were deleted before they \
                 were read; seek, or set a reset policy"
            ),
            Self::NoOffset { partition } => write!(
                f,
                "the group has committed no offset of partition {partition}, and auto.offset.reset is none: commit one first, \
                 or set auto.offset.reset to earliest, latest or by_duration"
            ),
            Self::TopicRecreated { partition, offset } => write!(
                f,
                "the topic of partition {partition} was deleted and created again; offset {offset} belongs to the old one"
            ),
            Self::Diverged { partition, offset, epoch, end_offset } => write!(
                f,
                "partition {partition} lost records that were read: those from {end_offset} to {offset} are gone or others \
                 since a replica without them became the leader (the logs part in epoch {epoch}); seek to {end_offset} to \
                 read what is there now"
            ),
            Self::DecompressionLimit { partition, offset, limit_bytes } => write!(
                f,
                "partition {partition}: the batch at offset {offset} decompresses to more than {limit_bytes} bytes; if its \
                 producer is to be trusted, raise decompression.limit.bytes (decompression_limit_bytes, Decompressed::new)"
            ),
            Self::Corrupt { partition, offset, cause } => {
                write!(f, "partition {partition} is corrupt at offset {offset}: {cause}")
            }
            Self::Stalled { partition, offset, size_bytes } => write!(
                f,
                "partition {partition} cannot be read on at offset {offset}: {size_bytes} bytes came without a whole batch"
            ),
            Self::Refused { partition, offset, code } => write!(
                f,
                "partition {partition} cannot be read at offset {offset}: {} ({}): {}",
                code.name(),
                code.0,
                code.meaning()
            ),
            Self::Unsupported { partition, detail } => write!(f, "partition {partition} cannot be read: {detail}"),
        }
    }
}

debug_as_text!(ConsumeError);

impl std::error::Error for ConsumeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Corrupt { cause, .. } => Some(cause),
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}
