//! Start and end of a job on a cluster: bounded runs of several instances, and input that the job cannot accept.

use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use conformance::bench::Bench;
use conformance::reader::{create_topic, read_to_end, until_stable};
use conformance::{TestBroker, on_both_brokers};
use kafka_wire::client::ExclusiveProducer;
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::producer::{NewRecord, ProducerConfig, TopicHandle};
use kafka_wire::types::{PartitionId, TimestampMs};
use processor::runtime::RunError;
use processor::{App, Emit, Partitions, Topology, Tumbling, U64, Utf8, Watermark};

on_both_brokers!(
    a_bounded_run_of_two_instances_closes_every_window,
    a_missing_topic_is_named_with_how_to_create_it,
    another_number_of_partitions_is_refused,
    a_record_that_is_not_utf8_is_counted_or_ends_the_job,
    a_record_that_is_refused_for_good_ends_the_job,
    results_go_out_in_batches_as_small_as_their_topic_takes,
);

/// Watermarks and the end of the input cross the shuffle: the records of one instance close windows in the other.
async fn a_bounded_run_of_two_instances_closes_every_window(broker: TestBroker) {
    let bench = Bench::new(&broker, "runs", [4, 2]).await;
    let (mut producer, input) = open_producer(&bench).await;
    for number in 0..20_000_i64 {
        let partition = PartitionId(i32::try_from(number % 4).expect("small"));
        let word = format!("word{}", number % 50);
        write(&mut producer, input, partition, START_MS + number, word.as_bytes());
    }
    producer.flush().await.expect("the lines are taken");

    let run = || async {
        let mut config = bench.config();
        config.workers = 2;
        App::new(topology(&bench, 4), config).bounded().run_until(pending::<()>()).await.expect("runs to its end")
    };
    let (first, second) = tokio::join!(run(), run());
    assert_eq!(first.late + second.late, 0);

    until_stable(&bench.client, &bench.output).await;
    let mut counts = BTreeMap::new();
    for record in read_to_end(&bench.client, &bench.output, IsolationLevel::ReadCommitted).await {
        let (key, value) = (record.key.expect("a word"), record.value.expect("a count"));
        let window = record.timestamp.0.div_euclid(WINDOW_MS);
        let count = u64::from_be_bytes(value.try_into().expect("8 bytes"));
        assert_eq!(counts.insert((key, window), count), None, "a window comes out once");
    }
    // 1,000 lines per window with 50 words: each word occurs 20 times, in 20 windows.
    assert_eq!(counts.len(), 20 * 50);
    assert!(counts.values().all(|&count| count == 20), "{counts:?}");
}

async fn a_missing_topic_is_named_with_how_to_create_it(broker: TestBroker) {
    let mut bench = Bench::new(&broker, "runs", [1, 2]).await;
    bench.input = broker.unique("missing");
    let error = start_fails(&bench, 1).await;
    assert!(matches!(&error, RunError::TopicMissing { topic, .. } if *topic == bench.input), "{error}");
    assert!(error.to_string().contains("--create --topic"), "{error}");
}

async fn another_number_of_partitions_is_refused(broker: TestBroker) {
    let bench = Bench::new(&broker, "runs", [1, 2]).await;
    App::new(topology(&bench, 2), bench.config()).bounded().run_until(pending::<()>()).await.expect("an empty run");
    let error = start_fails(&bench, 3).await;
    assert!(matches!(error, RunError::PartitionsDiffer { found: 2, expected: 3, .. }), "{error}");
}

async fn a_record_that_is_not_utf8_is_counted_or_ends_the_job(broker: TestBroker) {
    let bench = Bench::new(&broker, "runs", [1, 2]).await;
    let (mut producer, input) = open_producer(&bench).await;
    for value in [&b"good"[..], b"\xff\xfe", b"good"] {
        write(&mut producer, input, PartitionId(0), START_MS, value);
    }
    producer.flush().await.expect("the records are taken");

    let app = App::new(topology(&bench, 1), bench.config()).bounded();
    let error = app.run_until(pending::<()>()).await.expect_err("told to fail").to_string();
    let place = format!("topic {}, partition 0, offset 1", bench.input);
    assert!(error.contains(&place), "{error}");

    let mut config = bench.config();
    config.set("deserialization.exception.handler", "continue").expect("a known key");
    let app = App::new(topology(&bench, 1), config).bounded();
    let status = app.run_until(pending::<()>()).await.expect("skips what it cannot read");
    assert_eq!(status.undecodable, 1);
    until_stable(&bench.client, &bench.output).await;
    let records = read_to_end(&bench.client, &bench.output, IsolationLevel::ReadCommitted).await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].value, Some(2_u64.to_be_bytes().to_vec()));
}

