//! The state of producers and transactions, as brokers report it (KIP-664).

use conformance::{TestBroker, on_every_broker};
use kafka_wire::cluster::CoordinatorKind;
use kafka_wire::compression::Compression;
use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::add_offsets_to_txn::AddOffsetsToTxnRequest;
use kafka_wire::protocol::add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnTopic};
use kafka_wire::protocol::describe_producers::{DescribeProducersRequest, PartitionResponse, TopicRequest};
use kafka_wire::protocol::describe_transactions::{DescribeTransactionsRequest, TransactionState};
use kafka_wire::protocol::end_txn::EndTxnRequest;
use kafka_wire::protocol::init_producer_id::InitProducerIdRequest;
use kafka_wire::protocol::list_transactions::{ListTransactionsRequest, ListTransactionsResponse};
use kafka_wire::record::Seal;
use kafka_wire::types::{ProducerEpoch, ProducerId};
use kafka_wire::wire::Str;

use crate::{NONE, Wire, until};

on_every_broker!(transactions_are_described, transactions_are_listed, producers_are_described);

/// A producer id and an epoch.
type Producer = (i64, i16);

/// One transactional id and one topic.
struct Job {
    wire: Wire,
    id: Str,
    topic: Str,
    is_tv2: bool,
}

impl Job {
    async fn open(broker: TestBroker) -> Self {
        let is_tv2 = broker.kind().transaction_version() == 2;
        let wire = Wire::open(broker).await;
        let (id, topic) = (wire.unique("id"), wire.topic(2).await);
        wire.client.coordinator(CoordinatorKind::Transaction, &id).await.expect("there is a coordinator");
        Self { wire, id, topic, is_tv2 }
    }

    async fn init(&self) -> Producer {
        let request = InitProducerIdRequest {
            transactional_id: Some(self.id.clone()),
            transaction_timeout_ms: 50_000,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        let mut producer = (-1, -1);
        until(NONE, async || {
            let response = self.wire.ask_at(5, request.clone()).await;
            producer = (response.producer_id, response.producer_epoch);
            ErrorCode(response.error_code)
        })
        .await;
        producer
    }

    async fn add(&self, producer: Producer, partitions: &[i32]) {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.id.clone(),
            v3_and_below_producer_id: producer.0,
            v3_and_below_producer_epoch: producer.1,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: self.topic.clone(),
                partitions: partitions.to_vec(),
                ..Default::default()
            }],
            ..Default::default()
        };
        until(NONE, async || {
            let response = self.wire.ask_at(3, request.clone()).await;
            let results = &response.results_by_topic_v3_and_below[0].results_by_partition;
            ErrorCode(results[0].partition_error_code)
        })
        .await;
    }

    /// Makes the offsets of a group part of the transaction.
    async fn add_offsets(&self, producer: Producer) {
        let group_id = self.wire.unique("group");
        self.wire.client.coordinator(CoordinatorKind::Group, &group_id).await.expect("there is a coordinator");
        let request = AddOffsetsToTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: producer.0,
            producer_epoch: producer.1,
            group_id,
            ..Default::default()
        };
        until(NONE, async || ErrorCode(self.wire.ask_at(3, request.clone()).await.error_code)).await;
    }

    async fn write(&self, producer: Producer, base_sequence: i32) {
        let seal = seal(producer, base_sequence);
        until(NONE, async || self.wire.produce(&self.topic, Some(&self.id), seal, b"value").await).await;
    }

    /// Ends the transaction and waits for its markers; returns the producer to go on with.
    async fn end(&self, producer: Producer, committed: bool) -> Producer {
        let request = EndTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: producer.0,
            producer_epoch: producer.1,
            committed,
            ..Default::default()
        };
        let mut next = producer;
        let version = if self.is_tv2 { 5 } else { 4 };
        until(NONE, async || {
            let response = self.wire.ask_at(version, request.clone()).await;
            if self.is_tv2 {
                next = (response.producer_id, response.producer_epoch);
            }
            ErrorCode(response.error_code)
        })
        .await;
        let state = if committed { "CompleteCommit" } else { "CompleteAbort" };
        until(state.to_owned(), async || self.describe().await.transaction_state.to_string()).await;
        next
    }

    async fn describe(&self) -> TransactionState {
        describe(&self.wire, &self.id).await
    }
}

fn seal(producer: Producer, base_sequence: i32) -> Seal {
    Seal {
        producer_id: ProducerId(producer.0),
        producer_epoch: ProducerEpoch(producer.1),
        base_sequence,
        transactional: true,
        compression: Compression::None,
    }
}

