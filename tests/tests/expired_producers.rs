//! A broker forgets producers that have not written for a while, and the coordinator transactional ids that are not
//! used: `producer.id.expiration.ms` and `transactional.id.expiration.ms`. Producers go on after that, and nothing is
//! lost or doubled. Both are days by default, so the brokers of this suite have settings of their own.

use std::time::Duration;

use conformance::ledger::{Ledger, Statement};
use conformance::reader::{Tail, create_topic};
use conformance::{BrokerKind, TestBroker, client_config, eventually, within};
use kafka_wire::client::{Client, GroupOffsets, Producer, fetch_offsets};
use kafka_wire::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use kafka_wire::consumer::IsolationLevel::{ReadCommitted, ReadUncommitted};
use kafka_wire::producer::{CommitError, Delivery, ProducerConfig, ProducerRecord, TransactionError};
use kafka_wire::protocol::{ApiKey, ErrorCode};
use kafka_wire::types::{Offset, PartitionId, ProducerId, TimestampMs};
use kafka_wire::wire::Str;
use testkit::broker::BrokerConfig;
use testkit::fault::{Action, Rule};
use testkit::proxy::Proxy;
use tokio::time::sleep;

/// One test per broker. It starts a broker of its own, and none that other tests share.
macro_rules! on_forgetful_brokers {
    ($body:ident, $($test:ident: $kind:ident),+) => {
        mod $body {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::run(conformance::BrokerKind::$kind, async |broker| super::$body(broker).await).await;
                }
            )+
        }
    };
}

on_forgetful_brokers!(
    producers_go_on_after_they_were_forgotten,
    embedded_tv1: EmbeddedTv1, embedded_tv2: EmbeddedTv2, kafka_tv1: KafkaTv1, kafka_tv2: KafkaTv2
);

const WAIT: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 2;
/// Records of a producer at a time, each a batch of its own.
const RECORDS: usize = 30;
/// Long enough that no broker forgets a producer between a batch and its repetition.
const PRODUCER_EXPIRES: Duration = Duration::from_secs(4);
const TRANSACTIONAL_ID_EXPIRES: Duration = Duration::from_secs(8);
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

async fn run(kind: BrokerKind, body: impl AsyncFnOnce(&TestBroker)) {
    let change = |config: &mut BrokerConfig| {
        config.producer_id_expiration = PRODUCER_EXPIRES;
        config.transactional_id_expiration = TRANSACTIONAL_ID_EXPIRES;
        config.expiration_check_interval = CHECK_INTERVAL;
    };
    let properties = [
        ("producer.id.expiration.ms", PRODUCER_EXPIRES),
        ("producer.id.expiration.check.interval.ms", CHECK_INTERVAL),
        ("transactional.id.expiration.ms", TRANSACTIONAL_ID_EXPIRES),
        ("transaction.remove.expired.transaction.cleanup.interval.ms", CHECK_INTERVAL),
    ];
    let properties = properties.map(|(name, value)| (name, value.as_millis().to_string()));
    if let Some(broker) = TestBroker::of_its_own(kind, change, &properties).await {
        body(&broker).await;
    }
}

async fn producers_go_on_after_they_were_forgotten(broker: &TestBroker) {
    tokio::join!(
        idempotent_producers_go_on(broker),
        event_times_of_the_past_expire_at_once(broker),
        transactions_go_on(broker),
        an_open_transaction_is_not_forgotten(broker),
        a_zombie_whose_id_expired_is_fenced(broker),
    );
}

/// A client behind a proxy, and a topic.
struct Fixture {
    proxy: Proxy,
    client: Client,
    topic: String,
}

impl Fixture {
    async fn new(broker: &TestBroker, topic: &str) -> Self {
        let proxy = Proxy::default();
        let client = Client::connect_with(client_config(broker.bootstrap()), proxy.connector()).await;
        let (client, topic) = (client.expect("the broker listens"), broker.unique(topic));
        create_topic(&client, &topic, PARTITIONS).await;
        Self { proxy, client, topic }
    }