/// Otherwise it would be retried for ever, and nobody would learn of it.
async fn a_record_that_is_refused_for_good_ends_the_job(broker: TestBroker) {
    let mut bench = Bench::new(&broker, "runs", [1, 2]).await;
    bench.output = broker.unique("tight");
    let mut tight = kafka_wire::admin::NewTopic::new(bench.output.as_str(), 1);
    tight.configs = vec![("max.message.bytes".into(), "78".into())];
    bench.client.create_topics(&[tight]).await.expect("the cluster answers");
    let (mut producer, input) = open_producer(&bench).await;
    write(&mut producer, input, PartitionId(0), START_MS, b"word");
    producer.flush().await.expect("the record is taken");
    let app = App::new(topology(&bench, 1), bench.config()).bounded();
    let error = app.run_until(pending::<()>()).await.expect_err("the output is too large").to_string();
    assert!(error.contains(&bench.output) && error.contains("max.message.bytes"), "{error}");

    // A job that leaves such records out looks up which ones the topic takes.
    let dead = broker.unique("dead");
    create_topic(&bench.client, &dead, 1).await;
    let mut config = bench.config();
    config.set("errors.dead.letter.queue.topic.name", &dead).expect("a known key");
    let app = App::new(topology(&bench, 1), config).bounded();
    let status = app.run_until(pending::<()>()).await.expect("it goes on without the record");
    assert_eq!(status.unproducible, 1);
    until_stable(&bench.client, &dead).await;
    let letters = read_to_end(&bench.client, &dead, IsolationLevel::ReadCommitted).await;
    let message = |(name, _): &&(Vec<u8>, Option<Vec<u8>>)| name == b"__streams.errors.message";
    let message = letters.iter().flat_map(|letter| letter.headers.iter().find(message)).next();
    let message = message.and_then(|(_, value)| value.clone()).map(String::from_utf8);
    assert!(message.is_some_and(|text| text.is_ok_and(|text| text.contains("max.message.bytes"))), "{letters:?}");
}

/// A window of many words closes at once, and a batch of all its results would be larger than the topic allows.
async fn results_go_out_in_batches_as_small_as_their_topic_takes(broker: TestBroker) {
    let mut bench = Bench::new(&broker, "runs", [1, 2]).await;
    bench.output = broker.unique("small");
    let mut small = kafka_wire::admin::NewTopic::new(bench.output.as_str(), 1);
    // The records are years old, and would go with the first look at retention.
    small.configs = vec![("max.message.bytes".into(), "20000".into()), ("retention.ms".into(), "-1".into())];
    bench.client.create_topics(&[small]).await.expect("the cluster answers");
    let (mut producer, input) = open_producer(&bench).await;
    for number in 0..2_000 {
        write(&mut producer, input, PartitionId(0), START_MS, format!("a-word-of-its-own-{number}").as_bytes());
    }
    producer.flush().await.expect("the lines are taken");
    let app = App::new(topology(&bench, 1), bench.config()).bounded();
    app.run_until(pending::<()>()).await.expect("every record alone is small enough");
    until_stable(&bench.client, &bench.output).await;
    let records = read_to_end(&bench.client, &bench.output, IsolationLevel::ReadCommitted).await;
    assert_eq!(records.len(), 2_000);
}

fn topology(bench: &Bench, partitions: i32) -> Topology {
    let mut job = Topology::builder(&bench.application_id);
    job.stream(&bench.input, Utf8)
        .watermark(Watermark::bounded(Duration::from_secs(1)))
        .key_by("by-word", Partitions(partitions), (Utf8, ()), |word| (word.value, ()))
        .window(Tumbling::of(Duration::from_millis(WINDOW_MS.unsigned_abs())))
        .count("counts", Emit::OnClose)
        .map(|word| *word.value)
        .to(&bench.output, Utf8, U64);
    job.build().expect("the topology is sound")
}

async fn start_fails(bench: &Bench, partitions: i32) -> RunError {
    let started = App::new(topology(bench, partitions), bench.config()).start().await;
    started.expect_err("it must not start")
}

async fn open_producer(bench: &Bench) -> (ExclusiveProducer, TopicHandle) {
    let mut producer = ExclusiveProducer::open(&bench.client, ProducerConfig::default()).await.expect("a producer");
    let input = producer.topic(&bench.input).await.expect("the input topic");
    (producer, input)
}

fn write(
    producer: &mut ExclusiveProducer,
    topic: TopicHandle,
    partition: PartitionId,
    timestamp_ms: i64,
    value: &[u8],
) {
    let at = TimestampMs(timestamp_ms);
    producer
        .append(topic, partition, NewRecord { timestamp: at, value: Some(value), ..NewRecord::default() })
        .expect("there is room");
}

const WINDOW_MS: i64 = 1_000;
/// The start of a window.
const START_MS: i64 = 1_600_000_020_000;
