//! Registrations of a transaction before its commit, because the last ones have used the same.

use super::*;

const BOTH: [TransactionVersion; 2] = [TransactionVersion::V1, TransactionVersion::V2];

/// A producer whose last transactions have written to these partitions and committed offsets of the group; the next
/// one has begun.
fn accustomed(version: TransactionVersion, partitions: &[i32]) -> Script {
    let mut script = Script::begun(version);
    for _ in 0..4 {
        partitions.iter().for_each(|partition| script.touch(*partition));
        let results: Vec<_> = partitions.iter().map(|partition| (*partition, NONE)).collect();
        script.add_partitions(&results);
        script.manager.commit(offsets(&[0])).unwrap();
        if version == TransactionVersion::V1 {
            script.add_offsets(NONE);
        }
        script.commit_offsets(&[(0, NONE)]);
        let epoch = script.epoch() + 1;
        script.end_txn(NONE, (version == TransactionVersion::V2).then_some(epoch));
        script.ends(&Ended::Committed);
        script.manager.begin(version).unwrap();
    }
    assert!(script.manager.poll(script.now, true).is_none(), "nothing says that it will have records");
    script
}

fn ends_with_offsets(mut script: Script, version: TransactionVersion) {
    script.commit_offsets(&[(0, NONE)]);
    assert!(script.manager.poll(script.now, false).is_none(), "EndTxn waits for the batches");
    let epoch = script.epoch() + 1;
    script.end_txn(NONE, (version == TransactionVersion::V2).then_some(epoch));
    script.ends(&Ended::Committed);
}

/// Registers the group, which is left to TxnOffsetCommit at version 2.
fn group(script: &mut Script, version: TransactionVersion) {
    if version == TransactionVersion::V1 {
        script.add_offsets(NONE);
    }
}

#[test]
fn usual_partitions_and_the_group_are_registered_before_the_commit() {
    for version in BOTH {
        let mut script = accustomed(version, &[0, 1]);
        script.touch(2);
        script.manager.expect_usual();
        assert_eq!(script.add_partitions(&[(0, NONE), (1, NONE), (2, NONE)]), [0, 1, 2]);
        group(&mut script, version);
        assert!(script.manager.poll(script.now, true).is_none());
        script.touch(0);
        assert!((0..3).all(|partition| script.may_produce(partition)));
        script.manager.commit(offsets(&[0])).unwrap();
        ends_with_offsets(script, version);
    }
}

#[test]
fn a_commit_waits_only_for_what_it_uses() {
    for version in BOTH {
        let mut script = accustomed(version, &[0, 1]);
        script.manager.expect_usual();
        script.add_partitions(&[(0, ErrorCode::CONCURRENT_TRANSACTIONS), (1, ErrorCode::CONCURRENT_TRANSACTIONS)]);
        script.touch(1);
        script.manager.commit(offsets(&[0])).unwrap();
        assert_eq!(script.add_partitions(&[(1, NONE)]), [1]);
        group(&mut script, version);
        ends_with_offsets(script, version);
    }
}

#[test]
fn a_transaction_that_only_registered_is_ended() {
    for version in BOTH {
        for is_commit in [true, false] {
            let mut script = accustomed(version, &[0]);
            script.manager.expect_usual();
            script.add_partitions(&[(0, NONE)]);
            group(&mut script, version);
            if is_commit {
                script.manager.commit(None).unwrap();
            } else {
                script.manager.abort().unwrap();
            }
            let epoch = script.epoch() + 1;
            let committed = script.end_txn(NONE, (version == TransactionVersion::V2).then_some(epoch));
            assert_eq!(committed, is_commit);
            script.ends(if is_commit { &Ended::Committed } else { &Ended::Aborted });
        }
    }
}

