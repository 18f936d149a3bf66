//! Writes batches and transactions request by request, so that suites about reading control the content of the log.
//!
//! Transactions are of the first version (KIP-98) on every broker: each step is a request of its own,
//! visible in the test.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kafka_wire::client::{CallOptions, Client, Lane, Node};
use kafka_wire::cluster::{CoordinatorKind, TopicPartition};
use kafka_wire::compression::Compression;
use kafka_wire::protocol::add_offsets_to_txn::AddOffsetsToTxnRequest;
use kafka_wire::protocol::add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnTopic};
use kafka_wire::protocol::end_txn::EndTxnRequest;
use kafka_wire::protocol::init_producer_id::InitProducerIdRequest;
use kafka_wire::protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_wire::protocol::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_wire::protocol::{ErrorCode, Request};
use kafka_wire::record::{BatchBuilder, RawHeaders, Seal};
use kafka_wire::types::{BrokerId, Offset, ProducerEpoch, ProducerId};
use kafka_wire::wire::Str;

/// Writes one batch outside of any transaction: a record without key per value. Returns its first offset.
///
/// # Panics
/// If the leader does not take it.
pub async fn write(client: &Client, partition: &TopicPartition, values: &[&str]) -> Offset {
    let seal = Seal {
        producer_id: ProducerId(-1),
        producer_epoch: ProducerEpoch(-1),
        base_sequence: -1,
        transactional: false,
        compression: Compression::None,
    };
    produce(client, None, partition, batch(values, seal)).await
}

/// Writes a batch as it is. Returns its first offset.
///
/// # Panics
/// If the leader does not take it.
pub async fn write_batch(client: &Client, partition: &TopicPartition, batch: Bytes) -> Offset {
    produce(client, None, partition, batch).await
}

/// A transactional producer that takes one step at a time.
#[derive(Debug)]
pub struct Transactions {
    client: Client,
    transactional_id: Str,
    coordinator: BrokerId,
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    sequences: BTreeMap<TopicPartition, i32>,
}

impl Transactions {
    /// Takes hold of the transactional id, and ends the open transaction of its former holder.
    ///
    /// # Panics
    /// If the coordinator refuses.
    pub async fn open(client: &Client, transactional_id: &str) -> Self {
        let coordinator = client.coordinator(CoordinatorKind::Transaction, transactional_id).await;
        let coordinator = coordinator.expect("a coordinator for the transactional id");
        let request = InitProducerIdRequest {
            transactional_id: Some(Str::from(transactional_id)),
            transaction_timeout_ms: 60_000,
            ..InitProducerIdRequest::default()
        };
        let ask = async || {
            let response = call(client, coordinator, request.clone(), 4).await;
            (ErrorCode(response.error_code), response)
        };
        let response = until_done("InitProducerId", ask).await;
        Self {
            client: client.clone(),
            transactional_id: Str::from(transactional_id),
            coordinator,
            producer_id: ProducerId(response.producer_id),
            producer_epoch: ProducerEpoch(response.producer_epoch),
            sequences: BTreeMap::new(),
        }
    }

    /// Writes one batch in the current transaction, which begins with it if none is open. Returns its first offset.
    ///
    /// # Panics
    /// If the coordinator or the leader refuses.
    pub async fn write(&mut self, partition: &TopicPartition, values: &[&str]) -> Offset {
        let count = i32::try_from(values.len()).expect("few values");
        self.write_batch(partition, count, |seal| batch(values, seal)).await
    }

