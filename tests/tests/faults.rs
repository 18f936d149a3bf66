//! A client behind a proxy that damages, delays and loses what goes through it, on both brokers. `tests/FAULTS.md`
//! lists which faults are tested where.

#[path = "faults/commits.rs"]
mod commits;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conformance::reader::{create_topic, read_to_end, until_stable};
use conformance::writer::write;
use conformance::{TestBroker, client_config, eventually, on_both_brokers, on_every_broker, within};
use kafka_wire::client::{
    AssignmentChange, Client, Consumer, GroupConsumer, GroupOffsets, GroupProtocol, GroupTransactError,
    GroupTransactSession, OffsetCommitError, Polled, Producer,
};
use kafka_wire::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use kafka_wire::compression::Decompressed;
use kafka_wire::consumer::{ConsumeError, ConsumerConfig, IsolationLevel, ResetPolicy};
use kafka_wire::producer::{ProducerConfig, ProducerRecord, TransactionError};
use kafka_wire::protocol::{ApiKey, ErrorCode};
use kafka_wire::types::{Offset, PartitionId};
use testkit::fault::{Action, Rule};
use testkit::proxy::Proxy;
use tokio::task::JoinSet;
use tokio::time::Instant;

on_both_brokers!(
    frames_may_come_in_any_pieces,
    frames_that_cannot_be_end_their_connection_and_nothing_else,
    a_damaged_batch_is_named_and_not_passed_over,
    a_broker_that_falls_silent_is_asked_again_on_another_connection,
    connections_that_are_cut_again_and_again_lose_and_double_nothing,
    a_request_that_arrives_late_changes_nothing,
    readers_ask_rarely_while_they_are_refused,
    writers_ask_rarely_while_they_are_refused,
    members_ask_rarely_while_they_are_refused,
    a_commit_is_not_repeated_in_a_later_generation,
    a_session_that_cannot_end_its_transaction_asks_for_the_outcome,
);
on_every_broker!(transactions_ask_rarely_while_they_are_refused);

const WAIT: Duration = Duration::from_secs(30);

/// A client behind a proxy, and a topic with one partition.
struct Fixture {
    proxy: Proxy,
    client: Client,
    /// Not behind the proxy.
    outside: Client,
    partition: TopicPartition,
}

impl Fixture {
    async fn new(broker: &TestBroker) -> Self {
        Self::with_request_timeout(broker, Duration::from_secs(2)).await
    }

    async fn with_request_timeout(broker: &TestBroker, limit: Duration) -> Self {
        let mut config = client_config(broker.bootstrap());
        config.request_timeout = limit;
        let outside = Client::connect(client_config(broker.bootstrap())).await.expect("the broker listens");
        let proxy = Proxy::default();
        let client = Client::connect_with(config, proxy.connector()).await.expect("the broker listens");
        let topic = broker.unique("t");
        create_topic(&outside, &topic, 1).await;
        Self { proxy, client, outside, partition: TopicPartition::new(topic.as_str(), PartitionId(0)) }
    }

    fn reader(&self) -> Consumer {
        let config = ConsumerConfig { max_wait: Duration::from_millis(100), ..ConsumerConfig::default() };
        let mut consumer = Consumer::new(self.client.clone(), config);
        consumer.assign(self.partition.clone(), Offset(0));
        consumer
    }

    async fn write(&self, values: &[&str]) {
        write(&self.outside, &self.partition, values).await;
    }

    fn refuse_always(&self, api: ApiKey, action: Action) {
        for _ in 0..MANY {
            self.proxy.inject(Rule { api_key: api.into(), nth: 1, action });
        }
    }
}

/// More faults than a test can use up.
const MANY: usize = 3_000;

/// Reads up to `end`; returns the values in order.
async fn read_to(consumer: &mut Consumer, end: i64) -> Result<Vec<String>, ConsumeError> {
    let (mut values, mut buffer) = (Vec::new(), Decompressed::default());
    loop {
        let mut fetched = within("data", WAIT, consumer.poll()).await?;
        while let Some(batch) = fetched.next_batch() {
            let batch = batch?;
            for record in batch.records(&mut buffer)? {
                let value = record.expect("a whole record").value.unwrap_or_default().to_vec();
                values.push(String::from_utf8(value).expect("text"));
            }
        }
        if fetched.next_offset() >= Offset(end) {
            return Ok(values);
        }
    }
}

