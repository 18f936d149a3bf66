//! Feeds: topics that are filled from files, from a generator, and from a TCP connection, each record once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conformance::reader::{KeptRecord, create_topic, read_to_end, until_stable};
use conformance::wordcount::WordCount;
use conformance::{TestBroker, client_config, eventually, on_both_brokers};
use kafka_wire::admin::OffsetSpec;
use kafka_wire::client::Client;
use kafka_wire::cluster::TopicPartition;
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::types::{Offset, PartitionId};
use processor::{Config, Feed, FileFormat, FileRecords, RunError, TimestampMs};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::sleep;

on_both_brokers!(
    lines_of_files_come_once_while_the_feed_is_killed,
    a_second_run_reads_what_is_new,
    records_of_csv_get_keys_and_timestamps,
    records_of_a_format_come_once,
    a_generator_goes_on_where_it_was_stopped,
    a_feed_goes_on_after_a_transaction_that_was_open_for_too_long,
    lines_of_a_connection_come_in_order,
    what_cannot_be_fed_is_told,
);

/// A topic and a folder of a test.
struct Room {
    client: Client,
    config: Config,
    name: String,
    topic: String,
    folder: PathBuf,
}

impl Room {
    async fn new(broker: &TestBroker, partitions: i32) -> Self {
        let client = Client::connect(client_config(broker.bootstrap())).await.expect("the broker answers");
        let (name, topic) = (broker.unique("feed"), broker.unique("fed"));
        create_topic(&client, &topic, partitions).await;
        let folder = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&folder).expect("the directory for temporary files can be written");
        Self { client, config: Config::new(broker.bootstrap()), name, topic, folder }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is ours");
        std::fs::write(path, text).expect("the folder is ours");
    }

    async fn feed(&self, feed: Feed) -> Result<u64, RunError> {
        let fed = feed.run(&self.name, &self.topic, &self.config).await;
        // The markers of the last transaction are written some moments after its end.
        until_stable(&self.client, &self.topic).await;
        fed
    }

    async fn records(&self) -> Vec<KeptRecord> {
        read_to_end(&self.client, &self.topic, IsolationLevel::ReadCommitted).await
    }

    /// The ends of the only partition: of what is committed, and of what is written.
    async fn ends(&self) -> (Offset, Offset) {
        let latest = [(TopicPartition::new(self.topic.as_str(), PartitionId(0)), OffsetSpec::Latest)];
        let end = async |isolation| {
            let listed = self.client.list_offsets(&latest, isolation).await.expect("the leader answers");
            listed[0].offset.expect("a log has an end")
        };
        (end(IsolationLevel::ReadCommitted).await, end(IsolationLevel::ReadUncommitted).await)
    }

    async fn values(&self) -> Vec<String> {
        self.records().await.iter().map(value).collect()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // A folder that stays does no harm.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn value(record: &KeptRecord) -> String {
    String::from_utf8(record.value.clone().unwrap_or_default()).expect("text")
}

async fn lines_of_files_come_once_while_the_feed_is_killed(broker: TestBroker) {
    let room = Room::new(&broker, 1).await;
    let mut expected = Vec::new();
    for file in 0..FILES {
        let mut text = String::new();
        for line in 0..LINES {
            writeln!(text, "{file} {line}").expect("a String takes any text");
            expected.push(format!("{file} {line}"));
        }
        room.write(&format!("{file}.txt"), &text);
    }
    // So slow that the feed is at work at the last kill, also if the kills come late.
    let arguments = [&room.config.bootstrap_servers.join(","), &room.name, &text(&room.folder), &room.topic, "10000"];
    let mut feed = WordCount::start_program("from-files", &arguments, &std::env::temp_dir());
    for kill in 1..=KILLS {
        // Reading would take longer the more there is, and the feed goes on meanwhile.
        let (_, so_far) = room.ends().await;
        // More than the marker by which a new run aborts what the last one has left.
        let has_fed = async || (room.ends().await.0.0 > so_far.0 + 1).then_some(());
        eventually("more records", PATIENCE, has_fed).await;
        sleep(Duration::from_millis(37 * kill)).await;
        feed.kill();
        feed.restart();
    }
    let all = async || (room.values().await.len() >= expected.len()).then_some(());
    eventually("all records", PATIENCE, all).await;
    assert!(room.values().await == expected, "the records are not the lines of the files in their order");
}

