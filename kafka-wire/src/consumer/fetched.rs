//! The result of a poll: batches of one partition, still in the frame that they arrived in.

use std::sync::{Arc, OnceLock};

use super::ConsumeError;
use super::isolation::AbortedTransactions;
use crate::cluster::TopicPartition;
use crate::compression::{CompressionError, Decompressed};
use crate::record::{Batch, Batches, RecordError, RecordErrorCause, Records};
use crate::types::{LeaderEpoch, Offset};

/// Reports to a partition's fetcher that a delivered batch could not be read, so that it does not fetch beyond it.
pub(super) type Failure = Arc<OnceLock<ConsumeError>>;

/// Consecutive batches of one partition, as one fetch brought them.
///
/// It shares the memory of the frame, and so keeps all of it: drop it when done. Read it to the end:
/// batches that are unread when it is dropped are not delivered again, unless the partition is sought.
#[derive(Debug)]
pub struct Fetched {
    pub(super) partition: TopicPartition,
    pub(super) high_watermark: Offset,
    pub(super) last_stable_offset: Offset,
    pub(super) batches: Batches,
    pub(super) size_bytes: usize,
    /// The aborted transactions; `None` with `read_uncommitted`.
    pub(super) aborted: Option<AbortedTransactions>,
    /// The position to go on at; it moves with each batch.
    pub(super) position: i64,
    pub(super) end_offset: i64,
    /// The leader epoch of the batch before the position; it moves with each batch.
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) aborted_batch_count: u64,
    pub(super) failure: Failure,
}

/// One batch that the reader may see.
#[derive(Clone, Debug)]
pub struct FetchedBatch {
    /// The batch, shared with the frame.
    pub batch: Batch,
    /// The first offset to deliver. A batch may begin before it: its records below this offset were delivered before,
    /// or were not asked for.
    pub position: Offset,
    partition: TopicPartition,
    failure: Failure,
}

impl Fetched {
    /// The partition that the batches are of.
    #[must_use]
    pub const fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Offset after the last record that is replicated (exclusive), at the time of the fetch.
    #[must_use]
    pub const fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Offset after the last record that a `read_committed` reader may see (exclusive), at the time of the fetch.
    #[must_use]
    pub const fn last_stable_offset(&self) -> Offset {
        self.last_stable_offset
    }

    /// Bytes received for the partition, aborted and control batches included.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Number of batches of aborted transactions that were left out so far.
    #[must_use]
    pub const fn aborted_batch_count(&self) -> u64 {
        self.aborted_batch_count
    }

    /// Delivers nothing below `offset` any more.
    pub(super) fn skip_to(&mut self, offset: Offset) {
        if self.position < offset.0 {
            self.position = offset.0;
            // That of the batch before is not known.
            self.leader_epoch = LeaderEpoch(-1);
        }
    }

    /// The next batch to read; `None` after the last. Control batches are skipped, and with `read_committed` also
    /// the batches of aborted transactions.
    ///
    /// # Errors
    /// [`ConsumeError::Corrupt`] if the batch's header or a transaction marker is damaged, and again on every further
    /// call. The checksum of the records is checked by [`FetchedBatch::open`].
    pub fn next_batch(&mut self) -> Option<Result<FetchedBatch, ConsumeError>> {
        if let Some(error) = self.failure.get() {
            return Some(Err(error.clone()));
        }
        loop {
            let batch = match self.batches.next()? {
                Ok(batch) => batch,
                Err(cause) => return Some(Err(self.fail(cause))),
            };
            // A fetch begins with the batch that holds the position, and earlier ones are there only if the reader has
            // skipped them. Their markers are about batches behind them, too.
            if batch.header.next_offset() <= self.position {
                match self.note_marker(&batch) {
                    Ok(()) => continue,
                    Err(cause) => return Some(Err(self.fail(cause))),
                }
            }
            match self.is_visible(&batch) {
                Ok(true) => return Some(Ok(self.deliver(batch))),
                Ok(false) => {
                    self.position = batch.header.next_offset();
                    self.leader_epoch = batch.header.partition_leader_epoch;
                }
                Err(cause) => return Some(Err(self.fail(cause))),
            }
        }
    }

    /// Offset to read next (exclusive end of the records delivered so far). After the last batch it is after everything
    /// that the fetch covered, including markers, aborted batches and offsets that compaction removed.
    /// Commit this offset.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        match self.failure.get().and_then(ConsumeError::offset) {
            Some(failed) => Offset(failed.0.min(self.position)),
            None => Offset(self.position),
        }
    }

    /// The leader epoch of the last batch below [`next_offset`](Self::next_offset), be it a marker or aborted: what to
    /// commit with that offset (KIP-320). -1 if it is not known.
    #[must_use]
    pub const fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    fn is_visible(&mut self, batch: &Batch) -> Result<bool, RecordError> {
        if batch.header.is_control() {
            self.note_marker(batch)?;
            return Ok(false);
        }
        let is_aborted = self.aborted.as_mut().is_some_and(|aborted| aborted.is_aborted(&batch.header));
        self.aborted_batch_count += u64::from(is_aborted);
        Ok(!is_aborted)
    }

    fn note_marker(&mut self, batch: &Batch) -> Result<(), RecordError> {
        match &mut self.aborted {
            Some(aborted) if batch.header.is_control() => aborted.handle_marker(batch),
            _ => Ok(()),
        }
    }

    fn deliver(&mut self, batch: Batch) -> FetchedBatch {
        // The first offset of a compressed message of the old formats is known only when it is opened.
        let is_known = !batch.header.is_wrapper();
        let position = Offset(if is_known { self.position.max(batch.header.base_offset) } else { self.position });
        self.position = batch.header.next_offset();
        self.leader_epoch = batch.header.partition_leader_epoch;
        FetchedBatch { batch, position, partition: self.partition.clone(), failure: Arc::clone(&self.failure) }
    }

    fn fail(&mut self, cause: RecordError) -> ConsumeError {
        fail(&self.failure, &self.partition, Offset(self.position), cause)
    }
}

impl FetchedBatch {
    /// Returns the partition of the batch.
    #[must_use]
    pub const fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Verifies the checksum and reads the records in place; see [`Batch::open`]. The caller has to skip records below
    /// [`position`](Self::position), as [`FetchedBatch::records`] does.
    ///
    /// # Errors
    /// [`ConsumeError::Corrupt`], which also stops the consumer at this batch.
    pub fn open<'a>(&'a self, buffer: &'a mut Decompressed) -> Result<Records<'a>, ConsumeError> {
        self.batch.open(buffer).map_err(|cause| self.corrupt(cause))
    }

    /// The error to report when one of the batch's records turns out to be corrupt; stops the consumer at this batch.
    #[must_use]
    pub fn corrupt(&self, cause: RecordError) -> ConsumeError {
        fail(&self.failure, &self.partition, self.position, cause)
    }
}

fn fail(failure: &Failure, partition: &TopicPartition, offset: Offset, cause: RecordError) -> ConsumeError {
    let partition = partition.clone();
    let error = match cause.cause {
        RecordErrorCause::Compression(CompressionError::LimitExceeded { limit_bytes }) => {
            ConsumeError::DecompressionLimit { partition, offset, limit_bytes }
        }
        _ => ConsumeError::Corrupt { partition, offset, cause },
    };
    failure.get_or_init(|| error).clone()
}
