//! A producer whose calls block.

use super::Runtime;
use crate::client::{self, GroupOffsets, SendError};
use crate::metrics::ProducerMetrics;
use crate::producer::{
    CommitError, Delivery, DeliveryError, FlushError, ProducerRecord, RecordMetadata, Recovered, TransactionError,
};

/// A producer for any number of threads: clones are the same producer. See [`client::Producer`] for its guarantees.
///
/// Every call panics if async code makes it.
#[derive(Clone, Debug)]
pub struct Producer {
    runtime: Runtime,
    producer: client::Producer,
}

impl Producer {
    pub(super) const fn new(runtime: Runtime, producer: client::Producer) -> Self {
        Self { runtime, producer }
    }

    /// Takes a record into the batch of its partition, and returns its future result. It blocks while the buffer is
    /// full, and for the partitions of a topic that is new to this producer, up to `max_block`.
    ///
    /// # Errors
    /// As for [`client::Producer::send`].
    #[track_caller]
    pub fn send<'r>(&self, record: impl Into<ProducerRecord<'r>>) -> Result<PendingDelivery, SendError> {
        let record = record.into();
        let delivery = match self.producer.try_send(record.clone()) {
            Err(error) if error.is_retriable() => self.runtime.block_on(self.producer.send(record)),
            outcome => outcome,
        };
        delivery.map(|delivery| PendingDelivery { runtime: self.runtime.clone(), delivery })
    }

    /// As [`send`](Self::send), but never waits: without room, or for a topic that is new to this producer, it fails
    /// with an error of which [`SendError::is_retriable`] is true.
    ///
    /// # Errors
    /// As for [`client::Producer::try_send`].
    pub fn try_send<'r>(&self, record: impl Into<ProducerRecord<'r>>) -> Result<PendingDelivery, SendError> {
        let delivery = self.producer.try_send(record)?;
        Ok(PendingDelivery { runtime: self.runtime.clone(), delivery })
    }

    /// Waits until every record that was sent before is acknowledged or has failed.
    ///
    /// # Errors
    /// As for [`client::Producer::flush`].
    #[track_caller]
    pub fn flush(&self) -> Result<(), FlushError> {
        self.runtime.block_on(self.producer.flush())
    }

    /// Flushes, or aborts the open transaction; then ends.
    ///
    /// # Errors
    /// As for [`client::Producer::close`].
    #[track_caller]
    pub fn close(&self) -> Result<(), FlushError> {
        self.runtime.block_on(self.producer.close())
    }

    /// Ends at once: unacknowledged records fail.
    #[track_caller]
    pub fn close_now(&self) {
        self.runtime.block_on(self.producer.close_now());
    }

    /// Opens a transaction.
    ///
    /// # Errors
    /// As for [`client::Producer::begin_transaction`].
    pub fn begin_transaction(&self) -> Result<(), TransactionError> {
        self.producer.begin_transaction()
    }

    /// Commits offsets of a group with the open transaction.
    pub fn send_offsets_to_transaction(&self, offsets: GroupOffsets<'_>) {
        self.producer.send_offsets_to_transaction(offsets);
    }

    /// Commits the open transaction.
    ///
    /// # Errors
    /// As for [`client::Producer::commit_transaction`].
    #[track_caller]
    pub fn commit_transaction(&self) -> Result<(), CommitError> {
        self.runtime.block_on(self.producer.commit_transaction())
    }

    /// Aborts the open transaction.
    ///
    /// # Errors
    /// As for [`client::Producer::abort_transaction`].
    #[track_caller]
    pub fn abort_transaction(&self) -> Result<(), TransactionError> {
        self.runtime.block_on(self.producer.abort_transaction())
    }

    /// Finds out how a transaction ended whose commit was not answered.
    ///
    /// # Errors
    /// As for [`client::Producer::recover_transaction`].
    #[track_caller]
    pub fn recover_transaction(&self) -> Result<Recovered, TransactionError> {
        self.runtime.block_on(self.producer.recover_transaction())
    }

    /// Returns the number of partitions of a topic.
    ///
    /// # Errors
    /// As for [`client::Producer::partition_count`].
    #[track_caller]
    pub fn partition_count(&self, topic: &str) -> Result<i32, SendError> {
        self.runtime.block_on(self.producer.partition_count(topic))
    }

    /// The numbers of its batches and its buffer so far.
    #[must_use]
    pub fn metrics(&self) -> ProducerMetrics {
        self.producer.metrics()
    }
}

/// The future result of a record.
#[derive(Debug)]
#[must_use = "wait for the result, or forget it"]
pub struct PendingDelivery {
    runtime: Runtime,
    delivery: Delivery,
}

impl PendingDelivery {
    /// Waits for the place of the record in the log.
    ///
    /// # Errors
    /// The record was not written, or may not have been.
    #[track_caller]
    pub fn wait(self) -> Result<RecordMetadata, DeliveryError> {
        self.runtime.block_on(self.delivery)
    }

    /// Returns the result if there is one already.
    #[must_use]
    pub fn now(&self) -> Option<Result<RecordMetadata, DeliveryError>> {
        self.delivery.now()
    }

    /// Sends the record all the same; `flush` and `close` tell of its failure.
    pub fn forget(self) {
        self.delivery.forget();
    }
}
