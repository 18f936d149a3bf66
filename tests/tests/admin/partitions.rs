//! Partitions and their logs: moves, elections, directories, offsets, producers, transactions that hang.

use std::time::Duration;

use bytes::Bytes;
use conformance::reader::read_to_end;
use conformance::writer::write;
use conformance::{TestBroker, eventually, on_both_brokers};
use kafka_wire::admin::{
    ConfigChange, ConfigResource, ElectionType, ItemError, OffsetSpec, Reassignment, TransactionToAbort,
};
use kafka_wire::client::{AdminError, CallOptions, Client, Lane, MetadataError, Node};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::compression::Compression;
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::init_producer_id::InitProducerIdRequest;
use kafka_wire::protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_wire::record::{BatchBuilder, RawHeaders, Seal};
use kafka_wire::types::{BrokerId, PartitionId, ProducerEpoch, ProducerId, TimestampMs};
use kafka_wire::wire::Str;

use super::{NODE, WAIT, connect, create_topic};

on_both_brokers!(
    moves_of_partitions_have_outcomes_of_their_own,
    elections_have_outcomes_of_their_own,
    log_dirs_show_their_replicas,
    no_record_has_a_negative_timestamp,
    a_failure_for_one_partition_hides_no_other,
    a_hanging_transaction_is_found_and_aborted,
);

fn partition(topic: &Str, index: i32) -> TopicPartition {
    TopicPartition::new(topic.clone(), PartitionId(index))
}

fn codes<K, T>(outcomes: &[(K, Result<T, ItemError>)]) -> Vec<ErrorCode> {
    outcomes.iter().map(|(_, outcome)| outcome.as_ref().err().map_or(ErrorCode::NONE, |error| error.code)).collect()
}

async fn moves_of_partitions_have_outcomes_of_their_own(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, missing) = (Str::from(broker.unique("moves")), Str::from(broker.unique("missing")));
    create_topic(&client, &topic, 2).await;
    let moves = [
        (partition(&missing, 0), Reassignment::To(vec![NODE])),
        (partition(&topic, 1), Reassignment::To(vec![NODE])),
        (partition(&topic, 0), Reassignment::To(vec![BrokerId(77)])),
    ];
    let outcomes = client.alter_partition_reassignments(&moves).await.expect("an answer");
    let expected = [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::NONE, ErrorCode::INVALID_REPLICA_ASSIGNMENT];
    assert_eq!(codes(&outcomes), expected);
    assert!(outcomes.iter().zip(&moves).all(|((one, _), (other, _))| one == other), "{outcomes:?}");
    let cancel = [(partition(&topic, 0), Reassignment::Cancel)];
    let outcomes = client.alter_partition_reassignments(&cancel).await.expect("an answer");
    assert_eq!(codes(&outcomes), [ErrorCode::NO_REASSIGNMENT_IN_PROGRESS]);
    for asked in [vec![], vec![partition(&topic, 0), partition(&missing, 0)]] {
        let listed = client.list_partition_reassignments(&asked).await.expect("an answer");
        assert!(listed.iter().all(|one| one.partition.topic != topic), "{listed:?}");
    }
}

async fn elections_have_outcomes_of_their_own(broker: TestBroker) {
    let client = connect(&broker).await;
    let topic = Str::from(broker.unique("elects"));
    create_topic(&client, &topic, 1).await;
    let asked = [partition(&topic, 7), partition(&topic, 0)];
    for election in [ElectionType::Preferred, ElectionType::Unclean] {
        let outcomes = client.elect_leaders(election, Some(&asked)).await.expect("an answer");
        assert_eq!(codes(&outcomes), [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::ELECTION_NOT_NEEDED]);
    }
    let outcomes = client.elect_leaders(ElectionType::Preferred, None).await.expect("an answer");
    assert!(outcomes.iter().all(|(partition, _)| partition.topic != topic), "{outcomes:?}");
}

