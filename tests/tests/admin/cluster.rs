//! The cluster itself: brokers, topics, features, the quorum, quotas, resources with settings.

use conformance::{TestBroker, client_config, eventually, on_both_brokers};
use kafka_wire::admin::{
    AclOperation, ConfigChange, ConfigResource, ConfigResourceKind, FeatureUpdate, NewTopic, QuotaChange, QuotaEntity,
    QuotaFilter, QuotaKind, QuotaMatch, Voter,
};
use kafka_wire::client::{AdminError, Client, RequestError};
use kafka_wire::protocol::ErrorCode;
use kafka_wire::types::{BrokerId, PartitionId};
use kafka_wire::wire::{Str, Uuid};
use testkit::broker::{Broker, BrokerConfig};

use super::{NODE, WAIT, connect, create_topic};

on_both_brokers!(
    the_cluster_shows_its_brokers,
    topics_show_their_replicas,
    features_are_described_and_refused,
    the_quorum_shows_its_voters,
    quotas_are_set_and_removed,
    resources_with_settings_are_listed,
    subscriptions_to_client_metrics_are_configured,
    a_broker_that_is_not_there_cannot_be_unregistered,
);

async fn the_cluster_shows_its_brokers(broker: TestBroker) {
    let client = connect(&broker).await;
    let cluster = client.describe_cluster().await.expect("an answer");
    assert!(!cluster.cluster_id.is_empty());
    assert_eq!(cluster.controller, Some(NODE));
    let [only] = &cluster.brokers[..] else { panic!("one broker: {cluster:?}") };
    assert_eq!((only.id, format!("{}:{}", only.host, only.port)), (NODE, broker.bootstrap().to_owned()));
    assert_eq!((&only.rack, only.is_fenced), (&None, false));
    assert!(cluster.operations.is_some_and(|operations| operations.contains(&AclOperation::Alter)));
}

async fn topics_show_their_replicas(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, missing) = (Str::from(broker.unique("topic")), Str::from(broker.unique("missing")));
    create_topic(&client, &topic, 3).await;
    let described = client.describe_topics(&[missing.clone(), topic.clone()]).await.expect("an answer");
    assert_eq!(described[0].1.as_ref().expect_err("it is missing").code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let found = described[1].1.as_ref().expect("it is there");
    assert_eq!((&found.name, found.is_internal, found.id.is_zero()), (&topic, false, false));
    assert!(found.operations.as_ref().is_some_and(|operations| operations.contains(&AclOperation::Read)));
    assert_eq!(found.partitions.iter().map(|one| one.id.0).collect::<Vec<_>>(), [0, 1, 2]);
    for partition in &found.partitions {
        assert_eq!((partition.leader, partition.leader_epoch.0), (Some(NODE), 0));
        assert_eq!((&partition.replicas, &partition.in_sync), (&vec![NODE], &vec![NODE]));
        assert_eq!((&partition.offline, &partition.eligible_leaders), (&vec![], &Some(vec![])));
    }
    let listed = client.list_topics().await.expect("an answer");
    let own = listed.iter().find(|one| one.name == topic).expect("it is listed");
    assert_eq!(own.id, found.id);
    assert!(listed.is_sorted() && listed.iter().all(|one| one.name != missing));
}

/// A page has 2,000 partitions at most. Apache Kafka takes long to make so many; its pages are tested by `admin_apis`.
#[tokio::test]
async fn a_topic_of_more_partitions_than_a_page_is_described_whole() {
    let broker = Broker::start(BrokerConfig::default()).await.expect("a port is free");
    let client = Client::connect(client_config(&broker.address())).await.expect("the broker listens");
    let topics = [NewTopic::new("a", 3), NewTopic::new("large", 4_100), NewTopic::new("z", 2)];
    client.create_topics(&topics).await.expect("an answer");
    let names: Vec<_> = topics.iter().map(|topic| topic.name.clone()).collect();
    for (wanted, (name, outcome)) in topics.iter().zip(client.describe_topics(&names).await.expect("an answer")) {
        let found = outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
        let indexes: Vec<_> = found.partitions.iter().map(|partition| partition.id).collect();
        assert_eq!(indexes, (0..wanted.partitions).map(PartitionId).collect::<Vec<_>>(), "{name}");
    }
}

