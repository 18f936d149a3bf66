//! Consume, transform, produce: records that were read and records that were written are committed together.

use std::fmt;
use std::time::Duration;

use tracing::{debug, warn};

use super::consumer::sleep_until;
use super::{
    AssignmentChange, BoxFuture, Client, GroupConsumer, GroupConsumerBuilder, GroupConsumerError, GroupOffsets,
    Producer, SendError,
};
use crate::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use crate::consumer::ConsumerRecord;
use crate::producer::{
    CommitError, NotReady, OpenError, ProducerConfig, ProducerRecord, Recovered, TransactionCause, TransactionError,
};
use crate::time::Moment;

/// A [`GroupConsumer`] and a transactional [`Producer`] that commit together: what a program reads, and what it writes
/// because of it, are in one transaction. A reader of the output with `isolation.level=read_committed` sees the
/// results of each record once, whatever crashes or rebalances there are. Source: KIP-98, KIP-447.
///
/// ```no_run
/// use kafka_wire::client::{Client, ClientConfig, GroupConsumer, GroupTransactSession, ResetPolicy};
/// use kafka_wire::producer::{ProducerConfig, ProducerRecord};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect(ClientConfig::new("localhost:9092")).await?;
/// let orders = GroupConsumer::builder("billing").topics(["orders"]).auto_offset_reset(ResetPolicy::Earliest);
/// let mut session = GroupTransactSession::open(client, orders, ProducerConfig::transactional("billing-1")).await?;
/// loop {
///     let order = session.next().await?;
///     session.send(ProducerRecord::to("bills").value(&order.value.unwrap_or_default())).await?;
/// }
/// # }
/// ```
/// Without `Earliest` a partition of which the group has committed nothing begins at its end, as in every consumer:
/// records from before the first commit would be in no transaction.
///
/// Each process of a group needs a transactional id of its own, and keeps it when it starts again: the new process then
/// ends the transaction that the old one left open.
///
/// # When it commits
/// A transaction begins with the first record that [`next`](Self::next) hands out. `next` commits it as soon as it is
/// as old as the commit interval (100 ms), also while it waits for more records; and before partitions go to other
/// members. A record counts as processed, and is committed, once `next` is called again: send everything that follows
/// from it before.
///
/// A transaction that cannot be committed is aborted, nothing of it is ever visible, and `next` hands its records out
/// again. So a program that keeps sums of what it has read needs another way; `processor` keeps state.
pub struct GroupTransactSession {
    client: Client,
    consumer: GroupConsumer,
    producer: Producer,
    commit_interval: Duration,
    /// The begin of the open transaction, if there is one.
    since: Option<Moment>,
    /// The end of the transaction that is under way; it stays here if the future that waits for it is dropped.
    ending: Option<BoxFuture<Ended>>,
}

/// The outcome of the end of a transaction, with the offsets that belonged to it.
struct Ended {
    offsets: Vec<(TopicPartition, CommittedOffset)>,
    outcome: Result<Outcome, GroupTransactError>,
}

enum Outcome {
    Committed,
    /// `None`: because it was to be aborted, or because the group had given the partitions to others.
    Aborted(Option<TransactionCause>),
}

/// The reasons for which a [`GroupTransactSession`] fails.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum GroupTransactError {
    /// The producer could not be opened.
    Open(OpenError),
    /// The consumer failed; [`GroupConsumerError::is_retriable`] tells whether another call may succeed.
    Consumer(GroupConsumerError),
    /// The transaction was aborted for this reason. The next call hands its records out again.
    Aborted(TransactionCause),
    /// The transaction is not committed, and this producer cannot go on. Open a new session.
    Commit(CommitError),
    /// A transaction could not be begun, aborted or recovered.
    Transaction(TransactionError),
}

impl GroupTransactSession {
    /// Opens the producer and begins to join the group. Offsets are committed by transactions alone, and only
    /// committed records are read, whatever `consumer` says about the two.
    ///
    /// # Errors
    /// The producer cannot be opened or has no transactional id, or the topics of a pattern cannot be looked up.
    pub async fn open(
        client: Client,
        consumer: GroupConsumerBuilder,
        producer: ProducerConfig,
    ) -> Result<Self, GroupTransactError> {
        if producer.transactional_id.is_none() {
            let error = TransactionError::NotReady(NotReady::NotTransactional);
            return Err(GroupTransactError::Transaction(error));
        }
        let producer = Producer::open(&client, producer).await.map_err(GroupTransactError::Open)?;
        let consumer = consumer.manual_commit().read_committed().build(client.clone()).await;
        let consumer = consumer.map_err(GroupTransactError::Consumer)?;
        Ok(Self { client, consumer, producer, commit_interval: COMMIT_INTERVAL, since: None, ending: None })
    }

