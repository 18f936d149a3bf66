//! The keys, their values and what is said of wrong ones.

use super::*;

#[test]
fn an_unknown_key_names_the_nearest() {
    let error = Config::new("b:1").set("transaction.timeout", "5").unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown configuration key `transaction.timeout`: did you mean `transaction.timeout.ms`?"
    );
}

#[test]
fn a_key_that_is_not_near_to_any_is_answered_with_all_of_them() {
    for key in ["topic.", "", "frobnicate"] {
        let error = Config::new("b:1").set(key, "5").unwrap_err();
        assert_eq!(error, ConfigError::UnknownKey { key: key.to_owned(), nearest: None });
        assert!(error.to_string().contains("state.dir, group.instance.id, fetch.max.bytes"), "{error}");
    }
    for (key, known) in
        [("fetch.max.byte", "fetch.max.bytes"), ("NUM.workers", "num.workers"), ("state.dri", "state.dir")]
    {
        let error = Config::new("b:1").set(key, "5").unwrap_err();
        assert_eq!(error, ConfigError::UnknownKey { key: key.to_owned(), nearest: Some(known) });
    }
}

#[test]
fn a_line_of_a_private_key_is_not_shown_as_an_unknown_key() {
    // The line before it had no backslash at its end.
    let line = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
    let error = Config::new("b:1").set(line, "").unwrap_err();
    assert!(!error.to_string().contains("MC4CAQ") && !format!("{error:?}").contains("MC4CAQ"), "{error}");
}

#[test]
fn keys_of_the_client_are_taken_and_those_that_a_job_decides_are_named() {
    let mut config = Config::new("b:1");
    for (key, value) in [
        ("client.id", "job"),
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanisms", "SCRAM-SHA-512"),
        ("sasl.username", "alice"),
        ("sasl.password", "hush"),
        ("ssl.ca.location", "ca.pem"),
        ("socket.timeout.ms", "7000"),
        ("metadata.broker.list", "c:2"),
        ("key.serializer", "whatever"),
    ] {
        config.set(key, value).unwrap();
    }
    config.validate().unwrap();
    assert_eq!(config.request_timeout, Duration::from_secs(7));
    assert_eq!(config.bootstrap_servers, ["c:2"]);
    assert!(!format!("{config:?}").contains("hush"));
    assert!(config.client.client().unwrap().sasl.is_some());
    for key in ["acks", "linger.ms", "enable.idempotence", "isolation.level"] {
        let error = Config::new("b:1").set(key, "1").unwrap_err();
        assert_eq!(error, ConfigError::Decided { key }, "{error}");
    }
    for (key, value) in [
        ("acks", "all"),
        ("enable.idempotence", "true"),
        ("isolation.level", "read_committed "),
        ("max.in.flight.requests.per.connection", "1"),
    ] {
        config.set(key, value).expect("what the job does anyway");
    }
    config.set("security.protocol", "SSL").unwrap();
    config.set("ssl.keystore.location", "client.pem").unwrap();
    config.validate().unwrap();
    let mut alone = Config::new("b:1");
    alone.set("sasl.mechanism", "PLAIN").unwrap();
    assert!(alone.validate().unwrap_err().to_string().contains("`security.protocol` is not set"));
}

#[test]
fn keys_of_librdkafka_are_no_settings_of_topics() {
    let mut config = Config::new("b:1");
    config.set("topic.metadata.refresh.interval.ms", "60000").unwrap();
    for key in ["refresh.sparse", "refresh.fast.interval.ms", "propagation.max.ms"] {
        config.set(&format!("topic.metadata.{key}"), "250").unwrap();
    }
    assert_eq!((config.metadata_max_age, config.topic_configs.len()), (Duration::from_secs(60), 0));
    config.set("topic.min.insync.replicas", "2").unwrap();
    assert_eq!(config.topic_configs["min.insync.replicas"], "2");
}

#[test]
fn topics_are_not_looked_at_without_a_pause() {
    let mut config = Config::new("b:1");
    config.set("metadata.max.age.ms", "0").unwrap();
    assert_eq!(config.inspection_interval(), Duration::from_millis(100));
    config.set("metadata.max.age.ms", "40000").unwrap();
    assert_eq!(config.inspection_interval(), config.partition_discovery_interval);
}

#[test]
fn values_out_of_range_are_refused() {
    for (key, value) in [
        ("heartbeat.interval.ms", "0"),
        ("request.timeout.ms", "0"),
        ("replication.factor", "0"),
        ("replication.factor", "-2"),
        ("security.protocol", "TLS"),
        ("retry.backoff.ms", "-1"),
    ] {
        let error = Config::new("b:1").set(key, value).unwrap_err();
        assert!(error.to_string().contains(&format!("not `{value}`")), "{error}");
    }
}

#[test]
fn settings_of_topics_are_kept_for_the_broker_to_judge() {
    let mut config = Config::new("b:1");
    config.set("topic.max.message.bytes", " 5 ").unwrap();
    assert_eq!(config.topic_configs, BTreeMap::from([("max.message.bytes".to_owned(), "5".to_owned())]));
}

#[test]
fn every_key_is_applied_and_wrong_values_say_what_is_expected() {
    for key in KEYS {
        let mut config = Config::new("b:1");
        let value = match *key {
            "partition.assignment.strategy" => "roundrobin",
            "compression.type" => "lz4",
            "deserialization.exception.handler" | "processing.exception.handler" | "production.exception.handler" => {
                "fail"
            }
            "foreign.offsets" => "accept",
            "missing.topic.policy" => "fail",
            "auto.offset.reset" => "latest",
            "timestamp.policy" => "fail",
            _ => "7",
        };
        config.set(key, value).unwrap();
        assert_ne!(config, Config::new("b:1"), "{key} changes something");
    }
    let error = Config::new("b:1").set("compression.type", "zip").unwrap_err();
    assert_eq!(error.to_string(), "`compression.type` takes `none`, `gzip`, `snappy`, `lz4` or `zstd`, not `zip`");
}

#[test]
fn a_reset_policy_may_be_an_age() {
    let mut config = Config::new("b:1");
    config.set("auto.offset.reset", "by_duration:PT1H").unwrap();
    assert_eq!(config.auto_offset_reset, ResetPolicy::ByDuration(Duration::from_secs(3_600)));
    config.set("auto.offset.reset", "none").unwrap();
    assert_eq!(config.auto_offset_reset, ResetPolicy::None);
    let error = config.set("auto.offset.reset", "first").unwrap_err();
    assert!(error.to_string().contains("`by_duration:` and a duration"), "{error}");
}

#[test]
fn intervals_that_cannot_work_together_are_refused() {
    let mut config = Config::new("b:1");
    config.validate().unwrap();
    config.set("commit.interval.max.ms", "9000").unwrap();
    assert!(config.validate().unwrap_err().to_string().contains("three times commit.interval.max.ms"));
}
