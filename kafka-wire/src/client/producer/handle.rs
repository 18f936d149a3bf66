//! The general producer: takes records by topic name, from any task or thread, and reports the outcome of each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::super::Client;
use super::engine::{Engine, GroupOffsets};
use super::error::SendError;
use super::shared::{Buffer, Gate, LookupError, Turn, Waiting};
use crate::cluster::TopicPartition;
use crate::metrics::ProducerMetrics;
use crate::producer::accumulator::{Accumulator, NewRecord};
use crate::producer::partitioner::{Queue, Queues};
use crate::producer::{
    AppendError, CommitError, Delivery, FlushError, OpenError, Partitioner, Partitioning, ProducerConfig,
    ProducerRecord, Recovered, TopicHandle, TransactionError,
};
use crate::record::BatchBuilder;
use crate::time::Moment;
use crate::types::PartitionId;
use crate::wire::Str;

/// Writes records to topics, from any number of tasks and threads at once, on any runtime or none.
/// Clones are the same producer.
///
/// ```no_run
/// use kafka_wire::client::{Client, ClientConfig, Producer};
/// use kafka_wire::producer::{ProducerConfig, ProducerRecord};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect(ClientConfig::new("127.0.0.1:9092")).await?;
/// let producer = Producer::open(&client, ProducerConfig::default()).await?;
///
/// // The first await takes the record into a batch, the second waits until it is written.
/// let written = producer.send(ProducerRecord::to("orders").key("4711").value("paid")).await?.await?;
/// println!("partition {} offset {:?}", written.partition, written.offset);
///
/// // Without the second one it is sent all the same.
/// producer.send(ProducerRecord::to("orders").value("no key: any partition")).await?.forget();
/// producer.close().await?; // All are written now, or this tells how many are not.
/// # Ok(())
/// # }
/// ```
///
/// Records of one partition are written in the order of their `send` calls, once each (idempotent), unless
/// [`ProducerConfig`] says otherwise. A thread of its own sends, in batches.
///
/// When the last clone is dropped, nothing more is sent, and a warning has the number of unsent records:
/// call [`Producer::close`] to end in order.
#[derive(Clone, Debug)]
pub struct Producer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    /// The user's own partitioner, which is called while nothing is locked.
    partitioning: Partitioning,
    limit_bytes: usize,
    max_block: Duration,
}

/// The obstacle that keeps a record out of its batch.
enum Obstacle {
    /// Its topic has not been looked up.
    Topic,
    /// The buffer is full.
    Room,
    /// An error: the record will not get in.
    Error(SendError),
}

/// A topic, as the choice of a partition needs it.
struct Topic<'a> {
    accumulator: &'a Accumulator,
    handle: TopicHandle,
}

impl Producer {
    /// Starts a producer. With a transactional id, it fences the former user of that id, and waits until the
    /// transaction that it left open is aborted.
    ///
    /// # Errors
    /// The coordinator refused for good, or did not finish within `init_timeout`. Cancel safe: nothing is left running.
    pub async fn open(client: &Client, config: ProducerConfig) -> Result<Self, OpenError> {
        let (partitioning, max_block) = (config.partitioning.clone(), config.max_block);
        let limit_bytes = config.buffer_limit_bytes;
        let engine = Engine::open(client, config, true).await?;
        Ok(Self { inner: Arc::new(Inner { engine, partitioning, limit_bytes, max_block }) })
    }