    /// The same with a batch of `count` records, which `build` makes with the given seal.
    ///
    /// # Panics
    /// As [`Transactions::write`].
    pub async fn write_batch(
        &mut self,
        partition: &TopicPartition,
        count: i32,
        build: impl FnOnce(Seal) -> Bytes,
    ) -> Offset {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.transactional_id.clone(),
            v3_and_below_producer_id: self.producer_id.0,
            v3_and_below_producer_epoch: self.producer_epoch.0,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: partition.topic.clone(),
                partitions: vec![partition.partition.0],
                ..Default::default()
            }],
            ..AddPartitionsToTxnRequest::default()
        };
        let ask = async || {
            let response = call(&self.client, self.coordinator, request.clone(), 3).await;
            let results = &response.results_by_topic_v3_and_below[0].results_by_partition;
            (ErrorCode(results[0].partition_error_code), ())
        };
        until_done("AddPartitionsToTxn", ask).await;
        let sequence = self.sequences.entry(partition.clone()).or_default();
        let seal = Seal {
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: *sequence,
            transactional: true,
            compression: Compression::None,
        };
        *sequence += count;
        produce(&self.client, Some(self.transactional_id.clone()), partition, build(seal)).await
    }

    /// Commits an offset of a group with the current transaction, without naming a member.
    ///
    /// # Panics
    /// If a coordinator refuses.
    pub async fn write_offset(&self, group_id: &str, partition: &TopicPartition, offset: Offset) {
        let request = AddOffsetsToTxnRequest {
            transactional_id: self.transactional_id.clone(),
            producer_id: self.producer_id.0,
            producer_epoch: self.producer_epoch.0,
            group_id: Str::from(group_id),
            ..Default::default()
        };
        let ask = async || {
            let response = call(&self.client, self.coordinator, request.clone(), 3).await;
            (ErrorCode(response.error_code), ())
        };
        until_done("AddOffsetsToTxn", ask).await;
        let coordinator = self.client.coordinator(CoordinatorKind::Group, group_id).await.expect("a group coordinator");
        let request = TxnOffsetCommitRequest {
            transactional_id: self.transactional_id.clone(),
            group_id: Str::from(group_id),
            producer_id: self.producer_id.0,
            producer_epoch: self.producer_epoch.0,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: partition.topic.clone(),
                partitions: vec![TxnOffsetCommitRequestPartition {
                    partition_index: partition.partition.0,
                    committed_offset: offset.0,
                    ..TxnOffsetCommitRequestPartition::default()
                }],
                ..Default::default()
            }],
            ..TxnOffsetCommitRequest::default()
        };
        let ask = async || {
            let response = call(&self.client, coordinator, request.clone(), 4).await;
            (ErrorCode(response.topics[0].partitions[0].error_code), ())
        };
        until_done("TxnOffsetCommit", ask).await;
    }

    /// Commits the current transaction; its markers are written some moments later.
    ///
    /// # Panics
    /// If the coordinator refuses.
    pub async fn commit(&self) {
        self.end(true).await;
    }

    /// Aborts the current transaction.
    ///
    /// # Panics
    /// If the coordinator refuses.
    pub async fn abort(&self) {
        self.end(false).await;
    }

    async fn end(&self, committed: bool) {
        let request = EndTxnRequest {
            transactional_id: self.transactional_id.clone(),
            producer_id: self.producer_id.0,
            producer_epoch: self.producer_epoch.0,
            committed,
            ..Default::default()
        };
        let ask = async || {
            let response = call(&self.client, self.coordinator, request.clone(), 4).await;
            (ErrorCode(response.error_code), ())
        };
        until_done("EndTxn", ask).await;
    }
}

/// Repeats a request that a coordinator cannot carry out yet, such as to begin a transaction while it
/// still ends the last one.
async fn until_done<T>(what: &str, ask: impl AsyncFn() -> (ErrorCode, T)) -> T {
    let answer = crate::eventually(what, Duration::from_secs(30), || async {
        match ask().await {
            (ErrorCode::NONE, answer) => Some(answer),
            (code, _) if code.is_retriable() => None,
            (code, _) => panic!("{what}: {code}"),
        }
    });
    answer.await
}

fn batch(values: &[&str], seal: Seal) -> Bytes {
    let mut builder = BatchBuilder::new(1024);
    for value in values {
        builder.append(1_000, None, Some(value.as_bytes()), RawHeaders::EMPTY).expect("a small record");
    }
    builder.seal(seal).expect("no compression, no failure")
}

async fn produce(client: &Client, id: Option<Str>, partition: &TopicPartition, records: Bytes) -> Offset {
    let request = ProduceRequest {
        transactional_id: id,
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: partition.topic.clone(),
            partition_data: vec![PartitionProduceData {
                index: partition.partition.0,
                records: Some(records),
                ..Default::default()
            }],
            ..TopicProduceData::default()
        }],
        ..Default::default()
    };
    let written = crate::eventually("a leader that takes a batch", Duration::from_secs(30), async || {
        let (leader, _) =
            client.leader(&partition.topic, partition.partition).await.expect("the partition has a leader");
        let response = call(client, leader, request.clone(), 11).await;
        let answer = &response.responses[0].partition_responses[0];
        match ErrorCode(answer.error_code) {
            ErrorCode::NONE => Some(Offset(answer.base_offset)),
            // Metadata may name the leader of a new partition some moments before that broker knows it, and another one
            // may lead it by now.
            ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
                client.invalidate(&partition.topic);
                None
            }
            code => panic!("Produce to {partition}: {code}"),
        }
    });
    written.await
}

async fn call<R: Request>(client: &Client, to: BrokerId, request: R, max_version: i16) -> R::Response {
    let options = CallOptions { max_version: Some(max_version), ..CallOptions::default() };
    client.request(Node::Broker(to), Lane::General, request, options).await.expect("the broker answers")
}
