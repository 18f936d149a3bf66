//! The producer with one owner, with calls that block.

use super::Runtime;
use crate::client::{self, GroupOffsets, MetadataError};
use crate::cluster::TopicPartition;
use crate::metrics::ProducerMetrics;
use crate::producer::{
    AppendError, CommitError, Delivery, FlushError, NewRecord, Recovered, TopicHandle, TransactionError,
};
use crate::record::Batch;
use crate::types::{Offset, PartitionId};

/// Writes records, for one owner at a time, by the shortest way. See [`client::ExclusiveProducer`].
///
/// Made by [`Client::exclusive_producer`](super::Client::exclusive_producer). Every call that waits panics if async
/// code makes it.
#[derive(Debug)]
pub struct ExclusiveProducer {
    runtime: Runtime,
    producer: client::ExclusiveProducer,
}

impl ExclusiveProducer {
    pub(super) const fn new(runtime: Runtime, producer: client::ExclusiveProducer) -> Self {
        Self { runtime, producer }
    }

    /// Looks a topic up, and returns its handle.
    ///
    /// # Errors
    /// As for [`client::ExclusiveProducer::topic`].
    #[track_caller]
    pub fn topic(&mut self, name: &str) -> Result<TopicHandle, MetadataError> {
        let Self { runtime, producer } = self;
        runtime.block_on(producer.topic(name))
    }

    /// Serialises a record into the open batch of its partition. It never waits.
    ///
    /// # Errors
    /// As for [`client::ExclusiveProducer::append`].
    pub fn append(
        &mut self,
        topic: TopicHandle,
        partition: PartitionId,
        record: NewRecord<'_>,
    ) -> Result<(), AppendError> {
        self.producer.append(topic, partition, record)
    }

    /// As [`append`](Self::append), with the future result of the record, whose [`Delivery::now`] does not wait.
    ///
    /// # Errors
    /// As for [`client::ExclusiveProducer::append`].
    pub fn append_tracked(
        &mut self,
        topic: TopicHandle,
        partition: PartitionId,
        record: NewRecord<'_>,
    ) -> Result<Delivery, AppendError> {
        self.producer.append_tracked(topic, partition, record)
    }

    /// Waits until the buffer has room.
    ///
    /// # Errors
    /// As for [`client::ExclusiveProducer::ready`].
    #[track_caller]
    pub fn ready(&mut self) -> Result<(), FlushError> {
        let Self { runtime, producer } = self;
        runtime.block_on(producer.ready())
    }

    /// Waits until every record that was appended before is acknowledged or has failed.
    ///
    /// # Errors
    /// As for [`client::ExclusiveProducer::flush`].
    #[track_caller]
    pub fn flush(&mut self) -> Result<(), FlushError> {
        let Self { runtime, producer } = self;
        runtime.block_on(producer.flush())
    }

    /// As [`flush`](Self::flush); returns the batches of these topics that leaders have acknowledged meanwhile.
    ///
    /// # Errors
    /// As for [`client::ExclusiveProducer::flush`].
    #[track_caller]
    pub fn flush_and_keep(&mut self, topics: &[TopicHandle]) -> Result<Vec<(TopicPartition, Batch)>, FlushError> {
        let Self { runtime, producer } = self;
        runtime.block_on(producer.flush_and_keep(topics))
    }

    /// Opens a transaction.
    ///
    /// # Errors
    /// As for [`client::ExclusiveProducer::begin`].
    pub fn begin(&mut self) -> Result<(), TransactionError> {
        self.producer.begin()
    }

    /// Tells that the open transaction will be ended soon and with records or offsets, although it has none yet.
    ///
    /// As [`client::ExclusiveProducer::expect_records`].
    pub fn expect_records(&mut self) {
        self.producer.expect_records();
    }

    /// Commits the open transaction, with offsets of a group if there are any.
    ///
    /// # Errors
    /// As for [`client::ExclusiveProducer::commit`].
    #[track_caller]
    pub fn commit(&mut self, offsets: Option<GroupOffsets<'_>>) -> Result<(), CommitError> {
        let Self { runtime, producer } = self;
        runtime.block_on(producer.commit(offsets))
    }

    /// Aborts the open transaction.
    ///
    /// # Errors
    /// As for [`client::ExclusiveProducer::abort`].
    #[track_caller]
    pub fn abort(&mut self) -> Result<(), TransactionError> {
        let Self { runtime, producer } = self;
        runtime.block_on(producer.abort())
    }

    /// Finds out how a transaction ended whose commit was not answered.
    ///
    /// # Errors
    /// As for [`client::ExclusiveProducer::recover`].
    #[track_caller]
    pub fn recover(&mut self) -> Result<Recovered, TransactionError> {
        let Self { runtime, producer } = self;
        runtime.block_on(producer.recover())
    }

    /// Number of partitions of a topic, when it was last looked up.
    #[must_use]
    pub fn partition_count(&self, topic: TopicHandle) -> i32 {
        self.producer.partition_count(topic)
    }

    /// Whether [`ready`](Self::ready) need not be called.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.producer.has_room()
    }

    /// Offset of the last record of a partition that was acknowledged to this producer.
    #[must_use]
    pub fn last_offset(&self, topic: TopicHandle, partition: PartitionId) -> Option<Offset> {
        self.producer.last_offset(topic, partition)
    }

    /// The numbers of its batches and its buffer so far.
    #[must_use]
    pub fn metrics(&self) -> ProducerMetrics {
        self.producer.metrics()
    }

    /// Flushes or, inside a transaction, aborts it; then ends the sender.
    ///
    /// # Errors
    /// As for [`client::ExclusiveProducer::close`].
    #[track_caller]
    pub fn close(self) -> Result<(), FlushError> {
        let Self { runtime, producer } = self;
        runtime.block_on(producer.close())
    }
}
