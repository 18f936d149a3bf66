//! A coordinator that does not know the producer id.

use super::*;

#[test]
fn an_id_that_the_coordinator_lost_is_asked_for_again_without_end_txn() {
    let mut script = Script::begun(TransactionVersion::V1);
    script.touch(0);
    script.add_partitions(&[(0, ErrorCode::INVALID_PRODUCER_ID_MAPPING)]);
    script.manager.abort().unwrap();
    assert_eq!(script.init(NONE, 8, 0), (7, 1));
    script.ends(&Ended::Aborted);
    assert_eq!(
        script.manager.identity(),
        ProducerIdentity { id: crate::types::ProducerId(8), epoch: crate::types::ProducerEpoch(0) }
    );
}

#[test]
fn an_id_that_the_coordinator_lost_fails_the_commit_and_leaves_nothing_to_abort() {
    let mut script = Script::begun(TransactionVersion::V2);
    script.touch(0);
    script.manager.commit(None).unwrap();
    script.add_partitions(&[(0, ErrorCode::INVALID_PRODUCER_ID_MAPPING)]);
    assert!(script.manager.is_doubted() && script.manager.gives_up(), "batches of the former id are not sent any more");
    assert!(script.manager.poll(script.now, false).is_none(), "and those in flight are answered first");
    script.init(NONE, 8, 0);
    script.ends(&Ended::Abortable(refused(ApiKey::AddPartitionsToTxn, ErrorCode::INVALID_PRODUCER_ID_MAPPING)));
    script.manager.abort().unwrap();
    assert!(script.manager.poll(script.now, true).is_none(), "a request");
    script.ends(&Ended::Aborted);
    script.manager.begin(TransactionVersion::V2).unwrap();
}

#[test]
fn a_producer_whose_id_was_replaced_is_told_so_by_the_operation_that_fails() {
    let fenced = Ended::Fenced(refused(ApiKey::InitProducerId, ErrorCode::PRODUCER_FENCED));
    let unknown = ErrorCode::INVALID_PRODUCER_ID_MAPPING;

    // A commit that cannot register its partitions.
    let mut script = Script::begun(TransactionVersion::V2);
    script.touch(0);
    script.manager.commit(None).unwrap();
    script.add_partitions(&[(0, unknown)]);
    script.init(ErrorCode::PRODUCER_FENCED, -1, -1);
    script.ends(&fenced);
    assert_eq!(script.manager.failure(), Some(&fenced));

    // A commit that EndTxn refuses.
    let mut script = Script::committing(TransactionVersion::V2);
    script.end_txn(unknown, None);
    script.init(ErrorCode::PRODUCER_FENCED, -1, -1);
    script.ends(&fenced);

    // Records that a leader refuses, or that cannot be registered, without a commit.
    for version in [TransactionVersion::V1, TransactionVersion::V2] {
        let mut script = Script::begun(version);
        script.manager.fail(refused(ApiKey::Produce, unknown));
        assert_eq!(script.manager.failure(), None, "not known yet");
        script.init(ErrorCode::PRODUCER_FENCED, -1, -1);
        assert_eq!(script.manager.failure(), Some(&fenced));
    }

    // An abort.
    let mut script = Script::begun(TransactionVersion::V1);
    script.touch(0);
    script.add_partitions(&[(0, NONE)]);
    script.manager.abort().unwrap();
    script.end_txn(unknown, None);
    script.init(ErrorCode::PRODUCER_FENCED, -1, -1);
    script.ends(&fenced);
}

#[test]
fn a_doubt_that_cannot_be_settled_in_time_is_a_failure_like_others() {
    let mut script = Script::begun(TransactionVersion::V1);
    script.touch(0);
    script.manager.commit(None).unwrap();
    script.add_partitions(&[(0, ErrorCode::UNKNOWN_PRODUCER_ID)]);
    while script.manager.is_doubted() {
        if script.manager.poll(script.now, true).is_some() {
            script.reply(RequestOutcome::NotSent);
        }
        script.now = script.now + Duration::from_secs(5);
    }
    script.ends(&Ended::Abortable(refused(ApiKey::AddPartitionsToTxn, ErrorCode::UNKNOWN_PRODUCER_ID)));
    script.manager.abort().unwrap();
    script.init(NONE, 8, 0);
    script.ends(&Ended::Aborted);
}
