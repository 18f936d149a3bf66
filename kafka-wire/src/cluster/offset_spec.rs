//! Offsets that leaders can look up.

use crate::types::TimestampMs;

/// The offset of a partition to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first offset that is still in the log.
    Earliest,
    /// The end (exclusive): the high watermark, or the last stable offset with `ReadCommitted`.
    Latest,
    /// The first record whose timestamp is not before this one.
    Timestamp(TimestampMs),
    /// The record with the largest timestamp. Brokers know it since Kafka 3.0 (KIP-734).
    MaxTimestamp,
    /// The first offset that the leader has on its own disks; with tiered storage, earlier ones may be elsewhere.
    /// Brokers know it since Kafka 3.4 (KIP-405).
    EarliestLocal,
    /// The last offset that is in tiered storage; none without such storage. Brokers know it since Kafka 3.7
    /// (KIP-1005).
    LatestTiered,
    /// The first offset that is not in tiered storage yet; none without such storage. Brokers know it since Kafka 4.2
    /// (KIP-1023).
    EarliestPendingUpload,
}

impl OffsetSpec {
    /// The number of this query in requests. Source: ListOffsetsRequest.json `Timestamp`.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::Timestamp(TimestampMs(timestamp)) => timestamp,
            Self::MaxTimestamp => -3,
            Self::EarliestLocal => -4,
            Self::LatestTiered => -5,
            Self::EarliestPendingUpload => -6,
        }
    }

    /// The first version of ListOffsets in which brokers know the query. An older one would take its number for a
    /// timestamp, and answer with the first record. Source: ListOffsetsRequest.json.
    #[must_use]
    pub const fn first_version(self) -> i16 {
        match self {
            Self::Latest | Self::Earliest | Self::Timestamp(_) => 1,
            Self::MaxTimestamp => 7,
            Self::EarliestLocal => 8,
            Self::LatestTiered => 9,
            Self::EarliestPendingUpload => 11,
        }
    }
}
