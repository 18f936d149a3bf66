//! Producing without transactions: every record is written once, in order, or its failure names it.

use std::collections::BTreeMap;
use std::time::Duration;

use conformance::reader::{KeptRecord, create_topic, read_to_end};
use conformance::{TestBroker, client_config, eventually, on_both_brokers, within};
use kafka_wire::admin::NewTopic;
use kafka_wire::client::{Client, ClientConfig, ExclusiveProducer};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::compression::{Compression, Decompressed};
use kafka_wire::consumer::IsolationLevel::ReadUncommitted;
use kafka_wire::producer::{
    AppendError, DeliveryCause, FlushError, NewRecord, NotReady, ProducerConfig, TopicHandle, TransactionError,
};
use kafka_wire::protocol::{ApiKey, ErrorCode};
use kafka_wire::record::{HeadersBuf, RawHeaders};
use kafka_wire::types::{LeaderEpoch, Offset, PartitionId, TimestampMs};
use testkit::fault::{Action, Rule};
use testkit::proxy::Proxy;
use tokio::time::Instant;

on_both_brokers!(
    records_come_out_as_they_went_in,
    a_flush_returns_the_batches_as_they_are_in_the_log,
    many_small_batches_stay_in_order,
    compressed_batches_stay_in_order,
    a_batch_that_lingers_is_sent_without_a_flush,
    linger_is_kept_while_the_appending_task_never_awaits,
    a_topic_handle_of_another_producer_is_refused,
    a_full_buffer_makes_the_writer_wait,
    a_batch_that_is_too_large_is_named_and_the_rest_goes_on,
    batches_are_split_until_the_topic_takes_them,
    a_producer_without_an_id_has_no_transactions,
);

// A proxy between client and broker makes the faults.
on_both_brokers!(
    lost_answers_lose_and_double_nothing,
    passing_errors_keep_the_order,
    a_gap_in_the_sequence_is_healed_under_a_higher_epoch,
    an_answer_that_never_comes_is_possibly_written,
);

struct Fixture {
    broker: TestBroker,
    client: Client,
    proxy: Proxy,
    topic: String,
}

impl Fixture {
    async fn new(broker: TestBroker) -> Self {
        let config = client_config(broker.bootstrap());
        Self::with_client(broker, config).await
    }

    async fn with_client(broker: TestBroker, config: ClientConfig) -> Self {
        let proxy = Proxy::default();
        let client = Client::connect_with(config, proxy.connector()).await.expect("the broker listens");
        let outside = Client::connect(client_config(broker.bootstrap())).await.expect("the broker listens");
        let topic = broker.unique("t");
        create_topic(&outside, &topic, PARTITIONS).await;
        Self { broker, client, proxy, topic }
    }

    async fn open(&self, config: ProducerConfig) -> (ExclusiveProducer, TopicHandle) {
        let mut producer = ExclusiveProducer::open(&self.client, config).await.expect("a producer id");
        let topic = producer.topic(&self.topic).await.expect("the topic is there");
        assert_eq!(producer.partition_count(topic), PARTITIONS);
        (producer, topic)
    }

    async fn read(&self) -> Vec<KeptRecord> {
        read_to_end(&self.client, &self.topic, ReadUncommitted).await
    }

    fn inject(&self, nth: u32, action: Action) {
        self.proxy.inject(Rule { api_key: ApiKey::Produce as i16, nth, action });
    }

    /// Writes `count` numbered records, waiting for room; then every partition must have its numbers once, in order.
    async fn write_and_check(&self, config: ProducerConfig, count: i32) {
        let (mut producer, topic) = self.open(config).await;
        for number in 0..count {
            append(&mut producer, topic, number, &number.to_string()).await;
        }
        within("every acknowledgement", Duration::from_secs(60), producer.flush()).await.expect("all acknowledged");
        let expected = numbers_by_partition(0..count);
        assert_same(&values_by_partition(&self.read().await), &expected);
        for (partition, values) in &expected {
            let last = i64::try_from(values.len()).expect("small") - 1;
            // A retry of a duplicate is acknowledged without an offset, so the last known one may be older.
            assert!(producer.last_offset(topic, *partition).is_none_or(|offset| offset <= Offset(last)));
        }
        producer.close().await.expect("nothing is left");
    }
}

