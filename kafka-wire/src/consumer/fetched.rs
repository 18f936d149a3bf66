//! What a poll hands out: batches of one partition, still in the frame that they arrived in.

use std::sync::{Arc, OnceLock};

use super::ConsumeError;
use super::isolation::AbortedTransactions;
use crate::cluster::TopicPartition;
use crate::compression::Decompressed;
use crate::record::{Batch, Batches, RecordError, Records};
use crate::types::Offset;

/// Tells a partition's fetcher that a batch handed out could not be read, so that it does not go on behind it.
pub(super) type Failure = Arc<OnceLock<ConsumeError>>;

/// Consecutive batches of one partition, as one fetch brought them.
///
/// Shares the memory of the frame, and so keeps all of it: drop it when done. To be read to the end: what is left
/// unread when it is dropped is not delivered again, unless the partition is sought.
#[derive(Debug)]
pub struct Fetched {
    pub(super) partition: TopicPartition,
    pub(super) high_watermark: Offset,
    pub(super) last_stable_offset: Offset,
    pub(super) batches: Batches,
    pub(super) size_bytes: usize,
    /// `None` when reading uncommitted.
    pub(super) aborted: Option<AbortedTransactions>,
    /// Where to read on, and where that is after the last batch.
    pub(super) position: i64,
    pub(super) end_offset: i64,
    pub(super) aborted_batch_count: u64,
    pub(super) failure: Failure,
}

/// One batch that the reader may see.
#[derive(Clone, Debug)]
pub struct FetchedBatch {
    /// The batch, shared with the frame.
    pub batch: Batch,
    /// The first offset to deliver: a batch may begin before the position, and its records below this one were
    /// delivered before, or were not asked for.
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

    /// Batches of aborted transactions that were left out so far.
    #[must_use]
    pub const fn aborted_batch_count(&self) -> u64 {
        self.aborted_batch_count
    }

    /// The next batch to read; `None` after the last. Control batches, and aborted ones under `read_committed`, are
    /// passed over.
    ///
    /// # Errors
    /// [`ConsumeError::Corrupt`] when the batch's header or a transaction marker is damaged, and again on every further
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
            // A fetch begins with the batch that holds the position; none before it should come, and none is delivered.
            if batch.header.next_offset() <= self.position {
                continue;
            }
            match self.is_visible(&batch) {
                Ok(true) => return Some(Ok(self.deliver(batch))),
                Ok(false) => self.position = batch.header.next_offset(),
                Err(cause) => return Some(Err(self.fail(cause))),
            }
        }
    }

    /// Offset to read next (exclusive end of what was delivered so far), and after the last batch the position behind
    /// all that came: behind markers, aborted batches and offsets that compaction removed. This is what to commit.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        match self.failure.get().and_then(ConsumeError::offset) {
            Some(failed) => Offset(failed.0.min(self.position)),
            None => Offset(self.position),
        }
    }

    fn is_visible(&mut self, batch: &Batch) -> Result<bool, RecordError> {
        if batch.header.is_control() {
            if let Some(aborted) = &mut self.aborted {
                aborted.handle_marker(batch)?;
            }
            return Ok(false);
        }
        let is_aborted = self.aborted.as_mut().is_some_and(|aborted| aborted.is_aborted(&batch.header));
        self.aborted_batch_count += u64::from(is_aborted);
        Ok(!is_aborted)
    }

    fn deliver(&mut self, batch: Batch) -> FetchedBatch {
        // Where a compressed message of the old formats begins is known when it is opened.
        let is_known = !batch.header.is_wrapper();
        let position = Offset(if is_known { self.position.max(batch.header.base_offset) } else { self.position });
        self.position = batch.header.next_offset();
        FetchedBatch { batch, position, partition: self.partition.clone(), failure: Arc::clone(&self.failure) }
    }

    fn fail(&mut self, cause: RecordError) -> ConsumeError {
        fail(&self.failure, &self.partition, Offset(self.position), cause)
    }
}

impl FetchedBatch {
    /// The partition that the batch is of.
    #[must_use]
    pub const fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Checks the checksum and reads the records in place; see [`Batch::open`]. Records below
    /// [`position`](Self::position) are the caller's to skip; [`FetchedBatch::records`] does.
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
    failure.get_or_init(|| ConsumeError::Corrupt { partition: partition.clone(), offset, cause }).clone()
}
