//! One transaction right after another: the next one begins when the coordinator is done with the last, and not before;
//! one that lasts registers what it needs before its commit; a job with a backlog of input makes them as long as its
//! setting says.

use std::time::Duration;

use conformance::bench::Bench;
use conformance::reader::{create_topic, read_to_end};
use conformance::writer::write;
use conformance::{
    BrokerKind, TestBroker, connect, eventually, on_both_brokers, on_every_broker, skip, test_on, within,
};
use kafka_wire::admin::NewTopic;
use kafka_wire::client::{Client, ExclusiveProducer, GroupOffsets, fetch_offsets};
use kafka_wire::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use kafka_wire::consumer::IsolationLevel::ReadCommitted;
use kafka_wire::producer::{NewRecord, ProducerConfig, RunsOn, TopicHandle};
use kafka_wire::types::{Offset, PartitionId, TimestampMs};
use kafka_wire::wire::Str;
use processor::{App, Config, Emit, Partitions, Raw, Topology, U64, Utf8};
use testkit::broker::{Broker, BrokerConfig};
use testkit::real::{RealCluster, RealConfig};
use tokio::time::Instant;

test_on!(embedded_tv1, EmbeddedTv1, transactions_follow_each_other);
test_on!(embedded_tv2, EmbeddedTv2, transactions_follow_each_other);
test_on!(kafka_tv1, KafkaTv1, transactions_follow_each_other);
test_on!(kafka_tv2, KafkaTv2, transactions_follow_each_other);
on_both_brokers!(a_backlog_is_committed_once_an_interval, a_shuffle_costs_no_commit_of_its_own);

const PARTITIONS: i32 = 3;

/// The configuration of a producer whose transactions outlast a machine that stands still for a while.
fn transactional(name: &str) -> ProducerConfig {
    ProducerConfig { transaction_timeout: Duration::from_secs(60), ..ProducerConfig::transactional(name) }
}

/// Commits transactions without a pause: `count` with one record for each partition, and every third with an offset
/// as well. Returns the number of batches that were sent again.
async fn commit_all(client: &Client, name: &str, count: i64, runs_on: RunsOn) -> u64 {
    let config = ProducerConfig { runs_on, ..transactional(name) };
    let mut producer = ExclusiveProducer::open(client, config).await.expect("a producer id");
    let topic = producer.topic(name).await.expect("the topic is there");
    let group = GroupMetadata::without_membership(name);
    for number in 0..count {
        producer.begin().expect("nothing is open");
        // Once in a while there are offsets alone.
        for partition in (0..PARTITIONS).filter(|_| number % 9 != 6) {
            let value = number.to_be_bytes();
            let record = NewRecord { timestamp: TimestampMs(1), ..NewRecord::of(&value) };
            producer.append(topic, PartitionId(partition), record).expect("the buffer has room");
        }
        let offsets = [(TopicPartition::new(name, PartitionId(0)), CommittedOffset::new(Offset(number)))];
        let offsets = (number % 3 == 0).then_some(GroupOffsets { group: &group, offsets: &offsets });
        let committed = within("a commit", Duration::from_secs(60), producer.commit(offsets)).await;
        committed.expect("nothing is in the way");
    }
    let retries = producer.metrics().retries;
    producer.close().await.expect("nothing is open");
    retries
}

/// Checks that all of them are visible, in order.
async fn check(client: &Client, name: &str, count: i64) {
    let expected: Vec<i64> = (0..count).filter(|number| number % 9 != 6).collect();
    let records = eventually("what was committed", Duration::from_secs(30), async || {
        let records = read_to_end(client, name, ReadCommitted).await;
        (records.len() >= expected.len() * 3).then_some(records)
    })
    .await;
    for partition in (0..PARTITIONS).map(PartitionId) {
        let of_partition = records.iter().filter(|record| record.partition == partition);
        let number = |value: &[u8]| i64::from_be_bytes(value.try_into().expect("eight bytes"));
        let numbers: Vec<i64> =
            of_partition.map(|record| number(record.value.as_deref().unwrap_or_default())).collect();
        assert_eq!(numbers, expected, "{partition:?}");
    }
    let last = (0..count).rev().find(|number| number % 3 == 0).map(Offset);
    let fetched = fetch_offsets(client, name, &[TopicPartition::new(name, PartitionId(0))]).await;
    let committed = fetched.expect("the coordinator answers")[0].1.as_ref().map(|committed| committed.offset);
    assert_eq!(committed, last);
}

