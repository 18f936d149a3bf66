//! Records without a key: all go to one partition until a batch's worth of bytes has gone there, then
//! to another (KIP-794).
//!
//! So batches are full although there are many partitions, and over time each partition gets the same number of bytes.
//! The next one is drawn: with equal chances, or with chances that shrink with the partition's waiting batches,
//! so that a slow broker gets less. A change waits for the end of a batch, unless twice the bytes have gone there.
//!
//! Source: `BuiltInPartitioner` of Kafka 4.3.

use crate::rng::Rng;
use crate::types::PartitionId;

/// The present partition for the records of one topic.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sticky {
    current: Option<PartitionId>,
    produced_bytes: usize,
}

/// The facts about one partition when the next one is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Number of its batches that wait for an acknowledgement.
    pub batches: u32,
    /// Whether it is known to have a leader.
    pub is_available: bool,
}

impl Sticky {
    /// The partition for the next record; `None` if one has to be drawn. `continues`: its open batch has
    /// room for the record.
    #[inline]
    pub(super) fn current(
        &self,
        batch_size_bytes: usize,
        continues: impl FnOnce(PartitionId) -> bool,
    ) -> Option<PartitionId> {
        let current = self.current?;
        let is_due = self.produced_bytes >= batch_size_bytes
            && (self.produced_bytes >= batch_size_bytes.saturating_mul(2) || !continues(current));
        (!is_due).then_some(current)
    }

    /// Notes that this many bytes have gone to the present partition.
    #[inline]
    pub(super) fn produced(&mut self, bytes: usize) {
        self.produced_bytes += bytes;
    }

    /// Changes to another partition, or stays if the same one was drawn.
    pub(super) fn change(&mut self, next: PartitionId) {
        (self.current, self.produced_bytes) = (Some(next), 0);
    }
}

/// Draws one of the partitions `0..queues.len()`: an available one if there is any. `adaptive`:
/// the fewer batches wait, the likelier.
pub(super) fn draw(queues: impl ExactSizeIterator<Item = Queue> + Clone, adaptive: bool, rng: &mut Rng) -> PartitionId {
    let any_available = queues.clone().any(|queue| queue.is_available);
    let takes_part = |queue: &Queue| queue.is_available || !any_available;
    let longest = queues.clone().filter(takes_part).map(|queue| queue.batches).max().unwrap_or(0);
    let chances = queues.map(|queue| match (takes_part(&queue), adaptive) {
        (false, _) => 0,
        (true, true) => u64::from(longest - queue.batches) + 1,
        (true, false) => 1,
    });
    let mut drawn = rng.below(chances.clone().sum());
    for (index, chance) in (0..).zip(chances) {
        match drawn.checked_sub(chance) {
            Some(rest) => drawn = rest,
            None => return PartitionId(index),
        }
    }
    PartitionId(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: u32 = 60_000;

    /// The share of each partition among the draws, in percent.
    fn shares(queues: &[(u32, bool)], adaptive: bool) -> Vec<u32> {
        let mut rng = Rng::from_seed(11);
        let mut counts = vec![0; queues.len()];
        for _ in 0..DRAWS {
            let queues =
                queues.iter().map(|(batches, is_available)| Queue { batches: *batches, is_available: *is_available });
            counts[usize::try_from(draw(queues, adaptive, &mut rng).0).unwrap()] += 1;
        }
        counts.into_iter().map(|count: u32| (count * 100 + DRAWS / 2) / DRAWS).collect()
    }

    /// Compares within one percent.
    fn assert_shares(queues: &[(u32, bool)], adaptive: bool, expected: &[u32]) {
        let shares = shares(queues, adaptive);
        let is_near = |(share, expected): (&u32, &u32)| share.abs_diff(*expected) <= 1;
        assert!(shares.iter().zip(expected).all(is_near), "{shares:?}, not {expected:?}");
    }

    #[test]
    fn chances_shrink_with_what_waits() {
        // Java's table for queues of 0, 3 and 2: 4, 1 and 2 of 7.
        assert_shares(&[(0, true), (3, true), (2, true)], true, &[57, 14, 29]);
        assert_shares(&[(5, true), (5, true)], true, &[50, 50]);
        assert_shares(&[(0, true), (3, true), (2, true), (9, true)], false, &[25, 25, 25, 25]);
    }

    #[test]
    fn partitions_without_a_leader_are_left_out_unless_none_has_one() {
        assert_shares(&[(0, false), (1, true), (1, true)], true, &[0, 50, 50]);
        assert_shares(&[(0, false), (0, false)], true, &[50, 50]);
        assert_eq!(draw([].into_iter(), true, &mut Rng::from_seed(1)), PartitionId(0));
    }

    #[test]
    fn a_partition_changes_at_the_end_of_a_batch_and_never_after_twice_its_bytes() {
        let mut sticky = Sticky::default();
        assert_eq!(sticky.current(1_000, |_| true), None, "none is chosen yet");
        sticky.change(PartitionId(4));
        sticky.produced(999);
        assert_eq!(sticky.current(1_000, |_| false), Some(PartitionId(4)));
        sticky.produced(1);
        assert_eq!(sticky.current(1_000, |_| true), Some(PartitionId(4)), "its batch is not full");
        assert_eq!(sticky.current(1_000, |_| false), None);
        sticky.produced(1_000);
        assert_eq!(sticky.current(1_000, |_| true), None);
    }
}
