//! Tables whose rows come from topics of the user's on a cluster: global ones, and those that are their own changelogs.

use std::collections::BTreeMap;
use std::time::Duration;

use conformance::bench::{Bench, until};
use conformance::reader::{create_topic, read_to_end};
use conformance::writer::write_batch;
use conformance::{TestBroker, eventually, on_both_brokers, within};
use kafka_wire::admin::NewTopic;
use kafka_wire::client::ExclusiveProducer;
use kafka_wire::cluster::TopicPartition;
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::producer::{NewRecord, ProducerConfig, partition_for_key};
use kafka_wire::record::{BatchBuilder, RawHeaders, Seal};
use kafka_wire::types::PartitionId;
use processor::runtime::RunError;
use processor::{App, Raw, Text, Topology, Utf8};
use tokio::time::Instant;

on_both_brokers!(
    a_global_table_is_whole_before_the_job_begins_and_is_followed,
    a_transaction_that_stays_open_in_a_global_table_delays_no_job,
    a_compacted_topic_is_the_changelog_of_its_table,
    a_compacted_topic_that_gets_partitions_ends_the_job,
    a_topic_that_is_not_compacted_is_refused,
);

const PATIENCE: Duration = Duration::from_secs(60);
const ROWS: usize = 3_000;
const LINES: usize = 2_000;

async fn a_global_table_is_whole_before_the_job_begins_and_is_followed(broker: TestBroker) {
    let bench = Bench::new(&broker, "tables", [2, 1]).await;
    let rows = broker.unique("rows");
    create_topic(&bench.client, &rows, 3).await;
    write(&bench, &rows, 3, (0..ROWS).map(|row| (format!("k{row}"), format!("row{row}")))).await;
    let lines = (0..LINES).map(|line| (format!("p{line}"), format!("k{} {line}", line * 7 % ROWS)));
    write(&bench, &bench.input, 2, lines).await;
    let topology = || {
        let mut job = Topology::builder(&bench.application_id);
        let rows = job.global_table(&rows, Utf8, Text);
        job.stream(&bench.input, Utf8)
            .left_join_global(
                &rows,
                |line| line.value.split(' ').next(),
                |line, row| format!("{} {}", line.value, row.map_or("-", String::as_str)),
            )
            .to(&bench.output, Raw, Utf8);
        job.build().expect("the topology is sound")
    };
    let mut config = bench.config();
    config.set("commit.interval.max.ms", "20").expect("a known key");
    config.set("num.workers", "2").expect("a known key");
    // A job that ends between two commits goes on from the last one.
    let running = App::new(topology(), config.clone()).start().await.expect("the job starts");
    drop(until(running, "a commit", |running| running.status().commits > 0).await);
    let running = App::new(topology(), config).start().await.expect("the job starts");
    for (line, row) in found(&bench, LINES).await {
        let key = line.split_once(' ').expect("a key and a number").0;
        assert_eq!(key.replace('k', "row"), row, "{line}");
    }
    // A change is seen by all workers, some moments later.
    write(&bench, &rows, 3, [("k7".to_owned(), "changed".to_owned())].into_iter()).await;
    let (mut count, by) = (LINES, Instant::now() + PATIENCE);
    loop {
        let lines = (count..count + 8).map(|line| (format!("p{line}"), format!("k7 {line}")));
        write(&bench, &bench.input, 2, lines).await;
        count += 8;
        let found = found(&bench, count).await;
        if (count - 8..count).all(|line| found[&format!("k7 {line}")] == "changed") {
            break;
        }
        assert!(Instant::now() < by, "the change is not seen");
    }
    running.stop().await.expect("the job stops");
}

