//! Clients written by others work on every broker: Java's and librdkafka's. On Apache Kafka the test
//! bodies check themselves.

use std::time::Duration;

use conformance::foreign::{Isolation, confluent, java, java_records, kcat, kcat_records};
use conformance::reader::{self, KeptRecord, read_to_end, until_stable};
use conformance::{TestBroker, client_config, on_both_brokers, on_every_broker, within};
use kafka_wire::client::{Client, Consumer, ExclusiveProducer, Producer};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::compression::Compression;
use kafka_wire::consumer::{ConsumerConfig, IsolationLevel};
use kafka_wire::producer::{NewRecord, ProducerConfig, ProducerRecord, TopicHandle, partition_for_key};
use kafka_wire::types::{Offset, PartitionId, TimestampMs};

on_both_brokers!(
    java_and_kcat_read_what_we_produce,
    send_puts_keys_where_javas_producer_puts_them,
    we_read_what_java_and_kcat_produce,
    java_produces_and_kcat_reads,
    kcat_produces_with_every_codec_and_java_reads,
    a_java_group_resumes_where_it_stopped,
    a_kcat_group_resumes_where_it_stopped,
    topics_are_created_listed_and_deleted_by_java,
    confluent_kafka_lists_topics_and_subscribes_by_a_pattern,
);
on_every_broker!(our_aborted_transactions_stay_unseen, kafkas_transactional_copier_copies_exactly_once);

async fn java_produces_and_kcat_reads(broker: TestBroker) {
    let topic = broker.unique("java-kcat");
    if create_topic(&broker, &topic, 3).await.is_none() || java_produce(&broker, &topic, &lines(0..500)).await.is_none()
    {
        return;
    }
    let Some(records) = kcat_records(&broker, &topic, Isolation::ReadUncommitted).await else { return };
    assert_eq!(without_partition(&records), lines(0..500));
    assert!(["0", "1", "2"].iter().all(|partition| records.iter().any(|record| record.starts_with(partition))));
}

async fn kcat_produces_with_every_codec_and_java_reads(broker: TestBroker) {
    let topic = broker.unique("kcat-java");
    if create_topic(&broker, &topic, 3).await.is_none() {
        return;
    }
    for (compression, first) in Compression::ALL.into_iter().zip((0..500).step_by(100)) {
        let codec = compression.name();
        let args = ["-P", "-t", &topic, "-K", "\t", "-z", codec, "-X", "enable.idempotence=true"];
        if kcat(&broker, &args, &lines(first..first + 100).join("\n")).await.is_none() {
            return;
        }
    }
    // A kcat that takes the broker for one without a codec sends its batches uncompressed, and only logs that.
    let codecs = codecs(&connect(&broker).await, &topic, 500).await;
    assert!(Compression::ALL.iter().all(|codec| codecs.contains(codec)), "{codecs:?}");
    let Some(records) = java_records(&broker, &topic, Isolation::ReadCommitted, 500).await else { return };
    assert_eq!(without_partition(&records), lines(0..500));
}

async fn a_java_group_resumes_where_it_stopped(broker: TestBroker) {
    let (topic, group) = (broker.unique("java-group"), broker.unique("group"));
    if create_topic(&broker, &topic, 2).await.is_none() || java_produce(&broker, &topic, &lines(0..100)).await.is_none()
    {
        return;
    }
    let class = "org.apache.kafka.tools.consumer.ConsoleConsumer";
    let args = ["--bootstrap-server", broker.bootstrap(), "--topic", &topic, "--group", &group];
    let earliest = ["--from-beginning", "--max-messages", "100", "--timeout-ms", "60000"];
    let Some(first) = java(class, &[&args[..], &earliest].concat(), "").await else { return };
    assert_eq!(first.lines().count(), 100);

    let _ = java_produce(&broker, &topic, &lines(100..150)).await;
    let again = ["--max-messages", "50", "--timeout-ms", "60000"];
    let Some(second) = java(class, &[&args[..], &again].concat(), "").await else { return };
    let mut values: Vec<&str> = second.lines().collect();
    values.sort_unstable();
    let expected: Vec<String> = (100..150).map(|number| format!("value {number:04}")).collect();
    assert_eq!(values, expected);
}