/// Appends one record to partition `number % PARTITIONS`.
async fn append(producer: &mut ExclusiveProducer, topic: TopicHandle, number: i32, value: &str) {
    let partition = PartitionId(number % PARTITIONS);
    let time = TimestampMs(1_000 + i64::from(number));
    while let Err(error) = producer.append(
        topic,
        partition,
        NewRecord { timestamp: time, key: Some(b"key"), value: Some(value.as_bytes()), ..NewRecord::default() },
    ) {
        assert!(matches!(error, AppendError::Full { .. }), "{error}");
        producer.ready().await.expect("nothing has failed");
    }
}

fn numbers_by_partition(numbers: impl Iterator<Item = i32>) -> BTreeMap<PartitionId, Vec<String>> {
    let mut by_partition: BTreeMap<PartitionId, Vec<String>> = BTreeMap::new();
    for number in numbers {
        by_partition.entry(PartitionId(number % PARTITIONS)).or_default().push(number.to_string());
    }
    by_partition
}

fn values_by_partition(records: &[KeptRecord]) -> BTreeMap<PartitionId, Vec<String>> {
    let mut by_partition: BTreeMap<PartitionId, Vec<String>> = BTreeMap::new();
    for record in records {
        by_partition.entry(record.partition).or_default().push(record.text().1.to_owned());
    }
    by_partition
}

/// Compares, and names the first difference in a partition instead of the thousands of equal values.
fn assert_same(read: &BTreeMap<PartitionId, Vec<String>>, expected: &BTreeMap<PartitionId, Vec<String>>) {
    for (partition, expected) in expected {
        let read = read.get(partition).map_or(&[][..], Vec::as_slice);
        let place = read.iter().zip(expected).position(|(read, expected)| read != expected);
        let place = place.unwrap_or(read.len().min(expected.len()));
        assert_eq!(read.get(place), expected.get(place), "partition {partition}, offset {place}");
    }
}

/// Batches of a few records each, so that a test has many of them.
fn small_batches() -> ProducerConfig {
    ProducerConfig { batch_size_bytes: 600, ..ProducerConfig::default() }
}

async fn a_flush_returns_the_batches_as_they_are_in_the_log(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let (mut producer, topic) = fixture.open(ProducerConfig::default()).await;
    let mut append = async |partition, values: &[&str], topics: &[TopicHandle]| {
        for value in values {
            producer.append(topic, PartitionId(partition), NewRecord::of(value.as_bytes())).expect("there is room");
        }
        producer.flush_and_keep(topics).await.expect("all acknowledged")
    };
    assert!(append(0, &["not wanted"], &[]).await.is_empty());
    assert!(append(0, &[], &[topic]).await.is_empty(), "nothing was sent");
    let mut kept = Vec::new();
    for values in [&["a", "b"][..], &["c"]] {
        for (partition, batch) in append(0, values, &[topic]).await {
            assert_eq!((partition.partition, batch.header.partition_leader_epoch), (PartitionId(0), LeaderEpoch(-1)));
            for record in batch.open(&mut Decompressed::default()).expect("as it was sent") {
                let record = record.expect("a whole record");
                kept.push((record.offset, record.value.map(<[u8]>::to_vec)));
            }
        }
    }
    let read = fixture.read().await.into_iter().map(|record| (record.offset.0, record.value)).skip(1);
    assert_eq!(kept, read.collect::<Vec<_>>());
    assert_eq!(kept.len(), 3);
}

async fn records_come_out_as_they_went_in(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let (mut producer, topic) = fixture.open(ProducerConfig::default()).await;
    let mut headers = HeadersBuf::new();
    headers.push(b"trace", Some(b"7"));
    headers.push(b"trace", None);
    headers.push(&[0xff], Some(b""));
    let record = |timestamp, key, value, headers| NewRecord { timestamp: TimestampMs(timestamp), key, value, headers };
    let written = [
        record(1_700_000_000_000, Some(&b"k"[..]), Some(&b"v"[..]), RawHeaders::EMPTY),
        record(1_699_999_999_000, None, Some(b""), headers.as_raw()),
        record(1_700_000_000_001, Some(b""), None, RawHeaders::EMPTY),
        record(1_700_000_000_000, None, None, headers.as_raw()),
    ];
    for record in written {
        producer.append(topic, PartitionId(1), record).expect("there is room");
    }
    producer.flush().await.expect("all acknowledged");
    assert_eq!(producer.last_offset(topic, PartitionId(1)), Some(Offset(3)));
    assert_eq!(producer.last_offset(topic, PartitionId(0)), None);
    let read = fixture.read().await;
    assert_eq!(read.len(), written.len());
    for (index, (record, NewRecord { timestamp, key, value, headers })) in (0..).zip(read.iter().zip(written)) {
        let headers: Vec<_> = headers.iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect();
        let expected = KeptRecord {
            partition: PartitionId(1),
            offset: Offset(index),
            timestamp,
            key: key.map(<[u8]>::to_vec),
            value: value.map(<[u8]>::to_vec),
            headers,
        };
        assert_eq!(*record, expected);
    }
}