async fn log_dirs_show_their_replicas(broker: TestBroker) {
    let client = connect(&broker).await;
    let topic = Str::from(broker.unique("stored"));
    create_topic(&client, &topic, 2).await;
    write(&client, &partition(&topic, 1), &["one", "two"]).await;
    // A broker makes the log of a partition some time after the topic was created.
    let describe = || async {
        let described = client.describe_log_dirs(&[BrokerId(77), NODE]).await;
        let dirs = described[1].1.as_ref().expect("the broker is there");
        let stored = dirs.iter().flat_map(|dir| &dir.replicas).filter(|replica| replica.partition.topic == topic);
        (stored.count() == 2).then_some(described)
    };
    let mut described = eventually("both logs", WAIT, describe).await;
    let (id, dirs) = described.remove(1);
    let dirs = dirs.expect("the broker is there");
    assert_eq!((id, dirs.len()), (NODE, 1));
    let stored: Vec<_> = dirs[0].replicas.iter().filter(|replica| replica.partition.topic == topic).collect();
    assert_eq!(dirs[0].error.as_ref(), None);
    assert!(stored[0].size_bytes == 0 && stored[1].size_bytes > 0 && !stored[1].is_future, "{stored:?}");
    let error = described.remove(0).1.expect_err("there is no such broker");
    assert!(matches!(error, AdminError::Request(_)) && error.to_string().contains("broker 77"), "{error}");

    let here = dirs[0].path.clone();
    let moves = [
        (NODE, partition(&topic, 0), Str::from("/no/such/dir")),
        (BrokerId(77), partition(&topic, 0), here.clone()),
        (NODE, partition(&topic, 1), here),
    ];
    let outcomes = client.alter_replica_log_dirs(&moves).await;
    let refused = |code| Err(AdminError::Refused(ItemError { code, message: None }));
    assert_eq!(outcomes[0].1, refused(ErrorCode::LOG_DIR_NOT_FOUND));
    assert!(matches!(outcomes[1].1, Err(AdminError::Request(_))), "{outcomes:?}");
    assert_eq!(outcomes[2], ((NODE, partition(&topic, 1)), Ok(())));
}

async fn no_record_has_a_negative_timestamp(broker: TestBroker) {
    let client = connect(&broker).await;
    let topic = Str::from(broker.unique("times"));
    create_topic(&client, &topic, 1).await;
    let (partition, timestamp) = (partition(&topic, 0), TimestampMs(-1));
    let asked = [(partition.clone(), OffsetSpec::Timestamp(timestamp))];
    let error = client.list_offsets(&asked, IsolationLevel::ReadUncommitted).await.expect_err("-1 stands for the end");
    assert_eq!(error, MetadataError::NegativeTimestamp { partition, timestamp });
    assert!(error.to_string().contains("Earliest"), "{error}");
}

async fn a_failure_for_one_partition_hides_no_other(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, missing) = (Str::from(broker.unique("there")), Str::from(broker.unique("missing")));
    create_topic(&client, &topic, 1).await;
    let asked = [partition(&missing, 0), partition(&topic, 0), partition(&topic, 7)];
    let described = client.describe_producers(&asked).await;
    assert_eq!(described[0], (asked[0].clone(), Err(MetadataError::UnknownTopic(missing))));
    assert_eq!(described[1], (asked[1].clone(), Ok(vec![])));
    let beyond = MetadataError::UnknownPartition { partition: asked[2].clone(), count: 1 };
    assert_eq!(described[2], (asked[2].clone(), Err(beyond)));
}

