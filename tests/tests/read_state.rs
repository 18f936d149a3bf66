//! A program reads the stores of the job that it runs: as the last commit left them, of the tasks that it has.

use std::collections::BTreeMap;
use std::time::Duration;

use conformance::bench::{Bench, until};
use conformance::reader::{KeptRecord, create_topic, read_to_end, until_stable};
use conformance::{TestBroker, eventually, on_both_brokers, within};
use kafka_wire::client::Producer;
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::producer::{ProducerConfig, ProducerRecord};
use processor::runtime::Deaths;
use processor::{
    App, Config, Emit, GlobalReader, Json, Process, ReadError, Rec, Running, Scope, StoreReader, Text, Topology,
    Tumbling, U64, Utf8, ValueState, View, Window,
};

on_both_brokers!(
    a_value_that_was_read_is_in_the_committed_output,
    each_process_reads_the_partitions_of_its_tasks,
    stores_of_all_kinds_are_read,
    global_tables_are_read_in_every_process,
    a_replaced_worker_answers_and_one_that_ended_says_so,
);

/// The worker is asked all the time while it counts; whatever it says, a `read_committed` reader finds in the output.
async fn a_value_that_was_read_is_in_the_committed_output(broker: TestBroker) {
    let bench = Bench::new(&broker, "read-state", [1, 1]).await;
    let running = App::new(counts(&bench), bench.config()).start().await.expect("the job starts");
    let reader = running.reader("counts", Text, U64).expect("there is that store");
    let (key, mut last) = ("a".to_owned(), 0);
    assert_eq!(get(&reader, &key).await.expect("the task is here"), None, "before the first record");
    let producer = Producer::open(&bench.client, ProducerConfig::default()).await.expect("a producer");
    for _ in 0..20 {
        for _ in 0..50 {
            let record = ProducerRecord::to(bench.input.as_str()).key("a").value("");
            producer.send(record).await.expect("room").forget();
        }
        producer.flush().await.expect("all are written");
        let count = get(&reader, &key).await.expect("the task is here").unwrap_or_default();
        assert!(count >= last, "{count} after {last}");
        last = count;
        // A transaction is committed before its markers are in the logs.
        within("the markers", PATIENCE, until_stable(&bench.client, &bench.output)).await;
        let committed = output(&bench).await.get("a").copied().unwrap_or_default();
        assert!(committed >= count, "read {count}, and the output has {committed}");
    }
    let whole = || async { (get(&reader, &key).await.expect("the task is here") == Some(1_000)).then_some(()) };
    eventually("all records", PATIENCE, whole).await;
    running.stop().await.expect("the job stops");
}

async fn each_process_reads_the_partitions_of_its_tasks(broker: TestBroker) {
    let bench = Bench::new(&broker, "read-state", [4, 1]).await;
    let producer = Producer::open(&bench.client, ProducerConfig::default()).await.expect("a producer");
    let keys: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
    for key in &keys {
        let record = ProducerRecord::to(bench.input.as_str()).key(key.as_str()).value("");
        producer.send(record).await.expect("room").forget();
    }
    producer.close().await.expect("all are written");

    let first = App::new(counts(&bench), own_folder(&bench, "one")).start().await.expect("the job starts");
    let first = until(first, "all tasks", |running| running.status().tasks == 4).await;
    let second = App::new(counts(&bench), own_folder(&bench, "two")).start().await.expect("the job starts");
    let half = |running: &Running| running.status().tasks == 2 && running.status().running_workers == 1;
    let (first, second) = tokio::join!(until(first, "its half", half), until(second, "its half", half));
    let readers = [&first, &second].map(|running| running.reader("counts", Text, U64).expect("there is that store"));

    let mut partitions = Vec::new();
    for reader in &readers {
        let here = within("an answer", PATIENCE, reader.partitions()).await.expect("tasks are here");
        assert_eq!(here.len(), 2);
        partitions.extend(here.iter().map(|partition| partition.0));
    }
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1, 2, 3]);

    let counted = || async {
        let mut all = Vec::new();
        for reader in &readers {
            all.extend(
                reader.entries().await.expect("tasks are here").into_iter().map(|entry| (entry.key, entry.value)),
            );
        }
        all.sort();
        (all.len() == keys.len()).then_some(all)
    };
    let all = eventually("all keys", PATIENCE, counted).await;
    assert!(all.iter().all(|(_, count)| *count == 1), "{all:?}");
    for key in &keys {
        let [one, two] = &readers;
        let here = [get(one, key).await.expect("an answer"), get(two, key).await.expect("an answer")];
        assert_eq!(here.iter().flatten().count(), 1, "one process has {key}: {here:?}");
    }

    second.stop().await.expect("the job stops");
    let first = until(first, "all tasks again", |running| running.status().tasks == 4).await;
    let [one, two] = &readers;
    let all = within("an answer", PATIENCE, one.entries()).await.expect("all tasks are here");
    assert_eq!(all.len(), keys.len(), "those that were restored, too");
    assert_eq!(get(two, &keys[0]).await, Err(ReadError::Ended));
    first.stop().await.expect("the job stops");
}

