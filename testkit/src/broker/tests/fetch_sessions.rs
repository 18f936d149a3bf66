//! Fetch sessions: what responses leave out, the errors, and the bound of the cache.

use kafka_wire::protocol::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic};
use kafka_wire::record::Seal;
use kafka_wire::wire::Uuid;

use super::records::{append, batch, fetch, produce, with_topic};
use super::*;

/// Opens a session on the topic's two partitions, by id; returns it.
fn open(script: &mut Script, connection: ConnectionId, topic_id: Uuid) -> i32 {
    let response = script.context(connection, 17, &request(topic_id, (0, 0), &[(0, 0), (1, 0)]));
    assert_eq!(response.error_code, 0);
    assert_eq!(shown(&response), [0, 1], "the response to a full request is full");
    response.session_id
}

/// A request of the session `(id, epoch)` with these partitions and positions.
fn request(topic_id: Uuid, (session_id, session_epoch): (i32, i32), wanted: &[(i32, i64)]) -> FetchRequest {
    let partition = |&(partition, fetch_offset): &(i32, i64)| FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let topic = FetchTopic { topic_id, partitions: wanted.iter().map(partition).collect(), ..Default::default() };
    let topics = if wanted.is_empty() { vec![] } else { vec![topic] };
    FetchRequest { session_id, session_epoch, topics, ..fetch(0, 0) }
}

/// The partitions in a response.
fn shown(response: &FetchResponse) -> Vec<i32> {
    response.responses.iter().flat_map(|topic| topic.partitions.iter().map(|data| data.partition_index)).collect()
}

#[test]
fn a_session_keeps_nothing_of_its_requests_frames() {
    let (mut script, _) = with_topic(BrokerConfig::default());
    let connection = script.connect();
    let request = FetchRequest { session_epoch: 0, ..fetch(0, 0) };
    let frame = encode(12, 1, &request);
    script.core.handle_frame(script.now, connection, frame.clone());
    assert_ne!(script.answer::<FetchRequest>(connection, 12).session_id, 0);
    assert!(frame.is_unique());
}

#[test]
fn a_session_answers_with_news_alone() {
    let (mut script, topic_id) = with_topic(BrokerConfig::default());
    let connection = script.connect();
    let id = open(&mut script, connection, topic_id);
    assert_ne!(id, 0);
    let response = script.context(connection, 17, &request(topic_id, (id, 1), &[]));
    assert_eq!((response.session_id, shown(&response)), (id, vec![]));
    append(&mut script, batch(3, Seal::default())).unwrap();
    let response = script.context(connection, 17, &request(topic_id, (id, 2), &[]));
    assert_eq!(shown(&response), [0]);
    // The position is what the reader says: until it moves, the records come again.
    let response = script.context(connection, 17, &request(topic_id, (id, 3), &[]));
    assert_eq!(shown(&response), [0]);
    let response = script.context(connection, 17, &request(topic_id, (id, 4), &[(0, 3)]));
    assert!(shown(&response).is_empty());
}

#[test]
fn a_fetch_of_a_session_waits_for_records_and_for_its_time() {
    let (mut script, topic_id) = with_topic(BrokerConfig::default());
    let connection = script.connect();
    let id = open(&mut script, connection, topic_id);
    let waiting = |epoch| FetchRequest { max_wait_ms: 500, ..request(topic_id, (id, epoch), &[]) };
    script.send(connection, 17, &waiting(1));
    assert_eq!(script.core.poll(), None);
    script.pass(Duration::from_millis(500));
    assert!(shown(&script.answer::<FetchRequest>(connection, 17)).is_empty());
    script.send(connection, 17, &waiting(2));
    let producer = script.connect();
    script.send(producer, 11, &produce(None, batch(1, Seal::default())));
    let mut answered = Vec::new();
    while let Some(CoreAction::Send { connection: to, frame }) = script.core.poll() {
        answered.extend((to == connection).then(|| shown(&decode::<FetchRequest>(17, &frame))));
    }
    assert_eq!(answered, [[0]]);
}

