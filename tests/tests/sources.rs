//! The inputs of a job on a cluster: where they start and end, which topics they read, and how they grow while the job
//! runs. The last test kills processes of the example `follow` with SIGKILL while topics come.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use conformance::bench::{Bench, until};
use conformance::reader::{Tail, create_topic, read_to_end, until_stable};
use conformance::wordcount::WordCount;
use conformance::{TestBroker, connect, eventually, on_both_brokers, within};
use kafka_wire::client::{Client, commit_offsets, fetch_unstable_offsets};
use kafka_wire::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use kafka_wire::record::{BatchBuilder, RawHeaders, Seal};
use kafka_wire::rng::Rng;
use kafka_wire::types::{IsolationLevel, Offset, PartitionId};
use processor::runtime::Deaths;
use processor::{
    App, Config, Emit, Partitions, Raw, ResetPolicy, RunError, Running, StartingOffsets, StoppingOffsets, Text,
    TimestampMs, TopicPattern, Topology, Tumbling, Utf8, Watermark,
};
use tokio::time::sleep;

on_both_brokers!(
    an_input_starts_where_it_says,
    an_input_without_a_place_ends_the_job_and_names_the_partition,
    the_end_of_a_log_is_a_place_once_and_for_all,
    processes_that_start_together_and_die_agree_on_the_place,
    a_partition_that_was_added_without_a_process_starts_at_its_first_record,
    an_input_ends_where_it_says,
    the_end_of_a_log_is_chosen_once_for_a_job,
    a_job_that_dies_before_its_end_has_each_result_once,
    topics_and_partitions_that_come_are_read_while_the_job_runs,
    topics_that_come_survive_kills,
);

/// Event time of the first record.
const START_MS: i64 = 1_700_000_000_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Writes values, one second of event time apart. Two are in each batch.
async fn write(client: &Client, topic: &str, partition: i32, first: i64, values: &[&str]) {
    let partition = TopicPartition::new(topic, PartitionId(partition));
    for (index, pair) in values.chunks(2).enumerate() {
        let mut builder = BatchBuilder::new(256);
        for (offset, value) in pair.iter().enumerate() {
            let at = START_MS + (first + (2 * index + offset) as i64) * 1_000;
            builder.append(at, None, Some(value.as_bytes()), RawHeaders::EMPTY).expect("it fits");
        }
        let batch = builder.seal(Seal::default()).expect("not compressed");
        conformance::writer::write_batch(client, &partition, batch).await;
    }
}

/// Copies the input into the output.
fn copy(bench: &Bench, application_id: &str, start: Option<StartingOffsets>) -> Topology {
    let mut job = Topology::builder(application_id);
    let lines = job.stream(&bench.input, Utf8);
    let lines = match start {
        Some(start) => lines.starting_offsets(start),
        None => lines,
    };
    lines.to(&bench.output, Raw, Utf8);
    job.build().expect("a valid job")
}

/// The committed values of the output, sorted.
async fn out(bench: &Bench) -> Vec<String> {
    until_stable(&bench.client, &bench.output).await;
    let records = read_to_end(&bench.client, &bench.output, IsolationLevel::ReadCommitted).await;
    let text = |value: Option<Vec<u8>>| String::from_utf8(value.expect("a value")).expect("UTF-8");
    let mut values: Vec<_> = records.into_iter().map(|record| text(record.value)).collect();
    values.sort();
    values
}

async fn run_to_end(topology: Topology, config: Config) -> Result<(), RunError> {
    let app = App::new(topology, config).bounded();
    within("the end of the job", PATIENCE, app.run_until(pending::<()>())).await.map(drop)
}

