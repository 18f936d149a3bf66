//! Administration of transactions: lists, descriptions, and those that hang.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::at_controller::Repetition;
use super::{AdminError, Client, CoordinatorError};
use crate::admin::hanging::{self, OpenTransaction};
use crate::admin::{ActiveProducer, ItemError, Outcomes};
use crate::admin::{TransactionDescription, TransactionFilter, TransactionListing, TransactionToAbort};
use crate::admin::{abort_transaction, describe_transactions, list_transactions};
use crate::cluster::{CoordinatorKind, TopicPartition};
use crate::protocol::ErrorCode;
use crate::types::TimestampMs;
use crate::wire::Str;

impl Client {
    /// Returns the transactional ids of the cluster that match a filter, in order. Every broker is asked for those
    /// that it coordinates. Cancel safe.
    ///
    /// # Errors
    /// If a broker does not answer or refuses, since some would be missing then.
    pub async fn list_transactions(
        &self,
        filter: &TransactionFilter,
    ) -> Result<Vec<TransactionListing>, CoordinatorError> {
        let cluster = self.metadata(&[]).await?;
        let mut found = Vec::new();
        for broker in cluster.brokers() {
            let request = list_transactions::request(filter);
            let asked = self.at_broker(broker.id, request);
            let refused = |code| CoordinatorError::Refused { kind: TRANSACTION, key: Str::EMPTY, code };
            found.extend(list_transactions::read(asked.await?).map_err(refused)?);
        }
        found.sort();
        Ok(found)
    }

    /// Returns transactional ids with their last transaction, in the order of `transactional_ids`.
    ///
    /// An id that does not exist is an outcome of `TRANSACTIONAL_ID_NOT_FOUND`. Cancel safe.
    ///
    /// # Errors
    /// If a coordinator does not answer, or is not found.
    pub async fn describe_transactions(
        &self,
        transactional_ids: &[Str],
    ) -> Result<Outcomes<Str, TransactionDescription>, CoordinatorError> {
        type States = crate::protocol::describe_transactions::DescribeTransactionsResponse;

        let mut found = Vec::with_capacity(transactional_ids.len());
        for id in transactional_ids {
            let ask = || describe_transactions::request(id);
            let code = |states: &States| {
                states.transaction_states.first().map_or(ErrorCode::NONE, |one| ErrorCode(one.error_code))
            };
            let response = self.at_coordinator(TRANSACTION, id, Repetition::Harmless, ask, code).await?;
            found.push((id.clone(), describe_transactions::read(response)));
        }
        Ok(found)
    }

    /// Returns the transactions that are open in these partitions and that nobody will ever end: they keep readers of
    /// committed records from going on.
    ///
    /// A transaction whose last record is younger than `max_transaction_timeout`, by the record's own time, does not
    /// count; make it the `transaction.max.timeout.ms` of the brokers (15 minutes by default). This is what
    /// `kafka-transactions.sh find-hanging` does; but here the leaders are asked again at the end, since a transaction
    /// that ends meanwhile, with records of old times, looks the same, and times ahead of the clock count as old ones.
    /// Cancel safe.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// use kafka_wire::admin::TransactionToAbort;
    /// use kafka_wire::cluster::TopicPartition;
    ///
    /// # async fn run(client: kafka_wire::client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let partitions = [TopicPartition::new("orders", 0.into())];
    /// for open in client.find_hanging_transactions(&partitions, Duration::from_secs(900)).await? {
    ///     client.abort_transaction(&TransactionToAbort::of(open.partition, &open.producer)).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If a leader or a coordinator does not answer or refuses.
    pub async fn find_hanging_transactions(
        &self,
        partitions: &[TopicPartition],
        max_transaction_timeout: Duration,
    ) -> Result<Vec<OpenTransaction>, AdminError> {
        let producers = self.producers(partitions).await?;
        let timeout_ms = i64::try_from(max_transaction_timeout.as_millis()).unwrap_or(i64::MAX);
        let now_ms = super::clock::now_ms();
        let recent = TimestampMs(now_ms.saturating_sub(timeout_ms))..=TimestampMs(now_ms);
        let candidates = hanging::candidates(producers, &recent);
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let filter = TransactionFilter {
            producers: candidates.iter().map(|open| open.producer.producer_id).collect(),
            ..TransactionFilter::default()
        };
        let listed = self.list_transactions(&filter).await?;
        let ids: Vec<_> = listed.iter().map(|one| one.transactional_id.clone()).collect();
        let mut described = BTreeMap::new();
        for (id, outcome) in self.describe_transactions(&ids).await? {
            match outcome {
                Ok(description) => drop(described.insert(id, description)),
                // It expired between the two requests, so that no coordinator knows it any more.
                Err(error) if error.code == ErrorCode::TRANSACTIONAL_ID_NOT_FOUND => {}
                Err(error) => return Err(error.into()),
            }
        }
        let found = hanging::hanging(candidates, &listed, &described);
        let partitions: BTreeSet<_> = found.iter().map(|open| open.partition.clone()).collect();
        let producers = self.producers(&partitions.into_iter().collect::<Vec<_>>()).await?;
        Ok(hanging::still_open(found, producers))
    }

    async fn producers(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Vec<ActiveProducer>)>, AdminError> {
        let mut found = Vec::with_capacity(partitions.len());
        for (partition, outcome) in self.describe_producers(partitions).await {
            found.push((partition, outcome?));
        }
        Ok(found)
    }

    /// Aborts the open transaction of a producer in one partition, by a marker from this client.
    ///
    /// Only for transactions that hang: the records of a running one would be lost while its producer goes on.
    /// Takes rights on the cluster (`ClusterAction`, since Kafka 4.0 `Alter` does as well). Not retried.
    ///
    /// # Errors
    /// If the leader does not answer or refuses: `INVALID_PRODUCER_EPOCH` if the producer has a higher epoch by now,
    /// `TRANSACTION_COORDINATOR_FENCED` for an old epoch of the coordinator.
    pub async fn abort_transaction(&self, transaction: &TransactionToAbort) -> Result<(), AdminError> {
        let partition = &transaction.partition;
        let (leader, _) = self.leader(&partition.topic, partition.partition).await?;
        let request = abort_transaction::request(transaction);
        let response = self.at_broker(leader, request).await?;
        let outcome: Result<(), ItemError> = abort_transaction::read(response);
        if outcome.is_err() {
            self.invalidate(&partition.topic);
        }
        Ok(outcome?)
    }
}

const TRANSACTION: CoordinatorKind = CoordinatorKind::Transaction;
