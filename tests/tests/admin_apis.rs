//! Administration, request by request: the embedded broker has to give the same answers and error codes as Apache
//! Kafka.

#[path = "admin_apis/cluster.rs"]
mod cluster;
#[path = "admin_apis/configs.rs"]
mod configs;
#[path = "admin_apis/groups.rs"]
mod groups;
#[path = "admin_apis/security.rs"]
mod security;
#[path = "admin_apis/topics.rs"]
mod topics;
#[path = "admin_apis/transactions.rs"]
mod transactions;

use std::time::Duration;

use bytes::Bytes;
use conformance::reader::create_topic;
use conformance::{TestBroker, client_config};
use kafka_wire::client::{CallOptions, Client, Lane, Node};
use kafka_wire::compression::Compression;
use kafka_wire::protocol::metadata::{MetadataRequest, MetadataRequestTopic};
use kafka_wire::protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_wire::protocol::{ErrorCode, Request};
use kafka_wire::record::{BatchBuilder, RawHeaders, Seal};
use kafka_wire::types::{ProducerEpoch, ProducerId};
use kafka_wire::wire::{Str, Uuid};

const NONE: ErrorCode = ErrorCode::NONE;

/// Id of the only node, of either broker.
const NODE: i32 = 1;

/// Raw requests to one broker.
struct Wire {
    client: Client,
    broker: TestBroker,
}

impl Wire {
    async fn open(broker: TestBroker) -> Self {
        let client = Client::connect(client_config(broker.bootstrap())).await.expect("the broker is there");
        Self { client, broker }
    }

    /// A new topic with a unique name.
    async fn topic(&self, partitions: i32) -> Str {
        let name = self.unique("admin");
        create_topic(&self.client, &name, partitions).await;
        name
    }

    fn unique(&self, name: &str) -> Str {
        Str::from(self.broker.unique(name))
    }

    /// The response at the newest version that both sides have.
    async fn ask<R: Request>(&self, request: R) -> R::Response {
        self.call(None, request).await
    }

    async fn ask_at<R: Request>(&self, version: i16, request: R) -> R::Response {
        self.call(Some(version), request).await
    }

    async fn call<R: Request>(&self, max_version: Option<i16>, request: R) -> R::Response {
        let options = CallOptions { max_version, timeout: None };
        self.client.request(Node::Any, Lane::General, request, options).await.expect("the broker answers")
    }

    async fn partition_count(&self, topic: &Str) -> usize {
        let asked = MetadataRequestTopic { name: Some(topic.clone()), ..Default::default() };
        let request = MetadataRequest { topics: Some(vec![asked]), ..Default::default() };
        self.ask(request).await.topics[0].partitions.len()
    }

    /// Writes three small records to partition 0, once that has its leader.
    async fn write(&self, topic: &Str) {
        until(NONE, async || self.produce(topic, None, PLAIN, b"value").await).await;
    }

    /// Writes three records to partition 0, each with this value.
    async fn produce(&self, topic: &Str, transactional_id: Option<&Str>, seal: Seal, value: &[u8]) -> ErrorCode {
        let data = PartitionProduceData { index: 0, records: Some(batch(seal, value)), ..Default::default() };
        let topic_data = TopicProduceData {
            name: topic.clone(),
            topic_id: Uuid::ZERO,
            partition_data: vec![data],
            ..Default::default()
        };
        let request = ProduceRequest {
            transactional_id: transactional_id.cloned(),
            acks: -1,
            timeout_ms: 5_000,
            topic_data: vec![topic_data],
            ..Default::default()
        };
        let response = self.ask_at(12, request).await;
        ErrorCode(response.responses[0].partition_responses[0].error_code)
    }
}

/// The seal of a batch without transaction and sequence.
const PLAIN: Seal = Seal {
    producer_id: ProducerId(-1),
    producer_epoch: ProducerEpoch(-1),
    base_sequence: -1,
    transactional: false,
    compression: Compression::None,
};

fn batch(seal: Seal, value: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new(4096);
    for timestamp in 0..3 {
        builder.append(timestamp, None, Some(value), RawHeaders::EMPTY).expect("a small record");
    }
    builder.seal(seal).expect("no codec is asked for")
}

/// Repeats `ask` until it returns the expected answer: a decision of the controller reaches the broker a moment later.
async fn until<T: PartialEq + std::fmt::Debug>(expected: T, mut ask: impl AsyncFnMut() -> T) {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let answer = ask().await;
        if answer == expected {
            return;
        }
        last = Some(answer);
        tokio::time::sleep(PAUSE).await;
    }
    panic!("expected {expected:?}, the last answer was {last:?}");
}

const ATTEMPTS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);