#[test]
fn a_topic_that_is_gone_does_not_spoil_a_transaction_that_does_not_use_it() {
    for code in [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::TOPIC_AUTHORIZATION_FAILED] {
        for version in BOTH {
            let mut script = accustomed(version, &[0, 1]);
            script.touch(1);
            script.manager.expect_usual();
            script.add_partitions(&[(0, code), (1, ErrorCode::OPERATION_NOT_ATTEMPTED)]);
            assert_eq!(script.add_partitions(&[(1, NONE)]), [1], "the other is registered alone, at once");
            assert_eq!(script.manager.failure(), None);
            group(&mut script, version);
            script.manager.commit(offsets(&[0])).unwrap();
            ends_with_offsets(script, version);
        }
    }
}

#[test]
fn a_group_that_is_refused_spoils_only_a_transaction_that_commits_its_offsets() {
    let code = ErrorCode::GROUP_AUTHORIZATION_FAILED;
    let mut script = accustomed(TransactionVersion::V1, &[0]);
    script.manager.expect_usual();
    script.add_partitions(&[(0, NONE)]);
    script.add_offsets(code);
    assert_eq!(script.manager.failure(), None);
    script.manager.commit(offsets(&[0])).unwrap();
    script.add_offsets(code);
    script.ends(&Ended::Abortable(refused(ApiKey::AddOffsetsToTxn, code)));
}

#[test]
fn offsets_of_another_group_than_expected_register_it() {
    let mut script = accustomed(TransactionVersion::V1, &[0]);
    script.manager.expect_usual();
    script.add_partitions(&[(0, NONE)]);
    let call = script.call();
    assert!(matches!(call.request, Request::AddOffsetsToTxn(request) if request.group_id == *"g"));
    let (group, offsets) = offsets(&[0]).unwrap();
    let other = GroupMetadata { group_id: Str::from("other"), ..group };
    script.manager.commit(Some((other, offsets))).unwrap();
    let accepted = AddOffsetsToTxnResponse::default();
    script.reply(RequestOutcome::AddOffsetsToTxn(accepted.clone()));
    let call = script.call();
    assert!(matches!(call.request, Request::AddOffsetsToTxn(request) if request.group_id == *"other"));
    script.reply(RequestOutcome::AddOffsetsToTxn(accepted));
    ends_with_offsets(script, TransactionVersion::V1);
}

#[test]
fn a_registration_ahead_waits_about_as_long_as_the_end_of_the_last_transaction_takes() {
    let milliseconds = Duration::from_millis;
    let mut script = accustomed(TransactionVersion::V2, &[0]);
    assert_eq!(script.manager.expects_after(), milliseconds(1));
    script.manager.expect_usual();
    for pause in [1, 2, 4] {
        script.add_partitions(&[(0, ErrorCode::CONCURRENT_TRANSACTIONS)]);
        assert_eq!(script.manager.next_timeout(script.now), Some(script.now + milliseconds(pause)));
    }
    assert_eq!(script.manager.expects_after(), milliseconds(8));
    // Its commit does not wait, nor does a batch that is to be sent.
    script.touch(0);
    assert!(script.manager.next_timeout(script.now).is_none());
    script.add_partitions(&[(0, ErrorCode::CONCURRENT_TRANSACTIONS)]);
    assert_eq!(script.manager.next_timeout(script.now), Some(script.now + milliseconds(1)));
    script.add_partitions(&[(0, NONE)]);
    script.manager.commit(offsets(&[0])).unwrap();
    ends_with_offsets(script, TransactionVersion::V2);
}

#[test]
fn a_registration_ahead_that_was_in_time_may_come_earlier_the_next_time() {
    let mut script = accustomed(TransactionVersion::V2, &[0]);
    script.manager.expect_usual();
    script.add_partitions(&[(0, ErrorCode::CONCURRENT_TRANSACTIONS)]);
    script.add_partitions(&[(0, NONE)]);
    assert_eq!(script.manager.expects_after(), Duration::from_millis(2));
    script.manager.commit(None).unwrap();
    script.end_txn(NONE, Some(6));
    script.manager.begin(TransactionVersion::V2).unwrap();
    script.manager.expect_usual();
    script.add_partitions(&[(0, NONE)]);
    assert_eq!(script.manager.expects_after(), Duration::from_micros(1_750));
}
