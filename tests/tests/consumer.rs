//! The records that a consumer delivers and its positions, for all kinds of log content.

use std::time::Duration;

use conformance::reader::{create_topic, read_to_end};
use conformance::writer::{Transactions, write};
use conformance::{TestBroker, client_config, eventually, on_both_brokers, on_every_broker, within};
use kafka_wire::admin::OffsetSpec;
use kafka_wire::client::{BatchReader, Client, Consumer};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::compression::Decompressed;
use kafka_wire::consumer::{ConsumeError, ConsumerConfig, Fetched, IsolationLevel, ResetPolicy};
use kafka_wire::protocol::ApiKey;
use kafka_wire::types::{LeaderEpoch, Offset, PartitionId};
use tokio::time::{Instant, timeout};

on_every_broker!(
    aborted_records_are_passed_over_and_the_position_reaches_the_end,
    a_log_of_nothing_but_aborted_transactions_is_read_to_its_end,
    an_open_transaction_holds_back_what_comes_behind_it,
    uncommitted_readers_see_all_but_markers,
);

on_both_brokers!(
    records_of_all_partitions_come_once_and_in_order,
    a_position_inside_a_batch_starts_there,
    seeking_while_a_fetch_waits_discards_its_answer,
    an_unassigned_partition_delivers_nothing_more,
    a_paused_partition_keeps_what_it_has,
    a_fetch_in_hand_goes_with_the_position_of_its_partition,
    a_position_outside_of_the_log_is_an_error_without_a_reset_policy,
    a_reset_policy_says_where_to_go_on,
    a_batch_larger_than_every_limit_comes_whole,
    a_small_buffer_delays_and_drops_nothing,
    polls_that_are_cancelled_lose_nothing,
    one_busy_partition_is_not_held_up_by_an_idle_one,
    partitions_that_come_up_while_a_fetch_waits_are_read_at_once,
    a_reset_of_many_partitions_is_one_request_and_then_one_fetch,
    a_topic_that_is_created_later_is_read_from_its_beginning,
    a_topic_that_was_created_again_is_an_error,
);

async fn connect(broker: &TestBroker) -> Client {
    Client::connect(client_config(broker.bootstrap())).await.expect("the broker listens")
}

/// A new topic with one partition.
async fn new_partition(broker: &TestBroker, client: &Client) -> TopicPartition {
    let topic = broker.unique("t");
    create_topic(client, &topic, 1).await;
    TopicPartition::new(topic, PartitionId(0))
}

fn committed() -> ConsumerConfig {
    ConsumerConfig { isolation: IsolationLevel::ReadCommitted, ..ConsumerConfig::default() }
}

async fn poll(consumer: &mut Consumer) -> Result<Fetched, ConsumeError> {
    within("data", Duration::from_secs(20), consumer.poll()).await
}

/// Offsets and values of one poll, from its first position on.
fn values(fetched: &mut Fetched) -> Vec<(i64, String)> {
    let mut values = Vec::new();
    let mut buffer = Decompressed::new(1 << 20);
    while let Some(batch) = fetched.next_batch() {
        let batch = batch.expect("no batch is corrupt");
        for record in batch.open(&mut buffer).expect("the checksum is right") {
            let record = record.expect("no record is corrupt");
            if record.offset >= batch.position.0 {
                values.push((record.offset, String::from_utf8(record.value.expect("a value").to_vec()).expect("text")));
            }
        }
    }
    values
}

/// Polls until the position of the only partition is `end`.
async fn read_until(consumer: &mut Consumer, end: Offset) -> Vec<(i64, String)> {
    let mut all = Vec::new();
    loop {
        let mut fetched = poll(consumer).await.expect("the partition can be read");
        all.extend(values(&mut fetched));
        assert!(fetched.next_offset() <= end, "{:?} is behind {end}", fetched.next_offset());
        if fetched.next_offset() == end {
            return all;
        }
    }
}

async fn end_of(client: &Client, partition: &TopicPartition, isolation: IsolationLevel) -> Offset {
    let listed = client.list_offsets(&[(partition.clone(), OffsetSpec::Latest)], isolation).await;
    listed.expect("the leader answers")[0].offset.expect("a log has an end")
}

/// The end offset once all transactions written so far have their markers.
async fn stable_end(client: &Client, partition: &TopicPartition) -> Offset {
    eventually("the markers", Duration::from_secs(10), || async {
        let end = end_of(client, partition, IsolationLevel::ReadUncommitted).await;
        (end_of(client, partition, IsolationLevel::ReadCommitted).await == end).then_some(end)
    })
    .await
}

