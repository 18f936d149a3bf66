//! The common part of both kinds of producers: the owners' end of [`Shared`], and the requests to the sender.

use std::sync::{Arc, MutexGuard};

use tokio::sync::oneshot;

use super::super::Client;
use super::shared::{Core, Gate, Lookup, LookupError, Shared};
use super::start::start;
use crate::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use crate::compression::CompressionError;
use crate::producer::transaction::{Ended, TransactionVersion};
use crate::producer::{
    CommitError, FlushError, NotReady, OpenError, ProducerConfig, Recovered, TopicHandle, TransactionCause,
    TransactionError,
};
use crate::time::Moment;
use crate::wire::Str;

/// Offsets that a transaction commits together with its output. Source: KIP-447.
#[derive(Clone, Copy, Debug)]
pub struct GroupOffsets<'a> {
    /// The membership under which the partitions were read; read it again for each commit.
    pub group: &'a GroupMetadata,
    /// The next offset to read, for each partition.
    pub offsets: &'a [(TopicPartition, CommittedOffset)],
}

/// One producer. Dropping it ends the sender.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) client: Client,
    pub(super) shared: Arc<Shared>,
    pub(super) is_transactional: bool,
}

impl Engine {
    /// Starts a sender and waits until it has a producer id. `has_many_owners`: batches also linger inside
    /// transactions, because an owner may wait for an acknowledgement there.
    pub(super) async fn open(
        client: &Client,
        config: ProducerConfig,
        has_many_owners: bool,
    ) -> Result<Self, OpenError> {
        if !config.compression.is_supported() {
            return Err(OpenError::Compression(CompressionError::UnsupportedCodec { compression: config.compression }));
        }
        let shared = Arc::new(Shared::new(&config, has_many_owners, client.config().seed));
        let (promise, opened) = oneshot::channel();
        shared.core().on_ended.push(promise);
        let is_transactional = config.transactional_id.is_some();
        start(client, &shared, &config, has_many_owners).map_err(|error| OpenError::NoThread(error.kind()))?;
        // From here on, dropping it ends the sender.
        let engine = Self { client: client.clone(), shared, is_transactional };
        match opened.await {
            Ok(Ended::Opened) => Ok(engine),
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

    /// Looks a topic up, at most until `deadline`.
    pub(super) async fn topic(&self, name: &str, deadline: Option<Moment>) -> Result<TopicHandle, LookupError> {
        let (promise, found) = oneshot::channel();
        self.ask_for_topic(name, deadline, promise);
        found.await.unwrap_or(Err(LookupError::Stopped))
    }

    /// Requests the look-up of a topic, which lasts at most until `deadline`.
    pub(super) fn ask_for_topic(
        &self,
        name: &str,
        deadline: Option<Moment>,
        promise: oneshot::Sender<Result<TopicHandle, LookupError>>,
    ) {
        {
            let mut buffer = self.shared.buffer();
            // No sender takes it any more.
            if matches!(buffer.gate, Gate::Closed | Gate::Stopped) {
                return;
            }
            buffer.lookups.push(Lookup { name: Str::from(name), deadline, promise });
        }
        self.shared.wake.notify_one();
    }

    pub(super) fn begin(&self) -> Result<(), TransactionError> {
        let is_v2 = self.client.feature("transaction.version").is_some_and(|level| level >= 2);
        let version = if is_v2 { TransactionVersion::V2 } else { TransactionVersion::V1 };
        let mut core = self.shared.core();
        core.check().map_err(TransactionError::NotReady)?;
        if let Err(state) = core.manager.begin(version) {
            return Err(match core.manager.failure() {
                Some(Ended::Fenced(cause)) => TransactionError::Fenced(cause.clone()),
                Some(Ended::Fatal(cause)) => TransactionError::Fatal(cause.clone()),
                _ => TransactionError::NotReady(state),
            });
        }
        core.offsets = None;
        self.shared.buffer().set_gate(Gate::Open);
        Ok(())
    }

    /// Closes all batches and waits until they and all earlier ones are settled.
    pub(super) async fn flush(&self) -> Result<(), FlushError> {
        let (promise, settled) = oneshot::channel();
        let mark = {
            let mut buffer = self.shared.buffer();
            buffer.accumulator.close_all();
            buffer.accumulator.next_number()
        };
        self.running()?.on_settled.push((mark, promise));
        self.shared.wake.notify_one();
        settled.await.map_err(|_| FlushError::NotReady(NotReady::Stopped))?;
        if let Some(failure) = self.transaction_failure() {
            return Err(failure);
        }
        match self.shared.core().failed.take() {
            Some((first, failed_records)) => Err(FlushError::Delivery { first, failed_records }),
            None => Ok(()),
        }
    }

    pub(super) async fn commit(
        &self,
        offsets: Option<(GroupMetadata, Vec<(TopicPartition, CommittedOffset)>)>,
    ) -> Result<(), CommitError> {
        self.end_appending();
        let ended = self.ask(|core| core.manager.commit(offsets)).await.map_err(CommitError::NotReady)?;
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

    pub(super) async fn abort(&self) -> Result<(), TransactionError> {
        self.end_appending();
        let ended = self.ask(|core| core.manager.abort()).await.map_err(TransactionError::NotReady)?;
        settled(ended).map(|_| ())
    }

    pub(super) async fn recover(&self) -> Result<Recovered, TransactionError> {
        self.end_appending();
        let asked = |core: &mut Core| {
            core.manager.recover();
            Ok(())
        };
        let ended = self.ask(asked).await.map_err(TransactionError::NotReady)?;
        match ended {
            // A commit whose future was dropped has ended just now, without success.
            Ended::Unknown(_) | Ended::Abortable(_) | Ended::GroupChanged(_) => {
                settled(self.ask(asked).await.map_err(TransactionError::NotReady)?)
            }
            ended => settled(ended),
        }
    }

    /// Flushes or, with transactions, aborts the open one; then ends the sender and waits for its end.
    pub(super) async fn close(&self) -> Result<(), FlushError> {
        if self.shared.core().check() == Err(NotReady::Finished) {
            return Ok(());
        }
        let outcome = if self.is_transactional {
            match self.recover().await {
                Ok(_) => Ok(()),
                Err(
                    TransactionError::Fenced(cause)
                    | TransactionError::Fatal(cause)
                    | TransactionError::TimedOut(cause),
                ) => Err(FlushError::Transaction(cause)),
                Err(TransactionError::NotReady(state)) => Err(FlushError::NotReady(state)),
            }
        } else {
            self.flush().await
        };
        self.stop().await;
        outcome
    }

    /// Ends the sender at once, and waits for its end.
    pub(super) async fn stop(&self) {
        let (promise, stopped) = oneshot::channel();
        {
            let mut core = self.shared.core();
            core.is_closed = true;
            if core.has_stopped {
                return;
            }
            core.on_stopped.push(promise);
        }
        self.shared.wake.notify_one();
        // The other end is dropped together with the sender.
        let _ = stopped.await;
    }

    /// From here on the transaction accepts no records, and those that it has are being sent.
    fn end_appending(&self) {
        let mut buffer = self.shared.buffer();
        buffer.accumulator.close_all();
        if self.is_transactional {
            buffer.set_gate(Gate::NoTransaction);
        }
    }

    /// Starts an operation of the manager and waits for its outcome.
    async fn ask(&self, ask: impl FnOnce(&mut Core) -> Result<(), NotReady>) -> Result<Ended, NotReady> {
        let (promise, ended) = oneshot::channel();
        {
            let mut core = self.shared.core();
            core.check()?;
            ask(&mut core)?;
            core.on_ended.push(promise);
        }
        self.shared.wake.notify_one();
        ended.await.map_err(|_| NotReady::Stopped)
    }

    pub(super) fn running(&self) -> Result<MutexGuard<'_, Core>, FlushError> {
        let core = self.shared.core();
        core.check().map_err(FlushError::NotReady)?;
        Ok(core)
    }

    /// The reason why no more records of this transaction, or producer, will be sent.
    pub(super) fn transaction_failure(&self) -> Option<FlushError> {
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

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.core().is_closed = true;
        self.shared.wake.notify_one();
    }
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
