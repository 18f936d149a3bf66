//! Windows that records end and begin.

use std::time::Duration;

use super::millis;
use crate::types::Window;

/// Windows of the records of a key that lie near each other in time, as `SlidingWindows` of Kafka Streams (KIP-450).
/// One ends with each record and reaches back by the time difference, and one begins right behind each record, if it
/// has records. So there is a window for each set of records that are at most the difference apart, and none without
/// records, however fine the time.
///
/// Both records at the ends of the difference are in the window, whose end, which it does not contain, is a millisecond
/// behind the last one. A window that would begin before 1970 begins with it. A record is late if the windows that
/// contain it are all closed.
///
/// Values are kept by the times of records, and each record is added to one of them; a window is put together when it
/// comes out. With results at every update, a record brings out each open window that contains it, and that right
/// behind it. A trigger of one's own is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingByRecord {
    difference_ms: i64,
}

impl SlidingByRecord {
    /// Makes windows of records that are at most `difference` apart, in whole milliseconds.
    #[must_use]
    pub fn within(difference: Duration) -> Self {
        Self { difference_ms: millis(difference) }
    }

    /// Returns whether the size is valid.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.difference_ms < i64::MAX
    }

    /// Returns the text for `describe()`, which also tells state of other windows apart.
    #[must_use]
    pub fn describe(self) -> String {
        format!("records within {} ms", self.difference_ms)
    }

    /// Returns the length of the windows.
    #[must_use]
    pub const fn size_ms(self) -> i64 {
        self.difference_ms.saturating_add(1)
    }

    /// Returns the window that ends at `end`.
    #[must_use]
    pub const fn ending_at(self, end: i64) -> Window {
        Window { start: end.saturating_sub(self.size_ms()), end }
    }

    /// Returns the end of the window that a record at `at` ends.
    #[must_use]
    pub const fn end_with(self, at: i64) -> i64 {
        match at {
            0.. if at < self.difference_ms => self.size_ms(),
            _ => at.saturating_add(1),
        }
    }

    /// Returns the end of the window that begins right behind a record at `at`.
    #[must_use]
    pub const fn end_behind(self, at: i64) -> i64 {
        at.saturating_add(1).saturating_add(self.size_ms())
    }

    /// Returns the end of the last window that can contain a record at `at`.
    #[must_use]
    pub const fn last_end(self, at: i64) -> i64 {
        at.saturating_add(self.size_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_ends_one_window_and_another_begins_behind_it() {
        let windows = SlidingByRecord::within(Duration::from_millis(10));
        let window = |start, end| Window { start, end };
        assert_eq!(windows.ending_at(windows.end_with(25)), window(15, 26));
        assert_eq!(windows.ending_at(windows.end_behind(25)), window(26, 37));
        assert_eq!(windows.ending_at(windows.last_end(25)), window(25, 36));
        assert_eq!(windows.ending_at(windows.end_with(10)), window(0, 11));
        assert_eq!(windows.ending_at(windows.end_with(3)), window(0, 11), "it would begin before 1970");
        assert_eq!(windows.ending_at(windows.end_with(-1)), window(-11, 0));
        assert!(windows.is_valid() && !SlidingByRecord::within(Duration::MAX).is_valid());
    }
}
