//! An unclean election on three nodes of Apache Kafka: records that were read are gone, others stand at their offsets,
//! and every reader notices (KIP-320), also one whose fetches are too old to tell which records it has read.

use std::time::Duration;

use conformance::bench::{Bench, until};
use conformance::writer::write;
use conformance::{TestBroker, client_config, eventually, on_both_brokers, skip, within};
use kafka_wire::client::{
    CallOptions, Client, Consumer, GroupConsumer, GroupConsumerError, Lane, Node, commit_offsets, fetch_offsets,
};
use kafka_wire::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use kafka_wire::compression::Decompressed;
use kafka_wire::consumer::{ConsumeError, ConsumerConfig, ResetPolicy};
use kafka_wire::protocol::ApiKey;
use kafka_wire::protocol::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use kafka_wire::types::{BrokerId, LeaderEpoch, Offset, PartitionId};
use kafka_wire::wire::Str;
use processor::{App, Raw, Topology, Utf8};
use testkit::proxy::Proxy;
use testkit::real::{RealCluster, RealConfig};

on_both_brokers!(a_job_notices_by_the_epochs_that_it_commits);

const WAIT: Duration = Duration::from_secs(60);
const TOPIC: &str = "cut";
/// The last version of Fetch without the epoch of the last record that was read.
const FETCH_WITHOUT_EPOCHS: i16 = 11;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_notice_that_records_are_gone() {
    let of_cluster = [
        ("offsets.topic.replication.factor", "3"),
        ("broker.session.timeout.ms", "3000"),
        ("broker.heartbeat.interval.ms", "500"),
    ];
    let properties = of_cluster.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let mut cluster = match RealCluster::start(3, RealConfig { properties, ..RealConfig::default() }).await {
        Ok(cluster) => cluster,
        Err(unavailable) => return skip("a cluster of three nodes", &unavailable.to_string()),
    };
    let client = Client::connect(client_config(&cluster.bootstrap())).await.expect("the nodes listen");
    let proxy = Proxy::default();
    proxy.limit_version(ApiKey::Fetch, FETCH_WITHOUT_EPOCHS);
    let old = Client::connect_with(client_config(&cluster.bootstrap()), proxy.connector()).await;
    let old = old.expect("the nodes listen");
    let partition = new_partition(&client).await;

    write(&client, &partition, &["a", "b"]).await;
    let mut plain = [Readers::new(&client, &partition, "new").await, Readers::new(&old, &partition, "old").await];
    for readers in &mut plain {
        readers.read_until(2).await;
    }
    cluster.kill(2).expect("it runs");
    eventually("a log on node 1 alone", WAIT, || async { (in_sync(&client).await? == [BrokerId(1)]).then_some(()) })
        .await;
    write(&client, &partition, &["c", "d", "e"]).await;
    for readers in &mut plain {
        readers.read_until(5).await;
    }
    cluster.kill(1).expect("it runs");
    tokio::task::block_in_place(|| cluster.start_again_blocking(2)).expect("nodes 2 and 3 are a majority");
    eventually("the other leader", WAIT, || async { (leader(&client).await? == BrokerId(2)).then_some(()) }).await;
    assert_eq!(write(&client, &partition, &["x", "y"]).await, Offset(2));

    for readers in plain {
        readers.notice().await;
    }
    assert!(proxy.requests(ApiKey::OffsetForLeaderEpoch) > 0, "it could not be noticed in another way");
    a_group_that_comes_back_notices(&client, &partition).await;
}

/// A topic on nodes 1 and 2, which may be led by a node that lacks records.
async fn new_partition(client: &Client) -> TopicPartition {
    let assignment = CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![1, 2], ..Default::default() };
    let config = CreatableTopicConfig {
        name: Str::from("unclean.leader.election.enable"),
        value: Some(Str::from("true")),
        ..Default::default()
    };
    let topic = CreatableTopic {
        name: Str::from(TOPIC),
        num_partitions: -1,
        replication_factor: -1,
        assignments: vec![assignment],
        configs: vec![config],
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    let response = client.request(Node::Any, Lane::General, request, CallOptions::default()).await;
    assert_eq!(response.expect("the broker answers").topics[0].error_code, 0);
    TopicPartition::new(TOPIC, PartitionId(0))
}

