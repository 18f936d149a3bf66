//! A restore that takes longer than the session timeout: the worker's other task goes on beside it.

use std::collections::BTreeMap;
use std::time::Duration;

use conformance::bench::Bench;
use conformance::reader::{read_to_end, until_stable};
use conformance::writer::write_batch;
use conformance::{TestBroker, eventually, on_both_brokers};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::record::{BatchBuilder, RawHeaders, Seal};
use kafka_wire::types::PartitionId;
use processor::worker::Life;
use processor::{App, Emit, Running, Topology, U64, Utf8};
use tokio::time::{Instant, sleep};

on_both_brokers!(a_long_restore_holds_up_no_other_task);

async fn a_long_restore_holds_up_no_other_task(broker: TestBroker) {
    let counts = Counts::new(&broker).await;
    let running = counts.start().await;
    for _ in 0..3 {
        counts.write(LONG).await;
    }
    counts.write(OTHER).await;
    counts.until_counted(LONG, 3).await;
    counts.until_counted(OTHER, 1).await;
    running.stop().await.expect("the job stops");

    let (mut others, mut last) = (1, None);
    for batches in [24_000, 48_000, 96_000, 192_000] {
        if last.as_ref().is_none_or(|seen: &Seen| seen.took <= SESSION_TIMEOUT) {
            counts.lengthen_changelog(batches).await;
        }
        let running = counts.start().await;
        let seen = counts.watch(&running, &mut others).await;
        if seen.took <= SESSION_TIMEOUT || seen.results < 10 || seen.commits < 10 {
            // The changelog has to be longer: the broker is so fast, or the machine so slow. A task that is held up
            // has no result, however long that takes.
            running.stop().await.expect("the job stops");
            last = Some(seen);
            continue;
        }
        eprintln!("{seen:?}");
        assert!(seen.progress.len() >= 5, "reports show progress: {seen:?}");
        assert!(seen.progress.is_sorted(), "it never goes back: {seen:?}");
        assert_eq!(running.status().restarts, 0, "the worker keeps its membership");
        counts.write(LONG).await;
        counts.until_counted(LONG, 4).await;
        running.stop().await.expect("the job stops");
        return;
    }
    panic!("no restore has taken longer than the session timeout with ten results of the other task in it: {last:?}");
}

/// The observations during a restore.
#[derive(Debug)]
struct Seen {
    took: Duration,
    /// Restored offsets, each time that a report shows more of them.
    progress: Vec<u64>,
    /// Results of the other task that came out meanwhile.
    results: u64,
    /// Transactions committed meanwhile.
    commits: u64,
}

/// A count of keys in two partitions.
struct Counts {
    bench: Bench,
}

impl Counts {
    async fn new(broker: &TestBroker) -> Self {
        Self { bench: Bench::new(broker, "restore", [2, 2]).await }
    }

    async fn start(&self) -> Running {
        let mut job = Topology::builder(&self.bench.application_id);
        let keys = job.keyed_stream(&self.bench.input, Utf8, Utf8);
        keys.count("counts", Emit::OnUpdate).to(&self.bench.output, Utf8, U64);
        let mut config = self.bench.config();
        config.session_timeout = SESSION_TIMEOUT;
        // One batch in each fetch, so that the restore takes long.
        config.set("fetch.max.bytes", "1").expect("a known key");
        // One segment, so that the broker compacts none of it.
        config.set("topic.segment.bytes", "1073741824").expect("a known key");
        config.set("topic.segment.index.bytes", "10485760").expect("a known key");
        App::new(job.build().expect("the topology is sound"), config).start().await.expect("the job starts")
    }

    /// Writes a record whose key is the number of its partition.
    async fn write(&self, partition: i32) {
        let key = partition.to_string();
        let batch = batch(key.as_bytes(), Some(b""));
        write_batch(&self.bench.client, &TopicPartition::new(self.bench.input.as_str(), PartitionId(partition)), batch)
            .await;
    }

    /// The greatest count of a partition's key that is out.
    async fn counted(&self, partition: i32) -> u64 {
        let records = read_to_end(&self.bench.client, &self.bench.output, IsolationLevel::ReadCommitted).await;
        let key = partition.to_string();
        let of_key = records.iter().filter(|record| record.key.as_deref() == Some(key.as_bytes()));
        let count = |value: &Option<Vec<u8>>| value.as_deref().and_then(|value| value.try_into().ok());
        of_key.filter_map(|record| count(&record.value)).map(u64::from_be_bytes).max().unwrap_or(0)
    }

    async fn until_counted(&self, partition: i32, count: u64) {
        let counted = async || (self.counted(partition).await == count).then_some(());
        eventually("the count of a key", PATIENCE, counted).await;
    }

    /// Appends the present entries of a changelog to it again and again, in batches of one record.
    async fn lengthen_changelog(&self, batches: usize) {
        let changelog = format!("{}-counts-changelog", self.bench.application_id);
        until_stable(&self.bench.client, &changelog).await;
        let records = read_to_end(&self.bench.client, &changelog, IsolationLevel::ReadCommitted).await;
        let of_task = records.into_iter().filter(|record| record.partition == PartitionId(LONG));
        let entries: BTreeMap<_, _> =
            of_task.map(|record| (record.key.expect("an entry has a key"), record.value)).collect();
        let partition = TopicPartition::new(changelog.as_str(), PartitionId(LONG));
        let writers = (0..WRITERS).map(|writer| {
            let (client, partition, entries) = (self.bench.client.clone(), partition.clone(), entries.clone());
            tokio::spawn(async move {
                for (key, value) in entries.iter().cycle().skip(writer).take(batches / WRITERS) {
                    write_batch(&client, &partition, batch(key, value.as_deref())).await;
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("a writer does not panic");
        }
    }

    /// Writes records for the other task, and waits for their results, until the restore has ended.
    async fn watch(&self, running: &Running, others: &mut u64) -> Seen {
        let restoring = || {
            let reports = running.tasks();
            let long = reports.iter().find(|report| report.id.partition == PartitionId(LONG));
            long.map(|report| report.life)
        };
        let begun =
            || std::future::ready(matches!(restoring(), Some(Life::Restoring { .. } | Life::Running)).then_some(()));
        eventually("the restore", PATIENCE, begun).await;
        let (started, commits) = (Instant::now(), running.status().commits);
        let mut seen = Seen { took: Duration::ZERO, progress: Vec::new(), results: 0, commits: 0 };
        while let Some(Life::Restoring { done, .. }) = restoring() {
            if seen.progress.last() != Some(&done) {
                seen.progress.push(done);
            }
            self.write(OTHER).await;
            *others += 1;
            self.until_counted(OTHER, *others).await;
            if matches!(restoring(), Some(Life::Restoring { .. })) {
                seen.results += 1;
                seen.commits = running.status().commits - commits;
            }
            seen.took = started.elapsed();
            assert!(seen.took < PATIENCE, "it does not end: {seen:?}");
            sleep(Duration::from_millis(50)).await;
        }
        seen
    }
}

fn batch(key: &[u8], value: Option<&[u8]>) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(256);
    builder.append(1_700_000_000_000, Some(key), value, RawHeaders::EMPTY).expect("it fits");
    builder.seal(Seal::default()).expect("not compressed")
}

/// The partition whose restore takes long, and the other one.
const LONG: i32 = 0;
const OTHER: i32 = 1;
const WRITERS: usize = 8;
/// The least that Apache Kafka allows by default.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(120);