async fn an_input_starts_where_it_says(broker: TestBroker) {
    let mut bench = Bench::new(&broker, "sources", [1, 1]).await;
    write(&bench.client, &bench.input, 0, 0, &["a", "b", "c", "d", "e"]).await;
    let at = |seconds: i64| StartingOffsets::Timestamp(TimestampMs(START_MS + seconds * 1_000));
    let offset = |offset, otherwise| StartingOffsets::offsets([(bench.input.clone(), 0, offset)], otherwise);
    let cases = [
        (StartingOffsets::Earliest, &["a", "b", "c", "d", "e"][..]),
        (StartingOffsets::Latest, &[]),
        (StartingOffsets::Committed(ResetPolicy::Latest), &[]),
        // The place lies in the middle of a batch.
        (at(3), &["d", "e"]),
        (at(99), &[]),
        (offset(1, ResetPolicy::None), &["b", "c", "d", "e"]),
        (offset(9, ResetPolicy::Latest), &[]),
    ];
    for (start, expected) in cases {
        bench.output = broker.unique("output");
        create_topic(&bench.client, &bench.output, 1).await;
        let application_id = broker.unique("job");
        for _ in 0..2 {
            let run = run_to_end(copy(&bench, &application_id, Some(start.clone())), bench.config());
            run.await.expect("the job ends");
            assert_eq!(out(&bench).await, expected, "{start:?}; the second run goes on where the first one ended");
        }
    }
    // By configuration, and by age: all records are some years old.
    for (reset, expected) in [("latest", &[][..]), ("by_duration:PT1H", &[]), ("by_duration:P9999D", &["a", "b"])] {
        bench.output = broker.unique("output");
        create_topic(&bench.client, &bench.output, 1).await;
        let mut config = bench.config();
        config.set("auto.offset.reset", reset).expect("a known key");
        run_to_end(copy(&bench, &broker.unique("job"), None), config).await.expect("the job ends");
        assert_eq!(out(&bench).await.iter().take(2).collect::<Vec<_>>(), expected, "{reset}");
    }
    // The first records are deleted.
    let input = TopicPartition::new(bench.input.as_str(), PartitionId(0));
    bench.client.delete_records(&[(input, Offset(2))]).await.expect("the leader answers");
    bench.output = broker.unique("output");
    create_topic(&bench.client, &bench.output, 1).await;
    run_to_end(copy(&bench, &broker.unique("job"), None), bench.config()).await.expect("the job ends");
    assert_eq!(out(&bench).await, ["c", "d", "e"]);
    let start = StartingOffsets::offsets([(bench.input.clone(), 0, 1)], ResetPolicy::None);
    let error = run_to_end(copy(&bench, &broker.unique("job"), Some(start)), bench.config()).await;
    let error = error.expect_err("it is deleted").to_string();
    assert!(error.contains(&bench.input) && error.contains("offset 1") && error.contains("from 2 to 5"), "{error}");
}

async fn an_input_without_a_place_ends_the_job_and_names_the_partition(broker: TestBroker) {
    let bench = Bench::new(&broker, "sources", [2, 1]).await;
    write(&bench.client, &bench.input, 0, 0, &["a", "b", "c"]).await;
    let mut config = bench.config();
    config.set("auto.offset.reset", "none").expect("a known key");
    let error = run_to_end(copy(&bench, &bench.application_id, None), config.clone()).await.expect_err("no offset");
    let error = error.to_string();
    let place = format!("topic {}, partition 0", bench.input);
    assert!(error.contains(&place) && error.contains("--reset-offsets"), "{error}");
    // With offsets of another program for all partitions it starts there, if the input says so.
    let group = GroupMetadata::without_membership(bench.application_id.as_str());
    let offset = |partition, offset| {
        (TopicPartition::new(bench.input.as_str(), PartitionId(partition)), CommittedOffset::new(Offset(offset)))
    };
    commit_offsets(&bench.client, &group, &[offset(0, 1), offset(1, 0)]).await.expect("the group is empty");
    let start = Some(StartingOffsets::Committed(ResetPolicy::None));
    run_to_end(copy(&bench, &bench.application_id, start), config).await.expect("the job ends");
    assert_eq!(out(&bench).await, ["b", "c"]);
}

async fn the_end_of_a_log_is_a_place_once_and_for_all(broker: TestBroker) {
    let bench = Bench::new(&broker, "sources", [2, 1]).await;
    write(&bench.client, &bench.input, 0, 0, &["old"]).await;
    let topology = || copy(&bench, &bench.application_id, Some(StartingOffsets::Latest));
    // The places are those of the start, whether or not a worker has come to work.
    drop(App::new(topology(), bench.config()).start().await.expect("the job starts"));
    write(&bench.client, &bench.input, 0, 1, &["meanwhile"]).await;
    write(&bench.client, &bench.input, 1, 1, &["there", "too"]).await;
    run_to_end(topology(), bench.config()).await.expect("the job ends");
    assert_eq!(out(&bench).await, ["meanwhile", "there", "too"]);
}

