//! The producer with one owner: the shortest way of a record into its batch.

use tokio::sync::oneshot;

use super::super::{Client, MetadataError, NotSentCause, RequestError};
use super::engine::{Engine, GroupOffsets};
use super::shared::{Kept, LookupError};
use crate::cluster::TopicPartition;
use crate::metrics::ProducerMetrics;
use crate::producer::accumulator::NewRecord;
use crate::producer::{
    AppendError, CommitError, Delivery, FlushError, NotReady, OpenError, ProducerConfig, Recovered, RunsOn,
    TopicHandle, TransactionError,
};
use crate::record::Batch;
use crate::types::{Offset, PartitionId};

/// Writes records, for one owner at a time: topics are looked up beforehand, the owner chooses the partitions,
/// and it asks for room before it waits for it. It is for programs that write millions of records per second;
/// [`Producer`](super::Producer) is for all others.
///
/// Records are written in batches per partition, idempotent, and in transactions if there is a transactional id.
/// A thread of its own sends, unless [`ProducerConfig::runs_on`] says otherwise. Dropping the producer ends it
/// without sending the waiting records, with a warning that has their number, and leaves an open transaction to the
/// coordinator's timeout: call [`ExclusiveProducer::close`] to end in order.
#[derive(Debug)]
pub struct ExclusiveProducer {
    engine: Engine,
}

impl ExclusiveProducer {
    /// Gets a producer id. With a transactional id, it fences the former user of that id, and waits until the
    /// coordinator has aborted the transaction that it left open (CONCURRENT_TRANSACTIONS until then).
    ///
    /// # Errors
    /// The coordinator refused for good, or did not finish within `init_timeout`. Cancel safe: nothing is left running.
    pub async fn open(client: &Client, config: ProducerConfig) -> Result<Self, OpenError> {
        Engine::open(client, config, false).await.map(|engine| Self { engine })
    }

    /// Looks a topic up. Call it again to see partitions that were added; the handle stays the same. Cancel safe.
    ///
    /// # Errors
    /// The topic does not exist, or no broker answered.
    pub async fn topic(&mut self, name: &str) -> Result<TopicHandle, MetadataError> {
        match self.engine.topic(name, None).await {
            Ok(topic) => Ok(topic),
            Err(LookupError::Metadata(error)) => Err(error),
            Err(LookupError::TimedOut | LookupError::Stopped) => {
                Err(RequestError::NotSent { to: None, cause: NotSentCause::ShutDown }.into())
            }
        }
    }

    /// Number of partitions of a topic, when it was last looked up.
    #[must_use]
    pub fn partition_count(&self, topic: TopicHandle) -> i32 {
        self.engine.shared.buffer().accumulator.partition_count(topic)
    }

    /// Serialises a record into the open batch of its partition.
    ///
    /// Without a transaction, the batch is sent when it is full or `linger` is over; inside one when it is full,
    /// or at [`ExclusiveProducer::flush`] and [`ExclusiveProducer::commit`].
    ///
    /// # Errors
    /// On an error nothing is appended; see [`AppendError`]. `flush` and `commit` report earlier records that failed.
    #[inline]
    pub fn append(
        &mut self,
        topic: TopicHandle,
        partition: PartitionId,
        record: NewRecord<'_>,
    ) -> Result<(), AppendError> {
        let mut buffer = self.engine.shared.buffer();
        buffer.gate.check()?;
        if buffer.accumulator.append(topic, partition, record)? && buffer.note_news(self.engine.client.now()) {
            drop(buffer);
            self.engine.shared.wake.notify_one();
        }
        Ok(())
    }

    /// As [`ExclusiveProducer::append`], with a future for the outcome of the record.
    ///
    /// # Errors
    /// As [`ExclusiveProducer::append`].
    #[inline]
    pub fn append_tracked(
        &mut self,
        topic: TopicHandle,
        partition: PartitionId,
        record: NewRecord<'_>,
    ) -> Result<Delivery, AppendError> {
        let mut buffer = self.engine.shared.buffer();
        buffer.gate.check()?;
        let (delivery, has_news) = buffer.accumulator.append_tracked(topic, partition, record)?;
        if has_news && buffer.note_news(self.engine.client.now()) {
            drop(buffer);
            self.engine.shared.wake.notify_one();
        }
        Ok(delivery)
    }

