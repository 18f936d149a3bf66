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

    /// Never begins anew: a result covers all records of the key so far.
    #[must_use]
    pub const fn accumulating(self) -> Self {
        Self { purges: false, ..self }
    }
}
