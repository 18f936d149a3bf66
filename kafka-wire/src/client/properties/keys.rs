//! The keys of a client, a producer and a consumer: one row each. A new setting is a field of its configuration and a
//! row here.

use super::row::{Row, boolean, iso_duration, kib, long_millis, millis, number, put};
use crate::client::{ClientConfig, GroupConsumerConfig};
use crate::compression::Compression;
use crate::consumer::{ConsumerConfig, ResetPolicy};
use crate::group::{Assignor, GroupProtocol};
use crate::producer::{Acks, Partitioning, ProducerConfig};
use crate::types::IsolationLevel;
use crate::wire::Str;

/// Makes a row without a secret.
macro_rules! row {
    ($name:literal, [$($alias:literal),*], $default:literal, $takes:literal, $doc:literal, $set:expr) => {
        Row {
            name: $name,
            aliases: &[$($alias),*],
            default: $default,
            takes: $takes,
            doc: $doc,
            is_secret: false,
            set: $set,
        }
    };
}

/// The keys of [`ClientConfig`], without those of security.
pub(super) const CLIENT: &[Row<ClientConfig>] = &[
    row!(
        "bootstrap.servers",
        ["metadata.broker.list"],
        "",
        "`HOST:PORT` pairs, separated by commas",
        "Brokers to learn the cluster from; any one that answers is enough.",
        |config, value| {
            config.bootstrap_servers = ClientConfig::new(value).bootstrap_servers;
            !config.bootstrap_servers.is_empty()
        }
    ),
    row!(
        "client.id",
        [],
        "waterwheel",
        "a name",
        "Name of this client in the brokers' logs, metrics and quotas.",
        |config, value| {
            config.client_id = Str::from(value);
            true
        }
    ),
    row!(
        "request.timeout.ms",
        ["socket.timeout.ms"],
        "30000",
        "a whole number of milliseconds, 1 or more",
        "How long an answer may take before it counts as lost; also how long an operation that retries goes on.",
        |config, value| put(&mut config.request_timeout, millis(value, 1..))
    ),
    row!(
        "socket.connection.setup.timeout.ms",
        [],
        "4000",
        "a whole number of milliseconds, 1 or more",
        "For one connection: resolving, connecting, TLS, versions and authentication.",
        |config, value| put(&mut config.connect_timeout, millis(value, 1..))
    ),
    row!(
        "bootstrap.timeout.ms",
        [],
        "4500",
        "a whole number of milliseconds, 1 or more",
        "For the first connection to the cluster, shared by the bootstrap servers.",
        |config, value| put(&mut config.bootstrap_timeout, millis(value, 1..))
    ),
    row!(
        "retry.backoff.ms",
        [],
        "50",
        "a whole number of milliseconds",
        "First pause before what failed is tried again; it doubles up to `retry.backoff.max.ms`. Less than 20 counts as 20.",
        |config, value| put(&mut config.retry_backoff_min, long_millis(value, 0..))
    ),
    row!(
        "retry.backoff.max.ms",
        [],
        "1000",
        "a whole number of milliseconds",
        "Longest pause before what failed is tried again. Less than 20 counts as 20.",
        |config, value| put(&mut config.retry_backoff_max, long_millis(value, 0..))
    ),
    row!(
        "metadata.max.age.ms",
        ["topic.metadata.refresh.interval.ms"],
        "300000",
        "a whole number of milliseconds",
        "Age at which a topic's metadata is asked for again although nothing failed. Less than 100 counts as 100.",
        |config, value| put(&mut config.metadata_max_age, long_millis(value, 0..))
    ),
    row!(
        "receive.message.max.bytes",
        [],
        "104857600",
        "a whole number of bytes, 1000 or more",
        "Largest answer of a broker; a larger one ends its connection. It has to exceed the cluster's `message.max.bytes`.",
        |config, value| put(&mut config.frame_limit, number(value, 1_000..=2_147_483_647))
    ),
];

