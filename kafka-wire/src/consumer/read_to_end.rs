//! Reading of a partition once, to the end that it has at the start.

use crate::cluster::{OffsetSpec, TopicPartition};
use crate::types::Offset;

/// The reading of a partition from its first record to the end that it had at the start, for example to fill a table.
///
/// It tells which offsets to look up, from where to read, and when the end is reached. For a program that does nothing
/// else meanwhile, `client::read_to_end` does it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadToEnd {
    start: Offset,
    position: Offset,
    end: Offset,
}

impl ReadToEnd {
    /// The look-ups that tell the bounds of a partition: its first offset and its end. The isolation level of the
    /// request decides on the end; a reader of committed records reaches both, because its position moves over markers
    /// and aborted records too.
    #[must_use]
    pub fn queries(partition: &TopicPartition) -> [(TopicPartition, OffsetSpec); 2] {
        [OffsetSpec::Earliest, OffsetSpec::Latest].map(|spec| (partition.clone(), spec))
    }

    /// Reads between the bounds that the look-ups have found, in the order of [`queries`](Self::queries).
    #[must_use]
    pub fn between(found: &[Option<Offset>]) -> Self {
        let bound = |index: usize| found.get(index).copied().flatten().unwrap_or_default();
        Self::new(bound(0), bound(1))
    }

    /// Reads from `start` to `end`, exclusive. There is nothing to read if `end` is not behind `start`.
    #[must_use]
    pub const fn new(start: Offset, end: Offset) -> Self {
        Self { start, position: start, end }
    }

    /// The next offset to read.
    #[must_use]
    pub const fn position(&self) -> Offset {
        self.position
    }

    /// The same start with an earlier end. A later one changes nothing.
    #[must_use]
    pub fn up_to(self, end: Offset) -> Self {
        Self::new(self.start, end.min(self.end))
    }

    /// Whether this offset lies before the end.
    #[must_use]
    pub const fn has(&self, offset: Offset) -> bool {
        offset.0 < self.end.0
    }

    /// Whether the end is reached.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        !self.has(self.position)
    }

    /// Notes that the partition has been read up to `next`; it never goes back. Returns whether that reaches the end.
    pub fn advance(&mut self, next: Offset) -> bool {
        let was_done = self.is_done();
        self.position = self.position.max(next);
        !was_done && self.is_done()
    }

    /// The numbers of offsets that have been read, and of all.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        let distance = |to: Offset| u64::try_from(to.0.saturating_sub(self.start.0)).unwrap_or_default();
        (distance(self.position.min(self.end)), distance(self.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PartitionId;

    #[test]
    fn the_end_is_reached_once_whatever_lies_before_it() {
        let mut reading = ReadToEnd::between(&[Some(Offset(3)), Some(Offset(7))]);
        assert_eq!((reading.position(), reading.is_done(), reading.progress()), (Offset(3), false, (0, 4)));
        assert!(reading.has(Offset(6)) && !reading.has(Offset(7)));
        assert!(!reading.advance(Offset(5)) && !reading.advance(Offset(4)));
        assert_eq!((reading.position(), reading.progress()), (Offset(5), (2, 4)), "it does not go back");
        assert!(reading.advance(Offset(9)), "the log has grown");
        assert!(!reading.advance(Offset(10)) && reading.is_done());
        assert_eq!(reading.progress(), (4, 4));
    }

    #[test]
    fn there_is_nothing_to_read_in_an_empty_log() {
        for found in [&[][..], &[None, None], &[Some(Offset(5)), Some(Offset(5))], &[Some(Offset(5)), None]] {
            let mut reading = ReadToEnd::between(found);
            assert!(reading.is_done() && !reading.advance(Offset(8)), "{found:?}");
            assert_eq!(reading.progress().1, 0, "{found:?}");
        }
        let reading = ReadToEnd::between(&[Some(Offset(5)), Some(Offset(9))]);
        assert!(reading.up_to(Offset(5)).is_done() && reading.up_to(Offset(20)) == reading);
    }

    #[test]
    fn the_bounds_are_looked_up_in_their_order() {
        let partition = TopicPartition::new("t", PartitionId(1));
        let expected = [(partition.clone(), OffsetSpec::Earliest), (partition.clone(), OffsetSpec::Latest)];
        assert_eq!(ReadToEnd::queries(&partition), expected);
    }
}
