//! Batches that later ones have overtaken: they are not acknowledged, and a batch behind them is.
//!
//! That happens when a leader is slow to answer, or its answer is lost:
//! ```text
//! A --> leader 1: appended and replicated, waits           then: does not lead any more
//!       leader 2:                          B C D E F       then: A again, which it does not recognise any more
//! ```
//! A leader that knows the producer takes a batch only behind the one before it. So a batch that is overtaken is in the
//! log. A broker recognises a repetition of the last five batches alone; for an older one it answers
//! OUT_OF_ORDER_SEQUENCE_NUMBER, which then acknowledges the batch, without an offset. Written again under another
//! stamp, it would be there twice.
//!
//! The exception is a leader that has forgotten the producer, and takes any sequence. It may have forgotten it if the
//! last acknowledgement was too long ago (`REMEMBERED`): then the overtaken batch is given up as possibly written. And
//! it certainly has if a later answer says that the batch was not written: then OUT_OF_ORDER_SEQUENCE_NUMBER is a gap
//! like any other.

use super::{Attempt, PartitionQueue, Written};
use crate::time::Moment;

/// The conclusion from the acknowledgement of a later batch for one that is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overtaken {
    /// The leader knew the producer, so the batch is in the log.
    InOrder,
    /// The leader may have forgotten the producer, and so have taken the later one without this one.
    InDoubt,
}

impl PartitionQueue {
    /// Notes of the batches before an acknowledged one that it has overtaken them. What the first such batch tells,
    /// later ones cannot change: the leader takes them behind that one.
    pub(super) fn overtake(&mut self, index: usize, now: Moment) {
        if !self.identity.is_some() {
            return;
        }
        let told = if now < self.remembered_until { Overtaken::InOrder } else { Overtaken::InDoubt };
        for earlier in self.batches.iter_mut().take(index) {
            if earlier.in_flight || earlier.written != Written::No {
                earlier.overtaken.get_or_insert(told);
            }
        }
    }

    /// Returns what is known of a batch that may be written, at the end of an attempt to send it.
    pub(super) fn overtaken(&mut self, index: usize, attempt: Attempt) -> Option<Overtaken> {
        let batch = &mut self.batches[index];
        if batch.written != Written::No {
            return batch.overtaken;
        }
        let is_missing = matches!(attempt, Attempt::Retry(..) | Attempt::TooLarge(_) | Attempt::Refused(_));
        if is_missing && batch.overtaken.take().is_some() {
            // The leader has taken later ones without it, and perhaps without others.
            for other in &mut self.batches {
                other.overtaken = other.overtaken.map(|_| Overtaken::InDoubt);
            }
        }
        None
    }
}
