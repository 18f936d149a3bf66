//! Three nodes of Apache Kafka that pause, end and come back in turns, under a writer, a group and a transactional job:
//! what was acknowledged is there once, what is called not written is not there, no commit goes back, and the job's
//! output is that of a run without failures, as read by our reader and by Java's.

#[path = "three_nodes/load.rs"]
mod load;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use conformance::foreign::{Isolation, java_records_at};
use conformance::ledger::{Ledger, Statement};
use conformance::reader::{KeptRecord, read_to_end, until_stable};
use conformance::{connect_with, eventually, outage_config, skip, three_nodes, within};
use kafka_wire::admin::{ConfigChange, ConfigResource, ElectionType, NewTopic, OffsetSpec, Reassignment};
use kafka_wire::client::{Client, GroupConsumer, Producer, ResetPolicy, fetch_offsets};
use kafka_wire::cluster::{CoordinatorKind, TopicPartition};
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::producer::{Delivery, ProducerConfig, ProducerRecord};
use kafka_wire::protocol::ApiKey;
use kafka_wire::types::{BrokerId, Offset, PartitionId};
use kafka_wire::wire::Str;
use load::{End, Group, INPUT, Job, OUTPUT, Writer, expected_counts};
use testkit::proxy::{Proxy, Way};
use testkit::real::{RealCluster, Unavailable};
use tokio::time::{Instant, sleep};

pub(crate) const WAIT: Duration = Duration::from_secs(90);
pub(crate) const PARTITIONS: i32 = 3;
/// `offsets.topic.num.partitions` of the launcher.
const OFFSETS_PARTITIONS: i32 = 5;
/// Most requests a second of one client, of all APIs together, while a node is away.
const REQUESTS_A_SECOND_MAX: u64 = 60;
/// Time for which a node is stopped: longer than any session of brokers, members and transactions here.
const PAUSED: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_fail_in_turns_lose_and_double_nothing() {
    let mut nodes = match Nodes::start().await {
        Ok(nodes) => nodes,
        Err(unavailable) => return skip("a cluster of three nodes", &unavailable.to_string()),
    };
    replicas_that_are_gone_make_no_statement_false(&mut nodes).await;

    nodes.create(INPUT, PARTITIONS, &[], &[]).await;
    nodes.create(OUTPUT, PARTITIONS, &[], &[]).await;
    let end = End::default();
    let writer = Writer::start(&nodes.client, &end).await;
    let group = Group::start(&nodes.outside);
    let job = Job::start(&nodes.cluster.bootstrap()).await;
    writer.until_more("before anything fails", 100).await;

    let started = Instant::now();
    nodes.pause_a_leader(&writer).await;
    nodes.lose_the_answers_of_one(&writer).await;
    nodes.end_each_in_turn(&writer).await;
    nodes.kill_coordinator_and_exchange_addresses(&writer).await;
    // Written past the test harness, which hides the output of a test that passes.
    let _ = writeln!(std::io::stderr(), "three nodes: failures for {:.1?}", started.elapsed());

    end.set();
    let ledger = writer.end().await;
    let partitions: Vec<_> = (0..PARTITIONS).map(|index| TopicPartition::new(INPUT, PartitionId(index))).collect();
    let latest: Vec<_> = partitions.into_iter().map(|partition| (partition, OffsetSpec::Latest)).collect();
    let ends = nodes.patient.list_offsets(&latest, IsolationLevel::ReadUncommitted).await.expect("leaders answer");
    let ends: Vec<_> =
        ends.into_iter().map(|end| (end.partition.partition, end.offset.expect("it has an end"))).collect();
    group.end(&ends).await;
    nodes.audit(&ledger, job).await;
    a_commit_that_a_coordinator_loses_leaves_nothing_out(&mut nodes).await;
}

struct Nodes {
    cluster: RealCluster,
    proxy: Proxy,
    /// Behind the proxy.
    client: Client,
    /// Gives up soon, as a request may meet a node that is paused.
    outside: Client,
    /// For requests that have to be answered, though the machine stands still for a while.
    patient: Client,
}

