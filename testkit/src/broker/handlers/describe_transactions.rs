//! DescribeTransactions: shows the states of transactional ids (KIP-664).

use std::collections::BTreeSet;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::describe_transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, TopicData, TransactionState,
};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler};
use crate::broker::internal_topics::{CONSUMER_OFFSETS, partition_of};
use crate::broker::state::State;
use crate::broker::transactions::Described;

impl Handler for DescribeTransactionsRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<DescribeTransactionsResponse> {
        Handled::Now(respond(&self, |id| match state.transactions.describe(id) {
            _ if id.is_empty() => refused(id, ErrorCode::INVALID_REQUEST),
            Some(transaction) => describe(state, &transaction),
            None => refused(id, ErrorCode::TRANSACTIONAL_ID_NOT_FOUND),
        }))
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> DescribeTransactionsResponse {
        respond(self, |id| refused(id, error))
    }
}

fn describe(state: &State, transaction: &Described<'_>) -> TransactionState {
    let mut topics: Vec<TopicData> = Vec::new();
    for partition in transaction.partitions {
        match topics.last_mut().filter(|last| last.topic == partition.topic) {
            Some(last) => last.partitions.push(partition.partition.0),
            None => topics.push(TopicData {
                topic: partition.topic.clone(),
                partitions: vec![partition.partition.0],
                ..Default::default()
            }),
        }
    }
    // A group in a transaction is shown as the partition that has its offsets.
    let count = state.config.internal_partitions;
    let partitions: BTreeSet<i32> = transaction.groups.iter().map(|group| partition_of(group, count)).collect();
    if !partitions.is_empty() {
        topics.push(TopicData {
            topic: Str::from_static(CONSUMER_OFFSETS),
            partitions: partitions.into_iter().collect(),
            ..Default::default()
        });
    }
    TransactionState {
        transactional_id: transaction.transactional_id.clone(),
        transaction_state: Str::from_static(transaction.state),
        transaction_timeout_ms: i32::try_from(transaction.timeout.as_millis()).unwrap_or(i32::MAX),
        transaction_start_time_ms: transaction.started.map_or(-1, |started| state.timestamp_at(started).0),
        producer_id: transaction.producer.id.0,
        producer_epoch: transaction.producer.epoch.0,
        topics,
        ..TransactionState::default()
    }
}

fn refused(id: &Str, error: ErrorCode) -> TransactionState {
    TransactionState { error_code: error.0, transactional_id: id.clone(), ..TransactionState::default() }
}

fn respond(
    request: &DescribeTransactionsRequest,
    describe: impl Fn(&Str) -> TransactionState,
) -> DescribeTransactionsResponse {
    let transaction_states = request.transactional_ids.iter().map(describe).collect();
    DescribeTransactionsResponse { transaction_states, ..DescribeTransactionsResponse::default() }
}
