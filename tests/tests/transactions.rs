//! Transactions: all or nothing for readers and for the group's offsets, whichever request or answer is lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conformance::reader::{Tail, create_topic, read_to_end};
use conformance::{TestBroker, client_config, eventually, on_every_broker, within};
use kafka_wire::admin::OffsetSpec;
use kafka_wire::client::{
    Client, ClientConfig, ExclusiveProducer, GroupConfig, GroupEvent, GroupMember, GroupOffsets, fence, fetch_offsets,
};
use kafka_wire::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use kafka_wire::consumer::IsolationLevel::ReadCommitted;
use kafka_wire::producer::{
    CommitError, FlushError, NewRecord, NotReady, ProducerConfig, Recovered, TopicHandle, TransactionCause,
    TransactionError,
};
use kafka_wire::protocol::{ApiKey, ErrorCode};
use kafka_wire::types::{Offset, PartitionId, TimestampMs};
use testkit::fault::{Action, Rule};
use testkit::proxy::Proxy;
use tokio::time::Instant;

on_every_broker!(
    output_and_offsets_appear_together,
    aborted_output_never_appears,
    offsets_alone_and_nothing_at_all_can_be_committed,
    a_start_right_after_a_crash_ends_what_was_left_open,
    the_older_of_two_producers_with_one_id_is_fenced,
    a_transaction_that_is_open_too_long_is_aborted_and_says_so,
    a_member_of_an_older_generation_cannot_commit,
    fencing_ends_the_transaction_of_a_dead_instance,
    a_batch_that_is_refused_spoils_its_transaction_only,
    many_transactions_in_a_row_are_all_or_nothing_to_a_live_reader,
    a_commit_that_nobody_waited_for_can_be_recovered,
);

// A proxy between client and broker makes the faults.
on_every_broker!(
    a_lost_answer_of_any_request_changes_nothing,
    a_passing_error_of_any_request_changes_nothing,
    a_commit_whose_every_answer_is_lost_turns_out_to_be_committed,
    a_commit_that_never_arrives_turns_out_to_be_aborted,
    an_unexplained_error_is_not_taken_for_a_commit,
    a_commit_that_arrives_late_ends_no_later_transaction,
    a_write_that_arrives_late_is_in_no_later_transaction,
);

/// The parts that most tests need: an output topic, an input topic, a group, a producer.
struct Fixture {
    broker: TestBroker,
    /// Behind the proxy.
    client: Client,
    /// Not behind it, and with more time.
    outside: Client,
    proxy: Proxy,
    topic: String,
    input: String,
    group: GroupMetadata,
    id: String,
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
        let (topic, input) = (broker.unique("out"), broker.unique("in"));
        create_topic(&outside, &topic, 3).await;
        create_topic(&outside, &input, 2).await;
        let group = GroupMetadata::without_membership(broker.unique("g").as_str());
        let id = broker.unique("tx");
        Self { broker, client, outside, proxy, topic, input, group, id }
    }

    fn config(&self) -> ProducerConfig {
        ProducerConfig::transactional(self.id.as_str())
    }

    async fn open(&self) -> (ExclusiveProducer, TopicHandle) {
        self.open_with(self.config()).await
    }

    async fn open_with(&self, config: ProducerConfig) -> (ExclusiveProducer, TopicHandle) {
        let opened =
            within("a producer id", Duration::from_secs(30), ExclusiveProducer::open(&self.client, config)).await;
        let mut producer = opened.expect("a producer id");
        let topic = producer.topic(&self.topic).await.expect("the topic is there");
        (producer, topic)
    }

    fn offsets(&self, offset: i64) -> Vec<(TopicPartition, CommittedOffset)> {
        let partition = TopicPartition::new(self.input.as_str(), PartitionId(0));
        vec![(partition, CommittedOffset::new(Offset(offset)))]
    }

    async fn commit(&self, producer: &mut ExclusiveProducer, offset: i64) -> Result<(), CommitError> {
        let offsets = self.offsets(offset);
        let commit = producer.commit(Some(GroupOffsets { group: &self.group, offsets: &offsets }));
        within("an end of the commit", Duration::from_secs(60), commit).await
    }

    async fn committed_offset(&self) -> Option<Offset> {
        let partition = TopicPartition::new(self.input.as_str(), PartitionId(0));
        let fetched = fetch_offsets(&self.outside, &self.group.group_id, &[partition]).await;
        fetched.expect("the coordinator answers")[0].1.as_ref().map(|committed| committed.offset)
    }

    /// The values that a `read_committed` reader sees, sorted; waits for the markers of recent commits.
    async fn visible(&self, expected: usize) -> Vec<String> {
        eventually("what was committed", Duration::from_secs(20), async || {
            let records = read_to_end(&self.outside, &self.topic, ReadCommitted).await;
            (records.len() >= expected).then(|| {
                let mut values: Vec<String> = records.iter().map(|record| record.text().1.to_owned()).collect();
                values.sort();
                values
            })
        })
        .await
    }

    /// Waits until no open transaction holds readers back.
    async fn settle(&self) {
        let asked: Vec<_> = (0..3)
            .map(|index| (TopicPartition::new(self.topic.as_str(), PartitionId(index)), OffsetSpec::Latest))
            .collect();
        eventually("the end of every transaction", Duration::from_secs(30), async || {
            let stable = self.outside.list_offsets(&asked, ReadCommitted).await.expect("the leaders answer");
            let all = self.outside.list_offsets(&asked, Default::default()).await.expect("the leaders answer");
            (stable.iter().map(|end| end.offset).eq(all.iter().map(|end| end.offset))).then_some(())
        })
        .await;
    }

    fn inject(&self, api: ApiKey, nth: u32, action: Action) {
        self.proxy.inject(Rule { api_key: api as i16, nth, action });
    }
}

