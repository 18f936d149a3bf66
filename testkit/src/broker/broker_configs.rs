//! The settings of the broker, of its groups and of client metrics, with the names and defaults of Apache Kafka.
//!
//! `broker_configs.txt` lists every setting of a Kafka 4.4 broker. A line has the name, Kafka's number for the type,
//! flags (`r` read-only, `w` writable, `s` sensitive, `n` null) and the default. Settings that [`BrokerConfig`] has are
//! reported with their values here; the others are reported with their defaults and have no effect.

use std::collections::BTreeMap;

use kafka_wire::wire::Str;

use super::state::{NODE, State};

/// A setting with its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    /// Kafka's number for its type.
    pub(super) kind: i8,
    pub(super) is_read_only: bool,
    pub(super) is_sensitive: bool,
    pub(super) default: Option<&'static str>,
}

/// Every setting of a broker, in the order of their names.
pub(super) fn all() -> impl Iterator<Item = Setting> {
    include_str!("broker_configs.txt").lines().filter_map(parse)
}

/// The settings that this broker was started with and that differ from Kafka's defaults.
pub(super) fn given(state: &State) -> BTreeMap<&'static str, Str> {
    let config = &state.config;
    let listener = |host: &str, port: u16| format!("PLAINTEXT://{host}:{port}");
    let settings = [
        ("advertised.listeners", listener(&state.host, state.port)),
        ("auto.create.topics.enable", config.auto_create_topics.to_string()),
        ("broker.id", NODE.0.to_string()),
        ("fetch.max.bytes", config.fetch_limit_bytes.to_string()),
        ("group.initial.rebalance.delay.ms", config.group_initial_rebalance_delay.as_millis().to_string()),
        ("group.max.session.timeout.ms", config.group_session_timeout_max.as_millis().to_string()),
        ("group.max.size", config.group_size_max.to_string()),
        ("group.min.session.timeout.ms", config.group_session_timeout_min.as_millis().to_string()),
        ("listeners", listener(&config.host, state.port)),
        ("max.incremental.fetch.session.cache.slots", config.fetch_sessions_max.to_string()),
        ("message.max.bytes", config.batch_limit_bytes.to_string()),
        ("node.id", NODE.0.to_string()),
        ("num.partitions", config.default_partitions.to_string()),
        ("offsets.topic.num.partitions", config.internal_partitions.to_string()),
        ("offsets.topic.replication.factor", "1".to_owned()),
        ("process.roles", "broker,controller".to_owned()),
        ("producer.id.expiration.ms", config.producer_id_expiration.as_millis().to_string()),
        ("socket.request.max.bytes", config.frame_limit_bytes.to_string()),
        ("transaction.max.timeout.ms", config.transaction_timeout_max.as_millis().to_string()),
        ("transaction.state.log.min.isr", "1".to_owned()),
        ("transaction.state.log.num.partitions", config.internal_partitions.to_string()),
        ("transaction.state.log.replication.factor", "1".to_owned()),
        ("transactional.id.expiration.ms", config.transactional_id_expiration.as_millis().to_string()),
    ];
    let defaults: BTreeMap<_, _> = all().map(|setting| (setting.name, setting.default)).collect();
    let is_given = |name: &str, value: &str| defaults.get(name).is_some_and(|default| *default != Some(value));
    settings
        .into_iter()
        .filter(|(name, value)| is_given(name, value))
        .map(|(name, value)| (name, value.into()))
        .collect()
}

/// The values that a setting was given, each with Kafka's number for its source, the one in effect first; the default
/// is left out. `given` is the result of [`given`].
pub(super) fn values(state: &State, given: &BTreeMap<&'static str, Str>, name: &str) -> Vec<(Str, i8)> {
    let altered = state.dynamic_configs.values(name).map(|(value, source)| (value.clone(), source));
    altered.chain(given.get(name).map(|value| (value.clone(), FROM_FILE))).collect()
}

/// The value that is in effect for a setting.
pub(super) fn value(state: &State, setting: &Setting) -> Option<Str> {
    let first = values(state, &given(state), setting.name).into_iter().next();
    first.map(|(value, _)| value).or(setting.default.map(Str::from_static))
}

