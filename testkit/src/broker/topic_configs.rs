//! The settings of a topic: which there are, and which of them mean something to this broker.
//!
//! `max.message.bytes` and `message.timestamp.type` are honoured. The others are remembered and shown: nothing here is
//! ever deleted for its age or compacted.

use std::collections::BTreeMap;

use kafka_wire::wire::Str;

/// A setting as a client is shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveConfig {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: Str,
    /// Kafka's number for where the value comes from: the topic, or the default.
    pub source: i8,
    /// Kafka's number for the type of the value.
    pub kind: i8,
}

/// Every setting of a topic with these overrides, in the order of their names.
pub fn effective(overrides: &BTreeMap<Str, Str>) -> impl Iterator<Item = EffectiveConfig> {
    KNOWN.iter().map(|&(name, kind, default)| match overrides.get(name) {
        Some(value) => EffectiveConfig { name, value: value.clone(), source: FROM_TOPIC, kind },
        None => EffectiveConfig { name, value: Str::from_static(default), source: FROM_DEFAULT, kind },
    })
}

/// Whether a topic has such a setting and the value has its type.
#[must_use]
pub fn is_legal(name: &str, value: &str) -> bool {
    KNOWN.iter().find(|(known, ..)| *known == name).is_some_and(|&(_, kind, _)| match kind {
        BOOLEAN => matches!(value, "true" | "false"),
        INT => value.parse::<i32>().is_ok(),
        LONG => value.parse::<i64>().is_ok(),
        DOUBLE => value.parse::<f64>().is_ok(),
        _ if name == "message.timestamp.type" => matches!(value, "CreateTime" | "LogAppendTime"),
        _ if name == "cleanup.policy" => value.split(',').all(|policy| matches!(policy.trim(), "compact" | "delete")),
        _ => true,
    })
}

const FROM_TOPIC: i8 = 1;
const FROM_DEFAULT: i8 = 5;

const BOOLEAN: i8 = 1;
const STRING: i8 = 2;
const INT: i8 = 3;
const LONG: i8 = 5;
const DOUBLE: i8 = 6;
const LIST: i8 = 7;

/// Name, type and default, as Apache Kafka 4.3 has them.
const KNOWN: &[(&str, i8, &str)] = &[
    ("cleanup.policy", LIST, "delete"),
    ("compression.gzip.level", INT, "-1"),
    ("compression.lz4.level", INT, "9"),
    ("compression.type", STRING, "producer"),
    ("compression.zstd.level", INT, "3"),
    ("delete.retention.ms", LONG, "86400000"),
    ("file.delete.delay.ms", LONG, "60000"),
    ("flush.messages", LONG, "9223372036854775807"),
    ("flush.ms", LONG, "9223372036854775807"),
    ("follower.replication.throttled.replicas", LIST, ""),
    ("index.interval.bytes", INT, "4096"),
    ("leader.replication.throttled.replicas", LIST, ""),
    ("local.retention.bytes", LONG, "-2"),
    ("local.retention.ms", LONG, "-2"),
    ("max.compaction.lag.ms", LONG, "9223372036854775807"),
    ("max.message.bytes", INT, "1048588"),
    ("message.timestamp.after.max.ms", LONG, "3600000"),
    ("message.timestamp.before.max.ms", LONG, "9223372036854775807"),
    ("message.timestamp.type", STRING, "CreateTime"),
    ("min.cleanable.dirty.ratio", DOUBLE, "0.5"),
    ("min.compaction.lag.ms", LONG, "0"),
    ("min.insync.replicas", INT, "1"),
    ("preallocate", BOOLEAN, "false"),
    ("remote.copy.disable", BOOLEAN, "false"),
    ("remote.log.delete.on.disable", BOOLEAN, "false"),
    ("remote.storage.enable", BOOLEAN, "false"),
    ("retention.bytes", LONG, "-1"),
    ("retention.ms", LONG, "604800000"),
    ("segment.bytes", INT, "1073741824"),
    ("segment.index.bytes", INT, "10485760"),
    ("segment.jitter.ms", LONG, "0"),
    ("segment.ms", LONG, "604800000"),
    ("unclean.leader.election.enable", BOOLEAN, "false"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_types_are_checked() {
        assert!(is_legal("cleanup.policy", "compact,delete"));
        assert!(is_legal("retention.ms", "-1"));
        assert!(!is_legal("retention.ms", "soon"));
        assert!(!is_legal("cleanup.policy", "shred"));
        assert!(!is_legal("retention.hours", "1"));
        assert!(KNOWN.iter().all(|(name, _, default)| is_legal(name, default) || default.is_empty()));
        assert!(KNOWN.is_sorted_by_key(|(name, ..)| name));
    }
}