/// Appends `values`, one partition after the other.
fn append<V: AsRef<[u8]>>(producer: &mut ExclusiveProducer, topic: TopicHandle, values: &[V]) {
    for (value, partition) in values.iter().zip((0..3).cycle()) {
        let (key, value) = (Some(&b"key"[..]), Some(value.as_ref()));
        producer
            .append(
                topic,
                PartitionId(partition),
                NewRecord { timestamp: TimestampMs(1), key, value, ..NewRecord::default() },
            )
            .expect("the buffer has room");
    }
}

async fn output_and_offsets_appear_together(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let (mut producer, topic) = fixture.open().await;
    producer.begin().expect("nothing is open");
    append(&mut producer, topic, &["a", "b", "c", "d"]);
    producer.flush().await.expect("everything is acknowledged");
    assert_eq!(producer.last_offset(topic, PartitionId(0)), Some(Offset(1)));
    assert_eq!(fixture.visible(0).await, [""; 0], "not committed yet");
    assert_eq!(fixture.committed_offset().await, None);
    fixture.commit(&mut producer, 7).await.expect("committed");
    assert_eq!(fixture.committed_offset().await, Some(Offset(7)));
    assert_eq!(fixture.visible(4).await, ["a", "b", "c", "d"]);
}

async fn aborted_output_never_appears(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let (mut producer, topic) = fixture.open().await;
    producer.begin().expect("nothing is open");
    append(&mut producer, topic, &["sent", "sent", "sent"]);
    producer.flush().await.expect("everything is acknowledged");
    append(&mut producer, topic, &["waiting", "waiting"]);
    producer.abort().await.expect("aborted");
    producer.begin().expect("nothing is open");
    append(&mut producer, topic, &["a", "b", "c"]);
    fixture.commit(&mut producer, 3).await.expect("committed");
    assert_eq!(fixture.visible(3).await, ["a", "b", "c"]);
    assert_eq!(fixture.committed_offset().await, Some(Offset(3)));
}

async fn offsets_alone_and_nothing_at_all_can_be_committed(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let (mut producer, topic) = fixture.open().await;
    assert_eq!(producer.commit(None).await, Err(CommitError::NotReady(NotReady::NotBegun)));
    producer.begin().expect("nothing is open");
    assert_eq!(producer.begin(), Err(TransactionError::NotReady(NotReady::AlreadyBegun)));
    producer.commit(None).await.expect("nothing to commit");
    producer.begin().expect("nothing is open");
    producer.abort().await.expect("nothing to abort");
    producer.begin().expect("nothing is open");
    fixture.commit(&mut producer, 5).await.expect("committed");
    assert_eq!(fixture.committed_offset().await, Some(Offset(5)));
    producer.begin().expect("nothing is open");
    append(&mut producer, topic, &["a"]);
    producer.commit(None).await.expect("committed");
    assert_eq!(fixture.visible(1).await, ["a"]);
}