/// Whatever becomes of processes that start together, all partitions start at the place of one moment: what was there
/// before is not read, and nothing after it is passed over.
async fn processes_that_start_together_and_die_agree_on_the_place(broker: TestBroker) {
    const PARTITIONS: i32 = 6;
    let mut rng = Rng::from_seed(RandomState::new().hash_one("sources"));
    for _ in 0..3 {
        let bench = Bench::new(&broker, "sources", [PARTITIONS, 2]).await;
        for partition in 0..PARTITIONS {
            write(&bench.client, &bench.input, partition, 0, &["old"]).await;
        }
        let temporary = std::env::temp_dir().join(&bench.application_id);
        std::fs::create_dir_all(&temporary).expect("the directory for temporary files can be written");
        let arguments = [
            ["--brokers", &bench.brokers],
            ["--input-topic", &bench.input],
            ["--output-topic", &bench.output],
            ["--application-id", &bench.application_id],
            ["--emit", "update"],
            ["-X", "auto.offset.reset=latest"],
        ];
        let start = |_| WordCount::start(&arguments.concat(), &temporary);
        let mut processes: Vec<_> = (0..3).map(start).collect();
        let inputs: Vec<_> =
            (0..PARTITIONS).map(|id| TopicPartition::new(bench.input.as_str(), PartitionId(id))).collect();
        let (mut is_chosen, mut expected) = (false, BTreeSet::new());
        for number in 0..9 {
            sleep(Duration::from_millis(rng.below(250))).await;
            processes[number % 3].kill();
            if is_chosen {
                for partition in 0..PARTITIONS {
                    let word = format!("new{number}x{partition}");
                    write(&bench.client, &bench.input, partition, 1, &[&word]).await;
                    expected.insert(word);
                }
            }
            processes[number % 3].restart();
            let committed = fetch_unstable_offsets(&bench.client, &bench.application_id, &inputs).await;
            is_chosen |= committed.expect("the coordinator answers").iter().any(|(_, offset)| offset.is_some());
        }
        for partition in 0..PARTITIONS {
            eventually("a place", PATIENCE, async || {
                let committed = fetch_unstable_offsets(&bench.client, &bench.application_id, &inputs).await;
                committed.expect("the coordinator answers").iter().all(|(_, offset)| offset.is_some()).then_some(())
            })
            .await;
            let word = format!("last{partition}");
            write(&bench.client, &bench.input, partition, 1, &[&word]).await;
            expected.insert(word);
        }
        let words = async || {
            let records = read_to_end(&bench.client, &bench.output, IsolationLevel::ReadCommitted).await;
            let words: Vec<_> = records.iter().map(|record| record.text().0.to_owned()).collect();
            (words.len() >= expected.len()).then_some(words)
        };
        let words = eventually("all words", 2 * PATIENCE, words).await;
        assert_eq!(words.len(), expected.len(), "each word once: {words:?}");
        assert_eq!(words.into_iter().collect::<BTreeSet<_>>(), expected);
        for process in processes {
            let log = process.log();
            let (status, _) = process.stop().await;
            assert!(status.success(), "SIGTERM: {status}\n{log}");
        }
        let _ = std::fs::remove_dir_all(&temporary);
    }
}

async fn a_partition_that_was_added_without_a_process_starts_at_its_first_record(broker: TestBroker) {
    let bench = Bench::new(&broker, "sources", [1, 1]).await;
    write(&bench.client, &bench.input, 0, 0, &["old"]).await;
    let topology = || copy(&bench, &bench.application_id, Some(StartingOffsets::Latest));
    run_to_end(topology(), bench.config()).await.expect("the job ends");
    grow(&bench.client, &bench.input, 2).await;
    write(&bench.client, &bench.input, 1, 0, &["new"]).await;
    run_to_end(topology(), bench.config()).await.expect("the job ends");
    assert_eq!(out(&bench).await, ["new"]);
}

async fn grow(client: &Client, topic: &str, count: i32) {
    let outcomes = client.create_partitions(&[(topic.into(), count)]).await.expect("the cluster answers");
    outcomes.into_iter().for_each(|(_, outcome)| outcome.expect("the topic grows"));
    client.invalidate(topic);
    for partition in 0..count {
        eventually("a leader of a new partition", PATIENCE, async || {
            client.invalidate(topic);
            client.leader(topic, PartitionId(partition)).await.ok()
        })
        .await;
    }
}

/// Counts the values of an input in windows of ten seconds, behind a shuffle.
fn counts(bench: &Bench, stop: Option<StoppingOffsets>) -> Topology {
    let mut job = Topology::builder(&bench.application_id);
    let lines = job.stream(&bench.input, Utf8);
    let lines = match stop {
        Some(stop) => lines.bounded(stop),
        None => lines,
    };
    lines
        .watermark(Watermark::bounded(Duration::ZERO))
        .key_by("by-value", Partitions(2), (Utf8, ()), |line| (line.value, ()))
        .window(Tumbling::of(Duration::from_secs(10)))
        .count("counts", Emit::OnClose)
        .map(|count| format!("{} {}", count.key, count.value))
        .to(&bench.output, Utf8, Text);
    job.build().expect("a valid job")
}