/// A batch of a transaction that the coordinator knows nothing of, as a broker without verification takes it.
async fn a_hanging_transaction_is_found_and_aborted(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, id) = (Str::from(broker.unique("hangs")), Str::from(broker.unique("unknown")));
    create_topic(&client, &topic, 2).await;
    let verification = |value: &str| {
        let set = ConfigChange::Set("transaction.partition.verification.enable".into(), value.into());
        [(ConfigResource::AllBrokers, vec![set])]
    };
    client.alter_configs(&verification("false")).await.expect("an answer")[0].1.clone().expect("it is dynamic");
    // On a broker that has just started, the one that gives out ids may not be ready.
    let response = eventually("an id", WAIT, async || {
        let request =
            InitProducerIdRequest { transactional_id: None, producer_id: -1, producer_epoch: -1, ..Default::default() };
        let asked = client.request(Node::Any, Lane::General, request, CallOptions::default()).await;
        asked.ok().filter(|response| ErrorCode(response.error_code).is_none())
    })
    .await;
    // The first batch of a producer may have any epoch; with this one there is an older one to refuse.
    let producer = (ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch + 1));
    eventually("the batch", WAIT, async || {
        (produce_in_transaction(&client, &topic, &id, producer).await == ErrorCode::NONE).then_some(())
    })
    .await;
    client.alter_configs(&verification("true")).await.expect("an answer")[0].1.clone().expect("it is dynamic");

    let asked = [partition(&topic, 0), partition(&topic, 1)];
    let described = client.describe_producers(&asked).await;
    assert_eq!(described[1], (partition(&topic, 1), Ok(vec![])));
    let found = described[0].1.as_ref().expect("it has a leader");
    assert_eq!((found[0].producer_id, found[0].producer_epoch), producer);
    assert_eq!(found[0].transaction_start.map(|start| start.0), Some(0));

    // The record is of the time 0, so that it is older than any transaction may be.
    let hanging = client.find_hanging_transactions(&asked, Duration::from_secs(900)).await.expect("answers");
    assert_eq!(hanging.len(), 1, "{hanging:?}");
    assert_eq!((&hanging[0].partition, hanging[0].producer.producer_id), (&asked[0], producer.0));
    let records = read_to_end(&client, &topic, IsolationLevel::ReadUncommitted).await;
    assert_eq!(records.len(), 1);

    let mut stale = TransactionToAbort::of(asked[0].clone(), &hanging[0].producer);
    client.abort_transaction(&stale).await.expect("nobody has a higher epoch");
    let found = client.find_hanging_transactions(&asked, Duration::from_secs(900)).await.expect("answers");
    assert_eq!(found, []);
    assert!(read_to_end(&client, &topic, IsolationLevel::ReadCommitted).await.is_empty());
    stale.producer_epoch = ProducerEpoch(stale.producer_epoch.0 - 1);
    let error = client.abort_transaction(&stale).await.expect_err("the epoch is old");
    let refused = ItemError { code: ErrorCode::INVALID_PRODUCER_EPOCH, message: None };
    assert_eq!(error, AdminError::Refused(refused));
}

/// Writes one record of the time 0 at a version that does not add the partition to the transaction.
async fn produce_in_transaction(
    client: &Client,
    topic: &Str,
    id: &Str,
    (producer_id, producer_epoch): (ProducerId, ProducerEpoch),
) -> ErrorCode {
    let mut builder = BatchBuilder::new(4096);
    builder.append(0, None, Some(b"lost"), RawHeaders::EMPTY).expect("a small record");
    let seal =
        Seal { producer_id, producer_epoch, base_sequence: 0, transactional: true, compression: Compression::None };
    let records: Bytes = builder.seal(seal).expect("no codec is asked for");
    let data = PartitionProduceData { index: 0, records: Some(records), ..Default::default() };
    let topic_data = TopicProduceData { name: topic.clone(), partition_data: vec![data], ..Default::default() };
    let request = ProduceRequest {
        transactional_id: Some(id.clone()),
        acks: -1,
        timeout_ms: 5_000,
        topic_data: vec![topic_data],
        ..Default::default()
    };
    let options = CallOptions { max_version: Some(11), ..CallOptions::default() };
    let response = client.request(Node::Any, Lane::General, request, options).await.expect("an answer");
    ErrorCode(response.responses[0].partition_responses[0].error_code)
}
