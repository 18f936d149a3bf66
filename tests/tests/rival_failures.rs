//! Known failures of other stream processors in the word count on Apache Kafka, with one test for each.
//!
//! Each test drives jobs of the runtime, in this process, through the fault that showed the failure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use conformance::bench::Bench;
use conformance::reader::{create_topic, read_to_end, until_stable};
use conformance::{TestBroker, eventually, on_both_brokers, on_every_broker};
use kafka_wire::admin::NewTopic;
use kafka_wire::client::{ExclusiveProducer, fetch_offsets};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::producer::{AppendError, NewRecord, ProducerConfig};
use kafka_wire::record::HeadersBuf;
use kafka_wire::types::{PartitionId, TimestampMs};
use processor::runtime::Deaths;
use processor::{App, Emit, Partitions, RunError, Running, Topology, Tumbling, U64, Utf8, Watermark};
use tokio::time::{Instant, MissedTickBehavior};

on_every_broker!(
    a_repartition_topic_is_read_committed,
    no_acknowledgement_of_a_send_is_dropped,
    a_start_right_after_a_kill_gets_through,
    two_processes_never_share_a_transactional_id,
    event_time_and_headers_survive_the_shuffle,
    a_restore_reads_past_aborted_stretches,
);
on_both_brokers!(a_backlog_of_five_million_records_commits_all_along);

/// The failure: words of aborted transactions were counted, and then their copies.
async fn a_repartition_topic_is_read_committed(broker: TestBroker) {
    let bench = WordCount::new(&broker).await;
    bench.feed(&["one two", "two"]).await;
    bench.run_until(&[("one", 1), ("two", 2)]).await;

    let foreign = broker.unique("foreign");
    let mut producer = bench.transactions(&foreign).await;
    let shuffle = format!("{}-by-word-repartition", bench.application_id);
    bench.append(&mut producer, &shuffle, &["two", "intruder"]).await;
    producer.flush().await.expect("the records are taken");
    producer.abort().await.expect("the transaction aborts");

    bench.feed(&["two three"]).await;
    bench.run_until(&[("one", 1), ("two", 3), ("three", 1)]).await;
}

/// The failure: words were lost although every offset was committed, because the acknowledgements of a transaction's
/// sends were not checked.
async fn no_acknowledgement_of_a_send_is_dropped(broker: TestBroker) {
    let mut bench = WordCount::new(&broker).await;
    // The topic's limit is below the job's smallest batch, which has 79 bytes, but above transaction markers,
    // which have 78: without its marker the transaction would never end.
    bench.output = broker.unique("tight");
    let mut tight = NewTopic::new(bench.output.as_str(), 1);
    tight.configs = vec![("max.message.bytes".into(), "78".into())];
    for (_, outcome) in bench.client.create_topics(&[tight]).await.expect("the cluster answers") {
        outcome.expect("the topic is created");
    }
    bench.feed(&["one two"]).await;

    let error = bench.try_run(Emit::OnUpdate).await.expect_err("output was refused, so the job must not go on");
    assert!(error.to_string().contains(&bench.output), "the error names the topic: {error}");
    // The refused transaction was not taken for committed: with a topic that accepts the batches, all words come out.
    bench.output = broker.unique("wide");
    create_topic(&bench.client, &bench.output, 1).await;
    bench.run_until(&[("one", 1), ("two", 1)]).await;
}

/// The failure: after a kill the job hung, because its transactional id was busy and InitProducerId
/// was not tried again.
async fn a_start_right_after_a_kill_gets_through(broker: TestBroker) {
    let bench = WordCount::new(&broker).await;
    let words: Vec<String> = (0..2_000).map(|number| format!("word{}", number % 7)).collect();
    let deaths = Deaths::default();
    let app = bench.app(Emit::OnUpdate).with_deaths(&deaths);
    let mut running = app.start().await.expect("the job starts");
    for (round, chunk) in words.chunks(words.len() / 10).enumerate() {
        let kills = running.status().kills;
        deaths.kill(0);
        bench.feed(&chunk.iter().map(String::as_str).collect::<Vec<_>>()).await;
        // `finished` replaces the worker as soon as it is dead, while its last transaction is still open.
        let what = format!("kill {round} and the commit after it");
        let (commits, finished) = (running.status().commits, Duration::from_millis(100));
        eventually_running(&what, &mut running, finished, |status| status.kills > kills && status.commits > commits)
            .await;
    }
    running.stop().await.expect("the job stops");
    let names: Vec<String> = (0..7).map(|word| format!("word{word}")).collect();
    let expected: Vec<_> =
        names.iter().zip([286, 286, 286, 286, 286, 285, 285]).map(|(name, count)| (name.as_str(), count)).collect();
    bench.run_until(&expected).await;
}

