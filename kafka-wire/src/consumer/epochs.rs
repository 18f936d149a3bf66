//! The leader epochs of the records that a reader has received. They tell where a leader's log parts from the one that
//! was read: after an unclean election, records that were read may be gone, and others stand at their offsets
//! (KIP-320).

use crate::types::LeaderEpoch;

/// For each epoch the first offset that is known to be of it, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EpochHistory {
    starts: Vec<(LeaderEpoch, i64)>,
}

impl EpochHistory {
    /// The history of a reader that knows only the epoch of the record before `offset`; -1 for none.
    pub(super) fn before(offset: i64, epoch: LeaderEpoch) -> Self {
        let mut history = Self::default();
        history.note(offset.saturating_sub(1), epoch);
        history
    }

    /// The epoch of the last record; -1 if it is unknown.
    pub(super) fn last(&self) -> LeaderEpoch {
        self.starts.last().map_or(UNKNOWN, |&(epoch, _)| epoch)
    }

    /// Notes a batch. Batches of the old formats have no epoch: behind one, nothing is known.
    pub(super) fn note(&mut self, base_offset: i64, epoch: LeaderEpoch) {
        if epoch == self.last() {
            return;
        }
        // Epochs only rise in one history of a log.
        if epoch < self.last() {
            self.starts.clear();
        }
        if epoch > UNKNOWN {
            if self.starts.len() == EPOCHS_MAX {
                self.starts.remove(0);
            }
            self.starts.push((epoch, base_offset));
        }
    }

    /// The first offset at which a leader's log may have another record than the one that was read. The leader has said
    /// that `epoch` is its largest one that is not above [`last`](Self::last), and that it ends at `end_offset`.
    ///
    /// Of the epochs above it, no record is in the leader's log.
    pub(super) fn parting(&self, epoch: LeaderEpoch, end_offset: i64) -> i64 {
        let above = self.starts.iter().find(|(known, _)| *known > epoch);
        above.map_or(end_offset, |&(_, start)| start.min(end_offset))
    }

    /// Forgets the batches from `offset` on, which are to be fetched again.
    pub(super) fn forget_from(&mut self, offset: i64) {
        self.starts.retain(|&(_, start)| start < offset);
    }

    /// Forgets all records from `offset` on. The leader has said that its record before that is of `epoch` or below.
    pub(super) fn cut(&mut self, offset: i64, epoch: LeaderEpoch) {
        self.starts.retain(|&(known, start)| known <= epoch && start < offset);
        if self.starts.is_empty() {
            *self = Self::before(offset, epoch);
        }
    }
}

const UNKNOWN: LeaderEpoch = LeaderEpoch(-1);
/// Most epochs of one partition; of more, the oldest are forgotten, and a parting before the rest is found at its
/// start.
const EPOCHS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets 0-4 of epoch 1, 5-9 of epoch 3, 10 and so on of epoch 4.
    fn read() -> EpochHistory {
        let mut history = EpochHistory::default();
        for (offset, epoch) in [(0, 1), (2, 1), (5, 3), (10, 4), (12, 4)] {
            history.note(offset, LeaderEpoch(epoch));
        }
        history
    }

    #[test]
    fn a_log_parts_at_the_end_of_the_last_common_epoch() {
        let check = |epoch, end_offset, expected| {
            assert_eq!(read().parting(LeaderEpoch(epoch), end_offset), expected, "{epoch} {end_offset}");
        };
        check(4, 12, 12);
        check(4, 90, 90);
        check(3, 8, 8);
        // The leader has more of epoch 3 than was read of it.
        check(3, 12, 10);
        check(2, 7, 5);
        check(0, 0, 0);
    }

    #[test]
    fn a_history_that_was_cut_goes_on_from_there() {
        let mut history = read();
        history.cut(8, LeaderEpoch(3));
        assert_eq!(history.starts, [(LeaderEpoch(1), 0), (LeaderEpoch(3), 5)]);
        history.note(8, LeaderEpoch(6));
        assert_eq!(history.parting(LeaderEpoch(5), 20), 8);
        history.cut(0, LeaderEpoch(0));
        assert_eq!(history.last(), LeaderEpoch(0), "as the leader says");
    }

    #[test]
    fn a_committed_epoch_is_that_of_the_record_before_the_offset() {
        let history = EpochHistory::before(100, LeaderEpoch(5));
        assert_eq!(history.last(), LeaderEpoch(5));
        assert_eq!(history.parting(LeaderEpoch(3), 150), 99, "that record at least is another one");
        assert_eq!(EpochHistory::before(100, LeaderEpoch(-1)), EpochHistory::default());
    }

    #[test]
    fn records_without_an_epoch_end_what_is_known() {
        let mut history = read();
        history.note(20, LeaderEpoch(-1));
        assert_eq!(history, EpochHistory::default());
    }

    #[test]
    fn the_oldest_epochs_are_forgotten() {
        let mut history = EpochHistory::default();
        (0..40).for_each(|epoch| history.note(i64::from(epoch), LeaderEpoch(epoch)));
        assert_eq!((history.starts.len(), history.last()), (EPOCHS_MAX, LeaderEpoch(39)));
        assert_eq!(history.parting(LeaderEpoch(0), 1), 1);
    }
}
