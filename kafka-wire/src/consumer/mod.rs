//! Reading of partitions, without I/O: positions, the next fetches, and the batches that a reader may see.
//!
//! A program makes a [`ConsumerConfig`], and gets records as [`ConsumerRecord`], its own, or in [`BatchRecords`], which
//! borrow what was fetched; [`ConsumeError`] is why a partition cannot be read any further. The handles are
//! `client::GroupConsumer` and `client::Consumer`.
//!
//! [`Fetcher`] is the state machine: it knows the assigned partitions, plans one fetch request per leader at a time,
//! and another one for partitions that come up while that waits ([`FetchKind`]), handles the responses, and parks
//! received data until it is polled. [`Fetched`] is the result of a poll: batches of one partition, still in the frame
//! that they arrived in.
//! [`ReadToEnd`] is for partitions that are read once.
//!
//! A fetch goes to the leader of its partitions, or to the replica that a leader names as near (KIP-392).

mod epochs;
mod error;
mod fetched;
mod fetcher;
mod flights;
mod isolation;
mod kept;
mod plan;
mod positions;
mod read_to_end;
mod session;

use std::time::Duration;

pub use self::error::ConsumeError;
pub use self::fetched::{Fetched, FetchedBatch};
pub use self::fetcher::{FetchFailure, Fetcher, FetcherAction, Looked, Lookup, NamedLeaders};
pub use self::flights::FetchKind;
pub use self::kept::{BatchRecords, ConsumerRecord};
pub use self::plan::{Ticket, at_version};
pub use self::positions::Watermarks;
pub use self::read_to_end::ReadToEnd;
use crate::cluster::OffsetSpec;
pub use crate::types::IsolationLevel;
use crate::types::TimestampMs;

/// The settings of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// The records that are delivered. Default: read uncommitted, as in Kafka.
    pub isolation: IsolationLevel,
    /// Bytes that a leader waits for before it answers a fetch. Default 1.
    pub min_bytes: u32,
    /// Most bytes in the response of one leader; at least one batch comes even if it is larger. Default 16 MiB.
    pub max_bytes: u32,
    /// Most bytes of one partition in a response, and the parked bytes from which on a partition is left out of the
    /// next fetch; at least one batch comes even if it is larger. Default 1 MiB.
    pub max_partition_bytes: u32,
    /// Time for which a leader waits for `min_bytes`. Default 500 ms.
    pub max_wait: Duration,
    /// Shortest time from one fetch of a leader to the next, for each partition that it is asked for, unless the
    /// response was large ([`ConsumerConfig::LARGE_RESPONSE_BYTES`]). Default zero: at once, as in other clients.
    ///
    /// A fetch costs the leader, and the consumer, some microseconds for each partition, with news or without. At the
    /// heads of hundreds of logs a response brings a record or two, so that fetches at once take most of the time
    /// of both; 10 us a partition let 500 partitions be asked for every 5 ms.
    pub pause_per_partition: Duration,
    /// Most received bytes that are parked until they are polled. At the limit fetching pauses; nothing is dropped,
    /// except of paused partitions: as long as others are fetched, paused ones leave them room for
    /// `max_partition_bytes`, or half of the buffer if that is less. The data that do not fit are fetched again.
    /// Leaders share it. It may be exceeded by one batch per leader, and by two responses of `max_partition_bytes` per
    /// leader: no leader waits for the responses of others, and partitions that come up while a fetch waits do not wait
    /// for it. Bytes that a poll has returned do not count. Default 50 MB.
    pub buffer_limit_bytes: usize,
    /// The reaction to a position that is outside of the log, or missing at the start. Default: an error.
    pub reset: ResetPolicy,
}

/// The position at which reading goes on when the current one does not exist (OFFSET_OUT_OF_RANGE), and only then;
/// also the position at which it begins when there is none (`auto.offset.reset`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetPolicy {
    /// No position: the poll fails with [`ConsumeError::OffsetOutOfRange`]. Records may have been lost,
    /// and somebody should learn of it.
    #[default]
    None,
    /// The first offset that is still in the log.
    Earliest,
    /// The end of the log; the records before it are skipped.
    Latest,
    /// At the first record that is at most this old by its timestamp, or at the end if there is none. Source: KIP-1106.
    ByDuration(Duration),
}

impl ResetPolicy {
    /// The look-ups that place a reader, in order: the first one that finds an offset counts. `wall` is the time of
    /// day.
    ///
    /// The time of a duration is not before 1970, because brokers take no earlier one. If no record is as young as
    /// that, reading begins at the end.
    #[must_use]
    pub fn queries(self, wall: TimestampMs) -> Vec<OffsetSpec> {
        match self {
            Self::None => Vec::new(),
            Self::Earliest => vec![OffsetSpec::Earliest],
            Self::Latest => vec![OffsetSpec::Latest],
            Self::ByDuration(age) => {
                let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                let since = TimestampMs(wall.0.saturating_sub(age_ms).max(0));
                vec![OffsetSpec::Timestamp(since), OffsetSpec::Latest]
            }
        }
    }
}

impl ConsumerConfig {
    /// The size of a response from which on the next fetch follows at once: there may be a backlog.
    pub const LARGE_RESPONSE_BYTES: usize = 64 * 1024;
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            isolation: IsolationLevel::ReadUncommitted,
            min_bytes: 1,
            max_bytes: 16 << 20,
            max_partition_bytes: 1 << 20,
            max_wait: Duration::from_millis(500),
            pause_per_partition: Duration::ZERO,
            buffer_limit_bytes: 50_000_000,
            reset: ResetPolicy::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_policy_is_a_list_of_look_ups() {
        let (wall, second) = (TimestampMs(10_000), Duration::from_secs(1));
        let by_age = |age, since| {
            let expected = [OffsetSpec::Timestamp(TimestampMs(since)), OffsetSpec::Latest];
            assert_eq!(ResetPolicy::ByDuration(age).queries(wall), expected);
        };
        by_age(second, 9_000);
        by_age(11 * second, 0);
        by_age(Duration::MAX, 0);
        assert_eq!(ResetPolicy::Earliest.queries(wall), [OffsetSpec::Earliest]);
        assert_eq!(ResetPolicy::Latest.queries(wall), [OffsetSpec::Latest]);
        assert_eq!(ResetPolicy::None.queries(wall), []);
    }
}