async fn a_start_right_after_a_crash_ends_what_was_left_open(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    for round in 0..5 {
        let (mut producer, topic) = fixture.open().await;
        producer.begin().expect("nothing is open");
        append(&mut producer, topic, &[format!("kept {round}")]);
        fixture.commit(&mut producer, round).await.expect("committed");
        producer.begin().expect("nothing is open");
        append(&mut producer, topic, &["lost", "lost", "lost"]);
        producer.flush().await.expect("everything is acknowledged");
        // The producer is dropped with its transaction open, as when a process is killed.
    }
    let (producer, _) = fixture.open().await;
    fixture.settle().await;
    assert_eq!(fixture.visible(5).await, ["kept 0", "kept 1", "kept 2", "kept 3", "kept 4"]);
    producer.close().await.expect("nothing is open");
}

async fn the_older_of_two_producers_with_one_id_is_fenced(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let (mut older, topic) = fixture.open().await;
    older.begin().expect("nothing is open");
    append(&mut older, topic, &["zombie"]);
    older.flush().await.expect("everything is acknowledged");
    let (mut newer, topic_of_newer) = fixture.open().await;
    newer.begin().expect("nothing is open");
    append(&mut newer, topic_of_newer, &["a"]);
    fixture.commit(&mut newer, 1).await.expect("committed");

    append(&mut older, topic, &["zombie"]);
    let refused = fixture.commit(&mut older, 9).await;
    assert!(matches!(refused, Err(CommitError::Fenced(_))), "{refused:?}");
    assert!(matches!(older.begin(), Err(TransactionError::Fenced(_))));
    assert!(matches!(older.recover().await, Err(TransactionError::Fenced(_))));

    newer.begin().expect("nothing is open");
    append(&mut newer, topic_of_newer, &["b"]);
    fixture.commit(&mut newer, 2).await.expect("the zombie does not disturb the newer one");
    assert_eq!(fixture.visible(2).await, ["a", "b"]);
    assert_eq!(fixture.committed_offset().await, Some(Offset(2)));
}

async fn a_transaction_that_is_open_too_long_is_aborted_and_says_so(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let config = ProducerConfig { transaction_timeout: Duration::from_secs(3), ..fixture.config() };
    let (mut producer, topic) = fixture.open_with(config).await;
    producer.begin().expect("nothing is open");
    append(&mut producer, topic, &["late"]);
    producer.flush().await.expect("everything is acknowledged");
    fixture.settle().await;
    append(&mut producer, topic, &["later"]);
    let refused = fixture.commit(&mut producer, 9).await;
    assert!(matches!(refused, Err(CommitError::Fenced(_))), "{refused:?}");
    let (mut producer, topic) = fixture.open().await;
    producer.begin().expect("nothing is open");
    append(&mut producer, topic, &["a"]);
    fixture.commit(&mut producer, 1).await.expect("committed");
    assert_eq!(fixture.visible(1).await, ["a"]);
}

async fn a_member_of_an_older_generation_cannot_commit(broker: TestBroker) {
    let mut fixture = Fixture::new(broker).await;
    let topics = vec![fixture.input.as_str().into()];
    let config = GroupConfig::new(fixture.group.group_id.clone(), topics);
    let mut member = GroupMember::join(fixture.client.clone(), config);
    let event = within("an assignment", Duration::from_secs(30), member.next_event()).await;
    assert!(matches!(event, GroupEvent::Assigned { .. }), "{event:?}");
    let current = member.group_metadata();
    let (mut producer, topic) = fixture.open().await;

    let older = GroupMetadata { generation: current.generation - 1, ..current.clone() };
    let unknown = GroupMetadata { member_id: "nobody".into(), ..current.clone() };
    for (stale, code) in [(older, ErrorCode::ILLEGAL_GENERATION), (unknown, ErrorCode::UNKNOWN_MEMBER_ID)] {
        producer.begin().expect("nothing is open");
        append(&mut producer, topic, &["never"]);
        fixture.group = stale;
        assert_eq!(fixture.commit(&mut producer, 9).await, Err(CommitError::GroupChanged(code)));
        producer.abort().await.expect("aborted");
    }
    fixture.group = current;
    assert_eq!(fixture.committed_offset().await, None);
    producer.begin().expect("nothing is open");
    append(&mut producer, topic, &["a"]);
    fixture.commit(&mut producer, 4).await.expect("the member is of this generation");
    assert_eq!(fixture.committed_offset().await, Some(Offset(4)));
    assert_eq!(fixture.visible(1).await, ["a"]);
    member.leave().await;
}

