//! The state of the idempotent producers that have written to a partition: epoch, last batches, open transaction.
//!
//! Source: KIP-98, KIP-360, KIP-890; the rules are those of Kafka's `ProducerAppendInfo`.

use std::collections::{BTreeMap, VecDeque};

use kafka_wire::protocol::ErrorCode;
use kafka_wire::record::{BatchHeader, sequence_after};
use kafka_wire::types::{Offset, ProducerEpoch, ProducerId, TimestampMs};

/// The outcome of checking a batch of an idempotent producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchCheck {
    /// The batch is the next one in sequence: append it.
    Append,
    /// The batch is a duplicate, whose first copy was appended at this first offset: answer with that.
    Duplicate(Offset),
}

/// The producers of one partition.
#[derive(Clone, Debug, Default)]
pub struct Producers {
    by_id: BTreeMap<ProducerId, Producer>,
    /// Producers by the first offset of their open transaction; the lowest bounds the last stable offset.
    open: BTreeMap<Offset, ProducerId>,
}

#[derive(Clone, Debug)]
struct Producer {
    epoch: ProducerEpoch,
    /// The last appended batches under `epoch`, oldest first.
    batches: VecDeque<Appended>,
    open_since: Option<Offset>,
    /// Largest timestamp of its last batch, or the timestamp of a marker after it.
    last_timestamp: TimestampMs,
    /// Whether one of its transactions has ended in this partition.
    has_marker: bool,
}

/// A producer, as DescribeProducers reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub id: ProducerId,
    /// Its newest epoch.
    pub epoch: ProducerEpoch,
    /// Sequence number of its last record under that epoch.
    pub last_sequence: Option<i32>,
    /// Largest timestamp of its last batch, or the timestamp of a marker after it.
    pub last_timestamp: TimestampMs,
    /// Whether one of its transactions has ended in this partition.
    pub has_marker: bool,
    /// First offset of its open transaction.
    pub open_since: Option<Offset>,
}

#[derive(Clone, Copy, Debug)]
struct Appended {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: Offset,
}

impl Producers {
    /// Checks a batch by its header, which must have a producer id, and changes nothing.
    ///
    /// # Errors
    /// `INVALID_PRODUCER_EPOCH` for an epoch older than the newest: the producer was fenced, or the coordinator
    /// ended its transaction. `OUT_OF_ORDER_SEQUENCE_NUMBER` if a batch is missing before it, or it is older than
    /// the remembered ones. `INVALID_TXN_STATE` for a batch outside the transaction that the producer has open.
    /// An unknown producer may start at any sequence (its state may have been deleted); a known one with a new
    /// epoch has to start at 0.
    pub fn check(&self, header: &BatchHeader) -> Result<BatchCheck, ErrorCode> {
        let Some(producer) = self.by_id.get(&header.producer_id) else { return Ok(BatchCheck::Append) };
        if header.producer_epoch < producer.epoch {
            return Err(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        if header.producer_epoch > producer.epoch {
            if header.base_sequence != 0 {
                return Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
            }
        } else if let Some(same) = producer.find(header) {
            return Ok(BatchCheck::Duplicate(same.base_offset));
        } else if header.base_sequence != producer.next_sequence() {
            return Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
        }
        if producer.open_since.is_some() && !header.is_transactional() {
            return Err(ErrorCode::INVALID_TXN_STATE);
        }
        Ok(BatchCheck::Append)
    }

    /// Records that a batch was appended at `base_offset`, with this largest timestamp.
    pub fn appended(&mut self, header: &BatchHeader, base_offset: Offset, max_timestamp: TimestampMs) {
        let producer = self.entry(header.producer_id, header.producer_epoch);
        producer.last_timestamp = max_timestamp;
        if producer.batches.len() == BATCHES_REMEMBERED {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Appended {
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            base_offset,
        });
        if header.is_transactional() && producer.open_since.is_none() {
            producer.open_since = Some(base_offset);
            self.open.insert(base_offset, header.producer_id);
        }
    }

    /// Records a marker: the producer's transaction in this partition is over. Returns its first offset, if it had one.
    /// A higher epoch fences the lower ones and restarts the sequences (KIP-890).
    pub fn ended(&mut self, producer_id: ProducerId, epoch: ProducerEpoch, timestamp: TimestampMs) -> Option<Offset> {
        let producer = self.entry(producer_id, epoch);
        producer.last_timestamp = timestamp;
        producer.has_marker = true;
        let first = producer.open_since.take();
        if let Some(first) = first {
            self.open.remove(&first);
        }
        first
    }

    /// Forgets the producers without an open transaction whose last batch is from this time or before, by the batch's
    /// own timestamps: old event times expire at once. Source: `ProducerStateManager.isProducerExpired`.
    pub fn forget_before(&mut self, time: TimestampMs) {
        self.by_id.retain(|_, producer| producer.open_since.is_some() || producer.last_timestamp > time);
    }

    /// First offset of the oldest open transaction.
    #[must_use]
    pub fn first_open(&self) -> Option<Offset> {
        self.open.keys().next().copied()
    }

    /// Whether the producer has an open transaction in this partition.
    #[must_use]
    pub fn has_open(&self, producer_id: ProducerId) -> bool {
        self.by_id.get(&producer_id).is_some_and(|producer| producer.open_since.is_some())
    }

    /// Every producer, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = ActiveProducer> {
        self.by_id.iter().map(|(&id, producer)| ActiveProducer {
            id,
            epoch: producer.epoch,
            last_sequence: producer.batches.back().map(|batch| batch.last_sequence),
            last_timestamp: producer.last_timestamp,
            has_marker: producer.has_marker,
            open_since: producer.open_since,
        })
    }

    /// The newest epoch of a producer.
    #[must_use]
    pub fn epoch(&self, producer_id: ProducerId) -> Option<ProducerEpoch> {
        self.by_id.get(&producer_id).map(|producer| producer.epoch)
    }

    /// The entry of a producer, advanced to `epoch` if that is newer.
    fn entry(&mut self, producer_id: ProducerId, epoch: ProducerEpoch) -> &mut Producer {
        let producer = self.by_id.entry(producer_id).or_insert_with(|| Producer {
            epoch,
            batches: VecDeque::with_capacity(BATCHES_REMEMBERED),
            open_since: None,
            last_timestamp: TimestampMs(-1),
            has_marker: false,
        });
        if epoch > producer.epoch {
            producer.epoch = epoch;
            producer.batches.clear();
        }
        producer
    }
}

impl Producer {
    fn find(&self, header: &BatchHeader) -> Option<&Appended> {
        let (first, last) = (header.base_sequence, header.last_sequence());
        self.batches.iter().find(|batch| batch.first_sequence == first && batch.last_sequence == last)
    }

