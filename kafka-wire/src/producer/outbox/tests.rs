use super::*;
use crate::producer::accumulator::{Accumulator, NewRecord};
use crate::protocol::ErrorCode;
use crate::protocol::metadata::{MetadataResponse, MetadataResponsePartition, MetadataResponseTopic};
use crate::protocol::produce::{LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse};
use crate::record::RawHeaders;
use crate::types::{PartitionId, ProducerEpoch, ProducerId, TimestampMs};

fn released_bytes(settled: &Settled) -> usize {
    settled.batches.iter().map(|batch| batch.released_bytes).sum()
}

const NOW: Moment = Moment::from_millis(5);
const PAUSES: Pauses = Pauses { min: Duration::from_millis(10), max: Duration::from_millis(80) };
const IDENTITY: ProducerIdentity = ProducerIdentity { id: ProducerId(1), epoch: ProducerEpoch(0) };

/// An outbox for topic "t", whose partitions are led by brokers in the order of `leaders` (-1 for none).
struct Script {
    outbox: Outbox,
    accumulator: Accumulator,
}

impl Script {
    fn new(leaders: &[i32]) -> Self {
        Self::with(ProducerConfig::default(), leaders)
    }

    fn with(config: ProducerConfig, leaders: &[i32]) -> Self {
        let mut accumulator = Accumulator::new(&config);
        accumulator.add_topic(&Str::from("t"), i32::try_from(leaders.len()).unwrap());
        let mut outbox = Outbox::new(&config, Duration::from_secs(30), PAUSES);
        for slot in accumulator.slots() {
            outbox.add_partition(accumulator.topic_partition(*slot), &cluster(leaders));
        }
        Self { outbox, accumulator }
    }

    /// Pushes one batch of one record with `bytes` of value for each of `partitions`.
    fn push(&mut self, partitions: &[i32], bytes: usize) {
        let topic = self.accumulator.topic("t").unwrap();
        let value = vec![0; bytes];
        for partition in partitions {
            let record =
                NewRecord { timestamp: TimestampMs(1), key: None, value: Some(&value), headers: RawHeaders::EMPTY };
            self.accumulator.append(topic, PartitionId(*partition), record).unwrap();
            self.accumulator.close_all();
            for batch in self.accumulator.take_closed() {
                self.outbox.push(NOW, batch);
            }
        }
    }

    fn poll(&mut self) -> Option<Produce> {
        self.poll_at(NOW)
    }

    fn poll_at(&mut self, now: Moment) -> Option<Produce> {
        self.outbox.poll(now, IDENTITY, |_| true)
    }

    /// Answers with one code for each of `partitions`, at offset 0.
    fn answer(&mut self, produce: &Produce, codes: &[(i32, ErrorCode)]) {
        let partition_responses = codes
            .iter()
            .map(|(index, code)| PartitionProduceResponse {
                index: *index,
                error_code: code.0,
                ..PartitionProduceResponse::default()
            })
            .collect();
        let responses =
            vec![TopicProduceResponse { name: Str::from("t"), partition_responses, ..TopicProduceResponse::default() }];
        let response = ProduceResponse { responses, ..ProduceResponse::default() };
        self.outbox.handle(NOW, produce.id, Produced::Answered(response));
    }

    /// Gives every partition one acknowledged batch, so that the brokers remember the producer.
    fn acquaint(&mut self, partitions: &[i32]) {
        self.push(partitions, 1);
        while let Some(produce) = self.poll() {
            let answers: Vec<_> = indices(&produce).into_iter().map(|index| (index, ErrorCode::NONE)).collect();
            self.answer(&produce, &answers);
        }
        self.outbox.take_settled();
    }
}

fn cluster(leaders: &[i32]) -> Cluster {
    let partitions = (0..)
        .zip(leaders)
        .map(|(partition_index, leader)| MetadataResponsePartition {
            partition_index,
            leader_id: *leader,
            leader_epoch: 1,
            ..MetadataResponsePartition::default()
        })
        .collect();
    let topic = MetadataResponseTopic { name: Some(Str::from("t")), partitions, ..MetadataResponseTopic::default() };
    let mut cluster = Cluster::default();
    cluster.merge(&MetadataResponse { topics: vec![topic], ..MetadataResponse::default() });
    cluster
}

fn indices(produce: &Produce) -> Vec<i32> {
    let mut indices: Vec<i32> = produce
        .request
        .topic_data
        .iter()
        .flat_map(|topic| topic.partition_data.iter().map(|partition| partition.index))
        .collect();
    indices.sort_unstable();
    indices
}