async fn fencing_ends_the_transaction_of_a_dead_instance(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let (mut producer, topic) = fixture.open().await;
    producer.begin().expect("nothing is open");
    append(&mut producer, topic, &["lost", "lost", "lost"]);
    producer.flush().await.expect("everything is acknowledged");
    within("the abort", Duration::from_secs(20), fence(&fixture.client, &fixture.id)).await.expect("fenced");
    fixture.settle().await;
    let refused = fixture.commit(&mut producer, 9).await;
    assert!(matches!(refused, Err(CommitError::Fenced(_))), "{refused:?}");
    assert_eq!(fixture.visible(0).await, [""; 0]);
}

async fn a_batch_that_is_refused_spoils_its_transaction_only(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let (mut producer, topic) = fixture.open().await;
    for _ in 0..2 {
        producer.begin().expect("nothing is open");
        append(&mut producer, topic, &["never", "never", "never"]);
        // The value exceeds max.message.bytes, which is 1 MiB.
        append(&mut producer, topic, &[vec![b'x'; 2_000_000]]);
        append(&mut producer, topic, &["never", "never", "never"]);
        let error = producer.flush().await.expect_err("the batch is too large");
        let FlushError::Delivery { first, .. } = error else { panic!("{error:?}") };
        assert!(first.is_too_large(), "{first:?}");
        assert_eq!(first.partition, TopicPartition::new(fixture.topic.as_str(), PartitionId(0)));
        assert!(first.batch_bytes > 2_000_000 && !first.possibly_written, "{first:?}");
        let refused = fixture.commit(&mut producer, 9).await;
        assert_eq!(refused, Err(CommitError::Abortable(TransactionCause::Delivery(first))));
        assert_eq!(producer.begin(), Err(TransactionError::NotReady(NotReady::NeedsAbort)));
        producer.abort().await.expect("aborted");
        producer.begin().expect("nothing is open");
        append(&mut producer, topic, &["a", "a", "a"]);
        fixture.commit(&mut producer, 1).await.expect("the next one is not spoiled");
    }
    fixture.settle().await;
    assert_eq!(fixture.visible(6).await, ["a"; 6]);
}

async fn many_transactions_in_a_row_are_all_or_nothing_to_a_live_reader(broker: TestBroker) {
    const TRANSACTIONS: usize = 120;
    let fixture = Fixture::new(broker).await;
    let live = Tail::start(&fixture.client, &fixture.topic, ReadCommitted).await;
    let (mut producer, topic) = fixture.open().await;
    let mut expected = 0;
    for number in 0..TRANSACTIONS {
        let count = 1 + number % 9;
        let values: Vec<String> = (0..count).map(|index| format!("{number} {index} {count}")).collect();
        producer.begin().expect("nothing is open");
        append(&mut producer, topic, &values);
        if number % 7 == 3 {
            producer.flush().await.expect("everything is acknowledged");
            producer.abort().await.expect("aborted");
        } else {
            fixture.commit(&mut producer, i64::try_from(number).expect("small")).await.expect("committed");
            expected += count;
        }
    }
    let seen = AtomicUsize::new(0);
    eventually("every committed record", Duration::from_secs(30), async || {
        seen.store(live.look(<[_]>::len), Ordering::Relaxed);
        (seen.load(Ordering::Relaxed) >= expected).then_some(())
    })
    .await;
    fixture.settle().await;
    live.look(|arrived| {
        assert_eq!(arrived.len(), expected, "nothing twice, nothing aborted");
        for arrival in arrived {
            let number: usize = arrival.record.text().1.split(' ').next().expect("a number").parse().expect("a number");
            assert_ne!(number % 7, 3, "an aborted record was seen");
        }
    });
    let last = i64::try_from(TRANSACTIONS - 1).expect("small");
    assert_eq!(fixture.committed_offset().await, Some(Offset(last)));
}

