//! Topics on chosen brokers, checks that create nothing, topics by their ids, and the offsets that have a name.

use std::slice::from_ref;

use conformance::writer::{write, write_batch};
use conformance::{TestBroker, eventually, on_both_brokers};
use kafka_wire::admin::{NewPartitions, NewTopic, OffsetSpec, ReplicaLogDirs};
use kafka_wire::client::{Client, MetadataError, commit_offsets, fetch_all_offsets};
use kafka_wire::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use kafka_wire::compression::Compression;
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::protocol::{ApiKey, ErrorCode};
use kafka_wire::record::{BatchBuilder, RawHeaders, Seal};
use kafka_wire::types::{BrokerId, Offset, PartitionId, ProducerEpoch, ProducerId, TimestampMs};
use kafka_wire::wire::{Str, Uuid};
use testkit::proxy::Proxy;

use super::{NODE, WAIT, connect, create_topic};

on_both_brokers!(
    topics_are_created_on_chosen_brokers,
    checks_create_nothing,
    topics_are_found_and_deleted_by_their_ids,
    offsets_have_names,
    a_leader_that_does_not_know_a_name_is_an_error,
    replicas_show_their_directories,
    all_offsets_of_a_group_are_listed,
);

fn code<T: std::fmt::Debug>(outcome: &(Str, Result<T, kafka_wire::admin::ItemError>)) -> ErrorCode {
    outcome.1.as_ref().err().map_or(ErrorCode::NONE, |error| error.code)
}

async fn topics_are_created_on_chosen_brokers(broker: TestBroker) {
    let client = connect(&broker).await;
    let elsewhere = BrokerId(77);
    let topic = |name: &str, assignments| NewTopic { assignments, ..NewTopic::new(broker.unique(name), 9) };
    let topics = [topic("here", vec![vec![NODE], vec![NODE]]), topic("elsewhere", vec![vec![elsewhere]])];
    let outcomes = client.create_topics(&topics).await.expect("an answer");
    let codes: Vec<_> = outcomes.iter().map(code).collect();
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::INVALID_REPLICA_ASSIGNMENT]);
    let here = &topics[0].name;
    let described = eventually("two partitions", WAIT, || async {
        client.describe_topics(from_ref(here)).await.expect("an answer").remove(0).1.ok()
    })
    .await;
    assert_eq!(described.partitions.len(), 2, "the number follows from the brokers");

    let new = |total, assignments| [NewPartitions { topic: here.clone(), total, assignments }];
    let refused = client.create_assigned_partitions(&new(3, vec![vec![elsewhere]])).await.expect("an answer");
    assert_eq!(code(&refused[0]), ErrorCode::INVALID_REPLICA_ASSIGNMENT);
    let refused = client.create_assigned_partitions(&new(4, vec![vec![NODE]])).await.expect("an answer");
    assert_eq!(code(&refused[0]), ErrorCode::INVALID_REPLICA_ASSIGNMENT, "one brokers' list for two partitions");
    let grown = client.create_assigned_partitions(&new(3, vec![vec![NODE]])).await.expect("an answer");
    assert_eq!(code(&grown[0]), ErrorCode::NONE);
    eventually("the third partition", WAIT, || async {
        client.invalidate(here);
        client.leader(here, PartitionId(2)).await.ok()
    })
    .await;
}

async fn checks_create_nothing(broker: TestBroker) {
    let client = connect(&broker).await;
    let there = Str::from(broker.unique("there"));
    create_topic(&client, &there, 1).await;
    let topics = [NewTopic::new(broker.unique("fine"), 2), NewTopic::new(there.clone(), 1)];
    let checked = client.validate_topics(&topics).await.expect("an answer");
    assert_eq!(checked.iter().map(code).collect::<Vec<_>>(), [ErrorCode::NONE, ErrorCode::TOPIC_ALREADY_EXISTS]);
    let new = |total| NewPartitions { topic: there.clone(), total, assignments: Vec::new() };
    let checked = client.validate_partitions(&[new(5)]).await.expect("an answer");
    assert_eq!(code(&checked[0]), ErrorCode::NONE);
    let checked = client.validate_partitions(&[new(1)]).await.expect("an answer");
    assert_eq!(code(&checked[0]), ErrorCode::INVALID_PARTITIONS);
    let described = client.describe_topics(&[topics[0].name.clone(), there.clone()]).await.expect("an answer");
    assert_eq!(code(&described[0]), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(described[1].1.as_ref().expect("it is there").partitions.len(), 1);
}

async fn topics_are_found_and_deleted_by_their_ids(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, missing) = (Str::from(broker.unique("by-id")), Uuid([7; 16]));
    create_topic(&client, &topic, 2).await;
    let id = client.topic(&topic).await.expect("it is there").id;
    let described = client.describe_topics_by_id(&[missing, id]).await.expect("an answer");
    assert_eq!(described[0].1.as_ref().expect_err("there is none").code, ErrorCode::UNKNOWN_TOPIC_ID);
    let found = described[1].1.as_ref().expect("it is there");
    assert_eq!((described[1].0, &found.name, found.partitions.len()), (id, &topic, 2));

    let deleted = client.delete_topics_by_id(&[missing, id]).await.expect("an answer");
    assert_eq!(deleted[0].1.as_ref().expect_err("there is none").code, ErrorCode::UNKNOWN_TOPIC_ID);
    assert_eq!(deleted[1], (id, Ok(())));
    // A topic under the same name has another id.
    create_topic(&client, &topic, 1).await;
    let deleted = client.delete_topics_by_id(&[id]).await.expect("an answer");
    assert_eq!(deleted[0].1.as_ref().expect_err("it is gone").code, ErrorCode::UNKNOWN_TOPIC_ID);
}

