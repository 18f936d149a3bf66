//! The partitions that most of the last transactions of a producer have written to.
//!
//! The next transaction registers them as soon as it has records, before it knows all of its own: one request less
//! between the last record and the commit. A partition that is registered and not written to costs a marker in its
//! log, so only those count that at least half of the last eight transactions have written to.

use std::collections::BTreeMap;

use crate::cluster::TopicPartition;
use crate::producer::accumulator::Slot;

/// The use of partitions by the last transactions.
#[derive(Debug, Default)]
pub(super) struct Usual {
    habits: BTreeMap<Slot, Habit>,
    /// Number of transactions so far, the present one included.
    transaction: u64,
}

#[derive(Debug)]
struct Habit {
    partition: TopicPartition,
    /// Number of the last transaction that wrote to it.
    last: u64,
    /// A bit for each of the transactions up to the last one that wrote to it, the lowest for that one.
    uses: u8,
}

impl Usual {
    /// Begins with the next transaction.
    pub(super) fn begin(&mut self) {
        self.transaction += 1;
    }

    /// Whether the present transaction writes to a partition.
    pub(super) fn is_in_use(&self, slot: Slot) -> bool {
        self.habits.get(&slot).is_some_and(|habit| habit.last == self.transaction)
    }

    /// Notes that the present transaction writes to a partition.
    pub(super) fn note(&mut self, slot: Slot, partition: TopicPartition) {
        let transaction = self.transaction;
        let habit = self.habits.entry(slot).or_insert(Habit { partition, last: transaction, uses: 0 });
        habit.uses = habit.uses_until(transaction) | 1;
        habit.last = transaction;
    }

    /// The partitions that most of the last transactions have written to, and the present one has not yet. Forgets
    /// those that none of them has written to.
    pub(super) fn expected(&mut self) -> impl Iterator<Item = (Slot, TopicPartition)> {
        let transaction = self.transaction;
        self.habits.retain(|_, habit| habit.uses_until(transaction) != 0);
        let usual = self.habits.iter().filter(move |(_, habit)| {
            habit.last != transaction && habit.uses_until(transaction).count_ones() >= USES_MIN
        });
        usual.map(|(slot, habit)| (*slot, habit.partition.clone()))
    }

    /// Forgets all partitions that the present transaction does not write to.
    pub(super) fn forget_others(&mut self) {
        let transaction = self.transaction;
        self.habits.retain(|_, habit| habit.last == transaction);
    }
}

impl Habit {
    /// A bit for each of the eight transactions up to that one, the lowest for that one.
    fn uses_until(&self, transaction: u64) -> u8 {
        let shift = u32::try_from(transaction - self.last).unwrap_or(u32::MAX);
        self.uses.checked_shl(shift).unwrap_or(0)
    }
}

/// Number of uses among the last eight transactions, the present one included, that make a partition usual.
const USES_MIN: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::producer::ProducerConfig;
    use crate::producer::accumulator::Accumulator;
    use crate::types::PartitionId;
    use crate::wire::Str;

    /// Runs transactions, each of which writes to the partitions listed; returns those that the next one expects.
    fn expected_after(transactions: &[&[i32]]) -> Vec<i32> {
        let mut accumulator = Accumulator::new(&ProducerConfig::transactional("id"));
        let topic = accumulator.add_topic(&Str::from("out"), 4);
        let mut usual = Usual::default();
        for partitions in transactions {
            usual.begin();
            for partition in partitions.iter().map(|partition| PartitionId(*partition)) {
                let slot = accumulator.slot(topic, partition).expect("there are four");
                usual.note(slot, TopicPartition::new("out", partition));
                assert!(usual.is_in_use(slot));
            }
        }
        usual.begin();
        usual.expected().map(|(_, partition)| partition.partition.0).collect()
    }

    #[test]
    fn a_partition_is_usual_once_half_of_the_last_transactions_have_used_it() {
        assert!(expected_after(&[&[0], &[0], &[0]]).is_empty());
        assert_eq!(expected_after(&[&[0], &[0], &[0], &[0]]), [0]);
        assert_eq!(expected_after(&[&[0, 1], &[1], &[0, 1], &[1], &[0, 1], &[1], &[0, 1], &[2]]), [1]);
        assert_eq!(expected_after(&[&[0], &[1], &[0], &[1], &[0], &[1], &[0], &[0]]), [0]);
    }

    #[test]
    fn a_partition_that_is_used_no_more_is_forgotten() {
        let mut transactions: Vec<&[i32]> = vec![&[3]; 20];
        for unused in 0..12 {
            assert_eq!(expected_after(&transactions).contains(&3), unused < 4, "{unused}");
            transactions.push(&[]);
        }
    }
}