    /// Sends every record at once, as a batch of its own.
    async fn producer(&self, config: ProducerConfig) -> Producer {
        let config = ProducerConfig { batch_size_bytes: 100, linger: Duration::ZERO, ..config };
        within("a producer id", WAIT, Producer::open(&self.client, config)).await.expect("a producer id")
    }

    fn partitions(&self) -> Vec<TopicPartition> {
        (0..PARTITIONS).map(|index| TopicPartition::new(self.topic.as_str(), PartitionId(index))).collect()
    }

    fn inject(&self, action: Action) {
        self.proxy.inject(Rule { api_key: ApiKey::Produce.into(), nth: 1, action });
    }

    /// Whether the leaders know a producer of the topic.
    async fn knows_a_producer(&self) -> bool {
        let described = self.client.describe_producers(&self.partitions()).await;
        described.into_iter().any(|(_, producers)| !producers.expect("the leader answers").is_empty())
    }

    async fn until_forgotten(&self) {
        eventually("no producer", WAIT, async || (!self.knows_a_producer().await).then_some(())).await;
    }

    /// The producer id that has a transactional id; `None` when the coordinator does not know the latter.
    async fn holder(&self, id: &str) -> Option<ProducerId> {
        let described = self.client.describe_transactions(&[Str::from(id)]).await.expect("the coordinator answers");
        described[0].1.as_ref().ok().map(|found| found.producer_id)
    }

    /// The values that a reader of the whole life of the topic has got, once there are as many as this.
    async fn values(&self, live: &Tail, count: usize) -> Vec<String> {
        let is_there = async || (live.look(<[_]>::len) >= count).then_some(());
        eventually("every record", WAIT, is_there).await;
        live.look(|arrived| arrived.iter().map(|it| it.record.text().1.to_owned()).collect())
    }
}

fn record<'a>(topic: &'a str, partition: i32, value: &'a str) -> ProducerRecord<'a> {
    ProducerRecord::to(topic).partition(PartitionId(partition)).key("key").value(value)
}

async fn settle(ledger: &mut Ledger, deliveries: Vec<(String, Delivery)>) {
    for (name, delivery) in deliveries {
        ledger.enter(name, &within("an outcome", WAIT, delivery).await);
    }
}

/// The first batch after the pause fails in each of the ways that a leader has, with others behind it.
async fn idempotent_producers_go_on(broker: &TestBroker) {
    let fixture = Fixture::new(broker, "idempotent").await;
    let live = Tail::start(&fixture.client, &fixture.topic, ReadUncommitted).await;
    let producer = fixture.producer(ProducerConfig::default()).await;
    let faults = [
        None,
        Some(Action::ApplyThenDisconnect),
        Some(Action::Error(ErrorCode::NOT_LEADER_OR_FOLLOWER.0)),
        Some(Action::Error(ErrorCode::UNKNOWN_PRODUCER_ID.0)),
    ];
    let mut ledger = Ledger::default();
    for (round, fault) in faults.into_iter().enumerate() {
        if round > 0 {
            // Nothing of the producer is left in the log, nor in what the leader remembers.
            let all: Vec<_> = fixture.partitions().into_iter().map(|partition| (partition, Offset(-1))).collect();
            let before = round * RECORDS * PARTITIONS.unsigned_abs() as usize;
            fixture.values(&live, before).await;
            fixture.client.delete_records(&all).await.expect("the leaders answer");
            fixture.until_forgotten().await;
        }
        if let Some(fault) = fault {
            fixture.inject(fault);
        }
        let mut deliveries = Vec::new();
        for number in 0..RECORDS {
            for partition in 0..PARTITIONS {
                let name = format!("{round}/{number}/{partition}");
                let delivery = producer.send(record(&fixture.topic, partition, &name)).await.expect("there is room");
                deliveries.push((name, delivery));
                tokio::task::yield_now().await;
            }
        }
        settle(&mut ledger, deliveries).await;
        let count = (round + 1) * RECORDS * PARTITIONS.unsigned_abs() as usize;
        assert_eq!(ledger.count(Statement::Written), count, "{fault:?}");
    }
    assert!(fixture.proxy.is_spent());
    let count = faults.len() * RECORDS * PARTITIONS.unsigned_abs() as usize;
    let values = fixture.values(&live, count).await;
    assert_eq!(ledger.contradictions(values.iter().map(String::as_str)), [""; 0]);
    for partition in 0..PARTITIONS {
        let name = |number: usize| format!("{}/{}/{partition}", number / RECORDS, number % RECORDS);
        let expected: Vec<String> = (0..faults.len() * RECORDS).map(name).collect();
        let found: Vec<_> = values.iter().filter(|value| value.ends_with(&format!("/{partition}"))).cloned().collect();
        assert_eq!(found, expected, "in order");
    }
}