    /// Whether at most `room_limit_bytes` wait for their acknowledgement, so that [`ExclusiveProducer::ready`] need not
    /// be called.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.engine.shared.buffer().accumulator.has_room()
    }

    /// Waits until the buffer has room again after [`AppendError::Full`]. Cancel safe.
    ///
    /// # Errors
    /// The transaction has failed: there will be no room for its records. Call `abort`.
    pub async fn ready(&mut self) -> Result<(), FlushError> {
        let (promise, has_room) = oneshot::channel();
        {
            let core = self.engine.running()?;
            let mut buffer = self.engine.shared.buffer();
            // Many partitions can fill the buffer with batches that are not full themselves.
            buffer.accumulator.close_all();
            buffer.on_room = Some(promise);
            drop(core);
        }
        self.engine.shared.wake.notify_one();
        has_room.await.map_err(|_| FlushError::NotReady(NotReady::Stopped))?;
        self.engine.transaction_failure().map_or(Ok(()), Err)
    }

    /// Opens a transaction. No request is sent before there are records or offsets to send.
    ///
    /// If it stays open for more than a moment after its first record, it registers its partitions, those that most of
    /// the last transactions have written to, and the group of the last one, ahead of its commit. A partition that it
    /// does not write to then gets a marker nevertheless.
    ///
    /// Its protocol version is fixed here, by the cluster's finalized `transaction.version`.
    ///
    /// # Errors
    /// A transaction is open, or has to be aborted or recovered first, or the producer cannot go on.
    pub fn begin(&mut self) -> Result<(), TransactionError> {
        self.engine.begin()
    }

    /// Tells that the open transaction will be ended soon and with records or offsets, although it has none yet. So
    /// the partitions that most of the last transactions have written to, and the group of the last one, are registered
    /// while its records are being made; otherwise that begins with the first record. Does nothing without a
    /// transaction.
    pub fn expect_records(&mut self) {
        if self.engine.shared.buffer().expect_batches(self.engine.client.now()) {
            self.engine.shared.wake.notify_one();
        }
    }

    /// Sends every appended record and waits for every acknowledgement. Cancel safe.
    ///
    /// # Errors
    /// Some records will never be acknowledged. A transaction then has to be aborted; without one, the failure is
    /// reported once and the producer goes on.
    pub async fn flush(&mut self) -> Result<(), FlushError> {
        self.engine.flush().await
    }

    /// As [`flush`](Self::flush); returns the batches of these topics that leaders have acknowledged meanwhile, as they
    /// are in the log now, those of each partition in the order of their offsets. So a program that reads what it
    /// writes need not fetch it.
    ///
    /// Batches that were sent before the call are not among them, and neither are those of which the offset is not
    /// known, because a repetition was acknowledged, or the timestamps, because the topic has the time of the broker.
    /// Their leader epoch is -1. Cancel safe: the records are sent all the same, and the batches are not returned.
    ///
    /// # Errors
    /// As for [`flush`](Self::flush).
    pub async fn flush_and_keep(&mut self, topics: &[TopicHandle]) -> Result<Vec<(TopicPartition, Batch)>, FlushError> {
        self.engine.shared.buffer().kept = Some(Kept { topics: topics.to_vec(), batches: Vec::new() });
        let flushed = self.engine.flush().await;
        let mut buffer = self.engine.shared.buffer();
        let kept = buffer.kept.take().map(|kept| kept.batches).unwrap_or_default();
        flushed?;
        let found = kept.into_iter().filter_map(|kept| {
            let partition = buffer.accumulator.topic_partition(kept.slot);
            Some((partition, kept.in_log()?))
        });
        let mut found: Vec<_> = found.collect();
        found.sort_by(|(a, first), (b, second)| (a, first.header.base_offset).cmp(&(b, second.header.base_offset)));
        Ok(found)
    }

    /// Offset of the last record of a partition that was acknowledged to this producer. `None` before that,
    /// and while the broker has only recognised repetitions, which it acknowledges without an offset.
    #[must_use]
    pub fn last_offset(&self, topic: TopicHandle, partition: PartitionId) -> Option<Offset> {
        let buffer = self.engine.shared.buffer();
        let slot = buffer.accumulator.slot(topic, partition)?;
        buffer.last_offsets.get(slot.index()).copied().flatten()
    }

    /// Flushes, commits `offsets` in the transaction, and ends it. A transaction without records and offsets ends
    /// without a request.
    ///
    /// Not cancel safe: after dropping the future, the transaction may be committed or not;
    /// [`ExclusiveProducer::recover`] settles it.
    ///
    /// # Errors
    /// Each variant of [`CommitError`] says what to call next. Only after `Unknown` may the transaction be committed.
    pub async fn commit(&mut self, offsets: Option<GroupOffsets<'_>>) -> Result<(), CommitError> {
        self.engine.commit(offsets.map(|offsets| (offsets.group.clone(), offsets.offsets.to_vec()))).await
    }

    /// Discards the records that have not been sent and aborts the transaction; the next one may begin.
    /// Does nothing if none is open.
    ///
    /// Not cancel safe: after dropping the future, call [`ExclusiveProducer::recover`].
    ///
    /// # Errors
    /// See [`TransactionError`]; after `TimedOut` it may be called again.
    pub async fn abort(&mut self) -> Result<(), TransactionError> {
        self.engine.abort().await
    }

    /// Determines the outcome of the transaction that [`CommitError::Unknown`] left open, aborting it if it is still
    /// open, and gets a new epoch, so that no request that is still in flight can affect the next one.
    ///
    /// Allowed in every state: a failed transaction is aborted; a commit whose future was dropped is awaited.
    /// Cancel safe.
    ///
    /// # Errors
    /// See [`TransactionError`]. `Fenced` leaves the outcome open: the other producer that fenced this one,
    /// or the coordinator's timeout, may have come before or after the commit; the committed offsets of the group tell.
    pub async fn recover(&mut self) -> Result<Recovered, TransactionError> {
        self.engine.recover().await
    }

    /// The numbers of its batches and its buffer so far. Those of its requests are the client's: [`Client::metrics`].
    #[must_use]
    pub fn metrics(&self) -> ProducerMetrics {
        self.engine.shared.metrics(&self.engine.client.config().client_id)
    }

    /// Flushes or, inside a transaction, aborts it; then ends the sender.
    ///
    /// # Errors
    /// Some records will never be acknowledged, or the transaction could not be aborted.
    pub async fn close(self) -> Result<(), FlushError> {
        self.engine.close().await
    }
}

/// Fences the user of a transactional id and aborts the transaction that it left open. It is for an instance that died.
///
/// Returns when the abort is complete, so that the last stable offsets of its partitions can advance. Source: KIP-98.
///
/// # Errors
/// As [`ExclusiveProducer::open`].
pub async fn fence(client: &Client, transactional_id: &str) -> Result<(), OpenError> {
    let config = ProducerConfig { runs_on: RunsOn::CallersRuntime, ..ProducerConfig::transactional(transactional_id) };
    ExclusiveProducer::open(client, config).await.map(drop)
}
