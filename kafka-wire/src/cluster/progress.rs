//! How far a partition is read, for a reader whose work may be undone.

/// The position of a reader in a partition, and the place that it goes back to when the work since then is undone:
/// where it was when the last transaction was committed, or where it began. `P` is a place in the log as the reader
/// keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress<P> {
    /// The next record to read, with the work on all records before it done.
    pub position: P,
    /// The position up to which the work stays.
    pub settled: P,
}

impl<P: Clone> Progress<P> {
    /// Begins at a place; nothing before it is this reader's work.
    #[must_use]
    pub fn new(start: P) -> Self {
        Self { settled: start.clone(), position: start }
    }

    /// Notes that the work so far is committed.
    pub fn settle(&mut self) {
        self.settled = self.position.clone();
    }

    /// Goes back after an abort. Returns the place to read from.
    pub fn rewind(&mut self) -> &P {
        self.position = self.settled.clone();
        &self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abort_leads_back_to_the_last_commit_and_before_the_first_one_to_the_start() {
        let mut progress = Progress::new(10);
        progress.position = 12;
        assert_eq!(*progress.rewind(), 10);
        progress.position = 14;
        progress.settle();
        progress.position = 18;
        assert_eq!(*progress.rewind(), 14);
        assert_eq!(progress, Progress::new(14));
    }
}
