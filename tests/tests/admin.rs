//! Administration by the client's methods, on both brokers. Tests of the single requests are in `admin_apis.rs`.

#[path = "admin/cluster.rs"]
mod cluster;
#[path = "../../kafka-wire/examples/admin.rs"]
mod example;
#[path = "admin/other_groups.rs"]
mod other_groups;
#[path = "admin/partitions.rs"]
mod partitions;
#[path = "admin/topics.rs"]
mod topics;

use std::time::Duration;

use conformance::reader::create_topic;
use conformance::writer::Transactions;
use conformance::{TestBroker, client_config, eventually, on_both_brokers};
use kafka_wire::admin::{
    Acl, AclFilter, AclOperation, AclPattern, AclResource, ConfigChange, ConfigEntry, ConfigResource, ConfigSource,
    GroupFilter, ScramChange, ScramMechanism, TransactionFilter,
};
use kafka_wire::client::{
    Client, GroupConsumer, GroupConsumerConfig, GroupProtocol, Subscription, commit_offsets, fetch_offsets,
};
use kafka_wire::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use kafka_wire::protocol::ErrorCode;
use kafka_wire::types::{BrokerId, Offset, PartitionId, ProducerId};
use kafka_wire::wire::Str;

on_both_brokers!(
    settings_are_described_and_changed_one_by_one,
    topics_get_more_partitions,
    groups_are_listed_described_and_deleted,
    a_group_of_the_new_protocol_shows_its_members,
    users_get_passwords_and_lose_them,
    entries_of_access_control_come_and_go,
    transactions_are_listed_and_described,
    a_member_that_is_not_there_is_named,
    the_example_runs,
);

async fn connect(broker: &TestBroker) -> Client {
    Client::connect(client_config(broker.bootstrap())).await.expect("the broker listens")
}

/// The setting of a topic.
async fn setting(client: &Client, topic: &Str, name: &str) -> ConfigEntry {
    let resource = ConfigResource::Topic(topic.clone());
    let mut described = client.describe_configs(&[resource]).await.expect("an answer");
    let entries = described.remove(0).1.expect("the topic is there");
    entries.into_iter().find(|entry| &*entry.name == name).expect("topics have it")
}

async fn settings_are_described_and_changed_one_by_one(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, missing) = (Str::from(broker.unique("settings")), Str::from(broker.unique("missing")));
    create_topic(&client, &topic, 1).await;
    assert_eq!(setting(&client, &topic, "delete.retention.ms").await.source, ConfigSource::Default);

    let set = |value: &str| ConfigChange::Set("delete.retention.ms".into(), value.into());
    let of = |topic: &Str, change| (ConfigResource::Topic(topic.clone()), vec![change]);
    let changes = [of(&missing, set("60000")), of(&topic, set("60000"))];
    let outcomes = client.alter_configs(&changes).await.expect("an answer");
    let refused = outcomes[0].1.as_ref().expect_err("there is no such topic");
    assert_eq!(refused.code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(outcomes[1], (ConfigResource::Topic(topic.clone()), Ok(())));
    eventually("the new value", WAIT, async || {
        let found = setting(&client, &topic, "delete.retention.ms").await;
        (found.value.as_deref() == Some("60000") && found.source == ConfigSource::Topic).then_some(())
    })
    .await;

    let outcomes = client.alter_configs(&[of(&topic, set("soon"))]).await.expect("an answer");
    assert_eq!(outcomes[0].1.as_ref().expect_err("no number").code, ErrorCode::INVALID_CONFIG);
    let delete = ConfigChange::Delete("delete.retention.ms".into());
    client.alter_configs(&[of(&topic, delete)]).await.expect("an answer")[0].1.clone().expect("it is deleted");
    eventually("the default", WAIT, async || {
        (setting(&client, &topic, "delete.retention.ms").await.source == ConfigSource::Default).then_some(())
    })
    .await;

    let id = client.cluster().brokers().next().expect("a broker").id;
    let asked = [ConfigResource::Broker(id), ConfigResource::Topic(topic.clone())];
    let described = client.describe_configs(&asked).await.expect("an answer");
    assert_eq!(described.iter().map(|(resource, _)| resource.clone()).collect::<Vec<_>>(), asked);
    assert!(described.iter().all(|(_, entries)| entries.as_ref().is_ok_and(|entries| !entries.is_empty())));
}

async fn topics_get_more_partitions(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, missing) = (Str::from(broker.unique("grows")), Str::from(broker.unique("missing")));
    create_topic(&client, &topic, 1).await;
    let outcomes = client.create_partitions(&[(missing, 3), (topic.clone(), 3)]).await.expect("an answer");
    let codes: Vec<_> = outcomes.iter().map(|(_, outcome)| outcome.as_ref().map_err(|error| error.code)).collect();
    assert_eq!(codes, [Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), Ok(&())]);
    // Brokers get them a moment later.
    eventually("the third partition", WAIT, async || {
        client.invalidate(&topic);
        client.leader(&topic, PartitionId(2)).await.ok()
    })
    .await;
    let outcomes = client.create_partitions(&[(topic, 2)]).await.expect("an answer");
    assert_eq!(outcomes[0].1.as_ref().expect_err("fewer than now").code, ErrorCode::INVALID_PARTITIONS);
}

