//! Shared parts of the suites: the brokers that they run on, unique names, waits with a limit.
//!
//! A suite is one file in `tests/tests`, which makes one test binary. Its test bodies are `async fn body(broker:
//! TestBroker)`, and [`on_every_broker!`] turns each body into one test per broker of [`BrokerKind`].
//! The embedded broker is started for each test; Apache Kafka once per test binary, so tests must not assume to be
//! alone on it: see [`TestBroker::unique`].
//!
//! Where Apache Kafka cannot be started, its tests print once per binary which tests did not run and why,
//! and pass; with `WATERWHEEL_REQUIRE_KAFKA=1` they fail. With `KAFKA_BOOTSTRAP_SERVERS` they run on that cluster,
//! with `WATERWHEEL_KAFKA_VERSION=3.9.1` on that version of Apache Kafka.

pub mod bench;
mod brokers;
pub mod foreign;
pub mod ledger;
mod port;
pub mod postgres;
pub mod programs;
pub mod reader;
pub mod relay;
pub mod stateful;
pub mod streams_smoke;
mod wait;
pub mod wordcount;
pub mod writer;

pub use brokers::{
    BrokerKind, TestBroker, client_config, connect, connect_with, kafka_is_required, kafka_version, outage_config,
    run_on, skip, three_nodes,
};
pub use port::reserve_port;
pub use wait::{eventually, within};

/// Makes one `#[test]` per broker of each named `async fn(TestBroker)`: `body::embedded_tv1` to `body::kafka_tv2`.
///
/// ```ignore
/// on_every_broker!(a_topic_is_created_once, an_empty_topic_has_no_records);
///
/// async fn a_topic_is_created_once(broker: TestBroker) { /* .. */ }
/// ```
#[macro_export]
macro_rules! on_every_broker {
    ($($body:ident),+ $(,)?) => {
        $(
            mod $body {
                $crate::test_on!(embedded_tv1, EmbeddedTv1, super::$body);
                $crate::test_on!(embedded_tv2, EmbeddedTv2, super::$body);
                $crate::test_on!(kafka_tv1, KafkaTv1, super::$body);
                $crate::test_on!(kafka_tv2, KafkaTv2, super::$body);
            }
        )+
    };
}

/// As [`on_every_broker!`], for bodies without transactions: on both brokers at `transaction.version` 2 alone.
#[macro_export]
macro_rules! on_both_brokers {
    ($($body:ident),+ $(,)?) => {
        $(
            mod $body {
                $crate::test_on!(embedded_tv2, EmbeddedTv2, super::$body);
                $crate::test_on!(kafka_tv2, KafkaTv2, super::$body);
            }
        )+
    };
}

/// One test on one broker, for the macros of this crate.
#[doc(hidden)]
#[macro_export]
macro_rules! test_on {
    ($test:ident, $kind:ident, $body:path) => {
        #[test]
        fn $test() {
            $crate::run_on(env!("CARGO_CRATE_NAME"), $crate::BrokerKind::$kind, $body);
        }
    };
}

/// The Rust code of the documents, compiled and run as doctests. A page with Rust code that is missing here
/// fails `--test documents`.
#[cfg(doctest)]
#[allow(missing_docs, reason = "pages, not items")]
pub mod documents {
    #[doc = include_str!("../../README.md")]
    pub mod readme {}
    #[doc = include_str!("../../kafka-wire/README.md")]
    pub mod kafka_wire {}
    #[doc = include_str!("../../kafka-wire/compression/README.md")]
    pub mod compression {}
    #[doc = include_str!("../../processor/README.md")]
    pub mod processor {}
    #[doc = include_str!("../../testkit/README.md")]
    pub mod testkit {}
    #[doc = include_str!("../../docs/start/word-count.md")]
    pub mod word_count {}
    #[doc = include_str!("../../docs/how-to/test-a-job.md")]
    pub mod test_a_job {}
    #[doc = include_str!("../../docs/explain/time.md")]
    pub mod time {}
    #[doc = include_str!("../../docs/how-to/choose-inputs.md")]
    pub mod choose_inputs {}
    #[doc = include_str!("../../docs/how-to/state-and-timers.md")]
    pub mod state_and_timers {}
    #[doc = include_str!("../../docs/how-to/recipes.md")]
    pub mod recipes {}
    #[doc = include_str!("../../docs/how-to/find-patterns.md")]
    pub mod find_patterns {}
    #[doc = include_str!("../../docs/how-to/outside-of-kafka.md")]
    pub mod outside_of_kafka {}
    #[doc = include_str!("../../docs/from-flink.md")]
    pub mod from_flink {}
    #[doc = include_str!("../../docs/from-kafka-streams.md")]
    pub mod from_kafka_streams {}
    #[doc = include_str!("../../docs/from-rdkafka.md")]
    pub mod from_rdkafka {}
    #[doc = include_str!("../../docs/from-java.md")]
    pub mod from_java {}
}
