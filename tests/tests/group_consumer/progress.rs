//! Partitions leave each other alone, and nothing counts as read before it was handed out.

use std::collections::BTreeSet;
use std::time::Duration;

use conformance::writer::write;
use conformance::{TestBroker, client_config, eventually, on_both_brokers, within};
use kafka_wire::client::{
    AssignmentChange, Assignor, Client, ConsumerConfig, GroupConsumer, GroupConsumerError, OffsetCommitError, Polled,
};
use kafka_wire::protocol::ErrorCode;
use kafka_wire::types::Offset;
use kafka_wire::wire::Str;
use tokio::time::{Instant, sleep};

use super::{Log, WAIT, connect, fill, new_group, nothing_comes, partition, poll_both, take, write_large};

on_both_brokers!(
    a_partition_that_comes_beside_a_backlog_is_read_at_once,
    polls_that_fail_are_polls,
    a_partition_can_be_paused_before_its_first_record,
    nothing_is_committed_before_it_is_handed_out,
    a_topic_that_is_deleted_goes_and_holds_up_no_commit,
);

async fn a_partition_that_comes_beside_a_backlog_is_read_at_once(broker: TestBroker) {
    const BACKLOG: i32 = 400;
    let client = connect(&broker).await;
    let (_, builder) = new_group(&broker, &client, 2).await;
    // Little is fetched ahead: data are handed out in the order in which they came.
    let fetch = ConsumerConfig { max_partition_bytes: 100, buffer_limit_bytes: 500, ..ConsumerConfig::default() };
    let builder = builder.assignors([Assignor::CooperativeSticky]).fetch(fetch);
    let mut one = builder.clone().build(client.clone()).await.expect("the group works");
    let mut two = builder.build(client.clone()).await.expect("the group works");
    let (mut first, mut second) = (Log::default(), Log::default());
    let share = |log: &Log| log.owned.len() == 1;
    poll_both((&mut one, &mut first), (&mut two, &mut second), |one, two| share(one) && share(two)).await;
    let (kept, other) = (first.owned.first().cloned(), second.owned.first().cloned());
    let (kept, other) = (kept.expect("it has one"), other.expect("it has one"));
    for number in 0..BACKLOG {
        write(&client, &kept, &[&number.to_string()]).await;
    }
    first.poll(&mut one).await;
    two.close().await.expect("the group works");
    write(&client, &other, &[&BACKLOG.to_string()]).await;
    // There is always a batch that lets a poll return at once.
    while first.numbers.last() != Some(&BACKLOG) {
        assert_ne!(first.numbers.last(), Some(&(BACKLOG - 1)), "the whole backlog came first");
        first.poll(&mut one).await;
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(first.owned, BTreeSet::from([kept, other]));
    one.close().await.expect("the group works");
}

async fn polls_that_fail_are_polls(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, builder) = new_group(&broker, &client, 1).await;
    write_large(&client, &partition(&topic, 0)).await;
    let interval = Duration::from_secs(1);
    let builder = builder.decompression_limit_bytes(1 << 20).max_poll_interval(interval);
    let mut consumer = builder.build(client.clone()).await.expect("the group works");
    let refused = within("the error", WAIT, consumer.next()).await.expect_err("it is too large");
    assert!(matches!(refused, GroupConsumerError::Consume(_)), "{refused:?}");
    let mut poll = async || within("a poll", WAIT, consumer.poll()).await.map(drop);
    let (mut started, mut last) = (Instant::now(), Instant::now());
    while started.elapsed() < 3 * interval {
        let mut polled = poll().await;
        // If this process stood still, nobody polled, and the partition may have to come again first.
        if last.elapsed() > interval / 2 {
            while polled.is_ok() {
                polled = poll().await;
            }
            started = Instant::now();
        }
        last = Instant::now();
        assert_eq!(polled.expect_err("it was polled all the time"), refused);
        sleep(Duration::from_millis(20)).await;
    }
    consumer.close().await.expect("the group works");
}