/// Whether a setting of true or false is true. A setting that Kafka does not have is false.
pub(super) fn is_on(state: &State, name: &str) -> bool {
    all().find(|setting| setting.name == name).and_then(|setting| value(state, &setting)).as_deref() == Some("true")
}

/// The settings of a group, each with the broker's setting that it takes its default from.
pub(super) const OF_GROUPS: &[(&str, i8, &str, &str)] = &[
    ("consumer.assignment.interval.ms", INT, "1000", "group.consumer.assignment.interval.ms"),
    ("consumer.heartbeat.interval.ms", INT, "5000", "group.consumer.heartbeat.interval.ms"),
    ("consumer.session.timeout.ms", INT, "45000", "group.consumer.session.timeout.ms"),
    ("errors.deadletterqueue.copy.record.enable", BOOLEAN, "false", "errors.deadletterqueue.copy.record.enable"),
    ("errors.deadletterqueue.topic.name", STRING, "", "errors.deadletterqueue.topic.name"),
    ("share.assignment.interval.ms", INT, "1000", "group.share.assignment.interval.ms"),
    ("share.auto.offset.reset", STRING, "latest", "share.auto.offset.reset"),
    ("share.delivery.count.limit", INT, "5", "group.share.delivery.count.limit"),
    ("share.heartbeat.interval.ms", INT, "5000", "group.share.heartbeat.interval.ms"),
    ("share.isolation.level", STRING, "read_uncommitted", "share.isolation.level"),
    ("share.partition.max.record.locks", INT, "2000", "group.share.partition.max.record.locks"),
    ("share.record.lock.duration.ms", INT, "30000", "group.share.record.lock.duration.ms"),
    ("share.renew.acknowledge.enable", BOOLEAN, "true", "share.renew.acknowledge.enable"),
    ("share.session.timeout.ms", INT, "45000", "group.share.session.timeout.ms"),
    ("streams.assignment.interval.ms", INT, "1000", "group.streams.assignment.interval.ms"),
    ("streams.assignor.name", STRING, "sticky", "group.streams.assignors"),
    ("streams.heartbeat.interval.ms", INT, "5000", "group.streams.heartbeat.interval.ms"),
    ("streams.initial.rebalance.delay.ms", INT, "3000", "group.streams.initial.rebalance.delay.ms"),
    ("streams.num.standby.replicas", INT, "0", "group.streams.num.standby.replicas"),
    ("streams.rack.aware.assignment.tags", LIST, "", "group.streams.rack.aware.assignment.tags"),
    ("streams.session.timeout.ms", INT, "45000", "group.streams.session.timeout.ms"),
];

/// The settings of a subscription to client metrics.
pub(super) const OF_CLIENT_METRICS: &[(&str, i8, &str)] =
    &[("interval.ms", INT, "300000"), ("match", LIST, ""), ("metrics", LIST, "")];

fn parse(line: &'static str) -> Option<Setting> {
    let mut fields = line.splitn(4, ' ');
    let (name, kind, flags) = (fields.next()?, fields.next()?, fields.next()?);
    Some(Setting {
        name,
        kind: kind.parse().ok()?,
        is_read_only: flags.contains('r'),
        is_sensitive: flags.contains('s'),
        default: (!flags.contains('n')).then(|| fields.next().unwrap_or_default()),
    })
}

/// Kafka's number for the source "static broker configuration".
const FROM_FILE: i8 = 4;

const BOOLEAN: i8 = 1;
const STRING: i8 = 2;
const INT: i8 = 3;
const LIST: i8 = 7;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::BrokerConfig;

    #[test]
    fn every_line_is_a_setting_and_what_is_given_is_among_them() {
        assert_eq!(all().count(), include_str!("broker_configs.txt").lines().count());
        assert!(all().is_sorted_by_key(|setting| setting.name));
        let state = State::new(BrokerConfig { default_partitions: 7, ..BrokerConfig::default() }, "broker", 9092);
        let given = given(&state);
        assert_eq!(given.get("num.partitions").map(Str::as_str), Some("7"));
        assert_eq!(given.get("advertised.listeners").map(Str::as_str), Some("PLAINTEXT://broker:9092"));
        assert!(!given.contains_key("message.max.bytes"), "Kafka's default");
        assert!(given.keys().all(|name| all().any(|setting| setting.name == *name)));
    }
}
