//! The settings of a topic that decide how its logs are cut into segments and which records are removed.

use std::collections::BTreeMap;
use std::str::FromStr;

use kafka_wire::wire::Str;

use crate::broker::topic_configs;

/// The settings of a topic's logs, parsed once so that no append has to.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSettings {
    /// Whether old segments are deleted (`cleanup.policy` has `delete`).
    pub is_deleted: bool,
    /// Whether older values of a key are removed (`cleanup.policy` has `compact`).
    pub is_compacted: bool,
    /// Age at which a segment may be deleted (`retention.ms`); `None` for never.
    pub retention_ms: Option<i64>,
    /// Time since its creation during which a segment is not deleted, whatever its age. For a topic without a retention
    /// time of its own it is the interval of Kafka's checks (`log.retention.check.interval.ms`): a test that writes old
    /// event times has as long to read them as with Kafka. For a topic with its own it is zero.
    pub retention_delay_ms: i64,
    /// Bytes that the newest segments may have before older ones are deleted (`retention.bytes`); `None` for no limit.
    pub retention_bytes: Option<u64>,
    /// Most bytes of a segment (`segment.bytes`).
    pub segment_bytes: u64,
    /// Age of the first record at which the next batch begins a new segment (`segment.ms`); for a compacted topic at
    /// most `max.compaction.lag.ms`.
    pub segment_ms: i64,
    /// Time for which a tombstone stays after the compaction that first met it (`delete.retention.ms`).
    pub delete_retention_ms: i64,
    /// Age below which a record is not compacted (`min.compaction.lag.ms`).
    pub min_compaction_lag_ms: i64,
    /// Age at which a record is compacted whatever the ratio says (`max.compaction.lag.ms`); `None` for never.
    pub max_compaction_lag_ms: Option<i64>,
    /// Fraction of the log that has to be new since the last compaction before the next one
    /// begins (`min.cleanable.dirty.ratio`).
    pub min_cleanable_dirty_ratio: f64,
}

impl LogSettings {
    /// The settings of a topic with these overrides, whose values must be legal.
    #[must_use]
    pub fn of(overrides: &BTreeMap<Str, Str>) -> Self {
        let policy = topic_configs::value(overrides, "cleanup.policy").unwrap_or_default();
        let has = |wanted: &str| policy.split(',').any(|policy| policy.trim() == wanted);
        let is_compacted = has("compact");
        let max_lag = number(overrides, "max.compaction.lag.ms", i64::MAX);
        let segment_ms = number(overrides, "segment.ms", i64::MAX);
        let segment_bytes = number(overrides, "segment.bytes", u64::MAX);
        Self {
            is_deleted: has("delete"),
            is_compacted,
            retention_ms: Some(number(overrides, "retention.ms", -1)).filter(|&ms| ms >= 0),
            retention_delay_ms: if overrides.contains_key("retention.ms") { 0 } else { KAFKA_CHECK_INTERVAL_MS },
            retention_bytes: u64::try_from(number(overrides, "retention.bytes", -1_i64)).ok(),
            segment_bytes: overrides
                .get(topic_configs::INTERNAL_SEGMENT_BYTES)
                .and_then(|it| it.parse().ok())
                .unwrap_or(segment_bytes),
            segment_ms: if is_compacted && max_lag > 0 { segment_ms.min(max_lag) } else { segment_ms },
            delete_retention_ms: number(overrides, "delete.retention.ms", 0),
            min_compaction_lag_ms: number(overrides, "min.compaction.lag.ms", 0),
            max_compaction_lag_ms: Some(max_lag).filter(|&lag| lag > 0 && lag < i64::MAX),
            min_cleanable_dirty_ratio: number(overrides, "min.cleanable.dirty.ratio", 0.5),
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self::of(&BTreeMap::new())
    }
}

/// Kafka's default of `log.retention.check.interval.ms`.
const KAFKA_CHECK_INTERVAL_MS: i64 = 300_000;

fn number<T: FromStr>(overrides: &BTreeMap<Str, Str>, name: &str, otherwise: T) -> T {
    topic_configs::value(overrides, name).and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(overrides: &[(&str, &str)]) -> LogSettings {
        LogSettings::of(&overrides.iter().map(|&(name, value)| (Str::from(name), Str::from(value))).collect())
    }

    #[test]
    fn the_defaults_are_kafkas() {
        let expected = LogSettings {
            is_deleted: true,
            is_compacted: false,
            retention_ms: Some(604_800_000),
            retention_delay_ms: 300_000,
            retention_bytes: None,
            segment_bytes: 1_073_741_824,
            segment_ms: 604_800_000,
            delete_retention_ms: 86_400_000,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: None,
            min_cleanable_dirty_ratio: 0.5,
        };
        assert_eq!(LogSettings::default(), expected);
    }

    #[test]
    fn overrides_are_read_and_minus_one_is_no_limit() {
        let settings = of(&[
            ("cleanup.policy", "compact, delete"),
            ("retention.ms", "-1"),
            ("retention.bytes", "7"),
            ("internal.segment.bytes", "100"),
            ("max.compaction.lag.ms", "50"),
        ]);
        assert!(settings.is_deleted && settings.is_compacted);
        assert_eq!((settings.retention_ms, settings.retention_bytes), (None, Some(7)));
        assert_eq!(settings.retention_delay_ms, 0);
        assert_eq!((settings.segment_bytes, settings.segment_ms), (100, 50));
        assert_eq!(settings.max_compaction_lag_ms, Some(50));
        assert!(!of(&[("cleanup.policy", "compact")]).is_deleted);
    }
}
