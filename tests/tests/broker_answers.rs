//! Answers of a broker about itself, its topics and its groups, and the records that it accepts:
//! compared with Apache Kafka.

use std::time::Duration;

use bytes::Bytes;
use conformance::{TestBroker, client_config, eventually, on_both_brokers, within};
use kafka_wire::admin::NewTopic;
use kafka_wire::client::{CallOptions, Client, GroupConfig, GroupEvent, GroupMember, Lane, Node, RequestError};
use kafka_wire::protocol::describe_cluster::DescribeClusterRequest;
use kafka_wire::protocol::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_wire::protocol::describe_groups::{DescribeGroupsRequest, DescribedGroup};
use kafka_wire::protocol::find_coordinator::FindCoordinatorRequest;
use kafka_wire::protocol::list_groups::ListGroupsRequest;
use kafka_wire::protocol::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic};
use kafka_wire::protocol::produce::{PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData};
use kafka_wire::protocol::{ErrorCode, Request};
use kafka_wire::record::{BatchBuilder, RawHeaders, Seal};
use kafka_wire::wire::Str;

on_both_brokers!(
    a_compacted_topic_refuses_records_without_a_key,
    dates_too_far_from_today_are_refused,
    nobody_writes_to_an_internal_topic,
    coordinators_have_their_internal_topics,
    an_emptied_group_keeps_its_kind,
    authorized_operations_come_when_they_are_asked_for,
    settings_come_with_their_synonyms,
    the_broker_tells_its_settings,
    groups_loggers_and_metrics_have_settings,
    resources_that_there_are_not_are_told_so,
);

async fn connect(broker: &TestBroker) -> Client {
    Client::connect(client_config(broker.bootstrap())).await.expect("the broker listens")
}

async fn call<R: Request>(client: &Client, version: i16, request: R) -> Result<R::Response, RequestError> {
    let options = CallOptions { max_version: Some(version), ..CallOptions::default() };
    client.request(Node::Any, Lane::General, request, options).await
}

/// The answer to a request at this version.
async fn ask<R: Request>(client: &Client, version: i16, request: R) -> R::Response {
    call(client, version, request).await.expect("the broker answers")
}

/// A new topic of one partition.
async fn new_topic(broker: &TestBroker, client: &Client, configs: &[(&str, &str)]) -> Str {
    let name = Str::from(broker.unique("t"));
    let configs = configs.iter().map(|(name, value)| (Str::from(*name), Str::from(*value))).collect();
    let topic = NewTopic { configs, ..NewTopic::new(name.clone(), 1) };
    client.create_topics(&[topic]).await.expect("the broker answers")[0].1.clone().expect("the topic is new");
    eventually("the topic", Duration::from_secs(30), || async {
        let cluster = client.metadata(std::slice::from_ref(&name)).await.ok()?;
        cluster.topic(&name)?.error.is_none().then_some(())
    })
    .await;
    name
}

/// Sends one batch, of records that have this age in seconds and this key.
async fn produce(client: &Client, topic: &Str, records: &[(i64, Option<&str>)]) -> PartitionProduceResponse {
    let mut batch = BatchBuilder::new(1024);
    for (age_s, key) in records {
        let key = key.map(str::as_bytes);
        batch.append(now_ms() - age_s * 1000, key, Some(b"value"), RawHeaders::EMPTY).expect("there is room");
    }
    let records: Option<Bytes> = Some(batch.seal(Seal::default()).expect("nothing to compress"));
    let data = PartitionProduceData { index: 0, records, ..Default::default() };
    let data = TopicProduceData { name: topic.clone(), partition_data: vec![data], ..Default::default() };
    let request = ProduceRequest { acks: -1, timeout_ms: 10_000, topic_data: vec![data], ..Default::default() };
    eventually("a leader that knows of its partition", Duration::from_secs(60), || async {
        let response = ask(client, 9, request.clone()).await;
        let answer = response.responses[0].partition_responses[0].clone();
        let is_early = [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::NOT_LEADER_OR_FOLLOWER];
        (!is_early.contains(&ErrorCode(answer.error_code))).then_some(answer)
    })
    .await
}

