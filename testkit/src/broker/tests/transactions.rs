//! Whole transactions over the wire, in each version of the protocol.

use kafka_wire::protocol::add_offsets_to_txn::AddOffsetsToTxnRequest;
use kafka_wire::protocol::add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnTopic};
use kafka_wire::protocol::end_txn::EndTxnRequest;
use kafka_wire::protocol::fetch::{FetchRequest, PartitionData};
use kafka_wire::protocol::init_producer_id::InitProducerIdRequest;
use kafka_wire::protocol::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponsePartitions,
};
use kafka_wire::protocol::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};

use super::records::{TOPIC, batch, fetch, produce, read, seal, with_topic};
use super::*;

const ID: &str = "job-0";
const GROUP: &str = "g";

type Producer = (i64, i16);

impl Script {
    fn init(&mut self) -> Result<Producer, ErrorCode> {
        let connection = self.connect();
        let request = InitProducerIdRequest {
            transactional_id: Some(Str::from(ID)),
            transaction_timeout_ms: 5_000,
            ..Default::default()
        };
        let response = self.context(connection, 5, &request);
        let producer = (response.producer_id, response.producer_epoch);
        ErrorCode(response.error_code).ok().map(|()| producer)
    }

    fn write(&mut self, version: i16, producer: Producer, base_sequence: i32) -> ErrorCode {
        let connection = self.connect();
        let request = produce(Some(ID), batch(3, seal(producer, base_sequence, true)));
        ErrorCode(self.context(connection, version, &request).responses[0].partition_responses[0].error_code)
    }

    fn add_partition(&mut self, producer: Producer) -> ErrorCode {
        let connection = self.connect();
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: Str::from(ID),
            v3_and_below_producer_id: producer.0,
            v3_and_below_producer_epoch: producer.1,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic { name: Str::from(TOPIC), partitions: vec![0] }],
            ..Default::default()
        };
        let response = self.context(connection, 3, &request);
        ErrorCode(response.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code)
    }

    fn add_offsets(&mut self, producer: Producer) -> ErrorCode {
        let connection = self.connect();
        let request = AddOffsetsToTxnRequest {
            transactional_id: Str::from(ID),
            producer_id: producer.0,
            producer_epoch: producer.1,
            group_id: Str::from(GROUP),
        };
        ErrorCode(self.context(connection, 4, &request).error_code)
    }

    fn commit_offset(&mut self, version: i16, producer: Producer, committed_offset: i64) -> ErrorCode {
        let connection = self.connect();
        let partition = TxnOffsetCommitRequestPartition { committed_offset, ..Default::default() };
        let topic =
            TxnOffsetCommitRequestTopic { name: Str::from(TOPIC), partitions: vec![partition], ..Default::default() };
        let request = TxnOffsetCommitRequest {
            transactional_id: Str::from(ID),
            group_id: Str::from(GROUP),
            producer_id: producer.0,
            producer_epoch: producer.1,
            topics: vec![topic],
            ..Default::default()
        };
        ErrorCode(self.context(connection, version, &request).topics[0].partitions[0].error_code)
    }

    fn end(&mut self, version: i16, producer: Producer, committed: bool) -> (ErrorCode, Producer) {
        let connection = self.connect();
        let response = self.context(connection, version, &end(producer, committed));
        (ErrorCode(response.error_code), (response.producer_id, response.producer_epoch))
    }

    fn committed_offset(&mut self) -> OffsetFetchResponsePartitions {
        let connection = self.connect();
        let topic =
            OffsetFetchRequestTopics { name: Str::from(TOPIC), partition_indexes: vec![0], ..Default::default() };
        let group =
            OffsetFetchRequestGroup { group_id: Str::from(GROUP), topics: Some(vec![topic]), ..Default::default() };
        let request = OffsetFetchRequest { groups: vec![group], require_stable: true, ..Default::default() };
        self.context(connection, 9, &request).groups[0].topics[0].partitions[0].clone()
    }

    /// Number of topics with committed offsets, when the group is asked for all of them.
    fn committed_topics(&mut self) -> usize {
        let connection = self.connect();
        let group = OffsetFetchRequestGroup { group_id: Str::from(GROUP), topics: None, ..Default::default() };
        let request = OffsetFetchRequest { groups: vec![group], require_stable: true, ..Default::default() };
        self.context(connection, 9, &request).groups[0].topics.len()
    }

    fn read_committed(&mut self) -> PartitionData {
        read(self, &committed_only(0))
    }
}