async fn a_kcat_group_resumes_where_it_stopped(broker: TestBroker) {
    let (topic, group) = (broker.unique("kcat-group"), broker.unique("group"));
    let produce = ["-P", "-t", &topic, "-K", "\t"];
    if create_topic(&broker, &topic, 2).await.is_none()
        || kcat(&broker, &produce, &lines(0..100).join("\n")).await.is_none()
    {
        return;
    }
    let consume = ["-G", &group, "-e", "-q", "-X", "auto.offset.reset=earliest", "-f", "%p\t%k\t%s\n", &topic];
    let Some(first) = kcat(&broker, &consume, "").await else { return };
    assert_eq!(without_partition(&split(&first)), lines(0..100));

    let _ = kcat(&broker, &produce, &lines(100..150).join("\n")).await;
    let Some(second) = kcat(&broker, &consume, "").await else { return };
    assert_eq!(without_partition(&split(&second)), lines(100..150));
}

async fn topics_are_created_listed_and_deleted_by_java(broker: TestBroker) {
    let topic = broker.unique("topic-tool");
    let class = "org.apache.kafka.tools.TopicCommand";
    let server = ["--bootstrap-server", broker.bootstrap()];
    let Some(_) = create_topic(&broker, &topic, 3).await else { return };
    let Some(listed) = java(class, &[&server[..], &["--list"]].concat(), "").await else { return };
    assert!(listed.lines().any(|line| line == topic), "{listed}");

    let _ = java(class, &[&server[..], &["--delete", "--topic", &topic]].concat(), "").await;
    let Some(listed) = java(class, &[&server[..], &["--list"]].concat(), "").await else { return };
    assert!(!listed.lines().any(|line| line == topic), "{listed}");
}

async fn java_and_kcat_read_what_we_produce(broker: TestBroker) {
    let topic = broker.unique("ours");
    let client = connect(&broker).await;
    reader::create_topic(&client, &topic, 3).await;
    for (compression, first) in Compression::ALL.into_iter().zip((0..500).step_by(100)) {
        let config = ProducerConfig { compression, ..ProducerConfig::default() };
        let producer = Producer::open(&client, config).await.expect("a producer opens");
        send(&producer, &topic, &lines(first..first + 100)).await;
        producer.close().await.expect("every record is acknowledged");
    }
    let Some(seen_by_kcat) = kcat_records(&broker, &topic, Isolation::ReadUncommitted).await else { return };
    assert_eq!(without_partition(&seen_by_kcat), lines(0..500));
    let Some(seen_by_java) = java_records(&broker, &topic, Isolation::ReadUncommitted, 500).await else { return };
    // Each reads the partitions in an order of its own.
    assert_eq!(sorted(seen_by_java), sorted(seen_by_kcat));
}

/// Both producers are given only keys, and choose the partitions.
async fn send_puts_keys_where_javas_producer_puts_them(broker: TestBroker) {
    let (theirs, ours) = (broker.unique("keys-java"), broker.unique("keys-ours"));
    let client = connect(&broker).await;
    for topic in [&theirs, &ours] {
        reader::create_topic(&client, topic, 7).await;
    }
    if java_produce(&broker, &theirs, &lines(0..500)).await.is_none() {
        return;
    }
    let producer = Producer::open(&client, ProducerConfig::default()).await.expect("a producer opens");
    send(&producer, &ours, &lines(0..500)).await;
    producer.close().await.expect("every record is acknowledged");
    let mut seen = Vec::new();
    for topic in [&theirs, &ours] {
        let records = read_to_end(&client, topic, IsolationLevel::ReadCommitted).await;
        seen.push(sorted(as_kcat_prints(&records)));
    }
    assert_eq!(seen[0], seen[1]);
    assert!(["0", "6"].iter().all(|partition| seen[0].iter().any(|record| record.starts_with(partition))));
}