/// Writes numbered values one after the other and reads each, with `harm` before each.
async fn read_through(fixture: &Fixture, count: usize, mut harm: impl FnMut(usize)) {
    let mut consumer = fixture.reader();
    for number in 0..count {
        harm(number);
        fixture.write(&[&number.to_string()]).await;
        let end = i64::try_from(number).expect("small") + 1;
        assert_eq!(read_to(&mut consumer, end).await.expect("it can be read"), [number.to_string()]);
    }
}

async fn frames_may_come_in_any_pieces(broker: TestBroker) {
    for piece_bytes in [1, 3, 1_000] {
        let fixture = Fixture::new(&broker).await;
        fixture.proxy.trickle(piece_bytes);
        let large = "x".repeat(3_000);
        fixture.write(&["a", &large]).await;
        fixture.write(&["b"]).await;
        let mut consumer = fixture.reader();
        assert_eq!(read_to(&mut consumer, 3).await.expect("it can be read"), ["a", &large, "b"]);
        let producer = Producer::open(&fixture.client, ProducerConfig::default()).await.expect("a producer id");
        let record = ProducerRecord::to(&fixture.partition.topic).value("c");
        let delivery = producer.send(record).await.expect("there is room");
        assert_eq!(within("an acknowledgement", WAIT, delivery).await.expect("it is written").offset, Some(Offset(3)));
    }
}

/// A change of the bytes of a frame.
type Change = Box<dyn FnOnce(Vec<u8>) -> Vec<u8> + Send>;

async fn frames_that_cannot_be_end_their_connection_and_nothing_else(broker: TestBroker) {
    let fixture = Fixture::new(&broker).await;
    let with_length = |length: i32| {
        move |mut frame: Vec<u8>| {
            frame[..4].copy_from_slice(&length.to_be_bytes());
            frame
        }
    };
    let change = |number: usize| -> Change {
        match number % 6 {
            0 => Box::new(with_length(i32::MAX)),
            1 => Box::new(with_length(-1)),
            2 => Box::new(with_length(0)),
            3 => Box::new(|mut frame: Vec<u8>| {
                // Another correlation id than that of the request.
                frame[4] ^= 0x55;
                frame
            }),
            4 => Box::new(|frame: Vec<u8>| frame[..frame.len() / 2].to_vec()),
            _ => Box::new(|frame: Vec<u8>| [&frame[..], &frame[..]].concat()),
        }
    };
    read_through(&fixture, 12, |number| fixture.proxy.edit(ApiKey::Fetch, 1, change(number))).await;
    assert!(fixture.proxy.is_spent());
}

/// Flips a bit of the value in the first fetched frame that has it.
async fn a_damaged_batch_is_named_and_not_passed_over(broker: TestBroker) {
    let fixture = Fixture::new(&broker).await;
    let is_done = Arc::new(AtomicBool::new(false));
    for _ in 0..100 {
        let is_done = Arc::clone(&is_done);
        fixture.proxy.edit(ApiKey::Fetch, 1, move |mut frame| {
            let at = frame.windows(6).position(|window| window == b"needle");
            if let Some(at) = at.filter(|_| !is_done.swap(true, Ordering::Relaxed)) {
                frame[at] ^= 1;
            }
            frame
        });
    }
    fixture.write(&["before"]).await;
    fixture.write(&["needle", "more"]).await;
    fixture.write(&["after"]).await;
    let mut consumer = fixture.reader();
    let error = read_to(&mut consumer, 4).await.expect_err("the checksum is wrong");
    let ConsumeError::Corrupt { partition, offset, .. } = &error else { panic!("{error}") };
    assert_eq!((partition, *offset), (&fixture.partition, Offset(1)));
    assert_eq!(read_to(&mut consumer, 4).await.expect_err("it is not passed over"), error);
    consumer.seek(&fixture.partition, Offset(1));
    assert_eq!(read_to(&mut consumer, 4).await.expect("the log is sound"), ["needle", "more", "after"]);
}