fn end(producer: Producer, committed: bool) -> EndTxnRequest {
    EndTxnRequest { transactional_id: Str::from(ID), producer_id: producer.0, producer_epoch: producer.1, committed }
}

fn committed_only(max_wait_ms: i32) -> FetchRequest {
    FetchRequest { isolation_level: 1, ..fetch(0, max_wait_ms) }
}

#[test]
fn version_1_needs_partitions_and_groups_added_before_they_are_used() {
    let (mut script, _) = with_topic(BrokerConfig { transaction_version: 1, ..BrokerConfig::default() });
    let producer = script.init().unwrap();
    assert_eq!(script.write(11, producer, 0), ErrorCode::TRANSACTION_ABORTABLE);
    assert_eq!(script.write(10, producer, 0), ErrorCode::INVALID_TXN_STATE);
    assert_eq!(script.commit_offset(3, producer, 7), ErrorCode::INVALID_TXN_STATE);
    assert_eq!((script.add_partition(producer), script.add_offsets(producer)), (ErrorCode::NONE, ErrorCode::NONE));
    assert_eq!((script.write(11, producer, 0), script.write(11, producer, 3)), (ErrorCode::NONE, ErrorCode::NONE));
    assert_eq!(script.commit_offset(4, producer, 7), ErrorCode::NONE);

    let open = script.read_committed();
    assert_eq!((open.last_stable_offset, open.high_watermark, open.records), (0, 6, Some(Bytes::new())));
    assert_eq!(script.committed_offset().error_code, ErrorCode::UNSTABLE_OFFSET_COMMIT.0);
    assert_eq!(script.committed_topics(), 0);
    assert_eq!(script.end(4, producer, true), (ErrorCode::NONE, (-1, -1)));
    let done = script.read_committed();
    assert_eq!((done.last_stable_offset, done.high_watermark, done.aborted_transactions), (7, 7, Some(Vec::new())));
    assert_eq!((script.committed_offset().committed_offset, script.committed_topics()), (7, 1));
}

#[test]
fn version_2_adds_by_use_and_fences_what_comes_late() {
    let (mut script, _) = with_topic(BrokerConfig::default());
    let first = script.init().unwrap();
    assert_eq!((script.write(12, first, 0), script.commit_offset(5, first, 7)), (ErrorCode::NONE, ErrorCode::NONE));
    let (error, second) = script.end(5, first, false);
    assert_eq!((error, second), (ErrorCode::NONE, (first.0, first.1 + 1)));
    // A delayed request of the aborted transaction must not end up in the next one.
    assert_eq!(script.write(12, first, 3), ErrorCode::INVALID_PRODUCER_EPOCH);
    assert_eq!(script.commit_offset(5, first, 8), ErrorCode::INVALID_PRODUCER_EPOCH);
    assert_eq!(script.committed_offset().committed_offset, -1);
    let aborted = script.read_committed();
    let listed = aborted.aborted_transactions.unwrap();
    assert_eq!((listed.len(), listed[0].producer_id, listed[0].first_offset), (1, first.0, 0));
    assert_eq!((script.write(12, second, 0), script.end(5, second, true).0), (ErrorCode::NONE, ErrorCode::NONE));
    assert_eq!(script.read_committed().last_stable_offset, 8);
}