    /// Takes a record into the batch of its partition, and returns a future for its outcome. Waits while the buffer is
    /// full, and for the partitions of a topic that is new to this producer, up to `max_block`.
    ///
    /// Cancel safe: if it is dropped before it is ready, nothing is sent.
    ///
    /// # Errors
    /// The record is not written; see [`SendError`].
    #[inline]
    pub async fn send<'r>(&self, record: impl Into<ProducerRecord<'r>>) -> Result<Delivery, SendError> {
        let record = record.into();
        match self.inner.place(&record, true) {
            Ok(delivery) => Ok(delivery),
            Err(Obstacle::Error(error)) => Err(error),
            Err(obstacle) => Box::pin(self.inner.wait_and_place(&record, obstacle)).await,
        }
    }

    /// As [`Producer::send`], without ever waiting: for threads that must not wait, and code that is not async.
    ///
    /// # Errors
    /// As for `send`. A topic that is new to this producer is refused and looked up, and a full buffer refuses:
    /// for these, [`SendError::is_retriable`] is true.
    #[inline]
    pub fn try_send<'r>(&self, record: impl Into<ProducerRecord<'r>>) -> Result<Delivery, SendError> {
        let record = record.into();
        self.inner.place(&record, true).map_err(|obstacle| self.inner.refusal(&record, obstacle))
    }

    /// Number of partitions of a topic, which is looked up if it is new to this producer. Cancel safe.
    ///
    /// # Errors
    /// The topic is missing, or not known within `max_block`.
    pub async fn partition_count(&self, topic: &str) -> Result<i32, SendError> {
        let engine = &self.inner.engine;
        let known = engine.shared.buffer().accumulator.topic(topic);
        if known.is_none() {
            self.inner.look_up(topic, engine.client.now()).await?;
        }
        let buffer = engine.shared.buffer();
        let topic = buffer.accumulator.topic(topic);
        Ok(topic.map_or(0, |topic| buffer.accumulator.partition_count(topic)))
    }

    /// Sends the records so far without waiting for `linger`, and waits until all of them are acknowledged.
    /// Cancel safe.
    ///
    /// # Errors
    /// Some records since the last flush will never be acknowledged; the [`Delivery`] of each reports it as well.
    /// A transaction has to be aborted then.
    pub async fn flush(&self) -> Result<(), FlushError> {
        self.inner.engine.flush().await
    }

    /// Ends in order: accepts no more records, waits until the present ones are acknowledged or have failed (at most
    /// `delivery_timeout`), then ends the sender. An open transaction is aborted.
    ///
    /// # Errors
    /// Some records will never be acknowledged, or the transaction could not be aborted.
    pub async fn close(&self) -> Result<(), FlushError> {
        self.shut();
        self.inner.engine.close().await
    }

    /// The numbers of its batches and its buffer so far. Those of its requests are the client's: [`Client::metrics`].
    #[must_use]
    pub fn metrics(&self) -> ProducerMetrics {
        let engine = &self.inner.engine;
        engine.shared.metrics(&engine.client.config().client_id)
    }

    /// Ends at once: unacknowledged records fail, and the [`Delivery`] of each tells whether it may have been written.
    pub async fn close_now(&self) {
        self.shut();
        self.inner.engine.stop().await;
    }

    /// Opens a transaction. No request is sent before there are records or offsets to send.
    ///
    /// # Errors
    /// The producer has no transactional id, or a transaction is open, or has to be aborted or recovered first.
    pub fn begin_transaction(&self) -> Result<(), TransactionError> {
        self.inner.engine.begin()
    }

    /// Commits offsets of a consumer group with the open transaction, in addition to those given before; for each
    /// partition the last one counts.
    ///
    /// They are sent by [`Producer::commit_transaction`], which reports if the group has moved on.
    pub fn send_offsets_to_transaction(&self, offsets: GroupOffsets<'_>) {
        let mut core = self.inner.engine.shared.core();
        let earlier = core.offsets.take().map_or_else(Vec::new, |(_, earlier)| earlier);
        let merged: BTreeMap<_, _> = earlier.into_iter().chain(offsets.offsets.iter().cloned()).collect();
        core.offsets = Some((offsets.group.clone(), merged.into_iter().collect()));
    }

    /// Sends the records of the transaction, waits until all of them are acknowledged, commits its offsets,
    /// and ends it.
    ///
    /// Not cancel safe: after dropping the future, the transaction may be committed or not;
    /// [`Producer::recover_transaction`] settles it.
    ///
    /// # Errors
    /// Each variant of [`CommitError`] says what to call next. Only after `Unknown` may the transaction be committed.
    pub async fn commit_transaction(&self) -> Result<(), CommitError> {
        let offsets = self.inner.engine.shared.core().offsets.take();
        self.inner.engine.commit(offsets).await
    }

    /// Discards the records that have not been sent and aborts the transaction; the next one may begin.
    /// Does nothing if none is open.
    ///
    /// Not cancel safe: after dropping the future, call [`Producer::recover_transaction`].
    ///
    /// # Errors
    /// See [`TransactionError`]; after `TimedOut` it may be called again.
    pub async fn abort_transaction(&self) -> Result<(), TransactionError> {
        self.inner.engine.abort().await
    }

    /// Determines the outcome of the transaction that [`CommitError::Unknown`] left open, and prepares the next;
    /// as [`ExclusiveProducer::recover`](super::ExclusiveProducer::recover).
    ///
    /// # Errors
    /// See [`TransactionError`].
    pub async fn recover_transaction(&self) -> Result<Recovered, TransactionError> {
        self.inner.engine.recover().await
    }

    /// Accepts no more records.
    fn shut(&self) {
        self.inner.engine.shared.buffer().set_gate(Gate::Closed);
    }
}

