//! The handle of a producer: records in, transactions begun and ended.
//!
//! ```text
//! append -> Buffer (open batches) --close--> Sender (task): outbox -> Produce; transaction manager -> EndTxn and the like
//!              `--------- Shared: two locks and a bell ---------'
//! ```
//! The owner's calls only write into [`shared::Shared`] and wait for a promise; [`sender::Sender`] does all the sending.

mod calls;
mod sender;
mod shared;
mod start;

use std::sync::Arc;

use tokio::sync::oneshot;

use self::shared::{Core, Shared};
use self::start::start;
use super::{Client, MetadataError};
use crate::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use crate::compression::CompressionError;
use crate::producer::accumulator::NewRecord;
use crate::producer::transaction::{Ended, TransactionVersion};
use crate::producer::{
    AppendError, CommitError, FlushError, NotReady, OpenError, ProducerConfig, Recovered, RunsOn, TopicHandle,
    TransactionCause, TransactionError,
};
use crate::record::RawHeaders;
use crate::types::{Offset, PartitionId, TimestampMs};

/// Writes records, with one owner at a time: batches per partition, idempotent, in transactions if it has a
/// transactional id.
///
/// A thread of its own sends, unless [`ProducerConfig::runs_on`] says otherwise. Dropping the producer ends it without
/// sending what waits, and leaves an open transaction to the coordinator's timeout: call [`Producer::close`] to end in order.
#[derive(Debug)]
pub struct Producer {
    client: Client,
    shared: Arc<Shared>,
    is_transactional: bool,
    /// Between `begin` and the end of the transaction, as far as the owner knows.
    is_open: bool,
}

/// Offsets that a transaction commits together with its output. Source: KIP-447.
#[derive(Clone, Copy, Debug)]
pub struct GroupOffsets<'a> {
    /// The membership that the partitions were read under; read it afresh for each commit.
    pub group: &'a GroupMetadata,
    /// How far each partition has been read: the next offset to read.
    pub offsets: &'a [(TopicPartition, CommittedOffset)],
}

impl Producer {
    /// Gets a producer id. With a transactional id: fences whoever has used it, and waits until the transaction that
    /// it left open is aborted (the coordinator answers CONCURRENT_TRANSACTIONS until then).
    ///
    /// # Errors
    /// Refused for good, or not through within `init_timeout`. Cancel safe: nothing is left running.
    pub async fn open(client: &Client, config: ProducerConfig) -> Result<Self, OpenError> {
        if !config.compression.is_supported() {
            return Err(OpenError::Compression(CompressionError::UnsupportedCodec { compression: config.compression }));
        }
        let shared = Arc::new(Shared::new(&config));
        let (promise, opened) = oneshot::channel();
        shared.core().on_ended = Some(promise);
        let is_transactional = config.transactional_id.is_some();
        start(client, &shared, &config).map_err(|error| OpenError::NoThread(error.kind()))?;
        // From here on dropping the producer ends what sends.
        let producer = Self { client: client.clone(), shared, is_transactional, is_open: false };
        match opened.await {
            Ok(Ended::Opened) => Ok(producer),
            Ok(Ended::Fatal(cause) | Ended::Fenced(cause) | Ended::Abortable(cause)) => Err(match cause {
                TransactionCause::Refused { code, .. } => OpenError::Refused(code),
                TransactionCause::TimedOut { last, .. } => OpenError::TimedOut { last },
                TransactionCause::Unsendable { .. } | TransactionCause::Delivery(_) => OpenError::Unsupported,
            }),
            Ok(Ended::TimedOut(TransactionCause::TimedOut { last, .. })) => Err(OpenError::TimedOut { last }),
            Ok(_) => Err(OpenError::TimedOut { last: None }),
            Err(_) => Err(OpenError::Stopped),
        }
    }

    /// Looks a topic up. Call it again to see partitions that were added; the handle stays the same. Cancel safe.
    ///
    /// # Errors
    /// The topic does not exist, or no broker answered.
    pub async fn topic(&mut self, name: &str) -> Result<TopicHandle, MetadataError> {
        let topic = self.client.topic(name).await?;
        let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        Ok(self.shared.buffer().accumulator.add_topic(&topic.name, count))
    }

    /// Partitions of a topic, when it was last looked up.
    #[must_use]
    pub fn partition_count(&self, topic: TopicHandle) -> i32 {
        self.shared.buffer().accumulator.partition_count(topic)
    }

    /// Serialises a record into the open batch of its partition. `timestamp` is in milliseconds since 1970, -1 for none.
    ///
    /// Without a transaction the batch leaves when it is full or `linger` is over; inside one when it is full, or at
    /// [`Producer::flush`] and [`Producer::commit`].
    ///
    /// # Errors
    /// Nothing is appended then; see [`AppendError`]. That earlier records failed is told by `flush` and `commit`.
    #[inline]
    pub fn append(
        &mut self,
        topic: TopicHandle,
        partition: PartitionId,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: RawHeaders<'_>,
    ) -> Result<(), AppendError> {
        if self.is_transactional && !self.is_open {
            return Err(AppendError::NotInTransaction);
        }
        let record = NewRecord { timestamp, key, value, headers };
        let has_news = self.shared.buffer().accumulator.append(topic, partition, record)?;
        if has_news {
            self.shared.wake.notify_one();
        }
        Ok(())
    }