async fn the_end_of_a_log_is_chosen_once_for_a_job(broker: TestBroker) {
    let bench = Bench::new(&broker, "sources", [1, 1]).await;
    write(&bench.client, &bench.input, 0, 0, &["a", "b"]).await;
    for run in 1..=2 {
        // The record that is written between the two runs lies behind the end.
        let app = App::new(counts(&bench, Some(StoppingOffsets::Latest)), bench.config());
        within("the end of the job", PATIENCE, app.run_until(pending::<()>())).await.expect("the job ends");
        assert_eq!(out(&bench).await, ["a 1", "b 1"], "run {run}");
        write(&bench.client, &bench.input, 0, 20, &["c"]).await;
    }
}

async fn an_input_ends_where_it_says(broker: TestBroker) {
    let mut bench = Bench::new(&broker, "sources", [2, 1]).await;
    write(&bench.client, &bench.input, 0, 0, &["a", "b", "c", "d", "e"]).await;
    write(&bench.client, &bench.input, 1, 0, &["v", "w"]).await;
    let input = bench.input.clone();
    for (stop, expected) in [
        (StoppingOffsets::Timestamp(TimestampMs(START_MS + 1_000)), &["a 1", "v 1"][..]),
        (StoppingOffsets::Timestamp(TimestampMs(START_MS + 3_000)), &["a 1", "b 1", "c 1", "v 1", "w 1"]),
        (StoppingOffsets::offsets([(&input, 0, 3), (&input, 1, 0)]), &["a 1", "b 1", "c 1"]),
        (StoppingOffsets::offsets([(&input, 0, 1)]), &["a 1", "v 1", "w 1"]),
        (StoppingOffsets::Latest, &["a 1", "b 1", "c 1", "d 1", "e 1", "v 1", "w 1"]),
    ] {
        bench.output = broker.unique("output");
        create_topic(&bench.client, &bench.output, 1).await;
        bench.application_id = broker.unique("job");
        // The job is not bounded as a whole: it ends because its only input does.
        let app = App::new(counts(&bench, Some(stop.clone())), bench.config());
        within("the end of the job", PATIENCE, app.run_until(pending::<()>())).await.expect("the job ends");
        assert_eq!(out(&bench).await, expected, "{stop:?}");
    }
}

async fn a_job_that_dies_before_its_end_has_each_result_once(broker: TestBroker) {
    let bench = Bench::new(&broker, "sources", [2, 1]).await;
    let values: Vec<String> = (0..400).map(|number| format!("v{number}")).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    write(&bench.client, &bench.input, 0, 0, &values[..200]).await;
    write(&bench.client, &bench.input, 1, 0, &values[200..]).await;
    let stop = StoppingOffsets::offsets([(&bench.input, 0, 151), (&bench.input, 1, 200)]);
    let deaths = Deaths::default();
    let app = App::new(counts(&bench, Some(stop.clone())), bench.config()).with_deaths(&deaths);
    let mut running = app.start().await.expect("the job starts");
    for _ in 0..6 {
        deaths.kill(0);
        let by = Duration::from_millis(150);
        if let Ok(finished) = tokio::time::timeout(by, running.finished()).await {
            finished.expect("the job goes on");
            break;
        }
    }
    within("the end of the job", PATIENCE, running.finished()).await.expect("the job ends");
    let status = running.stop().await.expect("the job stops");
    // Started once more, it finds its end reached.
    let app = App::new(counts(&bench, Some(stop)), bench.config());
    within("the end of the job", PATIENCE, app.run_until(pending::<()>())).await.expect("the job ends");
    let mut expected: Vec<_> =
        values.iter().take(151).chain(&values[200..]).map(|value| format!("{value} 1")).collect();
    expected.sort();
    assert_eq!(out(&bench).await, expected, "{status}");
}

