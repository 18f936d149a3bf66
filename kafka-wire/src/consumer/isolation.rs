//! The batches that a `read_committed` reader may see.
//!
//! A fetch response lists the aborted transactions that overlap it: a producer and the first offset that it wrote.
//! Going through the batches in order, a transaction becomes active when the batches reach its first offset;
//! transactional batches of an active producer are dropped, until that producer's ABORT marker. Batches outside
//! of transactions pass, also those of the same producer. Each response lists its transactions anew, including those
//! that began before it, so the state is per response.
//!
//! Source: KIP-98; the broker bounds the response by the last stable offset, so no open transaction is in it.

use crate::compression::Decompressed;
use crate::record::{Batch, BatchHeader, ControlRecord, RecordError};
use crate::types::ProducerId;

/// The aborted transactions of one response.
#[derive(Debug)]
pub(super) struct AbortedTransactions {
    /// Transactions that have not been reached, the one with the lowest first offset last.
    waiting: Vec<(i64, ProducerId)>,
    /// Producers whose transaction was reached and whose marker was not. There are few at a time, so this is a list.
    active: Vec<ProducerId>,
}

impl AbortedTransactions {
    /// Takes producers and the first offsets of their transactions, in any order.
    pub(super) fn new(aborted: impl IntoIterator<Item = (ProducerId, i64)>) -> Self {
        let mut waiting: Vec<(i64, ProducerId)> =
            aborted.into_iter().map(|(producer, first_offset)| (first_offset, producer)).collect();
        // Redpanda does not sort them.
        waiting.sort_unstable_by(|a, b| b.cmp(a));
        Self { waiting, active: Vec::new() }
    }

    /// Whether the batch has records of an aborted transaction. Call it with the batches in order, and
    /// [`handle_marker`](Self::handle_marker) with control batches.
    pub(super) fn is_aborted(&mut self, header: &BatchHeader) -> bool {
        self.activate(header.base_offset);
        header.is_transactional() && self.active.contains(&header.producer_id)
    }

    /// Notes the end of a transaction.
    ///
    /// # Errors
    /// If the marker is corrupt; it is then unknown whether its transaction goes on.
    pub(super) fn handle_marker(&mut self, batch: &Batch) -> Result<(), RecordError> {
        self.activate(batch.header.base_offset);
        if !self.active.contains(&batch.header.producer_id) {
            return Ok(());
        }
        let mut buffer = Decompressed::new(MARKER_BYTES);
        for record in batch.open(&mut buffer)? {
            // Only an ABORT ends an aborted range. A COMMIT of an active producer is impossible, and other types
            // are not for clients.
            if let ControlRecord::Abort { .. } = ControlRecord::decode(&record?)? {
                self.active.retain(|&producer| producer != batch.header.producer_id);
            }
        }
        Ok(())
    }

    fn activate(&mut self, base_offset: i64) {
        while let Some(&(first_offset, producer)) = self.waiting.last()
            && first_offset <= base_offset
        {
            self.waiting.pop();
            if !self.active.contains(&producer) {
                self.active.push(producer);
            }
        }
    }
}

/// Far more than the size of a marker, which brokers do not compress.
const MARKER_BYTES: usize = 1024;