/// Keeps the last value of each key.
#[derive(Clone)]
struct Last {
    last: ValueState<String>,
}

impl<K: View> Process<K, Utf8> for Last {
    type Out = String;

    fn record(&mut self, record: &Rec<'_, K, Utf8>, scope: &mut Scope<'_, K, String>) {
        self.last.put(scope, record.value.to_owned());
    }
}

async fn stores_of_all_kinds_are_read(broker: TestBroker) {
    let bench = Bench::new(&broker, "read-state", [1, 1]).await;
    let mut job = Topology::builder(&bench.application_id);
    let records = job.keyed_stream(&bench.input, Utf8, Utf8);
    let windows = records.clone().window(Tumbling::of(Duration::from_secs(10)));
    let longest =
        windows.aggregate("windows", Json::new(), Emit::OnClose, Vec::new, |all: &mut Vec<String>, record| {
            all.push(record.value.to_owned());
        });
    longest.map(|key| key.value.concat()).to(&bench.output, Utf8, Text);
    records.clone().map(|record| record.value.to_owned()).to_table("rows", Text).changes().map(|_| String::new()).to(
        &bench.output,
        Utf8,
        Text,
    );
    records.process("step", |uses| Last { last: uses.value("last", Text) }).to(&bench.output, Utf8, Text);
    let job = job.build().expect("a valid job");
    let running = App::new(job, bench.config()).start().await.expect("the job starts");

    let error = running.reader("other", Text, U64).expect_err("there is no such store");
    assert!(error.to_string().contains("has: windows, rows, step-"), "{error}");

    let producer = Producer::open(&bench.client, ProducerConfig::default()).await.expect("a producer");
    for (key, value, at) in [("a", "x", 1_000), ("a", "y", 2_000), ("a", "z", 12_000), ("b", "w", 13_000)] {
        let at = kafka_wire::types::TimestampMs(at);
        let record = ProducerRecord::to(bench.input.as_str()).key(key).value(value).timestamp(at);
        producer.send(record).await.expect("room").forget();
    }
    producer.close().await.expect("all are written");
    let rows = running.reader("rows", Text, Text).expect("there is that store");
    let a = "a".to_owned();
    let all_are_there = || async { get_text(&rows, "b").await };
    assert_eq!(eventually("the last record", PATIENCE, all_are_there).await, "w");
    assert_eq!(get_text(&rows, "a").await.as_deref(), Some("z"));
    let last = running.reader("step-last", Text, Text).expect("there is that store");
    assert_eq!(get_text(&last, "a").await.as_deref(), Some("z"));
    assert_eq!(get_text(&last, "c").await, None);

    // The first window is closed, and gone.
    let windows = running.reader("windows", Text, Json::<Vec<String>>::new()).expect("there is that store");
    let open = within("an answer", PATIENCE, windows.windows(&a)).await.expect("an answer");
    assert_eq!(open, [(Window { start: 10_000, end: 20_000 }, vec!["z".to_owned()])]);
    let entries = within("an answer", PATIENCE, windows.entries()).await.expect("an answer");
    assert_eq!(entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["a", "b"]);

    let wrong = running.reader("rows", Text, U64).expect("there is that store");
    let error = get(&wrong, &a).await.expect_err("rows are no numbers");
    assert!(matches!(error, ReadError::Serde(_)), "{error}");
    running.stop().await.expect("the job stops");
}