/// A leader goes by the timestamps of records, so a producer of old ones is forgotten while it writes.
async fn event_times_of_the_past_expire_at_once(broker: &TestBroker) {
    let fixture = Fixture::new(broker, "past").await;
    let live = Tail::start(&fixture.client, &fixture.topic, ReadUncommitted).await;
    let producer = fixture.producer(ProducerConfig::default()).await;
    let (mut expected, mut deliveries) = (Vec::new(), Vec::new());
    let (mut ledger, mut has_been_forgotten) = (Ledger::default(), 0);
    while has_been_forgotten < 5 {
        for _ in 0..RECORDS {
            let name = expected.len().to_string();
            let record = record(&fixture.topic, 0, &name).timestamp(TimestampMs(1_000));
            deliveries.push((name.clone(), producer.send(record).await.expect("there is room")));
            expected.push(name);
            tokio::task::yield_now().await;
        }
        has_been_forgotten += u32::from(!fixture.knows_a_producer().await);
        assert!(expected.len() < 1_000_000, "the producer is never forgotten");
    }
    settle(&mut ledger, deliveries).await;
    assert_eq!(ledger.count(Statement::Written), expected.len());
    assert!(fixture.values(&live, expected.len()).await == expected, "each once, in order");
}

/// A transactional producer, and what it has committed.
struct Transactional<'a> {
    fixture: &'a Fixture,
    producer: Producer,
    id: String,
    group: GroupMetadata,
    committed: Vec<String>,
}

impl<'a> Transactional<'a> {
    async fn open(fixture: &'a Fixture, broker: &TestBroker, id: &str) -> Self {
        let config = ProducerConfig { transaction_timeout: WAIT, ..ProducerConfig::transactional(id) };
        let producer = fixture.producer(config).await;
        let group = GroupMetadata::without_membership(broker.unique("g").as_str());
        Self { fixture, producer, id: id.to_owned(), group, committed: Vec::new() }
    }

    async fn write(&self, value: &str) {
        for partition in 0..PARTITIONS {
            let sent = self.producer.send(record(&self.fixture.topic, partition, value)).await;
            // A failed transaction is told by its commit.
            drop(sent);
        }
    }

    async fn commit(&mut self, value: &str, offset: Offset) -> Result<(), CommitError> {
        let offsets = [(self.fixture.partitions().remove(0), CommittedOffset::new(offset))];
        self.producer.send_offsets_to_transaction(GroupOffsets { group: &self.group, offsets: &offsets });
        within("a commit", WAIT, self.producer.commit_transaction()).await?;
        self.committed.extend(std::iter::repeat_n(value.to_owned(), PARTITIONS.unsigned_abs() as usize));
        Ok(())
    }

    /// Runs a transaction, and once more if the coordinator has forgotten the producer's id.
    async fn transact(&mut self, value: &str, offset: Offset) {
        let before = self.fixture.holder(&self.id).await;
        self.producer.begin_transaction().expect("no transaction is open");
        self.write(value).await;
        let Err(refused) = self.commit(value, offset).await else { return };
        assert!(matches!(refused, CommitError::Abortable(_)), "{value}: {refused}");
        within("an abort", WAIT, self.producer.abort_transaction()).await.expect("nobody else has the id");
        self.producer.begin_transaction().expect("no transaction is open");
        let again = format!("{value} again");
        self.write(&again).await;
        self.commit(&again, offset).await.unwrap_or_else(|error| panic!("{again}: {error}"));
        assert_ne!(self.fixture.holder(&self.id).await, before, "the id was not forgotten, so {refused} has no reason");
    }