fn pairs(values: &[(i64, &str)]) -> Vec<(i64, String)> {
    values.iter().map(|&(offset, value)| (offset, value.to_owned())).collect()
}

async fn records_of_all_partitions_come_once_and_in_order(broker: TestBroker) {
    let client = connect(&broker).await;
    let topic = broker.unique("t");
    create_topic(&client, &topic, 5).await;
    let partitions: Vec<_> = (0..5).map(|index| TopicPartition::new(topic.as_str(), PartitionId(index))).collect();
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig::default());
    for partition in &partitions {
        consumer.assign(partition.clone(), Offset(0));
    }
    let writer = tokio::spawn({
        let (client, partitions) = (client.clone(), partitions.clone());
        async move {
            for round in 0..20 {
                for partition in &partitions {
                    let value = format!("{partition} {round}");
                    write(&client, partition, &[&value, "x", "y"]).await;
                }
            }
        }
    });
    let mut seen = vec![Vec::new(); partitions.len()];
    while seen.iter().map(Vec::len).sum::<usize>() < 20 * 5 * 3 {
        let mut fetched = poll(&mut consumer).await.expect("the partitions can be read");
        let index = partitions.iter().position(|partition| partition == fetched.partition()).expect("an assigned one");
        seen[index].extend(values(&mut fetched));
        assert_eq!(consumer.position(&partitions[index]), Some(fetched.next_offset()));
    }
    writer.await.expect("the writer ends");
    for (partition, seen) in partitions.iter().zip(&seen) {
        assert_eq!(seen.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), (0..60).collect::<Vec<_>>());
        assert_eq!(seen[57].1, format!("{partition} 19"));
        let ends = consumer.watermarks(partition).expect("it was fetched");
        assert_eq!(ends.high_watermark, Offset(60));
    }
}

async fn a_position_inside_a_batch_starts_there(broker: TestBroker) {
    let client = connect(&broker).await;
    let partition = new_partition(&broker, &client).await;
    write(&client, &partition, &["a", "b", "c"]).await;
    let mut consumer = Consumer::new(client, ConsumerConfig::default());
    consumer.assign(partition, Offset(2));
    assert_eq!(read_until(&mut consumer, Offset(3)).await, pairs(&[(2, "c")]));
}

async fn aborted_records_are_passed_over_and_the_position_reaches_the_end(broker: TestBroker) {
    let client = connect(&broker).await;
    let partition = new_partition(&broker, &client).await;
    let mut one = Transactions::open(&client, &broker.unique("one")).await;
    let mut two = Transactions::open(&client, &broker.unique("two")).await;
    // Offsets:      0 1            2           3                4 = one's abort            5
    one.write(&partition, &["a0", "a1"]).await;
    two.write(&partition, &["c2"]).await;
    write(&client, &partition, &["p3"]).await;
    one.abort().await;
    let fifth = eventually("one's marker", Duration::from_secs(10), || async {
        (end_of(&client, &partition, IsolationLevel::ReadUncommitted).await == Offset(5)).then_some(())
    });
    fifth.await;
    // The same producer again, whose transaction commits, and a second abort with no records in between.
    one.write(&partition, &["b5"]).await;
    one.commit().await;
    two.commit().await;
    stable_end(&client, &partition).await;
    two.write(&partition, &["x8"]).await;
    two.abort().await;
    let end = stable_end(&client, &partition).await;
    assert_eq!(end, Offset(10));

    let mut consumer = Consumer::new(client.clone(), committed());
    consumer.assign(partition.clone(), Offset(0));
    let expected = pairs(&[(2, "c2"), (3, "p3"), (5, "b5")]);
    assert_eq!(read_until(&mut consumer, end).await, expected);
    let ends = consumer.watermarks(&partition).expect("it was fetched");
    assert_eq!(ends.last_stable_offset, consumer.position(&partition).expect("it is assigned"), "no lag is left");

    // The position is inside the aborted transaction, which began before it.
    consumer.seek(&partition, Offset(1));
    assert_eq!(read_until(&mut consumer, end).await, expected);
}

