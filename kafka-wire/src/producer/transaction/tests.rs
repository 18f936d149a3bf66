mod doubt;
mod early;

use super::*;
use crate::producer::pauses::Pauses;
use crate::protocol::add_offsets_to_txn::AddOffsetsToTxnResponse;
use crate::protocol::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResponse, AddPartitionsToTxnTopicResult,
};
use crate::protocol::end_txn::EndTxnResponse;
use crate::protocol::init_producer_id::InitProducerIdResponse;
use crate::protocol::txn_offset_commit::{
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use crate::types::{Offset, PartitionId};

const PAUSES: Pauses = Pauses { min: Duration::from_millis(50), max: Duration::from_secs(1) };
const NONE: ErrorCode = ErrorCode::NONE;

/// A manager with a clock, driven request by request.
struct Script {
    manager: TransactionManager,
    now: Moment,
    slots: crate::producer::accumulator::Accumulator,
}

impl Script {
    /// A manager opened as producer 7 with epoch 1.
    fn open() -> Self {
        let config = ProducerConfig::transactional("id");
        let mut slots = crate::producer::accumulator::Accumulator::new(&config);
        slots.add_topic(&Str::from("out"), 4);
        let mut script = Self { manager: TransactionManager::new(&config), now: Moment::from_millis(1), slots };
        script.init(NONE, 7, 1);
        script.ends(&Ended::Opened);
        script
    }

    fn begun(version: TransactionVersion) -> Self {
        let mut script = Self::open();
        script.manager.begin(version).unwrap();
        script
    }

    /// A transaction that has written to partition 0 and is being committed; EndTxn is next.
    fn committing(version: TransactionVersion) -> Self {
        let mut script = Self::begun(version);
        script.touch(0);
        script.add_partitions(&[(0, NONE)]);
        script.manager.commit(None).unwrap();
        script
    }

    fn touch(&mut self, partition: i32) {
        let topic = self.slots.topic("out").unwrap();
        let slot = self.slots.slot(topic, PartitionId(partition)).unwrap();
        self.manager.touch(slot, || TopicPartition::new("out", PartitionId(partition)));
    }

    fn may_produce(&self, partition: i32) -> bool {
        let topic = self.slots.topic("out").unwrap();
        self.manager.may_produce(self.slots.slot(topic, PartitionId(partition)).unwrap())
    }

    /// The request that is due; waits for it if it is not due yet.
    fn call(&mut self) -> CoordinatorRequest {
        if let Some(at) = self.manager.next_timeout(self.now) {
            self.now = at;
        }
        self.manager.poll(self.now, true).expect("a request is due")
    }

    fn reply(&mut self, reply: RequestOutcome) {
        self.manager.handle(self.now, reply, PAUSES);
    }

    fn init(&mut self, code: ErrorCode, id: i64, epoch: i16) -> (i64, i16) {
        let Request::InitProducerId(request) = self.call().request else { panic!("not InitProducerId") };
        self.reply(RequestOutcome::InitProducerId(InitProducerIdResponse {
            error_code: code.0,
            producer_id: id,
            producer_epoch: epoch,
            ..InitProducerIdResponse::default()
        }));
        (request.producer_id, request.producer_epoch)
    }

    fn add_partitions(&mut self, results: &[(i32, ErrorCode)]) -> Vec<i32> {
        let call = self.call();
        assert_eq!(call.max_version, 3, "version 4 and above is for brokers");
        let Request::AddPartitionsToTxn(request) = call.request else { panic!("not AddPartitionsToTxn") };
        let results_by_partition = results
            .iter()
            .map(|(partition, code)| AddPartitionsToTxnPartitionResult {
                partition_index: *partition,
                partition_error_code: code.0,
            })
            .collect();
        self.reply(RequestOutcome::AddPartitionsToTxn(AddPartitionsToTxnResponse {
            results_by_topic_v3_and_below: vec![AddPartitionsToTxnTopicResult {
                name: Str::from("out"),
                results_by_partition,
            }],
            ..AddPartitionsToTxnResponse::default()
        }));
        request.v3_and_below_topics.into_iter().flat_map(|topic| topic.partitions).collect()
    }

    fn add_offsets(&mut self, code: ErrorCode) {
        assert!(matches!(self.call().request, Request::AddOffsetsToTxn(_)));
        self.reply(RequestOutcome::AddOffsetsToTxn(AddOffsetsToTxnResponse {
            error_code: code.0,
            throttle_time_ms: 0,
        }));
    }

    fn commit_offsets(&mut self, results: &[(i32, ErrorCode)]) -> (i16, Vec<i32>) {
        let call = self.call();
        let Request::TxnOffsetCommit(request) = call.request else { panic!("not TxnOffsetCommit") };
        let partitions = results
            .iter()
            .map(|(index, code)| TxnOffsetCommitResponsePartition { partition_index: *index, error_code: code.0 })
            .collect();
        self.reply(RequestOutcome::TxnOffsetCommit(TxnOffsetCommitResponse {
            topics: vec![TxnOffsetCommitResponseTopic { name: Str::from("in"), partitions, ..Default::default() }],
            throttle_time_ms: 0,
        }));
        let asked = request.topics[0].partitions.iter().map(|partition| partition.partition_index).collect();
        (call.max_version, asked)
    }

    /// Answers EndTxn; with an epoch, as version 5 does.
    fn end_txn(&mut self, code: ErrorCode, epoch: Option<i16>) -> bool {
        let call = self.call();
        let Request::EndTxn(request) = call.request else { panic!("not EndTxn: {:?}", call.request) };
        assert_eq!(call.max_version == 5, self.manager.version() == TransactionVersion::V2);
        self.reply(RequestOutcome::EndTxn(EndTxnResponse {
            error_code: code.0,
            producer_id: epoch.map_or(-1, |_| 7),
            producer_epoch: epoch.unwrap_or(-1),
            throttle_time_ms: 0,
        }));
        request.committed
    }

    fn unanswered(&mut self) {
        self.call();
        self.reply(RequestOutcome::Unanswered);
    }

    fn ends(&mut self, expected: &Ended) {
        assert_eq!(self.manager.take_ended().as_ref(), Some(expected));
    }

    fn epoch(&self) -> i16 {
        self.manager.identity().epoch.0
    }
}

fn offsets(partitions: &[i32]) -> Option<(GroupMetadata, Vec<(TopicPartition, CommittedOffset)>)> {
    let group = GroupMetadata {
        group_id: Str::from("g"),
        generation: 3,
        member_id: Str::from("m"),
        instance_id: Some(Str::from("i")),
    };
    let offsets = partitions
        .iter()
        .map(|index| (TopicPartition::new("in", PartitionId(*index)), CommittedOffset::new(Offset(5))))
        .collect();
    Some((group, offsets))
}

fn refused(api: ApiKey, code: ErrorCode) -> TransactionCause {
    TransactionCause::Refused { api, code }
}

#[test]
fn version_1_registers_partitions_and_group_before_they_are_written() {
    let mut script = Script::begun(TransactionVersion::V1);
    script.touch(0);
    script.touch(2);
    assert!(!script.may_produce(0));
    assert_eq!(script.add_partitions(&[(0, NONE), (2, NONE)]), [0, 2]);
    assert!(script.may_produce(0) && script.may_produce(2) && !script.may_produce(1));
    script.manager.commit(offsets(&[0, 1])).unwrap();
    script.add_offsets(NONE);
    assert_eq!(script.commit_offsets(&[(0, NONE), (1, NONE)]), (4, vec![0, 1]));
    assert!(script.manager.poll(script.now, false).is_none(), "EndTxn waits for the batches");
    assert!(script.end_txn(NONE, None));
    script.ends(&Ended::Committed);
    assert_eq!(script.epoch(), 1);
}

#[test]
fn version_2_registers_partitions_before_leaders_do_and_takes_the_epoch_from_end_txn() {
    let mut script = Script::begun(TransactionVersion::V2);
    script.touch(0);
    script.touch(1);
    assert!(!script.may_produce(0), "its leader would register it, and be told to wait");
    assert_eq!(script.add_partitions(&[(0, NONE), (1, NONE)]), [0, 1]);
    assert!(script.may_produce(0) && script.may_produce(1));
    script.touch(1);
    script.manager.commit(offsets(&[0])).unwrap();
    assert!(script.manager.poll(script.now, false).is_none(), "leaders may be asking the coordinator");
    assert_eq!(script.commit_offsets(&[(0, NONE)]).0, 5, "it registers the group by itself");
    assert!(script.end_txn(NONE, Some(2)));
    script.ends(&Ended::Committed);
    assert_eq!(script.epoch(), 2);
    assert!(script.manager.begin(TransactionVersion::V2).is_ok());
}

#[test]
fn offsets_alone_register_the_group_first() {
    for version in [TransactionVersion::V1, TransactionVersion::V2] {
        let mut script = Script::begun(version);
        script.manager.commit(offsets(&[0])).unwrap();
        script.add_offsets(ErrorCode::CONCURRENT_TRANSACTIONS);
        let pause = script.manager.next_timeout(script.now).unwrap() - script.now;
        assert_eq!(pause, Duration::from_millis(1), "the markers of the last transaction are being written");
        script.add_offsets(NONE);
        script.commit_offsets(&[(0, NONE)]);
        script.end_txn(NONE, (version == TransactionVersion::V2).then_some(2));
        script.ends(&Ended::Committed);
    }
}

#[test]
fn an_empty_transaction_ends_without_a_request() {
    for version in [TransactionVersion::V1, TransactionVersion::V2] {
        let mut script = Script::begun(version);
        script.manager.commit(offsets(&[])).unwrap();
        assert!(script.manager.poll(script.now, true).is_none());
        script.ends(&Ended::Committed);
        script.manager.begin(version).unwrap();
        script.manager.abort().unwrap();
        assert!(script.manager.poll(script.now, true).is_none());
        script.ends(&Ended::Aborted);
    }
}

#[test]
fn offsets_that_were_taken_are_not_sent_again() {
    let mut script = Script::begun(TransactionVersion::V2);
    script.manager.commit(offsets(&[0, 1, 2])).unwrap();
    script.add_offsets(NONE);
    script.commit_offsets(&[(0, NONE), (1, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)]);
    assert_eq!(script.commit_offsets(&[(1, NONE), (2, NONE)]).1, [1, 2]);
    script.end_txn(NONE, Some(2));
    script.ends(&Ended::Committed);
}

#[test]
fn a_member_that_the_group_forgot_aborts() {
    for code in [ErrorCode::ILLEGAL_GENERATION, ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::FENCED_INSTANCE_ID] {
        let mut script = Script::begun(TransactionVersion::V2);
        script.manager.commit(offsets(&[0])).unwrap();
        script.add_offsets(NONE);
        script.commit_offsets(&[(0, code)]);
        script.ends(&Ended::GroupChanged(code));
        assert_eq!(script.manager.begin(TransactionVersion::V2), Err(NotReady::NeedsAbort));
        script.manager.abort().unwrap();
        assert!(!script.end_txn(NONE, Some(2)));
        script.ends(&Ended::Aborted);
    }
}

#[test]
fn the_end_of_the_last_transaction_is_waited_for_in_milliseconds() {
    for version in [TransactionVersion::V1, TransactionVersion::V2] {
        let mut script = Script::begun(version);
        script.touch(0);
        script.add_partitions(&[(0, ErrorCode::CONCURRENT_TRANSACTIONS)]);
        let pause = script.manager.next_timeout(script.now).unwrap() - script.now;
        assert_eq!(pause, Duration::from_millis(1));
        script.add_partitions(&[(0, NONE)]);
        assert!(script.may_produce(0));
    }
}

#[test]
fn a_partition_that_cannot_be_added_spoils_the_transaction_and_is_named() {
    let mut script = Script::begun(TransactionVersion::V1);
    script.touch(0);
    script.touch(1);
    script.add_partitions(&[(0, ErrorCode::OPERATION_NOT_ATTEMPTED), (1, ErrorCode::TOPIC_AUTHORIZATION_FAILED)]);
    script.manager.commit(None).unwrap();
    let cause = refused(ApiKey::AddPartitionsToTxn, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    script.ends(&Ended::Abortable(cause));
    script.manager.abort().unwrap();
    assert!(script.manager.poll(script.now, true).is_none(), "nothing was added, so nothing has to end");
    script.ends(&Ended::Aborted);
}

#[test]
fn end_txn_without_an_answer_is_repeated_with_the_same_epoch() {
    let mut script = Script::committing(TransactionVersion::V2);
    script.unanswered();
    let again = script.call();
    assert!(again.find_again);
    let Request::EndTxn(request) = &again.request else { panic!("not EndTxn") };
    assert_eq!((request.producer_epoch, request.committed), (1, true));
    script.reply(RequestOutcome::NotSent);
    assert!(script.end_txn(ErrorCode::CONCURRENT_TRANSACTIONS, None));
    script.end_txn(NONE, Some(2));
    script.ends(&Ended::Committed);
    assert_eq!(script.epoch(), 2);
}

#[test]
fn version_1_raises_the_epoch_when_a_request_may_still_arrive() {
    let mut script = Script::committing(TransactionVersion::V1);
    script.unanswered();
    script.end_txn(NONE, None);
    assert_eq!(script.manager.take_ended(), None, "the next transaction must not begin yet");
    assert_eq!(script.init(NONE, 7, 2), (7, 1));
    script.ends(&Ended::Committed);
    assert_eq!(script.epoch(), 2);
}

#[test]
fn the_offset_of_a_topic_that_stays_unknown_is_tried_for_five_seconds() {
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    for stays_unknown in [false, true] {
        let mut script = Script::begun(TransactionVersion::V2);
        script.touch(0);
        script.add_partitions(&[(0, NONE)]);
        script.manager.commit(offsets(&[0, 1])).unwrap();
        let begun = script.now;
        script.commit_offsets(&[(0, NONE), (1, unknown)]);
        while script.now.since(begun) < Duration::from_secs(5) {
            assert_eq!(script.commit_offsets(&[(1, if stays_unknown { unknown } else { NONE })]).1, [1]);
            if !stays_unknown {
                break;
            }
        }
        if stays_unknown {
            script.ends(&Ended::Abortable(refused(ApiKey::TxnOffsetCommit, unknown)));
        } else {
            assert!(script.end_txn(NONE, Some(2)), "a topic that is new becomes known");
        }
    }
}

#[test]
fn a_refusal_after_a_lost_answer_proves_nothing() {
    for code in [ErrorCode::PRODUCER_FENCED, ErrorCode::INVALID_TXN_STATE, ErrorCode::UNKNOWN_SERVER_ERROR] {
        let mut script = Script::committing(TransactionVersion::V1);
        script.unanswered();
        script.end_txn(code, None);
        script.ends(&Ended::Unknown(refused(ApiKey::EndTxn, code)));
        assert_eq!(script.manager.begin(TransactionVersion::V1), Err(NotReady::NeedsRecover));
        assert_eq!(script.manager.abort(), Err(NotReady::NeedsRecover));
    }
    // A coordinator may have written the commit before it was deposed.
    for code in [ErrorCode::COORDINATOR_NOT_AVAILABLE, ErrorCode::NOT_COORDINATOR] {
        let mut script = Script::committing(TransactionVersion::V1);
        script.end_txn(code, None);
        script.end_txn(ErrorCode::PRODUCER_FENCED, None);
        script.ends(&Ended::Unknown(refused(ApiKey::EndTxn, ErrorCode::PRODUCER_FENCED)));
    }
}

#[test]
fn a_refusal_of_the_only_attempt_is_definite() {
    let mut script = Script::committing(TransactionVersion::V1);
    script.end_txn(ErrorCode::PRODUCER_FENCED, None);
    script.ends(&Ended::Fenced(refused(ApiKey::EndTxn, ErrorCode::PRODUCER_FENCED)));
    let mut script = Script::committing(TransactionVersion::V2);
    script.end_txn(ErrorCode::UNKNOWN_SERVER_ERROR, None);
    script.ends(&Ended::Unknown(refused(ApiKey::EndTxn, ErrorCode::UNKNOWN_SERVER_ERROR)));
}

#[test]
fn a_commit_without_answers_is_unknown_and_recovery_settles_it() {
    // The coordinator's response to the abort, and its meaning for the commit.
    let stories = [
        (TransactionVersion::V1, NONE, None, Ended::Aborted),
        (TransactionVersion::V1, ErrorCode::INVALID_TXN_STATE, None, Ended::Committed),
        (TransactionVersion::V2, ErrorCode::INVALID_TXN_STATE, None, Ended::Committed),
        (TransactionVersion::V2, NONE, Some(2), Ended::Aborted),
    ];
    for (version, code, epoch, expected) in stories {
        let mut script = Script::committing(version);
        while script.manager.take_ended().is_none() {
            script.unanswered();
            script.now = script.now + Duration::from_secs(31);
            script.manager.poll(script.now, true).map(|_| script.reply(RequestOutcome::Unanswered)).unwrap_or_default();
        }
        script.manager.recover();
        assert!(!script.end_txn(code, epoch), "it aborts");
        if epoch.is_none() {
            assert_eq!(script.init(ErrorCode::CONCURRENT_TRANSACTIONS, -1, -1), (7, 1));
            script.init(NONE, 7, 2);
        }
        script.ends(&expected);
        assert_eq!(script.epoch(), 2);
    }
}

#[test]
fn recovery_of_a_fenced_producer_says_so() {
    let mut script = Script::committing(TransactionVersion::V1);
    script.unanswered();
    script.end_txn(ErrorCode::PRODUCER_FENCED, None);
    script.manager.take_ended();
    script.manager.recover();
    script.end_txn(ErrorCode::PRODUCER_FENCED, None);
    script.ends(&Ended::Fenced(refused(ApiKey::EndTxn, ErrorCode::PRODUCER_FENCED)));
    assert_eq!(script.manager.begin(TransactionVersion::V1), Err(NotReady::Finished));
}

#[test]
fn fencing_while_the_epoch_is_raised_does_not_deny_the_commit() {
    let mut script = Script::committing(TransactionVersion::V1);
    script.unanswered();
    script.end_txn(NONE, None);
    script.init(ErrorCode::PRODUCER_FENCED, -1, -1);
    script.ends(&Ended::Committed);
    assert_eq!(script.manager.begin(TransactionVersion::V1), Err(NotReady::Finished));
}

#[test]
fn a_commit_that_never_left_can_be_aborted() {
    let mut script = Script::committing(TransactionVersion::V2);
    while script.manager.failure().is_none() {
        if script.manager.poll(script.now, true).is_some() {
            script.reply(RequestOutcome::NotSent);
        }
        script.now = script.now + Duration::from_secs(5);
    }
    script.ends(&Ended::Abortable(TransactionCause::TimedOut { api: ApiKey::EndTxn, last: None }));
}

#[test]
fn an_abort_after_a_failed_batch_raises_the_epoch() {
    let mut script = Script::begun(TransactionVersion::V1);
    script.touch(0);
    script.add_partitions(&[(0, NONE)]);
    script.manager.fail(refused(ApiKey::Produce, ErrorCode::MESSAGE_TOO_LARGE));
    assert!(!script.may_produce(0));
    script.manager.abort().unwrap();
    assert!(script.manager.poll(script.now, false).is_none(), "batches in flight are answered first");
    script.end_txn(NONE, None);
    script.init(NONE, 7, 2);
    script.ends(&Ended::Aborted);
}

#[test]
fn an_abort_of_what_never_reached_the_coordinator_finds_nothing_open() {
    let mut script = Script::begun(TransactionVersion::V1);
    script.touch(0);
    script.unanswered();
    script.manager.abort().unwrap();
    script.end_txn(ErrorCode::INVALID_TXN_STATE, None);
    script.init(NONE, 7, 2);
    script.ends(&Ended::Aborted);
}

#[test]
fn a_leader_that_knows_a_higher_epoch_ends_the_producer() {
    let mut script = Script::begun(TransactionVersion::V2);
    script.manager.fail(refused(ApiKey::Produce, ErrorCode::INVALID_PRODUCER_EPOCH));
    script.manager.commit(None).unwrap();
    script.ends(&Ended::Fenced(refused(ApiKey::Produce, ErrorCode::INVALID_PRODUCER_EPOCH)));
}

#[test]
fn a_late_answer_of_the_commit_does_not_disturb_the_abort() {
    let mut script = Script::begun(TransactionVersion::V2);
    script.touch(0);
    script.add_partitions(&[(0, NONE)]);
    script.manager.commit(offsets(&[0])).unwrap();
    script.call();
    script.manager.fail(refused(ApiKey::Produce, ErrorCode::INVALID_RECORD));
    script.ends(&Ended::Abortable(refused(ApiKey::Produce, ErrorCode::INVALID_RECORD)));
    script.manager.abort().unwrap();
    assert!(script.manager.poll(script.now, true).is_none(), "one request at a time");
    script.reply(RequestOutcome::Unanswered);
    assert!(!script.end_txn(NONE, Some(2)));
    script.ends(&Ended::Aborted);
    assert_eq!(script.epoch(), 2);
}

#[test]
fn an_owner_that_did_not_wait_hears_later_how_it_ended() {
    let mut script = Script::committing(TransactionVersion::V2);
    script.call();
    assert_eq!(script.manager.begin(TransactionVersion::V2), Err(NotReady::NeedsRecover));
    script.manager.recover();
    script.reply(RequestOutcome::EndTxn(EndTxnResponse {
        producer_id: 7,
        producer_epoch: 2,
        ..EndTxnResponse::default()
    }));
    script.ends(&Ended::Committed);
    script.manager.recover();
    script.ends(&Ended::Committed);
}

#[test]
fn calls_that_do_not_fit_are_refused() {
    let mut script = Script::open();
    assert_eq!(script.manager.commit(None), Err(NotReady::NotBegun));
    script.manager.begin(TransactionVersion::V2).unwrap();
    assert_eq!(script.manager.begin(TransactionVersion::V2), Err(NotReady::AlreadyBegun));
    let mut plain = TransactionManager::new(&ProducerConfig::default());
    assert_eq!(plain.begin(TransactionVersion::V2), Err(NotReady::NotTransactional));
}

#[test]
fn a_late_refusal_does_not_take_the_outcome_of_a_finished_producer_away() {
    let mut script = Script::begun(TransactionVersion::V1);
    script.touch(0);
    script.add_partitions(&[(0, NONE)]);
    script.manager.commit(offsets(&[0])).unwrap();
    // AddOffsetsToTxn is in flight when a leader's response ends the producer.
    script.call();
    script.manager.fail(refused(ApiKey::Produce, ErrorCode::INVALID_PRODUCER_EPOCH));
    assert!(matches!(script.manager.take_ended(), Some(Ended::Fenced(_))));

    // The owner starts another operation, and before that is looked at the coordinator's refusal comes in.
    script.manager.recover();
    script.reply(RequestOutcome::AddOffsetsToTxn(AddOffsetsToTxnResponse {
        error_code: ErrorCode::PRODUCER_FENCED.0,
        ..AddOffsetsToTxnResponse::default()
    }));
    assert!(matches!(script.manager.take_ended(), Some(Ended::Fenced(_))));
}