#[expect(clippy::disallowed_methods, reason = "brokers hold dates of records against the wall clock")]
fn now_ms() -> i64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(since_1970.as_millis()).expect("a date")
}

/// Checks that a batch was refused for these of its records.
#[track_caller]
fn assert_refused(answer: &PartitionProduceResponse, error: ErrorCode, records: &[i32]) {
    let refused: Vec<i32> = answer.record_errors.iter().map(|record| record.batch_index).collect();
    assert_eq!((ErrorCode(answer.error_code), &refused[..]), (error, records), "{answer:?}");
    assert_eq!((answer.base_offset, answer.log_start_offset, answer.error_message.is_some()), (-1, 0, true));
    assert!(answer.record_errors.iter().all(|record| record.batch_index_error_message.is_some()), "{answer:?}");
}

#[track_caller]
fn assert_taken(answer: &PartitionProduceResponse, base_offset: i64) {
    assert_eq!((ErrorCode(answer.error_code), answer.base_offset), (ErrorCode::NONE, base_offset), "{answer:?}");
}

async fn a_compacted_topic_refuses_records_without_a_key(broker: TestBroker) {
    let client = connect(&broker).await;
    for policy in ["compact", "compact,delete"] {
        let topic = new_topic(&broker, &client, &[("cleanup.policy", policy)]).await;
        let answer = produce(&client, &topic, &[(0, Some("k")), (0, None), (0, None)]).await;
        assert_refused(&answer, ErrorCode::INVALID_RECORD, &[1, 2]);
        assert_taken(&produce(&client, &topic, &[(0, Some("k")), (0, Some(""))]).await, 0);
    }
    let topic = new_topic(&broker, &client, &[]).await;
    assert_taken(&produce(&client, &topic, &[(0, None)]).await, 0);
}

async fn dates_too_far_from_today_are_refused(broker: TestBroker) {
    const TWO_HOURS: i64 = 7200;
    let client = connect(&broker).await;
    let topic = new_topic(&broker, &client, &[("message.timestamp.before.max.ms", "600000")]).await;
    let mixed = [(TWO_HOURS, Some("k")), (0, None), (-TWO_HOURS, None), (now_ms() / 1000 + 1, None)];
    let answer = produce(&client, &topic, &mixed).await;
    assert_refused(&answer, ErrorCode::INVALID_TIMESTAMP, &[0, 2, 3]);
    assert_taken(&produce(&client, &topic, &[(500, None), (-3500, None)]).await, 0);

    // An hour ahead is too far unless the topic says otherwise, and no record is too old.
    let topic = new_topic(&broker, &client, &[]).await;
    assert_refused(&produce(&client, &topic, &[(-TWO_HOURS, None)]).await, ErrorCode::INVALID_TIMESTAMP, &[0]);
    assert_taken(&produce(&client, &topic, &[(now_ms() / 1000 - 5, None)]).await, 0);
    let patient = [("message.timestamp.after.max.ms", "86400000")];
    let topic = new_topic(&broker, &client, &patient).await;
    assert_taken(&produce(&client, &topic, &[(-TWO_HOURS, None)]).await, 0);

    // If the broker sets the timestamp, the producer's does not matter.
    let configs = [("message.timestamp.type", "LogAppendTime"), ("message.timestamp.before.max.ms", "600000")];
    let topic = new_topic(&broker, &client, &configs).await;
    assert_taken(&produce(&client, &topic, &[(TWO_HOURS, None), (-TWO_HOURS, None)]).await, 0);

    // Both are at fault: the batch is refused for the timestamp.
    let configs = [("cleanup.policy", "compact"), ("message.timestamp.before.max.ms", "600000")];
    let topic = new_topic(&broker, &client, &configs).await;
    let answer = produce(&client, &topic, &[(TWO_HOURS, Some("k")), (0, None), (TWO_HOURS, None)]).await;
    assert_refused(&answer, ErrorCode::INVALID_TIMESTAMP, &[0, 1, 2]);
}

async fn nobody_writes_to_an_internal_topic(broker: TestBroker) {
    let client = connect(&broker).await;
    internal_topic(&client, 0).await;
    let answer = produce(&client, &Str::from("__consumer_offsets"), &[(0, Some("k"))]).await;
    assert_eq!(ErrorCode(answer.error_code), ErrorCode::INVALID_TOPIC_EXCEPTION);
}