impl Nodes {
    async fn start() -> Result<Self, Unavailable> {
        let cluster = three_nodes().await?;
        let mut config = outage_config(&cluster.bootstrap());
        let patient = connect_with(config.clone()).await;
        config.request_timeout = Duration::from_secs(4);
        let outside = connect_with(config.clone()).await;
        config.request_timeout = Duration::from_secs(2);
        let proxy = Proxy::default();
        let client = Client::connect_with(config, proxy.connector()).await.expect("the nodes listen");
        Ok(Self { cluster, proxy, client, outside, patient })
    }

    async fn create(&self, name: &str, partitions: i32, configs: &[(&'static str, &'static str)], on: &[BrokerId]) {
        let configs = configs.iter().map(|(key, value)| (Str::from(*key), Str::from(*value))).collect();
        let assignments = if on.is_empty() { Vec::new() } else { vec![on.to_vec()] };
        let topic = NewTopic { configs, assignments, ..NewTopic::new(name, partitions) };
        for (_, outcome) in self.patient.create_topics(&[topic]).await.expect("the cluster answers") {
            outcome.expect("the topic is created");
        }
        for partition in 0..partitions {
            self.patient.leader(name, PartitionId(partition)).await.expect("a new topic gets leaders");
        }
    }

    /// Waits until every replica of a topic is in sync.
    async fn until_in_sync(&self, topic: &str) {
        let in_sync = async || {
            let (_, topic) = self.outside.describe_topics(&[Str::from(topic)]).await.ok()?.pop()?;
            let is_whole = topic.ok()?.partitions.iter().all(|partition| partition.in_sync.len() == 3);
            is_whole.then_some(())
        };
        eventually("all replicas in sync", WAIT, in_sync).await;
    }

    /// The controller comes last: without it a pause takes an election of controllers longer.
    async fn by_role(&self) -> [BrokerId; 3] {
        let quorum = self.patient.describe_quorum().await.expect("the cluster answers");
        let controller = quorum.leader.expect("there is one");
        let others: Vec<_> = (1..=3).map(BrokerId).filter(|id| *id != controller).collect();
        [others[0], others[1], controller]
    }

    async fn pause_a_leader(&mut self, writer: &Writer) {
        let (leader, _) = self.patient.leader(INPUT, PartitionId(0)).await.expect("it has one");
        self.cluster.pause(index(leader)).expect("it runs");
        let started = Instant::now();
        let before = self.proxy.all_requests();
        sleep(PAUSED).await;
        let count = self.proxy.all_requests() - before;
        // The writer sends a record each ten milliseconds, and each may be a request.
        let limit = (REQUESTS_A_SECOND_MAX + 100) * started.elapsed().as_secs();
        assert!(count <= limit, "{count} requests in {PAUSED:?}");
        writer.until_more("while a node is paused", 100).await;
        self.cluster.resume(index(leader)).expect("it runs");
        self.until_in_sync(INPUT).await;
    }

    /// A node hears the writer, and the writer does not hear it. Other nodes are not concerned.
    async fn lose_the_answers_of_one(&mut self, writer: &Writer) {
        let (leader, _) = self.patient.leader(INPUT, PartitionId(0)).await.expect("it has one");
        let address = self.cluster.nodes()[index(leader) - 1].bootstrap();
        let port = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("host:port");
        self.proxy.lose_route(port, Way::Answers);
        sleep(Duration::from_secs(3)).await;
        self.proxy.heal();
        writer.until_more("after answers were lost", 100).await;
    }

    async fn end_each_in_turn(&mut self, writer: &Writer) {
        for id in 1..=3 {
            tokio::task::block_in_place(|| self.cluster.terminate_blocking(id)).expect("it ends");
            writer.until_more("while a node is away", 20).await;
            tokio::task::block_in_place(|| self.cluster.start_again_blocking(id)).expect("two of three are there");
            self.until_in_sync(INPUT).await;
        }
    }

