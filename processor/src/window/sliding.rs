//! Windows of one size that overlap.

use std::time::Duration;

use kafka_wire::types::TimestampMs;

use super::{Windows, millis};
use crate::types::Window;

/// Windows of a fixed size, of which a new one begins at fixed distances, aligned to 1970-01-01 UTC (hopping windows,
/// in the words of other systems). Each timestamp is in `size / every` of them, rounded up or down.
///
/// Values are kept by panes, the largest spans that no window cuts, and each record is added to one pane:
/// the cost of a record does not grow with the overlap of the windows. With a
/// [`Trigger`](crate::operator::Trigger) each window has a value of its own instead ([`SlidingApart`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sliding {
    size_ms: i64,
    every_ms: i64,
    offset_ms: i64,
    /// The length of a pane, kept because each record needs it.
    pane_ms: i64,
}

impl Sliding {
    /// Makes windows of `size`, in whole milliseconds, that follow each other without overlap until [`Sliding::every`]
    /// is set.
    #[must_use]
    pub fn of(size: Duration) -> Self {
        Self { size_ms: millis(size), every_ms: millis(size), offset_ms: 0, pane_ms: millis(size) }
    }

    /// Sets the distance of the starts of windows, in whole milliseconds; `build()` refuses less than one,
    /// and more than the size.
    #[must_use]
    pub fn every(self, every: Duration) -> Self {
        let every_ms = millis(every);
        Self { every_ms, pane_ms: greatest_common_divisor(self.size_ms, every_ms), ..self }
    }

    /// Moves the starts of all windows by `offset`.
    #[must_use]
    pub fn offset(self, offset: Duration) -> Self {
        Self { offset_ms: millis(offset), ..self }
    }

    /// Returns whether the sizes are valid.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.every_ms > 0 && self.every_ms <= self.size_ms
    }

    /// Returns the text for `describe()`, which also tells state of other windows apart.
    #[must_use]
    pub fn describe(self) -> String {
        match self.offset_ms {
            0 => format!("sliding {} ms every {} ms", self.size_ms, self.every_ms),
            offset => format!("sliding {} ms every {} ms, {offset} ms behind", self.size_ms, self.every_ms),
        }
    }

    /// Returns the start of the pane of a timestamp.
    #[must_use]
    pub fn pane(self, timestamp: TimestampMs) -> i64 {
        floor(timestamp.0, self.pane_ms, self.offset_ms)
    }

    /// Returns the window that ends at `end`.
    #[must_use]
    pub const fn ending_at(self, end: i64) -> Window {
        Window { start: end.saturating_sub(self.size_ms), end }
    }

    /// Returns the end of the first window that contains the pane starting at `pane`.
    #[must_use]
    pub fn first_end(self, pane: i64) -> i64 {
        let before = floor(pane.saturating_sub(self.size_ms), self.every_ms, self.offset_ms);
        before.saturating_add(self.every_ms).saturating_add(self.size_ms)
    }

    /// Returns the end of the last window that contains the pane starting at `pane`.
    #[must_use]
    pub fn last_end(self, pane: i64) -> i64 {
        floor(pane, self.every_ms, self.offset_ms).saturating_add(self.size_ms)
    }

    /// Returns the end of the first window that ends after `time`.
    #[must_use]
    pub fn end_after(self, time: TimestampMs) -> i64 {
        let before = floor(time.0.saturating_sub(self.size_ms), self.every_ms, self.offset_ms);
        before.saturating_add(self.every_ms).saturating_add(self.size_ms)
    }

    /// Returns the end of the first window that contains one of the panes, which are in order of time, and that ends at
    /// `end` or later; `end` must be the end of a window.
    #[must_use]
    pub fn first_end_with(self, mut panes: impl Iterator<Item = i64>, end: i64) -> Option<i64> {
        let start = end.saturating_sub(self.size_ms);
        panes.find(|pane| *pane >= start).map(|pane| if pane < end { end } else { self.first_end(pane) })
    }

    /// Returns the end of the window after the one that ends at `end`.
    #[must_use]
    pub const fn next_end(self, end: i64) -> i64 {
        end.saturating_add(self.every_ms)
    }

    /// Returns the windows of a timestamp, earliest first.
    #[must_use]
    pub fn windows(self, timestamp: TimestampMs) -> Overlapping {
        let pane = self.pane(timestamp);
        Overlapping { windows: self, next: Some(self.first_end(pane)), last: self.last_end(pane) }
    }

    /// Returns the start of the first window after the one that ends at `end`: earlier timestamps are in no later
    /// window.
    #[must_use]
    pub const fn next_start(self, end: i64) -> i64 {
        end.saturating_sub(self.size_ms).saturating_add(self.every_ms)
    }
}