/// The failure: every instance had the same transactional id, so that the second fenced the first.
async fn two_processes_never_share_a_transactional_id(broker: TestBroker) {
    let bench = WordCount::new(&broker).await;
    // The second instance finds the first one's id locked in the directory that both share, as two processes on
    // a host do.
    let mut first = bench.app(Emit::OnUpdate).start().await.expect("the job starts");
    let mut second = bench.app(Emit::OnUpdate).start().await.expect("the job starts again");
    let shuffle: Vec<_> = (0..PARTITIONS)
        .map(|partition| {
            TopicPartition::new(format!("{}-by-word-repartition", bench.application_id), PartitionId(partition))
        })
        .collect();
    let ids = eventually("commits of two transactional ids", PATIENCE, async || {
        bench.feed(&["a b c d e f g h i j k l m n o p q r s t u v w x y z"]).await;
        let committed = fetch_offsets(&bench.client, &bench.application_id, &shuffle).await.expect("the group answers");
        let ids: BTreeSet<String> =
            committed.into_iter().filter_map(|(_, found)| found).map(|found| owner(&found.metadata)).collect();
        (ids.len() == 2).then_some(ids)
    })
    .await;
    assert_eq!(ids.len(), 2);
    for running in [&mut first, &mut second] {
        let _ = tokio::time::timeout(Duration::from_millis(100), running.finished()).await;
        assert_eq!(running.status().restarts, 0, "nobody was fenced");
    }
    first.stop().await.expect("the first stops");
    second.stop().await.expect("the second stops");
}

/// The failure: repartition and output records had timestamps of the wall clock and no headers.
async fn event_time_and_headers_survive_the_shuffle(broker: TestBroker) {
    let bench = WordCount::new(&broker).await;
    let mut producer = ExclusiveProducer::open(&bench.client, ProducerConfig::default()).await.expect("a producer");
    let input = producer.topic(&bench.input).await.expect("the input topic");
    let mut headers = HeadersBuf::default();
    headers.push(b"trace", Some(b"abc"));
    headers.push(b"empty", None);
    let at = TimestampMs(1_600_000_000_123);
    producer
        .append(
            input,
            PartitionId(1),
            NewRecord { timestamp: at, value: Some(b"moved"), headers: headers.as_raw(), ..NewRecord::default() },
        )
        .expect("there is room");
    producer.flush().await.expect("the record is taken");

    let mut job = Topology::builder(&bench.application_id);
    job.stream(&bench.input, Utf8)
        .key_by("by-value", Partitions(PARTITIONS), (Utf8, Utf8), |line| (line.value, line.value))
        .to(&bench.output, Utf8, Utf8);
    let app = App::new(job.build().expect("the topology is sound"), bench.config()).bounded();
    app.run_until(std::future::pending::<()>()).await.expect("the job runs to its end");

    until_stable(&bench.client, &bench.output).await;
    let records = read_to_end(&bench.client, &bench.output, IsolationLevel::ReadCommitted).await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].text(), ("moved", "moved"));
    assert_eq!(records[0].timestamp, at);
    assert_eq!(records[0].headers, [(b"trace".to_vec(), Some(b"abc".to_vec())), (b"empty".to_vec(), None)]);
}