    /// Sets the age at which a transaction is committed. Longer transactions cost the brokers less, and their results
    /// are visible later. Keep it far below `transaction.timeout.ms`.
    #[must_use]
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.commit_interval = interval;
        self
    }

    /// Waits for the next record, which the caller may keep. Commits what is due before and meanwhile.
    ///
    /// Cancel safe: a commit that has begun goes on with the next call.
    ///
    /// # Errors
    /// See [`GroupTransactError`]. After `Aborted`, the next call hands the records of the transaction out again.
    pub async fn next(&mut self) -> Result<ConsumerRecord, GroupTransactError> {
        loop {
            self.settle().await?;
            let due = self.since.map(|since| since + self.commit_interval);
            if due.is_some_and(|due| self.client.now() >= due) {
                self.begin_commit();
                continue;
            }
            let found = tokio::select! {
                biased;
                found = self.consumer.next_or_change() => found.map_err(GroupTransactError::Consumer)?,
                () = sleep_until(&self.client, due) => continue,
            };
            match found {
                Ok(record) => {
                    if self.since.is_none() {
                        if let Err(error) = self.producer.begin_transaction() {
                            // The record was not handed out.
                            self.consumer.rewind();
                            if error.is_retriable() {
                                // The last transaction has ended, but the producer got no new epoch.
                                self.begin_recovery(Vec::new());
                            }
                            return Err(GroupTransactError::Transaction(error));
                        }
                        self.since = Some(self.client.now());
                    }
                    return Ok(record);
                }
                Err(AssignmentChange::Revoking(_)) if self.since.is_some() => self.begin_commit(),
                Err(AssignmentChange::Lost { .. }) if self.since.is_some() => self.begin_abort(),
                Err(change) => debug!(?change, "assignment"),
            }
        }
    }

    /// Writes a record in the transaction of the record that was handed out last. That it fails later fails
    /// the transaction, so its delivery need not be awaited. Cancel safe: if it is dropped before it is ready, nothing
    /// is sent.
    ///
    /// # Errors
    /// The record is not written. If [`SendError::requires_abort`], call [`next`](Self::next): it aborts,
    /// and tells why.
    pub async fn send<'r>(&mut self, record: impl Into<ProducerRecord<'r>>) -> Result<(), SendError> {
        self.producer.send(record).await.map(|delivery| delivery.forget())
    }

    /// The producer, for other ways to send. Its transactions are the session's: leave them alone.
    #[must_use]
    pub const fn producer(&self) -> &Producer {
        &self.producer
    }

    /// The consumer, for its assignment, lag and metrics.
    #[must_use]
    pub const fn consumer(&self) -> &GroupConsumer {
        &self.consumer
    }

    /// Commits now. Returns whether the records since the last commit are committed; if not, they come again, because
    /// the group has given their partitions to other members or is sharing them anew. Cancel safe, as `next`.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub async fn commit(&mut self) -> Result<bool, GroupTransactError> {
        if self.ending.is_none() && self.since.is_some() {
            self.begin_commit();
        }
        self.settle().await
    }

    /// Aborts the open transaction: nothing of it is ever visible, and its records come again. Cancel safe, as `next`.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub async fn abort(&mut self) -> Result<(), GroupTransactError> {
        if self.ending.is_none() && self.since.is_some() {
            self.begin_abort();
        }
        self.settle().await.map(|_| ())
    }

    /// Commits, closes the producer, and leaves the group, so that other members take over at once. Not cancel safe:
    /// if it is dropped, others get the partitions after the session timeout.
    ///
    /// # Errors
    /// The last transaction was not committed: what it read is read again by whoever gets the partitions. The member
    /// leaves the group all the same.
    pub async fn close(mut self) -> Result<(), GroupTransactError> {
        let committed = self.commit().await;
        let closed = self.producer.close().await;
        // It commits nothing, so it cannot fail.
        let _ = self.consumer.close().await;
        committed?;
        if let Err(error) = closed {
            warn!(%error, "the producer did not end in order; what was committed stays");
        }
        Ok(())
    }

    fn begin_commit(&mut self) {
        let (producer, group) = (self.producer.clone(), self.consumer.group_metadata());
        let offsets = self.consumer.uncommitted();
        self.ending = Some(Box::pin(async move {
            let outcome = commit(&producer, &group, &offsets).await;
            Ended { offsets, outcome }
        }));
    }

    fn begin_abort(&mut self) {
        let producer = self.producer.clone();
        self.ending = Some(Box::pin(async move {
            let outcome = producer.abort_transaction().await.map_err(GroupTransactError::Transaction);
            Ended { offsets: Vec::new(), outcome: outcome.map(|()| Outcome::Aborted(None)) }
        }));
    }

    /// Lets the next call find out how the transaction has ended: until then nothing counts as committed or aborted.
    fn begin_recovery(&mut self, offsets: Vec<(TopicPartition, CommittedOffset)>) {
        let producer = self.producer.clone();
        self.ending = Some(Box::pin(async move {
            let outcome = match producer.recover_transaction().await {
                Ok(Recovered::Committed) => Ok(Outcome::Committed),
                Ok(Recovered::Aborted) => Ok(Outcome::Aborted(None)),
                Err(error) => Err(GroupTransactError::Transaction(error)),
            };
            Ended { offsets, outcome }
        }));
    }

    /// Waits for the end of the transaction that is under way, if there is one. Returns whether everything that was
    /// handed out is committed.
    async fn settle(&mut self) -> Result<bool, GroupTransactError> {
        let Some(ending) = &mut self.ending else { return Ok(self.since.is_none()) };
        let Ended { offsets, outcome } = ending.await;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                self.begin_recovery(offsets);
                return Err(error);
            }
        };
        (self.ending, self.since) = (None, None);
        match outcome {
            Outcome::Committed => {
                self.consumer.mark_committed(&offsets);
                Ok(true)
            }
            Outcome::Aborted(cause) => {
                self.consumer.rewind();
                cause.map_or(Ok(false), |cause| Err(GroupTransactError::Aborted(cause)))
            }
        }
    }
}

