//! The error codes of transactions, request by request, in both versions of the protocol: where the recovery of a
//! client depends on a code, the embedded broker has to return the same as Apache Kafka.

use std::time::Duration;

use bytes::Bytes;
use conformance::reader::create_topic;
use conformance::{TestBroker, client_config, kafka_version, on_every_broker};
use kafka_wire::client::{CallOptions, Client, Lane, Node};
use kafka_wire::cluster::CoordinatorKind;
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
use kafka_wire::types::{ProducerEpoch, ProducerId};
use kafka_wire::wire::{Str, Uuid};
use testkit::real::KafkaVersion;

on_every_broker!(
    ending_twice,
    ending_nothing,
    using_what_was_not_added,
    committing_by_id,
    being_replaced,
    carrying_on,
    timing_out,
    sequences,
);

/// A producer id and an epoch.
type Producer = (i64, i16);

const NONE: ErrorCode = ErrorCode::NONE;
const FENCED: ErrorCode = ErrorCode::PRODUCER_FENCED;
const OLD_EPOCH: ErrorCode = ErrorCode::INVALID_PRODUCER_EPOCH;
const WRONG_STATE: ErrorCode = ErrorCode::INVALID_TXN_STATE;

/// Raw requests with one transactional id, one topic and one group.
struct Wire {
    client: Client,
    is_tv2: bool,
    id: Str,
    topic: Str,
    group: Str,
    timeout: Duration,
}

impl Wire {
    async fn open(broker: &TestBroker) -> Self {
        let client = Client::connect(client_config(broker.bootstrap())).await.expect("the broker is there");
        let topic = broker.unique("rules");
        create_topic(&client, &topic, 1).await;
        let (id, group) = (broker.unique("id"), broker.unique("group"));
        // Kafka creates the coordinators' topics when a client looks for a coordinator.
        for (kind, key) in [(CoordinatorKind::Transaction, &id), (CoordinatorKind::Group, &group)] {
            client.coordinator(kind, key).await.expect("there is a coordinator");
        }
        Self {
            client,
            is_tv2: broker.kind().transaction_version() == 2,
            id: Str::from(id),
            topic: Str::from(topic),
            group: Str::from(group),
            timeout: Duration::from_secs(60),
        }
    }

    async fn call<R: Request>(&self, version: i16, request: R) -> R::Response {
        let options = CallOptions { max_version: Some(version), timeout: None };
        self.client.request(Node::Any, Lane::Transaction, request, options).await.expect("the broker answers")
    }

    /// One response, whatever its code.
    async fn init_once(&self, version: i16, expected: Option<Producer>) -> (ErrorCode, Producer) {
        let (producer_id, producer_epoch) = expected.unwrap_or((-1, -1));
        let request = InitProducerIdRequest {
            transactional_id: Some(self.id.clone()),
            transaction_timeout_ms: i32::try_from(self.timeout.as_millis()).expect("a short timeout"),
            producer_id,
            producer_epoch,
            ..Default::default()
        };
        let response = self.call(version, request).await;
        (ErrorCode(response.error_code), (response.producer_id, response.producer_epoch))
    }

    /// The response after those that only ask for a retry.
    async fn init(&self, version: i16, expected: Option<Producer>) -> (ErrorCode, Producer) {
        settled(async || self.init_once(version, expected).await).await
    }

    async fn new_producer(&self) -> Producer {
        let (error, producer) = self.init(5, None).await;
        assert_eq!(error, NONE);
        producer
    }