async fn describe(wire: &Wire, id: &str) -> TransactionState {
    let request = DescribeTransactionsRequest { transactional_ids: vec![Str::from(id)], ..Default::default() };
    // The broker may not have loaded the partition of the transaction log for this id yet.
    let mut state = TransactionState::default();
    until(false, async || {
        state = wire.ask(request.clone()).await.transaction_states.remove(0);
        is_passing(ErrorCode(state.error_code))
    })
    .await;
    state
}

async fn transactions_are_described(broker: TestBroker) {
    let job = Job::open(broker).await;
    let unknown = job.wire.unique("unknown");
    let state = describe(&job.wire, &unknown).await;
    assert_eq!(ErrorCode(state.error_code), ErrorCode::TRANSACTIONAL_ID_NOT_FOUND);
    assert_eq!(state.transactional_id, unknown);
    assert_eq!(ErrorCode(describe(&job.wire, "").await.error_code), ErrorCode::INVALID_REQUEST, "no name");

    let producer = job.init().await;
    let state = job.describe().await;
    assert_eq!((ErrorCode(state.error_code), state.transaction_state.as_str()), (NONE, "Empty"));
    assert_eq!((state.producer_id, state.producer_epoch), producer);
    assert_eq!((state.transaction_timeout_ms, state.transaction_start_time_ms), (50_000, -1));
    assert!(state.topics.is_empty());

    job.add(producer, &[1, 0]).await;
    let state = job.describe().await;
    assert_eq!(state.transaction_state, "Ongoing");
    assert!(state.transaction_start_time_ms > 0, "{state:?}");
    let mut partitions = state.topics[0].partitions.clone();
    partitions.sort_unstable();
    assert_eq!((state.topics.len(), &state.topics[0].topic, &*partitions), (1, &job.topic, &[0, 1][..]));
    let started = state.transaction_start_time_ms;

    job.add_offsets(producer).await;
    let state = job.describe().await;
    let offsets = state.topics.iter().find(|topic| topic.topic == "__consumer_offsets").expect("the group's partition");
    assert_eq!((state.topics.len(), offsets.partitions.len()), (2, 1));

    let next = job.end(producer, true).await;
    let state = job.describe().await;
    assert_eq!((state.producer_id, state.producer_epoch), next);
    assert!(state.topics.is_empty());
    assert_eq!(state.transaction_start_time_ms, started, "the start of a transaction stays when it has ended");

    job.add(next, &[0]).await;
    job.end(next, false).await;
    job.init().await;
    let state = job.describe().await;
    assert_eq!((state.transaction_state.as_str(), state.transaction_start_time_ms), ("Empty", -1));
}

fn is_passing(error: ErrorCode) -> bool {
    [ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, ErrorCode::COORDINATOR_NOT_AVAILABLE, ErrorCode::NOT_COORDINATOR]
        .contains(&error)
}

async fn list(wire: &Wire, request: ListTransactionsRequest) -> ListTransactionsResponse {
    let mut response = ListTransactionsResponse::default();
    until(false, async || {
        response = wire.ask(request.clone()).await;
        is_passing(ErrorCode(response.error_code))
    })
    .await;
    response
}