async fn transactions_follow_each_other(broker: TestBroker) {
    const COUNT: i64 = 90;
    for runs_on in [RunsOn::OwnThread, RunsOn::CallersRuntime] {
        let client = connect(broker.bootstrap()).await;
        let name = broker.unique("paced");
        create_topic(&client, &name, PARTITIONS).await;
        commit_all(&client, &name, COUNT, runs_on).await;
        check(&client, &name, COUNT).await;
    }
}

on_every_broker!(
    a_transaction_that_lasts_registers_what_the_last_ones_used,
    a_partition_that_is_registered_in_vain_keeps_nobody_waiting,
);

/// A producer whose last transactions have all written to the partitions 0 and 1, and committed an offset.
async fn accustomed(client: &Client, name: &str) -> (ExclusiveProducer, TopicHandle) {
    create_topic(client, name, 4).await;
    let mut producer = ExclusiveProducer::open(client, transactional(name)).await.expect("a producer id");
    let topic = producer.topic(name).await.expect("the topic is there");
    for number in 0..5 {
        producer.begin().expect("nothing is open");
        append(&mut producer, topic, 0, number);
        append(&mut producer, topic, 1, number);
        commit(&mut producer, name, number).await;
    }
    (producer, topic)
}

fn append(producer: &mut ExclusiveProducer, topic: TopicHandle, partition: i32, number: i64) {
    let value = number.to_be_bytes();
    let record = NewRecord { timestamp: TimestampMs(1), ..NewRecord::of(&value) };
    producer.append(topic, PartitionId(partition), record).expect("the buffer has room");
}

async fn commit(producer: &mut ExclusiveProducer, name: &str, number: i64) {
    let group = GroupMetadata::without_membership(name);
    let offsets = [(TopicPartition::new(name, PartitionId(0)), CommittedOffset::new(Offset(number)))];
    let offsets = Some(GroupOffsets { group: &group, offsets: &offsets });
    let committed = within("a commit", Duration::from_secs(60), producer.commit(offsets)).await;
    committed.expect("nothing is in the way");
}

/// Waits until the coordinator knows these partitions of the open transaction.
async fn registered(client: &Client, name: &str, expected: &[i32]) {
    eventually("the registration", Duration::from_secs(30), async || {
        let described = client.describe_transactions(&[Str::from(name)]).await.expect("the coordinator answers");
        let found = described[0].1.as_ref().expect("it is there");
        let of_topic = found.partitions.iter().filter(|found| *found.topic == *name);
        let mut partitions: Vec<_> = of_topic.map(|found| found.partition.0).collect();
        partitions.sort_unstable();
        (&*found.state == "Ongoing" && partitions == expected).then_some(())
    })
    .await;
}

/// The values of a partition that readers of committed records see, in order.
async fn values(client: &Client, name: &str, partition: i32) -> Vec<i64> {
    let records = read_to_end(client, name, ReadCommitted).await;
    let of_partition = records.iter().filter(|record| record.partition == PartitionId(partition));
    let number = |value: &[u8]| i64::from_be_bytes(value.try_into().expect("eight bytes"));
    of_partition.map(|record| number(record.value.as_deref().unwrap_or_default())).collect()
}

async fn a_transaction_that_lasts_registers_what_the_last_ones_used(broker: TestBroker) {
    let client = connect(broker.bootstrap()).await;
    let name = broker.unique("early");
    let (mut producer, topic) = accustomed(&client, &name).await;
    producer.begin().expect("nothing is open");
    append(&mut producer, topic, 2, 5);
    registered(&client, &name, &[0, 1, 2]).await;
    append(&mut producer, topic, 0, 5);
    append(&mut producer, topic, 3, 5);
    commit(&mut producer, &name, 5).await;

    producer.begin().expect("nothing is open");
    producer.expect_records();
    registered(&client, &name, &[0, 1]).await;
    append(&mut producer, topic, 1, 6);
    commit(&mut producer, &name, 6).await;
    producer.close().await.expect("nothing is open");
    let expected: [&[i64]; 4] = [&[0, 1, 2, 3, 4, 5], &[0, 1, 2, 3, 4, 6], &[5], &[5]];
    for (partition, expected) in (0..).zip(expected) {
        eventually("what was committed", Duration::from_secs(30), async || {
            (values(&client, &name, partition).await == expected).then_some(())
        })
        .await;
    }
    let fetched = fetch_offsets(&client, &name, &[TopicPartition::new(name.as_str(), PartitionId(0))]).await;
    assert_eq!(fetched.expect("the coordinator answers")[0].1.as_ref().map(|found| found.offset), Some(Offset(6)));
}