/// The internal topic of a coordinator, which exists once a client has looked for that coordinator.
async fn internal_topic(client: &Client, key_type: i8) -> MetadataResponseTopic {
    let name = if key_type == 0 { "__consumer_offsets" } else { "__transaction_state" };
    eventually(name, Duration::from_secs(60), || async {
        let request = FindCoordinatorRequest { key: Str::from("somebody"), key_type, ..Default::default() };
        ask(client, 1, request).await;
        let all = ask(client, 12, MetadataRequest { topics: None, ..Default::default() }).await;
        all.topics.into_iter().find(|topic| topic.name.as_deref() == Some(name) && !topic.partitions.is_empty())
    })
    .await
}

async fn coordinators_have_their_internal_topics(broker: TestBroker) {
    let client = connect(&broker).await;
    for key_type in [0, 1] {
        let topic = internal_topic(&client, key_type).await;
        assert!(topic.is_internal, "{topic:?}");
        let name = topic.name.expect("it was found by it");
        let settings = describe(&client, 2, &name, None).await;
        assert_eq!(setting(&settings, "cleanup.policy").value.as_deref(), Some("compact"));
        assert_eq!(setting(&settings, "segment.bytes").value.as_deref(), Some("104857600"));
    }
    let own = new_topic(&broker, &client, &[]).await;
    let found = metadata_of(&client, &own, false).await;
    assert!(!found.topics[0].is_internal);
}

async fn an_emptied_group_keeps_its_kind(broker: TestBroker) {
    let client = connect(&broker).await;
    let topic = new_topic(&broker, &client, &[]).await;
    let group = Str::from(broker.unique("g"));
    let mut member = GroupMember::join(client.clone(), GroupConfig::new(group.clone(), vec![topic]));
    let event = within("an assignment", Duration::from_secs(60), member.next_event()).await;
    assert!(matches!(event, GroupEvent::Assigned { .. }), "{event:?}");
    let DescribedGroup { group_state, protocol_type, protocol_data, .. } = describe_group(&client, &group, false).await;
    assert_eq!((&*group_state, &*protocol_type, &*protocol_data), ("Stable", "consumer", "range"));
    member.leave().await;

    let DescribedGroup { group_state, protocol_type, protocol_data, .. } = describe_group(&client, &group, false).await;
    assert_eq!((&*group_state, &*protocol_type, &*protocol_data), ("Empty", "consumer", ""));
    let listed = ask(&client, 5, ListGroupsRequest::default()).await.groups;
    let listed = listed.into_iter().find(|listed| listed.group_id == group).expect("it is there");
    assert_eq!((&*listed.group_state, &*listed.protocol_type, &*listed.group_type), ("Empty", "consumer", "classic"));
}

async fn describe_group(client: &Client, group: &Str, asks_for_operations: bool) -> DescribedGroup {
    let request = DescribeGroupsRequest {
        groups: vec![group.clone()],
        include_authorized_operations: asks_for_operations,
        ..Default::default()
    };
    eventually("the group's coordinator", Duration::from_secs(60), || async {
        let described = ask(client, 5, request.clone()).await.groups.remove(0);
        (described.error_code == ErrorCode::NONE.0).then_some(described)
    })
    .await
}

async fn metadata_of(client: &Client, topic: &str, asks_for_operations: bool) -> MetadataResponse {
    let topic = MetadataRequestTopic { name: Some(Str::from(topic)), ..Default::default() };
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: false,
        include_cluster_authorized_operations: asks_for_operations,
        include_topic_authorized_operations: asks_for_operations,
        ..Default::default()
    };
    ask(client, 10, request).await
}