async fn in_sync(client: &Client) -> Option<Vec<BrokerId>> {
    let (_, topic) = client.describe_topics(&[Str::from(TOPIC)]).await.ok()?.pop()?;
    Some(topic.ok()?.partitions.first()?.in_sync.clone())
}

async fn leader(client: &Client) -> Option<BrokerId> {
    let cluster = client.metadata(&[Str::from(TOPIC)]).await.ok()?;
    cluster.leader(TOPIC, PartitionId(0)).map(|(leader, _)| leader)
}

/// A reader for itself, one of a group with a reset policy, and one of a group without.
struct Readers {
    partition: TopicPartition,
    alone: Consumer,
    lenient: GroupConsumer,
    strict: GroupConsumer,
}

impl Readers {
    async fn new(client: &Client, partition: &TopicPartition, name: &str) -> Self {
        let mut alone = Consumer::new(client.clone(), ConsumerConfig::default());
        alone.assign(partition.clone(), Offset(0));
        let (lenient, strict) = (Str::from(format!("lenient-{name}")), Str::from(format!("strict-{name}")));
        // The strict one begins where its group has committed.
        let mut first = member(client, &strict, ResetPolicy::Earliest).await;
        let record = next(&mut first).await.expect("a record");
        assert_eq!(record.0, Offset(0));
        first.close().await.expect("it commits");
        let lenient = member(client, &lenient, ResetPolicy::Earliest).await;
        let strict = member(client, &strict, ResetPolicy::None).await;
        Self { partition: partition.clone(), alone, lenient, strict }
    }

    /// Reads up to this offset with all of them, and commits it.
    async fn read_until(&mut self, end: i64) {
        read_alone(&mut self.alone, end).await.expect("it can be read");
        for member in [&mut self.lenient, &mut self.strict] {
            while member.position(&self.partition).is_none_or(|position| position < Offset(end)) {
                next(member).await.expect("it can be read");
            }
            within("a commit", WAIT, member.commit()).await.expect("the coordinator is there");
        }
    }

    /// Offsets 2 to 4 were read, and others stand there now.
    async fn notice(mut self) {
        let error = read_alone(&mut self.alone, 4).await.expect_err("records are gone");
        self.assert_parted(&error);
        self.alone.seek(&self.partition, Offset(2));
        assert_eq!(read_alone(&mut self.alone, 4).await.expect("it can be read"), ["x", "y"]);

        let read = [next(&mut self.lenient).await, next(&mut self.lenient).await];
        let read = read.map(|record| record.expect("it goes on where the logs part"));
        assert_eq!(read, [(Offset(2), "x".to_owned()), (Offset(3), "y".to_owned())]);
        within("a commit", WAIT, self.lenient.commit()).await.expect("the coordinator is there");
        let partitions = [self.partition.clone()];
        let committed = self.lenient.committed(&partitions).await.expect("the coordinator is there");
        assert_eq!(committed[0].1.as_ref().map(|committed| committed.offset), Some(Offset(4)), "back from 5");

        match next(&mut self.strict).await {
            Err(GroupConsumerError::Consume(error)) => self.assert_parted(&error),
            other => panic!("{other:?} instead of an error"),
        }
        assert!(self.strict.seek(&self.partition, Offset(3)));
        assert_eq!(next(&mut self.strict).await.expect("it was sought"), (Offset(3), "y".to_owned()));
    }

    fn assert_parted(&self, error: &ConsumeError) {
        match error {
            ConsumeError::Diverged { partition, offset, end_offset, .. } => {
                assert_eq!((partition, *offset, *end_offset), (&self.partition, Offset(5), Offset(2)));
            }
            other => panic!("{other}"),
        }
    }
}

async fn member(client: &Client, group: &Str, reset: ResetPolicy) -> GroupConsumer {
    let builder = GroupConsumer::builder(group.clone()).topics([TOPIC]).auto_offset_reset(reset);
    builder.build(client.clone()).await.expect("a consumer")
}