async fn many_small_batches_stay_in_order(broker: TestBroker) {
    Fixture::new(broker).await.write_and_check(small_batches(), 30_000).await;
}

async fn compressed_batches_stay_in_order(broker: TestBroker) {
    let config =
        ProducerConfig { compression: Compression::Lz4, batch_size_bytes: 16_384, ..ProducerConfig::default() };
    Fixture::new(broker).await.write_and_check(config, 60_000).await;
}

async fn a_batch_that_lingers_is_sent_without_a_flush(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let (mut producer, topic) = fixture.open(ProducerConfig::default()).await;
    for number in 0..6 {
        append(&mut producer, topic, number, "lingered").await;
    }
    eventually("the lingering records", Duration::from_secs(20), async || {
        (fixture.read().await.len() == 6).then_some(())
    })
    .await;
}

/// The task that appends never awaits, in a runtime of one thread and in one with an idle second thread.
async fn linger_is_kept_while_the_appending_task_never_awaits(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    for threads in [1, 2] {
        let (bootstrap, name) = (fixture.broker.bootstrap().to_owned(), fixture.topic.clone());
        let appending = async move {
            let client = Client::connect(client_config(&bootstrap)).await.expect("the broker listens");
            let mut producer =
                ExclusiveProducer::open(&client, ProducerConfig::default()).await.expect("a producer id");
            let topic = producer.topic(&name).await.expect("the topic is there");
            append(&mut producer, topic, 0, "lingers").await;
            let deadline = Instant::now() + Duration::from_secs(60);
            while producer.last_offset(topic, PartitionId(0)).is_none() {
                assert!(Instant::now() < deadline, "nothing was acknowledged in a runtime of {threads} threads");
                std::hint::spin_loop();
            }
        };
        let in_a_runtime_of_its_own = move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
            let runtime = runtime.expect("a runtime needs threads and an epoll");
            runtime.block_on(runtime.spawn(appending)).expect("it was acknowledged");
        };
        tokio::task::spawn_blocking(in_a_runtime_of_its_own).await.expect("it was acknowledged");
    }
}

async fn a_topic_handle_of_another_producer_is_refused(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let (mut first, topic) = fixture.open(ProducerConfig::default()).await;
    let mut second = ExclusiveProducer::open(&fixture.client, ProducerConfig::default()).await.expect("a producer id");
    let elsewhere = fixture.broker.unique("elsewhere");
    create_topic(&fixture.client, &elsewhere, PARTITIONS).await;
    let other = second.topic(&elsewhere).await.expect("the topic is there");
    let appended = second.append(
        topic,
        PartitionId(0),
        NewRecord { timestamp: TimestampMs(1), value: Some(b"misplaced"), ..NewRecord::default() },
    );
    assert_eq!(appended, Err(AppendError::ForeignTopic));
    let appended = first.append(
        other,
        PartitionId(0),
        NewRecord { timestamp: TimestampMs(1), value: Some(b"misplaced"), ..NewRecord::default() },
    );
    assert_eq!(appended, Err(AppendError::ForeignTopic));
    second.flush().await.expect("nothing was appended");
    assert_eq!(read_to_end(&fixture.client, &elsewhere, ReadUncommitted).await.len(), 0);
}

async fn a_full_buffer_makes_the_writer_wait(broker: TestBroker) {
    let config = ProducerConfig { buffer_limit_bytes: 5_000, ..ProducerConfig::default() };
    Fixture::new(broker).await.write_and_check(config, 20_000).await;
}

async fn a_batch_that_is_too_large_is_named_and_the_rest_goes_on(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let (mut producer, topic) = fixture.open(small_batches()).await;
    let huge = "x".repeat(2_000_000);
    let mut kept = Vec::new();
    for number in 0..200 {
        if number == 100 {
            append(&mut producer, topic, number, &huge).await;
        } else {
            append(&mut producer, topic, number, &number.to_string()).await;
            kept.push(number);
        }
    }
    let error = producer.flush().await.expect_err("one batch is above max.message.bytes");
    let FlushError::Delivery { first, failed_records } = error else { panic!("{error:?}") };
    assert!(first.is_too_large() && !first.possibly_written, "{first}");
    assert_eq!(first.partition, TopicPartition::new(fixture.topic.as_str(), PartitionId(100 % PARTITIONS)));
    assert_eq!((first.record_count, failed_records), (1, 1));
    assert!(first.batch_bytes > huge.len());
    producer.flush().await.expect("told once");
    // The following batches had sequences after the gap: they were given new ones under a higher epoch.
    for number in 200..400 {
        append(&mut producer, topic, number, &number.to_string()).await;
        kept.push(number);
    }
    producer.flush().await.expect("all acknowledged");
    assert_same(&values_by_partition(&fixture.read().await), &numbers_by_partition(kept.into_iter()));
}