/// The windows of a timestamp that overlap, earliest first.
#[derive(Clone, Debug)]
pub struct Overlapping {
    windows: Sliding,
    /// End of the next one.
    next: Option<i64>,
    /// End of the last one.
    last: i64,
}

impl Iterator for Overlapping {
    type Item = Window;

    fn next(&mut self) -> Option<Window> {
        let end = self.next.filter(|end| *end <= self.last)?;
        self.next = end.checked_add(self.windows.every_ms);
        Some(self.windows.ending_at(end))
    }
}

/// The same windows with a value of its own for each, which a trigger can put out and begin anew while the windows
/// beside it go on: a record is added to all of its windows, so its cost grows with their overlap.
#[derive(Clone, Copy, Debug)]
pub struct SlidingApart(pub(crate) Sliding);

impl Windows for SlidingApart {
    type Assigned = Overlapping;

    fn assign(&self, timestamp: TimestampMs) -> Overlapping {
        self.0.windows(timestamp)
    }

    fn is_valid(&self) -> bool {
        self.0.is_valid()
    }

    fn describe(&self) -> String {
        format!("{}, each with its own value", self.0.describe())
    }
}

/// Returns the greatest `offset + n * step` that is not after `time`.
fn floor(time: i64, step: i64, offset: i64) -> i64 {
    time.saturating_sub(time.wrapping_sub(offset).rem_euclid(step))
}

fn greatest_common_divisor(one: i64, other: i64) -> i64 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sliding(size: u64, every: u64, offset: u64) -> Sliding {
        let [size, every, offset] = [size, every, offset].map(Duration::from_millis);
        Sliding::of(size).every(every).offset(offset)
    }

    #[test]
    fn windows_are_aligned_and_overlap() {
        let starts = |windows: Sliding, at| {
            windows.windows(TimestampMs(at)).map(|window| (window.start, window.end)).collect::<Vec<_>>()
        };
        assert_eq!(starts(sliding(10, 5, 0), 7), [(0, 10), (5, 15)]);
        assert_eq!(starts(sliding(10, 5, 0), -1), [(-10, 0), (-5, 5)]);
        assert_eq!(starts(sliding(10, 4, 0), 8), [(0, 10), (4, 14), (8, 18)]);
        assert_eq!(starts(sliding(10, 4, 0), 11), [(4, 14), (8, 18)]);
        assert_eq!(starts(sliding(10, 5, 2), 7), [(2, 12), (7, 17)]);
        assert!(!sliding(5, 6, 0).is_valid() && !sliding(5, 0, 0).is_valid() && sliding(5, 5, 0).is_valid());
    }

    proptest! {
        #[test]
        fn the_first_window_with_a_pane_is_the_first_of_all_their_windows(
            size in 1_u64..50, every in 1_u64..50, offset in 0_u64..50,
            mut times in prop::collection::vec(-200_i64..200, 0..4), after in -200_i64..200,
        ) {
            prop_assume!(every <= size);
            let windows = sliding(size, every, offset);
            times.sort_unstable();
            let end = windows.end_after(TimestampMs(after));
            let ends = times.iter().flat_map(|at| windows.windows(TimestampMs(*at))).map(|window| window.end);
            let panes = times.iter().map(|at| windows.pane(TimestampMs(*at)));
            prop_assert_eq!(windows.first_end_with(panes, end), ends.filter(|found| *found >= end).min());
        }

        #[test]
        fn the_windows_of_a_timestamp_are_those_that_contain_it(
            size in 1_u64..100, every in 1_u64..100, offset in 0_u64..100, at in -1_000_i64..1_000,
        ) {
            prop_assume!(every <= size);
            let windows = sliding(size, every, offset);
            let found: Vec<_> = windows.windows(TimestampMs(at)).collect();
            let starts = (at - size as i64 + 1..=at).filter(|start| (start - offset as i64).rem_euclid(every as i64) == 0);
            let expected: Vec<_> = starts.map(|start| Window { start, end: start + size as i64 }).collect();
            prop_assert_eq!(&found, &expected);
            // A pane is in the same windows as each of its timestamps.
            let of_pane: Vec<_> = windows.windows(TimestampMs(windows.pane(TimestampMs(at)))).collect();
            prop_assert_eq!(found, of_pane);
            let after = windows.end_after(TimestampMs(at));
            prop_assert!(after > at && after - (every as i64) <= at);
            prop_assert_eq!((windows.ending_at(after).start - offset as i64).rem_euclid(every as i64), 0);
            prop_assert_eq!(windows.next_end(after), windows.end_after(TimestampMs(after)));
        }
    }
}