async fn a_log_of_nothing_but_aborted_transactions_is_read_to_its_end(broker: TestBroker) {
    let client = connect(&broker).await;
    let partition = new_partition(&broker, &client).await;
    let mut transactions = Transactions::open(&client, &broker.unique("id")).await;
    let value = "x".repeat(10_000);
    for _ in 0..30 {
        transactions.write(&partition, &[&value, &value]).await;
        transactions.abort().await;
    }
    let end = stable_end(&client, &partition).await;
    assert_eq!(end, Offset(90));
    // With small responses, some contain nothing to deliver.
    let mut consumer = Consumer::new(client, ConsumerConfig { max_partition_bytes: 30_000, ..committed() });
    consumer.assign(partition, Offset(0));
    assert_eq!(read_until(&mut consumer, end).await, []);
}

async fn an_open_transaction_holds_back_what_comes_behind_it(broker: TestBroker) {
    let client = connect(&broker).await;
    let partition = new_partition(&broker, &client).await;
    write(&client, &partition, &["before"]).await;
    let mut transactions = Transactions::open(&client, &broker.unique("id")).await;
    transactions.write(&partition, &["inside"]).await;
    write(&client, &partition, &["behind"]).await;
    let mut consumer = Consumer::new(client, committed());
    consumer.assign(partition.clone(), Offset(0));
    assert_eq!(read_until(&mut consumer, Offset(1)).await, pairs(&[(0, "before")]));
    assert!(timeout(Duration::from_millis(300), consumer.poll()).await.is_err(), "nothing is to be seen");
    assert_eq!(consumer.watermarks(&partition).expect("it was fetched").last_stable_offset, Offset(1));
    transactions.commit().await;
    assert_eq!(read_until(&mut consumer, Offset(4)).await, pairs(&[(1, "inside"), (2, "behind")]));
}

async fn uncommitted_readers_see_all_but_markers(broker: TestBroker) {
    let client = connect(&broker).await;
    let partition = new_partition(&broker, &client).await;
    let mut transactions = Transactions::open(&client, &broker.unique("id")).await;
    transactions.write(&partition, &["aborted"]).await;
    transactions.abort().await;
    stable_end(&client, &partition).await;
    transactions.write(&partition, &["open"]).await;
    let mut consumer = Consumer::new(client, ConsumerConfig::default());
    consumer.assign(partition, Offset(0));
    assert_eq!(read_until(&mut consumer, Offset(3)).await, pairs(&[(0, "aborted"), (2, "open")]));
    transactions.abort().await;
}

async fn seeking_while_a_fetch_waits_discards_its_answer(broker: TestBroker) {
    let client = connect(&broker).await;
    let partition = new_partition(&broker, &client).await;
    write(&client, &partition, &["a", "b"]).await;
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig::default());
    consumer.assign(partition.clone(), Offset(2));
    assert!(timeout(Duration::from_millis(200), consumer.poll()).await.is_err());
    // The fetch that waits at the end is answered with the record that is written now.
    assert!(consumer.seek(&partition, Offset(1)));
    write(&client, &partition, &["c"]).await;
    assert_eq!(consumer.position(&partition), Some(Offset(1)));
    assert_eq!(read_until(&mut consumer, Offset(3)).await, pairs(&[(1, "b"), (2, "c")]));
}

async fn an_unassigned_partition_delivers_nothing_more(broker: TestBroker) {
    let client = connect(&broker).await;
    let (one, two) = (new_partition(&broker, &client).await, new_partition(&broker, &client).await);
    write(&client, &one, &["a"]).await;
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig::default());
    consumer.assign(one.clone(), Offset(0));
    // The response has been received and not delivered yet.
    let parked = eventually("the fetch", Duration::from_secs(10), || async { consumer.watermarks(&one) });
    parked.await;
    assert!(consumer.unassign(&one));
    assert!(!consumer.unassign(&one));
    assert!(timeout(Duration::from_millis(200), consumer.poll()).await.is_err());
    consumer.assign(two.clone(), Offset(0));
    write(&client, &two, &["b"]).await;
    let mut fetched = poll(&mut consumer).await.expect("the other partition can be read");
    assert_eq!(fetched.partition(), &two);
    assert_eq!(values(&mut fetched), pairs(&[(0, "b")]));
}