    async fn add_partition(&self, version: i16, producer: Producer) -> ErrorCode {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.id.clone(),
            v3_and_below_producer_id: producer.0,
            v3_and_below_producer_epoch: producer.1,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic { name: self.topic.clone(), partitions: vec![0] }],
            ..Default::default()
        };
        let ask = async || {
            let response = self.call(version, request.clone()).await;
            let results = &response.results_by_topic_v3_and_below[0].results_by_partition;
            (ErrorCode(results[0].partition_error_code), ())
        };
        settled(ask).await.0
    }

    async fn add_offsets(&self, version: i16, producer: Producer) -> ErrorCode {
        let request = AddOffsetsToTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: producer.0,
            producer_epoch: producer.1,
            group_id: self.group.clone(),
        };
        settled(async || (ErrorCode(self.call(version, request.clone()).await.error_code), ())).await.0
    }

    async fn produce(&self, version: i16, producer: Producer, base_sequence: i32) -> ErrorCode {
        let seal = Seal { transactional: true, ..seal(producer, base_sequence) };
        self.produce_batch(version, Some(self.id.clone()), seal).await.0
    }

    /// The error code, and the offset with it.
    async fn produce_batch(&self, version: i16, transactional_id: Option<Str>, seal: Seal) -> (ErrorCode, i64) {
        let data = PartitionProduceData { index: 0, records: Some(batch(seal)) };
        let topic_data =
            vec![TopicProduceData { name: self.topic.clone(), topic_id: Uuid::ZERO, partition_data: vec![data] }];
        let request = ProduceRequest { transactional_id, acks: -1, timeout_ms: 5_000, topic_data };
        let ask = async || {
            let response = self.call(version, request.clone()).await;
            let answer = &response.responses[0].partition_responses[0];
            (ErrorCode(answer.error_code), answer.base_offset)
        };
        settled(ask).await
    }

    async fn commit_offset(&self, version: i16, producer: Producer) -> ErrorCode {
        self.commit(version, self.commit_request(producer, Uuid::ZERO)).await
    }

    /// A request for one offset; the topic is given by its name, and by its id in versions that have ids.
    fn commit_request(&self, producer: Producer, topic_id: Uuid) -> TxnOffsetCommitRequest {
        let partition = TxnOffsetCommitRequestPartition { committed_offset: 1, ..Default::default() };
        let name = self.topic.clone();
        let topic = TxnOffsetCommitRequestTopic { name, topic_id, partitions: vec![partition], ..Default::default() };
        TxnOffsetCommitRequest {
            transactional_id: self.id.clone(),
            group_id: self.group.clone(),
            producer_id: producer.0,
            producer_epoch: producer.1,
            topics: vec![topic],
            ..Default::default()
        }
    }

    async fn commit(&self, version: i16, request: TxnOffsetCommitRequest) -> ErrorCode {
        let ask = async || {
            let response = self.call(version, request.clone()).await;
            (ErrorCode(response.topics[0].partitions[0].error_code), ())
        };
        settled(ask).await.0
    }

    async fn end(&self, version: i16, producer: Producer, committed: bool) -> (ErrorCode, Producer) {
        let (producer_id, producer_epoch) = producer;
        let request = EndTxnRequest { transactional_id: self.id.clone(), producer_id, producer_epoch, committed };
        let ask = async || {
            let response = self.call(version, request.clone()).await;
            (ErrorCode(response.error_code), (response.producer_id, response.producer_epoch))
        };
        settled(ask).await
    }

    /// Opens a transaction with one batch in it, in the way of the transaction version.
    async fn begin(&self, producer: Producer, base_sequence: i32) {
        if !self.is_tv2 {
            assert_eq!(self.add_partition(3, producer).await, NONE);
        }
        assert_eq!(self.produce(self.produce_version(), producer, base_sequence).await, NONE);
    }

    fn produce_version(&self) -> i16 {
        if self.is_tv2 { 12 } else { 11 }
    }

    fn end_version(&self) -> i16 {
        if self.is_tv2 { 5 } else { 4 }
    }

    fn commit_version(&self) -> i16 {
        if self.is_tv2 { 5 } else { 4 }
    }
}

/// Repeats `ask` while its code only asks for a retry.
async fn settled<T>(mut ask: impl AsyncFnMut() -> (ErrorCode, T)) -> (ErrorCode, T) {
    for _ in 0..RETRIES {
        let (error, answer) = ask().await;
        if !is_passing(error) {
            return (error, answer);
        }
        tokio::time::sleep(RETRY).await;
    }
    ask().await
}

fn is_passing(error: ErrorCode) -> bool {
    [
        ErrorCode::CONCURRENT_TRANSACTIONS,
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::NOT_COORDINATOR,
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ErrorCode::NOT_ENOUGH_REPLICAS,
    ]
    .contains(&error)
}

fn seal(producer: Producer, base_sequence: i32) -> Seal {
    Seal {
        producer_id: ProducerId(producer.0),
        producer_epoch: ProducerEpoch(producer.1),
        base_sequence,
        transactional: false,
        compression: Compression::None,
    }
}

fn batch(seal: Seal) -> Bytes {
    let mut builder = BatchBuilder::new(256);
    for value in 0..3 {
        builder.append(value, None, Some(b"value"), RawHeaders::EMPTY).expect("a small record");
    }
    builder.seal(seal).expect("no codec is asked for")
}

async fn ending_twice(broker: TestBroker) {
    let wire = Wire::open(&broker).await;
    let version = wire.end_version();
    for committed in [true, false] {
        let producer = wire.new_producer().await;
        wire.begin(producer, 0).await;
        let (error, next) = wire.end(version, producer, committed).await;
        let expected = if wire.is_tv2 { (producer.0, producer.1 + 1) } else { (-1, -1) };
        assert_eq!((error, next), (NONE, expected), "first answer");
        assert_eq!(wire.end(version, producer, committed).await, (NONE, expected), "the same again");
        assert_eq!(wire.end(version, producer, !committed).await.0, WRONG_STATE, "the opposite");
        let older = (producer.0, producer.1 - 1);
        assert_eq!(wire.end(version, older, committed).await.0, FENCED, "an older epoch");
        let other = (producer.0 + 1_000_000, producer.1);
        let unknown = ErrorCode::INVALID_PRODUCER_ID_MAPPING;
        assert_eq!(wire.end(version, other, committed).await.0, unknown, "another producer id");
    }
}