fn text(path: &Path) -> String {
    path.to_str().expect("text").to_owned()
}

async fn a_second_run_reads_what_is_new(broker: TestBroker) {
    let room = Room::new(&broker, 1).await;
    room.write("a.txt", "1\n2\n");
    room.write("b/c.txt", "3");
    room.write(".hidden", "no");
    assert_eq!(room.feed(Feed::files(&room.folder)).await.expect("it reads"), 3);
    assert_eq!(room.feed(Feed::files(&room.folder)).await.expect("it reads"), 0);
    room.write("a.txt", "1\n2\n2a\n");
    room.write("b/d.txt", "4\n");
    assert_eq!(room.feed(Feed::files(&room.folder)).await.expect("it reads"), 2);
    assert_eq!(room.values().await, ["1", "2", "3", "2a", "4"]);
    room.write("a.txt", "1\n");
    let error = room.feed(Feed::files(&room.folder)).await.expect_err("a file that became shorter").to_string();
    assert!(error.contains("a.txt: it has 2 bytes, and 7 were read before"), "{error}");
}

async fn records_of_csv_get_keys_and_timestamps(broker: TestBroker) {
    let room = Room::new(&broker, 4).await;
    room.write("sales.csv", "shop,at,what\r\nann,5,\"tea,\nmilk\"\r\n\r\nbob,6,bread\r\nann,7,jam");
    let column = |value: &[u8], index: usize| {
        let text = String::from_utf8(value.to_vec()).expect("text");
        text.split(',').nth(index).unwrap_or_default().to_owned()
    };
    let feed = Feed::files(room.folder.join("sales.csv"))
        .csv(true)
        .key(move |value| column(value, 0).into_bytes())
        .timestamp(move |value| TimestampMs(column(value, 1).parse().expect("a number")));
    assert_eq!(room.feed(feed).await.expect("it reads"), 3);
    let mut by_key: BTreeMap<Vec<u8>, Vec<(i64, String)>> = BTreeMap::new();
    for record in room.records().await {
        by_key.entry(record.key.clone().expect("a key")).or_default().push((record.timestamp.0, value(&record)));
    }
    let of_ann = vec![(5, "ann,5,\"tea,\nmilk\"".to_owned()), (7, "ann,7,jam".to_owned())];
    let expected = [(b"ann".to_vec(), of_ann), (b"bob".to_vec(), vec![(6, "bob,6,bread".to_owned())])];
    assert_eq!(by_key, BTreeMap::from(expected));
}

/// Records with a byte of length before each.
struct Lengths;

impl FileFormat for Lengths {
    fn open(&mut self, path: &Path, position: u64) -> std::io::Result<Box<dyn FileRecords>> {
        let mut records = Remaining(std::fs::read(path)?);
        for _ in 0..position {
            assert!(records.next(&mut Vec::new())?, "the file is as it was");
        }
        Ok(Box::new(records))
    }
}

struct Remaining(Vec<u8>);

impl FileRecords for Remaining {
    fn next(&mut self, value: &mut Vec<u8>) -> std::io::Result<bool> {
        let Some(length) = self.0.first().copied().map(usize::from) else { return Ok(false) };
        if self.0.len() <= length {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "a record that ends early"));
        }
        *value = self.0.drain(..=length).skip(1).collect();
        Ok(true)
    }
}