async fn a_partition_that_is_registered_in_vain_keeps_nobody_waiting(broker: TestBroker) {
    let client = connect(broker.bootstrap()).await;
    let name = broker.unique("vain");
    let (mut producer, topic) = accustomed(&client, &name).await;
    for is_commit in [true, false] {
        producer.begin().expect("nothing is open");
        producer.expect_records();
        registered(&client, &name, &[0, 1]).await;
        let ended = async {
            if is_commit {
                producer.commit(None).await.expect("nothing is in the way");
            } else {
                producer.abort().await.expect("nothing is in the way");
            }
        };
        within("the end of an empty transaction", Duration::from_secs(60), ended).await;
    }
    // Another producer writes without transactions: readers pass the markers and get to its record.
    let mut plain = ExclusiveProducer::open(&client, ProducerConfig::default()).await.expect("a producer id");
    let plain_topic = plain.topic(&name).await.expect("the topic is there");
    append(&mut plain, plain_topic, 0, 9);
    plain.close().await.expect("the record is taken");
    eventually("the record behind the markers", Duration::from_secs(30), async || {
        (values(&client, &name, 0).await == [0, 1, 2, 3, 4, 9]).then_some(())
    })
    .await;
    producer.begin().expect("nothing is open");
    append(&mut producer, topic, 1, 5);
    commit(&mut producer, &name, 5).await;
    producer.close().await.expect("nothing is open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_begins_when_the_one_before_it_is_complete() {
    const COUNT: i64 = 9;
    let config = BrokerConfig { marker_delay: Duration::from_millis(15), ..BrokerConfig::default() };
    let broker = Broker::start(config).await.expect("a port is free");
    let client = connect(&broker.address()).await;
    create_topic(&client, "paced", PARTITIONS).await;
    let retries = commit_all(&client, "paced", COUNT, RunsOn::OwnThread).await;
    assert_eq!(retries, 0, "this broker refuses a batch that comes too early");
    check(&client, "paced", COUNT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_on_three_nodes_follow_each_other() {
    const COUNT: i64 = 60;
    let cluster = match RealCluster::start(3, RealConfig::default()).await {
        Ok(cluster) => cluster,
        Err(unavailable) => return skip("a cluster of three nodes", &unavailable.to_string()),
    };
    let client = connect(&cluster.bootstrap()).await;
    let configs = vec![("retention.ms".into(), "-1".into())];
    let topic = NewTopic { configs, replication_factor: 3, ..NewTopic::new("paced", PARTITIONS) };
    for (_, outcome) in client.create_topics(&[topic]).await.expect("the cluster answers") {
        outcome.expect("the topic can be made");
    }
    for partition in (0..PARTITIONS).map(PartitionId) {
        client.leader("paced", partition).await.expect("a new topic gets leaders");
    }
    commit_all(&client, "paced", COUNT, RunsOn::OwnThread).await;
    check(&client, "paced", COUNT).await;
}

/// The records of the backlog: a second or two of work for this build.
const BACKLOG: usize = 800_000;

/// With input at hand, `commit.interval.max.ms` decides how many transactions there are, and nothing else does.
async fn a_backlog_is_committed_once_an_interval(broker: TestBroker) {
    let bench = Bench::new(&broker, "pacing", [PARTITIONS, PARTITIONS]).await;
    let mut producer = ExclusiveProducer::open(&bench.client, ProducerConfig::default()).await.expect("a producer id");
    let topic = producer.topic(&bench.input).await.expect("the topic is there");
    let line = "a line of sixty bytes or so, to be written in upper case .....";
    for number in 0..BACKLOG {
        if !producer.has_room() {
            producer.ready().await.expect("the lines are taken");
        }
        let partition = PartitionId(i32::try_from(number % 3).expect("small"));
        let record = NewRecord { timestamp: TimestampMs(1), ..NewRecord::of(line.as_bytes()) };
        producer.append(topic, partition, record).expect("the buffer has room");
    }
    producer.flush().await.expect("the lines are taken");
    producer.close().await.expect("nothing is open");
    let mut counts = Vec::new();
    for interval_ms in [1_000, 100] {
        let application_id = format!("{}-{interval_ms}", bench.application_id);
        let mut config = bench.config();
        config.set("commit.interval.max.ms", &interval_ms.to_string()).expect("a known key");
        let (commits, took) = copy_backlog(&bench, &application_id, config).await;
        eprintln!("{BACKLOG} records, commit.interval.max.ms={interval_ms}: {commits} commits in {took:.2?}");
        // One more for the end, and one for what was open at the first look.
        let commits_max = took.as_millis() as u64 / interval_ms + 2;
        assert!((1..=commits_max).contains(&commits), "{commits} commits in {took:?} at {interval_ms} ms");
        counts.push(commits);
    }
    assert!(counts[0] < counts[1], "the interval matters: {counts:?}");
}

/// Copies the input in upper case, to its end. Returns the number of transactions, and the time.
async fn copy_backlog(bench: &Bench, application_id: &str, config: Config) -> (u64, Duration) {
    let mut job = Topology::builder(application_id);
    job.stream(&bench.input, Utf8).map(|line| line.value.to_uppercase()).to(&bench.output, Raw, Utf8);
    let started = Instant::now();
    let app = App::new(job.build().expect("the topology is sound"), config).bounded();
    let run = app.run_until(std::future::pending::<()>());
    let status = within("the backlog", Duration::from_secs(120), run).await.expect("the job runs to its end");
    assert_eq!((status.records_in, status.restarts), (BACKLOG as u64, 0));
    (status.commits, started.elapsed())
}

/// Records behind a shuffle are processed in the transaction that writes them, so each is out with one commit.
async fn a_shuffle_costs_no_commit_of_its_own(broker: TestBroker) {
    let bench = Bench::new(&broker, "pacing", [1, 1]).await;
    let commits = count_lines_one_by_one(&bench, bench.config()).await;
    // A commit may come when a record is only in the first half of its way.
    assert!(commits < RECORDS * 3 / 2, "{commits} commits for {RECORDS} records");
}

/// Shuffled records are deleted after their commit. By then the job's consumer may still ask for them, because a broker
/// answers the end of a transaction before it writes the markers that let consumers pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_deletes_what_it_may_still_ask_for() {
    let delay = |config: &mut BrokerConfig| config.marker_delay = Duration::from_millis(50);
    let broker = TestBroker::of_its_own(BrokerKind::EmbeddedTv2, delay, &[]).await.expect("a broker in this process");
    let bench = Bench::new(&broker, "pacing", [1, 1]).await;
    let mut config = bench.config();
    config.set("repartition.purge.interval.ms", "0").expect("a known key");
    count_lines_one_by_one(&bench, config).await;
}

/// Counts lines behind a shuffle. Each is written when the count of the one before it is out. Returns the number of
/// transactions after the first line.
async fn count_lines_one_by_one(bench: &Bench, config: Config) -> u64 {
    let mut job = Topology::builder(&bench.application_id);
    let lines = job.stream(&bench.input, Utf8).key_by("by-line", Partitions(3), (Utf8, ()), |line| (line.value, ()));
    lines.count("counts", Emit::EveryUpdate).to(&bench.output, Utf8, U64);
    let job = job.build().expect("the topology is sound");
    let running = App::new(job, config).start().await.expect("the job starts");
    let input = TopicPartition::new(bench.input.as_str(), PartitionId(0));
    let mut commits = 0;
    for (number, line) in (0..RECORDS).zip(["a", "b", "c"].into_iter().cycle()) {
        write(&bench.client, &input, &[line]).await;
        let out = async || {
            let out = read_to_end(&bench.client, &bench.output, ReadCommitted).await;
            (out.len() as u64 > number).then_some(())
        };
        eventually("the count of a line", Duration::from_secs(60), out).await;
        if number == 0 {
            commits = running.status().commits;
        }
    }
    let commits = running.status().commits - commits;
    running.stop().await.expect("the job stops");
    let out = read_to_end(&bench.client, &bench.output, ReadCommitted).await;
    let counts: Vec<_> = out.into_iter().map(|record| record.value.unwrap_or_default()).collect();
    assert_eq!(counts, (0..RECORDS).map(|number| (number / 3 + 1).to_be_bytes().to_vec()).collect::<Vec<_>>());
    commits
}

/// The number of lines.
const RECORDS: u64 = 30;