async fn authorized_operations_come_when_they_are_asked_for(broker: TestBroker) {
    /// KIP-430: bits 3 read, 4 write, 5 create, 6 delete, 7 alter, 8 describe, 10 describe settings, 11 alter settings.
    const OF_A_TOPIC: i32 = 0b1101_1111_1000;
    /// Bits 5, 7, 8, 10, 11; 9 the actions of brokers, 12 idempotent writes.
    const OF_THE_CLUSTER: i32 = 0b1_1111_1010_0000;
    /// Bits 3, 6, 8, 10, 11.
    const OF_A_GROUP: i32 = 0b1101_0100_1000;
    let client = connect(&broker).await;
    let topic = new_topic(&broker, &client, &[]).await;
    for (asks, of_topic, of_cluster, of_group) in
        [(true, OF_A_TOPIC, OF_THE_CLUSTER, OF_A_GROUP), (false, i32::MIN, i32::MIN, i32::MIN)]
    {
        for name in [topic.as_str(), "there-is-no-such-topic"] {
            let metadata = metadata_of(&client, name, asks).await;
            assert_eq!(metadata.topics[0].topic_authorized_operations, of_topic, "{name}");
            assert_eq!(metadata.cluster_authorized_operations, of_cluster);
        }
        let request = DescribeClusterRequest { include_cluster_authorized_operations: asks, ..Default::default() };
        assert_eq!(ask(&client, 1, request).await.cluster_authorized_operations, of_cluster);
        let group = describe_group(&client, &Str::from(broker.unique("nobody")), asks).await;
        assert_eq!((&*group.group_state, group.authorized_operations), ("Dead", of_group));
    }
}

/// The description of one resource, with synonyms.
async fn described(client: &Client, resource_type: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResult {
    let configuration_keys = keys.map(|keys| keys.iter().map(|key| Str::from(*key)).collect());
    let resource = DescribeConfigsResource {
        resource_type,
        resource_name: Str::from(name),
        configuration_keys,
        ..Default::default()
    };
    let request = DescribeConfigsRequest { resources: vec![resource], include_synonyms: true, ..Default::default() };
    let result = ask(client, 4, request).await.results.remove(0);
    assert_eq!((result.resource_type, &*result.resource_name), (resource_type, name));
    result
}

async fn describe(
    client: &Client,
    resource_type: i8,
    name: &str,
    keys: Option<&[&str]>,
) -> Vec<DescribeConfigsResourceResult> {
    let result = described(client, resource_type, name, keys).await;
    assert_eq!((result.error_code, result.error_message.as_deref()), (0, Some("")), "{name}");
    result.configs
}

#[track_caller]
fn setting<'a>(settings: &'a [DescribeConfigsResourceResult], name: &str) -> &'a DescribeConfigsResourceResult {
    settings.iter().find(|setting| &*setting.name == name).unwrap_or_else(|| panic!("no {name} in {settings:?}"))
}

/// Name, value and source of each synonym.
fn synonyms(setting: &DescribeConfigsResourceResult) -> Vec<(&str, Option<&str>, i8)> {
    setting.synonyms.iter().map(|synonym| (&*synonym.name, synonym.value.as_deref(), synonym.source)).collect()
}

async fn settings_come_with_their_synonyms(broker: TestBroker) {
    let client = connect(&broker).await;
    let topic = new_topic(&broker, &client, &[("retention.ms", "5000"), ("cleanup.policy", "compact")]).await;
    let settings = describe(&client, 2, &topic, None).await;
    let of = |name: &str| {
        let found = setting(&settings, name);
        (found.value.as_deref(), found.config_source, found.config_type, synonyms(found))
    };
    let policy = vec![("cleanup.policy", Some("compact"), 1), ("log.cleanup.policy", Some("delete"), 5)];
    assert_eq!(of("cleanup.policy"), (Some("compact"), 1, 7, policy));
    assert_eq!(of("retention.ms"), (Some("5000"), 1, 5, vec![("retention.ms", Some("5000"), 1)]));
    let limit = vec![("message.max.bytes", Some("1048588"), 5)];
    assert_eq!(of("max.message.bytes"), (Some("1048588"), 5, 3, limit));
    assert_eq!(of("flush.ms"), (Some("9223372036854775807"), 5, 5, Vec::new()));
    assert_eq!(of("remote.log.copy.disable"), (Some("false"), 5, 1, Vec::new()));
    // Kafka 4.4 has four more than 4.3.
    assert!((33..=37).contains(&settings.len()), "{} settings", settings.len());
    assert!(settings.iter().all(|setting| !setting.read_only && !setting.is_sensitive));

    // An empty list of names asks for all settings, as null does; unknown names ask for none.
    assert_eq!(describe(&client, 2, &topic, Some(&[])).await.len(), settings.len());
    let some = describe(&client, 2, &topic, Some(&["retention.ms", "there.is.none"])).await;
    assert_eq!(some.iter().map(|setting| &*setting.name).collect::<Vec<_>>(), ["retention.ms"]);

    let resource = DescribeConfigsResource { resource_type: 2, resource_name: topic, ..Default::default() };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let plain = ask(&client, 4, request).await.results.remove(0).configs;
    assert!(plain.iter().all(|setting| setting.synonyms.is_empty()), "nobody asked for them");
}

