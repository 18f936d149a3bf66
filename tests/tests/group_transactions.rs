//! Consume, transform, produce: programs with `GroupConsumer` and a transactional `Producer`, and with both in a
//! `GroupTransactSession`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conformance::reader::{create_topic, read_to_end, until_stable};
use conformance::writer::write;
use conformance::{TestBroker, client_config, eventually, on_every_broker, within};
use kafka_wire::client::{
    AssignmentChange, Assignor, Client, GroupConsumer, GroupConsumerBuilder, GroupOffsets, GroupProtocol,
    GroupTransactSession, Polled, Producer, ResetPolicy,
};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::producer::{CommitError, ProducerConfig, ProducerRecord};
use kafka_wire::types::PartitionId;

on_every_broker!(records_are_carried_over_once_through_aborts_and_rebalances);

const PARTITIONS: i32 = 4;
const RECORDS: usize = 800;
/// As the number of records that are done, it ends sessions.
const STOP: usize = usize::MAX / 2;
const WAIT: Duration = Duration::from_secs(120);

async fn records_are_carried_over_once_through_aborts_and_rebalances(broker: TestBroker) {
    let client = Client::connect(client_config(broker.bootstrap())).await.expect("the broker listens");
    let programs = [
        (Program::ByHand, GroupProtocol::Classic, Assignor::Range),
        (Program::ByHand, GroupProtocol::Classic, Assignor::CooperativeSticky),
        // The broker assigns.
        (Program::ByHand, GroupProtocol::Consumer, Assignor::Range),
        (Program::Session, GroupProtocol::Classic, Assignor::Range),
        (Program::Session, GroupProtocol::Classic, Assignor::CooperativeSticky),
        (Program::Session, GroupProtocol::Consumer, Assignor::Range),
    ];
    for (program, protocol, assignor) in programs {
        let (input, output) = (broker.unique("in"), broker.unique("out"));
        create_topic(&client, &input, PARTITIONS).await;
        create_topic(&client, &output, 2).await;
        fill(&client, &input).await;
        let builder = GroupConsumer::builder(broker.unique("g"))
            .topics([input.clone()])
            .group_protocol(protocol)
            .assignors([assignor])
            .auto_offset_reset(ResetPolicy::Earliest)
            .session_timeout(Duration::from_secs(10), Duration::from_millis(100))
            .manual_commit()
            .read_committed();
        let done = Arc::new(AtomicUsize::new(0));
        let carry = |id: &str| {
            let config = ProducerConfig::transactional(broker.unique(id));
            let (client, builder, output, done) = (client.clone(), builder.clone(), output.clone(), Arc::clone(&done));
            match program {
                Program::ByHand => tokio::spawn(Carrier::run(client, builder, config, output, done)),
                Program::Session => tokio::spawn(carry_by_session(client, builder, config, output, done)),
            }
        };
        // The second program joins while the first is in the middle of its work.
        let first = carry("first");
        within("a third", WAIT, until(&done, RECORDS / 3)).await;
        let second = carry("second");
        match program {
            Program::ByHand => within("all", WAIT, until(&done, RECORDS)).await,
            // Records of aborted transactions come again, so the number of those that were handed out says little.
            Program::Session => {
                let is_done = async || {
                    let records = read_to_end(&client, &output, IsolationLevel::ReadCommitted).await;
                    (records.len() >= RECORDS).then_some(())
                };
                eventually("all", WAIT, is_done).await;
                done.store(STOP, Ordering::Relaxed);
            }
        }
        for carrier in [first, second] {
            within("the end", WAIT, carrier).await.expect("a carrier does not panic");
        }
        until_stable(&client, &output).await;
        let mut carried: BTreeMap<String, u32> = BTreeMap::new();
        for record in read_to_end(&client, &output, IsolationLevel::ReadCommitted).await {
            let value = String::from_utf8(record.value.expect("it has a value")).expect("text");
            *carried.entry(value).or_default() += 1;
        }
        assert_eq!(carried.len(), RECORDS);
        assert!(carried.values().all(|count| *count == 1), "{carried:?}");
    }
}

#[derive(Clone, Copy)]
enum Program {
    ByHand,
    Session,
}

