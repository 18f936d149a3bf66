//! The producer with one owner, with calls that block.

use super::Runtime;
use crate::client::{self, GroupOffsets, MetadataError};
use crate::metrics::ProducerMetrics;
use crate::producer::{
    AppendError, CommitError, Delivery, FlushError, NewRecord, Recovered, TopicHandle, TransactionError,
};
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

/// Makes a method of each signature that waits for the async one.
macro_rules! blocking {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty;)+) => {
        impl ExclusiveProducer {
            $(
                #[doc = concat!(
                    "See [`client::ExclusiveProducer::", stringify!($name), "`](client::ExclusiveProducer::",
                    stringify!($name), ")."
                )]
                ///
                /// # Errors
                /// As there.
                #[track_caller]
                pub fn $name(&mut self, $($argument: $type),*) -> $result {
                    let Self { runtime, producer } = self;
                    runtime.block_on(producer.$name($($argument),*))
                }
            )+
        }
    };
}

blocking! {
    fn topic(name: &str) -> Result<TopicHandle, MetadataError>;
    fn ready() -> Result<(), FlushError>;
    fn flush() -> Result<(), FlushError>;
    fn commit(offsets: Option<GroupOffsets<'_>>) -> Result<(), CommitError>;
    fn abort() -> Result<(), TransactionError>;
    fn recover() -> Result<Recovered, TransactionError>;
}

impl ExclusiveProducer {
    pub(super) const fn new(runtime: Runtime, producer: client::ExclusiveProducer) -> Self {
        Self { runtime, producer }
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