async fn topics_and_partitions_that_come_are_read_while_the_job_runs(broker: TestBroker) {
    let bench = Bench::new(&broker, "sources", [1, 1]).await;
    let prefix = broker.unique("shop");
    let first = format!("{prefix}-a");
    create_topic(&bench.client, &first, 1).await;
    write(&bench.client, &first, 0, 0, &["old"]).await;
    let mut job = Topology::builder(&bench.application_id);
    let pattern = TopicPattern::regex(&format!("{prefix}-[a-z]")).expect("a regular expression");
    job.stream(pattern, Utf8)
        .starting_offsets(StartingOffsets::Latest)
        .watermark(Watermark::bounded(Duration::ZERO))
        .key_by("by-value", Partitions(2), (Utf8, ()), |line| (line.value, ()))
        .window(Tumbling::of(Duration::from_secs(10)))
        .count("counts", Emit::OnUpdate)
        .map(|count| format!("{} {}", count.key, count.value))
        .to(&bench.output, Utf8, Text);
    let mut config = bench.config();
    config.set("partition.discovery.interval.ms", "300").expect("a known key");
    config.set("num.workers", "2").expect("a known key");
    let running = App::new(job.build().expect("a valid job"), config).start().await.expect("the job starts");
    let tasks =
        |count: u64| move |running: &Running| running.status().tasks == count && running.status().running_workers == 2;
    let running = until(running, "a task, and two behind the shuffle", tasks(3)).await;

    let second = format!("{prefix}-b");
    create_topic(&bench.client, &second, 3).await;
    write(&bench.client, &second, 2, 0, &["b"]).await;
    let running = until(running, "tasks for the second topic", tasks(5)).await;
    write(&bench.client, &first, 0, 1, &["a"]).await;
    let running = until(running, "two records", |running| running.status().records_in >= 2).await;

    grow(&bench.client, &first, 4).await;
    write(&bench.client, &first, 3, 0, &["grown"]).await;
    let running = until(running, "a task for the new partition", tasks(6)).await;
    let running = until(running, "three records", |running| running.status().records_in >= 3).await;
    // The last record has yet to come through the shuffle.
    eventually("three results", PATIENCE, async || (out(&bench).await.len() == 3).then_some(())).await;
    assert_eq!(running.status().restarts, 0, "the workers have gone on");
    running.stop().await.expect("the job stops");
    assert_eq!(out(&bench).await, ["a 1", "b 1", "grown 1"]);
}

async fn topics_that_come_survive_kills(broker: TestBroker) {
    let client = connect(broker.bootstrap()).await;
    let (prefix, output) = (broker.unique("shop"), broker.unique("copies"));
    create_topic(&client, &output, 2).await;
    let mut topics = vec![(format!("{prefix}-0"), 2)];
    create_topic(&client, &topics[0].0, 2).await;
    let temporary = std::env::temp_dir().join(broker.unique("sources"));
    std::fs::create_dir_all(&temporary).expect("the directory for temporary files can be written");
    let (application, pattern) = (broker.unique("follow"), format!("{prefix}-.*"));
    let arguments = ["follow", broker.bootstrap(), &application, &pattern, &output];
    let mut processes: Vec<_> = (0..2).map(|_| WordCount::start_program("jobs", &arguments, &temporary)).collect();
    let tail = Tail::start(&client, &output, IsolationLevel::ReadCommitted).await;
    let mut written = 0;
    for round in 0..4_usize {
        for number in 0..60_i32 {
            let (topic, count) = &topics[number as usize % topics.len()];
            let value = format!("{written}");
            write(&client, topic, number % count, 0, &[&value]).await;
            written += 1;
        }
        let victim = round % 2;
        processes[victim].kill();
        // A topic comes while only one process is there, and another one grows.
        let topic = format!("{prefix}-{}", round + 1);
        create_topic(&client, &topic, 2).await;
        topics.push((topic, 2));
        topics[round].1 += 1;
        let (grown, count) = topics[round].clone();
        grow(&client, &grown, count).await;
        processes[victim].restart();
    }
    let all = || std::future::ready(tail.look(|arrivals| (arrivals.len() >= written).then_some(())));
    eventually("all records", 2 * PATIENCE, all).await;
    for process in processes {
        let log = process.log();
        let (status, _) = process.stop().await;
        assert!(status.success(), "SIGTERM: {status}\n{log}");
    }
    let _ = std::fs::remove_dir_all(&temporary);
    until_stable(&client, &output).await;
    let mut found = BTreeMap::<String, u32>::new();
    for record in read_to_end(&client, &output, IsolationLevel::ReadCommitted).await {
        *found.entry(String::from_utf8(record.value.expect("a value")).expect("UTF-8")).or_default() += 1;
    }
    let expected: BTreeMap<_, _> = (0..written).map(|number| (number.to_string(), 1)).collect();
    assert_eq!(found, expected);
}
