//! Groups of three clients, ours, Java's and librdkafka's, that share a topic. Each client leads in turn, with each
//! assignor that all of them have.
//!
//! The member that joins first leads. The records that are written when all three have their share must be
//! read, each by one member.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use conformance::foreign::{confluent, java};
use conformance::reader::create_topic;
use conformance::{TestBroker, client_config, eventually, within};
use kafka_wire::client::{
    AssignmentChange, Assignor, CallOptions, Client, ExclusiveProducer, GroupConsumer, Lane, Node, Polled, ResetPolicy,
};
use kafka_wire::cluster::CoordinatorKind;
use kafka_wire::group::blob::decode_assignment;
use kafka_wire::producer::{NewRecord, ProducerConfig};
use kafka_wire::protocol::describe_groups::{DescribeGroupsRequest, DescribedGroup};
use kafka_wire::types::PartitionId;
use kafka_wire::wire::Str;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// One test on Apache Kafka for each assignor.
macro_rules! with_each_assignor {
    ($($body:ident),+) => {
        $(
            mod $body {
                conformance::test_on!(kafka_tv2, KafkaTv2, super::$body);
            }
        )+
    };
}
with_each_assignor!(range_is_shared, round_robin_is_shared, cooperative_sticky_is_shared);

async fn range_is_shared(broker: TestBroker) {
    each_leads(broker, Assignor::Range, "RangeAssignor").await;
}

async fn round_robin_is_shared(broker: TestBroker) {
    each_leads(broker, Assignor::RoundRobin, "RoundRobinAssignor").await;
}

async fn cooperative_sticky_is_shared(broker: TestBroker) {
    each_leads(broker, Assignor::CooperativeSticky, "CooperativeStickyAssignor").await;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Ours,
    Java,
    Librdkafka,
}

const MEMBERS: [Member; 3] = [Member::Ours, Member::Java, Member::Librdkafka];
const PARTITIONS: i32 = 6;
/// Records that are written when all members have joined.
const RECORDS: i32 = 60;

/// The parts of a group of one run.
#[derive(Clone)]
struct Group {
    bootstrap: String,
    client: Client,
    id: String,
    topic: String,
    assignor: Assignor,
    java_class: &'static str,
}

async fn each_leads(broker: TestBroker, assignor: Assignor, java_class: &'static str) {
    let client = Client::connect(client_config(broker.bootstrap())).await.expect("the broker listens");
    for turn in 0..MEMBERS.len() {
        let (id, topic) = (broker.unique("g"), broker.unique("t"));
        create_topic(&client, &topic, PARTITIONS).await;
        let bootstrap = broker.bootstrap().to_owned();
        let group = Group { bootstrap, client: client.clone(), id, topic, assignor: assignor.clone(), java_class };
        let mut order = MEMBERS;
        order.rotate_left(turn);
        if !group.run(order).await {
            return;
        }
    }
}

impl Group {
    /// Returns whether all clients are installed.
    async fn run(&self, order: [Member; 3]) -> bool {
        let mut ours = None;
        let mut others = Vec::new();
        for (index, member) in order.into_iter().enumerate() {
            match member {
                Member::Ours => ours = Some(Ours::start(self.clone())),
                Member::Java => others.push(tokio::spawn(self.clone().java())),
                Member::Librdkafka => others.push(tokio::spawn(self.clone().librdkafka())),
            }
            tokio::select! {
                () = self.until_stable(index + 1) => {}
                () = until_finished(&others) => {}
            }
            if others.iter().any(JoinHandle::is_finished) {
                let ended = others.into_iter().find(|other| other.is_finished()).expect("one is");
                assert!(ended.await.expect("no panic").is_none(), "a client ended before the group was complete");
                return false;
            }
        }
        let ours = ours.expect("it is one of three");
        let has_its_share = || async { (ours.partitions() == 2).then_some(()) };
        eventually("our share", Duration::from_secs(60), has_its_share).await;
        // A client that has its records and ends while the others still join cannot commit, and they read them again.
        self.until_shared().await;
        self.write().await;
        let mut seen: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for (reader, other) in others.into_iter().enumerate() {
            let Some(text) = other.await.expect("no panic") else { return false };
            let numbers: Vec<i32> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
            // The first one that has its records ends, and the others share anew, perhaps before all have read theirs.
            assert!((1..=20).contains(&numbers.len()), "{order:?}: {numbers:?}");
            numbers.into_iter().for_each(|number| seen.entry(number).or_default().push(reader));
        }
        let left = usize::try_from(RECORDS).expect("few") - seen.len();
        for number in ours.stop(left).await {
            seen.entry(number).or_default().push(2);
        }
        assert_eq!(seen.len(), usize::try_from(RECORDS).expect("few"), "{order:?}: {seen:?}");
        assert!(seen.values().all(|readers| readers.len() == 1), "{order:?}: each once: {seen:?}");
        true
    }

    /// Writes to all partitions at once: the first client that has its records ends, and the others share anew, by when
    /// they must have theirs.
    async fn write(&self) {
        let config = ProducerConfig { linger: Duration::from_secs(60), ..ProducerConfig::default() };
        let mut producer = ExclusiveProducer::open(&self.client, config).await.expect("a producer id");
        let topic = producer.topic(&self.topic).await.expect("the topic is there");
        for number in 0..RECORDS {
            let (partition, value) = (PartitionId(number % PARTITIONS), number.to_string());
            producer.append(topic, partition, NewRecord::of(value.as_bytes())).expect("there is room");
        }
        producer.flush().await.expect("all are written");
    }

    /// Waits until the group has this many members and has finished rebalancing.
    async fn until_stable(&self, members: usize) {
        let stable = || async { (self.stable().await?.members.len() == members).then_some(()) };
        eventually("a stable group", Duration::from_secs(90), stable).await;
    }