/// The keys of [`ProducerConfig`].
pub(super) const PRODUCER: &[Row<ProducerConfig>] = &[
    row!(
        "transactional.id",
        [],
        "",
        "a name",
        "The producer writes in transactions, and fences whoever has opened the same id before.",
        |config, value| {
            config.transactional_id = (!value.is_empty()).then(|| Str::from(value));
            !value.is_empty()
        }
    ),
    row!(
        "transaction.timeout.ms",
        [],
        "10000",
        "a whole number of milliseconds, 1 or more",
        "The coordinator aborts a transaction that is open longer than this.",
        |config, value| put(&mut config.transaction_timeout, millis(value, 1..))
    ),
    row!(
        "acks",
        ["request.required.acks"],
        "all",
        "`all` (or `-1`), `1` or `0`",
        "The replicas that must have a batch before it is acknowledged. Less than `all` turns `enable.idempotence` off.",
        |config, value| {
            let acks = match value {
                "all" | "-1" => Some(Acks::All),
                "1" => Some(Acks::Leader),
                "0" => Some(Acks::None),
                _ => None,
            };
            put(&mut config.acks, acks)
        }
    ),
    row!(
        "enable.idempotence",
        [],
        "true",
        "`true` or `false`",
        "Batches that are sent again are recognised, and order is kept.",
        |config, value| put(&mut config.idempotence, boolean(value))
    ),
    row!(
        "max.block.ms",
        [],
        "60000",
        "a whole number of milliseconds",
        "How long `send` waits for room in the buffer and for the partitions of its topic.",
        |config, value| put(&mut config.max_block, long_millis(value, 0..))
    ),
    row!(
        "partitioner.adaptive.partitioning.enable",
        [],
        "true",
        "`true` or `false`",
        "Records without a key go less to partitions where more batches wait.",
        |config, value| put(&mut config.adaptive_partitioning, boolean(value))
    ),
    row!(
        "partitioner",
        ["partitioner.class"],
        "murmur2_random",
        "`murmur2_random`, `consistent_random`, `fnv1a_random` or `random`, or one of Java's classes, such as RoundRobinPartitioner",
        "The partition of a record that names none, by its key: with `murmur2_random` that of Java's producer, with \
         `consistent_random` that of librdkafka's default. A record without a key goes where batches fill; with `random` \
         every one does.",
        |config, value| put(&mut config.partitioning, partitioning(value))
    ),
    // Must be below the partitioner, which it overrides, as in Java.
    row!(
        "partitioner.ignore.keys",
        [],
        "false",
        "`true` or `false`",
        "Whether records with a key are spread like those without one.",
        |config, value| {
            let ignores = boolean(value);
            if ignores == Some(true) {
                config.partitioning = Partitioning::Sticky;
            }
            ignores.is_some()
        }
    ),
    row!(
        "linger.ms",
        ["queue.buffering.max.ms"],
        "5",
        "a whole number of milliseconds",
        "How long a batch waits to be filled before it is sent.",
        |config, value| put(&mut config.linger, long_millis(value, 0..))
    ),
    row!(
        "batch.size",
        [],
        "262144",
        "a whole number of bytes",
        "A batch is closed when the next record would make it larger than this, before compression.",
        |config, value| put(&mut config.batch_size_bytes, number(value, 0..=2_147_483_647))
    ),
    row!(
        "compression.type",
        ["compression.codec"],
        "none",
        "`none`, `gzip`, `snappy`, `lz4` or `zstd`",
        "Codec for batches that it makes smaller.",
        |config, value| put(&mut config.compression, Compression::from_name(value))
    ),
    row!(
        "buffer.memory",
        [],
        "33554432",
        "a whole number of bytes, 1 or more",
        "Bytes of records that may wait for their acknowledgement, before compression.",
        |config, value| put(&mut config.buffer_limit_bytes, number(value, 1..))
    ),
    row!(
        "queue.buffering.max.kbytes",
        [],
        "",
        "a whole number of KiB, 1 or more",
        "librdkafka's name of `buffer.memory`, in KiB.",
        |config, value| put(&mut config.buffer_limit_bytes, kib(value))
    ),
    row!(
        "max.request.size",
        [],
        "4194304",
        "a whole number of bytes, 1 or more",
        "Bytes of batches in one request, unless a single batch is larger.",
        |config, value| put(&mut config.request_limit_bytes, number(value, 1..=2_147_483_647))
    ),
    row!(
        "max.in.flight.requests.per.connection",
        ["max.in.flight"],
        "5",
        "a whole number, 1 or more",
        "Requests to one broker without a response; more than 5 count as 5. With `enable.idempotence` any number keeps the \
         order, without it only 1 does.",
        |config, value| put(&mut config.in_flight_max, number(value, 1..))
    ),
    row!(
        "delivery.timeout.ms",
        ["message.timeout.ms"],
        "120000",
        "a whole number of milliseconds, 1 or more",
        "From the moment a batch is closed until it has failed for good, whatever the brokers do.",
        |config, value| put(&mut config.delivery_timeout, millis(value, 1..))
    ),
];

