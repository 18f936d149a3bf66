//! The order between the inputs of a join on a cluster: a stream finds the rows of its time, in whatever order the two
//! topics are read, and however often the job starts over.

use std::collections::BTreeMap;
use std::time::Duration;

use conformance::bench::Bench;
use conformance::reader::{create_topic, read_to_end};
use conformance::{TestBroker, eventually, on_both_brokers};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::record::{BatchBuilder, RawHeaders, Seal};
use kafka_wire::types::PartitionId;
use processor::serde::Text;
use processor::{App, Topology, Utf8};
use tokio::time::{sleep, timeout};

on_both_brokers!(
    a_stream_finds_the_rows_of_its_time_in_topics_that_are_full,
    an_input_at_its_end_is_waited_for_as_long_as_configured,
);

/// Each order finds the row that was written just before it, although the orders of a partition are many times what a
/// queue holds, and the worker is killed in the middle.
async fn a_stream_finds_the_rows_of_its_time_in_topics_that_are_full(broker: TestBroker) {
    let orders = Orders::new(&broker, PARTITIONS).await;
    for partition in 0..PARTITIONS {
        // The orders are there first, in a few large batches; the rows come in small ones.
        for chunk in 0..ROWS / 50 {
            let rows = chunk * 50..(chunk + 1) * 50;
            let records = rows.flat_map(|row| (1..=ORDERS_A_ROW).map(move |order| (row, order)));
            let records =
                records.map(|(row, order)| (row * 10 + order, format!("{row}/{order} {}", "x".repeat(2_000))));
            orders.write(&orders.bench.input, partition, records).await;
        }
        for chunk in 0..ROWS / 10 {
            let rows = (chunk * 10..(chunk + 1) * 10).map(|row| (row * 10, row.to_string()));
            orders.write(&orders.rows, partition, rows).await;
        }
    }
    let mut config = orders.bench.config();
    config.set("commit.interval.max.ms", "5").expect("a known key");
    // A job that ends between two commits goes on from the last one. A fast machine leaves nothing for the second one.
    for _ in 0..2 {
        let running = App::new(orders.topology(), config.clone()).start().await.expect("the job starts");
        let some = || std::future::ready((running.status().commits > 1).then_some(()));
        let _ = timeout(Duration::from_secs(10), eventually("some commits", PATIENCE, some)).await;
        drop(running);
    }
    let running = App::new(orders.topology(), config).start().await.expect("the job starts");
    let all = usize::try_from(i64::from(PARTITIONS) * ROWS * ORDERS_A_ROW).expect("few");
    let found = orders.until_out(all).await;
    running.stop().await.expect("the job stops");
    for (order, row) in found {
        let expected = order.split_once('/').map(|(_, order)| order.split_once('/').map_or(order, |(row, _)| row));
        assert_eq!(Some(row.as_str()), expected, "{order}");
    }
}

async fn an_input_at_its_end_is_waited_for_as_long_as_configured(broker: TestBroker) {
    let orders = Orders::new(&broker, 1).await;
    let mut config = orders.bench.config();
    config.set("max.task.idle.ms", "3600000").expect("a known key");
    let running = App::new(orders.topology(), config.clone()).start().await.expect("the job starts");
    orders.write(&orders.bench.input, 0, [(15, "1/1 -".to_owned())].into_iter()).await;
    orders.write(&orders.rows, 0, [(0, "0".to_owned())].into_iter()).await;
    // That proves that the order is there: the row would wait for it.
    let read = || std::future::ready((running.status().records_in == 1).then_some(()));
    eventually("the first row", PATIENCE, read).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(running.status().records_in, 1, "the order waits");
    // Behind a later row nothing is waited for.
    orders.write(&orders.rows, 0, [(10, "1".to_owned()), (20, "2".to_owned())].into_iter()).await;
    let found = orders.until_out(1).await;
    running.stop().await.expect("the job stops");
    let first = ("0/1/1".to_owned(), "1".to_owned());
    assert_eq!(found, BTreeMap::from([first.clone()]));

    // The wait ends: the last row is followed by no order, and this one by no row.
    config.set("max.task.idle.ms", "500").expect("a known key");
    let running = App::new(orders.topology(), config).start().await.expect("the job starts");
    orders.write(&orders.bench.input, 0, [(25, "2/1 -".to_owned())].into_iter()).await;
    let found = orders.until_out(2).await;
    running.stop().await.expect("the job stops");
    assert_eq!(found, BTreeMap::from([first, ("0/2/1".to_owned(), "2".to_owned())]));
}

/// Orders, which are the input of the bench, and the table of rows that they find.
struct Orders {
    bench: Bench,
    rows: String,
}

impl Orders {
    async fn new(broker: &TestBroker, partitions: i32) -> Self {
        let bench = Bench::new(broker, "input-order", [partitions, 1]).await;
        let rows = broker.unique("rows");
        create_topic(&bench.client, &rows, partitions).await;
        Self { bench, rows }
    }

    /// Puts out, for each order, its partition and name, and the row that it has found.
    fn topology(&self) -> Topology {
        let mut job = Topology::builder(&self.bench.application_id);
        let rows = job.table(&self.rows, "rows", Utf8, Text);
        job.keyed_stream(&self.bench.input, Utf8, Utf8)
            .left_join_table(&rows, |order, row| {
                let name = order.value.split_once(' ').map_or(order.value, |(name, _)| name);
                format!("{}/{name} {}", order.key, row.map_or("none", String::as_str))
            })
            .to(&self.bench.output, Utf8, Text);
        job.build().expect("the topology is sound")
    }

    /// Writes a batch of records with event times, all under the key of the partition.
    async fn write(&self, topic: &str, partition: i32, records: impl Iterator<Item = (i64, String)>) {
        let (mut builder, key) = (BatchBuilder::new(256), partition.to_string());
        for (at, value) in records {
            let (at, key, value) = (1_700_000_000_000 + at, Some(key.as_bytes()), Some(value.as_bytes()));
            builder.append(at, key, value, RawHeaders::EMPTY).expect("it fits");
        }
        let batch = builder.seal(Seal::default()).expect("not compressed");
        let partition = TopicPartition::new(topic, PartitionId(partition));
        conformance::writer::write_batch(&self.bench.client, &partition, batch).await;
    }

    /// The rows by order, once so many are out.
    async fn until_out(&self, count: usize) -> BTreeMap<String, String> {
        let read = async || {
            let read = read_to_end(&self.bench.client, &self.bench.output, IsolationLevel::ReadCommitted).await;
            (read.len() >= count).then_some(read)
        };
        let read = eventually("the results", PATIENCE, read).await;
        let pair = |record: &conformance::reader::KeptRecord| {
            let (order, row) = record.text().1.split_once(' ').expect("an order and a row");
            (order.to_owned(), row.to_owned())
        };
        let found: BTreeMap<_, _> = read.iter().map(pair).collect();
        assert_eq!((found.len(), read.len()), (count, count), "each order once");
        found
    }
}

const PARTITIONS: i32 = 2;
const ROWS: i64 = 500;
const ORDERS_A_ROW: i64 = 9;
const PATIENCE: Duration = Duration::from_secs(60);
