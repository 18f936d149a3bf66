//! Adding partitions to topics.

use conformance::{TestBroker, on_both_brokers};
use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
};
use kafka_wire::protocol::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use kafka_wire::wire::Str;

use crate::{NODE, NONE, Wire, until};

on_both_brokers!(topics_grow, growth_is_checked);

type Replicas = Option<&'static [&'static [i32]]>;

fn growth(name: &Str, count: i32, replicas: Replicas) -> CreatePartitionsTopic {
    let assignment = |replicas: &&[i32]| CreatePartitionsAssignment { broker_ids: replicas.to_vec() };
    CreatePartitionsTopic {
        name: name.clone(),
        count,
        assignments: replicas.map(|all| all.iter().map(assignment).collect()),
    }
}

async fn grow(wire: &Wire, topics: Vec<CreatePartitionsTopic>, validate_only: bool) -> Vec<ErrorCode> {
    let request = CreatePartitionsRequest { topics, timeout_ms: 10_000, validate_only, ..Default::default() };
    wire.ask(request).await.results.iter().map(|result| ErrorCode(result.error_code)).collect()
}

async fn topics_grow(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let topic = wire.topic(2).await;
    assert_eq!(grow(&wire, vec![growth(&topic, 4, None)], true).await, [NONE]);
    assert_eq!(wire.partition_count(&topic).await, 2, "only validated");
    assert_eq!(grow(&wire, vec![growth(&topic, 4, None)], false).await, [NONE]);
    until(4, async || wire.partition_count(&topic).await).await;
    assert_eq!(grow(&wire, vec![growth(&topic, 6, Some(&[&[NODE], &[NODE]]))], false).await, [NONE]);
    until(6, async || wire.partition_count(&topic).await).await;
    let end = async || {
        let partition = ListOffsetsPartition { partition_index: 5, timestamp: -1, ..Default::default() };
        let topics = vec![ListOffsetsTopic { name: topic.clone(), partitions: vec![partition], ..Default::default() }];
        let response = wire.ask(ListOffsetsRequest { replica_id: -1, topics, ..Default::default() }).await;
        let found = &response.topics[0].partitions[0];
        (ErrorCode(found.error_code), found.offset)
    };
    until((NONE, 0), end).await;
    for version in 0..=3 {
        let request =
            CreatePartitionsRequest { topics: vec![growth(&topic, 5, None)], timeout_ms: 10_000, ..Default::default() };
        let response = wire.ask_at(version, request).await;
        assert_eq!(response.results[0].name, topic);
        assert_eq!(ErrorCode(response.results[0].error_code), ErrorCode::INVALID_PARTITIONS, "v{version}");
    }
}

async fn growth_is_checked(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let topic = wire.topic(2).await;
    let unknown = wire.unique("unknown");
    let (partitions, replicas) = (ErrorCode::INVALID_PARTITIONS, ErrorCode::INVALID_REPLICA_ASSIGNMENT);
    let cases: &[(&Str, i32, Replicas, ErrorCode)] = &[
        (&unknown, 3, None, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (&topic, 2, None, partitions),
        (&topic, 1, None, partitions),
        (&topic, -1, None, partitions),
        (&topic, 3, Some(&[]), replicas),
        (&topic, 3, Some(&[&[NODE], &[NODE]]), replicas),
        (&topic, 3, Some(&[&[]]), replicas),
        (&topic, 3, Some(&[&[NODE, NODE]]), replicas),
        (&topic, 3, Some(&[&[77]]), replicas),
        (&topic, 2, Some(&[]), partitions),
    ];
    for &(name, count, assignment, expected) in cases {
        for validate_only in [true, false] {
            let asked = vec![growth(name, count, assignment)];
            assert_eq!(grow(&wire, asked, validate_only).await, [expected], "{name} {count} {assignment:?}");
        }
    }
    let twice = vec![growth(&topic, 3, None), growth(&topic, 4, None)];
    assert_eq!(grow(&wire, twice, false).await, [ErrorCode::INVALID_REQUEST], "twice in one request");
    assert_eq!(wire.partition_count(&topic).await, 2);
}