/// A batch with one record of each timestamp.
fn at(timestamps: &[i64]) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(256);
    for timestamp in timestamps {
        builder.append(*timestamp, None, Some(b"v"), RawHeaders::EMPTY).expect("there is room");
    }
    let seal = Seal {
        producer_id: ProducerId(-1),
        producer_epoch: ProducerEpoch(-1),
        base_sequence: -1,
        transactional: false,
        compression: Compression::None,
    };
    builder.seal(seal).expect("it is not empty")
}

async fn offset(client: &Client, partition: &TopicPartition, spec: OffsetSpec) -> (Option<i64>, i64) {
    let asked = [(partition.clone(), spec)];
    let listed = client.list_offsets(&asked, IsolationLevel::ReadUncommitted).await.expect("an answer").remove(0);
    (listed.offset.map(|offset| offset.0), listed.timestamp.0)
}

async fn offsets_have_names(broker: TestBroker) {
    let client = connect(&broker).await;
    let topic = Str::from(broker.unique("names"));
    create_topic(&client, &topic, 1).await;
    let partition = TopicPartition::new(topic, PartitionId(0));
    assert_eq!(offset(&client, &partition, OffsetSpec::MaxTimestamp).await, (None, -1), "an empty log");
    write_batch(&client, &partition, at(&[1_000, 9_000])).await;
    write_batch(&client, &partition, at(&[5_000, 4_000])).await;
    assert_eq!(offset(&client, &partition, OffsetSpec::MaxTimestamp).await, (Some(1), 9_000));
    let asked = OffsetSpec::Timestamp(TimestampMs(9_001));
    assert_eq!(offset(&client, &partition, asked).await, (None, -1));
    client.delete_records(&[(partition.clone(), Offset(1))]).await.expect("there are records");
    assert_eq!(offset(&client, &partition, OffsetSpec::EarliestLocal).await.0, Some(1));
    assert_eq!(offset(&client, &partition, OffsetSpec::LatestTiered).await.0, None, "there is no tiered storage");
    assert_eq!(offset(&client, &partition, OffsetSpec::EarliestPendingUpload).await.0, None);
}

async fn a_leader_that_does_not_know_a_name_is_an_error(broker: TestBroker) {
    let client = connect(&broker).await;
    let topic = Str::from(broker.unique("old"));
    create_topic(&client, &topic, 1).await;
    let partition = TopicPartition::new(topic, PartitionId(0));
    write(&client, &partition, &["a"]).await;
    let proxy = Proxy::default();
    proxy.limit_version(ApiKey::ListOffsets, 6);
    let config = conformance::client_config(broker.bootstrap());
    let client = Client::connect_with(config, proxy.connector()).await.expect("the broker listens");
    assert_eq!(offset(&client, &partition, OffsetSpec::Latest).await.0, Some(1));
    for spec in [OffsetSpec::MaxTimestamp, OffsetSpec::EarliestLocal, OffsetSpec::LatestTiered] {
        let asked = [(partition.clone(), spec)];
        let error = client.list_offsets(&asked, IsolationLevel::ReadUncommitted).await.expect_err("it is too old");
        let code = ErrorCode::UNSUPPORTED_VERSION;
        assert_eq!(error, MetadataError::Partition { partition: partition.clone(), code });
    }
}

async fn replicas_show_their_directories(broker: TestBroker) {
    let client = connect(&broker).await;
    let topic = Str::from(broker.unique("dirs"));
    create_topic(&client, &topic, 1).await;
    let [here, none] = [0, 5].map(|index| (NODE, TopicPartition::new(topic.clone(), PartitionId(index))));
    let away = (BrokerId(77), here.1.clone());
    // The broker makes the log some time after the topic was created.
    let found = eventually("the log", WAIT, || async {
        let found = client.describe_replica_log_dirs(&[none.clone(), away.clone(), here.clone()]).await;
        found[2].1.as_ref().is_ok_and(|dirs| dirs.current.is_some()).then_some(found)
    })
    .await;
    assert_eq!(found[0], (none, Ok(ReplicaLogDirs::default())));
    assert!(found[1].0 == away && found[1].1.is_err(), "{found:?}");
    let dirs = found[2].1.as_ref().expect("the broker answers");
    let (path, lag) = dirs.current.as_ref().expect("it is there");
    assert!(path.starts_with('/') && *lag == 0 && dirs.future.is_none(), "{dirs:?}");
}

async fn all_offsets_of_a_group_are_listed(broker: TestBroker) {
    let client = connect(&broker).await;
    let group = broker.unique("group");
    assert_eq!(fetch_all_offsets(&client, &group).await.expect("an answer"), []);
    let mut committed = Vec::new();
    for name in ["a", "b"] {
        let topic = Str::from(broker.unique(name));
        create_topic(&client, &topic, 2).await;
        let partition = TopicPartition::new(topic, PartitionId(1));
        committed.push((partition, CommittedOffset { metadata: name.into(), ..CommittedOffset::new(Offset(0)) }));
    }
    committed.sort_by(|(one, _), (other, _)| one.cmp(other));
    let member = GroupMetadata::without_membership(group.as_str());
    commit_offsets(&client, &member, &committed).await.expect("it takes them");
    assert_eq!(fetch_all_offsets(&client, &group).await.expect("an answer"), committed);

    let proxy = Proxy::default();
    proxy.limit_version(ApiKey::OffsetFetch, 7);
    let config = conformance::client_config(broker.bootstrap());
    let old = Client::connect_with(config, proxy.connector()).await.expect("the broker listens");
    assert_eq!(fetch_all_offsets(&old, &group).await.expect("an answer"), committed);
}