    /// The coordinator of the group is killed with another node, and each comes back at the address of the other one.
    async fn kill_coordinator_and_exchange_addresses(&mut self, writer: &Writer) {
        let coordinator = self.patient.coordinator(CoordinatorKind::Group, "readers").await.expect("there is one");
        let first = index(coordinator);
        let second = first % 3 + 1;
        self.cluster.kill(first).expect("it runs");
        self.cluster.kill(second).expect("it runs");
        self.cluster.exchange_addresses(first, second).expect("they do not run");
        tokio::task::block_in_place(|| self.cluster.start_again_blocking(first)).expect("two of three are there");
        tokio::task::block_in_place(|| self.cluster.start_again_blocking(second)).expect("all are there");
        writer.until_more("after two nodes came back elsewhere", 100).await;
        self.until_in_sync(INPUT).await;
    }

    async fn audit(&self, ledger: &Ledger, job: Job) {
        let ours = read_to_end(&self.patient, INPUT, IsolationLevel::ReadUncommitted).await;
        let values = ours.iter().map(|record| record.text().1);
        assert_eq!(ledger.contradictions(values), [""; 0]);
        let records = ledger.count(Statement::Written);
        let expected = expected_counts(records);
        let found = async || {
            until_stable(&self.patient, OUTPUT).await;
            let mut found = BTreeMap::<String, Vec<String>>::new();
            for record in read_to_end(&self.patient, OUTPUT, IsolationLevel::ReadCommitted).await {
                let (key, value) = record.text();
                found.entry(key.to_owned()).or_default().push(value.to_owned());
            }
            found
        };
        let is_all = async || (found().await.values().map(Vec::len).sum::<usize>() >= records).then_some(());
        eventually("the results of all records", WAIT, is_all).await;
        job.end().await;
        assert!(found().await == expected, "the job's output is not that of a run without failures");

        let bootstrap = self.cluster.bootstrap();
        let read = async |topic| {
            let lines = java_records_at(&bootstrap, topic, Isolation::ReadCommitted, records).await;
            lines.expect("the nodes run on Java")
        };
        let (input, output) = tokio::join!(read(INPUT), read(OUTPUT));
        let values = input.iter().map(|line| line.rsplit('\t').next().unwrap_or_default());
        assert_eq!(ledger.contradictions(values), [""; 0], "Java's reader");
        assert_eq!(output.len(), records, "Java reads as many results as we do");
    }
}

/// Number of a node in the cluster, from 1.
fn index(id: BrokerId) -> usize {
    usize::try_from(id.0).expect("nodes count from 1")
}