async fn groups_are_listed_described_and_deleted(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, group) = (broker.unique("read"), Str::from(broker.unique("group")));
    create_topic(&client, &topic, 1).await;
    let partition = TopicPartition::new(topic.as_str(), PartitionId(0));
    let member = GroupMetadata::without_membership(group.clone());
    let offset = [(partition.clone(), CommittedOffset::new(Offset(0)))];
    commit_offsets(&client, &member, &offset).await.expect("a group without members takes offsets");

    let listed = client.list_groups(&GroupFilter::default()).await.expect("an answer");
    assert!(listed.iter().any(|one| one.group_id == group && &*one.state == "Empty"), "{listed:?}");
    let count = async |filter: GroupFilter| {
        let listed = client.list_groups(&filter).await.expect("an answer");
        listed.iter().filter(|one| one.group_id == group).count()
    };
    let (empty, stable) = (vec!["Empty".into()], vec!["Stable".into()]);
    let (classic, share) = (vec!["classic".into()], vec!["share".into()]);
    assert_eq!(count(GroupFilter { states: empty, types: classic, ..GroupFilter::default() }).await, 1);
    assert_eq!(count(GroupFilter { states: stable, ..GroupFilter::default() }).await, 0);
    assert_eq!(count(GroupFilter { types: share, ..GroupFilter::default() }).await, 0);
    assert_eq!(count(GroupFilter { protocol_types: vec!["connect".into()], ..GroupFilter::default() }).await, 0);
    let described = client.describe_groups(std::slice::from_ref(&group)).await.expect("an answer");
    let description = described[0].1.as_ref().expect("it is there");
    assert_eq!((&*description.state, description.members.len()), ("Empty", 0));

    let outcomes = client.delete_group_offsets(&group, std::slice::from_ref(&partition)).await.expect("an answer");
    assert_eq!(outcomes, Ok(vec![(partition.clone(), Ok(()))]));
    let found = fetch_offsets(&client, &group, std::slice::from_ref(&partition)).await.expect("an answer");
    assert_eq!(found, [(partition, None)]);

    commit_offsets(&client, &member, &offset).await.expect("it takes them again");
    let missing = Str::from(broker.unique("missing"));
    let outcomes = client.delete_groups(&[missing, group.clone()]).await.expect("an answer");
    let codes: Vec<_> = outcomes.iter().map(|(_, outcome)| outcome.as_ref().map_err(|error| error.code)).collect();
    assert_eq!(codes, [Err(ErrorCode::GROUP_ID_NOT_FOUND), Ok(&())]);
    let listed = client.list_groups(&GroupFilter::default()).await.expect("an answer");
    assert!(listed.iter().all(|one| one.group_id != group), "{listed:?}");
}

async fn a_group_of_the_new_protocol_shows_its_members(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, group) = (Str::from(broker.unique("read")), Str::from(broker.unique("group")));
    create_topic(&client, &topic, 2).await;
    let mut config = GroupConsumerConfig::new(group.clone(), Subscription::Topics(vec![topic.clone()]));
    config.group_protocol = GroupProtocol::Consumer;
    let mut consumer = GroupConsumer::new(client.clone(), config).await.expect("it starts");
    let both = [0, 1].map(|index| TopicPartition::new(topic.clone(), PartitionId(index)));
    while consumer.assignment() != both {
        consumer.poll().await.expect("an assignment");
    }
    let missing = Str::from(broker.unique("missing"));
    let described = client.describe_consumer_groups(&[missing, group.clone()]).await.expect("an answer");
    assert_eq!(described[0].1.as_ref().expect_err("it is missing").code, ErrorCode::GROUP_ID_NOT_FOUND);
    let found = described[1].1.as_ref().expect("it is there");
    let [member] = &found.members[..] else { panic!("one member: {found:?}") };
    assert_eq!((&found.group_id, &*found.assignor), (&group, "uniform"));
    assert_eq!((&member.topics, &member.target[..], member.is_classic), (&vec![topic], &both[..], Some(false)));
    consumer.close().await.expect("it leaves");
}

async fn users_get_passwords_and_lose_them(broker: TestBroker) {
    let client = connect(&broker).await;
    let user = Str::from(broker.unique("user"));
    let set = client.set_scram_password(&user, ScramMechanism::Sha512, "secret").await.expect("an answer");
    assert_eq!(set, Ok(()));
    let credentials = eventually("the new user", WAIT, async || {
        let mut users = client.describe_scram_users(std::slice::from_ref(&user)).await.expect("an answer").ok()?;
        users.remove(0).1.ok()
    })
    .await;
    assert_eq!(credentials, [(ScramMechanism::Sha512, 8_192)]);
    let delete = |mechanism| ScramChange::Delete { user: user.clone(), mechanism };
    let outcomes = client.alter_scram_users(&[delete(ScramMechanism::Sha256)]).await.expect("an answer");
    assert_eq!(outcomes[0].1.as_ref().expect_err("it has none").code, ErrorCode::RESOURCE_NOT_FOUND);
    let outcomes = client.alter_scram_users(&[delete(ScramMechanism::Sha512)]).await.expect("an answer");
    assert_eq!(outcomes, [(user.clone(), Ok(()))]);
}