async fn ending_nothing(broker: TestBroker) {
    let wire = Wire::open(&broker).await;
    let version = wire.end_version();
    let producer = wire.new_producer().await;
    assert_eq!(wire.end(version, producer, true).await.0, WRONG_STATE, "commit");
    let (error, next) = wire.end(version, producer, false).await;
    if !wire.is_tv2 {
        assert_eq!(error, WRONG_STATE, "abort");
        return;
    }
    assert_eq!((error, next), (NONE, (producer.0, producer.1 + 1)), "abort");
    wire.begin(next, 0).await;
    let (error, after) = wire.end(version, next, true).await;
    assert_eq!((error, after), (NONE, (next.0, next.1 + 1)));
    assert_eq!(wire.end(version, after, true).await.0, WRONG_STATE, "commit of nothing after a commit");
    let (error, last) = wire.end(version, after, false).await;
    assert_eq!((error, last), (NONE, (after.0, after.1 + 1)), "abort of nothing after a commit");
}

async fn using_what_was_not_added(broker: TestBroker) {
    let wire = Wire::open(&broker).await;
    let producer = wire.new_producer().await;
    assert_eq!(wire.produce(11, producer, 0).await, ErrorCode::TRANSACTION_ABORTABLE, "Produce v11");
    assert_eq!(wire.produce(10, producer, 0).await, WRONG_STATE, "Produce v10");
    assert_eq!(wire.commit_offset(4, producer).await, ErrorCode::TRANSACTION_ABORTABLE, "TxnOffsetCommit v4");
    assert_eq!(wire.commit_offset(3, producer).await, WRONG_STATE, "TxnOffsetCommit v3");
    assert_eq!(wire.add_partition(3, producer).await, NONE);
    assert_eq!(wire.add_offsets(4, producer).await, NONE);
    assert_eq!(wire.produce(11, producer, 0).await, NONE);
    assert_eq!(wire.commit_offset(4, producer).await, NONE);
    assert_eq!(wire.end(4, producer, true).await.0, NONE);
    // The second request is answered when the markers are written; before that, the log would count the write
    // to that transaction.
    assert_eq!(wire.end(4, producer, true).await.0, NONE);
    assert_eq!(wire.produce(11, producer, 3).await, ErrorCode::TRANSACTION_ABORTABLE, "after the end");
}