#[test]
fn partitions_of_one_leader_share_a_request() {
    let mut script = Script::new(&[1, 2, 1, 2]);
    script.push(&[0, 1, 2, 3, 0], 10);
    let first = script.poll().unwrap();
    let second = script.poll().unwrap();
    assert_eq!((first.broker, indices(&first)), (BrokerId(1), vec![0, 2]));
    assert_eq!((second.broker, indices(&second)), (BrokerId(2), vec![1, 3]));
    assert_eq!((first.request.acks, first.request.timeout_ms), (-1, 30_000));
    assert!(script.poll().is_none(), "the second batch of partition 0 waits for the first");
    script.answer(&first, &[(0, ErrorCode::NONE), (2, ErrorCode::NONE)]);
    assert_eq!(indices(&script.poll().unwrap()), [0]);
}

#[test]
fn partitions_beyond_the_request_limit_take_turns() {
    let config = ProducerConfig { request_limit_bytes: 500, ..ProducerConfig::default() };
    let mut script = Script::with(config, &[1, 1, 1]);
    script.acquaint(&[0, 1, 2]);
    for _ in 0..3 {
        script.push(&[0, 1, 2], 100);
    }
    let turns: Vec<_> = std::iter::from_fn(|| script.poll()).map(|produce| indices(&produce)).collect();
    assert_eq!(turns.concat().iter().filter(|index| **index == 2).count(), 3, "{turns:?}");
    assert!(turns.iter().all(|turn| turn.len() == 2 || turn.len() == 1), "{turns:?}");
    assert!(turns.len() <= REQUESTS_MAX);
}

#[test]
fn a_broker_has_at_most_five_requests_at_once() {
    let mut script = Script::new(&[1]);
    script.acquaint(&[0]);
    for _ in 0..8 {
        script.push(&[0], 10);
    }
    let sent: Vec<_> = std::iter::from_fn(|| script.poll()).collect();
    assert_eq!(sent.len(), REQUESTS_MAX);
    script.answer(&sent[0], &[(0, ErrorCode::NONE)]);
    assert!(script.poll().is_some());
    assert!(script.poll().is_none());
}

#[test]
fn one_request_in_flight_keeps_the_order_without_idempotence() {
    let config = ProducerConfig { acks: Acks::Leader, in_flight_max: 1, ..ProducerConfig::default() };
    let mut script = Script::with(config, &[1, 1]);
    let poll = |script: &mut Script, now| script.outbox.poll(now, ProducerIdentity::NONE, |_| true);
    script.push(&[0], 10);
    script.push(&[0], 20);
    let first = poll(&mut script, NOW).unwrap();
    script.push(&[1], 10);
    assert_eq!(poll(&mut script, NOW), None, "the broker has one");
    script.outbox.handle(NOW, first.id, Produced::Unanswered);
    script.outbox.handle_metadata(&cluster(&[1, -1]));
    let again = poll(&mut script, NOW + PAUSES.max * 2).unwrap();
    assert_eq!(again.request, first.request);
    assert_eq!(poll(&mut script, NOW + PAUSES.max * 2), None);
    script.answer(&again, &[(0, ErrorCode::NONE)]);
    assert_ne!(poll(&mut script, NOW + PAUSES.max * 2).unwrap().request, first.request);
}

#[test]
fn a_broker_without_a_place_for_a_request_wants_no_batch() {
    let mut script = Script::new(&[1, 1, 2]);
    script.acquaint(&[0, 1, 2]);
    let slots = script.accumulator.slots().to_vec();
    for _ in 0..REQUESTS_MAX {
        script.push(&[0], 10);
    }
    let sent: Vec<_> = std::iter::from_fn(|| script.poll()).collect();
    let wanted = |script: &Script| slots.iter().map(|slot| script.outbox.wants(NOW, *slot)).collect::<Vec<_>>();
    assert_eq!(wanted(&script), [false, false, true]);
    script.answer(&sent[0], &[(0, ErrorCode::NONE)]);
    assert_eq!(wanted(&script), [true, true, true]);
}

#[test]
fn answers_are_found_in_any_order() {
    let mut script = Script::new(&[1; 5]);
    script.push(&[0, 1, 2, 3, 4], 10);
    let produce = script.poll().unwrap();
    let refused = ErrorCode::INVALID_RECORD;
    let none = ErrorCode::NONE;
    script.answer(&produce, &[(4, none), (1, refused), (0, none), (3, none), (2, none)]);
    let settled = script.outbox.take_settled();
    assert_eq!(settled.batches.iter().filter(|batch| batch.is_acknowledged).count(), 4);
    assert_eq!(settled.first_failure.unwrap().partition, TopicPartition::new("t", PartitionId(1)));
}

