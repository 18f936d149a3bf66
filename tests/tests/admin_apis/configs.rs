//! Altering settings: one by one, and all at once.

use conformance::{TestBroker, on_both_brokers};
use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::alter_configs::{self, AlterConfigsRequest};
use kafka_wire::protocol::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use kafka_wire::protocol::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use kafka_wire::wire::Str;

use crate::{NONE, PLAIN, Wire, until};

on_both_brokers!(
    settings_are_set_and_deleted,
    lists_are_added_to_and_taken_from,
    changes_are_checked,
    all_settings_are_replaced,
    altered_settings_take_effect,
    settings_of_the_broker_are_altered,
    settings_of_the_broker_are_checked,
    settings_of_the_broker_hold_for_topics,
);

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

const INVALID_CONFIG: ErrorCode = ErrorCode::INVALID_CONFIG;
const INVALID_REQUEST: ErrorCode = ErrorCode::INVALID_REQUEST;

/// Name, operation, value.
type Change<'a> = (&'a str, i8, Option<&'a str>);

fn resource(kind: i8, name: &str, changes: &[Change<'_>]) -> AlterConfigsResource {
    let configs = changes.iter().map(|&(name, config_operation, value)| AlterableConfig {
        name: Str::from(name),
        config_operation,
        value: value.map(Str::from),
        ..Default::default()
    });
    AlterConfigsResource {
        resource_type: kind,
        resource_name: Str::from(name),
        configs: configs.collect(),
        ..Default::default()
    }
}

async fn alter_all(wire: &Wire, resources: Vec<AlterConfigsResource>, validate_only: bool) -> Vec<ErrorCode> {
    let request = IncrementalAlterConfigsRequest { resources, validate_only, ..Default::default() };
    wire.ask(request).await.responses.iter().map(|response| ErrorCode(response.error_code)).collect()
}

async fn alter(wire: &Wire, topic: &str, changes: &[Change<'_>]) -> ErrorCode {
    alter_all(wire, vec![resource(TOPIC, topic, changes)], false).await[0]
}

async fn replace(wire: &Wire, topic: &str, settings: &[(&str, Option<&str>)], validate_only: bool) -> ErrorCode {
    let configs = settings.iter().map(|&(name, value)| alter_configs::AlterableConfig {
        name: Str::from(name),
        value: value.map(Str::from),
        ..Default::default()
    });
    let resource = alter_configs::AlterConfigsResource {
        resource_type: TOPIC,
        resource_name: Str::from(topic),
        configs: configs.collect(),
        ..Default::default()
    };
    let request = AlterConfigsRequest { resources: vec![resource], validate_only, ..Default::default() };
    ErrorCode(wire.ask(request).await.responses[0].error_code)
}

/// Value and source of a setting: 1 for the topic's own, 4 or 5 for one of the broker.
async fn setting(wire: &Wire, topic: &str, name: &str) -> (String, bool) {
    let resource = DescribeConfigsResource {
        resource_type: TOPIC,
        resource_name: Str::from(topic),
        configuration_keys: Some(vec![Str::from(name)]),
        ..Default::default()
    };
    let response = wire.ask(DescribeConfigsRequest { resources: vec![resource], ..Default::default() }).await;
    let config = &response.results[0].configs[0];
    (config.value.clone().unwrap_or_default().to_string(), config.config_source == 1)
}

async fn expect(wire: &Wire, topic: &str, name: &str, value: &str, is_own: bool) {
    until((value.to_owned(), is_own), async || setting(wire, topic, name).await).await;
}

async fn settings_are_set_and_deleted(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let topic = wire.topic(1).await;
    let both: &[Change<'_>] = &[("segment.ms", SET, Some("3000")), ("cleanup.policy", SET, Some("compact"))];
    assert_eq!(alter_all(&wire, vec![resource(TOPIC, &topic, both)], true).await, [NONE]);
    expect(&wire, &topic, "segment.ms", "604800000", false).await;
    assert_eq!(alter(&wire, &topic, both).await, NONE);
    expect(&wire, &topic, "segment.ms", "3000", true).await;
    expect(&wire, &topic, "cleanup.policy", "compact", true).await;
    // Settings from the creation of the topic stay.
    expect(&wire, &topic, "retention.ms", "-1", true).await;
    assert_eq!(alter(&wire, &topic, &[("segment.ms", DELETE, None)]).await, NONE);
    expect(&wire, &topic, "segment.ms", "604800000", false).await;
    assert_eq!(alter(&wire, &topic, &[("segment.ms", DELETE, Some("ignored"))]).await, NONE, "nothing to delete");
    assert_eq!(alter(&wire, &topic, &[("no.such.setting", DELETE, None)]).await, NONE, "an unknown one is not there");
    assert_eq!(alter(&wire, &topic, &[]).await, NONE, "no change at all");
    for version in 0..=1 {
        let resources = vec![resource(TOPIC, &topic, &[("segment.ms", SET, Some("soon"))])];
        let request = IncrementalAlterConfigsRequest { resources, ..Default::default() };
        let response = &wire.ask_at(version, request).await.responses[0];
        assert_eq!((response.resource_type, &response.resource_name), (TOPIC, &topic));
        assert_eq!(ErrorCode(response.error_code), INVALID_CONFIG, "v{version}");
        assert!(response.error_message.as_ref().is_some_and(|message| message.contains("segment.ms")));
    }
}

async fn lists_are_added_to_and_taken_from(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let topic = wire.topic(1).await;
    assert_eq!(alter(&wire, &topic, &[("cleanup.policy", APPEND, Some("compact"))]).await, NONE);
    expect(&wire, &topic, "cleanup.policy", "delete,compact", true).await;
    assert_eq!(alter(&wire, &topic, &[("cleanup.policy", APPEND, Some("compact"))]).await, NONE, "is there already");
    expect(&wire, &topic, "cleanup.policy", "delete,compact", true).await;
    assert_eq!(alter(&wire, &topic, &[("cleanup.policy", SUBTRACT, Some("delete"))]).await, NONE);
    expect(&wire, &topic, "cleanup.policy", "compact", true).await;
    assert_eq!(alter(&wire, &topic, &[("cleanup.policy", SUBTRACT, Some("delete"))]).await, NONE, "is not there");
    assert_eq!(alter(&wire, &topic, &[("segment.ms", APPEND, Some("1"))]).await, INVALID_CONFIG, "no list");
    assert_eq!(alter(&wire, &topic, &[("segment.ms", SUBTRACT, Some("1"))]).await, INVALID_CONFIG, "no list");
    assert_eq!(alter(&wire, &topic, &[("no.such.setting", APPEND, Some("1"))]).await, INVALID_CONFIG);
    let replicas = "leader.replication.throttled.replicas";
    assert_eq!(alter(&wire, &topic, &[(replicas, APPEND, Some("0:1,1:1"))]).await, NONE);
    expect(&wire, &topic, replicas, "0:1,1:1", true).await;
    assert_eq!(alter(&wire, &topic, &[(replicas, APPEND, Some("zero"))]).await, INVALID_CONFIG);
}

async fn changes_are_checked(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let topic = wire.topic(1).await;
    let values: &[(&str, &str, ErrorCode)] = &[
        ("no.such.setting", "1", INVALID_CONFIG),
        ("retention.ms", "soon", INVALID_CONFIG),
        ("retention.ms", "", INVALID_CONFIG),
        ("retention.ms", "-2", INVALID_CONFIG),
        ("retention.ms", " 5 ", NONE),
        ("retention.ms", "9223372036854775808", INVALID_CONFIG),
        ("retention.bytes", "-5", NONE),
        ("local.retention.ms", "-3", INVALID_CONFIG),
        ("max.message.bytes", "-1", INVALID_CONFIG),
        ("max.message.bytes", "0", NONE),
        ("max.message.bytes", "2147483648", INVALID_CONFIG),
        ("segment.bytes", "1000", INVALID_CONFIG),
        ("segment.bytes", "1048576", NONE),
        ("segment.ms", "0", INVALID_CONFIG),
        ("segment.index.bytes", "3", INVALID_CONFIG),
        ("flush.messages", "0", INVALID_CONFIG),
        ("min.insync.replicas", "0", INVALID_CONFIG),
        ("min.cleanable.dirty.ratio", "1.1", INVALID_CONFIG),
        ("min.cleanable.dirty.ratio", "0.9", NONE),
        ("cleanup.policy", "shred", INVALID_CONFIG),
        ("cleanup.policy", "delete, compact", NONE),
        ("cleanup.policy", "delete,delete", NONE),
        ("cleanup.policy", "", NONE),
        ("compression.type", "brotli", INVALID_CONFIG),
        ("compression.type", "zstd", NONE),
        ("compression.gzip.level", "0", INVALID_CONFIG),
        ("compression.lz4.level", "18", INVALID_CONFIG),
        ("compression.zstd.level", "23", INVALID_CONFIG),
        ("message.timestamp.type", "Never", INVALID_CONFIG),
        ("message.timestamp.type", "LogAppendTime", NONE),
        ("message.timestamp.before.max.ms", "-1", INVALID_CONFIG),
        ("preallocate", "perhaps", INVALID_CONFIG),
        ("preallocate", "TRUE", NONE),
        ("remote.storage.enable", "true", INVALID_CONFIG),
        ("unclean.leader.election.enable", "true", NONE),
        ("max.compaction.lag.ms", "0", INVALID_CONFIG),
        ("leader.replication.throttled.replicas", "0", INVALID_CONFIG),
        ("leader.replication.throttled.replicas", "*", NONE),
    ];
    let mut wrong = Vec::new();
    for &(name, value, expected) in values {
        let changes = [(name, SET, Some(value))];
        let set = alter_all(&wire, vec![resource(TOPIC, &topic, &changes)], true).await;
        let replaced = replace(&wire, &topic, &[(name, Some(value))], true).await;
        if (&*set, replaced) != (&[expected], expected) {
            wrong.push(format!("{name}={value}: set {set:?}, replaced {replaced:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let lags = [("min.compaction.lag.ms", SET, Some("10")), ("max.compaction.lag.ms", SET, Some("5"))];
    assert_eq!(alter(&wire, &topic, &lags).await, INVALID_CONFIG, "a minimum above the maximum");

    let unknown = wire.unique("unknown");
    let good: &[Change<'_>] = &[("segment.ms", SET, Some("5000"))];
    let bad: &[Change<'_>] = &[("segment.ms", SET, Some("soon"))];
    let cases: &[(&str, i8, &str, &[Change<'_>], ErrorCode)] = &[
        ("unknown topic", TOPIC, &unknown, good, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ("unknown topic, bad value", TOPIC, &unknown, bad, INVALID_CONFIG),
        ("illegal name", TOPIC, "no topic", good, ErrorCode::INVALID_TOPIC_EXCEPTION),
        ("no name", TOPIC, "", good, INVALID_REQUEST),
        ("unknown kind", 1, &topic, good, INVALID_REQUEST),
        ("unknown kind", 99, &topic, good, INVALID_REQUEST),
        ("unknown operation", TOPIC, &topic, &[("segment.ms", 9, Some("5000"))], ErrorCode(-1)),
        ("null", TOPIC, &topic, &[("segment.ms", SET, None)], INVALID_REQUEST),
        ("null", TOPIC, &topic, &[("cleanup.policy", APPEND, None)], INVALID_REQUEST),
        ("twice", TOPIC, &topic, &[good[0], good[0]], INVALID_REQUEST),
        ("good and bad", TOPIC, &topic, &[good[0], ("flush.ms", SET, Some("soon"))], INVALID_CONFIG),
    ];
    for &(what, kind, name, changes, expected) in cases {
        let answer = alter_all(&wire, vec![resource(kind, name, changes)], false).await;
        if answer != [expected] {
            wrong.push(format!("{what}: {answer:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let twice = vec![resource(TOPIC, &topic, good), resource(TOPIC, &topic, &[])];
    assert_eq!(alter_all(&wire, twice, false).await, [INVALID_REQUEST, INVALID_REQUEST], "one resource twice");
    let mixed = vec![resource(TOPIC, &unknown, good), resource(TOPIC, &topic, good)];
    assert_eq!(alter_all(&wire, mixed, true).await, [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, NONE], "each by itself");
    expect(&wire, &topic, "segment.ms", "604800000", false).await;
}

async fn all_settings_are_replaced(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let topic = wire.topic(1).await;
    assert_eq!(replace(&wire, &topic, &[("segment.ms", Some("3000"))], true).await, NONE);
    expect(&wire, &topic, "retention.ms", "-1", true).await;
    assert_eq!(replace(&wire, &topic, &[("segment.ms", Some("3000"))], false).await, NONE);
    expect(&wire, &topic, "segment.ms", "3000", true).await;
    expect(&wire, &topic, "retention.ms", "604800000", false).await;
    assert_eq!(replace(&wire, &topic, &[("segment.ms", None)], false).await, INVALID_REQUEST, "null");
    let unknown = wire.unique("unknown");
    assert_eq!(replace(&wire, &unknown, &[], false).await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(replace(&wire, &topic, &[], false).await, NONE);
    expect(&wire, &topic, "segment.ms", "604800000", false).await;
}

async fn altered_settings_take_effect(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let topic = wire.topic(1).await;
    let value = [7; 300];
    until(NONE, async || wire.produce(&topic, None, PLAIN, &value).await).await;
    assert_eq!(alter(&wire, &topic, &[("max.message.bytes", SET, Some("200"))]).await, NONE);
    until(ErrorCode::MESSAGE_TOO_LARGE, async || wire.produce(&topic, None, PLAIN, &value).await).await;
    assert_eq!(alter(&wire, &topic, &[("max.message.bytes", DELETE, None)]).await, NONE);
    until(NONE, async || wire.produce(&topic, None, PLAIN, &value).await).await;
}

/// A value of a broker setting and its source: 2 is this broker, 3 all brokers, 4 the start of the broker,
/// 5 the default.
type Value = (String, i8);

/// The value in effect, and all values, the first of which should be the one in effect.
async fn values(wire: &Wire, broker: &'static str, name: &str) -> (Option<Value>, Vec<Value>) {
    let resource = DescribeConfigsResource {
        resource_type: BROKER,
        resource_name: Str::from_static(broker),
        configuration_keys: Some(vec![Str::from(name)]),
        ..Default::default()
    };
    let request = DescribeConfigsRequest { resources: vec![resource], include_synonyms: true, ..Default::default() };
    let response = wire.ask(request).await;
    let config = response.results[0].configs.first();
    let text = |value: &Option<Str>| value.as_deref().unwrap_or_default().to_owned();
    let synonyms = config.into_iter().flat_map(|config| &config.synonyms);
    (
        config.map(|config| (text(&config.value), config.config_source)),
        synonyms.map(|synonym| (text(&synonym.value), synonym.source)).collect(),
    )
}

async fn settings_of_the_broker_are_altered(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let name = "log.cleaner.backoff.ms";
    let alter = async |broker: &str, operation, value: Option<&str>, is_trial| {
        alter_all(&wire, vec![resource(BROKER, broker, &[(name, operation, value)])], is_trial).await[0]
    };
    let expect = async |broker: &'static str, expected: &[(&str, i8)]| {
        let expected: Vec<_> = expected.iter().map(|&(value, source)| (value.to_owned(), source)).collect();
        until((expected.first().cloned(), expected), async || values(&wire, broker, name).await).await;
    };
    expect("1", &[("15000", 5)]).await;
    expect("", &[]).await;
    assert_eq!(alter("1", SET, Some("20000"), true).await, NONE, "only validated");
    assert_eq!(alter("1", SET, Some("20000"), false).await, NONE);
    expect("1", &[("20000", 2), ("15000", 5)]).await;
    assert_eq!(alter("", SET, Some("30000"), false).await, NONE);
    expect("1", &[("20000", 2), ("30000", 3), ("15000", 5)]).await;
    expect("", &[("30000", 3)]).await;
    assert_eq!(alter("1", DELETE, None, false).await, NONE);
    expect("1", &[("30000", 3), ("15000", 5)]).await;
    assert_eq!(alter("", DELETE, None, false).await, NONE);
    expect("1", &[("15000", 5)]).await;
    expect("", &[]).await;
}

async fn settings_of_the_broker_are_checked(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let cases: &[(&str, Change<'_>, ErrorCode)] = &[
        ("1", ("log.cleaner.backoff.ms", SET, Some("7")), NONE),
        ("", ("log.cleaner.backoff.ms", SET, Some("7")), NONE),
        ("1", ("broker.id", SET, Some("7")), INVALID_REQUEST),
        ("", ("num.partitions", SET, Some("7")), INVALID_REQUEST),
        ("1", ("log.cleaner.backoff.ms", SET, Some("soon")), INVALID_REQUEST),
        ("1", ("message.max.bytes", SET, Some("-1")), INVALID_REQUEST),
        ("1", ("log.cleanup.policy", SET, Some("shred")), INVALID_REQUEST),
        ("1", ("log.cleanup.policy", SET, Some("compact")), NONE),
        ("", ("log.message.timestamp.type", SET, Some("Never")), INVALID_REQUEST),
        ("1", ("background.threads", SET, Some("1000")), INVALID_REQUEST),
        ("", ("ssl.keystore.location", SET, Some("/nowhere")), INVALID_REQUEST),
        ("1", ("ssl.keystore.location", SET, Some("/nowhere")), INVALID_REQUEST),
        ("1", ("no.such.setting", SET, Some("7")), NONE),
        ("1", ("log.cleaner.backoff.ms", SET, None), INVALID_REQUEST),
        ("1", ("log.cleaner.backoff.ms", APPEND, Some("7")), INVALID_CONFIG),
        ("1", ("log.cleanup.policy", APPEND, Some("compact")), NONE),
        ("1", ("log.cleaner.backoff.ms", 9, Some("7")), INVALID_REQUEST),
        ("2", ("log.cleaner.backoff.ms", SET, Some("7")), INVALID_REQUEST),
        ("one", ("log.cleaner.backoff.ms", SET, Some("7")), INVALID_REQUEST),
    ];
    let mut wrong = Vec::new();
    for &(broker, change, expected) in cases {
        let answer = alter_all(&wire, vec![resource(BROKER, broker, &[change])], true).await;
        if answer != [expected] {
            wrong.push(format!("{broker:?} {change:?}: {answer:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

async fn settings_of_the_broker_hold_for_topics(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let topic = wire.topic(1).await;
    let value = vec![7; 500_000];
    until(ErrorCode::MESSAGE_TOO_LARGE, async || wire.produce(&topic, None, PLAIN, &value).await).await;
    let change = [("message.max.bytes", SET, Some("2000000"))];
    assert_eq!(alter_all(&wire, vec![resource(BROKER, "", &change)], false).await, [NONE]);
    expect(&wire, &topic, "max.message.bytes", "2000000", false).await;
    until(NONE, async || wire.produce(&topic, None, PLAIN, &value).await).await;
    assert_eq!(alter(&wire, &topic, &[("max.message.bytes", SET, Some("1000000"))]).await, NONE);
    until(ErrorCode::MESSAGE_TOO_LARGE, async || wire.produce(&topic, None, PLAIN, &value).await).await;
    let change = [("message.max.bytes", DELETE, None)];
    assert_eq!(alter_all(&wire, vec![resource(BROKER, "", &change)], false).await, [NONE]);
}
