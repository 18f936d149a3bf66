//! Assignments of a member, one after the other: the partitions that go, that come, and that stay.

use super::Exchange;
use crate::cluster::TopicPartition;

/// The assignments of a member: tells of each how it differs from what the member has.
///
/// A partition that a member has and is given again stays, and the work on it goes on. That is right only if nobody
/// else can have had it in between. Cooperative members and those of the consumer protocol have a partition until
/// they give it up themselves. A member of an eager group has given everything up when it joins again. If it has kept
/// its work all the same, the work is still good if the new assignment follows directly on the last one: then the
/// partition has had no other owner. If the member has missed a generation, somebody else may have had any of them.
#[derive(Debug)]
pub struct Succession {
    exchange: Exchange,
    /// The generation of the last assignment.
    generation: Option<i32>,
}

/// The difference between an assignment and the partitions that a member has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reassignment {
    /// Partitions that the member has and does not keep, sorted. After a missed generation they may be assigned, too.
    pub removed: Vec<TopicPartition>,
    /// Assigned partitions that the member has to take up, sorted.
    pub added: Vec<TopicPartition>,
}

impl Succession {
    /// A member without an assignment.
    #[must_use]
    pub const fn new(exchange: Exchange) -> Self {
        Self { exchange, generation: None }
    }

    /// Takes the next assignment, for a member that `has` these partitions.
    pub fn follow<'p>(
        &mut self,
        generation: i32,
        assigned: &[TopicPartition],
        has: impl IntoIterator<Item = &'p TopicPartition>,
    ) -> Reassignment {
        let last = self.generation.replace(generation);
        let has_missed_one = last.is_some_and(|last| generation > last.saturating_add(1));
        let keeps = self.exchange != Exchange::Eager || !has_missed_one;
        let (mut has, mut assigned): (Vec<_>, Vec<_>) = (has.into_iter().collect(), assigned.iter().collect());
        has.sort_unstable();
        assigned.sort_unstable();
        let without = |all: &[&TopicPartition], kept: &[&TopicPartition]| {
            let goes = |partition: &&&TopicPartition| !keeps || kept.binary_search(*partition).is_err();
            all.iter().filter(goes).map(|partition| (*partition).clone()).collect()
        };
        Reassignment { removed: without(&has, &assigned), added: without(&assigned, &has) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PartitionId;

    fn partitions(indexes: &[i32]) -> Vec<TopicPartition> {
        indexes.iter().map(|index| TopicPartition::new("t", PartitionId(*index))).collect()
    }

    /// Follows two assignments of 0, 1, 2 and 1, 2, 3, the second one in this generation after one in generation 5.
    #[track_caller]
    fn check(exchange: Exchange, generation: i32, removed: &[i32], added: &[i32]) {
        let mut succession = Succession::new(exchange);
        let first = succession.follow(5, &partitions(&[0, 1, 2]), &[]);
        assert_eq!(first, Reassignment { removed: Vec::new(), added: partitions(&[0, 1, 2]) });
        let second = succession.follow(generation, &partitions(&[1, 2, 3]), &partitions(&[2, 1, 0]));
        assert_eq!(second, Reassignment { removed: partitions(removed), added: partitions(added) });
    }

    #[test]
    fn a_partition_that_is_given_again_stays() {
        for exchange in [Exchange::Eager, Exchange::Cooperative, Exchange::Acknowledged] {
            check(exchange, 6, &[0], &[3]);
            check(exchange, 5, &[0], &[3]);
        }
    }

    #[test]
    fn nothing_stays_with_an_eager_member_that_has_missed_a_generation() {
        check(Exchange::Eager, 7, &[0, 1, 2], &[1, 2, 3]);
    }

    #[test]
    fn other_members_have_a_partition_until_they_give_it_up() {
        check(Exchange::Cooperative, 7, &[0], &[3]);
        check(Exchange::Acknowledged, 70, &[0], &[3]);
    }
}
