//! Windows of a number of records.

/// Windows of a key that end after a number of its records, whatever their times.
///
/// A result comes out when a window is full, and the next record begins a new one; with [`Count::accumulating`] the
/// same window goes on, as a global window with a count trigger does. The window of a result spans the times of its
/// records. Windows that are not full wait for ever; a bounded run leaves them for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub(crate) size: u64,
    pub(crate) purges: bool,
}

impl Count {
    /// Windows of `size` records; `build()` refuses none.
    #[must_use]
    pub const fn of(size: u64) -> Self {
        Self { size, purges: true }
    }

    /// A result at every `records` records of the key, over the last ones of them: `size` records, or as many as there
    /// are so far, as in Flink's `countWindow(size, slide)`. `build()` refuses none, and windows that never begin anew.
    #[must_use]
    pub const fn every(self, records: u64) -> SlidingCount {
        SlidingCount { size: if self.purges { self.size } else { 0 }, slide: records }
    }

    /// Never begins anew: a result covers all records of the key so far.
    #[must_use]
    pub const fn accumulating(self) -> Self {
        Self { purges: false, ..self }
    }
}

/// Windows of the last records of a key, whatever their times: a result at every so many records, see [`Count::every`].
/// The window of a result spans the times of its records.
///
/// Values are kept by panes, the largest numbers of records that no window cuts (the greatest common divisor of the two
/// numbers): a record is added to one pane, and a window is put together from `size / pane` of them when it comes out.
/// So an aggregation needs a `merge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingCount {
    size: u64,
    slide: u64,
}

impl SlidingCount {
    /// Whether the numbers are valid.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.size > 0 && self.slide > 0
    }

    /// Returns the text for `describe()`, which also tells state of other windows apart.
    #[must_use]
    pub fn describe(self) -> String {
        format!("last {} at each count of {}", self.size, self.slide)
    }

    /// Returns the number of records in a pane.
    #[must_use]
    pub const fn pane_records(self) -> u64 {
        let (mut one, mut other) = (self.size, self.slide);
        while other != 0 {
            (one, other) = (other, one % other);
        }
        one
    }

    /// Returns whether a pane with so many records is the last of a window, and full.
    #[must_use]
    pub const fn completes(self, pane: i64, records: u64) -> bool {
        records == self.pane_records() && (pane + 1) % self.slide_panes() == 0
    }

    /// Returns the first pane of the window that comes out next while `pane` is the last one.
    #[must_use]
    pub const fn first_pane(self, pane: i64) -> i64 {
        let end = (pane / self.slide_panes() + 1).saturating_mul(self.slide_panes());
        end.saturating_sub(self.panes_of(self.size))
    }

    const fn slide_panes(self) -> i64 {
        self.panes_of(self.slide)
    }

    const fn panes_of(self, records: u64) -> i64 {
        let panes = records / self.pane_records();
        if panes > i64::MAX as u64 { i64::MAX } else { panes as i64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_the_last_panes() {
        let windows = Count::of(6).every(4);
        assert_eq!(windows.pane_records(), 2);
        let completed: Vec<_> = (0..8).filter(|pane| windows.completes(*pane, 2)).collect();
        assert_eq!(completed, [1, 3, 5, 7], "after 4, 8, 12 and 16 records");
        assert_eq!([1, 2, 3, 4, 5].map(|pane| windows.first_pane(pane)), [-1, 1, 1, 3, 3]);
        assert!(!windows.completes(1, 1) && !windows.completes(2, 2));
        // With a gap between windows, some panes are in none.
        let apart = Count::of(1).every(3);
        assert_eq!([0, 1, 2, 3].map(|pane| apart.first_pane(pane)), [2, 2, 2, 5]);
        assert!(!Count::of(0).every(1).is_valid() && !Count::of(1).every(0).is_valid());
        assert!(!Count::of(3).accumulating().every(1).is_valid() && apart.is_valid());
    }
}