async fn entries_of_access_control_come_and_go(broker: TestBroker) {
    let client = connect(&broker).await;
    let topic = Str::from(broker.unique("guarded"));
    let mut prefixed = Acl::allow("User:bob", AclOperation::Write, AclResource::Topic, topic.clone());
    prefixed.pattern = AclPattern::Prefixed;
    let acls = [Acl::allow("User:alice", AclOperation::Read, AclResource::Topic, topic.clone()), prefixed];
    let created = client.create_acls(&acls).await.expect("an answer");
    assert!(created.iter().all(|(_, outcome)| outcome.is_ok()), "{created:?}");
    let filter = AclFilter { name: Some(topic), ..AclFilter::default() };
    let found = eventually("the entries", WAIT, async || {
        let found = client.describe_acls(&filter).await.expect("an answer").expect("it has an authorizer");
        (found.len() == 2).then_some(found)
    })
    .await;
    assert!(acls.iter().all(|acl| found.contains(acl)), "{found:?}");
    let of_alice = AclFilter { principal: Some("User:alice".into()), ..filter.clone() };
    let deleted = client.delete_acls(&of_alice).await.expect("an answer").expect("the filter is sound");
    assert_eq!(deleted, [(acls[0].clone(), Ok(()))]);
    let deleted = client.delete_acls(&filter).await.expect("an answer").expect("the filter is sound");
    assert_eq!(deleted, [(acls[1].clone(), Ok(()))]);
}

async fn transactions_are_listed_and_described(broker: TestBroker) {
    let client = connect(&broker).await;
    let (id, topic) = (Str::from(broker.unique("txn")), broker.unique("written"));
    create_topic(&client, &topic, 1).await;
    let mut transaction = Transactions::open(&client, &id).await;
    let partition = TopicPartition::new(topic.as_str(), PartitionId(0));
    transaction.write(&partition, &["open"]).await;

    let listed = client.list_transactions(&TransactionFilter::default()).await.expect("an answer");
    assert!(listed.iter().any(|one| one.transactional_id == id && &*one.state == "Ongoing"), "{listed:?}");
    let own = listed.iter().find(|one| one.transactional_id == id).expect("it is listed").clone();
    let count = async |filter: TransactionFilter| {
        let listed = client.list_transactions(&filter).await.expect("an answer");
        listed.iter().filter(|one| **one == own).count()
    };
    let of = |producer| TransactionFilter { producers: vec![producer], ..TransactionFilter::default() };
    assert_eq!((count(of(own.producer_id)).await, count(of(ProducerId(i64::MAX))).await), (1, 0));
    let in_state = |state: &str| TransactionFilter { states: vec![state.into()], ..TransactionFilter::default() };
    assert_eq!((count(in_state("Ongoing")).await, count(in_state("Empty")).await), (1, 0));
    let hour = Some(Duration::from_secs(3_600));
    assert_eq!(count(TransactionFilter { open_longer_than: hour, ..TransactionFilter::default() }).await, 0);
    let pattern = Some(Str::from(format!("{}.*", &id[..id.len() - 1])));
    assert_eq!(count(TransactionFilter { id_pattern: pattern, ..TransactionFilter::default() }).await, 1);

    let missing = Str::from(broker.unique("missing"));
    let described = client.describe_transactions(&[id.clone(), missing]).await.expect("an answer");
    let found = described[0].1.as_ref().expect("it is there");
    assert_eq!((&*found.state, &found.partitions), ("Ongoing", &vec![partition]));
    let refused = described[1].1.as_ref().expect_err("it is not there");
    assert_eq!(refused.code, ErrorCode::TRANSACTIONAL_ID_NOT_FOUND);
    transaction.abort().await;
}

async fn a_member_that_is_not_there_is_named(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, group) = (broker.unique("read"), Str::from(broker.unique("group")));
    create_topic(&client, &topic, 1).await;
    let member = GroupMetadata::without_membership(group.clone());
    let offset = (TopicPartition::new(topic.as_str(), PartitionId(0)), CommittedOffset::new(Offset(0)));
    commit_offsets(&client, &member, &[offset]).await.expect("a group without members takes offsets");
    let removed = client.remove_group_members(&group, &["nobody".into()], "a test").await.expect("an answer");
    let outcomes = removed.expect("the group is there");
    assert_eq!(outcomes[0].1.as_ref().expect_err("nobody is there").code, ErrorCode::UNKNOWN_MEMBER_ID);
}

async fn the_example_runs(broker: TestBroker) {
    let topic = broker.unique("orders");
    example::admin(broker.bootstrap(), &topic).await.expect("it runs");
    let client = connect(&broker).await;
    client.leader(&topic, PartitionId(2)).await.expect("the topic has three partitions");
}

const WAIT: Duration = Duration::from_secs(30);
/// Id of the only node, of either broker.
const NODE: BrokerId = BrokerId(1);
