//! Windows by the time of day.

/// Windows of another kind, by the clock of the worker: a record is in the windows of the moment at which it is
/// processed, and a window closes when the clock has reached its end, even if no record comes.
///
/// A record that is processed again after a crash may fall into another window than before. Its earlier results were in
/// the transaction that failed, so none comes out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessingTime<W>(pub W);
