//! Commits that meet a rebalance, the end of their consumer, or a coordinator that cannot end the last transaction.

use std::time::Duration;

use conformance::reader::{create_topic, read_to_end, until_stable};
use conformance::writer::write;
use conformance::{TestBroker, client_config, on_both_brokers, on_every_broker, within};
use kafka_wire::client::{
    AssignmentChange, Assignor, Client, GroupConsumer, GroupTransactSession, OffsetCommitError, Polled, Producer,
    fetch_offsets,
};
use kafka_wire::cluster::{CommittedOffset, TopicPartition};
use kafka_wire::consumer::{IsolationLevel, ResetPolicy};
use kafka_wire::producer::{ProducerConfig, ProducerRecord};
use kafka_wire::protocol::{ApiKey, ErrorCode};
use kafka_wire::types::{Offset, PartitionId};
use testkit::fault::{Action, Rule};
use tokio::time::sleep;

use super::{Fixture, WAIT, while_refused};

on_both_brokers!(a_commit_in_a_rebalance_is_for_later, close_waits_for_commits_that_were_asked_for);
on_every_broker!(a_session_whose_producer_gets_no_epoch_in_time_goes_on);

/// The coordinator takes no commits of the former generation once all have joined, and the member learns of the new one
/// only by the answer to SyncGroup.
async fn a_commit_in_a_rebalance_is_for_later(broker: TestBroker) {
    let fixture = Fixture::new(&broker).await;
    let client = Client::connect_with(client_config(broker.bootstrap()), fixture.proxy.connector()).await;
    let topic = broker.unique("t");
    create_topic(&fixture.outside, &topic, 2).await;
    let partitions = [0, 1].map(|index| TopicPartition::new(topic.as_str(), PartitionId(index)));
    for partition in &partitions {
        write(&fixture.outside, partition, &["x", "y"]).await;
    }
    let builder = GroupConsumer::builder(broker.unique("g"))
        .topics([topic.clone()])
        .assignors([Assignor::CooperativeSticky])
        .auto_offset_reset(ResetPolicy::Earliest)
        .session_timeout(Duration::from_secs(10), Duration::from_millis(100))
        .manual_commit();
    let mut first = builder.clone().build(client.expect("the broker listens")).await.expect("the group works");
    for _ in 0..4 {
        within("a record", WAIT, first.next()).await.expect("the topic can be read");
    }
    let late = Action::Delay(Duration::from_secs(3));
    fixture.proxy.inject(Rule { api_key: ApiKey::SyncGroup.into(), nth: 1, action: late });
    let mut second = builder.build(fixture.outside.clone()).await.expect("the group works");
    // Polls both for a moment. Returns whether the second one has got a partition.
    let mut moved = Vec::new();
    let mut poll = async |first: &mut GroupConsumer| {
        let polls = async {
            loop {
                tokio::select! {
                    polled = first.poll() => {
                        let polled = polled.expect("the group works");
                        assert!(!matches!(polled, Polled::Assignment(AssignmentChange::Lost { .. })), "{polled:?}");
                    }
                    polled = second.poll() => {
                        let polled = polled.expect("the group works");
                        if let Polled::Assignment(AssignmentChange::Assigned(partitions)) = polled {
                            moved.extend(partitions);
                        }
                    }
                }
            }
        };
        // A poll that is cancelled loses nothing.
        let _ = tokio::time::timeout(Duration::from_millis(20), polls).await;
        moved.clone()
    };
    let commit = async |consumer: &mut GroupConsumer| {
        let offsets = consumer.assignment().into_iter().map(|own| (own, CommittedOffset::new(Offset(2)))).collect();
        consumer.commit_offsets(offsets).await
    };
    let refused = async {
        loop {
            poll(&mut first).await;
            if let Err(refused) = commit(&mut first).await {
                return refused;
            }
        }
    };
    let refused = within("a commit in the rebalance", WAIT, refused).await;
    assert_eq!(refused, OffsetCommitError::RebalanceInProgress, "nothing is lost");
    let shared = async { while poll(&mut first).await.is_empty() {} };
    within("a share for each", WAIT, shared).await;
    assert_eq!(first.assignment().len(), 1);
    // The second one may hear of its share before the first one hears of its new generation.
    let committed = async {
        while let Err(refused) = commit(&mut first).await {
            assert_eq!(refused, OffsetCommitError::RebalanceInProgress);
            poll(&mut first).await;
        }
    };
    within("a commit after the rebalance", WAIT, committed).await;
    for consumer in [first, second] {
        consumer.close().await.expect("the group works");
    }
}