async fn a_paused_partition_keeps_what_it_has(broker: TestBroker) {
    let client = connect(&broker).await;
    let (one, two) = (new_partition(&broker, &client).await, new_partition(&broker, &client).await);
    write(&client, &one, &["a"]).await;
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig::default());
    consumer.assign(one.clone(), Offset(0));
    eventually("the fetch", Duration::from_secs(10), || async { consumer.watermarks(&one) }).await;
    assert!(consumer.pause(&one));
    consumer.assign(two.clone(), Offset(0));
    write(&client, &two, &["b"]).await;
    assert_eq!(poll(&mut consumer).await.expect("the other partition can be read").partition(), &two);
    assert!(timeout(Duration::from_millis(200), consumer.poll()).await.is_err());
    assert!(consumer.resume(&one));
    assert_eq!(poll(&mut consumer).await.expect("it can be read again").partition(), &one);
}

async fn a_fetch_in_hand_goes_with_the_position_of_its_partition(broker: TestBroker) {
    let client = connect(&broker).await;
    let partition = new_partition(&broker, &client).await;
    for batch in [&["a"][..], &["b"], &["c"]] {
        write(&client, &partition, batch).await;
    }
    let mut reader = BatchReader::new(Consumer::new(client, ConsumerConfig::default()));
    let position = |reader: &mut BatchReader| Some(reader.next_batch()?.expect("no batch is corrupt").position.0);
    reader.assign_at(partition.clone(), Offset(0), LeaderEpoch(-1));
    within("a fetch", Duration::from_secs(20), reader.fetch()).await.expect("the partition can be read");
    assert_eq!(position(&mut reader), Some(0), "the first batch of the fetch");

    assert!(reader.pause(&partition) && reader.fetched().is_none(), "what is in hand waits");
    assert!(reader.resume(&partition));
    assert_eq!(position(&mut reader), Some(1), "the rest of the fetch comes after the pause");

    assert!(reader.seek(&partition, Offset(1)) && reader.fetched().is_none(), "the fetch is of the former position");
    within("a fetch", Duration::from_secs(20), reader.fetch()).await.expect("the partition can be read");
    assert_eq!([position(&mut reader), position(&mut reader), position(&mut reader)], [Some(1), Some(2), None]);
    assert_eq!(reader.finish().map(|read| read.next_offset()), Some(Offset(3)));

    reader.assign_at(partition.clone(), Offset(0), LeaderEpoch(-1));
    within("a fetch", Duration::from_secs(20), reader.fetch()).await.expect("the partition can be read");
    reader.pause(&partition);
    assert!(reader.unassign(&partition) && !reader.resume(&partition));
    assert!(reader.fetched().is_none() && reader.next_batch().is_none(), "nothing of it is read any more");
}

async fn a_position_outside_of_the_log_is_an_error_without_a_reset_policy(broker: TestBroker) {
    let client = connect(&broker).await;
    let partition = new_partition(&broker, &client).await;
    write(&client, &partition, &["a"]).await;
    let mut consumer = Consumer::new(client, ConsumerConfig::default());
    consumer.assign(partition.clone(), Offset(7));
    let expected = ConsumeError::OffsetOutOfRange { partition: partition.clone(), offset: Offset(7) };
    for _ in 0..2 {
        assert_eq!(poll(&mut consumer).await.expect_err("there is no offset 7"), expected);
    }
    assert_eq!(consumer.position(&partition), Some(Offset(7)));
    consumer.seek(&partition, Offset(0));
    assert_eq!(read_until(&mut consumer, Offset(1)).await, pairs(&[(0, "a")]));
}

async fn a_reset_policy_says_where_to_go_on(broker: TestBroker) {
    let client = connect(&broker).await;
    let partition = new_partition(&broker, &client).await;
    write(&client, &partition, &["a", "b", "c"]).await;
    client.delete_records(&[(partition.clone(), Offset(1))]).await.expect("records can be deleted");
    for (reset, expected) in [(ResetPolicy::Earliest, vec![(1, "b"), (2, "c")]), (ResetPolicy::Latest, vec![])] {
        let end = end_of(&client, &partition, IsolationLevel::ReadUncommitted).await;
        let mut consumer = Consumer::new(client.clone(), ConsumerConfig { reset, ..ConsumerConfig::default() });
        consumer.assign(partition.clone(), Offset(0));
        if reset == ResetPolicy::Earliest {
            assert_eq!(read_until(&mut consumer, end).await, pairs(&expected));
        } else {
            let at_end = || async { (consumer.position(&partition) == Some(end)).then_some(()) };
            eventually("the reset", Duration::from_secs(10), at_end).await;
        }
    }
}

