//! The brokers that a suite runs on.

use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kafka_wire::client::{Client, ClientConfig};
use testkit::broker::{Broker, BrokerConfig};
use testkit::real::{KafkaVersion, RealCluster, RealConfig, RealKafka, Unavailable};
use tokio::time::{Instant, sleep};

use crate::relay::Relay;

/// The kinds of brokers that tests run on. TV is the level of the feature `transaction.version`:
/// 1 is KIP-98, 2 is KIP-890.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerKind {
    /// The embedded broker of testkit, TV1.
    EmbeddedTv1,
    /// The embedded broker of testkit, TV2.
    EmbeddedTv2,
    /// Apache Kafka, TV1.
    KafkaTv1,
    /// Apache Kafka, TV2.
    KafkaTv2,
}

impl BrokerKind {
    /// The level of the feature `transaction.version`.
    #[must_use]
    pub const fn transaction_version(self) -> i16 {
        match self {
            Self::EmbeddedTv1 | Self::KafkaTv1 => 1,
            Self::EmbeddedTv2 | Self::KafkaTv2 => 2,
        }
    }

    /// Whether this is Apache Kafka and not the embedded broker.
    #[must_use]
    pub const fn is_kafka(self) -> bool {
        matches!(self, Self::KafkaTv1 | Self::KafkaTv2)
    }

    /// The broker and its level, for messages.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::EmbeddedTv1 => "the embedded broker, transaction.version 1",
            Self::EmbeddedTv2 => "the embedded broker, transaction.version 2",
            Self::KafkaTv1 => "Apache Kafka, transaction.version 1",
            Self::KafkaTv2 => "Apache Kafka, transaction.version 2",
        }
    }
}

/// A broker for one test.
#[derive(Debug)]
pub struct TestBroker {
    kind: BrokerKind,
    bootstrap: String,
    /// The embedded broker of this test; `None` if the broker is shared.
    embedded: Option<Broker>,
    /// The node of Apache Kafka of this test.
    _node: Option<RealKafka>,
}

impl TestBroker {
    /// Starts a broker for this test alone, which tells clients to connect to `relay`. `None` if Apache Kafka cannot be
    /// started here, after a message of [`skip`].
    ///
    /// # Panics
    /// If no port is free.
    pub async fn behind(relay: &Relay, kind: BrokerKind) -> Option<Self> {
        let bootstrap = relay.address().to_string();
        if !kind.is_kafka() {
            let advertised = Some(("127.0.0.1".to_owned(), relay.address().port()));
            let config = BrokerConfig { advertised, ..embedded_config(kind) };
            let embedded = start_embedded(config).await;
            relay.leads_to(embedded.listens_on());
            return Some(Self { kind, bootstrap, embedded: Some(embedded), _node: None });
        }
        let node = own_node(kind, RealConfig { advertised_address: Some(bootstrap.clone()), ..kafka_config(kind) });
        let node = node.await?;
        relay.leads_to(node.bootstrap().parse().expect("an address of the loopback"));
        Some(Self { kind, bootstrap, embedded: None, _node: Some(node) })
    }

    /// Starts a broker for this test alone: the embedded one with a changed configuration, or Apache Kafka with more
    /// properties. `None` if Apache Kafka cannot be started here, after a message of [`skip`].
    ///
    /// # Panics
    /// If no port is free.
    pub async fn of_its_own(
        kind: BrokerKind,
        change: impl FnOnce(&mut BrokerConfig),
        properties: &[(&str, String)],
    ) -> Option<Self> {
        if !kind.is_kafka() {
            let mut config = embedded_config(kind);
            change(&mut config);
            let embedded = start_embedded(config).await;
            return Some(Self { kind, bootstrap: embedded.address(), embedded: Some(embedded), _node: None });
        }
        let mut config = kafka_config(kind);
        config.properties.extend(properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let node = own_node(kind, config).await?;
        Some(Self { kind, bootstrap: node.bootstrap().to_owned(), embedded: None, _node: Some(node) })
    }

    /// Kind of this broker.
    #[must_use]
    pub const fn kind(&self) -> BrokerKind {
        self.kind
    }

    /// `HOST:PORT`, or several separated by commas.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The embedded broker, for the injection of faults; `None` on Apache Kafka.
    #[must_use]
    pub const fn embedded(&self) -> Option<&Broker> {
        self.embedded.as_ref()
    }

    /// A name for a topic, a group or a transactional id that is unique on the broker, now and over earlier runs.
    #[must_use]
    pub fn unique(&self, name: &str) -> String {
        static NAMES: AtomicU32 = AtomicU32::new(0);
        let number = NAMES.fetch_add(1, Ordering::Relaxed);
        format!("{name}-{}-{number}", run_id())
    }

    async fn start(kind: BrokerKind) -> Result<Self, Absence> {
        if !kind.is_kafka() {
            let embedded = start_embedded(embedded_config(kind)).await;
            return Ok(Self { kind, bootstrap: embedded.address(), embedded: Some(embedded), _node: None });
        }
        let bootstrap = match std::env::var("KAFKA_BOOTSTRAP_SERVERS") {
            Ok(given) => given_cluster(kind, given).await?,
            Err(_) if kind.transaction_version() == 2 && !kafka_version().has_transaction_version() => {
                return Err(Absence::NoSuchLevel(kafka_version()));
            }
            Err(_) => {
                let start = tokio::task::spawn_blocking(move || shared_kafka(kind));
                start.await.expect("a start does not panic").map_err(Absence::Kafka)?.to_owned()
            }
        };
        Ok(Self { kind, bootstrap, embedded: None, _node: None })
    }
}

/// The configuration of a suite's client: it may take longer to connect than by default, on a machine where other
/// brokers start at that moment.
#[must_use]
pub fn client_config(bootstrap: &str) -> ClientConfig {
    let mut config = outage_config(bootstrap);
    config.connect_timeout = CONNECT_DURATION_MAX;
    config
}

/// As [`client_config`], for a suite whose brokers stand still or get out of reach: a connection that gets no answer is
/// given up as soon as by default.
#[must_use]
pub fn outage_config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new(bootstrap);
    config.bootstrap_timeout = CONNECT_DURATION_MAX;
    config
}

