//! Fetch sessions (KIP-227): what brokers answer in one, and consumers whose sessions break.

use std::time::Duration;

use conformance::reader::create_topic;
use conformance::writer::write;
use conformance::{TestBroker, client_config, eventually, on_both_brokers, within};
use kafka_wire::client::{CallOptions, Client, Consumer, Lane, Node};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::compression::Decompressed;
use kafka_wire::consumer::ConsumerConfig;
use kafka_wire::protocol::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic};
use kafka_wire::protocol::{ApiKey, ErrorCode};
use kafka_wire::types::{BrokerId, Offset, PartitionId};
use kafka_wire::wire::{Str, Uuid};
use testkit::fault::{Action, Rule};
use testkit::proxy::Proxy;

on_both_brokers!(
    a_session_answers_with_news_alone,
    requests_that_do_not_continue_a_session_are_refused,
    forgotten_partitions_are_not_read_any_more,
    a_consumer_whose_sessions_break_reads_everything_once,
);

/// A topic of two partitions, and requests to its leader.
struct Reader {
    client: Client,
    proxy: Proxy,
    topic: Str,
    topic_id: Uuid,
    leader: BrokerId,
}

impl Reader {
    async fn new(broker: &TestBroker) -> Self {
        let (proxy, config) = (Proxy::default(), client_config(broker.bootstrap()));
        let client = Client::connect_with(config, proxy.connector()).await.expect("the broker listens");
        let topic = broker.unique("t");
        create_topic(&client, &topic, 2).await;
        let leader = client.leader(&topic, PartitionId(0)).await.expect("a leader").0;
        client.leader(&topic, PartitionId(1)).await.expect("a leader");
        let topic_id = client.topic(&topic).await.expect("it was created").id;
        Self { client, proxy, topic: Str::from(topic), topic_id, leader }
    }

    fn partition(&self, index: i32) -> TopicPartition {
        TopicPartition::new(self.topic.clone(), PartitionId(index))
    }

    /// The response to the request of the session `(id, epoch)` with these partitions and positions.
    async fn ask(&self, version: i16, session: (i32, i32), wanted: &[(i32, i64)], forgotten: &[i32]) -> FetchResponse {
        let partition = |&(partition, fetch_offset): &(i32, i64)| FetchPartition {
            partition,
            fetch_offset,
            partition_max_bytes: 1 << 20,
            ..Default::default()
        };
        let (topic, topic_id) = (self.topic.clone(), self.topic_id);
        let partitions: Vec<_> = wanted.iter().map(partition).collect();
        let wanted = FetchTopic { topic: topic.clone(), topic_id, partitions, ..Default::default() };
        let forgotten = ForgottenTopic { topic, topic_id, partitions: forgotten.to_vec(), ..Default::default() };
        let request = FetchRequest {
            max_bytes: 1 << 20,
            session_id: session.0,
            session_epoch: session.1,
            topics: Vec::from_iter((!wanted.partitions.is_empty()).then_some(wanted)),
            forgotten_topics_data: Vec::from_iter((!forgotten.partitions.is_empty()).then_some(forgotten)),
            ..Default::default()
        };
        let options = CallOptions { max_version: Some(version), ..CallOptions::default() };
        let asked = self.client.request(Node::Broker(self.leader), Lane::General, request, options);
        asked.await.expect("the leader answers")
    }

    /// Opens a session on both partitions from their beginning.
    async fn open(&self) -> i32 {
        eventually("a leader that knows of its partitions", Duration::from_secs(30), || async {
            let response = self.ask(17, (0, 0), &[(0, 0), (1, 0)], &[]).await;
            assert_eq!((response.error_code, shown(&response)), (0, vec![0, 1]), "a full request has a full response");
            assert_ne!(response.session_id, 0);
            let is_served =
                response.responses.iter().flat_map(|topic| &topic.partitions).all(|data| data.error_code == 0);
            is_served.then_some(response.session_id)
        })
        .await
    }
}

/// The partitions in a response.
fn shown(response: &FetchResponse) -> Vec<i32> {
    response.responses.iter().flat_map(|topic| topic.partitions.iter().map(|data| data.partition_index)).collect()
}