async fn the_broker_tells_its_settings(broker: TestBroker) {
    let client = connect(&broker).await;
    let settings = describe(&client, 4, "1", None).await;
    let of = |name: &str| {
        let found = setting(&settings, name);
        (found.value.as_deref(), found.config_source, found.config_type, found.read_only)
    };
    assert_eq!(of("node.id"), (Some("1"), 4, 3, true));
    assert_eq!(of("auto.create.topics.enable"), (Some("true"), 5, 1, true));
    assert_eq!(of("message.max.bytes"), (Some("1048588"), 5, 3, false));
    assert_eq!(of("log.retention.hours"), (Some("168"), 5, 3, true));
    assert_eq!(of("broker.rack"), (None, 5, 2, true));
    assert!(setting(&settings, "ssl.key.password").is_sensitive);
    let listeners = setting(&settings, "advertised.listeners").value.as_deref().expect("it listens");
    assert!(listeners.contains(broker.bootstrap()), "{listeners}");
    assert!(settings.len() > 300, "{} settings", settings.len());
    let delay = setting(&settings, "group.initial.rebalance.delay.ms");
    let both =
        vec![("group.initial.rebalance.delay.ms", Some("0"), 4), ("group.initial.rebalance.delay.ms", Some("3000"), 5)];
    assert_eq!(synonyms(delay), both);
    let some = describe(&client, 4, "1", Some(&["num.partitions"])).await;
    assert_eq!((some.len(), some[0].value.as_deref()), (1, Some("1")));
}

async fn groups_loggers_and_metrics_have_settings(broker: TestBroker) {
    let client = connect(&broker).await;
    let group = describe(&client, 32, "some-group", None).await;
    let timeout = setting(&group, "share.session.timeout.ms");
    assert_eq!((timeout.value.as_deref(), timeout.config_source, timeout.config_type), (Some("45000"), 5, 3));
    assert_eq!(synonyms(timeout), [("group.share.session.timeout.ms", Some("45000"), 5)]);
    assert!((17..=21).contains(&group.len()), "{} settings", group.len());
    let metrics = describe(&client, 16, "some-subscription", None).await;
    assert_eq!(setting(&metrics, "interval.ms").value.as_deref(), Some("300000"));
    let loggers = describe(&client, 8, "1", None).await;
    assert_eq!(setting(&loggers, "root").config_source, 6);
}

async fn resources_that_there_are_not_are_told_so(broker: TestBroker) {
    let client = connect(&broker).await;
    for (resource_type, name, error) in [
        (2, "there-is-no-such-topic", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (2, "a b", ErrorCode::INVALID_TOPIC_EXCEPTION),
        (2, "", ErrorCode::INVALID_TOPIC_EXCEPTION),
        (4, "2", ErrorCode::INVALID_REQUEST),
        (4, "one", ErrorCode::INVALID_REQUEST),
        (8, "", ErrorCode::INVALID_REQUEST),
        (8, "7", ErrorCode::INVALID_REQUEST),
        (16, "", ErrorCode::INVALID_REQUEST),
        (32, "", ErrorCode::INVALID_REQUEST),
        (3, "x", ErrorCode::INVALID_REQUEST),
        (99, "x", ErrorCode::INVALID_REQUEST),
    ] {
        let result = described(&client, resource_type, name, None).await;
        assert_eq!(ErrorCode(result.error_code), error, "{resource_type} {name:?}: {:?}", result.error_message);
        assert!(result.configs.is_empty() && result.error_message.is_some());
    }
}
