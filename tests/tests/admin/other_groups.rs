//! Share groups and groups of Kafka Streams, which only Apache Kafka has. A member is a heartbeat here.

use std::cell::Cell;
use std::slice::from_ref;

use conformance::reader::create_topic;
use conformance::writer::write;
use conformance::{TestBroker, eventually};
use kafka_wire::admin::{GroupFilter, ShareOffset, StreamsTasks};
use kafka_wire::client::{CallOptions, Client, Lane, Node, commit_offsets, fetch_offsets};
use kafka_wire::cluster::{CommittedOffset, CoordinatorKind, GroupMetadata, TopicPartition};
use kafka_wire::protocol::share_group_heartbeat::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};
use kafka_wire::protocol::streams_group_heartbeat::{
    StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse, Subtopology, Topology,
};
use kafka_wire::protocol::{ErrorCode, Request};
use kafka_wire::types::{Offset, PartitionId};
use kafka_wire::wire::Str;

use super::{WAIT, connect};

mod share_groups {
    conformance::test_on!(kafka_tv2, KafkaTv2, super::share_groups_are_administered);
}
mod streams_groups {
    conformance::test_on!(kafka_tv2, KafkaTv2, super::streams_groups_are_administered);
}

/// An id as members make it up, a UUID in base64.
const MEMBER: &str = "AAAAAAAAAAAAAAAAAAAAAQ";

/// Sends a heartbeat until the coordinator takes it: a new one may not be ready. Returns the epoch for the next one.
async fn beat<R: Request>(
    client: &Client,
    group: &Str,
    request: R,
    read: impl Fn(R::Response) -> (i16, Option<Str>, i32),
) -> i32 {
    eventually("the coordinator", WAIT, || async {
        let coordinator = client.coordinator(CoordinatorKind::Group, group).await.ok()?;
        let options = CallOptions::default();
        let response = client.request(Node::Broker(coordinator), Lane::General, request.clone(), options).await.ok()?;
        let (code, message, epoch) = read(response);
        assert!(code == 0 || ErrorCode(code).is_retriable(), "{code} {message:?}");
        (code == 0).then_some(epoch)
    })
    .await
}

async fn is_listed(client: &Client, group: &Str, group_type: &str) -> bool {
    let filter = GroupFilter { types: vec![group_type.into()], ..GroupFilter::default() };
    client.list_groups(&filter).await.expect("an answer").iter().any(|one| one.group_id == *group)
}

async fn share_groups_are_administered(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, group) = (Str::from(broker.unique("shared")), Str::from(broker.unique("share")));
    create_topic(&client, &topic, 1).await;
    let partition = TopicPartition::new(topic.clone(), PartitionId(0));
    write(&client, &partition, &["a", "b", "c"]).await;
    let heartbeat = |member_epoch| ShareGroupHeartbeatRequest {
        group_id: group.clone(),
        member_id: MEMBER.into(),
        member_epoch,
        subscribed_topic_names: (member_epoch == 0).then(|| vec![topic.clone()]),
        ..Default::default()
    };
    let epoch = Cell::new(0);
    let beat = async |member_epoch| {
        let read = |response: ShareGroupHeartbeatResponse| {
            (response.error_code, response.error_message, response.member_epoch)
        };
        epoch.set(beat(&client, &group, heartbeat(member_epoch), read).await);
    };

    let missing = Str::from(broker.unique("missing"));
    let described = eventually("the assignment", WAIT, async || {
        beat(epoch.get()).await;
        let described = client.describe_share_groups(&[missing.clone(), group.clone()]).await.expect("an answer");
        let found = described[1].1.as_ref().expect("it is there");
        found.members.first().is_some_and(|member| !member.assignment.is_empty()).then_some(described)
    })
    .await;
    assert_eq!(described[0].1.as_ref().expect_err("it is missing").code, ErrorCode::GROUP_ID_NOT_FOUND);
    let found = described[1].1.as_ref().expect("it is there");
    let [member] = &found.members[..] else { panic!("one member: {found:?}") };
    assert_eq!((&found.group_id, &*found.state), (&group, "Stable"));
    assert_eq!(
        (&*member.member_id, &member.topics, &member.assignment[..]),
        (MEMBER, &vec![topic.clone()], from_ref(&partition))
    );
    assert!(is_listed(&client, &group, "share").await && !is_listed(&client, &group, "consumer").await);

    let to = [(partition.clone(), Offset(1))];
    let refused = client.alter_share_group_offsets(&group, &to).await.expect("an answer");
    assert_eq!(refused.expect_err("it has a member").code, ErrorCode::NON_EMPTY_GROUP);
    beat(-1).await;
    let altered = client.alter_share_group_offsets(&group, &to).await.expect("an answer");
    assert_eq!(altered, Ok(vec![(partition.clone(), Ok(()))]));
    for asked in [None, Some(from_ref(&partition))] {
        let listed = client.list_share_group_offsets(&group, asked).await.expect("an answer").expect("it is there");
        let [(place, Ok(ShareOffset { start, .. }))] = &listed[..] else { panic!("{listed:?}") };
        assert_eq!((place, start), (&partition, &Some(Offset(1))));
    }
    let deleted =
        client.delete_share_group_offsets(&group, &[topic.clone(), missing.clone()]).await.expect("an answer");
    let deleted = deleted.expect("it is empty");
    assert_eq!(deleted[0], (topic, Ok(())));
    assert!(deleted[1].1.is_err(), "{deleted:?}");
    let listed = client.list_share_group_offsets(&group, None).await.expect("an answer").expect("it is there");
    assert!(listed.iter().all(|(_, found)| found.as_ref().is_ok_and(|found| found.start.is_none())), "{listed:?}");
    assert_eq!(client.delete_groups(from_ref(&group)).await.expect("an answer"), [(group.clone(), Ok(()))]);
    assert!(!is_listed(&client, &group, "share").await);
}