async fn features_are_described_and_refused(broker: TestBroker) {
    let client = connect(&broker).await;
    let features = client.describe_features().await.expect("an answer");
    let level = features.finalized.iter().find(|feature| &*feature.name == "transaction.version").map(|one| one.max);
    assert_eq!(level, Some(broker.kind().transaction_version()));
    assert!(features.finalized_epoch.is_some());
    assert!(features.supported.iter().any(|feature| &*feature.name == "transaction.version" && feature.max >= 2));

    let unknown = [FeatureUpdate::raise("no.such.feature", 1)];
    let outcome = client.validate_features(&unknown).await;
    if !broker.kind().is_kafka() {
        // The embedded broker cannot change levels, and lacks the API.
        assert!(is_unsupported(&outcome), "{outcome:?}");
        return;
    }
    let code = refusal(outcome.and_then(|outcomes| Ok(outcomes.into_iter().next().expect("one").1?)));
    assert_eq!(code, ErrorCode::INVALID_UPDATE_VERSION);
    let same = [FeatureUpdate::raise("transaction.version", broker.kind().transaction_version())];
    let outcomes = client.update_features(&same).await.expect("the level stays");
    assert_eq!(outcomes, [("transaction.version".into(), Ok(()))]);
}

async fn the_quorum_shows_its_voters(broker: TestBroker) {
    let client = connect(&broker).await;
    let quorum = client.describe_quorum().await.expect("an answer");
    assert_eq!(quorum.leader, Some(NODE));
    let [only] = &quorum.voters[..] else { panic!("one voter: {quorum:?}") };
    assert_eq!(only.id, NODE);
    assert!(quorum.high_watermark.0 > 0 && only.log_end_offset >= quorum.high_watermark, "{quorum:?}");
    assert_eq!(quorum.endpoints.first().map(|(id, endpoints)| (*id, endpoints.len())), Some((NODE, 1)));

    let stranger = Voter { id: BrokerId(77), directory: Uuid([7; 16]) };
    let outcome = client.remove_voter(stranger).await;
    if broker.kind().is_kafka() {
        // The voters of this node stand in its configuration, or there is no such voter.
        let code = refusal(outcome);
        assert!(matches!(code, ErrorCode::UNSUPPORTED_VERSION | ErrorCode::VOTER_NOT_FOUND), "{code}");
        let code = refusal(client.add_voter(stranger, &quorum.endpoints[0].1).await);
        assert!(matches!(code, ErrorCode::UNSUPPORTED_VERSION | ErrorCode::REQUEST_TIMED_OUT), "{code}");
    } else {
        // The embedded broker has no quorum to change, and lacks the API.
        assert!(is_unsupported(&outcome), "{outcome:?}");
    }
}

async fn quotas_are_set_and_removed(broker: TestBroker) {
    let client = connect(&broker).await;
    let user = Str::from(broker.unique("user"));
    let alone = QuotaEntity::user(user.clone());
    let with_app = alone.clone().with(QuotaKind::ClientId, "app");
    let rate = |value| QuotaChange::Set("producer_byte_rate".into(), value);
    let wrong = QuotaEntity::ip("127.0.0.1");
    let changes = [
        (alone.clone(), vec![rate(1024.0)]),
        (wrong.clone(), vec![rate(1.0)]),
        (with_app.clone(), vec![rate(2048.0), QuotaChange::Set("request_percentage".into(), 12.5)]),
    ];
    let outcomes = client.alter_client_quotas(&changes).await.expect("an answer");
    assert_eq!((&outcomes[0], &outcomes[2]), (&(alone.clone(), Ok(())), &(with_app.clone(), Ok(()))));
    let refused = outcomes[1].1.as_ref().expect_err("an address has no such quota");
    assert_eq!((&outcomes[1].0, refused.code), (&wrong, ErrorCode::INVALID_REQUEST));

    let of_user =
        |is_strict| QuotaFilter { conditions: vec![(QuotaKind::User, QuotaMatch::Name(user.clone()))], is_strict };
    let both = eventually("both entities", WAIT, async || {
        let found = client.describe_client_quotas(&of_user(false)).await.expect("an answer");
        (found.len() == 2).then_some(found)
    })
    .await;
    let byte_rate = ("producer_byte_rate".into(), 1024.0);
    assert!(both.contains(&(alone.clone(), vec![byte_rate.clone()])), "{both:?}");
    assert!(both.iter().any(|(entity, quotas)| *entity == with_app && quotas.len() == 2), "{both:?}");
    let strict = client.describe_client_quotas(&of_user(true)).await.expect("an answer");
    assert_eq!(strict, [(alone.clone(), vec![byte_rate])]);

    let remove = |name: &str| QuotaChange::Remove(name.into());
    let all = vec![remove("producer_byte_rate"), remove("request_percentage")];
    client.alter_client_quotas(&[(alone, all.clone()), (with_app, all)]).await.expect("an answer");
    eventually("no entity", WAIT, async || {
        let found = client.describe_client_quotas(&of_user(false)).await.expect("an answer");
        found.is_empty().then_some(())
    })
    .await;
}