#[test]
fn a_partition_without_a_leader_waits_and_its_topic_is_asked_for() {
    let mut script = Script::new(&[-1]);
    script.push(&[0], 10);
    assert!(script.poll().is_none());
    assert_eq!(script.outbox.take_stale(), ["t"]);
    assert!(!script.outbox.has_stale());
    script.outbox.handle_metadata(&cluster(&[3]));
    assert_eq!(script.poll().unwrap().broker, BrokerId(3));
}

#[test]
fn a_partition_follows_its_leader_with_the_same_bytes() {
    let mut script = Script::new(&[1]);
    script.push(&[0], 10);
    let first = script.poll().unwrap();
    script.answer(&first, &[(0, ErrorCode::NOT_LEADER_OR_FOLLOWER)]);
    assert_eq!(script.outbox.take_stale(), ["t"]);
    script.outbox.handle_metadata(&cluster(&[2]));
    assert!(script.poll().is_none(), "it pauses");
    let later = script.outbox.next_timeout(NOW).unwrap();
    assert_eq!(later, NOW + PAUSES.min);
    let again = script.poll_at(later).unwrap();
    assert_eq!((again.broker, &again.request), (BrokerId(2), &first.request));
}

#[test]
fn a_batch_that_a_deposed_leader_is_late_to_refuse_is_not_written_again() {
    let mut script = Script::new(&[1]);
    script.acquaint(&[0]);
    script.push(&[0], 10);
    let late = script.poll().unwrap();
    // It is replicated by then. The next leader takes more batches behind it than it recognises.
    script.outbox.handle_metadata(&cluster(&[2]));
    script.push(&[0; 6], 10);
    while let Some(produce) = script.poll() {
        assert_eq!(produce.broker, BrokerId(2));
        script.answer(&produce, &[(0, ErrorCode::NONE)]);
    }
    assert_eq!(script.outbox.take_settled().batches.len(), 6);
    script.answer(&late, &[(0, ErrorCode::NOT_LEADER_OR_FOLLOWER)]);
    let later = script.outbox.next_timeout(NOW).unwrap();
    let again = script.poll_at(later).unwrap();
    assert_eq!((again.broker, &again.request), (BrokerId(2), &late.request));
    script.answer(&again, &[(0, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER)]);
    assert_eq!(script.outbox.needs_epoch(IDENTITY), NeedsEpoch::No);
    let settled = script.outbox.take_settled();
    assert_eq!((settled.batches.len(), settled.first_failure), (1, None));
    assert!(settled.batches[0].is_acknowledged && script.outbox.is_drained());
}

#[test]
fn a_leader_that_the_answer_names_is_asked_at_once_but_only_once() {
    let mut script = Script::new(&[1]);
    script.push(&[0], 10);
    let first = script.poll().unwrap();
    let refused = PartitionProduceResponse {
        error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER.0,
        current_leader: LeaderIdAndEpoch { leader_id: 2, leader_epoch: 2 },
        ..PartitionProduceResponse::default()
    };
    let topic = TopicProduceResponse {
        name: Str::from("t"),
        partition_responses: vec![refused],
        ..TopicProduceResponse::default()
    };
    let endpoint = NodeEndpoint { node_id: 2, host: Str::from("b"), port: 9, ..NodeEndpoint::default() };
    let response =
        ProduceResponse { responses: vec![topic], node_endpoints: vec![endpoint], ..ProduceResponse::default() };
    let (hints, brokers) = Outbox::named_leaders(&response);
    let partition = TopicPartition::new("t", PartitionId(0));
    assert_eq!(hints, [LeaderHint { partition, leader: BrokerId(2), epoch: LeaderEpoch(2) }]);
    assert_eq!((brokers[0].id, brokers[0].port), (BrokerId(2), 9));
    script.outbox.handle_metadata(&cluster(&[2]));
    script.outbox.handle(NOW, first.id, Produced::Answered(response.clone()));
    assert!(!script.outbox.has_stale());
    let again = script.poll().expect("no pause");
    assert_eq!((again.broker, &again.request), (BrokerId(2), &first.request));
    // Brokers that disagree are not asked in a hot loop.
    script.outbox.handle(NOW, again.id, Produced::Answered(response));
    assert!(script.poll().is_none());
    assert_eq!(script.outbox.take_stale(), ["t"]);
}