async fn streams_groups_are_administered(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, group) = (Str::from(broker.unique("streamed")), Str::from(broker.unique("streams")));
    create_topic(&client, &topic, 2).await;
    let subtopology =
        Subtopology { subtopology_id: "0".into(), source_topics: vec![topic.clone()], ..Default::default() };
    let topology = Topology { epoch: 0, subtopologies: vec![subtopology], ..Default::default() };
    let heartbeat = |member_epoch: i32| {
        let is_joining = member_epoch == 0;
        StreamsGroupHeartbeatRequest {
            group_id: group.clone(),
            member_id: MEMBER.into(),
            member_epoch,
            rebalance_timeout_ms: if is_joining { 10_000 } else { -1 },
            topology: is_joining.then(|| topology.clone()),
            active_tasks: is_joining.then(Vec::new),
            standby_tasks: is_joining.then(Vec::new),
            warmup_tasks: is_joining.then(Vec::new),
            process_id: is_joining.then(|| "process".into()),
            ..Default::default()
        }
    };
    let epoch = Cell::new(0);
    let beat = async |member_epoch| {
        let read = |response: StreamsGroupHeartbeatResponse| {
            (response.error_code, response.error_message, response.member_epoch)
        };
        epoch.set(beat(&client, &group, heartbeat(member_epoch), read).await);
    };
    let missing = Str::from(broker.unique("missing"));
    let described = eventually("the tasks", WAIT, async || {
        beat(epoch.get()).await;
        let described = client.describe_streams_groups(&[missing.clone(), group.clone()]).await.expect("an answer");
        let found = described[1].1.as_ref().expect("it is there");
        found.members.first().is_some_and(|member| !member.target.active.is_empty()).then_some(described)
    })
    .await;
    assert_eq!(described[0].1.as_ref().expect_err("it is missing").code, ErrorCode::GROUP_ID_NOT_FOUND);
    let found = described[1].1.as_ref().expect("it is there");
    let ([member], [part]) = (&found.members[..], &found.subtopologies[..]) else { panic!("one of each: {found:?}") };
    assert_eq!((&found.group_id, found.topology_epoch), (&group, Some(0)));
    assert_eq!((&*part.id, &part.source_topics), ("0", &vec![topic.clone()]));
    assert_eq!((&*member.member_id, &*member.process_id, member.is_classic), (MEMBER, "process", false));
    let both = [0, 1].map(|index| ("0".into(), PartitionId(index))).to_vec();
    assert_eq!(member.target, StreamsTasks { active: both, ..StreamsTasks::default() });
    assert!(is_listed(&client, &group, "streams").await);

    beat(-1).await;
    let partition = TopicPartition::new(topic, PartitionId(0));
    let (member, offset) = (GroupMetadata::without_membership(group.clone()), CommittedOffset::new(Offset(0)));
    commit_offsets(&client, &member, &[(partition.clone(), offset.clone())]).await.expect("it has no members");
    let partitions = from_ref(&partition);
    assert_eq!(fetch_offsets(&client, &group, partitions).await.expect("an answer")[0].1, Some(offset));
    let deleted = client.delete_group_offsets(&group, partitions).await.expect("an answer");
    assert_eq!(deleted, Ok(vec![(partition.clone(), Ok(()))]));
    assert_eq!(fetch_offsets(&client, &group, partitions).await.expect("an answer")[0].1, None);
    assert_eq!(client.delete_groups(from_ref(&group)).await.expect("an answer"), [(group.clone(), Ok(()))]);
    assert!(!is_listed(&client, &group, "streams").await);
}
