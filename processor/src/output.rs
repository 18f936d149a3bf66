//! The records that a stage puts out, and their destination.

use kafka_wire::compression::Compression;
use kafka_wire::record::{BatchBuilder, HEADER_BYTES, RawHeaders, Seal};
use kafka_wire::types::{PartitionId, TimestampMs};

/// A topic that the job writes: index into [`Topology::sinks`](crate::topology::Topology::sinks), or a greater number
/// for one that a record names ([`Output::named`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SinkId(pub usize);

/// A store of the job: index into [`Topology::stores`](crate::topology::Topology::stores).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub usize);

/// The partition of its topic that a record goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// By the key, as Kafka's default partitioner chooses: the murmur2 hash of the key; any partition if the key
    /// is null.
    ByKey,
    /// This partition.
    Partition(PartitionId),
    /// The partition of this number, modulo the number of partitions.
    Number(u32),
}

/// The partition of a number, for [`Route::Number`].
#[must_use]
pub(crate) fn numbered(number: u32, partitions: i32) -> PartitionId {
    let partitions = u32::try_from(partitions).unwrap_or(1).max(1);
    PartitionId(i32::try_from(number % partitions).unwrap_or(0))
}

/// A record to be written, borrowed for the time of the call.
#[derive(Clone, Copy, Debug)]
pub struct OutRecord<'a> {
    /// The topic.
    pub sink: SinkId,
    /// The partition.
    pub route: Route,
    /// Event time.
    pub timestamp: TimestampMs,
    /// `None` is Kafka's null.
    pub key: Option<&'a [u8]>,
    /// `None` is Kafka's null: in a changelog, a deletion.
    pub value: Option<&'a [u8]>,
    /// Headers, which are written unchanged.
    pub headers: RawHeaders<'a>,
}

/// The reason why a topic does not take a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

/// Takes the output of a task, in order, into the open transaction.
///
/// The order within a partition is essential: a mark is true because it comes after the records that it covers.
/// A record that cannot be taken (too large) must make the transaction fail, and must never be dropped; the same holds
/// for a full buffer, unless it takes the record all the same and pauses the task after its batch.
pub trait Output {
    /// Takes one record. The slices belong to the caller again on return.
    fn emit(&mut self, record: OutRecord<'_>);

    /// The number of a topic that a record names and that the job need not declare, for [`OutRecord::sink`].
    ///
    /// # Errors
    /// The reason why no record can be written there: it is known not to exist, for example.
    fn named(&mut self, topic: &str) -> Result<SinkId, Refused> {
        Err(Refused(format!("topic {topic} is not declared, and this output has no others")))
    }

    /// Takes one record, unless it is known that its topic does not take it: too large, for example. Only a record that
    /// is offered may be left out.
    ///
    /// # Errors
    /// The reason why the topic does not take it; it has not been taken then.
    fn offer(&mut self, record: OutRecord<'_>) -> Result<(), Refused> {
        self.emit(record);
        Ok(())
    }
}

/// The records that a topic takes, as far as its settings say. A broker refuses any other, and with it the whole
/// transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicLimits {
    /// `max.message.bytes`: the largest batch, and so the largest record in a batch of its own, after compression.
    pub batch_bytes_max: usize,
    /// `message.timestamp.before.max.ms`: how far a timestamp may lie before the time of day.
    pub before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far a timestamp may lie after the time of day.
    pub after_max_ms: i64,
    /// Whether records need a key, because the topic is compacted.
    pub needs_key: bool,
}

impl Default for TopicLimits {
    /// Any record is taken.
    fn default() -> Self {
        let (before_max_ms, after_max_ms) = (i64::MAX, i64::MAX);
        Self { batch_bytes_max: usize::MAX, before_max_ms, after_max_ms, needs_key: false }
    }
}

impl TopicLimits {
    /// Checks a record at the time of day `wall`, to be compressed with `compression`.
    ///
    /// # Errors
    /// The reason why the topic does not take it.
    pub fn check(&self, record: &OutRecord<'_>, wall: TimestampMs, compression: Compression) -> Result<(), Refused> {
        let OutRecord { key, value, timestamp, headers, .. } = *record;
        if self.needs_key && key.is_none() {
            return Err(Refused("the topic is compacted, and the record has no key".to_owned()));
        }
        // A negative timestamp means that there is none.
        if timestamp.0 >= 0 {
            let ahead_ms = timestamp.0.saturating_sub(wall.0);
            if ahead_ms > self.after_max_ms || ahead_ms.saturating_neg() > self.before_max_ms {
                return Err(Refused(format!("timestamp {}, {ahead_ms} ms from the time of day", timestamp.0)));
            }
        }
        let bytes_max = HEADER_BYTES + BatchBuilder::record_bytes_max(key, value, headers);
        if bytes_max <= self.batch_bytes_max {
            return Ok(());
        }
        // The bound is near: only the batch itself tells.
        let mut batch = BatchBuilder::new(bytes_max);
        let appended = batch.append(timestamp.0, key, value, headers).map_err(|error| error.to_string());
        let sealed = appended
            .and_then(|()| batch.seal(Seal { compression, ..Seal::default() }).map_err(|error| error.to_string()));
        match sealed {
            Ok(batch) if batch.len() <= self.batch_bytes_max => Ok(()),
            Ok(batch) => {
                Err(Refused(format!("{} bytes, and max.message.bytes is {}", batch.len(), self.batch_bytes_max)))
            }
            Err(error) => Err(Refused(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(limits: TopicLimits, key: Option<&[u8]>, value: &[u8], at: i64) -> Result<(), Refused> {
        let (sink, route, timestamp, headers) = (SinkId(0), Route::ByKey, TimestampMs(at), RawHeaders::EMPTY);
        let record = OutRecord { sink, route, timestamp, key, value: Some(value), headers };
        limits.check(&record, TimestampMs(1_000), Compression::None)
    }

    #[test]
    fn a_record_is_as_large_as_its_batch() {
        let limits = |batch_bytes_max| TopicLimits { batch_bytes_max, ..TopicLimits::default() };
        // A header of 61 bytes; length, attributes, two deltas, two lengths and the number of headers of one byte each.
        assert_eq!(check(limits(61 + 7 + 1 + 10), Some(b"k"), &[0; 10], 0), Ok(()));
        let refused = check(limits(61 + 7 + 1 + 9), Some(b"k"), &[0; 10], 0);
        assert_eq!(refused, Err(Refused("79 bytes, and max.message.bytes is 78".to_owned())));
    }

    #[test]
    fn timestamps_and_keys_are_within_the_limits() {
        let limits = TopicLimits { before_max_ms: 10, after_max_ms: 20, needs_key: true, ..TopicLimits::default() };
        let at = |at| check(limits, Some(b"k"), b"", at).is_ok();
        assert_eq!([989, 990, 1_020, 1_021, -1].map(at), [false, true, true, false, true]);
        assert!(check(limits, None, b"", 1_000).is_err());
    }
}