async fn a_broker_that_falls_silent_is_asked_again_on_another_connection(broker: TestBroker) {
    // Longer than a machine that has much to do takes for what has to happen before a connection is given up.
    let fixture = Fixture::with_request_timeout(&broker, Duration::from_secs(8)).await;
    let silence = |api: ApiKey| fixture.proxy.inject(Rule { api_key: api.into(), nth: 1, action: Action::DropRequest });
    fixture.write(&["a"]).await;
    // Before the consumer, which fetches as soon as it has a partition.
    silence(ApiKey::Fetch);
    let mut consumer = fixture.reader();
    let mut read = pin!(read_to(&mut consumer, 1));
    let on_its_way = eventually("the Fetch", WAIT, async || fixture.proxy.is_spent().then_some(()));
    tokio::select! {
        biased;
        () = on_its_way => {}
        read = &mut read => panic!("{read:?}"),
    }
    // Other requests do not wait until the silent connection is given up.
    tokio::select! {
        biased;
        known = fixture.client.metadata(std::slice::from_ref(&fixture.partition.topic)) => {
            known.expect("on another connection");
        }
        read = &mut read => panic!("{read:?}"),
    }
    assert_eq!(read.await.expect("it can be read"), ["a"]);

    let producer = Producer::open(&fixture.client, ProducerConfig::default()).await.expect("a producer id");
    silence(ApiKey::Produce);
    let record = ProducerRecord::to(&fixture.partition.topic).value("b");
    let delivery = producer.send(record).await.expect("there is room");
    assert_eq!(within("an acknowledgement", WAIT, delivery).await.expect("it is written").offset, Some(Offset(1)));
    assert!(fixture.proxy.is_spent());
}

async fn connections_that_are_cut_again_and_again_lose_and_double_nothing(broker: TestBroker) {
    const RECORDS: i64 = 400;
    let fixture = Fixture::new(&broker).await;
    let config = ProducerConfig { batch_size_bytes: 100, ..ProducerConfig::default() };
    let producer = Producer::open(&fixture.client, config).await.expect("a producer id");
    let mut consumer = fixture.reader();
    let mut deliveries = Vec::new();
    for number in 0..RECORDS {
        if number % 25 == 0 {
            fixture.proxy.cut();
        }
        let value = number.to_string();
        deliveries.push(producer.send(ProducerRecord::to(&fixture.partition.topic).value(&value)).await.expect("room"));
        tokio::task::yield_now().await;
    }
    for (number, delivery) in (0..).zip(deliveries) {
        let written = within("an acknowledgement", WAIT, delivery).await.expect("it is written");
        assert!(written.offset.is_none_or(|offset| offset == Offset(number)), "{written:?}");
    }
    let expected: Vec<_> = (0..RECORDS).map(|number| number.to_string()).collect();
    assert_eq!(read_to(&mut consumer, RECORDS).await.expect("it can be read"), expected);
}

/// The proxy holds a Produce request back until the client has given up on the connection and sent it again.
async fn a_request_that_arrives_late_changes_nothing(broker: TestBroker) {
    let fixture = Fixture::new(&broker).await;
    let producer = Producer::open(&fixture.client, ProducerConfig::default()).await.expect("a producer id");
    let delay = Action::Delay(Duration::from_millis(2_500));
    fixture.proxy.inject(Rule { api_key: ApiKey::Produce.into(), nth: 1, action: delay });
    for number in 0..3_i64 {
        let value = number.to_string();
        let delivery = producer.send(ProducerRecord::to(&fixture.partition.topic).value(&value)).await.expect("room");
        let written = within("an acknowledgement", WAIT, delivery).await.expect("it is written");
        assert!(written.offset.is_none_or(|offset| offset == Offset(number)), "{written:?}");
    }
    assert_eq!(read_to(&mut fixture.reader(), 3).await.expect("it can be read"), ["0", "1", "2"]);
}

/// Most requests a second of one client, of all APIs together, while it is refused or gets no answer.
const REQUESTS_A_SECOND_MAX: u64 = 60;
const WATCHED: Duration = Duration::from_millis(1_500);

/// The faults that a broker may have for ever.
fn lasting_faults(codes: &[ErrorCode]) -> Vec<Action> {
    let others = [Action::ApplyThenDisconnect, Action::DropRequest, Action::Delay(Duration::from_millis(300))];
    codes.iter().map(|code| Action::Error(code.0)).chain(others).collect()
}

