//! The work that goes on while nodes fail: a writer, the members of a group, and a transactional job. Each keeps what
//! it takes to judge it at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use conformance::ledger::{Ledger, Statement};
use conformance::{eventually, within};
use kafka_wire::client::{Client, GroupConsumer, Producer, ResetPolicy, fetch_offsets};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::producer::{ProducerConfig, ProducerRecord};
use kafka_wire::types::{Offset, PartitionId};
use processor::serde::Text;
use processor::{App, Config, Emit, Running, Topology, Utf8};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{PARTITIONS, WAIT};

pub(crate) const INPUT: &str = "load";
pub(crate) const OUTPUT: &str = "counts";
const GROUP: &str = "readers";
const KEYS: usize = 8;
/// Pause between two records.
const PACE: Duration = Duration::from_millis(10);

/// Whether the work is to end. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct End(Arc<AtomicBool>);

impl End {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A writer of numbered records with `acks=all`, at a steady pace.
pub(crate) struct Writer {
    /// Records that are acknowledged so far.
    acknowledged: Arc<AtomicUsize>,
    task: JoinHandle<Ledger>,
}

impl Writer {
    pub(crate) async fn start(client: &Client, end: &End) -> Self {
        let producer = Producer::open(client, ProducerConfig::default()).await.expect("a producer id");
        let (acknowledged, end) = (Arc::new(AtomicUsize::new(0)), end.clone());
        let count = Arc::clone(&acknowledged);
        let task = tokio::spawn(async move {
            let mut deliveries = Vec::new();
            for number in 0.. {
                if end.is_set() {
                    break;
                }
                let (key, value) = (format!("key{}", number % KEYS), number.to_string());
                let delivery = producer.send(ProducerRecord::to(INPUT).key(&key).value(&value)).await.expect("room");
                let count = Arc::clone(&count);
                deliveries.push(tokio::spawn(async move {
                    let outcome = delivery.await;
                    count.fetch_add(usize::from(outcome.is_ok()), Ordering::Relaxed);
                    (value, outcome)
                }));
                sleep(PACE).await;
            }
            let mut ledger = Ledger::default();
            for delivery in deliveries {
                let (value, outcome) = within("an acknowledgement", WAIT, delivery).await.expect("it does not panic");
                ledger.enter(value, &outcome);
            }
            producer.close().await.expect("nothing is left");
            ledger
        });
        Self { acknowledged, task }
    }

    /// Waits until so many more records are acknowledged.
    pub(crate) async fn until_more(&self, what: &str, count: usize) {
        let goal = self.acknowledged.load(Ordering::Relaxed) + count;
        let is_there = || std::future::ready((self.acknowledged.load(Ordering::Relaxed) >= goal).then_some(()));
        eventually(&format!("acknowledgements {what}"), WAIT, is_there).await;
    }

    /// The statements about its records, all of which have to be written: none has run out of time.
    pub(crate) async fn end(self) -> Ledger {
        let ledger = self.task.await.expect("the writer does not panic");
        assert_eq!(ledger.count(Statement::NotWritten) + ledger.count(Statement::Unknown), 0, "{ledger:?}");
        ledger
    }
}

/// The places of records that members of the group have read.
type Read = Arc<Mutex<BTreeSet<(PartitionId, Offset)>>>;

/// A group with a member that stays and others that come and go.
pub(crate) struct Group {
    read: Read,
    end: End,
    tasks: Vec<JoinHandle<()>>,
}

impl Group {
    pub(crate) fn start(client: &Client) -> Self {
        let (read, end) = (Read::default(), End::default());
        let staying = tokio::spawn(stay(client.clone(), Arc::clone(&read), end.clone()));
        let coming = tokio::spawn(come_and_go(client.clone(), Arc::clone(&read), end.clone()));
        let watching = tokio::spawn(watch_commits(client.clone(), end.clone()));
        Self { read, end, tasks: vec![staying, coming, watching] }
    }