/// One of three replicas is paused. A topic that requires all three refuses what it cannot replicate, before it writes
/// a batch or after that; a leader that is deposed while a batch waits for the paused replica says nothing of it.
async fn replicas_that_are_gone_make_no_statement_false(nodes: &mut Nodes) {
    let [follower, leader, controller] = nodes.by_role().await;
    // The controller leads the strict topic, so that nothing moves there.
    nodes.create("strict", 1, &[("min.insync.replicas", "3")], &[controller, leader, follower]).await;
    nodes.create("moving", 1, &[("min.insync.replicas", "1")], &[leader, controller, follower]).await;
    let patient = nodes.open(Duration::from_secs(120)).await;
    let hasty = nodes.open(Duration::from_millis(700)).await;
    let mut ledgers = BTreeMap::from([("strict", Ledger::default()), ("moving", Ledger::default())]);
    let mut deliveries: Vec<(&str, String, Delivery)> = Vec::new();
    for (producer, name) in [(&patient, "patient"), (&hasty, "hasty")] {
        for topic in ["strict", "moving"] {
            let name = format!("{name} before");
            let delivery = send(producer, topic, &name).await;
            ledgers.entry(topic).or_default().enter(name, &within("an outcome", WAIT, delivery).await);
        }
    }

    nodes.cluster.pause(index(follower)).expect("it runs");
    // The paused replica counts as in sync until its session is over, so these are written and not acknowledged.
    for topic in ["moving", "strict"] {
        deliveries.push((topic, "hasty at once".to_owned(), send(&hasty, topic, "hasty at once").await));
    }
    sleep(Duration::from_millis(800)).await;
    nodes.move_leader("moving", [controller, leader, follower]).await;
    let before = (Instant::now(), nodes.proxy.requests(ApiKey::Produce));
    for number in 0..12 {
        for (producer, name) in [(&patient, "patient"), (&hasty, "hasty")] {
            let name = format!("{name} {number}");
            let delivery = send(producer, "strict", &name).await;
            deliveries.push(("strict", name, delivery));
        }
        sleep(Duration::from_millis(400)).await;
    }
    let (since, count) = (before.0.elapsed(), nodes.proxy.requests(ApiKey::Produce) - before.1);
    assert!(count <= 2 * REQUESTS_A_SECOND_MAX * since.as_secs(), "{count} requests of two producers in {since:?}");
    nodes.cluster.resume(index(follower)).expect("it runs");
    nodes.until_in_sync("strict").await;
    for (topic, name, delivery) in deliveries {
        let outcome = within("an outcome", WAIT, delivery).await;
        assert!(outcome.is_ok() || name.starts_with("hasty"), "{name}: {outcome:?}");
        ledgers.entry(topic).or_default().enter(name, &outcome);
    }
    for producer in [patient, hasty] {
        // A failure of a record was told with the record.
        let _ = producer.close().await;
    }
    for (topic, ledger) in &ledgers {
        let log = read_to_end(&nodes.patient, topic, IsolationLevel::ReadUncommitted).await;
        let text = |record: &KeptRecord| String::from_utf8(record.value.clone().unwrap_or_default()).expect("text");
        let values: Vec<String> = log.iter().map(text).collect();
        assert_eq!(ledger.contradictions(values.iter().map(String::as_str)), [""; 0], "{topic}: {values:?}");
    }
    let strict = &ledgers["strict"];
    assert!(strict.count(Statement::NotWritten) + strict.count(Statement::Unknown) > 0, "nothing was refused");
}

async fn send(producer: &Producer, topic: &str, value: &str) -> Delivery {
    producer.send(ProducerRecord::to(topic).value(value)).await.expect("there is room")
}

/// The two replicas of the group's offsets fail one after the other, and the one that comes back lacks the last commit.
async fn a_commit_that_a_coordinator_loses_leaves_nothing_out(nodes: &mut Nodes) {
    nodes.create("again", 1, &[], &[]).await;
    let partition = TopicPartition::new("again", PartitionId(0));
    let producer = nodes.open(Duration::from_secs(120)).await;
    for number in 0..8 {
        send(&producer, "again", &number.to_string()).await.await.expect("it is written");
    }
    let builder = GroupConsumer::builder("forgotten").topics(["again"]).auto_offset_reset(ResetPolicy::Earliest);
    let builder = builder.session_timeout(Duration::from_secs(6), Duration::from_millis(300)).manual_commit();
    let mut member = builder.clone().build(nodes.outside.clone()).await.expect("a list of topics");
    let mut read = Vec::new();
    take(&mut member, &mut read, 4).await;
    within("a commit", WAIT, member.commit()).await.expect("the coordinator is there");

    let [first, second, _] = nodes.by_role().await;
    nodes.move_offsets_of("forgotten", [first, second]).await;
    nodes.cluster.kill(index(second)).expect("it runs");
    nodes.until_offsets_are_at("forgotten", &[first]).await;
    take(&mut member, &mut read, 8).await;
    within("a commit", WAIT, member.commit()).await.expect("the coordinator is there");
    nodes.cluster.kill(index(first)).expect("it runs");
    tokio::task::block_in_place(|| nodes.cluster.start_again_blocking(index(second))).expect("two of three are there");

    // The member goes on where it is, or reads again.
    for number in 8..12 {
        send(&producer, "again", &number.to_string()).await.await.expect("it is written");
    }
    take(&mut member, &mut read, 12).await;
    // Nobody has committed since: another member finds the commit before the last.
    within("the end of a member", WAIT, member.close()).await.expect("there is nothing to commit");
    let committed = eventually("the offsets", WAIT, async || {
        let found = fetch_offsets(&nodes.outside, "forgotten", std::slice::from_ref(&partition)).await.ok()?;
        found[0].1.as_ref().map(|committed| committed.offset)
    })
    .await;
    assert_eq!(committed, Offset(4), "the last commit is lost");
    let mut next = builder.build(nodes.outside.clone()).await.expect("a list of topics");
    let mut read = Vec::new();
    take(&mut next, &mut read, 12).await;
    assert_eq!(read.first(), Some(&Offset(4)), "nothing is left out: {read:?}");
    within("a commit", WAIT, next.close()).await.expect("the coordinator is there");
    let _ = producer.close().await;
}