/// The keys of [`ConsumerConfig`].
pub(super) const CONSUMER: &[Row<ConsumerConfig>] = &[
    row!(
        "isolation.level",
        [],
        "read_uncommitted",
        "`read_uncommitted` or `read_committed`",
        "Whether records of open and aborted transactions are delivered.",
        |config, value| {
            let isolation = match value {
                "read_uncommitted" => Some(IsolationLevel::ReadUncommitted),
                "read_committed" => Some(IsolationLevel::ReadCommitted),
                _ => None,
            };
            put(&mut config.isolation, isolation)
        }
    ),
    row!(
        "fetch.min.bytes",
        [],
        "1",
        "a whole number of bytes",
        "Bytes that a leader waits for before it answers a fetch.",
        |config, value| put(&mut config.min_bytes, number(value, 0..=2_147_483_647))
    ),
    row!(
        "fetch.max.bytes",
        [],
        "16777216",
        "a whole number of bytes",
        "Bytes in the answer of one leader; at least one batch comes even when it is larger.",
        |config, value| put(&mut config.max_bytes, number(value, 0..=2_147_483_647).map(|bytes: u32| bytes.max(1)))
    ),
    row!(
        "max.partition.fetch.bytes",
        ["fetch.message.max.bytes"],
        "1048576",
        "a whole number of bytes",
        "Bytes of one partition in an answer; at least one batch comes even when it is larger.",
        |config, value| {
            put(&mut config.max_partition_bytes, number(value, 0..=2_147_483_647).map(|bytes: u32| bytes.max(1)))
        }
    ),
    row!(
        "queued.max.messages.kbytes",
        [],
        "",
        "a whole number of KiB, 1 or more",
        "Bytes that were fetched and not yet handed out, in KiB, of all partitions together; fetching pauses there. \
         librdkafka's name.",
        |config, value| put(&mut config.buffer_limit_bytes, kib(value))
    ),
    row!(
        "fetch.max.wait.ms",
        ["fetch.wait.max.ms"],
        "500",
        "a whole number of milliseconds",
        "How long a leader waits for `fetch.min.bytes`.",
        |config, value| put(&mut config.max_wait, millis(value, 0..))
    ),
    row!(
        "auto.offset.reset",
        [],
        "none",
        "`earliest`, `latest`, `none` or `by_duration:` and a duration such as `PT1H`",
        "Where to go on when the position is not in the log; `none` is an error, so that somebody learns of lost records. \
         `by_duration:PT1H` is at the first record that is at most an hour old. A group consumer starts from `latest`.",
        |config, value| {
            let reset = match value {
                "earliest" | "smallest" | "beginning" => Some(ResetPolicy::Earliest),
                "latest" | "largest" | "end" => Some(ResetPolicy::Latest),
                "none" | "error" => Some(ResetPolicy::None),
                _ => value.strip_prefix("by_duration:").and_then(iso_duration).map(ResetPolicy::ByDuration),
            };
            put(&mut config.reset, reset)
        }
    ),
];