/// KIP-1319: the first version with topic ids also distinguishes a group that does not exist from a generation that
/// is over.
async fn committing_by_id(broker: TestBroker) {
    if broker.kind().is_kafka() && kafka_version() < KafkaVersion::new(4, 4, 0) {
        return;
    }
    let wire = Wire::open(&broker).await;
    if !wire.is_tv2 {
        return;
    }
    let id = wire.client.topic(&wire.topic).await.expect("it was created").id;
    let producer = wire.new_producer().await;
    assert_eq!(wire.commit(6, wire.commit_request(producer, Uuid([7; 16]))).await, ErrorCode::UNKNOWN_TOPIC_ID);
    let member = TxnOffsetCommitRequest {
        member_id: "gone".into(),
        generation_id_or_member_epoch: 1,
        ..wire.commit_request(producer, id)
    };
    assert_eq!(wire.commit(5, member.clone()).await, ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(wire.commit(6, member).await, ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(wire.commit(6, wire.commit_request(producer, id)).await, NONE);
    assert_eq!(wire.end(wire.end_version(), producer, true).await.0, NONE);
}

async fn being_replaced(broker: TestBroker) {
    let wire = Wire::open(&broker).await;
    let zombie = wire.new_producer().await;
    wire.begin(zombie, 0).await;
    let (error, _) = wire.init_once(5, None).await;
    assert_eq!(error, ErrorCode::CONCURRENT_TRANSACTIONS, "the open transaction is aborted first");
    let successor = wire.new_producer().await;
    assert_eq!(successor, (zombie.0, zombie.1 + 2));

    assert_eq!(wire.produce(wire.produce_version(), zombie, 3).await, OLD_EPOCH, "Produce");
    assert_eq!(wire.add_partition(3, zombie).await, FENCED, "AddPartitionsToTxn v3");
    assert_eq!(wire.add_partition(1, zombie).await, OLD_EPOCH, "AddPartitionsToTxn v1");
    assert_eq!(wire.add_offsets(4, zombie).await, FENCED, "AddOffsetsToTxn v4");
    assert_eq!(wire.add_offsets(1, zombie).await, OLD_EPOCH, "AddOffsetsToTxn v1");
    assert_eq!(wire.commit_offset(wire.commit_version(), zombie).await, OLD_EPOCH, "TxnOffsetCommit");
    assert_eq!(wire.end(wire.end_version(), zombie, true).await.0, FENCED, "EndTxn");
    assert_eq!(wire.end(1, zombie, true).await.0, OLD_EPOCH, "EndTxn v1");
    assert_eq!(wire.init(5, Some(zombie)).await.0, FENCED, "InitProducerId v5");
    assert_eq!(wire.init(3, Some(zombie)).await.0, OLD_EPOCH, "InitProducerId v3");
    wire.begin(successor, 0).await;
    assert_eq!(wire.end(wire.end_version(), successor, true).await.0, NONE);
}

async fn carrying_on(broker: TestBroker) {
    let wire = Wire::open(&broker).await;
    let first = wire.new_producer().await;
    let (error, second) = wire.init(5, Some(first)).await;
    assert_eq!((error, second), (NONE, (first.0, first.1 + 1)));
    assert_eq!(wire.init(5, Some(first)).await, (NONE, second), "the same again");
    wire.begin(second, 0).await;
    let (error, next) = wire.end(wire.end_version(), second, true).await;
    assert_eq!(error, NONE);
    // The request follows a commit whose answer was lost.
    let (error, third) = wire.init(5, Some(second)).await;
    let expected = if wire.is_tv2 { next } else { (second.0, second.1 + 1) };
    assert_eq!((error, third), (NONE, expected), "after the end");
    // The request comes in the middle of a transaction, which is aborted. Under version 1 the caller has
    // to start from nothing.
    wire.begin(third, 0).await;
    let expected = if wire.is_tv2 { (NONE, (third.0, third.1 + 1)) } else { (FENCED, (-1, -1)) };
    assert_eq!(wire.init(5, Some(third)).await, expected, "in a transaction");
    let unknown = (third.0 + 1_000_000, third.1);
    assert_eq!(wire.init(5, Some(unknown)).await.0, FENCED, "another producer id");
}

async fn timing_out(broker: TestBroker) {
    let wire = Wire { timeout: Duration::from_secs(1), ..Wire::open(&broker).await };
    let producer = wire.new_producer().await;
    wire.begin(producer, 0).await;
    // Kafka looks for expired transactions every ten seconds. The error of a write shows when it has done so.
    let mut sequence = 3;
    loop {
        let error = wire.produce(wire.produce_version(), producer, sequence).await;
        if error != NONE {
            assert_eq!(error, OLD_EPOCH, "Produce");
            break;
        }
        sequence += 3;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(wire.add_partition(3, producer).await, FENCED, "AddPartitionsToTxn");
    let expected = if wire.is_tv2 { WRONG_STATE } else { FENCED };
    assert_eq!(wire.end(wire.end_version(), producer, true).await.0, expected, "commit");
    let expected = if wire.is_tv2 { (NONE, (producer.0, producer.1 + 1)) } else { (FENCED, (-1, -1)) };
    assert_eq!(wire.end(wire.end_version(), producer, false).await, expected, "abort");
    assert_eq!(wire.init(5, Some(producer)).await, expected, "InitProducerId");
    assert_eq!(wire.init(5, None).await, (NONE, (producer.0, producer.1 + 2)));
}

async fn sequences(broker: TestBroker) {
    let wire = Wire::open(&broker).await;
    let out_of_order = ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER;
    let request = InitProducerIdRequest { transactional_id: None, ..Default::default() };
    let ask = async || {
        let response = wire.call(5, request.clone()).await;
        (ErrorCode(response.error_code), (response.producer_id, response.producer_epoch))
    };
    let (error, producer) = settled(ask).await;
    assert_eq!(error, NONE);
    let newer = (producer.0, producer.1 + 1);
    for (what, producer, base_sequence, expected) in [
        ("the first", producer, 0, (NONE, 0)),
        ("the second", producer, 3, (NONE, 3)),
        ("the first again", producer, 0, (NONE, 0)),
        ("a gap", producer, 9, (out_of_order, -1)),
        ("an overlap", producer, 4, (out_of_order, -1)),
        ("a new epoch in the middle", newer, 6, (out_of_order, -1)),
        ("a new epoch", newer, 0, (NONE, 6)),
        ("the old epoch", producer, 6, (OLD_EPOCH, -1)),
        ("an unknown producer in the middle", (producer.0 + 1_000_000, 0), 40, (NONE, 9)),
    ] {
        assert_eq!(wire.produce_batch(9, None, seal(producer, base_sequence)).await, expected, "{what}");
    }
}

const RETRY: Duration = Duration::from_millis(20);
const RETRIES: usize = 500;