/// A client of a broker that may have started a moment ago: it asks until the broker answers.
///
/// # Panics
/// If the broker does not within a minute; the message says why.
pub async fn connect(bootstrap: &str) -> Client {
    connect_with(client_config(bootstrap)).await
}

/// As [`connect`], with another configuration.
///
/// # Panics
/// As [`connect`].
pub async fn connect_with(config: ClientConfig) -> Client {
    let started = Instant::now();
    loop {
        match Client::connect(config.clone()).await {
            Ok(client) => return client,
            Err(error) => assert!(started.elapsed() < 2 * CONNECT_DURATION_MAX, "no broker answers: {error}"),
        }
        sleep(CONNECT_PAUSE).await;
    }
}

/// Starts three nodes of Apache Kafka as one cluster: three replicas of each partition, of which two have to be there.
///
/// # Errors
/// Says what is missing, or what a node logged last.
pub async fn three_nodes() -> Result<RealCluster, Unavailable> {
    let of_cluster = [
        ("default.replication.factor", "3"),
        ("min.insync.replicas", "2"),
        ("offsets.topic.replication.factor", "3"),
        ("transaction.state.log.replication.factor", "3"),
        ("transaction.state.log.min.isr", "2"),
        ("broker.session.timeout.ms", "3000"),
        ("broker.heartbeat.interval.ms", "500"),
    ];
    let properties = of_cluster.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    RealCluster::start(3, RealConfig { properties, ..RealConfig::default() }).await
}

/// The reason why a test has no broker to run on.
enum Absence {
    /// Apache Kafka cannot be started here.
    Kafka(Unavailable),
    /// The given cluster has another level of `transaction.version`, which is no fault of the machine.
    OtherLevel(i16),
    /// The requested version has no such level.
    NoSuchLevel(KafkaVersion),
}

/// The given cluster, if it is of this kind; the tests of the other kind cannot run on it.
async fn given_cluster(kind: BrokerKind, bootstrap: String) -> Result<String, Absence> {
    let client = Client::connect(client_config(&bootstrap)).await;
    let client = client.unwrap_or_else(|error| panic!("KAFKA_BOOTSTRAP_SERVERS={bootstrap}: {error}"));
    // Clusters without the feature use the protocol of level 1.
    match client.feature("transaction.version").unwrap_or(0).max(1) {
        level if level == kind.transaction_version() => Ok(bootstrap),
        level => Err(Absence::OtherLevel(level)),
    }
}

/// Runs a test body on a broker, in a runtime of its own; the body of [`on_every_broker!`](crate::on_every_broker).
///
/// # Panics
/// If the body panics or takes longer than fifteen minutes, or if Kafka is required and cannot be started.
pub fn run_on<F>(suite: &str, kind: BrokerKind, body: fn(TestBroker) -> F)
where
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime needs threads and an epoll").block_on(async {
        match TestBroker::start(kind).await {
            Ok(broker) => crate::within("the end of the test", TEST_DURATION_MAX, body(broker)).await,
            Err(absence) => skip_kind(suite, kind, &absence),
        }
    });
}

/// Reports that `what` does not run and why; the test harness cannot capture this.
///
/// # Panics
/// With `WATERWHEEL_REQUIRE_KAFKA=1`, which makes a skipped test a failure.
pub fn skip(what: &str, why: &str) {
    assert!(!kafka_is_required(), "{what} cannot run: {why}");
    say_skipped(what, why);
}

/// Whether it is a failure if Apache Kafka, or another foreign program, is missing: `WATERWHEEL_REQUIRE_KAFKA=1`.
#[must_use]
pub fn kafka_is_required() -> bool {
    std::env::var_os("WATERWHEEL_REQUIRE_KAFKA").is_some_and(|value| value == "1")
}