/// The next record's offset and value. Errors that pass are waited out: two of three nodes die.
async fn next(member: &mut GroupConsumer) -> Result<(Offset, String), GroupConsumerError> {
    within("a record", WAIT, async {
        loop {
            match member.next().await {
                Ok(record) => {
                    let value = record.value.map(|value| String::from_utf8_lossy(&value).into_owned());
                    return Ok((record.offset, value.unwrap_or_default()));
                }
                Err(error) if error.is_retriable() => {}
                Err(error) => return Err(error),
            }
        }
    })
    .await
}

/// Polls until the position is `end`; returns the values.
async fn read_alone(consumer: &mut Consumer, end: i64) -> Result<Vec<String>, ConsumeError> {
    let (mut values, mut buffer) = (Vec::new(), Decompressed::default());
    loop {
        let mut fetched = within("data", WAIT, consumer.poll()).await?;
        while let Some(batch) = fetched.next_batch() {
            let batch = batch.expect("no batch is corrupt");
            for record in batch.records(&mut buffer).expect("the checksum is right") {
                let value = record.expect("a whole record").value.unwrap_or_default().to_vec();
                values.push(String::from_utf8(value).expect("text"));
            }
        }
        if fetched.next_offset() >= Offset(end) {
            return Ok(values);
        }
    }
}

/// A group that had committed offset 5 with its epoch before the election.
async fn a_group_that_comes_back_notices(client: &Client, partition: &TopicPartition) {
    let past = CommittedOffset { leader_epoch: LeaderEpoch(0), ..CommittedOffset::new(Offset(5)) };
    let group = GroupMetadata::without_membership("late");
    commit_offsets(client, &group, &[(partition.clone(), past)]).await.expect("the coordinator is there");
    let mut back = member(client, &Str::from("late"), ResetPolicy::Latest).await;
    assert_eq!(next(&mut back).await.expect("it goes on where the logs part"), (Offset(2), "x".to_owned()));
}

/// The job's offset is moved behind the end of its leader's epoch, as if records that it has processed were gone.
async fn a_job_notices_by_the_epochs_that_it_commits(broker: TestBroker) {
    let bench = Bench::new(&broker, "truncation", [1, 1]).await;
    let input = TopicPartition::new(bench.input.as_str(), PartitionId(0));
    write(&bench.client, &input, &["a", "b", "c"]).await;
    let job = || {
        let mut job = Topology::builder(&bench.application_id);
        job.stream(&bench.input, Utf8).to(&bench.output, Raw, Utf8);
        App::new(job.build().expect("a sound job"), bench.config())
    };
    let committed = async || {
        let found = fetch_offsets(&bench.client, &bench.application_id, std::slice::from_ref(&input)).await;
        found.expect("an answer").remove(0).1
    };
    let running = job().start().await.expect("it starts");
    let running = until(running, "its task", |running| running.status().running_workers == 1).await;
    let found = eventually("the commit of all", WAIT, || async {
        committed().await.filter(|committed| committed.offset == Offset(3))
    })
    .await;
    assert_eq!(found.leader_epoch, LeaderEpoch(0));
    running.stop().await.expect("it stops");
    // A restart without new records keeps the epoch.
    let running = job().start().await.expect("it starts");
    let running = until(running, "its task", |running| running.status().running_workers == 1).await;
    running.stop().await.expect("it stops");
    let found = committed().await.expect("it is still there");
    assert_eq!((found.offset, found.leader_epoch), (Offset(3), LeaderEpoch(0)));

    let group = GroupMetadata::without_membership(bench.application_id.as_str());
    let beyond = CommittedOffset { offset: Offset(40), ..found };
    commit_offsets(&bench.client, &group, &[(input.clone(), beyond)]).await.expect("the group is empty");
    let mut running = job().start().await.expect("it starts");
    let error = within("the end of the job", WAIT, running.finished()).await.expect_err("records are gone");
    assert!(error.to_string().contains("lost records that were read: those from 3 to 40"), "{error}");
}