#[test]
fn pauses_grow_with_failures_and_end_with_a_success() {
    let mut script = Script::new(&[1]);
    script.push(&[0, 0], 10);
    let mut now = NOW;
    for expected in [10, 20, 40, 80, 80] {
        let produce = script.outbox.poll(now, IDENTITY, |_| true).unwrap();
        script.outbox.handle(now, produce.id, Produced::NotSent);
        let next = script.outbox.next_timeout(now).unwrap();
        assert_eq!(next - now, Duration::from_millis(expected));
        now = next;
    }
    let produce = script.poll_at(now).unwrap();
    script.answer(&produce, &[(0, ErrorCode::NONE)]);
    let produce = script.poll_at(now).unwrap();
    script.outbox.handle(now, produce.id, Produced::NotSent);
    assert_eq!(script.outbox.next_timeout(now).unwrap() - now, Duration::from_millis(10));
}

#[test]
fn what_is_settled_is_told_once() {
    let mut script = Script::new(&[1, 1]);
    script.push(&[0, 1], 1_000);
    let produce = script.poll().unwrap();
    script.answer(&produce, &[(0, ErrorCode::NONE), (1, ErrorCode::MESSAGE_TOO_LARGE)]);
    let settled = script.outbox.take_settled();
    assert_eq!(settled.batches.iter().filter(|batch| batch.last_offset.is_some()).count(), 1);
    assert_eq!((settled.failed_records, released_bytes(&settled)), (1, 2 * 1_070));
    let failure = settled.first_failure.unwrap();
    assert!(failure.is_too_large());
    assert_eq!(failure.partition, TopicPartition::new("t", PartitionId(1)));
    assert_eq!((failure.record_count, failure.batch_bytes, failure.possibly_written), (1, 1_070, false));
    assert!(script.outbox.is_drained());
    assert_eq!(script.outbox.take_settled(), Settled::default());
}

#[test]
fn each_code_is_an_acknowledgement_a_retry_or_a_refusal() {
    let acknowledged = [ErrorCode::NONE, ErrorCode::DUPLICATE_SEQUENCE_NUMBER];
    let retried = [
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ErrorCode::NOT_ENOUGH_REPLICAS,
        ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        ErrorCode::REQUEST_TIMED_OUT,
        ErrorCode::CONCURRENT_TRANSACTIONS,
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode::CORRUPT_MESSAGE,
    ];
    let refused = [
        ErrorCode::MESSAGE_TOO_LARGE,
        ErrorCode::INVALID_RECORD,
        ErrorCode::TOPIC_AUTHORIZATION_FAILED,
        ErrorCode::INVALID_PRODUCER_EPOCH,
        ErrorCode::UNKNOWN_SERVER_ERROR,
        ErrorCode(32_000),
    ];
    for code in acknowledged.into_iter().chain(retried).chain(refused) {
        let mut script = Script::new(&[1]);
        script.push(&[0], 10);
        let produce = script.poll().unwrap();
        script.answer(&produce, &[(0, code)]);
        assert_eq!(script.outbox.is_drained(), !retried.contains(&code), "{code:?}");
        let failure = script.outbox.take_settled().first_failure.map(|failure| failure.cause);
        assert_eq!(failure, refused.contains(&code).then_some(DeliveryCause::Refused(code)), "{code:?}");
    }
}

#[test]
fn a_partition_that_the_answer_leaves_out_is_not_answered() {
    let mut script = Script::with(ProducerConfig { delivery_timeout: Duration::ZERO, ..Default::default() }, &[1]);
    script.push(&[0], 10);
    // Its time is over before it was sent, which is no fault of the broker.
    assert!(script.poll().is_none());
    assert!(!script.outbox.take_settled().first_failure.unwrap().possibly_written);

    let mut script = Script::new(&[1]);
    script.push(&[0], 10);
    let produce = script.poll().unwrap();
    script.answer(&produce, &[]);
    assert!(!script.outbox.is_drained());
    assert!(script.poll_at(NOW + Duration::from_secs(120)).is_none());
    assert!(script.outbox.take_settled().first_failure.unwrap().possibly_written);
}