/// The failure: the first empty fetch was taken for the end of the changelog, so aborted records hid the rest.
async fn a_restore_reads_past_aborted_stretches(broker: TestBroker) {
    let bench = WordCount::new(&broker).await;
    let changelog = format!("{}-counts-changelog", bench.application_id);
    for round in 1..=3 {
        bench.feed(&["one two", "two"]).await;
        bench.run_until(&[("one", round), ("two", 2 * round)]).await;
        // The transaction is larger than a fetch of one partition, so whole responses have only aborted records.
        let mut producer = bench.transactions(&broker.unique("foreign")).await;
        let junk = "x".repeat(10_000);
        for _ in 0..30 {
            bench.append(&mut producer, &changelog, &[junk.as_str(); 10]).await;
        }
        producer.flush().await.expect("the records are taken");
        producer.abort().await.unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
    bench.feed(&["two three"]).await;
    bench.run_until(&[("one", 3), ("two", 7), ("three", 1)]).await;
}

/// The failure: with a large backlog nothing was ever committed, because one pass over all partitions took longer than
/// the transaction timeout.
async fn a_backlog_of_five_million_records_commits_all_along(broker: TestBroker) {
    let bench = WordCount::new(&broker).await;
    bench.feed_many(5_000_000).await;

    let started = Instant::now();
    let mut running = bench.app(Emit::OnClose).bounded().start().await.expect("the job starts");
    let (mut commits, mut last, mut waited, mut longest) = (0, started, Duration::ZERO, Duration::ZERO);
    let mut look = tokio::time::interval(Duration::from_millis(50));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            finished = running.finished() => break finished.expect("the job runs to its end"),
            _ = look.tick() => {
                let status = running.status();
                let is_at_work = status.records_in > 0 || status.running_workers > 0;
                let has_committed = status.commits > commits;
                // A machine that stands still holds this look up as it does the job.
                let since = last.elapsed().min(Duration::from_millis(250));
                waited = if has_committed || !is_at_work { Duration::ZERO } else { waited + since };
                (commits, last, longest) = (status.commits, Instant::now(), longest.max(waited));
            }
        }
    }
    let status = running.stop().await.expect("the job stops");
    eprintln!(
        "5,000,000 records in {:.1?}: {} commits, longest time between two {longest:.1?}",
        started.elapsed(),
        status.commits
    );
    assert_eq!(status.records_in, 5_000_000);
    assert_eq!(status.restarts, 0, "no transaction timed out");
    assert!(longest < Duration::from_secs(5), "half of the transaction timeout without a commit: {longest:?}");
    assert_eq!(bench.counts().await.values().sum::<u64>(), 5_000_000);
}

/// The word count on the topics of one test.
struct WordCount(Bench);

impl Deref for WordCount {
    type Target = Bench;

    fn deref(&self) -> &Bench {
        &self.0
    }
}

impl DerefMut for WordCount {
    fn deref_mut(&mut self) -> &mut Bench {
        &mut self.0
    }
}

impl WordCount {
    async fn new(broker: &TestBroker) -> Self {
        Self(Bench::new(broker, "rival-failures", [PARTITIONS, 1]).await)
    }

    fn topology(&self, emit: Emit) -> Topology {
        let mut job = Topology::builder(&self.application_id);
        job.stream(&self.input, Utf8)
            .watermark(Watermark::bounded(Duration::from_secs(1)))
            .flat_map(Utf8, |line, out| line.value.split(' ').for_each(|word| out.push(word)))
            .key_by("by-word", Partitions(PARTITIONS), (Utf8, ()), |word| (word.value, ()))
            .window(Tumbling::of(WINDOW))
            .count("counts", emit)
            .map(|word| *word.value)
            .to(&self.output, Utf8, U64);
        job.build().expect("the topology is sound")
    }

    fn app(&self, emit: Emit) -> App {
        App::new(self.topology(emit), self.config())
    }

    async fn try_run(&self, emit: Emit) -> Result<(), RunError> {
        self.app(emit).bounded().run_until(std::future::pending::<()>()).await.map(drop)
    }

    /// Runs the job until the last counts are these, and stops it; they must still be the same then.
    async fn run_until(&self, expected: &[(&str, u64)]) {
        let expected: BTreeMap<String, u64> =
            expected.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect();
        let mut running = self.app(Emit::OnUpdate).start().await.expect("the job starts");
        let started = Instant::now();
        loop {
            let turn = tokio::time::timeout(Duration::from_millis(100), running.finished());
            if let Ok(finished) = turn.await {
                finished.expect("the job goes on");
            }
            let counts = self.counts().await;
            if counts == expected {
                break;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "waited in vain for {expected:?}, got {counts:?}: {}",
                running.status()
            );
        }
        running.stop().await.expect("the job stops");
        assert_eq!(self.counts().await, expected);
    }

