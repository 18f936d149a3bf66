//! Keys of Kafka Streams in the configuration of a job, so that a file that is there can be used.

/// A key as it is to be taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StreamsKey<'k> {
    /// The key of this name: of a job, or of the client.
    Here(&'k str),
    /// No key: it has no effect here.
    WithoutEffect,
    /// A key whose place is not in the configuration.
    Elsewhere { key: &'static str, instead: &'static str },
    /// A key with a value that no job can follow.
    Refused { key: &'static str, expected: &'static str },
}

impl<'k> StreamsKey<'k> {
    /// Looks a key up; one that is not of Kafka Streams alone stays as it is.
    pub(super) fn of(key: &'k str, value: &str) -> Self {
        const GUARANTEE: &str = "processing.guarantee";
        match key {
            GUARANTEE if value.starts_with("exactly_once") => Self::WithoutEffect,
            GUARANTEE => Self::Refused { key: GUARANTEE, expected: "`exactly_once_v2`: a job is always exactly-once" },
            "application.id" => {
                Self::Elsewhere { key: "application.id", instead: "it is the argument of Topology::builder" }
            }
            "default.timestamp.extractor" => Self::Elsewhere {
                key: "default.timestamp.extractor",
                instead: "`.timestamp(closure)` of a stream takes the event time out of its records, and timestamp.policy \
                          says what happens to those without one",
            },
            _ if WITHOUT_EFFECT.contains(&key) || key.starts_with("rocksdb.") => Self::WithoutEffect,
            _ => {
                let key = PREFIXES.iter().find_map(|prefix| key.strip_prefix(prefix)).unwrap_or(key);
                let renamed = RENAMED.iter().find(|(of_streams, _)| *of_streams == key);
                Self::Here(renamed.map_or(key, |(_, here)| here))
            }
        }
    }
}

/// Keys that have another name here.
const RENAMED: &[(&str, &str)] = &[
    ("num.stream.threads", "num.workers"),
    ("commit.interval.ms", "commit.interval.max.ms"),
    ("default.deserialization.exception.handler", "deserialization.exception.handler"),
    ("default.production.exception.handler", "production.exception.handler"),
];

/// Beginnings of keys by which Kafka Streams sets its producers, consumers and admin clients.
const PREFIXES: &[&str] = &["producer.", "main.consumer.", "consumer.", "admin."];

/// Keys that have no effect here.
const WITHOUT_EFFECT: &[&str] = &[
    "acceptable.recovery.lag",
    "application.server",
    "buffered.records.per.partition",
    "built.in.metrics.version",
    "cache.max.bytes.buffering",
    "default.dsl.store",
    "default.key.serde",
    "default.value.serde",
    "dsl.store.suppliers.class",
    "ensure.explicit.internal.resource.naming",
    "max.warmup.replicas",
    "num.standby.replicas",
    "poll.ms",
    "probing.rebalance.interval.ms",
    "state.cleanup.delay.ms",
    "statestore.cache.max.bytes",
    "task.assignor.class",
    "task.timeout.ms",
    "topology.optimization",
    "upgrade.from",
    "window.size.ms",
    "windowed.inner.class.serde",
    "windowstore.changelog.additional.retention.ms",
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::error::ErrorPolicy;
    use crate::runtime::{CompressionType, Config, ConfigError};
    use crate::topology::ResetPolicy;

    #[test]
    fn a_file_of_kafka_streams_is_taken_or_says_where_its_keys_belong() {
        let mut config = Config::new("b:1");
        for (key, value) in [
            ("bootstrap.servers", "c:2"),
            ("processing.guarantee", "exactly_once_v2"),
            ("num.stream.threads", "4"),
            ("commit.interval.ms", "200"),
            ("num.standby.replicas", "1"),
            ("default.key.serde", "org.apache.kafka.common.serialization.Serdes$StringSerde"),
            ("statestore.cache.max.bytes", "0"),
            ("consumer.auto.offset.reset", "latest"),
            ("producer.compression.type", "lz4"),
            ("topic.min.insync.replicas", "2"),
            (
                "default.deserialization.exception.handler",
                "org.apache.kafka.streams.errors.LogAndContinueExceptionHandler",
            ),
        ] {
            config.set(key, value).unwrap();
        }
        config.validate().unwrap();
        assert_eq!((config.workers, config.commit_interval_max), (4, Duration::from_millis(200)));
        assert_eq!((config.auto_offset_reset, config.compression), (ResetPolicy::Latest, CompressionType::Lz4));
        assert_eq!(config.undecodable, Some(ErrorPolicy::Skip));
        let mut said = |key: &str, value: &str| config.set(key, value).unwrap_err().to_string();
        assert!(said("application.id", "a").contains("Topology::builder"));
        assert!(said("processing.guarantee", "at_least_once").contains("always exactly-once, not `at_least_once`"));
        assert!(said("default.timestamp.extractor", "x.Mine").contains("`.timestamp(closure)`"));
        assert_eq!(config.set("producer.acks", "1").unwrap_err(), ConfigError::Decided { key: "acks" });
    }
}
