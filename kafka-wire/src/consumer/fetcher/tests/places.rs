//! Where a partition is fetched from: named leaders (KIP-951) and near replicas (KIP-392).

use super::*;
use crate::protocol::fetch::{LeaderIdAndEpoch, NodeEndpoint};

/// The broker of the next fetch.
fn next_broker(script: &mut Script) -> (BrokerId, Ticket) {
    match script.poll() {
        Some(FetcherAction::Fetch { broker, ticket, .. }) => (broker, ticket),
        other => panic!("{other:?} instead of a fetch"),
    }
}

fn moved(code: ErrorCode, leader_id: i32, leader_epoch: i32) -> PartitionData {
    let current_leader = LeaderIdAndEpoch { leader_id, leader_epoch };
    PartitionData { error_code: code.0, current_leader, ..Default::default() }
}

#[test]
fn a_leader_that_is_named_is_asked_at_once() {
    for code in [ErrorCode::NOT_LEADER_OR_FOLLOWER, ErrorCode::FENCED_LEADER_EPOCH] {
        let mut script = Script::reading(ConsumerConfig::default(), 0);
        let (broker, ticket) = next_broker(&mut script);
        assert_eq!(broker, BrokerId(1));
        let endpoint = NodeEndpoint { node_id: 7, host: Str::from("new"), port: 9, ..Default::default() };
        let partitions = vec![moved(code, 7, 4)];
        let topic = FetchableTopicResponse { topic_id: TOPIC_ID, partitions, ..Default::default() };
        let response = FetchResponse { responses: vec![topic], node_endpoints: vec![endpoint], ..Default::default() };
        script.fetcher.handle_fetched(script.now, ticket, Ok((17, response)));
        let Some(FetcherAction::Learn(NamedLeaders { hints, brokers })) = script.poll() else { panic!("a leader") };
        brokers.into_iter().for_each(|broker| script.cluster.learn_broker(broker));
        assert!(hints.iter().all(|hint| script.cluster.learn_leader(hint)));
        let (broker, _) = next_broker(&mut script);
        assert_eq!(broker, BrokerId(7));
        assert_eq!(script.poll(), None, "no refresh is needed");
    }
}

#[test]
fn a_leader_that_is_not_news_is_not_believed() {
    for (leader, epoch) in [(2, 3), (2, 2), (-1, -1)] {
        let mut script = Script::reading(ConsumerConfig::default(), 0);
        script.receive(moved(ErrorCode::NOT_LEADER_OR_FOLLOWER, leader, epoch));
        assert_eq!(script.poll(), Some(FetcherAction::Refresh(vec![Str::from("t")])));
    }
}

/// A reader of partition 0 that its leader, broker 1, has sent to broker 2.
fn sent_away() -> Script {
    let mut script = Script::reading(ConsumerConfig::default(), 0);
    script.fetcher.set_rack(Str::from("here"));
    let Some(FetcherAction::Fetch { request, ticket, .. }) = script.poll() else { panic!("a fetch") };
    assert_eq!(&*request.rack_id, "here");
    assert!(at_version(&request, 10).rack_id.is_empty());
    script.answer(ticket, vec![PartitionData { preferred_read_replica: 2, ..holding(vec![]) }]);
    script
}

#[test]
fn a_near_replica_is_read_until_the_leader_has_to_be_asked_again() {
    let mut script = sent_away();
    let (broker, ticket) = next_broker(&mut script);
    assert_eq!(broker, BrokerId(2));
    script.answer(ticket, vec![holding(vec![batch(0, 3)])]);
    assert_eq!(delivered(&mut script.take()), [(0, 2)]);
    script.now = script.now + Duration::from_secs(299);
    let (broker, ticket) = next_broker(&mut script);
    assert_eq!(broker, BrokerId(2));
    script.now = script.now + Duration::from_secs(1);
    script.answer(ticket, vec![]);
    assert_eq!(next_broker(&mut script).0, BrokerId(1));
}

#[test]
fn an_error_of_a_replica_leads_back_to_the_leader() {
    let mut script = sent_away();
    let (_, ticket) = next_broker(&mut script);
    let behind = PartitionData { error_code: ErrorCode::OFFSET_OUT_OF_RANGE.0, ..Default::default() };
    script.answer(ticket, vec![behind]);
    assert_eq!(next_broker(&mut script).0, BrokerId(1), "it may only be behind");

    let mut script = sent_away();
    let (_, ticket) = next_broker(&mut script);
    script.answer(ticket, vec![moved(ErrorCode::NOT_LEADER_OR_FOLLOWER, -1, -1)]);
    assert!(matches!(script.poll(), Some(FetcherAction::Refresh(_))));
    script.now = script.fetcher.next_timeout(script.now).unwrap();
    assert_eq!(next_broker(&mut script).0, BrokerId(1));

    let mut script = sent_away();
    let (_, ticket) = next_broker(&mut script);
    script.fetcher.handle_fetched(script.now, ticket, Err(FetchFailure::Unreachable));
    assert!(matches!(script.poll(), Some(FetcherAction::Refresh(_))));
    script.now = script.fetcher.next_timeout(script.now).unwrap();
    assert_eq!(next_broker(&mut script).0, BrokerId(1));
}

#[test]
fn a_replica_that_the_cluster_does_not_have_is_not_asked() {
    let mut script = Script::reading(ConsumerConfig::default(), 0);
    let (_, ticket) = script.fetch();
    script.answer(ticket, vec![PartitionData { preferred_read_replica: 9, ..holding(vec![]) }]);
    assert_eq!(next_broker(&mut script).0, BrokerId(1));
}