async fn a_commit_that_nobody_waited_for_can_be_recovered(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let (mut producer, topic) = fixture.open().await;
    let mut expected = 0;
    for round in 0..12_u64 {
        producer.begin().expect("nothing is open");
        append(&mut producer, topic, &[format!("{round}"), format!("{round}")]);
        // The future is dropped at some moment between the first request and the last response.
        let commit = fixture.commit(&mut producer, 1);
        let outcome = tokio::time::timeout(Duration::from_micros(round * 700), commit).await;
        if let Ok(committed) = outcome {
            committed.expect("committed");
            expected += 2;
            continue;
        }
        match within("the recovery", Duration::from_secs(30), producer.recover()).await.expect("recovered") {
            Recovered::Committed => expected += 2,
            Recovered::Aborted => {}
        }
    }
    fixture.settle().await;
    assert_eq!(fixture.visible(expected).await.len(), expected);
}

/// Repeats `recover` until the coordinator can be reached.
async fn recover(producer: &mut ExclusiveProducer) -> Recovered {
    let asking = async {
        loop {
            match producer.recover().await {
                Ok(recovered) => return recovered,
                Err(TransactionError::TimedOut(_)) => {}
                Err(error) => panic!("not recovered: {error}"),
            }
        }
    };
    within("a settled outcome", Duration::from_secs(30), asking).await
}

/// The requests of one transaction at this version.
fn requests(fixture: &Fixture) -> Vec<ApiKey> {
    let mut requests = vec![ApiKey::InitProducerId, ApiKey::AddPartitionsToTxn, ApiKey::Produce];
    requests.extend([ApiKey::TxnOffsetCommit, ApiKey::EndTxn]);
    if fixture.broker.kind().transaction_version() == 1 {
        requests.push(ApiKey::AddOffsetsToTxn);
    }
    requests
}

/// Runs one transaction after the other, each with a fault in one of its requests; each must be committed all the same.
async fn commit_through(fixture: &Fixture, action: Action) {
    let mut expected = fixture.visible(0).await;
    for (api, offset) in requests(fixture).into_iter().zip(1..) {
        fixture.inject(api, 1, action);
        let (mut producer, topic) = fixture.open().await;
        for half in ["first", "second"] {
            let value = format!("{} {half}", api.name());
            producer.begin().expect("nothing is open");
            append(&mut producer, topic, &[&value, &value, &value, &value]);
            fixture.commit(&mut producer, offset).await.unwrap_or_else(|error| panic!("{}: {error}", api.name()));
            expected.extend(std::iter::repeat_n(value, 4));
        }
        assert_eq!(fixture.committed_offset().await, Some(Offset(offset)), "{}", api.name());
    }
    expected.sort();
    fixture.settle().await;
    assert_eq!(fixture.visible(expected.len()).await, expected);
    assert!(fixture.proxy.is_spent());
}

async fn a_lost_answer_of_any_request_changes_nothing(broker: TestBroker) {
    commit_through(&Fixture::new(broker).await, Action::ApplyThenDisconnect).await;
}

async fn a_passing_error_of_any_request_changes_nothing(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    // COORDINATOR_LOAD_IN_PROGRESS, which leaders pass on under version 2.
    commit_through(&fixture, Action::Error(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS.0)).await;
    commit_through(&fixture, Action::Error(ErrorCode::REQUEST_TIMED_OUT.0)).await;
}

async fn a_commit_whose_every_answer_is_lost_turns_out_to_be_committed(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let config = ProducerConfig { end_timeout: Duration::from_secs(5), ..fixture.config() };
    let (mut producer, topic) = fixture.open_with(config).await;
    producer.begin().expect("nothing is open");
    append(&mut producer, topic, &["a", "b"]);
    // More than a commit asks in that time: its pauses double up to a second.
    for _ in 0..15 {
        fixture.inject(ApiKey::EndTxn, 1, Action::ApplyThenDisconnect);
    }
    let outcome = fixture.commit(&mut producer, 3).await;
    assert!(matches!(outcome, Err(CommitError::Unknown(_))), "{outcome:?}");
    assert_eq!(producer.begin(), Err(TransactionError::NotReady(NotReady::NeedsRecover)));
    assert_eq!(recover(&mut producer).await, Recovered::Committed);
    producer.begin().expect("recovered");
    append(&mut producer, topic, &["c"]);
    fixture.commit(&mut producer, 4).await.expect("committed");
    assert_eq!(fixture.visible(3).await, ["a", "b", "c"]);
}

