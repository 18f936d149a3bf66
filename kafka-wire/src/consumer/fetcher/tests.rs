//! Scripts against the leaders, in virtual time.

mod extra;
mod paused;
mod places;
mod session;
mod skipped;
mod truncation;

use bytes::Bytes;

use super::*;
use crate::compression::{Compression, Decompressed};
use crate::consumer::{Fetched, IsolationLevel, ResetPolicy, at_version};
use crate::protocol::ErrorCode;
use crate::protocol::fetch::{AbortedTransaction, FetchResponse, FetchableTopicResponse, PartitionData};
use crate::protocol::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::record::{BatchBuilder, ControlRecord, RawHeaders, RecordErrorCause, Seal, with_base_offset};
use crate::types::{PartitionId, ProducerEpoch, ProducerId};

const TOPIC_ID: Uuid = Uuid([7; 16]);

/// A topic `t` whose partitions are led by these brokers.
fn cluster(id: Uuid, leaders: &[i32]) -> Cluster {
    cluster_at(id, leaders, 3)
}

/// The same at an epoch of the leaders.
fn cluster_at(id: Uuid, leaders: &[i32], leader_epoch: i32) -> Cluster {
    let broker = |node_id| MetadataResponseBroker { node_id, host: Str::from("h"), port: 1, ..Default::default() };
    let partition = |(partition_index, &leader_id): (i32, &i32)| MetadataResponsePartition {
        partition_index,
        leader_id,
        leader_epoch,
        ..Default::default()
    };
    let topic = MetadataResponseTopic {
        name: Some(Str::from("t")),
        topic_id: id,
        partitions: (0..).zip(leaders).map(partition).collect(),
        ..Default::default()
    };
    let mut cluster = Cluster::default();
    cluster.merge(&MetadataResponse { brokers: vec![broker(1), broker(2)], topics: vec![topic], ..Default::default() });
    cluster
}

struct Script {
    fetcher: Fetcher,
    cluster: Cluster,
    now: Moment,
}

impl Script {
    fn new(config: ConsumerConfig) -> Self {
        Self { fetcher: Fetcher::new(config), cluster: cluster(TOPIC_ID, &[1, 1, 2]), now: Moment::from_millis(1) }
    }

    /// Reads partition 0 from `offset`.
    fn reading(config: ConsumerConfig, offset: i64) -> Self {
        let mut script = Self::new(config);
        script.fetcher.assign(tp(0), Offset(offset), LeaderEpoch(-1));
        script
    }

    fn poll(&mut self) -> Option<FetcherAction> {
        self.fetcher.poll(self.now, &self.cluster)
    }

    fn fetch(&mut self) -> (FetchRequest, Ticket) {
        match self.poll() {
            Some(FetcherAction::Fetch { request, ticket, .. }) => (request, ticket),
            other => panic!("{other:?} instead of a fetch"),
        }
    }

    fn answer(&mut self, ticket: Ticket, partitions: Vec<PartitionData>) {
        let topic = FetchableTopicResponse { topic_id: TOPIC_ID, partitions, ..Default::default() };
        let response = FetchResponse { responses: vec![topic], ..Default::default() };
        self.fetcher.handle_fetched(self.now, ticket, Ok((17, response)));
    }

    /// One fetch of partition 0 and its response.
    fn receive(&mut self, data: PartitionData) {
        let (_, ticket) = self.fetch();
        self.answer(ticket, vec![data]);
    }

    fn receive_error(&mut self, code: ErrorCode) {
        self.receive(PartitionData { error_code: code.0, ..Default::default() });
    }

    fn take(&mut self) -> Fetched {
        self.fetcher.take().expect("something was parked").expect("no error")
    }

    fn take_error(&mut self) -> ConsumeError {
        self.fetcher.take().expect("something was parked").expect_err("an error")
    }
}

fn tp(index: i32) -> TopicPartition {
    TopicPartition::new("t", PartitionId(index))
}

fn holding(records: Vec<Bytes>) -> PartitionData {
    let records = Bytes::from(records.concat());
    PartitionData { records: Some(records), high_watermark: 100, last_stable_offset: 90, ..Default::default() }
}

