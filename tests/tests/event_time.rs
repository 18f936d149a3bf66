//! Event time across two shuffles while partitions become idle and active again: no record in the log is late.

use std::collections::BTreeMap;
use std::time::Duration;

use conformance::bench::{Bench, until};
use conformance::reader::read_to_end;
use conformance::{TestBroker, on_both_brokers};
use kafka_wire::client::Client;
use kafka_wire::cluster::TopicPartition;
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::record::{BatchBuilder, RawHeaders, Seal};
use kafka_wire::types::PartitionId;
use processor::serde::Text;
use processor::topology::SubTopologyId;
use processor::{App, Emit, Partitions, Running, Topology, Tumbling, U64, Utf8, Watermark};
use tokio::time::Instant;

on_both_brokers!(bursts_into_idle_partitions_lose_nothing);

/// The first upstream task that becomes active must not close the windows of the others, whose records are
/// already in their logs.
async fn bursts_into_idle_partitions_lose_nothing(broker: TestBroker) {
    let bench = Bench::new(&broker, "event-time", [SOURCES, 1]).await;
    let Bench { client, application_id, input, output, .. } = &bench;
    let mut config = bench.config();
    config.set("num.workers", "2").expect("a known key");
    let topology = topology(application_id, input, output);
    let running = App::new(topology, config).start().await.expect("the job starts");
    // No task moves after this, so the idle sources are known.
    let has_both = |running: &Running| running.status().running_workers == 2 && running.status().tasks == TASKS;
    let mut running = until(running, "both workers", has_both).await;

    for burst in 0..BURSTS {
        running = until(running, "idle sources", |running| idle_sources(running, burst) == SOURCES as usize).await;
        for partition in 0..SOURCES {
            write_words(client, &TopicPartition::new(input.as_str(), PartitionId(partition)), burst).await;
        }
        let words = (burst + 1) * WORDS.len() as i64 * i64::from(SOURCES);
        running = until(running, "the burst", |running| running.status().records_in >= words as u64).await;
    }
    // The last burst closes the windows of those before it.
    let by = Instant::now() + PATIENCE;
    let sums = loop {
        let records = read_to_end(client, output, IsolationLevel::ReadCommitted).await;
        let sum = |record: &conformance::reader::KeptRecord| {
            let (start, sum) =
                record.text().1.split_once(' ').map(|(start, sum)| (start.to_owned(), sum.to_owned()))?;
            Some((start.parse::<i64>().ok()?, sum.parse::<i64>().ok()?))
        };
        let sums: BTreeMap<i64, i64> = records.iter().filter_map(sum).collect();
        if sums.len() >= BURSTS as usize - 1 {
            break sums;
        }
        assert!(Instant::now() < by, "windows do not close: {sums:?}, {:?}", running.tasks());
    };
    let all = WORDS.len() as i64 * i64::from(SOURCES);
    let expected: BTreeMap<i64, i64> = (0..BURSTS - 1).map(|burst| (start_of(burst), all)).collect();
    assert_eq!(sums, expected);
    assert_eq!(running.status().late, 0);
    running.stop().await.expect("the job stops");
}

/// Counts each word in each window, then adds the counts of a window up behind another shuffle.
fn topology(application_id: &str, input: &str, output: &str) -> Topology {
    let mut job = Topology::builder(application_id);
    job.stream(input, Utf8)
        .watermark(Watermark::bounded(Duration::from_secs(1)).idle_after(Duration::from_millis(400)))
        .key_by("by-word", Partitions(3), (Utf8, ()), |word| (word.value, ()))
        .window(Tumbling::of(WINDOW))
        .count("counts", Emit::OnClose)
        .map(|word| *word.value)
        .key_by("all", Partitions(1), (Utf8, U64), |count| ("all", count.value))
        .window(Tumbling::of(WINDOW))
        .aggregate("sums", U64, Emit::OnClose, || 0, |sum: &mut u64, count| *sum += count.value)
        .map(|sum| format!("{} {}", sum.window.start, sum.value))
        .to(output, Utf8, Text);
    job.build().expect("a valid job")
}

/// Writes records of one word, all within one second of event time, far from those of the burst before.
async fn write_words(client: &Client, partition: &TopicPartition, burst: i64) {
    let mut builder = BatchBuilder::new(256);
    for (index, word) in WORDS.iter().enumerate() {
        let timestamp = start_of(burst) + 2_000 + index as i64 * 100;
        builder.append(timestamp, None, Some(word.as_bytes()), RawHeaders::EMPTY).expect("it fits");
    }
    let batch = builder.seal(Seal::default()).expect("not compressed");
    conformance::writer::write_batch(client, partition, batch).await;
}

/// Start of the window of a burst.
const fn start_of(burst: i64) -> i64 {
    1_700_000_000_000 + burst * 36_000 / 10_000 * 10_000
}

/// Number of source tasks that are idle and have processed the bursts before this one.
fn idle_sources(running: &Running, burst: i64) -> usize {
    let is_idle = |report: &processor::worker::TaskReport| {
        let has_read = |watermark: i64| burst == 0 || watermark >= start_of(burst - 1);
        let is_idle = report.status.is_some_and(|status| status.is_idle && has_read(status.watermark.0));
        report.id.sub_topology == SubTopologyId(0) && is_idle
    };
    running.tasks().iter().filter(|report| is_idle(report)).count()
}

const SOURCES: i32 = 3;
/// Tasks: three sources, three after the first shuffle, one after the second.
const TASKS: u64 = 7;
const BURSTS: i64 = 5;
const WORDS: [&str; 8] = ["p", "q", "r", "s", "t", "u", "v", "w"];
const WINDOW: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);