#[test]
fn forgotten_partitions_are_not_read_any_more_and_a_session_without_partitions_ends() {
    let (mut script, topic_id) = with_topic(BrokerConfig::default());
    let connection = script.connect();
    let id = open(&mut script, connection, topic_id);
    append(&mut script, batch(1, Seal::default())).unwrap();
    let forget =
        |partitions: &[i32]| vec![ForgottenTopic { topic_id, partitions: partitions.to_vec(), ..Default::default() }];
    let request_1 = FetchRequest { forgotten_topics_data: forget(&[0]), ..request(topic_id, (id, 1), &[]) };
    assert!(shown(&script.context(connection, 17, &request_1)).is_empty());
    let request_2 = FetchRequest { forgotten_topics_data: forget(&[1]), ..request(topic_id, (id, 2), &[]) };
    let response = script.context(connection, 17, &request_2);
    assert_eq!((response.session_id, shown(&response)), (0, vec![]));
    assert_eq!(script.core.state().fetch_sessions.count(), 0);
}

#[test]
fn an_error_is_told_again_and_again_and_its_end_is_news() {
    let (mut script, topic_id) = with_topic(BrokerConfig::default());
    let connection = script.connect();
    let id = open(&mut script, connection, topic_id);
    for epoch in [1, 2] {
        let wanted: &[(i32, i64)] = if epoch == 1 { &[(0, 9)] } else { &[] };
        let response = script.context(connection, 17, &request(topic_id, (id, epoch), wanted));
        assert_eq!(response.responses[0].partitions[0].error_code, ErrorCode::OFFSET_OUT_OF_RANGE.0);
    }
    assert_eq!(shown(&script.context(connection, 17, &request(topic_id, (id, 3), &[(0, 0)]))), [0]);
    assert!(shown(&script.context(connection, 17, &request(topic_id, (id, 4), &[]))).is_empty());
}

#[test]
fn requests_that_do_not_continue_a_session_are_refused() {
    let (mut script, topic_id) = with_topic(BrokerConfig::default());
    let connection = script.connect();
    let id = open(&mut script, connection, topic_id);
    let mut code = |version, session| {
        let response = script.context(connection, version, &request(topic_id, session, &[]));
        ErrorCode(response.error_code)
    };
    assert_eq!(code(17, (id + 1, 1)), ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    assert_eq!(code(17, (id, 2)), ErrorCode::INVALID_FETCH_SESSION_EPOCH);
    assert_eq!(code(12, (id, 1)), ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
    assert_eq!(code(17, (id, 1)), ErrorCode::NONE, "a refused request changes nothing");
    assert_eq!(code(17, (id, -1)), ErrorCode::NONE, "this one closes the session");
    assert_eq!(code(17, (id, 2)), ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
}

#[test]
fn a_full_cache_declines_sessions_until_one_is_old() {
    let config = BrokerConfig { fetch_sessions_max: 2, ..BrokerConfig::default() };
    let (mut script, topic_id) = with_topic(config);
    let connection = script.connect();
    let first = open(&mut script, connection, topic_id);
    let second = open(&mut script, connection, topic_id);
    assert!(first != 0 && second != 0 && first != second);
    assert_eq!(open(&mut script, connection, topic_id), 0);
    script.pass(Duration::from_secs(100));
    script.context(connection, 17, &request(topic_id, (first, 1), &[]));
    script.pass(Duration::from_secs(100));
    assert_ne!(open(&mut script, connection, topic_id), 0, "the second was not used for 200 s");
    let evicted = script.context(connection, 17, &request(topic_id, (second, 1), &[]));
    assert_eq!(evicted.error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND.0);
    let kept = script.context(connection, 17, &request(topic_id, (first, 2), &[]));
    assert_eq!(kept.error_code, 0);
}