    /// Whether no more than `room_limit_bytes` wait for their acknowledgement: then [`Producer::ready`] need not be called.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.shared.buffer().accumulator.has_room()
    }

    /// Waits until the buffer has room again after [`AppendError::Full`]. Cancel safe.
    ///
    /// # Errors
    /// The transaction has failed: there will be no room for it, `abort`.
    pub async fn ready(&mut self) -> Result<(), FlushError> {
        let (promise, has_room) = oneshot::channel();
        {
            let core = self.running()?;
            let mut buffer = self.shared.buffer();
            // Many partitions can fill the buffer with batches that are not full themselves.
            buffer.accumulator.close_all();
            buffer.on_room = Some(promise);
            drop(core);
        }
        self.shared.wake.notify_one();
        has_room.await.map_err(|_| FlushError::NotReady(NotReady::Stopped))?;
        self.transaction_failure().map_or(Ok(()), Err)
    }

    /// Opens a transaction. No request is sent before there is something to send.
    ///
    /// Which version of the protocol it runs at is decided here, by the cluster's finalized `transaction.version`.
    ///
    /// # Errors
    /// A transaction is open, or has to be aborted or recovered first, or the producer is finished.
    pub fn begin(&mut self) -> Result<(), TransactionError> {
        let is_v2 = self.client.feature("transaction.version").is_some_and(|level| level >= 2);
        let version = if is_v2 { TransactionVersion::V2 } else { TransactionVersion::V1 };
        let mut core = self.shared.core();
        if let Err(state) = core.manager.begin(version) {
            return Err(match core.manager.failure() {
                Some(Ended::Fenced(cause)) => TransactionError::Fenced(cause.clone()),
                Some(Ended::Fatal(cause)) => TransactionError::Fatal(cause.clone()),
                _ => TransactionError::NotReady(state),
            });
        }
        drop(core);
        self.is_open = true;
        Ok(())
    }

    /// Sends everything that was appended and waits for every acknowledgement. Cancel safe.
    ///
    /// # Errors
    /// Some records will never be acknowledged. Inside a transaction it has to be aborted; without one, the failure is
    /// told once and the producer goes on.
    pub async fn flush(&mut self) -> Result<(), FlushError> {
        let (promise, drained) = oneshot::channel();
        self.shared.buffer().accumulator.close_all();
        self.running()?.on_drained = Some(promise);
        self.shared.wake.notify_one();
        drained.await.map_err(|_| FlushError::NotReady(NotReady::Stopped))?;
        if let Some(failure) = self.transaction_failure() {
            return Err(failure);
        }
        match self.shared.core().failed.take() {
            Some((first, failed_records)) => Err(FlushError::Delivery { first, failed_records }),
            None => Ok(()),
        }
    }

    /// Offset of the last record of a partition that was acknowledged to this producer; `None` before, and while the
    /// broker recognised only repeats, which it acknowledges without an offset.
    #[must_use]
    pub fn last_offset(&self, topic: TopicHandle, partition: PartitionId) -> Option<Offset> {
        let buffer = self.shared.buffer();
        let slot = buffer.accumulator.slot(topic, partition)?;
        buffer.last_offsets.get(slot.index()).copied().flatten()
    }

    /// Flushes, commits `offsets` in the transaction, and ends it. A transaction without records and offsets ends
    /// without a request.
    ///
    /// Not cancel safe: after dropping the future the transaction may be committed or not; [`Producer::recover`] tells.
    ///
    /// # Errors
    /// Each variant of [`CommitError`] says what to call next. Only `Unknown` may be committed.
    pub async fn commit(&mut self, offsets: Option<GroupOffsets<'_>>) -> Result<(), CommitError> {
        let group = offsets.map(|offsets| (offsets.group.clone(), offsets.offsets.to_vec()));
        self.shared.buffer().accumulator.close_all();
        self.is_open = false;
        let ended = self.ask(|core| core.manager.commit(group)).await.map_err(CommitError::NotReady)?;
        match ended {
            Ended::Committed => Ok(()),
            Ended::Unknown(cause) => Err(CommitError::Unknown(cause)),
            Ended::Abortable(cause) | Ended::TimedOut(cause) => Err(CommitError::Abortable(cause)),
            Ended::GroupChanged(code) => Err(CommitError::GroupChanged(code)),
            Ended::Fenced(cause) => Err(CommitError::Fenced(cause)),
            Ended::Fatal(cause) => Err(CommitError::Fatal(cause)),
            Ended::Opened | Ended::Aborted => Err(CommitError::NotReady(NotReady::NotBegun)),
        }
    }

    /// Throws away what has not been sent and aborts the transaction; the next may begin. Fine when none is open.
    ///
    /// Not cancel safe: after dropping the future, [`Producer::recover`].
    ///
    /// # Errors
    /// See [`TransactionError`]; after `TimedOut` it may be called again.
    pub async fn abort(&mut self) -> Result<(), TransactionError> {
        self.is_open = false;
        let ended = self.ask(|core| core.manager.abort()).await.map_err(TransactionError::NotReady)?;
        settled(ended).map(|_| ())
    }

    /// Makes sure how the transaction ended that [`CommitError::Unknown`] left open, aborting it if it is still open,
    /// and gets a new epoch, so that nothing that is still on its way can touch the next one.
    ///
    /// Fits every state: a failed transaction is aborted, a commit that nobody waited for is waited for. Cancel safe.
    ///
    /// # Errors
    /// See [`TransactionError`]. `Fenced` leaves the outcome open: whoever fenced this producer, or the coordinator's
    /// timeout, came first or second; the committed offsets of the group tell.
    pub async fn recover(&mut self) -> Result<Recovered, TransactionError> {
        self.is_open = false;
        let asked = |core: &mut Core| {
            core.manager.recover();
            Ok(())
        };
        let ended = self.ask(asked).await.map_err(TransactionError::NotReady)?;
        match ended {
            // A commit that nobody waited for has ended just now, and not well.
            Ended::Unknown(_) | Ended::Abortable(_) | Ended::GroupChanged(_) => {
                settled(self.ask(asked).await.map_err(TransactionError::NotReady)?)
            }
            ended => settled(ended),
        }
    }

    /// Flushes or, inside a transaction, aborts it; then ends the background task.
    ///
    /// # Errors
    /// Some records will never be acknowledged, or the transaction could not be aborted.
    pub async fn close(mut self) -> Result<(), FlushError> {
        if !self.is_transactional {
            return self.flush().await;
        }
        match self.recover().await {
            Ok(_) => Ok(()),
            Err(
                TransactionError::Fenced(cause) | TransactionError::Fatal(cause) | TransactionError::TimedOut(cause),
            ) => Err(FlushError::Transaction(cause)),
            Err(TransactionError::NotReady(state)) => Err(FlushError::NotReady(state)),
        }
    }

    /// Asks the manager for something and waits for how it ended.
    async fn ask(&self, ask: impl FnOnce(&mut Core) -> Result<(), NotReady>) -> Result<Ended, NotReady> {
        let (promise, ended) = oneshot::channel();
        {
            let mut core = self.shared.core();
            if core.has_stopped {
                return Err(NotReady::Stopped);
            }
            ask(&mut core)?;
            core.on_ended = Some(promise);
        }
        self.shared.wake.notify_one();
        ended.await.map_err(|_| NotReady::Stopped)
    }

    fn running(&self) -> Result<std::sync::MutexGuard<'_, Core>, FlushError> {
        let core = self.shared.core();
        if core.has_stopped { Err(FlushError::NotReady(NotReady::Stopped)) } else { Ok(core) }
    }

    /// Why nothing more of this transaction, or producer, will be sent.
    fn transaction_failure(&self) -> Option<FlushError> {
        let core = self.shared.core();
        Some(match core.manager.failure()? {
            Ended::Abortable(TransactionCause::Delivery(first)) => {
                let failed_records = u64::from(first.record_count.unsigned_abs());
                FlushError::Delivery { first: first.clone(), failed_records }
            }
            Ended::Abortable(cause) | Ended::Fenced(cause) | Ended::Fatal(cause) | Ended::TimedOut(cause) => {
                FlushError::Transaction(cause.clone())
            }
            _ => FlushError::NotReady(NotReady::NeedsAbort),
        })
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.core().is_closed = true;
        self.shared.wake.notify_one();
    }
}

/// Fences whoever has used a transactional id and aborts the transaction that it left open; for an instance that died.
///
/// Returns when the abort is complete, so that its partitions' last stable offsets move on. Source: KIP-98.
///
/// # Errors
/// As [`Producer::open`].
pub async fn fence(client: &Client, transactional_id: &str) -> Result<(), OpenError> {
    let config = ProducerConfig { runs_on: RunsOn::CallersRuntime, ..ProducerConfig::transactional(transactional_id) };
    Producer::open(client, config).await.map(drop)
}

fn settled(ended: Ended) -> Result<Recovered, TransactionError> {
    match ended {
        Ended::Committed => Ok(Recovered::Committed),
        Ended::Aborted | Ended::Opened => Ok(Recovered::Aborted),
        Ended::TimedOut(cause) | Ended::Unknown(cause) | Ended::Abortable(cause) => {
            Err(TransactionError::TimedOut(cause))
        }
        Ended::GroupChanged(_) => Err(TransactionError::NotReady(NotReady::NeedsAbort)),
        Ended::Fenced(cause) => Err(TransactionError::Fenced(cause)),
        Ended::Fatal(cause) => Err(TransactionError::Fatal(cause)),
    }
}