impl Inner {
    /// Appends the record, unless there is an obstacle. `is_new`: it has not waited for its turn yet.
    #[inline]
    fn place(&self, record: &ProducerRecord<'_>, is_new: bool) -> Result<Delivery, Obstacle> {
        let partition = match (&self.partitioning, record.partition) {
            (Partitioning::Custom(custom), None) => Some(self.ask(&*custom.0, record)?),
            (_, partition) => partition,
        };
        let mut guard = self.engine.shared.buffer();
        let buffer = &mut *guard;
        if let Err(error) = buffer.gate.check() {
            return Err(Obstacle::Error(self.explain(error, record, buffer)));
        }
        if is_new && !buffer.waiting.is_empty() {
            return Err(Obstacle::Room);
        }
        let handle = buffer.accumulator.find(record.topic()).ok_or(Obstacle::Topic)?;
        let headers = record.raw_headers();
        let partition = partition.unwrap_or_else(|| {
            let record_bytes = BatchBuilder::record_bytes_max(record.key, record.value, headers);
            let topic = Topic { accumulator: &buffer.accumulator, handle };
            buffer.chooser.choose(Accumulator::topic_index(handle), &topic, record.key, record_bytes)
        });
        let timestamp = record.timestamp.unwrap_or_else(|| buffer.time.now());
        let new = NewRecord { timestamp, key: record.key, value: record.value, headers };
        match buffer.accumulator.append_tracked(handle, partition, new) {
            Ok((delivery, false)) => Ok(delivery),
            Ok((delivery, true)) => {
                let rings = buffer.note_news(self.engine.client.now());
                drop(guard);
                if rings {
                    self.engine.shared.wake.notify_one();
                }
                Ok(delivery)
            }
            Err(AppendError::Full { .. }) => Err(Obstacle::Room),
            Err(error) => Err(Obstacle::Error(self.explain(error, record, buffer))),
        }
    }

    /// Waits until the obstacle is gone, and tries again, up to `max_block`.
    async fn wait_and_place(&self, record: &ProducerRecord<'_>, mut obstacle: Obstacle) -> Result<Delivery, SendError> {
        let start = self.engine.client.now();
        let mut is_new = true;
        loop {
            match obstacle {
                Obstacle::Error(error) => return Err(error),
                Obstacle::Topic => self.look_up(record.topic(), start).await?,
                Obstacle::Room => {
                    self.await_room(record, start, is_new).await?;
                    is_new = false;
                }
            }
            obstacle = match self.place(record, is_new) {
                Ok(delivery) => return Ok(delivery),
                Err(obstacle) => obstacle,
            };
        }
    }

    async fn look_up(&self, topic: &str, start: Moment) -> Result<(), SendError> {
        match self.engine.topic(topic, Some(start + self.max_block)).await {
            Ok(_) => Ok(()),
            Err(LookupError::Metadata(error)) => Err(SendError::Topic(error)),
            Err(LookupError::Stopped) if self.engine.shared.buffer().gate == Gate::Closed => Err(SendError::Closed),
            Err(LookupError::Stopped) => Err(SendError::Stopped),
            Err(LookupError::TimedOut) => {
                Err(SendError::UnknownTopicYet { topic: Str::from(topic), waited: self.since(start) })
            }
        }
    }