/// Reads up to this offset. No offset that is new may come before those below it.
async fn take(member: &mut GroupConsumer, read: &mut Vec<Offset>, end: i64) {
    while read.iter().max().is_none_or(|last| last.0 + 1 < end) {
        match within("a record", WAIT, member.next()).await {
            Ok(record) => {
                let last = read.iter().max().copied();
                assert!(last.is_none_or(|last| record.offset.0 <= last.0 + 1), "{} after {read:?}", record.offset);
                read.push(record.offset);
            }
            Err(error) => assert!(error.is_retriable(), "{error}"),
        }
    }
}

/// The partition of `__consumer_offsets` that has the offsets of a group: Java's hash of its name tells which.
fn offsets_of(group: &str) -> TopicPartition {
    let hash = group.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
    TopicPartition::new("__consumer_offsets", PartitionId(hash.wrapping_abs() % OFFSETS_PARTITIONS))
}

impl Nodes {
    /// Moves the offsets of a group to two nodes, of which one may lead without having been in sync.
    async fn move_offsets_of(&self, group: &str, to: [BrokerId; 2]) {
        let resource = ConfigResource::Topic(Str::from("__consumer_offsets"));
        let settings = [("unclean.leader.election.enable", "true"), ("min.insync.replicas", "1")];
        let changes = settings.map(|(key, value)| ConfigChange::Set(Str::from(key), Str::from(value))).to_vec();
        let altered = self.patient.alter_configs(&[(resource, changes)]).await.expect("a broker answers");
        altered[0].1.as_ref().expect("they can be set");
        let moves = [(offsets_of(group), Reassignment::To(to.to_vec()))];
        let moved = self.patient.alter_partition_reassignments(&moves).await.expect("the controller answers");
        moved[0].1.as_ref().expect("the nodes are there");
        self.until_offsets_are_at(group, &to).await;
    }

    /// Waits until these nodes alone are in sync for the offsets of a group.
    async fn until_offsets_are_at(&self, group: &str, nodes: &[BrokerId]) {
        let partition = offsets_of(group);
        eventually("the offsets there", WAIT, async || {
            let (_, topic) = self.outside.describe_topics(std::slice::from_ref(&partition.topic)).await.ok()?.pop()?;
            let topic = topic.ok()?;
            let found = topic.partitions.iter().find(|found| found.id == partition.partition)?;
            let mut in_sync = found.in_sync.clone();
            in_sync.sort_unstable();
            let mut nodes = nodes.to_vec();
            nodes.sort_unstable();
            (in_sync == nodes).then_some(())
        })
        .await;
    }

    async fn open(&self, delivery_timeout: Duration) -> Producer {
        let config = ProducerConfig { delivery_timeout, linger: Duration::ZERO, ..ProducerConfig::default() };
        Producer::open(&self.client, config).await.expect("a producer id")
    }

    /// Makes the first of these replicas the leader.
    async fn move_leader(&self, topic: &str, replicas: [BrokerId; 3]) {
        let partition = [TopicPartition::new(topic, PartitionId(0))];
        let moves = [(partition[0].clone(), Reassignment::To(replicas.to_vec()))];
        eventually("another leader", WAIT, async || {
            // A request may meet the paused node.
            let _ = self.outside.alter_partition_reassignments(&moves).await;
            let _ = self.outside.elect_leaders(ElectionType::Preferred, Some(&partition)).await;
            let (leader, _) = self.outside.leader(topic, PartitionId(0)).await.ok()?;
            (leader == replicas[0]).then_some(())
        })
        .await;
    }
}