/// Source: the answers of Kafka's `DelayedProduce` for batches that it has appended.
#[test]
fn codes_that_come_after_an_append_leave_a_batch_possibly_written() {
    let after = [
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode::KAFKA_STORAGE_ERROR,
        ErrorCode::REQUEST_TIMED_OUT,
        ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    ];
    let before = [ErrorCode::NOT_ENOUGH_REPLICAS, ErrorCode::CORRUPT_MESSAGE, ErrorCode::UNKNOWN_TOPIC_ID];
    for code in after.into_iter().chain(before) {
        let mut script = Script::new(&[1]);
        script.push(&[0], 10);
        let produce = script.poll().unwrap();
        script.answer(&produce, &[(0, code)]);
        assert!(script.poll_at(NOW + Duration::from_secs(120)).is_none());
        let failure = script.outbox.take_settled().first_failure.unwrap();
        assert_eq!(failure.cause, DeliveryCause::TimedOut(Some(code)));
        assert_eq!(failure.possibly_written, after.contains(&code), "{code:?}");
    }
}

#[test]
fn giving_up_tells_whether_a_sequence_was_skipped() {
    let mut script = Script::with(ProducerConfig::transactional("id"), &[1, 1]);
    script.push(&[0, 0], 10);
    assert!(!script.outbox.give_up(), "nothing was sent");
    assert!(script.outbox.is_drained());
    script.push(&[0], 10);
    let produce = script.poll().unwrap();
    assert!(!script.outbox.give_up(), "it is still in flight");
    assert!(!script.outbox.is_drained());
    script.answer(&produce, &[(0, ErrorCode::NOT_LEADER_OR_FOLLOWER)]);
    assert!(script.outbox.give_up());
    assert!(script.outbox.is_drained());
}

#[test]
fn only_partitions_that_may_send_are_sent() {
    let mut script = Script::new(&[1, 1]);
    script.push(&[0, 1], 10);
    let closed = script.accumulator.slots()[0];
    let produce = script.outbox.poll(NOW, IDENTITY, |slot| slot != closed).unwrap();
    assert_eq!(indices(&produce), [1]);
}

#[test]
fn a_gap_asks_for_an_epoch_that_the_partition_has_not_had() {
    let mut script = Script::new(&[1]);
    script.push(&[0], 10);
    let produce = script.poll().unwrap();
    script.answer(&produce, &[(0, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER)]);
    assert_eq!(script.outbox.needs_epoch(IDENTITY), NeedsEpoch::Higher);
    let raised = ProducerIdentity { epoch: ProducerEpoch(1), ..IDENTITY };
    assert_eq!(script.outbox.needs_epoch(raised), NeedsEpoch::This);
    script.outbox.restart(raised);
    assert_eq!(script.outbox.needs_epoch(raised), NeedsEpoch::No);
    assert!(script.outbox.poll(NOW, raised, |_| true).is_none(), "it pauses");
    let later = script.outbox.next_timeout(NOW).unwrap();
    assert!(script.outbox.poll(later, raised, |_| true).is_some());
}

/// Its records would otherwise stay in an open batch until somebody flushes.
#[test]
fn a_partition_without_batches_that_lacks_an_epoch_wants_the_next_one() {
    let mut script = Script::new(&[1]);
    script.push(&[0], 10);
    let produce = script.poll().unwrap();
    script.answer(&produce, &[(0, ErrorCode::INVALID_RECORD)]);
    let slot = script.accumulator.slots()[0];
    assert!(script.outbox.is_drained() && script.outbox.wants(NOW, slot));
    script.push(&[0], 10);
    assert_eq!(script.outbox.needs_epoch(IDENTITY), NeedsEpoch::Higher);
}

#[test]
fn a_batch_that_is_too_large_goes_out_in_halves_without_a_pause() {
    let mut script = Script::new(&[1]);
    script.acquaint(&[0]);
    let topic = script.accumulator.topic("t").unwrap();
    for _ in 0..4 {
        let record =
            NewRecord { timestamp: TimestampMs(1), key: None, value: Some(&[0; 100]), headers: RawHeaders::EMPTY };
        script.accumulator.append(topic, PartitionId(0), record).unwrap();
    }
    script.accumulator.close_all();
    let whole = script.accumulator.take_closed().pop().unwrap();
    let buffered_bytes = whole.builder.size_bytes();
    script.outbox.push(NOW, whole);
    let produce = script.poll().unwrap();
    script.answer(&produce, &[(0, ErrorCode::MESSAGE_TOO_LARGE)]);
    let halves: Vec<Produce> = std::iter::from_fn(|| script.poll()).collect();
    assert_eq!(halves.len(), 2);
    for half in &halves {
        script.answer(half, &[(0, ErrorCode::NONE)]);
    }
    let settled = script.outbox.take_settled();
    assert_eq!((settled.failed_records, released_bytes(&settled)), (0, buffered_bytes));
    assert_eq!(settled.split, Some((TopicPartition::new("t", PartitionId(0)), buffered_bytes)));
    assert!(script.outbox.is_drained());
}