    /// Waits for its turn. A record that had its turn and found no room goes to the front.
    async fn await_room(&self, record: &ProducerRecord<'_>, start: Moment, is_new: bool) -> Result<(), SendError> {
        let record_bytes = BatchBuilder::record_bytes_max(record.key, record.value, record.raw_headers());
        let (promise, turn) = oneshot::channel();
        {
            let mut buffer = self.engine.shared.buffer();
            if let Err(error) = buffer.gate.check() {
                return Err(self.explain(error, record, &buffer));
            }
            let waiting = Waiting { record_bytes, deadline: start + self.max_block, promise };
            if is_new { buffer.waiting.push_back(waiting) } else { buffer.waiting.push_front(waiting) }
        }
        self.engine.shared.wake.notify_one();
        match turn.await {
            Ok(Turn::TryAgain) => Ok(()),
            Ok(Turn::TimeIsOver) => {
                Err(SendError::BufferFull { limit_bytes: self.limit_bytes, waited: self.since(start) })
            }
            Err(_) => {
                let buffer = self.engine.shared.buffer();
                let error = buffer.gate.check().err().unwrap_or(AppendError::Stopped);
                Err(self.explain(error, record, &buffer))
            }
        }
    }

    fn since(&self, start: Moment) -> Duration {
        self.engine.client.now().since(start)
    }

    /// The partition by the user's own partitioner.
    fn ask(&self, custom: &dyn Partitioner, record: &ProducerRecord<'_>) -> Result<PartitionId, Obstacle> {
        let count = {
            let mut buffer = self.engine.shared.buffer();
            let topic = buffer.accumulator.find(record.topic()).ok_or(Obstacle::Topic)?;
            buffer.accumulator.partition_count(topic)
        };
        Ok(custom.partition(record.topic(), record.key, record.value, count))
    }

    /// The error for a caller that does not wait.
    #[cold]
    fn refusal(&self, record: &ProducerRecord<'_>, obstacle: Obstacle) -> SendError {
        match obstacle {
            Obstacle::Error(error) => error,
            Obstacle::Room => SendError::BufferFull { limit_bytes: self.limit_bytes, waited: Duration::ZERO },
            Obstacle::Topic => {
                // Nobody waits for this; the next call finds the result.
                let (promise, _) = oneshot::channel();
                self.engine.ask_for_topic(record.topic(), None, promise);
                SendError::UnknownTopicYet { topic: Str::from(record.topic()), waited: Duration::ZERO }
            }
        }
    }

    #[cold]
    fn explain(&self, error: AppendError, record: &ProducerRecord<'_>, buffer: &Buffer) -> SendError {
        match error {
            AppendError::Full { limit_bytes } => SendError::BufferFull { limit_bytes, waited: Duration::ZERO },
            AppendError::RecordTooLarge { record_bytes, limit_bytes } => {
                SendError::RecordTooLarge { record_bytes, limit_bytes }
            }
            AppendError::UnknownPartition { partition } => {
                let topic = buffer.accumulator.topic(record.topic());
                SendError::UnknownPartition {
                    partition: TopicPartition::new(record.topic(), partition),
                    count: topic.map_or(0, |topic| buffer.accumulator.partition_count(topic)),
                }
            }
            AppendError::NotInTransaction => SendError::NotInTransaction,
            AppendError::TransactionFailed => SendError::TransactionFailed,
            AppendError::Closed => SendError::Closed,
            AppendError::Stopped => SendError::Stopped,
            AppendError::ForeignTopic => unreachable!("the topic was found in this producer"),
        }
    }
}

impl Queues for Topic<'_> {
    #[inline]
    fn partition_count(&self) -> i32 {
        self.accumulator.partition_count(self.handle)
    }

    fn has_room(&self, partition: PartitionId) -> bool {
        self.accumulator.continues(self.handle, partition)
    }

    fn queues(&self) -> impl ExactSizeIterator<Item = Queue> + Clone {
        self.accumulator.waiting(self.handle).map(|(batches, is_available)| Queue { batches, is_available })
    }
}