async fn a_transaction_that_stays_open_in_a_global_table_delays_no_job(broker: TestBroker) {
    let bench = Bench::new(&broker, "tables", [1, 1]).await;
    let rows = broker.unique("rows");
    create_topic(&bench.client, &rows, 1).await;
    write(&bench, &rows, 1, [("k0".to_owned(), "row0".to_owned())].into_iter()).await;
    let config = ProducerConfig { transaction_timeout: 5 * PATIENCE, ..ProducerConfig::transactional(rows.as_str()) };
    let mut other = ExclusiveProducer::open(&bench.client, config).await.expect("a producer opens");
    let topic = other.topic(&rows).await.expect("the topic is there");
    other.begin().expect("none is open");
    let row = NewRecord { key: Some(b"k0"), value: Some(b"open"), ..NewRecord::default() };
    other.append(topic, PartitionId(0), row).expect("there is room");
    other.flush().await.expect("it is written");

    let mut job = Topology::builder(&bench.application_id);
    let table = job.global_table(&rows, Utf8, Text);
    job.stream(&bench.input, Utf8)
        .join_global(&table, |line| Some(line.value), |line, row| format!("{} {row}", line.value))
        .to(&bench.output, Raw, Utf8);
    let topology = job.build().expect("the topology is sound");
    let running = App::new(topology, bench.config()).start().await.expect("the job starts");
    write(&bench, &bench.input, 1, [("p".to_owned(), "k0".to_owned())].into_iter()).await;
    assert_eq!(found(&bench, 1).await, BTreeMap::from([("k0".to_owned(), "row0".to_owned())]));
    running.stop().await.expect("the job stops");
    other.close().await.expect("the transaction is aborted");
}

async fn a_compacted_topic_is_the_changelog_of_its_table(broker: TestBroker) {
    let bench = Bench::new(&broker, "tables", [2, 1]).await;
    let rows = compacted(&bench, &broker, "compact").await;
    write(&bench, &rows, 2, (0..ROWS).map(|row| (format!("k{row}"), format!("row{row}")))).await;
    let config = bench.config();
    let running = App::new(enriching(&bench, &rows), config.clone()).start().await.expect("the job starts");
    let all = u64::try_from(ROWS).expect("few");
    // Those of a transaction that is rolled back count again.
    drop(until(running, "all rows", |running| running.status().records_in >= all).await);
    // Rows are read again up to the committed offset, and as input from there on.
    let running = App::new(enriching(&bench, &rows), config.clone()).start().await.expect("the job starts");
    write(&bench, &rows, 2, (0..ROWS / 2).map(|row| (format!("k{row}"), format!("new{row}")))).await;
    let running = until(running, "the rows are in", |running| running.status().lag == 0).await;
    running.stop().await.expect("the job stops");
    let running = App::new(enriching(&bench, &rows), config).start().await.expect("the job starts");
    let lines = (0..LINES).map(|line| (format!("k{}", line * 7 % ROWS), format!("k{} {line}", line * 7 % ROWS)));
    write(&bench, &bench.input, 2, lines).await;
    for (line, row) in found(&bench, LINES).await {
        let number: usize = line[1..].split_once(' ').expect("a key and a number").0.parse().expect("a number");
        let kind = if number < ROWS / 2 { "new" } else { "row" };
        assert_eq!(format!("{kind}{number}"), row, "{line}");
    }
    running.stop().await.expect("the job stops");
    let changelog = format!("{}-rows-changelog", bench.application_id);
    assert!(bench.client.topic(&changelog).await.is_err(), "{changelog} is not needed");
}