async fn assert_few_requests(fixture: &Fixture, what: &str) {
    // The first attempts come at once.
    tokio::time::sleep(Duration::from_millis(300)).await;
    for left in (0..3).rev() {
        let (started, before) = (Instant::now(), fixture.proxy.all_requests());
        tokio::time::sleep(WATCHED).await;
        let (count, watched) = (fixture.proxy.all_requests() - before, started.elapsed());
        let limit = REQUESTS_A_SECOND_MAX * u64::try_from(watched.as_millis()).expect("short") / 1_000;
        if count <= limit {
            return;
        }
        // On a busy machine the first attempts may come late, but only once.
        assert!(left > 0, "{what}: {count} requests in {watched:?}");
    }
}

async fn readers_ask_rarely_while_they_are_refused(broker: TestBroker) {
    let codes = [
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ErrorCode::FENCED_LEADER_EPOCH,
        ErrorCode::UNKNOWN_LEADER_EPOCH,
        ErrorCode::UNKNOWN_TOPIC_ID,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode::OFFSET_OUT_OF_RANGE,
        ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
        ErrorCode::KAFKA_STORAGE_ERROR,
        ErrorCode::TOPIC_AUTHORIZATION_FAILED,
        ErrorCode::UNKNOWN_SERVER_ERROR,
    ];
    for_each_at_once(broker, lasting_faults(&codes), |broker, action| async move {
        let fixture = Fixture::new(&broker).await;
        fixture.write(&["a"]).await;
        fixture.refuse_always(ApiKey::Fetch, action);
        let config = ConsumerConfig { reset: ResetPolicy::Earliest, ..ConsumerConfig::default() };
        let mut consumer = Consumer::new(fixture.client.clone(), config);
        consumer.assign(fixture.partition.clone(), Offset(0));
        assert_few_requests(&fixture, &format!("{action:?} on Fetch")).await;
    })
    .await;
}

async fn writers_ask_rarely_while_they_are_refused(broker: TestBroker) {
    let codes = [
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ErrorCode::NOT_ENOUGH_REPLICAS,
        ErrorCode::REQUEST_TIMED_OUT,
        ErrorCode::KAFKA_STORAGE_ERROR,
        ErrorCode::UNKNOWN_TOPIC_ID,
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        ErrorCode::UNKNOWN_PRODUCER_ID,
        ErrorCode::UNKNOWN_SERVER_ERROR,
    ];
    for_each_at_once(broker, lasting_faults(&codes), |broker, action| async move {
        let fixture = Fixture::new(&broker).await;
        let producer = Producer::open(&fixture.client, ProducerConfig::default()).await.expect("a producer id");
        fixture.refuse_always(ApiKey::Produce, action);
        let record = ProducerRecord::to(&fixture.partition.topic).value("a");
        let delivery = producer.send(record).await.expect("there is room");
        assert_few_requests(&fixture, &format!("{action:?} on Produce")).await;
        drop(delivery);
        producer.close_now().await;
    })
    .await;
}

async fn members_ask_rarely_while_they_are_refused(broker: TestBroker) {
    let codes: [(ApiKey, &[ErrorCode]); 6] = [
        (ApiKey::FindCoordinator, &[ErrorCode::COORDINATOR_NOT_AVAILABLE][..]),
        (
            ApiKey::JoinGroup,
            &[
                ErrorCode::NOT_COORDINATOR,
                ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
                ErrorCode::UNKNOWN_MEMBER_ID,
                ErrorCode::REBALANCE_IN_PROGRESS,
            ],
        ),
        (
            ApiKey::SyncGroup,
            &[ErrorCode::NOT_COORDINATOR, ErrorCode::REBALANCE_IN_PROGRESS, ErrorCode::ILLEGAL_GENERATION],
        ),
        (
            ApiKey::Heartbeat,
            &[ErrorCode::NOT_COORDINATOR, ErrorCode::REBALANCE_IN_PROGRESS, ErrorCode::UNKNOWN_MEMBER_ID],
        ),
        (ApiKey::OffsetFetch, &[ErrorCode::NOT_COORDINATOR, ErrorCode::UNSTABLE_OFFSET_COMMIT]),
        (ApiKey::OffsetCommit, &[ErrorCode::NOT_COORDINATOR, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS]),
    ];
    let faults = codes.into_iter().flat_map(|(api, codes)| {
        let codes = codes.iter().map(|code| Action::Error(code.0));
        codes.chain([Action::ApplyThenDisconnect]).map(move |action| (api, action))
    });
    for_each_at_once(broker, faults.collect(), |broker, (api, action)| async move {
        let fixture = Fixture::new(&broker).await;
        fixture.write(&["a"]).await;
        fixture.refuse_always(api, action);
        let mut consumer = GroupConsumer::builder(broker.unique("g"))
            .topics([fixture.partition.topic.clone()])
            .auto_offset_reset(ResetPolicy::Earliest)
            .session_timeout(Duration::from_secs(6), Duration::from_millis(200))
            .auto_commit_interval(Duration::from_millis(200))
            .build(fixture.client.clone())
            .await
            .expect("a list of topics");
        let polls = tokio::spawn(async move {
            loop {
                let _ = consumer.next().await;
                tokio::task::yield_now().await;
            }
        });
        assert_few_requests(&fixture, &format!("{action:?} on {}", api.name())).await;
        assert!(!polls.is_finished());
        polls.abort();
    })
    .await;
}

