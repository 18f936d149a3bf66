//! The settings of a topic: their names and defaults, and which of them have an effect in this broker.
//!
//! Settings about segments, deletion and compaction have their effect ([`LogSettings`](super::log::LogSettings)),
//! and so have `max.message.bytes`, `message.timestamp.*` and the rule that a compacted topic needs keys.
//! The others are stored and listed.

use std::collections::BTreeMap;

use kafka_wire::wire::Str;

/// A setting, as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveConfig {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: Str,
    /// Kafka's number for the source of the value: the topic, or the default.
    pub source: i8,
    /// Kafka's number for the type of the value.
    pub kind: i8,
    /// The broker's setting that its default comes from, if there is one.
    pub broker_name: Option<&'static str>,
    /// The default.
    pub default: &'static str,
}

/// Every setting of a topic with these overrides, in the order of their names.
pub fn effective(overrides: &BTreeMap<Str, Str>) -> impl Iterator<Item = EffectiveConfig> {
    KNOWN.iter().map(|&(name, kind, default, broker_name)| {
        let (value, source) = match overrides.get(name) {
            Some(value) => (value.clone(), FROM_TOPIC),
            None => (Str::from_static(default), FROM_DEFAULT),
        };
        let broker_name = (!broker_name.is_empty()).then_some(broker_name);
        EffectiveConfig { name, value, source, kind, broker_name, default }
    })
}

/// The default of a setting; `None` for a name that is no topic setting.
#[must_use]
pub fn default_of(name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(known, ..)| *known == name).map(|&(_, _, default, _)| default)
}

/// The topic setting whose default comes from this broker setting.
#[must_use]
pub fn of_broker(broker_name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(.., of_broker)| *of_broker == broker_name).map(|&(name, ..)| name)
}

/// Whether the setting holds a list, which can be appended to.
#[must_use]
pub fn is_list(name: &str) -> bool {
    KNOWN.iter().any(|&(known, kind, ..)| known == name && kind == LIST)
}

/// The value in effect for a topic with these overrides: the override, or the default. `None` for a name that
/// is no topic setting.
#[must_use]
pub fn value<'a>(overrides: &'a BTreeMap<Str, Str>, name: &str) -> Option<&'a str> {
    overrides.get(name).map(|value| value.trim()).or_else(|| default_of(name))
}

/// Whether this is a topic setting and the value is legal for it.
#[must_use]
pub fn is_legal(name: &str, value: &str) -> bool {
    // Kafka accepts this setting and never lists it; without it, no test could have segments below 1 MiB.
    if name == INTERNAL_SEGMENT_BYTES {
        return value.trim().parse::<i32>().is_ok();
    }
    let Some(&(_, kind, ..)) = KNOWN.iter().find(|(known, ..)| *known == name) else { return false };
    if value.len() > VALUE_LIMIT_BYTES {
        return false;
    }
    let value = value.trim();
    match kind {
        BOOLEAN => value.eq_ignore_ascii_case("false") || (value.eq_ignore_ascii_case("true") && name != TIERED),
        INT => value.parse::<i32>().is_ok_and(|number| is_in_range(name, i64::from(number))),
        LONG => value.parse::<i64>().is_ok_and(|number| is_in_range(name, number)),
        DOUBLE => value.parse::<f64>().is_ok_and(|number| (0.0..=1.0).contains(&number)),
        LIST if name == "cleanup.policy" => is_policy(value),
        LIST => value.is_empty() || value == "*" || value.split(',').all(is_partition_and_broker),
        _ if name == "message.timestamp.type" => matches!(value, "CreateTime" | "LogAppendTime"),
        _ => matches!(value, "uncompressed" | "zstd" | "lz4" | "snappy" | "gzip" | "producer"),
    }
}

/// Whether settings that are legal one by one are also legal together.
#[must_use]
pub fn is_consistent(configs: &BTreeMap<Str, Str>) -> bool {
    let lag = |name: &str, default| configs.get(name).and_then(|lag| lag.trim().parse().ok()).unwrap_or(default);
    lag("min.compaction.lag.ms", 0) <= lag("max.compaction.lag.ms", i64::MAX)
}

/// The bounds of `LogConfig` of Apache Kafka 4.4.
fn is_in_range(name: &str, number: i64) -> bool {
    match name {
        "compression.gzip.level" => number == -1 || (1..=9).contains(&number),
        "compression.lz4.level" => (1..=17).contains(&number),
        "compression.zstd.level" => (-131_072..=22).contains(&number),
        "segment.bytes" => number >= 1024 * 1024,
        "segment.index.bytes" => number >= 4,
        "flush.messages" | "max.compaction.lag.ms" | "min.insync.replicas" | "segment.ms" => number >= 1,
        "local.retention.bytes" | "local.retention.ms" => number >= -2,
        "remote.copy.lag.bytes" | "remote.copy.lag.ms" | "retention.ms" => number >= -1,
        "retention.bytes" => true,
        _ => number >= 0,
    }
}

/// An empty policy is legal and keeps everything for ever.
fn is_policy(value: &str) -> bool {
    value.is_empty() || value.split(',').all(|policy| matches!(policy.trim(), "compact" | "delete"))
}