    fn next_sequence(&self) -> i32 {
        self.batches.back().map_or(0, |last| sequence_after(last.last_sequence, 1))
    }
}

/// Batches that Kafka remembers of a producer in each partition; so at most this many may be in flight.
const BATCHES_REMEMBERED: usize = 5;

#[cfg(test)]
mod tests {
    use kafka_wire::types::LeaderEpoch;

    use super::*;

    fn header(epoch: i16, base_sequence: i32, count: i32, transactional: bool) -> BatchHeader {
        BatchHeader {
            magic: 2,
            base_offset: 0,
            partition_leader_epoch: LeaderEpoch(-1),
            attributes: if transactional { 1 << 4 } else { 0 },
            last_offset_delta: count - 1,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id: ProducerId(7),
            producer_epoch: ProducerEpoch(epoch),
            base_sequence,
            record_count: count,
        }
    }

    fn append(producers: &mut Producers, header: &BatchHeader, offset: i64) {
        assert_eq!(producers.check(header), Ok(BatchCheck::Append));
        producers.appended(header, Offset(offset), TimestampMs(offset));
    }

    #[test]
    fn the_last_five_batches_are_recognised_and_older_ones_are_out_of_order() {
        let mut producers = Producers::default();
        for batch in 0..6 {
            append(&mut producers, &header(0, batch * 2, 2, false), i64::from(batch) * 2);
        }
        for batch in 1..6 {
            let again = producers.check(&header(0, batch * 2, 2, false));
            assert_eq!(again, Ok(BatchCheck::Duplicate(Offset(i64::from(batch) * 2))));
        }
        assert_eq!(producers.check(&header(0, 0, 2, false)), Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
        // A batch with the same first sequence but another count is a different batch.
        assert_eq!(producers.check(&header(0, 10, 3, false)), Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
        assert_eq!(producers.check(&header(0, 14, 1, false)), Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
        assert_eq!(producers.check(&header(0, 12, 1, false)), Ok(BatchCheck::Append));
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut producers = Producers::default();
        append(&mut producers, &header(0, i32::MAX - 1, 2, false), 0);
        append(&mut producers, &header(0, 0, 3, false), 2);
        append(&mut producers, &header(0, 3, 1, false), 5);
    }

    #[test]
    fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
        let mut producers = Producers::default();
        append(&mut producers, &header(1, 0, 5, false), 0);
        assert_eq!(producers.check(&header(2, 5, 1, false)), Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
        append(&mut producers, &header(2, 0, 1, false), 5);
        assert_eq!(producers.check(&header(1, 5, 1, false)), Err(ErrorCode::INVALID_PRODUCER_EPOCH));
    }

    #[test]
    fn a_producer_expires_unless_it_has_a_transaction_open_and_may_then_start_anywhere() {
        let mut producers = Producers::default();
        append(&mut producers, &header(1, 0, 5, false), 10);
        producers.forget_before(TimestampMs(9));
        assert_eq!(producers.check(&header(1, 7, 1, false)), Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
        producers.forget_before(TimestampMs(10));
        assert_eq!(producers.epoch(ProducerId(7)), None);
        append(&mut producers, &header(1, 7, 1, true), 15);
        producers.forget_before(TimestampMs(1_000));
        assert!(producers.has_open(ProducerId(7)));
    }

    #[test]
    fn a_marker_closes_the_transaction_and_fences_by_its_epoch() {
        let mut producers = Producers::default();
        append(&mut producers, &header(3, 0, 5, true), 10);
        append(&mut producers, &header(3, 5, 5, true), 15);
        assert_eq!(producers.first_open(), Some(Offset(10)));
        assert_eq!(producers.check(&header(3, 10, 1, false)), Err(ErrorCode::INVALID_TXN_STATE));
        assert_eq!(producers.ended(ProducerId(7), ProducerEpoch(4), TimestampMs(0)), Some(Offset(10)));
        assert_eq!(producers.first_open(), None);
        assert_eq!(producers.check(&header(3, 10, 5, true)), Err(ErrorCode::INVALID_PRODUCER_EPOCH));
        append(&mut producers, &header(4, 0, 5, true), 21);
        // Under transaction.version 1 the marker carries the epoch of the records, and the sequences go on.
        assert_eq!(producers.ended(ProducerId(7), ProducerEpoch(4), TimestampMs(0)), Some(Offset(21)));
        append(&mut producers, &header(4, 5, 5, true), 27);
    }
}