async fn transactions_are_listed(broker: TestBroker) {
    let job = Job::open(broker).await;
    let producer = job.init().await;
    let base = ListTransactionsRequest { producer_id_filters: vec![producer.0], ..Default::default() };
    let ids = async |request: ListTransactionsRequest| -> Vec<(String, String)> {
        let response = list(&job.wire, request).await;
        assert_eq!(ErrorCode(response.error_code), NONE);
        let states = response.transaction_states.iter();
        states.map(|state| (state.transactional_id.to_string(), state.transaction_state.to_string())).collect()
    };
    let own = |state: &str| vec![(job.id.to_string(), state.to_owned())];
    let nobody: Vec<(String, String)> = Vec::new();
    assert_eq!(ids(base.clone()).await, own("Empty"));
    job.add(producer, &[0]).await;
    assert_eq!(ids(base.clone()).await, own("Ongoing"));
    let everybody = ids(ListTransactionsRequest::default()).await;
    assert!(everybody.contains(&own("Ongoing")[0]), "{everybody:?}");
    let other = ListTransactionsRequest { producer_id_filters: vec![producer.0 + 1_000_000], ..Default::default() };
    assert_eq!(ids(other).await, nobody);

    let states = |names: &[&str]| ListTransactionsRequest {
        state_filters: names.iter().map(|&name| Str::from(name)).collect(),
        ..base.clone()
    };
    assert_eq!(ids(states(&["Ongoing"])).await, own("Ongoing"));
    assert_eq!(ids(states(&["Empty", "PrepareAbort"])).await, nobody);
    assert_eq!(ids(states(&["Dead", "PrepareEpochFence", "CompleteAbort", "CompleteCommit"])).await, nobody);
    let response = list(&job.wire, states(&["ongoing", "Napping"])).await;
    let mut unknown: Vec<_> = response.unknown_state_filters.iter().map(Str::as_str).collect();
    unknown.sort_unstable();
    assert_eq!((unknown.as_slice(), response.transaction_states.len()), (&["Napping", "ongoing"][..], 0));

    let older = |duration_filter| ListTransactionsRequest { duration_filter, ..base.clone() };
    assert_eq!(ids(older(3_600_000)).await, nobody);
    assert_eq!(ids(older(-1)).await, own("Ongoing"));
    until(own("Ongoing"), async || ids(older(5)).await).await;

    let pattern =
        |pattern: &str| ListTransactionsRequest { transactional_id_pattern: Some(Str::from(pattern)), ..base.clone() };
    assert_eq!(ids(pattern("")).await, own("Ongoing"));
    assert_eq!(ids(pattern("id-[0-9]+-.*")).await, own("Ongoing"));
    assert_eq!(ids(pattern("id")).await, nobody, "the whole id has to match");
    assert_eq!(ids(pattern("x|id.*")).await, own("Ongoing"));
    for bad in ["(", "*", "a{2,1}", ")("] {
        let response = list(&job.wire, pattern(bad)).await;
        assert_eq!(ErrorCode(response.error_code), ErrorCode::INVALID_REGULAR_EXPRESSION, "{bad}");
    }
    for version in 0..=1 {
        let response = job.wire.ask_at(version, base.clone()).await;
        assert_eq!(response.transaction_states.len(), 1, "v{version}");
    }
    job.end(producer, false).await;
    assert_eq!(ids(base.clone()).await, own("CompleteAbort"));
}

async fn producers(wire: &Wire, topic: &str, partition: i32) -> PartitionResponse {
    let topic = TopicRequest { name: Str::from(topic), partition_indexes: vec![partition], ..Default::default() };
    let request = DescribeProducersRequest { topics: vec![topic], ..Default::default() };
    wire.ask(request).await.topics.remove(0).partitions.remove(0)
}

async fn producers_are_described(broker: TestBroker) {
    let job = Job::open(broker).await;
    let unknown = job.wire.unique("unknown");
    let missing = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    // The broker makes the log of a partition some time after the topic was created.
    until(NONE, async || ErrorCode(producers(&job.wire, &job.topic, 0).await.error_code)).await;
    for (topic, partition, expected) in [
        (unknown.as_str(), 0, missing),
        (&job.topic, 2, missing),
        (&job.topic, -1, missing),
        ("no topic", 0, ErrorCode::INVALID_TOPIC_EXCEPTION),
        ("", 0, ErrorCode::INVALID_TOPIC_EXCEPTION),
        (&job.topic, 0, NONE),
    ] {
        let answer = producers(&job.wire, topic, partition).await;
        assert_eq!((answer.partition_index, ErrorCode(answer.error_code)), (partition, expected), "{topic}");
        assert!(answer.active_producers.is_empty());
    }

    let producer = job.init().await;
    if !job.is_tv2 {
        job.add(producer, &[0]).await;
    }
    job.wire.write(&job.topic).await;
    job.write(producer, 0).await;
    job.write(producer, 3).await;
    let answer = producers(&job.wire, &job.topic, 0).await;
    let state = &answer.active_producers[0];
    assert_eq!((state.producer_id, state.producer_epoch), (producer.0, i32::from(producer.1)));
    assert_eq!((state.last_sequence, state.last_timestamp), (5, 2));
    assert_eq!((state.coordinator_epoch, state.current_txn_start_offset), (-1, 3));

    let next = job.end(producer, true).await;
    let ended = async || producers(&job.wire, &job.topic, 0).await.active_producers[0].current_txn_start_offset;
    until(-1, ended).await;
    let answer = producers(&job.wire, &job.topic, 0).await;
    let state = &answer.active_producers[0];
    assert_eq!((answer.active_producers.len(), state.producer_id), (1, producer.0));
    assert_eq!(state.producer_epoch, i32::from(next.1));
    assert_eq!(state.last_sequence, if job.is_tv2 { -1 } else { 5 });
    assert_eq!(state.coordinator_epoch, 0);
    assert!(state.last_timestamp > 2, "that of the marker: {state:?}");
}