async fn a_batch_larger_than_every_limit_comes_whole(broker: TestBroker) {
    let client = connect(&broker).await;
    let partition = new_partition(&broker, &client).await;
    let large = "x".repeat(300_000);
    write(&client, &partition, &[&large]).await;
    write(&client, &partition, &["small"]).await;
    let limits = ConsumerConfig { max_bytes: 1_000, max_partition_bytes: 100, ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(client, limits);
    consumer.assign(partition, Offset(0));
    let read = read_until(&mut consumer, Offset(2)).await;
    assert_eq!(read.iter().map(|(_, value)| value.len()).collect::<Vec<_>>(), [300_000, 5]);
}

async fn a_small_buffer_delays_and_drops_nothing(broker: TestBroker) {
    let client = connect(&broker).await;
    let topic = broker.unique("t");
    create_topic(&client, &topic, 4).await;
    let value = "x".repeat(5_000);
    for index in 0..4 {
        for _ in 0..25 {
            write(&client, &TopicPartition::new(topic.as_str(), PartitionId(index)), &[&value]).await;
        }
    }
    let config = ConsumerConfig { buffer_limit_bytes: 10_000, max_partition_bytes: 6_000, ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(client.clone(), config);
    for index in 0..4 {
        consumer.assign(TopicPartition::new(topic.as_str(), PartitionId(index)), Offset(0));
    }
    let mut counts = [0; 4];
    while counts.iter().sum::<usize>() < 100 {
        let mut fetched = poll(&mut consumer).await.expect("the partitions can be read");
        counts[usize::try_from(fetched.partition().partition.0).expect("0 to 3")] += values(&mut fetched).len();
    }
    assert_eq!(counts, [25; 4]);
    assert_eq!(read_to_end(&client, &topic, IsolationLevel::ReadUncommitted).await.len(), 100);
}

async fn polls_that_are_cancelled_lose_nothing(broker: TestBroker) {
    let client = connect(&broker).await;
    let partition = new_partition(&broker, &client).await;
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig::default());
    consumer.assign(partition.clone(), Offset(0));
    let writer = tokio::spawn(async move {
        for index in 0..50 {
            write(&client, &partition, &[&index.to_string()]).await;
        }
    });
    let mut seen = Vec::new();
    while seen.len() < 50 {
        if let Ok(fetched) = timeout(Duration::from_micros(300), consumer.poll()).await {
            seen.extend(values(&mut fetched.expect("the partition can be read")));
        }
    }
    writer.await.expect("the writer ends");
    assert_eq!(seen.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
}

async fn one_busy_partition_is_not_held_up_by_an_idle_one(broker: TestBroker) {
    let client = connect(&broker).await;
    let topic = broker.unique("t");
    create_topic(&client, &topic, 2).await;
    let busy = TopicPartition::new(topic.as_str(), PartitionId(0));
    let value = "x".repeat(20_000);
    for _ in 0..60 {
        write(&client, &busy, &[&value]).await;
    }
    // Each response fills the partition's share, so that the idle partition is fetched alone in between.
    let max_wait = Duration::from_secs(2);
    let config = ConsumerConfig { max_partition_bytes: 20_000, max_wait, ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(client, config);
    consumer.assign(busy, Offset(0));
    consumer.assign(TopicPartition::new(topic, PartitionId(1)), Offset(0));
    let started = Instant::now();
    assert_eq!(read_until(&mut consumer, Offset(60)).await.len(), 60);
    // If each fetch waited for a long poll, this would take two minutes.
    assert!(started.elapsed() < Duration::from_secs(60), "took {:?}", started.elapsed());
}

/// With fetches that wait longer than any test: a partition that waits for the one in flight does not come.
fn patient() -> ConsumerConfig {
    let max_wait = Duration::from_secs(60);
    ConsumerConfig { max_wait, reset: ResetPolicy::Earliest, ..ConsumerConfig::default() }
}

async fn partitions_that_come_up_while_a_fetch_waits_are_read_at_once(broker: TestBroker) {
    let client = connect(&broker).await;
    let topic = broker.unique("t");
    create_topic(&client, &topic, 3).await;
    let [idle, paused, late] = [0, 1, 2].map(|index| TopicPartition::new(topic.as_str(), PartitionId(index)));
    for partition in [&idle, &paused, &late] {
        write(&client, partition, &["a", "b"]).await;
    }
    let mut consumer = Consumer::new(client.clone(), patient());
    consumer.assign(paused.clone(), Offset(2));
    consumer.pause(&paused);
    consumer.assign(idle.clone(), Offset(0));
    // The next fetch is in flight when the records of one are delivered.
    assert_eq!(read_until(&mut consumer, Offset(2)).await, pairs(&[(0, "a"), (1, "b")]));
    consumer.seek(&paused, Offset(1));
    consumer.resume(&paused);
    assert_eq!(read_until(&mut consumer, Offset(2)).await, pairs(&[(1, "b")]), "resumed");
    consumer.assign(late.clone(), Offset(0));
    assert_eq!(read_until(&mut consumer, Offset(2)).await, pairs(&[(0, "a"), (1, "b")]), "assigned");
    consumer.seek(&idle, Offset(1));
    assert_eq!(read_until(&mut consumer, Offset(2)).await, pairs(&[(1, "b")]), "sought");
    // From then on all of them are waited for, whichever fetch they go by.
    for partition in [&late, &paused, &idle] {
        write(&client, partition, &["c"]).await;
        assert_eq!(read_until(&mut consumer, Offset(3)).await, pairs(&[(2, "c")]), "{partition}");
    }
}

async fn a_reset_of_many_partitions_is_one_request_and_then_one_fetch(broker: TestBroker) {
    let client = connect(&broker).await;
    let topic = broker.unique("t");
    create_topic(&client, &topic, 100).await;
    let last = TopicPartition::new(topic.as_str(), PartitionId(99));
    write(&client, &last, &["a"]).await;
    let bootstrap = broker.bootstrap().to_owned();
    // In a runtime of one thread, the consumer's task does nothing before all are assigned.
    let asked = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime needs an epoll").block_on(async {
            let client = Client::connect(client_config(&bootstrap)).await.expect("the broker listens");
            // All leaders are known, so that they can be asked.
            client.topic(&topic).await.expect("it was created");
            let requests = |api| {
                let metrics = client.metrics();
                metrics.brokers.iter().filter_map(|broker| broker.apis.get(&api)).map(|api| api.requests).sum::<u64>()
            };
            let before = requests(ApiKey::ListOffsets);
            let mut consumer = Consumer::new(client.clone(), patient());
            for index in 0..100 {
                consumer.assign_by_reset(TopicPartition::new(topic.as_str(), PartitionId(index)));
            }
            assert_eq!(read_until(&mut consumer, Offset(1)).await, pairs(&[(0, "a")]));
            requests(ApiKey::ListOffsets) - before
        })
    });
    let asked = asked.await.expect("it can be read");
    // A leader that does not know some of its partitions yet is asked for those again.
    assert!(asked <= 10, "{asked} requests for 100 partitions");
}