/// A batch of that many records, written by a producer, in a transaction or not.
fn batch_of(producer: i64, transactional: bool, base_offset: i64, count: usize) -> Bytes {
    let mut builder = BatchBuilder::new(256);
    for _ in 0..count {
        builder.append(0, None, Some(b"v"), RawHeaders::EMPTY).unwrap();
    }
    let seal = Seal {
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(0),
        base_sequence: 0,
        transactional,
        compression: Compression::None,
    };
    with_base_offset(&builder.seal(seal).unwrap(), base_offset, LeaderEpoch(3))
}

fn batch(base_offset: i64, count: usize) -> Bytes {
    batch_of(-1, false, base_offset, count)
}

fn marker(record: ControlRecord, producer: i64, offset: i64) -> Bytes {
    with_base_offset(&record.encode(0, ProducerId(producer), ProducerEpoch(0)).unwrap(), offset, LeaderEpoch(3))
}

fn abort(producer: i64, offset: i64) -> Bytes {
    marker(ControlRecord::Abort { coordinator_epoch: 0 }, producer, offset)
}

fn commit(producer: i64, offset: i64) -> Bytes {
    marker(ControlRecord::Commit { coordinator_epoch: 0 }, producer, offset)
}

fn damaged(batch: &Bytes) -> Bytes {
    let mut bytes = batch.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    Bytes::from(bytes)
}

/// First delivered and last offset of each batch.
fn delivered(fetched: &mut Fetched) -> Vec<(i64, i64)> {
    std::iter::from_fn(|| fetched.next_batch())
        .map(|batch| batch.expect("no batch is corrupt"))
        .map(|batch| (batch.position.0, batch.batch.header.last_offset()))
        .collect()
}

#[test]
fn a_fetch_names_position_epochs_and_limits() {
    let mut script = Script::reading(ConsumerConfig::default(), 5);
    let (request, ticket) = script.fetch();
    assert_eq!((request.session_id, request.session_epoch), (0, 0));
    assert_eq!((request.max_wait_ms, request.min_bytes, request.max_bytes), (500, 1, 16 << 20));
    assert_eq!((request.topics[0].topic_id, &*request.topics[0].topic), (TOPIC_ID, "t"));
    let asked = &request.topics[0].partitions[0];
    assert_eq!((asked.fetch_offset, asked.current_leader_epoch, asked.last_fetched_epoch), (5, 3, -1));
    assert_eq!(script.poll(), None, "one fetch per leader");
    script.answer(ticket, vec![holding(vec![batch(4, 3), batch(7, 2)])]);
    let (request, _) = script.fetch();
    let asked = &request.topics[0].partitions[0];
    assert_eq!(
        (asked.fetch_offset, asked.last_fetched_epoch),
        (9, 3),
        "the next one follows while the first is parked"
    );
    assert_eq!(script.fetcher.position(&tp(0)), Some(Offset(5)));
    let mut fetched = script.take();
    assert_eq!(delivered(&mut fetched), [(5, 6), (7, 8)]);
    assert_eq!((fetched.next_offset(), script.fetcher.position(&tp(0))), (Offset(9), Some(Offset(9))));
}

#[test]
fn topics_without_an_id_go_by_name() {
    let mut script = Script::reading(ConsumerConfig::default(), 0);
    script.cluster = cluster(Uuid::default(), &[1]);
    let Some(FetcherAction::Fetch { max_version, ticket, .. }) = script.poll() else { panic!("a fetch") };
    assert_eq!(max_version, Some(12));
    let topic = FetchableTopicResponse {
        topic: Str::from("t"),
        partitions: vec![holding(vec![batch(0, 1)])],
        ..Default::default()
    };
    let response = FetchResponse { responses: vec![topic], ..Default::default() };
    script.fetcher.handle_fetched(script.now, ticket, Ok((11, response)));
    assert_eq!(script.take().next_offset(), Offset(0));
    let (request, _) = script.fetch();
    assert_eq!(request.topics[0].partitions[0].last_fetched_epoch, -1, "version 11 has no place for it");
}

