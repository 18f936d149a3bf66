//! The requests themselves: heartbeats that are refused, and the description of a group.

use conformance::{TestBroker, eventually, within};
use kafka_wire::admin::GroupFilter;
use kafka_wire::client::{CallOptions, Client, Lane, Node};
use kafka_wire::cluster::CoordinatorKind;
use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::consumer_group_describe::{ConsumerGroupDescribeRequest, DescribedGroup};
use kafka_wire::protocol::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use kafka_wire::wire::Str;

use super::{Log, WAIT, connect, new_group};

/// Sends a heartbeat, again while the group has no coordinator yet.
async fn heartbeat(client: &Client, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
    let group_id = request.group_id.clone();
    let ask = || async {
        let coordinator = client.coordinator(CoordinatorKind::Group, &group_id).await.expect("there is one");
        let options = CallOptions::default();
        let answer = client.request(Node::Broker(coordinator), Lane::General, request.clone(), options).await;
        let answer = answer.expect("the broker answers");
        client.forget_coordinator(CoordinatorKind::Group, &group_id);
        (!ErrorCode(answer.error_code).is_retriable()).then_some(answer)
    };
    eventually("an answer of the coordinator", WAIT, ask).await
}

pub(super) async fn what_is_no_heartbeat_is_refused(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, group, _) = new_group(&broker, &client, 1).await;
    let join = ConsumerGroupHeartbeatRequest {
        group_id: Str::from(group),
        member_id: Str::from("m"),
        rebalance_timeout_ms: 5_000,
        subscribed_topic_names: Some(vec![Str::from(topic)]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    let other = || Some(Str::from("other"));
    let table = [
        (ConsumerGroupHeartbeatRequest { member_id: Str::EMPTY, ..join.clone() }, ErrorCode::INVALID_REQUEST),
        (ConsumerGroupHeartbeatRequest { instance_id: Some(Str::EMPTY), ..join.clone() }, ErrorCode::INVALID_REQUEST),
        (ConsumerGroupHeartbeatRequest { rack_id: Some(Str::EMPTY), ..join.clone() }, ErrorCode::INVALID_REQUEST),
        (ConsumerGroupHeartbeatRequest { rebalance_timeout_ms: -1, ..join.clone() }, ErrorCode::INVALID_REQUEST),
        (ConsumerGroupHeartbeatRequest { topic_partitions: None, ..join.clone() }, ErrorCode::INVALID_REQUEST),
        (ConsumerGroupHeartbeatRequest { subscribed_topic_names: None, ..join.clone() }, ErrorCode::INVALID_REQUEST),
        (ConsumerGroupHeartbeatRequest { member_epoch: -2, ..join.clone() }, ErrorCode::INVALID_REQUEST),
        (ConsumerGroupHeartbeatRequest { member_epoch: -3, ..join.clone() }, ErrorCode::INVALID_REQUEST),
        (ConsumerGroupHeartbeatRequest { server_assignor: other(), ..join.clone() }, ErrorCode::UNSUPPORTED_ASSIGNOR),
        (ConsumerGroupHeartbeatRequest { member_epoch: 3, ..join.clone() }, ErrorCode::GROUP_ID_NOT_FOUND),
    ];
    for (request, code) in table {
        let answer = heartbeat(&client, request.clone()).await;
        assert_eq!(ErrorCode(answer.error_code), code, "{request:?}: {answer:?}");
        assert!(answer.assignment.is_none() && answer.error_message.is_some(), "{answer:?}");
    }
    let joined = heartbeat(&client, join.clone()).await;
    assert_eq!((joined.error_code, joined.member_id.as_deref()), (0, Some("m")));
    let mut stays = ConsumerGroupHeartbeatRequest {
        member_epoch: joined.member_epoch,
        rebalance_timeout_ms: -1,
        subscribed_topic_names: None,
        topic_partitions: None,
        ..join.clone()
    };
    // The coordinator may learn of a new topic a moment later than the broker that made it.
    let mut told = joined.assignment.expect("a member that joins is told").topic_partitions;
    within("its partition", WAIT, async {
        loop {
            let answer = heartbeat(&client, stays.clone()).await;
            assert_eq!(answer.error_code, 0, "{answer:?}");
            let has_changed = answer.assignment.is_some() || answer.member_epoch != stays.member_epoch;
            stays.member_epoch = answer.member_epoch;
            if let Some(assignment) = answer.assignment {
                told = assignment.topic_partitions;
            }
            if !has_changed && !told.is_empty() {
                break;
            }
        }
    })
    .await;
    assert_eq!(told[0].partitions, [0]);
    let unknown = ConsumerGroupHeartbeatRequest { member_id: Str::from("n"), ..stays.clone() };
    assert_eq!(ErrorCode(heartbeat(&client, unknown).await.error_code), ErrorCode::UNKNOWN_MEMBER_ID);
    let ahead = ConsumerGroupHeartbeatRequest { member_epoch: stays.member_epoch + 5, ..stays.clone() };
    assert_eq!(ErrorCode(heartbeat(&client, ahead).await.error_code), ErrorCode::FENCED_MEMBER_EPOCH);
    let leaves = ConsumerGroupHeartbeatRequest { member_epoch: -1, ..stays };
    let answer = heartbeat(&client, leaves).await;
    assert_eq!((answer.error_code, answer.member_epoch), (0, -1));
}

pub(super) async fn a_group_is_described_with_its_members(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, group, builder) = new_group(&broker, &client, 2).await;
    let mut log = Log::default();
    let mut consumer =
        builder.instance_id("i").rack("west").remote_assignor("range").build(client.clone()).await.expect("a list");
    log.poll_until("all partitions", &mut consumer, |log| log.owned.len() == 2).await;
    let group_id = Str::from(group);
    let describe = || async {
        client.forget_coordinator(CoordinatorKind::Group, &group_id);
        let coordinator = client.coordinator(CoordinatorKind::Group, &group_id).await.expect("there is one");
        let group_ids = vec![group_id.clone(), Str::from_static("missing")];
        let request = ConsumerGroupDescribeRequest { group_ids, ..Default::default() };
        let options = CallOptions::default();
        let answer = client.request(Node::Broker(coordinator), Lane::General, request, options).await;
        let mut groups = answer.expect("the broker answers").groups;
        // Kafka answers in an order of its own.
        groups.sort_by_key(|described| described.group_id != group_id);
        let [described, missing] = <[DescribedGroup; 2]>::try_from(groups).expect("two groups were asked for");
        (described, missing)
    };
    let stable = || async { Some(describe().await).filter(|(described, _)| &*described.group_state == "Stable") };
    // A member acknowledges its assignment with a later poll.
    let (described, missing) = tokio::select! {
        groups = eventually("a stable group", WAIT, stable) => groups,
        never = async { loop { log.poll(&mut consumer).await } } => never,
    };
    assert_eq!((described.error_code, &*described.assignor_name), (0, "range"));
    assert_eq!(described.group_epoch, described.assignment_epoch);
    let [member] = &described.members[..] else { panic!("{described:?}") };
    assert_eq!((member.instance_id.as_deref(), member.rack_id.as_deref()), (Some("i"), Some("west")));
    assert_eq!(
        (member.member_epoch, &member.subscribed_topic_names[..]),
        (described.group_epoch, &[Str::from(&*topic)][..])
    );
    for assignment in [&member.assignment, &member.target_assignment] {
        let [own] = &assignment.topic_partitions[..] else { panic!("{assignment:?}") };
        assert_eq!((&*own.topic_name, &own.partitions[..]), (&*topic, &[0, 1][..]));
    }
    assert_eq!(ErrorCode(missing.error_code), ErrorCode::GROUP_ID_NOT_FOUND);
    let listed = client.list_groups(&GroupFilter::default()).await.expect("the broker answers");
    let listed = listed.iter().find(|listed| listed.group_id == group_id).expect("it is there");
    assert_eq!((&*listed.protocol_type, &*listed.state), ("consumer", "Stable"));
    assert_eq!(listed.group_type.to_ascii_lowercase(), "consumer");
    consumer.close().await.expect("the group works");
}