/// As a program does that restores its state first.
async fn a_partition_can_be_paused_before_its_first_record(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, builder) = new_group(&broker, &client, 1).await;
    let own = partition(&topic, 0);
    fill(&client, &topic, 1, 0..5).await;
    let assigned = async |consumer: &mut GroupConsumer| {
        let polled = within("the partition", WAIT, consumer.poll()).await.expect("the group works");
        let Polled::Assignment(AssignmentChange::Assigned(partitions)) = polled else { panic!("{polled:?}") };
        assert_eq!(partitions, std::slice::from_ref(&own));
    };
    // Once by the reset policy, once from a committed offset, once from where it is sought.
    for numbers in [0..2, 2..4, 1..5] {
        let mut consumer = builder.clone().build(client.clone()).await.expect("the group works");
        assigned(&mut consumer).await;
        assert!(consumer.pause(&own), "it is assigned");
        if numbers.start == 1 {
            assert!(consumer.seek(&own, Offset(1)));
        }
        nothing_comes(&mut consumer).await;
        assert!(consumer.resume(&own));
        assert_eq!(take(&mut consumer, numbers.len()).await, BTreeSet::from_iter(numbers));
        consumer.close().await.expect("the group works");
    }
}

/// A commit is due while the first batch of a partition is being opened.
async fn nothing_is_committed_before_it_is_handed_out(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, builder) = new_group(&broker, &client, 1).await;
    let own = partition(&topic, 0);
    write(&client, &own, &["x"; 80_000]).await;
    let builder = builder.auto_commit_interval(Duration::from_millis(1));
    let mut consumer = builder.build(client.clone()).await.expect("the group works");
    let record = within("a record", WAIT, consumer.next()).await.expect("the topic can be read");
    assert_eq!(record.offset, Offset(0));
    // Commits are made in order, so those of the timer are done after this one.
    consumer.commit_offsets(Vec::new()).await.expect("nothing can be refused");
    let committed = consumer.committed(&[own]).await.expect("the coordinator answers");
    assert!(committed[0].1.as_ref().is_none_or(|committed| committed.offset <= Offset(1)), "{committed:?}");
    consumer.close().await.expect("the group works");
}

async fn a_topic_that_is_deleted_goes_and_holds_up_no_commit(broker: TestBroker) {
    let mut config = client_config(broker.bootstrap());
    config.metadata_max_age = Duration::from_millis(300);
    let client = Client::connect(config).await.expect("the broker listens");
    let (kept, builder) = new_group(&broker, &client, 1).await;
    let (gone, _) = new_group(&broker, &client, 1).await;
    fill(&client, &kept, 1, 0..1).await;
    fill(&client, &gone, 1, 1..2).await;
    let builder = builder.topics([kept.clone(), gone.clone()]).manual_commit();
    let mut consumer = builder.build(client.clone()).await.expect("the group works");
    assert_eq!(take(&mut consumer, 2).await, BTreeSet::from([0, 1]));
    client.delete_topics(&[Str::from(gone.as_str())]).await.expect("it is there");
    eventually("the topic gone", WAIT, async || {
        let topics = client.user_topics().await.expect("the cluster answers");
        topics.iter().all(|known| known.as_str() != gone.as_str()).then_some(())
    })
    .await;
    let refused = within("an outcome, long before the request timeout", Duration::from_secs(15), consumer.commit());
    let refused = refused.await.expect_err("nobody knows the topic any more");
    let OffsetCommitError::Offsets(refused) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    let shared_anew = async {
        while consumer.assignment() != [partition(&kept, 0)] {
            drop(consumer.poll().await.expect("the group works"));
        }
    };
    within("the group without the topic", WAIT, shared_anew).await;
    let mut quickest = Duration::MAX;
    for number in 2..5 {
        let asked = Instant::now();
        within("an outcome", WAIT, consumer.commit()).await.expect("all is known");
        quickest = quickest.min(asked.elapsed());
        fill(&client, &kept, 1, number..number + 1).await;
        assert_eq!(take(&mut consumer, 1).await, BTreeSet::from([number]));
    }
    assert!(quickest < Duration::from_secs(4), "a topic that is not known is waited for: {quickest:?}");
    consumer.close().await.expect("the group works");
}
