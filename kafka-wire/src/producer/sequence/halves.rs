//! The replacement of a batch that is too large by two halves.

use super::{Batch, Contents, NO_SEQUENCE, PartitionQueue, Written};
use crate::producer::split;
use crate::record::{BatchBuilder, sequence_after};

impl PartitionQueue {
    /// Replaces a batch that was refused for its size by two halves, each with its share of the sequences, as Java's
    /// `ProducerBatch.split` does. Returns whether that was possible.
    pub(super) fn split(&mut self, index: usize) -> bool {
        let batch = &self.batches[index];
        let Contents::Sealed { bytes, base_sequence } = &batch.contents else { return false };
        if batch.written == Written::Perhaps || batch.overtaken.is_some() {
            return false;
        }
        // A batch of this producer can be read; if not, it is refused like one of a single record.
        let Ok(Some([first, second])) = split::split(bytes) else { return false };
        let has_sequence = *base_sequence != NO_SEQUENCE;
        let second_sequence =
            if has_sequence { sequence_after(*base_sequence, first.record_count()) } else { NO_SEQUENCE };
        // Together they count as much against the buffer as the whole batch did, whatever their sizes are now.
        let first_bytes = first.size_bytes().min(batch.buffered_bytes);
        let second_bytes = batch.buffered_bytes - first_bytes;
        let (base_sequence, deadline, last_code) = (*base_sequence, batch.deadline, batch.last_code);
        let number = batch.number;
        let promise = self.batches[index].promise.take();
        let (first_promise, second_promise) = match promise {
            Some(mut promise) => {
                let rest = promise.split_off(first.record_count());
                (Some(promise), Some(rest))
            }
            None => (None, None),
        };
        let mut part = |builder: BatchBuilder, base_sequence, buffered_bytes, promise| Batch {
            id: self.new_id(),
            record_count: builder.record_count(),
            buffered_bytes,
            contents: Contents::Open { builder, base_sequence: Some(base_sequence) },
            deadline,
            in_flight: false,
            was_next: false,
            written: Written::No,
            overtaken: None,
            last_code,
            number,
            promise,
        };
        let first = part(first, base_sequence, first_bytes, first_promise);
        let second = part(second, second_sequence, second_bytes, second_promise);
        self.batches[index] = first;
        self.batches.insert(index + 1, second);
        self.sent += 1;
        true
    }
}
