//! Transactions that are open in a partition and that no coordinator will ever end (KIP-664).
//!
//! A transaction hangs if the coordinator does not know its producer, or knows it and does not count the partition to
//! its transaction. Coordinators are asked later than the leaders, and a transaction that has ended meanwhile looks the
//! same. `kafka-transactions.sh find-hanging` leaves out those whose last record is not older than every transaction
//! may be; but a record may have any time. So the leaders are asked again: a coordinator counts a partition to
//! a transaction from before its first record until its marker is written, and one that it did not count although it
//! was open before and after hangs. With that the time only spares questions about transactions that are young for
//! certain, and a time ahead of the clock says nothing.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::describe_producers::ActiveProducer;
use super::{TransactionDescription, TransactionListing};
use crate::cluster::TopicPartition;
use crate::types::{ProducerId, TimestampMs};
use crate::wire::Str;

/// A transaction that is open in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    /// The partition.
    pub partition: TopicPartition,
    /// The producer, whose `transaction_start` is the first record of the transaction.
    pub producer: ActiveProducer,
}

/// Returns the open transactions, but those whose last record has a time in `recent`.
#[must_use]
pub fn candidates(
    producers: impl IntoIterator<Item = (TopicPartition, Vec<ActiveProducer>)>,
    recent: &RangeInclusive<TimestampMs>,
) -> Vec<OpenTransaction> {
    let open = producers.into_iter().flat_map(|(partition, producers)| {
        producers.into_iter().map(move |producer| OpenTransaction { partition: partition.clone(), producer })
    });
    let is_recent = |open: &OpenTransaction| recent.contains(&open.producer.last_timestamp);
    open.filter(|open| open.producer.transaction_start.is_some() && !is_recent(open)).collect()
}

/// Returns the candidates that hang, by what the coordinators tell about their producers.
#[must_use]
pub fn hanging(
    candidates: Vec<OpenTransaction>,
    listed: &[TransactionListing],
    described: &BTreeMap<Str, TransactionDescription>,
) -> Vec<OpenTransaction> {
    let ids: BTreeMap<ProducerId, &Str> = listed.iter().map(|one| (one.producer_id, &one.transactional_id)).collect();
    let is_known = |open: &OpenTransaction| {
        let transaction = ids.get(&open.producer.producer_id).and_then(|id| described.get(*id));
        transaction.is_some_and(|transaction| transaction.partitions.contains(&open.partition))
    };
    candidates.into_iter().filter(|open| !is_known(open)).collect()
}

/// Returns those of `found` that the leaders still tell, with the same first record.
#[must_use]
pub fn still_open(
    found: Vec<OpenTransaction>,
    producers: impl IntoIterator<Item = (TopicPartition, Vec<ActiveProducer>)>,
) -> Vec<OpenTransaction> {
    let open = producers.into_iter().flat_map(|(partition, producers)| {
        producers.into_iter().map(move |one| ((partition.clone(), one.producer_id), one))
    });
    let open: BTreeMap<_, _> = open.collect();
    let is_same = |one: &OpenTransaction| {
        open.get(&(one.partition.clone(), one.producer.producer_id)).is_some_and(|now| {
            (now.producer_epoch, now.transaction_start) == (one.producer.producer_epoch, one.producer.transaction_start)
        })
    };
    found.into_iter().filter(is_same).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Offset, PartitionId, ProducerEpoch};

    fn producer(id: i64, last_timestamp: i64, transaction_start: Option<i64>) -> ActiveProducer {
        ActiveProducer {
            producer_id: ProducerId(id),
            producer_epoch: ProducerEpoch(0),
            last_sequence: Some(1),
            last_timestamp: TimestampMs(last_timestamp),
            coordinator_epoch: None,
            transaction_start: transaction_start.map(Offset),
        }
    }

    fn transaction(id: &str, producer_id: i64, partitions: Vec<TopicPartition>) -> TransactionDescription {
        TransactionDescription {
            transactional_id: Str::from(id),
            state: Str::from("Ongoing"),
            timeout_ms: 1_000,
            start: TimestampMs(0),
            producer_id: ProducerId(producer_id),
            producer_epoch: ProducerEpoch(0),
            partitions,
        }
    }

    #[test]
    fn open_transactions_that_may_be_old_are_candidates() {
        let partition = TopicPartition::new("t", PartitionId(0));
        let open = |id, time| producer(id, time, Some(5));
        let producers = vec![open(1, 99), open(2, 100), open(3, 200), open(4, 201), producer(5, 1, None)];
        let found = candidates([(partition, producers)], &(TimestampMs(100)..=TimestampMs(200)));
        assert_eq!(found.iter().map(|open| open.producer.producer_id.0).collect::<Vec<_>>(), [1, 4]);
    }

    #[test]
    fn a_transaction_that_has_ended_meanwhile_does_not_hang() {
        let here = TopicPartition::new("t", PartitionId(0));
        let found = |id| OpenTransaction { partition: here.clone(), producer: producer(id, 0, Some(100)) };
        let next_epoch = ActiveProducer { producer_epoch: ProducerEpoch(1), ..producer(4, 0, Some(100)) };
        let now = vec![producer(1, 50, Some(100)), producer(2, 50, Some(200)), producer(3, 50, None), next_epoch];
        let left = still_open((1..=5).map(found).collect(), [(here.clone(), now)]);
        assert_eq!(left, [found(1)]);
    }

    #[test]
    fn a_transaction_hangs_unless_its_coordinator_counts_the_partition() {
        let (here, elsewhere) = (TopicPartition::new("t", PartitionId(0)), TopicPartition::new("t", PartitionId(1)));
        let open = |id| OpenTransaction { partition: here.clone(), producer: producer(id, 0, Some(0)) };
        let listing = |id: &str, producer_id| TransactionListing {
            transactional_id: Str::from(id),
            producer_id: ProducerId(producer_id),
            state: Str::from("Ongoing"),
        };
        let described = [transaction("fine", 1, vec![here.clone()]), transaction("other", 2, vec![elsewhere])];
        let described = described.into_iter().map(|one| (one.transactional_id.clone(), one)).collect();
        let listed = [listing("fine", 1), listing("other", 2), listing("gone", 3)];
        let found = hanging(vec![open(1), open(2), open(3), open(4)], &listed, &described);
        assert_eq!(found.iter().map(|open| open.producer.producer_id.0).collect::<Vec<_>>(), [2, 3, 4]);
    }
}