    async fn assert_committed(&self, live: &Tail, offset: Offset) {
        let mut found = self.fixture.values(live, self.committed.len()).await;
        found.sort_unstable();
        let mut expected = self.committed.clone();
        expected.sort_unstable();
        assert_eq!(found, expected);
        let partition = self.fixture.partitions().remove(0);
        let committed = fetch_offsets(&self.fixture.client, &self.group.group_id, &[partition]).await;
        let committed = committed.expect("the coordinator answers").remove(0).1;
        assert_eq!(committed.map(|committed| committed.offset), Some(offset));
    }
}

async fn transactions_go_on(broker: &TestBroker) {
    let fixture = Fixture::new(broker, "transactional").await;
    let live = Tail::start(&fixture.client, &fixture.topic, ReadCommitted).await;
    let id = broker.unique("tx");
    let mut writer = Transactional::open(&fixture, broker, &id).await;
    for (round, fault) in [None, Some(Action::ApplyThenDisconnect)].into_iter().enumerate() {
        for number in 0..3 {
            writer.transact(&format!("{round}/{number}"), Offset(1)).await;
        }
        // The leaders forget the producer.
        fixture.until_forgotten().await;
        fixture.inject(fault.unwrap_or(Action::Error(ErrorCode::NOT_LEADER_OR_FOLLOWER.0)));
        writer.transact(&format!("{round}/by the leaders"), Offset(2)).await;
        // The coordinator forgets the transactional id, too.
        eventually("no such id", WAIT, async || fixture.holder(&id).await.is_none().then_some(())).await;
        writer.transact(&format!("{round}/by the coordinator"), Offset(3)).await;
        assert!(fixture.holder(&id).await.is_some(), "it has an id again");
    }
    assert!(fixture.proxy.is_spent());
    writer.assert_committed(&live, Offset(3)).await;
}

async fn an_open_transaction_is_not_forgotten(broker: &TestBroker) {
    let fixture = Fixture::new(broker, "open").await;
    let live = Tail::start(&fixture.client, &fixture.topic, ReadCommitted).await;
    let mut writer = Transactional::open(&fixture, broker, &broker.unique("tx")).await;
    writer.producer.begin_transaction().expect("no transaction is open");
    writer.write("begun").await;
    writer.producer.flush().await.expect("all acknowledged");
    sleep(TRANSACTIONAL_ID_EXPIRES + PRODUCER_EXPIRES).await;
    assert!(fixture.knows_a_producer().await && fixture.holder(&writer.id).await.is_some());
    writer.write("ended").await;
    writer.committed = vec!["begun".to_owned(); PARTITIONS.unsigned_abs() as usize];
    writer.commit("ended", Offset(7)).await.expect("the transaction is open");
    writer.assert_committed(&live, Offset(7)).await;
}

/// The transactional id of a producer expires, and another one takes it.
async fn a_zombie_whose_id_expired_is_fenced(broker: &TestBroker) {
    let fixture = Fixture::new(broker, "zombie").await;
    let live = Tail::start(&fixture.client, &fixture.topic, ReadCommitted).await;
    let id = broker.unique("tx");
    let mut older = Transactional::open(&fixture, broker, &id).await;
    older.transact("first", Offset(1)).await;
    eventually("no such id", WAIT, async || fixture.holder(&id).await.is_none().then_some(())).await;
    let mut newer = Transactional::open(&fixture, broker, &id).await;
    newer.committed = older.committed.clone();
    newer.transact("second", Offset(2)).await;
    older.producer.begin_transaction().expect("it knows of no failure");
    older.write("zombie").await;
    let refused = older.commit("zombie", Offset(0)).await;
    assert!(matches!(refused, Err(CommitError::Fenced(_))), "{refused:?}");
    let refused = older.producer.begin_transaction();
    assert!(matches!(refused, Err(TransactionError::Fenced(_))), "{refused:?}");
    newer.transact("third", Offset(3)).await;
    newer.assert_committed(&live, Offset(3)).await;
}