/// Commits the open transaction with these offsets. If that is not possible, aborts it.
async fn commit(
    producer: &Producer,
    group: &GroupMetadata,
    offsets: &[(TopicPartition, CommittedOffset)],
) -> Result<Outcome, GroupTransactError> {
    producer.send_offsets_to_transaction(GroupOffsets { group, offsets });
    let cause = match producer.commit_transaction().await {
        Ok(()) => return Ok(Outcome::Committed),
        Err(CommitError::Unknown(cause)) => {
            return match producer.recover_transaction().await.map_err(GroupTransactError::Transaction)? {
                Recovered::Committed => Ok(Outcome::Committed),
                Recovered::Aborted => Ok(Outcome::Aborted(Some(cause))),
            };
        }
        Err(CommitError::GroupChanged(code)) => {
            debug!(group = %group.group_id, code = code.name(), "the group has moved on; the transaction is aborted");
            None
        }
        Err(CommitError::Abortable(cause)) => Some(cause),
        Err(error) => return Err(GroupTransactError::Commit(error)),
    };
    producer.abort_transaction().await.map_err(GroupTransactError::Transaction)?;
    Ok(Outcome::Aborted(cause))
}

impl GroupTransactError {
    /// Returns whether the session can go on: the next call may succeed without anybody's help.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Aborted(_) => true,
            Self::Consumer(error) => error.is_retriable(),
            Self::Open(error) => error.is_retriable(),
            Self::Transaction(error) => error.is_retriable(),
            Self::Commit(_) => false,
        }
    }
}

impl fmt::Display for GroupTransactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Consumer(error) => error.fmt(f),
            Self::Aborted(cause) => write!(f, "the transaction was aborted, and what it read comes again: {cause}"),
            Self::Commit(error) => error.fmt(f),
            Self::Transaction(error) => error.fmt(f),
        }
    }
}

debug_as_text!(GroupTransactError);

impl std::error::Error for GroupTransactError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open(error) => Some(error),
            Self::Consumer(error) => Some(error),
            Self::Aborted(cause) => Some(cause),
            Self::Commit(error) => Some(error),
            Self::Transaction(error) => Some(error),
        }
    }
}

impl fmt::Debug for GroupTransactSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { consumer, producer, since, .. } = self;
        f.debug_struct("GroupTransactSession")
            .field("consumer", consumer)
            .field("producer", producer)
            .field("since", since)
            .finish_non_exhaustive()
    }
}

/// The interval of Kafka Streams with exactly-once.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
