//! The table, row by row.

use kafka_wire::client::NotSentCause;
use kafka_wire::cluster::TopicPartition;
use kafka_wire::producer::NotReady;
use kafka_wire::protocol::ApiKey;
use kafka_wire::record::RecordError;
use kafka_wire::types::{Offset, PartitionId};

use super::Remedy::{Person, Restart, Retry};
use super::*;

fn partition() -> TopicPartition {
    TopicPartition::new("lines", PartitionId(3))
}

/// The error when a broker is down: nothing was sent.
fn down() -> RequestError {
    RequestError::NotSent { to: None, cause: NotSentCause::NoBrokers }
}

fn delivery(cause: DeliveryCause) -> DeliveryError {
    DeliveryError {
        partition: partition(),
        record_count: 2,
        batch_bytes: 90,
        cause,
        possibly_written: false,
        message: None,
    }
}

fn refused(code: ErrorCode) -> TransactionCause {
    TransactionCause::Refused { api: ApiKey::EndTxn, code }
}

#[track_caller]
fn check(rows: &[(&dyn Failure, Remedy)]) {
    for (failure, remedy) in rows {
        assert_eq!(failure.remedy(), *remedy, "{failure}");
        match (failure.end(), remedy) {
            (End::Fatal(_), Person) | (End::Restart(_), Retry | Restart) => {}
            (end, _) => panic!("{failure}: {end:?}"),
        }
    }
}

#[test]
fn connecting() {
    check(&[
        (&ConnectError::NoAddress, Person),
        (&ConnectError::BadAddress { text: "x".to_owned() }, Person),
        (&ConnectError::Unreachable { attempts: vec![down()] }, Retry),
        (&ConnectError::AdvertisedUnreachable { attempts: vec![down()] }, Retry),
    ]);
}

#[test]
fn topics_and_their_offsets() {
    let topic = |code| MetadataError::Topic { topic: "lines".into(), code };
    check(&[
        (&down(), Retry),
        (&MetadataError::Request(down()), Retry),
        (&AdminError::Request(down()), Retry),
        (&AdminError::Refused(TopicError { code: ErrorCode::CLUSTER_AUTHORIZATION_FAILED, message: None }), Person),
        (&MetadataError::UnknownTopic("lines".into()), Restart),
        (&MetadataError::UnknownPartition { partition: partition(), count: 3 }, Restart),
        (&topic(ErrorCode::LEADER_NOT_AVAILABLE), Retry),
        (&topic(ErrorCode::TOPIC_AUTHORIZATION_FAILED), Person),
        (&MetadataError::NoLeader { partition: partition(), code: ErrorCode::LEADER_NOT_AVAILABLE }, Retry),
    ]);
    let created = |code| TopicError { code, message: None };
    check(&[
        (&created(ErrorCode::NOT_CONTROLLER), Retry),
        (&created(ErrorCode::INVALID_REPLICATION_FACTOR), Retry),
        (&created(ErrorCode::TOPIC_AUTHORIZATION_FAILED), Person),
        (&created(ErrorCode::INVALID_CONFIG), Person),
    ]);
}

#[test]
fn the_producer_is_opened() {
    check(&[
        (&OpenError::TimedOut { last: Some(ErrorCode::CONCURRENT_TRANSACTIONS) }, Retry),
        (&OpenError::TimedOut { last: None }, Retry),
        (&OpenError::Refused(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED), Person),
        (&OpenError::Refused(ErrorCode::INVALID_TRANSACTION_TIMEOUT), Person),
        (&OpenError::Unsupported, Person),
    ]);
    let told = OpenError::Refused(ErrorCode::INVALID_TRANSACTION_TIMEOUT).fatal().to_string();
    assert!(told.contains("transaction.max.timeout.ms"), "{told}");
}

#[test]
fn the_group_and_its_offsets() {
    let group = |code| OffsetsError::Group { group_id: "job".into(), code };
    check(&[
        (&GroupError::Refused { group_id: "job".into(), code: ErrorCode::GROUP_AUTHORIZATION_FAILED }, Person),
        (&GroupError::NoCommonAssignor { group_id: "job".into(), offered: "waterwheel-range".to_owned() }, Person),
        (&group(ErrorCode::GROUP_AUTHORIZATION_FAILED), Person),
        (&group(ErrorCode::COORDINATOR_NOT_AVAILABLE), Restart),
        (&group(ErrorCode::ILLEGAL_GENERATION), Restart),
        (&OffsetsError::Request(down()), Restart),
    ]);
    let foreign = GroupError::NoCommonAssignor { group_id: "job".into(), offered: String::new() }.fatal().to_string();
    assert!(foreign.contains("not of this job") && foreign.contains("--group job"), "{foreign}");
}