    async fn feed(&self, lines: &[&str]) {
        let mut producer = ExclusiveProducer::open(&self.client, ProducerConfig::default()).await.expect("a producer");
        self.append(&mut producer, &self.input, lines).await;
        producer.flush().await.expect("the lines are taken");
    }

    async fn feed_many(&self, count: u32) {
        let mut producer = ExclusiveProducer::open(&self.client, ProducerConfig::default()).await.expect("a producer");
        let input = producer.topic(&self.input).await.expect("the input topic");
        for number in 0..count {
            let (partition, word) = (PartitionId((number % 4).cast_signed()), format!("w{}", number % 1_000));
            while let Err(error) = producer.append(
                input,
                partition,
                NewRecord { timestamp: TimestampMs(START_MS), value: Some(word.as_bytes()), ..NewRecord::default() },
            ) {
                assert!(matches!(error, AppendError::Full { .. }), "{error}");
                producer.ready().await.expect("the records are taken");
            }
        }
        producer.flush().await.expect("the records are taken");
    }

    /// Appends each value with itself as the key, to the partitions in turn.
    async fn append(&self, producer: &mut ExclusiveProducer, topic: &str, values: &[&str]) {
        let topic = producer.topic(topic).await.expect("the topic is there");
        for (index, value) in values.iter().enumerate() {
            let partition = PartitionId(i32::try_from(index).expect("a few") % producer.partition_count(topic));
            let bytes = Some(value.as_bytes());
            while let Err(error) = producer.append(
                topic,
                partition,
                NewRecord { timestamp: TimestampMs(START_MS), key: bytes, value: bytes, ..NewRecord::default() },
            ) {
                assert!(matches!(error, AppendError::Full { .. }), "{error}");
                producer.ready().await.expect("the records are taken");
            }
        }
    }

    async fn transactions(&self, transactional_id: &str) -> ExclusiveProducer {
        let config =
            ProducerConfig { transaction_timeout: PATIENCE, ..ProducerConfig::transactional(transactional_id) };
        let mut producer = ExclusiveProducer::open(&self.client, config).await.expect("a producer");
        producer.begin().expect("no transaction is open");
        producer
    }

    /// The last count of each word, as read by `read_committed`; each count must be greater than the one before.
    async fn counts(&self) -> BTreeMap<String, u64> {
        until_stable(&self.client, &self.output).await;
        let mut counts = BTreeMap::new();
        for record in read_to_end(&self.client, &self.output, IsolationLevel::ReadCommitted).await {
            let word = String::from_utf8(record.key.expect("a word")).expect("UTF-8");
            let count = u64::from_be_bytes(record.value.expect("a count").try_into().expect("8 bytes"));
            let before = counts.insert(word.clone(), count).unwrap_or_default();
            assert!(before < count, "{word}: {count} after {before}");
        }
        counts
    }
}

/// The transactional id in an offset's metadata.
fn owner(metadata: &str) -> String {
    metadata.split(';').find_map(|part| part.strip_prefix("txn=")).expect("the job commits with its id").to_owned()
}

/// Waits for a status; the job supervises its workers meanwhile.
async fn eventually_running(
    what: &str,
    running: &mut Running,
    turn: Duration,
    is_there: impl Fn(&processor::Status) -> bool,
) {
    let started = Instant::now();
    while !is_there(&running.status()) {
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}: {}", running.status());
        if let Ok(finished) = tokio::time::timeout(turn, running.finished()).await {
            finished.expect("the job goes on");
        }
    }
}

const PARTITIONS: i32 = 4;
const WINDOW: Duration = Duration::from_secs(60);
/// The start of a window, so that all records of a test lie in one.
const START_MS: i64 = 1_600_000_020_000;
/// Longest wait for a rebalance or a transaction timeout.
const PATIENCE: Duration = Duration::from_secs(60);