async fn global_tables_are_read_in_every_process(broker: TestBroker) {
    let bench = Bench::new(&broker, "read-state", [1, 1]).await;
    let names = broker.unique("names");
    create_topic(&bench.client, &names, 3).await;
    let producer = Producer::open(&bench.client, ProducerConfig::default()).await.expect("a producer");
    let write = async |key: String, name: &str| {
        producer.send(ProducerRecord::to(names.as_str()).key(&key).value(name)).await.expect("room").forget();
        producer.flush().await.expect("it is written");
    };
    for number in 0..20 {
        write(format!("k{number}"), "first").await;
    }
    let job = || {
        let mut job = Topology::builder(&bench.application_id);
        let table = job.global_table(&names, Utf8, Text);
        let records = job.keyed_stream(&bench.input, Utf8, Utf8);
        let named = records.join_global(&table, |record| Some(record.key), |_, name| name.clone());
        named.to(&bench.output, Utf8, Text);
        job.build().expect("a valid job")
    };
    let mut config = own_folder(&bench, "one");
    config.set("num.workers", "2").expect("a known key");
    let deaths = Deaths::default();
    let first = App::new(job(), config).with_deaths(&deaths).start().await.expect("the job starts");
    let second = App::new(job(), own_folder(&bench, "two")).start().await.expect("the job starts");
    let error = first.global_reader("other", Text, Text).expect_err("there is no such table");
    assert!(error.to_string().contains(&format!("it has those of: {names}")), "{error}");
    let readers = [&first, &second].map(|running| running.global_reader(&names, Text, Text).expect("a table"));
    // Only one task is there, and two workers hold none.
    for reader in &readers {
        let rows = within("an answer", PATIENCE, reader.rows()).await.expect("the table is read");
        assert_eq!(rows.len(), 20, "no row is read before all that were there");
    }
    write("k7".to_owned(), "second").await;
    let row = async |reader: &GlobalReader<Text, Text>, key: &str| {
        within("an answer", PATIENCE, reader.get(&key.to_owned())).await.expect("the table is read")
    };
    for reader in &readers {
        let has_come = || async { row(reader, "k7").await.filter(|name| name == "second") };
        eventually("the change", PATIENCE, has_come).await;
        assert_eq!(row(reader, "k8").await.as_deref(), Some("first"));
        assert_eq!(row(reader, "none").await, None);
    }
    deaths.kill(0);
    let mut first = until(first, "the death", |running| running.status().kills == 1).await;
    let answer = tokio::select! {
        answer = row(&readers[0], "k7") => answer,
        // This replaces the worker.
        ended = first.finished() => panic!("the job goes on: {ended:?}"),
    };
    assert_eq!(answer.as_deref(), Some("second"), "the next worker reads the whole table");
    first.stop().await.expect("the job stops");
    second.stop().await.expect("the job stops");
    assert_eq!(readers[0].get(&"k7".to_owned()).await, Err(ReadError::Ended));
}

async fn a_replaced_worker_answers_and_one_that_ended_says_so(broker: TestBroker) {
    let bench = Bench::new(&broker, "read-state", [1, 1]).await;
    let producer = Producer::open(&bench.client, ProducerConfig::default()).await.expect("a producer");
    producer.send(ProducerRecord::to(bench.input.as_str()).key("a").value("")).await.expect("room").forget();
    producer.flush().await.expect("it is written");
    let deaths = Deaths::default();
    let app = App::new(counts(&bench), bench.config()).with_deaths(&deaths);
    let running = app.start().await.expect("the job starts");
    let reader = running.reader("counts", Text, U64).expect("there is that store");
    let key = "a".to_owned();
    let counted = |count| {
        let (reader, key) = (reader.clone(), &key);
        move || {
            let reader = reader.clone();
            async move { (get(&reader, key).await.expect("an answer") == Some(count)).then_some(()) }
        }
    };
    eventually("the first record", PATIENCE, counted(1)).await;
    deaths.kill(0);
    producer.send(ProducerRecord::to(bench.input.as_str()).key("a").value("")).await.expect("room").forget();
    producer.close().await.expect("it is written");
    let running = until(running, "the replacement", |running| running.status().kills == 1).await;
    let running = until(running, "its task", |running| running.status().running_workers == 1).await;
    eventually("the second record, by the next worker", PATIENCE, counted(2)).await;
    running.stop().await.expect("the job stops");
    assert_eq!(get(&reader, &key).await, Err(ReadError::Ended));
}

fn counts(bench: &Bench) -> Topology {
    let mut job = Topology::builder(&bench.application_id);
    job.keyed_stream(&bench.input, Utf8, Utf8).count("counts", Emit::OnUpdate).to(&bench.output, Utf8, U64);
    job.build().expect("a valid job")
}

fn own_folder(bench: &Bench, name: &str) -> Config {
    let mut config = bench.config();
    config.state_dir = config.state_dir.join(name);
    config
}

async fn get(reader: &StoreReader<Text, U64>, key: &String) -> Result<Option<u64>, ReadError> {
    within("an answer", PATIENCE, reader.get(key)).await
}

async fn get_text(reader: &StoreReader<Text, Text>, key: &str) -> Option<String> {
    within("an answer", PATIENCE, reader.get(&key.to_owned())).await.expect("the task is here")
}

/// The last committed count of each key.
async fn output(bench: &Bench) -> BTreeMap<String, u64> {
    let records = read_to_end(&bench.client, &bench.output, IsolationLevel::ReadCommitted).await;
    let count = |record: &KeptRecord| {
        let key = String::from_utf8_lossy(record.key.as_deref().expect("there is a key")).into_owned();
        let value = record.value.as_deref().expect("counts are not null");
        (key, u64::from_be_bytes(value.try_into().expect("eight bytes")))
    };
    records.iter().map(count).collect()
}

const PATIENCE: Duration = Duration::from_secs(60);