/// Answers each request of an API with this error until `done` is.
async fn while_refused<T>(fixture: &Fixture, api: ApiKey, code: ErrorCode, done: impl Future<Output = T>) -> T {
    fixture.proxy.refuse_all(api, code);
    let done = done.await;
    fixture.proxy.stop_refusing(api);
    done
}

/// A coordinator asks who commits, not who has the partition: under a later generation it would take an offset that
/// the next owner of the partition is past.
async fn a_commit_is_not_repeated_in_a_later_generation(broker: TestBroker) {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let fixture = Fixture::new(&broker).await;
        let config = client_config(broker.bootstrap());
        let client = Client::connect_with(config, fixture.proxy.connector()).await.expect("the broker listens");
        let topic = broker.unique("t");
        create_topic(&fixture.outside, &topic, 2).await;
        let partitions = [0, 1].map(|index| TopicPartition::new(topic.as_str(), PartitionId(index)));
        let fill = async || {
            for partition in &partitions {
                write(&fixture.outside, partition, &["x", "y", "z"]).await;
            }
        };
        let builder = GroupConsumer::builder(broker.unique("g"))
            .topics([topic.clone()])
            .group_protocol(protocol)
            .auto_offset_reset(ResetPolicy::Earliest)
            .session_timeout(Duration::from_secs(10), Duration::from_millis(200))
            .manual_commit();
        fill().await;
        let mut first = builder.clone().build(client).await.expect("the group works");
        for _ in 0..6 {
            within("a record", WAIT, first.next()).await.expect("the topic can be read");
        }
        // The commit is tried again and again, while one of the partitions goes to another member.
        let mut second = builder.build(fixture.outside.clone()).await.expect("the group works");
        let refused = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
        let moving = while_refused(&fixture, ApiKey::OffsetCommit, refused, async {
            let pending = first.commit_async();
            fill().await;
            let moved = loop {
                tokio::select! {
                    polled = first.poll() => drop(polled.expect("the group works")),
                    polled = second.poll() => match polled.expect("the group works") {
                        Polled::Assignment(AssignmentChange::Assigned(taken)) if !taken.is_empty() => break taken,
                        _ => {}
                    },
                }
            };
            // It goes on, and is past what the first one wants to commit.
            for _ in 0..6 {
                tokio::select! {
                    record = second.next() => drop(record.expect("the group works")),
                    () = async { loop { drop(first.poll().await.expect("the group works")) } } => {}
                }
            }
            second.commit().await.expect("it has the partition");
            (pending, moved)
        });
        let (pending, moved) = within("a rebalance", WAIT, moving).await;
        let outcome = within("an outcome", WAIT, pending).await;
        let committed = second.committed(&moved).await.expect("the coordinator answers");
        let offsets: Vec<_> = committed.iter().map(|(_, offset)| offset.as_ref().map(|it| it.offset.0)).collect();
        assert_eq!(offsets, [Some(6)], "{protocol:?}: the commit went back, {outcome:?}");
        assert_eq!(outcome, Err(OffsetCommitError::RebalanceInProgress), "{protocol:?}: it may commit what it has now");
        for consumer in [first, second] {
            consumer.close().await.expect("the group works");
        }
    }
}