async fn we_read_what_java_and_kcat_produce(broker: TestBroker) {
    let topic = broker.unique("theirs");
    let client = connect(&broker).await;
    reader::create_topic(&client, &topic, 3).await;
    if java_produce(&broker, &topic, &lines(0..250)).await.is_none() {
        return;
    }
    for (compression, first) in Compression::ALL.into_iter().zip((250..500).step_by(50)) {
        let produce = ["-P", "-t", &topic, "-K", "\t", "-z", compression.name()];
        if kcat(&broker, &produce, &lines(first..first + 50).join("\n")).await.is_none() {
            return;
        }
    }
    let records = read_to_end(&client, &topic, IsolationLevel::ReadCommitted).await;
    assert_eq!(without_partition(&as_kcat_prints(&records)), lines(0..500));
}

async fn our_aborted_transactions_stay_unseen(broker: TestBroker) {
    let topic = broker.unique("transactions");
    let client = connect(&broker).await;
    reader::create_topic(&client, &topic, 3).await;
    let config = ProducerConfig::transactional(broker.unique("id"));
    let mut producer = ExclusiveProducer::open(&client, config).await.expect("a producer opens");
    let handle = producer.topic(&topic).await.expect("the topic is there");
    for (numbers, is_committed) in [(0..100, true), (100..150, false), (150..250, true), (250..300, false)] {
        producer.begin().expect("no transaction is open");
        append(&mut producer, handle, &lines(numbers));
        // The records are written before the abort: the markers, not the producer, hide them.
        producer.flush().await.expect("every record is acknowledged");
        match is_committed {
            true => producer.commit(None).await.expect("the transaction commits"),
            false => producer.abort().await.expect("the transaction aborts"),
        }
    }
    let committed = [lines(0..100), lines(150..250)].concat();
    let records = read_to_end(&client, &topic, IsolationLevel::ReadCommitted).await;
    assert_eq!(without_partition(&as_kcat_prints(&records)), committed);
    let Some(seen_by_kcat) = kcat_records(&broker, &topic, Isolation::ReadCommitted).await else { return };
    assert_eq!(without_partition(&seen_by_kcat), committed);
    let Some(seen_by_java) = java_records(&broker, &topic, Isolation::ReadCommitted, 200).await else { return };
    assert_eq!(without_partition(&seen_by_java), committed);
    let Some(everything) = kcat_records(&broker, &topic, Isolation::ReadUncommitted).await else { return };
    assert_eq!(without_partition(&everything), lines(0..300));
}

/// Kafka's own system tests prove exactly-once with this program: it consumes in a group, produces in transactions that
/// include the offsets, and aborts at random.
async fn kafkas_transactional_copier_copies_exactly_once(broker: TestBroker) {
    let (input, output) = (broker.unique("copier-in"), broker.unique("copier-out"));
    for topic in [&input, &output] {
        if create_topic(&broker, topic, 1).await.is_none() {
            return;
        }
    }
    let produce = ["-P", "-t", &input, "-K", "\t"];
    if kcat(&broker, &produce, &lines(0..2_000).join("\n")).await.is_none() {
        return;
    }
    let (group, transactional_id) = (broker.unique("copier"), broker.unique("copier"));
    let args = [
        &["--broker-list", broker.bootstrap(), "--input-topic", &input, "--input-partition", "0"][..],
        &["--output-topic", &output, "--transactional-id", &transactional_id, "--consumer-group", &group],
        &["--transaction-size", "100", "--enable-random-aborts", "--group-mode", "--use-group-metadata"],
        &["--max-messages", "2000"],
    ];
    if java("org.apache.kafka.tools.TransactionalMessageCopier", &args.concat(), "").await.is_none() {
        return;
    }
    until_stable(&connect(&broker).await, &output).await;
    let Some(committed) = kcat_records(&broker, &output, Isolation::ReadCommitted).await else { return };
    assert_eq!(without_partition(&committed), lines(0..2_000));
    let Some(seen_by_java) = java_records(&broker, &output, Isolation::ReadCommitted, 2_000).await else { return };
    assert_eq!(seen_by_java, committed);
}