    /// Waits until the group has finished rebalancing and each member has its third of the partitions: cooperative
    /// members give back in one rebalance what another gets in the next.
    async fn until_shared(&self) {
        let count = |assignment: Bytes| {
            let topics = decode_assignment(assignment).expect("an assignment").assigned_partitions;
            topics.iter().map(|topic| topic.partitions.len()).sum::<usize>()
        };
        let shared = || async {
            let members = self.stable().await?.members;
            let owned: Vec<usize> = members.into_iter().map(|member| count(member.member_assignment)).collect();
            (owned == [2; MEMBERS.len()]).then_some(())
        };
        eventually("a third for each", Duration::from_secs(90), shared).await;
    }

    /// The group, unless it is rebalancing.
    async fn stable(&self) -> Option<DescribedGroup> {
        let coordinator = self.client.coordinator(CoordinatorKind::Group, &self.id).await.ok()?;
        let groups = vec![Str::from(self.id.as_str())];
        let request = DescribeGroupsRequest { groups, ..Default::default() };
        let options = CallOptions::default();
        let mut answer = self.client.request(Node::Broker(coordinator), Lane::General, request, options).await.ok()?;
        answer.groups.pop().filter(|group| &*group.group_state == "Stable")
    }

    async fn java(self) -> Option<String> {
        let strategy = format!("partition.assignment.strategy=org.apache.kafka.clients.consumer.{}", self.java_class);
        let args = [
            &["--bootstrap-server", &self.bootstrap, "--topic", &self.topic, "--group", &self.id, "--from-beginning"][..],
            &["--timeout-ms", SILENCE_MS, "--max-messages", SHARE, "--command-property", &strategy],
            &["--command-property", "heartbeat.interval.ms=300", "--command-property", "session.timeout.ms=10000"],
        ];
        java("org.apache.kafka.tools.consumer.ConsoleConsumer", &args.concat(), "").await
    }

    async fn librdkafka(self) -> Option<String> {
        confluent(SCRIPT, &[&self.bootstrap, &self.topic, &self.id, self.assignor.name(), SILENCE_MS, SHARE]).await
    }
}

async fn until_finished(others: &[JoinHandle<Option<String>>]) {
    let finished = || async { others.iter().any(JoinHandle::is_finished).then_some(()) };
    eventually("the end of a client", Duration::from_secs(600), finished).await;
}

/// Our member, polled in the background.
struct Ours {
    log: Arc<Mutex<Log>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Log {
    partitions: usize,
    numbers: Vec<i32>,
}

impl Ours {
    fn start(group: Group) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(read(group, Arc::clone(&log), stopped));
        Self { log, stop, task }
    }

    fn partitions(&self) -> usize {
        assert!(!self.task.is_finished(), "our consumer failed");
        self.log.lock().unwrap_or_else(PoisonError::into_inner).partitions
    }

    /// Ends when it has all that the others have left.
    async fn stop(self, left: usize) -> Vec<i32> {
        let Self { log, stop, task } = self;
        let all = || async { (log.lock().unwrap_or_else(PoisonError::into_inner).numbers.len() >= left).then_some(()) };
        eventually("our records", Duration::from_secs(30), all).await;
        stop.send(()).expect("our consumer runs");
        within("our end", Duration::from_secs(30), task).await.expect("our consumer does not panic");
        std::mem::take(&mut log.lock().unwrap_or_else(PoisonError::into_inner).numbers)
    }
}

async fn read(group: Group, log: Arc<Mutex<Log>>, stopped: oneshot::Receiver<()>) {
    let builder = GroupConsumer::builder(group.id)
        .topics([group.topic])
        .assignors([group.assignor])
        .auto_offset_reset(ResetPolicy::Earliest)
        .session_timeout(Duration::from_secs(10), Duration::from_millis(300));
    let mut consumer = builder.build(group.client).await.expect("a list of topics needs nothing");
    tokio::pin!(stopped);
    loop {
        let polled = tokio::select! {
            polled = consumer.poll() => polled.expect("the group works"),
            _ = &mut stopped => break,
        };
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        match polled {
            Polled::Batch(batch) => log.numbers.extend(batch.map(|record| {
                let value = record.expect("whole").value.expect("it has a value");
                std::str::from_utf8(value).expect("text").parse::<i32>().expect("a number")
            })),
            Polled::Assignment(AssignmentChange::Lost { cause, .. }) => panic!("{cause}"),
            Polled::Assignment(_) => {}
        }
        log.partitions = consumer.assignment().len();
    }
    consumer.close().await.expect("the coordinator takes the offsets");
}

/// Time without a record after which a foreign client ends; longer than the others take to join.
const SILENCE_MS: &str = "180000";

/// Number of records of one member after which a foreign client ends.
const SHARE: &str = "20";

/// Reads in a group until no record has come for a while, and prints the values.
const SCRIPT: &str = r#"
import sys, time
from confluent_kafka import Consumer
servers, topic, group, strategy, silence, share = sys.argv[1:7]
consumer = Consumer({
    "bootstrap.servers": servers, "group.id": group, "partition.assignment.strategy": strategy,
    "auto.offset.reset": "earliest", "session.timeout.ms": 10000, "heartbeat.interval.ms": 300,
})
consumer.subscribe([topic])
last, count = time.monotonic(), 0
while count < int(share) and time.monotonic() - last < int(silence) / 1000:
    message = consumer.poll(0.1)
    if message is None:
        continue
    if message.error():
        print(message.error(), file=sys.stderr)
        continue
    last, count = time.monotonic(), count + 1
    print(message.value().decode())
consumer.close()
"#;