    /// Waits until every record up to these ends was read by somebody.
    pub(crate) async fn end(self, ends: &[(PartitionId, Offset)]) {
        let missing = || {
            let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            let all = ends.iter().flat_map(|(partition, end)| (0..end.0).map(|offset| (*partition, Offset(offset))));
            all.filter(|place| !read.contains(place)).collect::<Vec<_>>()
        };
        let is_all = || std::future::ready(missing().is_empty().then_some(()));
        if timeout(WAIT, eventually("every record", 2 * WAIT, is_all)).await.is_err() {
            panic!("the group has left out {:?}", missing());
        }
        self.end.set();
        for task in self.tasks {
            within("the end of a member", WAIT, task).await.expect("no member panics");
        }
    }
}

async fn member(client: &Client) -> GroupConsumer {
    let builder = GroupConsumer::builder(GROUP).topics([INPUT]).auto_offset_reset(ResetPolicy::Earliest);
    let builder = builder.session_timeout(Duration::from_secs(6), Duration::from_millis(300)).manual_commit();
    builder.build(client.clone()).await.expect("a list of topics")
}

/// Reads and commits what it has read, for at most `limit`.
async fn read_for(member: &mut GroupConsumer, read: &Read, end: &End, limit: Duration) {
    let reading = async {
        while !end.is_set() {
            match timeout(Duration::from_millis(200), member.next()).await {
                Ok(Ok(record)) => {
                    let place = (record.partition, record.offset);
                    read.lock().unwrap_or_else(PoisonError::into_inner).insert(place);
                }
                Ok(Err(error)) => assert!(error.is_retriable(), "{error}"),
                // The records so far are committed; whether they were, the next owner finds out.
                Err(_) => drop(member.commit_async()),
            }
            if read.lock().unwrap_or_else(PoisonError::into_inner).len().is_multiple_of(20) {
                drop(member.commit_async());
            }
        }
    };
    let _ = timeout(limit, reading).await;
}

async fn stay(client: Client, read: Read, end: End) {
    let mut member = member(&client).await;
    while !end.is_set() {
        read_for(&mut member, &read, &end, Duration::from_secs(600)).await;
    }
    let _ = member.close().await;
}

/// Joins and leaves, so that a coordinator also fails while it shares the partitions anew.
async fn come_and_go(client: Client, read: Read, end: End) {
    while !end.is_set() {
        let mut member = member(&client).await;
        read_for(&mut member, &read, &end, Duration::from_millis(1_500)).await;
        let _ = member.commit().await;
        let _ = member.close().await;
        sleep(Duration::from_millis(500)).await;
    }
}

/// Fails when a committed offset goes back: nobody commits less than was committed before.
async fn watch_commits(client: Client, end: End) {
    let partitions: Vec<_> = (0..PARTITIONS).map(|index| TopicPartition::new(INPUT, PartitionId(index))).collect();
    let mut committed = BTreeMap::new();
    while !end.is_set() {
        if let Ok(found) = fetch_offsets(&client, GROUP, &partitions).await {
            for (partition, found) in found {
                let before = committed.get(&partition).copied();
                let found = found.map(|found| found.offset);
                assert!(found >= before, "the group has committed {before:?} of {partition}, and now {found:?}");
                committed.extend(found.map(|found| (partition, found)));
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// A job that counts the records of each key, with a result for each record.
pub(crate) struct Job {
    end: End,
    task: JoinHandle<()>,
}

impl Job {
    pub(crate) async fn start(bootstrap: &str) -> Self {
        let mut job = Topology::builder("three-nodes");
        let counts = job.keyed_stream(INPUT, Utf8, Utf8).count("counts", Emit::EveryUpdate);
        counts.map(|count| count.value.to_string()).to(OUTPUT, Utf8, Text);
        let mut config = Config::new(bootstrap);
        config.set("num.workers", "2").expect("a known key");
        config.set("replication.factor", "3").expect("a known key");
        config.state_dir = std::env::temp_dir().join(format!("waterwheel-three-nodes-{}", std::process::id()));
        let state_dir = config.state_dir.clone();
        let running = App::new(job.build().expect("a sound job"), config).start().await.expect("it starts");
        let end = End::default();
        let task = tokio::spawn(run(running, end.clone(), state_dir));
        Self { end, task }
    }

    pub(crate) async fn end(self) {
        self.end.set();
        within("the end of the job", WAIT, self.task).await.expect("the job does not panic");
    }
}

async fn run(mut running: Running, end: End, state_dir: std::path::PathBuf) {
    while !end.is_set() {
        if let Ok(finished) = timeout(Duration::from_millis(200), running.finished()).await {
            finished.unwrap_or_else(|error| panic!("the job has ended: {error}"));
        }
    }
    running.stop().await.expect("it stops");
    let _ = std::fs::remove_dir_all(state_dir);
}

/// The results for each key, in order: the numbers from one to the number of its records.
pub(crate) fn expected_counts(records: usize) -> BTreeMap<String, Vec<String>> {
    let mut expected = BTreeMap::<String, Vec<String>>::new();
    for number in 0..records {
        let counts = expected.entry(format!("key{}", number % KEYS)).or_default();
        counts.push((counts.len() + 1).to_string());
    }
    expected
}