async fn a_compacted_topic_that_gets_partitions_ends_the_job(broker: TestBroker) {
    let bench = Bench::new(&broker, "tables", [2, 1]).await;
    let rows = compacted(&bench, &broker, "compact").await;
    write(&bench, &rows, 2, (0..10).map(|row| (format!("k{row}"), format!("row{row}")))).await;
    let changes = || {
        let mut job = Topology::builder(&bench.application_id);
        let table = job.compacted_table(&rows, "rows", Utf8, Text);
        table.changes().filter_map(|row| row.value.new.clone()).to(&bench.output, Utf8, Text);
        job.build().expect("the topology is sound")
    };
    let running = App::new(changes(), bench.config()).start().await.expect("the job starts");
    let mut running = until(running, "a commit of all rows", |running| {
        running.status().records_in >= 10 && running.status().commits > 0 && running.status().lag == 0
    })
    .await;
    let outcomes = bench.client.create_partitions(&[(rows.as_str().into(), 3)]).await.expect("the cluster answers");
    outcomes.into_iter().for_each(|(_, outcome)| outcome.expect("the topic grows"));
    let told = |error: RunError| {
        let told = error.to_string();
        let parts = [rows.as_str(), "had 2 partitions", "has 3 now", "another application id"];
        assert!(parts.iter().all(|part| told.contains(part)), "{told}");
    };
    told(within("the end of the job", PATIENCE, running.finished()).await.expect_err("keys have moved"));
    drop(running);
    // A process that starts later finds it in the offsets.
    let mut running = App::new(changes(), bench.config()).start().await.expect("the job starts");
    told(within("the end of the job", PATIENCE, running.finished()).await.expect_err("keys have moved"));
}

async fn a_topic_that_is_not_compacted_is_refused(broker: TestBroker) {
    let bench = Bench::new(&broker, "tables", [2, 1]).await;
    let rows = compacted(&bench, &broker, "delete").await;
    let error = App::new(enriching(&bench, &rows), bench.config()).start().await.expect_err("rows would be lost");
    assert!(
        matches!(&error, RunError::NotCompacted { topic, policy } if *topic == rows && policy == "delete"),
        "{error}"
    );
}

/// Creates a topic of two partitions with that `cleanup.policy`.
async fn compacted(bench: &Bench, broker: &TestBroker, policy: &str) -> String {
    let name = broker.unique("rows");
    let configs = vec![("cleanup.policy".into(), policy.into()), ("retention.ms".into(), "-1".into())];
    let topic = NewTopic { configs, ..NewTopic::new(&name, 2) };
    let outcomes = bench.client.create_topics(&[topic]).await.expect("the cluster answers");
    outcomes.into_iter().for_each(|(_, outcome)| outcome.expect("the topic is new"));
    name
}

/// A job that joins lines with the rows of their keys.
fn enriching(bench: &Bench, rows: &str) -> Topology {
    let mut job = Topology::builder(&bench.application_id);
    let rows = job.compacted_table(rows, "rows", Utf8, Text);
    job.keyed_stream(&bench.input, Utf8, Utf8)
        .left_join_table(&rows, |line, row| format!("{} {}", line.value, row.map_or("-", String::as_str)))
        .to(&bench.output, Utf8, Utf8);
    job.build().expect("the topology is sound")
}

/// Writes records into the partitions of their keys.
async fn write(bench: &Bench, topic: &str, partitions: i32, records: impl Iterator<Item = (String, String)>) {
    let mut batches = BTreeMap::new();
    for (key, value) in records {
        let partition = partition_for_key(key.as_bytes(), partitions);
        let batch = batches.entry(partition).or_insert_with(|| BatchBuilder::new(256));
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        batch.append(1_700_000_000_000, key, value, RawHeaders::EMPTY).expect("it fits");
    }
    for (partition, batch) in batches {
        let batch = batch.seal(Seal::default()).expect("not compressed");
        write_batch(&bench.client, &TopicPartition::new(topic, partition), batch).await;
    }
}

/// The rows by line, once so many lines are out.
async fn found(bench: &Bench, count: usize) -> BTreeMap<String, String> {
    let read = async || {
        let read = read_to_end(&bench.client, &bench.output, IsolationLevel::ReadCommitted).await;
        (read.len() >= count).then_some(read)
    };
    let read = eventually("the results", PATIENCE, read).await;
    let pair = |record: &conformance::reader::KeptRecord| {
        let value = String::from_utf8(record.value.clone().expect("a value")).expect("UTF-8");
        let (line, row) = value.rsplit_once(' ').expect("a line and a row");
        (line.to_owned(), row.to_owned())
    };
    let found: BTreeMap<_, _> = read.iter().map(pair).collect();
    assert_eq!((found.len(), read.len()), (count, count), "each line once");
    found
}