#[test]
fn records_are_read() {
    let (partition, offset) = (partition(), Offset(7));
    check(&[
        (&ConsumeError::OffsetOutOfRange { partition: partition.clone(), offset }, Person),
        (&ConsumeError::TopicRecreated { partition: partition.clone(), offset }, Person),
        (&ConsumeError::Stalled { partition: partition.clone(), offset, size_bytes: 9 }, Person),
    ]);
    let passed = ConsumeError::OffsetOutOfRange { partition: partition.clone(), offset };
    assert!(matches!(unrestored(&passed), End::Restart(_)), "it is listed anew");
    let corrupt = ConsumeError::Corrupt { partition, offset, cause: corrupt_record() };
    assert!(matches!(corrupt.fatal(), Fatal::Corrupt { offset: Offset(7), .. }));
    assert!(matches!(unrestored(&corrupt), End::Fatal(_)));
}

/// The error of a batch that is cut short.
fn corrupt_record() -> RecordError {
    let batches = kafka_wire::record::Batches::new(bytes::Bytes::from_static(&[0; 61]));
    batches.into_iter().find_map(Result::err).expect("zeros are no batch")
}

#[test]
fn output_is_written() {
    let too_large = delivery(DeliveryCause::Refused(ErrorCode::MESSAGE_TOO_LARGE));
    check(&[
        (&AppendError::RecordTooLarge { record_bytes: 9, limit_bytes: 8 }, Person),
        (&too_large, Person),
        (&delivery(DeliveryCause::Refused(ErrorCode::INVALID_TIMESTAMP)), Person),
        (&delivery(DeliveryCause::Refused(ErrorCode::TOPIC_AUTHORIZATION_FAILED)), Person),
        (&delivery(DeliveryCause::Refused(ErrorCode::NOT_LEADER_OR_FOLLOWER)), Retry),
        (&delivery(DeliveryCause::Refused(ErrorCode::INVALID_PRODUCER_EPOCH)), Restart),
        (&delivery(DeliveryCause::TimedOut(None)), Restart),
        (&FlushError::Delivery { first: too_large.clone(), failed_records: 2 }, Person),
        (&FlushError::Transaction(refused(ErrorCode::INVALID_PRODUCER_EPOCH)), Restart),
        (&FlushError::Transaction(refused(ErrorCode::TOPIC_AUTHORIZATION_FAILED)), Person),
        (&FlushError::NotReady(NotReady::Finished), Restart),
    ]);
    assert!(too_large.fatal().to_string().contains("max.message.bytes"));
    assert_eq!(flushed(Ok(Completion::Done)), Completion::Done);
    let passing = FlushError::Delivery { first: delivery(DeliveryCause::TimedOut(None)), failed_records: 1 };
    assert_eq!(flushed(Err(passing)), Completion::Transaction(Outcome::MustAbort));
    let lasting = FlushError::Delivery { first: too_large, failed_records: 1 };
    assert!(matches!(flushed(Err(lasting)), Completion::Failed(End::Fatal(_))));
}

#[test]
fn a_transaction_ends() {
    let cause = || refused(ErrorCode::INVALID_TXN_STATE);
    check(&[
        (&TransactionError::Fenced(cause()), Restart),
        (&TransactionError::TimedOut(cause()), Restart),
        (&TransactionError::Fatal(refused(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED)), Person),
        (&CommitError::Fenced(cause()), Restart),
        (&CommitError::Fatal(refused(ErrorCode::GROUP_AUTHORIZATION_FAILED)), Person),
        (&CommitError::Abortable(refused(ErrorCode::GROUP_AUTHORIZATION_FAILED)), Person),
        (&CommitError::NotReady(NotReady::Finished), Restart),
    ]);
    assert_eq!(committed(Ok(())), Completion::Transaction(Outcome::Done));
    assert_eq!(committed(Err(CommitError::Unknown(cause()))), Completion::Transaction(Outcome::Unknown));
    assert_eq!(committed(Err(CommitError::Abortable(cause()))), Completion::Transaction(Outcome::MustAbort));
    let moved_on = CommitError::GroupChanged(ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(committed(Err(moved_on)), Completion::Transaction(Outcome::MustAbort));
    assert!(matches!(committed(Err(CommitError::Fenced(cause()))), Completion::Failed(End::Restart(_))));
    let forbidden = CommitError::Abortable(refused(ErrorCode::GROUP_AUTHORIZATION_FAILED));
    assert!(matches!(committed(Err(forbidden)), Completion::Failed(End::Fatal(_))));
    assert_eq!(aborted(Err(TransactionError::TimedOut(cause()))), Completion::Transaction(Outcome::Unknown));
    assert!(matches!(aborted(Err(TransactionError::Fenced(cause()))), Completion::Failed(End::Restart(_))));
}