#[test]
fn leaders_are_asked_apart_and_those_served_longest_ago_first() {
    let mut script = Script::new(ConsumerConfig::default());
    for index in [0, 1, 2] {
        script.fetcher.assign(tp(index), Offset(0), LeaderEpoch(-1));
    }
    let (one, ticket) = script.fetch();
    let (two, _) = script.fetch();
    let indexes = |request: &FetchRequest| -> Vec<i32> {
        request.topics[0].partitions.iter().map(|partition| partition.partition).collect()
    };
    assert_eq!((indexes(&one), indexes(&two)), (vec![0, 1], vec![2]));
    script.answer(ticket, vec![holding(vec![batch(0, 1)])]);
    assert_eq!(indexes(&script.fetch().0), [1, 0]);
}

#[test]
fn a_partition_with_enough_parked_is_left_out_and_the_others_wait_briefly() {
    let config = ConsumerConfig { max_partition_bytes: 50, ..ConsumerConfig::default() };
    let mut script = Script::reading(config, 0);
    script.fetcher.assign(tp(1), Offset(0), LeaderEpoch(-1));
    let (_, ticket) = script.fetch();
    script.answer(ticket, vec![holding(vec![batch(0, 1)])]);
    let (request, ticket) = script.fetch();
    assert_eq!(request.topics[0].partitions.len(), 1);
    assert_eq!(request.max_wait_ms, 10);
    script.take();
    script.answer(ticket, vec![]);
    let (request, _) = script.fetch();
    assert_eq!((request.topics[0].partitions.len(), request.max_wait_ms), (2, 500));
}

#[test]
fn a_leader_rests_by_the_number_of_its_partitions_unless_it_has_a_backlog() {
    let pause_per_partition = Duration::from_millis(2);
    let mut script = Script::new(ConsumerConfig { pause_per_partition, ..ConsumerConfig::default() });
    script.fetcher.assign(tp(0), Offset(0), LeaderEpoch(-1));
    script.fetcher.assign(tp(1), Offset(0), LeaderEpoch(-1));
    script.receive(holding(vec![batch(0, 1)]));
    assert_eq!(script.poll(), None, "2 ms for each of two partitions");
    let next = script.now + 2 * pause_per_partition;
    assert_eq!(script.fetcher.next_timeout(script.now), Some(next));
    script.now = next;
    let mut builder = BatchBuilder::new(ConsumerConfig::LARGE_RESPONSE_BYTES);
    builder.append(0, None, Some(&vec![0; ConsumerConfig::LARGE_RESPONSE_BYTES]), RawHeaders::EMPTY).unwrap();
    let large = builder.seal(Seal { compression: Compression::None, ..Seal::default() }).unwrap();
    script.receive(holding(vec![with_base_offset(&large, 1, LeaderEpoch(3))]));
    let (request, _) = script.fetch();
    let offsets: Vec<_> =
        request.topics[0].partitions.iter().map(|asked| (asked.partition, asked.fetch_offset)).collect();
    assert_eq!(offsets, [(1, 0), (0, 2)], "at once, and who waits longest first");
}

#[test]
fn a_full_buffer_pauses_fetching_and_drops_nothing() {
    let config = ConsumerConfig { buffer_limit_bytes: 100, ..ConsumerConfig::default() };
    let mut script = Script::reading(config, 0);
    script.fetcher.assign(tp(2), Offset(0), LeaderEpoch(-1));
    let (request, ticket) = script.fetch();
    assert_eq!(request.max_bytes, 100);
    assert_eq!(script.fetch().0.max_bytes, 100, "the other leader does not wait for the response of this one");
    script.answer(ticket, vec![holding(vec![batch(0, 1), batch(1, 1)])]);
    assert!(script.fetcher.parked_bytes() > 100);
    assert_eq!(script.poll(), None);
    assert_eq!(delivered(&mut script.take()).len(), 2);
    assert_eq!(script.fetcher.parked_bytes(), 0);
    script.fetch();
}