async fn resources_with_settings_are_listed(broker: TestBroker) {
    let client = connect(&broker).await;
    let topic = Str::from(broker.unique("topic"));
    create_topic(&client, &topic, 1).await;
    let topics = client.list_config_resources(&[ConfigResourceKind::Topic]).await.expect("an answer");
    assert!(topics.contains(&ConfigResource::Topic(topic.clone())), "{topics:?}");
    assert!(topics.iter().all(|one| matches!(one, ConfigResource::Topic(_))), "{topics:?}");
    let all = client.list_config_resources(&[]).await.expect("an answer");
    for resource in [ConfigResource::Topic(topic), ConfigResource::Broker(NODE), ConfigResource::BrokerLoggers(NODE)] {
        assert!(all.contains(&resource), "{resource}: {all:?}");
    }
}

async fn subscriptions_to_client_metrics_are_configured(broker: TestBroker) {
    let client = connect(&broker).await;
    let resource = ConfigResource::ClientMetrics(broker.unique("subscription").into());
    let change = |change| [(resource.clone(), vec![change])];
    let set = ConfigChange::Set("interval.ms".into(), "60000".into());
    let outcomes = client.alter_configs(&change(set)).await.expect("an answer");
    if !broker.kind().is_kafka() {
        // The embedded broker collects no metrics, so it has no subscriptions to configure.
        assert_eq!(outcomes[0].1.as_ref().expect_err("none").code, ErrorCode::INVALID_REQUEST);
        return;
    }
    assert_eq!(outcomes, [(resource.clone(), Ok(()))]);
    let kinds = [ConfigResourceKind::ClientMetrics];
    eventually("the subscription", WAIT, async || {
        client.list_config_resources(&kinds).await.expect("an answer").contains(&resource).then_some(())
    })
    .await;
    let described = client.describe_configs(std::slice::from_ref(&resource)).await.expect("an answer");
    let entries = described[0].1.as_ref().expect("it is there");
    assert!(entries.iter().any(|entry| &*entry.name == "interval.ms" && entry.value.as_deref() == Some("60000")));
    client.alter_configs(&change(ConfigChange::Delete("interval.ms".into()))).await.expect("an answer");
    eventually("no subscription", WAIT, async || {
        (!client.list_config_resources(&kinds).await.expect("an answer").contains(&resource)).then_some(())
    })
    .await;
}

async fn a_broker_that_is_not_there_cannot_be_unregistered(broker: TestBroker) {
    let client = connect(&broker).await;
    let outcome = client.unregister_broker(BrokerId(77)).await;
    if broker.kind().is_kafka() {
        assert_eq!(refusal(outcome), ErrorCode::BROKER_ID_NOT_REGISTERED);
    } else {
        // The embedded broker is the only one that can be registered, and lacks the API.
        assert!(is_unsupported(&outcome), "{outcome:?}");
    }
}

fn refusal<T: std::fmt::Debug>(outcome: Result<T, AdminError>) -> ErrorCode {
    match outcome {
        Err(AdminError::Refused(error)) => error.code,
        other => panic!("a refusal was expected: {other:?}"),
    }
}

/// Whether the broker lacks the API.
fn is_unsupported<T>(outcome: &Result<T, AdminError>) -> bool {
    matches!(outcome, Err(AdminError::Request(RequestError::UnsupportedVersion { .. })))
}