fn skip_kind(suite: &str, kind: BrokerKind, absence: &Absence) {
    static SAID: [AtomicBool; 2] = [AtomicBool::new(false), AtomicBool::new(false)];
    let what = format!("suite `{suite}` on {}", kind.label());
    let is_first = !SAID[usize::from(kind == BrokerKind::KafkaTv2)].swap(true, Ordering::Relaxed);
    match absence {
        Absence::Kafka(unavailable) if is_first || kafka_is_required() => skip(&what, &unavailable.to_string()),
        Absence::OtherLevel(level) if is_first => say_skipped(&what, &format!("the given cluster is at level {level}")),
        Absence::NoSuchLevel(version) if is_first => say_skipped(&what, &format!("Kafka {version} has no such level")),
        Absence::Kafka(_) | Absence::OtherLevel(_) | Absence::NoSuchLevel(_) => {}
    }
}

fn say_skipped(what: &str, why: &str) {
    // A failure to write to stderr could not be reported anywhere.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}: {why}");
}

async fn start_embedded(config: BrokerConfig) -> Broker {
    Broker::start(config).await.expect("a port of the loopback is free")
}

fn embedded_config(kind: BrokerKind) -> BrokerConfig {
    BrokerConfig {
        transaction_version: kind.transaction_version(),
        group_consumer_heartbeat_interval: Duration::from_millis(CONSUMER_HEARTBEAT_MS),
        group_consumer_session_timeout: Duration::from_millis(CONSUMER_SESSION_MS),
        ..BrokerConfig::default()
    }
}

/// The address of the node that the tests of this binary share. The node ends with the process.
fn shared_kafka(kind: BrokerKind) -> Result<&'static str, Unavailable> {
    static NODES: [OnceLock<Result<RealKafka, Unavailable>>; 2] = [OnceLock::new(), OnceLock::new()];
    let node =
        NODES[usize::from(kind == BrokerKind::KafkaTv2)].get_or_init(|| RealKafka::start_blocking(&kafka_config(kind)));
    node.as_ref().map(RealKafka::bootstrap).map_err(Clone::clone)
}

fn kafka_config(kind: BrokerKind) -> RealConfig {
    let (version, transaction_version) = (kafka_version(), kind.transaction_version());
    let properties = vec![
        ("group.consumer.min.heartbeat.interval.ms".to_owned(), CONSUMER_HEARTBEAT_MS.to_string()),
        ("group.consumer.heartbeat.interval.ms".to_owned(), CONSUMER_HEARTBEAT_MS.to_string()),
        ("group.consumer.min.session.timeout.ms".to_owned(), CONSUMER_SESSION_MS.to_string()),
        ("group.consumer.session.timeout.ms".to_owned(), CONSUMER_SESSION_MS.to_string()),
    ];
    RealConfig { version, transaction_version, properties, ..RealConfig::default() }
}

/// Starts a node of Apache Kafka for one test; without one, says that the test is skipped.
async fn own_node(kind: BrokerKind, config: RealConfig) -> Option<RealKafka> {
    if kind.transaction_version() == 2 && !kafka_version().has_transaction_version() {
        say_skipped(kind.label(), &format!("Kafka {} has no such level", kafka_version()));
        return None;
    }
    RealKafka::start(config).await.map_err(|unavailable| skip(kind.label(), &unavailable.to_string())).ok()
}

/// The version of Apache Kafka that suites start, if no cluster is given: `WATERWHEEL_KAFKA_VERSION`,
/// by default the newest.
///
/// # Panics
/// If the variable holds no version.
#[must_use]
pub fn kafka_version() -> KafkaVersion {
    let given = std::env::var("WATERWHEEL_KAFKA_VERSION");
    given.map_or(KafkaVersion::LATEST, |text| text.parse().unwrap_or_else(|error| panic!("{error}")))
}

/// Distinguishes this run from earlier ones on the same cluster.
fn run_id() -> u128 {
    static RUN: OnceLock<u128> = OnceLock::new();
    *RUN.get_or_init(|| {
        #[expect(clippy::disallowed_methods, reason = "a name that earlier runs did not use needs the wall clock")]
        let now = SystemTime::now();
        now.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos())
    })
}

/// Members of the consumer protocol get these times from the broker. Kafka's defaults of 5 and 45 s would make a suite
/// wait that long for every step of a rebalance.
const CONSUMER_HEARTBEAT_MS: u64 = 300;
const CONSUMER_SESSION_MS: u64 = 20_000;

/// Longest time of an attempt to connect.
const CONNECT_DURATION_MAX: Duration = Duration::from_secs(30);
/// Pause between two attempts to connect.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Longest time of one test: twenty kills, each with the longest stall that was seen on a slow machine.
const TEST_DURATION_MAX: Duration = Duration::from_secs(15 * 60);
