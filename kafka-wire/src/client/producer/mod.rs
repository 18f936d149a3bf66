//! The handle of a producer: records in, transactions begun and ended.
#![expect(
    clippy::unused_async,
    unused_variables,
    clippy::unimplemented,
    reason = "signatures first: the bodies land next"
)]

use super::{Client, MetadataError};
use crate::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use crate::producer::{
    AppendError, CommitError, FlushError, OpenError, ProducerConfig, Recovered, TopicHandle, TransactionError,
};
use crate::record::RawHeaders;
use crate::types::{Offset, PartitionId, TimestampMs};

/// Writes records, one owner at a time: batches per partition, idempotent, in transactions if it has a transactional id.
///
/// A background task sends; dropping the producer ends it without sending what waits, and leaves an open transaction
/// to the coordinator's timeout: call [`Producer::close`].
pub struct Producer(());

/// Offsets that a transaction commits together with its output. Source: KIP-447.
#[derive(Clone, Copy, Debug)]
pub struct GroupOffsets<'a> {
    /// The membership that the partitions were read under; read it afresh for each commit.
    pub group: &'a GroupMetadata,
    /// How far each partition has been read.
    pub offsets: &'a [(TopicPartition, CommittedOffset)],
}

impl Producer {
    /// Gets a producer id. With a transactional id: fences whoever has used it, and waits until the transaction that
    /// it left open is aborted.
    pub async fn open(client: &Client, config: ProducerConfig) -> Result<Self, OpenError> {
        unimplemented!()
    }

    /// Looks a topic up. Call again to see partitions that were added; the handle stays the same.
    pub async fn topic(&mut self, name: &str) -> Result<TopicHandle, MetadataError> {
        unimplemented!()
    }

    /// Partitions of a topic, when it was last looked up.
    #[must_use]
    pub fn partition_count(&self, topic: TopicHandle) -> i32 {
        unimplemented!()
    }

    /// Serialises a record into the open batch of its partition.
    pub fn append(
        &mut self,
        topic: TopicHandle,
        partition: PartitionId,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: RawHeaders<'_>,
    ) -> Result<(), AppendError> {
        unimplemented!()
    }

    /// Waits until the buffer has room again after [`AppendError::Full`]. Cancel safe.
    pub async fn ready(&mut self) -> Result<(), FlushError> {
        unimplemented!()
    }

    /// Opens a transaction. No request is sent before there is something to send.
    pub fn begin(&mut self) -> Result<(), TransactionError> {
        unimplemented!()
    }

    /// Sends everything that was appended and waits for every acknowledgement. Cancel safe.
    pub async fn flush(&mut self) -> Result<(), FlushError> {
        unimplemented!()
    }

    /// Offset of the last record of a partition that was acknowledged to this producer.
    #[must_use]
    pub fn last_offset(&self, topic: TopicHandle, partition: PartitionId) -> Option<Offset> {
        unimplemented!()
    }

    /// Flushes, commits `offsets` in the transaction, and ends it.
    pub async fn commit(&mut self, offsets: Option<GroupOffsets<'_>>) -> Result<(), CommitError> {
        unimplemented!()
    }

    /// Throws away what has not been sent and aborts the transaction; the next may begin. Fine when nothing is open.
    pub async fn abort(&mut self) -> Result<(), TransactionError> {
        unimplemented!()
    }

    /// Makes sure how the transaction ended that [`CommitError::Unknown`] left open, aborting it if it is still open,
    /// and gets a new epoch so that nothing that is still on its way can touch the next one.
    pub async fn recover(&mut self) -> Result<Recovered, TransactionError> {
        unimplemented!()
    }

    /// Flushes, aborts a transaction that is open, and ends the background task.
    pub async fn close(self) -> Result<(), FlushError> {
        unimplemented!()
    }
}

/// Fences whoever has used a transactional id and aborts the transaction that it left open; for an instance that died.
/// Returns when the abort is complete, so that its partitions' last stable offsets move on.
pub async fn fence(client: &Client, transactional_id: &str) -> Result<(), OpenError> {
    unimplemented!()
}