/// librdkafka leaves bytes after its request for all topics, which both of these send. kcat's version may be older.
async fn confluent_kafka_lists_topics_and_subscribes_by_a_pattern(broker: TestBroker) {
    let (prefix, group) = (broker.unique("confluent"), broker.unique("group"));
    let args = [broker.bootstrap(), &prefix, &group];
    let Some(printed) = confluent(include_str!("../src/confluent.py"), &args).await else { return };
    // Each topic has ten records and the end of two transactions; the client chooses their partitions.
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[..2], ["listed", "read 4"], "{printed}");
    let committed = lines[2].strip_prefix("committed ").and_then(|sum| sum.parse().ok());
    assert!(committed.is_some_and(|sum: i64| sum >= 20), "{printed}");
}

/// The codec of each batch of a topic with three partitions and so many records.
async fn codecs(client: &Client, topic: &str, record_count: i32) -> Vec<Compression> {
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig::default());
    (0..3).for_each(|index| consumer.assign(TopicPartition::new(topic, PartitionId(index)), Offset(0)));
    let (mut codecs, mut read) = (Vec::new(), 0);
    while read < record_count {
        let polled = within("the batches of a topic", Duration::from_secs(60), consumer.poll()).await;
        let mut fetched = polled.expect("the topic can be read");
        while let Some(batch) = fetched.next_batch() {
            let header = batch.expect("a batch of the topic is whole").batch.header;
            read += header.record_count;
            codecs.push(header.compression());
        }
    }
    codecs
}

async fn connect(broker: &TestBroker) -> Client {
    Client::connect(client_config(broker.bootstrap())).await.expect("the broker answers")
}

/// Sends lines of `key<TAB>value`; the producer chooses the partitions.
async fn send(producer: &Producer, topic: &str, lines: &[String]) {
    for line in lines {
        let (key, value) = line.split_once('\t').expect("a key and a value");
        producer.send(ProducerRecord::to(topic).key(key).value(value)).await.expect("it is taken").forget();
    }
}

/// Writes lines of `key<TAB>value` to the partitions where Java would write them.
fn append(producer: &mut ExclusiveProducer, topic: TopicHandle, lines: &[String]) {
    let partition_count = producer.partition_count(topic);
    for line in lines {
        let (key, value) = line.split_once('\t').expect("a key and a value");
        let partition = partition_for_key(key.as_bytes(), partition_count);
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        let appended = producer.append(
            topic,
            partition,
            NewRecord { timestamp: TimestampMs(1_000), key, value, ..NewRecord::default() },
        );
        appended.expect("the buffer has room");
    }
}

/// Creates the topic with Kafka's tool, because automatic creation would make one partition.
async fn create_topic(broker: &TestBroker, topic: &str, partitions: u32) -> Option<()> {
    let args = ["--bootstrap-server", broker.bootstrap(), "--create", "--topic", topic, "--replication-factor", "1"];
    let partitions = ["--partitions", &partitions.to_string()];
    java("org.apache.kafka.tools.TopicCommand", &[&args[..], &partitions].concat(), "").await.map(drop)
}

async fn java_produce(broker: &TestBroker, topic: &str, lines: &[String]) -> Option<()> {
    let args = ["--bootstrap-server", broker.bootstrap(), "--topic", topic, "--reader-property", "parse.key=true"];
    java("org.apache.kafka.tools.ConsoleProducer", &args, &(lines.join("\n") + "\n")).await.map(drop)
}

/// Records as `key<TAB>value`, in the order in which [`without_partition`] sorts them.
fn lines(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| format!("key {number:04}\tvalue {number:04}")).collect()
}

fn as_kcat_prints(records: &[KeptRecord]) -> Vec<String> {
    let print = |record: &KeptRecord| {
        let (key, value) = record.text();
        format!("{}\t{key}\t{value}", record.partition)
    };
    records.iter().map(print).collect()
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_unstable();
    lines
}

fn split(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// The sorted `key<TAB>value` of records that begin with their partition.
fn without_partition(records: &[String]) -> Vec<String> {
    let rest = |record: &String| record.split_once('\t').map_or(String::new(), |(_, rest)| rest.to_owned());
    sorted(records.iter().map(rest).collect())
}