async fn a_session_answers_with_news_alone(broker: TestBroker) {
    let reader = Reader::new(&broker).await;
    let id = reader.open().await;
    let response = reader.ask(17, (id, 1), &[], &[]).await;
    assert_eq!((response.session_id, shown(&response)), (id, vec![]));
    write(&reader.client, &reader.partition(1), &["a", "b"]).await;
    assert_eq!(shown(&reader.ask(17, (id, 2), &[], &[]).await), [1]);
    assert_eq!(shown(&reader.ask(17, (id, 3), &[], &[]).await), [1], "the position has not moved");
    assert!(shown(&reader.ask(17, (id, 4), &[(1, 2)], &[]).await).is_empty());
    let out_of_range = reader.ask(17, (id, 5), &[(0, 9)], &[]).await;
    assert_eq!(out_of_range.responses[0].partitions[0].error_code, ErrorCode::OFFSET_OUT_OF_RANGE.0);
    assert_eq!(shown(&reader.ask(17, (id, 6), &[], &[]).await), [0], "the error is told again");
    assert_eq!(shown(&reader.ask(17, (id, 7), &[(0, 0)], &[]).await), [0], "and so is its end");
    assert!(shown(&reader.ask(17, (id, 8), &[], &[]).await).is_empty());
}

async fn requests_that_do_not_continue_a_session_are_refused(broker: TestBroker) {
    let reader = Reader::new(&broker).await;
    let id = reader.open().await;
    let code = async |version, session| ErrorCode(reader.ask(version, session, &[], &[]).await.error_code);
    assert_eq!(code(17, (id ^ 1, 1)).await, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    assert_eq!(code(17, (id, 2)).await, ErrorCode::INVALID_FETCH_SESSION_EPOCH);
    assert_eq!(code(12, (id, 1)).await, ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
    assert_eq!(code(17, (id, 1)).await, ErrorCode::NONE, "a refused request changes nothing");
    assert_eq!(code(17, (id, -1)).await, ErrorCode::NONE, "this one closes the session");
    assert_eq!(code(17, (id, 2)).await, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
}

async fn forgotten_partitions_are_not_read_any_more(broker: TestBroker) {
    let reader = Reader::new(&broker).await;
    let id = reader.open().await;
    for index in [0, 1] {
        write(&reader.client, &reader.partition(index), &["a"]).await;
    }
    assert_eq!(shown(&reader.ask(17, (id, 1), &[], &[0]).await), [1]);
    let response = reader.ask(17, (id, 2), &[], &[1]).await;
    assert_eq!((response.session_id, shown(&response)), (0, vec![]), "a session without partitions ends");
    assert_eq!(reader.ask(17, (id, 3), &[], &[]).await.error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND.0);
}

async fn a_consumer_whose_sessions_break_reads_everything_once(broker: TestBroker) {
    const RECORDS: usize = 40;
    let reader = Reader::new(&broker).await;
    let mut consumer = Consumer::new(reader.client.clone(), ConsumerConfig::default());
    for index in [0, 1] {
        consumer.assign(reader.partition(index), Offset(0));
    }
    let errors = [
        ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
        ErrorCode::INVALID_FETCH_SESSION_EPOCH,
        ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR,
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
    ];
    let actions = errors.iter().map(|error| Action::Error(error.0)).chain([Action::ApplyThenDisconnect]);
    let mut actions = actions.cycle();
    let mut seen = [vec![], vec![]];
    let mut buffer = Decompressed::default();
    for written in 0..RECORDS {
        let action = actions.next().expect("the faults go round");
        reader.proxy.inject(Rule { api_key: ApiKey::Fetch.into(), nth: 1, action });
        write(&reader.client, &reader.partition(i32::from(written % 3 == 0)), &[&written.to_string()]).await;
        while seen.iter().map(Vec::len).sum::<usize>() <= written {
            let mut fetched = within("data", Duration::from_secs(20), consumer.poll()).await.expect("it can be read");
            let into = &mut seen[usize::try_from(fetched.partition().partition.0).expect("0 or 1")];
            while let Some(batch) = fetched.next_batch() {
                let batch = batch.expect("no batch is corrupt");
                for record in batch.records(&mut buffer).expect("the checksum is right") {
                    into.push(record.expect("no record is corrupt").offset);
                }
            }
        }
    }
    for seen in &seen {
        assert_eq!(*seen, (0_i64..).take(seen.len()).collect::<Vec<_>>());
    }
}