#[test]
fn leaders_share_the_buffer_and_none_waits_for_the_responses_of_others() {
    let config = ConsumerConfig { buffer_limit_bytes: 16 << 20, ..ConsumerConfig::default() };
    let mut script = Script::reading(config, 0);
    let (first, ticket) = script.fetch();
    assert_eq!(first.max_bytes, 16 << 20, "one leader gets it all");
    script.fetcher.assign(tp(2), Offset(0), LeaderEpoch(-1));
    let (second, _) = script.fetch();
    assert_eq!((second.topics[0].partitions[0].partition, second.max_bytes), (2, 1 << 20), "all is promised already");
    assert_eq!(script.poll(), None);
    script.answer(ticket, Vec::new());
    assert_eq!(script.fetch().0.max_bytes, 8 << 20, "its share, although more is free");

    let mut script = Script::reading(config, 0);
    script.fetcher.assign(tp(2), Offset(0), LeaderEpoch(-1));
    assert_eq!([script.fetch(), script.fetch()].map(|(request, _)| request.max_bytes), [8 << 20; 2]);
}

#[test]
fn answers_of_an_earlier_assignment_are_dropped() {
    for change in ["seek", "unassign"] {
        let mut script = Script::reading(ConsumerConfig::default(), 0);
        let (_, ticket) = script.fetch();
        match change {
            "seek" => script.fetcher.assign(tp(0), Offset(40), LeaderEpoch(-1)),
            _ => assert!(script.fetcher.unassign(&tp(0))),
        }
        script.answer(ticket, vec![holding(vec![batch(0, 9)])]);
        assert!(script.fetcher.take().is_none(), "{change}");
        assert_eq!(script.fetcher.parked_bytes(), 0);
        if change == "seek" {
            assert_eq!(script.fetch().0.topics[0].partitions[0].fetch_offset, 40);
        }
    }
    // This data was parked before the change.
    let mut script = Script::reading(ConsumerConfig::default(), 0);
    script.receive(holding(vec![batch(0, 9)]));
    script.fetcher.assign(tp(0), Offset(0), LeaderEpoch(-1));
    assert!(script.fetcher.take().is_none());
    assert_eq!(script.fetcher.parked_bytes(), 0);
}

#[test]
fn no_error_moves_the_position_or_is_asked_for_in_a_hot_loop() {
    for code in (-1..150).map(ErrorCode).filter(|code| !code.is_none() && *code != ErrorCode::OFFSET_OUT_OF_RANGE) {
        let mut script = Script::reading(ConsumerConfig::default(), 5);
        let end = Moment::from_millis(10_000);
        let mut asked = 0;
        while script.now < end {
            match script.poll() {
                Some(FetcherAction::Fetch { ticket, request, .. }) => {
                    asked += 1;
                    assert_eq!(request.topics[0].partitions[0].fetch_offset, 5);
                    script.answer(ticket, vec![PartitionData { error_code: code.0, ..Default::default() }]);
                }
                Some(FetcherAction::Refresh(topics)) => {
                    assert_eq!(topics, ["t"]);
                    script.fetcher.handle_refreshed(script.now);
                }
                Some(action @ (FetcherAction::Lookup(_) | FetcherAction::Learn(_) | FetcherAction::Check { .. })) => {
                    panic!("{action:?}")
                }
                None => script.now = script.fetcher.next_timeout(script.now).unwrap_or(end),
            }
        }
        assert!(asked <= 20, "{}: {asked} fetches in 10 s", code.name());
        match script.fetcher.take() {
            None => {
                let are_passing = [ErrorCode::INCONSISTENT_TOPIC_ID, ErrorCode::UNKNOWN_SERVER_ERROR];
                assert!(code.is_retriable() || are_passing.contains(&code), "{}", code.name());
            }
            Some(Err(error)) => {
                assert_ne!(code, ErrorCode::UNKNOWN_SERVER_ERROR, "remote storage fails so, and comes back");
                let expected = ConsumeError::Refused { partition: tp(0), offset: Offset(5), code };
                assert_eq!(error, expected);
                assert_eq!(script.take_error(), expected, "it is said again");
            }
            Some(Ok(fetched)) => panic!("{fetched:?}"),
        }
        assert_eq!(script.fetcher.position(&tp(0)), Some(Offset(5)));
    }
}