async fn a_session_that_cannot_end_its_transaction_asks_for_the_outcome(broker: TestBroker) {
    let fixture = Fixture::new(&broker).await;
    fixture.write(&["a"]).await;
    let output = broker.unique("out");
    create_topic(&fixture.outside, &output, 1).await;
    let input = GroupConsumer::builder(broker.unique("g"))
        .topics([fixture.partition.topic.clone()])
        .auto_offset_reset(ResetPolicy::Earliest);
    let id = broker.unique("carrier");
    // Time enough for the transactions that are to be committed.
    let end_timeout = Duration::from_secs(5);
    let config = ProducerConfig { end_timeout, ..ProducerConfig::transactional(id.as_str()) };
    let session = GroupTransactSession::open(fixture.client.clone(), input, config).await.expect("nobody has the id");
    let mut session = session.commit_interval(Duration::from_secs(60));
    let carry = async |session: &mut GroupTransactSession| {
        let record = within("the record", WAIT, session.next()).await.expect("it can be read");
        assert_eq!(record.value.as_deref(), Some(&b"a"[..]));
        session.send(ProducerRecord::to(&output).value("a")).await.expect("there is room");
    };
    carry(&mut session).await;
    let refused = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
    let ended = while_refused(&fixture, ApiKey::EndTxn, refused, session.commit()).await;
    let Err(GroupTransactError::Transaction(TransactionError::TimedOut(cause))) = ended else { panic!("{ended:?}") };
    assert!(!session.commit().await.expect("the coordinator answers"), "it was aborted, after {cause}");
    carry(&mut session).await;
    assert!(session.commit().await.expect("the coordinator answers"));
    session.close().await.expect("nothing is left");
    until_stable(&fixture.outside, &output).await;
    assert_eq!(read_to_end(&fixture.outside, &output, IsolationLevel::ReadCommitted).await.len(), 1);
}

async fn transactions_ask_rarely_while_they_are_refused(broker: TestBroker) {
    let codes = [
        ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::NOT_COORDINATOR,
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode::CONCURRENT_TRANSACTIONS,
    ];
    let mut apis = vec![ApiKey::InitProducerId, ApiKey::AddPartitionsToTxn, ApiKey::TxnOffsetCommit, ApiKey::EndTxn];
    if broker.kind().transaction_version() == 1 {
        apis.push(ApiKey::AddOffsetsToTxn);
    }
    let faults = apis.into_iter().flat_map(|api| {
        let codes = codes.iter().map(|code| Action::Error(code.0));
        codes.chain([Action::ApplyThenDisconnect]).map(move |action| (api, action))
    });
    for_each_at_once(broker, faults.collect(), |broker, (api, action)| async move {
        let fixture = Fixture::new(&broker).await;
        fixture.refuse_always(api, action);
        let (client, partition, id) = (fixture.client.clone(), fixture.partition.clone(), broker.unique("tx"));
        let group = GroupMetadata::without_membership(broker.unique("g").as_str());
        let transaction = tokio::spawn(async move {
            let opened = Producer::open(&client, ProducerConfig::transactional(id.as_str())).await;
            let producer = opened.expect("it takes longer than the watch");
            producer.begin_transaction().expect("nothing is open");
            let record = ProducerRecord::to(&partition.topic).value("a");
            producer.send(record).await.expect("there is room").forget();
            let offsets = [(partition, CommittedOffset::new(Offset(1)))];
            producer.send_offsets_to_transaction(GroupOffsets { group: &group, offsets: &offsets });
            producer.commit_transaction().await
        });
        assert_few_requests(&fixture, &format!("{action:?} on {}", api.name())).await;
        assert!(!transaction.is_finished());
        transaction.abort();
    })
    .await;
}

/// Watches a client under each of these faults, several at a time.
async fn for_each_at_once<T, F>(broker: TestBroker, faults: Vec<T>, watch: impl Fn(Arc<TestBroker>, T) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let broker = Arc::new(broker);
    let mut running = JoinSet::new();
    for fault in faults {
        if running.len() == AT_ONCE {
            running.join_next().await.expect("some are running").expect("a client asks rarely");
        }
        running.spawn(watch(Arc::clone(&broker), fault));
    }
    while let Some(watched) = running.join_next().await {
        watched.expect("a client asks rarely");
    }
}

/// Clients that are watched at the same time: they do little but wait.
const AT_ONCE: usize = 8;