#[test]
fn the_first_write_of_version_2_begins_its_sequence() {
    let (mut script, _) = with_topic(BrokerConfig::default());
    let producer = script.init().unwrap();
    // The batch before it was refused: it has to wait for that, or neither could ever be written in order.
    script.core.inject(Rule { api_key: 0, nth: 1, action: Action::Error(ErrorCode::NOT_LEADER_OR_FOLLOWER.0) });
    assert_eq!(script.write(12, producer, 0), ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(script.write(12, producer, 3), ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!((script.write(12, producer, 0), script.write(12, producer, 3)), (ErrorCode::NONE, ErrorCode::NONE));
    assert_eq!(script.end(5, producer, true).0, ErrorCode::NONE);
    // Version 1 takes any sequence of a producer that it does not know.
    let (mut script, _) = with_topic(BrokerConfig { transaction_version: 1, ..BrokerConfig::default() });
    let producer = script.init().unwrap();
    assert_eq!((script.add_partition(producer), script.write(11, producer, 3)), (ErrorCode::NONE, ErrorCode::NONE));
}

#[test]
fn a_lost_answer_to_end_txn_is_given_again() {
    for (version, is_applied) in [(4, true), (5, true), (4, false), (5, false)] {
        let (mut script, _) = with_topic(BrokerConfig::default());
        let producer = script.init().unwrap();
        assert_eq!(script.add_partition(producer), ErrorCode::NONE);
        assert_eq!(script.write(11, producer, 0), ErrorCode::NONE);
        let connection = script.connect();
        let action = if is_applied { Action::ApplyThenDisconnect } else { Action::DropRequest };
        script.core.inject(Rule { api_key: ApiKey::EndTxn.into(), nth: 1, action });
        script.send(connection, version, &end(producer, true));
        assert_eq!(script.is_closed(connection), is_applied);
        assert_eq!(script.read_committed().last_stable_offset, if is_applied { 4 } else { 0 });
        assert_eq!(script.end(version, producer, true).0, ErrorCode::NONE);
        assert_eq!(script.read_committed().last_stable_offset, 4);
    }
}

#[test]
fn a_reader_of_committed_records_is_woken_by_the_marker() {
    let config = BrokerConfig { marker_delay: Duration::from_millis(40), ..BrokerConfig::default() };
    let (mut script, _) = with_topic(config);
    let producer = script.init().unwrap();
    script.write(12, producer, 0);
    let waiting = script.connect();
    script.send(waiting, 12, &committed_only(10_000));
    let (_, next) = script.end(5, producer, true);
    assert_eq!(script.write(12, next, 0), ErrorCode::CONCURRENT_TRANSACTIONS);
    assert_eq!(script.init(), Err(ErrorCode::CONCURRENT_TRANSACTIONS));
    script.pass(Duration::from_millis(40));
    let response = script.answer::<FetchRequest>(waiting, 12);
    assert_eq!(response.responses[0].partitions[0].last_stable_offset, 4);
}

#[test]
fn a_transaction_that_is_left_alone_is_aborted() {
    let (mut script, _) = with_topic(BrokerConfig::default());
    let producer = script.init().unwrap();
    script.write(12, producer, 0);
    script.pass(Duration::from_millis(5_000));
    assert_eq!(script.read_committed().last_stable_offset, 4);
    assert_eq!(script.end(4, producer, true).0, ErrorCode::PRODUCER_FENCED);
    // Version 2 takes the epoch after the coordinator's bump for that of a decided transaction.
    assert_eq!(script.end(5, producer, true).0, ErrorCode::INVALID_TXN_STATE);
    assert_eq!(script.write(12, producer, 3), ErrorCode::INVALID_PRODUCER_EPOCH);
    assert_eq!(script.init(), Ok((producer.0, producer.1 + 2)));
}

#[test]
fn a_request_held_back_is_applied_after_its_client_has_gone() {
    // KAFKA-17754: version 1 lets a late EndTxn end the next transaction; version 2 fences it.
    for (version, expected) in [(4, 6 + 1), (5, 4)] {
        let (mut script, _) = with_topic(BrokerConfig::default());
        let producer = script.init().unwrap();
        script.add_partition(producer);
        script.write(11, producer, 0);
        script.core.inject(Rule { api_key: 26, nth: 1, action: Action::Delay(Duration::from_secs(1)) });
        let connection = script.connect();
        script.send(connection, version, &end(producer, true));
        script.core.disconnect(connection);
        let (_, next) = script.end(version, producer, true);
        let next = if version == 4 { producer } else { next };
        script.add_partition(next);
        script.write(11, next, if version == 4 { 3 } else { 0 });
        script.pass(Duration::from_secs(1));
        assert_eq!(script.read_committed().last_stable_offset, if version == 4 { expected + 1 } else { expected });
    }
}

#[test]
fn the_same_script_gives_the_same_answers() {
    let run = |seed| {
        let (mut script, id) = with_topic(BrokerConfig { seed, ..BrokerConfig::default() });
        let producer = script.init().unwrap();
        script.write(12, producer, 0);
        script.end(5, producer, true);
        (id, format!("{:?}", script.core.state()))
    };
    assert_eq!(run(Some(3)), run(Some(3)));
    assert_ne!(run(Some(3)).0, run(Some(4)).0);
}
