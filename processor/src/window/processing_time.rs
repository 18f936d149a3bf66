//! Windows by the time of day.

/// Windows of another kind, by the clock of the worker: a record is in the windows of the moment at which it is processed, and a
/// window closes when the clock has reached its end, with records or without.
///
/// A record that is processed again after a crash may be in another window than before. Its results were in the transaction that
/// failed, so none comes out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessingTime<W>(pub W);