/// The keys of [`GroupConsumerConfig`], without those of reading.
pub(super) const GROUP: &[Row<GroupConsumerConfig>] = &[
    row!("group.id", [], "", "a name", "Consumers with the same one share the partitions.", |config, value| {
        config.group_id = Str::from(value);
        !value.is_empty()
    }),
    row!(
        "group.instance.id",
        [],
        "",
        "a name",
        "Makes the member static: a restart within the session timeout keeps its partitions without a rebalance.",
        |config, value| {
            config.instance_id = (!value.is_empty()).then(|| Str::from(value));
            !value.is_empty()
        }
    ),
    row!(
        "group.protocol",
        [],
        "classic",
        "`classic` or `consumer`",
        "Who assigns the partitions: a member, or with `consumer` the broker (Kafka 4.0 or newer), whose settings then count \
         in place of `partition.assignment.strategy`, `session.timeout.ms` and `heartbeat.interval.ms`.",
        |config, value| {
            let protocol = match value.to_ascii_lowercase().as_str() {
                "classic" => Some(GroupProtocol::Classic),
                "consumer" => Some(GroupProtocol::Consumer),
                _ => None,
            };
            put(&mut config.group_protocol, protocol)
        }
    ),
    row!(
        "group.remote.assignor",
        [],
        "",
        "a name, such as `uniform` or `range`",
        "The broker's assignor, for `group.protocol=consumer`; without it the broker chooses.",
        |config, value| {
            config.remote_assignor = (!value.is_empty()).then(|| Str::from(value));
            !value.is_empty()
        }
    ),
    row!(
        "client.rack",
        [],
        "",
        "a name",
        "Where the consumer runs: assignors that look at racks give it partitions with a replica there, and it reads from that one.",
        |config, value| {
            config.rack = (!value.is_empty()).then(|| Str::from(value));
            !value.is_empty()
        }
    ),
    row!(
        "partition.assignment.strategy",
        [],
        "range,cooperative-sticky",
        "`range`, `roundrobin`, `sticky` or `cooperative-sticky`, or a list of them separated by commas, or Java's classes",
        "How a group shares partitions; the members use the first that all of them have.",
        |config, value| {
            let names = value.split(',').map(str::trim);
            let assignors = names.map(Assignor::from_name).collect::<Option<Vec<_>>>();
            put(&mut config.assignors, assignors)
        }
    ),
    row!(
        "auto.commit.interval.ms",
        [],
        "5000",
        "a whole number of milliseconds",
        "Offsets of what was handed out are committed so often; less than 10 counts as 10.",
        |config, value| put(&mut config.auto_commit_interval, millis(value, 0..).map(Some))
    ),
    // Must be below the interval, which it overrides.
    row!(
        "enable.auto.commit",
        ["auto.commit.enable"],
        "true",
        "`true` or `false`",
        "Whether offsets are committed in the background; otherwise only by `commit`.",
        |config, value| {
            let is_enabled = boolean(value);
            if is_enabled == Some(false) {
                config.auto_commit_interval = None;
            }
            is_enabled.is_some()
        }
    ),
    row!(
        "session.timeout.ms",
        [],
        "45000",
        "a whole number of milliseconds, 1 or more",
        "A member that sends no heartbeat for so long loses its partitions.",
        |config, value| put(&mut config.session_timeout, millis(value, 1..))
    ),
    row!(
        "heartbeat.interval.ms",
        [],
        "3000",
        "a whole number of milliseconds, 1 or more",
        "How often a member says that it is alive, and learns of a rebalance.",
        |config, value| put(&mut config.heartbeat_interval, millis(value, 1..))
    ),
    row!(
        "max.poll.interval.ms",
        [],
        "300000",
        "a whole number of milliseconds, 1 or more",
        "A consumer that does not poll for so long leaves the group; also how long a rebalance waits for it.",
        |config, value| put(&mut config.max_poll_interval, millis(value, 1..))
    ),
    row!(
        "decompression.limit.bytes",
        [],
        "134217728",
        "a whole number of bytes, 1 or more",
        "Most bytes that one batch may take when it is decompressed; a larger one is an error.",
        |config, value| put(&mut config.decompression_limit_bytes, number(value, 1..))
    ),
];

/// Keys that only have an effect with `group.protocol=classic`.
pub(super) const OF_CLASSIC_PROTOCOL: [&str; 3] =
    ["partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"];

/// Keys that only have an effect with `group.protocol=consumer`.
pub(super) const OF_CONSUMER_PROTOCOL: [&str; 1] = ["group.remote.assignor"];

/// Reads the name of a partitioner: librdkafka's, or a class of Java.
fn partitioning(value: &str) -> Option<Partitioning> {
    match value.rsplit('.').next().unwrap_or_default() {
        "murmur2_random" | "DefaultPartitioner" => Some(Partitioning::ByKey),
        "consistent_random" => Some(Partitioning::ByCrc32),
        "fnv1a_random" => Some(Partitioning::ByFnv1a),
        "random" | "UniformStickyPartitioner" => Some(Partitioning::Sticky),
        "RoundRobinPartitioner" => Some(Partitioning::RoundRobin),
        _ => None,
    }
}
