//! Consecutive windows of one size.

use std::iter::{Once, once};
use std::time::Duration;

use kafka_wire::types::TimestampMs;

use super::{Windows, millis};
use crate::types::Window;

/// Windows of a fixed size that neither overlap nor leave a gap, aligned to 1970-01-01 UTC: each timestamp is in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tumbling {
    size_ms: i64,
    offset_ms: i64,
}

impl Tumbling {
    /// Windows of `size`, in whole milliseconds; `build()` refuses less than one.
    #[must_use]
    pub fn of(size: Duration) -> Self {
        Self { size_ms: millis(size), offset_ms: 0 }
    }

    /// Moves the starts of all windows by `offset`: days of a time zone two hours behind UTC, for example, by an offset
    /// of two hours. Only the remainder of the offset by the size counts.
    #[must_use]
    pub fn offset(self, offset: Duration) -> Self {
        Self { offset_ms: millis(offset).checked_rem(self.size_ms).unwrap_or(0), ..self }
    }

    #[inline]
    fn starting_at(self, start: i64) -> Window {
        Window { start, end: start.saturating_add(self.size_ms) }
    }
}

impl Windows for Tumbling {
    type Assigned = Once<Window>;

    #[inline]
    fn assign(&self, timestamp: TimestampMs) -> Once<Window> {
        // The remainder is Euclidean, so that the windows before 1970 are as wide as those after it; the subtraction
        // saturates, because any timestamp can occur.
        let into_window = timestamp.0.wrapping_sub(self.offset_ms).rem_euclid(self.size_ms);
        once(self.starting_at(timestamp.0.saturating_sub(into_window)))
    }

    fn is_valid(&self) -> bool {
        self.size_ms > 0
    }

    fn describe(&self) -> String {
        match self.offset_ms {
            0 => format!("tumbling {} ms", self.size_ms),
            offset => format!("tumbling {} ms, {offset} ms behind", self.size_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(size_ms: u64, timestamp: i64) -> (i64, i64) {
        let windows: Vec<_> = Tumbling::of(Duration::from_millis(size_ms)).assign(TimestampMs(timestamp)).collect();
        assert_eq!(windows.len(), 1);
        (windows[0].start, windows[0].end)
    }

    #[test]
    fn windows_are_aligned_to_the_epoch_on_both_sides_of_it() {
        assert_eq!(window(10, 0), (0, 10));
        assert_eq!(window(10, 9), (0, 10));
        assert_eq!(window(10, 10), (10, 20));
        assert_eq!(window(10, -1), (-10, 0));
        assert_eq!(window(10, -10), (-10, 0));
        assert_eq!(window(10, -11), (-20, -10));
    }

    #[test]
    fn an_offset_moves_the_windows() {
        let window = |offset: u64, at| {
            let windows = Tumbling::of(Duration::from_millis(10)).offset(Duration::from_millis(offset));
            windows.assign(TimestampMs(at)).next().map(|window| (window.start, window.end))
        };
        assert_eq!((window(3, 3), window(3, 2), window(13, 12)), (Some((3, 13)), Some((-7, 3)), Some((3, 13))));
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        assert_eq!(window(1_000, i64::MAX).1, i64::MAX);
        assert_eq!(window(1_000, i64::MIN).0, i64::MIN);
    }

    #[test]
    fn a_size_below_a_millisecond_is_not_valid() {
        assert!(!Tumbling::of(Duration::from_micros(999)).is_valid());
        assert!(Tumbling::of(Duration::from_millis(1)).is_valid());
    }

    proptest! {
        #[test]
        fn each_timestamp_lands_in_one_window_that_contains_it(size in 1_u64..1_000_000, at in -(1_i64 << 50)..(1 << 50)) {
            let tumbling = Tumbling::of(Duration::from_millis(size));
            let window = tumbling.assign(TimestampMs(at)).next().expect("one window");
            prop_assert!(window.contains(TimestampMs(at)));
            prop_assert_eq!(window, tumbling.starting_at(window.start));
            prop_assert_eq!(window.start.rem_euclid(size as i64), 0);
        }

        #[test]
        fn a_closed_window_stays_closed(size in 1_u64..10_000, at in any::<i32>(), mark in any::<i32>(), later in any::<u16>()) {
            let window = Tumbling::of(Duration::from_millis(size)).assign(TimestampMs(at.into())).next().expect("one window");
            let (mark, later) = (i64::from(mark), i64::from(mark) + i64::from(later));
            prop_assert!(!window.is_closed_at(TimestampMs(mark)) || window.is_closed_at(TimestampMs(later)));
            // The rule of lateness: a record that can still come at a watermark of `at` finds its window open.
            prop_assert!(!window.is_closed_at(TimestampMs(at.into())));
        }
    }
}