/// Carries records over by a session, which commits by itself when partitions go to the other one; now and then it
/// commits or aborts at once.
async fn carry_by_session(
    client: Client,
    builder: GroupConsumerBuilder,
    config: ProducerConfig,
    output: String,
    done: Arc<AtomicUsize>,
) {
    let session = GroupTransactSession::open(client, builder, config).await.expect("the coordinator answers");
    let mut session = session.commit_interval(Duration::from_millis(20));
    let mut count = 0_u32;
    while done.load(Ordering::Relaxed) < STOP {
        // Waiting has a limit, which may cut a commit short: it goes on with the next call.
        let next = tokio::time::timeout(Duration::from_millis(30), session.next()).await;
        let Ok(record) = next else { continue };
        let value = record.expect("the group works").value.expect("it has a value");
        session.send(ProducerRecord::to(&output).value(&value)).await.expect("there is room");
        done.fetch_add(1, Ordering::Relaxed);
        count += 1;
        match count % 100 {
            40 => drop(session.commit().await.expect("nobody fences it")),
            80 => session.abort().await.expect("nobody fences it"),
            _ => {}
        }
    }
    session.close().await.expect("the last transaction is committed");
}

/// Writes the numbers in small batches, so that there are many places to stop at.
async fn fill(client: &Client, topic: &str) {
    for first in (0..RECORDS).step_by(10) {
        let numbers: Vec<String> = (first..first + 10).map(|number| number.to_string()).collect();
        let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
        let index = i32::try_from(first / 10).expect("few") % PARTITIONS;
        write(client, &TopicPartition::new(topic, PartitionId(index)), &numbers).await;
    }
}

async fn until(done: &AtomicUsize, count: usize) {
    while done.load(Ordering::Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A program that carries records over, one transaction after the other.
struct Carrier {
    consumer: GroupConsumer,
    producer: Producer,
    output: String,
    /// Records of the open transaction.
    carried: usize,
    transactions: usize,
    /// Records that all programs have carried over in committed transactions.
    done: Arc<AtomicUsize>,
}

impl Carrier {
    async fn run(
        client: Client,
        builder: GroupConsumerBuilder,
        config: ProducerConfig,
        output: String,
        done: Arc<AtomicUsize>,
    ) {
        let producer = Producer::open(&client, config).await.expect("the coordinator answers");
        let consumer = builder.build(client).await.expect("a list of topics needs nothing");
        let mut carrier = Self { consumer, producer, output, carried: 0, transactions: 0, done };
        while carrier.done.load(Ordering::Relaxed) < RECORDS {
            carrier.step().await;
        }
        carrier.end().await;
        carrier.consumer.close().await.expect("nothing is left to commit");
    }

    /// Polls once, and does everything that follows from the result.
    async fn step(&mut self) {
        // The other program may finish the rest, so waiting has a limit.
        let polled = tokio::time::timeout(Duration::from_millis(100), self.consumer.poll()).await;
        let Ok(polled) = polled else { return };
        let mut values: Vec<Vec<u8>> = Vec::new();
        let change = match polled.expect("the group works") {
            Polled::Batch(batch) => {
                for record in batch {
                    values.push(record.expect("whole").value.expect("it has a value").to_vec());
                }
                None
            }
            Polled::Assignment(change) => Some(change),
        };
        let (producer, output) = (self.producer.clone(), self.output.clone());
        if !values.is_empty() && self.carried == 0 {
            producer.begin_transaction().expect("none is open");
        }
        for value in values {
            self.carried += 1;
            producer.send(ProducerRecord::to(&output).value(&value)).await.expect("there is room").forget();
        }
        match change {
            Some(AssignmentChange::Revoking(_)) => self.end().await,
            Some(AssignmentChange::Lost { .. }) => self.abort().await,
            _ if self.carried >= 50 => self.end().await,
            _ => {}
        }
    }

    /// Ends the transaction, every third one by an abort.
    async fn end(&mut self) {
        if self.carried == 0 {
            return;
        }
        self.transactions += 1;
        if self.transactions.is_multiple_of(3) {
            return self.abort().await;
        }
        let (group, offsets) = (self.consumer.group_metadata(), self.consumer.uncommitted());
        self.producer.send_offsets_to_transaction(GroupOffsets { group: &group, offsets: &offsets });
        match self.producer.commit_transaction().await {
            Ok(()) => {
                self.consumer.mark_committed(&offsets);
                self.done.fetch_add(std::mem::take(&mut self.carried), Ordering::Relaxed);
            }
            Err(CommitError::Abortable(_) | CommitError::GroupChanged(_)) => self.abort().await,
            Err(error) => panic!("{error}"),
        }
    }

    /// Drops the records of the transaction, and goes back to where it began.
    async fn abort(&mut self) {
        if self.carried > 0 {
            self.producer.abort_transaction().await.expect("the coordinator answers");
            self.carried = 0;
        }
        self.consumer.rewind();
    }
}
