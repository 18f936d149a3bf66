//! A session of consume, transform and produce whose calls block.

use std::time::Duration;

use tokio::time::timeout;

use super::Runtime;
use crate::client::{self, GroupTransactError, SendError};
use crate::consumer::ConsumerRecord;
use crate::producer::ProducerRecord;

/// Reads and writes in transactions. See [`client::GroupTransactSession`] for when it commits and what it guarantees.
///
/// Made by [`Client::group_transact_session`](super::Client::group_transact_session). Every call that waits panics if
/// async code makes it.
///
/// ```no_run
/// # use std::time::Duration;
/// # use kafka_wire::blocking::Client;
/// # use kafka_wire::client::{ClientConfig, GroupConsumer, ResetPolicy};
/// # use kafka_wire::producer::{ProducerConfig, ProducerRecord};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect(ClientConfig::new("127.0.0.1:9092"))?;
/// let orders = GroupConsumer::builder("billing").topics(["orders"]).auto_offset_reset(ResetPolicy::Earliest);
/// let mut session = client.group_transact_session(orders, ProducerConfig::transactional("billing-1"))?;
/// while let Some(order) = session.next(Duration::from_secs(60))? {
///     session.send(ProducerRecord::to("bills").value(&order.value.unwrap_or_default()))?;
/// }
/// session.close()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct GroupTransactSession {
    runtime: Runtime,
    session: client::GroupTransactSession,
}

impl GroupTransactSession {
    pub(super) const fn new(runtime: Runtime, session: client::GroupTransactSession) -> Self {
        Self { runtime, session }
    }

    /// Sets the age at which a transaction is committed.
    #[must_use]
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.session = self.session.commit_interval(interval);
        self
    }

    /// Waits for the next record, and commits what is due; `None` after `wait` without any.
    ///
    /// # Errors
    /// As for [`client::GroupTransactSession::next`].
    #[track_caller]
    pub fn next(&mut self, wait: Duration) -> Result<Option<ConsumerRecord>, GroupTransactError> {
        let Self { runtime, session } = self;
        runtime.block_on(async { timeout(wait, session.next()).await.ok().transpose() })
    }

    /// Writes a record in the transaction of the record that was handed out last.
    ///
    /// # Errors
    /// As for [`client::GroupTransactSession::send`].
    #[track_caller]
    pub fn send<'r>(&mut self, record: impl Into<ProducerRecord<'r>>) -> Result<(), SendError> {
        let Self { runtime, session } = self;
        runtime.block_on(session.send(record))
    }

    /// Commits now. Returns whether the records since the last commit are committed; if not, they come again.
    ///
    /// # Errors
    /// As for [`client::GroupTransactSession::commit`].
    #[track_caller]
    pub fn commit(&mut self) -> Result<bool, GroupTransactError> {
        let Self { runtime, session } = self;
        runtime.block_on(session.commit())
    }

    /// Aborts the open transaction: its records come again.
    ///
    /// # Errors
    /// As for [`client::GroupTransactSession::abort`].
    #[track_caller]
    pub fn abort(&mut self) -> Result<(), GroupTransactError> {
        let Self { runtime, session } = self;
        runtime.block_on(session.abort())
    }

    /// The async producer, for its metrics.
    #[must_use]
    pub const fn producer(&self) -> &client::Producer {
        self.session.producer()
    }

    /// The async consumer, for its assignment, lag and metrics.
    #[must_use]
    pub const fn consumer(&self) -> &client::GroupConsumer {
        self.session.consumer()
    }

    /// Commits, closes the producer, and leaves the group.
    ///
    /// # Errors
    /// As for [`client::GroupTransactSession::close`].
    #[track_caller]
    pub fn close(self) -> Result<(), GroupTransactError> {
        let Self { runtime, session } = self;
        runtime.block_on(session.close())
    }
}