#[test]
fn a_moved_leader_is_asked_after_the_refresh() {
    let mut script = Script::reading(ConsumerConfig::default(), 0);
    script.receive_error(ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(script.poll(), Some(FetcherAction::Refresh(vec![Str::from("t")])));
    script.cluster = cluster(TOPIC_ID, &[2]);
    script.fetcher.handle_refreshed(script.now);
    script.now = script.fetcher.next_timeout(script.now).unwrap();
    let Some(FetcherAction::Fetch { broker, .. }) = script.poll() else { panic!("a fetch") };
    assert_eq!(broker, BrokerId(2));
}

#[test]
fn a_new_leader_does_not_wait_for_the_pause_after_the_failures_of_the_old_one() {
    let mut script = Script::reading(ConsumerConfig::default(), 0);
    let fail = |script: &mut Script| {
        let (_, ticket) = script.fetch();
        script.fetcher.handle_fetched(script.now, ticket, Err(FetchFailure::Unreachable));
        assert!(matches!(script.poll(), Some(FetcherAction::Refresh(_))));
        script.fetcher.handle_refreshed(script.now);
    };
    for _ in 0..8 {
        fail(&mut script);
        assert_eq!(script.poll(), None, "the old leader is spared");
        script.now = script.now + Duration::from_secs(1);
    }
    fail(&mut script);
    script.cluster = cluster_at(TOPIC_ID, &[2], 4);
    let (_, ticket) = script.fetch();
    script.fetcher.handle_fetched(script.now, ticket, Err(FetchFailure::Unreachable));
    assert_eq!(script.poll(), None, "the new leader is spared like the old one");
}

#[test]
fn ends_are_of_a_fetch_that_did_not_fail_and_is_not_long_ago() {
    const AGE_MAX: Duration = Duration::from_secs(1);
    let mut script = Script::reading(ConsumerConfig::default(), 0);
    let ends = |script: &Script| script.fetcher.watermarks_within(&tp(0), script.now, AGE_MAX);
    assert_eq!(ends(&script), None);
    script.receive(holding(vec![batch(0, 1)]));
    assert_eq!(ends(&script), script.fetcher.watermarks(&tp(0)));
    script.now = script.now + AGE_MAX;
    assert!(ends(&script).is_some());
    script.now = script.now + Duration::from_millis(1);
    assert_eq!(ends(&script), None, "the leader has not answered since");
    // In a session, a response leaves out what has no news.
    let (_, ticket) = script.fetch();
    script.answer(ticket, vec![]);
    assert!(ends(&script).is_some());
    let (_, ticket) = script.fetch();
    script.fetcher.handle_fetched(script.now, ticket, Err(FetchFailure::Unreachable));
    assert_eq!(ends(&script), None, "the leader is gone");
    assert!(script.fetcher.watermarks(&tp(0)).is_some());
}

#[test]
fn a_leader_out_of_reach_is_tried_again_and_one_too_old_is_an_error() {
    let mut script = Script::reading(ConsumerConfig::default(), 0);
    let (_, ticket) = script.fetch();
    script.fetcher.handle_fetched(script.now, ticket, Err(FetchFailure::Unreachable));
    assert!(matches!(script.poll(), Some(FetcherAction::Refresh(_))));
    script.now = script.fetcher.next_timeout(script.now).unwrap();
    let (_, ticket) = script.fetch();
    let failure = FetchFailure::Unsupported("too old".to_owned());
    script.fetcher.handle_fetched(script.now, ticket, Err(failure));
    assert_eq!(script.take_error(), ConsumeError::Unsupported { partition: tp(0), detail: "too old".to_owned() });
}

#[test]
fn a_position_outside_of_the_log_follows_the_policy() {
    let mut script = Script::reading(ConsumerConfig::default(), 5);
    script.receive_error(ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(script.take_error(), ConsumeError::OffsetOutOfRange { partition: tp(0), offset: Offset(5) });

    let config = ConsumerConfig { reset: ResetPolicy::Earliest, ..ConsumerConfig::default() };
    let mut script = Script::reading(config, 5);
    script.receive_error(ErrorCode::OFFSET_OUT_OF_RANGE);
    let Some(FetcherAction::Lookup(lookup)) = script.poll() else { panic!("a look-up") };
    assert_eq!((&lookup.partitions, lookup.policy), (&vec![(tp(0), LeaderEpoch(3))], ResetPolicy::Earliest));
    script.fetcher.handle_lookup(script.now, &lookup, &[Looked::Refused(ErrorCode::LEADER_NOT_AVAILABLE)]);
    assert!(matches!(script.poll(), Some(FetcherAction::Refresh(_))));
    script.now = script.fetcher.next_timeout(script.now).unwrap();
    let Some(FetcherAction::Lookup(lookup)) = script.poll() else { panic!("a look-up") };
    script.fetcher.handle_lookup(script.now, &lookup, &[Looked::Refused(ErrorCode::UNKNOWN_SERVER_ERROR)]);
    assert!(script.fetcher.take().is_none(), "whatever it was, it may pass");
    script.now = script.now + Duration::from_secs(1);
    script.fetcher.handle_refreshed(script.now);
    let Some(FetcherAction::Lookup(again)) = script.poll() else { panic!("a look-up") };
    script.fetcher.handle_lookup(script.now, &again, &[Looked::Found(Offset(30))]);
    script.fetcher.handle_lookup(script.now, &lookup, &[Looked::Found(Offset(0))]);
    let (request, _) = script.fetch();
    assert_eq!(request.topics[0].partitions[0].fetch_offset, 30, "an answer that nobody waits for changes nothing");
}

#[test]
fn an_offset_that_is_named_and_refused_again_and_again_is_no_hot_loop() {
    let config = ConsumerConfig { reset: ResetPolicy::Earliest, ..ConsumerConfig::default() };
    let mut script = Script::reading(config, 5);
    let (end, mut asked) = (Moment::from_millis(10_000), 0);
    while script.now < end {
        match script.poll() {
            Some(FetcherAction::Fetch { ticket, .. }) => {
                asked += 1;
                let code = ErrorCode::OFFSET_OUT_OF_RANGE.0;
                script.answer(ticket, vec![PartitionData { error_code: code, ..Default::default() }]);
            }
            Some(FetcherAction::Lookup(lookup)) => {
                script.fetcher.handle_lookup(script.now, &lookup, &[Looked::Found(Offset(7))]);
            }
            Some(other) => panic!("{other:?}"),
            None => script.now = script.fetcher.next_timeout(script.now).unwrap_or(end),
        }
    }
    assert!((5..=20).contains(&asked), "{asked} fetches in 10 s");
}

#[test]
fn a_topic_that_was_created_again_is_noticed_by_its_id() {
    let mut script = Script::reading(ConsumerConfig::default(), 0);
    script.receive(holding(vec![batch(0, 3)]));
    script.take();
    script.cluster = cluster(Uuid([8; 16]), &[1]);
    assert!(!script.fetcher.is_ready());
    assert_eq!(script.poll(), None);
    assert!(script.fetcher.is_ready(), "a reader who waits has to be told, although nothing came");
    assert_eq!(script.take_error(), ConsumeError::TopicRecreated { partition: tp(0), offset: Offset(3) });
}

#[test]
fn a_batch_cut_off_at_the_end_is_fetched_again() {
    let mut script = Script::reading(ConsumerConfig::default(), 0);
    script.receive(holding(vec![batch(0, 3), batch(3, 3).slice(..70)]));
    assert_eq!(script.fetch().0.topics[0].partitions[0].fetch_offset, 3);
    assert_eq!(delivered(&mut script.take()), [(0, 2)]);
}

#[test]
fn an_answer_without_a_whole_batch_at_the_position_is_a_stall() {
    for records in [batch(5, 3).slice(..70), batch(0, 5), Bytes::from_static(&[0; 10])] {
        let mut script = Script::reading(ConsumerConfig::default(), 5);
        let size_bytes = records.len();
        script.receive(holding(vec![records]));
        let expected = ConsumeError::Stalled { partition: tp(0), offset: Offset(5), size_bytes };
        assert_eq!(script.take_error(), expected);
        assert_eq!(script.poll(), None, "nothing is asked for again");
    }
}

#[test]
fn a_damaged_batch_stops_the_partition_where_it_is() {
    let mut script = Script::reading(ConsumerConfig::default(), 0);
    script.receive(holding(vec![batch(0, 2), damaged(&batch(2, 2)), batch(4, 2)]));
    script.receive(holding(vec![batch(6, 2)]));
    let mut fetched = script.take();
    let mut buffer = Decompressed::new(1 << 20);
    assert!(fetched.next_batch().unwrap().unwrap().open(&mut buffer).is_ok());
    let second = fetched.next_batch().unwrap().unwrap();
    let error = second.open(&mut buffer).expect_err("the checksum is wrong");
    let ConsumeError::Corrupt { partition, offset, cause } = &error else { panic!("{error}") };
    assert_eq!((partition, *offset), (&tp(0), Offset(2)));
    assert!(matches!(cause.cause, RecordErrorCause::ChecksumMismatch { .. }));
    assert!(error.to_string().contains("t-0") && error.to_string().contains("offset 2"), "{error}");
    assert_eq!(fetched.next_offset(), Offset(2));
    assert_eq!(fetched.next_batch().unwrap().expect_err("nothing behind it"), error);
    // Data parked after it is not returned, and nothing more is fetched; seeking ends that.
    assert_eq!(script.take_error(), error);
    assert_eq!(script.poll(), None);
    script.fetcher.assign(tp(0), Offset(4), LeaderEpoch(-1));
    script.receive(holding(vec![batch(4, 2)]));
    assert_eq!(delivered(&mut script.take()), [(4, 5)]);
}

#[test]
fn a_damaged_header_is_found_behind_the_batches_before_it() {
    let mut script = Script::reading(ConsumerConfig::default(), 0);
    let mut broken = batch(2, 2).to_vec();
    broken[16] = 9;
    script.receive(holding(vec![batch(0, 2), Bytes::from(broken)]));
    assert_eq!(script.poll(), None);
    let mut fetched = script.take();
    assert!(fetched.next_batch().unwrap().is_ok());
    let error = fetched.next_batch().unwrap().expect_err("magic 9");
    assert_eq!(error.offset(), Some(Offset(2)));
    assert_eq!(script.take_error(), error);
}

#[test]
fn other_partitions_go_on_beside_one_that_stands_still() {
    let mut script = Script::reading(ConsumerConfig::default(), 5);
    script.fetcher.assign(tp(1), Offset(0), LeaderEpoch(-1));
    let (_, ticket) = script.fetch();
    let refused = PartitionData { error_code: ErrorCode::TOPIC_AUTHORIZATION_FAILED.0, ..Default::default() };
    script.answer(ticket, vec![refused, PartitionData { partition_index: 1, ..holding(vec![batch(0, 1)]) }]);
    assert!(matches!(script.take_error(), ConsumeError::Refused { .. }));
    assert_eq!(script.take().partition(), &tp(1));
    assert_eq!(script.fetch().0.topics[0].partitions.len(), 1);
}

#[test]
fn what_was_not_asked_for_is_ignored() {
    let mut script = Script::reading(ConsumerConfig::default(), 0);
    let (_, ticket) = script.fetch();
    let twice = holding(vec![batch(0, 1)]);
    let foreign = PartitionData { partition_index: 9, ..twice.clone() };
    script.answer(ticket, vec![foreign, twice.clone(), twice]);
    assert_eq!(script.take().partition(), &tp(0));
    assert!(script.fetcher.take().is_none());
}

/// The batches that a `read_committed` reader gets of these, from offset 0 on, and its position at their end.
fn committed(aborted: &[(i64, i64)], batches: Vec<Bytes>) -> (Vec<(i64, i64)>, i64) {
    let config = ConsumerConfig { isolation: IsolationLevel::ReadCommitted, ..ConsumerConfig::default() };
    let mut script = Script::reading(config, 0);
    let aborted =
        aborted.iter().map(|&(producer_id, first_offset)| AbortedTransaction { producer_id, first_offset }).collect();
    script.receive(PartitionData { aborted_transactions: Some(aborted), ..holding(batches) });
    let mut fetched = script.take();
    (delivered(&mut fetched), fetched.next_offset().0)
}

#[test]
fn the_leader_epoch_is_that_of_the_last_batch_be_it_a_marker() {
    let mut script = Script::reading(ConsumerConfig::default(), 0);
    let marker = ControlRecord::Commit { coordinator_epoch: 0 };
    let marker = marker.encode(0, ProducerId(7), ProducerEpoch(0)).unwrap();
    let of_next_leader = with_base_offset(&marker, 2, LeaderEpoch(4));
    script.receive(holding(vec![batch_of(7, true, 0, 2), of_next_leader]));
    let mut fetched = script.take();
    assert_eq!(fetched.leader_epoch(), LeaderEpoch(-1), "nothing was read yet");
    fetched.next_batch().expect("a batch").expect("it is whole");
    assert_eq!((fetched.next_offset(), fetched.leader_epoch()), (Offset(2), LeaderEpoch(3)));
    assert!(fetched.next_batch().is_none());
    assert_eq!((fetched.next_offset(), fetched.leader_epoch()), (Offset(3), LeaderEpoch(4)));
}

#[test]
fn aborted_transactions_end_at_their_marker() {
    let log = vec![
        batch_of(1, true, 0, 2),
        batch_of(2, true, 2, 1),
        abort(1, 3),
        batch_of(1, true, 4, 1),
        commit(1, 5),
        commit(2, 6),
    ];
    assert_eq!(committed(&[(1, 0)], log), (vec![(2, 2), (4, 4)], 7));
}

#[test]
fn aborted_transactions_may_come_in_any_order_and_begin_before_the_position() {
    let log = || {
        vec![
            batch_of(1, true, 0, 1),
            abort(1, 1),
            batch_of(1, true, 2, 1),
            batch_of(2, true, 3, 1),
            abort(2, 4),
            abort(1, 5),
            batch(6, 1),
        ]
    };
    for aborted in [[(1, -9), (1, 2), (2, 3)], [(2, 3), (1, 2), (1, -9)]] {
        assert_eq!(committed(&aborted, log()), (vec![(6, 6)], 7));
    }
}

#[test]
fn batches_outside_of_transactions_pass_also_those_of_an_aborting_producer() {
    let log = vec![batch_of(1, true, 0, 1), batch_of(1, false, 1, 1), abort(1, 2)];
    assert_eq!(committed(&[(1, 0)], log), (vec![(1, 1)], 3));
}

#[test]
fn a_commit_marker_ends_no_aborted_range() {
    let log = vec![batch_of(1, true, 0, 1), commit(1, 1), batch_of(1, true, 2, 1), abort(1, 3)];
    assert_eq!(committed(&[(1, 0)], log), (vec![], 4));
}

#[test]
fn answers_of_markers_and_aborted_batches_alone_move_the_position() {
    assert_eq!(committed(&[], vec![commit(1, 0), commit(2, 1)]), (vec![], 2));
    assert_eq!(committed(&[(1, 0)], vec![batch_of(1, true, 0, 5)]), (vec![], 5));
}

#[test]
fn a_damaged_marker_of_an_aborting_producer_is_an_error() {
    let config = ConsumerConfig { isolation: IsolationLevel::ReadCommitted, ..ConsumerConfig::default() };
    let mut script = Script::reading(config, 0);
    let aborted = Some(vec![AbortedTransaction { producer_id: 1, first_offset: 0 }]);
    let log = vec![batch_of(1, true, 0, 1), damaged(&abort(1, 1)), batch(2, 1)];
    script.receive(PartitionData { aborted_transactions: aborted, ..holding(log) });
    let mut fetched = script.take();
    let error = fetched.next_batch().unwrap().expect_err("the checksum of the marker is wrong");
    assert_eq!((error.offset(), fetched.next_offset()), (Some(Offset(1)), Offset(1)));
    assert_eq!(fetched.aborted_batch_count(), 1);
}