async fn close_waits_for_commits_that_were_asked_for(broker: TestBroker) {
    let fixture = Fixture::new(&broker).await;
    fixture.write(&["a", "b"]).await;
    let group = broker.unique("g");
    let mut consumer = GroupConsumer::builder(group.as_str())
        .topics([fixture.partition.topic.clone()])
        .auto_offset_reset(ResetPolicy::Earliest)
        .manual_commit()
        .build(fixture.client.clone())
        .await
        .expect("the group works");
    let late = Action::Delay(Duration::from_millis(300));
    fixture.proxy.inject(Rule { api_key: ApiKey::OffsetCommit.into(), nth: 1, action: late });
    let mut asked = Vec::new();
    for _ in 0..2 {
        within("a record", WAIT, consumer.next()).await.expect("the topic can be read");
        asked.push(consumer.commit_async());
        // The first one is on its way when the second one is asked for.
        sleep(Duration::from_millis(50)).await;
    }
    consumer.close().await.expect("the coordinator answers");
    for commit in asked {
        commit.await.expect("it was asked for before the end");
    }
    let committed = fetch_offsets(&fixture.outside, &group, std::slice::from_ref(&fixture.partition)).await;
    let committed = committed.expect("the coordinator answers").remove(0).1;
    assert_eq!(committed.map(|committed| committed.offset), Some(Offset(2)));
}

/// At version 1, a request that had no answer makes the producer ask for a new epoch after its transaction has ended.
async fn a_session_whose_producer_gets_no_epoch_in_time_goes_on(broker: TestBroker) {
    let fixture = Fixture::new(&broker).await;
    fixture.write(&["a"]).await;
    let output = broker.unique("out");
    create_topic(&fixture.outside, &output, 1).await;
    let input = GroupConsumer::builder(broker.unique("g"))
        .topics([fixture.partition.topic.clone()])
        .auto_offset_reset(ResetPolicy::Earliest);
    let id = broker.unique("carrier");
    // A new coordinator loads its log first, for longer than the session is to wait.
    let first = Producer::open(&fixture.outside, ProducerConfig::transactional(id.as_str())).await;
    first.expect("nobody has the id").close().await.expect("nothing is open");
    let config = ProducerConfig { init_timeout: Duration::from_secs(5), ..ProducerConfig::transactional(id.as_str()) };
    let session = GroupTransactSession::open(fixture.client.clone(), input, config).await.expect("nobody has the id");
    let mut session = session.commit_interval(Duration::from_secs(60));
    within("the record", WAIT, session.next()).await.expect("it can be read");
    session.send(ProducerRecord::to(&output).value("a")).await.expect("there is room");
    let refused = ErrorCode::CONCURRENT_TRANSACTIONS;
    let action = Action::ApplyThenDisconnect;
    fixture.proxy.inject(Rule { api_key: ApiKey::AddOffsetsToTxn.into(), nth: 1, action });
    let ended = while_refused(&fixture, ApiKey::InitProducerId, refused, session.commit()).await;
    assert_eq!(ended, Ok(true), "the transaction is committed, whatever comes after it");
    fixture.write(&["b"]).await;
    let mut found = within("a record, or the reason", WAIT, session.next()).await;
    if let Err(error) = &found {
        assert!(error.is_retriable(), "{error:?}");
        found = within("the record", WAIT, session.next()).await;
    }
    assert_eq!(found.expect("it goes on by itself").value.as_deref(), Some(&b"b"[..]));
    session.send(ProducerRecord::to(&output).value("b")).await.expect("there is room");
    assert_eq!(session.commit().await, Ok(true));
    session.close().await.expect("nothing is left");
    until_stable(&fixture.outside, &output).await;
    assert_eq!(read_to_end(&fixture.outside, &output, IsolationLevel::ReadCommitted).await.len(), 2);
}