async fn a_commit_that_never_arrives_turns_out_to_be_aborted(broker: TestBroker) {
    let mut config = client_config(broker.bootstrap());
    config.request_timeout = Duration::from_secs(2);
    let fixture = Fixture::with_client(broker, config).await;
    let config = ProducerConfig { end_timeout: Duration::from_secs(4), ..fixture.config() };
    let (mut producer, topic) = fixture.open_with(config).await;
    producer.begin().expect("nothing is open");
    append(&mut producer, topic, &["never", "never"]);
    // As many as it sends in that time. On a busy machine one may be left for the next commit, which has the time.
    for _ in 0..2 {
        fixture.inject(ApiKey::EndTxn, 1, Action::DropRequest);
    }
    let outcome = fixture.commit(&mut producer, 3).await;
    assert!(matches!(outcome, Err(CommitError::Unknown(_))), "{outcome:?}");
    assert_eq!(recover(&mut producer).await, Recovered::Aborted);
    assert_eq!(fixture.committed_offset().await, None);
    producer.begin().expect("recovered");
    append(&mut producer, topic, &["a"]);
    fixture.commit(&mut producer, 4).await.expect("committed");
    assert_eq!(fixture.visible(1).await, ["a"]);
}

async fn an_unexplained_error_is_not_taken_for_a_commit(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let (mut producer, topic) = fixture.open().await;
    producer.begin().expect("nothing is open");
    append(&mut producer, topic, &["never"]);
    fixture.inject(ApiKey::EndTxn, 1, Action::Error(ErrorCode::UNKNOWN_SERVER_ERROR.0));
    let outcome = fixture.commit(&mut producer, 3).await;
    assert!(matches!(outcome, Err(CommitError::Unknown(_))), "{outcome:?}");
    assert_eq!(producer.recover().await, Ok(Recovered::Aborted));
    assert_eq!(fixture.visible(0).await, [""; 0]);
}

/// Commits a transaction whose first request of this kind is on its way for so long that it is sent again. It arrives
/// when the next transaction is open, which is aborted.
async fn arrive_late(mut broker: TestBroker, api: ApiKey) {
    for _ in 0..ATTEMPTS {
        let Some(again) = attempt_to_arrive_late(broker, api).await else { return };
        broker = again;
    }
    panic!("each commit took longer than its first request was on its way");
}

/// On a busy machine, the request may arrive before the commit is over, which shows nothing: the broker is returned.
async fn attempt_to_arrive_late(broker: TestBroker, api: ApiKey) -> Option<TestBroker> {
    const ON_THE_WAY: Duration = Duration::from_secs(3);
    let mut config = client_config(broker.bootstrap());
    config.request_timeout = Duration::from_millis(700);
    let fixture = Fixture::with_client(broker, config).await;
    let (mut producer, topic) = fixture.open().await;
    producer.begin().expect("nothing is open");
    let sent = Instant::now();
    // Before the records, which may be sent at once.
    fixture.inject(api, 1, Action::Delay(ON_THE_WAY));
    append(&mut producer, topic, &["a", "b"]);
    fixture.commit(&mut producer, 3).await.expect("the second request is answered");
    if sent.elapsed() >= ON_THE_WAY {
        return Some(fixture.broker);
    }
    producer.begin().expect("the last one is committed");
    append(&mut producer, topic, &["never", "never"]);
    within("acknowledgements", Duration::from_secs(20), producer.flush()).await.expect("written, and not committed");
    tokio::time::sleep_until(sent + ON_THE_WAY + Duration::from_millis(500)).await;
    let _ = within("the abort", Duration::from_secs(20), producer.abort()).await;
    fixture.settle().await;
    assert_eq!(fixture.visible(2).await, ["a", "b"]);
    assert_eq!(fixture.committed_offset().await, Some(Offset(3)));
    None
}

const ATTEMPTS: usize = 3;

/// Source: KAFKA-17754.
async fn a_commit_that_arrives_late_ends_no_later_transaction(broker: TestBroker) {
    arrive_late(broker, ApiKey::EndTxn).await;
}

async fn a_write_that_arrives_late_is_in_no_later_transaction(broker: TestBroker) {
    arrive_late(broker, ApiKey::Produce).await;
}