async fn a_topic_that_is_created_later_is_read_from_its_beginning(broker: TestBroker) {
    let client = connect(&broker).await;
    let topic = broker.unique("t");
    let partition = TopicPartition::new(topic.as_str(), PartitionId(0));
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig::default());
    consumer.assign(partition.clone(), Offset(0));
    assert!(timeout(Duration::from_millis(300), consumer.poll()).await.is_err());
    create_topic(&client, &topic, 1).await;
    write(&client, &partition, &["first"]).await;
    assert_eq!(read_until(&mut consumer, Offset(1)).await, pairs(&[(0, "first")]));
}

async fn a_topic_that_was_created_again_is_an_error(broker: TestBroker) {
    let client = connect(&broker).await;
    let partition = new_partition(&broker, &client).await;
    write(&client, &partition, &["old"]).await;
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig::default());
    consumer.assign(partition.clone(), Offset(0));
    read_until(&mut consumer, Offset(1)).await;
    let outcomes = client.delete_topics(std::slice::from_ref(&partition.topic)).await.expect("the cluster answers");
    assert!(outcomes.iter().all(|(_, outcome)| outcome.is_ok()), "{outcomes:?}");
    eventually("the new topic", Duration::from_secs(20), || async {
        let topic = kafka_wire::admin::NewTopic::new(&*partition.topic, 1);
        let outcomes = client.create_topics(&[topic]).await.expect("the cluster answers");
        outcomes[0].1.is_ok().then_some(())
    })
    .await;
    let expected = ConsumeError::TopicRecreated { partition, offset: Offset(1) };
    assert_eq!(poll(&mut consumer).await.expect_err("offset 1 was of the old topic"), expected);
}