/// Only the broker knows the limit; batches of 256 KiB meet one of 20,000 bytes.
async fn batches_are_split_until_the_topic_takes_them(broker: TestBroker) {
    let mut fixture = Fixture::new(broker).await;
    for compression in [Compression::None, Compression::Lz4] {
        fixture.topic = fixture.broker.unique("small");
        let mut small = NewTopic::new(fixture.topic.as_str(), PARTITIONS);
        small.configs = vec![("max.message.bytes".into(), "20000".into())];
        for (_, outcome) in fixture.client.create_topics(&[small]).await.expect("the cluster answers") {
            outcome.expect("the topic is created");
        }
        fixture.write_and_check(ProducerConfig { compression, ..ProducerConfig::default() }, 60_000).await;

        let (mut producer, topic) =
            fixture.open(ProducerConfig::transactional(fixture.broker.unique("tx").as_str())).await;
        producer.begin().expect("nothing is open");
        for number in 60_000..90_000 {
            append(&mut producer, topic, number, &number.to_string()).await;
        }
        producer.commit(None).await.expect("in parts it fits");
        let read = read_to_end(&fixture.client, &fixture.topic, ReadUncommitted).await;
        assert_same(&values_by_partition(&read), &numbers_by_partition(0..90_000));
    }
}

async fn a_producer_without_an_id_has_no_transactions(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let (mut producer, _) = fixture.open(ProducerConfig::default()).await;
    assert_eq!(producer.begin(), Err(TransactionError::NotReady(NotReady::NotTransactional)));
    let (mut producer, topic) = fixture.open(ProducerConfig::transactional(fixture.broker.unique("tx").as_str())).await;
    let early = producer.append(topic, PartitionId(0), NewRecord { timestamp: TimestampMs(0), ..NewRecord::default() });
    assert_eq!(early, Err(AppendError::NotInTransaction));
}

async fn lost_answers_lose_and_double_nothing(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    for nth in [1, 2, 3, 7, 8, 20, 40] {
        fixture.inject(nth, Action::ApplyThenDisconnect);
    }
    fixture.write_and_check(small_batches(), 5_000).await;
}

async fn passing_errors_keep_the_order(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let codes = [
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ErrorCode::NOT_ENOUGH_REPLICAS,
        ErrorCode::REQUEST_TIMED_OUT,
        ErrorCode::KAFKA_STORAGE_ERROR,
        ErrorCode::CORRUPT_MESSAGE,
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
    ];
    for (code, nth) in codes.into_iter().zip([1, 2, 5, 11, 12, 30]) {
        fixture.inject(nth, Action::Error(code.0));
    }
    fixture.write_and_check(small_batches(), 5_000).await;
}

async fn a_gap_in_the_sequence_is_healed_under_a_higher_epoch(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    for nth in [1, 4, 9] {
        fixture.inject(nth, Action::Error(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER.0));
    }
    fixture.inject(20, Action::Error(ErrorCode::UNKNOWN_PRODUCER_ID.0));
    fixture.write_and_check(small_batches(), 5_000).await;
}

async fn an_answer_that_never_comes_is_possibly_written(broker: TestBroker) {
    let mut client = client_config(broker.bootstrap());
    client.request_timeout = Duration::from_secs(1);
    let fixture = Fixture::with_client(broker, client).await;
    let config = ProducerConfig { delivery_timeout: Duration::from_secs(8), ..ProducerConfig::default() };
    let (mut producer, topic) = fixture.open(config).await;
    for _ in 0..9 {
        fixture.inject(1, Action::DropRequest);
    }
    append(&mut producer, topic, 0, "perhaps").await;
    let error = within("the end of its time", Duration::from_secs(20), producer.flush()).await;
    let Err(FlushError::Delivery { first, .. }) = error else { panic!("{error:?}") };
    assert!(first.possibly_written, "{first}");
    assert_eq!(first.cause, DeliveryCause::TimedOut(None));
}

const PARTITIONS: i32 = 3;