async fn records_of_a_format_come_once(broker: TestBroker) {
    let room = Room::new(&broker, 1).await;
    let feed = || Feed::files(&room.folder).rows(Lengths);
    room.write("a.bin", "\u{3}one\u{4}\ntwo");
    assert_eq!(room.feed(feed()).await.expect("it reads"), 2);
    // As if it had been stopped in the middle of the file.
    room.write("a.bin", "\u{3}one\u{4}\ntwo\u{0}\u{5}three");
    room.write("b.bin", "\u{4}four");
    assert_eq!(room.feed(feed()).await.expect("it reads"), 3);
    assert_eq!(room.values().await, ["one", "\ntwo", "", "three", "four"]);
    room.write("c.bin", "\u{9}five");
    let error = room.feed(feed()).await.expect_err("it ends early").to_string();
    assert!(error.contains("c.bin: a record that ends early"), "{error}");
}

async fn a_generator_goes_on_where_it_was_stopped(broker: TestBroker) {
    let room = Room::new(&broker, 1).await;
    let numbers = || Feed::generate(500, |number| format!("n{number}").into_bytes());
    let stop = Arc::new(Notify::new());
    let (stopped, shutdown) = (Arc::clone(&stop), async move { stop.notified().await });
    let watching = async {
        let some = async || (!room.values().await.is_empty()).then_some(());
        eventually("some records", PATIENCE, some).await;
        stopped.notify_one();
    };
    let feed = numbers().per_second(20).run_until(&room.name, &room.topic, &room.config, shutdown);
    let (fed, ()) = tokio::join!(feed, watching);
    let first = fed.expect("it is stopped in order");
    assert!((1..500).contains(&first), "{first}");
    until_stable(&room.client, &room.topic).await;
    assert_eq!(room.values().await.len() as u64, first);
    assert_eq!(room.feed(numbers()).await.expect("it goes on"), 500 - first);
    assert_eq!(room.values().await, (0..500).map(|number| format!("n{number}")).collect::<Vec<_>>());
}

#[expect(clippy::disallowed_methods, reason = "an input that does not answer")]
async fn a_feed_goes_on_after_a_transaction_that_was_open_for_too_long(broker: TestBroker) {
    let mut room = Room::new(&broker, 1).await;
    room.config.set("transaction.timeout.ms", "1000").expect("a known key");
    let is_slow = AtomicBool::new(true);
    let feed = Feed::generate(20, move |number| {
        if number == 5 && is_slow.swap(false, Ordering::Relaxed) {
            std::thread::sleep(Duration::from_secs(3));
        }
        format!("n{number}").into_bytes()
    });
    assert_eq!(room.feed(feed.per_second(100)).await.expect("it starts over"), 20);
    assert_eq!(room.values().await, (0..20).map(|number| format!("n{number}")).collect::<Vec<_>>());
}

async fn lines_of_a_connection_come_in_order(broker: TestBroker) {
    let room = Room::new(&broker, 1).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port of the loopback is free");
    let address = listener.local_addr().expect("it is bound").to_string();
    let serving = async {
        let (mut connection, _) = listener.accept().await.expect("the feed connects");
        connection.write_all(b"one\ntw").await.expect("it reads");
        let first = async || (room.values().await == ["one"]).then_some(());
        eventually("the first line, while the second has not ended", PATIENCE, first).await;
        connection.write_all(b"o\r\n\nlast").await.expect("it reads");
    };
    let (fed, ()) = tokio::join!(room.feed(Feed::tcp(&address)), serving);
    assert_eq!(fed.expect("it ends with the connection"), 4);
    assert_eq!(room.values().await, ["one", "two", "", "last"]);
}

async fn what_cannot_be_fed_is_told(broker: TestBroker) {
    let room = Room::new(&broker, 1).await;
    let missing = room.folder.join("nowhere");
    let error = room.feed(Feed::files(&missing)).await.expect_err("no such folder").to_string();
    assert!(error.contains("the input cannot be read") && error.contains("nowhere"), "{error}");
    let topic = broker.unique("missing");
    let feed = Feed::files(&room.folder).run(&room.name, &topic, &room.config);
    let error = feed.await.expect_err("no such topic");
    assert!(matches!(error, RunError::TopicMissing { .. }), "{error}");
}

const FILES: usize = 4;
const LINES: usize = 15_000;
const KILLS: u64 = 6;
const PATIENCE: Duration = Duration::from_secs(60);