/// An element of the lists of throttled replicas: `0:1` is partition 0 on broker 1.
fn is_partition_and_broker(element: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    element.trim().split_once(':').is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
}

/// Longest value in bytes. Kafka's limit is that of a record in its metadata log.
pub const VALUE_LIMIT_BYTES: usize = 16 * 1024;

/// Tiered storage has to be set up in the broker before a topic may enable it.
const TIERED: &str = "remote.storage.enable";

/// The setting for the bytes of a segment, without the lower bound that `segment.bytes` has.
pub(super) const INTERNAL_SEGMENT_BYTES: &str = "internal.segment.bytes";

const FROM_TOPIC: i8 = 1;
pub(super) const FROM_DEFAULT: i8 = 5;

const BOOLEAN: i8 = 1;
const STRING: i8 = 2;
const INT: i8 = 3;
const LONG: i8 = 5;
const DOUBLE: i8 = 6;
const LIST: i8 = 7;

/// Name, type, default and the broker's setting behind it, as in Apache Kafka 4.4.
const KNOWN: &[(&str, i8, &str, &str)] = &[
    ("cleanup.policy", LIST, "delete", "log.cleanup.policy"),
    ("compression.gzip.level", INT, "-1", "compression.gzip.level"),
    ("compression.lz4.level", INT, "9", "compression.lz4.level"),
    ("compression.type", STRING, "producer", "compression.type"),
    ("compression.zstd.level", INT, "3", "compression.zstd.level"),
    ("delete.retention.ms", LONG, "86400000", "log.cleaner.delete.retention.ms"),
    ("errors.deadletterqueue.group.enable", BOOLEAN, "false", ""),
    ("file.delete.delay.ms", LONG, "60000", "log.segment.delete.delay.ms"),
    ("flush.messages", LONG, "9223372036854775807", "log.flush.interval.messages"),
    ("flush.ms", LONG, "9223372036854775807", ""),
    ("follower.replication.throttled.replicas", LIST, "", ""),
    ("index.interval.bytes", INT, "4096", "log.index.interval.bytes"),
    ("leader.replication.throttled.replicas", LIST, "", ""),
    ("local.retention.bytes", LONG, "-2", "log.local.retention.bytes"),
    ("local.retention.ms", LONG, "-2", "log.local.retention.ms"),
    ("max.compaction.lag.ms", LONG, "9223372036854775807", "log.cleaner.max.compaction.lag.ms"),
    ("max.decompressed.message.bytes", INT, "2147483639", "max.decompressed.message.bytes"),
    ("max.message.bytes", INT, "1048588", "message.max.bytes"),
    ("message.timestamp.after.max.ms", LONG, "3600000", "log.message.timestamp.after.max.ms"),
    ("message.timestamp.before.max.ms", LONG, "9223372036854775807", "log.message.timestamp.before.max.ms"),
    ("message.timestamp.type", STRING, "CreateTime", "log.message.timestamp.type"),
    ("min.cleanable.dirty.ratio", DOUBLE, "0.5", "log.cleaner.min.cleanable.ratio"),
    ("min.compaction.lag.ms", LONG, "0", "log.cleaner.min.compaction.lag.ms"),
    ("min.insync.replicas", INT, "1", "min.insync.replicas"),
    ("preallocate", BOOLEAN, "false", "log.preallocate"),
    ("remote.copy.lag.bytes", LONG, "-1", "log.remote.copy.lag.bytes"),
    ("remote.copy.lag.ms", LONG, "0", "log.remote.copy.lag.ms"),
    ("remote.log.copy.disable", BOOLEAN, "false", ""),
    ("remote.log.delete.on.disable", BOOLEAN, "false", ""),
    ("remote.storage.enable", BOOLEAN, "false", ""),
    ("retention.bytes", LONG, "-1", "log.retention.bytes"),
    ("retention.ms", LONG, "604800000", ""),
    ("segment.bytes", INT, "1073741824", "log.segment.bytes"),
    ("segment.index.bytes", INT, "10485760", "log.index.size.max.bytes"),
    ("segment.jitter.ms", LONG, "0", ""),
    ("segment.ms", LONG, "604800000", ""),
    ("unclean.leader.election.enable", BOOLEAN, "false", "unclean.leader.election.enable"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_types_are_checked() {
        assert!(is_legal("cleanup.policy", "compact,delete"));
        assert!(is_legal("retention.ms", "-1"));
        assert!(!is_legal("retention.ms", "soon"));
        assert!(!is_legal("retention.ms", "-2"));
        assert!(!is_legal("segment.bytes", "100"));
        assert!(!is_legal("min.cleanable.dirty.ratio", "1.5"));
        assert!(is_legal("leader.replication.throttled.replicas", "0:1,1:1"));
        assert!(!is_legal("leader.replication.throttled.replicas", "0"));
        assert!(!is_legal("cleanup.policy", "shred"));
        assert!(!is_legal("retention.hours", "1"));
        assert!(KNOWN.iter().all(|(name, _, default, _)| is_legal(name, default) || default.is_empty()));
        assert!(KNOWN.is_sorted_by_key(|(name, ..)| name));
    }
}
